//! Sockets of closed legs rest here, bound as they were, until a leg is given their port again: to make, bind and close four
//! sockets costs more than anything else that a short call asks of its media worker.
//!
//! What arrives at a resting socket stays in its buffer, unread, and is thrown away before the next leg has it: no packet of an
//! earlier call reaches a later one that would not have reached a socket made anew.
#![expect(
    clippy::disallowed_types,
    reason = "shared by the control plane and the workers; locked when a leg opens or closes, never for a packet"
)]

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::Socket;

use super::sys::bind_udp;

/// Packets thrown away from a resting socket at most; one that holds more is being flooded, and is closed and made anew.
const STRAYS_MAX: usize = 1_024;

/// Resting sockets. Workers that may be given the same ports share one: what rests of one worker must not be in another's way.
#[derive(Debug, Clone, Default)]
pub struct Resting {
    sockets: Arc<Mutex<BTreeMap<SocketAddr, Socket>>>,
    most: usize,
}

impl Resting {
    /// Keeps at most `most` sockets; none is the default.
    pub fn new(most: usize) -> Self {
        Self { sockets: Arc::default(), most }
    }

    /// Whether sockets are kept at all.
    pub(super) const fn keeps(&self) -> bool {
        self.most > 0
    }

    /// A socket bound to `local` that holds no packet: a rested or a new one. Descriptors that rest are given up before a leg
    /// goes without.
    ///
    /// # Errors
    /// As the operating system says.
    pub(super) fn open(&self, local: SocketAddr, receive_buffer_bytes: usize) -> io::Result<Socket> {
        if self.keeps() {
            // Emptying one may take a thousand calls of the kernel, and giving all up more: a worker that closes a leg does not wait for them.
            let rested = self.lock().remove(&local);
            if let Some(socket) = rested.filter(is_emptied) {
                return Ok(socket);
            }
        }
        self.or_without_rest(|| bind_udp(local, receive_buffer_bytes))
    }

    /// Binds; where descriptors or memory are short, once more after all that rests was given up.
    fn or_without_rest(&self, bind: impl Fn() -> io::Result<Socket>) -> io::Result<Socket> {
        bind().or_else(|error| {
            if !self.keeps() || !is_shortage(&error) {
                return Err(error);
            }
            let given_up = core::mem::take(&mut *self.lock());
            drop(given_up);
            bind()
        })
    }

    /// Keeps a socket that nothing receives from any more, or closes it where enough rest.
    pub(super) fn put(&self, local: SocketAddr, socket: Socket) {
        let mut sockets = self.lock();
        if sockets.len() < self.most {
            sockets.insert(local, socket);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Socket>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the system has no descriptor or no memory left; a port that another program holds is not that.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Throws away what came to a socket at rest; says whether nothing is left.
fn is_emptied(socket: &Socket) -> bool {
    let mut room = [MaybeUninit::uninit(); 1];
    // An error of an earlier send is told once, in the place of a packet.
    (0..STRAYS_MAX).any(|_| socket.recv(&mut room).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFER_BYTES: usize = 128 << 10;

    fn address(socket: &Socket) -> SocketAddr {
        socket.local_addr().ok().and_then(|address| address.as_socket()).expect("a bound socket")
    }

    #[test]
    fn a_rested_socket_is_the_same_one_without_the_packets_that_came_meanwhile() {
        let resting = Resting::new(1);
        let socket = resting.open("127.0.0.1:0".parse().expect("an address"), BUFFER_BYTES).expect("a port");
        let local = address(&socket);
        resting.put(local, socket);
        let peer = bind_udp("127.0.0.1:0".parse().expect("an address"), BUFFER_BYTES).expect("a port");
        for _ in 0..3 {
            peer.send_to(b"for an earlier call", &local.into()).expect("room");
        }
        let socket = resting.open(local, BUFFER_BYTES).expect("it rests");
        assert_eq!(address(&socket), local);
        peer.send_to(b"for this one", &local.into()).expect("room");
        let mut room = [MaybeUninit::uninit(); 64];
        assert_eq!(socket.recv(&mut room).expect("a packet"), b"for this one".len());
    }

    #[test]
    fn sockets_over_the_limit_are_closed_and_their_ports_are_free() {
        let resting = Resting::new(1);
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let sockets: Vec<Socket> = (0..2).map(|_| bind_udp(any, BUFFER_BYTES).expect("a port")).collect();
        let locals: Vec<SocketAddr> = sockets.iter().map(address).collect();
        for (local, socket) in locals.iter().zip(sockets) {
            resting.put(*local, socket);
        }
        assert!(bind_udp(locals[0], BUFFER_BYTES).is_err(), "it rests");
        assert!(bind_udp(locals[1], BUFFER_BYTES).is_ok(), "it was closed");
    }

    #[test]
    fn what_rests_is_given_up_for_want_of_descriptors_and_for_nothing_else() {
        let resting = Resting::new(8);
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let socket = bind_udp(any, BUFFER_BYTES).expect("a port");
        let local = address(&socket);
        resting.put(local, socket);
        assert!(resting.open("192.0.2.1:9".parse().expect("an address"), BUFFER_BYTES).is_err(), "no address of ours");
        assert!(bind_udp(local, BUFFER_BYTES).is_err(), "it rests on");
        let tries = core::cell::Cell::new(0);
        let short = || {
            tries.set(tries.get() + 1);
            if tries.get() == 1 { Err(io::Error::from_raw_os_error(libc::EMFILE)) } else { bind_udp(any, BUFFER_BYTES) }
        };
        assert!(resting.or_without_rest(short).is_ok());
        assert!(bind_udp(local, BUFFER_BYTES).is_ok(), "given up");
    }
}
