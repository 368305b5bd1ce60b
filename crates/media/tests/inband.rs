//! Keys of legs without telephone-events: heard in their speech, and made to sound in what they are sent.

mod harness;

use harness::*;
use offhook_codec::{
    Coding, Decoder, Encoder, Form, KeyDetector, Law, NarrowEncoder, SpeechDecoder, SpeechEncoder, Tone, opus,
};
use offhook_plan::{CodecKind, DigitSource, Edge, LegPlan, MediaEvent, Negotiated};
use offhook_rtp::{Header, TelephoneEvent};
use offhook_units::{LegId, SampleRate, Span, Tick};

const CARRIED: [CodecKind; 3] = [CodecKind::Pcmu, CodecKind::Pcma, CodecKind::G722];

fn coding_of(codec: CodecKind) -> Coding {
    offhook_media::coding_of(codec).unwrap()
}

fn form_of(codec: CodecKind) -> Form {
    match codec {
        CodecKind::Pcmu => Form::Bytes(Coding::G711(Law::Mu)),
        CodecKind::Pcma => Form::Bytes(Coding::G711(Law::A)),
        CodecKind::G722 => Form::Bytes(Coding::G722),
        CodecKind::Opus => Form::Opus,
        CodecKind::L16 => Form::Linear,
    }
}

/// The payload type of a codec here.
fn number_of(codec: CodecKind) -> u8 {
    codec.static_payload_type().unwrap_or(97)
}

fn with_events(leg: LegId, codec: CodecKind) -> LegPlan {
    let (send_payload_type, recv_payload_type) = (number_of(codec), number_of(codec));
    let agreed = agreed(leg, CodecKind::Pcmu);
    leg_plan(leg, Some(Negotiated { codec, send_payload_type, recv_payload_type, ..agreed }))
}

