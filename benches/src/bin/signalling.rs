//! Calls and registrations through a whole exchange, to be counted: `signalling plain|queue|register HOW_MANY`.
//!
//! What one costs in instructions is the same on any machine, whatever its mood:
//! `valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*House*turn*' target/release/signalling plain 2000`.
//! How often it asks the heap for memory, and for how much, it prints itself. The first thousand warm up.
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use offhook_benches::house::{AT_WORK, House};

/// Before anything is counted.
const WARM_UP: u64 = 1_000;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

fn count(bytes: usize) {
    if AT_WORK.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

fn main() {
    let mut words = std::env::args().skip(1);
    let (kind, wanted) = (words.next().unwrap_or_default(), words.next().and_then(|text| text.parse().ok()));
    let (one, wanted): (fn(&mut House), u64) = match &*kind {
        "plain" => (House::plain_call, wanted.unwrap_or(1_000)),
        "queue" => (House::queue_call, wanted.unwrap_or(1_000)),
        "register" => (House::registration, wanted.unwrap_or(1_000)),
        _ => {
            eprintln!("usage: signalling plain|queue|register HOW_MANY");
            std::process::exit(2);
        }
    };
    let mut house = House::new();
    (0..WARM_UP).for_each(|_| one(&mut house));
    let before = (ALLOCATIONS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed), house.stored);
    (0..wanted).for_each(|_| one(&mut house));
    let each = |after: u64, before: u64| (after - before) as f64 / wanted.max(1) as f64;
    println!(
        "{kind}: {:.1} allocations and {:.0} bytes each, {:.0} bytes of log; {} records, {} registrations kept",
        each(ALLOCATIONS.load(Ordering::Relaxed), before.0),
        each(BYTES.load(Ordering::Relaxed), before.1),
        each(house.stored, before.2),
        house.records,
        house.bound,
    );
}
