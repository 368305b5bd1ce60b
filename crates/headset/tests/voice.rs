//! Voice processing against a simulated room: how much of the echo and of the noise is gone, and how much of the talker stays.
//!
//! The speech is that of the prompts in `config/prompts`; the room is made of the reflections of its walls (image sources, Allen and
//! Berkley 1979), the devices of a fixed delay. Figures are printed with `--nocapture`.

use offhook_codec::{Law, LevelMeter, pcmu, power};
use offhook_headset::voice::{CEILING, FRAME, TARGET_DB};
use offhook_headset::{Voice, VoiceSwitches};

const SECOND: usize = 8_000;
const ONLY_ECHO: VoiceSwitches = VoiceSwitches { echo: true, ..VoiceSwitches::OFF };
const ONLY_NOISE: VoiceSwitches = VoiceSwitches { noise: true, ..VoiceSwitches::OFF };
const ONLY_GAIN: VoiceSwitches = VoiceSwitches { gain: true, ..VoiceSwitches::OFF };

fn prompt(name: &str) -> Vec<f32> {
    let path = format!("{}/../../config/prompts/{name}.wav", env!("CARGO_MANIFEST_DIR"));
    let mut reader = hound::WavReader::open(path).unwrap();
    assert_eq!(reader.spec().sample_rate, 8_000);
    reader.samples::<i16>().map(|sample| f32::from(sample.unwrap())).collect()
}

/// Speech of `seconds` at `level_db` below full scale, over and over, with pauses of 400 ms.
fn talk(names: &[&str], seconds: usize, level_db: f64) -> Vec<f32> {
    let mut all = Vec::new();
    for name in names.iter().cycle() {
        all.extend(prompt(name));
        all.extend([0.0; 3_200]);
        if all.len() >= seconds * SECOND {
            break;
        }
    }
    all.truncate(seconds * SECOND);
    let factor = 10.0_f64.powf((level_db - speech_db(&all)) / 20.0) as f32;
    all.iter().map(|sample| sample * factor).collect()
}

fn far(seconds: usize) -> Vec<f32> {
    talk(&["reception-menu", "vm-nobodyavail", "invalid"], seconds, -26.0)
}

fn near(seconds: usize, level_db: f64) -> Vec<f32> {
    talk(&["tt-allbusy", "queue-thereare", "please-try-call-later", "queue-callswaiting"], seconds, level_db)
}

/// The active speech level of ITU-T P.56, as the exchange measures it.
fn speech_db(samples: &[f32]) -> f64 {
    let mut meter = LevelMeter::default();
    for frame in samples.chunks_exact(FRAME) {
        let (mut payload, frame) = ([0; FRAME], to_pcm(frame));
        pcmu::encode(&frame, &mut payload);
        meter.take(FRAME as u32, power(Law::Mu, &payload));
    }
    meter.measured().speech_db.expect("it holds speech")
}

fn to_pcm(frame: &[f32]) -> [i16; FRAME] {
    core::array::from_fn(|n| frame[n].round().clamp(-32_768.0, 32_767.0) as i16)
}

/// In decibels below full scale.
fn level_db(samples: &[f32]) -> f32 {
    let mean = samples.iter().map(|s| (s / 32_768.0).powi(2)).sum::<f32>() / samples.len() as f32;
    10.0 * (mean + 1e-12).log10()
}

/// A fan: noise with a slope of 6 dB an octave from 300 Hz on.
fn fan(samples: usize, db: f32) -> Vec<f32> {
    let (mut state, mut low) = (1_u32, 0.0_f32);
    let noise: Vec<f32> = (0..samples)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            low += ((state >> 8) as f32 / 8_388_608.0 - 1.0 - low) * 0.2;
            low * 32_768.0
        })
        .collect();
    let factor = 10.0_f32.powf((db - level_db(&noise)) / 20.0);
    noise.iter().map(|sample| sample * factor).collect()
}

