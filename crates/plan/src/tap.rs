//! The recorder's ring and its wire format: one record per packet heard or sent at a tapped leg.
//!
//! A record is a fixed header of [`HEADER_BYTES`] followed by `payload_bytes` of payload. Written and read whole: one that
//! finds no room in the ring is dropped and counted.

mod ring;

use offhook_units::{LegId, RecordingId, Tick};

use crate::CodecKind;

pub use ring::{HAND_OVER_EVERY, TapReader, TapWriter, tap_ring};

/// Which direction of the tapped leg a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// What the leg's peer said: received by us. The left channel.
    Heard,
    /// What we sent to it: the agent, prompts, music. The right channel.
    Sent,
}

/// The head of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapHeader {
    /// Into which recording.
    pub recording: RecordingId,
    /// At which leg.
    pub leg: LegId,
    /// When it arrived at, or left, the worker.
    pub at: Tick,
    /// Which direction.
    pub side: Side,
    /// RTP payload type, as on the wire of that leg.
    pub payload_type: u8,
    /// What the payload is, where it is speech: what the leg had agreed on then.
    pub codec: Option<CodecKind>,
    /// RTP sequence number.
    pub seq: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// RTP synchronisation source.
    pub ssrc: u32,
    /// Payload that follows, in bytes.
    pub payload_bytes: u16,
    /// Records of this worker that found no room since the last one that did.
    pub dropped_before: u32,
}

/// Size of an encoded header.
pub const HEADER_BYTES: usize = 40;

/// Largest payload of a record; a longer one is not recorded but counted as dropped.
pub const PAYLOAD_BYTES_MAX: usize = 1_500;

impl TapHeader {
    /// The header as bytes, little-endian.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..8].copy_from_slice(&self.recording.0.to_le_bytes());
        out[8..16].copy_from_slice(&self.leg.0.to_le_bytes());
        out[16..24].copy_from_slice(&self.at.as_us().to_le_bytes());
        let codec = CodecKind::ALL.iter().position(|codec| self.codec == Some(*codec)).map_or(0, |at| at as u8 + 1);
        out[24] = u8::from(self.side == Side::Sent) | codec << 1;
        out[25] = self.payload_type;
        out[26..28].copy_from_slice(&self.seq.to_le_bytes());
        out[28..32].copy_from_slice(&self.timestamp.to_le_bytes());
        out[32..36].copy_from_slice(&self.ssrc.to_le_bytes());
        out[36..38].copy_from_slice(&self.payload_bytes.to_le_bytes());
        let dropped = u16::try_from(self.dropped_before).unwrap_or(u16::MAX);
        out[38..40].copy_from_slice(&dropped.to_le_bytes());
        out
    }

    /// Reads what [`TapHeader::encode`] wrote.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Self {
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let u16_at = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"));
        Self {
            recording: RecordingId(u64_at(0)),
            leg: LegId(u64_at(8)),
            at: Tick::from_us(u64_at(16)),
            side: if bytes[24] & 1 == 0 { Side::Heard } else { Side::Sent },
            codec: usize::from(bytes[24] >> 1).checked_sub(1).and_then(|at| CodecKind::ALL.get(at).copied()),
            payload_type: bytes[25],
            seq: u16_at(26),
            timestamp: u32_at(28),
            ssrc: u32_at(32),
            payload_bytes: u16_at(36),
            dropped_before: u32::from(u16_at(38)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_what_was_written() {
        let header = |codec| TapHeader {
            recording: RecordingId(7),
            leg: LegId(u64::MAX),
            at: Tick::from_us(123_456_789),
            side: Side::Sent,
            payload_type: 101,
            codec,
            seq: 65_535,
            timestamp: 0xdead_beef,
            ssrc: 42,
            payload_bytes: 160,
            dropped_before: 3,
        };
        for codec in CodecKind::ALL.map(Some).into_iter().chain([None]) {
            assert_eq!(TapHeader::decode(&header(codec).encode()), header(codec));
            let heard = TapHeader { side: Side::Heard, ..header(codec) };
            assert_eq!(TapHeader::decode(&heard.encode()), heard);
        }
    }
}
