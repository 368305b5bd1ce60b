//! Calls from beginning to end, one rule of RFC 3261 at a time.

use offhook_sip::{Body, EndCause, EndpointConfig, Event, Full};
use offhook_units::Span;

use super::world::{A, B, World, answered, confirmed, ended, flow, invite_to, invited, refused};

#[test]
fn a_plain_call_takes_seven_messages_and_leaves_nothing_behind() {
    let mut world = World::new(1);
    let caller = world.call(A, B, None);
    world.run_for(Span::from_ms(30));
    let callee = world.expect(B, invited);
    world.act(B, |endpoint, now| endpoint.progress(now, callee, 180, None));
    world.run_for(Span::from_ms(30));
    let status = world.expect(A, |event| if let Event::Progress { status, .. } = event { Some(*status) } else { None });
    assert_eq!(status, 180);
    world.answer(B, callee);
    world.run_for(Span::from_ms(30));
    let body = world.expect(A, |event| if let Event::Answered { body, .. } = event { body.clone() } else { None });
    assert_eq!(body, Body::sdp("v=0 answer"));
    assert_eq!(world.expect(B, confirmed), callee);
    world.hang_up(B, callee);
    assert_eq!(world.expect(B, ended), (callee, EndCause::Hungup));
    world.run_for(Span::from_ms(30));
    assert_eq!(world.expect(A, ended), (caller, EndCause::PeerBye { reason: Some("Q.850;cause=16".into()) }));
    assert_eq!(
        world.lines(),
        [
            "INVITE sip:100@192.0.2.2:5060 SIP/2.0",
            "SIP/2.0 100 Trying",
            "SIP/2.0 180 Ringing",
            "SIP/2.0 200 OK",
            "ACK sip:callee@192.0.2.2:5060 SIP/2.0",
            "BYE sip:caller@192.0.2.1:5060 SIP/2.0",
            "SIP/2.0 200 OK",
        ]
    );
    world.settle();
}

