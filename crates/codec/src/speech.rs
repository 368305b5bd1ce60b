//! Every codec that a call may have, as sound at 8 kHz: what a mix reads and writes.

use offhook_units::SampleRate;

use crate::opus::{self, Encoded, OpusError, Settings};
use crate::{Coding, Decoder, NarrowDecoder, NarrowEncoder};

/// Reads one stream.
#[derive(Debug)]
pub enum SpeechDecoder {
    /// Byte by byte.
    Narrow(NarrowDecoder),
    /// Packet by packet.
    Opus(opus::Decoder),
}

impl SpeechDecoder {
    /// For one stream of this coding, or of Opus where it has none. Making one allocates; nothing else here does.
    ///
    /// # Errors
    /// [`OpusError`]: there was no memory.
    pub fn new(coding: Option<Coding>) -> Result<Self, OpusError> {
        Ok(match coding {
            Some(coding) => Self::Narrow(NarrowDecoder::new(coding)),
            None => Self::Opus(opus::Decoder::new(SampleRate::NARROW)?),
        })
    }

    /// Forgets what it heard, for another stream.
    pub fn reset(&mut self) {
        match self {
            Self::Narrow(decoder) => decoder.reset(),
            Self::Opus(decoder) => {
                // Refused by no library that has made the decoder.
                let _made = decoder.reset();
            }
        }
    }

    /// The same decoder with what it remembers, where that can be copied.
    pub fn copy(&self) -> Option<Self> {
        match self {
            Self::Narrow(decoder) => Some(Self::Narrow(decoder.clone())),
            Self::Opus(_) => None,
        }
    }
}

impl Decoder for SpeechDecoder {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        match self {
            Self::Narrow(decoder) => decoder.decode(payload, out),
            // What is no packet of Opus holds nothing.
            Self::Opus(decoder) => decoder.decode(payload, out).unwrap_or(0),
        }
    }

    fn peek(&self, payload: &[u8], out: &mut [i16]) -> usize {
        match self {
            Self::Narrow(decoder) => decoder.peek(payload, out),
            Self::Opus(_) => 0,
        }
    }

    fn recover(&mut self, after: &[u8], out: &mut [i16]) -> usize {
        match self {
            Self::Narrow(_) => 0,
            Self::Opus(decoder) => decoder.recover(after, out).unwrap_or(0),
        }
    }

    fn samples_in(&self, payload: &[u8]) -> usize {
        match self {
            Self::Narrow(decoder) => decoder.samples_in(payload),
            Self::Opus(decoder) => decoder.samples_in(payload).unwrap_or(0),
        }
    }
}

/// Writes one stream.
#[derive(Debug)]
pub enum SpeechEncoder {
    /// Byte by byte.
    Narrow(NarrowEncoder),
    /// In frames of 20 ms.
    Opus(opus::Encoder),
}

impl SpeechEncoder {
    /// For one stream in this coding, or in Opus where it has none, to a listener who may have heard another one before. Making one
    /// allocates; nothing else here does.
    ///
    /// # Errors
    /// [`OpusError`]: there was no memory.
    pub fn in_mid_stream(coding: Option<Coding>) -> Result<Self, OpusError> {
        Ok(match coding {
            Some(coding) => Self::Narrow(NarrowEncoder::in_mid_stream(coding)),
            None => Self::Opus(opus::Encoder::new(&Settings::voice(SampleRate::NARROW))?),
        })
    }

    /// Encodes `pcm`; says how many bytes that is, 0 where it is no frame of the codec's.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        match self {
            Self::Narrow(encoder) => crate::Encoder::encode(encoder, pcm, out),
            Self::Opus(encoder) => match encoder.encode(pcm, out) {
                Ok(Encoded::Packet(bytes)) => bytes,
                Ok(Encoded::Silent) | Err(_) => 0,
            },
        }
    }

    /// How much of what is sent is lost, as the listener reports it: from the next frame on packets repeat that much of those before.
    pub fn expect_loss(&mut self, percent: u8) {
        if let Self::Opus(encoder) = self {
            // Refused by no library that has made the encoder.
            let _known = encoder.set_expected_loss(percent);
        }
    }
}
