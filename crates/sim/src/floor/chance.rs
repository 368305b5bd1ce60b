//! Chance without floating point, so that one seed means one day on every machine: uniform, exponential and log-normal lengths of time.

use offhook_units::Span;

/// 64 bits from a seed, a stream and a number (the finaliser of SplitMix64, twice).
pub const fn draw(seed: u64, stream: u64, number: u64) -> u64 {
    const fn mix(mut z: u64) -> u64 {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    mix(mix(mix(seed) ^ stream) ^ number)
}

/// 0 to `bound` - 1.
pub const fn below(draw: u64, bound: u64) -> u64 {
    ((draw as u128 * bound as u128) >> 64) as u64
}

/// From `least` up to, not including, `most`.
pub fn between(draw: u64, least: Span, most: Span) -> Span {
    least + Span::from_us(below(draw, most.saturating_sub(least).as_us()))
}

/// An exponential length of time with this mean: -ln(u) x mean.
pub fn exponential(draw: u64, mean: Span) -> Span {
    /// ln 2 in units of 2^-32.
    const LN_2: u128 = 2_977_044_472;
    let u = draw | 1;
    let halvings = (64_u128 << 32) - u128::from(log2(u));
    Span::from_us(((halvings * LN_2 * u128::from(mean.as_us())) >> 64) as u64)
}

/// A log-normal length of time with this median; `sigma_per_mille` is the deviation of its logarithm to the base 2.
pub fn log_normal(draw: u64, median: Span, sigma_per_mille: u64) -> Span {
    // Twelve numbers of 16 bits, less their mean: normal but for its far tails, deviation one.
    let mut sum: i64 = 0;
    for part in 0..3 {
        let bits = self::draw(draw, 12, part);
        sum += (0..4).map(|at| ((bits >> (16 * at)) & 0xffff) as i64).sum::<i64>();
    }
    let normal = sum - 6 * 0xffff;
    let exponent = normal * 65_536 * sigma_per_mille as i64 / 1_000;
    let (whole, part) = (exponent >> 32, (exponent & 0xffff_ffff) as u64);
    let scaled = (u128::from(median.as_us()) * u128::from(exp2(part))) >> 32;
    let scaled = if whole >= 0 { scaled << whole.min(20) } else { scaled >> (-whole).min(40) };
    Span::from_us(scaled as u64)
}

/// log2(x) in units of 2^-32, rounded down.
fn log2(x: u64) -> u64 {
    let whole = 63 - u64::from(x.leading_zeros());
    // 1 <= m < 2, in units of 2^-63; squared again and again, it gives one binary digit each time.
    let mut m = x << (63 - whole);
    let mut digits = 0;
    for _ in 0..32 {
        let square = (u128::from(m) * u128::from(m)) >> 63;
        let carry = u64::from(square >> 64 != 0);
        m = if carry == 1 { (square >> 1) as u64 } else { square as u64 };
        digits = (digits << 1) | carry;
    }
    (whole << 32) | digits
}

/// 2^(part / 2^32) in units of 2^-32, for a part below 2^32.
fn exp2(part: u64) -> u64 {
    // The square root of 2, then of that, and so on, in units of 2^-62.
    let mut root = 2_u128 << 62;
    let mut product = 1_u128 << 62;
    for digit in (16..32).rev() {
        root = (root << 62).isqrt();
        if part >> digit & 1 == 1 {
            product = (product * root) >> 62;
        }
    }
    (product >> 30) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_and_power_are_right_to_five_digits() {
        for (x, log) in [(1_u64, 0.0), (2, 1.0), (3, 1.584_962_5), (1_000_003, 19.931_573), (u64::MAX, 64.0)] {
            assert!((log2(x) as f64 / 4_294_967_296.0 - log).abs() < 1e-5, "{x}");
        }
        for (part, power) in [(0.0, 1.0), (0.5, core::f64::consts::SQRT_2), (0.25, 1.189_207_1), (0.999, 1.998_614_2)] {
            let exp = exp2((part * 4_294_967_296.0) as u64) as f64 / 4_294_967_296.0;
            assert!((exp - power).abs() < 1e-4, "{part}: {exp}");
        }
    }

    #[test]
    fn means_and_medians_of_100_000_draws_come_out_within_1_percent() {
        let mean = Span::from_s(180);
        let draws = || (0..100_000).map(|n| draw(7, 1, n));
        let sum: u64 = draws().map(|draw| exponential(draw, mean).as_us()).sum();
        assert!((sum / 100_000).abs_diff(mean.as_us()) < mean.as_us() / 100, "{sum}");
        let mut normal: Vec<_> = draws().map(|draw| log_normal(draw, mean, 700).as_us()).collect();
        normal.sort_unstable();
        assert!(normal[50_000].abs_diff(mean.as_us()) < mean.as_us() / 100, "{}", normal[50_000]);
        // One deviation up is 2^0.7 = 1.6245 times the median.
        assert!(normal[84_134].abs_diff(292_410_000) < 292_410_000 / 50, "{}", normal[84_134]);
    }
}
