//! Which calls are recorded: by number, queue, agent and direction, always, never, on demand or by share.

mod desk;

use desk::{World, credentials, number, trunk};
use offhook_call::config::{Config, Consent, Percent, Rule};
use offhook_call::event::{CallEvent, LogEvent};
use offhook_call::guests::{Denied, Supervision};
use offhook_call::recording::{PausedBy, RecordingWish};
use offhook_call::view::Recorded;
use offhook_call::{Command, Input};
use offhook_plan::{AssetId, MediaEvent, Source};
use offhook_sip::SessionId;
use offhook_units::{AgentId, CallId, LegId, Span};

const ANN: AgentId = AgentId(100);
const BOB: AgentId = AgentId(101);
const CARL: AgentId = AgentId(102);

fn world(change: impl FnOnce(&mut Config)) -> World {
    World::told(vec![trunk("carrier", 2, &["0"], None)], change)
}

/// A customer dials 700, waits in the queue, and talks to ann.
fn served(change: impl FnOnce(&mut Config)) -> (World, SessionId) {
    let mut world = world(change);
    let call = world.dial("carrier2", "700", None);
    let (ringing, ..) = world.ringing("ann").expect("ann's phone rings");
    world.answer("ann", ringing);
    (world, call)
}

/// ann calls a number outside, and somebody answers there.
fn outside(change: impl FnOnce(&mut Config)) -> (World, SessionId) {
    let mut world = world(change);
    let call = world.dial("ann", "0301234", Some(credentials("ann")));
    let (ringing, ..) = world.ringing("carrier2").expect("the carrier has the call");
    world.answer("carrier2", ringing);
    (world, call)
}

impl World {
    fn newest(&self) -> CallId {
        self.exchange.calls(self.now).last().expect("a call").id
    }

    fn recorded(&self) -> Recorded {
        self.exchange.calls(self.now).last().expect("a call").recorded
    }

    /// The leg that is recorded now, by its place in the plan.
    fn tapped(&self) -> Option<usize> {
        let plan = &self.plans[&self.newest()];
        let tap = plan.taps.first()?;
        plan.legs.iter().position(|leg| leg.leg == tap.leg)
    }

    fn wish(&mut self, by: Option<AgentId>, wish: RecordingWish) -> Result<(), Denied> {
        let call = self.newest();
        self.exchange.handle(self.now, Input::Command(Command::Record { call, by, wish }));
        let denied = self.exchange.denied().cloned();
        self.run(Span::from_ms(10));
        denied.map_or(Ok(()), Err)
    }

    /// What the recorder was told, without the times.
    fn recorder_told(&self) -> Vec<&'static str> {
        self.recorder.iter().map(|(what, _)| *what).collect()
    }

    fn paused_by(&self) -> Vec<PausedBy> {
        let by = self.log.iter().filter_map(|(_, event)| match event {
            LogEvent::Call(CallEvent::RecordingPaused { by, .. } | CallEvent::RecordingResumed { by, .. }) => Some(*by),
            _ => None,
        });
        by.collect()
    }
}

/// The rules of the queue, the number and the agent in one configuration.
fn rules(config: &mut Config, queue: Option<Rule>, number: Option<Rule>, agent: Option<Rule>) {
    config.queues[0].record = queue;
    config.numbers.get_mut("700").expect("a number").record = number;
    config.agents[0].record = agent;
}

#[test]
fn never_wins_whoever_says_it_then_the_agents_word_goes_before_the_numbers_and_that_before_the_queues() {
    use Rule::{Always, Never, OnDemand};
    let (yes, no, ask) = (Some(Always), Some(Never), Some(OnDemand));
    for (queue, number, agent, in_talk) in [
        (None, None, None, Recorded::No),
        (yes, None, None, Recorded::Yes),
        (no, None, None, Recorded::No),
        (ask, None, None, Recorded::OnDemand),
        (None, yes, None, Recorded::Yes),
        (no, yes, yes, Recorded::No),
        (ask, yes, None, Recorded::Yes),
        (yes, ask, None, Recorded::OnDemand),
        (yes, no, yes, Recorded::No),
        (None, None, yes, Recorded::Yes),
        (None, ask, yes, Recorded::Yes),
        (None, yes, None, Recorded::Yes),
    ] {
        let (world, _) = served(|config| rules(config, queue, number, agent));
        assert_eq!(world.recorded(), in_talk, "queue {queue:?}, number {number:?}, agent {agent:?}");
        assert_eq!(world.tapped(), (in_talk == Recorded::Yes).then_some(0));
    }
}

