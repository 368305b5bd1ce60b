//! What it costs to measure how loud 20 ms of a leg are: the power of a payload of G.711, and the meter of active speech.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use offhook_codec::{Law, LevelMeter, power};

fn main() {
    divan::main();
}

/// Packets of one turn.
const TURN: u32 = 50;
/// Samples of one packet.
const PACKET: u32 = 160;

fn payloads() -> Vec<Vec<u8>> {
    (0..TURN).map(|n| (0..PACKET).map(|at| (at * 7 + n * 13) as u8).collect()).collect()
}

#[divan::bench]
fn packet(bencher: Bencher) {
    let payloads = payloads();
    let mut meter = LevelMeter::default();
    bencher.counter(ItemsCount::new(TURN)).bench_local(|| {
        for payload in &payloads {
            meter.take(PACKET, power(Law::A, black_box(payload)));
        }
        meter.samples()
    });
}

#[divan::bench]
fn told(bencher: Bencher) {
    let mut meter = LevelMeter::default();
    for payload in &payloads() {
        meter.take(PACKET, power(Law::Mu, payload));
    }
    bencher.bench_local(|| black_box(&meter).measured());
}
