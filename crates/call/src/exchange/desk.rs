//! What agents do at their desks: by commands, on whatever phone.
//!
//! Holding and muting are a matter of the call's own media here: the phone is told nothing, and goes on sending. What only a
//! phone can do, such as picking up, is the phone's.

use offhook_acd::{Command, Refusal};
use offhook_units::{AgentId, CallId, ContactId, OfferId, PersonRef, QueueId, Tick};

use super::Exchange;
use super::identity::ANONYMOUS;
use super::state::{Call, Guest, Stage};
use crate::config::WrapUpCodes;
use crate::desk::{CodesView, DeskCall, DeskView, DeskWish, Entered, OfferView, Taken, TransferTo, WrapUpView};
use crate::event::{CallEvent, Missed, Party};
use crate::guests::{Denied, Part};
use crate::record::CallEnd;

/// Keys of a caller in menus that are remembered for whoever takes the call; later ones are not.
pub const MENU_KEYS_MAX: usize = 16;

/// What an agent asked for at the desk, beside what the phone itself does; and what may be seen there.
#[derive(Debug, Default)]
pub(super) struct AtDesk {
    /// This side put the other one aside.
    aside: Option<Party>,
    /// This side is not heard.
    muted: Option<Party>,
    /// Keys in menus; at most [`MENU_KEYS_MAX`].
    entered: Vec<Entered>,
}

impl AtDesk {
    /// The side that put the other one aside.
    pub const fn aside(&self) -> Option<Party> {
        self.aside
    }

    /// The side that is not heard.
    pub const fn muted(&self) -> Option<Party> {
        self.muted
    }

    /// The caller pressed a key in a menu.
    pub fn note_key(&mut self, menu: &str, key: char) {
        if self.entered.len() < MENU_KEYS_MAX {
            self.entered.push(Entered { menu: menu.to_owned(), key });
        }
    }
}

impl Exchange {
    /// An agent's desk now; none where there is no such agent.
    pub fn desk(&self, agent: AgentId) -> Option<DeskView> {
        let view = self.agent_now(agent)?;
        let line = self.agents.get(&agent)?;
        let offer = self.acd.offer_to(agent).and_then(|open| {
            let call = self.calls.get(self.contacts.get(&open.contact)?)?;
            Some(OfferView {
                call: self.call_view(call),
                queue: self.queue(open.queue)?.acd.name.clone(),
                deadline: open.deadline,
                waits_since: call.queued_at,
                entered: call.desk.entered.clone(),
                callback: call.calling_back.is_some(),
            })
        });
        let rings =
            |id: &CallId| self.calls.get(id).is_some_and(|call| call.other.is_none() && call.caller_agent.is_none());
        let ids = line.call.into_iter().filter(|id| !rings(id)).chain(line.direct.iter().copied());
        let calls = ids.filter_map(|id| self.calls.get(&id).filter(|call| !call.is_ending()));
        let wrap_up = self.acd.wrap_ups_of(agent).next().and_then(|wrap_up| {
            let last = line.last.as_ref().filter(|taken| taken.contact == wrap_up.contact);
            Some(WrapUpView {
                call: last.map(|taken| taken.call),
                queue: self.queue(wrap_up.queue)?.acd.name.clone(),
                since: wrap_up.since,
                until: wrap_up.until,
            })
        });
        let calls = calls.map(|call| self.desk_call(call, agent)).collect();
        let talks = |taken: &&Taken| line.call == Some(taken.call);
        let wraps = |taken: &&Taken| self.acd.wrap_ups_of(agent).any(|wrap_up| wrap_up.contact == taken.contact);
        let taken = line.last.as_ref().filter(|taken| talks(taken) || wraps(taken));
        let codes = taken.and_then(|taken| {
            let WrapUpCodes { codes, required } = self.queue(taken.queue)?.codes.clone();
            Some(CodesView { call: taken.call, codes, required, code: taken.code.clone() })
        });
        Some(DeskView { agent: view, offer, calls, wrap_up, codes })
    }

    /// What an agent took from a queue last.
    pub fn taken_last(&self, agent: AgentId) -> Option<&Taken> {
        self.agents.get(&agent)?.last.as_ref()
    }

