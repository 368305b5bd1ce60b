//! URIs: `sip:`, `sips:` and `tel:` taken apart, every other scheme carried through (RFC 3261 section 19.1, RFC 3966).

use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::str::FromStr;
use std::borrow::Cow;

use crate::headers::text::{ascii_eq, find_byte, number, split_at_byte};
use crate::headers::{Params, SyntaxError, param_in};

/// The part before the first colon.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// `sip`
    Sip,
    /// `sips`
    Sips,
    /// `tel`: the number stands in [`Uri::user`].
    Tel,
    /// Any other, as it was written; what follows the colon is kept as it stands.
    Other(Box<str>),
}

impl Scheme {
    /// As in a URI, without the colon.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
            Self::Tel => "tel",
            Self::Other(name) => name,
        }
    }
}

/// A URI. `FromStr` and `Display` are lossless up to the letter case of known schemes and leading zeros of the port.
///
/// Equality is textual; [`Uri::equivalent`] compares as RFC 3261 section 19.1.4 says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    /// What kind of URI this is.
    pub scheme: Scheme,
    /// The user part or telephone number as it stands, escapes included; see [`Uri::user_decoded`].
    pub user: Option<String>,
    /// The password as it stands. Present in old configurations only (RFC 3261 section 19.1.1 advises against it).
    pub password: Option<String>,
    /// Host name or address; an IPv6 address keeps its brackets. Empty for `tel:` and unknown schemes.
    pub host: String,
    /// Where it is given.
    pub port: Option<u16>,
    /// Parameters.
    pub params: Params,
    /// What follows the question mark, as it stands; empty if there is none.
    pub headers: String,
    /// What follows the colon of an unknown scheme.
    opaque: Box<str>,
}

impl Uri {
    /// `sip:user@host:port`; characters of `user` that a URI cannot carry are escaped.
    pub fn sip(user: Option<&str>, host: &str, port: Option<u16>) -> Self {
        Self {
            scheme: Scheme::Sip,
            user: user.map(escape_user),
            password: None,
            host: host.to_owned(),
            port,
            params: Params::new(),
            headers: String::new(),
            opaque: Box::default(),
        }
    }

    /// `sip:user@address:port`, IPv6 in brackets.
    pub fn at(user: Option<&str>, address: SocketAddr) -> Self {
        Self::sip(user, &host_text(address.ip()), Some(address.port()))
    }

    /// A URI that is carried and printed but not understood.
    pub(crate) fn opaque(scheme: &str, rest: &str) -> Self {
        let mut uri = Self::sip(None, "", None);
        uri.scheme = Scheme::Other(scheme.into());
        uri.opaque = rest.into();
        uri
    }

    /// Adds or replaces a parameter; an empty value makes a flag.
    #[must_use]
    pub fn with_param(mut self, name: &str, value: &str) -> Self {
        self.params.set(name, value);
        self
    }

    /// The user part with its escapes undone: `alice%40home` is the user `alice@home`.
    pub fn user_decoded(&self) -> Option<Cow<'_, str>> {
        self.user.as_deref().map(unescape_percent)
    }

    /// The value of a URI parameter, empty for a flag.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    /// The value of a header that a request to this address shall have, without its escapes (RFC 3261 section 19.1.1).
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let pairs = self.headers.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let found = pairs.into_iter().find(|(found, _)| ascii_eq(&unescape_percent(found), name));
        found.map(|(_, value)| unescape_percent(value))
    }

    /// Adds a header that a request to this address shall have; its value is escaped.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if !self.headers.is_empty() {
            self.headers.push('&');
        }
        self.headers.push_str(name);
        self.headers.push('=');
        self.headers.push_str(&escape(value, b"-_.!~*'()"));
        self
    }

    /// The host as an address, where it is one.
    pub fn host_ip(&self) -> Option<IpAddr> {
        host_ip(&self.host)
    }

    /// Appends the URI as it is printed, without the formatting machinery.
    pub(crate) fn push_to(&self, out: &mut String) {
        out.reserve(self.host.len() + self.params.as_str().len() + self.user.as_ref().map_or(0, String::len) + 16);
        out.push_str(self.scheme.as_str());
        out.push(':');
        if let Scheme::Other(_) = self.scheme {
            return out.push_str(&self.opaque);
        }
        if let Some(user) = &self.user {
            out.push_str(user);
            if let Some(password) = &self.password {
                out.push(':');
                out.push_str(password);
            }
            if self.scheme != Scheme::Tel {
                out.push('@');
            }
        }
        out.push_str(&self.host);
        if let Some(port) = self.port {
            out.push(':');
            push_digits(out, u32::from(port));
        }
        out.push_str(self.params.as_str());
        if !self.headers.is_empty() {
            out.push('?');
            out.push_str(&self.headers);
        }
    }

    /// The URI in angle brackets, as Contact has it.
    pub(crate) fn bracketed(&self) -> String {
        let mut text = String::with_capacity(self.host.len() + self.params.as_str().len() + 48);
        text.push('<');
        self.push_to(&mut text);
        text.push('>');
        text
    }

    /// Whether this is a `sip:` or `sips:` URI.
    pub const fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// Whether both name the same resource (RFC 3261 section 19.1.4). Unknown schemes compare as text.
    pub fn equivalent(&self, other: &Self) -> bool {
        // A parameter that stands there twice agrees with nothing but itself.
        if self == other {
            return true;
        }
        if self.scheme == Scheme::Tel && other.scheme == Scheme::Tel {
            return same_number(self.user.as_deref(), other.user.as_deref())
                && params_agree(&self.params, &other.params);
        }
        if !self.is_sip() || !other.is_sip() {
            return false;
        }
        self.scheme == other.scheme
            && self.user_decoded() == other.user_decoded()
            && self.password == other.password
            && same_host(&self.host, &other.host)
            && self.port == other.port
            && params_agree(&self.params, &other.params)
            && headers_agree(&self.headers, &other.headers)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_to(&mut text);
        f.write_str(&text)
    }
}

