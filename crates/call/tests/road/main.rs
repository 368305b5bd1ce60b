//! The road of a call, step by step: every turn it can take, with phones that are SIP user agents on a virtual clock.

mod configuring;
mod dropped;
mod elsewhere;
mod lending;
mod placement;
mod resume;
mod waits;
mod world;

use offhook_call::view::Sounds;
use offhook_plan::{Direction, Grade, Source};
use offhook_sip::{EndCause, Event};
use offhook_units::Span;

use world::{World, tenths};

#[test]
fn a_caller_hears_the_menu_chooses_a_queue_and_talks_to_the_agent() {
    let mut world = World::with_agents(1);
    let call = world.dial("menu");
    assert!(world.answered(call), "the number answers at the start");
    assert_eq!(world.heard_by_caller(), Some(Source::Player(world.playing(&[10]))), "the greeting");
    world.press('2');
    assert_eq!(world.call().state, "ringing");
    assert_eq!(world.call().queue.as_deref(), Some("support"));
    let invite = world.rung(0).expect("the agent's phone rings");
    assert!(invite.headers.get("From").expect("a From").contains("caller"), "with the caller's number");
    assert_eq!(invite.headers.get("X-Offhook-Queue"), Some("support"));
    world.pick_up(0);
    assert_eq!(world.call().state, "talking");
    let plan = world.plan();
    assert_eq!(plan.edges.len(), 2, "both hear each other: {plan:?}");
    assert!(plan.edges.iter().all(|edge| matches!(edge.from, Source::Leg(_))));
    assert_eq!(plan.taps.len(), 1, "support records");
    world.caller_hangs_up(call);
    assert_eq!(world.ended(), ["caller-hung-up"]);
    assert_eq!(world.agent_state(0), "wrap-up");
    world.pass(Span::from_s(5));
    assert_eq!(world.agent_state(0), "available");
}

#[test]
fn how_a_call_sounded_counts_for_the_trunk_and_the_agent_that_it_went_through() {
    let mut world = World::with_agents(1);
    for _ in 0..2 {
        let call = world.dial("support");
        world.pick_up(0);
        world.caller_hangs_up(call);
        world.pass(Span::from_s(5));
    }
    let (trunk, agent) = world.heard_quality();
    assert_eq!((trunk.good_s, trunk.poor_s, trunk.mos_worst_x100), (20, 2, 258), "{trunk:?}");
    assert_eq!(agent, trunk);
}

#[test]
fn how_each_side_sounds_is_shown_while_the_call_is_up() {
    let mut world = World::with_agents(1);
    world.dial("support");
    world.pick_up(0);
    world.agent_sounds(Grade::Fair, Grade::Poor);
    let call = world.call();
    assert_eq!((call.caller_sounds.heard, call.caller_sounds.sent), (Grade::Good, Grade::Good));
    assert_eq!(call.agent_sounds.map(|sounds| (sounds.heard, sounds.sent)), Some((Grade::Fair, Grade::Poor)));
    world.agent_sounds(Grade::Good, Grade::Good);
    assert_eq!(world.call().agent_sounds, Some(Sounds::default()));
}

#[test]
fn an_agent_who_is_not_heard_is_shown_while_all_talk_and_no_longer_on_hold() {
    let mut world = World::with_agents(1);
    world.dial("support");
    world.pick_up(0);
    assert_eq!(world.call().unheard, None);
    world.agent_falls_silent(true);
    assert_eq!(world.call().unheard, Some("agent"));
    world.agent_falls_silent(false);
    assert_eq!(world.call().unheard, None);
    world.agent_falls_silent(true);
    world.agent_offers(0, Direction::SendOnly);
    assert_eq!((world.call().state, world.call().unheard), ("held", None));
    world.agent_offers(0, Direction::SendRecv);
    assert_eq!((world.call().state, world.call().unheard), ("talking", None));
}

#[test]
fn music_plays_while_nobody_is_free_and_the_place_is_told_over_it() {
    let mut world = World::with_agents(1);
    world.make_busy(0);
    world.dial("support");
    assert_eq!(world.heard_by_caller(), Some(Source::Player(world.playing(&[2, 1]))), "'you are number' 'one'");
    world.player_ends();
    let Some(Source::Player(music)) = world.heard_by_caller() else { panic!("music") };
    assert!(music.repeat, "music goes on");
}

