//! Peers on real loopback sockets, and the workers of an exchange between them.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod browsers;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use offhook_media::{Assets, Handshakes};
use offhook_net::Clock;
use offhook_net::media::{Backend, Crossing, DriverConfig, MediaDriver, MediaHandle, SharedPort};
use offhook_plan::{
    CodecKind, Crypto, Direction, Dtls, Edge, Ice, LegPlan, MediaCommand, MediaEvent, MediaPlan, Negotiated, Setup,
    Source,
};
use offhook_rtp::{Header, Packet, SRTP_TAIL_MAX, SrtpReceiver, SrtpSender, is_rtcp};
use offhook_units::{CallId, CryptoSuite, Entropy, LegId, MasterKey, RtpSeq, RtpTime, Tick};

pub const DEADLINE: Duration = Duration::from_secs(20);
/// The two calls, each with its own worker.
pub const CALLS: [CallId; 2] = [CallId(10), CallId(11)];
/// What everybody's stream is numbered from: a wrap comes soon.
pub const FIRST: u16 = 65_500;

/// A peer: its socket, our port for it, its numbers, and its side of the keys.
pub struct Peer {
    pub socket: UdpSocket,
    pub at: SocketAddr,
    pub seq: u16,
    pub keys: Option<(Crypto, SrtpSender, SrtpReceiver)>,
    pub heard: Vec<Header>,
    /// What each packet said: by whom, and its number.
    pub words: Vec<(u8, u16)>,
    /// Our port in its plan, where that is not what it sends to.
    pub local: Option<SocketAddr>,
    /// Its checks' user part of ours, where its keys come by a handshake.
    pub name: Option<String>,
}

impl Peer {
    pub fn new(suite: Option<CryptoSuite>, number: u64) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let key = |suite, number| MasterKey::generate(suite, &mut Entropy::from_number(number));
        let keys = suite.map(|suite| {
            let crypto = Crypto { send: key(suite, number), receive: key(suite, number + 100) };
            (crypto, SrtpSender::new(&crypto.receive), SrtpReceiver::new(&crypto.send))
        });
        Self {
            socket,
            at: free_ports(),
            seq: FIRST,
            keys,
            heard: Vec::new(),
            words: Vec::new(),
            local: None,
            name: None,
        }
    }

    /// Says 20 ms: who it is, and its number.
    pub fn say(&mut self, who: u64) {
        let timestamp = RtpTime(u32::from(self.seq.wrapping_sub(FIRST)) * 160);
        let header = Header { payload_type: 0, marker: false, seq: RtpSeq(self.seq), timestamp, ssrc: who as u32 };
        let mut payload = [who as u8; 160];
        payload[1..3].copy_from_slice(&self.seq.to_be_bytes());
        let mut room = [0; 172 + SRTP_TAIL_MAX];
        header.write(&payload, &mut room).unwrap();
        let length = self.keys.as_mut().map_or(172, |(_, out, _)| out.protect_rtp(&mut room, 172).unwrap());
        self.socket.send_to(&room[..length], self.at).unwrap();
        self.seq = self.seq.wrapping_add(1);
    }

    /// Takes what has come.
    pub fn listen(&mut self) {
        let mut got = [0; 2_048];
        while let Ok(mut length) = self.socket.recv(&mut got) {
            if is_rtcp(&got[..length]) {
                continue;
            }
            if let Some((_, _, heard)) = &mut self.keys {
                length = heard.unprotect_rtp(&mut got[..length]).expect("the key and the counters went along");
            }
            let packet = Packet::parse(&got[..length]).unwrap();
            self.heard.push(packet.header);
            self.words.push((packet.payload[0], u16::from_be_bytes([packet.payload[1], packet.payload[2]])));
        }
    }

    /// The numbers of what `who` said to it, by their place in the stream.
    pub fn heard_of(&self, who: u64) -> Vec<u16> {
        let mine = self.words.iter().filter(|(said_by, _)| u64::from(*said_by) == who);
        mine.map(|(_, seq)| seq.wrapping_sub(FIRST)).collect()
    }

    pub fn plan(&self, leg: u64, moved: bool) -> LegPlan {
        let remote = self.socket.local_addr().unwrap();
        let negotiated = Negotiated {
            codec: CodecKind::Pcmu,
            send_payload_type: 0,
            recv_payload_type: 0,
            telephone_event: None,
            comfort_noise: false,
            voip_metrics: false,
            ptime_ms: 20,
            direction: Direction::SendRecv,
            remote_rtp: remote,
            remote_rtcp: remote,
            rtcp_mux: false,
            crypto: self.keys.as_ref().map(|(crypto, ..)| *crypto),
            dtls: None,
        };
        let dtls = self.name.as_ref().map(|name| Box::new(says(name)));
        let negotiated = if dtls.is_some() {
            Negotiated { crypto: None, dtls: dtls.clone(), rtcp_mux: true, ..negotiated }
        } else {
            negotiated
        };
        let (ssrc, first_seq) = (7_000 + leg as u32, 65_530);
        let leg = LegId(leg);
        LegPlan {
            leg,
            local: self.local.unwrap_or(self.at),
            negotiated: Some(negotiated),
            ssrc,
            first_seq,
            first_timestamp: 0,
            moved,
            dtls,
        }
    }
}

