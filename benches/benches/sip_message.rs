//! Reading and printing SIP messages, and digest authentication: what one call and one registration cost in `sip`'s message layer.
//!
//! Budget: an INVITE with SDP is read and printed in under 10 us, a REGISTER's answer verified in well under 100 us.

use divan::{Bencher, black_box};
use offhook_sip::{
    Algorithm, Credentials, DigestConfig, DigestVerifier, Message, Request, Response, Verdict, answer_challenge,
};
use offhook_units::{Entropy, Tick};

fn main() {
    divan::main();
}

const INVITE: &str = "INVITE sip:+4930123456@203.0.113.5:5060;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK-524287-1---9c2f0d7a1b3e4f60;rport\r\n\
    Via: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK776asdhds;received=198.51.100.21\r\n\
    Max-Forwards: 69\r\n\
    Record-Route: <sip:198.51.100.7;lr;did=5ba.7c21>\r\n\
    Contact: <sip:+49301111111@198.51.100.20:5060;transport=udp>\r\n\
    To: <sip:+4930123456@203.0.113.5;user=phone>\r\n\
    From: \"Erika Mustermann\" <sip:+49301111111@198.51.100.7;user=phone>;tag=7f3c0a12\r\n\
    Call-ID: 84722NzU4ZmE0ZDk4YjE0OTk4ZjE1YzM0ZGRlMjM2ZTBhN2I\r\n\
    CSeq: 1 INVITE\r\n\
    Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE, UPDATE, PRACK\r\n\
    Supported: replaces, timer, 100rel\r\n\
    P-Asserted-Identity: <sip:+49301111111@198.51.100.7;user=phone>\r\n\
    Session-Expires: 1800\r\n\
    User-Agent: Trunk 4.2.1\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 231\r\n\
    \r\n\
    v=0\r\no=- 3905641283 1 IN IP4 198.51.100.30\r\ns=-\r\nc=IN IP4 198.51.100.30\r\nt=0 0\r\nm=audio 23456 RTP/AVP 8 0 101\r\n\
    a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

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

const REGISTER: &str = "REGISTER sip:example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK776asdhds;rport\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:1001@example.com>;tag=7f3c0a12\r\n\
    To: <sip:1001@example.com>\r\n\
    Call-ID: 84722NzU4ZmE0ZDk4YjE0OTk4\r\n\
    CSeq: 2 REGISTER\r\n\
    Contact: <sip:1001@198.51.100.20:5060>\r\n\
    User-Agent: Phone 4.2.1\r\n\
    Expires: 3600\r\n\
    Content-Length: 0\r\n\r\n";

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
