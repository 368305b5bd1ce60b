//! The portable driver: `epoll`, one receive and one send per packet, nothing else in between.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use offhook_media::{Io, SocketKey};
use offhook_rtp::SRTP_TAIL_MAX;
use socket2::Socket;

use super::handle::Opened;
use super::shared::SharedEnd;
use super::sys::{Epoll, Ready, receive_from, send_to};
use super::{DriverConfig, Resting, Shared, Sockets as _};
use crate::wake::Wake;

/// Readinesses taken per waking.
const READY_MAX: usize = 512;
/// Largest datagram taken; the rest of a larger one is cut off, and it will not parse or relay as sent.
const DATAGRAM_BYTES_MAX: usize = 2_048;
/// Datagrams taken from the shared port per waking.
const LISTENER_MAX: usize = 256;
/// The tokens of its sockets begin here.
const LISTENERS: u64 = 1 << 32;
/// The token of the waker among those of sockets.
const WAKER: u64 = u64::MAX;

pub struct Driver {
    sockets: Sockets,
    ready: Box<[Ready]>,
    /// Room for the largest datagram and an authentication tag behind it.
    buffer: Box<[u8; DATAGRAM_BYTES_MAX + SRTP_TAIL_MAX]>,
}

struct Sockets {
    epoll: Epoll,
    open: Vec<Option<(SocketAddr, Socket)>>,
    shared: SharedEnd,
    /// Of the shared port.
    listeners: Vec<Socket>,
    /// Bound for the command that is carried out.
    opened: Vec<Opened>,
    resting: Resting,
    sends_failed: u64,
}

impl Driver {
    pub fn new(wake: &Wake, config: &DriverConfig) -> std::io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.watch(wake.fd(), WAKER)?;
        let sockets = Sockets {
            epoll,
            open: Vec::new(),
            shared: SharedEnd::default(),
            listeners: Vec::new(),
            opened: Vec::new(),
            resting: config.resting.clone(),
            sends_failed: 0,
        };
        Ok(Self {
            sockets,
            ready: vec![Ready { events: 0, u64: 0 }; READY_MAX].into(),
            buffer: Box::new([0; DATAGRAM_BYTES_MAX + SRTP_TAIL_MAX]),
        })
    }

    pub fn run(mut self, mut shared: Shared) {
        let mut now = shared.clock.now();
        self.sockets.shared = shared.shared_port.end(shared.number, shared.wake.clone());
        loop {
            let stopping = shared.stopped();
            let failed = self.sockets.sends_failed;
            let due = shared.turn(&mut self.sockets, now, failed);
            if stopping {
                shared.worker.close_all(&mut self.sockets, now);
                shared.deliver();
                return;
            }
            let wait = due.map(|due| due.since(now).as_us());
            let count = self.sockets.epoll.wait(&mut self.ready, wait);
            // One reading of the clock serves the whole batch.
            now = shared.clock.now();
            // What was handed over before these is older. What finds no room for its notice is told in the next turn.
            let _ = shared.share(&mut self.sockets, now);
            for n in 0..count {
                let token = self.ready[n].u64;
                if token == WAKER {
                    shared.wake.clear();
                    continue;
                }
                if token >= LISTENERS {
                    self.receive_shared(&mut shared, (token - LISTENERS) as usize);
                    continue;
                }
                let key = SocketKey::from_index(token as usize);
                let Some(Some((_, socket))) = self.sockets.open.get(key.index()) else { continue };
                // Level-triggered: what more is there wakes us again.
                if let Some((length, from)) = receive_from(socket.as_raw_fd(), &mut self.buffer[..DATAGRAM_BYTES_MAX]) {
                    shared.worker.receive(&mut self.sockets, now, key, from, &mut self.buffer[..], length);
                }
            }
        }
    }

    /// Takes what has come to a socket of the shared port.
    fn receive_shared(&mut self, shared: &mut Shared, n: usize) {
        for _ in 0..LISTENER_MAX {
            let Some(listener) = self.sockets.listeners.get(n) else { return };
            let got = receive_from(listener.as_raw_fd(), &mut self.buffer[..DATAGRAM_BYTES_MAX]);
            let Some((length, from)) = got else { return };
            // It may have come after the batch's reading of the clock: what was said since then is not older.
            let now = shared.clock.now();
            if let Some(key) = self.sockets.shared.route(now, n, from, &self.buffer[..length]) {
                shared.worker.receive(&mut self.sockets, now, key, from, &mut self.buffer[..], length);
            }
        }
    }
}

impl super::Sockets for Sockets {
    fn shared(&mut self) -> &mut SharedEnd {
        &mut self.shared
    }

    fn listen(&mut self, n: usize, socket: Socket) {
        if let Err(error) = self.epoll.watch(socket.as_raw_fd(), LISTENERS + n as u64) {
            tracing::error!(%error, "nothing is received from the port that browsers share");
        }
        self.listeners.push(socket);
    }

    fn opened(&mut self) -> &mut Vec<Opened> {
        &mut self.opened
    }

    fn stop(&mut self, key: SocketKey) {
        if self.shared.seats(key) {
            self.shared.stop(key);
        } else if let Some(Some((_, socket))) = self.open.get(key.index()) {
            // What it holds waits in it. A descriptor of ours that is watched can be unwatched.
            let _ = self.epoll.unwatch(socket.as_raw_fd());
        }
    }

    fn is_stopped(&self, key: SocketKey) -> bool {
        self.shared.is_stopped(key)
    }

    fn give(&mut self, key: SocketKey) -> Option<(SocketAddr, Socket)> {
        self.shared.leave(key);
        self.open.get_mut(key.index())?.take()
    }
}

impl Io for Sockets {
    fn open(&mut self, key: SocketKey, local: SocketAddr) -> Result<(), String> {
        let socket = self.take_opened(local)?;
        if !self.shared.take_seat(key, local) {
            let watched = self.epoll.watch(socket.as_raw_fd(), key.index() as u64);
            watched.map_err(|error| format!("UDP {local}: {error}"))?;
        }
        if self.open.len() <= key.index() {
            self.open.resize_with(key.index() + 1, || None);
        }
        self.open[key.index()] = Some((local, socket));
        Ok(())
    }

    fn close(&mut self, key: SocketKey) {
        let Some((local, socket)) = self.open.get_mut(key.index()).and_then(Option::take) else { return };
        if self.shared.seats(key) {
            self.shared.close(key);
        } else if self.epoll.unwatch(socket.as_raw_fd()) {
            self.resting.put(local, socket);
        }
    }

    fn send(&mut self, key: SocketKey, to: SocketAddr, bytes: &[u8]) {
        let Some(Some((_, socket))) = self.open.get(key.index()) else { return };
        let fd = self.shared.fd_towards(key, to).unwrap_or(socket.as_raw_fd());
        if !send_to(fd, to, bytes) {
            self.sends_failed += 1;
        }
    }

    fn name(&mut self, key: SocketKey, ufrag: &str) {
        self.shared.name(key, ufrag);
    }

    fn know(&mut self, key: SocketKey, from: SocketAddr) {
        self.shared.know(key, from);
    }
}
