//! What recording costs: both sides of some calls through the writer, as fast as it takes them, and the CPU time of its
//! threads for each second of each call; plain, then sealed.
//!
//! `cargo run --release -p offhook-recorder --example writer_cost [CALLS] [SECONDS]`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use offhook_plan::CodecKind;
use offhook_plan::tap::{Side, TapHeader, tap_ring};
use offhook_recorder::{KeyRing, Protection, RecordingSpec, Writer};
use offhook_units::{CallId, Entropy, LegId, RecordingId, Span, Tick};

const STARTED: Tick = Tick::from_us(1_709_251_199_000_000);

/// CPU time in nanoseconds that threads whose name begins with `recorder` have had, living and at their end.
fn recorder_cpu_ns() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let own = threads.filter(|thread| {
        std::fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.starts_with("recorder"))
    });
    let ns = own.filter_map(|thread| {
        let line = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        line.split(' ').next()?.parse::<u64>().ok()
    });
    ns.sum()
}

/// CPU nanoseconds of the writer while `calls` of `seconds` were recorded; their closing and hashing is not in it.
fn run(calls: u64, seconds: u64, sealed: bool) -> Result<u64, Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("writer-cost-{}-{sealed}", std::process::id()));
    let (mut tap, out) = tap_ring(1 << 22);
    let (told, _events) = crossbeam_channel::unbounded();
    let now = Arc::new(AtomicU64::new(STARTED.as_us()));
    let clock = now.clone();
    let keys = KeyRing::parse(&KeyRing::fresh_line(&mut Entropy::from_number(1)))?;
    let protection = sealed.then(|| Protection { keys, entropy: Entropy::from_number(2) });
    let clock = move || Tick::from_us(clock.load(Ordering::Relaxed));
    let writer = Writer::start_sealed(&folder, vec![out], move |event| _ = told.send(event), clock, protection)?;
    for id in 1..=calls {
        let meta = BTreeMap::new();
        let (id, call) = (RecordingId(id), CallId(id));
        writer.open(RecordingSpec { id, call, started: STARTED, meta, codec: CodecKind::Pcmu });
    }
    let mut payload = [0; 160];
    Entropy::from_number(7).fill(&mut payload);
    for n in 0..seconds * 50 {
        let at = STARTED + Span::from_ms(20) * n;
        for (id, side) in (1..=calls).flat_map(|id| [(id, Side::Heard), (id, Side::Sent)]) {
            let header = TapHeader {
                recording: RecordingId(id),
                leg: LegId(id),
                at,
                side,
                payload_type: 0,
                seq: n as u16,
                timestamp: n as u32 * 160,
                ssrc: id as u32,
                payload_bytes: 160,
                dropped_before: 0,
            };
            while !tap.push(&header, &payload) {
                std::thread::yield_now();
            }
        }
        // Half a second at once, so that each flush is as large as in life.
        if n % 25 == 24 {
            now.store(at.as_us(), Ordering::Relaxed);
            while writer.stats().records < (n + 1) * calls * 2 {
                tap.hand_over();
                std::thread::yield_now();
            }
        }
    }
    let used = recorder_cpu_ns();
    writer.shutdown();
    std::fs::remove_dir_all(folder)?;
    Ok(used)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let calls = numbers.next().transpose()?.unwrap_or(200);
    let seconds = numbers.next().transpose()?.unwrap_or(20);
    for sealed in [false, true] {
        let ns = run(calls, seconds, sealed)?;
        let name = if sealed { "sealed" } else { "plain" };
        println!("{name}: {:.1} us of CPU for each second of a call", ns as f64 / 1e3 / (calls * seconds) as f64);
    }
    Ok(())
}
