//! Calls of others that we record (RFC 7866): a border controller, or another exchange, sends us a recording session, and we are the
//! session recording server (docs/decisions/0129).
//!
//! Such a call has a caller's leg and a second one, both of which only receive. It is answered at once, talks to nobody, and ends with
//! its session, or when nothing has come for too long.

use offhook_plan::tap::Side;
use offhook_plan::{Direction, LegPlan, Tap};
use offhook_sip::siprec::{Metadata, Participant};
use offhook_sip::{Body, BodyFault, Flow, Request, SessionId, Uri, sdp};
use offhook_units::{CallId, LegId, PersonRef, RecordingId, Tick};

use super::identity::presented;
use super::media::leg_plan;
use super::placing::{Origin, Refusal};
use super::state::{Call, Leg, Presented, Stage};
use super::{Exchange, Output, RecordingWanted};
use crate::config::Answer;
use crate::event::{CallEvent, Party, TakenPart};
use crate::record::CallEnd;
use crate::siprec::SiprecServer;
use crate::timers::Kind;

/// Streams of one recording session that are recorded: the two sides of a recording. Further ones are refused with port 0.
pub const STREAMS_MAX: usize = 2;

/// What is known of a recording session that we take.
pub(super) struct Taken {
    /// The leg of the second stream, where there is one.
    second: Option<Leg>,
    /// The m-lines of the two, and their labels.
    streams: Vec<(usize, String)>,
    metadata: Metadata,
    /// Whoever takes part and was noted, by the id in the metadata.
    noted: Vec<String>,
    /// An update came that could not be read: the offer with it is refused with this status.
    fault: Option<u16>,
}

impl Taken {
    /// The leg of the second stream, and what both legs become in the recording.
    pub fn plan(&self, call: &Call, recording: Option<RecordingId>, legs: &mut Vec<LegPlan>, taps: &mut Vec<Tap>) {
        legs.extend(self.second.as_ref().map(|leg| leg_plan(leg, true)));
        let both = [(Some(call.caller.id), Side::Heard), (self.second.as_ref().map(|leg| leg.id), Side::Sent)];
        let Some(recording) = recording else { return };
        taps.clear();
        taps.extend(both.into_iter().filter_map(|(leg, heard_as)| Some(Tap { leg: leg?, recording, heard_as })));
    }

    /// The side of a recording that somebody's streams become.
    fn side_of(&self, participant: &Participant) -> Option<Side> {
        let is_sent = |place: usize| {
            let label = self.streams.get(place).map(|(_, label)| label.as_str())?;
            let id = self.metadata.streams.iter().find(|stream| stream.label == label)?.id.as_str();
            participant.sends.iter().any(|sent| sent == id).then_some(())
        };
        is_sent(0).map(|()| Side::Heard).or_else(|| is_sent(1).map(|()| Side::Sent))
    }
}

impl Exchange {
    /// Takes a recording session, or gives the answer that refuses it.
    pub(super) fn take_recorded(
        &mut self,
        now: Tick,
        session: SessionId,
        flow: Flow,
        request: &Request,
        server: &SiprecServer,
    ) -> Result<(), Refusal> {
        let taken = self.try_recorded(now, session, flow, request, server);
        self.siprec.figures.taken_refused += u64::from(taken.is_err());
        taken
    }

