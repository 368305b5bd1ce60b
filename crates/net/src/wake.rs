//! Waking a thread that sleeps on descriptors.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{EventfdFlags, eventfd};

/// Wakes a thread from another one: a descriptor that can be read while a wake is pending.
#[derive(Debug)]
pub struct Wake(OwnedFd);

impl Wake {
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Wakes; a wake that is already on its way is enough.
    pub fn wake(&self) {
        // Full (EAGAIN) means that a wake is pending.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Takes the wakes that have come.
    pub fn clear(&self) {
        // Empty (EAGAIN) means that somebody took them.
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
    }

    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
