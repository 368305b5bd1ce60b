//! What a leg hears that hears several at once: their samples added up.

use offhook_codec::{Coding, Law, SpeechEncoder, opus};
use offhook_plan::CodecKind;
use offhook_rtp::{Header, TelephoneEvent};
use offhook_units::{LegId, PlayerId, RtpTime, SampleRate, Span};

use crate::Assets;
use crate::leg::{Incoming, form_of};
use crate::player::{Frame, Player};
use crate::sounding::SEGMENT;
use crate::voice::{FRAME, Meet};

/// How many can be heard at once in a conference at most, whatever [`crate::Limits::speakers_max`] says.
pub const SPEAKERS_MAX: usize = 8;
/// Longest packet made: 60 ms.
pub const PACKET_SAMPLES_MAX: usize = 480;
/// Longest packet made of L16: as many bytes as 60 ms of the others.
const LINEAR_MAX: Span = Span::from_ms(30);
/// A sum that is louder than this is turned down as a whole, so that nothing is clipped.
const PEAK: f32 = 32_000.0;
/// What was turned down comes back by this much a frame: from half in half a second.
const RECOVERS: f32 = 0.01;

/// The state of one listener.
pub struct Mix {
    pub inputs: Vec<Input>,
    pub codec: CodecKind,
    pub encoder: SpeechEncoder,
    /// What waits until it makes a packet; and its upper band, where the listener hears one.
    pub pcm: [i16; PACKET_SAMPLES_MAX],
    pub upper: [i16; PACKET_SAMPLES_MAX],
    /// The listener has heard an upper band in this mix.
    pub wide: bool,
    pub filled: usize,
    /// The next packet begins a talkspurt.
    pub begins: bool,
    /// Edges that the plan has for this leg: one that is not agreed on yet has no input.
    pub edges: usize,
    pub keys: Keys,
    /// By how much the sum is turned down, 0 to 1.
    pub volume: f32,
}

/// One that is heard in a mix.
pub struct Input {
    pub from: From,
    /// It is not in the plan any more, and fades.
    pub leaving: bool,
    /// How loud it was at the end of the last frame, 0 to 1.
    gain: f32,
    /// Its last sample as it was heard, which a source that is gone fades from.
    last: f32,
}

/// Where an input's samples come from.
pub enum From {
    /// A leg, by its slot; and the way there from what was relayed.
    Leg {
        leg: LegId,
        slot: u32,
        meet: Option<Box<Meet>>,
    },
    Player(Player),
}

/// The place of one key press on the listener's time line.
#[derive(Default)]
pub struct Keys(Option<Place>);

#[derive(Clone, Copy)]
struct Place {
    /// Who pressed it, and its timestamp there: of the newest segment.
    source: u32,
    said: RtpTime,
    /// What the segments before that one lasted, in units of the source's clock.
    before: u64,
    event: u8,
    ended: bool,
    /// Where it begins for the listener.
    at: RtpTime,
}

impl Keys {
    /// The timestamp and duration, by the listener's `clock`, of an event; a press that is new begins at `next`. One that lasts
    /// longer than an event can tell goes on in segments, RFC 4733 section 2.5.1.3.
    pub fn place(
        &mut self,
        incoming: &Incoming,
        event: TelephoneEvent,
        next: RtpTime,
        clock: SampleRate,
    ) -> (RtpTime, u16) {
        let Header { ssrc: source, timestamp: said, marker, .. } = incoming.header;
        let new = Place { source, said, before: 0, event: event.event, ended: event.end, at: next };
        let place = match self.0.filter(|place| place.source == source && place.event == event.event) {
            Some(place) if place.said == said => Place { ended: place.ended || event.end, ..place },
            Some(place) if !marker && !place.ended && said.distance(place.said) == i32::from(SEGMENT) => {
                Place { said, before: place.before + u64::from(SEGMENT), ended: event.end, ..place }
            }
            Some(_) | None => new,
        };
        self.0 = Some(place);
        let lasts = (place.before + u64::from(event.duration)) * u64::from(clock.0) / u64::from(incoming.clock.0);
        let segment = u64::from(SEGMENT);
        let whole = lasts.saturating_sub(1) / segment;
        (place.at.wrapping_add((whole * segment) as u32), (lasts - whole * segment) as u16)
    }
}

