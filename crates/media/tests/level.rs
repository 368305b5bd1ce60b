//! How loud a leg's peer speaks, as it is told: in relayed G.711 and in what is mixed; and who sends nothing but silence.

mod harness;

use harness::*;
use offhook_codec::opus::{Encoded, Encoder, PACKET_BYTES_MAX, Settings};
use offhook_codec::{Coding, Form, Law, Linear, SpeechEncoder, resample};
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

/// A minute of announcements at 8 kHz, 1.5 s of silence behind each.
fn speech() -> Vec<i16> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/prompts");
    let mut speech = Vec::new();
    for name in ["queue-callswaiting", "reception-menu", "tt-allbusy", "vm-nobodyavail", "please-try-call-later"] {
        let file = std::fs::read(format!("{folder}/{name}.wav")).unwrap();
        let rate = SampleRate(u32::from_le_bytes(file[24..28].try_into().unwrap()));
        let pcm: Vec<i16> = file[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        speech.extend(resample(&pcm, rate, SampleRate::NARROW).unwrap());
        speech.resize(speech.len().next_multiple_of(160) + 12_000, 0);
    }
    speech.repeat(3)
}

/// What is told of an agent who says `pcm` in a codec, heard by a caller who has the same.
fn told_of(
    codec: CodecKind,
    pcm: &[i16],
    samples: usize,
    encode: &mut dyn FnMut(&[i16]) -> Vec<u8>,
) -> (LevelReport, bool) {
    let (send_payload_type, recv_payload_type) = (96, 96);
    let plan_of = |leg| {
        let agreed = agreed(leg, CodecKind::Pcmu);
        leg_plan(leg, Some(Negotiated { codec, send_payload_type, recv_payload_type, ..agreed }))
    };
    let mut floor = Floor::new();
    floor.command(plan(1, vec![plan_of(CALLER), plan_of(AGENT)], vec![hears(CALLER, AGENT, Tick::MAX)], vec![]));
    assert_eq!(floor.worker.figures().mixing, 0);
    let mut agent = Speaker::new(AGENT);
    for frame in pcm.chunks_exact(samples) {
        let packet = agent.packet(96, false, &encode(frame));
        agent.seq = agent.seq.wrapping_add(1);
        agent.timestamp = agent.timestamp.wrapping_add(samples as u32 * (codec.clock() / 8_000));
        floor.receive(AGENT, peer(AGENT), &packet);
        floor.run_to(floor.now + SampleRate::NARROW.span_of(samples as u64));
        floor.network.sent.clear();
    }
    floor.command(MediaCommand::Close(CALL));
    *levels(&mut floor, AGENT).last().unwrap()
}

fn encoder_of(form: Form) -> impl FnMut(&[i16]) -> Vec<u8> {
    let mut encoder = SpeechEncoder::in_mid_stream(form).unwrap();
    move |pcm| {
        let mut out = vec![0; PACKET_BYTES_MAX];
        let bytes = encoder.encode(pcm, &mut out);
        out.truncate(bytes);
        out
    }
}

/// Opus as a browser makes it: of 48 kHz, in both of its ways of coding.
fn full_opus(bitrate: u32) -> impl FnMut(&[i16]) -> Vec<u8> {
    let settings = Settings { bitrate, ..Settings::voice(SampleRate::FULL) };
    let mut encoder = Encoder::new(&settings).unwrap();
    move |pcm| {
        let full: Vec<i16> = pcm.iter().flat_map(|sample| [*sample; 6]).collect();
        let mut out = vec![0; PACKET_BYTES_MAX];
        let Encoded::Packet(bytes) = encoder.encode(&full, &mut out).unwrap() else { panic!("a pause") };
        out.truncate(bytes);
        out
    }
}

#[test]
fn speech_that_is_passed_on_in_g722_opus_and_l16_is_measured_within_1_5_db_and_8_percent_of_the_time_of_that_in_g711() {
    let speech = speech();
    let (known, _) = told_of(CodecKind::Pcma, &speech, 160, &mut encoder_of(Form::Bytes(Coding::G711(Law::A))));
    for (what, codec, samples, encode) in [
        ("L16", CodecKind::L16, 160, &mut encoder_of(Form::Linear) as &mut dyn FnMut(&[i16]) -> Vec<u8>),
        ("G.722", CodecKind::G722, 160, &mut encoder_of(Form::Bytes(Coding::G722))),
        ("G.722 in packets of 30 ms", CodecKind::G722, 240, &mut encoder_of(Form::Bytes(Coding::G722))),
        ("Opus", CodecKind::Opus, 160, &mut encoder_of(Form::Opus)),
        ("Opus in packets of 60 ms", CodecKind::Opus, 480, &mut encoder_of(Form::Opus)),
        ("Opus of 48 kHz", CodecKind::Opus, 160, &mut full_opus(32_000)),
    ] {
        let (level, _) = told_of(codec, &speech, samples, encode);
        println!("{what}: {level:?}, {known:?} in G.711");
        let apart = level.speech_dbov_x10.unwrap() - known.speech_dbov_x10.unwrap();
        let active = level.active_percent().unwrap().abs_diff(known.active_percent().unwrap());
        assert!(apart.abs() <= 15 && active <= 8, "{what}: {level:?}, and {known:?} in G.711");
        assert!(level.measured_ms.abs_diff(known.measured_ms) < 1_000, "{what}");
    }
}

#[test]
fn who_is_muted_in_g722_opus_or_l16_is_told_quiet_and_who_speaks_again_is_not_within_2_s() {
    for (codec, form) in
        [(CodecKind::L16, Form::Linear), (CodecKind::G722, Form::Bytes(Coding::G722)), (CodecKind::Opus, Form::Opus)]
    {
        let mut encode = encoder_of(form);
        let (mut quiet, mut again) = (vec![0; 8_000 * 22], vec![0; 8_000 * 22]);
        // The noise of a muted line: the last bit.
        quiet.iter_mut().step_by(7).for_each(|sample| *sample = 8);
        let (level, is_quiet) = told_of(codec, &quiet, 160, &mut encode);
        assert!(is_quiet && level.speech_dbov_x10.is_none(), "{codec:?}: {level:?}");
        again.extend((0..100).flat_map(|n| tone(3_276.0, n)));
        let (_, is_quiet) = told_of(codec, &again, 160, &mut encoder_of(form));
        assert!(!is_quiet, "{codec:?}");
    }
}

#[test]
fn a_payload_of_l16_has_the_power_of_its_samples() {
    let payload: Vec<u8> = [1_000_i16, -1_000].iter().flat_map(|sample| sample.to_be_bytes()).collect();
    assert_eq!((Linear::power(&payload.repeat(80)), Linear::power(&[]), Linear::power(&[1])), (1_000_000, 0, 0));
}