impl FromStr for Uri {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        Ok(UriRef::parse(text)?.to_uri())
    }
}

/// A URI taken apart in place: what the checks of a message need without an allocation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UriRef<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    params: &'a str,
    headers: &'a str,
    opaque: &'a str,
}

impl<'a> UriRef<'a> {
    /// The whole of `text` is the URI.
    pub(crate) fn parse(text: &'a str) -> Result<Self, SyntaxError> {
        if text.bytes().any(|b| b <= b' ' || matches!(b, b'<' | b'>' | b'"' | 0x7f)) {
            return Err(SyntaxError("a URI has no spaces, quotes or angle brackets"));
        }
        let (scheme, rest) = split_at_byte(text, b':').ok_or(SyntaxError("a URI starts with a scheme and a colon"))?;
        let sound = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        if !sound || !scheme.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) {
            return Err(SyntaxError("the URI's scheme has characters that no scheme has"));
        }
        let empty =
            UriRef { scheme, user: None, password: None, host: "", port: None, params: "", headers: "", opaque: "" };
        if ascii_eq(scheme, "sip") || ascii_eq(scheme, "sips") {
            empty.parse_sip(rest)
        } else if ascii_eq(scheme, "tel") {
            let (number, params) = rest.split_at(find_byte(rest, b';').unwrap_or(rest.len()));
            if number.is_empty() {
                return Err(SyntaxError("tel: without a number"));
            }
            Ok(UriRef { user: Some(number), params, ..empty })
        } else if rest.is_empty() {
            Err(SyntaxError("the URI ends after its scheme"))
        } else {
            Ok(UriRef { opaque: rest, ..empty })
        }
    }

    fn parse_sip(mut self, rest: &'a str) -> Result<Self, SyntaxError> {
        // The user part may hold `;`, `?`, `/` and `,` unescaped, but never `@`, so that the first `@` ends it.
        let hostpart = match split_at_byte(rest, b'@') {
            Some((userinfo, hostpart)) => {
                match split_at_byte(userinfo, b':') {
                    Some((user, password)) => (self.user, self.password) = (Some(user), Some(password)),
                    None => self.user = Some(userinfo),
                }
                if self.user == Some("") {
                    return Err(SyntaxError("nothing stands before the @"));
                }
                hostpart
            }
            None => rest,
        };
        let end = hostpart.bytes().position(|byte| matches!(byte, b';' | b'?')).unwrap_or(hostpart.len());
        let (hostport, tail) = hostpart.split_at(end);
        (self.host, self.port) = split_host_port(hostport)?;
        let (params, headers) = split_at_byte(tail, b'?').unwrap_or((tail, ""));
        (self.params, self.headers) = (params, headers);
        Ok(self)
    }

    pub(crate) fn to_uri(self) -> Uri {
        let scheme = if ascii_eq(self.scheme, "sip") {
            Scheme::Sip
        } else if ascii_eq(self.scheme, "sips") {
            Scheme::Sips
        } else if ascii_eq(self.scheme, "tel") {
            Scheme::Tel
        } else {
            Scheme::Other(self.scheme.into())
        };
        Uri {
            scheme,
            user: self.user.map(str::to_owned),
            password: self.password.map(str::to_owned),
            host: self.host.to_owned(),
            port: self.port,
            params: Params::from_raw(self.params),
            headers: self.headers.to_owned(),
            opaque: self.opaque.into(),
        }
    }
}