impl Input {
    /// Heard at once: it was before, or begins by itself.
    pub const fn at_once(from: From) -> Self {
        Self { from, leaving: false, gain: 1.0, last: 0.0 }
    }

    /// Comes in over 10 ms: in the midst of a word, perhaps.
    pub const fn fading_in(from: From) -> Self {
        Self { from, leaving: false, gain: 0.0, last: 0.0 }
    }

    /// Whether it is that leg.
    pub fn is_leg(&self, id: LegId) -> bool {
        matches!(&self.from, From::Leg { leg, .. } if *leg == id)
    }

    /// How loud it is to go on, 0 to 1.
    pub const fn gain(&self) -> f32 {
        self.gain
    }

    /// Adds its frame, on the way from the present gain to `to`; a source that is gone fades from where it stood.
    fn add(&mut self, frame: Option<&[i16; FRAME]>, to: f32, sum: &mut [f32; FRAME]) {
        let from = self.gain;
        if let Some(frame) = frame {
            add_gliding(frame, from, to, sum);
            self.last = f32::from(frame[FRAME - 1]) * to;
        } else {
            for (n, out) in sum.iter_mut().enumerate() {
                *out += self.last * (1.0 - (n + 1) as f32 / FRAME as f32);
            }
            self.last = 0.0;
        }
        self.gain = to;
    }
}

fn add_gliding(frame: &[i16; FRAME], from: f32, to: f32, sum: &mut [f32; FRAME]) {
    let (per, mut gain) = ((to - from) / FRAME as f32, from);
    for (out, sample) in sum.iter_mut().zip(frame) {
        gain += per;
        *out += f32::from(*sample) * gain;
    }
}

/// 10 ms of a leg.
pub struct Heard {
    pub frame: [i16; FRAME],
    /// Its upper band, where it has one that is heard.
    pub upper: Option<[i16; FRAME]>,
    /// How loud the leg is, for comparisons.
    pub loudness: f32,
}

/// What a mix asks of its worker.
pub trait Sources {
    /// The frame of a leg; none where it is gone. `meet` is the listener's way to it.
    fn frame(&self, leg: LegId, slot: u32, meet: &mut Option<Box<Meet>>) -> Option<Heard>;
    /// How loud a leg is.
    fn loudness(&self, leg: LegId, slot: u32) -> f32;
}

impl Mix {
    /// None where there is no memory for an encoder.
    pub fn new(codec: CodecKind) -> Option<Self> {
        Some(Self {
            inputs: Vec::new(),
            codec,
            encoder: SpeechEncoder::in_mid_stream(form_of(codec)).ok()?,
            pcm: [0; PACKET_SAMPLES_MAX],
            upper: [0; PACKET_SAMPLES_MAX],
            wide: false,
            filled: 0,
            begins: false,
            edges: 0,
            keys: Keys::default(),
            volume: 1.0,
        })
    }

    /// Samples of a packet: frames of Opus are as long as they are, and L16 fills its packets twice as fast.
    pub fn packet_samples(&self, ptime: Span) -> usize {
        let ptime = match self.codec {
            CodecKind::Pcmu | CodecKind::Pcma | CodecKind::G722 => ptime,
            CodecKind::L16 => ptime.min(LINEAR_MAX),
            CodecKind::Opus => opus::FRAME,
        };
        SampleRate::NARROW.samples(ptime) as usize
    }

    /// Adds the next frame to what waits. In place of whoever presses a `key` is heard how that sounds; `over` is told each player
    /// that came to its end.
    pub fn frame(
        &mut self,
        sources: &impl Sources,
        assets: &Assets,
        speakers_max: usize,
        key: Option<(LegId, [i16; FRAME])>,
        mut over: impl FnMut(PlayerId),
    ) {
        let threshold = self.threshold(sources, speakers_max.min(SPEAKERS_MAX));
        let pressed = key.as_ref().map(|(leg, _)| *leg);
        let mut sum = key.map_or([0.0; FRAME], |(_, tone)| tone.map(f32::from));
        let mut upper = [0.0; FRAME];
        for input in &mut self.inputs {
            let leaves = input.leaving;
            match &mut input.from {
                From::Leg { leg, slot, meet } => {
                    let heard = sources.frame(*leg, *slot, meet);
                    let audible = heard.as_ref().is_some_and(|heard| heard.loudness >= threshold);
                    let to = if audible && !leaves && pressed != Some(*leg) { 1.0 } else { 0.0 };
                    if let Some(above) = heard.as_ref().and_then(|heard| heard.upper.as_ref()).filter(|_| self.wide) {
                        add_gliding(above, input.gain, to, &mut upper);
                    }
                    input.add(heard.as_ref().map(|heard| &heard.frame), to, &mut sum);
                }
                From::Player(player) => {
                    let frame = play(player, assets, &mut over);
                    input.add(frame.as_ref(), if leaves { 0.0 } else { 1.0 }, &mut sum);
                }
            }
        }
        self.put(&sum, &upper);
    }

