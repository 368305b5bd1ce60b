//! How often somebody may ask: each token, each session and each address has a quota of its own, told in the head of each answer
//! (draft-ietf-httpapi-ratelimit-headers).
#![expect(clippy::disallowed_types, reason = "an edge: quotas are shared by the requests")]
#![expect(clippy::disallowed_methods, reason = "an edge: quotas are filled by time")]

use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::guard;
use crate::listen::Peer;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::users::Users;

/// Requests a second, over [`WINDOW`], where the configuration does not say.
pub const REQUESTS_PER_S_DEFAULT: u32 = 50;
/// So much of it may be asked for at once.
pub const WINDOW: Duration = Duration::from_secs(10);
/// Askers that are counted at once; one more, and those who have asked least of late are forgotten.
pub const ASKERS_MAX: usize = 10_000;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Whose quota a request is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Token([u8; 32]),
    Session([u8; 32]),
    Source(IpAddr),
}

/// Each as metrics call it.
const KINDS: [&str; 3] = ["token", "session", "source"];

impl Whose {
    const fn kind(self) -> usize {
        match self {
            Self::Token(_) => 0,
            Self::Session(_) => 1,
            Self::Source(_) => 2,
        }
    }
}

/// What is left of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Left {
    requests: u32,
    /// Until all of it is there again.
    full_in: Duration,
    /// Until the next request is looked at; zero for this one.
    wait: Duration,
}

/// All quotas.
#[derive(Debug)]
pub struct Rates {
    per_s: u32,
    /// When each quota will be whole again (GCRA's theoretical arrival time).
    whole_at: Mutex<BTreeMap<Whose, Instant>>,
    refused: [AtomicU64; KINDS.len()],
}

impl Rates {
    /// Nobody has asked yet.
    pub fn new(per_s: u32) -> Self {
        Self { per_s: per_s.max(1), whole_at: Mutex::default(), refused: Default::default() }
    }

    /// Adds what is counted here.
    pub fn register(self: &Arc<Self>, metrics: &mut Metrics) {
        for (at, kind) in KINDS.into_iter().enumerate() {
            let rates = Arc::clone(self);
            let help = "HTTP requests answered 429, by whose quota was used up";
            let refused = move || rates.refused[at].load(Ordering::Relaxed);
            metrics.counter_fn("offhook_http_rate_limited", help, &[("by", kind)], refused);
        }
        let rates = Arc::clone(self);
        let askers = move || rates.whole_at.lock().unwrap_or_else(PoisonError::into_inner).len() as f64;
        metrics.gauge_fn("offhook_http_askers", "Tokens, sessions and addresses whose quotas are counted", &[], askers);
    }

    fn quota(&self) -> u32 {
        self.per_s.saturating_mul(WINDOW.as_secs() as u32)
    }

    /// Takes one request from a quota.
    fn take(&self, whose: Whose, now: Instant) -> Left {
        let step = Duration::from_secs(1) / self.per_s;
        let mut quotas = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        if quotas.len() >= ASKERS_MAX && !quotas.contains_key(&whose) {
            make_room(&mut quotas, now);
        }
        let whole_at = quotas.entry(whose).or_insert(now);
        let used = whole_at.saturating_duration_since(now);
        if used + step > WINDOW {
            return Left { requests: 0, full_in: used, wait: (used + step).saturating_sub(WINDOW) };
        }
        *whole_at = now + used + step;
        let full_in = used + step;
        let requests = (WINDOW.saturating_sub(full_in).as_nanos() / step.as_nanos()) as u32;
        Left { requests, full_in, wait: Duration::ZERO }
    }
}

/// Forgets whole quotas; where there are none, the half that is nearest to it.
fn make_room(quotas: &mut BTreeMap<Whose, Instant>, now: Instant) {
    quotas.retain(|_, whole_at| *whole_at > now);
    if quotas.len() >= ASKERS_MAX {
        let mut all: Vec<Instant> = quotas.values().copied().collect();
        let middle = all.len() / 2;
        let (_, &mut median, _) = all.select_nth_unstable(middle);
        quotas.retain(|_, whole_at| *whole_at > median);
    }
}