#[test]
fn a_recording_that_began_in_the_queue_is_paused_while_an_agent_talks_whose_calls_are_never_recorded() {
    let mut world = world(|config| rules(config, Some(Rule::Always), None, Some(Rule::Never)));
    let call = world.dial("carrier2", "700", None);
    assert_eq!((world.recorded(), world.tapped()), (Recorded::Yes, Some(0)), "while the caller waits");
    let (ringing, ..) = world.ringing("ann").expect("ann's phone rings");
    world.answer("ann", ringing);
    assert_eq!(world.tapped(), None, "from the first word on");
    let plan = &world.plans[&world.newest()];
    assert!(
        plan.edges.iter().all(|edge| matches!(edge.from, Source::Leg(_))),
        "the two talk by the plan without the tap"
    );
    assert!(matches!(world.recorded(), Recorded::Paused { by: PausedBy::Rule, until: None, .. }));
    let denied = Err(Denied::Elsewhere("this call may not be recorded now"));
    assert_eq!(world.wish(Some(ANN), RecordingWish::Record), denied);
    assert_eq!(world.wish(None, RecordingWish::Pause), Ok(()));
    world.run(Span::from_s(301));
    assert_eq!(world.tapped(), None, "the limit of a pause is none of a rule");
    world.hang_up("carrier2", call);
    assert_eq!(world.recorder_told(), ["open", "pause", "close"]);
    assert_eq!(world.records[0].pauses[0].by, PausedBy::Rule);
}

#[test]
fn a_call_goes_on_being_recorded_with_the_next_agent() {
    let (mut world, _) = served(|config| rules(config, Some(Rule::Always), None, Some(Rule::Never)));
    let (ann, ..) = world.ringing("ann").expect("ann talks");
    let now = world.now;
    assert!(world.at("ann").endpoint.refer(now, ann, &"sip:bob@offhook".parse().expect("a uri")));
    world.run(Span::from_ms(100));
    assert_eq!(world.tapped(), Some(0), "music, and nobody's voice");
    let (bob, ..) = world.ringing("bob").expect("bob's phone rings");
    world.answer("bob", bob);
    assert_eq!((world.recorded(), world.tapped()), (Recorded::Yes, Some(0)));
    assert_eq!(world.paused_by(), [PausedBy::Rule, PausedBy::Rule]);
    assert_eq!(world.recorder_told(), ["open", "pause", "resume"]);
}

#[test]
fn a_guest_who_is_never_recorded_pauses_the_recording_for_as_long_as_it_is_heard() {
    let (mut world, _) = served(|config| config.agents[2].record = Some(Rule::Never));
    let call = world.newest();
    let supervise = |wish| Command::Supervise { call, by: CARL, wish };
    world.command(supervise(Supervision::Listen));
    world.run(Span::from_ms(100));
    let (carl, ..) = world.ringing("carl").expect("carl's phone rings");
    world.answer("carl", carl);
    assert_eq!(world.tapped(), Some(0), "who only listens is in no recording");
    world.command(supervise(Supervision::Barge));
    assert_eq!(world.tapped(), None);
    world.command(supervise(Supervision::Whisper));
    assert_eq!(world.tapped(), Some(0));
    assert_eq!(world.recorder_told(), ["open", "pause", "resume"]);
}

#[test]
fn on_demand_a_recording_begins_when_agent_or_program_asks_and_is_then_paused_as_any_other() {
    let (mut world, customer) = served(|config| rules(config, Some(Rule::OnDemand), None, None));
    assert_eq!((world.recorded(), world.tapped()), (Recorded::OnDemand, None));
    assert_eq!(world.wish(None, RecordingWish::Pause), Err(Denied::Elsewhere("this call is not recorded")));
    let (call, leg) = (world.newest(), world.plans[&world.newest()].legs[1].leg);
    let star_three = |world: &mut World| "*3".chars().for_each(|key| world.press(call, leg, key));
    star_three(&mut world);
    assert_eq!((world.recorded(), world.tapped()), (Recorded::Yes, Some(0)));
    star_three(&mut world);
    assert_eq!(world.tapped(), None);
    star_three(&mut world);
    assert_eq!(world.tapped(), Some(0));
    world.hang_up("carrier2", customer);
    assert_eq!(world.recorder_told(), ["open", "pause", "resume", "close"]);
    assert!(world.records[0].recording.is_some());
    // By a program, in the queue already.
    let mut world = self::world(|config| rules(config, Some(Rule::OnDemand), None, None));
    world.dial("carrier2", "700", None);
    assert_eq!(world.wish(None, RecordingWish::Record), Ok(()));
    assert_eq!((world.recorded(), world.tapped()), (Recorded::Yes, Some(0)));
    let (mut world, _) = served(|config| rules(config, None, None, None));
    assert_eq!(world.wish(None, RecordingWish::Record), Err(Denied::Elsewhere("this call is not recorded")));
}

