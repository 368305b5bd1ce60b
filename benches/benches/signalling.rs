//! Calls and registrations through the whole exchange: signalling, log entries and records, without sockets and without the store.
//!
//! Budget: 200 us, of the 600 us that a plain call may cost in all.

use divan::Bencher;
use offhook_benches::house::House;

fn main() {
    divan::main();
}

fn warm(one: fn(&mut House)) -> House {
    let mut house = House::new();
    (0..4_000).for_each(|_| one(&mut house));
    house
}

#[divan::bench(sample_count = 50, sample_size = 100)]
fn plain_call(bencher: Bencher) {
    let mut house = warm(House::plain_call);
    bencher.bench_local(|| house.plain_call());
}

#[divan::bench(sample_count = 50, sample_size = 100)]
fn queue_call(bencher: Bencher) {
    let mut house = warm(House::queue_call);
    bencher.bench_local(|| house.queue_call());
}

#[divan::bench(sample_count = 50, sample_size = 100)]
fn registration(bencher: Bencher) {
    let mut house = warm(House::registration);
    bencher.bench_local(|| house.registration());
}
