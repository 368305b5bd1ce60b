//! Call records.

use offhook_call::record::{CallEnd, CallRecord, Diversion, GuestTime, Talk, Transfer};
use offhook_plan::{LegReport, SrtpReport};
use offhook_units::Tick;
use schemars::JsonSchema;
use serde::Serialize;

use super::WrapUpDto;
use super::recorded::Paused;
use super::sound::{Level, Sound, Told};
use crate::time::rfc3339;
use crate::view::{RecordEntry, RecordingEntry};

/// A call record.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Record {
    /// Which call.
    pub id: String,
    /// Version of the fold that made this record of the events.
    formula: u32,
    /// The contact, where it entered a queue.
    contact: Option<String>,
    /// The trunk's name.
    trunk: Option<String>,
    /// The number dialled.
    number: String,
    /// The caller, in the sealed table.
    caller: Person,
    /// The INVITE came.
    #[schemars(extend("format" = "date-time"))]
    started: String,
    /// We answered the caller.
    #[schemars(extend("format" = "date-time"))]
    answered: Option<String>,
    /// The caller entered the (last) queue.
    #[schemars(extend("format" = "date-time"))]
    queued: Option<String>,
    /// That queue.
    queue: Option<Named>,
    /// The first agent's phone was sent its INVITE.
    #[schemars(extend("format" = "date-time"))]
    first_offer: Option<String>,
    /// The first agent answered.
    #[schemars(extend("format" = "date-time"))]
    connected: Option<String>,
    /// Who; `talks` has the others.
    agent: Option<Named>,
    /// The call ended.
    #[schemars(extend("format" = "date-time"))]
    ended: String,
    /// How.
    #[schemars(extend("enum" = ENDS.map(end_name)))]
    end: &'static str,
    /// Offers that ended without an answer.
    offers_missed: u32,
    /// Time on hold, in milliseconds.
    held_ms: u64,
    /// Digits the caller pressed: how many, not which.
    digits: u32,
    /// The recording.
    recording: Option<Recording>,
    /// Figures of the caller's leg.
    caller_media: Option<Media>,
    /// Figures of the agent's leg; after a transfer those of the last one.
    agent_media: Option<Media>,
    /// The account whose phone made the call, where it is ours.
    placed_by: Option<String>,
    /// The trunk that it last went out over.
    out_trunk: Option<String>,
    /// Who talked to the caller, and when, in order.
    talks: Vec<TalkDto>,
    /// Transfers that came to an end, in order.
    transfers: Vec<TransferDto>,
    /// The call that its far end went over into.
    #[schemars(extend("format" = "date-time"))]
    joined: Option<String>,
    /// How the caller's leg was encrypted, where it was.
    caller_srtp: Option<Encryption>,
    /// How the agent's leg was encrypted, where it was.
    agent_srtp: Option<Encryption>,
    /// How the caller's leg sounded, where it was rated.
    caller_speech: Option<Sound>,
    /// How the agent's leg sounded; after a transfer that of the last one.
    agent_speech: Option<Sound>,
    /// How loud the caller spoke, where that was measured.
    caller_level: Option<Level>,
    /// How loud the agent spoke; after a transfer the last one.
    agent_level: Option<Level>,
    /// How the caller's phone or network says that it heard us, where it does (RFC 3611).
    caller_told: Option<Told>,
    /// How the agent's phone says that it heard us; after a transfer the last one.
    agent_told: Option<Told>,
    /// Who sent the call on to us, where somebody did and the trunk may say so.
    diverted: Option<DiversionDto>,
    /// The call in which the customer had asked to be called back: this one is ours.
    callback_of: Option<String>,
    /// Why the side that hung up did so, where it said so (Q.850).
    cause: Option<u8>,
    /// Supervisors and third parties who were in the call, and when, in the order in which they left.
    guests: Vec<GuestDto>,
    /// What agents noted of it, oldest first.
    wrap_ups: Vec<WrapUpDto>,
    /// Pauses of the recording, in order.
    pauses: Vec<Paused>,
    /// Whether the caller agreed to being recorded, where that was asked.
    consent: Option<Consent>,
    /// Whoever took part in a call of others that was recorded here (RFC 7866), in the order in which it was told.
    taken_parts: Vec<PartDto>,
}

