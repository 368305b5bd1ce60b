//! SIP without sockets or clocks: messages, SDP offer/answer over `MediaCaps`, transactions, dialogs, digest and registrar.

mod digest;
mod flow;
mod headers;
mod message;
mod uri;

pub use digest::{
    Algorithm, Challenge, Credentials, DigestConfig, DigestVerifier, Verdict, answer_challenge, digest_username,
};
pub use flow::{Flow, Transport};
pub use headers::{Headers, NameAddr, Params, SyntaxError, Via};
pub use message::{
    Fault, HEADERS_MAX, MESSAGE_BYTES_MAX, Message, Method, ParseError, Request, Response, VALUES_MAX, frame_len,
    reason_phrase,
};
pub use uri::{Scheme, Uri};
