//! The exchange as the HTTP server sees it: questions go into the control loop, records come from the store.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_acd::Report;
use offhook_call::alarm::AlarmView;
use offhook_call::config::Names;
use offhook_call::event::{LogEvent, STREAM_ACD, STREAM_CALL};
use offhook_call::numbers::NumberReport;
use offhook_call::placement::Placement;
use offhook_call::record::CallRecord;
use offhook_call::recording::RecordingWish;
use offhook_call::view::{AgentView, CallView, CallbackView, HoursView, QueueView, TrunkView};
use offhook_call::visit::{NotWelcome, Ticket};
use offhook_call::{Command, Exchange, WantedState};
use offhook_net::Clock;
use offhook_net::bans::{Ban, Bans};
use offhook_net::intake::Post;
use offhook_net::trace::{self, Seen, Trace};
use offhook_recorder::KeyRing;
use offhook_server::{
    AgentWish, Answer, BanView, Explained, GuestError, GuestWish, Health, Ladder, LadderMessage, Page, RecordEntry,
    ReportFault, ReportOf, Reported, SetAgentError, Unavailable, View, WelcomeError, Withdrawal, WrapUpEntry,
};
use offhook_store::{CallFilter, CallRow, Store, WrapUpSeen};
use offhook_units::{AgentId, CallId, ContactId, QueueId, Span, Tick};
use tokio::sync::{oneshot, watch};

use super::configured::Desk;
use super::control::{Ask, Look};
use super::recordings::Recordings;
use crate::recording::Shelf;

/// How long a question may wait for the control loop.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A report begins to read the log so long before its first interval: for what an agent was doing then, and which callbacks wait.
const REPORT_LEAD: Span = Span::from_s(2 * 86_400);
/// And goes on so long after its last one: for how visits ended that had begun by then.
const REPORT_TAIL: Span = Span::from_s(86_400);

/// Reads the part of the log that a report is of.
fn fold(store: &Store, mut report: Report, now: Tick, rows_max: usize) -> Result<Report, ReportFault> {
    let Some((from, until)) = report.span() else { return Ok(report) };
    read(store, STREAM_ACD, (from.before(REPORT_LEAD), until + REPORT_TAIL), |at, event| {
        if let LogEvent::Acd(event) = event {
            report.fold(at, &event);
        }
        report.rows() <= rows_max
    })?;
    report.close(now.min(until));
    if report.rows() > rows_max { Err(ReportFault::TooLarge) } else { Ok(report) }
}

/// Reads the part of the log that a report of numbers is of.
fn fold_numbers(store: &Store, mut report: NumberReport, rows_max: usize) -> Result<NumberReport, ReportFault> {
    let Some((from, until)) = report.span() else { return Ok(report) };
    read(store, STREAM_CALL, (from, until + REPORT_TAIL), |at, event| {
        if let LogEvent::Call(event) = event {
            report.fold(at, &event);
        }
        report.rows() <= rows_max
    })?;
    Ok(report)
}

/// Gives the events of one stream to `take` until that has no room for more.
fn read(
    store: &Store,
    stream: u16,
    (from, until): (Tick, Tick),
    mut take: impl FnMut(Tick, LogEvent) -> bool,
) -> Result<(), ReportFault> {
    let (mut unread, mut has_room) = (0_u64, true);
    let read = store.read_log_between(from, until, |record| {
        if record.stream != stream || !has_room {
            return;
        }
        match LogEvent::decode(&record.bytes) {
            Ok(event) => has_room = take(record.at, event),
            Err(_) => unread += 1,
        }
    });
    if unread > 0 {
        tracing::error!(unread, "entries of the event log could not be read, and are in no report");
    }
    read.map_err(|error| {
        tracing::error!(%error, "the event log could not be read for a report");
        Unavailable
    })?;
    if has_room { Ok(()) } else { Err(ReportFault::TooLarge) }
}

