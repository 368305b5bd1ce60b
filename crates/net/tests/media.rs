//! One media worker on real loopback sockets: relayed, recorded, idle, ended; without an allocation per packet in the whole loop,
//! whichever way the kernel is asked and whether speech is encrypted or not.
#![expect(clippy::disallowed_types, reason = "the peers of the worker are real sockets")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use offhook_media::{Asset, Assets};
use offhook_net::Clock;
use offhook_net::media::{Backend, DriverConfig, MediaDriver, MediaHandle, Resting};
use offhook_plan::tap::Side;
use offhook_plan::{
    AssetId, CodecKind, Crypto, Direction, Edge, LegPlan, MediaCommand, MediaEvent, MediaPlan, Negotiated, PlayerPlan,
    Source, Tap,
};
use offhook_rtp::{Header, Packet, SRTP_TAIL_MAX, SrtpReceiver, SrtpSender, is_rtcp};
use offhook_units::{
    CallId, CryptoSuite, Entropy, LegId, MasterKey, PlayerId, RecordingId, RtpSeq, RtpTime, SampleRate, Tick,
};

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: hands everything to the system's allocator unchanged; counting touches an atomic only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // The harness's own thread, the process's first, prints when a test takes long.
        // SAFETY: both only tell who asks.
        if unsafe { libc::gettid() != libc::getpid() } {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Longest wait for anything that must happen.
const DEADLINE: Duration = Duration::from_secs(20);
const CALL: CallId = CallId(1);

struct Exchange {
    handle: MediaHandle,
    events: Receiver<(usize, MediaEvent)>,
}

impl Exchange {
    /// None, with the reason printed, where the kernel refuses this way of asking it.
    fn try_start(backend: Backend) -> Option<Self> {
        Self::try_start_with(backend, Resting::default())
    }

    fn try_start_with(backend: Backend, resting: Resting) -> Option<Self> {
        let (sender, events) = unbounded();
        let music: Vec<i16> = (0..8_000).map(|n| (n * 4 - 16_000) as i16).collect();
        let assets = Arc::new(Assets::new(vec![Asset::from_pcm(&music, SampleRate::NARROW).unwrap()]));
        let config = DriverConfig { worker: 3, backend, resting, ..DriverConfig::default() };
        match MediaDriver::start(&config, assets, Clock::start(None), Entropy::from_number(1), sender) {
            Ok(handle) => Some(Self { handle, events }),
            Err(error) if backend == Backend::Uring => {
                println!("skipped: the kernel refuses io_uring here: {error}");
                None
            }
            Err(error) => panic!("{backend:?}: {error}"),
        }
    }

    fn apply(&mut self, plan: MediaPlan) -> Vec<MediaEvent> {
        let generation = plan.generation;
        self.handle.send(MediaCommand::Apply(Box::new(plan)));
        self.handle.flush();
        self.until(|event| matches!(event, MediaEvent::PlanApplied { generation: g, .. } if *g == generation))
    }

    /// Events up to and with the one that is waited for.
    fn until(&self, last: impl Fn(&MediaEvent) -> bool) -> Vec<MediaEvent> {
        let mut events = Vec::new();
        while !events.last().is_some_and(&last) {
            let (worker, event) = self.events.recv_timeout(DEADLINE).expect("the awaited event");
            assert_eq!(worker, 3);
            events.push(event);
        }
        events
    }
}

/// A pair of neighbouring free ports, the lower one even.
fn free_ports() -> SocketAddr {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut rtp = socket.local_addr().unwrap();
        drop(socket);
        rtp.set_port(rtp.port() & !1);
        let mut rtcp = rtp;
        rtcp.set_port(rtp.port() + 1);
        if UdpSocket::bind(rtp).is_ok() && UdpSocket::bind(rtcp).is_ok() {
            return rtp;
        }
    }
}

