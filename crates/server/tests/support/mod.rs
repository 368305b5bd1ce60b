//! An exchange made of fixed views, for the tests of the server and for looking at the page.
#![expect(clippy::disallowed_types, reason = "a stand-in for the edge that keeps the audit log")]

mod configured;
mod desk;
mod distributor;
mod ladder;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use offhook_call::alarm::AlarmView;
use offhook_call::desk::DeskView;
use offhook_call::event::TakenPart;
use offhook_call::guests::{Denied, Part};
use offhook_call::numbers::NumberReport;
use offhook_call::placement::Placement;
use offhook_call::record::{CallEnd, CallRecord, FORMULA, GuestTime, PartOfTaken, Pause};
use offhook_call::recording::{PausedBy, RecordingWish};
use offhook_call::view::{
    AgentView, CallView, CallbackView, Expected, ForecastFigures, GuestView, HoursView, QuantileFigures, QueueView,
    Recorded, RegistrationView, Sounds, TargetView, TrunkCounts, TrunkView,
};
use offhook_call::visit::{NotWelcome, Ticket};
use offhook_plan::{Grade, LegReport, LevelReport, PeerMetrics, Quality, SpeechReport, SrtpReport};
use offhook_recorder::{Format, GapReason, MANIFEST_VERSION, Manifest, ManifestGap, SideSummary};
use offhook_server::{
    AgentWish, Answer, Archive, AuditEntry, BanView, Doing, Encoding, EventLog, Explained, GuestError, GuestWish,
    Happened, Health, Ladder, Occurred, OpenFault, Page, RecordEntry, RecordingDetail, RecordingEntry, RecordingFound,
    RecordingsWanted, ReportFault, ReportOf, Reported, SAMPLE_HEADER_BYTES, Segment, SetAgentError, Speech,
    Unavailable, View, WebhookEvent, WelcomeError, Withdrawal, WrapUpEntry,
};
use offhook_units::{AgentId, CallId, ContactId, CryptoSuite, LegId, PersonRef, QueueId, RecordingId, Span, Tick};

/// 2026-11-22T22:55:19.042Z.
pub const NOW: Tick = Tick::from_us(1_795_388_119_042_000);

/// A view that never changes but for agents' states, and that can be told to be busy.
#[derive(Default)]
pub struct Fixed {
    pub queues: Vec<QueueView>,
    pub agents: Vec<AgentView>,
    pub calls: Vec<CallView>,
    pub records: Vec<RecordEntry>,
    pub now: Option<Tick>,
    pub busy: AtomicBool,
    /// Whether 192.0.2.66 is banned.
    pub banned: AtomicBool,
    pub recordings: Vec<RecordingFound>,
    pub audit: Mutex<Vec<AuditEntry>>,
    /// Callbacks are withdrawn when nobody holds this.
    pub withdrawals_wait: tokio::sync::Mutex<()>,
    /// The event log: each event at the position of its number.
    pub log: Mutex<Vec<Occurred>>,
    /// Desks that somebody has done something at.
    pub desks: Mutex<BTreeMap<AgentId, DeskView>>,
    /// What agents noted of calls.
    pub noted: Mutex<BTreeMap<(CallId, AgentId), WrapUpEntry>>,
    /// Who is signed in.
    pub sessions: Mutex<BTreeMap<[u8; 32], offhook_server::KeptSession>>,
}

impl Fixed {
    /// Two queues, four agents, four calls, three records, as of `now`.
    pub fn centre(now: Tick) -> Self {
        let ago = |s| now.before(Span::from_s(s));
        Self {
            queues: vec![queue(1, "sales", 2, 3), queue(2, "support", 0, 1)],
            agents: vec![
                agent(1, "alice", "busy", ago(95), None),
                agent(2, "bob", "offered", ago(4), None),
                agent(3, "carol", "not-ready", ago(754), Some("lunch")),
                agent(4, "dave", "logged-out", ago(40_000), None),
            ],
            calls: vec![
                call(1, "talking", ago(95), Some("alice"), None),
                call(2, "waiting", ago(31), None, Some(2)),
                call(3, "ringing", ago(4), Some("bob"), Some(1)),
                call(4, "greeting", ago(2), None, None),
            ],
            records: (1..=3).rev().map(|n| record(n, ago(600 * (4 - n)))).collect(),
            now: Some(now),
            busy: AtomicBool::new(false),
            banned: AtomicBool::new(true),
            recordings: (1..=4).rev().map(|n| recording(n, ago(600 * (5 - n)))).collect(),
            audit: Mutex::default(),
            withdrawals_wait: tokio::sync::Mutex::default(),
            log: Mutex::default(),
            desks: Mutex::default(),
            noted: Mutex::default(),
            sessions: Mutex::default(),
        }
    }

