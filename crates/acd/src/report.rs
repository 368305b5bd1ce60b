//! Figures of any part of a log, by stretches of time: queues and agents, recomputed from the events alone.

use std::collections::{BTreeMap, BTreeSet};

use offhook_units::{AgentId, ContactId, QueueId, Tick};

use crate::config::ServiceLevel;
use crate::counting::{self, Sheet};
use crate::figures::{AgentFigures, QueueFigures};
use crate::state::AgentKind;
use crate::words::{Event, WrapUpStart};

/// Figures by stretches of time, such as intervals, days or months: a fold of events. A visit counts in the stretch in which it entered, an offer and
/// the work of an agent in that in which they happened, time in a state in each stretch that it touches.
///
/// A log may be read from the middle. What began before the first event read is not known then: an agent's state before the first event that tells
/// it, and that the customer of a callback is yet to be reached. Begin some days earlier than the report does; what those days count
/// for is left out. And read on beyond the end, for how visits ended that had begun by then.
#[derive(Debug, Clone)]
pub struct Report {
    /// When each stretch begins, and where the last one ends; ascending.
    bounds: Vec<Tick>,
    promises: BTreeMap<QueueId, ServiceLevel>,
    /// By the number of the stretch.
    queues: BTreeMap<(usize, QueueId), QueueFigures>,
    agents: BTreeMap<(usize, AgentId), AgentFigures>,
    states: BTreeMap<AgentId, Known>,
    /// Whether it is of queues, and of agents.
    of: (bool, bool),
    /// Whose customer is yet to be reached.
    away: BTreeSet<ContactId>,
}

/// What the events told of an agent so far.
#[derive(Debug, Clone, Copy)]
struct Known {
    logged_in: bool,
    not_ready: bool,
    offered: bool,
    served: u32,
    wrap_ups: u32,
    kind: AgentKind,
    since: Tick,
}

impl Known {
    /// Somebody at work of whom nothing was told yet.
    fn at(since: Tick) -> Self {
        let (served, wrap_ups, kind) = (0, 0, AgentKind::LoggedOut);
        Self { logged_in: true, not_ready: false, offered: false, served, wrap_ups, kind, since }
    }

    fn kind_now(&self) -> AgentKind {
        if !self.logged_in {
            AgentKind::LoggedOut
        } else if self.served > 0 {
            AgentKind::Busy
        } else if self.offered {
            AgentKind::Offered
        } else if self.wrap_ups > 0 {
            AgentKind::WrapUp
        } else if self.not_ready {
            AgentKind::NotReady
        } else {
            AgentKind::Available
        }
    }
}

impl Report {
    /// An empty one of the stretches that lie between `bounds`. `promises` are those that queues had before the first event read; what a log
    /// says of them goes before.
    pub fn new(mut bounds: Vec<Tick>, promises: impl IntoIterator<Item = (QueueId, ServiceLevel)>) -> Self {
        bounds.sort_unstable();
        bounds.dedup();
        Self {
            bounds,
            promises: promises.into_iter().collect(),
            queues: BTreeMap::new(),
            agents: BTreeMap::new(),
            states: BTreeMap::new(),
            of: (true, true),
            away: BTreeSet::new(),
        }
    }

    /// The same of queues alone, which takes up less.
    #[must_use]
    pub fn of_queues(self) -> Self {
        Self { of: (true, false), ..self }
    }

    /// The same of agents alone.
    #[must_use]
    pub fn of_agents(self) -> Self {
        Self { of: (false, true), ..self }
    }

    /// Counts the next event of the log.
    pub fn fold(&mut self, at: Tick, event: &Event) {
        self.follow(at, event);
        if let Event::MustReach { contact } = event {
            self.away.insert(*contact);
        }
        if let Event::Reached { contact, .. } | Event::Unreached { contact, .. } | Event::Left { contact, .. } = event {
            self.away.remove(contact);
        }
        if let Event::Accepted { contact, agent, .. } = event
            && self.away.contains(contact)
        {
            return counting::take(self, *agent, at);
        }
        counting::count(self, at, event);
    }

    /// The states that last are counted up to `now`; to be called once, at the end.
    pub fn close(&mut self, now: Tick) {
        for (agent, known) in core::mem::take(&mut self.states) {
            self.spend(agent, known.kind, known.since, now);
        }
    }

    /// The first instant that counts, and the first one that no longer does; none where there is no stretch.
    pub fn span(&self) -> Option<(Tick, Tick)> {
        Some((*self.bounds.first()?, *self.bounds.last()?)).filter(|(from, until)| from < until)
    }

    /// How many pairs of a stretch and a queue or an agent have figures: what the report takes up in memory goes by it.
    pub fn rows(&self) -> usize {
        self.queues.len() + self.agents.len()
    }

    /// The stretches in which something is counted, by time and then by queue: when each began, whose it is, and the figures.
    pub fn queues(&self) -> impl Iterator<Item = (Tick, QueueId, &QueueFigures)> {
        self.queues.iter().map(|((stretch, queue), figures)| (self.bounds[*stretch], *queue, figures))
    }

    /// The same of agents. There is no [`AgentFigures::shift_began`] here.
    pub fn agents(&self) -> impl Iterator<Item = (Tick, AgentId, &AgentFigures)> {
        self.agents.iter().map(|((stretch, agent), figures)| (self.bounds[*stretch], *agent, figures))
    }

