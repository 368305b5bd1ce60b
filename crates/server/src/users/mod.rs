//! Users, what they may do, and how they show who they are.
#![expect(clippy::disallowed_types, reason = "an edge: sessions and attempts are shared by the requests")]
#![expect(clippy::disallowed_methods, reason = "an edge: sessions end with time")]

mod attempts;
pub mod credentials;
mod kept;
mod password;
mod rights;
mod sessions;

use core::net::IpAddr;
use core::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use offhook_units::{AgentId, Span, Tick};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::metrics::Metrics;

pub use attempts::ATTEMPTS_MAX;
pub use kept::{KeptSession, SessionShelf, write_down};
pub use password::{Codes, PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, Password};
pub use rights::{Needed, ROUTES, Right, Rights, Role, needed};
pub use sessions::{IDLE_MAX, LASTS_MAX, Lease, SESSIONS_MAX, SESSIONS_OF_ONE_MAX, Way};

use attempts::Attempts;
use kept::{CHANGES_MAX, Change, made, made_again, stamp};
use sessions::{Begun, Key, Session, Sessions, Used};

/// Passwords that are checked at once: each takes 19 MiB and some 20 ms of a core, and the calls need both.
pub const CHECKS_MAX: usize = 2;
/// How long a password may wait for its check.
const CHECK_WITHIN: Duration = Duration::from_secs(5);

/// Somebody who signs in.
#[derive(Debug, Clone)]
pub struct User {
    /// The name.
    pub name: String,
    /// What the password hashes to; who has none signs in at the provider alone.
    pub password: Option<Password>,
    /// What a provider's token calls them, where they may sign in there.
    pub openid: Option<String>,
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
        let Self { name, password, openid, codes, roles, agent } = self;
        let same_password = match (password, &other.password) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is_as(other),
            (Some(_), None) | (None, Some(_)) => false,
        };
        let same_codes = match (codes, &other.codes) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is_as(other),
            (Some(_), None) | (None, Some(_)) => false,
        };
        let (same_roles, same_agent) = (*roles == other.roles, *agent == other.agent);
        *name == other.name && same_password && *openid == other.openid && same_codes && same_roles && same_agent
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
    people: Vec<Arc<User>>,
    /// Checked where there is no such user, so that the time tells nothing; there is none where nobody can sign in.
    nobody: Option<Password>,
}

impl Admitted {
    fn new(token: Option<&str>, tokens: Vec<TokenUser>, people: Vec<User>) -> Result<Self, String> {
        let has_password = people.iter().any(|user| user.password.is_some());
        let nobody = has_password.then(|| Password::of("nobody has this password")).transpose()?;
        let people = people.into_iter().map(Arc::new).collect();
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
    /// By which rules a provider's word makes somebody, where there is a provider.
    rules: Option<String>,
    /// What is to be written down of sessions.
    changes: mpsc::Sender<Change>,
    /// An instant by both clocks: sessions are written down by that of the exchange.
    clocks: (Instant, Tick),
}

impl Users {
    /// `token` may do everything. Where there is neither a token nor a user, nor a provider that people sign in at, everybody may do
    /// everything. `rules` are those by which a provider's word makes somebody. What changes about sessions goes to the receiver.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new(
        token: Option<&str>,
        tokens: Vec<TokenUser>,
        users: Vec<User>,
        rules: Option<String>,
        now: Tick,
    ) -> Result<(Self, mpsc::Receiver<Change>), String> {
        let (changes, to_write) = mpsc::channel(CHANGES_MAX);
        let all = Self {
            admitted: Mutex::new(Arc::new(Admitted::new(token, tokens, users)?)),
            sessions: Mutex::default(),
            attempts: Mutex::default(),
            checks: Semaphore::new(CHECKS_MAX),
            counted: Default::default(),
            rules,
            changes,
            clocks: (Instant::now(), now),
        };
        Ok((all, to_write))
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self, at: Instant) -> Tick {
        let (began, tick) = self.clocks;
        tick + Span::from_us(at.saturating_duration_since(began).as_micros() as u64)
    }

    /// Goes on with the sessions that were written down before the exchange was started again. Those of users who are somebody else now are
    /// over.
    pub fn go_on(&self, kept: Vec<KeptSession>) {
        let (now, tick) = (Instant::now(), self.tick(Instant::now()));
        let ago = |at: Tick| now.checked_sub(tick.since(at).as_std());
        let rules = self.rules.as_deref().unwrap_or_default();
        let admitted = self.admitted();
        let mut over = Vec::new();
        let mut sessions = self.sessions();
        for KeptSession { key, user, stamp: was, openid, made: by, began, used } in kept {
            let found = match &by {
                Some(by) => self.rules.as_ref().and_then(|_| made_again(&user, by)).map(Arc::new),
                None => admitted.people.iter().find(|known| known.name == user).cloned(),
            };
            let (way, rules) = match (openid, &by) {
                (_, Some(_)) => (Way::Made, rules),
                (true, None) => (Way::OpenId, ""),
                (false, None) => (Way::Password, ""),
            };
            let session = found.filter(|user| stamp(user, rules) == was).zip(ago(began).zip(ago(used)));
            let session = session.map(|(user, (began, used))| Session::new(user, way, began, used));
            match session.filter(|session| !session.over(now)) {
                Some(session) => sessions.go_on(key, session),
                None => over.push(key),
            }
        }
        drop(sessions);
        self.forget(over);
    }

