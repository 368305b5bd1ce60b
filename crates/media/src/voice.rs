//! A leg's speech as samples, for those who hear it among others; and how somebody who heard it packet by packet gets there.

use offhook_codec::{Concealer, Decoder, SpeechDecoder};
use offhook_plan::CodecKind;
use offhook_rtp::{HEADER_BYTES, Header, Packet};
use offhook_units::{RtpSeq, RtpTime, SampleRate, Span, Tick};

use crate::leg::form_of;
use crate::{JitterBuffer, JitterConfig};

/// Mixes are made of this much at a time: 10 ms.
pub const FRAME_EVERY: Span = Span::from_ms(10);
/// The samples of it.
pub const FRAME: usize = SampleRate::NARROW.samples(FRAME_EVERY) as usize;
/// Longest rest that a buffer gives at once: 480 ms.
pub const REST_MAX: usize = 3_840;
/// Loudness fades by a half in 350 ms, so that a speaker is not cut off between two words.
const LOUDNESS_KEPT: f32 = 0.98;
/// The upper band comes and goes by this much a frame: within 100 ms, which a decoder takes to find its way in it.
const UPPER_MOVES: f32 = 0.1;

/// One leg's jitter buffer and decoder, on a time line of 8,000 a second. Made with a plan; nothing here allocates afterwards.
pub struct Voice {
    pub codec: CodecKind,
    buffer: JitterBuffer,
    decoder: SpeechDecoder,
    line: Line,
    frame: [i16; FRAME],
    /// Its upper band, and how loud that is to be and is, 0 to 1: it comes and goes softly.
    upper: [i16; FRAME],
    wide: bool,
    upper_gain: f32,
    /// Timestamp of the frame's first sample, while the stream is played.
    at: Option<RtpTime>,
    loudness: f32,
    newest: Option<(u32, RtpSeq)>,
    /// Mixes that it is in.
    pub listeners: u32,
}

impl Voice {
    /// None where there is no memory for a decoder.
    pub fn new(codec: CodecKind) -> Option<Self> {
        Some(Self {
            codec,
            buffer: JitterBuffer::new(JitterConfig::default()),
            decoder: SpeechDecoder::new(form_of(codec)).ok()?,
            line: Line::default(),
            frame: [0; FRAME],
            upper: [0; FRAME],
            wide: false,
            upper_gain: 0.0,
            at: None,
            loudness: 0.0,
            newest: None,
            listeners: 0,
        })
    }

    /// The same with what it holds, for one who leaves while others stay; none where a decoder cannot be copied.
    pub fn copy(&self) -> Option<Self> {
        let Self { codec, buffer, decoder, line, frame, upper, wide, upper_gain, at, loudness, newest, listeners } =
            self;
        Some(Self {
            codec: *codec,
            buffer: buffer.clone(),
            decoder: decoder.copy()?,
            line: *line,
            frame: *frame,
            upper: *upper,
            wide: *wide,
            upper_gain: *upper_gain,
            at: *at,
            loudness: *loudness,
            newest: *newest,
            listeners: *listeners,
        })
    }

    /// Whether one of its listeners may go back to packets now.
    pub const fn lets_go(&self) -> bool {
        self.listeners <= 1 || !matches!(self.decoder, SpeechDecoder::Opus(_))
    }

    /// Where a timestamp of its source lies on the time line of 8,000 a second.
    fn place(&mut self, ssrc: u32, timestamp: RtpTime) -> RtpTime {
        self.line.place(self.codec, ssrc, timestamp)
    }

    /// Takes a packet of speech.
    pub fn push(&mut self, now: Tick, header: &Header, payload: &[u8]) {
        self.take(now, header, payload, false);
    }

    /// Takes a packet of comfort noise.
    pub fn push_noise(&mut self, now: Tick, header: &Header, payload: &[u8]) {
        self.take(now, header, payload, true);
    }

