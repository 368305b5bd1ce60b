//! Server transactions: matching requests, sending responses, carrying out what the machines say; and refusing without state.

use offhook_units::Tick;

use super::event::SessionId;
use super::key::{Key, Keys};
use super::session::{Change, Referred, Session};
use super::{Endpoint, Output};
use crate::headers::NameAddrRef;
use crate::transaction::{Alarms, ServerAction, Timer, TimerKey, server_invite, server_non_invite};
use crate::uri::push_digits;
use crate::{Flow, Method, Request, Response, Via, reason_phrase};

#[derive(Debug, Clone, Copy)]
enum Machine {
    Invite(server_invite::State),
    NonInvite(server_non_invite::State),
}

#[derive(Debug)]
pub(super) struct Server {
    machine: Machine,
    key: Key,
    /// See [`Keys::merge`]; only outside of a dialog.
    merge: Option<Key>,
    flow: Flow,
    /// What all responses have in common; none after the final one.
    template: Option<Box<Response>>,
    /// The last response.
    bytes: Vec<u8>,
    /// Whose request it is, within a dialog or an INVITE.
    session: Option<SessionId>,
    /// Starts of the retransmission timer.
    sent: u32,
    alarms: Alarms<2>,
}

impl Keys {
    /// What names a server transaction, RFC 3261 section 17.2.3: branch, sent-by and method, ACK counting as INVITE. Without the
    /// magic cookie the branch says nothing; then Call-ID, `CSeq`, From tag and the whole Via do (RFC 2543).
    pub(super) fn transaction(&self, request: &Request, via: &Via, method: &Method) -> Key {
        let method = if *method == Method::Ack { "INVITE" } else { method.as_str() };
        let mut port = String::with_capacity(5);
        push_digits(&mut port, u32::from(via.port.unwrap_or(5060)));
        let is_unique = |branch: &&str| branch.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("z9hG4bK"));
        if let Some(branch) = via.branch().filter(is_unique) {
            return self.of(&[branch, &via.host, &port, method]);
        }
        let headers = &request.headers;
        let (call_id, from) = (headers.call_id().unwrap_or_default(), headers.from_tag().unwrap_or_default());
        let cseq = headers.cseq().map_or(0, |(number, _)| number).to_string();
        self.of(&[call_id, &cseq, from, &via.host, &port, via.branch().unwrap_or_default(), method])
    }

    /// What two requests have in common that a proxy forked and that met again here, RFC 3261 section 8.2.2.2.
    fn merge(&self, request: &Request) -> Option<Key> {
        let headers = &request.headers;
        let (cseq, call_id) = (headers.get("CSeq")?, headers.call_id()?);
        Some(self.of(&[headers.from_tag()?, call_id, cseq]))
    }
}

impl Endpoint {
    /// The running transaction that a request belongs to.
    pub(super) fn server_of(&self, key: Key) -> Option<u64> {
        self.server_keys.get(&key).copied()
    }

    /// Whether this is another branch of a request that is being handled.
    pub(super) fn is_merged(&self, request: &Request) -> bool {
        self.keys.merge(request).is_some_and(|key| self.merges.contains_key(&key))
    }

    /// Begins a transaction. Responses get `tag` where To has none.
    pub(super) fn open_server(
        &mut self,
        now: Tick,
        flow: Flow,
        key: Key,
        request: &Request,
        tag: &str,
        session: Option<SessionId>,
    ) -> u64 {
        let id = self.next_id();
        let is_outside = request.headers.to_tag().is_none();
        let merge = if is_outside { self.keys.merge(request) } else { None };
        let mut template = Response::to_request(request, 200);
        tag_response(&mut template, tag);
        let machine = if request.method == Method::Invite {
            Machine::Invite(server_invite::State::Proceeding)
        } else {
            Machine::NonInvite(server_non_invite::State::Trying)
        };
        self.server_keys.insert(key, id);
        if let Some(merge) = merge {
            self.merges.insert(merge, id);
        }
        let (template, bytes, alarms) = (Some(Box::new(template)), Vec::new(), Alarms::default());
        self.servers.insert(id, Server { machine, key, merge, flow, template, bytes, session, sent: 0, alarms });
        if request.method != Method::Invite {
            self.start_server_timer(now, id, Timer::Abandon);
        }
        id
    }

