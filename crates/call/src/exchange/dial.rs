//! Phones that are rung without a queue: a number that dials, an agent called by name, a number outside with its trunks.

use std::collections::VecDeque;

use offhook_sip::{Body, SessionId};
use offhook_units::{CallId, Span, Tick};

use super::ending::passed_on;
use super::placing::Invitation;
use super::state::{Other, Stage, Way, Whose};
use super::{Exchange, Role};
use crate::event::{CallEvent, Party};
use crate::record::CallEnd;
use crate::timers::Kind;

/// A trunk that has said nothing at all for this long is passed over for the next one.
pub(super) const TRUNK_SILENT: Span = Span::from_s(4);

impl Exchange {
    /// Rings the first of `ways` that can be rung; the call ends where none can.
    pub(super) fn dial(&mut self, now: Tick, id: CallId, ways: VecDeque<Way>, ring_for: Span) {
        self.enter(now, id, Stage::Dialling { ways, ringback: None });
        self.timers.arm(id, Kind::Ring, now + ring_for);
        if !self.dial_next(now, id) && !self.transfer_failed(now, id, 503) {
            self.end_call_with(now, id, CallEnd::Failed, 503);
        }
    }

    /// Rings the next way of a call; false where none is left.
    pub(super) fn dial_next(&mut self, now: Tick, id: CallId) -> bool {
        while let Some(way) = self.calls.get_mut(&id).and_then(|call| call.ways()?.pop_front()) {
            if self.try_way(now, id, way) {
                self.timers.arm(id, Kind::Failover, now + TRUNK_SILENT);
                self.replan(now, id);
                return true;
            }
        }
        false
    }

    fn try_way(&mut self, now: Tick, id: CallId, way: Way) -> bool {
        let Some(other) = self.ring_way(now, id, way, Role::Dialled) else { return false };
        let trunk = other.leg.trunk.map(|trunk| self.config.trunks[trunk].name.clone());
        let agent = other.agent;
        if let Some(call) = self.calls.get_mut(&id) {
            call.other = Some(other);
        }
        self.note(now, CallEvent::Dialled { call: id, trunk, agent });
        true
    }

    /// Sends an INVITE on a way, where nothing stands against it; what it takes is noted with the call.
    pub(super) fn ring_way(&mut self, now: Tick, id: CallId, way: Way, role: Role) -> Option<Other> {
        let Way { uri, flow, from, agent, trunk, urgent, mut headers, credentials, charged } = way;
        let call = self.calls.get(&id)?;
        // A customer is called back with what the agent's phone speaks.
        let other = call.other.as_ref().filter(|_| call.calling_back.is_some());
        let leads = other.map_or(&call.caller, |other| &other.leg);
        let codec = leads.negotiated.as_ref().map(|agreed| agreed.codec);
        let spent = charged.as_deref().filter(|_| !urgent);
        if spent.is_some_and(|account| !self.has_left(now, id, account)) || !self.may_go_to(now, trunk, urgent) {
            return None;
        }
        let srtp = match (trunk, agent) {
            (Some(trunk), _) => self.trunk_srtp(trunk),
            (None, Some(agent)) => self.agent_srtp(agent),
            (None, None) => None,
        };
        let mut leg = self.make_leg_out(now, flow, srtp)?;
        leg.trunk = trunk;
        let caps = match agent {
            Some(agent) => self.caps_of_agent(agent, codec),
            None => self.caps_outside(id, trunk, self.caps_preferring(trunk, codec)),
        };
        let body = leg.offer(&caps);
        headers.extend(agent.map(|agent| self.path_to(agent, &uri)).unwrap_or_default());
        if !urgent {
            headers.extend(self.diversions(id, trunk, &from, &uri));
        }
        let invitation = Invitation { uri, from, headers, credentials };
        let session = self.send_invite(now, &leg, invitation, body)?;
        leg.session = session;
        self.went_to(now, trunk, urgent);
        let (leg_id, port) = (leg.id, leg.port);
        self.sessions.insert(session, (id, role));
        self.show_phone(id, session, agent, trunk);
        if let Some(call) = self.calls.get_mut(&id) {
            call.sessions.insert(session);
        }
        self.open_leg(id, leg_id, port, None, Whose::of(trunk, agent));
        if let Some(agent) = agent {
            self.engage(now, agent, id);
        }
        if let Some(account) = spent {
            self.spend(now, id, account);
        }
        if let Some(account) = charged {
            self.charge(id, account);
        }
        if let Some(trunk) = trunk {
            self.seat(id, trunk);
        }
        Some(Other { agent, leg, early_media: false })
    }

