//! REFER within a call and the NOTIFYs that tell what became of it (RFC 3515, RFC 4488), and `Replaces` (RFC 3891).

use offhook_units::{Span, Tick};

use super::client::{Delivery, Failed, Owner};
use super::event::{EndCause, Event, SessionId};
use super::session::{Farewell, Phase, Referred, Session};
use super::{Endpoint, body_of};
use crate::{Body, Method, Replaces, Request, reason_phrase};

/// The event package of a REFER's implicit subscription, RFC 3515 section 2.4.4.
const PACKAGE: &str = "refer";
/// The type of a NOTIFY's body, RFC 3420.
const SIPFRAG: &str = "message/sipfrag";
/// How long an implicit subscription lasts, as told to the peer. The program ends it earlier with a final status.
const SUBSCRIBED_FOR: Span = Span::from_s(300);

impl Endpoint {
    /// A REFER came in.
    pub(super) fn receive_refer(&mut self, now: Tick, id: SessionId, tx: u64, request: &Request) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let mut targets = request.headers.get_all("Refer-To");
        // RFC 3515 section 2.4.2: exactly one.
        let sound =
            targets.next().is_some_and(|first| first.parse::<crate::NameAddr>().is_ok()) && targets.next().is_none();
        drop(targets);
        if !sound {
            return self.reply(now, tx, 400, |_| {});
        }
        let again = match session.referred {
            Referred::Never => false,
            Referred::Over => true,
            // One transfer after the other.
            Referred::Asked { .. } | Referred::Subscribed { .. } => return self.reply(now, tx, 491, |_| {}),
        };
        if session.phase != Phase::Confirmed {
            return self.reply(now, tx, 491, |_| {});
        }
        let cseq = request.headers.cseq().map_or(0, |(number, _)| number);
        let quiet = request.headers.get("Refer-Sub").is_some_and(is_false);
        session.referred = Referred::Asked { tx, cseq, quiet, again };
        self.emit(Event::Referred { session: id, request: Box::new(request.clone()) });
    }

    /// Takes [`Event::Referred`] on: 202, and the peer is told by [`Endpoint::notify_refer`] what becomes of it, first of all that
    /// it is being tried.
    pub fn accept_refer(&mut self, now: Tick, session: SessionId) {
        let Some(found) = self.sessions.get_mut(&session) else { return };
        let Referred::Asked { tx, cseq, quiet, again } = found.referred else { return };
        let contact = format!("<{}>", found.dialog.contact);
        found.referred = if quiet { Referred::Over } else { Referred::Subscribed { id: again.then_some(cseq) } };
        self.reply(now, tx, 202, |response| {
            response.headers.push("Contact", &contact);
            if quiet {
                response.headers.push("Refer-Sub", "false");
            }
        });
        self.notify_refer(now, session, 100);
    }

    /// Refuses [`Event::Referred`] (300..=699). 408 and 481 would end the dialog (RFC 3261 section 12.2.1.2): they become 480.
    pub fn refuse_refer(&mut self, now: Tick, session: SessionId, status: u16) {
        let Some(found) = self.sessions.get_mut(&session) else { return };
        let Referred::Asked { tx, .. } = found.referred else { return };
        found.referred = Referred::Over;
        let status = match status {
            408 | 481 => 480,
            300..700 => status,
            _ => 603,
        };
        self.reply(now, tx, status, |_| {});
    }

    /// Tells the peer how far the call is that it asked for; a final status ends the subscription. Does nothing where the
    /// peer wants to know nothing, or was told the end.
    pub fn notify_refer(&mut self, now: Tick, session: SessionId, status: u16) {
        let Some(found) = self.sessions.get_mut(&session) else { return };
        let Referred::Subscribed { id } = found.referred else { return };
        let is_final = status >= 200;
        if is_final {
            found.referred = Referred::Over;
        }
        let mut request = found.dialog.request(Method::Notify);
        let (flow, contact) = (found.dialog.next_hop(), found.dialog.contact.clone());
        request.headers.push("Event", &id.map_or_else(|| PACKAGE.to_owned(), |id| format!("{PACKAGE};id={id}")));
        let state = if is_final {
            "terminated;reason=noresource".to_owned()
        } else {
            format!("active;expires={}", SUBSCRIBED_FOR.as_s())
        };
        request.headers.push("Subscription-State", &state);
        let line = format!("SIP/2.0 {status} {}\r\n", reason_phrase(status));
        let body = Body { content_type: format!("{SIPFRAG};version=2.0"), bytes: line.into_bytes() };
        self.finish_request(&mut request, &contact.bracketed(), Some(body));
        self.start_client(now, flow, request, Owner::Notify(session), 0);
    }

    /// A peer that knows the subscription no more, or does not answer, is told nothing more. Any other answer, such as the
    /// 500 to a NOTIFY that another request overtook, says nothing about the next one.
    pub(super) fn notify_response(&mut self, id: SessionId, status: u16) {
        if let Some(session) = self.sessions.get_mut(&id)
            && matches!(status, 408 | 481 | 489 | 503)
            && matches!(session.referred, Referred::Subscribed { .. })
        {
            session.referred = Referred::Over;
        }
    }

    /// Asks the peer of an answered call to call `target` in our place: [`Event::ReferAnswered`] follows. `target` is the
    /// address of `Refer-To`; with `Replaces` in it ([`crate::Uri::with_header`]) it is an attended transfer.
    /// False where the call is not up, or where a REFER of ours is under way: nothing was sent.
    pub fn refer(&mut self, now: Tick, session: SessionId, target: &crate::Uri) -> bool {
        let Some(found) = self.sessions.get_mut(&session) else { return false };
        if found.phase != Phase::Confirmed || found.referral.is_some() {
            return false;
        }
        let mut request = found.dialog.request(Method::Refer);
        found.referral = request.headers.cseq().ok().map(|(number, _)| number);
        let (flow, contact) = (found.dialog.next_hop(), found.dialog.contact.clone());
        request.headers.push("Refer-To", &format!("<{target}>"));
        request.headers.push("Referred-By", &format!("<{contact}>"));
        self.finish_request(&mut request, &contact.bracketed(), None);
        self.start_client(now, flow, request, Owner::Refer(session), 0);
        true
    }

    pub(super) fn refer_response(&mut self, now: Tick, id: SessionId, delivery: Delivery) {
        let Delivery { response, request, tries, .. } = delivery;
        let status = response.status;
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.phase == Phase::Confirmed) else {
            return;
        };
        match status {
            ..200 => {}
            200..300 => {
                let subscribed = !response.headers.get("Refer-Sub").is_some_and(is_false);
                if !subscribed {
                    session.referral = None;
                }
                self.emit(Event::ReferAnswered { session: id, status, subscribed });
            }
            // RFC 3261 section 12.2.1.2: these two end the dialog.
            481 => self.end(now, id, EndCause::PeerGone, Farewell::Bye(None)),
            408 => self.end(now, id, EndCause::TimedOut, Farewell::Bye(None)),
            300.. => {
                let credentials = session.credentials.clone();
                if let Some(mut request) = request
                    && self.answer_to_challenge(&mut request, &response, credentials.as_ref(), tries).is_some()
                    && let Some(session) = self.sessions.get_mut(&id)
                {
                    let cseq = session.dialog.next_cseq();
                    session.referral = Some(cseq);
                    request.headers.pop_via();
                    request.headers.set_cseq(cseq, &Method::Refer);
                    let flow = session.dialog.next_hop();
                    self.start_client(now, flow, *request, Owner::Refer(id), tries + 1);
                    return;
                }
                self.forget_referral(id);
                self.emit(Event::ReferAnswered { session: id, status, subscribed: false });
            }
        }
    }

    pub(super) fn refer_failed(&mut self, now: Tick, id: SessionId, failed: Failed) {
        let cause = match failed {
            Failed::TimedOut => EndCause::TimedOut,
            Failed::Transport => EndCause::TransportFailed,
        };
        self.end(now, id, cause, Farewell::Bye(None));
    }

    fn forget_referral(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.referral = None;
        }
    }

    /// A NOTIFY came in. It may overtake the 202 to our REFER.
    pub(super) fn receive_notify(&mut self, now: Tick, id: SessionId, tx: u64, request: &Request) {
        let event = request.headers.get("Event").unwrap_or_default();
        let (package, params) = event.split_at(event.find(';').unwrap_or(event.len()));
        if !package.trim().eq_ignore_ascii_case(PACKAGE) {
            return self.reply(now, tx, 489, |response| response.headers.push("Allow-Events", PACKAGE));
        }
        let named = crate::headers::param_in(params, "id").map(|id| id.parse::<u32>().ok());
        let referral = self.sessions.get(&id).and_then(|session| session.referral);
        // A NOTIFY of a REFER that was forgotten belongs to no subscription (RFC 6665 section 4.1.3).
        if referral.is_none() || named.is_some_and(|named| named != referral) {
            return self.reply(now, tx, 481, |_| {});
        }
        self.reply(now, tx, 200, |_| {});
        let state = request.headers.get("Subscription-State").unwrap_or_default();
        let terminated = state.trim_start().get(..10).is_some_and(|start| start.eq_ignore_ascii_case("terminated"));
        let told = body_of(&request.headers, &request.body).as_ref().and_then(status_of);
        let over = terminated || told.is_some_and(|status| status >= 200);
        if over {
            self.forget_referral(id);
        }
        let status = told.unwrap_or(if over { 503 } else { 100 });
        self.emit(Event::ReferProgress { session: id, status, over });
    }

    /// How our end of a call that is answered, or that rings here, is named to somebody who shall take its place.
    pub fn replaces_of(&self, session: SessionId) -> Option<Replaces> {
        let Session { phase, dialog, .. } = self.sessions.get(&session)?;
        let early_only = match phase {
            Phase::Confirmed => false,
            Phase::Ringing { .. } => true,
            Phase::Calling { .. }
            | Phase::Proceeding { .. }
            | Phase::Answering { .. }
            | Phase::Cancelling { .. }
            | Phase::HangingUp { .. }
            | Phase::Over => return None,
        };
        Some(Replaces {
            call_id: dialog.call_id.clone(),
            to_tag: dialog.remote_tag.as_deref()?.to_owned(),
            from_tag: dialog.local_tag.to_string(),
            early_only,
        })
    }

    /// The session that a call takes the place of, RFC 3891 section 3.
    ///
    /// # Errors
    /// The status that the call is refused with: 481 for a dialog that is not here or that is early and began with an INVITE
    /// of the peer's, 486 where only an early dialog shall be replaced, 603 for one that is over.
    pub fn replaced(&self, replaces: &Replaces) -> Result<SessionId, u16> {
        let id = *self.dialogs.get(replaces.to_tag.as_str()).ok_or(481_u16)?;
        let session = self.sessions.get(&id).ok_or(481_u16)?;
        let dialog = &session.dialog;
        if dialog.call_id != replaces.call_id || dialog.remote_tag.as_deref() != Some(replaces.from_tag.as_str()) {
            return Err(481);
        }
        match session.phase {
            Phase::Confirmed if replaces.early_only => Err(486),
            Phase::Confirmed | Phase::Proceeding { .. } => Ok(id),
            Phase::Calling { .. } | Phase::Ringing { .. } | Phase::Answering { .. } => Err(481),
            Phase::Cancelling { .. } | Phase::HangingUp { .. } | Phase::Over => Err(603),
        }
    }
}

/// RFC 4488 section 4.
fn is_false(value: &str) -> bool {
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("false")
}

/// The status of a response of which a NOTIFY carries the beginning.
fn status_of(body: &Body) -> Option<u16> {
    let media_type = body.content_type.split(';').next().unwrap_or_default().trim();
    let line = core::str::from_utf8(&body.bytes).ok().and_then(|text| text.lines().next())?;
    let status = line.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?;
    (media_type.eq_ignore_ascii_case(SIPFRAG) && (100..700).contains(&status)).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_fragment_is_read() {
        for (kind, text, expected) in [
            ("message/sipfrag;version=2.0", "SIP/2.0 180 Ringing\r\n", Some(180)),
            ("Message/Sipfrag", "SIP/2.0 603", Some(603)),
            ("message/sipfrag", "SIP/2.0 99 x", None),
            ("message/sipfrag", "HTTP/1.1 200 OK", None),
            ("text/plain", "SIP/2.0 200 OK", None),
            ("message/sipfrag", "", None),
        ] {
            let body = Body { content_type: kind.to_owned(), bytes: text.as_bytes().to_vec() };
            assert_eq!(status_of(&body), expected, "{kind} {text}");
        }
    }
}
