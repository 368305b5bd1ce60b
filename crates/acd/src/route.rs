//! Policy: the next offer to make. Contacts go first come, first served over all queues that can serve one (queue weight, priority,
//! place, enter time, contact id); each takes the agent whom its queue's strategy chooses.

use core::cmp::Reverse;

use offhook_units::{OfferId, Tick};

use crate::Acd;
use crate::words::Event;

impl Acd {
    /// Looks only at lanes where a contact and an agent can meet: after one input these are lanes of one agent, or of one queue.
    pub(crate) fn route(&self, now: Tick) -> Option<Event> {
        let heads = self.index.matchable.iter().filter_map(|slot| {
            let lane = self.index.lanes.get(slot as usize)?;
            let (queue, index) = (self.state.queues.get(&lane.id.queue)?, self.index.queues.get(&lane.id.queue)?);
            let head = lane.head(queue, index)?;
            Some(((Reverse(queue.config.weight), head, lane.id), (lane, queue)))
        });
        let ((_, head, id), (lane, queue)) = heads.min_by_key(|(key, _)| *key)?;
        let agent = lane.choose(&self.state, queue, self.state.contacts.get(&head.contact)?)?;
        Some(Event::Offered {
            offer: OfferId(self.state.offers_made + 1),
            contact: head.contact,
            queue: id.queue,
            agent,
            deadline: now + queue.config.ring_for,
        })
    }

    /// The offer to the agent who has just become free, where it is plain which one that is: what [`Acd::route`] would come to. Where
    /// it is not, the agent sits down in the lanes like everybody.
    pub(crate) fn offer_to_fresh(&mut self, now: Tick) -> Option<Event> {
        let taken = self.index.taken_by_fresh(&self.state);
        let Some((agent, queue, front)) = taken else {
            self.index.settle(&self.state);
            return None;
        };
        let deadline = now + self.state.queues.get(&queue)?.config.ring_for;
        Some(Event::Offered {
            offer: OfferId(self.state.offers_made + 1),
            contact: front.contact,
            queue,
            agent,
            deadline,
        })
    }
}
