//! The configuration over HTTP: as it is, as it was, and as somebody would have it. Secrets are in no answer: their places hold words that a
//! text that comes back may hold, too.

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::api::{Shared, bad_request};

use crate::guard::Asker;
use crate::problem::Problem;
use crate::prompts;
use crate::users::credentials;
use crate::view::{Answer, Unavailable};

/// Largest text that is taken, in bytes: that of the largest file.
pub const CONFIG_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What the server asks of whoever keeps the configuration.
pub trait Configured {
    /// The configuration in force.
    fn configuration(&self) -> Answer<'_, Result<Configuration, Unavailable>>;
    /// Those that were in force, the newest first.
    fn config_versions(&self) -> Answer<'_, Result<Vec<ConfigVersion>, Unavailable>>;
    /// The text of one of them; none where it is not kept.
    fn config_text(&self, version: u64) -> Answer<'_, Result<Option<String>, Unavailable>>;
    /// What a text would do. Nothing is changed.
    fn draft_config(&self, text: String, edit: Option<Edit>) -> Answer<'_, Result<Drafted, ConfigFault>>;
    /// Takes a text in, in somebody's name, in place of a version; or without one the file as it is.
    fn take_config(&self, who: String, text: Option<(u64, String)>) -> Answer<'_, Result<ConfigTaken, ConfigFault>>;
}

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
pub struct Configuration {
    /// Its version.
    pub version: u64,
    /// The TOML text; where a secret stands, `(kept VERSION.NUMBER)`, which means the same secret in a text that comes back.
    pub text: String,
    /// The file holds another text by now, which is not in force: nothing is taken in before that is, or is put back.
    pub edited: bool,
    /// The text as data.
    pub tables: Value,
}

/// A configuration that was in force.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ConfigVersion {
    /// Its number, from 1.
    pub version: u64,
    /// Since when.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Who brought it in.
    pub who: String,
    /// Lines that the version before had not.
    pub added: usize,
    /// Lines of the version before that are gone.
    pub removed: usize,
}

/// A fault of a text, with its place.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ConfigNote {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// `error`, or `warning` where it can be taken in all the same.
    #[schemars(extend("enum" = ["error", "warning"]))]
    pub severity: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub advice: String,
}

/// A line of a difference.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ConfigLine {
    /// `same`, `added` or `removed`; `gap` where lines are left out.
    #[schemars(extend("enum" = ["same", "added", "removed", "gap"]))]
    pub kind: &'static str,
    /// The line.
    pub text: String,
}

/// What a text would do.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
pub struct Drafted {
    /// The text, with what was to be changed in it.
    pub text: String,
    /// As data; nothing where it is no TOML.
    pub tables: Value,
    /// Faults and warnings.
    pub faults: Vec<ConfigNote>,
    /// What would be in force only after a restart.
    pub waits: Vec<String>,
    /// How it differs from what is in force, with three lines around each change.
    pub changes: Vec<ConfigLine>,
    /// What its calendars mean for the coming week; none where it has faults.
    pub weeks: Vec<CalendarWeek>,
}

/// When a calendar is open in the coming week, by the clocks of its place.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct CalendarWeek {
    /// The calendar.
    pub calendar: String,
    /// Its time zone.
    pub zone: String,
    /// What clocks show there now, such as `2026-12-24T08:00`.
    pub now: String,
    /// Whether it is open now.
    pub open: bool,
    /// Stretches of seven days from today's midnight on, in order.
    pub hours: Vec<OpenHours>,
}

/// A stretch of opening hours.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct OpenHours {
    /// From here, as `now`.
    pub from: String,
    /// Up to here, as `now`; it may lie on a later day.
    pub until: String,
}

/// What was taken in.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ConfigTaken {
    /// The version that is in force now.
    pub version: u64,
    /// Warnings.
    pub faults: Vec<ConfigNote>,
    /// What is in force only after a restart.
    pub waits: Vec<String>,
}

