//! What 20 ms of speech cost to encode and to decode as G.722, and to turn into and out of G.711.
//!
//! Each turn is one second of a stream, so that the codec's memory is that of a call.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use offhook_codec::{Coding, Law, Transcoder, g722};

fn main() {
    divan::main();
}

/// Packets of one turn.
const TURN: usize = 50;
/// Bytes of one packet.
const PACKET: usize = 160;

/// Two tones and their overtones, loud enough for large steps.
fn speech() -> Vec<i16> {
    (0..TURN as i32 * 320).map(|n| ((n * 700 % 16_000 - 8_000) / 2 + (n * 4_900 % 16_000 - 8_000) / 8) as i16).collect()
}

fn coded() -> Vec<u8> {
    let mut bytes = vec![0; TURN * PACKET];
    g722::Encoder::default().encode(&speech(), &mut bytes);
    bytes
}

#[divan::bench]
fn encode(bencher: Bencher) {
    let pcm = speech();
    let mut out = [0; PACKET];
    bencher.counter(ItemsCount::new(TURN)).bench_local(|| {
        let mut encoder = g722::Encoder::default();
        for frame in pcm.chunks_exact(2 * PACKET) {
            black_box(encoder.encode(frame, &mut out));
        }
    });
}

#[divan::bench]
fn decode(bencher: Bencher) {
    let bytes = coded();
    let mut out = [0; 2 * PACKET];
    bencher.counter(ItemsCount::new(TURN)).bench_local(|| {
        let mut decoder = g722::Decoder::default();
        for payload in bytes.chunks_exact(PACKET) {
            black_box(decoder.decode(payload, &mut out));
        }
    });
}

fn transcode(bencher: Bencher, from: Coding, to: Coding) {
    bencher.counter(ItemsCount::new(TURN)).with_inputs(coded).bench_local_values(|mut bytes| {
        let mut transcoder = Transcoder::new(from, to).expect("two codings");
        bytes.chunks_exact_mut(PACKET).for_each(|payload| transcoder.payload(payload));
        bytes
    });
}

#[divan::bench]
fn from_pcma(bencher: Bencher) {
    transcode(bencher, Coding::G711(Law::A), Coding::G722);
}

#[divan::bench]
fn to_pcma(bencher: Bencher) {
    transcode(bencher, Coding::G722, Coding::G711(Law::A));
}

#[divan::bench]
fn pcmu_to_pcma(bencher: Bencher) {
    transcode(bencher, Coding::G711(Law::Mu), Coding::G711(Law::A));
}
