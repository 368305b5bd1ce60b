//! Callers who hang up while they wait, and call again.

use offhook_units::Span;

use crate::world::{Dialled, World};

/// An agent who talks, and two callers who wait: ada, then bob.
fn two_wait(within_s: u64) -> (World, Dialled) {
    let mut world = World::told(1, |config| {
        config.queues[0].resume_within = (within_s > 0).then_some(Span::from_s(within_s));
    });
    world.make_busy(0);
    let ada = world.dial_as("ada", "support");
    world.pass(Span::from_s(10));
    world.dial_as("bob", "support");
    world.pass(Span::from_s(10));
    (world, ada)
}

/// Who is rung for when the agent is free again.
fn next(world: &mut World) -> String {
    world.agent_hangs_up(0);
    world.pass(Span::from_s(5));
    let rung = world.rung(0).expect("somebody waits");
    let from = rung.headers.get("From").expect("a caller").to_owned();
    from.split_once("sip:")
        .and_then(|(_, rest)| rest.split_once('@'))
        .map(|(user, _)| user.to_owned())
        .expect("a user part")
}

#[test]
fn who_calls_again_in_time_takes_the_old_place_back() {
    let (mut world, ada) = two_wait(60);
    world.caller_hangs_up(ada);
    world.pass(Span::from_s(60));
    world.dial_as("ada", "support");
    assert_eq!(world.counters().resumed, 1);
    assert_eq!(next(&mut world), "ada");
}

#[test]
fn who_calls_again_too_late_or_where_no_place_is_kept_waits_behind_the_others() {
    for (within, pause) in [(60, 61), (0, 1)] {
        let (mut world, ada) = two_wait(within);
        world.caller_hangs_up(ada);
        world.pass(Span::from_s(pause));
        world.dial_as("ada", "support");
        assert_eq!(world.counters().resumed, 0);
        assert_eq!(next(&mut world), "bob", "{within} {pause}");
    }
}

#[test]
fn a_place_is_taken_back_once_and_by_nobody_else() {
    let (mut world, ada) = two_wait(60);
    world.caller_hangs_up(ada);
    let eve = world.dial_as("eve", "support");
    assert_eq!(world.counters().resumed, 0);
    world.caller_hangs_up(eve);
    world.dial_as("ada", "support");
    assert_eq!(world.counters().resumed, 1);
    world.dial_as("ada", "support");
    assert_eq!(world.counters().resumed, 1, "a second call of the same number has no place to take");
}
