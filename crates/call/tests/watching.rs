//! Phones of ours that watch colleagues and their own mailbox: SUBSCRIBE and NOTIFY, RFC 6665.

mod desk;

use desk::{SERVER, World, credentials};
use offhook_call::{Command, Input, SUBSCRIPTIONS_PER_ACCOUNT_MAX};
use offhook_sip::{Challenge, Credentials, Flow, Message, Request, Response, Transport, answer_challenge};
use offhook_units::Span;

/// A phone's screen that shows colleagues.
struct Watcher {
    address: std::net::SocketAddr,
    call_id: String,
    cseq: u32,
    /// To of requests within the dialog, once there is one.
    to: String,
    /// What came of the last NOTIFYs.
    seen: usize,
}

impl Watcher {
    fn new() -> Self {
        let to = "<sip:watched@offhook>".to_owned();
        let address = "127.0.0.9:7009".parse().expect("an address");
        Self { address, call_id: "watch".to_owned(), cseq: 0, to, seen: 0 }
    }

    fn send(&self, world: &mut World, text: &str) {
        let flow = Flow { transport: Transport::Udp, local: SERVER.into(), peer: self.address };
        let message = Message::parse(text.as_bytes()).expect("a message");
        world.exchange.handle(world.now, Input::Message { flow, message: Box::new(message) });
        world.run(Span::from_ms(10));
    }

    fn subscribe(&mut self, world: &mut World, whom: &str, event: &str, expires: u32, authorization: &str) -> Response {
        self.cseq += 1;
        let (cseq, to, address, call_id) = (self.cseq, &self.to, self.address, &self.call_id);
        let text = format!(
            "SUBSCRIBE sip:{whom}@offhook SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bK{call_id}{cseq}\r\nMax-Forwards: 70\r\n\
             From: <sip:ann@offhook>;tag=w\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} SUBSCRIBE\r\nContact: <sip:ann@{address}>\r\n\
             Event: {event}\r\nExpires: {expires}\r\n{authorization}Content-Length: 0\r\n\r\n"
        );
        self.send(world, &text);
        let response = self.heard(world).into_iter().rev().find_map(|message| match message {
            Message::Response(response) => Some(response).filter(|r| r.headers.cseq().is_ok_and(|(n, _)| n == cseq)),
            Message::Request(_) => None,
        });
        response.expect("an answer to SUBSCRIBE")
    }

    /// Subscribes with ann's password.
    fn watch(&mut self, world: &mut World, whom: &str, event: &str, expires: u32) -> Response {
        let challenge = self.subscribe(world, whom, event, expires, "");
        assert_eq!(challenge.status, 401, "nobody watches without a password");
        let challenge = Challenge::parse(challenge.headers.get("WWW-Authenticate").expect("a challenge"));
        let uri = format!("sip:{whom}@offhook");
        let answer =
            answer_challenge(&challenge.expect("a challenge"), &credentials("ann"), "SUBSCRIBE", &uri, "cnonce", 1);
        let response = self.subscribe(world, whom, event, expires, &format!("Authorization: {answer}\r\n"));
        if response.status == 200 {
            response.headers.get("To").expect("a tag").clone_into(&mut self.to);
        }
        response
    }

    fn heard(&self, world: &World) -> Vec<Message> {
        let heard = world.heard.iter().filter(|(to, _)| *to == self.address);
        heard.map(|(_, bytes)| Message::parse(bytes).expect("a message")).collect()
    }

    fn notifies(&self, world: &World) -> Vec<Request> {
        let requests = self.heard(world).into_iter().filter_map(|message| match message {
            Message::Request(request) => Some(request),
            Message::Response(_) => None,
        });
        requests.collect()
    }

    /// Answers the NOTIFY that came last with 200, and gives its state and body. There is a new one.
    fn notified(&mut self, world: &mut World) -> (String, String) {
        self.notified_with(world, 200)
    }

    fn notified_with(&mut self, world: &mut World, status: u16) -> (String, String) {
        let notifies = self.notifies(world);
        assert!(notifies.len() > self.seen, "no NOTIFY came");
        self.seen = notifies.len();
        let last = &notifies[self.seen - 1];
        self.send(world, &String::from_utf8(Response::to_request(last, status).to_bytes()).expect("text"));
        let state = last.headers.get("Subscription-State").expect("a state").to_owned();
        (state, String::from_utf8(last.body.clone()).expect("text"))
    }
}

