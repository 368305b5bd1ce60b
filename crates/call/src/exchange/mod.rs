//! The exchange: one owner of all calls. Inputs go in in order, outputs come out until [`Output::Wait`].
//!
//! It never waits for audio: it says with a plan what should be heard, and goes on.

mod admission;
mod browsers;
mod callbacks;
mod configuring;
mod desk;
mod dial;
mod digits;
mod diversion;
mod dropped;
mod elsewhere;
mod ending;
mod guests;
mod hours;
mod identity;
mod incoming;
mod instances;
mod io;
mod joining;
mod legs;
mod media;
mod menu;
mod phones;
mod pings;
mod placement;
mod placing;
mod queueing;
mod recent;
mod recording;
mod recover;
mod resume;
mod siprec;
mod spending;
mod state;
mod sticky;
mod subscriptions;
mod taken;
mod talking;
mod texts;
mod tones;
mod transfer;
mod trunks;
mod views;
pub(crate) mod visitors;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use offhook_acd::Acd;
use offhook_plan::{LevelReport, SpeechReport};
use offhook_sip::{Binding, DigestCounters, Registrar, RegistrarCounters};
use offhook_sip::{Endpoint, EndpointConfig, Event as SipEvent, Flow, Message, Method, Output as SipOutput, SessionId};
use offhook_units::{AgentId, CallId, ContactId, Entropy, IdSource, LegId, OfferId, QueueId, Tick};

pub use self::desk::MENU_KEYS_MAX;
pub use self::elsewhere::SENT_ELSEWHERE_MAX;
pub use self::guests::{GUEST_RINGS_FOR, GUESTS_MAX};
pub use self::io::{Command, Input, Output, RecordingWanted, WantedState};
pub use self::pings::{PINGS_UNANSWERED_MAX, PingFigures};
pub use self::recording::PAUSES_MAX;
pub use self::recover::Recovered;
pub use self::resume::KEPT_PLACES_MAX;
use self::state::Call;
pub use self::sticky::STICKY_CALLERS_MAX;
pub use self::subscriptions::SUBSCRIPTIONS_PER_ACCOUNT_MAX;
pub use self::texts::{TEXT_BYTES_MAX, TEXT_STREAM_BYTES_MAX};
pub use self::transfer::{TRANSFER_RINGS_FOR, TRANSFERS_MAX};
pub use self::trunks::TARGETS_MAX;
use crate::callback::Callbacks;
use crate::config::{self, Config};
use crate::event::{CallEvent, LogEvent, Party};
use crate::guests::Denied;
use crate::ports::PortPool;
use crate::record::Fold;
use crate::timers::{Kind, Timers};

/// SIP sessions beyond those of the most calls, so that an emergency call finds room where nothing else does.
const EMERGENCY_SESSIONS: usize = 64;

/// Counts since start, for metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// INVITEs for numbers of ours that were taken on.
    pub calls: u64,
    /// INVITEs refused because a limit was reached (503).
    pub refused_by_limit: u64,
    /// Calls outside refused because an account had made its calls of the hour or the day (503).
    pub refused_by_spending: u64,
    /// INVITEs refused because the program had fallen behind (503).
    pub refused_by_overload: u64,
    /// INVITEs from strangers, and calls outside that an account may not make (403).
    pub refused_strangers: u64,
    /// INVITEs to numbers that are not ours (404).
    pub refused_unknown_numbers: u64,
    /// Calls that ended, by how.
    pub ended: BTreeMap<&'static str, u64>,
    /// Registrations and refreshes accepted.
    pub registrations: u64,
    /// Messages that could not be parsed.
    pub malformed: u64,
    /// Transfers after which the target talked, or the caller was where the transfer led.
    pub transfers_done: u64,
    /// Sides of calls in talk that sent nothing for a while.
    pub silences: u64,
    /// Sides of calls in talk that sent nothing but silence for a while.
    pub quiet: u64,
    /// Legs whose speech became poor in one direction.
    pub poor: u64,
    /// Transfers that came to nothing.
    pub transfers_failed: u64,
    /// REFERs refused at once: from trunks, at the wrong time, or one too many.
    pub transfers_refused: u64,
    /// Subscriptions of phones that were taken on.
    pub subscriptions: u64,
    /// SUBSCRIBEs that were refused: with a wrong password, of what there is not, over a limit.
    pub subscriptions_refused: u64,
    /// Pauses of recordings that were in force.
    pub recording_pauses: u64,
    /// Of these, how many nobody ended in time.
    pub recording_pauses_at_limit: u64,
    /// Wishes to pause a recording, or to go on with it, that were not carried out.
    pub recording_denied: u64,
    /// Supervisors and third parties who came into calls.
    pub guests: u64,
    /// Wishes of supervisors, or for third parties, that were not carried out.
    pub guests_denied: u64,
    /// Wishes of agents at their desks that were not carried out.
    pub desk_denied: u64,
    /// Calls of visitors.
    pub visitors: u64,
    /// Visitors who were given no ticket.
    pub visitors_refused: u64,
    /// Times that a caller was sent elsewhere: out of hours, from a full or deserted queue, after too long a wait, by a key. Last
    /// messages do not count.
    pub sent_elsewhere: u64,
    /// Times that an agent's phone was gone without having hung up, and its caller went back to the queue.
    pub dropped: u64,
    /// Callers who called again and took their place in a queue back.
    pub resumed: u64,
    /// Callers who asked to be called back.
    pub callbacks_asked: u64,
    /// Times that a customer was called back, or tried.
    pub callbacks_tried: u64,
    /// Callbacks that are over, by how.
    pub callbacks_ended: BTreeMap<&'static str, u64>,
    /// Texts of phones that a phone took.
    pub messages: u64,
    /// Texts that no phone took of those whom they were for.
    pub messages_failed: u64,
    /// Texts that were refused: with a wrong password, to nobody, too long, of a kind that is not carried.
    pub messages_refused: u64,
}

