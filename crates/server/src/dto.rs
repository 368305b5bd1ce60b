//! The wire shapes of API version 1. Each is made by taking the core type apart in full, so that a new field there forces a
//! decision here. Ids are strings, instants RFC 3339 in UTC, lengths of time whole milliseconds.

mod queue;
mod recorded;
mod sound;

use offhook_call::record::{CallEnd, CallRecord, Diversion, GuestTime, Talk, Transfer};
use offhook_call::view::{AgentView, CallView, GuestView, RegistrationView, TargetView, TrunkCounts, TrunkView};
use offhook_plan::{LegReport, SrtpReport};
use offhook_units::{CallId, Tick};
use serde::Serialize;

pub use self::queue::{Callback, Hours, Queue};
use self::recorded::Paused;
pub use self::recorded::RecordedNow;
use self::sound::{Level, Sound, Sounding, Told};
use crate::time::rfc3339;
use crate::view::{self, BanView, LadderMessage, RecordEntry, RecordingEntry};

/// An agent now.
#[derive(Debug, Serialize)]
pub struct Agent {
    id: String,
    name: String,
    state: &'static str,
    since: String,
    reason: Option<String>,
    call: Option<String>,
    queues: Vec<String>,
    contact: Option<String>,
    unreachable: bool,
    supervises: Vec<String>,
    speech: Sound,
    level: Level,
}

impl From<&AgentView> for Agent {
    fn from(view: &AgentView) -> Self {
        let AgentView { id, name, state, since, reason, call, queues, contact, unreachable, supervises, speech, level } =
            view;
        Self {
            id: id.to_string(),
            name: name.clone(),
            state,
            since: rfc3339(*since),
            reason: reason.clone(),
            call: call.map(|id| id.to_string()),
            queues: queues.clone(),
            contact: contact.clone(),
            unreachable: *unreachable,
            supervises: supervises.clone(),
            speech: Sound::from(speech),
            level: Level::from(level),
        }
    }
}

/// A call now.
#[derive(Debug, Serialize)]
pub struct Call {
    id: String,
    state: &'static str,
    since: String,
    started: String,
    number: String,
    caller: String,
    trunk: Option<String>,
    queue: Option<String>,
    position: Option<u32>,
    /// Until when a program is asked whom it should go to.
    asked_until: Option<String>,
    agent: Option<String>,
    recording: Option<String>,
    recorded: RecordedNow,
    caller_sounds: Sounding,
    agent_sounds: Option<Sounding>,
    guests: Vec<Guest>,
    unheard: Option<&'static str>,
    quiet: Option<&'static str>,
}

/// A supervisor or a third party in a call.
#[derive(Debug, Serialize)]
pub struct Guest {
    id: String,
    name: String,
    part: &'static str,
    joined: Option<String>,
}

impl From<&GuestView> for Guest {
    fn from(GuestView { id, name, part, joined }: &GuestView) -> Self {
        Self { id: id.to_string(), name: name.clone(), part: part.name(), joined: joined.map(rfc3339) }
    }
}

/// Who takes part in a call now; nobody any more where it is over.
#[derive(Debug, Serialize)]
pub struct Guests {
    at: String,
    guests: Vec<Guest>,
}

impl Guests {
    /// As of `at`.
    pub fn new(at: String, call: Option<&CallView>) -> Self {
        Self { at, guests: call.into_iter().flat_map(|call| &call.guests).map(Guest::from).collect() }
    }
}

impl From<&CallView> for Call {
    fn from(view: &CallView) -> Self {
        let CallView {
            id,
            state,
            since,
            started,
            number,
            caller,
            trunk,
            queue,
            position,
            asked_until,
            agent,
            recording,
            recorded,
            caller_sounds,
            agent_sounds,
            guests,
            unheard,
            quiet,
        } = view;
        Self {
            id: id.to_string(),
            state,
            since: rfc3339(*since),
            started: rfc3339(*started),
            number: number.clone(),
            caller: caller.clone(),
            trunk: trunk.clone(),
            queue: queue.clone(),
            position: *position,
            asked_until: asked_until.map(rfc3339),
            agent: agent.clone(),
            recording: recording.map(|id| id.to_string()),
            recorded: RecordedNow::from(*recorded),
            caller_sounds: Sounding::from(*caller_sounds),
            agent_sounds: agent_sounds.map(Sounding::from),
            guests: guests.iter().map(Guest::from).collect(),
            unheard: *unheard,
            quiet: *quiet,
        }
    }
}

