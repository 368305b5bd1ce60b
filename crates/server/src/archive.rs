//! What the server asks of those who keep recordings, and of the audit log.

use std::collections::BTreeMap;
use std::io;

use offhook_recorder::{Format, Manifest};
use offhook_units::{AgentId, CallId, QueueId, RecordingId, Span, Tick};

use crate::segments::Segment;
use crate::view::{Answer, Unavailable};

/// Length of the header of what [`Speech::read`] gives.
pub const SAMPLE_HEADER_BYTES: u64 = 44;

/// Recordings and the audit log.
pub trait Archive {
    /// Closed recordings, newest first.
    fn recordings(&self, wanted: RecordingsWanted) -> Answer<'_, Result<Vec<RecordingFound>, Unavailable>>;
    /// One recording.
    fn recording(&self, id: RecordingId) -> Answer<'_, Result<Option<RecordingDetail>, Unavailable>>;
    /// Opens one to be heard.
    fn open(&self, id: RecordingId) -> Answer<'_, Result<Box<dyn Speech>, OpenFault>>;
    /// Writes down what is about to be done; it may be done once this has answered.
    fn note(&self, entry: AuditEntry) -> Answer<'_, Result<(), Unavailable>>;
    /// The newest entries of the audit log, or of those before the one of this number, oldest first; each with its number.
    fn audit(&self, limit: u32, before: Option<u64>) -> Answer<'_, Result<Vec<(u64, AuditEntry)>, Unavailable>>;
}

/// Which recordings; what is said of a call holds for recordings whose call has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordingsWanted {
    /// At most so many, at least 1 and at most [`crate::RECORDS_PAGE_MAX`].
    pub limit: u32,
    /// Only such as began before this one: the last of the page before.
    pub before: Option<RecordingId>,
    /// Only such as began at this instant or later.
    pub from: Option<Tick>,
    /// Only such as began before this instant.
    pub until: Option<Tick>,
    /// Only of calls to this number.
    pub number: Option<String>,
    /// Only of calls that were last in this queue.
    pub queue: Option<QueueId>,
    /// Only of calls that this agent answered.
    pub agent: Option<AgentId>,
}

/// One recording, and the call that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingFound {
    /// Which.
    pub id: RecordingId,
    /// Of which call, where that is known.
    pub call: Option<CallId>,
    /// Where its time line starts.
    pub started: Tick,
    /// How long it lasts.
    pub duration: Span,
    /// Encrypted on disk.
    pub sealed: bool,
    /// Why it may not be erased, where it may not.
    pub hold: Option<String>,
    /// When it was erased, and why.
    pub erased: Option<(Tick, String)>,
    /// The number dialled.
    pub number: Option<String>,
    /// The caller as presented; `None` once forgotten.
    pub caller: Option<String>,
    /// The last queue, and its name.
    pub queue: Option<(QueueId, Option<String>)>,
    /// Who answered, and the name.
    pub agent: Option<(AgentId, Option<String>)>,
}

/// All that is known of one recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingDetail {
    /// As in lists.
    pub found: RecordingFound,
    /// Its line of the manifest, where that is there.
    pub manifest: Option<Manifest>,
    /// Who was in it and when, by the call's record; none while there is no record.
    pub segments: Vec<Segment>,
    /// Names of the agents and queues in those.
    pub agents: BTreeMap<AgentId, String>,
    /// The same of queues.
    pub queues: BTreeMap<QueueId, String>,
    /// The call that its party went over into by an attended transfer: what was said from then on is in its recording.
    pub goes_on_in: Option<CallId>,
}

/// A recording as a WAV file of 16-bit samples in two channels: left the caller, right what the caller heard. Methods block for the
/// disk, for milliseconds at a time but where peaks are asked for.
pub trait Speech: Send {
    /// Samples a second of each channel.
    fn rate(&self) -> u32;
    /// Bytes of the whole file: [`SAMPLE_HEADER_BYTES`], and four for each sample of both channels.
    fn length(&self) -> u64;
    /// Bytes of the file from `at` on: at least one before its end, as many as come easily.
    ///
    /// # Errors
    /// The disk refused, or a seal does not open.
    fn read(&mut self, at: u64) -> io::Result<Vec<u8>>;
    /// Begins to make another kind of file of it, from its beginning to its end.
    ///
    /// # Errors
    /// The format has no room for it, or the system has none for making it.
    fn encode(self: Box<Self>, format: Format) -> io::Result<Box<dyn Encoding>>;
    /// How loud each channel is: the greatest amplitude within each of `points` stretches of the same length, 0 to 255 of full scale.
    ///
    /// # Errors
    /// As [`Speech::read`].
    fn peaks(&mut self, points: usize) -> io::Result<[Vec<u8>; 2]>;
}

/// A file of a recording while it is made.
pub trait Encoding: Send {
    /// The next bytes of it, once they are made; none at its end. Dropping it ends the work.
    ///
    /// # Errors
    /// As [`Speech::read`].
    fn next(&mut self) -> io::Result<Option<Vec<u8>>>;
}

/// Why a recording cannot be heard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenFault {
    /// It is not known, or not closed yet.
    #[error("there is no such recording, or its call is still up")]
    Unknown,
    /// It was erased.
    #[error("it was erased: {0}")]
    Erased(String),
    /// Its file or its key is not what it should be. The operator's move.
    #[error("it cannot be opened: {0}")]
    Broken(String),
    /// As [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Tick,
    /// Who, as far as it is known.
    pub who: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// What else is to be known.
    pub detail: String,
}
