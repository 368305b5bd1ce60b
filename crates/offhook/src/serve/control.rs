//! The control loop: one thread that owns the exchange, takes inputs in order and carries outputs out. It never blocks on
//! anything but its own inputs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::Receiver;
use offhook_call::callback::CallbackEnd;
use offhook_call::config::Config;
use offhook_call::event::{LogEvent, VERSION};
use offhook_call::{Command, Exchange, Input, Output, RecordingWanted};
use offhook_media::Assets;
use offhook_net::bans::{Bans, Offence};
use offhook_net::intake::Intake;
use offhook_net::media::MediaHandle;
use offhook_net::sip::{Incoming, SipSocket};
use offhook_net::streams::{Lead, Streams};
use offhook_net::trace::Trace;
use offhook_net::{Clock, Letter};
use offhook_plan::{MediaCommand, MediaEvent};
use offhook_recorder::{RecorderEvent, RecordingSpec, WriterHandle};
use offhook_server::{CallsEnded, EventSender, LiveEvent};
use offhook_sip::Flow;
use offhook_sip::{Binding, Change};
use offhook_store::{AppendError, BindingRow, CallRow, Record, Store};
use offhook_units::{Span, Tick};

use super::recordings::Recordings;
use super::siprec::SiprecCounts;
use crate::recording::recording_row;

/// How long changes are gathered before the live feed is told: a wallboard needs no more, and a busy second costs little.
const LIVE_EVERY: Span = Span::from_ms(25);

/// Commands that wait for room at a worker; over it new calls are refused.
const MEDIA_OUTBOX_MAX: usize = 4_096;

/// What need not be done at once at the media workers - a first plan in which nobody hears anybody, closing legs, telling that
/// either is done - waits this long for something to go along with.
const MEDIA_WITHIN: Span = Span::from_ms(10);

/// Datagrams that wait for the end of the turn, so that they leave in few system calls; with one more they leave before.
const LETTERS_MAX: usize = 16;

/// Inputs of one kind taken in one turn, so that none starves the others.
const TURN_MAX: usize = 64;

/// The longest sleep, so that a clock slewed towards UTC never waits far beyond its instant.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// A look at the exchange as it is now.
pub type Look = Box<dyn FnOnce(&Exchange, Tick) + Send>;

/// What the edges ask of the loop.
pub enum Ask {
    /// Looks at the exchange.
    Look(Look),
    /// Changes something, then looks.
    Do(Command, Look),
    /// Goes over to another configuration with its sounds, then looks. Of each trunk by its name, what the places bear that need no DNS.
    Configure { config: Box<Config>, sounds: Arc<Assets>, leads: Vec<(String, Vec<Lead>)>, look: Look },
    /// Keeps an event of the edges in the log.
    Log(Box<LogEvent>),
    /// The names of a trunk lead here now, in this order, and these are its places with what their certificates bear.
    Targets { trunk: usize, flows: Vec<Flow>, leads: Vec<Lead> },
}

/// Where inputs come from.
pub struct Inputs {
    /// Datagrams; woken for everything else.
    pub intake: Intake,
    /// Batches of messages from connections.
    pub streams: Receiver<Vec<Incoming>>,
    /// Reports of media workers.
    pub media: Receiver<(usize, MediaEvent)>,
    /// Reports of the recorder.
    pub recorder: Receiver<RecorderEvent>,
    /// Questions and commands.
    pub asks: Receiver<Ask>,
}

/// What outputs are carried out with.
pub struct Edges {
    pub clock: Clock,
    pub sockets: Vec<SipSocket>,
    pub streams: Option<Streams>,
    pub media: Vec<MediaHandle>,
    pub recorder: Option<WriterHandle>,
    pub store: Store,
    pub live: EventSender,
    pub ended: CallsEnded,
    pub figures: Arc<Figures>,
    pub recordings: Recordings,
    pub bans: Arc<Bans>,
    pub trace: Trace,
}