    /// The caller of a call that is an agent's to know: offered, talked to, or taken last. None for one who showed no number.
    pub fn own_caller(&self, agent: AgentId, call: CallId) -> Option<PersonRef> {
        if let Some(taken) = self.taken_last(agent).filter(|taken| taken.call == call) {
            return taken.person;
        }
        let known = self.calls.get(&call)?;
        let offered = self.acd.offer_to(agent).is_some_and(|open| known.contact == Some(open.contact));
        let is_own = offered || known.side_of(agent).is_some();
        if is_own { self.person_of(call) } else { None }
    }

    /// The caller of a call; none who showed no number: all of them are one.
    fn person_of(&self, call: CallId) -> Option<PersonRef> {
        self.calls.get(&call).filter(|call| call.from.user != ANONYMOUS)?;
        self.fold.caller_of(call)
    }

    /// An agent took a contact from a queue.
    pub(super) fn note_taken(&mut self, agent: AgentId, call: CallId, contact: ContactId) {
        let Some(queue) = self.calls.get(&call).and_then(|call| call.queue) else { return };
        let taken = Taken { contact, call, queue, person: self.person_of(call), code: None };
        if let Some(line) = self.agents.get_mut(&agent) {
            line.last = Some(taken);
        }
    }

    fn give_code(&mut self, agent: AgentId, call: Option<CallId>, code: Option<String>) -> Result<(), Denied> {
        let taken = self.taken_last(agent).ok_or(Denied::NoWrapUp)?;
        if let Some(call) = call.filter(|call| *call != taken.call) {
            return Err(Denied::NoCall(call));
        }
        let codes = self.queue(taken.queue).map(|queue| &queue.codes);
        if let Some(code) = &code
            && codes.is_none_or(|known| !known.codes.contains(code))
        {
            return Err(Denied::NoCode);
        }
        if let Some(taken) = self.agents.get_mut(&agent).and_then(|line| line.last.as_mut()) {
            taken.code = code;
        }
        Ok(())
    }

    fn end_wrap_up(&mut self, now: Tick, agent: AgentId) -> Result<(), Denied> {
        let wraps = |taken: &&Taken| self.acd.wrap_ups_of(agent).any(|wrap_up| wrap_up.contact == taken.contact);
        let taken = self.taken_last(agent).filter(wraps);
        let wanted = taken.filter(|taken| taken.code.is_none()).and_then(|taken| self.queue(taken.queue));
        if wanted.is_some_and(|queue| queue.codes.required) {
            return Err(Denied::CodeWanted);
        }
        self.tell(now, Command::WrapUpDone { agent }).map_err(|_| Denied::NoWrapUp)
    }

    fn desk_call(&self, call: &Call, agent: AgentId) -> DeskCall {
        let side = call.side_of(agent);
        DeskCall {
            call: self.call_view(call),
            outgoing: side == Some(Party::Caller),
            held: side.is_some_and(|side| call.is_held_by(side)),
            muted: side.is_some() && call.desk.muted == side,
            entered: call.desk.entered.clone(),
        }
    }

    /// An agent asks for something at the desk; in this call, where one is named.
    pub(super) fn at_desk(
        &mut self,
        now: Tick,
        agent: AgentId,
        call: Option<CallId>,
        wish: DeskWish,
    ) -> Result<(), Denied> {
        let line = self.agents.get(&agent).ok_or(Denied::NoAgent(agent))?;
        let own = line.engaged_in();
        match wish {
            DeskWish::Decline => self.decline(now, agent, call),
            DeskWish::WrapUpDone => self.end_wrap_up(now, agent),
            DeskWish::Code(code) => self.give_code(agent, call, code),
            DeskWish::ExtendWrapUp(by) => match self.tell(now, Command::ExtendWrapUp { agent, by }) {
                Err(Refusal::LimitReached(_)) => Err(Denied::Full("the wrap-up lasts as long as it may already")),
                other => other.map_err(|_| Denied::NoWrapUp),
            },
            DeskWish::Hold(on) => {
                self.own_talk(agent, call.or(own)).map(|(id, side)| self.set_aside(now, id, side, on))
            }
            DeskWish::Mute(on) => {
                self.own_talk(agent, call.or(own)).map(|(id, side)| self.set_muted(now, id, side, on))
            }
            DeskWish::Transfer(to) => {
                let (id, side) = self.own_talk(agent, call.or(own))?;
                self.transfer_at_desk(now, id, side, &to)
            }
            DeskWish::Consult(number) => {
                let (id, side) = self.own_talk(agent, call.or(own))?;
                self.bring_in(now, id, agent, &number)?;
                self.set_aside(now, id, side, true);
                Ok(())
            }
            DeskWish::PutThrough => {
                let (id, side) = self.own_talk(agent, call.or(own))?;
                self.put_through(now, id, side)
            }
            DeskWish::TakeBack => {
                let (id, side) = self.own_talk(agent, call.or(own))?;
                for session in self.parties(id, |_| true) {
                    self.drop_guest(now, id, session, 200);
                }
                self.set_aside(now, id, side, false);
                Ok(())
            }
            DeskWish::HangUp => self.hang_up_at_desk(now, agent, call.or(own)),
        }
    }

