//! Via: the way back (RFC 3261 section 20.42, RFC 3581).

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use super::params::{param_in, params_are_sound};
use super::text::{ascii_eq, find_byte, is_token_text, number, split_at_byte, trim};
use super::{Params, SyntaxError};
use crate::uri::{host_text, push_digits, split_host_port};

/// One hop of a Via: `SIP/2.0/UDP host:port;branch=...`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// `UDP`, `TCP`, `TLS`, `WSS` or another, as it was written.
    pub transport: String,
    /// Host name or address; an IPv6 address keeps its brackets.
    pub host: String,
    /// Where it is given.
    pub port: Option<u16>,
    /// Parameters.
    pub params: Params,
}

impl Via {
    /// Our own hop; asks for the source port back (RFC 3581).
    pub fn new(transport: &str, address: core::net::SocketAddr, branch: &str) -> Self {
        let mut params = Params::new();
        params.set("branch", branch);
        params.set("rport", "");
        Self { transport: transport.to_owned(), host: host_text(address.ip()), port: Some(address.port()), params }
    }

    /// As it is printed, without the formatting machinery.
    pub(crate) fn text(&self) -> String {
        let Self { transport, host, port, params } = self;
        let mut text = String::with_capacity(transport.len() + host.len() + params.as_str().len() + 16);
        text.push_str("SIP/2.0/");
        text.push_str(transport);
        text.push(' ');
        text.push_str(host);
        if let Some(port) = port {
            text.push(':');
            push_digits(&mut text, u32::from(*port));
        }
        text.push_str(params.as_str());
        text
    }

    /// Names the transaction.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch").filter(|branch| !branch.is_empty())
    }

    /// Whether the sender asks for the source port in the response (RFC 3581).
    pub fn asks_rport(&self) -> bool {
        self.params.get("rport") == Some("")
    }

    /// The source port that a server filled in.
    pub fn rport(&self) -> Option<u16> {
        self.params.get("rport").and_then(|port| number(port, u64::from(u16::MAX))).map(|port| port as u16)
    }

    /// The source address that a server filled in.
    pub fn received(&self) -> Option<IpAddr> {
        self.params.get("received").and_then(crate::uri::host_ip)
    }

    /// Notes where the request came from (RFC 3261 section 18.2.1).
    pub fn set_received(&mut self, address: IpAddr) {
        self.params.set("received", &address.to_string());
    }

    /// Notes the port the request came from (RFC 3581 section 4).
    pub fn set_rport(&mut self, port: u16) {
        self.params.set("rport", &port.to_string());
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl FromStr for Via {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        Ok(ViaRef::parse(text)?.to_via())
    }
}

/// A hop taken apart in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ViaRef<'a> {
    transport: &'a str,
    host: &'a str,
    port: Option<u16>,
    params: &'a str,
}

impl<'a> ViaRef<'a> {
    /// The whole of `text` is one hop. Spaces may stand around the slashes, the colon and the semicolons.
    pub(crate) fn parse(text: &'a str) -> Result<Self, SyntaxError> {
        let text = trim(text);
        let (head, params) = text.split_at(find_byte(text, b';').unwrap_or(text.len()));
        let (protocol, rest) = split_at_byte(head, b'/').unwrap_or((head, ""));
        let (version, rest) = split_at_byte(rest, b'/').unwrap_or((rest, ""));
        let (protocol, version, rest) = (trim(protocol), trim(version), trim(rest));
        if !ascii_eq(protocol, "SIP") || version != "2.0" {
            return Err(SyntaxError("a Via starts with SIP/2.0/"));
        }
        let blank = rest.bytes().position(|byte| matches!(byte, b' ' | b'\t'));
        let blank = blank.ok_or(SyntaxError("the Via has no space between transport and host"))?;
        let (transport, sent_by) = (&rest[..blank], &rest[blank + 1..]);
        if !is_token_text(transport) {
            return Err(SyntaxError("the Via's transport is no token"));
        }
        let (host, port) = split_spaced_host_port(trim(sent_by))?;
        if !params_are_sound(params) {
            return Err(SyntaxError("the Via's parameters are malformed"));
        }
        Ok(Self { transport, host, port, params })
    }

    pub(crate) fn branch(&self) -> Option<&'a str> {
        param_in(self.params, "branch").filter(|branch| !branch.is_empty())
    }

    pub(crate) fn to_via(self) -> Via {
        Via {
            transport: self.transport.to_owned(),
            host: self.host.to_owned(),
            port: self.port,
            params: Params::from_raw(self.params),
        }
    }
}

/// As [`split_host_port`], with spaces around the colon.
fn split_spaced_host_port(text: &str) -> Result<(&str, Option<u16>), SyntaxError> {
    if !text.bytes().any(|byte| matches!(byte, b' ' | b'\t')) {
        return split_host_port(text);
    }
    let (host, port) = text.rsplit_once(':').ok_or(SyntaxError("something follows the Via's host"))?;
    let port = number(trim(port), u64::from(u16::MAX)).ok_or(SyntaxError("the port is no number up to 65535"))?;
    Ok((split_host_port(trim(host))?.0, Some(port as u16)))
}
