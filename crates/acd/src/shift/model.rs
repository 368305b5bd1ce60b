//! The distributor read out loud: who could take what, and whom each strategy names, by looking at everybody.

use std::collections::BTreeSet;

use offhook_units::{AgentId, QueueId, Span, Tick};

use crate::config::{Need, Strategy};
use crate::state::{Agent, Contact, Place, Queue, State, draw};

/// Every waiting contact with every agent who could take it now, by looking at all of them.
pub(super) fn feasible(state: &State, now: Tick) -> impl Iterator<Item = (&Contact, &Agent)> {
    state.contacts.values().filter(|contact| contact.is_waiting()).flat_map(move |contact| {
        state
            .agents
            .values()
            .filter(move |agent| could_take(state, now, contact, agent))
            .map(move |agent| (&**contact, &**agent))
    })
}

fn could_take(state: &State, now: Tick, contact: &Contact, agent: &Agent) -> bool {
    let Place::Waiting { offers, ring, ring_level, wants_more, prefers, asks, .. } = &contact.place else {
        return false;
    };
    let Some(membership) = agent.config.queues.iter().find(|membership| membership.queue == contact.queue) else {
        return false;
    };
    let Some(capacity) = agent.config.capacity.iter().find(|capacity| capacity.channel == contact.channel) else {
        return false;
    };
    let load = agent.work.iter().filter(|work| work.channel == contact.channel).count();
    let blocked = agent.work.iter().any(|work| {
        let of_work = agent.config.capacity.iter().find(|capacity| capacity.channel == work.channel);
        work.channel != contact.channel && of_work.is_some_and(|capacity| capacity.alone)
    });
    let free = agent.logged_in
        && !is_kept(state, agent, contact.queue)
        && !agent.leaving
        && agent.not_ready.is_none()
        && agent.rest_until.is_none()
        && agent.offer.is_none()
        && load < capacity.at_once as usize
        && !blocked;
    if !free {
        return false;
    }
    let queue = &state.queues[&contact.queue];
    // What a contact needs was settled when it entered; how far the rings are open is the event's to say, and time's (below).
    let needs = contact.stages.get(usize::from(*ring)).and_then(|stage| state.profiles.get(&stage.profile));
    for need in needs.into_iter().flat_map(|profile| &profile.needs) {
        let level = agent.config.skills.iter().filter(|skill| skill.skill == need.skill).map(|skill| skill.level).max();
        if level.is_none_or(|level| level < need.level) {
            return false;
        }
    }
    let due = contact.stages.iter().filter(|stage| contact.entered_at + stage.after <= now).count();
    assert!(contact.stages.is_empty() || due == usize::from(*ring) + 1, "rings open when their time comes");
    if let Some(until) = asks {
        assert!(**until > now, "an ask ends when its time comes");
        return false;
    }
    if let Some((preferred, until)) = prefers.as_deref() {
        assert!(*until > now, "a preference ends when its time comes");
        let by = &state.agents[preferred];
        assert!(serves_in(state, by, contact.queue), "nobody waits for an agent who is away");
        return *preferred == agent.config.id && (offers.is_empty() || *wants_more);
    }
    if !offers.is_empty() && !wants_more {
        return queue.config.strategy == Strategy::RingAll && membership.level <= *ring_level;
    }
    let lower = state.agents.values().any(|other| {
        let there = other.config.queues.iter().any(|m| m.queue == contact.queue && m.level < membership.level);
        there && serves_in(state, other, contact.queue)
    });
    let waits = queue.config.tier_waits.iter().take(usize::from(membership.level)).copied();
    !lower || contact.entered_at + waits.max().unwrap_or(Span::ZERO) <= now
}

/// At work, not on break, and a member of the queue who is not kept from it.
pub(super) fn serves_in(state: &State, agent: &Agent, queue: QueueId) -> bool {
    let member = agent.config.queues.iter().any(|membership| membership.queue == queue);
    member && agent.logged_in && !agent.leaving && agent.not_ready.is_none() && !is_kept(state, agent, queue)
}

/// An agent on loan is in the queue only while the lender lends.
fn is_kept(state: &State, agent: &Agent, queue: QueueId) -> bool {
    let loan = agent.loans.iter().find(|loan| loan.to == queue);
    loan.is_some_and(|loan| !state.queues[&loan.by].lends)
}

