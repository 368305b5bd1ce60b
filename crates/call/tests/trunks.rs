//! Trunks: registering with carriers, asking whether they are there, which way calls take, how many they may be.

mod desk;

use desk::{World, credentials, number, trunk};
use offhook_call::config::{Config, NumberFormat, Numbering, Outgoing, Registering, Trunk, TrunkLimits};
use offhook_call::{Command, Input};
use offhook_plan::CodecKind;
use offhook_sip::{Credentials, Event, Flow, Method, Response, SessionId, Transport};
use offhook_units::Span;

fn flow_to(host: u8) -> Flow {
    let peer = std::net::SocketAddr::from(([127, 0, 0, host], 5_060));
    Flow { transport: Transport::Udp, local: desk::SERVER.into(), peer }
}

/// A trunk with a target at each of these hosts, unasked.
fn wide(name: &str, hosts: &[u8], prefix: &str) -> Trunk {
    let mut made = trunk(name, hosts[0], &[prefix], None);
    if let Some(out) = &mut made.out {
        out.targets = hosts.iter().map(|host| flow_to(*host)).collect();
        out.health_every = Span::ZERO;
    }
    made
}

fn registering(name: &str, host: u8) -> Trunk {
    let mut made = wide(name, &[host], "0");
    made.peers.clear();
    if let Some(out) = &mut made.out {
        out.credentials = Some(Credentials { username: "30555".to_owned(), password: "trunk secret".to_owned() });
        out.register = Some(Registering { user: "30555".to_owned(), expires: Span::from_s(100) });
    }
    made
}

fn state(world: &World) -> &'static str {
    world.exchange.trunks(world.now)[0].registration.as_ref().map_or("none", |registration| registration.state)
}

/// The carrier takes the REGISTER that came last; gives the Contact.
fn take(world: &mut World, who: &str) -> Option<String> {
    let (id, request) = world.requests(who).into_iter().rfind(|(_, request)| request.method == Method::Register)?;
    let contact = request.headers.get("Contact").expect("a Contact").to_owned();
    let mut response = Response::to_request(&request, 200);
    response.headers.push("Contact", &contact);
    world.respond(who, id, response);
    Some(contact)
}

#[test]
fn a_registered_trunk_refreshes_at_80_percent_and_leaves_before_the_exchange_stops() {
    let mut world = World::new(vec![registering("carrier", 2)]);
    assert_eq!(state(&world), "trying");
    let contact = take(&mut world, "carrier2").expect("a REGISTER");
    assert!(contact.contains("sip:30555@127.0.0.1") && contact.ends_with("expires=100"), "{contact}");
    assert_eq!(state(&world), "registered");
    world.run(Span::from_s(79));
    assert!(take(&mut world, "carrier2").is_none());
    world.run(Span::from_s(2));
    assert!(take(&mut world, "carrier2").is_some(), "the refresh");
    let now = world.now;
    world.exchange.handle(now, Input::Command(Command::Drain { grace: Span::from_s(30) }));
    world.run(Span::from_ms(100));
    assert!(!world.exchange.is_drained(), "the carrier does not know yet");
    let contact = take(&mut world, "carrier2").expect("the last REGISTER");
    assert!(contact.ends_with("expires=0"), "{contact}");
    assert!(world.exchange.is_drained());
    assert_eq!(state(&world), "left");
}

#[test]
fn a_carrier_that_is_silent_delays_the_stop_by_2_s_at_most() {
    let mut world = World::new(vec![registering("carrier", 2)]);
    take(&mut world, "carrier2").expect("a REGISTER");
    let now = world.now;
    world.exchange.handle(now, Input::Command(Command::Drain { grace: Span::from_s(30) }));
    world.run(Span::from_ms(1_900));
    assert!(!world.exchange.is_drained());
    world.run(Span::from_ms(200));
    assert!(world.exchange.is_drained());
}

#[test]
fn a_registration_that_fails_goes_to_the_next_target() {
    let mut carrier = registering("carrier", 2);
    carrier.out.as_mut().expect("it takes calls").targets.push(flow_to(3));
    let mut world = World::new(vec![carrier]);
    world.at("carrier3");
    let (id, request) = world.requests("carrier2").pop().expect("a REGISTER");
    world.respond("carrier2", id, Response::to_request(&request, 503));
    assert_eq!(state(&world), "failed");
    world.run(Span::from_s(5));
    assert!(take(&mut world, "carrier2").is_none());
    assert!(take(&mut world, "carrier3").is_some(), "the next REGISTER");
    assert_eq!(state(&world), "registered");
}

