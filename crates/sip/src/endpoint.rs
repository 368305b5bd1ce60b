//! The SIP user agent, without sockets or clocks: transactions, dialogs and registrations behind verbs and events.
//!
//! Hand in one input, then drain [`Endpoint::poll_output`] until it gives [`Output::Wait`].

mod auth;
mod change;
mod client;
mod early;
mod event;
mod key;
mod large;
mod message;
mod probe;
mod refer;
mod refresh;
mod registration;
mod reliable;
mod server;
mod session;
mod subscription;
mod uac;
mod uas;
mod watch;

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use offhook_units::{Entropy, Span, Tick, push_hex};

use crate::dialog::Dialog;
use crate::transaction::{SessionTimer, TimerKey, Timers, Times};
use crate::{Body, DialogSnapshot, Flow, Headers, Message, Method, ParseError, Request, Response};
use client::{Client, Delivery, Failed, Owner};
use key::{Keyed, Keys};
use registration::Registration;
use server::Server;
use session::{Phase, Session};
use subscription::Subscription;
use watch::Watching;

pub use client::FORKS_MAX;
pub use event::{
    EndCause, EndpointConfig, Event, Full, Invite, MessageId, Output, ProbeId, Register, RegistrationId, RequestId,
    SessionId, SubscriptionId, WatchId,
};
pub use large::DATAGRAM_REQUEST_BYTES_MAX;
pub use message::Text;
pub use refresh::MIN_SE;
pub use subscription::{SUBSCRIPTION_MAX, SUBSCRIPTION_MIN, Subscribed};
pub use watch::Watch;

/// Methods that the endpoint answers itself or that make sessions; `Allow` lists them before the program's own.
const METHODS: [Method; 9] = [
    Method::Invite,
    Method::Ack,
    Method::Cancel,
    Method::Bye,
    Method::Info,
    Method::Update,
    Method::Refer,
    Method::Notify,
    Method::Prack,
];
/// Extensions that the endpoint itself supports, for `Supported` and against `Require`.
const EXTENSIONS: [&str; 1] = ["norefersub"];
/// Reliable provisional responses, RFC 3262.
const RELIABLE: &str = "100rel";

/// What an endpoint holds now, and what it has turned away since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Sessions, those included that wait for the answer to BYE.
    pub sessions: usize,
    /// Transactions of both kinds.
    pub transactions: usize,
    /// Running timers.
    pub timers: usize,
    /// Requests refused by the endpoint itself.
    pub rejected_total: u64,
    /// Of those: refused because a limit was reached.
    pub full_total: u64,
    /// Of all: INVITEs refused at the program's wish ([`Endpoint::shed_invites`]).
    pub shed_total: u64,
    /// Responses, ACKs and CANCELs that belong to nothing.
    pub strays_total: u64,
}