/// Somebody who took part in a call of others.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "TakenPart")]
struct PartDto {
    /// Who.
    who: Person,
    /// Where in the recording: `left`, `right`, or `unheard`.
    #[schemars(extend("enum" = ["left", "right", "unheard"]))]
    part: &'static str,
    /// Since when.
    #[schemars(extend("format" = "date-time"))]
    from: String,
}

/// Whether the caller agreed to being recorded.
#[derive(Debug, JsonSchema, Serialize)]
struct Consent {
    /// When it was asked.
    #[schemars(extend("format" = "date-time"))]
    asked: String,
    /// When it was given; none where it was not.
    #[schemars(extend("format" = "date-time"))]
    given: Option<String>,
}

/// That a call was sent on before it came to us.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Diversion")]
struct DiversionDto {
    /// Who sent it on last, in the sealed table; none where that is not told.
    from: Option<Person>,
    /// Why.
    why: &'static str,
    /// How often it was sent on.
    times: u32,
}

impl DiversionDto {
    fn new(diversion: &Diversion, text: Option<&String>) -> Self {
        let Diversion { from, why, times } = diversion;
        let from = from.map(|person| Person { person: person.to_string(), text: text.cloned() });
        Self { from, why: why.name(), times: *times }
    }
}

/// One stretch of talk.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Talk")]
struct TalkDto {
    /// The agent; none for a phone or a number that is nobody's.
    agent: Option<String>,
    /// The agent answered, or the caller came back.
    #[schemars(extend("format" = "date-time"))]
    from: String,
    /// The agent hung up or transferred the caller, or the call ended.
    #[schemars(extend("format" = "date-time"))]
    until: String,
}

impl From<&Talk> for TalkDto {
    fn from(Talk { agent, from, until }: &Talk) -> Self {
        Self { agent: agent.map(|id| id.to_string()), from: rfc3339(*from), until: rfc3339(*until) }
    }
}

/// One stretch of a guest's time.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "GuestTime")]
struct GuestDto {
    /// The agent whose phone it was; none for a number outside.
    agent: Option<String>,
    /// What the guest did.
    #[schemars(extend("enum" = ["listen", "whisper", "barge", "party"]))]
    part: &'static str,
    /// Joined, or took this part.
    #[schemars(extend("format" = "date-time"))]
    from: String,
    /// Left, or took another part.
    #[schemars(extend("format" = "date-time"))]
    until: String,
}

impl From<&GuestTime> for GuestDto {
    fn from(GuestTime { agent, part, from, until }: &GuestTime) -> Self {
        let agent = agent.map(|id| id.to_string());
        Self { agent, part: part.name(), from: rfc3339(*from), until: rfc3339(*until) }
    }
}

/// One transfer.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Transfer")]
struct TransferDto {
    /// When it succeeded or failed.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// Who transferred, where it is an agent.
    by: Option<String>,
    /// To whom, where it is an agent who talks now.
    to: Option<String>,
    /// The two had talked before.
    attended: bool,
    /// 200 where it succeeded; else why not, as a SIP status.
    status: u16,
}

impl From<&Transfer> for TransferDto {
    fn from(Transfer { at, by, to, attended, status }: &Transfer) -> Self {
        let name = |id: &Option<offhook_units::AgentId>| id.map(|id| id.to_string());
        Self { at: rfc3339(*at), by: name(by), to: name(to), attended: *attended, status: *status }
    }
}

/// How a leg was encrypted.
#[derive(Debug, JsonSchema, Serialize)]
struct Encryption {
    suite: &'static str,
    failed_packets: u64,
}

impl From<&SrtpReport> for Encryption {
    fn from(report: &SrtpReport) -> Self {
        let SrtpReport { suite, failed_packets } = report;
        Self { suite: suite.name(), failed_packets: *failed_packets }
    }
}