/// A pair of neighbouring free ports, the lower one even.
pub fn free_ports() -> SocketAddr {
    loop {
        let mut rtp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        rtp.set_port(rtp.port() & !1);
        let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
        if UdpSocket::bind(rtp).is_ok() && UdpSocket::bind(rtcp).is_ok() {
            return rtp;
        }
    }
}

pub struct Exchange {
    pub workers: Vec<MediaHandle>,
    pub events: Receiver<(usize, MediaEvent)>,
    pub clock: Clock,
    pub generations: [u32; 2],
}

impl Exchange {
    /// None, with the reason printed, where the kernel refuses one of the two ways of asking it.
    pub fn try_start(backends: [Backend; 2]) -> Option<Self> {
        Self::try_start_sharing(backends, &SharedPort::default(), None)
    }

    /// The same with one port for browsers, whose keys come from `handshakes`.
    pub fn try_start_sharing(
        backends: [Backend; 2],
        shared_port: &SharedPort,
        handshakes: Option<&Arc<dyn Handshakes>>,
    ) -> Option<Self> {
        let (sender, events) = unbounded();
        let (crossing, clock) = (Crossing::new(2), Clock::start(None));
        let mut workers = Vec::new();
        for (worker, backend) in backends.into_iter().enumerate() {
            let (crossing, shared_port, handshakes) = (crossing.clone(), shared_port.clone(), handshakes.cloned());
            let config = DriverConfig { worker, backend, crossing, shared_port, handshakes, ..DriverConfig::default() };
            let assets = Arc::new(Assets::new(Vec::new()));
            let entropy = Entropy::from_number(worker as u64);
            match MediaDriver::start(&config, assets, clock.clone(), entropy, sender.clone()) {
                Ok(handle) => workers.push(handle),
                Err(error) if backend == Backend::Uring => {
                    println!("skipped: the kernel refuses io_uring here: {error}");
                    return None;
                }
                Err(error) => panic!("{backend:?}: {error}"),
            }
        }
        Some(Self { workers, events, clock, generations: [0; 2] })
    }

    pub fn send(&mut self, worker: usize, command: MediaCommand) {
        self.workers[worker].send(command);
    }

    pub fn flush(&mut self) {
        self.workers.iter_mut().for_each(MediaHandle::flush);
    }

    /// A plan of one of the two calls: these legs, and whoever is with another hears it from `since` on.
    pub fn apply(&mut self, call: usize, legs: Vec<LegPlan>, since: Tick) {
        self.generations[call] += 1;
        let ids: Vec<LegId> = legs.iter().map(|leg| leg.leg).collect();
        let edges = ids.iter().flat_map(|to| {
            let others = ids.iter().filter(move |from| *from != to);
            others.map(move |from| Edge { from: Source::Leg(*from), to: *to, since })
        });
        let (edges, generation) = (edges.collect(), self.generations[call]);
        let plan = MediaPlan { call: CALLS[call], generation, legs, edges, taps: Vec::new(), forks: Vec::new() };
        self.send(call, MediaCommand::Apply(Box::new(plan)));
    }

    pub fn until<T>(&self, mut pick: impl FnMut(MediaEvent) -> Option<T>) -> T {
        loop {
            let (_, event) = self.events.recv_timeout(DEADLINE).expect("the awaited event");
            if let Some(found) = pick(event) {
                return found;
            }
        }
    }

    /// Until the newest plans of both calls are in force.
    pub fn both_in_force(&self) {
        let mut missing: Vec<_> = CALLS.into_iter().zip(self.generations).collect();
        self.until(|event| {
            if let MediaEvent::PlanApplied { call, generation, .. } = event {
                missing.retain(|newest| *newest != (call, generation));
            }
            missing.is_empty().then_some(())
        });
    }

    /// Until the newest plan of a call is in force, with all its legs.
    pub fn in_force(&self, call: usize) {
        let newest = (CALLS[call], self.generations[call]);
        self.until(|event| match event {
            MediaEvent::PlanApplied { call, generation, .. } => ((call, generation) == newest).then_some(()),
            _ => None,
        });
    }
}

/// Listens until `total` packets have come in all.
pub fn wait_heard(peers: &mut [Peer], total: usize) {
    let begun = Instant::now();
    loop {
        peers.iter_mut().for_each(Peer::listen);
        let heard: usize = peers.iter().map(|peer| peer.heard.len()).sum();
        if heard >= total {
            assert_eq!(heard, total, "none comes twice");
            return;
        }
        let counts: Vec<usize> = peers.iter().map(|peer| peer.heard.len()).collect();
        assert!(begun.elapsed() < DEADLINE, "{counts:?} of {total} packets came");
        std::thread::yield_now();
    }
}

pub fn is_gapless(heard: &[Header]) -> bool {
    heard.windows(2).all(|pair| pair[1].seq == pair[0].seq.next() && pair[1].ssrc == pair[0].ssrc)
}

/// What an end says of a handshake, with this user part of checks.
fn says(name: &str) -> Dtls {
    let (ufrag, pwd) = (name.to_owned(), "a password of 22 characters".to_owned());
    let ice = Ice { ufrag, pwd, lite: true, options: Vec::new(), candidates: Vec::new(), complete: true };
    Dtls { fingerprints: Vec::new(), setup: Setup::Passive, ice: Some(ice) }
}

pub const WAYS: [[Backend; 2]; 3] =
    [[Backend::Epoll, Backend::Epoll], [Backend::Uring, Backend::Uring], [Backend::Uring, Backend::Epoll]];
