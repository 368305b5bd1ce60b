//! Recordings: searched, described, drawn and heard; each hearing is written down before a byte of it is sent.

mod encoded;

use core::time::Duration;
use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use offhook_recorder::{GapReason, Manifest, ManifestGap, SideSummary};
use offhook_units::{QueueId, RecordingId, Tick};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::api::{Shared, agent_id, bad_request, id};
use crate::archive::{AuditEntry, OpenFault, RecordingFound, RecordingsWanted, SAMPLE_HEADER_BYTES, Speech};
use crate::dto::Named;
use crate::guard::{self, Asker};
use crate::paging::Paged;
use crate::playing::Playing;
use crate::problem::Problem;
use crate::segments::Segment;
use crate::session::audited;
use crate::time::rfc3339;
use crate::users::Users;
use crate::view::RECORDS_PAGE_MAX;

/// Recordings in a page where the request does not say.
const PAGE_DEFAULT: u32 = 50;
/// Stretches of a drawing where the request does not say.
const POINTS_DEFAULT: usize = 800;
/// Most stretches of a drawing.
const POINTS_MAX: usize = 8_000;
/// Entries of the audit log where the request does not say.
const AUDIT_DEFAULT: u32 = 200;
/// Most entries of the audit log in one answer.
const AUDIT_MAX: u32 = 10_000;
/// Bytes that are made ready at once.
const PIECE_BYTES: usize = 64 * 1_024;
/// Pieces that wait to be sent.
const PIECES_MAX: usize = 2;
/// How long a listener may take nothing; a player that goes on later asks again from there.
const STALL_MAX: Duration = Duration::from_mins(1);

pub use encoded::{ExportQuery, export};

type Reply<T> = Result<Json<T>, Problem>;

impl From<OpenFault> for Problem {
    fn from(fault: OpenFault) -> Self {
        let status = match &fault {
            OpenFault::Unknown => StatusCode::NOT_FOUND,
            OpenFault::Erased(_) => StatusCode::GONE,
            OpenFault::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
            OpenFault::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, fault.to_string())
    }
}

/// A recording, and the call that it is of.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Recording")]
pub struct Found {
    /// Which.
    id: String,
    /// Of which call, where that is known.
    call: Option<String>,
    /// Where its time line starts.
    #[schemars(extend("format" = "date-time"))]
    started: String,
    /// How long it lasts.
    duration_ms: u64,
    /// The number dialled.
    number: Option<String>,
    /// The caller as presented; null once forgotten.
    caller: Option<String>,
    /// The last queue, and its name.
    queue: Option<Named>,
    /// Who answered, and the name.
    agent: Option<Named>,
    /// Encrypted on disk.
    sealed: bool,
    /// Why it may not be erased, where it may not.
    held: Option<String>,
    /// When it was erased, and why.
    erased: Option<Erased>,
}

/// That it was erased.
#[derive(JsonSchema, Serialize)]
struct Erased {
    #[schemars(extend("format" = "date-time"))]
    at: String,
    why: String,
}

impl From<RecordingFound> for Found {
    fn from(found: RecordingFound) -> Self {
        let RecordingFound { id, call, started, duration, sealed, hold, erased, number, caller, queue, agent } = found;
        Self {
            id: id.to_string(),
            call: call.map(|call| call.to_string()),
            started: rfc3339(started),
            duration_ms: duration.as_ms(),
            number,
            caller,
            queue: queue.map(|(id, name)| Named { id: id.to_string(), name }),
            agent: agent.map(|(id, name)| Named { id: id.to_string(), name }),
            sealed,
            held: hold,
            erased: erased.map(|(at, why)| Erased { at: rfc3339(at), why }),
        }
    }
}

/// Which recordings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// At most so many; 50 where it is not said.
    #[schemars(range(min = 1, max = RECORDS_PAGE_MAX))]
    limit: Option<u32>,
    /// Only recordings before this one: `next` of the page before.
    #[schemars(regex(pattern = r"^r-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    before: Option<String>,
    /// Only such as began at this instant or later.
    #[schemars(extend("format" = "date-time"))]
    from: Option<String>,
    /// Only such as began before this instant.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
    /// Only of calls to this number.
    number: Option<String>,
    /// Only of calls that were last in this queue; of all where it is empty.
    #[schemars(regex(pattern = r"^(q-(0|[1-9a-f][0-9a-f]{0,15}))?$"))]
    queue: Option<String>,
    /// Only of calls that this agent answered; of all where it is empty.
    #[schemars(regex(pattern = r"^(a-(0|[1-9a-f][0-9a-f]{0,15}))?$"))]
    agent: Option<String>,
}

