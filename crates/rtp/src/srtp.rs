//! SRTP and SRTCP: RFC 3711 with AES counter mode and HMAC-SHA1, RFC 7714 with AES-GCM. In place, without allocation.
//!
//! A [`SrtpSender`] protects what one end of a stream sends, a [`SrtpReceiver`] opens what it hears; each holds one master key.
//! A packet is proved before anything in it is believed, and nothing is remembered of one that fails.

mod keys;
mod sources;
#[cfg(test)]
mod tests;

use offhook_units::MasterKey;

use keys::{Place, RTCP_CLEAR, Session};
pub use sources::{REPLAY_WINDOW, SOURCES_MAX};
use sources::{Source, Sources, Window};

/// Room that protecting needs behind a packet, for every suite: RTCP's index word and a tag of 128 bits.
pub const SRTP_TAIL_MAX: usize = 20;
/// Packets that are proved under a new key before the one before it is given up: what the peer sent last under the old one
/// has come by then.
const OLD_KEY_FOR: u32 = 64;
/// Longest packet that is tried more than once: under the old key, or with another roll-over counter.
const RETRY_BYTES_MAX: usize = 2_048;
/// Past the last index of RTCP a key is spent, RFC 3711 section 9.2.
const RTCP_INDEX_MAX: u64 = (1 << 31) - 1;

/// Why a packet was not protected or not opened. Drop it and count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SrtpError {
    /// The peer broke RFC 3550 or RFC 3711: shorter than its own headers and tag.
    #[error("the packet is shorter than its headers and tag")]
    Malformed,
    /// The tag does not fit: another key, a changed packet, or none of the peer's at all.
    #[error("the packet's authentication tag does not fit")]
    Forged,
    /// It was seen before, or is too old to tell.
    #[error("the packet was seen before, or is too old to tell")]
    Replayed,
    /// The peer has used more than [`SOURCES_MAX`] sources under one key.
    #[error("more than {SOURCES_MAX} sources under one key")]
    TooManySources,
    /// All indices of the key are used up: a new key must be agreed on.
    #[error("the key has protected as many packets as it may")]
    KeySpent,
    /// The caller left less than [`SRTP_TAIL_MAX`] bytes behind the packet.
    #[error("there is no room for the authentication tag")]
    NoRoom,
}

/// The header of an RTP packet as far as SRTP cares.
struct Head {
    ssrc: u32,
    seq: u16,
    bytes: usize,
}

impl Head {
    /// Padding is not looked at: it is encrypted.
    fn of(packet: &[u8]) -> Result<Self, SrtpError> {
        let &[first, _, high, low, _, _, _, _, a, b, c, d, ..] = packet else { return Err(SrtpError::Malformed) };
        if first >> 6 != 2 {
            return Err(SrtpError::Malformed);
        }
        let mut bytes = 12 + 4 * usize::from(first & 0x0f);
        if first & 0x10 != 0 {
            let Some(&[_, _, high, low]) = packet.get(bytes..bytes + 4) else { return Err(SrtpError::Malformed) };
            bytes += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        }
        if bytes > packet.len() {
            return Err(SrtpError::Malformed);
        }
        Ok(Self { ssrc: u32::from_be_bytes([a, b, c, d]), seq: u16::from_be_bytes([high, low]), bytes })
    }
}

fn rtcp_ssrc(packet: &[u8]) -> Result<u32, SrtpError> {
    match packet.get(4..RTCP_CLEAR) {
        Some(&[a, b, c, d]) if packet[0] >> 6 == 2 => Ok(u32::from_be_bytes([a, b, c, d])),
        Some(_) | None => Err(SrtpError::Malformed),
    }
}

impl Session {
    /// Opens an RTP packet at an index; says what is known of the source then, and how long the packet is.
    fn try_rtp(&self, packet: &mut [u8], head: &Head, from: Source, index: u64) -> Result<(Source, usize), SrtpError> {
        let mut source = from;
        source.rtp.check(index)?;
        let length = self.rtp.open_rtp(Place { ssrc: head.ssrc, index }, packet, head.bytes)?;
        source.rtp.note(index);
        Ok((source, length))
    }

