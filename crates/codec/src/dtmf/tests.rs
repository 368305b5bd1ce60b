//! The figures of Q.24, voices and noise, through a law of G.711.

use core::f64::consts::TAU;

use super::*;

/// The peak of a sine of 0 dBm0: 3.14 dB below full scale.
const PEAK_0_DBM0: f64 = 22_827.0;

/// A line that keys are heard on.
#[derive(Clone, Copy)]
struct Line {
    /// Of the lower tone.
    level_dbm0: f64,
    /// How much louder the higher tone is.
    twist_db: f64,
    /// How far both tones are beside their frequencies.
    astray_percent: [f64; 2],
    /// Noise below both tones together.
    noise_db: Option<f64>,
}

const CLEAN: Line = Line { level_dbm0: -12.0, twist_db: 0.0, astray_percent: [0.0; 2], noise_db: None };

/// A stream being made.
struct Made {
    pcm: Vec<i16>,
    chance: u64,
}

impl Made {
    /// Begins with a pause of a length of its own, so that looks fall anywhere.
    fn new(seed: u64) -> Self {
        let mut made = Self { pcm: Vec::new(), chance: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 };
        let pause = 200 + (made.next() % 80) as usize;
        made.pcm.resize(pause, 0);
        made
    }

    fn next(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance >> 16
    }

    /// About normal: the sum of twelve even draws.
    fn noise(&mut self) -> f64 {
        (0..12).map(|_| (self.next() % 65_536) as f64 / 65_536.0).sum::<f64>() - 6.0
    }

    fn silence(&mut self, ms: f64) -> &mut Self {
        self.pcm.resize(self.pcm.len() + (ms * 8.0) as usize, 0);
        self
    }

    fn key(&mut self, key: u8, ms: f64, line: Line) -> &mut Self {
        let at = KEYS.iter().position(|known| *known == key).expect("a key");
        let low = f64::from(FREQUENCIES[at / 4]) * (1.0 + line.astray_percent[0] / 100.0);
        let high = f64::from(FREQUENCIES[4 + at % 4]) * (1.0 + line.astray_percent[1] / 100.0);
        let peak = |dbm0: f64| PEAK_0_DBM0 * 10_f64.powf(dbm0 / 20.0);
        let (first, second) = (peak(line.level_dbm0), peak(line.level_dbm0 + line.twist_db));
        let phases = [self.next(), self.next()].map(|n| n as f64);
        for n in 0..(ms * 8.0) as u32 {
            let angle = |hertz: f64, phase: f64| (TAU * hertz * f64::from(n) / 8_000.0 + phase).sin();
            let sample = first * angle(low, phases[0]) + second * angle(high, phases[1]);
            self.pcm.push(sample.clamp(-32_768.0, 32_767.0) as i16);
        }
        self
    }

    fn noisy(&mut self, line: Line) -> &mut Self {
        let Some(below_db) = line.noise_db else { return self };
        let peak = |dbm0: f64| PEAK_0_DBM0 * 10_f64.powf(dbm0 / 20.0);
        let power = f64::midpoint(peak(line.level_dbm0).powi(2), peak(line.level_dbm0 + line.twist_db).powi(2));
        let deviation = (power / 10_f64.powf(below_db / 10.0)).sqrt();
        for n in 0..self.pcm.len() {
            let noise = self.noise() * deviation;
            self.pcm[n] = (f64::from(self.pcm[n]) + noise).clamp(-32_768.0, 32_767.0) as i16;
        }
        self
    }

    /// What is heard through a law of G.711, in pieces of any size.
    fn heard(&mut self) -> String {
        self.silence(60.0);
        let (mut detector, mut out) = (KeyDetector::default(), String::new());
        let law = if self.next().is_multiple_of(2) { crate::Law::Mu } else { crate::Law::A };
        let pcm: Vec<i16> = self.pcm.iter().map(|sample| law.decode(law.encode(*sample))).collect();
        let mut rest = &pcm[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(1 + (self.next() % 300) as usize));
            detector.feed(piece, |key| out.push(key));
            rest = behind;
        }
        out
    }
}

/// All sixteen keys, each `on_ms` long and `off_ms` apart, heard at twenty places of the looks.
fn all_keys(line: Line, on_ms: f64, off_ms: f64) -> Vec<String> {
    let heard = |seed| {
        let mut made = Made::new(seed);
        for key in KEYS {
            made.key(*key, on_ms, line).silence(off_ms);
        }
        made.noisy(line).heard()
    };
    (1..=20).map(heard).collect()
}

