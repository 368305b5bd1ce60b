//! Attended transfer (RFC 5589 section 7): two calls of one phone become one without it; and `Replaces` (RFC 3891), by which a
//! phone of ours takes somebody's place in a call.
//!
//! The party that changes calls keeps its ports, its codec and its keys: its leg goes to the other call's worker as it is, and its
//! phone is told nothing (docs/decisions/0077).

use offhook_acd::Command;
use offhook_plan::{MediaCommand, Move};
use offhook_sip::{BodyFault, Flow, Replaces, Request, SessionId};
use offhook_units::{AgentId, CallId, Tick};

use super::placing::Refusal;
use super::state::{OpenLeg, Other, Stage, Whose};
use super::{Exchange, Output, Role};
use crate::event::{CallEvent, Party};
use crate::record::CallEnd;
use crate::timers::Kind;

/// What phones are told that stop ringing because somebody else has taken the call (RFC 3326).
pub(super) const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

impl Exchange {
    /// A phone in two calls leaves both, and those whom it talked to are joined. `session` asked for it, `replaces` names the
    /// phone's leg in the other call.
    pub(super) fn join(&mut self, now: Tick, id: CallId, session: SessionId, replaces: &Replaces) -> Result<(), u16> {
        let found = self.endpoint.replaced(replaces)?;
        let &(other, _) = self.sessions.get(&found).ok_or(481_u16)?;
        let (asks, consults) =
            (self.place_of(id, session).ok_or(481_u16)?, self.place_of(other, found).ok_or(481_u16)?);
        let is_same = (asks.agent.is_some() && asks.agent == consults.agent)
            || (asks.account.is_some() && asks.account == consults.account);
        if other == id || !is_same {
            return Err(403);
        }
        let talks = |id: &CallId| self.calls.get(id).is_some_and(|call| matches!(call.stage, Stage::Talking { .. }));
        if ![id, other].iter().all(talks) {
            return Err(481);
        }
        // What a queue gave to the phone goes on, whichever of the two calls asks; then what came from outside.
        let worth = |id: CallId, is_caller: bool| {
            let call = self.calls.get(&id);
            call.map(|call| {
                let fixed = is_caller && call.is_recorded_at_caller();
                (call.contact.is_some() && !is_caller, !fixed, call.queue.is_some(), call.trunk.is_some())
            })
        };
        let swapped = worth(other, consults.is_caller) > worth(id, asks.is_caller);
        let (stays, goes) = if swapped { ((other, found), (id, session)) } else { ((id, session), (other, found)) };
        self.bring_together(now, stays, goes, session, asks.agent)
    }

    /// Moves the party that the phone talks to in `goes` into `stays`, in the phone's place.
    fn bring_together(
        &mut self,
        now: Tick,
        (stays, seat): (CallId, SessionId),
        (goes, leaves): (CallId, SessionId),
        asked: SessionId,
        by: Option<AgentId>,
    ) -> Result<(), u16> {
        // The customer's seat is the recorded one: it cannot be given away.
        let is_fixed = |call: &super::state::Call| call.caller.session == seat && call.is_recorded_at_caller();
        if self.calls.get(&stays).is_none_or(is_fixed) {
            return Err(403);
        }
        self.turn_to_other(now, stays, seat);
        let stayed = self.calls.get(&goes).ok_or(481_u16)?;
        if stayed.other.as_ref().is_some_and(|other| other.leg.session == leaves) {
            // The phone leaves at the far end: what it was served with is over, and who called sits there instead.
            self.finish_contact(now, goes);
            let caller = self.calls.get(&goes).map(|call| call.caller.session).ok_or(481_u16)?;
            self.turn_to_other(now, goes, caller);
        }
        let moved = self.calls.get_mut(&goes).and_then(|call| call.other.take()).ok_or(481_u16)?;
        let party = moved.leg.session;
        self.finish_contact(now, stays);
        let left = self.calls.get_mut(&stays).and_then(|call| call.other.take());
        let to = moved.agent;
        self.move_party(goes, stays, moved);
        self.counters.transfers_done += 1;
        self.note(now, CallEvent::Transferred { call: stays, by, to, attended: true, status: 200 });
        self.confirm_dialog(now, stays, Party::Agent, party);
        self.talk_on(now, stays, to);
        self.endpoint.notify_refer(now, asked, 200);
        if let Some(left) = left {
            self.dismiss(now, stays, &left, None);
        }
        self.note(now, CallEvent::Joined { call: goes, into: stays });
        self.end_call(now, goes, CallEnd::Transferred, None);
        Ok(())
    }

