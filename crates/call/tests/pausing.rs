//! Recordings that are paused: by whom, for how long, and what is told of it.

mod desk;

use desk::{World, trunk};
use offhook_call::config::Config;
use offhook_call::event::{CallEvent, LogEvent};
use offhook_call::guests::Denied;
use offhook_call::record::Pause;
use offhook_call::recording::{PausedBy, RecordingWish};
use offhook_call::view::Recorded;
use offhook_call::{Command, Input, PAUSES_MAX};
use offhook_sip::SessionId;
use offhook_units::{AgentId, CallId, LegId, Span};

const ANN: AgentId = AgentId(100);
const BOB: AgentId = AgentId(101);
const CARL: AgentId = AgentId(102);

/// A customer talks to ann, who was offered the call by the queue, and is recorded.
fn served(change: impl FnOnce(&mut Config)) -> (World, SessionId) {
    let mut world = World::told(vec![trunk("carrier", 2, &["0"], None)], change);
    let call = world.dial("carrier2", "700", None);
    let (ringing, ..) = world.ringing("ann").expect("ann's phone rings");
    world.answer("ann", ringing);
    assert_eq!(world.recorded(), Recorded::Yes);
    (world, call)
}

impl World {
    fn only(&self) -> CallId {
        self.exchange.calls(self.now)[0].id
    }

    fn recorded(&self) -> Recorded {
        self.exchange.calls(self.now)[0].recorded
    }

    fn leg(&self, place: usize) -> LegId {
        self.plans[&self.only()].legs[place].leg
    }

    fn is_tapped(&self) -> bool {
        !self.plans[&self.only()].taps.is_empty()
    }

    fn wish(&mut self, by: Option<AgentId>, wish: RecordingWish) -> Result<(), Denied> {
        let call = self.only();
        self.exchange.handle(self.now, Input::Command(Command::Record { call, by, wish }));
        let denied = self.exchange.denied().cloned();
        self.run(Span::from_ms(10));
        denied.map_or(Ok(()), Err)
    }

    fn caller_presses(&mut self, keys: &str) {
        let (call, leg) = (self.only(), self.leg(0));
        keys.chars().for_each(|key| self.press(call, leg, key));
    }

    fn agent_presses(&mut self, keys: &str) {
        let (call, leg) = (self.only(), self.leg(1));
        keys.chars().for_each(|key| self.press(call, leg, key));
    }

    /// What the recorder was told, without the times.
    fn recorder_told(&self) -> Vec<&'static str> {
        self.recorder.iter().map(|(what, _)| *what).collect()
    }

    /// Pauses and their ends in the event log, by whom.
    fn turns(&self) -> Vec<(&'static str, PausedBy)> {
        let of = |event: &LogEvent| match event {
            LogEvent::Call(
                event @ (CallEvent::RecordingPaused { by, .. } | CallEvent::RecordingResumed { by, .. }),
            ) => Some((event.name(), *by)),
            _ => None,
        };
        self.log.iter().filter_map(|(_, event)| of(event)).collect()
    }

    fn keys_told(&self) -> usize {
        self.log.iter().filter(|(_, event)| matches!(event, LogEvent::Call(CallEvent::Digit { .. }))).count()
    }
}

const PAUSED: &str = "recording-paused";
const RESUMED: &str = "recording-resumed";

#[test]
fn a_pause_is_told_only_when_the_worker_has_taken_the_tap_away_and_lasts_until_somebody_ends_it() {
    let (mut world, customer) = served(|_| {});
    let asked = world.now;
    let call = world.only();
    world.exchange.handle(asked, Input::Command(Command::Record { call, by: None, wish: RecordingWish::Pause }));
    assert_eq!(world.recorded(), Recorded::Pausing);
    assert_eq!(world.turns(), [], "not before the worker says so");
    world.run(Span::from_s(20));
    let since = asked + Span::from_ms(2);
    let until = Some(asked + Span::from_s(300));
    assert_eq!(world.recorded(), Recorded::Paused { since, by: PausedBy::Program, until });
    assert!(!world.is_tapped());
    let resumed = world.now;
    assert_eq!(world.wish(Some(ANN), RecordingWish::Record), Ok(()));
    assert!(world.is_tapped());
    assert_eq!(world.recorded(), Recorded::Yes);
    assert_eq!(world.recorder[1..], [("pause", since), ("resume", resumed)]);
    assert_eq!(world.turns(), [(PAUSED, PausedBy::Program), (RESUMED, PausedBy::Agent(ANN))]);
    world.hang_up("carrier2", customer);
    let pause = Pause { from: asked, until: resumed, by: PausedBy::Program, ended_by: Some(PausedBy::Agent(ANN)) };
    assert_eq!(world.records[0].pauses, [pause]);
    assert_eq!(world.recorder_told(), ["open", "pause", "resume", "close"]);
}

