//! What is kept of an agent's calls: codes and notes, earlier calls of a caller, callbacks to come, own figures.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use offhook_acd::{AgentFigures, AgentKind};
use offhook_units::{Span, Tick};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CodeCount, DeskNow, DeskQuery, answer, own_agent};
use crate::api::{Shared, bad_request, call_id};
use crate::dto::{Callback, Named, WrapUpDto, end_name};
use crate::guard::Asker;
use crate::problem::Problem;
use crate::reports;
use crate::time::rfc3339;
use crate::view::{RecordEntry, RecordingEntry};

/// Longest code, in characters.
pub const CODE_CHARS_MAX: usize = 64;
/// Longest note, in characters.
pub const NOTE_CHARS_MAX: usize = 2_000;
/// Most earlier calls of a caller that are shown.
pub const HISTORY_MAX: u32 = 20;
/// Most callbacks that are shown.
const CALLBACKS_MAX: usize = 50;

/// What an agent notes of a call.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoteCall {
    /// The call from a queue that was taken last.
    #[schemars(regex(pattern = r"^call-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    call: String,
    /// What it was about: one of the codes of its queue.
    #[schemars(length(min = 1, max = CODE_CHARS_MAX))]
    code: Option<String>,
    /// In words. It is sealed with the key of the person whom the call was with, and goes with that.
    #[schemars(length(max = NOTE_CHARS_MAX))]
    note: Option<String>,
    /// In the name of this agent; one's own where it is not said.
    #[schemars(regex(pattern = r"^a-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    by: Option<String>,
}

/// `POST /api/v1/desk/wrap-up`: in the place of what the agent noted of the call before.
pub async fn wrap_up(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    body: Result<Json<NoteCall>, JsonRejection>,
) -> Result<Json<DeskNow>, Problem> {
    let Json(NoteCall { call, code, note, by }) =
        body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let call = call_id(&call)?;
    if code.as_ref().is_some_and(|code| code.is_empty() || code.chars().count() > CODE_CHARS_MAX) {
        return Err(bad_request(format!("a code has 1 to {CODE_CHARS_MAX} characters")));
    }
    if note.as_ref().is_some_and(|note| note.chars().count() > NOTE_CHARS_MAX) {
        return Err(bad_request(format!("a note has at most {NOTE_CHARS_MAX} characters")));
    }
    let agent = own_agent(&asker, by.as_deref())?;
    let note = note.filter(|note| !note.trim().is_empty());
    let view = shared.view.note_call(agent, call, code, note).await?;
    answer(&shared, view)
}

/// Whose earlier calls.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// Those of the caller of this call, which is offered to the agent, goes on, or was taken last; of the one that is in hand where it is
    /// not said.
    #[schemars(regex(pattern = r"^call-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    call: Option<String>,
    /// In the name of this agent; one's own where it is not said.
    #[schemars(regex(pattern = r"^a-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    by: Option<String>,
}

/// Earlier calls of a caller.
#[derive(JsonSchema, Serialize)]
pub struct CallerHistory {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// Newest first; none of one who showed no number, or is forgotten.
    calls: Vec<PastCall>,
}

/// An earlier call.
#[derive(JsonSchema, Serialize)]
struct PastCall {
    /// Which.
    id: String,
    /// When it began.
    #[schemars(extend("format" = "date-time"))]
    started: String,
    /// How long the two talked, in milliseconds; null where nobody did.
    talked_ms: Option<u64>,
    /// The last queue.
    queue: Option<Named>,
    /// Who took it.
    agent: Option<Named>,
    /// How it ended.
    #[schemars(extend("enum" = crate::dto::ENDS.map(end_name)))]
    end: &'static str,
    /// What agents noted of it, oldest first.
    wrap_ups: Vec<WrapUpDto>,
}

impl From<&RecordEntry> for PastCall {
    fn from(entry: &RecordEntry) -> Self {
        let RecordEntry { record, queue, agent, caller: _, diverted: _, taken_parts: _, recording, wrap_ups } = entry;
        // Hearing it is another right.
        let _: &Option<RecordingEntry> = recording;
        let named = |id: String, name: &Option<String>| Named { id, name: name.clone() };
        Self {
            id: record.id.to_string(),
            started: rfc3339(record.started),
            talked_ms: record.connected.map(|connected| (record.ended - connected).as_ms()),
            queue: record.queue.map(|id| named(id.to_string(), queue)),
            agent: record.agent.map(|id| named(id.to_string(), agent)),
            end: end_name(record.end),
            wrap_ups: wrap_ups.iter().map(WrapUpDto::from).collect(),
        }
    }
}

