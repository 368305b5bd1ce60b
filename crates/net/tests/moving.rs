//! A leg goes from worker to worker on real loopback sockets while everybody speaks on: every packet comes, once and in order,
//! whichever way the two workers ask the kernel and whether speech is encrypted or not.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and deadlines")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use offhook_media::Assets;
use offhook_net::Clock;
use offhook_net::media::{Backend, Crossing, DriverConfig, MediaDriver, MediaHandle};
use offhook_plan::{
    CodecKind, Crypto, Direction, Edge, LegPlan, MediaCommand, MediaEvent, MediaPlan, Move, Negotiated, Source,
};
use offhook_rtp::{Header, Packet, SRTP_TAIL_MAX, SrtpReceiver, SrtpSender, is_rtcp};
use offhook_units::{CallId, CryptoSuite, Entropy, LegId, MasterKey, RtpSeq, RtpTime, Tick};

const DEADLINE: Duration = Duration::from_secs(20);
/// The two calls, each with its own worker, and who stays in each; the leg that moves.
const CALLS: [CallId; 2] = [CallId(10), CallId(11)];
const STAYS: [u64; 2] = [1, 3];
const MOVES: u64 = 2;
/// What everybody's stream is numbered from: a wrap comes soon.
const FIRST: u16 = 65_500;
/// What each of two says in a transfer; of that, what is under way when it begins, and what is said until it is over.
const PACKETS: usize = 300;
const UNDER_WAY: usize = 5;
const HELD: usize = 25;
/// How often a leg goes to and fro.
const ROUNDS: usize = 100;

/// A peer: its socket, our port for it, its numbers, and its side of the keys.
struct Peer {
    socket: UdpSocket,
    at: SocketAddr,
    seq: u16,
    keys: Option<(Crypto, SrtpSender, SrtpReceiver)>,
    heard: Vec<Header>,
    /// What each packet said: by whom, and its number.
    words: Vec<(u8, u16)>,
}

