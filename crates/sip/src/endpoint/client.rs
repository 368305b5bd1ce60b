//! Client transactions: sending requests, matching responses, carrying out what the machines say.

use offhook_units::{Tick, push_hex};

use super::event::{MessageId, ProbeId, RegistrationId, SessionId, SubscriptionId, WatchId};
use super::{Endpoint, Output};
use crate::dialog::MAX_FORWARDS;
use crate::transaction::{Alarms, ClientAction, Timer, TimerKey, client_invite, client_non_invite};
use crate::{Flow, Method, NameAddr, Request, Response, Via};

/// Most 2xx with different tags to one INVITE that are told apart; a proxy that forks further is not answered.
pub const FORKS_MAX: usize = 8;
/// What every branch begins with, RFC 3261 section 8.1.1.7.
const COOKIE: &str = "z9hG4bK";

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A session's first INVITE.
    Invite(SessionId),
    /// A session's re-INVITE.
    Reinvite(SessionId),
    /// A session's BYE.
    Bye(SessionId),
    /// A session's UPDATE that refreshes it.
    Refresh(SessionId),
    /// A session's REFER.
    Refer(SessionId),
    /// A session's NOTIFY on the peer's REFER.
    Notify(SessionId),
    /// A session's PRACK.
    Prack(SessionId),
    /// A registration's.
    Register(RegistrationId),
    /// An OPTIONS to see whether somebody is there.
    Probe(ProbeId),
    /// A NOTIFY to a subscriber of ours.
    Watcher(SubscriptionId),
    /// A SUBSCRIBE of ours.
    Subscribe(WatchId),
    /// A text's.
    Message(MessageId),
    /// A text's within a session.
    MessageWithin(MessageId, SessionId),
    /// Nobody's: CANCEL, and the BYE to a fork.
    Nobody,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Machine {
    Invite(client_invite::State),
    NonInvite(client_non_invite::State),
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) machine: Machine,
    pub(super) flow: Flow,
    /// The datagrams that a large request goes as where the peer takes no connection.
    pub(super) fallback: Option<Flow>,
    owner: Owner,
    /// How often this request was sent with credentials.
    tries: u8,
    /// For ACK, CANCEL and a second try; none after the final response, but for an INVITE's 2xx.
    pub(super) request: Option<Box<Request>>,
    /// The request; after a failure of an INVITE its ACK.
    pub(super) bytes: Vec<u8>,
    /// ACKs to the 2xx of an INVITE by To tag, to be sent again with each retransmission.
    acks: Vec<(Box<str>, Flow, Vec<u8>)>,
    /// Starts of the retransmission timer.
    pub(super) sent: u32,
    alarms: Alarms<2>,
}

/// What a client transaction hands to the core.
pub(super) struct Delivery {
    pub tx: u64,
    pub owner: Owner,
    pub response: Box<Response>,
    /// With a final response other than 2xx to INVITE.
    pub request: Option<Box<Request>>,
    pub tries: u8,
}

impl Endpoint {
    /// Sends a request in a transaction of its own.
    pub(super) fn start_client(&mut self, now: Tick, flow: Flow, request: Request, owner: Owner, tries: u8) -> u64 {
        // The lowest bit tells a CANCEL from the INVITE whose branch it shares.
        let id = self.entropy.next_u64() & !1;
        self.start_client_as(now, id, flow, request, owner, tries)
    }

