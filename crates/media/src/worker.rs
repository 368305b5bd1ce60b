//! The worker: carries plans out. Given time, commands and datagrams by its driver; acts through [`Io`].
//!
//! Per packet it allocates nothing, locks nothing and asks for nothing but one [`Io::send`] for each leg that hears the packet.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use offhook_plan::tap::TapWriter;
use offhook_plan::{MediaCommand, MediaEvent, MediaPlan};
use offhook_rtp::{REPORT_BYTES_MAX, SRTP_TAIL_MAX};
use offhook_units::{CallId, Entropy, LegId, Span, Tick};

use crate::crypto::seal_rtcp;
use crate::leg::Leg;
use crate::moves::Moves;
use crate::taps::Taps;
use crate::transport::Handshakes;
use crate::{Assets, Figures, Io, Limits, SocketKey};

/// Reports and silence are looked after this often: 250 ms.
const ROUND: Span = Span::from_ms(250);
/// Largest datagram that is relayed by copy: a path's usual packet size.
pub const DATAGRAM_BYTES_MAX: usize = 2_048;

/// A call's plan as carried out.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub generation: u32,
    /// Its legs, with their slots.
    pub legs: Vec<(LegId, u32)>,
    /// Legs that could not be opened; they are not tried again.
    pub dead: Vec<LegId>,
    /// Legs that come from other calls and are not here yet.
    pub awaited: Vec<LegId>,
    /// Its plan, until they are, and all its legs have their keys.
    pub plan: Option<Box<MediaPlan>>,
}

/// One media worker without its sockets.
pub struct Worker {
    pub(crate) assets: Arc<Assets>,
    pub(crate) taps: Taps,
    pub(crate) limits: Limits,
    pub(crate) entropy: Entropy,
    pub(crate) handshakes: Option<Arc<dyn Handshakes>>,
    pub(crate) legs: Vec<Option<Box<Leg>>>,
    pub(crate) free: Vec<u32>,
    pub(crate) calls: BTreeMap<CallId, Call>,
    pub(crate) moves: Moves,
    /// Slots of legs that hear a player which is not finished.
    pub(crate) players: Vec<u32>,
    pub(crate) next_frame: Tick,
    /// Slots of legs that hear a mix, and of those that are heard in one.
    pub(crate) mixing: Vec<u32>,
    pub(crate) voices: Vec<u32>,
    pub(crate) next_mix: Tick,
    next_round: Tick,
    pub(crate) events: VecDeque<MediaEvent>,
    pub(crate) figures: Figures,
}

impl Worker {
    /// What is played from here on: the sounds of before, in their places, and more. Players go on where they are.
    pub fn play_from(&mut self, assets: Arc<Assets>) {
        self.assets = assets;
    }

    /// A worker without calls.
    pub fn new(assets: Arc<Assets>, tap: TapWriter, limits: Limits, entropy: Entropy) -> Self {
        Self {
            assets,
            taps: Taps::new(tap),
            limits,
            entropy,
            handshakes: None,
            legs: Vec::new(),
            free: Vec::new(),
            calls: BTreeMap::new(),
            moves: Moves::default(),
            players: Vec::new(),
            next_frame: Tick::MAX,
            mixing: Vec::new(),
            voices: Vec::new(),
            next_mix: Tick::MAX,
            next_round: Tick::MAX,
            events: VecDeque::new(),
            figures: Figures::default(),
        }
    }

    /// Legs whose keys come by a handshake get their transports from there; without it they fail.
    #[must_use]
    pub fn with_handshakes(self, handshakes: Option<Arc<dyn Handshakes>>) -> Self {
        Self { handshakes, ..self }
    }

    /// Carries a command out. May allocate.
    pub fn command(&mut self, io: &mut impl Io, now: Tick, command: MediaCommand) {
        match command {
            MediaCommand::Apply(plan) => self.apply(io, now, &plan),
            MediaCommand::Close(call) => {
                self.close_call(io, now, call);
                // A recording may end with it.
                self.taps.hand_over(now);
            }
            // Without the driver's help it goes no further than to another call here.
            MediaCommand::Move(goes) => {
                self.part(now, &goes);
                self.stay(io, now, goes.leg);
            }
        }
        self.mind_rounds(now);
    }

    /// Rounds are made while there are legs.
    pub(crate) fn mind_rounds(&mut self, now: Tick) {
        if self.figures.legs == 0 {
            self.next_round = Tick::MAX;
        } else if self.next_round == Tick::MAX {
            self.next_round = now + ROUND;
        }
    }

    /// Closes every call: the last deed before the worker goes.
    pub fn close_all(&mut self, io: &mut impl Io, now: Tick) {
        while let Some(call) = self.calls.keys().next().copied() {
            self.close_call(io, now, call);
        }
        self.close_unplaced(io, now);
        self.next_round = Tick::MAX;
    }

