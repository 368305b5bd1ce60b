//! One shift: everything wired together and stepped from instant to instant.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use offhook_acd::{AgentConfig, NoAgents, QueueConfig, Strategy, WrapUp};
use offhook_call::callback::{CallbackEnd, CallbackEvent};
use offhook_call::config::{
    Account, Agent, Announcement, Answer, CallbackRules, Config, Destination, Elsewhere, Limits, Login, Menu, Number,
    Outgoing, Percent, Queue, Reach, Recording, Rule, SrtpSettings, Sticky, Supervises, Trunk, Ways,
};
use offhook_call::event::{CallEvent, LogEvent};
use offhook_call::guests::Supervision;
use offhook_call::record::{CallRecord, Fold};
use offhook_call::recording::RecordingWish;
use offhook_call::view::Recorded;
use offhook_call::{Command, Exchange, Input, Output, Recovered, WantedState};
use offhook_plan::{AssetId, MediaCaps};
use offhook_sip::{Flow, Message, Transport};
use offhook_units::{AgentId, CallId, Entropy, IdSource, PersonRef, QueueId, Span, Tick};

use crate::media::Worker;
use crate::network::{Datagram, Network, Weather};
use crate::people::{Phone, Role};
use crate::recorder::Recorder;

/// What a shift is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Phones that call, each again and again.
    pub callers: u16,
    /// Agents.
    pub agents: u16,
    /// The network.
    pub weather: Weather,
    /// One leg in so many cannot be opened; zero for none.
    pub leg_fails_one_in: u64,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            callers: 12,
            agents: 5,
            weather: Weather { loss: 20, doubled: 20, delay_min: Span::from_us(200), delay_max: Span::from_ms(30) },
            leg_fails_one_in: 0,
        }
    }
}

/// A shift in progress.
pub struct Shift {
    seed: u64,
    now: Tick,
    server: SocketAddr,
    config: Config,
    exchange: Exchange,
    wake: Option<Tick>,
    network: Network,
    worker: Worker,
    phones: Vec<Phone>,
    chance: Entropy,
    log: Vec<(Tick, LogEvent)>,
    /// Calls that an agent got by an attended transfer: its phone had called the one who transferred, and may have called others before.
    put_through: BTreeSet<CallId>,
    recorder: Recorder,
    records: Vec<CallRecord>,
    bindings: BTreeMap<(String, String), offhook_sip::Binding>,
    /// The sealed table.
    persons: BTreeMap<PersonRef, String>,
    boots: u32,
}

