//! The user agent client: our INVITEs, hanging up, and how a session ends.

use offhook_units::Tick;

use super::Endpoint;
use super::client::{Delivery, Failed, Owner, fork_dialog};
use super::event::{EndCause, Event, Full, Invite, SessionId};
use super::registration::retry_after;
use super::session::{AckMeaning, Change, Farewell, Phase, Referred, Session};
use crate::dialog::{CSEQ_JUMP, Dialog};
use crate::reason::reason_of;
use crate::siprec::{OPTION, Part};
use crate::{Method, Response};

impl Endpoint {
    /// Calls somebody.
    ///
    /// # Errors
    /// [`Full`]: nothing was sent; try again later.
    pub fn invite(&mut self, now: Tick, invite: Invite) -> Result<SessionId, Full> {
        if self.sessions.len() >= self.config.sessions_max || self.transactions() >= self.config.transactions_max {
            self.load.full_total += 1;
            return Err(Full);
        }
        let Invite { flow, uri, from, to, contact, headers, body, credentials } = invite;
        let (call_id, tag) = (self.entropy.token() + &self.entropy.token(), self.tag());
        let mut dialog = Dialog::outgoing(call_id, &tag, from, &to, uri, contact, flow);
        let records = headers.iter().any(|(name, value)| name == "Require" && value == OPTION);
        dialog.records = records.then_some(Part::Source);
        let mut request = dialog.request(Method::Invite);
        for (name, value) in &headers {
            request.headers.push(name, value);
        }
        self.ask_expiry(None, &mut request.headers);
        let described = body.clone();
        self.finish_request(&mut request, &dialog.contact_header(), body);
        let id = SessionId(self.next_id());
        let tx = self.start_client(now, flow, request, Owner::Invite(id), 0);
        self.insert_session(id, Session { described, ..Session::new(Phase::Calling { tx }, dialog, credentials) });
        Ok(id)
    }

