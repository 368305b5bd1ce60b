//! The INVITE server transaction, RFC 3261 section 17.2.1 and RFC 6026 section 7.1.

use super::ServerAction::{self, Deliver, Respond, SendAgain, Start, Stop};
use super::Timer;

/// Where an INVITE server transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No final response has been given.
    Proceeding,
    /// A 2xx was sent; the core repeats it until the ACK.
    Accepted,
    /// A failure was sent; it is repeated here until the ACK.
    Completed,
    /// The ACK to a failure came; more of them are absorbed.
    Confirmed,
    /// Gone.
    Terminated,
}

/// What happens to an INVITE server transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The INVITE came once more.
    Invite,
    /// An ACK with the INVITE's branch.
    Ack,
    /// The core gives a 1xx.
    Provisional,
    /// The core gives a 2xx, first or again.
    Success,
    /// The core gives a 300..=699.
    Failure,
    /// Time to send the failure again.
    TimerG,
    /// 64·T1 without an ACK.
    TimerH,
    /// Late ACKs have died out.
    TimerI,
    /// Late INVITEs have died out.
    TimerL,
}

impl Input {
    pub(crate) const fn of_status(status: u16) -> Self {
        match status {
            ..200 => Self::Provisional,
            200..300 => Self::Success,
            300.. => Self::Failure,
        }
    }

    pub(crate) const fn of_timer(timer: Timer) -> Option<Self> {
        match timer {
            Timer::G => Some(Self::TimerG),
            Timer::H => Some(Self::TimerH),
            Timer::I => Some(Self::TimerI),
            Timer::L => Some(Self::TimerL),
            Timer::A | Timer::B | Timer::D | Timer::E | Timer::F | Timer::J | Timer::K | Timer::M | Timer::Abandon => {
                None
            }
        }
    }
}

/// The next state, and what to do on the way.
pub(crate) const fn step(state: State, input: Input) -> (State, &'static [ServerAction]) {
    use Input::{Ack, Failure, Invite, Provisional, Success, TimerG, TimerH, TimerI, TimerL};
    use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};
    match (state, input) {
        (Proceeding | Completed, Invite) => (state, &[SendAgain]),
        (Proceeding, Provisional) => (Proceeding, &[Respond]),
        (Proceeding, Success) => (Accepted, &[Respond, Start(Timer::L)]),
        (Proceeding, Failure) => (Completed, &[Respond, Start(Timer::G), Start(Timer::H)]),
        (Accepted, Success) => (Accepted, &[SendAgain]),
        (Accepted, Ack) => (Accepted, &[Deliver]),
        (Accepted, TimerL)
        | (Completed, TimerH)
        | (Confirmed, TimerI)
        | (Terminated, Invite | Ack | Provisional | Success | Failure | TimerG | TimerH | TimerI | TimerL) => {
            (Terminated, &[])
        }
        (Completed, TimerG) => (Completed, &[SendAgain, Start(Timer::G)]),
        (Completed, Ack) => (Confirmed, &[Stop(Timer::G), Stop(Timer::H), Start(Timer::I)]),
        (Accepted | Confirmed, Invite)
        | (Proceeding | Confirmed, Ack)
        | (Accepted | Completed | Confirmed, Provisional | Failure)
        | (Completed | Confirmed, Success)
        | (Proceeding | Accepted | Confirmed, TimerG | TimerH)
        | (Proceeding | Accepted | Completed, TimerI)
        | (Proceeding | Completed | Confirmed, TimerL) => (state, &[]),
    }
}

#[cfg(test)]
#[test]
fn the_graph_of_the_invite_server_is_the_reviewed_one() {
    use Input::{Ack, Failure, Invite, Provisional, Success, TimerG, TimerH, TimerI, TimerL};
    use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};
    super::graph::check(
        "server_invite",
        &[Proceeding, Accepted, Completed, Confirmed, Terminated],
        &[Invite, Ack, Provisional, Success, Failure, TimerG, TimerH, TimerI, TimerL],
        step,
    );
}
