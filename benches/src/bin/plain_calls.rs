//! Plain calls through a whole exchange, to be counted: `valgrind --tool=callgrind target/release/plain_calls CALLS`.
//! The instructions of two runs, 2,000 and 4,000 calls, differ by what 2,000 calls cost on any machine, whatever its mood.

use offhook_benches::plain::PlainCalls;

fn main() {
    let wanted = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let mut calls = PlainCalls::new();
    for _ in 0..wanted {
        calls.call();
    }
    println!("{} calls, {} bytes of log a call", calls.records, calls.stored / calls.records.max(1));
}
