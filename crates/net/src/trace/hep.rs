//! Messages to Homer: HEP version 3 over UDP, one packet for each message, from a thread of its own.
//!
//! Whoever notes a message only copies it into a bounded queue; a full queue drops it and counts it.
#![expect(clippy::disallowed_types, reason = "the edge that sends to Homer")]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::{fmt, io};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::ring::Entry;
use super::{call_id, redact};

/// Messages that may wait to be sent; one more is dropped.
pub const QUEUE_MAX: usize = 8_192;
/// Bytes that may wait to be sent.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// A HEP packet's length has 16 bits, and it travels in one datagram.
const PACKET_BYTES_MAX: usize = 65_507;

/// Where messages are sent.
#[derive(Clone, PartialEq, Eq)]
pub struct HepConfig {
    /// Homer's capture port (heplify-server listens on 9060).
    pub to: SocketAddr,
    /// Tells this exchange from other senders.
    pub id: u32,
    /// Homer's authentication key, where it asks for one.
    pub key: Option<String>,
}

impl fmt::Debug for HepConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, id, key } = self;
        f.debug_struct("HepConfig").field("to", to).field("id", id).field("key", &key.is_some()).finish()
    }
}

/// What became of the messages, for metrics.
#[derive(Debug, Default)]
pub struct HepCounters {
    /// Handed to the network.
    pub sent: AtomicU64,
    /// Dropped because too many waited.
    pub dropped: AtomicU64,
    /// Not taken by the network, or too long for a packet.
    pub failed: AtomicU64,
}

/// The sending thread; it ends when dropped, after what waits has been sent.
#[derive(Debug)]
pub struct Exporter {
    queue: Option<Sender<(Entry, Vec<u8>)>>,
    waiting: Arc<AtomicUsize>,
    counters: Arc<HepCounters>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the socket or the thread cannot be made.
    pub fn start(config: HepConfig) -> io::Result<Self> {
        let any: SocketAddr = if config.to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().expect("an address");
        let socket = UdpSocket::bind(any)?;
        socket.connect(config.to)?;
        let (queue, messages) = bounded(QUEUE_MAX);
        let (waiting, counters) = (Arc::new(AtomicUsize::new(0)), Arc::<HepCounters>::default());
        let shared = (Arc::clone(&waiting), Arc::clone(&counters));
        let thread = std::thread::Builder::new()
            .name("sip-hep".into())
            .spawn(move || send_all(&socket, &config, &messages, &shared.0, &shared.1))?;
        Ok(Self { queue: Some(queue), waiting, counters, thread: Some(thread) })
    }

    /// What became of the messages.
    pub fn counters(&self) -> &Arc<HepCounters> {
        &self.counters
    }