/// Implements the server's [`View`].
pub struct Port {
    pub asks: Post<Ask>,
    pub clock: Clock,
    pub store: Store,
    /// The same, for whoever can wait a quarter of a second.
    pub unhurried: Store,
    pub names: watch::Receiver<Arc<Names>>,
    pub desk: Desk,
    pub recordings: Recordings,
    /// Where recordings lie, and what opens sealed ones.
    pub shelf: Shelf,
    pub keys: Option<KeyRing>,
    pub bans: Arc<Bans>,
    pub trace: Trace,
    pub alarms: watch::Receiver<Arc<Vec<AlarmView>>>,
}

impl Port {
    /// What ids are called now.
    pub fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.borrow())
    }

    pub async fn ask<T: Send + 'static>(
        &self,
        make: impl FnOnce(Look) -> Ask,
        look: impl FnOnce(&Exchange, Tick) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |exchange: &Exchange, now| {
            // Whoever asked may have gone away; then nobody misses the answer.
            let _gone = reply.send(look(exchange, now));
        });
        self.asks.try_send(make(look)).map_err(|_| Unavailable)?;
        tokio::time::timeout(ANSWER_WITHIN, answer).await.map_err(|_| Unavailable)?.map_err(|_| Unavailable)
    }

    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Exchange, Tick) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.ask(Ask::Look, look).await
    }

    /// Has something done with a call that may be denied.
    async fn order(&self, call: CallId, command: Command) -> Result<Option<CallView>, GuestError> {
        let look = move |exchange: &Exchange, _| match exchange.denied() {
            Some(denied) => Err(denied.clone()),
            None => Ok(exchange.call_now(call)),
        };
        Ok(self.ask(|look| Ask::Do(command, look), look).await??)
    }

    pub async fn entry(&self, store: &Store, row: CallRow) -> Option<RecordEntry> {
        let record: CallRecord = serde_json::from_str(&row.json).ok()?;
        let caller = store.person_text(record.caller).await.ok().flatten();
        let diverted = match record.diverted.as_ref().and_then(|diverted| diverted.from) {
            Some(person) => store.person_text(person).await.ok().flatten(),
            None => None,
        };
        let mut taken_parts = Vec::new();
        for part in &record.taken_parts {
            taken_parts.push(store.person_text(part.person).await.ok().flatten());
        }
        let names = self.names();
        let noted = store.wrap_ups(row.id).await.unwrap_or_default();
        let wrap_up = |seen: WrapUpSeen| {
            let WrapUpSeen { agent, at, code, note } = seen;
            WrapUpEntry { agent, name: names.agents.get(&agent).cloned(), at, code, note }
        };
        Some(RecordEntry {
            wrap_ups: noted.into_iter().map(wrap_up).collect(),
            queue: record.queue.and_then(|queue| names.queues.get(&queue).cloned()),
            agent: record.agent.and_then(|agent| names.agents.get(&agent).cloned()),
            caller,
            diverted,
            taken_parts,
            recording: record.recording.and_then(|recording| self.recordings.get(recording)),
            record,
        })
    }
}

impl View for Port {
    fn now(&self) -> Tick {
        self.clock.now()
    }

