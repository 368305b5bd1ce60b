//! Changes of a running session: re-INVITE and UPDATE, and their collisions (RFC 3261 section 14, RFC 3311).

use offhook_units::{Span, Tick};

use super::client::{Delivery, Failed, Owner};
use super::early::EarlyAnswer;
use super::event::{EndCause, Event, SessionId};
use super::reliable::Exchange;
use super::session::{AckMeaning, Change, Farewell, Phase, Session, Wanted};
use super::{Endpoint, description_of};
use crate::body::metadata;
use crate::transaction::{SessionTimer, TimerKey};
use crate::{Body, Method, Request};

impl Endpoint {
    /// Sends a re-INVITE; while another change is under way it waits for that, and the newest one counts.
    /// [`Event::ReofferAnswered`] or [`Event::ReofferRefused`] follows, unless the session ends or a newer one takes its place.
    pub fn reoffer(&mut self, now: Tick, session: SessionId, body: Option<Body>) {
        let Some(found) = self.sessions.get_mut(&session) else { return };
        if !matches!(found.phase, Phase::Confirmed | Phase::Answering { .. }) {
            return;
        }
        if let Change::Glare { body: waiting } = &mut found.change {
            *waiting = body;
            return;
        }
        found.wanted = Some(Wanted(body));
        self.reoffer_if_wanted(now, session);
    }

    /// Sends the re-INVITE that waits, if nothing is in its way.
    pub(super) fn reoffer_if_wanted(&mut self, now: Tick, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.phase != Phase::Confirmed || session.change != Change::None || session.unacked.is_some() {
            return;
        }
        if let Some(Wanted(body)) = session.wanted.take() {
            self.send_reinvite(now, id, body);
        }
    }

    fn send_reinvite(&mut self, now: Tick, id: SessionId, body: Option<Body>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let mut request = session.dialog.request(Method::Invite);
        let (flow, contact) = (session.dialog.next_hop(), session.dialog.contact_header());
        if body.is_some() {
            session.described.clone_from(&body);
        }
        if let Some(expiry) = session.expiry {
            self.ask_expiry(Some(expiry), &mut request.headers);
        }
        self.finish_request(&mut request, &contact, body.clone());
        let tx = self.start_client(now, flow, request, Owner::Reinvite(id), 0);
        self.set_change(id, Change::Sent { tx, body });
    }

