//! How mixes are laid, made, and given up for relaying again.

use offhook_codec::{SpeechEncoder, Transcoder, opus};
use offhook_plan::{CodecKind, Edge, MediaEvent, Negotiated, Source as PlanSource};
use offhook_rtp::{HEADER_BYTES, SRTP_TAIL_MAX};
use offhook_units::{CallId, LegId, SampleRate, Span, Tick};

use crate::leg::{Kind, Leg, Source, coding_of, form_of};
use crate::mix::{From, Heard, Input, Mix, PACKET_SAMPLES_MAX, Sources, packet_time};
use crate::out::Relay;
use crate::player::{CATCH_UP_MAX, GRID, Player};
use crate::voice::{FRAME, FRAME_EVERY, Meet, REST_MAX, Voice, glide};
use crate::worker::Call;
use crate::{Io, Worker};

/// Largest payload that a mix makes: a whole packet, and less than another, of bytes that last 125 us; or a frame of Opus.
pub const PAYLOAD_MAX: usize =
    if 2 * PACKET_SAMPLES_MAX > opus::PACKET_BYTES_MAX { 2 * PACKET_SAMPLES_MAX } else { opus::PACKET_BYTES_MAX };

/// Fills `pcm` from `from` on with what goes from the sample before to silence.
fn fade_out(pcm: &mut [i16], from: usize) {
    let last = from.checked_sub(1).map_or(0, |last| i32::from(pcm[last]));
    let count = (pcm.len() - from) as i32;
    for (n, sample) in (1..).zip(&mut pcm[from..]) {
        *sample = (last * (count - n) / count) as i16;
    }
}

/// Whether speech goes from one leg to another packet by packet: as it is, or byte by byte. Pauses of the one are made to sound for
/// another that does not know comfort noise, in the mix.
pub fn is_relayed(said: &Negotiated, heard: &Negotiated) -> bool {
    let codecs = said.codec == heard.codec || (coding_of(said.codec).is_some() && coding_of(heard.codec).is_some());
    codecs && (heard.comfort_noise || !said.comfort_noise)
}

/// The legs as those of one call hear them: one that has gone to another call is gone.
struct Legs<'a>(&'a [Option<Box<Leg>>], CallId);

impl Legs<'_> {
    fn voice(&self, leg: LegId, slot: u32) -> Option<&Voice> {
        // The slot of a leg that is gone may be another's by now.
        let source = self.0.get(slot as usize)?.as_deref();
        source.filter(|source| source.id == leg && source.call == self.1)?.voice.as_deref()
    }
}

impl Sources for Legs<'_> {
    fn frame(&self, leg: LegId, slot: u32, meet: &mut Option<Box<Meet>>) -> Option<Heard> {
        let voice = self.voice(leg, slot)?;
        let (mut frame, mut upper) = (*voice.frame(), voice.upper().copied());
        if let Some(way) = meet.as_deref_mut()
            && way.frame(voice, &mut frame, upper.as_mut().unwrap_or(&mut [0; FRAME]))
        {
            *meet = None;
        }
        Some(Heard { frame, upper, loudness: voice.loudness() })
    }

    fn loudness(&self, leg: LegId, slot: u32) -> f32 {
        self.voice(leg, slot).map_or(0.0, Voice::loudness)
    }
}

