//! Whole calls through three user agents - caller, exchange in the middle, agent - at 800 calls a second of the virtual clock, so
//! that the exchange holds the transactions of the last 32 s as it would in life.
//!
//! Budget: a plain call costs the exchange well under 300 us in `sip`, SDP included; the figure here is that of all three together.

use divan::{Bencher, black_box};
use offhook_plan::{Direction, MediaCaps};
use offhook_sip::sdp::{self, Local};
use offhook_sip::{
    Body, Endpoint, EndpointConfig, Event, Flow, Invite, Message, NameAddr, Output, Register, Registrar,
    RegistrarLimits, SessionId, Transport, Uri,
};
use offhook_units::{Entropy, Span, Tick};

fn main() {
    divan::main();
}

const CALLER: usize = 0;
const EXCHANGE: usize = 1;
const AGENT: usize = 2;

/// Between two calls: 800 a second.
const GAP: Span = Span::from_us(1_250);

struct Trio {
    now: Tick,
    endpoints: Vec<Endpoint>,
    wire: std::collections::VecDeque<(usize, Flow, Vec<u8>)>,
    /// The exchange's two legs of the running call.
    legs: Option<(SessionId, SessionId)>,
    agent: Option<SessionId>,
    registrar: Registrar,
}

fn flow(from: usize, to: usize) -> Flow {
    let address = |index: usize| format!("192.0.2.{}:5060", index + 1).parse().expect("an address");
    Flow { transport: Transport::Udp, local: address(from), peer: address(to) }
}

fn offer(index: usize) -> String {
    sdp::offer(&local(index), &MediaCaps::g711(), Direction::SendRecv)
}

fn local(index: usize) -> Local {
    Local {
        address: flow(index, 0).local.ip(),
        port: 10_000,
        session_id: 1,
        version: 1,
        srtp: offhook_sip::sdp::Srtp::OFF,
    }
}

fn answer_to(body: &Body, index: usize) -> Body {
    let (text, _) =
        sdp::answer(&body.bytes, &local(index), &MediaCaps::g711(), Direction::SendRecv).expect("an answer");
    Body::sdp(text)
}

fn invite(from: usize, to: usize) -> Invite {
    let flow = flow(from, to);
    Invite {
        flow,
        uri: Uri::at(Some("800"), flow.peer),
        from: NameAddr::new(Uri::at(Some("caller"), flow.local)),
        to: NameAddr::new(Uri::at(Some("800"), flow.peer)),
        contact: Uri::at(Some("caller"), flow.local),
        headers: Vec::new(),
        body: Some(Body::sdp(offer(from))),
        credentials: None,
    }
}

impl Trio {
    fn new() -> Self {
        let config = EndpointConfig { transactions_max: 1_000_000, ..EndpointConfig::default() };
        let endpoint = |seed| Endpoint::new(config.clone(), Entropy::from_number(seed));
        Self {
            now: Tick::from_us(1_700_000_000_000_000),
            endpoints: vec![endpoint(1), endpoint(2), endpoint(3)],
            wire: std::collections::VecDeque::new(),
            legs: None,
            agent: None,
            registrar: Registrar::new("desk", &mut Entropy::from_number(9), 1_000, RegistrarLimits::default()),
        }
    }

    fn drain(&mut self, index: usize) {
        loop {
            match self.endpoints[index].poll_output() {
                Output::Transmit { flow: sent, bytes } => {
                    let to =
                        usize::from(if let std::net::IpAddr::V4(ip) = sent.peer.ip() { ip.octets()[3] } else { 0 }) - 1;
                    self.wire.push_back((to, flow(to, index), bytes));
                }
                Output::Event(event) => self.on_event(index, event),
                Output::Wait { .. } => return,
            }
        }
    }