impl Shift {
    /// A shift with the usual setting.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, &Setting::default())
    }

    /// A shift with another setting.
    pub fn with(seed: u64, setting: &Setting) -> Self {
        let mut chance = Entropy::from_number(seed);
        let now = Tick::from_us(1_800_000_000_000_000 + chance.below(86_400_000_000));
        let server = SocketAddr::from(([127, 0, 0, 1], 5060));
        let config = config(setting);
        let exchange = Exchange::new(now, config.clone(), IdSource::new(1, 1), chance.fork());
        let mut worker = Worker::new(chance.fork());
        worker.fail_one_in = setting.leg_fails_one_in;
        let mut shift = Self {
            seed,
            now,
            server,
            config,
            exchange,
            wake: None,
            network: Network::new(setting.weather, chance.fork()),
            worker,
            phones: Vec::new(),
            chance,
            log: Vec::new(),
            put_through: BTreeSet::new(),
            recorder: Recorder::default(),
            records: Vec::new(),
            bindings: BTreeMap::new(),
            persons: BTreeMap::new(),
            boots: 1,
        };
        shift.drain();
        shift.hire(setting);
        shift
    }

    fn hire(&mut self, setting: &Setting) {
        for n in 0..setting.agents {
            let address = SocketAddr::from(([127, 0, 0, 3], 6_000 + n));
            // Colleagues, queues, the world outside over one trunk and over two, an emergency, and nobody.
            let dials = ["700", "702", "0301234", "0049301234", "112", "5", "nobody"].map(str::to_owned);
            let dials = (0..setting.agents).map(agent_name).chain(dials).collect();
            let role = Role::Agent { name: agent_name(n), password: password(n), dials };
            let mut phone = Phone::new(address, self.server, role, self.chance.fork());
            phone.register(self.now);
            let wait = Span::from_ms(5_000 + self.chance.below(40_000));
            phone.call_after(self.now, wait);
            self.phones.push(phone);
        }
        for n in 0..setting.callers {
            let address = SocketAddr::from(([127, 0, 0, 2], 7_000 + n));
            let numbers = ["700", "701", "702", "710", "999"].map(str::to_owned).into();
            let mut phone = Phone::new(address, self.server, Role::Caller { numbers }, self.chance.fork());
            let wait = Span::from_ms(self.chance.below(10_000));
            phone.call_after(self.now, wait);
            self.phones.push(phone);
        }
    }

    /// Goes on to the next instant at which anything happens.
    pub fn step(&mut self) {
        let next = [self.wake, self.network.next(), self.worker.next()]
            .into_iter()
            .chain(self.phones.iter().map(Phone::next))
            .flatten()
            .min();
        self.now = next.map_or(self.now + Span::from_ms(100), |at| at.max(self.now));
        self.whims();
        self.advance();
        self.check();
    }

    /// What nobody planned: keys pressed, agents who go for coffee.
    fn whims(&mut self) {
        match self.chance.below(400) {
            24..40 => {
                let digit = ['1', '2', '9', '#'][self.chance.below(4) as usize];
                self.worker.press(self.now, self.chance.below(64) as usize, digit);
            }
            1 => {
                let agents = self.config.agents.len() as u64;
                let agent = self.config.agents[self.chance.below(agents) as usize].acd.id;
                let to = match self.chance.below(4) {
                    0 => WantedState::NotReady { reason: "coffee".to_owned() },
                    1 => WantedState::LoggedOut,
                    _ => WantedState::Available,
                };
                self.exchange.handle(self.now, Input::Command(Command::SetAgent { agent, to }));
                self.drain();
            }
            2..24 => self.visit(),
            40..56 => self.record(),
            _ => {}
        }
    }

    /// Somebody, or a program, begins a recording, pauses it, or goes on with it.
    fn record(&mut self) {
        let one = self.chance.below(64) as usize;
        if self.chance.below(3) == 0 {
            return self.worker.press_far(self.now, one, "*3");
        }
        let calls = self.exchange.calls(self.now);
        let Some(call) = calls.get(one % calls.len().max(1)) else { return };
        let agents = self.config.agents.iter().map(|agent| agent.acd.id);
        let by = agents.map(Some).chain([None]).nth(self.chance.below(8) as usize).flatten();
        let wish = [RecordingWish::Pause, RecordingWish::Record][self.chance.below(2) as usize];
        self.exchange.handle(self.now, Input::Command(Command::Record { call: call.id, by, wish }));
        self.drain();
    }

    /// Somebody comes into a call, turns, or leaves.
    fn visit(&mut self) {
        let calls = self.exchange.calls(self.now);
        if calls.is_empty() {
            return;
        }
        let call = &calls[self.chance.below(calls.len() as u64) as usize];
        let agents = &self.config.agents;
        let any = agents[self.chance.below(agents.len() as u64) as usize].acd.id;
        let command = match self.chance.below(8) {
            0 if !call.guests.is_empty() => {
                let guest = call.guests[self.chance.below(call.guests.len() as u64) as usize].id;
                Command::SendOff { call: call.id, guest }
            }
            0..3 => {
                // One of the two mostly; anybody else is refused.
                let named = agents.iter().find(|agent| call.agent.as_ref() == Some(&agent.acd.name));
                let numbers = ["agent0", "agent1", "agent2", "0301234", "112", "710", "700", "nobody"];
                let number = numbers[self.chance.below(numbers.len() as u64) as usize].to_owned();
                Command::BringIn { call: call.id, by: named.map_or(any, |agent| agent.acd.id), number }
            }
            _ => {
                let (wish, _) = Supervision::ALL[self.chance.below(Supervision::ALL.len() as u64) as usize];
                Command::Supervise { call: call.id, by: any, wish }
            }
        };
        self.exchange.handle(self.now, Input::Command(command));
        self.drain();
    }

    fn advance(&mut self) {
        let now = self.now;
        while let Some(datagram) = self.network.arrived(now) {
            self.deliver(&datagram);
        }
        while let Some(event) = self.worker.report(now) {
            self.exchange.handle(now, Input::Media { worker: 0, event });
            self.drain();
        }
        if self.wake.is_some_and(|at| at <= now) {
            self.exchange.handle(now, Input::Timeout);
            self.drain();
        }
        for phone in &mut self.phones {
            if phone.next().is_some_and(|at| at <= now) {
                phone.turn(now, &mut |datagram| self.network.send(now, datagram));
            }
        }
    }

    fn deliver(&mut self, datagram: &Datagram) {
        if datagram.to == self.server {
            let flow = Flow { transport: Transport::Udp, local: self.server, peer: datagram.from };
            if let Ok(message) = Message::parse(&datagram.bytes) {
                self.exchange.handle(self.now, Input::Message { flow, message: Box::new(message) });
                self.drain();
            }
        } else if let Some(phone) = self.phones.iter_mut().find(|phone| phone.address == datagram.to) {
            phone.receive(self.now, datagram);
            phone.turn(self.now, &mut |datagram| self.network.send(self.now, datagram));
        }
    }

    fn drain(&mut self) {
        loop {
            let output = self.exchange.poll_output();
            self.recorder.take(&self.worker, &output);
            match output {
                Output::Transmit { flow, bytes } => {
                    let datagram = Datagram { from: self.server, to: flow.peer, bytes };
                    self.network.send(self.now, datagram);
                }
                Output::Media { command, .. } => self.worker.command(self.now, command),
                Output::Log { at, event } => {
                    let decoded = LogEvent::decode(&event.encode()).expect("a log entry reads back");
                    assert_eq!(decoded, event, "a log entry reads back as it was");
                    if let LogEvent::Call(CallEvent::Transferred { call, attended: true, .. }) = &event {
                        self.put_through.insert(*call);
                    }
                    self.log.push((at, event));
                }
                Output::Record(record) => self.records.push(*record),
                Output::Binding(change) => self.bind(change),
                Output::ExpectAlive { flow, .. } => panic!("no phone of the simulation has a connection: {flow}"),
                Output::WrongPassword { source } => panic!("no phone of the simulation guesses: {source}"),
                Output::Person { person, text } => {
                    self.persons.insert(person, text);
                }
                Output::Leg { .. }
                | Output::OpenRecording(_)
                | Output::PauseRecording { .. }
                | Output::ResumeRecording { .. }
                | Output::CloseRecording { .. } => {}
                Output::Wait { until } => {
                    self.wake = until;
                    return;
                }
            }
        }
    }

    fn bind(&mut self, change: offhook_sip::Change) {
        use offhook_sip::Change;
        match change {
            Change::Bound { account, binding } => {
                self.bindings.insert((account, binding.contact.clone()), offhook_sip::Binding::clone(&binding));
            }
            Change::Unbound { account, contact } => {
                self.bindings.remove(&(account, contact));
            }
        }
    }

    /// What holds after every step.
    pub fn check(&self) {
        let acd = self.exchange.acd();
        self.recorder.check(&self.worker);
        self.check_rules();
        for queue in self.exchange.queues(self.now) {
            // Those of today leave out who waits since yesterday.
            let figures = acd.figures_of_all_time(queue.id);
            let settled = figures.answered + figures.abandoned + figures.flowed_out;
            // An agent has these, and their customers are not there yet.
            let of_queue = self.exchange.calls(self.now).into_iter();
            let of_queue = of_queue.filter(|call| call.queue.as_ref() == Some(&queue.name));
            let reaching = of_queue.filter(|call| call.state == "calling-back").count() as u64;
            assert_eq!(
                figures.offered,
                settled + u64::from(queue.waiting) + reaching,
                "O = A + B + F + waiting + being reached, seed {}: {queue:?}",
                self.seed
            );
        }
        let going_on: Vec<_> =
            self.exchange.calls(self.now).into_iter().filter(|call| call.state != "ending").collect();
        let guests = going_on.iter().flat_map(|call| &call.guests).map(|guest| &guest.name);
        let guests = guests.filter(|name| name.starts_with("agent"));
        let given = going_on.iter().filter(|call| !self.put_through.contains(&call.id));
        let mut busy: Vec<_> = given.filter_map(|call| call.agent.as_ref()).chain(guests).collect();
        busy.sort();
        let count = busy.len();
        busy.dedup();
        assert_eq!(busy.len(), count, "an agent is given one call at a time, seed {}: {going_on:#?}", self.seed);
        for agent in &self.config.agents {
            assert!(acd.agent_state(agent.acd.id).is_some(), "an agent is always known, seed {}", self.seed);
        }
    }

    /// Nobody is recorded whose calls never are, no pause is forgotten, and what is shown is what is.
    fn check_rules(&self) {
        for call in self.exchange.calls(self.now).into_iter().filter(|call| call.state != "ending") {
            let Some(recording) = call.recording else { continue };
            let paused = self.recorder.is_paused(recording);
            match call.recorded {
                Recorded::No | Recorded::OnDemand => panic!("it is recorded, seed {}: {call:?}", self.seed),
                Recorded::Yes => assert_eq!(paused, Some(false), "seed {}: {call:?}", self.seed),
                Recorded::Pausing => assert!(!self.worker.taps(recording), "seed {}: {call:?}", self.seed),
                Recorded::Paused { until, .. } => {
                    assert_eq!(paused, Some(true), "seed {}: {call:?}", self.seed);
                    assert!(until.is_none_or(|until| self.now <= until), "a pause ends, seed {}: {call:?}", self.seed);
                }
            }
            let talks = matches!(call.state, "talking" | "held");
            let agent = self.config.agents.iter().find(|agent| call.agent.as_ref() == Some(&agent.acd.name));
            if talks && agent.is_some_and(|agent| agent.record == Some(Rule::Never)) {
                assert!(!self.worker.taps(recording), "never is never, seed {}: {call:?}", self.seed);
            }
        }
    }

    /// The log tells the same state and the same records again.
    pub fn check_log_replays(&self) {
        let replayed = Recovered::replay(self.log.iter().cloned(), Vec::new());
        assert_eq!(replayed.acd.state_hash(), self.exchange.acd().state_hash(), "replay = state, seed {}", self.seed);
        let told: Vec<_> = replayed.callbacks.iter().map(|(id, callback)| (id, callback.tried)).collect();
        let open: Vec<_> = self.exchange.callbacks().iter().map(|callback| (callback.id, callback.tried)).collect();
        assert_eq!(told, open, "callbacks are a fold of the log, seed {}", self.seed);
        let mut fold = Fold::default();
        let records: Vec<_> = self
            .log
            .iter()
            .filter_map(|(at, event)| match event {
                LogEvent::Call(event) => fold.apply(*at, event),
                LogEvent::Acd(_) | LogEvent::Callback(_) | LogEvent::Alarm(_) => None,
            })
            .collect();
        assert_eq!(records, self.records, "records are a fold of the log, seed {}", self.seed);
    }

    /// The exchange dies and starts again from its log: nobody stays busy, open calls are lost but recorded.
    pub fn crash(&mut self) {
        self.boots += 1;
        let bindings = self.bindings.values().cloned().collect();
        let mut recovered = Recovered::replay(self.log.iter().cloned(), bindings);
        for person in recovered.callbacks.persons() {
            recovered.callbacks.tell(person, &self.persons[&person]);
        }
        let ids = IdSource::new(1, self.boots);
        self.exchange = Exchange::recover(self.now, self.config.clone(), ids, self.chance.fork(), recovered);
        let fail_one_in = self.worker.fail_one_in;
        self.worker = Worker::new(self.chance.fork());
        self.worker.fail_one_in = fail_one_in;
        self.recorder = Recorder::default();
        self.drain();
        for agent in &self.config.agents {
            let state = self.exchange.agent_now(agent.acd.id).expect("a configured agent");
            // The turn of a callback may have come at once.
            let is_called = state.state == "offered" && state.call.is_some();
            let stays = matches!(state.state, "busy" | "offered") && !is_called;
            assert!(!stays, "nobody stays busy, seed {}: {state:?}", self.seed);
        }
        for call in self.exchange.calls(self.now) {
            assert_eq!(call.started, self.now, "no call outlives a crash, seed {}: {call:?}", self.seed);
        }
    }

    /// Everybody goes home; when all timers have run out nothing may be left.
    pub fn close(mut self) {
        for phone in &mut self.phones {
            phone.go_home(self.now);
        }
        // Twice 64·T1, the longest that a transaction or an unacknowledged answer lasts, and what follows from them.
        let until = self.now + Span::from_s(150);
        while self.now < until {
            self.step_until(until);
            for callback in self.exchange.callbacks() {
                let withdraw = Command::WithdrawCallback { callback: callback.id };
                self.exchange.handle(self.now, Input::Command(withdraw));
                self.drain();
            }
        }
        let seed = self.seed;
        assert_eq!(
            self.exchange.calls_active(),
            0,
            "every call ends, seed {seed}: {:?}",
            self.exchange.calls(self.now)
        );
        assert_eq!(self.exchange.ports().0, 0, "every port comes back, seed {seed}");
        assert_eq!(self.worker.open(), 0, "the worker holds nothing, seed {seed}");
        assert_eq!(self.recorder.open(), 0, "every recording is closed, seed {seed}");
        for agent in self.exchange.agents(self.now) {
            assert_ne!(
                agent.reason.as_deref(),
                Some("on-the-phone"),
                "nobody is kept from work, seed {seed}: {agent:?}"
            );
            assert_eq!(agent.call, None, "no phone is in a call, seed {seed}: {agent:?}");
        }
        for phone in &self.phones {
            assert!(phone.open.is_empty(), "every session ends, seed {seed}: {} {:?}", phone.address, phone.open);
            assert_eq!(phone.begun, phone.ended, "every session ends once, seed {seed}");
        }
        let began = self.log.iter().filter(|(_, event)| is_begin(event)).count();
        assert_eq!(began, self.records.len(), "every call leaves a record, seed {seed}");
        for queue in self.exchange.queues(self.now) {
            assert_eq!((queue.waiting, queue.talking), (0, 0), "queues are empty, seed {seed}: {queue:?}");
        }
        self.check_log_replays();
    }

    fn step_until(&mut self, until: Tick) {
        let now = self.now;
        self.step();
        if self.now == now {
            return;
        }
        self.now = self.now.min(until);
    }

    /// How often callers were sent elsewhere since the last crash.
    pub fn sent_elsewhere(&self) -> u64 {
        self.exchange.counters().sent_elsewhere
    }

    /// How callbacks ended so far.
    pub fn callbacks_ended(&self) -> impl Iterator<Item = CallbackEnd> {
        self.log.iter().filter_map(|(_, event)| match event {
            LogEvent::Callback(CallbackEvent::Ended { how, .. }) => Some(*how),
            LogEvent::Alarm(_)
            | LogEvent::Callback(CallbackEvent::Asked { .. } | CallbackEvent::Rests { .. })
            | LogEvent::Acd(_)
            | LogEvent::Call(_) => None,
        })
    }

    /// Recordings and their pauses since the last crash.
    pub const fn recorded(&self) -> (u64, u64) {
        (self.recorder.begun, self.recorder.pauses)
    }

    /// The virtual clock.
    pub const fn now(&self) -> Tick {
        self.now
    }

    /// Records so far.
    pub fn records(&self) -> &[CallRecord] {
        &self.records
    }
}

