//! What receivers are told: the messages, and where they come from.

use std::sync::Arc;

use offhook_call::alarm::AlarmEvent;
use offhook_call::record::CallEnd;
use offhook_units::{AgentId, CallId, ContactId, PersonRef, QueueId, Tick};
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde::Serialize;

use crate::alarms::AlarmChanged;
use crate::dto::{self, Named, Person};
use crate::time::rfc3339;
use crate::view::{Answer, RecordEntry, Unavailable};

/// The event log, as far as it is told.
pub trait EventLog {
    /// The position of the next event to come.
    fn log_end(&self) -> u64;
    /// What happened from this position on, of these kinds, oldest first: some of it, where there is much.
    fn happened(&self, from: u64, wanted: Arc<[WebhookEvent]>) -> Answer<'_, Result<Happened, Unavailable>>;
    /// The record of a call that is over; none where it is not there yet, which nobody is hurried for.
    fn ended(&self, call: CallId) -> Answer<'_, Result<Option<RecordEntry>, Unavailable>>;
}

/// A stretch of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Happened {
    /// What is told of it.
    pub events: Vec<Occurred>,
    /// Where the next stretch begins.
    pub next: u64,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurred {
    /// Its position.
    pub seq: u64,
    /// When.
    pub at: Tick,
    /// What.
    pub what: What,
}

/// An id, and the name it has.
pub type IdAndName<T> = (T, Option<String>);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A call for a number of ours was taken on.
    CallBegan {
        /// Which.
        call: CallId,
        /// The number dialled.
        number: String,
        /// Which trunk it came from.
        trunk: Option<String>,
        /// Who called, and the number or name unless it was forgotten.
        caller: (PersonRef, Option<String>),
    },
    /// The caller entered a queue.
    CallQueued {
        /// Which call.
        call: CallId,
        /// Which queue.
        queue: IdAndName<QueueId>,
    },
    /// Somebody answered: both hear each other.
    CallConnected {
        /// Which call.
        call: CallId,
        /// Who, where it is an agent.
        agent: Option<IdAndName<AgentId>>,
    },
    /// A call is over.
    CallEnded {
        /// Which.
        call: CallId,
        /// How.
        end: CallEnd,
    },
    /// A waiting caller asked to be called back.
    CallbackAsked {
        /// The callback.
        callback: ContactId,
        /// In this call.
        call: CallId,
        /// From this queue.
        queue: IdAndName<QueueId>,
        /// Nobody is called after this.
        until: Tick,
    },
    /// A callback is over.
    CallbackEnded {
        /// Which.
        callback: ContactId,
        /// How.
        how: &'static str,
    },
    /// An agent logged in.
    AgentLoggedIn {
        /// Who.
        agent: IdAndName<AgentId>,
    },
    /// An agent logged out.
    AgentLoggedOut {
        /// Who.
        agent: IdAndName<AgentId>,
    },
    /// An alarm was raised, or is over.
    Alarm(AlarmEvent),
}

/// Kinds of messages, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WebhookEvent {
    /// `call.began`.
    CallBegan,
    /// `call.queued`.
    CallQueued,
    /// `call.connected`.
    CallConnected,
    /// `call.ended`.
    CallEnded,
    /// `callback.asked`.
    CallbackAsked,
    /// `callback.ended`.
    CallbackEnded,
    /// `agent.logged-in`.
    AgentLoggedIn,
    /// `agent.logged-out`.
    AgentLoggedOut,
    /// `alarm.raised`.
    AlarmRaised,
    /// `alarm.cleared`.
    AlarmCleared,
}

impl WebhookEvent {
    /// Each with its name, which is the `type` of its messages.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::CallBegan, "call.began"),
        (Self::CallQueued, "call.queued"),
        (Self::CallConnected, "call.connected"),
        (Self::CallEnded, "call.ended"),
        (Self::CallbackAsked, "callback.asked"),
        (Self::CallbackEnded, "callback.ended"),
        (Self::AgentLoggedIn, "agent.logged-in"),
        (Self::AgentLoggedOut, "agent.logged-out"),
        (Self::AlarmRaised, "alarm.raised"),
        (Self::AlarmCleared, "alarm.cleared"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(event, _)| *event == self).map_or("", |(_, name)| name)
    }
}

impl What {
    /// Which kind of message tells it.
    pub const fn kind(&self) -> WebhookEvent {
        match self {
            Self::CallBegan { .. } => WebhookEvent::CallBegan,
            Self::CallQueued { .. } => WebhookEvent::CallQueued,
            Self::CallConnected { .. } => WebhookEvent::CallConnected,
            Self::CallEnded { .. } => WebhookEvent::CallEnded,
            Self::CallbackAsked { .. } => WebhookEvent::CallbackAsked,
            Self::CallbackEnded { .. } => WebhookEvent::CallbackEnded,
            Self::AgentLoggedIn { .. } => WebhookEvent::AgentLoggedIn,
            Self::AgentLoggedOut { .. } => WebhookEvent::AgentLoggedOut,
            Self::Alarm(AlarmEvent::Raised { .. }) => WebhookEvent::AlarmRaised,
            Self::Alarm(AlarmEvent::Cleared { .. }) => WebhookEvent::AlarmCleared,
        }
    }
}

