//! What an ID token says, once its signature and claims are held against what was asked for (OpenID Connect Core 1.0 §3.1.3.7).
//!
//! Signatures are RS256 or ES256 (RFC 7518 §3.3, §3.4), of a key that the provider shows (RFC 7517): a token without a signature, or with one
//! that a shared secret makes, is never taken, whatever its header says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::{Map, Value};

/// How far the provider's clock may be from ours, in seconds.
pub const SKEW_S: u64 = 60;
/// Keys of a provider that are looked at.
pub const KEYS_MAX: usize = 100;
/// Longest token that is read, in bytes.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// Why a token was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// The provider broke the format. Its move.
    #[error("it is no signed token: {0}")]
    Malformed(&'static str),
    /// The key it names is not among those that are known. Fetch them again.
    #[error("it is signed with a key that the provider does not show")]
    UnknownKey,
    /// Somebody else made it, or changed it. Never take it.
    #[error("its signature is wrong")]
    Forged,
    /// It was made for another purpose. Never take it.
    #[error("{0}")]
    Unfit(&'static str),
}

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Who makes tokens.
    pub issuer: &'a str,
    /// Whom they are for.
    pub client_id: &'a str,
    /// What this one is bound to.
    pub nonce: &'a str,
    /// Seconds since 1970.
    pub now_s: u64,
}

/// The keys of a provider.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "KeysRead")]
pub struct Keys(Vec<Key>);

#[derive(Deserialize)]
struct KeysRead {
    keys: Vec<Value>,
}

impl From<KeysRead> for Keys {
    /// What cannot be read is of a kind that is not known, and left out (RFC 7517 §5).
    fn from(KeysRead { keys }: KeysRead) -> Self {
        Self(keys.into_iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value(key).ok()).collect())
    }
}

/// A key (RFC 7517 §4); kinds that are not known are never used.
#[derive(Debug, Clone, Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Es256,
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The claims of a token that is in order.
///
/// # Errors
/// See [`TokenFault`].
pub fn claims(token: &str, keys: &Keys, expected: Expected<'_>) -> Result<Map<String, Value>, TokenFault> {
    let claims = signed(token, keys)?;
    fit(&claims, expected)?;
    Ok(claims)
}

/// The claims, where one of the keys has signed them.
fn signed(token: &str, keys: &Keys) -> Result<Map<String, Value>, TokenFault> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenFault::Malformed("it is too long"));
    }
    let malformed = || TokenFault::Malformed("it has not three parts of base64url");
    let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
    let (header, payload) = message.split_once('.').ok_or_else(malformed)?;
    let header: Header = decoded(header)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or(TokenFault::Malformed("its header cannot be read"))?;
    if header.crit.is_some() {
        return Err(TokenFault::Malformed("its header asks for extensions"));
    }
    let algorithm = match header.alg.as_str() {
        "RS256" => Algorithm::Rs256,
        "ES256" => Algorithm::Es256,
        _ => return Err(TokenFault::Malformed("it is signed neither by RS256 nor by ES256")),
    };
    let (signature, payload) = (decoded(signature).ok_or_else(malformed)?, decoded(payload).ok_or_else(malformed)?);
    let mut fitting = keys.0.iter().filter(|key| key.fits(algorithm, header.kid.as_deref())).peekable();
    if fitting.peek().is_none() {
        return Err(TokenFault::UnknownKey);
    }
    if !fitting.any(|key| key.has_signed(algorithm, message.as_bytes(), &signature)) {
        return Err(TokenFault::Forged);
    }
    serde_json::from_slice(&payload).map_err(|_| TokenFault::Malformed("its claims cannot be read"))
}

impl Key {
    fn fits(&self, algorithm: Algorithm, kid: Option<&str>) -> bool {
        let (kty, alg) = match algorithm {
            Algorithm::Rs256 => ("RSA", "RS256"),
            Algorithm::Es256 => ("EC", "ES256"),
        };
        self.kty == kty
            && self.r#use.as_deref().is_none_or(|r#use| r#use == "sig")
            && self.alg.as_deref().is_none_or(|known| known == alg)
            && kid.is_none_or(|kid| self.kid.as_deref() == Some(kid))
    }

    fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let part = |part: &Option<String>| part.as_deref().and_then(decoded);
        match algorithm {
            Algorithm::Rs256 => {
                let Some((n, e)) = part(&self.n).zip(part(&self.e)) else { return false };
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            Algorithm::Es256 => {
                let Some((x, y)) = part(&self.x).zip(part(&self.y)) else { return false };
                if self.crv.as_deref() != Some("P-256") || x.len() != 32 || y.len() != 32 {
                    return false;
                }
                let point = [&[4], &x[..], &y].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
        }
    }
}

/// Whether claims are those that were asked for.
fn fit(claims: &Map<String, Value>, expected: Expected<'_>) -> Result<(), TokenFault> {
    let Expected { issuer, client_id, nonce, now_s } = expected;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    // A time may have a fraction (RFC 7519 §2).
    let time = |name: &str| claims.get(name).and_then(Value::as_f64).filter(|at| *at >= 0.0).map(|at| at as u64);
    if text("iss") != Some(issuer) {
        return Err(TokenFault::Unfit("another provider made it"));
    }
    let audience: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !audience.contains(&client_id) {
        return Err(TokenFault::Unfit("it is for another program"));
    }
    let party = text("azp");
    if party.is_some_and(|party| party != client_id) || (audience.len() > 1 && party.is_none()) {
        return Err(TokenFault::Unfit("it was given to another program"));
    }
    if text("nonce") != Some(nonce) {
        return Err(TokenFault::Unfit("it belongs to another sign-in"));
    }
    if text("sub").is_none_or(str::is_empty) {
        return Err(TokenFault::Unfit("it does not say whom it is of"));
    }
    if time("exp").is_none_or(|exp| exp.saturating_add(SKEW_S) <= now_s) {
        return Err(TokenFault::Unfit("it has expired"));
    }
    if ["iat", "nbf"].into_iter().filter_map(time).any(|from| from > now_s + SKEW_S) || time("iat").is_none() {
        return Err(TokenFault::Unfit("it is of the future, or does not say when it was made"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    const EXPECTED: Expected<'_> =
        Expected { issuer: "https://id.test", client_id: "offhook", nonce: "n-1", now_s: 1_000_000 };

    struct Provider(EcdsaKeyPair);

    impl Provider {
        fn new() -> Self {
            let chance = SystemRandom::new();
            let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &chance).expect("a key");
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &chance);
            Self(pair.expect("a key"))
        }

        fn keys(&self) -> Keys {
            let point = self.0.public_key().as_ref();
            let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
            let key = json!({ "kty": "EC", "crv": "P-256", "kid": "k-1", "use": "sig", "x": x, "y": y });
            serde_json::from_value(json!({ "keys": [key, { "kty": "oct", "k": "c2VjcmV0" }] })).expect("keys")
        }

        fn token(&self, header: &Value, claims: &Value) -> String {
            let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
            let message = format!("{header}.{claims}");
            let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).expect("signed");
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn good() -> Value {
        json!({ "iss": "https://id.test", "aud": "offhook", "sub": "7", "nonce": "n-1", "iat": 999_990, "exp": 1_000_300 })
    }

    fn header() -> Value {
        json!({ "alg": "ES256", "kid": "k-1" })
    }

    #[test]
    fn a_token_in_order_is_taken_and_any_claim_that_is_not_is_told() {
        let provider = Provider::new();
        let keys = provider.keys();
        let with = |changes: Value| {
            let mut all = good();
            for (name, value) in changes.as_object().expect("claims") {
                all[name] = value.clone();
            }
            claims(&provider.token(&header(), &all), &keys, EXPECTED)
        };
        assert_eq!(with(json!({})).expect("taken")["sub"], "7");
        assert!(with(json!({ "aud": ["offhook", "other"], "azp": "offhook" })).is_ok());
        assert!(with(json!({ "exp": 1_000_000 - 59 })).is_ok(), "clocks differ");
        for (changes, why) in [
            (json!({ "iss": "https://id.test/" }), "another provider"),
            (json!({ "aud": "other" }), "for another program"),
            (json!({ "aud": [] }), "for another program"),
            (json!({ "aud": null }), "for another program"),
            (json!({ "aud": ["offhook", "other"] }), "given to another"),
            (json!({ "azp": "other" }), "given to another"),
            (json!({ "nonce": "n-2" }), "another sign-in"),
            (json!({ "nonce": null }), "another sign-in"),
            (json!({ "sub": "" }), "whom it is of"),
            (json!({ "exp": 1_000_000 - 60 }), "expired"),
            (json!({ "exp": "1000300" }), "expired"),
            (json!({ "iat": 1_000_061 }), "of the future"),
            (json!({ "iat": null }), "of the future"),
            (json!({ "nbf": 1_000_061 }), "of the future"),
        ] {
            let fault = with(changes.clone()).expect_err(why);
            assert!(matches!(fault, TokenFault::Unfit(_)) && fault.to_string().contains(why), "{changes}: {fault}");
        }
    }

    #[test]
    fn a_token_that_nobody_or_somebody_else_has_signed_is_never_taken() {
        let (provider, other) = (Provider::new(), Provider::new());
        let keys = provider.keys();
        let token = provider.token(&header(), &good());
        let (message, signature) = token.rsplit_once('.').expect("three parts");
        let (head, _) = message.split_once('.').expect("three parts");
        let mut administrator = good();
        administrator["roles"] = json!(["administrator"]);
        let changed = format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(administrator.to_string()));
        let judge = |token: &str| claims(token, &keys, EXPECTED).expect_err("refused");
        assert_eq!(judge(&changed), TokenFault::Forged);
        assert_eq!(judge(&other.token(&header(), &good())), TokenFault::Forged);
        assert_eq!(judge(&format!("{message}.")), TokenFault::Forged);
        let unknown = provider.token(&json!({ "alg": "ES256", "kid": "k-2" }), &good());
        assert_eq!(judge(&unknown), TokenFault::UnknownKey);
        // A key of another kind is not tried.
        assert_eq!(judge(&provider.token(&json!({ "alg": "RS256", "kid": "k-1" }), &good())), TokenFault::UnknownKey);
        for header in [json!({ "alg": "none" }), json!({ "alg": "HS256" }), json!({ "alg": "ES256", "crit": ["b64"] })]
        {
            assert!(matches!(judge(&provider.token(&header, &good())), TokenFault::Malformed(_)), "{header}");
        }
        for text in ["", "a", "a.b", "..", &format!("{message}.{signature}."), &"a".repeat(TOKEN_BYTES_MAX + 1)] {
            assert!(matches!(judge(text), TokenFault::Malformed(_)), "{text:.40}");
        }
    }

    /// RFC 7515 appendix A.2 and A.3: the same claims, signed by others.
    #[test]
    fn the_signatures_of_rfc_7515_are_right() {
        let keys: Keys =
            serde_json::from_str(include_str!("../../../../fixtures/openid/rfc7515-keys.json")).expect("keys");
        for token in include_str!("../../../../fixtures/openid/rfc7515-tokens.txt").lines() {
            let all = signed(token, &keys).expect("signed");
            assert_eq!((all["iss"].as_str(), all["exp"].as_u64()), (Some("joe"), Some(1_300_819_380)));
            let (message, signature) = token.rsplit_once('.').expect("three parts");
            let wrong = format!("{message}.{}", signature.replacen('A', "B", 1));
            assert_eq!(signed(&wrong, &keys), Err(TokenFault::Forged));
        }
    }
}
