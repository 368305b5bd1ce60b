//! What waits for a time, and when: derived from agents, contacts and queues, like the rest of the index.

use offhook_units::{AgentId, ContactId, OfferId, QueueId, Tick};

use crate::config::Strategy;
use crate::lending::REVIEW_EVERY;
use crate::state::{Agent, AgentKind, Contact, MEASURE_EVERY, Phase, Place, Queue, Queues};

/// Everything that waits for a time. The order is the order in which timers of the same tick fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    OfferDeadline(OfferId),
    WrapUp(AgentId, ContactId),
    Rest(AgentId),
    Tier(ContactId),
    Ring(ContactId),
    Ask(ContactId),
    Preference(ContactId),
    Widen(ContactId),
    Measure(AgentId),
    MaxWait(ContactId),
    Nobody(QueueId),
    Review(QueueId),
}

pub(crate) fn agent_timers(agent: &Agent) -> impl Iterator<Item = (Tick, Timer)> + use<'_> {
    let id = agent.config.id;
    let wrap_ups = agent.work.iter().filter_map(move |work| match work.phase {
        Phase::WrapUp { until: Some(until) } => Some((until, Timer::WrapUp(id, work.contact))),
        Phase::WrapUp { until: None } | Phase::Talking | Phase::Held => None,
    });
    wrap_ups.chain(agent.rest_until.map(|until| (until, Timer::Rest(id))))
}

/// When the occupancy of an agent who sits in a lane is taken anew.
pub(crate) fn measure_timer(queues: &Queues, agent: &Agent) -> Option<(Tick, Timer)> {
    let strategy = |queue| queues.get(queue).map(|queue: &Queue| queue.config.strategy);
    let is_measured = agent.kind == AgentKind::Available
        && agent.config.queues.iter().any(|m| strategy(&m.queue) == Some(Strategy::LeastOccupied));
    is_measured.then(|| (agent.measured() + MEASURE_EVERY, Timer::Measure(agent.config.id)))
}

pub(crate) fn contact_timers(queue: &Queue, contact: &Contact) -> impl Iterator<Item = (Tick, Timer)> + use<> {
    let (entered_at, id) = (contact.entered_at, contact.id);
    let (tier, ring, widen, max_wait, preference, ask) = match &contact.place {
        Place::Waiting { step, ring, widens_at, too_long, prefers, asks, .. } => {
            let tier = queue.steps.get(usize::from(*step) + 1).map(|wait| (entered_at + *wait, Timer::Tier(id)));
            let next = contact.stages.get(usize::from(*ring) + 1);
            let ring = next.map(|stage| (entered_at + stage.after, Timer::Ring(id)));
            let widen = widens_at.map(|at| (at, Timer::Widen(id)));
            let most = queue.config.max_wait.filter(|_| !too_long);
            let preference = prefers.as_deref().map(|(_, until)| (*until, Timer::Preference(id)));
            let ask = asks.as_deref().map(|until| (*until, Timer::Ask(id)));
            (tier, ring, widen, most.map(|wait| (entered_at + wait, Timer::MaxWait(id))), preference, ask)
        }
        Place::Served { .. } => (None, None, None, None, None, None),
    };
    [tier, ring, widen, max_wait, preference, ask].into_iter().flatten()
}

pub(crate) fn queue_timers(id: QueueId, queue: &Queue) -> impl Iterator<Item = (Tick, Timer)> + use<> {
    let since = queue.nobody_since.filter(|_| !queue.nobody_told);
    let nobody = since.zip(queue.config.no_agents.leave_after).map(|(since, after)| (since + after, Timer::Nobody(id)));
    let review = queue.lending.map(|_| (queue.reviewed_at + REVIEW_EVERY, Timer::Review(id)));
    [nobody, review].into_iter().flatten()
}
