//! The recorder's ring: records in chunks, which go from a media worker to the recorder and come back empty.
//!
//! The chunk that came back last is filled next: as much memory is touched as lies between two looks of the recorder, and the
//! rest is there for a disk that stalls. A ring of bytes would go round through all of it.

use offhook_units::Span;
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::{HEADER_BYTES, PAYLOAD_BYTES_MAX, TapHeader};

/// How often a worker lets the recorder have what it has written.
pub const HAND_OVER_EVERY: Span = Span::from_ms(10);

/// Records of one chunk, in bytes: 320 packets of G.711.
const CHUNK_BYTES: usize = 64_000;

const _: () = assert!(CHUNK_BYTES > HEADER_BYTES + PAYLOAD_BYTES_MAX, "the longest record fits into a chunk");

/// A ring with room for `bytes` of records, in whole chunks; at least for one record. All of it is made here, and none is
/// touched before it is needed.
pub fn tap_ring(bytes: usize) -> (TapWriter, TapReader) {
    let count = (bytes / CHUNK_BYTES).max(1);
    let room = bytes.clamp(HEADER_BYTES + PAYLOAD_BYTES_MAX, CHUNK_BYTES);
    let (full, full_out) = HeapRb::new(count).split();
    let (empty, empty_out) = HeapRb::new(count).split();
    let spare = (0..count).map(|_| Vec::with_capacity(room)).collect();
    let behind = count.div_ceil(2);
    let writer = TapWriter { full, empty: empty_out, spare, open: Vec::new(), room, behind };
    (writer, TapReader { full: full_out, empty, behind })
}

/// A worker's end. Nothing here allocates or waits.
pub struct TapWriter {
    full: HeapProd<Vec<u8>>,
    empty: HeapCons<Vec<u8>>,
    /// Empty chunks, the one used last on top.
    spare: Vec<Vec<u8>>,
    /// What is being filled; without capacity where there is none.
    open: Vec<u8>,
    room: usize,
    /// While so many chunks wait, further ones go when they are full.
    behind: usize,
}

impl TapWriter {
    /// Writes a record, of which `payload` has [`TapHeader::payload_bytes`], whole; says whether there was room.
    pub fn push(&mut self, header: &TapHeader, payload: &[u8]) -> bool {
        let length = HEADER_BYTES + payload.len();
        if self.open.len() + length > self.room {
            self.pass_on();
        }
        if self.open.capacity() == 0 {
            while let Some(chunk) = self.empty.try_pop() {
                self.spare.push(chunk);
            }
            let Some(chunk) = self.spare.pop_if(|_| length <= self.room) else { return false };
            self.open = chunk;
        }
        self.open.extend_from_slice(&header.encode());
        self.open.extend_from_slice(payload);
        true
    }

    /// Lets the reader have what was written, unless half the ring waits for it: then chunks go when they are full, so that they
    /// hold what they were made for. Call it every [`HAND_OVER_EVERY`], and when
    /// a recording may end.
    pub fn hand_over(&mut self) {
        if self.full.occupied_len() < self.behind {
            self.pass_on();
        }
    }

    /// Whether something was written that the reader does not have yet.
    pub fn is_holding(&self) -> bool {
        !self.open.is_empty()
    }

    fn pass_on(&mut self) {
        if self.is_holding() {
            // There is a place for every chunk.
            let _ = self.full.try_push(core::mem::take(&mut self.open));
        }
    }
}

impl Drop for TapWriter {
    fn drop(&mut self) {
        self.pass_on();
    }
}

/// The recorder's end.
pub struct TapReader {
    full: HeapCons<Vec<u8>>,
    empty: HeapProd<Vec<u8>>,
    behind: usize,
}

impl TapReader {
    /// Whether half the ring waits, so that the writer may hold back more.
    pub fn is_behind(&self) -> bool {
        self.full.occupied_len() >= self.behind
    }

    /// Chunks of the whole ring.
    pub fn chunks(&self) -> usize {
        self.full.capacity().get()
    }

