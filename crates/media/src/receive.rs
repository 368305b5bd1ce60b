//! The way of a packet through a worker: taken in, told, recorded, and relayed to those who hear it, or held.

use core::net::SocketAddr;

use offhook_plan::tap::Side;
use offhook_plan::{COMFORT_NOISE, MediaEvent};
use offhook_rtp::{HEADER_BYTES, Header, SRTP_TAIL_MAX, TelephoneEvent, is_rtcp, rewrite};
use offhook_units::{SampleRate, Tick};

use crate::crypto::seal_rtp;
use crate::leg::{Discard, Incoming, Kind, Leg, Source, coding_of, samples_in};
use crate::mix::packet_time;
use crate::player::{CATCH_UP_MAX, FRAME_BYTES_MAX, Frame};
use crate::worker::DATAGRAM_BYTES_MAX;
use crate::{Io, SocketKey, Worker};

/// What a recording is given of a key's packet: that there was one, so that its time line has no loss there, and not which key.
const NO_KEY: [u8; 4] = [0; 4];

/// Whether it begins like RTP or RTCP (RFC 7983 section 7). What does not is a phone's keep-alive, STUN or nothing at all
/// (RFC 6263 section 4), and has no tag that could fail.
fn is_rtp_or_rtcp(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first >> 6 == 2)
}

