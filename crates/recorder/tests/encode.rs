//! Files made of samples, held against decoders by others: `claxon`, and the programs `flac` and `opusdec` (Debian packages `flac` and
//! `opus-tools`). Where those are not installed their tests say so and pass, unless `OFFHOOK_NEED_DECODERS=1` asks for them.
use std::path::Path;
use std::process::Command;

use offhook_recorder::{Encoder, Format};
use offhook_units::{RecordingId, SampleRate};

/// Both sides in turn: left a voice-like mixture that swells, right noise in bursts, at full scale now and then.
fn speech(rate: u32, samples: usize) -> Vec<i16> {
    let mut noise = 1_u32;
    let mut pairs = Vec::with_capacity(samples * 2);
    for n in 0..samples {
        let t = n as f64 / f64::from(rate);
        let swell = 0.5 + 0.5 * (t * 5.0).sin();
        let voice: f64 = [170.0, 340.0, 680.0, 1_190.0].iter().map(|f| (t * f * std::f64::consts::TAU).sin()).sum();
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let burst = if ((t * 2.0) as u64).is_multiple_of(2) { (noise >> 16) as i16 } else { 0 };
        pairs.extend([(voice * swell * 4_000.0) as i16, if n % 997 == 0 { i16::MIN } else { burst }]);
    }
    pairs
}

