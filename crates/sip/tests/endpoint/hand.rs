//! Requests and responses written by hand: what no endpoint of ours would send.

use offhook_sip::{
    Body, EndCause, Endpoint, EndpointConfig, Event, Flow, Invite, Message, Method, NameAddr, Request, Response,
    SessionId,
};
use offhook_units::Span;

use super::world::{A, B, World, address, answered, confirmed, ended, flow, invite_to, invited, raw, refused};

/// A world of one endpoint, and a peer at the second address whose messages are written here.
pub struct Hand {
    pub world: World,
    branch: u32,
}

impl Hand {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, &EndpointConfig::default())
    }

    pub fn with(seed: u64, config: &EndpointConfig) -> Self {
        Self { world: World::with(seed, config, 1), branch: 0 }
    }

    /// Sends a request and gives the responses that came back so far.
    pub fn send(&mut self, request: &Request) -> Vec<Response> {
        self.world.send(address(B), address(A), &request.to_bytes());
        self.responses()
    }

    pub fn responses(&mut self) -> Vec<Response> {
        self.messages()
            .into_iter()
            .filter_map(|message| if let Message::Response(r) = message { Some(r) } else { None })
            .collect()
    }

    pub fn requests(&mut self) -> Vec<Request> {
        self.messages()
            .into_iter()
            .filter_map(|message| if let Message::Request(r) = message { Some(r) } else { None })
            .collect()
    }

    fn messages(&mut self) -> Vec<Message> {
        self.world.run_for(Span::from_ms(25));
        core::mem::take(&mut self.world.strays).into_iter().map(|(_, message)| message).collect()
    }

    /// The only response.
    #[track_caller]
    pub fn status(&mut self, request: &Request) -> u16 {
        let responses = self.send(request);
        assert_eq!(responses.len(), 1, "{:?}", responses.iter().map(|r| r.status).collect::<Vec<_>>());
        responses[0].status
    }

    pub fn request(&mut self, method: &str, more: &str) -> Request {
        self.branch += 1;
        let number = self.branch;
        raw(&format!(
            "{method} sip:100@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKhand{number}\nMax-Forwards: 70\n\
             From: <sip:hand@192.0.2.2>;tag=hand\nTo: <sip:100@192.0.2.1>\nCall-ID: hand{number}\nCSeq: 1 {method}\n\
             Contact: <sip:hand@192.0.2.2>\n{more}Content-Length: 0\n\n"
        ))
    }

    /// An answered call from the hand: the session and a request template within its dialog.
    pub fn talking(&mut self, more: &str) -> (SessionId, Request) {
        let mut invite = self.request("INVITE", more);
        self.send(&invite);
        let session = self.world.expect(A, invited);
        self.world.answer(A, session);
        let ok = self.responses().pop().expect("200");
        invite.headers.set("To", ok.headers.get("To").expect("To"));
        let ack = self.within(&invite, "ACK", 1);
        self.send(&ack);
        assert_eq!(self.world.expect(A, confirmed), session);
        (session, invite)
    }

    /// A request within the dialog of `invite`.
    pub fn within(&mut self, invite: &Request, method: &str, cseq: u32) -> Request {
        self.branch += 1;
        let mut request = invite.clone();
        request.method = method.parse().unwrap();
        request.headers.set("Via", &format!("SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKhand{}", self.branch));
        request.headers.set_cseq(cseq, &request.method.clone());
        request
    }
}

