//! Plans: the difference between what is and what shall be, carried out.

use core::net::SocketAddr;

use offhook_codec::Transcoder;
use offhook_plan::tap::Side;
use offhook_plan::{Edge, Fork, LegPlan, MediaEvent, MediaPlan, Source as PlanSource};
use offhook_units::{CallId, LegId, Tick};

use crate::leg::{Leg, Source, coding_of};
use crate::mixing::is_relayed;
use crate::out::Relay;
use crate::player::Player;
use crate::reports::Reports;
use crate::transport::Door;
use crate::worker::Call;
use crate::{Io, SocketKey, Worker};

impl Worker {
    /// Carries a plan out, and reports it where all its legs are here.
    pub(crate) fn apply(&mut self, io: &mut impl Io, now: Tick, plan: &MediaPlan) {
        if self.carry_out(io, now, plan) {
            self.answer(MediaEvent::PlanApplied { call: plan.call, generation: plan.generation, at: now });
        }
    }

    /// Carries a call's plan out once more, now that a leg has its keys.
    pub(crate) fn carry_out_again(&mut self, io: &mut impl Io, now: Tick, call: CallId) {
        if let Some(plan) = self.calls.get_mut(&call).and_then(|call| call.plan.take()) {
            self.carry_out(io, now, &plan);
        }
    }

    /// Says whether all legs of the plan are here, and the plan is the newest.
    fn carry_out(&mut self, io: &mut impl Io, now: Tick, plan: &MediaPlan) -> bool {
        let mut call = self.calls.remove(&plan.call).unwrap_or_default();
        if plan.generation < call.generation {
            self.calls.insert(plan.call, call);
            return false;
        }
        call.generation = plan.generation;
        call.legs.retain(|(leg, slot)| {
            let stays = plan.legs.iter().any(|wanted| wanted.leg == *leg);
            if !stays {
                self.close_leg(io, now, *slot);
            }
            stays
        });
        for wanted in &plan.legs {
            self.bring_up(io, now, plan.call, &mut call, wanted);
        }
        self.await_moved(&mut call, plan);
        // What was held is sent when its edge is laid, and belongs to the recording.
        for (id, slot) in &call.legs {
            if let Some(leg) = self.leg_mut(*slot) {
                leg.taps.clear();
                leg.taps.extend(plan.taps.iter().filter(|tap| tap.leg == *id).map(|tap| tap.recording));
                leg.heard_as = plan.taps.iter().find(|tap| tap.leg == *id).map_or(Side::Heard, |tap| tap.heard_as);
            }
        }
        self.lay_forks(&call, &plan.forks);
        self.connect(io, now, &call, &plan.edges, &plan.forks);
        self.list_mixes(&call);
        self.begin_mixes(now);
        let is_whole = call.awaited.is_empty();
        if call.plan.is_none() && call.legs.iter().any(|(_, slot)| self.awaits_keys(*slot)) {
            call.plan = Some(Box::new(plan.clone()));
        }
        self.calls.insert(plan.call, call);
        is_whole
    }

    fn awaits_keys(&self, slot: u32) -> bool {
        self.legs.get(slot as usize).and_then(Option::as_deref).is_some_and(Leg::awaits_keys)
    }

    pub(crate) fn close_call(&mut self, io: &mut impl Io, now: Tick, call: CallId) {
        let Some(call) = self.calls.remove(&call) else { return };
        for (_, slot) in call.legs {
            self.close_leg(io, now, slot);
        }
        self.moves.unwanted.extend(call.awaited);
    }

    pub(crate) fn leg_mut(&mut self, slot: u32) -> Option<&mut Leg> {
        self.legs.get_mut(slot as usize)?.as_deref_mut()
    }

    /// Opens a leg that is new, and takes over what was agreed.
    fn bring_up(&mut self, io: &mut impl Io, now: Tick, id: CallId, call: &mut Call, wanted: &LegPlan) {
        if call.dead.contains(&wanted.leg) {
            return;
        }
        if let Some((_, slot)) = call.legs.iter().find(|(leg, _)| *leg == wanted.leg) {
            self.follow(io, now, *slot, wanted);
            return;
        }
        if wanted.moved {
            if let Some(slot) = self.take_unplaced(id, wanted.leg) {
                call.legs.push((wanted.leg, slot));
                self.follow(io, now, slot, wanted);
            }
            return;
        }
        match self.open_leg(io, now, id, wanted) {
            Ok(slot) => call.legs.push((wanted.leg, slot)),
            Err(error) => {
                call.dead.push(wanted.leg);
                self.figures.legs_failed += 1;
                self.answer(MediaEvent::LegFailed { call: id, leg: wanted.leg, error });
            }
        }
    }

