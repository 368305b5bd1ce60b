//! Legs that change calls, and workers: what a leg is goes with it, in one piece.
//!
//! A leg that has left its call and is in no other yet is *unplaced*: it is sent nothing, and what it says is held. Its new call's
//! plan and the leg itself may come in either order.

use offhook_plan::{MediaEvent, MediaPlan, Move};
use offhook_units::{CallId, LegId, Span, Tick};

use crate::leg::Leg;
use crate::worker::Call;
use crate::{Io, SocketKey, Worker};

/// How long a leg may be on its way from worker to worker; longer ones are counted.
pub const MOVE_WITHIN: Span = Span::from_ms(10);

/// A leg between two workers: its streams, keys, buffers and figures. Its sockets go beside it.
pub struct Moving {
    leg: Box<Leg>,
    /// When it left its call.
    since: Tick,
}

impl Moving {
    /// Which leg.
    pub const fn leg(&self) -> LegId {
        self.leg.id
    }

    /// Leads it on to another call.
    pub const fn redirect(&mut self, to: CallId) {
        self.leg.call = to;
    }
}

/// What became of a leg that was to leave its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parted {
    /// It has left, and these are its sockets.
    Here([SocketKey; 2]),
    /// It has not come here yet: to be sent on when it does.
    Awaited,
    /// There is no such leg: it failed to open.
    Gone,
}

/// Legs that are between two calls.
#[derive(Default)]
pub struct Moves {
    /// Here, in no call: with their slots, and since when.
    unplaced: Vec<(LegId, u32, Tick)>,
    /// Awaited by calls that want them no more: closed when they come.
    pub unwanted: Vec<LegId>,
    /// They will never come, and no call has asked for them yet.
    lost: Vec<LegId>,
}

impl Worker {
    /// Takes a leg out of its call. It stays here until [`Worker::stay`] or [`Worker::depart`].
    pub fn part(&mut self, now: Tick, goes: &Move) -> Parted {
        let Some(call) = self.calls.get_mut(&goes.from) else { return Parted::Gone };
        if let Some(plan) = &mut call.plan {
            plan.legs.retain(|leg| leg.leg != goes.leg);
        }
        if let Some(place) = call.awaited.iter().position(|leg| *leg == goes.leg) {
            call.awaited.swap_remove(place);
            return Parted::Awaited;
        }
        let Some(place) = call.legs.iter().position(|(leg, _)| *leg == goes.leg) else { return Parted::Gone };
        let (_, slot) = call.legs.swap_remove(place);
        let company: Vec<u32> = call.legs.iter().map(|(_, slot)| *slot).collect();
        for other in company {
            if let Some(other) = self.leg_mut(other) {
                other.heard_by.retain(|listener| *listener != slot);
                other.hold_while_unheard();
            }
        }
        self.forget_sound(slot);
        let Some(leg) = self.leg_mut(slot) else { return Parted::Gone };
        leg.part(goes.to);
        self.moves.unplaced.push((goes.leg, slot, now));
        Parted::Here([SocketKey::rtp(slot), SocketKey::rtcp(slot)])
    }

    /// The other call of a leg that has left its own is here as well.
    pub fn stay(&mut self, io: &mut impl Io, now: Tick, leg: LegId) {
        let Some(slot) = self.moves.unplaced.iter().find(|(id, ..)| *id == leg).map(|(_, slot, _)| *slot) else {
            return;
        };
        if let Some(place) = self.moves.unwanted.iter().position(|unwanted| *unwanted == leg) {
            self.moves.unwanted.swap_remove(place);
            self.moves.unplaced.retain(|(id, ..)| *id != leg);
            self.close_leg(io, now, slot);
        } else if let Some(to) = self.leg_mut(slot).map(|leg| leg.call) {
            self.come_to(io, now, to, leg);
        }
        self.mind_rounds(now);
    }

