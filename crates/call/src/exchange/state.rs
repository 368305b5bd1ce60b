//! What a call is made of.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use offhook_plan::{AssetId, Dtls, Grade, LevelReport, MediaPlan, Negotiated, PeerMetrics};
use offhook_sip::sdp::Srtp;
use offhook_sip::{Credentials, Flow, NameAddr, SessionId, Uri};
use offhook_units::{AgentId, CallId, ContactId, LegId, OfferId, PlayerId, QueueId, RecordingId, Tick};

use super::desk::AtDesk;
use super::digits::Digits;
use crate::config::{Answer, Menu};
use crate::guests::Part;
use crate::record::CallEnd;
use crate::recording::{PausedBy, Rule};

/// One call.
pub(super) struct Call {
    pub id: CallId,
    pub started: Tick,
    /// The number dialled.
    pub number: String,
    pub trunk: Option<String>,
    /// The agent whose phone called.
    pub caller_agent: Option<AgentId>,
    /// The account whose phone called.
    pub caller_account: Option<String>,
    /// Through which entrance a visitor came, by its place in the configuration.
    pub entrance: Option<usize>,
    /// Accounts that answer for calls outside that are part of this one.
    pub charged: Vec<String>,
    /// Trunks that it takes a place of, one for each leg there.
    pub seats: Vec<usize>,
    pub from: Presented,
    /// Who sent it on to us, where somebody did.
    pub diverted: Option<super::diversion::Diverted>,
    pub answer: Answer,
    pub caller: Leg,
    /// We sent 200 to the caller.
    pub answered: bool,
    /// Phones that ring for this call.
    pub ringing: BTreeMap<OfferId, Ringing>,
    /// The phone at the other end, dialled or connected.
    pub other: Option<Other>,
    pub stage: Stage,
    pub since: Tick,
    pub contact: Option<ContactId>,
    pub queue: Option<QueueId>,
    /// When it first entered a queue: the place that it keeps.
    pub queued_at: Option<Tick>,
    /// Who takes part beside the two: supervisors, third parties.
    pub guests: Vec<Guest>,
    /// What its agent asked for at the desk.
    pub desk: AtDesk,
    /// A blind transfer that is under way.
    pub transfer: Option<Transfer>,
    /// Transfers that were asked for.
    pub transfers: u32,
    /// Times that the caller was sent elsewhere.
    pub sent_on: u32,
    /// Times that the agent's phone was gone and the caller went back to the queue.
    pub dropped: u32,
    /// The callback that the caller asked for.
    pub asked_back: Option<ContactId>,
    /// The callback whose turn it is, until the customer answers.
    pub calling_back: Option<ContactId>,
    pub recording: Option<RecordingId>,
    /// Where a recorder outside gets it too.
    pub outside: Option<super::siprec::Outside>,
    /// The recording is paused, or is to be.
    pub pause: Option<Pause>,
    /// Where it is somebody else's call that is recorded here.
    pub taken: Option<Box<super::taken::Taken>>,
    /// Times that it was paused.
    pub pauses: u32,
    /// Somebody wants it, where it is recorded on demand.
    pub wanted: bool,
    /// The caller was asked whether it may be recorded.
    pub asked_consent: bool,
    /// The caller agreed.
    pub consents: bool,
    /// What the number says that the caller dialled, or was led to.
    pub number_rule: Option<Rule>,
    /// A phone of ours made it.
    pub placed: bool,
    pub worker: usize,
    pub generation: u32,
    /// The newest plan that the worker has carried out.
    pub applied: u32,
    pub plan: Option<MediaPlan>,
    /// Legs known to the worker and not yet reported closed, with their port and side.
    pub open_legs: BTreeMap<LegId, OpenLeg>,
    pub end: Option<CallEnd>,
    /// Sessions of ours that the endpoint still winds up.
    pub sessions: BTreeSet<SessionId>,
}

/// A pause of a recording.
pub(super) struct Pause {
    pub by: PausedBy,
    /// Somebody asked for it, or the caller's keys.
    pub hand: Option<Hand>,
    /// The rules do not let the call be recorded.
    pub barred: bool,
    /// The first plan without the tap; zero before it is made.
    pub generation: u32,
    /// Since when that one is in force.
    pub since: Option<Tick>,
    /// It ends as soon as it is in force, by whom.
    pub ends: Option<PausedBy>,
}

