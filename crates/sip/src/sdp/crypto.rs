//! Keys in session descriptions: SDES, RFC 4568, with the suites of RFC 7714.
//!
//! Each description names the key that its writer sends under, so whoever reads the signalling reads the call: keys go over TLS
//! alone, unless the operator says otherwise.

use core::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use offhook_plan::Crypto;
use offhook_units::{CryptoSuite, Entropy, MasterKey};

use super::lines::{Lines, Media};

/// Most `a=crypto` lines that are looked at.
const LINES_MAX: usize = 16;
/// Fewest packets that a key must be good for: three days of speech. A key with a shorter life would have to be changed
/// during the call.
const LIFETIME_MIN: u64 = 1 << 24;

/// Base64 with or without its padding: phones write both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether a stream is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SrtpPolicy {
    /// Never: an offer that wants it is refused.
    Off,
    /// Where the peer offers it; our own offers are plain.
    #[default]
    Accept,
    /// Where the peer can: our offers are RTP/AVP with keys, which a peer that cannot ignores.
    Optional,
    /// Always: our offers are RTP/SAVP, and a plain stream is refused.
    Required,
}

impl SrtpPolicy {
    /// Every policy, as in a configuration.
    pub const ALL: [(&str, Self); 4] =
        [("off", Self::Off), ("accept", Self::Accept), ("optional", Self::Optional), ("required", Self::Required)];

    const fn offers(self) -> bool {
        matches!(self, Self::Optional | Self::Required)
    }
}

/// Our keys for what we send on one stream: one for each suite, for as long as the stream lives, so that a description that is
/// sent again says the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SrtpKeys([MasterKey; CryptoSuite::ALL.len()]);

impl SrtpKeys {
    /// Fresh ones.
    pub fn generate(entropy: &mut Entropy) -> Self {
        Self(CryptoSuite::ALL.map(|suite| MasterKey::generate(suite, entropy)))
    }

    fn of(&self, suite: CryptoSuite) -> Option<MasterKey> {
        self.0.iter().find(|key| key.suite() == suite).copied()
    }
}

impl fmt::Debug for SrtpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SrtpKeys(..)")
    }
}

/// What we want of encryption on one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Srtp {
    /// Whether.
    pub policy: SrtpPolicy,
    /// Our keys. Without them (the signalling is not secret) nothing can be encrypted: a stream that must be is refused.
    pub keys: Option<SrtpKeys>,
}

impl Srtp {
    /// Plain streams only.
    pub const OFF: Self = Self { policy: SrtpPolicy::Off, keys: None };

    /// By `policy`, with fresh keys where they may be told.
    pub fn new(policy: SrtpPolicy, may_tell_keys: bool, entropy: &mut Entropy) -> Self {
        let keys = (may_tell_keys && policy != SrtpPolicy::Off).then(|| SrtpKeys::generate(entropy));
        Self { policy, keys }
    }

    /// Whether a plain stream is refused.
    pub(super) fn is_required(&self) -> bool {
        self.policy == SrtpPolicy::Required
    }

    /// The `a=crypto` lines of our offer: every suite, best first.
    pub(super) fn write_offered(&self, text: &mut Lines) {
        let Some(keys) = self.keys.filter(|_| self.policy.offers()) else { return };
        keys.0.iter().zip(1..).for_each(|(key, tag)| write(text, tag, key));
    }

    /// The offerer's first line that we can take (RFC 4568 section 5.1.2), as ours and as what is agreed.
    pub(super) fn answered(&self, offered: &[Line]) -> Option<(Lines, Crypto)> {
        let keys = self.keys?;
        let (theirs, ours) = offered.iter().find_map(|theirs| Some((theirs, keys.of(theirs.key.suite())?)))?;
        let mut lines = Lines::default();
        write(&mut lines, theirs.tag, &ours);
        Some((lines, Crypto { send: ours, receive: theirs.key }))
    }
}

/// What the answer's one line agrees on with the lines that we offered: the same tag and suite (RFC 4568 section 5.1.3).
pub(super) fn agreed(ours: &[Line], theirs: &[Line]) -> Option<Crypto> {
    let theirs = theirs.first()?;
    let ours = ours.iter().find(|ours| ours.tag == theirs.tag && ours.key.suite() == theirs.key.suite())?;
    Some(Crypto { send: ours.key, receive: theirs.key })
}

fn write(text: &mut Lines, tag: u32, key: &MasterKey) {
    let material = BASE64.encode(key.key_and_salt());
    text.attribute("crypto", format_args!("{tag} {} inline:{material}", key.suite().name()));
}

/// A line of `a=crypto` that we can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    tag: u32,
    key: MasterKey,
}

