//! Live events to one listener, as server-sent events or over WebSocket (RFC 6455): the same events with the same numbers, so that
//! one may be left for the other.

use core::convert::Infallible;
use core::pin::Pin;
use core::time::Duration;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, Stream, StreamExt, stream};
use hyper_util::rt::TokioIo;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{self, CloseFrame, WebSocketConfig};

use crate::api::{Shared, bad_request};
use crate::events::{Numbered, Subscription};
use crate::guard::{self, Asker};
use crate::problem::Problem;
use crate::users::Identity;

/// A listener to whom there is nothing to tell is told where it stands so often: a dead connection is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long one message may take to be taken.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// Longest message that is read from a listener: they have nothing to say.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// From where on events are told.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// The number of the last event that was seen; what came after it is told first.
    #[schemars(extend("maximum" = u64::MAX))]
    after: Option<u64>,
}

/// One event as WebSocket carries it.
#[derive(Serialize)]
struct Carried<'a> {
    id: u64,
    event: &'static str,
    data: Option<&'a RawValue>,
}

/// What a listener is told next.
enum Told {
    Event(Arc<Numbered>),
    /// Nothing for a while, up to this number: it may come back with it.
    Position(Option<u64>),
}

/// Why nothing is told any more.
enum Over {
    /// The listener did not keep up, or the server stops: it may come back with the last number.
    Dropped,
    /// The session is over.
    Session,
}

/// Events in order for one listener.
struct Feed {
    backlog: std::vec::IntoIter<Arc<Numbered>>,
    live: tokio::sync::mpsc::Receiver<Arc<Numbered>>,
    identity: Identity,
    session: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// The number of the last event that was told or passed over.
    position: Option<u64>,
    quiet_until: Instant,
}

impl Feed {
    fn new(subscription: Subscription, identity: Identity) -> Self {
        let Subscription { backlog, live, position } = subscription;
        let lease = identity.lease.clone();
        // What a session began ends with it.
        let session = Box::pin(async move {
            match lease {
                Some(lease) => lease.over().await,
                None => core::future::pending().await,
            }
        });
        let quiet_until = Instant::now() + KEEP_ALIVE;
        Self { backlog: backlog.into_iter(), live, identity, session, position, quiet_until }
    }

    /// The next thing to tell; may be dropped and asked again.
    async fn next(&mut self) -> Result<Told, Over> {
        loop {
            let event = if let Some(event) = self.backlog.next() {
                event
            } else {
                tokio::select! {
                    biased;
                    () = &mut self.session => return Err(Over::Session),
                    event = self.live.recv() => event.ok_or(Over::Dropped)?,
                    () = tokio::time::sleep_until(self.quiet_until) => {
                        self.quiet_until = Instant::now() + KEEP_ALIVE;
                        return Ok(Told::Position(self.position));
                    }
                }
            };
            self.position = Some(event.id);
            if event.may_be_told(&self.identity) {
                self.quiet_until = Instant::now() + KEEP_ALIVE;
                return Ok(Told::Event(event));
            }
        }
    }
}

/// The number after which events are wanted.
fn after(headers: &HeaderMap, query: Result<Query<EventsQuery>, QueryRejection>) -> Result<Option<u64>, Problem> {
    let Query(query) = query.map_err(|error| bad_request(error.body_text()))?;
    let Some(id) = headers.get("last-event-id") else { return Ok(query.after) };
    let id = id.to_str().ok().and_then(|id| id.trim().parse().ok());
    id.ok_or_else(|| bad_request("Last-Event-ID is the number of the last event you saw")).map(Some)
}

async fn subscribe(shared: &Shared, identity: Identity, after: Option<u64>) -> Result<Feed, Problem> {
    let full = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many listeners, or the server is stopping");
    let subscription = shared.hub.subscribe(after).await.ok_or_else(full)?;
    Ok(Feed::new(subscription, identity))
}

fn with_position(event: Event, position: Option<u64>) -> Event {
    match position {
        Some(id) => event.id(id.to_string()),
        None => event,
    }
}