impl Peer {
    fn new(suite: Option<CryptoSuite>, number: u64) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let key = |suite, number| MasterKey::generate(suite, &mut Entropy::from_number(number));
        let keys = suite.map(|suite| {
            let crypto = Crypto { send: key(suite, number), receive: key(suite, number + 100) };
            (crypto, SrtpSender::new(&crypto.receive), SrtpReceiver::new(&crypto.send))
        });
        Self { socket, at: free_ports(), seq: FIRST, keys, heard: Vec::new(), words: Vec::new() }
    }

    /// Says 20 ms: who it is, and its number.
    fn say(&mut self, who: u64) {
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
    fn listen(&mut self) {
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
    fn heard_of(&self, who: u64) -> Vec<u16> {
        let mine = self.words.iter().filter(|(said_by, _)| u64::from(*said_by) == who);
        mine.map(|(_, seq)| seq.wrapping_sub(FIRST)).collect()
    }

    fn plan(&self, leg: u64, moved: bool) -> LegPlan {
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
        let (ssrc, first_seq) = (7_000 + leg as u32, 65_530);
        let leg = LegId(leg);
        LegPlan {
            leg,
            local: self.at,
            negotiated: Some(negotiated),
            ssrc,
            first_seq,
            first_timestamp: 0,
            moved,
            dtls: None,
        }
    }
}

/// A pair of neighbouring free ports, the lower one even.
fn free_ports() -> SocketAddr {
    loop {
        let mut rtp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        rtp.set_port(rtp.port() & !1);
        let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
        if UdpSocket::bind(rtp).is_ok() && UdpSocket::bind(rtcp).is_ok() {
            return rtp;
        }
    }
}

struct Exchange {
    workers: Vec<MediaHandle>,
    events: Receiver<(usize, MediaEvent)>,
    clock: Clock,
    generations: [u32; 2],
}

impl Exchange {
    /// None, with the reason printed, where the kernel refuses one of the two ways of asking it.
    fn try_start(backends: [Backend; 2]) -> Option<Self> {
        let (sender, events) = unbounded();
        let (crossing, clock) = (Crossing::new(2), Clock::start(None));
        let mut workers = Vec::new();
        for (worker, backend) in backends.into_iter().enumerate() {
            let config = DriverConfig { worker, backend, crossing: crossing.clone(), ..DriverConfig::default() };
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

    fn send(&mut self, worker: usize, command: MediaCommand) {
        self.workers[worker].send(command);
    }

    fn flush(&mut self) {
        self.workers.iter_mut().for_each(MediaHandle::flush);
    }

    /// A plan of one of the two calls: these legs, and whoever is with another hears it from `since` on.
    fn apply(&mut self, call: usize, legs: Vec<LegPlan>, since: Tick) {
        self.generations[call] += 1;
        let ids: Vec<LegId> = legs.iter().map(|leg| leg.leg).collect();
        let edges = ids.iter().flat_map(|to| {
            let others = ids.iter().filter(move |from| *from != to);
            others.map(move |from| Edge { from: Source::Leg(*from), to: *to, since })
        });
        let (edges, generation) = (edges.collect(), self.generations[call]);
        let plan = MediaPlan { call: CALLS[call], generation, legs, edges, taps: Vec::new() };
        self.send(call, MediaCommand::Apply(Box::new(plan)));
    }

    fn until<T>(&self, pick: impl Fn(MediaEvent) -> Option<T>) -> T {
        loop {
            let (_, event) = self.events.recv_timeout(DEADLINE).expect("the awaited event");
            if let Some(found) = pick(event) {
                return found;
            }
        }
    }

    /// Until the newest plan of a call is in force, with all its legs.
    fn in_force(&self, call: usize) {
        let newest = (CALLS[call], self.generations[call]);
        self.until(|event| match event {
            MediaEvent::PlanApplied { call, generation, .. } => ((call, generation) == newest).then_some(()),
            _ => None,
        });
    }
}

/// Listens until `total` packets have come in all.
fn wait_heard(peers: &mut [Peer], total: usize) {
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

fn is_gapless(heard: &[Header]) -> bool {
    heard.windows(2).all(|pair| pair[1].seq == pair[0].seq.next() && pair[1].ssrc == pair[0].ssrc)
}

/// As an attended transfer: 1 and 2 talk at one worker, 3 and 4 at the other; 1 and 4 leave, 2 goes to 3.
fn two_are_joined_from_two_workers(mut exchange: Exchange, suite: Option<CryptoSuite>) {
    let mut peers: Vec<Peer> = (1..=4).map(|number| Peer::new(suite, number)).collect();
    let plan = |peers: &[Peer], leg: u64, moved| peers[leg as usize - 1].plan(leg, moved);
    for (call, pair) in [[1, MOVES], [3, 4]].into_iter().enumerate() {
        exchange.apply(call, pair.map(|leg| plan(&peers, leg, false)).to_vec(), Tick::MAX);
        exchange.flush();
        exchange.in_force(call);
    }
    for n in 0..PACKETS {
        // A leg that nobody hears yet holds 640 ms of speech, 32 packets; nobody says more while one moves.
        if n == PACKETS / 2 - UNDER_WAY {
            wait_heard(&mut peers, 2 * n);
        } else if n == PACKETS / 2 {
            let now = exchange.clock.now();
            exchange.apply(1, vec![plan(&peers, 3, false), plan(&peers, MOVES, true)], now);
            let (from, to) = (CALLS[0], CALLS[1]);
            exchange.send(0, MediaCommand::Move(Move { from, leg: LegId(MOVES), to, worker: 1 }));
            exchange.send(0, MediaCommand::Close(CALLS[0]));
            exchange.flush();
        } else if n == PACKETS / 2 + HELD {
            exchange.in_force(1);
        }
        for who in [MOVES, 3] {
            peers[who as usize - 1].say(who);
        }
        peers.iter_mut().for_each(Peer::listen);
    }
    wait_heard(&mut peers, 2 * PACKETS);
    // What the one who moved said: first to 1, then to 3; what 3 said: first to 4, then to the one who moved.
    for (who, before, after) in [(MOVES, 1, 3), (3, 4, MOVES)] {
        let (first, then) = (peers[before - 1].heard_of(who), peers[after as usize - 1].heard_of(who));
        let said: Vec<u16> = (0..PACKETS as u16).collect();
        assert_eq!([first, then].concat(), said, "{suite:?}: of {who}");
    }
    assert!(peers.iter().all(|peer| is_gapless(&peer.heard)), "{suite:?}");
    exchange.send(1, MediaCommand::Close(CALLS[1]));
    exchange.flush();
    let report = exchange.until(|event| match event {
        MediaEvent::LegClosed { leg: LegId(MOVES), report, call, .. } => Some((call, report)),
        _ => None,
    });
    assert_eq!((report.0, report.1.received_packets, report.1.lost_packets), (CALLS[1], PACKETS as u64, 0));
    let counters: Vec<_> = exchange.workers.iter().map(MediaHandle::counters).collect();
    assert_eq!(counters[1].figures().moved_legs, 1);
    assert!(UdpSocket::bind(peers[MOVES as usize - 1].at).is_ok(), "its port is free again");
}

/// To and fro, a hundred times.
fn a_leg_goes_to_and_fro(mut exchange: Exchange, suite: Option<CryptoSuite>) {
    let mut peers: Vec<Peer> = (1..=3).map(|number| Peer::new(suite, number)).collect();
    let place = |leg: u64| leg as usize - 1;
    for call in 0..2 {
        let mut legs = vec![peers[place(STAYS[call])].plan(STAYS[call], false)];
        if call == 0 {
            legs.push(peers[place(MOVES)].plan(MOVES, false));
        }
        exchange.apply(call, legs, Tick::MAX);
        exchange.flush();
        exchange.in_force(call);
    }
    let mut said = 0;
    for round in 0..ROUNDS {
        let (here, there) = (round % 2, 1 - round % 2);
        for n in 0..6 {
            if n == 2 {
                let now = exchange.clock.now();
                let (from, to) = (CALLS[here], CALLS[there]);
                exchange.send(here, MediaCommand::Move(Move { from, leg: LegId(MOVES), to, worker: there }));
                exchange.apply(here, vec![peers[place(STAYS[here])].plan(STAYS[here], false)], now);
                let legs =
                    vec![peers[place(STAYS[there])].plan(STAYS[there], false), peers[place(MOVES)].plan(MOVES, true)];
                exchange.apply(there, legs, now);
                exchange.flush();
            }
            peers[place(MOVES)].say(MOVES);
            said += 1;
        }
        exchange.in_force(there);
        wait_heard(&mut peers, said);
    }
    let mut all: Vec<u16> = STAYS.iter().flat_map(|stays| peers[place(*stays)].heard_of(MOVES)).collect();
    all.sort_unstable();
    assert_eq!(all, (0..said as u16).collect::<Vec<_>>(), "{suite:?}: each packet once");
    assert!(peers.iter().all(|peer| is_gapless(&peer.heard)), "{suite:?}");
    let figures: Vec<_> = exchange.workers.iter().map(|worker| worker.counters().figures()).collect();
    let (moved, late): (Vec<_>, Vec<_>) =
        figures.iter().map(|figures| (figures.moved_legs, figures.moved_late)).unzip();
    assert_eq!(moved.iter().sum::<u64>(), ROUNDS as u64);
    println!("{ROUNDS} moves, {late:?} of them longer than 10 ms");
    assert!(late.iter().sum::<u64>() * 10 <= ROUNDS as u64, "{late:?} of {ROUNDS} took longer than 10 ms");
}

const WAYS: [[Backend; 2]; 3] =
    [[Backend::Epoll, Backend::Epoll], [Backend::Uring, Backend::Uring], [Backend::Uring, Backend::Epoll]];

fn suites() -> impl Iterator<Item = Option<CryptoSuite>> {
    [None, CryptoSuite::ALL.into_iter().next()].into_iter()
}

#[test]
fn a_leg_that_changes_workers_in_a_talk_loses_none_of_600_packets_and_keeps_its_keys_and_numbers() {
    for backends in WAYS {
        for suite in suites() {
            let Some(exchange) = Exchange::try_start(backends) else { break };
            two_are_joined_from_two_workers(exchange, suite);
        }
    }
}

#[test]
fn of_100_moves_to_and_fro_none_loses_or_doubles_a_packet_and_9_in_10_take_less_than_10_ms() {
    for backends in WAYS {
        for suite in suites() {
            let Some(exchange) = Exchange::try_start(backends) else { break };
            a_leg_goes_to_and_fro(exchange, suite);
        }
    }
}
