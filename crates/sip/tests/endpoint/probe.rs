//! OPTIONS of ours, and registrations that go another way.

use offhook_sip::{Event, NameAddr, Register, Response, Uri};
use offhook_units::Span;

use super::world::{A, B, World, address, flow};

fn ask(world: &mut World) -> offhook_sip::ProbeId {
    let from = NameAddr::new(Uri::at(Some("a"), address(A)));
    world.act(A, |endpoint, now| endpoint.probe(now, flow(A, B), &Uri::at(None, address(B)), &from)).expect("room")
}

#[test]
fn options_give_the_final_status_once_or_none_after_32_s() {
    let mut world = World::new(81);
    let id = ask(&mut world);
    world.run_for(Span::from_ms(50));
    let Some(Event::Request { id: request, request: options, .. }) = world.events(B).pop() else { panic!("OPTIONS") };
    assert_eq!(options.headers.get("CSeq"), Some("1 OPTIONS"));
    let response = Response::to_request(&options, 486);
    world.act(B, |endpoint, now| endpoint.respond(now, request, response));
    world.run_for(Span::from_s(1));
    assert!(matches!(world.events(A)[..], [Event::Probed { id: asked, status: Some(486) }] if asked == id));
    world.weather.loss = 100;
    ask(&mut world);
    world.run_for(Span::from_s(31));
    assert!(world.events(A).is_empty());
    world.run_for(Span::from_s(2));
    assert!(matches!(world.events(A)[..], [Event::Probed { status: None, .. }]));
}

#[test]
fn a_rerouted_registration_takes_the_other_way_at_its_next_register() {
    let mut world = World::new(82);
    let mut elsewhere = flow(A, B);
    elsewhere.peer.set_port(9);
    let contact = Uri::at(Some("alice"), address(A));
    let register = Register {
        flow: elsewhere,
        registrar: "sip:desk.example".parse().unwrap(),
        aor: NameAddr::new("sip:alice@desk.example".parse().unwrap()),
        contact: contact.clone(),
        expires: Span::from_s(100),
        credentials: None,
    };
    let id = world.act(A, |endpoint, now| endpoint.register(now, register));
    world.act(A, |endpoint, _| endpoint.reroute(id, flow(A, B), contact.with_param("line", "x")));
    world.run_for(Span::from_s(40));
    let contacts = |event: &Event| match event {
        Event::Request { request, .. } => request.headers.get("Contact").map(str::to_owned),
        other => panic!("{other:?}"),
    };
    let seen: Vec<_> = world.events(B).iter().filter_map(contacts).collect();
    assert!(seen.iter().all(|contact| contact.contains("line=x")) && !seen.is_empty(), "{seen:?}");
}