    /// What an event tells of an agent's state.
    fn follow(&mut self, at: Tick, event: &Event) {
        let (agent, change): (AgentId, &dyn Fn(&mut Known)) = match event {
            Event::LoggedIn { agent, .. } => (*agent, &|known| (known.logged_in, known.not_ready) = (true, false)),
            Event::LoggedOut { agent } => {
                (*agent, &|known| *known = Known { logged_in: false, kind: known.kind, ..Known::at(known.since) })
            }
            Event::Ready { agent } => (*agent, &|known| known.not_ready = false),
            Event::NotReady { agent, .. } => (*agent, &|known| known.not_ready = true),
            Event::Offered { agent, .. } => (*agent, &|known| known.offered = true),
            Event::OfferEnded { agent, .. } => (*agent, &|known| known.offered = false),
            Event::Accepted { agent, .. } => {
                (*agent, &|known| (known.offered, known.served) = (false, known.served.saturating_add(1)))
            }
            Event::Finished { agent, wrap_up: WrapUpStart::None, .. } => {
                (*agent, &|known| known.served = known.served.saturating_sub(1))
            }
            Event::Finished { agent, wrap_up: WrapUpStart::Until(_) | WrapUpStart::UntilDone, .. } => {
                (*agent, &|known| {
                    known.served = known.served.saturating_sub(1);
                    known.wrap_ups = known.wrap_ups.saturating_add(1);
                })
            }
            Event::WrapUpEnded { agent, .. } => (*agent, &|known| known.wrap_ups = known.wrap_ups.saturating_sub(1)),
            Event::AgentRemoved { agent } => {
                if let Some(known) = self.states.remove(agent) {
                    self.spend(*agent, known.kind, known.since, at);
                }
                return;
            }
            Event::QueueSet(_)
            | Event::QueueRemoved { .. }
            | Event::AgentSet(_)
            | Event::LogOutAsked { .. }
            | Event::Rested { .. }
            | Event::Entered { .. }
            | Event::Preferred { .. }
            | Event::PreferenceEnded { .. }
            | Event::TierOpened { .. }
            | Event::RingOpened { .. }
            | Event::Widened { .. }
            | Event::Measured { .. }
            | Event::WaitedTooLong { .. }
            | Event::NobodyHere { .. }
            | Event::Left { .. }
            | Event::Held { .. }
            | Event::Retrieved { .. }
            | Event::ExternalSet { .. }
            | Event::Asked { .. }
            | Event::AskEnded { .. }
            | Event::MustReach { .. }
            | Event::Reached { .. }
            | Event::Unreached { .. }
            | Event::LendingSet { .. }
            | Event::LendingReviewed { .. }
            | Event::Lent { .. }
            | Event::Forecast { .. }
            | Event::WrapUpExtended { .. } => return,
        };
        let known = self.states.get(&agent).copied();
        let mut next = known.unwrap_or(Known::at(at));
        change(&mut next);
        let kind = next.kind_now();
        if let Some(before) = known.filter(|before| before.kind != kind) {
            self.spend(agent, before.kind, before.since, at);
        }
        if known.is_none_or(|before| before.kind != kind) {
            (next.kind, next.since) = (kind, at);
        }
        self.states.insert(agent, next);
    }

    /// An agent was in a state from `since` to `until`.
    fn spend(&mut self, agent: AgentId, kind: AgentKind, since: Tick, until: Tick) {
        if kind == AgentKind::LoggedOut || !self.of.1 {
            return;
        }
        let first = self.bounds.partition_point(|bound| *bound <= since).saturating_sub(1);
        for (stretch, bounds) in self.bounds.windows(2).enumerate().skip(first) {
            let (begin, end) = (bounds[0].max(since), bounds[1].min(until));
            if bounds[0] >= until {
                return;
            }
            if end > begin {
                let figures = self.agents.entry((stretch, agent)).or_default();
                figures.in_state[kind as usize] += end - begin;
            }
        }
    }

    /// In which stretch an instant lies.
    fn stretch(&self, at: Tick) -> Option<usize> {
        let after = self.bounds.partition_point(|bound| *bound <= at);
        if after < self.bounds.len() { after.checked_sub(1) } else { None }
    }
}

impl Sheet for Report {
    fn promise(&mut self, queue: QueueId, promise: ServiceLevel) {
        self.promises.insert(queue, promise);
    }

    /// What it counted stays.
    fn drop_queue(&mut self, _queue: QueueId) {}

    /// As above.
    fn drop_agent(&mut self, _agent: AgentId) {}

    fn begin_shift(&mut self, _agent: AgentId, _at: Tick) {}

    fn queue(&mut self, id: QueueId, at: Tick, change: impl FnOnce(&mut QueueFigures, ServiceLevel)) {
        if let Some(stretch) = self.stretch(at).filter(|_| self.of.0) {
            let promise = self.promises.get(&id).copied().unwrap_or_default();
            change(self.queues.entry((stretch, id)).or_default(), promise);
        }
    }

    fn agent(&mut self, id: AgentId, at: Tick, change: impl FnOnce(&mut AgentFigures)) {
        if let Some(stretch) = self.stretch(at).filter(|_| self.of.1) {
            change(self.agents.entry((stretch, id)).or_default());
        }
    }
}
