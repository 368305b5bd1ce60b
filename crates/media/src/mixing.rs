//! How mixes are laid, made, and given up for relaying again.

use offhook_codec::Transcoder;
use offhook_plan::{Edge, MediaEvent, Source as PlanSource};
use offhook_rtp::{HEADER_BYTES, SRTP_TAIL_MAX};
use offhook_units::{LegId, SampleRate, Span, Tick};

use crate::leg::{Leg, Source, coding_of};
use crate::mix::{From, Input, Mix, PACKET_SAMPLES_MAX, Sources, packet_time};
use crate::out::Relay;
use crate::player::{CATCH_UP_MAX, GRID, Player};
use crate::voice::{FRAME, FRAME_EVERY, Meet, REST_MAX, Voice};
use crate::worker::Call;
use crate::{Io, Worker};

/// Longest packet that a mix leaves behind: a whole one, and less than another.
const LAST_PACKET_MAX: usize = 2 * PACKET_SAMPLES_MAX;

struct Legs<'a>(&'a [Option<Box<Leg>>]);

impl Sources for Legs<'_> {
    fn frame(&self, leg: LegId, slot: u32, meet: &mut Option<Box<Meet>>) -> Option<([i16; FRAME], f32)> {
        // The slot of a leg that is gone may be another's by now.
        let source = self.0.get(slot as usize)?.as_deref().filter(|source| source.id == leg)?;
        let voice = source.voice.as_deref()?;
        let mut frame = *voice.frame();
        if let Some(way) = meet.as_deref_mut()
            && way.frame(voice, &mut frame)
        {
            *meet = None;
        }
        Some((frame, voice.loudness()))
    }
}

impl Worker {
    /// Lays several edges towards one leg, or changes what a mix is made of. What is heard already goes on without a seam.
    pub(crate) fn lay_mix(&mut self, now: Tick, call: &Call, slot: u32, edges: &[&Edge]) {
        let Some(leg) = self.leg_mut(slot) else { return };
        let Some(coding) = leg.media.as_ref().and_then(|media| coding_of(media.codec)) else {
            leg.hears = Source::Nothing;
            return;
        };
        let (mut mix, relayed, mut played) = match core::mem::replace(&mut leg.hears, Source::Nothing) {
            Source::Mix(mix) if mix.coding == coding => (mix, None, None),
            Source::Mix(mix) => (Box::new(Mix { inputs: mix.inputs, ..Mix::new(coding) }), None, None),
            Source::Leg { leg, .. } => (Box::new(Mix::new(coding)), Some(leg), None),
            Source::Player(player) => (Box::new(Mix { begins: player.begins, ..Mix::new(coding) }), None, Some(player)),
            Source::Nothing => (Box::new(Mix { begins: true, ..Mix::new(coding) }), None, None),
        };
        mix.edges = edges.len();
        mix.inputs.iter_mut().for_each(|input| input.leaving = true);
        for edge in edges {
            match &edge.from {
                PlanSource::Leg(from) => {
                    let Some(source) = self.bring_to_voice(call, *from, edge.since) else { continue };
                    if let Some(input) = mix.inputs.iter_mut().find(|input| input.is_leg(*from)) {
                        input.leaving = false;
                    } else {
                        mix.inputs.push(self.input_of(*from, source, relayed == Some(*from)));
                    }
                }
                PlanSource::Player(plan) => {
                    let is_it = |from: &From| matches!(from, From::Player(player) if player.id == plan.player);
                    if let Some(input) = mix.inputs.iter_mut().find(|input| is_it(&input.from)) {
                        input.leaving = false;
                    } else {
                        let player = played.take_if(|player| player.id == plan.player);
                        let player = player.unwrap_or_else(|| Player::new(plan, now));
                        mix.inputs.push(Input::at_once(From::Player(player)));
                    }
                }
            }
        }
        if let Some(leg) = self.leg_mut(slot) {
            leg.hears = Source::Mix(mix);
        }
    }

    fn input_of(&self, from: LegId, slot: u32, was_relayed: bool) -> Input {
        let leg = self.legs.get(slot as usize).and_then(Option::as_deref).filter(|_| was_relayed);
        let meet = leg.and_then(|leg| Meet::after(&leg.recent, coding_of(leg.media.as_ref()?.codec)?)).map(Box::new);
        let from = From::Leg { leg: from, slot, meet };
        if was_relayed { Input::at_once(from) } else { Input::fading_in(from) }
    }

    /// A leg's slot, once its speech is at hand as samples; what is held of it since `since` comes first.
    fn bring_to_voice(&mut self, call: &Call, from: LegId, since: Tick) -> Option<u32> {
        let slot = call.legs.iter().find(|(leg, _)| *leg == from).map(|(_, slot)| *slot)?;
        let leg = self.leg_mut(slot)?;
        let coding = coding_of(leg.media.as_ref()?.codec)?;
        if leg.voice.as_ref().is_none_or(|voice| voice.coding != coding) {
            let mut voice = Box::new(Voice::new(coding));
            for (at, header, payload) in leg.hold.iter().filter(|(at, ..)| *at >= since) {
                if leg.kind_of(header.payload_type, payload) == crate::leg::Kind::Speech {
                    voice.push(at, &header, payload);
                }
            }
            leg.heard_since(since);
            leg.voice = Some(voice);
        }
        Some(slot)
    }