#[test]
fn requests_that_cannot_be_taken_are_refused_as_the_rules_say() {
    let rows = [
        ("SUBSCRIBE", "", 405),
        ("FOO", "", 405),
        ("BYE", "", 481),
        ("UPDATE", "", 481),
        ("REFER", "Refer-To: <sip:bob@192.0.2.9>\n", 481),
        ("INFO", "", 481),
        ("INVITE", "Require: precondition, timer\n", 420),
        ("INVITE", "Require: timer, 100rel\n", 100),
        ("OPTIONS", "Require: x\n", 420),
        ("CANCEL", "", 481),
        ("INVITE", "Content-Type: text/plain\n", 100),
    ];
    for (method, more, status) in rows {
        let mut hand = Hand::new(31);
        let request = hand.request(method, more);
        assert_eq!(hand.status(&request), status, "{method} {more}");
        // Without state: the same request gets the same answer again, To tag included.
        if status > 100 {
            let (one, two) = (hand.send(&request), hand.send(&request));
            assert!(one == two && one[0].headers.to_tag().is_some());
            assert_eq!(hand.world.parties[A].endpoint.load().transactions, 0);
        }
    }
}

#[test]
fn a_refusal_names_what_is_allowed_and_what_is_not_supported() {
    let mut hand = Hand::new(32);
    let request = hand.request("PUBLISH", "");
    let allow = hand.send(&request)[0].headers.get("Allow").map(str::to_owned);
    assert_eq!(
        allow.as_deref(),
        Some("INVITE, ACK, CANCEL, BYE, INFO, UPDATE, REFER, NOTIFY, PRACK, REGISTER, OPTIONS, MESSAGE")
    );
    let request = hand.request("INVITE", "Require: 100rel,precondition,timer\n");
    assert_eq!(hand.send(&request)[0].headers.get("Unsupported"), Some("precondition"));
    let mut request = hand.request("INVITE", "");
    request.set_body("text/plain", b"hello".to_vec());
    let response = hand.send(&request).remove(0);
    assert_eq!((response.status, response.headers.get("Accept")), (415, Some(Body::ACCEPTED)));
    request.headers.set("Content-Encoding", "gzip");
    let response = hand.send(&request).remove(0);
    assert_eq!((response.status, response.headers.get("Accept-Encoding")), (415, Some("identity")));
}

#[test]
fn the_description_of_an_invite_its_ack_and_its_changes_may_be_a_part_of_the_body() {
    let mixed = |text: &str| {
        let isup =
            "--b\r\nContent-Type: application/isup\r\nContent-Disposition: signal;handling=optional\r\n\r\n\x01\r\n";
        format!("{isup}--b\r\nContent-Type: application/sdp\r\n\r\n{text}\r\n--b--\r\n").into_bytes()
    };
    let mut hand = Hand::new(44);
    let mut invite = hand.request("INVITE", "");
    invite.set_body("multipart/mixed;boundary=b", mixed("offer"));
    hand.send(&invite);
    let (session, offer) = hand.world.expect(A, |event| match event {
        Event::Invited { session, request, .. } => {
            Some((*session, request.description().map(|d| d.map(<[u8]>::to_vec))))
        }
        _ => None,
    });
    assert_eq!(offer, Ok(Some(b"offer".to_vec())));
    hand.world.answer(A, session);
    let ok = hand.responses().pop().expect("200");
    invite.headers.set("To", ok.headers.get("To").expect("To"));
    let mut read = Vec::new();
    for (method, cseq) in [("ACK", 1), ("UPDATE", 2), ("INVITE", 3)] {
        let mut inside = hand.within(&invite, method, cseq);
        inside.set_body("multipart/mixed; boundary=\"b\"", mixed(method));
        hand.send(&inside);
        read.push(hand.world.expect(A, |event| match event {
            Event::Confirmed { body, .. } | Event::Reoffered { body, .. } => Some(body.clone()),
            _ => None,
        }));
        hand.world.act(A, |endpoint, now| endpoint.answer_reoffer(now, session, Some(Body::sdp("answer"))));
    }
    assert_eq!(read, ["ACK", "UPDATE", "INVITE"].map(|text| Some(Body::sdp(text))));
}

