//! `[[user]]` and `[[token]]`: who may use the API and the page.

use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::Arc;

use offhook_server::{Codes, Password, Role, TokenUser};

use super::read::{At, Section, nearest};
use super::{Agent, Reader};

/// A user whose agent is a name.
#[derive(Debug, Clone)]
pub struct UserNamed {
    /// The name.
    pub name: String,
    /// What the password hashes to.
    pub password: Password,
    /// The authenticator's secret.
    pub codes: Option<Arc<Codes>>,
    /// The roles.
    pub roles: Vec<Role>,
    /// Which agent.
    pub agent: Option<String>,
}

impl Reader {
    /// `[[user]]`.
    pub fn users(&mut self, root: &mut Section<'_>, agents: &[At<Agent>]) -> Vec<UserNamed> {
        let mut users = Vec::new();
        let mut names: BTreeMap<String, Range<usize>> = BTreeMap::new();
        let mut last_disabled = None;
        for mut section in root.tables(&mut self.sink, "user") {
            let name = section.need_text(&mut self.sink, "name", "\"ann\"");
            let password = self.password(&mut section);
            let roles = self.roles(&mut section);
            let agent = section.text(&mut self.sink, "agent", "\"alice\"");
            let secret = self.secret(&mut section, "totp", "totp_file", "\"the secret of the authenticator\"");
            let disabled = section.flag(&mut self.sink, "disabled").unwrap_or(false);
            section.finish(&mut self.sink);
            if let Some(agent) = &agent
                && !agents.iter().any(|known| known.value.acd.name == agent.value)
            {
                let known = agents.iter().map(|known| known.value.acd.name.as_str());
                let advice = match nearest(&agent.value, known) {
                    Some(known) => format!("did you mean \"{known}\"?"),
                    None => "write the name of an [[agent]]".to_owned(),
                };
                self.sink.fault(agent.span.clone(), format!("there is no agent '{}'", agent.value), advice);
            }
            let Some(name) = name else { continue };
            if names.insert(name.value.clone(), name.span.clone()).is_some() {
                let message = format!("there are two users '{}'", name.value);
                self.sink.fault(name.span.clone(), message, "give each user a name of its own");
            }
            let codes = secret.and_then(|secret| match Codes::parse(&secret.value, &name.value) {
                Ok(codes) => Some(Arc::new(codes)),
                Err(error) => {
                    let advice = "offhook user new NAME --totp makes one";
                    self.sink.fault(secret.span, format!("totp: {error}"), advice);
                    None
                }
            });
            let (Some(password), name, name_span) = (password, name.value, name.span) else { continue };
            // Who is let in no more keeps the lines, and the name.
            if disabled {
                last_disabled = Some(name_span);
                continue;
            }
            users.push(UserNamed { name, password, codes, roles, agent: agent.map(|agent| agent.value) });
        }
        // Without any user the exchange would be open to whoever reaches it.
        if let Some(span) = last_disabled.filter(|_| users.is_empty()) {
            self.sink.fault(span, "every user is disabled", "leave one who may sign in, or take the tables out");
        }
        users
    }

    fn password(&mut self, section: &mut Section<'_>) -> Option<Password> {
        let advice = "offhook user new NAME --role ROLE asks for the password and makes the hash";
        let span = section.span.clone();
        let Some(hash) = self.secret(section, "password", "password_file", "\"$argon2id$..\"") else {
            if !section.has("password") && !section.has("password_file") {
                self.sink.missing(span, "[[user]] has no password", advice);
            }
            return None;
        };
        match Password::parse(&hash.value) {
            Ok(password) => Some(password),
            Err(error) => {
                self.sink.fault(hash.span, format!("password: {error}"), advice);
                None
            }
        }
    }

    fn roles(&mut self, section: &mut Section<'_>) -> Vec<Role> {
        let known = || Role::ALL.iter().map(|(name, _)| *name);
        let advice = format!("write one or more of {}", super::read::list(&known().collect::<Vec<_>>()));
        let span = section.span.clone();
        let Some(roles) = section.texts(&mut self.sink, "roles", "[\"supervisor\"]") else {
            self.sink.missing(span, format!("{} has no roles", section.title), advice);
            return Vec::new();
        };
        if roles.value.is_empty() {
            self.sink.fault(roles.span.clone(), "who has no role may do nothing", advice.clone());
        }
        let mut found = Vec::new();
        for role in roles.value {
            if let Some((_, role)) = Role::ALL.iter().find(|(name, _)| *name == role.value) {
                found.push(*role);
                continue;
            }
            let meant = nearest(&role.value, known()).map(|known| format!("did you mean \"{known}\"?"));
            let advice = meant.unwrap_or_else(|| advice.clone());
            self.sink.fault(role.span, format!("there is no role '{}'", role.value), advice);
        }
        found
    }

    /// `[[token]]`.
    pub fn tokens(&mut self, root: &mut Section<'_>) -> Vec<TokenUser> {
        let mut tokens: Vec<TokenUser> = Vec::new();
        for mut section in root.tables(&mut self.sink, "token") {
            let name = section.need_text(&mut self.sink, "name", "\"wallboard\"");
            let hash = section.need_text(&mut self.sink, "sha256", "\"64 digits of sha256sum\"");
            let roles = self.roles(&mut section);
            section.finish(&mut self.sink);
            let (Some(name), Some(hash)) = (name, hash) else { continue };
            if tokens.iter().any(|token| token.name == name.value) {
                let message = format!("there are two tokens '{}'", name.value);
                self.sink.fault(name.span.clone(), message, "give each token a name of its own");
            }
            let Some(sha256) = sha256_of(&hash.value) else {
                let advice = "offhook user token NAME --role ROLE makes a token and its hash";
                self.sink.fault(hash.span, "sha256 is 64 hexadecimal digits", advice);
                continue;
            };
            tokens.push(TokenUser { name: name.value, sha256, roles });
        }
        tokens
    }
}

fn sha256_of(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}
