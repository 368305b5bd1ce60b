//! A whole exchange with callers, agents and a bad network on a virtual clock, from one seed; and a floor with the distributor alone.
//!
//! [`Shift`] drives the real machines of ring 1 - SIP, calls, distributor, media plans - with phones that are SIP user agents
//! themselves, over a network that loses, delays and doubles datagrams. After every step the invariants of the distributor
//! and of the media plans are checked; at the end nothing may be left over.

pub mod floor;
mod media;
mod network;
mod people;
mod recorder;
mod shift;

pub use shift::{Setting, Shift};
