//! Keys of legs without telephone-events: heard in their speech, and made to sound in what they are sent.

mod harness;

use harness::*;
use offhook_codec::{Coding, Encoder, KeyDetector, NarrowDecoder, NarrowEncoder, Tone};
use offhook_plan::{CodecKind, DigitSource, LegPlan, MediaEvent};
use offhook_rtp::TelephoneEvent;
use offhook_units::{LegId, SampleRate, Span, Tick};

const CARRIED: [CodecKind; 3] = [CodecKind::Pcmu, CodecKind::Pcma, CodecKind::G722];

fn coding_of(codec: CodecKind) -> Coding {
    offhook_media::coding_of(codec).unwrap()
}

/// A leg that agreed on no telephone-events.
fn without_events(leg: LegId, codec: CodecKind) -> LegPlan {
    let mut plan = leg_plan(leg, Some(agreed(leg, codec)));
    plan.negotiated.as_mut().unwrap().telephone_event = None;
    plan
}

/// Keys as tones of `on_ms` with pauses of `off_ms`, in a coding, a second of silence behind them.
fn tones(keys: &str, on_ms: u64, off_ms: u64, coding: Coding) -> Vec<u8> {
    let mut pcm = vec![0; 333];
    for key in keys.chars() {
        let mut tone = vec![0; on_ms as usize * 8];
        Tone::held_key(SampleRate::NARROW, key).unwrap().fill(&mut tone);
        pcm.extend(tone);
        pcm.resize(pcm.len() + off_ms as usize * 8, 0);
    }
    pcm.resize((pcm.len() / 160 + 50) * 160, 0);
    let mut bytes = vec![0; pcm.len()];
    NarrowEncoder::in_mid_stream(coding).encode(&pcm, &mut bytes);
    bytes
}

/// Says `speech` in packets of 20 ms; those of which `comes` says so arrive.
fn say(floor: &mut Floor, speaker: &mut Speaker, speech: &[u8], comes: impl Fn(usize) -> bool) {
    for (n, payload) in speech.chunks_exact(160).enumerate() {
        let packet = speaker.packet(speaker.payload_type, false, payload);
        if comes(n) {
            floor.receive(speaker.leg, peer(speaker.leg), &packet);
        }
        speaker.seq = speaker.seq.wrapping_add(1);
        speaker.timestamp = speaker.timestamp.wrapping_add(160);
        floor.run_to(floor.now + Span::from_ms(20));
    }
}

fn told(floor: &mut Floor) -> Vec<(char, DigitSource)> {
    let key = |event| if let MediaEvent::Digit { digit, source, .. } = event { Some((digit, source)) } else { None };
    floor.events().into_iter().filter_map(key).collect()
}

fn inband(keys: &str) -> Vec<(char, DigitSource)> {
    keys.chars().map(|key| (key, DigitSource::Inband)).collect()
}

/// What sounds in a stream as its listener plays it: packets by their timestamps, gaps as silence.
fn keys_heard(heard: &[(offhook_rtp::Header, Vec<u8>)], codec: CodecKind) -> String {
    let (mut detector, mut decoder) = (KeyDetector::default(), NarrowDecoder::new(coding_of(codec)));
    let (mut keys, mut next) = (String::new(), None);
    for (header, payload) in heard {
        let gap = next.map_or(0, |next| header.timestamp.distance(next));
        assert!(gap >= 0, "two packets for one time");
        detector.feed(&vec![0; gap as usize], |key| keys.push(key));
        let pcm: Vec<i16> = payload.iter().map(|byte| decoder.byte(*byte)).collect();
        detector.feed(&pcm, |key| keys.push(key));
        next = Some(header.timestamp.wrapping_add(payload.len() as u32));
    }
    keys
}

#[test]
fn keys_of_40_ms_are_heard_in_the_speech_of_a_leg_without_events_and_of_no_other() {
    for codec in CARRIED {
        let speech = tones("1337#", 40, 40, coding_of(codec));
        for with_events in [false, true] {
            let mut floor = Floor::new();
            let leg =
                if with_events { leg_plan(CALLER, Some(agreed(CALLER, codec))) } else { without_events(CALLER, codec) };
            floor.command(plan(1, vec![leg], vec![plays(CALLER, 1, &[0], true)], vec![]));
            let mut caller = Speaker { payload_type: codec.static_payload_type().unwrap(), ..Speaker::new(CALLER) };
            say(&mut floor, &mut caller, &speech, |_| true);
            assert_eq!(told(&mut floor), inband(if with_events { "" } else { "1337#" }), "{codec:?}");
        }
    }
}

#[test]
fn one_packet_in_ten_lost_neither_parts_keys_of_100_ms_nor_joins_them() {
    let speech = tones("11223344556677889900", 100, 100, coding_of(CodecKind::Pcma));
    for lost in 0..10 {
        let mut floor = Floor::new();
        floor.command(plan(1, vec![without_events(CALLER, CodecKind::Pcma)], vec![], vec![]));
        let mut caller = Speaker { payload_type: 8, ..Speaker::new(CALLER) };
        say(&mut floor, &mut caller, &speech, |n| n % 10 != lost);
        assert_eq!(told(&mut floor), inband("11223344556677889900"), "packet {lost} of ten is lost");
    }
}

