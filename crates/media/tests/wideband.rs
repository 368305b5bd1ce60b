//! G.722 through the worker: relayed as it is, turned into G.711 and back, played, tapped.

mod harness;

use core::f64::consts::TAU;

use harness::*;
use offhook_codec::{Law, NarrowDecoder, g722};
use offhook_media::coding_of;
use offhook_plan::tap::Side;
use offhook_plan::{CodecKind, LegPlan, MediaCommand};
use offhook_units::{LegId, Tick};

fn wide(leg: LegId) -> LegPlan {
    leg_plan(leg, Some(agreed(leg, CodecKind::G722)))
}

fn speaker(leg: LegId, codec: CodecKind) -> Speaker {
    Speaker { payload_type: codec.static_payload_type().unwrap(), ..Speaker::new(leg) }
}

/// Both hear each other, the caller is recorded.
fn talk_of(generation: u32, legs: Vec<LegPlan>) -> MediaCommand {
    let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
    plan(generation, legs, edges, tapped())
}

fn tone(hertz: f64, rate: f64, count: usize) -> Vec<i16> {
    (0..count).map(|n| (8_000.0 * (TAU * hertz * n as f64 / rate).sin()) as i16).collect()
}

fn g722(pcm: &[i16]) -> Vec<u8> {
    let mut out = vec![0; pcm.len() / 2];
    g722::Encoder::default().encode(pcm, &mut out);
    out
}

fn pcmu_bytes(pcm: &[i16]) -> Vec<u8> {
    pcm.iter().map(|sample| Law::Mu.encode(*sample)).collect()
}

fn decoded(payload: &[u8]) -> Vec<i16> {
    let mut out = vec![0; payload.len() * 2];
    g722::Decoder::default().decode(payload, &mut out);
    out
}

/// The peak of one frequency.
fn peak_of(pcm: &[i16], hertz: f64, rate: f64) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (n, sample) in pcm.iter().enumerate() {
        let angle = TAU * hertz * n as f64 / rate;
        real += f64::from(*sample) * angle.cos();
        imaginary += f64::from(*sample) * angle.sin();
    }
    2.0 * real.hypot(imaginary) / pcm.len() as f64
}

/// Says `speech` in packets of 20 ms, 20 ms apart.
fn say_all(floor: &mut Floor, speaker: &mut Speaker, speech: &[u8]) {
    for payload in speech.chunks_exact(160) {
        let packet = speaker.packet(speaker.payload_type, false, payload);
        floor.receive(speaker.leg, peer(speaker.leg), &packet);
        speaker.seq = speaker.seq.wrapping_add(1);
        speaker.timestamp = speaker.timestamp.wrapping_add(160);
        floor.run_to(floor.now + offhook_units::Span::from_ms(20));
    }
}

fn speech_heard(floor: &mut Floor, leg: LegId, payload_type: u8) -> Vec<u8> {
    let heard = floor.heard_by(leg);
    assert!(heard.iter().all(|(header, payload)| header.payload_type == payload_type && payload.len() == 160));
    heard.into_iter().flat_map(|(_, payload)| payload).collect()
}

#[test]
fn two_legs_with_g722_are_relayed_byte_for_byte() {
    let mut floor = Floor::new();
    floor.command(talk_of(1, vec![wide(CALLER), wide(AGENT)]));
    let mut caller = speaker(CALLER, CodecKind::G722);
    let said: Vec<_> = (0..5).map(|_| caller.say(&mut floor)).collect();
    assert_eq!(speech_heard(&mut floor, AGENT, 9), said.concat());
}

#[test]
fn a_tone_crosses_between_g711_and_g722_at_its_level_in_both_directions() {
    for codec in [CodecKind::Pcmu, CodecKind::Pcma] {
        let mut floor = Floor::new();
        floor.command(talk_of(1, vec![leg_plan(CALLER, Some(agreed(CALLER, codec))), wide(AGENT)]));
        let law = if codec == CodecKind::Pcmu { Law::Mu } else { Law::A };
        let narrow: Vec<u8> = tone(1_000.0, 8_000.0, 8_000).iter().map(|sample| law.encode(*sample)).collect();
        say_all(&mut floor, &mut speaker(CALLER, codec), &narrow);
        let up = peak_of(&decoded(&speech_heard(&mut floor, AGENT, 9))[1_600..], 1_000.0, 16_000.0);
        say_all(&mut floor, &mut speaker(AGENT, CodecKind::G722), &g722(&tone(1_000.0, 16_000.0, 16_000)));
        let back = speech_heard(&mut floor, CALLER, codec.static_payload_type().unwrap());
        let back: Vec<i16> = back.iter().map(|byte| law.decode(*byte)).collect();
        let down = peak_of(&back[800..], 1_000.0, 8_000.0);
        assert!(
            (up - 8_000.0).abs() < 300.0 && (down - 8_000.0).abs() < 300.0,
            "{codec:?}: up {up:.0}, down {down:.0}"
        );
    }
}

#[test]
fn several_listeners_each_hear_one_voice_in_their_own_codec() {
    let third = LegId(3);
    let mut floor = Floor::new();
    let legs = vec![pcmu(CALLER), wide(AGENT), wide(third)];
    let edges = vec![hears(AGENT, CALLER, Tick::MAX), hears(third, CALLER, Tick::MAX)];
    floor.command(plan(1, legs, edges, vec![]));
    say_all(&mut floor, &mut Speaker::new(CALLER), &pcmu_bytes(&tone(700.0, 8_000.0, 1_600)));
    let (one, other) = (speech_heard(&mut floor, AGENT, 9), speech_heard(&mut floor, third, 9));
    assert_eq!(one, other);
    assert_eq!(one.len(), 1_600);
}