/// Figures of the loop, read by metrics.
#[derive(Debug, Default)]
pub struct Figures {
    pub calls_active: AtomicU64,
    pub calls: AtomicU64,
    pub refused_by_limit: AtomicU64,
    pub refused_by_overload: AtomicU64,
    pub refused_by_spending: AtomicU64,
    pub behind_us: AtomicU64,
    pub calls_per_s: AtomicU64,
    pub refused_strangers: AtomicU64,
    /// As of the exchange.
    pub transfers_done: AtomicU64,
    pub silences: AtomicU64,
    pub sent_elsewhere: AtomicU64,
    pub dropped: AtomicU64,
    pub resumed: AtomicU64,
    pub kept_places: AtomicU64,
    pub callbacks_open: AtomicU64,
    pub callbacks_asked: AtomicU64,
    pub callbacks_tried: AtomicU64,
    /// In the order of [`CallbackEnd::ALL`].
    pub callbacks_ended: [AtomicU64; CallbackEnd::ALL.len()],
    pub poor: AtomicU64,
    pub quiet: AtomicU64,
    /// As of the exchange.
    pub transfers_failed: AtomicU64,
    /// As of the exchange.
    pub transfers_refused: AtomicU64,
    pub guests: AtomicU64,
    pub guests_denied: AtomicU64,
    pub desk_denied: AtomicU64,
    pub visitors: AtomicU64,
    pub visitors_refused: AtomicU64,
    pub visitors_inside: AtomicU64,
    pub recording_pauses: AtomicU64,
    pub recording_pauses_at_limit: AtomicU64,
    pub recording_denied: AtomicU64,
    pub siprec: SiprecCounts,
    pub refused_unknown_numbers: AtomicU64,
    pub registrations: AtomicU64,
    pub malformed: AtomicU64,
    pub sip_transactions: AtomicU64,
    pub sip_sessions: AtomicU64,
    pub watching: AtomicU64,
    pub sticky_callers: AtomicU64,
    pub subscriptions: AtomicU64,
    pub subscriptions_refused: AtomicU64,
    pub messages: AtomicU64,
    pub messages_failed: AtomicU64,
    pub messages_refused: AtomicU64,
    pub phones_kept_open: AtomicU64,
    pub phones_unreachable: AtomicU64,
    pub pings_sent: AtomicU64,
    pub pings_unanswered: AtomicU64,
    pub digest_wrong: AtomicU64,
    pub digest_stale: AtomicU64,
    pub digest_replayed: AtomicU64,
    pub digest_other_uri: AtomicU64,
    pub nonces_forgotten: AtomicU64,
    pub registrations_too_brief: AtomicU64,
    pub registrations_too_many: AtomicU64,
    pub registrations_full: AtomicU64,
    pub registrations_malformed: AtomicU64,
    pub contacts_gave_way: AtomicU64,
    pub ports_in_use: AtomicU64,
    pub ports: AtomicU64,
    pub turns: AtomicU64,
    pub log_outbox: AtomicU64,
    pub recorder_trouble: AtomicU64,
    pub recorder_dropped: AtomicU64,
    pub recordings_failed: AtomicU64,
}

/// The loop.
pub struct Control {
    exchange: Exchange,
    inputs: Inputs,
    edges: Edges,
    /// Records that the store had no room for yet, in order.
    outbox: Vec<Record>,
    /// Datagrams that leave at the end of the turn, by the socket.
    letters: Vec<Vec<Letter>>,
    seq: u64,
    wake: Option<Tick>,
    live_due: Option<Tick>,
    /// When what waits is handed to the workers, at the latest.
    media_due: Option<Tick>,
    /// When the workers' answers are looked at, at the latest: they rouse nobody.
    answers_due: Option<Tick>,
    /// When everything that had come in was read for the last time, and whether that is not now.
    caught_up: Tick,
    is_behind: bool,
}

