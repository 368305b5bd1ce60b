//! Signing in at a provider of OpenID Connect: the authorization code flow with PKCE (OpenID Connect Core 1.0 §3.1, RFC 7636).
//!
//! The browser is sent to the provider, and comes back with a code, which the exchange turns into an ID token over a connection of its own.
//! What belongs together is remembered here for ten minutes, under a cookie of this browser, and used once.
#![expect(clippy::disallowed_types, reason = "an edge: sign-ins under way are shared by the requests")]
#![expect(clippy::disallowed_methods, reason = "an edge: sign-ins under way are forgotten with time")]

mod pending;
mod provider;
mod token;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use offhook_units::AgentId;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::Shared;
use crate::guard::{Asker, named_cookie};
use crate::listen::Peer;
use crate::problem::Problem;
use crate::session::{note, session_cookie};
use crate::users::{LASTS_MAX, Refusal, Role, User};
use crate::view::Unavailable;

pub use pending::{PENDING_FOR, PENDING_MAX};
use pending::{Pending, Sent};
pub use provider::OpenIdAt;
use provider::Provider;

/// The cookie that binds a sign-in to the browser that began it. It comes back from another site's page, so that it is `Lax`.
const COOKIE: &str = "offhook-sign-in";
/// Where the provider sends browsers back to, below `address`.
pub const RETURN: &str = "/sign-in/openid/return";
/// Where a sign-in begins.
pub const BEGIN: &str = "/sign-in/openid";
/// Pages from which one signs in, and to which one comes back.
const PAGES: [&str; 4] = ["/", "/desk", "/phone", "/admin"];
/// Longest name that a claim gives somebody, in characters.
const NAME_CHARS_MAX: usize = 128;

/// Who signs in at which provider, and as what.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenId {
    /// The provider, and who we are there.
    pub at: OpenIdAt,
    /// What people call it.
    pub title: String,
    /// Scheme and host at which browsers reach this exchange.
    pub address: String,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that says who somebody is.
    pub user_claim: String,
    /// The claim that says what they are; names within it are parted by dots.
    pub roles_claim: Option<String>,
    /// What each of its values means here.
    pub roles: BTreeMap<String, Vec<Role>>,
    /// The claim that names their agent.
    pub agent_claim: Option<String>,
}

/// What is kept while the server runs.
#[derive(Debug)]
pub struct SignIns {
    settings: OpenId,
    provider: Provider,
    pending: Pending,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// It was begun by another browser, too long ago, or came back before.
    #[error("it was begun elsewhere, too long ago, or is used up")]
    Stale,
    /// The provider says no, mostly because whoever was there did.
    #[error("the provider says {0}")]
    Denied(String),
    /// Somebody who signs in there has no business here.
    #[error("{0}")]
    Refused(String),
    /// The provider is not there, or does not keep to the protocol.
    #[error("{0}")]
    Broken(String),
    /// Ours: it could not be written down, or too many are signed in.
    #[error("the exchange is too busy")]
    Busy,
}

impl Failed {
    /// As the page reads it.
    const fn word(&self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Denied(_) => "denied",
            Self::Refused(_) => "refused",
            Self::Broken(_) | Self::Busy => "failed",
        }
    }
}

impl From<Unavailable> for Failed {
    fn from(_: Unavailable) -> Self {
        Self::Busy
    }
}

impl OpenId {
    /// By which rules the provider's word makes somebody: whom it made by others has to sign in anew.
    pub fn rules(&self) -> String {
        let Self { at, user_claim, roles_claim, roles, agent_claim, title: _, address: _, scopes: _ } = self;
        let OpenIdAt { issuer, client_id, .. } = at;
        format!("{issuer} {client_id} {user_claim} {roles_claim:?} {roles:?} {agent_claim:?}")
    }
}

impl SignIns {
    /// None is under way.
    pub fn new(settings: OpenId) -> Self {
        Self { provider: Provider::new(settings.at.clone()), settings, pending: Pending::default() }
    }

    /// What people call the provider.
    pub fn title(&self) -> &str {
        &self.settings.title
    }

    /// Where a browser ends its session at the provider, where that can be done.
    pub async fn way_out(&self) -> Option<String> {
        let page = format!("{}/", self.settings.address);
        self.provider.way_out(&page).await
    }

    fn return_to(&self) -> String {
        format!("{}{RETURN}", self.settings.address)
    }

