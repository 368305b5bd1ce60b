//! The user agent server: requests from others, and the program's answers to their INVITEs.

use core::net::IpAddr;

use offhook_units::Tick;

use super::event::{EndCause, Event, RequestId, SessionId};
use super::key::Key;
use super::reliable::Reliable;
use super::session::{AckMeaning, Change, Farewell, Phase, Session, Unacked};
use super::{Endpoint, METHODS, body_of, description_of};
use crate::dialog::Dialog;
use crate::reason::reason_of;
use crate::siprec::{OPTION, Part, asks_to_record};
use crate::transaction::{SessionTimer, TimerKey};
use crate::{Body, Flow, Method, Request, Via};

impl Endpoint {
    pub(super) fn receive_request(&mut self, now: Tick, flow: Flow, mut request: Request) {
        let Ok(via) = request.headers.top_via() else {
            self.load.strays_total += 1;
            return;
        };
        let key = self.keys.transaction(&request, &via, &request.method);
        let running = self.server_of(key);
        if request.method == Method::Ack {
            match running {
                Some(id) => self.ack_to_server(now, id, request),
                None => self.receive_session_ack(now, &request),
            }
            return;
        }
        if let Some(id) = running {
            return self.request_again(now, id);
        }
        note_source(flow, &mut request, via.clone());
        if request.method == Method::Cancel {
            return self.receive_cancel(now, flow, &request, &via);
        }
        if !request.headers.cseq().is_ok_and(|(_, method)| method == request.method) {
            return self.reject(flow, &request, 400, &[]);
        }
        // Requests within dialogs go over the limit by one for each session, so that a full endpoint can empty itself.
        let is_inside = request.headers.to_tag().is_some();
        let reserve = if is_inside { self.config.sessions_max } else { 0 };
        if self.transactions() >= self.config.transactions_max.saturating_add(reserve) {
            return self.reject_full(flow, &request);
        }
        if is_inside {
            self.receive_inside(now, flow, key, &request);
        } else {
            self.receive_outside(now, flow, key, &via, request);
        }
    }

    fn reject_full(&mut self, flow: Flow, request: &Request) {
        self.load.full_total += 1;
        let after = self.config.retry_after.as_s().to_string();
        self.reject(flow, request, 503, &[("Retry-After", &after)]);
    }

    /// RFC 3261 section 8.2 in its order: method, headers, content; then what the request is for.
    fn receive_outside(&mut self, now: Tick, flow: Flow, key: Key, via: &Via, request: Request) {
        let method = &request.method;
        let is_invite = *method == Method::Invite;
        let is_the_programs = self.config.methods.contains(method);
        if METHODS.contains(method) && !is_invite && !is_the_programs {
            // BYE, INFO, UPDATE, REFER, NOTIFY and PRACK live within dialogs only.
            return self.reject(flow, &request, 481, &[]);
        }
        if !is_invite && !is_the_programs {
            let allow = self.allow.clone();
            return self.reject(flow, &request, 405, &[("Allow", &allow)]);
        }
        if let Some(unknown) = self.required(&request) {
            return self.reject(flow, &request, 420, &[("Unsupported", &unknown)]);
        }
        if *method != Method::Options && request.headers.max_forwards() == Ok(Some(0)) {
            return self.reject(flow, &request, 483, &[]);
        }
        if self.is_merged(&request) {
            return self.reject(flow, &request, 482, &[]);
        }
        if is_invite {
            return self.receive_invite(now, flow, key, via, request);
        }
        let tag = self.tag();
        let id = self.open_server(now, flow, key, &request, &tag, None);
        self.emit(Event::Request { id: RequestId(id), flow, request: Box::new(request) });
    }

