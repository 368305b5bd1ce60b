//! Session timers, RFC 4028: a session that nobody refreshes in time is over, so that a peer that vanished holds nothing.

use offhook_units::{Span, Tick};

use super::Endpoint;
use super::client::{Delivery, Failed, Owner};
use super::event::{EndCause, SessionId};
use super::session::{Change, Expiry, Farewell, Phase, Wanted};
use crate::transaction::{SessionTimer, TimerKey};
use crate::{Headers, Method, Request};

/// The smallest interval that may be asked for, RFC 4028 section 4, and what `Min-SE` means where it is missing.
pub const MIN_SE: Span = Span::from_s(90);
/// A peer that answers with less than this is not followed further down: no refresh comes more often than every 10 s.
const INTERVAL_MIN: Span = Span::from_s(20);
/// How long before the end BYE is sent at the latest, RFC 4028 section 10.
const BYE_BEFORE: Span = Span::from_s(32);
/// When a refresh is tried again that the peer put off.
const AGAIN_AFTER: Span = Span::from_s(5);
/// Most refreshes in a row that are answered by 422 or put off.
const TRIES_MAX: u8 = 4;
/// What the peer is told whose refresh did not come (RFC 3326).
const NOT_REFRESHED: &str = "SIP;cause=408;text=\"Session expired\"";

/// What a request says about session timers.
struct Asked {
    interval: Option<Span>,
    min: Span,
    refresher: Option<bool>,
    supported: bool,
}

impl Asked {
    /// From a request; `refresher` says whether its sender is to refresh.
    fn of(headers: &Headers) -> Self {
        let (interval, params) = seconds(headers.get("Session-Expires"));
        let refresher = crate::headers::param_in(params, "refresher").map(|who| who.eq_ignore_ascii_case("uac"));
        let min = seconds(headers.get("Min-SE")).0.unwrap_or(MIN_SE);
        Self { interval, min, refresher, supported: headers.lists("Supported", "timer") }
    }
}

/// The seconds at the beginning of a header's value, and its parameters.
fn seconds(value: Option<&str>) -> (Option<Span>, &str) {
    let value = value.unwrap_or_default();
    let (number, params) = value.split_at(value.find(';').unwrap_or(value.len()));
    // Beyond a day or so nobody waits; larger numbers are cut.
    (number.trim().parse::<u32>().ok().map(|seconds| Span::from_s(u64::from(seconds.min(1_000_000)))), params)
}

impl Endpoint {
    /// What a request that sets a session up or refreshes it settles; none where it shall not expire.
    ///
    /// # Errors
    /// 422, with the value of `Min-SE`.
    pub(super) fn settle_expiry(&self, request: &Request, now: Option<Expiry>) -> Result<Option<Expiry>, String> {
        let ours = self.config.session_expires;
        let asked = Asked::of(&request.headers);
        let min = self.config.session_expires_min;
        if ours == Span::ZERO {
            return Ok(None);
        }
        let interval = match asked.interval {
            Some(wanted) if wanted < min && asked.supported => return Err(min.as_s().to_string()),
            Some(wanted) => wanted.min(ours.max(asked.min)).max(INTERVAL_MIN),
            None if asked.supported => ours.max(asked.min),
            None => return Ok(None),
        };
        // A peer that does not know of timers cannot refresh; otherwise as it asks, or as it was.
        let theirs = asked.refresher.unwrap_or(now.is_some_and(|now| !now.ours)) && asked.supported;
        Ok(Some(Expiry { interval, ours: !theirs }))
    }

    /// The headers of a 2xx that say what was settled, RFC 4028 section 9.
    pub(super) fn tell_expiry(expiry: Expiry, headers: &mut Headers) {
        let Expiry { interval, ours } = expiry;
        let refresher = if ours { "uas" } else { "uac" };
        headers.push("Session-Expires", &format!("{};refresher={refresher}", interval.as_s()));
        if !ours {
            headers.push("Require", "timer");
        }
    }

    /// The headers of a request of ours that sets a session up or refreshes it.
    pub(super) fn ask_expiry(&self, expiry: Option<Expiry>, headers: &mut Headers) {
        let wanted = expiry.map_or(self.config.session_expires, |expiry| expiry.interval);
        if self.config.session_expires == Span::ZERO {
            return;
        }
        let refresher = expiry.map_or("", |expiry| if expiry.ours { ";refresher=uac" } else { ";refresher=uas" });
        headers.push("Session-Expires", &format!("{}{refresher}", wanted.as_s()));
        if self.config.session_expires_min > MIN_SE {
            headers.push("Min-SE", &self.config.session_expires_min.as_s().to_string());
        }
    }

    /// The peer's 2xx to a request of ours says what was settled, RFC 4028 section 7.2.
    pub(super) fn take_expiry(&mut self, now: Tick, id: SessionId, headers: &Headers) {
        let asked = Asked::of(headers);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.expiry = match asked.interval {
            Some(interval) if self.config.session_expires > Span::ZERO => {
                Some(Expiry { interval: interval.max(INTERVAL_MIN), ours: asked.refresher != Some(false) })
            }
            Some(_) | None => None,
        };
        if headers.get("Allow").is_some() {
            session.updates = headers.lists("Allow", "UPDATE");
        }
        session.refreshes_failed = 0;
        self.start_expiry(now, id);
    }