#[test]
fn an_announcement_is_cut_short_by_the_agents_answer() {
    let mut world = World::with_agents(1);
    world.dial("support");
    let Some(Source::Player(announcement)) = world.heard_by_caller() else { panic!("an announcement") };
    assert!(!announcement.repeat);
    world.pick_up(0);
    assert!(matches!(world.heard_by_caller(), Some(Source::Leg(_))));
}

#[test]
fn an_agent_who_declines_is_followed_by_the_next_one() {
    let mut world = World::with_agents(2);
    world.dial("support");
    let first = world.ringing_agent();
    world.decline(first);
    let second = world.ringing_agent();
    assert_ne!(first, second);
    world.pick_up(second);
    world.agent_hangs_up(second);
    assert_eq!(world.ended(), ["agent-hung-up"]);
}

#[test]
fn a_caller_of_a_sticky_queue_comes_back_to_the_agent_of_the_last_call_and_waits_5_s_where_that_one_talks() {
    let talk = |world: &mut World, agent| {
        world.pick_up(agent);
        world.agent_hangs_up(agent);
        world.pass(Span::from_s(6));
    };
    let mut world = World::with_sticky_agents(2);
    world.dial("support");
    let first = world.ringing_agent();
    talk(&mut world, first);
    // The other one has been idle for longer now.
    world.dial("support");
    assert_eq!(world.ringing_agent(), first);
    talk(&mut world, first);
    // After a minute anybody will do, and the other one has been idle for longer.
    world.pass(Span::from_s(61));
    world.dial("support");
    let second = world.ringing_agent();
    assert_ne!(second, first);
    world.pick_up(second);
    // The second one talks: the next call waits 5 s for that one, though the first is free.
    world.dial("support");
    assert_eq!(world.agent_state(first), "available");
    world.pass(tenths(51));
    assert_eq!(world.ringing_agent(), first);
}

#[test]
fn an_agent_who_does_not_answer_gets_a_cancel_and_the_next_one_rings() {
    let mut world = World::with_agents(2);
    world.dial("support");
    let first = world.ringing_agent();
    world.pass(tenths(61));
    assert!(world.was_cancelled(first));
    let second = world.ringing_agent();
    assert_ne!(first, second);
    world.pick_up(second);
    assert_eq!(world.call().state, "talking");
}

#[test]
fn after_a_busy_phone_its_agent_rests_for_the_busy_delay_where_there_is_one() {
    for (busy_delay, rests_s) in [(None, 5), (Some(Span::from_s(30)), 30)] {
        let mut world = World::told(1, |config| config.agents[0].busy_delay = busy_delay);
        world.dial("support");
        world.decline(0);
        world.pass(Span::from_s(rests_s - 1));
        assert_eq!(world.agent_state(0), "available");
        world.pass(Span::from_s(2));
        assert_eq!(world.agent_state(0), "offered");
    }
}

#[test]
fn a_caller_who_hangs_up_while_ringing_takes_the_ringing_along() {
    let mut world = World::with_agents(1);
    let call = world.dial("support");
    let agent = world.ringing_agent();
    world.caller_hangs_up(call);
    assert!(world.was_cancelled(agent));
    assert_eq!(world.ended(), ["abandoned"]);
    assert_eq!(world.agent_state(0), "available");
}

#[test]
fn a_caller_who_gives_up_before_the_answer_is_told_487_and_counted_abandoned() {
    let mut world = World::with_agents(1);
    let call = world.dial("at-agent");
    assert!(!world.answered(call), "answered only when the agent answers");
    assert_eq!(world.progress(call), Some(183), "music is early media");
    world.caller_hangs_up(call);
    assert_eq!(world.refused(call), Some(487));
    assert_eq!(world.ended(), ["abandoned"]);
}

#[test]
fn a_cancel_that_crosses_the_answer_leaves_nobody_connected() {
    let mut world = World::with_agents(1);
    let call = world.dial("at-agent");
    let agent = world.ringing_agent();
    world.hold_mail();
    world.caller_hangs_up(call);
    world.pick_up(agent);
    world.release_mail();
    world.pass(Span::from_s(40));
    assert_eq!(world.ended().len(), 1, "one record");
    assert_eq!(world.open_sessions(), 0, "nobody is left connected");
    assert_eq!(world.ports_in_use(), 0);
}

