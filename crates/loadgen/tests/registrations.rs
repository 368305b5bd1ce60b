//! Runs of registrations on a virtual clock, against a registrar of the test that challenges, over a network of 5 ms a way.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use offhook_loadgen::arrivals::{Pattern, Rates};
use offhook_loadgen::registrations::{Output, RegisterLoad, Registrations};
use offhook_sip::{DigestConfig, DigestVerifier, Flow, Message, Response, Transport, Uri, Verdict};
use offhook_units::{Entropy, Span, Tick};

const WAY: Span = Span::from_ms(5);
const DEADLINE: Span = Span::from_s(300);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn load(accounts: u32, per_s: f64, lasting: Option<Span>) -> RegisterLoad {
    RegisterLoad {
        server: at("127.0.0.1:5060"),
        transport: Transport::Udp,
        tls: None,
        lead: offhook_net::streams::Lead { peer: at("127.0.0.1:5060"), names: Vec::new(), path: None },
        domain: Uri::sip(None, "pbx.test", None),
        local: at("127.0.0.4:5060"),
        accounts,
        first: 1,
        user: "r{n:04}".into(),
        password: "pw{n:04}".into(),
        pattern: Pattern::Even(Rates::constant(per_s)),
        lasting,
        expires: Span::from_s(3_600),
        keep: false,
        server_pid: None,
    }
}

struct World {
    now: Tick,
    registrations: Registrations,
    verifier: DigestVerifier,
    /// The password of this account is another one.
    wrong: Option<&'static str>,
    /// What this account asks is not answered.
    ignored: Option<&'static str>,
    /// The registrar answers everything only at this instant or later.
    stall: Option<(Tick, Tick)>,
    granted_s: u32,
    /// Bound accounts, and how often each was.
    bound: BTreeMap<String, u32>,
    under_way: BTreeMap<(Tick, u64), (bool, Vec<u8>)>,
    sent: u64,
}

impl World {
    fn new(load: RegisterLoad) -> Self {
        let now = Tick::from_us(1_000_000_000);
        let mut entropy = Entropy::from_number(17);
        let verifier = DigestVerifier::new("pbx.test", &mut entropy, DigestConfig::default());
        let local = load.local;
        Self {
            now,
            registrations: Registrations::new(now, load, local, entropy),
            verifier,
            wrong: None,
            ignored: None,
            stall: None,
            granted_s: 3_600,
            bound: BTreeMap::new(),
            under_way: BTreeMap::new(),
            sent: 0,
        }
    }

    fn send(&mut self, to_server: bool, bytes: Vec<u8>) {
        self.sent += 1;
        let mut at = self.now + WAY;
        if let Some((_, to)) = self.stall.filter(|(from, to)| to_server && at >= *from && at < *to) {
            at = to;
        }
        self.under_way.insert((at, self.sent), (to_server, bytes));
    }

    /// What the registrar says.
    fn serve(&mut self, bytes: &[u8]) {
        let Ok(Message::Request(request)) = Message::parse(bytes) else { panic!("a request is well formed") };
        let user = request.headers.to().unwrap().uri.user_decoded().unwrap().into_owned();
        if self.ignored == Some(&*user) {
            return;
        }
        let source = at("127.0.0.4:5060").ip();
        let password = if self.wrong == Some(&*user) { "another".to_owned() } else { user.replace('r', "pw") };
        let shown = request.headers.get("Authorization").map(str::to_owned).unwrap_or_default();
        let verdict = self.verifier.verify(self.now, source, &request, &shown, |_| Some(&password));
        let mut response = Response::to_request(&request, if verdict == Verdict::Ok { 200 } else { 401 });
        if verdict == Verdict::Ok {
            let contact = request.headers.get("Contact").unwrap();
            if contact.contains("expires=0") {
                assert!(self.bound.contains_key(&user), "{user} ends what it never began");
            } else {
                *self.bound.entry(user).or_default() += 1;
                response.headers.push("Contact", &contact.replace("=3600", &format!("={}", self.granted_s)));
            }
        } else {
            let stale = verdict == Verdict::Stale;
            for challenge in self.verifier.challenges(self.now, source, stale) {
                response.headers.push("WWW-Authenticate", &challenge.to_string());
            }
        }
        let mut bytes = Vec::new();
        response.write(&mut bytes);
        self.send(false, bytes);
    }

    fn run(mut self) -> (Registrations, BTreeMap<String, u32>, Span) {
        let begin = self.now;
        let flow = Flow { transport: Transport::Udp, local: at("127.0.0.4:5060"), peer: at("127.0.0.1:5060") };
        while !self.registrations.is_over() {
            assert!(self.now.since(begin) < DEADLINE, "the run does not end");
            let until = loop {
                match self.registrations.poll_output() {
                    Output::Transmit { bytes, .. } => self.send(true, bytes),
                    Output::Wait { until } => break until,
                }
            };
            let next = [until, self.under_way.keys().next().map(|key| key.0)];
            self.now = next.into_iter().flatten().min().unwrap().max(self.now);
            while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= self.now) {
                match entry.remove() {
                    (true, bytes) => self.serve(&bytes),
                    (false, bytes) => self.registrations.receive(self.now, flow, Message::parse(&bytes).unwrap()),
                }
            }
            self.registrations.timeout(self.now);
        }
        (self.registrations, self.bound, self.now.since(begin))
    }
}

