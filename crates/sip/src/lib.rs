//! SIP without sockets or clocks: messages, SDP offer/answer over `MediaCaps`, transactions, dialogs, digest and registrar.

mod flow;
mod headers;
mod message;
mod uri;

pub use flow::{Flow, Transport};
pub use headers::{Headers, NameAddr, Params, SyntaxError, Via};
pub use message::{
    Fault, HEADERS_MAX, MESSAGE_BYTES_MAX, Message, Method, ParseError, Request, Response, VALUES_MAX, frame_len, reason_phrase,
};
pub use uri::{Scheme, Uri};
