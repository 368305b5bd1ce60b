//! What a command or a timer would bring about. Looks, and changes nothing.

use offhook_units::{AgentId, ContactId, OfferId, QueueId, Span, Tick, VisitId};

use crate::Acd;
use crate::config::{
    AgentConfig, LEVELS_MAX, MEMBERSHIPS_MAX, NEEDS_MAX, Need, Order, PROFILES_MAX, QueueConfig, RINGS_MAX, SKILLS_MAX,
    TEXT_BYTES_MAX, WEIGHT_MAX, WrapUp,
};
use crate::state::{Agent, Contact, Offer, Phase, Place, Queue, Reach, SHIFT_GAP, Stage, Work};
use crate::timers::Timer;
use crate::words::{Command, Event, FlowOut, Left, MISSED_REASON, OfferEnd, Preferred, Refusal, WrapUpStart};

pub(crate) type Decision = Result<Vec<Event>, Refusal>;

impl Acd {
    pub(crate) fn decide(&self, now: Tick, command: Command) -> Decision {
        match command {
            Command::AddQueue(config) => self.add_queue(config),
            Command::RemoveQueue { queue } => self.remove_queue_asked(queue),
            Command::AddAgent(config) => self.add_agent(config),
            Command::RemoveAgent { agent } => self.remove_agent_asked(agent),
            Command::SetExternal { queue, within } => self.set_external(queue, within),
            Command::Direct { contact, to } => self.direct(now, contact, to),
            Command::Give { contact, to } => self.give(now, contact, to),
            Command::SetLending { queue, terms } => self.set_lending(now, queue, terms),
            Command::Lend { agent, queue, by } => self.lend(agent, queue, by),
            Command::LogIn { agent } => self.log_in(now, agent),
            Command::LogOut { agent } => self.log_out(now, agent),
            Command::SetReady { agent } => self.set_ready(now, agent),
            Command::SetNotReady { agent, reason } => self.set_not_ready(agent, reason),
            Command::Enter { contact, visit, queue, channel, priority, place_at, needs, prefers } => {
                if self.state.contacts.contains_key(&contact) {
                    return Err(Refusal::AlreadyHere(contact));
                }
                if self.state.contacts.len() >= self.limits.contacts_max {
                    return Err(Refusal::LimitReached("contacts_max"));
                }
                let place_at = place_at.unwrap_or(now);
                if place_at > now {
                    return Err(Refusal::Misuse("a place cannot be later than now"));
                }
                check_needs(&needs)?;
                self.check_entry(queue, None)?;
                self.check_profiles(queue, &needs, &[])?;
                let mut events = vec![Event::Entered { contact, visit, queue, channel, priority, place_at, needs }];
                let preference = prefers.and_then(|preferred| self.preference(now, contact, queue, preferred));
                events.extend(preference.or_else(|| self.ask(now, contact, queue)));
                Ok(events)
            }
            Command::Forecast { contact } => self.forecast(contact),
            Command::MustReach { contact } => self.must_reach(contact),
            Command::Reached { contact } => self.reached(contact),
            Command::Leave { contact, outcome } => self.leave(contact, outcome),
            Command::Requeue { contact, visit, queue, priority } => self.requeue(now, contact, visit, queue, priority),
            Command::Accept { offer } => self.accept_asked(offer),
            Command::Decline { offer } => self.end_offer(now, offer, OfferEnd::Declined, None),
            Command::Busy { offer, rest } => self.end_offer(now, offer, OfferEnd::Declined, Some(rest)),
            Command::NoAnswer { offer } => self.end_offer(now, offer, OfferEnd::NoAnswer, None),
            Command::Hold { contact, on } => self.hold(contact, on),
            Command::Finish { contact } => self.finish_asked(now, contact),
            Command::WrapUpDone { agent } => match end_wrap_ups(now, self.agent_at_work(agent)?) {
                none if none.is_empty() => Err(Refusal::NotInWrapUp(agent)),
                ended => Ok(ended),
            },
            Command::ExtendWrapUp { agent, by } => self.extend_wrap_up(agent, by),
        }
    }

