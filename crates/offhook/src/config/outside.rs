//! Calls to the world outside: how a trunk takes them, and which account may make them.

use core::net::SocketAddr;
use core::ops::RangeInclusive;

use offhook_call::TARGETS_MAX;
use offhook_call::config::{
    self, Account, OUTSIDE_MAX_DEFAULT, OUTSIDE_PER_DAY_DEFAULT, OUTSIDE_PER_HOUR_DEFAULT, Registering, TrunkLimits,
};
use offhook_call::turn::Turn;
use offhook_net::dns::Named;
use offhook_plan::CodecKind;
use offhook_sip::{Credentials, Transport, Uri};
use offhook_units::Span;

use super::Reader;
use super::people::dialled_address;
use super::read::{At, Section};

/// How long credentials of a relay are good: a call goes on by them until a relay asks anew, about every ten minutes.
const TURN_LASTS: Span = Span::from_s(12 * 3_600);
const TURN_LASTS_RANGE: RangeInclusive<Span> = Span::from_s(600)..=Span::from_s(7 * 24 * 3_600);

/// How a trunk takes calls, before its routes are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where INVITEs and REGISTERs are sent, in the order in which they are tried.
    pub proxies: Vec<Proxy>,
    /// Everything else; its targets are empty.
    pub rest: config::Outgoing,
}

/// One of the places that calls to a trunk go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proxy {
    /// An address.
    At(Transport, SocketAddr),
    /// A name, resolved while the exchange runs.
    Named(Named),
}

/// Keys that mean nothing without `proxy`.
const NEED_PROXY: [&str; 10] = [
    "prefixes",
    "emergency",
    "caller_id",
    "user",
    "password",
    "password_file",
    "register",
    "domain",
    "diversion",
    "health_every",
];
const PROXY: &str = "\"udp:192.0.2.1:5060\"";
/// A shorter registration is traffic for nothing, a longer one is lost for too long when the carrier restarts.
const EXPIRES: RangeInclusive<Span> = Span::from_s(30)..=Span::from_s(86_400);
/// Asked for where nothing is said; carriers shorten it as they like.
const EXPIRES_DEFAULT: Span = Span::from_s(600);
const HEALTH_EVERY: RangeInclusive<Span> = Span::ZERO..=Span::from_s(3_600);

impl Reader {
    /// The keys of a `[[trunk]]` that calls go out over.
    pub fn outgoing(&mut self, section: &mut Section<'_>, name: Option<&At<String>>) -> Option<Outgoing> {
        let proxy = section.texts(&mut self.sink, "proxy", PROXY);
        let prefixes = self.dialled(section, "prefixes", "[\"+\", \"0\"]");
        let emergency = self.dialled(section, "emergency", "[\"112\"]");
        let caller_id = section.text_or_number_if(&mut self.sink, "caller_id", "\"4930555700\"");
        let user = section.text(&mut self.sink, "user", "\"4930555700\"");
        let password = self.secret(section, "password", "password_file", "\"a secret\"");
        let registers = section.flag(&mut self.sink, "register").unwrap_or(false);
        let expires = section.span(&mut self.sink, "expires", EXPIRES);
        let domain = section.text(&mut self.sink, "domain", "\"carrier.example\"");
        let diversion = section.flag(&mut self.sink, "diversion").unwrap_or(false);
        let health_every = section.span(&mut self.sink, "health_every", HEALTH_EVERY);
        let Some(proxy) = proxy else {
            if let Some(key) = NEED_PROXY.into_iter().find(|key| section.has(key)) {
                let message = format!("[[trunk]] has {key}, and no proxy that calls could go to");
                self.sink.missing(section.span.clone(), message, format!("add proxy = {PROXY}"));
            }
            return None;
        };
        if prefixes.is_empty() && emergency.is_empty() && !registers && !self.is_recorder(name) {
            let advice = "add prefixes = [\"+\", \"0\"], or what its numbers begin with, or register = true";
            self.sink.missing(proxy.span.clone(), "this trunk takes no numbers", advice);
        }
        let register = self.registering(section, registers, expires, user.as_ref());
        let credentials = match (user, password) {
            (Some(user), Some(password)) => Some(Credentials { username: user.value, password: password.value }),
            (None, None) => None,
            (Some(At { span, .. }), None) | (None, Some(At { span, .. })) => {
                let advice = "write both user and password, or neither";
                self.sink.fault(span, "credentials are a user and a password", advice);
                None
            }
        };
        let proxies = self.proxies(proxy);
        // A carrier that is found by name goes by that name.
        let own_name = proxies.iter().find_map(|proxy| match proxy {
            Proxy::Named(named) => Some(named.host.clone()),
            Proxy::At(..) => None,
        });
        let rest = config::Outgoing {
            domain: domain.and_then(|domain| self.domain(domain)).or(own_name),
            prefixes,
            emergency,
            caller_id: caller_id.map(|id| id.value),
            credentials,
            register,
            diversion,
            health_every: health_every.unwrap_or(config::Outgoing::HEALTH_EVERY),
            ..config::Outgoing::to(Vec::new())
        };
        Some(Outgoing { proxies, rest })
    }

