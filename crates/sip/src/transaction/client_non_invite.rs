//! The non-INVITE client transaction, RFC 3261 section 17.1.2.

use super::ClientAction::{self, Deliver, SendAgain, Start, Stop, TimedOut, TransportFailed};
use super::Timer;

/// Where a non-INVITE client transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Sent, nothing came.
    Trying,
    /// A provisional response came.
    Proceeding,
    /// A final response came; retransmissions of it are absorbed.
    Completed,
    /// Gone.
    Terminated,
}

/// What happens to a non-INVITE client transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// 1xx.
    Provisional,
    /// 200..=699.
    Final,
    /// Time to send again.
    TimerE,
    /// 64·T1 without a final response.
    TimerF,
    /// Late responses have died out.
    TimerK,
    /// The transport failed.
    TransportError,
}

impl Input {
    pub(crate) const fn of_status(status: u16) -> Self {
        match status {
            ..200 => Self::Provisional,
            200.. => Self::Final,
        }
    }

    pub(crate) const fn of_timer(timer: Timer) -> Option<Self> {
        match timer {
            Timer::E => Some(Self::TimerE),
            Timer::F => Some(Self::TimerF),
            Timer::K => Some(Self::TimerK),
            Timer::A
            | Timer::B
            | Timer::D
            | Timer::G
            | Timer::H
            | Timer::I
            | Timer::J
            | Timer::L
            | Timer::M
            | Timer::Abandon => None,
        }
    }
}

/// The next state, and what to do on the way.
pub(crate) const fn step(state: State, input: Input) -> (State, &'static [ClientAction]) {
    use Input::{Final, Provisional, TimerE, TimerF, TimerK, TransportError};
    use State::{Completed, Proceeding, Terminated, Trying};
    match (state, input) {
        (Trying | Proceeding, Provisional) => (Proceeding, &[Deliver]),
        (Trying | Proceeding, Final) => (Completed, &[Stop(Timer::E), Stop(Timer::F), Start(Timer::K), Deliver]),
        (Trying | Proceeding, TimerE) => (state, &[SendAgain, Start(Timer::E)]),
        (Trying | Proceeding, TimerF) => (Terminated, &[TimedOut]),
        (Trying | Proceeding, TransportError) => (Terminated, &[TransportFailed]),
        (Completed, TimerK) | (Terminated, Provisional | Final | TimerE | TimerF | TimerK | TransportError) => {
            (Terminated, &[])
        }
        (Completed, Provisional | Final | TimerE | TimerF | TransportError) | (Trying | Proceeding, TimerK) => {
            (state, &[])
        }
    }
}

#[cfg(test)]
#[test]
fn the_graph_of_the_non_invite_client_is_the_reviewed_one() {
    use Input::{Final, Provisional, TimerE, TimerF, TimerK, TransportError};
    use State::{Completed, Proceeding, Terminated, Trying};
    super::graph::check(
        "client_non_invite",
        &[Trying, Proceeding, Completed, Terminated],
        &[Provisional, Final, TimerE, TimerF, TimerK, TransportError],
        step,
    );
}
