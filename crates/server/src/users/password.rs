//! Passwords as argon2id hashes (RFC 9106), and codes of an authenticator (RFC 6238).

use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHashString, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use totp_rs::{Algorithm as CodeHash, Secret, TOTP};

/// Shortest password that is taken when a hash is made, in characters.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Longest password that is looked at, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Memory that checking one password may take, in KiB: what the configuration asks for beyond it is refused.
const MEMORY_KIB_MAX: u32 = 256 * 1_024;
/// Passes over the memory that checking one password may take.
const PASSES_MAX: u32 = 16;
/// Memory below which, with the usual two passes, a stolen hash is too cheap to guess at, in KiB.
const MEMORY_KIB_MIN: u32 = 7 * 1_024;
/// Seconds that a code is good.
const CODE_STEP: u64 = 30;
/// A code of so many steps before or after now is taken: clocks of telephones differ.
const CODE_SKEW: u64 = 1;

/// A password's hash.
#[derive(Clone)]
pub struct Password(PasswordHashString);

impl core::fmt::Debug for Password {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Password {
    /// Reads a hash in PHC format, `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let hash = PasswordHashString::new(text).map_err(|error| format!("it is no hash of a password: {error}"))?;
        if hash.algorithm() != Algorithm::Argon2id.ident() {
            return Err(format!("it is made by {}, and only argon2id is taken", hash.algorithm()));
        }
        let params = Params::try_from(&hash.password_hash()).map_err(|error| error.to_string())?;
        if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX {
            return Err(format!("checking it would take more than {MEMORY_KIB_MAX} KiB or {PASSES_MAX} passes"));
        }
        if params.m_cost() < MEMORY_KIB_MIN {
            return Err(format!("it was made with less than {MEMORY_KIB_MIN} KiB: whoever reads it can guess fast"));
        }
        if hash.hash().is_none() || hash.salt().is_none() {
            return Err("it has no salt or no hash".to_owned());
        }
        Ok(Self(hash))
    }

    /// The hash of a password, made with 19 MiB and two passes (OWASP's first choice): some 20 ms of one core.
    ///
    /// # Errors
    /// The password is too short or too long.
    pub fn of(password: &str) -> Result<Self, String> {
        if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
            return Err(format!("a password has at least {PASSWORD_CHARS_MIN} characters and at most 1 KiB"));
        }
        let salt = SaltString::generate(&mut OsRng);
        let maker = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default());
        let hash = maker.hash_password(password.as_bytes(), &salt).map_err(|error| error.to_string())?;
        Ok(Self(hash.serialize()))
    }

    /// As it stands in the configuration.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is the same hash.
    pub fn is_as(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }

    /// Whether `given` is the password. Takes as long as making the hash took.
    pub fn is(&self, given: &str) -> bool {
        let hash: PasswordHash<'_> = self.0.password_hash();
        given.len() <= PASSWORD_BYTES_MAX && Argon2::default().verify_password(given.as_bytes(), &hash).is_ok()
    }
}

/// The secret that an authenticator and the exchange share, and the last step whose code was used.
pub struct Codes {
    totp: TOTP,
    used: AtomicU64,
}

impl core::fmt::Debug for Codes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Codes(..)")
    }
}

impl Codes {
    /// The secret.
    pub fn secret(&self) -> &[u8] {
        &self.totp.secret
    }

    /// Whether it is the same secret.
    pub fn is_as(&self, other: &Self) -> bool {
        self.totp.secret == other.totp.secret
    }

    /// Reads a secret in base 32, as authenticators show it.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(base32: &str, name: &str) -> Result<Self, String> {
        let plain: String = base32.chars().filter(|c| *c != ' ' && *c != '=').map(|c| c.to_ascii_uppercase()).collect();
        let secret =
            Secret::Encoded(plain).to_bytes().map_err(|_| "it is not base 32 (letters and 2 to 7)".to_owned())?;
        if secret.len() < 16 {
            return Err("it has less than 128 bits, 26 characters of base 32".to_owned());
        }
        Ok(Self { totp: totp(secret, name)?, used: AtomicU64::new(0) })
    }

    /// A new secret, and the address that authenticators read (`otpauth://..`), for the user of that name.
    ///
    /// # Errors
    /// The system gives no randomness, or the name has a colon.
    pub fn new_secret(name: &str) -> Result<(String, String), String> {
        let mut secret = vec![0; 20];
        getrandom::fill(&mut secret).map_err(|error| format!("no randomness to be had: {error}"))?;
        let totp = totp(secret, name)?;
        Ok((totp.get_secret_base32(), totp.get_url()))
    }

    /// Whether `code` is right at that time, in seconds since 1970, and was not used yet: each is good once (RFC 6238 section 5.2).
    pub fn take(&self, code: &str, at: u64) -> bool {
        let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let now = at / CODE_STEP;
        let fits = |step: &u64| self.totp.generate(step * CODE_STEP) == code;
        let Some(step) = (now.saturating_sub(CODE_SKEW)..=now + CODE_SKEW).find(fits) else { return false };
        self.used.fetch_max(step, Ordering::Relaxed) < step
    }
}

fn totp(secret: Vec<u8>, name: &str) -> Result<TOTP, String> {
    let issuer = Some("Offhook".to_owned());
    TOTP::new(CodeHash::SHA1, 6, 0, CODE_STEP, secret, issuer, name.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password_and_no_other() {
        let password = Password::of("correct horse battery").expect("long enough");
        assert!(password.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(password.is("correct horse battery"));
        assert!(!password.is("correct horse batter"));
        assert!(!password.is(""));
        let read = Password::parse(password.as_str()).expect("its own format");
        assert!(read.is("correct horse battery"));
        assert!(Password::of("eleven char").is_err());
    }

    #[test]
    fn hashes_that_are_weak_or_costly_or_none_are_refused_with_the_reason() {
        let salted = "$c29tZXNhbHRzb21lc2FsdA$p8Ha0D2SHTAwOXB3CtBxXU0bZPVnRjIDsFcb8dMNSVs";
        for (text, reason) in [
            ("secret".to_owned(), "no hash"),
            (format!("$argon2i$v=19$m=19456,t=2,p=1{salted}"), "only argon2id"),
            (format!("$argon2id$v=19$m=1024,t=2,p=1{salted}"), "guess"),
            (format!("$argon2id$v=19$m=4194304,t=2,p=1{salted}"), "more than"),
            ("$argon2id$v=19$m=19456,t=2,p=1".to_owned(), "no salt"),
        ] {
            let error = Password::parse(&text).expect_err(&text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    /// RFC 6238 appendix B with SHA-1, the last six of its eight digits.
    #[test]
    fn codes_are_those_of_rfc_6238() {
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        for (at, code) in [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924")] {
            let codes = Codes::parse(secret, "ann").expect("a secret");
            assert!(codes.take(code, at), "{at}");
            assert!(!codes.take(code, at), "a code is good once");
        }
        let codes = Codes::parse("gezd gnbv gy3t qojq gezd gnbv gy3t qojq", "ann").expect("as shown in groups");
        assert!(codes.take("287 082", 59 + 30), "a step late");
        assert!(!codes.take("287082", 59 + 90));
        assert!(Codes::parse("GEZDGNBV", "ann").is_err());
        assert!(Codes::parse("not base 32!", "ann").is_err());
    }
}