impl Worker {
    pub(crate) fn take_in(
        &mut self,
        io: &mut impl Io,
        now: Tick,
        key: SocketKey,
        from: SocketAddr,
        buffer: &mut [u8],
        length: usize,
    ) {
        let slot = key.slot();
        let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_deref_mut) else { return };
        let Some(datagram) = buffer.get_mut(..length) else { return };
        if leg.door.is_some() && !is_rtp_or_rtcp(datagram) {
            self.knock(io, now, slot as u32, from, &buffer[..length]);
            return;
        }
        if leg.awaits_keys() {
            // Nothing that nobody can have protected is taken.
            leg.unopened += 1;
            self.figures.unopened_packets += 1;
            return;
        }
        if leg.crypto.is_some() && !is_rtp_or_rtcp(datagram) {
            leg.report.discarded_packets += u64::from(!key.is_rtcp());
            self.figures.discarded_packets += 1;
            return;
        }
        let opened = leg.crypto.as_deref_mut().map_or(Ok(length), |crypto| crypto.open(datagram, key.is_rtcp()));
        let Ok(length) = opened else {
            leg.unopened += 1;
            self.figures.unopened_packets += 1;
            return;
        };
        let datagram = &datagram[..length];
        if key.is_rtcp() || is_rtcp(datagram) {
            leg.hear_report(now, from, datagram);
            return;
        }
        let (mut incoming, told) = match leg.accept(now, from, datagram) {
            Ok(accepted) => accepted,
            Err(reason) => {
                if reason != Discard::Duplicate {
                    leg.report.discarded_packets += 1;
                }
                self.figures.discarded_packets += 1;
                return;
            }
        };
        let payload = &datagram[incoming.payload.clone()];
        let keys = leg.keys_of(now, &incoming, payload);
        let side = leg.heard_as;
        match incoming.kind {
            Kind::Speech => {
                let codec = leg.media.as_ref().map(|media| media.codec);
                self.taps.record(&leg.taps, leg.id, now, side, codec, &incoming.header, payload);
                leg.measure(payload);
                if let Some(voice) = &mut leg.voice {
                    voice.push(now, &incoming.header, payload);
                }
                if !leg.heard_by.is_empty() {
                    leg.recent.keep(&incoming.header, payload);
                }
            }
            Kind::Noise => {
                self.taps.record(&leg.taps, leg.id, now, side, None, &incoming.header, payload);
                if let Some(voice) = &mut leg.voice {
                    voice.push_noise(now, &incoming.header, payload);
                }
            }
            Kind::Key(_) => self.taps.record(&leg.taps, leg.id, now, side, None, &incoming.header, &NO_KEY),
            Kind::Unknown => {}
        }
        if incoming.kind == Kind::Unknown && leg.media.is_some() {
            self.figures.discarded_packets += 1;
        } else {
            self.figures.received_packets += 1;
            if leg.heard_by.is_empty() {
                let lost = leg.hold.push(now, incoming.header, payload);
                // In steady waiting every packet pushes one out; only early ones, before anything was agreed, count as lost.
                self.figures.held_overwritten += u64::from(lost && leg.media.is_none());
            }
        }
        let forked = !leg.forks.is_empty();
        if matches!(incoming.kind, Kind::Key(_)) && leg.key_is_spent(&incoming.header) {
            incoming.kind = Kind::Unknown;
        }
        for event in told.into_iter().chain(keys).flatten() {
            self.tell(event);
        }
        if forked {
            let Incoming { header, kind, began, payload, .. } = &incoming;
            self.fork(io, now, slot as u32, Side::Heard, header, *kind, *began, &buffer[payload.clone()]);
        }
        self.relay(io, now, slot, &incoming, buffer, length);
    }

    /// Relays a packet to all that hear it: the last one gets the datagram itself, the others a copy.
    fn relay(
        &mut self,
        io: &mut impl Io,
        now: Tick,
        from: usize,
        incoming: &Incoming,
        buffer: &mut [u8],
        length: usize,
    ) {
        let listeners = self.legs[from].as_deref().map_or(0, |leg| leg.heard_by.len());
        for n in 0..listeners {
            let Some(to) = self.legs[from].as_deref().and_then(|leg| leg.heard_by.get(n).copied()) else { return };
            if matches!(incoming.kind, Kind::Speech | Kind::Noise) && self.hears_mix(to) {
                continue;
            }
            if n + 1 == listeners {
                self.forward(io, now, to, incoming, buffer);
            } else if length <= DATAGRAM_BYTES_MAX {
                let mut copy = [0; DATAGRAM_BYTES_MAX + SRTP_TAIL_MAX];
                copy[..length].copy_from_slice(&buffer[..length]);
                self.forward(io, now, to, incoming, &mut copy);
            }
        }
    }

    fn hears_mix(&self, slot: u32) -> bool {
        let leg = self.legs.get(slot as usize).and_then(Option::as_deref);
        leg.is_some_and(|leg| matches!(leg.hears, Source::Mix(_)))
    }

    /// Sends one packet to one leg, with that leg's numbers; the payload stays as it is where the codecs are equal. What lies
    /// behind it in `datagram` is room for an authentication tag.
    pub(crate) fn forward(&mut self, io: &mut impl Io, now: Tick, to: u32, incoming: &Incoming, datagram: &mut [u8]) {
        let Some(leg) = self.legs.get_mut(to as usize).and_then(Option::as_deref_mut) else { return };
        if matches!(leg.hears, Source::Mix(_)) {
            return self.forward_key(io, now, to, incoming, datagram);
        }
        let Leg { media, hears, out, to: address, taps, id, forks, inband, .. } = leg;
        let forked = !forks.is_empty();
        let (Some(media), Source::Leg { relay, transcoder, .. }) = (media.as_ref(), hears) else { return };
        if let (Kind::Key(event), Some(_)) = (incoming.kind, &inband) {
            return self.sound_key(io, now, to, incoming, event);
        }
        let (payload_type, speech) = match incoming.kind {
            Kind::Speech => (Some(media.send_payload_type), true),
            Kind::Noise => (media.comfort_noise.then_some(COMFORT_NOISE), true),
            Kind::Key(_) => (media.telephone_event.map(|(send, _)| send), false),
            Kind::Unknown => (None, false),
        };
        let noise = incoming.kind == Kind::Noise;
        let (Some(payload_type), Some(address)) = (payload_type, *address) else {
            relay.skip(incoming.header.seq);
            return;
        };
        let sounds = inband.as_ref().is_some_and(|inband| inband.sounding.covers(incoming));
        if !media.direction.sends() || speech && sounds {
            relay.skip(incoming.header.seq);
            return;
        }
        let Some(mapped) = relay.map(now, incoming.at, &incoming.header, incoming.began, speech, out) else { return };
        let header = Header {
            payload_type,
            marker: incoming.header.marker || mapped.begins && !noise,
            seq: mapped.seq,
            timestamp: mapped.timestamp,
            ssrc: out.ssrc,
        };
        if speech
            && !noise
            && let Some(transcoder) = transcoder
        {
            if incoming.began {
                transcoder.source_began();
            }
            transcoder.payload(&mut datagram[incoming.payload.clone()]);
        }
        let Some(packet) = rewrite(datagram, incoming.payload.clone(), &header) else { return };
        let payload = &datagram[incoming.payload.clone()];
        let sounds_for = || if noise { 0 } else { samples_in(media.codec, payload) };
        out.sent(now, &header, speech.then(sounds_for), payload.len());
        self.figures.sent_packets += 1;
        if !taps.is_empty() {
            let codec = (speech && !noise).then_some(media.codec);
            self.taps.record(taps, *id, now, Side::Sent, codec, &header, if speech { payload } else { &NO_KEY });
        }
        if forked {
            self.fork(io, now, to, Side::Sent, &header, incoming.kind, false, payload);
        }
        let length = packet.len();
        let crypto = self.leg_mut(to).and_then(|leg| leg.crypto.as_deref_mut());
        let Some(sealed) = seal_rtp(crypto, &mut datagram[packet.start..], length) else {
            self.figures.unsealed_packets += 1;
            return;
        };
        io.send(SocketKey::rtp(to), address, &datagram[packet.start..][..sealed]);
    }

    /// Sends a key press of one whom a leg hears among others, on the time line of the mix and by its clock; or has it sound there,
    /// where no events were agreed on. Speech comes from the mix.
    fn forward_key(&mut self, io: &mut impl Io, now: Tick, to: u32, incoming: &Incoming, datagram: &mut [u8]) {
        let Some(leg) = self.legs.get_mut(to as usize).and_then(Option::as_deref_mut) else { return };
        let Leg { media, hears, out, to: address, taps, id, forks, inband, .. } = leg;
        let forked = !forks.is_empty();
        let (Some(media), Source::Mix(mix), Some(address)) = (media.as_ref(), hears, *address) else { return };
        let Kind::Key(event) = incoming.kind else { return };
        if !media.direction.sends() {
            return;
        }
        if let Some(inband) = inband {
            let taken = inband.sounding.press(incoming, event);
            self.figures.discarded_packets += u64::from(!taken);
            return;
        }
        let Some((payload_type, _)) = media.telephone_event else { return };
        let (seq, next) = out.next_of_same_speaker();
        let (timestamp, duration) = mix.keys.place(incoming, event, next, out.clock);
        let header = Header { payload_type, marker: incoming.header.marker, seq, timestamp, ssrc: out.ssrc };
        let said = datagram.get_mut(incoming.payload.clone()).and_then(|payload| payload.first_chunk_mut());
        let Some(said) = said else { return };
        *said = TelephoneEvent { duration, ..event }.encode();
        let Some(packet) = rewrite(datagram, incoming.payload.clone(), &header) else { return };
        out.sent(now, &header, None, incoming.payload.len());
        self.figures.sent_packets += 1;
        self.taps.record(taps, *id, now, Side::Sent, None, &header, &NO_KEY);
        let length = packet.len();
        if forked {
            self.fork(io, now, to, Side::Sent, &header, incoming.kind, false, &NO_KEY);
        }
        let crypto = self.leg_mut(to).and_then(|leg| leg.crypto.as_deref_mut());
        match seal_rtp(crypto, &mut datagram[packet.start..], length) {
            Some(sealed) => io.send(SocketKey::rtp(to), address, &datagram[packet.start..][..sealed]),
            None => self.figures.unsealed_packets += 1,
        }
    }

    /// Sends what is held of `from` since `since` to the leg `to`, in order.
    pub(crate) fn flush_held(&mut self, io: &mut impl Io, now: Tick, from: u32, to: u32, since: Tick) {
        let Some(leg) = self.legs.get_mut(from as usize).and_then(Option::as_deref_mut) else { return };
        let hold = core::mem::take(&mut leg.hold);
        leg.heard_since(since);
        let mut ssrc = None;
        for (at, header, payload) in hold.iter().filter(|(at, ..)| *at >= since) {
            let Some(leg) = self.legs.get_mut(from as usize).and_then(Option::as_deref_mut) else { break };
            let mut kind = leg.kind_of(header.payload_type, payload);
            if matches!(kind, Kind::Key(_)) && leg.key_is_spent(&header) {
                kind = Kind::Unknown;
            }
            let mut copy = [0; DATAGRAM_BYTES_MAX + SRTP_TAIL_MAX];
            let end = HEADER_BYTES + payload.len();
            copy[HEADER_BYTES..end].copy_from_slice(payload);
            let began = ssrc.is_some_and(|before| before != header.ssrc);
            ssrc = Some(header.ssrc);
            let payload = HEADER_BYTES..end;
            let incoming = Incoming { at, leg: leg.id, clock: leg.clock(), header, payload, kind, began };
            self.forward(io, now, to, &incoming, &mut copy);
        }
        if let Some(leg) = self.legs.get_mut(from as usize).and_then(Option::as_deref_mut) {
            leg.hold = hold;
        }
    }

    /// Sends the frames that are due.
    pub(crate) fn play(&mut self, io: &mut impl Io, now: Tick) {
        let mut next = Tick::MAX;
        let mut n = 0;
        while let Some(slot) = self.players.get(n).copied() {
            let mut due = self.play_frame(io, now, slot);
            while due.is_some_and(|due| due <= now) {
                due = self.play_frame(io, now, slot);
            }
            if let Some(due) = due {
                next = next.min(due);
                n += 1;
            } else {
                self.players.swap_remove(n);
            }
        }
        self.next_frame = next;
    }

    /// Sends one frame to a leg if one is due; says when the next one is, `None` where nothing follows.
    fn play_frame(&mut self, io: &mut impl Io, now: Tick, slot: u32) -> Option<Tick> {
        let leg = self.legs.get_mut(slot as usize)?.as_deref_mut()?;
        let Leg { media, hears, call, .. } = leg;
        let (media, Source::Player(player)) = (media.as_ref()?, hears) else { return None };
        if player.finished {
            return None;
        }
        if player.next_at > now {
            return Some(player.next_at);
        }
        let ptime = packet_time(media.ptime_ms);
        if now.since(player.next_at) > ptime * CATCH_UP_MAX {
            // What was slept through is not sent in a burst; the time line goes on by the time gone.
            player.next_at = now;
            player.begins = true;
        }
        let samples = SampleRate::NARROW.samples(ptime) as usize;
        let mut datagram = [0; HEADER_BYTES + FRAME_BYTES_MAX + SRTP_TAIL_MAX];
        let frame = coding_of(media.codec).map_or(Frame::Nothing, |coding| {
            player.fill(&self.assets, coding, &mut datagram[HEADER_BYTES..HEADER_BYTES + samples])
        });
        player.next_at += ptime;
        player.finished = frame != Frame::Playing;
        let due = (!player.finished).then_some(player.next_at);
        let over = player.finished.then_some(MediaEvent::PlayerFinished { call: *call, player: player.id });
        let begins = player.begins;
        let sent =
            frame != Frame::Nothing && self.send_own(io, now, slot, &mut datagram, samples, samples as u32, begins);
        if let Some(Source::Player(player)) = self.leg_mut(slot).map(|leg| &mut leg.hears) {
            player.begins = !sent;
        }
        if let Some(event) = over {
            self.answer(event);
        }
        due
    }

    /// Sends a packet that we made: `bytes` of speech behind the room for the header, which sound for `units` of the codec's clock. Says whether it left, or could have
    /// but for its key; `begins` where what was sent before does not end where this one begins.
    #[expect(clippy::too_many_arguments, reason = "a packet and what it is")]
    pub(crate) fn send_own(
        &mut self,
        io: &mut impl Io,
        now: Tick,
        slot: u32,
        datagram: &mut [u8],
        bytes: usize,
        units: u32,
        begins: bool,
    ) -> bool {
        let Some(leg) = self.legs.get_mut(slot as usize).and_then(Option::as_deref_mut) else { return false };
        let Leg { media, out, to, taps, id, forks, .. } = leg;
        let forked = !forks.is_empty();
        let (Some(media), Some(address)) = (media.as_ref(), *to) else { return false };
        let (true, Some(room)) = (media.direction.sends(), datagram.first_chunk_mut::<HEADER_BYTES>()) else {
            return false;
        };
        let (seq, timestamp) = if begins { out.next_for_new_speaker(now) } else { out.next_of_same_speaker() };
        let payload_type = media.send_payload_type;
        let header = Header { payload_type, marker: begins, seq, timestamp, ssrc: out.ssrc };
        *room = header.encode();
        out.sent(now, &header, Some(units), bytes);
        self.figures.sent_packets += 1;
        let length = HEADER_BYTES + bytes;
        self.taps.record(taps, *id, now, Side::Sent, Some(media.codec), &header, &datagram[HEADER_BYTES..length]);
        if forked {
            self.fork(io, now, slot, Side::Sent, &header, Kind::Speech, false, &datagram[HEADER_BYTES..length]);
        }
        let crypto = self.leg_mut(slot).and_then(|leg| leg.crypto.as_deref_mut());
        match seal_rtp(crypto, datagram, length) {
            Some(sealed) => io.send(SocketKey::rtp(slot), address, &datagram[..sealed]),
            None => self.figures.unsealed_packets += 1,
        }
        true
    }
}