/// A page of recordings.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "RecordingsPage")]
pub struct List {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    recordings: Vec<Found>,
    /// Give it as `before` to get the page after this one; absent on the last page.
    next: Option<String>,
}

/// `GET /api/v1/recordings`.
pub async fn list(
    State(shared): State<Shared>,
    uri: Uri,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Paged<List>, Problem> {
    let Query(query) = query.map_err(|error| bad_request(error.body_text()))?;
    let limit = query.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=RECORDS_PAGE_MAX).contains(&limit) {
        return Err(bad_request(format!("limit is a number from 1 to {RECORDS_PAGE_MAX}")));
    }
    let queue = |text: &str| id::<QueueId>(text, "a queue's id looks like 'q-1f'");
    let wanted = RecordingsWanted {
        limit,
        before: query.before.as_deref().map(recording_id).transpose()?,
        from: query.from.as_deref().map(instant).transpose()?,
        until: query.until.as_deref().map(instant).transpose()?,
        number: query.number.filter(|number| !number.is_empty()),
        queue: query.queue.as_deref().filter(|id| !id.is_empty()).map(queue).transpose()?,
        agent: query.agent.as_deref().filter(|id| !id.is_empty()).map(agent_id).transpose()?,
    };
    let recordings: Vec<Found> = shared.view.recordings(wanted).await?.into_iter().map(Found::from).collect();
    let full = recordings.len() >= limit as usize;
    let next = recordings.last().filter(|_| full).map(|recording| recording.id.clone());
    let page = List { at: rfc3339(shared.view.now()), recordings, next: next.clone() };
    Ok(Paged::new(page, &uri, "before", next.as_deref()))
}

fn recording_id(text: &str) -> Result<RecordingId, Problem> {
    id(text, "a recording's id looks like 'r-10000001f'")
}

/// An instant of RFC 3339; what lies before 1970, or beyond what can be told, is the first or the last instant there is.
fn instant(text: &str) -> Result<Tick, Problem> {
    let advice = || bad_request("an instant looks like '2026-11-22T22:55:19Z' (RFC 3339)");
    let pieces = jiff::fmt::temporal::Pieces::parse(text).map_err(|_| advice())?;
    let (date, time, offset) = (pieces.date(), pieces.time(), pieces.to_numeric_offset());
    let (Some(time), Some(offset)) = (time, offset) else { return Err(advice()) };
    let at = offset.to_timestamp(date.to_datetime(time));
    let us = at.map_or(if date.year() < 1970 { 0 } else { i64::MAX }, jiff::Timestamp::as_microsecond);
    Ok(Tick::from_us(u64::try_from(us).unwrap_or(0)))
}

/// A recording with the account of its time line.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "RecordingDetail")]
pub struct One {
    #[serde(flatten)]
    found: Found,
    /// Absent where the manifest has no line of it.
    file: Option<File>,
    /// Who was in it and when, by the call's record.
    segments: Vec<Stretch>,
    /// The call that its party went over into by an attended transfer: what was said from then on is in its recording.
    goes_on_in: Option<String>,
}

/// A stretch of the recording's time line. Those of `wait` and `talk` follow each other; guests lie over them.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "RecordingSegment")]
struct Stretch {
    /// Milliseconds from the start.
    from_ms: u64,
    /// Milliseconds from the start.
    to_ms: u64,
    /// Whether nobody or somebody talks to the customer, or what a guest does. Who listens or whispers is not heard in the recording.
    #[schemars(extend("enum" = ["wait", "talk", "listen", "whisper", "barge", "party"]))]
    part: &'static str,
    /// Whose phone it is; null for a number outside, and where nobody talks.
    agent: Option<Named>,
    /// The queue that the customer was in last.
    queue: Option<Named>,
}

/// Its file.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "RecordingFile")]
struct File {
    path: String,
    sha256: String,
    codec: &'static str,
    mended: bool,
    /// The caller.
    left: Side,
    /// What the caller heard.
    right: Side,
    /// What no packet covers, with the reasons; `left` is the caller.
    gaps: Vec<Gap>,
    gaps_unlisted: u64,
    dropped: u64,
}

/// One side of a recording.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "RecordingSide")]
struct Side {
    /// Milliseconds covered by packets, rounded down; the rest is in the gaps.
    covered_ms: u64,
    /// Packets of speech in the file; zero in a mended one, where it is not known.
    packets: u64,
    /// Their payload bytes.
    payload_bytes: u64,
    /// SHA-256 of their payloads as they arrived, in lower-case hexadecimal.
    payload_sha256: String,
    /// Sequence numbers that never came.
    lost: u64,
    /// Packets that came twice.
    duplicates: u64,
    /// Packets that came after they were given up; they are counted as lost too.
    late: u64,
    /// Packets left out for another reason.
    discarded: u64,
}

