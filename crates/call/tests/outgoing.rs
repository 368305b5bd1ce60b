//! Calls that phones of ours make: to colleagues and to the world outside.

#[path = "outgoing/at_desk.rs"]
mod at_desk;
#[path = "outgoing/callbacks.rs"]
mod callbacks;
mod desk;
#[path = "outgoing/early.rs"]
mod early;
#[path = "outgoing/guests.rs"]
mod guests;
#[path = "outgoing/transfers.rs"]
mod transfers;
#[path = "outgoing/visitors.rs"]
mod visitors;

use std::collections::BTreeSet;

use desk::{SERVER, World, credentials, media, trunk};
use offhook_call::Input;
use offhook_call::record::CallEnd;
use offhook_sip::{Binding, Credentials, Event, Flow, Transport};
use offhook_units::{AgentId, Span, Tick};

#[test]
fn a_phone_that_shows_its_password_calls_a_colleague_and_both_are_kept_from_the_queue_meanwhile() {
    let mut world = World::new(Vec::new());
    assert_eq!((world.state(100).0, world.state(101).0), ("available", "available"));
    let call = world.dial("ann", "bob", Some(credentials("ann")));
    let (session, _, from) = world.ringing("bob").expect("bob's phone rings");
    assert!(from.contains("ann"), "{from}");
    let on_the_phone = ("not-ready", Some("on-the-phone".to_owned()));
    assert_eq!((world.state(100), world.state(101)), (on_the_phone.clone(), on_the_phone));
    world.answer("bob", session);
    assert!(world.was_answered("ann", call));
    world.hang_up("ann", call);
    assert_eq!((world.state(100), world.state(101)), (("available", None), ("available", None)));
    let record = &world.records[0];
    assert_eq!((record.placed_by.as_deref(), record.agent), (Some("ann"), Some(AgentId(101))));
    assert_eq!((record.end, record.trunk.as_deref()), (CallEnd::CallerHungUp, None));
    assert_eq!(world.exchange.ports().0, 0);
}

#[test]
fn an_accounts_own_codecs_are_offered_in_its_order_and_opus_is_agreed_on_with_no_caller() {
    use offhook_plan::{CodecCap, CodecKind};
    let mut world = World::told(Vec::new(), |config| {
        config.caps.codecs = [CodecKind::Pcmu, CodecKind::Opus].map(CodecCap::of).into();
        let bob = config.accounts.get_mut("bob").expect("bob's account");
        bob.codecs = vec![CodecKind::Opus, CodecKind::Pcmu];
    });
    // ann offers Opus first, and is answered with G.711: what she says may be recorded.
    world.offers = Some(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\nm=audio 40000 RTP/AVP 111 0\r\n\
         a=rtpmap:111 opus/48000/2\r\n"
            .to_owned(),
    );
    let call = world.dial("ann", "bob", Some(credentials("ann")));
    let offered = |world: &mut World, who: &str| {
        let invite = world.at(who).events.iter().rev().find_map(|event| match event {
            Event::Invited { request, .. } => request.description().ok().flatten().map(<[u8]>::to_vec),
            _ => None,
        });
        String::from_utf8(invite.expect("an offer")).expect("text")
    };
    let offer = offered(&mut world, "bob");
    let line = offer.lines().find(|line| line.starts_with("m=audio")).expect("an m-line").to_owned();
    let first = line.split(' ').nth(3).expect("a payload type").to_owned();
    assert!(offer.contains(&format!("a=rtpmap:{first} opus/48000/2")), "{offer}");
    world.offers = None;
    let (bob, ..) = world.ringing("bob").expect("bob's phone rings");
    world.answer("bob", bob);
    assert!(world.was_answered("ann", call));
    let plan = world.plans.values().next().expect("a call");
    let codecs: Vec<_> =
        plan.legs.iter().filter_map(|leg| leg.negotiated.as_ref()).map(|agreed| agreed.codec).collect();
    assert_eq!(codecs[0], CodecKind::Pcmu);
}

