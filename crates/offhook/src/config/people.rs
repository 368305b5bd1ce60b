//! Trunks, accounts and agents; `from` and `to` make many of one table.

use core::net::{IpAddr, SocketAddr};
use core::ops::{Range, RangeInclusive};
use std::collections::BTreeMap;

use offhook_acd::AgentConfig;
use offhook_call::config::{Account, Login};
use offhook_sip::{Transport, Uri};
use offhook_units::{AgentId, Span};
use toml::Spanned;
use toml::de::DeValue;

use super::exchange::Sip;
use super::fault::Sink;
use super::lending::LoanNamed;
use super::pattern::Pattern;
use super::read::{At, Section, nearest};
use super::routing::Queues;
use super::{Agent, Loan, Place, Reach, Reader, Trunk};

/// Most that one table makes.
const RANGE_MAX: u64 = 100_000;
/// Most addresses that one prefix of a trunk stands for.
const PREFIX_ADDRESSES_MAX: u32 = 256;
/// A shorter password is warned of where phones come from outside.
const PASSWORD_CHARS_MIN: usize = 8;

/// Accounts by user part, each with where it is written.
pub type Accounts = BTreeMap<String, At<Account>>;

/// A place in a queue, as it is written.
struct Member {
    queue: At<String>,
    level: u8,
    weight: u8,
    lent_by: Option<At<String>>,
}

impl Reader {
    /// `[[trunk]]`.
    pub fn trunks(&mut self, root: &mut Section<'_>) -> Vec<At<Trunk>> {
        let mut trunks: Vec<At<Trunk>> = Vec::new();
        let mut taken: BTreeMap<IpAddr, String> = BTreeMap::new();
        for mut section in root.tables(&mut self.sink, "trunk") {
            let name = section.need_text(&mut self.sink, "name", "\"carrier\"");
            let example = "[\"192.0.2.1\"]";
            let peers = section.texts(&mut self.sink, "peers", example);
            let out = self.outgoing(&mut section, name.as_ref());
            let by_certificate = self.trunk_tls(&mut section, trunks.len(), out.as_ref());
            let (limits, codecs) = self.trunk_limits(&mut section);
            let srtp = self.srtp(&mut section);
            let large_over_tcp = self.large_over_tcp(&mut section);
            let trust_identity = section.flag(&mut self.sink, "trust_identity").unwrap_or(true);
            let (numbering, format) = self.numbers_of_trunk(&mut section);
            let span = section.span.clone();
            section.finish(&mut self.sink);
            let title = name.as_ref().map_or_else(String::new, |name| name.value.clone());
            if let Some(name) = &name
                && trunks.iter().any(|trunk| trunk.value.name == name.value)
            {
                let message = format!("there are two trunks '{}'", name.value);
                self.sink.fault(name.span.clone(), message, "give each its own name");
            }
            let mut addresses = Vec::new();
            match peers {
                Some(peers) if !peers.value.is_empty() => {
                    for peer in &peers.value {
                        addresses.extend(self.peer_addresses(peer, &title, &mut taken));
                    }
                }
                // Calls come from where ours go to, or show who sends them.
                None if out.is_some() || by_certificate => {}
                Some(_) | None => {
                    let advice = format!("add the addresses that its calls come from: peers = {example}");
                    self.sink.missing(span.clone(), "[[trunk]] has no peers", advice);
                }
            }
            trunks.push(At {
                value: Trunk {
                    name: title,
                    peers: addresses,
                    by_certificate,
                    limits,
                    codecs,
                    numbering,
                    format,
                    out,
                    srtp,
                    large_over_tcp,
                    trust_identity,
                },
                span,
            });
        }
        trunks
    }

    fn peer_addresses(&mut self, text: &At<String>, trunk: &str, taken: &mut BTreeMap<IpAddr, String>) -> Vec<IpAddr> {
        let Some(addresses) = prefix_addresses(&text.value) else {
            let message = format!("\"{}\" is not an address, or too large a network", text.value);
            let advice = "write an IP address, or a network of at most 256 addresses such as \"192.0.2.0/24\"";
            self.sink.fault(text.span.clone(), message, advice);
            return Vec::new();
        };
        for address in &addresses {
            if let Some(other) = taken.insert(*address, trunk.to_owned()) {
                let message = format!("{address} belongs to trunk '{other}' already");
                self.sink.fault(text.span.clone(), message, "an address can belong to one trunk: take it out of one");
                break;
            }
        }
        addresses
    }

