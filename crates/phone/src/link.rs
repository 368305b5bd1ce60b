//! What joins the engines of two calls into a conference of three: what each of them hears is said in the other one, 10 ms at a time.
//!
//! One of the two, the chair, has the headset: it plays what both hear and hands the microphone on. Its partner has only the network. Both
//! run on one clock, so nothing drifts; a frame that is not there in time is silence, and frames that pile up after a thread stood still are
//! dropped.

use offhook_headset::voice::FRAME;
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

/// 10 ms of sound at 8 kHz.
pub type Frame = [i16; FRAME];

/// Room between the two, in frames.
const FRAMES_MAX: usize = 16;
/// Frames that lie ready when the first one is taken: the turns of two threads are up to one apart.
const READY: usize = 2;
/// Frames that may lie ready; what is more is delay, left by a thread that stood still.
const WAITING_MAX: usize = 4;

/// One engine's end.
pub struct Link {
    /// Whether this end has the headset.
    pub chair: bool,
    give: HeapProd<Frame>,
    take: HeapCons<Frame>,
    ready: bool,
}

impl core::fmt::Debug for Link {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Link").field("chair", &self.chair).finish_non_exhaustive()
    }
}

impl Link {
    /// The two ends: the chair's, and its partner's.
    pub fn pair() -> (Self, Self) {
        let (to_partner, from_chair) = HeapRb::new(FRAMES_MAX).split();
        let (to_chair, from_partner) = HeapRb::new(FRAMES_MAX).split();
        let end = |chair, give, take| Self { chair, give, take, ready: false };
        (end(true, to_partner, from_partner), end(false, to_chair, from_chair))
    }

    /// Hands a frame over; where there is no room it is dropped.
    pub fn give(&mut self, frame: Frame) {
        // The other end has stood still for 160 ms, or is gone.
        let _dropped = self.give.try_push(frame);
    }

    /// The next frame of the other end, or silence.
    pub fn take(&mut self) -> Frame {
        let waiting = self.take.occupied_len();
        if !self.ready && waiting < READY {
            return [0; FRAME];
        }
        self.ready = waiting > 0;
        if waiting > WAITING_MAX {
            self.take.skip(waiting - READY);
        }
        self.take.try_pop().unwrap_or([0; FRAME])
    }
}

/// The sum of two sounds, clipped where it is too loud.
pub fn add(to: &mut Frame, more: &Frame) {
    for (sample, more) in to.iter_mut().zip(more) {
        *sample = sample.saturating_add(*more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_end_gives_the_other_takes_in_order_and_what_is_missing_is_silence() {
        let (mut chair, mut partner) = Link::pair();
        assert!(chair.chair && !partner.chair);
        let frame = |n: i16| [n; FRAME];
        chair.give(frame(1));
        assert_eq!(partner.take(), frame(0), "one more has to lie there");
        for n in 2..6 {
            chair.give(frame(n));
            assert_eq!(partner.take(), frame(n - 1));
        }
        assert_eq!(partner.take(), frame(5));
        assert_eq!(partner.take(), frame(0), "it ran out");
        partner.give(frame(9));
        partner.give(frame(8));
        assert_eq!(chair.take(), frame(9), "the other way is its own");
    }

    #[test]
    fn after_a_standstill_the_delay_is_gone_again() {
        let (mut chair, mut partner) = Link::pair();
        for n in 0..100 {
            chair.give([n; FRAME]);
        }
        assert_eq!(partner.take(), [FRAMES_MAX as i16 - 2; FRAME]);
        let mut loud = [30_000; FRAME];
        add(&mut loud, &[30_000; FRAME]);
        assert_eq!(loud, [i16::MAX; FRAME]);
    }
}