/// Appends decimal digits.
pub(crate) fn push_digits(out: &mut String, number: u32) {
    let mut digits = [0; 10];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

/// An address as a URI or a Via writes it: IPv6 in brackets.
pub(crate) fn host_text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let mut text = String::with_capacity(15);
            for (place, octet) in v4.octets().into_iter().enumerate() {
                if place > 0 {
                    text.push('.');
                }
                push_digits(&mut text, u32::from(octet));
            }
            text
        }
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// The address that a host names, with or without brackets.
pub(crate) fn host_ip(host: &str) -> Option<IpAddr> {
    let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    inside.parse().ok().or_else(|| ipv6(inside).map(IpAddr::V6))
}

/// An IPv6 address. The grammar of RFC 3261 lets three colons stand before an IPv4 part; such senders are understood
/// (RFC 5118 section 4.10).
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| {
        let (left, v4) = text.split_once(":::").filter(|(_, v4)| v4.contains('.'))?;
        format!("{left}::{v4}").parse().ok()
    })
}

/// `host[:port]` with IPv6 in brackets.
pub(crate) fn split_host_port(text: &str) -> Result<(&str, Option<u16>), SyntaxError> {
    let (host, port) = if text.starts_with('[') {
        let end = text.find(']').ok_or(SyntaxError("the IPv6 address has no closing bracket"))?;
        if ipv6(&text[1..end]).is_none() {
            return Err(SyntaxError("what stands in brackets is no IPv6 address"));
        }
        let rest = &text[end + 1..];
        match rest.strip_prefix(':') {
            Some(port) => (&text[..=end], Some(port)),
            None if rest.is_empty() => (text, None),
            None => return Err(SyntaxError("something stands between the IPv6 address and its port")),
        }
    } else {
        match split_at_byte(text, b':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    // Underscores are in no host name, and yet in many a private network's.
    let sound =
        host.starts_with('[') || host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if host.is_empty() || !sound {
        return Err(SyntaxError("the host is empty or has characters that no host has"));
    }
    let port = match port {
        Some(digits) => {
            Some(number(digits, u64::from(u16::MAX)).ok_or(SyntaxError("the port is no number up to 65535"))?)
        }
        None => None,
    };
    Ok((host, port.map(|port| port as u16)))
}

/// Escapes what may not stand in a user part (RFC 3261 section 25.1, `user`). A percent sign is a character here, so it is
/// escaped too: the caller passes plain text.
fn escape_user(user: &str) -> String {
    escape(user, b"-_.!~*'()&=+$,;?/")
}

/// Escapes everything but letters, digits and what is `plain`.
fn escape(text: &str, plain: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

/// Undoes `%xx`. A percent sign without two hexadecimal digits stays; bytes that are no UTF-8 become U+FFFD.
fn unescape_percent(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16)).map(|digit| digit as u8);
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

fn same_host(a: &str, b: &str) -> bool {
    ascii_eq(a, b) || host_ip(a).is_some_and(|ip| host_ip(b) == Some(ip))
}

/// Visual separators mean nothing (RFC 3966 section 5.1.1).
fn same_number(a: Option<&str>, b: Option<&str>) -> bool {
    let digits = |text: Option<&str>| {
        text.unwrap_or("").chars().filter(|c| !"-.()".contains(*c)).map(|c| c.to_ascii_lowercase()).collect::<String>()
    };
    digits(a) == digits(b)
}

/// A parameter in both must agree; `user`, `ttl`, `method`, `maddr` and `transport` must be in both or in none.
fn params_agree(a: &Params, b: &Params) -> bool {
    let agrees = |a: &Params, b: &Params| {
        a.iter().all(|(name, value)| match param_in(b.as_str(), name) {
            Some(other) => ascii_eq(&unescape_percent(value.unwrap_or("")), &unescape_percent(other)),
            None => !["user", "ttl", "method", "maddr", "transport"].iter().any(|must| ascii_eq(must, name)),
        })
    };
    agrees(a, b) && agrees(b, a)
}

/// Header components never have defaults: the same ones in any order.
fn headers_agree(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut parts: Vec<String> = text
            .split('&')
            .map(|part| {
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                format!("{}={}", name.to_ascii_lowercase(), unescape_percent(value))
            })
            .collect();
        parts.sort();
        parts
    };
    a == b || sorted(a) == sorted(b)
}
