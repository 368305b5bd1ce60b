//! Sessions that outlive a restart of the exchange: each is written down when it begins, now and then while it is used, and when it ends.

use core::time::Duration;
use std::sync::Arc;

use offhook_units::{AgentId, Tick};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::{Role, User};
use crate::view::{Answer, Unavailable, View};

/// Changes that may wait to be written down; more wait at whoever brings them.
pub const CHANGES_MAX: usize = 1_024;
/// How long a write that was refused rests.
const RETRY: Duration = Duration::from_millis(500);
/// How often it is tried; then the session ends with the exchange.
const TRIES_MAX: u32 = 20;

/// A session as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSession {
    /// SHA-256 of the cookie, which itself is nowhere.
    pub key: [u8; 32],
    /// The user's name.
    pub user: String,
    /// SHA-256 of everything that makes the user who they are here: where that is otherwise now, the session is over.
    pub stamp: [u8; 32],
    /// They signed in at a provider.
    pub openid: bool,
    /// What its word made of them, where the configuration has no such user.
    pub made: Option<String>,
    /// Since when.
    pub began: Tick,
    /// When it was used last, or some minutes before.
    pub used: Tick,
}

/// What the server asks of whoever keeps sessions.
pub trait SessionShelf {
    /// All that are kept.
    fn kept_sessions(&self) -> Answer<'_, Result<Vec<KeptSession>, Unavailable>>;
    /// Keeps one, in the place of what was kept of it.
    fn keep_session(&self, session: KeptSession) -> Answer<'_, Result<(), Unavailable>>;
    /// Forgets some.
    fn forget_sessions(&self, keys: Vec<[u8; 32]>) -> Answer<'_, Result<(), Unavailable>>;
}

/// What is to be written down.
#[derive(Debug)]
pub enum Change {
    /// It goes on.
    Keep(KeptSession),
    /// They are over; whoever waits is told once that is written down.
    Forget(Vec<[u8; 32]>, Option<oneshot::Sender<()>>),
}

/// Writes changes down, in order, until nobody makes any more.
pub async fn write_down(view: Arc<dyn View>, mut changes: mpsc::Receiver<Change>) {
    while let Some(change) = changes.recv().await {
        let mut tries = 0;
        loop {
            let written = match &change {
                Change::Keep(session) => view.keep_session(session.clone()).await,
                Change::Forget(keys, _) => view.forget_sessions(keys.clone()).await,
            };
            tries += 1;
            if written.is_ok() || tries == TRIES_MAX {
                if written.is_err() {
                    tracing::error!("a session could not be written down");
                }
                break;
            }
            tokio::time::sleep(RETRY).await;
        }
        if let Change::Forget(_, Some(done)) = change {
            // Whoever waited may have gone.
            let _gone = done.send(());
        }
    }
}

/// What a provider made of somebody.
#[derive(Serialize, Deserialize)]
struct Made {
    roles: Vec<String>,
    agent: Option<(u64, String)>,
}

/// As it is written down.
pub fn made(user: &User) -> String {
    let roles = user.roles.iter().map(|role| role.name().to_owned()).collect();
    let agent = user.agent.as_ref().map(|(id, name)| (id.0, name.clone()));
    serde_json::to_string(&Made { roles, agent }).unwrap_or_default()
}

/// The user that it was made of.
pub fn made_again(name: &str, made: &str) -> Option<User> {
    let Made { roles, agent } = serde_json::from_str(made).ok()?;
    let role = |name: &String| Role::ALL.iter().find(|(known, _)| known == name).map(|(_, role)| *role);
    let roles = roles.iter().map(role).collect::<Option<Vec<_>>>()?;
    let agent = agent.map(|(id, name)| (AgentId(id), name));
    Some(User { name: name.to_owned(), password: None, openid: Some(name.to_owned()), codes: None, roles, agent })
}

/// What makes a user who they are, and the rules by which a provider's word did.
pub fn stamp(user: &User, rules: &str) -> [u8; 32] {
    let User { name, password, openid, codes, roles, agent } = user;
    let mut hash = Sha256::new();
    let roles: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    let agent = agent.as_ref().map(|(id, name)| format!("{} {name}", id.0));
    for part in [
        name.as_bytes(),
        password.as_ref().map_or(&b""[..], |password| password.as_str().as_bytes()),
        openid.as_deref().unwrap_or_default().as_bytes(),
        codes.as_ref().map_or(&b""[..], |codes| codes.secret()),
        roles.join(" ").as_bytes(),
        agent.unwrap_or_default().as_bytes(),
        rules.as_bytes(),
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_made_is_made_again_and_every_change_changes_the_stamp() {
        let (roles, agent) = (vec![Role::Agent, Role::Quality], Some((AgentId(7), "ann".to_owned())));
        let openid = Some("ann@house.test".to_owned());
        let user = User { name: "ann@house.test".to_owned(), password: None, openid, codes: None, roles, agent };
        let again = made_again(&user.name, &made(&user)).expect("the same");
        assert!(again.is_as(&user));
        assert_eq!(stamp(&again, "rules"), stamp(&user, "rules"));
        assert!(made_again("x", "{\"roles\":[\"emperor\"],\"agent\":null}").is_none());
        let changed = [
            User { name: "ann".to_owned(), ..user.clone() },
            User { openid: None, ..user.clone() },
            User { roles: vec![Role::Agent], ..user.clone() },
            User { agent: None, ..user.clone() },
            User { password: Some(super::super::Password::of("staple battery horse").expect("long")), ..user.clone() },
        ];
        for other in changed {
            assert_ne!(stamp(&other, "rules"), stamp(&user, "rules"), "{other:?}");
        }
        assert_ne!(stamp(&user, "other rules"), stamp(&user, "rules"));
    }
}
