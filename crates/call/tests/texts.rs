//! Texts between phones of ours: MESSAGE, RFC 3428.

mod desk;

use std::net::SocketAddr;

use desk::{SERVER, World, credentials, trunk};
use offhook_call::config::Reach;
use offhook_call::{Command, Input, TEXT_BYTES_MAX, TEXT_STREAM_BYTES_MAX};
use offhook_sip::{
    Body, Challenge, Event, Flow, Message, Method, Register, Response, SessionId, Transport, answer_challenge,
};
use offhook_units::Span;

/// Where somebody writes from whose messages are made here.
fn desk_of(host: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, host], 7_009))
}

struct Writer {
    at: SocketAddr,
    transport: Transport,
    sent: u32,
}

impl Writer {
    const fn new(at: SocketAddr) -> Self {
        Self { at, transport: Transport::Udp, sent: 0 }
    }

    fn send(&mut self, world: &mut World, whom: &str, kind: &str, text: &str, authorization: &str) {
        self.sent += 1;
        let (at, sent, name, call_id) = (self.at, self.sent, self.transport.name(), self.call_id());
        let text = format!(
            "MESSAGE sip:{whom}@offhook SIP/2.0\r\nVia: SIP/2.0/{name} {at};branch=z9hG4bKtext{sent}\r\nMax-Forwards: 70\r\n\
             From: <sip:ann@offhook>;tag=w\r\nTo: <sip:{whom}@offhook>\r\nCall-ID: {call_id}\r\nCSeq: 1 MESSAGE\r\n\
             Content-Type: {kind}\r\nSubject: lunch\r\n{authorization}Content-Length: {}\r\n\r\n{text}",
            text.len()
        );
        let flow = Flow { transport: self.transport, local: SERVER.into(), peer: at };
        let message = Message::parse(text.as_bytes()).expect("a message");
        world.exchange.handle(world.now, Input::Message { flow, message: Box::new(message) });
        world.run(Span::from_ms(10));
    }

    fn call_id(&self) -> String {
        format!("text{}@{}", self.sent, self.at)
    }

    /// The answer to what was sent last, where there is one.
    fn heard(&self, world: &World) -> Option<Response> {
        let call_id = self.call_id();
        world.heard.iter().rev().filter(|(to, _)| *to == self.at).find_map(|(_, bytes)| match Message::parse(bytes) {
            Ok(Message::Response(response)) => Some(response).filter(|r| r.headers.call_id() == Some(&*call_id)),
            Ok(Message::Request(_)) | Err(_) => None,
        })
    }

    /// Writes with ann's password.
    fn write(&mut self, world: &mut World, whom: &str, kind: &str, text: &str) -> Option<Response> {
        self.send(world, whom, kind, text, "");
        let challenge = self.heard(world).expect("a challenge");
        assert_eq!(challenge.status, 401, "nobody writes without a password");
        let challenge = Challenge::parse(challenge.headers.get("WWW-Authenticate").expect("one")).expect("one");
        let uri = format!("sip:{whom}@offhook");
        let answer = answer_challenge(&challenge, &credentials("ann"), "MESSAGE", &uri, "cnonce", 1);
        self.send(world, whom, kind, text, &format!("Authorization: {answer}\r\n"));
        self.heard(world)
    }
}

/// `who` answers the text that came; gives what it said.
fn take(world: &mut World, who: &str, status: u16) -> Option<(String, String, String)> {
    let (id, request) = world.requests(who).into_iter().rfind(|(_, request)| request.method == Method::Message)?;
    world.respond(who, id, Response::to_request(&request, status));
    let text = String::from_utf8_lossy(&request.body).into_owned();
    let from = request.headers.from().expect("a From");
    Some((from.uri.user.unwrap_or_default(), request.headers.get("Subject").unwrap_or_default().to_owned(), text))
}

#[test]
fn a_text_goes_to_the_colleagues_phone_and_its_answer_comes_back() {
    let mut world = World::new(Vec::new());
    let mut ann = Writer::new(desk_of(9));
    for status in [200, 202] {
        assert!(
            ann.write(&mut world, "bob", "text/plain;charset=utf-8", "over lunch?").is_none(),
            "bob was not asked yet"
        );
        let (from, subject, text) = take(&mut world, "bob", status).expect("a text");
        assert_eq!((&*from, &*subject, &*text), ("ann", "lunch", "over lunch?"));
        assert_eq!(ann.heard(&world).map(|answer| answer.status), Some(status));
    }
    let counters = world.exchange.counters();
    assert_eq!((counters.messages, counters.messages_failed, counters.messages_refused), (2, 0, 0));
}