impl Control {
    /// A loop around an exchange that has just been made.
    pub fn new(exchange: Exchange, inputs: Inputs, edges: Edges) -> Self {
        let seq = edges.store.next_seq();
        let letters = edges.sockets.iter().map(|_| Vec::new()).collect();
        Self {
            letters,
            exchange,
            inputs,
            edges,
            outbox: Vec::new(),
            seq,
            wake: Some(Tick::ZERO),
            live_due: None,
            media_due: None,
            answers_due: None,
            caught_up: Tick::ZERO,
            is_behind: false,
        }
    }

    /// Runs on a thread of its own.
    pub fn start(self) -> Result<JoinHandle<Edges>> {
        let thread = std::thread::Builder::new().name("control".into());
        thread.spawn(move || self.run()).context("the control thread")
    }

    /// Runs until the exchange is drained. Gives the edges back, to be closed in order.
    pub fn run(mut self) -> Edges {
        self.carry_out(self.edges.clock.now());
        self.post();
        while !self.exchange.is_drained() {
            self.wait();
            let now = self.edges.clock.now();
            if self.wake.is_some_and(|at| at <= now) {
                self.exchange.handle(now, Input::Timeout);
            }
            self.carry_out(now);
            self.post();
            self.publish(now);
            self.count();
        }
        self.flush_log();
        self.edges
    }

    /// Sleeps until an input or the next instant, then takes what is there.
    fn wait(&mut self) {
        let timeout = self.sleep();
        let Inputs { intake, streams, media, recorder, asks } = &mut self.inputs;
        intake.sleep(timeout, || streams.is_empty() && media.is_empty() && recorder.is_empty() && asks.is_empty());
        if !self.is_behind {
            self.caught_up = self.edges.clock.now();
        }
        let mut messages = Vec::new();
        let mut more = intake.read(&mut messages);
        self.on_sip(messages);
        for _ in 0..TURN_MAX {
            let Ok((worker, event)) = self.inputs.media.try_recv() else { break };
            self.on_media(worker, event);
        }
        for _ in 0..TURN_MAX {
            let Ok(messages) = self.inputs.streams.try_recv() else { break };
            self.on_sip(messages);
        }
        more |= !self.inputs.streams.is_empty();
        self.tell_lateness(more);
        for _ in 0..TURN_MAX {
            let Ok(event) = self.inputs.recorder.try_recv() else { break };
            self.on_recorder(event);
        }
        for _ in 0..TURN_MAX {
            let Ok(ask) = self.inputs.asks.try_recv() else { break };
            self.on_ask(ask);
        }
    }

    /// Tells the exchange for how long there has been more to read than was read.
    fn tell_lateness(&mut self, more: bool) {
        if more || self.is_behind {
            let now = self.edges.clock.now();
            let by = if more { now.since(self.caught_up) } else { Span::ZERO };
            self.is_behind = more;
            self.edges.figures.behind_us.store(by.as_us(), Ordering::Relaxed);
            self.exchange.handle(now, Input::Behind { by });
        }
    }

    fn sleep(&self) -> Duration {
        let now = self.edges.clock.now();
        let next = [self.wake, self.live_due, self.media_due, self.answers_due].into_iter().flatten().min();
        let outbox = if self.outbox.is_empty() { SLEEP_MAX } else { Duration::from_millis(5) };
        next.map_or(SLEEP_MAX, |at| at.since(now).as_std()).min(outbox).min(SLEEP_MAX)
    }

    fn on_sip(&mut self, messages: Vec<Incoming>) {
        for incoming in messages {
            let now = self.edges.clock.now();
            let input = match incoming {
                Incoming::Message(flow, message) => Input::Message { flow, message },
                Incoming::Malformed(flow, error) => Input::Malformed { flow, error },
                Incoming::Lost(flow) => Input::TransportFailed { flow },
                Incoming::Proved(flow, trunk) => Input::Proved { flow, trunk },
                // The exchange asks nobody where it is.
                Incoming::Mapped(..) => continue,
            };
            self.exchange.handle(now, input);
            self.carry_out(now);
        }
    }

