//! Subscriptions of ours at an endpoint that notifies (RFC 6665): renewed, challenged, moved, refused, ended, and lost.

use offhook_sip::{
    Body, Credentials, EndpointConfig, Event, Method, NameAddr, Response, Subscribed, SubscriptionId, Uri, Watch,
    WatchId,
};
use offhook_units::Span;

use super::world::{A, B, World, address, flow};

const KIND: &str = "application/simple-message-summary";

/// A notifier (A) and who watches there (B).
struct Watched {
    world: World,
    /// What A answers where it does not take a SUBSCRIBE.
    refuses: Option<u16>,
    at_a: Option<SubscriptionId>,
}

impl Watched {
    fn new(seed: u64) -> Self {
        let config = EndpointConfig { methods: vec![Method::Subscribe], ..EndpointConfig::default() };
        Self { world: World::with(seed, &config, 2), refuses: None, at_a: None }
    }

    fn watch(&mut self, expires: Span) -> WatchId {
        let ours = Uri::at(Some("ann"), address(A));
        let watch = Watch {
            flow: flow(B, A),
            uri: ours.clone(),
            from: NameAddr::new(ours),
            contact: Uri::at(Some("ann"), address(B)),
            event: "message-summary".into(),
            accept: KIND.into(),
            expires,
            credentials: Some(Credentials { username: "ann".into(), password: "secret".into() }),
        };
        self.world.act(B, |endpoint, now| endpoint.watch(now, watch))
    }

    /// Runs, with A answering each SUBSCRIBE.
    fn run_for(&mut self, span: Span) {
        let until = self.world.now + span;
        loop {
            let moved = self.world.step(until);
            for event in self.world.events(A) {
                let Event::Request { id, flow, request } = event else { continue };
                let (refuses, contact) = (self.refuses, Uri::at(Some("notifier"), address(A)));
                self.at_a = self.world.act(A, |endpoint, now| {
                    if let Some(status) = refuses {
                        let mut response = Response::to_request(&request, status);
                        if status == 401 && request.headers.get("Authorization").is_none() {
                            response.headers.push("WWW-Authenticate", "Digest realm=\"a\", nonce=\"n\"");
                        } else if status == 401 {
                            response.status = 403;
                        }
                        endpoint.respond(now, id, response);
                        return None;
                    }
                    match endpoint.accept_subscription(now, id, flow, &request, contact, summary("no")) {
                        Subscribed::Lasting(id) => Some(id),
                        Subscribed::Once | Subscribed::Refused => None,
                    }
                });
            }
            if !moved {
                return;
            }
        }
    }

    /// What B was told since it was asked last.
    fn told(&mut self) -> Vec<String> {
        let events = self.world.events(B).into_iter();
        let told = events.map(|event| match event {
            Event::Seen { body, .. } => String::from_utf8(body.bytes).expect("text"),
            Event::WatchRefused { status, .. } => format!("refused {status}"),
            other => panic!("{other:?}"),
        });
        told.collect()
    }
}

fn summary(waiting: &str) -> Body {
    Body { content_type: KIND.into(), bytes: format!("Messages-Waiting: {waiting}\r\n").into_bytes() }
}

#[test]
fn what_is_watched_is_told_at_once_and_when_it_changes_and_asked_for_again_at_80_percent() {
    let mut watched = Watched::new(301);
    let id = watched.watch(Span::from_s(600));
    watched.run_for(Span::from_s(1));
    assert_eq!(watched.told(), ["Messages-Waiting: no\r\n"]);
    let at_a = watched.at_a.expect("subscribed");
    watched.world.act(A, |endpoint, now| endpoint.notify(now, at_a, summary("yes")));
    watched.run_for(Span::from_s(1));
    assert_eq!(watched.told(), ["Messages-Waiting: yes\r\n"]);
    assert_eq!(watched.world.sent_count(B, "SUBSCRIBE"), 1);
    watched.run_for(Span::from_s(480));
    assert_eq!(watched.world.sent_count(B, "SUBSCRIBE"), 2, "renewed within its dialog");
    assert!(watched.world.events(A).is_empty());
    watched.world.act(B, |endpoint, now| endpoint.unwatch(now, id));
    watched.run_for(Span::from_s(1));
    assert_eq!(watched.world.sent_count(B, "SUBSCRIBE"), 3);
    watched.run_for(Span::from_s(600));
    assert_eq!(watched.world.sent_count(B, "SUBSCRIBE"), 3, "nobody watches any more");
}

#[test]
fn a_subscription_that_the_notifier_ends_or_forgets_is_asked_for_anew_after_half_a_minute_or_more() {
    let mut watched = Watched::new(302);
    watched.watch(Span::from_s(600));
    watched.run_for(Span::from_s(1));
    let at_a = watched.at_a.expect("subscribed");
    watched.world.act(A, |endpoint, now| endpoint.end_subscription(now, at_a, "deactivated"));
    watched.run_for(Span::from_s(29));
    assert_eq!(watched.world.sent_count(B, "SUBSCRIBE"), 1, "not at once");
    watched.run_for(Span::from_s(62));
    assert_eq!(watched.world.sent_count(B, "SUBSCRIBE"), 2);
    assert_ne!(watched.at_a, Some(at_a), "a dialog of its own");
    assert_eq!(watched.told().len(), 2);
}

#[test]
fn from_another_address_it_is_asked_for_anew_and_the_old_dialog_tells_nothing_more() {
    let mut watched = Watched::new(303);
    let id = watched.watch(Span::from_s(600));
    watched.run_for(Span::from_s(1));
    let before = watched.at_a.expect("subscribed");
    let contact = Uri::at(Some("ann"), address(B));
    watched.world.act(B, |endpoint, now| endpoint.rewatch(now, id, flow(B, A), contact));
    watched.run_for(Span::from_s(1));
    assert_eq!(watched.told(), ["Messages-Waiting: no\r\n", "Messages-Waiting: no\r\n"]);
    watched.world.act(A, |endpoint, now| endpoint.notify(now, before, summary("yes")));
    watched.run_for(Span::from_s(1));
    assert_eq!(watched.told(), [""; 0], "481: that dialog is over");
}

#[test]
fn a_challenge_is_answered_once_and_a_refusal_is_told_once_and_for_good() {
    let mut watched = Watched::new(304);
    watched.refuses = Some(401);
    watched.watch(Span::from_s(600));
    watched.run_for(Span::from_s(3_600));
    assert_eq!(watched.told(), ["refused 403"]);
    assert_eq!(watched.world.sent_count(B, "SUBSCRIBE"), 2, "one of them with the password");
    let mut watched = Watched::new(305);
    watched.refuses = Some(503);
    watched.watch(Span::from_s(600));
    watched.run_for(Span::from_s(3_600));
    assert_eq!(watched.told(), [""; 0]);
    let asked = watched.world.sent_count(B, "SUBSCRIBE");
    assert!((40..=120).contains(&asked), "asked {asked} times in an hour");
}
