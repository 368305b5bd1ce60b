//! Browsers at one port of two workers, and a telephone for each.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use offhook_media::{Deed, HANDSHAKE_BYTES_MAX, Handshakes, Transport};
use offhook_net::media::SharedPort;
use offhook_plan::{Crypto, Dtls};
use offhook_units::{CryptoSuite, Tick};

use super::{DEADLINE, Exchange, Peer, free_ports, wait_heard};

/// What the end of a check says of its password.
pub const RIGHT: [u8; 4] = *b"good";
pub const WRONG: [u8; 4] = *b"evil";
/// Legs: a browser and a telephone in each call.
pub const BROWSERS: [u64; 2] = [1, 3];
pub const TELEPHONES: [u64; 2] = [2, 4];

/// A transport that takes a check for its password's sake, and the first one for the handshake as well.
pub struct Script {
    keys: Crypto,
    keyed: bool,
    deeds: Vec<(Deed, Vec<u8>)>,
}

impl Transport for Script {
    fn agree(&mut self, _: Tick, _: &Dtls, _: Option<(&Dtls, SocketAddr)>) {}

    fn receive(&mut self, _: Tick, from: SocketAddr, datagram: &[u8]) {
        if !datagram.ends_with(&RIGHT) {
            return;
        }
        self.deeds.push((Deed::Source(from), Vec::new()));
        self.deeds.push((Deed::Send { to: from, length: datagram.len() }, datagram.to_vec()));
        self.deeds.push((Deed::Path(Some(from)), Vec::new()));
        if !core::mem::replace(&mut self.keyed, true) {
            self.deeds.push((Deed::Keys(Box::new(self.keys)), Vec::new()));
        }
    }

    fn turn(&mut self, _: Tick) {}

    fn poll(&mut self, room: &mut [u8; HANDSHAKE_BYTES_MAX]) -> Option<Deed> {
        let (deed, bytes) = (!self.deeds.is_empty()).then(|| self.deeds.remove(0))?;
        room[..bytes.len()].copy_from_slice(&bytes);
        Some(deed)
    }
}

/// All legs have the same keys: who is whose is not told by them.
pub struct Scripts(Crypto);

impl Handshakes for Scripts {
    fn transport(self: Arc<Self>, _: Tick) -> Box<dyn Transport> {
        Box::new(Script { keys: self.0, keyed: false, deeds: Vec::new() })
    }
}

pub fn check(name: &str, password: [u8; 4]) -> Vec<u8> {
    let user = format!("{name}:th");
    let mut username = user.as_bytes().to_vec();
    username.resize(user.len().next_multiple_of(4), 0);
    let length = |n: usize| (n as u16).to_be_bytes();
    let username = [&[0, 6][..], &length(user.len()), &username].concat();
    let attributes = [&username[..], &[0x80, 0x22, 0, 4], &password].concat();
    [&[0, 1][..], &length(attributes.len()), &[0x21, 0x12, 0xa4, 0x42], &[7; 12], &attributes].concat()
}

pub struct House {
    pub exchange: Exchange,
    pub peers: Vec<Peer>,
    pub port: SharedPort,
}

pub fn suite() -> Option<CryptoSuite> {
    CryptoSuite::ALL.into_iter().next()
}

impl House {
    /// Two calls, one a worker, of a browser and a telephone each; the browsers' legs share a port.
    pub fn try_start(backends: [offhook_net::media::Backend; 2]) -> Option<Self> {
        Self::try_start_from(backends, IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// The same; the browsers send to this address, whichever one their legs have.
    pub fn try_start_from(backends: [offhook_net::media::Backend; 2], address: IpAddr) -> Option<Self> {
        let mut peers: Vec<Peer> = (1..=4).map(|leg| Peer::new(suite().filter(|_| leg % 2 == 1), 1)).collect();
        let at = free_ports();
        for leg in BROWSERS {
            let peer = &mut peers[leg as usize - 1];
            (peer.local, peer.name) = (Some(at), Some(format!("leg{leg}")));
            peer.at = SocketAddr::new(address, at.port());
            if !address.is_ipv4() {
                peer.socket = UdpSocket::bind(SocketAddr::new(address, 0)).unwrap();
                peer.socket.set_nonblocking(true).unwrap();
            }
        }
        let keys = peers[0].keys.as_ref().map(|(keys, ..)| *keys)?;
        let port = SharedPort::new(at.port(), 2);
        for address in [at.ip(), address] {
            port.bind(address).unwrap();
        }
        let handshakes: Arc<dyn Handshakes> = Arc::new(Scripts(keys));
        let mut exchange = Exchange::try_start_sharing(backends, &port, Some(&handshakes))?;
        for call in 0..2 {
            let legs = [BROWSERS[call], TELEPHONES[call]].map(|leg| peers[leg as usize - 1].plan(leg, false));
            exchange.apply(call, legs.to_vec(), Tick::MAX);
            exchange.flush();
            exchange.in_force(call);
        }
        Some(Self { exchange, peers, port })
    }

    pub fn peer(&mut self, leg: u64) -> &mut Peer {
        &mut self.peers[leg as usize - 1]
    }

    /// A browser checks its path until it is answered.
    pub fn find(&mut self, leg: u64) {
        let begun = Instant::now();
        let peer = self.peer(leg);
        let name = peer.name.clone().expect("a browser");
        loop {
            peer.socket.send_to(&check(&name, RIGHT), peer.at).unwrap();
            let pause = Instant::now();
            while pause.elapsed().as_millis() < 50 {
                let mut got = [0; 2_048];
                if peer.socket.recv(&mut got).is_ok() && got[0] == 0 {
                    return;
                }
                std::thread::yield_now();
            }
            assert!(begun.elapsed() < DEADLINE, "the check of {leg} is not answered");
        }
    }

    pub fn find_all(&mut self) {
        for leg in BROWSERS {
            self.find(leg);
        }
    }

    /// Everybody says 20 packets, and everybody hears them of the one in the same call.
    pub fn all_talk(&mut self, pairs: [[u64; 2]; 2], what: &str) {
        let before: usize = self.peers.iter().map(|peer| peer.heard.len()).sum();
        for _ in 0..20 {
            for leg in 1..=4 {
                self.peer(leg).say(leg);
            }
            self.peers.iter_mut().for_each(Peer::listen);
        }
        wait_heard(&mut self.peers, before + 80);
        for [one, other] in pairs {
            for (who, hears) in [(one, other), (other, one)] {
                let words = &self.peer(hears).words;
                let of_other = words.iter().rev().take(20).filter(|(said_by, _)| u64::from(*said_by) == who).count();
                assert_eq!(of_other, 20, "{what}: {hears} hears {who}");
            }
        }
    }

    pub fn count(&self, read: impl Fn(&offhook_net::media::PortCounters) -> u64) -> u64 {
        read(&self.port.counters().expect("a port"))
    }
}

pub const PAIRS: [[u64; 2]; 2] = [[BROWSERS[0], TELEPHONES[0]], [BROWSERS[1], TELEPHONES[1]]];
