//! Every end of a call, from whichever side it comes.

use offhook_acd::{Command, FlowOut, Left};
use offhook_plan::MediaCommand;
use offhook_sip::{EndCause, SessionId, reason_cause};
use offhook_units::{CallId, Span, Tick};

use super::dropped::is_drop;
use super::state::Stage;
use super::{Exchange, Output, Role};
use crate::event::{CallEvent, Missed, Party};
use crate::record::CallEnd;
use crate::timers::Kind;

/// How long the worker has to report an ended call's legs before its record is written without their figures.
const CLOSE_WITHIN: Span = Span::from_s(5);

impl Exchange {
    /// Moves a call to a stage and marks the instant.
    pub(super) fn enter(&mut self, now: Tick, id: CallId, stage: Stage) {
        self.lift_aside(now, id);
        if let Some(call) = self.calls.get_mut(&id) {
            call.stage = stage;
            call.since = now;
        }
    }

    /// The caller sent CANCEL; the endpoint has answered it. Phones that ring are told why, so that a call that was taken elsewhere
    /// counts as missed nowhere.
    pub(super) fn caller_gave_up(&mut self, now: Tick, session: SessionId, reason: Option<&str>) {
        if let Some((id, _)) = self.sessions.remove(&session) {
            if let Some(call) = self.calls.get_mut(&id) {
                call.sessions.remove(&session);
            }
            self.note_cause(now, id, Party::Caller, reason);
            self.end_call(now, id, CallEnd::Abandoned, passed_on(reason).as_deref());
        }
    }

    /// Keeps why a side hung up, where it says so as the telephone network does.
    pub(super) fn note_cause(&mut self, now: Tick, id: CallId, by: Party, reason: Option<&str>) {
        let cause = reason.and_then(|reason| reason_cause(reason, Q850)).and_then(|cause| u8::try_from(cause).ok());
        let going_on = self.calls.get(&id).is_some_and(|call| !call.is_ending());
        if let Some(cause) = cause.filter(|cause| going_on && (1..=127).contains(cause)) {
            self.note(now, CallEvent::HangUpCause { call: id, by, cause });
        }
    }

    /// A session is over for good.
    pub(super) fn session_ended(&mut self, now: Tick, session: SessionId, cause: &EndCause) {
        let Some((id, role)) = self.sessions.remove(&session) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.sessions.remove(&session);
        if call.is_ending() || self.transferor_left(now, id, session) {
            return;
        }
        let Some(call) = self.calls.get(&id) else { return };
        let told = match cause {
            EndCause::PeerBye { reason } => reason.as_deref(),
            EndCause::Hungup
            | EndCause::TimedOut
            | EndCause::NoAck
            | EndCause::TransportFailed
            | EndCause::PeerGone
            | EndCause::Expired => None,
        };
        let reason = passed_on(told);
        match role {
            Role::Caller => {
                let talked = matches!(call.stage, Stage::Talking { .. }) || call.transfer.is_some();
                let end = match &call.stage {
                    // Who hangs up on the last words has not given up waiting.
                    Stage::Message { end, .. } => *end,
                    // Nor has who tried a line, or had a call recorded.
                    Stage::Echo | Stage::Taken => CallEnd::CallerHungUp,
                    _ if talked => CallEnd::CallerHungUp,
                    _ => CallEnd::Abandoned,
                };
                self.note_cause(now, id, Party::Caller, told);
                self.end_call(now, id, end, reason.as_deref());
            }
            Role::Dialled => {
                if call.other.as_ref().is_some_and(|other| other.leg.session == session) {
                    if self.guest_stays(now, id) {
                        return;
                    }
                    self.note_cause(now, id, Party::Agent, told);
                    self.end_call(now, id, CallEnd::AgentHungUp, reason.as_deref());
                }
            }
            Role::Offered(offer) => {
                let connected = call.other.as_ref().is_some_and(|other| other.leg.session == session);
                if connected && self.guest_stays(now, id) {
                    return;
                }
                if connected && is_drop(cause) && self.wait_again(now, id) {
                    return;
                }
                if connected {
                    self.note_cause(now, id, Party::Agent, told);
                    self.end_call(now, id, CallEnd::AgentHungUp, reason.as_deref());
                } else if self.drop_ringing(now, offer, Missed::NoAnswer).is_some() {
                    // The distributor may have withdrawn the offer in this very moment.
                    let _gone = self.tell(now, Command::NoAnswer { offer });
                }
            }
            Role::Customer => self.customer_refused(now, id, session, 480),
            Role::Guest => self.guest_ended(now, id, session),
            Role::Recorder => self.recorder_left(now, id, session, Self::recorder_end(cause)),
            Role::Orphan => {}
        }
    }

