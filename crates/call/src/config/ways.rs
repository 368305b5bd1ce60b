//! Where a caller is sent who is not to wait here, or not to come in at all.

use std::collections::BTreeMap;

use offhook_plan::AssetId;
use offhook_units::QueueId;

/// A place to be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elsewhere {
    /// Another queue, with the place that the caller has.
    Queue(QueueId),
    /// A menu, by name.
    Flow(String),
    /// A colleague, a number of ours, or with an account that answers for it a number outside.
    Dial {
        /// What is dialled.
        number: String,
        /// Whose rights and limits count outside.
        account: Option<String>,
    },
    /// A last message, and the end. Without words the end at once.
    Message(Vec<AssetId>),
}

/// Hours of a number or a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The calendar, by its place in [`Config::calendars`](super::Config::calendars).
    pub calendar: usize,
    /// Where callers are sent who come while it is closed.
    pub closed: Elsewhere,
}

/// The ways out of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways {
    /// When callers are let in. Whoever waits already is served after the end of the hours too.
    pub gate: Option<Gate>,
    /// For callers who find the queue full; otherwise they hear [`Queue::full`](super::Queue::full).
    pub full: Option<Elsewhere>,
    /// For callers whom nobody serves, on entering or later; otherwise they hear [`Queue::nobody_here`](super::Queue::nobody_here).
    pub nobody: Option<Elsewhere>,
    /// For callers who have waited for as long as the queue allows; otherwise they hear [`Queue::nobody_here`](super::Queue::nobody_here).
    pub waited: Option<Elsewhere>,
    /// For callers who press a key while they wait.
    pub keys: BTreeMap<char, Elsewhere>,
}