    fn try_rtcp(&self, packet: &mut [u8], from: Source) -> Result<(Source, usize), SrtpError> {
        let mut source = from;
        let index = self.rtcp.rtcp_index(packet)?;
        source.rtcp.check(index)?;
        let length = self.rtcp.open_rtcp(Place { ssrc: source.ssrc, index }, packet)?;
        source.rtcp.note(index);
        Ok((source, length))
    }
}

/// Protects what is sent under one master key.
pub struct SrtpSender {
    master: MasterKey,
    session: Box<Session>,
    sources: Sources,
}

impl SrtpSender {
    /// Derives the session keys; allocates.
    pub fn new(master: &MasterKey) -> Self {
        Self { master: *master, session: Box::new(Session::derive(master)), sources: Sources::new() }
    }

    /// Goes on under another key; nothing changes where it is the same. The roll-over counters go on too (RFC 3711
    /// section 3.3.1).
    pub fn rekey(&mut self, master: &MasterKey) {
        if self.master != *master {
            *self = Self { sources: core::mem::replace(&mut self.sources, Sources::new()), ..Self::new(master) };
        }
    }

    /// Protects the RTP packet in `buffer[..length]` and says how long it is then.
    ///
    /// # Errors
    /// [`SrtpError::Replayed`] where a packet with this number was protected before: a second one under the same key stream
    /// would give both away.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpError> {
        let head = Head::of(buffer.get(..length).ok_or(SrtpError::NoRoom)?)?;
        let mut source = self.sources.get(head.ssrc);
        let index = source.rtp.estimate(head.seq);
        source.rtp.check(index)?;
        self.sources.has_room(head.ssrc)?;
        let sealed = self.session.rtp.seal_rtp(Place { ssrc: head.ssrc, index }, buffer, head.bytes, length)?;
        source.rtp.note(index);
        self.sources.put(source);
        Ok(sealed)
    }

    /// Protects the RTCP compound in `buffer[..length]` and says how long it is then.
    ///
    /// # Errors
    /// [`SrtpError::KeySpent`] after 2^31 packets.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpError> {
        let ssrc = rtcp_ssrc(buffer.get(..length).ok_or(SrtpError::NoRoom)?)?;
        let mut source = self.sources.get(ssrc);
        let index = source.rtcp.newest().map_or(1, |newest| newest + 1);
        if index > RTCP_INDEX_MAX {
            return Err(SrtpError::KeySpent);
        }
        self.sources.has_room(ssrc)?;
        let sealed = self.session.rtcp.seal_rtcp(Place { ssrc, index }, buffer, length)?;
        source.rtcp.note(index);
        self.sources.put(source);
        Ok(sealed)
    }
}

/// Opens what is heard under one master key, and for a moment under the one before it.
pub struct SrtpReceiver {
    master: MasterKey,
    session: Box<Session>,
    /// Of the key before, while packets under it may still be on their way.
    old: Option<Box<Session>>,
    /// Packets that were proved under the present key.
    proved: u32,
    sources: Sources,
}

impl SrtpReceiver {
    /// Derives the session keys; allocates.
    pub fn new(master: &MasterKey) -> Self {
        Self {
            master: *master,
            session: Box::new(Session::derive(master)),
            old: None,
            proved: 0,
            sources: Sources::new(),
        }
    }

    /// Hears another key from now on; nothing changes where it is the same. Packets under the one before it are taken until
    /// enough have come under the new one, so that none is lost in between.
    pub fn rekey(&mut self, master: &MasterKey) {
        if self.master != *master {
            let fresh = Self::new(master);
            let before = core::mem::replace(self, fresh);
            self.sources = before.sources;
            // A key that nothing came under was never in use: the one before it still is.
            self.old = if before.proved == 0 { before.old.or(Some(before.session)) } else { Some(before.session) };
        }
    }

