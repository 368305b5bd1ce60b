//! The `rsip` crate as interchange type and as second opinion: both readers agree on plain messages, and where rsip is known to be
//! wrong a test named after its fault shows that ours is not.

use offhook_sip::{Headers, InterchangeError, Message, Method, Request, Response, Uri};
use offhook_units::Entropy;
use rsip::prelude::{HeadersExt, ToTypedHeader, UntypedHeader};

/// A plain message: nothing folded, compact, escaped, quoted oddly or listed.
fn plain(entropy: &mut Entropy) -> String {
    let token = |entropy: &mut Entropy| entropy.token()[..4 + entropy.below(8) as usize].to_owned();
    let pick = |entropy: &mut Entropy, from: &[&str]| from[entropy.below(from.len() as u64) as usize].to_owned();
    let user = |entropy: &mut Entropy| format!("u{}", token(entropy));
    let host = |entropy: &mut Entropy| pick(entropy, &["example.com", "192.0.2.7", "pbx.example.net"]);
    let port = |entropy: &mut Entropy| pick(entropy, &["", ":5060", ":65535"]);
    let method = pick(entropy, &["INVITE", "REGISTER", "BYE", "OPTIONS", "INFO", "UPDATE", "PRACK", "MESSAGE"]);
    let uri = format!(
        "sip:{}@{}{}{}",
        user(entropy),
        host(entropy),
        port(entropy),
        pick(entropy, &["", ";transport=TCP", ";lr", ";x=y"])
    );
    let start = if entropy.below(2) == 0 {
        format!("{method} {uri} SIP/2.0")
    } else {
        pick(entropy, &["SIP/2.0 200 OK", "SIP/2.0 180 Ringing"])
    };
    let body = pick(entropy, &["", "v=0\r\n"]);
    format!(
        "{start}\r\nVia: SIP/2.0/UDP {}{};branch=z9hG4bK{}\r\nMax-Forwards: 70\r\nFrom: Bob <sip:{}@{}>;tag={}\r\nTo: <{uri}>\r\n\
         Call-ID: {}@{}\r\nCSeq: {} {method}\r\nContact: <sip:{}@{}{}>\r\nUser-Agent: Plain 1.0\r\nX-Own: {}\r\nContent-Length: {}\r\n\r\n{body}",
        host(entropy),
        port(entropy),
        token(entropy),
        user(entropy),
        host(entropy),
        token(entropy),
        token(entropy),
        host(entropy),
        entropy.below(1 << 31),
        user(entropy),
        host(entropy),
        port(entropy),
        token(entropy),
        body.len()
    )
}

