//! The non-INVITE server transaction, RFC 3261 section 17.2.2.

use super::ServerAction::{self, Respond, SendAgain, Start, Stop};
use super::Timer;

/// Where a non-INVITE server transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The core has the request.
    Trying,
    /// A final response was sent; it is repeated for every request that comes again.
    Completed,
    /// Gone.
    Terminated,
}

/// What happens to a non-INVITE server transaction. Provisional responses are never given (RFC 4320 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The request came once more.
    Request,
    /// The core gives a 200..=699.
    Final,
    /// Late requests have died out.
    TimerJ,
    /// The core gave no answer while the client waited (its timer F): a late one would be of no use, RFC 4320 section 4.2.
    Abandon,
}

impl Input {
    pub(crate) const fn of_timer(timer: Timer) -> Option<Self> {
        match timer {
            Timer::J => Some(Self::TimerJ),
            Timer::Abandon => Some(Self::Abandon),
            Timer::A
            | Timer::B
            | Timer::D
            | Timer::E
            | Timer::F
            | Timer::G
            | Timer::H
            | Timer::I
            | Timer::K
            | Timer::L
            | Timer::M => None,
        }
    }
}

/// The next state, and what to do on the way.
pub(crate) const fn step(state: State, input: Input) -> (State, &'static [ServerAction]) {
    use Input::{Abandon, Final, Request, TimerJ};
    use State::{Completed, Terminated, Trying};
    match (state, input) {
        (Trying, Final) => (Completed, &[Stop(Timer::Abandon), Respond, Start(Timer::J)]),
        (Completed, Request) => (Completed, &[SendAgain]),
        (Trying, Abandon) | (Completed, TimerJ) | (Terminated, Request | Final | TimerJ | Abandon) => (Terminated, &[]),
        (Trying, Request | TimerJ) | (Completed, Final | Abandon) => (state, &[]),
    }
}

#[cfg(test)]
#[test]
fn the_graph_of_the_non_invite_server_is_the_reviewed_one() {
    use Input::{Abandon, Final, Request, TimerJ};
    use State::{Completed, Terminated, Trying};
    super::graph::check(
        "server_non_invite",
        &[Trying, Completed, Terminated],
        &[Request, Final, TimerJ, Abandon],
        step,
    );
}
