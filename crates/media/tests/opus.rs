//! Opus through the worker: passed on as it is, on a time line of 48,000 a second; played, mixed, turned into other codecs.

mod harness;

use harness::*;
use offhook_codec::Law;
use offhook_codec::opus::{Decoder, Encoded, Encoder, PACKET_BYTES_MAX, Settings};
use offhook_media::SocketKey;
use offhook_plan::{CodecKind, LegPlan, MediaCommand, MediaEvent, Negotiated};
use offhook_rtp::{Header, REPORT_BYTES_MAX, Report, ReportWriter, TelephoneEvent};
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

/// The level of one frequency at 8 kHz.
#[test]
fn what_is_tapped_of_a_leg_with_opus_says_that_it_is_opus_and_of_its_keys_that_they_are_no_speech() {
    let mut floor = Floor::new();
    let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
    floor.command(plan(1, vec![full(CALLER, 96, 97), full(AGENT, 111, 110)], edges, tapped()));
    let said = packets(1);
    let event = TelephoneEvent { event: 5, end: false, volume: 10, duration: 960 }.encode();
    for (leg, speech, keys) in [(CALLER, 96, 97), (AGENT, 111, 110)] {
        let mut speaker = Speaker::new(leg);
        for (payload_type, payload) in [(speech, &said[0][..]), (keys, &event[..])] {
            let packet = speaker.packet(payload_type, false, payload);
            speaker.seq += 1;
            floor.receive(leg, peer(leg), &packet);
        }
    }
    let codecs: Vec<_> = floor.recorded().iter().map(|(header, _)| header.codec).collect();
    assert_eq!(codecs, [Some(CodecKind::Opus), None, Some(CodecKind::Opus), None]);
}

fn level(pcm: &[i16], hertz: f64) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (n, sample) in pcm.iter().enumerate() {
        let angle = core::f64::consts::TAU * hertz * n as f64 / 8_000.0;
        real += f64::from(*sample) * angle.cos();
        imaginary += f64::from(*sample) * angle.sin();
    }
    2.0 * real.hypot(imaginary) / pcm.len() as f64
}

fn tone(hertz: f64, rate: f64, from: usize, count: usize) -> Vec<i16> {
    let sample = |n: usize| (8_000.0 * (core::f64::consts::TAU * hertz * n as f64 / rate).sin()) as i16;
    (from..from + count).map(sample).collect()
}

/// What a listener with Opus hears, at 8 kHz; packets follow each other 960 apart.
fn decoded(heard: &[(Header, Vec<u8>)]) -> Vec<i16> {
    let apart = |pair: &[(Header, Vec<u8>)]| pair[1].0.timestamp.distance(pair[0].0.timestamp);
    assert!(heard.windows(2).all(|pair| apart(pair) == SAMPLES as i32), "a hole or an overlap");
    let mut decoder = Decoder::new(SampleRate::NARROW).unwrap();
    let mut pcm = Vec::new();
    for (_, payload) in heard {
        let mut out = [0; 960];
        let count = decoder.decode(payload, &mut out).unwrap();
        pcm.extend_from_slice(&out[..count]);
    }
    pcm
}

/// Somebody with Opus who says a tone.
struct Sayer {
    leg: LegId,
    encoder: Encoder,
    payload_type: u8,
    said: Vec<Vec<u8>>,
    hertz: f64,
}

impl Sayer {
    fn new(leg: LegId, payload_type: u8, hertz: f64) -> Self {
        let encoder = Encoder::new(&Settings::voice(SampleRate::WIDE)).unwrap();
        Self { leg, encoder, payload_type, said: Vec::new(), hertz }
    }

    fn say(&mut self, floor: &mut Floor) {
        let n = self.said.len();
        let mut out = vec![0; PACKET_BYTES_MAX];
        let frame = tone(self.hertz, 16_000.0, n * 320, 320);
        let Encoded::Packet(bytes) = self.encoder.encode(&frame, &mut out).unwrap() else { panic!("a pause") };
        out.truncate(bytes);
        let header = Header {
            payload_type: self.payload_type,
            marker: false,
            seq: RtpSeq(65_500_u16.wrapping_add(n as u16)),
            timestamp: RtpTime(u32::MAX - 50_000).wrapping_add(n as u32 * SAMPLES),
            ssrc: 70 + self.leg.0 as u32,
        };
        let mut packet = vec![0; 12 + out.len()];
        header.write(&out, &mut packet).unwrap();
        floor.receive(self.leg, peer(self.leg), &packet);
        self.said.push(out);
    }
}