    /// What a timer brings about when its time has come.
    pub(crate) fn due(&self, now: Tick, timer: Timer) -> Vec<Event> {
        match timer {
            Timer::OfferDeadline(offer) => self.end_offer(now, offer, OfferEnd::TimedOut, None).unwrap_or_default(),
            Timer::Rest(agent) => vec![Event::Rested { agent }],
            Timer::WrapUp(agent, contact) => {
                let work = self.state.agents.get(&agent).into_iter().flat_map(|agent| &agent.work);
                let over = work.filter(|work| work.contact == contact && !work.is_served());
                over.map(|work| wrap_up_ended(now, agent, work)).collect()
            }
            Timer::Tier(contact) => self.open_tiers(now, contact).into_iter().collect(),
            Timer::Ring(contact) => self.open_rings(now, contact).into_iter().collect(),
            Timer::Ask(contact) => vec![Event::AskEnded { contact }],
            Timer::Preference(contact) => vec![Event::PreferenceEnded { contact }],
            Timer::Widen(contact) => vec![Event::Widened { contact }],
            Timer::Measure(agent) => vec![Event::Measured { agent }],
            Timer::MaxWait(contact) => vec![Event::WaitedTooLong { contact }],
            Timer::Nobody(queue) => vec![Event::NobodyHere { queue }],
            Timer::Review(queue) => self.review(now, queue).into_iter().collect(),
        }
    }

    pub(crate) fn known_agent(&self, id: AgentId) -> Result<&Agent, Refusal> {
        self.state.agents.get(&id).map(|agent| &**agent).ok_or(Refusal::UnknownAgent(id))
    }

    pub(crate) fn agent_at_work(&self, id: AgentId) -> Result<&Agent, Refusal> {
        self.known_agent(id).and_then(|agent| if agent.logged_in { Ok(agent) } else { Err(Refusal::NotLoggedIn(id)) })
    }

    fn contact(&self, id: ContactId) -> Result<&Contact, Refusal> {
        self.state.contacts.get(&id).map(|contact| &**contact).ok_or(Refusal::UnknownContact(id))
    }

    pub(crate) fn queue_known(&self, id: QueueId) -> Result<&Queue, Refusal> {
        self.state.queues.get(&id).ok_or(Refusal::UnknownQueue(id))
    }

    fn open_offer_of(&self, id: OfferId) -> Result<Offer, Refusal> {
        match self.state.offers.get(&id) {
            Some(offer) => Ok(*offer),
            None if id.0 <= self.state.offers_made => Err(Refusal::TooLate),
            None => Err(Refusal::UnknownOffer(id)),
        }
    }

    fn add_queue(&self, config: QueueConfig) -> Decision {
        if config.name.len() > TEXT_BYTES_MAX {
            return Err(Refusal::Misuse("a queue's name is too long"));
        }
        if config.ring_for == Span::ZERO {
            return Err(Refusal::Misuse("an agent needs some time to answer: ring_for is zero"));
        }
        if config.tier_waits.len() > usize::from(LEVELS_MAX) {
            return Err(Refusal::Misuse("more tier waits than levels"));
        }
        check_queue(&config)?;
        let queues = &self.state.queues;
        if !queues.contains_key(&config.id) && queues.len() >= self.limits.queues_max {
            return Err(Refusal::LimitReached("queues_max"));
        }
        Ok(vec![Event::QueueSet(config)])
    }

    fn remove_queue_asked(&self, queue: QueueId) -> Decision {
        self.queue_known(queue)?;
        let in_use = |index: &crate::index::QueueIndex| {
            index.served > 0 || !index.waiting.is_empty() || !index.members.is_empty()
        };
        if self.index.queues.get(&queue).is_some_and(in_use) {
            return Err(Refusal::InUse);
        }
        Ok(vec![Event::QueueRemoved { queue }])
    }

    fn add_agent(&self, config: AgentConfig) -> Decision {
        if config.name.len() > TEXT_BYTES_MAX {
            return Err(Refusal::Misuse("an agent's name is too long"));
        }
        if config.queues.len() > MEMBERSHIPS_MAX {
            return Err(Refusal::LimitReached("MEMBERSHIPS_MAX"));
        }
        for (at, membership) in config.queues.iter().enumerate() {
            self.queue_known(membership.queue)?;
            if !(1..=LEVELS_MAX).contains(&membership.level) {
                return Err(Refusal::Misuse("tier levels are 1 to 16"));
            }
            if config.queues[..at].iter().any(|other| other.queue == membership.queue) {
                return Err(Refusal::Misuse("an agent is a member of a queue once"));
            }
            if !(1..=WEIGHT_MAX).contains(&membership.weight) {
                return Err(Refusal::Misuse("weights are 1 to 100"));
            }
        }
        check_skills(&config)?;
        for (at, capacity) in config.capacity.iter().enumerate() {
            if config.capacity[..at].iter().any(|other| other.channel == capacity.channel) {
                return Err(Refusal::Misuse("a channel has one capacity"));
            }
        }
        let agents = &self.state.agents;
        if !agents.contains_key(&config.id) && agents.len() >= self.limits.agents_max {
            return Err(Refusal::LimitReached("agents_max"));
        }
        Ok(vec![Event::AgentSet(config)])
    }