#[test]
fn texts_to_nobody_too_long_or_of_another_kind_are_refused_as_the_rules_say() {
    let mut world = World::new(vec![trunk("carrier", 2, &["0"], None)]);
    let mut ann = Writer::new(desk_of(9));
    let (most, longer) = ("x".repeat(TEXT_BYTES_MAX), "x".repeat(TEXT_BYTES_MAX + 1));
    for (whom, kind, text, status, header) in [
        ("nobody", "text/plain", "hi", 404, ""),
        ("700", "text/plain", "hi", 404, ""),
        ("bob", "application/sdp", "v=0", 415, "Accept"),
        ("bob", "multipart/mixed;boundary=b", "--b\r\n\r\nhi\r\n--b--", 415, "Accept"),
        ("bob", "text/plain", &longer, 413, ""),
    ] {
        let answer = ann.write(&mut world, whom, kind, text).expect("an answer");
        assert_eq!(answer.status, status, "{whom} {kind}");
        assert!(header.is_empty() || answer.headers.get(header).is_some(), "{header}");
    }
    assert_eq!(world.exchange.counters().messages_refused, 5);
    for (kind, text) in [("text/plain", &*most), ("message/cpim", "hi"), ("application/im-iscomposing+xml", "<x/>")] {
        assert!(ann.write(&mut world, "bob", kind, text).is_none());
        assert_eq!(take(&mut world, "bob", 200).expect("a text").2, text);
    }
    // Bob is there by datagrams, so a connection of the writer's alone does not help.
    ann.transport = Transport::Tcp;
    assert_eq!(ann.write(&mut world, "bob", "text/plain", &longer).map(|answer| answer.status), Some(413));
    let mut carrier = Writer::new(SocketAddr::from(([127, 0, 0, 2], 7_010)));
    carrier.send(&mut world, "700", "text/plain", "win a prize", "");
    assert_eq!(carrier.heard(&world).map(|answer| answer.status), Some(403));
}

#[test]
fn over_connections_alone_a_text_may_have_16_384_bytes() {
    let place = SocketAddr::from(([127, 0, 0, 8], 7_777));
    let mut world = World::told(Vec::new(), |config| {
        let flow = Flow { transport: Transport::Tcp, local: SERVER.into(), peer: place };
        config.agents[2].reach = Reach::Static { uri: format!("sip:carl@{place};transport=tcp"), flow };
    });
    let mut ann = Writer::new(desk_of(9));
    let most = "x".repeat(TEXT_STREAM_BYTES_MAX);
    assert_eq!(ann.write(&mut world, "carl", "text/plain", &most).map(|answer| answer.status), Some(413), "over UDP");
    ann.transport = Transport::Tcp;
    let longer = format!("{most}x");
    assert_eq!(ann.write(&mut world, "carl", "text/plain", &longer).map(|answer| answer.status), Some(413));
    assert!(ann.write(&mut world, "carl", "text/plain", &most).is_none());
    let heard = world.heard.iter().filter(|(to, _)| *to == place).map(|(_, bytes)| Message::parse(bytes));
    let bodies: Vec<usize> = heard.map(|message| message.expect("a message").body().len()).collect();
    assert_eq!(bodies, [TEXT_STREAM_BYTES_MAX]);
}

#[test]
fn a_phones_refusal_comes_back_silence_does_not_and_a_leaving_exchange_says_503() {
    let mut world = World::new(Vec::new());
    let mut ann = Writer::new(desk_of(9));
    for (status, told) in [(486, 486), (603, 603), (401, 480), (302, 480)] {
        ann.write(&mut world, "bob", "text/plain", "hi");
        take(&mut world, "bob", status).expect("a text");
        assert_eq!(ann.heard(&world).map(|answer| answer.status), Some(told), "{status}");
    }
    ann.write(&mut world, "bob", "text/plain", "hi");
    world.run(Span::from_s(40));
    assert!(ann.heard(&world).is_none(), "RFC 4320 section 4.2: nobody is told late");
    assert_eq!(world.exchange.counters().messages_failed, 5);
    world.requests("bob");
    let now = world.now;
    world.exchange.handle(now, Input::Command(Command::Drain { grace: Span::from_s(30) }));
    let answer = ann.write(&mut world, "bob", "text/plain", "hi").expect("an answer");
    assert_eq!((answer.status, answer.headers.get("Retry-After")), (503, Some("5")));
}