#[test]
fn a_call_to_the_registered_contact_is_the_trunks_wherever_it_comes_from() {
    let number_of_ours = |config: &mut offhook_call::config::Config| {
        config.numbers.insert("30555700".to_owned(), number());
    };
    let mut world = World::told(vec![registering("carrier", 2)], number_of_ours);
    let contact = take(&mut world, "carrier2").expect("a REGISTER");
    let contact = contact.split(['<', '>']).nth(1).expect("a uri").to_owned();
    let stranger = world.invite("gateway77", "sip:30555@127.0.0.1", "sip:30555700@carrier", Vec::new());
    assert_eq!(world.refused_with("gateway77", stranger), Some(401), "whoever does not know the Contact is a stranger");
    let call = world.invite("gateway77", &contact, "sip:30555700@carrier", Vec::new());
    assert!(world.was_answered("gateway77", call));
    let view = world.exchange.calls(world.now).remove(0);
    assert_eq!((view.number.as_str(), view.trunk.as_deref()), ("30555700", Some("carrier")));
    let direct = world.invite("carrier2", "sip:30555700@127.0.0.1", "sip:30555700@carrier", Vec::new());
    assert!(world.was_answered("carrier2", direct), "calls go to the same host as they come from");
}

#[test]
fn the_next_target_is_for_503_and_silence_and_the_next_trunk_for_another_5xx() {
    for (status, expected) in [(503, "carrier3"), (500, "carrier4")] {
        let mut world = World::new(vec![wide("second", &[4], "0"), wide("first", &[2, 3], "030")]);
        world.at("carrier3");
        let call = world.dial("ann", "030123", Some(credentials("ann")));
        let (session, ..) = world.ringing("carrier2").expect("the first target");
        world.refuse("carrier2", session, status);
        let (session, ..) = world.ringing(expected).unwrap_or_else(|| panic!("{expected} after {status}"));
        world.answer(expected, session);
        assert!(world.was_answered("ann", call));
    }
}

/// Everybody of these answers what the exchange asks, for `span`.
fn answer_for(world: &mut World, who: &[&str], span: Span) {
    let end = world.now + span;
    while world.now < end {
        world.run(Span::from_ms(200));
        for who in who {
            for (id, request) in world.requests(who) {
                world.respond(who, id, Response::to_request(&request, 200));
            }
        }
    }
}

#[test]
fn a_target_that_answers_no_options_is_passed_over_until_it_does() {
    let mut carrier = wide("carrier", &[2, 3], "0");
    carrier.out.as_mut().expect("it takes calls").health_every = Span::from_s(10);
    let mut world = World::new(vec![carrier]);
    world.at("carrier3");
    let up =
        |world: &World| world.exchange.trunks(world.now)[0].targets.iter().map(|target| target.up).collect::<Vec<_>>();
    answer_for(&mut world, &["carrier2", "carrier3"], Span::from_s(30));
    assert_eq!(up(&world), [true, true]);
    answer_for(&mut world, &["carrier3"], Span::from_s(40));
    assert_eq!(up(&world), [false, true]);
    let call = world.dial("ann", "030123", Some(credentials("ann")));
    let (session, ..) = world.ringing("carrier3").expect("the target that is up, at once");
    world.answer("carrier3", session);
    assert!(world.was_answered("ann", call) && world.ringing("carrier2").is_none());
    world.hang_up("ann", call);
    answer_for(&mut world, &["carrier2", "carrier3"], Span::from_s(25));
    assert_eq!(up(&world), [true, true]);
    let changed = world.exchange.take_changed();
    assert!(changed.trunks.contains(&0), "listeners are told");
}

#[test]
fn a_trunk_that_is_down_is_tried_after_the_others_and_where_there_is_no_other() {
    let mut dead = wide("dead", &[2], "030");
    dead.out.as_mut().expect("it takes calls").health_every = Span::from_s(10);
    let mut world = World::new(vec![wide("alive", &[3], "0"), dead]);
    world.run(Span::from_s(60));
    assert!(!world.exchange.trunks(world.now)[1].targets[0].up);
    let call = world.dial("ann", "030123", Some(credentials("ann")));
    assert!(world.ringing("carrier2").is_none() && world.ringing("carrier3").is_some());
    world.hang_up("ann", call);
    let mut alone = wide("alone", &[2], "030");
    alone.out.as_mut().expect("it takes calls").health_every = Span::from_s(10);
    let mut world = World::new(vec![alone]);
    world.run(Span::from_s(60));
    world.dial("ann", "030123", Some(credentials("ann")));
    assert!(world.ringing("carrier2").is_some(), "better than nothing");
}

