//! The softphone: an account, calls, a ring, a headset; or files in the place of a headset.
//!
//! [`Phone`] is the whole of it as a library: started with a [`PhoneConfig`], told by its methods, telling through a channel of
//! [`Told`] events. One control thread owns the SIP endpoint and every call's state; one media thread a call carries its sound.
//! [`screen`] puts it on a terminal.
#![expect(clippy::disallowed_methods, reason = "the edge that has a clock and threads")]

mod agent;
mod carrier;
mod cipher;
mod clock;
mod control;
mod devices;
mod digest;
mod engine;
mod event;
mod line;
mod link;
mod listener;
mod meters;
mod phone;
pub mod screen;
#[cfg(test)]
mod soak;
mod sound;
mod spool;
mod statistics;
mod talker;
mod wire;

pub use agent::{AgentNow, AgentState, AgentWish, Customer};
pub use carrier::Carrier;
pub use clock::Clock;
pub use devices::DeviceConfig;
pub use digest::OrderedDigest;
pub use engine::EngineConfig;
pub use event::{PhoneEvent, Told};
pub use meters::{Meters, Quality};
pub use offhook_headset::VoiceSwitches;
pub use phone::{Account, Dial, EVENTS_MAX, INPUTS_MAX, OFF_WITHIN, Phone, PhoneConfig, PhoneError, VoiceChange};
pub use sound::{Player, SECONDS_MAX, Sound, SoundError};
pub use statistics::{Bound, CallStatistics, EndedBy, MediaStatistics};
