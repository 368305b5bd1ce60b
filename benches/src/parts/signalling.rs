//! The parts of signalling and distribution.

use core::hint::black_box;

use offhook_acd::Strategy;
use offhook_plan::{Direction, MediaCaps};
use offhook_sip::sdp::{self, Local, Srtp};
use offhook_sip::{
    Algorithm, Credentials, DigestConfig, DigestVerifier, Message, Request, Response, Verdict, answer_challenge,
};
use offhook_units::{Entropy, Tick};

use super::{Part, count};
use crate::floor::Floor;
use crate::house::House;
use crate::messages::{INVITE, REGISTER};

const fn part(name: &'static str, unit: &'static str, turns: u32, begin: fn() -> Box<dyn FnMut()>) -> Part {
    Part { name, unit, units: 1, turns, begin }
}

/// All of them.
pub const PARTS: &[Part] = &[
    part("sip: read an INVITE", "message", 500, read_invite),
    part("sip: read and print an INVITE", "message", 500, read_and_print_invite),
    part("sip: typed headers of an INVITE", "message", 500, typed_headers),
    part("sip: answer an INVITE with 180", "message", 500, answer_invite),
    part("sip: challenge and verify, MD5", "request", 300, || challenge(Algorithm::Md5)),
    part("sip: challenge and verify, SHA-256", "request", 300, || challenge(Algorithm::Sha256)),
    part("sip: answer a session description", "offer", 500, answer_offer),
    part("call: plain call, with its peers", "call", 300, || house(House::plain_call)),
    part("call: queue call, with its peers", "call", 300, || house(House::queue_call)),
    part("call: registration, MD5, with its peers", "registration", 300, || house(House::registration)),
    part("acd: decision, longest-idle", "decision", 300, || decision(Strategy::LongestIdle)),
    part("acd: decision, skills-best", "decision", 300, || decision(Strategy::SkillsBest)),
    part("acd: decision, least-occupied", "decision", 300, || decision(Strategy::LeastOccupied)),
    part("acd: enter and leave", "contact", 300, enter_and_leave),
];

/// Agents of the floor, and contacts that wait.
const AGENTS: u64 = 1_000;
const WAITING: u64 = 5_000;

fn request(text: &str) -> Request {
    match Message::parse(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("the request is well formed: {other:?}"),
    }
}

fn read_invite() -> Box<dyn FnMut()> {
    Box::new(|| drop(count(|| Message::parse(black_box(INVITE.as_bytes())).expect("it is well formed"))))
}

fn read_and_print_invite() -> Box<dyn FnMut()> {
    let mut out = Vec::with_capacity(2_048);
    Box::new(move || {
        out.clear();
        count(|| Message::parse(black_box(INVITE.as_bytes())).expect("it is well formed").write(&mut out));
    })
}

fn typed_headers() -> Box<dyn FnMut()> {
    let request = request(INVITE);
    Box::new(move || {
        let headers = &black_box(&request).headers;
        drop(count(|| {
            (
                headers.top_via(),
                headers.from(),
                headers.to(),
                headers.cseq(),
                headers.contacts(),
                headers.record_routes(),
            )
        }));
    })
}

fn answer_invite() -> Box<dyn FnMut()> {
    let request = request(INVITE);
    let mut out = Vec::with_capacity(2_048);
    Box::new(move || {
        out.clear();
        count(|| Response::to_request(black_box(&request), 180).write(&mut out));
    })
}

fn challenge(algorithm: Algorithm) -> Box<dyn FnMut()> {
    let now = Tick::from_us(1_700_000_000_000_000);
    let config = DigestConfig { algorithms: vec![algorithm], ..DigestConfig::default() };
    let mut verifier = DigestVerifier::new("example.com", &mut Entropy::from_number(1), config);
    let source = "198.51.100.20".parse().expect("an address");
    let request = request(REGISTER);
    let challenge = verifier.challenges(now, source, false).next().expect("one algorithm");
    let credentials = Credentials { username: "1001".to_owned(), password: "correct horse".to_owned() };
    let mut nonce_count = 0;
    Box::new(move || {
        nonce_count += 1;
        let answer = answer_challenge(&challenge, &credentials, "REGISTER", "sip:example.com", "0a4f113b", nonce_count);
        count(|| {
            let challenges: Vec<String> =
                verifier.challenges(now, source, false).map(|challenge| challenge.to_string()).collect();
            let verdict = verifier.verify(now, source, &request, black_box(&answer), |_| Some("correct horse"));
            assert_eq!(verdict, Verdict::Ok);
            drop(challenges);
        });
    })
}

fn answer_offer() -> Box<dyn FnMut()> {
    let offer = request(INVITE).body;
    let address = "203.0.113.5".parse().expect("an address");
    let local = Local { address, port: 10_000, session_id: 1, version: 1, srtp: Srtp::OFF };
    let caps = MediaCaps::g711();
    Box::new(move || {
        let answer = count(|| sdp::answer(black_box(&offer), &local, &caps, Direction::SendRecv));
        drop(answer.expect("both know G.711"));
    })
}

fn house(one: fn(&mut House)) -> Box<dyn FnMut()> {
    let mut house = House::new();
    Box::new(move || count(|| one(&mut house)))
}

fn decision(strategy: Strategy) -> Box<dyn FnMut()> {
    let mut floor = Floor::busy(AGENTS, WAITING, strategy);
    Box::new(move || floor.free_one(|decide| count(decide)))
}

fn enter_and_leave() -> Box<dyn FnMut()> {
    let mut floor = Floor::new(AGENTS, Strategy::LongestIdle);
    Box::new(move || count(|| floor.enter_and_leave()))
}
