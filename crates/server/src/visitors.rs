//! Visitors: the page from which somebody calls without an account, and the tickets that let them in.
#![expect(clippy::disallowed_types, reason = "an edge: what was asked for is shared by the requests")]
#![expect(clippy::disallowed_methods, reason = "an edge: it is forgotten with time")]

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use offhook_call::turn::Relay;
use offhook_call::visit::{NotWelcome, Ticket};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{Shared, bad_request};
use crate::guard;
use crate::listen::Peer;
use crate::metrics::Metrics;
use crate::page;
use crate::problem::Problem;
use crate::time::rfc3339;
use crate::view::WelcomeError;

/// Tickets that one address is given in a minute; one more gets 429. Who comes by a proxy on this machine is not counted.
pub const TICKETS_PER_MINUTE: u32 = 10;
/// Addresses that are counted at once; one more, and all are forgotten.
pub const ADDRESSES_MAX: usize = 10_000;
/// Longest name of a visitor that is read, in characters.
const NAME_CHARS_MAX: usize = 512;

/// A page from which visitors call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntrancePage {
    /// Its name, in the page's address.
    pub name: String,
    /// What stands above the button.
    pub title: String,
    /// Sites that may show the page within theirs, such as `https://shop.example`.
    pub origins: Vec<String>,
}

/// All entrances, and who asked for tickets of late.
#[derive(Debug, Default)]
pub struct Entrances {
    pages: Mutex<Arc<[EntrancePage]>>,
    asked: Mutex<BTreeMap<IpAddr, (u32, Instant)>>,
    refused: AtomicU64,
}

impl Entrances {
    /// Nobody has asked yet.
    pub fn new(pages: Vec<EntrancePage>) -> Self {
        Self { pages: Mutex::new(pages.into()), ..Self::default() }
    }

    /// These are there from now on.
    pub fn open(&self, pages: Vec<EntrancePage>) {
        *self.pages.lock().unwrap_or_else(PoisonError::into_inner) = pages.into();
    }

    /// Adds what is counted here.
    pub fn register(self: &Arc<Self>, metrics: &mut Metrics) {
        let entrances = Arc::clone(self);
        let help = "Visitors who asked for tickets too often";
        let refused = move || entrances.refused.load(Ordering::Relaxed);
        metrics.counter_fn("offhook_visitors_too_often", help, &[], refused);
    }

    fn page(&self, name: &str) -> Option<EntrancePage> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.iter().find(|page| page.name == name).cloned()
    }

    /// Whether somebody may be given a ticket.
    fn may_ask(&self, from: IpAddr, now: Instant) -> bool {
        if from.is_loopback() {
            return true;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= ADDRESSES_MAX && !asked.contains_key(&from) {
            asked.clear();
        }
        let (times, since) = asked.entry(from).or_insert((0, now));
        if now - *since >= Duration::from_mins(1) {
            (*times, *since) = (0, now);
        }
        *times += 1;
        let may = *times <= TICKETS_PER_MINUTE;
        self.refused.fetch_add(u64::from(!may), Ordering::Relaxed);
        may
    }
}

/// `GET /call/{name}`: the page itself, which may stand within pages of the entrance's origins.
pub async fn show(State(shared): State<Shared>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(entrance) = shared.entrances.page(&name) else {
        return Problem::new(StatusCode::NOT_FOUND, NotWelcome::NoEntrance.to_string()).into_response();
    };
    let mut response = page::file("call.html", &headers);
    let ancestors = entrance.origins.join(" ");
    let policy = format!(
        "default-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob: mediastream:; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'self' {ancestors}"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// What the page shows before anybody calls.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Entrance")]
pub struct Shown {
    name: String,
    title: String,
}

/// `GET /api/v1/visitors/{name}`.
pub async fn settings(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Json<Shown>, Problem> {
    let page = shared.entrances.page(&name).ok_or(WelcomeError::NotWelcome(NotWelcome::NoEntrance))?;
    Ok(Json(Shown { name: page.name, title: page.title }))
}

/// Who comes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Visit {
    /// What the visitor is called, where they say it.
    #[schemars(length(max = NAME_CHARS_MAX))]
    name: Option<String>,
}

/// What a page gives its connection: an `RTCIceServer` of WebRTC.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Relay")]
pub struct RelayGiven {
    /// Where relays are.
    urls: Vec<String>,
    /// Until when, in seconds since 1970, a colon, and who.
    username: String,
    /// A hash of it.
    credential: String,
}

impl From<Relay> for RelayGiven {
    fn from(relay: Relay) -> Self {
        let Relay { urls, username, credential } = relay;
        Self { urls, username, credential }
    }
}

/// A ticket as the page is given it: credentials for one call.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "VisitorTicket")]
pub struct Given {
    user: String,
    password: String,
    realm: String,
    number: String,
    /// For its connection, where browsers may need a relay.
    relay: Option<RelayGiven>,
    #[schemars(extend("format" = "date-time"))]
    until: String,
}

/// `POST /api/v1/visitors/{name}`, from our own page only.
pub async fn welcome(
    State(shared): State<Shared>,
    Path(entrance): Path<String>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Result<Json<Visit>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(Visit { name }) = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    if name.as_ref().is_some_and(|name| name.chars().count() > NAME_CHARS_MAX) {
        return Err(bad_request("the name is too long"));
    }
    if !guard::from_own_page(&headers) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "tickets are given to a page of this exchange only"));
    }
    if !shared.entrances.may_ask(peer.0.ip(), Instant::now()) {
        let detail = "too many tickets were asked for: wait a minute";
        let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        return Ok(response);
    }
    let ticket = shared.view.welcome(entrance, name).await?;
    let Ticket { user, password, realm, number, relay, until } = ticket;
    let relay = relay.map(RelayGiven::from);
    Ok(Json(Given { user, password, realm, number, relay, until: rfc3339(until) }).into_response())
}

impl From<WelcomeError> for Problem {
    fn from(error: WelcomeError) -> Self {
        let status = match &error {
            WelcomeError::NotWelcome(NotWelcome::NoEntrance) => StatusCode::NOT_FOUND,
            WelcomeError::NotWelcome(NotWelcome::Full) | WelcomeError::Unavailable(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self::new(status, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_ten_tickets_a_minute_and_a_proxy_here_is_not_counted() {
        let (entrances, now) = (Entrances::default(), Instant::now());
        let (there, here) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([127, 0, 0, 1]));
        let given = (0..20).filter(|_| entrances.may_ask(there, now)).count();
        assert_eq!(given, TICKETS_PER_MINUTE as usize);
        assert!((0..20).all(|_| entrances.may_ask(here, now)));
        assert!(entrances.may_ask(there, now + Duration::from_mins(1)));
        assert_eq!(entrances.refused.load(Ordering::Relaxed), 10);
    }
}