/// Why a text was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// Somebody was faster. Fetch what is in force and begin anew.
    #[error("version {0} is in force by now")]
    Stale(u64),
    /// The file was edited by hand. Take that in first, or put it back.
    #[error("the file was changed by hand and holds what is not in force: take it in, or put it back")]
    Edited,
    /// It has faults.
    #[error("the text has faults")]
    Faulty(Vec<ConfigNote>),
    /// What was to be edited is not there, or the text is no TOML.
    #[error("{0}")]
    NoSuch(String),
    /// The file cannot be written. The operator's move.
    #[error("the file cannot be written: {0}")]
    Unwritable(String),
    /// As [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl IntoResponse for ConfigFault {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Stale(_) => StatusCode::PRECONDITION_FAILED,
            Self::Edited => StatusCode::CONFLICT,
            Self::Faulty(_) | Self::NoSuch(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unwritable(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let problem = Problem::new(status, self.to_string());
        let Self::Faulty(faults) = self else { return problem.into_response() };
        let mut response = (status, Json(Faulty { problem, faults })).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

/// A problem with the places of what is wrong.
#[derive(Serialize)]
struct Faulty {
    #[serde(flatten)]
    problem: Problem,
    faults: Vec<ConfigNote>,
}

/// All routes; a configuration may be longer than what else is sent.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/v1/config", get(show).put(put))
        .route("/api/v1/config/draft", post(draft))
        .route("/api/v1/config/credentials", post(credentials::make))
        .route("/api/v1/config/reload", post(reload))
        .route("/api/v1/config/versions", get(versions))
        .route("/api/v1/config/versions/{version}", get(version))
        .route("/api/v1/prompts", get(prompts::list))
        .route("/api/v1/prompts/{name}", get(prompts::sound).put(prompts::put).delete(prompts::remove))
        .layer(DefaultBodyLimit::max(2 * CONFIG_BYTES_MAX))
}

/// `GET /api/v1/config`.
pub async fn show(State(shared): State<Shared>) -> Result<Response, Problem> {
    let configuration = shared.view.configuration().await?;
    let tag = HeaderValue::from_str(&format!("\"{}\"", configuration.version)).ok();
    let mut response = Json(configuration).into_response();
    response.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
    Ok(response)
}

/// All versions.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ConfigVersions")]
pub struct Versions {
    versions: Vec<ConfigVersion>,
}

/// `GET /api/v1/config/versions`.
pub async fn versions(State(shared): State<Shared>) -> Result<Json<Versions>, Problem> {
    Ok(Json(Versions { versions: shared.view.config_versions().await? }))
}

/// The text of a version.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ConfigText")]
pub struct Text {
    version: u64,
    /// As in the configuration in force.
    text: String,
}

/// `GET /api/v1/config/versions/{version}`.
pub async fn version(State(shared): State<Shared>, Path(version): Path<String>) -> Result<Json<Text>, Problem> {
    let number = version.parse::<u64>().ok().filter(|number| number.to_string() == version && *number > 0);
    let version = number.ok_or_else(|| bad_request("a version is a number from 1"))?;
    let text = shared.view.config_text(version).await?;
    let text = text.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "that version is not kept"))?;
    Ok(Json(Text { version, text }))
}

/// One table of the text that is to be changed: `[[agent]]`, `[[queue]]` and so on.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The name of the tables.
    pub table: String,
    /// Which of them, from 0; another one behind all where it is left out.
    pub at: Option<usize>,
    /// What its keys are from now on: those that are left out stay, null takes one away. Without this the table goes.
    pub values: Option<Map<String, Value>>,
}

/// A text that somebody would have.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConfigDraft")]
pub struct Draft {
    /// The TOML text.
    text: String,
    /// What is to be changed in it beforehand; comments stay.
    edit: Option<Edit>,
}

/// `POST /api/v1/config/draft`.
pub async fn draft(
    State(shared): State<Shared>,
    body: Result<Json<Draft>, JsonRejection>,
) -> Result<Json<Drafted>, Response> {
    let Json(Draft { text, edit }) = body.map_err(|error| refused(&error))?;
    shared.view.draft_config(text, edit).await.map(Json).map_err(IntoResponse::into_response)
}

fn refused(error: &JsonRejection) -> Response {
    Problem::new(error.status(), error.body_text()).into_response()
}

/// A text that is to be in force.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PutConfig")]
pub struct Put {
    /// The TOML text.
    text: String,
}

/// `PUT /api/v1/config`, with the version that it replaces in `If-Match`.
pub async fn put(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    body: Result<Json<Put>, JsonRejection>,
) -> Result<Response, Response> {
    let Json(Put { text }) = body.map_err(|error| refused(&error))?;
    let base = match headers.get(header::IF_MATCH).map(|tag| tag.to_str().unwrap_or_default().trim()) {
        None | Some("") => {
            let advice = "If-Match says which version this replaces: the ETag of GET /api/v1/config";
            return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, advice).into_response());
        }
        Some(tag) => tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')?.parse::<u64>().ok()),
    };
    let advice = || bad_request("If-Match is the ETag of GET /api/v1/config, such as \"7\"").into_response();
    let base = base.ok_or_else(advice)?;
    Ok(taken(shared.view.take_config(asker.identity.who.to_string(), Some((base, text))).await))
}

/// `POST /api/v1/config/reload`: the file as it is.
pub async fn reload(State(shared): State<Shared>, Extension(asker): Extension<Asker>) -> Response {
    taken(shared.view.take_config(asker.identity.who.to_string(), None).await)
}

fn taken(taken: Result<ConfigTaken, ConfigFault>) -> Response {
    match taken {
        Ok(taken) => {
            let tag = HeaderValue::from_str(&format!("\"{}\"", taken.version)).ok();
            let mut response = Json(taken).into_response();
            response.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
            response
        }
        Err(fault) => fault.into_response(),
    }
}
