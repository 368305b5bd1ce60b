//! Callers and agents: SIP user agents with a will of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use offhook_plan::{Direction, MediaCaps};
use offhook_sip::{
    Body, Credentials, Endpoint, EndpointConfig, Event, Flow, Invite, Message, NameAddr, Output, Register, SessionId,
    Transport, sdp,
};
use offhook_units::{Entropy, Span, Tick};

use crate::network::Datagram;

/// What a phone does at an instant to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Call,
    Ring(SessionId),
    Answer(SessionId),
    Decline(SessionId),
    HangUp(SessionId),
    Hold(SessionId, bool),
    /// Calls somebody beside a talk.
    Consult(SessionId),
    /// Transfers a talk: to whom it talks in another one too, or blind.
    Transfer(SessionId),
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Calls these numbers, one call after the other.
    Caller { numbers: Vec<String> },
    /// Registers under this name, takes calls, and calls these numbers and names now and then.
    Agent { name: String, password: String, dials: Vec<String> },
}

/// A phone with its person.
pub struct Phone {
    pub address: SocketAddr,
    server: SocketAddr,
    role: Role,
    endpoint: Endpoint,
    chance: Entropy,
    acts: BTreeMap<(Tick, u64), Act>,
    planned: u64,
    wake: Option<Tick>,
    /// Sessions that have begun and not ended.
    pub open: BTreeSet<SessionId>,
    up: BTreeSet<SessionId>,
    port: u16,
    /// Sessions that had a final word.
    pub ended: u64,
    /// Sessions that began.
    pub begun: u64,
}

impl Phone {
    pub fn new(address: SocketAddr, server: SocketAddr, role: Role, mut chance: Entropy) -> Self {
        let endpoint = Endpoint::new(EndpointConfig::default(), chance.fork());
        Self {
            address,
            server,
            role,
            endpoint,
            chance,
            acts: BTreeMap::new(),
            planned: 0,
            wake: None,
            open: BTreeSet::new(),
            up: BTreeSet::new(),
            port: 40_000,
            ended: 0,
            begun: 0,
        }
    }

    /// An agent's phone registers.
    pub fn register(&mut self, now: Tick) {
        let Role::Agent { name, password, .. } = &self.role else { return };
        let aor: NameAddr = format!("<sip:{name}@offhook>").parse().expect("a name");
        self.endpoint.register(
            now,
            Register {
                flow: self.flow(),
                registrar: "sip:offhook".parse().expect("a uri"),
                aor,
                contact: format!("sip:{name}@{}", self.address).parse().expect("a uri"),
                expires: Span::from_s(600),
                credentials: Some(Credentials { username: name.clone(), password: password.clone() }),
            },
        );
    }

    /// Dials after `wait`.
    pub fn call_after(&mut self, now: Tick, wait: Span) {
        self.plan(now + wait, Act::Call);
    }

    /// Hangs up on everybody soon: the shift is over.
    pub fn go_home(&mut self, now: Tick) {
        self.acts.retain(|_, act| *act != Act::Call);
        for session in self.open.clone() {
            self.plan(now, Act::HangUp(session));
        }
    }

    pub fn receive(&mut self, now: Tick, datagram: &Datagram) {
        if let Ok(message) = Message::parse(&datagram.bytes) {
            self.endpoint.receive(now, self.flow(), message);
        }
    }

    /// When the phone or its person wants to do something.
    pub fn next(&self) -> Option<Tick> {
        [self.wake, self.acts.keys().next().map(|(at, _)| *at)].into_iter().flatten().min()
    }

    /// Does what is due, and gives what is to be sent.
    pub fn turn(&mut self, now: Tick, send: &mut impl FnMut(Datagram)) {
        if self.wake.is_some_and(|at| at <= now) {
            self.endpoint.timeout(now);
        }
        while let Some(entry) = self.acts.first_entry().filter(|entry| entry.key().0 <= now) {
            let act = entry.remove();
            self.act(now, act);
        }
        loop {
            match self.endpoint.poll_output() {
                Output::Transmit { flow, bytes } => {
                    send(Datagram { from: self.address, to: flow.peer, bytes });
                }
                Output::Event(event) => self.on(now, event),
                Output::Wait { until } => {
                    self.wake = until;
                    return;
                }
            }
        }
    }

