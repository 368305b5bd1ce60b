//! From the other end's answer to hold and back.

use offhook_acd::Command;
use offhook_sip::{Body, SessionId};
use offhook_units::{AgentId, CallId, OfferId, Span, Tick};

use super::state::{Leg, Other, Stage};
use super::{Exchange, Role};
use crate::event::{CallEvent, Missed, Party};
use crate::record::CallEnd;
use crate::timers::Kind;

/// Statuses by which a person, or the person's phone, says no (RFC 3261 section 21): the rest count as not reached.
const DECLINED: [u16; 4] = [480, 486, 600, 603];
/// Of these: that the phone is in use, or that a button of it said so.
const BUSY: [u16; 2] = [486, 600];

impl Exchange {
    /// A provisional response of a phone that we ring.
    pub(super) fn progressed(&mut self, now: Tick, session: SessionId, body: Option<&Body>) {
        let Some(&(id, role)) = self.sessions.get(&session) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        match role {
            Role::Offered(offer) => {
                if let Some(rings) = call.ringing.get_mut(&offer) {
                    rings.early_media |= body.is_some();
                }
            }
            Role::Dialled => self.dialled_progressed(now, id, session, body),
            Role::Customer => self.customer_progressed(now, id, body),
            Role::Guest | Role::Caller | Role::Recorder | Role::Orphan => {}
        }
    }

    /// A phone that we rang was picked up.
    pub(super) fn answered(&mut self, now: Tick, session: SessionId, body: Option<&Body>) {
        match self.sessions.get(&session) {
            Some(&(id, Role::Offered(offer))) => self.agent_answered(now, id, offer, session, body),
            Some(&(id, Role::Dialled)) => self.dialled_answered(now, id, session, body),
            Some(&(id, Role::Customer)) => self.customer_answered(now, id, session, body),
            Some(&(id, Role::Guest)) => self.guest_answered(now, id, session, body),
            Some(&(id, Role::Recorder)) => self.recorder_answered(now, id, session, body),
            Some((_, Role::Caller | Role::Orphan)) | None => self.endpoint.hang_up(now, session, None),
        }
    }

    fn agent_answered(&mut self, now: Tick, id: CallId, offer: OfferId, session: SessionId, body: Option<&Body>) {
        let caps = self.config.caps.clone();
        let Some(rang) = self.calls.get_mut(&id).and_then(|call| call.ringing.get_mut(&offer)) else {
            return self.endpoint.hang_up(now, session, None);
        };
        if !rang.leg.settle(body, &caps) {
            self.stop_ringing(now, offer, Missed::NoAnswer);
            // The offer may have ended in this very moment; then there is nobody to tell.
            let _gone = self.tell(now, Command::NoAnswer { offer });
            return;
        }
        if self.tell(now, Command::Accept { offer }).is_err() {
            return self.stop_ringing(now, offer, Missed::Withdrawn);
        }
        self.offers.remove(&offer);
        let contact = self.calls.get(&id).and_then(|call| call.contact);
        let Some(rang) = self.calls.get_mut(&id).and_then(|call| call.ringing.remove(&offer)) else { return };
        self.remember_agent(now, id, rang.agent);
        if let Some(contact) = contact {
            self.note_taken(rang.agent, id, contact);
        }
        self.confirm_dialog(now, id, Party::Agent, session);
        let other = Other { agent: Some(rang.agent), leg: rang.leg, early_media: rang.early_media };
        self.connect(now, id, other);
    }

    fn dialled_answered(&mut self, now: Tick, id: CallId, session: SessionId, body: Option<&Body>) {
        let caps = self.config.caps.clone();
        let is_current = |other: &mut Other| other.leg.session == session;
        let Some(mut other) = self.calls.get_mut(&id).and_then(|call| call.other.take_if(is_current)) else {
            return self.endpoint.hang_up(now, session, None);
        };
        let agreed = other.leg.settle(body, &caps);
        self.confirm_dialog(now, id, Party::Agent, session);
        if agreed {
            self.connect(now, id, other);
        } else {
            if let Some(call) = self.calls.get_mut(&id) {
                call.other = Some(other);
            }
            if self.transfer_failed(now, id, 488) {
                return;
            }
            self.end_call_with(now, id, CallEnd::Failed, 488);
        }
    }