    fn answer<T: Send + 'static>(&self, value: T) -> Answer<'_, Result<T, Unavailable>> {
        let busy = self.busy.load(Ordering::Relaxed);
        Box::pin(async move { if busy { Err(Unavailable) } else { Ok(value) } })
    }
}

impl View for Fixed {
    fn now(&self) -> Tick {
        self.now.unwrap_or(NOW)
    }

    fn health(&self) -> Answer<'_, Health> {
        let store = if self.busy.load(Ordering::Relaxed) { Err("the disk is full".to_owned()) } else { Ok(()) };
        Box::pin(async move { Health { parts: vec![("loop", Ok(())), ("store", store)] } })
    }

    fn queues(&self) -> Answer<'_, Result<Vec<QueueView>, Unavailable>> {
        self.answer(self.queues.clone())
    }

    fn agents(&self) -> Answer<'_, Result<Vec<AgentView>, Unavailable>> {
        self.answer(self.agents.clone())
    }

    fn trunks(&self) -> Answer<'_, Result<Vec<TrunkView>, Unavailable>> {
        self.answer(vec![trunk()])
    }

    fn calendars(&self) -> Answer<'_, Result<Vec<HoursView>, Unavailable>> {
        self.answer(self.queues.iter().filter_map(|queue| queue.hours.clone()).collect())
    }

    fn callbacks(&self) -> Answer<'_, Result<Vec<CallbackView>, Unavailable>> {
        let callback = |id| CallbackView {
            id: ContactId(id),
            call: CallId(7),
            queue: "sales".to_owned(),
            number: Some("+4940111".to_owned()),
            asked: self.now(),
            until: self.now(),
            tried: 1,
            rests_until: None,
            position: Some(2),
        };
        self.answer([0x1f, 0x2f, 0x3f].map(callback).to_vec())
    }

    fn withdraw_callback(&self, callback: ContactId) -> Answer<'_, Result<Withdrawal, Unavailable>> {
        let withdrawal = match callback.0 {
            0x1f => Withdrawal::Done,
            0x20 => Withdrawal::Busy,
            _ => Withdrawal::Unknown,
        };
        let answer = self.answer(withdrawal);
        Box::pin(async move {
            let _taken = self.withdrawals_wait.lock().await;
            answer.await
        })
    }

    fn calls(&self) -> Answer<'_, Result<Vec<CallView>, Unavailable>> {
        self.answer(self.calls.clone())
    }

    fn records(&self, page: Page) -> Answer<'_, Result<Vec<RecordEntry>, Unavailable>> {
        let older = |entry: &&RecordEntry| page.before.is_none_or(|before| entry.record.id < before);
        let coded = |entry: &&RecordEntry| {
            let given = entry.wrap_ups.iter().filter_map(|noted| noted.code.as_ref());
            page.code.as_ref().is_none_or(|code| given.into_iter().any(|known| known == code))
        };
        self.answer(self.records.iter().filter(older).filter(coded).take(page.limit as usize).cloned().collect())
    }

    fn record(&self, call: CallId) -> Answer<'_, Result<Option<RecordEntry>, Unavailable>> {
        self.answer(self.records.iter().find(|entry| entry.record.id == call).cloned())
    }

    fn alarms(&self) -> Arc<Vec<AlarmView>> {
        Arc::new(if self.queues.is_empty() { Vec::new() } else { distributor::alarms(self.now()) })
    }

    fn bans(&self) -> Vec<BanView> {
        let banned = self.banned.load(Ordering::Relaxed);
        let source = IpAddr::from([192, 0, 2, 66]);
        banned
            .then_some(BanView { source, offence: "password", left: Span::from_s(599), times: 1 })
            .into_iter()
            .collect()
    }

    fn lift_ban(&self, source: IpAddr) -> bool {
        source == IpAddr::from([192, 0, 2, 66]) && self.banned.swap(false, Ordering::Relaxed)
    }

    fn ladder(&self, call: CallId) -> Answer<'_, Option<Ladder>> {
        let known = self.calls.iter().any(|view| view.id == call) || self.records.iter().any(|e| e.record.id == call);
        let begin = self.now();
        Box::pin(async move { known.then(|| ladder::ladder(begin)) })
    }

    fn pcap(&self, call: CallId) -> Answer<'_, Option<Vec<u8>>> {
        let known = self.calls.iter().any(|view| view.id == call);
        Box::pin(async move { known.then(|| b"\xd4\xc3\xb2\xa1".to_vec()) })
    }

    fn set_guest(&self, call: CallId, wish: GuestWish) -> Answer<'_, Result<Option<CallView>, GuestError>> {
        let found = self.calls.iter().find(|view| view.id == call).cloned();
        Box::pin(async move {
            let mut view = found.ok_or(Denied::NoCall(call))?;
            match wish {
                GuestWish::Supervise(AgentId(9), _) => return Err(Denied::NotAllowed("i".to_owned()).into()),
                GuestWish::Supervise(_, _) if view.state != "talking" => return Err(Denied::NotTalking.into()),
                GuestWish::Supervise(_, how) => match how.part() {
                    Some(part) => view.guests[0].part = part,
                    None => view.guests.clear(),
                },
                GuestWish::BringIn(_, number) => {
                    let guest = GuestView { id: LegId(8), name: number, part: Part::Party, joined: None };
                    view.guests.push(guest);
                }
                GuestWish::SendOff(guest) => view.guests.retain(|known| known.id != guest),
            }
            Ok(Some(view))
        })
    }

    fn place(
        &self,
        call: CallId,
        by: Option<AgentId>,
        wish: Placement,
    ) -> Answer<'_, Result<Option<CallView>, GuestError>> {
        let found = self.calls.iter().find(|view| view.id == call).cloned();
        let queues: Vec<_> = self.queues.iter().map(|view| (view.id, view.name.clone())).collect();
        let agents: Vec<_> = self.agents.iter().map(|view| (view.id, view.name.clone())).collect();
        Box::pin(async move {
            let mut view = found.ok_or(Denied::NoCall(call))?;
            if by == Some(AgentId(9)) {
                return Err(Denied::NotAllowed("i".to_owned()).into());
            }
            if view.state != "waiting" {
                return Err(Denied::NotWaiting.into());
            }
            match wish {
                Placement::Agent(agent, _) | Placement::Answer(Some((agent, _))) => {
                    let found = agents.into_iter().find(|(id, _)| *id == agent);
                    view.agent = Some(found.ok_or(Denied::NoAgent(agent))?.1);
                }
                Placement::Queue(queue) => {
                    let found = queues.into_iter().find(|(id, _)| *id == queue);
                    view.queue = Some(found.ok_or(Denied::NoQueue(queue))?.1);
                }
                Placement::Answer(None) => return Err(Denied::NotAsked.into()),
            }
            Ok(Some(view))
        })
    }

    fn explain(&self, call: CallId) -> Answer<'_, Result<Option<Explained>, Unavailable>> {
        let waits = self.calls.iter().any(|view| view.id == call && view.state == "waiting");
        let agents = self.agents.iter().map(|view| (view.id, view.name.clone())).collect();
        Box::pin(async move { Ok(waits.then(|| distributor::explained(agents))) })
    }

    fn number_report(&self, bounds: Vec<Tick>, rows_max: usize) -> Answer<'_, Result<NumberReport, ReportFault>> {
        Box::pin(async move { distributor::numbers(bounds, rows_max) })
    }

    fn report(&self, _of: ReportOf, bounds: Vec<Tick>, rows_max: usize) -> Answer<'_, Result<Reported, ReportFault>> {
        Box::pin(async move { distributor::reported(bounds, rows_max) })
    }

    fn welcome(&self, entrance: String, name: Option<String>) -> Answer<'_, Result<Ticket, WelcomeError>> {
        let full = name.as_deref() == Some("one too many");
        let until = self.now() + Span::from_s(60);
        Box::pin(async move {
            if entrance != "shop" {
                return Err(NotWelcome::NoEntrance.into());
            }
            if full {
                return Err(NotWelcome::Full.into());
            }
            let [user, password, realm, number] = ["visitor-1", "secret", "house.test", "700"].map(str::to_owned);
            Ok(Ticket { user, password, realm, number, relay: None, until })
        })
    }

    fn set_recording(
        &self,
        call: CallId,
        by: Option<AgentId>,
        wish: RecordingWish,
    ) -> Answer<'_, Result<Option<CallView>, GuestError>> {
        let found = self.calls.iter().find(|view| view.id == call).cloned();
        let by = by.map_or(PausedBy::Program, PausedBy::Agent);
        Box::pin(async move {
            let mut view = found.ok_or(Denied::NoCall(call))?;
            view.recorded = match (view.recorded, wish) {
                (Recorded::No, _) => return Err(Denied::Elsewhere("this call is not recorded").into()),
                (_, RecordingWish::Pause) => {
                    Recorded::Paused { since: view.since, by, until: Some(view.since + Span::from_s(300)) }
                }
                (_, RecordingWish::Record) => Recorded::Yes,
            };
            Ok(Some(view))
        })
    }

    fn set_agent(&self, agent: AgentId, wish: AgentWish) -> Answer<'_, Result<AgentView, SetAgentError>> {
        let found = self.agents.iter().find(|view| view.id == agent).cloned();
        Box::pin(async move {
            let mut view = found.ok_or(SetAgentError::Unknown)?;
            if view.state == "logged-out" && wish == AgentWish::LoggedOut {
                return Err(SetAgentError::Refused("the agent is not logged in".to_owned()));
            }
            (view.state, view.reason) = match wish {
                AgentWish::Available => ("available", None),
                AgentWish::NotReady(reason) => ("not-ready", reason),
                AgentWish::LoggedOut => ("logged-out", None),
            };
            Ok(view)
        })
    }
}

