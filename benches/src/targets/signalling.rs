//! What reads SIP and SDP.

use std::net::SocketAddr;

use offhook_net::stun;
use offhook_plan::{Direction, Dtls, Fingerprint, HashKind, MediaCaps, Setup};
use offhook_sip::siprec::{METADATA_PARTICIPANTS_MAX, METADATA_STREAMS_MAX, Metadata};
use offhook_sip::{
    Challenge, Credentials, DigestConfig, DigestVerifier, Endpoint, EndpointConfig, Event, Flow, Frame, Framer,
    Headers, Message, Method, NameAddr, Output, Request, Response, Transport, Uri, Via, answer_challenge,
    digest_username, frame_len, sdp,
};
use offhook_units::{Entropy, Span, Tick};

/// A datagram: what is accepted prints to the same message again; what is refused can be answered.
pub fn message(data: &[u8]) {
    // Whether a stream could be cut here says nothing about the datagram.
    let _length = frame_len(data);
    match Message::parse(data) {
        Ok(message) => {
            read_all(message.headers());
            let printed = print(&message);
            let again = Message::parse(&printed).unwrap_or_else(|error| panic!("{error}: {}", text_of(&printed)));
            assert_eq!(text_of(&printed), text_of(&print(&again)));
            assert_eq!(frame_len(&printed), Ok(Some(printed.len())), "what is printed is framed as a whole");
        }
        Err(error) => {
            if let Some(request) = error.salvaged {
                read_all(&request.headers);
                answerable(&request, error.fault.status());
            }
        }
    }
}

/// A byte stream: the messages that it holds do not depend on how it is cut into pieces. The first byte says how.
pub fn stream(data: &[u8]) {
    let [piece, data @ ..] = data else { return };
    let whole = frames(data, data.len().max(1));
    let pieces = frames(data, usize::from(*piece).max(1));
    assert_eq!(whole, pieces);
}

/// The messages of a stream that is pushed in pieces, up to where it can be cut no further.
fn frames(data: &[u8], piece: usize) -> Vec<String> {
    let (mut framer, mut out) = (Framer::new(), Vec::new());
    for piece in data.chunks(piece) {
        framer.push(piece);
        loop {
            match framer.next_frame() {
                Ok(None) => break,
                Ok(Some(Frame::Ping)) => {}
                Ok(Some(Frame::Message(message))) => out.push(text_of(&print(&message))),
                Ok(Some(Frame::Malformed(error))) => out.push(error.to_string()),
                Err(_) => {
                    out.push("cannot be cut".to_owned());
                    return out;
                }
            }
        }
    }
    out
}

/// A user agent that is sent one message after the other: what it sends is SIP, and its memory is bounded by what it was sent.
pub fn endpoint(data: &[u8]) {
    let mut endpoint = Endpoint::new(EndpointConfig::default(), Entropy::from_number(1));
    let flow = Flow { transport: Transport::Udp, local: address(1), peer: address(9) };
    let (mut framer, mut now) = (Framer::new(), Tick::from_us(1_000_000));
    framer.push(data);
    while let Ok(Some(frame)) = framer.next_frame() {
        match frame {
            Frame::Ping => now += Span::from_s(1),
            Frame::Message(message) => endpoint.receive(now, flow, *message),
            Frame::Malformed(error) => endpoint.receive_malformed(now, flow, *error),
        }
        endpoint.timeout(now);
        drain(&mut endpoint, now);
    }
    // 64 T1 and more, from one timer to the next: every transaction ends.
    let (end, mut turns) = (now + Span::from_s(80), 0);
    while let Some(due) = drain(&mut endpoint, now).filter(|due| *due <= end) {
        now = now.max(due);
        endpoint.timeout(now);
        turns += 1;
        assert!(turns < 100_000, "it wants to be woken again and again");
    }
    assert_eq!(endpoint.load().transactions, 0, "transactions are left over");
}

