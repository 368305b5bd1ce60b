//! A start: from nothing, or from what the log tells of the life before.

use offhook_acd::{Acd, AgentKind, Command, FlowOut, Left, Refusal};
use offhook_sip::Binding;
use offhook_units::{ContactId, Entropy, IdSource, Tick};

use super::{Exchange, Output, Role};
use crate::callback::Callbacks;
use crate::config::{self, Config, Login};
use crate::event::{CallEvent, LogEvent};
use crate::record::{CallEnd, Fold};

/// What a life before left behind.
pub struct Recovered {
    /// The distributor as its events tell.
    pub acd: Acd,
    /// The calls as their events tell.
    pub fold: Fold,
    /// Phones that were registered.
    pub bindings: Vec<Binding>,
    /// Callbacks that are open; their numbers are to be told from the sealed table.
    pub callbacks: Callbacks,
}

impl Recovered {
    /// Folds a log from its beginning.
    pub fn replay(log: impl IntoIterator<Item = (Tick, LogEvent)>, bindings: Vec<Binding>) -> Self {
        let mut fold = Fold::default();
        let (mut acd, mut callbacks) = (Vec::new(), Callbacks::default());
        for (at, event) in log {
            match event {
                LogEvent::Acd(event) => acd.push((at, event)),
                LogEvent::Call(event) => {
                    fold.apply(at, &event);
                }
                LogEvent::Callback(event) => callbacks.apply(at, &event),
                LogEvent::Alarm(_) => {}
            }
        }
        Self { acd: Acd::replay(0, acd), fold, bindings, callbacks }
    }
}

impl Exchange {
    /// An exchange that goes on from `recovered`: calls that were open are ended as lost, their dialogs with BYE; queues
    /// and agents are as configured; agents' states and phones are as they were.
    pub fn recover(now: Tick, config: Config, ids: IdSource, entropy: Entropy, mut recovered: Recovered) -> Self {
        let bindings = core::mem::take(&mut recovered.bindings);
        let mut exchange = Self::empty(config, ids, entropy, recovered);
        for binding in bindings {
            let kept = binding.clone();
            match exchange.registrar.restore(binding) {
                Some(lost) => exchange.outputs.push_back(Output::Binding(lost)),
                None => exchange.keep_open(now, &kept),
            }
        }
        exchange.end_lost_calls(now);
        exchange.apply_config(now);
        exchange.resume_callbacks(now);
        exchange.forget_the_gone(now);
        exchange.start_trunks(now);
        exchange.fire(now);
        exchange.pump(now);
        exchange
    }

    fn end_lost_calls(&mut self, now: Tick) {
        let lost: Vec<_> = self.fold.open().cloned().collect();
        for open in lost {
            let (id, contacts) = (open.record.id, open.contacts.clone());
            for dialog in open.into_dialogs() {
                let session = self.endpoint.adopt(now, dialog);
                self.sessions.insert(session, (id, Role::Orphan));
                self.endpoint.hang_up(now, session, Some("Q.850;cause=41;text=\"Temporary failure\"".to_owned()));
            }
            for contact in contacts {
                self.end_lost_contact(now, contact);
            }
            self.note(now, CallEvent::Ended { call: id, end: CallEnd::Lost });
        }
    }

    fn end_lost_contact(&mut self, now: Tick, contact: ContactId) {
        let leave = Command::Leave { contact, outcome: Left::FlowedOut(FlowOut::Lost) };
        if self.tell(now, leave) == Err(Refusal::BeingServed(contact)) {
            // Cannot be refused: it was being served a line ago.
            let _served = self.tell(now, Command::Finish { contact });
        }
    }

    fn apply_config(&mut self, now: Tick) {
        let queues: Vec<_> = self.config.queues.iter().map(|queue| Command::AddQueue(queue.acd.clone())).collect();
        let agents: Vec<_> = self.config.agents.iter().map(|agent| (agent.acd.clone(), agent.login)).collect();
        for queue in queues {
            // The configuration was checked as a whole: ids are unique, limits kept.
            let _checked = self.tell(now, queue);
        }
        for (agent, login) in agents {
            let id = agent.id;
            // As above.
            let _checked = self.tell(now, Command::AddAgent(agent));
            let logged_in = self.acd.agent_state(id).is_some_and(|state| state.kind != AgentKind::LoggedOut);
            if login == Login::AtStart && !logged_in {
                // As above.
                let _checked = self.tell(now, Command::LogIn { agent: id });
            }
        }
        self.apply_lending(now);
        self.apply_external(now);
        // Calls do not outlive a restart, and nobody is kept from the queues by one.
        for agent in self.agents.keys().copied().collect::<Vec<_>>() {
            self.bring_back(now, agent);
        }
        for account in self.accounts.keys().cloned().collect::<Vec<_>>() {
            self.follow_phone(now, &account);
        }
    }

    /// Terms and loans as configured. What is so already is no event; what is not any more goes first, so that no order of changes is
    /// refused for what was.
    pub(super) fn apply_lending(&mut self, now: Tick) {
        let config::Lending { terms, loans } = self.config.lending.clone();
        for queue in self.queues.keys().copied().collect::<Vec<_>>() {
            let terms = terms.iter().find(|(id, _)| *id == queue).map(|(_, terms)| *terms);
            // The configuration was checked as a whole.
            let _checked = self.tell(now, Command::SetLending { queue, terms });
        }
        let places = self.config.agents.iter().map(|agent| &agent.acd);
        let places = places.flat_map(|agent| agent.queues.iter().map(|place| (agent.id, place.queue)));
        let over = places.filter(|(agent, queue)| {
            let wanted = loans.iter().find(|(who, to, _)| who == agent && to == queue).map(|(.., by)| *by);
            self.acd.lender(*agent, *queue).is_some_and(|(by, _)| Some(by) != wanted)
        });
        for (agent, queue) in over.collect::<Vec<_>>() {
            // As above.
            let _checked = self.tell(now, Command::Lend { agent, queue, by: None });
        }
        for (agent, queue, by) in loans {
            // As above.
            let _checked = self.tell(now, Command::Lend { agent, queue, by: Some(by) });
        }
    }
}
