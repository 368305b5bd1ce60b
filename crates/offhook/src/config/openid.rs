//! `[openid]`: a provider of OpenID Connect at which people sign in.

use std::collections::BTreeMap;

use offhook_server::{OpenId, OpenIdAt, Role};

use super::Reader;
use super::read::{At, Section, nearest};

impl Reader {
    /// `[openid]`.
    pub fn openid(&mut self, root: &mut Section<'_>) -> Option<OpenId> {
        let has_http = root.has("http");
        let mut section = root.table(&mut self.sink, "openid")?;
        let issuer = section.need_text(&mut self.sink, "issuer", "\"https://id.example.com\"");
        let client_id = section.need_text(&mut self.sink, "client_id", "\"offhook\"");
        let address = section.need_text(&mut self.sink, "address", "\"https://exchange.example.com\"");
        let secret = self.secret(&mut section, "secret", "secret_file", "\"what the provider gave you\"");
        let title = section.text(&mut self.sink, "title", "\"Example account\"");
        let scopes = section.texts(&mut self.sink, "scopes", "[\"profile\", \"email\"]");
        let user_claim = section.text(&mut self.sink, "user_claim", "\"sub\"");
        let roles_claim = section.text(&mut self.sink, "roles_claim", "\"groups\"");
        let agent_claim = section.text(&mut self.sink, "agent_claim", "\"offhook_agent\"");
        let authorities = section.text(&mut self.sink, "authorities", "\"authorities.pem\"");
        let roles = self.roles_of_claims(&mut section, roles_claim.as_ref());
        let span = section.span.clone();
        section.finish(&mut self.sink);
        if !has_http {
            self.sink.missing(span, "one signs in to pages, and there is no [http]", "add [http]");
        }
        let authorities = authorities.map(|file| self.path(&file.value));
        let address = address.and_then(|address| self.own_address(address));
        let (issuer, client_id) = (issuer?, client_id?.value);
        let secret = secret.map(|secret| secret.value);
        let at = match OpenIdAt::new(&issuer.value, &client_id, secret, authorities.as_deref()) {
            Ok(at) => at,
            Err(error) => {
                let advice = "write it as the provider does, such as \"https://id.example.com/realms/house\"";
                self.sink.fault(issuer.span, format!("issuer: {error}"), advice);
                return None;
            }
        };
        let text = |text: Option<At<String>>| text.map(|text| text.value);
        Some(OpenId {
            at,
            title: text(title).unwrap_or_else(|| "OpenID".to_owned()),
            address: address?,
            scopes: scopes.map(|all| all.value.into_iter().map(|one| one.value).collect()).unwrap_or_default(),
            user_claim: text(user_claim).unwrap_or_else(|| "sub".to_owned()),
            roles_claim: text(roles_claim),
            roles,
            agent_claim: text(agent_claim),
        })
    }

    /// Where browsers reach the exchange: scheme and host.
    fn own_address(&mut self, address: At<String>) -> Option<String> {
        let At { value, span } = address;
        let host = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
        let plain = |host: &str| !host.is_empty() && !host.contains(['/', '?', '#', '@']) && !host.contains(' ');
        if !host.is_some_and(plain) {
            let advice = "write scheme and host, such as \"https://exchange.example.com\"";
            self.sink.fault(span, "address says where browsers reach this exchange", advice);
            return None;
        }
        Some(value)
    }