    /// Proves and opens an RTP packet, and says how long it is without its tag.
    ///
    /// # Errors
    /// See [`SrtpError`]. The packet is not to be used then: its bytes may have changed.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let head = Head::of(packet)?;
        self.sources.has_room(head.ssrc)?;
        let source = self.sources.get(head.ssrc);
        let index = source.rtp.estimate(head.seq);
        let second = self.second_guess(source.rtp.newest(), head.seq, index);
        if second.is_some() || self.old.is_some() {
            return self.unprotect_rtp_in_doubt(packet, &head, source, [index, second.unwrap_or(index)]);
        }
        let (source, length) = self.session.try_rtp(packet, &head, source, index)?;
        Ok(self.proved_under_new(source, length))
    }

    /// Opens a packet that may be under the old key, or have another index than the likeliest.
    #[cold]
    fn unprotect_rtp_in_doubt(
        &mut self,
        packet: &mut [u8],
        head: &Head,
        source: Source,
        [likely, second]: [u64; 2],
    ) -> Result<usize, SrtpError> {
        let kept = Kept::of(packet)?;
        let anew = Source { rtp: Window::default(), ..source };
        let first = self.session.try_rtp(packet, head, source, likely);
        let Err(error) = first else { return first.map(|(source, length)| self.proved_under_new(source, length)) };
        if second != likely {
            kept.restore(packet);
            if let Ok((source, length)) = self.session.try_rtp(packet, head, anew, second) {
                return Ok(self.proved_under_new(source, length));
            }
        }
        let Some(old) = &self.old else { return Err(error) };
        kept.restore(packet);
        let (source, length) = old.try_rtp(packet, head, source, likely)?;
        self.sources.put(source);
        Ok(length)
    }

    /// Proves and opens an RTCP compound, and says how long it is without tag and index.
    ///
    /// # Errors
    /// See [`SrtpError`]. The packet is not to be used then: its bytes may have changed.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let ssrc = rtcp_ssrc(packet)?;
        self.sources.has_room(ssrc)?;
        let source = self.sources.get(ssrc);
        let Some(old) = &self.old else {
            let (source, length) = self.session.try_rtcp(packet, source)?;
            return Ok(self.proved_under_new(source, length));
        };
        let kept = Kept::of(packet)?;
        if let Ok((source, length)) = self.session.try_rtcp(packet, source) {
            return Ok(self.proved_under_new(source, length));
        }
        kept.restore(packet);
        let (source, length) = old.try_rtcp(packet, source)?;
        self.sources.put(source);
        Ok(length)
    }

    fn proved_under_new(&mut self, source: Source, length: usize) -> usize {
        self.sources.put(source);
        self.proved = self.proved.saturating_add(1);
        if self.proved >= OLD_KEY_FOR && self.old.is_some() {
            self.old = None;
        }
        length
    }

    /// Another index that the packet may have, where we may have missed something. Of a source never heard: the first packets
    /// may be lost, and with them the first wrap. After a change of key: some peers begin at zero again, whatever RFC 3711
    /// section 3.3.1 says.
    fn second_guess(&self, newest: Option<u64>, seq: u16, first: u64) -> Option<u64> {
        match newest {
            None if seq < 1 << 15 => Some((1 << 16) | u64::from(seq)),
            None => None,
            Some(_) => (self.proved == 0 && first != u64::from(seq)).then_some(u64::from(seq)),
        }
    }
}

/// A copy of a packet for a second try.
struct Kept {
    bytes: [u8; RETRY_BYTES_MAX],
    length: usize,
}

impl Kept {
    fn of(packet: &[u8]) -> Result<Self, SrtpError> {
        let mut bytes = [0; RETRY_BYTES_MAX];
        bytes.get_mut(..packet.len()).ok_or(SrtpError::Malformed)?.copy_from_slice(packet);
        Ok(Self { bytes, length: packet.len() })
    }

    fn restore(&self, packet: &mut [u8]) {
        packet.copy_from_slice(&self.bytes[..self.length]);
    }
}