    /// The call in which an agent talks now, and on which side.
    fn own_talk(&self, agent: AgentId, call: Option<CallId>) -> Result<(CallId, Party), Denied> {
        let id = call.ok_or(Denied::NotTalking)?;
        let call = self.calls.get(&id).filter(|call| !call.is_ending()).ok_or(Denied::NoCall(id))?;
        let side = call.side_of(agent).ok_or(Denied::NoCall(id))?;
        if matches!(call.stage, Stage::Talking { .. }) { Ok((id, side)) } else { Err(Denied::NotTalking) }
    }

    fn decline(&mut self, now: Tick, agent: AgentId, call: Option<CallId>) -> Result<(), Denied> {
        let open = self.acd.offer_to(agent).ok_or(Denied::NoOffer)?;
        let id = self.contacts.get(&open.contact).copied();
        if call.is_some() && call != id {
            return Err(Denied::NoOffer);
        }
        let offer: OfferId = open.offer;
        self.stop_ringing(now, offer, Missed::Declined);
        self.tell(now, Command::Decline { offer }).map_err(|_| Denied::NoOffer)
    }

    /// Puts the far side of a talk aside, or takes it back.
    fn set_aside(&mut self, now: Tick, id: CallId, by: Party, on: bool) {
        let music = self.music_for(id);
        let music = self.playing(music);
        let Some(call) = self.calls.get_mut(&id) else { return };
        // Who calls without a queue is not left in silence either.
        if let Stage::Talking { hold_music, .. } = &mut call.stage
            && hold_music.assets.is_empty()
        {
            *hold_music = music;
        }
        let before = call.is_held_by(by);
        call.desk.aside = on.then_some(by);
        call.open_legs.values_mut().for_each(|open| open.silent = false);
        let held = call.is_held_by(by);
        if before != held {
            self.note_hold(now, id, by, held);
        }
        self.changed.calls.insert(id);
        self.replan(now, id);
    }

    /// Whoever was put aside by the desk is so no more: the call goes on otherwise. The plan follows with what it goes on with.
    pub(super) fn lift_aside(&mut self, now: Tick, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.desk.muted = None;
        let Some(by) = call.desk.aside else { return };
        call.desk.aside = None;
        if !call.is_held_by(by) {
            self.note_hold(now, id, by, false);
        }
    }

    /// A hold begins or ends; the distributor counts the agent's.
    pub(super) fn note_hold(&mut self, now: Tick, id: CallId, by: Party, on: bool) {
        let contact = self.calls.get(&id).and_then(|call| call.contact).filter(|_| by == Party::Agent);
        self.note(now, CallEvent::Held { call: id, by, on });
        if let Some(contact) = contact {
            // A contact that just ended has no hold to count.
            let _ended = self.tell(now, Command::Hold { contact, on });
        }
    }

