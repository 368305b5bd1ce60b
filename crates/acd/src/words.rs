//! What goes in and what comes out: commands, refusals, events (the memory), effects (what is to be done), outputs.

use offhook_units::{AgentId, ContactId, OfferId, QueueId, Span, Tick, VisitId};

use crate::config::{AgentConfig, Channel, Lending, Need, QueueConfig};
pub use crate::ends::{FlowOut, Left, OfferEnd, WrapUpStart};
use crate::forecast::Expected;

/// The reason given to an agent who let too many offers ring out.
pub const MISSED_REASON: &str = "missed-offers";

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Command {
    /// Adds a queue, or changes the one of that id.
    AddQueue(QueueConfig),
    /// Removes a queue that has no contacts and no members.
    RemoveQueue {
        /// Which.
        queue: QueueId,
    },
    /// Adds an agent, or changes the one of that id. The queues must be known.
    AddAgent(AgentConfig),
    /// Removes an agent who is logged out.
    RemoveAgent {
        /// Who.
        agent: AgentId,
    },
    /// Says on which terms a queue lends its agents; without terms it lends nobody.
    SetLending {
        /// Which.
        queue: QueueId,
        /// The terms.
        terms: Option<Lending>,
    },
    /// An agent's membership of a queue holds only while another queue of the agent lends; or always again.
    Lend {
        /// Who.
        agent: AgentId,
        /// To which queue.
        queue: QueueId,
        /// By which.
        by: Option<QueueId>,
    },
    /// Comes to work, and is ready at once.
    LogIn {
        /// Who.
        agent: AgentId,
    },
    /// Goes home: an open offer is withdrawn, a conversation may end first, wrap-up ends.
    LogOut {
        /// Who.
        agent: AgentId,
    },
    /// Is ready: ends not-ready, wrap-up and the delay after a missed offer, takes back a log-out that has not happened yet.
    SetReady {
        /// Who.
        agent: AgentId,
    },
    /// Is not ready, at once or when the conversation and its wrap-up are over; an open offer is withdrawn.
    SetNotReady {
        /// Who.
        agent: AgentId,
        /// The reason's code.
        reason: String,
    },
    /// A contact begins to wait.
    Enter {
        /// Which; not alive yet.
        contact: ContactId,
        /// This stay.
        visit: VisitId,
        /// Where.
        queue: QueueId,
        /// On which channel.
        channel: Channel,
        /// Larger goes first.
        priority: i32,
        /// An older place in the queue that it keeps: resume, callback, transfer. Not later than now.
        place_at: Option<Tick>,
        /// Skills that it needs, beside those that its queue asks of everybody; each at most once.
        needs: Vec<Need>,
        /// Whom it waits for first. Passed over where the agent does not serve the queue now.
        prefers: Option<Preferred>,
    },
    /// Contacts that enter a queue from now on are asked about ([`Effect::Ask`]) for at most so long before the queue's strategy decides; none for
    /// not at all.
    SetExternal {
        /// Which.
        queue: QueueId,
        /// At most; not zero.
        within: Option<Span>,
    },
    /// The answer to [`Effect::Ask`]: whom the contact waits for first, as [`Preferred`] says; none for the queue's strategy.
    Direct {
        /// Which contact.
        contact: ContactId,
        /// Whom to.
        to: Option<Preferred>,
    },
    /// A supervisor gives a waiting contact to an agent, or an agent takes it: it waits for that agent first, as [`Preferred`] says, and rings nobody
    /// else meanwhile. Its place stays.
    Give {
        /// Which contact.
        contact: ContactId,
        /// Whom to.
        to: Preferred,
    },
    /// Somebody is about to tell a waiting contact how long it will wait: what [`Acd::expected_wait`](crate::Acd::expected_wait) says now is
    /// noted, and scored when the wait is over. Nothing is noted where it says nothing.
    Forecast {
        /// Which.
        contact: ContactId,
    },
    /// The customer of a waiting contact is not there (a callback): whoever takes it has to reach the customer first, and only then is the visit
    /// answered. Where the contact is finished before that, the visit flowed out.
    MustReach {
        /// Which.
        contact: ContactId,
    },
    /// The customer is there.
    Reached {
        /// Which contact.
        contact: ContactId,
    },
    /// A waiting contact goes, also while it is ringing.
    Leave {
        /// Which.
        contact: ContactId,
        /// How.
        outcome: Left,
    },
    /// A contact moves to another queue, or back, and keeps its place. From waiting it flows out; from service it is finished.
    Requeue {
        /// Which.
        contact: ContactId,
        /// The new stay.
        visit: VisitId,
        /// Where to.
        queue: QueueId,
        /// Larger goes first.
        priority: i32,
    },
    /// The agent takes it.
    Accept {
        /// Which.
        offer: OfferId,
    },
    /// The agent says no.
    Decline {
        /// Which.
        offer: OfferId,
    },
    /// The agent's phone is busy: as declined, and nothing is offered to the agent for so long instead of
    /// [`AgentConfig::decline_delay`].
    Busy {
        /// Which.
        offer: OfferId,
        /// How long; zero for not at all.
        rest: Span,
    },
    /// The agent's phone cannot be reached or gave up.
    NoAnswer {
        /// Which.
        offer: OfferId,
    },
    /// A served contact is put on hold or taken back.
    Hold {
        /// Which.
        contact: ContactId,
        /// On hold from now.
        on: bool,
    },
    /// A served contact is over; wrap-up begins.
    Finish {
        /// Which.
        contact: ContactId,
    },
    /// The agent is done with wrap-up.
    WrapUpDone {
        /// Who.
        agent: AgentId,
    },
    /// The agent needs longer for wrap-up, so much; never more than [`WRAP_UP_EXTENDED_MAX`](crate::WRAP_UP_EXTENDED_MAX) in all.
    ExtendWrapUp {
        /// Who.
        agent: AgentId,
        /// By how much.
        by: Span,
    },
}