    fn try_recorded(
        &mut self,
        now: Tick,
        session: SessionId,
        flow: Flow,
        request: &Request,
        server: &SiprecServer,
    ) -> Result<(), Refusal> {
        let is_listed = |at: &usize| server.trunks.contains(&self.config.trunks[*at].name);
        let trunk = self.trunk_of(flow, request).filter(is_listed).ok_or(403_u16)?;
        let offer = request.description().map_err(BodyFault::status)?.ok_or(488_u16)?;
        let metadata = request.metadata().map(Metadata::parse).transpose().map_err(|fault| fault.status())?;
        let full = self.refusing || self.drain_by.is_some() || self.calls.len() >= self.config.limits.calls_max;
        if full || self.siprec.figures.taken_now >= u64::from(server.sessions_max) || !self.pace.admit(now) {
            return Err(503.into());
        }
        self.may_come_from(now, Some(trunk))?;
        let srtp = self.trunk_srtp(trunk);
        let first = self.make_leg(now, flow, srtp).ok_or(503_u16)?;
        let Some(second) = self.make_leg(now, flow, srtp) else {
            self.ports.give_back(now, first.port);
            return Err(503.into());
        };
        let mut legs = vec![first, second];
        let locals: Vec<sdp::Local> = legs.iter().map(Leg::local).collect();
        let mut wanted = locals.iter().copied();
        let mut refused = 0;
        let mut local = |_: usize| {
            let next = wanted.next();
            refused += u64::from(next.is_none());
            next
        };
        let caps = self.caps_of(Some(trunk));
        let answered = sdp::answer_streams(offer, &locals[0], &mut local, &caps, Direction::RecvOnly);
        let (answer, taken) = match answered {
            Ok(answered) => answered,
            Err(fault) => {
                for leg in &legs {
                    self.ports.put_back(leg.port);
                }
                return Err(fault.status().into());
            }
        };
        self.siprec.figures.streams_refused += refused;
        for leg in legs.drain(taken.len().min(STREAMS_MAX)..) {
            self.ports.put_back(leg.port);
        }
        let codec = taken.first().map(|taken| taken.negotiated.codec.recorded_as()).ok_or(488_u16)?;
        let streams: Vec<(usize, String)> = taken.iter().map(|taken| (taken.place, taken.label.clone())).collect();
        for (leg, taken) in legs.iter_mut().zip(taken) {
            (leg.session, leg.trunk) = (session, Some(trunk));
            leg.negotiated = Some(taken.negotiated);
        }
        let second = if legs.len() > 1 { legs.pop() } else { None };
        let Some(first) = legs.pop() else { return Err(488.into()) };
        self.came_from(now, Some(trunk));
        let metadata = metadata.unwrap_or_default();
        let (from, number) = who_talks(&metadata, &streams, request);
        let id = self.begin(now, &Origin::Trunk(trunk), number, from, first, Answer::AtStart);
        if let Some(second) = &second {
            self.open_leg(id, second.id, second.port, None, None);
        }
        let recording = RecordingId(self.ids.next());
        if let Some(call) = self.calls.get_mut(&id) {
            call.taken = Some(Box::new(Taken { second, streams, metadata, noted: Vec::new(), fault: None }));
            (call.answered, call.recording) = (true, Some(recording));
        }
        self.enter(now, id, Stage::Taken);
        self.note(now, CallEvent::Answered { call: id });
        self.endpoint.answer(now, session, self.contact(flow), Some(Body::sdp(answer)));
        self.confirm_dialog(now, id, Party::Caller, session);
        self.note(now, CallEvent::RecordingStarted { call: id, recording });
        let wanted = RecordingWanted { recording, call: id, started: now, codec, queue: None };
        self.outputs.push_back(Output::OpenRecording(wanted));
        self.note_parts(now, id);
        self.siprec.figures.taken += 1;
        self.siprec.figures.taken_now += 1;
        self.replan(now, id);
        Ok(())
    }

    /// Notes whoever takes part and was not noted before, under seal.
    fn note_parts(&mut self, now: Tick, id: CallId) {
        let Some(taken) = self.calls.get_mut(&id).and_then(|call| call.taken.as_mut()) else { return };
        let mut parts = Vec::new();
        for participant in &taken.metadata.participants {
            if participant.left || taken.noted.contains(&participant.id) {
                continue;
            }
            let user = user_of(&participant.aor).unwrap_or_else(|| participant.aor.clone());
            let text = participant.name.as_ref().map_or_else(|| user.clone(), |name| format!("{name} ({user})"));
            parts.push((participant.id.clone(), taken.side_of(participant), text));
        }
        taken.noted.extend(parts.iter().map(|(id, ..)| id.clone()));
        for (_, side, text) in parts {
            let person = PersonRef(self.ids.next());
            self.outputs.push_back(Output::Person { person, text });
            let part = TakenPart::of(side);
            self.note(now, CallEvent::PartTaken { call: id, person, part });
        }
    }

    /// An update of the metadata came.
    pub(super) fn metadata_came(&mut self, now: Tick, session: SessionId, document: &[u8]) {
        let Some(&(id, _)) = self.sessions.get(&session) else { return };
        let Some(taken) = self.calls.get_mut(&id).and_then(|call| call.taken.as_mut()) else { return };
        let read = Metadata::parse(document).and_then(|update| taken.metadata.update(update));
        taken.fault = read.err().map(|fault| fault.status());
        if taken.fault.is_some() {
            self.siprec.figures.metadata_refused += 1;
            return;
        }
        self.note_parts(now, id);
    }

