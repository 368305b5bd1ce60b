//! Sign-ins under way: what was sent with a browser to the provider.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Sign-ins under way at once; one more, and the oldest is forgotten.
pub const PENDING_MAX: usize = 10_000;
/// How long one may stay at the provider.
pub const PENDING_FOR: Duration = Duration::from_mins(10);

/// What was sent along, and has to come back.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Comes back with the code.
    pub state: String,
    /// Comes back in the ID token.
    pub nonce: String,
    /// Is shown with the code; its hash was sent before (RFC 7636).
    pub verifier: String,
    /// The page to go back to.
    pub to: &'static str,
}

impl Sent {
    /// What the provider is told of the verifier.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier))
    }
}

/// All of them, by the hash of their browser's cookie.
#[derive(Debug, Default)]
pub struct Pending(Mutex<BTreeMap<[u8; 32], (Instant, Sent)>>);

fn chance() -> Option<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

fn key(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie).into()
}

impl Pending {
    /// Begins one; the answer is the cookie and what is sent. None where the system gives no randomness.
    pub fn begin(&self, to: &'static str, now: Instant) -> Option<(String, Sent)> {
        let cookie = chance()?;
        let sent = Sent { state: chance()?, nonce: chance()?, verifier: chance()?, to };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= PENDING_MAX {
            all.retain(|_, (begun, _)| now.saturating_duration_since(*begun) < PENDING_FOR);
        }
        if all.len() >= PENDING_MAX {
            let oldest = all.iter().min_by_key(|(_, (begun, _))| *begun).map(|(key, _)| *key);
            oldest.map(|oldest| all.remove(&oldest));
        }
        all.insert(key(&cookie), (now, sent.clone()));
        Some((cookie, sent))
    }

    /// Ends one, whatever comes of it: what was sent is good once.
    pub fn end(&self, cookie: &str, now: Instant) -> Option<Sent> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (begun, sent) = all.remove(&key(cookie))?;
        (now.saturating_duration_since(begun) < PENDING_FOR).then_some(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_is_ended_once_by_its_own_browser_within_ten_minutes() {
        let (pending, now) = (Pending::default(), Instant::now());
        let (cookie, sent) = pending.begin("/desk", now).expect("randomness");
        assert!(pending.end("another", now).is_none());
        let ended = pending.end(&cookie, now + PENDING_FOR / 2).expect("known");
        assert_eq!((ended.state, ended.to), (sent.state, "/desk"));
        assert!(pending.end(&cookie, now).is_none(), "it is used up");
        let (late, _) = pending.begin("/", now).expect("randomness");
        assert!(pending.end(&late, now + PENDING_FOR).is_none());
    }

    #[test]
    fn one_more_than_all_forgets_the_oldest() {
        let (pending, now) = (Pending::default(), Instant::now());
        let (first, _) = pending.begin("/", now).expect("randomness");
        let (second, _) = pending.begin("/", now + Duration::from_secs(1)).expect("randomness");
        for _ in 0..PENDING_MAX - 1 {
            pending.begin("/", now + Duration::from_secs(2)).expect("randomness");
        }
        assert!(pending.end(&first, now).is_none());
        assert!(pending.end(&second, now + Duration::from_secs(2)).is_some());
    }

    /// RFC 7636 appendix B.
    #[test]
    fn the_challenge_is_the_hash_of_the_verifier() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned();
        let sent = Sent { state: String::new(), nonce: String::new(), verifier, to: "/" };
        assert_eq!(sent.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
