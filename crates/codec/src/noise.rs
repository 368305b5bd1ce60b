//! Comfort noise, RFC 3389: what is played while the far end has nothing to say, from what it told of its background.
//!
//! Noise of a generator goes through a lattice of the told reflection coefficients. It is the same noise each time: a stream's
//! noise begins with a fixed seed, and nobody hears that.

/// Reflection coefficients that are made use of. A sender may tell more (RFC 3389 section 3): the rest of a lattice can be left out.
const ORDER_MAX: usize = 12;
/// The coefficient of one step, in 1/32,768, RFC 3389 section 3.2.
const STEP: f32 = 258.0 / 32_768.0;
/// A new level is reached in this many samples: 20 ms.
const GLIDE: f32 = 160.0;
/// Full scale: 0 dBov.
const OVERLOAD: f32 = 32_768.0;

/// Noise as one payload tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Told {
    /// Root mean square of the samples.
    level: f32,
    reflections: [f32; ORDER_MAX],
    order: usize,
}

impl Told {
    /// None where there is no level.
    fn parse(payload: &[u8]) -> Option<Self> {
        let (level, coefficients) = payload.split_first()?;
        // RFC 3389 section 3.1: 0 to 127 below overload; the highest bit is none of it.
        let level = OVERLOAD * 10.0_f32.powf(-f32::from(level & 0x7f) / 20.0);
        let mut reflections = [0.0; ORDER_MAX];
        for (reflection, byte) in reflections.iter_mut().zip(coefficients) {
            // Section 3.2: 0 to 254; 255 would be a filter that is not stable.
            *reflection = (f32::from((*byte).min(254)) - 127.0) * STEP;
        }
        Some(Self { level, reflections, order: coefficients.len().min(ORDER_MAX) })
    }

    /// How much softer what goes into the lattice is than what comes out of it.
    fn gain(&self) -> f32 {
        let passed: f32 = self.reflections[..self.order].iter().map(|k| 1.0 - k * k).product();
        self.level * passed.sqrt()
    }
}

/// The background of one far end, at 8 kHz. It takes no memory beyond its own.
#[derive(Debug, Clone)]
pub struct ComfortNoise {
    told: Told,
    gain: f32,
    /// The lattice's backward errors.
    backward: [f32; ORDER_MAX + 1],
    seed: u32,
}

impl ComfortNoise {
    /// Noise as `payload` tells it; none where it tells nothing.
    pub fn new(payload: &[u8]) -> Option<Self> {
        let told = Told::parse(payload)?;
        Some(Self { told, gain: told.gain(), backward: [0.0; ORDER_MAX + 1], seed: 0x2545_f491 })
    }

    /// The background has changed: level and colour go over to what `payload` tells. One that tells nothing changes nothing.
    pub fn update(&mut self, payload: &[u8]) {
        if let Some(told) = Told::parse(payload) {
            self.told = told;
        }
    }

    /// The next samples.
    pub fn fill(&mut self, out: &mut [i16]) {
        let wanted = self.told.gain();
        for sample in out {
            self.gain += (wanted - self.gain) / GLIDE;
            let mut forward = self.excitation() * self.gain;
            for m in (0..self.told.order).rev() {
                let k = self.told.reflections[m];
                forward -= k * self.backward[m];
                self.backward[m + 1] = self.backward[m] + k * forward;
            }
            self.backward[0] = forward;
            *sample = forward.round().clamp(-32_768.0, 32_767.0) as i16;
        }
    }