#[test]
fn new_targets_take_the_place_of_old_ones_and_the_registration_moves() {
    let mut world = World::new(vec![registering("carrier", 2)]);
    take(&mut world, "carrier2").expect("a REGISTER");
    let now = world.now;
    world.at("carrier3");
    world.exchange.handle(now, Input::Targets { trunk: 0, flows: vec![flow_to(3)] });
    world.dial("ann", "030123", Some(credentials("ann")));
    assert!(world.ringing("carrier3").is_some() && world.ringing("carrier2").is_none());
    world.run(Span::from_s(80));
    assert!(take(&mut world, "carrier3").is_some(), "the refresh goes to the new target");
}

fn limited(name: &str, host: u8, prefix: &str, limits: TrunkLimits) -> Trunk {
    Trunk { limits, ..wide(name, &[host], prefix) }
}

#[test]
fn a_full_trunk_refuses_calls_with_retry_after_and_sends_ours_to_the_next_but_never_an_emergency() {
    let limits = TrunkLimits { calls_max: 1, ..TrunkLimits::default() };
    let trunks = vec![limited("first", 2, "030", limits), wide("second", &[3], "0")];
    let mut world = World::told(trunks, |config| {
        config.numbers.insert("700".to_owned(), number());
        for account in config.accounts.values_mut() {
            account.outside_max = 9;
        }
    });
    let call = world.invite("carrier2", "sip:700@127.0.0.1", "sip:700@127.0.0.1", Vec::new());
    assert!(world.was_answered("carrier2", call));
    let second = world.invite("carrier2", "sip:700@127.0.0.1", "sip:700@127.0.0.1", Vec::new());
    let retry_after = |world: &mut World, call: SessionId| {
        world.at("carrier2").events.iter().find_map(|event| match event {
            Event::Refused { session, status: 503, retry_after, .. } if *session == call => *retry_after,
            _ => None,
        })
    };
    assert_eq!(retry_after(&mut world, second), Some(Span::from_s(5)));
    let out = world.dial("ann", "030123", Some(credentials("ann")));
    let (session, ..) = world.ringing("carrier3").expect("the next trunk");
    world.answer("carrier3", session);
    let emergency = world.dial("bob", "112", Some(credentials("bob")));
    let (_, uri, _) = world.ringing("carrier2").expect("the emergency call passes the limit");
    assert!(uri.starts_with("sip:112@"), "{uri}");
    let counts = world.exchange.trunks(world.now)[0].counts;
    assert_eq!((counts.incoming, counts.incoming_refused), (1, 1));
    assert_eq!((counts.outgoing, counts.outgoing_refused), (1, 1));
    for (who, session) in [("ann", out), ("bob", emergency), ("carrier2", call)] {
        world.hang_up(who, session);
    }
    assert_eq!(world.exchange.trunks(world.now).iter().map(|trunk| trunk.calls).sum::<u32>(), 0);
    let again = world.invite("carrier2", "sip:700@127.0.0.1", "sip:700@127.0.0.1", Vec::new());
    assert!(world.was_answered("carrier2", again), "a place is free again");
}

#[test]
fn a_trunks_rate_refuses_the_third_call_of_a_second() {
    let limits = TrunkLimits { calls_per_s_max: 2, ..TrunkLimits::default() };
    let mut world = World::told(vec![limited("first", 2, "0", limits)], |config| {
        config.numbers.insert("700".to_owned(), number());
    });
    let uri = "sip:700@127.0.0.1";
    let calls: Vec<_> = (0..3).map(|_| world.invite("carrier2", uri, uri, Vec::new())).collect();
    let refused: Vec<_> = calls.iter().map(|call| world.refused_with("carrier2", *call)).collect();
    assert_eq!(refused, [None, None, Some(503)]);
}

