//! The two filters that part sound at 16 kHz into two bands and put them together again (QMF, clauses 3.1 and 4.4).

use super::saturated;

/// Taps of the filter: table 11 of the Recommendation, every other one. The rest are the same, from the end.
const TAPS: [i32; 12] = [3, -11, 12, 32, -210, 951, 3_876, -805, 362, -156, 53, -11];

/// The last samples, or sums and differences of the bands.
#[derive(Debug, Clone, Default)]
pub struct Split {
    line: [i32; 24],
}

impl Split {
    /// The next sample of either band (15 bits) of two at 16 kHz.
    pub fn analyse(&mut self, first: i16, second: i16) -> (i32, i32) {
        let (even, odd) = self.filter(i32::from(first), i32::from(second));
        ((even + odd) >> 14, (even - odd) >> 14)
    }

    /// Two samples at 16 kHz of the next one of either band.
    pub fn join(&mut self, low: i32, high: i32) -> (i16, i16) {
        let (even, odd) = self.filter(low + high, low - high);
        (saturated(even >> 11) as i16, saturated(odd >> 11) as i16)
    }

    /// Both halves of the filter over the line, after it took two in.
    fn filter(&mut self, first: i32, second: i32) -> (i32, i32) {
        self.line.copy_within(2.., 0);
        (self.line[22], self.line[23]) = (first, second);
        let (mut even, mut odd) = (0, 0);
        for (n, pair) in self.line.chunks_exact(2).enumerate() {
            odd += pair[0] * TAPS[n];
            even += pair[1] * TAPS[11 - n];
        }
        (even, odd)
    }
}