/// Whose quota a request is of; nobody's where it comes without a token and without a session from this machine, behind which everybody
/// may stand.
fn whose(users: &Users, headers: &HeaderMap, from: IpAddr) -> Option<Whose> {
    if let Some(hash) = guard::bearer(headers).and_then(|token| users.known_token(token)) {
        return Some(Whose::Token(hash));
    }
    if let Some(hash) = guard::cookie(headers).and_then(|cookie| users.known_cookie(cookie)) {
        return Some(Whose::Session(hash));
    }
    // IPv4 at a socket of IPv6 is IPv4.
    let from = from.to_canonical();
    let source = match from {
        // Who has one address has all of its /64.
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    };
    (!from.is_loopback()).then_some(Whose::Source(source))
}

/// What costs nothing: files of the page, and the question whether the exchange is well.
fn is_free(path: &str) -> bool {
    path == "/healthz" || path.starts_with("/web/")
}

/// Answers 429 to whoever asks too often, and tells everybody how often they may.
pub async fn limit(
    State((users, rates)): State<(Arc<Users>, Arc<Rates>)>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let whose = if is_free(request.uri().path()) { None } else { whose(&users, request.headers(), peer.0.ip()) };
    let Some(whose) = whose else { return next.run(request).await };
    let left = rates.take(whose, Instant::now());
    let seconds = |duration: Duration| duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    let mut response = if left.wait == Duration::ZERO {
        next.run(request).await
    } else {
        rates.refused[whose.kind()].fetch_add(1, Ordering::Relaxed);
        let detail = format!("more than {} requests in {} s", rates.quota(), WINDOW.as_secs());
        let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds(left.wait)));
        response
    };
    let policy = format!("\"requests\";q={};w={}", rates.quota(), WINDOW.as_secs());
    let limit = format!("\"requests\";r={};t={}", left.requests, seconds(left.full_in));
    for (name, value) in [(POLICY, policy), (LIMIT, limit)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use offhook_units::Tick;

    use super::*;

    const HERE: Whose = Whose::Source(IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1)));
    const THERE: Whose = Whose::Source(IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 2)));

    #[test]
    fn a_quota_is_used_up_at_once_and_comes_back_by_and_by() {
        let (rates, now) = (Rates::new(5), Instant::now());
        for left in (0..50).rev() {
            assert_eq!(rates.take(HERE, now).requests, left);
        }
        let refused = rates.take(HERE, now);
        assert_eq!((refused.wait, refused.full_in), (Duration::from_millis(200), WINDOW));
        assert_eq!(rates.take(THERE, now).wait, Duration::ZERO, "others have their own");
        assert_eq!(rates.take(HERE, now + Duration::from_millis(199)).wait, Duration::from_millis(1));
        assert_eq!(rates.take(HERE, now + Duration::from_millis(200)).wait, Duration::ZERO);
        let later = rates.take(HERE, now + Duration::from_mins(1));
        assert_eq!((later.requests, later.full_in), (49, Duration::from_millis(200)));
    }

    #[test]
    fn no_more_askers_are_counted_than_the_limit_and_whoever_asks_most_is_not_forgotten() {
        let (rates, now) = (Rates::new(1), Instant::now());
        for _ in 0..10 {
            rates.take(HERE, now);
        }
        for n in 0..2 * ASKERS_MAX as u128 {
            let source = IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | n << 64));
            rates.take(Whose::Source(source), now);
        }
        assert!(rates.whole_at.lock().expect("no panic").len() <= ASKERS_MAX);
        assert_ne!(rates.take(HERE, now).wait, Duration::ZERO);
    }

    #[test]
    fn tokens_sessions_and_addresses_are_told_apart_and_this_machine_is_not_counted() {
        let users =
            Users::new(Some("s3cret-token-of-16"), Vec::new(), Vec::new(), None, Tick::ZERO).expect("randomness").0;
        let with = |token: &str| {
            let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
            HeaderMap::from_iter([(header::AUTHORIZATION, value)])
        };
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 0, 2, 9]));
        assert!(matches!(whose(&users, &with("s3cret-token-of-16"), here), Some(Whose::Token(_))));
        assert_eq!(whose(&users, &with("guessed"), there), Some(Whose::Source(there)));
        assert_eq!(whose(&users, &HeaderMap::new(), here), None);
        let of = |text: &str| whose(&users, &HeaderMap::new(), text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.9"), of("192.0.2.9"));
        assert_eq!(of("::ffff:127.0.0.1"), None);
    }
}
