//! Recording sessions of others (RFC 7866) that the exchange records.

mod desk;

use desk::{World, trunk};
use offhook_call::config::{Config, SiprecServer};
use offhook_call::event::TakenPart;
use offhook_call::record::CallEnd;
use offhook_call::siprec::{SESSIONS_MAX, SILENT_MAX, SiprecFigures};
use offhook_call::{Command, Input};
use offhook_plan::tap::Side;
use offhook_plan::{CodecKind, Direction, MediaCaps, MediaEvent};
use offhook_sip::siprec::{METADATA_PARTICIPANTS_MAX, Metadata, Participant, Stream, body};
use offhook_sip::{Body, Event, Invite, SessionId, sdp};
use offhook_units::{CallId, Entropy, LegId, Span};

/// The border controller, at 127.0.0.3.
const SBC: &str = "carrier3";

fn takes(config: &mut Config) {
    let trunks = vec!["sbc".to_owned()];
    config.recording.siprec_server = Some(SiprecServer { trunks, silent_max: SILENT_MAX, sessions_max: SESSIONS_MAX });
}

fn world() -> World {
    told(takes)
}

fn told(change: impl FnOnce(&mut Config)) -> World {
    World::told(vec![trunk("carrier", 2, &["0"], None), trunk("sbc", 3, &[], None)], change)
}

fn metadata() -> Metadata {
    let participant = |id: &str, aor: &str, name: Option<&str>, sends: &str| Participant {
        id: id.into(),
        aor: aor.into(),
        name: name.map(str::to_owned),
        sends: vec![sends.into()],
        ..Participant::default()
    };
    let streams = [("s1", "96"), ("s2", "97")];
    Metadata {
        partial: false,
        session: "c".into(),
        participants: vec![
            participant("p2", "sip:carl@pbx", Some("Carl"), "s2"),
            participant("p1", "sip:+4930111@pbx", None, "s1"),
        ],
        streams: streams.map(|(id, label)| Stream { id: id.into(), label: label.into() }).to_vec(),
    }
}

fn offer(labels: &[&str], caps: &MediaCaps, direction: Direction) -> String {
    let local =
        |port| sdp::Local { address: World::address(SBC).ip(), port, session_id: 5, version: 1, srtp: sdp::Srtp::OFF };
    let streams: Vec<_> = labels.iter().zip(0..).map(|(label, n)| (local(42_000 + 2 * n), *label)).collect();
    sdp::offer_streams(&streams, caps, direction)
}

fn two() -> String {
    offer(&["96", "97"], &MediaCaps::g711(), Direction::SendOnly)
}

fn with_metadata(offer: &str, document: &str) -> Body {
    body(&Body::sdp(offer), document, &mut Entropy::from_number(3))
}

impl World {
    fn send(&mut self, who: &str, body: Body) -> SessionId {
        let (now, at) = (self.now, World::address(who));
        let invite = Invite {
            flow: desk::flow_from(at),
            uri: "sip:srs@127.0.0.1".parse().expect("a uri"),
            from: format!("<sip:{who}@{at}>").parse().expect("a name"),
            to: "<sip:srs@127.0.0.1>".parse().expect("a name"),
            contact: format!("sip:{who}@{at}").parse().expect("a uri"),
            headers: vec![("Require".to_owned(), "siprec".to_owned())],
            body: Some(body),
            credentials: None,
        };
        let session = self.at(who).endpoint.invite(now, invite).expect("room");
        self.run(Span::from_ms(100));
        session
    }

    fn answer_of(&mut self, session: SessionId) -> String {
        let found = self.at(SBC).events.iter().find_map(|event| match event {
            Event::Answered { session: answered, body, response } if *answered == session => {
                let contact = response.headers.get("Contact").expect("a contact");
                assert!(contact.ends_with(";+sip.srs"), "{contact}");
                body.clone()
            }
            _ => None,
        });
        String::from_utf8(found.expect("an answer").bytes).expect("text")
    }

    fn change(&mut self, session: SessionId, body: Body) -> Result<String, u16> {
        self.at(SBC).events.clear();
        let now = self.now;
        self.at(SBC).endpoint.reoffer(now, session, Some(body));
        self.run(Span::from_ms(100));
        let events = core::mem::take(&mut self.at(SBC).events);
        let mut ends = events.into_iter().filter_map(|event| match event {
            Event::ReofferAnswered { body, .. } => {
                Some(Ok(String::from_utf8(body.expect("an answer").bytes).expect("text")))
            }
            Event::ReofferRefused { status, .. } => Some(Err(status)),
            _ => None,
        });
        ends.next().expect("an answer or a refusal")
    }

    fn figures(&self) -> SiprecFigures {
        self.exchange.siprec()
    }

    fn only(&self) -> CallId {
        self.exchange.calls(self.now)[0].id
    }

