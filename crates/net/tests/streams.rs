//! Connections on loopback, with peers that behave and peers that do not.
#![expect(clippy::disallowed_methods, reason = "tests of an edge run on the real clock")]

mod support;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use offhook_net::bans::{BanLimits, Bans};
use offhook_net::sip::Incoming;
use offhook_net::streams::{Closed, Lead, StreamLimits, Tls, TlsFiles};
use offhook_sip::{Flow, Transport};
use support::{Exchange, SOON, any, call_id, is_closed, options, read};
use tokio_tungstenite::tungstenite::WebSocket;
use tokio_tungstenite::tungstenite::client::{IntoClientRequest, client};
use tokio_tungstenite::tungstenite::http::HeaderValue;

#[test]
fn a_request_comes_in_its_response_goes_back_over_the_same_connection_and_its_end_is_told() {
    let exchange = Exchange::start(StreamLimits::default());
    let mut peer = exchange.connect();
    for piece in options("one").chunks(7) {
        peer.write_all(piece).expect("a piece");
    }
    let Incoming::Message(flow, message) = exchange.next() else { panic!("a message") };
    assert_eq!(call_id(&message), "one");
    let theirs = peer.local_addr().expect("an address");
    assert_eq!(flow, Flow { transport: Transport::Tcp, local: exchange.local, peer: theirs });
    exchange.streams.send(flow, b"SIP/2.0 200 OK\r\n\r\n".to_vec());
    assert_eq!(read(&mut peer, 18), b"SIP/2.0 200 OK\r\n\r\n");
    drop(peer);
    assert!(matches!(exchange.next(), Incoming::Lost(lost) if lost == flow));
    exchange.wait_until("it is counted", |exchange| exchange.closed(Closed::Peer) == 1);
    exchange.streams.send(flow, b"SIP/2.0 200 OK\r\n\r\n".to_vec());
    exchange.wait_until("a response without its connection is dropped", |exchange| {
        exchange.streams.counters().of(Transport::Tcp).unsent() == 1
    });
}

#[test]
fn a_double_line_break_is_answered_with_a_single_one() {
    let exchange = Exchange::start(StreamLimits::default());
    let mut peer = exchange.connect();
    peer.write_all(b"\r\n\r\n").expect("a ping");
    assert_eq!(read(&mut peer, 2), b"\r\n");
}

#[test]
fn a_request_to_a_new_peer_makes_a_connection_that_serves_both_ways() {
    let exchange = Exchange::start(StreamLimits::default());
    let phone = TcpListener::bind(any()).expect("a port");
    let peer = phone.local_addr().expect("an address");
    let flow = Flow { transport: Transport::Tcp, local: exchange.local, peer };
    exchange.streams.send(flow, options("first"));
    exchange.streams.send(flow, options("second"));
    phone.set_nonblocking(true).expect("a listener that does not wait");
    let accepted = RefCell::new(None);
    exchange.wait_until("a connection comes", |_| {
        *accepted.borrow_mut() = phone.accept().ok();
        accepted.borrow().is_some()
    });
    let (mut stream, _) = accepted.into_inner().expect("a connection");
    stream.set_nonblocking(false).expect("a stream that waits");
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    let expected = [options("first"), options("second")].concat();
    assert_eq!(read(&mut stream, expected.len()), expected);
    stream.write_all(&options("back")).expect("a request");
    assert!(matches!(exchange.next(), Incoming::Message(back, message) if back == flow && call_id(&message) == "back"));
    drop(phone);
    drop(stream);
    assert!(matches!(exchange.next(), Incoming::Lost(lost) if lost == flow));
    exchange.streams.send(flow, options("nobody"));
    assert!(matches!(exchange.next(), Incoming::Lost(lost) if lost == flow), "nobody listens there");
    exchange.wait_until("it is counted", |exchange| exchange.closed(Closed::Unreachable) == 1);
}

#[test]
fn a_message_that_trickles_in_is_cut_off_after_10_s_and_a_mute_peer_too() {
    let exchange = Exchange::start(StreamLimits::default());
    let (mut slow, mut mute, mut quiet) = (exchange.connect(), exchange.connect(), exchange.connect());
    let start = Instant::now();
    quiet.write_all(&options("whole")).expect("a message");
    assert!(matches!(exchange.next(), Incoming::Message(..)));
    slow.write_all(&options("whole")).expect("a message");
    assert!(matches!(exchange.next(), Incoming::Message(..)));
    slow.write_all(b"OPTIONS sip:").expect("a beginning");
    assert!(is_closed(&mut slow) && is_closed(&mut mute));
    assert!(start.elapsed() >= Duration::from_secs(9), "{:?}", start.elapsed());
    exchange.wait_until("it is counted", |exchange| exchange.closed(Closed::Slow) == 2);
    quiet.write_all(&options("again")).expect("silence between messages is fine");
    loop {
        match exchange.next() {
            Incoming::Lost(_) => {}
            Incoming::Message(_, message) => break assert_eq!(call_id(&message), "again"),
            Incoming::Malformed(..) | Incoming::Proved(..) | Incoming::Mapped(..) => panic!("a whole message"),
        }
    }
}

