//! The packet drivers of the media workers: one plain thread per worker, its sockets, and the rings to it.
//!
//! A driver sleeps in the kernel until a packet, a command or the worker's next tick is due; without calls it sleeps for good.

mod crossing;
mod epoll;
mod handle;
mod resting;
mod shared;
mod sys;
mod uring;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::{Sender, TrySendError};
use offhook_media::{Assets, Figures, Handshakes, Limits, SocketKey, Worker};
use offhook_plan::tap::tap_ring;
use offhook_plan::{MediaCommand, MediaEvent};
use offhook_units::{Entropy, Span, Tick};
use ringbuf::HeapCons;
use ringbuf::traits::Consumer;
use socket2::Socket;

use crate::Clock;
use crate::intake::Post;
use crate::wake::Wake;
use crossing::Departures;
use handle::{Handed, Opened};
use shared::SharedEnd;

pub use crossing::Crossing;
pub use handle::MediaHandle;
pub use resting::Resting;
pub use shared::router::{ADDRESSES_MAX, CHECKS_PER_SOURCE_MAX, SHARING_MAX, check_for};
pub use shared::{PortCounters, SharedPort};

/// Undelivered events, and legs that found their way full, are offered again this often.
const RETRY_EVERY: Span = Span::from_ms(10);

/// How one worker's driver is set up.
#[derive(Clone)]
pub struct DriverConfig {
    /// Which worker: named in its events and in its thread's name.
    pub worker: usize,
    /// The worker's limits.
    pub limits: Limits,
    /// Receive buffer asked for each socket, in bytes. Default 128 KiB: a second of G.711 as the kernel counts it.
    pub receive_buffer_bytes: usize,
    /// Commands on their way to the worker; further ones wait in the handle's outbox. Default 4,096.
    pub commands_max: usize,
    /// Which way of asking the kernel. Default [`Backend::Auto`].
    pub backend: Backend,
    /// Where sockets of closed legs rest for later ones; workers of one exchange share it. Default: none are kept.
    pub resting: Resting,
    /// How legs get to other workers; all workers of one exchange share it. Default: they do not.
    pub crossing: Crossing,
    /// The one port of legs of browsers; workers of one exchange share it. Default: each leg has its own.
    pub shared_port: SharedPort,
    /// Whence legs whose keys come by DTLS get their handshakes. Default: such legs fail.
    pub handshakes: Option<Arc<dyn Handshakes>>,
}

impl std::fmt::Debug for DriverConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DriverConfig")
            .field("worker", &self.worker)
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

/// A way of asking the kernel for packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// `io_uring` where the kernel offers it, `epoll` otherwise.
    #[default]
    Auto,
    /// `epoll`, one receive and one send per packet: works everywhere.
    Epoll,
    /// `io_uring` (Linux 6.1 or newer): packets of one waking share one system call.
    Uring,
}

impl Backend {
    /// Its name, as `/metrics` and people know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Epoll => "epoll",
            Self::Uring => "io_uring",
        }
    }
}

impl Default for DriverConfig {
    fn default() -> Self {
        Self {
            worker: 0,
            limits: Limits::default(),
            receive_buffer_bytes: 128 << 10,
            commands_max: 4_096,
            backend: Backend::default(),
            resting: Resting::default(),
            crossing: Crossing::default(),
            shared_port: SharedPort::default(),
            handshakes: None,
        }
    }
}

/// What a worker and its driver counted, for `/metrics`: readable from any thread.
#[derive(Debug, Default)]
pub struct MediaCounters {
    legs: AtomicU64,
    calls: AtomicU64,
    mixing: AtomicU64,
    received_packets: AtomicU64,
    sent_packets: AtomicU64,
    discarded_packets: AtomicU64,
    unopened_packets: AtomicU64,
    unsealed_packets: AtomicU64,
    held_overwritten: AtomicU64,
    tap_records: AtomicU64,
    tap_dropped: AtomicU64,
    legs_failed: AtomicU64,
    handshakes_failed: AtomicU64,
    checks_limited: AtomicU64,
    paths_expired: AtomicU64,
    moved_legs: AtomicU64,
    moved_late: AtomicU64,
    events_dropped: AtomicU64,
    events_waiting: AtomicU64,
    wakeups: AtomicU64,
    sends_failed: AtomicU64,
}