/// Somebody with PCMU who says a tone.
fn say_pcmu(floor: &mut Floor, speaker: &mut Speaker, hertz: f64) {
    let from = usize::from(speaker.seq) * 160;
    let payload: Vec<u8> = tone(hertz, 8_000.0, from, 160).into_iter().map(|sample| Law::Mu.encode(sample)).collect();
    let packet = speaker.packet(0, false, &payload);
    speaker.seq = speaker.seq.wrapping_add(1);
    speaker.timestamp = speaker.timestamp.wrapping_add(160);
    floor.receive(speaker.leg, peer(speaker.leg), &packet);
}

fn pcmu_heard(floor: &mut Floor, leg: LegId) -> Vec<i16> {
    floor.heard_by(leg).iter().flat_map(|(_, payload)| payload).map(|byte| Law::Mu.decode(*byte)).collect()
}

#[test]
fn a_prompt_is_heard_as_opus_and_told_when_it_is_over() {
    let mut floor = Floor::new();
    floor.command(plan(1, vec![full(CALLER, 111, 110)], vec![plays(CALLER, 4, &[2], false)], vec![]));
    floor.run_to(at(700));
    let finished = |event: &MediaEvent| matches!(event, MediaEvent::PlayerFinished { .. });
    assert_eq!(floor.events().iter().filter(|event| finished(event)).count(), 1);
    let heard = floor.heard_by(CALLER);
    assert!(heard.iter().all(|(header, _)| header.payload_type == 111));
    let pcm = decoded(&heard);
    let level = level(&pcm[800..3_600], 600.0);
    assert!((6_400.0..10_100.0).contains(&level) && pcm.len() >= 4_000, "{level} in {}", pcm.len());
}

#[test]
fn speech_is_turned_from_opus_into_g711_and_back_within_2_db() {
    let mut floor = Floor::new();
    floor.command(talk_of(vec![full(CALLER, 111, 110), pcmu(AGENT)]));
    let (mut caller, mut agent) = (Sayer::new(CALLER, 111, 440.0), Speaker::new(AGENT));
    // Across the wrap of both numbers of the caller's.
    for _ in 0..150 {
        caller.say(&mut floor);
        floor.run_to(floor.now + Span::from_ms(7));
        say_pcmu(&mut floor, &mut agent, 700.0);
        floor.run_to(floor.now + Span::from_ms(13));
    }
    assert_eq!(floor.worker.figures().mixing, 2);
    let by_agent = pcmu_heard(&mut floor, AGENT);
    let by_caller = decoded(&floor.heard_by(CALLER));
    for (pcm, hertz) in [(&by_agent[4_000..], 440.0), (&by_caller[4_000..], 700.0)] {
        let level = level(pcm, hertz);
        assert!((6_400.0..10_100.0).contains(&level), "{hertz}: {level}");
    }
    assert!(by_agent.len() > 150 * 160 - 600, "{}", by_agent.len());
}

/// A voice of 140 Hz that goes up and down, as PCMU, to an agent with Opus; gives what the agent is sent in two seconds, after a
/// report of this much loss, of 256.
fn sent_after_report(fraction_lost: u8) -> Vec<Vec<u8>> {
    let mut floor = Floor::new();
    floor.command(talk_of(vec![pcmu(CALLER), full(AGENT, 96, 97)]));
    let mut caller = Speaker::new(CALLER);
    let mut phase = 0.0_f64;
    for n in 0..200 {
        let payload: Vec<u8> = (0..160)
            .map(|at| {
                let second = f64::from(n * 160 + at) / 8_000.0;
                phase += core::f64::consts::TAU * (140.0 + 25.0 * (second * 9.0).sin()) / 8_000.0;
                let voice: f64 = (1..12).map(|k| (phase * f64::from(k)).sin() / f64::from(k)).sum();
                Law::Mu.encode((voice * 6_000.0 * (second * 14.0).sin().abs()) as i16)
            })
            .collect();
        let packet = caller.packet(0, false, &payload);
        (caller.seq, caller.timestamp) = (caller.seq.wrapping_add(1), caller.timestamp.wrapping_add(160));
        floor.receive(CALLER, peer(CALLER), &packet);
        floor.run_to(floor.now + Span::from_ms(20));
        if n == 50 {
            let about = Report {
                ssrc: 0xaaaa_0000 + AGENT.0 as u32,
                fraction_lost,
                cumulative_lost: 9,
                highest_seq: 9,
                jitter: 0,
            };
            let mut report = [0; REPORT_BYTES_MAX];
            let writer = ReportWriter {
                ssrc: 5,
                sender: None,
                block: Some((about, 0, 0)),
                cname: "x",
                metrics: None,
                bye: false,
            };
            let length = writer.write(&mut report);
            let key = floor.key(address(local(AGENT).port() + 1));
            let from = address(peer(AGENT).port() + 1);
            floor.worker.receive(&mut floor.network, floor.now, key, from, &mut report, length);
        }
    }
    floor.heard_by(AGENT).into_iter().rev().take(100).rev().map(|(_, payload)| payload).collect()
}

