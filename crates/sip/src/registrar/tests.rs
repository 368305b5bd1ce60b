//! The registrar by rows: what a REGISTER says, what it gets, and what stands afterwards.

use super::*;
use crate::{Credentials, Message, Transport, answer_challenge};

const NOW: Tick = Tick::from_us(1_700_000_000_000_000);

struct Desk {
    registrar: Registrar,
    now: Tick,
    user: &'static str,
    transport: Transport,
}

fn flow() -> Flow {
    let address = |text: &str| text.parse().unwrap();
    Flow { transport: Transport::Udp, local: address("192.0.2.1:5060"), peer: address("192.0.2.2:5060") }
}

fn password_of(user: &str) -> Option<&'static str> {
    matches!(user, "alice" | "bob").then_some("secret")
}

impl Desk {
    fn new(bindings_max: usize, limits: RegistrarLimits) -> Self {
        let registrar = Registrar::new("desk", &mut Entropy::from_number(1), bindings_max, limits);
        Self { registrar, now: NOW, user: "alice", transport: Transport::Udp }
    }

    fn request(call_id: &str, cseq: u32, lines: &str, authorization: Option<String>) -> Request {
        let mut text = format!(
            "REGISTER sip:desk SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK1\r\nFrom: <sip:alice@desk>;tag=1\r\n\
             To: <sip:alice@desk>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\n"
        );
        for line in lines.split('|').filter(|line| !line.is_empty()) {
            text.push_str(line);
            text.push_str("\r\n");
        }
        if let Some(value) = authorization {
            text.extend(["Authorization: ", &value, "\r\n"]);
        }
        text.push_str("\r\n");
        match Message::parse(text.as_bytes()) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    /// With right credentials for `user`: status, and the contacts that stand afterwards with their seconds.
    fn register(&mut self, call_id: &str, cseq: u32, lines: &str) -> (Response, Vec<Change>) {
        let bare = Self::request(call_id, cseq, lines, None);
        let flow = Flow { transport: self.transport, ..flow() };
        let (challenged, changes) = self.registrar.handle(self.now, flow, &bare, password_of);
        assert!(challenged.status == 401 && changes.is_empty());
        let value = challenged.headers.get("WWW-Authenticate").unwrap();
        let challenge = crate::Challenge::parse(value).unwrap();
        let credentials = Credentials { username: self.user.to_owned(), password: "secret".to_owned() };
        let answer = answer_challenge(&challenge, &credentials, "REGISTER", "sip:desk", "c", 1);
        let request = Self::request(call_id, cseq, lines, Some(answer));
        self.registrar.handle(self.now, flow, &request, password_of)
    }

    #[track_caller]
    fn check(&mut self, call_id: &str, cseq: u32, lines: &str, status: u16, contacts: &[&str]) {
        let (response, _) = self.register(call_id, cseq, lines);
        assert_eq!(response.status, status, "{}", response.reason);
        if status == 200 {
            let stand: Vec<&str> = response.headers.get_all("Contact").collect();
            assert_eq!(stand, contacts);
        }
    }
}

#[test]
fn contacts_are_bound_refreshed_and_taken_away() {
    let mut desk = Desk::new(10, RegistrarLimits::default());
    desk.check("a", 1, "Contact: <sip:alice@10.0.0.1>|Expires: 60", 200, &["<sip:alice@10.0.0.1>;expires=60"]);
    desk.check("a", 2, "", 200, &["<sip:alice@10.0.0.1>;expires=60"]);
    desk.now += Span::from_s(10);
    desk.check(
        "b",
        1,
        "Contact: <sip:alice@10.0.0.2>;expires=90, <sip:alice@10.0.0.3>",
        200,
        &["<sip:alice@10.0.0.3>;expires=3600", "<sip:alice@10.0.0.2>;expires=90", "<sip:alice@10.0.0.1>;expires=50"],
    );
    desk.check(
        "a",
        3,
        "Contact: <sip:ALICE@10.0.0.9>;expires=0, <sip:alice@10.0.0.1>;expires=0",
        200,
        &["<sip:alice@10.0.0.3>;expires=3600", "<sip:alice@10.0.0.2>;expires=90"],
    );
    desk.check("c", 1, "Contact: *|Expires: 0", 200, &[]);
    assert!(desk.registrar.is_empty() && desk.registrar.next_expiry().is_none());
}

#[test]
fn a_register_that_is_wrong_changes_nothing() {
    let mut desk = Desk::new(10, RegistrarLimits::default());
    desk.check("a", 5, "Contact: <sip:alice@10.0.0.1>|Expires: 60", 200, &["<sip:alice@10.0.0.1>;expires=60"]);
    for (call_id, cseq, lines, status) in [
        ("a", 6, "Contact: *", 400),
        ("a", 6, "Contact: *|Expires: 60", 400),
        ("a", 6, "Contact: *, <sip:alice@10.0.0.2>|Expires: 0", 400),
        ("a", 6, "Contact: <tel:+4930123>", 400),
        ("a", 5, "Contact: <sip:alice@10.0.0.1>;expires=0", 400),
        ("a", 4, "Contact: *|Expires: 0", 400),
        ("a", 6, "Contact: <sip:alice@10.0.0.2>, <sip:alice@10.0.0.1>;expires=5", 423),
    ] {
        desk.check(call_id, cseq, lines, status, &[]);
    }
    desk.check("a", 6, "", 200, &["<sip:alice@10.0.0.1>;expires=60"]);
    // Another Call-ID has its own order, RFC 3261 section 10.3 step 7.
    desk.check("z", 1, "Contact: <sip:alice@10.0.0.1>;expires=0", 200, &[]);
}

#[test]
fn expiry_that_cannot_be_read_is_an_hour_and_long_ones_are_shortened() {
    let mut desk = Desk::new(10, RegistrarLimits { max_expires: Span::from_s(1_000), ..RegistrarLimits::default() });
    desk.check("a", 1, "Contact: <sip:alice@10.0.0.1>;expires=banana", 200, &["<sip:alice@10.0.0.1>;expires=1000"]);
    desk.check(
        "a",
        2,
        "Contact: <sip:alice@10.0.0.1>|Expires: 4294967295",
        200,
        &["<sip:alice@10.0.0.1>;expires=1000"],
    );
    let (response, _) = desk.register("a", 3, "Contact: <sip:alice@10.0.0.1>;expires=29");
    assert_eq!((response.status, response.headers.get("Min-Expires")), (423, Some("30")));
}

#[test]
fn only_right_credentials_of_the_same_user_register() {
    let mut desk = Desk::new(10, RegistrarLimits::default());
    let bare = Desk::request("a", 1, "", None);
    let (challenged, _) = desk.registrar.handle(NOW, flow(), &bare, password_of);
    let algorithms: Vec<bool> =
        challenged.headers.get_all("WWW-Authenticate").map(|value| value.contains("SHA-256")).collect();
    assert_eq!(algorithms, [true, false]);
    // A page's library knows this one alone.
    let mut by_page = bare;
    let via = by_page.headers.get("Via").expect("a Via").replace("SIP/2.0/UDP", "SIP/2.0/WSS");
    by_page.headers.set("Via", &via);
    let (challenged, _) = desk.registrar.handle(NOW, flow(), &by_page, password_of);
    let algorithms: Vec<bool> =
        challenged.headers.get_all("WWW-Authenticate").map(|value| value.contains("MD5")).collect();
    assert_eq!(algorithms, [true]);
    desk.check("a", 1, "Contact: <sip:alice@10.0.0.1>", 200, &["<sip:alice@10.0.0.1>;expires=3600"]);
    desk.check("a", 2, "", 200, &["<sip:alice@10.0.0.1>;expires=3600"]);
    desk.user = "bob";
    desk.check("b", 1, "Contact: <sip:bob@10.0.0.1>", 403, &[]);
    desk.user = "mallory";
    desk.check("b", 1, "Contact: <sip:bob@10.0.0.1>", 401, &[]);
    let wrong =
        Desk::request("a", 2, "Contact: *|Expires: 0", Some("Digest username=\"alice\", realm=\"desk\"".into()));
    assert_eq!(desk.registrar.handle(NOW, flow(), &wrong, password_of).0.status, 401);
    assert_eq!(desk.registrar.bindings("alice").count(), 1);
}

#[test]
fn what_was_bound_runs_out_in_time() {
    let mut desk = Desk::new(10, RegistrarLimits::default());
    desk.check("a", 1, "Contact: <sip:alice@10.0.0.1>;expires=60", 200, &["<sip:alice@10.0.0.1>;expires=60"]);
    assert_eq!(desk.registrar.next_expiry(), Some(NOW + Span::from_s(60)));
    assert_eq!(desk.registrar.expire(NOW + Span::from_ms(59_999)), []);
    let gone = Change::Unbound { account: "alice".into(), contact: "sip:alice@10.0.0.1".into() };
    assert_eq!(desk.registrar.expire(NOW + Span::from_s(60)), [gone]);
    assert!(desk.registrar.is_empty() && desk.registrar.bindings("alice").next().is_none());
}

#[test]
fn a_contact_written_another_way_is_the_same_one() {
    let mut desk = Desk::new(10, RegistrarLimits::default());
    desk.check("a", 1, "Contact: <sip:alice@Host.example>", 200, &["<sip:alice@Host.example>;expires=3600"]);
    let (_, changes) = desk.register("a", 2, "Contact: <sip:%61lice@host.EXAMPLE>");
    assert!(matches!(&changes[..], [Change::Unbound { .. }, Change::Bound { .. }]), "{changes:?}");
    assert_eq!(desk.registrar.len(), 1);
}

#[test]
fn bindings_are_bounded_for_all_and_for_each() {
    let limits = RegistrarLimits { contacts_max: 2, ..RegistrarLimits::default() };
    let mut desk = Desk::new(10, limits.clone());
    desk.check("a", 1, "Contact: <sip:a@1.1.1.1>, <sip:a@1.1.1.2>, <sip:a@1.1.1.3>", 403, &[]);
    let mut desk = Desk::new(1, limits);
    let (response, _) = desk.register("a", 1, "Contact: <sip:a@1.1.1.1>, <sip:a@1.1.1.2>");
    assert_eq!((response.status, response.headers.get("Retry-After")), (503, Some("30")));
    desk.check("a", 1, "Contact: <sip:a@1.1.1.1>", 200, &["<sip:a@1.1.1.1>;expires=3600"]);
    assert_eq!(desk.registrar.counters(), RegistrarCounters { full: 1, ..RegistrarCounters::default() });
    // A refresh needs no room.
    desk.check("a", 2, "Contact: <sip:a@1.1.1.1>", 200, &["<sip:a@1.1.1.1>;expires=3600"]);
}

#[test]
fn bindings_survive_a_restart() {
    let mut desk = Desk::new(10, RegistrarLimits::default());
    desk.register("a", 7, "Contact: <sip:alice@10.0.0.1>;expires=60|User-Agent: Phone 1");
    let kept: Vec<Binding> = desk.registrar.bindings("alice").cloned().collect();
    assert_eq!((kept[0].user_agent.as_deref(), kept[0].cseq, kept[0].flow), (Some("Phone 1"), 7, flow()));
    let mut desk = Desk::new(10, RegistrarLimits::default());
    for binding in kept {
        desk.registrar.restore(binding.clone());
        desk.registrar.restore(binding);
    }
    assert_eq!(desk.registrar.len(), 1);
    desk.check("a", 7, "Contact: <sip:alice@10.0.0.1>;expires=0", 400, &[]);
    desk.check("a", 8, "Contact: <sip:alice@10.0.0.1>;expires=0", 200, &[]);
}

#[test]
fn a_phone_on_a_connection_is_gone_with_it_and_one_that_came_back_on_another_stays() {
    let mut registrar = Desk::new(100, RegistrarLimits::default()).registrar;
    let udp = flow();
    let first = Flow { transport: crate::Transport::Tcp, ..udp };
    let second = Flow { peer: "192.0.2.7:40002".parse().expect("an address"), ..first };
    let binding = |flow, contact: &str| Binding {
        translated: false,
        account: "alice".to_owned(),
        contact: contact.to_owned(),
        flow,
        call_id: "1".to_owned(),
        cseq: 1,
        expires_at: Tick::from_us(1) + Span::from_s(60),
        user_agent: None,
        q: 1_000,
        path: Vec::new(),
        instance: None,
        reg_id: None,
    };
    for (flow, contact) in [(first, "sip:alice@192.0.2.7:1"), (first, "sip:alice@192.0.2.7:2"), (udp, "sip:alice@h")] {
        let uri = contact.parse().expect("a URI");
        registrar.bind(uri, binding(flow, contact).into());
    }
    let again = "sip:alice@192.0.2.7:2";
    registrar.bind(again.parse().expect("a URI"), binding(second, again).into());
    let gone = vec![Change::Unbound { account: "alice".to_owned(), contact: "sip:alice@192.0.2.7:1".to_owned() }];
    assert_eq!(registrar.lose_flow(first), gone);
    assert_eq!(registrar.lose_flow(first), []);
    assert_eq!(registrar.len(), 2);
    assert!(registrar.restore(binding(first, "sip:alice@192.0.2.7:3")).is_some(), "no connection outlives its program");
}

#[test]
fn the_most_wanted_contact_stands_first_and_gives_way_last() {
    let limits = RegistrarLimits { contacts_max: 3, ..RegistrarLimits::default() };
    let mut desk = Desk::new(10, limits);
    desk.check(
        "a",
        1,
        "Contact: <sip:a@1.1.1.1>;q=0.5, <sip:a@1.1.1.2>;q=1, <sip:a@1.1.1.3>;q=0.25",
        200,
        &[
            "<sip:a@1.1.1.2>;expires=3600",
            "<sip:a@1.1.1.1>;expires=3600;q=0.500",
            "<sip:a@1.1.1.3>;expires=3600;q=0.250",
        ],
    );
    // A phone that came back at another address, without telling that it is the same one, is never locked out.
    let (response, changes) = desk.register("b", 1, "Contact: <sip:a@1.1.1.4>;q=0.5");
    assert_eq!(response.status, 200);
    assert!(
        matches!(&changes[..], [Change::Unbound { contact, .. }, Change::Bound { .. }] if contact == "sip:a@1.1.1.3")
    );
    let stand: Vec<&str> = desk.registrar.bindings("alice").map(|binding| &*binding.contact).collect();
    assert_eq!(stand, ["sip:a@1.1.1.2", "sip:a@1.1.1.4", "sip:a@1.1.1.1"]);
    assert_eq!(desk.registrar.counters().gave_way, 1);
}

const INSTANCE: &str = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>\"";

#[test]
fn a_phone_that_restarts_with_another_address_and_call_id_replaces_itself() {
    let mut desk = Desk::new(10, RegistrarLimits::default());
    for (call_id, cseq, port) in [("a", 9, 1_111), ("b", 1, 2_222)] {
        let lines = format!("Contact: <sip:alice@10.0.0.1:{port}>;{INSTANCE}");
        desk.check(call_id, cseq, &lines, 200, &[&format!("<sip:alice@10.0.0.1:{port}>;expires=3600;{INSTANCE}")]);
    }
    // Another way of the same phone stands beside the first, and is replaced by its own number.
    for (call_id, reg_id, port, count) in [("c", 1, 3_333, 2), ("d", 2, 4_444, 3), ("e", 1, 5_555, 3)] {
        let lines = format!("Contact: <sip:alice@10.0.0.1:{port}>;{INSTANCE};reg-id={reg_id}");
        let (response, changes) = desk.register(call_id, 1, &lines);
        assert_eq!((response.status, desk.registrar.len()), (200, count));
        let gone =
            changes.iter().any(|change| matches!(change, Change::Unbound { contact, .. } if contact.ends_with("3333")));
        assert_eq!(gone, port == 5_555);
    }
    // Two addresses of one phone in one REGISTER stand both.
    let two = format!("Contact: <sip:alice@10.0.0.1:6>;{INSTANCE}, <sip:alice@10.0.0.1:7>;{INSTANCE}");
    assert_eq!(desk.register("f", 1, &two).0.headers.get_all("Contact").count(), 4);
}

#[test]
fn the_flow_timer_is_for_phones_that_ask_for_outbound_on_a_connection_of_their_own() {
    let limits = RegistrarLimits { flow_timer: Span::from_s(90), ..RegistrarLimits::default() };
    let outbound = format!("Contact: <sip:alice@10.0.0.1>;{INSTANCE};reg-id=1|Supported: outbound");
    let plain = format!("Contact: <sip:alice@10.0.0.1>;{INSTANCE}|Supported: outbound");
    for (transport, lines, expected) in [
        (Transport::Tcp, &outbound, Some("90")),
        (Transport::Wss, &outbound, Some("90")),
        (Transport::Udp, &outbound, None),
        (Transport::Tcp, &plain, None),
    ] {
        let mut desk = Desk::new(10, limits.clone());
        desk.transport = transport;
        let (response, _) = desk.register("a", 1, lines);
        assert_eq!((response.status, response.headers.get("Flow-Timer")), (200, expected), "{transport:?} {lines}");
    }
}

#[test]
fn an_instance_is_given_a_public_gruu_where_the_phone_knows_what_that_is() {
    let mut desk = Desk::new(10, RegistrarLimits::default());
    let gruu = "pub-gruu=\"sip:alice@desk;gr=urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF\"";
    let lines = format!("Contact: <sip:alice@10.0.0.1>;{INSTANCE}");
    desk.check("a", 1, &lines, 200, &[&format!("<sip:alice@10.0.0.1>;expires=3600;{INSTANCE}")]);
    let lines = format!("{lines}|Supported: path, gruu");
    desk.check("a", 2, &lines, 200, &[&format!("<sip:alice@10.0.0.1>;expires=3600;{INSTANCE};{gruu}")]);
    let binding = desk.registrar.bindings("alice").next().unwrap();
    assert!(binding.is_instance("urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF") && !binding.is_instance("urn:uuid:1"));
}

#[test]
fn the_path_of_a_phone_behind_proxies_is_kept_in_order_and_told_back() {
    let mut desk = Desk::new(10, RegistrarLimits::default());
    let lines = "Contact: <sip:alice@10.0.0.1>|Path: <sip:inner.example;lr>, <sip:edge@192.0.2.9;lr;ob>";
    let (response, _) = desk.register("a", 1, lines);
    let path: Vec<&str> = response.headers.get_all("Path").collect();
    assert_eq!(path, ["<sip:inner.example;lr>", "<sip:edge@192.0.2.9;lr;ob>"]);
    assert_eq!(desk.registrar.bindings("alice").next().unwrap().path, path);
    let many = (0..9).map(|n| format!("<sip:p{n};lr>")).collect::<Vec<_>>().join(", ");
    for path in ["nobody", "<tel:1>", &many] {
        desk.check("a", 2, &format!("Contact: <sip:alice@10.0.0.1>|Path: {path}"), 400, &[]);
    }
    assert_eq!(desk.registrar.counters().malformed, 3);
}

#[test]
fn outbound_is_agreed_on_unless_a_proxy_in_between_knows_nothing_of_it() {
    let mut desk = Desk::new(10, RegistrarLimits::default());
    let lines = format!("Contact: <sip:alice@10.0.0.1>;{INSTANCE};reg-id=1|Supported: path, outbound");
    let (response, _) = desk.register("a", 1, &lines);
    assert_eq!((response.status, response.headers.get("Require")), (200, Some("outbound")));
    let via = "Via: SIP/2.0/UDP 192.0.2.3:5060;branch=z9hG4bK2";
    let refused = desk.register("a", 2, &format!("{via}|Path: <sip:192.0.2.3;lr>|{lines}")).0;
    assert_eq!((refused.status, &*refused.reason), (439, "First Hop Lacks Outbound Support"));
    assert_eq!(desk.register("a", 3, &format!("{via}|Path: <sip:192.0.2.3;lr;ob>|{lines}")).0.status, 200);
}

#[test]
fn what_a_phone_told_of_itself_survives_a_restart_and_so_do_bindings_kept_before_there_was_so_much_to_tell() {
    let mut desk = Desk::new(10, RegistrarLimits::default());
    let lines = format!("Contact: <sip:alice@10.0.0.1>;q=0.5;{INSTANCE};reg-id=2|Path: <sip:edge.example;lr>");
    desk.register("a", 1, &lines);
    let kept = serde_json::to_string(desk.registrar.bindings("alice").next().unwrap()).unwrap();
    let mut fresh = Desk::new(10, RegistrarLimits::default()).registrar;
    fresh.restore(serde_json::from_str(&kept).unwrap());
    assert_eq!(fresh.bindings("alice").next(), desk.registrar.bindings("alice").next());
    let mut old: serde_json::Value = serde_json::from_str(&kept).unwrap();
    for field in ["q", "path", "instance", "reg_id"] {
        assert!(old.as_object_mut().unwrap().remove(field).is_some());
    }
    let old: Binding = serde_json::from_value(old).unwrap();
    assert_eq!((old.q, old.path.len(), old.instance, old.reg_id), (1_000, 0, None, None));
}
