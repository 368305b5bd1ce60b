//! REFER, the NOTIFYs that follow it, and Replaces.

use offhook_sip::{EndCause, EndpointConfig, Event, Replaces, SessionId, Uri};
use offhook_units::Span;

use super::world::{A, B, Weather, World, ended, invited};

fn target() -> Uri {
    "sip:carol@192.0.2.9".parse().expect("a URI")
}

fn referred(event: &Event) -> Option<(SessionId, String)> {
    let Event::Referred { session, request } = event else { return None };
    Some((*session, request.headers.get("Refer-To").unwrap_or_default().to_owned()))
}

fn told(event: &Event) -> Option<(u16, bool)> {
    match event {
        Event::ReferAnswered { status, subscribed, .. } => Some((*status, !subscribed)),
        Event::ReferProgress { status, over, .. } => Some((*status, *over)),
        _ => None,
    }
}

/// What a party was told of its REFER, in order; a status that is the end of it with true.
fn all_told(world: &mut World, party: usize) -> Vec<(u16, bool)> {
    world.events(party).iter().filter_map(told).collect()
}

#[test]
fn a_transfer_is_taken_and_told_of_to_its_end() {
    let mut world = World::new(71);
    let (caller, callee) = world.talking();
    assert!(world.act(A, |endpoint, now| endpoint.refer(now, caller, &target())));
    assert!(!world.act(A, |endpoint, now| endpoint.refer(now, caller, &target())), "one at a time");
    world.run_for(Span::from_ms(50));
    assert_eq!(world.expect(B, referred), (callee, "<sip:carol@192.0.2.9>".to_owned()));
    world.act(B, |endpoint, now| endpoint.accept_refer(now, callee));
    world.run_for(Span::from_ms(50));
    for status in [180, 200, 486] {
        world.act(B, |endpoint, now| endpoint.notify_refer(now, callee, status));
        world.run_for(Span::from_ms(50));
    }
    assert_eq!(
        all_told(&mut world, A),
        [(202, false), (100, false), (180, false), (200, true)],
        "nothing after the end"
    );
    assert!(world.act(A, |endpoint, now| endpoint.refer(now, caller, &target())), "another one after it");
    world.run_for(Span::from_ms(50));
    assert_eq!(world.expect(B, referred).0, callee);
    world.act(B, |endpoint, now| endpoint.refuse_refer(now, callee, 481));
    world.run_for(Span::from_ms(50));
    assert_eq!(all_told(&mut world, A), [(480, true)], "481 would end the call");
    world.hang_up(A, caller);
    world.settle();
}

#[test]
fn a_second_transfer_names_its_subscription() {
    let mut world = World::new(72);
    let (caller, callee) = world.talking();
    for expected in ["SIP/2.0 200", "SIP/2.0 200"] {
        world.act(A, |endpoint, now| endpoint.refer(now, caller, &target()));
        world.run_for(Span::from_ms(50));
        world.act(B, |endpoint, now| endpoint.accept_refer(now, callee));
        world.act(B, |endpoint, now| endpoint.notify_refer(now, callee, 200));
        world.run_for(Span::from_ms(50));
        assert_eq!(world.sent.last().map(|sent| sent.3.get(..11)), Some(Some(expected)), "the NOTIFY is taken");
        assert_eq!(all_told(&mut world, A), [(202, false), (100, false), (200, true)]);
    }
    world.hang_up(B, callee);
    world.settle();
}

#[test]
fn the_end_of_the_call_is_the_end_of_the_transfer() {
    let mut world = World::new(73);
    let (caller, callee) = world.talking();
    world.act(A, |endpoint, now| endpoint.refer(now, caller, &target()));
    world.run_for(Span::from_ms(15));
    world.hang_up(B, callee);
    world.run_for(Span::from_ms(50));
    assert_eq!(world.sent_count(B, "SIP/2.0 487"), 1, "the REFER that nobody answered");
    assert_eq!(world.expect(A, ended).1, EndCause::PeerBye { reason: Some("Q.850;cause=16".to_owned()) });
    world.settle();
}

#[test]
fn a_transfer_over_a_bad_network_is_told_of_once() {
    for seed in 0..100 {
        let mut world = World::new(7_000 + seed);
        let (caller, callee) = world.talking();
        world.weather = Weather { loss: 20, doubled: 10, jitter: Span::from_ms(200) };
        world.act(A, |endpoint, now| endpoint.refer(now, caller, &target()));
        let mut asked = 0;
        for _ in 0..40 {
            world.run_for(Span::from_s(1));
            let now = world.events(B).iter().filter_map(referred).count();
            asked += now;
            if now > 0 {
                world.act(B, |endpoint, now| endpoint.accept_refer(now, callee));
                world.run_for(Span::from_s(2));
                world.act(B, |endpoint, now| endpoint.notify_refer(now, callee, 486));
            }
        }
        let told = all_told(&mut world, A);
        assert_eq!((asked, told.iter().filter(|(status, _)| *status == 486).count()), (1, 1), "seed {seed}: {told:?}");
        world.hang_up(A, caller);
        world.hang_up(B, callee);
        world.settle();
    }
}

#[test]
fn a_dialog_is_replaced_as_its_state_allows() {
    let config = EndpointConfig { replaces: true, ..EndpointConfig::default() };
    let mut world = World::with(74, &config, 2);
    let ringing = world.call(A, B, None);
    world.run_for(Span::from_ms(50));
    let rung = world.expect(B, invited);
    world.act(B, |endpoint, now| endpoint.progress(now, rung, 180, None));
    world.run_for(Span::from_ms(50));
    assert_eq!(world.parties[A].endpoint.replaces_of(ringing), None, "it is not up");
    world.answer(B, rung);
    world.run_for(Span::from_ms(50));
    let at_a = world.parties[A].endpoint.replaces_of(ringing).expect("it is up");
    let find = |world: &World, wanted: &Replaces| world.parties[B].endpoint.replaced(wanted);
    assert_eq!(find(&world, &at_a), Ok(rung));
    assert_eq!(find(&world, &Replaces { early_only: true, ..at_a.clone() }), Err(486));
    for wrong in [
        Replaces { call_id: "other".to_owned(), ..at_a.clone() },
        Replaces { from_tag: "other".to_owned(), ..at_a.clone() },
        Replaces { to_tag: at_a.from_tag.clone(), from_tag: at_a.to_tag.clone(), ..at_a.clone() },
    ] {
        assert_eq!(find(&world, &wrong), Err(481), "{wrong}");
    }
    world.act(B, |endpoint, now| endpoint.hang_up(now, rung, None));
    assert_eq!(find(&world, &at_a), Err(603), "its BYE is out");
    world.settle();
    assert_eq!(find(&world, &at_a), Err(481));
}
