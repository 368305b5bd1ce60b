//! Routing decisions with 10,000 agents in 200 queues and 50,000 waiting contacts: target 5 us in the middle, 50 us at p99.9.
//!
//! `cargo bench -p offhook-benches --bench acd`. The first bench prints its own percentiles, of each strategy, over 20,000 decisions.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::time::{Duration, Instant};

use divan::Bencher;
use offhook_acd::Strategy;
use offhook_benches::floor::Floor;

const STRATEGIES: [Strategy; 5] =
    [Strategy::LongestIdle, Strategy::RoundRobin, Strategy::FewestCalls, Strategy::Linear, Strategy::Random];

fn main() {
    percentiles();
    divan::main();
}

/// How long the input took that freed an agent and made the next offer.
fn free_one(floor: &mut Floor) -> Duration {
    let mut took = Duration::ZERO;
    floor.free_one(|decide| {
        let began = Instant::now();
        decide();
        took = began.elapsed();
    });
    took
}

fn percentiles() {
    println!("input that frees an agent and makes an offer; 10,000 agents, 5 of 200 queues each, 50,000 waiting");
    for strategy in STRATEGIES {
        let mut floor = Floor::busy(10_000, 50_000, strategy);
        let mut took: Vec<Duration> = (0..20_000).map(|_| free_one(&mut floor)).collect();
        took.sort_unstable();
        let at = |per_myriad: usize| took[took.len() * per_myriad / 10_000].as_nanos() as f64 / 1_000.0;
        println!("{strategy:?}: p50 {:.2} us, p99 {:.2} us, p99.9 {:.2} us", at(5_000), at(9_900), at(9_990));
    }
}

/// Frees an agent while 50,000 wait: state change, routing and offer together.
#[divan::bench(args = [100, 1_000, 10_000, 100_000], sample_count = 200, sample_size = 1)]
fn an_agent_frees(bencher: Bencher, agents: u64) {
    let mut floor = Floor::busy(agents, 50_000, Strategy::LongestIdle);
    bencher.bench_local(|| free_one(&mut floor));
}

/// A contact enters while nobody waits and all agents idle; it is offered, and leaves again.
#[divan::bench(args = [100, 1_000, 10_000, 100_000], sample_count = 200, sample_size = 10)]
fn a_contact_enters_and_leaves(bencher: Bencher, agents: u64) {
    let mut floor = Floor::new(agents, Strategy::LongestIdle);
    bencher.bench_local(|| floor.enter_and_leave());
}