#[test]
fn unanswered_invite_times_out_after_32_s_and_is_sent_7_times() {
    let mut world = World::new(2);
    world.filter(|_, _| false);
    let began = world.now;
    let session = world.call(A, B, None);
    world.run_for(Span::from_ms(31_999));
    assert!(world.events(A).is_empty());
    world.run_for(Span::from_ms(1));
    assert_eq!(world.expect(A, refused), (session, 408));
    let times: Vec<u64> = world.sent.iter().map(|(at, ..)| (*at - began).as_ms()).collect();
    assert_eq!(times, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    world.settle();
}

#[test]
fn a_2xx_is_repeated_until_its_ack_and_every_repetition_is_acknowledged() {
    let mut world = World::new(3);
    let mut acks = 0;
    world.filter(move |_, line| {
        acks += usize::from(line.starts_with("ACK"));
        !line.starts_with("ACK") || acks > 3
    });
    let caller = world.call(A, B, None);
    world.run_for(Span::from_ms(50));
    let callee = world.expect(B, invited);
    world.answer(B, callee);
    world.run_for(Span::from_ms(50));
    assert_eq!(world.expect(A, answered), caller);
    world.run_for(Span::from_s(10));
    assert_eq!(world.expect(B, confirmed), callee);
    assert!(world.events(A).is_empty(), "a repeated 2xx is no second answer");
    assert_eq!((world.sent_count(B, "SIP/2.0 200"), world.sent_count(A, "ACK")), (4, 4));
    world.hang_up(A, caller);
    world.settle();
}

#[test]
fn a_2xx_that_nobody_acknowledges_ends_the_call_after_32_s_with_bye() {
    let mut world = World::new(4);
    world.filter(|_, line| !line.starts_with("ACK"));
    let caller = world.call(A, B, None);
    world.run_for(Span::from_ms(50));
    let callee = world.expect(B, invited);
    world.answer(B, callee);
    world.run_for(Span::from_ms(31_900));
    assert!(world.events(B).is_empty());
    world.run_for(Span::from_ms(200));
    assert_eq!(world.expect(B, ended), (callee, EndCause::NoAck));
    assert_eq!(world.expect(A, ended).0, caller);
    // T1 doubled up to T2: at 0, 0.5, 1.5, 3.5 s and then every 4 s.
    assert_eq!(world.sent_count(B, "SIP/2.0 200"), 11);
    world.settle();
}

#[test]
fn hanging_up_before_the_ack_waits_for_it() {
    let mut world = World::new(5);
    let mut held = 0;
    world.filter(move |_, line| {
        held += usize::from(line.starts_with("ACK"));
        !line.starts_with("ACK") || held > 2
    });
    world.call(A, B, None);
    world.run_for(Span::from_ms(50));
    let callee = world.expect(B, invited);
    world.answer(B, callee);
    world.hang_up(B, callee);
    world.run_for(Span::from_ms(400));
    assert!(world.events(B).is_empty());
    assert_eq!(world.sent_count(B, "BYE"), 0);
    world.run_for(Span::from_s(5));
    assert_eq!(world.expect(B, ended), (callee, EndCause::Hungup));
    assert!(matches!(world.expect(A, ended).1, EndCause::PeerBye { .. }));
    world.settle();
}

#[test]
fn cancel_waits_for_the_first_provisional_response() {
    let mut world = World::new(6);
    world.filter(|now, line| now.as_us() % 10_000_000 >= 2_000_000 || !line.starts_with("SIP/2.0 100"));
    let caller = world.call(A, B, None);
    world.hang_up(A, caller);
    world.run_for(Span::from_ms(100));
    assert_eq!(world.sent_count(A, "CANCEL"), 0);
    world.run_for(Span::from_s(4));
    assert_eq!(world.sent_count(A, "CANCEL"), 1);
    assert_eq!(world.expect(A, ended), (caller, EndCause::Hungup));
    let callee =
        world.expect(B, |event| if let Event::Cancelled { session, .. } = event { Some(*session) } else { None });
    assert!(world.events(B).iter().all(|event| ended(event).is_none()), "{callee:?} ended twice");
    assert_eq!(world.sent_count(B, "SIP/2.0 487"), 1);
    world.settle();
}

#[test]
fn a_cancelled_call_ends_once_on_both_sides() {
    let mut world = World::new(7);
    let caller = world.call(A, B, None);
    world.run_for(Span::from_ms(50));
    let callee = world.expect(B, invited);
    world.hang_up(A, caller);
    world.hang_up(A, caller);
    world.run_for(Span::from_ms(50));
    assert!(matches!(world.events(B)[..], [Event::Cancelled { session, .. }] if session == callee));
    assert!(matches!(world.events(A)[..], [Event::Ended { cause: EndCause::Hungup, .. }]));
    world.hang_up(B, callee);
    world.answer(B, callee);
    world.settle();
    assert!(world.events(A).is_empty() && world.events(B).is_empty());
}

#[test]
fn cancel_crossing_200_is_followed_by_ack_and_bye() {
    let mut world = World::new(8);
    let caller = world.call(A, B, None);
    world.run_for(Span::from_ms(50));
    let callee = world.expect(B, invited);
    world.lines();
    world.hang_up(A, caller);
    world.answer(B, callee);
    world.run_for(Span::from_ms(100));
    assert_eq!(world.expect(B, confirmed), callee);
    assert!(matches!(world.expect(B, ended), (session, EndCause::PeerBye { .. }) if session == callee));
    assert!(matches!(world.events(A)[..], [Event::Ended { cause: EndCause::Hungup, .. }]));
    let lines: Vec<String> =
        world.lines().iter().map(|line| line.split("sip:").next().unwrap().trim().to_owned()).collect();
    assert_eq!(lines, ["CANCEL", "SIP/2.0 200 OK", "SIP/2.0 200 OK", "ACK", "BYE", "SIP/2.0 200 OK"]);
    world.settle();
}

#[test]
fn an_invite_whose_cancel_brings_no_final_response_is_given_up_after_32_s() {
    let mut world = World::new(9);
    world.filter(|_, line| !line.contains("487"));
    let caller = world.call(A, B, None);
    world.run_for(Span::from_ms(50));
    world.hang_up(A, caller);
    world.run_for(Span::from_s(31));
    assert!(world.events(A).is_empty());
    world.run_for(Span::from_s(2));
    assert_eq!(world.expect(A, ended), (caller, EndCause::Hungup));
    world.settle();
}

#[test]
fn both_may_hang_up_at_once() {
    let mut world = World::new(10);
    let (caller, callee) = world.talking();
    world.hang_up(A, caller);
    world.hang_up(B, callee);
    world.run_for(Span::from_s(1));
    assert_eq!((world.sent_count(A, "SIP/2.0 200"), world.sent_count(B, "BYE")), (1, 1));
    assert!(matches!(world.events(A)[..], [Event::Ended { cause: EndCause::Hungup, .. }]));
    assert!(matches!(world.events(B)[..], [Event::Ended { cause: EndCause::Hungup, .. }]));
    world.settle();
}

#[test]
fn a_bye_to_nobody_is_sent_11_times_and_the_session_has_ended_at_once() {
    let mut world = World::new(11);
    let (caller, _) = world.talking();
    world.filter(|_, line| !line.starts_with("BYE"));
    world.hang_up(A, caller);
    assert_eq!(world.expect(A, ended), (caller, EndCause::Hungup));
    world.run_for(Span::from_s(40));
    assert_eq!(world.sent_count(A, "BYE"), 11);
    assert_eq!(world.parties[A].endpoint.load().sessions, 0);
}

#[test]
fn a_refusal_is_repeated_until_its_ack_and_tells_when_to_try_again() {
    let mut world = World::new(12);
    let mut acks = 0;
    world.filter(move |_, line| {
        acks += usize::from(line.starts_with("ACK"));
        !line.starts_with("ACK") || acks > 2
    });
    let caller = world.call(A, B, None);
    world.run_for(Span::from_ms(50));
    let callee = world.expect(B, invited);
    world.act(B, |endpoint, now| endpoint.refuse(now, callee, 486, vec![("Retry-After".into(), "7 (soon)".into())]));
    world.run_for(Span::from_s(10));
    let after = world.expect(A, |event| match event {
        Event::Refused { session, status: 486, reason, retry_after, .. } if *session == caller => {
            assert_eq!(reason, "Busy Here");
            *retry_after
        }
        _ => None,
    });
    assert_eq!(after, Span::from_s(7));
    assert_eq!((world.sent_count(B, "SIP/2.0 486"), world.sent_count(A, "ACK")), (3, 3));
    assert!(world.events(A).is_empty() && world.events(B).is_empty());
    world.settle();
}

#[test]
fn an_incoming_call_that_we_hang_up_before_answering_gets_480() {
    let mut world = World::new(13);
    let caller = world.call(A, B, None);
    world.run_for(Span::from_ms(50));
    let callee = world.expect(B, invited);
    world.hang_up(B, callee);
    assert_eq!(world.expect(B, ended), (callee, EndCause::Hungup));
    world.run_for(Span::from_ms(50));
    assert_eq!(world.expect(A, refused), (caller, 480));
    world.settle();
}

#[test]
fn ringing_is_told_again_every_minute() {
    let mut world = World::new(14);
    let caller = world.call(A, B, None);
    world.run_for(Span::from_ms(50));
    let callee = world.expect(B, invited);
    world.act(B, |endpoint, now| endpoint.progress(now, callee, 180, None));
    world.run_for(Span::from_s(181));
    assert_eq!(world.sent_count(B, "SIP/2.0 180"), 4);
    // What has certainly come is told again after 150 s (RFC 3262 section 3).
    world.act(B, |endpoint, now| endpoint.progress(now, callee, 183, Some(Body::sdp("v=0 early"))));
    world.run_for(Span::from_s(149));
    assert_eq!(world.sent_count(B, "SIP/2.0 183"), 1);
    world.run_for(Span::from_s(2));
    assert_eq!(world.sent_count(B, "SIP/2.0 183"), 2);
    world.hang_up(A, caller);
    world.settle();
}

#[test]
fn a_transport_failure_ends_what_waits_for_a_response_at_once() {
    let mut world = World::new(15);
    let flow = flow(A, B);
    let caller = world.call(A, B, None);
    world.act(A, |endpoint, now| endpoint.transport_failed(now, flow));
    assert_eq!(world.expect(A, refused), (caller, 503));
    // A call that is up asks nothing and notices nothing.
    let mut world = World::new(15);
    let (caller, _) = world.talking();
    world.act(A, |endpoint, now| endpoint.transport_failed(now, flow));
    assert!(world.events(A).is_empty());
    world.act(A, |endpoint, now| endpoint.reoffer(now, caller, None));
    world.act(A, |endpoint, now| endpoint.transport_failed(now, flow));
    assert_eq!(world.expect(A, ended), (caller, EndCause::TransportFailed));
    world.events(B);
    world.settle();
}

#[test]
fn more_sessions_or_transactions_than_allowed_get_503_with_retry_after() {
    let config = EndpointConfig { sessions_max: 2, transactions_max: 5, ..EndpointConfig::default() };
    let mut world = World::with(16, &config, 3);
    for _ in 0..2 {
        world.call(A, B, None);
    }
    let third = invite_to(flow(A, B), None);
    assert_eq!(world.act(A, |endpoint, now| endpoint.invite(now, third)), Err(Full));
    let late = world.call(2, B, None);
    world.run_for(Span::from_s(1));
    let after = world.expect(2, |event| match event {
        Event::Refused { session, status: 503, retry_after, .. } if *session == late => *retry_after,
        _ => None,
    });
    assert_eq!(after, Span::from_s(5));
    assert_eq!(world.parties[B].endpoint.load().full_total, 1);
}

#[test]
fn a_call_is_taken_over_from_its_snapshot_and_ended_by_the_successor() {
    for (side, other) in [(A, B), (B, A)] {
        let mut world = World::new(17);
        let (caller, callee) = world.talking();
        let session = if side == A { caller } else { callee };
        let snapshot = world.parties[side].endpoint.snapshot(session).expect("a confirmed call");
        let fresh = offhook_units::Entropy::from_number(5);
        world.parties[side].endpoint = offhook_sip::Endpoint::new(EndpointConfig::default(), fresh);
        let adopted = world.act(side, |endpoint, now| endpoint.adopt(now, snapshot.clone()));
        let again = world.parties[side].endpoint.snapshot(adopted).expect("a confirmed call");
        assert!(again.local_cseq > snapshot.local_cseq + 100, "requests after the snapshot are skipped");
        assert_eq!(
            (again.local, again.remote, again.remote_target),
            (snapshot.local, snapshot.remote, snapshot.remote_target)
        );
        world.hang_up(side, adopted);
        assert_eq!(world.expect(side, ended), (adopted, EndCause::Hungup));
        world.run_for(Span::from_s(1));
        assert!(matches!(world.expect(other, ended).1, EndCause::PeerBye { .. }));
        assert_eq!(world.sent_count(side, "BYE"), 1);
        world.settle();
    }
}
