//! The agent's place at the exchange: signed in at its live API, told what changes, and asked for states and wrap-ups.
//!
//! Events tell that something has changed, the desk tells what; where no event comes for a while it is asked all the same. A connection that
//! ends is made again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use crossbeam_channel::Receiver;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, ORIGIN, SET_COOKIE};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use offhook_phone::{AgentNow, AgentState, AgentWish, Clock, Customer, PhoneEvent, Told};
use offhook_units::{Span, Tick};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// How long one request may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long after an event the desk is asked: several come together.
const SETTLE: Duration = Duration::from_millis(30);
/// How long no event may come before the desk is asked all the same.
const QUIET_MAX: Duration = Duration::from_secs(5);
/// When a connection that ended is made again; after each failure in a row twice as long, up to the second.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const AGAIN_AFTER_MAX: Duration = Duration::from_mins(1);
/// Wishes that wait for the exchange.
const WISHES_MAX: usize = 16;
/// Words about the exchange that wait to be shown.
const TOLD_MAX: usize = 256;

/// Where the exchange is, and who we are there.
#[derive(Debug, Clone)]
pub struct DeskAccess {
    /// `https://pbx.example.com`.
    pub url: String,
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: String,
    /// A file of certificates: whom we believe; those whom the system trusts where none is given.
    pub authorities: Option<PathBuf>,
}

/// A desk that is kept. Dropping it ends that.
pub struct Desk {
    /// What changes, and what goes wrong.
    pub told: Receiver<Told>,
    wishes: mpsc::Sender<AgentWish>,
}

impl Desk {
    /// Signs in and follows, on a thread of its own.
    ///
    /// # Errors
    /// Where the address is none, or the thread cannot be started.
    pub fn open(access: DeskAccess, clock: Clock) -> Result<Self> {
        let place = Place::of(&access)?;
        let (tell, told) = crossbeam_channel::bounded(TOLD_MAX);
        let (wishes, wanted) = mpsc::channel(WISHES_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let say = move |event: PhoneEvent| drop(tell.try_send(Told { at: clock.now(), event }));
        std::thread::Builder::new().name("phone-desk".into()).spawn(move || {
            let mut keeper =
                Keeper { place, access, clock, last: None, known: None, cookie: String::new(), wait: AGAIN_AFTER };
            runtime.block_on(keeper.keep(wanted, &say));
        })?;
        Ok(Self { told, wishes })
    }

    /// Tells the exchange what the agent wants; what has no room is dropped, and the agent presses again.
    pub fn wish(&self, wish: AgentWish) {
        drop(self.wishes.try_send(wish));
    }
}

/// The exchange said no.
#[derive(Debug, thiserror::Error)]
#[error("{detail} ({status})")]
struct Refused {
    status: u16,
    detail: String,
}

/// An address of HTTP.
struct Place {
    host: String,
    port: u16,
    authority: String,
    tls: Option<Arc<ClientConfig>>,
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

impl Place {
    fn of(access: &DeskAccess) -> Result<Self> {
        let uri: Uri = access.url.parse().with_context(|| format!("{} is no address", access.url))?;
        let authority = uri.authority().context("the desk's address names no host")?.to_string();
        ensure!(!authority.contains('@'), "the desk's address has a name or a password in it");
        let tls = match uri.scheme_str() {
            Some("https") => {
                Some(offhook_server::tls_client(access.authorities.as_deref()).map_err(|error| anyhow!("{error}"))?)
            }
            Some("http") => None,
            _ => bail!("the desk's address begins neither with https:// nor with http://"),
        };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let here = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        ensure!(tls.is_some() || here, "the password would be read on the way: write https://{authority}");
        let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        Ok(Self { host, port, authority, tls })
    }

