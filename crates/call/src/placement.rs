//! Where a call goes that waits: by hand, or by the answer of a program that is asked.

use offhook_units::{AgentId, QueueId, Span};

/// What becomes of a waiting call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// It waits for an agent alone, so long, and keeps its place; then the queue's strategy decides.
    Agent(AgentId, Span),
    /// It goes on to another queue, where it stands where its wait so far puts it.
    Queue(QueueId),
    /// The answer of a program that is asked whom it should go to: as above, or nobody in particular.
    Answer(Option<(AgentId, Span)>),
}