    fn receive_invite(&mut self, now: Tick, flow: Flow, key: Key, via: &Via, request: Request) {
        if let Err(fault) = request.description() {
            return self.reject(flow, &request, fault.status(), fault.headers());
        }
        if self.sessions.len() >= self.config.sessions_max {
            return self.reject_full(flow, &request);
        }
        if self.shedding {
            self.load.shed_total += 1;
            let after = self.config.retry_after.as_s().to_string();
            return self.reject(flow, &request, 503, &[("Retry-After", &after)]);
        }
        let expiry = match self.settle_expiry(&request, None) {
            Ok(expiry) => expiry,
            Err(min) => return self.reject(flow, &request, 422, &[("Min-SE", &min)]),
        };
        let tag = self.tag();
        let Some(mut dialog) = Dialog::incoming(&request, via, flow, &tag) else {
            return self.reject(flow, &request, 400, &[]);
        };
        dialog.records = (self.config.siprec && asks_to_record(&request.headers)).then_some(Part::Recorder);
        let session = SessionId(self.next_id());
        let tx = self.open_server(now, flow, key, &request, &tag, Some(session));
        let updates = request.headers.lists("Allow", "UPDATE");
        let reliable = Reliable::of(&request, self.entropy.next_u32());
        let new = Session::new(Phase::Ringing { tx }, dialog, None);
        self.insert_session(session, Session { expiry, updates, reliable, ..new });
        self.reply(now, tx, 100, |_| {});
        self.emit(Event::Invited { session, flow, request: Box::new(request) });
    }

    /// RFC 3261 section 9.2. The CANCEL itself is answered without state: each one that comes again gets 200 again.
    fn receive_cancel(&mut self, now: Tick, flow: Flow, request: &Request, via: &Via) {
        let Some(invite) = self.server_of(self.keys.transaction(request, via, &Method::Invite)) else {
            self.load.strays_total += 1;
            return self.reject(flow, request, 481, &[]);
        };
        self.accept_cancel(flow, request, invite);
        let Some((id, session)) = self.session_of_server(invite) else { return };
        if matches!(session.phase, Phase::Ringing { tx } | Phase::Answering { tx, .. } if tx == invite) {
            self.give_up(now, id, invite, reason_of(&request.headers));
        } else if matches!(session.change, Change::Received { tx, .. } if tx == invite) {
            self.refuse_change(now, id, 487);
        }
    }

    /// The caller wants no final response any more. Who had answered already hears that the peer hung up.
    fn give_up(&mut self, now: Tick, id: SessionId, tx: u64, reason: Option<String>) {
        self.reply(now, tx, 487, |_| {});
        if self.sessions.get(&id).is_some_and(|session| matches!(session.phase, Phase::Answering { .. })) {
            return self.end(now, id, EndCause::PeerBye { reason }, Farewell::Nothing);
        }
        self.drop_early(now, id);
        self.emit(Event::Cancelled { session: id, reason });
    }

    /// A session goes whose INVITE has its final response, and with it what it had still to answer (RFC 3261 section 15.1.2).
    pub(super) fn drop_early(&mut self, now: Tick, id: SessionId) {
        if let Some(Change::Received { tx, .. }) = self.sessions.get(&id).map(|session| &session.change) {
            let tx = *tx;
            self.reply(now, tx, 487, |_| {});
        }
        self.remove_session(id);
    }

    fn receive_inside(&mut self, now: Tick, flow: Flow, key: Key, request: &Request) {
        if request.method == Method::Subscribe && self.receive_resubscribe(now, flow, key, request) {
            return;
        }
        if request.method == Method::Notify && self.receive_watched(now, flow, key, request) {
            return;
        }
        let Some((id, session)) = self.session_mut(request) else {
            return self.reject(flow, request, 481, &[]);
        };
        let method = &request.method;
        if session.phase == Phase::Over && *method != Method::Bye {
            return self.reject(flow, request, 481, &[]);
        }
        let in_order = request.headers.cseq().is_ok_and(|(number, _)| session.dialog.take_cseq(number));
        if !in_order {
            return self.reject(flow, request, 500, &[]);
        }
        if let Some(unknown) = self.required(request) {
            return self.reject(flow, request, 420, &[("Unsupported", &unknown)]);
        }
        let open = |endpoint: &mut Self| endpoint.open_server(now, flow, key, request, "", Some(id));
        match method {
            Method::Bye => {
                let tx = open(self);
                self.receive_bye(now, id, tx, request);
            }
            Method::Info => {
                let tx = open(self);
                self.reply(now, tx, 200, |_| {});
                self.emit(Event::Info { session: id, body: body_of(&request.headers, &request.body) });
            }
            Method::Options => {
                let (tx, allow) = (open(self), self.allow.clone());
                self.reply(now, tx, 200, |response| {
                    response.headers.push("Allow", &allow);
                    response.headers.push("Accept", Body::ACCEPTED);
                });
            }
            Method::Invite | Method::Update => {
                if let Err(fault) = request.description() {
                    return self.reject(flow, request, fault.status(), fault.headers());
                }
                let tx = open(self);
                self.receive_change(now, id, tx, request);
            }
            Method::Refer => {
                let tx = open(self);
                self.receive_refer(now, id, tx, request);
            }
            Method::Notify => {
                let tx = open(self);
                self.receive_notify(now, id, tx, request);
            }
            Method::Prack => {
                if let Err(status) = self.judge_prack(id, request) {
                    return self.reject_prack(flow, request, status);
                }
                let tx = open(self);
                self.receive_prack(now, id, tx, request);
            }
            Method::Message if self.config.methods.contains(method) => {
                let tx = open(self);
                self.receive_message(id, tx, request);
            }
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Subscribe
            | Method::Message
            | Method::Publish
            | Method::Other(_) => {
                let allow = self.allow.clone();
                self.reject(flow, request, 405, &[("Allow", &allow)]);
            }
        }
    }

