//! Sound files: what is played into a call is encoded once, so that every peer can check it byte by byte.

use std::path::{Path, PathBuf};

use offhook_codec::{Coding, NarrowDecoder, NarrowEncoder};
use offhook_units::SampleRate;

/// Longest file that is loaded, in seconds: 2 hours of speech are 115 MB.
pub const SECONDS_MAX: u32 = 7_200;

/// Why a file cannot be played. Choose another file, or convert it: `ffmpeg -i IN -ar 8000 -ac 1 OUT.wav`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct SoundError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// A sound in memory: one channel at 8 kHz.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    samples: Vec<i16>,
}

impl Sound {
    /// Samples at 8 kHz.
    pub const fn new(samples: Vec<i16>) -> Self {
        Self { samples }
    }

    /// Reads a WAV file of any rate, with integer or floating-point samples; its channels are averaged.
    ///
    /// # Errors
    /// [`SoundError`] where the file is missing, no WAV, empty or longer than [`SECONDS_MAX`].
    pub fn load(path: &Path) -> Result<Self, SoundError> {
        Ok(Self { samples: Self::load_at(path, SampleRate::NARROW)? })
    }

    /// As [`Sound::load`], at another rate.
    ///
    /// # Errors
    /// As there.
    pub fn load_at(path: &Path, rate: SampleRate) -> Result<Vec<i16>, SoundError> {
        let fault = |why: String| SoundError { path: path.to_owned(), why };
        let mut reader = hound::WavReader::open(path).map_err(|error| fault(error.to_string()))?;
        let spec = reader.spec();
        if spec.sample_rate == 0 || spec.channels == 0 {
            return Err(fault("it has no rate or no channels".into()));
        }
        if reader.duration() > spec.sample_rate.saturating_mul(SECONDS_MAX) {
            return Err(fault(format!("it is longer than {SECONDS_MAX} s")));
        }
        let wide: Result<Vec<i32>, hound::Error> = match spec.sample_format {
            hound::SampleFormat::Float => reader
                .samples::<f32>()
                .map(|s| s.map(|s| (s * 32_767.0).round().clamp(-32_768.0, 32_767.0) as i32))
                .collect(),
            hound::SampleFormat::Int => {
                let bits = i32::from(spec.bits_per_sample);
                reader
                    .samples::<i32>()
                    .map(|s| s.map(|s| if bits > 16 { s >> (bits - 16) } else { s << (16 - bits) }))
                    .collect()
            }
        };
        let wide = wide.map_err(|error| fault(error.to_string()))?;
        let channels = usize::from(spec.channels);
        let mono: Vec<i16> =
            wide.chunks_exact(channels).map(|frame| (frame.iter().sum::<i32>() / channels as i32) as i16).collect();
        if mono.is_empty() {
            return Err(fault("it holds no sound".into()));
        }
        offhook_codec::resample(&mono, SampleRate(spec.sample_rate), rate).map_err(|error| fault(error.to_string()))
    }

    /// The samples at 8 kHz.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }
}

/// A sound encoded for one call, and how far it has been played.
#[derive(Debug, Clone)]
pub struct Player {
    encoded: Vec<u8>,
    at: usize,
    repeat: bool,
    silence: u8,
    /// For whoever wants what comes next as samples.
    decoder: NarrowDecoder,
}

impl Player {
    /// From its begin; silence follows unless it repeats.
    pub fn new(sound: &Sound, coding: Coding, repeat: bool) -> Self {
        let mut encoder = NarrowEncoder::new(coding);
        let encoded = sound.samples.iter().map(|sample| encoder.sample(*sample)).collect();
        Self { encoded, at: 0, repeat, silence: coding.silence(), decoder: NarrowDecoder::new(coding) }
    }

    /// Fills `payload` with what comes next. `true` once: with the call that plays the last byte of a sound that does not repeat.
    pub fn fill(&mut self, payload: &mut [u8]) -> bool {
        let had_more = self.at < self.encoded.len();
        for byte in payload {
            if self.at == self.encoded.len() && self.repeat {
                self.at = 0;
            }
            *byte = self.encoded.get(self.at).copied().unwrap_or(self.silence);
            self.at = (self.at + 1).min(self.encoded.len());
        }
        had_more && !self.repeat && self.at == self.encoded.len()
    }
}

/// Samples that are decoded at once.
const DECODED_MAX: usize = 80;

impl Player {
    /// As [`Player::fill`], as samples: what is encoded again is what was.
    pub fn fill_samples(&mut self, samples: &mut [i16]) -> bool {
        let mut finished = false;
        for part in samples.chunks_mut(DECODED_MAX) {
            let mut payload = [0; DECODED_MAX];
            let payload = &mut payload[..part.len()];
            finished |= self.fill(payload);
            for (sample, byte) in part.iter_mut().zip(payload) {
                *sample = self.decoder.byte(*byte);
            }
        }
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offhook_codec::Law;

    #[test]
    fn a_sound_played_once_ends_in_silence_and_says_so_once() {
        let mut player = Player::new(&Sound::new(vec![0; 250]), Coding::G711(Law::A), false);
        player.encoded = (0..250).map(|n| n as u8).collect();
        let mut payload = [0; 160];
        assert!(!player.fill(&mut payload));
        assert_eq!(payload[159], 159);
        assert!(player.fill(&mut payload));
        assert_eq!((payload[89], payload[90]), (249, 0xd5));
        assert!(!player.fill(&mut payload));
    }

    #[test]
    fn a_sound_that_repeats_goes_on_in_mid_packet() {
        let mut player = Player::new(&Sound::new(vec![0; 100]), Coding::G711(Law::Mu), true);
        player.encoded = (0..100).collect();
        let mut payload = [0; 160];
        assert!(!player.fill(&mut payload));
        assert_eq!((payload[99], payload[100]), (99, 0));
    }

    #[test]
    fn a_wav_at_8_khz_is_played_bit_by_bit_and_others_are_brought_to_it() {
        let folder = tempfile::tempdir().unwrap();
        for (rate, channels, expected) in [(8_000, 1, 400), (48_000, 2, 400)] {
            let path = folder.path().join(format!("{rate}.wav"));
            let spec = hound::WavSpec {
                channels,
                sample_rate: rate,
                bits_per_sample: 16,
                sample_format: hound::SampleFormat::Int,
            };
            let mut writer = hound::WavWriter::create(&path, spec).unwrap();
            for n in 0..rate / 20 * u32::from(channels) {
                writer.write_sample((n % 1_000) as i16).unwrap();
            }
            writer.finalize().unwrap();
            let sound = Sound::load(&path).unwrap();
            assert_eq!(sound.samples().len(), expected);
            if rate == 8_000 {
                assert_eq!(sound.samples()[399], 399);
            }
        }
        let missing = Sound::load(&folder.path().join("none.wav")).unwrap_err();
        assert!(missing.to_string().contains("none.wav: "), "{missing}");
    }
}
