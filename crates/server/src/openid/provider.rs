//! The provider: what it says of itself (OpenID Connect Discovery 1.0), its keys, and what it gives for a code (RFC 6749 §4.1.3).

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio_rustls::rustls::ClientConfig;

use super::pending::Sent;
use super::token::{self, Expected, Keys, TokenFault};
use crate::webhooks::{Target, tls_client};

/// How long what a provider says of itself is taken for true.
const KNOWN_FOR: Duration = Duration::from_hours(1);
/// How soon its keys are fetched again because one is missing.
const KEYS_REST: Duration = Duration::from_secs(30);
/// How soon it is asked again what it is, where it did not say.
const FAILED_REST: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Where it says what it is, below the issuer.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// A client's secret, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A provider, and who we are there.
#[derive(Clone)]
pub struct OpenIdAt {
    /// Its name: where it is, and what its tokens say.
    pub issuer: String,
    /// Our name there.
    pub client_id: String,
    /// Our secret there; a public client has none.
    pub secret: Option<Secret>,
    tls: Option<Arc<ClientConfig>>,
}

impl PartialEq for OpenIdAt {
    fn eq(&self, other: &Self) -> bool {
        let Self { issuer, client_id, secret, tls: _ } = self;
        *issuer == other.issuer && *client_id == other.client_id && *secret == other.secret
    }
}

impl core::fmt::Debug for OpenIdAt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { issuer, client_id, secret, tls: _ } = self;
        let mut shown = f.debug_struct("OpenIdAt");
        shown.field("issuer", issuer).field("client_id", client_id).field("secret", secret).finish_non_exhaustive()
    }
}

impl OpenIdAt {
    /// Certificates are to be signed by one of `authorities` (a file of certificates), those that the system trusts where none is named.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn new(
        issuer: &str,
        client_id: &str,
        secret: Option<String>,
        authorities: Option<&Path>,
    ) -> Result<Self, String> {
        let tls = if issuer.starts_with("https://") { Some(tls_client(authorities)?) } else { None };
        let target = Target::trusting(issuer, || tls.clone().ok_or_else(String::new))?;
        if target.is_in_clear() {
            return Err("whoever stands on the way could sign in as anybody: it begins with https://".to_owned());
        }
        if issuer.contains(['?', '#']) {
            return Err("an issuer has neither ? nor #".to_owned());
        }
        Ok(Self { issuer: issuer.to_owned(), client_id: client_id.to_owned(), secret: secret.map(Secret), tls })
    }

    fn target(&self, url: &str) -> Result<Target, String> {
        let here = || self.tls.clone().ok_or_else(|| "it goes from http to https".to_owned());
        let target = Target::trusting(url, here).map_err(|error| format!("{url}: {error}"))?;
        if target.is_in_clear() {
            return Err(format!("{url} is not reached by https"));
        }
        Ok(target)
    }
}

/// What it says of itself, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    end_session_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

#[derive(Debug, Default)]
struct Known {
    metadata: Option<(Instant, Arc<Metadata>)>,
    keys: Option<(Instant, Arc<Keys>)>,
    /// It did not say what it is: whoever else wants to sign in does not wait for that again.
    failed: Option<(Instant, String)>,
}

/// The answer to a code.
#[derive(Deserialize)]
struct Granted {
    id_token: String,
}

/// A provider and what is known of it.
#[derive(Debug)]
pub struct Provider {
    at: OpenIdAt,
    known: Mutex<Known>,
}

impl Provider {
    /// Nothing is known yet.
    pub fn new(at: OpenIdAt) -> Self {
        Self { at, known: Mutex::default() }
    }

