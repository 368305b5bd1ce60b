//! What can be wrong with received bytes, and what is owed to their sender.

use super::{HEADERS_MAX, MESSAGE_BYTES_MAX, Request, VALUES_MAX};

/// Bytes that are no acceptable message. The peer broke the rules.
///
/// Where the bytes are a request with a Via, `salvaged` holds what could be read of it: answer it with [`Fault::status`] over the
/// flow it came on, unless its method is ACK. Otherwise drop it and count it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault} (at byte {offset})")]
pub struct ParseError {
    /// What is wrong.
    pub fault: Fault,
    /// About where, in bytes from the start of what was given.
    pub offset: usize,
    /// The request to answer. Its URI and every header may be unreadable, and all but Via may be missing.
    pub salvaged: Option<Box<Request>>,
}

/// What is wrong with received bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing but line breaks: a keep-alive (RFC 5626 section 4.4.1), not a fault to count.
    #[error("empty: a keep-alive")]
    KeepAlive,
    /// More than [`MESSAGE_BYTES_MAX`] bytes.
    #[error("longer than {MESSAGE_BYTES_MAX} bytes")]
    TooLarge,
    /// More than [`HEADERS_MAX`] header lines, or [`VALUES_MAX`] values in lists of hops and addresses.
    #[error("more than {HEADERS_MAX} header lines or {VALUES_MAX} hops and addresses")]
    TooManyHeaders,
    /// The first line is neither a request line nor a status line.
    #[error("no SIP: {0}")]
    NotSip(&'static str),
    /// Another version than 2.0.
    #[error("a SIP version other than 2.0")]
    Version,
    /// No empty line ends the headers.
    #[error("the headers never end")]
    Unfinished,
    /// The request line is malformed.
    #[error("request line: {0}")]
    RequestLine(&'static str),
    /// The status line is malformed.
    #[error("status line: {0}")]
    StatusLine(&'static str),
    /// A line is no header.
    #[error("header line: {0}")]
    HeaderLine(&'static str),
    /// A header that every message needs is missing, malformed or there twice.
    #[error("{header}: {reason}")]
    Header {
        /// Which one.
        header: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Content-Length is no number, is there twice with different numbers, or counts more bytes than there are.
    #[error("Content-Length: {0}")]
    ContentLength(&'static str),
}

impl Fault {
    /// The response that a request with this fault deserves (RFC 3261 sections 16.3 and 21).
    pub const fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::TooLarge | Self::TooManyHeaders => 513,
            _ => 400,
        }
    }
}
