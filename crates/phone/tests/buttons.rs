//! A headset's buttons drive two calls, and its lamps follow, over loopback and without a headset.
#![expect(clippy::disallowed_methods, reason = "tests of an edge have clocks")]

mod harness;

use std::time::Instant;

use crossbeam_channel::{Receiver, bounded};
use harness::{Desk, WITHIN, files, on_loopback};
use offhook_headset::{Buttons, Lamps, Press};
use offhook_phone::{Dial, PhoneConfig, PhoneEvent};

/// Waits until the lamps are these; those between are passed over.
fn shows(lamps: &Receiver<Lamps>, wanted: Lamps) {
    let deadline = Instant::now() + WITHIN;
    let mut seen = Vec::new();
    while seen.last() != Some(&wanted) {
        seen.push(lamps.recv_deadline(deadline).unwrap_or_else(|error| panic!("{wanted:?}: {error} after {seen:?}")));
    }
}

fn held(desk: &Desk, wanted: u32, on: bool) {
    desk.wait("hold", |event| {
        matches!(event, PhoneEvent::Held { call, by_us, .. } if *call == wanted && *by_us == on).then_some(())
    });
}

#[test]
fn a_headset_answers_mutes_swaps_and_puts_down_and_its_lamps_follow() {
    let folder = tempfile::tempdir().unwrap();
    let (press, presses) = bounded(16);
    let (lamps, shown) = bounded(16);
    let buttons = Some(Buttons { presses, lamps });
    let desk = PhoneConfig { lines_max: 2, buttons, ..on_loopback(files(folder.path(), "desk", None)) };
    let desk = Desk::start(desk, 1);
    let anna = Desk::start(on_loopback(files(folder.path(), "anna", None)), 2);
    let ben = Desk::start(on_loopback(files(folder.path(), "ben", None)), 3);
    let push = |what| press.send(what).unwrap();
    let off_hook = Lamps { off_hook: true, ..Lamps::default() };

    anna.phone.dial(Dial::to(&desk.uri()).unwrap()).unwrap();
    let first = desk.incoming();
    shows(&shown, Lamps { ring: true, ..Lamps::default() });
    push(Press::OffHook);
    anna.answered();
    shows(&shown, off_hook);
    push(Press::Mute);
    desk.wait("mute", |event| matches!(event, PhoneEvent::Muted { on: true, .. }).then_some(()));
    shows(&shown, Lamps { mute: true, ..off_hook });
    push(Press::Mute);
    shows(&shown, off_hook);

    ben.phone.dial(Dial::to(&desk.uri()).unwrap()).unwrap();
    let second = desk.incoming();
    shows(&shown, Lamps { ring: true, ..off_hook });
    push(Press::Flash);
    held(&desk, first, true);
    ben.answered();
    shows(&shown, Lamps { hold: true, ..off_hook });
    push(Press::Flash);
    held(&desk, second, true);
    held(&desk, first, false);
    push(Press::OnHook);
    assert!(anna.ended().answered);
    push(Press::Flash);
    held(&desk, second, false);
    push(Press::OnHook);
    assert!(ben.ended().answered);
    shows(&shown, Lamps::default());
}
