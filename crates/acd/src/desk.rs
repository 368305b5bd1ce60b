//! What concerns one agent now: the offer that is open, and the wrap-up in hand.

use offhook_units::{AgentId, ContactId, OfferId, QueueId, Span, Tick};

use crate::acd::Acd;
use crate::decide::Decision;
use crate::state::{Phase, Work};
use crate::words::{Event, Refusal};

/// A wrap-up lasts no longer than this, however often it is extended.
pub const WRAP_UP_EXTENDED_MAX: Span = Span::from_s(3_600);

/// An offer that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOffer {
    /// Which.
    pub offer: OfferId,
    /// Of which contact.
    pub contact: ContactId,
    /// Where that waits.
    pub queue: QueueId,
    /// It ends then.
    pub deadline: Tick,
}

/// A wrap-up that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrapUpNow {
    /// The contact that it follows.
    pub contact: ContactId,
    /// Where that had waited.
    pub queue: QueueId,
    /// When it began.
    pub since: Tick,
    /// It ends then by itself; none where only the agent ends it.
    pub until: Option<Tick>,
}

impl Acd {
    /// What is offered to an agent now.
    pub fn offer_to(&self, agent: AgentId) -> Option<OpenOffer> {
        let id = self.state.agents.get(&agent)?.offer?;
        let offer = self.state.offers.get(&id)?;
        Some(OpenOffer { offer: id, contact: offer.contact, queue: offer.queue, deadline: offer.deadline })
    }

    /// The wrap-ups that an agent has in hand, the first one first.
    pub fn wrap_ups_of(&self, agent: AgentId) -> impl Iterator<Item = WrapUpNow> {
        self.state.agents.get(&agent).into_iter().flat_map(|agent| &agent.work).filter_map(wrap_up)
    }

    pub(crate) fn extend_wrap_up(&self, agent: AgentId, by: Span) -> Decision {
        let in_hand: Vec<WrapUpNow> = self.agent_at_work(agent)?.work.iter().filter_map(wrap_up).collect();
        if in_hand.is_empty() {
            return Err(Refusal::NotInWrapUp(agent));
        }
        // What only the agent ends needs no more time.
        let timed = in_hand.into_iter().filter_map(|WrapUpNow { contact, queue, since, until }| {
            let longer = (until? + by.min(WRAP_UP_EXTENDED_MAX)).min(since + WRAP_UP_EXTENDED_MAX);
            Some((until?, Event::WrapUpExtended { contact, queue, agent, until: longer }, longer))
        });
        let timed: Vec<_> = timed.collect();
        if !timed.is_empty() && timed.iter().all(|(before, _, longer)| longer <= before) {
            return Err(Refusal::LimitReached("WRAP_UP_EXTENDED_MAX"));
        }
        Ok(timed.into_iter().filter(|(before, _, longer)| longer > before).map(|(_, event, _)| event).collect())
    }

    pub(crate) fn extend_wrap_up_of(&mut self, at: Tick, agent: AgentId, contact: ContactId, until: Tick) {
        self.change_agent(at, agent, |agent| {
            let of_it = |work: &&mut Work| work.contact == contact && !work.is_served();
            if let Some(work) = agent.work.iter_mut().find(of_it) {
                work.phase = Phase::WrapUp { until: Some(until) };
            }
        });
    }
}

fn wrap_up(work: &Work) -> Option<WrapUpNow> {
    match work.phase {
        Phase::WrapUp { until } => {
            Some(WrapUpNow { contact: work.contact, queue: work.queue, since: work.since, until })
        }
        Phase::Talking | Phase::Held => None,
    }
}