/// `GET /api/v1/events`.
pub async fn server_sent(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let feed = subscribe(&shared, asker.identity, after(&headers, query)?).await?;
    // The first bytes go out at once, so that the client knows that it is connected, and where it would come back.
    let greeting = Event::default().comment("connected").retry(Duration::from_secs(1));
    let greeting = stream::once(core::future::ready(Ok(with_position(greeting, feed.position))));
    let events = stream::unfold(feed, async |mut feed| {
        let event = match feed.next().await.ok()? {
            Told::Event(event) => Event::default().id(event.id.to_string()).event(event.name).data(event.data()),
            // Without data it is no event to whoever reads the stream, and its number is kept.
            Told::Position(position) => with_position(Event::default().comment("nothing new"), position),
        };
        Some((Ok(event), feed))
    });
    Ok(Sse::new(greeting.chain(events)))
}

/// The answer to somebody who does not speak WebSocket.
fn not_websocket(advice: &str) -> Response {
    let mut response = Problem::new(StatusCode::UPGRADE_REQUIRED, advice).into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

/// What the client's key is to be answered with, RFC 6455 section 4.2.
fn accepted(headers: &HeaderMap) -> Result<HeaderValue, Box<Response>> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let has = |name, word: &str| text(name).split(',').any(|each| each.trim().eq_ignore_ascii_case(word));
    if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        return Err(Box::new(not_websocket("this address speaks WebSocket; /api/v1/events has the same for HTTP")));
    }
    if text(header::SEC_WEBSOCKET_VERSION) != "13" {
        return Err(Box::new(not_websocket("Sec-WebSocket-Version is 13")));
    }
    let key = text(header::SEC_WEBSOCKET_KEY);
    // 16 bytes in Base64.
    if key.len() != 24 || !key.ends_with("==") {
        return Err(Box::new(bad_request("Sec-WebSocket-Key is 16 random bytes in Base64").into_response()));
    }
    let unlikely = |_| Box::new(bad_request("Sec-WebSocket-Key").into_response());
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(unlikely)
}

/// `GET /api/v1/events/ws`.
pub async fn websocket(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    query: Result<Query<EventsQuery>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let after = after(request.headers(), query)?;
    let accept = match accepted(request.headers()) {
        Ok(accept) => accept,
        Err(response) => return Ok(*response),
    };
    // Browsers let every page open a WebSocket to anywhere, with cookies and without asking.
    if request.headers().contains_key(header::ORIGIN) && !guard::from_own_page(request.headers()) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "a browser opens this from a page of this exchange only"));
    }
    let feed = subscribe(&shared, asker.identity, after).await?;
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(stream) => tell(TokioIo::new(stream), feed).await,
            Err(error) => tracing::debug!(%error, "WebSocket"),
        }
    });
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, Body::empty()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// Tells one listener, until either side ends. It is asked for a sign of life every [`KEEP_ALIVE`], and let go where it has given
/// none since the last time.
async fn tell<S: AsyncRead + AsyncWrite + Unpin>(stream: S, mut feed: Feed) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .write_buffer_size(0);
    let mut socket = WebSocketStream::from_raw_socket(stream, protocol::Role::Server, Some(config)).await;
    let mut heard = Instant::now();
    let mut asked = heard;
    let (code, reason) = loop {
        tokio::select! {
            biased;
            message = socket.next() => match message {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => heard = Instant::now(),
                Some(Ok(Message::Text(_) | Message::Binary(_))) => {
                    break (CloseCode::Policy, "this feed takes no messages".to_owned());
                }
                Some(Ok(Message::Close(_) | Message::Frame(_)) | Err(_)) | None => return,
            },
            told = feed.next() => match told {
                Ok(told) => {
                    if let Told::Event(event) = told
                        && !send(&mut socket, Message::text(carried(&event))).await
                    {
                        return;
                    }
                    if asked.elapsed() < KEEP_ALIVE {
                        continue;
                    }
                    if heard < asked || !send(&mut socket, Message::Ping(Vec::new().into())).await {
                        return;
                    }
                    asked = Instant::now();
                }
                Err(Over::Dropped) => {
                    let last = feed.position.map_or_else(String::new, |last| format!(" with after={last}"));
                    break (CloseCode::Again, format!("come back{last}"));
                }
                Err(Over::Session) => break (CloseCode::Policy, "the session is over".to_owned()),
            },
        }
    };
    let close = CloseFrame { code, reason: reason.into() };
    send(&mut socket, Message::Close(Some(close))).await;
}

