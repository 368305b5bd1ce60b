//! Visitors: who calls from a page without an account.

use offhook_units::Tick;

use crate::turn::Relay;

pub use crate::exchange::visitors::{NAME_CHARS_MAX, TICKET_LASTS, TICKETS_MAX};

/// Lets one call in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The user part to call as.
    pub user: String,
    /// The secret of digest authentication.
    pub password: String,
    /// The realm, and the host part of all addresses.
    pub realm: String,
    /// What is called.
    pub number: String,
    /// Relays, where browsers may need them.
    pub relay: Option<Relay>,
    /// Until when the call has to begin.
    pub until: Tick,
}

/// Why somebody is given no ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotWelcome {
    /// No entrance has this name.
    #[error("there is no such entrance")]
    NoEntrance,
    /// As many are inside as may be, or the exchange takes no new calls.
    #[error("too many call at once: try again in a few minutes")]
    Full,
}