#[test]
fn an_answered_caller_hears_that_nobody_is_there_and_then_a_bye_with_a_q850_cause() {
    let mut world = World::with_agents(0);
    let call = world.dial("support");
    assert!(world.answered(call));
    assert_eq!(world.heard_by_caller(), Some(Source::Player(world.playing(&[3]))));
    world.player_ends();
    assert!(world.bye_reason(call).expect("a BYE").starts_with("Q.850;cause=18"));
    assert_eq!(world.ended(), ["nobody-logged-in"]);
}

#[test]
fn an_unanswered_caller_hears_that_nobody_is_there_as_early_media_and_then_480() {
    let mut world = World::with_agents(0);
    let call = world.dial("at-agent");
    assert_eq!(world.progress(call), Some(183));
    world.player_ends();
    assert_eq!(world.refused(call), Some(480));
    assert_eq!(world.ended(), ["nobody-logged-in"]);
}

#[test]
fn the_third_caller_of_a_queue_for_two_is_told_that_it_is_full() {
    let mut world = World::with_agents(1);
    world.make_busy(0);
    for _ in 0..2 {
        world.dial("at-agent");
    }
    let third = world.dial("at-agent");
    world.player_ends();
    assert_eq!(world.refused(third), Some(486));
    assert_eq!(world.ended(), ["queue-full"]);
}

#[test]
fn while_the_agent_holds_the_caller_hears_music_and_the_agent_nothing() {
    let mut world = World::with_agents(1);
    world.dial("support");
    world.pick_up(0);
    world.agent_offers(0, Direction::SendOnly);
    assert_eq!(world.call().state, "held");
    let Some(Source::Player(music)) = world.heard_by_caller() else { panic!("hold music") };
    assert!(music.repeat);
    assert_eq!(world.plan().edges.len(), 1, "nothing is sent to a phone that holds");
    world.agent_offers(0, Direction::SendRecv);
    assert_eq!(world.call().state, "talking");
    assert!(matches!(world.heard_by_caller(), Some(Source::Leg(_))));
}

#[test]
fn while_the_caller_holds_nothing_is_sent_to_the_caller() {
    let mut world = World::with_agents(1);
    let call = world.dial("support");
    world.pick_up(0);
    world.caller_offers(call, Direction::SendOnly);
    assert_eq!(world.call().state, "held");
    assert_eq!(world.heard_by_caller(), None);
    world.caller_offers(call, Direction::SendRecv);
    assert!(matches!(world.heard_by_caller(), Some(Source::Leg(_))));
}

#[test]
fn a_phone_that_is_called_directly_answers_for_the_number() {
    let mut world = World::with_agents(1);
    let call = world.dial("direct");
    world.rings(0);
    assert_eq!(world.progress(call), Some(180), "ringback is local");
    assert!(!world.answered(call));
    world.pick_up(0);
    assert!(world.answered(call));
    world.agent_hangs_up(0);
    assert!(matches!(world.last_caller_event(call), Some(Event::Ended { cause: EndCause::PeerBye { .. }, .. })));
    assert_eq!(world.ended(), ["agent-hung-up"]);
}

#[test]
fn a_stranger_is_refused_and_a_wrong_number_is_not_found() {
    let mut world = World::with_agents(1);
    let call = world.dial("nowhere");
    assert_eq!(world.refused(call), Some(404));
    let stranger = world.dial_as_stranger("support");
    assert_eq!(world.refused(stranger), Some(401));
    assert_eq!(world.ended().len(), 0, "neither was a call");
    assert_eq!(world.ports_in_use(), 0);
}

#[test]
fn a_drain_lets_the_call_end_and_refuses_the_next_one_with_503() {
    let mut world = World::with_agents(1);
    let call = world.dial("support");
    world.pick_up(0);
    world.begin_drain(Span::from_s(60));
    let late = world.dial("support");
    assert_eq!(world.refused(late), Some(503));
    assert!(!world.is_drained());
    world.caller_hangs_up(call);
    assert!(world.is_drained());
}