impl EventLog for Fixed {
    fn log_end(&self) -> u64 {
        self.log.lock().expect("no panic before").last().map_or(1, |last| last.seq + 1)
    }

    fn happened(&self, from: u64, wanted: Arc<[WebhookEvent]>) -> Answer<'_, Result<Happened, Unavailable>> {
        let log = self.log.lock().expect("no panic before");
        // Stretch by stretch.
        let stretch: Vec<&Occurred> = log.iter().filter(|event| event.seq >= from).take(3).collect();
        let next = stretch.last().map_or(from, |last| last.seq + 1);
        let events = stretch.into_iter().filter(|event| wanted.contains(&event.what.kind())).cloned().collect();
        self.answer(Happened { events, next })
    }

    fn ended(&self, call: CallId) -> Answer<'_, Result<Option<RecordEntry>, Unavailable>> {
        self.record(call)
    }
}

impl Archive for Fixed {
    fn recordings(&self, wanted: RecordingsWanted) -> Answer<'_, Result<Vec<RecordingFound>, Unavailable>> {
        let RecordingsWanted { limit, before, from, until, number, queue, agent } = wanted;
        let fits = |found: &&RecordingFound| {
            before.is_none_or(|before| found.id < before)
                && from.is_none_or(|from| found.started >= from)
                && until.is_none_or(|until| found.started < until)
                && number.as_ref().is_none_or(|number| found.number.as_ref() == Some(number))
                && queue.is_none_or(|queue| found.queue.as_ref().is_some_and(|(id, _)| *id == queue))
                && agent.is_none_or(|agent| found.agent.as_ref().is_some_and(|(id, _)| *id == agent))
        };
        self.answer(self.recordings.iter().filter(fits).take(limit as usize).cloned().collect())
    }

    fn recording(&self, id: RecordingId) -> Answer<'_, Result<Option<RecordingDetail>, Unavailable>> {
        let detail = |found: &RecordingFound| RecordingDetail {
            found: found.clone(),
            manifest: Some(manifest(found)),
            segments: vec![Segment {
                from: Span::from_s(2),
                to: Span::from_s(12),
                doing: Doing::Talk,
                agent: Some(AgentId(1)),
                queue: Some(QueueId(2)),
            }],
            agents: std::collections::BTreeMap::from([(AgentId(1), "alice".to_owned())]),
            queues: std::collections::BTreeMap::new(),
            goes_on_in: (found.id == RecordingId(2)).then_some(CallId(0x1f)),
        };
        self.answer(self.recordings.iter().find(|found| found.id == id).map(detail))
    }

    fn open(&self, id: RecordingId) -> Answer<'_, Result<Box<dyn Speech>, OpenFault>> {
        let found = self.recordings.iter().find(|found| found.id == id).cloned();
        Box::pin(async move {
            let found = found.ok_or(OpenFault::Unknown)?;
            match found.erased {
                Some((_, why)) => Err(OpenFault::Erased(why)),
                None => Ok(Box::new(Tones { seconds: found.duration.as_ms() / 1_000 }) as Box<dyn Speech>),
            }
        })
    }

    fn note(&self, entry: AuditEntry) -> Answer<'_, Result<(), Unavailable>> {
        let busy = self.busy.load(Ordering::Relaxed);
        if !busy {
            self.audit.lock().expect("no panic before").push(entry);
        }
        Box::pin(async move { if busy { Err(Unavailable) } else { Ok(()) } })
    }

    fn audit(&self, limit: u32, before: Option<u64>) -> Answer<'_, Result<Vec<(u64, AuditEntry)>, Unavailable>> {
        let entries = self.audit.lock().expect("no panic before");
        let numbered = (1..).zip(entries.iter().cloned()).filter(|(seq, _)| before.is_none_or(|before| *seq < before));
        let numbered: Vec<_> = numbered.collect();
        let first = numbered.len().saturating_sub(limit as usize);
        self.answer(numbered[first..].to_vec())
    }
}