    fn on_media(&mut self, worker: usize, event: MediaEvent) {
        if let MediaEvent::LegFailed { leg, error, .. } = &event {
            tracing::error!(%leg, error, "a leg's ports could not be opened");
        }
        let now = self.edges.clock.now();
        self.exchange.handle(now, Input::Media { worker, event });
        self.carry_out(now);
    }

    fn on_recorder(&mut self, event: RecorderEvent) {
        let figures = &self.edges.figures;
        match event {
            RecorderEvent::Closed(manifest) => {
                if let Some(call) = manifest.call {
                    let now = self.edges.clock.now();
                    self.edges.live.publish(now, LiveEvent::Record { call });
                }
                self.edges.store.put_recording(recording_row(&manifest));
                self.edges.recordings.add(&manifest);
            }
            RecorderEvent::Mended(manifest) => {
                tracing::warn!(recording = %manifest.id, path = manifest.path, "a recording left open by a crash was mended");
                self.edges.store.put_recording(recording_row(&manifest));
                self.edges.recordings.add(&manifest);
            }
            RecorderEvent::Failed { id, error } => {
                figures.recordings_failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(?id, error, "a recording failed");
            }
            RecorderEvent::Dropped { count } => {
                figures.recorder_dropped.fetch_add(count, Ordering::Relaxed);
                tracing::error!(count, "recorded packets found no room in the tap ring");
            }
            RecorderEvent::DiskTrouble { error } => {
                figures.recorder_trouble.store(1, Ordering::Relaxed);
                tracing::error!(error, "recordings cannot be written; calls go on");
            }
            RecorderEvent::DiskRecovered => {
                figures.recorder_trouble.store(0, Ordering::Relaxed);
                tracing::warn!("recordings can be written again");
            }
        }
    }

    fn on_ask(&mut self, ask: Ask) {
        let now = self.edges.clock.now();
        match ask {
            Ask::Look(look) => look(&self.exchange, now),
            Ask::Do(command, look) => {
                self.exchange.handle(now, Input::Command(command));
                self.carry_out(now);
                look(&self.exchange, now);
            }
            Ask::Configure { config, sounds, leads, look } => {
                for media in &mut self.edges.media {
                    media.send_sounds(Arc::clone(&sounds));
                }
                self.exchange.handle(now, Input::Configure(config));
                let places = self.exchange.trunk_places();
                for (name, leads) in leads {
                    if let (Some(streams), Some(place)) = (&self.edges.streams, places.get(&name)) {
                        streams.lead(*place, leads);
                    }
                }
                self.carry_out(now);
                look(&self.exchange, now);
            }
            Ask::Log(event) => self.append(now, &event),
            Ask::Targets { trunk, flows, leads } => {
                if let Some(streams) = &self.edges.streams {
                    streams.lead(trunk, leads);
                }
                self.exchange.handle(now, Input::Targets { trunk, flows });
                self.carry_out(now);
            }
        }
    }

