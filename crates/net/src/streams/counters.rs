//! What connections did, by transport.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use offhook_sip::Transport;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The peer closed it.
    Peer,
    /// It broke.
    Broken,
    /// Nothing was said for too long.
    Idle,
    /// A message, a handshake or the first word took too long.
    Slow,
    /// It could no longer be cut into messages.
    Malformed,
    /// More messages than any peer has to send.
    Flood,
    /// The peer is banned, or a scanner.
    Banned,
    /// The peer did not read what it was sent.
    Stalled,
    /// TLS or WebSocket could not be agreed on.
    Handshake,
    /// A limit of connections was reached.
    Refused,
    /// We could not reach the peer.
    Unreachable,
    /// The exchange stopped.
    Stopped,
}

impl Closed {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::Peer,
        Self::Broken,
        Self::Idle,
        Self::Slow,
        Self::Malformed,
        Self::Flood,
        Self::Banned,
        Self::Stalled,
        Self::Handshake,
        Self::Refused,
        Self::Unreachable,
        Self::Stopped,
    ];

    /// As a label of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Broken => "broken",
            Self::Idle => "idle",
            Self::Slow => "slow",
            Self::Malformed => "malformed",
            Self::Flood => "flood",
            Self::Banned => "banned",
            Self::Stalled => "stalled",
            Self::Handshake => "handshake",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Stopped => "stopped",
        }
    }
}

/// Figures of one transport.
#[derive(Debug, Default)]
pub struct Counters {
    open: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    unsent: AtomicU64,
    closed: [AtomicU64; Closed::ALL.len()],
}

impl Counters {
    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Messages received.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Messages handed to a connection.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Messages that found no connection, or no room.
    pub fn unsent(&self) -> u64 {
        self.unsent.load(Ordering::Relaxed)
    }

    /// Connections that ended for this reason.
    pub fn closed(&self, why: Closed) -> u64 {
        self.closed[why as usize].load(Ordering::Relaxed)
    }

    pub(super) fn count_open(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_received(&self, messages: usize) {
        self.received.fetch_add(messages as u64, Ordering::Relaxed);
    }

    pub(super) fn count_sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_unsent(&self) {
        self.unsent.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection that was counted as open ended.
    pub(super) fn count_closed(&self, why: Closed) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.count_failed(why);
    }

    /// A connection that never opened.
    pub(super) fn count_failed(&self, why: Closed) {
        self.closed[why as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Figures of all transports that are listened on.
#[derive(Debug)]
pub struct StreamCounters {
    by_transport: BTreeMap<Transport, Counters>,
    /// Of messages for transports that are not listened on.
    others: Counters,
}

impl StreamCounters {
    pub(super) fn new(transports: impl Iterator<Item = Transport>) -> Self {
        let by_transport = transports.map(|transport| (transport, Counters::default())).collect();
        Self { by_transport, others: Counters::default() }
    }

    /// The transports that are listened on.
    pub fn transports(&self) -> impl Iterator<Item = Transport> {
        self.by_transport.keys().copied()
    }

    /// Figures of one transport.
    pub fn of(&self, transport: Transport) -> &Counters {
        self.by_transport.get(&transport).unwrap_or(&self.others)
    }
}