    /// Ends a call whose unanswered caller is told `status`; an answered one gets a BYE that gives it as the reason.
    pub(super) fn end_call_with(&mut self, now: Tick, id: CallId, end: CallEnd, status: u16) {
        self.end_call_telling(now, id, end, status, None);
    }

    /// As [`Self::end_call_with`], with the cause that the far end gave; a response may tell it too (RFC 6432).
    pub(super) fn end_call_telling(&mut self, now: Tick, id: CallId, end: CallEnd, status: u16, cause: Option<&str>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let session = call.caller.session;
        if !call.answered && call.sessions.remove(&session) {
            self.sessions.remove(&session);
            let told = cause.map(|cause| ("Reason".to_owned(), cause.to_owned()));
            self.endpoint.refuse(now, session, status, told.into_iter().collect());
        }
        // What the caller wanted has been done.
        let is_done = matches!(end, CallEnd::CallbackAsked | CallEnd::LeftByKey);
        let of_ours = if is_done { Some(NORMAL) } else { q850(status) };
        self.end_call(now, id, end, cause.or(of_ours));
    }

    /// Hangs up on everybody who is left, tells the distributor, and lets the worker close the legs.
    pub(super) fn end_call(&mut self, now: Tick, id: CallId, end: CallEnd, reason: Option<&str>) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| !call.is_ending()) else { return };
        call.end = Some(end);
        let talked = matches!(call.stage, Stage::Talking { .. } | Stage::CallingBack { .. }) || call.transfer.is_some();
        self.timers.disarm_all(id);
        self.give_up_transfer(now, id);
        self.release_contact(now, id, talked, end);
        let offers: Vec<_> = self.calls.get(&id).map(|call| call.ringing.keys().copied().collect()).unwrap_or_default();
        for offer in offers {
            self.stop_ringing_for(now, offer, Missed::Withdrawn, reason);
        }
        self.enter(now, id, Stage::Ending);
        self.end_outside(id);
        self.end_taken(id);
        self.settle_callback(now, id);
        let Some(call) = self.calls.get(&id) else { return };
        let (worker, planned) = (call.worker, call.plan.is_some());
        let sessions = call.sessions.clone();
        let guests = call.guests.iter().filter_map(|guest| guest.other.agent);
        let agents = [call.caller_agent, call.other.as_ref().and_then(|other| other.agent)];
        for agent in agents.into_iter().flatten().chain(guests).collect::<Vec<_>>() {
            self.disengage(now, agent, id);
        }
        for session in sessions {
            self.endpoint.hang_up(now, session, reason.map(str::to_owned));
        }
        if planned {
            self.outputs.push_back(Output::Media { worker, command: MediaCommand::Close(id) });
            self.timers.arm(id, Kind::Close, now + CLOSE_WITHIN);
        } else {
            self.finalize(now, id);
        }
    }

    fn release_contact(&mut self, now: Tick, id: CallId, talked: bool, end: CallEnd) {
        if !talked {
            let left = match end {
                CallEnd::Abandoned | CallEnd::CallerHungUp => Left::Abandoned,
                CallEnd::AgentHungUp
                | CallEnd::NobodyLoggedIn
                | CallEnd::QueueFull
                | CallEnd::WaitedTooLong
                | CallEnd::NotReached
                | CallEnd::Failed
                | CallEnd::ShutDown
                | CallEnd::Transferred
                | CallEnd::Closed
                | CallEnd::LeftByKey
                | CallEnd::CallbackAsked
                | CallEnd::Lost => Left::FlowedOut(FlowOut::Lost),
            };
            if left == Left::Abandoned {
                self.keep_place(now, id);
            }
            return self.leave_queue(now, id, left);
        }
        self.finish_contact(now, id);
    }

    /// The legs are closed and reported, or the worker had its time: the record is written.
    pub(super) fn finalize(&mut self, now: Tick, id: CallId) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.timers.disarm_all(id);
        for (leg, open) in &call.open_legs {
            self.ports.give_back(now, open.port);
            self.moved.remove(leg);
        }
        if let Some(recording) = call.recording {
            self.outputs.push_back(Output::CloseRecording { recording, at: call.since });
        }
        self.discharge(call.charged);
        self.went_out(call.entrance);
        self.release_seats(&call.seats);
        let end = call.end.unwrap_or(CallEnd::Failed);
        *self.counters.ended.entry(end.name()).or_default() += 1;
        self.note(now, CallEvent::Ended { call: id, end });
    }

    /// The grace of a drain is over.
    pub(super) fn hang_up_all(&mut self, now: Tick) {
        let calls: Vec<_> = self.calls.values().filter(|call| !call.is_ending()).map(|call| call.id).collect();
        for id in calls {
            self.end_call_with(now, id, CallEnd::ShutDown, 503);
        }
    }
}

