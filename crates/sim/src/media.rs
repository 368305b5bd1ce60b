//! A media worker without media: carries plans out in its head, reports what a real one would.

use std::collections::{BTreeMap, BTreeSet};

use offhook_plan::{DigitSource, LegReport, MediaCommand, MediaEvent, MediaPlan, Source, SpeechReport};
use offhook_units::{CallId, Entropy, LegId, PlayerId, RecordingId, Span, Tick};

/// How long every prompt lasts.
const PROMPT: Span = Span::from_ms(700);
/// How long a command takes to reach a worker, and a report to come back.
const HOP: Span = Span::from_ms(1);

/// A worker for all calls.
pub struct Worker {
    chance: Entropy,
    calls: BTreeMap<CallId, MediaPlan>,
    reports: BTreeMap<(Tick, u64), MediaEvent>,
    playing: BTreeMap<PlayerId, CallId>,
    posted: u64,
    /// Legs that were ever open, to see that none is reopened.
    closed: BTreeSet<LegId>,
    /// Legs that have left a call, for which one.
    moving: BTreeMap<LegId, CallId>,
    /// One leg in so many fails to open; zero for none.
    pub fail_one_in: u64,
}

impl Worker {
    pub fn new(chance: Entropy) -> Self {
        Self {
            chance,
            calls: BTreeMap::new(),
            reports: BTreeMap::new(),
            playing: BTreeMap::new(),
            posted: 0,
            closed: BTreeSet::new(),
            moving: BTreeMap::new(),
            fail_one_in: 0,
        }
    }

    /// Carries a command out, and checks that it can be.
    pub fn command(&mut self, now: Tick, command: MediaCommand) {
        match command {
            MediaCommand::Apply(plan) => self.apply(now, *plan),
            MediaCommand::Close(call) => {
                if let Some(plan) = self.calls.remove(&call) {
                    for leg in plan.legs {
                        self.close(now, call, leg.leg);
                    }
                    self.playing.retain(|_, of| *of != call);
                }
            }
            MediaCommand::Move(goes) => {
                let plan = self.calls.get_mut(&goes.from).unwrap_or_else(|| panic!("no call for {goes:?}"));
                let before = plan.legs.len();
                plan.legs.retain(|leg| leg.leg != goes.leg);
                assert_eq!(plan.legs.len() + 1, before, "a leg leaves the call that it is in: {goes:?}");
                self.moving.insert(goes.leg, goes.to);
            }
        }
    }

    fn apply(&mut self, now: Tick, plan: MediaPlan) {
        check(&plan);
        let call = plan.call;
        let before = self.calls.remove(&call);
        assert!(before.as_ref().is_none_or(|before| before.generation < plan.generation), "generations rise: {plan:?}");
        let before: Vec<_> = before.map(|before| before.legs).unwrap_or_default();
        for leg in &plan.legs {
            assert!(!self.closed.contains(&leg.leg), "a closed leg stays closed: {:?}", leg.leg);
            let new = before.iter().all(|known| known.leg != leg.leg);
            if new && leg.moved {
                assert_eq!(self.moving.remove(&leg.leg), Some(call), "it comes from another call: {:?}", leg.leg);
            } else if new && self.fail_one_in > 0 && self.chance.below(self.fail_one_in) == 0 {
                self.post(now + HOP, MediaEvent::LegFailed { call, leg: leg.leg, error: "in use".to_owned() });
            }
        }
        for leg in before {
            if plan.legs.iter().all(|kept| kept.leg != leg.leg) {
                self.close(now, call, leg.leg);
            }
        }
        self.playing.retain(|_, of| *of != call);
        for edge in &plan.edges {
            if let Source::Player(player) = &edge.from {
                self.playing.insert(player.player, call);
                if !player.repeat {
                    let lasts = PROMPT * player.assets.len() as u64;
                    self.post(now + lasts, MediaEvent::PlayerFinished { call, player: player.player });
                }
            }
        }
        self.post(now + HOP, MediaEvent::PlanApplied { call, generation: plan.generation, at: now });
        self.calls.insert(call, plan);
    }

