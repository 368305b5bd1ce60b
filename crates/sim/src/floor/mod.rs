//! A contact centre's floor on a virtual clock: the distributor alone, with customers who arrive, wait and give up, and agents who answer,
//! decline, overlook, take breaks and go home. One seed is one day, on every machine.
//!
//! The distributor under test is the very same crate that the exchange runs. What comes out of it is checked after every event by counts of its own, and
//! every simulated minute by [`offhook_acd::Acd::audit`].

mod arrivals;
pub mod chance;
mod compare;
mod estimate;
mod page;
mod plan;
mod table;
mod watch;

use core::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use offhook_acd::{Acd, Command, Effect, Event, FlowOut, ForecastFigures, Left, Limits, Output, Refusal, WrapUpStart};
use offhook_units::{AgentId, ContactId, OfferId, Span, Tick, VisitId};

pub use arrivals::{Arrival, CONTACTS_KNOWN_MAX, Expected, Known, Patience, Talk};
pub use compare::{Axis, VARIANTS_MAX, Variant, product};
pub use estimate::{Estimate, Measure, difference, estimate};
pub use page::{Heading, LINES_MAX, Overlay, page};
pub use plan::{FloorPlan, Handling, Humans, Trade};
pub use table::{FAULTS_MAX, Fault, Listed, LogReader, Names, read_csv};
pub use watch::{Day, Stretch};

use chance::{below, between, draw, exponential};
use plan::Caller;
use watch::Watch;

/// How often everything is checked.
const AUDIT_EVERY: Span = Span::from_s(60);
/// Most kinds of broken invariants told in words.
const TOLD_MAX: usize = 20;

/// Streams of chance, so that a change in one leaves the others as they were.
#[derive(Debug, Clone, Copy)]
enum Stream {
    Interval = 1,
    Arrival,
    Trade,
    Need,
    Patience,
    Talk,
    Answer,
    Mood,
    Break,
    Callback,
    Staff,
    WrapUp,
}

/// Something that will happen on the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Coming {
    PatienceEnds(ContactId),
    Answers(OfferId),
    Declines(OfferId),
    PhoneFails(OfferId),
    Hold(ContactId, bool),
    TalkEnds(ContactId),
    WrappedUp(AgentId),
    Break(AgentId),
    Back(AgentId),
    Comes(AgentId),
    Goes(AgentId),
}

/// What a day came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Contacts that came and that no queue let in: they are not among the offered.
    pub turned_away: u64,
    /// Contacts that entered a queue.
    pub offered: u64,
    /// Answered by an agent.
    pub answered: u64,
    /// Gave up.
    pub abandoned: u64,
    /// Sent elsewhere.
    pub flowed_out: u64,
    /// Still waiting at the end.
    pub waiting: u64,
    /// What was forecast of waits, and what became of it.
    pub forecasts: ForecastFigures,
    /// Invariants found broken, each time it was seen.
    pub invariants_broken: u64,
    /// Of the distributor at the end.
    pub state_hash: u64,
    /// Of who came: when, where to, with what needs, how patient, how long to be talked to. Two days with the same one had the same customers.
    pub callers_hash: u64,
}

/// A floor at work.
pub struct Floor {
    plan: FloorPlan,
    acd: Acd,
    now: Tick,
    ends: Tick,
    /// When contacts arrive that are drawn, the next one last.
    drawn: Vec<Tick>,
    /// Those that are known beforehand, the next one at `arrived`.
    known: Vec<Arrival>,
    arrived: u64,
    coming: BinaryHeap<Reverse<(Tick, u64, Coming)>>,
    planned: u64,
    next_audit: Tick,
    outcome: Outcome,
    waits: i64,
    /// Whom each agent serves or is offered.
    hands: BTreeMap<AgentId, ContactId>,
    /// How many breaks each agent has planned.
    breaks: BTreeMap<AgentId, u64>,
    told: Vec<String>,
    watch: Watch,
}

