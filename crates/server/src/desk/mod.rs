//! The agent's desk: what is offered, who is in the talk, the wrap-up in hand, and what the agent does with them. All of it
//! concerns the asker's own agent, and no other.

mod past;
mod shapes;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use offhook_acd::AgentFigures;
use offhook_call::desk::{DeskView, DeskWish, TransferTo};
use offhook_units::{AgentId, CallId, QueueId, Span, Tick};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::api::{Shared, acting, bad_request, call_id, id};
use crate::guard::Asker;
use crate::problem::Problem;
use crate::view::{Answer, GuestError, RecordEntry, Unavailable};

pub use self::past::{
    CODE_CHARS_MAX, CallerHistory, CodesQuery, CodesReport, DeskCallbacks, HistoryQuery, NOTE_CHARS_MAX, NoteCall,
    OwnFigures, callbacks, codes, figures, history, wrap_up,
};
pub use self::shapes::DeskNow;

/// Longest number, or name, that is called.
const NUMBER_CHARS_MAX: usize = 128;
/// Longest that a wrap-up is extended by at once, in seconds.
const EXTEND_S_MAX: u64 = 3_600;

/// Whether an agent who wraps up has yet to give a code that the queue requires: until then the wrap-up is not over by being available.
///
/// # Errors
/// As [`Unavailable`].
pub async fn owes_code(shared: &Shared, agent: AgentId) -> Result<bool, Unavailable> {
    let Some(view) = shared.view.desk(agent).await? else { return Ok(false) };
    let owed = view.codes.is_some_and(|codes| codes.required && codes.code.is_none());
    Ok(owed && view.wrap_up.is_some())
}

/// What the exchange knows of an agent's desk, and does there.
pub trait Desk {
    /// An agent's desk now; none where there is no such agent.
    fn desk(&self, agent: AgentId) -> Answer<'_, Result<Option<DeskView>, Unavailable>>;
    /// Does what an agent asks for, in this call where one is named; answers with the desk as it is afterwards.
    fn at_desk(
        &self,
        agent: AgentId,
        call: Option<CallId>,
        wish: DeskWish,
    ) -> Answer<'_, Result<Option<DeskView>, GuestError>>;
    /// Keeps what an agent notes of the call that was taken last; answers with the desk as it is afterwards.
    fn note_call(
        &self,
        agent: AgentId,
        call: CallId,
        code: Option<String>,
        note: Option<String>,
    ) -> Answer<'_, Result<Option<DeskView>, GuestError>>;
    /// Earlier calls of the caller of a call that is the agent's to know, newest first.
    fn caller_history(
        &self,
        agent: AgentId,
        call: CallId,
        limit: u32,
    ) -> Answer<'_, Result<Vec<RecordEntry>, Unavailable>>;
    /// What an agent did since the shift began; none where there is no such agent.
    fn own_figures(&self, agent: AgentId) -> Answer<'_, Result<Option<AgentFigures>, Unavailable>>;
    /// How often each code was given between two instants.
    fn codes(&self, from: Tick, until: Tick) -> Answer<'_, Result<Vec<CodeCount>, Unavailable>>;
}

/// How often a code was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeCount {
    /// After calls of this queue, by id and name.
    pub queue: Option<(QueueId, Option<String>)>,
    /// Which.
    pub code: String,
    /// How often.
    pub times: u64,
}

/// Whose desk.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeskQuery {
    /// This agent's; one's own where it is not said.
    #[schemars(regex(pattern = r"^a-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    by: Option<String>,
}

/// `GET /api/v1/desk`.
pub async fn show(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    query: Result<Query<DeskQuery>, QueryRejection>,
) -> Result<Json<DeskNow>, Problem> {
    let Query(DeskQuery { by }) = query.map_err(|error| bad_request(error.body_text()))?;
    let agent = own_agent(&asker, by.as_deref())?;
    let view = shared.view.desk(agent).await?;
    answer(&shared, view)
}

/// Whose desk it is: the asker's own, where nobody is named.
fn own_agent(asker: &Asker, named: Option<&str>) -> Result<AgentId, Problem> {
    if named.is_none() && asker.identity.agent.is_none() {
        let advice = format!(
            "{} is no agent, and has no desk: 'by' says whose it is, where that is allowed",
            asker.identity.who
        );
        return Err(Problem::new(StatusCode::NOT_FOUND, advice).of_type("urn:offhook:no-agent"));
    }
    acting(asker, named)
}

fn answer(shared: &Shared, view: Option<DeskView>) -> Result<Json<DeskNow>, Problem> {
    let view = view.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such agent"))?;
    Ok(Json(DeskNow::of(shared.view.now(), &view)))
}

/// What each command takes beside itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Number,
    NumberOrQueue,
    Seconds,
}

const COMMANDS: [(&str, Takes); 12] = [
    ("decline", Takes::Nothing),
    ("hold", Takes::Nothing),
    ("retrieve", Takes::Nothing),
    ("mute", Takes::Nothing),
    ("unmute", Takes::Nothing),
    ("transfer", Takes::NumberOrQueue),
    ("consult", Takes::Number),
    ("put-through", Takes::Nothing),
    ("take-back", Takes::Nothing),
    ("hang-up", Takes::Nothing),
    ("wrap-up-done", Takes::Nothing),
    ("extend-wrap-up", Takes::Seconds),
];