#[test]
fn all_phones_of_a_colleague_get_a_text_and_the_first_that_takes_it_answers() {
    let mut world = World::new(Vec::new());
    let (now, at) = (world.now, World::address("desk4"));
    let register = Register {
        flow: desk::flow_from(at),
        registrar: "sip:offhook".parse().expect("a uri"),
        aor: "<sip:bob@offhook>".parse().expect("a name"),
        contact: format!("sip:bob@{at}").parse().expect("a uri"),
        expires: Span::from_s(3_600),
        credentials: Some(credentials("bob")),
    };
    world.at("desk4").endpoint.register(now, register);
    world.run(Span::from_s(1));
    let mut ann = Writer::new(desk_of(9));
    for (first, second, told) in [(486, 200, 200), (486, 603, 486), (480, 603, 603), (200, 486, 200)] {
        assert!(ann.write(&mut world, "bob", "text/plain", "hi").is_none());
        take(&mut world, "bob", first).expect("a text at the desk");
        assert_eq!(ann.heard(&world).map(|answer| answer.status), Some(200).filter(|_| first == 200));
        take(&mut world, "desk4", second).expect("a text at the other desk");
        assert_eq!(ann.heard(&world).map(|answer| answer.status), Some(told), "{first} {second}");
    }
    let counters = world.exchange.counters();
    assert_eq!((counters.messages, counters.messages_failed), (2, 2));
}

/// `who` writes within a call; gives what its endpoint was told.
fn write_within(world: &mut World, who: &str, session: SessionId, text: &str) -> Option<u16> {
    let now = world.now;
    let body = Body { content_type: "text/plain".to_owned(), bytes: text.as_bytes().to_vec() };
    let wanted = world.at(who).endpoint.message_within(now, session, &[], body).expect("room").expect("a call");
    world.run(Span::from_ms(50));
    told(world, who, wanted)
}

fn told(world: &mut World, who: &str, wanted: offhook_sip::MessageId) -> Option<u16> {
    world.at(who).events.iter().find_map(|event| match event {
        Event::Messaged { id, status } if *id == wanted => *status,
        _ => None,
    })
}

/// The text that came to `who` within a call is answered.
fn take_within(world: &mut World, who: &str, status: u16) -> Option<String> {
    let found = world.at(who).events.iter().rev().find_map(|event| match event {
        Event::Message { id, request, .. } => Some((*id, (**request).clone())),
        _ => None,
    });
    let (id, request) = found?;
    world.respond(who, id, Response::to_request(&request, status));
    Some(String::from_utf8_lossy(&request.body).into_owned())
}

#[test]
fn within_a_call_phones_of_ours_write_to_each_other_and_nobody_to_a_carrier() {
    let mut world = World::new(vec![trunk("carrier", 2, &["0"], None)]);
    let call = world.dial("ann", "bob", Some(credentials("ann")));
    let (rings, ..) = world.ringing("bob").expect("bob's phone rings");
    world.answer("bob", rings);
    let now = world.now;
    let body = Body { content_type: "text/plain".to_owned(), bytes: b"psst".to_vec() };
    let sent = world.at("ann").endpoint.message_within(now, call, &[], body).expect("room").expect("a call");
    world.run(Span::from_ms(50));
    assert_eq!(take_within(&mut world, "bob", 200).as_deref(), Some("psst"));
    assert_eq!(told(&mut world, "ann", sent), Some(200));
    world.hang_up("ann", call);

    let outside = world.dial("ann", "0301234", Some(credentials("ann")));
    let (rings, ..) = world.ringing("carrier2").expect("the carrier is called");
    world.answer("carrier2", rings);
    assert_eq!(write_within(&mut world, "ann", outside, "hello?"), Some(403));
    // The far end of a call may write to the phone that it talks to.
    assert_eq!(write_within(&mut world, "carrier2", rings, "hello!"), None);
    assert_eq!(take_within(&mut world, "ann", 200).as_deref(), Some("hello!"));
    world.hang_up("ann", outside);
    world.run(Span::from_s(40));
    assert_eq!(world.exchange.calls_active(), 0);
}
