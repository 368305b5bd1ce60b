//! Opus through the worker: passed on as it is, on a time line of 48,000 a second, and nowhere else.

mod harness;

use harness::*;
use offhook_codec::opus::{Encoded, Encoder, PACKET_BYTES_MAX, Settings};
use offhook_media::SocketKey;
use offhook_plan::{CodecKind, LegPlan, MediaCommand, MediaEvent, Negotiated};
use offhook_rtp::{Header, TelephoneEvent};
use offhook_units::{LegId, RtpSeq, RtpTime, SampleRate, Span, Tick};

const SAMPLES: u32 = 960;

/// A leg of a browser: its own numbers for Opus and for events at 48,000 a second.
fn full(leg: LegId, payload_type: u8, events: u8) -> LegPlan {
    let negotiated = Negotiated {
        codec: CodecKind::Opus,
        send_payload_type: payload_type,
        recv_payload_type: payload_type,
        telephone_event: Some((events, events)),
        ..agreed(leg, CodecKind::Pcmu)
    };
    leg_plan(leg, Some(negotiated))
}

fn talk_of(legs: Vec<LegPlan>) -> MediaCommand {
    plan(1, legs, vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)], vec![])
}

/// Packets of 20 ms, each of another length.
fn packets(count: usize) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(&Settings::voice(SampleRate::WIDE)).unwrap();
    (0..count)
        .map(|n| {
            let pcm: Vec<i16> = (0..320).map(|at| ((at * (n + 3) * 7) % 9_000) as i16 - 4_500).collect();
            let mut out = vec![0; PACKET_BYTES_MAX];
            let Encoded::Packet(bytes) = encoder.encode(&pcm, &mut out).unwrap() else { panic!("a pause") };
            out.truncate(bytes);
            out
        })
        .collect()
}

fn send(floor: &mut Floor, payload_type: u8, seq: u16, timestamp: u32, payload: &[u8]) {
    let (seq, timestamp) = (RtpSeq(seq), RtpTime(timestamp));
    let header = Header { payload_type, marker: false, seq, timestamp, ssrc: 7 };
    let mut packet = vec![0; 12 + payload.len()];
    header.write(payload, &mut packet).unwrap();
    floor.receive(CALLER, peer(CALLER), &packet);
}

#[test]
fn twenty_seconds_of_opus_are_passed_on_byte_for_byte_960_apart_with_the_other_legs_number() {
    let mut floor = Floor::new();
    floor.command(talk_of(vec![full(CALLER, 111, 110), full(AGENT, 96, 97)]));
    let said = packets(50);
    for n in 0..1_000_usize {
        send(&mut floor, 111, 100 + n as u16, 50_000 + n as u32 * SAMPLES, &said[n % said.len()]);
        floor.run_to(floor.now + Span::from_ms(20));
    }
    let heard = floor.heard_by(AGENT);
    assert_eq!(heard.len(), 1_000);
    for (n, (header, payload)) in heard.iter().enumerate() {
        assert_eq!((header.payload_type, payload), (96, &said[n % said.len()]));
        assert_eq!(header.marker, n == 0, "packet {n} is no jump of the source");
        assert_eq!(header.timestamp.distance(heard[0].0.timestamp), n as i32 * SAMPLES as i32);
    }
    floor.command(MediaCommand::Close(CALL));
    let rated = floor.events().into_iter().find_map(|event| match event {
        MediaEvent::LegClosed { leg: CALLER, speech, report, .. } => Some((speech.heard, report.jitter)),
        _ => None,
    });
    let (quality, jitter) = rated.unwrap();
    assert!((quality.good_s, quality.fair_s, quality.poor_s) == (20, 0, 0) && jitter < 48, "{quality:?}, {jitter}");
}

#[test]
fn a_source_that_begins_anew_after_a_second_goes_on_48000_later() {
    let mut floor = Floor::new();
    floor.command(talk_of(vec![full(CALLER, 111, 110), full(AGENT, 96, 97)]));
    let said = packets(1).remove(0);
    send(&mut floor, 111, 1, 0, &said);
    floor.run_to(floor.now + Span::from_s(1));
    let header = Header { payload_type: 111, marker: true, seq: RtpSeq(9), timestamp: RtpTime(77), ssrc: 8 };
    let mut packet = vec![0; 12 + said.len()];
    header.write(&said, &mut packet).unwrap();
    floor.receive(CALLER, peer(CALLER), &packet);
    let heard = floor.heard_by(AGENT);
    assert_eq!(heard[1].0.timestamp.distance(heard[0].0.timestamp), 48_000);
}

#[test]
fn keys_are_told_and_passed_on_with_the_other_legs_number() {
    let mut floor = Floor::new();
    floor.command(talk_of(vec![full(CALLER, 111, 110), full(AGENT, 96, 97)]));
    let event = TelephoneEvent { event: 5, end: false, volume: 10, duration: 960 }.encode();
    send(&mut floor, 110, 1, 500, &event);
    assert_eq!(floor.heard_by(AGENT)[0].0.payload_type, 97);
    let told = floor.events().iter().any(|event| matches!(event, MediaEvent::Digit { digit: '5', .. }));
    assert!(told);
}

#[test]
fn a_leg_of_opus_hears_no_player_which_ends_at_once_and_no_leg_of_another_codec() {
    let mut floor = Floor::new();
    floor.command(plan(1, vec![full(CALLER, 111, 110)], vec![plays(CALLER, 4, &[0], false)], vec![]));
    floor.run_to(at(100));
    let finished = |event: &MediaEvent| matches!(event, MediaEvent::PlayerFinished { .. });
    assert_eq!(floor.events().iter().filter(|event| finished(event)).count(), 1);
    let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
    floor.command(plan(2, vec![full(CALLER, 111, 110), pcmu(AGENT)], edges, vec![]));
    send(&mut floor, 111, 1, 0, &packets(1)[0]);
    Speaker::new(AGENT).say(&mut floor);
    assert!(floor.heard_by(AGENT).is_empty() && floor.heard_by(CALLER).is_empty());
    // Once both have it, they hear each other.
    let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
    floor.command(plan(3, vec![full(CALLER, 111, 110), full(AGENT, 96, 97)], edges, vec![]));
    send(&mut floor, 111, 2, SAMPLES, &packets(1)[0]);
    assert_eq!(floor.heard_by(AGENT).len(), 1);
}

#[test]
fn payloads_that_are_no_opus_are_passed_on_and_stop_nothing() {
    let mut floor = Floor::new();
    floor.command(talk_of(vec![full(CALLER, 111, 110), full(AGENT, 96, 97)]));
    for (n, payload) in [&[][..], &[0x03], &[0xff; 400], &[0x01, 0], &[0x03, 0x3f, 9]].into_iter().enumerate() {
        send(&mut floor, 111, n as u16, n as u32 * SAMPLES, payload);
    }
    send(&mut floor, 111, 5, 5 * SAMPLES, &packets(1)[0]);
    let heard = floor.heard_by(AGENT);
    assert_eq!(heard.last().unwrap().1, packets(1)[0]);
    assert!(floor.worker.next_tick().is_some() && SocketKey::from_index(0).index() == 0);
}
