//! Blind transfer (RFC 3515, RFC 5589 section 6): a phone of ours asks for somebody else in its place.
//!
//! The exchange rings the target itself. Whoever is transferred stays in the call and hears music; the phone that asked stays too,
//! without sound, until it is known how it ends (docs/decisions/0031).

use std::collections::VecDeque;

use offhook_acd::{Command, Refusal};
use offhook_sip::{NameAddr, Replaces, Request, Scheme, SessionId};
use offhook_units::{AgentId, CallId, QueueId, Span, Tick};

use super::placing::Lead;
use super::state::{Call, Leg, Other, Presented, Stage, Transfer, Way};
use super::{Exchange, Role};
use crate::config::{Destination, Number, Reach};
use crate::event::{CallEvent, Party};
use crate::record::CallEnd;
use crate::timers::Kind;

/// How long the target of a transfer rings before the caller comes back.
pub const TRANSFER_RINGS_FOR: Span = Span::from_s(30);
/// Transfers of one call, failed ones included; one more is refused with 403.
pub const TRANSFERS_MAX: u32 = 16;

/// What a phone that could not be reached for a transfer is reported as.
const NOBODY: u16 = 480;

impl Exchange {
    /// A REFER on a leg of a call.
    pub(super) fn referred(&mut self, now: Tick, session: SessionId, request: &Request) {
        let asked = self.may_transfer(session).and_then(|id| Ok((id, target_of(request)?)));
        let (id, target) = match asked {
            Ok(asked) => asked,
            Err(status) => {
                self.counters.transfers_refused += 1;
                return self.endpoint.refuse_refer(now, session, status);
            }
        };
        self.endpoint.accept_refer(now, session);
        if let Some(call) = self.calls.get_mut(&id) {
            call.transfers += 1;
        }
        let outcome = match target {
            Target::Number(number) => self.transfer_to(now, id, session, &number),
            Target::Consulted(replaces) => self.join(now, id, session, &replaces),
        };
        // Nothing has changed yet: the two talk on.
        if let Err(status) = outcome {
            self.counters.transfers_failed += 1;
            let by = self.place_of(id, session).and_then(|seat| seat.agent);
            let attended = matches!(request_target(request), Some(uri) if Replaces::in_uri(&uri).is_some());
            self.note(now, CallEvent::Transferred { call: id, by, to: None, attended, status });
            self.endpoint.notify_refer(now, session, status);
        }
    }

    /// The call of a phone that may transfer now: one of ours, in a talk.
    pub(super) fn may_transfer(&self, session: SessionId) -> Result<CallId, u16> {
        let (id, _) = *self.sessions.get(&session).ok_or(403_u16)?;
        let call = self.calls.get(&id).ok_or(403_u16)?;
        let seat = self.place_of(id, session).ok_or(491_u16)?;
        let served = seat.is_caller && call.contact.is_some();
        // A carrier asks nothing of us, and whoever is being served leads no agent away.
        if (seat.agent.is_none() && seat.account.is_none()) || served || call.transfers >= TRANSFERS_MAX {
            return Err(403);
        }
        if matches!(call.stage, Stage::Talking { .. }) { Ok(id) } else { Err(491) }
    }

    /// Where a session sits in a call that goes on.
    pub(super) fn place_of(&self, id: CallId, session: SessionId) -> Option<Seat> {
        let call = self.calls.get(&id).filter(|call| !call.is_ending())?;
        if call.caller.session == session {
            let account = call.caller_account.clone();
            return Some(Seat { is_caller: true, agent: call.caller_agent, account });
        }
        let agent = call.other.as_ref().filter(|other| other.leg.session == session)?.agent;
        let account = agent.and_then(|agent| match &self.agent(agent)?.reach {
            Reach::Account(account) => Some(account.clone()),
            Reach::Static { .. } => None,
        });
        Some(Seat { is_caller: false, agent, account })
    }

    /// Begins a transfer to whom `number` leads, by the rules of a call that the transferring phone makes.
    pub(super) fn transfer_to(&mut self, now: Tick, id: CallId, session: SessionId, number: &str) -> Result<(), u16> {
        let Some(seat) = self.place_of(id, session) else { return Err(NOBODY) };
        let Some(call) = self.calls.get(&id) else { return Err(NOBODY) };
        let from = if seat.is_caller { self.presented_other(call) } else { call.from.clone() };
        let lead = self.lead(&from, seat.account.as_deref(), number)?;
        if !self.begin_transfer(now, id, session, seat.agent) {
            return Err(NOBODY);
        }
        match lead {
            Lead::Ways(ways) => self.dial(now, id, ways, TRANSFER_RINGS_FOR),
            Lead::Number(to) if !self.is_open_for_transfer(now, &to) => {
                self.transfer_failed(now, id, NOBODY);
            }
            Lead::Number(to) => self.transfer_to_number(now, id, number, to),
        }
        Ok(())
    }