#[test]
fn an_emergency_call_passes_every_limit_of_the_exchange_and_the_end_of_its_day() {
    let limits = TrunkLimits { calls_max: 0, calls_per_s_max: 0 };
    let mut world = World::told(vec![limited("carrier", 2, "0", limits)], |config| {
        config.limits.calls_max = 0;
        config.limits.calls_per_s_max = 0;
    });
    world.exchange.refuse_calls(true);
    let now = world.now;
    world.exchange.handle(now, Input::Command(Command::Drain { grace: Span::from_s(30) }));
    let call = world.dial("ann", "112", Some(credentials("ann")));
    let (session, ..) = world.ringing("carrier2").expect("the emergency call");
    world.answer("carrier2", session);
    assert!(world.was_answered("ann", call));
    let other = world.dial("bob", "030123", Some(credentials("bob")));
    assert_eq!(world.refused_with("bob", other), Some(503));
}

#[test]
fn a_trunk_with_codecs_of_its_own_is_offered_only_these() {
    let mut carrier = wide("carrier", &[2], "0");
    carrier.codecs = vec![CodecKind::Pcma];
    let mut world =
        World::new(vec![carrier, Trunk { out: Some(Outgoing::to(Vec::new())), ..Trunk::new("no", vec![]) }]);
    world.dial("ann", "030123", Some(credentials("ann")));
    let offer = world.at("carrier2").events.iter().find_map(|event| match event {
        Event::Invited { request, .. } => Some(String::from_utf8_lossy(&request.body).into_owned()),
        _ => None,
    });
    let offer = offer.expect("an INVITE");
    assert!(offer.contains("PCMA/8000") && !offer.contains("PCMU"), "{offer}");
}

#[test]
fn options_are_answered_to_everybody_and_with_503_once_no_calls_are_taken() {
    let mut world = World::new(vec![wide("carrier", &[2], "0")]);
    let ask = |world: &mut World| {
        let (now, at) = (world.now, World::address("stranger66"));
        let uri = "sip:127.0.0.1".parse().expect("a uri");
        let from = "<sip:stranger@127.0.0.66>".parse().expect("a name");
        world.at("stranger66").endpoint.probe(now, desk::flow_from(at), &uri, &from).expect("room for a request");
        world.run(Span::from_ms(100));
        let mut answers = world.at("stranger66").events.drain(..);
        answers.find_map(|event| if let Event::Probed { status, .. } = event { status } else { None })
    };
    assert_eq!(ask(&mut world), Some(200));
    let now = world.now;
    world.exchange.handle(now, Input::Command(Command::Drain { grace: Span::from_s(30) }));
    assert_eq!(ask(&mut world), Some(503));
}

#[test]
fn numbers_are_found_however_the_trunk_writes_them_and_short_ones_stay_what_they_are() {
    let mut plus_less = wide("plus-less", &[3], "0");
    plus_less.format = NumberFormat::PlusLess;
    let mut world = World::told(vec![wide("carrier", &[2], "0"), plus_less], |config| {
        config.numbering = Some(Numbering::of("49", Some("30".to_owned())));
        config.numbers.insert("4930555700".to_owned(), number());
        config.numbers.insert("700".to_owned(), number());
    });
    let rows = [
        ("carrier2", "sip:+4930555700@x;user=phone", "4930555700"),
        ("carrier2", "sip:004930555700@x", "4930555700"),
        ("carrier2", "tel:+49-30-555-700", "4930555700"),
        ("carrier2", "sip:555700@x", "4930555700"),
        ("carrier2", "sip:700@x", "700"),
        ("carrier3", "sip:4930555700@x", "4930555700"),
    ];
    for (who, uri, expected) in rows {
        let call = world.invite(who, uri, "sip:x@x", Vec::new());
        assert!(world.was_answered(who, call), "{uri}");
        let number = world.exchange.calls(world.now).last().expect("a call").number.clone();
        assert_eq!(number, expected, "{uri}");
    }
    let call = world.invite("carrier2", "sip:030555701@x", "sip:x@x", Vec::new());
    assert_eq!(world.refused_with("carrier2", call), Some(404));
}