fn ours(text: &str) -> Message {
    Message::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn request(text: &str) -> Request {
    match ours(text) {
        Message::Request(request) => request,
        Message::Response(_) => panic!("a response: {text}"),
    }
}

#[test]
fn both_readers_agree_on_1000_plain_messages() {
    let mut entropy = Entropy::from_number(40);
    for _ in 0..1_000 {
        let text = plain(&mut entropy);
        let ours = ours(&text);
        let theirs = rsip::SipMessage::try_from(text.as_str()).unwrap();
        assert_eq!(rsip::SipMessage::try_from(&ours).unwrap(), theirs, "{text}");
        assert_eq!(Message::try_from(&theirs).unwrap(), ours, "{text}");
        let headers = ours.headers();
        let via = theirs.via_header().unwrap().typed().unwrap();
        assert_eq!(headers.top_branch(), via.branch().map(rsip::param::Branch::value));
        let from = theirs.from_header().unwrap().typed().unwrap();
        assert_eq!(headers.from().unwrap().uri.to_string(), from.uri.to_string());
        assert_eq!(headers.from_tag(), from.tag().map(rsip::param::Tag::value));
        let cseq = theirs.cseq_header().unwrap().typed().unwrap();
        assert_eq!(headers.cseq().unwrap(), (cseq.seq, cseq.method.into()));
        assert_eq!(headers.call_id(), Some(theirs.call_id_header().unwrap().value()));
    }
}

const COMMON: &str = "From: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n";

fn invite(lines: &str) -> Request {
    request(&format!("INVITE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z\r\n{COMMON}{lines}\r\n"))
}

/// The rsip message that ours becomes, printed and read by rsip again.
fn through(request: &Request) -> rsip::Request {
    let there = rsip::Request::try_from(request).unwrap();
    rsip::Request::try_from(there.to_string()).unwrap()
}

#[test]
fn rsip_loses_the_user_before_a_dot_and_we_do_not() {
    assert!(rsip::Uri::try_from("sip:alice.smith@example.com").is_ok_and(|uri| uri.user() != Some("alice.smith")));
    for (text, user) in [("sip:alice.smith@example.com", "alice.smith"), ("sip:j.doe:pw@h", "j.doe")] {
        let uri: Uri = text.parse().unwrap();
        let there = rsip::Uri::try_from(&uri).unwrap();
        assert_eq!(there.user(), Some(user));
        assert_eq!(Uri::try_from(&there), Ok(uri));
    }
}

#[test]
fn rsip_drops_the_brackets_of_ipv6_and_we_put_them_back() {
    let uri: Uri = "sip:a@[2001:db8::1]:5070".parse().unwrap();
    let there = rsip::Uri::try_from(&uri).unwrap();
    assert_eq!(there.host(), &rsip::Host::IpAddr("2001:db8::1".parse().unwrap()));
    assert_eq!(Uri::try_from(&there), Ok(uri));
}

#[test]
fn rsip_has_no_place_for_other_schemes_and_headers_and_we_say_so() {
    for text in ["tel:+12015550123", "urn:service:sos", "sip:a@h?Subject=hi"] {
        let uri: Uri = text.parse().unwrap();
        assert!(matches!(rsip::Uri::try_from(&uri), Err(InterchangeError::Uri(_))), "{text}");
    }
    let foreign = rsip::Request {
        method: rsip::Method::Options,
        uri: rsip::Uri { scheme: Some(rsip::Scheme::Other("x y".into())), ..Default::default() },
        version: rsip::Version::V2,
        headers: rsip::Headers::default(),
        body: Vec::new(),
    };
    assert!(matches!(Request::try_from(&foreign), Err(InterchangeError::Uri(_))));
}

#[test]
fn rsip_rejects_folds_and_spaces_before_the_colon_and_gets_plain_lines_from_us() {
    let request = invite("Subject : folded\r\n over lines\r\n");
    let there = through(&request);
    assert!(there.headers.iter().any(|header| header.to_string() == "Subject: folded over lines"));
}

#[test]
fn rsip_keeps_compact_names_as_unknown_and_gets_full_names_from_us() {
    let request = request(
        "INVITE sip:b@x SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z\r\nf: <sip:a@x>;tag=1\r\nt: <sip:b@x>\r\ni: c\r\nCSeq: 1 INVITE\r\nm: <sip:a@h>\r\nl: 0\r\n\r\n",
    );
    let there = through(&request);
    assert_eq!(there.call_id_header().unwrap().value(), "c");
    assert!(there.contact_header().is_ok() && there.via_header().is_ok());
}

#[test]
fn rsip_loses_the_second_via_of_a_line_and_gets_one_to_a_line_from_us() {
    let request = invite("Via: SIP/2.0/UDP b, SIP/2.0/TCP c\r\nContact: <sip:a@x>, <sip:b@x>\r\n");
    let there = through(&request);
    assert_eq!(there.headers.iter().filter(|header| matches!(header, rsip::Header::Via(_))).count(), 3);
    assert_eq!(there.headers.iter().filter(|header| matches!(header, rsip::Header::Contact(_))).count(), 2);
}

#[test]
fn rsip_has_no_new_methods_and_upper_cases_old_ones_and_we_do_neither() {
    let lower =
        request(&format!("invite sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n{}\r\n", COMMON.replace("INVITE", "invite")));
    assert_eq!(rsip::Request::try_from(&lower), Err(InterchangeError::Method("invite".to_owned())));
    for method in Method::KNOWN {
        assert_eq!(Method::from(rsip::Method::try_from(method).unwrap()), *method);
    }
}

#[test]
fn rsip_ignores_content_length_and_damages_binary_bodies_and_the_conversion_does_neither() {
    let mut request = invite("Content-Length: 0\r\n");
    request.body = vec![0, 0xff, 0xfe, b'\r', b'\n'];
    let there = rsip::Request::try_from(&request).unwrap();
    assert_eq!(there.body, request.body);
    let lengths: Vec<&rsip::Header> =
        there.headers.iter().filter(|header| matches!(header, rsip::Header::ContentLength(_))).collect();
    assert_eq!(lengths.len(), 1);
    assert_eq!(lengths[0].to_string(), "Content-Length: 5");
    assert_eq!(Request::try_from(&there).unwrap().to_bytes()[..40], request.to_bytes()[..40]);
}

#[test]
fn rsip_drops_the_phrase_of_known_codes_and_keeps_that_of_others() {
    for (status, phrase, back) in [(200, "Alright", "OK"), (486, "Busy Here", "Busy Here"), (499, "Mine", "Mine")] {
        let mut response = Response::new(status);
        phrase.clone_into(&mut response.reason);
        let there = rsip::Response::from(&response);
        assert_eq!(there.status_code.code(), status);
        assert_eq!(Response::try_from(&there).unwrap().reason, back);
    }
    let foreign = rsip::Response { status_code: rsip::StatusCode::Other(42, String::new()), ..Default::default() };
    assert_eq!(Response::try_from(&foreign), Err(InterchangeError::Status(42)));
}

#[test]
fn a_foreign_header_cannot_break_out_of_its_line() {
    let mut foreign = rsip::Response::default();
    foreign.headers.push(rsip::Header::Other("X".into(), "a\r\nEvil: yes".into()));
    let here = Response::try_from(&foreign).unwrap();
    assert_eq!(here.headers.iter().collect::<Vec<_>>(), [("X", "a  Evil: yes")]);
    foreign.headers.push(rsip::Header::Other("Bad name".into(), String::new()));
    assert_eq!(Response::try_from(&foreign), Err(InterchangeError::Header("Bad name".to_owned())));
    assert!(Headers::new().is_empty());
}

#[test]
fn rsip_reads_sha_256_and_the_tenth_count_wrongly_and_we_do_not() {
    let text = "Digest realm=\"a \\\"b\\\"\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"";
    assert_eq!(offhook_sip::Challenge::parse(text).unwrap().to_string(), text);
}
