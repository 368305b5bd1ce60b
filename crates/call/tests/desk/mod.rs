//! An exchange and phones on a network that loses nothing, on a virtual clock.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use offhook_acd::{Acd, AgentConfig, QueueConfig, WrapUp};
use offhook_call::callback::Callbacks;
use offhook_call::config::{
    Account, Agent, Announcement, Answer, Config, Destination, Limits, Login, Number, Outgoing, Queue, Reach, Rule,
    SrtpSettings, Supervises, Trunk, Ways,
};
use offhook_call::event::LogEvent;
use offhook_call::record::{CallRecord, Fold};
use offhook_call::{Command, Exchange, Input, Output, Recovered};
use offhook_plan::{
    AssetId, CodecKind, DigitSource, Direction, LegReport, MediaCaps, MediaCommand, MediaEvent, MediaPlan, Move,
    SpeechReport,
};
use offhook_sip::{
    Binding, Body, Credentials, Endpoint, EndpointConfig, Event, Flow, Invite, Message, Method, NameAddr, Register,
    Request, RequestId, Response, SessionId, Transport, sdp,
};
use offhook_units::{AgentId, CallId, Entropy, IdSource, LegId, QueueId, Span, Tick};

/// Where the exchange is.
pub const SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 5_060);

/// A phone, a carrier, or a stranger.
pub struct Phone {
    pub endpoint: Endpoint,
    pub events: Vec<Event>,
    wake: Option<Tick>,
}

