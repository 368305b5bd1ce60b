//! What the exchange looks like now.

use offhook_acd::Channel;
use offhook_units::{AgentId, CallId, ContactId, LegId, QueueId, Span, Tick};

use super::Exchange;
use super::state::{Call, Guest, Stage};
use crate::config::{Reach, Supervises};
use crate::view::{AgentView, CallView, GuestView, QueueView, Sounds};

impl Exchange {
    /// All queues, in the order of the configuration.
    pub fn queues(&self, now: Tick) -> Vec<QueueView> {
        self.config.queues.iter().map(|queue| self.queue_view(now, queue)).collect()
    }

    /// All agents, in the order of the configuration.
    pub fn agents(&self, _now: Tick) -> Vec<AgentView> {
        self.config.agents.iter().filter_map(|agent| self.agent_view(agent)).collect()
    }

    /// All calls, oldest first.
    pub fn calls(&self, _now: Tick) -> Vec<CallView> {
        self.calls.values().map(|call| self.call_view(call)).collect()
    }

    /// One queue.
    pub fn queue_now(&self, now: Tick, queue: QueueId) -> Option<QueueView> {
        self.queue(queue).map(|queue| self.queue_view(now, queue))
    }

    /// One agent.
    pub fn agent_now(&self, agent: AgentId) -> Option<AgentView> {
        self.agent(agent).and_then(|agent| self.agent_view(agent))
    }

    /// One call that has not ended.
    pub fn call_now(&self, call: CallId) -> Option<CallView> {
        self.calls.get(&call).map(|call| self.call_view(call))
    }

    /// Whether an agent of this id is configured.
    pub fn knows_agent(&self, agent: AgentId) -> bool {
        self.agents.contains_key(&agent)
    }

    fn queue_view(&self, now: Tick, settings: &crate::config::Queue) -> QueueView {
        let queue = &settings.acd;
        let id = queue.id;
        let stats = self.acd.figures(id, now).unwrap_or_default();
        QueueView {
            id,
            name: queue.name.clone(),
            waiting: self.acd.waiting(id),
            longest_wait: self.acd.longest_wait(id, now).unwrap_or(Span::ZERO),
            agents_logged_in: self.acd.logged_in(id),
            agents_available: self.acd.available(id),
            talking: self.acd.talking(id),
            offered: stats.offered,
            answered: stats.answered,
            abandoned: stats.abandoned,
            flowed_out: stats.flowed_out,
            service_level: stats.service_level(queue.service_level.formula),
            service_level_formula: queue.service_level.formula.name(),
            asa: stats.asa(),
            expected_wait: self.acd.expected_wait_of_next(id, Channel::Voice),
            forecasts: stats.forecasts,
            lends: self.acd.lends(id),
            hours: self.hours_of(settings.ways.gate.as_ref()),
            callbacks: self.callbacks_of(id),
        }
    }

    fn agent_view(&self, agent: &crate::config::Agent) -> Option<AgentView> {
        let id = agent.acd.id;
        let state = self.acd.agent_state(id)?;
        let (contact, reachable) = match &agent.reach {
            Reach::Static { uri, .. } => (Some(uri.clone()), true),
            Reach::Account(account) => {
                let answers = self.reachable(account).next();
                let phone = answers.or_else(|| self.registrar.bindings(account).next());
                (phone.map(|binding| binding.contact.clone()), answers.is_some())
            }
        };
        let queues = agent.acd.queues.iter().filter_map(|place| self.queue(place.queue));
        Some(AgentView {
            id,
            name: agent.acd.name.clone(),
            state: state.kind.name(),
            since: state.since,
            reason: state.reason.clone(),
            call: self.agents.get(&id)?.engaged_in(),
            speech: self.agents.get(&id)?.speech,
            level: self.agents.get(&id)?.level,
            queues: queues.map(|queue| queue.acd.name.clone()).collect(),
            unreachable: contact.is_some() && !reachable,
            supervises: self.supervised(&agent.supervises),
            contact,
        })
    }

    fn supervised(&self, supervises: &Supervises) -> Vec<String> {
        match supervises {
            Supervises::Nothing => Vec::new(),
            Supervises::Everything => vec!["*".to_owned()],
            Supervises::Queues(queues) => {
                let queues = queues.iter().filter_map(|queue| self.queue(*queue));
                queues.map(|queue| queue.acd.name.clone()).collect()
            }
        }
    }

    pub(super) fn call_view(&self, call: &Call) -> CallView {
        let agent = call.other.as_ref().and_then(|other| other.agent);
        let agent = agent.or_else(|| call.ringing.values().next().map(|rings| rings.agent));
        let waiting = call.contact.filter(|_| matches!(call.stage, Stage::Queued { .. }));
        CallView {
            id: call.id,
            state: state_name(call),
            since: call.since,
            started: call.started,
            number: call.number.clone(),
            caller: call.from.user.clone(),
            trunk: call.trunk.clone(),
            queue: call.queue.and_then(|queue| self.queue(queue)).map(|queue| queue.acd.name.clone()),
            position: waiting.and_then(|contact| self.acd.position(contact)),
            asked_until: waiting.and_then(|contact| self.acd.asked_until(contact)),
            agent: agent.and_then(|agent| self.agent(agent)).map(|agent| agent.acd.name.clone()),
            recording: call.recording,
            recorded: self.recorded(call),
            caller_sounds: sounds(call, call.caller.id),
            agent_sounds: call.other.as_ref().map(|other| sounds(call, other.leg.id)),
            guests: call.guests.iter().map(|guest| self.guest_view(guest)).collect(),
            unheard: unheard(call),
            quiet: quiet(call),
        }
    }

