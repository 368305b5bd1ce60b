//! What an agent sees and does at the desk, whatever phone is in the hand.

use offhook_units::{CallId, ContactId, PersonRef, QueueId, Span, Tick};

use crate::view::{AgentView, CallView};

/// What an agent asks for at the desk. It concerns the agent's own offer, call or wrap-up, and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeskWish {
    /// Not this offer: it goes to the next agent.
    Decline,
    /// Puts whom the agent talks to aside, with music, or takes them back; whoever was brought in stays with the agent.
    Hold(bool),
    /// Nobody hears the agent, or everybody again.
    Mute(bool),
    /// Leads whom the agent talks to elsewhere, and is done with them.
    Transfer(TransferTo),
    /// Puts whom the agent talks to aside and rings a colleague or a number, to ask first.
    Consult(String),
    /// Leaves whom the agent talks to with whoever was brought in.
    PutThrough,
    /// Parts with whoever was brought in, and talks on.
    TakeBack,
    /// Says what a call was about that came from a queue and was taken last: one of its queue's codes, or none of them.
    Code(Option<String>),
    /// Hangs up.
    HangUp,
    /// Is done with wrap-up.
    WrapUpDone,
    /// Needs longer for wrap-up.
    ExtendWrapUp(Span),
}

/// Where a transfer leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferTo {
    /// A colleague by name, or a number, as a phone would dial it.
    Number(String),
    /// A queue, with the place that the wait so far gives.
    Queue(QueueId),
}

/// An agent's desk now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskView {
    /// The agent.
    pub agent: AgentView,
    /// What is offered.
    pub offer: Option<OfferView>,
    /// Calls that the agent's phone is in: that of a queue first.
    pub calls: Vec<DeskCall>,
    /// The wrap-up in hand.
    pub wrap_up: Option<WrapUpView>,
    /// What may be noted of the call from a queue that goes on, or that is being wrapped up.
    pub codes: Option<CodesView>,
}

/// What may be noted of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodesView {
    /// The call.
    pub call: CallId,
    /// The codes of its queue.
    pub codes: Vec<String>,
    /// Wrap-up is not done without one.
    pub required: bool,
    /// What was said last.
    pub code: Option<String>,
}

/// A call that an agent took from a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// As this contact.
    pub contact: ContactId,
    /// The call.
    pub call: CallId,
    /// The queue that offered it.
    pub queue: QueueId,
    /// The caller, in the sealed table; none who showed no number.
    pub person: Option<PersonRef>,
    /// What it was about.
    pub code: Option<String>,
}

/// A call that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferView {
    /// The call.
    pub call: CallView,
    /// The queue that offers it.
    pub queue: String,
    /// It goes to the next agent then.
    pub deadline: Tick,
    /// Since when the caller waits, earlier queues included.
    pub waits_since: Option<Tick>,
    /// What the caller entered in menus.
    pub entered: Vec<Entered>,
    /// The customer asked to be called back, and is called as soon as the agent takes it.
    pub callback: bool,
}

/// A key that a caller pressed in a menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// The menu's name.
    pub menu: String,
    /// The key: 0 to 9, `*`, `#`, A to D.
    pub key: char,
}

/// A call of an agent's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskCall {
    /// The call.
    pub call: CallView,
    /// Whether the agent's phone made it.
    pub outgoing: bool,
    /// Whom the agent talks to is put aside, by the desk or the phone.
    pub held: bool,
    /// Nobody hears the agent, by the desk.
    pub muted: bool,
    /// What the caller entered in menus.
    pub entered: Vec<Entered>,
}

/// A wrap-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrapUpView {
    /// The call that it follows; none where the exchange was started anew meanwhile.
    pub call: Option<CallId>,
    /// Its queue.
    pub queue: String,
    /// When it began.
    pub since: Tick,
    /// It ends then by itself; none where only the agent ends it.
    pub until: Option<Tick>,
}