/// A SIP user agent.
pub struct Endpoint {
    config: EndpointConfig,
    times: Times,
    entropy: Entropy,
    /// Makes the tags of stateless answers unguessable.
    secret: u64,
    /// The value of `Allow`.
    allow: String,
    /// The value of `Supported` in requests that shall have no reliable provisional response.
    supported: String,
    /// The same with `100rel`.
    supported_reliable: String,
    last_id: u64,
    out: VecDeque<Output>,
    timers: Timers,
    clients: BTreeMap<u64, Client>,
    /// Client transactions by flow, for failures of the transport.
    flows: BTreeSet<(Flow, u64)>,
    servers: BTreeMap<u64, Server>,
    /// Names transactions.
    keys: Keys,
    server_keys: Keyed<u64>,
    merges: Keyed<u64>,
    sessions: BTreeMap<SessionId, Session>,
    /// Sessions by the connection that they were set up on.
    connected: BTreeSet<(Flow, SessionId)>,
    /// Sessions by the tag that we gave.
    dialogs: BTreeMap<Box<str>, SessionId>,
    registrations: BTreeMap<RegistrationId, Registration>,
    subscriptions: BTreeMap<SubscriptionId, Subscription>,
    /// Subscriptions by the tag that we gave.
    watchers: BTreeMap<Box<str>, SubscriptionId>,
    /// Subscriptions of ours, and which tag of ours is whose.
    watchings: BTreeMap<WatchId, Watching>,
    watched: BTreeMap<Box<str>, WatchId>,
    /// Peers that took no connection for a large request, and until when that is believed.
    streamless: BTreeMap<SocketAddr, Tick>,
    /// Hosts whose large requests go over other listeners than those of the configuration.
    large_otherwise: BTreeMap<IpAddr, Vec<SocketAddr>>,
    /// INVITEs outside of dialogs are refused without state.
    shedding: bool,
    load: Load,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("load", &self.load()).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// A user agent without sessions.
    pub fn new(config: EndpointConfig, mut entropy: Entropy) -> Self {
        let mut allow: Vec<&str> = METHODS.iter().map(Method::as_str).collect();
        for method in &config.methods {
            if !allow.contains(&method.as_str()) {
                allow.push(method.as_str());
            }
        }
        let optional = [("replaces", config.replaces), ("timer", config.session_expires > Span::ZERO)];
        let optional = optional.into_iter().filter_map(|(name, on)| on.then_some(name));
        let extensions: Vec<&str> = optional.chain(EXTENSIONS).collect();
        Self {
            times: Times { t1: config.t1, t2: config.t2, t4: config.t4 },
            secret: entropy.next_u64(),
            allow: allow.join(", "),
            supported_reliable: format!("{}, {RELIABLE}", extensions.join(", ")),
            supported: extensions.join(", "),
            last_id: 0,
            out: VecDeque::new(),
            timers: Timers::default(),
            clients: BTreeMap::new(),
            flows: BTreeSet::new(),
            servers: BTreeMap::new(),
            keys: Keys::new(&mut entropy.fork()),
            server_keys: Keyed::default(),
            merges: Keyed::default(),
            sessions: BTreeMap::new(),
            connected: BTreeSet::new(),
            dialogs: BTreeMap::new(),
            registrations: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            watchers: BTreeMap::new(),
            watchings: BTreeMap::new(),
            watched: BTreeMap::new(),
            streamless: BTreeMap::new(),
            large_otherwise: BTreeMap::new(),
            shedding: false,
            load: Load::default(),
            config,
            entropy,
        }
    }

    /// Changes what it was started with, [`EndpointConfig::shard`] and [`EndpointConfig::methods`] excepted. What is under way goes on as it
    /// began.
    pub fn change(&mut self, change: impl FnOnce(&mut EndpointConfig)) {
        change(&mut self.config);
    }

    /// A message came in.
    pub fn receive(&mut self, now: Tick, flow: Flow, message: Message) {
        match message {
            Message::Request(request) => self.receive_request(now, flow, request),
            Message::Response(response) => self.receive_response(now, response),
        }
    }

    /// While `on`, INVITEs outside of dialogs get a 503 with Retry-After that costs no state. Those that come again while theirs
    /// is being handled, and everything within dialogs, are not concerned.
    pub fn shed_invites(&mut self, on: bool) {
        self.shedding = on;
    }

    /// A datagram came in that is no message; a request that could be told is answered 400, 505 or 513.
    pub fn receive_malformed(&mut self, _now: Tick, flow: Flow, error: ParseError) {
        let status = error.fault.status();
        let Some(mut request) = error.salvaged else { return };
        if request.method == Method::Ack {
            return;
        }
        if let Ok(via) = request.headers.top_via() {
            uas::note_source(flow, &mut request, via);
            self.reject(flow, &request, status, &[]);
        }
    }

    /// The transport reported that nothing reaches the far end of `flow`, or that its connection is gone: requests that wait
    /// for a response on it fail, and dialogs that were set up on it look for another way.
    pub fn transport_failed(&mut self, now: Tick, flow: Flow) {
        let sessions = (flow, SessionId(0))..=(flow, SessionId(u64::MAX));
        let sessions: Vec<SessionId> = self.connected.range(sessions).map(|(_, session)| *session).collect();
        for id in sessions {
            self.connected.remove(&(flow, id));
            if let Some(session) = self.sessions.get_mut(&id) {
                session.dialog.lose_flow();
            }
        }
        let ids: Vec<u64> = self.flows.range((flow, 0)..=(flow, u64::MAX)).map(|(_, id)| *id).collect();
        for id in ids {
            self.client_transport_failed(now, id);
        }
    }

    /// A phone registered `contact` over `flow`: a session with it, where its peer gave that Contact, or the GRUU of an instance that
    /// it is (RFC 5627 section 4.4.1), goes on over this flow, be it another connection or another address of the router before it
    /// (docs/rfc/rfc5626.md).
    pub fn follow_contact(
        &mut self,
        session: SessionId,
        contact: &crate::Uri,
        is_instance: impl Fn(&str) -> bool,
        flow: Flow,
    ) {
        let is_it = |found: &&mut Session| {
            let dialog = &found.dialog;
            let is_with = dialog.is_with(contact) || dialog.instance().is_some_and(&is_instance);
            dialog.flow.transport == flow.transport && is_with
        };
        let Some(found) = self.sessions.get_mut(&session).filter(is_it) else { return };
        self.connected.remove(&(found.dialog.flow, session));
        found.dialog.move_to(flow);
        if flow.transport.is_reliable() {
            self.connected.insert((flow, session));
        }
    }