impl From<SideSummary> for Side {
    fn from(side: SideSummary) -> Self {
        let SideSummary { covered_ms, packets, payload_bytes, payload_sha256, lost, duplicates, late, discarded } =
            side;
        Self { covered_ms, packets, payload_bytes, payload_sha256, lost, duplicates, late, discarded }
    }
}

/// A stretch of one side that no packet covers.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "RecordingGap")]
struct Gap {
    /// `left` is the caller.
    #[schemars(extend("enum" = ["left", "right"]))]
    side: &'static str,
    /// Milliseconds from the start, rounded down.
    from_ms: u64,
    /// Milliseconds from the start, rounded up.
    to_ms: u64,
    /// Why, such as `network-loss`, `silent` or `pause`.
    #[schemars(with = "String")]
    why: GapReason,
}

impl From<&ManifestGap> for Gap {
    fn from(ManifestGap { side, from_ms, to_ms, why }: &ManifestGap) -> Self {
        let side = match side {
            offhook_plan::tap::Side::Heard => "left",
            offhook_plan::tap::Side::Sent => "right",
        };
        Self { side, from_ms: *from_ms, to_ms: *to_ms, why: *why }
    }
}

/// `GET /api/v1/recordings/{id}`.
pub async fn one(State(shared): State<Shared>, Path(id): Path<String>) -> Reply<One> {
    let detail = shared.view.recording(recording_id(&id)?).await?;
    let detail = detail.ok_or_else(|| Problem::from(OpenFault::Unknown))?;
    let file = detail.manifest.map(|manifest| {
        let Manifest { path, sha256, codec, mended, left, right, gaps, gaps_unlisted, dropped, .. } = manifest;
        let (left, right, gaps) = (left.into(), right.into(), gaps.iter().map(Gap::from).collect());
        File { path, sha256, codec: codec.name(), mended, left, right, gaps, gaps_unlisted, dropped }
    });
    let (agents, queues) = (detail.agents, detail.queues);
    let stretch = |Segment { from, to, doing, agent, queue }: Segment| Stretch {
        from_ms: from.as_ms(),
        to_ms: to.as_ms(),
        part: doing.name(),
        agent: agent.map(|id| Named { id: id.to_string(), name: agents.get(&id).cloned() }),
        queue: queue.map(|id| Named { id: id.to_string(), name: queues.get(&id).cloned() }),
    };
    let segments = detail.segments.into_iter().map(stretch).collect();
    let goes_on_in = detail.goes_on_in.map(|call| call.to_string());
    Ok(Json(One { found: detail.found.into(), file, segments, goes_on_in }))
}

/// How finely.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeaksQuery {
    /// So many stretches of the same length; 800 where it is not said.
    #[schemars(range(min = 1, max = POINTS_MAX))]
    points: Option<usize>,
}

/// How loud both sides are over time, 0 to 255 of full scale, in `points` stretches of the same length.
#[derive(JsonSchema, Serialize)]
pub struct Peaks {
    left: Vec<u8>,
    right: Vec<u8>,
}

/// `GET /api/v1/recordings/{id}/peaks`. It tells when somebody speaks and no word of it: it is no hearing.
pub async fn peaks(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    query: Result<Query<PeaksQuery>, QueryRejection>,
) -> Reply<Peaks> {
    let Query(query) = query.map_err(|error| bad_request(error.body_text()))?;
    let points = query.points.unwrap_or(POINTS_DEFAULT);
    if !(1..=POINTS_MAX).contains(&points) {
        return Err(bad_request(format!("points is a number from 1 to {POINTS_MAX}")));
    }
    let place = shared.playing.enter().ok_or_else(too_many)?;
    let mut speech = shared.view.open(recording_id(&id)?).await?;
    let measured = tokio::task::spawn_blocking(move || {
        let _place = place;
        speech.peaks(points)
    });
    let measured = measured.await.map_err(|error| broken(error.to_string()))?;
    let [left, right] = measured.map_err(|error| broken(error.to_string()))?;
    Ok(Json(Peaks { left, right }))
}

fn too_many() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many recordings are listened to at once")
}

fn broken(error: String) -> Problem {
    OpenFault::Broken(error).into()
}

/// An address for a player.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "PlaybackTicket")]
pub struct Ticket {
    /// The address of the sound for a player that cannot send the token.
    audio: String,
}