/// A leg that agreed on no telephone-events.
fn without_events(leg: LegId, codec: CodecKind) -> LegPlan {
    let mut plan = with_events(leg, codec);
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
fn sound_of(heard: &[(Header, Vec<u8>)], codec: CodecKind) -> Vec<i16> {
    let (mut decoder, times) = (SpeechDecoder::new(form_of(codec)).unwrap(), codec.clock() / 8_000);
    let (mut sound, mut next) = (Vec::new(), None);
    for (header, payload) in heard {
        let gap = next.map_or(0, |next| header.timestamp.distance(next));
        assert!(gap >= 0, "two packets for one time");
        sound.resize(sound.len() + gap as usize / times as usize, 0);
        let mut pcm = [0; 960];
        let count = decoder.decode(payload, &mut pcm);
        sound.extend_from_slice(&pcm[..count]);
        next = Some(header.timestamp.wrapping_add(count as u32 * times));
    }
    sound
}

fn keys_heard(heard: &[(Header, Vec<u8>)], codec: CodecKind) -> String {
    let (mut detector, mut keys) = (KeyDetector::default(), String::new());
    detector.feed(&sound_of(heard, codec), |key| keys.push(key));
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

/// Somebody who presses keys, and is silent between them.
struct Presser {
    speaker: Speaker,
    codec: CodecKind,
    silence: Vec<u8>,
}

impl Presser {
    fn new(leg: LegId, codec: CodecKind) -> Self {
        let mut silence = vec![0; opus::PACKET_BYTES_MAX];
        let bytes = SpeechEncoder::in_mid_stream(form_of(codec)).unwrap().encode(&[0; 160], &mut silence);
        silence.truncate(bytes);
        let speaker = Speaker { payload_type: number_of(codec), ..Speaker::new(leg) };
        Self { speaker, codec, silence }
    }

    fn units(&self, ms: u64) -> u32 {
        self.codec.clock() / 1_000 * ms as u32
    }

    fn send(&mut self, floor: &mut Floor, payload_type: u8, marker: bool, payload: &[u8]) {
        let packet = self.speaker.packet(payload_type, marker, payload);
        self.speaker.seq = self.speaker.seq.wrapping_add(1);
        floor.receive(self.speaker.leg, peer(self.speaker.leg), &packet);
    }

    fn is_silent(&mut self, floor: &mut Floor, ms: u64) {
        for _ in 0..ms / 20 {
            let payload = self.silence.clone();
            self.send(floor, self.speaker.payload_type, false, &payload);
            self.speaker.timestamp = self.speaker.timestamp.wrapping_add(self.units(20));
            floor.run_to(floor.now + Span::from_ms(20));
        }
    }

    /// Holds a key down for `ms`, told every 20 ms, in segments where it is long (RFC 4733 section 2.5.1.3), the end three times.
    /// Those of which `comes` says so arrive.
    fn press(&mut self, floor: &mut Floor, digit: char, ms: u64, comes: impl Fn(u64) -> bool) {
        let (event, begins, whole) = (TelephoneEvent::event_of(digit).unwrap(), self.speaker.timestamp, self.units(ms));
        let packets = ms / 20;
        for n in 1..=packets + 2 {
            floor.run_to(floor.now + Span::from_ms(20));
            let lasts = self.units(20 * n).min(whole);
            let before = lasts.saturating_sub(1) / 65_535 * 65_535;
            self.speaker.timestamp = begins.wrapping_add(before);
            let (end, duration) = (n >= packets, (lasts - before) as u16);
            let payload = TelephoneEvent { event, end, volume: 10, duration }.encode();
            if comes(n) {
                self.send(floor, 101, n == 1, &payload);
            } else {
                self.speaker.seq = self.speaker.seq.wrapping_add(1);
            }
        }
        self.speaker.timestamp = begins.wrapping_add(self.units(20 * (packets + 2)));
    }
}

const BOSS: LegId = LegId(3);
const ALL: [CodecKind; 5] = [CodecKind::Pcmu, CodecKind::Pcma, CodecKind::G722, CodecKind::Opus, CodecKind::L16];

/// The agent hears the caller, and the boss where that is so.
fn listens(floor: &mut Floor, generation: u32, legs: &[LegPlan], more: bool) {
    let boss = more.then(|| hears(AGENT, BOSS, Tick::MAX));
    let edges: Vec<Edge> = [hears(AGENT, CALLER, Tick::MAX)].into_iter().chain(boss).collect();
    floor.command(plan(generation, legs.to_vec(), edges, vec![]));
}

#[test]
fn keys_of_each_codec_sound_for_a_leg_of_each_codec_without_events_once_each_alone_or_in_a_mix() {
    for said in ALL {
        for heard in ALL {
            for mix in [false, true] {
                for lost in [None, Some(1), Some(3), Some(5)] {
                    let mut floor = Floor::new();
                    let legs = [with_events(CALLER, said), without_events(AGENT, heard), pcmu(BOSS)];
                    listens(&mut floor, 1, &legs, mix);
                    let mut caller = Presser::new(CALLER, said);
                    caller.is_silent(&mut floor, 200);
                    for digit in "19#0".chars() {
                        caller.press(&mut floor, digit, 100, |n| Some(n) != lost);
                        caller.is_silent(&mut floor, 100);
                    }
                    caller.is_silent(&mut floor, 200);
                    let what = format!("{said:?} to {heard:?}, mix {mix}, lost {lost:?}");
                    let packets = floor.heard_by(AGENT);
                    assert_eq!(keys_heard(&packets, heard), "19#0", "{what}");
                    assert!(packets.iter().all(|(header, _)| header.payload_type == number_of(heard)), "{what}");
                }
            }
        }
    }
}

/// How long something sounds, in ms.
fn sounds_for(pcm: &[i16]) -> usize {
    pcm.chunks(80).filter(|frame| frame.iter().any(|sample| sample.unsigned_abs() > 3_000)).count() * 10
}

#[test]
fn a_key_in_a_mix_sounds_as_long_as_it_is_held_within_30_ms_and_no_longer_than_100_ms_after_a_phone_that_is_gone() {
    for said in [CodecKind::Pcmu, CodecKind::Opus] {
        // A telephone-event of Opus lasts 1.4 s at most, and one of 8 kHz 8 s: longer ones come in segments.
        for (held_ms, comes, sounds) in [
            (40_u64, u64::MAX, 40..=80_usize),
            (100, u64::MAX, 90..=130),
            (4_000, u64::MAX, 3_980..=4_030),
            (9_000, u64::MAX, 8_980..=9_030),
            (4_000, 10, 200..=320),
        ] {
            let mut floor = Floor::new();
            let legs = [with_events(CALLER, said), without_events(AGENT, CodecKind::Pcma), pcmu(BOSS)];
            listens(&mut floor, 1, &legs, true);
            let mut caller = Presser::new(CALLER, said);
            caller.is_silent(&mut floor, 100);
            caller.press(&mut floor, '7', held_ms, |n| n <= comes);
            caller.is_silent(&mut floor, 400);
            let sound = sound_of(&floor.heard_by(AGENT), CodecKind::Pcma);
            let ms = sounds_for(&sound);
            assert!(sounds.contains(&ms), "{said:?}: {held_ms} ms held sound for {ms}");
        }
    }
}

#[test]
fn keys_that_come_all_at_once_or_from_two_legs_are_heard_one_after_the_other_in_a_mix() {
    let mut floor = Floor::new();
    let legs = [pcmu(CALLER), without_events(AGENT, CodecKind::L16), pcmu(BOSS)];
    listens(&mut floor, 1, &legs, true);
    let (mut caller, mut boss) = (Presser::new(CALLER, CodecKind::Pcmu), Presser::new(BOSS, CodecKind::Pcmu));
    caller.is_silent(&mut floor, 100);
    for digit in "123456789".chars() {
        let event = TelephoneEvent::event_of(digit).unwrap();
        let payload = TelephoneEvent { event, end: true, volume: 10, duration: 800 }.encode();
        caller.send(&mut floor, 101, true, &payload);
        caller.speaker.timestamp += 1_600;
    }
    let payload = TelephoneEvent { event: 0, end: true, volume: 10, duration: 800 }.encode();
    boss.send(&mut floor, 101, true, &payload);
    let discarded = floor.worker.figures().discarded_packets;
    for n in 0..20 {
        caller.send(
            &mut floor,
            101,
            true,
            &TelephoneEvent { event: n % 10, end: true, volume: 10, duration: 800 }.encode(),
        );
        caller.speaker.timestamp += 1_600;
    }
    // Sixteen wait at most.
    assert_eq!(floor.worker.figures().discarded_packets - discarded, 14);
    caller.is_silent(&mut floor, 3_000);
    assert_eq!(keys_heard(&floor.heard_by(AGENT), CodecKind::L16), "1234567890012345");
}

#[test]
fn a_key_that_is_held_while_somebody_comes_or_goes_stays_one_key() {
    for mixed_first in [false, true] {
        for heard in [CodecKind::Pcmu, CodecKind::G722, CodecKind::Opus] {
            let mut floor = Floor::new();
            let legs = [with_events(CALLER, heard), without_events(AGENT, heard), pcmu(BOSS)];
            listens(&mut floor, 1, &legs, mixed_first);
            let mut caller = Presser::new(CALLER, heard);
            caller.is_silent(&mut floor, 200);
            let event = TelephoneEvent { event: 5, end: false, volume: 10, duration: 0 };
            for n in 1..=22_u64 {
                floor.run_to(floor.now + Span::from_ms(20));
                if n == 10 {
                    listens(&mut floor, 2, &legs, !mixed_first);
                }
                let duration = caller.units(20 * n.min(20)) as u16;
                caller.send(&mut floor, 101, n == 1, &TelephoneEvent { duration, end: n >= 20, ..event }.encode());
            }
            caller.speaker.timestamp += caller.units(440);
            caller.is_silent(&mut floor, 600);
            let sound = sound_of(&floor.heard_by(AGENT), heard);
            let (mut detector, mut keys) = (KeyDetector::default(), String::new());
            detector.feed(&sound, |key| keys.push(key));
            let ms = sounds_for(&sound);
            assert!(
                keys == "5" && (370..=450).contains(&ms),
                "{heard:?}, mixed first {mixed_first}: {keys} for {ms} ms"
            );
            assert_eq!(floor.worker.figures().mixing, u64::from(!mixed_first));
        }
    }
}

#[test]
fn an_event_passed_on_in_a_mix_is_as_long_by_the_listeners_clock_as_by_the_pressers() {
    for (said, heard) in [(CodecKind::Opus, CodecKind::Pcmu), (CodecKind::Pcmu, CodecKind::Opus)] {
        for held_ms in [100, 3_000] {
            let mut floor = Floor::new();
            listens(&mut floor, 1, &[with_events(CALLER, said), with_events(AGENT, heard)], false);
            let mut caller = Presser::new(CALLER, said);
            caller.is_silent(&mut floor, 200);
            caller.press(&mut floor, '4', held_ms, |_| true);
            caller.is_silent(&mut floor, 200);
            let events: Vec<_> = floor.heard_by(AGENT).into_iter().filter(|(h, _)| h.payload_type == 101).collect();
            let lasts = |(header, payload): &(Header, Vec<u8>)| {
                let into = header.timestamp.distance(events[0].0.timestamp) as u32;
                into + u32::from(TelephoneEvent::parse(payload).unwrap().duration)
            };
            let longest = events.iter().map(lasts).max().unwrap();
            let whole = heard.clock() / 1_000 * held_ms as u32;
            assert_eq!(longest, whole, "{said:?} to {heard:?}");
            // Segments lie as far apart as RFC 4733 section 2.5.1.3 has it, so that the key stays one.
            assert!(events.windows(2).all(|pair| {
                let step = pair[1].0.timestamp.distance(pair[0].0.timestamp);
                step == 0 || step == 65_535
            }));
            assert!(events.windows(2).all(|pair| lasts(&pair[0]) <= lasts(&pair[1])));
        }
    }
}

#[test]
fn tones_are_heard_in_opus_and_in_l16_where_no_events_were_agreed_on() {
    for codec in [CodecKind::Opus, CodecKind::L16] {
        for lost in [None, Some(3), Some(5), Some(9)] {
            let mut floor = Floor::new();
            floor.command(plan(1, vec![without_events(CALLER, codec)], vec![plays(CALLER, 1, &[0], true)], vec![]));
            let mut pcm = vec![0; 480];
            for digit in "1337#".chars() {
                let mut tone = vec![0; 800];
                Tone::held_key(SampleRate::NARROW, digit).unwrap().fill(&mut tone);
                pcm.extend(tone);
                pcm.resize(pcm.len() + 800, 0);
            }
            pcm.resize(pcm.len() + 1_600, 0);
            let mut caller = Presser::new(CALLER, codec);
            let mut encoder = SpeechEncoder::in_mid_stream(form_of(codec)).unwrap();
            // As a phone does that is told of the loss: without it a packet lost at the beginning of a key takes the key along.
            encoder.expect_loss(10);
            for (n, frame) in pcm.chunks_exact(160).enumerate() {
                let mut payload = [0; opus::PACKET_BYTES_MAX];
                let bytes = encoder.encode(frame, &mut payload);
                if Some(n % 10) == lost {
                    caller.speaker.seq += 1;
                } else {
                    caller.send(&mut floor, number_of(codec), false, &payload[..bytes]);
                }
                caller.speaker.timestamp += caller.units(20);
                floor.run_to(floor.now + Span::from_ms(20));
            }
            assert_eq!(told(&mut floor), inband("1337#"), "{codec:?}, lost {lost:?}");
        }
    }
}