/// The caller speaks in the even seconds, who answers in the odd ones, each at 200 Hz.
struct Tones {
    seconds: u64,
}

impl Tones {
    /// Both channels at a sample of 8,000 a second.
    fn pair(sample: u64) -> [i16; 2] {
        let loud = 4_000 + (sample / 2_000 % 4) as i16 * 6_000;
        let tone = if sample % 40 < 20 { loud } else { -loud };
        if (sample / 8_000).is_multiple_of(2) { [tone, 0] } else { [0, tone] }
    }
}

impl Speech for Tones {
    fn rate(&self) -> u32 {
        8_000
    }

    fn length(&self) -> u64 {
        SAMPLE_HEADER_BYTES + self.seconds * 32_000
    }

    fn read(&mut self, at: u64) -> std::io::Result<Vec<u8>> {
        if at < SAMPLE_HEADER_BYTES {
            let data = (self.length() - SAMPLE_HEADER_BYTES) as u32;
            let mut header = Vec::from(*b"RIFF");
            header.extend((data + 36).to_le_bytes());
            header.extend(b"WAVEfmt \x10\0\0\0\x01\0\x02\0\x40\x1f\0\0\0\x7d\0\0\x04\0\x10\0data");
            header.extend(data.to_le_bytes());
            return Ok(header[at as usize..].to_vec());
        }
        let from = at - SAMPLE_HEADER_BYTES;
        let pairs = (from / 4..self.seconds * 8_000).take(1_000);
        let bytes = pairs.flat_map(Self::pair).flat_map(i16::to_le_bytes).skip((from % 4) as usize);
        Ok(bytes.collect())
    }

