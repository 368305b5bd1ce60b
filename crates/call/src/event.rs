//! What happened to calls, as it stands in the event log.

use offhook_plan::tap::Side;
use offhook_plan::{LegReport, LevelReport, PeerMetrics, SpeechReport, SrtpReport};
use offhook_sip::DialogSnapshot;
use offhook_units::{AgentId, CallId, ContactId, LegId, OfferId, PersonRef, QueueId, RecordingId, VisitId};
use serde::{Deserialize, Serialize};

use crate::alarm::AlarmEvent;
use crate::callback::CallbackEvent;
use crate::guests::Part;
use crate::record::{CallEnd, DivertedFor};
use crate::recording::PausedBy;

/// Stream of the distributor's events in the log.
pub const STREAM_ACD: u16 = 1;
/// Stream of the calls' events in the log.
pub const STREAM_CALL: u16 = 2;
/// Stream of the callbacks' events in the log.
pub const STREAM_CALLBACK: u16 = 3;
/// Stream of the alarms' events in the log.
pub const STREAM_ALARM: u16 = 4;
/// Version of all encodings.
pub const VERSION: u16 = 1;

/// One entry of the event log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum LogEvent {
    /// Of the distributor.
    Acd(offhook_acd::Event),
    /// Of a call.
    Call(CallEvent),
    /// Of a callback.
    Callback(CallbackEvent),
    /// Of an alarm.
    Alarm(AlarmEvent),
}

/// Room that is made for an event at once; most need less.
const TYPICAL_BYTES: usize = 128;

impl LogEvent {
    /// Which stream it belongs to.
    pub const fn stream(&self) -> u16 {
        match self {
            Self::Acd(_) => STREAM_ACD,
            Self::Call(_) => STREAM_CALL,
            Self::Callback(_) => STREAM_CALLBACK,
            Self::Alarm(_) => STREAM_ALARM,
        }
    }

    /// The event as bytes of [`VERSION`].
    ///
    /// # Panics
    /// Never: every event type can be encoded.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, Vec::with_capacity(TYPICAL_BYTES)).expect("events are plain data")
    }

    /// Reads what [`LogEvent::encode`] wrote.
    ///
    /// # Errors
    /// Where the bytes are not of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(bytes)
    }
}

/// One of the two sides of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// Who called us.
    Caller,
    /// The agent, or the phone that a number dials.
    Agent,
}

/// Where somebody is heard in a recording of others' call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TakenPart {
    /// On the left.
    Left,
    /// On the right.
    Right,
    /// It is not told, or nowhere.
    Unheard,
}

impl TakenPart {
    /// That of a side of the recording.
    pub const fn of(side: Option<Side>) -> Self {
        match side {
            Some(Side::Heard) => Self::Left,
            Some(Side::Sent) => Self::Right,
            None => Self::Unheard,
        }
    }

    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Unheard => "unheard",
        }
    }
}

/// How an offer's ringing ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// The phone refused.
    Declined,
    /// Nobody picked up in time, or the phone could not be reached.
    NoAnswer,
    /// The caller left, or somebody else was faster.
    Withdrawn,
}

