//! The invariants of the distributor, checked by looking at everything: for simulations and for doubt. An exchange at work never needs it.

use std::collections::{BTreeMap, BTreeSet};

use offhook_units::{ContactId, OfferId, QueueId};

use crate::Acd;
use crate::config::{Channel, Strategy};
use crate::state::{Agent, Contact, Place};

impl Acd {
    /// Every invariant that does not hold now, in words; none where all is well. Costs time in proportion to all agents and contacts.
    ///
    /// Looked at are: capacity and one place for everybody (1, 2), outcomes that add up (2), offers that both sides know of (3), nobody idle whom
    /// somebody waits for (4), and profiles in use (8).
    pub fn audit(&self) -> Vec<String> {
        let mut broken = Vec::new();
        self.audit_agents(&mut broken);
        self.audit_contacts(&mut broken);
        self.audit_idle(&mut broken);
        broken
    }

    fn audit_agents(&self, broken: &mut Vec<String>) {
        let mut served: BTreeMap<ContactId, u32> = BTreeMap::new();
        for (id, agent) in &self.state.agents {
            if agent.kind != agent.kind_now() {
                broken.push(format!("{id} is {:?} and is noted as {:?}", agent.kind_now(), agent.kind));
            }
            if !agent.logged_in && (agent.offer.is_some() || !agent.work.is_empty()) {
                broken.push(format!("{id} went home with work in hand"));
            }
            for work in agent.work.iter().filter(|work| work.is_served()) {
                *served.entry(work.contact).or_default() += 1;
                let place = self.state.contacts.get(&work.contact).map(|contact| &contact.place);
                if !matches!(place, Some(Place::Served { agent }) if agent == id) {
                    broken.push(format!("{} is served by {id} and is elsewhere", work.contact));
                }
            }
            let offered = agent.offer.and_then(|offer| self.state.offers.get(&offer));
            let offered = offered.and_then(|offer| self.state.contacts.get(&offer.contact));
            for channel in Channel::ALL {
                let load = agent.work.iter().filter(|work| work.channel == channel).count();
                let load = load + usize::from(offered.is_some_and(|contact| contact.channel == channel));
                let capacity = agent.config.capacity.iter().find(|capacity| capacity.channel == channel);
                if load > capacity.map_or(0, |capacity| capacity.at_once as usize) {
                    broken.push(format!("{id} has {load} contacts of {channel:?}"));
                }
            }
        }
        broken.extend(served.iter().filter(|(_, times)| **times > 1).map(|(id, _)| format!("{id} is served twice")));
    }

    fn audit_contacts(&self, broken: &mut Vec<String>) {
        let (mut waiting, mut visits): (BTreeMap<QueueId, u64>, BTreeMap<QueueId, u64>) = Default::default();
        let mut open: BTreeSet<OfferId> = BTreeSet::new();
        let mut stages = 0;
        for contact in self.state.contacts.values() {
            if contact.is_waiting() {
                *waiting.entry(contact.queue).or_default() += 1;
            }
            if contact.is_open() {
                *visits.entry(contact.queue).or_default() += 1;
            }
            open.extend(contact.open_offers());
            stages += contact.stages.iter().filter(|stage| self.state.profiles.contains_key(&stage.profile)).count();
        }
        for queue in self.state.queues.keys() {
            let of = |counts: &BTreeMap<QueueId, u64>| counts.get(queue).copied().unwrap_or(0);
            let (count, open) = (of(&visits), self.figures.open_visits(*queue));
            if open != count || u64::from(self.waiting(*queue)) != of(&waiting) {
                broken.push(format!("{queue}: {count} visits go on, and the outcomes leave {open}"));
            }
        }
        let held: BTreeSet<OfferId> = self.state.agents.values().filter_map(|agent| agent.offer).collect();
        if held != open || !self.state.offers.keys().eq(open.iter()) {
            broken.push("agents and contacts know of different offers".to_owned());
        }
        let users: usize = self.state.profiles.values().map(|profile| profile.users as usize).sum();
        if users != stages {
            broken.push(format!("{stages} stages ask for a profile, and {users} are counted"));
        }
    }

    fn audit_idle(&self, broken: &mut Vec<String>) {
        let mut idle: BTreeMap<QueueId, Vec<&Agent>> = BTreeMap::new();
        let free = |agent: &Agent| Channel::ALL.iter().any(|channel| agent.can_take(*channel));
        for agent in self.state.agents.values().filter(|agent| free(agent)) {
            for membership in agent.memberships() {
                idle.entry(membership.queue).or_default().push(agent);
            }
        }
        for contact in self.state.contacts.values().filter(|contact| contact.is_waiting()) {
            let agents = idle.get(&contact.queue).into_iter().flatten();
            for agent in agents.filter(|agent| self.could_meet(contact, agent)) {
                broken.push(format!("{} idles while {} waits", agent.config.id, contact.id));
            }
        }
    }

    /// Whether nothing stands between a waiting contact and an agent of its queue who is free.
    fn could_meet(&self, contact: &Contact, agent: &Agent) -> bool {
        let Place::Waiting { step, ring_level, .. } = &contact.place else { return false };
        let (Some(queue), Some(index)) = (self.state.queues.get(&contact.queue), self.index.queues.get(&contact.queue))
        else {
            return false;
        };
        if contact.asks().is_some() {
            return false;
        }
        let needs = self.state.needs_of(contact);
        let Some(level) = agent.membership(contact.queue).map(|membership| membership.level) else { return false };
        let tier = if let Some((preferred, _)) = contact.prefers() {
            preferred == agent.config.id && contact.wants_offer()
        } else if contact.wants_offer() {
            index.opens_at_once(level) || queue.step_of(level) <= usize::from(*step)
        } else {
            queue.config.strategy == Strategy::RingAll && level <= *ring_level
        };
        tier && agent.can_take(contact.channel) && agent.config.meets(needs)
    }
}