/// A source of SIP that is banned.
#[derive(Debug, Serialize)]
pub struct Ban {
    source: String,
    offence: &'static str,
    seconds_left: u64,
    times: u32,
}

impl From<&BanView> for Ban {
    fn from(view: &BanView) -> Self {
        let BanView { source, offence, left, times } = view;
        Self { source: source.to_string(), offence, seconds_left: left.as_s(), times: *times }
    }
}

/// A trunk now.
#[derive(Debug, Serialize)]
pub struct Trunk {
    name: String,
    calls: u32,
    calls_max: Option<u32>,
    registration: Option<Registration>,
    targets: Vec<Target>,
    since_start: Counts,
    speech: Sound,
    level: Level,
}

/// Our registration with a trunk.
#[derive(Debug, Serialize)]
struct Registration {
    state: &'static str,
    until: Option<String>,
    status: Option<u16>,
}

/// Where calls to a trunk go.
#[derive(Debug, Serialize)]
struct Target {
    address: String,
    up: bool,
    answered: Option<String>,
    status: Option<u16>,
}

/// Calls of a trunk since the start.
#[derive(Debug, Serialize)]
struct Counts {
    incoming: u64,
    incoming_refused: u64,
    outgoing: u64,
    outgoing_answered: u64,
    outgoing_failed: u64,
    outgoing_refused: u64,
}

impl From<&TrunkView> for Trunk {
    fn from(view: &TrunkView) -> Self {
        let TrunkView { name, calls, calls_max, registration, targets, counts, speech, level } = view;
        let TrunkCounts { incoming, incoming_refused, outgoing, outgoing_answered, outgoing_failed, outgoing_refused } =
            *counts;
        let registration = registration.as_ref().map(|RegistrationView { state, until, status }| Registration {
            state,
            until: until.map(rfc3339),
            status: *status,
        });
        let targets = targets.iter().map(|TargetView { address, up, answered, status }| Target {
            address: address.clone(),
            up: *up,
            answered: answered.map(rfc3339),
            status: *status,
        });
        Self {
            name: name.clone(),
            calls: *calls,
            calls_max: *calls_max,
            registration,
            targets: targets.collect(),
            speech: Sound::from(speech),
            level: Level::from(level),
            since_start: Counts {
                incoming,
                incoming_refused,
                outgoing,
                outgoing_answered,
                outgoing_failed,
                outgoing_refused,
            },
        }
    }
}

/// The SIP messages of a call.
#[derive(Debug, Serialize)]
pub struct Ladder {
    call: String,
    /// Who is at the other end of each leg.
    legs: Vec<String>,
    /// Older messages are not kept any more, or there are too many.
    cut: bool,
    messages: Vec<Message>,
}

/// One SIP message.
#[derive(Debug, Serialize)]
struct Message {
    at: String,
    /// After the first message.
    after_us: u64,
    direction: &'static str,
    transport: &'static str,
    from: String,
    to: String,
    /// Its place in `legs`.
    leg: usize,
    first_line: String,
    text: String,
}

impl Ladder {
    /// The ladder of `call`.
    pub fn of(call: CallId, ladder: &view::Ladder) -> Self {
        let view::Ladder { legs, messages, cut } = ladder;
        let begin = messages.first().map_or(Tick::ZERO, |message| message.at);
        let message = |message: &LadderMessage| {
            let LadderMessage { at, transport, local, peer, sent, leg, bytes } = message;
            let (from, to) = if *sent { (local, peer) } else { (peer, local) };
            let text = String::from_utf8_lossy(bytes).into_owned();
            Message {
                at: rfc3339(*at),
                after_us: at.since(begin).as_us(),
                direction: if *sent { "out" } else { "in" },
                transport,
                from: from.to_string(),
                to: to.to_string(),
                leg: *leg,
                first_line: text.lines().next().unwrap_or_default().to_owned(),
                text,
            }
        };
        let messages = messages.iter().map(message).collect();
        Self { call: call.to_string(), legs: legs.clone(), cut: *cut, messages }
    }
}

