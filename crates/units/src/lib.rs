//! The words every Offhook crate speaks: instants and spans of the exchange clock, RTP numbers, sample rates, ids and entropy.
//!
//! Plain data and arithmetic. Nothing here reads a clock: a [`Tick`] is handed in by an edge.

mod entropy;
mod ids;
mod rtp;
mod srtp;
mod time;

pub use entropy::{Entropy, push_hex};
pub use ids::{
    AgentId, CallId, ContactId, IdSource, LegId, OfferId, PersonRef, PlayerId, QueueId, RecordingId, SkillId, VisitId,
};
pub use rtp::{RtpSeq, RtpTime, SampleRate};
pub use srtp::{CryptoSuite, MasterKey};
pub use time::{Span, Tick};
