//! Recording sessions with others, RFC 7866: what an exchange is told of them, and what is counted.

use offhook_units::Span;

/// How long the first wait is after a recorder outside could not be had; doubled up to [`RETRY_MAX`].
pub const RETRY_FIRST: Span = Span::from_s(1);
/// The longest wait before it is tried again for the same call.
pub const RETRY_MAX: Span = Span::from_s(60);
/// For how long a recorder that could not be had counts as gone: calls that need one are refused, until the next one tries.
pub const GONE_FOR: Span = Span::from_s(30);

/// The recorder outside that recorded calls are sent to as well: we are the session recording client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiprecClient {
    /// The trunk that leads to it, by its name: addresses, encryption, credentials and codecs are the trunk's.
    pub trunk: String,
    /// The user part of its URI.
    pub user: String,
    /// While it cannot be had, calls that are to be recorded are refused with 503.
    pub required: bool,
}

/// Counts since start, and what is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SiprecFigures {
    /// Recording sessions that a recorder outside has now.
    pub sent_now: u64,
    /// Recording sessions that a recorder outside has taken.
    pub sent: u64,
    /// Attempts that came to nothing: refused, unanswered, nothing agreed on, no ports left.
    pub failed: u64,
    /// Recording sessions that ended before their calls did.
    pub broken: u64,
    /// Calls refused because the recorder that they need is gone (503).
    pub refused_calls: u64,
}
