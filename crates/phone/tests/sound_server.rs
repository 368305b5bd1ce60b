//! The whole way of sound: a tone in the microphone of one phone comes out at the other, and the other's tone out of this one's
//! loudspeaker, through `cpal` and a private PulseAudio with null sinks.
//!
//! Where PulseAudio is not installed the test says so and passes, unless `OFFHOOK_NEED_SOUND=1` asks for it.
#![expect(clippy::disallowed_methods, reason = "tests of an edge start programs and have clocks")]

mod harness;
#[path = "../../headset/tests/pulse/mod.rs"]
mod pulse;

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use harness::{Desk, files, on_loopback, share_of, tone};
use offhook_phone::{DeviceConfig, Dial, PhoneEvent};
use offhook_units::Span;
use pulse::{Running, SoundServer};

/// One null sink as loudspeaker, another whose monitor is the microphone.
const DESK: &str = "load-module module-null-sink sink_name=desk_spk rate=48000 channels=2\n\
     load-module module-null-sink sink_name=desk_in rate=44100 channels=2\n\
     load-module module-remap-source source_name=desk_mic master=desk_in.monitor\n\
     set-default-sink desk_spk\nset-default-source desk_mic\n";

/// The best tenth of a second of a tone.
fn best_share(hz: f32, rate: u32, samples: &[i16]) -> f32 {
    let window = rate as usize / 10;
    samples.windows(window).step_by(window / 4).map(|part| share_of(hz, rate as f32, part)).fold(0.0, f32::max)
}

#[test]
fn tones_pass_from_the_microphone_to_the_peer_and_from_the_peer_to_the_loudspeaker() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = SoundServer::start(folder.path(), DESK) else { return };
    // SAFETY: this file holds one test, and no other thread of it reads the environment yet.
    unsafe { std::env::set_var("PULSE_SERVER", server.address()) };

    // The person at the desk hums 700 Hz.
    let hum: Vec<u8> = (0..44_100 * 20)
        .flat_map(|n| (((n as f32 * 700.0 * core::f32::consts::TAU / 44_100.0).sin() * 12_000.0) as i16).to_le_bytes())
        .collect();
    std::fs::write(folder.path().join("hum.raw"), hum).unwrap();
    let hum = server
        .program("pacat")
        .args(["--playback", "--device=desk_in", "--rate=44100", "--channels=1", "--format=s16le"])
        .arg(folder.path().join("hum.raw"))
        .spawn();
    let _hum = Running(hum.unwrap());

    let mut engine = files(folder.path(), "desk", None);
    // Tones are noise to the processing, which is off here.
    engine.devices = Some(DeviceConfig::new(None, None, None));
    let mut desk = on_loopback(engine);
    desk.auto_answer = Some(Span::from_ms(500));
    let desk = Desk::start(desk, 1);
    let caller = Desk::start(on_loopback(files(folder.path(), "caller", Some(tone(1_000.0, 80_000)))), 2);
    let dial = Dial { hang_up_after: Some(Span::from_s(6)), ..Dial::to(&desk.uri()).unwrap() };
    caller.phone.dial(dial).unwrap();
    desk.wait("both devices", {
        let mut open = 0;
        move |event| {
            open += u32::from(matches!(event, PhoneEvent::Device { what, .. } if what.contains(" at ")));
            (open == 2).then_some(())
        }
    });
    caller.answered();

    // Two seconds of the loudspeaker's monitor.
    let ear = server
        .program("parec")
        .args(["--device=desk_spk.monitor", "--rate=48000", "--channels=1", "--format=s16le", "--latency-msec=20"])
        .stdout(Stdio::piped())
        .spawn();
    let mut ear = Running(ear.unwrap());
    let mut heard = vec![0_u8; 48_000 * 2 * 2];
    let output = ear.0.stdout.as_mut().unwrap();
    // The tone of a call that answered by itself passes first.
    output.read_exact(&mut heard[..48_000]).unwrap();
    output.read_exact(&mut heard).unwrap();
    let heard: Vec<i16> = heard.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let out = best_share(1_000.0, 48_000, &heard);
    assert!(out > 0.45, "the peer's tone comes out of the loudspeaker: {out}");
    let loud = heard.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
    assert!((8_000..13_000).contains(&loud), "at the level it was sent with: {loud}");

    let (call, desk_call) = (caller.ended(), desk.ended());
    assert!(call.answered && call.media.lost == 0, "{call:?}");
    assert!(desk_call.media.late_frames == 0, "{desk_call:?}");
    let path = folder.path().join("caller.wav");
    let recorded: Vec<i16> = hound::WavReader::open(path).unwrap().samples().map(Result::unwrap).collect();
    let back = best_share(700.0, 8_000, &recorded);
    assert!(back > 0.45, "the microphone's tone arrives at the peer: {back}");
    // Steady: in the last two seconds nearly every tenth of a second is the tone.
    let last = &recorded[recorded.len() - 18_000..recorded.len() - 2_000];
    let good = last.chunks_exact(800).filter(|part| share_of(700.0, 8_000.0, part) > 0.45).count();
    assert!(good >= 18, "{good} of 20 tenths of a second are the tone alone");
    assert!(Duration::from_secs(5) < Duration::from_micros((call.duration_ms * 1_000.0) as u64));
}
