//! Whole runs on a virtual clock: callers call agents of the same run directly, over a network of 5 ms a way that may lose packets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use offhook_loadgen::arrivals::{Pattern, Rates, Spread};
use offhook_loadgen::flows::{Figures, Flows, Outbox, Part, Speech};
use offhook_loadgen::load::{Agents, Callers, Carriage, Load, Ports};
use offhook_loadgen::ways::{WayNotice, WayOrder};
use offhook_loadgen::{Driver, Output};
use offhook_plan::{CodecKind, Direction, MediaCaps};
use offhook_sip::{Message, Transport, Uri, sdp};
use offhook_units::{Entropy, Span, Tick};

const WAY: Span = Span::from_ms(5);
const DEADLINE: Span = Span::from_s(300);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn silence() -> Speech {
    Speech::cut(CodecKind::Pcmu, &[0xff], 0xff, 1)
}

fn load(per_s: f64, concurrent: usize, hold: Option<&str>, lasting_s: u64) -> Load {
    Load {
        callers: Some(Callers {
            transport: Transport::Udp,
            connections: 1,
            carriage: Carriage::Plain,
            speech: silence(),
            server: at("127.0.0.3:5070"),
            uri: Uri::sip(Some("a0001"), "127.0.0.3", Some(5_070)),
            local: at("127.0.0.2:5061"),
            from: "cx{n}".into(),
            pattern: Pattern::Even(Rates::constant(per_s)),
            concurrent,
            hold: hold.map(|hold| hold.parse().unwrap()),
            patience: None,
            keys: Vec::new(),
            credentials: None,
        }),
        agents: Some(Agents {
            transport: Transport::Udp,
            takes_srtp: false,
            speech: silence(),
            local: at("127.0.0.3:5070"),
            count: 0,
            first: 1,
            user: "a{n:04}".into(),
            password: String::new(),
            registrar: None,
            registers_per_s: 50,
            answer_after: Spread::always(Span::from_ms(100)),
            decline_per_mille: 0,
            hang_up_after: None,
            wrap_up: Span::ZERO,
            part: Part::Echo,
        }),
        tls: None,
        leads: Vec::new(),
        sampled: None,
        lasting: Some(Span::from_s(lasting_s)),
        server_pid: None,
        wire: Arc::default(),
        keeps_outcomes: false,
    }
}

