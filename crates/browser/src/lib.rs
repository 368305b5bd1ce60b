//! Legs of browsers: paths checked by ICE (RFC 8445), keys agreed on by DTLS (RFC 5763, RFC 5764), as a transport of the media
//! workers. Everything beyond that - SRTP, relaying, mixing, recording - is what other legs have too.
//!
//! [`Identity`] is the certificate of one exchange; it makes a [`Peer`] for each leg. A peer opens no socket: datagrams go in, and
//! what is to be sent comes out. A [`Client`] is the other end, for load and for tests.
#![expect(
    clippy::disallowed_methods,
    reason = "the handshake counts in instants of its own, from one that is read here"
)]

mod client;
mod ice;
mod identity;
mod peer;

pub use client::Client;
pub use ice::{CHECKS_MAX, CONSENT_EXPIRES, REBOUND_AFTER, SOURCES_MAX};
pub use identity::{Identity, IdentityError};
pub use peer::{HANDSHAKE_WITHIN, Peer};