    fn on_event(&mut self, index: usize, event: Event) {
        let now = self.now;
        match (index, event) {
            (EXCHANGE, Event::Invited { session, request, .. }) => {
                black_box(request.headers.from().expect("From"));
                let out = self.endpoints[EXCHANGE].invite(now, invite(EXCHANGE, AGENT)).expect("room");
                self.legs = Some((session, out));
            }
            (AGENT, Event::Invited { session, request, .. }) => {
                self.agent = Some(session);
                let body = answer_to(&Body::sdp(String::from_utf8_lossy(&request.body)), AGENT);
                self.endpoints[AGENT].progress(now, session, 180, None);
                self.endpoints[AGENT].answer(now, session, Uri::at(None, flow(AGENT, EXCHANGE).local), Some(body));
            }
            (EXCHANGE, Event::Progress { status, .. }) => {
                if let Some((caller, _)) = self.legs {
                    self.endpoints[EXCHANGE].progress(now, caller, status, None);
                }
            }
            (EXCHANGE, Event::Answered { body: Some(body), .. }) => {
                sdp::accept(&offer(EXCHANGE), &body.bytes, &MediaCaps::g711()).expect("agreed");
                if let Some((caller, _)) = self.legs {
                    let body = answer_to(&Body::sdp(offer(CALLER)), EXCHANGE);
                    let contact = Uri::at(None, flow(EXCHANGE, CALLER).local);
                    self.endpoints[EXCHANGE].answer(now, caller, contact, Some(body));
                }
            }
            (EXCHANGE, Event::Ended { session, .. }) => {
                if let Some((caller, agent)) = self.legs.filter(|legs| legs.0 == session) {
                    black_box(caller);
                    self.endpoints[EXCHANGE].hang_up(now, agent, None);
                }
            }
            (EXCHANGE, Event::Request { id, flow, request }) => {
                let (response, _) = self.registrar.handle(now, flow, &request, |_| Some("secret"));
                self.endpoints[EXCHANGE].respond(now, id, response);
            }
            (_, other) => drop(black_box(other)),
        }
    }

    fn deliver(&mut self) {
        while let Some((to, flow, bytes)) = self.wire.pop_front() {
            let message = Message::parse(&bytes).expect("well formed");
            self.endpoints[to].receive(self.now, flow, message);
            self.drain(to);
        }
    }

    fn call(&mut self) {
        self.now += GAP;
        for index in [CALLER, EXCHANGE, AGENT] {
            self.endpoints[index].timeout(self.now);
            self.drain(index);
        }
        let session = self.endpoints[CALLER].invite(self.now, invite(CALLER, EXCHANGE)).expect("room");
        self.drain(CALLER);
        self.deliver();
        self.endpoints[CALLER].hang_up(self.now, session, None);
        self.drain(CALLER);
        self.deliver();
    }
}

#[divan::bench(sample_count = 50, sample_size = 200)]
fn call_through_the_exchange(bencher: Bencher) {
    let mut trio = Trio::new();
    for _ in 0..30_000 {
        trio.call();
    }
    let load = trio.endpoints[EXCHANGE].load();
    assert!(load.sessions == 0 && load.transactions > 75_000, "{load:?}");
    bencher.bench_local(|| trio.call());
}

#[divan::bench(sample_count = 50, sample_size = 200)]
fn register_with_digest(bencher: Bencher) {
    let mut trio = Trio::new();
    let register = Register {
        flow: flow(CALLER, EXCHANGE),
        registrar: Uri::at(None, flow(CALLER, EXCHANGE).peer),
        aor: NameAddr::new(Uri::at(Some("alice"), flow(CALLER, EXCHANGE).peer)),
        contact: Uri::at(Some("alice"), flow(CALLER, EXCHANGE).local),
        expires: Span::from_s(3_600),
        credentials: Some(offhook_sip::Credentials { username: "alice".into(), password: "secret".into() }),
    };
    bencher.bench_local(|| {
        trio.now += GAP;
        for index in [CALLER, EXCHANGE] {
            trio.endpoints[index].timeout(trio.now);
            trio.drain(index);
        }
        black_box(trio.endpoints[CALLER].register(trio.now, register.clone()));
        trio.drain(CALLER);
        trio.deliver();
    });
    assert_eq!(trio.registrar.len(), 1, "the last one replaced all before");
}
