//! Phones that register, requests outside of calls, and agents' logins.

use offhook_acd::{AgentKind, Command};
use offhook_sip::{Binding, Change, Flow, Method, Request, RequestId, Response, Uri};
use offhook_units::{AgentId, CallId, Span, Tick};

use super::incoming::RETRY_AFTER;
use super::subscriptions::PACKAGES;
use super::{Exchange, Output, WantedState};
use crate::config::Login;

/// Why an agent is not ready whose phone is in a call without a queue.
pub(super) const ON_THE_PHONE: &str = "on-the-phone";

/// How long after its time a connection without a keep-alive is closed, RFC 5626 section 5.4.
const FLOW_GRACE: Span = Span::from_s(10);

impl Exchange {
    /// A request outside of every dialog.
    pub(super) fn request(&mut self, now: Tick, id: RequestId, flow: Flow, request: &Request) {
        let response = match request.method {
            Method::Register => {
                let accounts = &self.config.accounts;
                let password = |user: &str| accounts.get(user).map(|account| account.password.as_str());
                let wrong = self.registrar.digest_counters().wrong;
                let (mut response, changes) = self.registrar.handle(now, flow, request, password);
                if self.registrar.digest_counters().wrong > wrong {
                    self.outputs.push_back(Output::WrongPassword { source: flow.peer.ip() });
                }
                if response.status == 200 {
                    self.counters.registrations += 1;
                    self.tell_relay(now, flow, request, &mut response);
                }
                self.on_bindings(now, changes);
                if response.headers.get("Flow-Timer").is_some() {
                    let within = self.config.registrar.flow_timer + FLOW_GRACE;
                    self.outputs.push_back(Output::ExpectAlive { flow, within });
                }
                response
            }
            // RFC 3261 section 11.2: as an INVITE would be answered.
            Method::Options if self.drain_by.is_some() => {
                let mut response = Response::to_request(request, 503);
                response.headers.push("Retry-After", &RETRY_AFTER.as_s().to_string());
                response
            }
            Method::Options => {
                let mut response = self.with_allow(Response::to_request(request, 200));
                response.headers.push("Allow-Events", PACKAGES);
                response
            }
            Method::Subscribe => return self.subscribe(now, id, flow, request),
            Method::Message => return self.text(now, id, flow, request),
            _ => self.with_allow(Response::to_request(request, 405)),
        };
        self.endpoint.respond(now, id, response);
    }

    /// Registrations came or went: agents who are logged in by their phone follow.
    pub(super) fn on_bindings(&mut self, now: Tick, changes: Vec<Change>) {
        for change in changes {
            self.follow_way(now, &change);
            let account = match &change {
                Change::Bound { account, binding } => {
                    self.follow_binding(account, binding);
                    account.clone()
                }
                Change::Unbound { account, .. } => account.clone(),
            };
            self.outputs.push_back(Output::Binding(change));
            self.follow_phone(now, &account);
        }
    }

    /// A phone may have registered from another place, as after a broken line: what it talks in goes on there. Behind proxies
    /// (RFC 3327) they know the way.
    fn follow_binding(&mut self, account: &str, binding: &Binding) {
        let Some(&agent) = self.accounts.get(account).filter(|_| binding.path.is_empty()) else { return };
        let Some(line) = self.agents.get(&agent).filter(|line| line.is_engaged()) else { return };
        let Ok(contact) = binding.contact.parse::<Uri>() else { return };
        for call in line.call.iter().chain(&line.direct).filter_map(|call| self.calls.get(call)) {
            let caller = (call.caller_agent == Some(agent)).then_some(call.caller.session);
            let other = call.other.as_ref().filter(|other| other.agent == Some(agent)).map(|other| other.leg.session);
            let guest = call.guests.iter().map(|guest| &guest.other).find(|guest| guest.agent == Some(agent));
            for session in caller.into_iter().chain(other).chain(guest.map(|guest| guest.leg.session)) {
                // Within one account: the GRUU of another's phone is none of ours.
                let is_instance = |name: &str| binding.is_instance(name);
                self.endpoint.follow_contact(session, &contact, is_instance, binding.flow);
            }
        }
    }