/// How far what is taken from the packet after a lost one lies below what was lost, in dB.
fn repeated_db(packets: &[Vec<u8>]) -> f64 {
    let decode = |lost: bool| -> Vec<i16> {
        let mut decoder = Decoder::new(SampleRate::NARROW).unwrap();
        let mut heard = Vec::new();
        for (n, packet) in packets.iter().enumerate() {
            let mut out = [0; 160];
            match packets.get(n + 1).filter(|_| lost && n % 10 == 5) {
                Some(after) => decoder.recover(after, &mut out).unwrap(),
                None => decoder.decode(packet, &mut out).unwrap(),
            };
            heard.extend(out);
        }
        heard
    };
    let (whole, patched) = (decode(false), decode(true));
    let (mut said, mut wrong) = (0.0, 0.0);
    for (_, (one, other)) in whole.iter().zip(&patched).enumerate().filter(|(n, _)| n / 160 % 10 == 5) {
        said += f64::from(*one).powi(2);
        wrong += (f64::from(*one) - f64::from(*other)).powi(2);
    }
    10.0 * (said / wrong.max(1.0)).log10()
}

#[test]
fn who_reports_a_quarter_lost_is_sent_packets_that_repeat_those_before_3_db_nearer_than_invented() {
    let (told, untold) = (repeated_db(&sent_after_report(64)), repeated_db(&sent_after_report(0)));
    assert!(told > untold + 3.0, "{told:.1} dB after the report, {untold:.1} dB without loss");
}

#[test]
fn who_listens_with_g711_hears_two_with_opus_who_are_passed_on_byte_for_byte() {
    let boss = LegId(3);
    let mut floor = Floor::new();
    let legs = || vec![full(CALLER, 111, 110), full(AGENT, 96, 97), pcmu(boss)];
    let both = || vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
    let (mut caller, mut agent) = (Sayer::new(CALLER, 111, 440.0), Sayer::new(AGENT, 96, 700.0));
    let listens = [hears(boss, CALLER, Tick::MAX), hears(boss, AGENT, Tick::MAX)];
    for (generation, more) in [(1, vec![]), (2, listens.to_vec()), (3, vec![])] {
        floor.command(plan(generation, legs(), both().into_iter().chain(more).collect(), vec![]));
        for _ in 0..50 {
            caller.say(&mut floor);
            agent.say(&mut floor);
            floor.run_to(floor.now + Span::from_ms(20));
        }
    }
    let heard: Vec<Vec<u8>> = floor.heard_by(AGENT).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(heard, caller.said);
    let pcm = pcmu_heard(&mut floor, boss);
    assert!(level(&pcm[2_000..], 440.0) > 5_500.0 && level(&pcm[2_000..], 700.0) > 5_500.0);
    assert_eq!(floor.worker.figures().mixing, 0);
}

#[test]
fn a_whisper_into_opus_and_its_end_leave_no_hole_and_the_callers_packets_are_passed_on_again() {
    let boss = LegId(3);
    let mut floor = Floor::new();
    let legs = || vec![full(CALLER, 111, 110), full(AGENT, 96, 97), pcmu(boss)];
    let both = || vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
    let (mut caller, mut coach) = (Sayer::new(CALLER, 111, 440.0), Speaker::new(boss));
    let whisper = [hears(boss, CALLER, Tick::MAX), hears(AGENT, boss, Tick::MAX)];
    for (generation, more) in [(1, vec![]), (2, whisper.to_vec()), (3, vec![])] {
        floor.command(plan(generation, legs(), both().into_iter().chain(more).collect(), vec![]));
        for _ in 0..50 {
            caller.say(&mut floor);
            say_pcmu(&mut floor, &mut coach, 1_100.0);
            floor.run_to(floor.now + Span::from_ms(20));
        }
    }
    let heard = floor.heard_by(AGENT);
    let pcm = decoded(&heard);
    assert!(level(&pcm[10_000..16_000], 1_100.0) > 5_000.0 && level(&pcm[18_000..], 1_100.0) < 300.0);
    assert!(level(&pcm[10_000..16_000], 440.0) > 5_000.0 && level(&pcm[18_000..], 440.0) > 5_000.0);
    let last: Vec<&Vec<u8>> = heard.iter().rev().take(40).map(|(_, payload)| payload).collect();
    assert_eq!(last, caller.said.iter().rev().take(40).collect::<Vec<_>>());
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
