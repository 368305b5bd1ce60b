//! Devices that come and go under a headset that is in use, on a private PulseAudio.
#![expect(clippy::disallowed_methods, reason = "tests of an edge start programs and have clocks")]

mod pulse;

use std::time::{Duration, Instant};

use offhook_headset::{Headset, HeadsetConfig, HeadsetEvent, Microphone, Speaker, Way};
use offhook_units::SampleRate;
use pulse::SoundServer;

const SINKS: &str = "load-module module-null-sink sink_name=desk rate=48000 channels=2 sink_properties=device.description=desk\n\
     load-module module-null-sink sink_name=room rate=44100 channels=1 sink_properties=device.description=room\n\
     load-module module-null-sink sink_name=voice rate=48000 channels=2\n\
     load-module module-remap-source source_name=mouth master=voice.monitor source_properties=device.description=mouth\n\
     set-default-sink room\nset-default-source mouth\n";
const WITHIN: Duration = Duration::from_secs(10);

/// A headset in use: 10 ms each way every 10 ms.
struct Desk {
    headset: Headset,
    microphone: Microphone,
    speaker: Speaker,
    next: Instant,
}

impl Desk {
    fn open(input: Option<&str>, output: Option<&str>) -> Self {
        let config = HeadsetConfig {
            input: input.map(str::to_owned),
            output: output.map(str::to_owned),
            instead: None,
            call_rate: SampleRate::NARROW,
        };
        let (headset, microphone, speaker) = Headset::open(config).unwrap();
        Self { headset, microphone, speaker, next: Instant::now() }
    }

    /// Speaks and listens until an event that `is` takes, and gives how long that took.
    fn until(&mut self, what: &str, mut is: impl FnMut(&HeadsetEvent) -> bool) -> Duration {
        let begin = Instant::now();
        let mut seen = Vec::new();
        loop {
            self.speaker.play(&[1_000; 80]);
            self.microphone.read(&mut [0; 80]);
            self.next += Duration::from_millis(10);
            let events = self.headset.events().clone();
            while let Ok(event) = events.recv_deadline(self.next) {
                if is(&event) {
                    return begin.elapsed();
                }
                seen.push(event);
            }
            assert!(begin.elapsed() < WITHIN, "{what}: {seen:?}");
        }
    }

    fn until_open(&mut self, wanted: Way, name: &str) -> Duration {
        self.until(name, |event| {
            matches!(event, HeadsetEvent::Opened { way, device, .. } if *way == wanted && device.contains(name))
        })
    }
}

#[test]
fn a_loudspeaker_unplugged_in_use_is_replaced_within_a_second_and_taken_again_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = SoundServer::start(folder.path(), SINKS) else { return };
    // SAFETY: this file's tests are one, and no other thread of it reads the environment yet.
    unsafe { std::env::set_var("PULSE_SERVER", server.address()) };

    let mut desk = Desk::open(Some("mouth"), Some("desk"));
    desk.until_open(Way::Playback, "desk");
    desk.until_open(Way::Capture, "mouth");

    let module = |name: &str| {
        let sinks = server.pactl(&["list", "short", "modules"]);
        let line = sinks.lines().find(|line| line.contains(&format!("sink_name={name} "))).unwrap().to_owned();
        line.split_whitespace().next().unwrap().to_owned()
    };
    server.pactl(&["unload-module", &module("desk")]);
    let mut said = Vec::new();
    let took = desk.until("the stand-in", |event| {
        said.push(event.clone());
        matches!(event, HeadsetEvent::Opened { way: Way::Playback, device, .. } if device.contains("room"))
    });
    println!("replaced after {} ms", took.as_millis());
    assert!(took < Duration::from_secs(1), "{took:?}: {said:?}");
    assert!(said.iter().any(|event| matches!(event, HeadsetEvent::Lost { way: Way::Playback, .. })), "{said:?}");
    desk.until(
        "the message",
        |event| matches!(event, HeadsetEvent::Missing { way: Way::Playback, wanted } if wanted == "desk"),
    );

    server.pactl(&["load-module", "module-null-sink", "sink_name=desk", "sink_properties=device.description=desk"]);
    let took = desk.until_open(Way::Playback, "desk");
    println!("taken again after {} ms", took.as_millis());
    assert!(took < Duration::from_secs(2), "{took:?}");

    // Who wants no device by name follows the system's choice.
    drop(desk);
    let mut desk = Desk::open(None, None);
    desk.until_open(Way::Playback, "room");
    server.pactl(&["set-default-sink", "desk"]);
    let took = desk.until_open(Way::Playback, "desk");
    println!("followed after {} ms", took.as_millis());
    assert!(took < Duration::from_secs(1), "{took:?}");

    // A name that is not there is told, and the system's choice stands in.
    drop(desk);
    let mut desk = Desk::open(Some("mouth"), Some("nowhere"));
    desk.until_open(Way::Playback, "desk");
    desk.until("the message", |event| matches!(event, HeadsetEvent::Missing { wanted, .. } if wanted == "nowhere"));

    // Without any microphone one hears all the same, and what the loudspeaker plays is not taken for a voice.
    let remap = server.pactl(&["list", "short", "modules"]);
    let remap = remap.lines().find(|line| line.contains("module-remap-source")).unwrap();
    server.pactl(&["unload-module", remap.split_whitespace().next().unwrap()]);
    desk.until("the loss", |event| matches!(event, HeadsetEvent::Lost { way: Way::Capture, .. }));
    drop(desk);
    let mut desk = Desk::open(None, None);
    desk.until_open(Way::Playback, "desk");
    desk.until("the word", |event| {
        matches!(event, HeadsetEvent::Lost { way: Way::Capture, why } if why.contains("there is no input device"))
    });
}