    /// Logs the agent of an account in or out as the phone is there or not.
    pub(super) fn follow_phone(&mut self, now: Tick, account: &str) {
        let Some(&agent) = self.accounts.get(account) else { return };
        self.watches.touch(agent);
        if self.agent(agent).is_none_or(|agent| agent.login != Login::WhenRegistered) || self.is_going(agent) {
            return;
        }
        let here = self.reachable(account).next().is_some();
        let logged_in = self.acd.agent_state(agent).is_some_and(|state| state.kind != AgentKind::LoggedOut);
        if here != logged_in {
            let command = if here { Command::LogIn { agent } } else { Command::LogOut { agent } };
            // Both are refused only for agents who were never added.
            let _known = self.tell(now, command);
        }
    }

    /// An agent's phone is in a call without a queue: nothing is offered meanwhile.
    pub(super) fn engage(&mut self, now: Tick, agent: AgentId, call: CallId) {
        if let Some(line) = self.agents.get_mut(&agent) {
            line.direct.insert(call);
        }
        self.changed.agents.insert(agent);
        self.watches.touch(agent);
        let state = self.acd.agent_state(agent).map(|state| state.kind);
        if matches!(state, Some(AgentKind::Available | AgentKind::Offered)) {
            self.occupy(now, agent);
        }
    }

    /// Takes an agent out of the distribution while the phone is in a call without a queue.
    pub(super) fn occupy(&mut self, now: Tick, agent: AgentId) {
        // Refused only for an agent who is not logged in: nothing is offered then either.
        let _logged_in = self.tell(now, Command::SetNotReady { agent, reason: ON_THE_PHONE.to_owned() });
    }

    /// A call of an agent's is over. Who was taken out of the distribution for it comes back.
    pub(super) fn disengage(&mut self, now: Tick, agent: AgentId, call: CallId) {
        let Some(line) = self.agents.get_mut(&agent) else { return };
        line.call = line.call.filter(|in_queue| *in_queue != call);
        let was_direct = line.direct.remove(&call);
        self.changed.agents.insert(agent);
        self.watches.touch(agent);
        if was_direct && line.direct.is_empty() {
            self.bring_back(now, agent);
        }
    }

    /// Makes an agent ready again who was not ready for a call's sake.
    pub(super) fn bring_back(&mut self, now: Tick, agent: AgentId) {
        let waits = |state: &offhook_acd::AgentState| {
            state.kind == AgentKind::NotReady && state.reason.as_deref() == Some(ON_THE_PHONE)
        };
        if !self.leaving.has_agent(agent) && self.acd.agent_state(agent).is_some_and(|state| waits(&state)) {
            // Not refused: the agent is logged in.
            let _ready = self.tell(now, Command::SetReady { agent });
        }
    }

    /// Whether an agent is out of the configuration, or has the phone of one who still talks there.
    fn is_going(&self, agent: AgentId) -> bool {
        self.leaving.has_agent(agent) || self.shares_phone_with_leaving(agent)
    }

    /// A person or a program changes an agent's state; an agent who is not known stays unknown, and one who is out of the configuration
    /// comes back to no queue.
    pub(super) fn set_agent(&mut self, now: Tick, agent: AgentId, to: WantedState) {
        if self.leaving.has_agent(agent) {
            return;
        }
        let logged_in = self.acd.agent_state(agent).is_some_and(|state| state.kind != AgentKind::LoggedOut);
        if !logged_in && to != WantedState::LoggedOut {
            // Refused only for an agent who was never added: then the next command is refused too.
            let _known = self.tell(now, Command::LogIn { agent });
        }
        let command = match to {
            WantedState::Available => Command::SetReady { agent },
            WantedState::NotReady { reason } => Command::SetNotReady { agent, reason },
            WantedState::LoggedOut => Command::LogOut { agent },
        };
        // The state that the agent is in then is seen by whoever asked.
        let _changed = self.tell(now, command);
    }

    /// Says what we understand, for OPTIONS and 405 (RFC 3261 section 11), as all our requests and refusals do.
    fn with_allow(&self, mut response: Response) -> Response {
        response.headers.push("Allow", self.endpoint.allow());
        response
    }
}
