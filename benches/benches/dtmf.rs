//! What it costs to listen to 20 ms of a leg for keys: of speech, of silence and of a key held down.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use offhook_codec::{KeyDetector, Tone};
use offhook_units::SampleRate;

fn main() {
    divan::main();
}

/// Packets of one turn.
const TURN: usize = 50;
/// Samples of one packet.
const PACKET: usize = 160;

fn listen(bencher: Bencher, pcm: &[i16]) {
    let mut detector = KeyDetector::default();
    bencher.counter(ItemsCount::new(TURN)).bench_local(|| {
        for packet in pcm.chunks_exact(PACKET) {
            detector.feed(packet, |key| {
                black_box(key);
            });
        }
    });
}

#[divan::bench]
fn speech(bencher: Bencher) {
    let pcm: Vec<i16> = (0..(TURN * PACKET) as i32)
        .map(|n| ((n * 140 % 8_000 - 4_000) + (n * 610 % 8_000 - 4_000) / 2 + (n * 2_450 % 8_000 - 4_000) / 8) as i16)
        .collect();
    listen(bencher, &pcm);
}

#[divan::bench]
fn silence(bencher: Bencher) {
    listen(bencher, &[0; TURN * PACKET]);
}

#[divan::bench]
fn key(bencher: Bencher) {
    let mut pcm = [0; TURN * PACKET];
    if let Some(mut tone) = Tone::key(SampleRate::NARROW, '5') {
        tone.fill(&mut pcm);
    }
    listen(bencher, &pcm);
}