#[track_caller]
fn check_found(what: &str, line: Line, on_ms: f64, off_ms: f64) {
    for heard in all_keys(line, on_ms, off_ms) {
        assert_eq!(heard.as_bytes(), KEYS, "{what}");
    }
}

#[track_caller]
fn check_refused(what: &str, line: Line, on_ms: f64) {
    for heard in all_keys(line, on_ms, 60.0) {
        assert_eq!(heard, "", "{what}");
    }
}

#[test]
fn keys_of_40_ms_with_pauses_of_40_ms_are_all_found_and_those_of_23_ms_are_none() {
    for level_dbm0 in [0.0, -12.0, -25.0] {
        let line = Line { level_dbm0, ..CLEAN };
        check_found(&format!("{level_dbm0} dBm0"), line, 40.0, 40.0);
        check_refused(&format!("{level_dbm0} dBm0"), line, 23.0);
    }
}

#[test]
fn levels_of_0_to_minus_28_dbm0_are_heard_and_minus_30_is_not() {
    for level_dbm0 in [0.0, -3.0, -6.0, -20.0, -25.0, -28.0] {
        check_found(&format!("{level_dbm0} dBm0"), Line { level_dbm0, ..CLEAN }, 40.0, 40.0);
    }
    check_refused("-30 dBm0", Line { level_dbm0: -30.0, ..CLEAN }, 100.0);
}

#[test]
fn a_twist_of_8_db_is_taken_either_way_and_12_db_is_not() {
    for twist_db in [-8.0, -4.0, 4.0, 8.0] {
        check_found(&format!("{twist_db} dB"), Line { twist_db, ..CLEAN }, 40.0, 40.0);
    }
    for twist_db in [-12.0, 12.0] {
        check_refused(&format!("{twist_db} dB"), Line { twist_db, ..CLEAN }, 100.0);
    }
}

#[test]
fn tones_1_5_percent_beside_their_frequency_are_taken_and_3_5_percent_are_not() {
    for astray_percent in [[1.5, 1.5], [-1.5, -1.5], [1.5, -1.5], [0.0, 1.5], [-1.5, 0.0]] {
        check_found(&format!("{astray_percent:?}"), Line { astray_percent, ..CLEAN }, 40.0, 40.0);
    }
    for astray_percent in [[3.5, 3.5], [-3.5, -3.5], [3.5, 0.0], [-3.5, 0.0], [0.0, 3.5], [0.0, -3.5], [5.0, 0.0]] {
        check_refused(&format!("{astray_percent:?}"), Line { astray_percent, ..CLEAN }, 100.0);
    }
}

#[test]
fn keys_are_found_in_noise_15_db_below_them_with_twist_and_astray_as_well() {
    for (twist_db, astray_percent) in [(0.0, [0.0; 2]), (-8.0, [1.5, -1.5]), (4.0, [-1.5, 1.5])] {
        let line = Line { noise_db: Some(15.0), twist_db, astray_percent, ..CLEAN };
        check_found(&format!("{twist_db} dB"), line, 40.0, 40.0);
    }
    let line = Line { noise_db: Some(15.0), ..CLEAN };
    check_refused("23 ms", line, 23.0);
    check_refused("3.5 %", Line { astray_percent: [3.5, 3.5], ..line }, 100.0);
}

#[test]
fn a_gap_of_20_ms_leaves_one_key_and_a_pause_of_40_ms_makes_two() {
    for (gap_ms, times) in [(5.0, 1), (10.0, 1), (20.0, 1), (40.0, 2), (60.0, 2)] {
        for noise_db in [None, Some(15.0)] {
            let line = Line { noise_db, ..CLEAN };
            for seed in 1..=20 {
                let mut made = Made::new(seed);
                for key in KEYS {
                    made.key(*key, 50.0, line).silence(gap_ms).key(*key, 50.0, line).silence(60.0);
                }
                let expected: Vec<u8> = KEYS.iter().flat_map(|key| vec![*key; times]).collect();
                assert_eq!(made.noisy(line).heard().as_bytes(), expected, "{gap_ms} ms, {noise_db:?}");
            }
        }
    }
}

