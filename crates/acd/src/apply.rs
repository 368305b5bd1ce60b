//! The only place where the state changes: one event at a time, total, so that any log can be replayed.

use offhook_units::{AgentId, ContactId, OfferId, QueueId, Span, Tick};

use crate::Acd;
use crate::config::{AgentConfig, Need, PROFILES_MAX, QueueConfig, Strategy};
use crate::counting;
use crate::forecast::{Expected, Notes, Told};
use crate::index::{Counted, Index, LaneId, QueueIndex};
use crate::state::{Agent, Contact, Offer, Phase, Place, Profile, ProfileId, Queue, Reach, Stage, State, Work};
use crate::words::{Event, OfferEnd, WrapUpStart};

impl Acd {
    pub(crate) fn apply(&mut self, at: Tick, event: &Event) {
        let at = at.max(self.state.at);
        self.state.at = at;
        match event {
            Event::QueueSet(config) => self.set_queue(at, config),
            Event::QueueRemoved { queue } => self.remove_queue(*queue),
            Event::AgentSet(config) => self.set_agent(at, config),
            Event::AgentRemoved { agent } => self.remove_agent(at, *agent),
            Event::LoggedIn { agent, new_shift } => self.change_agent(at, *agent, |agent| {
                agent.logged_in = true;
                agent.came = true;
                (agent.worked_at, agent.ready_at, agent.missed) = (at, at, 0);
                if *new_shift {
                    agent.taken = 0;
                    (agent.talked, agent.worked, agent.present) = Default::default();
                }
            }),
            Event::LogOutAsked { agent } => self.change_agent(at, *agent, |agent| agent.leaving = true),
            Event::LoggedOut { agent } => self.change_agent(at, *agent, |agent| {
                (agent.logged_in, agent.leaving) = (false, false);
                (agent.not_ready, agent.rest_until) = (None, None);
            }),
            Event::Ready { agent } => self.change_agent(at, *agent, |agent| {
                if agent.not_ready.take().is_some() {
                    agent.ready_at = at;
                }
                (agent.leaving, agent.rest_until, agent.missed) = (false, None, 0);
            }),
            Event::NotReady { agent, reason, automatic: _ } => {
                self.change_agent(at, *agent, |agent| agent.not_ready = Some(reason.as_str().into()));
            }
            Event::Rested { agent } => self.change_agent(at, *agent, |agent| agent.rest_until = None),
            Event::Entered { contact, visit, queue, channel, priority, place_at, needs } => {
                self.enter(Contact {
                    id: *contact,
                    visit: *visit,
                    queue: *queue,
                    channel: *channel,
                    priority: *priority,
                    entered_at: at,
                    place_at: *place_at,
                    needs: needs.clone(),
                    stages: Vec::new(),
                    reach: Reach::There,
                    delayed: true,
                    ready_at: at,
                    told: Notes::default(),
                    place: Place::Waiting {
                        step: 0,
                        ring: 0,
                        too_long: false,
                        offers: Vec::new(),
                        ring_level: 0,
                        last_tried: None,
                        widens_at: None,
                        wants_more: false,
                        asks: None,
                        prefers: None,
                    },
                });
            }
            Event::Preferred { contact, agent, until } => self.set_preference(*contact, *agent, *until),
            Event::PreferenceEnded { contact } => self.end_preference(*contact),
            Event::TierOpened { contact, step: opened } => self.change_contact(*contact, |contact| {
                if let Place::Waiting { step, .. } = &mut contact.place {
                    *step = *opened;
                }
            }),
            Event::RingOpened { contact, ring: opened } => self.change_contact(*contact, |contact| {
                if let Place::Waiting { ring, .. } = &mut contact.place {
                    *ring = *opened;
                }
            }),
            Event::Widened { contact } => self.change_contact(*contact, |contact| {
                if let Place::Waiting { widens_at, wants_more, .. } = &mut contact.place {
                    (*widens_at, *wants_more) = (None, true);
                }
            }),
            Event::Measured { agent } => self.change_agent(at, *agent, |agent| agent.measured_at = at),
            Event::WaitedTooLong { contact } => self.change_contact(*contact, |contact| {
                if let Place::Waiting { too_long, .. } = &mut contact.place {
                    *too_long = true;
                }
            }),
            Event::NobodyHere { queue } => self.change_nobody(*queue, |queue| queue.nobody_told = true),
            Event::Offered { offer, contact, queue, agent, deadline } => {
                let made = Offer { contact: *contact, agent: *agent, queue: *queue, deadline: *deadline };
                self.open_offer(at, *offer, made);
            }
            Event::OfferEnded { offer, contact, queue: _, agent, how, rest_until } => {
                self.close_offer(at, *offer);
                if how.is_missed() || *how == OfferEnd::Declined {
                    self.end_preference_for(*contact, *agent);
                }
                self.change_agent(at, *agent, |agent| {
                    agent.rest_until = *rest_until;
                    agent.missed = agent.missed.saturating_add(u32::from(how.is_missed()));
                });
            }
            Event::Accepted { offer, contact, visit: _, queue, agent, entered_at: _ } => {
                self.end_wait(at, *contact, true);
                self.accept(at, *offer, *contact, *queue, *agent);
            }
            Event::Left { contact, .. } => {
                self.end_wait(at, *contact, false);
                self.drop_contact(at, *contact);
            }
            Event::Held { contact, agent } => self.change_phase(at, *agent, *contact, Phase::Held),
            Event::Retrieved { contact, agent } => self.change_phase(at, *agent, *contact, Phase::Talking),
            Event::Finished { contact, agent, talk, wrap_up, .. } => {
                self.finish(at, *contact, *agent, *talk, *wrap_up);
            }
            Event::WrapUpEnded { contact, agent, .. } => self.change_agent(at, *agent, |agent| {
                agent.keep_work(|work| work.contact != *contact || work.is_served());
                agent.worked_at = at;
            }),
            Event::WrapUpExtended { contact, queue: _, agent, until } => {
                self.extend_wrap_up_of(at, *agent, *contact, *until);
            }
            Event::ExternalSet { queue, within } => {
                if let Some(queue) = self.state.queues.get_mut(queue) {
                    queue.external = *within;
                }
            }
            Event::Asked { contact, queue: _, until } => self.set_asks(at, *contact, Some(*until)),
            Event::AskEnded { contact } => self.set_asks(at, *contact, None),
            Event::MustReach { contact } => self.set_reach(*contact, Reach::Away),
            Event::Reached { contact, .. } | Event::Unreached { contact, .. } => {
                self.set_reach(*contact, Reach::There);
            }
            Event::LendingSet { queue, terms } => self.change_lending(at, *queue, |queue| {
                queue.lending = *terms;
                (queue.lends, queue.reviewed_at) = (queue.lends && terms.is_some(), at);
            }),
            Event::LendingReviewed { queue, lends } => self.change_lending(at, *queue, |queue| {
                (queue.lends, queue.reviewed_at) = (*lends && queue.lending.is_some(), at);
            }),
            Event::Lent { agent, queue, by } => self.set_loan(at, *agent, *queue, *by),
            Event::Forecast { contact, visit: _, queue: _, entered_at: _, said } => {
                self.note_forecast(at, *contact, *said);
            }
        }
        let taken = if let Event::Accepted { contact, agent, .. } = event { Some((contact, agent)) } else { None };
        match taken.filter(|(contact, _)| self.state.contacts.get(contact).is_some_and(|contact| contact.is_open())) {
            Some((_, agent)) => counting::take(&mut self.figures, *agent, at),
            None => counting::count(&mut self.figures, at, event),
        }
    }

