//! A leg that changes workers: it takes its numbers, keys, buffers and figures along, and nothing that is said meanwhile is lost.
//! The two workers are given the same time; what comes between leaving and arriving waits, as in a socket.

mod harness;

use core::f64::consts::TAU;

use harness::*;
use offhook_codec::Law;
use offhook_media::{Moving, Parted, SocketKey};
use offhook_plan::tap::Side;
use offhook_plan::{
    CodecKind, Crypto, Edge, LegPlan, LegReport, MediaCommand, MediaEvent, MediaPlan, Move, Negotiated, Tap,
};
use offhook_rtp::{Header, Packet, SRTP_TAIL_MAX, SrtpReceiver, SrtpSender};
use offhook_units::{CallId, CryptoSuite, Entropy, LegId, MasterKey, RecordingId, RtpSeq, RtpTime, Span, Tick};

const OTHER: CallId = CallId(2);
/// Whoever waits in the other call, and a third party there.
const CUSTOMER: LegId = LegId(3);
const THIRD: LegId = LegId(4);

const GOES: Move = Move { from: CALL, leg: AGENT, to: OTHER, worker: 1 };

/// The other call, with the one who comes.
fn other(generation: u32, legs: Vec<LegPlan>, edges: Vec<Edge>) -> MediaCommand {
    let taps = vec![Tap { leg: AGENT, recording: RecordingId(77), heard_as: Side::Heard }];
    MediaCommand::Apply(Box::new(MediaPlan { call: OTHER, generation, legs, edges, taps, forks: Vec::new() }))
}

fn comes(leg: LegPlan) -> LegPlan {
    LegPlan { moved: true, ..leg }
}

fn joined(generation: u32, since: Tick) -> MediaCommand {
    let edges = vec![hears(CUSTOMER, AGENT, since), hears(AGENT, CUSTOMER, since)];
    other(generation, vec![pcmu(CUSTOMER), comes(pcmu(AGENT))], edges)
}

fn leave(floor: &mut Floor) -> Moving {
    let Parted::Here(keys) = floor.worker.part(floor.now, &GOES) else { panic!("the leg is here") };
    let moving = floor.worker.depart(floor.now, AGENT).expect("it has left its call");
    // The driver gives the sockets away.
    floor.network.open.retain(|(key, _)| !keys.contains(key));
    moving
}

fn arrive(floor: &mut Floor, moving: Moving) {
    floor.worker.arrive(&mut floor.network, floor.now, moving);
}

fn is_whole(events: &[MediaEvent], generation: u32) -> bool {
    let whole = |event: &MediaEvent| matches!(event, MediaEvent::PlanApplied { call: OTHER, generation: g, .. } if *g == generation);
    events.iter().any(whole)
}

/// Two floors, each with a talk of its own.
fn floors() -> (Floor, Floor) {
    let (mut here, mut there) = (Floor::new(), Floor::new());
    here.command(talk(1, Tick::MAX));
    let alone = vec![pcmu(CUSTOMER), pcmu(THIRD)];
    let edges = vec![hears(CUSTOMER, THIRD, Tick::MAX), hears(THIRD, CUSTOMER, Tick::MAX)];
    there.command(MediaCommand::Apply(Box::new(MediaPlan {
        call: OTHER,
        generation: 1,
        legs: alone,
        edges,
        taps: Vec::new(),
        forks: Vec::new(),
    })));
    (here, there)
}

fn numbers(heard: &[(Header, Vec<u8>)]) -> Vec<(u16, u32, u32)> {
    heard.iter().map(|(header, _)| (header.seq.0, header.timestamp.0, header.ssrc)).collect()
}