/// The exchange.
pub struct Exchange {
    config: Config,
    endpoint: Endpoint,
    registrar: Registrar,
    acd: Acd,
    calls: BTreeMap<CallId, Call>,
    sessions: BTreeMap<SessionId, (CallId, Role)>,
    contacts: BTreeMap<ContactId, CallId>,
    offers: BTreeMap<OfferId, CallId>,
    agents: BTreeMap<AgentId, AgentLine>,
    accounts: BTreeMap<String, AgentId>,
    /// Whom phones of ours can call by name: accounts and agents.
    callable: BTreeMap<String, AgentId>,
    /// Calls outside that go on, by the account that answers for them.
    outside: BTreeMap<String, u32>,
    /// Calls outside that were made, by account.
    spending: spending::Spending,
    last_agents: sticky::LastAgents,
    kept_places: resume::KeptPlaces,
    hours: hours::Hours,
    callbacks: callbacks::Book,
    queues: BTreeMap<QueueId, usize>,
    /// Numbers of ours by what they are in E.164: the keys of the configuration.
    own_numbers: BTreeMap<String, String>,
    /// Trunks, in the order of the configuration.
    lines: Vec<trunks::Line>,
    order: configuring::Order,
    leaving: configuring::Leaving,
    pings: pings::Pings,
    /// Connections whose far end has proved to be a trunk.
    proved: BTreeMap<Flow, usize>,
    trunks_wake: Option<Tick>,
    /// When a drained exchange waits no more for its registrations to end.
    leave_by: Option<Tick>,
    ports: PortPool,
    /// Legs that have changed calls, and where they are now, until they are closed.
    moved: BTreeMap<LegId, CallId>,
    timers: Timers,
    ids: IdSource,
    entropy: Entropy,
    fold: Fold,
    outputs: VecDeque<Output>,
    pace: admission::Pace,
    counters: Counters,
    drain_by: Option<Tick>,
    sip_wake: Option<Tick>,
    acd_wake: Option<Tick>,
    changed: Changed,
    watches: subscriptions::Watches,
    texts: texts::Texts,
    refusing: bool,
    denied: Option<Denied>,
    visitors: visitors::Visitors,
    siprec: siprec::Siprec,
}

/// What looks different since it was last asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Calls, those that ended included.
    pub calls: BTreeSet<CallId>,
    /// Agents.
    pub agents: BTreeSet<AgentId>,
    /// Queues.
    pub queues: BTreeSet<QueueId>,
    /// Trunks, by their place in the configuration.
    pub trunks: BTreeSet<usize>,
}

impl Changed {
    /// Whether nothing does.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.agents.is_empty() && self.queues.is_empty() && self.trunks.is_empty()
    }
}

