//! Secrets that people and programs are given: made here, shown once, and kept by nobody but in what the configuration holds of them.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use offhook_units::push_hex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Codes, Password, token_hash};
use crate::api::{Shared, bad_request};
use crate::guard::Asker;
use crate::problem::Problem;
use crate::session::audited;

/// Longest name of a user or a program, in characters.
pub const NAME_CHARS_MAX: usize = 128;
/// Signs of generated secrets: none that is taken for another one. 32 of them, 5 bits each.
const SIGNS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Signs of a password: 100 bits.
const PASSWORD_SIGNS: usize = 20;
/// Signs of a token: 200 bits.
const TOKEN_SIGNS: usize = 40;

/// What is to be made, and for whom.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MakeCredential")]
pub struct Wanted {
    /// What.
    kind: Kind,
    /// The name of the user or program.
    #[schemars(length(min = 1, max = NAME_CHARS_MAX))]
    name: String,
}

/// A kind of secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "CredentialKind")]
enum Kind {
    /// A password of a user, `password` in `[[user]]`.
    Password,
    /// The secret of an authenticator, `totp` in `[[user]]`.
    Authenticator,
    /// A token of a program, `sha256` in `[[token]]`.
    Token,
    /// A password of a phone, `password` in `[[account]]`: as it is, since phones are asked for it by digest.
    Phone,
}

/// A secret, shown this once.
#[derive(Serialize, JsonSchema)]
pub struct Credential {
    /// What its owner is given: a password, a token, or the address (`otpauth://..`) that an authenticator reads.
    secret: String,
    /// The key of the configuration that it belongs to.
    key: &'static str,
    /// What stands there.
    value: String,
}

/// `POST /api/v1/config/credentials`. Nothing is in force before a configuration with it is.
pub async fn make(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<Json<Credential>, Response> {
    let Json(Wanted { kind, name }) =
        body.map_err(|error| Problem::new(error.status(), error.body_text()).into_response())?;
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Err(bad_request(format!("a name has 1 to {NAME_CHARS_MAX} characters")).into_response());
    }
    let detail = format!("{kind:?}").to_lowercase();
    audited(&shared, &asker, "make credential", name.clone(), detail).await.map_err(IntoResponse::into_response)?;
    // A hash of a password takes some 20 ms on purpose.
    let made = tokio::task::spawn_blocking(move || of(kind, &name)).await;
    let failed = |why: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    made.map_err(|_| failed("it could not be made".to_owned()))?.map(Json).map_err(failed)
}

fn of(kind: Kind, name: &str) -> Result<Credential, String> {
    Ok(match kind {
        Kind::Password => {
            let secret = random(PASSWORD_SIGNS)?;
            let value = Password::of(&secret)?.as_str().to_owned();
            Credential { secret, key: "password", value }
        }
        Kind::Authenticator => {
            let (value, secret) = Codes::new_secret(name)?;
            Credential { secret, key: "totp", value }
        }
        Kind::Token => {
            let secret = random(TOKEN_SIGNS)?;
            let mut value = String::new();
            for byte in token_hash(&secret) {
                push_hex(&mut value, u64::from(byte), 2);
            }
            Credential { secret, key: "sha256", value }
        }
        Kind::Phone => {
            let secret = random(PASSWORD_SIGNS)?;
            Credential { value: secret.clone(), secret, key: "password" }
        }
    })
}

fn random(signs: usize) -> Result<String, String> {
    let mut bytes = vec![0; signs];
    getrandom::fill(&mut bytes).map_err(|error| format!("no randomness to be had: {error}"))?;
    Ok(bytes.iter().map(|byte| char::from(SIGNS[usize::from(byte % 32)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_holds_fits_what_its_owner_is_given() {
        let password = of(Kind::Password, "ann").expect("randomness");
        assert_eq!((password.secret.len(), password.key), (PASSWORD_SIGNS, "password"));
        assert!(Password::parse(&password.value).expect("a hash").is(&password.secret));
        let codes = of(Kind::Authenticator, "ann").expect("randomness");
        assert!(codes.secret.starts_with("otpauth://") && codes.secret.contains(&codes.value), "{}", codes.secret);
        assert!(Codes::parse(&codes.value, "ann").is_ok());
        let token = of(Kind::Token, "wallboard").expect("randomness");
        let mut hash = String::new();
        for byte in token_hash(&token.secret) {
            push_hex(&mut hash, u64::from(byte), 2);
        }
        assert_eq!((token.value, token.secret.len()), (hash, TOKEN_SIGNS));
        let phone = of(Kind::Phone, "alice").expect("randomness");
        assert_eq!(phone.value, phone.secret);
        assert_ne!(phone.secret, password.secret);
    }
}
