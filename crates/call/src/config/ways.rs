//! Where a caller is sent who is not to wait here, or not to come in at all.

use std::collections::BTreeMap;

use offhook_plan::AssetId;
use offhook_units::{QueueId, Span};

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
    /// Out of the queue, to be called back by [`Ways::callback`]. Only a key leads there.
    Callback,
}

impl From<QueueId> for Elsewhere {
    fn from(queue: QueueId) -> Self {
        Self::Queue(queue)
    }
}

/// Where a digit of a menu leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// There. Not to a callback: nobody waits yet.
    To(Elsewhere),
    /// Nowhere: the greeting is heard again, which is one round more.
    Again,
}

impl From<QueueId> for Choice {
    fn from(queue: QueueId) -> Self {
        Self::To(queue.into())
    }
}

/// How callers of a queue are called back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackRules {
    /// Whose rights and limits count for the calls.
    pub account: String,
    /// Heard by who asks, before the call ends.
    pub confirm: Vec<AssetId>,
    /// How often a customer is tried.
    pub attempts: u32,
    /// From one attempt to the next.
    pub retry_after: Span,
    /// Nobody is called later than this after asking.
    pub valid_for: Span,
    /// How long the customer's phone rings.
    pub ring_for: Span,
    /// The calendar in whose hours customers are called, by its place; at any time without one.
    pub window: Option<usize>,
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
    /// How callers are called back who ask for it by a key.
    pub callback: Option<CallbackRules>,
}
