//! The server's side of digest authentication: nonces that need no memory until they come back with right credentials, and the
//! verdict on an answer.

use core::hint::black_box;
use core::net::IpAddr;

use offhook_units::{Entropy, Span, Tick};
use sha2::{Digest, Sha256};

use super::replay::Used;
use super::{Algorithm, Answer, Challenge, Fields, Hex, Qop, ascii_eq, push_quoted, unescape};
use crate::Request;
use crate::uri::UriRef;

/// What may be chosen about verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestConfig {
    /// What is asked for, the preferred one first: one challenge for each (RFC 8760 section 2.3). No other is accepted.
    pub algorithms: Vec<Algorithm>,
    /// How long a nonce is good. An answer with an older one that is right otherwise is [`Verdict::Stale`].
    pub nonce_lifetime: Span,
    /// Nonces in use whose counts are kept; over it those issued first are given up, and their phones are asked again.
    pub nonces_max: usize,
}

impl Default for DigestConfig {
    /// SHA-256 before MD5, five minutes, 65,536 nonces.
    fn default() -> Self {
        let algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
        Self { algorithms, nonce_lifetime: Span::from_s(300), nonces_max: 65_536 }
    }
}

/// What to make of a request's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They are right.
    Ok,
    /// Their nonce is too old and they are right otherwise, or it was not issued to this source in this run and they were not
    /// looked at: challenge again with `stale`.
    Stale,
    /// They are right, and were here before: somebody says again what somebody else said. Challenge again with `stale`: a
    /// phone that counts wrongly comes back, whoever repeats cannot.
    Replayed,
    /// They are right for another Request-URI: refuse with 400 (RFC 7616 section 3.4.6).
    OtherUri,
    /// They are wrong, or the user is unknown: challenge again or refuse with 403.
    Wrong,
    /// There are none for this realm by an algorithm that was asked for: challenge.
    NoCredentials,
}

/// Verdicts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DigestCounters {
    /// Wrong passwords and unknown users.
    pub wrong: u64,
    /// Answers to nonces that were too old, or never issued to their source.
    pub stale: u64,
    /// Right answers that were here before.
    pub replayed: u64,
    /// Right answers for another Request-URI.
    pub other_uri: u64,
    /// Nonces given up at [`DigestConfig::nonces_max`].
    pub nonces_forgotten: u64,
}

/// Issues nonces and judges answers. A nonce is its own time and an HMAC over it and the source it is issued to, so that nothing is kept for a client that never
/// comes back; for one that did, which counts it has used (decision 0035).
pub struct DigestVerifier {
    config: DigestConfig,
    /// As it stands between quotes.
    realm: String,
    /// The password of whoever is not known: hashing it costs as much as hashing a real one.
    decoy: String,
    /// HMAC-SHA-256 with the key taken in: the inner and the outer hash (RFC 2104).
    inner: Sha256,
    outer: Sha256,
    /// The time of the last nonce: the next one is later.
    issued: u64,
    used: Used,
    counters: DigestCounters,
}

/// Hexadecimal digits of a nonce's instant and of its HMAC, which is cut to 128 bits.
const TIME_DIGITS: usize = 16;
const MAC_DIGITS: usize = 32;

