//! Relays (TURN, RFC 8656) for browsers whose network lets no other way through, and credentials for them that are good for a while:
//! the user part says until when, and the password is a hash of it under a secret that the relay knows too
//! (draft-uberti-behave-turn-rest-00, coturn's `use-auth-secret`). Nothing is kept of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use offhook_units::{Span, Tick};
use serde::Serialize;
use sha1::Sha1;

/// Relays that browsers may use.
#[derive(Clone, PartialEq, Eq)]
pub struct Turn {
    /// Where they are: `turn:HOST:PORT?transport=udp`, `turns:HOST:PORT` (RFC 7065).
    pub urls: Vec<String>,
    /// What they know too.
    pub secret: String,
    /// How long credentials are good. A relay looks at them when a call begins and about every five minutes of it.
    pub lasts: Span,
}

impl core::fmt::Debug for Turn {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Turn").field("urls", &self.urls).field("lasts", &self.lasts).finish_non_exhaustive()
    }
}

/// What a page gives its connection: an `RTCIceServer` of WebRTC, as JSON has it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Relay {
    /// Where relays are.
    pub urls: Vec<String>,
    /// Until when, in seconds since 1970, a colon, and who.
    pub username: String,
    /// The hash, in base64.
    pub credential: String,
}

impl core::fmt::Debug for Relay {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Relay").field("urls", &self.urls).field("username", &self.username).finish_non_exhaustive()
    }
}

impl Turn {
    /// Credentials for `name` from now on.
    pub fn relay(&self, now: Tick, name: &str) -> Relay {
        let until = (now + self.lasts).since(Tick::ZERO).as_s();
        let username = format!("{until}:{name}");
        let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(self.secret.as_bytes()).expect("a key of any length");
        mac.update(username.as_bytes());
        let credential = STANDARD.encode(mac.finalize().into_bytes());
        Relay { urls: self.urls.clone(), username, credential }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_hash_of_the_time_and_the_name_and_stands_in_no_debug_text() {
        let urls = vec!["turn:192.0.2.9:3478?transport=udp".to_owned()];
        let turn = Turn { urls, secret: "north".to_owned(), lasts: Span::from_s(3_600) };
        let relay = turn.relay(Tick::from_us(1_700_000_000_000_000), "paula");
        assert_eq!(relay.username, "1700003600:paula");
        // printf 1700003600:paula | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(relay.credential, "2ChbSweIUCJEF8Z3Kv3BX0qsG70=");
        let shown = format!("{turn:?}{relay:?}");
        assert!(!shown.contains("north") && !shown.contains(&relay.credential), "{shown}");
    }
}
