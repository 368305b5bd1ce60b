//! Recorded calls go to a recorder outside as well (RFC 7866): we are the session recording client, one recording session a call,
//! for as long as the call has a recording (docs/decisions/0128).
//!
//! A call never waits for its recorder. Where none can be had, or one leaves, it is tried again after growing waits.

use std::collections::BTreeMap;

use offhook_plan::tap::Side;
use offhook_plan::{CodecKind, Direction, Fork, LegPlan, MediaCaps};
use offhook_sip::siprec::{Metadata, OPTION, Participant, Stream, body as with_metadata, new_id};
use offhook_sip::{Body, EndCause, Flow, NameAddr, SessionId, sdp};
use offhook_units::{CallId, LegId, Span, Tick};

use super::legs::escape_user;
use super::media::leg_plan;
use super::placing::{Invitation, Lead};
use super::recording::customer;
use super::state::{Call, Leg, Stage};
use super::trunks::at_carrier;
use super::{Exchange, Role};
use crate::calendar::Date;
use crate::config::Destination;
use crate::event::CallEvent;
use crate::recording::Rule;
use crate::siprec::{GONE_FOR, RETRY_FIRST, RETRY_MAX, SiprecClient, SiprecFigures};
use crate::timers::Kind;

/// The labels of the two streams: what the customer said, and what the customer was sent.
const LABELS: [&str; 2] = ["1", "2"];

/// The recording session of a call.
pub(super) struct Outside {
    /// What its metadata call the call, its streams and whoever takes part: the same in every attempt.
    session_id: String,
    streams: [String; 2],
    people: BTreeMap<String, String>,
    since: Tick,
    /// Attempts in a row that came to nothing.
    attempts: u32,
    up: Option<Up>,
}

/// A session with the recorder, asked for or taken.
struct Up {
    session: SessionId,
    trunk: usize,
    legs: [Leg; 2],
    caps: MediaCaps,
    is_taken: bool,
    told: Told,
    /// Our offer that has no answer yet.
    offered: Option<String>,
}

/// What the recorder was told last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    /// Whoever takes part: address of record, name, and whether it is the customer.
    people: Vec<(String, Option<String>, bool)>,
    codec: CodecKind,
    paused: bool,
}

impl Outside {
    /// Whether its session is on the trunk of this place.
    pub fn is_on(&self, trunk: usize) -> bool {
        self.up.as_ref().is_some_and(|up| up.trunk == trunk)
    }

    /// Its legs, and what is sent there.
    pub fn plan(&self, call: &Call, legs: &mut Vec<LegPlan>, forks: &mut Vec<Fork>) {
        let Some(up) = &self.up else { return };
        legs.extend(up.legs.iter().map(|leg| leg_plan(leg, up.is_taken)));
        if !up.is_taken || call.recording.is_none() || call.pause.is_some() {
            return;
        }
        let from = customer(call).id;
        let sides = [Side::Heard, Side::Sent].into_iter().zip(&up.legs).filter(|(_, leg)| leg.negotiated.is_some());
        forks.extend(sides.map(|(side, to)| Fork { leg: from, side, to: to.id }));
    }

    /// The document that goes with `told`.
    fn metadata(&mut self, told: &Told, entropy: &mut offhook_units::Entropy) -> String {
        let [said, sent] = self.streams.clone();
        let participants = told.people.iter().map(|(aor, name, is_customer)| {
            let id = self.people.entry(aor.clone()).or_insert_with(|| new_id(entropy)).clone();
            let (sends, receives) = if *is_customer { (&said, &sent) } else { (&sent, &said) };
            let (sends, receives) = (vec![sends.clone()], vec![receives.clone()]);
            Participant { id, aor: aor.clone(), name: name.clone(), sends, receives, left: false }
        });
        let participants = participants.collect();
        let streams = self.streams.iter().zip(LABELS).map(|(id, label)| Stream { id: id.clone(), label: label.into() });
        let (session, streams) = (self.session_id.clone(), streams.collect());
        Metadata { partial: false, session, participants, streams }.to_xml(&rfc3339(self.since))
    }
}