#[test]
fn a_share_is_drawn_from_the_calls_id_and_the_same_for_everybody_who_asks() {
    let share = Percent::new(40).expect("a share");
    let mut drawn = 0;
    let mut world = world(|config| {
        rules(config, Some(Rule::Share(share)), None, None);
        config.queues[0].acd.max_waiting = None;
        config.rtp_ports = 20_000..=20_999;
    });
    for _ in 0..50 {
        world.dial("carrier2", "700", None);
        let call = world.newest();
        let is_recorded = world.recorded() == Recorded::Yes;
        assert_eq!(is_recorded, share.draws(call), "{call}");
        drawn += usize::from(is_recorded);
    }
    assert!((10..=30).contains(&drawn), "{drawn} of 50");
}

#[test]
fn calls_outside_are_recorded_at_the_customers_leg_where_their_direction_or_the_agent_says_so() {
    let (world, _) = outside(|_| {});
    assert_eq!((world.recorded(), world.tapped()), (Recorded::No, None));
    let always = |config: &mut Config| config.recording.outgoing = Some(Rule::Always);
    let (mut world, call) = outside(always);
    assert_eq!((world.recorded(), world.tapped()), (Recorded::Yes, Some(1)), "left is the customer");
    world.hang_up("ann", call);
    assert_eq!(world.recorder_told(), ["open", "close"]);
    assert!(world.records[0].recording.is_some());
    let by_agent = |config: &mut Config, rule| config.agents[0].record = Some(rule);
    let (world, _) = outside(|config| by_agent(config, Rule::Always));
    assert_eq!(world.tapped(), Some(1));
    let (world, _) = outside(|config| {
        always(config);
        by_agent(config, Rule::Never);
    });
    assert_eq!(world.recorded(), Recorded::No);
    // Colleagues among themselves are not outside.
    let mut world = self::world(always);
    world.dial("ann", "bob", Some(credentials("ann")));
    let (ringing, ..) = world.ringing("bob").expect("bob's phone rings");
    world.answer("bob", ringing);
    assert_eq!(world.recorded(), Recorded::No);
}

#[test]
fn a_call_outside_that_is_transferred_to_a_colleague_stays_one_and_its_recording_with_the_customer() {
    let (mut world, ann) = outside(|config| config.recording.outgoing = Some(Rule::Always));
    let customer = world.plans[&world.newest()].taps[0].leg;
    let now = world.now;
    assert!(world.at("ann").endpoint.refer(now, ann, &"sip:bob@offhook".parse().expect("a uri")));
    world.run(Span::from_ms(100));
    let (bob, ..) = world.ringing("bob").expect("bob's phone rings");
    assert_eq!(world.recorded(), Recorded::Yes, "while bob's phone rings too");
    world.answer("bob", bob);
    let tapped = |world: &World| world.plans[&world.newest()].taps.first().map(|tap| tap.leg);
    assert_eq!(tapped(&world), Some(customer));
    assert_eq!(world.recorder_told(), ["open"]);
}

#[test]
fn whoever_makes_a_recorded_call_outside_may_consult_and_join() {
    let (mut world, ann) = outside(|config| config.recording.outgoing = Some(Rule::Always));
    let consultation = world.dial("ann", "bob", Some(credentials("ann")));
    let (bob, ..) = world.ringing("bob").expect("bob's phone rings");
    world.answer("bob", bob);
    let replaces = world.at("ann").endpoint.replaces_of(consultation).expect("a dialog");
    let target = "sip:whoever@offhook".parse::<offhook_sip::Uri>().expect("a uri");
    let now = world.now;
    assert!(world.at("ann").endpoint.refer(now, ann, &target.with_header("Replaces", &replaces.to_string())));
    world.run(Span::from_s(1));
    assert_eq!(world.exchange.calls_active(), 1);
    let call = &world.exchange.calls(world.now)[0];
    assert_eq!((call.state, call.recorded), ("talking", Recorded::Yes));
}

