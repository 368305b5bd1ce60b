//! Sound at 16 kHz as two bands of 8 kHz each: the lower one is telephone sound, the upper one what makes it wide.

use crate::g722::Split;

/// Parts one stream into bands, or joins it of them: by the filters of G.722, so that what G.722 codes needs none.
#[derive(Debug, Clone, Default)]
pub struct Bands(Split);

impl Bands {
    /// Parts `wide` into `low` and `high`, half as many samples each; says how many those are.
    pub fn part(&mut self, wide: &[i16], low: &mut [i16], high: &mut [i16]) -> usize {
        let mut count = 0;
        for ((pair, low), high) in wide.chunks_exact(2).zip(low).zip(high) {
            let (below, above) = self.0.analyse(pair[0], pair[1]);
            (*low, *high) = (full(below), full(above));
            count += 1;
        }
        count
    }

    /// Joins `low` and `high` to twice as many samples in `wide`; says how many those are. What `high` is shorter by is silence.
    pub fn join(&mut self, low: &[i16], high: &[i16], wide: &mut [i16]) -> usize {
        let mut count = 0;
        let high = high.iter().copied().chain(core::iter::repeat(0));
        for ((low, high), pair) in low.iter().zip(high).zip(wide.chunks_exact_mut(2)) {
            let (first, second) = self.0.join(i32::from(*low) >> 1, i32::from(high) >> 1);
            pair.copy_from_slice(&[first, second]);
            count += 2;
        }
        count
    }
}

/// A sample of a band, 15 bits, at full scale.
fn full(band: i32) -> i16 {
    (band << 1).clamp(-32_768, 32_767) as i16
}

#[cfg(test)]
mod tests {
    use core::f64::consts::TAU;

    use super::*;

    fn power(pcm: &[i16]) -> f64 {
        pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / pcm.len() as f64
    }

    #[test]
    fn tones_of_each_band_come_out_of_it_at_their_level_and_joined_again_as_they_were() {
        for (hertz, is_low) in [(300.0, true), (1_000.0, true), (3_000.0, true), (5_000.0, false), (6_500.0, false)] {
            let tone = |n: i32| (8_000.0 * (TAU * hertz * f64::from(n) / 16_000.0).sin()) as i16;
            let wide: Vec<i16> = (0..16_000).map(tone).collect();
            let (mut low, mut high, mut again) = (vec![0; 8_000], vec![0; 8_000], vec![0; 16_000]);
            assert_eq!(Bands::default().part(&wide, &mut low, &mut high), 8_000);
            assert_eq!(Bands::default().join(&low, &high, &mut again), 16_000);
            let db = |a: &[i16], b: &[i16]| 10.0 * (power(&a[800..]) / power(&b[800..]).max(1e-3)).log10();
            let (own, other) = if is_low { (&low, &high) } else { (&high, &low) };
            assert!(db(own, &wide).abs() < 1.0 && db(own, other) > 15.0, "{hertz} Hz");
            assert!(db(&again, &wide).abs() < 0.5, "{hertz} Hz: {:.2} dB", db(&again, &wide));
        }
    }
}