/// Everything.
pub struct World {
    pub now: Tick,
    pub exchange: Exchange,
    pub records: Vec<CallRecord>,
    /// Where wrong passwords came from.
    pub guessers: Vec<IpAddr>,
    /// The `Reason` of each CANCEL that a phone got.
    pub cancel_reasons: Vec<Option<String>>,
    /// The event log.
    pub log: Vec<(Tick, LogEvent)>,
    /// What each call's media shall be.
    pub plans: BTreeMap<CallId, MediaPlan>,
    /// Legs whose end the worker has not reported yet.
    closed: VecDeque<(CallId, LegId)>,
    /// Plans that the worker has not answered yet.
    applied: VecDeque<(CallId, u32)>,
    /// What the recorder was told, in order: `open`, `pause`, `resume` or `close`, and when it counts from.
    pub recorder: Vec<(&'static str, Tick)>,
    /// Legs that changed calls, and the workers that were told so.
    pub moves: Vec<(usize, Move)>,
    /// What was sent to addresses without a phone.
    pub heard: Vec<(SocketAddr, Vec<u8>)>,
    /// What becomes of messages of phones on their way to the exchange.
    pub on_the_way: Option<fn(SocketAddr, &str) -> String>,
    /// Over what they arrive.
    pub transport: Transport,
    /// Connections that are closed when nothing comes over them for so long.
    pub expected_alive: Vec<(Flow, Span)>,
    /// What whoever calls offers instead of a phone's media.
    pub offers: Option<String>,
    /// What [`World::answer`] answers instead of it.
    pub answers: Option<String>,
    /// What the files of recordings that were opened hold.
    pub opened: Vec<CodecKind>,
    /// Each leg as it is shown: its call, its Call-ID, its name.
    pub legs: Vec<(CallId, String, String)>,
    phones: BTreeMap<SocketAddr, Phone>,
    under_way: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    wake: Option<Tick>,
}

pub fn flow_from(address: SocketAddr) -> Flow {
    Flow { transport: Transport::Udp, local: address, peer: SERVER.into() }
}

/// A carrier at 127.0.0.`host`:5060.
pub fn trunk(name: &str, host: u8, prefixes: &[&str], credentials: Option<Credentials>) -> Trunk {
    let peer = SocketAddr::from(([127, 0, 0, host], 5_060));
    let out = Outgoing {
        prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
        emergency: vec!["112".to_owned()],
        caller_id: Some("30555".to_owned()),
        credentials,
        ..Outgoing::to(vec![Flow { transport: Transport::Udp, local: SERVER.into(), peer }])
    };
    Trunk { out: Some(out), ..Trunk::new(name, vec![peer.ip()]) }
}

/// Everybody's own chance, so that no two invent the same Call-ID.
fn seed(address: SocketAddr) -> u64 {
    let IpAddr::V4(host) = address.ip() else { panic!("these phones have addresses of IPv4") };
    u64::from(u32::from(host)) << 16 | u64::from(address.port())
}

/// The name in these tests of whoever is at a trunk's first target.
fn carrier(trunk: &Trunk) -> Option<String> {
    let target = trunk.out.as_ref()?.targets.first()?;
    Some(format!("carrier{}", target.peer.ip().to_string().rsplit('.').next()?))
}

pub fn config(trunks: Vec<Trunk>) -> Config {
    let sales = QueueId(1);
    let names = ["ann", "bob", "carl"];
    let number = |to| Number { answer: Answer::AtStart, to, tones: None, gate: None, record: None };
    let agents = names.iter().zip(100..).map(|(name, id)| Agent {
        acd: match *name {
            // Serves no queue.
            "carl" => AgentConfig::new(AgentId(id), *name),
            _ => AgentConfig::new(AgentId(id), *name).in_queue(sales, 1, 1),
        },
        reach: Reach::Account((*name).to_owned()),
        login: Login::WhenRegistered,
        supervises: if *name == "carl" { Supervises::Queues(vec![sales]) } else { Supervises::Nothing },
        record: None,
        busy_delay: None,
    });
    let account = |name: &str| Account {
        outside: vec!["0".to_owned()],
        outside_max: 1,
        ..Account::new(format!("{name}'s secret"))
    };
    Config {
        name: "desk".to_owned(),
        realm: "offhook".to_owned(),
        advertise: None,
        large_requests_over: Vec::new(),
        nat_ping: offhook_call::config::NAT_PING,
        session_timers: offhook_call::config::SessionTimers::default(),
        rtp_ports: 20_000..=20_099,
        browser_port: None,
        browser_addresses: Vec::new(),
        turn: None,
        media_workers: 4,
        caps: MediaCaps::g711(),
        tones: offhook_call::config::Tones::default(),
        srtp: SrtpSettings::default(),
        dtls: None,
        numbering: None,
        trunks,
        calendars: Vec::new(),
        numbers: BTreeMap::from([
            ("700".to_owned(), number(Destination::Queue(sales))),
            ("701".to_owned(), number(Destination::Queue(QueueId(2)))),
        ]),
        flows: BTreeMap::new(),
        queues: ["sales", "empty"]
            .into_iter()
            .zip(1..)
            .map(|(name, id)| Queue {
                acd: QueueConfig { wrap_up: WrapUp::For(Span::from_s(20)), ..QueueConfig::new(QueueId(id), name) },
                music: vec![AssetId(7)],
                announce_every: Span::ZERO,
                announcement: Announcement::default(),
                expected_wait: Announcement::default(),
                nobody_here: Vec::new(),
                full: Vec::new(),
                record: (name == "sales").then_some(Rule::Always),
                consent: None,
                pause_on_keys: None,
                sticky: None,
                resume_within: None,
                codes: offhook_call::config::WrapUpCodes::default(),
                external: None,
                ways: Ways::default(),
            })
            .collect(),
        agents: agents.collect(),
        recording: offhook_call::config::Recording::default(),
        lending: offhook_call::config::Lending::default(),
        registrar: offhook_sip::RegistrarLimits::default(),
        accounts: names.iter().map(|name| ((*name).to_owned(), account(name))).collect(),
        entrances: Vec::new(),
        limits: Limits::default(),
    }
}

impl World {
    /// The phones of ann, bob and carl are registered, at 127.0.0.9:7001 to :7003; carriers are there but for the one called dead.
    pub fn new(trunks: Vec<Trunk>) -> Self {
        Self::told(trunks, |_| {})
    }

    /// As [`World::new`], with a configuration that is changed before the start.
    pub fn told(trunks: Vec<Trunk>, change: impl FnOnce(&mut Config)) -> Self {
        Self::again(trunks, change, Vec::new())
    }

    /// As [`World::told`], after a restart that found these registrations; phones that have one do not register.
    pub fn again(trunks: Vec<Trunk>, change: impl FnOnce(&mut Config), bindings: Vec<Binding>) -> Self {
        let now = Tick::from_us(1_800_000_000_000_000);
        let alive = trunks.iter().filter(|trunk| trunk.name != "dead").filter_map(carrier);
        let alive: Vec<_> = alive.collect();
        let mut config = config(trunks);
        change(&mut config);
        let silent: Vec<String> = bindings.iter().map(|binding| binding.account.clone()).collect();
        let recovered =
            Recovered { acd: Acd::new(0), fold: Fold::default(), bindings, callbacks: Callbacks::default() };
        let exchange = Exchange::recover(now, config, IdSource::new(1, 1), Entropy::from_number(7), recovered);
        let (phones, under_way, records) = (BTreeMap::new(), VecDeque::new(), Vec::new());
        let (log, plans, closed, guessers) = (Vec::new(), BTreeMap::new(), VecDeque::new(), Vec::new());
        let (cancel_reasons, legs, wake) = (Vec::new(), Vec::new(), None);
        let mut world = Self {
            now,
            exchange,
            records,
            guessers,
            cancel_reasons,
            log,
            plans,
            closed,
            applied: VecDeque::new(),
            recorder: Vec::new(),
            moves: Vec::new(),
            legs,
            heard: Vec::new(),
            on_the_way: None,
            transport: Transport::Udp,
            expected_alive: Vec::new(),
            offers: None,
            answers: None,
            opened: Vec::new(),
            phones,
            under_way,
            wake,
        };
        for name in ["ann", "bob", "carl"] {
            if silent.iter().any(|account| account == name) {
                continue;
            }
            let at = Self::address(name);
            world.register(name, at);
        }
        for carrier in alive {
            world.at(&carrier);
        }
        world.run(Span::from_s(1));
        world
    }

