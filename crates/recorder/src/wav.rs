//! The head of a recording: a WAV header of fixed size, brought up to date while the recording grows.
//!
//! `RIFF`, `fmt ` (G.711 or G.722, two channels, 8,000 bytes a second each), `fact`, a chunk of our own (`ofhk`: who, since when, how far each side is
//! decided), `data`. Players skip the chunk they do not know.

use offhook_plan::CodecKind;
use offhook_units::{CallId, RecordingId, Tick};

/// Where the speech begins.
pub const HEADER_BYTES: usize = 128;

/// Bytes of one frame: one byte for each side.
pub const FRAME_BYTES: u64 = 2;
/// Frames of a second, in every codec that a file is kept in.
const FRAMES_PER_S: u32 = 8_000;

/// `WAVE_FORMAT_ALAW`, `WAVE_FORMAT_MULAW` and `WAVE_FORMAT_G722_ADPCM`, RFC 2361. Players know the first two; none knows G.722
/// with two channels, so that it has to be exported to be heard.
const FORMAT_ALAW: u16 = 6;
const FORMAT_MULAW: u16 = 7;
const FORMAT_G722: u16 = 0x65;

const OWN_AT: usize = 50;
const OWN_BYTES: usize = HEADER_BYTES - OWN_AT - 8 - 8;
const OWN_VERSION: u16 = 1;

const _: () =
    assert!(OWN_BYTES.is_multiple_of(2) && OWN_BYTES >= 58, "RIFF chunks are of even size; ours holds 58 bytes");

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WavHeader {
    /// What the data is.
    pub codec: CodecKind,
    /// Frames of data (samples a side).
    pub frames: u64,
    /// Which recording.
    pub id: RecordingId,
    /// Of which call.
    pub call: CallId,
    /// Where the time line starts.
    pub started: Tick,
    /// Frames up to which each side (left, right) is either speech or a gap in the journal.
    pub decided: [u64; 2],
    /// Packets of speech of each side so far.
    pub packets: [u32; 2],
    /// Frames that the time line had when the disk refused it; 0 where the disk does not refuse.
    pub behind: u64,
}

/// Why bytes are no header of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    /// Fewer bytes than a header has.
    #[error("the file ends within its header")]
    Short,
    /// Another file, or damaged.
    #[error("the file does not begin with the header of a recording")]
    Foreign,
}

impl WavHeader {
    /// The header as bytes. Sizes over 4 GiB are given as the largest there is.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let Self { codec, frames, id, call, started, decided, packets, behind } = *self;
        let format = match codec {
            CodecKind::Pcma => FORMAT_ALAW,
            CodecKind::Pcmu => FORMAT_MULAW,
            // As `coding_of` keeps it.
            CodecKind::G722 | CodecKind::Opus | CodecKind::L16 => FORMAT_G722,
        };
        let size = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        let data = frames.saturating_mul(FRAME_BYTES);
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend(b"RIFF");
        out.extend(size(data.saturating_add(HEADER_BYTES as u64 - 8)));
        out.extend(b"WAVEfmt \x12\0\0\0");
        out.extend(format.to_le_bytes());
        out.extend(2_u16.to_le_bytes());
        out.extend(FRAMES_PER_S.to_le_bytes());
        out.extend((FRAMES_PER_S * FRAME_BYTES as u32).to_le_bytes());
        out.extend((FRAME_BYTES as u16).to_le_bytes());
        out.extend(8_u16.to_le_bytes());
        out.extend(0_u16.to_le_bytes());
        out.extend(b"fact\x04\0\0\0");
        out.extend(size(frames));
        out.extend(b"ofhk");
        out.extend(size(OWN_BYTES as u64));
        out.extend(OWN_VERSION.to_le_bytes());
        for number in [id.0, call.0, started.as_us(), decided[0], decided[1]] {
            out.extend(number.to_le_bytes());
        }
        out.extend(packets[0].to_le_bytes());
        out.extend(packets[1].to_le_bytes());
        out.extend(behind.to_le_bytes());
        out.resize(HEADER_BYTES - 8, 0);
        out.extend(b"data");
        out.extend(size(data));
        out.try_into().expect("the parts above fill the header")
    }

    /// Reads what [`WavHeader::encode`] wrote; `frames` is what the header says, which a crash may have left too small.
    pub fn decode(bytes: &[u8]) -> Result<Self, WavError> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(WavError::Short)?;
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let codec = match u16_at(20) {
            FORMAT_ALAW => CodecKind::Pcma,
            FORMAT_MULAW => CodecKind::Pcmu,
            FORMAT_G722 => CodecKind::G722,
            _ => return Err(WavError::Foreign),
        };
        let own = OWN_AT + 8;
        let known = bytes.starts_with(b"RIFF")
            && &bytes[8..16] == b"WAVEfmt "
            && &bytes[OWN_AT..OWN_AT + 4] == b"ofhk"
            && u16_at(own) == OWN_VERSION;
        if !known {
            return Err(WavError::Foreign);
        }
        Ok(Self {
            codec,
            frames: u64::from(u32_at(HEADER_BYTES - 4)) / FRAME_BYTES,
            id: RecordingId(u64_at(own + 2)),
            call: CallId(u64_at(own + 10)),
            started: Tick::from_us(u64_at(own + 18)),
            decided: [u64_at(own + 26), u64_at(own + 34)],
            packets: [u32_at(own + 42), u32_at(own + 46)],
            behind: u64_at(own + 50),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(frames: u64) -> WavHeader {
        WavHeader {
            codec: CodecKind::Pcma,
            frames,
            id: RecordingId(0x0123_4567_89ab_cdef),
            call: CallId(7),
            started: Tick::from_us(1_700_000_000_000_000),
            decided: [3, 4],
            packets: [5, 6],
            behind: 7,
        }
    }

    #[test]
    fn a_header_reads_back_what_was_written_and_its_chunks_end_at_the_data() {
        let bytes = header(800).encode();
        assert_eq!(WavHeader::decode(&bytes), Ok(header(800)));
        // As any player walks it: from chunk to chunk.
        let size = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        assert_eq!(size(4), HEADER_BYTES - 8 + 1_600);
        let mut at = 12;
        let mut chunks = Vec::new();
        while at < HEADER_BYTES {
            chunks.push((&bytes[at..at + 4], size(at + 4)));
            at += 8 + if &bytes[at..at + 4] == b"data" { 0 } else { size(at + 4) };
        }
        assert_eq!(chunks, [(&b"fmt "[..], 18), (b"fact", 4), (b"ofhk", OWN_BYTES), (b"data", 1_600)]);
        assert_eq!(at, HEADER_BYTES);
        assert_eq!(bytes[20..36], *b"\x06\0\x02\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x08\0");
    }

    #[test]
    fn what_is_no_header_of_ours_is_refused_without_panic() {
        let good = header(u64::MAX).encode();
        for cut in 0..HEADER_BYTES {
            assert_eq!(WavHeader::decode(&good[..cut]), Err(WavError::Short));
            let mut changed = good;
            changed[cut] ^= 0x55;
            let _ = WavHeader::decode(&changed);
        }
        assert_eq!(WavHeader::decode(&[0; 200]), Err(WavError::Foreign));
    }
}
