//! Where a message came from, and so where its answer goes.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::Uri;

/// The transport of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams; the only one that loses and repeats messages.
    Udp,
    /// A byte stream, cut into messages by Content-Length (RFC 3261 section 18.3).
    Tcp,
    /// TCP inside TLS.
    Tls,
    /// One message in each WebSocket message (RFC 7118).
    Ws,
    /// WebSocket inside TLS.
    Wss,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// As in Via.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// As in `;transport=` of a URI and in a configuration.
    pub const fn param(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// From either name, whatever its case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.param().eq_ignore_ascii_case(name))
    }

    /// The port where none is written (RFC 3261 section 19.1.2, RFC 7118 section 5.4).
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// Whether the bytes travel inside TLS.
    pub const fn is_secure(self) -> bool {
        match self {
            Self::Tls | Self::Wss => true,
            Self::Udp | Self::Tcp | Self::Ws => false,
        }
    }

    /// Whether the transport itself delivers every message once (RFC 3261 section 17).
    pub const fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls | Self::Ws | Self::Wss => true,
        }
    }
}

/// A pair of addresses that messages travel between. A response returns over the flow that its request came on.
///
/// A flow of a stream transport names one connection. On a connection that we opened `local` is the listener that the peer can
/// reach us at, not the port that the connection happens to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// Over what.
    pub transport: Transport,
    /// Our end: a concrete address, never the wildcard.
    pub local: SocketAddr,
    /// The far end.
    pub peer: SocketAddr,
}

impl Flow {
    /// A URI of somebody at the far end of this flow: for a request URI.
    pub fn target(self, user: Option<&str>) -> Uri {
        self.naming(Uri::at(user, self.peer))
    }

    /// A URI at which the peer of this flow reaches us over the same transport: for Contact. `host` stands in for our address
    /// where others see another one. Both kinds of WebSocket are `transport=ws` (RFC 7118 section 5.2.2).
    pub fn contact(self, user: Option<&str>, host: Option<IpAddr>) -> Uri {
        let address = SocketAddr::new(host.unwrap_or(self.local.ip()), self.local.port());
        self.naming(Uri::at(user, address))
    }

    fn naming(self, uri: Uri) -> Uri {
        match self.transport {
            Transport::Udp => uri,
            Transport::Tcp | Transport::Tls => uri.with_param("transport", self.transport.param()),
            Transport::Ws | Transport::Wss => uri.with_param("transport", Transport::Ws.param()),
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.transport.name(), self.local, self.peer)
    }
}

#[cfg(test)]
#[test]
fn a_request_uri_names_the_transport_that_it_goes_over() {
    let at = |transport| {
        let (local, peer) = (([192, 0, 2, 1], 5060).into(), ([192, 0, 2, 9], 5070).into());
        Flow { transport, local, peer }.target(Some("100")).to_string()
    };
    assert_eq!(at(Transport::Udp), "sip:100@192.0.2.9:5070");
    assert_eq!(at(Transport::Tcp), "sip:100@192.0.2.9:5070;transport=tcp");
    assert_eq!(at(Transport::Tls), "sip:100@192.0.2.9:5070;transport=tls");
    assert_eq!(at(Transport::Wss), "sip:100@192.0.2.9:5070;transport=ws");
}
