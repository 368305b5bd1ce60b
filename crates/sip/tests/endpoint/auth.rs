//! Digest on calls and registrations, and registrations that keep themselves.

use offhook_sip::{
    Body, Change, Credentials, DigestConfig, DigestVerifier, EndCause, EndpointConfig, Event, NameAddr, Register,
    Registrar, RegistrarLimits, RegistrationId, SessionId, Uri, Verdict,
};
use offhook_units::{Entropy, Span};

use super::world::{A, B, World, address, answered, ended, flow, invited, refused};

fn credentials(password: &str) -> Credentials {
    Credentials { username: "alice".into(), password: password.into() }
}

fn verifier() -> DigestVerifier {
    DigestVerifier::new("desk", &mut Entropy::from_number(1), DigestConfig::default())
}

/// B asks for credentials: gives the session whose INVITE had the right ones.
fn challenge_once(world: &mut World, verifier: &mut DigestVerifier, stale: bool) -> Option<SessionId> {
    world.run_for(Span::from_ms(30));
    let mut taken = None;
    for event in world.events(B) {
        let Event::Invited { session, flow, request } = event else { continue };
        let value = request.headers.get("Authorization");
        let verdict =
            value.map(|value| verifier.verify(world.now, flow.peer.ip(), &request, value, |_| Some("secret")));
        if verdict == Some(Verdict::Ok) && !stale {
            taken = Some(session);
            continue;
        }
        let challenges = verifier.challenges(world.now, flow.peer.ip(), stale && value.is_some());
        let headers = challenges.map(|challenge| ("WWW-Authenticate".to_owned(), challenge.to_string())).collect();
        world.act(B, |endpoint, now| endpoint.refuse(now, session, 401, headers));
    }
    world.run_for(Span::from_ms(30));
    taken
}

#[test]
fn a_challenged_invite_is_sent_again_with_credentials() {
    let mut world = World::new(61);
    let mut verifier = verifier();
    let caller = world.call(A, B, Some(credentials("secret")));
    assert_eq!(challenge_once(&mut world, &mut verifier, false), None);
    let callee = challenge_once(&mut world, &mut verifier, false).expect("right credentials");
    world.answer(B, callee);
    world.run_for(Span::from_ms(50));
    assert_eq!(world.expect(A, answered), caller);
    assert_eq!((world.sent_count(A, "INVITE"), world.sent_count(B, "SIP/2.0 401")), (2, 1));
    world.hang_up(A, caller);
    world.settle();
}

#[test]
fn wrong_credentials_are_tried_once_and_stale_nonces_a_few_times() {
    for (password, stale, invites) in [("wrong", false, 2), ("secret", true, 5)] {
        let mut world = World::new(62);
        let mut verifier = verifier();
        let caller = world.call(A, B, Some(credentials(password)));
        for _ in 0..8 {
            assert_eq!(challenge_once(&mut world, &mut verifier, stale), None);
        }
        assert_eq!(world.expect(A, refused), (caller, 401));
        assert_eq!(world.sent_count(A, "INVITE"), invites, "{password}");
        world.settle();
    }
}

#[test]
fn without_credentials_a_challenge_is_a_refusal() {
    let mut world = World::new(63);
    let mut verifier = verifier();
    let caller = world.call(A, B, None);
    challenge_once(&mut world, &mut verifier, false);
    assert_eq!(world.expect(A, refused), (caller, 401));
}

#[test]
fn hanging_up_between_challenge_and_answer_ends_the_call() {
    let mut world = World::new(64);
    let mut verifier = verifier();
    let caller = world.call(A, B, Some(credentials("secret")));
    world.run_for(Span::from_ms(30));
    world.hang_up(A, caller);
    challenge_once(&mut world, &mut verifier, false);
    assert_eq!(world.expect(A, ended), (caller, EndCause::Hungup));
    world.settle();
}

const CHALLENGE: &str = "WWW-Authenticate";

