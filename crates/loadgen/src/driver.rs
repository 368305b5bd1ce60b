//! Callers and agents without sockets or clocks: every call of a run, from the instant at which it is due to what came of it.

mod agents;
mod browsers;
mod callers;

use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};

use offhook_plan::{Direction, Negotiated};
use offhook_sip::{
    Body, EndCause, Endpoint, EndpointConfig, Event, Flow, Message, Method, Output as SipOutput, ParseError, Request,
    Response, SessionId, sdp,
};
use offhook_units::{Entropy, Span, Tick};

use self::agents::Floor;
use self::browsers::Way;
use self::callers::Crowd;
use crate::flows::{Notice, Order, Part, Secrecy, Speech};
use crate::load::{Carriage, Load, Ports, caps};
use crate::statistics::Times;
use crate::ways::{WayNotice, WayOrder};

pub use self::agents::AgentFigures;
pub(crate) use self::callers::CAUSES_MAX;
pub use self::callers::{CallFigures, CallTimes, Outcome};

/// How long a run waits for agents to be registered before it begins all the same.
const REGISTERED_WITHIN: Span = Span::from_s(20);
/// How long it waits at its end for calls to be over.
const OVER_WITHIN: Span = Span::from_s(10);
/// After the last call: answers of the far end may come again, and want to be acknowledged.
const LINGER: Span = Span::from_ms(300);
/// Between the last registration and the first call: the distributor has seen everybody.
const SETTLE: Span = Span::from_ms(200);

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Send a message.
    Transmit {
        /// Between which addresses.
        flow: Flow,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Tell the flows.
    Media(Order),
    /// Tell the ways of speech that goes as a browser's.
    Way(WayOrder),
    /// Nothing until then.
    Wait {
        /// The next timer, or none.
        until: Option<Tick>,
    },
}

/// What somebody does at an instant to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// The next call begins.
    Arrive,
    /// A caller has waited long enough.
    GiveUp(SessionId),
    /// A caller or an agent has said everything.
    HangUp(SessionId),
    /// An agent answers.
    Answer(SessionId),
    /// More agents register.
    Register,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Agents register; at the latest then it begins.
    Preparing { until: Tick },
    /// Calls begin.
    Running,
    /// No call begins, all are ended.
    Ending { until: Tick },
    /// All calls are over.
    Lingering { until: Tick },
    /// Nothing is left.
    Over,
}

/// A leg that was answered, or will be.
#[derive(Debug)]
struct Leg {
    /// Its flow of speech.
    flow: u32,
    socket: usize,
    local: sdp::Local,
    /// Our offer, while no answer to it is here.
    offer: Option<String>,
    is_open: bool,
    /// Of one whose speech goes as a browser's.
    way: Option<Way>,
}

/// The driver of a run.
#[derive(Debug)]
pub struct Driver {
    endpoint: Endpoint,
    entropy: Entropy,
    ports: Ports,
    flows: u32,
    stage: Stage,
    lasting: Option<Span>,
    /// The call whose caller is listened to.
    sampled: Option<u64>,
    /// When the first call was due.
    began: Option<Tick>,
    /// When the last one of a crowd that stays was up.
    full: Option<Tick>,
    crowd: Option<Crowd>,
    floor: Option<Floor>,
    due: BTreeMap<(Tick, u64), Due>,
    dues: u64,
    out: VecDeque<Output>,
    next: Option<Tick>,
}

impl Driver {
    /// A run that begins at `now`; `local` are the addresses that callers' and agents' sockets for SIP are bound to.
    pub fn new(
        now: Tick,
        load: &Load,
        callers: Vec<SocketAddr>,
        agents: SocketAddr,
        ports: Ports,
        mut entropy: Entropy,
    ) -> Self {
        let concurrent = load.callers.as_ref().map_or(0, |callers| callers.concurrent);
        let config = EndpointConfig {
            user_agent: concat!("Offhook-Bench/", env!("CARGO_PKG_VERSION")).to_owned(),
            sessions_max: (concurrent * 4).max(100_000),
            transactions_max: 2_000_000,
            methods: vec![Method::Options],
            // Callers and agents live shorter than that, and a run ends by itself.
            session_expires: Span::ZERO,
            registration_retry: Span::from_s(2),
            ..EndpointConfig::default()
        };
        let registers = load.agents.as_ref().is_some_and(|agents| agents.count > 0);
        let until = if registers { now + REGISTERED_WITHIN } else { now };
        let mut driver = Self {
            endpoint: Endpoint::new(config, entropy.fork()),
            ports,
            flows: 0,
            stage: Stage::Preparing { until },
            lasting: load.lasting,
            sampled: load.sampled,
            began: None,
            full: None,
            crowd: load.callers.clone().map(|callers_load| Crowd::new(callers_load, callers, load.keeps_outcomes)),
            floor: load.agents.clone().map(|floor| Floor::new(floor, agents)),
            due: BTreeMap::new(),
            dues: 0,
            out: VecDeque::new(),
            next: None,
            entropy,
        };
        if registers {
            driver.at(now, Due::Register);
        }
        driver.look(now);
        driver
    }

