//! The ring itself: bytes one behind the other, and for each message where it lies, when and between whom it went.

use std::collections::VecDeque;

use offhook_sip::Flow;
use offhook_units::Tick;

use super::call_id;

/// What is noted of a message beside its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub at: Tick,
    pub flow: Flow,
    pub sent: bool,
}

/// The message is longer than the whole ring.
#[derive(Debug)]
pub struct TooLong;

#[derive(Debug)]
struct Place {
    entry: Entry,
    /// Of its Call-ID; zero where it has none.
    hash: u64,
    length: usize,
}

/// What a message costs beside its bytes.
const PLACE_BYTES: usize = size_of::<Place>();

/// A guess at a message's length, for the room that is reserved at once.
const TYPICAL_BYTES: usize = 512;

/// A bounded ring of messages.
#[derive(Debug)]
pub struct Ring {
    bytes_max: usize,
    bytes: VecDeque<u8>,
    places: VecDeque<Place>,
}

impl Ring {
    /// Holds at most `bytes_max`. The memory is reserved at once, so that it never moves, and taken as it fills.
    pub fn new(bytes_max: usize) -> Self {
        let places = bytes_max / (PLACE_BYTES + TYPICAL_BYTES);
        Self {
            bytes_max,
            bytes: VecDeque::with_capacity(bytes_max - places * PLACE_BYTES),
            places: VecDeque::with_capacity(places),
        }
    }

    /// Bytes held, what is noted of each message included.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.places.len() * PLACE_BYTES
    }

    /// Adds a message; gives how many older ones fell out for it.
    pub fn push(&mut self, entry: Entry, hash: u64, bytes: &[u8]) -> Result<u64, TooLong> {
        let length = bytes.len();
        if length + PLACE_BYTES > self.bytes_max {
            return Err(TooLong);
        }
        let mut fallen_out = 0;
        while self.bytes() + length + PLACE_BYTES > self.bytes_max {
            let Some(oldest) = self.places.pop_front() else { break };
            self.bytes.drain(..oldest.length);
            fallen_out += 1;
        }
        self.bytes.extend(bytes);
        self.places.push_back(Place { entry, hash, length });
        Ok(fallen_out)
    }

    /// When the oldest message came.
    pub fn oldest(&self) -> Option<Tick> {
        self.places.front().map(|place| place.entry.at)
    }

    /// Copies of the messages with one of these Call-IDs, given with their hashes: the first `most`, each with the place of its
    /// Call-ID in the list.
    pub fn find(&self, wanted: &[(u64, &str)], most: usize) -> Vec<(Entry, usize, Vec<u8>)> {
        let mut found = Vec::new();
        let mut at = 0;
        for place in &self.places {
            let range = at..at + place.length;
            at = range.end;
            if found.len() < most
                && let Some(leg) = wanted.iter().position(|(hash, _)| *hash == place.hash)
            {
                let bytes: Vec<u8> = self.bytes.range(range).copied().collect();
                if call_id(&bytes) == Some(wanted[leg].1.as_bytes()) {
                    found.push((place.entry, leg, bytes));
                }
            }
        }
        found
    }
}
