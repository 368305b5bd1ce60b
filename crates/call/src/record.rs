//! The call record: what remains of a call, a fold of its events.

use std::collections::BTreeMap;

use offhook_plan::{LegReport, LevelReport, PeerMetrics, SpeechReport, SrtpReport};
use offhook_sip::DialogSnapshot;
use offhook_units::{AgentId, CallId, ContactId, LegId, PersonRef, QueueId, RecordingId, Tick};
use serde::{Deserialize, Serialize};

use crate::event::{CallEvent, Party, TakenPart};
use crate::guests::Part;
use crate::recording::PausedBy;

/// The version of the fold that wrote a record; printed on it.
pub const FORMULA: u32 = 10;

/// One call from its INVITE to its end. Instants are exchange-clock microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Version of the fold, [`FORMULA`].
    pub formula: u32,
    /// Which call.
    pub id: CallId,
    /// The contact, where it entered a queue.
    pub contact: Option<ContactId>,
    /// The trunk's name.
    pub trunk: Option<String>,
    /// The number dialled.
    pub number: String,
    /// The caller, in the sealed table.
    pub caller: PersonRef,
    /// The INVITE came.
    pub started: Tick,
    /// We answered the caller.
    pub answered: Option<Tick>,
    /// The caller entered the (last) queue.
    pub queued: Option<Tick>,
    /// That queue.
    pub queue: Option<QueueId>,
    /// The first agent's phone was sent its INVITE.
    pub first_offer: Option<Tick>,
    /// The first agent answered.
    pub connected: Option<Tick>,
    /// Who; [`CallRecord::talks`] has the others.
    pub agent: Option<AgentId>,
    /// The call ended.
    pub ended: Tick,
    /// How.
    pub end: CallEnd,
    /// Offers that ended without an answer.
    pub offers_missed: u32,
    /// Time on hold, in microseconds.
    pub held_us: u64,
    /// Digits the caller pressed: how many, not which.
    pub digits: u32,
    /// The recording.
    pub recording: Option<RecordingId>,
    /// Figures of the caller's leg.
    pub caller_media: Option<LegReport>,
    /// Figures of the agent's leg; after a transfer those of the last one.
    pub agent_media: Option<LegReport>,
    /// The account whose phone made the call, where it is ours.
    #[serde(default)]
    pub placed_by: Option<String>,
    /// The trunk that it last went out over.
    #[serde(default)]
    pub out_trunk: Option<String>,
    /// Who talked to the caller, and when, in order.
    #[serde(default)]
    pub talks: Vec<Talk>,
    /// Transfers that came to an end, in order.
    #[serde(default)]
    pub transfers: Vec<Transfer>,
    /// The call that its far end went over into.
    #[serde(default)]
    pub joined: Option<CallId>,
    /// How the caller's leg was encrypted, where it was.
    #[serde(default)]
    pub caller_srtp: Option<SrtpReport>,
    /// How the agent's leg was encrypted, where it was.
    #[serde(default)]
    pub agent_srtp: Option<SrtpReport>,
    /// How the caller's leg sounded, where it was rated.
    #[serde(default)]
    pub caller_speech: Option<SpeechReport>,
    /// How the agent's leg sounded; after a transfer that of the last one.
    #[serde(default)]
    pub agent_speech: Option<SpeechReport>,
    /// How loud the caller spoke, where that was measured.
    #[serde(default)]
    pub caller_level: Option<LevelReport>,
    /// How loud the agent spoke; after a transfer the last one.
    #[serde(default)]
    pub agent_level: Option<LevelReport>,
    /// How the caller's phone or network says that it heard us, where it does (RFC 3611).
    #[serde(default)]
    pub caller_told: Option<PeerMetrics>,
    /// How the agent's phone says that it heard us; after a transfer the last one.
    #[serde(default)]
    pub agent_told: Option<PeerMetrics>,
    /// Who sent the call on to us, where somebody did and the trunk may say so.
    #[serde(default)]
    pub diverted: Option<Diversion>,
    /// Why the side that hung up did so, where it said so (Q.850).
    #[serde(default)]
    pub cause: Option<u8>,
    /// Supervisors and third parties who were in the call, and when, in the order in which they left.
    #[serde(default)]
    pub guests: Vec<GuestTime>,
    /// The call in which the customer had asked to be called back: this one is ours.
    #[serde(default)]
    pub callback_of: Option<CallId>,
    /// Pauses of the recording, in order.
    #[serde(default)]
    pub pauses: Vec<Pause>,
    /// Whether the caller agreed to being recorded, where that was asked.
    #[serde(default)]
    pub consent: Option<Consent>,
    /// Whoever took part in a call of others that was recorded here, in the order in which it was told.
    #[serde(default)]
    pub taken_parts: Vec<PartOfTaken>,
}

