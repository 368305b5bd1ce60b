//! What each route takes and gives.

use axum::http::Method;
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::Schemas;
use crate::idempotency::KEY_CHARS_MAX;
use crate::users::credentials;
use crate::{
    alarms, api, configuration, dto, events, feed, phone, placement, prompts, recording_control, recordings, reports,
    session, visitors,
};

/// Groups of operations, in the order in which they are shown.
pub const TAGS: [(&str, &str); 11] = [
    ("Floor", "Queues, agents and calls as they are now."),
    ("Events", "Everything that changes, as it changes."),
    ("Desk", "What an agent sees and does: offers, talks, wrap-up."),
    ("Callbacks", "Customers who are to be called back."),
    ("Records", "Calls that are over."),
    ("Recordings", "What was recorded, and who listened."),
    ("Signalling", "Trunks, SIP messages, sources that are banned."),
    ("Session", "Signing in and out."),
    ("Visitors", "Who calls from a page without an account."),
    ("Configuration", "What the exchange is told to be, as it is, was and would be."),
    ("Machine", "Health, metrics, this document."),
];

/// One operation of the API.
pub struct Operation {
    pub method: Method,
    pub path: &'static str,
    pub id: &'static str,
    pub tag: &'static str,
    pub summary: &'static str,
    pub notes: Option<&'static str>,
    pub parameters: Vec<Parameter>,
    pub body: Option<Value>,
    pub answers: Vec<Answer>,
    /// Errors beside those that each operation of its kind has.
    pub refusals: Vec<u16>,
}