impl Floor {
    /// A floor with everybody in place, before the first minute.
    ///
    /// # Errors
    /// The plan has a queue or an agent that the distributor refuses.
    pub fn new(plan: FloorPlan) -> Result<Self, Refusal> {
        let limits = Limits { contacts_max: usize::MAX, agents_max: usize::MAX, ..Limits::default() };
        let mut floor = Self {
            acd: Acd::with_limits(plan.seed, limits),
            now: plan.begins,
            ends: plan.begins + plan.lasts,
            drawn: Vec::new(),
            known: Vec::new(),
            arrived: 0,
            coming: BinaryHeap::new(),
            planned: 0,
            next_audit: plan.begins + AUDIT_EVERY,
            outcome: Outcome::default(),
            waits: 0,
            hands: BTreeMap::new(),
            breaks: BTreeMap::new(),
            told: Vec::new(),
            watch: Watch::new(plan.begins, plan.lasts),
            plan,
        };
        for trade in 0..floor.plan.trades.len() {
            let config = floor.plan.trades[trade].config.clone();
            floor.acd.handle(floor.now, Command::AddQueue(config))?;
        }
        for (queue, terms) in floor.plan.lending.clone() {
            floor.acd.handle(floor.now, Command::SetLending { queue, terms: Some(terms) })?;
        }
        for (at, agent) in floor.plan.agents.clone().into_iter().enumerate() {
            let id = agent.id;
            floor.acd.handle(floor.now, Command::AddAgent(agent))?;
            floor.begin_shift(id, at);
        }
        for (agent, queue, by) in floor.plan.loans.clone() {
            floor.acd.handle(floor.now, Command::Lend { agent, queue, by: Some(by) })?;
        }
        match &floor.plan.known {
            Some(known) => floor.known = known.arrivals(floor.plan.seed, floor.plan.lasts),
            None => floor.drawn = floor.plan.arrivals(),
        }
        Ok(floor)
    }

    fn begin_shift(&mut self, id: AgentId, at: usize) {
        let begins = self.plan.shift_begins(at);
        self.plan_at(self.plan.begins + begins, Coming::Comes(id));
        if let Some(lasts) = self.plan.humans.shift {
            self.plan_at(self.plan.begins + begins + lasts, Coming::Goes(id));
        }
    }

    /// The distributor as it stands.
    pub fn acd(&self) -> &Acd {
        &self.acd
    }

    /// Broken invariants in words, the first few.
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// How much of the day is over, in parts of 1,000.
    pub fn per_mille(&self) -> u64 {
        (self.now - self.plan.begins).as_us().saturating_mul(1_000) / self.plan.lasts.as_us().max(1)
    }

