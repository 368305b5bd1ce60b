//! Every coding of speech that we carry, as sound at 8 kHz: what transcoding, recordings of two codings and the softphone need.

use crate::{Decoder, Encoder, Law, g722};

/// How a payload is to be read. In all of them a byte lasts 125 us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// A sample at 8 kHz.
    G711(Law),
    /// Two samples at 16 kHz, coded by what went before.
    G722,
}

impl Coding {
    /// The byte of silence, as fills and gaps are written.
    pub const fn silence(self) -> u8 {
        match self {
            Self::G711(law) => law.silence(),
            Self::G722 => g722::SILENCE,
        }
    }
}

/// Encodes speech at 8 kHz.
#[derive(Debug, Clone)]
pub enum NarrowEncoder {
    /// To a law of G.711.
    G711(Law),
    /// To the lower band of G.722.
    G722(Box<g722::Encoder>),
}

impl NarrowEncoder {
    /// For one stream. Making one allocates; nothing else here does.
    pub fn new(coding: Coding) -> Self {
        match coding {
            Coding::G711(law) => Self::G711(law),
            Coding::G722 => Self::G722(Box::default()),
        }
    }

    /// For one stream, to a listener who has heard another one before ([`g722::Encoder::in_mid_stream`]).
    pub fn in_mid_stream(coding: Coding) -> Self {
        match coding {
            Coding::G711(law) => Self::G711(law),
            Coding::G722 => Self::G722(Box::new(g722::Encoder::in_mid_stream())),
        }
    }

    /// The byte of the stream's next sample.
    pub fn sample(&mut self, sample: i16) -> u8 {
        match self {
            Self::G711(law) => law.encode(sample),
            Self::G722(encoder) => encoder.encode_narrow(sample),
        }
    }
}

impl Encoder for NarrowEncoder {
    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        for (byte, sample) in out.iter_mut().zip(pcm) {
            *byte = self.sample(*sample);
        }
        pcm.len().min(out.len())
    }
}

/// Decodes speech to 8 kHz.
#[derive(Debug, Clone)]
pub enum NarrowDecoder {
    /// From a law of G.711.
    G711(Law),
    /// From the lower band of G.722.
    G722(Box<g722::Decoder>),
}

impl NarrowDecoder {
    /// For one stream. Making one allocates; nothing else here does.
    pub fn new(coding: Coding) -> Self {
        match coding {
            Coding::G711(law) => Self::G711(law),
            Coding::G722 => Self::G722(Box::default()),
        }
    }

    /// Forgets what it heard, for another stream.
    pub fn reset(&mut self) {
        match self {
            Self::G711(_) => {}
            Self::G722(decoder) => **decoder = g722::Decoder::default(),
        }
    }

    /// The sample of the stream's next byte.
    pub fn byte(&mut self, byte: u8) -> i16 {
        match self {
            Self::G711(law) => law.decode(byte),
            Self::G722(decoder) => decoder.decode_narrow(byte),
        }
    }
}

impl Decoder for NarrowDecoder {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        for (sample, byte) in out.iter_mut().zip(payload) {
            *sample = self.byte(*byte);
        }
        payload.len().min(out.len())
    }

    fn peek(&self, payload: &[u8], out: &mut [i16]) -> usize {
        match self {
            Self::G711(law) => crate::G711::new(*law).peek(payload, out),
            Self::G722(_) => 0,
        }
    }

    fn samples_in(&self, payload: &[u8]) -> usize {
        payload.len()
    }
}