/// Somebody who took part in a call of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartOfTaken {
    /// Who, in the sealed table.
    pub person: PersonRef,
    /// Where in the recording.
    pub part: TakenPart,
    /// Since when.
    pub from: Tick,
}

/// The caller was asked whether the call may be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// When the question began to be heard.
    pub asked: Tick,
    /// When the caller agreed.
    pub given: Option<Tick>,
}

/// One pause of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// It was in force.
    pub from: Tick,
    /// The recording went on, or the call ended.
    pub until: Tick,
    /// Who paused it.
    pub by: PausedBy,
    /// Who ended the pause; none where the call ended with it.
    pub ended_by: Option<PausedBy>,
}

/// One stretch of a guest's time in a call in one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestTime {
    /// The agent whose phone it was; none for a number outside.
    pub agent: Option<AgentId>,
    /// What the guest did.
    pub part: Part,
    /// Joined, or took this part.
    pub from: Tick,
    /// Left, or took another part.
    pub until: Tick,
}

/// That a call was sent on before it came to us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diversion {
    /// Who sent it on last, in the sealed table; none where that is not told.
    pub from: Option<PersonRef>,
    /// Why.
    pub why: DivertedFor,
    /// How often it was sent on.
    pub times: u32,
}

/// Why a call is sent on, RFC 5806 section 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DivertedFor {
    /// It is not told, or in a word that nobody knows.
    Unknown,
    /// Whoever was called was on the phone.
    UserBusy,
    /// Nobody answered.
    NoAnswer,
    /// Whoever was called could not be reached.
    Unavailable,
    /// Always.
    Unconditional,
    /// At this time of day.
    TimeOfDay,
    /// Whoever was called wants to be left alone.
    DoNotDisturb,
    /// Whoever was called sent this one call on.
    Deflection,
    /// Calls follow whoever was called.
    FollowMe,
    /// The line is out of service.
    OutOfService,
    /// Whoever was called is away.
    Away,
}

impl DivertedFor {
    const ALL: [(Self, &'static str); 11] = [
        (Self::Unknown, "unknown"),
        (Self::UserBusy, "user-busy"),
        (Self::NoAnswer, "no-answer"),
        (Self::Unavailable, "unavailable"),
        (Self::Unconditional, "unconditional"),
        (Self::TimeOfDay, "time-of-day"),
        (Self::DoNotDisturb, "do-not-disturb"),
        (Self::Deflection, "deflection"),
        (Self::FollowMe, "follow-me"),
        (Self::OutOfService, "out-of-service"),
        (Self::Away, "away"),
    ];

    /// Its name in Diversion, records and the API.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(why, _)| *why == self).map_or("unknown", |(_, name)| name)
    }

    /// From a name in any case.
    pub fn by_name(text: &str) -> Self {
        Self::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map_or(Self::Unknown, |(why, _)| *why)
    }

