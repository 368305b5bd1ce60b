//! One band: what is expected of the next sample, how large steps are, and how both follow what was heard (clauses 3.2 to 3.6
//! and 6.2). Encoder and decoder do the same here, so that they agree without a word.

use super::saturated;

/// Decision levels of the lower band's 6-bit quantizer, for either sign (table 14).
const LEVELS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1_023, 1_121, 1_219, 1_339,
    1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
];
/// What six bits stand for (table 17).
const SIX: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192, -10_232, -9_360,
    -8_576, -7_856, -7_192, -6_576, -6_000, -5_456, -4_944, -4_464, -4_008, -3_576, -3_168, -2_776, -2_400, -2_032,
    -1_688, -1_360, -1_040, -728, 24_808, 21_904, 19_008, 16_704, 14_984, 13_512, 12_280, 11_192, 10_232, 9_360, 8_576,
    7_856, 7_192, 6_576, 6_000, 5_456, 4_944, 4_464, 4_008, 3_576, 3_168, 2_776, 2_400, 2_032, 1_688, 1_360, 1_040,
    728, 432, 136, -432, -136,
];
/// What the first four of them stand for: all that prediction goes by (table 17).
const FOUR: [i32; 16] =
    [0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288, 4_240, 2_584, 1_200, 0];
/// What the upper band's two bits stand for (table 20).
const TWO: [i32; 4] = [-7_408, -1_616, 7_408, 1_616];
/// How the logarithm of the lower band's step moves with four bits (tables 15 and 16).
const LOWER_MOVES: [i32; 16] = [-60, 3_042, 1_198, 538, 334, 172, 58, -30, 3_042, 1_198, 538, 334, 172, 58, -30, -60];
/// The same for the upper band's two bits (tables 18 and 19).
const UPPER_MOVES: [i32; 4] = [798, -214, 798, -214];
/// The decision level of the upper band (table 18).
const UPPER_LEVEL: i32 = 564;
/// Powers of two between 2,048 and 4,096, in 32 steps (table 13).
const POWERS: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656, 2_714, 2_774, 2_834,
    2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520, 3_597, 3_676, 3_756, 3_838, 3_922, 4_008,
];

/// What sets the scale of a band apart.
#[derive(Debug, Clone, Copy)]
struct Scale {
    /// Largest logarithm of the step (LIMIT).
    log_max: i32,
    /// The shift at which the step is [`POWERS`] itself (SCALEL, SCALEH).
    shift: i32,
}

const LOWER: Scale = Scale { log_max: 18_432, shift: 8 };
const UPPER: Scale = Scale { log_max: 22_528, shift: 10 };

/// A band's memory.
#[derive(Debug, Clone)]
pub struct Band {
    scale: Scale,
    /// What is expected next, and the share of the zeros in it.
    expected: i32,
    by_zeros: i32,
    /// The last signals as rebuilt, newest first.
    rebuilt: [i32; 2],
    /// The same without the poles' share: only their signs count.
    partial: [i32; 2],
    /// Coefficients of the poles.
    poles: [i32; 2],
    /// The last differences, newest first, and the coefficients of the zeros.
    differences: [i32; 6],
    zeros: [i32; 6],
    /// The step and its logarithm.
    step: i32,
    log: i32,
}

impl Band {
    pub const fn lower() -> Self {
        Self::new(LOWER, 32)
    }

    pub const fn upper() -> Self {
        Self::new(UPPER, 8)
    }

    const fn new(scale: Scale, step: i32) -> Self {
        Self {
            scale,
            expected: 0,
            by_zeros: 0,
            rebuilt: [0; 2],
            partial: [0; 2],
            poles: [0; 2],
            differences: [0; 6],
            zeros: [0; 6],
            step,
            log: 0,
        }
    }

    /// Six bits for the next sample of the lower band.
    pub fn encode_lower(&mut self, sample: i32) -> u8 {
        let error = saturated(sample - self.expected);
        let size = magnitude(error);
        let step = self.step;
        let place = LEVELS.partition_point(|level| size >= (level * step) >> 12) as u8;
        // QUANTL and table 14: towards smaller codes for larger errors; the two smallest negative ones stand at the top.
        let code = match (error < 0, place) {
            (false, place) => 61 - place,
            (true, 0) => 63,
            (true, 1) => 62,
            (true, place) => 33 - place,
        };
        self.follow_lower(code);
        code
    }

