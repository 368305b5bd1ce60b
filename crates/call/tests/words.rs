//! What the two ends of a call tell each other through the exchange: descriptions and their versions, why somebody hung up, who
//! sent a call on.

mod desk;

use desk::{World, credentials, flow_from, media, trunk};
use offhook_call::config::Trunk;
use offhook_call::record::{Diversion, DivertedFor};
use offhook_sip::{Body, Event, Invite, SessionId};
use offhook_units::Span;

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// The header lines of this name in the INVITE that came to `who` last.
fn lines_at(world: &mut World, who: &str, name: &str) -> Vec<String> {
    let invited = world.at(who).events.iter().rev().find_map(|event| match event {
        Event::Invited { request, .. } => Some(request.headers.get_all(name).map(str::to_owned).collect()),
        _ => None,
    });
    invited.expect("an INVITE")
}

/// The carrier calls the queue, ann or bob picks up; who, and both sessions.
fn served(world: &mut World, headers: Vec<(String, String)>) -> (SessionId, &'static str, SessionId) {
    let call = world.invite("carrier2", "sip:700@127.0.0.1", "sip:700@127.0.0.1", headers);
    let who = ["ann", "bob"].into_iter().find(|who| world.ringing(who).is_some()).expect("a phone rings");
    let (rings, ..) = world.ringing(who).expect("it rings");
    (call, who, rings)
}

fn world(change: impl FnOnce(&mut Trunk)) -> World {
    let mut carrier = trunk("carrier", 2, &["0"], None);
    change(&mut carrier);
    World::new(vec![carrier])
}

/// What the exchange described in its last answer to `who`'s changes: the version of its `o=` line.
fn version_told(world: &mut World, who: &str, session: SessionId, offer: Body) -> Result<u64, u16> {
    let now = world.now;
    world.at(who).events.clear();
    world.at(who).endpoint.reoffer(now, session, Some(offer));
    world.run(Span::from_ms(100));
    world
        .at(who)
        .events
        .iter()
        .find_map(|event| match event {
            Event::ReofferAnswered { body: Some(body), .. } => Some(Ok(version_of(body))),
            Event::ReofferRefused { status, .. } => Some(Err(*status)),
            _ => None,
        })
        .expect("an answer")
}

fn version_of(body: &Body) -> u64 {
    let text = String::from_utf8_lossy(&body.bytes);
    let origin = text.lines().find(|line| line.starts_with("o=")).expect("an origin");
    origin.split(' ').nth(2).and_then(|version| version.parse().ok()).expect("a version")
}

#[test]
fn a_description_keeps_its_version_while_it_says_the_same_and_gets_the_next_one_where_it_does_not() {
    let mut world = world(|_| {});
    let (call, who, rings) = served(&mut world, Vec::new());
    world.answer(who, rings);
    let first = world.at("carrier2").events.iter().find_map(|event| match event {
        Event::Answered { body: Some(body), .. } => Some(version_of(body)),
        _ => None,
    });
    let at = World::address("carrier2");
    let hold = Body::sdp(String::from_utf8_lossy(&media(at).bytes).replace("a=sendrecv", "a=sendonly"));
    assert_eq!(first, Some(1));
    assert_eq!(version_told(&mut world, "carrier2", call, media(at)), Ok(1), "nothing has changed");
    assert_eq!(version_told(&mut world, "carrier2", call, hold.clone()), Ok(2));
    assert_eq!(version_told(&mut world, "carrier2", call, hold), Ok(2));
    // What is refused changes nothing.
    let text = String::from_utf8_lossy(&media(at).bytes).into_owned();
    let nothing_in_common = text.replace("RTP/AVP 0 8 101", "RTP/AVP 18");
    assert_eq!(version_told(&mut world, "carrier2", call, Body::sdp(nothing_in_common)), Err(488));
    assert_eq!(version_told(&mut world, "carrier2", call, Body::sdp("v=0\r\nthis is no description")), Err(400));
    assert_eq!(version_told(&mut world, "carrier2", call, media(at)), Ok(3));
}

#[test]
fn an_offer_that_is_malformed_gets_400_one_that_cannot_be_met_488_and_one_among_parts_is_answered() {
    let mut world = world(|_| {});
    let at = World::address("carrier2");
    let text = String::from_utf8_lossy(&media(at).bytes).into_owned();
    let mixed = format!(
        "--b\r\nContent-Type: application/isup\r\nContent-Disposition: signal;handling=optional\r\n\r\n\x01\x02\r\n\
         --b\r\nContent-Type: application/sdp\r\n\r\n{text}\r\n--b--\r\n"
    );
    let mixed_as =
        |bytes: String| Body { content_type: "multipart/mixed;boundary=b".to_owned(), bytes: bytes.into_bytes() };
    for (body, status) in [
        (Body::sdp("v=0\r\nthis is no description"), Some(400)),
        (
            Body::sdp(
                text.lines().filter(|line| !line.starts_with("c=")).flat_map(|line| [line, "\r\n"]).collect::<String>(),
            ),
            Some(400),
        ),
        (Body::sdp(text.replace("RTP/AVP 0 8 101", "RTP/AVP 18")), Some(488)),
        (Body::sdp(text.replace("m=audio 40000", "m=audio 0")), Some(488)),
        (mixed_as(mixed.replace("optional", "required")), Some(415)),
        (mixed_as(mixed.clone()), None),
    ] {
        let now = world.now;
        let invite = Invite {
            flow: flow_from(at),
            uri: "sip:700@127.0.0.1".parse().expect("a uri"),
            from: "<sip:+4940111@carrier>".parse().expect("a name"),
            to: "<sip:700@127.0.0.1>".parse().expect("a name"),
            contact: format!("sip:carrier@{at}").parse().expect("a uri"),
            headers: Vec::new(),
            body: Some(body),
            credentials: None,
        };
        let call = world.at("carrier2").endpoint.invite(now, invite).expect("room for a call");
        world.run(Span::from_ms(100));
        assert_eq!(world.refused_with("carrier2", call), status);
        assert_eq!(world.was_answered("carrier2", call), status.is_none());
    }
}