fn is_begin(event: &LogEvent) -> bool {
    matches!(event, LogEvent::Call(offhook_call::event::CallEvent::Began { .. }))
}

fn agent_name(n: u16) -> String {
    format!("agent{n}")
}

fn password(n: u16) -> String {
    format!("secret{n}")
}

fn queue(id: u64, name: &str, strategy: Strategy) -> Queue {
    let acd = QueueConfig {
        strategy,
        ring_for: Span::from_s(6),
        wrap_up: WrapUp::For(Span::from_s(id)),
        max_waiting: Some(4),
        max_wait: Some(Span::from_s(40)),
        no_agents: NoAgents { join: false, leave_after: Some(Span::from_s(10)) },
        ..QueueConfig::new(QueueId(id), name)
    };
    Queue {
        acd,
        music: vec![AssetId(0)],
        announce_every: Span::from_s(7),
        announcement: Announcement {
            before: vec![AssetId(1)],
            digits: (10..20).map(AssetId).collect(),
            after: Vec::new(),
            one: Vec::new(),
        },
        expected_wait: Announcement { digits: (10..20).map(AssetId).collect(), ..Announcement::default() },
        nobody_here: vec![AssetId(2)],
        full: vec![AssetId(3)],
        record: if id == 2 { Some(Rule::Always) } else { Percent::new(60).map(Rule::Share) },
        consent: None,
        pause_on_keys: (id == 2).then_some(Span::from_s(3)),
        resume_within: (id == 1).then_some(Span::from_s(120)),
        sticky: (id == 1).then_some(Sticky { wait: Span::from_s(5), within: Span::from_s(600) }),
        codes: offhook_call::config::WrapUpCodes::default(),
        external: (id == 2).then_some(Span::from_ms(700)),
        ways: ways(id),
    }
}

