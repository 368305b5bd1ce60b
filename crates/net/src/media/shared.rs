//! One UDP port for all legs of browsers. One worker reads it; a datagram whose leg is another worker's goes there through a ring, a
//! batch at a time. Each leg sends through a descriptor of its own for the one socket.
#![expect(
    clippy::disallowed_types,
    reason = "sockets shared with the control plane; locked when a leg opens or a worker starts, never for a packet"
)]

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use offhook_media::SocketKey;
use offhook_rtp::SRTP_TAIL_MAX;
use offhook_units::Tick;
use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};
use socket2::Socket;

use super::sys::bind_udp;
use super::{Shared, Sockets};
use crate::wake::Wake;
use router::{Route, Router, Target};

pub mod router;

/// The worker that reads the port.
pub(super) const READER: usize = 0;
/// Datagrams on their way to one worker; the newest is dropped and counted where there is no room: a tenth of a second of 200 calls.
const LANE_MAX: usize = 1_024;
/// The same to the reading worker itself: what was kept of legs that come to it from another worker.
const OWN_LANE_MAX: usize = 128;
/// Largest datagram that is handed to another worker, with the room behind it: a path's usual packet size.
const PACKET_BYTES_MAX: usize = 1_536;
/// Words of workers to the one that reads; further ones wait with their worker.
const NOTICES_MAX: usize = 4_096;
/// Receive buffer asked for the one socket: a tenth of a second of 3,000 calls as the kernel counts it. It gives `net.core.rmem_max` at
/// most to who may not ask for more.
const RECEIVE_BUFFER_BYTES: usize = 16 << 20;

/// The port, known to all workers of an exchange. By default there is none.
#[derive(Debug, Clone, Default)]
pub struct SharedPort(Option<Arc<Inner>>);

/// A worker's lane: the end that is written to, and the one that it reads.
type Lane = (Option<HeapProd<Delivery>>, Option<HeapCons<Delivery>>);

struct Inner {
    port: u16,
    /// One for each address of ours that peers have come to.
    sockets: Mutex<BTreeMap<SocketAddr, Socket>>,
    addresses: Mutex<Vec<IpAddr>>,
    lanes: Mutex<Vec<Lane>>,
    wakes: Vec<OnceLock<Arc<Wake>>>,
    notices: (Sender<Notice>, Receiver<Notice>),
    counters: Arc<PortCounters>,
}

/// What is counted of the port, for `/metrics`: totals since the start but for `legs` and `addresses`.
#[derive(Debug, Default)]
pub struct PortCounters {
    /// Legs that share it now.
    pub legs: AtomicU64,
    /// Addresses that their peers are known to be at now.
    pub addresses: AtomicU64,
    /// Legs refused at [`router::SHARING_MAX`].
    pub refused: AtomicU64,
    /// Datagrams that are no check and come from where nobody is known to be.
    pub unknown: AtomicU64,
    /// Checks for nobody here.
    pub unnamed: AtomicU64,
    /// Checks over [`router::CHECKS_PER_SOURCE_MAX`].
    pub limited: AtomicU64,
    /// Datagrams handed to another worker than the one that reads.
    pub handed: AtomicU64,
    /// Of these, those that found no room.
    pub dropped: AtomicU64,
}

impl PortCounters {
    #[expect(clippy::unused_self, reason = "one writer: the worker that reads the port")]
    fn add(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    #[expect(clippy::unused_self, reason = "one writer: the worker that reads the port")]
    fn set(&self, counter: &AtomicU64, value: usize) {
        counter.store(value as u64, Ordering::Relaxed);
    }

    fn nowhere(&self, counter: &AtomicU64) -> Route {
        self.add(counter);
        Route::Nowhere
    }
}

/// A datagram for another worker.
pub struct PacketOf {
    key: SocketKey,
    token: u64,
    /// When it was received.
    at: Tick,
    from: SocketAddr,
    length: usize,
    bytes: [u8; PACKET_BYTES_MAX],
}

/// What the reading worker hands to another one.
#[expect(clippy::large_enum_variant, reason = "it lies in a ring whose places are made for packets")]
enum Delivery {
    Packet(PacketOf),
    /// Nothing follows for a leg that is to leave.
    Parked {
        key: SocketKey,
        token: u64,
    },
}

/// What workers, and the control plane, tell the one that reads.
enum Notice {
    Listen(SocketAddr, Socket),
    Name(Target, Box<str>),
    Know(Target, IpAddr, SocketAddr),
    Park(Target),
    Close(Target),
}

impl SharedPort {
    /// `port` on every address of ours that browsers come to, for `workers` numbered from 0.
    pub fn new(port: u16, workers: usize) -> Self {
        let lane = |worker| {
            let (producer, consumer) = HeapRb::new(if worker == READER { OWN_LANE_MAX } else { LANE_MAX }).split();
            (Some(producer), Some(consumer))
        };
        Self(Some(Arc::new(Inner {
            port,
            sockets: Mutex::default(),
            addresses: Mutex::default(),
            lanes: Mutex::new((0..workers).map(lane).collect()),
            wakes: (0..workers).map(|_| OnceLock::new()).collect(),
            notices: bounded(NOTICES_MAX),
            counters: Arc::default(),
        })))
    }

