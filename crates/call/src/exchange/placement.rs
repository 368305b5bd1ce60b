//! Waiting calls that somebody moves, and those that a program is asked about.

use offhook_acd::{Command, Explanation, Preferred, Refusal};
use offhook_units::{AgentId, CallId, ContactId, QueueId, Span, Tick};

use super::Exchange;
use super::elsewhere::{SENT_ELSEWHERE_MAX, Why};
use super::state::Stage;
use crate::config::Elsewhere;
use crate::guests::Denied;
use crate::placement::Placement;

impl Exchange {
    /// Somebody, or a program, says where a waiting call goes.
    pub(super) fn place(&mut self, now: Tick, id: CallId, by: Option<AgentId>, wish: Placement) -> Result<(), Denied> {
        let call = self.calls.get(&id).filter(|call| !call.is_ending()).ok_or(Denied::NoCall(id))?;
        if let Some(by) = by {
            let agent = self.agent(by).ok_or(Denied::NoAgent(by))?;
            if !agent.supervises.has(call.queue) {
                return Err(Denied::NotAllowed(agent.acd.name.clone()));
            }
        }
        let waits = matches!(call.stage, Stage::Queued { .. }) && call.calling_back.is_none();
        let contact = call.contact.filter(|_| waits).ok_or(Denied::NotWaiting)?;
        match wish {
            Placement::Agent(agent, wait) => {
                let to = self.preferred_now(agent, wait)?;
                self.tell_placed(now, agent, Command::Give { contact, to })
            }
            Placement::Answer(Some((agent, wait))) => {
                let to = Some(self.preferred_now(agent, wait)?);
                self.tell_placed(now, agent, Command::Direct { contact, to })
            }
            Placement::Answer(None) => {
                self.tell(now, Command::Direct { contact, to: None }).map_err(|_| Denied::NotAsked)
            }
            Placement::Queue(queue) => self.move_to(now, id, contact, queue),
        }
    }

    fn preferred_now(&self, agent: AgentId, wait: Span) -> Result<Preferred, Denied> {
        self.agent(agent).map(|_| Preferred { agent, wait }).ok_or(Denied::NoAgent(agent))
    }

    fn tell_placed(&mut self, now: Tick, agent: AgentId, command: Command) -> Result<(), Denied> {
        match self.tell(now, command) {
            Ok(()) => Ok(()),
            Err(Refusal::NotAsked(_)) => Err(Denied::NotAsked),
            Err(Refusal::CannotTake(_)) => {
                let name = self.agent(agent).map(|agent| agent.acd.name.clone()).unwrap_or_default();
                Err(Denied::CannotTake(name))
            }
            Err(_) => Err(Denied::NotWaiting),
        }
    }

    fn move_to(&mut self, now: Tick, id: CallId, contact: ContactId, queue: QueueId) -> Result<(), Denied> {
        if self.queue(queue).is_none() {
            return Err(Denied::NoQueue(queue));
        }
        if self.acd.waiting_in(contact).is_some_and(|(here, _)| here == queue) {
            return Err(Denied::Elsewhere("the call waits in that queue already"));
        }
        if !self.lets_in(now, queue) {
            return Err(Denied::Full("the queue lets nobody in now: it is closed or full, or nobody serves it"));
        }
        let sent_on = self.calls.get(&id).map_or(0, |call| call.sent_on);
        if sent_on >= SENT_ELSEWHERE_MAX {
            return Err(Denied::Full("the call was sent elsewhere too often"));
        }
        self.send_elsewhere(now, id, Elsewhere::Queue(queue), Why::MOVED);
        Ok(())
    }

    /// Why a call waits: how every member of its queue stands to it now. None where there is no such call, or it waits in no queue.
    pub fn explain(&self, call: CallId) -> Option<Explanation> {
        self.acd.explain(self.calls.get(&call)?.contact?)
    }

    /// Queues ask a program about each call, as configured.
    pub(super) fn apply_external(&mut self, now: Tick) {
        let asked: Vec<_> = self.config.queues.iter().map(|queue| (queue.acd.id, queue.external)).collect();
        for (queue, within) in asked {
            // The configuration was checked as a whole.
            let _checked = self.tell(now, Command::SetExternal { queue, within });
        }
    }
}
