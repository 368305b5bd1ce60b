//! What a worker asks of the world.

use core::net::SocketAddr;

/// A socket of a leg: chosen by the worker, kept by the driver. Small and dense, to be an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketKey(u32);

impl SocketKey {
    pub(crate) const fn rtp(slot: u32) -> Self {
        Self(slot << 1)
    }

    pub(crate) const fn rtcp(slot: u32) -> Self {
        Self((slot << 1) | 1)
    }

    pub(crate) const fn slot(self) -> usize {
        (self.0 >> 1) as usize
    }

    /// Whether it is a leg's RTCP socket.
    pub const fn is_rtcp(self) -> bool {
        self.0 & 1 == 1
    }

    /// An index below twice the limit of legs.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The key with this index.
    pub const fn from_index(index: usize) -> Self {
        Self(index as u32)
    }
}

/// The hands of a [`crate::Worker`]. Nothing here may block; a packet that cannot be sent is lost as on any network.
pub trait Io {
    /// Binds a UDP socket.
    ///
    /// # Errors
    /// The operating system's words.
    fn open(&mut self, key: SocketKey, local: SocketAddr) -> Result<(), String>;
    /// Closes it; datagrams not yet handed to the worker are forgotten.
    fn close(&mut self, key: SocketKey);
    /// Sends a datagram. `bytes` may be a part of the datagram being received: the driver may keep that buffer until it is
    /// sent, because the worker does not touch it again.
    fn send(&mut self, key: SocketKey, to: SocketAddr, bytes: &[u8]);
    /// Checks of paths under this user part (RFC 8445 section 7.2.2) are for this leg from now on, where it shares its port with
    /// others. Of a leg the last two are good.
    fn name(&mut self, _key: SocketKey, _ufrag: &str) {}
    /// The leg's peer has proved by a check to be there: what comes from it to a shared port is for this leg.
    fn know(&mut self, _key: SocketKey, _from: SocketAddr) {}
}