/// B is a registrar, A a phone.
struct Desk {
    world: World,
    registrar: Registrar,
    /// Whether it says of a nonce that it is too old, or just gives another one.
    says_stale: bool,
}

impl Desk {
    fn new(seed: u64, limits: RegistrarLimits) -> Self {
        let mut entropy = Entropy::from_number(seed);
        let registrar = Registrar::new("desk", &mut entropy, 10, limits);
        Self { world: World::new(seed), registrar, says_stale: true }
    }

    fn register(&mut self, password: &str, expires: Span) -> RegistrationId {
        let register = Register {
            flow: flow(A, B),
            registrar: "sip:desk.example".parse().unwrap(),
            aor: NameAddr::new("sip:alice@desk.example".parse().unwrap()),
            contact: Uri::at(Some("alice"), address(A)),
            expires,
            credentials: Some(credentials(password)),
        };
        self.world.act(A, |endpoint, now| endpoint.register(now, register))
    }

    /// Runs, with B answering every REGISTER.
    fn run_for(&mut self, span: Span) -> Vec<Change> {
        let until = self.world.now + span;
        let mut changes = Vec::new();
        loop {
            let moved = self.world.step(until);
            for event in self.world.events(B) {
                let Event::Request { id, flow, request } = event else { panic!("{event:?}") };
                let password = |user: &str| (user == "alice").then_some("secret");
                let (mut response, more) = self.registrar.handle(self.world.now, flow, &request, password);
                changes.extend(more);
                if !self.says_stale {
                    let challenges: Vec<String> = response.headers.get_all(CHALLENGE).map(str::to_owned).collect();
                    response.headers.remove(CHALLENGE);
                    for challenge in challenges {
                        response.headers.push(CHALLENGE, &challenge.replace(", stale=true", ""));
                    }
                }
                self.world.act(B, |endpoint, now| endpoint.respond(now, id, response));
            }
            if !moved {
                return changes;
            }
        }
    }

    fn registered(&mut self) -> Vec<Span> {
        let events = self.world.events(A);
        events
            .into_iter()
            .map(|event| if let Event::Registered { expires, .. } = event { expires } else { panic!("{event:?}") })
            .collect()
    }
}

#[test]
fn a_registration_answers_the_challenge_and_refreshes_itself_at_80_percent_with_one_message() {
    let mut desk = Desk::new(65, RegistrarLimits::default());
    desk.register("secret", Span::from_s(100));
    let changes = desk.run_for(Span::from_s(1));
    assert!(
        matches!(&changes[..], [Change::Bound { account, binding }] if account == "alice" && binding.flow.peer == address(A))
    );
    assert_eq!(desk.registered(), [Span::from_s(100)]);
    assert_eq!(desk.world.sent_count(A, "REGISTER"), 2);
    desk.run_for(Span::from_s(78));
    assert_eq!(desk.world.sent_count(A, "REGISTER"), 2);
    desk.run_for(Span::from_s(2));
    // The known nonce is used again, so that a refresh costs one round trip.
    assert_eq!(desk.world.sent_count(A, "REGISTER"), 3);
    assert_eq!(desk.registered(), [Span::from_s(100)]);
    // Five minutes on it is stale and replaced without anybody noticing.
    desk.run_for(Span::from_s(600));
    assert!(desk.registered().iter().all(|expires| *expires == Span::from_s(100)));
    assert!(desk.world.sent_count(B, "SIP/2.0 401") <= 4);
    assert_eq!(desk.registrar.expire(desk.world.now), []);
    assert_eq!(desk.registrar.bindings("alice").count(), 1);
}

#[test]
fn a_nonce_that_is_too_old_is_replaced_at_once_where_the_registrar_does_not_say_stale() {
    let mut desk = Desk::new(75, RegistrarLimits::default());
    desk.says_stale = false;
    desk.register("secret", Span::from_s(100));
    desk.run_for(Span::from_s(3_600));
    // Not one of them failed, and each took one 401 at most.
    let registered = desk.registered();
    assert!(registered.len() >= 44 && registered.iter().all(|expires| *expires == Span::from_s(100)), "{registered:?}");
    let challenged = desk.world.sent_count(B, "SIP/2.0 401");
    assert!((10..=13).contains(&challenged), "{challenged} challenges in an hour of nonces that hold for 5 minutes");
}

