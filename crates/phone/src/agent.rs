//! How the agent at this phone stands at the exchange: what its live API tells, for the screen and for programs.

use offhook_units::Tick;
use serde::{Deserialize, Serialize};

/// An agent's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentState {
    /// Gets no calls from any queue.
    LoggedOut,
    /// Gets the next one.
    Available,
    /// One rings.
    Offered,
    /// Talks.
    Busy,
    /// Writes down what the last call was about.
    WrapUp,
    /// Does something else.
    NotReady,
}

/// The agent now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentNow {
    /// The agent's name.
    pub name: String,
    /// What it does.
    pub state: AgentState,
    /// Why it is not ready, where it said so.
    pub reason: Option<String>,
    /// Since when, in milliseconds since the Unix epoch.
    #[serde(rename = "since_ms", serialize_with = "as_ms")]
    pub since: Tick,
    /// When the wrap-up ends by itself, in milliseconds since the Unix epoch.
    #[serde(rename = "until_ms", serialize_with = "as_ms_or_none")]
    pub until: Option<Tick>,
    /// The queues that it serves.
    pub queues: Vec<String>,
    /// Who is offered, or talked to.
    pub customer: Option<Customer>,
}

/// A customer, before the call is answered and in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Customer {
    /// The exchange's name for the call.
    pub call: String,
    /// Number or name, as the exchange shows it.
    pub caller: String,
    /// The queue that the call comes from.
    pub queue: Option<String>,
    /// Since when the customer waits, earlier queues included, in milliseconds since the Unix epoch; until the call is answered.
    #[serde(rename = "waits_since_ms", serialize_with = "as_ms_or_none")]
    pub waits_since: Option<Tick>,
    /// The keys pressed in menus.
    pub entered: String,
    /// The customer asked for this call.
    pub callback: bool,
    /// How many earlier calls the exchange knows, of twenty at most.
    pub earlier: usize,
    /// What was noted of the last one that somebody noted something of.
    pub note: Option<String>,
}

/// What an agent wants of the exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentWish {
    /// Calls, please: logged in at its queues.
    Available,
    /// None until further notice, and why.
    NotReady(Option<String>),
    /// No more today: logged out of its queues.
    LoggedOut,
    /// The wrap-up is done.
    WrapUpDone,
    /// So many seconds more of it.
    ExtendWrapUp(u32),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
pub(crate) fn as_ms<S: serde::Serializer>(at: &Tick, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(at.as_ms())
}

#[expect(clippy::ref_option, reason = "serde hands references")]
fn as_ms_or_none<S: serde::Serializer>(at: &Option<Tick>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => as_ms(at, serializer),
        None => serializer.serialize_none(),
    }
}
