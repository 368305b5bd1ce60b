//! How a leg gets from one worker to another: out of its call, its sockets left alone, and all of it in one piece into the other
//! worker's hands. What comes meanwhile waits in the sockets, so that nothing is lost.

use std::sync::{Arc, OnceLock};

use crossbeam_channel::{Receiver, Sender, bounded};
use offhook_media::{Moving, Parted, SocketKey};
use offhook_plan::Move;
use offhook_units::{CallId, LegId, Tick};

use super::handle::Opened;
use super::{Shared, Sockets};
use crate::wake::Wake;

/// Legs on their way to one worker; further ones wait where they are.
const CROSSING_MAX: usize = 1_024;

/// The way between the workers of one exchange, which share it.
#[derive(Debug, Clone, Default)]
pub struct Crossing {
    berths: Arc<[Berth]>,
}

/// Where legs wait for their new worker.
#[derive(Debug)]
struct Berth {
    sender: Sender<Parcel>,
    receiver: Receiver<Parcel>,
    wake: OnceLock<Arc<Wake>>,
}

/// A leg and its sockets; or, in its place, that it does not come.
pub(super) struct Parcel {
    to: CallId,
    leg: LegId,
    moving: Option<Moving>,
    sockets: Vec<Opened>,
}

impl std::fmt::Debug for Parcel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parcel").field("to", &self.to).field("leg", &self.leg).finish_non_exhaustive()
    }
}

impl Crossing {
    /// Between `workers`, numbered from 0. Without one (the default) legs move between the calls of a worker alone.
    pub fn new(workers: usize) -> Self {
        let berth = |_| {
            let (sender, receiver) = bounded(CROSSING_MAX);
            Berth { sender, receiver, wake: OnceLock::new() }
        };
        Self { berths: (0..workers).map(berth).collect() }
    }

    /// Worker `number` is roused by this when a leg has come.
    pub(super) fn land(&self, number: usize, wake: Arc<Wake>) {
        if let Some(berth) = self.berths.get(number) {
            // A worker is started once.
            let _ = berth.wake.set(wake);
        }
    }

    fn leads_to(&self, worker: usize) -> bool {
        self.berths.get(worker).is_some()
    }

    fn next(&self, worker: usize) -> Option<Parcel> {
        self.berths.get(worker)?.receiver.try_recv().ok()
    }

    /// Sends a parcel; gives it back where too many are on their way.
    fn send(&self, worker: usize, parcel: Parcel) -> Result<(), Parcel> {
        let Some(berth) = self.berths.get(worker) else { return Ok(()) };
        berth.sender.try_send(parcel).map_err(crossbeam_channel::TrySendError::into_inner)?;
        if let Some(wake) = berth.wake.get() {
            wake.wake();
        }
        Ok(())
    }
}

/// Legs that are about to leave this worker.
#[derive(Default)]
pub(super) struct Departures {
    /// Nothing is received from their sockets any more, or soon.
    stopping: Vec<(Move, [SocketKey; 2])>,
    /// To be sent on when they come.
    onward: Vec<Move>,
    /// Found the way full.
    outbox: Vec<(usize, Parcel)>,
}

impl Departures {
    /// Whether some have to be looked after soon, though nothing may come that rouses the worker.
    pub const fn is_full(&self) -> bool {
        !self.outbox.is_empty()
    }
}

impl Shared {
    /// A leg leaves its call, and this worker where the other call is elsewhere.
    pub(super) fn send_away(&mut self, io: &mut impl Sockets, now: Tick, goes: Move) {
        let parted = self.worker.part(now, &goes);
        let stays = goes.worker == self.number || !self.crossing.leads_to(goes.worker);
        match parted {
            Parted::Here(_) if stays => self.worker.stay(io, now, goes.leg),
            Parted::Here(keys) => {
                for key in keys {
                    io.stop(key);
                }
                self.departures.stopping.push((goes, keys));
            }
            Parted::Awaited => self.departures.onward.push(goes),
            Parted::Gone if stays => self.worker.miss(io, now, goes.to, goes.leg),
            Parted::Gone => {
                let parcel = Parcel { to: goes.to, leg: goes.leg, moving: None, sockets: Vec::new() };
                self.departures.outbox.push((goes.worker, parcel));
            }
        }
    }

    /// Hands those over from whose sockets nothing is received any more.
    pub(super) fn hand_over(&mut self, io: &mut impl Sockets, now: Tick) {
        let Departures { stopping, outbox, .. } = &mut self.departures;
        let is_free = |io: &mut _, keys: &[SocketKey; 2]| keys.iter().all(|key| Sockets::is_stopped(io, *key));
        while let Some(place) = stopping.iter().position(|(_, keys)| is_free(io, keys)) {
            let (goes, keys) = stopping.swap_remove(place);
            let moving = self.worker.depart(now, goes.leg);
            let given = keys.into_iter().filter_map(|key| io.give(key));
            let sockets = given.map(|(local, socket)| (local, Ok(socket))).collect();
            outbox.push((goes.worker, Parcel { to: goes.to, leg: goes.leg, moving, sockets }));
        }
        for (worker, parcel) in core::mem::take(outbox) {
            if let Err(parcel) = self.crossing.send(worker, parcel) {
                outbox.push((worker, parcel));
            }
        }
    }

    /// Takes in what other workers have sent.
    pub(super) fn take_arrivals(&mut self, io: &mut impl Sockets, now: Tick) {
        while let Some(mut parcel) = self.crossing.next(self.number) {
            let onward = self.departures.onward.iter().position(|goes| goes.leg == parcel.leg);
            let onward = onward.map(|place| self.departures.onward.swap_remove(place));
            if let Some(goes) = onward {
                parcel.to = goes.to;
                if let Some(moving) = &mut parcel.moving {
                    moving.redirect(goes.to);
                }
                if goes.worker != self.number {
                    self.departures.outbox.push((goes.worker, parcel));
                    continue;
                }
            }
            let Parcel { to, leg, moving, sockets } = parcel;
            match moving {
                Some(moving) => {
                    *io.opened() = sockets;
                    self.worker.arrive(io, now, moving);
                    io.opened().clear();
                }
                None => self.worker.miss(io, now, to, leg),
            }
        }
    }
}