    /// Who is heard by whom, after a plan: voices that are in no mix any more are given up.
    pub(crate) fn list_mixes(&mut self, call: &Call) {
        let mine = |slot: &u32| call.legs.iter().any(|(_, leg)| leg == slot);
        self.mixing.retain(|slot| !mine(slot));
        self.voices.retain(|slot| !mine(slot));
        let mut heard = Vec::new();
        for (_, slot) in &call.legs {
            let Some(leg) = self.legs.get(*slot as usize).and_then(Option::as_deref) else { continue };
            if let Source::Mix(mix) = &leg.hears {
                self.mixing.push(*slot);
                heard.extend(mix.inputs.iter().filter_map(|input| match &input.from {
                    From::Leg { leg, slot, .. } => Some((*leg, *slot)),
                    From::Player(_) => None,
                }));
            }
        }
        for (id, slot) in &call.legs {
            let Some(leg) = self.leg_mut(*slot) else { continue };
            let listeners = heard.iter().filter(|heard| **heard == (*id, *slot)).count() as u32;
            match &mut leg.voice {
                Some(voice) if listeners > 0 => {
                    voice.listeners = listeners;
                    self.voices.push(*slot);
                }
                voice => *voice = None,
            }
        }
        self.next_mix_anew();
    }

    /// A leg is gone: nobody mixes it, and it hears no mix.
    pub(crate) fn forget_mix(&mut self, slot: u32) {
        self.mixing.retain(|mixing| *mixing != slot);
        self.voices.retain(|voice| *voice != slot);
        self.next_mix_anew();
    }

    fn next_mix_anew(&mut self) {
        if self.mixing.is_empty() {
            self.next_mix = Tick::MAX;
        }
    }

    /// Mixes begin at the next point of the grid.
    pub(crate) fn begin_mixes(&mut self, now: Tick) {
        if !self.mixing.is_empty() && self.next_mix == Tick::MAX {
            let grid = GRID.as_us();
            self.next_mix = Tick::from_us(now.as_us().div_ceil(grid) * grid);
        }
    }

    /// Makes the frames that are due, of everybody.
    pub(crate) fn mix(&mut self, io: &mut impl Io, now: Tick) {
        let late = now.since(self.next_mix);
        if late > FRAME_EVERY * (2 * CATCH_UP_MAX) {
            // What was slept through is not sent in a burst; the time line goes on by the time gone.
            self.next_mix += Span::from_us(late.as_us() / GRID.as_us() * GRID.as_us());
            for n in 0..self.mixing.len() {
                if let Some(Source::Mix(mix)) = self.leg_mut(self.mixing[n]).map(|leg| &mut leg.hears) {
                    mix.begins = true;
                }
            }
        }
        while self.next_mix <= now {
            let at = self.next_mix;
            for n in 0..self.voices.len() {
                if let Some(voice) = self.leg_mut(self.voices[n]).and_then(|leg| leg.voice.as_deref_mut()) {
                    voice.pull(at);
                }
            }
            let mut n = 0;
            while let Some(slot) = self.mixing.get(n).copied() {
                if self.mix_for(io, now, slot) {
                    n += 1;
                } else {
                    self.mixing.swap_remove(n);
                }
            }
            if self.mixing.is_empty() {
                self.next_mix = Tick::MAX;
                return;
            }
            self.next_mix += FRAME_EVERY;
        }
    }

    /// One leg's frame, and its packet when that is full; says whether the leg goes on to hear a mix.
    fn mix_for(&mut self, io: &mut impl Io, now: Tick, slot: u32) -> bool {
        let Self { legs, assets, limits, events, .. } = self;
        let Some(leg) = legs.get_mut(slot as usize).and_then(Option::as_deref_mut) else { return false };
        let Some(packet) = leg.media.as_ref().map(|media| packet_time(media.ptime_ms)) else { return true };
        let call = leg.call;
        let mut mix = match core::mem::replace(&mut leg.hears, Source::Nothing) {
            Source::Mix(mix) => mix,
            other => {
                leg.hears = other;
                return false;
            }
        };
        // An answer to a command is never dropped.
        let over = |player| events.push_back(MediaEvent::PlayerFinished { call, player });
        mix.frame(&Legs(legs), assets, limits.speakers_max, over);
        while let Some(left) = mix.take_left() {
            if let From::Leg { leg, slot, .. } = left.from {
                self.release_voice(leg, slot);
            }
        }
        let samples = SampleRate::NARROW.samples(packet) as usize;
        if mix.is_full(samples) {
            let count = mix.filled;
            self.send_mix(io, now, slot, &mut mix, count);
        }
        self.settle(io, now, slot, mix, samples)
    }