#[test]
fn a_registration_that_moves_leaves_nothing_at_its_old_address_though_a_register_was_under_way() {
    let mut desk = Desk::new(76, RegistrarLimits::default());
    let id = desk.register("secret", Span::from_s(100));
    desk.run_for(Span::from_s(1));
    // One is on its way, and will never be answered.
    desk.world.filter(|_, line| !line.starts_with("REGISTER"));
    desk.world.act(A, |endpoint, now| endpoint.register_again(now, id));
    desk.run_for(Span::from_ms(100));
    desk.world.filter(|_, _| true);
    let contact = Uri::at(Some("elsewhere"), address(A));
    desk.world.act(A, |endpoint, now| endpoint.move_registration(now, id, flow(A, B), contact));
    let begin = desk.world.now;
    let changes = desk.run_for(Span::from_s(1));
    assert!(changes.iter().any(|change| matches!(change, Change::Unbound { .. })), "{changes:?}");
    let bindings: Vec<String> = desk.registrar.bindings("alice").map(|binding| binding.contact.clone()).collect();
    assert_eq!(bindings, ["sip:elsewhere@192.0.2.1:5060"]);
    assert!(desk.world.now - begin <= Span::from_s(1));
    // The one that was given up is not heard of any more.
    desk.run_for(Span::from_s(70));
    let failed = desk.world.events(A).into_iter().any(|event| matches!(event, Event::RegistrationFailed { .. }));
    assert!(!failed);
}

#[test]
fn unregistering_takes_the_binding_away_and_tells_so() {
    let mut desk = Desk::new(66, RegistrarLimits::default());
    let id = desk.register("secret", Span::from_s(100));
    desk.run_for(Span::from_s(1));
    desk.world.act(A, |endpoint, now| endpoint.unregister(now, id));
    let changes = desk.run_for(Span::from_s(1));
    assert!(matches!(&changes[..], [Change::Unbound { account, .. }] if account == "alice"));
    assert_eq!(desk.registered(), [Span::from_s(100), Span::ZERO]);
    assert_eq!(desk.registrar.len(), 0);
    desk.world.settle();
}

#[test]
fn unregistering_while_a_refresh_is_out_sends_the_last_register_after_it() {
    let mut desk = Desk::new(67, RegistrarLimits::default());
    let id = desk.register("secret", Span::from_s(100));
    desk.world.act(A, |endpoint, now| endpoint.unregister(now, id));
    desk.run_for(Span::from_s(2));
    assert_eq!(desk.registered(), [Span::ZERO]);
    assert_eq!(desk.registrar.len(), 0);
    desk.world.settle();
}

#[test]
fn a_registration_that_is_too_brief_is_asked_for_as_long_as_the_registrar_wants() {
    let mut desk = Desk::new(68, RegistrarLimits { min_expires: Span::from_s(60), ..RegistrarLimits::default() });
    desk.register("secret", Span::from_s(10));
    desk.run_for(Span::from_s(1));
    assert_eq!(desk.registered(), [Span::from_s(60)]);
}

#[test]
fn a_failed_registration_is_tried_again_with_growing_waits() {
    let mut desk = Desk::new(69, RegistrarLimits::default());
    desk.register("wrong", Span::from_s(100));
    desk.run_for(Span::from_s(600));
    let waits: Vec<u64> = desk
        .world
        .events(A)
        .into_iter()
        .map(|event| match event {
            Event::RegistrationFailed { status: Some(401), retry_in, .. } => retry_in.as_ms(),
            other => panic!("{other:?}"),
        })
        .collect();
    for (wait, most) in waits.iter().zip([4_000, 8_000, 16_000, 32_000, 64_000, 120_000, 120_000]) {
        assert!((most / 2..=most).contains(wait), "{waits:?}");
    }
    assert!(waits.len() >= 7, "{waits:?}");
}