/// `GET /api/v1/desk/history`.
pub async fn history(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Json<CallerHistory>, Problem> {
    let Query(HistoryQuery { call, by }) = query.map_err(|error| bad_request(error.body_text()))?;
    let named = call.as_deref().map(call_id).transpose()?;
    let agent = own_agent(&asker, by.as_deref())?;
    let desk = shared.view.desk(agent).await?.ok_or_else(no_agent)?;
    let offered = desk.offer.map(|offer| offer.call.id);
    let in_hand = offered.or(desk.codes.map(|codes| codes.call)).or(desk.calls.first().map(|talk| talk.call.id));
    let entries = match named.or(in_hand) {
        Some(call) => shared.view.caller_history(agent, call, HISTORY_MAX).await?,
        None => Vec::new(),
    };
    let calls = entries.iter().map(PastCall::from).collect();
    Ok(Json(CallerHistory { at: rfc3339(shared.view.now()), calls }))
}

/// Callbacks of the agent's queues.
#[derive(JsonSchema, Serialize)]
pub struct DeskCallbacks {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// The oldest ones.
    callbacks: Vec<Callback>,
    /// How many there are in all.
    open: usize,
}

/// `GET /api/v1/desk/callbacks`.
pub async fn callbacks(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    query: Result<Query<DeskQuery>, QueryRejection>,
) -> Result<Json<DeskCallbacks>, Problem> {
    let Query(DeskQuery { by }) = query.map_err(|error| bad_request(error.body_text()))?;
    let agent = own_agent(&asker, by.as_deref())?;
    let desk = shared.view.desk(agent).await?.ok_or_else(no_agent)?;
    let mut views = shared.view.callbacks().await?;
    views.retain(|view| desk.agent.queues.contains(&view.queue));
    let callbacks = views.iter().take(CALLBACKS_MAX).map(Callback::from).collect();
    Ok(Json(DeskCallbacks { at: rfc3339(shared.view.now()), callbacks, open: views.len() }))
}

fn no_agent() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such agent")
}

/// What an agent did since the shift began, by the formulas of reports.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "DeskFigures")]
pub struct OwnFigures {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// When the shift began; null before the first one.
    #[schemars(extend("format" = "date-time"))]
    since: Option<String>,
    /// Offers made.
    offers: u64,
    /// Offers accepted.
    accepted: u64,
    /// Offers declined.
    declined: u64,
    /// Offers not answered.
    missed: u64,
    /// accepted / offers.
    answer_rate_percent: Option<f64>,
    /// Contacts served to the end.
    handled: u64,
    /// Time in conversation.
    talk_ms: u64,
    /// Time on hold.
    hold_ms: u64,
    /// Time in wrap-up.
    wrap_up_ms: u64,
    /// (talk + hold + wrap-up) / handled.
    average_handling_time_ms: Option<u64>,
    /// Time not ready.
    not_ready_ms: u64,
    /// (busy + wrap-up) / (busy + wrap-up + available).
    occupancy_percent: Option<f64>,
}

impl OwnFigures {
    fn of(now: Tick, figures: &AgentFigures) -> Self {
        let AgentFigures { shift_began, in_state: _, offers, accepted, declined, missed, handled, talk, hold, wrap_up } =
            *figures;
        Self {
            at: rfc3339(now),
            since: shift_began.map(rfc3339),
            offers: offers.into(),
            accepted: accepted.into(),
            declined: declined.into(),
            missed: missed.into(),
            answer_rate_percent: reports::share(accepted.into(), offers.into()),
            handled: handled.into(),
            talk_ms: talk.as_ms(),
            hold_ms: hold.as_ms(),
            wrap_up_ms: wrap_up.as_ms(),
            average_handling_time_ms: reports::handling(figures).map(Span::as_ms),
            not_ready_ms: figures.time_in(AgentKind::NotReady).as_ms(),
            occupancy_percent: reports::percent(figures.occupancy()),
        }
    }
}

/// `GET /api/v1/desk/figures`.
pub async fn figures(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    query: Result<Query<DeskQuery>, QueryRejection>,
) -> Result<Json<OwnFigures>, Problem> {
    let Query(DeskQuery { by }) = query.map_err(|error| bad_request(error.body_text()))?;
    let agent = own_agent(&asker, by.as_deref())?;
    let figures = shared.view.own_figures(agent).await?.ok_or_else(no_agent)?;
    Ok(Json(OwnFigures::of(shared.view.now(), &figures)))
}

/// Which days.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodesQuery {
    /// The first day, by the clocks of `zone`; today where nothing is said.
    #[schemars(extend("format" = "date"))]
    from: Option<String>,
    /// The last day, at most 400 days with the first; the first one where nothing is said.
    #[schemars(extend("format" = "date"))]
    until: Option<String>,
    /// A name of the time zone database, such as `Europe/Berlin`; UTC where nothing is said.
    zone: Option<String>,
}

/// How often each code was given.
#[derive(JsonSchema, Serialize)]
pub struct CodesReport {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// The first instant that counts.
    #[schemars(extend("format" = "date-time"))]
    from: String,
    /// The first one that no longer does.
    #[schemars(extend("format" = "date-time"))]
    until: String,
    /// By queue and code; at most 10,000.
    rows: Vec<CodeRow>,
}

/// A code of a queue.
#[derive(JsonSchema, Serialize)]
struct CodeRow {
    /// The queue.
    queue: Option<Named>,
    /// The code.
    code: String,
    /// How often it was given.
    times: u64,
}

/// `GET /api/v1/reports/codes`.
pub async fn codes(
    State(shared): State<Shared>,
    query: Result<Query<CodesQuery>, QueryRejection>,
) -> Result<Json<CodesReport>, Problem> {
    let Query(CodesQuery { from, until, zone }) = query.map_err(|error| bad_request(error.body_text()))?;
    let now = shared.view.now();
    let (from, until) = reports::days(from, until, zone, now)?;
    let counts = shared.view.codes(from, until).await?;
    let row = |CodeCount { queue, code, times }| CodeRow {
        queue: queue.map(|(id, name)| Named { id: id.to_string(), name }),
        code,
        times,
    };
    let rows = counts.into_iter().map(row).collect();
    Ok(Json(CodesReport { at: rfc3339(now), from: rfc3339(from), until: rfc3339(until), rows }))
}