/// Does what a program does that takes every call and answers every request; says when the endpoint wants to be woken.
fn drain(endpoint: &mut Endpoint, now: Tick) -> Option<Tick> {
    loop {
        match endpoint.poll_output() {
            Output::Wait { until } => return until,
            Output::Transmit { bytes, .. } => {
                assert_eq!(frame_len(&bytes), Ok(Some(bytes.len())), "{}", text_of(&bytes));
                // A response repeats what its request said, however that is written.
                let is_response = bytes.starts_with(b"SIP/2.0 ");
                assert!(is_response || Message::parse(&bytes).is_ok(), "{}", text_of(&bytes));
            }
            Output::Event(Event::Request { id, request, .. } | Event::Message { id, request, .. }) => {
                endpoint.respond(now, id, Response::to_request(&request, 200));
            }
            Output::Event(Event::Invited { session, flow, .. }) => {
                endpoint.answer(now, session, flow.contact(None, None), None);
            }
            Output::Event(Event::Reoffered { session, .. }) => endpoint.answer_reoffer(now, session, None),
            Output::Event(Event::Confirmed { session, .. }) => endpoint.hang_up(now, session, None),
            Output::Event(_) => {}
        }
    }
}

/// A URI of any scheme that is understood.
pub fn uri(data: &[u8]) {
    let Some(uri) = line(data).and_then(|text| text.parse::<Uri>().ok()) else { return };
    let printed = uri.to_string();
    let again: Uri = printed.parse().unwrap_or_else(|error| panic!("{error}: {printed}"));
    assert_eq!(printed, again.to_string());
    assert!(uri.equivalent(&again), "{printed}");
    let _ = (uri.user_decoded(), uri.host_ip(), uri.param("transport"));
}

/// The value of From, To, Contact, Route.
pub fn name_addr(data: &[u8]) {
    let Some(party) = line(data).and_then(|text| text.parse::<NameAddr>().ok()) else { return };
    let printed = party.to_string();
    let again: NameAddr = printed.parse().unwrap_or_else(|error| panic!("{error}: {printed}"));
    assert_eq!(printed, again.to_string());
    assert_eq!(party.display, again.display);
    assert_eq!(party.tag(), again.tag());
}

/// One value of Via.
pub fn via(data: &[u8]) {
    let Some(via) = line(data).and_then(|text| text.parse::<Via>().ok()) else { return };
    let printed = via.to_string();
    let mut again: Via = printed.parse().unwrap_or_else(|error| panic!("{error}: {printed}"));
    assert_eq!(printed, again.to_string());
    again.set_received(address(9).ip());
    again.set_rport(5_060);
    let noted = again.to_string();
    let noted: Via = noted.parse().unwrap_or_else(|error| panic!("{error}: {noted}"));
    assert_eq!((noted.received(), noted.rport()), (Some(address(9).ip()), Some(5_060)));
}

/// Challenges and their answers.
pub fn digest(data: &[u8]) {
    let Some(text) = line(data) else { return };
    let mut verifier = DigestVerifier::new("offhook", &mut Entropy::from_number(2), DigestConfig::default());
    let now = Tick::from_us(1_000_000);
    let known = |user: &str| (user == "alice").then_some("secret");
    // Nobody knows the nonce of this verifier, so that the answer is never right; it is read all the same.
    let request = Request::new(Method::Register, "sip:offhook.example".parse().expect("a URI"));
    let _verdict = verifier.verify(now, address(9).ip(), &request, text, known);
    let username = digest_username(text).unwrap_or_default();
    let Ok(challenge) = Challenge::parse(text) else { return };
    let again = Challenge::parse(&challenge.to_string()).expect("a printed challenge can be read");
    assert_eq!(again, challenge);
    let credentials = Credentials { username, password: "secret".to_owned() };
    let answer = answer_challenge(&challenge, &credentials, "REGISTER", "sip:offhook.example", "cnonce", 1);
    assert!(!answer.contains(['\r', '\n']), "an answer to a challenge of one line is one line");
}

/// An offer: the answer to it is one that its maker could accept, and so is that of a leg whose keys come by DTLS.
pub fn sdp_offer(data: &[u8]) {
    let caps = MediaCaps::g711();
    let ours = Dtls {
        fingerprints: vec![Fingerprint { hash: HashKind::Sha256, bytes: vec![7; 32] }],
        setup: Setup::Passive,
        ice: None,
    };
    let answers = [
        sdp::answer(data, &local(), &caps, Direction::SendRecv),
        sdp::answer_by_dtls(data, &local(), &ours, &caps, Direction::SendRecv),
    ];
    let Some(offer) = text(data) else { return };
    for (answer, agreed) in answers.into_iter().flatten() {
        match sdp::accept(offer, answer.as_bytes(), &caps) {
            Ok(accepted) => {
                assert_eq!((accepted.codec, accepted.dtls.is_some()), (agreed.codec, agreed.dtls.is_some()));
            }
            Err(error) => panic!("{error}: {answer}"),
        }
    }
}