    pub(super) fn reinvite_response(&mut self, now: Tick, id: SessionId, delivery: Delivery) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Delivery { tx, response, request, tries, .. } = delivery;
        let status = response.status;
        let body = match &session.change {
            Change::Sent { tx: running, body } if *running == tx => body.clone(),
            // The session has ended meanwhile; a 2xx is acknowledged all the same.
            Change::None | Change::Glare { .. } | Change::Received { .. } | Change::Sent { .. } => {
                if (200..300).contains(&status) {
                    self.send_session_ack(id, tx, &response);
                }
                return;
            }
        };
        match status {
            // A phone may ask its user, but not for ever.
            ..200 => self.abandon_client(now, tx),
            200..300 => {
                session.dialog.refresh_target(&response.headers);
                self.send_session_ack(id, tx, &response);
                self.take_expiry(now, id, &response.headers);
                self.set_change(id, Change::None);
                let body = description_of(&response.headers, &response.body);
                self.emit(Event::ReofferAnswered { session: id, body });
                self.reoffer_if_wanted(now, id);
            }
            // RFC 3261 section 14.1.
            491 => {
                let after = glare_wait(session.dialog.outgoing, self.entropy.below(1 << 32));
                session.change = Change::Glare { body };
                let key = TimerKey::Session(id, SessionTimer::Glare);
                self.timers.start(&mut session.alarms, key, now + after);
            }
            401 | 407 => {
                let credentials = session.credentials.clone();
                let again = request.and_then(|mut request| {
                    self.answer_to_challenge(&mut request, &response, credentials.as_ref(), tries)?;
                    Some(request)
                });
                match (again, self.sessions.get_mut(&id)) {
                    (Some(mut request), Some(session)) => {
                        request.headers.pop_via();
                        request.headers.set_cseq(session.dialog.next_cseq(), &Method::Invite);
                        let flow = session.dialog.next_hop();
                        let tx = self.start_client(now, flow, *request, Owner::Reinvite(id), tries + 1);
                        self.set_change(id, Change::Sent { tx, body });
                    }
                    (None | Some(_), _) => self.reoffer_refused(now, id, status),
                }
            }
            // RFC 3261 section 12.2.1.2: these two end the dialog.
            481 => self.end(now, id, EndCause::PeerGone, Farewell::Bye(None)),
            408 => self.end(now, id, EndCause::TimedOut, Farewell::Bye(None)),
            _ => self.reoffer_refused(now, id, status),
        }
    }

    fn reoffer_refused(&mut self, now: Tick, id: SessionId, status: u16) {
        self.set_change(id, Change::None);
        self.emit(Event::ReofferRefused { session: id, status });
        self.reoffer_if_wanted(now, id);
    }

    pub(super) fn reinvite_failed(&mut self, now: Tick, id: SessionId, failed: Failed) {
        let cause = match failed {
            Failed::TimedOut => EndCause::TimedOut,
            Failed::Transport => EndCause::TransportFailed,
        };
        self.end(now, id, cause, Farewell::Bye(None));
    }

    pub(super) fn glare_timer(&mut self, now: Tick, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.postpone_glare() {
            self.reoffer_if_wanted(now, id);
        }
    }

    /// A re-INVITE or UPDATE came in.
    pub(super) fn receive_change(&mut self, now: Tick, id: SessionId, tx: u64, request: &Request) {
        let after = self.entropy.below(11).to_string();
        let settled = self.sessions.get(&id).map(|session| self.settle_expiry(request, session.expiry));
        let expiry = match settled {
            Some(Ok(expiry)) => expiry,
            Some(Err(min)) => return self.reply(now, tx, 422, |response| response.headers.push("Min-SE", &min)),
            None => return,
        };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let is_invite = request.method == Method::Invite;
        let body = description_of(&request.headers, &request.body);
        let is_refresh = !is_invite && body.is_none();
        let early = early_verdict(session);
        let metadata =
            session.dialog.records.and_then(|_| metadata(&request.headers, &request.body)).map(<[u8]>::to_vec);
        let verdict = match (&session.change, early) {
            // Their BYE or ours is on the way.
            _ if matches!(session.phase, Phase::HangingUp { .. } | Phase::Cancelling { .. }) => Verdict::Pending,
            _ if is_refresh => Verdict::Take,
            // RFC 3261 section 14.2: one INVITE after the other.
            (Change::Received { .. }, _) => Verdict::Later,
            (_, Some(_)) if is_invite => Verdict::Later,
            (_, Some(verdict)) => verdict,
            // RFC 3261 section 14.2 and RFC 3311 section 5.2: ours is out, or our 2xx is not acknowledged.
            (Change::Sent { .. }, None) => Verdict::Pending,
            (Change::None | Change::Glare { .. }, None) if session.unacked.is_some() => Verdict::Pending,
            (Change::None | Change::Glare { .. }, None) => Verdict::Take,
        };
        match verdict {
            Verdict::Later => self.reply(now, tx, 500, |response| response.headers.push("Retry-After", &after)),
            Verdict::Pending => self.reply(now, tx, 491, |_| {}),
            Verdict::Take => {
                session.dialog.refresh_target(&request.headers);
                session.expiry = expiry;
                if is_refresh {
                    self.tell_metadata(id, metadata);
                    return self.reply_success(now, id, tx, None);
                }
                let cseq = request.headers.cseq().map_or(0, |(number, _)| number);
                // Ours waits until theirs is through.
                if session.postpone_glare() {
                    self.timers.stop(&mut session.alarms, TimerKey::Session(id, SessionTimer::Glare));
                }
                let offerless = body.is_none();
                session.change = Change::Received { tx, invite: is_invite.then_some(cseq), offerless };
                if is_invite {
                    self.reply(now, tx, 100, |_| {});
                }
                self.tell_metadata(id, metadata);
                self.emit(Event::Reoffered { session: id, body });
            }
        }
    }

    fn tell_metadata(&mut self, session: SessionId, metadata: Option<Vec<u8>>) {
        if let Some(metadata) = metadata {
            self.emit(Event::Metadata { session, metadata });
        }
    }

    /// Accepts what [`Event::Reoffered`] brought, with the answer, or with an offer where none came.
    pub fn answer_reoffer(&mut self, now: Tick, session: SessionId, body: Option<Body>) {
        let Some(found) = self.sessions.get_mut(&session) else { return };
        let Change::Received { tx, invite, offerless } = found.change else { return };
        found.change = Change::None;
        if let Some(fork) = found.current_fork() {
            fork.answer = EarlyAnswer::Changed;
        }
        if invite.is_some() {
            let meaning = if offerless { AckMeaning::Answer } else { AckMeaning::Nothing };
            self.send_success(now, session, tx, meaning, body);
        } else {
            self.reply_success(now, session, tx, body);
            self.succeed(now, session);
            self.reoffer_if_wanted(now, session);
        }
    }

    /// Refuses what [`Event::Reoffered`] brought (300..=699, as a rule 488); the session stays as it was.
    pub fn refuse_reoffer(&mut self, now: Tick, session: SessionId, status: u16) {
        let status = if (300..700).contains(&status) { status } else { 488 };
        self.refuse_change(now, session, status);
    }

    pub(super) fn refuse_change(&mut self, now: Tick, id: SessionId, status: u16) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Change::Received { tx, .. } = session.change else { return };
        session.change = Change::None;
        self.reply(now, tx, status, |_| {});
        self.succeed(now, id);
        self.reoffer_if_wanted(now, id);
    }

    fn set_change(&mut self, id: SessionId, change: Change) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.change = change;
        }
    }
}

