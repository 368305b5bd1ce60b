//! What the exchange looks like now, for pages and programs: made on request, never kept.

use offhook_units::{AgentId, CallId, QueueId, RecordingId, Span, Tick};

/// A queue now, with its figures since midnight UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueView {
    /// Which queue.
    pub id: QueueId,
    /// Its name.
    pub name: String,
    /// Contacts waiting, those whose offer is open included.
    pub waiting: u32,
    /// How long the one at the head has waited.
    pub longest_wait: Span,
    /// Agents logged in, whatever their state.
    pub agents_logged_in: u32,
    /// Of these, available now.
    pub agents_available: u32,
    /// Contacts being served.
    pub talking: u32,
    /// Visits that began.
    pub offered: u64,
    /// Visits that ended answered.
    pub answered: u64,
    /// Visits that ended abandoned.
    pub abandoned: u64,
    /// Visits that ended flowed out.
    pub flowed_out: u64,
    /// Service level in hundredths of a percent by the queue's formula, where it is defined.
    pub service_level: Option<u32>,
    /// The formula's name.
    pub service_level_formula: &'static str,
    /// Mean wait of the answered.
    pub asa: Option<Span>,
}

/// An agent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentView {
    /// Which agent.
    pub id: AgentId,
    /// The name.
    pub name: String,
    /// `logged-out`, `available`, `offered`, `busy`, `wrap-up` or `not-ready`.
    pub state: &'static str,
    /// Since when.
    pub since: Tick,
    /// Why not ready.
    pub reason: Option<String>,
    /// The call that rings or talks.
    pub call: Option<CallId>,
    /// Names of the queues.
    pub queues: Vec<String>,
    /// Where the phone is now, if anywhere.
    pub contact: Option<String>,
}

/// A call now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallView {
    /// Which call.
    pub id: CallId,
    /// `greeting`, `waiting`, `ringing`, `talking`, `held`, `announcing` or `ending`.
    pub state: &'static str,
    /// Since when.
    pub since: Tick,
    /// When the INVITE came.
    pub started: Tick,
    /// The number dialled.
    pub number: String,
    /// The caller's number or name as presented.
    pub caller: String,
    /// Which trunk.
    pub trunk: Option<String>,
    /// Name of the queue, once entered.
    pub queue: Option<String>,
    /// Place in the queue, 1 for the next one, while waiting.
    pub position: Option<u32>,
    /// Name of the agent who rings or talks.
    pub agent: Option<String>,
    /// Its recording.
    pub recording: Option<RecordingId>,
}
