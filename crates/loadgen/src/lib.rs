//! Callers and agents by the thousand, against any SIP server, and what came of them.
//!
//! [`Driver`] is every call of a run and [`flows::Flows`] their speech, both without sockets or clocks; [`run()`] gives them both, and
//! [`Report`] is what came of it.

pub mod arrivals;
pub mod capacity;
mod driver;
pub mod faults;
pub mod flows;
mod lines;
pub mod load;
mod mark;
mod meter;
pub mod page;
pub mod process;
pub mod registrations;
pub mod report;
mod run;
pub mod sample;
mod speakers;
pub mod statistics;
pub mod ways;
pub mod webrtc;

pub use driver::{AgentFigures, CallFigures, CallTimes, Driver, Outcome, Output};
pub use report::{Report, Second};
pub use run::{RunError, run};
