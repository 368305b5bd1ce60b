//! Reading and printing SIP messages, and digest authentication: what one call and one registration cost in `sip`'s message layer.
//!
//! Budget: an INVITE with SDP is read and printed in under 10 us, a REGISTER's answer verified in well under 100 us.

use divan::{Bencher, black_box};
use offhook_benches::messages::{INVITE, REGISTER};
use offhook_sip::{
    Algorithm, Credentials, DigestConfig, DigestVerifier, Message, Request, Response, Verdict, answer_challenge,
};
use offhook_units::{Entropy, Tick};

fn main() {
    divan::main();
}

fn invite() -> Request {
    match Message::parse(INVITE.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("the INVITE is well formed: {other:?}"),
    }
}

#[divan::bench]
fn parse_invite() -> Message {
    Message::parse(black_box(INVITE.as_bytes())).expect("the INVITE is well formed")
}

#[divan::bench]
fn parse_and_print_invite(bencher: Bencher) {
    let mut out = Vec::with_capacity(2_048);
    bencher.bench_local(|| {
        out.clear();
        Message::parse(black_box(INVITE.as_bytes())).expect("the INVITE is well formed").write(&mut out);
        out.len()
    });
}

#[divan::bench]
fn read_typed_headers_of_invite(bencher: Bencher) {
    let request = invite();
    bencher.bench_local(|| {
        let headers = &black_box(&request).headers;
        (headers.top_via(), headers.from(), headers.to(), headers.cseq(), headers.contacts(), headers.record_routes())
    });
}

#[divan::bench]
fn print_answer_to_invite(bencher: Bencher) {
    let request = invite();
    let mut out = Vec::with_capacity(2_048);
    bencher.bench_local(|| {
        out.clear();
        Response::to_request(black_box(&request), 180).write(&mut out);
        out.len()
    });
}

#[divan::bench(args = [Algorithm::Md5, Algorithm::Sha256])]
fn challenge_and_verify(bencher: Bencher, algorithm: Algorithm) {
    let now = Tick::from_us(1_700_000_000_000_000);
    let config = DigestConfig { algorithms: vec![algorithm], ..DigestConfig::default() };
    let mut verifier = DigestVerifier::new("example.com", &mut Entropy::from_number(1), config);
    let source = "198.51.100.20".parse().expect("an address");
    let Ok(Message::Request(request)) = Message::parse(REGISTER.as_bytes()) else { panic!("it is well formed") };
    let challenge = verifier.challenges(now, source, false).next().expect("one algorithm");
    let credentials = Credentials { username: "1001".to_owned(), password: "correct horse".to_owned() };
    let answers = (1..=1_000_000)
        .map(|count| answer_challenge(&challenge, &credentials, "REGISTER", "sip:example.com", "0a4f113b", count));
    let mut answers = answers.into_iter();
    bencher.with_inputs(|| answers.next().expect("fewer samples than answers")).bench_local_values(|value| {
        let challenges: Vec<String> =
            verifier.challenges(now, source, false).map(|challenge| challenge.to_string()).collect();
        let verdict = verifier.verify(now, source, &request, black_box(&value), |_| Some("correct horse"));
        assert_eq!(verdict, Verdict::Ok);
        challenges
    });
}
