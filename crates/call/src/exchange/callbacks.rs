//! Callbacks in a queue: a caller leaves, the place stays. When its turn comes the agent is rung first, then the customer
//! (docs/decisions/0084).
//!
//! Each call of a callback has the customer in the caller's seat from the beginning, so that offers, talk, hold and recording are
//! those of any queue call.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use offhook_acd::{Channel, Command, FlowOut, Left};
use offhook_sip::{Body, SessionId};
use offhook_units::{CallId, ContactId, PersonRef, QueueId, Span, Tick, VisitId};

use super::placing::Lead;
use super::state::{Leg, Other, Presented, Stage, Way};
use super::{Exchange, Output, Role};
use crate::callback::{CALLBACKS_MAX, Callback, CallbackEnd, CallbackEvent, Callbacks};
use crate::config::{CallbackRules, NumberFormat};
use crate::event::{CallEvent, LogEvent, Party};
use crate::numbering::bare;
use crate::record::CallEnd;
use crate::timers::Kind;
use crate::view::CallbackView;

/// Most callbacks that are roused in one turn; at the opening of an office many are due at once, and calls go before them.
const ROUSED_AT_ONCE: usize = 64;

/// A callback whose account has no line, or for which the exchange has no room, waits so long before it is offered again.
const LINE_FREE_AGAIN: Span = Span::from_s(30);

/// What an exchange knows of its callbacks beside what the log tells.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub open: Callbacks,
    by_number: BTreeMap<(QueueId, String), ContactId>,
    due: BTreeMap<ContactId, Tick>,
    dues: BTreeSet<(Tick, ContactId)>,
}

impl Book {
    pub fn new(open: Callbacks) -> Self {
        Self { open, ..Self::default() }
    }

    fn arm(&mut self, contact: ContactId, at: Tick) {
        self.disarm(contact);
        self.due.insert(contact, at);
        self.dues.insert((at, contact));
    }

    fn disarm(&mut self, contact: ContactId) {
        if let Some(at) = self.due.remove(&contact) {
            self.dues.remove(&(at, contact));
        }
    }

    /// When something is to be done next.
    pub fn wake(&self) -> Option<Tick> {
        self.dues.first().map(|(at, _)| *at)
    }
}

impl Exchange {
    /// Where a caller of a queue would be called back: a number outside that the queue's account may call.
    pub(super) fn callback_number(&self, id: CallId, queue: QueueId) -> Option<String> {
        let call = self.calls.get(&id).filter(|call| call.calling_back.is_none())?;
        let rules = self.queue(queue)?.ways.callback.as_ref()?;
        let trunk = &self.config.trunks[call.caller.trunk?];
        let numbering = trunk.numbering.as_ref().or(self.config.numbering.as_ref());
        let read = numbering.filter(|_| trunk.format != NumberFormat::AsDialled);
        let number = read.and_then(|numbering| numbering.read(&call.from.user, trunk.format));
        let number = number.unwrap_or_else(|| bare(&call.from.user));
        self.may_call(&rules.account, &call.from, &number).then_some(number)
    }

    /// The number where one more callback may be asked for: there is room, and the customer is not being called just now.
    pub(super) fn may_ask_back(&self, id: CallId) -> Option<String> {
        let queue = self.calls.get(&id)?.queue?;
        let number = self.callback_number(id, queue).filter(|_| !self.leaving.has_queue(queue))?;
        let known = self.callbacks.by_number.get(&(queue, number.clone()));
        let is_called = known.is_some_and(|contact| self.contacts.contains_key(contact));
        (!is_called && self.callbacks.open.len() < CALLBACKS_MAX).then_some(number)
    }

    /// The place of a caller who asked for a callback before, and now waits in that queue again: the callback is over.
    pub(super) fn place_of_callback(&mut self, now: Tick, id: CallId, queue: QueueId) -> Option<Tick> {
        if self.callbacks.by_number.is_empty() || self.acd.may_enter(queue).is_err() {
            return None;
        }
        let number = self.callback_number(id, queue)?;
        self.take_place_of(now, queue, &number)
    }

