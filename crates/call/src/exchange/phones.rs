//! Phones that register, requests outside of calls, and agents' logins.

use offhook_acd::{AgentKind, Command};
use offhook_sip::Change;
use offhook_sip::{Flow, Method, Request, RequestId, Response};
use offhook_units::{AgentId, Tick};

use super::{Exchange, Output, WantedState};
use crate::config::Login;

/// What we understand, for OPTIONS and 405 (RFC 3261 section 11).
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, INFO, UPDATE";

impl Exchange {
    /// A request outside of every dialog.
    pub(super) fn request(&mut self, now: Tick, id: RequestId, flow: Flow, request: &Request) {
        let response = match request.method {
            Method::Register => {
                let accounts = &self.config.accounts;
                let password = |user: &str| accounts.get(user).map(|account| account.password.as_str());
                let (response, changes) = self.registrar.handle(now, flow, request, password);
                if response.status == 200 {
                    self.counters.registrations += 1;
                }
                self.on_bindings(now, changes);
                response
            }
            Method::Options => with_allow(Response::to_request(request, 200)),
            _ => with_allow(Response::to_request(request, 405)),
        };
        self.endpoint.respond(now, id, response);
    }

    /// Registrations came or went: agents who are logged in by their phone follow.
    pub(super) fn on_bindings(&mut self, now: Tick, changes: Vec<Change>) {
        for change in changes {
            let account = match &change {
                Change::Bound { account, .. } | Change::Unbound { account, .. } => account.clone(),
            };
            self.outputs.push_back(Output::Binding(change));
            self.follow_phone(now, &account);
        }
    }

    /// Logs the agent of an account in or out as the phone is there or not.
    pub(super) fn follow_phone(&mut self, now: Tick, account: &str) {
        let Some(&agent) = self.accounts.get(account) else { return };
        if self.agent(agent).is_none_or(|agent| agent.login != Login::WhenRegistered) {
            return;
        }
        let here = self.registrar.bindings(account).next().is_some();
        let logged_in = self.acd.agent_state(agent).is_some_and(|state| state.kind != AgentKind::LoggedOut);
        if here != logged_in {
            let command = if here { Command::LogIn { agent } } else { Command::LogOut { agent } };
            // Both are refused only for agents who were never added.
            let _known = self.tell(now, command);
        }
    }

    /// A person or a program changes an agent's state; an agent who is not known stays unknown.
    pub(super) fn set_agent(&mut self, now: Tick, agent: AgentId, to: WantedState) {
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
}

fn with_allow(mut response: Response) -> Response {
    response.headers.push("Allow", ALLOW);
    response
}
