//! Encryption as calls agree on it: who is offered keys, who is refused, and where keys never stand.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::BTreeMap;

use offhook_call::config::{Account, Answer, Config, Destination, Limits, Number, SessionTimers, SrtpSettings, Trunk};
use offhook_call::turn::Turn;
use offhook_call::{Exchange, Input, Output};
use offhook_plan::{
    Direction, Dtls, Fingerprint, HashKind, Ice, MediaCaps, MediaCommand, MediaEvent, MediaPlan, Setup,
};
use offhook_sip::sdp::{Srtp, SrtpPolicy};
use offhook_sip::{
    Challenge, Credentials, Flow, Message, Method, RegistrarLimits, Request, Response, Transport, answer_challenge, sdp,
};
use offhook_units::{Entropy, IdSource, Span, Tick};

const SERVER: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 6, 1), 5_061);
const CALLER: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 6, 2), 5_070);
const DESK: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 6, 3), 5_080);
const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

struct World {
    exchange: Exchange,
    onwards: Transport,
    now: Tick,
    plans: Vec<MediaPlan>,
    log: Vec<Vec<u8>>,
    /// Of the last final answer: `;tag=..`.
    to_tag: String,
}

impl World {
    /// Calls of the trunk go to a desk phone over `onwards`.
    fn new(srtp: SrtpSettings, of_trunk: Option<SrtpPolicy>, onwards: Transport) -> Self {
        Self::at_port(None, srtp, of_trunk, onwards)
    }

    /// The same; browsers share a port.
    fn at_port(
        port: Option<(u16, &[IpAddr])>,
        srtp: SrtpSettings,
        of_trunk: Option<SrtpPolicy>,
        onwards: Transport,
    ) -> Self {
        Self::with(Self::config(port, srtp, of_trunk, onwards), onwards)
    }

    fn config(
        port: Option<(u16, &[IpAddr])>,
        srtp: SrtpSettings,
        of_trunk: Option<SrtpPolicy>,
        onwards: Transport,
    ) -> Config {
        let desk = Flow { transport: onwards, local: SERVER.into(), peer: DESK.into() };
        let to = Destination::Dial { flow: desk, ring_for: Span::from_s(9) };
        let peers = vec![SocketAddr::from(CALLER).ip()];
        Config {
            name: "srtp".to_owned(),
            realm: "srtp".to_owned(),
            advertise: None,
            rtp_ports: 10_000..=10_099,
            browser_port: port.map(|(port, _)| port),
            browser_addresses: port.map_or_else(Vec::new, |(_, addresses)| addresses.to_vec()),
            turn: None,
            media_workers: 1,
            caps: MediaCaps::g711(),
            tones: offhook_call::config::Tones::default(),
            srtp,
            dtls: Some(fingerprint(1)),
            numbering: None,
            trunks: vec![Trunk { srtp: of_trunk, ..Trunk::new("trunk", peers) }],
            numbers: BTreeMap::from([(
                "desk".to_owned(),
                Number { answer: Answer::AtStart, to, tones: None, gate: None, record: None },
            )]),
            calendars: Vec::new(),
            flows: BTreeMap::new(),
            queues: Vec::new(),
            agents: Vec::new(),
            accounts: BTreeMap::new(),
            entrances: Vec::new(),
            limits: Limits::default(),
            lending: offhook_call::config::Lending::default(),
            registrar: RegistrarLimits::default(),
            large_requests_over: Vec::new(),
            nat_ping: offhook_call::config::NAT_PING,
            recording: offhook_call::config::Recording::default(),
            session_timers: SessionTimers::default(),
        }
    }

    fn with(config: Config, onwards: Transport) -> Self {
        let now = Tick::from_us(1_700_000_000_000_000);
        let exchange = Exchange::new(now, config, IdSource::new(1, 1), Entropy::from_number(1));
        Self { exchange, onwards, now, plans: Vec::new(), log: Vec::new(), to_tag: String::new() }
    }

