//! Digest authentication, both sides: SHA-256, SHA-512-256 and MD5, `qop=auth` or none (RFC 7616, RFC 8760, RFC 2617; RFC 3261
//! section 22).
//!
//! Quoted values go into the hash as they stand between their quotes, backslashes included, as RFC 7616 section 3.4 says; only a
//! user name that is looked up has its escapes undone.

mod replay;
mod verifier;

use core::fmt;

use md5::{Digest, Md5};
use sha2::{Sha256, Sha512_256};

use crate::headers::SyntaxError;
use crate::headers::text::{ascii_eq, find_outside_quotes, push_quoted, strip_quotes, trim, unescape};

pub use verifier::{DigestConfig, DigestCounters, DigestVerifier, Verdict, digest_username};

/// The hash of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// What every phone can; assumed where nothing is said.
    #[default]
    Md5,
    /// RFC 8760.
    Sha256,
    /// SHA-512 with another beginning, cut to 256 bits (RFC 8760).
    Sha512256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha512256, Self::Md5];

    /// As in a header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512256 => "SHA-512-256",
        }
    }

    /// The one of this name, in any case. `-sess` variants and others are not supported: they are `None`.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| ascii_eq(algorithm.as_str(), name))
    }

    /// The lower-case hexadecimal hash of the parts joined by colons.
    fn hash(self, parts: &[&str]) -> Hex {
        match self {
            Self::Md5 => Hex::of(&hash_parts::<Md5>(parts)),
            Self::Sha256 => Hex::of(&hash_parts::<Sha256>(parts)),
            Self::Sha512256 => Hex::of(&hash_parts::<Sha512_256>(parts)),
        }
    }
}

fn hash_parts<D: Digest>(parts: &[&str]) -> sha2::digest::Output<D> {
    let mut hasher = D::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hasher.update(b":");
        }
        hasher.update(part.as_bytes());
    }
    hasher.finalize()
}

/// Up to 32 bytes in hexadecimal digits.
struct Hex {
    digits: [u8; 64],
    length: usize,
}

impl Hex {
    fn of(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self { digits, length: bytes.len() * 2 }
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.digits[..self.length]).unwrap_or_default()
    }
}

/// What a server asks for: the value of WWW-Authenticate or Proxy-Authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The realm as it stands between its quotes.
    pub realm: String,
    /// The nonce as it stands between its quotes.
    pub nonce: String,
    /// The hash.
    pub algorithm: Algorithm,
    /// Whether `qop=auth` is offered; without it the answer is that of RFC 2069.
    pub qop: bool,
    /// To be sent back as it is.
    pub opaque: Option<String>,
    /// The credentials were right and the nonce was too old: answer again without asking the user.
    pub stale: bool,
}

impl Challenge {
    /// Reads the value of WWW-Authenticate or Proxy-Authenticate.
    ///
    /// # Errors
    /// The value is malformed, or asks for a scheme, algorithm or protection that is not supported: try the next one.
    pub fn parse(value: &str) -> Result<Self, SyntaxError> {
        let fields = Fields::of(value).ok_or(SyntaxError("the challenge is not of the Digest scheme"))?;
        let algorithm = match fields.get("algorithm") {
            None => Algorithm::Md5,
            Some(name) => Algorithm::of(name).ok_or(SyntaxError("the challenge's algorithm is not supported"))?,
        };
        let qop = match fields.get("qop") {
            None => false,
            Some(list) if list.split(',').any(|qop| ascii_eq(trim(qop), "auth")) => true,
            Some(_) => return Err(SyntaxError("the challenge offers no qop that is supported")),
        };
        Ok(Self {
            realm: fields.get("realm").ok_or(SyntaxError("the challenge has no realm"))?.to_owned(),
            nonce: fields.get("nonce").ok_or(SyntaxError("the challenge has no nonce"))?.to_owned(),
            algorithm,
            qop,
            opaque: fields.get("opaque").map(str::to_owned),
            stale: fields.get("stale").is_some_and(|stale| ascii_eq(stale, "true")),
        })
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { realm, nonce, algorithm, qop, opaque, stale } = self;
        write!(f, "Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={}", algorithm.as_str())?;
        if *qop {
            f.write_str(", qop=\"auth\"")?;
        }
        if let Some(opaque) = opaque {
            write!(f, ", opaque=\"{opaque}\"")?;
        }
        if *stale {
            f.write_str(", stale=true")?;
        }
        Ok(())
    }
}