    /// One listener less.
    fn release_voice(&mut self, id: LegId, slot: u32) {
        let Some(leg) = self.leg_mut(slot).filter(|leg| leg.id == id) else { return };
        let Some(voice) = &mut leg.voice else { return };
        voice.listeners = voice.listeners.saturating_sub(1);
        if voice.listeners == 0 {
            leg.voice = None;
            self.voices.retain(|voice| *voice != slot);
        }
    }

    /// Sends the first `count` samples that wait.
    fn send_mix(&mut self, io: &mut impl Io, now: Tick, slot: u32, mix: &mut Mix, count: usize) {
        let mut datagram = [0; HEADER_BYTES + PACKET_SAMPLES_MAX + SRTP_TAIL_MAX];
        let Mix { encoder, pcm, .. } = mix;
        for (byte, sample) in datagram[HEADER_BYTES..].iter_mut().zip(&pcm[..count]) {
            *byte = encoder.sample(*sample);
        }
        mix.begins = !self.send_own(io, now, slot, &mut datagram, count, mix.begins);
        mix.filled = 0;
    }

    /// Puts a mix back, or what takes its place where less than two are heard and nobody fades.
    fn settle(&mut self, io: &mut impl Io, now: Tick, slot: u32, mut mix: Box<Mix>, samples: usize) -> bool {
        let goes_on = match mix.inputs.as_slice() {
            _ if mix.edges > 1 => true,
            [Input { from: From::Leg { .. }, .. }] => false,
            [_] | [] => mix.filled > 0,
            [_, ..] => true,
        };
        let after = if goes_on {
            Source::Mix(mix)
        } else {
            match mix.inputs.pop().map(|input| (input.gain(), input.from)) {
                Some((gain, From::Leg { leg, slot: source, meet })) => {
                    let (relay, transcoder) = self.back_to_relay(io, now, slot, &mut mix, gain, source, meet, samples);
                    Source::Leg { leg, relay, transcoder }
                }
                Some((_, From::Player(mut player))) => {
                    player.begins = mix.begins;
                    player.next_at = self.next_mix + FRAME_EVERY;
                    if !player.finished {
                        self.players.push(slot);
                        self.next_frame = self.next_frame.min(player.next_at);
                    }
                    Source::Player(player)
                }
                None => Source::Nothing,
            }
        };
        if let Some(leg) = self.leg_mut(slot) {
            leg.hears = after;
        }
        goes_on
    }

    /// What the buffer still holds of the one that is left is sent at once; from then on its packets are relayed as they come.
    #[expect(clippy::too_many_arguments, reason = "the parts of one listener that is taken apart")]
    fn back_to_relay(
        &mut self,
        io: &mut impl Io,
        now: Tick,
        slot: u32,
        mix: &mut Mix,
        gain: f32,
        source: u32,
        meet: Option<Box<Meet>>,
        samples: usize,
    ) -> (Relay, Option<Transcoder>) {
        let mut rest = [0; REST_MAX];
        let Some(leg) = self.leg_mut(source) else { return (Relay::default(), None) };
        let Some(mut voice) = leg.voice.take() else { return (Relay::default(), None) };
        voice.listeners = voice.listeners.saturating_sub(1);
        let transcoder = Transcoder::new(voice.coding, mix.coding);
        let relay = voice.newest().map_or_else(Relay::default, Relay::after);
        let (count, front) = if voice.listeners > 0 {
            let mut copy = voice.clone();
            leg.voice = Some(voice);
            copy.rest(&mut rest)
        } else {
            self.voices.retain(|voice| *voice != source);
            voice.rest(&mut rest)
        };
        let heard = meet.map_or(0, |meet| meet.ahead_of(front)).min(count);
        let rest = &mut rest[heard..count];
        for (n, sample) in rest.iter_mut().take(FRAME).enumerate() {
            let gain = gain + (1.0 - gain) * ((n + 1) as f32 / FRAME as f32);
            *sample = (f32::from(*sample) * gain) as i16;
        }
        self.send_rest(io, now, slot, mix, rest, samples);
        (relay, transcoder)
    }

    /// Sends what waits and `rest` behind it in packets of `samples`, the last one longer by what is left over.
    fn send_rest(&mut self, io: &mut impl Io, now: Tick, slot: u32, mix: &mut Mix, rest: &[i16], samples: usize) {
        let mut waiting = [0; PACKET_SAMPLES_MAX + REST_MAX];
        let (filled, total) = (mix.filled, mix.filled + rest.len());
        waiting[..filled].copy_from_slice(&mix.pcm[..filled]);
        waiting[filled..total].copy_from_slice(rest);
        mix.filled = 0;
        let (mut left, samples) = (&waiting[..total], samples.clamp(FRAME, PACKET_SAMPLES_MAX));
        while !left.is_empty() {
            let count = if left.len() < 2 * samples { left.len() } else { samples };
            let mut datagram = [0; HEADER_BYTES + LAST_PACKET_MAX + SRTP_TAIL_MAX];
            for (byte, sample) in datagram[HEADER_BYTES..].iter_mut().zip(&left[..count]) {
                *byte = mix.encoder.sample(*sample);
            }
            mix.begins = !self.send_own(io, now, slot, &mut datagram, count, mix.begins);
            left = &left[count..];
        }
    }
}
