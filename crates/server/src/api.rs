//! The routes of API version 1.

use core::fmt::Display;
use core::net::IpAddr;
use core::str::FromStr;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use offhook_call::guests::{Denied, Supervision};
use offhook_units::{AgentId, CallId, ContactId, LegId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alarms;
use crate::configuration;
use crate::desk;
use crate::dto;
use crate::events::HubHandle;
use crate::feed;
use crate::guard::{self, Asker};
use crate::idempotency::{self, Idempotency};
use crate::metrics::Metrics;
use crate::openapi;
use crate::openid::{self, SignIns};
use crate::packing;
use crate::page;
use crate::paging::Paged;
use crate::phone::{self, PhoneSettings};
use crate::placement;
use crate::playing::Playing;
use crate::problem::Problem;
use crate::rates::{self, Rates};
use crate::recording_control;
use crate::recordings;
use crate::reports;
use crate::session::{self, audited};
use crate::time::rfc3339;
use crate::users::{Right, Users};
use crate::view::{AgentWish, GuestError, GuestWish, Page, RECORDS_PAGE_MAX, View, Withdrawal};
use crate::visitors::{self, Entrances};

/// Longest body that is read; a longer one gets 413.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// Longest reason for not being ready, in characters.
const REASON_CHARS_MAX: usize = 64;
/// Longest number, or name, that is called.
const NUMBER_CHARS_MAX: usize = 128;
/// Most callbacks in a page, and how many where the request does not say.
const CALLBACKS_PAGE_MAX: usize = 500;
/// Records in a page where the request does not say.
const RECORDS_PAGE_DEFAULT: u32 = 50;

/// What handlers share.
#[derive(Clone)]
pub struct Shared {
    /// The exchange.
    pub view: Arc<dyn View>,
    /// Live events.
    pub hub: HubHandle,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Requests answered, by first digit of the status.
    pub answered: Arc<[AtomicU64; 6]>,
    /// Who listens to recordings.
    pub playing: Arc<Playing>,
    /// What the phone page is told.
    pub phone: Arc<PhoneSettings>,
    /// Pages from which visitors call.
    pub entrances: Arc<Entrances>,
    /// Who may ask.
    pub users: Arc<Users>,
    /// Signing in at a provider, where there is one.
    pub openid: Option<Arc<SignIns>>,
    /// How often.
    pub rates: Arc<Rates>,
    /// Commands that were sent with a key.
    pub idempotency: Arc<Idempotency>,
    /// Browsers reach this server over TLS only.
    pub secure: bool,
}

type Reply<T> = Result<Json<T>, Problem>;

/// All routes with their guards.
pub fn router(shared: Shared) -> Router {
    let answered = Arc::clone(&shared.answered);
    let users = Arc::clone(&shared.users);
    let rates = Arc::clone(&shared.rates);
    let guarded = Router::new()
        .route("/api/v1/queues", get(queues))
        .route("/api/v1/agents", get(agents))
        .route("/api/v1/agents/{id}/state", post(set_agent))
        .route("/api/v1/desk", get(desk::show))
        .route("/api/v1/desk/commands", post(desk::command))
        .route("/api/v1/desk/wrap-up", post(desk::wrap_up))
        .route("/api/v1/desk/history", get(desk::history))
        .route("/api/v1/desk/callbacks", get(desk::callbacks))
        .route("/api/v1/desk/figures", get(desk::figures))
        .route("/api/v1/reports/codes", get(desk::codes))
        .route("/api/v1/calls", get(calls))
        .route("/api/v1/calls/{id}/supervise", post(supervise))
        .route("/api/v1/calls/{id}/recording", post(recording_control::set))
        .route("/api/v1/calls/{id}/explanation", get(placement::explain))
        .route("/api/v1/calls/{id}/placement", post(placement::set))
        .route("/api/v1/calls/{id}/decision", post(placement::decide))
        .route("/api/v1/calls/{id}/guests", post(bring_in))
        .route("/api/v1/calls/{id}/guests/{guest}", delete(send_off))
        .route("/api/v1/alarms", get(alarms::list))
        .route("/api/v1/trunks", get(trunks))
        .route("/api/v1/calendars", get(calendars))
        .route("/api/v1/callbacks", get(callbacks))
        .route("/api/v1/callbacks/{id}", delete(withdraw_callback))
        .route("/api/v1/bans", get(bans))
        .route("/api/v1/bans/{source}", delete(lift_ban))
        .route("/api/v1/calls/{id}/ladder", get(ladder))
        .route("/api/v1/calls/{id}/pcap", get(pcap))
        .route("/api/v1/reports/queues", get(reports::queues))
        .route("/api/v1/reports/agents", get(reports::agents))
        .route("/api/v1/reports/numbers", get(reports::numbers))
        .route("/api/v1/records", get(records))
        .route("/api/v1/records/{id}", get(record))
        .route("/api/v1/recordings", get(recordings::list))
        .route("/api/v1/recordings/{id}", get(recordings::one))
        .route("/api/v1/recordings/{id}/peaks", get(recordings::peaks))
        .route("/api/v1/recordings/{id}/ticket", post(recordings::ticket))
        .route("/api/v1/recordings/{id}/export", get(recordings::export))
        .route("/api/v1/audit", get(recordings::audit))
        .route("/api/v1/events", get(feed::server_sent))
        .route("/api/v1/events/ws", get(feed::websocket))
        .route("/metrics", get(metrics))
        .merge(configuration::routes())
        .route_layer(middleware::from_fn_with_state(Arc::clone(&shared.idempotency), idempotency::once))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&users), guard::authorise));
    let playback = (Arc::clone(&users), Arc::clone(&shared.playing));
    let ticketed = Router::new()
        .route("/api/v1/recordings/{id}/audio", get(recordings::audio))
        .route_layer(middleware::from_fn_with_state(playback, recordings::authorise));
    Router::new()
        .merge(guarded)
        .merge(ticketed)
        .route("/api/v1/session", get(session::show).post(session::sign_in).delete(session::sign_out))
        .route("/api/v1/visitors/{entrance}", get(visitors::settings).post(visitors::welcome))
        .route("/call/{entrance}", get(visitors::show))
        .route("/api/v1/openapi.json", get(openapi::show))
        .route("/api/docs", get(openapi::docs))
        .route("/healthz", get(healthz))
        .route("/", get(page::index))
        .route("/desk", get(page::desk))
        .route("/phone", get(page::phone))
        .route("/admin", get(page::admin))
        .route("/phone/settings", get(phone::settings))
        .route(openid::BEGIN, get(openid::begin))
        .route(openid::RETURN, get(openid::come_back))
        .route("/web/{file}", get(page::asset))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is no such address; the API begins at /api/v1/"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this address does not take that method")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state((Arc::clone(&users), rates), rates::limit))
        .layer(middleware::from_fn_with_state(users, guard::own_name))
        .layer(middleware::from_fn(packing::pack))
        .layer(middleware::from_fn(guard::headers))
        .layer(middleware::from_fn(move |request, next| count(Arc::clone(&answered), request, next)))
        .with_state(shared)
}

