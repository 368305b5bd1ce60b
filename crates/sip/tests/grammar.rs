//! Rows of values and what they mean: URIs, addresses, Vias, header lines.

use offhook_sip::{Headers, Message, Method, NameAddr, Params, Request, Response, Uri, Via};

/// A URI is read into user, host and port, and printed as it was.
fn uri(text: &str, user: Option<&str>, host: &str, port: Option<u16>) -> Uri {
    let uri: Uri = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(uri.to_string(), text);
    assert_eq!((uri.user_decoded().as_deref(), uri.host.as_str(), uri.port), (user, host, port), "{text}");
    uri
}

#[test]
fn uris_are_read_and_printed_without_loss() {
    uri("sip:example.com", None, "example.com", None);
    uri("sip:alice.smith@example.com", Some("alice.smith"), "example.com", None);
    uri("sip:j.doe:pw@h", Some("j.doe"), "h", None);
    uri("sips:bob@h:5061", Some("bob"), "h", Some(5061));
    uri("sip:+14155551234;phone-context=x@gw;user=phone", Some("+14155551234;phone-context=x"), "gw", None);
    uri("sip:alice%40home@example.com", Some("alice@home"), "example.com", None);
    uri("sip:100%@h", Some("100%"), "h", None);
    uri("sip:*98#@pbx", Some("*98#"), "pbx", None);
    uri("sip:[2001:db8::1]", None, "[2001:db8::1]", None);
    uri("sip:a@[2001:db8::1]:5070;transport=tcp", Some("a"), "[2001:db8::1]", Some(5070));
    uri("sip:a@[::ffff:192.0.2.1]", Some("a"), "[::ffff:192.0.2.1]", None);
    uri("sip:a@my_pbx.lan", Some("a"), "my_pbx.lan", None);
    uri("sip:h?Subject=hi&x=y", None, "h", None);
    uri("sip:a@h;lr;q=1?to=b%40c", Some("a"), "h", None);
    uri("tel:+1-201-555-0123;phone-context=example.com", Some("+1-201-555-0123"), "", None);
    uri("urn:service:sos", None, "", None);
    uri("http://www.example.com/a?b", None, "", None);
    uri("sip:\u{e9}t\u{e9}@h", Some("\u{e9}t\u{e9}"), "h", None);
    assert_eq!("sip:h?Subject=hi".parse::<Uri>().unwrap().headers, "Subject=hi");
    assert_eq!("sip:a@h;Transport=TCP".parse::<Uri>().unwrap().param("transport"), Some("TCP"));
}

#[test]
fn what_is_no_uri_is_refused() {
    for text in [
        "",
        "sip",
        "sip:",
        "sip:@h",
        "sip:a@",
        "sip:a@h:",
        "sip:a@h:65536",
        "sip:a@h:+1",
        "sip:a@h:5060x",
        "sip:a@b@c",
        "sip:a@[2001:db8::1",
        "sip:a@[1.2.3.4]",
        "sip:a@[::1]5060",
        "sip:a b@h",
        "sip:<a@h>",
        "1sip:a",
        "s p:a",
        "tel:",
        "urn:",
        "sip:a@h\r\nVia: x",
        "sip:a@2001:db8::1",
    ] {
        assert!(text.parse::<Uri>().is_err(), "{text}");
    }
}

#[test]
fn built_uris_escape_what_a_user_part_cannot_carry() {
    for (user, text) in [
        ("alice", "sip:alice@h"),
        ("+1415", "sip:+1415@h"),
        ("alice@home", "sip:alice%40home@h"),
        ("50%", "sip:50%25@h"),
        ("a b\"<>:#", "sip:a%20b%22%3C%3E%3A%23@h"),
        ("\u{e9}", "sip:%C3%A9@h"),
    ] {
        let uri = Uri::sip(Some(user), "h", None);
        assert_eq!(uri.to_string(), text);
        assert_eq!(text.parse::<Uri>().unwrap().user_decoded().as_deref(), Some(user));
    }
    assert_eq!(Uri::at(Some("a"), "[2001:db8::1]:5060".parse().unwrap()).to_string(), "sip:a@[2001:db8::1]:5060");
    assert_eq!(Uri::sip(None, "h", Some(5060)).with_param("transport", "tcp").to_string(), "sip:h:5060;transport=tcp");
}

