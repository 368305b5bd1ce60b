//! Samples of a recording as a file that others know: FLAC and Opus, made piece by piece and in bounded memory.
//!
//! Both sides stay apart: FLAC keeps every sample as it is, Opus holds each side as a stream of its own, so that nothing of one
//! voice is heard in the other's channel.

mod flac;
mod opus;

use offhook_codec::opus::OpusError;
use offhook_units::{RecordingId, SampleRate};

pub use opus::BITRATE as OPUS_BITRATE;

/// What a recording is written as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// Samples of 16 bits.
    #[default]
    Wav,
    /// FLAC, RFC 9639: every sample, in about half the bytes.
    Flac,
    /// Opus in Ogg, RFC 6716 and RFC 7845, at [`OPUS_BITRATE`] for each side.
    Opus,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Wav, Self::Flac, Self::Opus];

    /// Its name, which is also how its files end.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Flac => "flac",
            Self::Opus => "opus",
        }
    }

    /// The format of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Its media type; RFC 9639 section 12 and RFC 7845 section 9.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/wav",
            Self::Flac => "audio/flac",
            Self::Opus => "audio/ogg",
        }
    }
}

/// Why a file cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// libopus refused.
    #[error(transparent)]
    Opus(#[from] OpusError),
    /// The FLAC encoder refused: a rate or a length that it has no room for.
    #[error("FLAC: {0}")]
    Flac(String),
}

/// What is to be put over the beginning of a file, where that can be done, once all of it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// From this byte on.
    pub at: u64,
    /// So many bytes that are there already.
    pub bytes: Vec<u8>,
}

/// Makes one file of samples. Holds less than a second of them.
#[derive(Debug)]
pub struct Encoder(Kind);

#[derive(Debug)]
enum Kind {
    Flac(Box<flac::Encoder>),
    Opus(Box<opus::Encoder>),
}

impl Encoder {
    /// FLAC of `samples` of each side, at `rate`.
    ///
    /// # Errors
    /// [`EncodeError::Flac`] where FLAC has no such rate.
    pub fn flac(rate: SampleRate, samples: u64) -> Result<Self, EncodeError> {
        Ok(Self(Kind::Flac(Box::new(flac::Encoder::new(rate, samples)?))))
    }

    /// Opus of recording `id`, at a `rate` of 8, 16 or 48 kHz.
    ///
    /// # Errors
    /// [`EncodeError::Opus`] where Opus has no such rate.
    pub fn opus(rate: SampleRate, id: RecordingId) -> Result<Self, EncodeError> {
        Ok(Self(Kind::Opus(Box::new(opus::Encoder::new(rate, id)?))))
    }

    /// Takes samples of both sides in turn, left first, and appends what is ready of the file to `out`.
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn push(&mut self, pairs: &[i16], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match &mut self.0 {
            Kind::Flac(encoder) => encoder.push(pairs, out),
            Kind::Opus(encoder) => encoder.push(pairs, out),
        }
    }

    /// Appends the end of the file. Without the [`Patch`] the file is whole too, and says less of itself.
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn finish(self, out: &mut Vec<u8>) -> Result<Option<Patch>, EncodeError> {
        match self.0 {
            Kind::Flac(encoder) => encoder.finish(out).map(Some),
            Kind::Opus(encoder) => encoder.finish(out).map(|()| None),
        }
    }
}
