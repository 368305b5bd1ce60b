//! What can be derived from the state and is kept at hand, so that no input scans all agents or all contacts: per queue and
//! channel the line of contacts and the idle agents in order, the lanes where the two can meet, and the timers.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use offhook_units::{AgentId, ContactId, OfferId, QueueId, Tick};

use crate::config::{Channel, LEVELS_MAX, Membership, Need, Strategy};
use crate::few::Tiers;
use crate::idle::Idle;
use crate::rows::Rows;
use crate::state::{Agent, AgentKind, Contact, IdleKey, LineKey, Offer, Place, ProfileId, Queue, Queues, State, draw};
use crate::table::Table;
use crate::timers::{Timer, agent_timers, contact_timers, measure_timer, queue_timers};

/// Where contacts of one channel and one requirement profile wait in one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneId {
    pub queue: QueueId,
    pub channel: Channel,
    pub profile: ProfileId,
}

/// The number of a lane in [`Index::lanes`].
pub(crate) type Slot = u32;

#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    pub queues: Table<QueueId, QueueIndex>,
    pub lanes: Vec<Lane>,
    /// Where the first contact without an offer of each lane stands, side by side and small: a free agent looks at many lanes.
    fronts: Vec<Front>,
    /// An agent who has just become free, and is in none of the lanes yet: when somebody waits, the agent leaves without
    /// having sat down in any.
    fresh: Option<AgentId>,
    /// The lanes in which an agent can meet contacts when free.
    seats: Table<AgentId, Box<[Seat]>>,
    /// Lanes where a waiting contact and an idle agent can meet; empty after every step.
    pub matchable: Matchable,
    /// Contacts that wait for one agent alone, in line: queue weight, rank, queue.
    preferring: BTreeMap<AgentId, BTreeSet<(Reverse<u32>, LineKey, QueueId)>>,
    /// Agents who may have become able to take a contact that waits for them; empty after every step.
    wanted: BTreeSet<AgentId>,
    /// Whom a queue lends to others, now or at other times.
    lent: BTreeMap<QueueId, BTreeSet<AgentId>>,
    pub timers: BTreeSet<(Tick, Timer)>,
    pub profiles: BTreeMap<Vec<Need>, ProfileId>,
}

/// What a contact is compared by with those of other lanes, but for what decides between equals; a lane without anybody comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Front {
    rank: Reverse<i64>,
    place_at: Tick,
}

impl Front {
    const NOBODY: Self = Self { rank: Reverse(i64::MIN), place_at: Tick::MAX };

    fn of(first: Option<LineKey>) -> Self {
        first.map_or(Self::NOBODY, |LineKey { rank, place_at, .. }| Self { rank, place_at })
    }
}

/// A set of lanes; each lane knows whether it is in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matchable(Vec<Slot>);

impl Matchable {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = Slot> {
        self.0.iter().copied()
    }

    fn put(&mut self, slot: Slot, lane: &mut Lane, matchable: bool) {
        if core::mem::replace(&mut lane.matchable, matchable) == matchable {
            return;
        }
        if matchable {
            self.0.push(slot);
        } else if let Some(at) = self.0.iter().position(|other| *other == slot) {
            self.0.swap_remove(at);
        }
    }
}

/// What of an agent the queues count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counted {
    logged_in: bool,
    available: bool,
    serves: bool,
}

impl Counted {
    pub fn of(agent: &Agent) -> Self {
        let available = agent.kind == AgentKind::Available;
        Self { logged_in: agent.logged_in, available, serves: agent.serves() }
    }
}