#[test]
fn a_phone_that_asks_anew_gets_no_codec_that_its_account_has_not() {
    use offhook_plan::{CodecCap, CodecKind};
    let mut world = World::told(Vec::new(), |config| {
        config.caps.codecs = [CodecKind::G722, CodecKind::Pcmu].map(CodecCap::of).into();
        config.accounts.get_mut("bob").expect("bob's account").codecs = vec![CodecKind::Pcmu];
    });
    world.dial("ann", "bob", Some(credentials("ann")));
    let (bob, ..) = world.ringing("bob").expect("bob's phone rings");
    world.answer("bob", bob);
    let wide = "v=0\r\no=- 9 9 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\nm=audio 40002 RTP/AVP 9 0\r\n";
    let now = world.now;
    world.at("bob").endpoint.reoffer(now, bob, Some(offhook_sip::Body::sdp(wide.to_owned())));
    world.run(Span::from_ms(100));
    let plan = world.plans.values().next().expect("a call");
    let agreed: Vec<_> = plan.legs.iter().filter_map(|leg| leg.negotiated.as_ref()).collect();
    assert_eq!((agreed[1].codec, agreed[1].remote_rtp.port()), (CodecKind::Pcmu, 40_002));
}

#[test]
fn a_colleague_who_talks_is_busy_and_so_is_whoever_calls_the_own_name() {
    let mut world = World::new(Vec::new());
    let call = world.dial("ann", "ann", Some(credentials("ann")));
    assert_eq!(world.refused_with("ann", call), Some(486));
    let first = world.dial("ann", "bob", Some(credentials("ann")));
    assert!(world.ringing("bob").is_some());
    let second = world.dial("bob", "ann", Some(credentials("bob")));
    assert_eq!(world.refused_with("bob", second), Some(486));
    world.hang_up("ann", first);
    assert_eq!(world.records.len(), 1);
}

#[test]
fn nobody_calls_without_a_password_or_with_another_ones() {
    let mut world = World::new(vec![trunk("carrier", 2, &["0"], None)]);
    let stranger = world.dial("stranger66", "030123", None);
    assert_eq!(world.refused_with("stranger66", stranger), Some(401));
    let nameless = world.dial("ann", "030123", None);
    assert_eq!(world.refused_with("ann", nameless), Some(401));
    let wrong = Credentials { username: "ann".to_owned(), password: "guessed".to_owned() };
    let guess = world.dial("stranger66", "030123", Some(wrong));
    assert_eq!(world.refused_with("stranger66", guess), Some(403));
    assert_eq!(world.guessers, [World::address("stranger66").ip()], "challenges alone are no guesses");
    let unknown = Credentials { username: "zoe".to_owned(), password: "guessed".to_owned() };
    let guess = world.dial("stranger66", "030123", Some(unknown));
    assert_eq!(world.refused_with("stranger66", guess), Some(403), "as for an account that is there");
    assert_eq!(world.guessers.len(), 2);
    assert_eq!(world.exchange.counters().calls, 0);
}

#[test]
fn an_account_calls_only_what_it_may_and_only_so_often_but_an_emergency_always() {
    let mut world = World::new(vec![trunk("carrier", 2, &["0", "9"], None)]);
    for (number, status) in [("90123", 403), ("5", 404), ("nobody", 404)] {
        let call = world.dial("ann", number, Some(credentials("ann")));
        assert_eq!(world.refused_with("ann", call), Some(status), "{number}");
    }
    let first = world.dial("ann", "030123", Some(credentials("ann")));
    let (_, uri, from) = world.ringing("carrier2").expect("the carrier's INVITE");
    assert!(uri.starts_with("sip:030123@127.0.0.2"), "{uri}");
    assert!(from.contains("sip:30555@"), "the trunk's number is shown: {from}");
    let second = world.dial("ann", "030124", Some(credentials("ann")));
    assert_eq!(world.refused_with("ann", second), Some(503));
    let emergency = world.dial("ann", "112", Some(credentials("ann")));
    let (_, uri, _) = world.ringing("carrier2").expect("the carrier's INVITE");
    assert!(uri.starts_with("sip:112@"), "{uri}");
    world.hang_up("ann", emergency);
    world.hang_up("ann", first);
    let third = world.dial("ann", "030125", Some(credentials("ann")));
    assert_eq!(world.refused_with("ann", third), None, "a call that is over counts no more");
    world.hang_up("ann", third);
}

