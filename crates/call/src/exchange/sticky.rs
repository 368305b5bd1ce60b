//! Whom each caller talked to last, for queues where a caller waits a while for that agent before anybody else is asked.
//!
//! It is kept in memory alone: numbers stand nowhere but in the sealed table, so a start begins with nobody.

use std::collections::{BTreeMap, BTreeSet};

use offhook_acd::Preferred;
use offhook_units::{AgentId, CallId, QueueId, Span, Tick};

use super::Exchange;
use super::identity::ANONYMOUS;
use crate::config::Sticky;

/// Most callers who are remembered; whoever called longest ago makes room.
pub const STICKY_CALLERS_MAX: usize = 100_000;

/// The last agent of each caller.
#[derive(Debug, Default)]
pub(super) struct LastAgents {
    by_caller: BTreeMap<String, (Tick, AgentId)>,
    by_age: BTreeSet<(Tick, String)>,
}

impl LastAgents {
    /// Notes who took a call. Who called longer ago than `within`, for which no queue asks any more, is forgotten.
    fn remember(&mut self, now: Tick, caller: &str, agent: AgentId, within: Span) {
        if let Some((before, _)) = self.by_caller.insert(caller.to_owned(), (now, agent)) {
            self.by_age.remove(&(before, caller.to_owned()));
        }
        self.by_age.insert((now, caller.to_owned()));
        let is_over = |(at, _): &(Tick, String)| now - *at > within;
        while self.by_age.len() > STICKY_CALLERS_MAX || self.by_age.first().is_some_and(is_over) {
            let Some((_, oldest)) = self.by_age.pop_first() else { return };
            self.by_caller.remove(&oldest);
        }
    }

    /// Whom a caller waits for, where they talked lately enough.
    fn preferred(&self, now: Tick, caller: &str, sticky: Sticky) -> Option<Preferred> {
        let (at, agent) = *self.by_caller.get(caller)?;
        (now - at <= sticky.within).then_some(Preferred { agent, wait: sticky.wait })
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.by_caller.len()
    }
}

impl Exchange {
    /// Whom the caller of a call waits for in a queue.
    pub(super) fn preferred(&self, now: Tick, id: CallId, queue: QueueId) -> Option<Preferred> {
        let caller = self.calls.get(&id).map(|call| &*call.from.user).filter(|user| *user != ANONYMOUS)?;
        self.last_agents.preferred(now, caller, self.queue(queue)?.sticky?)
    }

    /// An agent took a call from a queue.
    pub(super) fn remember_agent(&mut self, now: Tick, id: CallId, agent: AgentId) {
        let Some(call) = self.calls.get(&id).filter(|call| call.from.user != ANONYMOUS) else { return };
        let settings = call.queue.and_then(|queue| self.queue(queue));
        if settings.is_some_and(|queue| queue.sticky.is_some()) {
            let longest = self.config.queues.iter().filter_map(|queue| Some(queue.sticky?.within)).max();
            self.last_agents.remember(now, &call.from.user, agent, longest.unwrap_or(Span::ZERO));
        }
    }

    /// Callers whose last agent is remembered.
    pub fn sticky_callers(&self) -> usize {
        self.last_agents.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_agent_counts_for_as_long_as_the_queue_says_and_the_oldest_of_100001_callers_is_forgotten() {
        let mut last = LastAgents::default();
        let at = |seconds: u64| Tick::from_us(seconds * 1_000_000);
        let sticky = Sticky { wait: Span::from_s(20), within: Span::from_s(60) };
        let who = |last: &LastAgents, now, caller| last.preferred(at(now), caller, sticky).map(|found| found.agent.0);
        last.remember(at(1), "ada", AgentId(1), sticky.within);
        last.remember(at(2), "bob", AgentId(1), sticky.within);
        last.remember(at(3), "ada", AgentId(2), sticky.within);
        assert_eq!((who(&last, 63, "ada"), who(&last, 64, "ada"), who(&last, 4, "eve")), (Some(2), None, None));
        for number in 0..STICKY_CALLERS_MAX as u64 - 1 {
            last.remember(at(10), &number.to_string(), AgentId(3), sticky.within);
        }
        assert_eq!((last.len(), last.by_age.len()), (STICKY_CALLERS_MAX, STICKY_CALLERS_MAX));
        assert_eq!((who(&last, 11, "bob"), who(&last, 11, "ada"), who(&last, 11, "7")), (None, Some(2), Some(3)));
        last.remember(at(71), "bob", AgentId(1), sticky.within);
        assert_eq!((last.len(), last.by_age.len()), (1, 1), "who called too long ago is forgotten");
    }
}