    /// Queues one message without waiting.
    pub fn offer(&self, entry: Entry, bytes: &[u8]) {
        let Some(queue) = &self.queue else { return };
        if self.waiting.load(Ordering::Relaxed) + bytes.len() > QUEUE_BYTES_MAX {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send((entry, bytes.to_vec())) {
            self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that sends to Homer panicked");
        }
    }
}

fn send_all(
    socket: &UdpSocket,
    config: &HepConfig,
    messages: &Receiver<(Entry, Vec<u8>)>,
    waiting: &AtomicUsize,
    counters: &HepCounters,
) {
    let mut packet = Vec::with_capacity(4_096);
    for (entry, mut bytes) in messages {
        waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        redact(&mut bytes);
        encode(config, entry, &bytes, &mut packet);
        let sent = packet.len() <= PACKET_BYTES_MAX && socket.send(&packet).is_ok();
        let counter = if sent { &counters.sent } else { &counters.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Types of the generic chunks (vendor 0) of HEP3.
mod chunk {
    pub const FAMILY: u16 = 0x01;
    pub const PROTOCOL: u16 = 0x02;
    pub const SOURCE_V4: u16 = 0x03;
    pub const TARGET_V4: u16 = 0x04;
    pub const SOURCE_V6: u16 = 0x05;
    pub const TARGET_V6: u16 = 0x06;
    pub const SOURCE_PORT: u16 = 0x07;
    pub const TARGET_PORT: u16 = 0x08;
    pub const SECONDS: u16 = 0x09;
    pub const MICROSECONDS: u16 = 0x0a;
    pub const KIND: u16 = 0x0b;
    pub const AGENT: u16 = 0x0c;
    pub const KEY: u16 = 0x0e;
    pub const PAYLOAD: u16 = 0x0f;
    pub const CORRELATION: u16 = 0x11;
}

/// `AF_INET` and `AF_INET6` as HEP3 numbers them.
const FAMILIES: [u8; 2] = [2, 10];
/// Numbers of the Internet protocol.
const UDP: u8 = 17;
const TCP: u8 = 6;
/// What the payload is.
const SIP: u8 = 1;

/// One packet. Beyond [`PACKET_BYTES_MAX`] its lengths are meaningless and it is not sent.
fn encode(config: &HepConfig, entry: Entry, bytes: &[u8], out: &mut Vec<u8>) {
    let Entry { at, flow, sent } = entry;
    let (source, target) = if sent { (flow.local, flow.peer) } else { (flow.peer, flow.local) };
    let us = at.as_us();
    out.clear();
    out.extend_from_slice(b"HEP3\0\0");
    let mut put = |kind: u16, value: &[u8]| {
        out.extend_from_slice(&0_u16.to_be_bytes());
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&((value.len() + 6) as u16).to_be_bytes());
        out.extend_from_slice(value);
    };
    put(chunk::FAMILY, &[FAMILIES[usize::from(source.is_ipv6())]]);
    put(chunk::PROTOCOL, &[if flow.transport.is_reliable() { TCP } else { UDP }]);
    for (address, v4, v6) in
        [(source, chunk::SOURCE_V4, chunk::SOURCE_V6), (target, chunk::TARGET_V4, chunk::TARGET_V6)]
    {
        match address.ip() {
            IpAddr::V4(ip) => put(v4, &ip.octets()),
            IpAddr::V6(ip) => put(v6, &ip.octets()),
        }
    }
    put(chunk::SOURCE_PORT, &source.port().to_be_bytes());
    put(chunk::TARGET_PORT, &target.port().to_be_bytes());
    put(chunk::SECONDS, &((us / 1_000_000) as u32).to_be_bytes());
    put(chunk::MICROSECONDS, &((us % 1_000_000) as u32).to_be_bytes());
    put(chunk::KIND, &[SIP]);
    put(chunk::AGENT, &config.id.to_be_bytes());
    if let Some(key) = &config.key {
        put(chunk::KEY, key.as_bytes());
    }
    if let Some(call_id) = call_id(bytes) {
        put(chunk::CORRELATION, call_id);
    }
    put(chunk::PAYLOAD, bytes);
    let length = (out.len() as u16).to_be_bytes();
    out[4..6].copy_from_slice(&length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Trace;
    use offhook_sip::{Flow, Transport};
    use offhook_units::Tick;
    use std::time::Duration;

    fn chunks(packet: &[u8]) -> Vec<(u16, Vec<u8>)> {
        assert_eq!(&packet[..4], b"HEP3");
        assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), packet.len());
        let (mut rest, mut out) = (&packet[6..], Vec::new());
        while let [0, 0, a, b, c, d, ..] = *rest {
            let length = usize::from(u16::from_be_bytes([c, d]));
            out.push((u16::from_be_bytes([a, b]), rest[6..length].to_vec()));
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        out
    }

    #[test]
    fn each_message_goes_out_as_one_packet_with_its_addresses_its_instant_and_no_secret() {
        let homer = UdpSocket::bind("127.0.0.1:0").expect("a port");
        homer.set_read_timeout(Some(Duration::from_secs(5))).expect("a deadline");
        let to = homer.local_addr().expect("an address");
        let clock = crate::Clock::start(Some(Tick::from_us(4_000_000_000_000_000)));
        let config = HepConfig { to, id: 7, key: Some("k".to_owned()) };
        let trace = Trace::start(clock, 0, Some(config)).expect("a thread");
        let local = "[2001:db8::1]:5061".parse().expect("an address");
        let peer = "[2001:db8::9]:40000".parse().expect("an address");
        let message = b"BYE sip:a@b SIP/2.0\r\nCall-ID: x\r\nAuthorization: Digest response=\"ff\"\r\n\r\n";
        trace.sent(Flow { transport: Transport::Tls, local, peer }, message);
        let mut packet = [0; 2_000];
        let length = homer.recv(&mut packet).expect("a packet within 5 s");
        let seen = chunks(&packet[..length]);
        let of = |kind: u16| seen.iter().find(|(k, _)| *k == kind).map(|(_, value)| value.clone());
        assert_eq!((of(1), of(2), of(11)), (Some(vec![10]), Some(vec![6]), Some(vec![1])));
        assert_eq!(of(5).map(|ip| ip[15]), Some(1));
        assert_eq!(of(6).map(|ip| ip[15]), Some(9));
        assert_eq!((of(7), of(8)), (Some(5_061_u16.to_be_bytes().to_vec()), Some(40_000_u16.to_be_bytes().to_vec())));
        assert_eq!(of(9), Some(4_000_000_000_u32.to_be_bytes().to_vec()));
        assert!(of(10).is_some_and(|us| us[0] == 0 && us.len() == 4));
        assert_eq!((of(12), of(14), of(17)), (Some(vec![0, 0, 0, 7]), Some(b"k".to_vec()), Some(b"x".to_vec())));
        let text = String::from_utf8(of(15).expect("a payload")).expect("text");
        assert!(text.contains("response=\"**\"") && text.len() == message.len(), "{text}");
        let counters = trace.hep_counters().expect("an export");
        drop(trace);
        assert_eq!(counters.sent.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_finds_no_room_or_is_too_long_is_counted() {
        let homer = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let to = homer.local_addr().expect("an address");
        let exporter = Exporter::start(HepConfig { to, id: 1, key: None }).expect("a thread");
        let address = "127.0.0.1:5060".parse().expect("an address");
        let flow = Flow { transport: Transport::Udp, local: address, peer: address };
        let entry = Entry { at: Tick::ZERO, flow, sent: true };
        exporter.offer(entry, "a".repeat(QUEUE_BYTES_MAX + 1).as_bytes());
        exporter.offer(entry, "a".repeat(PACKET_BYTES_MAX).as_bytes());
        let counters = Arc::clone(exporter.counters());
        drop(exporter);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!((read(&counters.dropped), read(&counters.failed), read(&counters.sent)), (1, 1, 0));
    }
}
