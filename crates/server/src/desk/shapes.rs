//! The wire shapes of the desk.

use offhook_call::desk::{CodesView, DeskCall, DeskView, Entered, OfferView, WrapUpView};
use offhook_units::Tick;
use schemars::JsonSchema;
use serde::Serialize;

use crate::dto::{Agent, Call};
use crate::time::rfc3339;

/// An agent's desk now.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Desk")]
pub struct DeskNow {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// The agent.
    agent: Agent,
    /// What is offered.
    offer: Option<Offer>,
    /// Calls that the agent's phone is in: that of a queue first.
    calls: Vec<OwnCall>,
    /// The wrap-up in hand.
    wrap_up: Option<WrapUp>,
    /// What may be noted of the call from a queue that goes on, or that is being wrapped up.
    codes: Option<Codes>,
}

impl DeskNow {
    /// As of `now`.
    pub fn of(now: Tick, view: &DeskView) -> Self {
        let DeskView { agent, offer, calls, wrap_up, codes } = view;
        Self {
            at: rfc3339(now),
            agent: Agent::from(agent),
            offer: offer.as_ref().map(Offer::from),
            calls: calls.iter().map(OwnCall::from).collect(),
            wrap_up: wrap_up.as_ref().map(WrapUp::from),
            codes: codes.as_ref().map(Codes::from),
        }
    }
}

/// A call that is offered.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "DeskOffer")]
struct Offer {
    /// The call.
    call: Call,
    /// Name of the queue that offers it.
    queue: String,
    /// It goes to the next agent then.
    #[schemars(extend("format" = "date-time"))]
    deadline: String,
    /// Since when the caller waits, earlier queues included.
    #[schemars(extend("format" = "date-time"))]
    waits_since: Option<String>,
    /// What the caller entered in menus, in order.
    entered: Vec<Key>,
    /// The customer asked to be called back, and is called as soon as the agent takes it.
    callback: bool,
}

impl From<&OfferView> for Offer {
    fn from(view: &OfferView) -> Self {
        let OfferView { call, queue, deadline, waits_since, entered, callback } = view;
        Self {
            call: Call::from(call),
            queue: queue.clone(),
            deadline: rfc3339(*deadline),
            waits_since: waits_since.map(rfc3339),
            entered: entered.iter().map(Key::from).collect(),
            callback: *callback,
        }
    }
}

/// A key that a caller pressed in a menu.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "MenuKey")]
struct Key {
    /// The menu's name.
    menu: String,
    /// 0 to 9, `*`, `#`, A to D.
    key: char,
}

impl From<&Entered> for Key {
    fn from(entered: &Entered) -> Self {
        let Entered { menu, key } = entered;
        Self { menu: menu.clone(), key: *key }
    }
}

/// A call of the agent's.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "DeskCall")]
struct OwnCall {
    /// The call.
    call: Call,
    /// Whether the agent's phone made it.
    outgoing: bool,
    /// Whom the agent talks to is put aside, by the desk or by the phone.
    held: bool,
    /// Nobody hears the agent, by the desk.
    muted: bool,
    /// What the caller entered in menus, in order.
    entered: Vec<Key>,
}

impl From<&DeskCall> for OwnCall {
    fn from(view: &DeskCall) -> Self {
        let DeskCall { call, outgoing, held, muted, entered } = view;
        Self {
            call: Call::from(call),
            outgoing: *outgoing,
            held: *held,
            muted: *muted,
            entered: entered.iter().map(Key::from).collect(),
        }
    }
}

/// A wrap-up.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "DeskWrapUp")]
struct WrapUp {
    /// The call that it follows; null where the exchange was started anew meanwhile.
    call: Option<String>,
    /// Name of its queue.
    queue: String,
    /// When it began.
    #[schemars(extend("format" = "date-time"))]
    since: String,
    /// It ends then by itself; null where only the agent ends it.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
}

impl From<&WrapUpView> for WrapUp {
    fn from(view: &WrapUpView) -> Self {
        let WrapUpView { call, queue, since, until } = view;
        Self {
            call: call.map(|call| call.to_string()),
            queue: queue.clone(),
            since: rfc3339(*since),
            until: until.map(rfc3339),
        }
    }
}

/// What may be noted of a call.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "DeskCodes")]
struct Codes {
    /// The call.
    call: String,
    /// The codes of its queue; `/` parts what is above from what is below.
    choices: Vec<String>,
    /// Wrap-up is not done without one.
    required: bool,
    /// What was said last.
    given: Option<String>,
}

impl From<&CodesView> for Codes {
    fn from(view: &CodesView) -> Self {
        let CodesView { call, codes, required, code } = view;
        Self { call: call.to_string(), choices: codes.clone(), required: *required, given: code.clone() }
    }
}
