//! Keys of a leg that agreed on no telephone-events: found in what it says, and made to sound in what it is sent.

use offhook_codec::{Coding, Encoder, KeyDetector, NarrowDecoder, NarrowEncoder, Tone, Transcoder};
use offhook_plan::tap::Side;
use offhook_plan::{DigitSource, MediaEvent};
use offhook_rtp::{HEADER_BYTES, Header, SRTP_TAIL_MAX, TelephoneEvent};
use offhook_units::{RtpSeq, RtpTime, SampleRate, Tick};

use crate::crypto::seal_rtp;
use crate::leg::{Incoming, Kind, Leg, Source};
use crate::player::FRAME_BYTES_MAX;
use crate::{Io, SocketKey, Worker};

/// What of a packet is listened to: 60 ms. Keys last 40 ms and more, so it holds the beginnings of two at most.
const HEARD_BYTES_MAX: usize = 480;
/// What is lost counts as silence of at most this: 20 ms, which does not part a key in two. A pause that is lost whole joins two.
const LOST_SAMPLES_MAX: i32 = 160;
/// What was not sent counts as silence of at most this: 100 ms ends every key.
const UNSENT_SAMPLES_MAX: i32 = 800;
/// A key sounds for 50 ms at least, however short its events say: a far end needs 40 (ITU-T Q.24).
const SOUNDS_MIN: u32 = 400;
/// A press further back than this is none that was delayed, but one of a source that counts anew: 60 s.
const BACK_MAX: i32 = 8_000 * 60;

/// Both ways of one leg.
pub struct Inband {
    pub ear: Ear,
    pub sounding: Sounding,
}

impl Inband {
    pub fn new(coding: Coding) -> Self {
        Self {
            ear: Ear { coding, decoder: NarrowDecoder::new(coding), detector: KeyDetector::default(), next: None },
            sounding: Sounding { encoder: NarrowEncoder::in_mid_stream(coding), press: None },
        }
    }
}

/// Listens to a leg.
pub struct Ear {
    pub coding: Coding,
    decoder: NarrowDecoder,
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
        let mut keys = [None; 2];
        if let Some((seq, timestamp)) = self.next {
            let missing = header.seq.distance(seq);
            if missing < 0 {
                return keys;
            }
            let most = if missing > 0 { LOST_SAMPLES_MAX } else { UNSENT_SAMPLES_MAX };
            for _ in 0..header.timestamp.distance(timestamp).clamp(0, most) {
                note(&mut keys, self.detector.sample(0));
            }
        }
        self.next = Some((header.seq.next(), header.timestamp.wrapping_add(payload.len() as u32)));
        for byte in payload.iter().take(HEARD_BYTES_MAX) {
            note(&mut keys, self.detector.sample(self.decoder.byte(*byte)));
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

/// Makes keys sound that came as events.
pub struct Sounding {
    encoder: NarrowEncoder,
    press: Option<Press>,
}

/// A key that sounds, or was the last one to.
struct Press {
    /// Its timestamp at the source.
    said: RtpTime,
    /// Where that lies on our time line.
    begins: RtpTime,
    /// How far behind it sounds, since speech of the same time had left already.
    behind: u32,
    /// How much of it was sent.
    sounded: u32,
    tone: Tone,
}

impl Sounding {
    /// How much of a key is to be heard with this event, and has not been; `None` where nothing is.
    fn due(&self, header: &Header, event: TelephoneEvent) -> Option<u32> {
        event.digit()?;
        let until = u32::from(event.duration).max(if event.end { SOUNDS_MIN } else { 0 });
        let sounded = match &self.press {
            Some(press) => match header.timestamp.distance(press.said) {
                0 => press.sounded,
                step if step < 0 && step > -BACK_MAX => return None,
                _ => 0,
            },
            None => 0,
        };
        Some((until.checked_sub(sounded)?).min(FRAME_BYTES_MAX as u32)).filter(|due| *due > 0)
    }

    /// Whether speech of the source at this time gives way to a key that sounds.
    pub fn covers(&self, timestamp: RtpTime) -> bool {
        self.press.as_ref().is_some_and(|press| {
            let into = timestamp.distance(press.said);
            (0..(press.behind + press.sounded) as i32).contains(&into)
        })
    }

    /// Writes the next part of a key into `out`; says when it is. `place` is where the source's time lies on our time line, and
    /// `free` where nothing was sent yet; a `transcoder` knows what the listener remembers.
    fn write(
        &mut self,
        header: &Header,
        event: TelephoneEvent,
        place: RtpTime,
        free: RtpTime,
        transcoder: Option<&mut Transcoder>,
        out: &mut [u8],
    ) -> Option<RtpTime> {
        if self.press.as_ref().is_none_or(|press| press.said != header.timestamp) {
            let tone = Tone::held_key(SampleRate::NARROW, event.digit()?)?;
            self.press = Some(Press { said: header.timestamp, begins: place, behind: 0, sounded: 0, tone });
        }
        let press = self.press.as_mut()?;
        let mut pcm = [0; FRAME_BYTES_MAX];
        let pcm = pcm.get_mut(..out.len())?;
        press.tone.fill(pcm);
        match transcoder {
            Some(transcoder) => transcoder.insert(pcm, out),
            None => self.encoder.encode(pcm, out),
        };
        let at = press.begins.wrapping_add(press.behind + press.sounded);
        let late = free.distance(at).clamp(0, FRAME_BYTES_MAX as i32) as u32;
        press.behind += late;
        press.sounded += out.len() as u32;
        Some(at.wrapping_add(late))
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
        let Leg { media, hears, out, to: address, taps, id, crypto, inband, .. } = leg;
        let (Some(media), Source::Leg { relay, transcoder, .. }, Some(inband)) = (media.as_ref(), hears, inband) else {
            return;
        };
        let said = &incoming.header;
        let sends = media.direction.sends();
        let due = inband.sounding.due(said, event);
        let (Some(address), Some(due)) = (address.filter(|_| sends), due) else {
            relay.skip(said.seq);
            return;
        };
        let Some(mapped) = relay.map(now, incoming.at, said, incoming.began, false, out) else { return };
        let (mut datagram, end) = ([0; HEADER_BYTES + FRAME_BYTES_MAX + SRTP_TAIL_MAX], HEADER_BYTES + due as usize);
        let (_, free) = out.next_of_same_speaker();
        let payload = &mut datagram[HEADER_BYTES..end];
        let timestamp = inband.sounding.write(said, event, mapped.timestamp, free, transcoder.as_mut(), payload);
        let Some(timestamp) = timestamp else { return };
        let marker = said.marker || mapped.begins;
        let header =
            Header { payload_type: media.send_payload_type, marker, seq: mapped.seq, timestamp, ssrc: out.ssrc };
        datagram[..HEADER_BYTES].copy_from_slice(&header.encode());
        out.sent(now, &header, Some(due), due as usize);
        self.figures.sent_packets += 1;
        self.taps.record(taps, *id, now, Side::Sent, &header, &datagram[HEADER_BYTES..end]);
        match seal_rtp(crypto.as_deref_mut(), &mut datagram, end) {
            Some(sealed) => io.send(SocketKey::rtp(to), address, &datagram[..sealed]),
            None => self.figures.unsealed_packets += 1,
        }
    }
}
