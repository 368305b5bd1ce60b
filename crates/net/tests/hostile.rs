//! Connections of peers that take for ever, send too much, or lie about it; and of peers that have gone without a word.
#![expect(clippy::disallowed_methods, reason = "tests of an edge run on the real clock")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use offhook_net::sip::Incoming;
use offhook_net::streams::{Closed, StreamLimits};
use offhook_sip::{Flow, Transport};
use support::{Exchange, SOON, any, is_closed, options, read};

/// Sends `bytes` one by one, one a second; gives after how many the connection was closed.
fn trickle(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a time-out");
    for (count, byte) in bytes.iter().enumerate() {
        // The end may come between the look and the write.
        let _written = stream.write_all(&[*byte]);
        match stream.read(&mut [0; 64]) {
            Ok(0) => return count + 1,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(_) => {}
            Err(_) => return count + 1,
        }
    }
    bytes.len()
}

/// A text frame of a client, masked with zeros, whose length is told as `told`.
fn frame(told: u8, text: &[u8]) -> Vec<u8> {
    [&[0x81, 0x80 | told, 0, 0, 0, 0], text].concat()
}

fn upgrade(exchange: &Exchange) -> TcpStream {
    let mut stream = exchange.connect();
    stream
        .write_all(
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n",
        )
        .expect("a request");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.extend(read(&mut stream, 1));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream
}

#[test]
fn who_sends_a_byte_a_second_is_cut_off_after_10_s_in_a_message_a_head_a_handshake_or_a_frame() {
    let (tcp, ws) =
        (Exchange::start(StreamLimits::default()), Exchange::start_over(Transport::Ws, None, StreamLimits::default()));
    std::thread::scope(|scope| {
        let slow = [
            // From the first byte on, and behind a whole message.
            scope.spawn(|| trickle(&mut tcp.connect(), &options("slow"))),
            scope.spawn(|| {
                let mut stream = tcp.connect();
                stream.write_all(&options("whole")).expect("a message");
                trickle(&mut stream, &options("slow"))
            }),
            // A body that never ends.
            scope.spawn(|| {
                let mut stream = tcp.connect();
                let text = String::from_utf8(options("body")).expect("text").replace("Length: 0", "Length: 60000");
                stream.write_all(text.as_bytes()).expect("a head");
                trickle(&mut stream, &[b'x'; 60])
            }),
            // Line breaks say nothing, and half a ping is none.
            scope.spawn(|| trickle(&mut tcp.connect(), &[b'\n'; 60])),
            scope.spawn(|| trickle(&mut ws.connect(), b"GET / HTTP/1.1\r\nHost: somewhere-that-takes-a-minute\r\n")),
            // A frame that never ends, after one that did.
            scope.spawn(|| {
                let mut stream = upgrade(&ws);
                stream.write_all(&frame(4, b"\r\n\r\n")).expect("a keep-alive");
                assert_eq!(read(&mut stream, 4), [0x81, 2, b'\r', b'\n']);
                trickle(&mut stream, &frame(100, &[b'x'; 60]))
            }),
            // Pings of WebSocket are no first word.
            scope.spawn(|| trickle(&mut upgrade(&ws), &[0x89, 0x80, 0, 0, 0, 0].repeat(10))),
        ];
        for (which, slow) in slow.into_iter().enumerate() {
            let seconds = slow.join().expect("a peer");
            assert!((9..=13).contains(&seconds), "peer {which} was cut off after {seconds} s");
        }
    });
    tcp.wait_until("they are counted", |tcp| tcp.closed(Closed::Slow) == 4);
    let of = |why| ws.streams.counters().of(Transport::Ws).closed(why);
    ws.wait_until("they are counted", |_| (of(Closed::Slow), of(Closed::Handshake)) == (2, 1));
}