    fn start_client_as(
        &mut self,
        now: Tick,
        id: u64,
        flow: Flow,
        mut request: Request,
        owner: Owner,
        tries: u8,
    ) -> u64 {
        let is_invite = request.method == Method::Invite;
        if request.method != Method::Cancel {
            request.headers.push_via(&Via::new(flow.transport.name(), flow.local, &self.branch(id)));
        }
        let mut bytes = request.to_bytes();
        let (mut flow, mut fallback) = (flow, None);
        if let Some(stream) = self.stream_for(now, flow, bytes.len()) {
            request.headers.set_top_via(&Via::new(stream.transport.name(), stream.local, &self.branch(id)));
            bytes = request.to_bytes();
            fallback = Some(core::mem::replace(&mut flow, stream));
        }
        self.transmit(flow, bytes.clone());
        let (machine, repeat, give_up) = if is_invite {
            (Machine::Invite(client_invite::State::Calling), Timer::A, Timer::B)
        } else {
            (Machine::NonInvite(client_non_invite::State::Trying), Timer::E, Timer::F)
        };
        let request = Some(Box::new(request));
        let (acks, alarms) = (Vec::new(), Alarms::default());
        let client = Client { machine, flow, fallback, owner, tries, request, bytes, acks, sent: 0, alarms };
        self.clients.insert(id, client);
        self.flows.insert((flow, id));
        self.start_client_timer(now, id, repeat);
        self.start_client_timer(now, id, give_up);
        id
    }

    /// CANCEL for a running INVITE, RFC 3261 section 9.1. The INVITE is given up when no final response follows.
    pub(super) fn cancel_client(&mut self, now: Tick, invite: u64, reason: Option<&str>) {
        let Some(client) = self.clients.get(&invite) else { return };
        let (flow, Some(original)) = (client.flow, &client.request) else { return };
        let mut request = Request::new(Method::Cancel, original.uri.clone());
        if let Ok(via) = original.headers.top_via() {
            request.headers.push_via(&via);
        }
        for name in ["Route", "From", "To", "Call-ID"] {
            request.headers.copy_from(&original.headers, name);
        }
        request.headers.push("Max-Forwards", MAX_FORWARDS);
        request.headers.set_cseq(original.headers.cseq().map_or(1, |(number, _)| number), &Method::Cancel);
        if let Some(reason) = reason {
            request.headers.push("Reason", reason);
        }
        self.start_client_as(now, invite | 1, flow, request, Owner::Nobody, 0);
        self.abandon_client(now, invite);
    }

    /// Gives a running INVITE 64·T1 more for its final response.
    pub(super) fn abandon_client(&mut self, now: Tick, id: u64) {
        use client_invite::State::{Calling, Proceeding};
        let runs = |client: &Client| matches!(client.machine, Machine::Invite(Calling | Proceeding));
        if self.clients.get(&id).is_some_and(runs) {
            self.start_client_timer(now, id, Timer::Abandon);
        }
    }

    /// The core's ACK to a 2xx, kept for retransmissions of it.
    pub(super) fn send_ack(&mut self, tx: u64, tag: &str, flow: Flow, ack: Request) {
        let bytes = self.sign_off(flow, ack);
        if let Some(client) = self.clients.get_mut(&tx) {
            client.acks.push((tag.into(), flow, bytes.clone()));
        }
        self.transmit(flow, bytes);
    }

    fn sign_off(&mut self, flow: Flow, mut request: Request) -> Vec<u8> {
        let branch = self.entropy.next_u64();
        request.headers.push_via(&Via::new(flow.transport.name(), flow.local, &self.branch(branch)));
        request.to_bytes()
    }

    fn branch(&self, id: u64) -> String {
        let mut branch = String::with_capacity(COOKIE.len() + 20);
        branch.push_str(COOKIE);
        push_hex(&mut branch, u64::from(self.config.shard), 4);
        push_hex(&mut branch, id, 16);
        branch
    }

    /// Requests of this owner are waited for no more.
    pub(super) fn drop_clients_of(&mut self, owner: Owner) {
        let theirs = self.clients.iter().filter(|(_, client)| client.owner == owner);
        for id in theirs.map(|(id, _)| *id).collect::<Vec<u64>>() {
            let Some(mut client) = self.clients.remove(&id) else { continue };
            self.timers.stop_all(&mut client.alarms);
            self.flows.remove(&(client.flow, id));
        }
    }