    /// Hands what has come to `take`, record by record and in order, of `chunks_max` chunks at most; says how many records.
    pub fn drain(&mut self, chunks_max: usize, mut take: impl FnMut(&TapHeader, &[u8])) -> usize {
        let mut count = 0;
        for _ in 0..chunks_max {
            let Some(mut chunk) = self.full.try_pop() else { break };
            let mut rest = &chunk[..];
            while let Some((head, behind)) = rest.split_first_chunk() {
                let header = TapHeader::decode(head);
                let Some((payload, behind)) = behind.split_at_checked(usize::from(header.payload_bytes)) else { break };
                take(&header, payload);
                count += 1;
                rest = behind;
            }
            chunk.clear();
            // There is a place for every chunk.
            let _ = self.empty.try_push(chunk);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::Side;
    use offhook_units::{LegId, RecordingId, Tick};

    fn header(seq: u16, payload: &[u8]) -> TapHeader {
        TapHeader {
            recording: RecordingId(7),
            leg: LegId(1),
            at: Tick::from_us(123),
            side: Side::Sent,
            payload_type: 0,
            codec: None,
            seq,
            timestamp: 0,
            ssrc: 42,
            payload_bytes: payload.len() as u16,
            dropped_before: 0,
        }
    }

    fn push(writer: &mut TapWriter, seq: u16, bytes: usize) -> bool {
        let payload = vec![seq as u8; bytes];
        writer.push(&header(seq, &payload), &payload)
    }

    fn read(reader: &mut TapReader) -> Vec<u16> {
        let mut seen = Vec::new();
        let count = reader.drain(usize::MAX, |header, payload| {
            assert!(payload.len() == usize::from(header.payload_bytes));
            assert!(payload.iter().all(|byte| *byte == header.seq as u8));
            seen.push(header.seq);
        });
        assert_eq!(count, seen.len());
        seen
    }

    #[test]
    fn records_of_all_lengths_are_read_as_they_were_written() {
        let (mut writer, mut reader) = tap_ring(4 << 20);
        let mut seq = 0;
        for round in 0..2_000_u16 {
            let begin = seq;
            for _ in 0..round % 60 {
                assert!(push(&mut writer, seq, usize::from(seq) * 37 % (PAYLOAD_BYTES_MAX + 1)));
                seq = seq.wrapping_add(1);
            }
            writer.hand_over();
            assert!(!writer.is_holding());
            let expected: Vec<u16> = (0..round % 60).map(|n| begin.wrapping_add(n)).collect();
            assert_eq!(read(&mut reader), expected);
        }
    }

    #[test]
    fn a_ring_holds_near_half_of_what_it_was_made_for_however_often_it_is_handed_over() {
        for every in [1, 10, 1_000] {
            let (mut writer, mut reader) = tap_ring(4 << 20);
            let mut written = 0;
            while push(&mut writer, written, 160) {
                written += 1;
                if written % every == 0 {
                    writer.hand_over();
                }
            }
            let percent = usize::from(written) * (HEADER_BYTES + 160) * 100 / (4 << 20);
            assert!(percent >= if every == 1_000 { 85 } else { 48 }, "{percent} %, handed over every {every}");
            assert!(reader.is_behind());
            assert_eq!(read(&mut reader), (0..written).collect::<Vec<_>>());
            assert!(!reader.is_behind());
            assert!(push(&mut writer, 0, 160), "and there is room again");
        }
    }

    #[test]
    fn the_same_few_chunks_are_used_again_and_again() {
        let (mut writer, mut reader) = tap_ring(4 << 20);
        let mut used = std::collections::BTreeSet::new();
        for n in 0..10_000 {
            assert!(push(&mut writer, n, 160));
            used.insert(writer.open.as_ptr());
            if n % 50 == 0 {
                writer.hand_over();
            }
            if n % 200 == 0 {
                read(&mut reader);
            }
        }
        // Four that are handed over between two looks, and the one that is filled meanwhile.
        assert!(used.len() <= 5, "{} chunks", used.len());
    }

    #[test]
    fn a_small_ring_takes_whole_records_or_none() {
        let (mut writer, mut reader) = tap_ring(2_000);
        assert_eq!((0..20).filter(|n| push(&mut writer, *n, 160)).count(), 10);
        assert!(!push(&mut writer, 20, 0));
        writer.hand_over();
        assert_eq!(read(&mut reader).len(), 10);
        assert!(!push(&mut writer, 21, 1_990), "longer than the ring");
        assert!(push(&mut writer, 22, PAYLOAD_BYTES_MAX));
    }

    #[test]
    fn what_was_written_last_is_read_when_the_writer_is_gone() {
        let (mut writer, mut reader) = tap_ring(1 << 20);
        assert!(push(&mut writer, 5, 160));
        assert_eq!(read(&mut reader), []);
        drop(writer);
        assert_eq!(read(&mut reader), [5]);
    }
}
