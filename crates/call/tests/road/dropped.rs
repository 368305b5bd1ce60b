//! Agents' phones that are gone while the caller is there.

use offhook_units::Span;

use crate::world::World;

/// Longer than a session lives whose phone does not refresh it (RFC 4028), in seconds.
const A_SESSION: u32 = 1_800;

#[test]
fn a_caller_whose_agents_phone_is_gone_waits_again_before_those_who_came_later() {
    let mut world = World::with_agents(1);
    let first = world.dial("support");
    world.pick_up(0);
    world.pass(Span::from_s(1));
    let second = world.dial("support");
    world.agent_starts_anew(0);
    let waited = (0..A_SESSION).find(|_| {
        world.pass(Span::from_s(1));
        world.counters().dropped > 0
    });
    assert!(waited.is_some() && world.ended().is_empty(), "{:?}", world.ended());
    assert_eq!((world.agent_state(0), world.call().state), ("wrap-up", "waiting"));
    world.pass(Span::from_s(5));
    world.pick_up(0);
    assert_eq!((world.agent_state(0), world.call().state), ("busy", "waiting"));
    world.caller_hangs_up(first);
    world.caller_hangs_up(second);
    assert_eq!(world.ended(), ["caller-hung-up", "abandoned"]);
    assert_eq!((world.open_sessions(), world.ports_in_use()), (0, 0));
}

#[test]
fn an_agent_whose_browser_agrees_on_no_keys_takes_no_more_calls_and_the_caller_gets_the_next_one() {
    let mut world = World::with_agents(2);
    let caller = world.dial("support");
    let first = world.ringing_agent();
    world.pick_up(first);
    world.agent_agrees_on_no_keys();
    let second = world.ringing_agent();
    assert_ne!(first, second);
    world.pick_up(second);
    world.pass(Span::from_s(60));
    assert_eq!((world.agent_state(first), world.call().state), ("not-ready", "talking"));
    world.caller_hangs_up(caller);
    assert_eq!((world.ended(), world.open_sessions(), world.ports_in_use()), (&["caller-hung-up"][..], 0, 0));
}

#[test]
fn a_caller_who_cannot_come_back_hears_so_and_no_agent_stays_busy() {
    let mut world = World::told(1, |config| config.queues[0].acd.max_waiting = Some(1));
    let caller = world.dial("support");
    world.pick_up(0);
    world.dial("support");
    world.agent_agrees_on_no_keys();
    assert!(world.ended().is_empty(), "the last words are heard");
    world.caller_hangs_up(caller);
    assert_eq!(world.ended(), ["not-reached"]);
    world.pass(Span::from_s(60));
    assert_eq!(world.agent_state(0), "not-ready");
}

#[test]
fn a_caller_comes_back_three_times_and_then_the_call_ends() {
    let mut world = World::with_agents(5);
    world.dial("support");
    for _ in 0..4 {
        world.pick_up(world.ringing_agent());
        world.agent_agrees_on_no_keys();
    }
    assert_eq!((world.ended(), world.counters().dropped), (&["failed"][..], 3));
    assert_eq!((world.open_sessions(), world.ports_in_use()), (0, 0));
}
