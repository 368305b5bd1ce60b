//! Sockets, the real clock, and the packet drivers of the media workers.

mod ancillary;
pub mod bans;
mod clock;
pub mod datagrams;
pub mod dns;
mod flood;
pub mod intake;
pub mod limits;
pub mod media;
pub mod sip;
pub mod streams;
pub mod stun;
pub mod trace;
mod unreachable;
mod wake;

pub use clock::{Clock, SLEW_PPM};
pub use datagrams::Letter;
