//! A number that lets callers hear themselves, to try a line.

mod desk;

use desk::{World, credentials, number, trunk};
use offhook_call::config::{Answer, Destination, ECHO_MAX, Number};
use offhook_call::record::CallEnd;
use offhook_plan::{Edge, Source};
use offhook_units::{Span, Tick};

fn world() -> World {
    World::told(vec![trunk("carrier", 2, &["0"], None)], |config| {
        config.numbers.insert("*43".to_owned(), Number { answer: Answer::AtStart, to: Destination::Echo, ..number() });
    })
}

#[test]
fn whoever_calls_an_echo_hears_itself_and_nobody_else_until_it_hangs_up() {
    let mut world = world();
    let call = world.dial("ann", "*43", Some(credentials("ann")));
    assert!(world.was_answered("ann", call));
    let plan = world.plans.values().next().expect("a plan");
    let [leg] = &plan.legs[..] else { panic!("one leg: {plan:?}") };
    assert_eq!(plan.edges, [Edge { from: Source::Leg(leg.leg), to: leg.leg, since: Tick::MAX }]);
    world.hang_up("ann", call);
    world.run(Span::from_ms(500));
    assert_eq!(world.exchange.ports().0, 0);
    let ended: Vec<_> = world.exchange.counters().ended.iter().map(|(end, count)| (*end, *count)).collect();
    assert_eq!(ended, [(CallEnd::CallerHungUp.name(), 1)], "nobody has given up waiting");
}

#[test]
fn an_echo_that_nobody_ends_is_over_after_two_minutes() {
    let mut world = world();
    let call = world.dial("ann", "*43", Some(credentials("ann")));
    world.run(Span::from_ms(ECHO_MAX.as_ms() - 1_000));
    assert!(world.was_answered("ann", call) && world.exchange.ports().0 == 1);
    world.run(Span::from_s(3));
    assert_eq!(world.exchange.ports().0, 0, "it was hung up on");
}
