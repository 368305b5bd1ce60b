//! What an endpoint keeps of one call leg.

use offhook_units::{Span, Tick};

use super::early::Fork;
use super::reliable::Reliable;
use crate::dialog::Dialog;
use crate::transaction::Alarms;
use crate::{Body, Credentials};

/// One call leg.
#[derive(Debug)]
pub(super) struct Session {
    pub phase: Phase,
    pub change: Change,
    /// A re-INVITE that waits until the one before it is through; the newest counts.
    pub wanted: Option<Wanted>,
    /// Our 2xx that waits for its ACK.
    pub unacked: Option<Unacked>,
    /// When the session is over unless it is refreshed, RFC 4028; none where it does not expire.
    pub expiry: Option<Expiry>,
    /// The peer takes UPDATE.
    pub updates: bool,
    /// What we described last, for a refresh by re-INVITE.
    pub described: Option<Body>,
    /// Refreshes in a row that the peer did not take.
    pub refreshes_failed: u8,
    /// The peer's REFER.
    pub referred: Referred,
    /// Number of our REFER whose outcome the peer still owes us.
    pub referral: Option<u32>,
    /// Reliable provisional responses of ours; none where the peer does not support them.
    pub reliable: Option<Box<Reliable>>,
    /// Branches of our INVITE with reliable provisional responses, until its final response.
    pub forks: Vec<Fork>,
    pub dialog: Dialog,
    pub credentials: Option<Credentials>,
    /// By `SessionTimer`.
    pub alarms: Alarms<5>,
}

impl Session {
    pub(super) fn new(phase: Phase, dialog: Dialog, credentials: Option<Credentials>) -> Self {
        Self {
            phase,
            change: Change::None,
            wanted: None,
            unacked: None,
            expiry: None,
            updates: false,
            described: None,
            refreshes_failed: 0,
            referred: Referred::Never,
            referral: None,
            reliable: None,
            forks: Vec::new(),
            dialog,
            credentials,
            alarms: Alarms::default(),
        }
    }
}

impl Session {
    /// What waited for the end of a glare waits for its turn now; false where nothing did.
    pub(super) fn postpone_glare(&mut self) -> bool {
        let Change::Glare { body } = &mut self.change else { return false };
        let wanted = Wanted(body.take());
        self.wanted.get_or_insert(wanted);
        self.change = Change::None;
        true
    }
}

/// Where a leg is. A leg that is over and has nothing left to do is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Our INVITE went out, nothing came back.
    Calling {
        /// The INVITE's transaction.
        tx: u64,
    },
    /// A provisional response came.
    Proceeding {
        /// The INVITE's transaction.
        tx: u64,
    },
    /// We hung up before a final response.
    Cancelling {
        /// The INVITE's transaction.
        tx: u64,
        /// For CANCEL and BYE.
        reason: Option<String>,
        /// CANCEL waits for the first provisional response, RFC 3261 section 9.1.
        sent: bool,
    },
    /// The peer's INVITE waits for our final response.
    Ringing {
        /// The INVITE's transaction.
        tx: u64,
    },
    /// Answered by the program; our 2xx waits for a PRACK (RFC 3262 section 3), or for our answer to a new offer of the peer's.
    Answering {
        /// The INVITE's transaction.
        tx: u64,
        /// What the 2xx says.
        body: Option<Body>,
    },
    /// Answered.
    Confirmed,
    /// We hung up before the ACK to our 2xx: BYE waits for it, RFC 3261 section 15.
    HangingUp {
        /// For BYE.
        reason: Option<String>,
    },
    /// Our BYE waits for its response. The program knows that the session has ended.
    Over,
}

/// An offer that changes a confirmed or early session, from its sending or coming until its final response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// None.
    None,
    /// Our re-INVITE is out.
    Sent {
        /// Its transaction.
        tx: u64,
        /// To be sent again after a glare.
        body: Option<Body>,
    },
    /// Our re-INVITE met the peer's and is sent again when the glare timer runs out, RFC 3261 section 14.1.
    Glare {
        /// What it offers.
        body: Option<Body>,
    },
    /// The peer's re-INVITE or UPDATE, or a PRACK with an offer, waits for the program.
    Received {
        /// Its transaction.
        tx: u64,
        /// Its number, where it is a re-INVITE and gets an ACK.
        invite: Option<u32>,
        /// It carried no offer: ours stands in our 2xx and the answer in the ACK.
        offerless: bool,
    },
}

/// How long a session lasts without a refresh, RFC 4028.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expiry {
    pub interval: Span,
    /// We refresh it; otherwise the peer does.
    pub ours: bool,
}

/// What became of the peer's REFER. One at a time is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Referred {
    /// There was none yet.
    Never,
    /// It waits for the program.
    Asked {
        /// Its transaction.
        tx: u64,
        /// Its number, which names the subscription.
        cseq: u32,
        /// The peer wants no NOTIFY, RFC 4488.
        quiet: bool,
        /// It is not the first one in this dialog: its NOTIFYs name it (RFC 3515 section 2.4.6).
        again: bool,
    },
    /// The peer is told what becomes of it.
    Subscribed {
        /// Its number, where the NOTIFYs name it.
        id: Option<u32>,
    },
    /// The last one is over.
    Over,
}

/// A re-INVITE to be sent, with its offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted(pub Option<Body>);

/// What the peer is told when a session ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Farewell {
    /// It knows already.
    Nothing,
    /// BYE, with a `Reason` where there is one.
    Bye(Option<String>),
}

/// Our 2xx to an INVITE, sent again until its ACK, RFC 3261 section 13.3.1.4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unacked {
    /// The INVITE's transaction, which has the bytes.
    pub tx: u64,
    /// Of the INVITE and so of its ACK.
    pub cseq: u32,
    /// What the ACK means to the program.
    pub meaning: AckMeaning,
    /// Until it is sent again.
    pub interval: Span,
    /// When the peer is taken for gone.
    pub give_up: Tick,
}

/// What an ACK means to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AckMeaning {
    /// The call is up.
    Confirmed,
    /// It carries the answer to an offer of ours.
    Answer,
    /// Nothing new.
    Nothing,
}