    /// RFC 3261 section 15.1.2: 200, and 487 to whatever INVITE still waits.
    fn receive_bye(&mut self, now: Tick, id: SessionId, tx: u64, request: &Request) {
        self.reply(now, tx, 200, |_| {});
        let reason = reason_of(&request.headers);
        let Some(session) = self.sessions.get(&id) else { return };
        match session.phase.clone() {
            Phase::Ringing { tx } | Phase::Answering { tx, .. } => self.give_up(now, id, tx, reason),
            // Both hung up at once: ours is answered by 200 or 481, and the session goes with that. A BYE before our INVITE is
            // answered is none that the peer may send (section 15): the INVITE decides.
            Phase::Over | Phase::Calling { .. } | Phase::Proceeding { .. } | Phase::Cancelling { .. } => {}
            Phase::HangingUp { .. } => self.end(now, id, EndCause::Hungup, Farewell::Nothing),
            Phase::Confirmed => self.end(now, id, EndCause::PeerBye { reason }, Farewell::Nothing),
        }
    }

    /// ACK to our 2xx, RFC 3261 section 13.3.1.4. One that belongs to nothing is dropped.
    pub(super) fn receive_session_ack(&mut self, now: Tick, ack: &Request) {
        let cseq = ack.headers.cseq().map_or(0, |(number, _)| number);
        let Some((id, session)) = self.session_mut(ack) else {
            self.load.strays_total += 1;
            return;
        };
        let Some(unacked) = session.unacked.take_if(|unacked| unacked.cseq == cseq) else { return };
        let phase = session.phase.clone();
        if let Some(session) = self.sessions.get_mut(&id) {
            self.timers.stop(&mut session.alarms, TimerKey::Session(id, SessionTimer::Unacked));
        }
        if let Phase::HangingUp { reason } = phase {
            return self.end(now, id, EndCause::Hungup, Farewell::Bye(reason));
        }
        let body = description_of(&ack.headers, &ack.body);
        match unacked.meaning {
            AckMeaning::Confirmed => self.emit(Event::Confirmed { session: id, body }),
            AckMeaning::Answer => self.emit(Event::ReofferAnswered { session: id, body }),
            AckMeaning::Nothing => {}
        }
        self.reoffer_if_wanted(now, id);
    }

    /// A 2xx to an INVITE, repeated by a timer of the session's.
    pub(super) fn send_success(&mut self, now: Tick, id: SessionId, tx: u64, meaning: AckMeaning, body: Option<Body>) {
        let Some(template) = self.waiting_template(tx) else { return };
        let cseq = template.headers.cseq().map_or(0, |(number, _)| number);
        let (interval, give_up) = (self.times.t1, now + self.times.lifetime());
        if let Some(session) = self.sessions.get_mut(&id) {
            session.unacked = Some(Unacked { tx, cseq, meaning, interval, give_up });
            let key = TimerKey::Session(id, SessionTimer::Unacked);
            self.timers.start(&mut session.alarms, key, now + interval);
        }
        self.reply_success(now, id, tx, body);
    }