    fn remove_agent_asked(&self, agent: AgentId) -> Decision {
        if self.known_agent(agent)?.logged_in { Err(Refusal::InUse) } else { Ok(vec![Event::AgentRemoved { agent }]) }
    }

    fn log_in(&self, now: Tick, id: AgentId) -> Decision {
        let agent = self.known_agent(id)?;
        if agent.logged_in {
            return Ok(if agent.leaving { vec![Event::Ready { agent: id }] } else { Vec::new() });
        }
        let new_shift = !agent.came || now - agent.since >= SHIFT_GAP;
        Ok(vec![Event::LoggedIn { agent: id, new_shift }])
    }

    fn log_out(&self, now: Tick, id: AgentId) -> Decision {
        let agent = self.agent_at_work(id)?;
        let mut events = self.withdraw_from(agent, OfferEnd::AgentLoggedOut);
        if agent.work.iter().any(Work::is_served) {
            if !agent.leaving {
                events.push(Event::LogOutAsked { agent: id });
            }
        } else {
            events.extend(end_wrap_ups(now, agent));
            events.push(Event::LoggedOut { agent: id });
        }
        Ok(events)
    }

    fn set_ready(&self, now: Tick, id: AgentId) -> Decision {
        let agent = self.agent_at_work(id)?;
        let mut events = end_wrap_ups(now, agent);
        if agent.not_ready.is_some() || agent.leaving || agent.rest_until.is_some() {
            events.push(Event::Ready { agent: id });
        }
        Ok(events)
    }

    fn set_not_ready(&self, id: AgentId, reason: String) -> Decision {
        let agent = self.agent_at_work(id)?;
        if reason.len() > TEXT_BYTES_MAX {
            return Err(Refusal::Misuse("a reason is too long"));
        }
        if agent.not_ready.as_deref() == Some(reason.as_str()) {
            return Ok(Vec::new());
        }
        let mut events = self.withdraw_from(agent, OfferEnd::AgentNotReady);
        events.push(Event::NotReady { agent: id, reason, automatic: false });
        Ok(events)
    }

    /// Whether one more contact may enter the queue; one that is `already` waiting there needs no further room.
    pub(crate) fn check_entry(&self, id: QueueId, already: Option<QueueId>) -> Result<(), Refusal> {
        let queue = self.queue_known(id)?;
        let Some(index) = self.index.queues.get(&id) else { return Err(Refusal::UnknownQueue(id)) };
        if index.is_deserted() && !queue.config.no_agents.join {
            return Err(Refusal::NobodyLoggedIn);
        }
        let full = queue.config.max_waiting.is_some_and(|most| index.waiting.len() >= most as usize);
        if full && already != Some(id) { Err(Refusal::QueueFull) } else { Ok(()) }
    }

    /// A contact waits for its agent where that agent serves the queue.
    fn preference(&self, now: Tick, contact: ContactId, queue: QueueId, preferred: Preferred) -> Option<Event> {
        let Preferred { agent, wait } = preferred;
        let waits = self.state.agents.get(&agent)?.serves_in(queue) && wait > Span::ZERO;
        waits.then(|| Event::Preferred { contact, agent, until: now + wait })
    }

    fn set_external(&self, id: QueueId, within: Option<Span>) -> Decision {
        if within == Some(Span::ZERO) {
            return Err(Refusal::Misuse("an integrator needs some time to answer: within is zero"));
        }
        let known = self.queue_known(id)?.external;
        Ok(if known == within { Vec::new() } else { vec![Event::ExternalSet { queue: id, within }] })
    }