/// What is under way: SIP by where it goes, speech by socket, and what a way of speech tells.
enum Parcel {
    Way(WayNotice),
    Sip { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    Speech { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
}

struct World {
    now: Tick,
    driver: Driver,
    flows: Flows,
    sockets: Vec<SocketAddr>,
    under_way: BTreeMap<(Tick, u64), Parcel>,
    sent: u64,
    /// How long a way of speech takes to be up; for ever where it fails.
    up_after: Option<Span>,
    /// Of a thousand packets of speech, so many are lost.
    lost_per_mille: u64,
    entropy: Entropy,
    until: Option<Tick>,
    /// The program gets no time from the first to the second instant.
    stall: Option<(Tick, Tick)>,
}

impl World {
    fn new(load: &Load) -> Self {
        let now = Tick::from_us(1_000_000_000);
        let ports = Ports {
            callers: [20_000, 20_002, 20_004].map(|port| SocketAddr::from(([127, 0, 0, 2], port))).into(),
            agents: vec![at("127.0.0.3:40000")],
        };
        let sockets = ports.callers.iter().chain(&ports.agents).copied().collect();
        let mut entropy = Entropy::from_number(17);
        let flows = Flows::new(now, 0xfeed, true, entropy.fork());
        let driver = Driver::new(now, load, vec![at("127.0.0.2:5061")], at("127.0.0.3:5070"), ports, entropy.fork());
        Self {
            now,
            driver,
            flows,
            sockets,
            under_way: BTreeMap::new(),
            sent: 0,
            up_after: Some(Span::from_ms(80)),
            lost_per_mille: 0,
            entropy,
            until: None,
            stall: None,
        }
    }

    fn send(&mut self, parcel: Parcel) {
        self.sent += 1;
        self.under_way.insert((self.now + WAY, self.sent), parcel);
    }

    fn drain(&mut self) {
        loop {
            match self.driver.poll_output() {
                Output::Transmit { flow, bytes } => {
                    self.send(Parcel::Sip { from: flow.local, to: flow.peer, bytes });
                }
                Output::Media(order) => self.flows.order(self.now, order),
                Output::Way(order) => self.way(order),
                Output::Wait { until } => break self.until = until,
            }
        }
    }

    /// A way of speech that is none: its offer is plain, and plain packets go straight to the agents.
    fn way(&mut self, order: WayOrder) {
        let (after, notice) = match order {
            WayOrder::Open { flow, near } => {
                let local = sdp::Local {
                    address: near.ip(),
                    port: near.port(),
                    session_id: 1,
                    version: 1,
                    srtp: sdp::Srtp::OFF,
                };
                let offer = sdp::offer(&local, &MediaCaps::g711(), Direction::SendRecv);
                (Span::from_ms(20), WayNotice::Offer { flow, offer, inside: at("127.0.0.3:40000") })
            }
            WayOrder::Accept { flow, answer } => {
                assert!(answer.contains("m=audio 40000"), "{answer}");
                match self.up_after {
                    Some(after) => (after, WayNotice::Up { flow }),
                    None => (WAY, WayNotice::Failed { flow, why: "no way".into() }),
                }
            }
            WayOrder::Close { .. } => return,
        };
        self.sent += 1;
        self.under_way.insert((self.now + after, self.sent), Parcel::Way(notice));
    }

    fn speak(&mut self, mut out: Outbox) {
        let letters: Vec<_> = out.letters.iter_mut().map(std::mem::take).collect();
        for (socket, letters) in letters.into_iter().enumerate() {
            for letter in letters {
                if self.entropy.below(1_000) >= self.lost_per_mille {
                    let from = self.sockets[socket];
                    self.send(Parcel::Speech { from, to: letter.peer, bytes: letter.bytes });
                }
            }
        }
        out.notices.into_iter().for_each(|notice| self.driver.notice(notice));
    }

    fn step(&mut self) {
        self.drain();
        let next = [self.until, Some(self.flows.due()), self.under_way.keys().next().map(|key| key.0)];
        self.now = next.into_iter().flatten().min().unwrap().max(self.now);
        if let Some((_, to)) = self.stall.filter(|(from, to)| self.now >= *from && self.now < *to) {
            self.now = to;
        }
        while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                // Nobody is there.
                Parcel::Sip { to, .. } if to.ip() == at("127.0.0.9:0").ip() => {}
                Parcel::Sip { from, to, bytes } => {
                    let flow = offhook_sip::Flow { transport: Transport::Udp, local: to, peer: from };
                    self.driver.receive(self.now, flow, Message::parse(&bytes).unwrap());
                    self.drain();
                }
                Parcel::Way(notice) => {
                    self.driver.way(self.now, notice);
                    self.drain();
                }
                Parcel::Speech { from, to, bytes } => {
                    let mut out = Outbox::new(self.sockets.len());
                    let socket = self.sockets.iter().position(|socket| *socket == to).expect("a socket of ours");
                    self.flows.receive(self.now, socket, from, &bytes, &mut out);
                    self.speak(out);
                }
            }
        }
        let mut out = Outbox::new(self.sockets.len());
        self.flows.tick(self.now, &mut out);
        self.speak(out);
        if self.until.is_some_and(|until| until <= self.now) {
            self.driver.timeout(self.now);
        }
    }

    fn run(mut self) -> (Driver, Figures, Span) {
        let begin = self.now;
        while !self.driver.is_over() {
            assert!(self.now.since(begin) < DEADLINE, "the run does not end");
            self.step();
        }
        (self.driver, self.flows.finish(), self.now.since(begin))
    }
}