/// Whether it was taken in time.
async fn send<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>, message: Message) -> bool {
    matches!(tokio::time::timeout(SEND_WITHIN, socket.send(message)).await, Ok(Ok(())))
}

fn carried(event: &Numbered) -> String {
    let carried = Carried { id: event.id, event: event.name, data: serde_json::from_str(event.data()).ok() };
    serde_json::to_string(&carried).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use offhook_call::record::CallEnd;
    use offhook_units::{CallId, Tick};
    use tokio::sync::mpsc;

    use super::*;
    use crate::events::LiveEvent;
    use crate::users::{Role, TokenUser, Users, token_hash};

    /// Somebody who sees no call but the own, and has none.
    fn agent() -> Identity {
        let user = TokenUser { name: "a".to_owned(), sha256: token_hash("a"), roles: vec![Role::Agent] };
        Users::new(None, vec![user], Vec::new(), None, Tick::ZERO)
            .expect("randomness")
            .0
            .by_token("a")
            .expect("the token")
    }

    fn feed(backlog: Vec<Arc<Numbered>>) -> (mpsc::Sender<Arc<Numbered>>, Feed) {
        let (sender, live) = mpsc::channel(10);
        (sender, Feed::new(Subscription { backlog, live, position: Some(7) }, agent()))
    }

    /// What agents are not told.
    fn of_a_record(id: u64) -> Arc<Numbered> {
        Numbered::new(id, Tick::ZERO, Some(LiveEvent::Record { call: CallId(id) }))
    }

    fn ended(id: u64) -> Arc<Numbered> {
        Numbered::new(id, Tick::ZERO, Some(LiveEvent::CallEnded { call: CallId(id), end: CallEnd::Lost }))
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_nothing_for_15_s_is_told_where_the_feed_stands() {
        let (sender, mut feed) = feed(vec![of_a_record(8)]);
        let begin = Instant::now();
        sender.send(of_a_record(9)).await.expect("room");
        assert!(matches!(feed.next().await, Ok(Told::Position(Some(9)))), "what is passed over counts");
        assert_eq!(begin.elapsed(), KEEP_ALIVE);
        sender.send(ended(10)).await.expect("room");
        assert!(matches!(feed.next().await, Ok(Told::Event(event)) if event.id == 10));
        drop(sender);
        assert!(matches!(feed.next().await, Err(Over::Dropped)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_answers_no_ping_is_let_go_and_one_that_does_is_not() {
        for answers in [true, false] {
            let (server, client) = tokio::io::duplex(64 * 1_024);
            let (sender, feed) = feed(Vec::new());
            let begin = Instant::now();
            let telling = tokio::spawn(tell(server, feed));
            let mut client = WebSocketStream::from_raw_socket(client, protocol::Role::Client, None).await;
            // Events come all the time: they say nothing of the listener.
            let events = tokio::spawn(async move {
                for id in 8.. {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    if id > 130 || sender.send(ended(id)).await.is_err() {
                        break;
                    }
                }
            });
            let mut told = 0;
            // Reading answers pings; who does not read is a listener that is gone.
            while answers && let Some(Ok(message)) = client.next().await {
                told += usize::from(message.is_text());
            }
            telling.await.expect("no panic");
            let lasted = begin.elapsed().as_secs();
            if answers {
                assert_eq!(told, 123, "each event until the feed ended");
            } else {
                assert!((30..=32).contains(&lasted), "{lasted} s");
            }
            events.abort();
        }
    }
}
