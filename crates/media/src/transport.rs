//! What stands between a leg's socket and its speech where keys come by a handshake: DTLS (RFC 5764), over a path that ICE has
//! found (RFC 8445). The worker carries datagrams to it and does what it says; how it comes to that is its own.

use core::net::SocketAddr;
use std::sync::Arc;

use offhook_plan::{Crypto, Dtls, MediaEvent, Negotiated};
use offhook_units::Tick;

use crate::leg::Leg;
use crate::{Io, SocketKey, Worker};

/// Largest datagram that a transport sends: within every path's packet size.
pub const HANDSHAKE_BYTES_MAX: usize = 1_280;
/// Most deeds done for one datagram; those beyond wait for the next one, or the next round. A flight of a handshake has fewer.
const DEEDS_MAX: usize = 16;

/// User parts of checks that are good at once: the present one, and the one before a restart (RFC 8445 section 9).
pub const NAMES_MAX: usize = 2;

/// The handshake of one leg.
pub trait Transport: Send {
    /// Takes over what each end says of itself: called when the leg is opened, and whenever that changes. Of the peer, nothing is
    /// known until it has answered; `address` is where it says it listens.
    fn agree(&mut self, now: Tick, ours: &Dtls, peer: Option<(&Dtls, SocketAddr)>);
    /// Takes a datagram in that begins like neither RTP nor RTCP (RFC 7983 section 7).
    fn receive(&mut self, now: Tick, from: SocketAddr, datagram: &[u8]);
    /// Looks at its timers: called every 250 ms.
    fn turn(&mut self, now: Tick);
    /// What is to be done next, in order; nothing, until something comes in again.
    fn poll(&mut self, room: &mut [u8; HANDSHAKE_BYTES_MAX]) -> Option<Deed>;
}

/// What a transport wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// The datagram in `room[..length]` goes to `to`.
    Send {
        /// Where to.
        to: SocketAddr,
        /// How long it is.
        length: usize,
    },
    /// The peer has proved to be there: what comes from there is for this leg.
    Source(SocketAddr),
    /// Speech goes there from now on; nowhere, where the peer is no longer known to want it (RFC 7675).
    Path(Option<SocketAddr>),
    /// A datagram was one too many in its second, and was not looked at.
    Limited,
    /// The keys that were agreed on.
    Keys(Box<Crypto>),
    /// There will be none.
    Failed(String),
}

/// Makes the transports of a worker's legs; given by whoever links the cryptography.
pub trait Handshakes: Send + Sync {
    /// One for a new leg.
    fn transport(self: Arc<Self>, now: Tick) -> Box<dyn Transport>;
}

/// Where a leg stands with its handshake.
pub struct Door {
    transport: Box<dyn Transport>,
    /// Where speech goes.
    pub path: Option<SocketAddr>,
    pub keyed: bool,
    failed: bool,
    /// The user parts that its peer checks paths under: the present one last, and the one before a restart.
    names: Vec<String>,
}

impl Door {
    pub fn new(handshakes: &Arc<dyn Handshakes>, now: Tick) -> Self {
        Self {
            transport: handshakes.clone().transport(now),
            path: None,
            keyed: false,
            failed: false,
            names: Vec::new(),
        }
    }
}

impl Leg {
    /// Tells its transport what the ends say of themselves.
    pub fn introduce(&mut self, now: Tick, ours: &Dtls, media: Option<&Negotiated>) {
        let Some(door) = &mut self.door else { return };
        let peer = media.and_then(|media| Some((media.dtls.as_deref()?, media.remote_rtp)));
        door.transport.agree(now, ours, peer);
    }

    /// Takes a user part of checks over, where it is a new one.
    pub fn take_name(&mut self, ours: &Dtls) -> Option<&str> {
        let (door, ice) = (self.door.as_mut()?, ours.ice.as_ref()?);
        if door.names.last() == Some(&ice.ufrag) {
            return None;
        }
        if door.names.len() == NAMES_MAX {
            door.names.remove(0);
        }
        door.names.push(ice.ufrag.clone());
        door.names.last().map(String::as_str)
    }

    /// Whether it waits for keys: it is as if nothing had been agreed on yet.
    pub fn awaits_keys(&self) -> bool {
        self.door.as_ref().is_some_and(|door| !door.keyed)
    }
}

impl Worker {
    /// What a leg with a transport was sent that is no speech.
    pub(crate) fn knock(&mut self, io: &mut impl Io, now: Tick, slot: u32, from: SocketAddr, datagram: &[u8]) {
        if let Some(door) = self.leg_mut(slot).and_then(|leg| leg.door.as_mut()) {
            door.transport.receive(now, from, datagram);
            self.attend(io, now, slot);
        }
    }

    /// Lets a leg's transport look at its timers.
    pub(crate) fn turn_transport(&mut self, io: &mut impl Io, now: Tick, slot: u32) {
        if let Some(door) = self.leg_mut(slot).and_then(|leg| leg.door.as_mut()) {
            door.transport.turn(now);
            self.attend(io, now, slot);
        }
    }

    /// Tells the driver anew whose checks a leg's are: it has come from another worker.
    pub(crate) fn name_again(&mut self, io: &mut impl Io, slot: u32) {
        let door = self.leg_mut(slot).and_then(|leg| leg.door.as_ref());
        for name in door.iter().flat_map(|door| &door.names) {
            io.name(SocketKey::rtp(slot), name);
        }
    }

    /// Does what a leg's transport wants. Keys open the way for what the call's plan says of the leg.
    pub(crate) fn attend(&mut self, io: &mut impl Io, now: Tick, slot: u32) {
        let mut room = [0; HANDSHAKE_BYTES_MAX];
        for _ in 0..DEEDS_MAX {
            let Some(leg) = self.leg_mut(slot) else { return };
            let Some(deed) = leg.door.as_mut().and_then(|door| door.transport.poll(&mut room)) else { return };
            match deed {
                Deed::Send { to, length } => io.send(SocketKey::rtp(slot), to, &room[..length]),
                Deed::Source(from) => io.know(SocketKey::rtp(slot), from),
                Deed::Path(path) => {
                    let before = leg.door.as_mut().and_then(|door| core::mem::replace(&mut door.path, path));
                    if leg.media.is_some() {
                        leg.to = path;
                    }
                    self.figures.paths_expired += u64::from(before.is_some() && path.is_none());
                }
                Deed::Limited => self.figures.checks_limited += 1,
                Deed::Keys(keys) => {
                    if let Some(door) = &mut leg.door {
                        door.keyed = true;
                    }
                    leg.take_keys(Some(&keys));
                    let call = leg.call;
                    self.carry_out_again(io, now, call);
                }
                Deed::Failed(error) => {
                    let (call, leg_id) = (leg.call, leg.id);
                    let told = leg.door.as_mut().is_none_or(|door| core::mem::replace(&mut door.failed, true));
                    if !told {
                        self.figures.handshakes_failed += 1;
                        self.answer(MediaEvent::HandshakeFailed { call, leg: leg_id, error });
                    }
                }
            }
        }
    }
}
