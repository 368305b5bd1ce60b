//! Rows of the tables beside the log.

use offhook_units::{AgentId, CallId, PersonRef, QueueId, RecordingId, Span, Tick};
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
    /// Only calls that an agent gave this code, or one below it: `Order` finds `Order/New`.
    pub code: Option<String>,
}

/// What an agent notes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrapUpRow {
    /// Of which call.
    pub call: CallId,
    /// Who.
    pub agent: AgentId,
    /// When.
    pub at: Tick,
    /// The queue that the call came from.
    pub queue: Option<QueueId>,
    /// The code.
    pub code: Option<String>,
    /// Whom the call was with: the note is sealed with that person's key.
    pub person: Option<PersonRef>,
    /// In words.
    pub note: Option<String>,
}

/// What was noted of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrapUpSeen {
    /// By whom.
    pub agent: AgentId,
    /// When.
    pub at: Tick,
    /// The code.
    pub code: Option<String>,
    /// In words; none where there are none, or they are forgotten.
    pub note: Option<String>,
}

/// How often a code was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeCount {
    /// After calls of this queue.
    pub queue: Option<QueueId>,
    /// Which.
    pub code: String,
    /// How often.
    pub times: u64,
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

/// One session of the HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// SHA-256 of its cookie.
    pub key: [u8; 32],
    /// The user's name.
    pub user: String,
    /// SHA-256 of what makes the user who they are.
    pub stamp: [u8; 32],
    /// They signed in at a provider.
    pub openid: bool,
    /// What its word made of them, as JSON.
    pub made: Option<String>,
    /// Since when.
    pub began: Tick,
    /// When it was used last, about.
    pub used: Tick,
}