    /// From the SIP status that stands for it, RFC 4458 section 2.
    pub const fn by_cause(status: u16) -> Self {
        match status {
            302 => Self::Unconditional,
            408 => Self::NoAnswer,
            480 | 487 => Self::Deflection,
            486 => Self::UserBusy,
            503 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }
}

/// One stretch of talk, hold included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Talk {
    /// The agent; none for a phone or a number that is nobody's.
    pub agent: Option<AgentId>,
    /// The agent answered, or the caller came back.
    pub from: Tick,
    /// The agent hung up or transferred the caller, or the call ended.
    pub until: Tick,
}

/// One transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// When it succeeded or failed.
    pub at: Tick,
    /// Who transferred, where it is an agent.
    pub by: Option<AgentId>,
    /// To whom, where it is an agent who talks now.
    pub to: Option<AgentId>,
    /// The two had talked before.
    pub attended: bool,
    /// 200 where it succeeded; else why not, as a SIP status.
    pub status: u16,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallEnd {
    /// The caller hung up while talking to an agent, or at a dialled phone.
    CallerHungUp,
    /// The agent, or the dialled phone, hung up.
    AgentHungUp,
    /// The caller left while greeted, waiting or ringing.
    Abandoned,
    /// Nobody was logged in.
    NobodyLoggedIn,
    /// The queue was full.
    QueueFull,
    /// The longest wait had passed.
    WaitedTooLong,
    /// The dialled phone refused or did not answer.
    NotReached,
    /// A peer broke the call: transport, timers, missing ACK.
    Failed,
    /// The exchange shut down in good order.
    ShutDown,
    /// The exchange died during the call; its end was found at the next start.
    Lost,
    /// A transfer joined it with another call, which goes on.
    Transferred,
    /// The number or the queue was closed.
    Closed,
    /// The caller pressed a key that ends the wait with a message.
    LeftByKey,
    /// The caller asked to be called back.
    CallbackAsked,
}

impl CallEnd {
    /// Its name in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CallerHungUp => "caller-hung-up",
            Self::AgentHungUp => "agent-hung-up",
            Self::Abandoned => "abandoned",
            Self::NobodyLoggedIn => "nobody-logged-in",
            Self::QueueFull => "queue-full",
            Self::WaitedTooLong => "waited-too-long",
            Self::NotReached => "not-reached",
            Self::Failed => "failed",
            Self::ShutDown => "shut-down",
            Self::Lost => "lost",
            Self::Transferred => "transferred",
            Self::Closed => "closed",
            Self::LeftByKey => "left-by-key",
            Self::CallbackAsked => "callback-asked",
        }
    }
}

/// A call that has begun and not ended, as far as the log tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenCall {
    /// The record so far; `ended` and `end` are not settled.
    pub record: CallRecord,
    /// Confirmed dialogs of the two sides.
    pub dialogs: Vec<(Party, DialogSnapshot)>,
    /// Its contact, and those of calls that went over into it: some of them may be over.
    pub contacts: Vec<ContactId>,
    hold: [Option<Tick>; 2],
    /// Who talks now, and since when.
    talk: Option<(Option<AgentId>, Tick)>,
    guests: Vec<Guest>,
    /// Since when the recording is paused, and who paused it.
    paused: Option<(Tick, PausedBy)>,
    /// The dialog with a recorder outside.
    #[serde(default)]
    recorder: Option<DialogSnapshot>,
}

/// A guest who has not left; `since` and `dialog` once joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Guest {
    leg: LegId,
    agent: Option<AgentId>,
    part: Part,
    since: Option<Tick>,
    dialog: Option<DialogSnapshot>,
}

/// Folds call events to records; also what a restart knows of the calls that were open.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fold {
    open: BTreeMap<CallId, OpenCall>,
}