    /// Sends a message from the caller, and gives what the exchange sends, each with whom it goes to.
    fn send(&mut self, transport: Transport, text: &str) -> Vec<(SocketAddr, Message)> {
        let message = Message::parse(text.as_bytes()).expect("a message");
        let mut sent = self.take(Flow { transport, local: SERVER.into(), peer: CALLER.into() }, message);
        // The desk phone is picked up at once.
        let rung = sent.iter().find_map(|(peer, message)| match message {
            Message::Request(request) if *peer == DESK.into() && request.method == Method::Invite => Some(request),
            _ => None,
        });
        if let Some(answer) = rung.map(pick_up) {
            let flow = Flow { transport: self.onwards, local: SERVER.into(), peer: DESK.into() };
            sent.extend(self.take(flow, Message::Response(answer)));
        }
        sent
    }

    fn take(&mut self, flow: Flow, message: Message) -> Vec<(SocketAddr, Message)> {
        self.exchange.handle(self.now, Input::Message { flow, message: Box::new(message) });
        self.drain()
    }

    /// What a worker tells.
    fn report(&mut self, event: MediaEvent) -> Vec<(SocketAddr, Message)> {
        self.exchange.handle(self.now, Input::Media { worker: 0, event });
        self.drain()
    }

    fn drain(&mut self) -> Vec<(SocketAddr, Message)> {
        let mut sent = Vec::new();
        loop {
            match self.exchange.poll_output() {
                Output::Transmit { flow, bytes } => {
                    sent.push((flow.peer, Message::parse(&bytes).expect("a message of ours")));
                }
                Output::Media { command: MediaCommand::Apply(plan), .. } => self.plans.push(*plan),
                Output::Log { event, .. } => self.log.push(event.encode()),
                Output::Wait { .. } => return sent,
                _ => {}
            }
        }
    }