/// The impulse response between loudspeaker and microphone in an office of 4 by 3 by 2.7 m that dies away by 60 dB in 0.3 s.
fn room() -> Vec<f32> {
    let (size, from, to) = ([4.0, 3.0, 2.7_f32], [2.0, 1.2, 0.9_f32], [2.3, 1.5, 0.9_f32]);
    let surface = 2.0 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2]);
    let absorbed = 0.161 * size.iter().product::<f32>() / (surface * 0.3);
    let reflects = (1.0 - absorbed).sqrt();
    let mut response = vec![0.0; 2_400];
    let images = -10..=10_i32;
    for x in images.clone() {
        for y in images.clone() {
            for z in images.clone() {
                for parity in 0..8 {
                    let (mut squares, mut bounces) = (0.0, 0);
                    for (axis, image) in [x, y, z].into_iter().enumerate() {
                        let mirrored = parity >> axis & 1;
                        let at = (1 - 2 * mirrored) as f32 * from[axis] + 2.0 * image as f32 * size[axis];
                        squares += (at - to[axis]).powi(2);
                        bounces += (image - mirrored).abs() + image.abs();
                    }
                    let distance = squares.sqrt();
                    let at = (distance / 343.0 * SECOND as f32).round() as usize;
                    if let Some(tap) = response.get_mut(at) {
                        *tap += reflects.powi(bounces) / distance;
                    }
                }
            }
        }
    }
    response
}

/// What the microphone hears of `played`: through devices of `delay_ms` and the room, `loss_db` quieter, over a faint noise.
fn echo_of(played: &[f32], delay_ms: usize, loss_db: f32) -> Vec<f32> {
    let (response, delay) = (room(), delay_ms * 8);
    let mut heard = vec![0.0; played.len() + response.len()];
    for (at, sample) in played.iter().enumerate().filter(|(_, sample)| **sample != 0.0) {
        for (tap, out) in response.iter().zip(&mut heard[at..]) {
            *out += tap * sample;
        }
    }
    let factor = 10.0_f32.powf((level_db(played) - loss_db - level_db(&heard)) / 20.0);
    let hiss = fan(played.len(), -70.0);
    (0..played.len()).map(|n| hiss[n] + n.checked_sub(delay).map_or(0.0, |at| heard[at] * factor)).collect()
}

/// Runs both ways through the processing, 10 ms at a time; the gain of each frame beside what comes out.
fn process(switches: VoiceSwitches, played: &[f32], captured: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut voice = Voice::new(switches);
    let (mut out, mut gains) = (Vec::new(), Vec::new());
    for (n, frame) in captured.chunks_exact(FRAME).enumerate() {
        let mut frame = to_pcm(frame);
        voice.played(&played.get(n * FRAME..(n + 1) * FRAME).map_or([0; FRAME], to_pcm), 70);
        voice.captured(&mut frame);
        out.extend(frame.map(f32::from));
        gains.push(voice.figures().gain_db);
    }
    (out, gains)
}

/// By how many samples `out` lies behind `of`, by the best likeness.
fn lag(of: &[f32], out: &[f32]) -> usize {
    let likeness = |lag: usize| of.iter().zip(&out[lag..]).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    (0..300).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b))).unwrap()
}

#[test]
fn the_echo_of_a_room_is_25_db_down_at_every_delay_of_devices_that_is_met() {
    for (delay_ms, loss_db) in [(20, 10.0), (80, 0.0), (80, 10.0), (160, 10.0), (300, 10.0)] {
        let played = far(14);
        let captured = echo_of(&played, delay_ms, loss_db);
        let (out, _) = process(ONLY_ECHO, &played, &captured);
        let settled = 4 * SECOND..14 * SECOND;
        let down = level_db(&captured[settled.clone()]) - level_db(&out[settled]);
        println!("delay {delay_ms} ms, {loss_db} dB quieter than the talker: ERLE {down:.1} dB");
        assert!(down >= 25.0, "{delay_ms} ms, {loss_db} dB: {down:.1} dB");
    }
}