    /// A 2xx with what RFC 3261 section 12.1.1 wants in it.
    pub(super) fn reply_success(&mut self, now: Tick, id: SessionId, tx: u64, body: Option<Body>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if body.is_some() {
            session.described.clone_from(&body);
        }
        let (contact, allow) = (session.dialog.contact_header(), self.allow.clone());
        let (supported, expiry) = (self.supported_reliable.clone(), session.expiry);
        if session.phase == Phase::Confirmed {
            self.start_expiry(now, id);
        }
        self.reply(now, tx, 200, |response| {
            response.headers.push("Contact", &contact);
            response.headers.push("Allow", &allow);
            response.headers.push("Supported", &supported);
            if let Some(expiry) = expiry {
                Self::tell_expiry(expiry, &mut response.headers);
            }
            if let Some(body) = body {
                response.set_body(&body.content_type, body.bytes);
            }
        });
    }

    /// Refuses an incoming call (300..=699). The session is over; no event follows.
    pub fn refuse(&mut self, now: Tick, session: SessionId, status: u16, headers: Vec<(String, String)>) {
        let Some(found) = self.sessions.get(&session) else { return };
        let Phase::Ringing { tx } = found.phase else { return };
        let status = if (300..700).contains(&status) { status } else { 500 };
        self.reply(now, tx, status, |response| {
            for (name, value) in headers {
                response.headers.push(&name, &value);
            }
        });
        self.drop_early(now, session);
    }

    /// The ACK to our 2xx has not come yet.
    pub(super) fn unacked_timer(&mut self, now: Tick, id: SessionId) {
        let t2 = self.times.t2;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(unacked) = &mut session.unacked else { return };
        if now >= unacked.give_up {
            let cause = match session.phase {
                Phase::HangingUp { .. } => EndCause::Hungup,
                Phase::Calling { .. }
                | Phase::Proceeding { .. }
                | Phase::Cancelling { .. }
                | Phase::Ringing { .. }
                | Phase::Answering { .. }
                | Phase::Confirmed
                | Phase::Over => EndCause::NoAck,
            };
            // RFC 3261 section 13.3.1.4: the dialog is confirmed, but the session shall be ended.
            return self.end(now, id, cause, Farewell::Bye(None));
        }
        unacked.interval = (unacked.interval * 2).min(t2);
        let (tx, at) = (unacked.tx, (now + unacked.interval).min(unacked.give_up));
        self.timers.start(&mut session.alarms, TimerKey::Session(id, SessionTimer::Unacked), at);
        self.repeat_success(now, tx);
    }

    /// The extensions that a request cannot do without and that we have not: RFC 3261 section 8.2.2.3.
    fn required(&self, request: &Request) -> Option<String> {
        let records = |wanted: &str| self.config.siprec && wanted.eq_ignore_ascii_case(OPTION);
        let ours = |wanted: &str| {
            records(wanted) || self.supported_reliable.split(", ").any(|known| known.eq_ignore_ascii_case(wanted))
        };
        let wanted: Vec<&str> = request.headers.values("Require").filter(|wanted| !ours(wanted)).collect();
        (!wanted.is_empty()).then(|| wanted.join(", "))
    }

    /// The session that a request within a dialog belongs to.
    fn session_mut(&mut self, request: &Request) -> Option<(SessionId, &mut Session)> {
        let id = *self.dialogs.get(request.headers.to_tag()?)?;
        let session = self.sessions.get_mut(&id)?;
        session.dialog.is_of(&request.headers).then_some((id, session))
    }
}

/// Notes in the topmost Via where the request came from, RFC 3261 section 18.2.1 and RFC 3581 section 4.
pub(super) fn note_source(flow: Flow, request: &mut Request, mut via: Via) {
    let asks = via.asks_rport();
    if asks || via.host_ip() != Some(flow.peer.ip()) {
        via.set_received(flow.peer.ip());
        if asks {
            via.set_rport(flow.peer.port());
        }
        request.headers.set_top_via(&via);
    }
}

impl Via {
    /// The sent-by host as an address, where it is one.
    pub(crate) fn host_ip(&self) -> Option<IpAddr> {
        crate::uri::host_ip(&self.host)
    }
}