#[test]
fn a_hundred_accounts_have_one_turn_each_are_challenged_once_and_leave() {
    let (registrations, bound, lasted) = World::new(load(100, 50.0, None)).run();
    let figures = registrations.figures();
    assert_eq!((figures.due, figures.registered, figures.refreshed, figures.left), (100, 100, 0, 100));
    assert_eq!((figures.failed, figures.still_out, figures.now_in, figures.now_out), (0, 0, 0, 0));
    assert!(bound.len() == 100 && bound.values().all(|times| *times == 1), "{bound:?}");
    // Two ways there and back, of which the second brings the answer to the challenge.
    assert!((figures.first.ms_at(0.99) - 20.0).abs() < 0.1, "{:?}", figures.first.quantiles());
    // Whoever ends a registration answers the challenge of the one before.
    assert!((figures.leave.ms_at(0.99) - 10.0).abs() < 0.1, "{:?}", figures.leave.quantiles());
    assert_eq!(figures.requests, 300);
    assert!((Span::from_ms(3_950)..Span::from_ms(4_200)).contains(&lasted), "{lasted}");
}

#[test]
fn ten_accounts_at_50_a_second_for_4_s_are_refreshed_19_times_each_by_one_request() {
    let (registrations, bound, _) = World::new(load(10, 50.0, Some(Span::from_s(4)))).run();
    let figures = registrations.figures();
    assert_eq!((figures.due, figures.registered, figures.refreshed, figures.ran_out), (200, 10, 190, 0));
    assert!(bound.values().all(|times| *times == 20), "{bound:?}");
    assert!((figures.refresh.ms_at(0.99) - 10.0).abs() < 0.1, "{:?}", figures.refresh.quantiles());
    // Two each to begin, one each to refresh and to end.
    assert_eq!(figures.requests, 20 + 190 + 10);
}

#[test]
fn a_wrong_password_and_a_registrar_that_is_silent_are_failures_of_their_own_causes_and_no_other_waits_for_them() {
    let mut world = World::new(load(10, 10.0, None));
    (world.wrong, world.ignored) = (Some("r0003"), Some("r0007"));
    let (registrations, bound, lasted) = world.run();
    let figures = registrations.figures();
    assert_eq!((figures.registered, figures.failed, figures.left, bound.len()), (8, 2, 8, 8));
    let causes: Vec<(&str, u64)> = figures.causes.iter().map(|(why, count)| (&**why, *count)).collect();
    assert_eq!(causes, [("401 Unauthorized", 1), ("no answer within 32 s", 1)]);
    assert!(lasted > Span::from_s(32) && lasted < Span::from_s(36), "{lasted}");
    assert!(figures.first.quantiles().max < 21.0, "{:?}", figures.first.quantiles());
}

#[test]
fn a_stall_of_400_ms_is_in_every_register_that_was_due_meanwhile_and_an_account_that_waits_is_left_out() {
    let mut world = World::new(load(20, 100.0, Some(Span::from_s(2))));
    let from = world.now + Span::from_s(1);
    world.stall = Some((from, from + Span::from_ms(400)));
    let (registrations, _, _) = world.run();
    let figures = registrations.figures();
    // 40 turns come due meanwhile: each of 20 accounts waits once, and is left out once.
    assert!((19..=21).contains(&figures.still_out), "{}", figures.still_out);
    assert!(figures.refresh.quantiles().max > 395.0, "{:?}", figures.refresh.quantiles());
    assert!((figures.refresh.ms_at(0.5) - 10.0).abs() < 0.1, "{:?}", figures.refresh.quantiles());
    assert!(figures.most_out >= 20 && figures.now_out == 0, "{}", figures.most_out);
    assert_eq!(figures.due, figures.registered + figures.refreshed + figures.still_out);
}

#[test]
fn what_a_registrar_grants_for_2_s_is_refreshed_before_it_runs_out_and_counts_apart() {
    let mut load = load(1, 0.1, Some(Span::from_s(11)));
    load.keep = true;
    let mut world = World::new(load);
    world.granted_s = 2;
    let (registrations, bound, _) = world.run();
    let figures = registrations.figures();
    assert_eq!((figures.due, figures.registered, figures.refreshed), (2, 1, 1));
    // Every 1.6 s, four fifths of what was granted, for the 10 s between the turns.
    assert!((5..=7).contains(&figures.ran_out), "{}", figures.ran_out);
    assert_eq!(u64::from(bound["r0001"]), figures.ran_out + 2);
    assert_eq!((figures.left, figures.now_in), (0, 1));
}