    /// Carries all outputs out in order; log entries are handed to the store before the effects behind them. Datagrams leave, and
    /// media workers are told, after that.
    fn carry_out(&mut self, now: Tick) {
        let mut presses = false;
        loop {
            match self.exchange.poll_output() {
                Output::Log { at, event } => self.append(at, &event),
                Output::Transmit { flow, bytes } => self.transmit(flow, bytes),
                Output::Media { worker, command } => {
                    presses |= presses_on(&command);
                    if let Some(media) = self.edges.media.get_mut(worker) {
                        media.send(command);
                    }
                }
                Output::Person { person, text } => self.edges.store.put_person(person, &text),
                Output::OpenRecording(wanted) => self.open_recording(wanted),
                Output::PauseRecording { recording, at } => {
                    if let Some(recorder) = &self.edges.recorder {
                        recorder.pause(recording, at);
                    }
                }
                Output::ResumeRecording { recording, at } => {
                    if let Some(recorder) = &self.edges.recorder {
                        recorder.resume(recording, at);
                    }
                }
                Output::CloseRecording { recording, at } => {
                    if let Some(recorder) = &self.edges.recorder {
                        recorder.close(recording, at);
                    }
                }
                Output::Record(record) => self.keep(now, &record),
                Output::Binding(change) => self.bind(change),
                Output::ExpectAlive { flow, within } => {
                    if let Some(streams) = &self.edges.streams {
                        streams.expect_alive(flow, within.as_std());
                    }
                }
                Output::WrongPassword { source } => {
                    self.edges.bans.offend(source, Offence::Password, Instant::now());
                }
                Output::Leg { call, call_id, name } => self.edges.trace.leg(now, call, &call_id, name),
                Output::Wait { until } => {
                    self.wake = until;
                    break;
                }
            }
        }
        self.flush_log();
        self.hand_to_media(now, presses);
        self.refuse_while_behind();
        if self.letters.iter().any(|letters| letters.len() > LETTERS_MAX) {
            self.post();
        }
    }

    /// Sends the datagrams of this turn.
    fn post(&mut self) {
        for (socket, letters) in self.edges.sockets.iter().zip(&mut self.letters) {
            if !letters.is_empty() {
                socket.send_all(letters);
                letters.clear();
            }
        }
    }

    /// Hands commands to the media workers: at once where one of them presses, else along with the next ones or when they are
    /// due.
    fn hand_to_media(&mut self, now: Tick, presses: bool) {
        if self.answers_due.is_some_and(|at| at <= now) {
            self.answers_due = None;
        }
        if self.edges.media.iter().all(|media| media.waiting() == 0) {
            return;
        }
        if !presses && *self.media_due.get_or_insert(now + MEDIA_WITHIN) > now {
            return;
        }
        for media in &mut self.edges.media {
            if media.waiting() > 0 {
                media.flush();
            }
        }
        let is_full = self.edges.media.iter().any(|media| media.waiting() > 0);
        self.media_due = is_full.then(|| now + MEDIA_WITHIN);
        self.answers_due = Some(now + MEDIA_WITHIN);
    }

    /// Takes no new calls while a worker or the store cannot keep up with the old ones.
    fn refuse_while_behind(&mut self) {
        let media_behind = self.edges.media.iter().any(|media| media.waiting() > MEDIA_OUTBOX_MAX);
        let behind = media_behind || !self.outbox.is_empty() || self.edges.store.is_full();
        self.exchange.refuse_calls(behind);
    }

    fn append(&mut self, at: Tick, event: &LogEvent) {
        let record =
            Record { stream: event.stream(), seq: self.seq, at, kind: 0, version: VERSION, bytes: event.encode() };
        self.seq += 1;
        self.outbox.push(record);
    }

    /// Hands the outbox to the store; what finds no room stays, and new calls are refused until it does.
    fn flush_log(&mut self) {
        if !self.outbox.is_empty() {
            match self.edges.store.append(core::mem::take(&mut self.outbox)) {
                Ok(()) => {}
                Err(AppendError::Full(records)) => self.outbox = records,
                Err(AppendError::OutOfOrder { seq, after }) => {
                    tracing::error!(seq, after, "the event log was handed records out of order");
                }
            }
            self.edges.figures.log_outbox.store(self.outbox.len() as u64, Ordering::Relaxed);
        }
    }

    fn transmit(&mut self, flow: Flow, bytes: Vec<u8>) {
        self.edges.trace.sent(flow, &bytes);
        if flow.transport.is_reliable() {
            self.flush_log();
            if let Some(streams) = &self.edges.streams {
                streams.send(flow, bytes);
            }
            return;
        }
        let sockets = &self.edges.sockets;
        let place = sockets.iter().position(|socket| serves(socket.local(), flow.local)).unwrap_or(0);
        if let (Some(socket), Some(letters)) = (sockets.get(place), self.letters.get_mut(place)) {
            letters.push(socket.letter(flow, bytes));
        }
    }