#[test]
fn a_colleagues_calls_are_told_as_they_ring_and_talk_and_end() {
    let (mut world, mut watcher) = (World::new(Vec::new()), Watcher::new());
    let accepted = watcher.watch(&mut world, "bob", "dialog", 600);
    assert_eq!((accepted.status, accepted.headers.get("Expires")), (200, Some("600")));
    let (state, body) = watcher.notified(&mut world);
    assert!(
        state.starts_with("active;expires=") && body.contains("version=\"0\"") && !body.contains("<dialog "),
        "{body}"
    );

    world.dial("ann", "bob", Some(credentials("ann")));
    let (_, body) = watcher.notified(&mut world);
    assert!(body.contains("version=\"1\"") && body.contains("recipient") && body.contains("early"), "{body}");
    let (session, ..) = world.ringing("bob").expect("it rings");
    world.answer("bob", session);
    let (_, body) = watcher.notified(&mut world);
    assert!(body.contains("version=\"2\"") && body.contains("confirmed"), "{body}");
    world.hang_up("bob", session);
    let (_, body) = watcher.notified(&mut world);
    assert!(body.contains("version=\"3\"") && !body.contains("<dialog "), "{body}");
}

#[test]
fn a_notify_that_is_lost_comes_again_and_the_newest_state_follows_it() {
    let (mut world, mut watcher) = (World::new(Vec::new()), Watcher::new());
    watcher.watch(&mut world, "bob", "dialog", 600);
    watcher.notified(&mut world);
    world.dial("ann", "bob", Some(credentials("ann")));
    let (session, ..) = world.ringing("bob").expect("it rings");
    world.answer("bob", session);
    world.run(Span::from_ms(1_600));
    let cseqs: Vec<u32> = watcher.notifies(&world)[1..].iter().map(|n| n.headers.cseq().expect("a number").0).collect();
    assert!(cseqs.len() >= 3 && cseqs.iter().all(|n| *n == cseqs[0]), "one at a time, sent again: {cseqs:?}");
    watcher.notified(&mut world);
    let (_, body) = watcher.notified(&mut world);
    assert!(body.contains("confirmed") && body.contains("version=\"2\""), "no version is left out: {body}");
    // A watcher that answers nothing for 32 s is gone.
    world.hang_up("bob", session);
    world.run(Span::from_s(40));
    assert_eq!(world.exchange.watching(), 0);
}

#[test]
fn a_subscription_lasts_as_long_as_it_was_granted_unless_it_is_refreshed_or_ended() {
    let (mut world, mut watcher) = (World::new(Vec::new()), Watcher::new());
    watcher.watch(&mut world, "bob", "presence", 60);
    let (_, body) = watcher.notified(&mut world);
    assert!(body.contains("<basic>open</basic>") && body.contains("available"), "{body}");
    world.run(Span::from_s(50));
    assert_eq!(watcher.subscribe(&mut world, "bob", "presence", 60, "").status, 200, "a refresh shows no password");
    let (state, _) = watcher.notified(&mut world);
    assert_eq!(state, "active;expires=60");
    world.run(Span::from_s(61));
    let (state, _) = watcher.notified(&mut world);
    assert_eq!((state.as_str(), world.exchange.watching()), ("terminated;reason=timeout", 0));

    let mut watcher = Watcher { cseq: 100, seen: watcher.seen, ..Watcher::new() };
    watcher.watch(&mut world, "ann", "message-summary", 600);
    let (_, body) = watcher.notified(&mut world);
    assert!(body.starts_with("Messages-Waiting: no\r\n"), "{body}");
    assert_eq!(watcher.subscribe(&mut world, "ann", "message-summary", 0, "").status, 200);
    let (state, _) = watcher.notified(&mut world);
    assert!(state.starts_with("terminated") && world.exchange.watching() == 0, "{state}");
}

#[test]
fn what_is_not_there_or_nobodys_business_is_refused() {
    for (whom, event, expires, status) in [
        ("bob", "conference", 600, 489),
        ("bob", "message-summary", 600, 403),
        ("carol", "dialog", 600, 404),
        ("bob", "dialog", 5, 423),
    ] {
        let (mut world, mut watcher) = (World::new(Vec::new()), Watcher::new());
        let response = watcher.watch(&mut world, whom, event, expires);
        assert_eq!(response.status, status, "{event} of {whom}");
        assert_eq!(response.headers.get("Allow-Events").is_some(), status == 489);
        assert!(watcher.notifies(&world).is_empty() && world.exchange.watching() == 0);
    }
}