#[test]
fn one_source_has_two_connections_and_no_third_until_one_ends() {
    let exchange =
        Exchange::start(StreamLimits { connections_max: 10, connections_per_source_max: 2, ..StreamLimits::default() });
    let (mut first, second) = (exchange.connect(), exchange.connect());
    assert!(is_closed(&mut exchange.connect()));
    exchange.wait_until("it is counted", |exchange| exchange.closed(Closed::Refused) == 1);
    drop(second);
    exchange.wait_until("the second ends", |exchange| exchange.closed(Closed::Peer) == 1);
    first.write_all(&options("still here")).expect("a message");
    let mut third = exchange.connect();
    third.write_all(b"\r\n\r\n").expect("a ping");
    assert_eq!(read(&mut third, 2), b"\r\n");
}

#[test]
fn a_stream_that_cannot_be_cut_is_answered_and_closed() {
    let exchange = Exchange::start(StreamLimits::default());
    let mut peer = exchange.connect();
    let text = String::from_utf8(options("odd")).expect("text").replace("Content-Length: 0\r\n", "");
    peer.write_all(text.as_bytes()).expect("a message");
    let Incoming::Malformed(flow, error) = exchange.next() else { panic!("malformed") };
    assert!(error.salvaged.is_some());
    exchange.streams.send(flow, b"SIP/2.0 400 Bad\r\n\r\n".to_vec());
    assert_eq!(read(&mut peer, 19), b"SIP/2.0 400 Bad\r\n\r\n");
    assert!(is_closed(&mut peer));
    exchange.wait_until("it is counted", |exchange| exchange.closed(Closed::Malformed) == 1);
}

#[test]
fn a_peer_that_does_not_read_is_closed_when_its_queue_is_full_and_nobody_waits_for_it() {
    let exchange = Exchange::start(StreamLimits::default());
    let mut peer = exchange.connect();
    peer.write_all(&options("hello")).expect("a message");
    let Incoming::Message(flow, _) = exchange.next() else { panic!("a message") };
    let response = [b"SIP/2.0 200 OK\r\n".to_vec(), vec![b'x'; 60_000]].concat();
    let start = Instant::now();
    let mut sent = 0;
    while exchange.closed(Closed::Stalled) == 0 {
        exchange.streams.send(flow, response.clone());
        sent += 1;
        assert!(sent < 50_000 && start.elapsed() < SOON, "{sent} messages in {:?}", start.elapsed());
    }
    assert!(matches!(exchange.next(), Incoming::Lost(lost) if lost == flow));
}

#[test]
fn what_is_queued_is_written_before_the_end() {
    let Exchange { streams, local, incoming } = Exchange::start(StreamLimits::default());
    let mut peer = TcpStream::connect(local).expect("a connection");
    peer.write_all(&options("hello")).expect("a message");
    let batch = incoming.recv_timeout(SOON).expect("a message");
    let Incoming::Message(flow, _) = &batch[0] else { panic!("a message") };
    for _ in 0..100 {
        streams.send(*flow, options("goodbye"));
    }
    drop(streams);
    let mut all = Vec::new();
    peer.read_to_end(&mut all).expect("all of it");
    assert_eq!(all.len(), 100 * options("goodbye").len());
}

fn files(name: &str, clients: bool) -> TlsFiles {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tls");
    let authority = folder.join("authority.pem");
    TlsFiles {
        certificate: folder.join(format!("{name}.pem")),
        key: folder.join(format!("{name}.key")),
        clients: clients.then(|| authority.clone()),
        trust: Some(authority),
        ..TlsFiles::default()
    }
}

fn secure(name: &str, clients: bool) -> Exchange {
    let tls = Tls::load(&files(name, clients)).expect("certificates that fit together");
    Exchange::start_over(Transport::Tls, Some(tls), StreamLimits::default())
}

#[test]
fn two_exchanges_speak_over_mutual_tls_both_ways_on_one_connection() {
    let (ours, trunk) = (secure("exchange", true), secure("trunk", true));
    let out = Flow { transport: Transport::Tls, local: ours.local, peer: trunk.local };
    ours.streams.send(out, options("there"));
    let Incoming::Message(flow, message) = trunk.next() else { panic!("a message") };
    assert_eq!((flow.transport, call_id(&message)), (Transport::Tls, "there"));
    trunk.streams.send(flow, options("back"));
    assert!(matches!(ours.next(), Incoming::Message(back, message) if back == out && call_id(&message) == "back"));
}

