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

/// For how long all streams of a recording session may be silent where nothing is said.
pub const SILENT_MAX: Span = Span::from_s(600);
/// How many recording sessions are taken at once where nothing is said.
pub const SESSIONS_MAX: u32 = 1_000;

/// Whose recording sessions are taken: we are the session recording server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiprecServer {
    /// The trunks that may send some, by their names.
    pub trunks: Vec<String>,
    /// A session is over all of whose streams have sent nothing for so long, once the media worker says that they are silent.
    pub silent_max: Span,
    /// Sessions at once; one more gets 503 with Retry-After.
    pub sessions_max: u32,
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
    /// Recording sessions of others that are recorded now.
    pub taken_now: u64,
    /// Recording sessions of others that were taken.
    pub taken: u64,
    /// Those that were refused: of strangers, without a stream that can be taken, with metadata that cannot be read, over a limit.
    pub taken_refused: u64,
    /// Those that ended because nothing came any more.
    pub taken_silent: u64,
    /// Streams of sessions that were refused, beyond the two that a recording holds.
    pub streams_refused: u64,
    /// Updates of metadata that could not be read.
    pub metadata_refused: u64,
}
