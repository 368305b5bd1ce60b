//! Hours, overflow and keys: callers who come at the wrong time or wait for too long.

use offhook_call::calendar::{Calendar, Hours, Zone};
use offhook_call::config::{Choice, Config, Elsewhere, Gate, Queue, Ways};
use offhook_plan::{AssetId, Source};
use offhook_units::{QueueId, Span};

use crate::world::{World, tenths};

const SUPPORT: QueueId = QueueId(1);
const NIGHT: QueueId = QueueId(2);

/// Open from 08:00 to 09:00 UTC every day; the world begins at 08:00.
fn office() -> Calendar {
    let week = core::array::from_fn(|_| vec![Hours { from: 480, until: 540 }]);
    Calendar { name: "office".to_owned(), zone: Zone::utc(), week, days: Vec::new() }
}

fn gate(closed: Elsewhere) -> Gate {
    Gate { calendar: 0, closed }
}

/// A second queue, like the first but with these ways; its agent is the first one if `served`.
fn night(config: &mut Config, ways: Ways, served: bool) {
    let mut queue: Queue = config.queues[0].clone();
    (queue.acd.id, queue.acd.name, queue.ways) = (NIGHT, "night".to_owned(), ways);
    (queue.nobody_here, queue.full) = (vec![AssetId(13)], vec![AssetId(14)]);
    config.queues.push(queue);
    if served {
        config.agents[0].acd = config.agents[0].acd.clone().in_queue(NIGHT, 1, 1);
    }
}

fn hear(world: &World, asset: u32) {
    assert_eq!(world.heard_by_caller(), Some(Source::Player(world.playing(&[asset]))));
}

#[test]
fn a_closed_number_says_so_and_ends_and_opens_again_at_8() {
    let mut world = World::told(1, |config| {
        config.calendars = vec![office()];
        let number = config.numbers.get_mut("support").expect("a number");
        number.gate = Some(gate(Elsewhere::Message(vec![AssetId(20)])));
    });
    let call = world.dial("support");
    world.rung(0).expect("it is 08:00");
    world.caller_hangs_up(call);
    world.pass(Span::from_s(3_600));
    let call = world.dial("support");
    assert!(world.answered(call), "the message is heard on an answered call");
    hear(&world, 20);
    world.player_ends();
    assert!(world.bye_reason(call).is_some());
    assert_eq!(world.ended(), ["abandoned", "closed"]);
    world.pass(Span::from_s(23 * 3_600));
    world.dial("support");
    assert_eq!(world.call().state, "ringing");
}

#[test]
fn a_closed_number_without_words_is_refused_with_480_and_costs_the_caller_nothing() {
    let mut world = World::told(1, |config| {
        config.calendars = vec![office()];
        config.numbers.get_mut("support").expect("a number").gate = Some(gate(Elsewhere::Message(Vec::new())));
    });
    world.pass(Span::from_s(3_600));
    let call = world.dial("support");
    assert_eq!((world.answered(call), world.refused(call)), (false, Some(480)));
}

#[test]
fn a_closed_queue_leads_to_another_and_shows_when_it_opens() {
    let mut world = World::told(1, |config| {
        config.calendars = vec![office()];
        config.queues[0].ways.gate = Some(gate(Elsewhere::Queue(NIGHT)));
        night(config, Ways::default(), true);
    });
    assert!(world.queue(SUPPORT).hours.expect("hours").open);
    assert!(world.was_changed(SUPPORT));
    world.pass(tenths(36_000));
    let hours = world.queue(SUPPORT).hours.expect("hours");
    assert_eq!((hours.open, hours.until), (false, Some(world.now() + Span::from_s(23 * 3_600))));
    assert!(world.was_changed(SUPPORT), "it closed on its own");
    world.dial("support");
    assert_eq!((world.call().state, world.call().queue.as_deref()), ("ringing", Some("night")));
    assert_eq!((world.queue(SUPPORT).offered, world.queue(NIGHT).offered), (0, 1));
}

