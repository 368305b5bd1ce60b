//! What appending costs: a busy exchange's log for some seconds, and the CPU time of the whole process.
//!
//! `cargo run --release -p offhook-store --example append_cost [RECORDS_PER_SECOND] [SECONDS]`
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::time::{Duration, Instant};

use offhook_store::{Record, Store};
use offhook_units::Tick;

/// User and system time of this process in milliseconds, from `/proc/self/schedstat` of each thread.
fn cpu_ms() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let ns = threads.filter_map(|thread| {
        let line = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        line.split(' ').next()?.parse::<f64>().ok()
    });
    ns.sum::<f64>() / 1e6
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let rate = numbers.next().transpose()?.unwrap_or(1_500);
    let seconds = numbers.next().transpose()?.unwrap_or(5);
    let folder = std::env::temp_dir().join(format!("append-cost-{}", std::process::id()));
    let store = Store::open(&folder)?;
    let ticks = crossbeam_channel::tick(Duration::from_millis(2));
    let (begun, cpu_before) = (Instant::now(), cpu_ms());
    let mut appended = 0;
    while appended < rate * seconds {
        ticks.recv()?;
        let due = (begun.elapsed().as_micros() as u64 * rate / 1_000_000).min(rate * seconds);
        let next = store.next_seq();
        let records: Vec<_> = (0..due - appended)
            .map(|n| Record {
                stream: 1,
                seq: next + n,
                at: Tick::from_us(next),
                kind: 1,
                version: 1,
                bytes: vec![7; 60],
            })
            .collect();
        appended = due;
        if !records.is_empty() {
            store.append(records)?;
        }
    }
    let cpu = cpu_ms() - cpu_before;
    let stats = store.stats();
    store.shutdown()?;
    println!(
        "{appended} records of 60 bytes in {:.1} s, {} commits, {:.0} us mean and {} us longest; {:.2} ms CPU per 1,000 records",
        begun.elapsed().as_secs_f64(),
        stats.commits,
        stats.commit_us as f64 / stats.commits.max(1) as f64,
        stats.commit_us_max,
        cpu * 1_000.0 / appended.max(1) as f64,
    );
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
