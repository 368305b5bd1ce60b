//! The agents of a run: they register, answer, decline, hang up and wrap up.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use offhook_plan::Direction;
use offhook_sip::{
    Body, Credentials, Flow, NameAddr, Register, RegistrationId, Request, SessionId, Uri, reason_phrase, sdp,
};
use offhook_units::{Span, Tick};

use super::{Driver, Due, Leg, Stage, callers_in, opening};
use crate::flows::Order;
use crate::load::{Agents, caps, numbered};
use crate::statistics::Times;

/// How long a registration is asked for.
const EXPIRES: Span = Span::from_s(600);
/// How often some more of them are begun.
const REGISTER_EVERY: Span = Span::from_ms(100);
/// A server that ends a talk so soon after it acknowledged the answer did not want it any more.
const TALK_MIN: Span = Span::from_ms(500);
/// Different agents that are remembered where they are called by any name.
const NAMES_MAX: usize = 100_000;

/// What became of the agents.
#[derive(Debug, Clone, Default)]
pub struct AgentFigures {
    /// Registered now.
    pub registered: u64,
    /// REGISTERs that were taken, those that renewed one included.
    pub registrations: u64,
    /// Registrations that failed, by why.
    pub register_failures: BTreeMap<String, u64>,
    /// From a REGISTER to its 200, the challenge in between.
    pub register: Times,
    /// Calls that came.
    pub offered: u64,
    /// Calls answered.
    pub answered: u64,
    /// Calls declined, as was planned.
    pub declined: u64,
    /// Calls that came to an agent who talks or wraps up: nobody should have been offered them.
    pub while_busy: u64,
    /// Calls that could not be answered, by why.
    pub failures: BTreeMap<String, u64>,
    /// Talks now.
    pub talking: u64,
}

#[derive(Debug)]
struct Talk {
    agent: String,
    leg: Leg,
    flow: Flow,
    /// The caller of ours, where it is one.
    caller: Option<u64>,
    offer: Vec<u8>,
    answered: bool,
    /// When the server acknowledged the answer.
    confirmed: Option<Tick>,
}

/// Until when an agent takes no call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Busy {
    Talking,
    Until(Tick),
}

/// All agents.
#[derive(Debug)]
pub(super) struct Floor {
    pub load: Agents,
    local: SocketAddr,
    talks: BTreeMap<SessionId, Talk>,
    busy: BTreeMap<String, Busy>,
    /// How many have begun to register.
    begun: u32,
    registrations: BTreeMap<RegistrationId, Registered>,
    pub figures: AgentFigures,
}

#[derive(Debug, Clone, Copy)]
struct Registered {
    asked: Tick,
    is_in: bool,
}

impl Floor {
    pub fn new(load: Agents, local: SocketAddr) -> Self {
        Self {
            load,
            local,
            talks: BTreeMap::new(),
            busy: BTreeMap::new(),
            begun: 0,
            registrations: BTreeMap::new(),
            figures: AgentFigures::default(),
        }
    }

    /// Whether everybody is registered who shall be.
    pub fn is_ready(&self) -> bool {
        self.figures.registered >= u64::from(self.load.count)
    }

    /// Whether nobody talks or is registered.
    pub fn is_gone(&self) -> bool {
        self.talks.is_empty() && self.registrations.is_empty()
    }

    pub fn leg_mut(&mut self, session: SessionId) -> Option<&mut Leg> {
        self.talks.get_mut(&session).map(|talk| &mut talk.leg)
    }

    /// Whether an agent takes no call now. Who is called without a name is nobody in particular, and takes any number.
    fn is_busy(&mut self, now: Tick, agent: &str) -> bool {
        match self.busy.get(agent) {
            Some(Busy::Talking) => true,
            Some(Busy::Until(until)) if *until > now => true,
            Some(Busy::Until(_)) => {
                self.busy.remove(agent);
                false
            }
            None => false,
        }
    }
}