/// What an exchange knows of an agent's phone.
#[derive(Default)]
struct AgentLine {
    /// Its place in the configuration.
    index: usize,
    /// The call of a queue that rings or talks there.
    call: Option<CallId>,
    /// Calls without a queue that the phone made, or that ring or talk there.
    direct: BTreeSet<CallId>,
    /// What was taken from a queue last.
    last: Option<crate::desk::Taken>,
    speech: SpeechReport,
    level: LevelReport,
}

impl AgentLine {
    /// Whether the phone is in any call.
    fn is_engaged(&self) -> bool {
        self.call.is_some() || !self.direct.is_empty()
    }

    /// The call that it is in; that of a queue before others.
    fn engaged_in(&self) -> Option<CallId> {
        self.call.or_else(|| self.direct.first().copied())
    }
}

/// What a SIP session is to its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The one who called us.
    Caller,
    /// An agent's phone, for this offer.
    Offered(OfferId),
    /// A phone that a number dials.
    Dialled,
    /// The phone of a customer who is called back, until it is picked up.
    Customer,
    /// A supervisor's phone, or that of a third party.
    Guest,
    /// A recorder outside.
    Recorder,
    /// Left over from before a restart; only its end is awaited.
    Orphan,
}

impl Exchange {
    /// An exchange that has never run. Agents of [`config::Login::AtStart`] are available at once.
    pub fn new(now: Tick, config: Config, ids: IdSource, entropy: Entropy) -> Self {
        let recovered = Recovered {
            acd: Acd::new(0),
            fold: Fold::default(),
            bindings: Vec::new(),
            callbacks: Callbacks::default(),
        };
        Self::recover(now, config, ids, entropy, recovered)
    }

    fn empty(config: Config, ids: IdSource, mut entropy: Entropy, recovered: Recovered) -> Self {
        let endpoint_config = EndpointConfig {
            transactions_max: config.limits.transactions_max,
            sessions_max: sessions_max(&config),
            large_requests_over: config.large_requests_over.clone(),
            session_expires: config.session_timers.expires,
            session_expires_min: config.session_timers.min,
            replaces: true,
            siprec: config.recording.siprec_server.is_some(),
            methods: vec![Method::Register, Method::Options, Method::Message, Method::Subscribe],
            user_agent: format!("{} ({})", EndpointConfig::default().user_agent, comment(&config.name)),
            ..EndpointConfig::default()
        };
        let limits = config.registrar.clone();
        let registrar = Registrar::new(&config.realm, &mut entropy, config.limits.bindings_max, limits);
        let queues = config.queues.iter().enumerate().map(|(index, queue)| (queue.acd.id, index)).collect();
        let agents = config.agents.iter().enumerate();
        let agents = agents.map(|(index, agent)| (agent.acd.id, AgentLine { index, ..AgentLine::default() })).collect();
        let (accounts, callable) = (configuring::accounts(&config), configuring::callable(&config));
        let visitors = visitors::Visitors::new(config.entrances.len());
        Self {
            accounts,
            callable,
            outside: BTreeMap::new(),
            spending: spending::Spending::default(),
            last_agents: sticky::LastAgents::new(STICKY_CALLERS_MAX),
            kept_places: resume::KeptPlaces::new(KEPT_PLACES_MAX),
            hours: hours::Hours::default(),
            callbacks: callbacks::Book::new(recovered.callbacks),
            endpoint: Endpoint::new(endpoint_config, entropy.fork()),
            registrar,
            acd: recovered.acd,
            calls: BTreeMap::new(),
            sessions: BTreeMap::new(),
            contacts: BTreeMap::new(),
            offers: BTreeMap::new(),
            agents,
            queues,
            own_numbers: trunks::own_numbers(&config),
            lines: config.trunks.iter().map(trunks::Line::new).collect(),
            order: configuring::Order::of(config.trunks.len()),
            leaving: configuring::Leaving::default(),
            pings: pings::Pings::default(),
            proved: BTreeMap::new(),
            trunks_wake: None,
            leave_by: None,
            ports: PortPool::new(config.rtp_ports.clone()),
            moved: BTreeMap::new(),
            timers: Timers::default(),
            ids,
            entropy,
            fold: recovered.fold,
            outputs: VecDeque::new(),
            pace: admission::Pace::new(config.limits.calls_per_s_max, config.limits.late),
            counters: Counters::default(),
            drain_by: None,
            sip_wake: None,
            acd_wake: None,
            changed: Changed::default(),
            watches: subscriptions::Watches::default(),
            texts: texts::Texts::default(),
            refusing: false,
            denied: None,
            visitors,
            siprec: siprec::Siprec::default(),
            config,
        }
    }