#[test]
fn who_speaks_while_the_other_does_passes_within_three_db_and_an_echo_before_and_after_does_not() {
    let played = far(20);
    let echo = echo_of(&played, 80, 10.0);
    // The one here begins to speak after eight seconds.
    let mut said = near(20, -26.0);
    said[..8 * SECOND].fill(0.0);
    let both: Vec<f32> = said.iter().zip(&echo).map(|(a, b)| a + b).collect();
    let (out, _) = process(ONLY_ECHO, &played, &both);
    let talk = 8 * SECOND..19 * SECOND;
    let behind = lag(&said[talk.clone()], &out[talk.start..]);
    let heard = &out[talk.start + behind..talk.end + behind];
    let (before, after) = (speech_db(&said[talk.clone()]), speech_db(heard));
    println!("double talk: {before:.1} dB said, {after:.1} dB sent");
    assert!((before - after).abs() <= 3.0, "{before:.1} dB said, {after:.1} dB sent");
    // Words are not swallowed: of the loud tenths of a second nearly all are there.
    let parts = said[talk].chunks_exact(800).zip(heard.chunks_exact(800));
    let loud: Vec<f32> =
        parts.filter(|(said, _)| level_db(said) > -32.0).map(|(said, sent)| level_db(said) - level_db(sent)).collect();
    let whole = loud.iter().filter(|lost| **lost < 6.0).count();
    println!("{whole} of {} loud tenths of a second lost less than 6 dB", loud.len());
    assert!(whole * 10 >= loud.len() * 9, "{whole} of {}", loud.len());
    let quiet = 5 * SECOND..8 * SECOND;
    assert!(level_db(&echo[quiet.clone()]) - level_db(&out[quiet]) >= 25.0, "the echo before");
}

#[test]
fn a_talker_without_an_echo_passes_the_canceller_as_he_is() {
    let said = near(10, -26.0);
    let (out, _) = process(ONLY_ECHO, &far(10), &said);
    let behind = lag(&said[..8 * SECOND], &out);
    let apart = distortion(&said[SECOND..9 * SECOND], &out[SECOND + behind..], -60.0);
    println!("{} ms later, {apart:.2} dB of distortion", behind / 8);
    assert!(apart < 1.0 && behind <= 12 * 8, "{behind} samples, {apart:.2} dB");
}

/// How far the spectrum of what is heard is from that of what was said, in decibels: the mean over the loud frames of 20 ms and bands of
/// 200 Hz, where nothing below `floor_db` counts. A cheap word on quality; the last one has PESQ, in `cargo xtask peers voice`.
fn distortion(said: &[f32], heard: &[f32], floor_db: f32) -> f32 {
    let floor = 10.0_f32.powf(floor_db / 10.0);
    let band_db = |frame: &[f32], band: usize| {
        let step = core::f32::consts::TAU * (band as f32 * 200.0 + 300.0) / SECOND as f32;
        let (mut real, mut imaginary) = (0.0, 0.0);
        for (n, sample) in frame.iter().enumerate() {
            let window = (core::f32::consts::PI * (n as f32 + 0.5) / frame.len() as f32).sin();
            real += sample * window * (step * n as f32).cos();
            imaginary += sample * window * (step * n as f32).sin();
        }
        10.0 * ((real * real + imaginary * imaginary) / (frame.len() as f32 * 32_768.0).powi(2) + floor).log10()
    };
    let frames = said.chunks_exact(160).zip(heard.chunks_exact(160)).filter(|(said, _)| level_db(said) > -40.0);
    let each: Vec<f32> = frames
        .flat_map(|(said, heard)| (0..15).map(move |band| (band_db(said, band) - band_db(heard, band)).abs()))
        .collect();
    each.iter().sum::<f32>() / each.len() as f32
}