    /// The party that changes calls sits down in the other one, and what belongs to it goes with it: leg, session, agent, contact,
    /// what it is charged for.
    fn move_party(&mut self, from: CallId, to: CallId, mut moved: Other) {
        let (party, leg, agent, trunk) = (moved.leg.session, moved.leg.id, moved.agent, moved.leg.trunk);
        let Some(worker) = self.calls.get(&to).map(|call| call.worker) else { return };
        let Some(call) = self.calls.get_mut(&from) else { return };
        let (contact, queue, queued_at) = (call.contact.take(), call.queue, call.queued_at);
        let charged = core::mem::take(&mut call.charged);
        let open = call.open_legs.remove(&leg);
        let goes = Move { from, leg, to, worker };
        self.outputs.push_back(Output::Media { worker: call.worker, command: MediaCommand::Move(goes) });
        self.moved.insert(leg, to);
        call.sessions.remove(&party);
        if let Some(contact) = contact {
            self.contacts.insert(contact, to);
        }
        self.sessions.insert(party, (to, Role::Dialled));
        self.show_phone(to, party, agent, trunk);
        if let Some(line) = agent.and_then(|agent| self.agents.get_mut(&agent)) {
            line.call = line.call.map(|call| if call == from { to } else { call });
            if line.direct.remove(&from) {
                line.direct.insert(to);
            }
        }
        let Some(call) = self.calls.get_mut(&to) else { return };
        if let Some(open) = open {
            let (party, whose) = (Some(Party::Agent), Whose::of(trunk, agent));
            call.open_legs.insert(leg, OpenLeg { party, whose, ..open });
        }
        moved.leg.moved = true;
        call.other = Some(moved);
        call.sessions.insert(party);
        call.contact = contact;
        call.queue = call.queue.or(queue);
        call.queued_at = call.queued_at.or(queued_at);
        let mut twice = Vec::new();
        for account in charged {
            if call.charged.contains(&account) {
                twice.push(account);
            } else {
                call.charged.push(account);
            }
        }
        self.discharge(twice);
        if let Some(trunk) = trunk {
            self.unseat(from, trunk);
            self.seat(to, trunk);
        }
    }

    /// The two in a call hear each other, with a talk of its own in the record.
    pub(super) fn talk_on(&mut self, now: Tick, id: CallId, agent: Option<AgentId>) {
        let music = self.music_for(id);
        let hold_music = self.playing(music);
        let Some(call) = self.calls.get(&id) else { return };
        let holds = |other: &Other| other.leg.negotiated.as_ref().is_some_and(|agreed| !agreed.direction.sends());
        let (holds, contact) = (call.other.as_ref().is_some_and(holds), call.contact);
        let (held_by_caller, held_by_other) = match call.stage {
            Stage::Talking { held_by_caller, held_by_other, .. } => (held_by_caller, held_by_other),
            Stage::Greeting { .. }
            | Stage::Queued { .. }
            | Stage::Dialling { .. }
            | Stage::Echo
            | Stage::Taken
            | Stage::CallingBack { .. }
            | Stage::Message { .. }
            | Stage::Ending => (false, false),
        };
        if held_by_other {
            self.note(now, CallEvent::Held { call: id, by: Party::Agent, on: false });
        }
        self.timers.disarm(id, Kind::Ring);
        self.timers.disarm(id, Kind::Failover);
        self.note(now, CallEvent::Connected { call: id, agent });
        self.enter(now, id, Stage::Talking { connected: now, hold_music, held_by_caller, held_by_other: holds });
        if holds {
            self.note(now, CallEvent::Held { call: id, by: Party::Agent, on: true });
            if let Some(contact) = contact {
                // A contact that just ended has no hold to count.
                let _ended = self.tell(now, Command::Hold { contact, on: true });
            }
        }
        self.replan(now, id);
    }

