//! SIP over UDP: batches in, single datagrams out.
//!
//! A batch is read, floods are shed and messages parsed by the owner of the exchange itself ([`crate::intake`]), or by a thread
//! that hands batches over ([`SipSocket::start`]). Sending goes straight to the socket and never blocks.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the edge that owns the SIP sockets")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use offhook_sip::{Flow, MESSAGE_BYTES_MAX, Message, ParseError, Transport};

use crate::ancillary;
use crate::bans::{Admission, Offence};
use crate::datagrams::{Letter, Received, Receiver};
use crate::flood::Gate;
use crate::stun::{self, Stun, TransactionId};
use crate::trace::Trace;
use crate::unreachable;

/// Datagrams read in one system call at most.
pub const BATCH_MAX: usize = 32;

/// Socket buffers of a listener, each way. The kernel may grant less (`net.core.rmem_max`).
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// How often the reading thread looks whether it shall stop, while nothing comes.
const STOP_LOOK: Duration = Duration::from_millis(200);

/// What came in.
#[derive(Debug)]
pub enum Incoming {
    /// A message.
    Message(Flow, Box<Message>),
    /// A datagram that is no message, but enough of one to be answered.
    Malformed(Flow, Box<ParseError>),
    /// A connection is gone, or could not be made; or a datagram did not reach its peer, as ICMP tells.
    Lost(Flow),
    /// The connection was opened over TLS, and its far end has proved to be this trunk, by its place in the configuration, or none.
    /// Nothing of the connection comes before.
    Proved(Flow, Option<usize>),
    /// The far end of the flow answered our STUN request: where it sees us.
    Mapped(Flow, TransactionId, SocketAddr),
}

/// What a listener saw, for metrics.
#[derive(Debug, Default)]
pub struct SipCounters {
    /// Datagrams received.
    pub received: AtomicU64,
    /// Datagrams sent.
    pub sent: AtomicU64,
    /// Datagrams that could not be sent: a full socket buffer, no route.
    pub send_failed: AtomicU64,
    /// STUN requests answered.
    pub stun: AtomicU64,
    /// Peers that datagrams did not reach, as ICMP told.
    pub unreachable: AtomicU64,
    /// Datagrams dropped unread because their source sent too many.
    pub flooded: AtomicU64,
}

/// A UDP listener: cheap to clone, sends from any thread.
#[derive(Debug, Clone)]
pub struct SipSocket {
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    counters: Arc<SipCounters>,
    trace: Trace,
}

/// The reading thread of a listener; stops when dropped.
#[derive(Debug)]
pub struct SipReader {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SipSocket {
    /// Binds a listener.
    ///
    /// # Errors
    /// As the operating system says, with the address in the text.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
        socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
        socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
        socket
            .bind(&address.into())
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on udp:{address}: {error}")))?;
        let socket: UdpSocket = socket.into();
        socket.set_read_timeout(Some(STOP_LOOK))?;
        let local = socket.local_addr()?;
        unreachable::keep_errors(socket.as_raw_fd(), local.is_ipv4())?;
        if local.ip().is_unspecified() {
            ancillary::keep_destinations(socket.as_raw_fd(), local.is_ipv4())?;
        }
        Ok(Self { socket: Arc::new(socket), local, counters: Arc::default(), trace: Trace::default() })
    }

    /// Notes what comes in.
    #[must_use]
    pub fn traced(self, trace: Trace) -> Self {
        Self { trace, ..self }
    }

    /// Our address; its host may be the wildcard.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// What it saw.
    pub fn counters(&self) -> &Arc<SipCounters> {
        &self.counters
    }

    /// Sends one datagram without waiting; a failure is counted, and SIP's retransmission makes up for it.
    pub fn send(&self, peer: SocketAddr, bytes: &[u8]) {
        self.send_from(None, peer, bytes);
    }

    /// As [`SipSocket::send`], from the flow's own address: of several, the one that the peer knows us by.
    pub fn send_on(&self, flow: Flow, bytes: &[u8]) {
        self.send_from(self.source(flow), flow.peer, bytes);
    }

    /// A datagram that goes along with others, as [`SipSocket::send_on`] would send it.
    pub fn letter(&self, flow: Flow, bytes: Vec<u8>) -> Letter {
        Letter { source: self.source(flow), peer: flow.peer, bytes }
    }

    /// Sends datagrams in order, as few system calls as can be, as [`SipSocket::send`] does with one.
    pub fn send_all(&self, letters: &[Letter]) {
        let sent = crate::datagrams::send_all(self.socket.as_raw_fd(), letters);
        self.counters.sent.fetch_add(sent as u64, Ordering::Relaxed);
        self.counters.send_failed.fetch_add((letters.len() - sent) as u64, Ordering::Relaxed);
    }

    fn source(&self, flow: Flow) -> Option<IpAddr> {
        self.local.ip().is_unspecified().then_some(flow.local.ip())
    }