    /// The one who sends the recording session changes its streams: pauses, goes on, moves.
    pub(super) fn taken_reoffered(&mut self, now: Tick, id: CallId, session: SessionId, body: Option<&Body>) {
        let caps = self.caps_of(self.calls.get(&id).and_then(|call| call.caller.trunk));
        let Some(call) = self.calls.get_mut(&id) else { return self.endpoint.refuse_reoffer(now, session, 481) };
        let Some(taken) = &mut call.taken else { return self.endpoint.refuse_reoffer(now, session, 481) };
        if let Some(status) = taken.fault.take() {
            return self.endpoint.refuse_reoffer(now, session, status);
        }
        // RFC 7866 section 7.2: the recorder only receives, and has nothing to offer of its own.
        let Some(body) = body else { return self.endpoint.refuse_reoffer(now, session, 488) };
        call.caller.sdp_version += 1;
        let mut legs = vec![&mut call.caller];
        legs.extend(taken.second.as_mut());
        let locals: Vec<sdp::Local> = legs.iter().map(|leg| leg.local()).collect();
        let places: Vec<usize> = taken.streams.iter().map(|(place, _)| *place).collect();
        let mut refused = 0;
        let mut local = |place: usize| {
            let known = places.iter().position(|known| *known == place).and_then(|at| locals.get(at).copied());
            refused += u64::from(known.is_none());
            known
        };
        match sdp::answer_streams(&body.bytes, &locals[0], &mut local, &caps, Direction::RecvOnly) {
            Ok((answer, agreed)) => {
                for (leg, place) in legs.into_iter().zip(&places) {
                    let agreed = agreed.iter().find(|agreed| agreed.place == *place);
                    leg.negotiated = agreed.map(|agreed| agreed.negotiated.clone());
                }
                self.siprec.figures.streams_refused += refused;
                self.timers.disarm(id, Kind::Silent);
                self.endpoint.answer_reoffer(now, session, Some(Body::sdp(answer)));
                self.replan(now, id);
            }
            Err(fault) => self.endpoint.refuse_reoffer(now, session, fault.status()),
        }
    }

    /// A stream of a recording session has been silent for a while, or is not any more: the session is over when all of them are for
    /// too long.
    pub(super) fn taken_silence(&mut self, now: Tick, id: CallId, leg: LegId, silent: bool) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(taken) = &call.taken else { return };
        if let Some(open) = call.open_legs.get_mut(&leg) {
            open.silent = silent;
        }
        let legs = [Some(&call.caller), taken.second.as_ref()].into_iter().flatten();
        let mut receiving =
            legs.filter(|leg| leg.negotiated.as_ref().is_some_and(|agreed| agreed.direction.receives()));
        let all = receiving.all(|leg| call.open_legs.get(&leg.id).is_some_and(|open| open.silent));
        let limit = self.config.recording.siprec_server.as_ref().map(|server| server.silent_max);
        match limit.filter(|_| all) {
            Some(limit) => self.timers.arm(id, Kind::Silent, now + limit),
            None => self.timers.disarm(id, Kind::Silent),
        }
    }

    /// Nothing has come for too long: whoever sent the recording session is gone.
    pub(super) fn taken_too_silent(&mut self, now: Tick, id: CallId) {
        self.siprec.figures.taken_silent += 1;
        self.end_call(now, id, CallEnd::Failed, Some("SIP;cause=408"));
    }

    /// The session is over: what is counted of it.
    pub(super) fn end_taken(&mut self, id: CallId) {
        if self.calls.get(&id).is_some_and(|call| call.taken.is_some()) {
            self.siprec.figures.taken_now = self.siprec.figures.taken_now.saturating_sub(1);
        }
    }
}

/// Who is heard on the first stream, and the number of whoever is on the second, as far as the metadata say; otherwise From and the
/// request URI.
fn who_talks(metadata: &Metadata, streams: &[(usize, String)], request: &Request) -> (Presented, String) {
    let sender = |at: usize| streams.get(at).and_then(|(_, label)| metadata.senders_of(label).next());
    let first = sender(0).or_else(|| metadata.participants.first());
    let from = first.and_then(|one| Some(Presented { display: one.name.clone(), user: user_of(&one.aor)? }));
    let is_other = |other: &&Participant| first.is_none_or(|first| first.id != other.id);
    let second = sender(1).filter(is_other).or_else(|| metadata.participants.iter().find(is_other));
    let number = second.and_then(|other| user_of(&other.aor));
    let dialled = || request.uri.user_decoded().unwrap_or_default().into_owned();
    (from.unwrap_or_else(|| presented(&request.headers, false)), number.unwrap_or_else(dialled))
}

/// The user part of an address of record, or the number of a `tel:` URI.
fn user_of(aor: &str) -> Option<String> {
    if let Some(number) = aor.strip_prefix("tel:") {
        return number.split(';').next().map(str::to_owned).filter(|number| !number.is_empty());
    }
    let uri: Uri = aor.parse().ok()?;
    uri.user_decoded().map(std::borrow::Cow::into_owned).filter(|user| !user.is_empty())
}
