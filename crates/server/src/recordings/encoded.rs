//! Recordings taken away as FLAC or Opus: made while they are sent, from the beginning to the end.

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, http::StatusCode};
use offhook_recorder::Format;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::{PIECES_MAX, STALL_MAX, broken, recording_id, seconds_at, sound, too_many};
use crate::api::{Shared, bad_request};
use crate::archive::Encoding;
use crate::guard::Asker;
use crate::problem::Problem;
use crate::session::audited;

/// As what.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    /// What kind of file: samples of 16 bits (`wav`, where it is not said), every sample in less space (`flac`), or 24 kbit/s for
    /// each side (`opus`). A `Range` is taken of `wav` alone.
    #[schemars(extend("enum" = ["wav", "flac", "opus"]))]
    r#as: Option<String>,
}

/// `GET /api/v1/recordings/{id}/export`: the sound to be kept as a file.
pub async fn export(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    query: Result<Query<ExportQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(ExportQuery { r#as: named }) = query.map_err(|error| bad_request(error.body_text()))?;
    let format = named.as_deref().map_or(Some(Format::Wav), Format::named);
    let format = format.ok_or_else(|| bad_request("as is 'wav', 'flac' or 'opus'"))?;
    let mut response = match format {
        Format::Wav => sound(shared, &id, &asker, &headers, "export").await?,
        Format::Flac | Format::Opus => encoded(shared, &id, &asker, format).await?,
    };
    let name = format!("attachment; filename=\"{}.{}\"", recording_id(&id)?, format.name());
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

async fn encoded(shared: Shared, id: &str, asker: &Asker, format: Format) -> Result<Response, Problem> {
    let id = recording_id(id)?;
    let place = shared.playing.enter().ok_or_else(too_many)?;
    let speech = shared.view.open(id).await?;
    let whole = format!("0.000 s to {} s as {}", seconds_at(speech.length(), speech.rate()), format.name());
    audited(&shared, asker, "export", id.to_string(), whole).await?;
    let encoding = speech.encode(format).map_err(|error| broken(error.to_string()))?;
    let (pieces, body) = mpsc::channel(PIECES_MAX);
    tokio::spawn(send(encoding, pieces, place));
    let kind = [(header::CONTENT_TYPE, format.media_type()), (header::ACCEPT_RANGES, "none")];
    Ok((StatusCode::OK, kind, Body::from_stream(ReceiverStream::new(body))).into_response())
}

/// Hands the file on piece by piece, until all of it is sent or nobody takes it.
async fn send(mut encoding: Box<dyn Encoding>, pieces: mpsc::Sender<io::Result<Bytes>>, place: OwnedSemaphorePermit) {
    loop {
        let made = tokio::task::spawn_blocking(move || {
            let piece = encoding.next();
            (encoding, piece)
        });
        let piece = match made.await {
            Ok((back, piece)) => {
                encoding = back;
                piece.transpose()
            }
            Err(error) => return tracing::error!(%error, "a recording could not be encoded"),
        };
        let Some(piece) = piece else { break };
        if let Err(error) = &piece {
            tracing::error!(%error, "a recording could not be encoded");
        }
        let failed = piece.is_err();
        let sent = tokio::time::timeout(STALL_MAX, pieces.send(piece.map(Bytes::from))).await;
        if failed || !matches!(sent, Ok(Ok(()))) {
            break;
        }
    }
    drop(place);
}