#[test]
fn half_a_head_and_half_a_frame_are_waited_for_10_s_however_quiet_it_is() {
    let (tcp, ws) =
        (Exchange::start(StreamLimits::default()), Exchange::start_over(Transport::Ws, None, StreamLimits::default()));
    let start = Instant::now();
    let mut head = tcp.connect();
    head.write_all(&options("whole")).expect("a message");
    head.write_all(b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP").expect("half a head");
    let mut half = upgrade(&ws);
    half.write_all(&frame(4, b"\r\n\r\n")).expect("a keep-alive");
    assert_eq!(read(&mut half, 4), [0x81, 2, b'\r', b'\n']);
    half.write_all(&frame(100, b"OPTIONS sip:")).expect("half a frame");
    let mut never = ws.connect();
    assert!(is_closed(&mut head) && is_closed(&mut half) && is_closed(&mut never));
    assert!((9..15).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[test]
fn ten_thousand_idle_connections_of_one_source_are_a_thousand_and_another_source_is_served() {
    offhook_net::limits::raise_open_files().expect("room for 2,000 sockets");
    let exchange = Exchange::start(StreamLimits::default());
    let (mut kept, mut refused) = (Vec::new(), 0);
    for _ in 0..10_000 {
        let mut stream = exchange.connect();
        // One that is refused may be closed before it is written to.
        let _written = stream.write_all(b"\r\n\r\n");
        match stream.read_exact(&mut [0; 2]) {
            Ok(()) => kept.push(stream),
            Err(_) => refused += 1,
        }
    }
    assert_eq!((kept.len(), refused), (1_000, 9_000));
    let counters = exchange.streams.counters().of(Transport::Tcp);
    assert_eq!((counters.open(), counters.closed(Closed::Refused)), (1_000, 9_000));
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    other.bind(&std::net::SocketAddr::from(([127, 0, 0, 2], 0)).into()).expect("another source");
    other.connect(&exchange.local.into()).expect("a connection");
    let mut other: TcpStream = other.into();
    other.write_all(&options("another")).expect("a message");
    assert!(matches!(exchange.next(), Incoming::Message(flow, _) if flow.peer == other.local_addr().expect("bound")));
    drop(kept);
    exchange.wait_until("they have gone", |_| counters.open() == 1);
}

#[test]
fn what_is_too_large_or_lies_about_its_length_ends_the_connection_and_nothing_else() {
    let text = String::from_utf8(options("x")).expect("text");
    let length = |told: &str, body: &str| text.replace("Content-Length: 0", &format!("Content-Length: {told}")) + body;
    let large = |bytes: usize| text.replace("CSeq", &format!("Subject: {}\r\nCSeq", "x".repeat(bytes)));
    for (what, sent, malformed, why) in [
        ("a head without end", "x".repeat(70_000), 1, Closed::Malformed),
        ("a head too large", large(70_000), 1, Closed::Malformed),
        ("a body too large", length("70000", ""), 1, Closed::Malformed),
        ("more than a number holds", length("99999999999999999999", ""), 1, Closed::Malformed),
        ("less than nothing", length("-1", ""), 1, Closed::Malformed),
        ("no number", length("ten", ""), 1, Closed::Malformed),
        ("two lengths", length("0\r\nContent-Length: 5", "12345"), 1, Closed::Malformed),
        // The rest of the body is a head that does not say where it ends.
        ("too little", length("2", "no more than rubbish\r\n\r\n"), 1, Closed::Malformed),
        ("too much", length("500", "v=0"), 0, Closed::Slow),
    ] {
        let exchange = Exchange::start(StreamLimits::default());
        let mut peer = exchange.connect();
        // The end of the connection may come before all was written.
        let _written = peer.write_all(sent.as_bytes());
        assert!(is_closed(&mut peer), "{what}");
        exchange.wait_until(what, |exchange| exchange.closed(why) == 1);
        let seen = exchange.incoming.try_iter().flatten();
        let seen = seen.filter(|incoming| matches!(incoming, Incoming::Malformed(..))).count();
        assert!(seen <= malformed, "{what}: {seen}");
    }
}

#[test]
fn a_phone_that_promised_keep_alives_is_closed_when_they_stay_away_and_stays_while_they_come() {
    let (tcp, ws) =
        (Exchange::start(StreamLimits::default()), Exchange::start_over(Transport::Ws, None, StreamLimits::default()));
    let start = Instant::now();
    let mut silent = tcp.connect();
    silent.write_all(&options("silent")).expect("a message");
    let Incoming::Message(flow, _) = tcp.next() else { panic!("a message") };
    let mut alive = tcp.connect();
    alive.write_all(&options("alive")).expect("a message");
    let Incoming::Message(lively, _) = tcp.next() else { panic!("a message") };
    let mut browser = upgrade(&ws);
    browser.write_all(&frame(4, b"\r\n\r\n")).expect("a keep-alive");
    assert_eq!(read(&mut browser, 4), [0x81, 2, b'\r', b'\n']);
    let within = Duration::from_millis(600);
    tcp.streams.expect_alive(flow, within);
    tcp.streams.expect_alive(lively, within);
    let silence = std::thread::spawn(move || {
        assert!(is_closed(&mut silent));
        start.elapsed()
    });
    alive.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
    while !silence.is_finished() {
        alive.write_all(b"\r\n\r\n").expect("a keep-alive");
        assert_eq!(read(&mut alive, 2), b"\r\n");
        assert!(alive.read(&mut [0; 1]).is_err(), "nothing more comes for 200 ms");
    }
    let after = silence.join().expect("a peer");
    assert!(after >= within && after < Duration::from_secs(5), "{after:?}");
    assert!(matches!(tcp.next(), Incoming::Lost(lost) if lost == flow));
    assert_eq!((tcp.closed(Closed::Idle), tcp.streams.counters().of(Transport::Tcp).open()), (1, 1));
    let theirs = browser.local_addr().expect("bound");
    ws.streams.expect_alive(Flow { transport: Transport::Ws, local: ws.local, peer: theirs }, within);
    assert!(is_closed(&mut browser), "a browser too");
    ws.wait_until("it is counted", |ws| ws.streams.counters().of(Transport::Ws).closed(Closed::Idle) == 1);
}

#[test]
fn our_connection_is_pinged_when_it_is_silent_and_given_up_where_the_peer_answered_before() {
    let limits = StreamLimits { ping_after: Duration::from_millis(200), ..StreamLimits::default() };
    let exchange = Exchange::start(limits);
    let peer = TcpListener::bind(any()).expect("a port");
    let out = Flow { transport: Transport::Tcp, local: exchange.local, peer: peer.local_addr().expect("bound") };
    exchange.streams.send(out, options("hello"));
    let (mut stream, _) = peer.accept().expect("a connection");
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    read(&mut stream, options("hello").len());
    // Not answering the first ping says that this peer knows none.
    for _ in 0..2 {
        assert_eq!(read(&mut stream, 4), b"\r\n\r\n");
    }
    stream.write_all(b"\r\n").expect("a pong");
    assert_eq!(read(&mut stream, 4), b"\r\n\r\n");
    let start = Instant::now();
    assert!(is_closed(&mut stream), "a pong is owed now");
    assert!((8..15).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert!(matches!(exchange.next(), Incoming::Lost(lost) if lost == out));
}
