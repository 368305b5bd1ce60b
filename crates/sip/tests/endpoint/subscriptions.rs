//! SUBSCRIBE of a peer written by hand, and the endpoint's NOTIFYs (RFC 6665).

use offhook_sip::{Body, EndpointConfig, Event, Message, Method, Request, Response, Subscribed, SubscriptionId, Uri};
use offhook_units::Span;

use super::world::{A, B, World, address, raw};

/// One endpoint that takes every SUBSCRIBE, and a peer whose messages are written here.
struct Peer {
    world: World,
    branch: u32,
}

impl Peer {
    fn new(seed: u64) -> Self {
        let config = EndpointConfig {
            methods: vec![Method::Subscribe],
            subscriptions_max: 2,
            retry_after: Span::from_s(7),
            ..EndpointConfig::default()
        };
        Self { world: World::with(seed, &config, 1), branch: 0 }
    }

    /// A SUBSCRIBE; `to` has a tag within a dialog.
    fn request(&mut self, call_id: &str, to: &str, more: &str) -> Request {
        self.branch += 1;
        let number = self.branch;
        raw(&format!(
            "SUBSCRIBE sip:100@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKs{number}\nMax-Forwards: 70\n\
             From: <sip:peer@192.0.2.2>;tag=peer\nTo: {to}\nCall-ID: {call_id}\nCSeq: {number} SUBSCRIBE\n\
             {more}Content-Length: 0\n\n"
        ))
    }

    /// Sends a message; a SUBSCRIBE outside of a dialog is taken. Gives what became of it and what came back.
    fn send(&mut self, bytes: &[u8]) -> (Option<Subscribed>, Vec<Response>, Vec<Request>) {
        self.world.send(address(B), address(A), bytes);
        self.world.run_for(Span::from_ms(25));
        let mut taken = None;
        for event in self.world.events(A) {
            if let Event::Request { id, flow, request } = event {
                let contact = Uri::at(Some("100"), address(A));
                taken = Some(self.world.act(A, |endpoint, now| {
                    endpoint.accept_subscription(now, id, flow, &request, contact, body("first"))
                }));
            }
        }
        self.world.run_for(Span::from_ms(25));
        let (responses, requests) = self.heard();
        (taken, responses, requests)
    }

    fn heard(&mut self) -> (Vec<Response>, Vec<Request>) {
        let (mut responses, mut requests) = (Vec::new(), Vec::new());
        for (_, message) in core::mem::take(&mut self.world.strays) {
            match message {
                Message::Response(response) => responses.push(response),
                Message::Request(request) => requests.push(request),
            }
        }
        (responses, requests)
    }

    /// A subscription whose first NOTIFY is answered: its number, and To of requests within it.
    fn subscribed(&mut self, call_id: &str) -> (SubscriptionId, String) {
        let request = self.request(call_id, "<sip:100@192.0.2.1>", LASTING);
        let (taken, responses, notifies) = self.send(&request.to_bytes());
        let Some(Subscribed::Lasting(id)) = taken else { panic!("{taken:?}") };
        assert_eq!((responses[0].status, responses[0].headers.get("Expires")), (200, Some("600")));
        self.send(&Response::to_request(&notifies[0], 200).to_bytes());
        (id, responses[0].headers.get("To").expect("a tag").to_owned())
    }

    fn ended(&mut self, id: SubscriptionId) -> bool {
        let events = self.world.events(A);
        events.iter().any(|event| matches!(event, Event::Unsubscribed { subscription } if *subscription == id))
    }
}

const LASTING: &str = "Contact: <sip:peer@192.0.2.2>\nEvent: dialog\nExpires: 600\n";

fn body(text: &str) -> Body {
    Body { content_type: "text/plain".to_owned(), bytes: text.as_bytes().to_vec() }
}