    fn open_recording(&self, wanted: RecordingWanted) {
        let RecordingWanted { recording, call, started, codec, queue } = wanted;
        if let Some(recorder) = &self.edges.recorder {
            let meta = queue.map(|queue| ("queue".to_owned(), queue)).into_iter().collect();
            recorder.open(RecordingSpec { id: recording, call, started, meta, codec });
        }
    }

    fn keep(&self, now: Tick, record: &offhook_call::record::CallRecord) {
        let json = serde_json::to_string(record).expect("a call record is plain data");
        self.edges.store.put_call(CallRow {
            id: record.id,
            started: record.started,
            ended: record.ended,
            number: record.number.clone(),
            queue: record.queue,
            agent: record.agent,
            end: record.end.name().to_owned(),
            json,
        });
        self.edges.ended.of(record.end).inc();
        self.edges.live.publish(now, LiveEvent::CallEnded { call: record.id, end: record.end });
        self.edges.live.publish(now, LiveEvent::Record { call: record.id });
        tracing::info!(call = %record.id, number = record.number, end = record.end.name(), "call ended");
    }

    fn bind(&self, change: Change) {
        match change {
            Change::Bound { binding, .. } => {
                let json = serde_json::to_string(&*binding).expect("a binding is plain data");
                let key = binding_key(&binding.account, &binding.contact);
                self.edges.store.put_binding(BindingRow { key, json, expires: binding.expires_at });
            }
            Change::Unbound { account, contact } => self.edges.store.remove_binding(&binding_key(&account, &contact)),
        }
    }

    /// Tells the live feed what looks different, gathered over [`LIVE_EVERY`].
    fn publish(&mut self, now: Tick) {
        match self.live_due {
            None => {
                if self.exchange.has_changed() {
                    self.live_due = Some(now + LIVE_EVERY);
                }
                return;
            }
            Some(at) if at > now => return,
            Some(_) => self.live_due = None,
        }
        let changed = self.exchange.take_changed();
        let calls = changed.calls.into_iter().filter_map(|call| self.exchange.call_now(call)).map(LiveEvent::Call);
        let agents = changed.agents.into_iter().filter_map(|agent| self.exchange.agent_now(agent));
        let queues = changed.queues.into_iter().filter_map(|queue| self.exchange.queue_now(now, queue));
        let trunks = changed.trunks.into_iter().filter_map(|trunk| self.exchange.trunk_now(now, trunk));
        let events = calls.chain(agents.map(LiveEvent::Agent)).chain(queues.map(LiveEvent::Queue));
        let events = events.chain(trunks.map(LiveEvent::Trunk));
        for event in events {
            self.edges.live.publish(now, event);
        }
    }