    /// `from` and `to`: the numbers that a table stands for, if it has them. A faulty range stands for one number, so that
    /// the rest of its table is read as a range's all the same.
    fn range(&mut self, section: &mut Section<'_>) -> Option<At<RangeInclusive<u64>>> {
        let from = section.number(&mut self.sink, "from", 0..=u64::MAX / 2);
        let to = section.number(&mut self.sink, "to", 0..=u64::MAX / 2);
        match (from, to) {
            (None, None) => None,
            (Some(from), Some(to)) => {
                let span = from.span.start.min(to.span.start)..from.span.end.max(to.span.end);
                if to.value < from.value || to.value - from.value >= RANGE_MAX {
                    let message = format!("from {} to {} is not a range", from.value, to.value);
                    self.sink.fault(
                        span,
                        message,
                        format!("write a smaller and a larger number, at most {RANGE_MAX} in all"),
                    );
                    return Some(At { value: from.value..=from.value, span: from.span });
                }
                Some(At { value: from.value..=to.value, span })
            }
            (Some(one), None) | (None, Some(one)) => {
                let message = format!("{} has only one of from and to", section.title);
                self.sink.fault(one.span.clone(), message, "write both, such as from = 1 and to = 100");
                Some(At { value: one.value..=one.value, span: one.span })
            }
        }
    }

    /// A text that may have `{n}`; a fault where it needs one, or has one without a range.
    fn pattern(&mut self, text: &At<String>, ranged: bool, must_vary: bool) -> Option<Pattern> {
        let pattern = match Pattern::parse(&text.value) {
            Ok(pattern) => pattern,
            Err(reason) => {
                self.sink.fault(text.span.clone(), reason, "write {n}, or {n:04} for four digits");
                return None;
            }
        };
        if pattern.has_number() && !ranged {
            let message = format!("\"{}\" has a place for a number, and there are none", text.value);
            self.sink.fault(text.span.clone(), message, "add from = 1 and to = 100");
            return None;
        }
        if must_vary && ranged && !pattern.has_number() {
            let message = format!("\"{}\" would be the same for every number", text.value);
            self.sink.fault(text.span.clone(), message, "put {n} into it, or {n:04} for four digits");
            return None;
        }
        Some(pattern)
    }

    /// `[[account]]`.
    pub fn accounts(&mut self, root: &mut Section<'_>, sip: &Sip) -> Accounts {
        let outside = sip.listen.iter().any(|listen| !listen.value.address.ip().is_loopback());
        let mut accounts = Accounts::new();
        for mut section in root.tables(&mut self.sink, "account") {
            let range = self.range(&mut section);
            let name = section.need_text(&mut self.sink, "name", "\"alice\"");
            let password = self.secret(&mut section, "password", "password_file", "\"a secret\"");
            if password.is_none() && !section.has("password") && !section.has("password_file") {
                let advice = "add password = \"..\", or password_file = \"..\"";
                self.sink.missing(section.span.clone(), "[[account]] has no password", advice);
            }
            let settings = self.outside(&mut section);
            section.finish(&mut self.sink);
            let Some(name) = name else { continue };
            // An account whose password is wrong is there all the same: agents who name it are right.
            let password = password.unwrap_or_else(|| At { value: String::new(), span: name.span.clone() });
            if password.value == name.value {
                self.sink.fault(password.span.clone(), "the password is the name", "write one that nobody guesses");
            } else if outside && !password.value.is_empty() && password.value.chars().count() < PASSWORD_CHARS_MIN {
                let advice =
                    format!("write {PASSWORD_CHARS_MIN} characters or more: this exchange listens to the outside");
                self.sink.warn(password.span.clone(), "the password is short", advice);
            }
            let names = self.pattern(&name, range.is_some(), true);
            // Outside of a range a password is taken as it is, braces and all.
            let passwords = match range {
                Some(_) => self.pattern(&password, true, false),
                None => Some(Pattern::plain(&password.value)),
            };
            let (Some(names), Some(passwords)) = (names, passwords) else { continue };
            for n in numbers(range.as_ref()) {
                let (user, password) = (names.with(n), passwords.with(n));
                if !user.chars().all(|c| c.is_ascii_alphanumeric() || "-_.!~*'()&=+$,;?/".contains(c)) {
                    let message = format!("\"{user}\" cannot stand before the @ of a SIP address");
                    self.sink.fault(name.span.clone(), message, "write letters, digits, '.', '-' and '_'");
                    break;
                }
                let account = At { value: Account { password, ..settings.clone() }, span: name.span.clone() };
                if accounts.insert(user.clone(), account).is_some() {
                    let message = format!("there are two accounts '{user}'");
                    self.sink.fault(name.span.clone(), message, "give each phone an account of its own");
                    break;
                }
            }
        }
        accounts
    }