#[test]
fn the_cause_that_a_carrier_gives_is_kept_and_phones_that_ring_are_told_it() {
    let mut world = world(|_| {});
    let (call, ..) = served(&mut world, Vec::new());
    let now = world.now;
    let reason = "Q.850;cause=31;text=\"who knows\", SIP;cause=200;text=\"elsewhere\"".to_owned();
    world.at("carrier2").endpoint.hang_up(now, call, Some(reason));
    world.run(Span::from_s(10));
    assert_eq!(world.cancel_reasons, [Some("SIP;cause=200, Q.850;cause=31".to_owned())]);
    assert_eq!(
        world.records.pop().map(|record| (record.formula, record.cause)),
        Some((offhook_call::record::FORMULA, Some(31)))
    );

    // A caller that is not answered yet says so in CANCEL.
    let outside = world.dial("ann", "0301234", Some(credentials("ann")));
    let now = world.now;
    world.at("ann").endpoint.hang_up(now, outside, Some("Q.850;cause=17".to_owned()));
    world.run(Span::from_s(10));
    assert_eq!(world.cancel_reasons.pop(), Some(Some("Q.850;cause=17".to_owned())));
    assert_eq!(world.records.pop().map(|record| record.cause), Some(Some(17)));
}

#[test]
fn the_cause_of_a_bye_reaches_the_other_end_and_words_do_not() {
    let mut world = world(|_| {});
    for (told, cause, passed) in [
        (Some("Q.850;cause=16;text=\"bye\""), Some(16), Some("Q.850;cause=16")),
        (Some("preemption;cause=1"), None, None),
        (None, None, None),
    ] {
        let (call, who, rings) = served(&mut world, Vec::new());
        world.answer(who, rings);
        let now = world.now;
        world.at(who).events.clear();
        world.at("carrier2").endpoint.hang_up(now, call, told.map(str::to_owned));
        world.run(Span::from_s(30));
        let ended = world.at(who).events.iter().find_map(|event| match event {
            Event::Ended { cause: offhook_sip::EndCause::PeerBye { reason }, .. } => Some(reason.clone()),
            _ => None,
        });
        assert_eq!(ended, Some(passed.map(str::to_owned)));
        assert_eq!(world.records.pop().map(|record| record.cause), Some(cause));
        world.at(who).events.clear();
    }
}

#[test]
fn who_sent_a_call_on_is_kept_told_to_the_agents_phone_and_believed_of_trusted_trunks_alone() {
    let lines = || vec![header("Diversion", "<sip:+4930111@carrier>;reason=no-answer;counter=2;privacy=off")];
    for (trusted, extra, number, why) in [
        (true, None, true, Some(DivertedFor::NoAnswer)),
        (true, Some(header("Privacy", "history")), false, Some(DivertedFor::NoAnswer)),
        (false, None, false, None),
    ] {
        let mut world = world(|carrier| carrier.trust_identity = trusted);
        let (call, who, _) = served(&mut world, lines().into_iter().chain(extra).collect());
        let told = lines_at(&mut world, who, "Diversion");
        let expected = number.then(|| "<sip:+4930111@127.0.0.1>;reason=no-answer;counter=2".to_owned());
        assert_eq!(told, expected.into_iter().collect::<Vec<_>>());
        world.hang_up("carrier2", call);
        world.run(Span::from_s(10));
        let kept = world.records.pop().expect("a record").diverted;
        assert_eq!(
            kept.as_ref().map(|kept| (kept.from.is_some(), kept.why, kept.times)),
            why.map(|why| (number, why, 2))
        );
        assert!(matches!(kept, None | Some(Diversion { .. })));
    }
}

#[test]
fn a_call_that_is_transferred_outside_says_which_number_it_was_for_where_the_trunk_asks() {
    for (asks, trusted, expected) in [
        (false, true, &[][..]),
        (
            true,
            true,
            &[
                "<sip:700@127.0.0.1>;reason=deflection;counter=1",
                "<sip:+4930111@127.0.0.1>;reason=unconditional;counter=1",
            ],
        ),
        (true, false, &["<sip:700@127.0.0.1>;reason=deflection;counter=1"]),
    ] {
        let mut world = world(|carrier| {
            carrier.trust_identity = trusted;
            carrier.out.as_mut().expect("it takes calls").diversion = asks;
        });
        let sent_on = vec![header("Diversion", "<sip:+4930111@carrier>;reason=unconditional")];
        let (_, who, rings) = served(&mut world, sent_on);
        world.answer(who, rings);
        let now = world.now;
        assert!(world.at(who).endpoint.refer(now, rings, &"sip:0301234@offhook".parse().expect("a uri")));
        world.run(Span::from_ms(200));
        assert!(world.ringing("carrier2").is_some_and(|(_, uri, _)| uri.contains("0301234")));
        assert_eq!(lines_at(&mut world, "carrier2", "Diversion"), expected, "{asks} {trusted}");
    }
}
