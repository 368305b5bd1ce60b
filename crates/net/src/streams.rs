//! SIP over connections: listeners, connections of ours, and one thread that serves them all.
//!
//! Each connection is a task on a tokio runtime of one thread, with a bounded queue of messages to send. Nothing that a peer
//! does or leaves undone blocks whoever sends: a full queue closes its connection. A connection that ends is told as
//! [`Incoming::Lost`], so that requests on it fail at once and phones behind it count as gone.
#![expect(clippy::disallowed_methods, reason = "the edge that owns the SIP connections")]

mod counters;
mod hub;
mod identity;
mod line;
mod tls;
mod websocket;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use offhook_sip::{Flow, Transport};
use tokio::sync::mpsc;

use crate::bans::Bans;
use crate::flood::{Flood, Gate};
use crate::sip::Incoming;
use crate::trace::Trace;

pub use counters::{Closed, Counters, StreamCounters};
use hub::Hub;
pub use tls::{Tls, TlsError, TlsFiles, TrunkFiles};

/// Messages that may wait for the thread; one more is dropped and counted.
const SENDS_MAX: usize = 65_536;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1_024;

/// Takes a batch, or gives it back where there is no room: then the connection is read no further until there is.
pub type Deliver = dyn Fn(Vec<Incoming>) -> Result<(), Vec<Incoming>> + Send + Sync;

/// Bounds of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Connections at once; more are closed at once.
    pub connections_max: usize,
    /// Connections at once from one address, which may be a translator with an office behind it.
    pub connections_per_source_max: usize,
    /// How long nothing comes over a connection that we made before it is asked for an answer by a double line break (RFC 5626
    /// section 4.4.1), at least: up to 25 s more, so that not all are asked at once.
    pub ping_after: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self { connections_max: 20_000, connections_per_source_max: 1_000, ping_after: Duration::from_secs(95) }
    }
}

/// A listening socket that nobody serves yet.
#[derive(Debug)]
pub struct StreamListener {
    transport: Transport,
    socket: TcpListener,
    local: SocketAddr,
}

impl StreamListener {
    /// Binds a listener for a transport that has connections.
    ///
    /// # Errors
    /// As the operating system says, with the address in the text.
    pub fn bind(transport: Transport, address: SocketAddr) -> io::Result<Self> {
        let socket = listen(address).map_err(|error| {
            let text = format!("cannot listen on {}:{address}: {error}", transport.param());
            io::Error::new(error.kind(), text)
        })?;
        let local = socket.local_addr()?;
        Ok(Self { transport, socket, local })
    }

    /// Over what.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Our address; its host may be the wildcard.
    pub fn local(&self) -> SocketAddr {
        self.local
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    // A restart may not wait until the old connections' ports are free.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A place where a trunk is, and the names that it goes by there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    /// Its address.
    pub peer: SocketAddr,
    /// What its certificate bears over TLS: one of these, a domain or an address. The first one is what it is asked for.
    pub names: Vec<String>,
    /// What a WebSocket is asked for there, such as `/ws`; the root where this is none.
    pub path: Option<String>,
}

/// What the thread is told.
enum Command {
    Send(Flow, Vec<u8>),
    Certify(Tls),
    Lead(usize, Vec<Lead>),
    ExpectAlive(Flow, Duration),
}

/// Gives the thread other certificates; lets the connections end when [`Streams`] is dropped.
#[derive(Debug, Clone)]
pub struct Certifier(mpsc::WeakSender<Command>);

impl Certifier {
    /// Connections made from here on use these certificates; those that are open go on. Gives whether it was taken.
    pub fn certify(&self, tls: Tls) -> bool {
        self.0.upgrade().is_some_and(|commands| commands.try_send(Command::Certify(tls)).is_ok())
    }
}

/// The thread that serves all connections; they are closed when it is dropped, after what is queued has been written.
#[derive(Debug)]
pub struct Streams {
    commands: Option<mpsc::Sender<Command>>,
    counters: Arc<StreamCounters>,
    thread: Option<JoinHandle<()>>,
}

impl Streams {
    /// Serves `listeners` for those whom `bans` lets through, and makes connections of its own when something is sent where there
    /// is none. Connections over TLS need `tls`: without it they are closed as soon as they come. `trace` notes what comes in.
    ///
    /// # Errors
    /// Where the thread or its runtime cannot be started.
    pub fn start(
        listeners: Vec<StreamListener>,
        tls: Option<Tls>,
        limits: StreamLimits,
        bans: Arc<Bans>,
        deliver: Arc<Deliver>,
        trace: Trace,
    ) -> io::Result<Self> {
        let counters = Arc::new(StreamCounters::new(listeners.iter().map(|listener| listener.transport)));
        let (commands, orders) = mpsc::channel(SENDS_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::clone(&counters);
        let thread = std::thread::Builder::new().name("sip-streams".into()).spawn(move || {
            let local = tokio::task::LocalSet::new();
            let gate = Gate { bans, flood: Flood::default() };
            local.block_on(&runtime, Hub::serve(listeners, tls, limits, gate, deliver, (shared, trace), orders));
        })?;
        Ok(Self { commands: Some(commands), counters, thread: Some(thread) })
    }

    /// Sends one message over the flow's connection without waiting. Where there is none, a request makes one; a response is
    /// dropped, since it returns over the connection that its request came on or not at all.
    pub fn send(&self, flow: Flow, bytes: Vec<u8>) {
        let Some(commands) = &self.commands else { return };
        if commands.try_send(Command::Send(flow, bytes)).is_err() {
            self.counters.of(flow.transport).count_unsent();
        }
    }

    /// From now on these are the places of a trunk, by its place in the configuration: over TLS we show them what is for that
    /// trunk, and they have to be it.
    pub fn lead(&self, trunk: usize, to: Vec<Lead>) {
        let Some(commands) = &self.commands else { return };
        if commands.try_send(Command::Lead(trunk, to)).is_err() {
            tracing::warn!(trunk, "the thread of SIP connections is behind: a trunk's places were not handed over");
        }
    }

    /// From now on the flow's connection is closed when nothing has come over it for so long.
    pub fn expect_alive(&self, flow: Flow, within: Duration) {
        let Some(commands) = &self.commands else { return };
        if commands.try_send(Command::ExpectAlive(flow, within)).is_err() {
            // It is closed later then, as any other.
            tracing::debug!(%flow, "the thread of SIP connections is behind");
        }
    }

    /// For other certificates while it runs; none once it is being dropped.
    pub fn certifier(&self) -> Option<Certifier> {
        self.commands.as_ref().map(|commands| Certifier(commands.downgrade()))
    }

    /// What it saw.
    pub fn counters(&self) -> &Arc<StreamCounters> {
        &self.counters
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of SIP connections panicked");
        }
    }
}