#[test]
fn a_request_without_hops_left_is_refused_but_for_options() {
    let mut hand = Hand::new(33);
    let mut request = hand.request("INVITE", "");
    request.headers.set("Max-Forwards", "0");
    assert_eq!(hand.status(&request), 483);
    let mut request = hand.request("OPTIONS", "");
    request.headers.set("Max-Forwards", "0");
    assert!(hand.send(&request).is_empty());
    let id = hand.world.expect(A, |event| {
        if let Event::Request { id, request, .. } = event {
            Some((*id, Response::to_request(request, 200)))
        } else {
            None
        }
    });
    hand.world.act(A, |endpoint, now| endpoint.respond(now, id.0, id.1));
    let response = hand.responses().remove(0);
    assert!(response.status == 200 && response.headers.to_tag().is_some());
}

#[test]
fn a_request_that_a_proxy_forked_to_us_twice_is_merged() {
    let mut hand = Hand::new(34);
    let mut request = hand.request("INVITE", "");
    assert_eq!(hand.status(&request), 100);
    request.headers.set("Via", "SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKother");
    assert_eq!(hand.status(&request), 482);
    assert_eq!(hand.world.events(A).len(), 1);
}

#[test]
fn a_repeated_request_is_absorbed_and_its_response_repeated() {
    let mut hand = Hand::new(35);
    let invite = hand.request("INVITE", "");
    assert_eq!((hand.status(&invite), hand.status(&invite)), (100, 100));
    assert_eq!(hand.world.events(A).len(), 1);
    let (_, dialog) = hand.talking("");
    let bye = hand.within(&dialog, "BYE", 2);
    assert_eq!((hand.status(&bye), hand.status(&bye)), (200, 200), "the session is gone and the BYE still answered");
    let stray = hand.within(&dialog, "BYE", 3);
    assert_eq!(hand.status(&stray), 481);
}

#[test]
fn the_source_is_noted_in_the_via_and_the_response_goes_back_there() {
    for (via, wanted) in [
        (
            "SIP/2.0/UDP 10.0.0.7:5070;rport;branch=z9hG4bK1",
            "SIP/2.0/UDP 10.0.0.7:5070;rport=5060;branch=z9hG4bK1;received=192.0.2.2",
        ),
        ("SIP/2.0/UDP phone.example;branch=z9hG4bK1", "SIP/2.0/UDP phone.example;branch=z9hG4bK1;received=192.0.2.2"),
        ("SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK1", "SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK1"),
    ] {
        let mut hand = Hand::new(36);
        let mut request = hand.request("INVITE", "");
        request.headers.set("Via", via);
        let response = hand.send(&request).remove(0);
        assert_eq!(response.headers.get("Via"), Some(wanted));
        assert_eq!(hand.world.sent.last().map(|(_, _, to, _)| *to), Some(address(B)));
    }
}

#[test]
fn requests_without_the_magic_cookie_are_told_apart_all_the_same() {
    let mut hand = Hand::new(37);
    let mut invite = hand.request("INVITE", "");
    invite.headers.set("Via", "SIP/2.0/UDP 192.0.2.2");
    assert_eq!((hand.status(&invite), hand.status(&invite)), (100, 100));
    let session = hand.world.expect(A, invited);
    hand.world.act(A, |endpoint, now| endpoint.refuse(now, session, 486, Vec::new()));
    let busy = hand.responses().remove(0);
    let mut ack = invite.clone();
    ack.method = Method::Ack;
    ack.headers.set_cseq(1, &Method::Ack);
    ack.headers.set("To", busy.headers.get("To").unwrap());
    hand.send(&ack);
    hand.world.run_for(Span::from_s(10));
    assert_eq!(hand.world.sent_count(A, "SIP/2.0 486"), 1);
    hand.world.settle();
}