/// A pause that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hand {
    /// It lasts no longer.
    pub limit: Tick,
    /// The caller's keys began it, and nobody else has asked for it since.
    pub by_keys: bool,
}

/// A leg whose ports the worker holds.
pub(super) struct OpenLeg {
    pub port: u16,
    /// The side whose figures it counts as; a phone that only rang counts as none.
    pub party: Option<crate::event::Party>,
    /// Whose speech it carries.
    pub whose: Option<Whose>,
    /// Nothing comes from there, though it should.
    pub silent: bool,
    /// How the peer sounds to us, and we to the peer.
    pub grades: (Grade, Grade),
    /// How loud the peer has spoken so far, and whether it sends nothing but silence.
    pub level: Option<LevelReport>,
    pub quiet: bool,
    /// How the peer says that it hears us.
    pub told: Option<PeerMetrics>,
}

/// Whose speech a leg carries, where that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// A trunk's, by its place in the configuration.
    Trunk(usize),
    /// An agent's.
    Agent(AgentId),
}

impl Whose {
    /// A leg over a trunk is the trunk's, any other the agent's whose phone it is.
    pub fn of(trunk: Option<usize>, agent: Option<AgentId>) -> Option<Self> {
        trunk.map(Self::Trunk).or_else(|| agent.map(Self::Agent))
    }
}

/// What the caller presents.
#[derive(Debug, Clone)]
pub(super) struct Presented {
    pub display: Option<String>,
    /// User part of From, or the whole number.
    pub user: String,
}

/// One end of a call.
pub(super) struct Leg {
    pub id: LegId,
    pub session: SessionId,
    pub flow: Flow,
    /// The trunk at the other end, by its place in the configuration.
    pub trunk: Option<usize>,
    /// Address in SDP and Contact.
    pub address: IpAddr,
    /// Our RTP port.
    pub port: u16,
    pub ssrc: u32,
    pub first_seq: u16,
    pub first_timestamp: u32,
    /// It has come from another call, with its streams.
    pub moved: bool,
    pub sdp_id: u64,
    pub sdp_version: u64,
    /// Our answer to the offer that made this leg.
    pub answer: Option<String>,
    /// What we described last, offer or answer: it has the version `sdp_version`.
    pub described: Option<String>,
    /// Our offer that has no answer yet.
    pub offered: Option<String>,
    pub negotiated: Option<Negotiated>,
    /// What is wanted of encryption, and our keys, for as long as the leg lives.
    pub srtp: Srtp,
    /// What we say of DTLS and ICE, where its keys come that way.
    pub dtls: Option<Box<Dtls>>,
    /// What was heard of its keys.
    pub digits: Digits,
}

/// A phone that rings for an offer.
pub(super) struct Ringing {
    pub agent: AgentId,
    pub leg: Leg,
    /// It sent media of its own before answering.
    pub early_media: bool,
}

/// The phone at the other end.
pub(super) struct Other {
    pub agent: Option<AgentId>,
    pub leg: Leg,
    /// It sent media of its own before answering.
    pub early_media: bool,
}

/// A supervisor, or a third party.
pub(super) struct Guest {
    pub other: Other,
    /// What was called.
    pub number: String,
    pub part: Part,
    /// What is tried after this one.
    pub ways: VecDeque<Way>,
    /// Since when the phone is picked up.
    pub joined: Option<Tick>,
    /// It took another part than it came for: what it said before is nobody's to hear.
    pub turned: bool,
    /// Until when it rings.
    pub ring_until: Tick,
    /// Talks instead of the agent as soon as the phone is picked up.
    pub takes_over: bool,
}

/// A blind transfer that is under way: the target rings.
pub(super) struct Transfer {
    /// The phone that asked for it, while it has not hung up.
    pub by: Option<Other>,
    /// Whose phone that is.
    pub agent: Option<AgentId>,
    /// Since when the two had talked.
    pub connected: Tick,
    /// What the caller hears meanwhile.
    pub hold_music: Playing,
    pub held_by_caller: bool,
    /// How many accounts the call was charged to before.
    pub charged: usize,
    /// What the caller's seat was before, where the phone that asked had called.
    pub turned: Option<(Presented, Option<String>)>,
}