fn trunk(name: &str, proxy: ([u8; 4], u16), prefix: &str, emergency: &str) -> Trunk {
    let (local, peer) = (SocketAddr::from(([127, 0, 0, 1], 5060)), SocketAddr::from(proxy));
    let out = Outgoing {
        prefixes: vec![prefix.to_owned()],
        emergency: vec![emergency.to_owned()],
        caller_id: Some("4930555700".to_owned()),
        ..Outgoing::to(vec![Flow { transport: Transport::Udp, local, peer }])
    };
    Trunk { out: Some(out), ..Trunk::new(name, vec![peer.ip()]) }
}

/// The account that answers for callers who are called back or dial out of a queue.
const BACK: &str = "back";

/// Sales leads on to support, and calls back who asks; support lets go.
fn ways(queue: u64) -> Ways {
    let support = Elsewhere::Queue(QueueId(2));
    if queue != 1 {
        let keys = [('2', dial(&agent_name(1))), ('#', Elsewhere::Message(vec![AssetId(2)])), ('9', dial("700"))];
        return Ways { keys: keys.into(), ..Ways::default() };
    }
    let callback = CallbackRules {
        account: BACK.to_owned(),
        confirm: vec![AssetId(3)],
        attempts: 2,
        retry_after: Span::from_s(15),
        valid_for: Span::from_s(60),
        ring_for: Span::from_s(8),
        window: None,
    };
    Ways {
        gate: None,
        full: Some(support.clone()),
        nobody: Some(support.clone()),
        waited: Some(support),
        keys: [('1', dial("0301234")), ('2', Elsewhere::Callback), ('9', Elsewhere::Callback)].into(),
        callback: Some(callback),
    }
}

