//! Whose a datagram is that comes to the one port of all browsers: a check of a path (RFC 8445) by the user part in it, everything
//! else by where it comes from, which a check has proved before.
#![expect(
    clippy::disallowed_types,
    reason = "looked up for each packet, by keys that strangers choose; its order is nobody's"
)]

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};

use offhook_media::{NAMES_MAX, SocketKey};
use offhook_units::{Span, Tick};

use super::{PacketOf, PortCounters};

/// Legs that share the port at once. A further one is not found by its peer, and fails as if no check had come.
pub const SHARING_MAX: usize = 16_384;
/// Addresses that are remembered of a leg's peer; the oldest gives way. As many as its checks are remembered from.
pub const ADDRESSES_MAX: usize = 16;
/// Checks a second from one source, which is an address of IPv4 or a /64 of IPv6, that name a leg and come from where it is not
/// known to be: each costs a hash. A house of 500 agents who all begin within a second sends fewer.
pub const CHECKS_PER_SOURCE_MAX: u16 = 1_000;
/// Sources are counted in so many places; those that share one share its limit.
const SOURCE_PLACES: usize = 4_096;
/// Packets that are kept of a leg on its way to another worker: more than come in ten times [`offhook_media::MOVE_WITHIN`].
const PARKED_MAX: usize = 16;

/// A leg at its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub worker: usize,
    pub key: SocketKey,
    /// Told apart from legs that had the key before.
    pub token: u64,
}

/// Where a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    To(Target),
    /// Its leg is on the way to another worker: to be kept with [`Router::keep`].
    Parked(u32),
    /// To nobody, and that is counted.
    Nowhere,
}

struct Place {
    target: Target,
    names: VecDeque<Box<str>>,
    /// Of ours, and of its peer.
    addresses: VecDeque<(IpAddr, SocketAddr)>,
    /// While it is on its way.
    parked: Option<VecDeque<PacketOf>>,
}

/// The tables, owned by the worker that reads the port.
pub struct Router {
    names: HashMap<Box<str>, u32>,
    addresses: HashMap<(IpAddr, SocketAddr), u32>,
    /// By worker and token.
    targets: HashMap<(usize, u64), u32>,
    places: Vec<Option<Place>>,
    free: Vec<u32>,
    sources: Sources,
}

impl Router {
    pub fn new() -> Self {
        Self {
            names: HashMap::new(),
            addresses: HashMap::new(),
            targets: HashMap::new(),
            places: Vec::new(),
            free: Vec::new(),
            sources: Sources { second: 0, hasher: RandomState::new(), counts: vec![0; SOURCE_PLACES].into() },
        }
    }

    /// A leg's checks come under `name`. A name that is known is one of a leg that has come to another worker: what was kept for it is
    /// given out.
    pub fn name(&mut self, target: Target, name: &str, counters: &PortCounters) -> Option<VecDeque<PacketOf>> {
        if let Some(at) = self.names.get(name).copied()
            && let Some(place) = self.places.get_mut(at as usize).and_then(Option::as_mut)
        {
            let before = core::mem::replace(&mut place.target, target);
            self.targets.remove(&(before.worker, before.token));
            self.targets.insert((target.worker, target.token), at);
            return place.parked.take();
        }
        let at = match self.place_of(target) {
            Some(at) => at,
            None if self.places.len() - self.free.len() >= SHARING_MAX => {
                counters.add(&counters.refused);
                return None;
            }
            None => {
                let (names, addresses) = Default::default();
                let place = Some(Place { target, names, addresses, parked: None });
                let at = self.free.pop().unwrap_or(self.places.len() as u32);
                if at as usize == self.places.len() {
                    self.places.push(place);
                } else {
                    self.places[at as usize] = place;
                }
                self.targets.insert((target.worker, target.token), at);
                at
            }
        };
        let place = self.places.get_mut(at as usize)?.as_mut()?;
        if place.names.len() == NAMES_MAX
            && let Some(oldest) = place.names.pop_front()
        {
            self.names.remove(&oldest);
        }
        place.names.push_back(name.into());
        self.names.insert(name.into(), at);
        self.publish(counters);
        None
    }

    /// A leg's peer is at `from` and sends to `local` of ours. Whoever was there before is not any more: its port was given to another.
    pub fn know(&mut self, target: Target, local: IpAddr, from: SocketAddr, counters: &PortCounters) {
        let Some(at) = self.place_of(target) else { return };
        let Some(place) = self.places.get_mut(at as usize).and_then(Option::as_mut) else { return };
        if self.addresses.insert((local, from), at) == Some(at) {
            return;
        }
        place.addresses.push_back((local, from));
        if place.addresses.len() > ADDRESSES_MAX
            && let Some(oldest) = place.addresses.pop_front()
        {
            self.forget_address(at, oldest);
        }
        self.publish(counters);
    }

