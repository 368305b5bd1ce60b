//! Opus in Ogg, RFC 7845. Two mono streams in one: channel mapping family 1 with two streams and none coupled (section 5.1.1.2), so
//! that the sides do not mix as those of a stereo stream do.

use offhook_codec::opus::{Encoded, Encoder as Voice, FRAME, PACKET_BYTES_MAX, Settings};
use offhook_units::{RecordingId, SampleRate};
use ogg::writing::{PacketWriteEndInfo, PacketWriter};

use super::EncodeError;

/// Bits a second of each side.
pub const BITRATE: u32 = 24_000;
/// Packets in a page: a second.
const PAGE: u64 = 50;
/// What granule positions count at, RFC 7845 section 4.
const CLOCK: u64 = 48_000;
const FRAME_TICKS: u64 = FRAME.as_us() * CLOCK / 1_000_000;

pub struct Encoder {
    sides: [Voice; 2],
    rate: SampleRate,
    /// Ticks of the beginning that players leave out, RFC 7845 section 4.2: how far the encoder looks ahead.
    skip: u64,
    pages: PacketWriter<'static, Vec<u8>>,
    serial: u32,
    /// Samples that make no whole frame yet, both sides in turn.
    waiting: Vec<i16>,
    /// A packet that may be the last.
    ready: Option<Vec<u8>>,
    /// Packets that went before it.
    packets: u64,
    samples: u64,
    begun: bool,
}

impl core::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Encoder").field("rate", &self.rate).field("packets", &self.packets).finish_non_exhaustive()
    }
}

impl Encoder {
    pub fn new(rate: SampleRate, id: RecordingId) -> Result<Self, EncodeError> {
        // A file loses no packets: nothing is said twice.
        let settings = Settings { bitrate: BITRATE, fec: false, ..Settings::voice(rate) };
        let sides = [Voice::new(&settings)?, Voice::new(&settings)?];
        let skip = u64::from(sides[0].lookahead()?) * CLOCK / u64::from(rate.0);
        Ok(Self {
            sides,
            rate,
            skip,
            pages: PacketWriter::new(Vec::new()),
            serial: (id.0 ^ id.0 >> 32) as u32,
            waiting: Vec::new(),
            ready: None,
            packets: 0,
            samples: 0,
            begun: false,
        })
    }

    pub fn push(&mut self, pairs: &[i16], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.begin();
        self.samples += pairs.len() as u64 / 2;
        self.waiting.extend_from_slice(pairs);
        let whole = self.rate.samples(FRAME) as usize * 2;
        let waiting = core::mem::take(&mut self.waiting);
        let frames = waiting.chunks_exact(whole);
        self.waiting.extend_from_slice(frames.remainder());
        for frame in frames {
            self.frame(frame)?;
        }
        out.append(self.pages.inner_mut());
        Ok(())
    }

    /// The last samples come out of the encoder as late as it looks ahead: silence pushes them through, and the last granule
    /// position says where the speech ends (RFC 7845 section 4.4).
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.begin();
        let end = self.skip + self.samples * CLOCK / u64::from(self.rate.0);
        let whole = self.rate.samples(FRAME) as usize * 2;
        let mut frame = core::mem::take(&mut self.waiting);
        while (self.packets + u64::from(self.ready.is_some())) * FRAME_TICKS < end {
            frame.resize(whole, 0);
            self.frame(&frame)?;
            frame.clear();
        }
        if let Some(packet) = self.ready.take() {
            self.write(packet, PacketWriteEndInfo::EndStream, end);
        }
        out.append(self.pages.inner_mut());
        Ok(())
    }

    fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            self.write(head(self.skip, self.rate), PacketWriteEndInfo::EndPage, 0);
            self.write(tags(), PacketWriteEndInfo::EndPage, 0);
        }
    }

    fn frame(&mut self, pairs: &[i16]) -> Result<(), EncodeError> {
        let mut packet = Vec::with_capacity(256);
        for (channel, voice) in self.sides.iter_mut().enumerate() {
            let side: Vec<i16> = pairs.iter().skip(channel).step_by(2).copied().collect();
            let mut made = [0; PACKET_BYTES_MAX];
            let bytes = match voice.encode(&side, &mut made)? {
                Encoded::Packet(bytes) => bytes,
                // A pause in a file is a frame of no bytes, RFC 6716 section 3.1.
                Encoded::Silent => 1,
            };
            let (toc, voice) = made[..bytes].split_at(1);
            // One frame to a packet: `c` is 0, RFC 6716 section 3.2.2.
            packet.push(toc[0] & !3);
            if channel == 0 {
                packet.extend(length(voice.len()));
            }
            packet.extend_from_slice(voice);
        }
        if let Some(before) = self.ready.replace(packet) {
            self.packets += 1;
            let page = self.packets.is_multiple_of(PAGE);
            let end = if page { PacketWriteEndInfo::EndPage } else { PacketWriteEndInfo::NormalPacket };
            self.write(before, end, self.packets * FRAME_TICKS);
        }
        Ok(())
    }

    fn write(&mut self, packet: Vec<u8>, end: PacketWriteEndInfo, granule: u64) {
        self.pages.write_packet(packet, self.serial, end, granule).expect("memory takes it");
    }
}

/// The length of a frame within a packet whose end is not its own, RFC 6716 section 3.2.1 and appendix B.
fn length(bytes: usize) -> Vec<u8> {
    if bytes < 252 {
        return vec![bytes as u8];
    }
    let first = 252 + (bytes & 3);
    vec![first as u8, ((bytes - first) / 4) as u8]
}

/// The identification header, RFC 7845 section 5.1.
fn head(skip: u64, rate: SampleRate) -> Vec<u8> {
    let mut out = b"OpusHead\x01\x02".to_vec();
    out.extend((skip as u16).to_le_bytes());
    out.extend(rate.0.to_le_bytes());
    // No gain; family 1; two streams, none coupled; left, right.
    out.extend([0, 0, 1, 2, 0, 0, 1]);
    out
}

/// The comment header, RFC 7845 section 5.2.
fn tags() -> Vec<u8> {
    let (vendor, comment) = (b"offhook", b"DESCRIPTION=left: the customer; right: what the customer was sent");
    let mut out = b"OpusTags".to_vec();
    out.extend((vendor.len() as u32).to_le_bytes());
    out.extend(vendor);
    out.extend(1_u32.to_le_bytes());
    out.extend((comment.len() as u32).to_le_bytes());
    out.extend(comment);
    out
}