    /// A message came in.
    pub fn receive(&mut self, now: Tick, flow: Flow, message: Message) {
        self.endpoint.receive(now, flow, message);
        self.drain(now);
    }

    /// A datagram came in that is no message.
    pub fn receive_malformed(&mut self, now: Tick, flow: Flow, error: ParseError) {
        self.endpoint.receive_malformed(now, flow, error);
        self.drain(now);
    }

    /// Nothing reaches the far end of `flow`.
    pub fn transport_failed(&mut self, now: Tick, flow: Flow) {
        self.endpoint.transport_failed(now, flow);
        self.drain(now);
    }

    /// A way of speech told something.
    pub fn way(&mut self, now: Tick, notice: WayNotice) {
        self.way_told(now, notice);
        self.drain(now);
    }

    /// The flows told something.
    pub fn notice(&mut self, notice: Notice) {
        let Notice::Heard { flow, at } = notice;
        if let Some(crowd) = &mut self.crowd {
            crowd.heard(flow, at);
        }
    }

    /// The instant of the last [`Output::Wait`] is reached.
    pub fn timeout(&mut self, now: Tick) {
        if self.next.is_some_and(|next| next <= now) {
            self.endpoint.timeout(now);
            self.drain(now);
        }
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), due) = entry.remove_entry();
            match due {
                Due::Arrive => self.arrive(now, at),
                Due::GiveUp(session) => self.give_up(now, session),
                Due::HangUp(session) => self.endpoint.hang_up(now, session, None),
                Due::Answer(session) => self.answer(now, session),
                Due::Register => self.register_some(now),
            }
            self.drain(now);
        }
        self.look(now);
    }

    /// No call begins any more; those that are up end.
    pub fn stop(&mut self, now: Tick) {
        match self.stage {
            Stage::Preparing { .. } | Stage::Running => {
                self.stage = Stage::Ending { until: now + OVER_WITHIN };
                self.due.retain(|_, due| !matches!(due, Due::Arrive | Due::Register));
                self.end_calls(now);
                self.unregister_all(now);
                self.drain(now);
                self.look(now);
            }
            Stage::Ending { .. } | Stage::Lingering { .. } | Stage::Over => {}
        }
    }

    /// What is to be done next; [`Output::Wait`] says that nothing is left.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.out.pop_front() {
            return output;
        }
        let own = self.due.first_key_value().map(|((at, _), _)| *at);
        Output::Wait { until: [own, self.next, self.stage_ends()].into_iter().flatten().min() }
    }

    /// Whether the run is over.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// When the first call was due.
    pub const fn began(&self) -> Option<Tick> {
        self.began
    }

    /// When all calls of a crowd that stays were answered or had failed.
    pub const fn full(&self) -> Option<Tick> {
        self.full
    }

    /// Whether calls are made or up, and none is being ended.
    pub fn is_running(&self) -> bool {
        self.stage == Stage::Running
    }

    /// What the callers came to.
    pub fn calls(&self) -> Option<(&CallFigures, &CallTimes)> {
        self.crowd.as_ref().map(|crowd| (&crowd.figures, &crowd.times))
    }

    /// What became of each call that is over, where the load keeps it.
    pub fn outcomes(&self) -> &[Outcome] {
        self.crowd.as_ref().and_then(|crowd| crowd.outcomes.as_deref()).unwrap_or_default()
    }

    /// Calls that are up now, and of these how many are answered.
    pub fn active(&self) -> (usize, usize) {
        self.crowd.as_ref().map_or((0, 0), |crowd| (crowd.up(), crowd.talking))
    }

    /// What the agents came to.
    pub fn agents(&self) -> Option<&AgentFigures> {
        self.floor.as_ref().map(|floor| &floor.figures)
    }

    /// From when the first call was due to when the last one was.
    pub fn calls_over(&self) -> Span {
        let last = self.crowd.as_ref().and_then(|crowd| crowd.last_due);
        last.zip(self.began).map_or(Span::ZERO, |(last, began)| last.since(began))
    }

    /// How late calls began.
    pub fn start_late(&self) -> Option<&Times> {
        self.crowd.as_ref().map(|crowd| &crowd.start_late)
    }

    fn at(&mut self, at: Tick, due: Due) {
        self.dues += 1;
        self.due.insert((at, self.dues), due);
    }

    fn media(&mut self, order: Order) {
        self.out.push_back(Output::Media(order));
    }

    fn stage_ends(&self) -> Option<Tick> {
        match self.stage {
            Stage::Preparing { until } | Stage::Ending { until } | Stage::Lingering { until } => Some(until),
            Stage::Running => self.ends_at(),
            Stage::Over => None,
        }
    }

    /// When calls end by the run's own length: a crowd that stays counts from when it is full.
    fn ends_at(&self) -> Option<Tick> {
        let lasting = self.lasting?;
        match &self.crowd {
            Some(crowd) if crowd.load.hold.is_none() => Some(self.full? + lasting),
            // Calls that hold end by themselves, after their hold time and what they waited.
            Some(crowd) => crowd.is_done.then_some(Tick::MAX).filter(|_| crowd.up() > 0),
            None => Some(self.began? + lasting),
        }
    }

    /// Goes on to the next stage where it is time.
    fn look(&mut self, now: Tick) {
        loop {
            let next = match self.stage {
                Stage::Preparing { until } if until <= now || self.floor.as_ref().is_some_and(Floor::is_ready) => {
                    self.begin(now);
                    Stage::Running
                }
                Stage::Running => {
                    self.note_full(now);
                    let is_done = self.crowd.as_ref().is_some_and(|crowd| crowd.is_done && crowd.up() == 0);
                    if !is_done && self.ends_at().is_none_or(|at| at > now) {
                        return;
                    }
                    self.stop(now);
                    return;
                }
                Stage::Ending { until } => {
                    let is_quiet = self.active().0 == 0 && self.floor.as_ref().is_none_or(Floor::is_gone);
                    if !is_quiet && until > now {
                        return;
                    }
                    Stage::Lingering { until: now + LINGER }
                }
                Stage::Lingering { until } if until <= now => Stage::Over,
                Stage::Preparing { .. } | Stage::Lingering { .. } | Stage::Over => return,
            };
            self.stage = next;
        }
    }

    fn begin(&mut self, now: Tick) {
        let begin = if self.floor.is_some() && self.crowd.is_some() { now + SETTLE } else { now };
        self.began = Some(begin);
        self.plan_calls(begin);
    }

    fn drain(&mut self, now: Tick) {
        loop {
            match self.endpoint.poll_output() {
                SipOutput::Transmit { flow, bytes } => self.out.push_back(Output::Transmit { flow, bytes }),
                SipOutput::Event(event) => self.event(now, event),
                SipOutput::Wait { until } => {
                    self.next = until;
                    break;
                }
            }
        }
        self.look(now);
    }

    fn event(&mut self, now: Tick, event: Event) {
        match event {
            Event::Invited { session, flow, request } => self.invited(now, session, flow, &request),
            Event::Cancelled { session, .. } => self.agent_over(now, session, "given up by the caller"),
            Event::Confirmed { session, body } => self.confirmed(now, session, body),
            Event::Progress { session, status, body } => self.progress(now, session, status, body),
            Event::Answered { session, body, .. } => self.answered(now, session, body),
            Event::Refused { session, status, reason, .. } => self.refused(now, session, status, &reason),
            Event::Reoffered { session, body } => self.reoffered(now, session, body),
            Event::Ended { session, cause } => self.ended(now, session, &cause),
            Event::Request { id, request, .. } => {
                let mut response = Response::to_request(&request, 200);
                response.headers.push("Allow", self.endpoint.allow());
                self.endpoint.respond(now, id, response);
            }
            Event::Referred { session, .. } => self.endpoint.refuse_refer(now, session, 603),
            Event::Registered { id, expires } => self.registered(now, id, expires),
            Event::RegistrationFailed { id, status, .. } => self.registration_failed(id, status),
            // Nobody here offers anew, texts, transfers, probes or watches, and INFO is the far end's affair.
            Event::ReofferAnswered { .. }
            | Event::ReofferRefused { .. }
            | Event::Metadata { .. }
            | Event::Info { .. }
            | Event::Message { .. }
            | Event::Messaged { .. }
            | Event::ReferAnswered { .. }
            | Event::ReferProgress { .. }
            | Event::Resubscribed { .. }
            | Event::NotifyDue { .. }
            | Event::Unsubscribed { .. }
            | Event::Seen { .. }
            | Event::WatchRefused { .. }
            | Event::Probed { .. } => {}
        }
    }

    fn ended(&mut self, now: Tick, session: SessionId, cause: &EndCause) {
        let words = match cause {
            EndCause::PeerBye { .. } => None,
            EndCause::Hungup => Some("hung up"),
            EndCause::TimedOut => Some("no response within the call"),
            EndCause::NoAck => Some("the answer was not acknowledged"),
            EndCause::TransportFailed => Some("the server cannot be reached"),
            EndCause::PeerGone => Some("the server knows the call no more"),
            EndCause::Expired => Some("the session expired"),
        };
        if !self.call_over(now, session, cause, words) {
            self.agent_over(now, session, words.unwrap_or("hung up by the other side"));
        }
    }

    /// A new leg on one of the sockets of its side.
    fn leg(&mut self, now: Tick, is_caller: bool) -> Leg {
        self.flows += 1;
        let flow = self.flows;
        let (ports, first) =
            if is_caller { (&self.ports.callers, 0) } else { (&self.ports.agents, self.ports.callers.len()) };
        let at = flow as usize % ports.len().max(1);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
        let address = ports.get(at).copied().unwrap_or(nowhere);
        let policy = match (&self.crowd, &self.floor) {
            (Some(crowd), _) if is_caller && crowd.load.carriage == Carriage::Srtp => sdp::SrtpPolicy::Required,
            (_, Some(floor)) if !is_caller && floor.load.takes_srtp => sdp::SrtpPolicy::Accept,
            _ => sdp::SrtpPolicy::Off,
        };
        let local = sdp::Local {
            address: address.ip(),
            port: address.port(),
            session_id: now.as_us() / 1_000 + u64::from(flow),
            version: 1,
            // Nothing secret is said: keys may be told over any transport.
            srtp: sdp::Srtp::new(policy, true, &mut self.entropy),
        };
        Leg { flow, socket: first + at, local, offer: None, is_open: false, way: None }
    }

    fn reoffered(&mut self, now: Tick, session: SessionId, body: Option<Body>) {
        let caller = self.crowd.as_mut().and_then(|crowd| {
            let caps = caps(crowd.load.speech.codec);
            // What goes as a browser's keeps the way that it has.
            crowd.leg_mut(session).filter(|leg| leg.way.is_none()).map(|leg| (leg, caps))
        });
        let found = match (caller, &mut self.floor) {
            (Some(caller), _) => Some(caller),
            (None, Some(floor)) => {
                let caps = caps(floor.load.speech.codec);
                floor.leg_mut(session).map(|leg| (leg, caps))
            }
            (None, None) => None,
        };
        let Some((leg, caps)) = found else {
            return self.endpoint.refuse_reoffer(now, session, 488);
        };
        leg.local.version += 1;
        let Some(body) = body.filter(Body::is_sdp) else {
            let offer = sdp::offer(&leg.local, &caps, Direction::SendRecv);
            return self.endpoint.answer_reoffer(now, session, Some(Body::sdp(offer)));
        };
        match sdp::answer(&body.bytes, &leg.local, &caps, Direction::SendRecv) {
            Ok((answer, agreed)) => {
                let flow = leg.flow;
                self.endpoint.answer_reoffer(now, session, Some(Body::sdp(answer)));
                self.media(change(flow, &agreed));
            }
            Err(error) => self.endpoint.refuse_reoffer(now, session, error.status()),
        }
    }
}