#[test]
fn order_within_a_dialog_is_kept() {
    let mut hand = Hand::new(38);
    let (session, dialog) = hand.talking("");
    let info = hand.within(&dialog, "INFO", 7);
    assert_eq!(hand.status(&info), 200);
    let late = hand.within(&dialog, "INFO", 6);
    assert_eq!(hand.status(&late), 500);
    let options = hand.within(&dialog, "OPTIONS", 8);
    assert_eq!(hand.status(&options), 200);
    let mut notify = hand.within(&dialog, "NOTIFY", 9);
    assert_eq!(hand.status(&notify), 489);
    notify.headers.push("Event", "refer");
    notify.headers.set("Via", "SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKanother");
    assert_eq!(hand.status(&notify), 481, "nothing was asked of this peer");
    let subscribe = hand.within(&dialog, "SUBSCRIBE", 9);
    assert_eq!(hand.status(&subscribe), 405);
    let mut other = hand.within(&dialog, "INFO", 10);
    other.headers.set("From", "<sip:hand@192.0.2.2>;tag=other");
    assert_eq!(hand.status(&other), 481);
    let mut other = hand.within(&dialog, "INFO", 10);
    other.headers.set("Call-ID", "other");
    assert_eq!(hand.status(&other), 481);
    assert!(matches!(hand.world.events(A)[..], [Event::Info { session: found, body: None }] if found == session));
}

#[test]
fn an_update_with_an_offer_is_answered_and_one_without_only_refreshes() {
    let mut hand = Hand::new(39);
    let (session, dialog) = hand.talking("");
    let mut refresh = hand.within(&dialog, "UPDATE", 2);
    refresh.headers.set("Contact", "<sip:hand@192.0.2.2:5062>");
    let response = hand.send(&refresh).remove(0);
    assert!(response.status == 200 && response.headers.get("Contact").is_some() && response.body.is_empty());
    let mut update = hand.within(&refresh, "UPDATE", 3);
    update.set_body(Body::SDP, b"v=0 hold".to_vec());
    assert!(hand.send(&update).is_empty());
    // Before it is answered another one is too early, RFC 3311 section 5.2.
    let mut second = hand.within(&dialog, "UPDATE", 4);
    second.set_body(Body::SDP, b"v=0".to_vec());
    let early = hand.send(&second).remove(0);
    assert!(early.status == 500 && early.headers.get("Retry-After").is_some());
    hand.world.act(A, |endpoint, now| endpoint.answer_reoffer(now, session, Some(Body::sdp("v=0 held"))));
    let response = hand.responses().remove(0);
    assert_eq!((response.status, &response.body[..]), (200, &b"v=0 held"[..]));
    hand.world.hang_up(A, session);
    let bye = hand.requests().remove(0);
    assert_eq!(bye.uri.to_string(), "sip:hand@192.0.2.2:5062", "the target was refreshed");
    assert_eq!(hand.world.sent.last().map(|(_, _, to, _)| to.port()), Some(5062));
}

#[test]
fn an_update_that_the_program_leaves_unanswered_blocks_nothing_for_ever() {
    let mut hand = Hand::new(40);
    let (session, dialog) = hand.talking("");
    let mut update = hand.within(&dialog, "UPDATE", 2);
    update.set_body(Body::SDP, b"v=0".to_vec());
    assert!(hand.send(&update).is_empty());
    hand.world.run_for(Span::from_s(33));
    hand.world.act(A, |endpoint, now| endpoint.answer_reoffer(now, session, None));
    let mut reinvite = hand.within(&dialog, "INVITE", 3);
    reinvite.set_body(Body::SDP, b"v=0".to_vec());
    assert_eq!(hand.status(&reinvite), 100);
}

#[test]
fn a_reinvite_can_be_cancelled_and_the_call_goes_on() {
    let mut hand = Hand::new(41);
    let (session, dialog) = hand.talking("");
    let mut reinvite = hand.within(&dialog, "INVITE", 2);
    reinvite.set_body(Body::SDP, b"v=0".to_vec());
    assert_eq!(hand.status(&reinvite), 100);
    let mut cancel = reinvite.clone();
    cancel.method = Method::Cancel;
    cancel.headers.set_cseq(2, &Method::Cancel);
    cancel.body.clear();
    let statuses: Vec<u16> = hand.send(&cancel).iter().map(|response| response.status).collect();
    assert_eq!(statuses, [200, 487]);
    hand.world.act(A, |endpoint, now| endpoint.answer_reoffer(now, session, None));
    assert!(hand.world.events(A).iter().all(|event| ended(event).is_none()));
    assert!(hand.world.parties[A].endpoint.snapshot(session).is_some());
}