    /// We have another address: a session's requests leave from there from now on, over `flow`, and the peer is told `contact` with the next
    /// one, which is the program's to send ([`Endpoint::reoffer`]).
    pub fn move_session(&mut self, session: SessionId, flow: Flow, contact: crate::Uri) {
        let Some(found) = self.sessions.get_mut(&session) else { return };
        self.connected.remove(&(found.dialog.flow, session));
        found.dialog.move_to(flow);
        found.dialog.contact = contact;
        if flow.transport.is_reliable() {
            self.connected.insert((flow, session));
        }
    }

    /// The instant of the last [`Output::Wait`] is reached. Calling it early or late does no harm.
    pub fn timeout(&mut self, now: Tick) {
        while let Some(key) = self.timers.pop_due(now) {
            match key {
                TimerKey::Client(id, timer) => self.client_timer(now, id, timer),
                TimerKey::Server(id, timer) => self.server_timer(now, id, timer),
                TimerKey::Session(id, SessionTimer::Unacked) => self.unacked_timer(now, id),
                TimerKey::Session(id, SessionTimer::Glare) => self.glare_timer(now, id),
                TimerKey::Session(id, SessionTimer::Ringing) => self.ringing_timer(now, id),
                TimerKey::Session(id, SessionTimer::Reliable) => self.reliable_timer(now, id),
                TimerKey::Session(id, SessionTimer::Expiry) => self.expiry_timer(now, id),
                TimerKey::Registration(id) => self.registration_timer(now, id),
                TimerKey::Subscription(id) => self.subscription_timer(now, id),
                TimerKey::Watch(id) => self.watch_timer(now, id),
            }
        }
    }

    /// What is to be done next; [`Output::Wait`] says that nothing is left.
    pub fn poll_output(&mut self) -> Output {
        self.out.pop_front().unwrap_or_else(|| Output::Wait { until: self.timers.next() })
    }

    /// The methods that it takes, as the value of `Allow` (RFC 3261 section 20.5).
    pub fn allow(&self) -> &str {
        &self.allow
    }

    /// What it holds and has turned away.
    pub fn load(&self) -> Load {
        Load {
            sessions: self.sessions.len(),
            transactions: self.transactions(),
            timers: self.timers.len(),
            ..self.load
        }
    }

    /// Answers an [`Event::Request`]. A late or second answer is dropped.
    pub fn respond(&mut self, now: Tick, request: RequestId, mut response: Response) {
        if response.status < 200 || self.waiting_template(request.0).is_none() {
            return;
        }
        let tag = self.tag();
        server::tag_response(&mut response, &tag);
        if response.headers.get("Server").is_none() {
            response.headers.push("Server", &self.config.user_agent);
        }
        self.reply_with(now, request.0, &response);
    }

    /// What a successor needs to end or take over a session that is answered, though the 2xx may have to wait.
    pub fn snapshot(&self, session: SessionId) -> Option<DialogSnapshot> {
        let session = self.sessions.get(&session)?;
        match session.phase {
            Phase::Answering { .. } | Phase::Confirmed | Phase::HangingUp { .. } => Some(session.dialog.snapshot()),
            Phase::Calling { .. }
            | Phase::Proceeding { .. }
            | Phase::Cancelling { .. }
            | Phase::Ringing { .. }
            | Phase::Over => None,
        }
    }

    /// The Call-ID of a session, confirmed or not.
    pub fn call_id(&self, session: SessionId) -> Option<&str> {
        self.sessions.get(&session).map(|session| &*session.dialog.call_id)
    }

    /// Takes a confirmed dialog over from a log; no limit applies, so that each can be ended.
    pub fn adopt(&mut self, _now: Tick, snapshot: DialogSnapshot) -> SessionId {
        let id = SessionId(self.next_id());
        self.insert_session(id, Session::new(Phase::Confirmed, Dialog::adopt(snapshot), None));
        id
    }

    fn insert_session(&mut self, id: SessionId, session: Session) {
        self.dialogs.insert(session.dialog.local_tag.clone(), id);
        if session.dialog.flow.transport.is_reliable() {
            self.connected.insert((session.dialog.flow, id));
        }
        self.sessions.insert(id, session);
    }

