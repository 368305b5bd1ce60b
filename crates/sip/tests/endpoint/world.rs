//! Endpoints on a virtual clock, joined by a wire that loses, repeats and reorders datagrams from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use offhook_sip::{
    Body, Credentials, Endpoint, EndpointConfig, Event, Flow, Invite, Message, NameAddr, Output, Request, SessionId,
    Transport, Uri,
};
use offhook_units::{Entropy, Span, Tick};

/// One way through the network.
pub const DELAY: Span = Span::from_ms(10);

/// How bad the wire is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Datagrams lost, in percent.
    pub loss: u64,
    /// Datagrams delivered twice, in percent.
    pub doubled: u64,
    /// Most extra delay.
    pub jitter: Span,
}

/// An endpoint and what it said.
pub struct Party {
    pub address: SocketAddr,
    pub endpoint: Endpoint,
    pub events: Vec<Event>,
    wake: Option<Tick>,
}

type Filter = Box<dyn FnMut(Tick, &str) -> bool>;

/// All parties and the wire between them.
pub struct World {
    pub now: Tick,
    pub parties: Vec<Party>,
    pub weather: Weather,
    /// Datagrams that were sent: when, by whom, to whom, first line.
    pub sent: Vec<(Tick, SocketAddr, SocketAddr, String)>,
    /// Datagrams to addresses where nobody is.
    pub strays: Vec<(Tick, Message)>,
    pub chance: Entropy,
    wire: BTreeMap<(Tick, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    count: u64,
    keeps: Option<Filter>,
    /// The branches of PRACKs, by Call-ID and what they acknowledge.
    pub pracks: BTreeMap<(String, String), BTreeSet<String>>,
    /// A party that says nothing of UPDATE in its Allow.
    pub without_update: Option<usize>,
}

pub const A: usize = 0;
pub const B: usize = 1;

pub fn address(index: usize) -> SocketAddr {
    format!("192.0.2.{}:5060", index + 1).parse().unwrap()
}

pub fn flow(from: usize, to: usize) -> Flow {
    Flow { transport: Transport::Udp, local: address(from), peer: address(to) }
}

impl World {
    /// Two endpoints with default settings.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, &EndpointConfig::default(), 2)
    }

    pub fn with(seed: u64, config: &EndpointConfig, count: usize) -> Self {
        let mut chance = Entropy::from_number(seed);
        let parties = (0..count)
            .map(|index| Party {
                address: address(index),
                endpoint: Endpoint::new(config.clone(), chance.fork()),
                events: Vec::new(),
                wake: None,
            })
            .collect();
        Self {
            now: Tick::from_us(1_700_000_000_000_000),
            parties,
            weather: Weather::default(),
            sent: Vec::new(),
            strays: Vec::new(),
            chance,
            wire: BTreeMap::new(),
            count: 0,
            keeps: None,
            pracks: BTreeMap::new(),
            without_update: None,
        }
    }

    /// Loses each datagram for which `keeps` (given its first line) is false.
    pub fn filter(&mut self, keeps: impl FnMut(Tick, &str) -> bool + 'static) {
        self.keeps = Some(Box::new(keeps));
    }

    /// One party does something; what it sends goes on the wire.
    pub fn act<T>(&mut self, party: usize, verb: impl FnOnce(&mut Endpoint, Tick) -> T) -> T {
        let result = verb(&mut self.parties[party].endpoint, self.now);
        self.drain(party);
        result
    }

    fn drain(&mut self, index: usize) {
        loop {
            match self.parties[index].endpoint.poll_output() {
                Output::Transmit { flow, bytes } => self.send(flow.local, flow.peer, &bytes),
                Output::Event(event) => self.parties[index].events.push(event),
                Output::Wait { until } => {
                    self.parties[index].wake = until;
                    return;
                }
            }
        }
    }