async fn count(answered: Arc<[AtomicU64; 6]>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let class = usize::from(response.status().as_u16() / 100).min(answered.len() - 1);
    answered[class].fetch_add(1, Ordering::Relaxed);
    response
}

/// All queues.
#[derive(JsonSchema, Serialize)]
pub struct Queues {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    queues: Vec<dto::Queue>,
}

async fn queues(State(shared): State<Shared>) -> Reply<Queues> {
    let views = shared.view.queues().await?;
    Ok(Json(Queues { at: rfc3339(shared.view.now()), queues: views.iter().map(dto::Queue::from).collect() }))
}

/// All agents.
#[derive(JsonSchema, Serialize)]
pub struct Agents {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    agents: Vec<dto::Agent>,
}

async fn agents(State(shared): State<Shared>) -> Reply<Agents> {
    let views = shared.view.agents().await?;
    Ok(Json(Agents { at: rfc3339(shared.view.now()), agents: views.iter().map(dto::Agent::from).collect() }))
}

/// Calls that are up.
#[derive(JsonSchema, Serialize)]
pub struct Calls {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    calls: Vec<dto::Call>,
}

async fn calls(State(shared): State<Shared>, Extension(asker): Extension<Asker>) -> Reply<Calls> {
    let mut views = shared.view.calls().await?;
    views.retain(|view| asker.identity.may_see(view.agent.as_deref()));
    Ok(Json(Calls { at: rfc3339(shared.view.now()), calls: views.iter().map(dto::Call::from).collect() }))
}

/// All calendars.
#[derive(JsonSchema, Serialize)]
pub struct Calendars {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    calendars: Vec<dto::Hours>,
}

async fn calendars(State(shared): State<Shared>) -> Reply<Calendars> {
    let views = shared.view.calendars().await?;
    Ok(Json(Calendars { at: rfc3339(shared.view.now()), calendars: views.iter().map(dto::Hours::from).collect() }))
}