    /// An INVITE with one audio stream; its final answer's status and description, and the description that the desk is sent.
    fn invite(&mut self, transport: Transport, cseq: u32, to_tag: &str, media: &str) -> (u16, String, Option<String>) {
        let body = format!(
            "v=0\r\no=- 1 {cseq} IN IP4 127.0.6.2\r\ns=-\r\nc=IN IP4 127.0.6.2\r\nt=0 0\r\n{}\r\n",
            media.replace('\n', "\r\n")
        );
        let (name, length) = (transport.name(), body.len());
        let text = format!(
            "INVITE sip:desk@127.0.6.1 SIP/2.0\r\nVia: SIP/2.0/{name} 127.0.6.2:5070;branch=z9hG4bK{cseq}\r\n\
             From: <sip:caller@127.0.6.2>;tag=a\r\nTo: <sip:desk@127.0.6.1>{to_tag}\r\nCall-ID: one\r\n\
             CSeq: {cseq} INVITE\r\nContact: <sip:caller@127.0.6.2:5070>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        let sent = self.send(transport, &text);
        let text_of = |body: &[u8]| String::from_utf8(body.to_vec()).expect("text");
        let answer = sent.iter().find_map(|(_, message)| match message {
            Message::Response(response) if response.status >= 200 => {
                let to = response.headers.get("To").expect("a To").to_owned();
                Some((response.status, text_of(&response.body), to))
            }
            _ => None,
        });
        let (status, description, to) = answer.expect("a final answer");
        self.to_tag = to.find(";tag=").map_or_else(String::new, |at| to[at..].to_owned());
        let onwards = sent.iter().find_map(|(peer, message)| match message {
            Message::Request(request) if *peer == DESK.into() && request.method == Method::Invite => {
                Some(text_of(&request.body))
            }
            _ => None,
        });
        (status, description, onwards)
    }

    fn acknowledge(&mut self, transport: Transport, cseq: u32, to_tag: &str) {
        let name = transport.name();
        self.send(
            transport,
            &format!(
                "ACK sip:offhook@127.0.6.1 SIP/2.0\r\nVia: SIP/2.0/{name} 127.0.6.2:5070;branch=z9hG4bKack{cseq}\r\n\
                 From: <sip:caller@127.0.6.2>;tag=a\r\nTo: <sip:desk@127.0.6.1>{to_tag}\r\nCall-ID: one\r\n\
                 CSeq: {cseq} ACK\r\nContent-Length: 0\r\n\r\n"
            ),
        );
    }
}

/// The desk phone's 200: it takes every key that it is offered, and answers plainly otherwise.
fn pick_up(invite: &Request) -> Response {
    let srtp = Srtp::new(SrtpPolicy::Accept, true, &mut Entropy::from_number(9));
    let local = sdp::Local { address: DESK.0.into(), port: 50_000, session_id: 1, version: 1, srtp };
    let caps = MediaCaps::g711();
    let answer = if sdp::asks_for_dtls(&invite.body) {
        let dtls = Dtls { fingerprints: vec![fingerprint(2)], setup: Setup::Active, ice: Some(ice("desk")) };
        sdp::answer_by_dtls(&invite.body, &local, &dtls, &caps, Direction::SendRecv)
    } else {
        sdp::answer(&invite.body, &local, &caps, Direction::SendRecv)
    };
    let answer = answer.expect("an offer").0;
    let mut response = Response::to_request(invite, 200);
    let to = format!("{};tag=desk", response.headers.get("To").expect("a To"));
    response.headers.set("To", &to);
    response.headers.push("Contact", "<sip:desk@127.0.6.3:5080>");
    response.headers.push("Content-Type", "application/sdp");
    response.body = answer.into_bytes();
    response
}

fn keys(policy: SrtpPolicy) -> SrtpSettings {
    SrtpSettings { policy, keys_in_clear: false }
}

fn savp() -> String {
    format!("m=audio 40000 RTP/SAVP 0\na=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")
}

fn crypto_lines(description: &str) -> Vec<&str> {
    description.lines().filter(|line| line.starts_with("a=crypto:")).collect()
}

#[test]
fn an_encrypted_offer_over_tls_is_answered_with_a_key_of_ours_and_the_worker_is_told_both() {
    let mut world = World::new(SrtpSettings::default(), None, Transport::Udp);
    let (status, answer, onwards) = world.invite(Transport::Tls, 1, "", &savp());
    assert_eq!(status, 200);
    assert!(answer.contains("m=audio 10000 RTP/SAVP 0\r\n"), "{answer}");
    let lines = crypto_lines(&answer);
    assert!(lines.len() == 1 && lines[0].starts_with("a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:"), "{lines:?}");
    assert!(!answer.contains(KEY), "our key is our own");
    let onwards = onwards.expect("the desk phone is called");
    assert!(onwards.contains(" RTP/AVP ") && crypto_lines(&onwards).is_empty(), "{onwards}");
    let plan = world.plans.last().expect("a plan");
    let crypto = plan.legs[0].negotiated.as_ref().and_then(|agreed| agreed.crypto).expect("keys");
    assert_ne!(crypto.send, crypto.receive);
    // The keys stand in no log and in no debug text.
    let debug = format!("{plan:?}");
    assert!(debug.contains("MasterKey(AES_CM_128_HMAC_SHA1_80, ..)") && !debug.contains("inline"), "{debug}");
    for secret in [crypto.send, crypto.receive] {
        let raw = &secret.key()[..8];
        assert!(world.log.iter().all(|entry| !entry.windows(8).any(|part| part == raw)));
    }
    assert!(
        !world.log.is_empty()
            && world.log.iter().all(|entry| !entry.windows(8).any(|part| part == &KEY.as_bytes()[..8]))
    );
}

#[test]
fn keys_are_not_told_where_anybody_on_the_way_reads_them_unless_the_operator_says_so() {
    let mut world = World::new(SrtpSettings::default(), None, Transport::Udp);
    assert_eq!(world.invite(Transport::Udp, 1, "", &savp()).0, 488);
    let in_clear = SrtpSettings { keys_in_clear: true, ..SrtpSettings::default() };
    let mut world = World::new(in_clear, None, Transport::Udp);
    assert_eq!(world.invite(Transport::Udp, 1, "", &savp()).0, 200);
}

#[test]
fn a_policy_of_off_refuses_and_one_of_required_refuses_plain_media() {
    let plain = "m=audio 40000 RTP/AVP 0";
    let both = format!("{plain}\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
    for (policy, offer, status, encrypted) in [
        (SrtpPolicy::Off, savp(), 488, false),
        (SrtpPolicy::Off, both.clone(), 200, false),
        (SrtpPolicy::Accept, both.clone(), 200, true),
        (SrtpPolicy::Accept, plain.to_owned(), 200, false),
        (SrtpPolicy::Optional, plain.to_owned(), 200, false),
        (SrtpPolicy::Required, plain.to_owned(), 488, false),
        (SrtpPolicy::Required, both, 200, true),
        (SrtpPolicy::Required, savp(), 200, true),
    ] {
        // What the trunk says goes before what everybody is told.
        let general = if policy == SrtpPolicy::Off { SrtpPolicy::Required } else { SrtpPolicy::Off };
        let mut world = World::new(keys(general), Some(policy), Transport::Tls);
        let (got, answer, _) = world.invite(Transport::Tls, 1, "", &offer);
        assert_eq!((got, crypto_lines(&answer).len()), (status, usize::from(encrypted)), "{policy:?}: {offer}");
    }
}

#[test]
fn our_own_offers_are_as_the_policy_says_and_never_carry_keys_over_udp() {
    for (policy, transport, proto, lines) in [
        (SrtpPolicy::Accept, Transport::Tls, "RTP/AVP", 0),
        (SrtpPolicy::Optional, Transport::Tls, "RTP/AVP", 4),
        (SrtpPolicy::Optional, Transport::Udp, "RTP/AVP", 0),
        (SrtpPolicy::Required, Transport::Tls, "RTP/SAVP", 4),
    ] {
        let mut world = World::new(keys(policy), Some(SrtpPolicy::Off), transport);
        let (_, _, onwards) = world.invite(Transport::Udp, 1, "", "m=audio 40000 RTP/AVP 0");
        let onwards = onwards.expect("the desk phone is called");
        assert!(onwards.contains(&format!(" {proto} ")), "{policy:?}: {onwards}");
        assert_eq!(crypto_lines(&onwards).len(), lines, "{onwards}");
    }
    let mut world = World::new(keys(SrtpPolicy::Required), Some(SrtpPolicy::Off), Transport::Udp);
    let (status, _, onwards) = world.invite(Transport::Udp, 1, "", "m=audio 40000 RTP/AVP 0");
    assert_eq!((status, onwards), (503, None), "a phone that must not be told its key is not called");
}

#[test]
fn a_second_offer_keeps_our_key_and_takes_over_the_peers_new_one() {
    let mut world = World::new(SrtpSettings::default(), None, Transport::Udp);
    let text = format!("{}\na=sendrecv", savp());
    let (_, first_answer, _) = world.invite(Transport::Tls, 1, "", &text);
    let first = world.plans.last().expect("a plan").legs[0].negotiated.as_ref().and_then(|a| a.crypto).expect("keys");
    let tag = world.to_tag.clone();
    world.acknowledge(Transport::Tls, 1, &tag);
    let other = KEY.replace("WVN", "AAA");
    let (status, second_answer, _) = world.invite(Transport::Tls, 2, &tag, &text.replace(KEY, &other));
    assert_eq!(status, 200);
    assert_eq!(crypto_lines(&second_answer), crypto_lines(&first_answer));
    let second = world.plans.last().expect("a plan").legs[0].negotiated.as_ref().and_then(|a| a.crypto).expect("keys");
    assert_eq!(second.send, first.send);
    assert_ne!(second.receive, first.receive);
}

fn fingerprint(byte: u8) -> Fingerprint {
    Fingerprint { hash: HashKind::Sha256, bytes: vec![byte; 32] }
}

fn ice(ufrag: &str) -> Ice {
    let (ufrag, pwd) = (ufrag.to_owned(), "a+password+of+22+characters".to_owned());
    Ice { ufrag, pwd, lite: false, options: Vec::new(), candidates: Vec::new(), complete: false }
}

/// What a browser offers.
fn by_dtls(ufrag: &str) -> String {
    let hash = "AB:".repeat(31) + "AB";
    format!(
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:0\na=rtcp-mux\na=setup:actpass\na=fingerprint:sha-256 {hash}\n\
         a=ice-ufrag:{ufrag}\na=ice-pwd:by5GZGG1lw+040DWA6hXM5Bz"
    )
}

fn line<'a>(description: &'a str, begins: &str) -> &'a str {
    description.lines().find(|line| line.starts_with(begins)).unwrap_or_else(|| panic!("no {begins}: {description}"))
}