    fn taps(&self) -> Vec<(LegId, Side)> {
        self.plans[&self.only()].taps.iter().map(|tap| (tap.leg, tap.heard_as)).collect()
    }

    fn silent(&mut self, leg: LegId, on: bool) {
        let (call, now) = (self.only(), self.now);
        let silent_for = Span::from_s(15);
        let event = if on {
            MediaEvent::Silent { call, leg, silent_for }
        } else {
            MediaEvent::HeardAgain { call, leg, silent_for }
        };
        self.exchange.handle(now, Input::Media { worker: 0, event });
        self.run(Span::from_ms(10));
    }
}

#[test]
fn a_border_controllers_session_is_recorded_on_two_sides_with_who_takes_part() {
    let mut world = world();
    let session = world.send(SBC, with_metadata(&two(), &metadata().to_xml("2026-11-28T12:00:00Z")));
    let answer = world.answer_of(session);
    assert_eq!((answer.matches("a=recvonly").count(), answer.matches("a=label:9").count()), (2, 2), "{answer}");
    let view = world.exchange.calls(world.now)[0].clone();
    assert_eq!((view.state, &*view.caller, &*view.number), ("recording", "+4930111", "carl"));
    let legs: Vec<LegId> = world.plans[&view.id].legs.iter().map(|leg| leg.leg).collect();
    assert_eq!(world.taps(), [(legs[0], Side::Heard), (legs[1], Side::Sent)]);
    let directions = world.plans[&view.id].legs.iter().filter_map(|leg| leg.negotiated.as_ref());
    assert!(directions.clone().all(|agreed| agreed.direction == Direction::RecvOnly));
    assert_eq!(directions.count(), 2);
    assert!(world.plans[&view.id].edges.is_empty());
    assert_eq!(world.recorder.len(), 1);
    assert_eq!(world.opened, [CodecKind::Pcmu]);
    assert_eq!((world.figures().taken_now, world.figures().taken), (1, 1));

    world.hang_up(SBC, session);
    assert_eq!(world.recorder.last().map(|(what, _)| *what), Some("close"));
    let record = world.records.last().expect("a record");
    assert_eq!((record.end, &*record.number, record.trunk.as_deref()), (CallEnd::CallerHungUp, "carl", Some("sbc")));
    assert!(record.recording.is_some());
    let parts: Vec<TakenPart> = record.taken_parts.iter().map(|part| part.part).collect();
    assert_eq!(parts, [TakenPart::Right, TakenPart::Left]);
    assert_eq!((world.figures().taken_now, world.exchange.ports().0), (0, 0));
}

#[test]
fn a_session_without_metadata_or_with_one_stream_is_recorded_all_the_same() {
    let mut world = world();
    let one = offer(&["1"], &MediaCaps::g711(), Direction::SendOnly);
    let session = world.send(SBC, Body::sdp(one));
    assert!(world.answer_of(session).contains("a=recvonly"));
    assert_eq!(world.taps().len(), 1);
    assert_eq!(world.exchange.ports().0, 1, "the second leg's ports are not kept");
    let view = world.exchange.calls(world.now)[0].clone();
    assert_eq!((&*view.caller, &*view.number), (SBC, "srs"));
}

#[test]
fn of_three_streams_the_third_is_refused_and_counted() {
    let mut world = world();
    let three = offer(&["a", "b", "c"], &MediaCaps::g711(), Direction::SendOnly);
    let session = world.send(SBC, Body::sdp(three));
    assert!(world.answer_of(session).contains("m=audio 0 "));
    assert_eq!((world.taps().len(), world.figures().streams_refused), (2, 1));
}

#[test]
fn strangers_unlisted_trunks_and_an_exchange_that_takes_none_are_refused() {
    let mut world = world();
    let body = || with_metadata(&two(), &metadata().to_xml("x"));
    let listed_not = world.send("carrier2", body());
    assert_eq!(world.refused_with("carrier2", listed_not), Some(403));
    let stranger = world.send("carrier77", body());
    assert_eq!(world.refused_with("carrier77", stranger), Some(403));
    assert_eq!(world.figures().taken_refused, 2);
    let mut without = told(|_| {});
    let refused = without.send(SBC, body());
    assert_eq!(without.refused_with(SBC, refused), Some(420));
    assert_eq!(world.exchange.ports().0, 0);
}