#[test]
fn whoever_only_makes_connections_shows_no_certificate_and_takes_no_connection() {
    let exchange = secure("exchange", false);
    let calling = Tls::for_calling(&files("exchange", false).trust.expect("authorities")).expect("authorities");
    let phone = Exchange::start_over(Transport::Tls, Some(calling), StreamLimits::default());
    let out = Flow { transport: Transport::Tls, local: phone.local, peer: exchange.local };
    phone.streams.send(out, options("there"));
    let Incoming::Message(flow, message) = exchange.next() else { panic!("a message") };
    assert_eq!(call_id(&message), "there");
    exchange.streams.send(flow, options("back"));
    assert!(matches!(phone.next(), Incoming::Message(back, message) if back == out && call_id(&message) == "back"));
    let to_phone = Flow { transport: Transport::Tls, local: exchange.local, peer: phone.local };
    exchange.streams.send(to_phone, options("in vain"));
    assert!(matches!(exchange.next(), Incoming::Lost(lost) if lost == to_phone));
    assert!(
        Tls::for_calling(&files("exchange", false).key)
            .expect_err("no authorities")
            .to_string()
            .contains("exchange.key")
    );
}

#[test]
fn a_stranger_without_a_certificate_and_one_without_tls_stay_outside() {
    let (ours, open) = (secure("exchange", true), secure("trunk", false));
    let stranger = Tls::load(&TlsFiles { trust: None, ..files("exchange", false) }).expect("certificates");
    let stranger = Exchange::start_over(Transport::Tls, Some(stranger), StreamLimits::default());
    let flow = Flow { transport: Transport::Tls, local: stranger.local, peer: open.local };
    stranger.streams.send(flow, options("who do I trust?"));
    assert!(matches!(stranger.next(), Incoming::Lost(lost) if lost == flow), "no authorities, no connections");
    let mut plain = TcpStream::connect(ours.local).expect("a connection");
    plain.write_all(&options("in the clear")).expect("a message");
    ours.wait_until("it is closed", |ours| ours.streams.counters().of(Transport::Tls).closed(Closed::Handshake) == 1);
}

#[test]
fn certificates_that_do_not_fit_are_named() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tls");
    let wrong = TlsFiles { key: folder.join("trunk.key"), ..files("exchange", false) };
    assert!(Tls::load(&wrong).expect_err("another key").to_string().contains("exchange.pem"));
    let absent = TlsFiles { certificate: folder.join("none.pem"), ..files("exchange", false) };
    assert!(Tls::load(&absent).expect_err("no file").to_string().contains("none.pem"));
    let empty = TlsFiles { trust: Some(folder.join("trunk.key")), ..files("exchange", false) };
    assert!(Tls::load(&empty).expect_err("no certificate").to_string().contains("no certificate"));
}

fn websocket(local: SocketAddr, protocol: &str) -> Result<WebSocket<TcpStream>, String> {
    let mut request = format!("ws://{local}/").into_client_request().expect("an address");
    let protocol = HeaderValue::from_str(protocol).expect("a name");
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
    let stream = TcpStream::connect(local).expect("a connection");
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    client(request, stream).map(|(socket, _)| socket).map_err(|error| error.to_string())
}

#[test]
fn a_browser_sends_and_gets_each_message_as_one_of_websocket() {
    let exchange = Exchange::start_over(Transport::Ws, None, StreamLimits::default());
    let mut browser = websocket(exchange.local, "sip").expect("it is agreed on");
    browser.send(options("first").into()).expect("a message");
    let Incoming::Message(flow, message) = exchange.next() else { panic!("a message") };
    assert_eq!((flow.transport, call_id(&message)), (Transport::Ws, "first"));
    exchange.streams.send(flow, options("back"));
    assert_eq!(browser.read().expect("a message").into_data(), options("back"));
    browser.send("\r\n\r\n".into()).expect("a keep-alive");
    assert_eq!(browser.read().expect("an answer").into_data(), "\r\n");
    browser.send("no SIP".into()).expect("a message");
    assert!(matches!(exchange.next(), Incoming::Malformed(..)));
    browser.send("x".repeat(70_000).into()).expect("a message");
    assert!(matches!(exchange.next(), Incoming::Lost(lost) if lost == flow));
    assert_eq!(exchange.streams.counters().of(Transport::Ws).closed(Closed::Malformed), 1);
}