/// A page of callbacks that are open.
#[derive(JsonSchema, Serialize)]
pub struct CallbacksPage {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// Oldest first.
    callbacks: Vec<dto::Callback>,
    /// Give it as `after` to get the page after this one; null on the last page.
    next: Option<String>,
}

/// Which callbacks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallbacksQuery {
    /// At most so many; 500 where it is not said.
    #[schemars(range(min = 1, max = CALLBACKS_PAGE_MAX))]
    limit: Option<usize>,
    /// Only callbacks after this one: `next` of the page before.
    #[schemars(regex(pattern = r"^c-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    after: Option<String>,
}

async fn callbacks(
    State(shared): State<Shared>,
    uri: Uri,
    query: Result<Query<CallbacksQuery>, QueryRejection>,
) -> Result<Paged<CallbacksPage>, Problem> {
    let Query(CallbacksQuery { limit, after }) = query.map_err(|error| bad_request(error.body_text()))?;
    let limit = limit.unwrap_or(CALLBACKS_PAGE_MAX);
    if !(1..=CALLBACKS_PAGE_MAX).contains(&limit) {
        return Err(bad_request(format!("limit is a number from 1 to {CALLBACKS_PAGE_MAX}")));
    }
    let after: Option<ContactId> = after.as_deref().map(callback_id).transpose()?;
    let views = shared.view.callbacks().await?;
    // One that is over meanwhile has left its place: ids rise with time, as the order does.
    let mut rest = views.iter().skip_while(|view| after.is_some_and(|after| view.id <= after)).peekable();
    let page: Vec<dto::Callback> = rest.by_ref().take(limit).map(dto::Callback::from).collect();
    let next = rest.peek().and_then(|_| page.last()).map(|last| last.id.clone());
    let page = CallbacksPage { at: rfc3339(shared.view.now()), callbacks: page, next: next.clone() };
    Ok(Paged::new(page, &uri, "after", next.as_deref()))
}

fn callback_id(text: &str) -> Result<ContactId, Problem> {
    id(text, "a callback's id looks like 'c-1f'")
}

async fn withdraw_callback(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let callback = callback_id(&id)?;
    audited(&shared, &asker, "withdraw callback", id, String::new()).await?;
    match shared.view.withdraw_callback(callback).await? {
        Withdrawal::Done => Ok(StatusCode::NO_CONTENT),
        Withdrawal::Busy => Err(Problem::new(StatusCode::CONFLICT, "its customer is being called")),
        Withdrawal::Unknown => Err(Problem::new(StatusCode::NOT_FOUND, "there is no such callback")),
    }
}

/// All trunks.
#[derive(JsonSchema, Serialize)]
pub struct Trunks {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    trunks: Vec<dto::Trunk>,
}

async fn trunks(State(shared): State<Shared>) -> Reply<Trunks> {
    let views = shared.view.trunks().await?;
    Ok(Json(Trunks { at: rfc3339(shared.view.now()), trunks: views.iter().map(dto::Trunk::from).collect() }))
}

/// All bans.
#[derive(JsonSchema, Serialize)]
pub struct Bans {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    bans: Vec<dto::Ban>,
}

async fn bans(State(shared): State<Shared>) -> Json<Bans> {
    let bans = shared.view.bans().iter().map(dto::Ban::from).collect();
    Json(Bans { at: rfc3339(shared.view.now()), bans })
}

async fn lift_ban(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(source): Path<String>,
) -> Result<StatusCode, Problem> {
    let source: IpAddr = source.parse().map_err(|_| bad_request("a ban's source is an address, such as 192.0.2.7"))?;
    audited(&shared, &asker, "lift ban", source.to_string(), String::new()).await?;
    if shared.view.lift_ban(source) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::new(StatusCode::NOT_FOUND, "this source is not banned"))
}

async fn ladder(State(shared): State<Shared>, Path(id): Path<String>) -> Reply<dto::Ladder> {
    let call = call_id(&id)?;
    let ladder = shared.view.ladder(call).await.ok_or_else(nothing_kept)?;
    Ok(Json(dto::Ladder::of(call, &ladder)))
}

async fn pcap(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Response, Problem> {
    let call = call_id(&id)?;
    let file = shared.view.pcap(call).await.ok_or_else(nothing_kept)?;
    let name = format!("attachment; filename=\"{call}.pcap\"");
    Ok(([(header::CONTENT_TYPE, "application/vnd.tcpdump.pcap".to_owned()), (header::CONTENT_DISPOSITION, name)], file)
        .into_response())
}

fn nothing_kept() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no SIP messages of such a call are kept")
}

