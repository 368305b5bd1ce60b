//! Calls: legs, IVR, queues, agents. Given time and parsed messages; asks for media through plans.
//!
//! [`Exchange`] is the one owner of all calls: [`Exchange::handle`] takes an [`Input`], [`Exchange::poll_output`] gives
//! what is to be done until [`Output::Wait`].

pub mod alarm;
pub mod calendar;
pub mod callback;
pub mod config;
pub mod desk;
pub mod event;
mod exchange;
pub mod guests;
mod health;
mod numbering;
pub mod numbers;
pub mod placement;
mod ports;
pub mod record;
pub mod recording;
pub mod siprec;
mod timers;
pub mod turn;
pub mod view;
pub mod visit;

pub use exchange::{
    Changed, Command, Counters, Exchange, GUEST_RINGS_FOR, GUESTS_MAX, Input, MENU_KEYS_MAX, Output, PAUSES_MAX,
    PINGS_UNANSWERED_MAX, PingFigures, RecordingWanted, Recovered, SENT_ELSEWHERE_MAX, STICKY_CALLERS_MAX,
    SUBSCRIPTIONS_PER_ACCOUNT_MAX, TARGETS_MAX, TEXT_BYTES_MAX, TEXT_STREAM_BYTES_MAX, TRANSFER_RINGS_FOR,
    TRANSFERS_MAX, WantedState,
};
