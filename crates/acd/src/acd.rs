//! The machine: handle an input, drain the outputs; and everything that can be read from it.

use std::collections::VecDeque;

use offhook_units::{AgentId, ContactId, OfferId, QueueId, Span, Tick};

use crate::config::{AgentConfig, Limits, QueueConfig};
use crate::digest::Digest;
use crate::figures::{AgentFigures, Figures, QueueFigures};
use crate::index::Index;
use crate::state::{AgentKind, Place, State};
use crate::timers::Timer;
use crate::words::{Command, Effect, Event, OfferEnd, Output, Refusal};

/// The distributor.
#[derive(Debug, Clone)]
pub struct Acd {
    pub(crate) state: State,
    pub(crate) figures: Figures,
    pub(crate) index: Index,
    pub(crate) limits: Limits,
    outbox: VecDeque<Output>,
}

/// Everything that must be kept to go on from here: the state and the figures. What can be derived is derived again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Snapshot {
    state: State,
    figures: Figures,
}

/// An agent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentState {
    /// What the agent is doing.
    pub kind: AgentKind,
    /// Since when.
    pub since: Tick,
    /// Why not ready, now or when the work in hand is over.
    pub reason: Option<String>,
    /// Goes home when the work in hand is over.
    pub leaving: bool,
    /// Available, but nothing is offered until then: an offer was not taken.
    pub resting_until: Option<Tick>,
    /// The open offer.
    pub offer: Option<OfferId>,
    /// The contact of the open offer.
    pub offered: Option<ContactId>,
    /// The contact served, held out or wrapped up (in this order; the first, if there are several).
    pub contact: Option<ContactId>,
}

impl Acd {
    /// An empty distributor whose draws come from `seed`.
    pub fn new(seed: u64) -> Self {
        Self::with_limits(seed, Limits::default())
    }

    /// The same with other bounds of what may grow.
    pub fn with_limits(seed: u64, limits: Limits) -> Self {
        Self {
            state: State::new(seed),
            figures: Figures::default(),
            index: Index::default(),
            limits,
            outbox: VecDeque::new(),
        }
    }

    /// The distributor that a log leads to. `seed` is the one that it was written with.
    pub fn replay(seed: u64, events: impl IntoIterator<Item = (Tick, Event)>) -> Self {
        let mut acd = Self::new(seed);
        acd.replay_tail(events);
        acd
    }

    /// Goes on through a log: after [`Acd::restore`], or to follow another distributor. Nothing comes out of [`Acd::poll_output`] for these.
    pub fn replay_tail(&mut self, events: impl IntoIterator<Item = (Tick, Event)>) {
        for (at, event) in events {
            self.apply(at, &event);
        }
        self.index.settle(&self.state);
    }

