//! Opus, RFC 6716, by libopus: mono, frames of 20 ms, at the rate that the caller's samples have.
//!
//! Encoder and decoder each have a rate of their own: whatever was encoded is decoded to 8 or 16 kHz directly. libopus takes its
//! memory when one is made, and none afterwards. A payload that is none is refused, and leaves the decoder as it was.

#[cfg(test)]
mod tests;

use audiopus::coder::{Decoder as LibDecoder, Encoder as LibEncoder, GenericCtl};
use audiopus::packet::{Packet, nb_samples};
use audiopus::{
    Application, Bandwidth, Bitrate, Channels, Error as LibError, ErrorCode, MutSignals, SampleRate as LibRate, Signal,
};
use offhook_units::{SampleRate, Span};

/// How long a frame is that we make.
pub const FRAME: Span = Span::from_ms(20);
/// Longest packet that may come, RFC 6716 section 3.2.5.
pub const PACKET_MAX: Span = Span::from_ms(120);
/// Room for a packet of ours at any bitrate, RFC 6716 section 3.2.1.
pub const PACKET_BYTES_MAX: usize = 1_275;
/// A packet this short says that nothing need be sent (DTX).
const SILENT_BYTES: usize = 2;
/// Bitrates that one voice makes use of, in bit/s, RFC 7587 section 3.1.1.
const BITRATES: core::ops::RangeInclusive<u32> = 6_000..=64_000;
/// More loss than this is encoded like this: redundancy would leave too little for the voice.
const EXPECTED_LOSS_PERCENT_MAX: u8 = 30;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpusError {
    /// The peer sent a payload that is no packet of Opus. Treat it as lost.
    #[error("the payload is no packet of Opus")]
    Malformed,
    /// The peer sent more than there is room for. Give room for [`PACKET_MAX`], or treat it as lost.
    #[error("the packet is longer than the room for its samples")]
    TooLong,
    /// Opus has no such rate: 8, 12, 16, 24 and 48 kHz are. Resample, or ask for one of them.
    #[error("Opus has no rate of {} Hz", .0.0)]
    Rate(SampleRate),
    /// Frames of 20 ms are encoded, up to three at once, and the samples are none. Fix the caller.
    #[error("{0} samples are no frames of 20 ms")]
    Frame(usize),
    /// libopus refused or found no memory.
    #[error("libopus: {0}")]
    Library(LibError),
}

impl From<LibError> for OpusError {
    fn from(error: LibError) -> Self {
        match error {
            LibError::EmptyPacket | LibError::Opus(ErrorCode::InvalidPacket) => Self::Malformed,
            LibError::Opus(ErrorCode::BufferTooSmall) => Self::TooLong,
            other => Self::Library(other),
        }
    }
}

fn library_rate(rate: SampleRate) -> Result<LibRate, OpusError> {
    LibRate::try_from(rate.0 as i32).map_err(|_| OpusError::Rate(rate))
}

/// How a voice is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Of the samples given.
    pub rate: SampleRate,
    /// Bits a second; 6,000 to 64,000.
    pub bitrate: u32,
    /// How much of what is sent is expected to be lost: decides how much each packet repeats of the one before.
    pub expected_loss_percent: u8,
    /// Whether packets may repeat the one before (the peer's `useinbandfec`).
    pub fec: bool,
    /// Whether pauses need not be sent (the peer's `usedtx`).
    pub dtx: bool,
}

impl Settings {
    /// For a voice at `rate`, with redundancy as loss shows.
    pub const fn voice(rate: SampleRate) -> Self {
        Self { rate, bitrate: 24_000, expected_loss_percent: 0, fec: true, dtx: false }
    }
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoded {
    /// A packet of so many bytes.
    Packet(usize),
    /// A pause: nothing need be sent.
    Silent,
}

/// Makes the packets of one stream.
#[derive(Debug)]
pub struct Encoder {
    library: LibEncoder,
    frame: usize,
}

impl Encoder {
    /// For one stream. Takes memory; nothing else here does.
    ///
    /// # Errors
    /// See [`OpusError`].
    pub fn new(settings: &Settings) -> Result<Self, OpusError> {
        let mut library = LibEncoder::new(library_rate(settings.rate)?, Channels::Mono, Application::Voip)?;
        library.set_signal(Signal::Voice)?;
        library.set_inband_fec(settings.fec)?;
        library.set_dtx(settings.dtx)?;
        let mut encoder = Self { library, frame: settings.rate.samples(FRAME) as usize };
        encoder.set_bitrate(settings.bitrate)?;
        encoder.set_expected_loss(settings.expected_loss_percent)?;
        Ok(encoder)
    }

    /// From the next frame on; what lies outside of 6,000 to 64,000 bit/s is taken for the nearest of both.
    ///
    /// # Errors
    /// See [`OpusError`].
    pub fn set_bitrate(&mut self, bitrate: u32) -> Result<(), OpusError> {
        let bitrate = bitrate.clamp(*BITRATES.start(), *BITRATES.end());
        Ok(self.library.set_bitrate(Bitrate::BitsPerSecond(bitrate as i32))?)
    }

