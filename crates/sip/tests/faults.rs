//! Faults seen in other stacks, each as a test that this one does not have it; and the limits.

use offhook_sip::{Fault, HEADERS_MAX, MESSAGE_BYTES_MAX, Message, Method, ParseError, Request, frame_len};

const COMMON: &str =
    "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 MESSAGE\r\n";

fn message(lines: &str, body: &str) -> Vec<u8> {
    format!("MESSAGE sip:b@x SIP/2.0\r\n{COMMON}{lines}\r\n{body}").into_bytes()
}

fn request(bytes: &[u8]) -> Request {
    match Message::parse(bytes) {
        Ok(Message::Request(request)) => request,
        other => panic!("{}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

fn refused(bytes: &[u8]) -> ParseError {
    Message::parse(bytes).expect_err(&String::from_utf8_lossy(bytes))
}

#[test]
fn content_length_with_spaces_before_the_colon_counts_on_a_stream() {
    let bytes = message("Content-Length : 5\r\n", "helloOPTIONS sip:x SIP/2.0\r\n");
    assert_eq!(frame_len(&bytes).unwrap(), Some(bytes.len() - "OPTIONS sip:x SIP/2.0\r\n".len()));
    assert_eq!(request(&bytes).body, b"hello");
    assert_eq!(frame_len(&bytes[..bytes.len() - 24]), Ok(None), "one byte of the body is missing");
}

#[test]
fn two_content_lengths_are_accepted_only_when_they_agree() {
    assert_eq!(request(&message("Content-Length: 2\r\nl: 2\r\n", "hi")).body, b"hi");
    for lines in
        ["Content-Length: 2\r\nl: 1\r\n", "l: 0\r\nl: 2\r\n", "Content-Length: 2, 2\r\n", "Content-Length:\r\n"]
    {
        let bytes = message(lines, "hi");
        assert!(matches!(refused(&bytes).fault, Fault::ContentLength(_)), "{lines}");
        assert!(matches!(frame_len(&bytes).unwrap_err().fault, Fault::ContentLength(_)), "{lines}");
    }
}

#[test]
fn content_lengths_do_not_overflow() {
    for number in [
        "18446744073709551615",
        "18446744073709551616",
        "4294967296",
        "99999999999999999999999999",
        "-1",
        "+2",
        "2x",
        "0x2",
    ] {
        let bytes = message(&format!("Content-Length: {number}\r\n"), "hi");
        assert!(refused(&bytes).salvaged.is_some(), "{number}");
        assert!(frame_len(&bytes).is_err(), "{number}");
    }
}

#[test]
fn a_longer_datagram_is_cut_and_a_shorter_one_refused() {
    assert_eq!(request(&message("Content-Length: 2\r\n", "hi there")).body, b"hi");
    assert!(matches!(refused(&message("Content-Length: 3\r\n", "hi")).fault, Fault::ContentLength(_)));
    assert_eq!(request(&message("", "all of it")).body, b"all of it");
}

#[test]
fn a_bare_line_feed_in_the_wrong_place_harms_nobody() {
    let bytes = b"OPTIONS sip:b@y SIP/2.0\r\nTo: x\n\r\nAB";
    assert!(matches!(frame_len(bytes).unwrap_err().fault, Fault::ContentLength(_)));
    assert_eq!(refused(bytes).salvaged, None);
}

#[test]
fn bytes_that_are_no_utf_8_in_one_header_leave_the_others_alone() {
    let mut bytes = message("", "");
    let at = bytes.len() - 2;
    bytes.splice(at..at, b"X-Odd: a\xff\xfe\xc3b\r\n \xe2\x82\r\nAfter: fine\r\nContent-Length: 0\r\n".iter().copied());
    let request = request(&bytes);
    assert_eq!(request.headers.get("x-odd"), Some("a???b ??"));
    assert_eq!(request.headers.get("After"), Some("fine"));
    let printed = request.to_bytes();
    assert!(printed.windows(5).any(|window| window == b"a\xff\xfe\xc3b"), "the bytes go on as they came");
    assert!(printed.windows(13).any(|window| window == b"After: fine\r\n"));
}

#[test]
fn users_are_sent_again_as_they_came() {
    for user in ["alice%40home", "+1415", "%2B1415", "a%20b"] {
        let bytes = format!("MESSAGE sip:{user}@x SIP/2.0\r\n{COMMON}Content-Length: 0\r\n\r\n").into_bytes();
        assert_eq!(request(&bytes).to_bytes(), bytes);
    }
}

#[test]
fn ipv6_brackets_stay_in_via() {
    let via = request(b"MESSAGE sip:x SIP/2.0\r\nv: SIP/2.0/UDP [2001:db8::1]:5062;branch=z\r\nf: <sip:a@x>\r\nt: <sip:b@x>\r\ni: c\r\nCSeq: 1 MESSAGE\r\n\r\n")
        .headers
        .top_via()
        .unwrap();
    assert_eq!(via.to_string(), "SIP/2.0/UDP [2001:db8::1]:5062;branch=z");
}

#[test]
fn an_address_without_brackets_keeps_its_tag() {
    let bytes = message("", "");
    let text = String::from_utf8(bytes).unwrap().replace("<sip:a@x>;tag=1", "sip:a@x;tag=abc");
    assert_eq!(request(text.as_bytes()).headers.from_tag(), Some("abc"));
}

#[test]
fn messages_are_not_printed_into_logs_with_their_values() {
    let request = request(&message("Authorization: Digest username=\"alice\", response=\"secret\"\r\n", ""));
    let shown = format!("{:?}", request.headers);
    assert!(shown.contains("Authorization") && !shown.contains("alice") && !shown.contains("secret"), "{shown}");
}

#[test]
fn methods_are_told_apart_by_case_and_unknown_ones_are_carried() {
    let text = String::from_utf8(message("", "")).unwrap();
    let lower = request(text.replace("MESSAGE", "message").as_bytes());
    assert_eq!(lower.method, Method::Other("message".into()));
    assert!(lower.to_bytes().starts_with(b"message sip:b@x SIP/2.0\r\n"));
}

#[test]
fn bare_line_feeds_and_keep_alives_are_understood() {
    let text = String::from_utf8(message("Content-Length: 2\r\n", "hi")).unwrap().replace("\r\n", "\n");
    assert_eq!(request(text.as_bytes()).body, b"hi");
    assert_eq!(request(format!("\r\n\r\n{text}").as_bytes()).body, b"hi");
    for keep_alive in [&b"\r\n\r\n"[..], b"\r\n", b""] {
        assert_eq!(refused(keep_alive).fault, Fault::KeepAlive);
        assert_eq!(frame_len(keep_alive), Ok(None));
    }
}

#[test]
fn what_is_no_sip_is_told_apart_and_never_answered() {
    for bytes in [
        &b"\x80\0\0\x01RTP"[..],
        b"\x00\x01\x00\x00\x21\x12\xa4\x42",
        b"GET / HTTP/1.1\r\n\r\n",
        b"hello",
        b"jaK",
        b"a b\r\n\r\n",
        b"\0",
    ] {
        let error = refused(bytes);
        assert!(matches!(error.fault, Fault::NotSip(_)), "{error}");
        assert_eq!(error.salvaged, None);
    }
}

#[test]
fn lines_that_are_no_headers_are_refused_and_can_be_answered() {
    for line in ["no colon\r\n", ": no name\r\n", "sp ace: x\r\n", "X: a\rb\r\n", "X: a\r\r\n", "\u{e9}: x\r\n"] {
        let error = refused(&message(line, ""));
        assert!(matches!(error.fault, Fault::HeaderLine(_)), "{line:?}: {error}");
        assert_eq!(error.salvaged.unwrap().headers.call_id(), Some("c"));
    }
    let unfinished = format!("MESSAGE sip:b@x SIP/2.0\r\n{COMMON}");
    assert_eq!(refused(unfinished.as_bytes()).fault, Fault::Unfinished);
    assert_eq!(frame_len(unfinished.as_bytes()), Ok(None));
}

#[test]
fn limits_are_kept() {
    let too_many = message(&"X: y\r\n".repeat(HEADERS_MAX), "");
    let error = refused(&too_many);
    assert_eq!((error.fault, error.fault.status()), (Fault::TooManyHeaders, 513));
    assert!(error.salvaged.is_some());
    let hops = message(&format!("Via: {}\r\nX: y\r\n", vec!["SIP/2.0/UDP h"; 600].join(",")), "");
    assert_eq!(refused(&hops).fault, Fault::TooManyHeaders);
    assert_eq!(refused(&message("", &"x".repeat(MESSAGE_BYTES_MAX))).fault, Fault::TooLarge);
    let endless = "MESSAGE sip:b@x SIP/2.0\r\nX: ".to_owned() + &"x".repeat(MESSAGE_BYTES_MAX);
    assert_eq!(frame_len(endless.as_bytes()).unwrap_err().fault, Fault::TooLarge);
    let large = message(&format!("Content-Length: {MESSAGE_BYTES_MAX}\r\n"), "");
    assert_eq!(frame_len(&large).unwrap_err().fault, Fault::TooLarge);
}