#[test]
fn an_account_that_hides_its_number_is_named_to_a_trusted_trunk_alone_and_in_an_emergency_to_everybody() {
    for (trusted, number) in [(true, "030123"), (false, "030123"), (true, "112")] {
        let mut carrier = trunk("carrier", 2, &["0"], None);
        carrier.trust_identity = trusted;
        let mut world = World::told(vec![carrier], |config| {
            config.accounts.values_mut().for_each(|account| account.hide_number = true);
        });
        world.dial("ann", number, Some(credentials("ann")));
        let invited = world.at("carrier2").events.iter().rev().find_map(|event| match event {
            Event::Invited { request, .. } => Some(&request.headers),
            _ => None,
        });
        let headers = invited.expect("the carrier's INVITE");
        let says = |name| headers.get(name).map(str::to_owned);
        let (from, privacy, asserted) = (says("From"), says("Privacy"), says("P-Asserted-Identity"));
        if number == "112" {
            assert!(from.is_some_and(|from| from.contains("sip:30555@")) && privacy.is_none() && asserted.is_none());
            continue;
        }
        assert!(from.is_some_and(|from| from.contains("<sip:anonymous@anonymous.invalid>")));
        assert_eq!(privacy.as_deref(), Some("id"));
        assert_eq!(asserted.is_some_and(|asserted| asserted.contains("sip:30555@")), trusted);
    }
}

#[test]
fn the_cause_with_which_a_carrier_refuses_is_kept_and_told_on() {
    for (told, cause, passed) in [
        (Some("Q.850;cause=1;text=\"no such number\""), Some(1), Some("Q.850;cause=1")),
        (Some("Q.850;cause=999"), None, None),
        (None, None, None),
    ] {
        let mut world = World::new(vec![trunk("only", 2, &["0"], None)]);
        let call = world.dial("ann", "030123", Some(credentials("ann")));
        let (session, ..) = world.ringing("carrier2").expect("it rings");
        let (now, reason) = (world.now, told.map(|told| ("Reason".to_owned(), told.to_owned())));
        world.at("carrier2").endpoint.refuse(now, session, 404, reason.into_iter().collect());
        world.run(Span::from_ms(100));
        let heard = world.at("ann").events.iter().find_map(|event| match event {
            Event::Refused { session, status: 404, cause, .. } if *session == call => Some(cause.clone()),
            _ => None,
        });
        assert_eq!(heard, Some(passed.map(str::to_owned)));
        world.run(Span::from_s(10));
        assert_eq!(world.records.pop().map(|record| record.cause), Some(cause));
    }
}

#[test]
fn the_next_trunk_is_tried_after_a_5xx_and_not_after_busy() {
    for (status, expected) in [(503, None), (486, Some(486))] {
        let trunks = vec![trunk("second", 3, &["0"], None), trunk("first", 2, &["030"], None)];
        let mut world = World::new(trunks);
        let call = world.dial("ann", "030123", Some(credentials("ann")));
        let (session, ..) = world.ringing("carrier2").expect("the longer prefix goes first");
        world.refuse("carrier2", session, status);
        assert_eq!(world.refused_with("ann", call), expected);
        let next = world.ringing("carrier3");
        assert_eq!(next.is_some(), expected.is_none());
        if let Some((session, ..)) = next {
            world.answer("carrier3", session);
            assert!(world.was_answered("ann", call));
            world.hang_up("carrier3", session);
            assert_eq!(world.records[0].out_trunk.as_deref(), Some("second"));
            let names: Vec<&str> = world.legs.iter().map(|(_, _, name)| name.as_str()).collect();
            assert_eq!(names, ["phone ann", "trunk first", "trunk second"], "the attempt that failed is seen too");
            let ids: BTreeSet<&String> = world.legs.iter().map(|(_, call_id, _)| call_id).collect();
            assert!(ids.len() == 3 && world.legs.iter().all(|(call, ..)| *call == world.records[0].id));
        }
    }
}