    /// `[[agent]]`.
    pub fn agents(&mut self, root: &mut Section<'_>, queues: &Queues, accounts: &Accounts) -> Vec<At<Agent>> {
        let mut agents: Vec<At<Agent>> = Vec::new();
        let mut names: BTreeMap<String, Range<usize>> = BTreeMap::new();
        let mut phones: BTreeMap<String, String> = BTreeMap::new();
        for mut section in root.tables(&mut self.sink, "agent") {
            let range = self.range(&mut section);
            let name = section.need_text(&mut self.sink, "name", "\"alice\"");
            let (memberships, loans) = self.memberships(&mut section, queues);
            let reach = self.reach(&mut section, range.is_some());
            let login = self.login(&mut section, reach.as_ref());
            let acd = self.agent_settings(&mut section);
            let busy_delay = section.span(&mut self.sink, "busy_delay", Span::ZERO..=Span::from_s(3_600));
            let supervises = self.supervises(&mut section, queues);
            let skills = self.skills(&mut section);
            let record = self.record(&mut section, "record");
            section.finish(&mut self.sink);
            let Some(name) = name else { continue };
            let Some(pattern) = self.pattern(&name, range.is_some(), true) else { continue };
            for n in numbers(range.as_ref()) {
                let agent = pattern.with(n);
                if names.insert(agent.clone(), name.span.clone()).is_some() {
                    let message = format!("there are two agents '{agent}'");
                    self.sink.fault(name.span.clone(), message, "give each agent a name of its own");
                    break;
                }
                let Some(reach) = reach.as_ref().and_then(|reach| self.reach_of(reach, n, accounts)) else { break };
                if let Reach::Account(account) = &reach
                    && let Some(other) = phones.insert(account.clone(), agent.clone())
                {
                    let message = format!("'{agent}' and '{other}' have the same phone, account '{account}'");
                    self.sink.fault(name.span.clone(), message, "give each agent an account of its own");
                    break;
                }
                let mut acd = acd.clone();
                acd.name.clone_from(&agent);
                let value = Agent {
                    acd,
                    queues: memberships.clone(),
                    loans: loans.clone(),
                    skills: skills.clone(),
                    reach,
                    login,
                    supervises: supervises.clone(),
                    record,
                    busy_delay,
                };
                agents.push(At { value, span: name.span.clone() });
            }
        }
        agents
    }

    fn agent_settings(&mut self, section: &mut Section<'_>) -> AgentConfig {
        let mut acd = AgentConfig::new(AgentId(0), "");
        let rests = Span::ZERO..=Span::from_s(3_600);
        if let Some(rest) = section.span(&mut self.sink, "decline_delay", rests.clone()) {
            acd.decline_delay = rest;
        }
        if let Some(rest) = section.span(&mut self.sink, "no_answer_delay", rests) {
            acd.no_answer_delay = rest;
        }
        if let Some(missed) = section.number(&mut self.sink, "max_missed", 0..=1_000) {
            acd.max_missed = missed.value as u32;
        }
        acd
    }

    /// `supervises = ["sales"]`, or `["*"]` for every call.
    fn supervises(&mut self, section: &mut Section<'_>, queues: &Queues) -> Vec<String> {
        let named = section.texts(&mut self.sink, "supervises", "[\"sales\"], or [\"*\"] for every call");
        let named = named.map(|named| named.value).unwrap_or_default();
        let known = |sink: &mut Sink, name: &At<String>| name.value == "*" || queues.must_have(sink, name);
        named.into_iter().filter(|name| known(&mut self.sink, name)).map(|name| name.value).collect()
    }