/// What becomes of a change that the peer wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The program decides.
    Take,
    /// 491: it meets one of ours.
    Pending,
    /// 500 with Retry-After: it overtook one of its own.
    Later,
}

/// What becomes of an offer that comes before the INVITE has its final response, RFC 3311 section 5.2: it is taken once the first
/// one has its answer. None where the INVITE has its final response.
fn early_verdict(session: &mut Session) -> Option<Verdict> {
    let exchange = session.reliable.as_ref().map_or(Exchange::Open, |reliable| reliable.exchange);
    match (&session.phase, exchange) {
        (Phase::Ringing { .. } | Phase::Answering { .. }, Exchange::Done) => Some(Verdict::Take),
        // Ours has no answer.
        (Phase::Ringing { .. } | Phase::Answering { .. }, Exchange::Offered) => Some(Verdict::Pending),
        // Theirs has none.
        (Phase::Ringing { .. } | Phase::Answering { .. }, Exchange::Open) => Some(Verdict::Later),
        (Phase::Calling { .. } | Phase::Proceeding { .. }, _) => {
            let is_answered = session.current_fork().is_some_and(|fork| fork.answer != EarlyAnswer::Missing);
            Some(if is_answered { Verdict::Take } else { Verdict::Pending })
        }
        (Phase::Confirmed | Phase::Cancelling { .. } | Phase::HangingUp { .. } | Phase::Over, _) => None,
    }
}

/// How long after a 491 we try again: who began the call waits longer, so that both do not meet again (RFC 3261
/// section 14.1): 2.1 to 4 s, or up to 2 s, in steps of 10 ms.
fn glare_wait(outgoing: bool, chance: u64) -> Span {
    let steps = if outgoing { 210 + chance % 191 } else { chance % 201 };
    Span::from_ms(steps * 10)
}