impl Up {
    /// Our description of both streams, under the next version where it is not the first.
    fn describe(&mut self, told: &Told) -> Body {
        self.legs[0].sdp_version += u64::from(self.legs[0].described.is_some());
        let locals = [(self.legs[0].local(), LABELS[0]), (self.legs[1].local(), LABELS[1])];
        let direction = if told.paused { Direction::Inactive } else { Direction::SendOnly };
        let text = sdp::offer_streams(&locals, &self.caps, direction);
        self.legs[0].described = Some(text.clone());
        self.offered = Some(text.clone());
        Body::sdp(text)
    }

    /// Reads the answer to our open offer; false where nothing is agreed on.
    fn settle(&mut self, body: Option<&Body>) -> bool {
        let (Some(offered), Some(body)) = (self.offered.take(), body) else { return false };
        let Ok(agreed) = sdp::accept_streams(&offered, &body.bytes, &self.caps) else { return false };
        for (leg, agreed) in self.legs.iter_mut().zip(agreed) {
            leg.negotiated = agreed;
        }
        self.legs.iter().any(|leg| leg.negotiated.is_some())
    }
}

impl Exchange {
    /// Recording sessions with others: what there is and was.
    pub const fn siprec(&self) -> SiprecFigures {
        self.siprec.figures
    }

    /// A recording has begun: the recorder outside gets it too, where there is one.
    pub(super) fn begin_outside(&mut self, now: Tick, id: CallId) {
        if self.config.recording.siprec.is_none() {
            return;
        }
        let entropy = &mut self.entropy;
        let (session_id, streams) = (new_id(entropy), [new_id(entropy), new_id(entropy)]);
        let outside = Outside { session_id, streams, people: BTreeMap::new(), since: now, attempts: 0, up: None };
        if let Some(call) = self.calls.get_mut(&id) {
            call.outside = Some(outside);
        }
        self.call_recorder(now, id);
    }

    /// Sends the recorder an INVITE, or waits where that cannot be done now.
    fn call_recorder(&mut self, now: Tick, id: CallId) {
        let Some(client) = self.config.recording.siprec.clone() else { return };
        if self.invite_recorder(now, id, &client).is_none() {
            self.siprec.figures.failed += 1;
            self.recorder_failed(now, id, 503);
        }
    }

    fn invite_recorder(&mut self, now: Tick, id: CallId, client: &SiprecClient) -> Option<()> {
        let told = self.told_of(id)?;
        let attempts = self.calls.get(&id)?.outside.as_ref()?.attempts;
        let trunk = self.order.places().find(|at| self.config.trunks[*at].name == client.trunk)?;
        let flows = self.targets_up(trunk);
        let flow = *flows.get(attempts as usize % flows.len().max(1))?;
        let out = self.config.trunks[trunk].out.clone()?;
        let srtp = self.trunk_srtp(trunk);
        let first = self.make_leg_out(now, flow, srtp)?;
        let Some(second) = self.make_leg_out(now, flow, srtp) else {
            self.ports.give_back(now, first.port);
            return None;
        };
        let caps = self.caps_recorded(trunk, told.codec);
        let ports = [&first, &second].map(|leg| (leg.id, leg.port));
        let session = SessionId(0);
        let mut up =
            Up { session, trunk, legs: [first, second], caps, is_taken: false, told: told.clone(), offered: None };
        let description = up.describe(&told);
        let outside = self.calls.get_mut(&id)?.outside.as_mut()?;
        let metadata = outside.metadata(&told, &mut self.entropy);
        let body = with_metadata(&description, &metadata, &mut self.entropy);
        let uri = at_carrier(&out, flow, Some(&client.user));
        let from = self.recorded_by(flow);
        let headers = vec![("Require".to_owned(), OPTION.to_owned())];
        let invitation = Invitation { uri, from, headers, credentials: out.credentials };
        let Some(session) = self.send_invite(now, &up.legs[0], invitation, body) else {
            self.ports.give_back(now, up.legs[1].port);
            return None;
        };
        up.session = session;
        self.sessions.insert(session, (id, Role::Recorder));
        self.show_leg(id, session, "trunk", &client.trunk);
        for (leg, port) in ports {
            self.open_leg(id, leg, port, None, None);
        }
        let call = self.calls.get_mut(&id)?;
        call.sessions.insert(session);
        if let Some(outside) = &mut call.outside {
            outside.up = Some(up);
        }
        Some(())
    }

