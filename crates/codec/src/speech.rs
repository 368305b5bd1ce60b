//! Every codec that a call may have, as sound at 8 kHz: what a mix reads and writes.

use offhook_units::SampleRate;

use crate::opus::{self, Encoded, OpusError, Settings};
use crate::{Coding, Decoder, Linear, NarrowDecoder, NarrowEncoder};

/// How a codec's payloads are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Byte by byte.
    Bytes(Coding),
    /// As samples of two bytes.
    Linear,
    /// Packet by packet.
    Opus,
}

/// Reads one stream.
#[derive(Debug)]
pub enum SpeechDecoder {
    /// Byte by byte.
    Narrow(NarrowDecoder),
    /// Sample by sample.
    Linear(Linear),
    /// Packet by packet.
    Opus(opus::Decoder),
}

impl SpeechDecoder {
    /// For one stream of this form. Making one allocates; nothing else here does.
    ///
    /// # Errors
    /// [`OpusError`]: there was no memory.
    pub fn new(form: Form) -> Result<Self, OpusError> {
        Ok(match form {
            Form::Bytes(coding) => Self::Narrow(NarrowDecoder::new(coding)),
            Form::Linear => Self::Linear(Linear),
            Form::Opus => Self::Opus(opus::Decoder::new(SampleRate::NARROW)?),
        })
    }

    /// Forgets what it heard, for another stream.
    pub fn reset(&mut self) {
        match self {
            Self::Narrow(decoder) => decoder.reset(),
            Self::Linear(Linear) => {}
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
            Self::Linear(Linear) => Some(Self::Linear(Linear)),
            Self::Opus(_) => None,
        }
    }
}

impl Decoder for SpeechDecoder {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        match self {
            Self::Narrow(decoder) => decoder.decode(payload, out),
            Self::Linear(decoder) => decoder.decode(payload, out),
            // What is no packet of Opus holds nothing.
            Self::Opus(decoder) => decoder.decode(payload, out).unwrap_or(0),
        }
    }

    fn peek(&self, payload: &[u8], out: &mut [i16]) -> usize {
        match self {
            Self::Narrow(decoder) => decoder.peek(payload, out),
            Self::Linear(decoder) => decoder.peek(payload, out),
            Self::Opus(_) => 0,
        }
    }

    fn recover(&mut self, after: &[u8], out: &mut [i16]) -> usize {
        match self {
            Self::Narrow(_) | Self::Linear(_) => 0,
            Self::Opus(decoder) => decoder.recover(after, out).unwrap_or(0),
        }
    }

    fn samples_in(&self, payload: &[u8]) -> usize {
        match self {
            Self::Narrow(decoder) => decoder.samples_in(payload),
            Self::Linear(decoder) => decoder.samples_in(payload),
            Self::Opus(decoder) => decoder.samples_in(payload).unwrap_or(0),
        }
    }
}

/// Writes one stream.
#[derive(Debug)]
pub enum SpeechEncoder {
    /// Byte by byte.
    Narrow(NarrowEncoder),
    /// Sample by sample.
    Linear(Linear),
    /// In frames of 20 ms.
    Opus(opus::Encoder),
}

impl SpeechEncoder {
    /// For one stream in this form, to a listener who may have heard another one before. Making one
    /// allocates; nothing else here does.
    ///
    /// # Errors
    /// [`OpusError`]: there was no memory.
    pub fn in_mid_stream(form: Form) -> Result<Self, OpusError> {
        Ok(match form {
            Form::Bytes(coding) => Self::Narrow(NarrowEncoder::in_mid_stream(coding)),
            Form::Linear => Self::Linear(Linear),
            Form::Opus => Self::Opus(opus::Encoder::new(&Settings::voice(SampleRate::NARROW))?),
        })
    }

    /// Encodes `pcm`; says how many bytes that is, 0 where it is no frame of the codec's.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        match self {
            Self::Narrow(encoder) => crate::Encoder::encode(encoder, pcm, out),
            Self::Linear(encoder) => crate::Encoder::encode(encoder, pcm, out),
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

    /// Bits a second from the next frame on, where the codec leaves that open.
    pub fn set_bitrate(&mut self, bitrate: u32) {
        if let Self::Opus(encoder) = self {
            // Refused by no library that has made the encoder.
            let _known = encoder.set_bitrate(bitrate);
        }
    }
}