#[test]
fn a_phone_in_a_page_is_offered_dtls_and_ice_and_its_worker_is_told_both_ends() {
    let mut world = World::new(SrtpSettings::default(), None, Transport::Wss);
    let (status, _, onwards) = world.invite(Transport::Udp, 1, "", "m=audio 40000 RTP/AVP 0");
    let onwards = onwards.expect("the page is called");
    assert_eq!(status, 200);
    assert!(line(&onwards, "m=audio").contains(" UDP/TLS/RTP/SAVPF 0"), "{onwards}");
    let own = "01:".repeat(31) + "01";
    assert_eq!(line(&onwards, "a=fingerprint"), format!("a=fingerprint:sha-256 {own}"));
    assert_eq!((line(&onwards, "a=setup"), line(&onwards, "a=ice-lite")), ("a=setup:actpass", "a=ice-lite"));
    let port = line(&onwards, "m=audio").split(' ').nth(1).expect("a port");
    assert_eq!(line(&onwards, "a=candidate"), format!("a=candidate:1 1 UDP 2130706431 127.0.6.1 {port} typ host"));
    let plan = world.plans.last().expect("a plan");
    let leg = plan.legs.iter().find(|leg| leg.dtls.is_some()).expect("the page's leg");
    assert_eq!(leg.local_rtcp(), None, "RTCP shares RTP's port");
    let (ours, agreed) = (leg.dtls.as_ref().expect("ours"), leg.negotiated.as_ref().expect("an agreement"));
    let theirs = agreed.dtls.as_ref().expect("theirs");
    assert_eq!((theirs.setup, &theirs.fingerprints), (Setup::Active, &vec![fingerprint(2)]));
    assert_eq!(theirs.ice.as_ref().map(|ice| &*ice.ufrag), Some("desk"));
    let secret = ours.ice.as_ref().expect("ICE").pwd.clone();
    assert!(
        secret.len() >= 22
            && world.log.iter().all(|entry| !entry.windows(8).any(|part| part == &secret.as_bytes()[..8]))
    );
}