    /// Lets the next minute pass; `log` is given each event as it happens. False when the day is over.
    pub fn minute(&mut self, log: &mut impl FnMut(Tick, &Event)) -> bool {
        let until = self.next_audit.min(self.ends);
        self.drain(log);
        while let Some((at, from)) = self.next().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            match from {
                From::Timer => self.acd.timeout(self.now),
                From::Arrival => self.arrive(),
                From::Plan => {
                    if let Some(Reverse((_, _, coming))) = self.coming.pop() {
                        self.happen(coming);
                    }
                }
            }
            self.drain(log);
        }
        self.now = until;
        self.next_audit = until + AUDIT_EVERY;
        for broken in self.acd.audit() {
            self.break_law(broken);
        }
        until < self.ends
    }

    /// Lets the rest of the day pass.
    pub fn run(&mut self, log: &mut impl FnMut(Tick, &Event)) -> Outcome {
        while self.minute(log) {}
        self.outcome()
    }

    /// What the day has come to so far.
    pub fn outcome(&self) -> Outcome {
        let forecasts = forecasts_of(&self.acd);
        Outcome { waiting: self.waits.unsigned_abs(), forecasts, state_hash: self.acd.state_hash(), ..self.outcome }
    }

    /// What the day looked like by stretches of time; to be asked at its end.
    pub fn day(&self) -> Day {
        self.watch.day(&self.acd, self.now, self.outcome())
    }

    fn next(&mut self) -> Option<(Tick, From)> {
        let timer = match self.acd.poll_output() {
            Output::Wait { until } => until,
            Output::Event { at, .. } => unreachable!("an event of {at:?} was left in the outbox"),
            Output::Effect(effect) => unreachable!("{effect:?} was left in the outbox"),
        };
        let known = self.known.get(self.arrived as usize).map(|arrival| self.plan.begins + arrival.at);
        let arrival = self.drawn.last().copied().or(known).map(|at| (at, From::Arrival));
        let planned = self.coming.peek().map(|Reverse((at, ..))| (*at, From::Plan));
        [timer.map(|at| (at, From::Timer)), arrival, planned].into_iter().flatten().min()
    }

    fn chance(&self, stream: Stream, number: u64) -> u64 {
        draw(self.plan.seed, stream as u64, number)
    }

    fn plan_at(&mut self, at: Tick, coming: Coming) {
        self.planned += 1;
        self.coming.push(Reverse((at, self.planned, coming)));
    }

    /// The contact of that number, from 1.
    fn caller(&self, number: u64) -> Option<Caller> {
        self.plan.caller(number, self.known.get(number as usize - 1))
    }

    fn arrive(&mut self) {
        let _due = self.drawn.pop();
        self.arrived += 1;
        let number = self.arrived;
        let Some(caller) = self.caller(number) else { return };
        self.count_caller(&caller);
        let Caller { queue, needs, priority, patience, .. } = caller;
        let contact = ContactId(number);
        let (visit, channel) = (VisitId(number), offhook_acd::Channel::Voice);
        let enter = Command::Enter { contact, visit, queue, channel, priority, place_at: None, needs, prefers: None };
        // A queue that lets nobody in turns the customer away before a visit begins.
        if self.acd.handle(self.now, enter).is_err() {
            self.outcome.turned_away += 1;
            return;
        }
        // Refused where somebody has taken it already.
        let _taken = self.acd.handle(self.now, Command::Forecast { contact });
        if let Some(patience) = patience {
            self.plan_at(self.now + patience, Coming::PatienceEnds(contact));
        }
    }

    fn count_caller(&mut self, caller: &Caller) {
        let Caller { queue, needs, priority, patience, talk } = caller;
        let mut hash = draw(self.outcome.callers_hash, self.now.as_us(), queue.0);
        hash = draw(hash, talk.as_us(), patience.map_or(u64::MAX, Span::as_us));
        hash = draw(hash, needs.len() as u64, u64::from(priority.cast_unsigned()));
        for need in needs {
            hash = draw(hash, need.skill.0, u64::from(need.level));
        }
        self.outcome.callers_hash = hash;
    }

    /// Something planned happens, if it still can: the customer may be gone, the offer withdrawn.
    fn happen(&mut self, coming: Coming) {
        let now = self.now;
        let command = match coming {
            Coming::PatienceEnds(contact) => Command::Leave { contact, outcome: Left::Abandoned },
            Coming::Answers(offer) => Command::Accept { offer },
            Coming::Declines(offer) => Command::Decline { offer },
            Coming::PhoneFails(offer) => Command::NoAnswer { offer },
            Coming::Hold(contact, on) => Command::Hold { contact, on },
            Coming::TalkEnds(contact) => Command::Finish { contact },
            Coming::WrappedUp(agent) => Command::WrapUpDone { agent },
            Coming::Comes(agent) => {
                self.plan_break(agent);
                Command::LogIn { agent }
            }
            Coming::Goes(agent) => Command::LogOut { agent },
            Coming::Break(agent) => {
                self.plan_at(now + self.plan.humans.break_lasts, Coming::Back(agent));
                Command::SetNotReady { agent, reason: "break".to_owned() }
            }
            Coming::Back(agent) => {
                self.plan_break(agent);
                Command::SetReady { agent }
            }
        };
        // Too late is a fine answer here; what it must not do is checked by the counts.
        let _too_late = self.acd.handle(now, command);
    }

    fn plan_break(&mut self, agent: AgentId) {
        if let Some(every) = self.plan.humans.break_every {
            let breaks = self.breaks.entry(agent).or_default();
            *breaks += 1;
            // By agent, so that the same people take the same breaks whatever else is changed.
            let number = draw(agent.0, 0, *breaks);
            let after = exponential(self.chance(Stream::Break, number), every);
            self.plan_at(self.now + after, Coming::Break(agent));
        }
    }

    fn drain(&mut self, log: &mut impl FnMut(Tick, &Event)) {
        loop {
            match self.acd.poll_output() {
                Output::Event { at, event } => {
                    self.watch.follow(at, &event);
                    self.follow(at, &event);
                    log(at, &event);
                }
                Output::Effect(effect) => self.react(&effect),
                Output::Wait { .. } => break,
            }
        }
    }

    fn react(&mut self, effect: &Effect) {
        match *effect {
            Effect::Offer { offer, .. } => {
                let humans = self.plan.humans;
                let mood = below(self.chance(Stream::Mood, offer.0), 1_000);
                let takes = between(self.chance(Stream::Answer, offer.0), humans.answers.0, humans.answers.1);
                let at = self.now + takes;
                let (declines, fails) = (humans.declines_per_mille, humans.phone_fails_per_mille);
                if mood < declines {
                    self.plan_at(at, Coming::Declines(offer));
                } else if mood < declines + fails {
                    self.plan_at(at, Coming::PhoneFails(offer));
                } else if mood >= declines + fails + humans.overlooks_per_mille {
                    if takes == Span::ZERO {
                        let _answered = self.acd.handle(self.now, Command::Accept { offer });
                    } else {
                        self.plan_at(at, Coming::Answers(offer));
                    }
                }
                // Otherwise it is overlooked, and rings out.
            }
            Effect::WaitedTooLong { contact } => self.send_away(contact, FlowOut::TimedOut),
            Effect::NobodyHere { contact } => self.send_away(contact, FlowOut::NobodyHere),
            // Nobody answers: the strategy decides at the deadline.
            Effect::Withdraw { .. } | Effect::Ask { .. } => {}
        }
    }

    fn send_away(&mut self, contact: ContactId, why: FlowOut) {
        let callback = why == FlowOut::TimedOut && below(self.chance(Stream::Callback, contact.0), 2) == 0;
        let why = if callback { FlowOut::Callback } else { why };
        let _gone = self.acd.handle(self.now, Command::Leave { contact, outcome: Left::FlowedOut(why) });
    }

    fn break_law(&mut self, what: String) {
        self.outcome.invariants_broken += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(what);
        }
    }

    /// Keeps its own counts, and holds the distributor against them.
    fn follow(&mut self, at: Tick, event: &Event) {
        match *event {
            Event::Entered { .. } => {
                self.outcome.offered += 1;
                self.waits += 1;
            }
            Event::Left { outcome, .. } => {
                self.waits -= 1;
                match outcome {
                    Left::Abandoned => self.outcome.abandoned += 1,
                    Left::FlowedOut(_) => self.outcome.flowed_out += 1,
                }
            }
            Event::Offered { contact, agent, deadline, .. } => {
                if let Some(other) = self.hands.insert(agent, contact) {
                    self.break_law(format!("{agent} is offered {contact} and has {other}"));
                }
                if deadline <= at {
                    self.break_law(format!("{agent} is offered {contact} for no time"));
                }
            }
            Event::OfferEnded { contact, agent, .. } => {
                if self.hands.remove(&agent) != Some(contact) {
                    self.break_law(format!("an offer of {contact} to {agent} ends that was never made"));
                }
            }
            Event::Accepted { contact, agent, .. } => {
                self.outcome.answered += 1;
                self.waits -= 1;
                if self.hands.get(&agent) != Some(&contact) {
                    self.break_law(format!("{agent} answers {contact} without an offer"));
                }
                let talk = self.caller(contact.0).map_or(Span::ZERO, |caller| caller.talk);
                self.plan_at(self.now + talk, Coming::TalkEnds(contact));
                if self.plan.humans.holds && below(self.chance(Stream::Talk, !contact.0), 4) == 0 {
                    self.plan_at(self.now + talk / 3, Coming::Hold(contact, true));
                    self.plan_at(self.now + talk / 2, Coming::Hold(contact, false));
                }
            }
            Event::Finished { contact, agent, wrap_up, .. } => {
                if wrap_up == WrapUpStart::UntilDone {
                    let lasts = exponential(self.chance(Stream::WrapUp, contact.0), self.plan.humans.wrap_up);
                    self.plan_at(self.now + lasts, Coming::WrappedUp(agent));
                }
                if self.hands.remove(&agent) != Some(contact) {
                    self.break_law(format!("{agent} ends {contact}, which was another's"));
                }
            }
            Event::NotReady { agent, automatic: true, .. } => {
                // Somebody walks over and wakes the agent up.
                self.plan_at(self.now + Span::from_s(120), Coming::Back(agent));
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
            | Event::Asked { .. }
            | Event::Reached { .. }
            | Event::Unreached { .. }
            | Event::LendingSet { .. }
            | Event::LendingReviewed { .. }
            | Event::Lent { .. }
            | Event::Measured { .. }
            | Event::WaitedTooLong { .. }
            | Event::NobodyHere { .. }
            | Event::Held { .. }
            | Event::Retrieved { .. }
            | Event::WrapUpEnded { .. }
            | Event::WrapUpExtended { .. } => {}
        }
        let Outcome { offered, answered, abandoned, flowed_out, .. } = self.outcome;
        if i128::from(offered) != i128::from(answered + abandoned + flowed_out) + i128::from(self.waits)
            || self.waits < 0
        {
            self.break_law(format!(
                "{offered} offered, {answered} + {abandoned} + {flowed_out} ended, {} wait",
                self.waits
            ));
        }
    }
}

/// The forecasts of all queues together.
pub fn forecasts_of(acd: &Acd) -> ForecastFigures {
    acd.queues().fold(ForecastFigures::default(), |mut sum, queue| {
        sum.merge(&acd.figures_of_all_time(queue.id).forecasts);
        sum
    })
}

/// Where the next thing comes from; at the same tick the distributor's timers go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum From {
    Timer,
    Plan,
    Arrival,
}