/// The rows of RFC 3261 section 19.1.4.
#[test]
fn equivalent_uris_are_those_of_the_rfc() {
    for (a, b, same) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            true,
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            true,
        ),
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false),
        ("sip:carol@chicago.com;security=off", "sip:carol@chicago.com;security=on", false),
        ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]", true),
        ("sip:a@h", "sips:a@h", false),
        ("tel:+1-201-555-0123", "tel:+12015550123", true),
        ("tel:+12015550123", "sip:+12015550123@h", false),
        ("urn:service:sos", "urn:service:sos", true),
    ] {
        let (a, b): (Uri, Uri) = (a.parse().unwrap(), b.parse().unwrap());
        assert_eq!(a.equivalent(&b), same, "{a} and {b}");
        assert_eq!(b.equivalent(&a), same, "{b} and {a}");
    }
}

#[test]
fn addresses_are_read_in_every_form() {
    for (text, display, uri, tag) in [
        ("sip:a@x;tag=abc", None, "sip:a@x", Some("abc")),
        ("<sip:a@x;tag=no>;tag=yes", None, "sip:a@x;tag=no", Some("yes")),
        ("\"A \\\"B\\\" <c>\" <sip:a@x>;tag=t", Some("A \"B\" <c>"), "sip:a@x", Some("t")),
        ("Bob Smith <sip:b@x>", Some("Bob Smith"), "sip:b@x", None),
        ("Bob<sip:b@x> ; tag = 1", Some("Bob"), "sip:b@x", Some("1")),
        ("sip:a@x;+sip.instance=\"<urn:uuid:0>\";tag=2", None, "sip:a@x", Some("2")),
        ("\"\" <sip:b@x>", None, "sip:b@x", None),
        ("\u{418}\u{432}\u{430}\u{43d} <sip:i@x>", Some("\u{418}\u{432}\u{430}\u{43d}"), "sip:i@x", None),
        ("\"a,b;c\"<tel:+1>;TAG=x;y", Some("a,b;c"), "tel:+1", Some("x")),
        ("<sip:a@x>;tag=a;", None, "sip:a@x", Some("a")),
        ("<sip:a@[::1]:5060>;expires=60;+sip.instance=\"<urn:uuid:0>\"", None, "sip:a@[::1]:5060", None),
    ] {
        let address: NameAddr = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((address.display.as_deref(), address.uri.to_string().as_str(), address.tag()), (display, uri, tag));
        assert_eq!(address.to_string().parse(), Ok(address));
    }
    for text in [
        "",
        "<>",
        "\"a <sip:a@x>",
        "\"a\" sip:a@x",
        "Bell, A <sip:a@x>",
        "<sip:a@x",
        "< sip:a@x>",
        "sip:a@x?b=c",
        "<sip:a@x>;;tag=1",
        "<sip:a@x>;tag=\"open",
        "<sip:a@x> trailing",
        "a b",
        "<sip:a@x>;tag=a b",
    ] {
        assert!(text.parse::<NameAddr>().is_err(), "{text}");
    }
}

#[test]
fn an_address_is_changed_in_place() {
    let mut address: NameAddr = "<sip:a@x>;tag=old;x=1".parse().unwrap();
    address.set_tag("new");
    assert_eq!(address.to_string(), "<sip:a@x>;tag=new;x=1");
    let built = NameAddr::new(Uri::sip(Some("a"), "x", None)).with_display("A \"B\"\r\nVia: evil").with_tag("t");
    assert_eq!(built.to_string(), "\"A \\\"B\\\"  Via: evil\" <sip:a@x>;tag=t");
}

