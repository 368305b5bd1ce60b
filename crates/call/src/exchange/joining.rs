//! Attended transfer (RFC 5589 section 7): two calls of one phone become one without it; and `Replaces` (RFC 3891), by which a
//! phone of ours takes somebody's place in a call.
//!
//! The party that changes calls gets a re-INVITE to new ports, so that each call's media stays with its own worker.

use offhook_sip::{BodyFault, Flow, Replaces, Request, SessionId};
use offhook_units::{AgentId, CallId, Tick};

use super::placing::Refusal;
use super::state::{Leg, Other, Stage, Whose};
use super::{Exchange, Role};
use crate::event::{CallEvent, Party};
use crate::record::CallEnd;
use crate::timers::Kind;

/// What phones are told that stop ringing because somebody else has taken the call (RFC 3326).
pub(super) const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// Length of a packet of speech, as nearly everybody sends it.
const FRAME_MS: u64 = 20;
/// How far a moved party's new stream begins ahead of the estimate: 20 s, for streams that were cut and begun anew.
const SEQ_AHEAD: u16 = 1_000;

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
                let fixed = is_caller && call.recording.is_some();
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
        let is_fixed = |call: &super::state::Call| call.caller.session == seat && call.recording.is_some();
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
        let moved = self.calls.get(&goes).and_then(|call| call.other.as_ref()).ok_or(481_u16)?;
        let (party, flow, trunk) = (moved.leg.session, moved.leg.flow, moved.leg.trunk);
        let (sdp_id, version) = (moved.leg.sdp_id, moved.leg.sdp_version + 1);
        let (srtp, next_seq, agent) = (moved.leg.srtp_now(), moved.leg.seq_ahead(now), moved.agent);
        let mut leg = self.make_leg_out(now, flow, Some(srtp)).ok_or(503_u16)?;
        (leg.session, leg.trunk, leg.sdp_id, leg.sdp_version) = (party, trunk, sdp_id, version);
        leg.first_seq = next_seq;
        let codec = self.calls.get(&stays).and_then(|call| call.caller.negotiated.as_ref()).map(|agreed| agreed.codec);
        let caps = match agent {
            Some(agent) => self.caps_of_agent(agent, codec),
            None => self.caps_preferring(trunk, codec),
        };
        let offer = leg.offer(&caps);
        let (leg_id, port) = (leg.id, leg.port);
        self.endpoint.reoffer(now, party, Some(offer));
        self.finish_contact(now, stays);
        let left = self.calls.get_mut(&stays).and_then(|call| call.other.take());
        let to = self.move_party(goes, stays, party);
        if let Some(call) = self.calls.get_mut(&stays) {
            call.other = Some(Other { agent: to, leg, early_media: false });
        }
        self.open_leg(stays, leg_id, port, Some(Party::Agent), Whose::of(trunk, to));
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

    /// What belongs to the party that changes calls goes with it: session, agent, contact, what it is charged for.
    fn move_party(&mut self, from: CallId, to: CallId, party: SessionId) -> Option<AgentId> {
        let call = self.calls.get_mut(&from)?;
        let other = call.other.take()?;
        let (agent, trunk) = (other.agent, other.leg.trunk);
        let (contact, queue, queued_at) = (call.contact.take(), call.queue, call.queued_at);
        let charged = core::mem::take(&mut call.charged);
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
        let call = self.calls.get_mut(&to)?;
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
        agent
    }

    /// The two in a call hear each other, with a talk of its own in the record.
    pub(super) fn talk_on(&mut self, now: Tick, id: CallId, agent: Option<AgentId>) {
        let music = self.music_for(id);
        let hold_music = self.playing(music);
        let Some(call) = self.calls.get(&id) else { return };
        let (held_by_caller, held_by_other) = match call.stage {
            Stage::Talking { held_by_caller, held_by_other, .. } => (held_by_caller, held_by_other),
            Stage::Greeting { .. }
            | Stage::Queued { .. }
            | Stage::Dialling { .. }
            | Stage::Message { .. }
            | Stage::Ending => (false, false),
        };
        if held_by_other {
            self.note(now, CallEvent::Held { call: id, by: Party::Agent, on: false });
        }
        self.timers.disarm(id, Kind::Ring);
        self.timers.disarm(id, Kind::Failover);
        self.note(now, CallEvent::Connected { call: id, agent });
        self.enter(now, id, Stage::Talking { connected: now, hold_music, held_by_caller, held_by_other: false });
        self.start_recording(now, id);
        self.replan(now, id);
    }

    /// A party did not take our re-INVITE, so that its sound reaches nobody: it goes, and whom it was to talk to is not lost.
    pub(super) fn not_moved(&mut self, now: Tick, session: SessionId) {
        let Some(&(id, _)) = self.sessions.get(&session) else { return };
        let is_it = |other: &mut Other| other.leg.session == session && other.leg.offered.is_some();
        let Some(other) = self.calls.get_mut(&id).and_then(|call| call.other.take_if(is_it)) else { return };
        self.finish_contact(now, id);
        self.dismiss(now, id, &other, Some("SIP;cause=488".to_owned()));
        self.strand(now, id);
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
            | Stage::Message { .. }
            | Stage::Ending => return Err(603.into()),
        };
        // The recorded seat cannot be given away, and whoever is being served is no phone's to replace.
        if seat.is_caller && (call.recording.is_some() || call.contact.is_some()) {
            return Err(603.into());
        }
        let offer = request.description().map_err(BodyFault::status)?;
        let mut leg = self.make_leg(now, flow, self.account_srtp(account)).ok_or(503_u16)?;
        leg.session = session;
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

impl Leg {
    /// A sequence number ahead of all that were sent to this leg, as far as can be told without the worker. Some phones take a new
    /// source whose numbers begin behind those of the old one for packets that come too late, and drop them.
    fn seq_ahead(&self, now: Tick) -> u16 {
        let sent = now.since(self.made).as_ms() / FRAME_MS;
        self.first_seq.wrapping_add(sent as u16).wrapping_add(SEQ_AHEAD)
    }
}