#[test]
fn a_trunk_that_says_nothing_is_passed_over_after_4_s() {
    let mut world = World::new(vec![trunk("second", 3, &["0"], None), trunk("dead", 4, &["030"], None)]);
    let call = world.dial("ann", "030123", Some(credentials("ann")));
    world.run(Span::from_ms(3_800));
    assert!(world.ringing("carrier3").is_none());
    world.run(Span::from_ms(300));
    let (session, ..) = world.ringing("carrier3").expect("the next trunk");
    world.answer("carrier3", session);
    assert!(world.was_answered("ann", call));
    world.run(Span::from_s(60));
    assert_eq!(world.exchange.calls_active(), 1, "the end of the dead trunk's INVITE ends nothing");
    world.hang_up("ann", call);
}

#[test]
fn the_carriers_own_announcement_is_heard_before_the_answer() {
    let mut world = World::new(vec![trunk("carrier", 2, &["0"], None)]);
    let call = world.dial("ann", "030123", Some(credentials("ann")));
    let (session, ..) = world.ringing("carrier2").expect("the carrier's INVITE");
    let (now, body) = (world.now, media(World::address("carrier2")));
    world.at("carrier2").endpoint.progress(now, session, 183, Some(body));
    world.run(Span::from_ms(100));
    let early = world
        .at("ann")
        .events
        .iter()
        .any(|event| matches!(event, Event::Progress { session, status: 183, body: Some(_) } if *session == call));
    assert!(early, "183 with an answer");
    world.hang_up("ann", call);
    assert_eq!(world.records[0].end, CallEnd::Abandoned);
}

#[test]
fn a_carrier_that_asks_for_a_password_is_given_the_trunks() {
    let account = Credentials { username: "30555".to_owned(), password: "trunk secret".to_owned() };
    let mut world = World::new(vec![trunk("carrier", 2, &["0"], Some(account))]);
    let call = world.dial("ann", "030123", Some(credentials("ann")));
    let (session, ..) = world.ringing("carrier2").expect("the carrier's INVITE");
    let challenge = "Digest realm=\"carrier\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"".to_owned();
    let now = world.now;
    world.at("carrier2").endpoint.refuse(now, session, 407, vec![("Proxy-Authenticate".to_owned(), challenge)]);
    world.run(Span::from_ms(100));
    let (again, ..) = world.ringing("carrier2").expect("the INVITE once more");
    let answered = world.at("carrier2").events.iter().any(|event| {
        let Event::Invited { session, request, .. } = event else { return false };
        let given = request.headers.get("Proxy-Authorization").unwrap_or_default();
        *session == again && given.contains("username=\"30555\"") && !given.contains("ann")
    });
    assert!(again != session && answered);
    world.answer("carrier2", again);
    assert!(world.was_answered("ann", call));
    world.hang_up("ann", call);
}

/// A registration of bob's that a restart found: at `who`'s address, through a proxy there.
fn kept(who: &str, instance: &str, q: u16) -> Binding {
    let peer = World::address(who);
    Binding {
        translated: false,
        account: "bob".to_owned(),
        contact: format!("sip:bob@10.0.0.{q}:5060"),
        flow: Flow { transport: Transport::Udp, local: SERVER.into(), peer },
        call_id: instance.to_owned(),
        cseq: 1,
        expires_at: Tick::from_us(1_800_000_000_000_000) + Span::from_s(600),
        user_agent: None,
        q,
        path: vec![format!("<sip:{peer};lr>"), "<sip:edge.example;lr;ob>".to_owned()],
        instance: Some(format!("<urn:uuid:{instance}>")),
        reg_id: Some(1),
    }
}

#[test]
fn after_a_restart_a_phone_behind_proxies_is_called_through_them_and_the_most_wanted_one_first() {
    let mut world = World::again(Vec::new(), |_| {}, vec![kept("carrier5", "desk", 9), kept("carrier6", "mobile", 7)]);
    world.at("carrier5");
    world.at("carrier6");
    assert_eq!(world.state(101).0, "available");
    let call = world.dial("ann", "bob", Some(credentials("ann")));
    let rung = world.at("carrier5").events.iter().find_map(|event| match event {
        Event::Invited { request, .. } => Some(request.clone()),
        _ => None,
    });
    let request = rung.expect("the phone that is wanted most rings");
    assert_eq!(request.uri.to_string(), "sip:bob@10.0.0.9:5060");
    let route: Vec<&str> = request.headers.get_all("Route").collect();
    assert_eq!(route, ["<sip:127.0.0.5:5060;lr>", "<sip:edge.example;lr;ob>"]);
    assert!(world.ringing("carrier6").is_none());
    world.hang_up("ann", call);
    assert_eq!(world.records.len(), 1);
}