    /// The name of the format, then the length of the file that it is made of.
    fn encode(self: Box<Self>, format: Format) -> std::io::Result<Box<dyn Encoding>> {
        let file = format!("{} of {}", format.name(), self.length());
        Ok(Box::new(Made(file.into_bytes().chunks(5).map(<[u8]>::to_vec).rev().collect())))
    }

    fn peaks(&mut self, points: usize) -> std::io::Result<[Vec<u8>; 2]> {
        let samples = self.seconds * 8_000;
        let at = |n: usize| Self::pair(n as u64 * samples / points as u64).map(|s| (s.unsigned_abs() >> 7) as u8);
        Ok([(0..points).map(|n| at(n)[0]).collect(), (0..points).map(|n| at(n)[1]).collect()])
    }
}

/// Pieces of a file, the first one last.
struct Made(Vec<Vec<u8>>);

impl Encoding for Made {
    fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        Ok(self.0.pop())
    }
}

/// A recording of 12 s: the second is held, the fourth erased.
pub fn recording(n: u64, started: Tick) -> RecordingFound {
    RecordingFound {
        id: RecordingId(n),
        call: Some(CallId(n)),
        started,
        duration: Span::from_s(12),
        sealed: n % 2 == 1,
        hold: (n == 2).then(|| "case 7".to_owned()),
        erased: (n == 4).then(|| (started + Span::from_s(60), "asked for by the customer".to_owned())),
        number: Some(if n == 1 { "300" } else { "200" }.to_owned()),
        caller: Some(format!("+4940555{n:04}")),
        queue: Some((QueueId(1 + n % 2), Some(if n % 2 == 1 { "support" } else { "sales" }.to_owned()))),
        agent: (n > 1).then(|| (AgentId(1), Some("alice".to_owned()))),
    }
}