    /// Whether a leg at `local` shares it.
    pub(super) fn holds(&self, local: SocketAddr) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.port == local.port())
    }

    /// A descriptor for the socket at `local`, which is bound when it is first asked for.
    pub(super) fn open(&self, local: SocketAddr) -> io::Result<Socket> {
        let Some(inner) = &self.0 else { return Err(io::ErrorKind::NotFound.into()) };
        let mut sockets = lock(&inner.sockets);
        if let Some(socket) = sockets.get(&local) {
            return socket.try_clone();
        }
        let socket = bind_udp(local, RECEIVE_BUFFER_BYTES)?;
        let leg = socket.try_clone()?;
        let listen = Notice::Listen(local, socket.try_clone()?);
        inner.notices.0.try_send(listen).map_err(|_| io::Error::other("the media worker is busy"))?;
        sockets.insert(local, socket);
        drop(sockets);
        inner.wake(READER);
        Ok(leg)
    }

    /// Binds it at an address of ours, so that what is in the way is known at the start; at an unspecified one when browsers come.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn bind(&self, address: IpAddr) -> io::Result<()> {
        let Some(inner) = self.0.as_ref().filter(|_| !address.is_unspecified()) else { return Ok(()) };
        self.open(SocketAddr::new(address, inner.port))?;
        let mut addresses = lock(&inner.addresses);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
        Ok(())
    }

    /// Where it was bound by [`SharedPort::bind`], in order: the first of each family is where every leg may be found.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.0.as_ref().map(|inner| lock(&inner.addresses).clone()).unwrap_or_default()
    }

    /// What is counted of it, where there is one.
    pub fn counters(&self) -> Option<Arc<PortCounters>> {
        self.0.as_ref().map(|inner| inner.counters.clone())
    }

    /// The end of worker `number`, whose thread is roused by `wake`. Given out once.
    pub(super) fn end(&self, number: usize, wake: Arc<Wake>) -> SharedEnd {
        let mut end = SharedEnd { port: self.clone(), number, ..SharedEnd::default() };
        let Some(inner) = &self.0 else { return end };
        if let Some(place) = inner.wakes.get(number) {
            // A worker is started once.
            let _ = place.set(wake);
        }
        let mut lanes = lock(&inner.lanes);
        end.lane = lanes.get_mut(number).and_then(|(_, consumer)| consumer.take());
        if number == READER {
            let lanes = lanes.iter_mut().map(|(producer, _)| (producer.take(), false)).collect();
            end.reader =
                Some(Box::new(Reader { router: Router::new(), lanes, owed: Vec::new(), addresses: Vec::new() }));
        }
        end
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Inner {
    fn wake(&self, worker: usize) {
        if let Some(wake) = self.wakes.get(worker).and_then(OnceLock::get) {
            wake.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A leg of this worker that shares the port.
struct Seat {
    token: u64,
    local: SocketAddr,
    stopped: bool,
}

/// What the reading worker has beside its legs.
struct Reader {
    router: Router,
    /// To each worker, and whether something went there since it was roused.
    lanes: Vec<(Option<HeapProd<Delivery>>, bool)>,
    /// What must come and found the lane full.
    owed: Vec<(usize, Delivery)>,
    /// Our addresses, in the order of their sockets.
    addresses: Vec<SocketAddr>,
}

/// A worker's end of the shared port.
#[derive(Default)]
pub(super) struct SharedEnd {
    port: SharedPort,
    number: usize,
    seats: Vec<Option<Seat>>,
    tokens: u64,
    /// What found the way to the reading worker full.
    outbox: VecDeque<Notice>,
    lane: Option<HeapCons<Delivery>>,
    /// Sockets by family, for legs whose own is of the other one.
    others: [Option<(IpAddr, Socket)>; 2],
    reader: Option<Box<Reader>>,
}

impl SharedEnd {
    /// Whether a leg at `local` shares the port; from now on this one does.
    pub fn take_seat(&mut self, key: SocketKey, local: SocketAddr) -> bool {
        if !self.port.holds(local) {
            return false;
        }
        if self.seats.len() <= key.index() {
            self.seats.resize_with(key.index() + 1, || None);
        }
        self.tokens += 1;
        self.seats[key.index()] = Some(Seat { token: self.tokens, local, stopped: false });
        true
    }

    /// Whether the leg with this key shares the port.
    pub fn seats(&self, key: SocketKey) -> bool {
        self.seat(key).is_some()
    }

    fn seat(&self, key: SocketKey) -> Option<&Seat> {
        self.seats.get(key.index())?.as_ref()
    }

    fn target(&self, key: SocketKey) -> Option<Target> {
        self.seat(key).map(|seat| Target { worker: self.number, key, token: seat.token })
    }

    pub fn name(&mut self, key: SocketKey, name: &str) {
        if let Some(target) = self.target(key) {
            self.tell(Notice::Name(target, name.into()));
        }
    }

    pub fn know(&mut self, key: SocketKey, from: SocketAddr) {
        let (Some(target), Some(seat)) = (self.target(key), self.seat(key)) else { return };
        let local = seat.local.ip();
        let local = if local.is_ipv4() == from.is_ipv4() { Some(local) } else { self.other(from).map(|other| other.0) };
        if let Some(local) = local {
            self.tell(Notice::Know(target, local, from));
        }
    }

    /// The descriptor that a leg which shares the port sends to `to` by, where that is not its own: `to` is of the other family.
    pub fn fd_towards(&mut self, key: SocketKey, to: SocketAddr) -> Option<RawFd> {
        let seat = self.seat(key).filter(|seat| seat.local.is_ipv4() != to.is_ipv4());
        seat.is_some().then(|| self.other(to).map(|(_, socket)| socket.as_raw_fd()))?
    }

    /// Our address of `to`'s family that browsers are told, and the socket there; cloned when it is first asked for.
    fn other(&mut self, to: SocketAddr) -> Option<&(IpAddr, Socket)> {
        let other = &mut self.others[usize::from(to.is_ipv6())];
        if other.is_none() {
            let address = self.port.addresses().into_iter().find(|address| address.is_ipv4() == to.is_ipv4())?;
            let socket = self.port.open(SocketAddr::new(address, self.port.0.as_ref()?.port)).ok()?;
            *other = Some((address, socket));
        }
        other.as_ref()
    }

    /// Nothing more is to come for a leg that is about to leave.
    pub fn stop(&mut self, key: SocketKey) {
        if let Some(target) = self.target(key) {
            self.tell(Notice::Park(target));
        }
    }

    pub fn is_stopped(&self, key: SocketKey) -> bool {
        self.seat(key).is_none_or(|seat| seat.stopped)
    }

    /// The leg has left for another worker, which tells the reading one.
    pub fn leave(&mut self, key: SocketKey) {
        self.seats.get_mut(key.index()).and_then(Option::take);
    }

    pub fn close(&mut self, key: SocketKey) {
        if let Some(target) = self.target(key) {
            self.leave(key);
            self.tell(Notice::Close(target));
        }
    }

    /// Tells the reading worker, in order; itself at once.
    fn tell(&mut self, notice: Notice) {
        if self.reader.is_some() {
            self.take(notice);
        } else {
            self.outbox.push_back(notice);
            self.flush();
        }
    }

    /// Sends what waits. Says whether something waits still.
    fn flush(&mut self) -> bool {
        let Some(inner) = self.port.0.clone() else { return false };
        let mut told = false;
        while let Some(notice) = self.outbox.pop_front() {
            match inner.notices.0.try_send(notice) {
                Ok(()) => told = true,
                Err(TrySendError::Full(notice) | TrySendError::Disconnected(notice)) => {
                    self.outbox.push_front(notice);
                    break;
                }
            }
        }
        if told {
            inner.wake(READER);
        }
        !self.outbox.is_empty()
    }

    /// As the reading worker: rouses those whom something was handed, itself too. After a batch, and after each turn: a leg that comes
    /// here is handed what was kept for it in the midst of one.
    pub fn rouse(&mut self) {
        let (Some(reader), Some(inner)) = (&mut self.reader, &self.port.0) else { return };
        for (worker, (_, touched)) in reader.lanes.iter_mut().enumerate() {
            if core::mem::take(touched) {
                inner.wake(worker);
            }
        }
    }

    /// Takes a word in, as the reading worker.
    fn take(&mut self, notice: Notice) {
        let (Some(reader), Some(inner)) = (&mut self.reader, self.port.0.clone()) else { return };
        let counters = &*inner.counters;
        match notice {
            // The driver takes these, who has sockets.
            Notice::Listen(..) => {}
            Notice::Name(target, name) => {
                let kept = reader.router.name(target, &name, counters);
                for packet in kept.into_iter().flatten() {
                    let packet = PacketOf { key: target.key, token: target.token, ..packet };
                    reader.send(target.worker, Delivery::Packet(packet), counters);
                }
            }
            Notice::Know(target, local, from) => reader.router.know(target, local, from, counters),
            Notice::Park(target) => {
                reader.router.park(target);
                // Behind what has been handed on, to itself too.
                let parked = Delivery::Parked { key: target.key, token: target.token };
                reader.send(target.worker, parked, counters);
            }
            Notice::Close(target) => reader.router.close(target, counters),
        }
    }

    /// As the reading worker: takes in what others have told, up to a socket that is to be received from under its number.
    pub fn next_listener(&mut self) -> Option<(usize, Socket)> {
        let inner = self.port.0.clone().filter(|_| self.reader.is_some())?;
        loop {
            match inner.notices.1.try_recv().ok()? {
                Notice::Listen(local, socket) => {
                    let addresses = &mut self.reader.as_mut()?.addresses;
                    addresses.push(local);
                    return Some((addresses.len() - 1, socket));
                }
                notice => self.take(notice),
            }
        }
    }

    /// Whose a datagram is that came to the shared socket `n`: one of this worker's legs is named, another worker's is handed it.
    pub fn route(&mut self, now: Tick, n: usize, from: SocketAddr, datagram: &[u8]) -> Option<SocketKey> {
        let (reader, inner) = (self.reader.as_mut()?, self.port.0.as_ref()?);
        let counters = &*inner.counters;
        let local = reader.addresses.get(n)?.ip();
        match reader.router.route(now, local, from, datagram, counters) {
            Route::To(target) if target.worker == READER => {
                self.seat(target.key).filter(|seat| seat.token == target.token)?;
                return Some(target.key);
            }
            Route::To(Target { worker, key, token }) => match PacketOf::new((key, token), now, from, datagram) {
                Some(packet) => reader.send(worker, Delivery::Packet(packet), counters),
                None => counters.add(&counters.dropped),
            },
            Route::Parked(at) => match PacketOf::new((SocketKey::from_index(0), 0), now, from, datagram) {
                Some(packet) => reader.router.keep(at, packet, counters),
                None => counters.add(&counters.dropped),
            },
            Route::Nowhere => {}
        }
        None
    }
}

impl PacketOf {
    fn new((key, token): (SocketKey, u64), at: Tick, from: SocketAddr, datagram: &[u8]) -> Option<Self> {
        let mut bytes = [0; PACKET_BYTES_MAX];
        // Room for a tag stays behind it.
        bytes[..PACKET_BYTES_MAX - SRTP_TAIL_MAX].get_mut(..datagram.len())?.copy_from_slice(datagram);
        Some(Self { key, token, at, from, length: datagram.len(), bytes })
    }
}

impl Reader {
    fn send(&mut self, worker: usize, delivery: Delivery, counters: &PortCounters) {
        let Some((Some(lane), touched)) = self.lanes.get_mut(worker) else { return };
        *touched = true;
        match lane.try_push(delivery) {
            Ok(()) => counters.add(&counters.handed),
            Err(Delivery::Packet(_)) => counters.add(&counters.dropped),
            Err(parked @ Delivery::Parked { .. }) => self.owed.push((worker, parked)),
        }
    }
}

impl Shared {
    /// As the reading worker: takes in what others have told. Before each batch of packets, so that a leg's peer is known when it
    /// answers.
    fn hear_notices(io: &mut impl Sockets) {
        while let Some((n, socket)) = io.shared().next_listener() {
            io.listen(n, socket);
        }
    }

    /// Hands on what was routed to other workers, and takes in what was routed here. Says whether something waits for the reading
    /// worker to have room.
    pub(super) fn share(&mut self, io: &mut impl Sockets, now: Tick) -> bool {
        Self::hear_notices(io);
        let end = io.shared();
        if let (Some(reader), Some(inner)) = (&mut end.reader, &end.port.0) {
            for (worker, owed) in core::mem::take(&mut reader.owed) {
                reader.send(worker, owed, &inner.counters);
            }
        }
        end.rouse();
        if let Some(mut lane) = end.lane.take() {
            for _ in 0..LANE_MAX {
                let Some(delivery) = lane.try_pop() else { break };
                match delivery {
                    Delivery::Packet(PacketOf { key, token, at, from, length, mut bytes }) => {
                        if io.shared().seat(key).is_some_and(|seat| seat.token == token) {
                            // The other worker may have read the clock after this one did: what was said then is not older.
                            self.worker.receive(io, now.max(at), key, from, &mut bytes, length);
                        }
                    }
                    Delivery::Parked { key, token } => {
                        let seat = io.shared().seats.get_mut(key.index()).and_then(Option::as_mut);
                        if let Some(seat) = seat.filter(|seat| seat.token == token) {
                            seat.stopped = true;
                        }
                    }
                }
            }
            io.shared().lane = Some(lane);
        }
        let end = io.shared();
        let owes = end.reader.as_ref().is_some_and(|reader| !reader.owed.is_empty());
        end.flush() || owes
    }
}
