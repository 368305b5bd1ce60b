//! What callers and agents hear: relay, players, early packets, recording.

mod harness;

use harness::*;
use offhook_plan::tap::Side;
use offhook_plan::{CodecKind, Direction, MediaCommand, MediaEvent};
use offhook_units::{PlayerId, Span, Tick};

/// Numbers go on by one, time goes on by 160 samples, under one source.
fn assert_continuous(heard: &[(offhook_rtp::Header, Vec<u8>)]) {
    for pair in heard.windows(2) {
        let ((a, _), (b, _)) = (&pair[0], &pair[1]);
        assert_eq!((b.seq.distance(a.seq), b.timestamp.distance(a.timestamp), b.ssrc), (1, 160, a.ssrc), "{a:?} {b:?}");
    }
}

#[test]
fn from_music_to_talk_no_word_is_lost_and_the_stream_stays_one() {
    let mut floor = Floor::new();
    let (mut caller, mut agent) = (Speaker::new(CALLER), Speaker::new(AGENT));
    floor.command(plan(1, vec![pcmu(CALLER)], vec![plays(CALLER, 1, &[0], true)], tapped()));
    let mut caller_said = Vec::new();
    for n in 0..50 {
        floor.run_to(at(n * 20));
        caller_said.push(caller.say(&mut floor));
    }
    // The agent answers: its leg is open and speaks before the plan says that they hear each other.
    let answered = at(1_005);
    floor.run_to(answered);
    floor.command(plan(2, vec![pcmu(CALLER), pcmu(AGENT)], vec![plays(CALLER, 1, &[0], true)], tapped()));
    let mut agent_said = Vec::new();
    for n in 0..5 {
        floor.run_to(at(1_010 + n * 20));
        agent_said.push(agent.say(&mut floor));
        caller_said.push(caller.say(&mut floor));
    }
    floor.command(talk(3, answered));
    for n in 0..100 {
        floor.run_to(at(1_110 + n * 20));
        agent_said.push(agent.say(&mut floor));
        caller_said.push(caller.say(&mut floor));
    }
    let to_caller = floor.heard_by(CALLER);
    let to_agent = floor.heard_by(AGENT);
    assert_continuous(&to_caller);
    assert_continuous(&to_agent);
    let music = to_caller.len() - agent_said.len();
    assert!((52..=57).contains(&music), "{music}");
    let words: Vec<_> = to_caller[music..].iter().map(|(_, payload)| payload.clone()).collect();
    assert_eq!(words, agent_said);
    assert_eq!(to_caller.iter().map(|(h, _)| h.marker).filter(|m| *m).count(), 2);
    assert!(to_caller[music].0.marker);
    // The agent hears what the caller said from the answer on, not what was said to the music before it.
    let words: Vec<_> = to_agent.iter().map(|(_, payload)| payload.clone()).collect();
    assert_eq!(words, caller_said[50..]);

    let recorded = floor.recorded();
    let side = |side| recorded.iter().filter(move |(h, _)| h.side == side).map(|(_, p)| p.clone()).collect::<Vec<_>>();
    assert_eq!(side(Side::Heard), caller_said);
    assert_eq!(side(Side::Sent), to_caller.iter().map(|(_, p)| p.clone()).collect::<Vec<_>>());
    let sent: Vec<_> =
        recorded.iter().filter(|(h, _)| h.side == Side::Sent).map(|(h, _)| (h.seq, h.timestamp, h.ssrc)).collect();
    assert_eq!(sent, to_caller.iter().map(|(h, _)| (h.seq.0, h.timestamp.0, h.ssrc)).collect::<Vec<_>>());
    assert!(recorded.iter().all(|(h, _)| h.recording == RECORDING && h.leg == CALLER && h.dropped_before == 0));
}

#[test]
fn packets_before_the_agreement_are_held_32_at_most_and_none_older_than_since() {
    let mut floor = Floor::new();
    let mut agent = Speaker::new(AGENT);
    floor.command(plan(1, vec![pcmu(CALLER), leg_plan(AGENT, None)], vec![], vec![]));
    let mut said = Vec::new();
    for n in 0..40 {
        floor.run_to(at(n * 20));
        said.push(agent.say(&mut floor));
    }
    assert!(floor.heard_by(CALLER).is_empty());
    floor.command(talk(2, at(0)));
    let heard: Vec<_> = floor.heard_by(CALLER).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(heard, said[8..]);
    assert_eq!(floor.worker.figures().held_overwritten, 8);

    let mut floor = Floor::new();
    let mut agent = Speaker::new(AGENT);
    floor.command(plan(1, vec![pcmu(CALLER), pcmu(AGENT)], vec![], vec![]));
    for n in 0..10 {
        floor.run_to(at(n * 20));
        agent.say(&mut floor);
    }
    floor.command(talk(2, Tick::MAX));
    assert!(floor.heard_by(CALLER).is_empty());
}

