//! The callers of a run.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use offhook_plan::Direction;
use offhook_sip::{Body, EndCause, Flow, Invite, NameAddr, SessionId, Uri, reason_phrase, sdp};
use offhook_units::{Span, Tick};

use super::browsers::Comings;
use super::{Driver, Due, Leg, Stage, change, opening};
use crate::arrivals::Arrivals;
use crate::flows::{Order, Part};
use crate::load::{Callers, Carriage, caps, numbered};
use crate::statistics::Times;

/// How a call ended whose caller's patience was over, and one that ended as was planned.
const GIVEN_UP: &str = "given up";
const COMPLETED: &str = "completed";
/// Different causes that are told apart; what comes then counts as "other".
pub const CAUSES_MAX: usize = 64;

/// What became of the calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallFigures {
    /// Calls that came due.
    pub due: u64,
    /// Of these: not made, because as many as were wanted at once were up.
    pub over_limit: u64,
    /// INVITEs sent.
    pub started: u64,
    /// Answered with 200.
    pub answered: u64,
    /// Answered, and ended as was planned.
    pub completed: u64,
    /// Given up by the caller, whose patience was over.
    pub gave_up: u64,
    /// Not answered, or ended by the server before their time.
    pub failed: u64,
    /// The failed ones, by why.
    pub causes: BTreeMap<String, u64>,
    /// Answered by an agent of ours.
    pub reached: u64,
}

impl CallFigures {
    pub(super) fn fail(&mut self, cause: &str) {
        self.failed += 1;
        let cause = if self.causes.len() < CAUSES_MAX || self.causes.contains_key(cause) { cause } else { "other" };
        *self.causes.entry(cause.to_owned()).or_insert(0) += 1;
    }
}

/// How long things took, each counted from the instant at which the call was due.
#[derive(Debug, Clone, Default)]
pub struct CallTimes {
    /// Until 200: setup.
    pub setup: Times,
    /// Until 180, or 183: post-dial delay.
    pub ringing: Times,
    /// Until the INVITE reached an agent of ours.
    pub to_agent: Times,
    /// Until an agent of ours answered.
    pub agent_answered: Times,
    /// From the server's description until ICE and DTLS were through, where speech goes as a browser's.
    pub connected: Times,
    /// From the agent's answer until the caller's own speech came back: what is lost of the first words.
    pub first_words: Times,
}

/// What became of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its number, as in the caller's name.
    pub number: u64,
    /// When it was answered.
    pub answered: Option<Tick>,
    /// When the server acknowledged that an agent of ours had answered it; none where it did so only to end that at once, as a
    /// server must whose CANCEL the answer crossed.
    pub served: Option<Tick>,
    /// How it ended: "completed", "given up", or why it failed.
    pub end: String,
}

#[derive(Debug)]
pub(super) struct Call {
    number: u64,
    due: Tick,
    pub leg: Leg,
    rang: bool,
    answered: Option<Tick>,
    /// When an agent of ours answered.
    reached: Option<Tick>,
    /// When that answer was acknowledged.
    served: Option<Tick>,
    /// Why it was ended by us before it was answered or served.
    pub gave_up: bool,
}

/// All callers.
#[derive(Debug)]
pub(super) struct Crowd {
    pub load: Callers,
    /// Where messages come from; calls are spread over them.
    locals: Vec<SocketAddr>,
    arrivals: Option<Arrivals>,
    pub calls: BTreeMap<SessionId, Call>,
    by_number: BTreeMap<u64, SessionId>,
    pub by_flow: BTreeMap<u32, SessionId>,
    pub coming: Comings,
    pub talking: usize,
    /// No further call comes.
    pub is_done: bool,
    pub figures: CallFigures,
    pub times: CallTimes,
    pub start_late: Times,
    /// When the last call was due that was begun.
    pub last_due: Option<Tick>,
    /// Of each call that is over, where that is kept.
    pub outcomes: Option<Vec<Outcome>>,
}

impl Crowd {
    pub fn new(load: Callers, locals: Vec<SocketAddr>, keeps_outcomes: bool) -> Self {
        Self {
            load,
            locals,
            arrivals: None,
            calls: BTreeMap::new(),
            by_number: BTreeMap::new(),
            by_flow: BTreeMap::new(),
            coming: Comings::new(),
            talking: 0,
            is_done: false,
            figures: CallFigures::default(),
            times: CallTimes::default(),
            start_late: Times::default(),
            last_due: None,
            outcomes: keeps_outcomes.then(Vec::new),
        }
    }