    const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    async fn connect(&self) -> Result<Box<dyn Wire>> {
        let stream = TcpStream::connect((&*self.host, self.port)).await?;
        stream.set_nodelay(true)?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.host.clone())?;
        Ok(Box::new(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?))
    }
}

/// What the desk answers, as far as it is shown.
#[derive(Deserialize)]
struct DeskNow {
    at: String,
    agent: Agent,
    offer: Option<Offer>,
    calls: Vec<OwnCall>,
    wrap_up: Option<WrapUp>,
}

#[derive(Deserialize)]
struct Agent {
    name: String,
    state: AgentState,
    since: String,
    reason: Option<String>,
    queues: Vec<String>,
}

#[derive(Deserialize)]
struct Call {
    id: String,
    caller: String,
    queue: Option<String>,
}

#[derive(Deserialize)]
struct MenuKey {
    key: char,
}

#[derive(Deserialize)]
struct Offer {
    call: Call,
    queue: String,
    waits_since: Option<String>,
    entered: Vec<MenuKey>,
    callback: bool,
}

#[derive(Deserialize)]
struct OwnCall {
    call: Call,
    outgoing: bool,
    entered: Vec<MenuKey>,
}

#[derive(Deserialize)]
struct WrapUp {
    until: Option<String>,
}

#[derive(Deserialize)]
struct History {
    calls: Vec<PastCall>,
}

#[derive(Deserialize)]
struct PastCall {
    id: String,
    wrap_ups: Vec<Noted>,
}

#[derive(Deserialize)]
struct Noted {
    code: Option<String>,
    note: Option<String>,
}

/// What is known of a caller from earlier calls.
#[derive(Debug, Clone, Default)]
struct Known {
    earlier: usize,
    note: Option<String>,
}

struct Keeper {
    place: Place,
    access: DeskAccess,
    clock: Clock,
    last: Option<AgentNow>,
    /// Of the call with this id.
    known: Option<(String, Known)>,
    cookie: String,
    wait: Duration,
}

impl Keeper {
    /// Until the desk is dropped.
    async fn keep(&mut self, mut wanted: mpsc::Receiver<AgentWish>, say: &impl Fn(PhoneEvent)) {
        let mut said = String::new();
        loop {
            let why = match self.follow(&mut wanted, say).await {
                Ok(()) => return,
                Err(error) => error,
            };
            // A password that is wrong stays wrong, and who tries on is locked out.
            let over =
                why.downcast_ref::<Refused>().is_some_and(|refused| refused.status == 401) && self.cookie.is_empty();
            let why = format!("the desk: {why:#}");
            // The same trouble is told once.
            if why != said {
                say(PhoneEvent::Fault { call: None, what: why.clone() });
                said = why;
            }
            if over || (wanted.is_closed() && wanted.is_empty()) {
                return;
            }
            tokio::time::sleep(self.wait).await;
            self.wait = (self.wait * 2).min(AGAIN_AFTER_MAX);
        }
    }

    /// Signs in, and follows until the connection ends; `Ok` once the desk is dropped.
    async fn follow(&mut self, wanted: &mut mpsc::Receiver<AgentWish>, say: &impl Fn(PhoneEvent)) -> Result<()> {
        let id = self.sign_in().await?;
        let mut request = format!(
            "{}://{}/api/v1/events/ws",
            ["ws", "wss"][usize::from(self.place.tls.is_some())],
            self.place.authority
        )
        .into_client_request()?;
        request.headers_mut().insert("Cookie", HeaderValue::from_str(&self.cookie)?);
        let stream = self.place.connect().await?;
        let (mut events, _) = tokio_tungstenite::client_async(request, stream).await?;
        self.look(say).await?;
        self.wait = AGAIN_AFTER;
        loop {
            tokio::select! {
                wish = wanted.recv() => {
                    let Some(wish) = wish else { return Ok(()) };
                    // The exchange says no: that is for the agent to read, and no reason to sign in anew.
                    if let Err(error) = self.tell(&id, wish).await {
                        say(PhoneEvent::Fault { call: None, what: format!("{error:#}") });
                    }
                }
                event = events.next() => {
                    let message = event.context("the exchange has ended the events")??;
                    if !message.to_text().is_ok_and(|text| is_ours(text, &id)) {
                        continue;
                    }
                    tokio::time::sleep(SETTLE).await;
                }
                () = tokio::time::sleep(QUIET_MAX) => {}
            }
            self.look(say).await?;
        }
    }

    /// Signs in, and gives the agent's id.
    async fn sign_in(&mut self) -> Result<String> {
        self.cookie.clear();
        let who = json!({ "name": self.access.user, "password": self.access.password });
        let (answer, cookie) = self.ask(Method::POST, "/api/v1/session", Some(&who)).await?;
        self.cookie = cookie.context("the exchange gave no session")?;
        let id = answer["agent"]["id"].as_str().with_context(|| format!("{} is no agent", self.access.user))?;
        Ok(id.to_owned())
    }