#[test]
fn a_whisper_to_the_agent_who_called_outside_is_for_the_agent_alone_and_in_no_recording() {
    let (mut world, _) = outside(|config| {
        config.recording.outgoing = Some(Rule::Always);
        config.agents[2].supervises = offhook_call::config::Supervises::Everything;
    });
    let call = world.newest();
    world.command(Command::Supervise { call, by: CARL, wish: Supervision::Whisper });
    world.run(Span::from_ms(100));
    let (carl, ..) = world.ringing("carl").expect("carl's phone rings");
    world.answer("carl", carl);
    let plan = &world.plans[&call];
    let [ann, customer, carl]: [LegId; 3] = [0, 1, 2].map(|place: usize| plan.legs[place].leg);
    let hears = |who: LegId| {
        let heard = plan.edges.iter().filter(|edge| edge.to == who);
        heard.filter_map(|edge| if let Source::Leg(from) = edge.from { Some(from) } else { None }).collect::<Vec<_>>()
    };
    assert_eq!(hears(customer), [ann]);
    assert_eq!(hears(ann), [customer, carl]);
    assert_eq!(plan.taps[0].leg, customer);
}

#[test]
fn a_number_that_the_caller_is_transferred_to_has_its_word_from_then_on() {
    let (mut world, _) = served(|config| {
        rules(config, Some(Rule::Always), None, None);
        config.queues[1].record = None;
        config.agents[1].acd = config.agents[1].acd.clone().in_queue(config.queues[1].acd.id, 1, 1);
        let secret = offhook_call::config::Destination::Queue(config.queues[1].acd.id);
        let number = offhook_call::config::Number { to: secret, record: Some(Rule::Never), ..number() };
        config.numbers.insert("702".to_owned(), number);
    });
    let (ann, ..) = world.ringing("ann").expect("ann talks");
    let now = world.now;
    assert!(world.at("ann").endpoint.refer(now, ann, &"sip:702@offhook".parse().expect("a uri")));
    world.run(Span::from_ms(500));
    let (bob, ..) = world.ringing("bob").expect("bob's phone rings");
    world.answer("bob", bob);
    assert!(matches!(world.recorded(), Recorded::Paused { by: PausedBy::Rule, .. }));
    assert_eq!(world.wish(Some(BOB), RecordingWish::Pause), Ok(()));
    assert_eq!(world.tapped(), None);
}

/// The queue asks for consent by the key 1.
fn asks(config: &mut Config) {
    config.queues[0].consent = Some(Consent { ask: vec![AssetId(77)], key: '1' });
    rules(config, Some(Rule::WithConsent), None, Some(Rule::Always));
    // Nobody is free, so that the caller waits.
    config.agents.truncate(1);
}

fn press(world: &mut World, digit: char) {
    let call = world.newest();
    let leg = world.plans[&call].legs[0].leg;
    let now = world.now;
    let source = offhook_plan::DigitSource::Event;
    world.exchange.handle(now, Input::Media { worker: 0, event: MediaEvent::Digit { call, leg, source, digit } });
    world.run(Span::from_ms(20));
}

fn consent_events(world: &World) -> Vec<&'static str> {
    let of_call = world.log.iter().filter_map(|(_, event)| match event {
        LogEvent::Call(event @ (CallEvent::ConsentAsked { .. } | CallEvent::ConsentGiven { .. })) => Some(event.name()),
        _ => None,
    });
    of_call.collect()
}

#[test]
fn who_agrees_by_the_key_is_recorded_from_then_on_and_the_record_says_when() {
    let mut world = world(asks);
    let first = world.dial("carrier2", "700", None);
    assert_eq!((world.recorded(), world.tapped()), (Recorded::No, None));
    assert_eq!(consent_events(&world), ["consent-asked"]);
    press(&mut world, '5');
    assert_eq!(world.tapped(), None, "another key agrees to nothing");
    press(&mut world, '1');
    press(&mut world, '1');
    assert_eq!(consent_events(&world), ["consent-asked", "consent-given"]);
    assert_eq!((world.recorded(), world.tapped()), (Recorded::Yes, Some(0)));
    let (ringing, ..) = world.ringing("ann").expect("ann's phone rings");
    world.answer("ann", ringing);
    assert_eq!(world.recorded(), Recorded::Yes);
    world.hang_up("carrier2", first);
    world.run(Span::from_s(2));
    let consent = world.records[0].consent.expect("it was asked");
    assert!(consent.given.is_some_and(|given| given > consent.asked));
    assert!(world.records[0].recording.is_some());
}

