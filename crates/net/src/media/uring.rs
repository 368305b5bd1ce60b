//! The batching driver: `io_uring`. Sockets receive by themselves into buffers shared with the kernel (multishot), relayed packets
//! are sent from the very buffer that they came in, and all sends of a waking share one system call with the next wait.

use std::io;
use std::mem::size_of;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::types::{Fd, RecvMsgOut, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use offhook_media::{Io, SocketKey};
use socket2::Socket;

use super::handle::Opened;
use super::shared::SharedEnd;
use super::sys::{KernelAddress, send_to};
use super::{DriverConfig, Resting, Shared, Sockets as _};
use crate::wake::Wake;
use pool::{BUFFERS, Pool};

mod pool;

/// Submissions queued between two system calls; more are submitted at once.
const SUBMISSIONS: u32 = 1_024;
/// Completions that the ring holds: receives and sends of all buffers, and more.
const COMPLETIONS: u32 = 4 * BUFFERS as u32;
/// Completions taken per turn.
const TURN_MAX: usize = 1_024;

/// What a completion is about: the two top bits of its `user_data`.
const RECEIVED: u64 = 0 << 62;
const SENT: u64 = 1 << 62;
const WOKEN: u64 = 2 << 62;
const CANCELLED: u64 = 3 << 62;
const KIND: u64 = 3 << 62;
/// Sockets of the shared port are numbered from here, where no key is.
const LISTENERS: u32 = 1 << 31;
/// Lives of a socket's place are told apart by 30 bits.
const LIFE_MASK: u32 = (1 << 30) - 1;

pub struct Driver {
    sockets: Sockets,
    taken: Vec<(u64, i32, u32)>,
}

/// The ring and what it works on. Declared in the order in which it must be dropped: the ring before the memory that it reads.
struct Sockets {
    ring: IoUring,
    open: Vec<Place>,
    shared: SharedEnd,
    /// Of the shared port.
    listeners: Vec<Socket>,
    pool: Pool,
    /// The form of every receive: room for an address, no control data.
    form: Box<libc::msghdr>,
    /// Where each buffer's packet is sent to, until the kernel has read it.
    to: Box<[KernelAddress]>,
    /// The buffer being worked on, until it is sent.
    current: Option<u16>,
    /// Buffers whose sends are queued: the kernel is done with them when it has taken the queue.
    sending: Vec<u16>,
    /// Bound for the command that is carried out.
    opened: Vec<Opened>,
    resting: Resting,
    /// Sockets about to rest: they do when the kernel has taken the queue, with the end of their receives in it.
    leaving: Vec<(SocketAddr, Socket)>,
    sends_failed: u64,
}

#[derive(Default)]
struct Place {
    socket: Option<(SocketAddr, Socket)>,
    life: u32,
    /// A receive stands, and its last completion has not been seen.
    receives: bool,
    /// It is to end.
    stopping: bool,
}

impl Driver {
    pub fn new(wake: &Wake, config: &DriverConfig) -> io::Result<Self> {
        let mut setup = IoUring::builder();
        setup.setup_single_issuer().setup_defer_taskrun().setup_cqsize(COMPLETIONS);
        let ring: IoUring = setup.build(SUBMISSIONS)?;
        let pool = Pool::new(&ring)?;
        // SAFETY: a msghdr of zero bytes is a valid one without name, data and control.
        let mut form: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        form.msg_namelen = size_of::<KernelAddress>() as libc::socklen_t;
        let mut sockets = Sockets {
            ring,
            open: Vec::new(),
            shared: SharedEnd::default(),
            listeners: Vec::new(),
            pool,
            form,
            to: vec![KernelAddress::EMPTY; BUFFERS].into(),
            current: None,
            sending: Vec::with_capacity(BUFFERS),
            opened: Vec::new(),
            resting: config.resting.clone(),
            leaving: Vec::new(),
            sends_failed: 0,
        };
        sockets.watch(wake);
        sockets.ring.submit()?;
        Ok(Self { sockets, taken: Vec::with_capacity(TURN_MAX) })
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
            self.sockets.wait(due.map(|due| due.since(now).as_std()));
            // One reading of the clock serves the whole batch.
            now = shared.clock.now();
            // What was handed over before these is older. What finds no room for its notice is told in the next turn.
            let _ = shared.share(&mut self.sockets, now);
            self.taken.clear();
            let arrived = self.sockets.ring.completion().take(TURN_MAX);
            self.taken.extend(arrived.map(|cqe| (cqe.user_data(), cqe.result(), cqe.flags())));
            for n in 0..self.taken.len() {
                let (data, result, flags) = self.taken[n];
                match data & KIND {
                    // Only failed sends complete.
                    SENT => self.sockets.sends_failed += 1,
                    WOKEN => {
                        shared.wake.clear();
                        if !cqueue::more(flags) {
                            self.sockets.watch(&shared.wake);
                        }
                    }
                    CANCELLED => {}
                    _ => self.received(&mut shared, now, data, result, flags),
                }
            }
            self.sockets.pool.publish();
        }
    }

    /// Hands a received datagram to the worker, and receives on where the kernel stopped (as when buffers ran out).
    fn received(&mut self, shared: &mut Shared, now: offhook_units::Tick, data: u64, result: i32, flags: u32) {
        let sockets = &mut self.sockets;
        let (key, life) = (SocketKey::from_index(data as u32 as usize), (data >> 32) as u32 & LIFE_MASK);
        let listener = (data as u32).checked_sub(LISTENERS).map(|n| n as usize);
        let lives = sockets.open.get(key.index()).is_some_and(|place| place.life == life && place.socket.is_some());
        if let Some(buffer) = cqueue::buffer_select(flags) {
            sockets.current = Some(buffer);
            let length = usize::try_from(result).unwrap_or(0);
            // SAFETY: the kernel gave the buffer to us with this completion, and it goes back only below or when it is sent.
            let bytes = unsafe { sockets.pool.bytes_mut(buffer) };
            let length = length.min(bytes.len());
            if (lives || listener.is_some())
                && let Some((from, payload)) = read_message(&bytes[..length], &sockets.form)
            {
                let key = match listener {
                    Some(n) => sockets.shared.route(now, n, from, &bytes[payload..length]),
                    None => Some(key),
                };
                if let Some(key) = key {
                    shared.worker.receive(sockets, now, key, from, &mut bytes[payload..], length - payload);
                }
            }
            if let Some(unsent) = sockets.current.take() {
                sockets.pool.give_back(unsent);
            }
        }
        if let (Some(n), false) = (listener, cqueue::more(flags)) {
            sockets.listen_on(n);
        } else if lives && !cqueue::more(flags) {
            let place = &mut sockets.open[key.index()];
            place.receives = false;
            if !place.stopping {
                sockets.receive_on(key);
            }
        }
    }
}