    /// What must be kept to go on from here.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { state: self.state.clone(), figures: self.figures.clone() }
    }

    /// Goes on from a snapshot.
    pub fn restore(snapshot: Snapshot) -> Self {
        let Snapshot { state, figures } = snapshot;
        let index = Index::build(&state);
        Self { state, figures, index, limits: Limits::default(), outbox: VecDeque::new() }
    }

    /// With other bounds of what may grow: after [`Acd::restore`] or [`Acd::replay`].
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes a command. What is due by `now` happens first; a refused command changes nothing else. A `now` earlier than the last
    /// event counts as the time of that event.
    ///
    /// # Errors
    /// The reason why nothing was done; see each [`Refusal`] for whose move it is.
    pub fn handle(&mut self, now: Tick, command: Command) -> Result<(), Refusal> {
        self.timeout(now);
        let now = now.max(self.state.at);
        for event in self.decide(now, command)? {
            self.record(now, event);
        }
        self.offer_all(now);
        self.timeout(now);
        Ok(())
    }

    /// Does what is due by `now`. To be called when the time of [`Output::Wait`] is reached; harmless at any other time. Everything that
    /// is due happens before anything is offered, so that timers of one tick cannot overtake each other.
    pub fn timeout(&mut self, now: Tick) {
        let now = now.max(self.state.at);
        loop {
            while let Some(timer) = self.first_due(now) {
                for event in self.due(now, timer) {
                    self.record(now, event);
                }
            }
            self.offer_all(now);
            // Who sat down meanwhile may be due to be measured.
            if self.first_due(now).is_none() {
                return;
            }
        }
    }

    fn first_due(&self, now: Tick) -> Option<Timer> {
        self.index.timers.first().filter(|(due, _)| *due <= now).map(|(_, timer)| *timer)
    }

    fn offer_all(&mut self, now: Tick) {
        while let Some(offer) = self.offer_to_fresh(now).or_else(|| self.route(now)) {
            self.record(now, offer);
        }
        self.index.looked_at();
    }

    /// The next thing that came out; [`Output::Wait`] when there is nothing more.
    pub fn poll_output(&mut self) -> Output {
        let wait = || Output::Wait { until: self.index.timers.first().map(|(due, _)| *due) };
        self.outbox.pop_front().unwrap_or_else(wait)
    }

    fn record(&mut self, at: Tick, event: Event) {
        self.apply(at, &event);
        let effects = self.effects_of(&event);
        self.outbox.push_back(Output::Event { at, event });
        self.outbox.extend(effects.into_iter().map(Output::Effect));
    }

    /// What follows from an event in the world.
    fn effects_of(&self, event: &Event) -> Vec<Effect> {
        match *event {
            Event::Offered { offer, contact, queue, agent, deadline } => {
                vec![Effect::Offer { offer, contact, agent, queue, deadline }]
            }
            Event::OfferEnded { offer, contact, agent, how, .. } => match how {
                OfferEnd::Declined | OfferEnd::NoAnswer => Vec::new(),
                OfferEnd::TimedOut
                | OfferEnd::ContactLeft
                | OfferEnd::TakenByAnother
                | OfferEnd::AgentNotReady
                | OfferEnd::AgentLoggedOut
                | OfferEnd::GivenToAnother => vec![Effect::Withdraw { offer, agent, contact, why: how }],
            },
            Event::Asked { contact, queue, until } => vec![Effect::Ask { contact, queue, deadline: until }],
            Event::WaitedTooLong { contact } => vec![Effect::WaitedTooLong { contact }],
            Event::NobodyHere { queue } => {
                let waiting = self.index.queues.get(&queue).into_iter().flat_map(|queue| &queue.waiting);
                waiting.map(|(_, contact)| Effect::NobodyHere { contact: *contact }).collect()
            }
            Event::Entered { contact, queue, .. } => {
                let told = self.state.queues.get(&queue).is_some_and(|queue| queue.nobody_told);
                told.then_some(Effect::NobodyHere { contact }).into_iter().collect()
            }
            Event::QueueSet(_)
            | Event::QueueRemoved { .. }
            | Event::AgentSet(_)
            | Event::AgentRemoved { .. }
            | Event::LoggedIn { .. }
            | Event::LogOutAsked { .. }
            | Event::LoggedOut { .. }
            | Event::Ready { .. }
            | Event::NotReady { .. }
            | Event::Rested { .. }
            | Event::TierOpened { .. }
            | Event::RingOpened { .. }
            | Event::Widened { .. }
            | Event::Preferred { .. }
            | Event::PreferenceEnded { .. }
            | Event::Forecast { .. }
            | Event::MustReach { .. }
            | Event::ExternalSet { .. }
            | Event::AskEnded { .. }
            | Event::Reached { .. }
            | Event::Unreached { .. }
            | Event::LendingSet { .. }
            | Event::LendingReviewed { .. }
            | Event::Lent { .. }
            | Event::Measured { .. }
            | Event::Accepted { .. }
            | Event::Left { .. }
            | Event::Held { .. }
            | Event::Retrieved { .. }
            | Event::Finished { .. }
            | Event::WrapUpExtended { .. }
            | Event::WrapUpEnded { .. } => Vec::new(),
        }
    }

    /// A number that two distributors share exactly when their states and figures are the same, on every machine.
    pub fn state_hash(&self) -> u64 {
        Digest::of(&(&self.state, &self.figures))
    }

    /// When the last event happened.
    pub fn last_event_at(&self) -> Tick {
        self.state.at
    }

    /// The queues, by id.
    pub fn queues(&self) -> impl Iterator<Item = &QueueConfig> {
        self.state.queues.values().map(|queue| &queue.config)
    }

    /// The agents, by id.
    pub fn agents(&self) -> impl Iterator<Item = &AgentConfig> {
        self.state.agents.values().map(|agent| &agent.config)
    }

    /// A queue's settings.
    pub fn queue(&self, queue: QueueId) -> Option<&QueueConfig> {
        self.state.queues.get(&queue).map(|queue| &queue.config)
    }

    /// An agent's settings.
    pub fn agent(&self, agent: AgentId) -> Option<&AgentConfig> {
        self.state.agents.get(&agent).map(|agent| &agent.config)
    }

    /// Requirement profiles remembered, of at most [`PROFILES_MAX`](crate::PROFILES_MAX).
    pub fn profiles(&self) -> u32 {
        u32::try_from(self.state.profiles.len()).unwrap_or(u32::MAX)
    }

    /// Whether a queue would let a contact in now that needs nothing but what the queue asks of everybody.
    ///
    /// # Errors
    /// As `Command::Enter` would be refused: no such queue, no room, or nobody there.
    pub fn may_enter(&self, queue: QueueId) -> Result<(), Refusal> {
        self.check_entry(queue, None)
    }

    /// Until when an integrator is asked about a waiting contact.
    pub fn asked_until(&self, contact: ContactId) -> Option<Tick> {
        self.state.contacts.get(&contact)?.asks()
    }

    /// Where a waiting contact waits, and since when.
    pub fn waiting_in(&self, contact: ContactId) -> Option<(QueueId, Tick)> {
        let contact = self.state.contacts.get(&contact).filter(|contact| contact.is_waiting())?;
        Some((contact.queue, contact.entered_at))
    }

    /// Who serves a contact.
    pub fn served_by(&self, contact: ContactId) -> Option<AgentId> {
        match self.state.contacts.get(&contact)?.place {
            Place::Served { agent } => Some(agent),
            Place::Waiting { .. } => None,
        }
    }

    /// Contacts waiting in a queue, those with an open offer included.
    pub fn waiting(&self, queue: QueueId) -> u32 {
        self.index.queues.get(&queue).map_or(0, |queue| u32::try_from(queue.waiting.len()).unwrap_or(u32::MAX))
    }

    /// How long the one has waited who has waited longest.
    pub fn longest_wait(&self, queue: QueueId, now: Tick) -> Option<Span> {
        self.index.queues.get(&queue)?.waiting.first().map(|(entered_at, _)| now - *entered_at)
    }

    /// Agents of a queue who are logged in, whatever they do.
    pub fn logged_in(&self, queue: QueueId) -> u32 {
        self.index.queues.get(&queue).map_or(0, |queue| queue.logged_in)
    }

    /// Agents of a queue who are available.
    pub fn available(&self, queue: QueueId) -> u32 {
        self.index.queues.get(&queue).map_or(0, |queue| queue.available)
    }

    /// Contacts of a queue being served.
    pub fn talking(&self, queue: QueueId) -> u32 {
        self.index.queues.get(&queue).map_or(0, |queue| queue.served)
    }

    /// What an agent is doing.
    pub fn agent_state(&self, agent: AgentId) -> Option<AgentState> {
        let agent = self.state.agents.get(&agent)?;
        let offered = agent.offer.and_then(|offer| self.state.offers.get(&offer)).map(|offer| offer.contact);
        let served = agent.work.iter().find(|work| work.is_served()).map(|work| work.contact);
        Some(AgentState {
            kind: agent.kind,
            since: agent.since,
            reason: agent.not_ready.as_deref().map(str::to_owned),
            leaving: agent.leaving,
            resting_until: agent.rest_until,
            offer: agent.offer,
            offered,
            contact: served.or(offered).or_else(|| agent.work.first().map(|work| work.contact)),
        })
    }

    /// A queue's figures since midnight UTC: of the visits that began since then.
    pub fn figures(&self, queue: QueueId, now: Tick) -> Option<QueueFigures> {
        self.state.queues.contains_key(&queue).then(|| self.figures.since_midnight(queue, now))
    }

    /// A queue's figures by interval of [`INTERVAL`](crate::INTERVAL): when each began, and of the visits that began in it.
    pub fn intervals(&self, queue: QueueId) -> impl Iterator<Item = (Tick, &QueueFigures)> {
        self.figures.intervals(queue)
    }

    /// A queue's figures over all time, intervals no longer kept included.
    pub fn figures_of_all_time(&self, queue: QueueId) -> QueueFigures {
        self.figures.all_time(queue)
    }

    /// An agent's figures since the shift began.
    pub fn agent_figures(&self, agent: AgentId, now: Tick) -> Option<AgentFigures> {
        let state = self.state.agents.get(&agent)?;
        self.figures.agent(agent, state.kind, now - state.since)
    }
}
