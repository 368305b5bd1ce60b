//! The recording of a call that is up: begun on demand, paused, gone on with.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use offhook_call::recording::RecordingWish;
use serde::{Deserialize, Serialize};

use crate::api::{Shared, agent_id, bad_request, call_id};
use crate::dto::RecordedNow;
use crate::problem::Problem;
use crate::time::rfc3339;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    state: String,
    by: Option<String>,
}

/// What becomes of a call's speech now.
#[derive(Serialize)]
pub struct Now {
    at: String,
    recording: Option<String>,
    #[serde(flatten)]
    recorded: RecordedNow,
}

/// `POST /api/v1/calls/{id}/recording`: `{"state": "paused"}` or `{"state": "recording"}`, which begins one where calls are
/// recorded on demand, with `"by": "a-1f"` in an agent's name.
/// The answer's state is `pausing` until the pause is in force, some milliseconds later: `paused` then is in the call and on the live
/// feed.
pub async fn set(
    State(shared): State<Shared>,
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
    let by = by.as_deref().map(agent_id).transpose()?;
    let view = shared.view.set_recording(call, by, wish).await?;
    // It may have ended in this very moment.
    let view = view.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such call"))?;
    let recording = view.recording.map(|id| id.to_string());
    Ok(Json(Now { at: rfc3339(shared.view.now()), recording, recorded: RecordedNow::from(view.recorded) }))
}