    fn ask(&self, now: Tick, contact: ContactId, queue: QueueId) -> Option<Event> {
        let within = self.state.queues.get(&queue)?.external?;
        Some(Event::Asked { contact, queue, until: now + within })
    }

    fn direct(&self, now: Tick, id: ContactId, to: Option<Preferred>) -> Decision {
        let contact = self.contact(id)?;
        if contact.asks().is_none() {
            return Err(Refusal::NotAsked(id));
        }
        if let Some(Preferred { agent, .. }) = to {
            self.known_agent(agent)?;
        }
        let preference = to.and_then(|preferred| self.preference(now, id, contact.queue, preferred));
        Ok([Event::AskEnded { contact: id }].into_iter().chain(preference).collect())
    }

    fn give(&self, now: Tick, id: ContactId, to: Preferred) -> Decision {
        let contact = self.contact(id)?;
        let Preferred { agent, wait } = to;
        if !contact.is_waiting() {
            return Err(Refusal::BeingServed(id));
        }
        if wait == Span::ZERO {
            return Err(Refusal::Misuse("a contact waits for an agent for some time: wait is zero"));
        }
        let taker = self.known_agent(agent)?;
        let able = taker.config.capacity.iter().any(|room| room.channel == contact.channel && room.at_once > 0);
        if !able || !taker.serves_in(contact.queue) || !taker.config.meets(self.state.needs_of(contact)) {
            return Err(Refusal::CannotTake(agent));
        }
        let rings = taker.offer.filter(|offer| contact.open_offers().contains(offer));
        let mut events = self.withdraw_all(contact, rings, OfferEnd::GivenToAnother);
        if contact.asks().is_some() {
            events.push(Event::AskEnded { contact: id });
        }
        events.push(Event::Preferred { contact: id, agent, until: now + wait });
        Ok(events)
    }

    fn forecast(&self, id: ContactId) -> Decision {
        let contact = self.contact(id)?;
        if !contact.is_waiting() {
            return Err(Refusal::BeingServed(id));
        }
        let Contact { visit, queue, entered_at, .. } = *contact;
        let said = self.expected_wait(id).into_iter();
        Ok(said.map(|said| Event::Forecast { contact: id, visit, queue, entered_at, said }).collect())
    }

    fn must_reach(&self, id: ContactId) -> Decision {
        let contact = self.contact(id)?;
        if !contact.is_waiting() {
            return Err(Refusal::BeingServed(id));
        }
        Ok(if contact.reach == Reach::Away { Vec::new() } else { vec![Event::MustReach { contact: id }] })
    }

    fn reached(&self, id: ContactId) -> Decision {
        let contact = self.contact(id)?;
        if contact.is_waiting() {
            return Err(Refusal::NotServed(id));
        }
        let Contact { visit, queue, entered_at, reach, .. } = *contact;
        Ok(match reach {
            Reach::TakenAt(at) => {
                vec![Event::Reached { contact: id, visit, queue, entered_at, waited: at - entered_at }]
            }
            Reach::There | Reach::Away => Vec::new(),
        })
    }

    fn leave(&self, id: ContactId, outcome: Left) -> Decision {
        let contact = self.contact(id)?;
        if !contact.is_waiting() {
            return Err(Refusal::BeingServed(id));
        }
        let mut events = self.withdraw_all(contact, None, OfferEnd::ContactLeft);
        let Contact { visit, queue, entered_at, .. } = *contact;
        events.push(Event::Left { contact: id, visit, queue, entered_at, outcome });
        Ok(events)
    }

    fn requeue(&self, now: Tick, id: ContactId, visit: VisitId, queue: QueueId, priority: i32) -> Decision {
        let contact = self.contact(id)?;
        let Contact { channel, place_at, .. } = *contact;
        let needs = contact.needs.clone();
        self.check_entry(queue, contact.is_waiting().then_some(contact.queue))?;
        self.check_profiles(queue, &needs, &contact.stages)?;
        let mut events = match contact.place {
            Place::Waiting { .. } => self.leave(id, Left::FlowedOut(FlowOut::Requeued))?,
            Place::Served { .. } => self.finish_asked(now, id)?,
        };
        events.push(Event::Entered { contact: id, visit, queue, channel, priority, place_at, needs });
        events.extend(self.ask(now, id, queue));
        Ok(events)
    }

