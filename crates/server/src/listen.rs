//! Listening, and stopping in good order.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::api::{Shared, router};
use crate::events::{EventsReceiver, Hub, HubFigures};
use crate::idempotency::Idempotency;
use crate::metrics::Metrics;
use crate::openid::{OpenId, SignIns};
use crate::phone::PhoneSettings;
use crate::playing::Playing;
use crate::rates::Rates;
use crate::users::{TokenUser, User, Users, write_down};
use crate::view::View;
use crate::visitors::{EntrancePage, Entrances};
use crate::webhooks::{self, Webhooks};

/// Connections at once; the next one waits in the kernel's queue until one of them ends.
pub const CONNECTIONS_MAX: usize = 1_024;
/// How long a handshake for HTTPS may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long requests may take to end once the server is told to stop.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// Where to listen and whom to admit.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// A bearer token that may do everything. Without a token and without users only a loopback address is taken, and whoever
    /// reaches it may do everything.
    pub token: Option<String>,
    /// Programs with tokens of their own.
    pub tokens: Vec<TokenUser>,
    /// Who signs in.
    pub users: Vec<User>,
    /// A provider at which people sign in, beside the users or instead of them.
    pub openid: Option<OpenId>,
    /// Pages from which visitors call without an account.
    pub entrances: Vec<EntrancePage>,
    /// Speaks HTTPS alone, with this certificate.
    pub tls: Option<Arc<ServerConfig>>,
    /// What the phone page is told.
    pub phone: PhoneSettings,
    /// How often each token, session and address may ask in a second; see [`crate::REQUESTS_PER_S_DEFAULT`].
    pub requests_per_s: u32,
    /// Who is told what happened.
    pub webhooks: Webhooks,
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Write a `[[user]]`, set `token` in `[http]`, or listen on a loopback address.
    #[error("{0} can be reached from outside: write a [[user]] or `token` in [http], or listen on 127.0.0.1")]
    NoToken(SocketAddr),
    /// What keeps users apart could not be made.
    #[error("users: {0}")]
    Users(String),
    /// Where their receivers stand could not be read or written.
    #[error("webhooks: {0}")]
    Webhooks(io::Error),
    /// Another program listens there, or the address is not of this machine.
    #[error("cannot listen on {0} for HTTP: {1}")]
    Listen(SocketAddr, io::Error),
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    local: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    hub: JoinHandle<()>,
    told: Vec<JoinHandle<()>>,
    writing: JoinHandle<()>,
    tls: Option<watch::Sender<Arc<ServerConfig>>>,
    users: Arc<Users>,
    entrances: Arc<Entrances>,
}

/// Whom a server admits.
#[derive(Debug, Clone)]
pub struct Admission {
    /// As [`ServerOptions::token`].
    pub token: Option<String>,
    /// As [`ServerOptions::tokens`].
    pub tokens: Vec<TokenUser>,
    /// As [`ServerOptions::users`].
    pub users: Vec<User>,
    /// As [`ServerOptions::entrances`].
    pub entrances: Vec<EntrancePage>,
}