    fn open_leg(&mut self, io: &mut impl Io, now: Tick, call: CallId, wanted: &LegPlan) -> Result<u32, String> {
        if self.figures.legs as usize >= self.limits.legs_max {
            return Err(format!("the worker has {} legs, its limit", self.limits.legs_max));
        }
        if self.is_swamped() {
            return Err(format!("{} events wait for the control plane, the worker's limit", self.limits.events_max));
        }
        let door = match (&wanted.dtls, &self.handshakes) {
            (Some(_), Some(handshakes)) => Some(Box::new(Door::new(handshakes, now))),
            (Some(_), None) => return Err("its keys come by DTLS, which this worker has not".to_owned()),
            (None, _) => None,
        };
        let slot = self.seat(io, (wanted.local, wanted.local_rtcp()), |worker| {
            let reports = Reports::new(now, worker.limits.report_every, &mut worker.entropy);
            Box::new(Leg::new(call, wanted, reports, door, now))
        })?;
        self.follow(io, now, slot, wanted);
        Ok(slot)
    }

    /// A leg takes over what a plan says of it: of its handshake first, whose keys may have waited for that.
    fn follow(&mut self, io: &mut impl Io, now: Tick, slot: u32, wanted: &LegPlan) {
        if let (Some(leg), Some(ours)) = (self.leg_mut(slot), &wanted.dtls) {
            leg.introduce(now, ours, wanted.negotiated.as_ref());
            if let Some(name) = leg.take_name(ours) {
                io.name(SocketKey::rtp(slot), name);
            }
            self.attend(io, now, slot);
        }
        if let Some(leg) = self.leg_mut(slot) {
            leg.agree(wanted.negotiated.as_ref(), now);
        }
    }

    /// Gives a leg a slot and opens its sockets.
    pub(crate) fn seat(
        &mut self,
        io: &mut impl Io,
        (local, local_rtcp): (SocketAddr, Option<SocketAddr>),
        leg: impl FnOnce(&mut Self) -> Box<Leg>,
    ) -> Result<u32, String> {
        let slot = self.free.last().copied().unwrap_or(self.legs.len() as u32);
        let (rtp, rtcp) = (SocketKey::rtp(slot), SocketKey::rtcp(slot));
        io.open(rtp, local)?;
        if let Some(above) = local_rtcp
            && let Err(error) = io.open(rtcp, above)
        {
            io.close(rtp);
            return Err(error);
        }
        let leg = Some(leg(self));
        if self.free.pop().is_some() {
            self.legs[slot as usize] = leg;
        } else {
            self.legs.push(leg);
        }
        self.figures.legs += 1;
        Ok(slot)
    }

    pub(crate) fn close_leg(&mut self, io: &mut impl Io, now: Tick, slot: u32) {
        self.report(io, now, slot, true);
        let Some(mut leg) = self.legs.get_mut(slot as usize).and_then(Option::take) else { return };
        leg.rate_rest(now);
        leg.end_silence(now);
        let told = [leg.take_told(), leg.take_level(now, true)];
        self.free.push(slot);
        self.forget_sound(slot);
        self.figures.legs -= 1;
        io.close(SocketKey::rtp(slot));
        io.close(SocketKey::rtcp(slot));
        for event in told.into_iter().flatten() {
            self.tell(event);
        }
        self.answer(MediaEvent::LegClosed {
            call: leg.call,
            leg: leg.id,
            report: leg.figures(),
            speech: leg.speech,
            srtp: leg.srtp_report(),
        });
    }

    /// Nothing is played or mixed for a leg any more, and no mix waits for it.
    pub(crate) fn forget_sound(&mut self, slot: u32) {
        self.players.retain(|player| *player != slot);
        if self.players.is_empty() {
            self.next_frame = Tick::MAX;
        }
        self.forget_mix(slot);
    }

    /// Lays the edges: who hears whom. What goes on as before keeps its numbers and its place.
    fn connect(&mut self, io: &mut impl Io, now: Tick, call: &Call, edges: &[Edge], forks: &[Fork]) {
        for (_, slot) in &call.legs {
            if let Some(leg) = self.leg_mut(*slot) {
                leg.heard_by.clear();
            }
        }
        for (id, slot) in &call.legs {
            if forks.iter().any(|fork| fork.to == *id) {
                continue;
            }
            let edges: Vec<&Edge> = edges.iter().filter(|edge| edge.to == *id).collect();
            self.players.retain(|player| player != slot);
            let mixes = self.leg_mut(*slot).is_some_and(|leg| matches!(leg.hears, Source::Mix(_)));
            match edges.as_slice() {
                // Whoever hears a mix leaves it when what ends has faded.
                edges if mixes || edges.len() > 1 => self.lay_mix(now, call, *slot, edges),
                [edge] if !self.goes_packet_by_packet(call, *slot, &edge.from) => {
                    self.lay_mix(now, call, *slot, &edges);
                }
                [Edge { from: PlanSource::Player(plan), .. }] => self.lay_player(now, *slot, plan),
                [Edge { from: PlanSource::Leg(from), since, .. }] => {
                    self.lay_relay(io, now, call, *slot, *from, *since);
                }
                [] | [_, ..] => self.silence(*slot),
            }
            for edge in edges {
                self.note_listener(call, &edge.from, *slot);
            }
        }
        for (_, slot) in &call.legs {
            if let Some(leg) = self.leg_mut(*slot) {
                leg.hold_while_unheard();
            }
        }
        self.next_frame = self.players.iter().filter_map(|slot| self.frame_due(*slot)).min().unwrap_or(Tick::MAX);
    }