#[test]
fn dtls_that_is_asked_for_is_answered_over_any_transport_and_refused_by_a_policy_of_off() {
    for transport in [Transport::Udp, Transport::Wss] {
        let mut world = World::new(SrtpSettings::default(), None, Transport::Udp);
        let (status, answer, onwards) = world.invite(transport, 1, "", &by_dtls("page"));
        assert_eq!((status, line(&answer, "a=setup")), (200, "a=setup:passive"), "{answer}");
        assert!(onwards.expect("the desk is called").contains(" RTP/AVP "), "the other leg is what it is");
        let mut world = World::new(keys(SrtpPolicy::Off), None, Transport::Udp);
        assert_eq!(world.invite(transport, 1, "", &by_dtls("page")).0, 488);
    }
    // Who comes over WebSocket and wants plain speech all the same gets it.
    let mut world = World::new(SrtpSettings::default(), None, Transport::Udp);
    let (status, answer, _) = world.invite(Transport::Ws, 1, "", "m=audio 40000 RTP/AVP 0");
    assert!(status == 200 && !answer.contains("a=fingerprint"), "{answer}");
    assert!(world.plans.iter().flat_map(|plan| &plan.legs).all(|leg| leg.dtls.is_none()));
}

#[test]
fn browsers_share_one_port_and_take_none_of_the_others_and_who_checks_no_path_has_a_port_of_its_own() {
    let mut world = World::at_port(Some((3_478, &[])), SrtpSettings::default(), None, Transport::Wss);
    let (status, answer, onwards) = world.invite(Transport::Wss, 1, "", &by_dtls("page"));
    assert_eq!(status, 200);
    for description in [answer, onwards.expect("the other page is called")] {
        assert!(line(&description, "m=audio").starts_with("m=audio 3478 "), "{description}");
        assert!(line(&description, "a=candidate").contains(" 127.0.6.1 3478 typ host"), "{description}");
    }
    assert_eq!(world.exchange.ports().0, 0, "no port of a pair is taken");
    let legs = &world.plans.last().expect("a plan").legs;
    assert!(legs.len() == 2 && legs.iter().all(|leg| leg.local.port() == 3_478));
    let no_checks = by_dtls("page").replace("a=ice-ufrag:page\na=ice-pwd:by5GZGG1lw+040DWA6hXM5Bz", "a=ptime:20");
    let mut world = World::at_port(Some((3_478, &[])), SrtpSettings::default(), None, Transport::Udp);
    let (status, answer, _) = world.invite(Transport::Udp, 1, "", &no_checks);
    assert!(status == 200 && line(&answer, "m=audio").starts_with("m=audio 100"), "{answer}");
}