/// A user name and its password. The password is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Plain, without quotes or escapes.
    pub username: String,
    /// Plain.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The value of Authorization or Proxy-Authorization that answers a challenge.
///
/// `uri` is the Request-URI as it is sent. `cnonce` comes from `Entropy`. `nc` counts the requests sent with this nonce, from 1;
/// it and `cnonce` are left out where the challenge has no `qop`.
pub fn answer_challenge(
    challenge: &Challenge,
    credentials: &Credentials,
    method: &str,
    uri: &str,
    cnonce: &str,
    nc: u32,
) -> String {
    let Challenge { realm, nonce, algorithm, qop, opaque, stale: _ } = challenge;
    let mut username = String::with_capacity(credentials.username.len() + 2);
    push_quoted(&mut username, &credentials.username);
    let nc = format!("{nc:08x}");
    let response = Answer {
        algorithm: *algorithm,
        username: strip_quotes(&username),
        realm,
        nonce,
        uri,
        qop: qop.then_some(Qop { name: "auth", nc: &nc, cnonce }),
    }
    .response(method, &credentials.password);
    let mut value = format!(
        "Digest username={username}, realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{}\", algorithm={}",
        response.as_str(),
        algorithm.as_str()
    );
    if *qop {
        value.push_str(", cnonce=\"");
        value.push_str(cnonce);
        value.push_str("\", qop=auth, nc=");
        value.push_str(&nc);
    }
    if let Some(opaque) = opaque {
        value.push_str(", opaque=\"");
        value.push_str(opaque);
        value.push('"');
    }
    value
}

/// What goes into a response besides method and password, as it stands between quotes.
struct Answer<'a> {
    algorithm: Algorithm,
    username: &'a str,
    realm: &'a str,
    nonce: &'a str,
    uri: &'a str,
    qop: Option<Qop<'a>>,
}

struct Qop<'a> {
    name: &'a str,
    nc: &'a str,
    cnonce: &'a str,
}

impl Answer<'_> {
    /// RFC 7616 section 3.4.1; RFC 2069 without `qop`.
    fn response(&self, method: &str, password: &str) -> Hex {
        let secret = self.algorithm.hash(&[self.username, self.realm, password]);
        let request = self.algorithm.hash(&[method, self.uri]);
        match &self.qop {
            Some(Qop { name, nc, cnonce }) => {
                self.algorithm.hash(&[secret.as_str(), self.nonce, nc, cnonce, name, request.as_str()])
            }
            None => self.algorithm.hash(&[secret.as_str(), self.nonce, request.as_str()]),
        }
    }
}

/// Most fields that are read of one challenge or answer; RFC 7616 knows twelve.
const FIELDS_MAX: usize = 24;