    /// The loudness below which nobody is heard: of many, those who speak are heard, and not everybody's room.
    fn threshold(&self, sources: &impl Sources, most: usize) -> f32 {
        let legs = self.inputs.iter().filter_map(|input| match &input.from {
            From::Leg { leg, slot, .. } if !input.leaving => Some((*leg, *slot)),
            From::Leg { .. } | From::Player(_) => None,
        });
        if legs.clone().count() <= most {
            return 0.0;
        }
        let mut loudest = [0.0; SPEAKERS_MAX];
        for (leg, slot) in legs {
            let mut loudness = sources.loudness(leg, slot);
            for place in loudest.iter_mut().take(most) {
                if loudness > *place {
                    core::mem::swap(place, &mut loudness);
                }
            }
        }
        most.checked_sub(1).and_then(|last| loudest.get(last)).copied().unwrap_or(0.0)
    }

    fn put(&mut self, sum: &[f32; FRAME], upper: &[f32; FRAME]) {
        let peak = sum.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        let wanted = if peak > PEAK { PEAK / peak } else { (self.volume + RECOVERS).min(1.0) };
        // Down at once, up slowly; over a quarter of the frame, so that no step is heard.
        let (from, over) = (self.volume, FRAME / 4);
        let volume = |n: usize| from + (wanted - from) * ((n + 1).min(over) as f32 / over as f32);
        let turned = |(n, sample): (usize, &f32)| (sample * volume(n)).round().clamp(-32_768.0, 32_767.0) as i16;
        for (out, sample) in self.pcm[self.filled..][..FRAME].iter_mut().zip(sum.iter().enumerate().map(turned)) {
            *out = sample;
        }
        if self.wide {
            for (out, sample) in self.upper[self.filled..][..FRAME].iter_mut().zip(upper.iter().enumerate().map(turned))
            {
                *out = sample;
            }
        }
        self.volume = wanted;
        self.filled += FRAME;
    }

    /// The listener hears an upper band from now on, or nobody has one any more: one that was heard fades where it comes from, and
    /// bits are spent on what there is.
    pub fn hear_wide(&mut self, wide: bool) {
        if wide && !self.wide {
            self.upper.fill(0);
        }
        self.wide |= wide;
        self.encoder.set_wide(wide);
    }

    /// Takes out one that has faded.
    pub fn take_left(&mut self) -> Option<Input> {
        let left = self.inputs.iter().position(|input| input.leaving)?;
        Some(self.inputs.swap_remove(left))
    }

    /// Whether a whole packet waits.
    pub const fn is_full(&self, samples: usize) -> bool {
        self.filled >= samples || self.filled + FRAME > PACKET_SAMPLES_MAX
    }
}

/// The next frame of a player; none where nothing is played any more.
fn play(player: &mut Player, assets: &Assets, over: &mut impl FnMut(PlayerId)) -> Option<[i16; FRAME]> {
    if player.finished {
        return None;
    }
    let law = Law::Mu;
    let mut bytes = [0; FRAME];
    let frame = player.fill(assets, Coding::G711(law), &mut bytes);
    player.finished = frame != Frame::Playing;
    player.next_at += crate::voice::FRAME_EVERY;
    if player.finished {
        over(player.id);
    }
    (frame != Frame::Nothing).then(|| bytes.map(|byte| law.decode(byte)))
}

/// How long the packets are that a leg is sent.
pub const fn packet_time(ptime_ms: u8) -> Span {
    match ptime_ms {
        0 => Span::from_ms(20),
        1..10 => Span::from_ms(10),
        10..=60 => Span::from_ms(ptime_ms as u64),
        61.. => Span::from_ms(60),
    }
}
