//! Phones behind translators: the way to them is kept open, and who answers no more is passed over.

mod desk;

use std::net::SocketAddr;

use desk::{World, credentials};
use offhook_call::PINGS_UNANSWERED_MAX;
use offhook_sip::{Binding, Flow, Method, Response, Transport};
use offhook_units::{Span, Tick};

/// Phones at ann's desk name an address in their Via that nobody sees from outside.
fn translate(from: SocketAddr, text: &str) -> String {
    if from == World::address("ann") {
        text.replacen(&format!("UDP {from}"), "UDP 10.0.0.9:5060", 1)
    } else {
        text.to_owned()
    }
}

/// Ann stands behind a translator.
fn translated(nat_ping: Span) -> World {
    let mut world = World::told(Vec::new(), |config| config.nat_ping = nat_ping);
    world.on_the_way = Some(translate);
    world.register("ann", World::address("ann"));
    world.run(Span::from_ms(50));
    world
}

/// Whoever of these is asked answers, for `span`; gives how many OPTIONS came.
fn answer_for(world: &mut World, who: &[&str], span: Span) -> usize {
    let (end, mut asked) = (world.now + span, 0);
    while world.now < end {
        world.run(Span::from_ms(100));
        for who in who {
            for (id, request) in world.requests(who) {
                assert_eq!(request.method, Method::Options);
                world.respond(who, id, Response::to_request(&request, 405));
                asked += 1;
            }
        }
    }
    asked
}

#[test]
fn a_phone_behind_a_translator_is_asked_every_25_s_and_one_that_is_not_never() {
    let mut world = translated(offhook_call::config::NAT_PING);
    assert_eq!(answer_for(&mut world, &["ann"], Span::from_s(200)), 8);
    assert!(world.requests("bob").is_empty() && world.requests("carl").is_empty());
    let figures = world.exchange.pings();
    assert_eq!((figures.kept_open, figures.sent, figures.unanswered, figures.unreachable), (1, 8, 0, 0));
    let mut world = translated(Span::ZERO);
    assert_eq!(answer_for(&mut world, &["ann"], Span::from_s(100)), 0, "switched off");
}

#[test]
fn a_phone_that_leaves_three_unanswered_is_passed_over_until_it_answers_or_registers() {
    let mut world = translated(Span::from_s(25));
    answer_for(&mut world, &["ann"], Span::from_s(60));
    assert_eq!(world.state(100).0, "available");
    // Three that end 32 s after they were sent, the last one sent 75 s from here at most.
    world.run(Span::from_s(50));
    assert_eq!(world.state(100).0, "available", "two do not suffice");
    world.run(Span::from_s(60));
    assert_eq!(world.state(100).0, "logged-out");
    let view = world.exchange.agent_now(offhook_units::AgentId(100)).expect("ann");
    assert!(view.unreachable && view.contact.is_some());
    assert_eq!(world.exchange.pings().unreachable, 1);
    assert!(world.exchange.pings().unanswered >= u64::from(PINGS_UNANSWERED_MAX));
    let call = world.dial("bob", "ann", Some(credentials("bob")));
    assert_eq!(world.refused_with("bob", call), Some(480));
    answer_for(&mut world, &["ann"], Span::from_s(30));
    assert_eq!(world.state(100).0, "available", "it answered");
    world.run(Span::from_s(120));
    assert_eq!(world.state(100).0, "logged-out");
    world.register("ann", World::address("ann"));
    world.run(Span::from_ms(50));
    assert_eq!(world.state(100).0, "available", "it registered");
    assert_eq!(world.exchange.pings().unreachable, 0);
}

#[test]
fn a_phone_that_has_never_answered_options_is_not_judged_by_them() {
    let mut world = translated(Span::from_s(25));
    world.run(Span::from_s(600));
    assert_eq!(world.state(100).0, "available");
    let figures = world.exchange.pings();
    assert!(figures.unreachable == 0 && figures.unanswered >= 10, "{figures:?}");
}

#[test]
fn of_two_phones_of_an_account_the_one_that_answers_rings() {
    let mut world = translated(Span::from_s(25));
    answer_for(&mut world, &["ann"], Span::from_s(30));
    // Her other phone stands beside; the one behind the translator registers last and is preferred.
    world.register("ann", World::address("carl"));
    world.run(Span::from_ms(50));
    world.register("ann", World::address("ann"));
    answer_for(&mut world, &["ann"], Span::from_s(30));
    let call = world.dial("bob", "ann", Some(credentials("bob")));
    assert!(world.ringing("ann").is_some());
    world.hang_up("bob", call);
    world.run(Span::from_s(150));
    assert_eq!((world.exchange.pings().unreachable, world.state(100).0), (1, "available"));
    world.dial("bob", "ann", Some(credentials("bob")));
    assert!(world.ringing("carl").is_some(), "the one that answers");
}

fn kept(phone: u16, until: Tick) -> Binding {
    let peer = SocketAddr::from(([127, 1, (phone >> 8) as u8, phone as u8], 5_060));
    Binding {
        account: "ann".to_owned(),
        contact: format!("sip:ann@10.0.0.9:{phone}"),
        flow: Flow { transport: Transport::Udp, local: desk::SERVER.into(), peer },
        call_id: phone.to_string(),
        cseq: 1,
        expires_at: until,
        user_agent: None,
        q: 1_000,
        path: Vec::new(),
        instance: None,
        reg_id: None,
        translated: true,
    }
}

#[test]
fn three_thousand_phones_after_a_restart_are_asked_over_25_s_and_after_a_stall_2_000_a_second() {
    let until = Tick::from_us(1_800_000_000_000_000) + Span::from_s(3_000);
    let bindings = (1_000..4_000).map(|phone| kept(phone, until)).collect();
    let mut world = World::again(Vec::new(), |_| {}, bindings);
    let (mut most, mut before) = (0, world.exchange.pings().sent);
    for _ in 0..240 {
        world.run(Span::from_ms(100));
        let sent = world.exchange.pings().sent;
        (most, before) = (most.max(sent - before), sent);
    }
    assert_eq!(world.exchange.pings().sent, 3_000, "each once");
    assert!(most <= 36, "{most} in 100 ms: three times the mean");
    world.now += Span::from_s(60);
    let before = world.exchange.pings().sent;
    world.run(Span::from_ms(95));
    let sent = world.exchange.pings().sent - before;
    assert!((100..=200).contains(&sent), "{sent} in 95 ms");
}

#[test]
fn a_phone_with_a_connection_of_its_own_is_told_the_flow_timer_and_expected_within_it() {
    fn outbound(_: SocketAddr, text: &str) -> String {
        let lines = text.split("\r\n").map(|line| match line.strip_prefix("Contact: ") {
            Some(_) => format!("{line};+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\nSupported: outbound"),
            None => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\r\n")
    }
    let mut world = World::new(Vec::new());
    world.on_the_way = Some(outbound);
    world.transport = Transport::Tcp;
    world.register("ann", World::address("ann"));
    world.run(Span::from_ms(50));
    let flow = Flow { transport: Transport::Tcp, local: desk::SERVER.into(), peer: World::address("ann") };
    assert_eq!(world.expected_alive, [(flow, Span::from_s(130))]);
    assert_eq!(world.exchange.pings().kept_open, 0, "the phone keeps its connection alive itself");
}
