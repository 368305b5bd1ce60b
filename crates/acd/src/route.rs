//! Policy: the next offer to make. Contacts go first come, first served over all queues that can serve one (queue weight, priority,
//! place, enter time, contact id); each takes the agent whom it waits for alone, or whom its queue's strategy chooses.

use core::cmp::Reverse;

use offhook_units::{AgentId, ContactId, OfferId, QueueId, Tick};

use crate::Acd;
use crate::state::LineKey;
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
        let first = heads.min_by_key(|(key, _)| *key);
        let wanted = self.index.first_wanted(&self.state);
        let before = |(key, ..): &((Reverse<u32>, LineKey), _, _)| {
            first.as_ref().is_none_or(|((weight, head, _), _)| *key < (*weight, *head))
        };
        if let Some(((_, key), queue, agent)) = wanted.filter(before) {
            return self.offer(now, key.contact, queue, agent);
        }
        let ((_, head, id), (lane, queue)) = first?;
        let agent = lane.choose(&self.state, queue, self.state.contacts.get(&head.contact)?)?;
        self.offer(now, head.contact, id.queue, agent)
    }

    fn offer(&self, now: Tick, contact: ContactId, queue: QueueId, agent: AgentId) -> Option<Event> {
        let deadline = now + self.state.queues.get(&queue)?.config.ring_for;
        Some(Event::Offered { offer: OfferId(self.state.offers_made + 1), contact, queue, agent, deadline })
    }

    /// The offer to the agent who has just become free, where it is plain which one that is: what [`Acd::route`] would come to. Where
    /// it is not, the agent sits down in the lanes like everybody.
    pub(crate) fn offer_to_fresh(&mut self, now: Tick) -> Option<Event> {
        let taken = self.index.taken_by_fresh(&self.state);
        let Some((agent, queue, front)) = taken else {
            self.index.settle(&self.state);
            return None;
        };
        self.offer(now, front.contact, queue, agent)
    }
}
