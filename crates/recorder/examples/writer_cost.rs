//! What recording costs: both sides of some calls through the writer, as fast as it takes them, and the CPU time of its
//! threads for each second of each call; plain, then sealed.
//!
//! `cargo run --release -p offhook-recorder --example writer_cost [CALLS] [SECONDS] [opus|l16|g722|pcma|pcmu]`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use offhook_codec::opus;
use offhook_plan::CodecKind;
use offhook_plan::tap::{Side, TapHeader, tap_ring};
use offhook_recorder::{KeyRing, Protection, RecordingSpec, Writer};
use offhook_units::{CallId, Entropy, LegId, RecordingId, SampleRate, Span, Tick};

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

/// A second of packets: of Opus as a browser makes it, of 48 kHz; noise of the others.
fn said(codec: CodecKind) -> Vec<Vec<u8>> {
    let bytes = if codec == CodecKind::L16 { 320 } else { 160 };
    let mut noise = vec![0; bytes];
    Entropy::from_number(7).fill(&mut noise);
    if codec != CodecKind::Opus {
        return vec![noise];
    }
    let settings = opus::Settings { bitrate: 32_000, ..opus::Settings::voice(SampleRate::FULL) };
    let mut encoder = opus::Encoder::new(&settings).expect("an encoder");
    let saw = |n: usize, hertz: usize| (n * hertz % 48_000) as i32 / 6 - 4_000;
    let pcm: Vec<i16> = (0..48_000).map(|n| (saw(n, 140) / 2 + saw(n, 610) / 8) as i16).collect();
    let mut packets = Vec::new();
    for frame in pcm.chunks_exact(960) {
        let mut out = vec![0; opus::PACKET_BYTES_MAX];
        if let Ok(opus::Encoded::Packet(bytes)) = encoder.encode(frame, &mut out) {
            out.truncate(bytes);
            packets.push(out);
        }
    }
    packets
}

/// CPU nanoseconds of the writer while `calls` of `seconds` were recorded; their closing and hashing is not in it.
fn run(calls: u64, seconds: u64, sealed: bool, codec: CodecKind) -> Result<u64, Box<dyn std::error::Error>> {
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
        writer.open(RecordingSpec { id, call, started: STARTED, meta, codec: codec.recorded_as() });
    }
    let payloads = said(codec);
    for n in 0..seconds * 50 {
        let at = STARTED + Span::from_ms(20) * n;
        let payload = &payloads[n as usize % payloads.len()];
        for (id, side) in (1..=calls).flat_map(|id| [(id, Side::Heard), (id, Side::Sent)]) {
            let header = TapHeader {
                recording: RecordingId(id),
                leg: LegId(id),
                at,
                side,
                payload_type: 0,
                codec: Some(codec),
                seq: n as u16,
                timestamp: n as u32 * codec.clock() / 50,
                ssrc: id as u32,
                payload_bytes: payload.len() as u16,
                dropped_before: 0,
            };
            while !tap.push(&header, payload) {
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
    let mut numbers = std::env::args().skip(1).take(2).map(|text| text.parse::<u64>());
    let calls = numbers.next().transpose()?.unwrap_or(200);
    let seconds = numbers.next().transpose()?.unwrap_or(20);
    let name = std::env::args().nth(3);
    let named = |codec: &CodecKind| name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(codec.name()));
    let codec = CodecKind::ALL.into_iter().find(named).unwrap_or(CodecKind::Pcmu);
    for sealed in [false, true] {
        let ns = run(calls, seconds, sealed, codec)?;
        let name = if sealed { "sealed" } else { "plain" };
        println!(
            "{} {name}: {:.1} us of CPU for each second of a call",
            codec.name(),
            ns as f64 / 1e3 / (calls * seconds) as f64
        );
    }
    Ok(())
}
