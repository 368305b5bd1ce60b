//! How long contacts have still to wait: by the pace of their queue, or of those who need the same where that has told better (docs/decisions/0092).

use offhook_units::{ContactId, QueueId};

use crate::Acd;
use crate::config::Channel;
use crate::forecast::{Apart, Both, Expected};
use crate::index::QueueIndex;
use crate::state::{Contact, LineKey, ProfileId, Queue};

impl Acd {
    /// The place of a waiting contact among those of its queue and channel: 1 for the next one. Costs time in proportion to the place.
    pub fn position(&self, contact: ContactId) -> Option<u32> {
        let contact = self.state.contacts.get(&contact).filter(|contact| contact.is_waiting())?;
        let line = self.index.queues.get(&contact.queue)?.line(contact.channel);
        let key = contact.line_key(self.state.queues.get(&contact.queue)?);
        Some(place_behind(line.range(..key).count()))
    }

    /// How long a waiting contact has still to wait. None while it is offered to somebody or waits for an agent of its own, where its queue has
    /// measured too little ([`DELAYED_MIN`](crate::DELAYED_MIN)), and where nobody serves it who can do what it needs. What was noted of the same visit
    /// before is never exceeded, unless the place or the number of agents has become worse. Costs time in proportion to the place and, where none of
    /// them can do it, to the queue's agents.
    pub fn expected_wait(&self, contact: ContactId) -> Option<Expected> {
        let place = self.position(contact)?;
        let contact = self.state.contacts.get(&contact)?;
        let queue = self.state.queues.get(&contact.queue)?;
        if !contact.open_offers().is_empty() || contact.prefers().is_some() || !self.has_taker(contact) {
            return None;
        }
        let (channel, profile) = (contact.channel, contact.first_profile());
        let now = self.expect(queue, channel, profile, place, || Some(contact.line_key(queue)))?;
        let before = contact.told.last().map(|told| told.said);
        let before = before.filter(|before| now.place <= before.place && now.agents >= before.agents);
        Some(before.map_or(now, |before| Expected {
            p50: now.p50.min(before.p50),
            p80: now.p80.min(before.p80),
            ..now
        }))
    }

    /// How long a contact would wait that entered now, needed nothing but what the queue asks of everybody, and went behind all others of its channel.
    /// None as above.
    pub fn expected_wait_of_next(&self, queue: QueueId, channel: Channel) -> Option<Expected> {
        let place = place_behind(self.index.queues.get(&queue)?.line(channel).len());
        let queue = self.state.queues.get(&queue)?;
        let profile = match queue.stages(&[]).first() {
            Some((_, needs)) if !needs.is_empty() => self.index.profiles.get(needs).copied(),
            Some(_) | None => Some(ProfileId::default()),
        };
        match profile {
            Some(profile) => self.expect(queue, channel, profile, place, || None),
            None => self.expect_by_queue(queue, channel, place),
        }
    }

    /// Both forecasts of a waiting contact, where both can be made.
    pub(crate) fn both_waits(&self, contact: ContactId) -> Option<Both> {
        let place = self.position(contact)?;
        let contact = self.state.contacts.get(&contact)?;
        let queue = self.state.queues.get(&contact.queue)?;
        let by_queue = self.expect_by_queue(queue, contact.channel, place)?;
        let before = Some(contact.line_key(queue));
        let by_needs = self.expect_by_needs(queue, contact.channel, contact.first_profile(), before)?;
        Some(Both { by_queue, by_needs })
    }

    /// By the needs where that was better so far; `before` is asked for the place in line, none for its end.
    fn expect(
        &self,
        queue: &Queue,
        channel: Channel,
        profile: ProfileId,
        place: u32,
        before: impl Fn() -> Option<LineKey>,
    ) -> Option<Expected> {
        let by_queue = self.expect_by_queue(queue, channel, place)?;
        let is_better = queue.apart[channel as usize].get(&profile).is_some_and(Apart::is_better);
        let by_needs = if is_better { self.expect_by_needs(queue, channel, profile, before()) } else { None };
        // The place told is that in line, whatever the wait was reckoned by.
        Some(by_needs.map_or(by_queue, |by_needs| Expected { place, ..by_needs }))
    }

    fn expect_by_queue(&self, queue: &Queue, channel: Channel, place: u32) -> Option<Expected> {
        queue.paces[channel as usize].expect(place, self.index.queues.get(&queue.config.id)?.agents())
    }

    /// By the place among those who came with the same needs.
    fn expect_by_needs(
        &self,
        queue: &Queue,
        channel: Channel,
        profile: ProfileId,
        before: Option<LineKey>,
    ) -> Option<Expected> {
        let index: &QueueIndex = self.index.queues.get(&queue.config.id)?;
        let apart = queue.apart[channel as usize].get(&profile)?;
        let ahead = index.line(channel).iter().take_while(|key| before.is_none_or(|before| **key < before));
        let alike =
            |key: &&LineKey| self.state.contacts.get(&key.contact).is_some_and(|c| c.first_profile() == profile);
        apart.pace.expect(place_behind(ahead.filter(alike).count()), index.agents())
    }

    /// Whether anybody serves its queue who can do what it needs, or will need at last.
    fn has_taker(&self, contact: &Contact) -> bool {
        let last = contact.stages.last().and_then(|stage| self.state.profiles.get(&stage.profile));
        let Some(needs) = last.map(|profile| &profile.needs) else { return true };
        let members = self.index.queues.get(&contact.queue).into_iter().flat_map(|index| index.members.iter());
        let mut agents = members.filter_map(|id| self.state.agents.get(id));
        agents.any(|agent| agent.serves_in(contact.queue) && agent.config.meets(needs))
    }
}

fn place_behind(ahead: usize) -> u32 {
    u32::try_from(ahead).unwrap_or(u32::MAX).saturating_add(1)
}
