//! Users, what they may do, and how they show who they are.
#![expect(clippy::disallowed_types, reason = "an edge: sessions and attempts are shared by the requests")]
#![expect(clippy::disallowed_methods, reason = "an edge: sessions end with time")]

mod attempts;
pub mod credentials;
mod password;
mod rights;
mod sessions;

use core::net::IpAddr;
use core::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use offhook_units::AgentId;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::metrics::Metrics;

pub use attempts::ATTEMPTS_MAX;
pub use password::{Codes, PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, Password};
pub use rights::{Needed, ROUTES, Right, Rights, Role, needed};
pub use sessions::{IDLE_MAX, LASTS_MAX, Lease, SESSIONS_MAX, SESSIONS_OF_ONE_MAX};

use attempts::Attempts;
use sessions::Sessions;

/// Passwords that are checked at once: each takes 19 MiB and some 20 ms of a core, and the calls need both.
pub const CHECKS_MAX: usize = 2;
/// How long a password may wait for its check.
const CHECK_WITHIN: Duration = Duration::from_secs(5);

/// Somebody who signs in.
#[derive(Debug, Clone)]
pub struct User {
    /// The name.
    pub name: String,
    /// What the password hashes to.
    pub password: Password,
    /// The secret of the authenticator, where a code is asked for beside the password.
    pub codes: Option<Arc<Codes>>,
    /// What they are in the service centre.
    pub roles: Vec<Role>,
    /// Which agent they are, where they take calls.
    pub agent: Option<(AgentId, String)>,
}

impl User {
    /// Whether a session of the one is one of the other.
    fn is_as(&self, other: &Self) -> bool {
        let Self { name, password, codes, roles, agent } = self;
        let same_codes = match (codes, &other.codes) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is_as(other),
            (Some(_), None) | (None, Some(_)) => false,
        };
        let (same_roles, same_agent) = (*roles == other.roles, *agent == other.agent);
        *name == other.name && password.is_as(&other.password) && same_codes && same_roles && same_agent
    }
}

/// A program that shows a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUser {
    /// The name.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// What it may do.
    pub roles: Vec<Role>,
}

/// What the configuration holds of a token: SHA-256 of it. A token is random and long, so that a fast hash hides it well enough.
pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Identity {
    /// As in the audit log: `user ann`, `token wallboard`, `API token`.
    pub who: Arc<str>,
    /// What they may do.
    pub rights: Rights,
    /// Which agent they are.
    pub agent: Option<(AgentId, String)>,
    /// Their roles.
    pub roles: Arc<[Role]>,
    /// Until when, where a session says who they are.
    pub lease: Option<Lease>,
}

impl Identity {
    /// Whether they may act for that agent: for their own, and who may do everything for each.
    pub fn is_agent(&self, agent: AgentId) -> bool {
        self.agent.as_ref().is_some_and(|(own, _)| *own == agent) || self.roles.contains(&Role::Administrator)
    }

    /// Whether they may see a call that the agent of that name has: who may not see every call sees their own.
    pub fn may_see(&self, agent: Option<&str>) -> bool {
        let own = self.agent.as_ref().map(|(_, name)| name.as_str());
        self.rights.has(Right::Calls) || (own.is_some() && own == agent)
    }

    fn everything(who: &str) -> Self {
        let roles = [Role::Administrator];
        Self { who: who.into(), rights: Rights::ALL, agent: None, roles: roles.into(), lease: None }
    }

    fn new(who: String, roles: &[Role], agent: Option<(AgentId, String)>) -> Self {
        let rights = roles.iter().fold(Rights::default(), |rights, role| rights.and(role.rights()));
        Self { who: who.into(), rights, agent, roles: roles.into(), lease: None }
    }
}

/// Why nobody was signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Name, password or code is wrong; which of them is not said.
    Wrong,
    /// It is right as far as it goes, and a code of the authenticator is asked for.
    CodeWanted,
    /// Too many failures: wait so long.
    Wait(Duration),
    /// Too many sign in at once.
    Busy,
}

/// What became of an attempt to sign in.
#[derive(Debug, Clone, Copy)]
enum Counted {
    SignedIn,
    Wrong,
    Delayed,
}