    fn frame_due(&self, slot: u32) -> Option<Tick> {
        match &self.legs.get(slot as usize)?.as_deref()?.hears {
            Source::Player(player) => Some(player.next_at),
            Source::Nothing | Source::Leg { .. } | Source::Mix(_) => None,
        }
    }

    fn silence(&mut self, slot: u32) {
        if let Some(leg) = self.leg_mut(slot) {
            leg.hears = Source::Nothing;
        }
    }

    fn lay_player(&mut self, now: Tick, slot: u32, plan: &offhook_plan::PlayerPlan) {
        let Some(leg) = self.leg_mut(slot) else { return };
        if !matches!(&leg.hears, Source::Player(player) if player.id == plan.player) {
            leg.hears = Source::Player(Player::new(plan, now));
        }
        let Source::Player(player) = &mut leg.hears else { return };
        if player.finished || leg.media.is_none() {
            return;
        }
        // A player that had to wait for its leg to be agreed on begins now, not in the past.
        if player.begins && player.next_at < now {
            player.next_at = now;
        }
        self.players.push(slot);
    }

    /// An edge between two legs is laid once both are agreed on; until then the source's packets are held.
    fn lay_relay(&mut self, io: &mut impl Io, now: Tick, call: &Call, slot: u32, from: LegId, since: Tick) {
        let source = call.legs.iter().find(|(leg, _)| *leg == from).map(|(_, slot)| *slot);
        let said = source.and_then(|source| self.leg_mut(source)).and_then(|leg| leg.media.as_ref()).map(|m| m.codec);
        let Some(leg) = self.leg_mut(slot) else { return };
        let heard = leg.media.as_ref().map(|media| media.codec);
        let codings = said.and_then(coding_of).zip(heard.and_then(coding_of));
        let agreed = said.is_some() && heard.is_some();
        let (Some(source), true) = (source, agreed && (said == heard || codings.is_some())) else {
            // Not agreed on yet, or nothing turns one codec into the other.
            leg.hears = Source::Nothing;
            return;
        };
        let transcoder_of = || codings.and_then(|(said, heard)| Transcoder::new(said, heard));
        match &mut leg.hears {
            Source::Leg { leg, transcoder, .. } if *leg == from => {
                // What goes on as before keeps what its coding remembers; a codec that was agreed on anew has nothing to keep.
                let goes_on =
                    transcoder.as_ref().zip(codings).is_some_and(|(turns, (said, heard))| turns.leads(said, heard));
                if !goes_on {
                    *transcoder = transcoder_of();
                }
            }
            hears => {
                *hears = Source::Leg { leg: from, relay: Relay::default(), transcoder: transcoder_of() };
                self.flush_held(io, now, source, slot, since);
            }
        }
    }

    /// Whether a leg hears a source without decoding and encoding it here.
    fn goes_packet_by_packet(&self, call: &Call, slot: u32, from: &PlanSource) -> bool {
        let heard = self.legs.get(slot as usize).and_then(Option::as_deref).and_then(|leg| leg.media.as_ref());
        let Some(heard) = heard else { return true };
        let source = match from {
            PlanSource::Player(_) => return coding_of(heard.codec).is_some(),
            PlanSource::Leg(from) => call.legs.iter().find(|(leg, _)| leg == from).map(|(_, slot)| *slot),
        };
        let said = source.and_then(|source| self.legs.get(source as usize)?.as_deref()?.media.as_ref());
        said.is_none_or(|said| is_relayed(said, heard))
    }

    /// A leg is heard by another: what it says goes there from now on.
    fn note_listener(&mut self, call: &Call, from: &PlanSource, slot: u32) {
        let hears = |leg: &mut Leg| !matches!(leg.hears, Source::Nothing);
        let (PlanSource::Leg(from), true) = (from, self.leg_mut(slot).is_some_and(hears)) else { return };
        let source = call.legs.iter().find(|(leg, _)| leg == from).map(|(_, slot)| *slot);
        let source = source.and_then(|source| self.leg_mut(source)).filter(|leg| leg.media.is_some());
        if let Some(leg) = source {
            leg.heard_by.push(slot);
        }
    }
}