    /// Sound up to 8 kHz from the next frame on, or up to 4 kHz alone, as long as the rate has it.
    ///
    /// # Errors
    /// See [`OpusError`].
    pub fn set_wide(&mut self, wide: bool) -> Result<(), OpusError> {
        let bandwidth = if wide { Bandwidth::Wideband } else { Bandwidth::Narrowband };
        Ok(self.library.set_max_bandwidth(bandwidth)?)
    }

    /// From the next frame on; more than 30 % are taken for 30.
    ///
    /// # Errors
    /// See [`OpusError`].
    pub fn set_expected_loss(&mut self, percent: u8) -> Result<(), OpusError> {
        Ok(self.library.set_packet_loss_perc(percent.min(EXPECTED_LOSS_PERCENT_MAX))?)
    }

    /// How many samples late, at its own rate, what is encoded comes out of any decoder.
    ///
    /// # Errors
    /// See [`OpusError`].
    pub fn lookahead(&self) -> Result<u32, OpusError> {
        Ok(self.library.lookahead()?)
    }

    /// Encodes 20, 40 or 60 ms into one packet in `out`, which has room for [`PACKET_BYTES_MAX`].
    ///
    /// # Errors
    /// [`OpusError::Frame`] where it is anything else.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<Encoded, OpusError> {
        if ![1, 2, 3].map(|frames| frames * self.frame).contains(&pcm.len()) {
            return Err(OpusError::Frame(pcm.len()));
        }
        match self.library.encode(pcm, out)? {
            ..=SILENT_BYTES => Ok(Encoded::Silent),
            bytes => Ok(Encoded::Packet(bytes)),
        }
    }
}

/// How many samples a packet holds at `rate`.
///
/// # Errors
/// [`OpusError::Malformed`], also where it is longer than [`PACKET_MAX`].
pub fn samples_in(payload: &[u8], rate: SampleRate) -> Result<usize, OpusError> {
    let samples = nb_samples(Packet::try_from(payload)?, library_rate(rate)?)?;
    if samples == 0 || samples as u64 > rate.samples(PACKET_MAX) {
        return Err(OpusError::Malformed);
    }
    Ok(samples)
}

/// Reads the packets of one stream.
#[derive(Debug)]
pub struct Decoder {
    library: LibDecoder,
    rate: SampleRate,
}

impl Decoder {
    /// For one stream, to samples at `rate`. Takes memory; nothing else here does.
    ///
    /// # Errors
    /// See [`OpusError`].
    pub fn new(rate: SampleRate) -> Result<Self, OpusError> {
        Ok(Self { library: LibDecoder::new(library_rate(rate)?, Channels::Mono)?, rate })
    }

    /// Decodes a packet into `out`; says how many samples it holds.
    ///
    /// # Errors
    /// [`OpusError::Malformed`] and [`OpusError::TooLong`]; the stream goes on as if it had not come.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, OpusError> {
        self.samples_in(payload)?;
        self.read(Some(payload), out, false)
    }

    /// Makes up what was lost, as long as `out` is: 10 ms or a multiple of it.
    ///
    /// # Errors
    /// [`OpusError::Library`] where `out` has another length.
    pub fn conceal(&mut self, out: &mut [i16]) -> Result<usize, OpusError> {
        self.read(None, out, false)
    }

    /// Takes what was lost from the packet `after` it, which repeats it where its sender does so; it is made up otherwise. `out`
    /// is as long as what was lost. The packet itself is decoded next.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn recover(&mut self, after: &[u8], out: &mut [i16]) -> Result<usize, OpusError> {
        self.samples_in(after)?;
        self.read(Some(after), out, true)
    }

    /// How many samples a packet holds at this decoder's rate.
    ///
    /// # Errors
    /// [`OpusError::Malformed`], also where it is longer than [`PACKET_MAX`].
    pub fn samples_in(&self, payload: &[u8]) -> Result<usize, OpusError> {
        samples_in(payload, self.rate)
    }

    /// Forgets what it heard, for another stream.
    ///
    /// # Errors
    /// [`OpusError::Library`].
    pub fn reset(&mut self) -> Result<(), OpusError> {
        Ok(self.library.reset_state()?)
    }

    fn read(&mut self, payload: Option<&[u8]>, out: &mut [i16], before: bool) -> Result<usize, OpusError> {
        // libopus takes an odd rest of the room for a fault of the caller's.
        let step = self.rate.samples(Span::from_us(2_500)) as usize;
        let room = out.len() / step * step;
        if room == 0 {
            return Err(OpusError::TooLong);
        }
        let payload = payload.map(Packet::try_from).transpose()?;
        Ok(self.library.decode(payload, MutSignals::try_from(&mut out[..room])?, before)?)
    }
}
