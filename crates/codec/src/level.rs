//! How loud a voice is while it speaks, and how much of the time it does: the active speech level of ITU-T P.56, method B, in blocks
//! of a packet instead of samples.

use crate::Law;

/// Thresholds of activity, twice as high each: from the last bit up to half of full scale (P.56 section 7.1).
const THRESHOLDS: usize = 15;
/// A pause of up to so much belongs to the speech (P.56: 200 ms), in samples at 8 kHz.
const HANGOVER: u32 = 1_600;
/// Margin between the threshold and the level of what lies above it, in dB (P.56).
const MARGIN_DB: f64 = 15.9;
/// Full scale (0 dBov) as a mean of squares: a square wave of 32,768.
const OVERLOAD: f64 = 1_073_741_824.0;
/// What is not louder than this is no speech, but the noise of a line or of silence: dB below full scale.
const FLOOR_DB: f64 = -60.0;

const fn squares(table: &[i16; 256]) -> [u32; 256] {
    let mut squares = [0; 256];
    let mut code = 0;
    while code < 256 {
        squares[code] = (table[code] as i32 * table[code] as i32) as u32;
        code += 1;
    }
    squares
}

static MU: [u32; 256] = squares(&crate::pcmu::DECODED);
static A: [u32; 256] = squares(&crate::pcma::DECODED);

/// Of so many samples one is looked at: what a packet of speech holds is not the rhythm of 2.7 kHz.
pub const STRIDE: usize = 3;

/// The mean of the squares of a payload's samples, by a table and by every third of them.
pub fn power(law: Law, payload: &[u8]) -> u64 {
    let table = match law {
        Law::Mu => &MU,
        Law::A => &A,
    };
    let sum: u64 = payload.iter().step_by(STRIDE).map(|code| u64::from(table[usize::from(*code)])).sum();
    sum / payload.len().div_ceil(STRIDE).max(1) as u64
}

/// How loud, and how much of the time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Level of the speech while there is any, in dB below full scale (dBov); for dBm0 add 6.15. None where there was none.
    pub speech_db: Option<f64>,
    /// The part of the time in which there is speech, 0 to 1.
    pub activity: f64,
}

/// Measures one voice. Copied and fed without allocation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LevelMeter {
    samples: u64,
    squares: u64,
    /// Samples in which the speech stood above each threshold, or had a moment ago.
    active: [u64; THRESHOLDS],
    /// How much longer it counts as being above.
    hangs: [u32; THRESHOLDS],
}

impl LevelMeter {
    /// Takes a block: how many samples at 8 kHz, and the mean of their squares.
    pub fn take(&mut self, samples: u32, mean: u64) {
        self.samples += u64::from(samples);
        // Full only after 600 hours of full scale, or a flood.
        self.squares = self.squares.saturating_add(mean.saturating_mul(u64::from(samples)));
        // The n-th threshold is 2^n, its square 4^n: so many lie at or below the root of the mean.
        let reached = (64 - mean.leading_zeros()).div_ceil(2) as usize;
        for (n, (active, hangs)) in self.active.iter_mut().zip(&mut self.hangs).enumerate() {
            let counts = if n < reached {
                *hangs = HANGOVER;
                samples
            } else {
                let rest = samples.min(*hangs);
                *hangs -= rest;
                rest
            };
            *active += u64::from(counts);
        }
    }

    /// Samples measured, at 8 kHz.
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// What came out so far.
    pub fn measured(&self) -> Measured {
        let none = Measured { speech_db: None, activity: 0.0 };
        let mut before: Option<(f64, f64)> = None;
        for (n, active) in (0..).zip(self.active) {
            let level = if active == 0 { f64::NEG_INFINITY } else { db(self.squares as f64 / active as f64) };
            let threshold = db(4.0_f64.powi(n));
            let above = level - threshold;
            if above > MARGIN_DB {
                before = Some((level, above));
                continue;
            }
            // Between the two thresholds of which the one leaves too much below it, and the other too little.
            let level = match before {
                Some((lower, more)) if level.is_finite() => {
                    lower + (level - lower) * (more - MARGIN_DB) / (more - above)
                }
                Some((lower, _)) => lower,
                None => level,
            };
            return if level > FLOOR_DB { self.at(level) } else { none };
        }
        before.map_or(none, |(level, _)| self.at(level))
    }

    fn at(&self, level: f64) -> Measured {
        let mean = self.squares as f64 / self.samples as f64;
        let activity = mean / (OVERLOAD * 10.0_f64.powf(level / 10.0));
        Measured { speech_db: Some(level), activity: activity.clamp(0.0, 1.0) }
    }
}

