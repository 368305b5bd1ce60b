//! What signalling and media tell each other, as data.
//!
//! The control plane describes a call's whole media as a [`MediaPlan`]: its legs, who hears whom, what is recorded. A worker
//! carries the plan out and answers with [`MediaEvent`]s. Neither side calls the other.

mod caps;
mod dtls;
mod media;
pub mod tap;

pub use caps::{COMFORT_NOISE, COMFORT_NOISE_CLOCK, CodecCap, CodecKind, Crypto, Direction, MediaCaps, Negotiated};
pub use dtls::{
    Candidate, CandidateHost, CandidateKind, CandidateTransport, Dtls, Fingerprint, HashKind, Ice, Setup, TcpKind,
};
pub use media::{
    AssetId, DigitSource, Edge, Fork, Grade, LegPlan, LegReport, LevelReport, MediaCommand, MediaEvent, MediaPlan,
    Move, PeerMetrics, PlayerPlan, Quality, Source, SpeechReport, SrtpReport, Tap,
};