impl Fold {
    /// Takes the next event; gives the record of a call that it ends. Events of unknown calls are passed over.
    pub fn apply(&mut self, at: Tick, event: &CallEvent) -> Option<CallRecord> {
        if let CallEvent::Began { call, number, trunk, caller } = event {
            self.open.insert(*call, OpenCall::new(at, *call, number, trunk.as_ref(), *caller));
            return None;
        }
        let call = event.call();
        if let CallEvent::Joined { into, .. } = event {
            let brought = self.open.get(&call).map(|open| open.contacts.clone()).unwrap_or_default();
            if let Some(into) = self.open.get_mut(into) {
                into.contacts.extend(brought);
            }
        }
        self.open.get_mut(&call)?.apply(at, event);
        if matches!(event, CallEvent::Ended { .. }) { self.open.remove(&call).map(|open| open.record) } else { None }
    }

    /// Who made a call that has not ended, in the sealed table.
    pub fn caller_of(&self, call: CallId) -> Option<PersonRef> {
        Some(self.open.get(&call)?.record.caller)
    }

    /// Calls that have not ended, oldest id first.
    pub fn open(&self) -> impl Iterator<Item = &OpenCall> {
        self.open.values()
    }
}

impl OpenCall {
    fn new(at: Tick, call: CallId, number: &str, trunk: Option<&String>, caller: PersonRef) -> Self {
        let record = CallRecord {
            formula: FORMULA,
            id: call,
            contact: None,
            trunk: trunk.cloned(),
            number: number.to_owned(),
            caller,
            started: at,
            answered: None,
            queued: None,
            queue: None,
            first_offer: None,
            connected: None,
            agent: None,
            ended: at,
            end: CallEnd::Lost,
            offers_missed: 0,
            held_us: 0,
            digits: 0,
            recording: None,
            caller_media: None,
            agent_media: None,
            placed_by: None,
            out_trunk: None,
            talks: Vec::new(),
            transfers: Vec::new(),
            joined: None,
            caller_srtp: None,
            agent_srtp: None,
            caller_speech: None,
            agent_speech: None,
            caller_level: None,
            agent_level: None,
            caller_told: None,
            agent_told: None,
            diverted: None,
            cause: None,
            guests: Vec::new(),
            callback_of: None,
            pauses: Vec::new(),
            consent: None,
            taken_parts: Vec::new(),
        };
        let (dialogs, contacts, guests) = (Vec::new(), Vec::new(), Vec::new());
        Self { record, dialogs, contacts, hold: [None; 2], talk: None, guests, paused: None, recorder: None }
    }

    /// Every confirmed dialog, guests' and a recorder's too.
    pub fn into_dialogs(self) -> impl Iterator<Item = DialogSnapshot> {
        let guests = self.guests.into_iter().filter_map(|guest| guest.dialog);
        self.dialogs.into_iter().map(|(_, dialog)| dialog).chain(guests).chain(self.recorder)
    }

    /// A guest's stretch in one part is over.
    fn end_part(&mut self, at: Tick, leg: LegId) -> Option<&mut Guest> {
        let guest = self.guests.iter_mut().find(|guest| guest.leg == leg)?;
        if let Some(from) = guest.since.take() {
            self.record.guests.push(GuestTime { agent: guest.agent, part: guest.part, from, until: at });
        }
        Some(guest)
    }

    /// Whoever talks now talks no more.
    fn end_talk(&mut self, at: Tick) {
        if let Some((agent, from)) = self.talk.take() {
            self.record.talks.push(Talk { agent, from, until: at });
        }
    }

    /// A pause of the recording is over, by somebody or with the call.
    fn end_pause(&mut self, at: Tick, ended_by: Option<PausedBy>) {
        if let Some((from, by)) = self.paused.take() {
            self.record.pauses.push(Pause { from, until: at, by, ended_by });
        }
    }

