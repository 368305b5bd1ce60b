//! Who may ask: bearer token, or loopback only; and the headers that each answer carries.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// The bearer token, where one is configured.
#[derive(Clone)]
pub struct Token(Option<Arc<str>>);

impl Token {
    /// `None`: everybody who reaches the listener may ask; the listener is then on loopback.
    pub fn new(token: Option<String>) -> Self {
        Self(token.map(Into::into))
    }

    /// Whether an Authorization header's value carries the token. Takes the same time wherever the first wrong byte is.
    pub fn admits(&self, authorization: Option<&HeaderValue>) -> bool {
        let Some(token) = &self.0 else { return true };
        let Some(given) = authorization.and_then(|value| value.to_str().ok()) else { return false };
        let Some((scheme, given)) = given.split_once(' ') else { return false };
        let (given, token) = (given.trim().as_bytes(), token.as_bytes());
        let mut difference = u8::from(given.len() != token.len());
        for (at, byte) in given.iter().enumerate() {
            difference |= byte ^ token[at % token.len()];
        }
        scheme.eq_ignore_ascii_case("bearer") && difference == 0
    }
}

/// Lets a request through that carries the token.
pub async fn authorise(State(token): State<Token>, request: Request, next: Next) -> Response {
    if token.admits(request.headers().get(header::AUTHORIZATION)) {
        return next.run(request).await;
    }
    refused()
}

/// The answer to a request that carries no token, or another one.
pub fn refused() -> Response {
    Problem::new(StatusCode::UNAUTHORIZED, "send the token of [http] as 'Authorization: Bearer TOKEN'").into_response()
}

/// Without a token, refuses a request that names us by anything but `localhost` or an address: a page of somebody else's
/// site, whose name was made to point at this machine, must not read the exchange (DNS rebinding).
pub async fn own_name(State(token): State<Token>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if token.0.is_some() || is_local_name(host) {
        return next.run(request).await;
    }
    let advice = "without a token this server answers to 'localhost' and to addresses only";
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
    use super::*;

    #[test]
    fn only_the_exact_token_is_admitted() {
        let token = Token::new(Some("s3cret-token-of-16".to_owned()));
        for (header, admitted) in [
            ("Bearer s3cret-token-of-16", true),
            ("bearer s3cret-token-of-16", true),
            ("Bearer s3cret-token-of-1", false),
            ("Bearer s3cret-token-of-16s3cret-token-of-16", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic s3cret-token-of-16", false),
        ] {
            assert_eq!(token.admits(Some(&HeaderValue::from_static(header))), admitted, "{header}");
        }
        assert!(!token.admits(None));
        assert!(Token::new(None).admits(None));
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
