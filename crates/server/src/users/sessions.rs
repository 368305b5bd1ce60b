//! Who has signed in, by the cookie of a browser.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

/// Sessions at once; one more ends the one that was used longest ago.
pub const SESSIONS_MAX: usize = 10_000;
/// Sessions of one user at once; one more ends the one that was used longest ago.
pub const SESSIONS_OF_ONE_MAX: usize = 16;
/// A session that nobody uses ends after this.
pub const IDLE_MAX: Duration = Duration::from_hours(10);
/// Every session ends after this: the next day begins with a password.
pub const LASTS_MAX: Duration = Duration::from_hours(24);

/// What is kept of the cookie: who reads the memory of the exchange has no cookie yet.
type Key = [u8; 32];

#[derive(Debug)]
struct Session {
    user: usize,
    began: Instant,
    used: Instant,
    /// Dropped with the session: what still streams to it ends.
    alive: watch::Sender<()>,
}

/// Until when something may go on that a session began.
#[derive(Debug, Clone)]
pub struct Lease {
    until: Instant,
    alive: watch::Receiver<()>,
}

impl Lease {
    /// Returns once the session is over.
    pub async fn over(mut self) {
        // Nothing is ever sent: the channel only closes.
        let closed = async move { while self.alive.changed().await.is_ok() {} };
        let _ = tokio::time::timeout_at(self.until.into(), closed).await;
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub struct Sessions(BTreeMap<Key, Session>);

fn key(cookie: &str) -> Key {
    Sha256::digest(cookie).into()
}

impl Session {
    fn over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= IDLE_MAX || now.saturating_duration_since(self.began) >= LASTS_MAX
    }
}

impl Sessions {
    /// Begins one for a user, by its number; the answer is the cookie. None where the system gives no randomness.
    pub fn begin(&mut self, user: usize, now: Instant) -> Option<String> {
        let mut chance = [0; 32];
        getrandom::fill(&mut chance).ok()?;
        let [high, low] =
            [&chance[..16], &chance[16..]].map(|half| u128::from_le_bytes(core::array::from_fn(|at| half[at])));
        let cookie = format!("{high:032x}{low:032x}");
        self.0.retain(|_, session| !session.over(now));
        self.make_room(SESSIONS_OF_ONE_MAX, |session| session.user == user);
        self.make_room(SESSIONS_MAX, |_| true);
        let (alive, _) = watch::channel(());
        self.0.insert(key(&cookie), Session { user, began: now, used: now, alive });
        Some(cookie)
    }

    /// Ends those used longest ago, until one more of these fits in.
    fn make_room(&mut self, max: usize, among: impl Fn(&Session) -> bool) {
        while self.0.values().filter(|session| among(session)).count() >= max {
            let among = self.0.iter().filter(|(_, session)| among(session));
            let Some(oldest) = among.min_by_key(|(_, session)| session.used).map(|(key, _)| *key) else { return };
            self.0.remove(&oldest);
        }
    }

    /// Whose session a cookie is of; that it is used is noted.
    pub fn user(&mut self, cookie: &str, now: Instant) -> Option<(usize, Lease)> {
        let key = key(cookie);
        let session = self.0.get_mut(&key)?;
        if session.over(now) {
            self.0.remove(&key);
            return None;
        }
        session.used = now;
        Some((session.user, Lease { until: session.began + LASTS_MAX, alive: session.alive.subscribe() }))
    }

    /// What a cookie is kept as, where its session goes on.
    pub fn known(&self, cookie: &str, now: Instant) -> Option<[u8; 32]> {
        let key = key(cookie);
        self.0.get(&key).filter(|session| !session.over(now)).map(|_| key)
    }

    /// Ends a session; the answer is whose it was.
    pub fn end(&mut self, cookie: &str) -> Option<usize> {
        self.0.remove(&key(cookie)).map(|session| session.user)
    }

    /// Users have other numbers from now on; sessions of those who have none are over.
    pub fn renumber(&mut self, number_of: impl Fn(usize) -> Option<usize>) {
        self.0.retain(|_, session| {
            let now = number_of(session.user);
            session.user = now.unwrap_or_default();
            now.is_some()
        });
    }

    /// How many are going on, as far as anybody looked.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_session_ends_by_itself_by_its_user_and_by_too_many_others() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let first = sessions.begin(7, now).expect("a cookie");
        let second = sessions.begin(7, now + Duration::from_secs(1)).expect("a cookie");
        assert_ne!(first, second);
        let (user, lease) = sessions.user(&first, now + IDLE_MAX / 2).expect("in use");
        assert_eq!(user, 7);
        assert!(sessions.user("", now).is_none());
        assert!(sessions.user(&second, now + IDLE_MAX + Duration::from_secs(1)).is_none(), "nobody used it");
        assert!(sessions.user(&first, now + IDLE_MAX).is_some());
        assert_eq!(sessions.end(&first), Some(7));
        assert!(sessions.user(&first, now + IDLE_MAX).is_none());
        tokio::time::timeout(Duration::from_secs(10), lease.over()).await.expect("what it streams ends with it");

        let cookies: Vec<String> = (0..=SESSIONS_OF_ONE_MAX as u64)
            .map(|n| sessions.begin(1, now + Duration::from_secs(n)).expect("a cookie"))
            .collect();
        let later = now + Duration::from_mins(1);
        assert!(sessions.user(&cookies[0], later).is_none());
        assert!(cookies[1..].iter().all(|cookie| sessions.user(cookie, later).is_some()));
        assert!(sessions.user(&cookies[1], now + LASTS_MAX).is_none());
    }
}
