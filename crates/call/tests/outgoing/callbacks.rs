//! Callers who leave the queue to be called back: the agent is rung first, then the customer, over a trunk.

use offhook_call::calendar::{Calendar, Hours, Zone};
use offhook_call::callback::CallbackEnd;
use offhook_call::config::{CallbackRules, Config, Elsewhere};
use offhook_call::event::LogEvent;
use offhook_call::record::CallEnd;
use offhook_call::{Command, Exchange, Input, Recovered};
use offhook_plan::{AssetId, DigitSource, MediaEvent, Source};
use offhook_sip::SessionId;
use offhook_units::{AgentId, Entropy, IdSource, QueueId, Span};

use crate::desk::{World, trunk};

const SALES: QueueId = QueueId(1);

fn rules() -> CallbackRules {
    CallbackRules {
        account: "carl".to_owned(),
        confirm: vec![AssetId(30)],
        attempts: 2,
        retry_after: Span::from_s(300),
        valid_for: Span::from_s(7_200),
        ring_for: Span::from_s(30),
        window: None,
    }
}

fn with_callbacks(config: &mut Config) {
    config.queues[0].ways.keys = [('1', Elsewhere::Callback)].into();
    config.queues[0].ways.callback = Some(rules());
    config.queues[0].acd.no_agents.join = true;
    config.accounts.get_mut("carl").expect("an account").outside = vec!["+49".to_owned()];
    // bob is at lunch for good: ann alone serves.
    config.agents[1].acd.queues.clear();
}

/// ann serves sales, the customer is +4940111 behind carrier2.
fn world(change: impl FnOnce(&mut Config)) -> World {
    World::told(vec![trunk("main", 2, &["+"], None)], |config| {
        with_callbacks(config);
        change(config);
    })
}

impl World {
    fn comes(&mut self) -> SessionId {
        self.invite("carrier2", "sip:700@127.0.0.1", "sip:700@127.0.0.1", Vec::new())
    }

    fn comes_as(&mut self, from: &str) -> SessionId {
        self.invite_as(from, "carrier2", "sip:700@127.0.0.1", "sip:700@127.0.0.1", Vec::new())
    }

    /// The newest call's caller presses a key.
    fn presses(&mut self, digit: char) {
        let call = self.exchange.calls(self.now).pop().expect("a call").id;
        let leg = self.plans[&call].legs[0].leg;
        let event = MediaEvent::Digit { call, leg, digit, source: DigitSource::Event };
        self.exchange.handle(self.now, Input::Media { worker: 0, event });
        self.run(Span::from_ms(100));
    }

    /// A customer waits behind one who talks to ann, asks, and hangs up. Gives ann's session.
    fn asked_behind_a_talk(&mut self) -> SessionId {
        self.comes();
        let (ann, ..) = self.ringing("ann").expect("ann's phone rings");
        self.answer("ann", ann);
        let waits = self.comes();
        self.run(Span::from_s(10));
        self.presses('1');
        self.hang_up("carrier2", waits);
        ann
    }

    fn ends(&self) -> Vec<CallbackEnd> {
        let ends = self.log.iter().filter_map(|(_, event)| match event {
            LogEvent::Callback(offhook_call::callback::CallbackEvent::Ended { how, .. }) => Some(*how),
            LogEvent::Callback(_) | LogEvent::Acd(_) | LogEvent::Call(_) | LogEvent::Alarm(_) => None,
        });
        ends.collect()
    }

    fn newest_state(&self) -> &'static str {
        self.exchange.calls(self.now).pop().map_or("none", |call| call.state)
    }
}