/// A flow as it was agreed on.
fn opening(leg: &Leg, part: Part, speech: &Speech, agreed: &Negotiated) -> Order {
    Order::Open(Box::new(crate::flows::Opening {
        flow: leg.flow,
        part,
        socket: leg.socket,
        remote: leg.way.as_ref().map_or(agreed.remote_rtp, |way| way.inside),
        payload_type: agreed.send_payload_type,
        events: agreed.telephone_event,
        speech: speech.clone(),
        secret: match (&leg.way, agreed.crypto) {
            (Some(_), _) => Secrecy::Elsewhere,
            (None, Some(crypto)) => Secrecy::Keys(crypto),
            (None, None) => Secrecy::None,
        },
    }))
}

/// What became of a flow by another description.
fn change(flow: u32, agreed: &Negotiated) -> Order {
    Order::Change { flow, remote: agreed.remote_rtp, sends: agreed.direction.sends(), crypto: agreed.crypto }
}

/// The user parts under which a request says who calls: P-Asserted-Identity before From.
fn callers_in(request: &Request) -> Vec<String> {
    let asserted = request.headers.asserted_identities().unwrap_or_default();
    let named = asserted.into_iter().chain(request.headers.from().ok());
    named.filter_map(|name| Some(name.uri.user_decoded()?.into_owned())).collect()
}