    /// A response came in.
    pub(super) fn receive_response(&mut self, now: Tick, response: Response) {
        let id = response.headers.top_branch().and_then(|branch| self.client_of(branch, &response));
        let Some(id) = id else {
            self.load.strays_total += 1;
            return;
        };
        let Some(client) = self.clients.get_mut(&id) else { return };
        let actions = match client.machine {
            Machine::Invite(state) => {
                let (state, actions) = client_invite::step(state, client_invite::Input::of_status(response.status));
                client.machine = Machine::Invite(state);
                actions
            }
            Machine::NonInvite(state) => {
                let input = client_non_invite::Input::of_status(response.status);
                let (state, actions) = client_non_invite::step(state, input);
                client.machine = Machine::NonInvite(state);
                actions
            }
        };
        self.carry_out(now, id, actions, Some(Box::new(response)));
    }

    /// The transaction whose branch it is, if the method agrees (RFC 3261 section 17.1.3).
    fn client_of(&self, branch: &str, response: &Response) -> Option<u64> {
        let (shard, id) = branch.strip_prefix(COOKIE)?.split_at_checked(4)?;
        if u16::from_str_radix(shard, 16).ok()? != self.config.shard || id.len() != 16 {
            return None;
        }
        let (_, method) = response.headers.cseq().ok()?;
        let id = u64::from_str_radix(id, 16).ok()? | u64::from(method == Method::Cancel);
        let is_invite = matches!(self.clients.get(&id)?.machine, Machine::Invite(_));
        (is_invite == (method == Method::Invite)).then_some(id)
    }

    pub(super) fn client_timer(&mut self, now: Tick, id: u64, timer: Timer) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let actions = match client.machine {
            Machine::Invite(state) => client_invite::Input::of_timer(timer).map(|input| {
                let (state, actions) = client_invite::step(state, input);
                client.machine = Machine::Invite(state);
                actions
            }),
            Machine::NonInvite(state) => client_non_invite::Input::of_timer(timer).map(|input| {
                let (state, actions) = client_non_invite::step(state, input);
                client.machine = Machine::NonInvite(state);
                actions
            }),
        };
        self.carry_out(now, id, actions.unwrap_or_default(), None);
    }

    pub(super) fn client_transport_failed(&mut self, now: Tick, id: u64) {
        if self.fall_back(now, id) {
            return;
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        let actions = match client.machine {
            Machine::Invite(state) => {
                let (state, actions) = client_invite::step(state, client_invite::Input::TransportError);
                client.machine = Machine::Invite(state);
                actions
            }
            Machine::NonInvite(state) => {
                let (state, actions) = client_non_invite::step(state, client_non_invite::Input::TransportError);
                client.machine = Machine::NonInvite(state);
                actions
            }
        };
        self.carry_out(now, id, actions, None);
    }

    fn carry_out(&mut self, now: Tick, id: u64, actions: &[ClientAction], response: Option<Box<Response>>) {
        let mut deliver = false;
        let mut failed = None;
        for action in actions {
            match action {
                ClientAction::SendAgain => self.send_client_again(id),
                ClientAction::Acknowledge => self.acknowledge_failure(id, response.as_deref()),
                ClientAction::Deliver => deliver = true,
                ClientAction::Start(timer) => self.start_client_timer(now, id, *timer),
                ClientAction::Stop(timer) => {
                    if let Some(client) = self.clients.get_mut(&id) {
                        self.timers.stop(&mut client.alarms, TimerKey::Client(id, *timer));
                    }
                }
                ClientAction::TimedOut => failed = Some(Failed::TimedOut),
                ClientAction::TransportFailed => failed = Some(Failed::Transport),
            }
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        let owner = client.owner;
        if matches!(
            client.machine,
            Machine::Invite(client_invite::State::Terminated)
                | Machine::NonInvite(client_non_invite::State::Terminated)
        ) {
            self.timers.stop_all(&mut client.alarms);
            self.flows.remove(&(client.flow, id));
            self.clients.remove(&id);
        } else if let (true, Some(response)) = (deliver, response) {
            match client.delivery(id, response) {
                Ok(delivery) => return self.deliver(now, delivery),
                Err(Absorbed(ack)) => self.out.extend(ack),
            }
        }
        if let Some(failed) = failed {
            self.client_failed(now, owner, failed);
        }
    }

    fn send_client_again(&mut self, id: u64) {
        if let Some(client) = self.clients.get(&id) {
            self.out.push_back(Output::Transmit { flow: client.flow, bytes: client.bytes.clone() });
        }
    }

    /// ACK to a non-2xx, RFC 3261 section 17.1.1.3.
    fn acknowledge_failure(&mut self, id: u64, response: Option<&Response>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if let (Some(request), Some(response)) = (&client.request, response) {
            let mut ack = Request::new(Method::Ack, request.uri.clone());
            if let Ok(via) = request.headers.top_via() {
                ack.headers.push_via(&via);
            }
            ack.headers.copy_from(&request.headers, "Route");
            ack.headers.push("Max-Forwards", MAX_FORWARDS);
            ack.headers.copy_from(&request.headers, "From");
            ack.headers.copy_from(&response.headers, "To");
            ack.headers.copy_from(&request.headers, "Call-ID");
            ack.headers.set_cseq(request.headers.cseq().map_or(1, |(number, _)| number), &Method::Ack);
            client.bytes = ack.to_bytes();
        }
        self.send_client_again(id);
    }

    pub(super) fn start_client_timer(&mut self, now: Tick, id: u64, timer: Timer) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let sent = match (client.machine, timer) {
            // RFC 3261 section 17.1.2.2: T2 once a provisional response came.
            (Machine::NonInvite(client_non_invite::State::Proceeding), Timer::E) => u32::MAX,
            _ => client.sent,
        };
        client.sent += u32::from(timer.slot() == 0);
        let key = TimerKey::Client(id, timer);
        match self.times.span(timer, sent, client.flow.transport.is_reliable()) {
            Some(span) => self.timers.start(&mut client.alarms, key, now + span),
            None => self.timers.stop(&mut client.alarms, key),
        }
    }
}