    fn flow(&self) -> Flow {
        Flow { transport: Transport::Udp, local: self.address, peer: self.server }
    }

    fn plan(&mut self, at: Tick, act: Act) {
        self.planned += 1;
        self.acts.insert((at, self.planned), act);
    }

    fn later(&mut self, now: Tick, from_ms: u64, to_ms: u64, act: Act) {
        let at = now + Span::from_ms(from_ms + self.chance.below(to_ms - from_ms));
        self.plan(at, act);
    }

    fn act(&mut self, now: Tick, act: Act) {
        match act {
            Act::Call => self.call(now),
            Act::Ring(session) if self.open.contains(&session) => self.endpoint.progress(now, session, 180, None),
            Act::Answer(session) if self.open.contains(&session) => {
                let contact = self.contact();
                let answer = self.sdp(Direction::SendRecv);
                self.endpoint.answer(now, session, contact, Some(answer));
                self.up.insert(session);
                self.talk(now, session);
            }
            Act::Decline(session) if self.open.remove(&session) => {
                self.endpoint.refuse(now, session, 486, Vec::new());
                self.ended += 1;
            }
            Act::HangUp(session) if self.open.contains(&session) => self.endpoint.hang_up(now, session, None),
            Act::Hold(session, on) if self.up.contains(&session) => {
                let direction = if on { Direction::SendOnly } else { Direction::SendRecv };
                let offer = self.sdp(direction);
                self.endpoint.reoffer(now, session, Some(offer));
                if on {
                    self.later(now, 500, 5_000, Act::Hold(session, false));
                }
            }
            Act::Consult(session) if self.up.contains(&session) => self.dial(now),
            Act::Transfer(session) if self.up.contains(&session) => self.transfer(now, session),
            Act::Ring(_)
            | Act::Answer(_)
            | Act::Decline(_)
            | Act::HangUp(_)
            | Act::Hold(..)
            | Act::Consult(_)
            | Act::Transfer(_) => {}
        }
    }

    fn transfer(&mut self, now: Tick, session: SessionId) {
        let targets = match &self.role {
            Role::Caller { numbers } => numbers,
            Role::Agent { dials, .. } => dials,
        };
        let blind = &targets[self.chance.below(targets.len() as u64) as usize];
        let mut to: offhook_sip::Uri = format!("sip:{blind}@{}", self.server).parse().expect("a uri");
        let other = self.up.iter().copied().find(|up| *up != session).filter(|_| self.chance.below(4) > 0);
        if let Some(consulted) = other.and_then(|other| self.endpoint.replaces_of(other)) {
            to = to.with_header("Replaces", &consulted.to_string());
        }
        // One that is under way already goes on instead.
        let _asked = self.endpoint.refer(now, session, &to);
    }

    fn call(&mut self, now: Tick) {
        let rest = if matches!(self.role, Role::Agent { .. }) { 60_000 } else { 20_000 };
        self.dial(now);
        self.later(now, 200, rest, Act::Call);
    }

    fn dial(&mut self, now: Tick) {
        let (numbers, who, credentials) = match &self.role {
            Role::Caller { numbers } => (numbers, None, None),
            Role::Agent { name, password, dials } => {
                let credentials = Credentials { username: name.clone(), password: password.clone() };
                (dials, Some(name.clone()), Some(credentials))
            }
        };
        let number = numbers[self.chance.below(numbers.len() as u64) as usize].clone();
        let who = who.unwrap_or_else(|| format!("030{}", 1_000 + self.chance.below(50)));
        let uri = format!("sip:{number}@{}", self.server);
        let body = Some(self.sdp(Direction::SendRecv));
        let invite = Invite {
            flow: self.flow(),
            uri: uri.parse().expect("a uri"),
            from: format!("<sip:{who}@{}>", self.address).parse().expect("a name"),
            to: format!("<{uri}>").parse().expect("a name"),
            contact: self.contact(),
            headers: Vec::new(),
            body,
            credentials,
        };
        if let Ok(session) = self.endpoint.invite(now, invite) {
            self.open.insert(session);
            self.begun += 1;
            // One in three has little patience.
            let patience = if self.chance.below(3) == 0 { 4_000 } else { 60_000 };
            self.later(now, 50, patience, Act::HangUp(session));
        }
    }

