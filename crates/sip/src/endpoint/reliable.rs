//! Provisional responses to INVITEs that came in, sent reliably where the peer can (RFC 3262), and the 2xx that waits for them.

use offhook_units::{Span, Tick};

use super::event::{EndCause, Event, SessionId};
use super::session::{AckMeaning, Change, Farewell, Phase};
use super::{Endpoint, RELIABLE, description_of};
use crate::transaction::reliable::{Input, ReliableAction, State, step};
use crate::transaction::{SessionTimer, TimerKey};
use crate::{Body, BodyFault, Flow, Method, Request, Uri};

/// How often a caller is told again that it rings, RFC 3261 section 13.3.1.1.
const RINGING_AGAIN: Span = Span::from_s(60);
/// The same where nothing of it gets lost: in time for the proxies, which give up after three minutes (RFC 3261 section 16.6).
const RINGING_AGAIN_RELIABLE: Span = Span::from_s(150);

/// What has become of an INVITE's provisional responses; kept for peers that support reliable ones.
#[derive(Debug)]
pub(super) struct Reliable {
    state: State,
    /// The peer wants no provisional response that is not reliable.
    required: bool,
    /// The INVITE carried an offer.
    offered: bool,
    /// How far offer and answer are.
    pub exchange: Exchange,
    /// Number of the INVITE.
    cseq: u32,
    /// Number of the last one that was sent.
    rseq: u32,
    /// The one that waits for its PRACK.
    bytes: Vec<u8>,
    /// What is sent after it.
    next: Option<Provisional>,
    /// The last status that the peer was told.
    told: u16,
    /// Until it is sent again.
    interval: Span,
    /// When the INVITE is rejected.
    give_up: Tick,
}

/// How far offer and answer are before the final response to an INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exchange {
    /// Nothing was said that the peer is sure to have heard.
    Open,
    /// Our offer is out.
    Offered,
    /// Offer and answer are exchanged.
    Done,
}

/// A provisional response that waits for its turn.
#[derive(Debug)]
struct Provisional {
    status: u16,
    body: Option<Body>,
}

impl Reliable {
    /// For an INVITE whose sender supports reliable provisional responses, RFC 3262 section 3.
    pub(super) fn of(request: &Request, chance: u32) -> Option<Box<Self>> {
        let required = request.headers.lists("Require", RELIABLE);
        if !required && !request.headers.lists("Supported", RELIABLE) {
            return None;
        }
        Some(Box::new(Self {
            state: State::Clear,
            required,
            offered: !request.body.is_empty(),
            exchange: Exchange::Open,
            cseq: request.headers.cseq().map_or(0, |(number, _)| number),
            // The first number is between 1 and 2^31 - 1.
            rseq: chance % ((1 << 31) - 1),
            bytes: Vec::new(),
            next: None,
            told: 180,
            interval: Span::ZERO,
            give_up: Tick::ZERO,
        }))
    }
}