#[test]
fn a_key_held_for_10_s_is_one_and_another_right_behind_it_is_found() {
    for seed in 1..=5 {
        assert_eq!(Made::new(seed).key(b'5', 10_000.0, CLEAN).key(b'6', 50.0, CLEAN).heard(), "56");
    }
}

#[test]
fn our_own_tones_are_heard_as_their_keys() {
    let (mut detector, mut heard) = (KeyDetector::default(), String::new());
    for key in KEYS {
        let mut pcm = [0; 1_200];
        crate::Tone::key(offhook_units::SampleRate::NARROW, char::from(*key)).expect("a key").fill(&mut pcm);
        detector.feed(&pcm, |key| heard.push(key));
    }
    assert_eq!(heard.as_bytes(), KEYS);
}

/// A voice: harmonics of a pitch that glides and trembles, under formants that wander, in syllables.
fn voice(made: &mut Made, seconds: u32, pitch: f64) {
    let mut phase = 0.0;
    let mut formants = [(500.0, 500.0), (1_500.0, 1_500.0), (2_500.0, 2_500.0)];
    let (mut glide, mut loud) = (1.0, 0.0_f64);
    for n in 0..seconds * 8_000 {
        let time = f64::from(n) / 8_000.0;
        if n % 1_600 == 0 {
            let draws: [f64; 5] = core::array::from_fn(|_| (made.next() % 1_000) as f64 / 1_000.0);
            formants[0].1 = 300.0 + 700.0 * draws[0];
            formants[1].1 = 900.0 + 1_400.0 * draws[1];
            formants[2].1 = 2_300.0 + 900.0 * draws[2];
            glide = 0.8 + 0.5 * draws[3];
            loud = if draws[4] < 0.2 { 0.0 } else { 1_000.0 + 9_000.0 * draws[4] };
        }
        for (now, target) in &mut formants {
            *now += (*target - *now) * 0.001;
        }
        let hertz = pitch * glide * (1.0 + 0.03 * (TAU * 5.5 * time).sin());
        phase = (phase + hertz / 8_000.0) % 1.0;
        let mut sample = 0.0;
        let mut harmonic = 1.0;
        while harmonic * hertz < 3_400.0 {
            let strength: f64 =
                formants.iter().map(|(at, _)| 1.0 / (1.0 + ((harmonic * hertz - at) / 80.0).powi(2))).sum();
            sample += strength * (TAU * harmonic * phase).sin();
            harmonic += 1.0;
        }
        made.pcm.push((sample * loud).clamp(-32_768.0, 32_767.0) as i16);
    }
}

#[test]
fn ten_minutes_of_voices_from_90_to_700_hz_press_no_key() {
    for (seed, pitch) in [90.0, 120.0, 160.0, 200.0, 230.0, 280.0, 340.0, 430.0, 550.0, 700.0].into_iter().enumerate() {
        let mut made = Made::new(seed as u64 + 1);
        voice(&mut made, 60, pitch);
        assert_eq!(made.heard(), "", "{pitch} Hz");
    }
}

#[test]
fn tones_of_the_network_and_single_tones_press_no_key() {
    let pairs = [[425.0, 0.0], [350.0, 440.0], [480.0, 620.0], [440.0, 480.0], [697.0, 0.0], [1_336.0, 0.0]];
    let beside = [[697.0, 770.0], [1_209.0, 1_477.0], [697.0, 1_100.0], [1_100.0, 2_100.0], [1_300.0, 1_700.0]];
    for frequencies in pairs.into_iter().chain(beside) {
        let cadence = crate::Cadence { on: offhook_units::Span::from_s(1), off: offhook_units::Span::ZERO };
        let mut made = Made::new(1);
        let mut pcm = [0; 8_000];
        crate::Tone::new(offhook_units::SampleRate::NARROW, frequencies, 6_000, cadence).fill(&mut pcm);
        made.pcm.extend(pcm);
        assert_eq!(made.heard(), "", "{frequencies:?}");
    }
}

#[test]
fn noise_full_scale_and_nonsense_press_no_key() {
    let mut made = Made::new(3);
    for n in 0..80_000_u64 {
        let sample = match n / 20_000 {
            0 => made.next() as i16,
            1 if n % 8 < 4 => i16::MAX,
            1 => i16::MIN,
            2 => (n % 64 * 1_000) as i16,
            _ => {
                if n % 400 == 0 {
                    i16::MIN
                } else {
                    0
                }
            }
        };
        made.pcm.push(sample);
    }
    assert_eq!(made.heard(), "");
}