    fn registering(
        &mut self,
        section: &Section<'_>,
        registers: bool,
        expires: Option<Span>,
        user: Option<&At<String>>,
    ) -> Option<Registering> {
        if !registers {
            if expires.is_some() {
                let message = "expires is how long a registration holds, and there is none";
                self.sink.missing(section.span.clone(), message, "add register = true, or take expires out");
            }
            return None;
        }
        let Some(user) = user else {
            let advice = "add user = \"4930555700\" and password";
            self.sink.missing(section.span.clone(), "a registration is that of a user", advice);
            return None;
        };
        Some(Registering { user: user.value.clone(), expires: expires.unwrap_or(EXPIRES_DEFAULT) })
    }

    /// A domain as it stands in URIs.
    fn domain(&mut self, domain: At<String>) -> Option<String> {
        let is_host = format!("sip:{}", domain.value).parse::<Uri>().is_ok_and(|uri| uri.host == domain.value);
        if !is_host {
            let message = format!("\"{}\" is not a domain", domain.value);
            self.sink.fault(domain.span, message, "write the carrier's, such as domain = \"carrier.example\"");
            return None;
        }
        Some(domain.value)
    }

    fn proxies(&mut self, texts: At<Vec<At<String>>>) -> Vec<Proxy> {
        if texts.value.is_empty() || texts.value.len() > TARGETS_MAX {
            let message = format!("proxy lists {} places", texts.value.len());
            self.sink.fault(texts.span, message, format!("write 1 to {TARGETS_MAX}, such as proxy = {PROXY}"));
        }
        let mut proxies = Vec::new();
        for text in texts.value {
            // A transport must be written, so that nobody takes a name's default for granted.
            let transport = text.value.split_once(':').and_then(|(name, _)| Transport::from_name(name));
            if let Some((transport, address)) = transport.and_then(|_| dialled_address(&text.value)) {
                self.must_speak(transport, &text.span);
                proxies.push(Proxy::At(transport, address));
            } else if let Some(named) = named(&text.value) {
                if let Some(transport) = named.transport {
                    self.must_speak(transport, &text.span);
                }
                proxies.push(Proxy::Named(named));
            } else {
                let message = format!("\"{}\" is not where a trunk can be reached", text.value);
                let advice =
                    format!("write proxy = {PROXY}, or a name: \"tls:carrier.example\", \"sip:carrier.example\"");
                self.sink.fault(text.span, message, advice);
            }
        }
        proxies
    }