#[test]
fn the_way_back_follows_the_record_route() {
    let route = "Record-Route: <sip:192.0.2.9;lr>\nRecord-Route: <sip:192.0.2.8:5070;lr>\n";
    let mut hand = Hand::new(42);
    let (session, _) = hand.talking(route);
    hand.world.hang_up(A, session);
    let bye = hand.requests().remove(0);
    assert_eq!(bye.headers.values("Route").collect::<Vec<_>>(), ["<sip:192.0.2.9;lr>", "<sip:192.0.2.8:5070;lr>"]);
    assert_eq!(bye.uri.to_string(), "sip:hand@192.0.2.2");
    assert_eq!(hand.world.sent.last().map(|(_, _, to, _)| to.to_string()).as_deref(), Some("192.0.2.9:5060"));
    // A strict router stands in the request line, RFC 3261 section 12.2.1.1.
    let mut hand = Hand::new(42);
    let (session, _) = hand.talking("Record-Route: <sip:192.0.2.9>, <sip:192.0.2.8;lr>\n");
    hand.world.hang_up(A, session);
    let bye = hand.requests().remove(0);
    assert_eq!(bye.uri.to_string(), "sip:192.0.2.9");
    assert_eq!(bye.headers.values("Route").collect::<Vec<_>>(), ["<sip:192.0.2.8;lr>", "<sip:hand@192.0.2.2>"]);
}

#[test]
fn a_peer_behind_a_translator_is_reached_over_its_flow() {
    for (via, contact, to) in [
        ("10.0.0.7:5060", "<sip:hand@10.0.0.7>", "192.0.2.2:5060"),
        ("192.0.2.2:5060", "<sip:hand@10.0.0.7>", "192.0.2.2:5060"),
        ("192.0.2.2:5060", "<sip:hand@phone.example>", "192.0.2.2:5060"),
        ("192.0.2.2:5060", "<sip:hand@0.0.0.0>", "192.0.2.2:5060"),
        ("192.0.2.2:5060", "<sip:hand@192.0.2.7:5080>", "192.0.2.7:5080"),
    ] {
        let mut hand = Hand::new(43);
        let mut invite = hand.request("INVITE", "");
        invite.headers.set("Via", &format!("SIP/2.0/UDP {via};branch=z9hG4bKnat"));
        invite.headers.set("Contact", contact);
        hand.send(&invite);
        let session = hand.world.expect(A, invited);
        hand.world.answer(A, session);
        let ok = hand.responses().pop().unwrap();
        invite.headers.set("To", ok.headers.get("To").unwrap());
        let ack = hand.within(&invite, "ACK", 1);
        hand.send(&ack);
        hand.world.hang_up(A, session);
        assert_eq!(hand.world.sent.last().map(|(_, _, to, _)| to.to_string()).as_deref(), Some(to), "{via} {contact}");
    }
}

/// The hand answers an INVITE of ours.
pub fn called(hand: &mut Hand) -> (SessionId, Request) {
    let invite = invite_to(flow(A, B), None);
    let session = hand.world.act(A, |endpoint: &mut Endpoint, now| endpoint.invite(now, invite)).unwrap();
    (session, hand.requests().remove(0))
}

