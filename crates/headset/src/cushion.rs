//! How much sound is kept between the call and a device: more at once when it ran out, less by and by while there is some to spare.

use crate::{CUSHION_MS, CUSHION_MS_MAX, CUSHION_MS_MIN, CUSHION_STEP_MS};

/// Steps of 10 ms in which what was to spare is watched before the cushion shrinks: 5 s.
const WINDOW: u32 = 500;
/// What is always to be spared, in milliseconds: callbacks and threads are late now and then.
const SPARE_MS: u32 = 5;
/// Most that it shrinks at once, in milliseconds; the drift correction takes that out without a click, in some seconds.
const SHRINK_MS_MAX: u32 = 3;

/// Learns from one ring. To be asked every 10 ms.
#[derive(Debug, Clone)]
pub(crate) struct Cushion {
    ms: u32,
    least_ms: u32,
    steps: u32,
}

impl Default for Cushion {
    fn default() -> Self {
        Self { ms: CUSHION_MS, least_ms: u32::MAX, steps: 0 }
    }
}

impl Cushion {
    /// What the ring is to hold, in milliseconds.
    pub const fn ms(&self) -> u32 {
        self.ms
    }

    /// The ring ran out.
    pub fn ran_out(&mut self) {
        *self = Self { ms: (self.ms + CUSHION_STEP_MS).min(CUSHION_MS_MAX), ..Self::default() };
    }

    /// So much was left in the ring when it was lowest in this step.
    pub fn left(&mut self, ms: u32) {
        self.least_ms = self.least_ms.min(ms);
        self.steps += 1;
        if self.steps == WINDOW {
            let shrink = self.least_ms.saturating_sub(SPARE_MS).min(SHRINK_MS_MAX);
            *self = Self { ms: (self.ms.saturating_sub(shrink)).max(CUSHION_MS_MIN), ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_by_10_ms_when_it_runs_out_and_gives_back_what_nobody_needs() {
        let mut cushion = Cushion::default();
        assert_eq!(cushion.ms(), CUSHION_MS);
        cushion.ran_out();
        cushion.ran_out();
        assert_eq!(cushion.ms(), CUSHION_MS + 2 * CUSHION_STEP_MS);
        // A device that leaves 12 ms less than the cushion: what is beyond 5 ms goes, not at once.
        let mut sizes = vec![cushion.ms()];
        for _ in 0..20 * WINDOW {
            cushion.left(cushion.ms().saturating_sub(12));
            if sizes.last() != Some(&cushion.ms()) {
                sizes.push(cushion.ms());
            }
        }
        assert!(sizes.windows(2).all(|pair| pair[0] > pair[1] && pair[0] - pair[1] <= SHRINK_MS_MAX), "{sizes:?}");
        assert_eq!(sizes.last(), Some(&(12 + SPARE_MS)));
        (0..30).for_each(|_| cushion.ran_out());
        assert_eq!(cushion.ms(), CUSHION_MS_MAX);
    }
}
