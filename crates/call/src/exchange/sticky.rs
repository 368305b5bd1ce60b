//! Whom each caller talked to last, for queues where a caller waits a while for that agent before anybody else is asked.

use offhook_acd::Preferred;
use offhook_units::{AgentId, CallId, QueueId, Span, Tick};

use super::Exchange;
use super::identity::ANONYMOUS;
use super::recent::Recent;

/// Most callers who are remembered; whoever called longest ago makes room.
pub const STICKY_CALLERS_MAX: usize = 100_000;

/// The last agent of each caller.
pub(super) type LastAgents = Recent<String, AgentId>;

impl Exchange {
    /// Whom the caller of a call waits for in a queue.
    pub(super) fn preferred(&self, now: Tick, id: CallId, queue: QueueId) -> Option<Preferred> {
        let caller = self.calls.get(&id).map(|call| &*call.from.user).filter(|user| *user != ANONYMOUS)?;
        let sticky = self.queue(queue)?.sticky?;
        let agent = self.last_agents.get(now, &caller.to_owned(), sticky.within)?;
        Some(Preferred { agent, wait: sticky.wait })
    }

    /// An agent took a call from a queue.
    pub(super) fn remember_agent(&mut self, now: Tick, id: CallId, agent: AgentId) {
        let Some(call) = self.calls.get(&id).filter(|call| call.from.user != ANONYMOUS) else { return };
        let settings = call.queue.and_then(|queue| self.queue(queue));
        if settings.is_some_and(|queue| queue.sticky.is_some()) {
            let longest = self.config.queues.iter().filter_map(|queue| Some(queue.sticky?.within)).max();
            self.last_agents.remember(now, call.from.user.clone(), agent, longest.unwrap_or(Span::ZERO));
        }
    }

    /// Callers whose last agent is remembered.
    pub fn sticky_callers(&self) -> usize {
        self.last_agents.len()
    }
}