/// A person: the reference that stays, and the words that may be forgotten.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Person {
    /// The reference, which stays the same.
    pub person: String,
    /// The number or the name; null once forgotten.
    pub text: Option<String>,
}

/// An id with the name it had, where the name is known.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Named {
    /// The id, which stays the same when the name changes.
    pub id: String,
    /// The name that it had.
    pub name: Option<String>,
}

/// A recording; path and the rest once its file is known.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "RecordedFile")]
struct Recording {
    /// Which.
    id: String,
    /// Relative to the recordings folder.
    path: Option<String>,
    /// Of the file, lower-case hexadecimal, once closed.
    sha256: Option<String>,
    /// How long it lasts.
    duration_ms: Option<u64>,
}

impl From<&RecordEntry> for Record {
    fn from(entry: &RecordEntry) -> Self {
        let RecordEntry {
            record,
            queue: queue_name,
            agent: agent_name,
            caller: caller_text,
            diverted: sent_on_by,
            recording: file,
            wrap_ups,
            taken_parts: parts_text,
        } = entry;
        let CallRecord {
            formula,
            id,
            contact,
            trunk,
            number,
            caller,
            started,
            answered,
            queued,
            queue,
            first_offer,
            connected,
            agent,
            ended,
            end,
            offers_missed,
            held_us,
            digits,
            recording,
            caller_media,
            agent_media,
            placed_by,
            out_trunk,
            talks,
            transfers,
            joined,
            caller_srtp,
            agent_srtp,
            caller_speech,
            agent_speech,
            caller_level,
            agent_level,
            caller_told,
            agent_told,
            diverted,
            callback_of,
            cause,
            guests,
            pauses,
            consent,
            taken_parts,
        } = record;
        let instant = |at: &Option<Tick>| at.map(rfc3339);
        Self {
            id: id.to_string(),
            formula: *formula,
            contact: contact.map(|id| id.to_string()),
            trunk: trunk.clone(),
            number: number.clone(),
            caller: Person { person: caller.to_string(), text: caller_text.clone() },
            started: rfc3339(*started),
            answered: instant(answered),
            queued: instant(queued),
            queue: queue.map(|id| Named { id: id.to_string(), name: queue_name.clone() }),
            first_offer: instant(first_offer),
            connected: instant(connected),
            agent: agent.map(|id| Named { id: id.to_string(), name: agent_name.clone() }),
            ended: rfc3339(*ended),
            end: end_name(*end),
            offers_missed: *offers_missed,
            held_ms: held_us / 1_000,
            digits: *digits,
            recording: recording.map(|id| recording_of(id.to_string(), file.as_ref())),
            caller_media: caller_media.as_ref().map(Media::from),
            agent_media: agent_media.as_ref().map(Media::from),
            placed_by: placed_by.clone(),
            out_trunk: out_trunk.clone(),
            talks: talks.iter().map(TalkDto::from).collect(),
            transfers: transfers.iter().map(TransferDto::from).collect(),
            joined: joined.map(|id| id.to_string()),
            caller_srtp: caller_srtp.as_ref().map(Encryption::from),
            agent_srtp: agent_srtp.as_ref().map(Encryption::from),
            caller_speech: caller_speech.as_ref().map(Sound::from),
            agent_speech: agent_speech.as_ref().map(Sound::from),
            caller_level: caller_level.as_ref().map(Level::from),
            agent_level: agent_level.as_ref().map(Level::from),
            caller_told: caller_told.as_ref().map(Told::from),
            agent_told: agent_told.as_ref().map(Told::from),
            callback_of: callback_of.map(|call| call.to_string()),
            diverted: diverted.as_ref().map(|diverted| DiversionDto::new(diverted, sent_on_by.as_ref())),
            cause: *cause,
            guests: guests.iter().map(GuestDto::from).collect(),
            wrap_ups: wrap_ups.iter().map(WrapUpDto::from).collect(),
            pauses: pauses.iter().map(Paused::from).collect(),
            consent: consent
                .map(|consent| Consent { asked: rfc3339(consent.asked), given: consent.given.map(rfc3339) }),
            taken_parts: taken_parts
                .iter()
                .enumerate()
                .map(|(at, part)| PartDto {
                    who: Person { person: part.person.to_string(), text: parts_text.get(at).cloned().flatten() },
                    part: part.part.name(),
                    from: rfc3339(part.from),
                })
                .collect(),
        }
    }
}