    /// A waiting caller asked to be called back: the place stays, the caller goes.
    pub(super) fn ask_back(&mut self, now: Tick, id: CallId, number: String) {
        let Some(call) = self.calls.get(&id) else { return };
        let (Some(queue), place_at, dialled) = (call.queue, call.queued_at.unwrap_or(now), call.number.clone()) else {
            return;
        };
        let Some(rules) = self.rules_of(queue) else { return };
        // Who asks twice has one callback, with the older place.
        let (place_at, words) = (self.take_place_of(now, queue, &number).unwrap_or(place_at), rules.confirm.clone());
        let (contact, person) = (ContactId(self.ids.next()), PersonRef(self.ids.next()));
        self.leave_queue(now, id, Left::FlowedOut(FlowOut::Callback));
        self.outputs.push_back(Output::Person { person, text: number.clone() });
        let until = now + rules.valid_for;
        self.note_callback(
            now,
            CallbackEvent::Asked { contact, call: id, queue, person, number: dialled, place_at, until },
        );
        self.callbacks.open.tell(person, &number);
        self.callbacks.by_number.insert((queue, number), contact);
        self.arm_rest(contact);
        if let Some(call) = self.calls.get_mut(&id) {
            call.asked_back = Some(contact);
        }
        self.say_and_end(now, id, words, CallEnd::CallbackAsked, 480);
    }

    fn rules_of(&self, queue: QueueId) -> Option<CallbackRules> {
        self.queue(queue)?.ways.callback.clone()
    }

    fn note_callback(&mut self, now: Tick, event: CallbackEvent) {
        let (CallbackEvent::Asked { contact, .. }
        | CallbackEvent::Rests { contact, .. }
        | CallbackEvent::Ended { contact, .. }) = &event;
        let before = self.callbacks.open.get(*contact).map(|callback| callback.queue);
        self.callbacks.open.apply(now, &event);
        let after = self.callbacks.open.get(*contact).map(|callback| callback.queue);
        self.changed.queues.extend(before.or(after));
        match &event {
            CallbackEvent::Asked { .. } => self.counters.callbacks_asked += 1,
            CallbackEvent::Rests { tried, .. } => self.counters.callbacks_tried += u64::from(*tried),
            CallbackEvent::Ended { how, .. } => {
                *self.counters.callbacks_ended.entry(how.name()).or_default() += 1;
            }
        }
        self.log(now, LogEvent::Callback(event));
    }

    fn arm_rest(&mut self, contact: ContactId) {
        if let Some(callback) = self.callbacks.open.get(contact) {
            let at = callback.rests_until.min(callback.until);
            self.callbacks.arm(contact, at);
        }
    }

    /// It is over; whatever of it waits leaves the queue.
    fn end_callback(&mut self, now: Tick, contact: ContactId, how: CallbackEnd) {
        let Some(callback) = self.callbacks.open.get(contact) else { return };
        if let Some(to) = callback.to.clone() {
            self.callbacks.by_number.remove(&(callback.queue, to));
        }
        self.callbacks.disarm(contact);
        let flow = match how {
            CallbackEnd::CalledAgain => FlowOut::Requeued,
            CallbackEnd::Reached | CallbackEnd::GivenUp | CallbackEnd::Expired => FlowOut::TimedOut,
            CallbackEnd::Withdrawn | CallbackEnd::Lost => FlowOut::Lost,
        };
        self.note_callback(now, CallbackEvent::Ended { contact, how });
        // Refused where it does not wait just now.
        let _rests = self.tell(now, Command::Leave { contact, outcome: Left::FlowedOut(flow) });
    }

