//! The reliable provisional responses to an INVITE that came in, RFC 3262 section 3: one at a time waits for its PRACK, and the
//! 2xx for that of one with a session description.

use ReliableAction::{Next, Queue, Reject, Send, SendAgain, Start, Stop, Succeed};

/// Where the reliable provisional responses to an INVITE are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// None waits for a PRACK.
    Clear,
    /// One without a session description does.
    Pending,
    /// One with a session description does.
    Described,
    /// The same, and the 2xx waits for that PRACK.
    Answering,
    /// The 2xx is out. One without a session description is sent no more, but its PRACK is still taken.
    Late,
    /// The 2xx is out, or the INVITE was rejected.
    Done,
}

impl State {
    /// Whether a PRACK may come.
    pub(crate) const fn is_unacknowledged(self) -> bool {
        match self {
            Self::Pending | Self::Described | Self::Answering | Self::Late => true,
            Self::Clear | Self::Done => false,
        }
    }
}

/// What happens to reliable provisional responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The core gives one without a session description.
    Provisional,
    /// The core gives one with a session description.
    Description,
    /// The PRACK to the one that waits.
    Prack,
    /// The core gives the 2xx.
    Success,
    /// Time to send it again.
    Repeat,
    /// 64·T1 without a PRACK.
    GiveUp,
}

/// What is done on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReliableAction {
    /// Send the one that the core gives, with the next `RSeq`.
    Send,
    /// Keep it until the one before is acknowledged.
    Queue,
    /// Send the one that waits once more.
    SendAgain,
    /// Arm the timer.
    Start,
    /// Disarm it.
    Stop,
    /// Send what was kept.
    Next,
    /// Send the 2xx.
    Succeed,
    /// Reject the INVITE with a 5xx.
    Reject,
}

/// The next state, and what to do on the way.
pub(crate) const fn step(state: State, input: Input) -> (State, &'static [ReliableAction]) {
    use Input::{Description, GiveUp, Prack, Provisional, Repeat, Success};
    use State::{Answering, Clear, Described, Done, Late, Pending};
    match (state, input) {
        (Clear, Provisional) => (Pending, &[Send, Start]),
        (Clear, Description) => (Described, &[Send, Start]),
        (Pending | Described, Provisional | Description) => (state, &[Queue]),
        (Pending | Described, Prack) => (Clear, &[Stop, Next]),
        (Clear, Success) => (Done, &[Succeed]),
        (Pending, Success) => (Late, &[Stop, Succeed]),
        (Described, Success) => (Answering, &[]),
        (Answering, Prack) => (Done, &[Stop, Succeed]),
        (Late, Prack) => (Done, &[]),
        (Pending | Described | Answering, Repeat) => (state, &[SendAgain, Start]),
        (Pending | Described | Answering, GiveUp) => (Done, &[Reject]),
        // No new one after a final response.
        (Answering | Late | Done, Provisional | Description | Success)
        | (Clear | Done, Prack)
        | (Clear | Late | Done, Repeat | GiveUp) => (state, &[]),
    }
}

#[cfg(test)]
#[test]
fn the_graph_of_reliable_provisional_responses_is_the_reviewed_one() {
    use Input::{Description, GiveUp, Prack, Provisional, Repeat, Success};
    use State::{Answering, Clear, Described, Done, Late, Pending};
    super::graph::check(
        "reliable",
        &[Clear, Pending, Described, Answering, Late, Done],
        &[Provisional, Description, Prack, Success, Repeat, GiveUp],
        step,
    );
}