fn dial(number: &str) -> Elsewhere {
    Elsewhere::Dial { number: number.to_owned(), account: Some(BACK.to_owned()) }
}

fn account(n: u16) -> Account {
    Account { outside: vec!["0".to_owned()], outside_max: 1, ..Account::new(password(n)) }
}

fn config(setting: &Setting) -> Config {
    let (sales, support) = (QueueId(1), QueueId(2));
    let menu = Menu {
        greeting: vec![AssetId(4)],
        choices: BTreeMap::from([('1', sales.into()), ('2', support.into())]),
        invalid: vec![AssetId(5)],
        wait_for_digit: Span::from_s(2),
        rounds: 2,
        default: support.into(),
    };
    let number = |answer, to| Number { answer, to, tones: None, gate: None, record: None };
    let dialled = SocketAddr::from(([127, 0, 0, 3], 6_000));
    let dial = Flow { transport: Transport::Udp, local: SocketAddr::from(([127, 0, 0, 1], 5060)), peer: dialled };
    let agents =
        (0..setting.agents).map(|n| Agent {
            acd: AgentConfig::new(AgentId(100 + u64::from(n)), agent_name(n))
                .in_queue(sales, 1, u32::from(n))
                .in_queue(support, 1 + (n % 2) as u8, u32::from(n)),
            reach: Reach::Account(agent_name(n)),
            login: Login::WhenRegistered,
            supervises: Supervises::Everything,
            busy_delay: (n % 3 == 0).then_some(Span::from_s(20)),
            record: [None, Some(Rule::Always), Some(Rule::Never), Some(Rule::OnDemand)][usize::from(n % 4)],
        });
    Config {
        name: "shift".to_owned(),
        realm: "offhook".to_owned(),
        advertise: None,
        large_requests_over: Vec::new(),
        nat_ping: offhook_call::config::NAT_PING,
        session_timers: offhook_call::config::SessionTimers::default(),
        rtp_ports: 10_000..=12_000,
        browser_port: None,
        browser_addresses: Vec::new(),
        turn: None,
        media_workers: 1,
        caps: MediaCaps::g711(),
        tones: offhook_call::config::Tones::default(),
        srtp: SrtpSettings::default(),
        dtls: None,
        // Where the second trunk has its proxy, nobody listens.
        numbering: None,
        trunks: vec![
            trunk("trunk", ([127, 0, 0, 2], 7_000), "0", "112"),
            trunk("dead", ([127, 0, 0, 4], 5_060), "00", ""),
        ],
        calendars: Vec::new(),
        numbers: BTreeMap::from([
            ("700".to_owned(), number(Answer::AtStart, Destination::Queue(sales))),
            ("701".to_owned(), number(Answer::AtQueue, Destination::Flow("main".to_owned()))),
            ("702".to_owned(), number(Answer::AtAgent, Destination::Queue(support))),
            ("710".to_owned(), number(Answer::AtStart, Destination::Dial { flow: dial, ring_for: Span::from_s(12) })),
        ]),
        flows: BTreeMap::from([("main".to_owned(), menu)]),
        queues: vec![queue(1, "sales", Strategy::LongestIdle), queue(2, "support", Strategy::RoundRobin)],
        agents: agents.collect(),
        recording: Recording { outgoing: Some(Rule::OnDemand), pause_max: Span::from_s(10), ..Recording::default() },
        lending: offhook_call::config::Lending::default(),
        registrar: offhook_sip::RegistrarLimits::default(),
        accounts: (0..setting.agents)
            .map(|n| (agent_name(n), account(n)))
            .chain([(BACK.to_owned(), Account { outside_max: 2, ..account(u16::MAX) })])
            .collect(),
        entrances: Vec::new(),
        limits: Limits { calls_max: 50, ..Limits::default() },
    }
}
