//! A caller who was cut off, or hung up, and calls again within a queue's `resume_within` takes the old place in it back.

use offhook_units::{CallId, QueueId, Span, Tick};

use super::Exchange;
use super::identity::ANONYMOUS;
use super::recent::Recent;

/// Most callers whose place is kept; whoever left longest ago makes room.
pub const KEPT_PLACES_MAX: usize = 10_000;

/// The places of callers who left a queue without an answer.
pub(super) type KeptPlaces = Recent<(QueueId, String), Tick>;

impl Exchange {
    /// A caller leaves a queue of its own accord, or the network's: the place is kept for a while.
    pub(super) fn keep_place(&mut self, now: Tick, id: CallId) {
        let Some(call) = self.calls.get(&id).filter(|call| call.contact.is_some() && call.calling_back.is_none())
        else {
            return;
        };
        let (Some(queue), Some(place_at), caller) = (call.queue, call.queued_at, call.from.user.clone()) else {
            return;
        };
        if caller != ANONYMOUS && self.queue(queue).is_some_and(|queue| queue.resume_within.is_some()) {
            let longest = self.config.queues.iter().filter_map(|queue| queue.resume_within).max();
            self.kept_places.remember(now, (queue, caller), place_at, longest.unwrap_or(Span::ZERO));
        }
    }

    /// The place that a caller left a queue at, where that is not too long ago.
    pub(super) fn kept_place(&self, now: Tick, id: CallId, queue: QueueId) -> Option<Tick> {
        let within = self.queue(queue)?.resume_within?;
        let caller = self.calls.get(&id)?.from.user.clone();
        self.kept_places.get(now, &(queue, caller), within)
    }

    /// A caller took the kept place back: nobody takes it again.
    pub(super) fn took_place_back(&mut self, id: CallId, queue: QueueId) {
        let Some(call) = self.calls.get(&id) else { return };
        self.kept_places.forget(&(queue, call.from.user.clone()));
        self.counters.resumed += 1;
    }

    /// Callers whose place is kept.
    pub fn kept_places(&self) -> usize {
        self.kept_places.len()
    }
}