#[test]
fn a_caller_leaves_and_is_called_back_at_the_old_place_agent_first_and_recorded_at_the_customers_leg() {
    let mut world = world(|_| {});
    let talk = world.asked_behind_a_talk();
    let waiting = world.exchange.callbacks();
    assert_eq!((waiting.len(), waiting[0].number.as_deref(), waiting[0].position), (1, Some("+4940111"), Some(1)));
    // One who comes later stands behind.
    let later = world.comes_as("+4940222");
    assert_eq!(world.exchange.calls(world.now).pop().and_then(|call| call.position), Some(2));
    world.hang_up("ann", talk);
    world.run(Span::from_s(20));
    let (ann, _, from) = world.ringing("ann").expect("ann's phone rings again");
    assert!(from.contains("+4940111 (sales)"), "{from}");
    assert_eq!(world.newest_state(), "ringing");
    world.answer("ann", ann);
    assert_eq!(world.newest_state(), "calling-back");
    let (customer, uri, from) = world.ringing("carrier2").expect("the customer is called");
    assert!(uri.contains("+4940111"), "{uri}");
    assert!(from.contains("30555"), "the trunk's own number: {from}");
    let call = world.exchange.calls(world.now).pop().expect("a call").id;
    let hears = |world: &World| world.plans[&call].edges.iter().map(|edge| edge.from.clone()).collect::<Vec<_>>();
    assert!(matches!(&hears(&world)[..], [Source::Player(music)] if music.repeat), "ann hears music meanwhile");
    world.run(Span::from_s(3));
    world.answer("carrier2", customer);
    assert_eq!(world.newest_state(), "talking");
    let plan = &world.plans[&call];
    assert!(matches!(&hears(&world)[..], [Source::Leg(_), Source::Leg(_)]));
    assert_eq!(plan.taps[0].leg, plan.legs[0].leg, "the customer's leg, the first one, is recorded");
    world.run(Span::from_s(5));
    world.hang_up("carrier2", customer);
    world.run(Span::from_s(1));
    assert_eq!((world.ends(), world.exchange.callbacks().len()), (vec![CallbackEnd::Reached], 0));
    let ends: Vec<_> = world.records.iter().map(|record| (record.end, record.callback_of.is_some())).collect();
    assert_eq!(ends, [(CallEnd::CallbackAsked, false), (CallEnd::AgentHungUp, false), (CallEnd::CallerHungUp, true)]);
    world.hang_up("carrier2", later);
    let record = world.records.iter().find(|record| record.callback_of.is_some()).expect("a record");
    assert_eq!(record.callback_of, Some(world.records[0].id));
    assert_eq!((record.agent, record.out_trunk.as_deref()), (Some(AgentId(100)), Some("main")));
    assert_eq!((record.number.as_str(), record.placed_by.as_deref()), ("700", None));
    let figures = world.exchange.queue_now(world.now, SALES).expect("a queue");
    assert_eq!((figures.offered, figures.answered, figures.flowed_out, figures.abandoned), (4, 2, 1, 1));
}

#[test]
fn a_customer_who_does_not_answer_is_tried_again_after_300_s_and_twice_in_all() {
    let mut world = world(|_| {});
    let talk = world.asked_behind_a_talk();
    world.hang_up("ann", talk);
    for attempt in 1..=2 {
        world.run(Span::from_s(20));
        let (ann, ..) = world.ringing("ann").expect("ann's phone rings");
        world.answer("ann", ann);
        assert_eq!(world.newest_state(), "calling-back", "attempt {attempt}");
        if attempt == 1 {
            let (customer, ..) = world.ringing("carrier2").expect("the customer is called");
            world.refuse("carrier2", customer, 486);
        } else {
            world.run(Span::from_s(31));
        }
        assert_eq!(world.state(100).0, "wrap-up");
        world.run(Span::from_s(30));
        if attempt == 1 {
            let rests = world.exchange.callbacks();
            assert_eq!((rests[0].tried, rests[0].position, rests[0].rests_until.is_some()), (1, None, true));
            world.run(Span::from_s(260));
        }
    }
    assert_eq!(world.ends(), [CallbackEnd::GivenUp]);
    let ends: Vec<_> = world.settled().iter().map(|record| record.end).collect();
    assert_eq!(ends, [CallEnd::CallbackAsked, CallEnd::AgentHungUp, CallEnd::NotReached, CallEnd::NotReached]);
    // Ann took all three, and talked to one.
    let figures = world.exchange.queue_now(world.now, SALES).expect("a queue");
    assert_eq!((figures.offered, figures.answered, figures.flowed_out, figures.abandoned), (4, 1, 3, 0));
}

#[test]
fn an_agent_who_declines_a_callback_costs_the_customer_no_attempt() {
    let mut world = world(|config| config.agents[0].acd.decline_delay = Span::from_s(10));
    let talk = world.asked_behind_a_talk();
    world.hang_up("ann", talk);
    world.run(Span::from_s(20));
    let (ann, ..) = world.ringing("ann").expect("ann's phone rings");
    world.refuse("ann", ann, 486);
    assert!(world.ringing("carrier2").is_none());
    let waits = world.exchange.callbacks();
    assert_eq!((waits[0].tried, waits[0].position), (0, Some(1)));
    world.run(Span::from_s(10));
    let (again, ..) = world.ringing("ann").expect("ann's phone rings again");
    assert_ne!(again, ann);
    world.answer("ann", again);
    let (customer, ..) = world.ringing("carrier2").expect("the customer is called");
    world.answer("carrier2", customer);
    world.hang_up("ann", again);
    assert_eq!(world.ends(), [CallbackEnd::Reached]);
    assert_eq!(world.settled().len(), 4);
}

