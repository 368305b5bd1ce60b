//! What the exchange looks like now, for pages and programs: made on request, never kept.

pub use offhook_acd::{Expected, ForecastFigures, QuantileFigures};
use offhook_plan::{Grade, LevelReport, PeerMetrics, SpeechReport};
use offhook_units::{AgentId, CallId, ContactId, LegId, QueueId, RecordingId, Span, Tick};

use crate::guests::Part;
use crate::recording::PausedBy;

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
    /// How long a caller would wait who came now, where that can be said.
    pub expected_wait: Option<Expected>,
    /// What was said of waits since midnight UTC, and what became of it.
    pub forecasts: ForecastFigures,
    /// Whether it lends agents to other queues now; none where it never does.
    pub lends: Option<bool>,
    /// Its hours, where it has any.
    pub hours: Option<HoursView>,
    /// Callbacks that are open, those included that rest.
    pub callbacks: u32,
}

/// Somebody who is to be called back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackView {
    /// Which.
    pub id: ContactId,
    /// The call in which it was asked for.
    pub call: CallId,
    /// Name of the queue.
    pub queue: String,
    /// The number that is called; none where it was forgotten.
    pub number: Option<String>,
    /// When it was asked for.
    pub asked: Tick,
    /// Nobody is called after this.
    pub until: Tick,
    /// How often the customer was tried.
    pub tried: u32,
    /// When it waits again, where it does not wait now.
    pub rests_until: Option<Tick>,
    /// Its place in the queue, 1 for the next one, while waiting.
    pub position: Option<u32>,
}

/// Opening hours now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoursView {
    /// The calendar's name.
    pub name: String,
    /// Its time zone.
    pub zone: String,
    /// Open now.
    pub open: bool,
    /// When that changes; none where it stays so for a year and more.
    pub until: Option<Tick>,
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
    /// The phone is registered, and answers no more behind its translator: calls pass it over.
    pub unreachable: bool,
    /// Names of the queues whose calls it may supervise; `*` for every call.
    pub supervises: Vec<String>,
    /// How calls sounded at the phone since the start.
    pub speech: SpeechReport,
    /// How loud the agent spoke in them.
    pub level: LevelReport,
}

/// A call now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallView {
    /// Which call.
    pub id: CallId,
    /// `greeting`, `waiting`, `ringing`, `talking`, `held`, `transferring`, `calling-back`, `announcing` or `ending`.
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
    /// Until when a program is asked whom it should go to, while waiting.
    pub asked_until: Option<Tick>,
    /// Name of the agent who rings or talks.
    pub agent: Option<String>,
    /// Its recording.
    pub recording: Option<RecordingId>,
    /// Whether anything is taken in.
    pub recorded: Recorded,
    /// How the caller sounds to us, and we to the caller.
    pub caller_sounds: Sounds,
    /// How the agent sounds to us, and we to the agent, where there is one.
    pub agent_sounds: Option<Sounds>,
    /// Who takes part beside the two.
    pub guests: Vec<GuestView>,
    /// `caller`, `agent` or `both`: who sends nothing, though all talk.
    pub unheard: Option<&'static str>,
    /// `caller` or `agent`: who has sent nothing but silence for a while, though the other speaks.
    pub quiet: Option<&'static str>,
}

/// What becomes of a call's speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is not recorded.
    No,
    /// It is not recorded, and is as soon as somebody wants that.
    OnDemand,
    /// It is recorded.
    Yes,
    /// The recording is to be paused, and is not yet.
    Pausing,
    /// The recording is paused.
    Paused {
        /// Since when.
        since: Tick,
        /// Who paused it.
        by: PausedBy,
        /// When it goes on at the latest; none while the rules do not let the call be recorded.
        until: Option<Tick>,
    },
}

impl Recorded {
    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::No => "off",
            Self::OnDemand => "on-demand",
            Self::Yes => "recording",
            Self::Pausing => "pausing",
            Self::Paused { .. } => "paused",
        }
    }
}

/// How one side of a call sounds at the time, over some seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sounds {
    /// The peer to us.
    pub heard: Grade,
    /// We to the peer, by its reports.
    pub sent: Grade,
    /// How loud the peer has spoken so far, where that could be measured.
    pub level: Option<LevelReport>,
    /// How the peer says that it hears us, where it does.
    pub told: Option<PeerMetrics>,
}

/// A supervisor or a third party in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestView {
    /// Which, by the leg.
    pub id: LegId,
    /// Name of the agent whose phone it is; else the number.
    pub name: String,
    /// What it does.
    pub part: Part,
    /// Since when it is there; none while the phone rings.
    pub joined: Option<Tick>,
}

/// A trunk now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkView {
    /// Its name.
    pub name: String,
    /// Calls that it has a part in, both directions.
    pub calls: u32,
    /// How many it may have, where that is said.
    pub calls_max: Option<u32>,
    /// Our registration with it, where it wants one.
    pub registration: Option<RegistrationView>,
    /// Where calls to it go, in the order in which they are tried.
    pub targets: Vec<TargetView>,
    /// Its calls since the start.
    pub counts: TrunkCounts,
    /// How its calls sounded.
    pub speech: SpeechReport,
    /// How loud those at its far ends spoke.
    pub level: LevelReport,
}

/// Our registration with a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationView {
    /// `trying`, `registered`, `expired`, `failed` or `left`.
    pub state: &'static str,
    /// How long it holds, where it does; or held.
    pub until: Option<Tick>,
    /// The status of a refusal; none where nobody answered.
    pub status: Option<u16>,
}

/// Where calls to a trunk go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetView {
    /// Transport and address, such as `udp:192.0.2.1:5060`.
    pub address: String,
    /// Whether it answers; true where it was never asked.
    pub up: bool,
    /// When it answered OPTIONS last.
    pub answered: Option<Tick>,
    /// With which status.
    pub status: Option<u16>,
}

/// Calls of a trunk since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrunkCounts {
    /// Calls from it that were taken on.
    pub incoming: u64,
    /// Calls from it that its limits refused, with 503.
    pub incoming_refused: u64,
    /// INVITEs sent to it.
    pub outgoing: u64,
    /// Of these, answered.
    pub outgoing_answered: u64,
    /// Of these, answered 5xx or 408, or not at all.
    pub outgoing_failed: u64,
    /// Calls that its limits sent to the next trunk.
    pub outgoing_refused: u64,
}
