//! Jitter buffer, streams, relay, players and taps: the sans-IO media worker.
//!
//! A [`Worker`] is given time, commands and datagrams, and acts through an [`Io`]: it opens no socket and reads no clock.
//! Its driver lives in `net`. [`JitterBuffer`] is for those who listen: the softphone.

mod assets;
mod crypto;
mod delay;
mod forks;
mod hold;
mod inband;
mod io;
mod jitter;
mod leg;
mod limits;
mod meter;
mod mix;
mod mixing;
mod moves;
mod out;
mod plan;
mod player;
mod rate;
mod receive;
mod redundancy;
mod replay;
mod reports;
mod sounding;
mod stretch;
mod taps;
mod transport;
mod voice;
mod worker;

pub use assets::{Asset, AssetError, Assets};
pub use delay::{DelayEstimator, Patience};
pub use io::{Io, SocketKey};
pub use jitter::{
    BEGUN_MAX, JitterBuffer, JitterConfig, JitterStats, PACKETS_MAX, PAYLOAD_BYTES_MAX, Played, Pulled, Pushed,
};
pub use leg::coding_of;
pub use limits::{Figures, Limits};
pub use mix::SPEAKERS_MAX;
pub use moves::{MOVE_WITHIN, Moving, Parted};
pub use replay::{Arrival, PULL_EVERY, Step, replay};
pub use transport::{Deed, HANDSHAKE_BYTES_MAX, Handshakes, NAMES_MAX, Transport};
pub use worker::Worker;
