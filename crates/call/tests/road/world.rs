//! Phones, the exchange and a worker without media, joined by a network that loses nothing.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use offhook_acd::{AgentConfig, Explanation, NoAgents, QueueConfig, WrapUp};
use offhook_call::config::{
    Agent, Announcement, Answer, Config, Destination, Limits, Login, Menu, Number, Queue, Reach, SrtpSettings, Sticky,
    Trunk, Ways,
};
use offhook_call::event::LogEvent;
use offhook_call::guests::Denied;
use offhook_call::placement::Placement;
use offhook_call::view::{CallView, QueueView};
use offhook_call::{Command, Counters, Exchange, Input, Output, Recovered, WantedState};
use offhook_plan::{
    AssetId, DigitSource, Direction, Grade, LegReport, MediaCaps, MediaCommand, MediaEvent, MediaPlan, PlayerPlan,
    Quality, Source, SpeechReport,
};
use offhook_sip::{
    Body, EndCause, Endpoint, EndpointConfig, Event, Flow, Invite, Message, Request, SessionId, Transport, sdp,
};
use offhook_units::{AgentId, CallId, Entropy, IdSource, QueueId, Span, Tick};

const SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 5060);
const TRUNK: ([u8; 4], u16) = ([127, 0, 0, 2], 5061);
const STRANGER: ([u8; 4], u16) = ([127, 0, 0, 9], 5061);

/// `n` tenths of a second.
pub fn tenths(n: u64) -> Span {
    Span::from_ms(n * 100)
}

/// A call as its caller's phone knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialled {
    phone: SocketAddr,
    session: SessionId,
}

struct Phone {
    endpoint: Endpoint,
    wake: Option<Tick>,
    events: Vec<Event>,
}

pub struct World {
    now: Tick,
    exchange: Exchange,
    wake: Option<Tick>,
    phones: BTreeMap<SocketAddr, Phone>,
    mail: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    mail_held: bool,
    plans: BTreeMap<CallId, MediaPlan>,
    reports: VecDeque<MediaEvent>,
    ended: Vec<&'static str>,
    log: Vec<(Tick, LogEvent)>,
}

impl World {
    pub fn with_agents(agents: u16) -> Self {
        let now = Tick::from_us(1_800_000_000_000_000);
        Self::with(now, config(agents), agents)
    }

    /// The same, with a queue whose callers wait 5 s for the agent of their last call, for a minute after it.
    pub fn with_sticky_agents(agents: u16) -> Self {
        let mut config = config(agents);
        config.queues[0].sticky = Some(Sticky { wait: Span::from_s(5), within: Span::from_s(60) });
        Self::with(Tick::from_us(1_800_000_000_000_000), config, agents)
    }

    /// With a configuration that is changed before the start, at 08:00 UTC of Friday 2027-01-15.
    pub fn told(agents: u16, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(agents);
        change(&mut config);
        Self::with(Tick::from_us(1_800_000_000_000_000), config, agents)
    }

    fn with(now: Tick, config: Config, agents: u16) -> Self {
        let exchange = Exchange::new(now, config, IdSource::new(0, 1), Entropy::from_number(1));
        let mut world = Self {
            now,
            exchange,
            wake: None,
            phones: BTreeMap::new(),
            mail: VecDeque::new(),
            mail_held: false,
            plans: BTreeMap::new(),
            reports: VecDeque::new(),
            ended: Vec::new(),
            log: Vec::new(),
        };
        let addresses = [TRUNK, STRANGER].map(SocketAddr::from).into_iter().chain((0..agents).map(agent_address));
        for (seed, address) in addresses.enumerate() {
            let endpoint = Endpoint::new(EndpointConfig::default(), Entropy::from_number(100 + seed as u64));
            world.phones.insert(address, Phone { endpoint, wake: None, events: Vec::new() });
        }
        world.run();
        world
    }

    /// Dials a number over the trunk.
    pub fn dial(&mut self, number: &str) -> Dialled {
        self.dial_as("caller", number)
    }

    /// The same, with a number of the caller's own.
    pub fn dial_as(&mut self, caller: &str, number: &str) -> Dialled {
        self.dial_from(TRUNK.into(), caller, number)
    }

