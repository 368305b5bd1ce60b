//! SIP over WebSocket, RFC 7118: each WebSocket message is one SIP message.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use offhook_sip::{Flow, MESSAGE_BYTES_MAX, Message};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request as ClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message as Frame};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config, client_async_with_config};

use super::counters::Closed;
use super::hub::Hub;
use super::line::{Life, MESSAGE_WITHIN, WRITE_WITHIN, hand_over};
use crate::sip::Incoming;

/// The subprotocol, RFC 7118 section 4.1.
const SUBPROTOCOL: &str = "sip";
const SUBPROTOCOL_HEADER: &str = "Sec-WebSocket-Protocol";

/// How often a silent connection is pinged, so that proxies on the way keep it.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Agrees on WebSocket with whoever connected, or with whom we connected to (`ours`), and serves the connection until it ends.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    hub: &Hub,
    flow: Flow,
    stream: S,
    queue: mpsc::Receiver<Vec<u8>>,
    life: Life,
) -> Closed {
    let ours = life.ours;
    let begun = Rc::new(Begun::default());
    let stream = Watched { stream, begun: Rc::clone(&begun) };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .read_buffer_size(4 * 1_024);
    // Apart from the task, which lives as long as the connection and would keep the room for it.
    let agreed = Box::pin(async {
        if ours {
            let (socket, _response) =
                client_async_with_config(upgrade(&hub.address_of(flow.peer))?, stream, Some(config)).await?;
            return Ok(socket);
        }
        accept_hdr_async_with_config(stream, agree, Some(config)).await
    });
    let Ok(Ok(socket)) = timeout(MESSAGE_WITHIN, agreed).await else { return Closed::Handshake };
    let (write, read) = socket.split();
    tokio::select! {
        why = read_all(hub, flow, read, life, &begun) => why,
        why = write_all(write, queue) => why,
    }
}

/// Our request to a server, RFC 7118 section 4.1. Whoever answers without the subprotocol is not spoken to.
fn upgrade(address: &str) -> Result<ClientRequest, Error> {
    let mut request = address.into_client_request()?;
    request.headers_mut().insert(SUBPROTOCOL_HEADER, HeaderValue::from_static(SUBPROTOCOL));
    Ok(request)
}

/// Takes only those who speak SIP.
#[expect(clippy::result_large_err, reason = "the library's own signature")]
fn agree(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offered = request.headers().get_all(SUBPROTOCOL_HEADER).iter().filter_map(|value| value.to_str().ok());
    if offered.flat_map(|value| value.split(',')).any(|name| name.trim().eq_ignore_ascii_case(SUBPROTOCOL)) {
        response.headers_mut().insert(SUBPROTOCOL_HEADER, HeaderValue::from_static(SUBPROTOCOL));
        return Ok(response);
    }
    let mut refusal = ErrorResponse::new(Some("this is SIP: offer the subprotocol 'sip'\n".to_owned()));
    *refusal.status_mut() = StatusCode::BAD_REQUEST;
    Err(refusal)
}

/// Since when a message is on its way that is not all there. The library gives whole messages only, however their bytes trickle in.
#[derive(Default)]
struct Begun {
    since: Cell<Option<Instant>>,
    news: Notify,
}

/// A stream that notes when a message begins.
struct Watched<S> {
    stream: S,
    begun: Rc<Begun>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before && self.begun.since.get().is_none() {
            self.begun.since.set(Some(Instant::now()));
            self.begun.news.notify_one();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

async fn read_all<S: AsyncRead + AsyncWrite + Unpin>(
    hub: &Hub,
    flow: Flow,
    mut read: SplitStream<WebSocketStream<Watched<S>>>,
    life: Life,
    begun: &Begun,
) -> Closed {
    let Life { pongs, mut idle, ours, .. } = life;
    let opened = Instant::now();
    let mut heard = opened;
    // A server that we came to owes no first word. Pings of others are none.
    let mut spoke = ours;
    begun.since.set(None);
    loop {
        let silent = heard + *idle.borrow_and_update();
        let first = (!spoke).then_some(opened + MESSAGE_WITHIN);
        let rest = begun.since.get().map(|since| since + MESSAGE_WITHIN);
        let slow = first.into_iter().chain(rest).min();
        let (deadline, late) = slow.map_or((silent, Closed::Idle), |slow| (slow, Closed::Slow));
        let received = tokio::select! {
            biased;
            received = timeout_at(deadline, read.next()) => received,
            () = begun.news.notified() => continue,
            Ok(()) = idle.changed() => continue,
        };
        let frame = match received {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(Error::Protocol(_) | Error::Capacity(_) | Error::Utf8(_)))) => return Closed::Malformed,
            Ok(Some(Err(Error::ConnectionClosed)) | None) => return Closed::Peer,
            Ok(Some(Err(_))) => return Closed::Broken,
            Err(_) => return late,
        };
        heard = Instant::now();
        begun.since.set(None);
        let bytes: Bytes = match frame {
            Frame::Text(text) => text.into(),
            Frame::Binary(bytes) => bytes,
            // Pings are answered by the library. Even many of them say nothing.
            Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => continue,
            Frame::Close(_) => return Closed::Peer,
        };
        spoke = true;
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            if let Some(queue) = pongs.upgrade() {
                // As on other streams, RFC 5626 section 4.4.1.
                let _sent = queue.try_send(b"\r\n".to_vec());
            }
            continue;
        }
        hub.trace().received(flow, &bytes);
        let incoming = match Message::parse(&bytes) {
            Ok(message) => Incoming::Message(flow, Box::new(message)),
            Err(error) => Incoming::Malformed(flow, Box::new(error)),
        };
        if let Err(why) = hand_over(hub, flow, vec![incoming]).await {
            return why;
        }
    }
}

async fn write_all<S: AsyncRead + AsyncWrite + Unpin>(
    mut write: SplitSink<WebSocketStream<S>, Frame>,
    mut queue: mpsc::Receiver<Vec<u8>>,
) -> Closed {
    loop {
        let frame = match timeout(PING_EVERY, queue.recv()).await {
            Ok(Some(bytes)) => match String::from_utf8(bytes) {
                Ok(text) => Frame::text(text),
                Err(binary) => Frame::binary(binary.into_bytes()),
            },
            Ok(None) => break,
            Err(_) => Frame::Ping(Bytes::new()),
        };
        match timeout(WRITE_WITHIN, write.send(frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Closed::Broken,
            Err(_) => return Closed::Stalled,
        }
    }
    // A peer that has closed its end is waited for no longer than the last write.
    let _closed = timeout(WRITE_WITHIN, write.close()).await;
    Closed::Stopped
}
