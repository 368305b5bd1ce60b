//! An automatic call distributor that programs embed: agents, queues, contacts of any channel, and who gets whom.
//!
//! It is one deterministic state machine. It reads no clock, opens no socket, takes no lock and draws no chance from outside: every input
//! carries its time, every draw comes from a seed in the state. Feed it a [`Command`] with [`Acd::handle`], call [`Acd::timeout`] when the
//! time comes that it asked for, and drain [`Acd::poll_output`] after each: [`Event`]s are its memory (append them to a log), [`Effect`]s are
//! what you do in the world (ring a phone, stop ringing).
//!
//! * **decide** looks at a command and says what would happen, without changing anything;
//! * **route** is policy: it names the next offer to make, if there is one;
//! * **apply** is the only mutation: one event at a time, total, so that any log replays to the same state, bit for bit
//!   ([`Acd::replay`], [`Acd::state_hash`]).
//!
//! Figures ([`QueueFigures`], [`AgentFigures`]) are folds of the same events and nothing else. No input scans all agents or all contacts.
//!
//! # A shift in forty lines
//!
//! ```
//! use offhook_acd::{Acd, AgentConfig, Channel, Command, Effect, Event, Output, QueueConfig};
//! use offhook_units::{AgentId, ContactId, QueueId, Tick, VisitId};
//!
//! let (sales, ada, caller) = (QueueId(1), AgentId(1), ContactId(1));
//! let mut acd = Acd::new(7);
//! let mut now = Tick::from_us(1_000_000);
//! acd.handle(now, Command::AddQueue(QueueConfig::new(sales, "sales")))?;
//! acd.handle(now, Command::AddAgent(AgentConfig::new(ada, "Ada").in_queue(sales, 1, 1)))?;
//! acd.handle(now, Command::LogIn { agent: ada })?;
//! acd.handle(now, Command::Enter {
//!     contact: caller, visit: VisitId(1), queue: sales, channel: Channel::Voice, priority: 0, place_at: None, needs: vec![],
//!     prefers: None,
//! })?;
//!
//! let mut log: Vec<(Tick, Event)> = Vec::new();
//! let mut finished = false;
//! loop {
//!     match acd.poll_output() {
//!         // The log comes first: an effect is carried out after the event that it follows.
//!         Output::Event { at, event } => log.push((at, event)),
//!         // Ada's phone rings, and she answers at once.
//!         Output::Effect(Effect::Offer { offer, .. }) => acd.handle(now, Command::Accept { offer })?,
//!         Output::Effect(_) => {}
//!         // Nothing more to do until a deadline: here she talks, hangs up, and her wrap-up runs out.
//!         Output::Wait { until } => match until {
//!             Some(until) => {
//!                 now = until;
//!                 acd.timeout(now);
//!             }
//!             None if finished => break,
//!             None => {
//!                 acd.handle(now, Command::Finish { contact: caller })?;
//!                 finished = true;
//!             }
//!         },
//!     }
//! }
//! assert_eq!(acd.figures(sales, now).map(|figures| figures.answered), Some(1));
//! assert_eq!(Acd::replay(7, log).state_hash(), acd.state_hash());
//! # Ok::<(), offhook_acd::Refusal>(())
//! ```

mod acd;
mod apply;
mod audit;
mod config;
mod counting;
mod decide;
mod desk;
mod digest;
mod ends;
mod explain;
mod few;
mod figures;
mod forecast;
mod idle;
mod index;
mod lending;
mod report;
mod route;
mod rows;
#[cfg(test)]
mod shift;
mod state;
mod table;
mod timers;
mod waits;
mod words;

pub use acd::{Acd, AgentState, Snapshot};
pub use config::{
    AgentConfig, Capacity, Channel, Formula, LEVELS_MAX, Lending, Limits, MEMBERSHIPS_MAX, Membership, NEEDS_MAX, Need,
    NoAgents, Order, PROFILES_MAX, QueueConfig, RINGS_MAX, Ring, SKILLS_MAX, ServiceLevel, Skill, Strategy,
    TEXT_BYTES_MAX, WEIGHT_MAX, WrapUp,
};
pub use desk::{OpenOffer, WRAP_UP_EXTENDED_MAX, WrapUpNow};
pub use explain::{Candidate, Explanation, PassedOver, Standing};
pub use figures::{
    AgentFigures, ForecastFigures, Histogram, INTERVAL, INTERVALS_MAX, QuantileFigures, QueueFigures, WAIT_BOUNDS_S,
    service_level_per_myriad,
};
pub use forecast::{DELAYED_MIN, Expected, FORECASTS_MAX};
pub use lending::{REVIEW_EVERY, REVIEWED_INTERVALS};
pub use report::Report;
pub use state::{AgentKind, IdleKey, MEASURE_EVERY, SHIFT_GAP};
pub use words::{
    Command, Effect, Event, FlowOut, Left, MISSED_REASON, OfferEnd, Output, Preferred, Refusal, WrapUpStart,
};
