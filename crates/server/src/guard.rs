//! Who asks, and whether they may; and the headers that each answer carries.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::listen::Peer;
use crate::problem::Problem;
use crate::users::{Identity, Needed, Users, needed};

/// The cookie of a session.
pub const COOKIE: &str = "offhook-session";

/// The session's cookie, where the request has one.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    named_cookie(headers, COOKIE)
}

/// A cookie, by its name.
pub fn named_cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

/// The token that a request shows, where it shows one.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim())
}

/// Who asks.
///
/// # Errors
/// 401 where they do not show it, or not rightly; 403 where a page of another site sends a command in their name.
pub fn identify(users: &Users, method: &Method, headers: &HeaderMap) -> Result<Identity, Problem> {
    if headers.contains_key(header::AUTHORIZATION) {
        return bearer(headers)
            .and_then(|token| users.by_token(token))
            .or_else(|| users.by_nothing())
            .ok_or_else(refused);
    }
    if let Some(identity) = cookie(headers).and_then(|cookie| users.by_cookie(cookie)) {
        if method != Method::GET && method != Method::HEAD && !from_own_page(headers) {
            let advice = "a command with a session's cookie comes from a page of this exchange only";
            return Err(Problem::new(StatusCode::FORBIDDEN, advice));
        }
        return Ok(identity);
    }
    users.by_nothing().ok_or_else(refused)
}

/// Whether a browser says that its page is ours (Fetch Metadata, or Origin where it does not know that).
pub fn from_own_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match (text(HeaderName::from_static("sec-fetch-site")), text(header::ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.is_some() && authority == text(header::HOST)
        }
        (None, None) => false,
    }
}

/// Lets a request through whose sender has the right that its route needs, and tells the route who that is.
pub async fn authorise(State(users): State<Arc<Users>>, request: Request, next: Next) -> Response {
    match identify(&users, request.method(), request.headers()) {
        Ok(identity) => admit(identity, request, next).await,
        Err(problem) => problem.into_response(),
    }
}

/// As [`authorise`], for somebody who is known.
pub async fn admit(identity: Identity, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    match needed(request.method(), path) {
        Needed::Right(right) if identity.rights.has(right) => {}
        Needed::Right(right) => {
            let detail = format!("{} lacks the right '{}'", identity.who, right.name());
            return Problem::new(StatusCode::FORBIDDEN, detail).into_response();
        }
        // The route itself says that it does not take it.
        Needed::OtherMethod => {}
        Needed::Unknown => {
            tracing::error!(path, "nobody has said who may ask this");
            return Problem::new(StatusCode::FORBIDDEN, "nobody may ask this").into_response();
        }
    }
    let from = request.extensions().get::<ConnectInfo<Peer>>().map(|ConnectInfo(peer)| peer.0.ip());
    request.extensions_mut().insert(Asker { identity, from });
    next.run(request).await
}

/// Who asks, and from where.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Who.
    pub identity: Identity,
    /// The address that the request came from.
    pub from: Option<IpAddr>,
}

impl core::fmt::Display for Asker {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.identity.who)?;
        self.from.map_or(Ok(()), |from| write!(f, " from {from}"))
    }
}

/// The answer to a request that does not show who sends it.
pub fn refused() -> Problem {
    let advice = "sign in, or send a token as 'Authorization: Bearer TOKEN'";
    Problem::new(StatusCode::UNAUTHORIZED, advice)
}

/// Where nobody has to say who they are, refuses a request that names us by anything but `localhost` or an address: a page of
/// somebody else's site, whose name was made to point at this machine, must not read the exchange (DNS rebinding).
pub async fn own_name(State(users): State<Arc<Users>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !users.is_open() || is_local_name(host) {
        return next.run(request).await;
    }
    let advice = "without a token or a user this server answers to 'localhost' and to addresses only";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, advice).into_response()
}

fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Headers of each answer: nothing foreign is loaded, nothing is framed, nothing is guessed.
pub async fn headers(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        // A page may have a policy of its own.
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use offhook_units::Tick;

    use super::*;

    fn with(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn admitting(token: Option<&str>) -> Users {
        Users::new(token, Vec::new(), Vec::new(), None, Tick::ZERO).expect("randomness").0
    }

    #[test]
    fn only_the_exact_token_is_admitted() {
        let users = admitting(Some("s3cret-token-of-16"));
        let admits = |headers: &HeaderMap| identify(&users, &Method::GET, headers).is_ok();
        for (header, admitted) in [
            ("Bearer s3cret-token-of-16", true),
            ("bearer s3cret-token-of-16", true),
            ("Bearer s3cret-token-of-1", false),
            ("Bearer s3cret-token-of-16s3cret-token-of-16", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic s3cret-token-of-16", false),
        ] {
            assert_eq!(admits(&with(&[("authorization", header)])), admitted, "{header}");
        }
        assert!(!admits(&HeaderMap::new()));
        let open = admitting(None);
        assert!(identify(&open, &Method::POST, &HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_command_is_taken_from_our_own_page_only() {
        for (headers, own) in [
            (vec![("sec-fetch-site", "same-origin"), ("host", "a.test")], true),
            (vec![("sec-fetch-site", "same-site"), ("origin", "http://a.test"), ("host", "a.test")], false),
            (vec![("sec-fetch-site", "none")], false),
            (vec![("origin", "https://a.test:8443"), ("host", "a.test:8443")], true),
            (vec![("origin", "https://b.test"), ("host", "a.test")], false),
            (vec![("origin", "null"), ("host", "null")], false),
            (vec![("host", "a.test")], false),
        ] {
            assert_eq!(from_own_page(&with(&headers)), own, "{headers:?}");
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        assert_eq!(cookie(&with(&[("cookie", "a=b; offhook-session=f00; c=d")])), Some("f00"));
        assert_eq!(cookie(&with(&[("cookie", "xoffhook-session=f00")])), None);
    }

    #[test]
    fn a_foreign_name_is_not_ours() {
        for (host, local) in [
            ("localhost:8080", true),
            ("127.0.0.1", true),
            ("[::1]:8080", true),
            ("192.0.2.7:80", true),
            ("evil.example:8080", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            assert_eq!(is_local_name(host), local, "{host}");
        }
    }
}
