//! The device callbacks' bodies under a counting allocator: a thousand of each, and not one allocation.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use offhook_headset::ends::{capture_ring, playback_ring};

struct Counting;

thread_local! {
    /// Of this thread: the harness has one of its own, which may allocate at any time.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is handed on to the system allocator unchanged; counting touches no memory of it, and a constant of
// the thread without a destructor needs none.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_thousand_callbacks_of_each_kind_full_empty_and_over_allocate_nothing() {
    let (feed, mut playback) = playback_ring(48_000, 2);
    let (mut capture, tap) = capture_ring(44_100, 2);
    let mut out_float = [0.0_f32; 960];
    let mut out_short = [0_i16; 960];
    let heard_float = [0.25_f32; 882];
    let heard_short = [1_000_i16; 882];
    let before = ALLOCATIONS.get();
    assert!(before > 0, "the rings were allocated, and counted");
    for _ in 0..1_000 {
        playback.render(&mut out_float);
        playback.render(&mut out_short);
        capture.take(&heard_float);
        capture.take(&heard_short);
    }
    let after = ALLOCATIONS.get();
    assert_eq!(after - before, 0);
    drop((feed, tap));
}
