//! Commands that may be sent again: one with an `Idempotency-Key` is done once, and sent again it is answered as before
//! (draft-ietf-httpapi-idempotency-key-header).
#![expect(clippy::disallowed_types, reason = "an edge: keys are shared by the requests")]
#![expect(clippy::disallowed_methods, reason = "an edge: keys are forgotten with time")]

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Extension;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::api::{BODY_BYTES_MAX, bad_request};
use crate::guard::Asker;
use crate::metrics::Metrics;
use crate::problem::Problem;

/// Answers that are kept at once; one more, and the oldest is forgotten.
pub const KEYS_MAX: usize = 10_000;
/// Bytes of kept answers in all; what is over, and the oldest are forgotten.
pub const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long an answer is kept.
pub const KEPT_FOR: Duration = Duration::from_hours(24);
/// Longest key, in characters.
pub const KEY_CHARS_MAX: usize = 128;
/// Longest answer that is kept; commands answer with less.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// The header that carries the key.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is one that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Who sent a key, and the key: nobody has to care for the keys of others.
type Known = (Arc<str>, String);

/// An answer as it was given.
#[derive(Debug, Clone)]
struct Kept {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Debug)]
struct Entry {
    /// SHA-256 of what was asked for.
    asked: [u8; 32],
    /// None while it is being done.
    answer: Option<Kept>,
}

#[derive(Debug, Default)]
struct Keys {
    entries: BTreeMap<Known, Entry>,
    /// Those that are done, oldest first.
    done: VecDeque<(Known, Instant)>,
    bytes: usize,
}

impl Keys {
    fn forget_oldest(&mut self) {
        let Some((oldest, _)) = self.done.pop_front() else { return };
        let kept = self.entries.remove(&oldest).and_then(|entry| entry.answer);
        self.bytes -= kept.map_or(0, |kept| kept.body.len());
    }

    fn forget_expired(&mut self, now: Instant) {
        while self.done.front().is_some_and(|(_, at)| now.saturating_duration_since(*at) >= KEPT_FOR) {
            self.forget_oldest();
        }
    }
}

/// What becomes of a request with a key.
#[derive(Debug)]
enum Begun {
    /// It is to be done.
    New,
    /// It was done.
    Before(Kept),
    /// It is being done.
    Underway,
    /// Something else was done with this key.
    Other,
    /// Too many are being done.
    Full,
}

/// All keys of late.
#[derive(Debug, Default)]
pub struct Idempotency {
    keys: Mutex<Keys>,
    replayed: AtomicU64,
}

impl Idempotency {
    /// Adds what is counted here.
    pub fn register(self: &Arc<Self>, metrics: &mut Metrics) {
        let gauge = |read: fn(&Keys) -> usize| {
            let this = Arc::clone(self);
            move || read(&this.keys.lock().unwrap_or_else(PoisonError::into_inner)) as f64
        };
        let help = "Idempotency keys whose answers are kept";
        metrics.gauge_fn("offhook_http_idempotency_keys", help, &[], gauge(|keys| keys.entries.len()));
        let help = "Bytes of answers kept for idempotency keys";
        metrics.gauge_fn("offhook_http_idempotency_bytes", help, &[], gauge(|keys| keys.bytes));
        let this = Arc::clone(self);
        let help = "Commands that were sent again and answered as before";
        let replayed = move || this.replayed.load(Ordering::Relaxed);
        metrics.counter_fn("offhook_http_idempotent_replays", help, &[], replayed);
    }

    fn begin(&self, known: &Known, asked: [u8; 32], now: Instant) -> Begun {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.forget_expired(now);
        match keys.entries.get(known) {
            Some(entry) if entry.asked != asked => return Begun::Other,
            Some(Entry { answer: None, .. }) => return Begun::Underway,
            Some(Entry { answer: Some(kept), .. }) => return Begun::Before(kept.clone()),
            None => {}
        }
        if keys.entries.len() >= KEYS_MAX {
            keys.forget_oldest();
        }
        if keys.entries.len() >= KEYS_MAX {
            return Begun::Full;
        }
        keys.entries.insert(known.clone(), Entry { asked, answer: None });
        Begun::New
    }

    /// It is done; without an answer that is to be kept, it may be tried again.
    fn end(&self, known: Known, answer: Option<Kept>, now: Instant) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(kept) = answer else {
            keys.entries.remove(&known);
            return;
        };
        keys.bytes += kept.body.len();
        if let Some(entry) = keys.entries.get_mut(&known) {
            entry.answer = Some(kept);
        }
        keys.done.push_back((known, now));
        while keys.bytes > KEPT_BYTES_MAX {
            keys.forget_oldest();
        }
    }
}

/// Gives a key back whose command has come to nothing, a panic for instance.
struct Underway {
    all: Arc<Idempotency>,
    known: Option<Known>,
}

impl Drop for Underway {
    fn drop(&mut self) {
        if let Some(known) = self.known.take() {
            self.all.end(known, None, Instant::now());
        }
    }
}

