//! Keeps the way from the exchange to us open while we are registered, and notices when a translator between has given us
//! another address: then we register anew (RFC 5626 sections 3.5.2 and 4.4.2).

use core::net::SocketAddr;

use offhook_units::{Entropy, Span, Tick};

/// Requests without an answer after which the exchange is taken for one that speaks no STUN.
const UNANSWERED_MAX: u32 = 3;
/// Questions without an answer after which one that answered before is taken to be gone.
const LOST_AFTER: u32 = 2;
/// Keeps a way open where nobody answers STUN.
const LINE_BREAKS: &[u8] = b"\r\n\r\n";

/// What is kept open, and what was seen of it.
#[derive(Debug)]
pub struct KeepAlive {
    every: Span,
    due: Option<Tick>,
    asked: Option<[u8; 12]>,
    unanswered: u32,
    /// Somebody who answered before did not answer the last questions; told once.
    lost: bool,
    mapped: Option<SocketAddr>,
}

impl KeepAlive {
    /// Asks once in `every`, as soon as there is something to keep open.
    pub const fn new(every: Span) -> Self {
        Self { every, due: None, asked: None, unanswered: 0, lost: false, mapped: None }
    }

    /// We are registered: from now on the way is kept open.
    pub fn begin(&mut self, now: Tick) {
        self.due.get_or_insert(now);
    }

    /// We are no longer registered.
    pub const fn end(&mut self) {
        self.due = None;
    }

    /// When there is something to send.
    pub const fn due(&self) -> Option<Tick> {
        self.due
    }

    /// What to send the exchange, where it is time.
    pub fn take_due(&mut self, now: Tick, entropy: &mut Entropy) -> Option<Vec<u8>> {
        self.due.filter(|due| *due <= now)?;
        // Between 80 % and all of it, so that phones do not ask together (RFC 5626 section 4.4).
        let chance = u64::from(entropy.next_u32() >> 16);
        self.due = Some(now + self.every * 4 / 5 + self.every / 5 * chance / (1 << 16));
        self.unanswered += u32::from(self.asked.is_some());
        if self.mapped.is_some() {
            self.lost |= self.unanswered == LOST_AFTER;
        }
        if self.mapped.is_none() && self.unanswered >= UNANSWERED_MAX {
            self.asked = None;
            return Some(LINE_BREAKS.to_vec());
        }
        let mut id = [0; 12];
        for part in id.chunks_exact_mut(4) {
            part.copy_from_slice(&entropy.next_u32().to_be_bytes());
        }
        self.asked = Some(id);
        Some(offhook_net::stun::binding_request(id))
    }

    /// Whether the exchange answers no more though it did before; true once.
    pub const fn take_lost(&mut self) -> bool {
        core::mem::replace(&mut self.lost, false)
    }

    /// Another exchange, or another address of ours: nothing is known of the way.
    pub fn anew(&mut self) {
        *self = Self { due: self.due, ..Self::new(self.every) };
    }

    /// The exchange told where it sees us. Gives whether that is another address than before: nothing reaches us at that one
    /// any more.
    pub fn is_moved(&mut self, id: [u8; 12], mapped: SocketAddr) -> bool {
        if self.asked != Some(id) {
            return false;
        }
        self.asked = None;
        self.unanswered = 0;
        self.mapped.replace(mapped).is_some_and(|before| before != mapped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Span = Span::from_s(25);

    fn id_of(request: &[u8]) -> [u8; 12] {
        request[8..20].try_into().expect("a request's id")
    }

    #[test]
    fn another_address_is_noticed_and_an_answer_to_nobodys_question_is_not_believed() {
        let (mut keep, mut entropy, mut now) = (KeepAlive::new(EVERY), Entropy::from_number(1), Tick::from_us(1));
        assert!(keep.take_due(now, &mut entropy).is_none(), "nothing is registered");
        keep.begin(now);
        let (first, second) = (([192, 0, 2, 1], 5_060).into(), ([192, 0, 2, 1], 5_061).into());
        for (address, moved) in [(first, false), (first, false), (second, true), (second, false)] {
            let request = keep.take_due(now, &mut entropy).expect("it is time");
            assert!(keep.take_due(now, &mut entropy).is_none(), "once");
            assert!(!keep.is_moved([7; 12], second), "a guess");
            assert_eq!(keep.is_moved(id_of(&request), address), moved);
            assert!(!keep.is_moved(id_of(&request), second), "the same answer again");
            let next = keep.due().expect("it goes on");
            assert!((20..=25).contains(&next.since(now).as_s()), "{}", next.since(now));
            now = next;
        }
    }

    #[test]
    fn one_that_answered_and_does_so_no_more_is_lost_after_two_questions_and_that_is_told_once() {
        let (mut keep, mut entropy, mut now) = (KeepAlive::new(EVERY), Entropy::from_number(1), Tick::from_us(1));
        keep.begin(now);
        let request = keep.take_due(now, &mut entropy).expect("it is time");
        keep.is_moved(id_of(&request), ([192, 0, 2, 1], 5_060).into());
        let mut lost = Vec::new();
        for _ in 0..5 {
            now = keep.due().expect("it goes on");
            let request = keep.take_due(now, &mut entropy).expect("it is time");
            assert_ne!(request, LINE_BREAKS, "it is asked on");
            lost.push(keep.take_lost());
        }
        assert_eq!(lost, [false, false, true, false, false]);
        keep.anew();
        assert!(keep.due().is_some() && !keep.take_lost());
    }

    #[test]
    fn an_exchange_that_speaks_no_stun_gets_line_breaks_after_three_questions() {
        let (mut keep, mut entropy, mut now) = (KeepAlive::new(EVERY), Entropy::from_number(1), Tick::from_us(1));
        keep.begin(now);
        let mut sent = Vec::new();
        for _ in 0..5 {
            sent.push(keep.take_due(now, &mut entropy).expect("it is time"));
            now = keep.due().expect("it goes on");
        }
        let plain: Vec<bool> = sent.iter().map(|bytes| bytes == LINE_BREAKS).collect();
        assert_eq!(plain, [false, false, false, true, true]);
        keep.end();
        assert!(keep.take_due(now, &mut entropy).is_none(), "nothing is registered any more");
    }
}