    pub fn leg_mut(&mut self, session: SessionId) -> Option<&mut Leg> {
        self.calls.get_mut(&session).map(|call| &mut call.leg)
    }

    /// A caller's own speech came back, or an agent's came.
    pub fn heard(&mut self, flow: u32, at: Tick) {
        let call = self.by_flow.get(&flow).and_then(|session| self.calls.get(session));
        if let Some(reached) = call.and_then(|call| call.reached) {
            self.times.first_words.note_since(reached, at);
        }
    }

    fn keep(&mut self, call: &Call, end: &str) {
        let Call { number, answered, served, .. } = *call;
        let outcome = Outcome { number, answered, served, end: end.to_owned() };
        self.outcomes.iter_mut().for_each(|outcomes| outcomes.push(outcome.clone()));
    }

    /// Calls that are up or about to be.
    pub fn up(&self) -> usize {
        self.calls.len() + self.coming.len()
    }

    fn flow(&self, number: u64) -> Flow {
        let at = number as usize % self.locals.len().max(1);
        let local = self.locals.get(at).copied().unwrap_or(self.load.local);
        Flow { transport: self.load.transport, local, peer: self.load.server }
    }

    fn remove(&mut self, session: SessionId) -> Option<Call> {
        let call = self.calls.remove(&session)?;
        self.by_number.remove(&call.number);
        self.by_flow.remove(&call.leg.flow);
        self.talking -= usize::from(call.answered.is_some());
        Some(call)
    }
}

impl Driver {
    /// Plans the first call.
    pub(super) fn plan_calls(&mut self, begin: Tick) {
        let lasting = self.lasting;
        let Some(crowd) = &mut self.crowd else { return };
        let over = if crowd.load.hold.is_some() { lasting.unwrap_or(Span::MAX) } else { Span::MAX };
        crowd.arrivals = Some(Arrivals::new(crowd.load.pattern.clone(), over));
        self.plan_next(begin);
    }

    fn plan_next(&mut self, begin: Tick) {
        let Some(crowd) = &mut self.crowd else { return };
        let is_enough = crowd.load.hold.is_none() && crowd.figures.due >= crowd.load.concurrent as u64;
        let next = crowd.arrivals.as_mut().filter(|_| !is_enough).and_then(|arrivals| arrivals.next(&mut self.entropy));
        match next {
            Some(after) => self.at(begin + after, Due::Arrive),
            None => crowd.is_done = crowd.load.hold.is_some(),
        }
    }

    /// A crowd that stays is full once every call of it was answered or has failed.
    pub(super) fn note_full(&mut self, now: Tick) {
        let Some(crowd) = &self.crowd else { return };
        let no_more = !self.due.values().any(|due| *due == Due::Arrive);
        let is_settled = crowd.figures.due > 0 && no_more && crowd.talking == crowd.up();
        if self.full.is_none() && crowd.load.hold.is_none() && is_settled {
            self.full = Some(now);
        }
    }

    /// A call is due at `due`.
    pub(super) fn arrive(&mut self, now: Tick, due: Tick) {
        let Some(begin) = self.began else { return };
        let leg = self.leg(now, true);
        let Some(crowd) = &mut self.crowd else { return };
        crowd.figures.due += 1;
        let number = crowd.figures.due;
        crowd.start_late.note_since(due, now);
        if crowd.up() >= crowd.load.concurrent {
            crowd.figures.over_limit += 1;
        } else if crowd.load.carriage == Carriage::WebRtc {
            self.come(due, number, leg);
        } else {
            self.call(now, due, number, leg);
        }
        self.plan_next(begin);
    }

    pub(super) fn call(&mut self, now: Tick, due: Tick, number: u64, mut leg: Leg) {
        let Some(crowd) = &mut self.crowd else { return };
        let caps = caps(crowd.load.speech.codec);
        let offer = leg.offer.take().unwrap_or_else(|| sdp::offer(&leg.local, &caps, Direction::SendRecv));
        let from = numbered(&crowd.load.from, number);
        let flow = crowd.flow(number);
        let invite = Invite {
            flow,
            uri: crowd.load.uri.clone(),
            from: NameAddr::new(Uri::at(Some(&from), flow.local)),
            to: NameAddr::new(crowd.load.uri.clone()),
            contact: flow.contact(Some(&from), None),
            headers: Vec::new(),
            body: Some(Body::sdp(offer.clone())),
            credentials: crowd.load.credentials.clone(),
        };
        leg.offer = Some(offer);
        let patience = crowd.load.patience;
        match self.endpoint.invite(now, invite) {
            Ok(session) => {
                crowd.figures.started += 1;
                crowd.last_due = Some(due);
                crowd.by_number.insert(number, session);
                crowd.by_flow.insert(leg.flow, session);
                let call =
                    Call { number, due, leg, rang: false, answered: None, reached: None, served: None, gave_up: false };
                crowd.calls.insert(session, call);
                if let Some(patience) = patience {
                    let at = due + patience.draw(&mut self.entropy);
                    self.at(at, Due::GiveUp(session));
                }
            }
            Err(full) => {
                crowd.figures.fail(&full.to_string());
                self.close_flow(&leg);
            }
        }
    }

