//! Conditional lending: an agent of one queue serves another one only while the first keeps its promise (docs/decisions/0093).

use std::collections::BTreeSet;

use offhook_units::{AgentId, QueueId, Span, Tick};

use crate::Acd;
use crate::config::Lending;
use crate::state::{Agent, Queue, State};
use crate::words::{Event, Refusal};

/// How often a lender looks anew at how well it does.
pub const REVIEW_EVERY: Span = Span::from_s(60);
/// Of how many intervals of [`INTERVAL`](crate::INTERVAL) the service level is, the one that lasts included.
pub const REVIEWED_INTERVALS: u64 = 2;

/// An agent's place in a queue that another queue of the agent lends it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Loan {
    /// To which queue.
    pub to: QueueId,
    /// By which.
    pub by: QueueId,
    /// The lender lends now.
    pub open: bool,
}

impl Agent {
    /// The queue that keeps the agent from another one now.
    pub fn kept_by(&self, queue: QueueId) -> Option<QueueId> {
        self.loans.iter().find(|loan| loan.to == queue && !loan.open).map(|loan| loan.by)
    }
}

impl Acd {
    /// Whether a queue lends its agents now; none where it never does.
    pub fn lends(&self, queue: QueueId) -> Option<bool> {
        let queue = self.state.queues.get(&queue)?;
        queue.lending.map(|_| queue.lends)
    }

    /// Which queue lends an agent to another one, and whether it does so now.
    pub fn lender(&self, agent: AgentId, queue: QueueId) -> Option<(QueueId, bool)> {
        let loans = &self.state.agents.get(&agent)?.loans;
        loans.iter().find(|loan| loan.to == queue).map(|loan| (loan.by, loan.open))
    }

    pub(crate) fn set_lending(&self, now: Tick, id: QueueId, terms: Option<Lending>) -> Result<Vec<Event>, Refusal> {
        let queue = self.queue_known(id)?;
        if terms.is_some_and(|terms| !(1..=10_000).contains(&terms.target)) {
            return Err(Refusal::Misuse("a target is 1 to 10,000 hundredths of a percent"));
        }
        if queue.lending == terms {
            return Ok(Vec::new());
        }
        let mut events = vec![Event::LendingSet { queue: id, terms }];
        if let Some(terms) = terms {
            events.push(Event::LendingReviewed { queue: id, lends: self.can_lend(now, queue, terms) });
        }
        Ok(events)
    }

    pub(crate) fn lend(&self, id: AgentId, to: QueueId, by: Option<QueueId>) -> Result<Vec<Event>, Refusal> {
        let agent = self.known_agent(id)?;
        let loans = &agent.loans;
        for queue in [Some(to), by].into_iter().flatten() {
            self.queue_known(queue)?;
            if agent.membership(queue).is_none() {
                return Err(Refusal::Misuse("an agent is lent between queues that the agent is a member of"));
            }
        }
        if by == Some(to) {
            return Err(Refusal::Misuse("a queue does not lend to itself"));
        }
        let again = loans.iter().any(|loan| Some(loan.to) == by || loan.by == to);
        if by.is_some() && again {
            return Err(Refusal::Misuse("an agent on loan is not lent again"));
        }
        let known = loans.iter().find(|loan| loan.to == to).map(|loan| loan.by);
        Ok(if known == by { Vec::new() } else { vec![Event::Lent { agent: id, queue: to, by }] })
    }

    /// What the time to look anew brings about.
    pub(crate) fn review(&self, now: Tick, id: QueueId) -> Option<Event> {
        let queue = self.state.queues.get(&id)?;
        Some(Event::LendingReviewed { queue: id, lends: self.can_lend(now, queue, queue.lending?) })
    }

    /// The service level of late is at or above the target, or there was nothing to serve; and nobody has waited longer than the threshold.
    fn can_lend(&self, now: Tick, queue: &Queue, terms: Lending) -> bool {
        let promise = queue.config.service_level;
        let level = self.figures.lately(queue.config.id, now, REVIEWED_INTERVALS).service_level(promise.formula);
        let longest = self.longest_wait(queue.config.id, now).unwrap_or(Span::ZERO);
        level.is_none_or(|level| level >= terms.target) && longest <= promise.threshold
    }

    pub(crate) fn change_lending(&mut self, at: Tick, id: QueueId, change: impl FnOnce(&mut Queue)) {
        let Some(queue) = self.state.queues.get_mut(&id) else { return };
        self.index.remove_queue_timers(id, queue);
        let before = queue.lends;
        change(queue);
        let lends = queue.lends;
        self.index.add_queue_timers(id, queue);
        if lends == before {
            return;
        }
        let mut touched = BTreeSet::new();
        for agent in self.index.lent_by(id) {
            self.change_loans(agent, |loans| {
                for loan in loans.iter_mut().filter(|loan| loan.by == id) {
                    loan.open = lends;
                    touched.insert(loan.to);
                }
            });
        }
        for queue in touched {
            self.settle_loans(at, queue);
        }
    }

    pub(crate) fn set_loan(&mut self, at: Tick, id: AgentId, to: QueueId, by: Option<QueueId>) {
        let lends = |queue: &Queue| queue.lends;
        let loan = by.map(|by| Loan { to, by, open: self.state.queues.get(&by).is_some_and(lends) });
        let fits = |agent: &Agent| [Some(to), by].into_iter().flatten().all(|queue| agent.membership(queue).is_some());
        let Some(agent) = self.state.agents.get(&id).filter(|agent| fits(agent)) else { return };
        self.index.forget_loans(agent);
        self.change_loans(id, |loans| {
            loans.retain(|loan| loan.to != to);
            loans.extend(loan);
        });
        if let Some(agent) = self.state.agents.get(&id) {
            self.index.note_loans(agent);
        }
        self.settle_loans(at, to);
    }

    /// Changes in which queues an agent is now. What depends on it there, and not on the agent alone, is brought up to date by
    /// [`Acd::settle_loans`].
    fn change_loans(&mut self, id: AgentId, change: impl FnOnce(&mut Vec<Loan>)) {
        let State { seed, queues, agents, .. } = &mut self.state;
        let Some(agent) = agents.get_mut(&id) else { return };
        self.index.remove_agent(*seed, queues, agent);
        let mut loans = core::mem::take(&mut agent.loans).into_vec();
        change(&mut loans);
        agent.loans = loans.into_boxed_slice();
        self.index.add_agent(*seed, queues, agent);
        self.end_preferences(id);
    }

    fn settle_loans(&mut self, at: Tick, id: QueueId) {
        if let Some(queue) = self.state.queues.get(&id) {
            self.index.refresh_queue(id, queue);
        }
        self.update_nobody(at, id);
    }
}