    fn close(&mut self, now: Tick, call: CallId, leg: LegId) {
        self.closed.insert(leg);
        let report = LegReport { received_packets: 1, ..LegReport::default() };
        let mut speech = SpeechReport::default();
        speech.heard.add(1, 93.2, 441);
        self.post(now + HOP, MediaEvent::LegClosed { call, leg, report, speech, srtp: None });
    }

    fn post(&mut self, at: Tick, event: MediaEvent) {
        self.posted += 1;
        self.reports.insert((at, self.posted), event);
    }

    /// When the next report comes.
    pub fn next(&self) -> Option<Tick> {
        self.reports.keys().next().map(|(at, _)| *at)
    }

    /// A report that has come. A player that was replaced since does not finish.
    pub fn report(&mut self, now: Tick) -> Option<MediaEvent> {
        loop {
            let entry = self.reports.first_entry().filter(|entry| entry.key().0 <= now)?;
            match entry.remove() {
                MediaEvent::PlayerFinished { call, player } if self.playing.remove(&player) != Some(call) => {}
                event => return Some(event),
            }
        }
    }

    /// A digit pressed by the caller of a call, the `one`th of those that have a leg with media.
    pub fn press(&mut self, now: Tick, one: usize, digit: char) {
        let callers = self.calls.values().filter_map(|plan| Some((plan.call, plan.legs.first()?.leg)));
        let callers: Vec<_> = callers.collect();
        let Some(&(call, leg)) = callers.get(one % callers.len().max(1)) else { return };
        self.post(now + HOP, MediaEvent::Digit { call, leg, digit, source: DigitSource::Event });
    }

    /// The same of the phone that such a caller talks to: its `keys`, one after the other.
    pub fn press_far(&mut self, now: Tick, one: usize, keys: &str) {
        let far: Vec<_> = self.calls.values().filter_map(|plan| Some((plan.call, plan.legs.get(1)?.leg))).collect();
        let Some(&(call, leg)) = far.get(one % far.len().max(1)) else { return };
        for digit in keys.chars() {
            self.post(now + HOP, MediaEvent::Digit { call, leg, digit, source: DigitSource::Event });
        }
    }

    /// Recordings that are fed by the plans in force.
    pub fn tapped(&self) -> impl Iterator<Item = RecordingId> {
        self.calls.values().flat_map(|plan| &plan.taps).map(|tap| tap.recording)
    }

    /// Whether this one is.
    pub fn taps(&self, recording: RecordingId) -> bool {
        self.tapped().any(|tapped| tapped == recording)
    }

    /// Calls that it still holds media for.
    pub fn open(&self) -> usize {
        self.calls.len()
    }
}

/// What holds for every plan.
fn check(plan: &MediaPlan) {
    let legs: BTreeSet<_> = plan.legs.iter().map(|leg| leg.leg).collect();
    assert_eq!(legs.len(), plan.legs.len(), "a leg stands once in a plan: {plan:?}");
    let mut ports: Vec<_> = plan.legs.iter().map(|leg| leg.local).collect();
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), plan.legs.len(), "legs share no port: {plan:?}");
    let mut heard = BTreeSet::new();
    for edge in &plan.edges {
        let from = match &edge.from {
            Source::Leg(from) => (Some(*from), None),
            Source::Player(player) => (None, Some(player.player)),
        };
        assert!(heard.insert((edge.to, from)), "a leg hears each source once: {plan:?}");
        let to = plan.legs.iter().find(|leg| leg.leg == edge.to).expect("an edge leads to a leg of the plan");
        let agreed = to.negotiated.as_ref().expect("an edge leads to a leg with a codec");
        assert!(agreed.direction.sends(), "nothing is sent to a leg on hold: {plan:?}");
        if let Source::Leg(from) = edge.from {
            assert!(from != edge.to && legs.contains(&from), "an edge comes from another leg of the plan: {plan:?}");
        }
    }
    for tap in &plan.taps {
        assert!(legs.contains(&tap.leg), "a tap sits at a leg of the plan: {plan:?}");
    }
}