/// The key of a request.
fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all(KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let text = key.to_str().unwrap_or_default();
    let sound = (1..=KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if keys.next().is_some() || !sound {
        return Err(bad_request(format!(
            "Idempotency-Key is one key of 1 to {KEY_CHARS_MAX} visible ASCII characters"
        )));
    }
    Ok(Some(text.to_owned()))
}

/// What a request asks for, so that another one with the same key is noticed.
fn asked(request: &Request, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    for part in [request.method().as_str().as_bytes(), target.as_bytes(), body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Lets a command with a key through once.
pub async fn once(
    State(all): State<Arc<Idempotency>>,
    Extension(asker): Extension<Asker>,
    request: Request,
    next: Next,
) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let key = match key_of(request.headers()) {
        Ok(Some(key)) => key,
        Ok(None) => return next.run(request).await,
        Err(problem) => return problem.into_response(),
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        let detail = format!("a body has at most {BODY_BYTES_MAX} bytes");
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).into_response();
    };
    let request = Request::from_parts(parts, Body::from(body.clone()));
    let known = (Arc::clone(&asker.identity.who), key);
    match all.begin(&known, asked(&request, &body), Instant::now()) {
        Begun::New => {}
        Begun::Before(kept) => {
            all.replayed.fetch_add(1, Ordering::Relaxed);
            let mut response = (kept.status, kept.headers, kept.body).into_response();
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            return response;
        }
        Begun::Underway => {
            let detail = "the command with this Idempotency-Key is being done: ask again in a moment";
            return Problem::new(StatusCode::CONFLICT, detail).into_response();
        }
        Begun::Other => {
            let detail = "another command was sent with this Idempotency-Key: each has its own";
            return Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).into_response();
        }
        Begun::Full => {
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many commands are being done").into_response();
        }
    }
    let underway = Underway { all, known: Some(known) };
    // It is done to its end, also where whoever sent it is gone: they will ask what came of it.
    let done = tokio::spawn(async move { keep(underway, next.run(request).await).await });
    done.await.unwrap_or_else(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the command could not be done").into_response()
    })
}

/// Keeps an answer, unless it says that nothing was decided.
async fn keep(mut underway: Underway, response: Response) -> Response {
    if response.status().is_server_error() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, ANSWER_BYTES_MAX).await else {
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer is too long").into_response();
    };
    let kept = Kept { status: parts.status, headers: parts.headers.clone(), body: body.clone() };
    if let Some(known) = underway.known.take() {
        underway.all.end(known, Some(kept), Instant::now());
    }
    Response::from_parts(parts, Body::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(key: &str) -> Known {
        ("user ann".into(), key.to_owned())
    }

    fn kept(bytes: usize) -> Kept {
        Kept { status: StatusCode::OK, headers: HeaderMap::new(), body: vec![0; bytes].into() }
    }

    #[test]
    fn a_command_is_new_then_underway_then_done_and_another_one_is_noticed() {
        let (all, now) = (Idempotency::default(), Instant::now());
        assert!(matches!(all.begin(&known("k"), [1; 32], now), Begun::New));
        assert!(matches!(all.begin(&known("k"), [1; 32], now), Begun::Underway));
        assert!(matches!(all.begin(&known("k"), [2; 32], now), Begun::Other));
        assert!(matches!(all.begin(&("user bob".into(), "k".to_owned()), [2; 32], now), Begun::New));
        all.end(known("k"), Some(kept(3)), now);
        assert!(matches!(all.begin(&known("k"), [1; 32], now), Begun::Before(kept) if kept.body.len() == 3));
        assert!(matches!(all.begin(&known("k"), [1; 32], now + KEPT_FOR), Begun::New));
        all.end(known("k"), None, now);
        assert!(matches!(all.begin(&known("k"), [1; 32], now), Begun::New), "nothing was decided");
    }

    #[test]
    fn no_more_is_kept_than_the_limits_and_the_oldest_goes_first() {
        let (all, now) = (Idempotency::default(), Instant::now());
        for n in 0..=KEYS_MAX {
            assert!(matches!(all.begin(&known(&n.to_string()), [0; 32], now), Begun::New), "{n}");
            all.end(known(&n.to_string()), Some(kept(1)), now);
        }
        assert!(matches!(all.begin(&known("1"), [0; 32], now), Begun::Before(_)));
        assert!(matches!(all.begin(&known("0"), [0; 32], now), Begun::New));
        {
            let keys = all.keys.lock().expect("no panic");
            assert_eq!((keys.entries.len(), keys.bytes), (KEYS_MAX, KEYS_MAX - 1));
        }
        all.end(known("0"), Some(kept(KEPT_BYTES_MAX)), now);
        let keys = all.keys.lock().expect("no panic");
        assert_eq!((keys.entries.len(), keys.bytes), (1, KEPT_BYTES_MAX));
    }

    #[test]
    fn where_all_are_underway_one_more_is_refused() {
        let (all, now) = (Idempotency::default(), Instant::now());
        for n in 0..KEYS_MAX {
            assert!(matches!(all.begin(&known(&n.to_string()), [0; 32], now), Begun::New));
        }
        assert!(matches!(all.begin(&known("more"), [0; 32], now), Begun::Full));
    }
}