    /// Asks how the agent stands, and says so where that has changed.
    async fn look(&mut self, say: &impl Fn(PhoneEvent)) -> Result<()> {
        let (desk, _) = self.ask(Method::GET, "/api/v1/desk", None).await?;
        let desk: DeskNow = serde_json::from_value(desk).context("the exchange's desk")?;
        let call = customer_of(&desk).map(|(call, ..)| call.id.clone());
        if let Some(call) = call.filter(|call| self.known.as_ref().is_none_or(|(known, _)| known != call)) {
            let known = self.history(&call).await.unwrap_or_default();
            self.known = Some((call, known));
        }
        let known = self.known.as_ref().map(|(_, known)| known.clone()).unwrap_or_default();
        let now = read(&desk, known, self.clock.now(), self.last.as_ref())?;
        if self.last.as_ref() != Some(&now) {
            say(PhoneEvent::Agent { agent: Box::new(now.clone()) });
            self.last = Some(now);
        }
        Ok(())
    }

    async fn history(&self, call: &str) -> Result<Known> {
        let (history, _) = self.ask(Method::GET, &format!("/api/v1/desk/history?call={call}"), None).await?;
        let History { calls } = serde_json::from_value(history)?;
        let earlier: Vec<&PastCall> = calls.iter().filter(|past| past.id != call).collect();
        let noted = earlier.iter().flat_map(|past| past.wrap_ups.iter().rev());
        let mut note =
            noted.map(|noted| [&noted.code, &noted.note].into_iter().flatten().cloned().collect::<Vec<_>>().join(": "));
        let note = note.find(|note| !note.is_empty());
        Ok(Known { earlier: earlier.len(), note })
    }

    async fn tell(&self, id: &str, wish: AgentWish) -> Result<()> {
        let state = format!("/api/v1/agents/{id}/state");
        let (path, body) = match wish {
            AgentWish::Available => (&*state, json!({ "state": "available" })),
            AgentWish::NotReady(None) => (&*state, json!({ "state": "not-ready" })),
            AgentWish::NotReady(Some(reason)) => (&*state, json!({ "state": "not-ready", "reason": reason })),
            AgentWish::LoggedOut => (&*state, json!({ "state": "logged-out" })),
            AgentWish::WrapUpDone => ("/api/v1/desk/commands", json!({ "do": "wrap-up-done" })),
            AgentWish::ExtendWrapUp(seconds) => {
                ("/api/v1/desk/commands", json!({ "do": "extend-wrap-up", "seconds": seconds }))
            }
        };
        self.ask(Method::POST, path, Some(&body)).await.map(drop)
    }

    /// One request on a connection of its own; the answer, and the cookie that came with it.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(Value, Option<String>)> {
        tokio::time::timeout(ANSWER_WITHIN, self.ask_for_long(method, path, body))
            .await
            .context("it does not answer")?
    }

    async fn ask_for_long(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(Value, Option<String>)> {
        let stream = self.place.connect().await.with_context(|| self.access.url.clone())?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let running = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.place.authority);
        // A session's command is taken from the exchange's own pages: we name ours.
        request = request.header(ORIGIN, format!("{}://{}", self.place.scheme(), self.place.authority));
        if !self.cookie.is_empty() {
            request = request.header(COOKIE, &self.cookie);
        }
        let text = body.map(ToString::to_string).unwrap_or_default();
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let response = sender.send_request(request.body(Full::new(Bytes::from(text)))?).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| anyhow!("{error}"))?.to_bytes();
        running.abort();
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !head.status.is_success() {
            let detail = answer["detail"].as_str().unwrap_or("the exchange refuses");
            return Err(Refused { status: head.status.as_u16(), detail: detail.to_owned() }.into());
        }
        let cookie = head.headers.get(SET_COOKIE).and_then(|cookie| cookie.to_str().ok());
        Ok((answer, cookie.and_then(|cookie| cookie.split(';').next()).map(str::to_owned)))
    }
}

/// Whether an event may concern this agent: its own state, a call, or that events are missing.
fn is_ours(text: &str, id: &str) -> bool {
    let Ok(event) = serde_json::from_str::<Value>(text) else { return false };
    match event["event"].as_str() {
        Some("agent") => event["data"]["id"] == id,
        Some("call" | "call-ended" | "reset") => true,
        _ => false,
    }
}

/// The call that matters: what is offered, else the one from a queue.
fn customer_of(desk: &DeskNow) -> Option<(&Call, Option<&Offer>, &[MenuKey])> {
    if let Some(offer) = &desk.offer {
        return Some((&offer.call, Some(offer), &offer.entered));
    }
    let own = desk.calls.iter().find(|own| !own.outgoing && own.call.queue.is_some())?;
    Some((&own.call, None, &own.entered))
}