#[test]
fn noise_is_10_db_down_between_words_and_the_words_are_clearer_than_before() {
    for noise_db in [-46.0, -36.0] {
        let said = near(14, -26.0);
        let noise = fan(said.len(), noise_db);
        let captured: Vec<f32> = said.iter().zip(&noise).map(|(a, b)| a + b).collect();
        let (out, _) = process(ONLY_NOISE, &[], &captured);
        let behind = lag(&said[..6 * SECOND], &out);
        let aligned = &out[behind..];
        // Pauses of more than 200 ms, from the third second on.
        let mut pause = 0;
        let quiet: Vec<usize> = (0..aligned.len() / FRAME)
            .filter(|frame| {
                let silent = said[frame * FRAME..(frame + 1) * FRAME].iter().all(|s| s.abs() < 30.0);
                pause = if silent { pause + 1 } else { 0 };
                pause > 20 && *frame > 300
            })
            .collect();
        let of = |samples: &[f32]| {
            let all: Vec<f32> =
                quiet.iter().flat_map(|frame| samples[frame * FRAME..(frame + 1) * FRAME].to_vec()).collect();
            level_db(&all)
        };
        let cut = of(&captured) - of(aligned);
        let (before, after) = (distortion(&said, &captured, -80.0), distortion(&said, aligned, -80.0));
        let (louder, softer) = (speech_db(&said), speech_db(aligned));
        println!(
            "noise at {noise_db} dB: {cut:.1} dB down; distortion {before:.2} -> {after:.2} dB; {behind} samples later"
        );
        assert!(cut >= 10.0, "{cut:.1} dB");
        assert!(after < before, "distortion {before:.2} dB -> {after:.2} dB");
        assert!((louder - softer).abs() < 1.5, "speech at {louder:.1} dB, then {softer:.1} dB");
    }
}

#[test]
fn quiet_and_loud_talkers_come_to_one_level_without_pumping_or_clipping() {
    for said_db in [-44.0, -36.0, -26.0, -16.0, -12.0] {
        let captured: Vec<f32> = near(24, said_db).iter().zip(fan(24 * SECOND, -75.0)).map(|(a, b)| a + b).collect();
        let (out, gains) = process(ONLY_GAIN, &[], &captured);
        let level = speech_db(&out[12 * SECOND..]);
        let settled = &gains[1_200..];
        let (low, high) = settled.iter().fold((f32::MAX, f32::MIN), |(low, high), g| (low.min(*g), high.max(*g)));
        let loudest = out.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        println!("said at {said_db} dB: sent at {level:.1} dB; gain {low:.1} to {high:.1} dB, peak {loudest}");
        assert!((level - f64::from(TARGET_DB)).abs() <= 2.5, "{said_db} dB: {level:.1} dB");
        assert!(high - low <= 2.0, "{said_db} dB: the gain goes from {low:.1} to {high:.1} dB");
        assert!(loudest <= CEILING * 32_768.0 + 1.0, "{said_db} dB: {loudest}");
    }
}

#[test]
fn a_pause_a_noisy_room_and_the_other_ones_echo_move_no_gain() {
    let mut voice = Voice::new(ONLY_GAIN);
    let mut run = |played: &[f32], captured: &[f32]| {
        for (n, frame) in captured.chunks_exact(FRAME).enumerate() {
            voice.played(&played.get(n * FRAME..(n + 1) * FRAME).map_or([0; FRAME], to_pcm), 70);
            voice.captured(&mut to_pcm(frame));
        }
        voice.figures().gain_db
    };
    let settled = run(&[], &near(12, -34.0));
    assert!((6.0..10.0).contains(&settled), "{settled:.1} dB");
    let after_pause = run(&[], &fan(20 * SECOND, -60.0));
    let played = far(10);
    let after_echo = run(&played, &echo_of(&played, 80, 20.0));
    assert!((after_pause - settled).abs() < 0.1 && (after_echo - settled).abs() < 0.1, "{after_pause}, {after_echo}");
    // In a room whose noise would become loud, a quiet talker is helped less.
    let captured: Vec<f32> = near(12, -46.0).iter().zip(fan(12 * SECOND, -64.0)).map(|(a, b)| a + b).collect();
    let (_, gains) = process(ONLY_GAIN, &[], &captured);
    assert!((8.0..16.0).contains(gains.last().unwrap()), "{:?}", gains.last());
}