    /// Who we say sends a recording session.
    fn recorded_by(&self, flow: Flow) -> NameAddr {
        NameAddr::new(self.contact(flow))
    }

    /// What both streams are offered with: the customer's codec in front, so that packets go as they are, and what it can be turned
    /// into byte by byte behind it.
    fn caps_recorded(&self, trunk: usize, first: CodecKind) -> MediaCaps {
        let mut caps = self.caps_of(Some(trunk));
        caps.codecs.retain(|cap| cap.kind == first || first.is_recorded() && cap.kind.is_recorded());
        if caps.codecs.iter().all(|cap| cap.kind != first) && (caps.codecs.is_empty() || !first.is_recorded()) {
            caps.codecs = vec![offhook_plan::CodecCap::of(first)];
        }
        caps.codecs.sort_by_key(|cap| cap.kind != first);
        MediaCaps { telephone_event: false, voip_metrics: false, ..caps }
    }

    /// What there is to tell the recorder of a call now.
    fn told_of(&self, id: CallId) -> Option<Told> {
        let call = self.calls.get(&id).filter(|call| !call.is_ending() && call.recording.is_some())?;
        let codec = customer(call).negotiated.as_ref()?.codec;
        let at = |user: &str| format!("sip:{}@{}", escape_user(user), self.config.realm);
        let is_caller = customer(call).id == call.caller.id;
        let caller = match call.caller_agent.and_then(|agent| self.agent(agent)) {
            Some(agent) => (at(&agent.acd.name), Some(agent.acd.name.clone()), is_caller),
            None => (at(&call.from.user), call.from.display.clone(), is_caller),
        };
        let mut people = vec![caller];
        let mut take = |agent: Option<offhook_units::AgentId>, number: &str, is_customer: bool| {
            let name = agent.and_then(|agent| self.agent(agent)).map(|agent| agent.acd.name.clone());
            let aor = at(name.as_deref().unwrap_or(number));
            if people.iter().all(|(known, ..)| *known != aor) {
                people.push((aor, name, is_customer));
            }
        };
        if let (Stage::Talking { .. }, Some(other)) = (&call.stage, &call.other) {
            take(other.agent, &call.number, !is_caller);
            for guest in call.guests.iter().filter(|guest| guest.joined.is_some() && guest.part.talks()) {
                take(guest.other.agent, &guest.number, false);
            }
        }
        // Whom nobody talks to yet hears what we play: the number that was dialled stands for us.
        if people.len() == 1 {
            let queue = call.queue.and_then(|queue| self.queue(queue)).map(|queue| queue.acd.name.clone());
            people.push((at(&call.number), queue, !is_caller));
        }
        Some(Told { people, codec, paused: call.pause.is_some() })
    }

    /// Tells the recorder what has changed: who takes part, the codec, that nothing is sent for a while.
    pub(super) fn follow_outside(&mut self, now: Tick, id: CallId) {
        let has_session = |call: &Call| {
            let up = call.outside.as_ref().and_then(|outside| outside.up.as_ref());
            up.is_some_and(|up| up.is_taken && up.offered.is_none())
        };
        if !self.calls.get(&id).is_some_and(has_session) {
            return;
        }
        let Some(told) = self.told_of(id) else { return };
        let Some(outside) = self.calls.get_mut(&id).and_then(|call| call.outside.as_mut()) else { return };
        let Some(mut up) = outside.up.take_if(|up| up.told != told) else { return };
        up.caps.codecs.sort_by_key(|cap| cap.kind != told.codec);
        let description = up.describe(&told);
        let metadata = outside.metadata(&told, &mut self.entropy);
        let body = with_metadata(&description, &metadata, &mut self.entropy);
        up.told = told;
        let session = up.session;
        outside.up = Some(up);
        self.endpoint.reoffer(now, session, Some(body));
    }

    /// The recorder has taken the session, or an update.
    pub(super) fn recorder_answered(&mut self, now: Tick, id: CallId, session: SessionId, body: Option<&Body>) {
        let Some(up) = self.recorder_of(id, session) else { return self.endpoint.hang_up(now, session, None) };
        if !up.settle(body) {
            return self.leave_recorder(now, id, 488);
        }
        if !core::mem::replace(&mut up.is_taken, true) {
            if let Some(outside) = self.calls.get_mut(&id).and_then(|call| call.outside.as_mut()) {
                outside.attempts = 0;
            }
            self.siprec.gone_until = None;
            self.siprec.figures.sent += 1;
            self.siprec.figures.sent_now += 1;
            if let Some(dialog) = self.endpoint.snapshot(session) {
                self.note(now, CallEvent::RecordingSessionBegan { call: id, dialog: Box::new(dialog) });
            }
        }
        self.replan(now, id);
    }

