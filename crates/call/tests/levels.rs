//! How loud each side of a call speaks: shown while it is up, in its record, with the agent, and where one sends silence only.

mod desk;

use desk::{World, trunk};
use offhook_call::Input;
use offhook_call::view::{CallView, Sounds};
use offhook_plan::{LevelReport, MediaEvent, PeerMetrics};
use offhook_sip::SessionId;
use offhook_units::Span;

/// A customer talks to ann; the customer's session.
fn talk() -> (World, SessionId) {
    let mut world = World::new(vec![trunk("carrier", 2, &["0"], None)]);
    let customer = world.dial("carrier2", "700", None);
    let (ann, ..) = world.ringing("ann").expect("ann's phone rings");
    world.answer("ann", ann);
    (world, customer)
}

/// The worker tells how loud the caller's leg (0) or the agent's (1) speaks, half of a minute.
fn speaks(world: &mut World, leg: usize, dbov: i16, quiet: bool) {
    let (call, plan) = world.plans.iter().next().expect("a call");
    let (call, leg) = (*call, plan.legs[leg].leg);
    let level = LevelReport { speech_dbov_x10: Some(dbov * 10), measured_ms: 60_000, active_ms: 30_000 };
    world.exchange.handle(world.now, Input::Media { worker: 0, event: MediaEvent::Level { call, leg, level, quiet } });
    world.run(Span::from_ms(10));
}

fn view(world: &World) -> CallView {
    world.exchange.calls(world.now).remove(0)
}

#[test]
fn levels_are_shown_while_the_call_is_up_and_stand_in_its_record_and_with_trunk_and_agent() {
    let (mut world, customer) = talk();
    assert_eq!(view(&world).caller_sounds.level, None);
    speaks(&mut world, 0, -31, false);
    speaks(&mut world, 1, -19, false);
    let level = |sounds: Sounds| sounds.level.and_then(|level| level.speech_dbov_x10);
    let shown = view(&world);
    assert_eq!((level(shown.caller_sounds), shown.agent_sounds.and_then(level)), (Some(-310), Some(-190)));
    world.hang_up("carrier2", customer);
    let record = &world.records[0];
    let told = [record.caller_level, record.agent_level].map(|level| level.and_then(|level| level.speech_dbov_x10));
    assert_eq!(told, [Some(-310), Some(-190)]);
    let ann = world.exchange.agents(world.now)[0].level;
    assert_eq!((ann.speech_dbov_x10, ann.active_percent()), (Some(-190), Some(50)));
    assert_eq!(world.exchange.trunks(world.now)[0].level.speech_dbov_x10, Some(-310));
}

#[test]
fn who_sends_nothing_but_silence_is_shown_and_counted_while_the_other_speaks_and_not_where_both_do() {
    let (mut world, _) = talk();
    speaks(&mut world, 1, -70, true);
    assert_eq!(view(&world).quiet, None, "nothing is known of the caller");
    speaks(&mut world, 0, -25, false);
    assert_eq!(view(&world).quiet, Some("agent"));
    speaks(&mut world, 0, -25, true);
    assert_eq!(view(&world).quiet, None);
    speaks(&mut world, 1, -25, false);
    assert_eq!(view(&world).quiet, Some("caller"));
    assert_eq!(world.exchange.counters().quiet, 2);
}

#[test]
fn what_a_phone_tells_of_what_it_hears_is_shown_while_the_call_is_up_and_stands_in_its_record_as_it_was_last() {
    let (mut world, customer) = talk();
    for mos in [41, 37] {
        let (call, plan) = world.plans.iter().next().expect("a call");
        let metrics = PeerMetrics { mos_cq_x10: Some(mos), ..PeerMetrics::default() };
        let event = MediaEvent::PeerTold { call: *call, leg: plan.legs[1].leg, metrics };
        world.exchange.handle(world.now, Input::Media { worker: 0, event });
        assert_eq!(view(&world).agent_sounds.and_then(|sounds| sounds.told), Some(metrics));
    }
    assert_eq!(view(&world).caller_sounds.told, None);
    world.hang_up("carrier2", customer);
    let record = &world.records[0];
    assert_eq!((record.caller_told, record.agent_told.and_then(|told| told.mos_cq_x10)), (None, Some(37)));
}

#[test]
fn two_levels_join_by_how_long_each_was_spoken_at() {
    let level = |tenths, active_ms| LevelReport { speech_dbov_x10: tenths, measured_ms: 10_000, active_ms };
    let mut all = level(None, 0);
    all.join(&level(Some(-200), 3_000));
    assert_eq!(all, LevelReport { measured_ms: 20_000, ..level(Some(-200), 3_000) });
    all.join(&level(Some(-300), 1_000));
    assert_eq!(all, LevelReport { measured_ms: 30_000, ..level(Some(-225), 4_000) });
    all.join(&level(None, 0));
    assert_eq!((all.speech_dbov_x10, all.active_percent()), (Some(-225), Some(10)));
}