#[test]
fn a_registered_phone_behind_a_translator_is_reached_over_the_flow_that_it_registered_from() {
    for (registered, contact, route, to) in [
        ("10.0.0.7", "10.0.0.7:5062", "", "192.0.2.2:5060"),
        ("192.0.2.7", "192.0.2.7:5062", "", "192.0.2.2:5060"),
        // Somebody else answers, a proxy stays in the path, or there is no translator.
        ("192.0.2.7", "192.0.2.8:5062", "", "192.0.2.8:5062"),
        ("192.0.2.7", "192.0.2.7:5062", "<sip:192.0.2.9;lr>", "192.0.2.9:5060"),
        ("192.0.2.2", "192.0.2.2:5062", "", "192.0.2.2:5062"),
    ] {
        let mut hand = Hand::new(44);
        let uri = format!("sip:100@{registered}:5062").parse().unwrap();
        let invite = Invite { uri, ..invite_to(flow(A, B), None) };
        let session = hand.world.act(A, |endpoint, now| endpoint.invite(now, invite)).unwrap();
        let invite = hand.requests().remove(0);
        let mut ok = response(&invite, 200, "t");
        ok.headers.set("Contact", &format!("<sip:100@{contact}>"));
        if !route.is_empty() {
            ok.headers.push("Record-Route", route);
        }
        hand.reply(&ok);
        hand.world.hang_up(A, session);
        assert_eq!(
            hand.world.sent.last().map(|(_, _, to, _)| to.to_string()).as_deref(),
            Some(to),
            "{contact} {route}"
        );
    }
}

#[test]
fn a_session_follows_the_contact_that_its_peer_registers_anew_and_no_other() {
    let (own, gruu) = ("sip:100@10.0.0.7:5062", "sip:100@desk;gr=urn:uuid:f81d4fae");
    for (gives, registers, to) in [
        (own, "sip:100@10.0.0.7:5062", "192.0.2.99:40123"),
        (own, "sip:100@10.0.0.7:5062;transport=udp", "192.0.2.99:40123"),
        (own, "sip:200@10.0.0.7:5062", "192.0.2.2:5060"),
        (own, "sip:100@10.0.0.7:5063", "192.0.2.2:5060"),
        // What pages do: they name themselves by the GRUU that they were given.
        (gruu, "sip:100@10.0.0.7:5062", "192.0.2.99:40123"),
        ("sip:100@desk;gr=urn:uuid:another", "sip:100@10.0.0.7:5062", "192.0.2.2:5060"),
    ] {
        let mut hand = Hand::new(45);
        let uri = own.parse().unwrap();
        let invite = Invite { uri, ..invite_to(flow(A, B), None) };
        let session = hand.world.act(A, |endpoint, now| endpoint.invite(now, invite)).unwrap();
        let invite = hand.requests().remove(0);
        let mut ok = response(&invite, 200, "t");
        ok.headers.set("Contact", &format!("<{gives}>"));
        hand.reply(&ok);
        let moved = Flow { peer: "192.0.2.99:40123".parse().unwrap(), ..flow(A, B) };
        let is_it = |name: &str| name == "urn:uuid:f81d4fae";
        hand.world.act(A, |endpoint, _| endpoint.follow_contact(session, &registers.parse().unwrap(), is_it, moved));
        hand.world.hang_up(A, session);
        let sent = hand.world.sent.last().map(|(_, _, to, _)| to.to_string());
        assert_eq!(sent.as_deref(), Some(to), "{gives} {registers}");
    }
}

pub fn response(request: &Request, status: u16, tag: &str) -> Response {
    let mut response = Response::to_request(request, status);
    let to: NameAddr = response.headers.to().unwrap().with_tag(tag);
    response.headers.set_to(&to);
    response.headers.push("Contact", "<sip:100@192.0.2.2>");
    response
}

impl Hand {
    pub fn reply(&mut self, response: &Response) -> Vec<Request> {
        self.world.send(address(B), address(A), &response.to_bytes());
        self.requests()
    }
}