    fn guest_view(&self, guest: &Guest) -> GuestView {
        let Guest { other, part, joined, .. } = guest;
        let agent = other.agent.and_then(|agent| self.agent(agent)).map(|agent| agent.acd.name.clone());
        let name = agent.unwrap_or_else(|| guest.number.clone());
        GuestView { id: other.leg.id, name, part: *part, joined: *joined }
    }
}

fn sounds(call: &Call, leg: LegId) -> Sounds {
    let Some(open) = call.open_legs.get(&leg) else { return Sounds::default() };
    Sounds { heard: open.grades.0, sent: open.grades.1, level: open.level, told: open.told }
}

/// Who sends nothing but silence in a call in which the other speaks. Where both do, nothing has to be wrong.
fn quiet(call: &Call) -> Option<&'static str> {
    if state_name(call) != "talking" {
        return None;
    }
    let is_quiet = |leg: LegId| call.open_legs.get(&leg).map(|open| open.quiet && !open.silent);
    let speaks = |leg: LegId| call.open_legs.get(&leg).is_some_and(|open| open.level.is_some() && !open.quiet);
    let (caller, other) = (call.caller.id, call.other.as_ref()?.leg.id);
    match (is_quiet(caller)?, is_quiet(other)?) {
        (true, false) if speaks(other) => Some("caller"),
        (false, true) if speaks(caller) => Some("agent"),
        (true | false, true | false) => None,
    }
}

/// Who sends nothing in a call in which all talk.
fn unheard(call: &Call) -> Option<&'static str> {
    if state_name(call) != "talking" {
        return None;
    }
    let silent = |leg: LegId| call.open_legs.get(&leg).is_some_and(|open| open.silent);
    match (silent(call.caller.id), call.other.as_ref().is_some_and(|other| silent(other.leg.id))) {
        (true, true) => Some("both"),
        (true, false) => Some("caller"),
        (false, true) => Some("agent"),
        (false, false) => None,
    }
}

fn state_name(call: &Call) -> &'static str {
    match &call.stage {
        Stage::Greeting { .. } => "greeting",
        Stage::Echo => "echo",
        Stage::Taken => "recording",
        Stage::Queued { .. } if call.ringing.is_empty() => "waiting",
        Stage::Dialling { .. } if call.transfer.is_some() => "transferring",
        Stage::Queued { .. } | Stage::Dialling { .. } => "ringing",
        Stage::Talking { held_by_caller: false, held_by_other: false, .. } if call.desk.aside().is_none() => "talking",
        Stage::Talking { .. } => "held",
        Stage::CallingBack { .. } => "calling-back",
        Stage::Message { .. } => "announcing",
        Stage::Ending => "ending",
    }
}

/// The contact that a program is asked about from now on, or no longer.
pub(super) fn asked(event: &offhook_acd::Event) -> Option<ContactId> {
    use offhook_acd::Event as E;
    if let E::Asked { contact, .. } | E::AskEnded { contact } = event { Some(*contact) } else { None }
}

/// The agent and the queue that look different after an event of the distributor.
pub(super) fn touched(event: &offhook_acd::Event) -> (Option<AgentId>, Option<QueueId>) {
    use offhook_acd::Event as E;
    match event {
        E::QueueSet(queue) => (None, Some(queue.id)),
        E::QueueRemoved { queue }
        | E::NobodyHere { queue }
        | E::Entered { queue, .. }
        | E::Left { queue, .. }
        | E::Forecast { queue, .. }
        | E::Reached { queue, .. }
        | E::Unreached { queue, .. }
        | E::ExternalSet { queue, .. }
        | E::LendingSet { queue, .. }
        | E::LendingReviewed { queue, .. } => (None, Some(*queue)),
        E::AgentSet(agent) => (Some(agent.id), None),
        E::AgentRemoved { agent }
        | E::Measured { agent }
        | E::LoggedIn { agent, .. }
        | E::LogOutAsked { agent }
        | E::LoggedOut { agent }
        | E::Ready { agent }
        | E::NotReady { agent, .. }
        | E::Rested { agent }
        | E::Held { agent, .. }
        | E::Retrieved { agent, .. }
        | E::Preferred { agent, .. } => (Some(*agent), None),
        E::Lent { agent, queue, .. }
        | E::Offered { agent, queue, .. }
        | E::OfferEnded { agent, queue, .. }
        | E::Accepted { agent, queue, .. }
        | E::Finished { agent, queue, .. }
        | E::WrapUpEnded { agent, queue, .. }
        | E::WrapUpExtended { agent, queue, .. } => (Some(*agent), Some(*queue)),
        E::TierOpened { .. }
        | E::RingOpened { .. }
        | E::Widened { .. }
        | E::PreferenceEnded { .. }
        | E::MustReach { .. }
        | E::Asked { .. }
        | E::AskEnded { .. }
        | E::WaitedTooLong { .. } => (None, None),
    }
}