impl Client {
    /// What of a response goes to the core. A 2xx that the core has acknowledged before is answered by the same ACK.
    fn delivery(&mut self, tx: u64, response: Box<Response>) -> Result<Delivery, Absorbed> {
        let is_success_of_invite = matches!(self.machine, Machine::Invite(client_invite::State::Accepted));
        let request = if is_success_of_invite {
            let tag = response.headers.to_tag().unwrap_or_default();
            if let Some((_, flow, bytes)) = self.acks.iter().find(|(known, ..)| **known == *tag) {
                return Err(Absorbed(Some(Output::Transmit { flow: *flow, bytes: bytes.clone() })));
            }
            if self.acks.len() >= FORKS_MAX {
                return Err(Absorbed(None));
            }
            None
        } else if response.status >= 200 {
            if matches!(self.machine, Machine::NonInvite(_)) {
                self.bytes = Vec::new();
            }
            self.request.take()
        } else {
            None
        };
        Ok(Delivery { tx, owner: self.owner, response, request, tries: self.tries })
    }
}

/// A 2xx that needs no core, and the ACK that goes out again.
struct Absorbed(Option<Output>);

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// Nobody answered.
    TimedOut,
    /// The transport failed.
    Transport,
}

impl Failed {
    /// What a core is told instead of a response, RFC 3261 section 8.1.3.1.
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::TimedOut => 408,
            Self::Transport => 503,
        }
    }
}

/// ACK and BYE to a 2xx of a branch that a proxy forked to and that we do not want, RFC 3261 section 13.2.2.4.
pub(super) fn fork_dialog(invite: &Request, flow: Flow) -> Option<crate::dialog::Dialog> {
    let from: NameAddr = invite.headers.from().ok()?;
    let tag = from.tag()?.to_owned();
    let contact = invite.headers.contacts().ok()?.into_iter().next()?.uri;
    let to = invite.headers.to().ok()?;
    let call_id = invite.headers.call_id()?.to_owned();
    Some(crate::dialog::Dialog::outgoing(call_id, &tag, from, &to, invite.uri.clone(), contact, flow))
}

impl Endpoint {
    /// The INVITE of a transaction that absorbs 2xx.
    pub(super) fn invite_of(&self, tx: u64) -> Option<(&Request, Flow)> {
        let client = self.clients.get(&tx)?;
        Some((client.request.as_deref()?, client.flow))
    }
}