    /// `[dns]`: the server that knows names of trunks; those of the system where nothing is said.
    pub fn dns(&mut self, root: &mut Section<'_>) -> Option<SocketAddr> {
        let mut section = root.table(&mut self.sink, "dns")?;
        let server = section.text(&mut self.sink, "server", "\"192.0.2.53\"");
        section.finish(&mut self.sink);
        let server = server?;
        let text = &server.value;
        let address = text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, 53)));
        if address.is_none() {
            let message = format!("\"{text}\" is not the address of a name server");
            self.sink.fault(server.span, message, "write server = \"192.0.2.53\", or take [dns] out");
        }
        address
    }

    /// `[turn]`: relays for browsers.
    pub fn turn(&mut self, root: &mut Section<'_>) -> Option<Turn> {
        const EXAMPLE: &str = "[\"turn:turn.example.com:3478?transport=udp\"]";
        let mut section = root.table(&mut self.sink, "turn")?;
        let urls = section.texts(&mut self.sink, "urls", EXAMPLE);
        let secret = self.secret(&mut section, "secret", "secret_file", "\"what the relay knows too\"");
        let lasts = section.span(&mut self.sink, "lasts", TURN_LASTS_RANGE).unwrap_or(TURN_LASTS);
        let span = section.span.clone();
        section.finish(&mut self.sink);
        let (Some(urls), Some(secret)) = (&urls, &secret) else {
            if urls.is_none() || secret.is_none() {
                let advice = format!("write urls = {EXAMPLE} and secret_file = \"turn.secret\"");
                self.sink.missing(span, "[turn] wants urls and a secret", advice);
            }
            return None;
        };
        for url in &urls.value {
            let place = url.value.strip_prefix("turn:").or_else(|| url.value.strip_prefix("turns:"));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]?=".contains(&byte);
            if !place.is_some_and(|place| !place.is_empty() && place.bytes().all(plain)) {
                let message = format!("\"{}\" is not the address of a relay", url.value);
                self.sink.fault(url.span.clone(), message, format!("write urls = {EXAMPLE}, or turns: for TLS"));
            }
        }
        if urls.value.is_empty() {
            self.sink.fault(
                urls.span.clone(),
                "without an address there is no relay",
                format!("write urls = {EXAMPLE}"),
            );
        }
        let urls = urls.value.iter().map(|url| url.value.clone()).collect();
        Some(Turn { urls, secret: secret.value.clone(), lasts })
    }

    /// `calls`, `calls_per_second` and `codecs` of a `[[trunk]]`.
    pub fn trunk_limits(&mut self, section: &mut Section<'_>) -> (TrunkLimits, Vec<CodecKind>) {
        let mut limits = TrunkLimits::default();
        if let Some(calls) = section.number(&mut self.sink, "calls", 1..=1_000_000) {
            limits.calls_max = calls.value as u32;
        }
        if let Some(rate) = section.number(&mut self.sink, "calls_per_second", 1..=100_000) {
            limits.calls_per_s_max = rate.value as u32;
        }
        let codecs = self.some_codecs(section, "a trunk");
        (limits, codecs)
    }

    /// `codecs` of a `[[trunk]]` or an `[[account]]`: some of those of `[media]`, in another order perhaps.
    fn some_codecs(&mut self, section: &mut Section<'_>, who: &str) -> Vec<CodecKind> {
        let Some(names) = section.texts(&mut self.sink, "codecs", "[\"pcma\"]") else { return Vec::new() };
        let codecs: Vec<CodecKind> = self.codecs(&names).into_iter().map(|cap| cap.kind).collect();
        if let Some(codec) = codecs.iter().find(|codec| !self.codecs.contains(codec)) {
            let message = format!("codecs in [media] has no {}", codec.name().to_lowercase());
            let advice = format!("{who} can leave codecs of the exchange out, and change their order");
            self.sink.fault(names.span, message, advice);
        }
        codecs
    }

    /// The keys of an `[[account]]` about its calls; the password follows.
    pub fn outside(&mut self, section: &mut Section<'_>) -> Account {
        let outside = self.dialled(section, "outside", "[\"+49\", \"0\"]");
        let most = section.number(&mut self.sink, "outside_calls", 1..=10_000);
        let per_hour = section.number(&mut self.sink, "outside_per_hour", 1..=1_000_000);
        let per_day = section.number(&mut self.sink, "outside_per_day", 1..=1_000_000);
        let caller_id = section.text_or_number_if(&mut self.sink, "caller_id", "\"4930555701\"");
        Account {
            srtp: self.srtp(section),
            codecs: self.some_codecs(section, "an account"),
            outside,
            outside_max: most.map_or(OUTSIDE_MAX_DEFAULT, |most| most.value as u32),
            outside_per_hour: per_hour.map_or(OUTSIDE_PER_HOUR_DEFAULT, |most| most.value as u32),
            outside_per_day: per_day.map_or(OUTSIDE_PER_DAY_DEFAULT, |most| most.value as u32),
            caller_id: caller_id.map(|id| id.value),
            hide_number: section.flag(&mut self.sink, "hide_number").unwrap_or(false),
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

/// `tls:carrier.example`, `udp:carrier.example:5070`, or `sip:carrier.example` where DNS chooses the transport.
fn named(text: &str) -> Option<Named> {
    let (over, host) = text.split_once(':')?;
    let transport = match over {
        "sip" => None,
        "udp" | "tcp" | "tls" => Transport::from_name(over),
        _ => return None,
    };
    let uri = format!("sip:{host}").parse::<Uri>().ok()?;
    let is_name = uri.user.is_none()
        && uri.host_ip().is_none()
        && uri.host.contains('.')
        && uri.host.split('.').all(|label| !label.is_empty() && label.len() <= 63)
        && uri.to_string() == format!("sip:{host}");
    is_name.then(|| Named { transport, host: uri.host.clone(), port: uri.port })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use offhook_net::dns::Named;
    use offhook_sip::Transport;

    use super::super::{Kind, check_text};
    use super::Proxy;

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
        check("proxy = \"udp:192.0.2.1\"\nregister = true\n", (3, 1), "a registration is that of a user");
        check("proxy = \"udp:192.0.2.1\"\nprefixes = [\"0\"]\nexpires = \"60s\"\n", (3, 1), "and there is none");
        check("proxy = [\"tls:192.0.2.1\"]\nprefixes = [\"0\"]\n", (6, 10), "listen in [sip] has no tls");
        check("proxy = \"udp:192.0.2.1\"\nprefixes = [\"0\"]\ndomain = \"a b\"\n", (8, 10), "is not a domain");
        check("proxy = []\nprefixes = [\"0\"]\n", (6, 9), "proxy lists 0 places");
        check("diversion = true\n", (3, 1), "has diversion, and no proxy");
        check("calls = 0\n", (6, 9), "out of range");
        for wrong in ["sip:", "ws:carrier.example", "sip:u@carrier.example", "carrier.example", "udp:carrier..example"]
        {
            check(&format!("proxy = \"{wrong}\"\nprefixes = [\"0\"]\n"), (6, 9), "is not where a trunk can be reached");
        }
        check("proxy = \"tls:carrier.example\"\nprefixes = [\"0\"]\n", (6, 9), "listen in [sip] has no tls");
        check("[dns]\nserver = \"carrier.example\"\n", (7, 10), "is not the address of a name server");
    }

    #[test]
    fn a_trunk_may_register_be_bounded_and_have_several_proxies_and_no_peers() {
        let text = "[sip]\nlisten = [\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\"]\n[[trunk]]\nname = \"t\"\nproxy = \
                    [\"tcp:192.0.2.1:5070\", \"udp:192.0.2.2\"]\nregister = true\nuser = \"u\"\npassword = \"carrier \
                    pigeon\"\nexpires = \"5m\"\ndomain = \"carrier.example\"\nhealth_every = \"10s\"\ncalls = 30\n\
                    calls_per_second = 5\ncodecs = [\"pcma\"]\ntrust_identity = false\ndiversion = true\n";
        let checked = check_text(Path::new("test.toml"), text).unwrap_or_else(|faults| panic!("{faults}"));
        let local = "127.0.0.1:5060".parse().expect("an address");
        let trunk = checked.resolve(|_: Kind, _: &str| 1, |_, _| local).exchange.trunks.remove(0);
        assert!(!trunk.trust_identity);
        let out = trunk.out.expect("it takes calls");
        let peers: Vec<_> = out.targets.iter().map(ToString::to_string).collect();
        assert_eq!(peers, ["TCP 127.0.0.1:5060 -> 192.0.2.1:5070", "UDP 127.0.0.1:5060 -> 192.0.2.2:5060"]);
        let register = out.register.expect("it registers");
        assert_eq!((&*register.user, register.expires.as_s(), out.health_every.as_s()), ("u", 300, 10));
        assert_eq!((out.domain.as_deref(), out.diversion), (Some("carrier.example"), true));
        assert_eq!((trunk.limits.calls_max, trunk.limits.calls_per_s_max), (30, 5));
        assert_eq!(trunk.codecs, [offhook_plan::CodecKind::Pcma]);
    }

    #[test]
    fn a_trunks_large_requests_go_as_it_says_and_over_tcp_where_that_is_listened_on() {
        check("large_requests = \"tcp\"\n", (3, 1), "listen in [sip] has no tcp");
        let listen = "[\"udp:127.0.0.1:5060\", \"tcp:0.0.0.0:5070\"]";
        let over = |exchange: &str, trunk: &str| {
            let text = format!(
                "[sip]\nlisten = {listen}\n{exchange}\n[[trunk]]\nname = \"t\"\npeers = [\"127.0.0.2\"]\n{trunk}"
            );
            let checked = check_text(Path::new("test.toml"), &text).unwrap_or_else(|faults| panic!("{faults}"));
            let local = "127.0.0.1:5070".parse().expect("an address");
            let exchange = checked.resolve(|_: Kind, _: &str| 1, |_, _| local).exchange;
            (exchange.large_requests_over.len(), exchange.trunks[0].large_requests_over.as_ref().map(Vec::len))
        };
        assert_eq!(over("", "large_requests = \"tcp\"\n"), (0, Some(1)));
        assert_eq!(over("large_requests = \"tcp\"", "large_requests = \"udp\"\n"), (1, Some(0)));
        assert_eq!(over("large_requests = \"tcp\"", ""), (1, None));
    }

    #[test]
    fn a_trunk_may_be_found_by_name_and_goes_by_it() {
        let text = format!(
            "{GOOD}proxy = [\"sip:carrier.example\", \"udp:b.carrier.example:5070\", \"udp:192.0.2.1\"]\nprefixes = \
             [\"0\"]\n[dns]\nserver = \"127.0.0.53\"\n"
        );
        let checked = check_text(Path::new("test.toml"), &text).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(checked.dns, Some("127.0.0.53:53".parse().expect("an address")));
        let out = checked.trunks[0].out.as_ref().expect("it takes calls");
        let named = |host: &str, transport, port| Proxy::Named(Named { transport, host: host.to_owned(), port });
        let address = Proxy::At(Transport::Udp, "192.0.2.1:5060".parse().expect("an address"));
        let udp = Some(Transport::Udp);
        let expected = [named("carrier.example", None, None), named("b.carrier.example", udp, Some(5_070)), address];
        assert_eq!(out.proxies, expected);
        let local = "127.0.0.1:5060".parse().expect("an address");
        let loaded = checked.resolve(|_: Kind, _: &str| 1, |_, _| local);
        let out = loaded.exchange.trunks[0].out.as_ref().expect("it takes calls");
        assert_eq!((out.targets.len(), out.domain.as_deref()), (1, Some("carrier.example")), "addresses need no DNS");
        assert_eq!(loaded.named, [(0, expected.to_vec())]);
    }

    #[test]
    fn an_account_calls_nobody_outside_unless_the_file_says_so() {
        let text = format!(
            "{GOOD}proxy = \"udp:192.0.2.1:5070\"\nprefixes = [\"+\"]\nemergency = [\"112\"]\nuser = \"u\"\npassword = \"carrier \
             pigeon\"\n[[account]]\nname = \"ann\"\npassword = \"correct horse\"\n[[account]]\nname = \"bob\"\npassword = \
             \"battery staple\"\noutside = [\"+49\"]\noutside_calls = 2\noutside_per_hour = 3\noutside_per_day = 9\ncaller_id = \"+4930\"\nhide_number = true\n"
        );
        let checked = check_text(Path::new("test.toml"), &text).unwrap_or_else(|faults| panic!("{faults}"));
        let local = "127.0.0.1:5060".parse().expect("an address");
        let exchange = checked.resolve(|_: Kind, _: &str| 1, |_, _| local).exchange;
        let out = exchange.trunks[0].out.as_ref().expect("it takes calls");
        let flow = out.targets[0];
        assert_eq!((flow.peer, flow.local), ("192.0.2.1:5070".parse().expect("an address"), local));
        assert_eq!((&out.prefixes[..], &out.emergency[..]), (&["+".to_owned()][..], &["112".to_owned()][..]));
        assert_eq!(out.credentials.as_ref().map(|given| &*given.username), Some("u"));
        assert!(exchange.accounts["ann"].outside.is_empty());
        let bob = &exchange.accounts["bob"];
        assert_eq!((bob.outside_per_hour, bob.outside_per_day), (3, 9));
        assert_eq!((&bob.outside[..], bob.outside_max), (&["+49".to_owned()][..], 2));
        assert_eq!((bob.caller_id.as_deref(), &*bob.password), (Some("+4930"), "battery staple"));
        assert!(bob.hide_number);
    }
}