    /// Whom the claims of a token make somebody here; `known` are the users of the configuration.
    fn user(&self, claims: &Map<String, Value>, agents: &[(AgentId, String)]) -> Result<Whom, Failed> {
        let OpenId { user_claim, roles_claim, roles, agent_claim, .. } = &self.settings;
        let name = match claim(claims, user_claim) {
            Some(Value::String(name)) if !name.is_empty() && name.chars().count() <= NAME_CHARS_MAX => name.clone(),
            _ => return Err(Failed::Refused(format!("the token has no claim '{user_claim}' that is a name"))),
        };
        // An address that nobody has checked may be anybody's.
        if user_claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
            return Err(Failed::Refused("the provider has not verified the e-mail address".to_owned()));
        }
        let held: Vec<&str> = match roles_claim.as_ref().and_then(|of| claim(claims, of)) {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let mut found: Vec<Role> = Vec::new();
        for role in held.into_iter().filter_map(|name| roles.get(name)).flatten() {
            if !found.contains(role) {
                found.push(*role);
            }
        }
        let agent = agent_claim.as_ref().and_then(|of| claim(claims, of)?.as_str());
        let agent = agent.and_then(|agent| agents.iter().find(|(_, name)| name == agent).cloned());
        Ok(Whom { name, roles: found, agent })
    }
}

/// Whom a token is of.
struct Whom {
    name: String,
    roles: Vec<Role>,
    agent: Option<(AgentId, String)>,
}

/// A claim by its name, or by names within each other.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    // A name with dots may be one name: `https://house.example/roles`.
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (outer, inner) = name.split_once('.')?;
    claim(claims.get(outer)?.as_object()?, inner)
}

/// From which page.
#[derive(Deserialize)]
pub struct Begin {
    to: Option<String>,
}

fn page(to: Option<&str>) -> &'static str {
    PAGES.into_iter().find(|page| Some(*page) == to).unwrap_or(PAGES[0])
}

/// `GET /sign-in/openid`: sends a browser to the provider.
pub async fn begin(State(shared): State<Shared>, query: Result<Query<Begin>, QueryRejection>) -> Response {
    let Some(openid) = &shared.openid else { return nowhere() };
    let to = page(query.ok().and_then(|Query(begin)| begin.to).as_deref());
    let begun = openid.pending.begin(to, Instant::now());
    let Some((cookie, sent)) = begun else { return back(&shared, to, Some(&Failed::Busy)) };
    match openid.provider.way_in(&openid.settings.scopes, &openid.return_to(), &sent).await {
        Ok(place) => {
            let mut response = see_other(&place);
            set_cookie(&shared, &mut response, &cookie, PENDING_FOR.as_secs());
            response
        }
        Err(error) => {
            tracing::warn!(error, "signing in by OpenID Connect cannot begin");
            back(&shared, to, Some(&Failed::Broken(error)))
        }
    }
}

/// What the provider sends with a browser that comes back.
#[derive(Deserialize)]
pub struct Returned {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    /// RFC 9207.
    iss: Option<String>,
}

/// `GET /sign-in/openid/return`.
pub async fn come_back(
    State(shared): State<Shared>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    query: Result<Query<Returned>, QueryRejection>,
) -> Response {
    let Some(openid) = &shared.openid else { return nowhere() };
    let returned = query.map(|Query(returned)| returned);
    let known = named_cookie(&headers, COOKIE).and_then(|cookie| openid.pending.end(cookie, Instant::now()));
    let to = known.as_ref().map_or(PAGES[0], |sent| sent.to);
    let signed = match (returned, known) {
        (Ok(returned), Some(sent)) => sign_in(&shared, openid, returned, &sent, peer).await,
        _ => Err(Failed::Stale),
    };
    match signed {
        Ok(cookie) => {
            let mut response = back(&shared, to, None);
            session_cookie(&shared, &mut response, &cookie, LASTS_MAX.as_secs());
            response
        }
        Err(failed) => {
            tracing::warn!(%peer, %failed, "nobody was signed in by OpenID Connect");
            back(&shared, to, Some(&failed))
        }
    }
}