    fn remove_session(&mut self, id: SessionId) {
        if let Some(mut session) = self.sessions.remove(&id) {
            self.timers.stop_all(&mut session.alarms);
            self.dialogs.remove(&session.dialog.local_tag);
            self.connected.remove(&(session.dialog.flow, id));
        }
    }

    /// A response that its transaction does not keep to itself.
    fn deliver(&mut self, now: Tick, delivery: Delivery) {
        match delivery.owner {
            Owner::Invite(session) => self.invite_response(now, session, delivery),
            Owner::Reinvite(session) => self.reinvite_response(now, session, delivery),
            Owner::Bye(session) => self.bye_response(now, session, delivery),
            Owner::Refresh(session) => self.refresh_response(now, session, delivery),
            Owner::Refer(session) => self.refer_response(now, session, delivery),
            Owner::Notify(session) => self.notify_response(session, delivery.response.status),
            Owner::Prack(session) => self.prack_response(now, session, delivery),
            Owner::Register(registration) => self.register_response(now, registration, delivery),
            Owner::Probe(probe) => self.probe_response(probe, &delivery),
            Owner::Watcher(subscription) => self.watcher_response(subscription, &delivery),
            Owner::Subscribe(watch) => self.subscribe_response(now, watch, delivery),
            Owner::Message(id) => self.message_response(now, id, None, &delivery),
            Owner::MessageWithin(id, session) => self.message_response(now, id, Some(session), &delivery),
            Owner::Nobody => {}
        }
    }

    /// No response will come.
    fn client_failed(&mut self, now: Tick, owner: Owner, failed: Failed) {
        match owner {
            Owner::Invite(session) => self.invite_failed(now, session, failed),
            Owner::Reinvite(session) => self.reinvite_failed(now, session, failed),
            Owner::Bye(session) => self.remove_session(session),
            Owner::Refresh(session) => self.refresh_failed(now, session, failed),
            Owner::Refer(session) => self.refer_failed(now, session, failed),
            Owner::Notify(session) => self.notify_response(session, failed.status()),
            Owner::Register(registration) => self.register_failed(now, registration, None, None),
            Owner::Probe(id) => self.emit(Event::Probed { id, status: None }),
            Owner::Watcher(subscription) => self.watcher_failed(subscription, failed),
            Owner::Subscribe(watch) => self.watch_later(now, watch),
            Owner::Message(id) | Owner::MessageWithin(id, _) => self.message_failed(id, failed),
            // The peer gives its INVITE up, or sends its response again.
            Owner::Prack(_) | Owner::Nobody => {}
        }
    }

    fn transactions(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    fn transmit(&mut self, flow: Flow, bytes: Vec<u8>) {
        self.out.push_back(Output::Transmit { flow, bytes });
    }

    fn emit(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    const fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn tag(&mut self) -> String {
        let mut tag = String::with_capacity(20);
        push_hex(&mut tag, u64::from(self.config.shard), 4);
        push_hex(&mut tag, self.entropy.next_u64(), 16);
        tag
    }

    /// The headers that every request of ours within or before a dialog has, and its body.
    fn finish_request(&self, request: &mut Request, contact: &str, body: Option<Body>) {
        request.headers.push("Contact", contact);
        request.headers.push("Allow", &self.allow);
        // Without an offer in our INVITE a reliable response would carry one, and its PRACK the program's answer (RFC 3262 section 5).
        let is_first = request.method == Method::Invite && request.headers.to_tag().is_none();
        let supported = if is_first && body.is_some() { &self.supported_reliable } else { &self.supported };
        request.headers.push("Supported", supported);
        request.headers.push("User-Agent", &self.config.user_agent);
        if let Some(body) = body {
            request.set_body(&body.content_type, body.bytes);
        }
    }
}

/// The body of a message, where it has one.
fn body_of(headers: &Headers, bytes: &[u8]) -> Option<Body> {
    if bytes.is_empty() {
        return None;
    }
    let content_type = headers.content_type().unwrap_or("application/octet-stream").to_owned();
    Some(Body { content_type, bytes: bytes.to_vec() })
}

/// The session description of a message, where it has one that can be taken: the answer to an offer that comes in any other way
/// is none. Requests that could be refused have been looked at before.
fn description_of(headers: &Headers, bytes: &[u8]) -> Option<Body> {
    let found = crate::body::description(headers, bytes).ok().flatten()?;
    Some(Body { content_type: Body::SDP.to_owned(), bytes: found.to_vec() })
}