/// A whole file, given to the encoder in uneven pieces, with its patch put in.
fn whole(mut encoder: Encoder, pairs: &[i16]) -> Vec<u8> {
    let (mut out, mut rest, mut step) = (Vec::new(), pairs, 2);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(step.min(rest.len()));
        encoder.push(piece, &mut out).expect("encoded");
        (rest, step) = (after, step * 3 % 20_002);
    }
    if let Some(patch) = encoder.finish(&mut out).expect("finished") {
        out[patch.at as usize..][..patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    out
}

fn flac(rate: u32, pairs: &[i16]) -> Vec<u8> {
    whole(Encoder::flac(SampleRate(rate), pairs.len() as u64 / 2).expect("an encoder"), pairs)
}

fn opus(rate: u32, pairs: &[i16]) -> Vec<u8> {
    whole(Encoder::opus(SampleRate(rate), RecordingId(0x10_0000_0001)).expect("an encoder"), pairs)
}

/// Whether the program is there; it must be where that is asked for.
fn has(program: &str, package: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    assert!(there || std::env::var("OFFHOOK_NEED_DECODERS").is_err(), "{program} is not installed: {package}");
    if !there {
        eprintln!("{program} is not installed: nothing was tested");
    }
    there
}

fn run(program: &str, arguments: &[&str], files: &[&Path]) {
    let done = Command::new(program).args(arguments).args(files).output().expect("it starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && !said.contains("WARNING"), "{program}: {said}");
}

#[test]
fn flac_gives_every_sample_back_at_every_length_and_rate() {
    for (rate, samples) in
        [(8_000, 0), (8_000, 1), (8_000, 17), (8_000, 4_095), (16_000, 4_096), (16_000, 4_097), (8_000, 250_001)]
    {
        let pairs = speech(rate, samples);
        let file = flac(rate, &pairs);
        let mut reader = claxon::FlacReader::new(&file[..]).expect("FLAC");
        let info = reader.streaminfo();
        assert_eq!((info.sample_rate, info.channels, info.bits_per_sample), (rate, 2, 16));
        assert_eq!(info.samples, Some(samples as u64).filter(|samples| *samples > 0));
        let heard: Vec<i16> = reader.samples().map(|sample| sample.expect("a sample") as i16).collect();
        assert!(heard == pairs, "{samples} samples at {rate} Hz");
        assert!(samples < 4_000 || file.len() < pairs.len() * 2);
    }
}

#[test]
fn flac_by_others_finds_the_samples_and_their_md5_as_they_were() {
    if !has("flac", "apt-get install flac") {
        return;
    }
    let dir = tempfile::TempDir::new().expect("a folder");
    let (file, raw) = (dir.path().join("a.flac"), dir.path().join("a.raw"));
    let pairs = speech(8_000, 100_003);
    std::fs::write(&file, flac(8_000, &pairs)).expect("written");
    // It warns where there is no MD5.
    run("flac", &["--test", "--silent", "--warnings-as-errors"], &[&file]);
    let arguments = ["--decode", "--silent", "--force-raw-format", "--endian=little", "--sign=signed", "-o"];
    run("flac", &arguments, &[&raw, &file]);
    let bytes: Vec<u8> = pairs.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    assert!(std::fs::read(raw).expect("decoded") == bytes);
}

/// What `opusdec` hears at 48 kHz, both sides in turn.
fn heard_by_opusdec(file: &[u8]) -> Vec<i16> {
    let dir = tempfile::TempDir::new().expect("a folder");
    let (opus, raw) = (dir.path().join("a.opus"), dir.path().join("a.raw"));
    std::fs::write(&opus, file).expect("written");
    run("opusdec", &["--quiet", "--no-dither", "--rate", "48000"], &[&opus, &raw]);
    let bytes = std::fs::read(raw).expect("decoded");
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn rms(samples: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = samples.fold((0.0, 0), |(sum, count), sample| (sum + sample * sample, count + 1));
    (sum / f64::from(count.max(1))).sqrt()
}

#[test]
fn opus_by_others_lasts_as_long_is_as_loud_and_lies_within_a_millisecond_of_what_was_said() {
    if !has("opusdec", "apt-get install opus-tools") {
        return;
    }
    for rate in [8_000, 16_000] {
        // 5 s and a bit: clicks of 10 ms of a tone at odd places, on the left alone, then on the right alone.
        let samples = rate as usize * 5 + 77;
        let at = |n: usize| n * rate as usize / 1_000;
        let mut pairs = vec![0_i16; samples * 2];
        for (channel, ms) in [(0, 503), (0, 1_717), (1, 2_941), (1, 4_100)] {
            for n in 0..at(10) {
                let tone = (n as f64 * 1_000.0 / f64::from(rate) * std::f64::consts::TAU).sin();
                pairs[(at(ms) + n) * 2 + channel] = (tone * 12_000.0) as i16;
            }
        }
        let file = opus(rate, &pairs);
        let heard = heard_by_opusdec(&file);
        assert_eq!(heard.len() / 2, samples * 48_000 / rate as usize, "{rate} Hz: to the sample");
        for (channel, ms) in [(0, 503), (0, 1_717), (1, 2_941), (1, 4_100)] {
            // The best place of the click within 5 ms, by correlation with what was said.
            let said = |n: usize| f64::from(pairs[(n * rate as usize / 48_000) * 2 + channel]);
            let likeness = |shift: i64| -> f64 {
                let range = ms * 48 - 240..ms * 48 + 720;
                range.map(|n| said(n) * f64::from(heard[((n as i64 + shift) as usize) * 2 + channel])).sum()
            };
            let best = (-240..=240).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b))).expect("a place");
            assert!(best.abs() <= 48, "{rate} Hz: the click at {ms} ms is {best} of 48,000 late");
            let place = |n: usize, channel: usize| f64::from(heard[n * 2 + channel]);
            let click = ms * 48..(ms + 10) * 48;
            let loud = rms(click.clone().map(|n| place(n, channel)));
            let other = rms(click.map(|n| place(n, 1 - channel)));
            let level = 20.0 * (loud / (12_000.0 / 2.0_f64.sqrt())).log10();
            assert!(level.abs() < 1.5, "{rate} Hz: {level} dB at {ms} ms");
            assert!(other < 1.0, "{rate} Hz: {other} of the click is heard on the other side");
        }
    }
}

#[test]
fn opus_takes_24_kbit_a_second_for_each_side_and_any_length_ends_where_it_should() {
    let pairs = speech(16_000, 16_000 * 20);
    let bits = opus(16_000, &pairs).len() as f64 * 8.0 / 20.0;
    assert!((40_000.0..56_000.0).contains(&bits), "{bits} bit/s");
    if !has("opusdec", "apt-get install opus-tools") {
        return;
    }
    for samples in [1, 159, 160, 161, 319, 8_000, 8_001, 160 * 50 * 3 - 52] {
        let heard = heard_by_opusdec(&opus(8_000, &speech(8_000, samples)));
        assert_eq!(heard.len() / 2, samples * 6);
    }
}

#[test]
fn formats_are_known_by_name() {
    let names = Format::ALL.map(Format::name);
    assert_eq!(names, ["wav", "flac", "opus"]);
    assert_eq!(names.map(Format::named), Format::ALL.map(Some));
    assert_eq!(Format::named("mp3"), None);
}