    /// Puts a datagram on the wire.
    pub fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let silent = self.without_update.is_some_and(|party| address(party) == from);
        let edited = silent.then(|| String::from_utf8_lossy(bytes).replace(", UPDATE", "").into_bytes());
        let bytes = edited.as_deref().unwrap_or(bytes);
        let first = String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned();
        if first.starts_with("PRACK ")
            && let Ok(Message::Request(prack)) = Message::parse(bytes)
        {
            let said = |name| prack.headers.get(name).unwrap_or_default().to_owned();
            let branch = prack.headers.top_via().ok().and_then(|via| via.branch().map(str::to_owned));
            self.pracks.entry((said("Call-ID"), said("RAck"))).or_default().extend(branch);
        }
        let kept = self.keeps.as_mut().is_none_or(|keeps| keeps(self.now, &first));
        self.sent.push((self.now, from, to, first));
        let copies = 1 + u64::from(self.chance.below(100) < self.weather.doubled);
        for _ in 0..copies {
            if !kept || self.chance.below(100) < self.weather.loss {
                continue;
            }
            self.count += 1;
            let late = Span::from_us(self.chance.below(self.weather.jitter.as_us() + 1));
            self.wire.insert((self.now + DELAY + late, self.count), (from, to, bytes.to_vec()));
        }
    }

    /// Runs to the next thing that happens, but not beyond `until`; false when nothing happens before.
    pub fn step(&mut self, until: Tick) -> bool {
        let next_datagram = self.wire.first_key_value().map(|((at, _), _)| *at);
        let next_timer = self.parties.iter().filter_map(|party| party.wake).min();
        let Some(next) = [next_datagram, next_timer].into_iter().flatten().min().filter(|next| *next <= until) else {
            self.now = until;
            return false;
        };
        self.now = self.now.max(next);
        if next_datagram == Some(next) {
            let Some((_, (from, to, bytes))) = self.wire.pop_first() else { return true };
            match self.parties.iter().position(|party| party.address == to) {
                Some(index) => {
                    let flow = Flow { transport: Transport::Udp, local: to, peer: from };
                    match Message::parse(&bytes) {
                        Ok(message) => self.act(index, |endpoint, now| endpoint.receive(now, flow, message)),
                        Err(error) => self.act(index, |endpoint, now| endpoint.receive_malformed(now, flow, error)),
                    }
                }
                None => self.strays.push((self.now, Message::parse(&bytes).expect("we send what can be read"))),
            }
            return true;
        }
        let now = self.now;
        for index in 0..self.parties.len() {
            if self.parties[index].wake.is_some_and(|wake| wake <= now) {
                self.act(index, Endpoint::timeout);
                assert!(self.parties[index].wake.is_none_or(|wake| wake > now), "a due timer was left over");
            }
        }
        true
    }

    pub fn run_for(&mut self, span: Span) {
        let until = self.now + span;
        while self.step(until) {}
    }

    /// Takes what a party said.
    pub fn events(&mut self, party: usize) -> Vec<Event> {
        core::mem::take(&mut self.parties[party].events)
    }

    /// The first event of a party for which `wanted` gives something; the ones before it are dropped.
    #[track_caller]
    pub fn expect<T>(&mut self, party: usize, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let events = self.events(party);
        let found = events.iter().enumerate().find_map(|(at, event)| Some((at, wanted(event)?)));
        let Some((at, value)) = found else { panic!("not among {events:#?}") };
        self.parties[party].events = events.into_iter().skip(at + 1).collect();
        value
    }

    /// How often a party sent datagrams whose first line begins like this.
    pub fn sent_count(&self, by: usize, start: &str) -> usize {
        self.sent.iter().filter(|(_, from, _, line)| *from == address(by) && line.starts_with(start)).count()
    }

    /// The first lines that went over the wire so far; forgets them.
    pub fn lines(&mut self) -> Vec<String> {
        core::mem::take(&mut self.sent).into_iter().map(|(_, _, _, line)| line).collect()
    }

    pub fn call(&mut self, from: usize, to: usize, credentials: Option<Credentials>) -> SessionId {
        let invite = invite_to(flow(from, to), credentials);
        self.act(from, |endpoint, now| endpoint.invite(now, invite)).expect("within limits")
    }

    /// A calls B and B answers; gives both legs.
    #[track_caller]
    pub fn talking(&mut self) -> (SessionId, SessionId) {
        let caller = self.call(A, B, None);
        self.run_for(Span::from_ms(50));
        let callee = self.expect(B, invited);
        self.answer(B, callee);
        self.run_for(Span::from_ms(50));
        assert_eq!(self.expect(A, answered), caller);
        assert_eq!(self.expect(B, confirmed), callee);
        (caller, callee)
    }

    pub fn answer(&mut self, party: usize, session: SessionId) {
        let contact = Uri::at(Some("callee"), address(party));
        self.act(party, |endpoint, now| endpoint.answer(now, session, contact, Some(Body::sdp("v=0 answer"))));
    }

    pub fn hang_up(&mut self, party: usize, session: SessionId) {
        self.act(party, |endpoint, now| endpoint.hang_up(now, session, Some("Q.850;cause=16".into())));
    }

    /// Runs until all timers are through, and checks that nothing is kept.
    #[track_caller]
    pub fn settle(&mut self) {
        self.run_for(Span::from_s(200));
        for party in &self.parties {
            let load = party.endpoint.load();
            assert_eq!((load.sessions, load.transactions, load.timers), (0, 0, 0), "{}", party.address);
        }
    }
}

pub fn invite_to(flow: Flow, credentials: Option<Credentials>) -> Invite {
    Invite {
        flow,
        uri: Uri::at(Some("100"), flow.peer),
        from: NameAddr::new(Uri::at(Some("caller"), flow.local)).with_display("A \"caller\""),
        to: NameAddr::new(Uri::at(Some("100"), flow.peer)),
        contact: Uri::at(Some("caller"), flow.local),
        headers: vec![("Subject".into(), "test".into())],
        body: Some(Body::sdp("v=0 offer")),
        credentials,
    }
}

pub fn invited(event: &Event) -> Option<SessionId> {
    if let Event::Invited { session, .. } = event { Some(*session) } else { None }
}

pub fn answered(event: &Event) -> Option<SessionId> {
    if let Event::Answered { session, .. } = event { Some(*session) } else { None }
}

pub fn confirmed(event: &Event) -> Option<SessionId> {
    if let Event::Confirmed { session, .. } = event { Some(*session) } else { None }
}

pub fn ended(event: &Event) -> Option<(SessionId, offhook_sip::EndCause)> {
    if let Event::Ended { session, cause } = event { Some((*session, cause.clone())) } else { None }
}

pub fn refused(event: &Event) -> Option<(SessionId, u16)> {
    if let Event::Refused { session, status, .. } = event { Some((*session, *status)) } else { None }
}

/// A request written by hand: `{name}` and line ends are the test's own.
pub fn raw(text: &str) -> Request {
    match Message::parse(text.replace('\n', "\r\n").as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("no request: {other:?}"),
    }
}
