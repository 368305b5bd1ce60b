//! Recordings of calls: begun where a rule asks for one, paused while card numbers are said or keyed in, and gone on with.
//!
//! What the rules say is looked at with every plan, since it turns on who talks (docs/decisions/0097). A pause takes the tap out of
//! the call's plan. It is in force, and told, once the worker says that the plan is; what is said from then on never reaches the
//! recorder. A pause ends by itself: after the longest one that the configuration allows, or where the caller's keys began it, some
//! seconds after the last of them (docs/decisions/0096).

use offhook_plan::AssetId;
use offhook_units::{AgentId, CallId, RecordingId, Tick};

use super::state::{Call, Hand, Leg, Pause, Stage};
use super::{Exchange, Output, RecordingWanted};
use crate::event::CallEvent;
use crate::guests::Denied;
use crate::recording::{PausedBy, RecordingWish, Rule};
use crate::timers::Kind;
use crate::view::Recorded;

/// Pauses of one recording. One more begins, and does not end before the call does.
pub const PAUSES_MAX: u32 = 1_000;

impl Exchange {
    /// Does what the rules ask for: begins the recording, once per call, pauses it while they do not let it be, and goes on with it.
    pub(super) fn judge_recording(&mut self, now: Tick, id: CallId) {
        let ruled = |call: &&Call| !call.is_ending() && call.taken.is_none();
        let Some(call) = self.calls.get(&id).filter(ruled) else { return };
        let wanted = self.is_wanted(call);
        match (call.recording, &call.pause) {
            (None, _) if wanted => self.begin_recording(now, id),
            (Some(_), Some(pause)) if wanted && pause.barred => self.unbar(now, id),
            (Some(_), None | Some(Pause { barred: false, .. })) if !wanted => self.bar(id),
            (None | Some(_), None | Some(_)) => {}
        }
    }

    /// The rule that counts for a call as it is now: "never" of whoever says it, then the word of the agents who talk, of the
    /// number, of the queue, and for calls outside.
    fn rule_of(&self, call: &Call) -> Option<Rule> {
        let guests = call.guests.iter().filter(|guest| guest.joined.is_some() && guest.part.talks());
        let others = call.other.iter().chain(guests.map(|guest| &guest.other));
        let talks = matches!(call.stage, Stage::Talking { .. });
        let others = others.filter(|_| talks).filter_map(|other| other.agent);
        let agents = others.chain(call.caller_agent).filter_map(|agent| self.agent(agent)?.record);
        let queue = call.queue.and_then(|queue| self.queue(queue)).and_then(|queue| queue.record);
        let is_outside = call.placed && customer(call).trunk.is_some();
        let outside = self.config.recording.outgoing.filter(|_| is_outside);
        let mut rules = agents.chain(call.number_rule).chain(queue).chain(outside);
        let says = |wanted: Rule| rules.clone().find(|rule| *rule == wanted);
        says(Rule::Never).or_else(|| says(Rule::WithConsent)).or_else(|| rules.next())
    }

    fn is_wanted(&self, call: &Call) -> bool {
        match self.rule_of(call) {
            None | Some(Rule::Never) => false,
            Some(Rule::Always) => true,
            Some(Rule::OnDemand) => call.wanted,
            Some(Rule::Share(percent)) => percent.draws(call.id),
            Some(Rule::WithConsent) => call.consents,
        }
    }

    /// Whether a call that a phone of ours makes may be recorded at the customer's leg: that one must then have a codec that a
    /// recording holds.
    pub(super) fn may_record_outside(&self, call: &Call) -> bool {
        let agent = call.caller_agent.and_then(|agent| self.agent(agent)?.record);
        let rules = [agent, self.config.recording.outgoing];
        call.placed && rules.iter().flatten().any(|rule| *rule != Rule::Never)
    }

    /// What a caller hears first who has entered a queue and is asked whether the call may be recorded: once in a call.
    pub(super) fn ask_consent(&mut self, now: Tick, id: CallId) -> Option<Vec<AssetId>> {
        let call = self.calls.get(&id).filter(|call| !call.asked_consent)?;
        if self.rule_of(call) != Some(Rule::WithConsent) {
            return None;
        }
        let ask = call.queue.and_then(|queue| self.queue(queue))?.consent.as_ref()?.ask.clone();
        if let Some(call) = self.calls.get_mut(&id) {
            call.asked_consent = true;
        }
        self.note(now, CallEvent::ConsentAsked { call: id });
        Some(ask)
    }

