//! What the softphone does to 10 ms of its microphone: each part alone, and all of them.
#![allow(missing_docs, reason = "benches document themselves by name")]

use divan::Bencher;
use offhook_headset::voice::FRAME;
use offhook_headset::{Voice, VoiceSwitches};

fn main() {
    divan::main();
}

/// A second of noise in bursts, as loud as speech: nothing that a part may skip.
fn speech(seed: u32) -> Vec<[i16; FRAME]> {
    let mut state = seed;
    let mut sample = |loud: bool| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as i16 / if loud { 16 } else { 256 }
    };
    (0..100).map(|frame| core::array::from_fn(|_| sample(frame % 40 < 25))).collect()
}

fn run(bencher: Bencher<'_, '_>, switches: VoiceSwitches) {
    let (played, captured) = (speech(1), speech(2));
    let mut voice = Voice::new(switches);
    let mut at = 0;
    bencher.bench_local(|| {
        let mut frame = captured[at];
        voice.played(&played[at], 60);
        voice.captured(&mut frame);
        at = (at + 1) % captured.len();
        frame
    });
}

#[divan::bench]
fn echo(bencher: Bencher<'_, '_>) {
    run(bencher, VoiceSwitches { echo: true, ..VoiceSwitches::OFF });
}

#[divan::bench]
fn noise(bencher: Bencher<'_, '_>) {
    run(bencher, VoiceSwitches { noise: true, ..VoiceSwitches::OFF });
}

#[divan::bench]
fn gain_and_limiter(bencher: Bencher<'_, '_>) {
    run(bencher, VoiceSwitches { gain: true, ..VoiceSwitches::OFF });
}

#[divan::bench]
fn all_of_them(bencher: Bencher<'_, '_>) {
    run(bencher, VoiceSwitches::ON);
}
