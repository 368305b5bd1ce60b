//! A call comes in: who is it, which number, may it, where does it lead.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use offhook_sip::siprec::asks_to_record;
use offhook_sip::{Body, BodyFault, Flow, Replaces, Request, SessionId};
use offhook_units::{CallId, PersonRef, Span, Tick};

use super::desk::AtDesk;
use super::diversion::diverted;
use super::identity::presented;
use super::legs::keep_recorded;
use super::placing::{Lead, Origin, RING_FOR, Refusal};
use super::state::{Call, Leg, Presented, Stage, Whose};
use super::{Exchange, Output, Role};
use crate::config::{Answer, Destination};
use crate::event::{CallEvent, Party};

/// What a caller is told to wait when a limit is reached.
pub(super) const RETRY_AFTER: Span = Span::from_s(5);

impl Exchange {
    /// An INVITE outside of every dialog.
    pub(super) fn invited(&mut self, now: Tick, session: SessionId, flow: Flow, request: &Request) {
        if let Err(Refusal { status, mut headers }) = self.take_on(now, session, flow, request) {
            match status {
                503 => {
                    self.counters.refused_by_limit += 1;
                    headers.push(("Retry-After".to_owned(), RETRY_AFTER.as_s().to_string()));
                }
                403 => self.counters.refused_strangers += 1,
                404 => self.counters.refused_unknown_numbers += 1,
                _ => {}
            }
            self.endpoint.refuse(now, session, status, headers);
        }
    }

    /// Makes the call, or gives the answer that refuses it.
    fn take_on(&mut self, now: Tick, session: SessionId, flow: Flow, request: &Request) -> Result<(), Refusal> {
        let server = self.config.recording.siprec_server.clone();
        if let Some(server) = server.filter(|_| asks_to_record(&request.headers)) {
            return self.take_recorded(now, session, flow, request, &server);
        }
        let origin = self.origin(now, flow, request)?;
        if let Some(replaces) = Replaces::of(&request.headers) {
            let replaces = replaces.map_err(|_| 400_u16)?;
            return match &origin {
                Origin::Account(account) => self.take_place(now, session, flow, request, account, &replaces),
                Origin::Trunk(_) | Origin::Visitor(_) => Err(403.into()),
            };
        }
        let mut entrance = None;
        let (dialled, from, lead) = match &origin {
            Origin::Trunk(trunk) => {
                let dialled = self.called(*trunk, request);
                let number = self.config.numbers.get(&dialled).ok_or(404)?;
                let trusted = self.config.trunks[*trunk].trust_identity;
                (dialled, presented(&request.headers, trusted), Lead::Number(number.clone()))
            }
            Origin::Account(account) => {
                let dialled = request.uri.user_decoded().unwrap_or_default().into_owned();
                let from = self.presented_account(account);
                let lead = self.aim(self.lead(&from, Some(account), &dialled)?, &request.uri)?;
                (dialled, from, lead)
            }
            Origin::Visitor(user) => {
                let (at, dialled, from) = self.show_in(user)?;
                let number = self.config.numbers.get(&dialled).ok_or(404)?;
                let lead = Lead::Number(number.clone());
                entrance = Some((user.clone(), at));
                (dialled, from, lead)
            }
        };
        let full = self.refusing || self.calls.len() >= self.config.limits.calls_max;
        if !self.is_emergency(&dialled) && (full || self.drain_by.is_some() || !self.pace.admit(now)) {
            return Err(503.into());
        }
        if !self.is_emergency(&dialled) && self.lacks_recorder(now, &lead) {
            return Err(503.into());
        }
        let (trunk, srtp) = match &origin {
            Origin::Trunk(trunk) => (Some(*trunk), self.trunk_srtp(*trunk)),
            Origin::Account(account) => (None, self.account_srtp(account)),
            Origin::Visitor(_) => (None, None),
        };
        let offer = request.description().map_err(BodyFault::status)?;
        self.may_come_from(now, trunk)?;
        let mut caller = self.make_leg(now, flow, srtp).ok_or(503)?;
        (caller.session, caller.trunk) = (session, trunk);
        self.key_as_offered(&mut caller, offer);
        if let Some(offer) = offer {
            let account = match &origin {
                Origin::Trunk(_) | Origin::Visitor(_) => None,
                Origin::Account(account) => Some(account.as_str()),
            };
            if let Err(fault) = caller.answer(offer, &self.caps_of_caller(trunk, account)) {
                self.ports.give_back(now, caller.port);
                return Err(fault.status().into());
            }
            caller.answer.clone_from(&caller.described);
        }
        self.came_from(now, trunk);
        let answer = match &lead {
            Lead::Number(number) => number.answer,
            Lead::Ways(_) => Answer::AtAgent,
        };
        let sent_on = trunk.and_then(|trunk| diverted(&request.headers, self.config.trunks[trunk].trust_identity));
        let id = self.begin(now, &origin, dialled, from, caller, answer);
        self.was_diverted(now, id, sent_on);
        if let Some((user, at)) = entrance {
            self.went_in(id, &user, at);
        }
        match lead {
            Lead::Number(number) => self.follow_number(now, id, number),
            Lead::Ways(ways) => self.dial(now, id, ways, RING_FOR),
        }
        Ok(())
    }