#[test]
fn a_leg_goes_on_with_its_numbers_in_either_order_of_plan_and_leg_and_no_word_is_lost() {
    for plan_first in [true, false] {
        let (mut here, mut there) = floors();
        let (mut caller, mut agent, mut customer) = (Speaker::new(CALLER), Speaker::new(AGENT), Speaker::new(CUSTOMER));
        let mut said = (Vec::new(), Vec::new());
        let mut heard = Vec::new();
        for _ in 0..50 {
            caller.say(&mut here);
            agent.say(&mut here);
            customer.say(&mut there);
            here.run_to(here.now + Span::from_ms(20));
            there.run_to(here.now);
        }
        heard.extend(here.heard_by(AGENT));
        assert_eq!((heard.len(), there.heard_by(THIRD).len()), (50, 50));
        let since = here.now;
        if plan_first {
            there.command(joined(2, since));
            assert!(!is_whole(&there.events(), 2), "the leg is still to come");
        }
        // Three packets of 20 ms on each side, while the leg is between the two.
        // What the customer says before the plan is heard by the third party.
        let before = customer.say(&mut there)[0];
        said.0.extend(plan_first.then_some(before));
        let moving = leave(&mut here);
        assert_eq!(here.worker.figures().legs, 1);
        let meanwhile: Vec<Vec<u8>> = (0..3)
            .map(|_| {
                let (packet, payload) = agent.speech();
                said.1.push(payload[0]);
                packet
            })
            .collect();
        let before = customer.say(&mut there)[0];
        said.0.extend(plan_first.then_some(before));
        there.run_to(since + Span::from_ms(9));
        arrive(&mut there, moving);
        if !plan_first {
            assert_eq!(there.heard_by(THIRD).len(), 2);
            there.command(joined(2, since));
        }
        assert!(is_whole(&there.events(), 2));
        for packet in meanwhile {
            there.receive(AGENT, peer(AGENT), &packet);
        }
        for _ in 0..50 {
            said.0.push(customer.say(&mut there)[0]);
            said.1.push(agent.say(&mut there)[0]);
            there.run_to(there.now + Span::from_ms(20));
        }
        let then = there.heard_by(AGENT);
        let words: Vec<u8> = then.iter().map(|(_, payload)| payload[0]).collect();
        assert_eq!(words, said.0, "plan first: {plan_first}");
        let words: Vec<u8> = there.heard_by(CUSTOMER).into_iter().map(|(_, payload)| payload[0]).collect();
        assert_eq!(words, said.1);
        heard.extend(then);
        for pair in numbers(&heard).windows(2) {
            assert_eq!((pair[1].0, pair[1].1, pair[1].2), (pair[0].0.wrapping_add(1), pair[0].1 + 160, pair[0].2));
        }
        // Recorded in the other call from then on, at the other worker.
        let recorded = there.recorded();
        assert!(recorded.iter().all(|(tap, _)| (tap.leg, tap.recording) == (AGENT, RecordingId(77))));
        assert_eq!(recorded.len(), words.len() + said.0.len());
        assert_eq!((there.worker.figures().moved_legs, there.worker.figures().moved_late), (1, 0));
        there.command(MediaCommand::Close(OTHER));
        let closed = there.events().into_iter().find_map(|event| match event {
            MediaEvent::LegClosed { call: OTHER, leg: AGENT, report, .. } => Some(report),
            _ => None,
        });
        let LegReport { received_packets, lost_packets, sent_packets, .. } = closed.expect("its figures");
        assert_eq!((received_packets, lost_packets, sent_packets), (103, 0, heard.len() as u64));
        assert!(here.events().iter().all(|event| !matches!(event, MediaEvent::LegClosed { .. })));
    }
}

#[test]
fn an_encrypted_leg_takes_its_keys_roll_over_and_replay_window_along() {
    for suite in CryptoSuite::ALL {
        let key = |number| MasterKey::generate(suite, &mut Entropy::from_number(number));
        let crypto = Crypto { send: key(1), receive: key(2) };
        let (mut seals, mut opens) = (SrtpSender::new(&crypto.receive), SrtpReceiver::new(&crypto.send));
        let secure = LegPlan {
            negotiated: Some(Negotiated { crypto: Some(crypto), ..agreed(AGENT, CodecKind::Pcmu) }),
            ..pcmu(AGENT)
        };
        let (mut here, mut there) = (Floor::new(), Floor::new());
        let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
        here.command(plan(1, vec![pcmu(CALLER), secure.clone()], edges, Vec::new()));
        let (mut caller, mut customer) = (Speaker::new(CALLER), Speaker::new(CUSTOMER));
        // The numbers of both directions wrap before the move: 65,530 is the first one that is sent.
        let mut packet_of = |seq: u16| {
            let header = Header {
                payload_type: 0,
                marker: false,
                seq: RtpSeq(seq),
                timestamp: RtpTime(u32::from(seq.wrapping_sub(65_500)) * 160),
                ssrc: 5,
            };
            let mut room = vec![0; 172 + SRTP_TAIL_MAX];
            header.write(&[seq as u8; 160], &mut room).expect("room");
            let length = seals.protect_rtp(&mut room, 172).expect("a new number");
            room.truncate(length);
            room
        };
        let mut replayed = Vec::new();
        for n in 0..60_u16 {
            let packet = packet_of(65_500_u16.wrapping_add(n));
            here.receive(AGENT, peer(AGENT), &packet);
            replayed = packet;
            caller.say(&mut here);
            here.run_to(here.now + Span::from_ms(20));
        }
        assert_eq!(here.heard_by(CALLER).len(), 60);
        let mut sealed: Vec<Vec<u8>> = take_sent(&mut here, AGENT);
        there.run_to(here.now);
        let edges = vec![hears(CUSTOMER, AGENT, here.now), hears(AGENT, CUSTOMER, here.now)];
        there.command(other(1, vec![pcmu(CUSTOMER), comes(secure)], edges));
        let moving = leave(&mut here);
        arrive(&mut there, moving);
        there.receive(AGENT, peer(AGENT), &replayed);
        assert_eq!(there.worker.figures().unopened_packets, 1, "seen before, at the other worker");
        for n in 60..90_u16 {
            there.receive(AGENT, peer(AGENT), &packet_of(65_500_u16.wrapping_add(n)));
            customer.say(&mut there);
            there.run_to(there.now + Span::from_ms(20));
        }
        assert_eq!(there.heard_by(CUSTOMER).len(), 30);
        sealed.extend(take_sent(&mut there, AGENT));
        assert_eq!(sealed.len(), 90);
        let mut next = RtpSeq(65_530);
        for mut packet in sealed {
            let length = opens.unprotect_rtp(&mut packet).expect("one line of numbers under one key");
            assert_eq!(Packet::parse(&packet[..length]).expect("RTP").header.seq, next);
            next = next.next();
        }
        assert_eq!((here.worker.figures().unsealed_packets, there.worker.figures().unsealed_packets), (0, 0));
    }
}

