//! What 20 ms of a mix cost, everything included: packets in, jitter buffers, sums, encoding, packets out; for two who are listened
//! in on, and for conferences in which everybody speaks and hears all others.

use divan::Bencher;
use offhook_benches::talk::Talk;
use offhook_plan::CodecKind;

fn main() {
    divan::main();
}

/// The same without a mix, to compare with.
#[divan::bench]
fn relay_of_two(bencher: Bencher) {
    let mut talk = Talk::new(2, [(0, 1), (1, 0)].into_iter());
    bencher.bench_local(move || talk.turn());
}

/// What is passed on in these is decoded now and then, to be measured.
#[divan::bench(args = [CodecKind::L16, CodecKind::G722, CodecKind::Opus])]
fn relay_of_two_in(bencher: Bencher, codec: CodecKind) {
    let mut talk = Talk::of(vec![codec; 2], [(0, 1), (1, 0)].into_iter());
    bencher.bench_local(move || talk.turn());
}

#[divan::bench]
fn two_and_one_who_listens(bencher: Bencher) {
    let mut talk = Talk::new(3, [(0, 1), (1, 0), (2, 0), (2, 1)].into_iter());
    bencher.bench_local(move || talk.turn());
}

#[divan::bench]
fn opus_and_g711(bencher: Bencher) {
    let mut talk = Talk::of(vec![CodecKind::Opus, CodecKind::Pcmu], [(0, 1), (1, 0)].into_iter());
    bencher.bench_local(move || talk.turn());
}

#[divan::bench(args = [3, 8, 32])]
fn conference(bencher: Bencher, parties: u16) {
    let all = (0..parties).flat_map(|to| (0..parties).filter(move |from| *from != to).map(move |from| (to, from)));
    let mut talk = Talk::new(parties, all);
    bencher.bench_local(move || talk.turn());
}

/// The same of legs that hear each other up to 8 kHz.
#[divan::bench(args = [3, 8, 32])]
fn conference_in_g722(bencher: Bencher, parties: u16) {
    let all = (0..parties).flat_map(|to| (0..parties).filter(move |from| *from != to).map(move |from| (to, from)));
    let mut talk = Talk::of(vec![CodecKind::G722; usize::from(parties)], all);
    bencher.bench_local(move || talk.turn());
}

#[divan::bench(args = [CodecKind::Pcmu, CodecKind::Opus])]
fn two_with_opus_and_a_third_in(bencher: Bencher, third: CodecKind) {
    let all = (0..3).flat_map(|to| (0..3).filter(move |from| *from != to).map(move |from| (to, from)));
    let mut talk = Talk::of(vec![CodecKind::Opus, CodecKind::Opus, third], all);
    bencher.bench_local(move || talk.turn());
}
