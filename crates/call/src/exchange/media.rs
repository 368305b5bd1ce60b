//! From a call's stage to its plan, and from the worker's reports back to the call.

use offhook_plan::tap::Side;
use offhook_plan::{
    Edge, Grade, LegPlan, LevelReport, MediaCommand, MediaEvent, MediaPlan, Negotiated, PlayerPlan, Source,
    SpeechReport, Tap,
};
use offhook_units::{CallId, LegId, PlayerId, Tick};

use super::recording::customer;
use super::state::{Call, Leg, Other, Playing, Stage, Whose};
use super::{Exchange, Output};
use crate::event::{CallEvent, Party};
use crate::guests::Part;
use crate::record::CallEnd;

impl Exchange {
    /// Makes the plan that the call's state asks for, and hands it to the worker where it differs from the last one.
    pub(super) fn replan(&mut self, now: Tick, id: CallId) {
        self.judge_recording(now, id);
        self.follow_outside(now, id);
        let Some(call) = self.calls.get_mut(&id).filter(|call| !call.is_ending()) else { return };
        let mut plan = plan_of(call);
        let same = call.plan.as_ref().is_some_and(|last| same_media(last, &plan));
        call.generation += u32::from(!same);
        if let Some(pause) = call.pause.as_mut().filter(|pause| pause.generation == 0) {
            pause.generation = call.generation;
        }
        if same {
            let applied = call.applied;
            return self.plan_applied(now, id, applied, now);
        }
        plan.generation = call.generation;
        call.plan = Some(plan.clone());
        let worker = call.worker;
        self.outputs.push_back(Output::Media { worker, command: MediaCommand::Apply(Box::new(plan)) });
    }

    /// The call that a leg is in now: what a worker tells of it may be older than its move there.
    fn call_of(&self, call: CallId, leg: LegId) -> CallId {
        self.moved.get(&leg).copied().unwrap_or(call)
    }

    pub(super) fn on_media(&mut self, now: Tick, event: MediaEvent) {
        match event {
            MediaEvent::PlayerFinished { call, player } => self.played(now, call, player),
            MediaEvent::Digit { call, leg, digit, source } => {
                self.pressed(now, self.call_of(call, leg), leg, source, digit);
            }
            MediaEvent::LegClosed { call, leg, report, speech, srtp } => {
                let call = self.moved.remove(&leg).unwrap_or(call);
                let Some(open) = self.calls.get_mut(&call).and_then(|call| call.open_legs.remove(&leg)) else { return };
                self.ports.give_back(now, open.port);
                self.count_speech(open.whose, &speech, open.level.as_ref());
                if let Some(party) = open.party {
                    if let Some(level) = open.level {
                        self.note(now, CallEvent::Spoke { call, party, level });
                    }
                    if let Some(metrics) = open.told {
                        self.note(now, CallEvent::PeerTold { call, party, metrics: Box::new(metrics) });
                    }
                    if let Some(srtp) = srtp {
                        self.note(now, CallEvent::Encrypted { call, party, srtp });
                    }
                    if !speech.is_empty() {
                        self.note(now, CallEvent::Sounded { call, party, speech: Box::new(speech) });
                    }
                    self.note(now, CallEvent::LegClosed { call, party, report });
                }
                self.close_if_reported(now, call);
            }
            MediaEvent::HandshakeFailed { call, leg, .. } => {
                self.handshake_failed(now, self.call_of(call, leg), leg);
            }
            MediaEvent::LegFailed { call, leg, .. } => {
                let call = self.moved.remove(&leg).unwrap_or(call);
                self.leg_failed(now, call, leg);
            }
            MediaEvent::Silent { call, leg, .. } => self.note_silence(now, self.call_of(call, leg), leg, true),
            MediaEvent::HeardAgain { call, leg, .. } => self.note_silence(now, self.call_of(call, leg), leg, false),
            MediaEvent::Graded { call, leg, heard, sent } => {
                self.note_grades(self.call_of(call, leg), leg, (heard, sent));
            }
            MediaEvent::Level { call, leg, level, quiet } => {
                self.note_level(self.call_of(call, leg), leg, level, quiet);
            }
            MediaEvent::PeerTold { call, leg, metrics } => {
                let id = self.call_of(call, leg);
                if let Some(open) = self.calls.get_mut(&id).and_then(|call| call.open_legs.get_mut(&leg)) {
                    open.told = Some(metrics);
                }
            }
            MediaEvent::PlanApplied { call, generation, at } => self.plan_applied(now, call, generation, at),
            MediaEvent::Latched { .. } => {}
        }
    }