    /// Gives a response to a transaction that still waits for one.
    pub(super) fn reply(&mut self, now: Tick, id: u64, status: u16, edit: impl FnOnce(&mut Response)) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let template = if status < 200 { server.template.clone() } else { server.template.take() };
        let Some(mut response) = template else { return };
        response.status = status;
        reason_phrase(status).clone_into(&mut response.reason);
        if !(101..300).contains(&status) {
            // RFC 3261 section 12.1.1 wants the route set in responses that make a dialog.
            response.headers.remove("Record-Route");
        }
        if status > 100 {
            response.headers.push("Server", &self.config.user_agent);
        }
        edit(&mut response);
        self.reply_with(now, id, &response);
    }

    /// As [`Self::reply`], with a response made by the program.
    pub(super) fn reply_with(&mut self, now: Tick, id: u64, response: &Response) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let actions = match server.machine {
            Machine::Invite(state) => {
                let (state, actions) = server_invite::step(state, server_invite::Input::of_status(response.status));
                server.machine = Machine::Invite(state);
                actions
            }
            Machine::NonInvite(state) => {
                let (state, actions) = server_non_invite::step(state, server_non_invite::Input::Final);
                server.machine = Machine::NonInvite(state);
                actions
            }
        };
        if actions.contains(&ServerAction::Respond) {
            server.bytes = response.to_bytes();
        }
        if response.status >= 200 {
            server.template = None;
        }
        self.carry_out_server(now, id, actions, None);
    }

    /// Whether a transaction still waits for its final response, and what responses have in common.
    pub(super) fn waiting_template(&self, id: u64) -> Option<&Response> {
        self.servers.get(&id)?.template.as_deref()
    }

    /// The core's 2xx once more, RFC 3261 section 13.3.1.4.
    pub(super) fn repeat_success(&mut self, now: Tick, id: u64) {
        self.server_input(now, id, Some(server_invite::Input::Success), None, None);
    }

    /// The last provisional response once more.
    pub(super) fn repeat_provisional(&mut self, id: u64) {
        if let Some(server) = self.servers.get(&id).filter(|server| !server.bytes.is_empty()) {
            self.out.push_back(Output::Transmit { flow: server.flow, bytes: server.bytes.clone() });
        }
    }

    /// The last response of a transaction.
    pub(super) fn last_response(&self, id: u64) -> &[u8] {
        self.servers.get(&id).map_or(&[], |server| &server.bytes)
    }

    /// Sends a response of a transaction once more that need not be its last one.
    pub(super) fn transmit_for(&mut self, id: u64, bytes: Vec<u8>) {
        if let Some(server) = self.servers.get(&id) {
            self.out.push_back(Output::Transmit { flow: server.flow, bytes });
        }
    }

    /// The request came once more.
    pub(super) fn request_again(&mut self, now: Tick, id: u64) {
        use server_invite::Input::Invite;
        use server_non_invite::Input::Request;
        self.server_input(now, id, Some(Invite), Some(Request), None);
    }

    /// An ACK with the branch of an INVITE.
    pub(super) fn ack_to_server(&mut self, now: Tick, id: u64, ack: Request) {
        self.server_input(now, id, Some(server_invite::Input::Ack), None, Some(ack));
    }

    pub(super) fn server_timer(&mut self, now: Tick, id: u64, timer: Timer) {
        let (invite, other) = (server_invite::Input::of_timer(timer), server_non_invite::Input::of_timer(timer));
        self.server_input(now, id, invite, other, None);
    }

    fn server_input(
        &mut self,
        now: Tick,
        id: u64,
        invite: Option<server_invite::Input>,
        other: Option<server_non_invite::Input>,
        ack: Option<Request>,
    ) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let actions = match server.machine {
            Machine::Invite(state) => invite.map(|input| {
                let (state, actions) = server_invite::step(state, input);
                server.machine = Machine::Invite(state);
                actions
            }),
            Machine::NonInvite(state) => other.map(|input| {
                let (state, actions) = server_non_invite::step(state, input);
                server.machine = Machine::NonInvite(state);
                actions
            }),
        };
        self.carry_out_server(now, id, actions.unwrap_or_default(), ack);
    }

    fn carry_out_server(&mut self, now: Tick, id: u64, actions: &[ServerAction], mut ack: Option<Request>) {
        for action in actions {
            match action {
                ServerAction::Respond | ServerAction::SendAgain => self.repeat_provisional(id),
                ServerAction::Deliver => {
                    if let Some(ack) = ack.take() {
                        self.receive_session_ack(now, &ack);
                    }
                }
                ServerAction::Start(timer) => self.start_server_timer(now, id, *timer),
                ServerAction::Stop(timer) => {
                    if let Some(server) = self.servers.get_mut(&id) {
                        self.timers.stop(&mut server.alarms, TimerKey::Server(id, *timer));
                    }
                }
            }
        }
        let is_gone = self.servers.get(&id).is_some_and(|server| {
            matches!(
                server.machine,
                Machine::Invite(server_invite::State::Terminated)
                    | Machine::NonInvite(server_non_invite::State::Terminated)
            )
        });
        if is_gone {
            self.close_server(now, id);
        }
    }

    fn close_server(&mut self, now: Tick, id: u64) {
        let Some(mut server) = self.servers.remove(&id) else { return };
        self.timers.stop_all(&mut server.alarms);
        self.server_keys.remove(&server.key);
        if let Some(merge) = &server.merge {
            self.merges.remove(merge);
        }
        // An UPDATE or a REFER that the program did not answer blocks nothing.
        let Some(session_id) = server.session else { return };
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        if matches!(session.referred, Referred::Asked { tx, .. } if tx == id) {
            session.referred = Referred::Over;
        }
        if matches!(session.change, Change::Received { tx, .. } if tx == id) {
            session.change = Change::None;
            self.succeed(now, session_id);
        }
    }

    fn start_server_timer(&mut self, now: Tick, id: u64, timer: Timer) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let key = TimerKey::Server(id, timer);
        let span = self.times.span(timer, server.sent, server.flow.transport.is_reliable());
        server.sent += u32::from(timer.slot() == 0);
        match span {
            Some(span) => self.timers.start(&mut server.alarms, key, now + span),
            None => self.timers.stop(&mut server.alarms, key),
        }
    }

    /// Answers without keeping anything, RFC 3261 section 8.2.7: a retransmission is judged anew and gets the same answer,
    /// To tag included. So a flood of bad requests costs no memory.
    pub(super) fn reject(&mut self, flow: Flow, request: &Request, status: u16, headers: &[(&str, &str)]) {
        let tag = self.stateless_tag(request);
        let mut response = Response::to_request(request, status);
        tag_response(&mut response, &tag);
        for (name, value) in headers {
            response.headers.push(name, value);
        }
        response.headers.push("Server", &self.config.user_agent);
        self.load.rejected_total += 1;
        self.transmit(flow, response.to_bytes());
    }

    /// 200 to a CANCEL, with the To tag of the INVITE (RFC 3261 section 9.2).
    pub(super) fn accept_cancel(&mut self, flow: Flow, cancel: &Request, invite: u64) {
        let Some((_, session)) = self.session_of_server(invite) else {
            // The INVITE has its final response and its session is gone: there is no tag to agree with any more.
            let tag = self.stateless_tag(cancel);
            return self.reply_to_cancel(flow, cancel, &tag);
        };
        let tag = session.dialog.local_tag.clone();
        self.reply_to_cancel(flow, cancel, &tag);
    }

    fn reply_to_cancel(&mut self, flow: Flow, cancel: &Request, tag: &str) {
        let mut response = Response::to_request(cancel, 200);
        tag_response(&mut response, tag);
        response.headers.push("Server", &self.config.user_agent);
        self.transmit(flow, response.to_bytes());
    }

    /// The session whose INVITE it is.
    pub(super) fn session_of_server(&self, id: u64) -> Option<(SessionId, &Session)> {
        let session = self.servers.get(&id)?.session?;
        Some((session, self.sessions.get(&session)?))
    }

    /// The same for every retransmission of a request, and not to be guessed by others.
    fn stateless_tag(&self, request: &Request) -> String {
        let headers = &request.headers;
        let mut hash = self.secret;
        for text in [headers.call_id(), headers.get("CSeq"), headers.from_tag(), headers.top_branch()] {
            for byte in text.unwrap_or_default().bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5);
            }
        }
        format!("{:04x}{hash:016x}", self.config.shard)
    }
}

/// Adds the To tag where there is none yet.
pub(super) fn tag_response(response: &mut Response, tag: &str) {
    if response.headers.to_tag().is_some() {
        return;
    }
    let Some(to) = response.headers.get("To") else { return };
    // As text, so that the rest stays byte for byte; a bare URI's parameters are the header's own (RFC 3261 section 20.10).
    if NameAddrRef::parse(to).is_ok() {
        let tagged = [to, ";tag=", tag].concat();
        response.headers.set("To", &tagged);
    }
}