    pub(super) fn progress(&mut self, now: Tick, session: SessionId, status: u16, body: Option<Body>) {
        let Some(crowd) = &mut self.crowd else { return };
        let Some(call) = crowd.calls.get_mut(&session) else { return };
        if matches!(status, 180 | 183) && !core::mem::replace(&mut call.rang, true) {
            crowd.times.ringing.note_since(call.due, now);
        }
        // An early answer: what is said before the call is answered is heard, and the way back is open.
        if let Some(body) = body.filter(Body::is_sdp)
            && let Some(offer) = &call.leg.offer
            && let Ok(agreed) = sdp::accept(offer, &body.bytes, &caps(crowd.load.speech.codec))
            && !core::mem::replace(&mut call.leg.is_open, true)
        {
            let order = opening(&call.leg, Part::Caller, &crowd.load.speech, &agreed);
            self.open_flow(now, order, &body.bytes);
        }
    }

    /// A caller's flow opens, as the server's description says.
    fn open_flow(&mut self, now: Tick, order: Order, description: &[u8]) {
        if let Order::Open(opening) = &order {
            let flow = opening.flow;
            self.lead_way(now, flow, description);
            self.tell_flow(flow, order);
        }
    }

    pub(super) fn answered(&mut self, now: Tick, session: SessionId, body: Option<Body>) {
        let Some(crowd) = &mut self.crowd else { return };
        let Some(call) = crowd.calls.get_mut(&session) else { return };
        crowd.times.setup.note_since(call.due, now);
        crowd.figures.answered += 1;
        crowd.talking += 1;
        call.answered = Some(now);
        let hold = crowd.load.hold;
        let keys = crowd.load.keys.clone();
        let (flow, number, is_reached) = (call.leg.flow, call.number, call.reached.is_some());
        let body = body.filter(Body::is_sdp);
        let agreed = match (&body, call.leg.offer.take()) {
            (Some(body), Some(offer)) => sdp::accept(&offer, &body.bytes, &caps(crowd.load.speech.codec))
                .map(Some)
                .map_err(|error| error.to_string()),
            (None, _) if call.leg.is_open => Ok(None),
            (None, _) | (_, None) => Err("the answer has no session description".to_owned()),
        };
        let was_open = core::mem::replace(&mut call.leg.is_open, true);
        let is_ours = call.leg.way.is_none();
        match agreed {
            Ok(agreed) => {
                if let (Some(agreed), Some(body)) = (agreed, body) {
                    let order = opening(&call.leg, Part::Caller, &crowd.load.speech, &agreed);
                    match (was_open, is_ours) {
                        (false, _) => self.open_flow(now, order, &body.bytes),
                        (true, true) => self.media(change(flow, &agreed)),
                        // A way is led once.
                        (true, false) => {}
                    }
                }
                if !keys.is_empty() {
                    self.tell_flow(flow, Order::Press(flow, keys));
                }
                // Where agents are of this run, a sample begins with the agent.
                if self.sampled == Some(number) && (self.floor.is_none() || is_reached) {
                    self.tell_flow(flow, Order::Sample(flow));
                }
                self.hang_up_after(now, session, hold);
            }
            Err(why) => {
                crowd.figures.fail(&format!("media: {why}"));
                call.gave_up = true;
                self.endpoint.hang_up(now, session, None);
            }
        }
    }

    fn hang_up_after(&mut self, now: Tick, session: SessionId, hold: Option<crate::arrivals::Spread>) {
        if let Some(hold) = hold {
            let at = now + hold.draw(&mut self.entropy);
            self.at(at, Due::HangUp(session));
        }
    }

    /// A caller's patience is over, if it is still waiting: for an answer, or for an agent where there are agents of ours.
    pub(super) fn give_up(&mut self, now: Tick, session: SessionId) {
        let waits_for_agent = self.floor.is_some();
        let Some(crowd) = &mut self.crowd else { return };
        let Some(call) = crowd.calls.get_mut(&session) else { return };
        let is_served = if waits_for_agent { call.reached.is_some() } else { call.answered.is_some() };
        if !is_served && !call.gave_up {
            call.gave_up = true;
            crowd.figures.gave_up += 1;
            self.endpoint.hang_up(now, session, None);
        }
    }