    /// Whoever transfers gets the party back instead of sending it to a closed door.
    fn is_open_for_transfer(&self, now: Tick, number: &Number) -> bool {
        let of_queue = match &number.to {
            Destination::Queue(queue) => self.queue(*queue).and_then(|queue| queue.ways.gate.as_ref()),
            Destination::Flow(_) | Destination::Dial { .. } | Destination::Echo => None,
        };
        [number.gate.as_ref(), of_queue].into_iter().all(|gate| self.closed(now, gate).is_none())
    }

    fn transfer_to_number(&mut self, now: Tick, id: CallId, number: &str, to: Number) {
        match to.to {
            // The caller keeps the place that the first visit gave, so that nobody waits twice.
            Destination::Queue(queue) => {
                if self.lead_into(now, id, queue) {
                    self.note_rule(id, to.record);
                }
            }
            Destination::Flow(menu) => {
                self.note_rule(id, to.record);
                self.finish_contact(now, id);
                self.transferred(now, id, None);
                self.greet(now, id, menu, 1);
            }
            // Nobody is left with an echo of the own voice.
            Destination::Echo => {
                self.transfer_failed(now, id, NOBODY);
            }
            Destination::Dial { flow, ring_for } => {
                self.note_rule(id, to.record);
                let ways = self.calls.get(&id).map(|call| self.way_to_peer(&call.from, number, flow));
                self.dial(now, id, ways.unwrap_or_default(), ring_for);
            }
        }
    }

    /// Whoever is transferred waits in a queue from now on, or comes back. Says whether it does.
    pub(super) fn lead_into(&mut self, now: Tick, id: CallId, queue: QueueId) -> bool {
        match self.admit(now, id, queue) {
            Ok(()) => {
                self.transferred(now, id, None);
                self.wait_in(now, id, queue);
                true
            }
            Err(refusal) => {
                self.transfer_failed(now, id, if refusal == Refusal::QueueFull { 486 } else { NOBODY });
                false
            }
        }
    }

    /// Parts the two: the transferring phone waits aside, whom it talked to hears music.
    pub(super) fn begin_transfer(&mut self, now: Tick, id: CallId, session: SessionId, agent: Option<AgentId>) -> bool {
        let music = self.music_for(id);
        let hold_music = self.playing(music);
        let called = self.calls.get(&id).filter(|call| call.caller.session == session);
        let turned = called.map(|call| (call.from.clone(), call.caller_account.clone()));
        self.turn_to_other(now, id, session);
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let Stage::Talking { connected, held_by_caller, held_by_other, .. } = call.stage else { return false };
        let Some(by) = call.other.take() else { return false };
        let charged = call.charged.len();
        call.transfer = Some(Transfer { by: Some(by), agent, connected, hold_music, held_by_caller, charged, turned });
        if held_by_other {
            self.note(now, CallEvent::Held { call: id, by: Party::Agent, on: false });
        }
        self.note(now, CallEvent::Transferring { call: id, by: agent });
        self.enter(now, id, Stage::Dialling { ways: VecDeque::<Way>::new(), ringback: None });
        self.replan(now, id);
        true
    }

    /// Music while somebody is transferred: the queue's, or where the call has none that of the first queue.
    pub(super) fn music_for(&self, id: CallId) -> Vec<offhook_plan::AssetId> {
        let own = self.calls.get(&id).and_then(|call| self.queue(call.queue?));
        own.or_else(|| self.config.queues.first()).map(|queue| queue.music.clone()).unwrap_or_default()
    }

