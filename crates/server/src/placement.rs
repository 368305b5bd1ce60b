//! Why a call waits, and where it goes: moved by hand, or sent by a program that is asked (`external_decision` of a queue).

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use offhook_acd::{PassedOver, Standing};
use offhook_call::config::Names;
use offhook_call::placement::Placement;
use offhook_units::{AgentId, QueueId, Span, Tick};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::api::{Shared, acting, agent_id, bad_request, call_id};
use crate::dto::Call;
use crate::guard::Asker;
use crate::problem::Problem;
use crate::session::audited;
use crate::time::rfc3339;
use crate::users::Right;
use crate::view::Explained;

/// Longest that a call may be told to wait for one agent, in seconds.
const WAIT_S_MAX: u64 = 3_600;
/// How long it waits for the agent where nobody says, in seconds.
const WAIT_S: u64 = 60;

/// Where a waiting call is to go: to an agent or to a queue.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PlaceCall", extend("oneOf" = [{ "required": ["agent"] }, { "required": ["queue"] }], "dependentRequired" = { "wait_s": ["agent"] }))]
pub struct Wanted {
    /// The agent whom it waits for.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "String", regex(pattern = r"^a-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    agent: Option<String>,
    /// The queue that it goes on to.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "String", regex(pattern = r"^q-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    queue: Option<String>,
    /// For how many seconds it waits for the agent alone; 60 where nothing is said. Not with `queue`.
    #[serde(default, deserialize_with = "whole")]
    #[schemars(with = "u64", range(min = 1, max = 3_600))]
    wait_s: Option<u64>,
    /// In the name of this agent; in none's where it is not said.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "String", regex(pattern = r"^a-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    by: Option<String>,
}

/// Whom a call goes to about which a program is asked; nobody in particular where no agent is named.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DecideCall", extend("dependentRequired" = { "wait_s": ["agent"] }))]
pub struct Decision {
    /// The agent whom it waits for.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "String", regex(pattern = r"^a-(0|[1-9a-f][0-9a-f]{0,15})$"))]
    agent: Option<String>,
    /// For how many seconds it waits for the agent alone; 60 where nothing is said. Only with `agent`.
    #[serde(default, deserialize_with = "whole")]
    #[schemars(with = "u64", range(min = 1, max = 3_600))]
    wait_s: Option<u64>,
}

/// The call as it is now.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "PlacedCall")]
pub struct Now {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// The call.
    call: Call,
}

/// What is given, if it is given, is not null.
pub fn there<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    String::deserialize(from).map(Some)
}

/// A whole number, however it is written: 60 and 60.0 are the same in JSON.
pub fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let number = serde_json::Number::deserialize(from)?;
    let written = || number.as_f64().filter(|number| number.fract() == 0.0 && (0.0..1e15).contains(number));
    let whole = number.as_u64().or_else(|| written().map(|number| number as u64));
    whole.map(Some).ok_or_else(|| D::Error::custom(format!("{number} is not a whole number of seconds")))
}

/// Why a call waits.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "CallExplanation")]
pub struct Explanation {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// The queue in which it waits.
    queue: String,
    /// How that queue chooses.
    strategy: &'static str,
    /// Calls of the queue that go before it.
    ahead: u32,
    /// The members of the queue: who would be asked next, then who could take it, then the others.
    candidates: Vec<Candidate>,
}

/// A member of the queue.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "CallCandidate")]
pub struct Candidate {
    /// The agent's id.
    agent_id: String,
    /// The agent's name.
    agent: String,
    /// The agent's tier in the queue; the first one is asked first.
    tier: u8,
    /// `chosen`, `eligible` or `passed-over`.
    #[schemars(extend("enum" = ["chosen", "eligible", "passed-over"]))]
    standing: &'static str,
    /// Why passed over.
    #[schemars(extend("enum" = ["logged-out", "not-ready", "has-offer", "busy", "wrap-up", "resting", "not-this-channel", "tier-closed", "call-rings", "asking", "another-preferred", "not-lent", "lacks-skill", null]))]
    why: Option<&'static str>,
    /// The reason, agent, queue or skill that it is about.
    about: Option<String>,
    /// Until when, where time alone changes it.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
}