    /// The agent's queues with tier level and weight, and to which of them the agent is lent by which.
    fn memberships(&mut self, section: &mut Section<'_>, queues: &Queues) -> (Vec<Place>, Vec<Loan>) {
        let (mut memberships, mut loans): (Vec<Place>, Vec<LoanNamed>) = Default::default();
        for item in section.items(&mut self.sink, "queues", "[\"sales\"]") {
            let Some(Member { queue, level, weight, lent_by }) = self.membership(item) else { continue };
            if !queues.must_have(&mut self.sink, &queue) {
                continue;
            }
            if memberships.iter().any(|(other, ..)| *other == queue.value) {
                let message = format!("queue '{}' is named twice", queue.value);
                self.sink.fault(queue.span, message, "take one of the two out");
                continue;
            }
            if memberships.len() == offhook_acd::MEMBERSHIPS_MAX {
                let advice = format!("an agent serves at most {} queues", offhook_acd::MEMBERSHIPS_MAX);
                self.sink.fault(queue.span, "too many queues", advice);
                break;
            }
            loans.extend(lent_by.map(|by| (queue.value.clone(), by)));
            memberships.push((queue.value, level, weight));
        }
        let loans = self.loans(queues, &memberships, loans);
        (memberships, loans)
    }

    /// `"sales"` or `{ queue = "sales", level = 2, weight = 5, lent_by = "support" }`.
    fn membership(&mut self, item: &Spanned<DeValue<'_>>) -> Option<Member> {
        if let Some(name) = item.get_ref().as_str() {
            let queue = At { value: name.to_owned(), span: item.span() };
            return Some(Member { queue, level: 1, weight: 1, lent_by: None });
        }
        let Some(table) = item.get_ref().as_table() else {
            let advice = "write \"sales\", or { queue = \"sales\", level = 2 }";
            self.sink.fault(item.span(), "this is neither a queue's name nor a table", advice);
            return None;
        };
        let mut section = Section::of(table, "a membership".to_owned(), item.span());
        let queue = section.need_text(&mut self.sink, "queue", "\"sales\"");
        let level = section.number(&mut self.sink, "level", 1..=u64::from(offhook_acd::LEVELS_MAX));
        let weight = section.number(&mut self.sink, "weight", 1..=u64::from(offhook_acd::WEIGHT_MAX));
        let lent_by = section.text(&mut self.sink, "lent_by", "\"support\"");
        section.finish(&mut self.sink);
        let level = level.map_or(1, |level| level.value as u8);
        let weight = weight.map_or(1, |weight| weight.value as u8);
        Some(Member { queue: queue?, level, weight, lent_by })
    }

    fn reach(&mut self, section: &mut Section<'_>, ranged: bool) -> Option<At<ReachPattern>> {
        let account = section.text(&mut self.sink, "account", "\"alice\"");
        let contact = section.text(&mut self.sink, "contact", "\"sip:alice@192.0.2.20:5060\"");
        match (account, contact) {
            (Some(account), None) => {
                let pattern = self.pattern(&account, ranged, true)?;
                Some(account.map(|_| ReachPattern::Account(pattern)))
            }
            (None, Some(contact)) => {
                let pattern = self.pattern(&contact, ranged, true)?;
                Some(contact.map(|_| ReachPattern::Contact(pattern)))
            }
            (Some(_), Some(contact)) => {
                let advice = "keep account for a phone that registers, or contact for one that is always there";
                self.sink.fault(contact.span, "an agent has one phone, and this one has two", advice);
                None
            }
            (None, None) => {
                if !section.has("account") && !section.has("contact") {
                    let advice = "add account = \"..\" for a phone that registers, or contact = \"sip:..\"";
                    self.sink.missing(section.span.clone(), "[[agent]] has no phone", advice);
                }
                None
            }
        }
    }

    fn reach_of(&mut self, reach: &At<ReachPattern>, n: u64, accounts: &Accounts) -> Option<Reach> {
        match &reach.value {
            ReachPattern::Account(pattern) => {
                let account = pattern.with(n);
                if accounts.contains_key(&account) {
                    return Some(Reach::Account(account));
                }
                let advice = match nearest(&account, accounts.keys().map(String::as_str)) {
                    Some(known) => format!("did you mean '{known}'?"),
                    None => format!("add [[account]] with name = \"{account}\" and a password"),
                };
                self.sink.missing(reach.span.clone(), format!("there is no account '{account}'"), advice);
                None
            }
            ReachPattern::Contact(pattern) => {
                let uri = pattern.with(n);
                let Some((transport, peer)) = contact_address(&uri) else {
                    let advice =
                        "write sip:USER@ADDRESS:PORT with an IP address, such as \"sip:alice@192.0.2.20:5060\"";
                    self.sink.fault(reach.span.clone(), format!("\"{uri}\" is not a phone's address"), advice);
                    return None;
                };
                self.must_speak(transport, &reach.span);
                Some(Reach::Static { uri, transport, peer })
            }
        }
    }