/// The sender of a received message, and where its payload begins; `None` where it is cut off or of no known address.
fn read_message(bytes: &[u8], form: &libc::msghdr) -> Option<(SocketAddr, usize)> {
    let message = RecvMsgOut::parse(bytes, form).ok().filter(|message| !message.is_payload_truncated())?;
    let from = KernelAddress::from_bytes(message.name_data())?;
    Some((from, bytes.len() - message.payload_data().len()))
}

impl Sockets {
    /// Submits what is queued and waits for something to complete, at most for `most`.
    fn wait(&mut self, most: Option<Duration>) {
        if !self.ring.completion().is_empty() {
            self.submit();
            return;
        }
        // Neither a passed time nor a signal is a fault; a turn without completions follows.
        let _ = match most {
            Some(most) => {
                let most = Timespec::from(most);
                self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&most))
            }
            None => self.ring.submit_and_wait(1),
        };
        self.reclaim();
    }

    fn submit(&mut self) {
        // What could not be submitted stays queued for the next call.
        let _ = self.ring.submit();
        self.reclaim();
    }

    /// Sends are tried once, at their submission (`MSG_DONTWAIT`): when the queue is taken, their buffers are free.
    fn reclaim(&mut self) {
        if self.ring.submission().is_empty() {
            while let Some(buffer) = self.sending.pop() {
                self.pool.give_back(buffer);
            }
            self.pool.publish();
            for (local, socket) in self.leaving.drain(..) {
                self.resting.put(local, socket);
            }
        }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        for _ in 0..2 {
            // SAFETY: everything an entry points to is owned by `self` (form, addresses, buffers) and outlives the ring.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            self.submit();
        }
        self.sends_failed += 1;
    }

    fn watch(&mut self, wake: &Wake) {
        let poll = opcode::PollAdd::new(Fd(wake.fd()), libc::POLLIN as u32).multi(true).build();
        self.push(&poll.user_data(WOKEN));
    }

    fn listen_on(&mut self, n: usize) {
        let Some(socket) = self.listeners.get(n) else { return };
        let receive = opcode::RecvMsgMulti::new(Fd(socket.as_raw_fd()), &raw const *self.form, pool::GROUP).build();
        self.push(&receive.user_data(RECEIVED | u64::from(LISTENERS + n as u32)));
    }

    fn receive_on(&mut self, key: SocketKey) {
        let Some(place) = self.open.get_mut(key.index()) else { return };
        let Some((_, socket)) = &place.socket else { return };
        place.receives = true;
        let receive = opcode::RecvMsgMulti::new(Fd(socket.as_raw_fd()), &raw const *self.form, pool::GROUP).build();
        let data = RECEIVED | (u64::from(place.life) << 32) | key.index() as u64;
        self.push(&receive.user_data(data));
    }
}

