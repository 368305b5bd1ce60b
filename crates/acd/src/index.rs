//! What can be derived from the state and is kept at hand, so that no input scans all agents or all contacts: per queue and
//! channel the line of contacts and the idle agents in order, the lanes where the two can meet, and the timers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use offhook_units::{AgentId, ContactId, OfferId, QueueId, Tick};

use crate::config::{Channel, LEVELS_MAX, Strategy};
use crate::state::{Agent, AgentKind, Contact, IdleKey, LineKey, Offer, Phase, Place, Queue, State};

/// Everything that waits for a time. The order is the order in which timers of the same tick fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    OfferDeadline(OfferId),
    WrapUp(AgentId, ContactId),
    Rest(AgentId),
    Tier(ContactId),
    MaxWait(ContactId),
    Nobody(QueueId),
}

pub(crate) type LaneId = (QueueId, Channel);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Index {
    pub queues: BTreeMap<QueueId, QueueIndex>,
    /// Lanes where a waiting contact and an idle agent can meet; empty after every step.
    pub matchable: BTreeSet<LaneId>,
    pub timers: BTreeSet<(Tick, Timer)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct QueueIndex {
    pub members: BTreeSet<AgentId>,
    /// Members who serve the queue, by level.
    pub serving: [u32; LEVELS_MAX as usize + 1],
    pub logged_in: u32,
    pub available: u32,
    /// Contacts served now.
    pub served: u32,
    /// Contacts waiting, by enter time.
    pub waiting: BTreeSet<(Tick, ContactId)>,
    lanes: [Lane; Channel::ALL.len()],
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Lane {
    /// All who wait, those with an open offer included.
    pub line: BTreeSet<LineKey>,
    /// Those without an open offer, by the step up to which tiers are open to them.
    unoffered: BTreeMap<u8, BTreeSet<LineKey>>,
    /// Those of a ring-all queue with an open offer, by the tier that rings.
    ringing: BTreeMap<u8, BTreeSet<LineKey>>,
    pub idle: BTreeSet<IdleKey>,
}

impl QueueIndex {
    pub fn lane(&self, channel: Channel) -> &Lane {
        &self.lanes[channel as usize]
    }

    fn lane_mut(&mut self, channel: Channel) -> &mut Lane {
        &mut self.lanes[channel as usize]
    }

    fn serving_at(&mut self, level: u8) -> &mut u32 {
        &mut self.serving[usize::from(level.min(LEVELS_MAX))]
    }

    /// Whether nobody serves the queue.
    pub fn is_deserted(&self) -> bool {
        self.serving.iter().all(|count| *count == 0)
    }

    /// Whether no level below `level` has anybody who serves the queue.
    pub fn opens_at_once(&self, level: u8) -> bool {
        self.serving.iter().take(usize::from(level)).all(|count| *count == 0)
    }

    /// The first contact in line that the first idle agent may take.
    pub fn head(&self, queue: &Queue, channel: Channel) -> Option<LineKey> {
        let lane = self.lane(channel);
        let level = lane.idle.first()?.level;
        let step = if self.opens_at_once(level) { 0 } else { queue.step_of(level) };
        let open = lane.unoffered.range(u8::try_from(step).unwrap_or(u8::MAX)..);
        let ringing = lane.ringing.range(level..);
        open.chain(ringing).filter_map(|(_, keys)| keys.first().copied()).min()
    }

    /// The agent whom the strategy chooses among the idle of the lowest level.
    pub fn choose(&self, state: &State, queue: &Queue, channel: Channel) -> Option<AgentId> {
        let idle = &self.lane(channel).idle;
        let first = idle.first()?;
        let Some((major, agent)) = queue.turn_after(state) else { return Some(first.agent) };
        let after = IdleKey { level: first.level, major, minor: 0, agent };
        let next = idle.range((Excluded(after), Unbounded)).next().filter(|key| key.level == first.level);
        Some(next.unwrap_or(first).agent)
    }
}

impl Index {
    /// Everything anew: after a snapshot was restored, and to check what was kept.
    pub fn build(state: &State) -> Self {
        let mut index = Self::default();
        for (id, queue) in &state.queues {
            index.queues.insert(*id, QueueIndex::default());
            index.add_queue_timer(*id, queue);
        }
        for agent in state.agents.values() {
            index.join(agent);
            index.add_agent(state.seed, &state.queues, agent);
        }
        for contact in state.contacts.values() {
            index.add_contact(&state.queues, contact);
        }
        for (id, offer) in &state.offers {
            index.add_offer(*id, *offer);
        }
        index
    }

    pub fn add_agent(&mut self, seed: u64, queues: &BTreeMap<QueueId, Queue>, agent: &Agent) {
        let free = free_channels(agent);
        for membership in &agent.config.queues {
            let id = membership.queue;
            let (Some(queue), Some(index)) = (queues.get(&id), self.queues.get_mut(&id)) else { continue };
            index.logged_in += u32::from(agent.logged_in);
            index.available += u32::from(agent.kind == AgentKind::Available);
            *index.serving_at(membership.level) += u32::from(agent.serves());
            for channel in free.into_iter().flatten() {
                let key = agent.idle_key(seed, queue, membership);
                index.lane_mut(channel).idle.insert(key);
            }
            refresh_all(&mut self.matchable, id, queue, index);
        }
        self.timers.extend(agent_timers(agent));
    }

    /// Notes of which queues an agent is a member.
    pub fn join(&mut self, agent: &Agent) {
        for membership in &agent.config.queues {
            if let Some(index) = self.queues.get_mut(&membership.queue) {
                index.members.insert(agent.config.id);
            }
        }
    }

    /// Forgets of which queues an agent is a member.
    pub fn part(&mut self, agent: &Agent) {
        for membership in &agent.config.queues {
            if let Some(index) = self.queues.get_mut(&membership.queue) {
                index.members.remove(&agent.config.id);
            }
        }
    }

    /// Takes an agent out; lanes are seen to by the `add_agent` that follows, or by `refresh_queue`.
    pub fn remove_agent(&mut self, seed: u64, queues: &BTreeMap<QueueId, Queue>, agent: &Agent) {
        let free = free_channels(agent);
        for membership in &agent.config.queues {
            let id = membership.queue;
            let (Some(queue), Some(index)) = (queues.get(&id), self.queues.get_mut(&id)) else { continue };
            index.logged_in -= u32::from(agent.logged_in);
            index.available -= u32::from(agent.kind == AgentKind::Available);
            *index.serving_at(membership.level) -= u32::from(agent.serves());
            for channel in free.into_iter().flatten() {
                let key = agent.idle_key(seed, queue, membership);
                index.lane_mut(channel).idle.remove(&key);
            }
        }
        for timer in agent_timers(agent) {
            self.timers.remove(&timer);
        }
    }

    /// Sees where contacts and agents can meet in a queue.
    pub fn refresh_queue(&mut self, id: QueueId, queue: &Queue) {
        if let Some(index) = self.queues.get(&id) {
            refresh_all(&mut self.matchable, id, queue, index);
        }
    }

    pub fn add_contact(&mut self, queues: &BTreeMap<QueueId, Queue>, contact: &Contact) {
        let (Some(queue), Some(index)) = (queues.get(&contact.queue), self.queues.get_mut(&contact.queue)) else {
            return;
        };
        match &contact.place {
            Place::Waiting { step, offers, ring_level, .. } => {
                index.waiting.insert((contact.entered_at, contact.id));
                let lane = index.lane_mut(contact.channel);
                lane.line.insert(contact.line_key());
                if offers.is_empty() {
                    lane.unoffered.entry(*step).or_default().insert(contact.line_key());
                } else if queue.config.strategy == Strategy::RingAll {
                    lane.ringing.entry(*ring_level).or_default().insert(contact.line_key());
                }
            }
            Place::Served { .. } => index.served += 1,
        }
        refresh(&mut self.matchable, contact.queue, queue, index, contact.channel);
        self.timers.extend(contact_timers(queue, contact));
    }

    pub fn remove_contact(&mut self, queues: &BTreeMap<QueueId, Queue>, contact: &Contact) {
        let (Some(queue), Some(index)) = (queues.get(&contact.queue), self.queues.get_mut(&contact.queue)) else {
            return;
        };
        match &contact.place {
            Place::Waiting { step, offers, ring_level, .. } => {
                index.waiting.remove(&(contact.entered_at, contact.id));
                let lane = index.lane_mut(contact.channel);
                lane.line.remove(&contact.line_key());
                let (sets, at) =
                    if offers.is_empty() { (&mut lane.unoffered, *step) } else { (&mut lane.ringing, *ring_level) };
                if let Some(set) = sets.get_mut(&at) {
                    set.remove(&contact.line_key());
                    if set.is_empty() {
                        sets.remove(&at);
                    }
                }
            }
            Place::Served { .. } => index.served -= 1,
        }
        refresh(&mut self.matchable, contact.queue, queue, index, contact.channel);
        for timer in contact_timers(queue, contact) {
            self.timers.remove(&timer);
        }
    }

    pub fn add_offer(&mut self, id: OfferId, offer: Offer) {
        self.timers.insert((offer.deadline, Timer::OfferDeadline(id)));
    }

    pub fn remove_offer(&mut self, id: OfferId, offer: Offer) {
        self.timers.remove(&(offer.deadline, Timer::OfferDeadline(id)));
    }

    pub fn add_queue_timer(&mut self, id: QueueId, queue: &Queue) {
        self.timers.extend(queue_timer(id, queue));
    }

    pub fn remove_queue_timer(&mut self, id: QueueId, queue: &Queue) {
        if let Some(timer) = queue_timer(id, queue) {
            self.timers.remove(&timer);
        }
    }
}

/// The channels of which an agent can be offered a contact.
fn free_channels(agent: &Agent) -> [Option<Channel>; Channel::ALL.len()] {
    Channel::ALL.map(|channel| Some(channel).filter(|channel| agent.can_take(*channel)))
}

fn refresh_all(matchable: &mut BTreeSet<LaneId>, id: QueueId, queue: &Queue, index: &QueueIndex) {
    for channel in Channel::ALL {
        refresh(matchable, id, queue, index, channel);
    }
}

/// Sees whether a contact and an agent can meet in this lane.
fn refresh(matchable: &mut BTreeSet<LaneId>, id: QueueId, queue: &Queue, index: &QueueIndex, channel: Channel) {
    if index.head(queue, channel).is_some() {
        matchable.insert((id, channel));
    } else if !matchable.is_empty() {
        matchable.remove(&(id, channel));
    }
}

fn agent_timers(agent: &Agent) -> impl Iterator<Item = (Tick, Timer)> + '_ {
    let id = agent.config.id;
    let wrap_ups = agent.work.iter().filter_map(move |work| match work.phase {
        Phase::WrapUp { until: Some(until) } => Some((until, Timer::WrapUp(id, work.contact))),
        Phase::WrapUp { until: None } | Phase::Talking | Phase::Held => None,
    });
    wrap_ups.chain(agent.rest_until.map(|until| (until, Timer::Rest(id))))
}

fn contact_timers(queue: &Queue, contact: &Contact) -> impl Iterator<Item = (Tick, Timer)> + use<> {
    let (tier, max_wait) = match &contact.place {
        Place::Waiting { step, too_long, .. } => {
            let next = queue.steps.get(usize::from(*step) + 1).copied();
            (next, queue.config.max_wait.filter(|_| !too_long))
        }
        Place::Served { .. } => (None, None),
    };
    let (entered_at, id) = (contact.entered_at, contact.id);
    let tier = tier.map(|wait| (entered_at + wait, Timer::Tier(id)));
    tier.into_iter().chain(max_wait.map(|wait| (entered_at + wait, Timer::MaxWait(id))))
}

fn queue_timer(id: QueueId, queue: &Queue) -> Option<(Tick, Timer)> {
    let since = queue.nobody_since.filter(|_| !queue.nobody_told)?;
    Some((since + queue.config.no_agents.leave_after?, Timer::Nobody(id)))
}
