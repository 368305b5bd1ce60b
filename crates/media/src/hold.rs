//! Packets of a leg that nobody hears yet: the newest are kept, so that no word is lost between an answer and its plan.

use offhook_rtp::{HEADER_BYTES, Header, SRTP_TAIL_MAX, SrtpReceiver};
use offhook_units::Tick;

/// Most packets held for one leg: 32 x 20 ms = 640 ms. Older ones give way.
pub const HELD_PACKETS_MAX: usize = 32;
/// Largest payload held: 60 ms of G.711, encrypted. Larger ones are not held.
pub const HELD_PAYLOAD_MAX: usize = 480 + SRTP_TAIL_MAX;
const _: () = assert!(HELD_PACKETS_MAX.is_power_of_two(), "slots are indexed by a mask");

#[derive(Debug, Clone, Copy)]
struct Kept {
    at: Tick,
    header: Header,
    length: usize,
}

/// A ring of packets. Its memory is half of what a leg needs, and is there only while nobody hears the leg.
#[derive(Debug, Default)]
pub struct Hold {
    kept: Vec<Option<Kept>>,
    payloads: Box<[u8]>,
    /// Packets ever put in.
    count: usize,
    /// Where reading begins.
    first: usize,
}

impl Hold {
    /// With room for [`HELD_PACKETS_MAX`] packets.
    pub fn new() -> Self {
        Self {
            kept: vec![None; HELD_PACKETS_MAX],
            payloads: vec![0; HELD_PACKETS_MAX * HELD_PAYLOAD_MAX].into(),
            count: 0,
            first: 0,
        }
    }

    /// Nobody hears the leg from now on: there is room for what it says.
    pub fn begin(&mut self) {
        if self.kept.is_empty() {
            *self = Self::new();
        }
    }

    /// Somebody hears the leg: all is forgotten, and the room given back.
    pub fn end(&mut self) {
        *self = Self::default();
    }

    /// Keeps a packet; says whether one was lost for it, or it itself.
    pub fn push(&mut self, at: Tick, header: Header, payload: &[u8]) -> bool {
        if payload.len() > HELD_PAYLOAD_MAX || self.kept.is_empty() {
            return true;
        }
        let place = self.count & (HELD_PACKETS_MAX - 1);
        self.kept[place] = Some(Kept { at, header, length: payload.len() });
        self.payloads[place * HELD_PAYLOAD_MAX..][..payload.len()].copy_from_slice(payload);
        self.count += 1;
        let overwrites = self.count - self.first > HELD_PACKETS_MAX;
        if overwrites {
            self.first = self.count - HELD_PACKETS_MAX;
        }
        overwrites
    }

    /// Opens what came encrypted before its key was known; what cannot be opened is forgotten, and counted. A packet is taken
    /// to have had no header extension: the header is not held as it was.
    pub fn open(&mut self, keys: &mut SrtpReceiver) -> u64 {
        let mut unopened = 0;
        for n in self.first..self.count {
            let place = n & (HELD_PACKETS_MAX - 1);
            let Some(kept) = &mut self.kept[place] else { continue };
            let payload = &mut self.payloads[place * HELD_PAYLOAD_MAX..][..kept.length];
            let mut packet = [0; HEADER_BYTES + HELD_PAYLOAD_MAX];
            let opened =
                kept.header.write(payload, &mut packet).and_then(|end| keys.unprotect_rtp(&mut packet[..end]).ok());
            if let Some(end) = opened {
                kept.length = end - HEADER_BYTES;
                payload[..kept.length].copy_from_slice(&packet[HEADER_BYTES..end]);
            } else {
                self.kept[place] = None;
                unopened += 1;
            }
        }
        unopened
    }

    /// What is held, in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (Tick, Header, &[u8])> {
        (self.first..self.count).filter_map(|n| {
            let place = n & (HELD_PACKETS_MAX - 1);
            let kept = self.kept[place]?;
            Some((kept.at, kept.header, &self.payloads[place * HELD_PAYLOAD_MAX..][..kept.length]))
        })
    }
}