fn peer() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// A peer's side of the keys of a leg.
struct Ends {
    out: SrtpSender,
    heard: SrtpReceiver,
}

/// The keys of a leg, and its peer's side of them.
fn keys(leg: u64, suite: CryptoSuite) -> (Crypto, Ends) {
    let key = |number| MasterKey::generate(suite, &mut Entropy::from_number(number));
    let crypto = Crypto { send: key(leg), receive: key(leg + 100) };
    let ends = Ends { out: SrtpSender::new(&crypto.receive), heard: SrtpReceiver::new(&crypto.send) };
    (crypto, ends)
}

/// Sends the packet in the first 172 bytes, sealed where there are keys.
fn say(ends: Option<&mut Ends>, from: &UdpSocket, to: SocketAddr, packet: &[u8; 172]) {
    let mut room = [0; 172 + SRTP_TAIL_MAX];
    room[..172].copy_from_slice(packet);
    let length = ends.map_or(172, |ends| ends.out.protect_rtp(&mut room, 172).expect("a new number"));
    from.send_to(&room[..length], to).unwrap();
}

/// The speech that comes next, opened where there are keys: its length in clear. Reports come to the same place.
fn hear(ends: Option<&mut Ends>, at: &UdpSocket, got: &mut [u8]) -> usize {
    let mut length = at.recv(got).unwrap();
    while is_rtcp(&got[..length]) {
        length = at.recv(got).unwrap();
    }
    ends.map_or(length, |ends| ends.heard.unprotect_rtp(&mut got[..length]).expect("the worker's key"))
}

fn leg(leg: u64, local: SocketAddr, peer: &UdpSocket, crypto: Option<Crypto>) -> LegPlan {
    let remote = peer.local_addr().unwrap();
    LegPlan {
        leg: LegId(leg),
        local,
        negotiated: Some(Negotiated {
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
            crypto,
            dtls: None,
        }),
        ssrc: 7,
        first_seq: 0,
        first_timestamp: 0,
        moved: false,
        dtls: None,
    }
}

fn edge(to: u64, from: u64) -> Edge {
    Edge { from: Source::Leg(LegId(from)), to: LegId(to), since: Tick::MAX }
}

fn write(seq: u32, out: &mut [u8; 172]) {
    let header =
        Header { payload_type: 0, marker: false, seq: RtpSeq(seq as u16), timestamp: RtpTime(seq * 160), ssrc: 1 };
    header.write(&[seq as u8; 160], out).unwrap();
}

