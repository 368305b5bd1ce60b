//! What the connections' thread holds: who is connected, how many from where, and where messages go.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_sip::{Flow, Transport};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;

use super::counters::{Closed, Counters, StreamCounters};
use super::line::{self, IDLE_MAX, Opener};
use super::tls::Tls;
use super::{Command, Deliver, Lead, StreamLimits, StreamListener};
use crate::bans::{Bans, Offence};
use crate::flood::Gate;
use crate::sip::Incoming;
use crate::trace::Trace;

/// Messages that may wait to be written to one connection; one more closes it.
pub const QUEUE_MAX: usize = 512;

/// How long a connection of ours may take to be made: a second try of the kernel's included, and short enough that a call which
/// finds nobody there can still go another way.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// How long connections may take at the end to write what is queued.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// How long to wait after the system has no room for one more connection, and after the control loop has none for a batch.
const NO_ROOM: Duration = Duration::from_millis(5);

/// All connections. It lives on one thread.
pub struct Hub {
    limits: StreamLimits,
    tls: RefCell<Option<Tls>>,
    /// Where trunks are, and what their certificates bear there.
    leads: RefCell<BTreeMap<SocketAddr, BTreeMap<usize, Lead>>>,
    deliver: Arc<Deliver>,
    counters: Arc<StreamCounters>,
    trace: Trace,
    lines: RefCell<BTreeMap<Flow, Line>>,
    sources: RefCell<BTreeMap<IpAddr, usize>>,
    gate: RefCell<Gate>,
    /// Tasks of connections, those included that still shake hands.
    tasks: Cell<usize>,
    task_ended: Notify,
    last_id: Cell<u64>,
}

/// One connection as the hub sees it.
struct Line {
    /// Tells it from another one of the same addresses.
    id: u64,
    queue: mpsc::Sender<Vec<u8>>,
    /// How long it may be silent.
    idle: watch::Sender<Duration>,
    /// Ends it without waiting for what is queued.
    end: oneshot::Sender<Closed>,
}

/// A connection's end of its [`Line`].
pub struct LineEnd {
    pub id: u64,
    pub idle: watch::Receiver<Duration>,
    pub queue: mpsc::Receiver<Vec<u8>>,
    /// For answers to keep-alives; does not hold the line open.
    pub pongs: mpsc::WeakSender<Vec<u8>>,
    pub ended: oneshot::Receiver<Closed>,
}

impl Hub {
    /// Accepts, connects and sends until the commands end; then waits until all is written.
    pub async fn serve(
        listeners: Vec<StreamListener>,
        tls: Option<Tls>,
        limits: StreamLimits,
        gate: Gate,
        deliver: Arc<Deliver>,
        (counters, trace): (Arc<StreamCounters>, Trace),
        mut commands: mpsc::Receiver<Command>,
    ) {
        let hub = Rc::new(Self {
            limits,
            tls: RefCell::new(tls),
            leads: RefCell::default(),
            deliver,
            counters,
            trace,
            lines: RefCell::default(),
            sources: RefCell::default(),
            gate: RefCell::new(gate),
            tasks: Cell::new(0),
            task_ended: Notify::new(),
            last_id: Cell::new(0),
        });
        let accepting: Vec<_> = listeners
            .into_iter()
            .filter_map(|listener| {
                let (transport, local) = (listener.transport, listener.local);
                match TcpListener::from_std(listener.socket) {
                    Ok(socket) => Some(tokio::task::spawn_local(accept(Rc::clone(&hub), transport, socket))),
                    Err(error) => {
                        tracing::error!(%error, %local, "the SIP listener failed");
                        None
                    }
                }
            })
            .collect();
        while let Some(command) = commands.recv().await {
            match command {
                Command::Send(flow, bytes) => hub.send(flow, bytes),
                Command::Certify(tls) => drop(hub.tls.replace(Some(tls))),
                Command::ExpectAlive(flow, within) => {
                    if let Some(line) = hub.lines.borrow().get(&flow) {
                        // Refused by a connection that has just ended.
                        let _told = line.idle.send(within);
                    }
                }
                Command::Lead(trunk, places) => {
                    let mut leads = hub.leads.borrow_mut();
                    leads.retain(|_, trunks| {
                        trunks.remove(&trunk);
                        !trunks.is_empty()
                    });
                    for lead in places {
                        leads.entry(lead.peer).or_default().insert(trunk, lead);
                    }
                }
            }
        }
        accepting.iter().for_each(tokio::task::JoinHandle::abort);
        hub.lines.borrow_mut().clear();
        let all_written = async {
            while hub.tasks.get() > 0 {
                hub.task_ended.notified().await;
            }
        };
        if timeout(STOP_WITHIN, all_written).await.is_err() {
            tracing::warn!(connections = hub.tasks.get(), "SIP connections were closed before all was written");
        }
    }

    /// Figures of a transport.
    pub fn counters(&self, transport: Transport) -> &Counters {
        self.counters.of(transport)
    }