    /// Whether nothing at all came back on an outgoing call so far.
    pub fn is_unheard(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|session| matches!(session.phase, Phase::Calling { .. }))
    }

    pub(super) fn invite_response(&mut self, now: Tick, id: SessionId, delivery: Delivery) {
        let phase = self.sessions.get(&id).map(|session| session.phase.clone());
        match (phase, delivery.response.status) {
            (Some(Phase::Calling { tx } | Phase::Proceeding { tx }), ..200) => {
                self.invite_progress(now, id, tx, &delivery.response);
            }
            (Some(Phase::Cancelling { tx, reason, sent: false }), ..200) => {
                self.set_phase(id, Phase::Cancelling { tx, reason: reason.clone(), sent: true });
                self.cancel_client(now, tx, reason.as_deref());
            }
            (Some(Phase::Calling { .. } | Phase::Proceeding { .. }), 200..300) => {
                self.establish(id, &delivery);
                self.set_phase(id, Phase::Confirmed);
                self.take_expiry(now, id, &delivery.response.headers);
                let body = self.final_answer(id, &delivery.response);
                self.emit(Event::Answered { session: id, body, response: delivery.response });
            }
            // CANCEL crossed the 200: the call is up, and ends at once.
            (Some(Phase::Cancelling { reason, .. }), 200..300) => {
                self.establish(id, &delivery);
                self.end(now, id, EndCause::Hungup, Farewell::Bye(reason));
            }
            (Some(Phase::Calling { .. } | Phase::Proceeding { .. }), 300..) => self.invite_failure(now, id, delivery),
            (Some(Phase::Cancelling { .. }), 300..) => self.end(now, id, EndCause::Hungup, Farewell::Nothing),
            // Another branch of a fork answered too, or after the session had ended.
            (
                None
                | Some(
                    Phase::Confirmed
                    | Phase::HangingUp { .. }
                    | Phase::Over
                    | Phase::Ringing { .. }
                    | Phase::Answering { .. },
                ),
                200..300,
            ) => {
                self.end_fork(now, &delivery);
            }
            (Some(Phase::Cancelling { sent: true, .. }), ..200)
            | (
                None
                | Some(
                    Phase::Confirmed
                    | Phase::HangingUp { .. }
                    | Phase::Over
                    | Phase::Ringing { .. }
                    | Phase::Answering { .. },
                ),
                ..200 | 300..,
            ) => {}
        }
    }

    fn invite_progress(&mut self, now: Tick, id: SessionId, tx: u64, response: &Response) {
        self.set_phase(id, Phase::Proceeding { tx });
        if response.status > 100 {
            self.early_response(now, id, response);
        }
    }

    /// The dialog stands; ACK, RFC 3261 section 13.2.2.4.
    fn establish(&mut self, id: SessionId, delivery: &Delivery) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.dialog.establish(&delivery.response);
        self.send_session_ack(id, delivery.tx, &delivery.response);
    }

    pub(super) fn send_session_ack(&mut self, id: SessionId, tx: u64, response: &Response) {
        let Some(session) = self.sessions.get(&id) else { return };
        let cseq = response.headers.cseq().map_or(1, |(number, _)| number);
        let ack = session.dialog.request_numbered(Method::Ack, cseq);
        let flow = session.dialog.next_hop();
        self.send_ack(tx, response.headers.to_tag().unwrap_or_default(), flow, ack);
    }

    /// ACK and BYE to a 2xx that came too late.
    fn end_fork(&mut self, now: Tick, delivery: &Delivery) {
        let Some((invite, flow)) = self.invite_of(delivery.tx) else { return };
        let Some(mut dialog) = fork_dialog(invite, flow) else { return };
        dialog.establish(&delivery.response);
        let cseq = delivery.response.headers.cseq().map_or(1, |(number, _)| number);
        // The numbers behind that of the INVITE may have been taken by PRACKs.
        dialog.skip_to(cseq.saturating_add(CSEQ_JUMP));
        let (ack, hop) = (dialog.request_numbered(Method::Ack, cseq), dialog.next_hop());
        self.send_ack(delivery.tx, delivery.response.headers.to_tag().unwrap_or_default(), hop, ack);
        let bye = dialog.request(Method::Bye);
        self.start_client(now, hop, bye, Owner::Nobody, 0);
    }

    fn invite_failure(&mut self, now: Tick, id: SessionId, delivery: Delivery) {
        let Delivery { response, request, tries, .. } = delivery;
        let credentials = self.sessions.get(&id).and_then(|session| session.credentials.clone());
        if let Some(mut request) = request
            && (self.answer_to_challenge(&mut request, &response, credentials.as_ref(), tries).is_some()
                || (response.status == 422 && self.raise_expiry(&mut request, response.headers.get("Min-SE"), tries)))
            && let Some(session) = self.sessions.get_mut(&id)
        {
            request.headers.pop_via();
            request.headers.set_cseq(session.dialog.next_cseq(), &Method::Invite);
            session.forks.clear();
            let flow = session.dialog.flow;
            let tx = self.start_client(now, flow, *request, Owner::Invite(id), tries + 1);
            return self.set_phase(id, Phase::Calling { tx });
        }
        self.drop_early(now, id);
        let (status, retry_after) = (response.status, retry_after(&response));
        let cause = reason_of(&response.headers);
        self.emit(Event::Refused { session: id, status, reason: response.reason, cause, retry_after });
    }

    pub(super) fn invite_failed(&mut self, now: Tick, id: SessionId, failed: Failed) {
        let Some(session) = self.sessions.get(&id) else { return };
        match session.phase {
            Phase::Calling { .. } | Phase::Proceeding { .. } => {
                self.drop_early(now, id);
                let status = failed.status();
                let reason = crate::reason_phrase(status).to_owned();
                self.emit(Event::Refused { session: id, status, reason, cause: None, retry_after: None });
            }
            Phase::Cancelling { .. } => self.end(now, id, EndCause::Hungup, Farewell::Nothing),
            Phase::Ringing { .. }
            | Phase::Answering { .. }
            | Phase::Confirmed
            | Phase::HangingUp { .. }
            | Phase::Over => {}
        }
    }

    /// Ends a session in whatever state it is: CANCEL, 480 or BYE as RFC 3261 sections 9, 13.3.1.3 and 15 say.
    /// [`Event::Ended`] follows: at once where BYE or 480 goes out, otherwise when the peer has answered or 64·T1 have passed.
    /// `reason` is the value of a `Reason` header (RFC 3326), such as `Q.850;cause=16`.
    pub fn hang_up(&mut self, now: Tick, session: SessionId, reason: Option<String>) {
        let Some(found) = self.sessions.get_mut(&session) else { return };
        match found.phase.clone() {
            Phase::Calling { tx } => found.phase = Phase::Cancelling { tx, reason, sent: false },
            Phase::Proceeding { tx } => {
                found.phase = Phase::Cancelling { tx, reason: reason.clone(), sent: true };
                self.cancel_client(now, tx, reason.as_deref());
            }
            Phase::Ringing { tx } | Phase::Answering { tx, .. } => {
                self.reply(now, tx, 480, |response| {
                    if let Some(reason) = &reason {
                        response.headers.push("Reason", reason);
                    }
                });
                self.end(now, session, EndCause::Hungup, Farewell::Nothing);
            }
            Phase::Confirmed => {
                // RFC 3261 section 15: the callee sends no BYE before the ACK to its first 2xx.
                let waits = found.unacked.as_ref().is_some_and(|unacked| unacked.meaning == AckMeaning::Confirmed);
                if waits {
                    found.phase = Phase::HangingUp { reason };
                } else {
                    self.end(now, session, EndCause::Hungup, Farewell::Bye(reason));
                }
            }
            Phase::Cancelling { .. } | Phase::HangingUp { .. } | Phase::Over => {}
        }
    }

    /// The session is over: tells the program and, with a BYE, the peer. It is over as soon as BYE is sent,
    /// RFC 3261 section 15.1.1; what is left of it only waits for the response.
    pub(super) fn end(&mut self, now: Tick, id: SessionId, cause: EndCause, farewell: Farewell) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.phase == Phase::Over {
            return;
        }
        session.unacked = None;
        session.wanted = None;
        self.timers.stop_all(&mut session.alarms);
        let referred = core::mem::replace(&mut session.referred, Referred::Over);
        match core::mem::replace(&mut session.change, Change::None) {
            Change::Received { tx, .. } => self.reply(now, tx, 487, |_| {}),
            Change::Sent { tx, .. } => self.abandon_client(now, tx),
            Change::None | Change::Glare { .. } => {}
        }
        if let Referred::Asked { tx, .. } = referred {
            self.reply(now, tx, 487, |_| {});
        }
        self.emit(Event::Ended { session: id, cause });
        match farewell {
            Farewell::Bye(reason) => self.send_bye(now, id, reason),
            Farewell::Nothing => self.remove_session(id),
        }
    }

    fn send_bye(&mut self, now: Tick, id: SessionId, reason: Option<String>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.phase = Phase::Over;
        let mut request = session.dialog.request(Method::Bye);
        let flow = session.dialog.next_hop();
        if let Some(reason) = reason {
            request.headers.push("Reason", &reason);
        }
        request.headers.push("User-Agent", &self.config.user_agent);
        self.start_client(now, flow, request, Owner::Bye(id), 0);
    }

    pub(super) fn bye_response(&mut self, now: Tick, id: SessionId, delivery: Delivery) {
        let Delivery { response, request, tries, .. } = delivery;
        if response.status < 200 {
            return;
        }
        let credentials = self.sessions.get(&id).and_then(|session| session.credentials.clone());
        if let Some(mut request) = request
            && self.answer_to_challenge(&mut request, &response, credentials.as_ref(), tries).is_some()
            && let Some(session) = self.sessions.get_mut(&id)
        {
            request.headers.pop_via();
            request.headers.set_cseq(session.dialog.next_cseq(), &Method::Bye);
            let flow = session.dialog.next_hop();
            self.start_client(now, flow, *request, Owner::Bye(id), tries + 1);
            return;
        }
        self.remove_session(id);
    }

    pub(super) fn set_phase(&mut self, id: SessionId, phase: Phase) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.phase = phase;
        }
    }
}