    /// A caller who waits pressed a key: whether it is the one that agrees to being recorded.
    pub(super) fn key_consents(&mut self, now: Tick, id: CallId, digit: char) -> bool {
        let Some(call) = self.calls.get(&id) else { return false };
        let consent = call.queue.and_then(|queue| self.queue(queue)).and_then(|queue| queue.consent.as_ref());
        let (asked, given) = (call.asked_consent, call.consents);
        if !asked || consent.is_none_or(|consent| consent.key != digit) {
            return false;
        }
        if !given {
            if let Some(call) = self.calls.get_mut(&id) {
                call.consents = true;
            }
            self.note(now, CallEvent::ConsentGiven { call: id });
            self.replan(now, id);
        }
        true
    }

    /// A number of ours has a word on the calls that it is followed in.
    pub(super) fn note_rule(&mut self, id: CallId, rule: Option<Rule>) {
        if let Some(call) = self.calls.get_mut(&id).filter(|call| call.number_rule != Some(Rule::Never)) {
            call.number_rule = rule.or(call.number_rule);
        }
    }

    /// Begins the recording of an answered call in which somebody waits or talks.
    fn begin_recording(&mut self, now: Tick, id: CallId) {
        let Some(call) = self.calls.get(&id).filter(|call| call.answered) else { return };
        if !matches!(call.stage, Stage::Queued { .. } | Stage::Talking { .. }) {
            return;
        }
        // An INVITE without an offer settles its codec in the ACK; the talk begins after that.
        let codec = customer(call).negotiated.as_ref().map(|agreed| agreed.codec.recorded_as());
        let Some(codec) = codec else { return };
        let queue = call.queue.and_then(|queue| self.queue(queue)).map(|queue| queue.acd.name.clone());
        let recording = RecordingId(self.ids.next());
        if let Some(call) = self.calls.get_mut(&id) {
            call.recording = Some(recording);
        }
        self.note(now, CallEvent::RecordingStarted { call: id, recording });
        let wanted = RecordingWanted { recording, call: id, started: now, codec, queue };
        self.outputs.push_back(Output::OpenRecording(wanted));
        self.begin_outside(now, id);
    }

    /// The rules do not let the call be recorded now.
    fn bar(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(pause) = &mut call.pause {
            (pause.barred, pause.ends) = (true, None);
            return;
        }
        call.pauses += 1;
        call.pause =
            Some(Pause { by: PausedBy::Rule, hand: None, barred: true, generation: 0, since: None, ends: None });
        self.changed.calls.insert(id);
    }

    /// The rules let the call be recorded again.
    fn unbar(&mut self, now: Tick, id: CallId) {
        let Some(pause) = self.calls.get_mut(&id).and_then(|call| call.pause.as_mut()) else { return };
        pause.barred = false;
        if pause.hand.is_none() {
            self.lift(now, id, PausedBy::Rule);
        }
    }

