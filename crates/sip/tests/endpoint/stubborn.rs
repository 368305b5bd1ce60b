//! A peer written by hand that asks until it is answered, through a bad network: each INFO and each offer is told once, and each
//! subscription ends once.

use offhook_sip::{
    Body, EndpointConfig, Event, Message, Method, Request, Response, SessionId, Subscribed, SubscriptionId, Uri,
};
use offhook_units::{Entropy, Span};

use super::world::{A, B, Weather, World, address, invited, raw};

/// One endpoint, and the peer at the second address.
struct Stubborn {
    world: World,
    number: u32,
    /// Events of the endpoint that are not looked at yet.
    told: Vec<Event>,
    /// `CSeq` of each NOTIFY that said that it was the last one.
    last_notifies: Vec<u32>,
    subscription: Option<SubscriptionId>,
}

impl Stubborn {
    fn new(seed: u64) -> Self {
        let config = EndpointConfig { methods: vec![Method::Subscribe], ..EndpointConfig::default() };
        let mut world = World::with(seed, &config, 1);
        world.weather = Weather { loss: 20, doubled: 10, jitter: Span::from_ms(400) };
        Self { world, number: 0, told: Vec::new(), last_notifies: Vec::new(), subscription: None }
    }

    fn request(&mut self, method: &str, to: &str, more: &str) -> Request {
        self.number += 1;
        let number = self.number;
        raw(&format!(
            "{method} sip:100@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKw{number}\nMax-Forwards: 70\n\
             From: <sip:peer@192.0.2.2>;tag=peer\nTo: {to}\nCall-ID: stubborn\nCSeq: {number} {method}\n\
             Contact: <sip:peer@192.0.2.2>\n{more}Content-Length: 0\n\n"
        ))
    }

    fn send(&mut self, bytes: &[u8]) {
        self.world.send(address(B), address(A), bytes);
    }

    /// Sends a request every half second until it has its final response.
    #[track_caller]
    fn ask(&mut self, request: &Request) -> Response {
        let bytes = request.to_bytes();
        let branch = request.headers.top_branch().expect("a branch").to_owned();
        for _ in 0..64 {
            self.send(&bytes);
            for response in self.pass(Span::from_ms(500)) {
                if response.status >= 200 && response.headers.top_branch() == Some(&branch) {
                    return response;
                }
            }
        }
        panic!("{} was not answered", request.method)
    }

    /// Lets time pass; answers NOTIFYs and takes SUBSCRIBEs on meanwhile. Gives the responses that came.
    fn pass(&mut self, span: Span) -> Vec<Response> {
        let until = self.world.now + span;
        let mut responses = Vec::new();
        while self.world.step(until) {
            for event in self.world.events(A) {
                match event {
                    Event::Request { id, flow, request } => {
                        let contact = Uri::at(Some("100"), address(A));
                        let taken = self.world.act(A, |endpoint, now| {
                            endpoint.accept_subscription(now, id, flow, &request, contact, body("first"))
                        });
                        let Subscribed::Lasting(id) = taken else { panic!("{taken:?}") };
                        assert_eq!(self.subscription.replace(id), None, "one SUBSCRIBE, one subscription");
                    }
                    Event::Resubscribed { subscription } | Event::NotifyDue { subscription } => {
                        self.world.act(A, |endpoint, now| endpoint.notify(now, subscription, body("again")));
                    }
                    Event::Reoffered { session, body } => {
                        let answer = Body::sdp(format!("answer to {}", text_of(body.as_ref())));
                        self.world.act(A, |endpoint, now| endpoint.answer_reoffer(now, session, Some(answer)));
                        self.told.push(Event::Reoffered { session, body });
                    }
                    other => self.told.push(other),
                }
            }
            for (_, message) in core::mem::take(&mut self.world.strays) {
                match message {
                    Message::Response(response) => responses.push(response),
                    Message::Request(request) => {
                        let state = request.headers.get("Subscription-State").unwrap_or_default();
                        let number = request.headers.cseq().map_or(0, |(number, _)| number);
                        if state.starts_with("terminated") && !self.last_notifies.contains(&number) {
                            self.last_notifies.push(number);
                        }
                        self.send(&Response::to_request(&request, 200).to_bytes());
                    }
                }
            }
        }
        responses
    }

    /// An INVITE that has come through.
    fn invite(&mut self, more: &str) -> (SessionId, Request) {
        let mut invite = self.request("INVITE", "<sip:100@192.0.2.1>", more);
        invite.set_body(Body::SDP, b"first".to_vec());
        while self.told.is_empty() {
            self.send(&invite.to_bytes());
            self.pass(Span::from_ms(500));
        }
        (invited(&self.told.remove(0)).expect("an INVITE"), invite)
    }

    fn calm(&mut self) {
        self.world.weather = Weather::default();
        self.pass(Span::from_s(100));
        let load = self.world.parties[A].endpoint.load();
        assert_eq!((load.sessions, load.transactions, load.timers), (0, 0, 0));
    }
}

fn body(text: &str) -> Body {
    Body { content_type: "text/plain".to_owned(), bytes: text.as_bytes().to_vec() }
}

fn text_of(body: Option<&Body>) -> String {
    body.map(|body| String::from_utf8_lossy(&body.bytes).into_owned()).unwrap_or_default()
}