#[test]
fn loss_and_lateness_of_the_source_stay_visible_and_doubles_go() {
    let mut floor = Floor::new();
    let mut agent = Speaker::new(AGENT);
    floor.command(talk(1, Tick::MAX));
    let packets: Vec<_> = (0..10).map(|_| agent.speech().0).collect();
    for n in [0, 1, 1, 4, 3, 4, 6_usize, 7] {
        floor.run_to(at(n as u64 * 20));
        floor.receive(AGENT, peer(AGENT), &packets[n]);
    }
    let heard = floor.heard_by(CALLER);
    let steps: Vec<_> =
        heard.iter().map(|(h, _)| (h.seq.0.wrapping_sub(65_530), (h.timestamp.0 - 1_000) / 160)).collect();
    assert_eq!(steps, [(0, 0), (1, 1), (4, 4), (3, 3), (6, 6), (7, 7)]);
    floor.command(MediaCommand::Close(CALL));
    let report = floor.events().into_iter().find_map(|event| match event {
        MediaEvent::LegClosed { leg: AGENT, report, .. } => Some(report),
        _ => None,
    });
    let report = report.unwrap();
    assert_eq!((report.received_packets, report.lost_packets, report.duplicate_packets), (6, 2, 2));
}

#[test]
fn another_source_or_a_jump_of_its_numbers_in_mid_call_keeps_the_stream_one() {
    let mut floor = Floor::new();
    let mut agent = Speaker::new(AGENT);
    floor.command(talk(1, Tick::MAX));
    for n in 0..40_u64 {
        floor.run_to(at(n * 20));
        match n {
            10 => (agent.ssrc, agent.seq, agent.timestamp) = (77, 30_000, 9),
            20 => agent.timestamp = agent.timestamp.wrapping_add(1_000_000_000),
            30 => agent.seq = agent.seq.wrapping_add(20_000),
            _ => {}
        }
        agent.say(&mut floor);
    }
    let heard = floor.heard_by(CALLER);
    // A jump of the numbers is believed at its second packet (RFC 3550 A.1), so that one packet is missing.
    assert_eq!(heard.len(), 39);
    for (n, pair) in heard.windows(2).enumerate() {
        let ((a, _), (b, _)) = (&pair[0], &pair[1]);
        assert_eq!((b.ssrc, b.seq.distance(a.seq)), (a.ssrc, 1));
        let step = b.timestamp.distance(a.timestamp);
        assert!(step == 160 || (step == 320 && n == 29), "{n}: {step}");
    }
    let marked: Vec<_> = heard.iter().enumerate().filter(|(_, (h, _))| h.marker).map(|(n, _)| n).collect();
    assert_eq!(marked, [0, 10, 20, 30]);
}

#[test]
fn unequal_codecs_are_translated_and_equal_ones_are_not_touched() {
    let mut floor = Floor::new();
    let (mut caller, mut agent) = (Speaker::new(CALLER), Speaker::new(AGENT));
    agent.payload_type = 8;
    let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
    let legs = vec![pcmu(CALLER), leg_plan(AGENT, Some(agreed(AGENT, CodecKind::Pcma)))];
    floor.command(plan(1, legs, edges, vec![]));
    let (from_caller, from_agent) = (caller.say(&mut floor), agent.say(&mut floor));
    let (header, payload) = &floor.heard_by(CALLER)[0];
    let table = offhook_codec::Law::A.to_other();
    assert_eq!((header.payload_type, payload.clone()), (0, from_agent.iter().map(|b| table[*b as usize]).collect()));
    let (header, payload) = &floor.heard_by(AGENT)[0];
    let table = offhook_codec::Law::Mu.to_other();
    assert_eq!((header.payload_type, payload.clone()), (8, from_caller.iter().map(|b| table[*b as usize]).collect()));
}

#[test]
fn one_voice_is_heard_by_several_legs_untouched() {
    let third = offhook_units::LegId(3);
    let mut floor = Floor::new();
    let mut caller = Speaker::new(CALLER);
    let legs = vec![pcmu(CALLER), leg_plan(AGENT, Some(agreed(AGENT, CodecKind::Pcma))), pcmu(third)];
    let edges = vec![hears(AGENT, CALLER, Tick::MAX), hears(third, CALLER, Tick::MAX)];
    floor.command(plan(1, legs, edges, vec![]));
    let said = caller.say(&mut floor);
    assert_eq!(floor.heard_by(AGENT).len(), 1);
    assert_eq!(floor.heard_by(third)[0].1, said);
}