impl Candidate {
    fn new(candidate: &offhook_acd::Candidate, names: &Names) -> Self {
        let agent = |id: &AgentId| names.agents.get(id).cloned();
        let passed = |why, about, until: Option<Tick>| ("passed-over", Some(why), about, until.map(rfc3339));
        let (standing, why, about, until) = match &candidate.standing {
            Standing::Chosen => ("chosen", None, None, None),
            Standing::Eligible => ("eligible", None, None, None),
            Standing::PassedOver(why) => match why {
                PassedOver::LoggedOut => passed("logged-out", None, None),
                PassedOver::NotReady(reason) => passed("not-ready", Some(reason.clone()), None),
                PassedOver::HasOffer => passed("has-offer", None, None),
                PassedOver::Busy => passed("busy", None, None),
                PassedOver::WrapUp => passed("wrap-up", None, None),
                PassedOver::Resting(until) => passed("resting", None, Some(*until)),
                PassedOver::NotThisChannel => passed("not-this-channel", None, None),
                PassedOver::TierClosed(until) => passed("tier-closed", None, Some(*until)),
                PassedOver::ContactRings => passed("call-rings", None, None),
                PassedOver::Asking(until) => passed("asking", None, Some(*until)),
                PassedOver::AnotherPreferred(other, until) => passed("another-preferred", agent(other), Some(*until)),
                PassedOver::NotLent(queue) => passed("not-lent", names.queues.get(queue).cloned(), None),
                PassedOver::LacksSkill(skill) => passed("lacks-skill", names.skills.get(skill).cloned(), None),
            },
        };
        let (id, tier) = (candidate.agent, candidate.key.level);
        Self { agent_id: id.to_string(), agent: agent(&id).unwrap_or_default(), tier, standing, why, about, until }
    }
}

/// `GET /api/v1/calls/{id}/explanation`.
pub async fn explain(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Json<Explanation>, Problem> {
    let call = call_id(&id)?;
    let Some(Explained { explanation, names }) = shared.view.explain(call).await? else {
        let is_up = shared.view.calls().await?.iter().any(|view| view.id == call);
        let (status, detail) = if is_up {
            (StatusCode::CONFLICT, "the call waits in no queue now")
        } else {
            (StatusCode::NOT_FOUND, "there is no such call")
        };
        return Err(Problem::new(status, detail));
    };
    Ok(Json(Explanation {
        at: rfc3339(shared.view.now()),
        queue: names.queues.get(&explanation.queue).cloned().unwrap_or_default(),
        strategy: explanation.strategy.name(),
        ahead: explanation.ahead,
        candidates: explanation.candidates.iter().map(|candidate| Candidate::new(candidate, &names)).collect(),
    }))
}

type Answer = Result<Json<Now>, Problem>;

/// `POST /api/v1/calls/{id}/placement`: `{"agent": "a-1f", "wait_s": 60}` gives a waiting call to an agent, `{"queue": "q-2"}` moves
/// it to another queue; in the name of the own agent, or of none, as the asker has the right to supervise.
pub async fn set(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Answer {
    let call = call_id(&id)?;
    let Json(Wanted { agent, queue, wait_s, by }) =
        body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let wish = match (agent, queue) {
        (Some(agent), None) => Placement::Agent(agent_id(&agent)?, wait(wait_s)?),
        (None, Some(queue)) if wait_s.is_none() => Placement::Queue(queue_id(&queue)?),
        _ => return Err(bad_request("say either 'agent', and 'wait_s' if you like, or 'queue'")),
    };
    let by = match by {
        None if asker.identity.rights.has(Right::Supervise) => None,
        by => Some(acting(&asker, by.as_deref())?),
    };
    let where_to = match wish {
        Placement::Agent(agent, _) => format!("to {agent}"),
        Placement::Queue(queue) => format!("to {queue}"),
        Placement::Answer(_) => String::new(),
    };
    audited(&shared, &asker, "move call", id, where_to).await?;
    let view = shared.view.place(call, by, wish).await?;
    answer(&shared, view.as_ref())
}

/// `POST /api/v1/calls/{id}/decision`: the answer where a queue asks about a call (`asked_until` in the call and on the live feed):
/// `{"agent": "a-1f", "wait_s": 20}`, or `{}` for the queue's own strategy at once.
pub async fn decide(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    body: Result<Json<Decision>, JsonRejection>,
) -> Answer {
    let call = call_id(&id)?;
    let Json(Decision { agent, wait_s }) = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let to = match agent {
        Some(agent) => Some((agent_id(&agent)?, wait(wait_s)?)),
        None if wait_s.is_none() => None,
        None => return Err(bad_request("'wait_s' goes with 'agent'")),
    };
    let view = shared.view.place(call, None, Placement::Answer(to)).await?;
    answer(&shared, view.as_ref())
}

fn wait(seconds: Option<u64>) -> Result<Span, Problem> {
    let seconds = seconds.unwrap_or(WAIT_S);
    if (1..=WAIT_S_MAX).contains(&seconds) {
        return Ok(Span::from_s(seconds));
    }
    Err(bad_request(format!("wait_s is a number of seconds from 1 to {WAIT_S_MAX}")))
}

fn queue_id(text: &str) -> Result<QueueId, Problem> {
    text.parse().map_err(|_| bad_request("a queue's id looks like 'q-1f'"))
}

fn answer(shared: &Shared, view: Option<&offhook_call::view::CallView>) -> Answer {
    // It may have ended in this very moment.
    let view = view.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such call"))?;
    Ok(Json(Now { at: rfc3339(shared.view.now()), call: Call::from(view) }))
}