    pub fn dial_as_stranger(&mut self, number: &str) -> Dialled {
        self.dial_from(STRANGER.into(), "caller", number)
    }

    fn dial_from(&mut self, phone: SocketAddr, caller: &str, number: &str) -> Dialled {
        let server = SocketAddr::from(SERVER);
        let uri = format!("sip:{number}@{server}");
        let invite = Invite {
            flow: Flow { transport: Transport::Udp, local: phone, peer: server },
            uri: uri.parse().expect("a uri"),
            from: format!("<sip:{caller}@{phone}>").parse().expect("a name"),
            to: format!("<{uri}>").parse().expect("a name"),
            contact: contact(phone),
            headers: Vec::new(),
            body: Some(offer(phone, Direction::SendRecv)),
            credentials: None,
        };
        let now = self.now;
        let session = self.phone(phone).endpoint.invite(now, invite).expect("room for a call");
        self.run();
        Dialled { phone, session }
    }

    /// Lets time pass, timer by timer.
    pub fn pass(&mut self, span: Span) {
        let until = self.now + span;
        loop {
            let next = self.phones.values().filter_map(|phone| phone.wake).chain(self.wake).min();
            match next.filter(|at| *at <= until) {
                Some(at) => self.now = self.now.max(at),
                None => break,
            }
            self.run();
        }
        self.now = until;
        self.run();
    }

    fn phone(&mut self, address: SocketAddr) -> &mut Phone {
        self.phones.get_mut(&address).expect("a phone")
    }