/// What the desk says, by our clock. Instants that were known before stay as they were, so that nothing seems to change by itself.
fn read(desk: &DeskNow, known: Known, now: Tick, last: Option<&AgentNow>) -> Result<AgentNow> {
    let at = instant(&desk.at)?;
    let ours = |text: &str| -> Result<Tick> {
        let then = instant(text)?;
        let off = Span::from_ms(u64::try_from((then - at).abs()).unwrap_or(u64::MAX));
        Ok(if then >= at { now + off } else { Tick::from_us(now.as_us().saturating_sub(off.as_us())) })
    };
    let steady = |new: Option<Tick>, before: Option<Tick>| match (new, before) {
        (Some(new), Some(before)) if new.since(before).max(before.since(new)) < STEADY => Some(before),
        (new, _) => new,
    };
    let Agent { name, state, since, reason, queues } = &desk.agent;
    let until = desk.wrap_up.as_ref().and_then(|wrap_up| wrap_up.until.as_deref()).map(ours).transpose()?;
    let customer = customer_of(desk)
        .map(|(call, offer, entered)| -> Result<Customer> {
            let waits = offer.and_then(|offer| offer.waits_since.as_deref()).map(ours).transpose()?;
            let before = last.and_then(|last| last.customer.as_ref()).and_then(|customer| customer.waits_since);
            Ok(Customer {
                call: call.id.clone(),
                caller: call.caller.clone(),
                queue: offer.map(|offer| offer.queue.clone()).or_else(|| call.queue.clone()),
                waits_since: steady(waits, before),
                entered: entered.iter().map(|entered| entered.key).collect(),
                callback: offer.is_some_and(|offer| offer.callback),
                earlier: known.earlier,
                note: known.note,
            })
        })
        .transpose()?;
    Ok(AgentNow {
        name: name.clone(),
        state: *state,
        reason: reason.clone(),
        since: steady(Some(ours(since)?), last.map(|last| last.since)).unwrap_or(now),
        until: steady(until, last.and_then(|last| last.until)),
        queues: queues.clone(),
        customer,
    })
}

/// Two readings of one instant differ by less.
const STEADY: Span = Span::from_ms(900);

/// Milliseconds since the Unix epoch.
fn instant(text: &str) -> Result<i64> {
    let at: jiff::Timestamp = text.parse().with_context(|| format!("{text} is no instant"))?;
    Ok(at.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk(state: &str, more: &str) -> DeskNow {
        let text = format!(
            r#"{{"at":"2026-01-01T00:00:10Z","agent":{{"id":"a-1","name":"Ann","state":"{state}","since":"2026-01-01T00:00:00Z","reason":null,"queues":["Sales"],"more":1}},"calls":[],"offer":null,"wrap_up":null{more}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_desks_instants_are_read_by_our_clock_and_stay_where_they_were() {
        let now = Tick::from_us(1_000_000_000);
        let first = read(&desk("available", ""), Known::default(), now, None).unwrap();
        assert_eq!((first.state, first.since), (AgentState::Available, Tick::from_us(990_000_000)));
        let later = read(&desk("available", ""), Known::default(), now + Span::from_ms(300), Some(&first)).unwrap();
        assert_eq!(later, first, "an answer that took longer is no news");
        let other = read(&desk("busy", ""), Known::default(), now + Span::from_s(60), Some(&first)).unwrap();
        assert_eq!(other.since, Tick::from_us(1_050_000_000));
    }

    #[test]
    fn events_of_others_are_passed_over_and_an_address_in_clear_is_refused() {
        assert!(is_ours(r#"{"id":1,"event":"agent","data":{"id":"a-1"}}"#, "a-1"));
        assert!(!is_ours(r#"{"id":1,"event":"agent","data":{"id":"a-2"}}"#, "a-1"));
        assert!(!is_ours(r#"{"id":1,"event":"queue","data":{"id":"q-1"}}"#, "a-1"));
        assert!(is_ours(r#"{"id":1,"event":"reset","data":{}}"#, "a-1"));
        for (url, taken) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost:8080/desk", true),
            ("http://pbx.example.com", false),
            ("ftp://127.0.0.1", false),
            ("http://ann:secret@127.0.0.1", false),
        ] {
            let access =
                DeskAccess { url: url.into(), user: String::new(), password: String::new(), authorities: None };
            assert_eq!(Place::of(&access).is_ok(), taken, "{url}");
        }
    }
}