/// An agent for whom a contact waits a while before anybody else may take it: who served this customer last, say (sticky
/// agent). It keeps its place in line meanwhile, and tiers do not count between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Preferred {
    /// Who.
    pub agent: AgentId,
    /// For at most this long, from entering.
    pub wait: Span,
}

/// Why a command did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The queue has `max_waiting` contacts. Send the contact elsewhere.
    #[error("the queue is full")]
    QueueFull,
    /// Nobody is logged in and ready to work there, and the queue lets nobody in then. Send the contact elsewhere.
    #[error("nobody serves the queue")]
    NobodyLoggedIn,
    /// The embedding program named a queue that was never added.
    #[error("unknown queue {0}")]
    UnknownQueue(QueueId),
    /// The embedding program named an agent who was never added.
    #[error("unknown agent {0}")]
    UnknownAgent(AgentId),
    /// The contact never entered, or is gone.
    #[error("unknown contact {0}")]
    UnknownContact(ContactId),
    /// No offer ever had that id.
    #[error("unknown offer {0}")]
    UnknownOffer(OfferId),
    /// The offer has ended: withdrawn, declined, timed out or accepted by another. Stop ringing; no harm is done.
    #[error("the offer has ended")]
    TooLate,
    /// The contact is alive already: one contact is in one place.
    #[error("contact {0} is in a queue already")]
    AlreadyHere(ContactId),
    /// The contact waits; it is not being served.
    #[error("contact {0} is not being served")]
    NotServed(ContactId),
    /// Nobody is asked about the contact: the deadline has passed, or it was answered already. The queue's strategy decides.
    #[error("nobody is asked about contact {0}")]
    NotAsked(ContactId),
    /// The agent does not serve the contact's queue now, takes nothing of its channel, or lacks a skill that it needs. Give it to another one.
    #[error("agent {0} cannot take the contact")]
    CannotTake(AgentId),
    /// The contact is being served; finish it instead.
    #[error("contact {0} is being served")]
    BeingServed(ContactId),
    /// The agent is not logged in.
    #[error("agent {0} is not logged in")]
    NotLoggedIn(AgentId),
    /// The agent has no wrap-up to end.
    #[error("agent {0} is not in wrap-up")]
    NotInWrapUp(AgentId),
    /// It cannot be removed while something stands on it.
    #[error("still in use")]
    InUse,
    /// A limit by this name is reached.
    #[error("limit reached: {0}")]
    LimitReached(&'static str),
    /// The configuration or a text in the command is wrong. Fix the caller.
    #[error("{0}")]
    Misuse(&'static str),
}

/// What happened: the memory of the distributor. State and every figure are folds of these, each with the tick at which it happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Event {
    /// A queue was added or changed.
    QueueSet(QueueConfig),
    /// A queue was removed.
    QueueRemoved {
        /// Which.
        queue: QueueId,
    },
    /// An agent was added or changed.
    AgentSet(AgentConfig),
    /// An agent was removed.
    AgentRemoved {
        /// Who.
        agent: AgentId,
    },
    /// An agent came to work.
    LoggedIn {
        /// Who.
        agent: AgentId,
        /// A new shift begins: the last one ended long ago.
        new_shift: bool,
    },
    /// An agent wants to go home when the conversation is over.
    LogOutAsked {
        /// Who.
        agent: AgentId,
    },
    /// An agent went home.
    LoggedOut {
        /// Who.
        agent: AgentId,
    },
    /// An agent is ready again.
    Ready {
        /// Who.
        agent: AgentId,
    },
    /// An agent is not ready, or will be when the work in hand is over.
    NotReady {
        /// Who.
        agent: AgentId,
        /// The reason's code.
        reason: String,
        /// Not asked for: too many offers were missed.
        automatic: bool,
    },
    /// The delay after an offer not taken is over.
    Rested {
        /// Who.
        agent: AgentId,
    },
    /// A visit began.
    Entered {
        /// Which contact.
        contact: ContactId,
        /// This stay.
        visit: VisitId,
        /// Where.
        queue: QueueId,
        /// On which channel.
        channel: Channel,
        /// Larger goes first.
        priority: i32,
        /// What orders it among equals; the tick of this event unless inherited.
        place_at: Tick,
        /// Skills that it needs itself.
        needs: Vec<Need>,
    },
    /// More tiers are open to a waiting contact.
    TierOpened {
        /// Which contact.
        contact: ContactId,
        /// How many of the queue's tier waits are over.
        step: u8,
    },
    /// A wider circle of agents is open to a waiting contact.
    RingOpened {
        /// Which contact.
        contact: ContactId,
        /// How many rings are open.
        ring: u8,
    },
    /// One more agent may be rung for a contact that rings already.
    Widened {
        /// Which contact.
        contact: ContactId,
    },
    /// The part of the shift that a free agent was busy is taken anew.
    Measured {
        /// Who.
        agent: AgentId,
    },
    /// A contact has waited as long as the queue allows.
    WaitedTooLong {
        /// Which contact.
        contact: ContactId,
    },
    /// A queue has had nobody for as long as it allows.
    NobodyHere {
        /// Which queue.
        queue: QueueId,
    },
    /// A contact is held out to an agent.
    Offered {
        /// This offer.
        offer: OfferId,
        /// Which contact.
        contact: ContactId,
        /// Where it waits.
        queue: QueueId,
        /// To whom.
        agent: AgentId,
        /// When it ends by itself.
        deadline: Tick,
    },
    /// An offer ended without being accepted; the contact waits on.
    OfferEnded {
        /// Which.
        offer: OfferId,
        /// The contact held out.
        contact: ContactId,
        /// Where it waits.
        queue: QueueId,
        /// To whom.
        agent: AgentId,
        /// How.
        how: OfferEnd,
        /// Nothing is offered to the agent until then.
        rest_until: Option<Tick>,
    },
    /// An offer was accepted: the visit ends answered, service begins. Where the customer must be reached first, the visit goes on.
    Accepted {
        /// Which.
        offer: OfferId,
        /// The contact.
        contact: ContactId,
        /// The stay that ends.
        visit: VisitId,
        /// Where it waited.
        queue: QueueId,
        /// By whom.
        agent: AgentId,
        /// When the visit began.
        entered_at: Tick,
    },
    /// A visit ended without an answer.
    Left {
        /// The contact.
        contact: ContactId,
        /// The stay that ends.
        visit: VisitId,
        /// Where it waited.
        queue: QueueId,
        /// When the visit began.
        entered_at: Tick,
        /// How.
        outcome: Left,
    },
    /// A served contact was put on hold.
    Held {
        /// Which.
        contact: ContactId,
        /// By whom.
        agent: AgentId,
    },
    /// A served contact was taken back from hold.
    Retrieved {
        /// Which.
        contact: ContactId,
        /// By whom.
        agent: AgentId,
    },
    /// A served contact is over.
    Finished {
        /// Which.
        contact: ContactId,
        /// Where it had waited.
        queue: QueueId,
        /// By whom it was served.
        agent: AgentId,
        /// Time in conversation.
        talk: Span,
        /// Time on hold.
        hold: Span,
        /// What begins for the agent.
        wrap_up: WrapUpStart,
    },
    /// The wrap-up of a contact is over.
    WrapUpEnded {
        /// The contact that it followed.
        contact: ContactId,
        /// Where it had waited.
        queue: QueueId,
        /// Whose.
        agent: AgentId,
        /// How long it lasted.
        lasted: Span,
    },
    /// A contact that has just entered waits for one agent until then. It ends sooner where the agent no longer serves the queue, or
    /// lets the contact pass.
    Preferred {
        /// Which contact.
        contact: ContactId,
        /// For whom.
        agent: AgentId,
        /// At most.
        until: Tick,
    },
    /// A contact has waited for its agent for as long as it may; from now on anybody may take it.
    PreferenceEnded {
        /// Which contact.
        contact: ContactId,
    },
    /// It was said how long a contact has still to wait.
    Forecast {
        /// Which contact.
        contact: ContactId,
        /// This stay.
        visit: VisitId,
        /// Where it waits.
        queue: QueueId,
        /// When the visit began.
        entered_at: Tick,
        /// What was said.
        said: Expected,
    },
    /// The terms changed on which a queue lends its agents.
    LendingSet {
        /// Which.
        queue: QueueId,
        /// The terms; none where it lends nobody.
        terms: Option<Lending>,
    },
    /// A queue looked at how well it does.
    LendingReviewed {
        /// Which.
        queue: QueueId,
        /// It lends its agents from now on.
        lends: bool,
    },
    /// An agent's membership of a queue became a loan, or ceased to be one.
    Lent {
        /// Who.
        agent: AgentId,
        /// To which queue.
        queue: QueueId,
        /// By which; none for a member like any other.
        by: Option<QueueId>,
    },
    /// The customer of a contact is to be reached by whoever takes it: `Accepted` does not end this visit.
    MustReach {
        /// Which contact.
        contact: ContactId,
    },
    /// The customer was reached: the visit ends answered.
    Reached {
        /// The contact.
        contact: ContactId,
        /// The stay that ends.
        visit: VisitId,
        /// Where it waited.
        queue: QueueId,
        /// When the visit began.
        entered_at: Tick,
        /// How long it waited for an agent.
        waited: Span,
    },
    /// The customer was not reached: the visit ends flowed out. `Finished` follows.
    Unreached {
        /// The contact.
        contact: ContactId,
        /// The stay that ends.
        visit: VisitId,
        /// Where it waited.
        queue: QueueId,
        /// When the visit began.
        entered_at: Tick,
        /// How long it waited for an agent.
        waited: Span,
    },
    /// Whether a queue's contacts are asked about changed.
    ExternalSet {
        /// Which.
        queue: QueueId,
        /// For how long, at most.
        within: Option<Span>,
    },
    /// A contact that has just entered is asked about; nobody is offered it until then.
    Asked {
        /// Which contact.
        contact: ContactId,
        /// Where it waits.
        queue: QueueId,
        /// At most.
        until: Tick,
    },
    /// A contact is no longer asked about: there was an answer, or none in time.
    AskEnded {
        /// Which contact.
        contact: ContactId,
    },
    /// The wrap-up of a contact lasts longer.
    WrapUpExtended {
        /// The contact that it follows.
        contact: ContactId,
        /// Where it had waited.
        queue: QueueId,
        /// Whose.
        agent: AgentId,
        /// Until then, or until the agent says done.
        until: Tick,
    },
}