#[test]
fn who_shares_the_port_is_told_our_addresses_of_both_families_and_names_of_the_peers_own_network_do_no_harm() {
    let ours = [IpAddr::V4(Ipv4Addr::new(127, 0, 6, 9)), Ipv6Addr::LOCALHOST.into(), Ipv6Addr::UNSPECIFIED.into()];
    let mut world = World::at_port(Some((3_478, &ours)), SrtpSettings::default(), None, Transport::Udp);
    let hidden =
        "\na=ice-options:trickle\na=candidate:7 1 udp 2113937151 8f2c1b0e-2d.local 50000 typ host generation 0";
    let (status, answer, _) = world.invite(Transport::Wss, 1, "", &(by_dtls("page") + hidden));
    let candidates: Vec<&str> = answer.lines().filter(|line| line.starts_with("a=candidate")).collect();
    let told =
        ["1 1 UDP 2130706431 127.0.6.1", "2 1 UDP 2130706175 ::1"].map(|c| format!("a=candidate:{c} 3478 typ host"));
    assert_eq!((status, candidates), (200, told.iter().map(String::as_str).collect()), "{answer}");
    // A leg with a port of its own is at one address.
    let mut world = World::at_port(None, SrtpSettings::default(), None, Transport::Udp);
    let (_, answer, _) = world.invite(Transport::Wss, 1, "", &by_dtls("page"));
    assert_eq!(answer.matches("a=candidate").count(), 1);
}

#[test]
fn a_peer_that_checks_anew_gets_new_credentials_and_one_that_holds_the_same() {
    let mut world = World::new(SrtpSettings::default(), None, Transport::Udp);
    let (_, first, _) = world.invite(Transport::Wss, 1, "", &by_dtls("page"));
    let tag = world.to_tag.clone();
    world.acknowledge(Transport::Wss, 1, &tag);
    let held = format!("{}\na=sendonly", by_dtls("page"));
    let (status, second, _) = world.invite(Transport::Wss, 2, &tag, &held);
    assert_eq!((status, line(&second, "a=ice-ufrag")), (200, line(&first, "a=ice-ufrag")));
    world.acknowledge(Transport::Wss, 2, &tag);
    let (status, third, _) = world.invite(Transport::Wss, 3, &tag, &by_dtls("anew"));
    assert_eq!((status, line(&third, "a=fingerprint")), (200, line(&first, "a=fingerprint")));
    assert_ne!(line(&third, "a=ice-ufrag"), line(&first, "a=ice-ufrag"));
    assert_ne!(line(&third, "a=ice-pwd"), line(&first, "a=ice-pwd"));
    world.acknowledge(Transport::Wss, 3, &tag);
    assert_eq!(world.invite(Transport::Wss, 4, &tag, "m=audio 40000 RTP/AVP 0").0, 488, "what is encrypted stays so");
}