    fn set_queue(&mut self, at: Tick, config: &QueueConfig) {
        let id = config.id;
        let mut queue = Queue::new(config.clone());
        let known = self.state.queues.get(&id);
        if let Some(old) = known {
            (queue.last, queue.nobody_since, queue.nobody_told) = (old.last, old.nobody_since, old.nobody_told);
            queue.lanes.clone_from(&old.lanes);
            queue.paces.clone_from(&old.paces);
            queue.apart.clone_from(&old.apart);
            (queue.lending, queue.lends, queue.reviewed_at) = (old.lending, old.lends, old.reviewed_at);
            queue.external = old.external;
        } else {
            queue.nobody_since = Some(at);
        }
        let is_new = known.is_none();
        if is_new {
            self.index.queues.or_insert_with(id, QueueIndex::default);
            self.index.add_queue_timers(id, &queue);
            let lanes = queue.lanes.clone();
            self.state.queues.insert(id, queue);
            for (channel, profile) in lanes {
                self.index.open_lane(&self.state, LaneId { queue: id, channel, profile });
            }
            return;
        }
        // Keys and timers of everybody in the queue depend on its settings; a changed queue is rare enough to begin anew.
        for contact in self.state.contacts.values_mut().filter(|contact| contact.queue == id) {
            if let Place::Waiting { step, widens_at, wants_more, .. } = &mut contact.place {
                *step = queue.step_after(at - contact.entered_at);
                if queue.config.strategy != Strategy::RingProgressively {
                    (*widens_at, *wants_more) = (None, false);
                }
            }
        }
        self.state.queues.insert(id, queue);
        self.index = Index::build(&self.state);
    }

