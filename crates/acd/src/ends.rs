//! How visits, offers and conversations end.

use offhook_units::Tick;

/// How a visit ends that was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Left {
    /// The customer left of their own accord, while queued or ringing.
    Abandoned,
    /// We sent the customer elsewhere.
    FlowedOut(FlowOut),
}

/// Why a contact was sent elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum FlowOut {
    /// To another queue or number.
    Overflow,
    /// A callback was accepted.
    Callback,
    /// To voicemail.
    Voicemail,
    /// The customer pressed the exit key.
    ExitKey,
    /// It waited as long as the queue allows.
    TimedOut,
    /// Nobody serves the queue.
    NobodyHere,
    /// Moved to another queue, or to the same anew, with its place kept.
    Requeued,
    /// The exchange lost it: a failed leg, a restart.
    Lost,
}

/// How an offer ends that was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum OfferEnd {
    /// The agent said no.
    Declined,
    /// Its deadline passed.
    TimedOut,
    /// The agent's phone could not be reached or gave up.
    NoAnswer,
    /// The contact left the queue.
    ContactLeft,
    /// Another agent was faster (ring-all).
    TakenByAnother,
    /// The agent became not ready.
    AgentNotReady,
    /// The agent logged out.
    AgentLoggedOut,
    /// Somebody gave the contact to another agent.
    GivenToAnother,
}

impl OfferEnd {
    /// Whether the agent let it pass (as opposed to its being taken away).
    pub const fn is_missed(self) -> bool {
        match self {
            Self::TimedOut | Self::NoAnswer => true,
            Self::Declined
            | Self::ContactLeft
            | Self::TakenByAnother
            | Self::AgentNotReady
            | Self::AgentLoggedOut
            | Self::GivenToAnother => false,
        }
    }
}

/// Wrap-up that begins with the end of a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum WrapUpStart {
    /// None.
    None,
    /// Until then, or until the agent says done.
    Until(Tick),
    /// Until the agent says done.
    UntilDone,
}