    /// Runs everything that is due now.
    fn run(&mut self) {
        loop {
            let mut quiet = true;
            if self.wake.is_some_and(|at| at <= self.now) {
                self.exchange.handle(self.now, Input::Timeout);
            }
            quiet &= !self.drain();
            for address in self.phones.keys().copied().collect::<Vec<_>>() {
                quiet &= !self.drain_phone(address);
            }
            while let Some(event) = self.reports.pop_front() {
                self.exchange.handle(self.now, Input::Media { worker: 0, event });
                quiet = false;
            }
            while !self.mail_held && !self.mail.is_empty() {
                let (from, to, bytes) = self.mail.pop_front().expect("mail");
                self.deliver(from, to, &bytes);
                quiet = false;
            }
            if quiet {
                return;
            }
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let message = Message::parse(bytes).expect("what we print can be read");
        let (now, flow) = (self.now, Flow { transport: Transport::Udp, local: to, peer: from });
        if to == SocketAddr::from(SERVER) {
            self.exchange.handle(now, Input::Message { flow, message: Box::new(message) });
        } else {
            self.phone(to).endpoint.receive(now, flow, message);
        }
    }

    fn drain(&mut self) -> bool {
        let mut acted = false;
        loop {
            match self.exchange.poll_output() {
                Output::Transmit { flow, bytes } => self.mail.push_back((flow.local, flow.peer, bytes)),
                Output::Media { command, .. } => self.carry_out(command),
                Output::Log { at, event } => self.log.push((at, event)),
                Output::Record(record) => self.ended.push(record.end.name()),
                Output::Wait { until } => {
                    self.wake = until;
                    return acted;
                }
                _ => {}
            }
            acted = true;
        }
    }

    fn carry_out(&mut self, command: MediaCommand) {
        match command {
            MediaCommand::Apply(plan) => {
                let before = self.plans.insert(plan.call, (*plan).clone());
                let gone = before.into_iter().flat_map(|before| before.legs);
                for leg in gone.filter(|leg| plan.legs.iter().all(|kept| kept.leg != leg.leg)) {
                    self.close(plan.call, leg.leg);
                }
            }
            MediaCommand::Move(goes) => {
                let plan = self.plans.get_mut(&goes.from).expect("the call that it leaves");
                plan.legs.retain(|leg| leg.leg != goes.leg);
            }
            MediaCommand::Close(call) => {
                let legs = self.plans.remove(&call).into_iter().flat_map(|plan| plan.legs);
                for leg in legs {
                    self.close(call, leg.leg);
                }
            }
        }
    }

    /// The worker tells that the second leg of the newest call's plan is silent, or is heard again.
    pub fn agent_falls_silent(&mut self, silent: bool) {
        let (call, leg) = (self.call().id, self.plan().legs[1].leg);
        let silent_for = Span::from_ms(1_500);
        self.reports.push_back(if silent {
            MediaEvent::Silent { call, leg, silent_for }
        } else {
            MediaEvent::HeardAgain { call, leg, silent_for }
        });
        self.run();
    }

    /// The worker tells how the second leg of the newest call's plan sounds.
    pub fn agent_sounds(&mut self, heard: Grade, sent: Grade) {
        let (call, leg) = (self.call().id, self.plan().legs[1].leg);
        self.reports.push_back(MediaEvent::Graded { call, leg, heard, sent });
        self.run();
    }

    /// The worker tells that the agent's leg of the oldest call with two could not agree on keys.
    pub fn agent_agrees_on_no_keys(&mut self) {
        let plan = self.plans.values().find(|plan| plan.legs.len() > 1).expect("a call with two legs");
        let (call, leg) = (plan.call, plan.legs[1].leg);
        let error = "no check of a path came".to_owned();
        self.reports.push_back(MediaEvent::HandshakeFailed { call, leg, error });
        self.run();
    }

    /// An agent's phone loses its current and starts anew: it knows of no call.
    pub fn agent_starts_anew(&mut self, agent: u16) {
        let phone = self.phone(agent_address(agent));
        phone.endpoint = Endpoint::new(EndpointConfig::default(), Entropy::from_number(200 + u64::from(agent)));
        phone.wake = None;
        phone.events.clear();
    }

    fn close(&mut self, call: CallId, leg: offhook_units::LegId) {
        // Every leg was heard well for ten seconds, and poorly for one.
        let mut speech = SpeechReport::default();
        speech.heard.add(10, 93.2, 441);
        speech.heard.add(1, 50.0, 258);
        let report = LegReport::default();
        self.reports.push_back(MediaEvent::LegClosed { call, leg, report, speech, srtp: None });
    }

    fn drain_phone(&mut self, address: SocketAddr) -> bool {
        let now = self.now;
        let phone = self.phones.get_mut(&address).expect("a phone");
        if phone.wake.is_some_and(|at| at <= now) {
            phone.endpoint.timeout(now);
        }
        let mut acted = false;
        loop {
            match phone.endpoint.poll_output() {
                offhook_sip::Output::Transmit { flow, bytes } => self.mail.push_back((address, flow.peer, bytes)),
                offhook_sip::Output::Event(event) => phone.events.push(event),
                offhook_sip::Output::Wait { until } => {
                    phone.wake = until;
                    return acted;
                }
            }
            acted = true;
        }
    }

    /// Goes over to another configuration.
    pub fn configure(&mut self, config: Config) {
        self.exchange.handle(self.now, Input::Configure(Box::new(config)));
        self.run();
    }

    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Whether the log tells of the distributor as it is.
    pub fn replays(&self) -> bool {
        let replayed = Recovered::replay(self.log.iter().cloned(), Vec::new());
        replayed.acd.state_hash() == self.exchange.acd().state_hash()
    }

    /// A queue as it is shown.
    pub fn queue(&self, queue: QueueId) -> QueueView {
        self.exchange.queue_now(self.now, queue).expect("a queue")
    }

    /// Whether a queue looked different since this was asked last.
    pub fn was_changed(&mut self, queue: QueueId) -> bool {
        self.exchange.take_changed().queues.contains(&queue)
    }

    pub fn now(&self) -> Tick {
        self.now
    }

    pub fn counters(&self) -> &Counters {
        self.exchange.counters()
    }

    /// The only call there is, or the newest.
    pub fn call(&self) -> CallView {
        self.exchange.calls(self.now).pop().expect("a call")
    }

    pub fn plan(&self) -> &MediaPlan {
        &self.plans[&self.call().id]
    }

    /// What the caller of the newest call hears.
    pub fn heard_by_caller(&self) -> Option<Source> {
        let plan = self.plan();
        let caller = plan.legs.first()?.leg;
        plan.edges.iter().find(|edge| edge.to == caller).map(|edge| edge.from.clone())
    }

    /// A player of these assets, with the id that plays now.
    pub fn playing(&self, assets: &[u32]) -> PlayerPlan {
        let Some(Source::Player(now)) = self.heard_by_caller() else { panic!("nothing is played") };
        PlayerPlan { player: now.player, assets: assets.iter().map(|id| AssetId(*id)).collect(), repeat: false }
    }

    /// The player that the newest caller hears comes to its end.
    pub fn player_ends(&mut self) {
        let Some(Source::Player(player)) = self.heard_by_caller() else { panic!("nothing is played") };
        self.reports.push_back(MediaEvent::PlayerFinished { call: self.call().id, player: player.player });
        self.run();
    }

    pub fn press(&mut self, digit: char) {
        let (call, leg) = (self.call().id, self.plan().legs[0].leg);
        self.reports.push_back(MediaEvent::Digit { call, leg, digit, source: DigitSource::Event });
        self.run();
    }

    fn invitation(&self, agent: u16) -> Option<SessionId> {
        self.phones[&agent_address(agent)].events.iter().rev().find_map(|event| match event {
            Event::Invited { session, .. } => Some(*session),
            _ => None,
        })
    }

    /// The last INVITE at an agent's phone.
    pub fn rung(&self, agent: u16) -> Option<&Request> {
        self.phones[&agent_address(agent)].events.iter().rev().find_map(|event| match event {
            Event::Invited { request, .. } => Some(&**request),
            _ => None,
        })
    }

    /// Whose phone rings for the newest call.
    pub fn ringing_agent(&self) -> u16 {
        let name = self.call().agent.expect("a phone rings");
        name.trim_start_matches("agent").parse().expect("a number")
    }

    /// An agent's phone says that it rings.
    pub fn rings(&mut self, agent: u16) {
        let (now, session) = (self.now, self.invitation(agent).expect("it rings"));
        self.phone(agent_address(agent)).endpoint.progress(now, session, 180, None);
        self.run();
    }

    pub fn pick_up(&mut self, agent: u16) {
        let (now, address, session) = (self.now, agent_address(agent), self.invitation(agent).expect("it rings"));
        let answer = offer(address, Direction::SendRecv);
        self.phone(address).endpoint.answer(now, session, contact(address), Some(answer));
        self.run();
    }

    /// Picks up the phone where it rings now.
    pub fn pick_up_if_it_rings(&mut self, agent: u16) {
        let ringing = self.exchange.calls(self.now).into_iter().filter(|call| call.state == "ringing");
        if ringing.filter_map(|call| call.agent).any(|name| name == format!("agent{agent}")) {
            self.pick_up(agent);
        }
    }

    /// Whether somebody's caller is sent anything: music, words, another voice.
    pub fn hears(&self, call: CallId) -> bool {
        let Some(plan) = self.plans.get(&call) else { return false };
        let caller = plan.legs.first().map(|leg| leg.leg);
        plan.edges.iter().any(|edge| Some(edge.to) == caller)
    }

    pub fn decline(&mut self, agent: u16) {
        let (now, session) = (self.now, self.invitation(agent).expect("it rings"));
        self.phone(agent_address(agent)).endpoint.refuse(now, session, 486, Vec::new());
        self.run();
    }

    pub fn was_cancelled(&self, agent: u16) -> bool {
        let events = &self.phones[&agent_address(agent)].events;
        events.iter().any(|event| matches!(event, Event::Cancelled { .. }))
    }

    pub fn agent_hangs_up(&mut self, agent: u16) {
        let (now, session) = (self.now, self.invitation(agent).expect("a call"));
        self.phone(agent_address(agent)).endpoint.hang_up(now, session, None);
        self.run();
    }

    pub fn caller_hangs_up(&mut self, call: Dialled) {
        let now = self.now;
        self.phone(call.phone).endpoint.hang_up(now, call.session, None);
        self.run();
    }

    pub fn agent_offers(&mut self, agent: u16, direction: Direction) {
        let (now, address, session) = (self.now, agent_address(agent), self.invitation(agent).expect("a call"));
        self.phone(address).endpoint.reoffer(now, session, Some(offer(address, direction)));
        self.run();
    }

    pub fn caller_offers(&mut self, call: Dialled, direction: Direction) {
        let now = self.now;
        self.phone(call.phone).endpoint.reoffer(now, call.session, Some(offer(call.phone, direction)));
        self.run();
    }

    /// Gives an agent a call, so that nothing else is offered.
    pub fn make_busy(&mut self, agent: u16) {
        self.dial("support");
        self.pick_up(agent);
    }

    pub fn hold_mail(&mut self) {
        self.mail_held = true;
    }

    pub fn release_mail(&mut self) {
        self.mail_held = false;
        self.run();
    }

    /// Somebody says where the newest call goes.
    pub fn place(&mut self, by: Option<AgentId>, wish: Placement) -> Result<(), Denied> {
        let call = self.call().id;
        self.place_call(call, by, wish)
    }

    pub fn place_call(&mut self, call: CallId, by: Option<AgentId>, wish: Placement) -> Result<(), Denied> {
        self.exchange.handle(self.now, Input::Command(Command::Place { call, by, wish }));
        let denied = self.exchange.denied().cloned();
        self.run();
        denied.map_or(Ok(()), Err)
    }

    /// Why the newest call waits.
    pub fn explain(&self) -> Explanation {
        self.exchange.explain(self.call().id).expect("it waits")
    }

    /// Whether the newest call looked different since this was asked last.
    pub fn call_changed(&mut self) -> bool {
        let call = self.call().id;
        self.exchange.take_changed().calls.contains(&call)
    }

    /// An agent goes on break, or comes back.
    pub fn agent_goes(&mut self, agent: u16, back: bool) {
        let to = if back { WantedState::Available } else { WantedState::NotReady { reason: "break".to_owned() } };
        self.exchange.handle(self.now, Input::Command(Command::SetAgent { agent: agent_id(agent), to }));
        self.run();
    }

    pub fn begin_drain(&mut self, grace: Span) {
        self.exchange.handle(self.now, Input::Command(Command::Drain { grace }));
        self.run();
    }

    fn events_of(&self, call: Dialled) -> impl Iterator<Item = &Event> {
        self.phones[&call.phone].events.iter().filter(move |event| session_of(event) == Some(call.session))
    }

    pub fn answered(&self, call: Dialled) -> bool {
        self.events_of(call).any(|event| matches!(event, Event::Answered { .. }))
    }

    pub fn progress(&self, call: Dialled) -> Option<u16> {
        self.events_of(call)
            .filter_map(|event| if let Event::Progress { status, .. } = event { Some(*status) } else { None })
            .last()
    }

    /// The final status of an unanswered call; a CANCEL of ours ends in 487 without a status of its own.
    pub fn refused(&self, call: Dialled) -> Option<u16> {
        self.events_of(call).find_map(|event| match event {
            Event::Refused { status, .. } => Some(*status),
            Event::Ended { cause: EndCause::Hungup, .. } => Some(487),
            _ => None,
        })
    }

    pub fn bye_reason(&self, call: Dialled) -> Option<String> {
        self.events_of(call).find_map(|event| match event {
            Event::Ended { cause: EndCause::PeerBye { reason }, .. } => reason.clone(),
            _ => None,
        })
    }

    pub fn last_caller_event(&self, call: Dialled) -> Option<&Event> {
        self.events_of(call).last()
    }

    /// How the calls ended that have a record, in order.
    pub fn ended(&self) -> &[&'static str] {
        &self.ended
    }

    pub fn agent_state(&self, agent: u16) -> &'static str {
        self.exchange.agent_now(agent_id(agent)).expect("an agent").state
    }

