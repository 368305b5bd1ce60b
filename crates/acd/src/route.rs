//! Policy: the next offer to make. Contacts go first come, first served over all queues that can serve one (queue weight, priority,
//! place, enter time, contact id); each takes the agent whom its queue's strategy chooses.

use core::cmp::Reverse;

use offhook_units::{OfferId, Tick};

use crate::Acd;
use crate::words::Event;

impl Acd {
    /// Looks only at lanes where a contact and an agent can meet: after one input these are the queues of one agent, or one queue.
    pub(crate) fn route(&self, now: Tick) -> Option<Event> {
        let heads = self.index.matchable.iter().filter_map(|(id, channel)| {
            let (queue, index) = (self.state.queues.get(id)?, self.index.queues.get(id)?);
            let head = index.head(queue, *channel)?;
            Some(((Reverse(queue.config.weight), head, *id, *channel), (queue, index)))
        });
        let ((_, head, id, channel), (queue, index)) = heads.min_by_key(|(key, _)| *key)?;
        let agent = index.choose(&self.state, queue, channel)?;
        Some(Event::Offered {
            offer: OfferId(self.state.offers_made + 1),
            contact: head.contact,
            queue: id,
            agent,
            deadline: now + queue.config.ring_for,
        })
    }
}