#[test]
fn an_agent_who_hangs_up_while_the_customer_is_rung_takes_the_ringing_along() {
    let mut world = world(|_| {});
    let talk = world.asked_behind_a_talk();
    world.hang_up("ann", talk);
    world.run(Span::from_s(20));
    let (ann, ..) = world.ringing("ann").expect("ann's phone rings");
    world.answer("ann", ann);
    let (customer, ..) = world.ringing("carrier2").expect("the customer is called");
    world.hang_up("ann", ann);
    assert!(world.ended("carrier2", customer));
    assert_eq!(world.exchange.callbacks()[0].tried, 1);
    world.run(Span::from_s(200));
    assert_eq!(world.exchange.ports().0, 0);
}

#[test]
fn a_customer_who_calls_again_takes_the_place_of_the_callback() {
    let mut world = world(|_| {});
    let _talk = world.asked_behind_a_talk();
    world.comes_as("+4940222");
    assert_eq!(world.exchange.calls(world.now).pop().and_then(|call| call.position), Some(2));
    world.comes();
    assert_eq!(world.exchange.calls(world.now).pop().and_then(|call| call.position), Some(1));
    assert_eq!((world.ends(), world.exchange.callbacks().len()), (vec![CallbackEnd::CalledAgain], 0));
}

#[test]
fn out_of_its_hours_a_callback_rests_and_after_2_h_it_expires() {
    // Open from 09:00 UTC; the world begins at 08:00.
    let week = core::array::from_fn(|_| vec![Hours { from: 540, until: 1_020 }]);
    let office = Calendar { name: "office".to_owned(), zone: Zone::utc(), week, days: Vec::new() };
    let mut world = world(|config| {
        config.calendars = vec![office];
        config.queues[0].ways.callback = Some(CallbackRules { window: Some(0), ..rules() });
    });
    let talk = world.asked_behind_a_talk();
    world.hang_up("ann", talk);
    world.run(Span::from_s(3_000));
    assert_eq!(world.exchange.callbacks()[0].rests_until.map(offhook_units::Tick::as_us), Some(1_800_003_600_000_000));
    world.run(Span::from_s(600));
    assert_eq!(world.newest_state(), "ringing", "it is 09:00");
    // ann's phone rings in vain, again and again.
    world.run(Span::from_s(7_200));
    assert_eq!(world.ends(), [CallbackEnd::Expired]);
    world.run(Span::from_s(60));
    assert_eq!(world.exchange.ports().0, 0);
}

#[test]
fn a_key_offers_no_callback_to_a_number_that_the_account_may_not_call_and_nobody_loses_a_place() {
    let mut world = world(|_| {});
    world.comes();
    let (ann, ..) = world.ringing("ann").expect("ann's phone rings");
    world.answer("ann", ann);
    for from in ["+33140111", "anonymous", "bob"] {
        world.comes_as(from);
        world.presses('1');
        assert_eq!(world.newest_state(), "waiting", "{from}");
    }
    assert!(world.exchange.callbacks().is_empty());
}

#[test]
fn a_callback_is_taken_back_by_command() {
    let mut world = world(|_| {});
    let _talk = world.asked_behind_a_talk();
    let callback = world.exchange.callbacks()[0].id;
    world.exchange.handle(world.now, Input::Command(Command::WithdrawCallback { callback }));
    world.run(Span::from_s(1));
    assert_eq!((world.ends(), world.exchange.has_callback(callback)), (vec![CallbackEnd::Withdrawn], false));
    assert_eq!(world.exchange.queue_now(world.now, SALES).map(|queue| (queue.waiting, queue.callbacks)), Some((0, 0)));
}