    /// What was heard of the trunk, and of the first agent, in all calls.
    pub fn heard_quality(&self) -> (Quality, Quality) {
        let trunk = self.exchange.trunk_now(self.now, 0).expect("the trunk");
        (trunk.speech.heard, self.exchange.agents(self.now)[0].speech.heard)
    }

    pub fn open_sessions(&self) -> usize {
        self.phones.values().map(|phone| phone.endpoint.load().sessions).sum()
    }

    pub fn ports_in_use(&self) -> usize {
        self.exchange.ports().0
    }

    pub fn is_drained(&self) -> bool {
        self.exchange.is_drained()
    }
}

fn session_of(event: &Event) -> Option<SessionId> {
    match event {
        Event::Answered { session, .. }
        | Event::Progress { session, .. }
        | Event::Refused { session, .. }
        | Event::Ended { session, .. } => Some(*session),
        _ => None,
    }
}

fn agent_address(agent: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 3], 6_000 + agent))
}

pub fn agent_id(agent: u16) -> AgentId {
    AgentId(1 + u64::from(agent))
}

fn contact(phone: SocketAddr) -> offhook_sip::Uri {
    format!("sip:phone@{phone}").parse().expect("a uri")
}

fn offer(phone: SocketAddr, direction: Direction) -> Body {
    let local = sdp::Local { address: phone.ip(), port: 40_000, session_id: 1, version: 1, srtp: sdp::Srtp::OFF };
    Body::sdp(sdp::offer(&local, &MediaCaps::g711(), direction))
}

