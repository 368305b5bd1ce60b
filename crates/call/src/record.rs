//! The call record: what remains of a call, a fold of its events.

use std::collections::BTreeMap;

use offhook_plan::LegReport;
use offhook_sip::DialogSnapshot;
use offhook_units::{AgentId, CallId, ContactId, PersonRef, QueueId, RecordingId, Tick};
use serde::{Deserialize, Serialize};

use crate::event::{CallEvent, Party};

/// The version of the fold that wrote a record; printed on it.
pub const FORMULA: u32 = 2;

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
    /// An agent answered.
    pub connected: Option<Tick>,
    /// Who.
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
    /// Figures of the agent's leg.
    pub agent_media: Option<LegReport>,
    /// The account whose phone made the call, where it is ours.
    #[serde(default)]
    pub placed_by: Option<String>,
    /// The trunk that it last went out over.
    #[serde(default)]
    pub out_trunk: Option<String>,
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
        }
    }
}

/// A call that has begun and not ended, as far as the log tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenCall {
    /// The record so far; `ended` and `end` are not settled.
    pub record: CallRecord,
    /// Its confirmed dialogs.
    pub dialogs: Vec<(Party, DialogSnapshot)>,
    hold: [Option<Tick>; 2],
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
        self.open.get_mut(&call)?.apply(at, event);
        if matches!(event, CallEvent::Ended { .. }) { self.open.remove(&call).map(|open| open.record) } else { None }
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
        };
        Self { record, dialogs: Vec::new(), hold: [None; 2] }
    }

    fn apply(&mut self, at: Tick, event: &CallEvent) {
        let record = &mut self.record;
        match event {
            CallEvent::Began { .. } => {}
            CallEvent::Answered { .. } => record.answered = Some(at),
            CallEvent::Queued { contact, queue, .. } => {
                record.contact = Some(*contact);
                record.queue = Some(*queue);
                record.queued = Some(at);
            }
            CallEvent::Ringing { .. } => record.first_offer = record.first_offer.or(Some(at)),
            CallEvent::RingingEnded { .. } => record.offers_missed += 1,
            CallEvent::Connected { agent, .. } => {
                record.connected = Some(at);
                record.agent = *agent;
            }
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
            CallEvent::DialogConfirmed { party, dialog, .. } => {
                self.dialogs.retain(|(known, _)| known != party);
                self.dialogs.push((*party, (**dialog).clone()));
            }
            CallEvent::LegClosed { party: Party::Caller, report, .. } => record.caller_media = Some(report.clone()),
            CallEvent::LegClosed { party: Party::Agent, report, .. } => record.agent_media = Some(report.clone()),
            CallEvent::Ended { end, .. } => {
                record.ended = at;
                record.end = *end;
                record.held_us += self.hold.iter().flatten().map(|began| at.since(*began).as_us()).sum::<u64>();
            }
        }
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
    fn an_event_of_an_unknown_call_changes_nothing() {
        let mut fold = Fold::default();
        assert_eq!(fold.apply(Tick::ZERO, &CallEvent::Answered { call: CallId(3) }), None);
        assert_eq!(fold, Fold::default());
    }
}