#[test]
fn numbers_go_out_as_each_trunk_wants_them_and_allowances_hold_for_every_way_to_write_them() {
    let mut e164 = wide("e164", &[2], "+49");
    e164.format = NumberFormat::E164;
    let mut national = wide("national", &[3], "+43");
    national.format = NumberFormat::National;
    national.numbering = Some(Numbering::of("43", None));
    let mut world = World::told(vec![e164, national], |config| {
        config.numbering = Some(Numbering::of("49", None));
        for account in config.accounts.values_mut() {
            account.outside = vec!["+49".to_owned(), "+43".to_owned()];
        }
    });
    for (dialled, who, expected) in
        [("030/123-456", "carrier2", "sip:+4930123456@"), ("00431555", "carrier3", "sip:01555@")]
    {
        let call = world.dial("ann", dialled, Some(credentials("ann")));
        let (session, uri, _) = world.ringing(who).unwrap_or_else(|| panic!("{dialled}"));
        assert!(uri.starts_with(expected), "{uri}");
        world.refuse(who, session, 486);
        assert_eq!(world.refused_with("ann", call), Some(486));
        world.run(Span::from_s(6));
    }
    let abroad = world.dial("ann", "0033155", Some(credentials("ann")));
    assert_eq!(world.refused_with("ann", abroad), Some(404), "no trunk goes to France");
    let emergency = world.dial("ann", "112", Some(credentials("ann")));
    let (_, uri, _) = world.ringing("carrier2").expect("the emergency call");
    assert!(uri.starts_with("sip:112@"), "{uri}");
    world.hang_up("ann", emergency);
}

/// The request that went last to whoever has no phone at 127.0.0.`host`.
fn heard(world: &World, host: u8) -> Option<offhook_sip::Request> {
    let sent = world.heard.iter().rev().find(|(to, _)| to.ip() == std::net::Ipv4Addr::new(127, 0, 0, host))?;
    match offhook_sip::Message::parse(&sent.1) {
        Ok(offhook_sip::Message::Request(request)) => Some(request),
        other => panic!("a request, not {other:?}"),
    }
}

#[test]
fn a_leg_that_cannot_be_made_costs_a_trunk_of_one_call_a_second_nothing() {
    let mut carrier = wide("carrier", &[2], "0");
    carrier.limits.calls_per_s_max = 1;
    carrier.srtp = Some(offhook_sip::sdp::SrtpPolicy::Required);
    let secure =
        Flow { transport: Transport::Tls, peer: std::net::SocketAddr::from(([127, 0, 0, 3], 5_061)), ..flow_to(3) };
    // Keys are not told over UDP: no leg can be made to the first target.
    carrier.out.as_mut().expect("it takes calls").targets.push(secure);
    let mut world = World::new(vec![carrier]);
    world.dial("ann", "030123", Some(credentials("ann")));
    assert!(world.ringing("carrier2").is_none());
    let invite = heard(&world, 3).expect("the second target is called with the first token");
    assert_eq!(invite.uri.to_string(), "sip:030123@127.0.0.3:5061;transport=tls");
    let counts = world.exchange.trunks(world.now)[0].counts;
    assert_eq!((counts.outgoing, counts.outgoing_refused), (1, 0));
}

#[test]
fn an_invite_without_a_codec_of_ours_costs_its_trunk_of_one_call_a_second_nothing() {
    let mut carrier = wide("carrier", &[2], "0");
    carrier.limits.calls_per_s_max = 1;
    carrier.codecs = vec![CodecKind::Pcma];
    let mut world = World::told(vec![carrier], |config| _ = config.numbers.insert("700".to_owned(), number()));
    let to = "sip:700@127.0.0.1";
    world.offers = Some(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\nm=audio 40000 RTP/AVP 9\r\n"
            .to_owned(),
    );
    let odd = world.invite("carrier2", to, to, Vec::new());
    assert_eq!(world.refused_with("carrier2", odd), Some(488));
    world.offers = None;
    let good = world.invite("carrier2", to, to, Vec::new());
    assert!(world.was_answered("carrier2", good), "the token is still there");
    let counts = world.exchange.trunks(world.now)[0].counts;
    assert_eq!((counts.incoming, counts.incoming_refused), (1, 0));
}

#[test]
fn a_number_that_dials_over_tcp_says_so_in_the_request_uri() {
    let flow = Flow { transport: Transport::Tcp, ..flow_to(7) };
    let mut world = World::told(vec![wide("carrier", &[2], "0")], |config| {
        let to = offhook_call::config::Destination::Dial { flow, ring_for: Span::from_s(20) };
        config.numbers.insert("77".to_owned(), offhook_call::config::Number { to, ..number() });
    });
    world.invite("carrier2", "sip:77@127.0.0.1", "sip:77@127.0.0.1", Vec::new());
    let invite = heard(&world, 7).expect("an INVITE");
    assert_eq!(invite.uri.to_string(), "sip:77@127.0.0.7:5060;transport=tcp");
}

