//! One connection: what is read is cut into messages, what is queued is written, and nobody may take for ever.

use std::time::Duration;

use offhook_sip::{Flow, Frame, Framer, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::counters::Closed;
use super::hub::{Hub, LineEnd};
use super::tls::Tls;
use super::websocket;
use crate::sip::Incoming;

/// How long a peer that connected may take to say its first word, and to end any message that it has begun.
pub const MESSAGE_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection may be silent. Registrations hold an hour at most, so a phone speaks more often than that.
pub const IDLE_MAX: Duration = Duration::from_hours(2);

/// How long a write may take.
pub const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection that can no longer be read waits for the answer to its last request.
const LAST_ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// The kernel asks a silent peer whether it is still there, so often, and this many times in vain.
const PROBE_AFTER: Duration = Duration::from_mins(1);
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

/// How long what was written may wait to be acknowledged. A connection whose way has gone, as behind a firewall that was restarted,
/// would otherwise take requests for a quarter of an hour and deliver none.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(30);

/// How long a peer that answers keep-alives may take to do so, RFC 5626 section 4.4.1.
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// Read in one go.
const READ_BYTES: usize = 4 * 1_024;

/// Queued messages that are written together.
const WRITE_TOGETHER_MAX: usize = 64;

/// What lies between TCP and SIP.
pub enum Opener {
    /// Nothing.
    Plain,
    /// TLS; the peer begins.
    Accept(Tls),
    /// TLS; we begin, ask for this name, and whoever proves to bear a right one is this trunk.
    Connect(TlsConnector, ServerName<'static>, Option<usize>),
}

/// Serves one connection until it ends. `ours`: we made it, so that the peer owes no first word.
pub async fn run(hub: &Hub, flow: Flow, socket: TcpStream, end: LineEnd, opener: &Opener, ours: bool) -> Closed {
    if prepare(&socket).is_err() {
        return Closed::Broken;
    }
    let LineEnd { id, queue, pongs, ended, idle } = end;
    let ping_after = ours.then(|| hub.ping_after(id));
    let life = Life { pongs, idle, ours, ping_after };
    let served = async {
        match opener {
            Opener::Plain => speak(hub, flow, socket, queue, life).await,
            Opener::Accept(tls) => match timeout(MESSAGE_WITHIN, tls.acceptor().accept(socket)).await {
                Ok(Ok(stream)) => {
                    hub.introduce(flow, tls.trunk_of(stream.get_ref().1.peer_certificates())).await;
                    speak(hub, flow, stream, queue, life).await
                }
                failed => not_agreed(flow, failed.ok().and_then(Result::err)),
            },
            Opener::Connect(connector, host, trunk) => {
                let agreed = connector.connect(host.clone(), socket);
                match timeout(MESSAGE_WITHIN, agreed).await {
                    Ok(Ok(stream)) => {
                        hub.introduce(flow, *trunk).await;
                        speak(hub, flow, stream, queue, life).await
                    }
                    failed => not_agreed(flow, failed.ok().and_then(Result::err)),
                }
            }
        }
    };
    tokio::select! {
        why = served => why,
        Ok(why) = ended => why,
    }
}

/// An operator who sets certificates up wants to know why; strangers try it all day.
fn not_agreed(flow: Flow, error: Option<std::io::Error>) -> Closed {
    let why = error.map_or_else(|| "it took too long".to_owned(), |error| error.to_string());
    tracing::info!(%flow, why, "no TLS could be agreed on");
    Closed::Handshake
}

fn prepare(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
    let socket = socket2::SockRef::from(socket);
    socket.set_tcp_user_timeout(Some(ACKNOWLEDGED_WITHIN))?;
    socket.set_tcp_keepalive(&keepalive)
}

/// What a connection's reader knows of its life.
pub struct Life {
    /// For answers to keep-alives.
    pub pongs: mpsc::WeakSender<Vec<u8>>,
    /// How long the peer may say nothing.
    pub idle: watch::Receiver<Duration>,
    /// We made it, so that the peer owes no first word.
    pub ours: bool,
    /// After how long of silence the peer is asked for an answer, where it is.
    ping_after: Option<Duration>,
}

/// Keep-alives of ours, RFC 5626 section 4.4.1. Only a peer that has answered one has to answer the next: others do not know them.
struct Pings {
    after: Option<Duration>,
    heard: Instant,
    /// When the peer was asked, where it has said nothing since.
    asked: Option<Instant>,
    answers: bool,
}

/// What is done when nothing has come by a deadline.
#[derive(Clone, Copy)]
enum Late {
    Close(Closed),
    Ask,
}

impl Pings {
    /// How long to wait for a word, and what to do then.
    fn next(&self, idle: Duration) -> (Instant, Late) {
        let end = (self.heard + idle, Late::Close(Closed::Idle));
        let next = match (self.asked, self.after) {
            (Some(asked), Some(_)) if self.answers => (asked + PONG_WITHIN, Late::Close(Closed::Idle)),
            (Some(asked), Some(after)) => (asked + after, Late::Ask),
            (None, Some(after)) => (self.heard + after, Late::Ask),
            (_, None) => return end,
        };
        if next.0 < end.0 { next } else { end }
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.heard = Instant::now();
        self.answers |= self.asked.take().is_some() && bytes == b"\r\n";
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
    hub: &Hub,
    flow: Flow,
    stream: S,
    queue: mpsc::Receiver<Vec<u8>>,
    life: Life,
) -> Closed {
    match flow.transport {
        Transport::Ws | Transport::Wss => websocket::serve(hub, flow, stream, queue, life).await,
        Transport::Udp | Transport::Tcp | Transport::Tls => serve(hub, flow, stream, queue, life).await,
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    hub: &Hub,
    flow: Flow,
    stream: S,
    queue: mpsc::Receiver<Vec<u8>>,
    life: Life,
) -> Closed {
    let (read, write) = tokio::io::split(stream);
    tokio::select! {
        why = read_all(hub, flow, read, life) => why,
        why = write_all(write, queue) => why,
    }
}

async fn read_all(hub: &Hub, flow: Flow, mut read: impl AsyncRead + Unpin, life: Life) -> Closed {
    let Life { pongs, mut idle, ours, ping_after } = life;
    let mut framer = Framer::new();
    let mut bytes = vec![0; READ_BYTES];
    // Since when a message is awaited: the first one, or the end of one that has begun.
    let mut awaited = (!ours).then(Instant::now);
    let mut pings = Pings { after: ping_after, heard: Instant::now(), asked: None, answers: false };
    loop {
        let (deadline, late) = match awaited {
            Some(since) => (since + MESSAGE_WITHIN, Late::Close(Closed::Slow)),
            None => pings.next(*idle.borrow_and_update()),
        };
        let received = tokio::select! {
            biased;
            received = timeout_at(deadline, read.read(&mut bytes)) => received,
            Ok(()) = idle.changed() => continue,
        };
        let count = match (received, late) {
            (Ok(Ok(0)), _) => return Closed::Peer,
            (Ok(Ok(count)), _) => count,
            (Ok(Err(_)), _) => return Closed::Broken,
            (Err(_), Late::Close(why)) => return why,
            (Err(_), Late::Ask) => {
                pings.asked = Some(Instant::now());
                if let Some(queue) = pongs.upgrade() {
                    // A queue without room holds messages, which are answered or not as well.
                    let _sent = queue.try_send(b"\r\n\r\n".to_vec());
                }
                continue;
            }
        };
        pings.hear(&bytes[..count]);
        framer.push(&bytes[..count]);
        let (mut batch, mut pinged) = (Vec::new(), false);
        let cut = take_frames(hub, &mut framer, flow, &mut batch, &mut pinged);
        let spoke = pinged || !batch.is_empty();
        if pinged && let Some(queue) = pongs.upgrade() {
            // RFC 5626 section 4.4.1. A queue without room holds messages that say as much.
            let _sent = queue.try_send(b"\r\n".to_vec());
        }
        if let Err(why) = hand_over(hub, flow, batch).await {
            return why;
        }
        if cut.is_err() {
            sleep(LAST_ANSWER_WITHIN).await;
            return Closed::Malformed;
        }
        awaited = match awaited {
            None if framer.is_partial() => Some(Instant::now()),
            Some(_) if spoke => framer.is_partial().then(Instant::now),
            awaited => awaited,
        };
    }
}

/// Takes all whole frames out. Fails where the stream can be cut no further; the fault is in the batch.
fn take_frames(
    hub: &Hub,
    framer: &mut Framer,
    flow: Flow,
    batch: &mut Vec<Incoming>,
    pinged: &mut bool,
) -> Result<(), ()> {
    loop {
        match framer.next_frame() {
            Ok(None) => return Ok(()),
            Ok(Some(Frame::Ping)) => *pinged = true,
            Ok(Some(Frame::Message(message))) => {
                hub.trace().received(flow, framer.last());
                batch.push(Incoming::Message(flow, message));
            }
            Ok(Some(Frame::Malformed(error))) => {
                hub.trace().received(flow, framer.last());
                batch.push(Incoming::Malformed(flow, error));
            }
            Err(error) => {
                batch.push(Incoming::Malformed(flow, error));
                return Err(());
            }
        }
    }
}

/// Counts a batch against its source and hands it over.
pub async fn hand_over(hub: &Hub, flow: Flow, batch: Vec<Incoming>) -> Result<(), Closed> {
    if batch.is_empty() {
        return Ok(());
    }
    if !batch.iter().all(|_| hub.admits(flow.peer.ip())) {
        return Err(Closed::Flood);
    }
    let source = flow.peer.ip();
    if hub.is_banned(source) || batch.iter().any(|incoming| hub.is_scanner(source, incoming)) {
        return Err(Closed::Banned);
    }
    hub.counters(flow.transport).count_received(batch.len());
    hub.deliver(batch).await;
    Ok(())
}

/// Writes what is queued until the queue is closed.
async fn write_all(mut write: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Vec<u8>>) -> Closed {
    while let Some(mut bytes) = queue.recv().await {
        for _ in 1..WRITE_TOGETHER_MAX {
            match queue.try_recv() {
                Ok(more) => bytes.extend_from_slice(&more),
                Err(_) => break,
            }
        }
        let written = async {
            write.write_all(&bytes).await?;
            write.flush().await
        };
        match timeout(WRITE_WITHIN, written).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Closed::Broken,
            Err(_) => return Closed::Stalled,
        }
    }
    // A peer that has closed its end is waited for no longer than the last write.
    let _closed = timeout(WRITE_WITHIN, write.shutdown()).await;
    Closed::Stopped
}