    /// The next sample of the lower band (15 bits) from six bits.
    pub fn decode_lower(&mut self, code: u8) -> i32 {
        let sample = self.expected + ((self.step * SIX[usize::from(code & 63)]) >> 15);
        self.follow_lower(code);
        limited(sample)
    }

    /// Two bits for the next sample of the upper band.
    pub fn encode_upper(&mut self, sample: i32) -> u8 {
        let error = saturated(sample - self.expected);
        let large = magnitude(error) >= (UPPER_LEVEL * self.step) >> 12;
        let code = match (error < 0, large) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        self.follow_upper(code);
        code
    }

    /// The next sample of the upper band (15 bits) from two bits.
    pub fn decode_upper(&mut self, code: u8) -> i32 {
        let sample = self.expected + ((self.step * TWO[usize::from(code & 3)]) >> 15);
        self.follow_upper(code);
        limited(sample)
    }

    fn follow_lower(&mut self, code: u8) {
        let four = usize::from((code & 63) >> 2);
        self.follow((self.step * FOUR[four]) >> 15, LOWER_MOVES[four]);
    }

    fn follow_upper(&mut self, code: u8) {
        let two = usize::from(code & 3);
        self.follow((self.step * TWO[two]) >> 15, UPPER_MOVES[two]);
    }

    /// Learns from the difference that a code stood for, and from how far the code moves the scale.
    fn follow(&mut self, difference: i32, moves: i32) {
        self.rescale(moves);
        let partial = saturated(self.by_zeros + difference);
        let rebuilt = saturated(self.expected + difference);
        self.move_poles(partial);
        self.move_zeros(difference);
        self.rebuilt = [rebuilt, self.rebuilt[0]];
        self.partial = [partial, self.partial[0]];
        self.expect();
    }

    /// LOGSCL or LOGSCH, and SCALEL or SCALEH: the step follows on a logarithmic scale, and leaks.
    fn rescale(&mut self, moves: i32) {
        self.log = (((self.log * 127) >> 7) + moves).clamp(0, self.scale.log_max);
        let power = POWERS[(self.log >> 6) as usize & 31];
        let shift = self.scale.shift - (self.log >> 11);
        let power = if shift < 0 { power << -shift } else { power >> shift };
        self.step = power << 2;
    }

    /// UPPOL2 and UPPOL1: the poles follow the signs, and stay where they are stable.
    fn move_poles(&mut self, partial: i32) {
        let like = |before: i32| (partial < 0) == (before < 0);
        let [first, second] = self.poles;
        let fourfold = saturated(first << 2);
        let pull = if like(self.partial[0]) { (-fourfold).min(32_767) } else { fourfold };
        let push = if like(self.partial[1]) { 128 } else { -128 };
        let second = ((pull >> 7) + push + ((second * 32_512) >> 15)).clamp(-12_288, 12_288);
        let push = if like(self.partial[0]) { 192 } else { -192 };
        let bound = 15_360 - second;
        let first = (push + ((first * 32_640) >> 15)).clamp(-bound, bound);
        self.poles = [first, second];
    }

    /// UPZERO and DELAYA: the zeros follow the signs of the differences.
    fn move_zeros(&mut self, difference: i32) {
        let push = if difference == 0 { 0 } else { 128 };
        for (zero, before) in self.zeros.iter_mut().zip(self.differences) {
            let push = if (before < 0) == (difference < 0) { push } else { -push };
            *zero = saturated(push + ((*zero * 32_640) >> 15));
        }
        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;
    }

    /// FILTEP, FILTEZ and PREDIC: what is expected next.
    fn expect(&mut self) {
        let share = |(coefficient, signal): (&i32, &i32)| (coefficient * saturated(signal << 1)) >> 15;
        let by_poles = saturated(self.poles.iter().zip(&self.rebuilt).map(share).sum());
        self.by_zeros = saturated(self.zeros.iter().zip(&self.differences).map(share).sum());
        self.expected = saturated(by_poles + self.by_zeros);
    }
}

/// The size of an error as the quantizers compare it: negative ones by their one's complement.
const fn magnitude(error: i32) -> i32 {
    if error < 0 { !error } else { error }
}

/// LIMIT: within 15 bits.
fn limited(sample: i32) -> i32 {
    sample.clamp(-16_384, 16_383)
}