pub fn config(agents: u16) -> Config {
    let support = QueueId(1);
    let flow = |peer| Flow { transport: Transport::Udp, local: SERVER.into(), peer };
    let number = |answer, to| Number { answer, to, tones: None, gate: None, record: None };
    let menu = Menu {
        greeting: vec![AssetId(10)],
        choices: BTreeMap::from([('2', support.into())]),
        invalid: vec![AssetId(11)],
        wait_for_digit: Span::from_s(3),
        rounds: 2,
        default: support.into(),
    };
    let queue = Queue {
        acd: QueueConfig {
            ring_for: Span::from_s(6),
            wrap_up: WrapUp::For(Span::from_s(5)),
            max_waiting: Some(2),
            no_agents: NoAgents::default(),
            ..QueueConfig::new(support, "support")
        },
        music: vec![AssetId(0)],
        announce_every: Span::from_s(30),
        announcement: Announcement {
            before: vec![AssetId(2)],
            digits: [9, 1, 9, 9, 9, 9, 9, 9, 9, 9].map(AssetId).into(),
            after: Vec::new(),
            one: Vec::new(),
        },
        expected_wait: Announcement::default(),
        nobody_here: vec![AssetId(3)],
        full: vec![AssetId(4)],
        record: Some(offhook_call::config::Rule::Always),
        consent: None,
        pause_on_keys: None,
        sticky: None,
        resume_within: None,
        codes: offhook_call::config::WrapUpCodes::default(),
        external: None,
        ways: Ways::default(),
    };
    let people = (0..agents).map(|n| Agent {
        acd: AgentConfig::new(agent_id(n), format!("agent{n}")).in_queue(support, 1, u32::from(n)),
        reach: Reach::Static { uri: format!("sip:agent@{}", agent_address(n)), flow: flow(agent_address(n)) },
        login: Login::AtStart,
        supervises: offhook_call::config::Supervises::Nothing,
        record: None,
        busy_delay: None,
    });
    Config {
        name: "road".to_owned(),
        realm: "road".to_owned(),
        advertise: None,
        large_requests_over: Vec::new(),
        nat_ping: offhook_call::config::NAT_PING,
        session_timers: offhook_call::config::SessionTimers::default(),
        rtp_ports: 10_000..=10_999,
        browser_port: None,
        browser_addresses: Vec::new(),
        turn: None,
        media_workers: 1,
        caps: MediaCaps::g711(),
        tones: offhook_call::config::Tones::default(),
        srtp: SrtpSettings::default(),
        dtls: None,
        numbering: None,
        trunks: vec![Trunk::new("trunk", vec![SocketAddr::from(TRUNK).ip()])],
        calendars: Vec::new(),
        numbers: BTreeMap::from([
            ("menu".to_owned(), number(Answer::AtStart, Destination::Flow("main".to_owned()))),
            ("support".to_owned(), number(Answer::AtStart, Destination::Queue(support))),
            ("at-agent".to_owned(), number(Answer::AtAgent, Destination::Queue(support))),
            (
                "direct".to_owned(),
                number(Answer::AtStart, Destination::Dial { flow: flow(agent_address(0)), ring_for: Span::from_s(9) }),
            ),
        ]),
        flows: BTreeMap::from([("main".to_owned(), menu)]),
        queues: vec![queue],
        agents: people.collect(),
        recording: offhook_call::config::Recording::default(),
        lending: offhook_call::config::Lending::default(),
        registrar: offhook_sip::RegistrarLimits::default(),
        accounts: BTreeMap::new(),
        entrances: Vec::new(),
        limits: Limits::default(),
    }
}
