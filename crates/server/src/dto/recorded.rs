//! What becomes of a call's speech, and the pauses of its recording.

use offhook_call::record::Pause;
use offhook_call::recording::PausedBy;
use offhook_call::view::Recorded;
use schemars::JsonSchema;
use serde::Serialize;

use crate::time::rfc3339;

/// Who paused a recording, or ended a pause.
#[derive(Debug, JsonSchema, Serialize)]
struct By {
    /// `agent`, `program`, `keys`, `limit` or `rule`.
    #[schemars(extend("enum" = ["agent", "program", "keys", "limit", "rule"]))]
    who: &'static str,
    agent: Option<String>,
}

impl From<PausedBy> for By {
    fn from(by: PausedBy) -> Self {
        let agent = if let PausedBy::Agent(agent) = by { Some(agent.to_string()) } else { None };
        Self { who: by.name(), agent }
    }
}

/// What becomes of a call's speech now.
#[derive(Debug, JsonSchema, Serialize)]
pub struct RecordedNow {
    /// `off`, `on-demand`, `recording`, `pausing` or `paused`.
    #[schemars(extend("enum" = ["off", "on-demand", "recording", "pausing", "paused"]))]
    state: &'static str,
    paused: Option<PausedNow>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct PausedNow {
    #[schemars(extend("format" = "date-time"))]
    since: String,
    by: By,
    /// When the recording goes on at the latest; absent while the rules do not let the call be recorded.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
}

impl From<Recorded> for RecordedNow {
    fn from(recorded: Recorded) -> Self {
        let paused = match recorded {
            Recorded::No | Recorded::OnDemand | Recorded::Yes | Recorded::Pausing => None,
            Recorded::Paused { since, by, until } => {
                Some(PausedNow { since: rfc3339(since), by: by.into(), until: until.map(rfc3339) })
            }
        };
        Self { state: recorded.name(), paused }
    }
}

/// A pause that is over.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Paused {
    /// It was in force.
    #[schemars(extend("format" = "date-time"))]
    from: String,
    /// The recording went on, or the call ended.
    #[schemars(extend("format" = "date-time"))]
    until: String,
    /// Who paused it.
    by: By,
    /// Absent where the call ended with it.
    ended_by: Option<By>,
}

impl From<&Pause> for Paused {
    fn from(Pause { from, until, by, ended_by }: &Pause) -> Self {
        Self { from: rfc3339(*from), until: rfc3339(*until), by: (*by).into(), ended_by: ended_by.map(By::from) }
    }
}
