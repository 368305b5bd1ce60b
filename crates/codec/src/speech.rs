//! Every codec that a call may have, as sound at 8 kHz, and with the band above that where it is asked for: what a mix reads and writes.

use offhook_units::SampleRate;

use crate::opus::{self, Encoded, OpusError, Settings};
use crate::{Bands, Coding, Decoder, Linear, NarrowDecoder, NarrowEncoder};

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

impl Form {
    /// Whether it carries more than telephone sound: a band from 4 to 8 kHz.
    pub const fn is_wide(self) -> bool {
        match self {
            Self::Bytes(Coding::G722) | Self::Opus => true,
            Self::Bytes(Coding::G711(_)) | Self::Linear => false,
        }
    }
}

/// Samples at 16 kHz of the longest packet of Opus: 120 ms.
const WIDE_MAX: usize = 1_920;
/// Samples over which one decoder gives way to another: 10 ms.
const BLEND: usize = 80;

/// Reads one stream of Opus.
#[derive(Debug)]
pub struct OpusVoice {
    decoder: opus::Decoder,
    /// Where it hears 16 kHz.
    bands: Option<Bands>,
    /// The decoder that heard 8 kHz, and whether it still hears the next packet. It is given up with the stream, and not between two
    /// packets.
    before: Option<opus::Decoder>,
    blends: bool,
}

impl OpusVoice {
    fn new() -> Result<Self, OpusError> {
        Ok(Self { decoder: opus::Decoder::new(SampleRate::NARROW)?, bands: None, before: None, blends: false })
    }

    /// Decodes a packet, or what it repeats of the one before it, into bands.
    fn read(&mut self, payload: &[u8], low: &mut [i16], high: Option<&mut [i16]>, before: bool) -> usize {
        let Some(bands) = &mut self.bands else {
            let read = if before { self.decoder.recover(payload, low) } else { self.decoder.decode(payload, low) };
            // What is no packet of Opus holds nothing.
            let count = read.unwrap_or(0);
            if let Some(high) = high {
                high.iter_mut().take(count).for_each(|sample| *sample = 0);
            }
            return count;
        };
        let mut wide = [0; WIDE_MAX];
        let room = (2 * low.len()).min(WIDE_MAX);
        let wide = &mut wide[..room];
        let read = if before { self.decoder.recover(payload, wide) } else { self.decoder.decode(payload, wide) };
        let count = read.unwrap_or(0);
        let count = match high {
            Some(high) => bands.part(&wide[..count], low, high),
            None => bands.part(&wide[..count], low, &mut [0; WIDE_MAX / 2]),
        };
        if let Some(old) = self.before.as_mut().filter(|_| self.blends && !before) {
            self.blends = false;
            let mut narrow = [0; WIDE_MAX / 2];
            let known = old.decode(payload, &mut narrow).unwrap_or(0).min(count).min(BLEND);
            for (n, (new, old)) in low[..known].iter_mut().zip(&narrow).enumerate() {
                let weight = n as i32 + 1;
                let rest = known as i32 - weight;
                *new = ((i32::from(*new) * weight + i32::from(*old) * rest) / known as i32) as i16;
            }
        }
        count
    }
}

/// Reads one stream.
#[derive(Debug)]
pub enum SpeechDecoder {
    /// Byte by byte.
    Narrow(NarrowDecoder),
    /// Sample by sample.
    Linear(Linear),
    /// Packet by packet.
    Opus(Box<OpusVoice>),
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
            Form::Opus => Self::Opus(Box::new(OpusVoice::new()?)),
        })
    }

    /// Forgets what it heard, for another stream.
    pub fn reset(&mut self) {
        match self {
            Self::Narrow(decoder) => decoder.reset(),
            Self::Linear(Linear) => {}
            Self::Opus(voice) => {
                voice.blends = false;
                // Refused by no library that has made the decoder.
                let _made = voice.decoder.reset();
            }
        }
    }

    /// Hears the upper band as well from now on; `lately` are the packets that came last, oldest first, by which a new decoder finds
    /// its way. Says whether it does: a codec that has none does not, nor is it heard where there is no memory. Allocates.
    pub fn hear_wide<'a>(&mut self, lately: impl Iterator<Item = &'a [u8]>) -> bool {
        match self {
            Self::Narrow(NarrowDecoder::G722(_)) => true,
            Self::Narrow(NarrowDecoder::G711(_)) | Self::Linear(_) => false,
            Self::Opus(voice) => {
                if voice.bands.is_none()
                    && let Ok(mut decoder) = opus::Decoder::new(SampleRate::WIDE)
                {
                    let mut bands = Bands::default();
                    let (mut wide, mut low, mut high) = ([0; WIDE_MAX], [0; WIDE_MAX / 2], [0; WIDE_MAX / 2]);
                    for payload in lately {
                        let count = decoder.decode(payload, &mut wide).unwrap_or(0);
                        bands.part(&wide[..count], &mut low, &mut high);
                    }
                    voice.before = Some(core::mem::replace(&mut voice.decoder, decoder));
                    voice.bands = Some(bands);
                    voice.blends = true;
                }
                voice.bands.is_some()
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
            Self::Opus(voice) => voice.read(payload, out, None, false),
        }
    }

    fn decode_bands(&mut self, payload: &[u8], low: &mut [i16], high: &mut [i16]) -> usize {
        match self {
            Self::Narrow(NarrowDecoder::G722(decoder)) => {
                let mut count = 0;
                for ((byte, low), high) in payload.iter().zip(low).zip(high) {
                    (*low, *high) = decoder.decode_bands(*byte);
                    count += 1;
                }
                count
            }
            Self::Narrow(NarrowDecoder::G711(_)) | Self::Linear(_) => {
                let count = self.decode(payload, low);
                high.iter_mut().take(count).for_each(|sample| *sample = 0);
                count
            }
            Self::Opus(voice) => voice.read(payload, low, Some(high), false),
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
            Self::Opus(voice) => voice.read(after, out, None, true),
        }
    }

    fn samples_in(&self, payload: &[u8]) -> usize {
        match self {
            Self::Narrow(decoder) => decoder.samples_in(payload),
            Self::Linear(decoder) => decoder.samples_in(payload),
            Self::Opus(_) => opus::samples_in(payload, SampleRate::NARROW).unwrap_or(0),
        }
    }
}