    fn set_muted(&mut self, now: Tick, id: CallId, side: Party, on: bool) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.desk.muted = on.then_some(side);
        self.changed.calls.insert(id);
        self.replan(now, id);
    }

    /// As a REFER of the phone would.
    fn transfer_at_desk(&mut self, now: Tick, id: CallId, side: Party, to: &TransferTo) -> Result<(), Denied> {
        let call = self.calls.get(&id).ok_or(Denied::NoCall(id))?;
        let leg = if side == Party::Caller { Some(&call.caller) } else { call.other.as_ref().map(|other| &other.leg) };
        let session = leg.map(|leg| leg.session).ok_or(Denied::NotTalking)?;
        if let TransferTo::Queue(queue) = to {
            self.queue(*queue).ok_or(Denied::NoQueue(*queue))?;
        }
        self.may_transfer(session).map_err(|status| match status {
            491 => Denied::NotTalking,
            _ => Denied::Full("the call cannot be transferred from here, or was too often"),
        })?;
        if let Some(call) = self.calls.get_mut(&id) {
            call.transfers += 1;
        }
        let done = match to {
            TransferTo::Number(number) => self.transfer_to(now, id, session, number),
            TransferTo::Queue(queue) => self.transfer_to_queue(now, id, session, *queue),
        };
        done.map_err(|status| {
            self.counters.transfers_failed += 1;
            let by = self.place_of(id, session).and_then(|seat| seat.agent);
            self.note(now, CallEvent::Transferred { call: id, by, to: None, attended: false, status });
            Denied::Number(status)
        })
    }

    /// Into a queue by its name, without a number that leads there.
    fn transfer_to_queue(
        &mut self,
        now: Tick,
        id: CallId,
        session: offhook_sip::SessionId,
        queue: QueueId,
    ) -> Result<(), u16> {
        let seat = self.place_of(id, session).ok_or(480_u16)?;
        let gate = self.queue(queue).and_then(|queue| queue.ways.gate.as_ref());
        if self.closed(now, gate).is_some() {
            return Err(480);
        }
        match self.acd.may_enter(queue) {
            Ok(()) => {}
            Err(Refusal::QueueFull) => return Err(486),
            Err(_) => return Err(480),
        }
        if !self.begin_transfer(now, id, session, seat.agent) {
            return Err(480);
        }
        self.lead_into(now, id, queue);
        Ok(())
    }

    /// Third parties of a call that are of a kind.
    fn parties(&self, id: CallId, of: impl Fn(&Guest) -> bool) -> Vec<offhook_sip::SessionId> {
        let guests = self.calls.get(&id).into_iter().flat_map(|call| &call.guests);
        let parties = guests.filter(|guest| guest.part == Part::Party && of(guest));
        parties.map(|guest| guest.other.leg.session).collect()
    }

    fn put_through(&mut self, now: Tick, id: CallId, side: Party) -> Result<(), Denied> {
        if self.parties(id, |guest| guest.joined.is_some()).is_empty() {
            return Err(Denied::NoGuest);
        }
        let own = self.calls.get(&id).filter(|_| side == Party::Caller).map(|call| call.caller.session);
        if let Some(session) = own {
            self.turn_to_other(now, id, session);
        }
        if self.leave_to_guest(now, id) { Ok(()) } else { Err(Denied::NotTalking) }
    }

    fn hang_up_at_desk(&mut self, now: Tick, agent: AgentId, call: Option<CallId>) -> Result<(), Denied> {
        let id = call.ok_or(Denied::NotTalking)?;
        let call = self.calls.get(&id).filter(|call| !call.is_ending()).ok_or(Denied::NoCall(id))?;
        let side = call.side_of(agent).ok_or(Denied::NoCall(id))?;
        if side == Party::Agent && self.leave_to_guest(now, id) {
            return Ok(());
        }
        let end = if side == Party::Caller { CallEnd::CallerHungUp } else { CallEnd::AgentHungUp };
        self.end_call_with(now, id, end, 480);
        Ok(())
    }
}

impl Call {
    /// On which side an agent sits who talks in it, or is dialled without a queue.
    fn side_of(&self, agent: AgentId) -> Option<Party> {
        if self.other.as_ref().is_some_and(|other| other.agent == Some(agent)) {
            return Some(Party::Agent);
        }
        (self.caller_agent == Some(agent)).then_some(Party::Caller)
    }

    /// Whether that side holds the other one: by the phone, or by the desk.
    pub(super) fn is_held_by(&self, side: Party) -> bool {
        let Stage::Talking { held_by_caller, held_by_other, .. } = self.stage else { return false };
        let by_phone = if side == Party::Caller { held_by_caller } else { held_by_other };
        by_phone || self.desk.aside == Some(side)
    }
}