    /// Has it written down that these are over, by and by.
    fn forget(&self, keys: Vec<Key>) {
        // What finds no room is found to be over when it is read.
        if !keys.is_empty() && self.changes.try_send(Change::Forget(keys, None)).is_err() {
            tracing::warn!("sessions that are over could not be forgotten at once");
        }
    }

    /// A session as it is written down.
    fn kept(&self, key: Key) -> Option<KeptSession> {
        let sessions = self.sessions();
        let Session { user, way, began, used, .. } = sessions.get(&key)?;
        let is_made = *way == Way::Made;
        let rules = self.rules.as_deref().filter(|_| is_made).unwrap_or_default();
        Some(KeptSession {
            key,
            user: user.name.clone(),
            stamp: stamp(user, rules),
            openid: *way != Way::Password,
            made: is_made.then(|| made(user)),
            began: self.tick(*began),
            used: self.tick(*used),
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
        let mut sessions = self.sessions();
        *self.admitted.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
        let goes_on =
            |session: &Session| session.way == Way::Made || new.people.iter().any(|user| user.is_as(&session.user));
        let over = sessions.end_where(|session| !goes_on(session));
        drop(sessions);
        self.forget(over);
        Ok(())
    }

    fn admitted(&self) -> Arc<Admitted> {
        Arc::clone(&self.admitted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds what is counted here.
    pub fn register(self: &Arc<Self>, metrics: &mut Metrics) {
        let users = Arc::clone(self);
        let sessions = move || users.sessions().len() as f64;
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
        token.is_none() && tokens.is_empty() && people.is_empty() && self.rules.is_none()
    }

    /// Whether people sign in at a provider.
    pub const fn has_provider(&self) -> bool {
        self.rules.is_some()
    }

    /// Whether there is a user of that name.
    pub fn knows(&self, name: &str) -> bool {
        self.admitted().people.iter().any(|user| user.name == name)
    }

    /// How one can show who one is: `password`, `openid`, `token`.
    pub fn ways(&self) -> Vec<&'static str> {
        let admitted = self.admitted();
        let password = admitted.nobody.is_some().then_some("password");
        let openid = self.rules.is_some().then_some("openid");
        let token = (admitted.token.is_some() || !admitted.tokens.is_empty()).then_some("token");
        password.into_iter().chain(openid).chain(token).collect()
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
        self.sessions().known(cookie, Instant::now())
    }

    /// Who everybody is, where nobody has to say it.
    pub fn by_nothing(&self) -> Option<Identity> {
        self.is_open().then(|| Identity::everything("API without a token"))
    }

    /// Who has this cookie.
    pub fn by_cookie(&self, cookie: &str) -> Option<Identity> {
        let Used { user, lease, to_note } = self.sessions().user(cookie, Instant::now())?;
        if let Some(kept) = to_note.and_then(|key| self.kept(key)) {
            // What finds no room is written down ten minutes later.
            let _full = self.changes.try_send(Change::Keep(kept));
        }
        Some(Identity { lease: Some(lease), ..identity(&user) })
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
        let user = admitted.people.iter().find(|user| user.name == name && user.password.is_some());
        let hash = user.and_then(|user| user.password.as_ref()).or(admitted.nobody.as_ref()).cloned();
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
        self.begin(user, Way::Password).await
    }

    /// Signs in whom a provider's token is of: a user of the configuration that has its name, or the one that was `made` of it, where that has
    /// a role. The answer is the cookie.
    ///
    /// # Errors
    /// [`Refusal::Wrong`]: they have no role here. [`Refusal::Busy`].
    pub async fn sign_in_by_openid(&self, made: User) -> Result<(String, Identity), Refusal> {
        let known = self.admitted().people.iter().find(|user| user.openid == made.openid).cloned();
        let way = if known.is_some() { Way::OpenId } else { Way::Made };
        let user = known.unwrap_or_else(|| Arc::new(made));
        if user.roles.is_empty() {
            self.count(Counted::Wrong);
            return Err(Refusal::Wrong);
        }
        self.begin(&user, way).await
    }

    async fn begin(&self, user: &Arc<User>, way: Way) -> Result<(String, Identity), Refusal> {
        let Begun { cookie, key, ended } = {
            let mut sessions = self.sessions();
            // While the password was checked another configuration may have come.
            if way != Way::Made && !self.admitted().people.iter().any(|known| known.is_as(user)) {
                return Err(Refusal::Wrong);
            }
            sessions.begin(Arc::clone(user), way, Instant::now()).ok_or(Refusal::Busy)?
        };
        self.forget(ended);
        if let Some(kept) = self.kept(key) {
            // Nobody writes any more where the server has stopped.
            let _stopped = self.changes.send(Change::Keep(kept)).await;
        }
        self.count(Counted::SignedIn);
        Ok((cookie, identity(user)))
    }

    fn count(&self, result: Counted) {
        self.counted[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn wrong(&self, name: &str, from: IpAddr) -> Refusal {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).failed(name, from, Instant::now());
        self.count(Counted::Wrong);
        Refusal::Wrong
    }

    /// Ends a session, and returns once that is written down; the answer is whose it was, and how they had signed in.
    pub async fn sign_out(&self, cookie: &str) -> Option<(Identity, Way)> {
        let (key, session) = self.sessions().end(cookie)?;
        let (done, written) = oneshot::channel();
        if self.changes.send(Change::Forget(vec![key], Some(done))).await.is_ok() {
            let _stopped = written.await;
        }
        Some((identity(&session.user), session.way))
    }
}

fn identity(user: &User) -> Identity {
    let User { name, roles, agent, .. } = user;
    Identity::new(format!("user {name}"), roles, agent.clone())
}