impl Server {
    /// Listens and serves on the current tokio runtime.
    pub async fn start(
        options: ServerOptions,
        view: Arc<dyn View>,
        events: EventsReceiver,
        mut metrics: Metrics,
    ) -> Result<Self, StartError> {
        let ServerOptions { listen, token, tokens, users, openid, entrances, tls, phone, requests_per_s, webhooks } =
            options;
        let token = token.filter(|token| !token.is_empty());
        let rules = openid.as_ref().map(OpenId::rules);
        let users = Users::new(token.as_deref(), tokens, users, rules, view.now());
        let (users, changes) = users.map_err(StartError::Users)?;
        let users = Arc::new(users);
        if users.is_open() && !listen.ip().is_loopback() {
            return Err(StartError::NoToken(listen));
        }
        let listener = TcpListener::bind(listen).await.map_err(|error| StartError::Listen(listen, error))?;
        let local = listener.local_addr().map_err(|error| StartError::Listen(listen, error))?;
        match view.kept_sessions().await {
            Ok(kept) => users.go_on(kept),
            Err(error) => tracing::error!(%error, "sessions cannot be read: everybody has to sign in anew"),
        }
        let writing = tokio::spawn(write_down(Arc::clone(&view), changes));

        let figures = Arc::new(HubFigures::default());
        let answered: Arc<[AtomicU64; 6]> = Arc::default();
        let open = Arc::new(AtomicU64::new(0));
        let failed = Arc::new(AtomicU64::new(0));
        own_metrics(&mut metrics, &figures, &answered, &open);
        let handshakes = Arc::clone(&failed);
        let help = "Connections for HTTPS whose handshake came to nothing";
        metrics.counter_fn("offhook_https_handshakes_failed", help, &[], move || handshakes.load(Ordering::Relaxed));
        let playing = Arc::new(Playing::new());
        playing.register(&mut metrics);
        users.register(&mut metrics);
        let rates = Arc::new(Rates::new(requests_per_s));
        rates.register(&mut metrics);
        let idempotency = Arc::new(Idempotency::default());
        idempotency.register(&mut metrics);
        let entrances = Arc::new(Entrances::new(entrances));
        entrances.register(&mut metrics);

        let (stop, stopped) = watch::channel(false);
        let told = webhooks::start(webhooks, &view, &mut metrics, &stopped).map_err(StartError::Webhooks)?;
        let (hub, handle) = Hub::new(view.now().as_us(), events, figures);
        let hub = tokio::spawn(hub.run(stopped.clone()));
        let shared = Shared {
            view,
            hub: handle,
            metrics: Arc::new(metrics),
            answered,
            playing,
            phone: Arc::new(phone),
            entrances: Arc::clone(&entrances),
            users: Arc::clone(&users),
            openid: openid.map(|openid| Arc::new(SignIns::new(openid))),
            rates,
            idempotency,
            secure: tls.is_some(),
        };
        let app = router(shared).into_make_service_with_connect_info::<Peer>();
        let tls = tls.map(|config| watch::channel(config).0);
        let (shaken, ready) = mpsc::channel(CONNECTIONS_MAX);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let secure = tls.as_ref().map(|tls| Secure { config: tls.subscribe(), shaken, failed });
        let listener = Bounded { listener, places, open, secure, ready };
        let serving = tokio::spawn(async move {
            let mut stopped = stopped;
            let until = async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(until).await {
                tracing::error!(%error, "HTTP listener ended");
            }
        });
        Ok(Self { local, stop, serving, hub, told, writing, tls, users, entrances })
    }

    /// The address that is listened on.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// These are admitted from now on. Sessions of users who are gone, or are somebody else now, are over. Where nobody would have to say who
    /// they are, and the address can be reached from outside, everything stays.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn admit(&self, admission: Admission) -> Result<(), StartError> {
        let Admission { token, tokens, users, entrances } = admission;
        let token = token.filter(|token| !token.is_empty());
        let nobody = token.is_none() && tokens.is_empty() && users.is_empty() && !self.users.has_provider();
        if nobody && !self.local.ip().is_loopback() {
            return Err(StartError::NoToken(self.local));
        }
        self.users.admit(token.as_deref(), tokens, users).map_err(StartError::Users)?;
        self.entrances.open(entrances);
        Ok(())
    }

    /// Connections made from here on are shown another certificate; nothing where HTTPS is not spoken.
    pub fn certify(&self, config: Arc<ServerConfig>) {
        if let Some(tls) = &self.tls {
            tls.send_replace(config);
        }
    }

    /// Takes no new connection, ends the event streams, lets requests end for at most 5 s.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        let _ = self.hub.await;
        for told in self.told {
            let _ = told.await;
        }
        if tokio::time::timeout(SHUTDOWN_MAX, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
        // What changed about sessions is written down by then.
        drop(self.users);
        let _ = tokio::time::timeout(SHUTDOWN_MAX, self.writing).await;
    }
}

