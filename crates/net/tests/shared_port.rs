//! Browsers at one UDP port of two workers, on real loopback sockets: each leg hears its own peer, wherever it is, and nobody else's.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and deadlines")]

mod floor;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use floor::*;
use offhook_media::{Deed, HANDSHAKE_BYTES_MAX, Handshakes, Transport};
use offhook_net::media::{MediaHandle, SharedPort};
use offhook_plan::{Crypto, Dtls, MediaCommand, MediaEvent, Move};
use offhook_units::{CryptoSuite, LegId, Tick};

/// What the end of a check says of its password.
const RIGHT: [u8; 4] = *b"good";
const WRONG: [u8; 4] = *b"evil";
/// Legs: a browser and a telephone in each call.
const BROWSERS: [u64; 2] = [1, 3];
const TELEPHONES: [u64; 2] = [2, 4];

/// A transport that takes a check for its password's sake, and the first one for the handshake as well.
struct Script {
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
struct Scripts(Crypto);

impl Handshakes for Scripts {
    fn transport(self: Arc<Self>, _: Tick) -> Box<dyn Transport> {
        Box::new(Script { keys: self.0, keyed: false, deeds: Vec::new() })
    }
}

fn check(name: &str, password: [u8; 4]) -> Vec<u8> {
    let user = format!("{name}:th");
    let mut username = user.as_bytes().to_vec();
    username.resize(user.len().next_multiple_of(4), 0);
    let length = |n: usize| (n as u16).to_be_bytes();
    let username = [&[0, 6][..], &length(user.len()), &username].concat();
    let attributes = [&username[..], &[0x80, 0x22, 0, 4], &password].concat();
    [&[0, 1][..], &length(attributes.len()), &[0x21, 0x12, 0xa4, 0x42], &[7; 12], &attributes].concat()
}

struct House {
    exchange: Exchange,
    peers: Vec<Peer>,
    port: SharedPort,
}

fn suite() -> Option<CryptoSuite> {
    CryptoSuite::ALL.into_iter().next()
}

impl House {
    /// Two calls, one a worker, of a browser and a telephone each; the browsers' legs share a port.
    fn try_start(backends: [offhook_net::media::Backend; 2]) -> Option<Self> {
        Self::try_start_from(backends, IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// The same; the browsers send to this address, whichever one their legs have.
    fn try_start_from(backends: [offhook_net::media::Backend; 2], address: IpAddr) -> Option<Self> {
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

    fn peer(&mut self, leg: u64) -> &mut Peer {
        &mut self.peers[leg as usize - 1]
    }

    /// A browser checks its path until it is answered.
    fn find(&mut self, leg: u64) {
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

    fn find_all(&mut self) {
        for leg in BROWSERS {
            self.find(leg);
        }
    }

    /// Everybody says 20 packets, and everybody hears them of the one in the same call.
    fn all_talk(&mut self, pairs: [[u64; 2]; 2], what: &str) {
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

    fn count(&self, read: impl Fn(&offhook_net::media::PortCounters) -> u64) -> u64 {
        read(&self.port.counters().expect("a port"))
    }
}

const PAIRS: [[u64; 2]; 2] = [[BROWSERS[0], TELEPHONES[0]], [BROWSERS[1], TELEPHONES[1]]];

#[test]
fn two_browsers_at_one_port_are_led_each_to_its_leg_at_its_worker() {
    for backends in WAYS {
        let Some(mut house) = House::try_start(backends) else { continue };
        house.find_all();
        house.all_talk(PAIRS, "two at one port");
        assert_eq!(house.count(|port| port.legs.load(Ordering::Relaxed)), 2);
        assert!(house.count(|port| port.handed.load(Ordering::Relaxed)) >= 21, "the second worker's are handed over");
        assert_eq!(house.count(|port| port.dropped.load(Ordering::Relaxed)), 0);
    }
}

#[test]
fn a_browser_over_ipv6_finds_its_leg_whose_own_address_is_one_of_ipv4() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("skipped: no IPv6 here");
        return;
    }
    for backends in WAYS {
        let Some(mut house) = House::try_start_from(backends, Ipv6Addr::LOCALHOST.into()) else { continue };
        house.find_all();
        house.all_talk(PAIRS, "over IPv6");
    }
}

#[test]
fn a_browser_whose_translator_gives_it_another_port_speaks_on_and_a_forger_does_not_get_its_call() {
    for backends in WAYS {
        let Some(mut house) = House::try_start(backends) else { continue };
        house.find_all();
        house.all_talk(PAIRS, "before");
        for leg in BROWSERS {
            let forger = UdpSocket::bind("127.0.0.1:0").unwrap();
            let at = house.peer(leg).at;
            forger.send_to(&check(&format!("leg{leg}"), WRONG), at).unwrap();
            forger.send_to(&[0x80; 60], at).unwrap();
            house.all_talk(PAIRS, "a forger is about");
            forger.set_nonblocking(true).unwrap();
            assert!(forger.recv(&mut [0; 100]).is_err(), "the forger gets nothing");
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            house.peer(leg).socket = socket;
            house.find(leg);
            house.all_talk(PAIRS, "from another port");
        }
        assert_eq!(house.count(|port| port.unknown.load(Ordering::Relaxed)), 2, "what was no check of the forgers'");
    }
}

#[test]
fn a_browsers_leg_goes_to_another_worker_in_mid_talk_and_its_port_stays_and_is_forgotten_at_the_end() {
    for backends in WAYS {
        let Some(mut house) = House::try_start(backends) else { continue };
        house.find_all();
        house.all_talk(PAIRS, "before");
        // Each browser goes to the other one's telephone, and back.
        for round in 0..20 {
            let (here, there) = (round % 2, 1 - round % 2);
            let now = house.exchange.clock.now();
            for call in 0..2 {
                let (from, to) = (CALLS[call], CALLS[1 - call]);
                let browser = if call == here { BROWSERS[0] } else { BROWSERS[1] };
                house.exchange.send(call, MediaCommand::Move(Move { from, leg: LegId(browser), to, worker: 1 - call }));
            }
            for (call, telephone) in TELEPHONES.into_iter().enumerate() {
                let browser = if call == there { BROWSERS[0] } else { BROWSERS[1] };
                let plans = vec![house.peer(browser).plan(browser, true), house.peer(telephone).plan(telephone, false)];
                house.exchange.apply(call, plans, now);
            }
            // Said while they are on their way: none is lost.
            let before: usize = house.peers.iter().map(|peer| peer.heard.len()).sum();
            house.exchange.flush();
            for _ in 0..5 {
                for leg in BROWSERS {
                    house.peer(leg).say(leg);
                }
            }
            house.exchange.both_in_force();
            wait_heard(&mut house.peers, before + 10);
            let pairs = [[BROWSERS[here], TELEPHONES[1]], [BROWSERS[there], TELEPHONES[0]]];
            house.all_talk(pairs, "after the move");
        }
        for (worker, call) in CALLS.into_iter().enumerate() {
            house.exchange.send(worker, MediaCommand::Close(call));
        }
        house.exchange.flush();
        for _ in 0..4 {
            house.exchange.until(|event| matches!(event, MediaEvent::LegClosed { .. }).then_some(()));
        }
        let begun = Instant::now();
        let left = |house: &House| {
            house.count(|port| port.legs.load(Ordering::Relaxed) + port.addresses.load(Ordering::Relaxed))
        };
        while left(&house) > 0 {
            assert!(begun.elapsed() < DEADLINE, "{} legs and addresses are remembered", left(&house));
            std::thread::yield_now();
        }
        let moved: u64 =
            house.exchange.workers.iter().map(|worker| MediaHandle::counters(worker).figures().moved_legs).sum();
        assert_eq!((moved, house.count(|port| port.dropped.load(Ordering::Relaxed))), (40, 0));
    }
}