#[test]
fn who_waits_at_closing_time_is_served_all_the_same() {
    let mut world = World::told(1, |config| {
        config.calendars = vec![office()];
        config.queues[0].ways.gate = Some(gate(Elsewhere::Message(Vec::new())));
    });
    world.pass(Span::from_s(3_599));
    world.dial("support");
    world.pass(Span::from_s(2));
    assert!(!world.queue(SUPPORT).hours.expect("hours").open);
    world.pick_up(0);
    assert_eq!(world.call().state, "talking");
}

#[test]
fn after_20_s_a_caller_overflows_with_the_place_of_the_first_queue_and_counts_in_both() {
    let mut world = World::told(1, |config| {
        config.queues[0].acd.max_wait = Some(Span::from_s(20));
        config.queues[0].ways.waited = Some(Elsewhere::Queue(NIGHT));
        night(config, Ways::default(), false);
        config.queues[1].acd.no_agents.join = true;
        config.numbers.insert(
            "night".to_owned(),
            offhook_call::config::Number {
                answer: offhook_call::config::Answer::AtStart,
                to: offhook_call::config::Destination::Queue(NIGHT),
                gate: None,
                record: None,
                tones: None,
            },
        );
    });
    world.make_busy(0);
    let first = world.dial("support");
    world.pass(Span::from_s(10));
    world.dial("night");
    assert_eq!(world.call().position, Some(1));
    world.pass(Span::from_s(10));
    assert_eq!(world.call().position, Some(2), "the one who waited in support for 20 s goes before");
    let (left, came) = (world.queue(SUPPORT), world.queue(NIGHT));
    assert_eq!((left.offered, left.flowed_out, left.abandoned, left.waiting), (2, 1, 0, 0));
    assert_eq!((came.offered, came.waiting), (2, 2));
    world.caller_hangs_up(first);
    assert_eq!(world.queue(NIGHT).abandoned, 1);
    assert_eq!(world.ended(), ["abandoned"]);
}

#[test]
fn a_full_queue_and_a_deserted_one_lead_on_in_a_chain_and_its_last_one_speaks() {
    let mut world = World::told(1, |config| {
        config.queues[0].ways.full = Some(Elsewhere::Queue(NIGHT));
        let ways = Ways { nobody: Some(Elsewhere::Message(vec![AssetId(21)])), ..Ways::default() };
        night(config, ways, false);
    });
    world.make_busy(0);
    world.dial("support");
    world.dial("support");
    world.dial("support");
    hear(&world, 21);
    world.player_ends();
    assert_eq!(world.ended(), ["nobody-logged-in"]);
}

#[test]
fn queues_that_lead_to_each_other_let_a_caller_go_after_16_turns() {
    let mut world = World::told(0, |config| {
        config.queues[0].ways.nobody = Some(Elsewhere::Queue(NIGHT));
        night(config, Ways { nobody: Some(Elsewhere::Queue(SUPPORT)), ..Ways::default() }, false);
    });
    let call = world.dial("support");
    assert!(world.bye_reason(call).is_some() || world.refused(call).is_some());
    assert_eq!(world.ended(), ["nobody-logged-in"]);
    assert_eq!(world.counters().sent_elsewhere, 16);
}