/// An answer that is no error.
pub struct Answer {
    pub status: u16,
    pub meaning: &'static str,
    pub content: Option<(&'static str, Value)>,
    pub headers: Vec<(&'static str, &'static str)>,
}

/// A parameter of an operation.
pub struct Parameter {
    place: &'static str,
    name: String,
    meaning: String,
    schema: Value,
}

/// Ids as they are written: a prefix, and a number in hexadecimal.
fn id_schema(prefix: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^{prefix}(0|[1-9a-f][0-9a-f]{{0,15}})$") })
}

impl Parameter {
    /// The part of `path` that is called `name`.
    pub fn path(path: &str, name: &str) -> Self {
        let (schema, meaning) = match (path.split('/').nth(3).unwrap_or_default(), name) {
            (_, "guest") => (id_schema("l-"), "A guest's id."),
            (_, "source") => (
                json!({ "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] }),
                "The address of a source.",
            ),
            (_, "version") => (json!({ "type": "integer", "minimum": 1, "maximum": u64::MAX }), "A version's number."),
            ("prompts", _) => (
                json!({ "type": "string", "minLength": 1, "maxLength": prompts::PROMPT_NAME_CHARS_MAX, "pattern": r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(/[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*){0,2}$" }),
                "A prompt's name; `/` within is written `%2F`.",
            ),
            (_, "entrance") => (json!({ "type": "string", "minLength": 1 }), "The name of an entrance."),
            ("agents", _) => (id_schema("a-"), "An agent's id."),
            ("callbacks", _) => (id_schema("c-"), "A callback's id."),
            ("recordings", _) => (id_schema("r-"), "A recording's id."),
            _ => (id_schema("call-"), "A call's id."),
        };
        Self { place: "path", name: name.to_owned(), meaning: meaning.to_owned(), schema }
    }

    /// A field of a query, by its schema.
    pub fn query(name: String, mut schema: Value) -> Self {
        let meaning = schema["description"].as_str().unwrap_or_default().to_owned();
        if let Some(fields) = schema.as_object_mut() {
            fields.remove("description");
            // What is left out is not null.
            if let Some(Value::Array(types)) = fields.get("type") {
                let kind = types.iter().find(|kind| *kind != "null").cloned();
                fields.insert("type".to_owned(), kind.unwrap_or_default());
            }
        }
        Self { place: "query", name, meaning, schema }
    }

    /// What makes a command one that may be sent again.
    pub fn idempotency_key() -> Self {
        let meaning = "A key of the sender's choice for this one command: sent again within a day it is not done again, and answered as \
                       before (with `Idempotency-Replayed`); 422 for another command with the same key, 409 while it is being done.";
        // Blanks at its ends are no part of a header.
        let pattern = format!("^[!-~]([ -~]{{0,{}}}[!-~])?$", KEY_CHARS_MAX - 2);
        Self::header("Idempotency-Key", meaning, json!({ "type": "string", "pattern": pattern }))
    }

    fn header(name: &str, meaning: &str, schema: Value) -> Self {
        Self { place: "header", name: name.to_owned(), meaning: meaning.to_owned(), schema }
    }

    /// As the document has it.
    pub fn described(self) -> Value {
        let Self { place, name, meaning, schema } = self;
        json!({ "in": place, "name": name, "description": meaning, "required": place == "path", "schema": schema })
    }
}

impl Operation {
    pub fn new(method: Method, path: &'static str, id: &'static str, tag: &'static str, summary: &'static str) -> Self {
        // An id may be mistyped, and what it names may be gone.
        let refusals = if path.contains('{') { vec![400, 404] } else { Vec::new() };
        let (parameters, answers) = (Vec::new(), Vec::new());
        Self { method, path, id, tag, summary, notes: None, parameters, body: None, answers, refusals }
    }

    pub fn notes(self, notes: &'static str) -> Self {
        Self { notes: Some(notes), ..self }
    }

    pub fn query<T: JsonSchema>(mut self, schemas: &mut Schemas) -> Self {
        self.parameters.extend(schemas.query::<T>());
        self
    }

    pub fn header(mut self, name: &str, meaning: &str, schema: Value) -> Self {
        self.parameters.push(Parameter::header(name, meaning, schema));
        self
    }

    pub fn body<T: JsonSchema>(self, schemas: &mut Schemas) -> Self {
        Self { body: Some(schemas.body::<T>().to_value()), ..self }
    }

    pub fn gives<T: JsonSchema>(self, schemas: &mut Schemas, meaning: &'static str) -> Self {
        let schema = schemas.answer::<T>().to_value();
        self.gives_raw(200, "application/json", schema, meaning)
    }

    pub fn gives_raw(mut self, status: u16, kind: &'static str, schema: Value, meaning: &'static str) -> Self {
        self.answers.push(Answer { status, meaning, content: Some((kind, schema)), headers: Vec::new() });
        self
    }

    pub fn gives_nothing(mut self, status: u16, meaning: &'static str) -> Self {
        self.answers.push(Answer { status, meaning, content: None, headers: Vec::new() });
        self
    }

    /// The last answer carries this header.
    pub fn with_header(mut self, name: &'static str, meaning: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push((name, meaning));
        }
        self
    }

    pub fn refuses(mut self, statuses: &[u16]) -> Self {
        self.refusals.extend(statuses);
        self
    }
}

/// One event of a stream of server-sent events: what a reader of the stream has of it.
fn event(s: &mut Schemas) -> Value {
    let shapes: Vec<Value> = events::SHAPES.iter().map(|(_, shape)| shape(&mut s.answers).to_value()).collect();
    json!({
        "type": "object",
        "required": ["id", "event", "data"],
        "properties": {
            "id": { "type": "string", "pattern": "^[0-9]+$", "description": "Its number." },
            "event": { "type": "string", "enum": events::SHAPES.map(|(name, _)| name) },
            "data": {
                "type": "string",
                "description": "What it carries, and `at`, when it was.",
                "contentMediaType": "application/json",
                "contentSchema": { "anyOf": shapes },
            },
        },
    })
}

fn bytes() -> Value {
    json!({ "type": "string", "format": "binary" })
}

/// All operations.
pub fn all(s: &mut Schemas) -> Vec<Operation> {
    let mut all = floor(s);
    all.extend(super::desk::all(s));
    all.extend(past(s));
    all.extend(recorded(s));
    all.extend(signalling(s));
    all.extend(configured(s));
    all.extend(open(s));
    all
}

fn floor(s: &mut Schemas) -> Vec<Operation> {
    let op = Operation::new;
    vec![
        op(Method::GET, "/api/v1/queues", "listQueues", "Floor", "All queues").gives::<api::Queues>(s, "All queues."),
        op(Method::GET, "/api/v1/agents", "listAgents", "Floor", "All agents").gives::<api::Agents>(s, "All agents."),
        op(Method::GET, "/api/v1/alarms", "listAlarms", "Floor", "Alarms that are raised")
            .notes("Thresholds are `[[alarm]]` of the configuration. What happens to alarms is told by the event `alarm` and to webhooks.")
            .gives::<alarms::AlarmList>(s, "The alarms."),
        op(Method::POST, "/api/v1/agents/{id}/state", "setAgentState", "Floor", "Change an agent's state")
            .notes("One's own agent's; every agent's with the right `agent-states`. An agent who is logged out is logged in.")
            .body::<api::SetAgent>(s)
            .gives::<dto::Agent>(s, "The agent as it is now.")
            .refuses(&[409]),
        op(Method::GET, "/api/v1/calls", "listCalls", "Floor", "Calls that are up")
            .notes("One's own; every call with the right `calls`.")
            .gives::<api::Calls>(s, "The calls."),
        op(Method::POST, "/api/v1/calls/{id}/supervise", "supervise", "Floor", "Listen to a call, whisper, join in, take over, leave")
            .notes("In the name of an agent whose `supervises` has the call's queue, and whose phone is rung.")
            .body::<api::Supervise>(s)
            .gives::<dto::Guests>(s, "Who takes part now.")
            .refuses(&[409]),
        op(Method::POST, "/api/v1/calls/{id}/guests", "bringIn", "Floor", "Bring a colleague or a number into a call")
            .body::<api::BringIn>(s)
            .gives::<dto::Guests>(s, "Who takes part now.")
            .refuses(&[409]),
        op(Method::DELETE, "/api/v1/calls/{id}/guests/{guest}", "sendOff", "Floor", "Send a guest away")
            .gives::<dto::Guests>(s, "Who takes part now.")
            .refuses(&[409]),
        op(Method::POST, "/api/v1/calls/{id}/recording", "setRecording", "Floor", "Pause the recording of a call, or go on with it")
            .notes("`recording` begins one where calls are recorded on demand. Agents do so in their own calls. The state is `pausing` until the pause is in force, some milliseconds later.")
            .body::<recording_control::Wanted>(s)
            .gives::<recording_control::Now>(s, "What becomes of the call's speech now.")
            .refuses(&[409]),
        op(Method::GET, "/api/v1/calls/{id}/explanation", "explainCall", "Floor", "Why a call waits: how every member of its queue stands to it now")
            .gives::<placement::Explanation>(s, "Who would be asked next, and why not the others.")
            .refuses(&[409]),
        op(Method::POST, "/api/v1/calls/{id}/placement", "placeCall", "Floor", "Give a waiting call to an agent, or move it to another queue")
            .notes("To an agent: whoever is rung for it is left alone, its place stays, and after that time anybody may take it. To a queue: a new visit, at the place that its whole wait gives it; refused where that queue lets nobody in.")
            .body::<placement::Wanted>(s)
            .gives::<placement::Now>(s, "The call as it is now.")
            .refuses(&[409]),
        op(Method::POST, "/api/v1/calls/{id}/decision", "decideCall", "Floor", "Say whom a call goes to about which a queue asks")
            .notes("Where a queue has `external_decision`: a call with `asked_until` waits for this answer until then. 409 where it comes too late; then the queue's strategy has decided.")
            .body::<placement::Decision>(s)
            .gives::<placement::Now>(s, "The call as it is now.")
            .refuses(&[409]),
        op(Method::GET, "/api/v1/calendars", "listCalendars", "Floor", "Opening hours").gives::<api::Calendars>(s, "All calendars, as they are now."),
        op(Method::GET, "/api/v1/callbacks", "listCallbacks", "Callbacks", "Callbacks that are open")
            .query::<api::CallbacksQuery>(s)
            .gives::<api::CallbacksPage>(s, "A page of callbacks, oldest first.")
            .with_header("Link", "The next page (`rel=\"next\"`), where there is one."),
        op(Method::DELETE, "/api/v1/callbacks/{id}", "withdrawCallback", "Callbacks", "Take a callback back")
            .gives_nothing(204, "It is over.")
            .refuses(&[409]),
        op(Method::GET, "/api/v1/events", "events", "Events", "Live events, as server-sent events")
            .notes("Each event has a number, which rises by one with each event, also across restarts of the exchange. `queue`, `agent`, `trunk` and `call` carry the thing as it is now, in the shape that its list has; `call-ended` `{id, end}`, `record` `{id}`, `alarm` what was raised or is over; `reset` says that events are missing before it: fetch anew what you show. Events that are not yours to see are left out.")
            .query::<feed::EventsQuery>(s)
            .header("Last-Event-ID", "As `after`, and before it: what a browser sends that comes back.", json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX }))
            .gives_raw(200, "text/event-stream", event(s), "The events, each in this shape, until either side ends."),
        op(Method::GET, "/api/v1/events/ws", "eventsOverWebSocket", "Events", "Live events, over WebSocket (RFC 6455)")
            .notes("Each message is an event, `{\"id\": 17, \"event\": \"call\", \"data\": {...}}`, with the numbers and the shapes of `/api/v1/events`. The listener says nothing and answers pings. One that does not keep up is closed with 1013 and comes back with `after`. Browsers open it from a page of this exchange only.")
            .query::<feed::EventsQuery>(s)
            .gives_nothing(101, "Events follow.")
            .refuses(&[426]),
    ]
}

fn configured(s: &mut Schemas) -> Vec<Operation> {
    let op = Operation::new;
    vec![
        op(Method::GET, "/api/v1/config", "getConfig", "Configuration", "The configuration in force")
            .notes("Secrets are not in it: `(kept VERSION.NUMBER)` stands in their place, and means the same secret in a text that is sent.")
            .gives::<configuration::Configuration>(s, "The configuration.")
            .with_header("ETag", "Its version, for `If-Match`."),
        op(Method::PUT, "/api/v1/config", "putConfig", "Configuration", "Take a configuration in")
            .notes("It is written into the file and is in force at once; no call ends for it. 412 where another version is in force by now, 409 where the file was changed by hand, 422 with `faults` (each with `line`, `column`, `message`, `advice`) where it has some: then nothing has changed.")
            .header("If-Match", "The version that it replaces, such as `\"7\"`.", json!({ "type": "string", "pattern": "^\"[1-9][0-9]{0,18}\"$" }))
            .body::<configuration::Put>(s)
            .gives::<configuration::ConfigTaken>(s, "What is in force now.")
            .with_header("ETag", "Its version.")
            .refuses(&[409, 412, 428, 500]),
        op(Method::POST, "/api/v1/config/draft", "draftConfig", "Configuration", "What a configuration would do")
            .notes("Checks it as the file is checked, and compares it with what is in force; nothing changes. `edit` changes one table of the text first.")
            .body::<configuration::Draft>(s)
            .gives::<configuration::Drafted>(s, "The text, and what is said of it."),
        op(Method::POST, "/api/v1/config/credentials", "makeCredential", "Configuration", "Make a password, a token, or the secret of an authenticator")
            .notes("It is shown in this answer alone, with what the configuration holds of it; nothing is in force before a configuration with that is.")
            .body::<credentials::Wanted>(s)
            .gives::<credentials::Credential>(s, "The secret."),
        op(Method::POST, "/api/v1/config/reload", "reloadConfig", "Configuration", "Take the file in as it is")
            .notes("As `offhook reload` and SIGHUP do: for a file that was changed by hand.")
            .gives::<configuration::ConfigTaken>(s, "What is in force now.")
            .with_header("ETag", "Its version.")
            .refuses(&[409, 412, 422, 500]),
        op(Method::GET, "/api/v1/config/versions", "listConfigVersions", "Configuration", "Configurations that were in force, the newest first")
            .gives::<configuration::Versions>(s, "The versions that are kept."),
        op(Method::GET, "/api/v1/config/versions/{version}", "getConfigVersion", "Configuration", "The text of a version")
            .gives::<configuration::Text>(s, "The text, without its secrets."),
        op(Method::GET, "/api/v1/prompts", "listPrompts", "Configuration", "Prompts that a configuration may name")
            .gives::<prompts::PromptList>(s, "The prompts, by name."),
        op(Method::GET, "/api/v1/prompts/{name}", "getPrompt", "Configuration", "A prompt's sound file")
            .gives_raw(200, "audio/wav", json!({ "type": "string", "contentMediaType": "audio/wav" }), "The file."),
        op(Method::PUT, "/api/v1/prompts/{name}", "putPrompt", "Configuration", "Keep a prompt, recorded or spoken by the machine's engine")
            .notes("It lies in the last folder of `[prompts]`, and is heard from the next time that a configuration is taken in. 409 where a folder before has one of that name, or no engine is installed; 422 where it cannot be played.")
            .body::<prompts::Put>(s)
            .gives::<prompts::Prompt>(s, "The prompt.")
            .refuses(&[409, 500]),
        op(Method::DELETE, "/api/v1/prompts/{name}", "deletePrompt", "Configuration", "Take a prompt away that nothing plays")
            .notes("409 where the configuration in force plays it, and says on which lines; and where it is not of the exchange's own keeping.")
            .gives_nothing(204, "It is gone.")
            .refuses(&[409, 500]),
    ]
}

fn past(s: &mut Schemas) -> Vec<Operation> {
    let op = Operation::new;
    vec![
        op(Method::GET, "/api/v1/records", "listRecords", "Records", "Call records, newest first")
            .query::<api::RecordsQuery>(s)
            .gives::<api::RecordsPage>(s, "A page of records.")
            .with_header("Link", "The next page (`rel=\"next\"`), where there is one."),
        op(
            Method::GET,
            "/api/v1/reports/queues",
            "reportQueues",
            "Records",
            "Figures of queues by interval, day or month",
        )
        .notes("Recomputed from the event log. A visit counts in the interval in which it began.")
        .query::<reports::Wanted>(s)
        .gives::<reports::ReportAnswer<reports::QueueRow>>(s, "The report; as a table (RFC 4180) without the formulas.")
        .gives_raw(200, "text/csv", json!({ "type": "string" }), "The report.")
        .refuses(&[404]),
        op(
            Method::GET,
            "/api/v1/reports/agents",
            "reportAgents",
            "Records",
            "Figures of agents by interval, day or month",
        )
        .query::<reports::Wanted>(s)
        .gives::<reports::ReportAnswer<reports::AgentRow>>(s, "The report; as a table (RFC 4180) without the formulas.")
        .gives_raw(200, "text/csv", json!({ "type": "string" }), "The report.")
        .refuses(&[404]),
        op(
            Method::GET,
            "/api/v1/reports/numbers",
            "reportNumbers",
            "Records",
            "Figures of dialled numbers by interval, day or month",
        )
        .query::<reports::Wanted>(s)
        .gives::<reports::ReportAnswer<reports::NumberRow>>(
            s,
            "The report; as a table (RFC 4180) without the formulas.",
        )
        .gives_raw(200, "text/csv", json!({ "type": "string" }), "The report.")
        .refuses(&[404]),
        op(Method::GET, "/api/v1/records/{id}", "getRecord", "Records", "One call record")
            .gives::<dto::Record>(s, "The record."),
        op(
            Method::GET,
            "/api/v1/audit",
            "listAudit",
            "Recordings",
            "The newest entries of the audit log, oldest first",
        )
        .query::<recordings::AuditQuery>(s)
        .gives::<recordings::Audit>(s, "The entries.")
        .with_header("Link", "The next page (`rel=\"next\"`), where there is one."),
    ]
}

fn recorded(s: &mut Schemas) -> Vec<Operation> {
    let op = Operation::new;
    let range = "One range of bytes, such as `bytes=0-65535` (RFC 9110 section 14).";
    let range_schema = || json!({ "type": "string" });
    let sound = |operation: Operation| {
        operation
            .header("Range", range, range_schema())
            .gives_raw(
                200,
                "audio/wav",
                bytes(),
                "A WAV file of 16-bit samples: left the caller, right what the caller heard.",
            )
            .with_header("Accept-Ranges", "`bytes`.")
            .gives_raw(206, "audio/wav", bytes(), "The range of it.")
            .with_header("Content-Range", "Which range, and the length of the whole.")
            .refuses(&[410, 416, 500])
    };
    vec![
        op(
            Method::GET,
            "/api/v1/recordings",
            "listRecordings",
            "Recordings",
            "Recordings of calls that have ended, newest first",
        )
        .query::<recordings::ListQuery>(s)
        .gives::<recordings::List>(s, "A page of recordings.")
        .with_header("Link", "The next page (`rel=\"next\"`), where there is one."),
        op(
            Method::GET,
            "/api/v1/recordings/{id}",
            "getRecording",
            "Recordings",
            "One recording, and the account of its time line",
        )
        .gives::<recordings::One>(s, "The recording."),
        op(Method::GET, "/api/v1/recordings/{id}/peaks", "getPeaks", "Recordings", "How loud both sides are over time")
            .query::<recordings::PeaksQuery>(s)
            .gives::<recordings::Peaks>(s, "The peaks.")
            .refuses(&[410, 500]),
        op(
            Method::POST,
            "/api/v1/recordings/{id}/ticket",
            "getPlaybackTicket",
            "Recordings",
            "An address for a player that sends no token",
        )
        .gives::<recordings::Ticket>(s, "Good for this recording for an hour."),
        sound(
            op(Method::GET, "/api/v1/recordings/{id}/audio", "playRecording", "Recordings", "Listen to a recording")
                .notes("Each hearing is written into the audit log before a byte of it is sent.")
                .query::<recordings::TicketQuery>(s),
        ),
        sound(op(
            Method::GET,
            "/api/v1/recordings/{id}/export",
            "exportRecording",
            "Recordings",
            "Take a recording away as a file",
        ))
        .query::<recordings::ExportQuery>(s)
        .gives_raw(200, "audio/flac", bytes(), "All of it.")
        .gives_raw(200, "audio/ogg", bytes(), "All of it.")
        .with_header("Content-Disposition", "A name for the file."),
    ]
}

fn signalling(s: &mut Schemas) -> Vec<Operation> {
    let op = Operation::new;
    vec![
        op(Method::GET, "/api/v1/trunks", "listTrunks", "Signalling", "All trunks")
            .gives::<api::Trunks>(s, "All trunks."),
        op(Method::GET, "/api/v1/calls/{id}/ladder", "getLadder", "Signalling", "The SIP messages of a call")
            .notes("Of a call that is up or ended lately; secrets are masked.")
            .gives::<dto::Ladder>(s, "The messages in order."),
        op(
            Method::GET,
            "/api/v1/calls/{id}/pcap",
            "getPcap",
            "Signalling",
            "The SIP messages of a call as a capture file",
        )
        .gives_raw(200, "application/vnd.tcpdump.pcap", bytes(), "A file in libpcap's format."),
        op(Method::GET, "/api/v1/bans", "listBans", "Signalling", "Sources of SIP that are banned")
            .gives::<api::Bans>(s, "The bans, in the order of addresses."),
        op(Method::DELETE, "/api/v1/bans/{source}", "liftBan", "Signalling", "Lift a ban")
            .gives_nothing(204, "The ban is over."),
        op(Method::GET, "/metrics", "getMetrics", "Machine", "Metrics in the OpenMetrics text format").gives_raw(
            200,
            "application/openmetrics-text",
            json!({ "type": "string" }),
            "All metrics.",
        ),
    ]
}

/// What everybody may ask.
fn open(s: &mut Schemas) -> Vec<Operation> {
    let op = Operation::new;
    vec![
        op(Method::GET, "/api/v1/session", "getSession", "Session", "Who you are, and what you may do")
            .gives::<session::Whoami>(s, "Who asks; nobody where nobody is signed in."),
        op(Method::POST, "/api/v1/session", "signIn", "Session", "Sign in with name and password")
            .notes("A problem of the type `urn:offhook:code-wanted` asks for the code of an authenticator. Who signs in at a provider begins at `/sign-in/openid` in a browser instead.")
            .body::<session::SignIn>(s)
            .gives::<session::Whoami>(s, "Who is signed in.")
            .with_header("Set-Cookie", "The session.")
            .refuses(&[401, 403, 429, 503]),
        op(Method::DELETE, "/api/v1/session", "signOut", "Session", "Sign out")
            .gives_nothing(204, "Nobody is signed in (any more).")
            .gives::<session::SignedOut>(s, "The same, of somebody who had signed in at a provider, where a session goes on.")
            .refuses(&[403, 503]),
        op(Method::GET, "/api/v1/visitors/{entrance}", "getEntrance", "Visitors", "What the page of an entrance shows")
            .gives::<visitors::Shown>(s, "The entrance."),
        op(Method::POST, "/api/v1/visitors/{entrance}", "welcomeVisitor", "Visitors", "A ticket for one call")
            .notes("Given to a page of this exchange only.")
            .body::<visitors::Visit>(s)
            .gives::<visitors::Given>(s, "Credentials for one call.")
            .refuses(&[403, 429, 503]),
        op(Method::GET, "/phone/settings", "getPhoneSettings", "Machine", "Where the SIP of browsers is taken")
            .gives::<phone::Settings>(s, "The settings of the phone page."),
        op(Method::GET, "/healthz", "getHealth", "Machine", "Whether the exchange is well")
            .gives::<api::Healthy>(s, "All parts are well.")
            .gives_raw(503, "application/json", s.answer::<api::Healthy>().to_value(), "A part is not."),
        op(Method::GET, "/api/v1/openapi.json", "getOpenApi", "Machine", "This document").gives_raw(
            200,
            "application/json",
            json!({ "type": "object" }),
            "OpenAPI 3.1.",
        ),
    ]
}