#[test]
fn a_call_to_a_gruu_rings_that_phone_and_no_other_of_its_account() {
    let mut world = World::again(Vec::new(), |_| {}, vec![kept("carrier5", "desk", 9), kept("carrier6", "mobile", 7)]);
    world.at("carrier5");
    world.at("carrier6");
    let call = world.dial("ann", "bob@offhook;gr=urn:uuid:mobile", Some(credentials("ann")));
    assert!(world.ringing("carrier5").is_none());
    assert_eq!(world.ringing("carrier6").map(|(_, uri, _)| uri).as_deref(), Some("sip:bob@10.0.0.7:5060"));
    world.hang_up("ann", call);
    let gone = world.dial("ann", "bob@offhook;gr=urn:uuid:sold", Some(credentials("ann")));
    assert_eq!(world.refused_with("ann", gone), Some(480));
}

#[test]
fn a_program_that_falls_behind_refuses_new_calls_early_and_lets_the_old_ones_and_emergencies_be() {
    let mut world = World::new(vec![trunk("carrier", 2, &["0"], None)]);
    let old = world.dial("ann", "bob", Some(credentials("ann")));
    let (session, ..) = world.ringing("bob").expect("bob's phone rings");
    for _ in 0..20 {
        world.exchange.handle(world.now, Input::Behind { by: Span::from_s(1) });
        world.run(Span::from_ms(100));
    }
    assert_eq!(world.exchange.calls_per_s(), 1);
    let first = world.dial("bob", "030123", Some(credentials("bob")));
    assert_eq!(world.refused_with("bob", first), None, "one a second is still taken on");
    let second = world.dial("bob", "030124", Some(credentials("bob")));
    assert_eq!(world.refused_with("bob", second), Some(503));
    assert!(world.exchange.counters().refused_by_overload > 0);
    let emergency = world.dial("bob", "112", Some(credentials("bob")));
    let (_, uri, _) = world.ringing("carrier2").expect("the carrier's INVITE");
    assert!(uri.starts_with("sip:112@"), "{uri}");
    world.answer("bob", session);
    assert!(world.was_answered("ann", old), "what had begun goes on");
    for (who, call) in [("bob", first), ("bob", emergency), ("ann", old)] {
        world.hang_up(who, call);
    }
    assert_eq!(world.records.len(), 3);
    world.exchange.handle(world.now, Input::Behind { by: Span::ZERO });
    world.run(Span::from_s(10));
    let third = world.dial("bob", "030125", Some(credentials("bob")));
    assert_eq!(world.refused_with("bob", third), None);
    assert_eq!(world.exchange.calls_per_s(), 2_000);
}

#[test]
fn an_account_that_has_made_its_calls_of_the_hour_makes_no_more_but_for_emergencies() {
    let limit = |config: &mut offhook_call::config::Config| {
        config.accounts.get_mut("ann").expect("an account").outside_per_hour = 1;
    };
    let mut world = World::told(vec![trunk("carrier", 2, &["0"], None), trunk("other", 3, &["0"], None)], limit);
    let first = world.dial("ann", "030123", Some(credentials("ann")));
    let (session, ..) = world.ringing("carrier2").expect("the carrier's INVITE");
    world.refuse("carrier2", session, 503);
    assert!(world.ringing("carrier3").is_some(), "the next trunk of one call is no second call");
    world.hang_up("ann", first);
    let second = world.dial("ann", "030124", Some(credentials("ann")));
    assert_eq!(world.refused_with("ann", second), Some(503));
    assert_eq!(world.exchange.counters().refused_by_spending, 2, "once for each trunk");
    let emergency = world.dial("ann", "112", Some(credentials("ann")));
    assert_eq!(world.refused_with("ann", emergency), None);
    world.hang_up("ann", emergency);
    world.run(Span::from_s(3_600));
    let next_hour = world.dial("ann", "030125", Some(credentials("ann")));
    assert_eq!(world.refused_with("ann", next_hour), None);
}