#[test]
fn twenty_calls_of_2_s_at_10_a_second_are_all_heard_and_their_round_trip_is_10_ms() {
    let mut load = load(10.0, 20, Some("2s"), 2);
    // Each caller calls somebody else: an agent has one call at a time.
    load.callers.as_mut().unwrap().hold = Some("50ms".parse().unwrap());
    let (driver, figures, _) = World::new(&load).run();
    let (calls, times) = driver.calls().unwrap();
    assert_eq!((calls.due, calls.started), (20, 20));
    // 100 ms of ringing and 50 ms of talk are more than the 100 ms between two calls: every other one finds the agent busy.
    assert_eq!((calls.answered, calls.completed, calls.failed), (10, 10, 10));
    assert_eq!(calls.causes.get("486 Busy Here"), Some(&10));
    assert_eq!(calls.reached, 10);
    assert_eq!(driver.agents().unwrap().while_busy, 10);
    assert!((times.setup.ms_at(0.5) - 110.0).abs() < 1.0, "{:?}", times.setup.quantiles());
    assert!((times.ringing.ms_at(0.5) - 10.0).abs() < 0.5 && (times.to_agent.ms_at(0.5) - 5.0).abs() < 0.5);
    assert!((figures.round_trip.ms_at(0.99) - 10.0).abs() < 0.1, "{:?}", figures.round_trip.quantiles());
    assert!((figures.one_way.ms_at(0.99) - 5.0).abs() < 0.1, "{:?}", figures.one_way.quantiles());
    let counts = figures.counts;
    assert_eq!((counts.lost, counts.marks_lost, counts.without_echo, counts.crosstalk), (0, 0, 0, 0));
    assert_eq!((counts.opened, counts.open), (20, 0));
}

#[test]
fn a_call_that_stays_is_up_for_10_s_of_500_packets_and_1_percent_of_them_lost_is_seen() {
    let mut world = World::new(&load(1.0, 1, None, 10));
    world.lost_per_mille = 10;
    let (driver, figures, lasted) = world.run();
    let (calls, _) = driver.calls().unwrap();
    assert_eq!((calls.started, calls.answered, calls.completed, calls.failed), (1, 1, 1, 0));
    assert!((Span::from_s(10)..Span::from_s(13)).contains(&lasted), "{lasted}");
    let counts = figures.counts;
    assert!((495..=515).contains(&counts.sent), "{counts:?}");
    // Two ways of 1 % each.
    assert!((3..=20).contains(&counts.marks_lost), "{counts:?}");
    assert!(
        counts.echoed + counts.marks_lost <= counts.sent && counts.lost.abs_diff(counts.marks_lost) <= 1,
        "{counts:?}"
    );
}

#[test]
fn more_calls_than_are_wanted_at_once_are_not_made_and_a_silent_server_ends_the_patience_of_the_others() {
    let mut load = load(10.0, 3, Some("5s"), 2);
    load.callers.as_mut().unwrap().server = at("127.0.0.9:5060");
    load.callers.as_mut().unwrap().patience = Some("1s".parse().unwrap());
    let (driver, _, lasted) = World::new(&load).run();
    let (calls, _) = driver.calls().unwrap();
    assert_eq!((calls.due, calls.started, calls.over_limit), (20, 3, 17));
    assert_eq!((calls.gave_up, calls.answered, calls.failed), (3, 0, 0));
    // INVITEs that nobody answers are over after 64 T1 (RFC 3261 section 17.1.1.2).
    assert!(lasted > Span::from_s(30) && lasted < Span::from_s(40), "{lasted}");
}

#[test]
fn a_generator_that_stands_still_for_500_ms_counts_that_into_the_setup_of_every_call_that_was_due() {
    let mut load = load(20.0, 100, Some("50ms"), 4);
    load.agents.as_mut().unwrap().answer_after = Spread::always(Span::ZERO);
    let mut world = World::new(&load);
    let stalled = world.now + Span::from_s(2);
    world.stall = Some((stalled, stalled + Span::from_ms(500)));
    let (driver, figures, _) = World::run(world);
    let (calls, times) = driver.calls().unwrap();
    assert_eq!(calls.due, 80);
    let late = driver.start_late().unwrap().quantiles();
    assert!(late.max > 440.0, "{late:?}");
    assert!(times.setup.quantiles().max > 450.0, "{:?}", times.setup.quantiles());
    assert!(figures.late.quantiles().max > 400.0, "{:?}", figures.late.quantiles());
}