    fn remove_queue(&mut self, id: QueueId) {
        if let Some(queue) = self.state.queues.remove(&id) {
            self.index.remove_queue_timers(id, &queue);
            self.index = Index::build(&self.state);
        }
    }

    fn set_agent(&mut self, at: Tick, config: &AgentConfig) {
        let State { seed, queues, agents, .. } = &mut self.state;
        let mut touched: Vec<QueueId> = config.queues.iter().map(|membership| membership.queue).collect();
        let agent = agents.or_insert_with(config.id, || Box::new(Agent::new(config.clone(), at)));
        touched.extend(agent.config.queues.iter().map(|membership| membership.queue));
        self.index.remove_agent(*seed, queues, agent);
        self.index.part(agent);
        agent.config = config.clone();
        let stays = |queue| config.queues.iter().any(|membership| membership.queue == queue);
        agent.loans = agent.loans.iter().copied().filter(|loan| stays(loan.to) && stays(loan.by)).collect();
        agent.measured_at = at;
        self.index.join(agent);
        self.index.add_agent(*seed, queues, agent);
        self.end_preferences(config.id);
        for queue in touched {
            if let Some(settings) = self.state.queues.get(&queue) {
                self.index.refresh_queue(queue, settings);
            }
            self.update_nobody(at, queue);
        }
    }

    fn remove_agent(&mut self, at: Tick, id: AgentId) {
        let Some(agent) = self.state.agents.remove(&id) else { return };
        self.index.remove_agent(self.state.seed, &self.state.queues, &agent);
        self.index.part(&agent);
        for membership in &agent.config.queues {
            if let Some(queue) = self.state.queues.get(&membership.queue) {
                self.index.refresh_queue(membership.queue, queue);
            }
            self.update_nobody(at, membership.queue);
        }
    }

    /// Changes an agent and brings everything that depends on it up to date.
    pub(crate) fn change_agent(&mut self, at: Tick, id: AgentId, change: impl FnOnce(&mut Agent)) {
        let State { seed, queues, agents, .. } = &mut self.state;
        let Some(agent) = agents.get_mut(&id) else { return };
        let served = agent.serves();
        let counted = Counted::of(agent);
        self.index.lift(*seed, queues, agent);
        change(agent);
        let kind = agent.kind_now();
        if kind != agent.kind {
            agent.count_state(at);
            self.figures.leave_state(id, agent.kind, at - agent.since);
            (agent.kind, agent.since) = (kind, at);
        }
        self.index.count(agent, counted, Counted::of(agent));
        self.index.seat(*seed, queues, agent);
        if agent.serves() != served {
            let serves = !served;
            let memberships: Vec<_> = agent.memberships().map(|member| (member.queue, member.level)).collect();
            for (queue, level) in memberships {
                if self.index.is_turning_point(queue, level)
                    && let Some(settings) = self.state.queues.get(&queue)
                {
                    self.index.refresh_queue(queue, settings);
                }
                self.update_nobody(at, queue);
            }
            if !serves {
                self.end_preferences(id);
            }
        }
    }