#[test]
fn a_forgotten_pause_ends_after_5_minutes_and_is_counted_and_one_at_the_end_lasts_to_the_end() {
    let (mut world, customer) = served(|_| {});
    assert_eq!(world.wish(None, RecordingWish::Pause), Ok(()));
    world.run(Span::from_s(299));
    assert!(!world.is_tapped());
    world.run(Span::from_s(1));
    assert!(world.is_tapped());
    assert_eq!(world.turns(), [(PAUSED, PausedBy::Program), (RESUMED, PausedBy::Limit)]);
    let counters = world.exchange.counters();
    assert_eq!((counters.recording_pauses, counters.recording_pauses_at_limit), (1, 1));
    assert_eq!(world.wish(Some(ANN), RecordingWish::Pause), Ok(()));
    let from = world.log.last().expect("the pause").0;
    world.run(Span::from_s(10));
    world.hang_up("carrier2", customer);
    let record = &world.records[0];
    let last = Pause { from, until: record.ended, by: PausedBy::Agent(ANN), ended_by: None };
    assert_eq!(record.pauses[1], last);
    assert_eq!(world.recorder_told(), ["open", "pause", "resume", "pause", "close"]);
}

#[test]
fn an_agent_pauses_and_goes_on_by_star_3_on_the_phone_and_the_keys_are_told_to_nobody() {
    let (mut world, customer) = served(|_| {});
    world.agent_presses("12*4*");
    assert!(world.is_tapped());
    world.agent_presses("3");
    assert!(!world.is_tapped());
    world.agent_presses("3*5");
    assert!(!world.is_tapped());
    world.run(Span::from_s(5));
    world.agent_presses("*3");
    assert!(world.is_tapped());
    let by = PausedBy::Agent(ANN);
    assert_eq!(world.turns(), [(PAUSED, by), (RESUMED, by)]);
    world.caller_presses("*3");
    assert!(world.is_tapped(), "the code is the agent's");
    assert_eq!(world.keys_told(), 2, "the caller's");
    world.hang_up("carrier2", customer);
}

#[test]
fn a_code_of_the_configuration_counts_and_none_is_none() {
    for (code, keys, tapped) in [(Some("#77"), "#77", false), (Some("#77"), "*3", true), (None, "*3", true)] {
        let (mut world, _) = served(|config| config.recording.pause_code = code.map(str::to_owned));
        world.agent_presses(keys);
        assert_eq!(world.is_tapped(), tapped, "{code:?} {keys}");
    }
}

#[test]
fn the_callers_keys_pause_from_the_first_one_until_8_s_after_the_last_and_none_of_them_is_told() {
    let (mut world, customer) = served(|config| config.queues[0].pause_on_keys = Some(Span::from_s(8)));
    world.caller_presses("4");
    assert!(!world.is_tapped());
    for key in "929123412341234".chars() {
        world.run(Span::from_s(7));
        assert!(!world.is_tapped());
        world.caller_presses(&key.to_string());
    }
    world.run(Span::from_ms(7_900));
    assert!(!world.is_tapped());
    world.run(Span::from_ms(100));
    assert!(world.is_tapped());
    assert_eq!(world.turns(), [(PAUSED, PausedBy::Keys), (RESUMED, PausedBy::Keys)]);
    assert_eq!(world.keys_told(), 0);
    world.hang_up("carrier2", customer);
    assert_eq!((world.records[0].digits, world.records[0].pauses.len()), (0, 1));
}

#[test]
fn keys_do_not_stretch_a_pause_beyond_the_longest_and_an_agents_pause_is_not_theirs_to_end() {
    let (mut world, _) = served(|config| {
        config.queues[0].pause_on_keys = Some(Span::from_s(8));
        config.recording.pause_max = Span::from_s(30);
    });
    world.caller_presses("4");
    for _ in 0..4 {
        world.run(Span::from_s(7));
        world.caller_presses("4");
    }
    world.run(Span::from_s(3));
    assert_eq!(world.turns(), [(PAUSED, PausedBy::Keys), (RESUMED, PausedBy::Limit)]);
    assert_eq!(world.wish(Some(ANN), RecordingWish::Pause), Ok(()));
    world.caller_presses("1");
    world.run(Span::from_s(20));
    assert!(!world.is_tapped(), "8 s after the key the agent's pause goes on");
    world.run(Span::from_s(10));
    assert!(world.is_tapped());
    world.caller_presses("1");
    assert_eq!(world.wish(Some(ANN), RecordingWish::Pause), Ok(()));
    world.run(Span::from_s(20));
    assert!(!world.is_tapped(), "a pause of the keys becomes the agent's who asks for one");
}