fn manifest(found: &RecordingFound) -> Manifest {
    let side = || SideSummary { covered_ms: 11_000, packets: 550, payload_bytes: 88_000, ..SideSummary::default() };
    Manifest {
        version: MANIFEST_VERSION,
        id: found.id,
        call: found.call,
        path: format!("2026/11/22/{}.{}", found.id, if found.sealed { "sealed" } else { "wav" }),
        sha256: "00".repeat(32),
        started: found.started,
        duration_ms: found.duration.as_ms(),
        codec: offhook_plan::CodecKind::Pcma,
        left: side(),
        right: side(),
        gaps: [offhook_plan::tap::Side::Heard, offhook_plan::tap::Side::Sent]
            .map(|side| ManifestGap { side, from_ms: 4_000, to_ms: 5_000, why: GapReason::Silent })
            .to_vec(),
        gaps_unlisted: 0,
        dropped: 0,
        mended: false,
        meta: std::collections::BTreeMap::new(),
        prev: None,
    }
}

fn guests_of(state: &str, since: Tick) -> Vec<GuestView> {
    let carol = GuestView { id: LegId(7), name: "carol".to_owned(), part: Part::Listen, joined: Some(since) };
    (state == "talking").then_some(carol).into_iter().collect()
}

/// A registered trunk whose second target is down.
/// 88 good seconds, a fair one and a poor one.
pub fn rated() -> Quality {
    let mut quality = Quality::default();
    quality.add(88, 93.2, 441);
    quality.add(1, 75.0, 382);
    quality.add(1, 40.0, 207);
    quality
}

/// Of a minute, 24 s of speech at -26.3 dBov.
pub fn level() -> LevelReport {
    LevelReport { speech_dbov_x10: Some(-263), measured_ms: 60_000, active_ms: 24_000 }
}

/// A tenth lost of what the far end was sent.
fn told() -> PeerMetrics {
    PeerMetrics { lost: 26, mos_cq_x10: Some(29), jitter_buffer_ms: 60, ..PeerMetrics::default() }
}

pub fn trunk() -> TrunkView {
    let until = Some(NOW + Span::from_s(480));
    let target =
        |address: &str, up| TargetView { address: address.to_owned(), up, answered: Some(NOW), status: Some(200) };
    TrunkView {
        name: "carrier".to_owned(),
        calls: 3,
        calls_max: Some(30),
        registration: Some(RegistrationView { state: "registered", until, status: None }),
        targets: vec![target("udp:192.0.2.1:5060", true), target("tcp:192.0.2.2:5060", false)],
        counts: TrunkCounts { incoming: 70, outgoing: 40, outgoing_answered: 31, ..TrunkCounts::default() },
        speech: SpeechReport { heard: rated(), ..SpeechReport::default() },
        level: level(),
    }
}

fn expected() -> Expected {
    Expected { place: 3, agents: 3, p50: Span::from_ms(95_500), p80: Span::from_s(170) }
}

/// 48 medians of 80 were kept, 62 80th percentiles of 80.
fn forecasts() -> ForecastFigures {
    let of = |within, loss_s| QuantileFigures { within, beyond: 80 - within, answered: 80, loss: Span::from_s(loss_s) };
    ForecastFigures { made: 84, p50: of(48, 1_000), p80: of(62, 720) }
}

pub fn queue(id: u64, name: &str, waiting: u32, talking: u32) -> QueueView {
    QueueView {
        id: QueueId(id),
        name: name.to_owned(),
        waiting,
        longest_wait: Span::from_ms(31_500),
        agents_logged_in: 3,
        agents_available: 1,
        talking,
        offered: 120,
        answered: 100,
        abandoned: 14,
        flowed_out: 6,
        service_level: Some(8_190),
        service_level_formula: "short-excluded",
        asa: Some(Span::from_ms(9_250)),
        expected_wait: (id == 1).then(expected),
        forecasts: forecasts(),
        lends: (id == 2).then_some(true),
        hours: (id == 1).then(|| HoursView {
            name: "office".to_owned(),
            zone: "Europe/Berlin".to_owned(),
            open: true,
            until: Some(Tick::from_us(1_800_000_000_000_000)),
        }),
        callbacks: 1,
    }
}