fn packets_are_relayed_and_recorded_without_an_allocation_and_the_idle_driver_sleeps(
    mut exchange: Exchange,
    suite: Option<CryptoSuite>,
) {
    let (caller, agent) = (peer(), peer());
    let (at_caller, at_agent) = (free_ports(), free_ports());
    let taps = vec![Tap { leg: LegId(1), recording: RecordingId(1), heard_as: Side::Heard }];
    let (caller_keys, mut caller_ends) = suite.map(|suite| keys(1, suite)).unzip();
    let (agent_keys, mut agent_ends) = suite.map(|suite| keys(2, suite)).unzip();
    let legs = vec![leg(1, at_caller, &caller, caller_keys), leg(2, at_agent, &agent, agent_keys)];
    let plan = MediaPlan { call: CALL, generation: 1, legs, edges: vec![edge(1, 2), edge(2, 1)], taps, forks: vec![] };
    exchange.apply(plan.clone());

    let (mut sent, mut got) = ([0; 172], [0; 2_048]);
    write(0, &mut sent);
    say(caller_ends.as_mut(), &caller, at_caller, &sent);
    hear(agent_ends.as_mut(), &agent, &mut got);
    say(agent_ends.as_mut(), &agent, at_agent, &sent);
    hear(caller_ends.as_mut(), &caller, &mut got);
    exchange.until(|event| matches!(event, MediaEvent::Latched { leg: LegId(2), .. }));
    let mut tap = exchange.handle.take_tap().unwrap();

    let before = ALLOCATIONS.load(Ordering::SeqCst);
    for seq in 1..1_001 {
        write(seq, &mut sent);
        say(caller_ends.as_mut(), &caller, at_caller, &sent);
        let length = hear(agent_ends.as_mut(), &agent, &mut got);
        assert_eq!((length, &got[12..length]), (172, &sent[12..]));
        say(agent_ends.as_mut(), &agent, at_agent, &sent);
        let length = hear(caller_ends.as_mut(), &caller, &mut got);
        assert_eq!((length, &got[12..length]), (172, &sent[12..]));
        assert_eq!(u16::from_be_bytes([got[2], got[3]]), seq as u16);
    }
    assert_eq!(ALLOCATIONS.load(Ordering::SeqCst) - before, 0, "{suite:?}");
    let mut recorded = 0;
    let looks = DEADLINE.as_millis() / 10;
    for _ in 0..looks {
        recorded += tap.drain(usize::MAX, |header, _| assert_eq!(header.payload_bytes, 160, "recorded in the clear"));
        if recorded == 2_002 {
            break;
        }
        // The last ones are handed over within 10 ms; meanwhile the worker may tell how its legs sound.
        let _ = exchange.events.recv_timeout(Duration::from_millis(10));
    }
    assert_eq!(recorded, 2_002);

    // Music for one, with the clock of the driver.
    let player = PlayerPlan { player: PlayerId(1), assets: vec![AssetId(0)], repeat: true };
    let edges = vec![Edge { from: Source::Player(player), to: LegId(1), since: Tick::MAX }];
    exchange.apply(MediaPlan { generation: 2, edges, ..plan });
    let mut newest = RtpSeq(1_000);
    for _ in 0..5 {
        let length = hear(caller_ends.as_mut(), &caller, &mut got);
        let packet = Packet::parse(&got[..length]).unwrap();
        assert_eq!(packet.header.seq, newest.next());
        newest = packet.header.seq;
    }

    exchange.handle.send(MediaCommand::Close(CALL));
    exchange.handle.flush();
    let closed = exchange.until(|event| matches!(event, MediaEvent::LegClosed { leg: LegId(2), .. }));
    let MediaEvent::LegClosed { report, .. } = closed.last().unwrap() else { unreachable!("it was waited for") };
    assert_eq!((report.received_packets, report.sent_packets, report.lost_packets), (1_001, 1_001, 0));
    assert!(UdpSocket::bind(at_caller).is_ok(), "the ports are free again");

    // Nothing wakes a worker without calls, when the kernel has told it the last of its closed sockets.
    let counters = exchange.handle.counters();
    let quiet = |_: &u32| {
        let wakeups = counters.wakeups();
        assert!(exchange.events.recv_timeout(Duration::from_millis(300)).is_err());
        counters.wakeups() == wakeups
    };
    assert!((0..20).any(|n| quiet(&n)), "the worker rests");
    assert_eq!((counters.figures().legs, counters.figures().tap_dropped, counters.sends_failed()), (0, 0, 0));
}

fn a_phone_that_speaks_before_the_worker_knows_its_leg_is_heard_from_its_first_packet_on(mut exchange: Exchange) {
    let (caller, agent) = (peer(), peer());
    let (at_caller, at_agent) = (free_ports(), free_ports());
    let legs = vec![leg(1, at_caller, &caller, None), leg(2, at_agent, &agent, None)];
    let edges = vec![Edge { since: Tick::ZERO, ..edge(1, 2) }];
    let plan = MediaPlan { call: CALL, generation: 1, legs, edges, taps: vec![], forks: vec![] };
    // The control plane sends its offer after this, and the phone answers at once; the worker sleeps on.
    exchange.handle.send(MediaCommand::Apply(Box::new(plan)));
    let (mut sent, mut got) = ([0; 172], [0; 2_048]);
    for seq in 0..3 {
        write(seq, &mut sent);
        agent.send_to(&sent, at_agent).unwrap();
    }
    exchange.handle.flush();
    for seq in 0..3 {
        let length = hear(None, &caller, &mut got);
        assert_eq!(&got[12..length], [seq; 160]);
    }
    exchange.handle.send(MediaCommand::Close(CALL));
    exchange.handle.flush();
    exchange.until(|event| matches!(event, MediaEvent::LegClosed { leg: LegId(2), .. }));
    assert!(UdpSocket::bind(at_agent).is_ok(), "the ports are free again");
}