/// Writes one stream of Opus: of 16 kHz, so that to begin and to end with the upper band is the library's, who does it without a step.
#[derive(Debug)]
pub struct OpusWriter {
    encoder: opus::Encoder,
    bands: Bands,
}

/// Writes one stream.
#[derive(Debug)]
pub enum SpeechEncoder {
    /// Byte by byte.
    Narrow(NarrowEncoder),
    /// Sample by sample.
    Linear(Linear),
    /// In frames of 20 ms.
    Opus(Box<OpusWriter>),
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
            Form::Opus => {
                let mut encoder = opus::Encoder::new(&Settings::voice(SampleRate::WIDE))?;
                encoder.set_wide(false)?;
                Self::Opus(Box::new(OpusWriter { encoder, bands: Bands::default() }))
            }
        })
    }

    /// Encodes `pcm`, sound at 8 kHz; says how many bytes that is, 0 where it is no frame of the codec's.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        match self {
            Self::Narrow(encoder) => crate::Encoder::encode(encoder, pcm, out),
            Self::Linear(encoder) => crate::Encoder::encode(encoder, pcm, out),
            Self::Opus(_) => self.encode_bands(pcm, &[], out),
        }
    }

    /// The same of two bands at 8 kHz, of which the upper one may be shorter, and is of no use to codecs without it.
    pub fn encode_bands(&mut self, low: &[i16], high: &[i16], out: &mut [u8]) -> usize {
        match self {
            Self::Narrow(NarrowEncoder::G722(encoder)) => {
                let high = high.iter().copied().chain(core::iter::repeat(0));
                let mut count = 0;
                for ((byte, low), high) in out.iter_mut().zip(low).zip(high) {
                    *byte = encoder.encode_bands(*low, high);
                    count += 1;
                }
                count
            }
            Self::Narrow(NarrowEncoder::G711(_)) | Self::Linear(_) => self.encode(low, out),
            Self::Opus(writer) => {
                let mut wide = [0; WIDE_MAX];
                let count = writer.bands.join(low, high, &mut wide);
                match writer.encoder.encode(&wide[..count], out) {
                    Ok(Encoded::Packet(bytes)) => bytes,
                    Ok(Encoded::Silent) | Err(_) => 0,
                }
            }
        }
    }

    /// Whether the upper band is worth bits from the next frame on, where that is the codec's to decide.
    pub fn set_wide(&mut self, wide: bool) {
        if let Self::Opus(writer) = self {
            // Refused by no library that has made the encoder.
            let _known = writer.encoder.set_wide(wide);
        }
    }

    /// How much of what is sent is lost, as the listener reports it: from the next frame on packets repeat that much of those before.
    pub fn expect_loss(&mut self, percent: u8) {
        if let Self::Opus(writer) = self {
            // Refused by no library that has made the encoder.
            let _known = writer.encoder.set_expected_loss(percent);
        }
    }

    /// Bits a second from the next frame on, where the codec leaves that open.
    pub fn set_bitrate(&mut self, bitrate: u32) {
        if let Self::Opus(writer) = self {
            // Refused by no library that has made the encoder.
            let _known = writer.encoder.set_bitrate(bitrate);
        }
    }
}
