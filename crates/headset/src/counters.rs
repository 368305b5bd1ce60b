//! What the device callbacks report, as counters that they can raise without waiting.

use core::sync::atomic::{AtomicU64, Ordering};

/// Raised by one callback, read by anybody. A callback that stops raising `callbacks` is dead, whatever the device says.
#[derive(Debug, Default)]
pub struct Counters {
    callbacks: AtomicU64,
    frames: AtomicU64,
    xruns: AtomicU64,
    xrun_frames: AtomicU64,
}

/// A reading of [`Counters`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// How often the device called back.
    pub callbacks: u64,
    /// Frames moved, one sample a frame on our side.
    pub frames: u64,
    /// Callbacks that found the ring empty (playback: silence was played) or full (capture: samples were dropped).
    pub xruns: u64,
    /// Frames missing or dropped in those.
    pub xrun_frames: u64,
}

impl Counters {
    /// The figures now.
    pub fn read(&self) -> Reading {
        Reading {
            callbacks: self.callbacks.load(Ordering::Relaxed),
            frames: self.frames.load(Ordering::Relaxed),
            xruns: self.xruns.load(Ordering::Relaxed),
            xrun_frames: self.xrun_frames.load(Ordering::Relaxed),
        }
    }

    /// One callback that moved `moved` of `wanted` frames.
    pub(crate) fn moved(&self, moved: usize, wanted: usize) {
        self.callbacks.fetch_add(1, Ordering::Relaxed);
        self.frames.fetch_add(moved as u64, Ordering::Relaxed);
        if moved < wanted {
            self.xruns.fetch_add(1, Ordering::Relaxed);
            self.xrun_frames.fetch_add((wanted - moved) as u64, Ordering::Relaxed);
        }
    }
}