impl DigestVerifier {
    /// For one realm, given as plain text, with a secret of its own: nonces of other verifiers are stale to it.
    pub fn new(realm: &str, entropy: &mut Entropy, config: DigestConfig) -> Self {
        const BLOCK: usize = 64;
        let mut key = [0; 32];
        entropy.fill(&mut key);
        let keyed = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            Sha256::new_with_prefix(block)
        };
        let (inner, outer, used) = (keyed(0x36), keyed(0x5c), Used::new(config.nonces_max));
        let (realm, decoy, counters) = (raw(realm), entropy.token(), DigestCounters::default());
        Self { config, realm, decoy, inner, outer, issued: 0, used, counters }
    }

    /// Challenges for `source` with a fresh nonce, in order of preference.
    pub fn challenges(&mut self, now: Tick, source: IpAddr, stale: bool) -> impl Iterator<Item = Challenge> {
        // No two nonces are the same, however many are asked for in one microsecond.
        self.issued = now.as_us().max(self.issued + 1);
        let mut nonce = format!("{:0TIME_DIGITS$x}", self.issued);
        let mac = self.mac(&nonce, source);
        nonce.push_str(&mac.as_str()[..MAC_DIGITS]);
        let this = &*self;
        let challenge = move |algorithm: &Algorithm| Challenge {
            realm: this.realm.clone(),
            nonce: nonce.clone(),
            algorithm: *algorithm,
            qop: true,
            opaque: None,
            stale,
        };
        this.config.algorithms.iter().map(challenge)
    }

    /// Judges one value of a request's Authorization or Proxy-Authorization; `password` tells the password of a user. An unknown
    /// user costs as much as a wrong password, and hashes are compared in constant time. A right answer is good once, and only from
    /// the source that was asked: who is judged [`Verdict::Wrong`] has heard our challenge, and is no forged address.
    pub fn verify<'p>(
        &mut self,
        now: Tick,
        source: IpAddr,
        request: &Request,
        authorization: &str,
        password: impl FnOnce(&str) -> Option<&'p str>,
    ) -> Verdict {
        let verdict = self.judge(now, source, request, authorization, password);
        let counters = &mut self.counters;
        match verdict {
            Verdict::Wrong => counters.wrong += 1,
            Verdict::Stale => counters.stale += 1,
            Verdict::Replayed => counters.replayed += 1,
            Verdict::OtherUri => counters.other_uri += 1,
            Verdict::Ok | Verdict::NoCredentials => {}
        }
        verdict
    }

    /// Verdicts so far.
    pub fn counters(&self) -> DigestCounters {
        DigestCounters { nonces_forgotten: self.used.forgotten(), ..self.counters }
    }

    fn judge<'p>(
        &mut self,
        now: Tick,
        source: IpAddr,
        request: &Request,
        authorization: &str,
        password: impl FnOnce(&str) -> Option<&'p str>,
    ) -> Verdict {
        let Some(given) = Given::read(authorization).filter(|given| given.realm == Some(&self.realm)) else {
            return Verdict::NoCredentials;
        };
        let asked = |algorithm: &Algorithm| self.config.algorithms.contains(algorithm);
        let Some(algorithm) = given.algorithm().filter(asked) else {
            return Verdict::NoCredentials;
        };
        let Some((answer, count, response)) = given.answer(algorithm) else {
            return Verdict::Wrong;
        };
        let Some(issued) = self.issued_at(answer.nonce, source) else {
            return Verdict::Stale;
        };
        let password = password(&unescape(answer.username));
        let expected = answer.response(request.method.as_str(), password.unwrap_or(&self.decoy));
        let agrees = same(expected.as_str().as_bytes(), response.as_bytes());
        if !(password.is_some() && agrees) {
            return Verdict::Wrong;
        }
        if now.since(issued) > self.config.nonce_lifetime {
            return Verdict::Stale;
        }
        if !self.means(answer.uri, request) {
            return Verdict::OtherUri;
        }
        let oldest = now.before(self.config.nonce_lifetime).as_us();
        if self.used.take(oldest, issued.as_us(), count) { Verdict::Ok } else { Verdict::Replayed }
    }

    /// When the nonce was issued, where it is ours and `source`'s.
    fn issued_at(&self, nonce: &str, source: IpAddr) -> Option<Tick> {
        if nonce.len() != TIME_DIGITS + MAC_DIGITS || !nonce.is_ascii() {
            return None;
        }
        let (time, mac) = nonce.split_at(TIME_DIGITS);
        if !same(&self.mac(time, source).as_str().as_bytes()[..MAC_DIGITS], mac.as_bytes()) {
            return None;
        }
        u64::from_str_radix(time, 16).ok().map(Tick::from_us)
    }

    fn mac(&self, time: &str, source: IpAddr) -> Hex {
        let IpAddr::V6(source) = source else { return self.mac(time, mapped(source)) };
        let inner = self.inner.clone().chain_update(time).chain_update(source.octets()).chain_update(&self.realm);
        let inner = inner.finalize();
        Hex::of(&self.outer.clone().chain_update(inner).finalize())
    }

    /// Whether `uri` is the Request-URI (RFC 7616 section 3.4.6), up to what happens to it on the way: phones leave port and
    /// parameters out, and a proxy writes our address where the phone wrote the domain, which still stands in To or is the realm.
    fn means(&self, uri: &str, request: &Request) -> bool {
        let Ok(given) = UriRef::parse(uri) else { return false };
        let given = given.to_uri();
        if !given.is_sip() || !request.uri.is_sip() {
            return given.equivalent(&request.uri);
        }
        if given.user_decoded() != request.uri.user_decoded() {
            return false;
        }
        ascii_eq(&given.host, &request.uri.host)
            || ascii_eq(&given.host, &self.realm)
            || request.headers.to().is_ok_and(|to| ascii_eq(&given.host, &to.uri.host))
    }
}

