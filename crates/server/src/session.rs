//! Signing in and out.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use offhook_units::Tick;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{Shared, bad_request};
use crate::archive::AuditEntry;
use crate::guard::{self, Asker, COOKIE};
use crate::listen::Peer;
use crate::openid;
use crate::problem::Problem;
use crate::users::{Identity, LASTS_MAX, PASSWORD_BYTES_MAX, Refusal, Way};

/// The type of the problem that a code is asked for.
const CODE_WANTED: &str = "urn:offhook:code-wanted";
/// Longest name of a user, in characters.
const NAME_CHARS_MAX: usize = 128;

/// Who asks, as the page is told.
#[derive(JsonSchema, Serialize)]
pub struct Whoami {
    /// Whether anybody is signed in, or shows a token.
    signed_in: bool,
    /// `user ann`, `token wallboard`.
    who: Option<String>,
    /// What they are in the service centre.
    roles: Vec<&'static str>,
    /// What they may do.
    rights: Vec<&'static str>,
    /// Which agent they are.
    agent: Option<Own>,
    /// A session says who they are: it can be ended.
    session: bool,
    /// How one can show who one is: `password`, `openid`, `token`.
    ways: Vec<&'static str>,
    /// Where one can sign in beside here.
    provider: Option<SignInAt>,
}

/// A provider of OpenID Connect.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "SignInProvider")]
struct SignInAt {
    /// What people call it.
    title: String,
    /// Where a browser begins; `?to=/desk` says to which page it comes back.
    path: &'static str,
}

/// One's session is over.
#[derive(JsonSchema, Serialize)]
pub struct SignedOut {
    /// Where a browser ends its session at the provider, too.
    provider: String,
}

/// An agent.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "OwnAgent")]
struct Own {
    id: String,
    name: String,
}

fn whoami(shared: &Shared, identity: Option<&Identity>) -> Whoami {
    Whoami {
        signed_in: identity.is_some(),
        who: identity.map(|identity| identity.who.to_string()),
        roles: identity.into_iter().flat_map(|identity| identity.roles.iter().map(|role| role.name())).collect(),
        rights: identity.map(|identity| identity.rights.names()).unwrap_or_default(),
        agent: identity
            .and_then(|identity| identity.agent.as_ref())
            .map(|(id, name)| Own { id: id.to_string(), name: name.clone() }),
        session: identity.is_some_and(|identity| identity.lease.is_some()),
        ways: shared.users.ways(),
        provider: shared
            .openid
            .as_ref()
            .map(|openid| SignInAt { title: openid.title().to_owned(), path: openid::BEGIN }),
    }
}

/// `GET /api/v1/session`, which everybody may ask.
pub async fn show(State(shared): State<Shared>, headers: HeaderMap) -> Json<Whoami> {
    let identity = guard::identify(&shared.users, &Method::GET, &headers).ok();
    Json(whoami(&shared, identity.as_ref()))
}

/// Who one is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The user's name.
    #[schemars(length(max = NAME_CHARS_MAX))]
    name: String,
    /// The password.
    #[schemars(length(max = PASSWORD_BYTES_MAX))]
    password: String,
    /// Of the authenticator, where the user has one.
    code: Option<String>,
}

/// `POST /api/v1/session`: with name and password, and the code of the authenticator where the user has one.
pub async fn sign_in(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Result<Json<SignIn>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(SignIn { name, password, code }) =
        body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    if name.chars().count() > NAME_CHARS_MAX || password.chars().count() > PASSWORD_BYTES_MAX {
        return Err(bad_request("the name or the password is too long"));
    }
    // A page of another site must not sign somebody in as somebody else.
    if headers.contains_key(header::ORIGIN) && !guard::from_own_page(&headers) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "one signs in from a page of this exchange"));
    }
    let from = peer.0.ip();
    let at = shared.view.now();
    let signed = shared.users.sign_in(&name, password, code.as_deref(), from, at.as_us() / 1_000_000).await;
    let (cookie, identity) = match signed {
        Ok(signed) => signed,
        Err(Refusal::Wrong) => {
            // What is typed in the wrong field is often a password.
            let name = if shared.users.knows(&name) { &name } else { "that is not known" };
            note(&shared, at, format!("somebody from {from}"), "sign-in refused", name, "").await?;
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "name, password or code is wrong"));
        }
        Err(Refusal::CodeWanted) => {
            let detail = "send the code of your authenticator, too";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, detail).of_type(CODE_WANTED));
        }
        Err(Refusal::Wait(wait)) => {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let detail = format!("too many attempts failed: the next one is looked at in {seconds} s");
            let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response();
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            return Ok(response);
        }
        Err(Refusal::Busy) => {
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many sign in at once"));
        }
    };
    let asker = Asker { identity, from: Some(from) };
    if let Err(error) = note(&shared, at, asker.to_string(), "sign-in", &name, "").await {
        shared.users.sign_out(&cookie).await;
        return Err(error);
    }
    let shown = whoami(&shared, Some(&asker.identity));
    let mut response = Json(Whoami { session: true, ..shown }).into_response();
    session_cookie(&shared, &mut response, &cookie, LASTS_MAX.as_secs());
    Ok(response)
}

/// `DELETE /api/v1/session`: also where there is none (any more). Who signed in at a provider is told where to end that session, too.
pub async fn sign_out(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let cookie = guard::cookie(&headers);
    if cookie.is_some() && !guard::from_own_page(&headers) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "one signs out from a page of this exchange"));
    }
    let ended = match cookie {
        Some(cookie) => shared.users.sign_out(cookie).await,
        None => None,
    };
    let mut provider = None;
    if let Some((identity, way)) = ended {
        let asker = Asker { identity, from: Some(peer.0.ip()) };
        let name = asker.identity.who.trim_start_matches("user ").to_owned();
        note(&shared, shared.view.now(), asker.to_string(), "sign-out", &name, "").await?;
        if let Some(openid) = shared.openid.as_ref().filter(|_| way != Way::Password) {
            provider = openid.way_out().await;
        }
    }
    let mut response = match provider {
        Some(provider) => Json(SignedOut { provider }).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    };
    session_cookie(&shared, &mut response, "", 0);
    Ok(response)
}

/// Gives a browser the cookie of its session.
pub fn session_cookie(shared: &Shared, response: &mut Response, value: &str, lasts_s: u64) {
    let secure = if shared.secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{secure}");
    // Hexadecimal digits and our own words are always a header's value.
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Writes down that somebody came or went.
///
/// # Errors
/// 503: it could not be written down.
pub async fn note(shared: &Shared, at: Tick, who: String, action: &str, user: &str, how: &str) -> Result<(), Problem> {
    let (action, detail) = (action.to_owned(), how.to_owned());
    let entry = AuditEntry { at, who, action, subject: format!("user {user}"), detail };
    Ok(shared.view.note(entry).await?)
}

/// Writes down what somebody is about to do to what; it may be done once this has answered.
///
/// # Errors
/// 503: it could not be written down.
pub async fn audited(
    shared: &Shared,
    asker: &Asker,
    action: &str,
    subject: String,
    detail: String,
) -> Result<(), Problem> {
    let entry =
        AuditEntry { at: shared.view.now(), who: asker.to_string(), action: action.to_owned(), subject, detail };
    Ok(shared.view.note(entry).await?)
}
