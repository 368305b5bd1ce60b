//! Answering challenges, RFC 3261 section 22.

use super::Endpoint;
use crate::{Challenge, Credentials, Request, Response, answer_challenge};

/// Most answers to challenges for one request: proxy and server, and each once more with a fresh nonce.
const TRIES_MAX: u8 = 4;

/// A challenge that was answered, to be answered again without being asked.
#[derive(Debug, Clone)]
pub(super) struct Known {
    header: &'static str,
    challenge: Challenge,
    uses: u32,
}

impl Endpoint {
    /// The credentials that a 401 or 407 to `request` asks for, put into the request; none where they were refused, or
    /// where the challenge cannot be met.
    pub(super) fn answer_to_challenge(
        &mut self,
        request: &mut Request,
        response: &Response,
        credentials: Option<&Credentials>,
        tries: u8,
    ) -> Option<Known> {
        let (asked, header) = match response.status {
            401 => ("WWW-Authenticate", "Authorization"),
            407 => ("Proxy-Authenticate", "Proxy-Authorization"),
            _ => return None,
        };
        let credentials = credentials.filter(|_| tries < TRIES_MAX)?;
        // RFC 7616 section 3.7: the first that is supported.
        let challenge = response.headers.get_all(asked).find_map(|value| Challenge::parse(value).ok())?;
        // An answer from memory that is not taken says nothing about the password: its nonce may be too old, and not every server
        // says `stale` then, as RFC 7616 section 3.3 wants it to. The answer to a challenge of this very request is another thing.
        if request.headers.get(header).is_some() && !challenge.stale && tries > 0 {
            return None;
        }
        let mut known = Known { header, challenge, uses: 0 };
        self.put_credentials(request, &mut known, credentials);
        Some(known)
    }

    /// Answers a known challenge in a request that is about to be sent.
    pub(super) fn put_credentials(&mut self, request: &mut Request, known: &mut Known, credentials: &Credentials) {
        known.uses += 1;
        let uri = request.uri.to_string();
        let cnonce = self.entropy.token();
        let value = answer_challenge(&known.challenge, credentials, request.method.as_str(), &uri, &cnonce, known.uses);
        request.headers.set(known.header, &value);
    }
}