/// A call for a number of ours was taken on.
#[derive(JsonSchema, Serialize)]
struct CallBegan {
    /// Which call.
    id: String,
    /// The number dialled.
    number: String,
    /// Which trunk it came from.
    trunk: Option<String>,
    /// Who called.
    caller: Person,
}

/// The caller entered a queue.
#[derive(JsonSchema, Serialize)]
struct CallQueued {
    /// Which call.
    id: String,
    /// Which queue.
    queue: Named,
}

/// Somebody answered: both hear each other.
#[derive(JsonSchema, Serialize)]
struct CallConnected {
    /// Which call.
    id: String,
    /// Who, where it is an agent.
    agent: Option<Named>,
}

/// A call is over.
#[derive(JsonSchema, Serialize)]
struct CallOver {
    /// Which call.
    id: String,
    /// How it ended.
    #[schemars(extend("enum" = dto::ENDS.map(dto::end_name)))]
    end: &'static str,
    /// Its record, as in `/api/v1/records`; what is known of the recording's file may come later than this. Null where there is none.
    record: Option<dto::Record>,
}

/// A waiting caller asked to be called back.
#[derive(JsonSchema, Serialize)]
struct CallbackAsked {
    /// The callback.
    id: String,
    /// In this call.
    call: String,
    /// From this queue.
    queue: Named,
    /// Nobody is called after this.
    #[schemars(extend("format" = "date-time"))]
    until: String,
}

/// A callback is over.
#[derive(JsonSchema, Serialize)]
struct CallbackOver {
    /// Which.
    id: String,
    /// How, such as `reached` or `given-up`.
    how: &'static str,
}

/// One message, as it is sent.
#[derive(Serialize)]
struct Message<T: Serialize> {
    r#type: &'static str,
    timestamp: String,
    data: T,
}

/// The body of the message of an event; `record` where a call is over.
pub fn body(event: &Occurred, record: Option<&RecordEntry>) -> String {
    let named = |id: String, name: &Option<String>| Named { id, name: name.clone() };
    match &event.what {
        What::CallBegan { call, number, trunk, caller: (person, text) } => {
            let caller = Person { person: person.to_string(), text: text.clone() };
            said(event, CallBegan { id: call.to_string(), number: number.clone(), trunk: trunk.clone(), caller })
        }
        What::CallQueued { call, queue: (queue, name) } => {
            said(event, CallQueued { id: call.to_string(), queue: named(queue.to_string(), name) })
        }
        What::CallConnected { call, agent } => {
            let agent = agent.as_ref().map(|(agent, name)| named(agent.to_string(), name));
            said(event, CallConnected { id: call.to_string(), agent })
        }
        What::CallEnded { call, end } => {
            let record = record.map(dto::Record::from);
            said(event, CallOver { id: call.to_string(), end: dto::end_name(*end), record })
        }
        What::CallbackAsked { callback, call, queue: (queue, name), until } => {
            let queue = named(queue.to_string(), name);
            let (id, call, until) = (callback.to_string(), call.to_string(), rfc3339(*until));
            said(event, CallbackAsked { id, call, queue, until })
        }
        What::CallbackEnded { callback, how } => said(event, CallbackOver { id: callback.to_string(), how }),
        What::Alarm(alarm) => said(event, AlarmChanged::from(alarm)),
        What::AgentLoggedIn { agent: (agent, name) } | What::AgentLoggedOut { agent: (agent, name) } => {
            said(event, named(agent.to_string(), name))
        }
    }
}

fn said<T: Serialize>(event: &Occurred, data: T) -> String {
    let message = Message { r#type: event.what.kind().name(), timestamp: rfc3339(event.at), data };
    // Strings, numbers and lists of them: it can be written.
    serde_json::to_string(&message).unwrap_or_default()
}

/// Makes the schema of the data of a kind of message.
pub fn schema_of(kind: WebhookEvent, schemas: &mut SchemaGenerator) -> Schema {
    match kind {
        WebhookEvent::CallBegan => schemas.subschema_for::<CallBegan>(),
        WebhookEvent::CallQueued => schemas.subschema_for::<CallQueued>(),
        WebhookEvent::CallConnected => schemas.subschema_for::<CallConnected>(),
        WebhookEvent::CallEnded => schemas.subschema_for::<CallOver>(),
        WebhookEvent::CallbackAsked => schemas.subschema_for::<CallbackAsked>(),
        WebhookEvent::CallbackEnded => schemas.subschema_for::<CallbackOver>(),
        WebhookEvent::AlarmRaised | WebhookEvent::AlarmCleared => schemas.subschema_for::<AlarmChanged>(),
        WebhookEvent::AgentLoggedIn | WebhookEvent::AgentLoggedOut => schemas.subschema_for::<Named>(),
    }
}
