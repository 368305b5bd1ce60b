//! Keys that came as events, made to sound for a leg that agreed on none: packet by packet, or in a mix.

use std::collections::VecDeque;

use offhook_codec::{Form, SpeechEncoder, Tone, Transcoder, opus};
use offhook_rtp::{Header, TelephoneEvent};
use offhook_units::{LegId, RtpTime, SampleRate, Span, Tick};

use crate::leg::Incoming;
use crate::mix::PACKET_SAMPLES_MAX;
use crate::voice::FRAME;

/// A key sounds for 50 ms at least, however short its events say: a far end needs 40 (ITU-T Q.24).
const SOUNDS_MIN: u32 = 400;
/// Between two keys in a mix are 50 ms at least: a far end needs 40 (ITU-T Q.24).
const REST: u32 = 400;
/// A press in a mix is over where nothing has come of it for so long: events come every 20 to 50 ms (RFC 4733 section 2.5.1.2).
const UNHEARD_MAX: Span = Span::from_ms(100);
/// Presses that a listener is still to hear at most, in a mix; what comes above that is thrown away and counted.
const PRESSES_MAX: usize = 16;
/// A press further back than this is none that was delayed, but one of a source that counts anew: 60 s at 8 kHz.
const BACK_MAX: i32 = 8_000 * 60;
/// A press longer than this many units goes on in a segment of its own, RFC 4733 section 2.5.1.3.
pub const SEGMENT: u16 = 0xffff;

/// Makes the keys of one listener sound. Made with a plan; nothing here allocates afterwards.
pub struct Sounding {
    encoder: SpeechEncoder,
    /// Samples that what is sent in one packet is a multiple of.
    grain: u32,
    /// In their order, those that are over before the others.
    presses: VecDeque<Press>,
    /// How much of the silence after the last key is still to come, in a mix.
    rest: u32,
}

/// A key that sounds, is to sound, or was the last one to.
struct Press {
    from: LegId,
    /// Its timestamps at the source: of its first segment, and of the newest one.
    first: RtpTime,
    said: RtpTime,
    event: u8,
    /// When something was heard of it last.
    heard_at: Tick,
    /// How long it lasts, in samples at 8 kHz, as far as is known; and how much of that are segments before the newest.
    lasts: u32,
    before: u32,
    ended: bool,
    /// Nothing of it is to sound any more.
    over: bool,
    /// Where it begins on our time line, packet by packet.
    begins: Option<RtpTime>,
    /// How far behind it sounds, since speech of the same time had left already.
    behind: u32,
    /// How much of it was sent.
    sounded: u32,
    tone: Tone,
}

/// How often a clock ticks for each sample at 8 kHz.
pub const fn ticks_a_sample(clock: SampleRate) -> u32 {
    if clock.0 > SampleRate::NARROW.0 { clock.0 / SampleRate::NARROW.0 } else { 1 }
}

impl Press {
    /// How much more of it sounds, in a mix that is made at `now`.
    fn left(&self, now: Tick) -> u32 {
        match (self.ended, now.since(self.heard_at) > UNHEARD_MAX) {
            (true, _) => self.lasts.max(SOUNDS_MIN).saturating_sub(self.sounded),
            // As long as nothing else is known it is held down.
            (false, false) => FRAME as u32,
            (false, true) if self.sounded == 0 => self.lasts.max(SOUNDS_MIN),
            (false, true) => 0,
        }
    }
}

impl Sounding {
    /// For a listener with this form; none where there is no memory for an encoder.
    pub fn new(form: Form) -> Option<Self> {
        let grain = match form {
            Form::Bytes(_) | Form::Linear => 1,
            Form::Opus => SampleRate::NARROW.samples(opus::FRAME) as u32,
        };
        let encoder = SpeechEncoder::in_mid_stream(form).ok()?;
        Some(Self { encoder, grain, presses: VecDeque::with_capacity(PRESSES_MAX), rest: 0 })
    }

    /// Takes an event in. Says whether it is of the newest press; `None` where it is of none that sounds or will.
    fn note(&mut self, incoming: &Incoming, event: TelephoneEvent) -> Option<bool> {
        let digit = event.digit()?;
        let (header, times) = (&incoming.header, ticks_a_sample(incoming.clock));
        let Some(place) = self.presses.iter().rposition(|press| press.from == incoming.leg) else {
            return self.begin(incoming, event, digit);
        };
        let newest = &mut self.presses[place];
        match header.timestamp.distance(newest.said) {
            0 => {}
            step if step == i32::from(SEGMENT) && newest.goes_on_in(header, event) => {
                newest.said = header.timestamp;
                newest.before += u32::from(SEGMENT) / times;
            }
            step if step < 0 && step > -BACK_MAX.saturating_mul(times as i32) => {
                let mut mine = self.presses.iter_mut().filter(|press| press.from == incoming.leg);
                mine.find(|press| press.said == header.timestamp)?.lengthen(incoming.at, event, times);
                return Some(false);
            }
            _ => return self.begin(incoming, event, digit),
        }
        newest.lengthen(incoming.at, event, times);
        Some(place + 1 == self.presses.len())
    }