#[test]
fn through_20_percent_loss_each_early_offer_of_200_calls_is_told_once_and_before_the_200() {
    for seed in 0..200 {
        let mut peer = Stubborn::new(5_000 + seed);
        let (session, invite) = peer.invite("Supported: 100rel\n");
        peer.world.act(A, |endpoint, now| endpoint.progress(now, session, 183, Some(Body::sdp("answer to first"))));
        let is_early = |response: &Response| response.status == 183;
        let early = loop {
            let mut responses = peer.pass(Span::from_ms(100)).into_iter();
            if let Some(early) = responses.find(is_early) {
                break early;
            }
        };
        let to = early.headers.get("To").expect("To").to_owned();
        let rack = format!("RAck: {} 1 INVITE\n", early.headers.get("RSeq").expect("RSeq"));
        // The answer waits for the PRACK, whichever comes first.
        if seed % 2 == 0 {
            peer.world.answer(A, session);
        }
        let mut expected = Vec::new();
        for (method, more, offer) in [("PRACK", &*rack, "second"), ("UPDATE", "", "third"), ("UPDATE", "", "fourth")] {
            // After the 200 an offer has to wait for the ACK.
            if seed % 2 == 0 && method == "UPDATE" {
                break;
            }
            let mut request = peer.request(method, &to, more);
            request.set_body(Body::SDP, offer.as_bytes().to_vec());
            let response = peer.ask(&request);
            assert_eq!(
                (response.status, &*response.body),
                (200, format!("answer to {offer}").as_bytes()),
                "seed {seed}"
            );
            expected.push(offer.to_owned());
        }
        if seed % 2 == 1 {
            peer.world.answer(A, session);
        }
        let ok = peer.ask(&invite);
        assert!(ok.status == 200 && ok.body.is_empty(), "seed {seed}");
        let mut ack = peer.request("ACK", &to, "");
        ack.headers.set_cseq(1, &Method::Ack);
        let bye = peer.request("BYE", &to, "");
        peer.send(&ack.to_bytes());
        assert_eq!(peer.ask(&bye).status, 200, "seed {seed}");
        let offers = peer.told.iter().filter_map(|event| match event {
            Event::Reoffered { body, .. } => Some(text_of(body.as_ref())),
            _ => None,
        });
        assert_eq!(offers.collect::<Vec<_>>(), expected, "seed {seed}");
        let ends = peer.told.iter().filter(|event| matches!(event, Event::Ended { .. })).count();
        assert_eq!(ends, 1, "seed {seed}");
        peer.calm();
    }
}

#[test]
fn through_20_percent_loss_each_info_of_200_calls_is_told_once_and_in_order() {
    for seed in 0..200 {
        let mut peer = Stubborn::new(3_000 + seed);
        let (session, invite) = peer.invite("");
        peer.world.answer(A, session);
        let ok = peer.ask(&invite);
        let to = ok.headers.get("To").expect("To").to_owned();
        let mut ack = peer.request("ACK", &to, "");
        ack.headers.set_cseq(1, &Method::Ack);
        peer.send(&ack.to_bytes());
        for digit in 0..5 {
            let mut info = peer.request("INFO", &to, "");
            info.set_body("application/dtmf-relay", format!("Signal={digit}").into_bytes());
            assert_eq!(peer.ask(&info).status, 200, "seed {seed}");
            // A 200 that comes again asks for its ACK.
            peer.send(&ack.to_bytes());
        }
        let bye = peer.request("BYE", &to, "");
        assert_eq!(peer.ask(&bye).status, 200, "seed {seed}");
        let infos = peer.told.iter().filter_map(|event| match event {
            Event::Info { body, .. } => Some(text_of(body.as_ref())),
            _ => None,
        });
        let expected: Vec<String> = (0..5).map(|digit| format!("Signal={digit}")).collect();
        assert_eq!(infos.collect::<Vec<_>>(), expected, "seed {seed}");
        let ends = peer.told.iter().filter(|event| matches!(event, Event::Ended { .. })).count();
        assert_eq!(ends, 1, "seed {seed}");
        peer.calm();
    }
}

#[test]
fn through_20_percent_loss_each_of_200_subscriptions_ends_once() {
    for seed in 0..200 {
        let mut peer = Stubborn::new(4_000 + seed);
        let mut chance = Entropy::from_number(seed);
        let lasting = "Event: dialog\nExpires: 120\n";
        let subscribe = peer.request("SUBSCRIBE", "<sip:100@192.0.2.1>", lasting);
        let ok = peer.ask(&subscribe);
        assert_eq!(ok.status, 200, "seed {seed}");
        let (to, id) = (ok.headers.get("To").expect("To").to_owned(), peer.subscription.expect("a subscription"));
        for turn in 0..4 {
            peer.world.act(A, |endpoint, now| endpoint.notify(now, id, body(&format!("turn {turn}"))));
            peer.pass(Span::from_s(chance.below(20)));
        }
        let refresh = peer.request("SUBSCRIBE", &to, lasting);
        assert_eq!(peer.ask(&refresh).status, 200, "seed {seed}");
        // It leaves, is sent away, or is heard of no more.
        let farewell = chance.below(3);
        match farewell {
            0 => {
                let leave = peer.request("SUBSCRIBE", &to, "Event: dialog\nExpires: 0\n");
                assert_eq!(peer.ask(&leave).status, 200, "seed {seed}");
            }
            1 => peer.world.act(A, |endpoint, now| endpoint.end_subscription(now, id, "noresource")),
            _ => {}
        }
        peer.pass(Span::from_s(200));
        let over = peer.told.iter().filter(|event| matches!(event, Event::Unsubscribed { .. })).count();
        // No event follows what the program itself ended.
        assert_eq!((over, peer.last_notifies.len()), (usize::from(farewell != 1), 1), "seed {seed}");
        peer.calm();
    }
}