impl Endpoint {
    /// Whether a provisional response with a session description reaches the caller reliably (RFC 3262). Then it may carry an
    /// offer, where the INVITE has none.
    pub fn is_reliable(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|session| session.reliable.is_some())
    }

    /// Sends a provisional response (101..=199) on an incoming call. It is told again every minute.
    ///
    /// Where the peer can, one with a description is sent reliably, and where it must, each one: again and again until its PRACK, one
    /// after the other. After 64·T1 without a PRACK the call gets 504 and ends with [`EndCause::NoAck`]. A description is sent
    /// reliably once; what it says is the answer, and later ones are left out, that of the 200 too. Without an offer in
    /// the INVITE it is ours, and [`Event::ReofferAnswered`] brings the answer.
    pub fn progress(&mut self, now: Tick, session: SessionId, status: u16, body: Option<Body>) {
        let Some(found) = self.sessions.get_mut(&session) else { return };
        let Phase::Ringing { tx } = found.phase else { return };
        if !(101..200).contains(&status) {
            return;
        }
        let Some(reliable) = &mut found.reliable else {
            return self.send_provisional(now, session, tx, Provisional { status, body }, None);
        };
        reliable.told = status;
        // RFC 3261 section 13.2.1: after offer and answer no response to the INVITE says more.
        let body = body.filter(|_| reliable.exchange == Exchange::Open);
        let input = if body.is_some() { Input::Description } else { Input::Provisional };
        let is_silent = !reliable.offered && reliable.exchange == Exchange::Open && body.is_none();
        match (reliable.required, body.is_some()) {
            // RFC 3262 section 5: the first reliable one to an INVITE without an offer carries ours.
            (true, false) if is_silent => {}
            (true, _) | (false, true) => {
                self.reliable_input(now, session, input, Some(Provisional { status, body }));
            }
            (false, false) => self.send_provisional(now, session, tx, Provisional { status, body }, None),
        }
    }

    fn send_provisional(&mut self, now: Tick, id: SessionId, tx: u64, provisional: Provisional, rseq: Option<u32>) {
        let Provisional { status, body } = provisional;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let again = if rseq.is_some() { RINGING_AGAIN_RELIABLE } else { RINGING_AGAIN };
        self.timers.start(&mut session.alarms, TimerKey::Session(id, SessionTimer::Ringing), now + again);
        let contact = session.dialog.contact_header();
        let said = rseq.map(|rseq| (rseq.to_string(), self.allow.clone()));
        self.reply(now, tx, status, |response| {
            response.headers.push("Contact", &contact);
            if let Some((rseq, allow)) = said {
                response.headers.push("Require", RELIABLE);
                response.headers.push("RSeq", &rseq);
                // RFC 3311 section 4: the peer learns here whether it may change what was agreed on before the answer.
                response.headers.push("Allow", &allow);
            }
            if let Some(body) = body {
                response.set_body(&body.content_type, body.bytes);
            }
        });
    }

    fn reliable_input(&mut self, now: Tick, id: SessionId, input: Input, mut given: Option<Provisional>) {
        let Some(reliable) = self.sessions.get_mut(&id).and_then(|session| session.reliable.as_mut()) else { return };
        let (state, actions) = step(reliable.state, input);
        reliable.state = state;
        for action in actions {
            match action {
                ReliableAction::Send => self.send_reliable(now, id, given.take()),
                ReliableAction::Queue => self.queue_provisional(id, given.take()),
                ReliableAction::SendAgain => self.repeat_reliable(id),
                ReliableAction::Start => self.start_reliable(now, id),
                ReliableAction::Stop => self.stop_reliable(id),
                ReliableAction::Next => {
                    let next = self.sessions.get_mut(&id).and_then(|session| session.reliable.as_mut()?.next.take());
                    if let Some(Provisional { status, body }) = next {
                        self.progress(now, id, status, body);
                    }
                }
                ReliableAction::Succeed => self.succeed(now, id),
                ReliableAction::Reject => self.reject_unacknowledged(now, id),
            }
        }
    }

    fn send_reliable(&mut self, now: Tick, id: SessionId, given: Option<Provisional>) {
        let (t1, lifetime) = (self.times.t1, self.times.lifetime());
        let (Some(session), Some(provisional)) = (self.sessions.get_mut(&id), given) else { return };
        let (Phase::Ringing { tx }, Some(reliable)) = (&session.phase, &mut session.reliable) else { return };
        let tx = *tx;
        reliable.rseq += 1;
        (reliable.interval, reliable.give_up) = (t1, now + lifetime);
        let rseq = reliable.rseq;
        if provisional.body.is_some() {
            reliable.exchange = if reliable.offered { Exchange::Done } else { Exchange::Offered };
            session.described.clone_from(&provisional.body);
        }
        self.send_provisional(now, id, tx, provisional, Some(rseq));
        let bytes = self.last_response(tx).to_vec();
        if let Some(reliable) = self.sessions.get_mut(&id).and_then(|session| session.reliable.as_mut()) {
            reliable.bytes = bytes;
        }
    }

    /// The newest one waits; a description that waited goes with it.
    fn queue_provisional(&mut self, id: SessionId, given: Option<Provisional>) {
        let reliable = self.sessions.get_mut(&id).and_then(|session| session.reliable.as_mut());
        let (Some(reliable), Some(Provisional { status, body })) = (reliable, given) else { return };
        let waited = reliable.next.take().and_then(|waited| waited.body);
        reliable.next = Some(Provisional { status, body: body.or(waited) });
    }

    fn repeat_reliable(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let (Phase::Ringing { tx } | Phase::Answering { tx, .. }, Some(reliable)) = (&session.phase, &session.reliable)
        else {
            return;
        };
        let (tx, bytes) = (*tx, reliable.bytes.clone());
        self.transmit_for(tx, bytes);
    }

    /// RFC 3262 section 3: after T1, then twice as long each time, whatever the transport.
    fn start_reliable(&mut self, now: Tick, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(reliable) = &mut session.reliable else { return };
        let at = (now + reliable.interval).min(reliable.give_up);
        reliable.interval = reliable.interval * 2;
        self.timers.start(&mut session.alarms, TimerKey::Session(id, SessionTimer::Reliable), at);
    }

    fn stop_reliable(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        self.timers.stop(&mut session.alarms, TimerKey::Session(id, SessionTimer::Reliable));
        if let Some(reliable) = &mut session.reliable {
            reliable.bytes = Vec::new();
        }
    }

    pub(super) fn reliable_timer(&mut self, now: Tick, id: SessionId) {
        let reliable = self.sessions.get(&id).and_then(|session| session.reliable.as_ref());
        let Some(reliable) = reliable else { return };
        let input = if now >= reliable.give_up { Input::GiveUp } else { Input::Repeat };
        self.reliable_input(now, id, input, None);
    }

    /// Nobody acknowledged it, RFC 3262 section 3.
    fn reject_unacknowledged(&mut self, now: Tick, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let (Phase::Ringing { tx } | Phase::Answering { tx, .. }) = session.phase else { return };
        self.reply(now, tx, 504, |_| {});
        self.end(now, id, EndCause::NoAck, Farewell::Nothing);
    }

    /// Whether a PRACK acknowledges what waits for one, RFC 3262 section 3.
    ///
    /// # Errors
    /// The status that it is refused with.
    pub(super) fn judge_prack(&self, id: SessionId, request: &Request) -> Result<(), u16> {
        let (rseq, cseq, method) = request.headers.rack().map_err(|_| 400_u16)?;
        let reliable = self.sessions.get(&id).and_then(|session| session.reliable.as_ref()).ok_or(481_u16)?;
        let matches = rseq == reliable.rseq && cseq == reliable.cseq && method == Method::Invite;
        if !matches || !reliable.state.is_unacknowledged() {
            return Err(481);
        }
        request.description().map(|_| ()).map_err(BodyFault::status)
    }

    pub(super) fn reject_prack(&mut self, flow: Flow, request: &Request, status: u16) {
        let fault = request.description().err().filter(|fault| fault.status() == status);
        self.reject(flow, request, status, fault.map_or(&[], BodyFault::headers));
    }

    /// The PRACK that was waited for. Where its offer is answered later, it has acknowledged all the same.
    pub(super) fn receive_prack(&mut self, now: Tick, id: SessionId, tx: u64, request: &Request) {
        let after = self.entropy.below(11).to_string();
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(reliable) = &mut session.reliable else { return };
        match (reliable.exchange, description_of(&request.headers, &request.body)) {
            (Exchange::Offered, Some(body)) => {
                reliable.exchange = Exchange::Done;
                self.reply(now, tx, 200, |_| {});
                self.emit(Event::ReofferAnswered { session: id, body: Some(body) });
            }
            // The peer owes an answer: our offer goes once more with the 2xx, and the ACK may bring it.
            (Exchange::Offered, None) => {
                reliable.exchange = Exchange::Open;
                self.reply(now, tx, 200, |_| {});
            }
            (Exchange::Open | Exchange::Done, None) => self.reply(now, tx, 200, |_| {}),
            // RFC 3262 section 5: once one offer has its answer, a PRACK may carry the next.
            (Exchange::Done, Some(body)) if session.change == Change::None => {
                session.change = Change::Received { tx, invite: None, offerless: false };
                self.emit(Event::Reoffered { session: id, body: Some(body) });
            }
            (Exchange::Open | Exchange::Done, Some(_)) => {
                self.reply(now, tx, 500, |response| response.headers.push("Retry-After", &after));
            }
        }
        self.reliable_input(now, id, Input::Prack, None);
    }

    /// Answers an incoming call with 200, sent again until the ACK: [`Event::Confirmed`] follows, or after 64·T1 without it
    /// [`EndCause::NoAck`]. It waits until a description that went before is acknowledged, and a new offer of the peer's is
    /// answered.
    pub fn answer(&mut self, now: Tick, session: SessionId, contact: Uri, body: Option<Body>) {
        let Some(found) = self.sessions.get_mut(&session) else { return };
        let Phase::Ringing { tx } = found.phase else { return };
        found.dialog.contact = contact;
        found.phase = Phase::Answering { tx, body };
        self.timers.stop(&mut found.alarms, TimerKey::Session(session, SessionTimer::Ringing));
        if found.reliable.is_some() {
            self.reliable_input(now, session, Input::Success, None);
        } else {
            self.succeed(now, session);
        }
    }

    /// Sends the 2xx that the program gave, if nothing is in its way.
    pub(super) fn succeed(&mut self, now: Tick, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Phase::Answering { tx, body } = &mut session.phase else { return };
        let waits = session.reliable.as_ref().is_some_and(|reliable| reliable.state == State::Answering);
        if waits || matches!(session.change, Change::Received { .. }) {
            return;
        }
        let (tx, body) = (*tx, body.take());
        session.phase = Phase::Confirmed;
        // RFC 3261 section 13.2.1: what was said reliably is not said again.
        let is_said = session.reliable.as_ref().is_some_and(|reliable| reliable.exchange != Exchange::Open);
        self.send_success(now, id, tx, AckMeaning::Confirmed, body.filter(|_| !is_said));
    }

    pub(super) fn ringing_timer(&mut self, now: Tick, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Phase::Ringing { tx } = session.phase else { return };
        if let Some(reliable) = &session.reliable {
            let status = reliable.told;
            return self.progress(now, id, status, None);
        }
        let key = TimerKey::Session(id, SessionTimer::Ringing);
        self.timers.start(&mut session.alarms, key, now + RINGING_AGAIN);
        self.repeat_provisional(tx);
    }
}