    fn health(&self) -> Answer<'_, Health> {
        Box::pin(async {
            let control = self.look(|_, _| ()).await.map_err(|error| error.to_string());
            let stats = self.store.stats();
            let waiting = stats.queued + stats.unsettled;
            let store =
                if self.store.is_full() { Err(format!("{waiting} records wait to be written")) } else { Ok(()) };
            Health { parts: vec![("control", control), ("store", store)] }
        })
    }

    fn queues(&self) -> Answer<'_, Result<Vec<QueueView>, Unavailable>> {
        Box::pin(self.look(Exchange::queues))
    }

    fn agents(&self) -> Answer<'_, Result<Vec<AgentView>, Unavailable>> {
        Box::pin(self.look(Exchange::agents))
    }

    fn trunks(&self) -> Answer<'_, Result<Vec<TrunkView>, Unavailable>> {
        Box::pin(self.look(Exchange::trunks))
    }

    fn calendars(&self) -> Answer<'_, Result<Vec<HoursView>, Unavailable>> {
        Box::pin(self.look(|exchange, _| exchange.hours()))
    }

    fn callbacks(&self) -> Answer<'_, Result<Vec<CallbackView>, Unavailable>> {
        Box::pin(self.look(|exchange, _| exchange.callbacks()))
    }

    fn withdraw_callback(&self, callback: ContactId) -> Answer<'_, Result<Withdrawal, Unavailable>> {
        Box::pin(async move {
            if !self.look(move |exchange, _| exchange.has_callback(callback)).await? {
                return Ok(Withdrawal::Unknown);
            }
            let command = Command::WithdrawCallback { callback };
            let look = move |exchange: &Exchange, _| exchange.has_callback(callback);
            let is_there = self.ask(|look| Ask::Do(command, look), look).await?;
            Ok(if is_there { Withdrawal::Busy } else { Withdrawal::Done })
        })
    }

    fn calls(&self) -> Answer<'_, Result<Vec<CallView>, Unavailable>> {
        Box::pin(self.look(Exchange::calls))
    }

    fn records(&self, page: Page) -> Answer<'_, Result<Vec<RecordEntry>, Unavailable>> {
        Box::pin(async move {
            let Page { limit, before, code } = page;
            let filter = CallFilter { limit, before, code, ..CallFilter::default() };
            let rows = self.store.calls(filter).await.map_err(|_| Unavailable)?;
            let mut entries = Vec::with_capacity(rows.len());
            for row in rows {
                entries.extend(self.entry(&self.store, row).await);
            }
            Ok(entries)
        })
    }

    fn record(&self, call: CallId) -> Answer<'_, Result<Option<RecordEntry>, Unavailable>> {
        Box::pin(async move {
            match self.store.call(call).await.map_err(|_| Unavailable)? {
                Some(row) => Ok(self.entry(&self.store, row).await),
                None => Ok(None),
            }
        })
    }

    fn alarms(&self) -> Arc<Vec<AlarmView>> {
        Arc::clone(&self.alarms.borrow())
    }

    fn bans(&self) -> Vec<BanView> {
        let view = |ban: Ban| BanView {
            source: ban.source,
            offence: ban.offence.name(),
            left: Span::from_us(ban.left.as_micros() as u64),
            times: ban.times,
        };
        self.bans.list(Instant::now()).into_iter().map(view).collect()
    }

    fn lift_ban(&self, source: IpAddr) -> bool {
        self.bans.lift(source, Instant::now())
    }

    fn ladder(&self, call: CallId) -> Answer<'_, Option<Ladder>> {
        Box::pin(async move {
            let trace::Ladder { legs, messages, cut } = self.trace.ladder(call)?;
            Some(Ladder { legs, messages: messages.into_iter().map(ladder_message).collect(), cut })
        })
    }

    fn pcap(&self, call: CallId) -> Answer<'_, Option<Vec<u8>>> {
        Box::pin(async move { Some(trace::pcap(&self.trace.ladder(call)?.messages)) })
    }

    fn set_guest(&self, call: CallId, wish: GuestWish) -> Answer<'_, Result<Option<CallView>, GuestError>> {
        Box::pin(async move {
            let command = match wish {
                GuestWish::Supervise(by, wish) => Command::Supervise { call, by, wish },
                GuestWish::BringIn(by, number) => Command::BringIn { call, by, number },
                GuestWish::SendOff(guest) => Command::SendOff { call, guest },
            };
            self.order(call, command).await
        })
    }

    fn place(
        &self,
        call: CallId,
        by: Option<AgentId>,
        wish: Placement,
    ) -> Answer<'_, Result<Option<CallView>, GuestError>> {
        Box::pin(self.order(call, Command::Place { call, by, wish }))
    }

    fn explain(&self, call: CallId) -> Answer<'_, Result<Option<Explained>, Unavailable>> {
        Box::pin(async move {
            let explanation = self.look(move |exchange, _| exchange.explain(call)).await?;
            Ok(explanation.map(|explanation| Explained { explanation, names: (*self.names()).clone() }))
        })
    }

    fn number_report(&self, bounds: Vec<Tick>, rows_max: usize) -> Answer<'_, Result<NumberReport, ReportFault>> {
        Box::pin(async move {
            let store = self.store.clone();
            let report = move || fold_numbers(&store, NumberReport::new(bounds), rows_max);
            tokio::task::spawn_blocking(report).await.map_err(|_| Unavailable)?
        })
    }

    fn report(&self, of: ReportOf, bounds: Vec<Tick>, rows_max: usize) -> Answer<'_, Result<Reported, ReportFault>> {
        Box::pin(async move {
            let now = self.clock.now();
            let promises = self.look(|exchange, _| {
                let queues = exchange.acd().queues();
                queues.map(|queue| (queue.id, queue.service_level)).collect::<Vec<_>>()
            });
            let promises = promises.await?;
            let formulas: BTreeMap<_, _> = promises.iter().map(|(id, promise)| (*id, promise.formula)).collect();
            let store = self.store.clone();
            let empty = Report::new(bounds, promises);
            let empty = match of {
                ReportOf::Queues => empty.of_queues(),
                ReportOf::Agents => empty.of_agents(),
            };
            let report = tokio::task::spawn_blocking(move || fold(&store, empty, now, rows_max));
            let report = report.await.map_err(|_| Unavailable)??;
            let named =
                |(id, name): (&QueueId, &String)| (*id, (name.clone(), formulas.get(id).copied().unwrap_or_default()));
            let names = self.names();
            let queues = names.queues.iter().map(named).collect();
            let agents = names.agents.iter().map(|(id, name)| (*id, name.clone())).collect();
            Ok(Reported { report, queues, agents })
        })
    }

    fn welcome(&self, entrance: String, name: Option<String>) -> Answer<'_, Result<Ticket, WelcomeError>> {
        Box::pin(async move {
            let command = Command::Welcome { entrance, name };
            let look = |exchange: &Exchange, _| exchange.welcomed().cloned();
            let given = self.ask(|look| Ask::Do(command, look), look).await?;
            given.unwrap_or(Err(NotWelcome::NoEntrance)).map_err(WelcomeError::from)
        })
    }

    fn set_recording(
        &self,
        call: CallId,
        by: Option<AgentId>,
        wish: RecordingWish,
    ) -> Answer<'_, Result<Option<CallView>, GuestError>> {
        Box::pin(self.order(call, Command::Record { call, by, wish }))
    }

    fn set_agent(&self, agent: AgentId, wish: AgentWish) -> Answer<'_, Result<AgentView, SetAgentError>> {
        Box::pin(async move {
            let to = match wish {
                AgentWish::Available => WantedState::Available,
                AgentWish::NotReady(reason) => {
                    WantedState::NotReady { reason: reason.unwrap_or_else(|| "not-ready".to_owned()) }
                }
                AgentWish::LoggedOut => WantedState::LoggedOut,
            };
            let command = Command::SetAgent { agent, to };
            let state = self.ask(|look| Ask::Do(command, look), move |exchange, _| exchange.agent_now(agent)).await?;
            state.ok_or(SetAgentError::Unknown)
        })
    }
}

fn ladder_message(seen: Seen) -> LadderMessage {
    let Seen { at, flow, sent, leg, bytes } = seen;
    LadderMessage { at, transport: flow.transport.name(), local: flow.local, peer: flow.peer, sent, leg, bytes }
}