/// Each as metrics call it.
const RESULTS: [(&str, Counted); 3] =
    [("signed-in", Counted::SignedIn), ("wrong", Counted::Wrong), ("delayed", Counted::Delayed)];

/// Who may ask, as the configuration says now.
#[derive(Debug)]
struct Admitted {
    token: Option<[u8; 32]>,
    tokens: Vec<TokenUser>,
    people: Vec<User>,
    /// Checked where there is no such user, so that the time tells nothing; there is none where nobody can sign in.
    nobody: Option<Password>,
}

impl Admitted {
    fn new(token: Option<&str>, tokens: Vec<TokenUser>, people: Vec<User>) -> Result<Self, String> {
        let nobody = (!people.is_empty()).then(|| Password::of("nobody has this password")).transpose()?;
        Ok(Self { token: token.map(token_hash), tokens, people, nobody })
    }
}

/// All who may ask.
#[derive(Debug)]
pub struct Users {
    admitted: Mutex<Arc<Admitted>>,
    sessions: Mutex<Sessions>,
    attempts: Mutex<Attempts>,
    checks: Semaphore,
    counted: [AtomicU64; RESULTS.len()],
}

impl Users {
    /// `token` may do everything. Where there is neither a token nor a user, everybody may do everything.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new(token: Option<&str>, tokens: Vec<TokenUser>, users: Vec<User>) -> Result<Self, String> {
        Ok(Self {
            admitted: Mutex::new(Arc::new(Admitted::new(token, tokens, users)?)),
            sessions: Mutex::default(),
            attempts: Mutex::default(),
            checks: Semaphore::new(CHECKS_MAX),
            counted: Default::default(),
        })
    }

    /// These may ask from now on. Who is gone, or has another password, authenticator, role or agent, has to sign in anew; others go on.
    ///
    /// # Errors
    /// The system gives no randomness; then everything stays.
    pub fn admit(&self, token: Option<&str>, tokens: Vec<TokenUser>, mut users: Vec<User>) -> Result<(), String> {
        // A code that was used stays used.
        for user in &mut users {
            let known = self
                .admitted()
                .people
                .iter()
                .find(|known| known.name == user.name)
                .and_then(|known| known.codes.clone());
            let same = |known: &Arc<Codes>| user.codes.as_ref().is_some_and(|codes| codes.is_as(known));
            user.codes = known.filter(same).or(user.codes.take());
        }
        let new = Arc::new(Admitted::new(token, tokens, users)?);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let places: Vec<Option<usize>> =
            admitted.people.iter().map(|old| new.people.iter().position(|user| user.is_as(old))).collect();
        sessions.renumber(|user| places.get(user).copied().flatten());
        *admitted = new;
        Ok(())
    }

    fn admitted(&self) -> Arc<Admitted> {
        Arc::clone(&self.admitted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds what is counted here.
    pub fn register(self: &Arc<Self>, metrics: &mut Metrics) {
        let users = Arc::clone(self);
        let sessions = move || users.sessions.lock().unwrap_or_else(PoisonError::into_inner).len() as f64;
        metrics.gauge_fn("offhook_http_sessions", "Users that are signed in", &[], sessions);
        for (result, of) in RESULTS {
            let users = Arc::clone(self);
            let read = move || users.counted[of as usize].load(Ordering::Relaxed);
            metrics.counter_fn("offhook_sign_ins", "Attempts to sign in", &[("result", result)], read);
        }
        let users = Arc::clone(self);
        let remembered = move || users.attempts.lock().unwrap_or_else(PoisonError::into_inner).len() as f64;
        metrics.gauge_fn("offhook_sign_in_failures", "Failures that are remembered", &[], remembered);
    }

    /// Nobody has to say who they are.
    pub fn is_open(&self) -> bool {
        let Admitted { token, tokens, people, nobody: _ } = &*self.admitted();
        token.is_none() && tokens.is_empty() && people.is_empty()
    }

    /// Whether there is a user of that name.
    pub fn knows(&self, name: &str) -> bool {
        self.admitted().people.iter().any(|user| user.name == name)
    }

    /// How one can show who one is: `password`, `token`.
    pub fn ways(&self) -> Vec<&'static str> {
        let admitted = self.admitted();
        let password = (!admitted.people.is_empty()).then_some("password");
        let token = (admitted.token.is_some() || !admitted.tokens.is_empty()).then_some("token");
        password.into_iter().chain(token).collect()
    }

    /// Who shows this token.
    pub fn by_token(&self, token: &str) -> Option<Identity> {
        // Whoever guesses learns from the time only how hashes compare.
        let hash = token_hash(token);
        let admitted = self.admitted();
        if admitted.token == Some(hash) {
            return Some(Identity::everything("API token"));
        }
        let known = admitted.tokens.iter().find(|known| known.sha256 == hash)?;
        Some(Identity::new(format!("token {}", known.name), &known.roles, None))
    }

    /// What a token hashes to, where it is somebody's.
    pub fn known_token(&self, token: &str) -> Option<[u8; 32]> {
        let hash = token_hash(token);
        let admitted = self.admitted();
        let known = admitted.token == Some(hash) || admitted.tokens.iter().any(|known| known.sha256 == hash);
        known.then_some(hash)
    }

    /// What the cookie of a session hashes to, where there is such a session.
    pub fn known_cookie(&self, cookie: &str) -> Option<[u8; 32]> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).known(cookie, Instant::now())
    }

    /// Who everybody is, where nobody has to say it.
    pub fn by_nothing(&self) -> Option<Identity> {
        self.is_open().then(|| Identity::everything("API without a token"))
    }

    /// Who has this cookie.
    pub fn by_cookie(&self, cookie: &str) -> Option<Identity> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let (user, lease) = sessions.user(cookie, Instant::now())?;
        let identity = identity(self.admitted().people.get(user)?);
        Some(Identity { lease: Some(lease), ..identity })
    }

    /// Signs a user in, at `at` seconds since 1970; the answer is the cookie.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn sign_in(
        self: &Arc<Self>,
        name: &str,
        password: String,
        code: Option<&str>,
        from: IpAddr,
        at: u64,
    ) -> Result<(String, Identity), Refusal> {
        let wait = self.attempts.lock().unwrap_or_else(PoisonError::into_inner).wait(name, from, Instant::now());
        if wait > Duration::ZERO {
            self.count(Counted::Delayed);
            return Err(Refusal::Wait(wait));
        }
        let place = tokio::time::timeout(CHECK_WITHIN, self.checks.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(Refusal::Busy) };
        let admitted = self.admitted();
        let user = admitted.people.iter().find(|user| user.name == name);
        let hash = user.map(|user| &user.password).or(admitted.nobody.as_ref()).cloned();
        let check = move || hash.is_some_and(|hash| hash.is(&password));
        let checked = tokio::task::spawn_blocking(check).await.unwrap_or(false);
        let Some(user) = user.filter(|_| checked) else { return Err(self.wrong(name, from)) };
        if let Some(codes) = &user.codes {
            let Some(code) = code else { return Err(Refusal::CodeWanted) };
            if !codes.take(code, at) {
                return Err(self.wrong(name, from));
            }
        }
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).succeeded(name, from);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        // While the password was checked another configuration may have come.
        let place = self.admitted().people.iter().position(|known| known.is_as(user)).ok_or(Refusal::Wrong)?;
        let cookie = sessions.begin(place, Instant::now());
        self.count(Counted::SignedIn);
        Ok((cookie.ok_or(Refusal::Busy)?, identity(user)))
    }

    fn count(&self, result: Counted) {
        self.counted[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn wrong(&self, name: &str, from: IpAddr) -> Refusal {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).failed(name, from, Instant::now());
        self.count(Counted::Wrong);
        Refusal::Wrong
    }

    /// Ends a session; the answer is whose it was.
    pub fn sign_out(&self, cookie: &str) -> Option<Identity> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let user = sessions.end(cookie)?;
        self.admitted().people.get(user).map(identity)
    }
}

fn identity(user: &User) -> Identity {
    let User { name, roles, agent, .. } = user;
    Identity::new(format!("user {name}"), roles, agent.clone())
}