/// A mean of squares in dB below full scale.
fn db(mean: f64) -> f64 {
    10.0 * (mean / OVERLOAD).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(pcm: &[i16]) -> u64 {
        pcm.iter().map(|sample| u64::from(sample.unsigned_abs()).pow(2)).sum::<u64>() / pcm.len() as u64
    }

    fn measured(pcm: &[i16], block: usize) -> Measured {
        let mut meter = LevelMeter::default();
        pcm.chunks(block).for_each(|block| meter.take(block.len() as u32, mean_of(block)));
        assert_eq!(meter.samples(), pcm.len() as u64);
        meter.measured()
    }

    fn sine(peak: f64, samples: usize) -> Vec<i16> {
        (0..samples).map(|n| (peak * (n as f64 * 0.7).sin()) as i16).collect()
    }

    #[track_caller]
    fn check(pcm: &[i16], speech_db: f64, activity: f64) {
        for block in [80, 160, 480] {
            let Measured { speech_db: level, activity: active } = measured(pcm, block);
            let level = level.expect("speech");
            assert!((level - speech_db).abs() < 0.6, "{level:.2} dBov in blocks of {block}");
            assert!((active - activity).abs() < 0.05, "{active:.3} of the time in blocks of {block}");
        }
    }

    #[test]
    fn a_sine_has_the_level_of_its_rms_all_of_the_time_from_minus_3_to_minus_43_dbov() {
        for (peak, level) in [(32_767.0, -3.01), (10_362.0, -13.01), (3_276.0, -23.01), (327.0, -43.01)] {
            check(&sine(peak, 80_000), level, 1.0);
        }
    }

    #[test]
    fn pauses_lower_the_activity_and_not_the_level_and_200_ms_of_each_belong_to_the_speech() {
        // A second of tone at -23 dBov, then so many of silence: 1.2 s of each cycle are active.
        for pause in [1_usize, 3, 9] {
            let mut pcm = Vec::new();
            for _ in 0..20 {
                pcm.extend(sine(3_276.0, 8_000));
                pcm.extend(vec![0; 8_000 * pause]);
            }
            let active = 1.2 / (1.0 + pause as f64);
            check(&pcm, -23.01 + 10.0 * (1.0_f64 / 1.2).log10(), active);
        }
    }

    #[test]
    fn noise_45_db_below_the_speech_changes_neither() {
        let mut pcm = Vec::new();
        for _ in 0..20 {
            pcm.extend(sine(5_000.0, 8_000));
            pcm.extend(sine(28.0, 24_000));
        }
        check(&pcm, -19.34 - 0.79, 0.3);
    }

    #[test]
    fn nothing_silence_and_a_line_noise_of_minus_62_dbov_are_no_speech() {
        let none = Measured { speech_db: None, activity: 0.0 };
        assert_eq!(LevelMeter::default().measured(), none);
        assert_eq!(measured(&[0; 8_000], 160), none);
        assert_eq!(measured(&vec![8; 80_000], 160), none);
        assert_eq!(measured(&sine(36.0, 80_000), 160), none);
        assert_ne!(measured(&sine(60.0, 80_000), 160), none);
    }

    #[test]
    fn payloads_of_both_laws_have_the_power_of_their_samples_within_half_a_db_and_an_empty_one_has_none() {
        for law in [Law::Mu, Law::A] {
            let pcm: Vec<i16> = (0..8_000).map(|n| (n * n % 9_001 - 4_500) as i16).collect();
            let payload: Vec<u8> = pcm.iter().map(|sample| law.encode(*sample)).collect();
            for (payload, pcm) in payload.chunks(160).zip(pcm.chunks(160)) {
                let apart = 10.0 * (power(law, payload) as f64 / mean_of(pcm) as f64).log10();
                assert!(apart.abs() < 2.5, "{apart:.2} dB in a packet");
            }
            let apart = 10.0 * (power(law, &payload) as f64 / mean_of(&pcm) as f64).log10();
            assert!(apart.abs() < 0.5, "{apart:.2} dB in a second");
            assert_eq!(power(law, &[]), 0);
        }
    }

    #[test]
    fn full_scale_for_700_hours_stops_nothing() {
        let mut meter = LevelMeter::default();
        for _ in 0..700 {
            meter.take(8_000 * 3_600, 1 << 30);
        }
        assert!(meter.measured().speech_db.expect("speech").abs() < 1.0);
    }
}
