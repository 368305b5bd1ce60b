//! Why a contact goes to whom, and why it goes to nobody: computed on demand, by looking at every member of its queue.

use offhook_units::{AgentId, ContactId, QueueId, SkillId, Tick};

use crate::Acd;
use crate::config::Strategy;
use crate::state::{AgentKind, IdleKey, Place};

/// The answer for one contact at one moment. To explain a decision of the past, replay the log up to it and ask then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Where the contact waits.
    pub queue: QueueId,
    /// How its queue chooses.
    pub strategy: Strategy,
    /// Contacts of its queue and channel that go before it.
    pub ahead: u32,
    /// Every member of the queue, the best candidate first, then those passed over by id.
    pub candidates: Vec<Candidate>,
}

/// One member of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub agent: AgentId,
    /// The key that the strategy compares.
    pub key: IdleKey,
    /// How the member stands.
    pub standing: Standing,
}

/// How a member of the queue stands towards a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The strategy's choice.
    Chosen,
    /// Could take it, but another one comes first.
    Eligible,
    /// Cannot take it now.
    PassedOver(PassedOver),
}

/// Why a member of the queue cannot take a contact now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassedOver {
    /// Is not at work, or goes home as soon as the conversation is over.
    LoggedOut,
    /// Is not ready, for this reason.
    NotReady(String),
    /// Has this open offer.
    HasOffer,
    /// Serves as many contacts as the capacity allows, or one that stands alone.
    Busy,
    /// Has a wrap-up to complete.
    WrapUp,
    /// Did not take an offer; rests until then.
    Resting(Tick),
    /// Capacity for the channel is zero.
    NotThisChannel,
    /// The tier opens to this contact then, if no level below loses its last agent earlier.
    TierClosed(Tick),
    /// The contact is ringing already, on this tier or for somebody else.
    ContactRings,
    /// An integrator is asked about the contact, until then.
    Asking(Tick),
    /// The contact waits for that agent alone, until then.
    AnotherPreferred(AgentId, Tick),
    /// Is lent by this queue, which needs its agents for itself now.
    NotLent(QueueId),
    /// Lacks a skill that the contact needs now, or has it at too low a level.
    LacksSkill(SkillId),
}

impl Acd {
    /// Why a waiting contact would go to whom, if anybody asked now.
    pub fn explain(&self, contact: ContactId) -> Option<Explanation> {
        let contact = self.state.contacts.get(&contact)?;
        let Place::Waiting { step, ring_level, .. } = &contact.place else { return None };
        let (queue, index) = (self.state.queues.get(&contact.queue)?, self.index.queues.get(&contact.queue)?);
        let rings_all = queue.config.strategy == Strategy::RingAll;
        let needs = self.state.needs_of(contact);
        let prefers = contact.prefers();
        let lane =
            index.slot(contact.channel, contact.profile()).and_then(|slot| self.index.lanes.get(slot as usize))?;
        let mut candidates = Vec::new();
        for agent in index.members.iter().filter_map(|id| self.state.agents.get(id)) {
            let Some(membership) = agent.membership(contact.queue) else { continue };
            let level = membership.level;
            let closed = !index.opens_at_once(level) && queue.step_of(level) > usize::from(*step);
            let passed_over = if !agent.logged_in || agent.leaving {
                Some(PassedOver::LoggedOut)
            } else if let Some(reason) = &agent.not_ready {
                Some(PassedOver::NotReady(reason.to_string()))
            } else if let Some(lender) = agent.kept_by(contact.queue) {
                Some(PassedOver::NotLent(lender))
            } else if agent.offer.is_some() {
                Some(PassedOver::HasOffer)
            } else if !agent.has_room(contact.channel) {
                Some(match agent.kind {
                    AgentKind::WrapUp => PassedOver::WrapUp,
                    AgentKind::Busy => PassedOver::Busy,
                    AgentKind::LoggedOut | AgentKind::Available | AgentKind::Offered | AgentKind::NotReady => {
                        PassedOver::NotThisChannel
                    }
                })
            } else if let Some(until) = agent.rest_until {
                Some(PassedOver::Resting(until))
            } else if let Some(lacks) = needs.iter().find(|need| !agent.config.meets(&[**need])) {
                Some(PassedOver::LacksSkill(lacks.skill))
            } else if let Some(until) = contact.asks() {
                Some(PassedOver::Asking(until))
            } else if let Some((preferred, until)) = prefers.filter(|(preferred, _)| *preferred != agent.config.id) {
                Some(PassedOver::AnotherPreferred(preferred, until))
            } else if !contact.wants_offer() && (prefers.is_some() || !rings_all || level > *ring_level) {
                Some(PassedOver::ContactRings)
            } else if closed && prefers.is_none() && contact.wants_offer() {
                Some(PassedOver::TierClosed(contact.entered_at + queue.config.tier_wait(level)))
            } else {
                None
            };
            let standing = passed_over.map_or(Standing::Eligible, Standing::PassedOver);
            let key = agent.idle_key(self.state.seed, queue, membership, needs);
            candidates.push(Candidate { agent: agent.config.id, key, standing });
        }
        let preferred = prefers.map(|(agent, _)| agent);
        let chosen = preferred.or_else(|| lane.choose(&self.state, queue, contact));
        let order = |candidate: &Candidate| {
            let turn = queue.turn(&self.state, contact, candidate.key);
            let able = candidate.standing == Standing::Eligible;
            let first = able && Some(candidate.agent) == chosen;
            (!able, !first, candidate.key.level, turn, candidate.key)
        };
        candidates.sort_by_key(order);
        if let Some(first) = candidates.first_mut().filter(|first| first.standing == Standing::Eligible) {
            first.standing = Standing::Chosen;
        }
        let line = index.line(contact.channel);
        let ahead = u32::try_from(line.range(..contact.line_key(queue)).count()).unwrap_or(u32::MAX);
        Some(Explanation { queue: contact.queue, strategy: queue.config.strategy, ahead, candidates })
    }
}
