//! Where a message came from, and so where its answer goes.

use core::fmt;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The transport of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams; the only one that loses and repeats messages.
    Udp,
}

impl Transport {
    /// As in Via and in `;transport=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
        }
    }

    /// Whether the transport itself delivers every message once (RFC 3261 section 17).
    pub const fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
        }
    }
}

/// A pair of addresses that messages travel between. A response returns over the flow that its request came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// Over what.
    pub transport: Transport,
    /// Our end: a concrete address, never the wildcard.
    pub local: SocketAddr,
    /// The far end.
    pub peer: SocketAddr,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.transport.name(), self.local, self.peer)
    }
}
