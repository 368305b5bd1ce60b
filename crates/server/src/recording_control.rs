//! The recording of a call that is up: begun on demand, paused, gone on with.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use offhook_call::recording::RecordingWish;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{Shared, acting, bad_request, call_id};
use crate::dto::RecordedNow;
use crate::guard::Asker;
use crate::problem::Problem;
use crate::session::audited;
use crate::time::rfc3339;
use crate::users::Right;

/// What is to become of the recording.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SetRecording")]
pub struct Wanted {
    /// `recording` also begins one where calls are recorded on demand.
    #[schemars(extend("enum" = ["paused", "recording"]))]
    state: String,
    /// In the name of this agent; in none's, with the right `supervise`, where it is not said.
    #[schemars(regex(pattern = r"^a-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    by: Option<String>,
}

/// What becomes of a call's speech now.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "CallRecording")]
pub struct Now {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// Which recording.
    recording: Option<String>,
    #[serde(flatten)]
    recorded: RecordedNow,
}

/// `POST /api/v1/calls/{id}/recording`: `{"state": "paused"}` or `{"state": "recording"}`, which begins one where calls are
/// recorded on demand; in the name of the own agent, or of none, as the asker has the right to supervise.
/// The answer's state is `pausing` until the pause is in force, some milliseconds later: `paused` then is in the call and on the live
/// feed.
pub async fn set(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<Json<Now>, Problem> {
    let call = call_id(&id)?;
    let Json(Wanted { state, by }) = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let wish = match state.as_str() {
        "paused" => RecordingWish::Pause,
        "recording" => RecordingWish::Record,
        _ => return Err(bad_request("state is 'paused' or 'recording'")),
    };
    // Who supervises needs no part in the call; an agent acts in the own one.
    let by = match by {
        None if asker.identity.rights.has(Right::Supervise) => None,
        by => Some(acting(&asker, by.as_deref())?),
    };
    let by_whom = by.map_or_else(String::new, |by| format!("as {by}"));
    audited(&shared, &asker, &format!("recording {state}"), id, by_whom).await?;
    let view = shared.view.set_recording(call, by, wish).await?;
    // It may have ended in this very moment.
    let view = view.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such call"))?;
    let recording = view.recording.map(|id| id.to_string());
    Ok(Json(Now { at: rfc3339(shared.view.now()), recording, recorded: RecordedNow::from(view.recorded) }))
}