#[test]
fn whoever_calls_with_g722_is_led_on_with_g722_first_and_others_with_their_own_codec_first() {
    for (offered, onwards) in [("9 0", "RTP/AVP 9 0 8 101"), ("0 8", "RTP/AVP 0 9 8 101"), ("8", "RTP/AVP 8 9 0 101")] {
        let flow = flow_to(7);
        let mut world = World::told(vec![wide("carrier", &[2], "0")], |config| {
            assert!(config.speaks(CodecKind::Pcma) && !config.speaks(CodecKind::G722));
            config.caps.codecs.insert(0, offhook_plan::CodecCap { kind: CodecKind::G722, fmtp: None });
            assert!(config.speaks(CodecKind::G722));
            let to = offhook_call::config::Destination::Dial { flow, ring_for: Span::from_s(20) };
            config.numbers.insert("77".to_owned(), offhook_call::config::Number { to, ..number() });
        });
        world.offers = Some(format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\nm=audio 40000 RTP/AVP {offered}\r\n"
        ));
        world.invite("carrier2", "sip:77@127.0.0.1", "sip:77@127.0.0.1", Vec::new());
        let invite = heard(&world, 7).expect("an INVITE");
        let body = String::from_utf8_lossy(&invite.body).into_owned();
        assert!(body.contains(&format!("{onwards}\r\n")), "{offered}: {body}");
    }
}

#[test]
fn a_trunks_large_requests_go_as_it_says_whatever_holds_for_the_rest() {
    let listener = vec![std::net::SocketAddr::from(([0, 0, 0, 0], 5_060))];
    for (all, its, over) in [
        (Vec::new(), Some(listener.clone()), "TCP"),
        (listener.clone(), Some(Vec::new()), "UDP"),
        (listener, None, "TCP"),
    ] {
        let mut carrier = wide("carrier", &[8], "0");
        "dead".clone_into(&mut carrier.name);
        carrier.large_requests_over = its;
        // Made large by the name of the domain.
        carrier.out.as_mut().expect("it takes calls").domain = Some(format!("{}.example", ["long"; 200].join(".")));
        let mut world = World::told(vec![carrier], |config| config.large_requests_over = all);
        world.dial("ann", "030123", Some(credentials("ann")));
        let invite = heard(&world, 8).expect("an INVITE");
        assert!(invite.to_bytes().len() > 1_300);
        assert_eq!(invite.headers.top_via().expect("a Via").transport, over);
    }
}

#[test]
fn a_trunk_with_a_certificate_calls_over_the_connection_that_proved_it_and_over_no_other() {
    let mut carrier = wide("carrier", &[2], "0");
    carrier.peers.clear();
    carrier.by_certificate = true;
    let mut world = World::told(vec![wide("other", &[3], "1"), carrier], |config| {
        config.numbers.insert("700".to_owned(), number());
    });
    let to = "sip:700@127.0.0.1";
    let stranger = world.invite("carrier2", to, to, Vec::new());
    assert_eq!(world.refused_with("carrier2", stranger), Some(401), "its address alone proves nothing");
    // Connections of the wire of this test look like datagrams.
    let over = |who| Flow { transport: Transport::Udp, local: desk::SERVER.into(), peer: World::address(who) };
    let (now, proof) = (world.now, over("gateway77"));
    world.exchange.handle(now, Input::Proved { flow: proof, trunk: Some(1) });
    let call = world.invite("gateway77", to, to, Vec::new());
    assert!(world.was_answered("gateway77", call));
    assert_eq!(world.exchange.calls(world.now)[0].trunk.as_deref(), Some("carrier"));
    let now = world.now;
    world.exchange.handle(now, Input::TransportFailed { flow: proof });
    let after = world.invite("gateway77", to, to, Vec::new());
    assert_eq!(world.refused_with("gateway77", after), Some(401), "the proof went with the connection");
    for trunk in [Some(1), None] {
        let now = world.now;
        world.exchange.handle(now, Input::Proved { flow: proof, trunk });
    }
    let anew = world.invite("gateway77", to, to, Vec::new());
    assert_eq!(world.refused_with("gateway77", anew), Some(401), "another connection of the same addresses");
}

