//! Guests of a call, beside the two who talk: supervisors who listen, whisper, join in or take over, and third parties.
//!
//! A guest has a leg of its own in the call's media, so that its coming, turning and going is a change of edges, and no more
//! (docs/decisions/0070).

use std::collections::VecDeque;

use offhook_sip::{Body, SessionId};
use offhook_units::{AgentId, CallId, LegId, Span, Tick};

use super::placing::Lead;
use super::state::{Guest, Other, Stage, Way};
use super::{Exchange, Role};
use crate::config::{Destination, Reach};
use crate::event::{CallEvent, Party};
use crate::guests::{Denied, Part, Supervision};
use crate::timers::Kind;

/// Guests of one call at once; with the two who talk a conference of 32.
pub const GUESTS_MAX: usize = 30;
/// How long a guest's phone rings.
pub const GUEST_RINGS_FOR: Span = Span::from_s(30);

impl Exchange {
    /// A supervisor wants to be in a call, in another way, or no more.
    pub(super) fn supervise(&mut self, now: Tick, id: CallId, by: AgentId, wish: Supervision) -> Result<(), Denied> {
        let call = self.calls.get(&id).filter(|call| !call.is_ending()).ok_or(Denied::NoCall(id))?;
        let agent = self.agent(by).ok_or(Denied::NoAgent(by))?;
        let supervises = |guest: &&Guest| guest.other.agent == Some(by) && guest.part != Part::Party;
        if let Some(guest) = call.guests.iter().find(supervises) {
            let (session, joined) = (guest.other.leg.session, guest.joined.is_some());
            return self.turn_guest(now, id, session, joined, wish);
        }
        let part = wish.part().ok_or(Denied::Elsewhere("the supervisor is not in this call"))?;
        if !agent.supervises.has(call.queue) {
            return Err(Denied::NotAllowed(agent.acd.name.clone()));
        }
        let queue = call.queue.and_then(|queue| self.queue(queue)).map(|queue| queue.acd.name.clone());
        self.guest_room(id)?;
        if call.agents().any(|agent| agent == by) {
            return Err(Denied::Elsewhere("the supervisor takes part in this call already"));
        }
        let name = agent.acd.name.clone();
        let way = self.way_to_agent(&call.from, by).map_err(|status| match status {
            486 => Denied::Elsewhere("the supervisor's phone is in another call"),
            _ => Denied::Unreachable(name.clone()),
        })?;
        let from = self.presented(&call.from, queue.as_deref(), way.flow);
        // Who asks to listen does not want to pick up; phones have two ways of being told so.
        let headers = [
            ("Call-Info", format!("<sip:{}>;answer-after=0", from.uri.host)),
            ("Alert-Info", format!("<sip:{}>;info=alert-autoanswer;delay=0", from.uri.host)),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(way.headers).collect();
        let ways = VecDeque::from([Way { from, headers, ..way }]);
        if self.ring_guest(now, id, ways, part, wish == Supervision::TakeOver) {
            Ok(())
        } else {
            Err(Denied::Unreachable(name))
        }
    }

    /// One of the two who talk brings a third party in: a colleague, a phone that a number of ours dials, or a number outside, by
    /// the rules of a call that the phone makes.
    pub(super) fn bring_in(&mut self, now: Tick, id: CallId, by: AgentId, number: &str) -> Result<(), Denied> {
        let call = self.calls.get(&id).filter(|call| !call.is_ending()).ok_or(Denied::NoCall(id))?;
        let agent = self.agent(by).ok_or(Denied::NoAgent(by))?;
        let other = call.other.as_ref().and_then(|other| other.agent);
        if call.caller_agent != Some(by) && other != Some(by) {
            return Err(Denied::Elsewhere("only who talks in a call may bring somebody in"));
        }
        self.guest_room(id)?;
        let account = match &agent.reach {
            Reach::Account(account) => Some(account.clone()),
            Reach::Static { .. } => None,
        };
        let from = self.presented_account(account.as_deref().unwrap_or(&agent.acd.name));
        let ways = match self.lead(&from, account.as_deref(), number).map_err(Denied::Number)? {
            Lead::Ways(ways) => ways,
            Lead::Number(to) => match to.to {
                Destination::Dial { flow, .. } => self.way_to_peer(&from, number, flow),
                Destination::Queue(_) | Destination::Flow(_) | Destination::Echo => {
                    return Err(Denied::Elsewhere(
                        "a queue, a menu or an echo cannot be brought into a call: transfer to it",
                    ));
                }
            },
        };
        if self.ring_guest(now, id, ways, Part::Party, false) { Ok(()) } else { Err(Denied::Number(503)) }
    }

    /// Sends a third party away again.
    pub(super) fn send_off(&mut self, now: Tick, id: CallId, guest: LegId) -> Result<(), Denied> {
        let call = self.calls.get(&id).filter(|call| !call.is_ending()).ok_or(Denied::NoCall(id))?;
        let found = call.guests.iter().find(|known| known.other.leg.id == guest);
        let session = found.map(|guest| guest.other.leg.session);
        self.drop_guest(now, id, session.ok_or(Denied::Elsewhere("there is no such guest in this call"))?, 200);
        Ok(())
    }

    /// Keeps why a wish was not carried out, for whoever asked.
    pub(super) fn settle_wish(&mut self, done: Result<(), Denied>) {
        self.denied = done.err();
        self.counters.guests_denied += u64::from(self.denied.is_some());
    }

    /// Whether one more guest may come.
    fn guest_room(&self, id: CallId) -> Result<(), Denied> {
        let Some(call) = self.calls.get(&id) else { return Err(Denied::NoCall(id)) };
        if !matches!(call.stage, Stage::Talking { .. }) {
            return Err(Denied::NotTalking);
        }
        if call.guests.len() >= GUESTS_MAX {
            return Err(Denied::Full("the call has all the guests that it can take"));
        }
        Ok(())
    }

    /// Rings the first of `ways` that can be rung.
    fn ring_guest(&mut self, now: Tick, id: CallId, mut ways: VecDeque<Way>, part: Part, takes_over: bool) -> bool {
        while let Some(way) = ways.pop_front() {
            let number = way.uri.user_decoded().unwrap_or_default().into_owned();
            let Some(other) = self.ring_way(now, id, way, Role::Guest) else { continue };
            let (guest, agent) = (other.leg.id, other.agent);
            let ring_until = now + GUEST_RINGS_FOR;
            let Some(call) = self.calls.get_mut(&id) else { return false };
            call.guests.push(Guest { other, number, part, ways, joined: None, turned: false, ring_until, takes_over });
            self.note(now, CallEvent::GuestRung { call: id, guest, agent, part });
            self.arm_guests(id);
            self.replan(now, id);
            return true;
        }
        false
    }

    fn guest_at(&self, id: CallId, session: SessionId) -> Option<usize> {
        self.calls.get(&id)?.guests.iter().position(|guest| guest.other.leg.session == session)
    }

    /// A supervisor who is in the call already takes another part in it.
    fn turn_guest(
        &mut self,
        now: Tick,
        id: CallId,
        session: SessionId,
        joined: bool,
        wish: Supervision,
    ) -> Result<(), Denied> {
        let Some(part) = wish.part() else {
            self.drop_guest(now, id, session, 200);
            return Ok(());
        };
        if wish == Supervision::TakeOver && joined {
            return if self.take_over(now, id, session) { Ok(()) } else { Err(Denied::NotTalking) };
        }
        let guests = self.calls.get_mut(&id).into_iter().flat_map(|call| &mut call.guests);
        let Some(guest) = guests.into_iter().find(|guest| guest.other.leg.session == session) else { return Ok(()) };
        guest.takes_over = wish == Supervision::TakeOver;
        if guest.part != part {
            guest.part = part;
            guest.turned |= guest.joined.is_some();
            let guest = guest.other.leg.id;
            self.note(now, CallEvent::GuestTurned { call: id, guest, part });
            self.replan(now, id);
        }
        Ok(())
    }

    /// A guest's phone was picked up.
    pub(super) fn guest_answered(&mut self, now: Tick, id: CallId, session: SessionId, body: Option<&Body>) {
        let caps = self.config.caps.clone();
        let dialog = self.endpoint.snapshot(session);
        let place = self.guest_at(id, session);
        let guest = place.and_then(|place| self.calls.get_mut(&id)?.guests.get_mut(place));
        let (Some(guest), Some(dialog)) = (guest, dialog) else { return self.endpoint.hang_up(now, session, None) };
        if !guest.other.leg.settle(body, &caps) {
            return self.drop_guest(now, id, session, 488);
        }
        guest.joined = Some(now);
        self.counters.guests += 1;
        let (leg, trunk, takes_over) = (guest.other.leg.id, guest.other.leg.trunk, guest.takes_over);
        self.note(now, CallEvent::GuestJoined { call: id, guest: leg, dialog: Box::new(dialog) });
        self.count_answered(trunk);
        self.arm_guests(id);
        if !takes_over || !self.take_over(now, id, session) {
            self.replan(now, id);
        }
    }

    /// A guest's phone said no, or never said anything: the next trunk, or no guest.
    pub(super) fn guest_refused(&mut self, now: Tick, id: CallId, session: SessionId, status: u16) {
        let Some(place) = self.guest_at(id, session) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Guest { other, part, ways, takes_over, .. } = call.guests.remove(place);
        self.went_wrong(now, id, other.leg.trunk, other.leg.flow, status);
        self.part_with(now, id, &other, status);
        if status == 408 || (500..600).contains(&status) {
            self.ring_guest(now, id, ways, part, takes_over);
        }
    }

    /// A guest hung up, or its connection is gone.
    pub(super) fn guest_ended(&mut self, now: Tick, id: CallId, session: SessionId) {
        let Some(place) = self.guest_at(id, session) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Guest { other, joined, .. } = call.guests.remove(place);
        self.part_with(now, id, &other, if joined.is_some() { 200 } else { 480 });
    }

    /// Parts with a guest on our side; `status` is why, 200 where it had joined.
    pub(super) fn drop_guest(&mut self, now: Tick, id: CallId, session: SessionId, status: u16) {
        let Some(place) = self.guest_at(id, session) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Guest { other, joined, .. } = call.guests.remove(place);
        self.dismiss(now, id, &other, None);
        let status = if joined.is_none() && status == 200 { 487 } else { status };
        self.guest_gone(now, id, other.leg.id, status);
    }

    /// A guest ended the session.
    fn part_with(&mut self, now: Tick, id: CallId, other: &Other, status: u16) {
        self.free(now, id, other);
        self.guest_gone(now, id, other.leg.id, status);
    }

    fn guest_gone(&mut self, now: Tick, id: CallId, guest: LegId, status: u16) {
        self.note(now, CallEvent::GuestLeft { call: id, guest, status });
        self.arm_guests(id);
        self.replan(now, id);
    }

    /// A guest's ports could not be opened; says whether the leg was a guest's.
    pub(super) fn guest_leg_failed(&mut self, now: Tick, id: CallId, leg: LegId) -> bool {
        let guests = self.calls.get(&id).into_iter().flat_map(|call| &call.guests);
        let session = guests.map(|guest| &guest.other.leg).find(|known| known.id == leg).map(|leg| leg.session);
        let Some(session) = session else { return false };
        self.drop_guest(now, id, session, 503);
        true
    }

    /// Guests' phones that were not picked up in time.
    pub(super) fn guests_rang_too_long(&mut self, now: Tick, id: CallId) {
        let guests = self.calls.get(&id).into_iter().flat_map(|call| &call.guests);
        let late = guests.filter(|guest| guest.joined.is_none() && guest.ring_until <= now);
        for session in late.map(|guest| guest.other.leg.session).collect::<Vec<_>>() {
            self.drop_guest(now, id, session, 480);
        }
        self.arm_guests(id);
    }

    fn arm_guests(&mut self, id: CallId) {
        let guests = self.calls.get(&id).into_iter().flat_map(|call| &call.guests);
        match guests.filter(|guest| guest.joined.is_none()).map(|guest| guest.ring_until).min() {
            Some(at) => self.timers.arm(id, Kind::Guest, at),
            None => self.timers.disarm(id, Kind::Guest),
        }
    }

    /// A supervisor talks to the caller in the agent's place. Says whether that was possible.
    fn take_over(&mut self, now: Tick, id: CallId, session: SessionId) -> bool {
        let place = self.guest_at(id, session);
        place.is_some_and(|place| self.seat_guest(now, id, place, Self::dismiss_agent))
    }

    /// The agent hung up: the first guest who talks with the caller stays there instead. Says whether there is one.
    pub(super) fn guest_stays(&mut self, now: Tick, id: CallId) -> bool {
        let stays = |guest: &Guest| guest.joined.is_some() && guest.part.talks();
        let place = self.calls.get(&id).and_then(|call| call.guests.iter().position(stays));
        place.is_some_and(|place| self.seat_guest(now, id, place, Self::free))
    }

    /// The agent leaves: the first guest who talks with the caller stays there instead. Says whether there is one.
    pub(super) fn leave_to_guest(&mut self, now: Tick, id: CallId) -> bool {
        let stays = |guest: &Guest| guest.joined.is_some() && guest.part.talks();
        let place = self.calls.get(&id).and_then(|call| call.guests.iter().position(stays));
        place.is_some_and(|place| self.seat_guest(now, id, place, Self::dismiss_agent))
    }

    fn dismiss_agent(&mut self, now: Tick, id: CallId, left: &Other) {
        self.dismiss(now, id, left, None);
    }

    /// A guest becomes the other one of the two, who is parted with by `part`. Says whether the two talk.
    fn seat_guest(&mut self, now: Tick, id: CallId, place: usize, part: fn(&mut Self, Tick, CallId, &Other)) -> bool {
        let talks = |call: &&mut super::state::Call| matches!(call.stage, Stage::Talking { .. });
        let Some(call) = self.calls.get_mut(&id).filter(talks) else { return false };
        let Some(left) = call.other.take() else { return false };
        let Guest { other, .. } = call.guests.remove(place);
        let (leg, session, to) = (other.leg.id, other.leg.session, other.agent);
        if let Some(open) = call.open_legs.get_mut(&leg) {
            open.party = Some(Party::Agent);
        }
        call.other = Some(other);
        self.sessions.insert(session, (id, Role::Dialled));
        self.note(now, CallEvent::GuestLeft { call: id, guest: leg, status: 200 });
        self.confirm_dialog(now, id, Party::Agent, session);
        self.finish_contact(now, id);
        part(self, now, id, &left);
        self.counters.transfers_done += 1;
        self.note(now, CallEvent::Transferred { call: id, by: left.agent, to, attended: true, status: 200 });
        self.talk_on(now, id, to);
        true
    }
}