fn own_metrics(
    metrics: &mut Metrics,
    figures: &Arc<HubFigures>,
    answered: &Arc<[AtomicU64; 6]>,
    open: &Arc<AtomicU64>,
) {
    for class in 1..=5 {
        let answered = Arc::clone(answered);
        metrics.counter_fn(
            "offhook_http_requests",
            "HTTP requests answered, by class of status",
            &[("status", &format!("{class}xx"))],
            move || answered[class].load(Ordering::Relaxed),
        );
    }
    let open = Arc::clone(open);
    metrics.gauge_fn("offhook_http_connections", "HTTP connections open", &[], move || {
        open.load(Ordering::Relaxed) as f64
    });
    let reader = |read: fn(&HubFigures) -> &AtomicU64| {
        let figures = Arc::clone(figures);
        move || read(&figures).load(Ordering::Relaxed)
    };
    let clients = reader(|figures| &figures.clients);
    metrics.gauge_fn("offhook_event_clients", "Listeners to live events", &[], move || clients() as f64);
    let help = "Listeners to live events that did not keep up";
    metrics.counter_fn("offhook_event_clients_dropped", help, &[], reader(|figures| &figures.dropped));
    metrics.counter_fn("offhook_live_events", "Live events numbered", &[], reader(|figures| &figures.events));
    let help = "Live events that found the queue full";
    metrics.counter_fn("offhook_live_events_lost", help, &[], reader(|figures| &figures.lost));
}

/// A listener that holds at most [`CONNECTIONS_MAX`] connections, those that are still shaking hands among them.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    open: Arc<AtomicU64>,
    secure: Option<Secure>,
    ready: mpsc::Receiver<(Connection, SocketAddr)>,
}

/// What is needed for a handshake.
struct Secure {
    config: watch::Receiver<Arc<ServerConfig>>,
    shaken: mpsc::Sender<(Connection, SocketAddr)>,
    failed: Arc<AtomicU64>,
}

/// The next connection, with a place for it.
async fn next(
    listener: &mut TcpListener,
    places: &Arc<Semaphore>,
    open: &Arc<AtomicU64>,
) -> (TcpStream, SocketAddr, Place) {
    // The semaphore is never closed.
    let permit = Arc::clone(places).acquire_owned().await.expect("an open semaphore");
    let (stream, peer) = axum::serve::Listener::accept(listener).await;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    open.fetch_add(1, Ordering::Relaxed);
    (stream, peer, Place { open: Arc::clone(open), _permit: permit })
}

impl axum::serve::Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let Self { listener, places, open, secure, ready } = self;
        loop {
            let Some(secure) = secure else {
                let (stream, peer, place) = next(listener, places, open).await;
                return (Connection { stream: Stream::Plain(stream), _place: place }, peer);
            };
            let (stream, peer, place) = tokio::select! {
                // We hold a sender ourselves.
                shaken = ready.recv() => return shaken.expect("an open channel"),
                next = next(listener, places, open) => next,
            };
            let acceptor = TlsAcceptor::from(Arc::clone(&secure.config.borrow()));
            let (shaken, failed) = (secure.shaken.clone(), Arc::clone(&secure.failed));
            tokio::spawn(shake_hands(acceptor, stream, peer, place, shaken, failed));
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Whoever shakes no hands does not keep the others waiting.
async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
    shaken: mpsc::Sender<(Connection, SocketAddr)>,
    failed: Arc<AtomicU64>,
) {
    match tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            // Nobody takes it any more where the server has stopped.
            let _ = shaken.send((Connection { stream: Stream::Secure(Box::new(stream)), _place: place }, peer)).await;
        }
        refused => {
            failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%peer, error = ?refused.map(Result::err), "HTTPS handshake");
        }
    }
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Given back when it is dropped.
struct Place {
    open: Arc<AtomicU64>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that gives its place back when it ends.
struct Connection {
    stream: Stream,
    _place: Place,
}

enum Stream {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Secure(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Secure(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Secure(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Secure(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Secure(stream) => stream.is_write_vectored(),
        }
    }
}
