//! Who has signed in, by the cookie of a browser.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::User;

/// Sessions at once; one more ends the one that was used longest ago.
pub const SESSIONS_MAX: usize = 10_000;
/// Sessions of one user at once; one more ends the one that was used longest ago.
pub const SESSIONS_OF_ONE_MAX: usize = 16;
/// A session that nobody uses ends after this.
pub const IDLE_MAX: Duration = Duration::from_hours(10);
/// Every session ends after this: the next day begins with a password.
pub const LASTS_MAX: Duration = Duration::from_hours(24);
/// That a session is used is written down so often at most.
const NOTED_EVERY: Duration = Duration::from_mins(10);

/// What is kept of the cookie: who reads the memory of the exchange, or its store, has no cookie yet.
pub type Key = [u8; 32];

/// How somebody has signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// With a password.
    Password,
    /// At the provider, as a user of the configuration.
    OpenId,
    /// At the provider, whose word made the user.
    Made,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    /// Whose it is.
    pub user: Arc<User>,
    /// How they signed in.
    pub way: Way,
    /// Since when.
    pub began: Instant,
    /// When it was used last.
    pub used: Instant,
    /// What was written down of that.
    noted: Instant,
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
    /// One that goes on.
    pub fn new(user: Arc<User>, way: Way, began: Instant, used: Instant) -> Self {
        Self { user, way, began, used, noted: used, alive: watch::channel(()).0 }
    }

    /// Whether it has ended by itself.
    pub fn over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= IDLE_MAX || now.saturating_duration_since(self.began) >= LASTS_MAX
    }
}

/// A session that has begun.
#[derive(Debug)]
pub struct Begun {
    /// What the browser is given.
    pub cookie: String,
    /// What it is kept as.
    pub key: Key,
    /// Those that ended for it.
    pub ended: Vec<Key>,
}

/// Whose session a cookie is of.
#[derive(Debug)]
pub struct Used {
    /// Who.
    pub user: Arc<User>,
    /// Until when.
    pub lease: Lease,
    /// It was long since it was written down that it is used.
    pub to_note: Option<Key>,
}

impl Sessions {
    /// Begins one for a user. None where the system gives no randomness.
    pub fn begin(&mut self, user: Arc<User>, way: Way, now: Instant) -> Option<Begun> {
        let mut chance = [0; 32];
        getrandom::fill(&mut chance).ok()?;
        let [high, low] =
            [&chance[..16], &chance[16..]].map(|half| u128::from_le_bytes(core::array::from_fn(|at| half[at])));
        let cookie = format!("{high:032x}{low:032x}");
        let mut ended = self.end_where(|session| session.over(now));
        let is_made = |way| way == Way::Made;
        let of_one = |session: &Session| is_made(session.way) == is_made(way) && session.user.name == user.name;
        self.make_room(SESSIONS_OF_ONE_MAX, of_one, &mut ended);
        self.make_room(SESSIONS_MAX, |_| true, &mut ended);
        let key = key(&cookie);
        self.0.insert(key, Session::new(user, way, now, now));
        Some(Begun { cookie, key, ended })
    }

    /// Goes on with one that was written down.
    pub fn go_on(&mut self, key: Key, session: Session) {
        if self.0.len() < SESSIONS_MAX {
            self.0.insert(key, session);
        }
    }

    /// Ends those used longest ago, until one more of these fits in.
    fn make_room(&mut self, max: usize, among: impl Fn(&Session) -> bool, ended: &mut Vec<Key>) {
        while self.0.values().filter(|session| among(session)).count() >= max {
            let among = self.0.iter().filter(|(_, session)| among(session));
            let Some(oldest) = among.min_by_key(|(_, session)| session.used).map(|(key, _)| *key) else { return };
            self.0.remove(&oldest);
            ended.push(oldest);
        }
    }

    /// Whose session a cookie is of; that it is used is noted.
    pub fn user(&mut self, cookie: &str, now: Instant) -> Option<Used> {
        let key = key(cookie);
        let session = self.0.get_mut(&key)?;
        if session.over(now) {
            self.0.remove(&key);
            return None;
        }
        session.used = now;
        let to_note = (now.saturating_duration_since(session.noted) >= NOTED_EVERY).then_some(key);
        if to_note.is_some() {
            session.noted = now;
        }
        let lease = Lease { until: session.began + LASTS_MAX, alive: session.alive.subscribe() };
        Some(Used { user: Arc::clone(&session.user), lease, to_note })
    }

    /// One of them.
    pub fn get(&self, key: &Key) -> Option<&Session> {
        self.0.get(key)
    }

    /// What a cookie is kept as, where its session goes on.
    pub fn known(&self, cookie: &str, now: Instant) -> Option<Key> {
        let key = key(cookie);
        self.0.get(&key).filter(|session| !session.over(now)).map(|_| key)
    }

    /// Ends a session; the answer is what it was kept as, and whose it was.
    pub fn end(&mut self, cookie: &str) -> Option<(Key, Session)> {
        self.0.remove_entry(&key(cookie))
    }

    /// Ends some; the answer is what they were kept as.
    pub fn end_where(&mut self, over: impl Fn(&Session) -> bool) -> Vec<Key> {
        self.0.extract_if(.., |_, session| over(session)).map(|(key, _)| key).collect()
    }

    /// How many are going on, as far as anybody looked.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Arc<User> {
        let (name, roles) = (name.to_owned(), Vec::new());
        Arc::new(User { name, password: None, openid: None, codes: None, roles, agent: None })
    }

    #[tokio::test]
    async fn a_session_ends_by_itself_by_its_user_and_by_too_many_others() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let begin = |sessions: &mut Sessions, at| sessions.begin(user("ann"), Way::Password, at).expect("randomness");
        let first = begin(&mut sessions, now).cookie;
        let second = begin(&mut sessions, now + Duration::from_secs(1)).cookie;
        assert_ne!(first, second);
        let used = sessions.user(&first, now + IDLE_MAX / 2).expect("in use");
        assert_eq!((used.user.name.as_str(), used.to_note.is_some()), ("ann", true));
        assert!(sessions.user(&first, now + IDLE_MAX / 2).is_some_and(|used| used.to_note.is_none()));
        assert!(sessions.user("", now).is_none());
        assert!(sessions.user(&second, now + IDLE_MAX + Duration::from_secs(1)).is_none(), "nobody used it");
        assert!(sessions.user(&first, now + IDLE_MAX).is_some());
        assert!(sessions.end(&first).is_some_and(|(_, session)| session.user.name == "ann"));
        assert!(sessions.user(&first, now + IDLE_MAX).is_none());
        tokio::time::timeout(Duration::from_secs(10), used.lease.over()).await.expect("what it streams ends with it");

        let begun: Vec<Begun> =
            (0..=SESSIONS_OF_ONE_MAX as u64).map(|n| begin(&mut sessions, now + Duration::from_secs(n))).collect();
        let later = now + Duration::from_mins(1);
        assert!(sessions.user(&begun[0].cookie, later).is_none());
        assert_eq!(begun[SESSIONS_OF_ONE_MAX].ended, [begun[0].key]);
        assert!(begun[1..].iter().all(|begun| sessions.user(&begun.cookie, later).is_some()));
        assert!(sessions.begin(user("ann"), Way::Made, now).expect("randomness").ended.is_empty(), "another ann");
        assert!(sessions.user(&begun[1].cookie, now + LASTS_MAX).is_none());
    }
}