impl Line {
    /// The lines of a stream that we can take, in the peer's order. The others are passed over (RFC 4568 section 5.1.2).
    pub(super) fn all(media: &Media<'_>) -> Vec<Self> {
        media.values("crypto").take(LINES_MAX).filter_map(Self::parse).collect()
    }

    /// `TAG SUITE inline:KEY[|LIFETIME] [PARAMETERS]`, RFC 4568 section 9.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (tag, suite, key) = (words.next()?, words.next()?, words.next()?);
        let is_tag = (1..=9).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_digit());
        let tag = tag.parse().ok().filter(|_| is_tag)?;
        if !words.all(is_harmless) {
            return None;
        }
        // Several keys (`;`) are told apart by an identifier in every packet (MKI), which nobody here writes or reads.
        let (method, info) = key.split_once(':').filter(|_| !key.contains(';'))?;
        let mut parts = info.split('|');
        let bytes = BASE64.decode(parts.next()?).ok().filter(|_| method.eq_ignore_ascii_case("inline"))?;
        let lifetime = parts.next().map_or(Some(u64::MAX), lifetime)?;
        if lifetime < LIFETIME_MIN || parts.next().is_some() {
            return None;
        }
        Some(Self { tag, key: MasterKey::new(CryptoSuite::by_name(suite)?, &bytes)? })
    }
}

/// `2^N`, or a number of packets; nothing where it is neither, as an MKI.
fn lifetime(text: &str) -> Option<u64> {
    match text.split_once('^') {
        Some(("2", power)) => 1_u64.checked_shl(power.parse().ok()?),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// Whether a session parameter (RFC 4568 section 6.3) leaves the stream as we do it. An unknown one that must be understood is
/// not.
fn is_harmless(parameter: &str) -> bool {
    let is_window = parameter.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("WSH="));
    parameter.starts_with('-') || parameter.eq_ignore_ascii_case("KDR=0") || is_window
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    #[test]
    fn lines_are_taken_or_passed_over_as_rfc_4568_says() {
        let rows = [
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"), true),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20"), false),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31"), true),
            (format!("1 aes_cm_128_hmac_sha1_32 INLINE:{KEY}|2^48"), true),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|281474976710656"), true),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31|1:4"), false),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4"), false),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY};inline:{KEY}"), false),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} WSH=128 KDR=0 -FANCY=1"), true),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTCP"), false),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=4"), false),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} FANCY=1"), false),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} WSHξ=1"), false),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", &KEY[4..]), false),
            (format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}"), false),
            (format!("+1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"), false),
            (format!("1234567890 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"), false),
            (format!("1 AES_CM_128_HMAC_SHA1_80 uri:{KEY}"), false),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:".to_owned(), false),
            ("1 AES_CM_128_HMAC_SHA1_80".to_owned(), false),
            (String::new(), false),
        ];
        for (text, taken) in rows {
            assert_eq!(Line::parse(&text).is_some(), taken, "{text}");
        }
    }

    #[test]
    fn keys_are_read_with_and_without_padding() {
        let key = MasterKey::generate(CryptoSuite::AeadAes128Gcm, &mut Entropy::from_number(1));
        let mut lines = Lines::default();
        write(&mut lines, 7, &key);
        let written = lines.into_text().replace("a=crypto:", "").replace("\r\n", "");
        assert!(written.ends_with("=="), "{written}");
        assert_eq!(Line::parse(&written), Some(Line { tag: 7, key }));
        assert_eq!(Line::parse(written.trim_end_matches('=')), Some(Line { tag: 7, key }));
    }

    #[test]
    fn an_answer_that_changes_tag_or_suite_agrees_on_nothing() {
        let mut entropy = Entropy::from_number(1);
        let of = |tag, suite, entropy: &mut Entropy| Line { tag, key: MasterKey::generate(suite, entropy) };
        let ours =
            [of(1, CryptoSuite::AeadAes128Gcm, &mut entropy), of(2, CryptoSuite::AesCm128HmacSha1_80, &mut entropy)];
        let theirs = of(2, CryptoSuite::AesCm128HmacSha1_80, &mut entropy);
        let crypto = agreed(&ours, core::slice::from_ref(&theirs)).unwrap();
        assert_eq!((crypto.send, crypto.receive), (ours[1].key, theirs.key));
        assert_eq!(agreed(&ours, &[of(3, CryptoSuite::AesCm128HmacSha1_80, &mut entropy)]), None);
        assert_eq!(agreed(&ours, &[of(1, CryptoSuite::AesCm128HmacSha1_80, &mut entropy)]), None);
        assert_eq!(agreed(&ours, &[]), None);
    }
}