    /// Without a listener of a transport there is no address of ours that the far end could answer to.
    pub fn must_speak(&mut self, transport: Transport, span: &Range<usize>) {
        if !self.spoken.is_empty() && !self.spoken.contains(&transport) {
            let name = transport.param();
            let message = format!("this is reached over {name}, and listen in [sip] has no {name}");
            let advice = format!("add \"{name}:ADDRESS:{}\" to listen in [sip]", transport.default_port());
            self.sink.fault(span.clone(), message, advice);
        }
    }

    fn login(&mut self, section: &mut Section<'_>, reach: Option<&At<ReachPattern>>) -> Login {
        const CHOICES: [(&str, Login); 3] = [
            ("at-start", Login::AtStart),
            ("when-registered", Login::WhenRegistered),
            ("by-command", Login::ByCommand),
        ];
        let has_account = reach.is_none_or(|reach| matches!(reach.value, ReachPattern::Account(_)));
        let login = section.choice(&mut self.sink, "login", &CHOICES);
        if login == Some(Login::WhenRegistered) && !has_account {
            let message = "a phone at a fixed contact never registers";
            let advice = "write login = \"at-start\" or \"by-command\"";
            self.sink.fault(section.span.clone(), message, advice);
        }
        login.unwrap_or(if has_account { Login::WhenRegistered } else { Login::AtStart })
    }
}

/// Where an agent's phone is, with `{n}` still in it.
enum ReachPattern {
    Account(Pattern),
    Contact(Pattern),
}

fn numbers(range: Option<&At<RangeInclusive<u64>>>) -> RangeInclusive<u64> {
    range.map_or(0..=0, |range| range.value.clone())
}

/// The addresses of `192.0.2.7` or `192.0.2.0/24`; at most [`PREFIX_ADDRESSES_MAX`].
fn prefix_addresses(text: &str) -> Option<Vec<IpAddr>> {
    let Some((base, length)) = text.split_once('/') else { return text.parse().ok().map(|ip| vec![ip]) };
    let length: u32 = length.parse().ok()?;
    let count = |bits: u32| 1_u32.checked_shl(bits.checked_sub(length)?).filter(|n| *n <= PREFIX_ADDRESSES_MAX);
    match base.parse().ok()? {
        IpAddr::V4(ip) => {
            let count = count(32)?;
            let first = u32::from(ip) & !(count - 1);
            Some((0..count).map(|at| IpAddr::V4((first + at).into())).collect())
        }
        IpAddr::V6(ip) => {
            let count = count(128)?;
            let first = u128::from(ip) & !(u128::from(count) - 1);
            Some((0..count).map(|at| IpAddr::V6((first + u128::from(at)).into())).collect())
        }
    }
}

/// Where `sip:user@address:port` is, and how it is reached: `;transport=` says so.
fn contact_address(uri: &str) -> Option<(Transport, SocketAddr)> {
    let rest = uri.strip_prefix("sip:")?;
    let (user, host) = rest.split_once('@')?;
    if user.is_empty() || user.contains(char::is_whitespace) {
        return None;
    }
    let transport = match uri.parse::<Uri>().ok()?.param("transport") {
        Some(name) => Transport::from_name(name)?,
        None => Transport::Udp,
    };
    Some((transport, host_address(host.split(';').next()?, transport)?))
}

/// `192.0.2.20:5060`, without a port, or with a transport before it: `tcp:192.0.2.20`.
pub fn dialled_address(text: &str) -> Option<(Transport, SocketAddr)> {
    if let Some((name, host)) = text.split_once(':')
        && let Some(transport) = Transport::from_name(name)
    {
        return Some((transport, host_address(host, transport)?));
    }
    Some((Transport::Udp, host_address(text, Transport::Udp)?))
}

/// An address, with the usual port of `transport` where none is written.
pub fn host_address(host: &str, transport: Transport) -> Option<SocketAddr> {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return (address.port() != 0).then_some(address);
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, transport.default_port()))
}