#[test]
fn a_registrar_that_is_away_is_found_again_by_itself() {
    let mut desk = Desk::new(70, RegistrarLimits::default());
    desk.world.weather.loss = 100;
    desk.register("secret", Span::from_s(100));
    desk.run_for(Span::from_s(33));
    assert!(matches!(desk.world.events(A)[..], [Event::RegistrationFailed { status: None, .. }]));
    desk.world.weather.loss = 0;
    desk.run_for(Span::from_s(10));
    assert_eq!(desk.registered(), [Span::from_s(100)]);
}

#[test]
fn a_challenged_reinvite_and_bye_are_sent_again_with_credentials() {
    let mut world = World::new(71);
    let caller = world.call(A, B, Some(credentials("secret")));
    world.run_for(Span::from_ms(50));
    let callee = world.expect(B, invited);
    world.answer(B, callee);
    world.run_for(Span::from_ms(50));
    world.expect(A, answered);
    // From here B's requests are judged by hand: its endpoint is replaced by nobody, and the test answers.
    world.parties[B].address = "192.0.2.77:5060".parse().unwrap();
    let mut verifier = verifier();
    world.act(A, |endpoint, now| endpoint.reoffer(now, caller, Some(Body::sdp("v=0 hold"))));
    assert_eq!(answer_by_hand(&mut world, &mut verifier), ["INVITE 401", "ACK", "INVITE 200", "ACK"]);
    assert!(world.events(A).iter().any(|event| matches!(event, Event::ReofferAnswered { .. })));
    world.hang_up(A, caller);
    assert_eq!(answer_by_hand(&mut world, &mut verifier), ["BYE 407", "BYE 200"]);
    assert_eq!(world.expect(A, ended), (caller, EndCause::Hungup));
}

/// Answers A's requests like a server that wants credentials for each; gives what happened.
fn answer_by_hand(world: &mut World, verifier: &mut DigestVerifier) -> Vec<String> {
    use offhook_sip::{Message, Method, Response};
    let mut seen = Vec::new();
    for _ in 0..4 {
        world.run_for(Span::from_ms(25));
        for (_, message) in core::mem::take(&mut world.strays) {
            let Message::Request(request) = message else { continue };
            if request.method == Method::Ack {
                seen.push("ACK".to_owned());
                continue;
            }
            let (status, asked, given) = if request.method == Method::Bye {
                (407, "Proxy-Authenticate", "Proxy-Authorization")
            } else {
                (401, "WWW-Authenticate", "Authorization")
            };
            let (method, value) = (request.method.as_str(), request.headers.get(given));
            let verdict =
                value.map(|value| verifier.verify(world.now, address(A).ip(), &request, value, |_| Some("secret")));
            let status = if verdict == Some(Verdict::Ok) { 200 } else { status };
            let mut response = Response::to_request(&request, status);
            if status != 200 {
                for challenge in verifier.challenges(world.now, address(A).ip(), false) {
                    response.headers.push(asked, &challenge.to_string());
                }
            }
            seen.push(format!("{method} {status}"));
            world.send(address(B), address(A), &response.to_bytes());
        }
    }
    seen
}

#[test]
fn the_program_may_ask_for_other_methods_than_the_default_ones() {
    let config = EndpointConfig { methods: Vec::new(), ..EndpointConfig::default() };
    let mut world = World::with(72, &config, 2);
    let register = Register {
        flow: flow(A, B),
        registrar: "sip:desk.example".parse().unwrap(),
        aor: NameAddr::new("sip:alice@desk.example".parse().unwrap()),
        contact: Uri::at(Some("alice"), address(A)),
        expires: Span::from_s(60),
        credentials: None,
    };
    world.act(A, |endpoint, now| endpoint.register(now, register));
    world.run_for(Span::from_s(1));
    assert!(matches!(world.events(A)[..], [Event::RegistrationFailed { status: Some(405), .. }]));
    assert!(world.events(B).is_empty());
}