    /// Goes where a number of ours leads.
    pub(super) fn follow(&mut self, now: Tick, id: CallId, to: Destination) {
        match to {
            Destination::Flow(menu) => self.greet(now, id, menu, 1),
            Destination::Queue(queue) => self.enter_queue(now, id, queue),
            Destination::Echo => self.echo(now, id),
            Destination::Dial { flow, ring_for } => {
                let Some(call) = self.calls.get(&id) else { return };
                let ways = self.way_to_peer(&call.from, &call.number, flow);
                self.dial(now, id, ways, ring_for);
            }
        }
    }

    /// A call is there from now on.
    pub(super) fn begin(
        &mut self,
        now: Tick,
        origin: &Origin,
        number: String,
        from: Presented,
        caller: Leg,
        answer: Answer,
    ) -> CallId {
        let (id, person) = (CallId(self.ids.next()), PersonRef(self.ids.next()));
        let text = match (origin, &from.display) {
            (Origin::Visitor(_), Some(name)) => format!("{name} ({})", from.user),
            _ => from.user.clone(),
        };
        self.outputs.push_back(Output::Person { person, text });
        let (line, account) = match origin {
            Origin::Trunk(trunk) => (Some(*trunk), None),
            Origin::Account(account) => (None, Some(account.clone())),
            Origin::Visitor(_) => (None, None),
        };
        let trunk = line.map(|line| self.config.trunks[line].name.clone());
        let agent = account.as_ref().and_then(|account| self.accounts.get(account).copied());
        let (leg, port, session) = (caller.id, caller.port, caller.session);
        let worker = (id.0 % self.config.media_workers.max(1) as u64) as usize;
        let mut call = new_call(id, now, number.clone(), from, caller, worker);
        (call.trunk, call.caller_agent, call.answer) = (trunk.clone(), agent, answer);
        call.caller_account.clone_from(&account);
        call.placed = account.is_some();
        call.sessions.insert(session);
        self.calls.insert(id, call);
        self.sessions.insert(session, (id, Role::Caller));
        self.open_leg(id, leg, port, Some(Party::Caller), Whose::of(line, agent));
        self.counters.calls += 1;
        if let Some(line) = line {
            self.seat(id, line);
        }
        let (kind, who) = match origin {
            Origin::Trunk(_) => ("trunk", trunk.as_deref()),
            Origin::Account(account) => ("phone", Some(account.as_str())),
            Origin::Visitor(_) => ("visitor", None),
        };
        self.show_leg(id, session, kind, who.unwrap_or_default());
        self.note(now, CallEvent::Began { call: id, number, trunk, caller: person });
        if let Some(account) = account {
            self.note(now, CallEvent::Placed { call: id, account, agent });
        }
        if let Some(agent) = agent {
            self.engage(now, agent, id);
        }
        id
    }

