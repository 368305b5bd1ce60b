//! The torture messages of RFC 5118, section by section: IPv6 in URIs, Vias and session descriptions.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use offhook_plan::{Direction, MediaCaps};
use offhook_sip::sdp::{self, Local, Srtp};
use offhook_sip::{Message, Request};

/// A request to `uri` with these header lines and body.
fn message(start: &str, lines: &[&str], body: &str) -> Vec<u8> {
    let fixed = [
        "To: sip:user@example.com",
        "From: sip:user@example.com;tag=81x2",
        "Call-ID: SSG9559905523997077@hlau_4100",
        "Max-Forwards: 70",
    ];
    let cseq = format!("CSeq: 98176 {}", start.split(' ').next().expect("a method"));
    let mut text = format!("{start} SIP/2.0\r\n");
    for line in fixed.into_iter().chain([cseq.as_str()]).chain(lines.iter().copied()) {
        text.push_str(line);
        text.push_str("\r\n");
    }
    let length = body.len();
    [text, format!("Content-Length: {length}\r\n\r\n{body}")].concat().into_bytes()
}

fn request(start: &str, lines: &[&str], body: &str) -> Request {
    match Message::parse(&message(start, lines, body)) {
        Ok(Message::Request(request)) => request,
        other => panic!("{start}: {other:?}"),
    }
}

const VIA: &str = "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111";

fn top_via(line: &str) -> offhook_sip::Via {
    request("REGISTER sip:[2001:db8::10]", &[line], "").headers.vias().expect("a Via").remove(0)
}

#[test]
fn a_valid_reference_is_read_4_1() {
    let request = request("REGISTER sip:[2001:db8::10]", &[VIA, "Contact: \"Caller\" <sip:caller@[2001:db8::1]>"], "");
    assert_eq!((request.uri.host.as_str(), request.uri.port), ("[2001:db8::10]", None));
}

#[test]
fn a_reference_without_brackets_is_400_4_2() {
    let lines = [VIA, "Contact: \"Caller\" <sip:caller@[2001:db8::1]>"];
    let error = Message::parse(&message("REGISTER sip:2001:db8::10", &lines, "")).expect_err("an ambiguous URI");
    assert_eq!(error.fault.status(), 400);
    assert!(error.salvaged.is_some(), "it can be answered");
}

#[test]
fn a_port_within_the_brackets_belongs_to_the_address_4_3() {
    let request = request("REGISTER sip:[2001:db8::10:5070]", &[VIA], "");
    assert_eq!((request.uri.host.as_str(), request.uri.port), ("[2001:db8::10:5070]", None));
}

#[test]
fn a_port_behind_the_brackets_is_a_port_4_4() {
    let request = request("REGISTER sip:[2001:db8::10]:5070", &[VIA], "");
    assert_eq!((request.uri.host.as_str(), request.uri.port), ("[2001:db8::10]", Some(5070)));
}

#[test]
fn received_is_read_with_and_without_brackets_4_5() {
    let received: IpAddr = "2001:db8::9:255".parse().expect("an address");
    for value in ["[2001:db8::9:255]", "2001:db8::9:255"] {
        let via = top_via(&format!("Via: SIP/2.0/UDP [2001:db8::9:1];received={value};branch=z9hG4bKas3-111"));
        assert_eq!(via.received(), Some(received), "{value}");
        assert_eq!(via.branch(), Some("z9hG4bKas3-111"), "{value}");
    }
}

const US: Local = Local {
    address: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x99)),
    port: 10_000,
    session_id: 7,
    version: 1,
    srtp: Srtp::OFF,
};

/// Where an offer with this connection and these media lines wants its sound.
fn wants_sound_at(connection: &str, media: &str) -> SocketAddr {
    let offer = format!(
        "v=0\r\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\r\ns=Live\r\n{connection}t=3338481189 3370017201\r\n{media}"
    );
    let offer = request("INVITE sip:user@[2001:db8::10]", &[VIA, "Content-Type: application/sdp"], &offer).body;
    sdp::answer(&offer, &US, &MediaCaps::g711(), Direction::SendRecv).expect("an answer").1.remote_rtp
}

fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

#[test]
fn an_ipv6_connection_line_is_where_sound_goes_4_6() {
    let media = "m=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";
    assert_eq!(wants_sound_at("c=IN IP6 2001:db8::20\r\n", media), at("[2001:db8::20]:6000"));
}

#[test]
fn addresses_of_both_families_stand_in_one_message_4_7() {
    let lines = [
        VIA,
        "Via: SIP/2.0/TCP 192.0.2.200:5060;received=192.0.2.200;branch=z9hG4bKasd0e3x",
        "Via: SIP/2.0/TCP [2001:db8::1]:6060;received=[2001:db8::2];branch=z9hG4bKas3-1w",
        "Contact: <sip:bob@[2001:db8::1]>, <sip:bob@192.0.2.1:5070>",
    ];
    let request = request("BYE sip:user@host.example.net", &lines, "");
    let vias = request.headers.vias().expect("three Vias");
    let hosts: Vec<(&str, Option<u16>)> = vias.iter().map(|via| (via.host.as_str(), via.port)).collect();
    assert_eq!(hosts, [("[2001:db8::9:1]", None), ("192.0.2.200", Some(5060)), ("[2001:db8::1]", Some(6060))]);
    let received: Vec<Option<IpAddr>> = vias.iter().map(offhook_sip::Via::received).collect();
    assert_eq!(received, [None, Some("192.0.2.200".parse().unwrap()), Some("2001:db8::2".parse().unwrap())]);
}

#[test]
fn each_media_line_may_have_an_address_of_its_own_family_4_8() {
    let media = "m=audio 22334 RTP/AVP 0\r\nc=IN IP4 192.0.2.20\r\nm=video 6024 RTP/AVP 107\r\nc=IN IP6 2001:db8::1\r\n\
                 a=rtpmap:107 H263-1998/90000\r\n";
    assert_eq!(wants_sound_at("", media), at("192.0.2.20:22334"));
    let media = "m=audio 22334 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\n";
    assert_eq!(wants_sound_at("c=IN IP4 192.0.2.20\r\n", media), at("[2001:db8::1]:22334"));
}

#[test]
fn an_ipv4_mapped_address_is_read_in_headers_and_sessions_4_9() {
    let lines =
        ["Via: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19", "Contact: <sip:a@[::ffff:192.0.2.10]>"];
    let request = request("INVITE sip:user@example.com", &lines, "");
    let via = request.headers.vias().expect("a Via").remove(0);
    assert_eq!((via.host.as_str(), via.port), ("[::ffff:192.0.2.10]", Some(19_823)));
    let media = "m=audio 6000 RTP/AVP 0\r\n";
    assert_eq!(wants_sound_at("c=IN IP6 ::FFFF:192.0.2.10\r\n", media), at("[::ffff:192.0.2.10]:6000"));
}

#[test]
fn three_colons_before_an_ipv4_part_are_understood_4_10() {
    let request = request("OPTIONS sip:user@[2001:db8:::192.0.2.1]", &[VIA], "");
    assert_eq!(request.uri.host_ip(), Some(at("[2001:db8::192.0.2.1]:5060").ip()));
    for nonsense in ["[2001:db8:::1]", "[2001:db8::::192.0.2.1]", "[1:::2:::192.0.2.1]"] {
        assert!(format!("sip:user@{nonsense}").parse::<offhook_sip::Uri>().is_err(), "{nonsense}");
    }
}
