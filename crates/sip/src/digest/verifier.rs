//! The server's side of digest authentication: nonces that need no memory, and the verdict on an answer.

use core::hint::black_box;

use offhook_units::{Entropy, Span, Tick};
use sha2::{Digest, Sha256};

use super::{Algorithm, Answer, Challenge, Fields, Hex, Qop, is_token_text, push_quoted, unescape};

/// What may be chosen about verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestConfig {
    /// How long a nonce is good. An answer with an older one that is right otherwise is [`Verdict::Stale`].
    pub nonce_lifetime: Span,
}

impl Default for DigestConfig {
    /// Five minutes.
    fn default() -> Self {
        Self { nonce_lifetime: Span::from_s(300) }
    }
}

/// What to make of a request's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They are right.
    Ok,
    /// They are right, and their nonce is too old or of an earlier run: challenge again with `stale`.
    Stale,
    /// They are wrong, or the user is unknown: challenge again or refuse with 403.
    Wrong,
    /// There are none for this realm: challenge.
    NoCredentials,
}

/// Issues nonces and judges answers. A nonce is its own time and an HMAC over it, so that nothing is kept for a client that never
/// comes back. Requests repeated within a nonce's lifetime are not told from the first: transactions and CSeq do that.
pub struct DigestVerifier {
    config: DigestConfig,
    /// HMAC-SHA-256 with the key taken in: the inner and the outer hash (RFC 2104).
    inner: Sha256,
    outer: Sha256,
}

/// Hexadecimal digits of a nonce's instant and of its HMAC, which is cut to 128 bits.
const TIME_DIGITS: usize = 16;
const MAC_DIGITS: usize = 32;

impl DigestVerifier {
    /// With a secret of its own: nonces of other verifiers are stale to it.
    pub fn new(entropy: &mut Entropy, config: DigestConfig) -> Self {
        const BLOCK: usize = 64;
        let mut key = [0; 32];
        entropy.fill(&mut key);
        let keyed = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            Sha256::new_with_prefix(block)
        };
        Self { config, inner: keyed(0x36), outer: keyed(0x5c) }
    }

    /// A challenge with a fresh nonce. `realm` is plain text.
    pub fn challenge(&self, now: Tick, realm: &str, algorithm: Algorithm, stale: bool) -> Challenge {
        let realm = raw(realm);
        let mut nonce = format!("{:0TIME_DIGITS$x}", now.as_us());
        let mac = self.mac(&nonce, &realm);
        nonce.push_str(&mac.as_str()[..MAC_DIGITS]);
        Challenge { realm, nonce, algorithm, qop: true, opaque: None, stale }
    }

    /// Judges the value of Authorization or Proxy-Authorization. `realm` is plain text; `password` tells the password of a user.
    /// An unknown user costs as much as a wrong password, and hashes are compared in constant time.
    pub fn verify<'p>(
        &self,
        now: Tick,
        realm: &str,
        method: &str,
        authorization: Option<&str>,
        password: impl FnOnce(&str) -> Option<&'p str>,
    ) -> Verdict {
        let Some(fields) = authorization.and_then(Fields::of) else {
            return Verdict::NoCredentials;
        };
        let realm = raw(realm);
        if fields.get("realm") != Some(&realm) {
            return Verdict::NoCredentials;
        }
        let Some((answer, response)) = read(fields, &realm) else {
            return Verdict::Wrong;
        };
        let password = password(&unescape(answer.username));
        let expected = answer.response(method, password.unwrap_or_default());
        let agrees = same(expected.as_str().as_bytes(), response.as_bytes());
        match (password.is_some() && agrees, self.is_fresh(now, answer.nonce, &realm)) {
            (false, _) => Verdict::Wrong,
            (true, false) => Verdict::Stale,
            (true, true) => Verdict::Ok,
        }
    }

    /// Whether the nonce is ours, and not too old.
    fn is_fresh(&self, now: Tick, nonce: &str, realm: &str) -> bool {
        if nonce.len() != TIME_DIGITS + MAC_DIGITS || !nonce.is_ascii() {
            return false;
        }
        let (time, mac) = nonce.split_at(TIME_DIGITS);
        if !same(&self.mac(time, realm).as_str().as_bytes()[..MAC_DIGITS], mac.as_bytes()) {
            return false;
        }
        let issued = u64::from_str_radix(time, 16).map(Tick::from_us);
        issued.is_ok_and(|issued| issued <= now && now - issued <= self.config.nonce_lifetime)
    }

    fn mac(&self, time: &str, realm: &str) -> Hex {
        let inner = self.inner.clone().chain_update(time).chain_update(realm).finalize();
        Hex::of(&self.outer.clone().chain_update(inner).finalize())
    }
}

/// The user that an Authorization value speaks for, escapes undone.
pub fn digest_username(authorization: &str) -> Option<String> {
    Some(unescape(Fields::of(authorization)?.get("username")?).into_owned())
}

/// All that an answer needs; `None` where something is missing or not supported.
fn read<'a>(fields: Fields<'a>, realm: &'a str) -> Option<(Answer<'a>, &'a str)> {
    let qop = match fields.get("qop") {
        None => None,
        Some(name) if name.eq_ignore_ascii_case("auth") => {
            // The count is eight hexadecimal digits, letters included: phones reach 0000000a at their tenth request.
            let nc = fields.get("nc").filter(|nc| nc.len() == 8 && nc.bytes().all(|b| b.is_ascii_hexdigit()))?;
            Some(Qop { name, nc, cnonce: fields.get("cnonce")? })
        }
        Some(_) => return None,
    };
    let algorithm = match fields.get("algorithm") {
        None => Algorithm::Md5,
        Some(name) if is_token_text(name) => Algorithm::of(name)?,
        Some(_) => return None,
    };
    let answer = Answer {
        algorithm,
        username: fields.get("username")?,
        realm,
        nonce: fields.get("nonce")?,
        uri: fields.get("uri")?,
        qop,
    };
    Some((answer, fields.get("response")?))
}