    fn talk(&mut self, now: Tick, session: SessionId) {
        self.later(now, 100, 30_000, Act::HangUp(session));
        if self.chance.below(4) == 0 {
            self.later(now, 100, 8_000, Act::Hold(session, true));
        }
        // A carrier tries it too, now and then.
        let seldom = if matches!(self.role, Role::Agent { .. }) { 3 } else { 20 };
        if self.chance.below(seldom) == 0 {
            self.later(now, 200, 10_000, Act::Transfer(session));
        } else if seldom == 3 && self.chance.below(2) == 0 {
            self.later(now, 100, 2_000, Act::Consult(session));
            self.later(now, 4_000, 15_000, Act::Transfer(session));
        }
    }

    fn contact(&self) -> offhook_sip::Uri {
        format!("sip:phone@{}", self.address).parse().expect("a uri")
    }

    fn sdp(&mut self, direction: Direction) -> Body {
        self.port = if self.port > 60_000 { 40_000 } else { self.port + 2 };
        let (session_id, version) = (self.chance.next_u64() >> 2, 1);
        let local =
            sdp::Local { address: self.address.ip(), port: self.port, session_id, version, srtp: sdp::Srtp::OFF };
        Body::sdp(sdp::offer(&local, &MediaCaps::g711(), direction))
    }

    fn on(&mut self, now: Tick, event: Event) {
        match event {
            Event::Invited { session, .. } => self.rung(now, session),
            Event::Answered { session, .. } => {
                self.up.insert(session);
                self.talk(now, session);
            }
            Event::Reoffered { session, body } => {
                let local = sdp::Local {
                    address: self.address.ip(),
                    port: self.port,
                    session_id: 1,
                    version: 2,
                    srtp: sdp::Srtp::OFF,
                };
                let caps = MediaCaps::g711();
                let answer =
                    body.map(|body| sdp::answer(&body.bytes, &local, &caps, Direction::SendRecv).expect("an offer").0);
                self.endpoint.answer_reoffer(now, session, answer.map(Body::sdp));
            }
            Event::Cancelled { session, .. } | Event::Refused { session, .. } | Event::Ended { session, .. } => {
                self.up.remove(&session);
                assert!(self.open.remove(&session), "a session ends once: {session:?} of {:?}", self.role);
                self.ended += 1;
            }
            Event::Request { id, request, .. } | Event::Message { id, request, .. } => {
                let response = offhook_sip::Response::to_request(&request, 200);
                self.endpoint.respond(now, id, response);
            }
            Event::Referred { session, .. } => self.endpoint.refuse_refer(now, session, 603),
            Event::Confirmed { .. }
            | Event::ReferAnswered { .. }
            | Event::ReferProgress { .. }
            | Event::Progress { .. }
            | Event::ReofferAnswered { .. }
            | Event::ReofferRefused { .. }
            | Event::Metadata { .. }
            | Event::Info { .. }
            | Event::Registered { .. }
            | Event::RegistrationFailed { .. }
            | Event::Probed { .. }
            | Event::Messaged { .. }
            | Event::Resubscribed { .. }
            | Event::NotifyDue { .. }
            | Event::Unsubscribed { .. }
            | Event::Seen { .. }
            | Event::WatchRefused { .. } => {}
        }
    }

    /// Somebody calls: pick up, say no, or let it ring.
    fn rung(&mut self, now: Tick, session: SessionId) {
        self.open.insert(session);
        self.begun += 1;
        self.later(now, 0, 100, Act::Ring(session));
        match self.chance.below(10) {
            0 => self.later(now, 100, 3_000, Act::Decline(session)),
            // Nobody is there; a phone does not ring for ever, even where no CANCEL comes because the exchange has died.
            1 => self.later(now, 100_000, 110_000, Act::HangUp(session)),
            _ => self.later(now, 1, 8_000, Act::Answer(session)),
        }
    }
}