    fn send_from(&self, source: Option<IpAddr>, peer: SocketAddr, bytes: &[u8]) {
        let sent = crate::datagrams::send_now(self.socket.as_raw_fd(), source, peer, bytes);
        let counter = if sent { &self.counters.sent } else { &self.counters.send_failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Starts the reading thread. `deliver` takes each batch; it must not block, and gives whether to go on.
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub fn start(&self, mut deliver: impl FnMut(Vec<Incoming>) -> bool + Send + 'static) -> io::Result<SipReader> {
        let (listener, stop) = (self.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("sip-udp".into()).spawn(move || {
            let mut receiver = Receiver::new(BATCH_MAX, MESSAGE_BYTES_MAX);
            let mut gate = Gate::default();
            while !stopped.load(Ordering::Relaxed) {
                let mut batch = Vec::new();
                match receiver.receive(listener.socket.as_raw_fd()) {
                    Ok(received) => listener.read(received, &mut gate, &mut batch),
                    Err(error) if is_passing(&error) => listener.read_errors(&mut batch),
                    Err(error) => {
                        tracing::error!(%error, local = %listener.local, "the SIP listener failed");
                        return;
                    }
                }
                if !batch.is_empty() && !deliver(batch) {
                    return;
                }
            }
        })?;
        Ok(SipReader { stop, thread: Some(thread) })
    }

    /// Sheds and parses what was received.
    pub(crate) fn read<'a>(
        &self,
        received: impl Iterator<Item = Received<'a>>,
        gate: &mut Gate,
        batch: &mut Vec<Incoming>,
    ) {
        let now = Instant::now();
        for datagram in received {
            self.counters.received.fetch_add(1, Ordering::Relaxed);
            // RFC 5626 section 3.5.1: CRLF keeps a flow open and asks for nothing on UDP.
            if datagram.bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                continue;
            }
            let source = datagram.peer.ip();
            if !gate.flood.admits(source, now) {
                self.counters.flooded.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            match gate.bans.admits(source, now, datagram.bytes) {
                Admission::Read => {}
                Admission::Banned | Admission::Scanner => continue,
            }
            let flow = match datagram.local {
                Some(ip) => Self::flow(SocketAddr::new(ip, self.local.port()), datagram.peer),
                None => self.flow_to(datagram.peer),
            };
            if let Some(message) = stun::read(datagram.bytes, datagram.peer) {
                match message {
                    Stun::Request(answer) => {
                        self.counters.stun.fetch_add(1, Ordering::Relaxed);
                        self.send_on(flow, &answer);
                    }
                    Stun::Mapped(id, address) => batch.push(Incoming::Mapped(flow, id, address)),
                    Stun::Other => {}
                }
                continue;
            }
            self.trace.received(flow, datagram.bytes);
            match Message::parse(datagram.bytes) {
                Ok(message) => batch.push(Incoming::Message(flow, Box::new(message))),
                Err(error) => {
                    gate.bans.offend(source, Offence::Malformed, now);
                    batch.push(Incoming::Malformed(flow, Box::new(error)));
                }
            }
        }
    }

    /// Tells whom datagrams of ours did not reach. To be asked when a read gave nothing: the kernel wakes for these, too.
    pub(crate) fn read_errors(&self, batch: &mut Vec<Incoming>) {
        for peer in unreachable::take_unreachable(self.socket.as_raw_fd()) {
            self.counters.unreachable.fetch_add(1, Ordering::Relaxed);
            batch.push(Incoming::Lost(self.flow_to(peer)));
        }
    }

    fn flow_to(&self, peer: SocketAddr) -> Flow {
        let local = if self.local.ip().is_unspecified() {
            let ip = route_to(peer).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
            SocketAddr::new(ip, self.local.port())
        } else {
            self.local
        };
        Self::flow(local, peer)
    }

    const fn flow(local: SocketAddr, peer: SocketAddr) -> Flow {
        Flow { transport: Transport::Udp, local, peer }
    }
}

impl AsFd for SipSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for SipReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the SIP listener's thread panicked");
        }
    }
}

/// Our address on the route to `peer`, as the kernel would choose it.
///
/// # Errors
/// Where there is no route.
pub fn route_to(peer: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().expect("a literal address");
    let probe = UdpSocket::bind(any)?;
    probe.connect(peer)?;
    Ok(probe.local_addr()?.ip())
}

