//! The wire shapes of API version 1. Each is made by taking the core type apart in full, so that a new field there forces a
//! decision here. Ids are strings, instants RFC 3339 in UTC, lengths of time whole milliseconds.

mod queue;
mod record;
mod recorded;
mod sound;
mod wrap_up;

use offhook_call::view::{AgentView, CallView, GuestView, RegistrationView, TargetView, TrunkCounts, TrunkView};
use offhook_units::{CallId, Tick};
use schemars::JsonSchema;
use serde::Serialize;

pub use self::queue::{Callback, Hours, Queue};
pub use self::record::{ENDS, Named, Person, Record, end_name};
pub use self::recorded::RecordedNow;
use self::sound::{Level, Sound, Sounding};
pub use self::wrap_up::WrapUpDto;
use crate::time::rfc3339;
use crate::view::{self, BanView, LadderMessage};

/// An agent now.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Agent {
    /// Which agent.
    id: String,
    /// The name.
    name: String,
    /// `logged-out`, `available`, `offered`, `busy`, `wrap-up` or `not-ready`.
    #[schemars(extend("enum" = ["logged-out", "available", "offered", "busy", "wrap-up", "not-ready"]))]
    state: &'static str,
    /// Since when.
    #[schemars(extend("format" = "date-time"))]
    since: String,
    /// Why not ready.
    reason: Option<String>,
    /// The call that rings or talks.
    call: Option<String>,
    /// Names of the queues.
    queues: Vec<String>,
    /// Where the phone is now, if anywhere.
    contact: Option<String>,
    /// The phone is registered, and answers no more behind its translator: calls pass it over.
    unreachable: bool,
    /// Names of the queues whose calls it may supervise; `*` for every call.
    supervises: Vec<String>,
    /// How calls sounded at the phone since the start.
    speech: Sound,
    /// How loud the agent spoke in them.
    level: Level,
}

impl From<&AgentView> for Agent {
    fn from(view: &AgentView) -> Self {
        let AgentView { id, name, state, since, reason, call, queues, contact, unreachable, supervises, speech, level } =
            view;
        Self {
            id: id.to_string(),
            name: name.clone(),
            state,
            since: rfc3339(*since),
            reason: reason.clone(),
            call: call.map(|id| id.to_string()),
            queues: queues.clone(),
            contact: contact.clone(),
            unreachable: *unreachable,
            supervises: supervises.clone(),
            speech: Sound::from(speech),
            level: Level::from(level),
        }
    }
}

/// A call now.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Call {
    /// Which call.
    id: String,
    /// `greeting`, `waiting`, `ringing`, `talking`, `held`, `transferring`, `calling-back`, `announcing`, `recording` (a call of others) or `ending`.
    #[schemars(extend("enum" = ["greeting", "waiting", "ringing", "talking", "held", "transferring", "calling-back", "announcing", "recording", "ending"]))]
    state: &'static str,
    /// Since when.
    #[schemars(extend("format" = "date-time"))]
    since: String,
    /// When the INVITE came.
    #[schemars(extend("format" = "date-time"))]
    started: String,
    /// The number dialled.
    number: String,
    /// The caller's number or name as presented.
    caller: String,
    /// Which trunk.
    trunk: Option<String>,
    /// Name of the queue, once entered.
    queue: Option<String>,
    /// Place in the queue, 1 for the next one, while waiting.
    position: Option<u32>,
    /// Until when a program is asked whom it should go to.
    #[schemars(extend("format" = "date-time"))]
    asked_until: Option<String>,
    /// Name of the agent who rings or talks.
    agent: Option<String>,
    /// Its recording.
    recording: Option<String>,
    /// Whether anything is taken in.
    recorded: RecordedNow,
    /// How the caller sounds to us, and we to the caller.
    caller_sounds: Sounding,
    /// How the agent sounds to us, and we to the agent, where there is one.
    agent_sounds: Option<Sounding>,
    /// Who takes part beside the two.
    guests: Vec<Guest>,
    /// `caller`, `agent` or `both`: who sends nothing, though all talk.
    #[schemars(extend("enum" = ["caller", "agent", "both", null]))]
    unheard: Option<&'static str>,
    /// `caller` or `agent`: who has sent nothing but silence for a while, though the other speaks.
    #[schemars(extend("enum" = ["caller", "agent", null]))]
    quiet: Option<&'static str>,
}

/// A supervisor or a third party in a call.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Guest {
    /// Which, by the leg.
    id: String,
    /// Name of the agent whose phone it is; else the number.
    name: String,
    /// What it does.
    #[schemars(extend("enum" = ["listen", "whisper", "barge", "party"]))]
    part: &'static str,
    /// Since when it is there; none while the phone rings.
    #[schemars(extend("format" = "date-time"))]
    joined: Option<String>,
}

impl From<&GuestView> for Guest {
    fn from(GuestView { id, name, part, joined }: &GuestView) -> Self {
        Self { id: id.to_string(), name: name.clone(), part: part.name(), joined: joined.map(rfc3339) }
    }
}

/// Who takes part in a call now; nobody any more where it is over.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Guests {
    #[schemars(extend("format" = "date-time"))]
    at: String,
    guests: Vec<Guest>,
}

impl Guests {
    /// As of `at`.
    pub fn new(at: String, call: Option<&CallView>) -> Self {
        Self { at, guests: call.into_iter().flat_map(|call| &call.guests).map(Guest::from).collect() }
    }
}

