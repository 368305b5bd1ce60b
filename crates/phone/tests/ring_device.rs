//! It rings on one device and is talked on another, through `cpal` and a private PulseAudio with null sinks.
#![expect(clippy::disallowed_methods, reason = "tests of an edge start programs and have clocks")]

mod harness;
#[path = "../../headset/tests/pulse/mod.rs"]
mod pulse;

use std::io::Read;
use std::process::Stdio;
use std::time::Instant;

use harness::{Desk, WITHIN, files, on_loopback, share_of, tone};
use offhook_phone::{DeviceConfig, Dial, PhoneConfig, PhoneEvent};
use offhook_units::Span;
use pulse::{Running, SoundServer};

const SINKS: &str = "load-module module-null-sink sink_name=desk sink_properties=device.description=desk\n\
     load-module module-null-sink sink_name=room sink_properties=device.description=room\n\
     load-module module-null-sink sink_name=other sink_properties=device.description=other\n\
     load-module module-null-sink sink_name=voice\n\
     load-module module-remap-source source_name=mouth master=voice.monitor\n\
     set-default-sink other\nset-default-source mouth\n";
/// Of the tone of an incoming call, and of whoever calls.
const RING_HZ: f32 = 440.0;
const CALLER_HZ: f32 = 1_000.0;
/// What tells that a call has answered by itself.
const ZIP_HZ: f32 = 800.0;

/// An ear at a loudspeaker, from now on.
struct Ear(Running);

impl Ear {
    fn at(server: &SoundServer, sink: &str) -> Self {
        let parec = server
            .program("parec")
            .arg(format!("--device={sink}.monitor"))
            .args(["--rate=8000", "--channels=1", "--format=s16le", "--latency-msec=20"])
            .stdout(Stdio::piped())
            .spawn();
        Self(Running(parec.unwrap()))
    }

    fn tenth(&mut self) -> Vec<i16> {
        let mut bytes = [0; 1_600];
        self.0.0.stdout.as_mut().unwrap().read_exact(&mut bytes).unwrap();
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    /// Listens until a tenth of a second is this tone.
    fn hears(&mut self, what: &str, hz: f32) {
        let deadline = Instant::now() + WITHIN;
        while share_of(hz, 8_000.0, &self.tenth()) < 0.2 {
            assert!(Instant::now() < deadline, "{what} is not heard");
        }
    }

    /// Listens until a tenth of a second is silent.
    fn hears_silence_again(&mut self) {
        let deadline = Instant::now() + WITHIN;
        while self.tenth().iter().any(|sample| sample.unsigned_abs() > 20) {
            assert!(Instant::now() < deadline, "it never falls silent");
        }
    }

    /// Listens for half a second, of which nothing is to be heard.
    fn hears_nothing(&mut self, what: &str) {
        let loudest = (0..5).flat_map(|_| self.tenth()).map(i16::unsigned_abs).max();
        assert!(loudest < Some(20), "{what}: {loudest:?}");
    }
}

#[test]
fn it_rings_in_the_room_and_is_talked_at_the_desk_and_rings_at_the_desk_while_the_room_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = SoundServer::start(folder.path(), SINKS) else { return };
    // SAFETY: this file holds one test, and no other thread of it reads the environment yet.
    unsafe { std::env::set_var("PULSE_SERVER", server.address()) };
    let (mut at_desk, mut in_room) = (Ear::at(&server, "desk"), Ear::at(&server, "room"));

    let mut engine = files(folder.path(), "desk", None);
    engine.devices = Some(DeviceConfig::new(Some("mouth".into()), Some("desk".into()), Some("room".into())));
    let devices = engine.devices.clone();
    let desk = Desk::start(PhoneConfig { lines_max: 2, ..on_loopback(engine) }, 1);
    let caller = Desk::start(on_loopback(files(folder.path(), "caller", Some(tone(CALLER_HZ, 24_000)))), 2);
    let call = caller.phone.dial(Dial::to(&desk.uri()).unwrap()).unwrap();
    let rings = desk.incoming();
    desk.wait("the ringer", |event| {
        matches!(event, PhoneEvent::Device { what, .. } if what.starts_with("ring output: room")).then_some(())
    });
    in_room.hears("the ring in the room", RING_HZ);
    at_desk.hears_nothing("while it rings in the room, at the desk");
    desk.phone.answer(rings);
    caller.answered();
    at_desk.hears("the caller at the desk", CALLER_HZ);
    // What was on its way is out by then.
    in_room.hears_silence_again();
    in_room.hears_nothing("while we talk, in the room");

    // Another call only knocks, in the ear of who talks.
    let second = Desk::start(on_loopback(files(folder.path(), "second", None)), 3);
    let knocks = second.phone.dial(Dial::to(&desk.uri()).unwrap()).unwrap();
    desk.incoming();
    at_desk.hears("the call that waits, at the desk", RING_HZ);
    in_room.hears_nothing("while a call waits, in the room");
    second.phone.hang_up(knocks);
    second.ended();
    desk.ended();
    caller.phone.hang_up(call);
    caller.ended();
    desk.ended();

    // A call that answers by itself says so.
    let mut engine = files(folder.path(), "zip", None);
    engine.devices = devices;
    let zip = Desk::start(PhoneConfig { auto_answer: Some(Span::ZERO), ..on_loopback(engine) }, 4);
    let call = second.phone.dial(Dial::to(&zip.uri()).unwrap()).unwrap();
    at_desk.hears("the tone of a call that has answered by itself", ZIP_HZ);
    second.phone.hang_up(call);
    second.ended();

    let sinks = server.pactl(&["list", "short", "modules"]);
    let room = sinks.lines().find(|line| line.contains("sink_name=room")).unwrap();
    drop(in_room);
    server.pactl(&["unload-module", room.split_whitespace().next().unwrap()]);
    caller.phone.dial(Dial::to(&desk.uri()).unwrap()).unwrap();
    desk.incoming();
    desk.wait("the word on it", |event| {
        matches!(event, PhoneEvent::Device { what, .. } if what.contains("no device is called `room`")).then_some(())
    });
    at_desk.hears("the ring at the desk", RING_HZ);
}