#[test]
fn vias_are_read_and_marked_with_where_they_came_from() {
    for (text, transport, host, port, branch) in [
        ("SIP/2.0/UDP a.b:5060;branch=z9hG4bK1", "UDP", "a.b", Some(5060), Some("z9hG4bK1")),
        ("sip/2.0/udp h", "udp", "h", None, None),
        ("SIP / 2.0 / WSS  df7jal23ls0d.invalid ; branch = z9 ;rport", "WSS", "df7jal23ls0d.invalid", None, Some("z9")),
        (
            "SIP/2.0/TCP [2001:db8::9:1]:5061;received=[2001:db8::9:255];branch=z9",
            "TCP",
            "[2001:db8::9:1]",
            Some(5061),
            Some("z9"),
        ),
        ("SIP/2.0/UDP h : 5062;branch=x", "UDP", "h", Some(5062), Some("x")),
    ] {
        let via: Via = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(
            (via.transport.as_str(), via.host.as_str(), via.port, via.branch()),
            (transport, host, port, branch)
        );
        assert_eq!(via.to_string().parse(), Ok(via));
    }
    for text in [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0 h",
        "SIP/3.0/UDP h",
        "HTTP/1.1/TCP h",
        "SIP/2.0/UDP h:70000",
        "SIP/2.0/UDP ::1",
        "SIP/2.0/UDP h;;branch=x",
    ] {
        assert!(text.parse::<Via>().is_err(), "{text}");
    }
    let mut via = Via::new("UDP", "192.0.2.1:5060".parse().unwrap(), "z9hG4bKx");
    assert!(via.asks_rport());
    via.set_received("2001:db8::1".parse().unwrap());
    via.set_rport(4242);
    assert_eq!(via.to_string(), "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx;rport=4242;received=2001:db8::1");
    assert_eq!((via.rport(), via.received(), via.asks_rport()), (Some(4242), "2001:db8::1".parse().ok(), false));
    assert_eq!(
        "SIP/2.0/UDP h;received=[2001:db8::9:255]".parse::<Via>().unwrap().received(),
        "2001:db8::9:255".parse().ok()
    );
}

fn headers(lines: &str) -> Headers {
    let text = format!(
        "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@x>\r\nTo: <sip:a@x>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n{lines}\r\n"
    );
    match Message::parse(text.as_bytes()) {
        Ok(Message::Request(request)) => request.headers,
        other => panic!("{lines}: {other:?}"),
    }
}

#[test]
fn lists_are_split_by_the_header_they_stand_in() {
    let headers = headers(
        "Supported: timer, 100rel\r\nk: path\r\nSupported:\r\nSubject: a, b\r\nX-Mine: a, b\r\nDate: Sat, 13 Nov 2010 23:29:00 GMT\r\n\
         Contact: \"a, b\" <sip:a,b@x>;q=1, <sip:c@x>\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n",
    );
    assert_eq!(headers.values("Supported").collect::<Vec<_>>(), ["timer", "100rel", "path"]);
    assert!(headers.lists("supported", "100REL") && !headers.lists("Supported", "100"));
    assert_eq!(headers.values("Subject").collect::<Vec<_>>(), ["a, b"]);
    assert_eq!(headers.values("x-mine").collect::<Vec<_>>(), ["a, b"]);
    assert_eq!(headers.values("Date").count(), 1);
    assert_eq!(headers.values("WWW-Authenticate").count(), 1);
    let contacts = headers.contacts().unwrap();
    assert_eq!(
        (contacts.len(), contacts[0].uri.user.as_deref(), contacts[1].uri.user.as_deref()),
        (2, Some("a,b"), Some("c"))
    );
}

