//! What the server asks of the exchange.

use core::future::Future;
use core::net::{IpAddr, SocketAddr};
use core::pin::Pin;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::archive::Archive;
use crate::configuration::Configured;
use crate::desk::Desk;
use crate::prompts::PromptShelf;
use crate::users::SessionShelf;
use crate::webhooks::EventLog;
use offhook_acd::{Explanation, Formula, Report};
use offhook_call::alarm::AlarmView;
use offhook_call::config::Names;
use offhook_call::guests::{Denied, Supervision};
use offhook_call::numbers::NumberReport;
use offhook_call::placement::Placement;
use offhook_call::record::CallRecord;
use offhook_call::recording::RecordingWish;
use offhook_call::view::{AgentView, CallView, CallbackView, HoursView, QueueView, TrunkView};
use offhook_call::visit::{NotWelcome, Ticket};
use offhook_units::{AgentId, CallId, ContactId, LegId, QueueId, Span, Tick};

/// Most records in one page of an answer; a request for more is refused.
pub const RECORDS_PAGE_MAX: u32 = 500;

/// A future answer of the exchange.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The exchange, seen from the server. Each method answers within milliseconds or says that it cannot.
pub trait View: Archive + Configured + Desk + EventLog + PromptShelf + SessionShelf + Send + Sync + 'static {
    /// The exchange clock.
    fn now(&self) -> Tick;
    /// Whether the parts of the exchange are well.
    fn health(&self) -> Answer<'_, Health>;
    /// All queues.
    fn queues(&self) -> Answer<'_, Result<Vec<QueueView>, Unavailable>>;
    /// All agents.
    fn agents(&self) -> Answer<'_, Result<Vec<AgentView>, Unavailable>>;
    /// All trunks.
    fn trunks(&self) -> Answer<'_, Result<Vec<TrunkView>, Unavailable>>;
    /// Opening hours.
    fn calendars(&self) -> Answer<'_, Result<Vec<HoursView>, Unavailable>>;
    /// Callbacks that are open, oldest first.
    fn callbacks(&self) -> Answer<'_, Result<Vec<CallbackView>, Unavailable>>;
    /// Takes a callback back.
    fn withdraw_callback(&self, callback: ContactId) -> Answer<'_, Result<Withdrawal, Unavailable>>;
    /// All calls that are up.
    fn calls(&self) -> Answer<'_, Result<Vec<CallView>, Unavailable>>;
    /// Call records, newest first.
    fn records(&self, page: Page) -> Answer<'_, Result<Vec<RecordEntry>, Unavailable>>;
    /// One call record.
    fn record(&self, call: CallId) -> Answer<'_, Result<Option<RecordEntry>, Unavailable>>;
    /// Alarms that are raised, by name and what they are of.
    fn alarms(&self) -> Arc<Vec<AlarmView>>;
    /// Sources of SIP that are banned, in the order of addresses.
    fn bans(&self) -> Vec<BanView>;
    /// Ends the ban of a source; tells whether there was one.
    fn lift_ban(&self, source: IpAddr) -> bool;
    /// The SIP messages of a call that is up or ended lately; none where it is not known (any more), or nothing is kept.
    fn ladder(&self, call: CallId) -> Answer<'_, Option<Ladder>>;
    /// The same as a capture file (libpcap format).
    fn pcap(&self, call: CallId) -> Answer<'_, Option<Vec<u8>>>;
    /// Changes an agent's state; answers with the agent as it is afterwards.
    fn set_agent(&self, agent: AgentId, wish: AgentWish) -> Answer<'_, Result<AgentView, SetAgentError>>;
    /// Changes who takes part in a call beside the two who talk; answers with the call as it is afterwards, none where it is over.
    fn set_guest(&self, call: CallId, wish: GuestWish) -> Answer<'_, Result<Option<CallView>, GuestError>>;
    /// Says where a waiting call goes, in an agent's name or a program's; answers with the call as it is afterwards, none where it is over.
    fn place(
        &self,
        call: CallId,
        by: Option<AgentId>,
        wish: Placement,
    ) -> Answer<'_, Result<Option<CallView>, GuestError>>;
    /// Why a call waits; none where there is no such call, or it waits in no queue.
    fn explain(&self, call: CallId) -> Answer<'_, Result<Option<Explained>, Unavailable>>;
    /// Figures of the stretches of time between `bounds`, recomputed from the event log; with more than `rows_max` rows it is given up. Takes as
    /// long as reading that part of the log.
    fn report(&self, of: ReportOf, bounds: Vec<Tick>, rows_max: usize) -> Answer<'_, Result<Reported, ReportFault>>;
    /// The same of numbers that were dialled.
    fn number_report(&self, bounds: Vec<Tick>, rows_max: usize) -> Answer<'_, Result<NumberReport, ReportFault>>;
    /// Gives a visitor of a page a ticket for one call.
    fn welcome(&self, entrance: String, name: Option<String>) -> Answer<'_, Result<Ticket, WelcomeError>>;
    /// Pauses the recording of a call, or goes on with it, in an agent's name or a program's; answers with the call as it is
    /// afterwards, none where it is over.
    fn set_recording(
        &self,
        call: CallId,
        by: Option<AgentId>,
        wish: RecordingWish,
    ) -> Answer<'_, Result<Option<CallView>, GuestError>>;
}