    fn accept_asked(&self, id: OfferId) -> Decision {
        let Offer { contact: contact_id, agent, queue, .. } = self.open_offer_of(id)?;
        let contact = self.contact(contact_id)?;
        let mut events = self.withdraw_all(contact, Some(id), OfferEnd::TakenByAnother);
        let Contact { visit, entered_at, .. } = *contact;
        events.push(Event::Accepted { offer: id, contact: contact_id, visit, queue, agent, entered_at });
        Ok(events)
    }

    /// The end of an offer that is the agent's doing, or the phone's.
    fn end_offer(&self, now: Tick, id: OfferId, how: OfferEnd, rest: Option<Span>) -> Decision {
        let Offer { contact, agent, queue, .. } = self.open_offer_of(id)?;
        let state = self.known_agent(agent)?;
        let usual = if how.is_missed() { state.config.no_answer_delay } else { state.config.decline_delay };
        let delay = rest.unwrap_or(usual);
        let rest_until = (delay > Span::ZERO).then(|| now + delay);
        let mut events = vec![Event::OfferEnded { offer: id, contact, queue, agent, how, rest_until }];
        let enough = state.config.max_missed > 0 && state.missed.saturating_add(1) >= state.config.max_missed;
        if how.is_missed() && enough && state.serves() {
            events.push(Event::NotReady { agent, reason: MISSED_REASON.to_owned(), automatic: true });
        }
        Ok(events)
    }

    fn hold(&self, id: ContactId, on: bool) -> Decision {
        let Place::Served { agent } = self.contact(id)?.place else { return Err(Refusal::NotServed(id)) };
        let work = self.known_agent(agent)?.work.iter().find(|work| work.contact == id && work.is_served());
        Ok(match (work.map(|work| work.phase), on) {
            (Some(Phase::Talking), true) => vec![Event::Held { contact: id, agent }],
            (Some(Phase::Held), false) => vec![Event::Retrieved { contact: id, agent }],
            (Some(Phase::Talking | Phase::Held | Phase::WrapUp { .. }) | None, _) => Vec::new(),
        })
    }

    fn finish_asked(&self, now: Tick, id: ContactId) -> Decision {
        let contact = self.contact(id)?;
        let Place::Served { agent: by } = contact.place else { return Err(Refusal::NotServed(id)) };
        let agent = self.known_agent(by)?;
        let work = agent.work.iter().find(|work| work.contact == id && work.is_served());
        let (talk, hold) = work.map(|work| work.times(now)).unwrap_or_default();
        let wrap_up = match self.state.queues.get(&contact.queue).map(|queue| queue.config.wrap_up) {
            None | Some(WrapUp::For(Span::ZERO)) => WrapUpStart::None,
            Some(_) if agent.leaving => WrapUpStart::None,
            Some(WrapUp::For(span)) => WrapUpStart::Until(now + span),
            Some(WrapUp::UntilDone) => WrapUpStart::UntilDone,
        };
        let Contact { visit, queue, entered_at, reach, .. } = *contact;
        let mut events = Vec::with_capacity(1);
        if let Reach::TakenAt(at) = reach {
            events.push(Event::Unreached { contact: id, visit, queue, entered_at, waited: at - entered_at });
        }
        events.push(Event::Finished { contact: id, queue, agent: by, talk, hold, wrap_up });
        let others = agent.work.iter().any(|work| work.is_served() && work.contact != id);
        if agent.leaving && !others {
            events.extend(end_wrap_ups(now, agent));
            events.push(Event::LoggedOut { agent: by });
        }
        Ok(events)
    }

    /// Takes an agent's open offer away.
    fn withdraw_from(&self, agent: &Agent, how: OfferEnd) -> Vec<Event> {
        let open = agent.offer.and_then(|id| Some((id, self.state.offers.get(&id)?)));
        open.map(|(id, offer)| withdrawn(id, *offer, how)).into_iter().collect()
    }

    /// Takes back all open offers of a contact, but for the one to `keep`.
    fn withdraw_all(&self, contact: &Contact, keep: Option<OfferId>, how: OfferEnd) -> Vec<Event> {
        let open = contact.open_offers().iter().filter(|id| Some(**id) != keep);
        open.filter_map(|id| Some(withdrawn(*id, *self.state.offers.get(id)?, how))).collect()
    }