    fn take(&mut self, now: Tick, header: &Header, payload: &[u8], noise: bool) {
        if self.newest.is_some_and(|(ssrc, _)| ssrc != header.ssrc) {
            // The buffer begins anew as well: what it held of the source before is never decoded.
            self.decoder.reset();
        }
        let timestamp = self.place(header.ssrc, header.timestamp);
        let header = Header { timestamp, ..*header };
        let packet = Packet { header, payload, payload_at: HEADER_BYTES };
        let _told_in_its_figures =
            if noise { self.buffer.push_noise(now, &packet) } else { self.buffer.push(now, &packet) };
        if self.newest.is_none_or(|(ssrc, newest)| ssrc != header.ssrc || header.seq.distance(newest) > 0) {
            self.newest = Some((header.ssrc, header.seq));
        }
    }

    /// Whether its upper band is heard from now on, where it has one. `lately` are the packets that came last. May allocate.
    pub fn hear_wide(&mut self, wide: bool, lately: &Recent) {
        if wide && !self.wide {
            let hears = self.decoder.hear_wide(lately.iter().map(|(_, payload)| payload));
            if hears {
                self.buffer.hear_upper(true);
            }
            self.wide = hears;
        }
        self.wide &= wide;
    }

    /// Makes the next frame.
    pub fn pull(&mut self, now: Tick) {
        let hears_upper = self.wide || self.upper_gain > 0.0;
        let pulled = self.buffer.pull_bands(now, &mut self.decoder, &mut self.frame, &mut self.upper);
        if hears_upper {
            let to = (self.upper_gain + if self.wide { UPPER_MOVES } else { -UPPER_MOVES }).clamp(0.0, 1.0);
            glide(&mut self.upper, self.upper_gain, to);
            self.upper_gain = to;
            if !self.wide && to == 0.0 {
                self.buffer.hear_upper(false);
            }
        }
        let plays = pulled != crate::Pulled::Buffering;
        self.at = plays.then(|| self.buffer.front().wrapping_add((FRAME as u32).wrapping_neg()));
        let power = self.frame.iter().map(|sample| f32::from(*sample) * f32::from(*sample)).sum::<f32>();
        self.loudness = power.max(self.loudness * LOUDNESS_KEPT);
    }

    /// How long its buffer waits for packets at present.
    pub fn wait(&self) -> Span {
        self.buffer.wait()
    }

    /// Whether the last 10 ms are of the stream.
    pub const fn plays(&self) -> bool {
        self.at.is_some()
    }

    /// The mean of the squares of the last 10 ms.
    pub fn power(&self) -> u64 {
        self.frame.iter().map(|sample| u64::from(sample.unsigned_abs()).pow(2)).sum::<u64>() / FRAME as u64
    }

    /// The upper band of the last 10 ms; none where nobody hears it.
    pub fn upper(&self) -> Option<&[i16; FRAME]> {
        (self.upper_gain > 0.0 || self.wide).then_some(&self.upper)
    }

    /// The last 10 ms.
    pub const fn frame(&self) -> &[i16; FRAME] {
        &self.frame
    }

    /// How loud it is, or was a moment ago: for comparisons.
    pub const fn loudness(&self) -> f32 {
        self.loudness
    }

    /// The number of the newest packet taken.
    pub fn newest(&self) -> Option<RtpSeq> {
        self.newest.map(|(_, seq)| seq)
    }

    /// Everything that waits, with its upper band, and the timestamp of its first sample.
    pub fn rest(&mut self, out: &mut [i16; REST_MAX], upper: &mut [i16; REST_MAX]) -> (usize, RtpTime) {
        let front = self.buffer.front();
        let count = self.buffer.drain_bands(&mut self.decoder, out, upper);
        glide(&mut upper[..count], self.upper_gain, self.upper_gain);
        (count, front)
    }
}

/// Makes `pcm` as loud as goes from one gain to another.
pub fn glide(pcm: &mut [i16], from: f32, to: f32) {
    if from >= 1.0 && to >= 1.0 {
        return;
    }
    let per = (to - from) / pcm.len().max(1) as f32;
    for (n, sample) in pcm.iter_mut().enumerate() {
        *sample = (f32::from(*sample) * (from + per * (n + 1) as f32)) as i16;
    }
}

/// How the timestamps of a source are counted at 8,000 a second: from those of the codec's clock, packet by packet, so that their
/// wrap is one of ours too.
#[derive(Debug, Clone, Copy, Default)]
struct Line(Option<(u32, RtpTime, RtpTime)>);

