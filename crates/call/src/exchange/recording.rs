//! Recordings of calls: begun, paused while card numbers are said or keyed in, and gone on with.
//!
//! A pause takes the tap out of the call's plan. It is in force, and told, once the worker says that the plan is; what is said from
//! then on never reaches the recorder. A pause ends by itself: after the longest one that the configuration allows, or where the
//! caller's keys began it, some seconds after the last of them (docs/decisions/0096).

use offhook_units::{AgentId, CallId, RecordingId, Tick};

use super::state::{Pause, Stage};
use super::{Exchange, Output, RecordingWanted};
use crate::event::CallEvent;
use crate::guests::Denied;
use crate::recording::{PausedBy, RecordingWish};
use crate::timers::Kind;

/// Pauses of one recording. One more begins, and does not end before the call does.
pub const PAUSES_MAX: u32 = 1_000;

impl Exchange {
    /// Begins the recording where the queue asks for one and the caller is answered; once per call.
    pub(super) fn start_recording(&mut self, now: Tick, id: CallId) {
        let Some(call) = self.calls.get(&id).filter(|call| call.answered && call.recording.is_none()) else { return };
        let Some(queue) = call.queue.and_then(|queue| self.queue(queue)).filter(|queue| queue.record) else { return };
        let (queue, codec) = (queue.acd.name.clone(), call.caller.negotiated.as_ref().map(|agreed| agreed.codec));
        // An INVITE without an offer settles its codec in the ACK; the talk begins after that.
        let Some(codec) = codec else { return };
        let recording = RecordingId(self.ids.next());
        if let Some(call) = self.calls.get_mut(&id) {
            call.recording = Some(recording);
        }
        self.note(now, CallEvent::RecordingStarted { call: id, recording });
        let wanted = RecordingWanted { recording, call: id, started: now, codec, queue };
        self.outputs.push_back(Output::OpenRecording(wanted));
    }

    /// Somebody, or a program, wants the recording of a call paused or gone on with.
    pub(super) fn set_recording(
        &mut self,
        now: Tick,
        id: CallId,
        by: Option<AgentId>,
        wish: RecordingWish,
    ) -> Result<(), Denied> {
        let call = self.calls.get(&id).filter(|call| !call.is_ending()).ok_or(Denied::NoCall(id))?;
        if let Some(by) = by {
            let agent = self.agent(by).ok_or(Denied::NoAgent(by))?;
            if !agent.supervises.has(call.queue) && call.agents().all(|agent| agent != by) {
                return Err(Denied::Elsewhere("the agent neither takes part in this call nor may supervise it"));
            }
        }
        let is_paused = call.pause.as_ref().map(|pause| pause.ends.is_none());
        let by = by.map_or(PausedBy::Program, PausedBy::Agent);
        match (wish, call.recording, is_paused) {
            (_, None, _) => return Err(Denied::Elsewhere("this call is not recorded")),
            (RecordingWish::Pause, Some(_), _) => self.pause_by_hand(now, id, by),
            (RecordingWish::Record, Some(_), Some(true)) if call.pauses > PAUSES_MAX => {
                return Err(Denied::Full("the recording was paused too often: it stays paused"));
            }
            (RecordingWish::Record, Some(_), _) => self.resume_recording(now, id, by),
        }
        Ok(())
    }

    /// An agent has pressed the keys that pause a recording, or go on with it.
    fn turn_recording(&mut self, now: Tick, id: CallId, agent: AgentId) {
        let Some(call) = self.calls.get(&id) else { return };
        let goes = call.pause.as_ref().is_none_or(|pause| pause.ends.is_some());
        let wish = if goes { RecordingWish::Pause } else { RecordingWish::Record };
        let done = self.set_recording(now, id, Some(agent), wish);
        self.settle_recording(done);
    }

    /// Remembers why a wish was not carried out.
    pub(super) fn settle_recording(&mut self, done: Result<(), Denied>) {
        self.denied = done.err();
        self.counters.recording_denied += u64::from(self.denied.is_some());
    }

    /// Pauses for as long as a pause may last.
    fn pause_by_hand(&mut self, now: Tick, id: CallId, by: PausedBy) {
        let until = now + self.config.recording.pause_max;
        self.pause_recording(now, id, by, until);
        if let Some(pause) = self.calls.get_mut(&id).and_then(|call| call.pause.as_mut()) {
            // What the caller's keys had begun is the agent's from now on.
            (pause.limit, pause.by_keys) = (until, false);
        }
        self.timers.arm(id, Kind::Pause, until);
    }