    /// It leaves the queue for a while; the customer was not tried.
    fn rest_callback(&mut self, now: Tick, contact: ContactId, until: Tick) {
        self.note_callback(now, CallbackEvent::Rests { contact, until, tried: false });
        self.arm_rest(contact);
        // Refused where it does not wait just now.
        let _rests = self.tell(now, Command::Leave { contact, outcome: Left::FlowedOut(FlowOut::Callback) });
    }

    /// Its time has come: it waits again, rests on, or is over.
    fn rouse_callback(&mut self, now: Tick, contact: ContactId) {
        let Some(callback) = self.callbacks.open.get(contact) else { return };
        let (queue, place_at, until) = (callback.queue, callback.place_at, callback.until);
        let Some(rules) = self.rules_of(queue).filter(|_| callback.to.is_some()) else {
            return self.end_callback(now, contact, CallbackEnd::Lost);
        };
        if now >= until {
            return self.end_callback(now, contact, CallbackEnd::Expired);
        }
        let opening = rules.window.and_then(|at| self.config.calendars.get(at)).map(|hours| hours.opening(now));
        if let Some(closed) = opening.filter(|opening| !opening.open) {
            return self.rest_callback(now, contact, closed.until.unwrap_or(until));
        }
        let visit = VisitId(self.ids.next());
        let (channel, place_at) = (Channel::Voice, Some(place_at));
        let (priority, needs, prefers) = (0, Vec::new(), None);
        let enter = Command::Enter { contact, visit, queue, channel, priority, place_at, needs, prefers };
        let waits = self.acd.waiting_in(contact).is_some();
        if !waits && self.tell(now, enter).is_err() {
            // No room, or nobody there.
            return self.rest_callback(now, contact, now + rules.retry_after);
        }
        // Not refused: it waits. Taken by an agent, it is answered only once the customer is there.
        let _waits = self.tell(now, Command::MustReach { contact });
        let closes = opening.and_then(|opening| opening.until);
        self.callbacks.arm(contact, closes.unwrap_or(until).min(until));
    }

    /// What is due, oldest first; the rest has its turn at once, behind what else comes in.
    pub(super) fn fire_callbacks(&mut self, now: Tick) {
        for _ in 0..ROUSED_AT_ONCE {
            let Some(&(_, contact)) = self.callbacks.dues.first().filter(|(at, _)| *at <= now) else { return };
            self.callbacks.disarm(contact);
            // While a call of it goes on, the end of that call says how it goes on.
            if !self.contacts.contains_key(&contact) {
                self.rouse_callback(now, contact);
            }
        }
    }

    /// After a start: what rests is armed, what waits goes on waiting, and what was under way is tried again later.
    pub(super) fn resume_callbacks(&mut self, now: Tick) {
        let open: Vec<_> = self.callbacks.open.iter().map(|(contact, callback)| (contact, callback.clone())).collect();
        for (contact, callback) in open {
            if let Some(to) = callback.to {
                self.callbacks.by_number.insert((callback.queue, to), contact);
            }
            if self.acd.waiting_in(contact).is_some() {
                self.rouse_callback(now, contact);
            } else {
                self.arm_rest(contact);
            }
        }
    }

    /// The place of a callback whose customer waits again; the callback is over. None where that customer is being called.
    pub(super) fn take_place_of(&mut self, now: Tick, queue: QueueId, number: &str) -> Option<Tick> {
        let contact = *self.callbacks.by_number.get(&(queue, number.to_owned()))?;
        let place_at = self.callbacks.open.get(contact)?.place_at;
        if self.contacts.contains_key(&contact) {
            return None;
        }
        self.end_callback(now, contact, CallbackEnd::CalledAgain);
        Some(place_at)
    }

    /// Takes a callback back, unless its customer is being called.
    pub(super) fn withdraw_callback(&mut self, now: Tick, contact: ContactId) {
        if !self.contacts.contains_key(&contact) {
            self.end_callback(now, contact, CallbackEnd::Withdrawn);
        }
    }

