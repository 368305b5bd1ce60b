//! The INVITE client transaction, RFC 3261 section 17.1.1 and RFC 6026 section 7.2.

use super::ClientAction::{self, Acknowledge, Deliver, SendAgain, Start, Stop, TimedOut, TransportFailed};
use super::Timer;

/// Where an INVITE client transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Sent, nothing came.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// A 2xx came; more of them (retransmissions, forks) go to the core.
    Accepted,
    /// A failure came and was acknowledged; retransmissions of it are acknowledged again.
    Completed,
    /// Gone.
    Terminated,
}

/// What happens to an INVITE client transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// 1xx.
    Provisional,
    /// 2xx.
    Success,
    /// 300..=699.
    Failure,
    /// Time to send again.
    TimerA,
    /// 64·T1 without any response.
    TimerB,
    /// Late failures have died out.
    TimerD,
    /// Late 2xx have died out.
    TimerM,
    /// The transport failed.
    TransportError,
    /// 64·T1 after CANCEL was sent, or after nobody needed the answer any more (RFC 3261 section 9.1).
    Abandon,
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
            Timer::A => Some(Self::TimerA),
            Timer::B => Some(Self::TimerB),
            Timer::D => Some(Self::TimerD),
            Timer::M => Some(Self::TimerM),
            Timer::Abandon => Some(Self::Abandon),
            Timer::E | Timer::F | Timer::G | Timer::H | Timer::I | Timer::J | Timer::K | Timer::L => None,
        }
    }
}

/// The next state, and what to do on the way.
pub(crate) const fn step(state: State, input: Input) -> (State, &'static [ClientAction]) {
    use Input::{Abandon, Failure, Provisional, Success, TimerA, TimerB, TimerD, TimerM, TransportError};
    use State::{Accepted, Calling, Completed, Proceeding, Terminated};
    match (state, input) {
        (Calling, Provisional) => (Proceeding, &[Stop(Timer::A), Stop(Timer::B), Deliver]),
        (Calling | Proceeding, Success) => (Accepted, &[Stop(Timer::A), Stop(Timer::B), Start(Timer::M), Deliver]),
        (Proceeding, Provisional) | (Accepted, Success) => (state, &[Deliver]),
        (Calling | Proceeding, Failure) => {
            (Completed, &[Stop(Timer::A), Stop(Timer::B), Acknowledge, Start(Timer::D), Deliver])
        }
        (Completed, Failure) => (Completed, &[Acknowledge]),
        (Calling, TimerA) => (Calling, &[SendAgain, Start(Timer::A)]),
        (Calling, TimerB) | (Calling | Proceeding, Abandon) => (Terminated, &[TimedOut]),
        (Calling | Proceeding, TransportError) => (Terminated, &[TransportFailed]),
        // In Completed the failure has been told to the core; only its ACK is lost.
        (Completed, TimerD | TransportError)
        | (Accepted, TimerM)
        | (
            Terminated,
            Provisional | Success | Failure | TimerA | TimerB | TimerD | TimerM | TransportError | Abandon,
        ) => (Terminated, &[]),
        (Calling | Proceeding, TimerD | TimerM)
        | (Proceeding, TimerA | TimerB)
        | (Accepted, Provisional | Failure | TimerA | TimerB | TimerD | TransportError | Abandon)
        | (Completed, Provisional | Success | TimerA | TimerB | TimerM | Abandon) => (state, &[]),
    }
}

#[cfg(test)]
#[test]
fn the_graph_of_the_invite_client_is_the_reviewed_one() {
    use Input::{Abandon, Failure, Provisional, Success, TimerA, TimerB, TimerD, TimerM, TransportError};
    use State::{Accepted, Calling, Completed, Proceeding, Terminated};
    super::graph::check(
        "client_invite",
        &[Calling, Proceeding, Accepted, Completed, Terminated],
        &[Provisional, Success, Failure, TimerA, TimerB, TimerD, TimerM, TransportError, Abandon],
        step,
    );
}