/// One form for both families, so that no two sources look the same in a hash.
fn mapped(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(source) => IpAddr::V6(source.to_ipv6_mapped()),
        IpAddr::V6(_) => source,
    }
}

/// The user that an Authorization value speaks for, escapes undone.
pub fn digest_username(authorization: &str) -> Option<String> {
    Some(unescape(Fields::of(authorization)?.get("username")?).into_owned())
}

/// The fields of an answer, as they stand between their quotes.
#[derive(Debug, Default)]
struct Given<'a> {
    realm: Option<&'a str>,
    username: Option<&'a str>,
    nonce: Option<&'a str>,
    uri: Option<&'a str>,
    response: Option<&'a str>,
    algorithm: Option<&'a str>,
    qop: Option<&'a str>,
    nc: Option<&'a str>,
    cnonce: Option<&'a str>,
}

impl<'a> Given<'a> {
    /// `None` where the scheme is not Digest. Of a field that is given twice the first counts.
    fn read(authorization: &'a str) -> Option<Self> {
        let mut given = Self::default();
        for (name, value) in Fields::of(authorization)?.each() {
            let places = [
                ("username", &mut given.username),
                ("realm", &mut given.realm),
                ("nonce", &mut given.nonce),
                ("uri", &mut given.uri),
                ("response", &mut given.response),
                ("algorithm", &mut given.algorithm),
                ("cnonce", &mut given.cnonce),
                ("nc", &mut given.nc),
                ("qop", &mut given.qop),
            ];
            if let Some((_, place)) = places.into_iter().find(|(known, _)| ascii_eq(known, name)) {
                place.get_or_insert(value);
            }
        }
        Some(given)
    }

    fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm.map_or(Some(Algorithm::Md5), Algorithm::of)
    }

    /// What goes into the hash, the count, and the hash; `None` where something is missing or not supported. An answer without
    /// `qop` counts nothing: it is good once for its nonce.
    fn answer(&self, algorithm: Algorithm) -> Option<(Answer<'a>, u32, &'a str)> {
        let qop = match self.qop {
            None => None,
            Some(name) if ascii_eq(name, "auth") => {
                // The count is eight hexadecimal digits, letters included: phones reach 0000000a at their tenth request.
                let nc = self.nc.filter(|nc| nc.len() == 8 && nc.bytes().all(|b| b.is_ascii_hexdigit()))?;
                Some(Qop { name, nc, cnonce: self.cnonce? })
            }
            Some(_) => return None,
        };
        let count = qop.as_ref().map_or(Some(0), |qop| u32::from_str_radix(qop.nc, 16).ok())?;
        let (username, realm, nonce, uri) = (self.username?, self.realm?, self.nonce?, self.uri?);
        Some((Answer { algorithm, username, realm, nonce, uri, qop }, count, self.response?))
    }
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
    use crate::Message;

    const NOW: Tick = Tick::from_us(1_700_000_000_000_000);
    const SOURCE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 7));
    const URI: &str = "sip:example.com";

    fn verifier(number: u64, algorithms: &[Algorithm]) -> DigestVerifier {
        let config = DigestConfig { algorithms: algorithms.to_vec(), ..DigestConfig::default() };
        DigestVerifier::new("the \"desk\"", &mut Entropy::from_number(number), config)
    }

    fn request(method: &str, uri: &str) -> Request {
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@to.example>\r\n\
             Call-ID: 1\r\nCSeq: 1 {method}\r\n\r\n"
        );
        match Message::parse(text.as_bytes()) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn answer(challenge: &Challenge, username: &str, password: &str, uri: &str, count: u32) -> String {
        let credentials = Credentials { username: username.to_owned(), password: password.to_owned() };
        answer_challenge(challenge, &credentials, "REGISTER", uri, "cafe", count)
    }

    fn judge_at(verifier: &mut DigestVerifier, now: Tick, request: &Request, value: &str) -> Verdict {
        verifier.verify(now, SOURCE, request, value, |user| (user == "al\"ice").then_some("secret"))
    }

    fn judge(verifier: &mut DigestVerifier, now: Tick, value: &str) -> Verdict {
        judge_at(verifier, now, &request("REGISTER", URI), value)
    }

    #[test]
    fn right_credentials_are_accepted_with_each_algorithm_that_was_asked_for_and_without_qop() {
        let mut verifier = verifier(1, &Algorithm::ALL);
        for index in 0..3 {
            for qop in [true, false] {
                let challenges: Vec<Challenge> = verifier.challenges(NOW, SOURCE, false).collect();
                let challenge = Challenge { qop, ..challenges[index].clone() };
                assert_eq!(challenge.algorithm, Algorithm::ALL[index]);
                let challenge = Challenge::parse(&challenge.to_string()).unwrap();
                let value = answer(&challenge, "al\"ice", "secret", URI, 1);
                assert_eq!(judge(&mut verifier, NOW, &value), Verdict::Ok);
                assert_eq!(judge(&mut verifier, NOW, &value), Verdict::Replayed, "{value}");
                assert_eq!(digest_username(&value).as_deref(), Some("al\"ice"));
            }
        }
        assert_eq!(verifier.counters(), DigestCounters { replayed: 6, ..DigestCounters::default() });
    }

    #[test]
    fn an_algorithm_that_was_not_asked_for_is_no_answer() {
        let mut strict = verifier(1, &[Algorithm::Sha256]);
        let challenges: Vec<Challenge> = strict.challenges(NOW, SOURCE, false).collect();
        assert_eq!(challenges.len(), 1);
        let weaker = Challenge { algorithm: Algorithm::Md5, ..challenges[0].clone() };
        for value in [
            answer(&weaker, "al\"ice", "secret", URI, 1),
            answer(&challenges[0], "al\"ice", "secret", URI, 1).replace("SHA-256", "SHA-256-sess"),
        ] {
            assert_eq!(judge(&mut strict, NOW, &value), Verdict::NoCredentials);
        }
        assert_eq!(judge(&mut strict, NOW, &answer(&challenges[0], "al\"ice", "secret", URI, 1)), Verdict::Ok);
    }

    #[test]
    fn an_answer_is_good_once_and_later_counts_of_its_nonce_in_any_order() {
        let mut verifier = verifier(1, &[Algorithm::Md5]);
        let challenge = verifier.challenges(NOW, SOURCE, false).next().unwrap();
        let other = verifier.challenges(NOW, SOURCE, false).next().unwrap();
        assert_ne!(challenge.nonce, other.nonce, "no two phones share a nonce");
        for (count, verdict) in
            [(1, Verdict::Ok), (1, Verdict::Replayed), (3, Verdict::Ok), (2, Verdict::Ok), (2, Verdict::Replayed)]
        {
            assert_eq!(judge(&mut verifier, NOW, &answer(&challenge, "al\"ice", "secret", URI, count)), verdict);
        }
        assert_eq!(judge(&mut verifier, NOW, &answer(&other, "al\"ice", "secret", URI, 1)), Verdict::Ok);
    }

    #[test]
    fn a_nonce_is_stale_after_300_s_and_in_another_run() {
        let mut verifier_of_now = verifier(1, &[Algorithm::Md5]);
        let challenge = verifier_of_now.challenges(NOW, SOURCE, false).next().unwrap();
        let value = |count| answer(&challenge, "al\"ice", "secret", URI, count);
        assert_eq!(judge(&mut verifier_of_now, NOW + Span::from_s(300), &value(1)), Verdict::Ok);
        assert_eq!(judge(&mut verifier_of_now, NOW + Span::from_s(301), &value(2)), Verdict::Stale);
        assert_eq!(judge(&mut verifier(2, &[Algorithm::Md5]), NOW, &value(3)), Verdict::Stale);
    }

    #[test]
    fn a_nonce_is_good_for_the_source_that_was_asked_and_says_nothing_of_a_password_elsewhere() {
        let mut verifier = verifier(1, &[Algorithm::Md5]);
        let challenge = verifier.challenges(NOW, SOURCE, false).next().unwrap();
        let request = request("REGISTER", URI);
        let invented = Challenge { nonce: "0".repeat(48), ..challenge.clone() };
        for password in ["secret", "guess"] {
            let right = answer(&challenge, "al\"ice", password, URI, 1);
            let elsewhere = verifier.verify(NOW, "192.0.2.8".parse().unwrap(), &request, &right, |_| Some("secret"));
            assert_eq!(elsewhere, Verdict::Stale, "{password}");
            let value = answer(&invented, "al\"ice", password, URI, 1);
            assert_eq!(judge(&mut verifier, NOW, &value), Verdict::Stale, "{password}");
        }
        assert_eq!(judge(&mut verifier, NOW, &answer(&challenge, "al\"ice", "secret", URI, 1)), Verdict::Ok);
    }

    #[test]
    fn wrong_passwords_users_methods_and_counts_are_told_apart_from_missing_ones() {
        let mut verifier = verifier(1, &[Algorithm::Md5]);
        let challenge = verifier.challenges(NOW, SOURCE, false).next().unwrap();
        let right = answer(&challenge, "al\"ice", "secret", URI, 10);
        for wrong in [
            answer(&challenge, "al\"ice", "wrong", URI, 1),
            answer(&challenge, "bob", "secret", URI, 1),
            answer(&challenge, "bob", "", URI, 1),
            right.replace("qop=auth", "qop=auth-int"),
            right.replace("nc=0000000a", "nc=10"),
            right.replace("nc=0000000a", "nc=0000000b"),
            right.replace("response=", "x="),
        ] {
            assert_eq!(judge(&mut verifier, NOW, &wrong), Verdict::Wrong, "{wrong}");
        }
        assert_eq!(judge_at(&mut verifier, NOW, &request("INVITE", URI), &right), Verdict::Wrong);
        for other in ["Basic YWxpY2U6c2VjcmV0".to_owned(), right.replace("desk", "ship")] {
            assert_eq!(judge(&mut verifier, NOW, &other), Verdict::NoCredentials);
        }
        assert_eq!((verifier.counters().wrong, judge(&mut verifier, NOW, &right)), (8, Verdict::Ok));
    }

    #[test]
    fn an_answer_is_for_its_own_request_uri() {
        let mut verifier = verifier(1, &[Algorithm::Md5]);
        for (sent, given, verdict) in [
            ("sip:+4930@example.com", "sip:+4930@example.com", Verdict::Ok),
            ("sip:+4930@example.com:5060;transport=tcp", "sip:+4930@EXAMPLE.com", Verdict::Ok),
            ("sip:%61nn@example.com", "sip:ann@example.com", Verdict::Ok),
            ("sip:+4930@192.0.2.1:5060", "sip:+4930@to.example", Verdict::Ok),
            ("tel:+4930", "tel:+4930", Verdict::Ok),
            ("sip:+4930@example.com", "sip:+4931@example.com", Verdict::OtherUri),
            ("sip:+4930@example.com", "sip:example.com", Verdict::OtherUri),
            ("sip:+4930@example.com", "sip:+4930@elsewhere.example", Verdict::OtherUri),
            ("sip:example.com", "*", Verdict::OtherUri),
            ("tel:+4930", "tel:+4931", Verdict::OtherUri),
        ] {
            let challenge = verifier.challenges(NOW, SOURCE, false).next().unwrap();
            let value = answer(&challenge, "al\"ice", "secret", given, 1);
            let request = request("REGISTER", sent);
            assert_eq!(judge_at(&mut verifier, NOW, &request, &value), verdict, "{sent} {given}");
        }
    }

    #[test]
    fn verifiers_of_one_secret_accept_each_others_nonces_and_no_changed_digit() {
        let (mut a, b) = (verifier(1, &[Algorithm::Md5]), verifier(1, &[Algorithm::Md5]));
        let nonce = a.challenges(NOW, SOURCE, false).next().unwrap().nonce;
        assert_eq!(b.issued_at(&nonce, SOURCE), Some(NOW));
        for at in 0..nonce.len() {
            let mut changed = nonce.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(b.issued_at(&String::from_utf8(changed).unwrap(), SOURCE), None);
        }
    }
}