#[test]
fn a_prompt_ends_once_and_a_player_kept_in_a_later_plan_plays_on() {
    let mut floor = Floor::new();
    floor.command(plan(1, vec![pcmu(CALLER)], vec![plays(CALLER, 1, &[1], false)], vec![]));
    floor.run_to(at(30));
    floor.command(plan(2, vec![pcmu(CALLER)], vec![plays(CALLER, 1, &[1], false)], vec![]));
    floor.run_to(at(500));
    floor.command(plan(3, vec![pcmu(CALLER)], vec![plays(CALLER, 1, &[1], false)], vec![]));
    floor.run_to(at(600));
    let heard = floor.heard_by(CALLER);
    assert_eq!(heard.len(), 3);
    assert_continuous(&heard);
    assert!(heard[2].1[80..].iter().all(|byte| *byte == 0xff));
    let finished =
        floor.events().iter().filter(|e| matches!(e, MediaEvent::PlayerFinished { player: PlayerId(1), .. })).count();
    assert_eq!(finished, 1);
}

#[test]
fn a_worker_that_woke_late_keeps_the_music_on_time() {
    let mut floor = Floor::new();
    floor.command(plan(1, vec![pcmu(CALLER)], vec![plays(CALLER, 1, &[0], true)], vec![]));
    floor.run_to(at(100));
    // The thread sleeps through a second.
    floor.now = at(1_100);
    floor.run_to(at(1_200));
    let heard = floor.heard_by(CALLER);
    let (first, last) = (heard.first().unwrap().0, heard.last().unwrap().0);
    let gone = last.timestamp.distance(first.timestamp) / 8;
    assert!((1_140..=1_220).contains(&gone), "{gone} ms of music in 1,200 ms");
    for pair in heard.windows(2) {
        assert_eq!(pair[1].0.seq.distance(pair[0].0.seq), 1);
    }
}

#[test]
fn a_held_leg_is_sent_nothing_and_goes_on_when_it_is_resumed() {
    let mut floor = Floor::new();
    let mut agent = Speaker::new(AGENT);
    floor.command(talk(1, Tick::MAX));
    let held = Direction::RecvOnly;
    for n in 0..30_u64 {
        floor.run_to(at(n * 20));
        let direction = if (10..20).contains(&n) { held } else { Direction::SendRecv };
        if n % 10 == 0 && n > 0 {
            let mut leg = pcmu(CALLER);
            leg.negotiated.as_mut().unwrap().direction = direction;
            let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
            floor.command(plan(2 + n as u32, vec![leg, pcmu(AGENT)], edges, vec![]));
        }
        agent.say(&mut floor);
    }
    let heard = floor.heard_by(CALLER);
    assert_eq!(heard.len(), 20);
    let steps: Vec<_> = heard
        .windows(2)
        .map(|p| (p[1].0.seq.distance(p[0].0.seq), p[1].0.timestamp.distance(p[0].0.timestamp)))
        .collect();
    assert!(
        steps.iter().enumerate().all(|(n, step)| *step == if n == 9 { (1, 11 * 160) } else { (1, 160) }),
        "{steps:?}"
    );
}

#[test]
fn a_full_recorders_ring_drops_the_newest_and_says_how_many() {
    let limits = offhook_media::Limits { tap_ring_bytes: 2_000, ..Default::default() };
    let mut floor = Floor::with(limits);
    let mut caller = Speaker::new(CALLER);
    floor.command(plan(1, vec![pcmu(CALLER)], vec![], tapped()));
    for n in 0..20_u64 {
        floor.run_to(at(n * 20));
        caller.say(&mut floor);
    }
    // One chunk, which goes to the recorder with the first packet and is not given back.
    let kept: Vec<u16> = floor.recorded().iter().map(|(header, _)| header.seq).collect();
    assert_eq!((kept, floor.worker.figures().tap_dropped), (vec![100], 19));
    caller.say(&mut floor);
    assert_eq!(floor.recorded()[0].0.dropped_before, 19);
}