    /// `[openid.roles]`: what each value of the claim means here.
    fn roles_of_claims(
        &mut self,
        section: &mut Section<'_>,
        claim: Option<&At<String>>,
    ) -> BTreeMap<String, Vec<Role>> {
        let Some(table) = section.table(&mut self.sink, "roles") else {
            if let Some(claim) = claim {
                let advice = "add [openid.roles] with a line such as \"call-centre\" = [\"agent\"]";
                self.sink.fault(claim.span.clone(), "nothing says what its values mean here", advice);
            }
            return BTreeMap::new();
        };
        if claim.is_none() {
            let advice = "add roles_claim = \"groups\", or whatever the provider calls it";
            self.sink.missing(table.span.clone(), "nothing says which claim holds roles", advice);
        }
        let known = || Role::ALL.iter().map(|(name, _)| *name);
        let advice = format!("write one or more of {}", super::read::list(&known().collect::<Vec<_>>()));
        let mut all = BTreeMap::new();
        for (name, value) in table.entries() {
            let texts: Option<Vec<&str>> = match value.get_ref().as_array() {
                Some(items) => items.iter().map(|item| item.get_ref().as_str()).collect(),
                None => value.get_ref().as_str().map(|one| vec![one]),
            };
            let Some(texts) = texts.filter(|texts| !texts.is_empty()) else {
                self.sink.fault(value.span(), format!("{} has no roles", name.value), advice.clone());
                continue;
            };
            let mut roles = Vec::new();
            for text in texts {
                if let Some((_, role)) = Role::ALL.iter().find(|(known, _)| *known == text) {
                    roles.push(*role);
                    continue;
                }
                let meant = nearest(text, known()).map(|known| format!("did you mean \"{known}\"?"));
                let advice = meant.unwrap_or_else(|| advice.clone());
                self.sink.fault(value.span(), format!("there is no role '{text}'"), advice);
            }
            all.insert(name.value.to_owned(), roles);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use offhook_server::Role;

    use super::super::check_text;

    const HEAD: &str = "[exchange]\nrealm = \"house.test\"\n[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[http]\nlisten = \"127.0.0.1:8080\"\n";
    const GOOD: &str = "[openid]\nissuer = \"http://127.0.0.1:9/house\"\nclient_id = \"offhook\"\nsecret = \"staple-battery\"\n\
                        address = \"https://exchange.test\"\nroles_claim = \"groups\"\n[openid.roles]\nstaff = \"agent\"\n\
                        leads = [\"agent\", \"supervisor\"]\n";

    #[test]
    fn a_provider_is_read_and_its_faults_are_told() {
        let read = |text: &str| check_text(Path::new("test.toml"), &format!("{HEAD}{text}"));
        let good = read(GOOD).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(!format!("{good:?}").contains("staple-battery"));
        let openid = good.openid.expect("a provider");
        assert_eq!((openid.user_claim.as_str(), openid.title.as_str()), ("sub", "OpenID"));
        assert_eq!(openid.roles["leads"], [Role::Agent, Role::Supervisor]);
        let user = "[[user]]\nname = \"sue\"\nopenid = \"sue@house.test\"\nroles = \"agent\"\n";
        let users = read(&format!("{GOOD}{user}")).unwrap_or_else(|faults| panic!("{faults}")).users;
        assert!(users[0].password.is_none() && users[0].openid.as_deref() == Some("sue@house.test"));
        for (text, message) in [
            (GOOD.replace("issuer", "# issuer"), "[openid] has no issuer"),
            (GOOD.replace("127.0.0.1:9", "id.test"), "begins with https://"),
            (GOOD.replace("https://exchange.test", "exchange.test"), "where browsers reach"),
            (GOOD.replace("https://exchange.test", "https://exchange.test/desk"), "where browsers reach"),
            (GOOD.replace("\"agent\"\n", "\"agnt\"\n"), "did you mean \"agent\"?"),
            (GOOD.replace("roles_claim", "# roles_claim"), "which claim holds roles"),
            (GOOD.replace("\"agent\"\n", "[]\n"), "staff has no roles"),
            (GOOD.split("[openid.roles]").next().expect("a part").to_owned(), "what its values mean"),
            (user.to_owned(), "there is no [openid]"),
            (format!("{GOOD}{user}{}", user.replace("\"sue\"", "\"bob\"")), "two users"),
        ] {
            let faults = read(&text).expect_err(message).to_string();
            assert!(faults.contains(message), "{faults}");
            assert!(!faults.contains("staple-battery"), "the secret is shown: {faults}");
        }
    }
}