impl Line {
    fn place(&mut self, codec: CodecKind, ssrc: u32, timestamp: RtpTime) -> RtpTime {
        let times = (codec.clock() / SampleRate::NARROW.0).max(1);
        let ours = match self.0 {
            Some((known, said, ours)) if known == ssrc => {
                let moved = timestamp.distance(said) / times as i32;
                ours.wrapping_add(moved as u32)
            }
            Some(_) | None => RtpTime(timestamp.0 / times),
        };
        self.0 = Some((ssrc, timestamp, ours));
        ours
    }
}

/// How many packets are remembered: what the search for a pitch period looks at, and one more.
const RECENT: usize = 3;
/// Longest payload that is remembered: 60 ms of what lasts 125 us a byte.
const RECENT_BYTES: usize = 480;

/// Samples of the longest packet: 120 ms of Opus.
pub const PACKET_SAMPLES_MAX: usize = 960;

/// The last packets of a leg that is relayed.
pub struct Recent {
    kept: [Option<(Header, usize)>; RECENT],
    payloads: [[u8; RECENT_BYTES]; RECENT],
    next: usize,
}

impl Recent {
    pub const fn new() -> Self {
        Self { kept: [None; RECENT], payloads: [[0; RECENT_BYTES]; RECENT], next: 0 }
    }

    /// Remembers a packet in place of the oldest.
    pub fn keep(&mut self, header: &Header, payload: &[u8]) {
        let Some(room) = self.payloads[self.next].get_mut(..payload.len()) else { return };
        room.copy_from_slice(payload);
        self.kept[self.next] = Some((*header, payload.len()));
        self.next = (self.next + 1) % RECENT;
    }

    /// What they were, oldest first.
    fn iter(&self) -> impl Iterator<Item = (Header, &[u8])> {
        (0..RECENT).filter_map(|n| {
            let place = (self.next + n) % RECENT;
            let (header, length) = self.kept[place]?;
            Some((header, &self.payloads[place][..length]))
        })
    }
}

/// The way of one listener from packets to samples: a buffer plays later than packets were relayed, so the listener is ahead of
/// it. Until it has caught up, speech is invented that goes on from what was heard last; no word comes twice, and none is lost.
pub struct Meet {
    concealer: Concealer,
    /// Timestamp after the last sample that the listener heard.
    from: RtpTime,
}

impl Meet {
    /// After the packets of `voice` that were relayed last; none where nothing was.
    pub fn after(recent: &Recent, voice: &mut Voice) -> Option<Self> {
        let (mut concealer, mut decoder) = (Concealer::new(), SpeechDecoder::new(form_of(voice.codec)).ok()?);
        let mut from = None::<RtpTime>;
        let mut pcm = [0; PACKET_SAMPLES_MAX];
        for (header, payload) in recent.iter() {
            let count = decoder.decode(payload, &mut pcm);
            concealer.heard(&mut pcm[..count]);
            let end = voice.place(header.ssrc, header.timestamp).wrapping_add(count as u32);
            from = Some(from.map_or(end, |before| if end.distance(before) > 0 { end } else { before }));
        }
        from.map(|from| Self { concealer, from })
    }

    /// Samples of what begins at `front` that were heard already.
    pub fn ahead_of(&self, front: RtpTime) -> usize {
        usize::try_from(self.from.distance(front)).unwrap_or(0)
    }

    /// The listener's frame, which has no upper band where it is invented; says whether both have met.
    pub fn frame(&mut self, voice: &Voice, out: &mut [i16; FRAME], upper: &mut [i16; FRAME]) -> bool {
        let ahead = voice.at.map_or(FRAME, |at| self.ahead_of(at).min(FRAME));
        let (invented, known) = out.split_at_mut(ahead);
        upper[..ahead].fill(0);
        if !invented.is_empty() {
            self.concealer.conceal(None, invented);
        }
        known.copy_from_slice(&voice.frame[ahead..]);
        self.concealer.heard(known);
        ahead < FRAME && !self.concealer.is_inventing()
    }
}