impl MediaCounters {
    /// The worker's figures as of its last waking.
    pub fn figures(&self) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            legs: read(&self.legs),
            calls: read(&self.calls),
            mixing: read(&self.mixing),
            received_packets: read(&self.received_packets),
            sent_packets: read(&self.sent_packets),
            discarded_packets: read(&self.discarded_packets),
            unopened_packets: read(&self.unopened_packets),
            unsealed_packets: read(&self.unsealed_packets),
            held_overwritten: read(&self.held_overwritten),
            tap_records: read(&self.tap_records),
            tap_dropped: read(&self.tap_dropped),
            legs_failed: read(&self.legs_failed),
            handshakes_failed: read(&self.handshakes_failed),
            checks_limited: read(&self.checks_limited),
            paths_expired: read(&self.paths_expired),
            moved_legs: read(&self.moved_legs),
            moved_late: read(&self.moved_late),
            events_dropped: read(&self.events_dropped),
            events_waiting: read(&self.events_waiting),
        }
    }

    /// How often the driver woke.
    pub fn wakeups(&self) -> u64 {
        self.wakeups.load(Ordering::Relaxed)
    }

    /// Packets that the kernel did not take.
    pub fn sends_failed(&self) -> u64 {
        self.sends_failed.load(Ordering::Relaxed)
    }

    fn publish(&self, figures: &Figures, sends_failed: u64) {
        let Figures {
            legs,
            calls,
            mixing,
            received_packets,
            sent_packets,
            discarded_packets,
            unopened_packets,
            unsealed_packets,
            held_overwritten,
            tap_records,
            tap_dropped,
            legs_failed,
            handshakes_failed,
            checks_limited,
            paths_expired,
            moved_legs,
            moved_late,
            events_dropped,
            events_waiting,
        } = *figures;
        let pairs = [
            (&self.legs, legs),
            (&self.calls, calls),
            (&self.mixing, mixing),
            (&self.received_packets, received_packets),
            (&self.sent_packets, sent_packets),
            (&self.discarded_packets, discarded_packets),
            (&self.unopened_packets, unopened_packets),
            (&self.unsealed_packets, unsealed_packets),
            (&self.held_overwritten, held_overwritten),
            (&self.tap_records, tap_records),
            (&self.tap_dropped, tap_dropped),
            (&self.legs_failed, legs_failed),
            (&self.handshakes_failed, handshakes_failed),
            (&self.checks_limited, checks_limited),
            (&self.paths_expired, paths_expired),
            (&self.moved_legs, moved_legs),
            (&self.moved_late, moved_late),
            (&self.events_dropped, events_dropped),
            (&self.events_waiting, events_waiting),
            (&self.sends_failed, sends_failed),
        ];
        for (counter, value) in pairs {
            counter.store(value, Ordering::Relaxed);
        }
        self.wakeups.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts workers.
#[derive(Debug)]
pub struct MediaDriver;

impl MediaDriver {
    /// Starts the thread of one worker. Events are reported to `events` with the worker's number.
    ///
    /// # Errors
    /// The operating system gives no thread, no descriptors, or the wanted [`Backend`] is not to be had.
    pub fn start(
        config: &DriverConfig,
        assets: Arc<Assets>,
        clock: Clock,
        entropy: Entropy,
        events: impl Into<Post<(usize, MediaEvent)>>,
    ) -> std::io::Result<MediaHandle> {
        let (tap, taps) = tap_ring(config.limits.tap_ring_bytes);
        let (handle, commands) = MediaHandle::new(config, taps)?;
        config.crossing.land(config.worker, handle.wake());
        let shared = Shared {
            worker: Worker::new(assets, tap, config.limits, entropy).with_handshakes(config.handshakes.clone()),
            number: config.worker,
            commands,
            events: events.into(),
            clock,
            wake: handle.wake(),
            stop: handle.stop_flag(),
            counters: handle.counters(),
            crossing: config.crossing.clone(),
            shared_port: config.shared_port.clone(),
            departures: Departures::default(),
        };
        let thread = std::thread::Builder::new().name(format!("media-{}", config.worker));
        let (ready, up) = crossbeam_channel::bounded(1);
        let config = config.clone();
        // A ring belongs to the thread that makes it, so the driver is made there and says whether it is up.
        let thread = thread.spawn(move || run(shared, &config, &ready))?;
        let up = up.recv().unwrap_or_else(|_| Err(std::io::Error::other("the worker's thread ended at once")));
        up.map(|backend| handle.with_thread(thread, backend))
    }
}

/// Whether the kernel offers `io_uring` as media asks for it.
///
/// # Errors
/// Why it does not.
pub fn uring_works() -> std::io::Result<()> {
    uring::Driver::new(&Wake::new()?, &DriverConfig::default()).map(drop)
}

fn run(shared: Shared, config: &DriverConfig, ready: &Sender<std::io::Result<Backend>>) {
    let ring = match config.backend {
        Backend::Epoll => None,
        Backend::Auto | Backend::Uring => Some(uring::Driver::new(&shared.wake, config)),
    };
    let failed = match (ring, config.backend) {
        (Some(Ok(driver)), _) => {
            // Nobody waits for the answer any more only if the whole program is going.
            let _ = ready.send(Ok(Backend::Uring));
            return driver.run(shared);
        }
        (Some(Err(error)), Backend::Uring) => Some(error),
        (Some(Err(error)), Backend::Auto | Backend::Epoll) => {
            tracing::info!(worker = config.worker, %error, "no io_uring here; media runs on epoll");
            None
        }
        (None, _) => None,
    };
    let driver = failed.map_or_else(|| epoll::Driver::new(&shared.wake, config), Err);
    match driver {
        Ok(driver) => {
            let _ = ready.send(Ok(Backend::Epoll));
            driver.run(shared);
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

/// What every backend's loop does besides packets.
#[expect(clippy::struct_field_names, reason = "the port is the shared one everywhere")]
struct Shared {
    worker: Worker,
    number: usize,
    commands: HeapCons<Handed>,
    events: Post<(usize, MediaEvent)>,
    clock: Clock,
    wake: Arc<Wake>,
    stop: Arc<AtomicBool>,
    counters: Arc<MediaCounters>,
    crossing: Crossing,
    shared_port: SharedPort,
    departures: Departures,
}

/// A backend's sockets: it takes those over that the handle, or another worker, has bound.
trait Sockets: offhook_media::Io {
    /// Receives from a socket no more, as soon as can be. What has been received by then still comes.
    fn stop(&mut self, key: SocketKey);
    /// Whether that is so.
    fn is_stopped(&self, key: SocketKey) -> bool;
    /// Gives a stopped socket away, open.
    fn give(&mut self, key: SocketKey) -> Option<(SocketAddr, Socket)>;
    /// This worker's end of the port that legs of browsers share.
    fn shared(&mut self) -> &mut SharedEnd;
    /// Receives from a socket of the shared port, under this number, for good.
    fn listen(&mut self, n: usize, socket: Socket);
    /// Where they lie until the worker asks for them.
    fn opened(&mut self) -> &mut Vec<Opened>;

    /// The socket bound for `local`.
    fn take_opened(&mut self, local: SocketAddr) -> Result<Socket, String> {
        let opened = self.opened();
        let place = opened.iter().position(|(address, _)| *address == local);
        let socket = place.map(|place| opened.swap_remove(place).1);
        let socket = socket.unwrap_or_else(|| Err(std::io::Error::other("no socket was bound for it")));
        socket.map_err(|error| format!("UDP {local}: {error}"))
    }
}

impl Shared {
    /// Commands, ticks, events and counters of one turn; says when the next turn is due at the latest.
    fn turn(&mut self, io: &mut impl Sockets, now: Tick, sends_failed: u64) -> Option<Tick> {
        let untold = self.share(io, now);
        self.take_arrivals(io, now);
        while let Some(handed) = self.commands.try_pop() {
            let (command, opened) = match handed {
                Handed::Command { command, opened } => (command, opened),
                Handed::Sounds(sounds) => {
                    self.worker.play_from(sounds);
                    continue;
                }
            };
            if let MediaCommand::Move(goes) = command {
                self.send_away(io, now, goes);
                continue;
            }
            *io.opened() = opened;
            self.worker.command(io, now, command);
            // What the worker did not want, as in a plan that came too late, is closed.
            io.opened().clear();
        }
        self.hand_over(io, now);
        if self.worker.next_tick().is_some_and(|due| due <= now) {
            self.worker.tick(io, now);
        }
        io.shared().rouse();
        let waits = self.deliver() || self.departures.is_full() || untold;
        self.counters.publish(&self.worker.figures(), sends_failed);
        let due = self.worker.next_tick();
        if waits { Some(due.map_or(now + RETRY_EVERY, |due| due.min(now + RETRY_EVERY))) } else { due }
    }

    /// Hands events over, in order, and rouses their reader for those that press; says whether some must wait because the
    /// channel is full.
    fn deliver(&mut self) -> bool {
        while let Some(event) = self.worker.poll_event() {
            let sent = if event.is_pressing() {
                self.events.try_send((self.number, event))
            } else {
                self.events.leave((self.number, event))
            };
            match sent {
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
                Err(TrySendError::Full((_, event))) => {
                    self.worker.return_event(event);
                    return true;
                }
            }
        }
        false
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}