#[test]
fn an_agent_declines_half_of_100_calls_and_wraps_up_for_a_second() {
    let mut declining = load(2.0, 50, Some("50ms"), 50);
    declining.agents.as_mut().unwrap().decline_per_mille = 500;
    let (driver, _, _) = World::new(&declining).run();
    let declined = driver.agents().unwrap().declined;
    assert!((30..=70).contains(&declined), "{declined}");
    assert_eq!(driver.calls().unwrap().0.causes.get("603 Decline"), Some(&declined));

    let mut wrapping = load(2.0, 50, Some("50ms"), 10);
    wrapping.agents.as_mut().unwrap().wrap_up = Span::from_s(1);
    let (driver, _, _) = World::new(&wrapping).run();
    // Ringing, talk and wrap-up are more than 1 s together: of calls every 500 ms two in three come too early.
    let agents = driver.agents().unwrap();
    assert_eq!((agents.offered, agents.answered, agents.while_busy), (20, 7, 13));
}

#[test]
fn keys_are_pressed_as_events_2_s_after_the_answer_and_speech_goes_on_behind_them() {
    let mut load = load(1.0, 1, None, 4);
    load.callers.as_mut().unwrap().keys = vec![(Span::from_s(2), "17".into())];
    let (_, figures, _) = World::new(&load).run();
    let counts = figures.counts;
    // Eight packets of each key take the place of speech, and are not sent back.
    assert!(counts.received > 2 * counts.echoed, "{counts:?}");
    assert_eq!(counts.received - 2 * counts.echoed - (counts.sent - counts.echoed), 16, "{counts:?}");
    assert_eq!(counts.marks_lost, 0);
}

#[test]
fn an_agent_called_without_a_name_takes_20_calls_at_once() {
    let mut load = load(10.0, 20, None, 1);
    load.callers.as_mut().unwrap().uri = Uri::sip(None, "127.0.0.3", Some(5_070));
    let (driver, _, _) = World::new(&load).run();
    let (calls, _) = driver.calls().unwrap();
    assert_eq!((calls.started, calls.answered, calls.completed, calls.failed), (20, 20, 20, 0));
    assert_eq!(driver.agents().unwrap().while_busy, 0);
}

#[test]
fn a_sampled_caller_hears_own_speech_from_its_begin_on_without_marks_and_the_others_go_on_marked() {
    let mut load = load(1.0, 2, None, 4);
    load.callers.as_mut().unwrap().uri = Uri::sip(None, "127.0.0.3", Some(5_070));
    let said: Vec<u8> = (0..160 * 50).map(|n| (n / 160) as u8).collect();
    load.callers.as_mut().unwrap().speech = Speech::cut(CodecKind::Pcmu, &said, 0xff, 1);
    load.sampled = Some(2);
    let (driver, figures, _) = World::new(&load).run();
    assert_eq!(driver.calls().unwrap().0.completed, 2);
    let sample = figures.sample.expect("a sample");
    // Four seconds, but for what was under way at either end; echoes of marked packets that had left before come first.
    assert!((194..=204).contains(&sample.packets_said()), "{}", sample.packets_said());
    let heard: Vec<&[u8]> = sample.heard().iter().map(|(_, payload)| &payload[..]).collect();
    assert_eq!(heard.len(), sample.packets_said());
    let begin = heard.iter().position(|packet| *packet == &said[..160]).expect("the begin");
    assert!(begin <= 1, "{begin}");
    assert!(heard[begin..].iter().zip(said.chunks(160).cycle()).all(|(heard, said)| *heard == said));
    let counts = figures.counts;
    assert_eq!((counts.without_echo, counts.crosstalk), (0, 0));
    assert!(counts.echoed > 150 && counts.echoed < counts.sent, "{counts:?}");
}