/// An answer to an offer of ours.
pub fn sdp_answer(data: &[u8]) {
    let caps = MediaCaps::g711();
    let offer = sdp::offer(&local(), &caps, Direction::SendRecv);
    if let Ok(agreed) = sdp::accept(&offer, data, &caps) {
        assert!(caps.codecs.iter().any(|cap| cap.kind == agreed.codec), "{:?} was never offered", agreed.codec);
    }
}

/// A body behind the line that says its type: what is found in it is a piece of it, and is found again by itself.
pub fn body(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let Some(kind) = line(data[..at].trim_ascii()) else { return };
    let mut request = Request::new(Method::Invite, "sip:offhook.example".parse().expect("a URI"));
    request.set_body(kind, data.get(at + 1..).unwrap_or_default().to_vec());
    let Ok(Some(found)) = request.description() else { return };
    assert!(request.body.as_ptr_range().contains(&found.as_ptr()) || found.is_empty(), "a piece of the body");
    let mut alone = Request::new(Method::Invite, request.uri.clone());
    alone.set_body("application/sdp", found.to_vec());
    assert_eq!(alone.description().expect("a description alone").unwrap_or_default(), found);
}

/// Metadata of a recording session: what is read is bounded, and what is written of it reads back as the same; an update of it leaves
/// it bounded too.
pub fn metadata(data: &[u8]) {
    let Ok(read) = Metadata::parse(data) else { return };
    let is_bounded = |metadata: &Metadata| {
        metadata.participants.len() <= METADATA_PARTICIPANTS_MAX && metadata.streams.len() <= METADATA_STREAMS_MAX
    };
    assert!(is_bounded(&read), "more than is looked at");
    let mut kept = read.clone();
    let again = Metadata { partial: true, ..read.clone() };
    assert!(kept.update(again).is_ok() && is_bounded(&kept), "what is known comes again");
    // Text at its limit grows when it is written, and what XML cannot hold is left out.
    let written = read.to_xml("2026-11-28T12:00:00Z");
    let Ok(back) = Metadata::parse(written.as_bytes()) else { return };
    assert_eq!(Metadata::parse(back.to_xml("2026-11-28T12:00:00Z").as_bytes()).as_ref(), Ok(&back));
}

/// A datagram on the SIP port that may be STUN: no SIP message is taken for one, and what is answered is STUN.
pub fn stun(data: &[u8]) {
    match stun::read(data, address(9)) {
        Some(stun::Stun::Request(answer)) => assert!(stun::read(&answer, address(1)).is_some(), "our answer is STUN"),
        Some(stun::Stun::Mapped(..) | stun::Stun::Other) => assert!(Message::parse(data).is_err(), "both STUN and SIP"),
        None => {}
    }
}

fn local() -> sdp::Local {
    sdp::Local { address: address(1).ip(), port: 20_000, session_id: 1, version: 1, srtp: sdp::Srtp::OFF }
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 5_060))
}

fn text(data: &[u8]) -> Option<&str> {
    core::str::from_utf8(data).ok()
}

/// The value of a header: text of one line, as the head's reader hands it on.
fn line(data: &[u8]) -> Option<&str> {
    text(data).filter(|text| !text.contains(['\r', '\n']))
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn print(message: &Message) -> Vec<u8> {
    let mut printed = Vec::new();
    message.write(&mut printed);
    printed
}

/// Reads all that can be read of the headers.
fn read_all(headers: &Headers) {
    let _ = (headers.top_via(), headers.vias(), headers.from(), headers.to(), headers.cseq(), headers.contacts());
    let _ = (headers.routes(), headers.record_routes(), headers.asserted_identities(), headers.max_forwards());
    let _ = (headers.expires(), headers.retry_after(), headers.min_expires(), headers.has_content_type("a/b"));
    for (name, _) in headers.iter() {
        assert!(headers.get(name).is_some(), "{name} is there");
        let _count = headers.values(name).count();
    }
}

/// An answer never carries a line that its request did not.
fn answerable(request: &Request, status: u16) {
    let mut response = Response::to_request(request, status);
    if let Ok(mut via) = response.headers.top_via() {
        via.set_rport(1);
        response.headers.set_top_via(&via);
    }
    let lines = response.headers.len() + 2 + usize::from(response.headers.get("l").is_none());
    assert_eq!(response.to_bytes().split(|byte| *byte == b'\n').count() - 1, lines);
}