#[test]
fn what_cannot_be_read_or_recorded_is_refused_with_its_status_and_costs_nothing() {
    let mut world = world();
    let plain = two();
    let people: Vec<_> =
        (0..=METADATA_PARTICIPANTS_MAX).map(|n| format!("<participant participant_id='{n}'/>")).collect();
    let many = format!("<recording>{}</recording>", people.concat());
    let opus =
        plain.replace("PCMU/8000", "iLBC/8000").replace("PCMA/8000", "speex/8000").replace("AVP 0 8", "AVP 98 99");
    let opus = opus.replace("rtpmap:0 ", "rtpmap:98 ").replace("rtpmap:8 ", "rtpmap:99 ");
    for (body, status) in [
        (with_metadata(&plain, "<recording"), 400),
        (with_metadata(&plain, "hello"), 400),
        (with_metadata(&plain, &many), 413),
        (with_metadata("v=1", &metadata().to_xml("x")), 400),
        (with_metadata(&opus, &metadata().to_xml("x")), 488),
        (Body { content_type: "application/rs-metadata+xml".into(), bytes: metadata().to_xml("x").into_bytes() }, 488),
        (Body { content_type: "multipart/mixed".into(), bytes: b"--b\r\n".to_vec() }, 400),
    ] {
        let session = world.send(SBC, body.clone());
        assert_eq!(world.refused_with(SBC, session), Some(status), "{}", String::from_utf8_lossy(&body.bytes));
    }
    assert_eq!((world.exchange.calls_active(), world.exchange.ports().0, world.recorder.len()), (0, 0, 0));
}

#[test]
fn a_session_over_the_limit_gets_503_and_one_that_ends_makes_room() {
    let mut world = told(|config| {
        takes(config);
        config.recording.siprec_server.as_mut().expect("a server").sessions_max = 1;
    });
    let first = world.send(SBC, Body::sdp(two()));
    let second = world.send(SBC, Body::sdp(two()));
    assert_eq!(world.refused_with(SBC, second), Some(503));
    world.hang_up(SBC, first);
    let third = world.send(SBC, Body::sdp(two()));
    world.answer_of(third);
}

#[test]
fn an_update_pauses_goes_on_and_tells_who_has_come() {
    let mut world = world();
    let session = world.send(SBC, with_metadata(&two(), &metadata().to_xml("x")));
    let paused = offer(&["96", "97"], &MediaCaps::g711(), Direction::Inactive);
    let answer = world.change(session, Body::sdp(paused)).expect("an answer");
    assert_eq!(answer.matches("a=inactive").count(), 2, "{answer}");
    let new =
        Participant { id: "p3".into(), aor: "tel:+1415".into(), sends: vec!["s2".into()], ..Participant::default() };
    let update = Metadata { partial: true, participants: vec![new], ..Metadata::default() };
    let answer = world.change(session, with_metadata(&two(), &update.to_xml("x"))).expect("an answer");
    assert_eq!(answer.matches("a=recvonly").count(), 2, "{answer}");
    // What cannot be read is refused, and the session stays as it was.
    assert_eq!(world.change(session, with_metadata(&two(), "<x")), Err(400));
    assert_eq!(world.figures().metadata_refused, 1);
    assert_eq!(world.taps().len(), 2);
    world.hang_up(SBC, session);
    assert_eq!(world.records.last().expect("a record").taken_parts.len(), 3);
}

#[test]
fn a_session_ends_when_all_its_streams_are_silent_for_too_long() {
    let mut world = world();
    let session = world.send(SBC, Body::sdp(two()));
    let legs: Vec<LegId> = world.taps().iter().map(|(leg, _)| *leg).collect();
    world.silent(legs[0], true);
    world.run(SILENT_MAX + SILENT_MAX);
    assert_eq!(world.exchange.calls_active(), 1, "one side may listen for long");
    world.silent(legs[1], true);
    world.run(Span::from_s(60));
    world.silent(legs[1], false);
    world.run(SILENT_MAX);
    assert_eq!(world.exchange.calls_active(), 1, "it was heard again");
    world.silent(legs[1], true);
    // A pause is no silence.
    let paused = offer(&["96", "97"], &MediaCaps::g711(), Direction::Inactive);
    world.change(session, Body::sdp(paused)).expect("an answer");
    world.run(SILENT_MAX);
    assert_eq!(world.exchange.calls_active(), 1, "it is paused");
    world.change(session, Body::sdp(two())).expect("an answer");
    world.silent(legs[0], true);
    world.silent(legs[1], true);
    world.run(SILENT_MAX);
    assert_eq!((world.exchange.calls_active(), world.figures().taken_silent), (0, 1));
    assert!(world.at(SBC).events.iter().any(|event| matches!(event, Event::Ended { .. })), "a BYE");
    assert_eq!(world.exchange.ports().0, 0);
}

#[test]
fn a_taken_session_is_paused_by_command_and_takes_no_part_in_queues() {
    let mut world = world();
    world.send(SBC, Body::sdp(two()));
    let call = world.only();
    let wish = offhook_call::recording::RecordingWish::Pause;
    world.command(Command::Record { call, by: None, wish });
    assert!(world.taps().is_empty());
    let wish = offhook_call::recording::RecordingWish::Record;
    world.command(Command::Record { call, by: None, wish });
    assert_eq!(world.taps().len(), 2);
    assert!(world.ringing("ann").is_none());
}