    /// Notes what came in.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// After how long without a word a connection of ours is asked for an answer.
    pub fn ping_after(&self, id: u64) -> Duration {
        self.limits.ping_after + Duration::from_secs(id % 26)
    }

    /// Hands a batch over, however long that takes; meanwhile its connection is not read.
    pub async fn deliver(&self, mut batch: Vec<Incoming>) {
        while let Err(back) = (self.deliver)(batch) {
            batch = back;
            tokio::time::sleep(NO_ROOM).await;
        }
    }

    /// Whether one more message of this source is read.
    pub fn admits(&self, source: IpAddr) -> bool {
        self.gate.borrow_mut().flood.admits(source, Instant::now())
    }

    /// Whether this source is not listened to.
    pub fn is_banned(&self, source: IpAddr) -> bool {
        self.gate.borrow().bans.is_banned(source, Instant::now())
    }

    /// Whether this is a message of a scanner; what is no message is counted against its source.
    pub fn is_scanner(&self, source: IpAddr, incoming: &Incoming) -> bool {
        let bans: &Bans = &self.gate.borrow().bans;
        match incoming {
            Incoming::Message(_, message) => {
                let name = message.headers().get("User-Agent");
                name.is_some_and(|name| bans.is_scanner(source, name.as_bytes()))
            }
            Incoming::Malformed(..) => {
                bans.offend(source, Offence::Malformed, Instant::now());
                false
            }
            Incoming::Lost(_) | Incoming::Proved(..) | Incoming::Mapped(..) => false,
        }
    }

    /// What those who connect to us have to go through; none without a certificate.
    fn opener(&self, transport: Transport) -> Option<Opener> {
        if !transport.is_secure() {
            return Some(Opener::Plain);
        }
        self.tls.borrow().as_ref().map(|tls| Opener::Accept(tls.clone()))
    }

    fn send(self: &Rc<Self>, flow: Flow, bytes: Vec<u8>) {
        let queue = self.lines.borrow().get(&flow).map(|line| line.queue.clone());
        let Some(queue) = queue else { return self.send_anew(flow, bytes) };
        match queue.try_send(bytes) {
            Ok(()) => self.counters(flow.transport).count_sent(),
            Err(error) => {
                self.counters(flow.transport).count_unsent();
                let stalled = matches!(error, mpsc::error::TrySendError::Full(_));
                if stalled && let Some(line) = self.lines.borrow_mut().remove(&flow) {
                    // A connection that has just ended by itself needs no telling.
                    let _ended = line.end.send(Closed::Stalled);
                }
            }
        }
    }

    /// There is no connection. A response needs the one its request came on.
    fn send_anew(self: &Rc<Self>, flow: Flow, bytes: Vec<u8>) {
        let is_response = bytes.starts_with(b"SIP/2.0 ");
        let opener = match flow.transport {
            Transport::Tcp | Transport::Ws => Some(Opener::Plain),
            Transport::Tls | Transport::Wss => {
                let (trunk, names) = self.names_of(flow.peer);
                let connector = self.tls.borrow().as_ref().and_then(|tls| tls.connector(trunk, names));
                connector.map(|(connector, name)| Opener::Connect(connector, name, trunk))
            }
            Transport::Udp => None,
        };
        let full = self.tasks.get() >= self.limits.connections_max;
        let Some(opener) = opener.filter(|_| !is_response && !full) else {
            self.counters(flow.transport).count_unsent();
            if !is_response {
                let hub = Rc::clone(self);
                tokio::task::spawn_local(async move { hub.deliver(vec![Incoming::Lost(flow)]).await });
            }
            return;
        };
        let end = self.open_line(flow);
        self.send(flow, bytes);
        self.tasks.set(self.tasks.get() + 1);
        tokio::task::spawn_local(connect(Rc::clone(self), flow, end, opener));
    }

    /// The trunk at this address, of several the first one, and what the certificate there has to bear: a name of the trunk's
    /// (RFC 5922 section 4), or the address.
    fn names_of(&self, peer: SocketAddr) -> (Option<usize>, Vec<ServerName<'static>>) {
        let leads = self.leads.borrow();
        let found = leads.get(&peer).and_then(BTreeMap::first_key_value);
        let names = found.into_iter().flat_map(|(_, lead)| &lead.names);
        let mut names: Vec<ServerName<'static>> =
            names.filter_map(|name| ServerName::try_from(name.clone()).ok()).collect();
        if names.is_empty() {
            names.push(ServerName::from(peer.ip()));
        }
        (found.map(|(trunk, _)| *trunk), names)
    }

    /// What a WebSocket of ours is asked for: the first name of whoever is there, with the path.
    pub fn address_of(&self, peer: SocketAddr) -> String {
        let leads = self.leads.borrow();
        let lead = leads.get(&peer).and_then(BTreeMap::first_key_value).map(|(_, lead)| lead);
        let domain = lead.and_then(|lead| lead.names.first()).filter(|name| name.parse::<IpAddr>().is_err());
        let host = domain.map_or_else(|| peer.to_string(), |domain| format!("{domain}:{}", peer.port()));
        format!("ws://{host}{}", lead.and_then(|lead| lead.path.as_deref()).unwrap_or("/"))
    }

