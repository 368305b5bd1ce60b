//! L16 through the worker: passed on as it is, played, mixed, turned into every other codec and made of it.

mod harness;

use core::f64::consts::TAU;

use harness::*;
use offhook_codec::opus;
use offhook_codec::{Decoder, Form, Law, SpeechDecoder, SpeechEncoder};
use offhook_plan::{CodecKind, LegPlan, Negotiated};
use offhook_rtp::Header;
use offhook_units::{LegId, Span, Tick};

const L16: u8 = 97;

fn form_of(codec: CodecKind) -> Form {
    use offhook_codec::Coding;
    match codec {
        CodecKind::Pcmu => Form::Bytes(Coding::G711(Law::Mu)),
        CodecKind::Pcma => Form::Bytes(Coding::G711(Law::A)),
        CodecKind::G722 => Form::Bytes(Coding::G722),
        CodecKind::Opus => Form::Opus,
        CodecKind::L16 => Form::Linear,
    }
}

fn leg(leg: LegId, codec: CodecKind, ptime_ms: u8) -> LegPlan {
    let payload_type = codec.static_payload_type().unwrap_or(L16);
    let agreed = agreed(leg, CodecKind::Pcmu);
    let (send_payload_type, recv_payload_type) = (payload_type, payload_type);
    leg_plan(leg, Some(Negotiated { codec, send_payload_type, recv_payload_type, ptime_ms, ..agreed }))
}

/// Somebody who says a tone in some codec, 20 ms at a time.
struct Sayer {
    leg: LegId,
    codec: CodecKind,
    hertz: f64,
    encoder: SpeechEncoder,
    packets: usize,
}

impl Sayer {
    fn new(leg: LegId, codec: CodecKind, hertz: f64) -> Self {
        let encoder = SpeechEncoder::in_mid_stream(form_of(codec)).unwrap();
        Self { leg, codec, hertz, encoder, packets: 0 }
    }

    fn say(&mut self, floor: &mut Floor) -> Vec<u8> {
        let from = self.packets * 160;
        let sample = |n: usize| (8_000.0 * (TAU * self.hertz * n as f64 / 8_000.0).sin()) as i16;
        let pcm: Vec<i16> = (from..from + 160).map(sample).collect();
        let mut payload = vec![0; opus::PACKET_BYTES_MAX];
        let bytes = self.encoder.encode(&pcm, &mut payload);
        payload.truncate(bytes);
        let timestamp = (self.packets * 160) as u32 * (self.codec.clock() / 8_000);
        let speaker = Speaker { seq: self.packets as u16, timestamp, ..Speaker::new(self.leg) };
        let packet = speaker.packet(self.codec.static_payload_type().unwrap_or(L16), false, &payload);
        self.packets += 1;
        floor.receive(self.leg, peer(self.leg), &packet);
        payload
    }
}

fn heard_in(heard: &[(Header, Vec<u8>)], codec: CodecKind) -> Vec<i16> {
    let mut decoder = SpeechDecoder::new(form_of(codec)).unwrap();
    let mut pcm = Vec::new();
    let mut next = None;
    for (header, payload) in heard {
        let mut out = [0; 960];
        let count = decoder.decode(payload, &mut out);
        assert!(next.is_none_or(|next| next == header.timestamp), "a hole or an overlap");
        next = Some(header.timestamp.wrapping_add(count as u32 * (codec.clock() / 8_000)));
        pcm.extend_from_slice(&out[..count]);
    }
    pcm
}

fn level(pcm: &[i16], hertz: f64) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (n, sample) in pcm.iter().enumerate() {
        let angle = TAU * hertz * n as f64 / 8_000.0;
        real += f64::from(*sample) * angle.cos();
        imaginary += f64::from(*sample) * angle.sin();
    }
    2.0 * real.hypot(imaginary) / pcm.len() as f64
}

#[test]
fn fifty_packets_of_l16_are_passed_on_byte_for_byte_and_160_apart() {
    let mut floor = Floor::new();
    let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
    floor.command(plan(1, vec![leg(CALLER, CodecKind::L16, 20), leg(AGENT, CodecKind::L16, 20)], edges, vec![]));
    assert_eq!(floor.worker.figures().mixing, 0);
    let mut caller = Sayer::new(CALLER, CodecKind::L16, 700.0);
    let mut said = Vec::new();
    for _ in 0..50 {
        said.push(caller.say(&mut floor));
        floor.run_to(floor.now + Span::from_ms(20));
    }
    let heard = floor.heard_by(AGENT);
    assert!(heard.iter().all(|(header, _)| header.payload_type == L16));
    assert!(heard.windows(2).all(|pair| pair[1].0.timestamp.distance(pair[0].0.timestamp) == 160));
    assert_eq!(heard.into_iter().map(|(_, payload)| payload).collect::<Vec<_>>(), said);
}

#[test]
fn l16_and_each_other_codec_hear_each_other_within_a_tenth_of_the_level_in_packets_of_20_to_60_ms() {
    for (other, ptime_ms) in [
        (CodecKind::Pcmu, 20),
        (CodecKind::Pcma, 30),
        (CodecKind::G722, 20),
        (CodecKind::Opus, 20),
        (CodecKind::Pcmu, 60),
    ] {
        let mut floor = Floor::new();
        let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
        let legs = vec![leg(CALLER, other, ptime_ms), leg(AGENT, CodecKind::L16, ptime_ms)];
        floor.command(plan(1, legs, edges, tapped()));
        let (mut caller, mut agent) = (Sayer::new(CALLER, other, 700.0), Sayer::new(AGENT, CodecKind::L16, 1_000.0));
        for _ in 0..100 {
            let _payloads = (caller.say(&mut floor), agent.say(&mut floor));
            floor.run_to(floor.now + Span::from_ms(20));
        }
        let (to_agent, to_caller) = (floor.heard_by(AGENT), floor.heard_by(CALLER));
        let most = to_agent.iter().map(|(_, payload)| payload.len()).max();
        assert_eq!(most, Some(16 * usize::from(ptime_ms.min(30))), "{other:?}");
        let (agents, callers) = (heard_in(&to_agent, CodecKind::L16), heard_in(&to_caller, other));
        for (pcm, hertz) in [(agents, 700.0), (callers, 1_000.0)] {
            let level = level(&pcm[4_000..12_000], hertz);
            assert!((7_200.0..8_800.0).contains(&level), "{other:?}, {ptime_ms} ms, {hertz} Hz: {level}");
        }
    }
}

#[test]
fn a_prompt_is_played_to_a_leg_with_l16_and_its_end_is_told() {
    let mut floor = Floor::new();
    floor.command(plan(1, vec![leg(CALLER, CodecKind::L16, 20)], vec![plays(CALLER, 1, &[2], false)], vec![]));
    floor.run_to(at(1_000));
    let pcm = heard_in(&floor.heard_by(CALLER), CodecKind::L16);
    // Half a second of 600 Hz with a peak of 8,000.
    let level = level(&pcm[400..3_600], 599.7);
    assert!((7_500.0..8_500.0).contains(&level), "{level}");
    let over = floor.events().iter().any(|event| matches!(event, offhook_plan::MediaEvent::PlayerFinished { .. }));
    assert!(over && pcm[4_080..].iter().all(|sample| *sample == 0), "silence follows");
}