/// The RTP that was sent to a leg's peer, as it is.
fn take_sent(floor: &mut Floor, leg: LegId) -> Vec<Vec<u8>> {
    let key: SocketKey = floor.key(local(leg));
    let sent = std::mem::take(&mut floor.network.sent);
    sent.into_iter().filter(|sent| sent.key == key).map(|sent| sent.bytes).collect()
}

/// A tone in mu-law, 20 ms from sample `from` on.
fn tone(hertz: f64, peak: f64, from: usize) -> Vec<u8> {
    let sample = |n: usize| (peak * (TAU * hertz * n as f64 / 8_000.0).sin()) as i16;
    (from..from + 160).map(|n| Law::Mu.encode(sample(n))).collect()
}

#[test]
fn from_one_conference_to_another_nobody_hears_a_click_and_the_one_who_comes_is_heard_whole() {
    let (mut here, mut there) = (Floor::new(), Floor::new());
    let all = |legs: [LegId; 3]| -> Vec<Edge> {
        let pairs =
            legs.iter().flat_map(|to| legs.iter().filter(move |from| *from != to).map(move |from| (*to, *from)));
        pairs.map(|(to, from)| hears(to, from, Tick::MAX)).collect()
    };
    let boss = LegId(5);
    here.command(plan(1, vec![pcmu(CALLER), pcmu(AGENT), pcmu(boss)], all([CALLER, AGENT, boss]), Vec::new()));
    there.command(other(
        1,
        vec![pcmu(CUSTOMER), pcmu(THIRD)],
        vec![hears(CUSTOMER, THIRD, Tick::MAX), hears(THIRD, CUSTOMER, Tick::MAX)],
    ));
    let tones = [(CALLER, 300.0), (AGENT, 430.0), (CUSTOMER, 370.0), (THIRD, 520.0), (boss, 250.0)];
    let mut speakers = tones.map(|(leg, hertz)| (Speaker::new(leg), hertz));
    let (peak, mut from) = (5_000.0, 0);
    let (mut agent_heard, mut meanwhile) = (Vec::new(), Vec::new());
    let mut moving = None;
    for n in 0..150 {
        if n == 75 {
            moving = Some(leave(&mut here));
            here.command(plan(
                2,
                vec![pcmu(CALLER), pcmu(boss)],
                vec![hears(CALLER, boss, Tick::MAX), hears(boss, CALLER, Tick::MAX)],
                Vec::new(),
            ));
            there.command(other(
                2,
                vec![pcmu(CUSTOMER), pcmu(THIRD), comes(pcmu(AGENT))],
                all([CUSTOMER, THIRD, AGENT]),
            ));
        }
        for (speaker, hertz) in &mut speakers {
            let packet = speaker.packet(0, false, &tone(*hertz, peak, from));
            speaker.seq = speaker.seq.wrapping_add(1);
            speaker.timestamp = speaker.timestamp.wrapping_add(160);
            match speaker.leg {
                AGENT if moving.is_some() => meanwhile.push(packet),
                AGENT if n >= 75 => there.receive(AGENT, peer(AGENT), &packet),
                CUSTOMER | THIRD => there.receive(speaker.leg, peer(speaker.leg), &packet),
                leg => here.receive(leg, peer(leg), &packet),
            }
        }
        from += 160;
        if let Some(moving) = moving.take() {
            there.run_to(there.now + Span::from_ms(8));
            arrive(&mut there, moving);
            meanwhile.drain(..).for_each(|packet| there.receive(AGENT, peer(AGENT), &packet));
        }
        here.run_to(at(0) + Span::from_ms(20) * (n + 1));
        there.run_to(here.now);
        if n == 74 {
            agent_heard = here.heard_by(AGENT);
        }
    }
    // All that is heard is a sum of two tones at most: its slope is their slopes' sum, and the codec's steps.
    let slope = |hertz: f64| TAU * hertz / 8_000.0 * peak;
    let most = (slope(520.0) + slope(430.0)) as i32 + 600;
    let steepest = |heard: &[(Header, Vec<u8>)]| {
        let pcm: Vec<i32> =
            heard.iter().flat_map(|(_, payload)| payload.iter().map(|byte| i32::from(Law::Mu.decode(*byte)))).collect();
        pcm.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max().unwrap_or(0)
    };
    agent_heard.extend(there.heard_by(AGENT));
    for pair in numbers(&agent_heard).windows(2) {
        assert_eq!(pair[1].0, pair[0].0.wrapping_add(1), "no number is left out");
    }
    let heard = [agent_heard, there.heard_by(CUSTOMER), there.heard_by(THIRD), here.heard_by(boss)];
    let steps: Vec<i32> = heard.iter().map(|heard| steepest(heard)).collect();
    println!("steepest steps {steps:?}, {most} at most");
    assert!(steps.iter().all(|step| *step <= most), "a click: {steps:?}, {most} at most");
    assert!(heard.iter().all(|heard| heard.len() >= 145), "{:?}", heard.iter().map(Vec::len).collect::<Vec<_>>());
}