/// Why a call waits, and what the ids in it are called.
#[derive(Debug, Clone)]
pub struct Explained {
    /// How everybody stands.
    pub explanation: Explanation,
    /// The names.
    pub names: Names,
}

/// Figures by interval, and what the ids in them are called.
#[derive(Debug)]
pub struct Reported {
    /// The figures.
    pub report: Report,
    /// Queues by name, with the formula that each has chosen for its service level.
    pub queues: BTreeMap<QueueId, (String, Formula)>,
    /// Agents by name.
    pub agents: BTreeMap<AgentId, String>,
}

/// What a report is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportOf {
    /// Queues.
    Queues,
    /// Agents.
    Agents,
}

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportFault {
    /// It has more rows than are given at once. Ask for fewer days, or for longer rows.
    #[error("this report has too many rows: ask for fewer days, or for longer rows")]
    TooLarge,
    /// As [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a visitor was given no ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WelcomeError {
    /// There is no such entrance, or it is full.
    #[error(transparent)]
    NotWelcome(#[from] NotWelcome),
    /// As [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What became of the wish to take a callback back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    /// It is over.
    Done,
    /// Its customer is being called.
    Busy,
    /// There is none of that id.
    Unknown,
}

/// A source of SIP that is not listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BanView {
    /// Its address; of IPv6 the first one of its /64.
    pub source: IpAddr,
    /// What for.
    pub offence: &'static str,
    /// How much longer.
    pub left: Span,
    /// The how manieth ban in a row.
    pub times: u32,
}

/// Which records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// At most so many, at least 1 and at most [`RECORDS_PAGE_MAX`].
    pub limit: u32,
    /// Only records of calls with a smaller id: the last one of the page before.
    pub before: Option<CallId>,
    /// Only calls that an agent gave this code, or one below it.
    pub code: Option<String>,
}

/// A call record with the names that its ids had, and what the sealed table still knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordEntry {
    /// The record.
    pub record: CallRecord,
    /// Name of the queue.
    pub queue: Option<String>,
    /// Name of the agent.
    pub agent: Option<String>,
    /// The caller as presented; `None` once forgotten.
    pub caller: Option<String>,
    /// Who sent the call on; `None` once forgotten.
    pub diverted: Option<String>,
    /// Whoever took part in a call of others, as the record lists them; `None` once forgotten.
    pub taken_parts: Vec<Option<String>>,
    /// What is known of the recording's file.
    pub recording: Option<RecordingEntry>,
    /// What agents noted of it, oldest first.
    pub wrap_ups: Vec<WrapUpEntry>,
}

/// What an agent noted of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrapUpEntry {
    /// Who.
    pub agent: AgentId,
    /// The agent's name.
    pub name: Option<String>,
    /// When.
    pub at: Tick,
    /// What it was about.
    pub code: Option<String>,
    /// In words; none where there are none, or they are forgotten.
    pub note: Option<String>,
}

/// A recording's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingEntry {
    /// Relative to the recordings folder.
    pub path: String,
    /// Of the file, lower-case hexadecimal, once closed.
    pub sha256: Option<String>,
    /// How long it lasts.
    pub duration: Span,
}

/// The SIP messages of a call, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ladder {
    /// Who is at the other end of each leg, such as `trunk demo` or `agent alice`.
    pub legs: Vec<String>,
    /// The messages, secrets masked.
    pub messages: Vec<LadderMessage>,
    /// Some are missing: older ones are not kept any more, or there are too many.
    pub cut: bool,
}

/// One SIP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LadderMessage {
    /// When it came or went.
    pub at: Tick,
    /// Over what, as in Via.
    pub transport: &'static str,
    /// Our end.
    pub local: SocketAddr,
    /// The far end.
    pub peer: SocketAddr,
    /// We sent it.
    pub sent: bool,
    /// Which of the legs it belongs to.
    pub leg: usize,
    /// The whole message.
    pub bytes: Vec<u8>,
}

/// What an agent, or somebody for the agent, asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentWish {
    /// Log in where needed, and take contacts.
    Available,
    /// Log in where needed, and take none, for this reason.
    NotReady(Option<String>),
    /// Log out.
    LoggedOut,
}

/// What is asked for with a call's guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestWish {
    /// This supervisor comes, turns, or leaves.
    Supervise(AgentId, Supervision),
    /// One of the two who talk brings a number, or a colleague, in.
    BringIn(AgentId, String),
    /// This guest is sent away.
    SendOff(LegId),
}

/// Whether the exchange is well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// Each part with its state: `Ok` or what is wrong with it.
    pub parts: Vec<(&'static str, Result<(), String>)>,
}

/// The exchange gave no answer in time: it is overloaded or shutting down. Ask again in a second.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the exchange gave no answer in time")]
pub struct Unavailable;

/// Why nothing was changed about a call's guests, or its recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestError {
    /// The exchange says why.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// As [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why an agent's state was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetAgentError {
    /// There is no such agent. Look the id up under `/api/v1/agents`.
    #[error("there is no such agent")]
    Unknown,
    /// The agent's state does not allow it now; the words say why.
    #[error("{0}")]
    Refused(String),
    /// As [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