    /// Noise with a mean square of one: four even ones added up come close to a bell.
    fn excitation(&mut self) -> f32 {
        let mut sum = -2.0;
        for _ in 0..4 {
            // Xorshift, after Marsaglia.
            self.seed ^= self.seed << 13;
            self.seed ^= self.seed >> 17;
            self.seed ^= self.seed << 5;
            sum += (self.seed >> 8) as f32 / 16_777_216.0;
        }
        sum * 3.0_f32.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(payload: &[u8], samples: usize) -> Vec<i16> {
        let mut out = vec![0; samples];
        ComfortNoise::new(payload).unwrap().fill(&mut out);
        out
    }

    fn dbov(pcm: &[i16]) -> f64 {
        let power = pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / pcm.len() as f64;
        10.0 * (power / 32_768.0_f64.powi(2)).log10()
    }

    /// What a sender would tell of `pcm`: level and reflection coefficients by the recursion of Levinson and Durbin.
    fn told_of(pcm: &[i16], order: usize) -> Vec<u8> {
        let lag = |by: usize| pcm[by..].iter().zip(pcm).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let lags: Vec<f64> = (0..=order).map(lag).collect();
        let (mut error, mut predictor) = (lags[0], vec![1.0]);
        let mut payload = vec![(-dbov(pcm)).round() as u8];
        for m in 1..=order {
            let k = -predictor.iter().zip(lags[1..=m].iter().rev()).map(|(a, r)| a * r).sum::<f64>() / error;
            let mut longer = predictor.clone();
            longer.push(0.0);
            predictor = longer.iter().zip(longer.iter().rev()).map(|(a, b)| a + k * b).collect();
            error *= 1.0 - k * k;
            payload.push((k / f64::from(STEP) + 127.0).round().clamp(0.0, 254.0) as u8);
        }
        payload
    }

    #[test]
    fn noise_has_the_told_level_within_half_a_decibel_from_20_to_70_below_overload() {
        for level in [20_u8, 30, 45, 60, 70] {
            for coefficients in [&[][..], &[20], &[230, 90], &[40, 200, 100, 127, 150, 110, 120, 130, 127, 140]] {
                let payload = [&[level], coefficients].concat();
                let measured = dbov(&noise(&payload, 40_000));
                assert!((measured + f64::from(level)).abs() < 0.5, "{payload:?}: {measured:.2} dBov");
            }
        }
    }

    #[test]
    fn what_is_told_of_the_noise_that_was_made_is_what_it_was_made_of() {
        for payload in [&[40, 127][..], &[35, 30], &[35, 220], &[40, 60, 190, 110, 140, 127]] {
            let again = told_of(&noise(payload, 80_000), payload.len() - 1);
            assert_eq!(again[0], payload[0]);
            for (told, said) in again.iter().zip(payload) {
                assert!(told.abs_diff(*said) <= 2, "{payload:?} became {again:?}");
            }
        }
    }

    #[test]
    fn low_noise_lies_below_1_khz_and_high_noise_above_3() {
        // One pole near 0 Hz, or near 4 kHz: a step from one sample to the next is small, or as large as can be.
        let steps = |payload: &[u8]| {
            let pcm = noise(payload, 8_000);
            let steps: f64 = pcm.windows(2).map(|pair| (f64::from(pair[1]) - f64::from(pair[0])).powi(2)).sum();
            steps / pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>()
        };
        assert!(steps(&[30, 10]) < 0.2 && steps(&[30, 244]) > 3.8 && (1.9..2.1).contains(&steps(&[30])));
    }

    #[test]
    fn a_change_of_30_db_is_made_without_a_click_within_100_ms() {
        let mut noise = ComfortNoise::new(&[60, 60]).unwrap();
        let mut out = vec![0; 1_600];
        noise.fill(&mut out);
        noise.update(&[30, 200]);
        noise.fill(&mut out);
        assert!(out[..16].iter().all(|sample| sample.abs() < 400), "{:?}", &out[..16]);
        assert!((dbov(&out[800..]) + 30.0).abs() < 1.0, "{}", dbov(&out[800..]));
        noise.update(&[]);
        noise.fill(&mut out);
        assert!((dbov(&out) + 30.0).abs() < 1.0);
    }

    #[test]
    fn any_payload_makes_noise_or_none_and_never_more_than_16_bits() {
        assert!(ComfortNoise::new(&[]).is_none());
        for byte in [0, 1, 127, 128, 254, 255] {
            let pcm = noise(&[byte; 40], 4_000);
            assert!(matches!(byte, 0 | 128) || pcm.iter().all(|sample| sample.abs() < 32_767), "{byte}");
        }
        assert!(noise(&[127], 800).iter().all(|sample| *sample == 0));
    }
}
