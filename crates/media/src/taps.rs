//! What is heard and sent at tapped legs, into the recorder's ring (`plan::tap`).

use offhook_plan::CodecKind;
use offhook_plan::tap::{HAND_OVER_EVERY, PAYLOAD_BYTES_MAX, Side, TapHeader, TapWriter};
use offhook_rtp::Header;
use offhook_units::{LegId, RecordingId, Tick};

/// Writes records whole or not at all.
pub struct Taps {
    ring: TapWriter,
    handed_over: Tick,
    dropped_before: u32,
    pub written: u64,
    pub dropped: u64,
}

impl Taps {
    pub const fn new(ring: TapWriter) -> Self {
        Self { ring, handed_over: Tick::ZERO, dropped_before: 0, written: 0, dropped: 0 }
    }

    /// One packet, into every recording of its leg; of speech with the codec that it is in.
    #[expect(clippy::too_many_arguments, reason = "a packet and what it is")]
    pub fn record(
        &mut self,
        recordings: &[RecordingId],
        leg: LegId,
        at: Tick,
        side: Side,
        codec: Option<CodecKind>,
        header: &Header,
        payload: &[u8],
    ) {
        for recording in recordings {
            let head = TapHeader {
                recording: *recording,
                leg,
                at,
                side,
                payload_type: header.payload_type,
                codec,
                seq: header.seq.0,
                timestamp: header.timestamp.0,
                ssrc: header.ssrc,
                payload_bytes: payload.len() as u16,
                dropped_before: self.dropped_before,
            };
            if payload.len() <= PAYLOAD_BYTES_MAX && self.ring.push(&head, payload) {
                self.dropped_before = 0;
                self.written += 1;
            } else {
                self.dropped_before = self.dropped_before.saturating_add(1);
                self.dropped += 1;
            }
        }
    }

    /// When records are to be handed over; [`Tick::MAX`] where there are none.
    pub fn due(&self) -> Tick {
        if self.ring.is_holding() { self.handed_over + HAND_OVER_EVERY } else { Tick::MAX }
    }

    /// Lets the recorder have what was written.
    pub fn hand_over(&mut self, now: Tick) {
        self.ring.hand_over();
        self.handed_over = now;
    }
}