    /// A leg is about to leave its worker: what comes for it is kept until it has come to another.
    pub fn park(&mut self, target: Target) {
        let at = self.place_of(target);
        if let Some(place) = at.and_then(|at| self.places.get_mut(at as usize)?.as_mut()) {
            place.parked.get_or_insert_default();
        }
    }

    /// A leg is closed: nothing is for it any more.
    pub fn close(&mut self, target: Target, counters: &PortCounters) {
        let Some(at) = self.place_of(target) else { return };
        let Some(place) = self.places[at as usize].take() else { return };
        self.free.push(at);
        self.targets.remove(&(target.worker, target.token));
        for name in &place.names {
            self.names.remove(name);
        }
        for address in place.addresses {
            self.forget_address(at, address);
        }
        self.publish(counters);
    }

    fn forget_address(&mut self, at: u32, address: (IpAddr, SocketAddr)) {
        if self.addresses.get(&address) == Some(&at) {
            self.addresses.remove(&address);
        }
    }

    fn place_of(&self, target: Target) -> Option<u32> {
        self.targets.get(&(target.worker, target.token)).copied()
    }

    /// Whose it is.
    pub fn route(
        &mut self,
        now: Tick,
        local: IpAddr,
        from: SocketAddr,
        datagram: &[u8],
        counters: &PortCounters,
    ) -> Route {
        // RFC 7983 section 7.
        let at = if datagram.first().is_some_and(|first| *first < 4) {
            let Some(name) = check_for(datagram) else { return counters.nowhere(&counters.unknown) };
            let Some(at) = self.names.get(name).copied() else { return counters.nowhere(&counters.unnamed) };
            let is_known = self.addresses.get(&(local, from)) == Some(&at);
            if !is_known && !self.sources.admit(now, from.ip()) {
                return counters.nowhere(&counters.limited);
            }
            at
        } else {
            match self.addresses.get(&(local, from)) {
                Some(at) => *at,
                None => return counters.nowhere(&counters.unknown),
            }
        };
        match self.places.get(at as usize).and_then(Option::as_ref) {
            Some(place) if place.parked.is_some() => Route::Parked(at),
            Some(place) => Route::To(place.target),
            None => Route::Nowhere,
        }
    }

    /// Keeps a packet for a leg that is on its way.
    pub fn keep(&mut self, at: u32, packet: PacketOf, counters: &PortCounters) {
        let place = self.places.get_mut(at as usize).and_then(Option::as_mut);
        match place.and_then(|place| place.parked.as_mut()).filter(|parked| parked.len() < PARKED_MAX) {
            Some(parked) => parked.push_back(packet),
            None => counters.add(&counters.dropped),
        }
    }

    fn publish(&self, counters: &PortCounters) {
        counters.set(&counters.legs, self.places.len() - self.free.len());
        counters.set(&counters.addresses, self.addresses.len());
    }
}

/// Counts per source and second, in a table that does not grow.
struct Sources {
    second: u64,
    hasher: RandomState,
    counts: Box<[u16]>,
}

impl Sources {
    fn admit(&mut self, now: Tick, source: IpAddr) -> bool {
        let second = now.since(Tick::ZERO).as_us() / Span::from_s(1).as_us();
        if second != self.second {
            self.second = second;
            self.counts.fill(0);
        }
        let network = match source {
            IpAddr::V4(v4) => u64::from(u32::from(v4)),
            IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64,
        };
        let place = self.hasher.hash_one(network) as usize % SOURCE_PLACES;
        let count = &mut self.counts[place];
        *count = count.saturating_add(1);
        *count <= CHECKS_PER_SOURCE_MAX
    }
}

/// The user part of ours that a check of a path is for: what stands before the colon in its USERNAME (RFC 8445 section 7.2.2). Nothing
/// where it is no whole binding request (RFC 8489 section 5). That it is genuine is for the leg to see.
pub fn check_for(datagram: &[u8]) -> Option<&str> {
    const BINDING_REQUEST: [u8; 2] = [0, 1];
    const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    const USERNAME: u16 = 6;
    let (header, mut attributes) = datagram.split_first_chunk::<20>()?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[..2] != BINDING_REQUEST || header[4..8] != COOKIE || length != attributes.len() {
        return None;
    }
    while let Some((&[kind, kind_low, length, length_low], rest)) = attributes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([length, length_low]));
        if u16::from_be_bytes([kind, kind_low]) == USERNAME {
            let (ours, _) = core::str::from_utf8(rest.get(..length)?).ok()?.split_once(':')?;
            return Some(ours);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests;