    fn begin(&mut self, incoming: &Incoming, event: TelephoneEvent, digit: char) -> Option<bool> {
        while self.presses.len() >= PRESSES_MAX {
            // Those that are over are kept as long as there is room, so that their late packets are known.
            self.presses.pop_front_if(|press| press.over)?;
        }
        let mut press = Press {
            from: incoming.leg,
            first: incoming.header.timestamp,
            said: incoming.header.timestamp,
            event: event.event,
            heard_at: incoming.at,
            lasts: 0,
            before: 0,
            ended: false,
            over: false,
            begins: None,
            behind: 0,
            sounded: 0,
            tone: Tone::held_key(SampleRate::NARROW, digit)?,
        };
        press.lengthen(incoming.at, event, ticks_a_sample(incoming.clock));
        self.presses.push_back(press);
        Some(true)
    }

    /// A key of one of those whom the listener hears in a mix; says whether there was room for it.
    pub fn press(&mut self, incoming: &Incoming, event: TelephoneEvent) -> bool {
        self.note(incoming, event).is_some() || self.presses.len() < PRESSES_MAX
    }

    /// What of a key is heard in the next frame of a mix, and who pressed it; none where no key sounds then.
    pub fn frame(&mut self, now: Tick) -> Option<(LegId, [i16; FRAME])> {
        if self.rest > 0 {
            self.rest = self.rest.saturating_sub(FRAME as u32);
            return None;
        }
        let press = self.presses.iter_mut().find(|press| !press.over)?;
        let count = press.left(now).min(FRAME as u32);
        if count == 0 {
            press.over = true;
            self.rest = if press.sounded > 0 { REST - FRAME as u32 } else { 0 };
            return None;
        }
        let mut pcm = [0; FRAME];
        press.tone.fill(&mut pcm[..count as usize]);
        press.sounded += count;
        Some((press.from, pcm))
    }

    /// Those who pressed keys are not heard any more.
    pub fn forget(&mut self) {
        self.presses.iter_mut().for_each(|press| press.over = true);
    }

    /// Whether a key sounds in a mix, or will.
    pub fn is_busy(&self) -> bool {
        self.presses.iter().any(|press| !press.over)
    }

    /// How much of a key is to be heard with this event of the one whom the listener hears packet by packet, and has not been, in
    /// samples at 8 kHz; `None` where nothing is.
    pub fn due(&mut self, incoming: &Incoming, event: TelephoneEvent) -> Option<u32> {
        let is_newest = self.note(incoming, event)?;
        if !is_newest {
            return None;
        }
        self.presses.drain(..self.presses.len() - 1);
        let press = self.presses.back().filter(|press| !press.over)?;
        let until = if press.ended {
            press.lasts.max(SOUNDS_MIN).next_multiple_of(self.grain)
        } else {
            press.lasts / self.grain * self.grain
        };
        Some(until.checked_sub(press.sounded)?.min(PACKET_SAMPLES_MAX as u32)).filter(|due| *due > 0)
    }

    /// Whether speech of the source at this time gives way to a key that sounds.
    pub fn covers(&self, incoming: &Incoming) -> bool {
        self.presses.back().filter(|press| press.from == incoming.leg).is_some_and(|press| {
            let into = incoming.header.timestamp.distance(press.first);
            (0..((press.behind + press.sounded) * ticks_a_sample(incoming.clock)) as i32).contains(&into)
        })
    }

    /// Writes the next `due` samples of the newest key into `out`; says when they are, and how many bytes. `place` is where the
    /// source's time lies on our time line, and `free` where nothing was sent yet, both in units of `clock`; a `transcoder` knows
    /// what the listener remembers.
    pub fn write(
        &mut self,
        due: u32,
        (place, free, clock): (RtpTime, RtpTime, SampleRate),
        transcoder: Option<&mut Transcoder>,
        out: &mut [u8],
    ) -> Option<(RtpTime, usize)> {
        let times = ticks_a_sample(clock);
        let press = self.presses.back_mut()?;
        let mut pcm = [0; PACKET_SAMPLES_MAX];
        let pcm = pcm.get_mut(..due as usize)?;
        press.tone.fill(pcm);
        let bytes = match transcoder {
            Some(transcoder) => transcoder.insert(pcm, out),
            None => self.encoder.encode(pcm, out),
        };
        let begins = *press.begins.get_or_insert(place);
        let at = begins.wrapping_add((press.behind + press.sounded) * times);
        let late = (free.distance(at).max(0) as u32).div_ceil(times).min(PACKET_SAMPLES_MAX as u32);
        press.behind += late;
        press.sounded += due;
        Some((at.wrapping_add(late * times), bytes)).filter(|_| bytes > 0)
    }
}

impl Press {
    /// Whether an event with the timestamp of its next segment is that, and not another key.
    const fn goes_on_in(&self, header: &Header, event: TelephoneEvent) -> bool {
        !header.marker && !self.ended && self.event == event.event
    }

    fn lengthen(&mut self, at: Tick, event: TelephoneEvent, times: u32) {
        self.heard_at = self.heard_at.max(at);
        self.lasts = self.lasts.max(self.before + u32::from(event.duration) / times);
        self.ended |= event.end;
    }
}