/// What the embedding program is to do. Each follows the event that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Effect {
    /// Ring the agent; answer with `Accept`, `Decline` or `NoAnswer`.
    Offer {
        /// This offer.
        offer: OfferId,
        /// Which contact.
        contact: ContactId,
        /// Whom.
        agent: AgentId,
        /// From which queue.
        queue: QueueId,
        /// When it will be withdrawn.
        deadline: Tick,
    },
    /// Stop ringing.
    Withdraw {
        /// Which offer.
        offer: OfferId,
        /// Whose phone.
        agent: AgentId,
        /// The contact that was held out.
        contact: ContactId,
        /// Why; never `Declined` or `NoAnswer`, which came from the phone itself.
        why: OfferEnd,
    },
    /// Say who is to be offered the contact (`Direct`), before the deadline; then the queue's strategy decides.
    Ask {
        /// Which.
        contact: ContactId,
        /// Where it waits.
        queue: QueueId,
        /// Until when.
        deadline: Tick,
    },
    /// Take the contact out (`Leave` with [`FlowOut::TimedOut`] or another way out); it waits on until then.
    WaitedTooLong {
        /// Which.
        contact: ContactId,
    },
    /// Take the contact out (`Leave` with [`FlowOut::NobodyHere`] or another way out); it waits on until then.
    NobodyHere {
        /// Which.
        contact: ContactId,
    },
}

/// One thing that came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Append it to the log before the effects after it are carried out.
    Event {
        /// When it happened.
        at: Tick,
        /// What.
        event: Event,
    },
    /// Carry it out.
    Effect(Effect),
    /// Nothing more now; call `timeout` at `until`, if given.
    Wait {
        /// The next deadline.
        until: Option<Tick>,
    },
}