/// Whether a failed read says nothing about the socket.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    // What ICMP told of an earlier datagram is told once, by whatever call comes next.
    let is_told_by_icmp = matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EMSGSIZE
                | libc::EPROTO
                | libc::EACCES
        )
    );
    is_told_by_icmp || matches!(error.kind(), Kind::WouldBlock | Kind::TimedOut | Kind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_crosses_and_rubbish_is_handed_over_as_malformed() {
        let listener = SipSocket::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let peer = SipSocket::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let (tell, told) = crossbeam_channel::unbounded();
        let _reader = listener.start(move |batch| tell.send(batch).is_ok()).expect("a thread");
        peer.send(listener.local(), b"\r\n\r\n");
        peer.send(listener.local(), b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n");
        peer.send(listener.local(), b"rubbish");
        let mut seen = Vec::new();
        while seen.len() < 2 {
            seen.extend(told.recv_timeout(Duration::from_secs(5)).expect("both datagrams within 5 s"));
        }
        assert!(matches!(&seen[0], Incoming::Message(flow, _) if flow.peer == peer.local()));
        assert!(matches!(&seen[1], Incoming::Malformed(flow, _) if flow.local == listener.local()));
    }

    #[test]
    fn forty_letters_arrive_in_order_and_one_that_cannot_be_sent_holds_none_up() {
        let listener = SipSocket::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let peer = UdpSocket::bind("127.0.0.1:0").expect("a port");
        peer.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let to = |peer| Flow { transport: Transport::Udp, local: listener.local(), peer };
        let mut letters: Vec<Letter> =
            (0..40_u8).map(|n| listener.letter(to(peer.local_addr().expect("an address")), vec![n; 20])).collect();
        // IPv6 leaves no socket of IPv4.
        letters.insert(17, listener.letter(to("[::1]:5060".parse().expect("an address")), vec![99; 20]));
        listener.send_all(&letters);
        let mut buffer = [0; 64];
        let came = (0..40).map(|_| peer.recv(&mut buffer).map(|length| (length, buffer[0])).expect("a letter"));
        assert_eq!(came.collect::<Vec<_>>(), (0..40).map(|n| (20, n)).collect::<Vec<_>>());
        let counters = listener.counters();
        assert_eq!((counters.sent.load(Ordering::Relaxed), counters.send_failed.load(Ordering::Relaxed)), (40, 1));
    }

    #[test]
    fn one_of_many_addresses_is_told_from_the_others_and_answered_from() {
        let listener = SipSocket::bind("0.0.0.0:0".parse().expect("an address")).expect("a port");
        let peer = SipSocket::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let answering = listener.clone();
        let answer = move |batch: Vec<Incoming>| {
            for incoming in batch {
                let Incoming::Malformed(flow, _) = incoming else { panic!("rubbish is malformed") };
                answering.send_on(flow, b"rubbish as well");
            }
            true
        };
        let _answering = listener.start(answer).expect("a thread");
        let (tell, told) = crossbeam_channel::unbounded();
        let _reader = peer.start(move |batch| tell.send(batch).is_ok()).expect("a thread");
        let called = SocketAddr::new("127.0.0.7".parse().expect("an address"), listener.local().port());
        peer.send(called, b"rubbish");
        let batch = told.recv_timeout(Duration::from_secs(5)).expect("an answer within 5 s");
        assert!(matches!(&batch[..], [Incoming::Malformed(flow, _)] if flow.peer == called), "{batch:?}");
    }

    #[test]
    fn a_stun_request_on_the_sip_port_is_answered_with_where_it_came_from() {
        let listener = SipSocket::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let peer = SipSocket::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let _answering = listener.start(|_| true).expect("a thread");
        let (tell, told) = crossbeam_channel::unbounded();
        let _reader = peer.start(move |batch| tell.send(batch).is_ok()).expect("a thread");
        peer.send(listener.local(), &stun::binding_request([9; 12]));
        let batch = told.recv_timeout(Duration::from_secs(5)).expect("an answer within 5 s");
        let [Incoming::Mapped(flow, id, address)] = &batch[..] else { panic!("{batch:?}") };
        assert_eq!((flow.peer, *id, *address), (listener.local(), [9; 12], peer.local()));
        assert_eq!(listener.counters().stun.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_closed_port_is_told_as_lost_and_others_are_sent_to_all_the_same() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let listener = SipSocket::bind(any.parse().expect("an address")).expect("a port");
            let peer = SipSocket::bind(any.parse().expect("an address")).expect("a port");
            let gone = UdpSocket::bind(any).and_then(|socket| socket.local_addr()).expect("a port that is free again");
            let (tell, told) = crossbeam_channel::unbounded();
            let _reader = listener.start(move |batch| tell.send(batch).is_ok()).expect("a thread");
            let (hear, heard) = crossbeam_channel::unbounded();
            let _hearing = peer.start(move |batch| hear.send(batch).is_ok()).expect("a thread");
            listener.send(gone, b"is anybody there?");
            listener.send(peer.local(), b"rubbish");
            let batch = told.recv_timeout(Duration::from_secs(5)).expect("it is told within 5 s");
            assert!(matches!(batch[..], [Incoming::Lost(flow)] if flow.peer == gone && flow.local == listener.local()));
            heard.recv_timeout(Duration::from_secs(5)).expect("the other datagram arrives");
            assert_eq!(listener.counters().unreachable.load(Ordering::Relaxed), 1);
            assert_eq!(listener.counters().send_failed.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn the_route_to_loopback_is_loopback() {
        let peer = "127.0.0.9:5060".parse().expect("an address");
        assert!(route_to(peer).expect("a route").is_loopback());
    }
}