    /// A contact is offered: if it is a callback without a call yet, that call is made. False where it cannot be.
    pub(super) fn offered_callback(&mut self, now: Tick, contact: ContactId) -> bool {
        if !self.callbacks.open.has(contact) || self.contacts.contains_key(&contact) {
            return true;
        }
        let Some(callback) = self.callbacks.open.get(contact).cloned() else { return true };
        let Some(rules) = self.rules_of(callback.queue).filter(|_| callback.to.is_some()) else {
            self.end_callback(now, contact, CallbackEnd::Lost);
            return false;
        };
        let full = self.refusing || self.drain_by.is_some() || self.calls.len() >= self.config.limits.calls_max;
        let shown = Presented { display: None, user: callback.number.clone() };
        let has_line = self.could_spend(now, &rules.account)
            && self.lead(&shown, Some(&rules.account), callback.to.as_deref().unwrap_or_default()).is_ok();
        if full || !has_line {
            // No fault of the agent's: the offer is withdrawn with the contact.
            self.rest_callback(now, contact, now + LINE_FREE_AGAIN);
            return false;
        }
        self.begin_callback(now, contact, callback);
        true
    }

    fn begin_callback(&mut self, now: Tick, contact: ContactId, callback: Callback) {
        let id = CallId(self.ids.next());
        let Callback { number, person, queue, to, place_at, call: asked, .. } = callback;
        let music = self.playing(Vec::new());
        let worker = (id.0 % self.config.media_workers.max(1) as u64) as usize;
        let from = Presented { display: None, user: to.unwrap_or_default() };
        let mut call = super::incoming::new_call(id, now, number.clone(), from, Leg::absent(), worker);
        (call.answered, call.calling_back, call.queue, call.queued_at) =
            (true, Some(contact), Some(queue), Some(place_at));
        call.stage = Stage::Queued { music, announcement: None };
        self.calls.insert(id, call);
        self.contacts.insert(contact, id);
        self.counters.calls += 1;
        self.note(now, CallEvent::Began { call: id, number, trunk: None, caller: person });
        self.note(now, CallEvent::CalledBack { call: id, asked, contact, queue });
    }

    /// No phone rings any more for a callback that nobody has taken: its call ends, and the contact waits on.
    pub(super) fn end_idle_callback(&mut self, now: Tick, id: CallId) {
        let is_idle = |call: &super::state::Call| {
            call.calling_back.is_some()
                && call.ringing.is_empty()
                && call.other.is_none()
                && matches!(call.stage, Stage::Queued { .. })
        };
        if self.calls.get(&id).is_some_and(|call| is_idle(call) && call.end.is_none()) {
            self.end_call(now, id, CallEnd::NotReached, None);
        }
    }