    /// Takes one input and everything that follows from it.
    pub fn handle(&mut self, now: Tick, input: Input) {
        match input {
            Input::Message { flow, message } => {
                let sheds = self.sheds(now, &message);
                self.endpoint.shed_invites(sheds);
                self.endpoint.receive(now, flow, *message);
                self.counters.refused_by_overload = self.endpoint.load().shed_total;
            }
            Input::Behind { by } => self.pace.report(now, by),
            Input::Malformed { flow, error } => {
                self.counters.malformed += 1;
                self.endpoint.receive_malformed(now, flow, *error);
            }
            Input::TransportFailed { flow } => {
                self.endpoint.transport_failed(now, flow);
                self.proved.remove(&flow);
                let unreachable = self.registrar.lose_flow(flow);
                self.on_bindings(now, unreachable);
            }
            Input::Proved { flow, trunk } => self.prove(flow, trunk),
            Input::Media { event, .. } => self.on_media(now, event),
            Input::Targets { trunk, flows } => self.retarget(now, trunk, flows),
            Input::Configure(config) => self.configure(now, *config),
            Input::Command(command) => self.on_command(now, command),
            Input::Timeout => {}
        }
        self.fire(now);
        self.pump(now);
    }

    /// The next thing to do; call until [`Output::Wait`].
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Wait { until: self.wake() })
    }

    /// What became of the credentials that phones showed.
    pub fn digest_counters(&self) -> DigestCounters {
        self.registrar.digest_counters()
    }

    /// What became of the registrations that phones asked for.
    pub fn registrar_counters(&self) -> RegistrarCounters {
        self.registrar.counters()
    }

    /// New calls a second that are taken on now: fewer than configured while the program falls behind.
    pub const fn calls_per_s(&self) -> u64 {
        self.pace.per_s()
    }

    /// Whether this begins a call that there is no time for. Emergency numbers are always taken on, and who takes a call's
    /// place begins none.
    fn sheds(&mut self, now: Tick, message: &Message) -> bool {
        let Message::Request(request) = message else { return false };
        let headers = &request.headers;
        let begins =
            request.method == Method::Invite && headers.to_tag().is_none() && headers.get("Replaces").is_none();
        begins && self.pace.sheds(now) && !self.is_emergency(&request.uri.user_decoded().unwrap_or_default())
    }

    /// Counts since start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether it takes no new calls, none is left, and carriers know.
    pub fn is_drained(&self) -> bool {
        self.drain_by.is_some() && self.calls.is_empty() && !self.is_leaving()
    }

    /// What its SIP endpoint holds now.
    pub fn sip_load(&self) -> offhook_sip::Load {
        self.endpoint.load()
    }

    /// Subscriptions of phones of ours.
    pub fn watching(&self) -> usize {
        self.watches.len()
    }

    /// Calls that have not ended.
    pub fn calls_active(&self) -> usize {
        self.calls.len()
    }

    /// RTP port pairs (in use, in all).
    pub fn ports(&self) -> (usize, usize) {
        (self.ports.in_use(), self.ports.pairs())
    }

    /// Whether anything looks different since [`Exchange::take_changed`].
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Refuses new calls with 503 while `on`: the program cannot keep up with what it must remember.
    pub fn refuse_calls(&mut self, on: bool) {
        self.refusing = on;
    }

    /// What looks different since the last time this was asked.
    pub fn take_changed(&mut self) -> Changed {
        core::mem::take(&mut self.changed)
    }

    /// Why the last one of [`Command::Supervise`], [`Command::BringIn`], [`Command::SendOff`], [`Command::Place`], [`Command::Desk`] and [`Command::Record`] was not carried
    /// out.
    pub const fn denied(&self) -> Option<&Denied> {
        self.denied.as_ref()
    }

    /// The distributor, to be read.
    pub fn acd(&self) -> &Acd {
        &self.acd
    }

    fn wake(&self) -> Option<Tick> {
        let drain = self.drain_by.filter(|_| !self.calls.is_empty());
        let leave = self.leave_by.filter(|_| self.is_leaving());
        let (trunks, pings, registrar) = (self.trunks_wake, self.pings.wake(), self.registrar.next_expiry());
        let (timers, hours, callbacks) = (self.timers.next(), self.hours_wake(), self.callbacks.wake());
        [self.sip_wake, self.acd_wake, timers, registrar, trunks, pings, hours, callbacks, leave, drain]
            .into_iter()
            .flatten()
            .min()
    }

    /// Everything of ours whose time has come.
    fn fire(&mut self, now: Tick) {
        if self.sip_wake.is_some_and(|at| at <= now) {
            self.endpoint.timeout(now);
        }
        if self.acd_wake.is_some_and(|at| at <= now) {
            self.acd.timeout(now);
        }
        if self.registrar.next_expiry().is_some_and(|at| at <= now) {
            let changes = self.registrar.expire(now);
            self.on_bindings(now, changes);
        }
        while let Some((call, kind)) = self.timers.pop(now) {
            match kind {
                Kind::Digit => self.no_digit(now, call),
                Kind::Echo => self.end_call_with(now, call, crate::record::CallEnd::WaitedTooLong, 480),
                Kind::Announce => self.announce(now, call),
                Kind::Ring => self.rang_too_long(now, call),
                Kind::Failover => self.trunk_silent(now, call),
                Kind::Guest => self.guests_rang_too_long(now, call),
                Kind::Pause => self.pause_over(now, call),
                Kind::Recorder => self.recorder_due(now, call),
                Kind::Silent => self.taken_too_silent(now, call),
                Kind::Close => self.finalize(now, call),
            }
        }
        self.fire_hours(now);
        self.fire_callbacks(now);
        self.fire_trunks(now);
        self.fire_pings(now);
        if self.drain_by.is_some_and(|at| at <= now) {
            self.hang_up_all(now);
        }
    }

    /// Drains the machines below until both have nothing more to say.
    fn pump(&mut self, now: Tick) {
        loop {
            match self.endpoint.poll_output() {
                SipOutput::Transmit { flow, bytes } => self.outputs.push_back(Output::Transmit { flow, bytes }),
                SipOutput::Event(event) => self.on_sip(now, event),
                SipOutput::Wait { until } => {
                    self.sip_wake = until;
                    if self.pump_acd(now) || self.tell_watchers(now) || self.settle(now) {
                        continue;
                    }
                    return;
                }
            }
        }
    }

    /// Gives whether anything was done that the endpoint may have something to say about.
    fn pump_acd(&mut self, now: Tick) -> bool {
        let mut acted = false;
        loop {
            match self.acd.poll_output() {
                offhook_acd::Output::Event { at, event } => self.log(at, LogEvent::Acd(event)),
                offhook_acd::Output::Effect(effect) => {
                    acted = true;
                    self.on_effect(now, &effect);
                }
                offhook_acd::Output::Wait { until } => {
                    self.acd_wake = until;
                    return acted;
                }
            }
        }
    }

    fn on_sip(&mut self, now: Tick, event: SipEvent) {
        match event {
            SipEvent::Invited { session, flow, request } => self.invited(now, session, flow, &request),
            SipEvent::Cancelled { session, reason } => self.caller_gave_up(now, session, reason.as_deref()),
            SipEvent::Confirmed { session, body } | SipEvent::ReofferAnswered { session, body } => {
                self.confirmed(now, session, body.as_ref());
            }
            SipEvent::Progress { session, body, .. } => self.progressed(now, session, body.as_ref()),
            SipEvent::Answered { session, body, .. } => self.answered(now, session, body.as_ref()),
            SipEvent::Refused { session, status, cause, .. } => self.refused(now, session, status, cause.as_deref()),
            SipEvent::Reoffered { session, body } => self.reoffered(now, session, body.as_ref()),
            SipEvent::Referred { session, request } => self.referred(now, session, &request),
            SipEvent::Info { session, body } => self.info(now, session, body.as_ref()),
            SipEvent::Message { session, id, request } => self.text_within(now, session, id, &request),
            SipEvent::Messaged { id, status } => self.texted(now, id, status),
            SipEvent::Ended { session, cause } => self.session_ended(now, session, &cause),
            SipEvent::Request { id, flow, request } => self.request(now, id, flow, &request),
            SipEvent::Registered { id, expires } => self.registered(now, id, expires),
            SipEvent::RegistrationFailed { id, status, retry_in } => self.not_registered(id, status, retry_in),
            SipEvent::Probed { id, status } => {
                if !self.pinged(now, id, status) {
                    self.probed(now, id, status);
                }
            }
            SipEvent::ReofferRefused { session, status } => self.recorder_refused_update(now, session, status),
            SipEvent::Metadata { session, metadata } => self.metadata_came(now, session, &metadata),
            // The exchange sends no REFER, and watches nobody.
            SipEvent::ReferAnswered { .. }
            | SipEvent::ReferProgress { .. }
            | SipEvent::Seen { .. }
            | SipEvent::WatchRefused { .. } => {}
            SipEvent::Resubscribed { subscription } => self.resubscribed(now, subscription),
            SipEvent::NotifyDue { subscription } => self.notify_due(now, subscription),
            SipEvent::Unsubscribed { subscription } => self.unsubscribed(subscription),
        }
    }

    fn on_command(&mut self, now: Tick, command: Command) {
        match command {
            Command::SetAgent { agent, to } => self.set_agent(now, agent, to),
            Command::Supervise { call, by, wish } => {
                let done = self.supervise(now, call, by, wish);
                self.settle_wish(done);
            }
            Command::BringIn { call, by, number } => {
                let done = self.bring_in(now, call, by, &number);
                self.settle_wish(done);
            }
            Command::SendOff { call, guest } => {
                let done = self.send_off(now, call, guest);
                self.settle_wish(done);
            }
            Command::Record { call, by, wish } => {
                let done = self.set_recording(now, call, by, wish);
                self.settle_recording(done);
            }
            Command::Place { call, by, wish } => {
                let done = self.place(now, call, by, wish);
                self.settle_wish(done);
            }
            Command::Desk { agent, call, wish } => {
                let done = self.at_desk(now, agent, call, wish);
                self.changed.agents.insert(agent);
                self.denied = done.err();
                self.counters.desk_denied += u64::from(self.denied.is_some());
            }
            Command::WithdrawCallback { callback } => self.withdraw_callback(now, callback),
            Command::Welcome { entrance, name } => self.welcome(now, &entrance, name),
            Command::Drain { grace } => {
                self.drain_by = Some(now + grace);
                self.leave_trunks(now);
                self.leave_watchers(now);
            }
        }
    }

    fn log(&mut self, at: Tick, event: LogEvent) {
        match &event {
            LogEvent::Acd(event) => {
                let (agent, queue) = views::touched(event);
                self.changed.agents.extend(agent);
                self.watches.touch_all(agent);
                self.changed.queues.extend(queue);
                let asked = views::asked(event).and_then(|contact| self.contacts.get(&contact));
                self.changed.calls.extend(asked);
            }
            LogEvent::Call(event) => {
                self.changed.calls.insert(event.call());
                if let Some(call) = self.calls.get(&event.call()) {
                    self.watches.touch_all(call.agents());
                }
            }
            LogEvent::Callback(_) | LogEvent::Alarm(_) => {}
        }
        self.outputs.push_back(Output::Log { at, event });
    }

    fn note(&mut self, at: Tick, event: CallEvent) {
        if let Some(record) = self.fold.apply(at, &event) {
            self.log(at, LogEvent::Call(event));
            self.outputs.push_back(Output::Record(Box::new(record)));
        } else {
            self.log(at, LogEvent::Call(event));
        }
    }

    fn queue(&self, queue: QueueId) -> Option<&config::Queue> {
        self.config.queues.get(*self.queues.get(&queue)?)
    }

    fn agent(&self, agent: AgentId) -> Option<&config::Agent> {
        self.config.agents.get(self.agents.get(&agent)?.index)
    }

    /// Tells the distributor something that it may refuse without harm: the refusal is its answer.
    fn tell(&mut self, now: Tick, command: offhook_acd::Command) -> Result<(), offhook_acd::Refusal> {
        self.acd.handle(now, command)
    }

    fn confirm_dialog(&mut self, now: Tick, call: CallId, party: Party, session: SessionId) {
        if let Some(dialog) = self.endpoint.snapshot(session) {
            self.note(now, CallEvent::DialogConfirmed { call, party, dialog: Box::new(dialog) });
        }
    }

    /// Phones registered now.
    pub fn bindings(&self, account: &str) -> impl Iterator<Item = &Binding> {
        self.registrar.bindings(account)
    }
}

/// SIP sessions at once.
const fn sessions_max(config: &Config) -> usize {
    let recorded = config.recording.siprec.is_some() as usize;
    config.limits.calls_max * (3 + recorded) + EMERGENCY_SESSIONS
}

/// A name as it may stand in a comment of a header (RFC 3261 section 25.1).
fn comment(name: &str) -> String {
    name.chars().filter(|c| !c.is_control() && !matches!(c, '(' | ')' | '\\')).collect()
}
