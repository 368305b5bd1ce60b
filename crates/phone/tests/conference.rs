//! Three phones in conference over loopback: who hears whom, with one muted, one held, one gone, and after all of it.
#![expect(clippy::disallowed_methods, reason = "tests of an edge have clocks")]

mod harness;

use std::path::Path;
use std::time::Duration;

use harness::{Desk, files, on_loopback, share_of, tone};
use offhook_phone::{Dial, PhoneEvent};
use offhook_units::Span;

/// What our own phone, the first and the second called say.
const OURS: f32 = 400.0;
const FIRST: f32 = 700.0;
const SECOND: f32 = 1_100.0;
/// How long each state lasts: long enough for a window that it fills.
const STEP: Duration = Duration::from_millis(900);
/// A window's share of energy at a tone from which on it is heard: of two tones each has a quarter, of one half.
const HEARD: f32 = 0.1;

struct Room {
    ours: Desk,
    first: Desk,
    second: Desk,
}

fn phone(folder: &Path, name: &str, hz: f32, seed: u64) -> Desk {
    let mut config = on_loopback(files(folder, name, Some(tone(hz, 8_000 * 30))));
    config.auto_answer = Some(Span::ZERO);
    config.lines_max = 4;
    Desk::start(config, seed)
}

impl Room {
    fn open(folder: &Path) -> (Self, u32, u32) {
        let room = Self {
            ours: phone(folder, "ours", OURS, 21),
            first: phone(folder, "first", FIRST, 22),
            second: phone(folder, "second", SECOND, 23),
        };
        let one = room.ours.phone.dial(Dial::to(&room.first.uri()).unwrap()).unwrap();
        room.ours.answered();
        std::thread::sleep(STEP);
        room.ours.phone.hold(one, true);
        let two = room.ours.phone.dial(Dial::to(&room.second.uri()).unwrap()).unwrap();
        room.ours.answered();
        (room, one, two)
    }

    fn conference(&self, wanted: bool) {
        self.ours.wait("the conference", |event| {
            matches!(event, PhoneEvent::Conference { on, .. } if *on == wanted).then_some(())
        });
    }

    fn held(&self, wanted: bool) {
        self.ours
            .wait("hold", |event| matches!(event, PhoneEvent::Held { by_us, .. } if *by_us == wanted).then_some(()));
    }
}

/// The tones of a recording, every 300 ms, as a word: `o` ours, `f` of the first, `s` of the second, `-` silence. Words that repeat are one.
fn heard(folder: &Path, name: &str) -> Vec<String> {
    let samples: Vec<i16> = hound::WavReader::open(folder.join(name)).unwrap().samples().map(Result::unwrap).collect();
    let mut words: Vec<(String, u32)> = Vec::new();
    for window in samples.chunks_exact(1_600) {
        let loud = window.iter().any(|sample| sample.unsigned_abs() > 1_000);
        let tones = [('o', OURS), ('f', FIRST), ('s', SECOND)];
        let sounds = |hz: f32| share_of(hz, 8_000.0, window) > HEARD;
        let word: String =
            if loud { tones.iter().filter(|(_, hz)| sounds(*hz)).map(|(name, _)| name).collect() } else { "-".into() };
        match words.last_mut() {
            Some((last, times)) if *last == word => *times += 1,
            _ => words.push((word, 1)),
        }
    }
    // A window that lies across a change shows neither side of it.
    words.retain(|(_, times)| *times >= 2);
    words.dedup_by(|later, earlier| later.0 == earlier.0);
    words.into_iter().map(|(word, _)| word).collect()
}

#[test]
fn three_hear_each_other_muted_held_split_and_after_one_has_left() {
    let folder = tempfile::tempdir().unwrap();
    let (room, one, two) = Room::open(folder.path());
    let ours = &room.ours;
    std::thread::sleep(STEP);
    ours.phone.confer(one, two);
    room.conference(true);
    std::thread::sleep(STEP);
    ours.phone.mute(two, true);
    std::thread::sleep(STEP);
    ours.phone.mute(one, false);
    ours.phone.hold(one, true);
    room.held(true);
    std::thread::sleep(STEP);
    ours.phone.hold(one, false);
    room.held(false);
    std::thread::sleep(STEP);
    ours.phone.hang_up(one);
    room.conference(false);
    std::thread::sleep(STEP);
    ours.phone.off();
    let (a, b) = (room.first.ended(), room.second.ended());
    assert!(a.answered && b.answered);
    for desk in [&room.first, &room.second] {
        desk.phone.off();
        desk.wait("off", |event| matches!(event, PhoneEvent::Off).then_some(()));
    }
    // The first: held at first, all, without us, held, all.
    let first = heard(folder.path(), "first.wav");
    assert_eq!(first, ["o", "-", "os", "s", "-", "os"], "{first:?}");
    // The second: us, all, the first alone, us alone, all, us alone.
    let second = heard(folder.path(), "second.wav");
    assert_eq!(second, ["o", "of", "f", "o", "of", "o"], "{second:?}");
}

#[test]
fn a_conference_that_is_split_leaves_one_talking_and_the_other_held_and_takes_no_fourth() {
    let folder = tempfile::tempdir().unwrap();
    let (room, one, two) = Room::open(folder.path());
    let fault = |what: &str| {
        room.ours.wait(what, |event| matches!(event, PhoneEvent::Fault { .. }).then_some(()));
    };
    room.ours.phone.confer(one, one);
    fault("a conference with itself");
    room.ours.phone.split(one);
    fault("there is none");
    room.ours.phone.confer(one, two);
    room.conference(true);
    let third = phone(folder.path(), "third", 1_500.0, 24);
    let three = room.ours.phone.dial(Dial::to(&third.uri()).unwrap()).unwrap();
    room.ours.answered();
    room.ours.phone.confer(one, three);
    fault("three are as many as can talk");
    room.ours.phone.hang_up(three);
    room.ours.phone.split(two);
    room.conference(false);
    room.held(true);
    room.first.wait("hold", |event| matches!(event, PhoneEvent::Held { by_peer: true, .. }).then_some(()));
    // The one whose peer leaves by itself ends it as well.
    room.ours.phone.confer(two, one);
    room.conference(true);
    room.second.phone.off();
    room.conference(false);
}