async fn sign_in(
    shared: &Shared,
    openid: &SignIns,
    returned: Returned,
    sent: &Sent,
    peer: SocketAddr,
) -> Result<String, Failed> {
    let Returned { state, code, error, iss } = returned;
    if state.as_deref() != Some(sent.state.as_str()) {
        return Err(Failed::Stale);
    }
    // Another provider's answer (RFC 9207 §2.4).
    if iss.is_some_and(|iss| iss != openid.settings.at.issuer) {
        return Err(Failed::Broken("another provider has answered".to_owned()));
    }
    if let Some(error) = error {
        let error: String = error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect();
        return Err(Failed::Denied(error));
    }
    let code = code.ok_or_else(|| Failed::Broken("the provider sent no code".to_owned()))?;
    let at = shared.view.now();
    let now_s = at.as_us() / 1_000_000;
    let claims = openid.provider.claims(&code, &openid.return_to(), sent, now_s).await.map_err(Failed::Broken)?;
    let agents = shared.view.agents().await?;
    let agents: Vec<_> = agents.into_iter().map(|view| (view.id, view.name)).collect();
    let Whom { name, roles, agent } = openid.user(&claims, &agents)?;
    let made = User { name: name.clone(), password: None, openid: Some(name.clone()), codes: None, roles, agent };
    let from = peer.ip();
    let (cookie, identity) = match shared.users.sign_in_by_openid(made).await {
        Ok(signed) => signed,
        Err(Refusal::Busy) => return Err(Failed::Busy),
        Err(Refusal::Wrong | Refusal::CodeWanted | Refusal::Wait(_)) => {
            let who = format!("somebody from {from}");
            note(shared, at, who, "sign-in refused", &name, "OpenID Connect").await.map_err(|_| Failed::Busy)?;
            return Err(Failed::Refused(format!("'{name}' has no role here")));
        }
    };
    let who = Asker { identity, from: Some(from) }.to_string();
    if note(shared, at, who, "sign-in", &name, "OpenID Connect").await.is_err() {
        shared.users.sign_out(&cookie).await;
        return Err(Failed::Busy);
    }
    Ok(cookie)
}

fn nowhere() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "this exchange has no [openid]").into_response()
}

/// Back to a page of ours, which is told what went wrong.
fn back(shared: &Shared, to: &str, failed: Option<&Failed>) -> Response {
    let place = failed.map_or_else(|| to.to_owned(), |failed| format!("{to}#sign-in-{}", failed.word()));
    let mut response = see_other(&place);
    set_cookie(shared, &mut response, "", 0);
    response
}

fn see_other(place: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    match HeaderValue::from_str(place) {
        Ok(place) => _ = response.headers_mut().insert(header::LOCATION, place),
        Err(_) => *response.status_mut() = StatusCode::BAD_GATEWAY,
    }
    response
}

fn set_cookie(shared: &Shared, response: &mut Response, value: &str, lasts_s: u64) {
    let secure = if shared.secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path={BEGIN}; Max-Age={lasts_s}; HttpOnly; SameSite=Lax{secure}");
    // Hexadecimal digits and our own words are always a header's value.
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sign_ins() -> SignIns {
        let at = OpenIdAt::new("http://127.0.0.1:9/realms/house", "offhook", None, None).expect("a provider");
        let roles = [("leads", vec![Role::Supervisor, Role::Agent]), ("staff", vec![Role::Agent])];
        SignIns::new(OpenId {
            at,
            title: "House".to_owned(),
            address: "https://exchange.test".to_owned(),
            scopes: Vec::new(),
            user_claim: "email".to_owned(),
            roles_claim: Some("realm_access.roles".to_owned()),
            roles: roles.map(|(name, roles)| (name.to_owned(), roles)).into(),
            agent_claim: Some("desk.agent".to_owned()),
        })
    }

    #[test]
    fn claims_become_roles_and_an_agent_and_an_address_that_nobody_checked_is_nobodys() {
        let agents = [(AgentId(7), "ann".to_owned())];
        let user = |claims: Value| sign_ins().user(claims.as_object().expect("claims"), &agents);
        let whom = user(json!({
            "email": "ann@house.test", "email_verified": true, "desk.agent": "ann",
            "realm_access": { "roles": ["staff", "leads", "other", 7] },
        }));
        let whom = whom.expect("somebody");
        assert_eq!((whom.name.as_str(), whom.agent), ("ann@house.test", Some((AgentId(7), "ann".to_owned()))));
        assert_eq!(whom.roles, [Role::Agent, Role::Supervisor]);
        let stranger = user(json!({ "email": "x@y.test", "email_verified": true, "desk": { "agent": "bob" } }));
        let stranger = stranger.expect("somebody");
        assert!(stranger.roles.is_empty() && stranger.agent.is_none());
        for claims in [
            json!({ "email": "ann@house.test" }),
            json!({ "email": "ann@house.test", "email_verified": "true" }),
            json!({ "email": 7, "email_verified": true }),
            json!({ "email": "", "email_verified": true }),
            json!({ "sub": "7" }),
        ] {
            assert!(matches!(user(claims.clone()), Err(Failed::Refused(_))), "{claims}");
        }
    }

    #[test]
    fn one_comes_back_to_a_page_of_ours_only() {
        for (to, page_is) in
            [(Some("/desk"), "/desk"), (Some("https://evil.test/"), "/"), (Some("//evil.test"), "/"), (None, "/")]
        {
            assert_eq!(page(to), page_is);
        }
    }
}
