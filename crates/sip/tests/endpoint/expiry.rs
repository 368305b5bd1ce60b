//! Session timers: who refreshes, what too short an interval gets, and the end of a call whose peer is gone.

use offhook_sip::{EndCause, Endpoint, EndpointConfig, Event};
use offhook_units::{Entropy, Span};

use super::world::{A, B, World, answered, ended, invited};

fn config(expires: u64, min: u64) -> EndpointConfig {
    EndpointConfig {
        session_expires: Span::from_s(expires),
        session_expires_min: Span::from_s(min),
        ..EndpointConfig::default()
    }
}

/// A world whose second party is configured otherwise.
fn world(seed: u64, a: &EndpointConfig, b: &EndpointConfig) -> World {
    let mut world = World::with(seed, a, 2);
    world.parties[B].endpoint = Endpoint::new(b.clone(), Entropy::from_number(seed + 1));
    world
}

#[test]
fn a_call_is_refreshed_by_update_at_half_of_its_interval_and_goes_on() {
    let mut world = world(81, &config(1_800, 90), &config(600, 90));
    let (caller, _) = world.talking();
    world.run_for(Span::from_s(3_600));
    // The callee wants less, and refreshes: every 300 s for an hour.
    assert_eq!((world.sent_count(B, "UPDATE"), world.sent_count(A, "UPDATE")), (11, 0));
    assert!(world.events(A).is_empty() && world.events(B).is_empty(), "the programs notice nothing");
    world.hang_up(A, caller);
    world.settle();
}

#[test]
fn a_call_whose_peer_vanished_is_over_on_both_sides() {
    let mut world = world(82, &config(180, 90), &config(180, 90));
    world.talking();
    world.filter(|_, _| false);
    world.run_for(Span::from_s(200));
    // The callee's refresh at 90 s finds nobody; the caller waits for it until a third of the interval is left.
    assert_eq!(world.expect(B, ended).1, EndCause::TimedOut);
    assert_eq!(world.expect(A, ended).1, EndCause::Expired);
    world.settle();
}

#[test]
fn an_interval_that_is_too_small_is_asked_for_again_as_the_422_says() {
    let mut world = world(83, &config(100, 90), &config(1_800, 300));
    let caller = world.call(A, B, None);
    world.run_for(Span::from_ms(100));
    assert_eq!((world.sent_count(B, "SIP/2.0 422"), world.sent_count(A, "INVITE")), (1, 2));
    let callee = world.expect(B, invited);
    world.answer(B, callee);
    world.run_for(Span::from_s(160));
    assert_eq!(world.expect(A, answered), caller);
    assert_eq!(world.sent_count(B, "UPDATE"), 1, "300 s now");
    world.hang_up(B, callee);
    world.settle();
}

#[test]
fn without_timers_on_one_side_nothing_expires_and_nothing_is_sent() {
    for (a, b) in [(0, 1_800), (1_800, 0)] {
        let mut world = world(84, &config(a, 90), &config(b, 90));
        let (caller, _) = world.talking();
        world.run_for(Span::from_s(7_200));
        assert_eq!(world.sent_count(A, "UPDATE") + world.sent_count(B, "UPDATE"), 0, "{a} and {b}");
        world.hang_up(A, caller);
        world.settle();
    }
}

#[test]
fn a_peer_that_takes_no_update_is_refreshed_by_a_re_invite_with_the_same_description() {
    let mut world = world(85, &config(180, 90), &config(180, 90));
    world.without_update = Some(A);
    let (_, callee) = world.talking();
    let mut offered = 0;
    for _ in 0..40 {
        world.run_for(Span::from_s(10));
        for event in world.events(A) {
            let Event::Reoffered { session, body } = event else { panic!("{event:?}") };
            assert_eq!(body.map(|body| body.bytes).as_deref(), Some(&b"v=0 answer"[..]));
            offered += 1;
            world.act(A, |endpoint, now| {
                endpoint.answer_reoffer(now, session, Some(offhook_sip::Body::sdp("v=0 offer")));
            });
        }
    }
    assert_eq!(offered, 4, "every 90 s");
    world.hang_up(B, callee);
    world.settle();
}
