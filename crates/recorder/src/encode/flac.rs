//! FLAC, RFC 9639, by `flacenc`: frames of a fixed number of samples, behind a STREAMINFO of our own.

use flacenc::bitsink::MemSink;
use flacenc::component::{BitRepr, StreamInfo};
use flacenc::config;
use flacenc::error::{Verified, Verify};
use flacenc::source::{Context, Fill, FrameBuf};
use offhook_units::SampleRate;

use super::{EncodeError, Patch};

/// Samples of each side in a frame: half a second at 8 kHz.
const BLOCK: usize = 4_096;
const CHANNELS: usize = 2;
const BITS: usize = 16;
/// Where the MD5 of the samples stands: behind `fLaC`, the block's header and 18 bytes of it, RFC 9639 section 8.2.
const MD5_AT: u64 = 4 + 4 + 18;

#[derive(Debug)]
pub struct Encoder {
    settings: Verified<config::Encoder>,
    info: StreamInfo,
    rate: SampleRate,
    samples: u64,
    /// Samples that make no whole frame yet, both sides in turn.
    waiting: Vec<i32>,
    room: FrameBuf,
    /// MD5 of all samples, and the number of frames.
    sum: Context,
    frames: usize,
    begun: bool,
}

fn refused(error: impl core::fmt::Display) -> EncodeError {
    EncodeError::Flac(error.to_string())
}

impl Encoder {
    pub fn new(rate: SampleRate, samples: u64) -> Result<Self, EncodeError> {
        let mut settings = config::Encoder::default();
        settings.block_size = BLOCK;
        Ok(Self {
            settings: settings.into_verified().map_err(|(_, error)| refused(error))?,
            info: StreamInfo::new(rate.0 as usize, CHANNELS, BITS).map_err(refused)?,
            rate,
            samples,
            waiting: Vec::with_capacity(2 * BLOCK * CHANNELS),
            room: FrameBuf::with_size(CHANNELS, BLOCK).map_err(refused)?,
            sum: Context::new(BITS, CHANNELS),
            frames: 0,
            begun: false,
        })
    }

    pub fn push(&mut self, pairs: &[i16], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.begin(out);
        for pairs in pairs.chunks(BLOCK * CHANNELS) {
            self.waiting.extend(pairs.iter().copied().map(i32::from));
            if self.waiting.len() >= BLOCK * CHANNELS {
                self.frame(BLOCK * CHANNELS, out)?;
            }
        }
        Ok(())
    }

    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Patch, EncodeError> {
        self.begin(out);
        if !self.waiting.is_empty() {
            self.frame(self.waiting.len(), out)?;
        }
        Ok(Patch { at: MD5_AT, bytes: self.sum.md5_digest().to_vec() })
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            self.begun = true;
            out.extend(head(self.rate, self.samples));
        }
    }

    /// Writes the first `count` of the waiting samples as a frame.
    fn frame(&mut self, count: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let samples = &self.waiting[..count];
        self.room.fill_interleaved(samples).map_err(refused)?;
        self.sum.fill_interleaved(samples).map_err(refused)?;
        let frame = flacenc::encode_fixed_size_frame(&self.settings, &self.room, self.frames, &self.info);
        let mut sink = MemSink::<u8>::new();
        frame.map_err(refused)?.write(&mut sink).map_err(refused)?;
        out.extend_from_slice(sink.as_slice());
        self.frames += 1;
        self.waiting.drain(..count);
        Ok(())
    }
}

/// `fLaC` and STREAMINFO as the only block of metadata, RFC 9639 sections 7 and 8.2. Sizes of frames and the MD5 are not known yet,
/// which is said by zeros.
fn head(rate: SampleRate, samples: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(42);
    out.extend(b"fLaC\x80\0\0\x22");
    out.extend((BLOCK as u16).to_be_bytes());
    out.extend((BLOCK as u16).to_be_bytes());
    out.extend([0; 6]);
    // 20 bits of rate, 3 of channels less one, 5 of bits a sample less one, 36 of samples: a longer file says that it does not know.
    let samples = if samples >> 36 == 0 { samples } else { 0 };
    let packed = u64::from(rate.0) << 44 | (CHANNELS as u64 - 1) << 41 | (BITS as u64 - 1) << 36 | samples;
    out.extend(packed.to_be_bytes());
    out.extend([0; 16]);
    out
}
