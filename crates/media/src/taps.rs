//! What is heard and sent at tapped legs, into the recorder's ring (`plan::tap`).

use offhook_plan::tap::{HEADER_BYTES, PAYLOAD_BYTES_MAX, Side, TapHeader};
use offhook_rtp::Header;
use offhook_units::{LegId, RecordingId, Tick};
use ringbuf::traits::{Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

/// The worker's end of the ring.
pub type TapProducer = HeapProd<u8>;
/// The recorder's end of the ring.
pub type TapConsumer = HeapCons<u8>;

/// A ring of `bytes`.
pub fn tap_ring(bytes: usize) -> (TapProducer, TapConsumer) {
    HeapRb::new(bytes.max(HEADER_BYTES + PAYLOAD_BYTES_MAX)).split()
}

/// Writes records whole or not at all.
pub struct Taps {
    ring: TapProducer,
    record: Box<[u8; HEADER_BYTES + PAYLOAD_BYTES_MAX]>,
    dropped_before: u32,
    pub written: u64,
    pub dropped: u64,
}

impl Taps {
    pub fn new(ring: TapProducer) -> Self {
        Self {
            ring,
            record: Box::new([0; HEADER_BYTES + PAYLOAD_BYTES_MAX]),
            dropped_before: 0,
            written: 0,
            dropped: 0,
        }
    }

    /// One packet of speech, into every recording of its leg.
    pub fn record(
        &mut self,
        recordings: &[RecordingId],
        leg: LegId,
        at: Tick,
        side: Side,
        header: &Header,
        payload: &[u8],
    ) {
        for recording in recordings {
            let total = HEADER_BYTES + payload.len();
            if payload.len() > PAYLOAD_BYTES_MAX || self.ring.vacant_len() < total {
                self.dropped_before = self.dropped_before.saturating_add(1);
                self.dropped += 1;
                continue;
            }
            let head = TapHeader {
                recording: *recording,
                leg,
                at,
                side,
                payload_type: header.payload_type,
                seq: header.seq.0,
                timestamp: header.timestamp.0,
                ssrc: header.ssrc,
                payload_bytes: payload.len() as u16,
                dropped_before: self.dropped_before,
            };
            self.record[..HEADER_BYTES].copy_from_slice(&head.encode());
            self.record[HEADER_BYTES..total].copy_from_slice(payload);
            // One push: the reader never sees half a record.
            self.ring.push_slice(&self.record[..total]);
            self.dropped_before = 0;
            self.written += 1;
        }
    }
}