    /// The recorder changes what it hears: it pauses, goes on, or moves.
    pub(super) fn recorder_reoffered(&mut self, now: Tick, id: CallId, session: SessionId, body: Option<&Body>) {
        let Some(up) = self.recorder_of(id, session) else { return self.endpoint.refuse_reoffer(now, session, 481) };
        let Some(body) = body else {
            let told = up.told.clone();
            let offer = up.describe(&told);
            return self.endpoint.answer_reoffer(now, session, Some(offer));
        };
        let direction = if up.told.paused { Direction::Inactive } else { Direction::SendOnly };
        up.legs[0].sdp_version += 1;
        let locals = [up.legs[0].local(), up.legs[1].local()];
        let mut local = |place: usize| locals.get(place).copied();
        match sdp::answer_streams(&body.bytes, &locals[0], &mut local, &up.caps, direction) {
            Ok((answer, taken)) => {
                for (place, leg) in up.legs.iter_mut().enumerate() {
                    let agreed = taken.iter().find(|taken| taken.place == place);
                    leg.negotiated = agreed.map(|taken| taken.negotiated.clone());
                }
                self.endpoint.answer_reoffer(now, session, Some(Body::sdp(answer)));
                self.replan(now, id);
            }
            Err(fault) => self.endpoint.refuse_reoffer(now, session, fault.status()),
        }
    }

    /// The recorder did not take an update: it gets a session anew.
    pub(super) fn recorder_refused_update(&mut self, now: Tick, session: SessionId, status: u16) {
        if let Some(&(id, Role::Recorder)) = self.sessions.get(&session) {
            self.leave_recorder(now, id, status);
        }
    }

    /// The session is over: refused, or ended by the recorder or by what lies between. The session is not in the books any more.
    pub(super) fn recorder_left(&mut self, now: Tick, id: CallId, session: SessionId, status: u16) {
        if self.recorder_of(id, session).is_some() {
            self.drop_recorder(now, id, status);
        }
    }

    /// Why a session with a recorder ended, as a status.
    pub(super) const fn recorder_end(cause: &EndCause) -> u16 {
        match cause {
            EndCause::PeerBye { .. } | EndCause::Hungup => 200,
            EndCause::TimedOut | EndCause::NoAck | EndCause::Expired => 408,
            EndCause::TransportFailed => 503,
            EndCause::PeerGone => 481,
        }
    }