#[test]
fn a_callback_survives_a_restart_with_its_place_its_attempts_and_its_number_from_the_sealed_table() {
    let mut world = world(|_| {});
    let talk = world.asked_behind_a_talk();
    world.hang_up("ann", talk);
    world.run(Span::from_s(20));
    let (ann, ..) = world.ringing("ann").expect("ann's phone rings");
    world.answer("ann", ann);
    assert_eq!(world.newest_state(), "calling-back");
    let before = world.exchange.callbacks();
    // The power fails while the customer is rung.
    let log: Vec<_> =
        world.log.iter().map(|(at, event)| (*at, LogEvent::decode(&event.encode()).expect("an entry"))).collect();
    let start = |told: bool| {
        let mut recovered = Recovered::replay(log.iter().cloned(), Vec::new());
        for person in recovered.callbacks.persons().into_iter().filter(|_| told) {
            recovered.callbacks.tell(person, "+4940111");
        }
        let mut config = crate::desk::config(vec![trunk("main", 2, &["+"], None)]);
        with_callbacks(&mut config);
        let mut exchange =
            Exchange::recover(world.now, config, IdSource::new(1, 2), Entropy::from_number(8), recovered);
        let after = exchange.callbacks();
        // It rests until the second attempt, then waits with the old place: nobody is logged in yet.
        exchange.handle(world.now + Span::from_s(301), Input::Timeout);
        (after, exchange.callbacks())
    };
    let (rests, waits) = start(true);
    assert_eq!((rests[0].id, rests[0].tried, rests[0].position), (before[0].id, 1, None));
    assert_eq!((rests[0].asked, rests[0].until), (before[0].asked, before[0].until));
    assert_eq!((waits[0].position, waits[0].number.as_deref()), (Some(1), Some("+4940111")));
    // A number that was erased meanwhile is called by nobody.
    let (_, gone) = start(false);
    assert!(gone.is_empty());
}

#[test]
fn two_hundred_callbacks_that_are_due_at_once_wait_in_the_order_in_which_they_were_asked_for() {
    let week = core::array::from_fn(|_| vec![Hours { from: 540, until: 1_020 }]);
    let office = Calendar { name: "office".to_owned(), zone: Zone::utc(), week, days: Vec::new() };
    let mut world = world(|config| {
        config.calendars = vec![office];
        config.queues[0].ways.callback = Some(CallbackRules { window: Some(0), ..rules() });
    });
    world.comes_as("+49999");
    let (ann, ..) = world.ringing("ann").expect("ann's phone rings");
    world.answer("ann", ann);
    for n in 0..200 {
        let asks = world.comes_as(&format!("+4930{n:03}"));
        world.presses('1');
        world.hang_up("carrier2", asks);
    }
    let rests = world.exchange.callbacks();
    assert!(rests.iter().all(|callback| callback.position.is_none()), "it is not 09:00 yet");
    world.run(Span::from_s(3_600));
    let waits = world.exchange.callbacks();
    let places: Vec<_> = waits.iter().filter_map(|callback| callback.position).collect();
    assert_eq!(places, (1..=200).collect::<Vec<_>>());
    assert_eq!(waits[199].number.as_deref(), Some("+4930199"));
}

#[test]
fn while_the_account_has_no_line_a_callback_waits_30_s_rings_nobody_and_counts_no_attempt() {
    let mut world = world(|config| config.agents[1].acd = config.agents[1].acd.clone().in_queue(SALES, 1, 2));
    // ann and bob talk, two customers ask behind them. carl's account has one line.
    let mut talks = Vec::new();
    for n in 0..2 {
        world.comes_as(&format!("+4950{n}"));
        let agent = if world.state(100).0 == "offered" { "ann" } else { "bob" };
        let (talk, ..) = world.ringing(agent).expect("a phone rings");
        world.answer(agent, talk);
        talks.push((agent, talk));
    }
    for n in 0..2 {
        let asks = world.comes_as(&format!("+4960{n}"));
        world.presses('1');
        world.hang_up("carrier2", asks);
    }
    assert_eq!(world.exchange.callbacks().len(), 2, "who asks is not refused for the lack of a line");
    let (agent, talk) = talks[0];
    world.hang_up(agent, talk);
    world.run(Span::from_s(20));
    let (first, ..) = world.ringing(agent).expect("the phone rings again");
    world.answer(agent, first);
    let (customer, uri, _) = world.ringing("carrier2").expect("the customer is called");
    assert!(uri.contains("+49600"), "{uri}");
    world.answer("carrier2", customer);
    let (other, talk) = talks[1];
    world.hang_up(other, talk);
    world.run(Span::from_s(21));
    assert_eq!(
        world.ringing(other).map(|(session, ..)| session),
        Some(talk),
        "nobody rings for a call that cannot be made"
    );
    let rests = world.exchange.callbacks();
    assert_eq!((rests.len(), rests[0].tried, rests[0].rests_until.is_some()), (1, 0, true));
    world.hang_up("carrier2", customer);
    world.run(Span::from_s(30));
    assert_eq!(world.newest_state(), "ringing");
}
