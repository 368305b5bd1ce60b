//! How loud a leg's peer speaks, as it is told: in relayed G.711 and in what is mixed; and who sends nothing but silence.

mod harness;

use harness::*;
use offhook_codec::Law;
use offhook_codec::opus::{Encoded, Encoder, PACKET_BYTES_MAX, Settings};
use offhook_plan::{CodecKind, LevelReport, MediaCommand, MediaEvent, Negotiated};
use offhook_units::{LegId, SampleRate, Span, Tick};

/// 20 ms of a tone of 500 Hz with this peak, from the `n`th packet on.
fn tone(peak: f64, n: u64) -> Vec<i16> {
    (0..160).map(|at| (peak * (core::f64::consts::TAU * (n * 160 + at) as f64 / 16.0).sin()) as i16).collect()
}

/// The leg's levels as they are told, and whether it is quiet.
fn levels(floor: &mut Floor, of: LegId) -> Vec<(LevelReport, bool)> {
    let told = floor.events().into_iter().filter_map(|event| match event {
        MediaEvent::Level { call: CALL, leg, level, quiet } if leg == of => Some((level, quiet)),
        _ => None,
    });
    told.collect()
}

/// The caller says PCMU for so many seconds: a tone for `on` packets of each second, and silence in the rest.
fn say(floor: &mut Floor, caller: &mut Speaker, seconds: u64, on: u64) {
    for n in 0..seconds * 50 {
        let pcm = if n % 50 < on { tone(3_276.0, n) } else { vec![0; 160] };
        let payload: Vec<u8> = pcm.iter().map(|sample| Law::Mu.encode(*sample)).collect();
        let packet = caller.packet(0, false, &payload);
        (caller.seq, caller.timestamp) = (caller.seq.wrapping_add(1), caller.timestamp.wrapping_add(160));
        floor.receive(CALLER, peer(CALLER), &packet);
        floor.run_to(floor.now + Span::from_ms(20));
        floor.network.sent.clear();
    }
}

#[test]
fn a_relayed_tone_of_minus_23_dbov_in_half_of_each_second_is_told_as_such_and_once() {
    let mut floor = Floor::new();
    floor.command(talk(1, Tick::MAX));
    let mut caller = Speaker::new(CALLER);
    say(&mut floor, &mut caller, 60, 25);
    let told = levels(&mut floor, CALLER);
    let (last, quiet) = told.last().unwrap();
    // 200 ms after each word belong to it: 7 of 10, with half the power in them.
    assert!((-250..-238).contains(&last.speech_dbov_x10.unwrap()) && !quiet, "{last:?}");
    assert!((65..75).contains(&last.active_percent().unwrap()), "{last:?}");
    assert!(told.len() <= 3, "{} times", told.len());
    floor.command(MediaCommand::Close(CALL));
    let (end, _) = levels(&mut floor, CALLER)[0];
    assert_eq!(end.measured_ms, 60_000);
    assert_eq!(levels(&mut floor, AGENT), [], "nothing came from there");
}

#[test]
fn who_sends_nothing_but_silence_is_told_quiet_after_20_s_and_heard_again_within_5() {
    let mut floor = Floor::new();
    floor.command(talk(1, Tick::MAX));
    let mut caller = Speaker::new(CALLER);
    say(&mut floor, &mut caller, 10, 50);
    say(&mut floor, &mut caller, 19, 0);
    assert!(levels(&mut floor, CALLER).iter().all(|(_, quiet)| !quiet));
    say(&mut floor, &mut caller, 7, 0);
    assert!(levels(&mut floor, CALLER).last().unwrap().1);
    say(&mut floor, &mut caller, 6, 1);
    assert!(!levels(&mut floor, CALLER).last().unwrap().1);
}

#[test]
fn a_leg_of_silence_has_no_level_and_speaks_none_of_the_time() {
    let mut floor = Floor::new();
    floor.command(talk(1, Tick::MAX));
    let mut caller = Speaker::new(CALLER);
    say(&mut floor, &mut caller, 6, 0);
    let (level, _) = levels(&mut floor, CALLER)[0];
    assert_eq!((level.speech_dbov_x10, level.active_percent()), (None, Some(0)));
}

#[test]
fn opus_that_goes_through_the_mix_is_measured_there_within_1_db() {
    let mut floor = Floor::new();
    let opus = Negotiated {
        codec: CodecKind::Opus,
        send_payload_type: 96,
        recv_payload_type: 96,
        ..agreed(AGENT, CodecKind::Pcmu)
    };
    let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
    floor.command(plan(1, vec![pcmu(CALLER), leg_plan(AGENT, Some(opus))], edges, vec![]));
    let mut encoder = Encoder::new(&Settings::voice(SampleRate::NARROW)).unwrap();
    let mut agent = Speaker::new(AGENT);
    for n in 0..500 {
        let mut out = vec![0; PACKET_BYTES_MAX];
        let Encoded::Packet(bytes) = encoder.encode(&tone(3_276.0, n), &mut out).unwrap() else { panic!("a pause") };
        let packet = agent.packet(96, false, &out[..bytes]);
        (agent.seq, agent.timestamp) = (agent.seq.wrapping_add(1), agent.timestamp.wrapping_add(960));
        floor.receive(AGENT, peer(AGENT), &packet);
        floor.run_to(floor.now + Span::from_ms(20));
        floor.network.sent.clear();
    }
    floor.command(MediaCommand::Close(CALL));
    let (level, quiet) = *levels(&mut floor, AGENT).last().unwrap();
    assert!((-240..-220).contains(&level.speech_dbov_x10.unwrap()) && !quiet, "{level:?}");
    assert!(level.active_percent().unwrap() > 95, "{level:?}");
}