/// A call record.
#[derive(Debug, Serialize)]
pub struct Record {
    pub id: String,
    formula: u32,
    contact: Option<String>,
    trunk: Option<String>,
    number: String,
    caller: Caller,
    started: String,
    answered: Option<String>,
    queued: Option<String>,
    queue: Option<Named>,
    first_offer: Option<String>,
    connected: Option<String>,
    agent: Option<Named>,
    ended: String,
    end: &'static str,
    offers_missed: u32,
    held_ms: u64,
    digits: u32,
    recording: Option<Recording>,
    caller_media: Option<Media>,
    agent_media: Option<Media>,
    placed_by: Option<String>,
    out_trunk: Option<String>,
    talks: Vec<TalkDto>,
    transfers: Vec<TransferDto>,
    joined: Option<String>,
    caller_srtp: Option<Encryption>,
    agent_srtp: Option<Encryption>,
    caller_speech: Option<Sound>,
    agent_speech: Option<Sound>,
    caller_level: Option<Level>,
    agent_level: Option<Level>,
    caller_told: Option<Told>,
    agent_told: Option<Told>,
    diverted: Option<DiversionDto>,
    callback_of: Option<String>,
    cause: Option<u8>,
    guests: Vec<GuestDto>,
    pauses: Vec<Paused>,
    consent: Option<Consent>,
}

/// Whether the caller agreed to being recorded.
#[derive(Debug, Serialize)]
struct Consent {
    asked: String,
    given: Option<String>,
}

/// That a call was sent on before it came to us.
#[derive(Debug, Serialize)]
struct DiversionDto {
    from: Option<Caller>,
    why: &'static str,
    times: u32,
}

impl DiversionDto {
    fn new(diversion: &Diversion, text: Option<&String>) -> Self {
        let Diversion { from, why, times } = diversion;
        let from = from.map(|person| Caller { person: person.to_string(), text: text.cloned() });
        Self { from, why: why.name(), times: *times }
    }
}

/// One stretch of talk.
#[derive(Debug, Serialize)]
struct TalkDto {
    agent: Option<String>,
    from: String,
    until: String,
}

impl From<&Talk> for TalkDto {
    fn from(Talk { agent, from, until }: &Talk) -> Self {
        Self { agent: agent.map(|id| id.to_string()), from: rfc3339(*from), until: rfc3339(*until) }
    }
}

/// One stretch of a guest's time.
#[derive(Debug, Serialize)]
struct GuestDto {
    agent: Option<String>,
    part: &'static str,
    from: String,
    until: String,
}

impl From<&GuestTime> for GuestDto {
    fn from(GuestTime { agent, part, from, until }: &GuestTime) -> Self {
        let agent = agent.map(|id| id.to_string());
        Self { agent, part: part.name(), from: rfc3339(*from), until: rfc3339(*until) }
    }
}

/// One transfer.
#[derive(Debug, Serialize)]
struct TransferDto {
    at: String,
    by: Option<String>,
    to: Option<String>,
    attended: bool,
    status: u16,
}

impl From<&Transfer> for TransferDto {
    fn from(Transfer { at, by, to, attended, status }: &Transfer) -> Self {
        let name = |id: &Option<offhook_units::AgentId>| id.map(|id| id.to_string());
        Self { at: rfc3339(*at), by: name(by), to: name(to), attended: *attended, status: *status }
    }
}

/// How a leg was encrypted.
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
struct Caller {
    person: String,
    text: Option<String>,
}

/// An id with the name it had, where the name is known.
#[derive(Debug, Serialize)]
struct Named {
    id: String,
    name: Option<String>,
}

/// A recording; path and the rest once its file is known.
#[derive(Debug, Serialize)]
struct Recording {
    id: String,
    path: Option<String>,
    sha256: Option<String>,
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
        } = record;
        let instant = |at: &Option<Tick>| at.map(rfc3339);
        Self {
            id: id.to_string(),
            formula: *formula,
            contact: contact.map(|id| id.to_string()),
            trunk: trunk.clone(),
            number: number.clone(),
            caller: Caller { person: caller.to_string(), text: caller_text.clone() },
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
            pauses: pauses.iter().map(Paused::from).collect(),
            consent: consent
                .map(|consent| Consent { asked: rfc3339(consent.asked), given: consent.given.map(rfc3339) }),
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
#[derive(Debug, Serialize)]
struct Media {
    received_packets: u64,
    received_bytes: u64,
    sent_packets: u64,
    sent_bytes: u64,
    lost_packets: u64,
    duplicate_packets: u64,
    discarded_packets: u64,
    jitter_clock_units: u32,
    peer_lost_percent: Option<f64>,
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
