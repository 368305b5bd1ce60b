//! The control plane's end of one media worker.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use offhook_media::Assets;
use offhook_plan::tap::TapReader;
use offhook_plan::{MediaCommand, MediaPlan};
use offhook_units::{CallId, LegId};
use ringbuf::traits::{Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};
use socket2::Socket;

use super::{Backend, DriverConfig, MediaCounters, Resting, SharedPort};
use crate::wake::Wake;

/// A socket that was bound for a leg, or why that failed.
pub(super) type Opened = (SocketAddr, std::io::Result<Socket>);

/// What is on its way to the worker.
pub(super) enum Handed {
    /// A command, with the sockets of the legs that are new in it.
    Command { command: MediaCommand, opened: Vec<Opened> },
    /// The sounds that are played from here on.
    Sounds(Arc<Assets>),
}

/// Commands one worker; owned by the control plane. Dropping it ends the worker's thread and closes its legs.
///
/// The sockets of a leg are bound here, when its plan is taken, and not when the worker comes to it: a phone that answers at
/// once finds its port open, however busy the worker is. What arrives until the worker takes the leg over waits in the socket.
pub struct MediaHandle {
    commands: HeapProd<Handed>,
    outbox: VecDeque<Handed>,
    /// Legs whose sockets were bound.
    legs: BTreeMap<CallId, Vec<LegId>>,
    resting: Resting,
    shared_port: SharedPort,
    receive_buffer_bytes: usize,
    wake: Arc<Wake>,
    stop: Arc<AtomicBool>,
    counters: Arc<MediaCounters>,
    tap: Option<TapReader>,
    thread: Option<JoinHandle<()>>,
    backend: Backend,
}

impl MediaHandle {
    pub(super) fn new(config: &DriverConfig, tap: TapReader) -> std::io::Result<(Self, HeapCons<Handed>)> {
        let (commands, taken) = HeapRb::new(config.commands_max.max(1)).split();
        let handle = Self {
            commands,
            outbox: VecDeque::new(),
            legs: BTreeMap::new(),
            resting: config.resting.clone(),
            shared_port: config.shared_port.clone(),
            receive_buffer_bytes: config.receive_buffer_bytes,
            wake: Arc::new(Wake::new()?),
            stop: Arc::default(),
            counters: Arc::default(),
            tap: Some(tap),
            thread: None,
            backend: config.backend,
        };
        Ok((handle, taken))
    }

    pub(super) fn with_thread(mut self, thread: JoinHandle<()>, backend: Backend) -> Self {
        self.thread = Some(thread);
        self.backend = backend;
        self
    }

    /// The way in which its worker asks the kernel: never [`Backend::Auto`].
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    pub(super) fn wake(&self) -> Arc<Wake> {
        self.wake.clone()
    }

    pub(super) fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Takes a command; it is never dropped, and order is kept. It goes with the next [`MediaHandle::flush`]. The ports of a
    /// plan's legs are open from now on.
    pub fn send(&mut self, command: MediaCommand) {
        let opened = match &command {
            MediaCommand::Apply(plan) => self.open_new(plan),
            MediaCommand::Close(call) => {
                self.legs.remove(call);
                Vec::new()
            }
            MediaCommand::Move(goes) => {
                if let Some(legs) = self.legs.get_mut(&goes.from) {
                    legs.retain(|leg| *leg != goes.leg);
                }
                Vec::new()
            }
        };
        self.outbox.push_back(Handed::Command { command, opened });
    }

    /// Commands that are taken after this may name sounds that are only in these. The sounds that the worker had are to be among them, in
    /// their places; whoever keeps them too spares the worker their end.
    pub fn send_sounds(&mut self, sounds: Arc<Assets>) {
        self.outbox.push_back(Handed::Sounds(sounds));
    }

    fn open_new(&mut self, plan: &MediaPlan) -> Vec<Opened> {
        let known = self.legs.entry(plan.call).or_default();
        let mut opened = Vec::new();
        for leg in plan.legs.iter().filter(|leg| !leg.moved && !known.contains(&leg.leg)) {
            for local in [Some(leg.local), leg.local_rtcp()].into_iter().flatten() {
                let socket = if self.shared_port.holds(local) {
                    self.shared_port.open(local)
                } else {
                    self.resting.open(local, self.receive_buffer_bytes)
                };
                opened.push((local, socket));
            }
        }
        known.clear();
        known.extend(plan.legs.iter().map(|leg| leg.leg));
        opened
    }

    /// Hands over what was taken, with one wake for all of it; what finds the ring full waits for the next time. Call once per
    /// turn of the control loop while [`MediaHandle::waiting`] is not 0. Never blocks.
    pub fn flush(&mut self) {
        let mut moved = false;
        while let Some(handed) = self.outbox.pop_front() {
            if let Err(handed) = self.commands.try_push(handed) {
                self.outbox.push_front(handed);
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
    pub fn take_tap(&mut self) -> Option<TapReader> {
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