/// The telephone network's causes in a Reason header (RFC 3326).
const Q850: &str = "Q.850";

/// A call that ends as it should.
const NORMAL: &str = "Q.850;cause=16;text=\"Normal call clearing\"";

/// What the other sides of a call are told of why one hung up: the causes alone, and no words of strangers.
pub(super) fn passed_on(reason: Option<&str>) -> Option<String> {
    let reason = reason?;
    let cause = |protocol| Some((protocol, reason_cause(reason, protocol)?));
    let (sip, q850) = (cause("SIP").filter(|(_, cause)| (200..700).contains(cause)), cause(Q850));
    let q850 = q850.filter(|(_, cause)| (1..=127).contains(cause));
    let told: Vec<String> = sip.into_iter().chain(q850).map(|(of, cause)| format!("{of};cause={cause}")).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// The Q.850 cause for a SIP status, as a Reason header (RFC 3326; mapping of RFC 3398 section 8.2.6.1).
fn q850(status: u16) -> Option<&'static str> {
    match status {
        404 => Some("Q.850;cause=1;text=\"Unallocated number\""),
        480 => Some("Q.850;cause=18;text=\"No user responding\""),
        486 | 600 => Some("Q.850;cause=17;text=\"User busy\""),
        488 => Some("Q.850;cause=65;text=\"Bearer capability not implemented\""),
        503 => Some("Q.850;cause=41;text=\"Temporary failure\""),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_is_q850_user_busy() {
        assert_eq!(q850(486), Some("Q.850;cause=17;text=\"User busy\""));
        assert_eq!(q850(200), None);
    }

    #[test]
    fn causes_are_passed_on_without_their_words() {
        let both = "Q.850;cause=16;text=\"<script>\", SIP;cause=200;text=\"elsewhere\"";
        assert_eq!(passed_on(Some(both)).as_deref(), Some("SIP;cause=200, Q.850;cause=16"));
        assert_eq!(passed_on(Some("Q.850;cause=0, SIP;cause=99")), None);
        assert_eq!(passed_on(Some("preemption;cause=1")), None);
        assert_eq!(passed_on(None), None);
    }
}
