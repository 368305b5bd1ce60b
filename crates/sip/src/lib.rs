//! SIP without sockets or clocks: messages, SDP offer/answer over `MediaCaps`, transactions, dialogs, digest and registrar.

mod body;
mod dialog;
mod digest;
mod endpoint;
mod flow;
mod headers;
mod interchange;
mod message;
mod reason;
mod registrar;
mod replaces;
pub mod sdp;
pub mod siprec;
mod transaction;
mod uri;

pub use body::{BODY_DEPTH_MAX, BODY_PARTS_MAX, Body, BodyFault, PART_HEAD_BYTES_MAX};
pub use dialog::DialogSnapshot;
pub use digest::{
    Algorithm, Challenge, Credentials, DigestConfig, DigestCounters, DigestVerifier, Verdict, answer_challenge,
    digest_username,
};
pub use endpoint::{
    DATAGRAM_REQUEST_BYTES_MAX, EndCause, Endpoint, EndpointConfig, Event, FORKS_MAX, Full, Invite, Load, MIN_SE,
    MessageId, Output, ProbeId, Register, RegistrationId, RequestId, SUBSCRIPTION_MAX, SUBSCRIPTION_MIN, SessionId,
    Subscribed, SubscriptionId, Text, Watch, WatchId,
};
pub use flow::{Flow, Transport};
pub use headers::{Headers, NameAddr, Params, SyntaxError, Via};
pub use interchange::InterchangeError;
pub use message::{
    Fault, Frame, Framer, HEADERS_MAX, MESSAGE_BYTES_MAX, Message, Method, ParseError, Request, Response, VALUES_MAX,
    frame_len, head_lines, reason_phrase,
};
pub use reason::reason_cause;
pub use registrar::{Binding, Change, Identity, Registrar, RegistrarCounters, RegistrarLimits};
pub use replaces::Replaces;
pub use uri::{Scheme, Uri};