#[test]
fn a_page_that_registers_is_told_of_a_relay_and_neither_who_shows_no_password_nor_a_telephone_is() {
    let urls = vec!["turn:127.0.6.9:3478?transport=udp".to_owned()];
    let turn = Turn { urls, secret: "north".to_owned(), lasts: Span::from_s(600) };
    let mut config = World::config(None, SrtpSettings::default(), None, Transport::Udp);
    config.turn = Some(turn.clone());
    config.accounts = BTreeMap::from([("paula".to_owned(), Account::new("secret"))]);
    let mut world = World::with(config, Transport::Udp);
    for (transport, told) in [(Transport::Wss, true), (Transport::Ws, true), (Transport::Udp, false)] {
        let ask = |world: &mut World, cseq: u32, proof: &str| {
            let name = transport.name();
            let text = format!(
                "REGISTER sip:srtp SIP/2.0\r\nVia: SIP/2.0/{name} 127.0.6.2:5070;branch=z9hG4bK{name}{cseq}\r\n\
                 From: <sip:paula@srtp>;tag=a\r\nTo: <sip:paula@srtp>\r\nCall-ID: {name}\r\nCSeq: {cseq} REGISTER\r\n\
                 Contact: <sip:paula@127.0.6.2:5070>\r\n{proof}Content-Length: 0\r\n\r\n"
            );
            match world.send(transport, &text).pop() {
                Some((_, Message::Response(response))) => response,
                other => panic!("no answer: {other:?}"),
            }
        };
        let asked = ask(&mut world, 1, "");
        assert_eq!((asked.status, asked.headers.get("X-Offhook-Turn")), (401, None));
        let challenge = Challenge::parse(asked.headers.get("WWW-Authenticate").expect("one")).expect("a challenge");
        let credentials = Credentials { username: "paula".to_owned(), password: "secret".to_owned() };
        let proof = answer_challenge(&challenge, &credentials, "REGISTER", "sip:srtp", "cnonce", 1);
        let answer = ask(&mut world, 2, &format!("Authorization: {proof}\r\n"));
        let expected = told.then(|| serde_json::to_string(&turn.relay(world.now, "paula")).expect("JSON"));
        assert_eq!((answer.status, answer.headers.get("X-Offhook-Turn")), (200, expected.as_deref()), "{transport:?}");
    }
}

#[test]
fn a_handshake_that_comes_to_nothing_ends_the_call_on_both_legs() {
    let mut world = World::new(SrtpSettings::default(), None, Transport::Wss);
    world.invite(Transport::Udp, 1, "", "m=audio 40000 RTP/AVP 0");
    let tag = world.to_tag.clone();
    world.acknowledge(Transport::Udp, 1, &tag);
    let plan = world.plans.last().expect("a plan");
    let leg = plan.legs.iter().find(|leg| leg.dtls.is_some()).expect("the page's leg").leg;
    let failed = MediaEvent::HandshakeFailed { call: plan.call, leg, error: "no check of a path came".to_owned() };
    let sent = world.report(failed);
    let byes = sent.iter().filter(|(_, message)| matches!(message, Message::Request(bye) if bye.method == Method::Bye));
    assert_eq!(byes.map(|(peer, _)| *peer).collect::<Vec<_>>().len(), 2, "{sent:?}");
}