impl Worker {
    /// Lays several edges towards one leg, or changes what a mix is made of. What is heard already goes on without a seam.
    pub(crate) fn lay_mix(&mut self, now: Tick, call: &Call, slot: u32, edges: &[&Edge]) {
        let Some(leg) = self.leg_mut(slot) else { return };
        let before = core::mem::replace(&mut leg.hears, Source::Nothing);
        let Some(codec) = leg.media.as_ref().map(|media| media.codec) else { return };
        let (mut mix, relayed, mut played) = match before {
            Source::Mix(mix) if mix.codec == codec => (mix, None, None),
            before => {
                let Some(mut mix) = Mix::new(codec) else { return };
                leg.reports.redundancy.tell(&mut mix.encoder);
                let (mut relayed, mut played) = (None, None);
                match before {
                    Source::Mix(before) => mix.inputs = before.inputs,
                    Source::Leg { leg, .. } => relayed = Some(leg),
                    Source::Player(player) => (mix.begins, played) = (player.begins, Some(player)),
                    Source::Nothing => mix.begins = true,
                }
                (Box::new(mix), relayed, played)
            }
        };
        mix.edges = edges.len();
        mix.inputs.iter_mut().for_each(|input| input.leaving = true);
        for edge in edges {
            match &edge.from {
                PlanSource::Leg(from) => {
                    let Some((source, is_new)) = self.bring_to_voice(call, *from, edge.since) else { continue };
                    if let Some(input) = mix.inputs.iter_mut().find(|input| input.is_leg(*from)) {
                        input.leaving = false;
                    } else {
                        // What is heard from its first word on needs no fading in.
                        let at_once = relayed == Some(*from) || (is_new && edge.since != Tick::MAX);
                        mix.inputs.push(self.input_of(*from, source, relayed == Some(*from), at_once));
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

    fn input_of(&mut self, from: LegId, slot: u32, was_relayed: bool, at_once: bool) -> Input {
        let leg = self.leg_mut(slot).filter(|_| was_relayed);
        let meet = leg.and_then(|leg| Meet::after(&leg.recent, leg.voice.as_deref_mut()?)).map(Box::new);
        let from = From::Leg { leg: from, slot, meet };
        if at_once { Input::at_once(from) } else { Input::fading_in(from) }
    }

    /// A leg's slot, once its speech is at hand as samples, and whether it was not before; what is held of it since `since` comes
    /// first then.
    fn bring_to_voice(&mut self, call: &Call, from: LegId, since: Tick) -> Option<(u32, bool)> {
        let slot = call.legs.iter().find(|(leg, _)| *leg == from).map(|(_, slot)| *slot)?;
        let leg = self.leg_mut(slot)?;
        let codec = leg.media.as_ref()?.codec;
        let is_new = leg.voice.as_ref().is_none_or(|voice| voice.codec != codec);
        if is_new {
            let mut voice = Box::new(Voice::new(codec)?);
            for (at, header, payload) in leg.hold.iter().filter(|(at, ..)| *at >= since) {
                match leg.kind_of(header.payload_type, payload) {
                    Kind::Speech => voice.push(at, &header, payload),
                    Kind::Noise => voice.push_noise(at, &header, payload),
                    Kind::Key(_) | Kind::Unknown => {}
                }
            }
            leg.heard_since(since);
            leg.voice = Some(voice);
        }
        Some((slot, is_new))
    }

    /// Who is heard by whom, after a plan: voices that are in no mix any more are given up.
    pub(crate) fn list_mixes(&mut self, call: &Call) {
        let mine = |slot: &u32| call.legs.iter().any(|(_, leg)| leg == slot);
        self.mixing.retain(|slot| !mine(slot));
        self.voices.retain(|slot| !mine(slot));
        let mut heard = Vec::new();
        for (_, slot) in &call.legs {
            let has_upper = |from: &From| self.has_upper(from);
            let Some(leg) = self.legs.get(*slot as usize).and_then(Option::as_deref) else { continue };
            let Source::Mix(mix) = &leg.hears else { continue };
            let wide = form_of(mix.codec).is_wide() && mix.inputs.iter().any(|input| has_upper(&input.from));
            self.mixing.push(*slot);
            heard.extend(mix.inputs.iter().filter_map(|input| match &input.from {
                From::Leg { leg, slot, .. } => Some((*leg, *slot, wide)),
                From::Player(_) => None,
            }));
            if let Some(Source::Mix(mix)) = self.leg_mut(*slot).map(|leg| &mut leg.hears) {
                mix.hear_wide(wide);
            }
        }
        for (id, slot) in &call.legs {
            let Some(leg) = self.leg_mut(*slot) else { continue };
            let mine = heard.iter().filter(|(leg, at, _)| (leg, at) == (id, slot));
            let (listeners, wide) = (mine.clone().count() as u32, mine.clone().any(|(.., wide)| *wide));
            let Leg { voice: place, recent, .. } = leg;
            match place {
                Some(voice) if listeners > 0 => {
                    voice.listeners = listeners;
                    voice.hear_wide(wide, recent);
                    self.voices.push(*slot);
                }
                voice => *voice = None,
            }
        }
        self.next_mix_anew();
    }

    /// Whether what is heard in a mix has an upper band to hear.
    fn has_upper(&self, from: &From) -> bool {
        let From::Leg { leg: id, slot, .. } = from else { return false };
        let leg = self.legs.get(*slot as usize).and_then(Option::as_deref).filter(|leg| leg.id == *id);
        leg.and_then(|leg| leg.voice.as_deref()).is_some_and(|voice| form_of(voice.codec).is_wide())
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
                if let Some(leg) = self.leg_mut(self.voices[n]) {
                    leg.pull_voice(at);
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
        let key = leg.inband.as_deref_mut().and_then(|inband| inband.sounding.frame(now));
        let keys = leg.inband.as_deref().is_some_and(|inband| inband.sounding.is_busy());
        let mut mix = match core::mem::replace(&mut leg.hears, Source::Nothing) {
            Source::Mix(mix) => mix,
            other => {
                leg.hears = other;
                return false;
            }
        };
        // An answer to a command is never dropped.
        let over = |player| events.push_back(MediaEvent::PlayerFinished { call, player });
        mix.frame(&Legs(legs, call), assets, limits.speakers_max, key, over);
        while let Some(left) = mix.take_left() {
            if let From::Leg { leg, slot, .. } = left.from {
                self.release_voice(call, leg, slot);
            }
        }
        let samples = mix.packet_samples(packet);
        if mix.is_full(samples) {
            let count = mix.filled;
            self.send_mix(io, now, slot, &mut mix, count);
        }
        self.settle(io, now, slot, mix, samples, keys)
    }

    /// Whether the leg `to` may hear that of `from` packet by packet.
    fn can_be_relayed(&self, from: u32, to: u32) -> bool {
        let leg = |slot: u32| self.legs.get(slot as usize).and_then(Option::as_deref);
        let media = |slot: u32| leg(slot).and_then(|leg| leg.media.as_ref());
        let Some((said, heard)) = media(from).zip(media(to)) else { return true };
        is_relayed(said, heard) && leg(from).and_then(|leg| leg.voice.as_deref()).is_none_or(Voice::lets_go)
    }

    /// One listener less in this call.
    fn release_voice(&mut self, call: CallId, id: LegId, slot: u32) {
        let Some(leg) = self.leg_mut(slot).filter(|leg| leg.id == id && leg.call == call) else { return };
        let Some(voice) = &mut leg.voice else { return };
        voice.listeners = voice.listeners.saturating_sub(1);
        if voice.listeners == 0 {
            leg.voice = None;
            self.voices.retain(|voice| *voice != slot);
        }
    }

    /// Sends the first `count` samples that wait.
    fn send_mix(&mut self, io: &mut impl Io, now: Tick, slot: u32, mix: &mut Mix, count: usize) {
        let Mix { encoder, pcm, upper, wide, codec, begins, .. } = mix;
        let upper = wide.then(|| &upper[..count]);
        *begins = !self.send_speech(io, now, slot, encoder, *codec, (&pcm[..count], upper), *begins);
        mix.filled = 0;
    }

    /// Encodes `pcm`, with its upper band where that is heard, and sends it as one packet; says whether it left.
    #[expect(clippy::too_many_arguments, reason = "the parts of one listener that is taken apart")]
    fn send_speech(
        &mut self,
        io: &mut impl Io,
        now: Tick,
        slot: u32,
        encoder: &mut SpeechEncoder,
        codec: CodecKind,
        (pcm, upper): (&[i16], Option<&[i16]>),
        begins: bool,
    ) -> bool {
        let mut datagram = [0; HEADER_BYTES + PAYLOAD_MAX + SRTP_TAIL_MAX];
        let room = &mut datagram[HEADER_BYTES..HEADER_BYTES + PAYLOAD_MAX];
        let bytes = match upper {
            Some(upper) => encoder.encode_bands(pcm, upper, room),
            None => encoder.encode(pcm, room),
        };
        let units = pcm.len() as u32 * (codec.clock() / SampleRate::NARROW.0);
        bytes > 0 && self.send_own(io, now, slot, &mut datagram, bytes, units, begins)
    }

    /// Puts a mix back, or what takes its place where less than two are heard, nobody fades and no key sounds.
    fn settle(
        &mut self,
        io: &mut impl Io,
        now: Tick,
        slot: u32,
        mut mix: Box<Mix>,
        samples: usize,
        keys: bool,
    ) -> bool {
        let goes_on = match mix.inputs.as_slice() {
            _ if mix.edges > 1 || keys => true,
            [Input { from: From::Leg { slot: from, .. }, .. }] => !self.can_be_relayed(*from, slot),
            [_] => mix.filled > 0 || coding_of(mix.codec).is_none(),
            [] => mix.filled > 0,
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
        let (mut rest, mut above) = ([0; REST_MAX], [0; REST_MAX]);
        let Some(leg) = self.leg_mut(source) else { return (Relay::default(), None) };
        let Some(mut voice) = leg.voice.take() else { return (Relay::default(), None) };
        voice.listeners = voice.listeners.saturating_sub(1);
        let codings = coding_of(voice.codec).zip(coding_of(mix.codec));
        let transcoder = codings.and_then(|(said, heard)| Transcoder::new(said, heard));
        let relay = voice.newest().map_or_else(Relay::default, Relay::after);
        let copy = if voice.listeners > 0 { voice.copy() } else { None };
        let (count, front) = if let Some(mut copy) = copy {
            leg.voice = Some(voice);
            copy.rest(&mut rest, &mut above)
        } else {
            self.voices.retain(|voice| *voice != source);
            voice.rest(&mut rest, &mut above)
        };
        let heard = meet.map_or(0, |meet| meet.ahead_of(front)).min(count);
        let (rest, above) = (&mut rest[heard..count], &mut above[heard..count]);
        let rises = rest.len().min(FRAME);
        glide(&mut rest[..rises], gain, 1.0);
        glide(&mut above[..rises], gain, 1.0);
        self.send_rest(io, now, slot, mix, (rest, above), samples);
        (relay, transcoder)
    }

    /// Sends what waits and `rest` behind it in packets of `samples`, the last one longer by what is left over.
    fn send_rest(
        &mut self,
        io: &mut impl Io,
        now: Tick,
        slot: u32,
        mix: &mut Mix,
        (rest, above): (&[i16], &[i16]),
        samples: usize,
    ) {
        let mut waiting = [0; 2 * PACKET_SAMPLES_MAX + REST_MAX];
        let mut upper = [0; 2 * PACKET_SAMPLES_MAX + REST_MAX];
        let (filled, mut total) = (mix.filled, mix.filled + rest.len());
        waiting[..filled].copy_from_slice(&mix.pcm[..filled]);
        waiting[filled..total].copy_from_slice(rest);
        upper[..filled].copy_from_slice(&mix.upper[..filled]);
        upper[filled..total].copy_from_slice(above);
        mix.filled = 0;
        let samples = samples.clamp(FRAME, PACKET_SAMPLES_MAX);
        let whole = mix.codec == CodecKind::Opus;
        if whole {
            // Its frames have one length: the last one is filled up with what fades from the last sample.
            let end = total.next_multiple_of(samples);
            fade_out(&mut waiting[..end], total);
            total = end;
        }
        let mut at = 0;
        while at < total {
            let left = total - at;
            let count = if left < 2 * samples && !whole { left } else { samples };
            let Mix { encoder, wide, codec, begins, .. } = mix;
            let above = wide.then(|| &upper[at..at + count]);
            *begins = !self.send_speech(io, now, slot, encoder, *codec, (&waiting[at..at + count], above), *begins);
            at += count;
        }
    }
}