impl Driver {
    /// Begins as many registrations as are due.
    pub(super) fn register_some(&mut self, now: Tick) {
        let Some(floor) = &mut self.floor else { return };
        let Some((server, domain)) = floor.load.registrar.clone() else { return };
        let flow = Flow { transport: floor.load.transport, local: floor.local, peer: server };
        let portion = (u64::from(floor.load.registers_per_s) * REGISTER_EVERY.as_ms() / 1_000).max(1) as u32;
        for _ in 0..portion.min(floor.load.count - floor.begun) {
            let number = u64::from(floor.load.first + floor.begun);
            let (user, password) = (numbered(&floor.load.user, number), numbered(&floor.load.password, number));
            let aor = Uri::sip(Some(&user), &domain.host, domain.port);
            let register = Register {
                flow,
                registrar: domain.clone(),
                aor: NameAddr::new(aor),
                contact: flow.contact(Some(&user), None),
                expires: EXPIRES,
                credentials: Some(Credentials { username: user, password }),
            };
            let id = self.endpoint.register(now, register);
            floor.registrations.insert(id, Registered { asked: now, is_in: false });
            floor.begun += 1;
        }
        if floor.begun < floor.load.count {
            self.at(now + REGISTER_EVERY, Due::Register);
        }
    }

    pub(super) fn registered(&mut self, now: Tick, id: RegistrationId, expires: Span) {
        let Some(floor) = &mut self.floor else { return };
        let Some(found) = floor.registrations.get_mut(&id) else { return };
        if expires == Span::ZERO {
            floor.figures.registered -= u64::from(found.is_in);
            floor.registrations.remove(&id);
            return;
        }
        if !core::mem::replace(&mut found.is_in, true) {
            floor.figures.registered += 1;
            floor.figures.register.note_since(found.asked, now);
        }
        floor.figures.registrations += 1;
    }

    pub(super) fn registration_failed(&mut self, id: RegistrationId, status: Option<u16>) {
        let is_ending = self.is_ending();
        let Some(floor) = &mut self.floor else { return };
        let why = match status {
            Some(status) => format!("{status} {}", reason_phrase(status)),
            None => "no answer".to_owned(),
        };
        *floor.figures.register_failures.entry(why).or_insert(0) += 1;
        if let Some(found) = floor.registrations.get_mut(&id)
            && core::mem::take(&mut found.is_in)
        {
            floor.figures.registered -= 1;
        }
        if is_ending {
            floor.registrations.remove(&id);
        }
    }

    fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Ending { .. } | Stage::Lingering { .. } | Stage::Over)
    }

    pub(super) fn unregister_all(&mut self, now: Tick) {
        let Some(floor) = &self.floor else { return };
        for id in floor.registrations.keys().copied().collect::<Vec<_>>() {
            self.endpoint.unregister(now, id);
        }
        for session in floor.talks.keys().copied().collect::<Vec<_>>() {
            // With callers of ours, their ends end the talks.
            if self.crowd.is_none() {
                self.endpoint.hang_up(now, session, None);
            }
        }
    }

    pub(super) fn invited(&mut self, now: Tick, session: SessionId, flow: Flow, request: &Request) {
        let caller = self.find_caller(now, &callers_in(request));
        let is_ending = self.is_ending();
        let Some(floor) = &mut self.floor else { return self.endpoint.refuse(now, session, 480, Vec::new()) };
        floor.figures.offered += 1;
        let agent = request.uri.user_decoded().unwrap_or_default().into_owned();
        if is_ending {
            return self.endpoint.refuse(now, session, 480, Vec::new());
        }
        if floor.is_busy(now, &agent) {
            floor.figures.while_busy += 1;
            return self.endpoint.refuse(now, session, 486, Vec::new());
        }
        if self.entropy.below(1_000) < u64::from(floor.load.decline_per_mille) {
            floor.figures.declined += 1;
            return self.endpoint.refuse(now, session, 603, Vec::new());
        }
        if floor.busy.len() >= NAMES_MAX {
            floor.busy.retain(|_, busy| matches!(busy, Busy::Talking));
        }
        if !agent.is_empty() {
            floor.busy.insert(agent.clone(), Busy::Talking);
        }
        let answer_after = floor.load.answer_after.draw(&mut self.entropy);
        let offer = request.description().ok().flatten().map(<[u8]>::to_vec).unwrap_or_default();
        let leg = self.leg(now, false);
        let Some(floor) = &mut self.floor else { return };
        floor.talks.insert(session, Talk { agent, leg, flow, caller, offer, answered: false, confirmed: None });
        self.endpoint.progress(now, session, 180, None);
        self.at(now + answer_after, Due::Answer(session));
    }

    pub(super) fn answer(&mut self, now: Tick, session: SessionId) {
        let Some(floor) = &mut self.floor else { return };
        let Some(talk) = floor.talks.get_mut(&session) else { return };
        let contact = talk.flow.contact(Some(&talk.agent), None);
        let (part, speech) = (floor.load.part, &floor.load.speech);
        let caps = caps(speech.codec);
        let (body, order) = if talk.offer.is_empty() {
            let offer = sdp::offer(&talk.leg.local, &caps, Direction::SendRecv);
            talk.leg.offer = Some(offer.clone());
            (offer, None)
        } else {
            match sdp::answer(&talk.offer, &talk.leg.local, &caps, Direction::SendRecv) {
                Ok((answer, agreed)) => {
                    talk.leg.is_open = true;
                    (answer, Some(opening(&talk.leg, part, speech, &agreed)))
                }
                Err(error) => {
                    *floor.figures.failures.entry(format!("media: {error}")).or_insert(0) += 1;
                    self.endpoint.refuse(now, session, error.status(), Vec::new());
                    return self.agent_over(now, session, "");
                }
            }
        };
        talk.answered = true;
        let caller = talk.caller;
        floor.figures.answered += 1;
        floor.figures.talking += 1;
        if let Some(hang_up) = floor.load.hang_up_after {
            let at = now + hang_up.draw(&mut self.entropy);
            self.at(at, Due::HangUp(session));
        }
        self.out.extend(order.map(super::Output::Media));
        self.endpoint.answer(now, session, contact, Some(Body::sdp(body)));
        if let Some(number) = caller {
            self.reach(now, number);
        }
    }

    /// The ACK carries the answer where our 200 carried the offer.
    pub(super) fn confirmed(&mut self, now: Tick, session: SessionId, body: Option<Body>) {
        let caller = self.floor.as_ref().and_then(|floor| floor.talks.get(&session)?.caller);
        if let Some(number) = caller {
            self.note_served(now, number);
        }
        let Some(floor) = &mut self.floor else { return };
        let (part, speech) = (floor.load.part, &floor.load.speech);
        let Some(talk) = floor.talks.get_mut(&session) else { return };
        talk.confirmed.get_or_insert(now);
        let Some(offer) = talk.leg.offer.take() else { return };
        let answer = body.map(|body| body.bytes).unwrap_or_default();
        match sdp::accept(&offer, &answer, &caps(speech.codec)) {
            Ok(agreed) => {
                talk.leg.is_open = true;
                let order = opening(&talk.leg, part, speech, &agreed);
                self.media(order);
            }
            Err(error) => {
                *floor.figures.failures.entry(format!("media: {error}")).or_insert(0) += 1;
                self.endpoint.hang_up(now, session, None);
            }
        }
    }

    /// A talk, or what should have become one, is over.
    pub(super) fn agent_over(&mut self, now: Tick, session: SessionId, why: &str) {
        let Some(floor) = &mut self.floor else { return };
        let Some(talk) = floor.talks.remove(&session) else { return };
        let wrap_up = if talk.answered { floor.load.wrap_up } else { Span::ZERO };
        if wrap_up > Span::ZERO && !talk.agent.is_empty() {
            floor.busy.insert(talk.agent, Busy::Until(now + wrap_up));
        } else {
            floor.busy.remove(&talk.agent);
        }
        if talk.answered {
            floor.figures.talking -= 1;
        } else if !why.is_empty() {
            *floor.figures.failures.entry(why.to_owned()).or_insert(0) += 1;
        }
        if talk.leg.is_open {
            self.media(Order::Close(talk.leg.flow));
        }
        if let (Some(number), Some(since)) = (talk.caller, talk.confirmed.filter(|since| now < *since + TALK_MIN)) {
            self.note_unserved(since, number);
        }
        self.look(now);
    }
}
