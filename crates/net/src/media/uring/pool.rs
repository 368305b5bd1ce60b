//! Buffers shared with the kernel: it takes one for each packet, and gets it back when the packet is done with.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// Buffers: a tenth of a second of 100 calls. When they run out, packets wait in their sockets.
pub const BUFFERS: usize = 1_024;
const _: () = assert!(BUFFERS.is_power_of_two() && BUFFERS <= 32_768, "a kernel's ring of buffers");
/// Size of each: a packet with its sender's address.
const BUFFER_BYTES: usize = 2_048;
/// The kernel's name for the group.
pub const GROUP: u16 = 1;
/// The kernel asks for whole pages.
const PAGE: usize = 4_096;

/// Page-aligned memory.
struct Pages {
    start: NonNull<u8>,
    layout: Layout,
}

impl Pages {
    fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes, PAGE).expect("a few megabytes in whole pages");
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        Self { start: NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout)), layout }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

pub struct Pool {
    ring: Pages,
    memory: Pages,
    tail: u16,
}

// SAFETY: the memory is owned by the pool alone (and the kernel, by its own protocol); nothing in it is bound to a thread.
unsafe impl Send for Pool {}

impl Pool {
    /// Registers the buffers with a ring, which must be dropped before the pool.
    pub fn new(ring: &IoUring) -> io::Result<Self> {
        let mut pool = Self {
            ring: Pages::new(BUFFERS * size_of::<BufRingEntry>()),
            memory: Pages::new(BUFFERS * BUFFER_BYTES),
            tail: 0,
        };
        let address = pool.ring.start.as_ptr() as u64;
        // SAFETY: the pages are as many as the ring needs, zeroed, and live until the ring is gone.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, BUFFERS as u16, GROUP, 0)? };
        for buffer in 0..BUFFERS as u16 {
            pool.give_back(buffer);
        }
        pool.publish();
        Ok(pool)
    }

    /// Puts a buffer back; the kernel sees it after [`Pool::publish`].
    #[expect(clippy::cast_ptr_alignment, reason = "the pages are aligned for anything")]
    pub fn give_back(&mut self, buffer: u16) {
        let place = usize::from(self.tail) & (BUFFERS - 1);
        // SAFETY: the place lies in the ring's pages, which are aligned for entries. The kernel reads entries only up to the
        // published tail, and this one lies behind it: never more buffers are out than there are.
        let entry = unsafe { &mut *self.ring.start.as_ptr().cast::<BufRingEntry>().add(place) };
        entry.set_addr(self.start_of(buffer) as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was put back.
    pub fn publish(&self) {
        // SAFETY: the first entry's reserved field is the ring's tail; it is aligned, lives, and is written only here.
        let tail = unsafe { BufRingEntry::tail(self.ring.start.as_ptr().cast()).cast::<AtomicU16>().as_ref() };
        if let Some(tail) = tail {
            tail.store(self.tail, Ordering::Release);
        }
    }

    fn start_of(&self, buffer: u16) -> *mut u8 {
        let buffer = usize::from(buffer) & (BUFFERS - 1);
        // SAFETY: the index is below the number of buffers.
        unsafe { self.memory.start.as_ptr().add(buffer * BUFFER_BYTES) }
    }

    /// A whole buffer. Behind what was received stands what was there before.
    ///
    /// # Safety
    /// The buffer is ours: the kernel has handed it out, it was not given back since, and no other slice of it lives.
    pub unsafe fn bytes_mut<'a>(&self, buffer: u16) -> &'a mut [u8] {
        // SAFETY: within the pool's memory, initialised at its allocation; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start_of(buffer), BUFFER_BYTES) }
    }

    /// Whether `bytes` lie in this buffer.
    pub fn holds(&self, buffer: u16, bytes: &[u8]) -> bool {
        let start = self.start_of(buffer) as usize;
        let range = bytes.as_ptr_range();
        range.start as usize >= start && range.end as usize <= start + BUFFER_BYTES
    }
}
