//! Changes of a running call: hold, glare, UPDATE, INFO, OPTIONS.

use offhook_sip::{Body, EndCause, Event, SessionId};
use offhook_units::Span;

use super::world::{A, B, World, ended, invited};

fn reoffered(event: &Event) -> Option<(SessionId, Option<Body>)> {
    if let Event::Reoffered { session, body } = event { Some((*session, body.clone())) } else { None }
}

fn reoffer_answered(event: &Event) -> Option<(SessionId, Option<Body>)> {
    if let Event::ReofferAnswered { session, body } = event { Some((*session, body.clone())) } else { None }
}

fn reoffer(world: &mut World, party: usize, session: SessionId, text: &str) {
    world.act(party, |endpoint, now| endpoint.reoffer(now, session, Some(Body::sdp(text))));
}

fn answer(world: &mut World, party: usize, session: SessionId, text: &str) {
    world.act(party, |endpoint, now| endpoint.answer_reoffer(now, session, Some(Body::sdp(text))));
}

#[test]
fn hold_goes_both_ways_with_offer_and_answer() {
    let mut world = World::new(21);
    let (caller, callee) = world.talking();
    for (from, ours, to, theirs) in [(A, caller, B, callee), (B, callee, A, caller)] {
        reoffer(&mut world, from, ours, "hold");
        world.run_for(Span::from_ms(50));
        assert_eq!(world.expect(to, reoffered), (theirs, Some(Body::sdp("hold"))));
        answer(&mut world, to, theirs, "held");
        world.run_for(Span::from_ms(50));
        assert_eq!(world.expect(from, reoffer_answered), (ours, Some(Body::sdp("held"))));
        assert!(world.events(to).is_empty(), "the ACK says nothing new");
    }
    world.hang_up(A, caller);
    world.settle();
}

#[test]
fn a_reinvite_without_offer_gets_ours_and_its_answer_comes_with_the_ack() {
    let mut world = World::new(22);
    let (caller, callee) = world.talking();
    world.act(A, |endpoint, now| endpoint.reoffer(now, caller, None));
    world.run_for(Span::from_ms(50));
    assert_eq!(world.expect(B, reoffered), (callee, None));
    answer(&mut world, B, callee, "our offer");
    world.run_for(Span::from_ms(50));
    assert_eq!(world.expect(A, reoffer_answered), (caller, Some(Body::sdp("our offer"))));
    assert_eq!(world.expect(B, reoffer_answered), (callee, None));
    world.hang_up(B, callee);
    world.settle();
}

#[test]
fn two_reinvites_that_meet_are_both_refused_491_and_both_succeed_later() {
    for seed in 0..20 {
        let mut world = World::new(2_300 + seed);
        let (caller, callee) = world.talking();
        reoffer(&mut world, A, caller, "from a");
        reoffer(&mut world, B, callee, "from b");
        let until = world.now + Span::from_s(12);
        let mut answers = [0; 2];
        while world.step(until) {
            for (party, session) in [(A, caller), (B, callee)] {
                for event in world.events(party) {
                    match event {
                        Event::Reoffered { .. } => answer(&mut world, party, session, "yes"),
                        Event::ReofferAnswered { .. } => answers[party] += 1,
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
        assert_eq!(answers, [1, 1], "seed {seed}");
        assert_eq!((world.sent_count(A, "SIP/2.0 491"), world.sent_count(B, "SIP/2.0 491")), (1, 1), "seed {seed}");
        let wait = |by: usize| {
            let times: Vec<_> =
                world.sent.iter().filter(|s| s.1 == world.parties[by].address && s.3.starts_with("INVITE")).collect();
            (times[times.len() - 1].0 - times[times.len() - 2].0).as_ms()
        };
        // RFC 3261 section 14.1: the one who was called waits up to 2 s; the caller would wait longer, but follows at once
        // when the other one's change is through.
        assert!(wait(B) <= 2_100 && wait(B) <= wait(A) && wait(A) <= 2_200, "seed {seed}: {} and {}", wait(A), wait(B));
        world.hang_up(A, caller);
        world.settle();
    }
}

#[test]
fn a_refused_reinvite_leaves_the_call_as_it_was() {
    let mut world = World::new(24);
    let (caller, callee) = world.talking();
    reoffer(&mut world, A, caller, "video");
    world.run_for(Span::from_ms(50));
    world.expect(B, reoffered);
    world.act(B, |endpoint, now| endpoint.refuse_reoffer(now, callee, 488));
    world.run_for(Span::from_ms(50));
    let status =
        world.expect(A, |event| if let Event::ReofferRefused { status, .. } = event { Some(*status) } else { None });
    assert_eq!(status, 488);
    world.hang_up(B, callee);
    world.run_for(Span::from_ms(50));
    assert!(matches!(world.expect(A, ended).1, EndCause::PeerBye { .. }));
    world.settle();
}

#[test]
fn while_a_change_is_under_way_the_newest_wish_waits() {
    let mut world = World::new(25);
    let (caller, callee) = world.talking();
    for text in ["one", "two", "three"] {
        reoffer(&mut world, A, caller, text);
    }
    world.run_for(Span::from_ms(50));
    assert_eq!(world.expect(B, reoffered).1, Some(Body::sdp("one")));
    answer(&mut world, B, callee, "yes");
    world.run_for(Span::from_ms(50));
    assert_eq!(world.expect(B, reoffered).1, Some(Body::sdp("three")));
    answer(&mut world, B, callee, "yes");
    world.run_for(Span::from_ms(50));
    assert_eq!(world.sent_count(A, "INVITE"), 3);
    world.hang_up(A, caller);
    world.settle();
}

#[test]
fn a_reinvite_that_nobody_answers_ends_the_call() {
    let mut world = World::new(26);
    let (caller, _) = world.talking();
    reoffer(&mut world, A, caller, "hold");
    // The phone's user is asked and does not react: 100 has come, and 32 s later the call is given up.
    world.run_for(Span::from_s(33));
    assert_eq!(world.expect(A, ended), (caller, EndCause::TimedOut));
    assert!(matches!(world.expect(B, ended).1, EndCause::PeerBye { .. }));
    world.settle();
}

#[test]
fn hanging_up_in_the_middle_of_a_reinvite_ends_both_sides_once() {
    let mut world = World::new(27);
    let (caller, callee) = world.talking();
    reoffer(&mut world, A, caller, "hold");
    world.run_for(Span::from_ms(50));
    world.expect(B, reoffered);
    world.hang_up(A, caller);
    answer(&mut world, B, callee, "late");
    world.run_for(Span::from_s(1));
    assert!(matches!(world.events(A)[..], [Event::Ended { .. }]));
    assert!(matches!(world.events(B)[..], [Event::Ended { .. }]));
    world.settle();
}

#[test]
fn a_call_that_is_ringing_takes_no_reoffer_of_ours() {
    let mut world = World::new(28);
    let caller = world.call(A, B, None);
    world.run_for(Span::from_ms(50));
    let callee = world.expect(B, invited);
    reoffer(&mut world, B, callee, "early");
    reoffer(&mut world, A, caller, "early");
    assert_eq!((world.sent_count(B, "INVITE"), world.sent_count(A, "INVITE")), (0, 1));
    world.hang_up(A, caller);
    world.settle();
}
