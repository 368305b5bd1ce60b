//! What is known of each source of a stream: the newest index, and which ones before it were seen (RFC 3711 section 3.3).

use super::SrtpError;

/// Sources of one direction of one stream. A peer that proves to have the key may change its SSRC this often before its key
/// changes; packets of further sources are thrown away.
pub const SOURCES_MAX: usize = 16;
/// How far back of the newest a packet is still taken: twice what RFC 3711 section 3.3.2 asks for.
pub const REPLAY_WINDOW: u64 = u128::BITS as u64;
/// Past the last index a key is spent, RFC 3711 section 9.2.
const INDEX_MAX: u64 = (1 << 48) - 1;

/// The newest index and those behind it that were seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// None before the first packet.
    newest: Option<u64>,
    /// Bit n: `newest - n` was seen.
    seen: u128,
}

impl Window {
    /// The index of the packet with number `seq`: of all that end in it the one nearest to the newest, RFC 3711 section 3.3.1.
    pub const fn estimate(&self, seq: u16) -> u64 {
        const HALF: u64 = 1 << 15;
        const CYCLE: u64 = 1 << 16;
        let Some(newest) = self.newest else { return seq as u64 };
        let index = (newest & !(CYCLE - 1)) | seq as u64;
        if index + HALF < newest {
            index + CYCLE
        } else if index > newest + HALF && index >= CYCLE {
            index - CYCLE
        } else {
            index
        }
    }

    /// Whether the packet is neither seen before nor too old to tell.
    pub const fn check(&self, index: u64) -> Result<(), SrtpError> {
        match self.newest {
            _ if index > INDEX_MAX => Err(SrtpError::KeySpent),
            Some(newest) if index <= newest => {
                let back = newest - index;
                if back >= REPLAY_WINDOW || self.seen & (1 << back) != 0 { Err(SrtpError::Replayed) } else { Ok(()) }
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Notes a packet that is proved.
    pub fn note(&mut self, index: u64) {
        match self.newest {
            Some(newest) if index <= newest => {
                self.seen |= 1_u128.checked_shl((newest - index).min(u64::from(u32::MAX)) as u32).unwrap_or(0);
            }
            Some(newest) => {
                let ahead = (index - newest).min(u64::from(u32::MAX)) as u32;
                self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
                self.newest = Some(index);
            }
            None => *self = Self { newest: Some(index), seen: 1 },
        }
    }

    /// The newest index.
    pub const fn newest(&self) -> Option<u64> {
        self.newest
    }
}

/// One source.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    pub ssrc: u32,
    pub rtp: Window,
    pub rtcp: Window,
}

/// The sources of one direction. Its memory is taken when it is made.
#[derive(Debug)]
pub struct Sources(Vec<Source>);

impl Sources {
    pub fn new() -> Self {
        Self(Vec::with_capacity(SOURCES_MAX))
    }

    /// What is known of a source; nothing yet of a new one.
    pub fn get(&self, ssrc: u32) -> Source {
        let known = self.0.iter().find(|source| source.ssrc == ssrc).copied();
        known.unwrap_or(Source { ssrc, rtp: Window::default(), rtcp: Window::default() })
    }

    /// Whether a packet of this source could be noted.
    pub fn has_room(&self, ssrc: u32) -> Result<(), SrtpError> {
        let fits = self.0.len() < SOURCES_MAX || self.0.iter().any(|source| source.ssrc == ssrc);
        if fits { Ok(()) } else { Err(SrtpError::TooManySources) }
    }

    /// Keeps what is known of a source.
    pub fn put(&mut self, source: Source) {
        if let Some(known) = self.0.iter_mut().find(|known| known.ssrc == source.ssrc) {
            *known = source;
        } else if self.0.len() < SOURCES_MAX {
            self.0.push(source);
        }
    }
}