impl From<&CallView> for Call {
    fn from(view: &CallView) -> Self {
        let CallView {
            id,
            state,
            since,
            started,
            number,
            caller,
            trunk,
            queue,
            position,
            asked_until,
            agent,
            recording,
            recorded,
            caller_sounds,
            agent_sounds,
            guests,
            unheard,
            quiet,
        } = view;
        Self {
            id: id.to_string(),
            state,
            since: rfc3339(*since),
            started: rfc3339(*started),
            number: number.clone(),
            caller: caller.clone(),
            trunk: trunk.clone(),
            queue: queue.clone(),
            position: *position,
            asked_until: asked_until.map(rfc3339),
            agent: agent.clone(),
            recording: recording.map(|id| id.to_string()),
            recorded: RecordedNow::from(*recorded),
            caller_sounds: Sounding::from(*caller_sounds),
            agent_sounds: agent_sounds.map(Sounding::from),
            guests: guests.iter().map(Guest::from).collect(),
            unheard: *unheard,
            quiet: *quiet,
        }
    }
}

/// A source of SIP that is banned.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Ban {
    /// Its address; of IPv6 the first one of its /64.
    source: String,
    /// What for.
    offence: &'static str,
    /// How much longer, in seconds.
    seconds_left: u64,
    /// How many bans in a row this one makes.
    times: u32,
}

impl From<&BanView> for Ban {
    fn from(view: &BanView) -> Self {
        let BanView { source, offence, left, times } = view;
        Self { source: source.to_string(), offence, seconds_left: left.as_s(), times: *times }
    }
}

/// A trunk now.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Trunk {
    /// Its name.
    name: String,
    /// Calls that it has a part in, both directions.
    calls: u32,
    /// How many it may have, where that is said.
    calls_max: Option<u32>,
    /// Our registration with it, where it wants one.
    registration: Option<Registration>,
    /// Where calls to it go, in the order in which they are tried.
    targets: Vec<Target>,
    /// Its calls since the start.
    since_start: Counts,
    /// How its calls sounded.
    speech: Sound,
    /// How loud those at its far ends spoke.
    level: Level,
}

/// Our registration with a trunk.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "TrunkRegistration")]
struct Registration {
    /// `trying`, `registered`, `expired`, `failed` or `left`.
    #[schemars(extend("enum" = ["trying", "registered", "expired", "failed", "left"]))]
    state: &'static str,
    /// How long it holds, where it does; or held.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
    /// The status of a refusal; none where nobody answered.
    status: Option<u16>,
}

/// Where calls to a trunk go.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "TrunkTarget")]
struct Target {
    /// Transport and address, such as `udp:192.0.2.1:5060`.
    address: String,
    /// Whether it answers; true where it was never asked.
    up: bool,
    /// When it answered OPTIONS last.
    #[schemars(extend("format" = "date-time"))]
    answered: Option<String>,
    /// With which status.
    status: Option<u16>,
}

/// Calls of a trunk since the start.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "TrunkCounts")]
struct Counts {
    /// Calls from it that were taken on.
    incoming: u64,
    /// Calls from it that its limits refused, with 503.
    incoming_refused: u64,
    /// INVITEs sent to it.
    outgoing: u64,
    /// Of these, answered.
    outgoing_answered: u64,
    /// Of these, answered 5xx or 408, or not at all.
    outgoing_failed: u64,
    /// Calls that its limits sent to the next trunk.
    outgoing_refused: u64,
}

impl From<&TrunkView> for Trunk {
    fn from(view: &TrunkView) -> Self {
        let TrunkView { name, calls, calls_max, registration, targets, counts, speech, level } = view;
        let TrunkCounts { incoming, incoming_refused, outgoing, outgoing_answered, outgoing_failed, outgoing_refused } =
            *counts;
        let registration = registration.as_ref().map(|RegistrationView { state, until, status }| Registration {
            state,
            until: until.map(rfc3339),
            status: *status,
        });
        let targets = targets.iter().map(|TargetView { address, up, answered, status }| Target {
            address: address.clone(),
            up: *up,
            answered: answered.map(rfc3339),
            status: *status,
        });
        Self {
            name: name.clone(),
            calls: *calls,
            calls_max: *calls_max,
            registration,
            targets: targets.collect(),
            speech: Sound::from(speech),
            level: Level::from(level),
            since_start: Counts {
                incoming,
                incoming_refused,
                outgoing,
                outgoing_answered,
                outgoing_failed,
                outgoing_refused,
            },
        }
    }
}

/// The SIP messages of a call.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Ladder {
    call: String,
    /// Who is at the other end of each leg.
    legs: Vec<String>,
    /// Older messages are not kept any more, or there are too many.
    cut: bool,
    messages: Vec<Message>,
}

/// One SIP message.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "LadderMessage")]
struct Message {
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// After the first message.
    after_us: u64,
    #[schemars(extend("enum" = ["in", "out"]))]
    direction: &'static str,
    transport: &'static str,
    from: String,
    to: String,
    /// Its place in `legs`.
    leg: usize,
    first_line: String,
    text: String,
}

impl Ladder {
    /// The ladder of `call`.
    pub fn of(call: CallId, ladder: &view::Ladder) -> Self {
        let view::Ladder { legs, messages, cut } = ladder;
        let begin = messages.first().map_or(Tick::ZERO, |message| message.at);
        let message = |message: &LadderMessage| {
            let LadderMessage { at, transport, local, peer, sent, leg, bytes } = message;
            let (from, to) = if *sent { (local, peer) } else { (peer, local) };
            let text = String::from_utf8_lossy(bytes).into_owned();
            Message {
                at: rfc3339(*at),
                after_us: at.since(begin).as_us(),
                direction: if *sent { "out" } else { "in" },
                transport,
                from: from.to_string(),
                to: to.to_string(),
                leg: *leg,
                first_line: text.lines().next().unwrap_or_default().to_owned(),
                text,
            }
        };
        let messages = messages.iter().map(message).collect();
        Self { call: call.to_string(), legs: legs.clone(), cut: *cut, messages }
    }
}