/// Which call records.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordsQuery {
    /// At most so many; 50 where it is not said.
    #[schemars(range(min = 1, max = RECORDS_PAGE_MAX))]
    limit: Option<u32>,
    /// Only calls that an agent gave this code, or one below it: `Order` finds `Order/New`.
    #[schemars(length(min = 1, max = desk::CODE_CHARS_MAX))]
    code: Option<String>,
    /// Only records before this one: `next` of the page before.
    #[schemars(regex(pattern = r"^call-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    before: Option<String>,
}

/// A page of call records.
#[derive(JsonSchema, Serialize)]
pub struct RecordsPage {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    records: Vec<dto::Record>,
    /// Give it as `before` to get the page after this one; absent on the last page.
    next: Option<String>,
}

async fn records(
    State(shared): State<Shared>,
    uri: Uri,
    query: Result<Query<RecordsQuery>, QueryRejection>,
) -> Result<Paged<RecordsPage>, Problem> {
    let Query(query) = query.map_err(|error| bad_request(error.body_text()))?;
    let limit = query.limit.unwrap_or(RECORDS_PAGE_DEFAULT);
    if !(1..=RECORDS_PAGE_MAX).contains(&limit) {
        return Err(bad_request(format!("limit is a number from 1 to {RECORDS_PAGE_MAX}")));
    }
    let before = query.before.as_deref().map(call_id).transpose()?;
    let code = query.code;
    if code.as_ref().is_some_and(|code| code.is_empty() || code.chars().count() > desk::CODE_CHARS_MAX) {
        return Err(bad_request(format!("a code has 1 to {} characters", desk::CODE_CHARS_MAX)));
    }
    let entries = shared.view.records(Page { limit, before, code }).await?;
    let records: Vec<_> = entries.iter().map(dto::Record::from).collect();
    let full = records.len() >= limit as usize;
    let next = records.last().filter(|_| full).map(|record| record.id.clone());
    let page = RecordsPage { at: rfc3339(shared.view.now()), records, next: next.clone() };
    Ok(Paged::new(page, &uri, "before", next.as_deref()))
}

async fn record(State(shared): State<Shared>, Path(id): Path<String>) -> Reply<dto::Record> {
    let entry = shared.view.record(call_id(&id)?).await?;
    let entry = entry.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no record of such a call"))?;
    Ok(Json(dto::Record::from(&entry)))
}

/// An id as answers write it, and in no other way: what is one thing has one address.
pub fn id<T: FromStr + Display>(text: &str, what: &str) -> Result<T, Problem> {
    let id: Option<T> = text.parse().ok();
    id.filter(|id| id.to_string() == text).ok_or_else(|| bad_request(what))
}

pub fn call_id(text: &str) -> Result<CallId, Problem> {
    id(text, "a call's id looks like 'call-10000001f'")
}

pub fn agent_id(text: &str) -> Result<AgentId, Problem> {
    id(text, "an agent's id looks like 'a-1f'")
}

pub fn bad_request(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

/// An agent's new state.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [
    { "properties": { "state": { "const": "not-ready" } } },
    { "properties": { "reason": { "type": "null" } } },
]))]
pub struct SetAgent {
    /// Who is logged out is logged in where needed.
    #[schemars(extend("enum" = ["available", "not-ready", "logged-out"]))]
    state: String,
    /// Why not ready: only with that state.
    #[schemars(length(max = REASON_CHARS_MAX))]
    reason: Option<String>,
}

async fn set_agent(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    body: Result<Json<SetAgent>, JsonRejection>,
) -> Reply<dto::Agent> {
    let agent = agent_id(&id)?;
    let Json(SetAgent { state, reason }) = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
        return Err(bad_request(format!("a reason has at most {REASON_CHARS_MAX} characters")));
    }
    let wish = match (state.as_str(), reason) {
        ("available", None) => AgentWish::Available,
        ("not-ready", reason) => AgentWish::NotReady(reason),
        ("logged-out", None) => AgentWish::LoggedOut,
        ("available" | "logged-out", Some(_)) => return Err(bad_request("only 'not-ready' has a reason")),
        _ => return Err(bad_request("state is 'available', 'not-ready' or 'logged-out'")),
    };
    if !asker.identity.is_agent(agent) {
        if !asker.identity.rights.has(Right::AgentStates) {
            let detail = format!("{} may change the own agent's state only", asker.identity.who);
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        audited(&shared, &asker, "set agent state", id, state).await?;
    }
    let own = asker.identity.agent.as_ref().is_some_and(|(own, _)| *own == agent);
    if own && wish == AgentWish::Available && desk::owes_code(&shared, agent).await? {
        return Err(GuestError::from(Denied::CodeWanted).into());
    }
    let view = shared.view.set_agent(agent, wish).await?;
    Ok(Json(dto::Agent::from(&view)))
}