fn taking(takes: Takes) -> Vec<&'static str> {
    COMMANDS.iter().filter(|(_, known)| *known == takes).map(|(name, _)| *name).collect()
}

/// What an agent wants at the desk.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "properties": { "do": { "enum": taking(Takes::Nothing) }, "number": false, "queue": false, "seconds": false } },
    { "properties": { "do": { "enum": taking(Takes::Number) }, "queue": false, "seconds": false }, "required": ["number"] },
    { "properties": { "do": { "enum": taking(Takes::NumberOrQueue) }, "queue": false, "seconds": false }, "required": ["number"] },
    { "properties": { "do": { "enum": taking(Takes::NumberOrQueue) }, "number": false, "seconds": false }, "required": ["queue"] },
    { "properties": { "do": { "enum": taking(Takes::Seconds) }, "number": false, "queue": false }, "required": ["seconds"] },
]))]
pub struct DeskCommand {
    /// `hold` puts whom one talks to aside, with music, and `retrieve` takes them back; `consult` puts them aside and rings somebody,
    /// `put-through` leaves the two with each other, `take-back` parts with whoever was asked, and `retrieve` then makes a conference.
    /// `transfer` leads to a number or a colleague, or into a queue, without asking.
    #[schemars(extend("enum" = COMMANDS.map(|(name, _)| name)))]
    r#do: String,
    /// The call that is meant; where it is not said, the one that the agent's phone is in.
    #[serde(default, deserialize_with = "crate::placement::there")]
    #[schemars(with = "String", regex(pattern = r"^call-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    call: Option<String>,
    /// Of `transfer` and `consult`: a number, or the name of a colleague.
    #[serde(default, deserialize_with = "crate::placement::there")]
    #[schemars(with = "String", length(min = 1, max = NUMBER_CHARS_MAX))]
    number: Option<String>,
    /// Of `transfer`: a queue.
    #[serde(default, deserialize_with = "crate::placement::there")]
    #[schemars(with = "String", regex(pattern = r"^q-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    queue: Option<String>,
    /// Of `extend-wrap-up`: by so many seconds.
    #[serde(default, deserialize_with = "crate::placement::whole")]
    #[schemars(with = "u64", range(min = 1, max = EXTEND_S_MAX))]
    seconds: Option<u64>,
    /// In the name of this agent; one's own where it is not said.
    #[serde(default, deserialize_with = "crate::placement::there")]
    #[schemars(with = "String", regex(pattern = r"^a-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    by: Option<String>,
}

/// `POST /api/v1/desk/commands`.
pub async fn command(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    body: Result<Json<DeskCommand>, JsonRejection>,
) -> Result<Json<DeskNow>, Problem> {
    let Json(command) = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let call = command.call.as_deref().map(call_id).transpose()?;
    let by = command.by.clone();
    let wish = wish_of(command)?;
    let agent = own_agent(&asker, by.as_deref())?;
    let view = shared.view.at_desk(agent, call, wish).await?;
    answer(&shared, view)
}

fn wish_of(command: DeskCommand) -> Result<DeskWish, Problem> {
    let DeskCommand { r#do: wanted, number, queue, seconds, call: _, by: _ } = command;
    if number.as_ref().is_some_and(|number| number.is_empty() || number.chars().count() > NUMBER_CHARS_MAX) {
        return Err(bad_request(format!("a number has 1 to {NUMBER_CHARS_MAX} characters")));
    }
    if seconds.is_some_and(|seconds| !(1..=EXTEND_S_MAX).contains(&seconds)) {
        return Err(bad_request(format!("seconds is a number from 1 to {EXTEND_S_MAX}")));
    }
    let queue: Option<QueueId> = queue.map(|queue| id(&queue, "a queue's id looks like 'q-1f'")).transpose()?;
    match (wanted.as_str(), number, queue, seconds) {
        ("decline", None, None, None) => Ok(DeskWish::Decline),
        ("hold", None, None, None) => Ok(DeskWish::Hold(true)),
        ("retrieve", None, None, None) => Ok(DeskWish::Hold(false)),
        ("mute", None, None, None) => Ok(DeskWish::Mute(true)),
        ("unmute", None, None, None) => Ok(DeskWish::Mute(false)),
        ("transfer", Some(number), None, None) => Ok(DeskWish::Transfer(TransferTo::Number(number))),
        ("transfer", None, Some(queue), None) => Ok(DeskWish::Transfer(TransferTo::Queue(queue))),
        ("consult", Some(number), None, None) => Ok(DeskWish::Consult(number)),
        ("put-through", None, None, None) => Ok(DeskWish::PutThrough),
        ("take-back", None, None, None) => Ok(DeskWish::TakeBack),
        ("hang-up", None, None, None) => Ok(DeskWish::HangUp),
        ("wrap-up-done", None, None, None) => Ok(DeskWish::WrapUpDone),
        ("extend-wrap-up", None, None, Some(seconds)) => Ok(DeskWish::ExtendWrapUp(Span::from_s(seconds))),
        (name, ..) if COMMANDS.iter().any(|(known, _)| *known == name) => {
            let advice = "'transfer' takes 'number' or 'queue', 'consult' takes 'number', 'extend-wrap-up' takes 'seconds', and no \
                          other command takes any of them";
            Err(bad_request(advice))
        }
        _ => {
            let known = COMMANDS.map(|(name, _)| format!("'{name}'")).join(", ");
            Err(bad_request(format!("do is one of {known}")))
        }
    }
}