    /// Somebody, or a program, wants the recording of a call begun, paused or gone on with.
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
        let by = by.map_or(PausedBy::Program, PausedBy::Agent);
        let on_demand = self.rule_of(call) == Some(Rule::OnDemand);
        match (wish, call.recording, &call.pause) {
            (RecordingWish::Pause, Some(_), _) => self.pause_by_hand(now, id, by),
            (RecordingWish::Record, None, _) if on_demand => self.want_recording(now, id),
            (_, None, _) => return Err(Denied::Elsewhere("this call is not recorded")),
            (RecordingWish::Record, Some(_), Some(_)) if call.pauses > PAUSES_MAX => {
                return Err(Denied::Full("the recording was paused too often: it stays paused"));
            }
            (RecordingWish::Record, Some(_), Some(pause)) if pause.barred && !on_demand => {
                return Err(Denied::Elsewhere("this call may not be recorded now"));
            }
            (RecordingWish::Record, Some(_), _) => {
                self.want_recording(now, id);
                self.resume_recording(now, id, by);
            }
        }
        Ok(())
    }

    /// Somebody wants a call recorded that is recorded on demand.
    fn want_recording(&mut self, now: Tick, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id).filter(|call| !call.wanted) {
            call.wanted = true;
            self.changed.calls.insert(id);
            self.replan(now, id);
        }
    }

    /// An agent has pressed the keys that begin a recording, pause it, or go on with it.
    fn turn_recording(&mut self, now: Tick, id: CallId, agent: AgentId) {
        let Some(call) = self.calls.get(&id) else { return };
        let goes = call.recording.is_some() && call.pause.as_ref().is_none_or(|pause| pause.ends.is_some());
        let wish = if goes { RecordingWish::Pause } else { RecordingWish::Record };
        let done = self.set_recording(now, id, Some(agent), wish);
        self.settle_recording(done);
    }

    /// Remembers why a wish was not carried out.
    pub(super) fn settle_recording(&mut self, done: Result<(), Denied>) {
        self.denied = done.err();
        self.counters.recording_denied += u64::from(self.denied.is_some());
    }

    /// Pauses for as long as a pause may last. What the caller's keys had begun is whose who asks from now on.
    fn pause_by_hand(&mut self, now: Tick, id: CallId, by: PausedBy) {
        let limit = now + self.config.recording.pause_max;
        self.pause_recording(now, id, by, Hand { limit, by_keys: false });
        self.timers.arm(id, Kind::Pause, limit);
    }

    /// Pauses, or stays so.
    fn pause_recording(&mut self, now: Tick, id: CallId, by: PausedBy, hand: Hand) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(pause) = &mut call.pause {
            (pause.hand, pause.ends) = (Some(hand), None);
            return;
        }
        call.pauses += 1;
        call.pause = Some(Pause { by, hand: Some(hand), barred: false, generation: 0, since: None, ends: None });
        self.changed.calls.insert(id);
        self.replan(now, id);
    }

    /// A plan is in force: if it is the one without the tap, the recording is paused since `at`.
    pub(super) fn plan_applied(&mut self, now: Tick, id: CallId, generation: u32, at: Tick) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| !call.is_ending()) else { return };
        call.applied = call.applied.max(generation);
        let (Some(recording), Some(pause)) = (call.recording, &mut call.pause) else { return };
        if pause.since.is_some() || pause.generation == 0 || call.applied < pause.generation {
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

    /// Goes on with a recording that somebody, or the caller's keys, had paused, unless the rules do not let it.
    fn resume_recording(&mut self, now: Tick, id: CallId, by: PausedBy) {
        let Some(pause) = self.calls.get_mut(&id).and_then(|call| call.pause.as_mut()) else { return };
        pause.hand = None;
        self.timers.disarm(id, Kind::Pause);
        if !pause.barred {
            self.lift(now, id, by);
            self.replan(now, id);
        }
    }

    /// Ends a pause; one that is not in force yet ends as soon as it is. The tap comes back with the next plan.
    fn lift(&mut self, now: Tick, id: CallId, by: PausedBy) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.pauses <= PAUSES_MAX) else { return };
        let (Some(recording), Some(pause)) = (call.recording, &mut call.pause) else { return };
        if pause.since.is_none() {
            pause.ends = Some(by);
            return;
        }
        call.pause = None;
        self.note(now, CallEvent::RecordingResumed { call: id, recording, by });
        // The recorder has to know before the first packet can come.
        self.outputs.push_back(Output::ResumeRecording { recording, at: now });
    }

    /// A pause has lasted for as long as it may.
    pub(super) fn pause_over(&mut self, now: Tick, id: CallId) {
        let call = self.calls.get(&id).filter(|call| call.pauses <= PAUSES_MAX);
        let Some(hand) = call.and_then(|call| call.pause.as_ref()?.hand) else { return };
        let by = if hand.by_keys && now < hand.limit { PausedBy::Keys } else { PausedBy::Limit };
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
            let hand = call.pause.as_ref().filter(|pause| pause.ends.is_none()).and_then(|pause| pause.hand);
            let hand = hand.unwrap_or_else(|| Hand { limit: now + self.config.recording.pause_max, by_keys: true });
            self.pause_recording(now, id, PausedBy::Keys, hand);
            if hand.by_keys {
                self.timers.arm(id, Kind::Pause, hand.limit.min(now + rest));
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

    /// What becomes of a call's speech now.
    pub(super) fn recorded(&self, call: &Call) -> Recorded {
        match (call.recording, &call.pause) {
            (None, _) if self.rule_of(call) == Some(Rule::OnDemand) => Recorded::OnDemand,
            (None, _) => Recorded::No,
            (Some(_), None) => Recorded::Yes,
            (Some(_), Some(Pause { since: None, .. })) => Recorded::Pausing,
            (Some(_), Some(Pause { since: Some(since), by, hand, barred, .. })) => {
                let until = hand.filter(|_| !barred).map(|hand| hand.limit);
                Recorded::Paused { since: *since, by: *by, until }
            }
        }
    }
}

/// The leg that a recording is of: the customer's, who is at the far end of a trunk, or else the caller's.
pub(super) fn customer(call: &Call) -> &Leg {
    let other = call.other.as_ref().map(|other| &other.leg).filter(|leg| leg.trunk.is_some());
    other.filter(|_| call.caller.trunk.is_none()).unwrap_or(&call.caller)
}

impl Call {
    /// Whether the caller's seat is the recorded one: it cannot be given away.
    pub fn is_recorded_at_caller(&self) -> bool {
        self.recording.is_some() && customer(self).id == self.caller.id
    }
}