    /// Begins the interval anew: to refresh at half of it, or to give up on a peer that does not.
    pub(super) fn start_expiry(&mut self, now: Tick, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let key = TimerKey::Session(id, SessionTimer::Expiry);
        match session.expiry {
            Some(Expiry { interval, ours: true }) => self.timers.start(&mut session.alarms, key, now + interval / 2),
            Some(Expiry { interval, ours: false }) => {
                let after = interval.saturating_sub(BYE_BEFORE.min(interval / 3));
                self.timers.start(&mut session.alarms, key, now + after);
            }
            None => self.timers.stop(&mut session.alarms, key),
        }
    }

    pub(super) fn expiry_timer(&mut self, now: Tick, id: SessionId) {
        let Some(session) = self.sessions.get(&id).filter(|session| session.phase == Phase::Confirmed) else { return };
        match session.expiry {
            Some(Expiry { ours: true, .. }) => self.refresh(now, id),
            Some(Expiry { ours: false, .. }) => {
                self.end(now, id, EndCause::Expired, Farewell::Bye(Some(NOT_REFRESHED.to_owned())));
            }
            None => {}
        }
    }

    /// Refreshes by UPDATE where the peer takes it, which disturbs nothing; else by a re-INVITE with what we last described.
    fn refresh(&mut self, now: Tick, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.updates {
            let mut request = session.dialog.request(Method::Update);
            let (flow, contact, expiry) = (session.dialog.next_hop(), session.dialog.contact_header(), session.expiry);
            self.ask_expiry(expiry, &mut request.headers);
            self.finish_request(&mut request, &contact, None);
            self.start_client(now, flow, request, Owner::Refresh(id), 0);
        } else if session.change == Change::None && session.wanted.is_none() {
            session.wanted = session.described.clone().map(|body| Wanted(Some(body)));
            self.refresh_later(now, id);
            self.reoffer_if_wanted(now, id);
        } else {
            // The change that is under way refreshes it too.
            self.refresh_later(now, id);
        }
    }

    fn refresh_later(&mut self, now: Tick, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            self.timers.start(&mut session.alarms, TimerKey::Session(id, SessionTimer::Expiry), now + BYE_BEFORE);
        }
    }

    pub(super) fn refresh_response(&mut self, now: Tick, id: SessionId, delivery: Delivery) {
        let Delivery { response, request, tries, .. } = delivery;
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.phase == Phase::Confirmed) else {
            return;
        };
        match response.status {
            ..200 => {}
            200..300 => {
                session.dialog.refresh_target(&response.headers);
                self.take_expiry(now, id, &response.headers);
            }
            // RFC 3261 section 12.2.1.2: these two end the dialog.
            481 => self.end(now, id, EndCause::PeerGone, Farewell::Bye(None)),
            408 => self.end(now, id, EndCause::TimedOut, Farewell::Bye(None)),
            401 | 407 => {
                let credentials = session.credentials.clone();
                let Some(mut request) = request else { return };
                if self.answer_to_challenge(&mut request, &response, credentials.as_ref(), tries).is_some()
                    && let Some(session) = self.sessions.get_mut(&id)
                {
                    request.headers.pop_via();
                    request.headers.set_cseq(session.dialog.next_cseq(), &Method::Update);
                    let flow = session.dialog.next_hop();
                    self.start_client(now, flow, *request, Owner::Refresh(id), tries + 1);
                }
            }
            // The peer takes no UPDATE after all.
            405 | 501 => {
                session.updates = false;
                self.refresh(now, id);
            }
            status => {
                session.refreshes_failed += 1;
                if session.refreshes_failed > TRIES_MAX {
                    let reason = Some(NOT_REFRESHED.to_owned());
                    return self.end(now, id, EndCause::Expired, Farewell::Bye(reason));
                }
                if let (422, Some(expiry)) = (status, session.expiry.as_mut()) {
                    expiry.interval = expiry.interval.max(seconds(response.headers.get("Min-SE")).0.unwrap_or(MIN_SE));
                }
                let key = TimerKey::Session(id, SessionTimer::Expiry);
                self.timers.start(&mut session.alarms, key, now + AGAIN_AFTER);
            }
        }
    }

    pub(super) fn refresh_failed(&mut self, now: Tick, id: SessionId, failed: Failed) {
        let cause = match failed {
            Failed::TimedOut => EndCause::TimedOut,
            Failed::Transport => EndCause::TransportFailed,
        };
        self.end(now, id, cause, Farewell::Bye(None));
    }

    /// Raises what an INVITE of ours asked for to what its 422 wants; false where that is not to be met.
    pub(super) fn raise_expiry(&self, request: &mut Request, min: Option<&str>, tries: u8) -> bool {
        let Some(min) = seconds(min).0.filter(|_| tries < TRIES_MAX && self.config.session_expires > Span::ZERO) else {
            return false;
        };
        let asked = seconds(request.headers.get("Session-Expires")).0.unwrap_or(MIN_SE);
        request.headers.set("Session-Expires", &asked.max(min).as_s().to_string());
        request.headers.set("Min-SE", &min.as_s().to_string());
        true
    }
}
