//! Proves that packets at the port that browsers share cost no allocation, in the worker that reads it and in the one that is handed
//! them.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and deadlines")]

mod floor;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use floor::WAYS;
use floor::browsers::{BROWSERS, House, PAIRS};

/// Of all threads.
static COUNT: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: hands everything to the system's allocator unchanged; counting touches an atomic only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is said is counted in so many windows: workers also look after their legs four times a second, which may cost something.
const WINDOWS: usize = 20;
const PACKETS: usize = 50;

#[test]
fn packets_at_the_shared_port_allocate_nothing_at_the_worker_that_reads_it_and_at_the_one_that_gets_them() {
    for backends in WAYS {
        let Some(mut house) = House::try_start(backends) else { continue };
        house.find_all();
        house.all_talk(PAIRS, "before");
        let mut least = usize::MAX;
        for _ in 0..WINDOWS {
            for peer in &mut house.peers {
                peer.heard.reserve(2 * PACKETS);
                peer.words.reserve(2 * PACKETS);
            }
            let heard = |house: &House| house.peers.iter().map(|peer| peer.heard.len()).sum::<usize>();
            let (before, came) = (COUNT.load(Ordering::Relaxed), heard(&house));
            for _ in 0..PACKETS {
                for leg in BROWSERS {
                    house.peer(leg).say(leg);
                }
                house.peers.iter_mut().for_each(floor::Peer::listen);
            }
            let begun = Instant::now();
            while heard(&house) < came + 2 * PACKETS {
                house.peers.iter_mut().for_each(floor::Peer::listen);
                assert!(begun.elapsed() < floor::DEADLINE, "{} of {} packets came", heard(&house) - came, 2 * PACKETS);
                std::thread::yield_now();
            }
            least = least.min(COUNT.load(Ordering::Relaxed) - before);
        }
        println!("{backends:?}: {least} allocations for {} packets", 2 * PACKETS);
        assert_eq!(least, 0, "{backends:?}");
    }
}