#[test]
fn every_codec_goes_there_and_back_plain_and_under_srtp_and_each_packet_is_found_again() {
    for (codec, carriage) in [
        (CodecKind::G722, Carriage::Plain),
        (CodecKind::Opus, Carriage::Plain),
        (CodecKind::Pcma, Carriage::Srtp),
        (CodecKind::Opus, Carriage::Srtp),
    ] {
        let mut load = load(10.0, 3, None, 2);
        // Packets of Opus have the lengths that they have: single frames of 1, 40 and 200 bytes.
        let packets = [1, 40, 200].map(|length| {
            let frame = vec![7; if codec == CodecKind::Opus { length } else { 160 }];
            [&[0b0100_1000][..], &frame].concat().into_boxed_slice()
        });
        let speech = Speech { codec, packets: Arc::from(packets), mark_every: 1 };
        let (callers, agents) = (load.callers.as_mut().unwrap(), load.agents.as_mut().unwrap());
        (callers.speech, callers.carriage, agents.speech) = (speech.clone(), carriage, speech);
        callers.uri = Uri::sip(None, "127.0.0.3", Some(5_070));
        agents.takes_srtp = carriage == Carriage::Srtp;
        let (driver, figures, _) = World::new(&load).run();
        let counts = figures.counts;
        assert_eq!(driver.calls().unwrap().0.completed, 3, "{codec:?} {carriage:?}");
        assert_eq!((counts.lost, counts.marks_lost, counts.unproved), (0, 0, 0), "{counts:?}");
        assert_eq!(counts.encrypted, if carriage == Carriage::Srtp { 6 } else { 0 }, "{codec:?}");
        // All but what was under way at the end.
        assert!(counts.sent > 290 && counts.sent - counts.echoed <= 6, "{codec:?} {carriage:?}: {counts:?}");
        assert!((figures.round_trip.ms_at(0.99) - 10.0).abs() < 0.1, "{:?}", figures.round_trip.quantiles());
        assert!(figures.jitter.quantiles().max < 1.0, "{codec:?}: {:?}", figures.jitter.quantiles());
    }
}

#[test]
fn who_offers_srtp_to_agents_without_is_refused_with_488() {
    let mut load = load(10.0, 3, None, 2);
    let callers = load.callers.as_mut().unwrap();
    (callers.carriage, callers.uri) = (Carriage::Srtp, Uri::sip(None, "127.0.0.3", Some(5_070)));
    let (driver, _, _) = World::new(&load).run();
    let (calls, _) = driver.calls().unwrap();
    assert_eq!((calls.failed, calls.causes.get("488 Not Acceptable Here")), (3, Some(&3)), "{calls:?}");
}

#[test]
fn speech_that_goes_as_a_browsers_waits_for_its_way_and_a_call_without_one_fails() {
    let mut load = load(10.0, 3, None, 2);
    let callers = load.callers.as_mut().unwrap();
    (callers.carriage, callers.uri) = (Carriage::WebRtc, Uri::sip(None, "127.0.0.3", Some(5_070)));
    callers.keys = vec![(Span::from_ms(500), "5".into())];
    let (driver, figures, _) = World::new(&load).run();
    let (calls, times) = driver.calls().unwrap();
    assert_eq!((calls.started, calls.answered, calls.completed, calls.failed), (3, 3, 3, 0));
    // An offer takes 20 ms, the agent 110 and the way 80.
    assert!((times.setup.ms_at(0.5) - 130.0).abs() < 1.0, "{:?}", times.setup.quantiles());
    assert!((times.connected.ms_at(0.5) - 80.0).abs() < 0.5, "{:?}", times.connected.quantiles());
    let counts = figures.counts;
    // Of the agents' own sides none is encrypted here; eight packets of a key take the place of speech.
    assert_eq!((counts.encrypted, counts.without_echo, counts.marks_lost), (3, 0, 0), "{counts:?}");
    assert!(counts.sent > 3 * (96 - 8), "{counts:?}");

    let mut world = World::new(&load);
    world.up_after = None;
    let (driver, figures, _) = world.run();
    let (calls, _) = driver.calls().unwrap();
    assert_eq!((calls.answered, calls.completed, calls.failed), (3, 0, 3));
    assert_eq!(calls.causes.get("media: no way"), Some(&3));
    assert_eq!(figures.counts.sent, 0);
}