    /// Where a browser goes to sign in.
    ///
    /// # Errors
    /// What is wrong with the provider, for the log.
    pub async fn way_in(&self, scopes: &[String], return_to: &str, sent: &Sent) -> Result<String, String> {
        let metadata = self.metadata().await?;
        let scope = ["openid"].into_iter().chain(scopes.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
        let asked = [
            ("response_type", "code"),
            ("client_id", &self.at.client_id),
            ("redirect_uri", return_to),
            ("scope", &scope),
            ("state", &sent.state),
            ("nonce", &sent.nonce),
            ("code_challenge", &sent.challenge()),
            ("code_challenge_method", "S256"),
        ];
        Ok(with_query(&metadata.authorization_endpoint, &asked))
    }

    /// Where a browser ends its session there (OpenID Connect RP-Initiated Logout 1.0), and comes back to `page`.
    pub async fn way_out(&self, page: &str) -> Option<String> {
        let metadata = self.metadata().await.ok()?;
        let asked = [("client_id", self.at.client_id.as_str()), ("post_logout_redirect_uri", page)];
        metadata.end_session_endpoint.as_ref().map(|place| with_query(place, &asked))
    }

    /// What the ID token says that it gives for a code.
    ///
    /// # Errors
    /// What is wrong with the provider or its token, for the log.
    pub async fn claims(
        &self,
        code: &str,
        return_to: &str,
        sent: &Sent,
        now_s: u64,
    ) -> Result<Map<String, Value>, String> {
        let metadata = self.metadata().await?;
        let token = self.redeem(&metadata, code, return_to, sent).await?;
        let OpenIdAt { issuer, client_id, .. } = &self.at;
        let expected = Expected { issuer, client_id, nonce: &sent.nonce, now_s };
        let keys = self.keys(&metadata, false).await?;
        let claims = match token::claims(&token, &keys, expected) {
            // It has changed its keys.
            Err(TokenFault::UnknownKey) => token::claims(&token, &*self.keys(&metadata, true).await?, expected),
            judged => judged,
        };
        claims.map_err(|fault| format!("the ID token was not taken: {fault}"))
    }

    async fn redeem(&self, metadata: &Metadata, code: &str, return_to: &str, sent: &Sent) -> Result<String, String> {
        let client_id = self.at.client_id.as_str();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", return_to),
            ("code_verifier", &sent.verifier),
        ];
        let methods = &metadata.token_endpoint_auth_methods_supported;
        let takes = |method: &str| methods.iter().any(|known| known == method);
        // Where it does not say, it takes `client_secret_basic` (Discovery §3).
        let in_body = takes("client_secret_post") && !takes("client_secret_basic");
        let mut authorization = None;
        match &self.at.secret {
            Some(Secret(secret)) if in_body => form.extend([("client_id", client_id), ("client_secret", secret)]),
            Some(Secret(secret)) => {
                // RFC 6749 §2.3.1: both are form-encoded first.
                let pair = format!("{}:{}", encoded(client_id), encoded(secret));
                authorization = Some(format!("Basic {}", STANDARD.encode(pair)));
            }
            None => form.push(("client_id", client_id)),
        }
        let mut request =
            Request::builder().method(Method::POST).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let granted: Granted = self.fetch(&metadata.token_endpoint, request, pairs(&form)).await?;
        Ok(granted.id_token)
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, String> {
        let mut known = self.known.lock().await;
        if let Some((at, metadata)) = &known.metadata
            && at.elapsed() < KNOWN_FOR
        {
            return Ok(Arc::clone(metadata));
        }
        if let Some((at, why)) = &known.failed
            && at.elapsed() < FAILED_REST
        {
            return Err(why.clone());
        }
        match self.discover().await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                known.metadata = Some((Instant::now(), Arc::clone(&metadata)));
                known.failed = None;
                Ok(metadata)
            }
            Err(why) => {
                known.failed = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }

    async fn discover(&self) -> Result<Metadata, String> {
        let place = format!("{}{WELL_KNOWN}", self.at.issuer.trim_end_matches('/'));
        let metadata: Metadata = self.fetch(&place, Request::builder(), String::new()).await?;
        // Discovery §4.3: otherwise one provider could pass for another.
        if metadata.issuer != self.at.issuer {
            return Err(format!("the provider calls itself '{}': write that as issuer", metadata.issuer));
        }
        Ok(metadata)
    }

    /// Its keys; `anew` where one is missing among them.
    async fn keys(&self, metadata: &Metadata, anew: bool) -> Result<Arc<Keys>, String> {
        let mut known = self.known.lock().await;
        let good_for = if anew { KEYS_REST } else { KNOWN_FOR };
        if let Some((at, keys)) = &known.keys
            && at.elapsed() < good_for
        {
            return Ok(Arc::clone(keys));
        }
        let keys: Arc<Keys> = Arc::new(self.fetch(&metadata.jwks_uri, Request::builder(), String::new()).await?);
        known.keys = Some((Instant::now(), Arc::clone(&keys)));
        Ok(keys)
    }

    async fn fetch<T: DeserializeOwned>(
        &self,
        url: &str,
        request: axum::http::request::Builder,
        body: String,
    ) -> Result<T, String> {
        let target = self.at.target(url)?;
        let length = body.len();
        let request = request.header(header::ACCEPT, "application/json").header(header::CONTENT_LENGTH, length);
        let request = target.addressed(request).body(Body::from(body)).map_err(|error| error.to_string())?;
        let answer = tokio::time::timeout(ANSWER_WITHIN, target.ask(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs())));
        let (status, body) = answer.map_err(|error| format!("{url}: {error}"))?;
        if status != StatusCode::OK {
            // RFC 6749 §5.2: its error is a word; what else it says may be somebody's.
            let said: Option<Value> = serde_json::from_slice(&body).ok();
            let word = said.as_ref().and_then(|said| said["error"].as_str()).unwrap_or_default();
            let word: String = word.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(40).collect();
            return Err(format!("{url} answered {} {word}", status.as_u16()));
        }
        serde_json::from_slice(&body).map_err(|_| format!("{url} answered with something else"))
    }
}

/// A text within a form or a query (RFC 3986 §2.3: what stays as it is).
fn encoded(text: &str) -> String {
    use core::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn pairs(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
}

fn with_query(place: &str, asked: &[(&str, &str)]) -> String {
    let sign = if place.contains('?') { '&' } else { '?' };
    format!("{place}{sign}{}", pairs(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_reached_by_https_and_its_secret_is_never_shown() {
        let at = OpenIdAt::new("http://127.0.0.1:9/x", "offhook", Some("staple".to_owned()), None).expect("loopback");
        assert!(!format!("{at:?}").contains("staple"));
        for (issuer, why) in [
            ("http://id.example.com", "https://"),
            ("id.example.com", "begins neither"),
            ("http://127.0.0.1:9/?x", "neither ? nor #"),
        ] {
            let error = OpenIdAt::new(issuer, "offhook", None, None).expect_err(issuer);
            assert!(error.contains(why), "{issuer}: {error}");
        }
        assert!(at.target("http://id.example.com/keys").expect_err("in clear").contains("not reached by https"));
    }

    #[test]
    fn what_is_asked_is_encoded() {
        let place = with_query("https://id.test/auth?x=1", &[("scope", "openid e"), ("state", "a&b=c%ä")]);
        assert_eq!(place, "https://id.test/auth?x=1&scope=openid%20e&state=a%26b%3Dc%25%C3%A4");
    }
}