#[test]
fn a_wrong_password_is_refused_and_its_source_is_known() {
    let (mut world, mut watcher) = (World::new(Vec::new()), Watcher::new());
    let challenge = watcher.subscribe(&mut world, "bob", "dialog", 600, "");
    let challenge = Challenge::parse(challenge.headers.get("WWW-Authenticate").expect("a challenge"));
    let guess = Credentials { password: "a guess".to_owned(), ..credentials("ann") };
    let answer =
        answer_challenge(&challenge.expect("a challenge"), &guess, "SUBSCRIBE", "sip:bob@offhook", "cnonce", 1);
    let refused = watcher.subscribe(&mut world, "bob", "dialog", 600, &format!("Authorization: {answer}\r\n"));
    assert_eq!((refused.status, &*world.guessers), (403, &[watcher.address.ip()][..]));
    assert_eq!((world.exchange.watching(), world.exchange.counters().subscriptions_refused), (0, 1));
}

#[test]
fn a_subscription_from_before_a_restart_is_answered_481_and_so_is_one_of_another_package() {
    let (mut world, mut watcher) = (World::new(Vec::new()), Watcher::new());
    watcher.watch(&mut world, "bob", "dialog", 600);
    watcher.notified(&mut world);
    assert_eq!(watcher.subscribe(&mut world, "bob", "presence", 600, "").status, 481);
    assert_eq!(watcher.subscribe(&mut world, "bob", "dialog", 600, "").status, 200);

    let mut restarted = World::new(Vec::new());
    assert_eq!(watcher.subscribe(&mut restarted, "bob", "dialog", 600, "").status, 481);
    watcher.to = Watcher::new().to;
    assert_eq!(watcher.watch(&mut restarted, "bob", "dialog", 600).status, 200, "the phone begins anew");
}

#[test]
fn a_watcher_that_does_not_know_its_subscription_any_more_has_none() {
    let (mut world, mut watcher) = (World::new(Vec::new()), Watcher::new());
    watcher.watch(&mut world, "bob", "dialog", 600);
    watcher.notified_with(&mut world, 481);
    assert_eq!(world.exchange.watching(), 0);
    assert_eq!(watcher.subscribe(&mut world, "bob", "dialog", 600, "").status, 481);
}

#[test]
fn who_asks_once_is_told_once() {
    let (mut world, mut watcher) = (World::new(Vec::new()), Watcher::new());
    assert_eq!(watcher.watch(&mut world, "bob", "presence", 0).status, 200);
    let (state, body) = watcher.notified(&mut world);
    assert!(state.starts_with("terminated") && body.contains("<basic>open</basic>"), "{state} {body}");
    assert_eq!(world.exchange.watching(), 0);
}

#[test]
fn an_account_has_100_subscriptions_at_most() {
    let mut world = World::new(Vec::new());
    for number in 0..=SUBSCRIPTIONS_PER_ACCOUNT_MAX {
        let mut watcher = Watcher { call_id: format!("watch{number}x"), ..Watcher::new() };
        watcher.seen = watcher.notifies(&world).len();
        let status = watcher.watch(&mut world, "bob", "dialog", 600).status;
        assert_eq!(status, if number < SUBSCRIPTIONS_PER_ACCOUNT_MAX { 200 } else { 403 }, "number {number}");
        if status == 200 {
            watcher.notified(&mut world);
        }
    }
    assert_eq!(world.exchange.watching(), SUBSCRIPTIONS_PER_ACCOUNT_MAX);
    let counters = world.exchange.counters();
    assert_eq!((counters.subscriptions, counters.subscriptions_refused), (100, 1));
}

#[test]
fn an_exchange_that_leaves_tells_its_watchers_when_to_come_back() {
    let (mut world, mut watcher) = (World::new(Vec::new()), Watcher::new());
    watcher.watch(&mut world, "bob", "dialog", 600);
    watcher.notified(&mut world);
    world.exchange.handle(world.now, Input::Command(Command::Drain { grace: Span::from_s(60) }));
    world.run(Span::from_ms(10));
    let (state, _) = watcher.notified(&mut world);
    assert_eq!((&*state, world.exchange.watching()), ("terminated;reason=probation;retry-after=30", 0));
    let mut late = Watcher { call_id: "late".to_owned(), ..Watcher::new() };
    let refused = late.watch(&mut world, "bob", "dialog", 600);
    assert_eq!((refused.status, refused.headers.get("Retry-After")), (503, Some("5")));
}