    /// Ends the session on our side, to have another one later.
    fn leave_recorder(&mut self, now: Tick, id: CallId, status: u16) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(session) = call.outside.as_ref().and_then(|outside| outside.up.as_ref()).map(|up| up.session) else {
            return;
        };
        call.sessions.remove(&session);
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.1 = Role::Orphan;
        }
        self.endpoint.hang_up(now, session, None);
        self.drop_recorder(now, id, status);
    }

    fn drop_recorder(&mut self, now: Tick, id: CallId, status: u16) {
        let up = self.calls.get_mut(&id).and_then(|call| call.outside.as_mut()).and_then(|outside| outside.up.take());
        let Some(up) = up else { return };
        let figures = &mut self.siprec.figures;
        if up.is_taken {
            figures.sent_now = figures.sent_now.saturating_sub(1);
            figures.broken += 1;
        } else {
            figures.failed += 1;
        }
        self.went_wrong(now, id, Some(up.trunk), up.legs[0].flow, status);
        self.recorder_failed(now, id, status);
        self.replan(now, id);
    }

    /// There is no recorder for a call now: it is tried again later.
    fn recorder_failed(&mut self, now: Tick, id: CallId, status: u16) {
        let Some(outside) = self.calls.get_mut(&id).and_then(|call| call.outside.as_mut()) else { return };
        let wait = wait_after(outside.attempts);
        outside.attempts = outside.attempts.saturating_add(1);
        if self.siprec.gone_until.is_none_or(|until| until <= now) {
            tracing::warn!(call = id.0, status, "the recorder outside cannot be had: calls go on without it");
        }
        self.siprec.gone_until = Some(now + GONE_FOR);
        self.timers.arm(id, Kind::Recorder, now + wait);
        self.note(now, CallEvent::RecordingSessionEnded { call: id, status });
    }

    /// The recorder is tried again.
    pub(super) fn recorder_due(&mut self, now: Tick, id: CallId) {
        let is_without = |call: &Call| call.outside.as_ref().is_some_and(|outside| outside.up.is_none());
        if self.calls.get(&id).is_some_and(is_without) {
            self.call_recorder(now, id);
            self.replan(now, id);
        }
    }

    /// Whether it was a leg of the recording session: then only that fails.
    pub(super) fn recorder_leg_failed(&mut self, now: Tick, id: CallId, leg: LegId) -> bool {
        let up = self.calls.get(&id).and_then(|call| call.outside.as_ref()?.up.as_ref());
        let is_its = up.is_some_and(|up| up.legs.iter().any(|known| known.id == leg));
        if is_its {
            self.leave_recorder(now, id, 503);
        }
        is_its
    }

    /// The call is over: what is counted of its recording session.
    pub(super) fn end_outside(&mut self, id: CallId) {
        let outside = self.calls.get_mut(&id).and_then(|call| call.outside.take());
        if outside.and_then(|outside| outside.up).is_some_and(|up| up.is_taken) {
            self.siprec.figures.sent_now = self.siprec.figures.sent_now.saturating_sub(1);
        }
    }

    fn recorder_of(&mut self, id: CallId, session: SessionId) -> Option<&mut Up> {
        let up = self.calls.get_mut(&id)?.outside.as_mut()?.up.as_mut()?;
        (up.session == session).then_some(up)
    }

    /// Whether a new call has to be refused: it is to be recorded, the recorder outside must have it, and is gone.
    pub(super) fn lacks_recorder(&mut self, now: Tick, lead: &Lead) -> bool {
        let is_gone = self.siprec.gone_until.is_some_and(|until| now < until);
        let must = self.config.recording.siprec.as_ref().is_some_and(|client| client.required);
        if !is_gone || !must {
            return false;
        }
        let records = |rule: Option<Rule>| match rule {
            Some(Rule::Always | Rule::Share(_) | Rule::WithConsent) => true,
            None | Some(Rule::Never | Rule::OnDemand) => false,
        };
        let lacks = match lead {
            Lead::Number(number) => match (number.record, &number.to) {
                (Some(rule), _) => records(Some(rule)),
                (None, Destination::Queue(queue)) => records(self.queue(*queue).and_then(|queue| queue.record)),
                // Which queue a caller will choose is not known.
                (None, Destination::Flow(_) | Destination::Dial { .. } | Destination::Echo) => false,
            },
            Lead::Ways(ways) => {
                ways.iter().any(|way| way.trunk.is_some() && !way.urgent) && records(self.config.recording.outgoing)
            }
        };
        self.siprec.figures.refused_calls += u64::from(lacks);
        lacks
    }
}

/// What an exchange remembers of recorders outside.
#[derive(Debug, Default)]
pub(super) struct Siprec {
    pub figures: SiprecFigures,
    /// The recorder could not be had, and is not expected to be before then.
    gone_until: Option<Tick>,
}

/// How long after so many attempts in a row the next one is made.
fn wait_after(attempts: u32) -> Span {
    (RETRY_FIRST * (1_u64 << attempts.min(6))).min(RETRY_MAX)
}

/// An instant as RFC 3339 writes it, to the second.
fn rfc3339(at: Tick) -> String {
    let seconds = at.since(Tick::ZERO).as_s();
    let Date { year, month, day } = Date::from_days((seconds / 86_400).cast_signed());
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let waits: Vec<u64> = [0, 1, 2, 5, 6, 7, u32::MAX].map(|n| wait_after(n).as_s()).to_vec();
        assert_eq!(waits, [1, 2, 4, 32, 60, 60, 60]);
    }

    #[test]
    fn an_instant_is_written_as_rfc_3339() {
        assert_eq!(rfc3339(Tick::from_us(1_795_968_249_000_000)), "2026-11-29T16:04:09Z");
    }
}