#[test]
fn who_does_not_agree_is_not_recorded_whatever_the_agents_rule_says() {
    let mut world = world(asks);
    let call = world.dial("carrier2", "700", None);
    let (ringing, ..) = world.ringing("ann").expect("ann's phone rings");
    world.answer("ann", ringing);
    press(&mut world, '1');
    assert_eq!(consent_events(&world), ["consent-asked"], "in the talk the key says nothing any more");
    assert_eq!((world.recorded(), world.tapped()), (Recorded::No, None));
    assert!(world.wish(None, RecordingWish::Record).is_err(), "nobody else agrees for the caller");
    world.hang_up("carrier2", call);
    world.run(Span::from_s(2));
    let record = &world.records[0];
    assert_eq!((record.recording, record.consent.map(|consent| consent.given)), (None, Some(None)));
}

#[test]
fn the_question_is_heard_before_the_music_and_where_never_is_said_it_is_not_asked() {
    let mut world = world(asks);
    world.dial("carrier2", "700", None);
    let heard = format!("{:?}", world.plans[&world.newest()].edges);
    assert!(heard.contains("AssetId(77)"), "{heard}");
    let mut world = self::world(|config| {
        asks(config);
        config.numbers.get_mut("700").expect("a number").record = Some(Rule::Never);
    });
    world.dial("carrier2", "700", None);
    assert_eq!(consent_events(&world), [""; 0]);
}

#[test]
fn a_caller_who_offers_nothing_but_opus_is_answered_with_it_and_recorded_as_g722() {
    use offhook_plan::{CodecCap, CodecKind};
    let mut world = world(|config| {
        config.caps.codecs.insert(0, CodecCap::of(CodecKind::Opus));
        config.numbers.get_mut("700").expect("a number").record = Some(Rule::Always);
    });
    let offer = |formats: &str| {
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\nm=audio 40000 RTP/AVP {formats}\r\n\
             a=rtpmap:96 opus/48000/2\r\n"
        )
    };
    for (formats, wanted, file) in
        [("96", CodecKind::Opus, CodecKind::G722), ("96 0", CodecKind::Pcmu, CodecKind::Pcmu)]
    {
        world.offers = Some(offer(formats));
        world.opened.clear();
        let call = world.dial("carrier2", "700", None);
        world.offers = None;
        let (ringing, ..) = world.ringing("ann").expect("ann's phone rings");
        world.answer("ann", ringing);
        let tapped = world.tapped().expect("a tapped leg");
        let agreed = world.plans[&world.newest()].legs[tapped].negotiated.as_ref().map(|agreed| agreed.codec);
        assert_eq!((agreed, &world.opened[..]), (Some(wanted), &[file][..]), "{formats}");
        world.hang_up("carrier2", call);
        world.run(Span::from_s(20));
    }
}

#[test]
fn a_customer_who_has_nothing_but_opus_is_recorded_as_g722() {
    use offhook_plan::{CodecCap, CodecKind};
    let mut world = world(|config| {
        config.caps.codecs.push(CodecCap::of(CodecKind::Opus));
        config.recording.outgoing = Some(Rule::Always);
        config.trunks.iter_mut().for_each(|trunk| trunk.codecs = vec![CodecKind::Opus]);
    });
    world.answers = Some(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\nm=audio 40000 RTP/AVP 96\r\n\
         a=rtpmap:96 opus/48000/2\r\n"
            .to_owned(),
    );
    world.dial("ann", "0301234", Some(credentials("ann")));
    let (ringing, ..) = world.ringing("carrier2").expect("the carrier has the call");
    world.answer("carrier2", ringing);
    let plan = &world.plans[&world.newest()];
    let tapped = world.tapped().expect("a tapped leg");
    assert_eq!(plan.legs[tapped].negotiated.as_ref().map(|agreed| agreed.codec), Some(CodecKind::Opus));
    assert_eq!((world.recorded(), world.opened), (Recorded::Yes, vec![CodecKind::G722]));
}