/// What happened to a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum CallEvent {
    /// An INVITE for a number of ours was taken on.
    Began {
        /// Which call.
        call: CallId,
        /// The number dialled.
        number: String,
        /// Which trunk it came from.
        trunk: Option<String>,
        /// The caller, in the sealed table.
        caller: PersonRef,
    },
    /// We answered the caller.
    Answered {
        /// Which call.
        call: CallId,
    },
    /// The caller entered a queue.
    Queued {
        /// Which call.
        call: CallId,
        /// As this contact.
        contact: ContactId,
        /// On this visit.
        visit: VisitId,
        /// Which queue.
        queue: QueueId,
    },
    /// An agent's phone was sent an INVITE.
    Ringing {
        /// Which call.
        call: CallId,
        /// For this offer.
        offer: OfferId,
        /// Whose phone.
        agent: AgentId,
    },
    /// The ringing ended without an answer.
    RingingEnded {
        /// Which call.
        call: CallId,
        /// Which offer.
        offer: OfferId,
        /// Whose phone.
        agent: AgentId,
        /// How.
        missed: Missed,
    },
    /// An agent, or the dialled phone, answered: both hear each other.
    Connected {
        /// Which call.
        call: CallId,
        /// Who, where it is an agent.
        agent: Option<AgentId>,
    },
    /// A side put the other on hold, or took it back.
    Held {
        /// Which call.
        call: CallId,
        /// Who holds.
        by: Party,
        /// Begins or ends.
        on: bool,
    },
    /// The caller pressed a key; which one is not kept.
    Digit {
        /// Which call.
        call: CallId,
    },
    /// Recording began.
    RecordingStarted {
        /// Which call.
        call: CallId,
        /// Which recording.
        recording: RecordingId,
    },
    /// A dialog is up: what a successor needs to end it.
    DialogConfirmed {
        /// Which call.
        call: CallId,
        /// Which side.
        party: Party,
        /// The dialog.
        dialog: Box<DialogSnapshot>,
    },
    /// A leg's media was closed.
    LegClosed {
        /// Which call.
        call: CallId,
        /// Which side.
        party: Party,
        /// Its figures.
        report: LegReport,
    },
    /// The call is over.
    Ended {
        /// Which call.
        call: CallId,
        /// How.
        end: CallEnd,
    },
    /// The call was made by a phone of ours.
    Placed {
        /// Which call.
        call: CallId,
        /// By the phone of this account.
        account: String,
        /// Whose phone it is, where it is an agent's.
        agent: Option<AgentId>,
    },
    /// A phone, or a number outside, was sent an INVITE without a queue.
    Dialled {
        /// Which call.
        call: CallId,
        /// Over which trunk, where it went outside.
        trunk: Option<String>,
        /// Whose phone, where it is an agent's.
        agent: Option<AgentId>,
    },
    /// A phone of ours asked for somebody else in its place: whom it talked to hears music while the target rings.
    Transferring {
        /// Which call.
        call: CallId,
        /// Whose phone asked, where it is an agent's.
        by: Option<AgentId>,
    },
    /// A transfer came to its end.
    Transferred {
        /// Which call.
        call: CallId,
        /// Whose phone asked, where it is an agent's.
        by: Option<AgentId>,
        /// Who talks now, where it is an agent.
        to: Option<AgentId>,
        /// The two had talked before.
        attended: bool,
        /// 200 where it succeeded; else why not, as a SIP status.
        status: u16,
    },
    /// The far end of this call went over into another one, which a transfer joined it with.
    Joined {
        /// Which call.
        call: CallId,
        /// The call that goes on.
        into: CallId,
    },
    /// The media of a leg that is closed was encrypted.
    Encrypted {
        /// Which call.
        call: CallId,
        /// Which side.
        party: Party,
        /// How.
        srtp: SrtpReport,
    },
    /// The call had been sent on before it came to us.
    Diverted {
        /// Which call.
        call: CallId,
        /// Who sent it on last, in the sealed table; none where that is not told.
        from: Option<PersonRef>,
        /// Why.
        why: DivertedFor,
        /// How often it was sent on.
        times: u32,
    },
    /// A side hung up and said why, as the telephone network counts (Q.850).
    HangUpCause {
        /// Which call.
        call: CallId,
        /// Which side.
        by: Party,
        /// 1 to 127.
        cause: u8,
    },
    /// How a leg that is closed had sounded.
    Sounded {
        /// Which call.
        call: CallId,
        /// Which side.
        party: Party,
        /// Rated seconds and silences.
        speech: Box<SpeechReport>,
    },
    /// The phone of a supervisor, or of a third party, was sent an INVITE.
    GuestRung {
        /// Which call.
        call: CallId,
        /// The guest, by its leg.
        guest: LegId,
        /// Whose phone, where it is an agent's.
        agent: Option<AgentId>,
        /// As what.
        part: Part,
    },
    /// A guest's phone was picked up.
    GuestJoined {
        /// Which call.
        call: CallId,
        /// The guest, by its leg.
        guest: LegId,
        /// The dialog: what a successor needs to end it.
        dialog: Box<DialogSnapshot>,
    },
    /// A guest takes another part.
    GuestTurned {
        /// Which call.
        call: CallId,
        /// The guest, by its leg.
        guest: LegId,
        /// Which.
        part: Part,
    },
    /// A guest is gone, or is a guest no more but one of the two.
    GuestLeft {
        /// Which call.
        call: CallId,
        /// The guest, by its leg.
        guest: LegId,
        /// 200 for one who had joined; else why not, as a SIP status.
        status: u16,
    },
    /// How loud the far end of a leg that is closed had spoken.
    Spoke {
        /// Which call.
        call: CallId,
        /// Which side.
        party: Party,
        /// Its level and how much of the time.
        level: LevelReport,
    },
    /// How the far end of a leg that is closed had said that it heard us.
    PeerTold {
        /// Which call.
        call: CallId,
        /// Which side.
        party: Party,
        /// What it said last.
        metrics: Box<PeerMetrics>,
    },
    /// The call is one of ours: it is the turn of somebody who asked to be called back.
    CalledBack {
        /// Which call.
        call: CallId,
        /// The call in which it was asked for.
        asked: CallId,
        /// The callback.
        contact: ContactId,
        /// Its queue.
        queue: QueueId,
    },
    /// The agent's phone is gone without having hung up; the caller goes back to the queue.
    Dropped {
        /// Which call.
        call: CallId,
        /// Whose phone it was.
        agent: Option<AgentId>,
    },
    /// The recording is paused: nothing is taken in from now on.
    RecordingPaused {
        /// Which call.
        call: CallId,
        /// Which recording.
        recording: RecordingId,
        /// Who paused it.
        by: PausedBy,
    },
    /// The recording goes on.
    RecordingResumed {
        /// Which call.
        call: CallId,
        /// Which recording.
        recording: RecordingId,
        /// Who ended the pause.
        by: PausedBy,
    },
    /// The caller is told that the call may be recorded, and asked to agree by a key.
    ConsentAsked {
        /// Which call.
        call: CallId,
    },
    /// The caller agrees to being recorded.
    ConsentGiven {
        /// Which call.
        call: CallId,
    },
    /// A recorder outside has taken the call's recording session (RFC 7866).
    RecordingSessionBegan {
        /// Which call.
        call: CallId,
        /// The dialog: what a successor needs to end it.
        dialog: Box<DialogSnapshot>,
    },
    /// There is no recorder outside for a call that has one to be, or none any more; the call goes on, and it is tried again.
    RecordingSessionEnded {
        /// Which call.
        call: CallId,
        /// 200 where the recorder hung up; else why not, as a SIP status.
        status: u16,
    },
    /// Somebody takes part in a call of others that is recorded here, by its metadata (RFC 7865).
    PartTaken {
        /// Which call.
        call: CallId,
        /// Who, in the sealed table.
        person: PersonRef,
        /// Where in the recording.
        part: TakenPart,
    },
}