#[test]
fn typed_headers_give_their_values_or_say_what_is_wrong() {
    let all = headers(
        "Expires: 4294967296\r\nRetry-After: 120 (I'm in a meeting);duration=60\r\nMin-Expires: x\r\nContact: *\r\n",
    );
    assert_eq!(all.expires(), Ok(Some(u32::MAX)));
    assert_eq!(all.retry_after(), Ok(Some(120)));
    assert!(all.min_expires().is_err());
    assert!(all.contact_is_star() && all.contacts().unwrap().is_empty());
    assert_eq!(all.max_forwards(), Ok(None));
    let typed = headers(
        "c: Application / SDP ;charset=utf-8\r\nMax-Forwards: 0070\r\nRoute: <sip:a;lr>,<sip:b;lr>\r\nRoute: <sip:c>\r\n",
    );
    assert!(typed.has_content_type("application/sdp") && !typed.has_content_type("application"));
    assert_eq!(typed.max_forwards(), Ok(Some(70)));
    assert_eq!(
        typed.routes().unwrap().iter().map(|route| route.uri.host.as_str()).collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    assert!(typed.record_routes().unwrap().is_empty());
}

#[test]
fn headers_are_changed_without_touching_their_neighbours() {
    let mut headers = headers("Via: SIP/2.0/UDP b, SIP/2.0/UDP c\r\nX: 1\r\nx: 2\r\nY: 3\r\n");
    headers.set("X", "new\r\nEvil: yes");
    assert_eq!(headers.get_all("x").collect::<Vec<_>>(), ["new  Evil: yes"]);
    headers.push("not a token", "x");
    headers.push_front("First", " trimmed ");
    assert_eq!(headers.iter().next(), Some(("First", "trimmed")));
    assert_eq!(headers.remove("y") + headers.remove("first"), 2);
    let mut top = headers.top_via().unwrap();
    top.set_rport(9);
    headers.set_top_via(&top);
    assert_eq!(headers.get("v"), Some("SIP/2.0/UDP h;rport=9"));
    assert!(headers.pop_via());
    headers.push_via(&Via::new("UDP", "192.0.2.9:1".parse().unwrap(), "z"));
    let hosts: Vec<String> = headers.vias().unwrap().into_iter().map(|via| via.host).collect();
    assert_eq!(hosts, ["192.0.2.9", "b", "c"]);
    assert!(headers.pop_via() && headers.pop_via());
    assert_eq!(headers.get("Via"), Some("SIP/2.0/UDP c"));
    assert!(headers.pop_via() && !headers.pop_via());
    headers.set_cseq(7, &Method::Bye);
    assert_eq!(headers.cseq(), Ok((7, Method::Bye)));
}

#[test]
fn a_response_copies_what_belongs_to_the_request() {
    let text = "INVITE sip:x SIP/2.0\r\nv: SIP/2.0/UDP a;branch=1,SIP/2.0/UDP b\r\nVia: SIP/2.0/UDP c\r\nRecord-Route: <sip:p;lr>\r\n\
                f: \"\\A\" <sip:a@x>;tag=1\r\nt: <sip:b@x>\r\ni: c\r\nCSeq: 1 INVITE\r\nTimestamp: 54\r\nX: y\r\n\r\n";
    let Ok(Message::Request(request)) = Message::parse(text.as_bytes()) else { panic!("it is well formed") };
    let print = |status| String::from_utf8(Response::to_request(&request, status).to_bytes()).unwrap();
    let common = "v: SIP/2.0/UDP a;branch=1,SIP/2.0/UDP b\r\nVia: SIP/2.0/UDP c\r\nf: \"\\A\" <sip:a@x>;tag=1\r\nt: <sip:b@x>\r\ni: c\r\n\
                  CSeq: 1 INVITE\r\n";
    assert_eq!(print(100), format!("SIP/2.0 100 Trying\r\n{common}Timestamp: 54\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!(
        print(180),
        format!("SIP/2.0 180 Ringing\r\n{common}Record-Route: <sip:p;lr>\r\nContent-Length: 0\r\n\r\n")
    );
    assert_eq!(print(486), format!("SIP/2.0 486 Busy Here\r\n{common}Content-Length: 0\r\n\r\n"));
}

/// Blanks of other alphabets and control characters are part of a value; only spaces and tabs stand around it.
#[test]
fn a_value_that_begins_with_a_blank_of_another_kind_is_read_in_its_place() {
    for blank in ["\u{c}", "\u{b}", "\u{a0}", "\u{2003}", "\u{85}\u{85}"] {
        for tail in ["\r\n\r\n", "\r\n", ""] {
            let text = format!("MESSAGE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nX: \t{blank}y\u{e9}{tail}");
            let headers = match Message::parse(text.as_bytes()) {
                Ok(message) => message.headers().clone(),
                Err(error) => error.salvaged.expect("it has a Via").headers,
            };
            assert_eq!(headers.get("X"), Some(&*format!("{blank}y\u{e9}")));
        }
    }
}

#[test]
fn a_uri_with_a_parameter_twice_is_equivalent_to_itself() {
    let uri: Uri = "sip:a@b;user=phone;x;user=ip?h=1&h=2".parse().unwrap();
    assert!(uri.equivalent(&uri.to_string().parse().unwrap()));
}

#[test]
fn a_built_request_goes_on_the_wire_with_its_length() {
    let mut request = Request::new(Method::Message, "sip:b@x".parse().unwrap());
    request.headers.push("Via", "SIP/2.0/UDP h;branch=z9hG4bK1");
    request.headers.push("Content-Length", "999");
    request.set_body("text/plain", b"hi".to_vec());
    assert_eq!(
        String::from_utf8(request.to_bytes()).unwrap(),
        "MESSAGE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nhi"
    );
    let mut response = Response::new(200);
    response.reason = "Fine\r\nEvil: yes".to_owned();
    assert_eq!(response.to_bytes(), b"SIP/2.0 200 Fine  Evil: yes\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(Params::new().to_string(), "");
}