/// The strategy table, read out loud.
pub(super) fn reference_choice(
    state: &State,
    queue: &Queue,
    contact: &Contact,
    candidates: &[&Agent],
) -> Option<AgentId> {
    let membership = |agent: &Agent| *agent.membership(queue.config.id).expect("a member");
    let idle_since = |agent: &Agent| {
        if queue.config.break_resets_idle { agent.worked_at.max(agent.ready_at) } else { agent.worked_at }
    };
    let place = |agent: &Agent| (membership(agent).position, agent.config.id);
    let members: BTreeSet<_> =
        state.agents.values().filter(|a| a.membership(queue.config.id).is_some()).map(|a| place(a)).collect();
    let circle = |agent: &Agent, last: Option<(u32, AgentId)>| {
        let rank = |at: (u32, AgentId)| members.range(..at).count() + members.len();
        let after = last.map_or(0, |last| members.range(..=last).count());
        ((rank(place(agent)) - after) % members.len()) as u128
    };
    let then_idle = |key: u64, agent: &Agent| (u128::from(key) << 64) + u128::from(idle_since(agent).as_us());
    if queue.config.strategy == Strategy::WeightedRandom {
        return reference_weighted(state, queue, candidates);
    }
    let key = |agent: &Agent| match queue.config.strategy {
        Strategy::RingAll | Strategy::Linear | Strategy::RingProgressively => u128::from(membership(agent).position),
        Strategy::RoundRobin => circle(agent, queue.last),
        Strategy::TopDown => circle(agent, contact.last_tried()),
        Strategy::LeastTalk => then_idle(agent.talked.as_us(), agent),
        Strategy::LeastOccupied => {
            // Busy / logged in, up to the last measurement, which is at most a minute ago for whoever is free.
            let until = agent.since.max(agent.measured_at);
            let lasts = (until - agent.since).as_us();
            let works = matches!(agent.kind, crate::AgentKind::Busy | crate::AgentKind::WrapUp);
            let worked = agent.worked.as_us() + if works { lasts } else { 0 };
            let part = u128::from(worked) * 1_000_000 / u128::from(agent.present.as_us() + lasts).max(1);
            then_idle(part as u64, agent)
        }
        Strategy::SkillsBest => {
            let needs = state.profiles.get(&contact.profile()).map_or(&[][..], |profile| &profile.needs);
            let worth = |need: &Need| {
                let skill = agent.config.skills.iter().find(|skill| skill.skill == need.skill);
                u64::from(need.weight) * u64::from(skill.map_or(0, |skill| skill.level))
            };
            then_idle(u64::MAX - needs.iter().map(worth).sum::<u64>(), agent)
        }
        Strategy::WeightedRandom => unreachable!("drawn above"),
        Strategy::LongestIdle => u128::from(idle_since(agent).as_us()),
        Strategy::FewestCalls => (u128::from(agent.taken) << 64) + u128::from(idle_since(agent).as_us()),
        Strategy::Random => {
            let (mine, point) =
                (draw(state.seed, agent.config.id.0, agent.offered.into()), draw(state.seed, 0, state.offers_made));
            // A circle of 2^56 places.
            u128::from((mine << 8).wrapping_sub(point << 8).wrapping_sub(1))
        }
    };
    let best = candidates.iter().min_by_key(|agent| (membership(agent).level, key(agent), agent.config.id));
    best.map(|agent| agent.config.id)
}

/// A weight is drawn in proportion to the agents that have it, then the next of them after a random point.
fn reference_weighted(state: &State, queue: &Queue, candidates: &[&Agent]) -> Option<AgentId> {
    let membership = |agent: &Agent| *agent.membership(queue.config.id).expect("a member");
    let level = candidates.iter().map(|agent| membership(agent).level).min()?;
    let mut tier: Vec<&Agent> = candidates.iter().copied().filter(|agent| membership(agent).level == level).collect();
    tier.sort_by_key(|agent| (membership(agent).weight, agent.config.id));
    let total: u64 = tier.iter().map(|agent| u64::from(membership(agent).weight)).sum();
    let mut left = draw(state.seed, 1, state.offers_made) % total;
    let drawn = tier.iter().find(|agent| {
        let weight = u64::from(membership(agent).weight);
        let here = left < weight;
        left = left.saturating_sub(weight);
        here
    })?;
    let point = draw(state.seed, 2, state.offers_made);
    let alike = tier.iter().filter(|agent| membership(agent).weight == membership(drawn).weight);
    let distance = |agent: &Agent| draw(state.seed, agent.config.id.0, agent.offered.into()).wrapping_sub(point);
    alike.min_by_key(|agent| (distance(agent), agent.config.id)).map(|agent| agent.config.id)
}
