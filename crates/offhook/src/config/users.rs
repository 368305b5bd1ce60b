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
    /// What the password hashes to; none where they sign in at the provider alone.
    pub password: Option<Password>,
    /// What the provider calls them.
    pub openid: Option<String>,
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
        let has_openid = root.has("openid");
        let mut users: Vec<UserNamed> = Vec::new();
        let mut names: BTreeMap<String, Range<usize>> = BTreeMap::new();
        let mut last_disabled = None;
        for mut section in root.tables(&mut self.sink, "user") {
            let name = section.need_text(&mut self.sink, "name", "\"ann\"");
            let openid = section.text(&mut self.sink, "openid", "\"what the provider's claim says\"");
            let password = self.password(&mut section, openid.is_some());
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
            if let Some(openid) = &openid {
                if !has_openid {
                    let advice = "add [openid], or take the key out";
                    self.sink.fault(openid.span.clone(), "there is no [openid] to sign in at", advice);
                }
                if users.iter().any(|user| user.openid.as_ref() == Some(&openid.value)) {
                    let message = format!("there are two users whom the provider calls '{}'", openid.value);
                    self.sink.fault(openid.span.clone(), message, "give it to one of them");
                }
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
            let (name, name_span) = (name.value, name.span);
            if password.is_none() && openid.is_none() {
                continue;
            }
            // Who is let in no more keeps the lines, and the name.
            if disabled {
                last_disabled = Some(name_span);
                continue;
            }
            let (openid, agent) = (openid.map(|openid| openid.value), agent.map(|agent| agent.value));
            users.push(UserNamed { name, password, openid, codes, roles, agent });
        }
        // Without any user the exchange would be open to whoever reaches it.
        if let Some(span) = last_disabled.filter(|_| users.is_empty() && !has_openid) {
            self.sink.fault(span, "every user is disabled", "leave one who may sign in, or take the tables out");
        }
        users
    }

    /// Who signs in at the provider needs none.
    fn password(&mut self, section: &mut Section<'_>, has_openid: bool) -> Option<Password> {
        let advice = "offhook user new NAME --role ROLE asks for the password and makes the hash";
        let span = section.span.clone();
        let Some(hash) = self.secret(section, "password", "password_file", "\"$argon2id$..\"") else {
            if !has_openid && !section.has("password") && !section.has("password_file") {
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