    /// A phone sends nothing, or sends again.
    fn note_silence(&mut self, now: Tick, id: CallId, leg: LegId, silent: bool) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.taken.is_some() {
            return self.taken_silence(now, id, leg, silent);
        }
        let Some(open) = call.open_legs.get_mut(&leg) else { return };
        open.silent = silent;
        let party = open.party.is_some();
        // Who waits need not speak: phones that send nothing in pauses are many, and nobody looks at theirs.
        // Nor need a guest.
        if matches!(call.stage, Stage::Talking { .. }) && party {
            self.changed.calls.insert(id);
            self.counters.silences += u64::from(silent);
        }
    }

    /// A leg has come to sound otherwise.
    fn note_grades(&mut self, id: CallId, leg: LegId, grades: (Grade, Grade)) {
        let Some(open) = self.calls.get_mut(&id).and_then(|call| call.open_legs.get_mut(&leg)) else { return };
        let was_poor = open.grades.0.max(open.grades.1) == Grade::Poor;
        open.grades = grades;
        self.changed.calls.insert(id);
        self.counters.poor += u64::from(!was_poor && grades.0.max(grades.1) == Grade::Poor);
    }

    /// How loud a leg's peer speaks is looked at when somebody asks; that it sends nothing but silence is told.
    fn note_level(&mut self, id: CallId, leg: LegId, level: LevelReport, quiet: bool) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(open) = call.open_legs.get_mut(&leg) else { return };
        let turned = open.quiet != quiet;
        (open.level, open.quiet) = (Some(level), quiet);
        let party = open.party.is_some();
        if turned && party && matches!(call.stage, Stage::Talking { .. }) {
            self.changed.calls.insert(id);
            self.counters.quiet += u64::from(quiet);
        }
    }

    /// Adds a leg's ratings and level to those of whoever spoke and listened there.
    fn count_speech(&mut self, whose: Option<Whose>, speech: &SpeechReport, level: Option<&LevelReport>) {
        let of = match whose {
            Some(Whose::Trunk(trunk)) => self.lines.get_mut(trunk).map(|line| (&mut line.speech, &mut line.level)),
            Some(Whose::Agent(agent)) => self.agents.get_mut(&agent).map(|line| (&mut line.speech, &mut line.level)),
            None => None,
        };
        if let Some((speeches, levels)) = of {
            speeches.join(speech);
            if let Some(level) = level {
                levels.join(level);
            }
        }
    }

    fn close_if_reported(&mut self, now: Tick, id: CallId) {
        if self.calls.get(&id).is_some_and(|call| call.is_ending() && call.open_legs.is_empty()) {
            self.finalize(now, id);
        }
    }

    /// A leg's ports could not be opened: another program holds them.
    fn leg_failed(&mut self, now: Tick, id: CallId, leg: LegId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(open) = call.open_legs.remove(&leg) {
            self.ports.give_back_failed(now, open.port);
        }
        let offer = call.ringing.iter().find(|(_, rings)| rings.leg.id == leg).map(|(offer, _)| *offer);
        if let Some(offer) = offer {
            self.stop_ringing(now, offer, crate::event::Missed::NoAnswer);
            // The distributor may have withdrawn it in this very moment.
            let _gone = self.tell(now, offhook_acd::Command::NoAnswer { offer });
        } else if !self.guest_leg_failed(now, id, leg)
            && !self.target_leg_failed(now, id, leg)
            && !self.recorder_leg_failed(now, id, leg)
        {
            self.end_call_with(now, id, CallEnd::Failed, 503);
        }
        self.close_if_reported(now, id);
    }

    /// Whether it was the leg of a transfer's target: then only the transfer fails.
    pub(super) fn target_leg_failed(&mut self, now: Tick, id: CallId, leg: LegId) -> bool {
        let is_target = |call: &Call| call.other.as_ref().is_some_and(|other| other.leg.id == leg);
        self.calls.get(&id).is_some_and(is_target) && self.transfer_failed(now, id, 503)
    }

    /// A player came to its end.
    fn played(&mut self, now: Tick, id: CallId, player: PlayerId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        match &mut call.stage {
            Stage::Greeting { playing, .. } if playing.player == player => self.greeted(now, id),
            Stage::Queued { announcement, .. } if announcement.as_ref().is_some_and(|a| a.player == player) => {
                *announcement = None;
                self.replan(now, id);
            }
            Stage::Message { playing, end, status } if playing.player == player => {
                let (end, status) = (*end, *status);
                self.end_call_with(now, id, end, status);
            }
            Stage::Greeting { .. }
            | Stage::Queued { .. }
            | Stage::Dialling { .. }
            | Stage::Echo
            | Stage::Taken
            | Stage::CallingBack { .. }
            | Stage::Talking { .. }
            | Stage::Message { .. }
            | Stage::Ending => {}
        }
    }
}