    /// The phone at `at` registers for `name`, once more if it has done so before.
    pub fn register(&mut self, name: &str, at: SocketAddr) {
        let register = Register {
            flow: flow_from(at),
            registrar: "sip:offhook".parse().expect("a uri"),
            aor: name_addr(&format!("sip:{name}@offhook")),
            contact: format!("sip:{name}@{at}").parse().expect("a uri"),
            expires: Span::from_s(3_600),
            credentials: Some(credentials(name)),
        };
        let now = self.now;
        self.phone(at).endpoint.register(now, register);
    }

    /// Where somebody is: ann and bob at their desks, `carrier2` at 127.0.0.2:5060.
    pub fn address(who: &str) -> SocketAddr {
        match who {
            "ann" => SocketAddr::from(([127, 0, 0, 9], 7_001)),
            "bob" => SocketAddr::from(([127, 0, 0, 9], 7_002)),
            "carl" => SocketAddr::from(([127, 0, 0, 9], 7_003)),
            carrier => {
                let host = carrier.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().expect("a host");
                SocketAddr::from(([127, 0, 0, host], 5_060))
            }
        }
    }

    pub fn at(&mut self, who: &str) -> &mut Phone {
        self.phone(Self::address(who))
    }

    fn phone(&mut self, address: SocketAddr) -> &mut Phone {
        self.phones.entry(address).or_insert_with(|| Phone {
            endpoint: Endpoint::new(
                EndpointConfig { siprec: true, ..EndpointConfig::default() },
                Entropy::from_number(seed(address)),
            ),
            events: Vec::new(),
            wake: None,
        })
    }

    /// The requests outside of calls that came to `who` since this was last asked.
    pub fn requests(&mut self, who: &str) -> Vec<(RequestId, Request)> {
        let mut found = Vec::new();
        self.at(who).events.retain(|event| match event {
            Event::Request { id, request, .. } => {
                found.push((*id, (**request).clone()));
                false
            }
            _ => true,
        });
        found
    }

    /// `who` answers a request outside of calls.
    pub fn respond(&mut self, who: &str, id: RequestId, response: Response) {
        let now = self.now;
        self.at(who).endpoint.respond(now, id, response);
        self.run(Span::from_ms(10));
    }

    /// `who` sends an INVITE to `uri` with headers of its own.
    pub fn invite(&mut self, who: &str, uri: &str, to: &str, headers: Vec<(String, String)>) -> SessionId {
        self.invite_as("+4940111", who, uri, to, headers)
    }

    /// As [`World::invite`], from another number.
    pub fn invite_as(
        &mut self,
        from: &str,
        who: &str,
        uri: &str,
        to: &str,
        headers: Vec<(String, String)>,
    ) -> SessionId {
        let (now, at) = (self.now, Self::address(who));
        let invite = Invite {
            flow: flow_from(at),
            uri: uri.parse().expect("a uri"),
            from: name_addr(&format!("sip:{from}@carrier")),
            to: name_addr(to),
            contact: format!("sip:{who}@{at}").parse().expect("a uri"),
            headers,
            body: Some(self.offers.clone().map_or_else(|| media(at), Body::sdp)),
            credentials: None,
        };
        let session = self.at(who).endpoint.invite(now, invite).expect("room for a call");
        self.run(Span::from_ms(100));
        session
    }

    /// `who` dials; with the password of `as_whom`, where one is given.
    pub fn dial(&mut self, who: &str, number: &str, as_whom: Option<Credentials>) -> SessionId {
        self.dial_from(who, who, number, as_whom)
    }

