//! What a recording keeps in memory while it grows: counted by an allocator, over fifty recordings at once that the writer is
//! fed by its ring.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering::Relaxed};

use crossbeam_channel::{Receiver, unbounded};
use offhook_plan::CodecKind;
use offhook_plan::tap::{Side, TapHeader, TapWriter, tap_ring};
use offhook_recorder::{KeyRing, Manifest, Protection, RecorderEvent, RecordingSpec, Writer, WriterHandle};
use offhook_units::{CallId, Entropy, LegId, RecordingId, Span, Tick};
use tempfile::TempDir;

/// Bytes taken and not given back, by all threads.
static HELD: AtomicIsize = AtomicIsize::new(0);
/// The most of them at once.
static HELD_MAX: AtomicIsize = AtomicIsize::new(0);

struct Counting;

// SAFETY: hands everything to the system's allocator unchanged; counting touches atomics only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        hold(layout.size().cast_signed());
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        hold(-layout.size().cast_signed());
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        hold(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's contract is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn hold(bytes: isize) {
    HELD_MAX.fetch_max(HELD.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const STARTED: Tick = Tick::from_us(1_709_251_199_000_000);
const RECORDINGS: u64 = 50;
/// What is fed at a time: as much as the writer lets lie before it writes.
const STEP: Span = Span::from_ms(500);
const PACKETS_A_STEP: u64 = 25;

/// A writer with [`RECORDINGS`] open recordings, on a clock that the test turns.
struct House {
    now: Arc<AtomicU64>,
    tap: TapWriter,
    writer: WriterHandle,
    events: Receiver<RecorderEvent>,
    /// Records fed.
    fed: u64,
    steps: u64,
    /// What was held before the first recording opened.
    before: isize,
    _dir: TempDir,
}

impl House {
    fn new(sealed: bool) -> Self {
        let dir = TempDir::new().expect("a folder");
        let (tap, out) = tap_ring(4 << 20);
        let (told, events) = unbounded();
        let now = Arc::new(AtomicU64::new(STARTED.as_us()));
        let clock = now.clone();
        let clock = move || Tick::from_us(clock.load(Relaxed));
        let mut entropy = Entropy::from_number(1);
        let protection = sealed.then(|| {
            let keys = KeyRing::parse(&KeyRing::fresh_line(&mut entropy)).expect("a key");
            Protection { keys, entropy: entropy.fork() }
        });
        let told = move |event| _ = told.send(event);
        let writer = Writer::start_sealed(dir.path(), vec![out], told, clock, protection).expect("a writer");
        let before = HELD.load(Relaxed);
        for id in 1..=RECORDINGS {
            let meta = BTreeMap::from([("queue".into(), "sales".into())]);
            let (id, call) = (RecordingId(id), CallId(id));
            writer.open(RecordingSpec { id, call, started: STARTED, meta, codec: CodecKind::Pcmu });
        }
        Self { now, tap, writer, events, fed: 0, steps: 0, before, _dir: dir }
    }

    /// Half a second of speech at a time from `sides` of each recording; gives the most that a recording held meanwhile.
    fn talk(&mut self, steps: u64, sides: &[Side]) -> isize {
        HELD_MAX.store(HELD.load(Relaxed), Relaxed);
        for _ in 0..steps {
            for n in self.steps * PACKETS_A_STEP..(self.steps + 1) * PACKETS_A_STEP {
                for id in 1..=RECORDINGS {
                    for side in sides {
                        self.packet(id, n, *side);
                    }
                }
            }
            self.steps += 1;
            while self.writer.stats().records < self.fed {
                self.tap.hand_over();
                std::thread::yield_now();
            }
            let written = self.writer.stats().bytes_written;
            self.now.store((STARTED + STEP * self.steps).as_us(), Relaxed);
            // Each recording writes what came.
            while self.writer.stats().bytes_written < written + RECORDINGS * PACKETS_A_STEP * 320 {
                std::thread::yield_now();
            }
        }
        (HELD_MAX.load(Relaxed) - self.before) / RECORDINGS.cast_signed() as isize
    }

    fn packet(&mut self, id: u64, n: u64, side: Side) {
        // Up to 15 ms late.
        let late = Span::from_us((id * 7 + n * 13) % 16 * 1_000);
        let header = TapHeader {
            recording: RecordingId(id),
            leg: LegId(id),
            at: STARTED + Span::from_ms(20) * n + late,
            side,
            payload_type: 0,
            codec: Some(CodecKind::Pcmu),
            seq: n as u16,
            timestamp: n as u32 * 160,
            ssrc: 5,
            payload_bytes: 160,
            dropped_before: 0,
        };
        while !self.tap.push(&header, &[n as u8; 160]) {
            std::thread::yield_now();
        }
        self.fed += 1;
    }

    fn close(self) -> Vec<Manifest> {
        let Self { writer, events, tap, .. } = self;
        drop(tap);
        writer.shutdown();
        let manifest = |event| match event {
            RecorderEvent::Closed(manifest) => *manifest,
            other => panic!("{other:?}"),
        };
        events.iter().map(manifest).collect()
    }
}

#[test]
fn a_recording_holds_at_most_13_kib_while_both_speak_and_some_72_kib_while_one_is_silent() {
    for (sealed, most) in [(false, 13 << 10), (true, 15 << 10)] {
        let mut house = House::new(sealed);
        let (both, caller) = ([Side::Heard, Side::Sent], [Side::Heard]);
        let begins = house.talk(2, &both);
        let talks = house.talk(5, &both);
        let waits = house.talk(10, &caller);
        house.talk(2, &both);
        let talks_again = house.talk(5, &both);
        let figures = [begins, talks, waits, talks_again];
        println!("bytes a recording at the start, in talk, with one side, again; sealed {sealed}: {figures:?}");
        // At the start ten packets of each side are gathered before the first has its place.
        assert!(begins <= most + (6 << 10), "{figures:?}");
        assert!(talks <= most && talks_again <= most, "{figures:?}");
        assert!(waits <= most + (64 << 10), "{figures:?}");
        let closed = house.close();
        assert_eq!(closed.len() as u64, RECORDINGS);
        for manifest in &closed {
            let packets = (manifest.left.packets, manifest.right.packets, manifest.left.lost);
            assert_eq!(packets, (24 * PACKETS_A_STEP, 14 * PACKETS_A_STEP, 0));
        }
    }
}