    /// Whether there is room for the profiles of one more contact; those of its present stages are free when no other contact has them.
    fn check_profiles(&self, queue: QueueId, needs: &[Need], leaves: &[Stage]) -> Result<(), Refusal> {
        let stages = self.queue_known(queue)?.stages(needs);
        let known = |needs: &Vec<Need>| self.index.profiles.get(needs).copied();
        let fresh = stages.iter().filter(|(_, needs)| !needs.is_empty() && known(needs).is_none()).count();
        if self.state.profiles.len() + fresh <= PROFILES_MAX {
            return Ok(());
        }
        let kept: Vec<_> = stages.iter().filter_map(|(_, needs)| known(needs)).collect();
        let in_use = self.state.profiles.iter().filter(|(id, profile)| {
            let leaving = leaves.iter().filter(|stage| stage.profile == **id).count();
            profile.users as usize > leaving || kept.contains(id)
        });
        if in_use.count() + fresh <= PROFILES_MAX { Ok(()) } else { Err(Refusal::LimitReached("PROFILES_MAX")) }
    }

    fn open_rings(&self, now: Tick, id: ContactId) -> Option<Event> {
        let contact = self.state.contacts.get(&id)?;
        let open = contact.stages.iter().filter(|stage| contact.entered_at + stage.after <= now).count();
        Some(Event::RingOpened { contact: id, ring: u8::try_from(open.saturating_sub(1)).unwrap_or(u8::MAX) })
    }

    fn open_tiers(&self, now: Tick, id: ContactId) -> Option<Event> {
        let contact = self.state.contacts.get(&id)?;
        let queue = self.state.queues.get(&contact.queue)?;
        Some(Event::TierOpened { contact: id, step: queue.step_after(now - contact.entered_at) })
    }
}

fn check_needs(needs: &[Need]) -> Result<(), Refusal> {
    if needs.len() > NEEDS_MAX {
        return Err(Refusal::LimitReached("NEEDS_MAX"));
    }
    let twice = |(at, need): (usize, &Need)| needs[..at].iter().any(|other| other.skill == need.skill);
    if needs.iter().enumerate().any(twice) {
        return Err(Refusal::Misuse("a skill is needed once"));
    }
    if needs.iter().any(|need| need.weight > WEIGHT_MAX) {
        return Err(Refusal::Misuse("a skill's weight is at most 100"));
    }
    Ok(())
}

fn check_queue(config: &QueueConfig) -> Result<(), Refusal> {
    check_needs(&config.needs)?;
    if config.rings.len() > RINGS_MAX {
        return Err(Refusal::LimitReached("RINGS_MAX"));
    }
    if config.rings.iter().any(|ring| ring.drops.len() > NEEDS_MAX) {
        return Err(Refusal::LimitReached("NEEDS_MAX"));
    }
    if config.widen_every == Span::ZERO {
        return Err(Refusal::Misuse("one more agent rings after some time: widen_every is zero"));
    }
    match config.order {
        Order::Score { points_per_s } if !(1..=1_000).contains(&points_per_s) => {
            Err(Refusal::Misuse("a second of waiting is worth 1 to 1,000 points"))
        }
        Order::Strict | Order::Score { .. } => Ok(()),
    }
}

fn check_skills(config: &AgentConfig) -> Result<(), Refusal> {
    let skills = &config.skills;
    if skills.len() > SKILLS_MAX {
        return Err(Refusal::LimitReached("SKILLS_MAX"));
    }
    if skills.iter().enumerate().any(|(at, skill)| skills[..at].iter().any(|other| other.skill == skill.skill)) {
        return Err(Refusal::Misuse("an agent has a skill once"));
    }
    Ok(())
}

fn withdrawn(id: OfferId, offer: Offer, how: OfferEnd) -> Event {
    let Offer { contact, agent, queue, .. } = offer;
    Event::OfferEnded { offer: id, contact, queue, agent, how, rest_until: None }
}

fn wrap_up_ended(now: Tick, agent: AgentId, work: &Work) -> Event {
    Event::WrapUpEnded { contact: work.contact, queue: work.queue, agent, lasted: now - work.since }
}

fn end_wrap_ups(now: Tick, agent: &Agent) -> Vec<Event> {
    let over = agent.work.iter().filter(|work| !work.is_served());
    over.map(|work| wrap_up_ended(now, agent.config.id, work)).collect()
}
