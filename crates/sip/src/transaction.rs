//! Transactions, RFC 3261 section 17 as corrected by RFC 6026: four machines, each one exhaustive match of (state, input); and a
//! fifth for the reliable provisional responses of an INVITE, RFC 3262.
//!
//! A machine is a pure function: it says where to go and what to do; [`Endpoint`](crate::Endpoint) does it.

pub(crate) mod client_invite;
pub(crate) mod client_non_invite;
pub(crate) mod reliable;
pub(crate) mod server_invite;
pub(crate) mod server_non_invite;
mod timers;

#[cfg(test)]
mod graph;

pub(crate) use timers::{Alarms, SessionTimer, Timer, TimerKey, Timers, Times};

/// What a client transaction does on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAction {
    /// Send the request once more.
    SendAgain,
    /// Send the ACK to the non-2xx that came, RFC 3261 section 17.1.1.3.
    Acknowledge,
    /// Give the response to the user agent core.
    Deliver,
    /// Arm a timer.
    Start(Timer),
    /// Disarm a timer.
    Stop(Timer),
    /// Tell the core that nobody answered.
    TimedOut,
    /// Tell the core that the transport failed.
    TransportFailed,
}

/// What a server transaction does on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerAction {
    /// Send the response that the core gave, and keep it.
    Respond,
    /// Send the kept response once more, if there is one.
    SendAgain,
    /// Give the ACK to the core.
    Deliver,
    /// Arm a timer.
    Start(Timer),
    /// Disarm a timer.
    Stop(Timer),
}