    /// Gives a leg away that has left its call, without a word to the control plane. Its sockets are the driver's to give: nothing
    /// may be received from them by now.
    pub fn depart(&mut self, now: Tick, leg: LegId) -> Option<Moving> {
        let place = self.moves.unplaced.iter().position(|(id, ..)| *id == leg)?;
        let (_, slot, since) = self.moves.unplaced.swap_remove(place);
        let leg = self.legs.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        self.figures.legs -= 1;
        self.mind_rounds(now);
        Some(Moving { leg, since })
    }

    /// Takes a leg over that another worker gave away; asks for its sockets as for those of a new one.
    pub fn arrive(&mut self, io: &mut impl Io, now: Tick, moving: Moving) {
        let Moving { leg, since } = moving;
        let (id, call) = (leg.id, leg.call);
        self.figures.moved_legs += 1;
        self.figures.moved_late += u64::from(now.since(since) > MOVE_WITHIN);
        match self.seat(io, leg.locals, |_| leg) {
            Ok(slot) => {
                self.name_again(io, slot);
                self.moves.unplaced.push((id, slot, since));
                self.stay(io, now, id);
            }
            Err(error) => {
                self.figures.legs_failed += 1;
                self.answer(MediaEvent::LegFailed { call, leg: id, error });
                self.miss(io, now, call, id);
            }
        }
    }

    /// A leg that was to come to a call here does not.
    pub fn miss(&mut self, io: &mut impl Io, now: Tick, to: CallId, leg: LegId) {
        if let Some(place) = self.moves.unwanted.iter().position(|unwanted| *unwanted == leg) {
            self.moves.unwanted.swap_remove(place);
            return;
        }
        self.moves.lost.push(leg);
        self.come_to(io, now, to, leg);
    }

    /// Carries a call's plan out once more, now that a leg is here for it, or never will be. A plan that is still to come finds
    /// the leg by itself.
    fn come_to(&mut self, io: &mut impl Io, now: Tick, to: CallId, leg: LegId) {
        let call = self.calls.get_mut(&to).filter(|call| call.awaited.contains(&leg));
        if let Some(plan) = call.and_then(|call| call.plan.take()) {
            self.apply(io, now, &plan);
        }
    }

    /// The slot of a leg that is here for this call.
    pub(crate) fn take_unplaced(&mut self, call: CallId, leg: LegId) -> Option<u32> {
        let place = self.moves.unplaced.iter().position(|(id, ..)| *id == leg)?;
        let (_, slot, _) = self.moves.unplaced[place];
        self.leg_mut(slot).filter(|leg| leg.call == call)?;
        self.moves.unplaced.swap_remove(place);
        Some(slot)
    }

    /// Which legs of a plan are still to come, and the plan until they have.
    pub(crate) fn await_moved(&mut self, call: &mut Call, plan: &MediaPlan) {
        let before = core::mem::take(&mut call.awaited);
        for wanted in plan.legs.iter().filter(|wanted| wanted.moved) {
            let is_here = call.legs.iter().any(|(leg, _)| *leg == wanted.leg);
            if is_here || call.dead.contains(&wanted.leg) {
                continue;
            }
            if let Some(place) = self.moves.lost.iter().position(|lost| *lost == wanted.leg) {
                self.moves.lost.swap_remove(place);
                call.dead.push(wanted.leg);
            } else {
                call.awaited.push(wanted.leg);
            }
        }
        let dropped = before.into_iter().filter(|leg| plan.legs.iter().all(|wanted| wanted.leg != *leg));
        self.moves.unwanted.extend(dropped);
        call.plan = (!call.awaited.is_empty()).then(|| Box::new(plan.clone()));
    }

    /// Closes what is in no call.
    pub(crate) fn close_unplaced(&mut self, io: &mut impl Io, now: Tick) {
        for (_, slot, _) in core::mem::take(&mut self.moves.unplaced) {
            self.close_leg(io, now, slot);
        }
    }
}
