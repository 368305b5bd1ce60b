//! SIP without sockets or clocks: messages, SDP offer/answer over `MediaCaps`, transactions, dialogs, digest and registrar.

mod flow;

pub use flow::{Flow, Transport};
