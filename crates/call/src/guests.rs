//! Who takes part in a call beside the two who talk: supervisors, and third parties.

use offhook_units::{AgentId, CallId, QueueId};
use serde::{Deserialize, Serialize};

/// What a guest does in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Hears both, and is heard by nobody.
    Listen,
    /// Hears both, and is heard by the agent alone.
    Whisper,
    /// Hears both, and is heard by both.
    Barge,
    /// A third party: hears and is heard by everybody but those who listen.
    Party,
}

impl Part {
    /// Its name in records, the API and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Whisper => "whisper",
            Self::Barge => "barge",
            Self::Party => "party",
        }
    }

    /// Whether everybody hears this guest.
    pub const fn talks(self) -> bool {
        matches!(self, Self::Barge | Self::Party)
    }
}

/// What a supervisor may want with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supervision {
    /// To hear both.
    Listen,
    /// To be heard by the agent too.
    Whisper,
    /// To be heard by both.
    Barge,
    /// To talk to the caller instead of the agent.
    TakeOver,
    /// To leave again.
    Leave,
}

impl Supervision {
    /// Every wish with its name in the API.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Listen, "listen"),
        (Self::Whisper, "whisper"),
        (Self::Barge, "barge"),
        (Self::TakeOver, "take-over"),
        (Self::Leave, "leave"),
    ];

    /// The wish with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(wish, _)| *wish)
    }

    /// The part that it asks for; a guest who is to take over listens until then.
    pub const fn part(self) -> Option<Part> {
        match self {
            Self::Listen | Self::TakeOver => Some(Part::Listen),
            Self::Whisper => Some(Part::Whisper),
            Self::Barge => Some(Part::Barge),
            Self::Leave => None,
        }
    }
}

/// Whose calls an agent may supervise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Supervises {
    /// Nobody's.
    #[default]
    Nothing,
    /// Those of these queues.
    Queues(Vec<QueueId>),
    /// Everybody's, those without a queue too.
    Everything,
}

impl Supervises {
    /// Whether calls of this queue, or of none, are among them.
    pub fn has(&self, queue: Option<QueueId>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Queues(queues) => queue.is_some_and(|queue| queues.contains(&queue)),
            Self::Everything => true,
        }
    }
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no such call, or it is over. Look the id up again.
    #[error("there is no such call")]
    NoCall(CallId),
    /// There is no such agent. Look the id up again.
    #[error("there is no such agent")]
    NoAgent(AgentId),
    /// The configuration does not let this agent supervise the call's queue. Name the queue under `supervises`.
    #[error("{0} may not supervise this call: its queue is not under `supervises`")]
    NotAllowed(String),
    /// There is no such queue. Look the id up again.
    #[error("there is no such queue")]
    NoQueue(QueueId),
    /// The call waits in no queue: it is in a menu, in a talk, or being called back.
    #[error("the call waits in no queue now")]
    NotWaiting,
    /// No program is asked about it: the time for an answer is over, or it was answered already. The queue's strategy decides.
    #[error("nobody is asked about this call now")]
    NotAsked,
    /// The agent is not there, not a member of the queue, or lacks a skill that the call needs.
    #[error("{0} does not serve this queue now, or lacks a skill that the call needs")]
    CannotTake(String),
    /// Nothing is offered to this agent now, or something else.
    #[error("this call is not offered to you any more")]
    NoOffer,
    /// The agent is not in wrap-up.
    #[error("there is no wrap-up now")]
    NoWrapUp,
    /// The queue has no such code.
    #[error("the call's queue has no such code")]
    NoCode,
    /// A code has to be given first.
    #[error("say first what the call was about: its queue wants a code")]
    CodeWanted,
    /// Nobody was brought into the call who has picked up.
    #[error("nobody was brought into this call who has picked up")]
    NoGuest,
    /// Nobody talks in it now: ask again when somebody does.
    #[error("nobody talks in this call now")]
    NotTalking,
    /// Who asks is in the call as one who talks, or in another one, or is not in this call.
    #[error("{0}")]
    Elsewhere(&'static str),
    /// The phone cannot be rung: it is not registered, or does not answer.
    #[error("the phone of {0} cannot be reached")]
    Unreachable(String),
    /// Nobody is found under the number, or it may not be called; with the SIP status that a phone would get.
    #[error("the number leads nowhere that may be called from here ({0})")]
    Number(u16),
    /// The call, or the exchange, has all that it can take.
    #[error("{0}")]
    Full(&'static str),
}