#[derive(Debug, Clone, Copy)]
struct Seat {
    /// Which of the agent's memberships.
    membership: u16,
    channel: Channel,
    lane: Slot,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct QueueIndex {
    pub members: Rows<AgentId>,
    /// Members who serve the queue, by level.
    pub serving: [u32; LEVELS_MAX as usize + 1],
    pub logged_in: u32,
    pub available: u32,
    /// Contacts served now.
    pub served: u32,
    /// Contacts waiting, by enter time.
    pub waiting: BTreeSet<(Tick, ContactId)>,
    /// All who wait on a channel, those with an open offer included.
    lines: [BTreeSet<LineKey>; Channel::ALL.len()],
    lanes: BTreeMap<(Channel, ProfileId), Slot>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lane {
    pub id: LaneId,
    /// What the lane's profile asks for.
    needs: Vec<Need>,
    /// Those who wait for an offer, by the step up to which tiers are open to them.
    unoffered: Tiers,
    /// Those of a ring-all queue with an open offer, by the tier that rings.
    ringing: Tiers,
    /// Agents who could take any of them now, but for the tier.
    idle: Idle,
    /// It is in [`Index::matchable`].
    matchable: bool,
    /// How many of the idle have each weight, by tier; of weighted-random queues alone.
    weights: BTreeMap<(u8, u64), u32>,
}

impl QueueIndex {
    pub fn line(&self, channel: Channel) -> &BTreeSet<LineKey> {
        &self.lines[channel as usize]
    }

    fn serving_at(&mut self, level: u8) -> &mut u32 {
        &mut self.serving[usize::from(level.min(LEVELS_MAX))]
    }

    /// Whether nobody serves the queue.
    pub fn is_deserted(&self) -> bool {
        self.serving.iter().all(|count| *count == 0)
    }

    /// Agents who serve the queue.
    pub fn agents(&self) -> u32 {
        self.serving.iter().sum()
    }

    /// Whether no level below `level` has anybody who serves the queue.
    pub fn opens_at_once(&self, level: u8) -> bool {
        self.serving.iter().take(usize::from(level)).all(|count| *count == 0)
    }

    pub fn slot(&self, channel: Channel, profile: ProfileId) -> Option<Slot> {
        self.lanes.get(&(channel, profile)).copied()
    }
}

impl Lane {
    /// The first contact in line that the first idle agent may take.
    pub fn head(&self, queue: &Queue, index: &QueueIndex) -> Option<LineKey> {
        let level = self.idle.first()?.level;
        let step = if index.opens_at_once(level) { 0 } else { queue.step_of(level) };
        let open = self.unoffered.first_from(u8::try_from(step).unwrap_or(u8::MAX));
        open.into_iter().chain(self.ringing.first_from(level)).min()
    }

    /// The agent whom the strategy chooses for a contact among the idle of the lowest level.
    pub fn choose(&self, state: &State, queue: &Queue, contact: &Contact) -> Option<AgentId> {
        let first = self.idle.first()?;
        let Some((major, minor, agent)) = self.point(state, queue, contact, first.level) else {
            return Some(first.agent);
        };
        let after = IdleKey { level: first.level, major, minor, agent };
        let fits = |key: &IdleKey| key.level == first.level && (!queue.is_weighted() || key.major == major);
        let next = self.idle.after(after).filter(fits);
        // Past the last one a circle begins again: at the first of the level, or of the weight drawn.
        let begin = if queue.is_weighted() { IdleKey { minor: 0, agent: AgentId(0), ..after } } else { first };
        Some(next.or_else(|| self.idle.from(begin))?.agent)
    }

    /// After which key a circular strategy looks for the next one; none where the smallest key is meant.
    fn point(&self, state: &State, queue: &Queue, contact: &Contact, level: u8) -> Option<(u64, u64, AgentId)> {
        if !queue.is_weighted() {
            return queue.turn_after(state, contact).map(|(major, agent)| (major, 0, agent));
        }
        let classes = || self.weights.range((level, 0)..=(level, u64::MAX));
        let total: u64 = classes().map(|((_, weight), count)| weight * u64::from(*count)).sum();
        let mut left = draw(state.seed, 1, state.offers_made).checked_rem(total)?;
        for ((_, weight), count) in classes() {
            let share = weight * u64::from(*count);
            if left < share {
                return Some((*weight, draw(state.seed, 2, state.offers_made), AgentId(0)));
            }
            left -= share;
        }
        None
    }

    fn seat(&mut self, queue: &Queue, key: IdleKey) {
        if self.idle.insert(key) && queue.is_weighted() {
            *self.weights.entry((key.level, key.major)).or_default() += 1;
        }
    }

    fn unseat(&mut self, queue: &Queue, key: IdleKey) {
        if self.idle.remove(&key)
            && queue.is_weighted()
            && let Some(count) = self.weights.get_mut(&(key.level, key.major))
        {
            *count -= 1;
            if *count == 0 {
                self.weights.remove(&(key.level, key.major));
            }
        }
    }
}

impl Index {
    /// Everything anew: after a snapshot was restored, and to check what was kept.
    pub fn build(state: &State) -> Self {
        let mut index = Self::default();
        for (id, profile) in &state.profiles {
            index.profiles.insert(profile.needs.clone(), *id);
        }
        for (id, queue) in &state.queues {
            index.queues.insert(*id, QueueIndex::default());
            index.add_queue_timers(*id, queue);
            for (channel, profile) in &queue.lanes {
                index.open_lane(state, LaneId { queue: *id, channel: *channel, profile: *profile });
            }
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
        index.settle(state);
        index
    }

    /// Lets the agent who has just become free sit down in the lanes.
    pub fn settle(&mut self, state: &State) {
        if let Some(agent) = self.fresh.take().and_then(|id| state.agents.get(&id)) {
            self.sit_down(state.seed, &state.queues, agent);
        }
    }

    /// The contacts that wait for one agent alone in the queues that `of` picks.
    pub fn waiting_for(&self, agent: AgentId, of: impl Fn(QueueId) -> bool) -> impl Iterator<Item = ContactId> {
        let line = self.preferring.get(&agent).into_iter().flatten();
        line.filter(move |(.., queue)| of(*queue)).map(|(_, key, _)| key.contact)
    }

    /// Of the contacts that wait for one agent alone, and can be taken by that agent now, the first in line.
    pub fn first_wanted(&self, state: &State) -> Option<((Reverse<u32>, LineKey), QueueId, AgentId)> {
        let first = |id: &AgentId| {
            let agent = state.agents.get(id)?;
            let mut line = self.preferring.get(id)?.iter();
            let (weight, key, queue) = line.find(|(_, key, _)| {
                state.contacts.get(&key.contact).is_some_and(|contact| {
                    contact.wants_offer()
                        && agent.can_take(contact.channel)
                        && agent.config.meets(state.needs_of(contact))
                })
            })?;
            Some(((*weight, *key), *queue, *id))
        };
        self.wanted.iter().filter_map(first).min()
    }

    /// Everybody who can take something has been offered it.
    pub fn looked_at(&mut self) {
        self.wanted.clear();
    }

    /// Whom the agent who has just become free takes, and for which queue, where that needs no comparing of agents: nobody else is
    /// free for any contact that waits, nobody waits for this agent alone, and no tier is closed.
    pub fn taken_by_fresh(&self, state: &State) -> Option<(AgentId, QueueId, LineKey)> {
        let alone = self.matchable.is_empty() && self.wanted.is_empty();
        let agent = state.agents.get(&self.fresh.filter(|_| alone)?)?;
        let free = Channel::ALL.map(|channel| agent.can_take(channel));
        let mut first: Option<(Reverse<u32>, Front, QueueId, Slot)> = None;
        let mut at: Option<(u16, &Queue)> = None;
        for seat in self.seats.get(&agent.config.id)?.iter().filter(|seat| free[seat.channel as usize]) {
            if at.is_none_or(|(number, _)| number != seat.membership) {
                let queue = state.queues.get(&agent.config.queues.get(usize::from(seat.membership))?.queue)?;
                if agent.kept_by(queue.config.id).is_some() {
                    continue;
                }
                if queue.steps.len() > 1 || queue.config.strategy == Strategy::RingAll {
                    return None;
                }
                at = Some((seat.membership, queue));
            }
            let (Some((_, queue)), front) = (at, self.fronts[seat.lane as usize]) else { continue };
            if front == Front::NOBODY {
                continue;
            }
            let weight = Reverse(queue.config.weight);
            let goes_first = first.is_none_or(|(least, other, _, slot)| {
                (weight, front).cmp(&(least, other)).then_with(|| self.front(seat.lane).cmp(&self.front(slot))).is_lt()
            });
            if goes_first {
                first = Some((weight, front, queue.config.id, seat.lane));
            }
        }
        let (_, _, queue, slot) = first?;
        Some((agent.config.id, queue, self.front(slot)?))
    }

    /// The first contact of a lane without an offer.
    fn front(&self, slot: Slot) -> Option<LineKey> {
        self.lanes[slot as usize].unoffered.first_from(0)
    }

    /// Opens a lane, and lets every member who fits sit down. Costs time in proportion to the members, once per profile and queue.
    pub fn open_lane(&mut self, state: &State, id: LaneId) {
        let (Some(queue), Some(index)) = (state.queues.get(&id.queue), self.queues.get_mut(&id.queue)) else { return };
        let slot = Slot::try_from(self.lanes.len()).unwrap_or(Slot::MAX);
        if index.lanes.contains_key(&(id.channel, id.profile)) || slot == Slot::MAX {
            return;
        }
        index.lanes.insert((id.channel, id.profile), slot);
        let needs = state.profiles.get(&id.profile).map(|profile| profile.needs.clone()).unwrap_or_default();
        let (unoffered, ringing, weights) = Default::default();
        let idle = Idle::new(queue.config.strategy);
        let mut lane = Lane { id, needs, unoffered, ringing, idle, matchable: false, weights };
        for agent in index.members.iter().filter_map(|id| state.agents.get(id)) {
            let is_fresh = self.fresh == Some(agent.config.id);
            if let Some(seat) = seat_in(agent, &lane, slot) {
                let seats = self.seats.or_insert_with(agent.config.id, Box::default);
                let mut more = core::mem::take(seats).into_vec();
                more.reserve_exact(1);
                more.push(seat);
                *seats = more.into_boxed_slice();
                if !is_fresh
                    && agent.can_take(id.channel)
                    && agent.kept_by(id.queue).is_none()
                    && let Some(membership) = agent.config.queues.get(usize::from(seat.membership))
                {
                    lane.seat(queue, agent.idle_key(state.seed, queue, membership, &lane.needs));
                }
            }
        }
        self.lanes.push(lane);
        self.fronts.push(Front::NOBODY);
    }

    /// Counts an agent, and lets the agent sit down.
    pub fn add_agent(&mut self, seed: u64, queues: &Queues, agent: &Agent) {
        self.count(agent, Counted::default(), Counted::of(agent));
        self.seat(seed, queues, agent);
    }

    /// Takes an agent out. Tiers that this opens are seen to by [`Index::refresh_queue`].
    pub fn remove_agent(&mut self, seed: u64, queues: &Queues, agent: &Agent) {
        self.lift(seed, queues, agent);
        self.count(agent, Counted::of(agent), Counted::default());
    }

    /// What the agent's queues count has changed.
    pub fn count(&mut self, agent: &Agent, before: Counted, now: Counted) {
        if now == before {
            return;
        }
        for membership in agent.memberships() {
            let Some(index) = self.queues.get_mut(&membership.queue) else { continue };
            let change = |number: &mut u32, before: bool, now: bool| {
                *number = *number + u32::from(now) - u32::from(before);
            };
            change(&mut index.logged_in, before.logged_in, now.logged_in);
            change(&mut index.available, before.available, now.available);
            change(index.serving_at(membership.level), before.serves, now.serves);
        }
    }

    /// Lets an agent who is counted sit down in the lanes, or be the fresh one.
    pub fn seat(&mut self, seed: u64, queues: &Queues, agent: &Agent) {
        if self.preferring.contains_key(&agent.config.id) {
            self.wanted.insert(agent.config.id);
        }
        if self.fresh.is_none() && Channel::ALL.iter().any(|channel| agent.can_take(*channel)) {
            self.fresh = Some(agent.config.id);
        } else {
            self.sit_down(seed, queues, agent);
        }
        self.timers.extend(agent_timers(agent));
    }

    fn sit_down(&mut self, seed: u64, queues: &Queues, agent: &Agent) {
        self.each_seat(seed, queues, agent, |lane, queue, key, index| {
            lane.seat(queue, key);
            Some(lane.head(queue, index).is_some())
        });
        self.timers.extend(measure_timer(queues, agent));
    }

    /// Takes an agent out of the lanes, counted all the same: who is only offered something opens no tier.
    pub fn lift(&mut self, seed: u64, queues: &Queues, agent: &Agent) {
        if self.fresh == Some(agent.config.id) {
            self.fresh = None;
        } else {
            let none = self.matchable.is_empty();
            self.each_seat(seed, queues, agent, |lane, queue, key, index| {
                lane.unseat(queue, key);
                (!none).then(|| lane.head(queue, index).is_some())
            });
            if let Some(timer) = measure_timer(queues, agent) {
                self.timers.remove(&timer);
            }
        }
        for timer in agent_timers(agent) {
            self.timers.remove(&timer);
        }
    }

    /// Does something in every lane where the agent is free now; it says whether contact and agent can meet there, where it knows.
    fn each_seat(
        &mut self,
        seed: u64,
        queues: &Queues,
        agent: &Agent,
        mut act: impl FnMut(&mut Lane, &Queue, IdleKey, &QueueIndex) -> Option<bool>,
    ) {
        let free = Channel::ALL.map(|channel| agent.can_take(channel));
        if free == [false; Channel::ALL.len()] {
            return;
        }
        let Some(seats) = self.seats.get(&agent.config.id) else { return };
        // The seats of one membership stand together.
        let mut at: Option<(u16, &Membership, &Queue, &QueueIndex)> = None;
        for seat in seats.iter().filter(|seat| free[seat.channel as usize]) {
            if at.is_none_or(|(number, ..)| number != seat.membership) {
                let Some(membership) = agent.config.queues.get(usize::from(seat.membership)) else { continue };
                if agent.kept_by(membership.queue).is_some() {
                    continue;
                }
                let found = queues.get(&membership.queue).zip(self.queues.get(&membership.queue));
                let Some((queue, index)) = found else { continue };
                at = Some((seat.membership, membership, queue, index));
            }
            let Some((_, membership, queue, index)) = at else { continue };
            let lane = &mut self.lanes[seat.lane as usize];
            let key = agent.idle_key(seed, queue, membership, &lane.needs);
            if let Some(matchable) = act(lane, queue, key, index) {
                self.matchable.put(seat.lane, lane, matchable);
            }
        }
    }

    /// Notes of which queues an agent is a member, and in which lanes the agent's skills count.
    pub fn join(&mut self, agent: &Agent) {
        let mut seats = Vec::new();
        for membership in &agent.config.queues {
            let Some(index) = self.queues.get_mut(&membership.queue) else { continue };
            index.members.insert(agent.config.id);
            seats.extend(index.lanes.values().filter_map(|slot| seat_in(agent, &self.lanes[*slot as usize], *slot)));
        }
        self.seats.insert(agent.config.id, seats.into_boxed_slice());
        self.note_loans(agent);
    }

    /// Forgets of which queues an agent is a member.
    pub fn part(&mut self, agent: &Agent) {
        for membership in &agent.config.queues {
            if let Some(index) = self.queues.get_mut(&membership.queue) {
                index.members.remove(&agent.config.id);
            }
        }
        self.seats.remove(&agent.config.id);
        self.forget_loans(agent);
    }

    /// Notes which queues lend an agent.
    pub fn note_loans(&mut self, agent: &Agent) {
        for loan in &agent.loans {
            self.lent.entry(loan.by).or_default().insert(agent.config.id);
        }
    }

    /// Forgets which queues lend an agent.
    pub fn forget_loans(&mut self, agent: &Agent) {
        for loan in &agent.loans {
            if let Some(lent) = self.lent.get_mut(&loan.by) {
                lent.remove(&agent.config.id);
                if lent.is_empty() {
                    self.lent.remove(&loan.by);
                }
            }
        }
    }

    /// Whom a queue lends to others, now or at other times.
    pub fn lent_by(&self, queue: QueueId) -> Vec<AgentId> {
        self.lent.get(&queue).into_iter().flatten().copied().collect()
    }

    /// Sees where contacts and agents can meet in a queue: a tier may be open, or closed, because somebody came or went.
    pub fn refresh_queue(&mut self, id: QueueId, queue: &Queue) {
        let Some(index) = self.queues.get(&id) else { return };
        for slot in index.lanes.values() {
            refresh(&mut self.matchable, *slot, &mut self.lanes[*slot as usize], queue, index);
        }
    }

    /// Whether an agent is the only one, or was the last one, who serves a level.
    pub fn is_turning_point(&self, queue: QueueId, level: u8) -> bool {
        self.queues.get(&queue).is_some_and(|index| index.serving[usize::from(level.min(LEVELS_MAX))] <= 1)
    }

    pub fn add_contact(&mut self, queues: &Queues, contact: &Contact) {
        if contact.is_waiting() {
            self.put_in_line(queues, contact, true);
            self.place(queues, contact);
        } else if let Some(index) = self.queues.get_mut(&contact.queue) {
            index.served += 1;
        }
    }

    pub fn remove_contact(&mut self, queues: &Queues, contact: &Contact) {
        if contact.is_waiting() {
            self.unplace(queues, contact);
            self.put_in_line(queues, contact, false);
        } else if let Some(index) = self.queues.get_mut(&contact.queue) {
            index.served -= 1;
        }
    }

    /// A contact that was [unplaced](Index::unplace) is served now.
    pub fn serve(&mut self, queues: &Queues, contact: &Contact) {
        self.put_in_line(queues, contact, false);
        if let Some(index) = self.queues.get_mut(&contact.queue) {
            index.served += 1;
        }
    }

    /// Puts a waiting contact into its lane, and its timers to the others: after a change that leaves its place in line.
    pub fn place(&mut self, queues: &Queues, contact: &Contact) {
        self.put_in_lane(queues, contact, true);
        if let Some(queue) = queues.get(&contact.queue) {
            self.timers.extend(contact_timers(queue, contact));
        }
    }

    /// Takes a waiting contact out of its lane, and its timers out of the others: before such a change.
    pub fn unplace(&mut self, queues: &Queues, contact: &Contact) {
        self.put_in_lane(queues, contact, false);
        if let Some(queue) = queues.get(&contact.queue) {
            for timer in contact_timers(queue, contact) {
                self.timers.remove(&timer);
            }
        }
    }

    fn put_in_line(&mut self, queues: &Queues, contact: &Contact, add: bool) {
        let (Some(queue), Some(index)) = (queues.get(&contact.queue), self.queues.get_mut(&contact.queue)) else {
            return;
        };
        put(&mut index.waiting, (contact.entered_at, contact.id), add);
        put(&mut index.lines[contact.channel as usize], contact.line_key(queue), add);
    }

    fn put_in_lane(&mut self, queues: &Queues, contact: &Contact, add: bool) {
        let (Some(queue), Some(index)) = (queues.get(&contact.queue), self.queues.get(&contact.queue)) else {
            return;
        };
        let Place::Waiting { step, ring_level, prefers, asks, .. } = &contact.place else { return };
        if asks.is_some() {
            return;
        }
        if let Some((agent, _)) = prefers.as_deref() {
            let line = self.preferring.entry(*agent).or_default();
            put(line, (Reverse(queue.config.weight), contact.line_key(queue), contact.queue), add);
            if line.is_empty() {
                self.preferring.remove(agent);
            } else if add {
                self.wanted.insert(*agent);
            }
            return;
        }
        let Some(slot) = index.slot(contact.channel, contact.profile()) else { return };
        let lane = &mut self.lanes[slot as usize];
        let (tiers, at) = if contact.wants_offer() {
            (&mut lane.unoffered, *step)
        } else if queue.config.strategy == Strategy::RingAll || !add {
            (&mut lane.ringing, *ring_level)
        } else {
            return;
        };
        tiers.put(at, contact.line_key(queue), add);
        self.fronts[slot as usize] = Front::of(lane.unoffered.first_from(0));
        refresh(&mut self.matchable, slot, lane, queue, index);
    }

    pub fn add_offer(&mut self, id: OfferId, offer: Offer) {
        self.timers.insert((offer.deadline, Timer::OfferDeadline(id)));
    }

    pub fn remove_offer(&mut self, id: OfferId, offer: Offer) {
        self.timers.remove(&(offer.deadline, Timer::OfferDeadline(id)));
    }

    pub fn add_queue_timers(&mut self, id: QueueId, queue: &Queue) {
        self.timers.extend(queue_timers(id, queue));
    }

    pub fn remove_queue_timers(&mut self, id: QueueId, queue: &Queue) {
        for timer in queue_timers(id, queue) {
            self.timers.remove(&timer);
        }
    }
}

#[cfg(test)]
impl PartialEq for Index {
    /// The same content; lanes may be numbered otherwise.
    fn eq(&self, other: &Self) -> bool {
        fn view(index: &Index) -> impl PartialEq + use<'_> {
            let lane = |slot: Slot| index.lanes[slot as usize].id;
            let queues: Vec<_> = index
                .queues
                .iter()
                .map(|(id, queue)| (id, QueueIndex { lanes: BTreeMap::new(), ..queue.clone() }))
                .collect();
            let lanes: BTreeMap<LaneId, &Lane> = index.lanes.iter().map(|lane| (lane.id, lane)).collect();
            let seats: BTreeMap<AgentId, BTreeSet<(u16, LaneId)>> = index
                .seats
                .iter()
                .map(|(id, seats)| (*id, seats.iter().map(|seat| (seat.membership, lane(seat.lane))).collect()))
                .collect();
            let matchable: BTreeSet<LaneId> = index.matchable.iter().map(lane).collect();
            (queues, lanes, seats, matchable, &index.timers, &index.profiles, &index.preferring, &index.lent)
        }
        view(self) == view(other)
    }
}

fn put<T: Ord>(set: &mut BTreeSet<T>, item: T, add: bool) {
    if add {
        set.insert(item);
    } else {
        set.remove(&item);
    }
}

/// The seat of an agent in a lane, if the agent may sit there at all.
fn seat_in(agent: &Agent, lane: &Lane, slot: Slot) -> Option<Seat> {
    let channel = lane.id.channel;
    let membership = agent.config.queues.iter().position(|membership| membership.queue == lane.id.queue)?;
    let able = agent.config.capacity.iter().any(|capacity| capacity.channel == channel);
    (able && agent.config.meets(&lane.needs)).then(|| Seat {
        membership: u16::try_from(membership).unwrap_or(u16::MAX),
        channel,
        lane: slot,
    })
}

/// Sees whether a contact and an agent can meet in this lane.
fn refresh(matchable: &mut Matchable, slot: Slot, lane: &mut Lane, queue: &Queue, index: &QueueIndex) {
    let meet = lane.head(queue, index).is_some();
    matchable.put(slot, lane, meet);
}