    /// Says whom the far end of a connection over TLS has proved to be.
    pub async fn introduce(&self, flow: Flow, trunk: Option<usize>) {
        let knows_trunks = self.tls.borrow().as_ref().is_some_and(Tls::knows_trunks);
        // Where no trunk is known by what it shows, nobody has to be told that this is none.
        if trunk.is_some() || knows_trunks {
            self.deliver(vec![Incoming::Proved(flow, trunk)]).await;
        }
    }

    /// Makes room for a connection in the table, in place of another one of the same addresses.
    fn open_line(&self, flow: Flow) -> LineEnd {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let (queue, messages) = mpsc::channel(QUEUE_MAX);
        let (end, ended) = oneshot::channel();
        let (idle, silence) = watch::channel(IDLE_MAX);
        let pongs = queue.downgrade();
        self.lines.borrow_mut().insert(flow, Line { id, queue, idle, end });
        LineEnd { id, idle: silence, queue: messages, pongs, ended }
    }

    /// Whether the table names this connection; then it is taken out.
    fn close_line(&self, flow: Flow, id: u64) -> bool {
        let mut lines = self.lines.borrow_mut();
        let known = lines.get(&flow).is_none_or(|line| line.id == id);
        if known {
            lines.remove(&flow);
        }
        known
    }

    fn enter(&self, source: IpAddr) -> bool {
        let mut sources = self.sources.borrow_mut();
        let here = sources.get(&source).copied().unwrap_or_default();
        let room = self.tasks.get() < self.limits.connections_max && here < self.limits.connections_per_source_max;
        if room {
            sources.insert(source, here + 1);
            self.tasks.set(self.tasks.get() + 1);
        }
        room
    }

    fn leave(&self, source: Option<IpAddr>) {
        if let Some(source) = source {
            let mut sources = self.sources.borrow_mut();
            match sources.get_mut(&source) {
                Some(here) if *here > 1 => *here -= 1,
                Some(_) | None => drop(sources.remove(&source)),
            }
        }
        self.tasks.set(self.tasks.get() - 1);
        self.task_ended.notify_one();
    }
}

/// Takes connections from one listener.
async fn accept(hub: Rc<Hub>, transport: Transport, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((_, peer)) if hub.is_banned(peer.ip()) => hub.counters(transport).count_failed(Closed::Banned),
            Ok((socket, peer)) if hub.enter(peer.ip()) => {
                tokio::task::spawn_local(welcome(Rc::clone(&hub), transport, socket, peer));
            }
            Ok((_, peer)) => {
                hub.counters(transport).count_failed(Closed::Refused);
                tracing::debug!(%peer, transport = transport.name(), "too many connections");
            }
            // No descriptors left, or the peer has gone again.
            Err(error) => {
                tracing::debug!(%error, "accepting a SIP connection");
                tokio::time::sleep(NO_ROOM).await;
            }
        }
    }
}

/// The life of a connection that somebody made to us.
async fn welcome(hub: Rc<Hub>, transport: Transport, socket: TcpStream, peer: SocketAddr) {
    // A wildcard listener of IPv6 sees its own family only, so both addresses are concrete and of one kind.
    if let Ok(local) = socket.local_addr() {
        let flow = Flow { transport, local, peer };
        match hub.opener(transport) {
            Some(opener) => {
                let end = hub.open_line(flow);
                live(&hub, flow, socket, end, &opener, false).await;
            }
            None => hub.counters(transport).count_failed(Closed::Handshake),
        }
    }
    hub.leave(Some(peer.ip()));
}

/// The life of a connection that we make.
async fn connect(hub: Rc<Hub>, flow: Flow, end: LineEnd, opener: Opener) {
    if let Ok(Ok(socket)) = timeout(CONNECT_WITHIN, dial(flow)).await {
        live(&hub, flow, socket, end, &opener, true).await;
    } else {
        hub.counters(flow.transport).count_failed(Closed::Unreachable);
        hub.close_line(flow, end.id);
        hub.deliver(vec![Incoming::Lost(flow)]).await;
    }
    hub.leave(None);
}

/// From our address that the flow names, so that the peer sees the one that it knows.
async fn dial(flow: Flow) -> std::io::Result<TcpStream> {
    let socket = if flow.peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(flow.local.ip(), 0))?;
    socket.connect(flow.peer).await
}

async fn live(hub: &Rc<Hub>, flow: Flow, socket: TcpStream, end: LineEnd, opener: &Opener, ours: bool) {
    let id = end.id;
    hub.counters(flow.transport).count_open();
    let why = line::run(hub, flow, socket, end, opener, ours).await;
    hub.counters(flow.transport).count_closed(why);
    tracing::debug!(%flow, why = why.name(), "SIP connection closed");
    if hub.close_line(flow, id) {
        hub.deliver(vec![Incoming::Lost(flow)]).await;
    }
}