    fn apply(&mut self, at: Tick, event: &CallEvent) {
        if ends_talk(event) {
            self.end_talk(at);
        }
        let record = &mut self.record;
        match event {
            CallEvent::Began { .. } | CallEvent::Transferring { .. } => {}
            CallEvent::GuestRung { guest, agent, part, .. } => {
                self.guests.push(Guest { leg: *guest, agent: *agent, part: *part, since: None, dialog: None });
            }
            CallEvent::GuestJoined { guest, dialog, .. } => {
                if let Some(guest) = self.end_part(at, *guest) {
                    (guest.since, guest.dialog) = (Some(at), Some((**dialog).clone()));
                }
            }
            CallEvent::GuestTurned { guest, part, .. } => {
                if let Some(guest) = self.end_part(at, *guest) {
                    // Who has not joined yet has no time to count.
                    (guest.part, guest.since) = (*part, guest.dialog.is_some().then_some(at));
                }
            }
            CallEvent::GuestLeft { guest, .. } => {
                self.end_part(at, *guest);
                self.guests.retain(|known| known.leg != *guest);
            }
            CallEvent::Answered { .. } => record.answered = Some(at),
            CallEvent::Queued { contact, queue, .. } => {
                record.contact = Some(*contact);
                if !self.contacts.contains(contact) {
                    self.contacts.push(*contact);
                }
                record.queue = Some(*queue);
                record.queued = Some(at);
            }
            CallEvent::Ringing { .. } => record.first_offer = record.first_offer.or(Some(at)),
            CallEvent::RingingEnded { .. } => record.offers_missed += 1,
            CallEvent::Connected { agent, .. } => {
                if record.connected.is_none() {
                    record.connected = Some(at);
                    record.agent = *agent;
                }
                self.talk = Some((*agent, at));
            }
            CallEvent::Transferred { by, to, attended, status, .. } => {
                record.transfers.push(Transfer { at, by: *by, to: *to, attended: *attended, status: *status });
            }
            CallEvent::Joined { into, .. } => record.joined = Some(*into),
            CallEvent::Placed { account, .. } => record.placed_by = Some(account.clone()),
            CallEvent::Dialled { trunk, .. } => {
                if trunk.is_some() {
                    record.out_trunk.clone_from(trunk);
                }
            }
            CallEvent::Held { by, on, .. } => {
                let since = &mut self.hold[*by as usize];
                if let Some(began) = since.take() {
                    record.held_us += at.since(began).as_us();
                }
                if *on {
                    *since = Some(at);
                }
            }
            CallEvent::Digit { .. } => record.digits += 1,
            CallEvent::RecordingStarted { recording, .. } => record.recording = Some(*recording),
            CallEvent::RecordingPaused { by, .. } => self.paused = self.paused.or(Some((at, *by))),
            CallEvent::RecordingResumed { by, .. } => self.end_pause(at, Some(*by)),
            CallEvent::ConsentAsked { .. } => record.consent = Some(Consent { asked: at, given: None }),
            CallEvent::ConsentGiven { .. } => {
                if let Some(consent) = &mut record.consent {
                    consent.given = Some(at);
                }
            }
            CallEvent::RecordingSessionBegan { dialog, .. } => self.recorder = Some((**dialog).clone()),
            CallEvent::RecordingSessionEnded { .. } => self.recorder = None,
            CallEvent::PartTaken { person, part, .. } => {
                record.taken_parts.push(PartOfTaken { person: *person, part: *part, from: at });
            }
            CallEvent::DialogConfirmed { party, dialog, .. } => {
                self.dialogs.retain(|(known, _)| known != party);
                self.dialogs.push((*party, (**dialog).clone()));
            }
            CallEvent::LegClosed { party: Party::Caller, report, .. } => record.caller_media = Some(report.clone()),
            CallEvent::LegClosed { party: Party::Agent, report, .. } => record.agent_media = Some(report.clone()),
            CallEvent::Encrypted { party: Party::Caller, srtp, .. } => record.caller_srtp = Some(*srtp),
            CallEvent::Encrypted { party: Party::Agent, srtp, .. } => record.agent_srtp = Some(*srtp),
            CallEvent::Sounded { party: Party::Caller, speech, .. } => record.caller_speech = Some(**speech),
            CallEvent::Sounded { party: Party::Agent, speech, .. } => record.agent_speech = Some(**speech),
            CallEvent::Spoke { party: Party::Caller, level, .. } => record.caller_level = Some(*level),
            CallEvent::Spoke { party: Party::Agent, level, .. } => record.agent_level = Some(*level),
            CallEvent::PeerTold { party: Party::Caller, metrics, .. } => record.caller_told = Some(**metrics),
            CallEvent::PeerTold { party: Party::Agent, metrics, .. } => record.agent_told = Some(**metrics),
            CallEvent::Diverted { from, why, times, .. } => {
                record.diverted = Some(Diversion { from: *from, why: *why, times: *times });
            }
            CallEvent::HangUpCause { cause, .. } => record.cause = Some(*cause),
            CallEvent::CalledBack { asked, contact, queue, .. } => {
                record.callback_of = Some(*asked);
                (record.contact, record.queue) = (Some(*contact), Some(*queue));
                self.contacts.push(*contact);
            }
            CallEvent::Dropped { .. } => {
                // Nobody holds any more who is gone, and nobody is held by the caller.
                for since in &mut self.hold {
                    record.held_us += since.take().map_or(0, |began| at.since(began).as_us());
                }
                self.dialogs.retain(|(party, _)| *party != Party::Agent);
            }
            CallEvent::Ended { end, .. } => {
                record.ended = at;
                record.end = *end;
                record.held_us += self.hold.iter().flatten().map(|began| at.since(*began).as_us()).sum::<u64>();
                for guest in core::mem::take(&mut self.guests) {
                    let Guest { agent, part, since, .. } = guest;
                    record.guests.extend(since.map(|from| GuestTime { agent, part, from, until: at }));
                }
                self.end_pause(at, None);
            }
        }
    }
}