impl super::Sockets for Sockets {
    fn shared(&mut self) -> &mut SharedEnd {
        &mut self.shared
    }

    fn listen(&mut self, n: usize, socket: Socket) {
        self.listeners.push(socket);
        self.listen_on(n);
    }

    fn opened(&mut self) -> &mut Vec<Opened> {
        &mut self.opened
    }

    fn stop(&mut self, key: SocketKey) {
        if self.shared.seats(key) {
            return self.shared.stop(key);
        }
        let Some(place) = self.open.get_mut(key.index()).filter(|place| place.receives) else { return };
        place.stopping = true;
        // Its last completion comes behind those of all that it has received.
        let data = RECEIVED | (u64::from(place.life) << 32) | key.index() as u64;
        self.push(&opcode::AsyncCancel::new(data).build().user_data(CANCELLED));
    }

    fn is_stopped(&self, key: SocketKey) -> bool {
        if self.shared.seats(key) {
            return self.shared.is_stopped(key);
        }
        self.open.get(key.index()).is_none_or(|place| place.socket.is_none() || !place.receives)
    }

    fn give(&mut self, key: SocketKey) -> Option<(SocketAddr, Socket)> {
        if self.shared.seats(key) {
            // What was to leave by this descriptor does so before another worker has it.
            self.submit();
            self.shared.leave(key);
        }
        self.open.get_mut(key.index())?.socket.take()
    }
}

impl Io for Sockets {
    fn open(&mut self, key: SocketKey, local: SocketAddr) -> Result<(), String> {
        let socket = self.take_opened(local)?;
        if self.open.len() <= key.index() {
            self.open.resize_with(key.index() + 1, Place::default);
        }
        let place = &mut self.open[key.index()];
        place.socket = Some((local, socket));
        place.life = (place.life + 1) & LIFE_MASK;
        place.stopping = false;
        if !self.shared.take_seat(key, local) {
            self.receive_on(key);
        }
        Ok(())
    }

    fn close(&mut self, key: SocketKey) {
        let Some(place) = self.open.get_mut(key.index()) else { return };
        let Some((local, socket)) = place.socket.take() else { return };
        if self.shared.seats(key) {
            self.shared.close(key);
            // What was to leave by this descriptor does so before its number is another file's.
            self.submit();
            return;
        }
        // The standing receive holds the port as well: it is ended before the place is told to be free.
        let data = RECEIVED | (u64::from(place.life) << 32) | key.index() as u64;
        self.push(&opcode::AsyncCancel::new(data).build().user_data(CANCELLED));
        if self.resting.keeps() {
            self.leaving.push((local, socket));
            return;
        }
        // The last packets relayed through this socket are still queued: they leave while it is open.
        self.submit();
        drop(socket);
        // With zero to wait for this runs the ring's pending work, which lets go of the socket.
        let none = Timespec::new();
        let _ = self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&none));
        self.reclaim();
    }

    fn send(&mut self, key: SocketKey, to: SocketAddr, bytes: &[u8]) {
        let Some((_, socket)) = self.open.get(key.index()).and_then(|place| place.socket.as_ref()) else { return };
        let fd = self.shared.fd_towards(key, to).unwrap_or(socket.as_raw_fd());
        match self.current {
            Some(buffer) if self.pool.holds(buffer, bytes) => {
                self.current = None;
                let (address, length) = KernelAddress::of(to);
                let place = &mut self.to[usize::from(buffer)];
                *place = address;
                let send = opcode::Send::new(Fd(fd), bytes.as_ptr(), bytes.len() as u32)
                    .dest_addr((&raw const *place).cast())
                    .dest_addr_len(length)
                    .flags(libc::MSG_DONTWAIT)
                    .build()
                    .flags(squeue::Flags::SKIP_SUCCESS);
                self.push(&send.user_data(SENT));
                self.sending.push(buffer);
            }
            Some(_) | None => {
                // Made here, not received: what was queued before it leaves first.
                if !self.ring.submission().is_empty() {
                    self.submit();
                }
                if !send_to(fd, to, bytes) {
                    self.sends_failed += 1;
                }
            }
        }
    }

    fn name(&mut self, key: SocketKey, ufrag: &str) {
        self.shared.name(key, ufrag);
    }

    fn know(&mut self, key: SocketKey, from: SocketAddr) {
        self.shared.know(key, from);
    }
}