pub fn agent(id: u64, name: &str, state: &'static str, since: Tick, reason: Option<&str>) -> AgentView {
    AgentView {
        id: AgentId(id),
        name: name.to_owned(),
        state,
        since,
        reason: reason.map(ToOwned::to_owned),
        call: (state == "busy").then_some(CallId(1)),
        queues: vec!["sales".to_owned(), "support".to_owned()],
        contact: (state != "logged-out").then(|| format!("sip:{name}@192.0.2.2{id}:5060")),
        unreachable: false,
        supervises: if name == "carol" { vec!["sales".to_owned()] } else { Vec::new() },
        speech: SpeechReport::default(),
        level: LevelReport::default(),
    }
}

pub fn call(id: u64, state: &'static str, since: Tick, agent: Option<&str>, position: Option<u32>) -> CallView {
    CallView {
        id: CallId(id),
        state,
        since,
        started: since.before(Span::from_s(12)),
        number: "4930555700".to_owned(),
        caller: format!("+49301234{id:03}"),
        trunk: Some("demo".to_owned()),
        queue: (state != "greeting").then(|| "sales".to_owned()),
        position,
        asked_until: None,
        agent: agent.map(ToOwned::to_owned),
        recording: (state == "talking").then_some(RecordingId(9)),
        recorded: if state == "talking" { Recorded::Yes } else { Recorded::No },
        caller_sounds: Sounds::default(),
        agent_sounds: (state == "talking").then_some(Sounds {
            heard: Grade::Good,
            sent: Grade::Poor,
            level: Some(level()),
            told: None,
        }),
        guests: guests_of(state, since),
        unheard: (state == "talking").then_some("agent"),
        quiet: (state == "talking").then_some("caller"),
    }
}

pub fn record(id: u64, started: Tick) -> RecordEntry {
    let after = |s| Some(started + Span::from_s(s));
    let srtp = SrtpReport { suite: CryptoSuite::AesCm128HmacSha1_80, failed_packets: 3 };
    let media = LegReport { received_packets: 4_500, peer_fraction_lost: Some(64), ..LegReport::default() };
    RecordEntry {
        wrap_ups: vec![WrapUpEntry {
            agent: AgentId(1),
            name: Some("alice".to_owned()),
            at: started + Span::from_s(200),
            code: Some("Order/New".to_owned()),
            note: Some("Wants two more, by Friday.".to_owned()),
        }],
        record: CallRecord {
            formula: FORMULA,
            id: CallId(id),
            contact: Some(ContactId(id)),
            trunk: Some("demo".to_owned()),
            number: "4930555700".to_owned(),
            caller: PersonRef(id),
            started,
            answered: after(0),
            queued: after(6),
            queue: Some(QueueId(1)),
            first_offer: after(7),
            connected: after(11),
            agent: Some(AgentId(1)),
            ended: started + Span::from_s(101),
            end: CallEnd::CallerHungUp,
            offers_missed: 0,
            held_us: 1_500_000,
            digits: 1,
            recording: Some(RecordingId(id)),
            caller_media: Some(media),
            agent_media: None,
            placed_by: None,
            out_trunk: None,
            talks: Vec::new(),
            transfers: Vec::new(),
            joined: None,
            caller_srtp: Some(srtp),
            agent_srtp: None,
            caller_speech: Some(SpeechReport { heard: rated(), ..SpeechReport::default() }),
            agent_speech: None,
            caller_level: Some(level()),
            agent_level: None,
            caller_told: Some(told()),
            agent_told: None,
            diverted: None,
            callback_of: None,
            cause: None,
            pauses: vec![Pause { from: started, until: started, by: PausedBy::Keys, ended_by: Some(PausedBy::Limit) }],
            consent: Some(offhook_call::record::Consent { asked: NOW, given: None }),
            taken_parts: vec![PartOfTaken { person: PersonRef(77), part: TakenPart::Right, from: started }],
            guests: vec![GuestTime { agent: Some(AgentId(3)), part: Part::Listen, from: started, until: started }],
        },
        queue: Some("sales".to_owned()),
        agent: Some("alice".to_owned()),
        caller: Some(format!("+49301234{id:03}")),
        diverted: None,
        taken_parts: vec![Some("Carl (300)".to_owned())],
        recording: Some(RecordingEntry {
            path: format!("2026-11-22/r-{id:x}.wav"),
            sha256: Some("00ff".to_owned()),
            duration: Span::from_s(101),
        }),
    }
}

/// As a trait object.
pub fn shared(view: Fixed) -> Arc<Fixed> {
    Arc::new(view)
}
