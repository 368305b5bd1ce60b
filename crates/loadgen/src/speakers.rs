//! The thread that carries all speech: sockets in, flows, sockets out, a turn every millisecond.
#![expect(clippy::disallowed_types, reason = "the edge that owns the sockets for speech")]

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use offhook_net::Clock;
use offhook_net::datagrams::{self, Receiver as Batch};
use offhook_net::intake::Post;
use offhook_units::Entropy;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::faults::{Side, Wire};
use crate::flows::{Counts, Figures, Flows, Notice, Order, Outbox};

/// Datagrams read in one system call at most, and the longest one.
const BATCH_MAX: usize = 64;
const DATAGRAM_BYTES_MAX: usize = 2_048;
/// What is asked of the kernel as each socket's buffer; it may grant less (`net.core.rmem_max`).
pub const BUFFER_BYTES: usize = 4 << 20;
/// Pairs of ports that are tried before giving up.
const PAIRS_MAX: usize = 200;

/// What the thread is told.
#[derive(Debug)]
pub enum Input {
    /// For the flows.
    Order(Order),
    /// Tell how it stands.
    Tell(Sender<Told>),
}

/// How it stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told {
    /// Counts so far.
    pub counts: Counts,
    /// The round trip that 99 % did not exceed since the last telling, in milliseconds.
    pub round_trip_p99_ms: f64,
}

/// A socket for speech and the one after it, where reports of the far end may go without an answer by ICMP.
#[derive(Debug)]
pub struct Pair {
    socket: UdpSocket,
    _reports: UdpSocket,
    /// Where it listens.
    pub local: SocketAddr,
}

/// An even port for RTP and the next one for RTCP (RFC 3550 section 11), on a host of ours.
///
/// # Errors
/// As the operating system says.
pub fn open_pair(host: IpAddr) -> io::Result<Pair> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PAIRS_MAX {
        let domain = socket2::Domain::for_address(SocketAddr::new(host, 0));
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        socket.set_send_buffer_size(BUFFER_BYTES)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::new(host, 0).into())?;
        let socket: UdpSocket = socket.into();
        let local = socket.local_addr()?;
        if local.port() % 2 != 0 || local.port() == u16::MAX {
            continue;
        }
        match UdpSocket::bind((host, local.port() + 1)) {
            Ok(reports) => return Ok(Pair { socket, _reports: reports, local }),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The sockets for speech, and the network that they are on.
#[derive(Debug)]
pub struct Speaking {
    pairs: Vec<Pair>,
    /// The first so many are callers'.
    callers: usize,
    wire: Arc<Wire>,
    chance: Entropy,
}

impl Speaking {
    /// Callers' sockets first, then agents'.
    pub const fn new(pairs: Vec<Pair>, callers: usize, wire: Arc<Wire>, chance: Entropy) -> Self {
        Self { pairs, callers, wire, chance }
    }

    /// Whether a packet at this socket gets through.
    fn carries(&mut self, at: usize) -> bool {
        let side = if at < self.callers { Side::Callers } else { Side::Agents };
        self.wire.carries(side, || self.chance.next_u64())
    }
}

/// Carries speech until the senders of `inputs` are gone; gives what came of it.
pub fn run(
    mut speaking: Speaking,
    mut flows: Flows,
    clock: &Clock,
    inputs: &Receiver<Input>,
    notices: &Post<Notice>,
) -> Figures {
    let mut out = Outbox::new(speaking.pairs.len());
    let mut batch = Batch::new(BATCH_MAX, DATAGRAM_BYTES_MAX);
    loop {
        loop {
            match inputs.try_recv() {
                Ok(Input::Order(order)) => flows.order(clock.now(), order),
                Ok(Input::Tell(tell)) => {
                    let (counts, recent) = (flows.figures().counts, flows.take_recent());
                    // Whoever asked and is gone misses nothing.
                    let _gone = tell.send(Told { counts, round_trip_p99_ms: recent.ms_at(0.99) });
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return flows.finish(),
            }
        }
        flows.tick(clock.now(), &mut out);
        send(&mut speaking, &mut out, notices);
        for at in ready(&speaking.pairs, clock, &flows) {
            let fd = speaking.pairs[at].socket.as_raw_fd();
            // What is left after two batches comes with the next turn, so that sending is not kept waiting.
            for _ in 0..2 {
                let Ok(received) = batch.take(fd) else { break };
                let now = clock.now();
                let mut count = 0;
                for datagram in received {
                    count += 1;
                    if !speaking.carries(at) {
                        continue;
                    }
                    flows.receive(now, at, datagram.peer, datagram.bytes, &mut out);
                }
                send(&mut speaking, &mut out, notices);
                if count < BATCH_MAX {
                    break;
                }
            }
        }
    }
}

/// Sleeps until something is due or has come; gives the sockets that something has come on.
fn ready(pairs: &[Pair], clock: &Clock, flows: &Flows) -> Vec<usize> {
    let wait = flows.due().since(clock.now());
    let timeout = Timespec { tv_sec: wait.as_s() as i64, tv_nsec: (wait.as_us() % 1_000_000 * 1_000) as i64 };
    let mut fds: Vec<PollFd<'_>> = pairs.iter().map(|pair| PollFd::new(&pair.socket, PollFlags::IN)).collect();
    // An interrupted or failed wait is a short one.
    if poll(&mut fds, Some(&timeout)).is_err() {
        return Vec::new();
    }
    fds.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty()).map(|(at, _)| at).collect()
}

fn send(speaking: &mut Speaking, out: &mut Outbox, notices: &Post<Notice>) {
    for at in 0..speaking.pairs.len() {
        let Some(letters) = out.letters.get_mut(at).filter(|letters| !letters.is_empty()) else { continue };
        letters.retain(|_| speaking.carries(at));
        datagrams::send_all(speaking.pairs[at].socket.as_raw_fd(), letters);
    }
    out.clear();
    for notice in out.notices.drain(..) {
        // At the end nobody listens any more.
        let _gone = notices.leave(notice);
    }
}