    fn set_preference(&mut self, contact: ContactId, agent: AgentId, until: Tick) {
        let State { agents, contacts, .. } = &self.state;
        let waits_for = |queue| agents.get(&agent).is_some_and(|agent| agent.serves_in(queue));
        if contacts.get(&contact).is_some_and(|contact| waits_for(contact.queue)) {
            self.change_contact(contact, |contact| {
                if let Place::Waiting { prefers, .. } = &mut contact.place {
                    contact.delayed = false;
                    *prefers = Some(Box::new((agent, until)));
                }
            });
        }
    }

    fn end_preference(&mut self, id: ContactId) {
        self.change_contact(id, |contact| {
            if let Place::Waiting { prefers, .. } = &mut contact.place {
                *prefers = None;
            }
        });
    }

    /// The agent let the contact pass.
    fn end_preference_for(&mut self, id: ContactId, by: AgentId) {
        let prefers = self.state.contacts.get(&id).and_then(|contact| contact.prefers());
        if prefers.is_some_and(|(agent, _)| agent == by) {
            self.end_preference(id);
        }
    }

    /// Contacts wait no longer for an agent who does not serve their queue.
    pub(crate) fn end_preferences(&mut self, id: AgentId) {
        let Some(agent) = self.state.agents.get(&id) else { return };
        let over: Vec<ContactId> = self.index.waiting_for(id, |queue| !agent.serves_in(queue)).collect();
        for contact in over {
            self.end_preference(contact);
        }
    }

    pub(crate) fn update_nobody(&mut self, at: Tick, id: QueueId) {
        let Some(index) = self.index.queues.get(&id) else { return };
        let empty = index.is_deserted();
        if self.state.queues.get(&id).is_some_and(|queue| queue.nobody_since.is_some() != empty) {
            self.change_nobody(id, |queue| {
                (queue.nobody_since, queue.nobody_told) = (empty.then_some(at), false);
            });
        }
    }

    fn change_nobody(&mut self, id: QueueId, change: impl FnOnce(&mut Queue)) {
        let Some(queue) = self.state.queues.get_mut(&id) else { return };
        self.index.remove_queue_timers(id, queue);
        change(queue);
        self.index.add_queue_timers(id, queue);
    }

    fn enter(&mut self, mut contact: Contact) {
        let known = self.state.contacts.contains_key(&contact.id);
        let Some(queue) = self.state.queues.get(&contact.queue).filter(|_| !known) else { return };
        let stages = queue.stages(&contact.needs);
        if stages.len() > 1 || stages.iter().any(|(_, needs)| !needs.is_empty()) {
            contact.stages = self.take_profiles(&stages);
            for stage in &contact.stages {
                let (channel, profile) = (contact.channel, stage.profile);
                let lanes = self.state.queues.get_mut(&contact.queue).map(|queue| &mut queue.lanes);
                if lanes.is_some_and(|lanes| lanes.insert((channel, profile))) {
                    self.index.open_lane(&self.state, LaneId { queue: contact.queue, channel, profile });
                }
            }
        }
        self.index.add_contact(&self.state.queues, &contact);
        self.state.contacts.insert(contact.id, Box::new(contact));
    }

    /// Finds the profile of each stage, or makes it; each counts one user more.
    fn take_profiles(&mut self, stages: &[(Span, Vec<Need>)]) -> Vec<Stage> {
        for (_, needs) in stages {
            if let Some(profile) = self.index.profiles.get(needs).and_then(|id| self.state.profiles.get_mut(id)) {
                profile.users += 1;
            }
        }
        let mut taken = Vec::with_capacity(stages.len());
        for (after, needs) in stages {
            let known = self.index.profiles.get(needs).copied();
            let profile = match known {
                _ if needs.is_empty() => ProfileId::default(),
                Some(known) => known,
                None => self.make_profile(needs),
            };
            taken.push(Stage { after: *after, profile });
        }
        taken
    }

