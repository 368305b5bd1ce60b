//! Sound devices as an agent's headset: `cpal` devices to rings and back.
//!
//! [`Headset::open`] starts the chosen (or default) devices and hands out a [`Microphone`] and a [`Speaker`]: plain objects for
//! the thread that carries the call, which take and give 10 ms at the call's rate and never wait. Between them and the device
//! lies a ring of `ringbuf`; the device's callback moves samples and does nothing else ([`ends`]). The two clocks are kept together
//! by a change of speed nobody hears ([`drift`]). A device that dies, loudly or silently, or is pulled out, is replaced by the next one until
//! it is back. What was captured can be made fit to be sent by [`Voice`]. [`Buttons`] are those of a USB headset, and its lamps.
//!
//! This crate is an edge: it has threads, clocks and devices.
#![expect(clippy::disallowed_methods, reason = "the edge that touches sound devices: threads and clocks")]

pub mod buttons;
pub mod counters;
mod cushion;
mod device;
pub mod drift;
pub mod ends;
mod microphone;
mod rate;
mod speaker;
mod supervisor;
pub mod voice;
mod watchdog;

pub use buttons::{Buttons, Lamps, Press};
pub use device::{DeviceInfo, HeadsetError, devices};
pub use microphone::Microphone;
pub use speaker::Speaker;
pub use supervisor::{Headset, HeadsetConfig, HeadsetEvent, Way};
pub use voice::{Voice, VoiceFigures, VoiceSwitches};
pub use watchdog::{SILENT_FOR, Watchdog};

/// Sound kept between the call and the device to begin with, in milliseconds.
pub const CUSHION_MS: u32 = 12;
/// The smallest cushion, in milliseconds.
pub const CUSHION_MS_MIN: u32 = 8;
/// How much the cushion grows when the device was left without, in milliseconds.
pub const CUSHION_STEP_MS: u32 = 5;
/// The largest cushion, in milliseconds.
pub const CUSHION_MS_MAX: u32 = 120;
/// Sound beyond the cushion that is tolerated before it is cut, in milliseconds.
pub const SURPLUS_MS_MAX: u32 = 80;
const _: () =
    assert!(CUSHION_MS_MAX + SURPLUS_MS_MAX + 20 < ends::RING_MS, "the ring holds cushion, surplus and a frame");
