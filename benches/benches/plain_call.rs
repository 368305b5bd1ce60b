//! A plain call through the whole exchange: its signalling, its log entries and its record, without sockets and without the store.
//!
//! Budget: 200 us, of the 600 us that a plain call may cost in all.

use divan::Bencher;
use offhook_benches::plain::PlainCalls;

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 50, sample_size = 100)]
fn plain_call(bencher: Bencher) {
    let mut calls = PlainCalls::new();
    for _ in 0..4_000 {
        calls.call();
    }
    bencher.bench_local(|| calls.call());
}
