//! Keys of a leg that agreed on no telephone-events: found in what it says, and made to sound in what it is sent.

use offhook_codec::{Decoder, Form, KeyDetector, SpeechDecoder};
use offhook_plan::tap::Side;
use offhook_plan::{DigitSource, MediaEvent};
use offhook_rtp::{HEADER_BYTES, Header, SRTP_TAIL_MAX, TelephoneEvent};
use offhook_units::{RtpSeq, RtpTime, SampleRate, Tick};

use crate::crypto::seal_rtp;
use crate::leg::{Incoming, Kind, Leg, Source};
use crate::mixing::PAYLOAD_MAX;
use crate::sounding::{Sounding, ticks_a_sample};
use crate::{Io, SocketKey, Worker};

/// What of a packet is listened to: 120 ms. Keys last 40 ms and pauses as much, so it holds the beginnings of two at most.
const HEARD_MAX: usize = 960;
/// What is lost, and not repeated by what follows, counts as silence of at most this: 20 ms, which does not part a key in two. A pause that is lost whole joins two.
const LOST_SAMPLES_MAX: i32 = 160;
/// What was not sent counts as silence of at most this: 100 ms ends every key.
const UNSENT_SAMPLES_MAX: i32 = 800;

/// Both ways of one leg.
pub struct Inband {
    /// Of the leg's payloads.
    pub form: Form,
    pub ear: Ear,
    pub sounding: Sounding,
}

impl Inband {
    /// For a leg whose payloads have this form, counted by `clock`; none where there is no memory.
    pub fn new(form: Form, clock: SampleRate) -> Option<Self> {
        let decoder = SpeechDecoder::new(form).ok()?;
        let ear = Ear { decoder, times: ticks_a_sample(clock) as i32, detector: KeyDetector::default(), next: None };
        Some(Self { form, ear, sounding: Sounding::new(form)? })
    }
}

/// Listens to a leg.
pub struct Ear {
    decoder: SpeechDecoder,
    /// Units of the leg's clock to a sample.
    times: i32,
    detector: KeyDetector,
    /// The numbers of the packet that is due.
    next: Option<(RtpSeq, RtpTime)>,
}

impl Ear {
    /// The keys that are known for such with this packet. One that comes behind its time was taken for lost before.
    pub fn hear(&mut self, header: &Header, payload: &[u8], began: bool) -> [Option<char>; 2] {
        if began {
            self.decoder.reset();
            self.next = None;
        }
        let (mut keys, mut pcm) = ([None; 2], [0; HEARD_MAX]);
        if let Some((seq, timestamp)) = self.next {
            let missing = header.seq.distance(seq);
            if missing < 0 {
                return keys;
            }
            let most = if missing > 0 { LOST_SAMPLES_MAX } else { UNSENT_SAMPLES_MAX };
            let gap = (header.timestamp.distance(timestamp) / self.times).clamp(0, most) as usize;
            let known = if missing > 0 { self.decoder.recover(payload, &mut pcm[..gap]) } else { 0 };
            for sample in pcm[..known].iter().copied().chain(core::iter::repeat_n(0, gap - known)) {
                note(&mut keys, self.detector.sample(sample));
            }
        }
        let count = self.decoder.decode(payload, &mut pcm);
        let lasts = self.decoder.samples_in(payload) as u32 * self.times as u32;
        self.next = Some((header.seq.next(), header.timestamp.wrapping_add(lasts)));
        for sample in &pcm[..count] {
            note(&mut keys, self.detector.sample(*sample));
        }
        keys
    }

    /// Comfort noise came: its number is not missing from speech.
    fn pause(&mut self, header: &Header) {
        if let Some((seq, _)) = &mut self.next
            && *seq == header.seq
        {
            *seq = seq.next();
        }
    }
}

fn note(keys: &mut [Option<char>; 2], key: Option<char>) {
    if let Some(place) = keys.iter_mut().find(|place| place.is_none()).filter(|_| key.is_some()) {
        *place = key;
    }
}

impl Leg {
    /// The keys that are told with a packet.
    pub fn keys_of(&mut self, now: Tick, incoming: &Incoming, payload: &[u8]) -> [Option<MediaEvent>; 2] {
        let (digits, source) = match (incoming.kind, &mut self.inband) {
            (Kind::Key(event), _) => ([self.key_pressed(now, &incoming.header, event), None], DigitSource::Event),
            // Whom another leg hears presses keys for that one, which hears them as they are: only the exchange needs to be told.
            (Kind::Speech, Some(inband)) if self.heard_by.is_empty() => {
                (inband.ear.hear(&incoming.header, payload, incoming.began), DigitSource::Inband)
            }
            (Kind::Noise, Some(inband)) => {
                inband.ear.pause(&incoming.header);
                return [const { None }; 2];
            }
            (Kind::Speech | Kind::Noise | Kind::Unknown, _) => return [const { None }; 2],
        };
        digits.map(|digit| Some(MediaEvent::Digit { call: self.call, leg: self.id, digit: digit?, source }))
    }
}

impl Worker {
    /// Sends the tones of a key in place of its event, to a leg without telephone-events that hears one other.
    pub(crate) fn sound_key(
        &mut self,
        io: &mut impl Io,
        now: Tick,
        to: u32,
        incoming: &Incoming,
        event: TelephoneEvent,
    ) {
        let Some(leg) = self.legs.get_mut(to as usize).and_then(Option::as_deref_mut) else { return };
        let Leg { media, hears, out, to: address, taps, id, forks, inband, .. } = leg;
        let forked = !forks.is_empty();
        let (Some(media), Source::Leg { relay, transcoder, .. }, Some(inband)) = (media.as_ref(), hears, inband) else {
            return;
        };
        let said = &incoming.header;
        let sends = media.direction.sends();
        let due = inband.sounding.due(incoming, event);
        let (Some(address), Some(due)) = (address.filter(|_| sends), due) else {
            relay.skip(said.seq);
            return;
        };
        let Some(mapped) = relay.map(now, incoming.at, said, incoming.began, false, out) else { return };
        let mut datagram = [0; HEADER_BYTES + PAYLOAD_MAX + SRTP_TAIL_MAX];
        let (_, free) = out.next_of_same_speaker();
        let room = &mut datagram[HEADER_BYTES..HEADER_BYTES + PAYLOAD_MAX];
        let times = (mapped.timestamp, free, out.clock);
        let Some((timestamp, bytes)) = inband.sounding.write(due, times, transcoder.as_mut(), room) else { return };
        let end = HEADER_BYTES + bytes;
        let marker = said.marker || mapped.begins;
        let header =
            Header { payload_type: media.send_payload_type, marker, seq: mapped.seq, timestamp, ssrc: out.ssrc };
        datagram[..HEADER_BYTES].copy_from_slice(&header.encode());
        out.sent(now, &header, Some(due * ticks_a_sample(out.clock)), bytes);
        self.figures.sent_packets += 1;
        self.taps.record(taps, *id, now, Side::Sent, Some(media.codec), &header, &datagram[HEADER_BYTES..end]);
        if forked {
            self.fork(io, now, to, Side::Sent, &header, Kind::Speech, false, &datagram[HEADER_BYTES..end]);
        }
        let crypto = self.leg_mut(to).and_then(|leg| leg.crypto.as_deref_mut());
        match seal_rtp(crypto, &mut datagram, end) {
            Some(sealed) => io.send(SocketKey::rtp(to), address, &datagram[..sealed]),
            None => self.figures.unsealed_packets += 1,
        }
    }
}
