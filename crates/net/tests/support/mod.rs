//! Connections on loopback for tests: an exchange's side of them, and peers that are written by hand.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use offhook_net::bans::Bans;
use offhook_net::sip::Incoming;
use offhook_net::streams::{Closed, StreamLimits, StreamListener, Streams, Tls};
use offhook_net::trace::Trace;
use offhook_sip::{Message, Transport};

/// Nothing here takes longer, unless it never comes.
pub const SOON: Duration = Duration::from_secs(20);

/// Listens, and tells what comes in.
pub struct Exchange {
    pub streams: Streams,
    pub local: SocketAddr,
    pub incoming: Receiver<Vec<Incoming>>,
}

impl Exchange {
    pub fn start(limits: StreamLimits) -> Self {
        Self::start_over(Transport::Tcp, None, limits)
    }

    pub fn start_over(transport: Transport, tls: Option<Tls>, limits: StreamLimits) -> Self {
        Self::start_with(transport, tls, limits, Bans::default())
    }

    pub fn start_with(transport: Transport, tls: Option<Tls>, limits: StreamLimits, bans: Bans) -> Self {
        let listener = StreamListener::bind(transport, any()).expect("a port");
        let (tell, incoming) = unbounded();
        let local = listener.local();
        let deliver = move |batch| tell.send(batch).map_err(|error| error.0);
        let (bans, deliver) = (Arc::new(bans), Arc::new(deliver));
        let streams = Streams::start(vec![listener], tls, limits, bans, deliver, Trace::default()).expect("a thread");
        Self { streams, local, incoming }
    }

    pub fn next(&self) -> Incoming {
        let mut batch = self.incoming.recv_timeout(SOON).expect("something comes in");
        assert_eq!(batch.len(), 1, "{batch:?}");
        batch.remove(0)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.local).expect("a connection");
        stream.set_read_timeout(Some(SOON)).expect("a time-out");
        stream
    }

    pub fn closed(&self, why: Closed) -> u64 {
        self.streams.counters().of(Transport::Tcp).closed(why)
    }

    pub fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < SOON, "{what}");
            std::thread::yield_now();
        }
    }
}

pub fn any() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

pub fn options(call_id: &str) -> Vec<u8> {
    format!(
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

pub fn call_id(message: &Message) -> &str {
    message.headers().call_id().unwrap_or_default()
}

pub fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("bytes");
    bytes
}

pub fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}
