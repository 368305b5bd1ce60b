//! Prompts and music, read from WAV files once, before they are played; and the tones of a country.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use offhook_codec::CountryTones;
use offhook_media::{Asset, Assets};
use offhook_units::SampleRate;

use crate::config::Sound;

/// Longest sound that is loaded: 30 minutes at 8 kHz are 29 MB in both laws.
const SECONDS_MAX: u32 = 1_800;

/// How long it is heard why nobody was reached, at least.
const LAST_TONE_MS: u32 = 5_000;

/// Sounds that are kept while the exchange runs, those included that nobody plays any more: with one more a restart is needed.
pub const SOUNDS_MAX: usize = 20_000;

/// Loads every sound behind those that `before` has; its place in the list is its asset id. With `g722` for legs that have that, too.
pub fn load(before: &Assets, sounds: &[Sound], g722: bool) -> Result<Assets> {
    ensure!(
        sounds.len() <= SOUNDS_MAX,
        "{} sounds, and at most {SOUNDS_MAX} until the exchange is restarted",
        sounds.len()
    );
    let more = sounds.iter().skip(before.len());
    let more = more.map(|sound| match sound {
        Sound::File { path, .. } => load_one(path, g722).with_context(|| format!("prompt {}", path.display())),
        Sound::Tone(country, kind) => tone(country, *kind, g722),
    });
    Ok(before.with(more.collect::<Result<_>>()?))
}

/// One round of ringback; busy and congestion for as long as they are heard.
fn tone(country: &CountryTones, kind: u8, g722: bool) -> Result<Asset> {
    let CountryTones { country: _, ringback, busy, congestion } = country;
    let tone = match kind {
        0 => ringback,
        1 => busy,
        _ => congestion,
    };
    let rounds = if kind == 0 { 1 } else { LAST_TONE_MS.div_ceil(tone.cycle_ms().max(1)) };
    let rate = if g722 { SampleRate::WIDE } else { SampleRate::NARROW };
    sound(&tone.samples(rate, rounds), rate, g722)
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
    fn the_tones_of_two_countries_are_one_round_of_ringback_and_5_s_of_the_others() {
        let countries = ["de", "gb"].map(|country| CountryTones::of(country).unwrap());
        let sounds: Vec<_> = countries.iter().flat_map(|of| [0, 1, 2].map(|kind| Sound::Tone(*of, kind))).collect();
        for g722 in [false, true] {
            let german = load(&Assets::default(), &sounds[..3], g722).unwrap();
            let assets = load(&german, &sounds, g722).unwrap();
            let lengths = |coding| [0, 1, 2, 3, 4, 5].map(|at| assets.bytes(AssetId(at), coding).len());
            let expected = [40_000, 46_080, 42_240, 24_000, 42_000, 48_000];
            assert_eq!(lengths(Coding::G711(Law::A)), expected);
            assert_eq!(lengths(Coding::G722), if g722 { expected } else { [0; 6] });
            assert_eq!(german.len(), 3, "what is played stays as it is");
        }
    }

    #[test]
    fn no_more_sounds_are_kept_than_the_limit() {
        let sounds = vec![Sound::Tone(CountryTones::of("de").unwrap(), 0); SOUNDS_MAX + 1];
        let error = load(&Assets::default(), &sounds, false).unwrap_err();
        assert!(error.to_string().contains("until the exchange is restarted"), "{error}");
    }
}
