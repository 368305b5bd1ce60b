//! The control plane's end of one media worker.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use offhook_media::TapConsumer;
use offhook_plan::MediaCommand;
use ringbuf::traits::{Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::{DriverConfig, MediaCounters};
use crate::wake::Wake;

/// Commands one worker; owned by the control plane. Dropping it ends the worker's thread and closes its legs.
pub struct MediaHandle {
    commands: HeapProd<MediaCommand>,
    outbox: VecDeque<MediaCommand>,
    wake: Arc<Wake>,
    stop: Arc<AtomicBool>,
    counters: Arc<MediaCounters>,
    tap: Option<TapConsumer>,
    thread: Option<JoinHandle<()>>,
}

impl MediaHandle {
    pub(super) fn new(config: &DriverConfig, tap: TapConsumer) -> std::io::Result<(Self, HeapCons<MediaCommand>)> {
        let (commands, taken) = HeapRb::new(config.commands_max.max(1)).split();
        let handle = Self {
            commands,
            outbox: VecDeque::new(),
            wake: Arc::new(Wake::new()?),
            stop: Arc::default(),
            counters: Arc::default(),
            tap: Some(tap),
            thread: None,
        };
        Ok((handle, taken))
    }

    pub(super) fn with_thread(mut self, thread: JoinHandle<()>) -> Self {
        self.thread = Some(thread);
        self
    }

    pub(super) fn wake(&self) -> Arc<Wake> {
        self.wake.clone()
    }

    pub(super) fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Takes a command; it is never dropped, and order is kept. It goes with the next [`MediaHandle::flush`].
    pub fn send(&mut self, command: MediaCommand) {
        self.outbox.push_back(command);
    }

    /// Hands over what was taken, with one wake for all of it; what finds the ring full waits for the next time. Call once per
    /// turn of the control loop while [`MediaHandle::waiting`] is not 0. Never blocks.
    pub fn flush(&mut self) {
        let mut moved = false;
        while let Some(command) = self.outbox.pop_front() {
            if let Err(command) = self.commands.try_push(command) {
                self.outbox.push_front(command);
                break;
            }
            moved = true;
        }
        if moved {
            self.wake.wake();
        }
    }

    /// Commands that wait for room: over a limit of the control plane's own, new calls are refused.
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// The recorder's end of the worker's tap ring; given out once.
    pub fn take_tap(&mut self) -> Option<TapConsumer> {
        self.tap.take()
    }

    /// What the worker counts.
    pub fn counters(&self) -> Arc<MediaCounters> {
        self.counters.clone()
    }
}

impl Drop for MediaHandle {
    fn drop(&mut self) {
        self.flush();
        self.stop.store(true, Ordering::Release);
        self.wake.wake();
        if let Some(thread) = self.thread.take() {
            // A worker that panicked has said so on its own thread.
            let _ = thread.join();
        }
    }
}