    /// Both hear each other from now on.
    fn connect(&mut self, now: Tick, id: CallId, other: Other) {
        if self.calls.get(&id).is_some_and(|call| call.calling_back.is_some()) {
            return self.agent_is_ready(now, id, other);
        }
        let music = self.calls.get(&id).and_then(|call| self.queue(call.queue?)).map(|queue| queue.music.clone());
        let hold_music = self.playing(music.unwrap_or_default());
        if self.calls.get(&id).is_some_and(|call| call.transfer.is_some()) {
            self.finish_contact(now, id);
            self.transferred(now, id, other.agent);
        }
        let agent: Option<AgentId> = other.agent;
        self.timers.disarm(id, Kind::Announce);
        self.timers.disarm(id, Kind::Ring);
        self.timers.disarm(id, Kind::Failover);
        self.count_answered(other.leg.trunk);
        self.answer_caller(now, id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(open) = call.open_legs.get_mut(&other.leg.id) {
            open.party = Some(Party::Agent);
        }
        call.other = Some(other);
        self.note(now, CallEvent::Connected { call: id, agent });
        let talking = Stage::Talking { connected: now, hold_music, held_by_caller: false, held_by_other: false };
        self.enter(now, id, talking);
        self.replan(now, id);
    }

    /// A phone that we rang said no, or never said anything.
    pub(super) fn refused(&mut self, now: Tick, session: SessionId, status: u16, cause: Option<&str>) {
        let Some((id, role)) = self.sessions.remove(&session) else { return };
        if let Some(call) = self.calls.get_mut(&id) {
            call.sessions.remove(&session);
        }
        match role {
            Role::Offered(offer) => {
                let declined = DECLINED.contains(&status);
                let rest = if BUSY.contains(&status) { self.busy_delay(id, offer) } else { None };
                let (missed, command) = match rest {
                    Some(rest) => (Missed::Declined, Command::Busy { offer, rest }),
                    None if declined => (Missed::Declined, Command::Decline { offer }),
                    None => (Missed::NoAnswer, Command::NoAnswer { offer }),
                };
                if self.drop_ringing(now, offer, missed).is_some() {
                    // Too late where the offer timed out at the same instant.
                    let _gone = self.tell(now, command);
                }
            }
            Role::Dialled => self.dialled_refused(now, id, session, status, cause),
            Role::Customer => self.customer_refused(now, id, session, status),
            Role::Guest => self.guest_refused(now, id, session, status),
            Role::Recorder => self.recorder_left(now, id, session, status),
            Role::Caller | Role::Orphan => {}
        }
    }

    /// How long the agent of an offer rests whose phone is busy, where that is said.
    fn busy_delay(&self, id: CallId, offer: OfferId) -> Option<Span> {
        let agent = self.calls.get(&id)?.ringing.get(&offer)?.agent;
        self.agent(agent)?.busy_delay
    }

    /// A re-INVITE, UPDATE or PRACK: hold, or back, or a new address, of a phone that still rings too.
    pub(super) fn reoffered(&mut self, now: Tick, session: SessionId, body: Option<&Body>) {
        let Some(&(id, role)) = self.sessions.get(&session) else {
            return self.endpoint.refuse_reoffer(now, session, 481);
        };
        if role == Role::Recorder {
            return self.recorder_reoffered(now, id, session, body);
        }
        if self.calls.get(&id).is_some_and(|call| call.taken.is_some()) {
            return self.taken_reoffered(now, id, session, body);
        }
        let caps = self.caps_within(id, session);
        let rings = self.calls.get(&id).is_some_and(|call| call.rings_at(session));
        let by_dtls = self.leg_of(id, session).is_some_and(|leg| leg.dtls.is_some());
        let fresh = by_dtls.then(|| self.ice_credentials());
        let Some(leg) = self.leg_of(id, session) else { return self.endpoint.refuse_reoffer(now, session, 481) };
        let Some(body) = body else {
            let offer = leg.offer(&caps);
            return self.endpoint.answer_reoffer(now, session, Some(offer));
        };
        if let Some(fresh) = fresh {
            leg.restart_as_offered(&body.bytes, fresh);
        }
        match leg.answer(&body.bytes, &caps) {
            Ok(answer) => {
                let held = leg.negotiated.as_ref().is_some_and(|agreed| !agreed.direction.sends());
                if rings {
                    // Our own offer has its answer; what stands from now on is this.
                    leg.offered = None;
                }
                self.endpoint.answer_reoffer(now, session, Some(answer));
                self.hold(now, id, role, held);
                self.replan(now, id);
            }
            Err(fault) => self.endpoint.refuse_reoffer(now, session, fault.status()),
        }
    }

    /// The leg of a session that rings or is up.
    pub(super) fn leg_of(&mut self, id: CallId, session: SessionId) -> Option<&mut Leg> {
        let call = self.calls.get_mut(&id).filter(|call| !call.is_ending())?;
        call.leg_mut(session)
    }

    /// Notes a change of hold of one of the two. The agent's hold is the distributor's business; the caller's is not.
    fn hold(&mut self, now: Tick, id: CallId, role: Role, on: bool) {
        let by = match role {
            Role::Caller | Role::Customer => Party::Caller,
            Role::Offered(_) | Role::Dialled => Party::Agent,
            // A guest who holds is not heard for a while, and that is all.
            Role::Guest | Role::Recorder | Role::Orphan => return,
        };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Stage::Talking { held_by_caller, held_by_other, .. } = &mut call.stage else { return };
        let held = if by == Party::Caller { held_by_caller } else { held_by_other };
        if *held == on {
            return;
        }
        *held = on;
        // Whoever holds, or is held, need not send; who must again is looked at anew.
        call.open_legs.values_mut().for_each(|open| open.silent = false);
        // Whom the desk has put aside is held already, and stays so.
        if call.desk.aside() != Some(by) {
            self.note_hold(now, id, by, on);
        }
    }

    /// The ACK or PRACK that carries the answer to an offer of ours in a response.
    pub(super) fn reoffer_confirmed(&mut self, now: Tick, session: SessionId, body: &Body) {
        let Some(&(id, role)) = self.sessions.get(&session) else { return };
        let caps = self.config.caps.clone();
        let Some(leg) = self.leg_of(id, session) else { return };
        if leg.accept(body, &caps).is_err() {
            return self.end_call(now, id, CallEnd::Failed, Some("SIP;cause=488"));
        }
        let held = leg.negotiated.as_ref().is_some_and(|agreed| !agreed.direction.sends());
        self.hold(now, id, role, held);
        self.replan(now, id);
    }
}