    /// As [`World::dial`], as `user` from where `who` is.
    pub fn dial_from(&mut self, user: &str, who: &str, number: &str, as_whom: Option<Credentials>) -> SessionId {
        let (now, at) = (self.now, Self::address(who));
        let uri = if number.contains('@') { format!("sip:{number}") } else { format!("sip:{number}@offhook") };
        let invite = Invite {
            flow: flow_from(at),
            uri: uri.parse().expect("a uri"),
            from: name_addr(&format!("sip:{user}@offhook")),
            to: name_addr(&uri),
            contact: format!("sip:{who}@{at}").parse().expect("a uri"),
            headers: Vec::new(),
            body: Some(self.offers.clone().map_or_else(|| media(at), Body::sdp)),
            credentials: as_whom,
        };
        let session = self.at(who).endpoint.invite(now, invite).expect("room for a call");
        self.run(Span::from_ms(100));
        session
    }

    /// The INVITE that rings at `who` last: its session, its request URI and its From.
    pub fn ringing(&mut self, who: &str) -> Option<(SessionId, String, String)> {
        self.at(who).events.iter().rev().find_map(|event| match event {
            Event::Invited { session, request, .. } => {
                let from = request.headers.get("From").unwrap_or_default().to_owned();
                Some((*session, request.uri.to_string(), from))
            }
            _ => None,
        })
    }

    pub fn answer(&mut self, who: &str, session: SessionId) {
        let (now, at) = (self.now, Self::address(who));
        let contact = format!("sip:{who}@{at}").parse().expect("a uri");
        let body = self.answers.clone().map_or_else(|| media(at), Body::sdp);
        self.at(who).endpoint.answer(now, session, contact, Some(body));
        self.run(Span::from_ms(100));
    }

    pub fn refuse(&mut self, who: &str, session: SessionId, status: u16) {
        let now = self.now;
        self.at(who).endpoint.refuse(now, session, status, Vec::new());
        self.run(Span::from_ms(100));
    }

    pub fn hang_up(&mut self, who: &str, session: SessionId) {
        let now = self.now;
        self.at(who).endpoint.hang_up(now, session, None);
        self.run(Span::from_ms(100));
    }

    /// The status that `who`'s call was refused with.
    pub fn refused_with(&mut self, who: &str, call: SessionId) -> Option<u16> {
        self.at(who).events.iter().find_map(|event| match event {
            Event::Refused { session, status, .. } if *session == call => Some(*status),
            _ => None,
        })
    }

    pub fn was_answered(&mut self, who: &str, call: SessionId) -> bool {
        self.at(who).events.iter().any(|event| matches!(event, Event::Answered { session, .. } if *session == call))
    }

    /// The agent's state, and why.
    pub fn state(&self, agent: u64) -> (&'static str, Option<String>) {
        let view = self.exchange.agent_now(AgentId(agent)).expect("a configured agent");
        (view.state, view.reason)
    }

    /// The worker tells of a key on a leg of a call.
    pub fn press(&mut self, call: CallId, leg: LegId, digit: char) {
        let event = MediaEvent::Digit { call, leg, digit, source: DigitSource::Event };
        self.exchange.handle(self.now, Input::Media { worker: 0, event });
        self.run(Span::from_ms(10));
    }

    /// A program asks for something.
    pub fn command(&mut self, command: Command) {
        self.exchange.handle(self.now, Input::Command(command));
        self.run(Span::from_ms(10));
    }

