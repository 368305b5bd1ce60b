//! What 20 ms of speech cost to encode as Opus and to decode, at the rates that calls have.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use offhook_codec::opus::{Decoder, Encoded, Encoder, PACKET_BYTES_MAX, Settings};
use offhook_units::SampleRate;

fn main() {
    divan::main();
}

/// Packets of one turn: a second.
const TURN: usize = 50;
/// Rates of a call's legs.
const RATES: [u32; 3] = [8_000, 16_000, 48_000];

/// Two tones and their overtones.
fn speech(rate: u32) -> Vec<i16> {
    let saw = |n: u32, hertz: u32| (n * hertz % rate) as i32 * 8_000 / rate as i32 - 4_000;
    (0..rate).map(|n| (saw(n, 140) / 2 + saw(n, 610) / 8) as i16).collect()
}

fn settings(rate: u32) -> Settings {
    Settings { expected_loss_percent: 5, ..Settings::voice(SampleRate(rate)) }
}

#[divan::bench(args = RATES)]
fn encode(bencher: Bencher, rate: u32) {
    let (pcm, mut out) = (speech(rate), [0; PACKET_BYTES_MAX]);
    let mut encoder = Encoder::new(&settings(rate)).expect("an encoder");
    bencher.counter(ItemsCount::new(TURN)).bench_local(|| {
        for frame in pcm.chunks_exact(rate as usize / TURN) {
            black_box(encoder.encode(frame, &mut out).is_ok());
        }
    });
}

#[divan::bench(args = RATES)]
fn decode(bencher: Bencher, rate: u32) {
    let mut encoder = Encoder::new(&settings(48_000)).expect("an encoder");
    let mut packets = Vec::new();
    for frame in speech(48_000).chunks_exact(960) {
        let mut out = vec![0; PACKET_BYTES_MAX];
        if let Ok(Encoded::Packet(bytes)) = encoder.encode(frame, &mut out) {
            out.truncate(bytes);
            packets.push(out);
        }
    }
    let (mut decoder, mut out) = (Decoder::new(SampleRate(rate)).expect("a decoder"), vec![0; rate as usize / 8]);
    bencher.counter(ItemsCount::new(TURN)).bench_local(|| {
        for packet in &packets {
            black_box(decoder.decode(packet, &mut out).is_ok());
        }
    });
}