/// Whether two plans differ in nothing but their generation.
fn same_media(a: &MediaPlan, b: &MediaPlan) -> bool {
    let MediaPlan { call, generation: _, legs, edges, taps, forks } = a;
    *call == b.call && *legs == b.legs && *edges == b.edges && *taps == b.taps && *forks == b.forks
}

/// The plan that a call's state asks for; a pure function of the call.
fn plan_of(call: &Call) -> MediaPlan {
    let caller = call.caller.id;
    let mut legs: Vec<LegPlan> = (!call.caller.is_absent()).then(|| leg_plan(&call.caller, true)).into_iter().collect();
    legs.extend(call.ringing.values().map(|rings| leg_plan(&rings.leg, false)));
    let mut edges = Vec::new();
    let hears = can_hear(call.caller.negotiated.as_ref());
    match &call.stage {
        Stage::Greeting { playing, listening, .. } => {
            if hears && !listening {
                edges.push(play(playing, false, caller));
            }
        }
        Stage::Queued { music, announcement } => {
            if let Some(announcement) = announcement.as_ref().filter(|_| hears) {
                edges.push(play(announcement, false, caller));
            } else if hears {
                edges.push(play(music, true, caller));
            }
        }
        Stage::Echo if hears => {
            edges.push(Edge { from: Source::Leg(caller), to: caller, since: Tick::MAX });
        }
        Stage::Message { playing, .. } => edges.extend(hears.then(|| play(playing, false, caller))),
        Stage::Talking { connected, hold_music, held_by_other, .. } => {
            if let Some(other) = &call.other {
                if let Some(by) = call.desk.aside() {
                    aside(&mut edges, call, other, hold_music, by);
                } else {
                    talk(&mut edges, call, other, *connected, hold_music, *held_by_other);
                    with_guests(&mut edges, call, Some(other).filter(|_| !*held_by_other));
                }
                let muted = call.desk.muted().map(|by| if by == Party::Caller { caller } else { other.leg.id });
                edges.retain(|edge| muted.is_none_or(|muted| edge.from != Source::Leg(muted)));
            }
        }
        Stage::Dialling { ringback, .. } => {
            let early = call.other.as_ref().filter(|other| hears && other.early_media);
            let music = call.transfer.as_ref().map(|transfer| &transfer.hold_music);
            match (early, music.filter(|music| !music.assets.is_empty()).or(ringback.as_ref())) {
                (Some(other), _) => {
                    edges.push(Edge { from: Source::Leg(other.leg.id), to: caller, since: Tick::ZERO });
                }
                (None, Some(playing)) if hears => edges.push(play(playing, true, caller)),
                (None, _) => {}
            }
            with_guests(&mut edges, call, None);
        }
        Stage::CallingBack { music, early, .. } => {
            let agent = call.other.as_ref().map(|other| &other.leg);
            if let Some(agent) = agent.filter(|agent| can_hear(agent.negotiated.as_ref())) {
                if *early {
                    edges.push(Edge { from: Source::Leg(caller), to: agent.id, since: Tick::ZERO });
                } else if !music.assets.is_empty() {
                    edges.push(play(music, true, agent.id));
                }
            }
        }
        Stage::Echo | Stage::Taken | Stage::Ending => {}
    }
    if let Some(other) = &call.other {
        let up = matches!(call.stage, Stage::Talking { .. } | Stage::CallingBack { .. });
        legs.push(leg_plan(&other.leg, other.early_media || up));
    }
    legs.extend(call.guests.iter().map(|guest| leg_plan(&guest.other.leg, guest.joined.is_some())));
    if let Some(by) = call.transfer.as_ref().and_then(|transfer| transfer.by.as_ref()) {
        legs.push(leg_plan(&by.leg, true));
    }
    let recording = call.recording.filter(|_| call.pause.is_none());
    let mut taps: Vec<Tap> = recording
        .map(|recording| Tap { leg: customer(call).id, recording, heard_as: Side::Heard })
        .into_iter()
        .collect();
    if let Some(taken) = &call.taken {
        taken.plan(call, recording, &mut legs, &mut taps);
    }
    let mut forks = Vec::new();
    if let Some(outside) = &call.outside {
        outside.plan(call, &mut legs, &mut forks);
    }
    MediaPlan { call: call.id, generation: 0, legs, edges, taps, forks }
}