fn the_ports_of_a_closed_leg_serve_a_later_call_that_hears_nothing_of_the_earlier_one(mut exchange: Exchange) {
    let (caller, agent) = (peer(), peer());
    let (at_caller, at_agent) = (free_ports(), free_ports());
    let plan = |call, first| MediaPlan {
        call: CallId(call),
        generation: 1,
        legs: vec![leg(first, at_caller, &caller, None), leg(first + 1, at_agent, &agent, None)],
        edges: vec![edge(first, first + 1), edge(first + 1, first)],
        taps: vec![],
        forks: vec![],
    };
    let (mut sent, mut got) = ([0; 172], [0; 2_048]);
    for call in 1..=3 {
        exchange.apply(plan(call, 2 * call));
        write(call as u32, &mut sent);
        agent.send_to(&sent, at_agent).unwrap();
        // The report at the end of the call before came to the same socket.
        while caller.recv(&mut got).unwrap() != sent.len() {}
        assert_eq!(&got[12..sent.len()], [call as u8; 160], "the first packet is of this call");
        exchange.handle.send(MediaCommand::Close(CallId(call)));
        exchange.handle.flush();
        exchange.until(|event| matches!(event, MediaEvent::LegClosed { leg, .. } if leg.0 == 2 * call + 1));
        // When another command is done, the sockets rest.
        exchange.apply(MediaPlan {
            call: CallId(9),
            generation: call as u32,
            legs: vec![],
            edges: vec![],
            taps: vec![],
            forks: vec![],
        });
        assert!(UdpSocket::bind(at_agent).is_err(), "the socket is still there");
        for seq in 100..110 {
            write(seq, &mut sent);
            agent.send_to(&sent, at_agent).unwrap();
        }
    }
}

// One test: another beside it would allocate too.
#[test]
fn a_worker_relays_records_plays_sleeps_and_refuses_a_port_that_is_taken_plain_and_in_every_suite() {
    for backend in [Backend::Epoll, Backend::Uring] {
        for suite in CryptoSuite::ALL.into_iter().map(Some).chain([None]) {
            let Some(exchange) = Exchange::try_start(backend) else { break };
            packets_are_relayed_and_recorded_without_an_allocation_and_the_idle_driver_sleeps(exchange, suite);
        }
        if let Some(exchange) = Exchange::try_start(backend) {
            a_phone_that_speaks_before_the_worker_knows_its_leg_is_heard_from_its_first_packet_on(exchange);
        }
        if let Some(exchange) = Exchange::try_start_with(backend, Resting::new(4)) {
            the_ports_of_a_closed_leg_serve_a_later_call_that_hears_nothing_of_the_earlier_one(exchange);
        }
    }

    let mut exchange = Exchange::try_start(Backend::Auto).expect("one of the two");
    let taken = free_ports();
    let _holder = UdpSocket::bind(taken).unwrap();
    let legs = vec![leg(1, taken, &peer(), None)];
    let events =
        exchange.apply(MediaPlan { call: CALL, generation: 1, legs, edges: vec![], taps: vec![], forks: vec![] });
    let MediaEvent::LegFailed { leg: LegId(1), error, .. } = &events[0] else { panic!("{events:?}") };
    assert!(error.contains("in use"), "{error}");
}