impl CallEvent {
    /// Which call it belongs to.
    pub const fn call(&self) -> CallId {
        match self {
            Self::Began { call, .. }
            | Self::Answered { call }
            | Self::Queued { call, .. }
            | Self::Ringing { call, .. }
            | Self::RingingEnded { call, .. }
            | Self::Connected { call, .. }
            | Self::Held { call, .. }
            | Self::Digit { call }
            | Self::RecordingStarted { call, .. }
            | Self::DialogConfirmed { call, .. }
            | Self::LegClosed { call, .. }
            | Self::Ended { call, .. }
            | Self::Placed { call, .. }
            | Self::Dialled { call, .. }
            | Self::Transferring { call, .. }
            | Self::Transferred { call, .. }
            | Self::Joined { call, .. }
            | Self::Encrypted { call, .. }
            | Self::Diverted { call, .. }
            | Self::HangUpCause { call, .. }
            | Self::Sounded { call, .. }
            | Self::GuestRung { call, .. }
            | Self::GuestJoined { call, .. }
            | Self::GuestTurned { call, .. }
            | Self::GuestLeft { call, .. }
            | Self::Spoke { call, .. }
            | Self::PeerTold { call, .. }
            | Self::CalledBack { call, .. }
            | Self::Dropped { call, .. }
            | Self::RecordingPaused { call, .. }
            | Self::RecordingResumed { call, .. }
            | Self::ConsentAsked { call }
            | Self::ConsentGiven { call }
            | Self::RecordingSessionBegan { call, .. }
            | Self::RecordingSessionEnded { call, .. }
            | Self::PartTaken { call, .. } => *call,
        }
    }

    /// Its name on the live feed.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Began { .. } => "call-began",
            Self::Answered { .. } => "call-answered",
            Self::Queued { .. } => "call-queued",
            Self::Ringing { .. } => "agent-ringing",
            Self::RingingEnded { .. } => "agent-ringing-ended",
            Self::Connected { .. } => "call-connected",
            Self::Held { .. } => "call-held",
            Self::Digit { .. } => "call-digit",
            Self::RecordingStarted { .. } => "recording-started",
            Self::DialogConfirmed { .. } => "dialog-confirmed",
            Self::LegClosed { .. } => "leg-closed",
            Self::Ended { .. } => "call-ended",
            Self::Placed { .. } => "call-placed",
            Self::Dialled { .. } => "phone-dialled",
            Self::Transferring { .. } => "call-transferring",
            Self::Transferred { .. } => "call-transferred",
            Self::Joined { .. } => "call-joined",
            Self::Encrypted { .. } => "leg-encrypted",
            Self::Diverted { .. } => "call-diverted",
            Self::HangUpCause { .. } => "hang-up-cause",
            Self::Sounded { .. } => "leg-sounded",
            Self::GuestRung { .. } => "guest-rung",
            Self::GuestJoined { .. } => "guest-joined",
            Self::GuestTurned { .. } => "guest-turned",
            Self::GuestLeft { .. } => "guest-left",
            Self::Spoke { .. } => "leg-spoke",
            Self::PeerTold { .. } => "peer-told",
            Self::CalledBack { .. } => "called-back",
            Self::Dropped { .. } => "agent-dropped",
            Self::RecordingPaused { .. } => "recording-paused",
            Self::RecordingResumed { .. } => "recording-resumed",
            Self::ConsentAsked { .. } => "consent-asked",
            Self::ConsentGiven { .. } => "consent-given",
            Self::RecordingSessionBegan { .. } => "recording-session-began",
            Self::RecordingSessionEnded { .. } => "recording-session-ended",
            Self::PartTaken { .. } => "part-taken",
        }
    }
}