#[test]
fn a_phone_that_sends_nothing_in_pauses_is_heard_and_one_that_begins_anew_as_well() {
    let mut floor = Floor::new();
    floor.command(plan(1, vec![without_events(CALLER, CodecKind::Pcmu)], vec![], vec![]));
    let mut caller = Speaker::new(CALLER);
    let key = tones("5", 80, 0, coding_of(CodecKind::Pcmu));
    for _ in 0..2 {
        say(&mut floor, &mut caller, &key[..960], |_| true);
        caller.timestamp += 800;
        floor.run_to(floor.now + Span::from_ms(100));
    }
    (caller.ssrc, caller.seq, caller.timestamp) = (0x99, 7, 7);
    say(&mut floor, &mut caller, &key, |_| true);
    assert_eq!(told(&mut floor), inband("555"));
}

/// The caller presses a key of `packets` events of 20 ms; `speaks` goes on with silence meanwhile, which some phones do.
fn press(
    floor: &mut Floor,
    caller: &mut Speaker,
    digit: char,
    packets: u16,
    speaks: bool,
    comes: impl Fn(u16) -> bool,
) {
    let (event, begins) = (TelephoneEvent::event_of(digit).unwrap(), caller.timestamp);
    for n in 1..=packets + 2 {
        let duration = 160 * n.min(packets);
        let payload = TelephoneEvent { event, end: n >= packets, volume: 10, duration }.encode();
        if speaks {
            say(floor, caller, &[0xff; 160], |_| true);
        } else {
            floor.run_to(floor.now + Span::from_ms(20));
        }
        let timestamp = std::mem::replace(&mut caller.timestamp, begins);
        let packet = caller.packet(101, n == 1, &payload);
        caller.timestamp = timestamp;
        caller.seq = caller.seq.wrapping_add(1);
        if comes(n) {
            floor.receive(CALLER, peer(CALLER), &packet);
        }
    }
    if !speaks {
        caller.timestamp = begins.wrapping_add(160 * u32::from(packets + 2));
    }
}

#[test]
fn keys_sent_as_events_sound_for_a_leg_without_events_in_its_coding_and_once_each() {
    for codec in CARRIED {
        for speaks in [false, true] {
            for lost in [None, Some(1), Some(2), Some(4)] {
                let mut floor = Floor::new();
                let edges = vec![hears(AGENT, CALLER, Tick::MAX)];
                floor.command(plan(1, vec![pcmu(CALLER), without_events(AGENT, codec)], edges, vec![]));
                let mut caller = Speaker::new(CALLER);
                say(&mut floor, &mut caller, &[0xff; 1_600], |_| true);
                for digit in "1990".chars() {
                    press(&mut floor, &mut caller, digit, 5, speaks, |n| Some(n) != lost);
                    say(&mut floor, &mut caller, &[0xff; 1_600], |_| true);
                }
                let heard = floor.heard_by(AGENT);
                assert_eq!(keys_heard(&heard, codec), "1990", "{codec:?}, speaks {speaks}, lost {lost:?}");
                let types_agree = heard.iter().all(|(h, _)| Some(h.payload_type) == codec.static_payload_type());
                assert!(types_agree, "{codec:?}");
                let gaps = heard.windows(2).filter(|pair| pair[1].0.seq.distance(pair[0].0.seq) != 1).count();
                assert_eq!(gaps, if lost.is_some() { 4 } else { 0 }, "{codec:?}, speaks {speaks}, lost {lost:?}");
                assert_eq!(told(&mut floor).len(), 4);
            }
        }
    }
}

#[test]
fn a_press_of_one_event_of_20_ms_sounds_for_50_ms_and_one_of_3_s_for_3_s() {
    for (packets, samples) in [(1, 400), (150, 24_000)] {
        let mut floor = Floor::new();
        let legs = vec![pcmu(CALLER), without_events(AGENT, CodecKind::Pcmu)];
        floor.command(plan(1, legs, vec![hears(AGENT, CALLER, Tick::MAX)], vec![]));
        let mut caller = Speaker::new(CALLER);
        press(&mut floor, &mut caller, '7', packets, false, |_| true);
        let heard = floor.heard_by(AGENT);
        assert_eq!(heard.iter().map(|(_, payload)| payload.len()).sum::<usize>(), samples);
        assert!(heard.windows(2).all(|pair| pair[1].0.timestamp.distance(pair[0].0.timestamp) == 160));
    }
}

#[test]
fn keys_that_sound_are_recorded_as_sent() {
    let mut floor = Floor::new();
    let legs = vec![without_events(CALLER, CodecKind::Pcmu), pcmu(AGENT)];
    floor.command(plan(1, legs, vec![hears(CALLER, AGENT, Tick::MAX)], tapped()));
    let event = TelephoneEvent { event: 5, end: true, volume: 10, duration: 320 }.encode();
    let packet = Speaker::new(AGENT).packet(101, true, &event);
    floor.receive(AGENT, peer(AGENT), &packet);
    let sent = floor.heard_by(CALLER);
    assert_eq!(floor.recorded().iter().map(|(_, payload)| payload).collect::<Vec<_>>(), [&sent[0].1]);
}