/// The `name=value` fields after the word `Digest`, read on demand.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    fn of(value: &'a str) -> Option<Self> {
        let (scheme, rest) = value.split_once([' ', '\t'])?;
        ascii_eq(scheme, "Digest").then_some(Self(rest))
    }

    /// Each field's name, and its value without its quotes, escapes as they stand.
    fn each(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut rest = Some(self.0);
        let next = move || {
            let text = rest?;
            let end = find_outside_quotes(text, b',').unwrap_or(text.len());
            rest = text.get(end + 1..);
            Some(&text[..end])
        };
        core::iter::from_fn(next).take(FIELDS_MAX).filter_map(|field| {
            let (name, value) = field.split_once('=')?;
            let value = trim(value);
            // Without quotes it is a token: a stray quote or backslash would swallow what follows when it is printed again.
            let closed = if value.starts_with('"') {
                crate::headers::text::quoted_end(value) == Some(value.len())
            } else {
                !value.contains(['"', '\\'])
            };
            closed.then(|| (trim(name), strip_quotes(value)))
        })
    }

    /// The value of a field without its quotes, escapes as they stand.
    fn get(self, wanted: &str) -> Option<&'a str> {
        self.each().find(|(name, _)| ascii_eq(name, wanted)).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(username: &str, password: &str) -> Credentials {
        Credentials { username: username.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn a_field_without_quotes_holds_no_quote_that_would_swallow_the_next_one() {
        for nonce in ["a\"", "a\\", "\"a", "a\"b\"c"] {
            assert!(Challenge::parse(&format!("Digest realm=\"r\", nonce={nonce}, algorithm=MD5")).is_err(), "{nonce}");
        }
    }

    #[test]
    fn answers_are_those_of_the_examples_of_rfc_7616_section_3_9_1() {
        for (algorithm, response) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let challenge = Challenge::parse(&format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
                algorithm.as_str()
            ))
            .unwrap();
            let answer = answer_challenge(
                &challenge,
                &credentials("Mufasa", "Circle of Life"),
                "GET",
                "/dir/index.html",
                "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
                1,
            );
            assert_eq!(Fields::of(&answer).unwrap().get("response"), Some(response));
            assert_eq!(Fields::of(&answer).unwrap().get("nc"), Some("00000001"));
            assert_eq!(
                Fields::of(&answer).unwrap().get("opaque"),
                Some("FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS")
            );
        }
    }

    #[test]
    fn sha_512_256_hashes_as_its_standard_says_and_answers_with_64_digits() {
        let challenge = Challenge::parse(
            "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
             nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\"",
        )
        .unwrap();
        assert_eq!(challenge.algorithm, Algorithm::Sha512256);
        let answer = answer_challenge(&challenge, &credentials("u", "p"), "GET", "/doe.json", "c", 1);
        assert_eq!(Fields::of(&answer).unwrap().get("response").map(str::len), Some(64));
        // NIST's example of SHA-512/256.
        let hash = "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23";
        assert_eq!(Algorithm::Sha512256.hash(&["abc"]).as_str(), hash);
    }

    #[test]
    fn without_qop_the_answer_is_that_of_rfc_2069_and_carries_no_count() {
        let challenge =
            Challenge::parse("Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"")
                .unwrap();
        assert!(!challenge.qop);
        let answer =
            answer_challenge(&challenge, &credentials("Mufasa", "CircleOfLife"), "GET", "/dir/index.html", "x", 1);
        // The example of RFC 2069 section 2.4 with the response of its errata.
        assert!(answer.contains("response=\"1949323746fe6a43ef61f9606e7febea\""), "{answer}");
        assert!(!answer.contains("cnonce") && !answer.contains("nc="));
    }

    #[test]
    fn challenges_survive_printing_with_commas_and_escaped_quotes_in_the_realm() {
        for text in [
            "Digest realm=\"a, \\\"b\\\"\", nonce=\"n=1,2\", algorithm=SHA-256, qop=\"auth\", opaque=\"\", stale=true",
            "Digest realm=\"r\", nonce=\"n\", algorithm=MD5",
        ] {
            assert_eq!(Challenge::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn challenges_that_cannot_be_answered_are_refused_by_name() {
        for text in [
            "Basic realm=\"r\"",
            "Digest realm=\"r\"",
            "Digest nonce=\"n\"",
            "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-512",
            "Digest realm=\"r\", nonce=\"n\", algorithm=MD5-sess",
            "Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\"",
            "Digest realm=\"r, nonce=n",
            "",
        ] {
            assert!(Challenge::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_tenth_request_counts_0000000a() {
        let challenge = Challenge::parse("Digest realm=\"r\", nonce=\"n\", qop=\"auth\"").unwrap();
        let answer = answer_challenge(&challenge, &credentials("u", "p"), "REGISTER", "sip:r", "c", 10);
        assert!(answer.contains("nc=0000000a"), "{answer}");
    }

    #[test]
    fn a_password_is_never_printed() {
        assert!(!format!("{:?}", credentials("alice", "hunter2")).contains("hunter2"));
    }
}