    /// Makes sure that `session` sits at the far end, so that who stays is the caller of the rest of the call.
    pub(super) fn turn_to_other(&mut self, now: Tick, id: CallId, session: SessionId) {
        let Some(call) = self.calls.get(&id).filter(|call| call.caller.session == session && call.other.is_some())
        else {
            return;
        };
        let shown = self.presented_other(call);
        self.lift_aside(now, id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(other) = call.other.take() else { return };
        let leaves = core::mem::replace(&mut call.caller, other.leg);
        let agent = core::mem::replace(&mut call.caller_agent, other.agent);
        call.caller_account = None;
        call.from = shown;
        call.other = Some(Other { agent, leg: leaves, early_media: false });
        if let Stage::Talking { held_by_caller, held_by_other, .. } = &mut call.stage {
            core::mem::swap(held_by_caller, held_by_other);
        }
        let stays = call.caller.session;
        for (session, role) in [(stays, Role::Caller), (session, Role::Dialled)] {
            if let Some(entry) = self.sessions.get_mut(&session) {
                entry.1 = role;
            }
        }
        self.confirm_dialog(now, id, Party::Caller, stays);
        self.confirm_dialog(now, id, Party::Agent, session);
    }

    /// How the far end of a call is shown to others.
    fn presented_other(&self, call: &Call) -> Presented {
        let agent = call.other.as_ref().and_then(|other| self.agent(other.agent?));
        Presented { display: agent.map(|agent| agent.acd.name.clone()), user: call.number.clone() }
    }

    /// The target talks, or the caller is where the transfer leads: the transferring phone is told and hung up on.
    pub(super) fn transferred(&mut self, now: Tick, id: CallId, to: Option<AgentId>) {
        let Some(transfer) = self.calls.get_mut(&id).and_then(|call| call.transfer.take()) else { return };
        self.counters.transfers_done += 1;
        self.note(now, CallEvent::Transferred { call: id, by: transfer.agent, to, attended: false, status: 200 });
        if let Some(by) = transfer.by {
            self.endpoint.notify_refer(now, by.leg.session, 200);
            self.dismiss(now, id, &by, None);
        }
    }

    /// The target cannot be had: the caller comes back to the transferring phone, or where that is gone to a defined place.
    /// False where no transfer is under way.
    pub(super) fn transfer_failed(&mut self, now: Tick, id: CallId, status: u16) -> bool {
        if self.calls.get(&id).is_none_or(|call| call.transfer.is_none()) {
            return false;
        }
        self.timers.disarm(id, Kind::Ring);
        self.timers.disarm(id, Kind::Failover);
        self.drop_dialled(now, id);
        let Some(transfer) = self.calls.get_mut(&id).and_then(|call| call.transfer.take()) else { return false };
        let Transfer { by, agent, connected, hold_music, held_by_caller, charged, turned } = transfer;
        // An attempt that reached nobody outside is no call outside.
        let charges = self.calls.get_mut(&id).map(|call| call.charged.split_off(charged));
        self.discharge(charges.unwrap_or_default());
        self.counters.transfers_failed += 1;
        self.note(now, CallEvent::Transferred { call: id, by: agent, to: None, attended: false, status });
        let Some(by) = by else {
            self.strand(now, id, status);
            return true;
        };
        self.endpoint.notify_refer(now, by.leg.session, status);
        let held_by_other = by.leg.negotiated.as_ref().is_some_and(|agreed| !agreed.direction.sends());
        let agent = by.agent;
        let Some(call) = self.calls.get_mut(&id) else { return true };
        call.other = Some(by);
        let contact = call.contact;
        self.enter(now, id, Stage::Talking { connected, hold_music, held_by_caller, held_by_other });
        self.note(now, CallEvent::Connected { call: id, agent });
        if held_by_other {
            self.note(now, CallEvent::Held { call: id, by: Party::Agent, on: true });
        }
        if let Some(contact) = contact {
            // The phone may have changed its hold while it waited aside; a contact that ended has none to change.
            let _ended = self.tell(now, Command::Hold { contact, on: held_by_other });
        }
        if let (Some((from, account)), Some(call)) = (turned, self.calls.get(&id)) {
            let stays = call.caller.session;
            self.turn_to_other(now, id, stays);
            if let Some(call) = self.calls.get_mut(&id) {
                (call.from, call.caller_account) = (from, account);
            }
        }
        self.replan(now, id);
        true
    }

    /// Nobody is left to talk to a caller who did not hang up: back to the queue at the old place, or a last message and the end.
    /// `status` says why nobody is.
    pub(super) fn strand(&mut self, now: Tick, id: CallId, status: u16) {
        let Some(queue) = self.calls.get(&id).and_then(|call| call.queue) else {
            return self.say_and_end(now, id, Vec::new(), CallEnd::NotReached, status);
        };
        if self.admit(now, id, queue).is_ok() {
            return self.wait_in(now, id, queue);
        }
        self.finish_contact(now, id);
        let words = self.queue(queue).map(|queue| queue.nobody_here.clone()).unwrap_or_default();
        self.say_and_end(now, id, words, CallEnd::NotReached, NOBODY);
    }

    /// The transferring phone hung up before the end was known: its agent is free, the target rings on.
    pub(super) fn transferor_left(&mut self, now: Tick, id: CallId, session: SessionId) -> bool {
        let transfer = self.calls.get_mut(&id).and_then(|call| call.transfer.as_mut());
        let Some(by) = transfer.and_then(|transfer| transfer.by.take_if(|by| by.leg.session == session)) else {
            return false;
        };
        self.finish_contact(now, id);
        if let Some(agent) = by.agent {
            self.disengage(now, agent, id);
        }
        self.replan(now, id);
        true
    }

    /// The call ends while somebody is being transferred.
    pub(super) fn give_up_transfer(&mut self, now: Tick, id: CallId) {
        let Some(transfer) = self.calls.get_mut(&id).and_then(|call| call.transfer.take()) else { return };
        self.counters.transfers_failed += 1;
        let status = 487;
        self.note(now, CallEvent::Transferred { call: id, by: transfer.agent, to: None, attended: false, status });
        if let Some(by) = transfer.by {
            self.endpoint.notify_refer(now, by.leg.session, status);
            if let Some(agent) = by.agent {
                self.disengage(now, agent, id);
            }
        }
    }

    /// Whoever took the contact from the queue is done with it; wrap-up begins.
    pub(super) fn finish_contact(&mut self, now: Tick, id: CallId) {
        if let Some(contact) = self.calls.get_mut(&id).and_then(|call| call.contact.take()) {
            self.contacts.remove(&contact);
            // Refused only where a supervisor's command ended the assignment before.
            let _ended = self.tell(now, Command::Finish { contact });
        }
    }
}

/// Where a phone sits in a call, and who answers for it.
pub(super) struct Seat {
    pub is_caller: bool,
    pub agent: Option<AgentId>,
    pub account: Option<String>,
}

/// Where a transfer leads.
enum Target {
    /// What is dialled.
    Number(String),
    /// The far end of another call of the phone's.
    Consulted(Replaces),
}

fn request_target(request: &Request) -> Option<offhook_sip::Uri> {
    Some(request.headers.get("Refer-To")?.parse::<NameAddr>().ok()?.uri)
}

fn target_of(request: &Request) -> Result<Target, u16> {
    let uri = request_target(request).ok_or(400_u16)?;
    match uri.scheme {
        Scheme::Sip | Scheme::Sips | Scheme::Tel => {}
        Scheme::Other(_) => return Err(416),
    }
    // Anything but a call (RFC 3515 section 2.1 allows it) is nothing that a phone needs here.
    if uri.param("method").is_some_and(|method| !method.eq_ignore_ascii_case("INVITE")) {
        return Err(403);
    }
    match Replaces::in_uri(&uri) {
        Some(Ok(replaces)) => Ok(Target::Consulted(replaces)),
        Some(Err(_)) => Err(400),
        None => Ok(Target::Number(uri.user_decoded().unwrap_or_default().into_owned())),
    }
}

impl Call {
    /// The leg of a session, those of guests and of a phone that waits aside included.
    pub(super) fn leg_mut(&mut self, session: SessionId) -> Option<&mut Leg> {
        if self.caller.session == session {
            return Some(&mut self.caller);
        }
        let aside = self.transfer.as_mut().and_then(|transfer| transfer.by.as_mut());
        let guests = self.guests.iter_mut().map(|guest| &mut guest.other);
        let others = self.other.as_mut().into_iter().chain(aside).chain(guests).map(|other| &mut other.leg);
        let mut legs = others.chain(self.ringing.values_mut().map(|rings| &mut rings.leg));
        legs.find(|leg| leg.session == session)
    }
}

impl Exchange {
    /// Puts the call into a queue, or moves it there with the place that it has; what it hears follows with `wait_in`.
    pub(super) fn admit(&mut self, now: Tick, id: CallId, queue: QueueId) -> Result<(), Refusal> {
        let visit = offhook_units::VisitId(self.ids.next());
        let Some(call) = self.calls.get(&id) else { return Err(Refusal::UnknownQueue(queue)) };
        let (kept, mut place_at) = (call.contact, call.queued_at);
        if place_at.is_none() {
            place_at = self.place_of_callback(now, id, queue);
        }
        let kept_place = if place_at.is_none() { self.kept_place(now, id, queue) } else { None };
        let contact = kept.unwrap_or_else(|| offhook_units::ContactId(self.ids.next()));
        let place_at = place_at.or(kept_place);
        let command = if kept.is_some() {
            Command::Requeue { contact, visit, queue, priority: 0 }
        } else {
            let (channel, needs) = (offhook_acd::Channel::Voice, Vec::new());
            let prefers = self.preferred(now, id, queue);
            Command::Enter { contact, visit, queue, channel, priority: 0, place_at, needs, prefers }
        };
        self.tell(now, command)?;
        if kept_place.is_some() {
            self.took_place_back(id, queue);
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.contact = Some(contact);
            call.queue = Some(queue);
            call.queued_at.get_or_insert(place_at.unwrap_or(now));
        }
        self.contacts.insert(contact, id);
        self.note(now, CallEvent::Queued { call: id, contact, visit, queue });
        Ok(())
    }
}