/// `POST /api/v1/recordings/{id}/ticket`.
pub async fn ticket(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Reply<Ticket> {
    let id = recording_id(&id)?;
    shared.view.recording(id).await?.ok_or_else(|| Problem::from(OpenFault::Unknown))?;
    let ticket = shared.playing.ticket(id, asker.identity);
    let ticket = ticket.ok_or_else(|| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no randomness to be had"))?;
    Ok(Json(Ticket { audio: format!("/api/v1/recordings/{id}/audio?ticket={ticket}") }))
}

/// Lets a request for sound through whose sender has the right to it, or a ticket of somebody who had.
pub async fn authorise(
    State((users, playing)): State<(Arc<Users>, Arc<Playing>)>,
    Path(id): Path<String>,
    Query(TicketQuery { ticket }): Query<TicketQuery>,
    request: Request,
    next: Next,
) -> Response {
    let by_ticket = || playing.holder(ticket.as_deref()?, id.parse().ok()?);
    let identity = by_ticket().map_or_else(|| guard::identify(&users, request.method(), request.headers()), Ok);
    match identity {
        Ok(identity) => guard::admit(identity, request, next).await,
        Err(problem) => problem.into_response(),
    }
}

/// How one may hear without a token.
#[derive(Deserialize, JsonSchema)]
pub struct TicketQuery {
    /// From a playback ticket, in the place of a token.
    ticket: Option<String>,
}

/// `GET /api/v1/recordings/{id}/audio`: a WAV file of 16-bit samples, whole or a range of it (RFC 9110 section 14).
pub async fn audio(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    sound(shared, &id, &asker, &headers, "play").await
}

async fn sound(
    shared: Shared,
    id: &str,
    asker: &Asker,
    headers: &HeaderMap,
    action: &str,
) -> Result<Response, Problem> {
    let id = recording_id(id)?;
    let place = shared.playing.enter().ok_or_else(too_many)?;
    let speech = shared.view.open(id).await?;
    let length = speech.length();
    let wanted = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let (status, from, to) = match part_of(wanted, length) {
        Part::Whole => (StatusCode::OK, 0, length),
        Part::Range(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
        Part::Nothing => {
            let mut response =
                Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, format!("it has {length} bytes")).into_response();
            if let Ok(range) = HeaderValue::from_str(&format!("bytes */{length}")) {
                response.headers_mut().insert(header::CONTENT_RANGE, range);
            }
            return Ok(response);
        }
    };
    let rate = speech.rate();
    let part = format!("{} s to {} s", seconds_at(from, rate), seconds_at(to, rate));
    audited(&shared, asker, action, id.to_string(), part).await?;
    let (pieces, body) = mpsc::channel(PIECES_MAX);
    tokio::spawn(send(speech, from, to, pieces, place));
    let mut response = (status, Body::from_stream(ReceiverStream::new(body))).into_response();
    let mut set = |name, value: &str| {
        // Digits and our own words are always a header's value.
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "audio/wav");
    set(header::ACCEPT_RANGES, "bytes");
    set(header::CONTENT_LENGTH, &(to - from).to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        set(header::CONTENT_RANGE, &format!("bytes {from}-{}/{length}", to - 1));
    }
    Ok(response)
}

/// Which second of the speech a byte of the file belongs to, to the millisecond.
fn seconds_at(byte: u64, rate: u32) -> String {
    let ms = byte.saturating_sub(SAMPLE_HEADER_BYTES) / 4 * 1_000 / u64::from(rate.max(1));
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Reads the bytes `from..to` piece by piece and hands them on, until all are sent or nobody takes them.
async fn send(
    mut speech: Box<dyn Speech>,
    from: u64,
    to: u64,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    place: OwnedSemaphorePermit,
) {
    let mut at = from;
    while at < to {
        let read = tokio::task::spawn_blocking(move || {
            let piece = read_piece(&mut *speech, at, to);
            (speech, piece)
        });
        let piece = match read.await {
            Ok((back, piece)) => {
                speech = back;
                piece
            }
            Err(error) => return tracing::error!(%error, "a recording could not be read"),
        };
        if let Err(error) = &piece {
            tracing::error!(%error, "a recording could not be read");
        }
        let failed = piece.is_err();
        at += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        let sent = tokio::time::timeout(STALL_MAX, pieces.send(piece.map(Bytes::from))).await;
        if failed || !matches!(sent, Ok(Ok(()))) {
            break;
        }
    }
    drop(place);
}

fn read_piece(speech: &mut dyn Speech, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let wanted = (to - from).min(PIECE_BYTES as u64) as usize;
    let mut piece = Vec::with_capacity(2 * PIECE_BYTES);
    while piece.len() < wanted {
        let more = speech.read(from + piece.len() as u64)?;
        if more.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.extend(more);
    }
    piece.truncate((to - from).min(piece.len() as u64) as usize);
    Ok(piece)
}

/// What part of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// From this byte on, up to before that one.
    Range(u64, u64),
    Nothing,
}

/// Reads a Range header, RFC 9110 section 14.1.2. What is no single range of bytes is passed over, as section 14.2 allows.
fn part_of(range: Option<&str>, length: u64) -> Part {
    let range = range.and_then(|range| range.trim().strip_prefix("bytes="));
    let Some((first, last)) = range.filter(|range| !range.contains(',')).and_then(|range| range.split_once('-')) else {
        return Part::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| text.parse::<u64>().ok();
    let (from, to) = match (number(first), number(last)) {
        (Some(from), None) if last.is_empty() => (from, length),
        (Some(from), Some(last)) if from <= last => (from, last.saturating_add(1).min(length)),
        (None, Some(count)) if first.is_empty() => (length.saturating_sub(count), length),
        _ => return Part::Whole,
    };
    if from < to { Part::Range(from, to) } else { Part::Nothing }
}

/// How much of it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// At most so many; 200 where it is not said.
    #[schemars(range(min = 1, max = AUDIT_MAX))]
    limit: Option<u32>,
    /// Only entries before the one of this number: `next` of the page before.
    #[schemars(extend("maximum" = u64::MAX))]
    before: Option<u64>,
}

/// Entries of the audit log.
#[derive(JsonSchema, Serialize)]
pub struct Audit {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// Oldest first.
    entries: Vec<Entry>,
    /// Give it as `before` to get the entries before these; null where there are none.
    next: Option<u64>,
}

/// Who did what to what.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "AuditEntry")]
struct Entry {
    /// Its number, which rises with time.
    seq: u64,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// Who, as far as it is known.
    who: String,
    /// What was done.
    action: String,
    /// To what.
    subject: String,
    /// What else is to be known.
    detail: String,
}

/// `GET /api/v1/audit`: the newest entries, oldest first.
pub async fn audit(
    State(shared): State<Shared>,
    uri: Uri,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Paged<Audit>, Problem> {
    let Query(query) = query.map_err(|error| bad_request(error.body_text()))?;
    let limit = query.limit.unwrap_or(AUDIT_DEFAULT);
    if !(1..=AUDIT_MAX).contains(&limit) {
        return Err(bad_request(format!("limit is a number from 1 to {AUDIT_MAX}")));
    }
    let entry = |(seq, entry): (u64, AuditEntry)| {
        let AuditEntry { at, who, action, subject, detail } = entry;
        Entry { seq, at: rfc3339(at), who, action, subject, detail }
    };
    let entries: Vec<Entry> = shared.view.audit(limit, query.before).await?.into_iter().map(entry).collect();
    let full = entries.len() >= limit as usize;
    let next = entries.first().filter(|first| full && first.seq > 1).map(|first| first.seq);
    let page = Audit { at: rfc3339(shared.view.now()), entries, next };
    Ok(Paged::new(page, &uri, "before", next.map(|next| next.to_string()).as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_rfc_9110_says() {
        for (range, part) in [
            (None, Part::Whole),
            (Some("bytes=0-"), Part::Range(0, 100)),
            (Some("bytes=10-19"), Part::Range(10, 20)),
            (Some("bytes=10-1000"), Part::Range(10, 100)),
            (Some("bytes=99-18446744073709551615"), Part::Range(99, 100)),
            (Some("bytes=-5"), Part::Range(95, 100)),
            (Some("bytes=-500"), Part::Range(0, 100)),
            (Some("bytes=100-"), Part::Nothing),
            (Some("bytes=-0"), Part::Nothing),
            (Some("bytes=20-10"), Part::Whole),
            (Some("bytes=0-1,5-6"), Part::Whole),
            (Some("bytes=x-y"), Part::Whole),
            (Some("lines=0-1"), Part::Whole),
        ] {
            assert_eq!(part_of(range, 100), part, "{range:?}");
        }
    }

    #[test]
    fn bytes_are_told_as_seconds() {
        assert_eq!(seconds_at(0, 8_000), "0.000");
        assert_eq!(seconds_at(44 + 32_000 * 61 + 16, 8_000), "61.000");
        assert_eq!(seconds_at(44 + 64_000 + 32, 16_000), "1.000");
    }
}
