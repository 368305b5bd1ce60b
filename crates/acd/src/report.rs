//! Figures of any part of a log, by interval: queues and agents, recomputed from the events alone.

use std::collections::{BTreeMap, BTreeSet};

use offhook_units::{AgentId, ContactId, QueueId, Tick};

use crate::config::ServiceLevel;
use crate::counting::{self, Sheet};
use crate::figures::{AgentFigures, INTERVAL, QueueFigures, interval_of};
use crate::state::AgentKind;
use crate::words::{Event, WrapUpStart};

/// Figures by [`INTERVAL`], from one time to another: a fold of events. A visit counts in the interval in which it entered, an offer and
/// the work of an agent in that in which they happened, time in a state in each interval that it touches.
///
/// A log may be read from the middle. What began before the first event read is not known then: an agent's state before the first event that tells
/// it, and that the customer of a callback is yet to be reached. Begin some days earlier than the report does; what those days count
/// for is left out. And read on beyond the end, for how visits ended that had begun by then.
#[derive(Debug, Clone)]
pub struct Report {
    /// The first interval, and the first one no longer in it.
    from: u64,
    until: u64,
    promises: BTreeMap<QueueId, ServiceLevel>,
    queues: BTreeMap<(QueueId, u64), QueueFigures>,
    agents: BTreeMap<(AgentId, u64), AgentFigures>,
    states: BTreeMap<AgentId, Known>,
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
    /// An empty one of the intervals from that of `from` to before that of `until`. `promises` are those that queues had before the first event
    /// read; what a log says of them goes before.
    pub fn new(from: Tick, until: Tick, promises: impl IntoIterator<Item = (QueueId, ServiceLevel)>) -> Self {
        Self {
            from: interval_of(from),
            until: interval_of(until),
            promises: promises.into_iter().collect(),
            queues: BTreeMap::new(),
            agents: BTreeMap::new(),
            states: BTreeMap::new(),
            away: BTreeSet::new(),
        }
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

    /// Queues by id, and of each the intervals in which something is counted, with when they began.
    pub fn queues(&self) -> impl Iterator<Item = (QueueId, Tick, &QueueFigures)> {
        self.queues.iter().map(|((queue, interval), figures)| (*queue, begin_of(*interval), figures))
    }

    /// The same of agents. There is no [`AgentFigures::shift_began`] here.
    pub fn agents(&self) -> impl Iterator<Item = (AgentId, Tick, &AgentFigures)> {
        self.agents.iter().map(|((agent, interval), figures)| (*agent, begin_of(*interval), figures))
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
            | Event::Forecast { .. } => return,
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
        if kind == AgentKind::LoggedOut {
            return;
        }
        let (first, last) = (interval_of(since).max(self.from), interval_of(until).min(self.until.saturating_sub(1)));
        for interval in first..=last {
            let (begin, end) = (begin_of(interval).max(since), begin_of(interval + 1).min(until));
            if end > begin {
                let figures = self.agents.entry((agent, interval)).or_default();
                figures.in_state[kind as usize] += end - begin;
            }
        }
    }

    fn has(&self, at: Tick) -> bool {
        (self.from..self.until).contains(&interval_of(at))
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
        if self.has(at) {
            let promise = self.promises.get(&id).copied().unwrap_or_default();
            change(self.queues.entry((id, interval_of(at))).or_default(), promise);
        }
    }

    fn agent(&mut self, id: AgentId, at: Tick, change: impl FnOnce(&mut AgentFigures)) {
        if self.has(at) {
            change(self.agents.entry((id, interval_of(at))).or_default());
        }
    }
}

fn begin_of(interval: u64) -> Tick {
    Tick::ZERO + INTERVAL * interval
}
