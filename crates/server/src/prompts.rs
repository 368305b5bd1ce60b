//! Prompts over HTTP: which there are, how they sound, and new ones, recorded or spoken by an engine of the machine.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{Shared, bad_request};
use crate::guard::Asker;
use crate::problem::Problem;
use crate::session::audited;
use crate::view::{Answer, Unavailable};

/// Most prompts in a list; what is beyond is left out, and said so.
pub const PROMPTS_MAX: usize = 5_000;
/// Largest sound file that is taken, in bytes: some five minutes at 8 kHz.
pub const PROMPT_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Longest name, in characters.
pub const PROMPT_NAME_CHARS_MAX: usize = 64;
/// Longest text that is spoken, in characters.
pub const SPOKEN_CHARS_MAX: usize = 2_000;

/// What the server asks of whoever keeps prompts.
pub trait PromptShelf {
    /// All of them.
    fn prompts(&self) -> Answer<'_, Result<PromptList, Unavailable>>;
    /// The file of one; none where there is none of that name.
    fn prompt(&self, name: String) -> Answer<'_, Result<Option<Vec<u8>>, Unavailable>>;
    /// Keeps a sound under a name, in the place of the one that was there.
    fn put_prompt(&self, name: String, sound: PromptSound) -> Answer<'_, Result<Prompt, PromptFault>>;
    /// Takes one away that nothing in force plays.
    fn remove_prompt(&self, name: String) -> Answer<'_, Result<(), PromptFault>>;
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptSound {
    /// A file in WAV.
    Wav(Vec<u8>),
    /// Words for the engine.
    Spoken {
        /// The words.
        text: String,
        /// Which voice, as the engine calls it.
        voice: Option<String>,
    },
}

/// All prompts.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
pub struct PromptList {
    /// Whether new ones can be kept: the last folder of `[prompts]` is there and may be written.
    pub writable: bool,
    /// The engine that speaks texts, where one is installed.
    pub engine: Option<String>,
    /// By name.
    pub prompts: Vec<Prompt>,
    /// There are more.
    pub cut: bool,
}

/// A prompt.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
pub struct Prompt {
    /// As the configuration names it.
    pub name: String,
    /// How long it lasts; null where it cannot be played.
    pub seconds: Option<f64>,
    /// Samples per second.
    pub rate_hz: Option<u32>,
    /// It lies where new ones are kept, and another one may take its place.
    pub own: bool,
}

/// Why a prompt was not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptFault {
    /// It cannot be played. Another file.
    #[error("it cannot be played: {0}; save it as WAV, 16 bit PCM, one channel, 8 to 48 kHz")]
    Unplayable(String),
    /// A folder before has one of that name, which is the one that is heard. Another name.
    #[error("another folder has a prompt of that name, which would be heard instead: choose another name")]
    Hidden,
    /// There is none of that name.
    #[error("there is no prompt of that name")]
    Missing,
    /// It lies where nothing is kept by the exchange. The operator's move.
    #[error("it lies with the machine: only what the exchange keeps itself can be taken away here")]
    Foreign,
    /// The configuration in force plays it, on these lines of its text; on none where an announcement is made of it.
    #[error("it is played: {}; take it out there first", places(.0))]
    Used(Vec<usize>),
    /// Engines speak already. Wait.
    #[error("too many texts are being spoken: try again in a moment")]
    Busy,
    /// There is no engine. The operator's move.
    #[error("no engine that speaks is installed: install espeak-ng, or send a recording")]
    NoEngine,
    /// The engine did not speak.
    #[error("the engine did not speak: {0}")]
    Silent(String),
    /// The folder cannot be written. The operator's move.
    #[error("the folder of prompts cannot be written: {0}")]
    Unwritable(String),
    /// As [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Where a prompt is played.
fn places(lines: &[usize]) -> String {
    let numbers: Vec<String> = lines.iter().map(usize::to_string).collect();
    match numbers.as_slice() {
        [] => "announcements are made of it".to_owned(),
        [one] => format!("line {one} of the configuration"),
        _ => format!("lines {} of the configuration", numbers.join(", ")),
    }
}

impl From<PromptFault> for Problem {
    fn from(fault: PromptFault) -> Self {
        let status = match &fault {
            PromptFault::Unplayable(_) | PromptFault::Silent(_) => StatusCode::UNPROCESSABLE_ENTITY,
            PromptFault::Missing => StatusCode::NOT_FOUND,
            PromptFault::Hidden | PromptFault::NoEngine | PromptFault::Foreign | PromptFault::Used(_) => {
                StatusCode::CONFLICT
            }
            PromptFault::Unwritable(_) => StatusCode::INTERNAL_SERVER_ERROR,
            PromptFault::Unavailable(_) | PromptFault::Busy => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, fault.to_string())
    }
}

/// `GET /api/v1/prompts`.
pub async fn list(State(shared): State<Shared>) -> Result<Json<PromptList>, Problem> {
    Ok(Json(shared.view.prompts().await?))
}

/// `GET /api/v1/prompts/{name}`: the file.
pub async fn sound(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Response, Problem> {
    let file = shared.view.prompt(named(name)?).await?;
    let file = file.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no prompt of that name"))?;
    Ok(([(header::CONTENT_TYPE, "audio/wav"), (header::CACHE_CONTROL, "no-store")], file).into_response())
}

/// A prompt that is to be kept: one of the two.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "PutPrompt")]
pub enum Put {
    /// A recording.
    Recorded(Recorded),
    /// Words for the engine.
    Spoken(Spoken),
}

/// A recording.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PutRecordedPrompt")]
pub struct Recorded {
    /// A sound file in Base64: WAV, 16 bit PCM, one channel, 8 to 48 kHz.
    wav: String,
}

/// Words for the engine.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PutSpokenPrompt")]
pub struct Spoken {
    /// Words that the engine speaks.
    #[schemars(length(max = SPOKEN_CHARS_MAX), regex(pattern = r"\S"))]
    text: String,
    /// With which of its voices, such as `de` or `cmn`.
    #[schemars(length(max = 32), regex(pattern = r"^[0-9A-Za-z+_][0-9A-Za-z+_-]*$"))]
    voice: Option<String>,
}

/// `PUT /api/v1/prompts/{name}`.
pub async fn put(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(name): Path<String>,
    body: Result<Json<Put>, JsonRejection>,
) -> Result<Json<Prompt>, Problem> {
    let name = named(name)?;
    let Json(put) = body.map_err(|error| match error {
        JsonRejection::JsonDataError(_) => bad_request("send either wav, or text with a voice or without"),
        error => Problem::new(error.status(), error.body_text()),
    })?;
    let (sound, how) = match put {
        Put::Recorded(Recorded { wav }) => {
            let unreadable = |_| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "wav is a file in Base64");
            let bytes = STANDARD.decode(wav).map_err(unreadable)?;
            if bytes.len() > PROMPT_BYTES_MAX {
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "a prompt has at most 5 MiB"));
            }
            (PromptSound::Wav(bytes), "recorded")
        }
        Put::Spoken(Spoken { text, voice }) => {
            if text.trim().is_empty() || text.chars().count() > SPOKEN_CHARS_MAX {
                return Err(bad_request(format!("text has 1 to {SPOKEN_CHARS_MAX} characters")));
            }
            let plain = |voice: &String| {
                (1..=32).contains(&voice.len()) && voice.chars().all(|c| c.is_ascii_alphanumeric() || "-+_".contains(c))
            };
            if voice.as_ref().is_some_and(|voice| voice.starts_with('-') || !plain(voice)) {
                return Err(bad_request("a voice is a name such as de, en-us or cmn"));
            }
            (PromptSound::Spoken { text, voice }, "spoken")
        }
    };
    audited(&shared, &asker, "keep prompt", name.clone(), how.to_owned()).await?;
    Ok(Json(shared.view.put_prompt(name, sound).await?))
}

/// `DELETE /api/v1/prompts/{name}`.
pub async fn remove(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let name = named(name)?;
    audited(&shared, &asker, "take prompt away", name.clone(), String::new()).await?;
    shared.view.remove_prompt(name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A name that leads out of no folder: words with `/` between them.
fn named(name: String) -> Result<String, Problem> {
    let word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let fine = name.len() <= PROMPT_NAME_CHARS_MAX && name.split('/').count() <= 3 && name.split(['/', '.']).all(word);
    let advice = "a prompt's name is letters, digits, '-', '_' and '.', such as office-closed or digits/1";
    if fine { Ok(name) } else { Err(bad_request(advice)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_out_of_no_folder() {
        for name in ["office-closed", "digits/1", "de/digits/1", "v1.2"] {
            assert!(named(name.to_owned()).is_ok(), "{name}");
        }
        for name in
            ["", "..", "../x", "a//b", "/etc/x", ".hidden", "a/b/c/d", "a b", "a..b", "a.", "ä", &"x".repeat(65)]
        {
            assert!(named(name.to_owned()).is_err(), "{name}");
        }
    }
}