    /// Lets `span` pass.
    pub fn run(&mut self, span: Span) {
        let end = self.now + span;
        loop {
            self.drain();
            while let Some((call, leg)) = self.closed.pop_front() {
                let (report, speech) = (LegReport::default(), SpeechReport::default());
                let event = MediaEvent::LegClosed { call, leg, report, speech, srtp: None };
                self.exchange.handle(self.now, Input::Media { worker: 0, event });
                self.drain();
            }
            while let Some((call, generation)) = self.applied.pop_front() {
                // The worker takes its commands 2 ms later than they were given, by its own account.
                let event = MediaEvent::PlanApplied { call, generation, at: self.now + Span::from_ms(2) };
                self.exchange.handle(self.now, Input::Media { worker: 0, event });
                self.drain();
            }
            while let Some((from, to, bytes)) = self.under_way.pop_front() {
                self.deliver(from, to, &bytes);
                self.drain();
            }
            if !self.closed.is_empty() || !self.applied.is_empty() {
                continue;
            }
            let wakes = self.phones.values().map(|phone| phone.wake).chain([self.wake]).flatten();
            let Some(next) = wakes.min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            let now = self.now;
            if self.wake.is_some_and(|at| at <= now) {
                self.exchange.handle(now, Input::Timeout);
            }
            for phone in self.phones.values_mut().filter(|phone| phone.wake.is_some_and(|at| at <= now)) {
                phone.endpoint.timeout(now);
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let now = self.now;
        let changed = self
            .on_the_way
            .filter(|_| to == SERVER.into())
            .map(|change| change(from, std::str::from_utf8(bytes).expect("text")).into_bytes());
        let message = Message::parse(changed.as_deref().unwrap_or(bytes)).expect("a message");
        let flow = Flow { transport: self.transport, local: to, peer: from };
        if to == SERVER.into() {
            self.exchange.handle(now, Input::Message { flow, message: Box::new(message) });
        } else if let Some(phone) = self.phones.get_mut(&to) {
            if let Message::Request(request) = &message
                && request.method == Method::Cancel
            {
                self.cancel_reasons.push(request.headers.get("Reason").map(str::to_owned));
            }
            phone.endpoint.receive(now, flow, message);
        } else {
            self.heard.push((to, bytes.to_vec()));
        }
    }

    fn drain(&mut self) {
        loop {
            match self.exchange.poll_output() {
                Output::Transmit { flow, bytes } => self.under_way.push_back((flow.local, flow.peer, bytes)),
                Output::Record(record) => self.records.push(*record),
                Output::Wait { until } => {
                    self.wake = until;
                    break;
                }
                Output::Log { at, event } => self.log.push((at, event)),
                Output::Media { command: MediaCommand::Apply(plan), .. } => {
                    self.applied.push_back((plan.call, plan.generation));
                    let before = self.plans.insert(plan.call, (*plan).clone());
                    let gone = before.into_iter().flat_map(|before| before.legs);
                    let gone = gone.filter(|leg| plan.legs.iter().all(|kept| kept.leg != leg.leg));
                    self.closed.extend(gone.map(|leg| (plan.call, leg.leg)));
                }
                Output::Media { command: MediaCommand::Close(call), .. } => {
                    let legs = self.plans.remove(&call).into_iter().flat_map(|plan| plan.legs);
                    self.closed.extend(legs.map(|leg| (call, leg.leg)));
                }
                Output::Media { worker, command: MediaCommand::Move(goes) } => {
                    let plan = self.plans.get_mut(&goes.from).expect("the call that it leaves");
                    plan.legs.retain(|leg| leg.leg != goes.leg);
                    self.moves.push((worker, goes));
                }
                Output::OpenRecording(wanted) => {
                    self.recorder.push(("open", wanted.started));
                    self.opened.push(wanted.codec);
                }
                Output::PauseRecording { at, .. } => self.recorder.push(("pause", at)),
                Output::ResumeRecording { recording, at } => {
                    let mut taps = self.plans.values().flat_map(|plan| &plan.taps);
                    assert!(taps.all(|tap| tap.recording != recording), "the recorder is told before the worker");
                    self.recorder.push(("resume", at));
                }
                Output::CloseRecording { at, .. } => self.recorder.push(("close", at)),
                Output::Person { .. } | Output::Binding(_) => {}
                Output::ExpectAlive { flow, within } => self.expected_alive.push((flow, within)),
                Output::WrongPassword { source } => self.guessers.push(source),
                Output::Leg { call, call_id, name } => self.legs.push((call, call_id, name)),
            }
        }
        for phone in self.phones.values_mut() {
            loop {
                match phone.endpoint.poll_output() {
                    offhook_sip::Output::Transmit { flow, bytes } => {
                        self.under_way.push_back((flow.local, flow.peer, bytes));
                    }
                    offhook_sip::Output::Event(event) => phone.events.push(event),
                    offhook_sip::Output::Wait { until } => {
                        phone.wake = until;
                        break;
                    }
                }
            }
        }
    }
}

pub fn credentials(name: &str) -> Credentials {
    Credentials { username: name.to_owned(), password: format!("{name}'s secret") }
}

fn name_addr(uri: &str) -> NameAddr {
    format!("<{uri}>").parse().expect("a name")
}

/// A number of ours that leads to the queue.
pub fn number() -> Number {
    Number { answer: Answer::AtStart, to: Destination::Queue(QueueId(1)), tones: None, gate: None, record: None }
}

/// A description of a phone's media; it serves as offer and as answer.
pub fn media(at: SocketAddr) -> Body {
    let local = sdp::Local { address: at.ip(), port: 40_000, session_id: 1, version: 1, srtp: sdp::Srtp::OFF };
    Body::sdp(sdp::offer(&local, &MediaCaps::g711(), Direction::SendRecv))
}