    /// Takes the datagram in `buffer[..length]` in, and relays it in place. The rest of the buffer is room: relaying to an
    /// encrypted leg needs [`offhook_rtp::SRTP_TAIL_MAX`] bytes of it, or the packet is lost and counted.
    pub fn receive(
        &mut self,
        io: &mut impl Io,
        now: Tick,
        key: SocketKey,
        from: core::net::SocketAddr,
        buffer: &mut [u8],
        length: usize,
    ) {
        self.take_in(io, now, key, from, buffer, length);
    }

    /// Sends what players and mixes have due, reports, looks for silence, and lets the recorder have its records. Call when [`Worker::next_tick`] is reached.
    pub fn tick(&mut self, io: &mut impl Io, now: Tick) {
        if now >= self.next_frame {
            self.play(io, now);
        }
        if now >= self.next_mix {
            self.mix(io, now);
        }
        if now >= self.next_round {
            self.next_round = now + ROUND;
            self.round(io, now);
        }
        if now >= self.taps.due() {
            self.taps.hand_over(now);
        }
    }

    /// When [`Worker::tick`] has something to do; `None` while there are no legs.
    pub fn next_tick(&self) -> Option<Tick> {
        let next = self.next_frame.min(self.next_mix).min(self.next_round).min(self.taps.due());
        (next != Tick::MAX).then_some(next)
    }

    /// The next event for the control plane, in order.
    pub fn poll_event(&mut self) -> Option<MediaEvent> {
        self.events.pop_front()
    }

    /// Puts an event back that could not be delivered: it is the next one again.
    pub fn return_event(&mut self, event: MediaEvent) {
        self.events.push_front(event);
    }

    /// What was counted so far.
    pub fn figures(&self) -> Figures {
        Figures {
            calls: self.calls.len() as u64,
            mixing: self.mixing.len() as u64,
            tap_records: self.taps.written,
            tap_dropped: self.taps.dropped,
            events_waiting: self.events.len() as u64,
            ..self.figures
        }
    }

    /// Whether so many events wait that no new legs are taken.
    pub(crate) fn is_swamped(&self) -> bool {
        self.events.len() >= self.limits.events_max
    }

    /// An answer to a command: never dropped.
    pub(crate) fn answer(&mut self, event: MediaEvent) {
        self.events.push_back(event);
    }

    /// A peer's doing: counted instead of told when too many events wait.
    pub(crate) fn tell(&mut self, event: MediaEvent) {
        if self.is_swamped() {
            self.figures.events_dropped += 1;
        } else {
            self.events.push_back(event);
        }
    }

    fn round(&mut self, io: &mut impl Io, now: Tick) {
        for slot in 0..self.legs.len() {
            if self.legs[slot].as_deref().is_some_and(|leg| leg.door.is_some()) {
                self.turn_transport(io, now, slot as u32);
            }
            let Some(leg) = self.legs[slot].as_deref_mut() else { continue };
            let mut silent = None;
            let receives = leg.media.as_ref().is_some_and(|media| media.direction.receives());
            let silent_for = now.since(leg.last_heard);
            let silent_after = if leg.pauses { self.limits.pause_max } else { self.limits.silent_after };
            if receives && !leg.told_silent && silent_for >= silent_after {
                leg.told_silent = true;
                silent = Some(MediaEvent::Silent { call: leg.call, leg: leg.id, silent_for });
            }
            if now >= leg.reports.next_at {
                leg.reports.schedule(now, &mut self.entropy);
                self.report(io, now, slot as u32, false);
            }
            let Some(leg) = self.legs[slot].as_deref_mut() else { continue };
            let told = [silent, leg.take_graded(), leg.take_level(now, false), leg.take_told()];
            for event in told.into_iter().flatten() {
                self.tell(event);
            }
        }
    }

    /// Sends a leg's RTCP report.
    pub(crate) fn report(&mut self, io: &mut impl Io, now: Tick, slot: u32, bye: bool) {
        let Some(leg) = self.legs.get_mut(slot as usize).and_then(Option::as_deref_mut) else { return };
        let mut out = [0; REPORT_BYTES_MAX + SRTP_TAIL_MAX];
        let Some(room) = out.first_chunk_mut() else { return };
        if let Some((length, to, mux)) = leg.write_report(now, bye, room) {
            let key = if mux { SocketKey::rtp(slot) } else { SocketKey::rtcp(slot) };
            match seal_rtcp(leg.crypto.as_deref_mut(), &mut out, length) {
                Some(sealed) => io.send(key, to, &out[..sealed]),
                None => self.figures.unsealed_packets += 1,
            }
        }
    }
}