/// What a supervisor wants with a call.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Supervise {
    /// In the name of this agent; one's own where it is not said.
    #[schemars(regex(pattern = r"^a-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    by: Option<String>,
    /// What for; `take-over` talks to the caller instead of the agent.
    #[schemars(extend("enum" = Supervision::ALL.map(|(_, name)| name)))]
    how: String,
}

async fn supervise(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    body: Result<Json<Supervise>, JsonRejection>,
) -> Reply<dto::Guests> {
    let call = call_id(&id)?;
    let Json(Supervise { by, how }) = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let Some(supervision) = Supervision::by_name(&how) else {
        let known = Supervision::ALL.map(|(_, name)| format!("'{name}'")).join(", ");
        return Err(bad_request(format!("how is one of {known}")));
    };
    let by = acting(&asker, by.as_deref())?;
    audited(&shared, &asker, "supervise", id.clone(), format!("{how} as {by}")).await?;
    set_guest(&shared, call, GuestWish::Supervise(by, supervision)).await
}

/// Whom to bring into a call.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BringIn {
    /// In the name of this agent; one's own where it is not said.
    #[schemars(regex(pattern = r"^a-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    by: Option<String>,
    /// A number, or the name of a colleague.
    #[schemars(length(min = 1, max = NUMBER_CHARS_MAX))]
    number: String,
}

async fn bring_in(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    body: Result<Json<BringIn>, JsonRejection>,
) -> Reply<dto::Guests> {
    let call = call_id(&id)?;
    let Json(BringIn { by, number }) = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    if number.is_empty() || number.chars().count() > NUMBER_CHARS_MAX {
        return Err(bad_request(format!("a number has 1 to {NUMBER_CHARS_MAX} characters")));
    }
    let by = acting(&asker, by.as_deref())?;
    audited(&shared, &asker, "bring into call", id.clone(), format!("as {by}")).await?;
    set_guest(&shared, call, GuestWish::BringIn(by, number)).await
}

/// The agent for whom somebody acts: their own, where they name none.
pub fn acting(asker: &Asker, named: Option<&str>) -> Result<AgentId, Problem> {
    let own = asker.identity.agent.as_ref().map(|(id, _)| *id);
    let named = named.map(agent_id).transpose()?;
    let nobody = || {
        let advice =
            format!("{} is no agent: 'by' says in whose name, by an agent's id such as 'a-1f'", asker.identity.who);
        Problem::new(StatusCode::FORBIDDEN, advice)
    };
    let agent = named.or(own).ok_or_else(nobody)?;
    if asker.identity.is_agent(agent) {
        return Ok(agent);
    }
    Err(Problem::new(StatusCode::FORBIDDEN, format!("{} is not that agent", asker.identity.who)))
}

async fn send_off(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path((id, guest)): Path<(String, String)>,
) -> Reply<dto::Guests> {
    let (call, guest): (_, LegId) = (call_id(&id)?, self::id(&guest, "a guest's id looks like 'l-1f'")?);
    audited(&shared, &asker, "send off from call", id.clone(), guest.to_string()).await?;
    set_guest(&shared, call, GuestWish::SendOff(guest)).await
}

async fn set_guest(shared: &Shared, call: CallId, wish: GuestWish) -> Reply<dto::Guests> {
    let view = shared.view.set_guest(call, wish).await?;
    Ok(Json(dto::Guests::new(rfc3339(shared.view.now()), view.as_ref())))
}

async fn metrics(State(shared): State<Shared>) -> Result<Response, Problem> {
    let (queues, agents) = (shared.view.queues().await?, shared.view.agents().await?);
    let trunks = shared.view.trunks().await?;
    let text = shared
        .metrics
        .encode(&queues, &agents, &trunks, &shared.view.alarms())
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Whether the exchange is well.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Health")]
pub struct Healthy {
    /// All parts are.
    ok: bool,
    /// `ok`, or what is wrong with it, by part.
    parts: BTreeMap<&'static str, String>,
}

async fn healthz(State(shared): State<Shared>) -> Response {
    let health = shared.view.health().await;
    let ok = health.parts.iter().all(|(_, state)| state.is_ok());
    let said = |state: Result<(), String>| state.err().unwrap_or_else(|| "ok".to_owned());
    let parts = health.parts.into_iter().map(|(name, state)| (name, said(state))).collect();
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Healthy { ok, parts })).into_response()
}