/// Plain text as it stands between quotes.
fn raw(plain: &str) -> String {
    let mut quoted = String::with_capacity(plain.len() + 2);
    push_quoted(&mut quoted, plain);
    quoted.pop();
    quoted.remove(0);
    quoted
}

/// Whether both are the same hexadecimal digits, in a time that depends on their length alone.
fn same(expected: &[u8], given: &[u8]) -> bool {
    if expected.len() != given.len() {
        return false;
    }
    let difference = expected.iter().zip(given).fold(0, |sum, (a, b)| black_box(sum | (a ^ b.to_ascii_lowercase())));
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::super::{Credentials, answer_challenge};
    use super::*;

    const NOW: Tick = Tick::from_us(1_700_000_000_000_000);

    fn verifier() -> DigestVerifier {
        DigestVerifier::new(&mut Entropy::from_number(1), DigestConfig::default())
    }

    fn answer(challenge: &Challenge, username: &str, password: &str) -> String {
        let credentials = Credentials { username: username.to_owned(), password: password.to_owned() };
        answer_challenge(challenge, &credentials, "REGISTER", "sip:example.com", "cafe", 10)
    }

    fn judge(verifier: &DigestVerifier, now: Tick, value: &str) -> Verdict {
        verifier.verify(now, "the \"desk\"", "REGISTER", Some(value), |user| (user == "al\"ice").then_some("secret"))
    }

    #[test]
    fn right_credentials_are_accepted_with_both_algorithms_and_without_qop() {
        let verifier = verifier();
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            for qop in [true, false] {
                let challenge = Challenge { qop, ..verifier.challenge(NOW, "the \"desk\"", algorithm, false) };
                let challenge = Challenge::parse(&challenge.to_string()).unwrap();
                let value = answer(&challenge, "al\"ice", "secret");
                assert_eq!(judge(&verifier, NOW, &value), Verdict::Ok);
                assert_eq!(digest_username(&value).as_deref(), Some("al\"ice"));
            }
        }
    }

    #[test]
    fn a_nonce_is_stale_after_300_s_and_in_another_run() {
        let verifier = verifier();
        let challenge = verifier.challenge(NOW, "the \"desk\"", Algorithm::Md5, false);
        let value = answer(&challenge, "al\"ice", "secret");
        assert_eq!(judge(&verifier, NOW + Span::from_s(300), &value), Verdict::Ok);
        assert_eq!(judge(&verifier, NOW + Span::from_s(301), &value), Verdict::Stale);
        assert_eq!(judge(&verifier, NOW.before(Span::from_s(1)), &value), Verdict::Stale);
        let other = DigestVerifier::new(&mut Entropy::from_number(2), DigestConfig::default());
        assert_eq!(judge(&other, NOW, &value), Verdict::Stale);
    }

    #[test]
    fn wrong_passwords_users_methods_and_nonces_are_told_apart_from_missing_ones() {
        let verifier = verifier();
        let challenge = verifier.challenge(NOW, "the \"desk\"", Algorithm::Md5, false);
        let right = answer(&challenge, "al\"ice", "secret");
        assert_eq!(judge(&verifier, NOW, &answer(&challenge, "al\"ice", "wrong")), Verdict::Wrong);
        assert_eq!(judge(&verifier, NOW, &answer(&challenge, "bob", "secret")), Verdict::Wrong);
        assert_eq!(judge(&verifier, NOW, &answer(&challenge, "bob", "")), Verdict::Wrong);
        assert_eq!(judge(&verifier, NOW, &right.replace("qop=auth", "qop=auth-int")), Verdict::Wrong);
        assert_eq!(judge(&verifier, NOW, &right.replace("algorithm=MD5", "algorithm=MD5-sess")), Verdict::Wrong);
        assert_eq!(judge(&verifier, NOW, &right.replace("nc=0000000a", "nc=10")), Verdict::Wrong);
        assert_eq!(judge(&verifier, NOW, &right.replace("response=", "x=")), Verdict::Wrong);
        assert_eq!(verifier.verify(NOW, "the \"desk\"", "INVITE", Some(&right), |_| Some("secret")), Verdict::Wrong);
        assert_eq!(verifier.verify(NOW, "other", "REGISTER", Some(&right), |_| Some("secret")), Verdict::NoCredentials);
        assert_eq!(judge(&verifier, NOW, "Basic YWxpY2U6c2VjcmV0"), Verdict::NoCredentials);
        assert_eq!(verifier.verify(NOW, "r", "REGISTER", None, |_| None), Verdict::NoCredentials);
    }

    #[test]
    fn verifiers_of_one_secret_accept_each_others_nonces_and_no_changed_digit() {
        let (a, b) = (verifier(), verifier());
        let nonce = a.challenge(NOW, "r", Algorithm::Md5, false).nonce;
        assert!(b.is_fresh(NOW, &nonce, "r") && !b.is_fresh(NOW, &nonce, "q"));
        for at in 0..nonce.len() {
            let mut changed = nonce.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert!(!b.is_fresh(NOW, &String::from_utf8(changed).unwrap(), "r"));
        }
    }
}