    fn make_profile(&mut self, needs: &[Need]) -> ProfileId {
        if self.state.profiles.len() >= PROFILES_MAX {
            // All that nobody uses go at once, so that the index is built anew only after as many new ones.
            self.state.profiles.retain(|_, profile| profile.users > 0);
            let State { queues, profiles, .. } = &mut self.state;
            let stays = |id: &ProfileId| *id == ProfileId::default() || profiles.contains_key(id);
            for queue in queues.values_mut() {
                queue.lanes.retain(|(_, id)| stays(id));
                queue.apart.iter_mut().for_each(|apart| apart.retain(|id, _| stays(id)));
            }
            self.index = Index::build(&self.state);
        }
        self.state.profiles_made += 1;
        let id = ProfileId(self.state.profiles_made);
        self.state.profiles.insert(id, Profile { needs: needs.to_vec(), users: 1 });
        self.index.profiles.insert(needs.to_vec(), id);
        id
    }

    /// A contact no longer waits: its profiles have one user less.
    fn leave_profiles(&mut self, stages: &[Stage]) {
        for stage in stages {
            if let Some(profile) = self.state.profiles.get_mut(&stage.profile) {
                profile.users = profile.users.saturating_sub(1);
            }
        }
    }

    fn note_forecast(&mut self, at: Tick, id: ContactId, said: Expected) {
        let both = self.both_waits(id);
        if let Some(contact) = self.state.contacts.get_mut(&id).filter(|contact| contact.is_waiting()) {
            contact.told.note(Told { at, said, both });
        }
    }

    /// Whether the customer is there matters to nothing but the outcome.
    fn set_reach(&mut self, id: ContactId, reach: Reach) {
        if let Some(contact) = self.state.contacts.get_mut(&id) {
            contact.reach = reach;
        }
    }

    fn set_asks(&mut self, at: Tick, id: ContactId, until: Option<Tick>) {
        self.change_contact(id, |contact| {
            if let Place::Waiting { asks, .. } = &mut contact.place {
                (*asks, contact.ready_at) = (until.map(Box::new), at);
            }
        });
    }

    /// A visit's wait is over: its forecasts are scored, and the pace of its queue is measured where nobody was free for it.
    fn end_wait(&mut self, at: Tick, id: ContactId, answered: bool) {
        let Some(contact) = self.state.contacts.get_mut(&id).filter(|contact| contact.is_waiting()) else { return };
        let (id, entered_at) = (contact.queue, contact.entered_at);
        let agents = self.index.queues.get(&id).map_or(0, QueueIndex::agents);
        let Some(queue) = self.state.queues.get_mut(&id) else { return };
        let apart = &mut queue.apart[contact.channel as usize];
        for told in contact.told.take() {
            self.figures.score(id, entered_at, told.said, at - told.at, answered);
            if let Some(both) = told.both.filter(|_| answered) {
                apart.entry(contact.first_profile()).or_default().score(both, at - told.at);
            }
        }
        if contact.delayed {
            let apart = &mut apart.entry(contact.first_profile()).or_default().pace;
            for pace in [&mut queue.paces[contact.channel as usize], apart] {
                if answered {
                    pace.answered(at, entered_at, agents);
                } else {
                    pace.left(at, entered_at);
                }
            }
        }
    }

    fn change_contact(&mut self, id: ContactId, change: impl FnOnce(&mut Contact)) {
        let State { queues, contacts, .. } = &mut self.state;
        let Some(contact) = contacts.get_mut(&id) else { return };
        if !contact.is_waiting() {
            return change(contact);
        }
        self.index.unplace(queues, contact);
        change(contact);
        if contact.is_waiting() {
            self.index.place(queues, contact);
        } else {
            self.index.serve(queues, contact);
        }
    }

    fn drop_contact(&mut self, at: Tick, id: ContactId) {
        let Some(contact) = self.state.contacts.get(&id) else { return };
        for offer in contact.open_offers().to_vec() {
            self.close_offer(at, offer);
        }
        if let Some(contact) = self.state.contacts.remove(&id) {
            self.index.remove_contact(&self.state.queues, &contact);
            self.leave_profiles(&contact.stages);
        }
    }