    /// Pauses, or stays so, until an instant.
    fn pause_recording(&mut self, now: Tick, id: CallId, by: PausedBy, limit: Tick) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(pause) = &mut call.pause {
            pause.ends = None;
            return;
        }
        call.pauses += 1;
        let by_keys = by == PausedBy::Keys;
        call.pause = Some(Pause { by, by_keys, generation: 0, since: None, limit, ends: None });
        self.changed.calls.insert(id);
        self.replan(now, id);
        if let Some(call) = self.calls.get_mut(&id)
            && let Some(pause) = &mut call.pause
        {
            pause.generation = call.generation;
        }
    }

    /// A plan is in force: if it is the one without the tap, the recording is paused since `at`.
    pub(super) fn plan_applied(&mut self, now: Tick, id: CallId, generation: u32, at: Tick) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| !call.is_ending()) else { return };
        let (Some(recording), Some(pause)) = (call.recording, &mut call.pause) else { return };
        if pause.since.is_some() || generation < pause.generation {
            return;
        }
        pause.since = Some(at);
        let (by, ends) = (pause.by, pause.ends);
        self.counters.recording_pauses += 1;
        self.note(now, CallEvent::RecordingPaused { call: id, recording, by });
        self.outputs.push_back(Output::PauseRecording { recording, at });
        if let Some(by) = ends {
            self.resume_recording(now, id, by);
        }
    }

    /// Goes on with a recording that is paused; one that is not in force yet ends as soon as it is.
    fn resume_recording(&mut self, now: Tick, id: CallId, by: PausedBy) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.pauses <= PAUSES_MAX) else { return };
        let (Some(recording), Some(pause)) = (call.recording, &mut call.pause) else { return };
        if pause.since.is_none() {
            pause.ends = Some(by);
            return;
        }
        call.pause = None;
        self.timers.disarm(id, Kind::Pause);
        self.note(now, CallEvent::RecordingResumed { call: id, recording, by });
        // The recorder has to know before the first packet can come.
        self.outputs.push_back(Output::ResumeRecording { recording, at: now });
        self.replan(now, id);
    }

    /// A pause has lasted for as long as it may.
    pub(super) fn pause_over(&mut self, now: Tick, id: CallId) {
        let call = self.calls.get(&id).filter(|call| call.pauses <= PAUSES_MAX);
        let Some(pause) = call.and_then(|call| call.pause.as_ref()) else { return };
        let by = if pause.by_keys && now < pause.limit { PausedBy::Keys } else { PausedBy::Limit };
        self.counters.recording_pauses_at_limit += u64::from(by == PausedBy::Limit);
        self.resume_recording(now, id, by);
    }

    /// The caller has pressed a key. Where the queue wants that, it pauses the recording of a talk. Says whether nobody is to be told
    /// of the key: the recording is paused.
    pub(super) fn key_pauses(&mut self, now: Tick, id: CallId) -> bool {
        let Some(call) = self.calls.get(&id) else { return false };
        let talks = matches!(call.stage, Stage::Talking { .. }) && call.recording.is_some();
        let rest = call.queue.and_then(|queue| self.queue(queue)).and_then(|queue| queue.pause_on_keys);
        if let Some(rest) = rest.filter(|_| talks && call.caller_agent.is_none()) {
            let limit = now + self.config.recording.pause_max;
            self.pause_recording(now, id, PausedBy::Keys, limit);
            let pause = self.calls.get(&id).and_then(|call| call.pause.as_ref());
            if let Some(limit) = pause.filter(|pause| pause.by_keys).map(|pause| pause.limit) {
                self.timers.arm(id, Kind::Pause, limit.min(now + rest));
            }
        }
        self.calls.get(&id).is_some_and(|call| call.pause.is_some())
    }

    /// An agent has pressed a key in a talk, which may be the last of the code that pauses the recording.
    pub(super) fn agent_pressed(&mut self, now: Tick, id: CallId, of_caller: bool, digit: char) {
        let Some(code) = self.config.recording.pause_code.as_deref() else { return };
        let Some(call) = self.calls.get_mut(&id).filter(|call| matches!(call.stage, Stage::Talking { .. })) else {
            return;
        };
        let (agent, digits) = match &mut call.other {
            _ if of_caller => (call.caller_agent, &mut call.caller.digits),
            Some(other) => (other.agent, &mut other.leg.digits),
            None => return,
        };
        if let Some(agent) = agent.filter(|_| digits.completes(now, digit, code)) {
            self.turn_recording(now, id, agent);
        }
    }
}