fn configure(world: &mut World, trunks: Vec<Trunk>, change: impl FnOnce(&mut Config)) {
    let mut config = desk::config(trunks);
    change(&mut config);
    world.exchange.handle(world.now, Input::Configure(Box::new(config)));
    world.run(Span::from_ms(1));
}

/// How long each REGISTER that came to a carrier asks for, in seconds.
fn asked_for(world: &mut World, who: &str) -> Vec<String> {
    let registers = world.requests(who).into_iter().filter(|(_, request)| request.method == Method::Register);
    registers.map(|(_, request)| request.headers.get("Expires").unwrap_or("as the Contact says").to_owned()).collect()
}

#[test]
fn another_configuration_leaves_a_registration_alone_that_it_says_nothing_else_of() {
    let mut world = World::new(vec![registering("carrier", 2), trunk("other", 3, &["1"], None)]);
    take(&mut world, "carrier2").expect("a REGISTER");
    let limited = Trunk { limits: TrunkLimits { calls_max: 7, ..TrunkLimits::default() }, ..registering("carrier", 2) };
    configure(&mut world, vec![trunk("other", 3, &["1"], None), limited], |_| {});
    assert!(asked_for(&mut world, "carrier2").is_empty());
    let trunks = world.exchange.trunks(world.now);
    assert_eq!((trunks[1].name.as_str(), trunks[1].calls_max), ("carrier", Some(7)));
    assert_eq!(trunks[1].registration.as_ref().map(|registration| registration.state), Some("registered"));
}

#[test]
fn a_trunk_with_another_user_registers_anew_and_one_that_is_gone_leaves() {
    let mut world = World::new(vec![registering("carrier", 2)]);
    take(&mut world, "carrier2").expect("a REGISTER");
    let mut renamed = registering("carrier", 2);
    let register = renamed.out.as_mut().and_then(|out| out.register.as_mut()).expect("it registers");
    register.user = "30777".to_owned();
    configure(&mut world, vec![renamed], |_| {});
    let requests = world.requests("carrier2");
    let said = |user: &str| {
        let of = |request: &&offhook_sip::Request| request.headers.get("To").is_some_and(|to| to.contains(user));
        requests.iter().map(|(_, request)| request).filter(of).count()
    };
    assert_eq!((said("30555"), said("30777")), (1, 1), "the one leaves, the other comes");
    assert_eq!(state(&world), "trying");
    for (id, request) in requests {
        let mut response = Response::to_request(&request, 200);
        response.headers.push("Contact", request.headers.get("Contact").expect("a Contact"));
        world.respond("carrier2", id, response);
    }
    assert_eq!(state(&world), "registered", "the answer to the one that left says nothing of the new one");
    configure(&mut world, Vec::new(), |_| {});
    assert!(world.exchange.trunks(world.now).is_empty());
    let left = world.requests("carrier2");
    assert_eq!(left.len(), 1, "it leaves, too");
    assert!(left[0].1.headers.get("To").is_some_and(|to| to.contains("30777")));
}

#[test]
fn a_phone_whose_account_is_gone_is_not_called_any_more_and_cannot_come_back() {
    let mut world = World::new(Vec::new());
    let count = |world: &World, name: &str| world.exchange.bindings(name).count();
    world.register("bob", World::address("bob"));
    world.run(Span::from_s(1));
    assert_eq!((count(&world, "ann"), count(&world, "bob")), (1, 1));
    assert_eq!(world.state(101).0, "available");
    configure(&mut world, Vec::new(), |config| {
        config.accounts.remove("bob");
        config.agents.retain(|agent| agent.acd.name != "bob");
    });
    assert_eq!((count(&world, "ann"), count(&world, "bob")), (1, 0));
    assert_eq!((world.exchange.agents(world.now).len(), world.exchange.leaving()), (2, (0, 0)));
    world.register("bob", World::address("bob"));
    world.run(Span::from_s(1));
    assert_eq!(count(&world, "bob"), 0);
    configure(&mut world, Vec::new(), |_| {});
    world.register("bob", World::address("bob"));
    world.run(Span::from_s(1));
    assert_eq!((count(&world, "bob"), world.state(101).0), (1, "available"), "and is welcome again");
}