#[test]
fn two_exchanges_speak_over_websocket_both_ways_on_one_connection_plain_and_secure() {
    let of = |name, transport| {
        let tls = (transport == Transport::Wss).then(|| Tls::load(&files(name, true)).expect("certificates"));
        Exchange::start_over(transport, tls, StreamLimits::default())
    };
    for transport in [Transport::Ws, Transport::Wss] {
        let (ours, trunk) = (of("exchange", transport), of("trunk", transport));
        let out = Flow { transport, local: ours.local, peer: trunk.local };
        ours.streams.send(out, options("there"));
        let Incoming::Message(flow, message) = trunk.next() else { panic!("a message") };
        assert_eq!((flow.transport, call_id(&message)), (transport, "there"));
        trunk.streams.send(flow, options("back"));
        assert!(matches!(ours.next(), Incoming::Message(back, message) if back == out && call_id(&message) == "back"));
        drop(trunk);
        assert!(matches!(ours.next(), Incoming::Lost(lost) if lost == out));
    }
}

#[test]
fn a_server_is_asked_for_a_websocket_by_its_name_at_its_path_and_at_the_root_by_its_address() {
    for (names, path, wanted) in [
        (vec!["sip.example".to_owned(), "127.0.0.1".to_owned()], Some("/ws".to_owned()), ("/ws", "sip.example")),
        (vec!["127.0.0.1".to_owned()], None, ("/", "127.0.0.1")),
    ] {
        let ours = Exchange::start_over(Transport::Ws, None, StreamLimits::default());
        let server = TcpListener::bind(any()).expect("a port");
        let peer = server.local_addr().expect("bound");
        ours.streams.lead(0, vec![Lead { peer, names, path }]);
        ours.streams.send(Flow { transport: Transport::Ws, local: ours.local, peer }, options("there"));
        let (mut stream, _) = server.accept().expect("a connection");
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.extend(read(&mut stream, 1));
        }
        let asked = String::from_utf8(asked).expect("text");
        assert!(asked.starts_with(&format!("GET {} HTTP/1.1\r\n", wanted.0)), "{asked}");
        assert!(asked.to_lowercase().contains(&format!("host: {}:{}\r\n", wanted.1, peer.port())), "{asked}");
    }
}

#[test]
fn a_server_that_agrees_to_no_sip_is_not_spoken_to() {
    let ours = Exchange::start_over(Transport::Ws, None, StreamLimits::default());
    let server = TcpListener::bind(any()).expect("a port");
    let out = Flow { transport: Transport::Ws, local: ours.local, peer: server.local_addr().expect("bound") };
    ours.streams.send(out, options("there"));
    let (stream, _) = server.accept().expect("a connection");
    let socket = tokio_tungstenite::tungstenite::accept(stream).expect("a WebSocket of no subprotocol");
    assert!(matches!(ours.next(), Incoming::Lost(lost) if lost == out));
    assert_eq!(ours.streams.counters().of(Transport::Ws).closed(Closed::Handshake), 1);
    drop(socket);
}

#[test]
fn a_peer_that_never_ends_its_tls_handshake_is_cut_off_after_10_s() {
    let ours = secure("exchange", false);
    let mut peer = ours.connect();
    // The beginning of a handshake record that promises more.
    peer.write_all(&[22, 3, 1, 2, 0, 1]).expect("a beginning");
    let start = Instant::now();
    assert!(is_closed(&mut peer));
    assert!((9..15).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    ours.wait_until("it is counted", |ours| ours.streams.counters().of(Transport::Tls).closed(Closed::Handshake) == 1);
}

#[test]
fn a_browser_that_speaks_no_sip_is_refused() {
    let exchange = Exchange::start_over(Transport::Ws, None, StreamLimits::default());
    let refused = websocket(exchange.local, "chat").expect_err("another subprotocol");
    assert!(refused.contains("400"), "{refused}");
    exchange.wait_until("it is counted", |exchange| {
        exchange.streams.counters().of(Transport::Ws).closed(Closed::Handshake) == 1
    });
}

#[test]
fn a_scanners_connection_is_closed_without_an_answer_and_a_banned_source_gets_none() {
    let bans = Bans::new(BanLimits { malformed_per_minute: 1, ..BanLimits::default() });
    let exchange = Exchange::start_with(Transport::Tcp, None, StreamLimits::default(), bans);
    let mut scanner = exchange.connect();
    let text = String::from_utf8(options("scan")).expect("a text").replace("CSeq", "User-Agent: SIPVicious\r\nCSeq");
    scanner.write_all(text.as_bytes()).expect("a request");
    assert!(is_closed(&mut scanner));
    // The second rubbish within a minute is one too many, and its source is not taken again.
    for _ in 0..2 {
        let mut peer = exchange.connect();
        // The end of the connection may come before all was written.
        let _written = peer.write_all(b"rubbish\r\n\r\n");
        assert!(is_closed(&mut peer));
    }
    assert!(is_closed(&mut exchange.connect()));
    exchange.wait_until("the banned are counted", |exchange| exchange.closed(Closed::Banned) >= 2);
}
