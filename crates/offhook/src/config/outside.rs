//! Calls to the world outside: how a trunk takes them, and which account may make them.

use core::net::SocketAddr;

use offhook_call::config::{Account, OUTSIDE_MAX_DEFAULT};
use offhook_sip::Credentials;

use super::Reader;
use super::people::host_address;
use super::read::{At, Section};

/// How a trunk takes calls, before its route is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where INVITEs are sent.
    pub proxy: SocketAddr,
    /// What its numbers begin with.
    pub prefixes: Vec<String>,
    /// Numbers that it takes from everybody.
    pub emergency: Vec<String>,
    /// Who calls, where the account does not say.
    pub caller_id: Option<String>,
    /// For its challenges.
    pub credentials: Option<Credentials>,
}

impl Reader {
    /// The keys of a `[[trunk]]` that calls go out over.
    pub fn outgoing(&mut self, section: &mut Section<'_>) -> Option<Outgoing> {
        let example = "\"udp:192.0.2.1:5060\"";
        let proxy = section.text(&mut self.sink, "proxy", example);
        let prefixes = self.dialled(section, "prefixes", "[\"+\", \"0\"]");
        let emergency = self.dialled(section, "emergency", "[\"112\"]");
        let caller_id = section.text_or_number_if(&mut self.sink, "caller_id", "\"4930555700\"");
        let user = section.text(&mut self.sink, "user", "\"4930555700\"");
        let password = self.secret(section, "password", "password_file", "\"a secret\"");
        let Some(proxy) = proxy else {
            if let Some(key) = ["prefixes", "emergency", "caller_id", "user", "password", "password_file"]
                .into_iter()
                .find(|key| section.has(key))
            {
                let message = format!("[[trunk]] has {key}, and no proxy that calls could go to");
                self.sink.missing(section.span.clone(), message, format!("add proxy = {example}"));
            }
            return None;
        };
        if prefixes.is_empty() && emergency.is_empty() {
            let advice = "add prefixes = [\"+\", \"0\"], or what its numbers begin with";
            self.sink.missing(proxy.span.clone(), "this trunk takes no numbers", advice);
        }
        let credentials = match (user, password) {
            (Some(user), Some(password)) => Some(Credentials { username: user.value, password: password.value }),
            (None, None) => None,
            (Some(At { span, .. }), None) | (None, Some(At { span, .. })) => {
                let advice = "write both user and password, or neither";
                self.sink.fault(span, "credentials are a user and a password", advice);
                None
            }
        };
        let address = proxy.value.strip_prefix("udp:").and_then(|host| host_address(host, offhook_sip::Transport::Udp));
        let Some(address) = address else {
            let message = format!("\"{}\" is not where a trunk can be reached", proxy.value);
            self.sink.fault(proxy.span, message, format!("write proxy = {example}"));
            return None;
        };
        let caller_id = caller_id.map(|id| id.value);
        Some(Outgoing { proxy: address, prefixes, emergency, caller_id, credentials })
    }

    /// The keys of an `[[account]]` that calls outside; the password follows.
    pub fn outside(&mut self, section: &mut Section<'_>) -> Account {
        let outside = self.dialled(section, "outside", "[\"+49\", \"0\"]");
        let most = section.number(&mut self.sink, "outside_calls", 1..=10_000);
        let caller_id = section.text_or_number_if(&mut self.sink, "caller_id", "\"4930555701\"");
        Account {
            outside,
            outside_max: most.map_or(OUTSIDE_MAX_DEFAULT, |most| most.value as u32),
            caller_id: caller_id.map(|id| id.value),
            ..Account::new("")
        }
    }

    /// Numbers, or what they begin with.
    fn dialled(&mut self, section: &mut Section<'_>, key: &'static str, example: &str) -> Vec<String> {
        let Some(texts) = section.texts(&mut self.sink, key, example) else { return Vec::new() };
        let mut numbers = Vec::new();
        for text in texts.value {
            let digits = text.value.strip_prefix('+').unwrap_or(&text.value);
            if digits.chars().all(|c| c.is_ascii_digit() || c == '*' || c == '#') {
                numbers.push(text.value);
            } else {
                let message = format!("\"{}\" is not the beginning of a number", text.value);
                self.sink.fault(text.span, message, format!("write digits, such as {key} = {example}"));
            }
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Kind, check_text};

    const GOOD: &str = "[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[[trunk]]\nname = \"t\"\npeers = [\"127.0.0.2\"]\n";

    fn check(trunk: &str, place: (usize, usize), message: &str) {
        let text = format!("{GOOD}{trunk}");
        let faults = check_text(Path::new("test.toml"), &text).err().unwrap_or_else(|| panic!("no fault in\n{text}"));
        let found = faults.list.iter().any(|fault| faults.place(fault) == place && fault.message.contains(message));
        assert!(found, "{message:?} at {place:?} is not in {faults}");
    }

    #[test]
    fn a_trunk_that_takes_calls_says_where_and_which() {
        check("prefixes = [\"0\"]\n", (3, 1), "has prefixes, and no proxy");
        check("proxy = \"udp:192.0.2.1\"\n", (6, 9), "takes no numbers");
        check("proxy = \"192.0.2.1\"\nprefixes = [\"0\"]\n", (6, 9), "is not where a trunk can be reached");
        check("proxy = \"udp:192.0.2.1\"\nprefixes = [\"o\"]\n", (7, 13), "is not the beginning of a number");
        check("proxy = \"udp:192.0.2.1\"\nprefixes = [\"0\"]\nuser = \"x\"\n", (8, 8), "a user and a password");
    }

    #[test]
    fn an_account_calls_nobody_outside_unless_the_file_says_so() {
        let text = format!(
            "{GOOD}proxy = \"udp:192.0.2.1:5070\"\nprefixes = [\"+\"]\nemergency = [\"112\"]\nuser = \"u\"\npassword = \"carrier \
             pigeon\"\n[[account]]\nname = \"ann\"\npassword = \"correct horse\"\n[[account]]\nname = \"bob\"\npassword = \
             \"battery staple\"\noutside = [\"+49\"]\noutside_calls = 2\ncaller_id = \"+4930\"\n"
        );
        let checked = check_text(Path::new("test.toml"), &text).unwrap_or_else(|faults| panic!("{faults}"));
        let local = "127.0.0.1:5060".parse().expect("an address");
        let exchange = checked.resolve(|_: Kind, _: &str| 1, |_, _| local).exchange;
        let out = exchange.trunks[0].out.as_ref().expect("it takes calls");
        assert_eq!((out.flow.peer, out.flow.local), ("192.0.2.1:5070".parse().expect("an address"), local));
        assert_eq!((&out.prefixes[..], &out.emergency[..]), (&["+".to_owned()][..], &["112".to_owned()][..]));
        assert_eq!(out.credentials.as_ref().map(|given| &*given.username), Some("u"));
        assert!(exchange.accounts["ann"].outside.is_empty());
        let bob = &exchange.accounts["bob"];
        assert_eq!((&bob.outside[..], bob.outside_max), (&["+49".to_owned()][..], 2));
        assert_eq!((bob.caller_id.as_deref(), &*bob.password), (Some("+4930"), "battery staple"));
    }
}