    /// A dialled phone rings, or a trunk sends its own ringback.
    pub(super) fn dialled_progressed(&mut self, now: Tick, id: CallId, session: SessionId, body: Option<&Body>) {
        let caps = self.config.caps.clone();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(other) = call.other.as_mut().filter(|other| other.leg.session == session) else { return };
        let heard = body.is_some_and(|body| other.leg.preview(body, &caps).is_ok());
        other.early_media |= heard;
        let caller = call.caller.session;
        match &call.stage {
            Stage::Dialling { ringback: None, .. } if call.answered => self.sound_ringback(id),
            Stage::Dialling { .. } if !call.answered && heard => self.early_media(now, id),
            Stage::Dialling { .. } if !call.answered => self.endpoint.progress(now, caller, 180, None),
            Stage::Dialling { .. }
            | Stage::Greeting { .. }
            | Stage::Queued { .. }
            | Stage::Echo
            | Stage::Taken
            | Stage::CallingBack { .. }
            | Stage::Talking { .. }
            | Stage::Message { .. }
            | Stage::Ending => {}
        }
        self.replan(now, id);
    }

    /// A dialled phone said no, or never said anything: the next trunk, or the end of the attempt.
    pub(super) fn dialled_refused(
        &mut self,
        now: Tick,
        id: CallId,
        session: SessionId,
        status: u16,
        cause: Option<&str>,
    ) {
        let is_current = |other: &&Other| other.leg.session == session;
        let Some(other) = self.calls.get(&id).and_then(|call| call.other.as_ref()).filter(is_current) else { return };
        let (trunk, flow) = (other.leg.trunk, other.leg.flow);
        self.drop_dialled(now, id);
        let may_go_on = status == 408 || (500..600).contains(&status);
        self.went_wrong(now, id, trunk, flow, status);
        if may_go_on && self.dial_next(now, id) {
            return;
        }
        let status = if (400..700).contains(&status) { status } else { 480 };
        if self.transfer_failed(now, id, status) {
            return;
        }
        self.note_cause(now, id, Party::Agent, cause);
        self.end_call_telling(now, id, CallEnd::NotReached, status, passed_on(cause).as_deref());
    }

    /// Nothing came back from a trunk so far: the next one is tried, where there is one.
    pub(super) fn trunk_silent(&mut self, now: Tick, id: CallId) {
        if self.is_calling_back(id) {
            return self.customer_unheard(now, id);
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(other) = call.other.as_ref() else { return };
        let (session, trunk, flow) = (other.leg.session, other.leg.trunk, other.leg.flow);
        let has_next = call.ways().is_some_and(|ways| !ways.is_empty());
        if has_next && self.endpoint.is_unheard(session) {
            self.drop_dialled(now, id);
            self.went_wrong(now, id, trunk, flow, 503);
            if !self.dial_next(now, id) && !self.transfer_failed(now, id, 503) {
                self.end_call_with(now, id, CallEnd::Failed, 503);
            }
        }
    }

    /// The dialled phone was not picked up in time.
    pub(super) fn rang_too_long(&mut self, now: Tick, id: CallId) {
        if self.is_calling_back(id) {
            return self.end_call(now, id, CallEnd::NotReached, Some("SIP;cause=480"));
        }
        if self.transfer_failed(now, id, 480) {
            return;
        }
        self.drop_dialled(now, id);
        self.end_call_with(now, id, CallEnd::NotReached, 480);
    }

    /// Gives up on the phone that is rung; its leg goes with the next plan.
    pub(super) fn drop_dialled(&mut self, now: Tick, id: CallId) {
        let Some(other) = self.calls.get_mut(&id).and_then(|call| call.other.take()) else { return };
        self.dismiss(now, id, &other, None);
    }

    /// Parts with a phone: its session ends, its agent is free, its leg goes with the next plan.
    pub(super) fn dismiss(&mut self, now: Tick, id: CallId, other: &Other, reason: Option<String>) {
        let session = other.leg.session;
        if let Some(call) = self.calls.get_mut(&id) {
            call.sessions.remove(&session);
        }
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.1 = Role::Orphan;
            self.endpoint.hang_up(now, session, reason);
        }
        self.free(now, id, other);
    }

    /// What belonged to a phone whose session is over is free again.
    pub(super) fn free(&mut self, now: Tick, id: CallId, other: &Other) {
        if let Some(agent) = other.agent {
            self.disengage(now, agent, id);
        }
        if let Some(trunk) = other.leg.trunk {
            self.unseat(id, trunk);
        }
    }
}
