//! Agents' phones that are gone without having hung up: the caller is still there, and waits again at the old place.

use offhook_acd::Command;
use offhook_sip::EndCause;
use offhook_units::{CallId, LegId, Tick};

use super::Exchange;
use super::state::{Call, Stage};
use crate::event::CallEvent;

/// How often one caller comes back to the queue. After that the call ends: what fails each time will not work the next time.
pub const DROPPED_MAX: u32 = 3;

/// Why an agent is not ready whose browser could not agree on keys: the next caller would hear nothing either.
pub(super) const NO_AUDIO: &str = "no-audio";

/// Whether a session ended without anybody having hung up.
pub(super) const fn is_drop(cause: &EndCause) -> bool {
    match cause {
        EndCause::PeerBye { .. } | EndCause::Hungup => false,
        EndCause::TimedOut | EndCause::NoAck | EndCause::TransportFailed | EndCause::PeerGone | EndCause::Expired => {
            true
        }
    }
}

impl Exchange {
    /// The agent's leg of a talk came to nothing after the answer: the caller waits again, and the agent takes no more calls like it.
    /// False where the leg is not an agent's in a talk, or the caller has come back too often.
    pub(super) fn agent_is_unheard(&mut self, now: Tick, id: CallId, leg: LegId) -> bool {
        let other = self.calls.get(&id).and_then(|call| call.other.as_ref()).filter(|other| other.leg.id == leg);
        let agent = other.and_then(|other| other.agent);
        if let Some(agent) = agent.filter(|_| self.may_wait_again(id)) {
            // Before the caller is back, or the same phone would ring next. Not refused: the agent is logged in.
            let _told = self.tell(now, Command::SetNotReady { agent, reason: NO_AUDIO.to_owned() });
            return self.wait_again(now, id);
        }
        false
    }

    /// The agent's phone is gone, the caller is not: back to the queue. False where that cannot be.
    pub(super) fn wait_again(&mut self, now: Tick, id: CallId) -> bool {
        if !self.may_wait_again(id) {
            return false;
        }
        let Some(call) = self.calls.get_mut(&id) else { return false };
        call.dropped += 1;
        let Some(left) = call.other.take() else { return false };
        let guests: Vec<_> = call.guests.iter().map(|guest| guest.other.leg.session).collect();
        self.counters.dropped += 1;
        self.note(now, CallEvent::Dropped { call: id, agent: left.agent });
        self.dismiss(now, id, &left, None);
        for guest in guests {
            self.drop_guest(now, id, guest, 200);
        }
        self.strand(now, id, 480);
        true
    }

    /// Whether the caller talks with an agent of the queue that it came through, and has not come back too often.
    fn may_wait_again(&self, id: CallId) -> bool {
        let may = |call: &Call| {
            let queued = call.queue.is_some() && call.contact.is_some() && call.transfer.is_none();
            let talks = matches!(call.stage, Stage::Talking { .. });
            // Whom we called back has been served once the phone is gone: the queue's callbacks have rules of their own.
            let calls_back = call.calling_back.is_some() || call.asked_back.is_some();
            let with_agent = call.other.as_ref().is_some_and(|other| other.agent.is_some());
            queued && talks && with_agent && !calls_back && call.dropped < DROPPED_MAX
        };
        self.calls.get(&id).is_some_and(may)
    }
}
