//! Both directions of a leg go to recorders outside, packet by packet.

mod harness;

use harness::*;
use offhook_codec::Transcoder;
use offhook_codec::{Coding, Law};
use offhook_plan::tap::Side;
use offhook_plan::{CodecKind, Direction, Edge, Fork, LegPlan, MediaCommand, MediaPlan, Negotiated, Tap};
use offhook_rtp::Header;
use offhook_units::{LegId, RecordingId, Span, Tick};

/// The recorder's legs: what the caller says, and what the caller is sent.
const SAID: LegId = LegId(11);
const SENT: LegId = LegId(12);

fn recorder(leg: LegId, codec: CodecKind) -> LegPlan {
    let agreed = Negotiated { direction: Direction::SendOnly, telephone_event: None, ..agreed(leg, codec) };
    leg_plan(leg, Some(agreed))
}

fn forked(generation: u32, codec: CodecKind, edges: Vec<Edge>, on: bool) -> MediaCommand {
    let legs = vec![pcmu(CALLER), pcmu(AGENT), recorder(SAID, codec), recorder(SENT, codec)];
    let forks = [(Side::Heard, SAID), (Side::Sent, SENT)].map(|(side, to)| Fork { leg: CALLER, side, to });
    let forks = if on { forks.to_vec() } else { Vec::new() };
    MediaCommand::Apply(Box::new(MediaPlan { call: CALL, generation, legs, edges, taps: tapped(), forks }))
}

fn both_ways() -> Vec<Edge> {
    vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)]
}

fn payloads(heard: &[(Header, Vec<u8>)]) -> Vec<Vec<u8>> {
    heard.iter().map(|(_, payload)| payload.clone()).collect()
}

/// Whether the numbers of a stream follow each other without a gap, and all have one source.
#[track_caller]
fn assert_whole(heard: &[(Header, Vec<u8>)]) {
    for pair in heard.windows(2) {
        assert_eq!(pair[1].0.seq.distance(pair[0].0.seq), 1, "{pair:?}");
        assert!(pair[1].0.timestamp.distance(pair[0].0.timestamp) > 0, "{pair:?}");
        assert_eq!(pair[1].0.ssrc, pair[0].0.ssrc);
    }
}

#[test]
fn each_direction_goes_outside_as_it_is_through_talk_hold_music_and_talk_again() {
    let mut floor = Floor::new();
    floor.command(forked(1, CodecKind::Pcmu, both_ways(), true));
    let (mut caller, mut agent) = (Speaker::new(CALLER), Speaker::new(AGENT));
    let (mut said, mut was_sent) = (Vec::new(), Vec::new());
    for n in 0..150_u64 {
        floor.run_to(at(n * 20));
        match n {
            50 => floor.command(forked(2, CodecKind::Pcmu, vec![plays(CALLER, 1, &[0], true)], true)),
            100 => floor.command(forked(3, CodecKind::Pcmu, both_ways(), true)),
            _ => {}
        }
        said.push(caller.say(&mut floor));
        agent.say(&mut floor);
        was_sent.extend(payloads(&floor.heard_by(CALLER)));
    }
    let (outside_said, outside_sent) = (floor.heard_by(SAID), floor.heard_by(SENT));
    assert_eq!(payloads(&outside_said), said);
    assert_eq!(payloads(&outside_sent), was_sent);
    assert!(was_sent.len() >= 148, "{}", was_sent.len());
    assert_whole(&outside_said);
    assert_whole(&outside_sent);
    assert_ne!(outside_said[0].0.ssrc, outside_sent[0].0.ssrc);
    // The recorder inside has the same, and nobody else heard a thing of it.
    assert_eq!(floor.recorded().len(), said.len() + was_sent.len());
}

