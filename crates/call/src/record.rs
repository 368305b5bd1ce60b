//! The call record: what remains of a call, a fold of its events.

use offhook_plan::LegReport;
use offhook_units::{AgentId, CallId, ContactId, PersonRef, QueueId, RecordingId, Tick};
use serde::{Deserialize, Serialize};

/// The version of the fold that wrote a record; printed on it.
pub const FORMULA: u32 = 1;

/// One call from its INVITE to its end. Instants are exchange-clock microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Version of the fold, [`FORMULA`].
    pub formula: u32,
    /// Which call.
    pub id: CallId,
    /// The contact, where it entered a queue.
    pub contact: Option<ContactId>,
    /// The trunk's name.
    pub trunk: Option<String>,
    /// The number dialled.
    pub number: String,
    /// The caller, in the sealed table.
    pub caller: PersonRef,
    /// The INVITE came.
    pub started: Tick,
    /// We answered the caller.
    pub answered: Option<Tick>,
    /// The caller entered the (last) queue.
    pub queued: Option<Tick>,
    /// That queue.
    pub queue: Option<QueueId>,
    /// The first agent's phone was sent its INVITE.
    pub first_offer: Option<Tick>,
    /// An agent answered.
    pub connected: Option<Tick>,
    /// Who.
    pub agent: Option<AgentId>,
    /// The call ended.
    pub ended: Tick,
    /// How.
    pub end: CallEnd,
    /// Offers that ended without an answer.
    pub offers_missed: u32,
    /// Time on hold, in microseconds.
    pub held_us: u64,
    /// Digits the caller pressed: how many, not which.
    pub digits: u32,
    /// The recording.
    pub recording: Option<RecordingId>,
    /// Figures of the caller's leg.
    pub caller_media: Option<LegReport>,
    /// Figures of the agent's leg.
    pub agent_media: Option<LegReport>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallEnd {
    /// The caller hung up while talking to an agent, or at a dialled phone.
    CallerHungUp,
    /// The agent, or the dialled phone, hung up.
    AgentHungUp,
    /// The caller left while greeted, waiting or ringing.
    Abandoned,
    /// Nobody was logged in.
    NobodyLoggedIn,
    /// The queue was full.
    QueueFull,
    /// The longest wait had passed.
    WaitedTooLong,
    /// The dialled phone refused or did not answer.
    NotReached,
    /// A peer broke the call: transport, timers, missing ACK.
    Failed,
    /// The exchange shut down in good order.
    ShutDown,
    /// The exchange died during the call; its end was found at the next start.
    Lost,
}