#[test]
fn a_record_is_the_recorders_within_10_ms_and_the_last_ones_are_when_the_call_ends() {
    let mut floor = Floor::new();
    let mut caller = Speaker::new(CALLER);
    floor.command(plan(1, vec![pcmu(CALLER)], vec![], tapped()));
    let read = |floor: &mut Floor| floor.tap.drain(usize::MAX, |_, _| ());
    for n in 1..=3 {
        let said = 100 * n;
        floor.run_to(at(said));
        caller.say(&mut floor);
        floor.run_to(at(said));
        assert_eq!(read(&mut floor), 1, "at once, since none was handed over for long");
        caller.say(&mut floor);
        floor.run_to(at(said + 9));
        assert_eq!(read(&mut floor), 0);
        floor.run_to(at(said + 10));
        assert_eq!(read(&mut floor), 1);
    }
    caller.say(&mut floor);
    floor.command(MediaCommand::Close(CALL));
    assert_eq!((read(&mut floor), floor.worker.next_tick()), (1, None));
}

#[test]
fn legs_open_when_they_appear_and_close_when_they_go() {
    let mut floor = Floor::new();
    floor.command(talk(1, Tick::MAX));
    assert_eq!(floor.network.open.len(), 4);
    floor.command(plan(2, vec![pcmu(CALLER)], vec![], vec![]));
    assert_eq!(floor.network.open.len(), 2);
    floor.command(MediaCommand::Close(CALL));
    assert!(floor.network.open.is_empty());
    assert_eq!(floor.worker.next_tick(), None);
    let closed = floor.events().iter().filter(|event| matches!(event, MediaEvent::LegClosed { .. })).count();
    assert_eq!(closed, 2);
}

#[test]
fn a_port_that_cannot_be_opened_is_told_once_and_its_pair_is_closed() {
    let mut floor = Floor::new();
    floor.network.refuse = Some(address(local(AGENT).port() + 1));
    floor.command(talk(1, Tick::MAX));
    floor.command(talk(2, Tick::MAX));
    let failed: Vec<_> =
        floor.events().into_iter().filter(|event| matches!(event, MediaEvent::LegFailed { .. })).collect();
    assert_eq!(failed, [MediaEvent::LegFailed { call: CALL, leg: AGENT, error: "address in use".into() }]);
    assert_eq!(floor.network.open.len(), 2);
}

#[test]
fn legs_over_the_limit_fail_and_do_not_disturb_the_others() {
    let mut floor = Floor::with(offhook_media::Limits { legs_max: 1, ..Default::default() });
    floor.command(talk(1, Tick::MAX));
    assert!(floor.events().iter().any(|event| matches!(event, MediaEvent::LegFailed { leg: AGENT, .. })));
    assert_eq!(floor.worker.figures().legs, 1);
}

#[test]
fn a_silent_leg_is_told_once_until_it_speaks_again() {
    let mut floor = Floor::new();
    let mut caller = Speaker::new(CALLER);
    floor.command(plan(1, vec![pcmu(CALLER)], vec![], vec![]));
    let told = |floor: &mut Floor| -> Vec<bool> {
        let silent = |event| match event {
            MediaEvent::Silent { silent_for, .. } => Some(silent_for <= Span::from_s(2)),
            MediaEvent::HeardAgain { silent_for, .. } => Some(silent_for == Span::from_s(30)),
            _ => None,
        };
        floor.events().into_iter().filter_map(silent).collect()
    };
    floor.run_to(at(30_000));
    assert_eq!(told(&mut floor), [true], "within two seconds");
    caller.say(&mut floor);
    assert_eq!(told(&mut floor), [true], "heard again after 30 s");
    floor.run_to(at(60_000));
    assert_eq!(told(&mut floor), [true]);
    floor.command(MediaCommand::Close(CALL));
    let speech = floor.events().into_iter().find_map(|event| match event {
        MediaEvent::LegClosed { speech, .. } => Some(speech),
        _ => None,
    });
    let speech = speech.expect("how it sounded");
    assert_eq!((speech.silences, speech.silent_us), (2, 60_000_000));
}

#[test]
fn a_leg_that_hears_itself_hears_each_of_its_packets_once_on_a_stream_of_ours() {
    for codec in [CodecKind::Pcmu, CodecKind::Pcma, CodecKind::G722] {
        let mut floor = Floor::new();
        let mut caller = Speaker { payload_type: codec.static_payload_type().unwrap(), ..Speaker::new(CALLER) };
        let leg = leg_plan(CALLER, Some(agreed(CALLER, codec)));
        floor.command(plan(1, vec![leg], vec![hears(CALLER, CALLER, Tick::MAX)], tapped()));
        let mut said = Vec::new();
        for n in 0..100 {
            floor.run_to(at(n * 20));
            said.push(caller.say(&mut floor));
        }
        let heard = floor.heard_by(CALLER);
        assert_continuous(&heard);
        assert_eq!(heard.into_iter().map(|(_, payload)| payload).collect::<Vec<_>>(), said, "{codec:?}");
    }
}