/// Whether whoever talks talks no more after an event.
const fn ends_talk(event: &CallEvent) -> bool {
    match event {
        CallEvent::Connected { .. }
        | CallEvent::Transferring { .. }
        | CallEvent::Transferred { status: 200, .. }
        | CallEvent::Joined { .. }
        | CallEvent::Dropped { .. }
        | CallEvent::Ended { .. } => true,
        CallEvent::Began { .. }
        | CallEvent::Answered { .. }
        | CallEvent::Queued { .. }
        | CallEvent::Ringing { .. }
        | CallEvent::RingingEnded { .. }
        | CallEvent::Held { .. }
        | CallEvent::Digit { .. }
        | CallEvent::RecordingStarted { .. }
        | CallEvent::RecordingPaused { .. }
        | CallEvent::RecordingResumed { .. }
        | CallEvent::ConsentAsked { .. }
        | CallEvent::ConsentGiven { .. }
        | CallEvent::RecordingSessionBegan { .. }
        | CallEvent::RecordingSessionEnded { .. }
        | CallEvent::PartTaken { .. }
        | CallEvent::DialogConfirmed { .. }
        | CallEvent::LegClosed { .. }
        | CallEvent::Placed { .. }
        | CallEvent::Dialled { .. }
        | CallEvent::Encrypted { .. }
        | CallEvent::Sounded { .. }
        | CallEvent::Spoke { .. }
        | CallEvent::PeerTold { .. }
        | CallEvent::Diverted { .. }
        | CallEvent::HangUpCause { .. }
        | CallEvent::GuestRung { .. }
        | CallEvent::GuestJoined { .. }
        | CallEvent::GuestTurned { .. }
        | CallEvent::GuestLeft { .. }
        | CallEvent::CalledBack { .. }
        | CallEvent::Transferred { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_that_lasts_to_the_end_counts_to_the_end() {
        let (mut fold, call, s) = (Fold::default(), CallId(1), |s: u64| Tick::from_us(s * 1_000_000));
        let began = CallEvent::Began { call, number: "700".into(), trunk: None, caller: PersonRef(9) };
        assert_eq!(fold.apply(s(1), &began), None);
        fold.apply(s(2), &CallEvent::Connected { call, agent: None });
        fold.apply(s(3), &CallEvent::Held { call, by: Party::Agent, on: true });
        fold.apply(s(5), &CallEvent::Held { call, by: Party::Agent, on: false });
        fold.apply(s(6), &CallEvent::Held { call, by: Party::Caller, on: true });
        let record = fold.apply(s(9), &CallEvent::Ended { call, end: CallEnd::AgentHungUp }).expect("it ended");
        assert_eq!(record.held_us, 5_000_000);
        assert_eq!((record.connected, record.ended), (Some(s(2)), s(9)));
        assert_eq!(fold.open().count(), 0);
    }

    #[test]
    fn each_agent_of_a_transferred_call_has_a_talk_of_its_own() {
        let (mut fold, call, s) = (Fold::default(), CallId(1), |s: u64| Tick::from_us(s * 1_000_000));
        let (ann, bob) = (Some(AgentId(1)), Some(AgentId(2)));
        fold.apply(s(1), &CallEvent::Began { call, number: "700".into(), trunk: None, caller: PersonRef(9) });
        fold.apply(s(2), &CallEvent::Connected { call, agent: ann });
        fold.apply(s(5), &CallEvent::Transferring { call, by: ann });
        fold.apply(s(7), &CallEvent::Transferred { call, by: ann, to: None, attended: false, status: 486 });
        fold.apply(s(7), &CallEvent::Connected { call, agent: ann });
        fold.apply(s(9), &CallEvent::Transferring { call, by: ann });
        fold.apply(s(12), &CallEvent::Transferred { call, by: ann, to: bob, attended: false, status: 200 });
        fold.apply(s(12), &CallEvent::Connected { call, agent: bob });
        let record = fold.apply(s(20), &CallEvent::Ended { call, end: CallEnd::AgentHungUp }).expect("it ended");
        let talk = |agent, from, until| Talk { agent, from: s(from), until: s(until) };
        assert_eq!(record.talks, [talk(ann, 2, 5), talk(ann, 7, 9), talk(bob, 12, 20)]);
        assert_eq!(record.transfers.iter().map(|t| (t.to, t.status)).collect::<Vec<_>>(), [(None, 486), (bob, 200)]);
        assert_eq!((record.agent, record.connected), (ann, Some(s(2))));
    }

    #[test]
    fn a_call_that_another_one_went_over_into_answers_for_its_contact() {
        let (mut fold, contact, s) = (Fold::default(), ContactId(5), |s: u64| Tick::from_us(s * 1_000_000));
        for call in [CallId(1), CallId(2)] {
            fold.apply(s(1), &CallEvent::Began { call, number: "700".into(), trunk: None, caller: PersonRef(9) });
        }
        let (visit, queue) = (offhook_units::VisitId(6), QueueId(1));
        fold.apply(s(2), &CallEvent::Queued { call: CallId(2), contact, visit, queue });
        fold.apply(s(3), &CallEvent::Joined { call: CallId(2), into: CallId(1) });
        fold.apply(s(3), &CallEvent::Ended { call: CallId(2), end: CallEnd::Transferred });
        let open: Vec<_> =
            fold.open().map(|open| (open.record.id, open.record.contact, open.contacts.clone())).collect();
        assert_eq!(open, [(CallId(1), None, vec![contact])], "after a crash its agent would stay busy");
    }

    #[test]
    fn an_event_of_an_unknown_call_changes_nothing() {
        let mut fold = Fold::default();
        assert_eq!(fold.apply(Tick::ZERO, &CallEvent::Answered { call: CallId(3) }), None);
        assert_eq!(fold, Fold::default());
    }
}