#[test]
fn a_leg_that_nobody_wants_any_more_when_it_comes_is_closed_and_one_that_never_comes_holds_up_no_plan() {
    let (mut here, mut there) = floors();
    there.command(joined(2, Tick::MAX));
    there.command(MediaCommand::Close(OTHER));
    let moving = leave(&mut here);
    there.events();
    arrive(&mut there, moving);
    assert!(matches!(there.events()[..], [MediaEvent::LegClosed { call: OTHER, leg: AGENT, .. }]));
    assert_eq!((there.worker.figures().legs, there.network.open.len()), (0, 0));

    let (mut here, mut there) = floors();
    assert_eq!(here.worker.part(here.now, &Move { leg: LegId(99), ..GOES }), Parted::Gone);
    there.command(joined(2, Tick::MAX));
    there.worker.miss(&mut there.network, there.now, OTHER, AGENT);
    assert!(is_whole(&there.events(), 2));
    // Told before the plan, too.
    there.worker.miss(&mut there.network, there.now, OTHER, LegId(9));
    let edges = vec![hears(CUSTOMER, LegId(9), Tick::MAX)];
    there.command(other(3, vec![pcmu(CUSTOMER), comes(pcmu(LegId(9)))], edges));
    assert!(is_whole(&there.events(), 3));
}

#[test]
fn a_leg_moves_between_two_calls_of_one_worker_at_once() {
    let mut floor = Floor::new();
    floor.command(talk(1, Tick::MAX));
    let (mut agent, mut customer) = (Speaker::new(AGENT), Speaker::new(CUSTOMER));
    agent.say(&mut floor);
    assert_eq!(floor.heard_by(CALLER).len(), 1);
    floor.command(MediaCommand::Move(GOES));
    let since = floor.now;
    let between = agent.say(&mut floor);
    floor.command(joined(1, since));
    assert!(is_whole(&floor.events(), 1));
    let after = agent.say(&mut floor);
    customer.say(&mut floor);
    let words: Vec<Vec<u8>> = floor.heard_by(CUSTOMER).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(words, [between, after]);
    floor.command(MediaCommand::Close(CALL));
    let closed = floor.events().iter().filter(|event| matches!(event, MediaEvent::LegClosed { .. })).count();
    assert_eq!((closed, floor.worker.figures().legs), (1, 2), "the one who stayed alone is closed");
}