#[test]
fn keys_lead_out_of_the_queue_to_a_message_a_colleague_or_nowhere_and_a_key_that_leads_nowhere_costs_no_place() {
    let mut world = World::told(2, |config| {
        let keys = [
            ('1', Elsewhere::Message(vec![AssetId(22)])),
            ('2', Elsewhere::Dial { number: "agent1".to_owned(), account: None }),
            ('3', Elsewhere::Queue(NIGHT)),
            ('4', Elsewhere::Dial { number: "0301234".to_owned(), account: None }),
        ];
        config.tones.ringback = vec![AssetId(40)];
        config.queues[0].ways.keys = keys.into();
        config.agents[1].acd.queues.clear();
        night(config, Ways::default(), false);
    });
    world.make_busy(0);
    world.dial("support");
    for idle in ['3', '4', '9'] {
        world.press(idle);
        assert_eq!((world.call().state, world.call().position), ("waiting", Some(1)), "{idle}");
    }
    world.press('2');
    assert_eq!(world.call().state, "ringing");
    world.rings(1);
    let Some(Source::Player(tone)) = world.heard_by_caller() else { panic!("a tone") };
    assert!(tone.repeat, "an answered caller is not left in silence while a colleague rings");
    assert_eq!(world.queue(SUPPORT).flowed_out, 1);
    world.pick_up(1);
    assert_eq!((world.call().state, world.call().agent.as_deref()), ("talking", Some("agent1")));
    world.agent_hangs_up(1);
    let call = world.dial("support");
    world.press('1');
    hear(&world, 22);
    world.player_ends();
    assert!(world.bye_reason(call).expect("a BYE").starts_with("Q.850;cause=16"), "as it should");
    assert_eq!(world.ended(), ["agent-hung-up", "left-by-key"]);
}

#[test]
fn a_caller_who_presses_a_key_while_the_agents_phone_rings_takes_the_ringing_along() {
    let mut world = World::told(1, |config| {
        config.queues[0].ways.keys = [('1', Elsewhere::Message(vec![AssetId(22)]))].into();
    });
    world.dial("support");
    assert_eq!(world.call().state, "ringing");
    world.press('1');
    assert!(world.was_cancelled(0));
    assert_eq!((world.call().state, world.agent_state(0)), ("announcing", "available"));
}

/// The menu leads on to a second one, to last words, and to itself; the second one's callers who press nothing hear last words.
fn two_menus() -> World {
    World::told(1, |config| {
        let mut second = config.flows["main"].clone();
        (second.greeting, second.default) = (vec![AssetId(30)], Elsewhere::Message(vec![AssetId(31)]));
        config.flows.insert("second".to_owned(), second);
        let first = config.flows.get_mut("main").expect("the menu");
        let others = [
            ('3', Choice::To(Elsewhere::Flow("second".to_owned()))),
            ('4', Choice::To(Elsewhere::Message(vec![AssetId(32)]))),
            ('5', Choice::To(Elsewhere::Dial { number: "support".to_owned(), account: None })),
            ('9', Choice::Again),
        ];
        first.choices.extend(others);
    })
}

#[test]
fn a_key_of_a_menu_leads_to_another_menu_and_from_there_to_a_queue() {
    let mut world = two_menus();
    world.dial("menu");
    hear(&world, 10);
    world.press('3');
    hear(&world, 30);
    world.press('2');
    assert_eq!((world.call().state, world.call().queue.as_deref()), ("ringing", Some("support")));
}

#[test]
fn a_key_of_a_menu_leads_to_a_number_of_ours_and_to_last_words() {
    let mut world = two_menus();
    let call = world.dial("menu");
    world.press('5');
    assert_eq!((world.call().state, world.call().queue.as_deref()), ("ringing", Some("support")));
    world.caller_hangs_up(call);
    let call = world.dial("menu");
    world.press('4');
    hear(&world, 32);
    world.player_ends();
    assert!(world.bye_reason(call).is_some());
    assert_eq!(world.ended(), ["abandoned", "left-by-key"]);
}

#[test]
fn a_menu_is_heard_again_by_a_key_as_often_as_it_has_rounds() {
    let mut world = two_menus();
    world.dial("menu");
    world.press('9');
    hear(&world, 10);
    assert_eq!(world.call().state, "greeting");
    world.press('9');
    assert_eq!((world.call().state, world.call().queue.as_deref()), ("ringing", Some("support")), "two rounds");
}

#[test]
fn who_presses_nothing_in_the_second_menu_hears_its_last_words() {
    let mut world = two_menus();
    let call = world.dial("menu");
    world.press('3');
    for _ in 0..2 {
        world.player_ends();
        world.pass(Span::from_s(3));
    }
    hear(&world, 31);
    world.player_ends();
    assert!(world.bye_reason(call).is_some());
    assert_eq!(world.ended(), ["left-by-key"]);
}