#[test]
fn without_the_queues_word_the_callers_keys_change_nothing_and_in_a_pause_they_are_not_told_either() {
    let (mut world, _) = served(|_| {});
    world.caller_presses("12");
    assert!(world.is_tapped());
    assert_eq!(world.keys_told(), 2);
    assert_eq!(world.wish(None, RecordingWish::Pause), Ok(()));
    world.caller_presses("4929");
    assert_eq!(world.keys_told(), 2);
}

#[test]
fn who_takes_part_or_supervises_may_pause_and_nobody_else_and_only_what_is_recorded() {
    let (mut world, customer) = served(|_| {});
    let stranger = Denied::Elsewhere("the agent neither takes part in this call nor may supervise it");
    assert_eq!(world.wish(Some(BOB), RecordingWish::Pause), Err(stranger));
    assert_eq!(world.wish(Some(AgentId(7)), RecordingWish::Pause), Err(Denied::NoAgent(AgentId(7))));
    assert!(world.is_tapped());
    assert_eq!(world.wish(Some(CARL), RecordingWish::Pause), Ok(()));
    assert_eq!(world.wish(Some(CARL), RecordingWish::Pause), Ok(()), "once more changes nothing");
    assert_eq!(world.recorder_told(), ["open", "pause"]);
    let call = world.only();
    world.hang_up("carrier2", customer);
    world.command(Command::Record { call, by: None, wish: RecordingWish::Record });
    assert_eq!(world.exchange.denied(), Some(&Denied::NoCall(call)));
    assert_eq!(world.exchange.counters().recording_denied, 3);
    let mut world = World::told(vec![trunk("carrier", 2, &["0"], None)], |config| config.queues[0].record = None);
    world.dial("carrier2", "700", None);
    let denied = Denied::Elsewhere("this call is not recorded");
    assert_eq!(world.wish(Some(ANN), RecordingWish::Pause), Err(denied));
}

#[test]
fn a_pause_that_is_taken_back_before_it_is_in_force_is_one_all_the_same() {
    let (mut world, _) = served(|_| {});
    let call = world.only();
    for wish in [RecordingWish::Pause, RecordingWish::Record] {
        world.exchange.handle(world.now, Input::Command(Command::Record { call, by: None, wish }));
    }
    assert_eq!(world.turns(), []);
    world.run(Span::from_ms(10));
    assert!(world.is_tapped());
    assert_eq!(world.recorder_told(), ["open", "pause", "resume"]);
    assert_eq!(world.recorded(), Recorded::Yes);
}

#[test]
fn the_pause_after_the_thousandth_lasts_to_the_end_of_the_call() {
    let (mut world, customer) = served(|_| {});
    for _ in 0..PAUSES_MAX {
        assert_eq!(world.wish(None, RecordingWish::Pause), Ok(()));
        assert_eq!(world.wish(None, RecordingWish::Record), Ok(()));
    }
    assert_eq!(world.wish(None, RecordingWish::Pause), Ok(()));
    let denied = Denied::Full("the recording was paused too often: it stays paused");
    assert_eq!(world.wish(None, RecordingWish::Record), Err(denied));
    world.run(Span::from_s(400));
    assert!(!world.is_tapped());
    world.hang_up("carrier2", customer);
    assert_eq!(world.records[0].pauses.len(), 1_001);
}

#[test]
fn a_pause_ends_at_its_limit_also_while_the_last_words_are_heard() {
    let mut world = World::told(vec![trunk("carrier", 2, &["0"], None)], |config| {
        config.queues[0].acd.max_wait = Some(Span::from_s(5));
        config.queues[0].nobody_here = vec![offhook_plan::AssetId(3)];
        config.recording.pause_max = Span::from_s(10);
    });
    for who in ["ann", "bob"] {
        world.dial("carrier2", "700", None);
        let (ringing, ..) = world.ringing(who).expect("a phone rings");
        world.answer(who, ringing);
    }
    world.dial("carrier2", "700", None);
    let call = world.exchange.calls(world.now)[2].id;
    let state = |world: &World| {
        let view = world.exchange.call_now(call).expect("it waits");
        (view.state, view.recorded == Recorded::Yes)
    };
    assert_eq!(state(&world), ("waiting", true));
    world.command(Command::Record { call, by: None, wish: RecordingWish::Pause });
    world.run(Span::from_s(6));
    assert_eq!(state(&world), ("announcing", false));
    world.run(Span::from_s(4));
    assert_eq!(state(&world), ("announcing", true));
}