    pub(super) fn refused(&mut self, now: Tick, session: SessionId, status: u16, reason: &str) {
        let Some(crowd) = &mut self.crowd else { return };
        let Some(call) = crowd.remove(session) else { return };
        if call.gave_up {
            crowd.keep(&call, GIVEN_UP);
        } else {
            let reason = if reason.is_empty() { reason_phrase(status) } else { reason };
            let why = format!("{status} {reason}");
            crowd.figures.fail(&why);
            crowd.keep(&call, &why);
        }
        self.close_flow(&call.leg);
        self.look(now);
    }

    /// A call is over; says whether it was a caller's.
    pub(super) fn call_over(&mut self, now: Tick, session: SessionId, cause: &EndCause, words: Option<&str>) -> bool {
        let is_ending = matches!(self.stage, Stage::Ending { .. } | Stage::Lingering { .. } | Stage::Over);
        // Where agents of ours hang up, that the server does so too is what was planned.
        let may_end = self.floor.as_ref().is_some_and(|floor| floor.load.hang_up_after.is_some());
        let Some(crowd) = &mut self.crowd else { return false };
        let Some(call) = crowd.remove(session) else { return false };
        let failed = match cause {
            _ if call.gave_up => None,
            EndCause::Hungup if call.answered.is_some() => None,
            EndCause::Hungup if is_ending => Some("not answered before the end of the run"),
            EndCause::PeerBye { .. } if may_end && call.reached.is_some() => None,
            EndCause::PeerBye { .. } => Some("ended by the server before its time"),
            EndCause::Hungup
            | EndCause::TimedOut
            | EndCause::NoAck
            | EndCause::TransportFailed
            | EndCause::PeerGone
            | EndCause::Expired => Some(words.unwrap_or_default()),
        };
        match failed {
            Some(why) => crowd.figures.fail(why),
            None => crowd.figures.completed += u64::from(!call.gave_up),
        }
        crowd.keep(&call, failed.unwrap_or(if call.gave_up { GIVEN_UP } else { COMPLETED }));
        self.close_flow(&call.leg);
        self.look(now);
        true
    }

    /// Ends every call.
    pub(super) fn end_calls(&mut self, now: Tick) {
        self.forget_coming();
        let sessions: Vec<SessionId> = self.crowd.iter().flat_map(|crowd| crowd.calls.keys().copied()).collect();
        for session in sessions {
            self.endpoint.hang_up(now, session, None);
        }
    }

    /// An INVITE reached an agent of ours: which caller is it?
    pub(super) fn find_caller(&mut self, now: Tick, names: &[String]) -> Option<u64> {
        let crowd = self.crowd.as_mut()?;
        let numbers = names.iter().filter_map(|name| crate::load::number_in(&crowd.load.from, name));
        let number = numbers.into_iter().find(|number| crowd.by_number.contains_key(number))?;
        let call = crowd.calls.get(crowd.by_number.get(&number)?)?;
        crowd.times.to_agent.note_since(call.due, now);
        Some(number)
    }

    /// The server acknowledged that an agent of ours answered a caller of ours.
    pub(super) fn note_served(&mut self, now: Tick, number: u64) {
        if let Some(call) = self.call_of(number) {
            call.served.get_or_insert(now);
        }
    }

    /// What the server acknowledged at `since` came to nothing.
    pub(super) fn note_unserved(&mut self, since: Tick, number: u64) {
        if let Some(call) = self.call_of(number) {
            call.served.take_if(|served| *served == since);
        }
    }

    fn call_of(&mut self, number: u64) -> Option<&mut Call> {
        let crowd = self.crowd.as_mut()?;
        crowd.calls.get_mut(crowd.by_number.get(&number)?)
    }

    /// An agent of ours answered a caller of ours.
    pub(super) fn reach(&mut self, now: Tick, number: u64) {
        let Some(crowd) = &mut self.crowd else { return };
        let Some(call) = crowd.by_number.get(&number).and_then(|session| crowd.calls.get_mut(session)) else { return };
        if call.reached.is_none() {
            call.reached = Some(now);
            crowd.figures.reached += 1;
            crowd.times.agent_answered.note_since(call.due, now);
            let flow = call.leg.flow;
            if self.sampled == Some(number) {
                self.tell_flow(flow, Order::Sample(flow));
            }
        }
    }
}