    /// An INVITE of the phone of `account` takes the place of a leg (RFC 3891): a call goes on at another phone, or a phone that
    /// rings without a queue is answered at this one.
    pub(super) fn take_place(
        &mut self,
        now: Tick,
        session: SessionId,
        flow: Flow,
        request: &Request,
        account: &str,
        replaces: &Replaces,
    ) -> Result<(), Refusal> {
        let found = self.endpoint.replaced(replaces)?;
        let &(id, _) = self.sessions.get(&found).ok_or(481_u16)?;
        // An agent's offer is nobody else's to take, and nobody steps into a transfer.
        let seat = self.place_of(id, found).ok_or(603_u16)?;
        let call = self.calls.get(&id).ok_or(481_u16)?;
        let pickup = match call.stage {
            Stage::Talking { .. } => false,
            Stage::Dialling { .. } if !seat.is_caller && call.transfer.is_none() => true,
            Stage::Greeting { .. }
            | Stage::Queued { .. }
            | Stage::Dialling { .. }
            | Stage::Echo
            | Stage::Taken
            | Stage::CallingBack { .. }
            | Stage::Message { .. }
            | Stage::Ending => return Err(603.into()),
        };
        // The recorded seat cannot be given away, and whoever is being served is no phone's to replace.
        if seat.is_caller && (call.is_recorded_at_caller() || call.contact.is_some()) {
            return Err(603.into());
        }
        let offer = request.description().map_err(BodyFault::status)?;
        let mut leg = self.make_leg(now, flow, self.account_srtp(account)).ok_or(503_u16)?;
        leg.session = session;
        self.key_as_offered(&mut leg, offer);
        let caps = self.caps_of_account(account);
        let answer = match offer.map(|offer| leg.answer(offer, &caps)) {
            None => leg.offer(&caps),
            Some(Ok(answer)) => answer,
            Some(Err(fault)) => {
                self.ports.give_back(now, leg.port);
                return Err(fault.status().into());
            }
        };
        self.endpoint.answer(now, session, self.contact(flow), Some(answer));
        self.turn_to_other(now, id, found);
        self.sessions.insert(session, (id, Role::Dialled));
        self.show_leg(id, session, "phone", account);
        let agent = self.accounts.get(account).copied();
        self.open_leg(id, leg.id, leg.port, Some(Party::Agent), Whose::of(None, agent));
        let own = agent.is_some() && seat.agent == agent;
        let Some(call) = self.calls.get_mut(&id) else { return Ok(()) };
        call.sessions.insert(session);
        let Some(mut left) = call.other.replace(Other { agent, leg, early_media: false }) else { return Ok(()) };
        if own {
            // The same agent at another phone keeps the contact.
            left.agent = None;
        } else if !pickup {
            self.finish_contact(now, id);
        }
        self.dismiss(now, id, &left, pickup.then(|| ELSEWHERE.to_owned()));
        if let Some(agent) = agent.filter(|_| !own) {
            self.engage(now, agent, id);
        }
        self.confirm_dialog(now, id, Party::Agent, session);
        if pickup {
            self.answer_caller(now, id);
        } else {
            let (by, status) = (seat.agent, 200);
            self.note(now, CallEvent::Transferred { call: id, by, to: agent, attended: true, status });
        }
        self.talk_on(now, id, agent);
        Ok(())
    }
}