#[test]
fn what_cannot_be_taken_is_answered_and_leaves_nothing_behind() {
    for (more, status) in [
        ("Event: dialog\nExpires: 600\n", 400),
        ("Contact: <sip:peer@192.0.2.2>\nExpires: 600\n", 400),
        ("Contact: <sip:peer@192.0.2.2>\nEvent: dialog\nExpires: soon\n", 400),
        ("Contact: <sip:peer@192.0.2.2>\nEvent: dialog\nExpires: 59\n", 423),
    ] {
        let mut peer = Peer::new(90);
        let request = peer.request("c", "<sip:100@192.0.2.1>", more);
        let (taken, responses, notifies) = peer.send(&request.to_bytes());
        assert_eq!((taken, responses[0].status, notifies.len()), (Some(Subscribed::Refused), status, 0), "{more}");
        assert_eq!(responses[0].headers.get("Min-Expires"), (status == 423).then_some("60"));
    }
}

#[test]
fn over_the_limit_a_subscribe_gets_503_until_another_has_ended() {
    let mut peer = Peer::new(91);
    let (_, to) = peer.subscribed("one");
    peer.subscribed("two");
    let third = peer.request("three", "<sip:100@192.0.2.1>", LASTING);
    let (taken, responses, _) = peer.send(&third.to_bytes());
    assert_eq!((taken, responses[0].status), (Some(Subscribed::Refused), 503));
    assert_eq!(responses[0].headers.get("Retry-After"), Some("7"));
    assert_eq!(peer.world.act(A, |endpoint, _| endpoint.load().full_total), 1);
    let end = peer.request("one", &to, "Event: dialog\nExpires: 0\n");
    peer.send(&end.to_bytes());
    peer.subscribed("four");
}

#[test]
fn a_subscribe_that_comes_again_makes_no_second_subscription() {
    let mut peer = Peer::new(92);
    let request = peer.request("c", "<sip:100@192.0.2.1>", LASTING).to_bytes();
    let (_, first, _) = peer.send(&request);
    let (taken, again, _) = peer.send(&request);
    assert_eq!((taken, again[0].headers.get("To")), (None, first[0].headers.get("To")));
}

#[test]
fn a_refresh_that_is_too_short_or_old_changes_nothing() {
    let mut peer = Peer::new(93);
    let (id, to) = peer.subscribed("c");
    let brief = peer.request("c", &to, "Event: dialog\nExpires: 10\n");
    assert_eq!(peer.send(&brief.to_bytes()).1[0].status, 423);
    let mut old = peer.request("c", &to, "Event: dialog\nExpires: 0\n");
    old.headers.set("CSeq", "0 SUBSCRIBE");
    assert_eq!(peer.send(&old.to_bytes()).1[0].status, 500);
    assert!(!peer.ended(id));
    peer.world.run_for(Span::from_s(600));
    assert!(peer.ended(id), "it ends when it would have");
}

#[test]
fn a_notify_without_an_answer_is_sent_11_times_and_ends_the_subscription_after_32_s() {
    let mut peer = Peer::new(94);
    let (id, to) = peer.subscribed("c");
    peer.world.act(A, |endpoint, now| endpoint.notify(now, id, body("second")));
    peer.world.run_for(Span::from_s(31));
    assert!(!peer.ended(id));
    peer.world.run_for(Span::from_s(2));
    assert!(peer.ended(id));
    assert_eq!(peer.heard().1.len(), 11);
    let refresh = peer.request("c", &to, "Event: dialog\nExpires: 600\n");
    assert_eq!(peer.send(&refresh.to_bytes()).1[0].status, 481);
}

#[test]
fn while_a_notify_is_under_way_the_next_waits_and_is_asked_for_once() {
    let mut peer = Peer::new(95);
    let (id, _) = peer.subscribed("c");
    peer.world.act(A, |endpoint, now| endpoint.notify(now, id, body("second")));
    for _ in 0..3 {
        assert!(!peer.world.act(A, |endpoint, _| endpoint.may_notify(id)));
    }
    peer.world.run_for(Span::from_ms(25));
    let (_, notifies) = peer.heard();
    peer.world.send(address(B), address(A), &Response::to_request(&notifies[0], 200).to_bytes());
    peer.world.run_for(Span::from_ms(25));
    assert!(matches!(peer.world.events(A)[..], [Event::NotifyDue { subscription }] if subscription == id));
    assert!(peer.world.act(A, |endpoint, _| endpoint.may_notify(id)));
}