/// The edges of two who talk. What a phone that sent no early media said before its answer reached us belongs to the talk.
fn talk(edges: &mut Vec<Edge>, call: &Call, other: &Other, connected: Tick, hold_music: &Playing, held: bool) {
    let (caller, agent) = (&call.caller, &other.leg);
    if can_hear(caller.negotiated.as_ref()) {
        if held {
            // A third party is company enough.
            let alone = call.guests.iter().all(|guest| guest.joined.is_none() || !guest.part.talks());
            if alone && !hold_music.assets.is_empty() {
                edges.push(play(hold_music, true, caller.id));
            }
        } else {
            // What a phone said in another call belongs there.
            let since = if other.early_media || agent.moved { connected } else { Tick::ZERO };
            edges.push(Edge { from: Source::Leg(agent.id), to: caller.id, since });
        }
    }
    if can_hear(agent.negotiated.as_ref()) {
        edges.push(Edge { from: Source::Leg(caller.id), to: agent.id, since: connected });
    }
}

/// The edges of a talk whose far side the agent's desk has put aside: it hears music, and the agent stays with whoever was
/// brought in. Supervisors hear those two.
fn aside(edges: &mut Vec<Edge>, call: &Call, other: &Other, hold_music: &Playing, by: Party) {
    let (agent, far) = if by == Party::Caller { (&call.caller, &other.leg) } else { (&other.leg, &call.caller) };
    if can_hear(far.negotiated.as_ref()) && !hold_music.assets.is_empty() {
        edges.push(play(hold_music, true, far.id));
    }
    let guests = || call.guests.iter().filter(|guest| guest.joined.is_some());
    for guest in guests() {
        let leg = &guest.other.leg;
        hear(edges, leg, agent, Tick::MAX);
        for from in guests().filter(|from| from.part.talks() && from.other.leg.id != leg.id) {
            hear(edges, leg, &from.other.leg, Tick::MAX);
        }
        if guest.part.talks() || guest.part == Part::Whisper {
            hear(edges, agent, leg, if guest.turned { Tick::MAX } else { guest.joined.unwrap_or(Tick::MAX) });
        }
    }
}

fn hear(edges: &mut Vec<Edge>, leg: &Leg, from: &Leg, since: Tick) {
    if can_hear(leg.negotiated.as_ref()) {
        edges.push(Edge { from: Source::Leg(from.id), to: leg.id, since });
    }
}

/// The edges of supervisors and third parties: all who talk hear each other, whoever listens hears them all, and a whisper is for
/// the agent. `other` is whom the caller talks to, who is not on hold.
fn with_guests(edges: &mut Vec<Edge>, call: &Call, other: Option<&Other>) {
    let guests = || call.guests.iter().filter_map(|guest| Some((guest, guest.joined?)));
    for (guest, joined) in guests() {
        let leg = &guest.other.leg;
        // The two first: what they say is what the guest came for.
        hear(edges, leg, &call.caller, Tick::MAX);
        if let Some(other) = other {
            hear(edges, leg, &other.leg, Tick::MAX);
        }
        for (from, _) in guests().filter(|(from, _)| from.part.talks() && from.other.leg.id != leg.id) {
            hear(edges, leg, &from.other.leg, Tick::MAX);
        }
        // Whoever comes to be heard is heard from the first word on; who listened until now is not heard before now.
        let since = if guest.turned { Tick::MAX } else { joined };
        if guest.part.talks() {
            hear(edges, &call.caller, leg, since);
        }
        if let Some(other) = other.filter(|_| guest.part.talks()) {
            hear(edges, &other.leg, leg, since);
        }
        // A whisper is for the agent, who may be the one who called a number outside.
        if let Some(other) = other.filter(|_| guest.part == Part::Whisper) {
            let is_caller = call.caller_agent.is_some() && other.agent.is_none();
            hear(edges, if is_caller { &call.caller } else { &other.leg }, leg, since);
        }
    }
}

pub(super) fn can_hear(agreed: Option<&Negotiated>) -> bool {
    agreed.is_some_and(|agreed| agreed.direction.sends())
}

fn play(playing: &Playing, repeat: bool, to: LegId) -> Edge {
    let player = PlayerPlan { player: playing.player, assets: playing.assets.clone(), repeat };
    Edge { from: Source::Player(player), to, since: Tick::MAX }
}

pub(super) fn leg_plan(leg: &Leg, up: bool) -> LegPlan {
    LegPlan {
        leg: leg.id,
        local: leg.bind(),
        negotiated: leg.negotiated.clone().filter(|_| up),
        ssrc: leg.ssrc,
        first_seq: leg.first_seq,
        first_timestamp: leg.first_timestamp,
        moved: leg.moved,
        dtls: leg.dtls.clone(),
    }
}
