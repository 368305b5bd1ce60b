//! Prompts and music: read from WAV files once, at start.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use offhook_media::{Asset, Assets};
use offhook_units::SampleRate;

/// Longest sound that is loaded: 30 minutes at 8 kHz are 29 MB in both laws.
const SECONDS_MAX: u32 = 1_800;

/// Loads every file; its place in the list is its asset id. With `g722` for legs that have that, too.
pub fn load(files: &[PathBuf], g722: bool) -> Result<Assets> {
    let sounds = files.iter().map(|file| load_one(file, g722).with_context(|| format!("prompt {}", file.display())));
    Ok(Assets::new(sounds.collect::<Result<_>>()?))
}

fn load_one(file: &Path, g722: bool) -> Result<Asset> {
    let mut reader = hound::WavReader::open(file)?;
    let spec = reader.spec();
    ensure!(spec.channels == 1, "has {} channels; give a mono WAV file", spec.channels);
    ensure!(reader.duration() <= spec.sample_rate * SECONDS_MAX, "is longer than {SECONDS_MAX} s");
    let pcm: Vec<i16> = match (spec.sample_format, spec.bits_per_sample) {
        (hound::SampleFormat::Int, 16) => reader.samples::<i16>().collect::<Result<_, _>>()?,
        (format, bits) => bail!("has {bits}-bit {format:?} samples; give a WAV file of 16-bit integers"),
    };
    let rate = SampleRate(spec.sample_rate);
    let sound = Asset::from_pcm(&pcm, rate)?;
    Ok(if g722 { sound.with_g722(&pcm, rate)? } else { sound })
}