    /// Sends 200 to the caller, once. Without an offer in the INVITE ours goes with it.
    pub(super) fn answer_caller(&mut self, now: Tick, id: CallId) {
        let Some(caps) = self.caller_caps(id) else { return };
        let Some(call) = self.calls.get_mut(&id).filter(|call| !call.answered) else { return };
        call.answered = true;
        let body = call.caller.described().or_else(|| {
            // What was agreed on before needs no offer.
            call.caller.negotiated.is_none().then(|| call.caller.offer(&caps))
        });
        let (session, flow) = (call.caller.session, call.caller.flow);
        let contact = self.contact(flow);
        self.note(now, CallEvent::Answered { call: id });
        self.endpoint.answer(now, session, contact, body);
        self.confirm_dialog(now, id, Party::Caller, session);
    }

    /// What we offer a caller who has offered nothing.
    fn caller_caps(&self, id: CallId) -> Option<offhook_plan::MediaCaps> {
        let call = self.calls.get(&id)?;
        let mut caps = self.caps_of_caller(call.caller.trunk, call.caller_account.as_deref());
        keep_recorded(&mut caps);
        Some(caps)
    }

    /// Opens the caller's ear before the answer: where the INVITE has an offer, or where ours reaches the caller reliably
    /// (RFC 3262 section 5).
    pub(super) fn early_media(&mut self, now: Tick, id: CallId) {
        let Some(caps) = self.caller_caps(id) else { return };
        let Some(call) = self.calls.get_mut(&id).filter(|call| !call.answered) else { return };
        let session = call.caller.session;
        let may_offer = call.caller.negotiated.is_none() && self.endpoint.is_reliable(session);
        let body = call.caller.described().or_else(|| may_offer.then(|| call.caller.offer(&caps)));
        let status = if body.is_some() || call.caller.negotiated.is_some() { 183 } else { 180 };
        self.endpoint.progress(now, session, status, body);
    }

    /// The peer's ACK, or its PRACK: it carries the answer where our response carried the offer.
    pub(super) fn confirmed(&mut self, now: Tick, session: SessionId, body: Option<&Body>) {
        let Some(&(id, role)) = self.sessions.get(&session) else { return };
        if role == Role::Recorder {
            return self.recorder_answered(now, id, session, body);
        }
        let awaited = self.leg_of(id, session).is_some_and(|leg| leg.offered.is_some());
        match body {
            Some(body) if awaited => self.reoffer_confirmed(now, session, body),
            None if awaited => self.end_call(now, id, crate::record::CallEnd::Failed, Some("SIP;cause=488")),
            Some(_) | None => {}
        }
    }
}

/// A call that nothing has happened to yet.
pub(super) fn new_call(id: CallId, now: Tick, number: String, from: Presented, caller: Leg, worker: usize) -> Call {
    Call {
        id,
        started: now,
        number,
        trunk: None,
        caller_agent: None,
        caller_account: None,
        entrance: None,
        charged: Vec::new(),
        seats: Vec::new(),
        from,
        diverted: None,
        answer: Answer::AtAgent,
        caller,
        answered: false,
        ringing: BTreeMap::new(),
        other: None,
        stage: Stage::Dialling { ways: VecDeque::new(), ringback: None },
        since: now,
        contact: None,
        queue: None,
        queued_at: None,
        guests: Vec::new(),
        desk: AtDesk::default(),
        transfer: None,
        transfers: 0,
        sent_on: 0,
        dropped: 0,
        asked_back: None,
        calling_back: None,
        recording: None,
        outside: None,
        taken: None,
        pause: None,
        pauses: 0,
        wanted: false,
        asked_consent: false,
        consents: false,
        number_rule: None,
        placed: false,
        worker,
        generation: 0,
        applied: 0,
        plan: None,
        open_legs: BTreeMap::new(),
        end: None,
        sessions: BTreeSet::new(),
    }
}
