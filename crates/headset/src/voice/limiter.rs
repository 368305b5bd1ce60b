//! The last thing before the codec: no sample is louder than the ceiling, and none is cut off.

use super::FRAME;

/// Loudest sample, of full scale: 1 dB below it.
pub const CEILING: f32 = 0.891;
/// Pieces of 1 ms, in each of which the loudest sample is known before it is played.
const PIECE: usize = 8;
const PIECES: usize = FRAME / PIECE;
/// How much of the way back to 1 is gone in each piece: a time constant of 50 ms.
const RELEASE: f32 = 0.02;

/// Looks 1 ms ahead, and delays by as much: the gain goes down in a straight line before a peak and comes back slowly.
#[derive(Debug, Clone)]
pub(super) struct Limiter {
    /// The piece that waits, and the gain that it needs.
    held: [f32; PIECE],
    needs: f32,
    gain: f32,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { held: [0.0; PIECE], needs: 1.0, gain: 1.0 }
    }
}

impl Limiter {
    /// Limits 10 ms in place; what comes out is 1 ms late.
    pub fn run(&mut self, frame: &mut [f32; FRAME]) {
        for at in 0..PIECES {
            let piece = &mut frame[at * PIECE..][..PIECE];
            let peak = piece.iter().fold(0.0_f32, |peak, value| peak.max(value.abs()));
            let next = if peak > CEILING { CEILING / peak } else { 1.0 };
            // At the end of the piece that waits, the gain must do for it and for the one after it.
            let released = self.gain + (1.0 - self.gain) * RELEASE;
            let end = released.min(self.needs).min(next);
            let begin = self.gain;
            for (n, (value, held)) in piece.iter_mut().zip(&mut self.held).enumerate() {
                let gain = begin + (end - begin) * (n as f32 + 1.0) / PIECE as f32;
                (*value, *held) = (*held * gain.min(self.needs), *value);
            }
            (self.gain, self.needs) = (end, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(level: impl Fn(usize) -> f32, frames: usize) -> Vec<f32> {
        let mut limiter = Limiter::default();
        (0..frames)
            .flat_map(|frame| {
                let mut block = core::array::from_fn(|n| level(frame * FRAME + n));
                limiter.run(&mut block);
                block
            })
            .collect()
    }

    fn tone(n: usize) -> f32 {
        (n as f32 * 440.0 * core::f32::consts::TAU / 8_000.0).sin()
    }

    #[test]
    fn what_is_below_the_ceiling_passes_untouched_one_ms_late() {
        let out = run(|n| 0.5 * tone(n), 10);
        for (n, value) in out.iter().enumerate().skip(PIECE) {
            assert!((value - 0.5 * tone(n - PIECE)).abs() < 1e-6, "{n}");
        }
    }

    #[test]
    fn a_talker_four_times_too_loud_is_bent_and_never_cut() {
        let out = run(|n| if (800..4_000).contains(&n) { 4.0 * tone(n) } else { 0.1 * tone(n) }, 80);
        assert!(out.iter().all(|value| value.abs() <= CEILING + 1e-6));
        // A cut tone rests at the ceiling: here no two neighbours do.
        let rests = out.windows(3).filter(|w| w.iter().all(|v| v.abs() > CEILING * 0.999)).count();
        assert_eq!(rests, 0);
        // Within half a second of the loud part the quiet one is itself again.
        let quiet = out[5_600..].iter().fold(0.0_f32, |peak, value| peak.max(value.abs()));
        assert!((0.095..0.101).contains(&quiet), "{quiet}");
    }
}
