//! Prompts and music, read from WAV files once, at start; and the tones of a country.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use offhook_codec::{CountryTones, Progress};
use offhook_media::{Asset, Assets};
use offhook_units::SampleRate;

/// Longest sound that is loaded: 30 minutes at 8 kHz are 29 MB in both laws.
const SECONDS_MAX: u32 = 1_800;

/// How long it is heard why nobody was reached, at least.
const LAST_TONE_MS: u32 = 5_000;

/// Loads every file; its place in the list is its asset id. Ringback, busy and congestion of each country follow. With `g722` for
/// legs that have that, too.
pub fn load(files: &[PathBuf], countries: &[CountryTones], g722: bool) -> Result<Assets> {
    let sounds = files.iter().map(|file| load_one(file, g722).with_context(|| format!("prompt {}", file.display())));
    let lasts = |tone: &Progress| LAST_TONE_MS.div_ceil(tone.cycle_ms().max(1));
    let tones = countries.iter().flat_map(|CountryTones { country: _, ringback, busy, congestion }| {
        [(ringback, 1), (busy, lasts(busy)), (congestion, lasts(congestion))]
    });
    let rate = if g722 { SampleRate::WIDE } else { SampleRate::NARROW };
    let tones = tones.map(|(tone, rounds)| sound(&tone.samples(rate, rounds), rate, g722));
    Ok(Assets::new(sounds.chain(tones).collect::<Result<_>>()?))
}

fn sound(pcm: &[i16], rate: SampleRate, g722: bool) -> Result<Asset> {
    let sound = Asset::from_pcm(pcm, rate)?;
    Ok(if g722 { sound.with_g722(pcm, rate)? } else { sound })
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
    sound(&pcm, SampleRate(spec.sample_rate), g722)
}

#[cfg(test)]
mod tests {
    use super::*;
    use offhook_codec::{Coding, Law};
    use offhook_plan::AssetId;

    #[test]
    fn the_tones_of_two_countries_follow_the_files_one_round_of_ringback_and_5_s_of_the_others() {
        let countries = ["de", "gb"].map(|country| CountryTones::of(country).unwrap());
        for g722 in [false, true] {
            let assets = load(&[], &countries, g722).unwrap();
            let lengths = |coding| [0, 1, 2, 3, 4, 5].map(|at| assets.bytes(AssetId(at), coding).len());
            let expected = [40_000, 46_080, 42_240, 24_000, 42_000, 48_000];
            assert_eq!(lengths(Coding::G711(Law::A)), expected);
            assert_eq!(lengths(Coding::G722), if g722 { expected } else { [0; 6] });
        }
    }
}