#[test]
fn a_second_branch_of_a_fork_is_acknowledged_and_ended() {
    let mut hand = Hand::new(44);
    let (session, invite) = called(&mut hand);
    let first = hand.reply(&response(&invite, 200, "one"));
    assert_eq!(first.iter().map(|r| r.method.as_str()).collect::<Vec<_>>(), ["ACK"]);
    assert_eq!(hand.world.expect(A, answered), session);
    let second = hand.reply(&response(&invite, 200, "two"));
    assert_eq!(second.iter().map(|r| r.method.as_str()).collect::<Vec<_>>(), ["ACK", "BYE"]);
    assert_eq!(second[1].headers.to_tag(), Some("two"));
    let again = hand.reply(&response(&invite, 200, "two"));
    assert_eq!(again[0].headers.to_tag(), Some("two"));
    assert_eq!(again[0].method, Method::Ack);
    let first = hand.reply(&response(&invite, 200, "one"));
    assert!(first.iter().any(|r| r.method == Method::Ack && r.headers.to_tag() == Some("one")));
    assert!(hand.world.events(A).is_empty());
    // More forks than anybody needs cost nothing.
    for fork in 0..100 {
        hand.reply(&response(&invite, 200, &format!("fork{fork}")));
    }
    assert!(hand.world.sent_count(A, "ACK") < 120);
}

#[test]
fn a_failure_is_acknowledged_by_the_transaction_each_time() {
    let mut hand = Hand::new(45);
    let (session, invite) = called(&mut hand);
    for _ in 0..3 {
        let ack = hand.reply(&response(&invite, 603, "x")).remove(0);
        assert_eq!((ack.method, ack.headers.top_branch()), (Method::Ack, invite.headers.top_branch()));
        assert_eq!(ack.headers.to_tag(), Some("x"));
    }
    assert_eq!(hand.world.expect(A, refused), (session, 603));
    assert!(hand.world.events(A).is_empty());
    hand.world.settle();
}

#[test]
fn responses_and_acks_that_belong_to_nothing_are_dropped() {
    let mut hand = Hand::new(46);
    let (_, invite) = called(&mut hand);
    let mut stray = response(&invite, 200, "x");
    stray.headers.set("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK00000000000000000000");
    assert!(hand.reply(&stray).is_empty());
    let mut wrong = response(&invite, 200, "x");
    wrong.headers.set("CSeq", "1 BYE");
    assert!(hand.reply(&wrong).is_empty());
    let ack = hand.request("ACK", "");
    assert!(hand.send(&ack).is_empty());
    assert!(hand.world.events(A).is_empty());
    assert_eq!(hand.world.parties[A].endpoint.load().strays_total, 3);
}

#[test]
fn a_dialog_that_the_peer_knows_no_more_ends() {
    let mut hand = Hand::new(47);
    let (session, dialog) = hand.talking("");
    hand.world.act(A, |endpoint, now| endpoint.reoffer(now, session, Some(Body::sdp("v=0"))));
    let reinvite = hand.requests().remove(0);
    assert_eq!(reinvite.headers.from_tag(), dialog.headers.to_tag());
    hand.reply(&response(&reinvite, 481, "hand"));
    assert_eq!(hand.world.expect(A, ended), (session, EndCause::PeerGone));
}

#[test]
fn what_is_no_message_is_answered_400_where_it_can_be() {
    let mut hand = Hand::new(48);
    let text = "OPTIONS sip:100@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKbad\r\nFrom: <sip:a@b>;tag=1\r\n\
                To: <sip:c@d>\r\nCall-ID: bad\r\nCSeq: 1 OPTIONS\r\nContent-Length: banana\r\n\r\n";
    hand.world.send(address(B), address(A), text.as_bytes());
    assert_eq!(hand.responses().iter().map(|response| response.status).collect::<Vec<_>>(), [400]);
    hand.world.send(address(B), address(A), b"\r\n\r\n");
    hand.world.send(address(B), address(A), &[0xff; 2_000]);
    assert!(hand.responses().is_empty());
}
