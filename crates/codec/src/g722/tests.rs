//! Against another implementation (spandsp 0.0.6), whose output on the signal below lies in `fixtures/g722`: `coded.g722` is
//! what it made of the signal, `decoded.pcm` and `decoded_narrow.pcm` what it made of that at 16 and 8 kHz, and `random.pcm` what
//! it made of arbitrary bytes (samples of 16 bits, little-endian).

use core::f64::consts::TAU;

use super::*;

const CODED: &[u8] = include_bytes!("../../../../fixtures/g722/coded.g722");
const DECODED: &[u8] = include_bytes!("../../../../fixtures/g722/decoded.pcm");
const DECODED_NARROW: &[u8] = include_bytes!("../../../../fixtures/g722/decoded_narrow.pcm");
const RANDOM: &[u8] = include_bytes!("../../../../fixtures/g722/random.pcm");

/// Numbers that look random, 16 bits with sign.
fn noise(seed: u32) -> impl Iterator<Item = i32> {
    let mut state = seed;
    core::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as i32 - 32_768
    })
}

/// 100 ms each of silence, a low tone, a high tone of the lower band in noise, full noise, a full square, a tone of the upper
/// band, silence, and faint noise.
fn signal() -> Vec<i16> {
    let triangle = |n: i32, hertz: i32, peak: i32| {
        let phase = n * hertz % 16_000;
        ((phase.min(16_000 - phase) - 4_000) * peak).div_euclid(4_000)
    };
    let sample = |(n, noise): (i32, i32)| match n / 1_600 {
        1 => triangle(n, 440, 8_000),
        2 => triangle(n, 3_000, 6_000) + (noise >> 4),
        3 => noise,
        4 if n * 300 % 16_000 < 8_000 => 32_767,
        4 => -32_768,
        5 => triangle(n, 5_500, 12_000),
        7 => noise >> 10,
        _ => 0,
    };
    (0..12_800).zip(noise(1)).map(|step| sample(step) as i16).collect()
}

fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn encoded(pcm: &[i16]) -> Vec<u8> {
    let mut out = vec![0; pcm.len() / 2];
    assert_eq!(Encoder::default().encode(pcm, &mut out), out.len());
    out
}

fn decoded(payload: &[u8]) -> Vec<i16> {
    let mut out = vec![0; payload.len() * 2];
    assert_eq!(Decoder::default().decode(payload, &mut out), out.len());
    out
}

/// Every sample, with the place of the first that differs. Where the Recommendation limits a sample (clause 4.4, LIMIT), the
/// reference lets it run over to the other sign: those are ours at the limit.
fn check(ours: &[i16], theirs: &[i16]) {
    assert_eq!(ours.len(), theirs.len());
    let limited = |our: i16, their: i16| matches!(our, i16::MIN | i16::MAX) && (our < 0) != (their < 0);
    let differs = ours.iter().zip(theirs).position(|(our, their)| our != their && !limited(*our, *their));
    let shown = differs.map(|at| (at, &ours[at..ours.len().min(at + 8)], &theirs[at..theirs.len().min(at + 8)]));
    assert_eq!(shown, None);
}

fn sine(hertz: f64, rate: f64, peak: f64, count: usize) -> Vec<i16> {
    (0..count).map(|n| (peak * (TAU * hertz * n as f64 / rate).sin()).round() as i16).collect()
}

/// The power of one frequency in decibels over a sample of 1.
fn level_of(pcm: &[i16], hertz: f64, rate: f64) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (n, sample) in pcm.iter().enumerate() {
        let angle = TAU * hertz * n as f64 / rate;
        real += f64::from(*sample) * angle.cos();
        imaginary += f64::from(*sample) * angle.sin();
    }
    let peak = 2.0 * real.hypot(imaginary) / pcm.len() as f64;
    20.0 * peak.max(1e-3).log10()
}

/// The power of all of it, as the peak of a sine of that power.
fn level(pcm: &[i16]) -> f64 {
    let power: f64 = pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / pcm.len() as f64;
    10.0 * (2.0 * power).max(1e-6).log10()
}

#[test]
fn all_6400_bytes_of_the_signal_are_those_of_the_reference() {
    let ours = encoded(&signal());
    assert_eq!(ours.iter().zip(CODED).position(|(our, their)| our != their), None);
    assert_eq!(ours.len(), CODED.len());
}

#[test]
fn decoded_sound_is_that_of_the_reference_in_every_sample_at_16_and_at_8_khz() {
    check(&decoded(CODED), &samples(DECODED));
    let mut decoder = Decoder::default();
    let narrow: Vec<i16> = CODED.iter().map(|byte| decoder.decode_narrow(*byte)).collect();
    check(&narrow, &samples(DECODED_NARROW));
}

#[test]
fn two_thousand_arbitrary_bytes_decode_to_what_the_reference_makes_of_them() {
    let bytes: Vec<u8> = noise(2).take(2_000).map(|n| (n >> 8) as u8).collect();
    check(&decoded(&bytes), &samples(RANDOM));
}