    fn open_offer(&mut self, at: Tick, id: OfferId, offer: Offer) {
        self.state.offers_made = self.state.offers_made.max(id.0);
        let Some(membership) = self.state.agents.get(&offer.agent).and_then(|agent| agent.membership(offer.queue))
        else {
            return;
        };
        let (level, position) = (membership.level, membership.position);
        if !self.state.contacts.get(&offer.contact).is_some_and(|contact| contact.is_waiting()) {
            return;
        }
        let queue = self.state.queues.get(&offer.queue).map(|queue| &queue.config);
        let progressive = queue.filter(|queue| queue.strategy == Strategy::RingProgressively);
        let widens = progressive.map(|queue| at + queue.widen_every);
        self.change_contact(offer.contact, |contact| {
            if let Place::Waiting { offers, ring_level, last_tried, widens_at, wants_more, .. } = &mut contact.place {
                contact.delayed &= last_tried.is_some() || at > contact.ready_at;
                offers.push(id);
                *ring_level = level;
                *last_tried = Some((position, offer.agent));
                (*widens_at, *wants_more) = (widens, false);
            }
        });
        self.change_agent(at, offer.agent, |agent| {
            agent.offer = Some(id);
            agent.offered = agent.offered.wrapping_add(1);
        });
        if let Some(queue) = self.state.queues.get_mut(&offer.queue) {
            queue.last = Some((position, offer.agent));
        }
        self.state.offers.insert(id, offer);
        self.index.add_offer(id, offer);
    }

    fn close_offer(&mut self, at: Tick, id: OfferId) {
        let Some(offer) = self.state.offers.remove(&id) else { return };
        self.index.remove_offer(id, offer);
        self.change_contact(offer.contact, |contact| {
            if let Place::Waiting { offers, widens_at, wants_more, .. } = &mut contact.place {
                offers.retain(|open| *open != id);
                if offers.is_empty() {
                    (*widens_at, *wants_more) = (None, false);
                }
            }
        });
        self.change_agent(at, offer.agent, |agent| {
            if agent.offer == Some(id) {
                agent.offer = None;
            }
        });
    }

    fn accept(&mut self, at: Tick, offer: OfferId, id: ContactId, queue: QueueId, by: AgentId) {
        let (Some(contact), true) = (self.state.contacts.get(&id), self.state.offers.contains_key(&offer)) else {
            return;
        };
        let channel = contact.channel;
        for open in contact.open_offers().to_vec() {
            if open != offer {
                self.close_offer(at, open);
            }
        }
        if let Some(accepted) = self.state.offers.remove(&offer) {
            self.index.remove_offer(offer, accepted);
        }
        let mut stages = Vec::new();
        self.change_contact(id, |contact| {
            contact.place = Place::Served { agent: by };
            if contact.reach == Reach::Away {
                contact.reach = Reach::TakenAt(at);
            }
            stages = core::mem::take(&mut contact.stages);
        });
        self.leave_profiles(&stages);
        self.change_agent(at, by, |agent| {
            agent.offer = None;
            agent.missed = 0;
            agent.taken = agent.taken.saturating_add(1);
            let (talk, hold) = Default::default();
            let work = Work { contact: id, channel, queue, phase: Phase::Talking, since: at, talk, hold };
            agent.work = agent.work.iter().copied().chain([work]).collect();
        });
    }

    fn change_phase(&mut self, at: Tick, id: AgentId, contact: ContactId, phase: Phase) {
        self.change_agent(at, id, |agent| {
            if let Some(work) = agent.work_on(contact) {
                (work.talk, work.hold) = work.times(at);
                (work.phase, work.since) = (phase, at);
            }
        });
    }

    fn finish(&mut self, at: Tick, id: ContactId, by: AgentId, talk: Span, wrap_up: WrapUpStart) {
        if let Some(contact) = self.state.contacts.remove(&id) {
            self.index.remove_contact(&self.state.queues, &contact);
        }
        let until = match wrap_up {
            WrapUpStart::None => {
                self.change_agent(at, by, |agent| {
                    agent.keep_work(|work| work.contact != id || !work.is_served());
                    agent.worked_at = at;
                    agent.talked += talk;
                });
                return;
            }
            WrapUpStart::Until(until) => Some(until),
            WrapUpStart::UntilDone => None,
        };
        self.change_agent(at, by, |agent| {
            agent.talked += talk;
            if let Some(work) = agent.work_on(id) {
                (work.talk, work.hold) = work.times(at);
                (work.phase, work.since) = (Phase::WrapUp { until }, at);
            }
        });
    }
}