    fn count(&self) {
        let (figures, counters) = (&self.edges.figures, self.exchange.counters());
        for (figure, how) in figures.callbacks_ended.iter().zip(CallbackEnd::ALL) {
            let ended = counters.callbacks_ended.get(how.name()).copied();
            figure.store(ended.unwrap_or_default(), Ordering::Relaxed);
        }
        let digest = self.exchange.digest_counters();
        let registrar = self.exchange.registrar_counters();
        let pings = self.exchange.pings();
        let sip = self.exchange.sip_load();
        let (in_use, ports) = self.exchange.ports();
        for (figure, value) in [
            (&figures.calls_active, self.exchange.calls_active() as u64),
            (&figures.calls, counters.calls),
            (&figures.sip_transactions, sip.transactions as u64),
            (&figures.sip_sessions, sip.sessions as u64),
            (&figures.refused_by_limit, counters.refused_by_limit),
            (&figures.refused_by_overload, counters.refused_by_overload),
            (&figures.refused_by_spending, counters.refused_by_spending),
            (&figures.calls_per_s, self.exchange.calls_per_s()),
            (&figures.refused_strangers, counters.refused_strangers),
            (&figures.refused_unknown_numbers, counters.refused_unknown_numbers),
            (&figures.transfers_done, counters.transfers_done),
            (&figures.silences, counters.silences),
            (&figures.sent_elsewhere, counters.sent_elsewhere),
            (&figures.dropped, counters.dropped),
            (&figures.resumed, counters.resumed),
            (&figures.kept_places, self.exchange.kept_places() as u64),
            (&figures.callbacks_open, self.exchange.callbacks_open() as u64),
            (&figures.callbacks_asked, counters.callbacks_asked),
            (&figures.callbacks_tried, counters.callbacks_tried),
            (&figures.poor, counters.poor),
            (&figures.quiet, counters.quiet),
            (&figures.transfers_failed, counters.transfers_failed),
            (&figures.transfers_refused, counters.transfers_refused),
            (&figures.guests, counters.guests),
            (&figures.guests_denied, counters.guests_denied),
            (&figures.desk_denied, counters.desk_denied),
            (&figures.visitors, counters.visitors),
            (&figures.visitors_refused, counters.visitors_refused),
            (&figures.visitors_inside, u64::from(self.exchange.visitors().0)),
            (&figures.recording_pauses, counters.recording_pauses),
            (&figures.recording_pauses_at_limit, counters.recording_pauses_at_limit),
            (&figures.recording_denied, counters.recording_denied),
            (&figures.registrations, counters.registrations),
            (&figures.malformed, counters.malformed),
            (&figures.watching, self.exchange.watching() as u64),
            (&figures.sticky_callers, self.exchange.sticky_callers() as u64),
            (&figures.subscriptions, counters.subscriptions),
            (&figures.subscriptions_refused, counters.subscriptions_refused),
            (&figures.messages, counters.messages),
            (&figures.messages_failed, counters.messages_failed),
            (&figures.messages_refused, counters.messages_refused),
            (&figures.phones_kept_open, pings.kept_open),
            (&figures.phones_unreachable, pings.unreachable),
            (&figures.pings_sent, pings.sent),
            (&figures.pings_unanswered, pings.unanswered),
            (&figures.digest_wrong, digest.wrong),
            (&figures.digest_stale, digest.stale),
            (&figures.digest_replayed, digest.replayed),
            (&figures.digest_other_uri, digest.other_uri),
            (&figures.nonces_forgotten, digest.nonces_forgotten),
            (&figures.registrations_too_brief, registrar.too_brief),
            (&figures.registrations_too_many, registrar.too_many_contacts),
            (&figures.registrations_full, registrar.full),
            (&figures.registrations_malformed, registrar.malformed),
            (&figures.contacts_gave_way, registrar.gave_way),
            (&figures.ports_in_use, in_use as u64),
            (&figures.ports, ports as u64),
        ] {
            figure.store(value, Ordering::Relaxed);
        }
        figures.siprec.store(self.exchange.siprec());
        figures.turns.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether a worker has to see to it at once. The ports of a first plan's legs are open as soon as it is taken: what comes there
/// while nobody hears it waits for the worker.
fn presses_on(command: &MediaCommand) -> bool {
    match command {
        MediaCommand::Apply(plan) => plan.generation > 1 || !plan.edges.is_empty(),
        MediaCommand::Close(_) => false,
        MediaCommand::Move(_) => true,
    }
}

/// The key of a registration in the store.
pub fn binding_key(account: &str, contact: &str) -> String {
    format!("{account} {contact}")
}

/// Reads a registration that the store kept; a line of another version is passed over.
pub fn binding_of(row: &BindingRow) -> Option<Binding> {
    serde_json::from_str(&row.json).ok()
}

fn serves(listener: SocketAddr, local: SocketAddr) -> bool {
    listener == local || (listener.ip().is_unspecified() && listener.port() == local.port())
}