#[test]
fn a_pause_sends_nothing_outside_and_the_streams_go_on_after_it() {
    let mut floor = Floor::new();
    let mut caller = Speaker::new(CALLER);
    floor.command(forked(1, CodecKind::Pcmu, both_ways(), true));
    let mut heard = Vec::new();
    for n in 0..30_u64 {
        floor.run_to(at(n * 20));
        match n {
            10 => floor.command(forked(2, CodecKind::Pcmu, both_ways(), false)),
            20 => floor.command(forked(3, CodecKind::Pcmu, both_ways(), true)),
            _ => {}
        }
        caller.say(&mut floor);
        heard.extend(floor.heard_by(SAID));
    }
    assert_eq!(heard.len(), 20);
    assert_whole(&heard);
    // The pause is time gone on the stream's time line.
    assert_eq!(heard[10].0.timestamp.distance(heard[9].0.timestamp), 11 * 160);
    assert!(heard[10].0.marker);
}

#[test]
fn whoever_is_only_recorded_is_held_for_the_one_who_answers() {
    let mut floor = Floor::new();
    floor.command(forked(1, CodecKind::Pcmu, Vec::new(), true));
    let mut caller = Speaker::new(CALLER);
    let first = caller.say(&mut floor);
    floor.run_to(at(20));
    let second = caller.say(&mut floor);
    floor.command(forked(2, CodecKind::Pcmu, vec![hears(AGENT, CALLER, Tick::ZERO)], true));
    assert_eq!(payloads(&floor.heard_by(AGENT)), [first.clone(), second.clone()]);
    // What was held is not said twice to the recorder.
    assert_eq!(payloads(&floor.heard_by(SAID)), [first, second]);
}

#[test]
fn a_recorder_with_the_other_law_gets_it_turned_and_keys_are_closed_up() {
    let mut floor = Floor::new();
    floor.command(forked(1, CodecKind::Pcma, both_ways(), true));
    let mut caller = Speaker::new(CALLER);
    let mut expected = Vec::new();
    let mut turn = Transcoder::new(Coding::G711(Law::Mu), Coding::G711(Law::A)).unwrap();
    for n in 0..6_u64 {
        floor.run_to(at(n * 20));
        if n == 3 {
            let key = caller.packet(101, true, &[5, 10, 0, 160]);
            caller.seq += 1;
            floor.receive(CALLER, peer(CALLER), &key);
        }
        let mut payload = caller.say(&mut floor);
        turn.payload(&mut payload);
        expected.push(payload);
    }
    let heard = floor.heard_by(SAID);
    assert_eq!(payloads(&heard), expected);
    assert!(heard.iter().all(|(header, _)| header.payload_type == 8));
    assert_whole(&heard);
}

#[test]
fn a_stream_taken_for_another_call_is_recorded_as_the_side_that_the_plan_says() {
    let mut floor = Floor::new();
    let receives = |leg| {
        let agreed = Negotiated { direction: Direction::RecvOnly, ..agreed(leg, CodecKind::Pcmu) };
        leg_plan(leg, Some(agreed))
    };
    let tap = |leg, heard_as| Tap { leg, recording: RecordingId(3), heard_as };
    let taps = vec![tap(CALLER, Side::Heard), tap(AGENT, Side::Sent)];
    floor.command(plan(1, vec![receives(CALLER), receives(AGENT)], Vec::new(), taps));
    let (one, other) = (Speaker::new(CALLER).say(&mut floor), Speaker::new(AGENT).say(&mut floor));
    let recorded: Vec<_> = floor.recorded().into_iter().map(|(head, payload)| (head.side, payload)).collect();
    assert_eq!(recorded, [(Side::Heard, one), (Side::Sent, other)]);
}

#[test]
fn forks_that_would_go_round_are_not_laid() {
    let mut floor = Floor::new();
    let legs = vec![pcmu(CALLER), pcmu(AGENT)];
    let fork = |leg, to| Fork { leg, side: Side::Sent, to };
    let forks = vec![fork(CALLER, AGENT), fork(AGENT, CALLER)];
    let edges = vec![plays(CALLER, 1, &[0], true)];
    let taps = Vec::new();
    floor.command(MediaCommand::Apply(Box::new(MediaPlan { call: CALL, generation: 1, legs, edges, taps, forks })));
    floor.run_to(floor.now + Span::from_ms(100));
    assert!(floor.heard_by(AGENT).is_empty());
}