#[test]
fn tones_of_both_bands_keep_their_level_within_1_db_and_stand_20_db_or_more_over_the_rest() {
    for (hertz, over_rest_db) in [(300.0, 30.0), (1_000.0, 30.0), (3_000.0, 30.0), (5_000.0, 20.0), (6_500.0, 20.0)] {
        let pcm = sine(hertz, 16_000.0, 8_000.0, 16_000);
        let heard = &decoded(&encoded(&pcm))[1_600..];
        let tone = level_of(heard, hertz, 16_000.0);
        let rest: Vec<i16> = {
            // What is left without the tone: fitted and taken away.
            let (mut real, mut imaginary) = (0.0, 0.0);
            let angle = |n: usize| TAU * hertz * n as f64 / 16_000.0;
            for (n, sample) in heard.iter().enumerate() {
                real += f64::from(*sample) * angle(n).cos();
                imaginary += f64::from(*sample) * angle(n).sin();
            }
            let scale = 2.0 / heard.len() as f64;
            let fitted = |n: usize| scale * (real * angle(n).cos() + imaginary * angle(n).sin());
            heard.iter().enumerate().map(|(n, sample)| (f64::from(*sample) - fitted(n)).round() as i16).collect()
        };
        let over_rest = tone - level(&rest);
        assert!((tone - 78.06).abs() < 1.0, "{hertz} Hz came out at {tone:.2} dB");
        assert!(over_rest > over_rest_db, "{hertz} Hz stands {over_rest:.1} dB over the rest");
    }
}

#[test]
fn narrow_and_wide_ends_hear_each_other_at_the_same_level() {
    let mut encoder = Encoder::default();
    let bytes: Vec<u8> =
        sine(1_000.0, 8_000.0, 8_000.0, 8_000).into_iter().map(|sample| encoder.encode_narrow(sample)).collect();
    let up = level_of(&decoded(&bytes)[1_600..], 1_000.0, 16_000.0);
    let mut decoder = Decoder::default();
    let wide = encoded(&sine(1_000.0, 16_000.0, 8_000.0, 16_000));
    let narrow: Vec<i16> = wide.iter().map(|byte| decoder.decode_narrow(*byte)).collect();
    let down = level_of(&narrow[800..], 1_000.0, 8_000.0);
    assert!((up - 78.06).abs() < 0.5 && (down - 78.06).abs() < 0.5, "up {up:.2} dB, down {down:.2} dB");
}

#[test]
fn silence_stays_within_4_of_zero_and_the_byte_of_silence_ends_any_sound_within_50_ms_but_for_64() {
    assert!(decoded(&encoded(&vec![0; 16_000])).iter().all(|sample| sample.abs() <= 4));
    assert!(decoded(&vec![SILENCE; 8_000]).iter().all(|sample| *sample == 0));
    for seed in 0..20 {
        let loud: Vec<u8> = noise(seed).take(800).map(|n| (n >> 8) as u8).collect();
        let after = decoded(&[loud, vec![SILENCE; 1_600]].concat());
        let rest = &after[1_600 + 800..];
        assert!(rest.iter().all(|sample| sample.abs() <= 64), "seed {seed}: {:?}", rest.iter().max());
    }
}

#[test]
fn any_bytes_and_any_samples_are_taken_and_what_finds_no_room_is_left_out() {
    for seed in 0..10 {
        let bytes: Vec<u8> = noise(seed).take(2_000).map(|n| (n >> 3) as u8).collect();
        let mut decoder = Decoder::default();
        let mut out = vec![0; 4_001];
        assert_eq!(decoder.decode(&bytes, &mut out), 4_000);
        assert_eq!(decoder.decode(&bytes, &mut out[..7]), 6);
        assert_eq!(bytes.iter().map(|byte| decoder.decode_narrow(*byte)).count(), 2_000);
        let pcm: Vec<i16> = noise(seed).take(4_001).map(|n| if seed % 2 == 0 { n as i16 } else { i16::MIN }).collect();
        let mut encoder = Encoder::default();
        let mut coded = vec![0; 2_001];
        assert_eq!(encoder.encode(&pcm, &mut coded), 2_000);
        assert_eq!(encoder.encode(&pcm, &mut coded[..3]), 3);
    }
    assert_eq!(Encoder::default().encode(&[1], &mut [0; 4]), 0);
    assert_eq!(Decoder::default().decode(&[], &mut [0; 4]), 0);
}

/// A buzz of 120 Hz through a resonance: as uneven as a voice.
fn voice(peak: f64, count: usize) -> Vec<i16> {
    let mut before = [0.0; 2];
    let sounded = (0..count).map(|n| {
        let pulse = if n % 133 == 0 { 1.0 } else { 0.0 };
        let now = pulse + 1.9 * before[0] - 0.95 * before[1];
        before = [now, before[0]];
        now
    });
    let sounded: Vec<f64> = sounded.collect();
    let most = sounded.iter().fold(0.0_f64, |most, sample| most.max(sample.abs()));
    sounded.iter().map(|sample| (sample / most * peak) as i16).collect()
}

#[test]
fn a_stream_that_begins_in_mid_stream_is_within_3_db_of_its_level_after_60_ms_and_no_bang_before() {
    let peak_of = |pcm: &[i16]| pcm.iter().map(|sample| i32::from(*sample).abs()).max().unwrap_or(0);
    let sounds = [vec![0; 8_000], voice(600.0, 8_000), voice(8_000.0, 8_000), sine(440.0, 16_000.0, 6_000.0, 8_000)];
    for before in &sounds {
        for after in &sounds[1..] {
            let loudest = peak_of(before).max(peak_of(after));
            let heard = |mut encoder: Encoder| {
                let mut coded = vec![0; 4_000];
                encoder.encode(after, &mut coded);
                decoded(&[encoded(before), coded].concat()).split_off(8_000)
            };
            let softly = heard(Encoder::in_mid_stream());
            let (first, rest) = softly.split_at(960);
            assert!(peak_of(first) <= loudest * 3, "{} of {loudest}", peak_of(first));
            assert!(peak_of(rest) <= loudest * 4 / 3, "{} of {loudest}", peak_of(rest));
            // What it is for.
            assert!(peak_of(&heard(Encoder::default())) > loudest * 3);
        }
    }
}