/// Where a call is on its road.
pub(super) enum Stage {
    /// The menu's greeting is heard.
    Greeting {
        menu: String,
        /// The menu as it was when the call came to it, where it is another one by now.
        kept: Option<Box<Menu>>,
        round: u8,
        playing: Playing,
        /// The greeting is over; a digit is awaited.
        listening: bool,
    },
    /// The caller hears the own voice.
    Echo,
    /// Somebody else's call, which is recorded here.
    Taken,
    /// In a queue; phones may ring.
    Queued { music: Playing, announcement: Option<Playing> },
    /// A phone is rung without a queue, for a transfer too.
    Dialling {
        /// What is tried after it.
        ways: VecDeque<Way>,
        /// What an answered caller hears once it rings.
        ringback: Option<Playing>,
    },
    /// The agent is there, and the customer who asked to be called back is rung.
    CallingBack {
        /// What is tried after it.
        ways: VecDeque<Way>,
        /// What the agent hears meanwhile.
        music: Playing,
        /// The customer's network sends something of its own.
        early: bool,
        /// An INVITE has left.
        tried: bool,
    },
    /// Both hear each other since then.
    Talking {
        /// When the other end answered: packets since then belong to the talk.
        connected: Tick,
        /// What the caller hears while the other end holds.
        hold_music: Playing,
        held_by_caller: bool,
        held_by_other: bool,
    },
    /// A last message, then the end.
    Message {
        playing: Playing,
        end: CallEnd,
        /// Final status for a caller who was never answered.
        status: u16,
    },
    /// Everybody was hung up on; the worker still has to report.
    Ending,
}

/// One way to reach somebody without a queue.
pub(super) struct Way {
    pub uri: Uri,
    pub flow: Flow,
    /// Who calls, as it is shown there.
    pub from: NameAddr,
    pub agent: Option<AgentId>,
    /// The trunk, by its place in the configuration, where it leads outside.
    pub trunk: Option<usize>,
    /// An emergency call: it passes every limit.
    pub urgent: bool,
    /// What else is said of who calls.
    pub headers: Vec<(String, String)>,
    /// For the trunk's challenges.
    pub credentials: Option<Credentials>,
    /// The account that answers for the call outside.
    pub charged: Option<String>,
}

/// A player with what it plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Playing {
    pub player: PlayerId,
    pub assets: Vec<AssetId>,
}

impl Call {
    /// The agents whose phones are in it.
    pub fn agents(&self) -> impl Iterator<Item = AgentId> {
        let other = self.other.as_ref().and_then(|other| other.agent);
        let guests = self.guests.iter().filter_map(|guest| guest.other.agent);
        self.caller_agent.into_iter().chain(other).chain(self.ringing.values().map(|rings| rings.agent)).chain(guests)
    }

    /// Every leg but the caller's that rings or is up, with whose phone it is.
    pub fn far_ends(&self) -> impl Iterator<Item = (&Leg, Option<AgentId>)> {
        let aside = self.transfer.as_ref().and_then(|transfer| transfer.by.as_ref());
        let guests = self.guests.iter().map(|guest| &guest.other);
        let others = self.other.iter().chain(aside).chain(guests).map(|other| (&other.leg, other.agent));
        others.chain(self.ringing.values().map(|rings| (&rings.leg, Some(rings.agent))))
    }

    /// Whether a phone that we call has not been picked up yet.
    pub fn rings_at(&self, session: SessionId) -> bool {
        let dialled = self.other.as_ref().filter(|_| matches!(self.stage, Stage::Dialling { .. }));
        let guests = self.guests.iter().filter(|guest| guest.joined.is_none()).map(|guest| &guest.other);
        let dialled = dialled.into_iter().chain(guests).map(|other| &other.leg);
        let mut legs = self.ringing.values().map(|rings| &rings.leg).chain(dialled);
        legs.any(|leg| leg.session == session)
    }

    pub fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Ending)
    }

    /// What is left to be tried while somebody is rung without a queue.
    pub fn ways(&mut self) -> Option<&mut VecDeque<Way>> {
        match &mut self.stage {
            Stage::Dialling { ways, .. } => Some(ways),
            Stage::Greeting { .. }
            | Stage::Queued { .. }
            | Stage::Echo
            | Stage::Taken
            | Stage::CallingBack { .. }
            | Stage::Talking { .. }
            | Stage::Message { .. }
            | Stage::Ending => None,
        }
    }
}