#[test]
fn a_codec_agreed_on_anew_in_mid_talk_is_heard_right_from_its_first_packet() {
    let mut floor = Floor::new();
    floor.command(talk_of(1, vec![pcmu(CALLER), wide(AGENT)]));
    let narrow = pcmu_bytes(&tone(1_000.0, 8_000.0, 3_200));
    let mut caller = Speaker::new(CALLER);
    say_all(&mut floor, &mut caller, &narrow);
    assert_eq!(speech_heard(&mut floor, AGENT, 9).len(), 3_200);
    floor.command(talk_of(2, vec![pcmu(CALLER), pcmu(AGENT)]));
    say_all(&mut floor, &mut caller, &narrow);
    assert_eq!(speech_heard(&mut floor, AGENT, 0), narrow);
    floor.command(talk_of(3, vec![pcmu(CALLER), leg_plan(AGENT, Some(agreed(AGENT, CodecKind::Pcma)))]));
    say_all(&mut floor, &mut caller, &narrow);
    let table = Law::Mu.to_other();
    let expected: Vec<u8> = narrow.iter().map(|byte| table[usize::from(*byte)]).collect();
    assert_eq!(speech_heard(&mut floor, AGENT, 8), expected);
}

#[test]
fn a_source_that_begins_anew_is_decoded_anew() {
    let speech = g722(&tone(1_000.0, 16_000.0, 3_200));
    let mut floor = Floor::new();
    floor.command(talk_of(1, vec![pcmu(CALLER), wide(AGENT)]));
    let mut agent = speaker(AGENT, CodecKind::G722);
    say_all(&mut floor, &mut agent, &speech);
    agent.ssrc += 1;
    say_all(&mut floor, &mut agent, &speech);
    let heard = speech_heard(&mut floor, CALLER, 0);
    assert_eq!(heard[..1_600], heard[1_600..]);
}

#[test]
fn music_for_g722_is_encoded_at_16_khz_and_a_prompt_ends_in_silence() {
    let mut floor = Floor::new();
    let pcm = tone(5_000.0, 16_000.0, 4_000);
    let rate = offhook_units::SampleRate::WIDE;
    let sound = offhook_media::Asset::from_pcm(&pcm, rate).unwrap().with_g722(&pcm, rate).unwrap();
    let (producer, _tap) = offhook_plan::tap::tap_ring(1 << 16);
    floor.worker = offhook_media::Worker::new(
        std::sync::Arc::new(offhook_media::Assets::new(vec![sound])),
        producer,
        offhook_media::Limits::default(),
        offhook_units::Entropy::from_number(7),
    );
    floor.command(plan(1, vec![wide(CALLER)], vec![plays(CALLER, 1, &[0], false)], vec![]));
    floor.run_to(at(1_000));
    // 250 ms of sound in packets of 20 ms: the last one is filled up.
    let heard = decoded(&speech_heard(&mut floor, CALLER, 9));
    assert_eq!(heard.len(), 13 * 320);
    let peak = peak_of(&heard[800..3_840], 5_000.0, 16_000.0);
    assert!((peak - 8_000.0).abs() < 800.0, "{peak:.0}");
    assert!(heard[4_080..].iter().all(|sample| sample.abs() < 400), "{:?}", &heard[4_080..]);
}

#[test]
fn a_tapped_g722_leg_is_recorded_as_it_arrived_and_as_it_was_sent() {
    let mut floor = Floor::new();
    floor.command(talk_of(1, vec![wide(CALLER), pcmu(AGENT)]));
    let said = speaker(CALLER, CodecKind::G722).say(&mut floor);
    Speaker::new(AGENT).say(&mut floor);
    let sent = speech_heard(&mut floor, CALLER, 9);
    let records = floor.recorded();
    let of = |side| records.iter().find(|(header, _)| header.side == side).unwrap();
    assert_eq!((of(Side::Heard).0.payload_type, &of(Side::Heard).1), (9, &said));
    assert_eq!((of(Side::Sent).0.payload_type, &of(Side::Sent).1), (9, &sent));
}

#[test]
fn a_listener_at_8_khz_hears_g722_through_its_jitter_buffer_and_over_a_lost_packet() {
    use offhook_media::{JitterBuffer, JitterConfig};
    use offhook_rtp::Packet;

    let speech = g722(&tone(1_000.0, 16_000.0, 32_000));
    let mut buffer = JitterBuffer::new(JitterConfig::default());
    let mut decoder = NarrowDecoder::new(coding_of(CodecKind::G722).unwrap());
    let mut speaker = speaker(CALLER, CodecKind::G722);
    let mut heard = Vec::new();
    for (n, payload) in speech.chunks_exact(160).enumerate() {
        let packet = speaker.packet(9, false, payload);
        (speaker.seq, speaker.timestamp) = (speaker.seq.wrapping_add(1), speaker.timestamp.wrapping_add(160));
        if n != 60 {
            buffer.push(at(n as u64 * 20), &Packet::parse(&packet).unwrap());
        }
        for half in [4, 14] {
            let mut out = [0; 80];
            buffer.pull(at(n as u64 * 20 + half), &mut decoder, &mut out);
            heard.extend(out);
        }
    }
    assert!(buffer.stats().concealed_pulls > 0);
    for second in [8_000..9_000, 10_500..16_000] {
        let peak = peak_of(&heard[second.clone()], 1_000.0, 8_000.0);
        assert!((peak - 8_000.0).abs() < 800.0, "{second:?}: {peak:.0}");
    }
}
