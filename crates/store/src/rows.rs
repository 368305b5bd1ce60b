//! Rows of the tables beside the log.

use offhook_units::{AgentId, CallId, QueueId, RecordingId, Span, Tick};
use serde::{Deserialize, Serialize};

/// One ended call: the columns that are searched, and the whole record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRow {
    /// Which call.
    pub id: CallId,
    /// When its INVITE came.
    pub started: Tick,
    /// When it ended.
    pub ended: Tick,
    /// The number dialled (ours: no personal data).
    pub number: String,
    /// The last queue it waited in.
    pub queue: Option<QueueId>,
    /// Who answered it.
    pub agent: Option<AgentId>,
    /// How it ended, in the record's own word.
    pub end: String,
    /// The whole record as JSON.
    pub json: String,
}

/// Which calls are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// At most this many rows, newest first; at most [`CallFilter::LIMIT_MAX`] are given.
    pub limit: u32,
    /// Only calls that started before this one: the last id of the page before.
    pub before: Option<CallId>,
    /// Only calls of this queue.
    pub queue: Option<QueueId>,
    /// Only calls answered by this agent.
    pub agent: Option<AgentId>,
}

impl CallFilter {
    /// Most rows of one page.
    pub const LIMIT_MAX: u32 = 1_000;
}

/// One registration: opaque to the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingRow {
    /// Its key: account and contact, as the registrar composes them.
    pub key: String,
    /// The binding as JSON.
    pub json: String,
    /// When it ends.
    pub expires: Tick,
}

/// One closed recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingRow {
    /// Which recording.
    pub id: RecordingId,
    /// Of which call, where that is known.
    pub call: Option<CallId>,
    /// Where its time line starts.
    pub started: Tick,
    /// How long it lasts, to the millisecond.
    pub duration: Span,
    /// Its file, relative to the recordings' folder.
    pub path: String,
    /// SHA-256 of its manifest line.
    pub line: [u8; 32],
    /// Why it may not be erased, where it may not.
    pub hold: Option<String>,
    /// When it was erased, and why.
    pub erased: Option<(Tick, String)>,
}

/// Which recordings are asked for. What is said of a call holds for recordings whose call is known and has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordingFilter {
    /// At most this many rows, newest first; at most [`RecordingFilter::LIMIT_MAX`] are given.
    pub limit: u32,
    /// Only recordings that began before this one: the last id of the page before.
    pub before: Option<RecordingId>,
    /// Only recordings that began at this instant or later.
    pub from: Option<Tick>,
    /// Only recordings that began before this instant.
    pub until: Option<Tick>,
    /// Only of calls to this number.
    pub number: Option<String>,
    /// Only of calls that were last in this queue.
    pub queue: Option<QueueId>,
    /// Only of calls that this agent answered.
    pub agent: Option<AgentId>,
}

impl RecordingFilter {
    /// Most rows of one page.
    pub const LIMIT_MAX: u32 = 1_000;
}

/// One entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// When.
    pub at: Tick,
    /// Who: as far as the edge that was used knows.
    pub who: String,
    /// What was done: `play`, `export`, `hold`, `release`, `erase`.
    pub action: String,
    /// To what: the id as people write it.
    pub subject: String,
    /// What else is to be known; no personal data.
    pub detail: String,
}