fn recording_of(id: String, file: Option<&RecordingEntry>) -> Recording {
    let Some(RecordingEntry { path, sha256, duration }) = file else {
        return Recording { id, path: None, sha256: None, duration_ms: None };
    };
    Recording { id, path: Some(path.clone()), sha256: sha256.clone(), duration_ms: Some(duration.as_ms()) }
}

/// What a leg saw.
#[derive(Debug, JsonSchema, Serialize)]
struct Media {
    /// RTP packets received and accepted.
    received_packets: u64,
    /// Their payload bytes.
    received_bytes: u64,
    /// RTP packets sent.
    sent_packets: u64,
    /// Their payload bytes.
    sent_bytes: u64,
    /// Sequence numbers that never came (RFC 3550 A.3, cumulative).
    lost_packets: u64,
    /// Packets that came twice.
    duplicate_packets: u64,
    /// Packets thrown away: malformed, from a stranger's address, of an unknown payload type.
    discarded_packets: u64,
    /// Interarrival jitter at the end, in RTP clock units (RFC 3550 A.8).
    jitter_clock_units: u32,
    /// What the peer says that it lost, last.
    peer_lost_percent: Option<f64>,
    /// Round trip as last computed from the peer's reports, in microseconds.
    round_trip_us: Option<u32>,
}

impl From<&LegReport> for Media {
    fn from(report: &LegReport) -> Self {
        let LegReport {
            received_packets,
            received_bytes,
            sent_packets,
            sent_bytes,
            lost_packets,
            jitter,
            duplicate_packets,
            discarded_packets,
            peer_fraction_lost,
            round_trip_us,
        } = report;
        Self {
            received_packets: *received_packets,
            received_bytes: *received_bytes,
            sent_packets: *sent_packets,
            sent_bytes: *sent_bytes,
            lost_packets: *lost_packets,
            duplicate_packets: *duplicate_packets,
            discarded_packets: *discarded_packets,
            jitter_clock_units: *jitter,
            peer_lost_percent: peer_fraction_lost.map(|of_256| f64::from(of_256) * 100.0 / 256.0),
            round_trip_us: *round_trip_us,
        }
    }
}

/// The word for `end`.
pub const fn end_name(end: CallEnd) -> &'static str {
    match end {
        CallEnd::CallerHungUp => "caller-hung-up",
        CallEnd::AgentHungUp => "agent-hung-up",
        CallEnd::Abandoned => "abandoned",
        CallEnd::NobodyLoggedIn => "nobody-logged-in",
        CallEnd::QueueFull => "queue-full",
        CallEnd::WaitedTooLong => "waited-too-long",
        CallEnd::NotReached => "not-reached",
        CallEnd::Failed => "failed",
        CallEnd::ShutDown => "shut-down",
        CallEnd::Lost => "lost",
        CallEnd::Transferred => "transferred",
        CallEnd::Closed => "closed",
        CallEnd::LeftByKey => "left-by-key",
        CallEnd::CallbackAsked => "callback-asked",
    }
}

/// All words of [`end_name`], for metrics that stand at zero before the first call.
pub const ENDS: [CallEnd; 14] = [
    CallEnd::CallerHungUp,
    CallEnd::AgentHungUp,
    CallEnd::Abandoned,
    CallEnd::NobodyLoggedIn,
    CallEnd::QueueFull,
    CallEnd::WaitedTooLong,
    CallEnd::NotReached,
    CallEnd::Failed,
    CallEnd::ShutDown,
    CallEnd::Lost,
    CallEnd::Transferred,
    CallEnd::Closed,
    CallEnd::LeftByKey,
    CallEnd::CallbackAsked,
];