    /// The agent is there: now the customer is rung.
    pub(super) fn agent_is_ready(&mut self, now: Tick, id: CallId, other: Other) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (Some(contact), from) = (call.calling_back, call.from.user.clone()) else { return };
        if let Some(open) = call.open_legs.get_mut(&other.leg.id) {
            open.party = Some(Party::Agent);
        }
        (call.other, call.contact) = (Some(other), Some(contact));
        let shown = Presented { display: None, user: call.number.clone() };
        let queue = call.queue;
        let Some(rules) = queue.and_then(|queue| self.rules_of(queue)) else {
            return self.end_call(now, id, CallEnd::Failed, None);
        };
        self.note_callback(now, CallbackEvent::Rests { contact, until: now + LINE_FREE_AGAIN, tried: false });
        let ways = match self.lead(&shown, Some(&rules.account), &from) {
            Ok(Lead::Ways(ways)) => ways,
            Ok(Lead::Number(_)) | Err(_) => VecDeque::new(),
        };
        let music = self.music_for(id);
        let music = self.playing(music);
        self.enter(now, id, Stage::CallingBack { ways, music, early: false, tried: false });
        self.timers.arm(id, Kind::Ring, now + rules.ring_for);
        self.ring_customer(now, id);
    }

    /// Rings the customer over the next way; the call ends where none is left.
    fn ring_customer(&mut self, now: Tick, id: CallId) {
        while let Some(way) = self.next_way_back(id) {
            let Some(customer) = self.ring_way(now, id, way, Role::Customer) else { continue };
            let trunk = customer.leg.trunk.map(|trunk| self.config.trunks[trunk].name.clone());
            if let Some(call) = self.calls.get_mut(&id) {
                call.caller = customer.leg;
            }
            self.count_attempt(now, id);
            self.note(now, CallEvent::Dialled { call: id, trunk, agent: None });
            self.timers.arm(id, Kind::Failover, now + super::dial::TRUNK_SILENT);
            return self.replan(now, id);
        }
        self.end_call(now, id, CallEnd::NotReached, Some("SIP;cause=480"));
    }

    /// The customer's phone is called for the first time in this call.
    fn count_attempt(&mut self, now: Tick, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (Some(contact), queue) = (call.calling_back, call.queue) else { return };
        let Stage::CallingBack { tried, .. } = &mut call.stage else { return };
        if !core::mem::replace(tried, true)
            && let Some(rules) = queue.and_then(|queue| self.rules_of(queue))
        {
            self.note_callback(now, CallbackEvent::Rests { contact, until: now + rules.retry_after, tried: true });
        }
    }

    fn next_way_back(&mut self, id: CallId) -> Option<Way> {
        match &mut self.calls.get_mut(&id)?.stage {
            Stage::CallingBack { ways, .. } => ways.pop_front(),
            Stage::Echo
            | Stage::Taken
            | Stage::Greeting { .. }
            | Stage::Queued { .. }
            | Stage::Dialling { .. }
            | Stage::Talking { .. }
            | Stage::Message { .. }
            | Stage::Ending => None,
        }
    }

    pub(super) fn is_calling_back(&self, id: CallId) -> bool {
        self.calls.get(&id).is_some_and(|call| matches!(call.stage, Stage::CallingBack { .. }))
    }

    /// The customer's phone rings, or its network speaks.
    pub(super) fn customer_progressed(&mut self, now: Tick, id: CallId, body: Option<&Body>) {
        let caps = self.config.caps.clone();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let heard = body.is_some_and(|body| call.caller.preview(body, &caps).is_ok());
        if let Stage::CallingBack { early, .. } = &mut call.stage {
            *early |= heard;
        }
        self.replan(now, id);
    }

    /// The customer is there: the two talk.
    pub(super) fn customer_answered(&mut self, now: Tick, id: CallId, session: SessionId, body: Option<&Body>) {
        let caps = self.config.caps.clone();
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.caller.session == session) else {
            return self.endpoint.hang_up(now, session, None);
        };
        let Stage::CallingBack { music, .. } = &call.stage else {
            return self.endpoint.hang_up(now, session, None);
        };
        let hold_music = music.clone();
        let agreed = call.caller.settle(body, &caps);
        let (trunk, leg) = (call.caller.trunk, call.caller.id);
        let contact = if agreed { call.calling_back.take() } else { None };
        let agent = call.other.as_ref().and_then(|other| other.agent);
        if let Some(other) = &mut call.other {
            // What the agent said while the customer was rung is not the customer's to hear.
            other.early_media = true;
        }
        if let Some(open) = call.open_legs.get_mut(&leg) {
            open.party = Some(Party::Caller);
        }
        self.sessions.insert(session, (id, Role::Caller));
        self.count_answered(trunk);
        self.note(now, CallEvent::Answered { call: id });
        self.confirm_dialog(now, id, Party::Caller, session);
        if !agreed {
            return self.end_call(now, id, CallEnd::Failed, Some("SIP;cause=488"));
        }
        self.timers.disarm(id, Kind::Ring);
        self.timers.disarm(id, Kind::Failover);
        if let Some(contact) = contact {
            // Not refused: an agent has it.
            let _served = self.tell(now, Command::Reached { contact });
            self.end_callback(now, contact, CallbackEnd::Reached);
        }
        self.note(now, CallEvent::Connected { call: id, agent });
        let talking = Stage::Talking { connected: now, hold_music, held_by_caller: false, held_by_other: false };
        self.enter(now, id, talking);
        self.replan(now, id);
    }

    /// The customer, or a trunk on the way, said no: the next way, or the end of this attempt.
    pub(super) fn customer_refused(&mut self, now: Tick, id: CallId, session: SessionId, status: u16) {
        let Some(call) = self.calls.get(&id).filter(|call| call.caller.session == session) else { return };
        let (trunk, flow) = (call.caller.trunk, call.caller.flow);
        self.went_wrong(now, id, trunk, flow, status);
        self.part_with_customer(now, id);
        if status == 408 || (500..600).contains(&status) {
            self.ring_customer(now, id);
        } else {
            self.end_call(now, id, CallEnd::NotReached, Some("SIP;cause=480"));
        }
    }

    /// Nothing came back from the trunk: the next one, where there is one.
    pub(super) fn customer_unheard(&mut self, now: Tick, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let has_next = matches!(&call.stage, Stage::CallingBack { ways, .. } if !ways.is_empty());
        if has_next && self.endpoint.is_unheard(call.caller.session) {
            let session = call.caller.session;
            self.customer_refused(now, id, session, 503);
        }
    }

    fn part_with_customer(&mut self, now: Tick, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let leg = core::mem::replace(&mut call.caller, Leg::absent());
        self.dismiss(now, id, &Other { agent: None, leg, early_media: false }, None);
    }

    /// A call is over: a caller who asked is gone and can be called; an attempt that reached nobody is followed by the next.
    pub(super) fn settle_callback(&mut self, now: Tick, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (asked, calling) = (call.asked_back.take(), call.calling_back.take());
        if let Some(contact) = asked {
            self.rouse_callback(now, contact);
        }
        let Some(contact) = calling else { return };
        if self.contacts.get(&contact) == Some(&id) {
            self.contacts.remove(&contact);
        }
        let Some(callback) = self.callbacks.open.get(contact) else { return };
        let attempts = self.rules_of(callback.queue).map_or(0, |rules| rules.attempts);
        if self.acd.waiting_in(contact).is_some() {
            // No agent took it: it waits as before.
            self.rouse_callback(now, contact);
        } else if callback.tried >= attempts {
            self.end_callback(now, contact, CallbackEnd::GivenUp);
        } else {
            self.arm_rest(contact);
        }
    }

    /// Callbacks that are open, of at most [`CALLBACKS_MAX`].
    pub fn callbacks_open(&self) -> usize {
        self.callbacks.open.len()
    }

    /// Whether a callback is open.
    pub fn has_callback(&self, callback: ContactId) -> bool {
        self.callbacks.open.has(callback)
    }

    /// All callbacks that are open, oldest first.
    pub fn callbacks(&self) -> Vec<CallbackView> {
        let view = |(contact, callback): (ContactId, &Callback)| {
            let Callback { call, queue, asked_at, until, tried, rests_until, to, .. } = callback;
            let waits = self.acd.waiting_in(contact).is_some() || self.contacts.contains_key(&contact);
            CallbackView {
                id: contact,
                call: *call,
                queue: self.queue(*queue).map(|queue| queue.acd.name.clone()).unwrap_or_default(),
                number: to.clone(),
                asked: *asked_at,
                until: *until,
                tried: *tried,
                rests_until: (!waits).then_some(*rests_until),
                position: self.acd.position(contact),
            }
        };
        self.callbacks.open.iter().map(view).collect()
    }

    /// How many callbacks of a queue are open.
    pub(super) fn callbacks_of(&self, queue: QueueId) -> u32 {
        let of_queue = self.callbacks.by_number.range((queue, String::new())..);
        u32::try_from(of_queue.take_while(|((of, _), _)| *of == queue).count()).unwrap_or(u32::MAX)
    }
}
