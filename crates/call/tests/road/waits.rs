//! How long it will take: told to callers in minutes, where that can be said.

use offhook_call::config::{Announcement, Config};
use offhook_plan::{AssetId, Source};
use offhook_units::{QueueId, Span};

use crate::world::World;

const SUPPORT: QueueId = QueueId(1);

/// "You are number N", then "less than N minutes", or "a minute at most".
fn tells_waits(config: &mut Config) {
    config.queues[0].announcement.digits = (50..60).map(AssetId).collect();
    config.queues[0].expected_wait = Announcement {
        before: vec![AssetId(20)],
        digits: (30..40).map(AssetId).collect(),
        after: vec![AssetId(21)],
        one: vec![AssetId(22)],
    };
}

fn heard(world: &World) -> Vec<u32> {
    match world.heard_by_caller() {
        Some(Source::Player(player)) => player.assets.iter().map(|asset| asset.0).collect(),
        other => panic!("nothing is played: {other:?}"),
    }
}

/// Ten callers wait 80 s each for the only agent, who then talks to the last of them.
fn busy_morning(world: &mut World) {
    world.make_busy(0);
    for _ in 0..10 {
        world.dial("support");
        world.pass(Span::from_s(75));
        world.agent_hangs_up(0);
        world.pass(Span::from_s(5));
        world.pick_up(0);
    }
}

#[test]
fn callers_hear_minutes_beside_their_place_once_ten_have_had_to_wait() {
    let mut world = World::told(1, tells_waits);
    world.make_busy(0);
    world.dial("support");
    assert_eq!(heard(&world), [2, 51], "nothing is known yet: the place alone");
    assert_eq!(world.queue(SUPPORT).expected_wait, None);

    let mut world = World::told(1, tells_waits);
    busy_morning(&mut world);
    world.dial("support");
    assert_eq!(heard(&world), [2, 51, 20, 32, 21], "number one, less than two minutes");
    world.dial("support");
    assert_eq!(heard(&world), [2, 52, 20, 34, 21], "number two, less than four minutes");
    let queue = world.queue(SUPPORT);
    let expected = queue.expected_wait.expect("it can be said");
    assert_eq!((expected.place, expected.agents, queue.forecasts.made), (3, 1, 2));

    // Told again, it is no longer than before, whatever time has passed.
    world.player_ends();
    world.pass(Span::from_s(30));
    assert_eq!(heard(&world), [2, 52, 20, 34, 21]);
    world.agent_hangs_up(0);
    world.pass(Span::from_s(5));
    world.pick_up(0);
    let scored = world.queue(SUPPORT).forecasts.p80;
    assert_eq!((scored.within, scored.beyond), (2, 0), "both forecasts of the first of the two");
}

#[test]
fn a_queue_that_tells_no_waits_scores_one_forecast_for_each_caller_who_has_to_wait() {
    let mut world = World::with_agents(1);
    busy_morning(&mut world);
    let caller = world.dial("support");
    assert_eq!(heard(&world), [2, 1]);
    world.pass(Span::from_s(300));
    world.caller_hangs_up(caller);
    let forecasts = world.queue(SUPPORT).forecasts;
    assert_eq!((forecasts.made, forecasts.p80.beyond), (1, 1));
}

#[test]
fn a_minute_at_most_has_words_of_its_own() {
    let mut world = World::told(1, tells_waits);
    world.make_busy(0);
    for _ in 0..10 {
        world.dial("support");
        world.pass(Span::from_s(15));
        world.agent_hangs_up(0);
        world.pass(Span::from_s(5));
        world.pick_up(0);
    }
    world.dial("support");
    assert_eq!(heard(&world), [2, 51, 22]);
}
