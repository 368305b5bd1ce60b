//! One side of a recording: packets in order get their place on the time line; what lies between them is a gap with a reason.

use offhook_plan::CodecKind;
use offhook_plan::tap::{Side, TapHeader};
use offhook_units::{RtpTime, Tick};
use sha2::{Digest, Sha256};

use crate::canvas::Canvas;
use crate::drift::{Drift, US_PER_FRAME};
use crate::gaps::{Gap, GapReason, Gaps};
use crate::recording::{FRAMES_MAX, LEAD_MAX};
use crate::sequence::{Before, Held, Packet, Released, Sequencer};
use crate::turn::{Turn, coding_of, frames_in, ticks_a_frame};

/// A packet this much off the mapping of its stream has a new RTP time: it is placed by its arrival.
const JUMP_US: i64 = 400_000;

/// Delays that differ by less are even.
const EVEN_US: i64 = 60_000;

/// A new source that begins this close to the end of the old one, with nothing lost, continues it.
const SNAP_FRAMES: u64 = 320;

/// Within a stream, a place this close to where RTP time says is where RTP time says.
const CORRECTION_FRAMES: u64 = 40;

/// Length of a telephone-event payload, RFC 4733 2.3; no packet of speech is so short.
const EVENT_BYTES: usize = 4;

/// What one side counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SideCounts {
    /// Packets of speech placed.
    pub packets: u64,
    /// Their payload bytes.
    pub payload_bytes: u64,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came after they were given up.
    pub late: u64,
    /// Packets of strangers, of unknown codecs, or faster than time.
    pub discarded: u64,
}

/// One side.
#[derive(Debug)]
pub struct SideTrack {
    side: Side,
    codec: CodecKind,
    started: Tick,
    sequencer: Sequencer,
    drift: Drift,
    /// The RTP time that continues the last packet of speech, as on the wire and unwrapped.
    expected: Option<(RtpTime, i64)>,
    /// The frame after the last packet of speech.
    next_frame: u64,
    /// Why the next packet of speech may not follow directly.
    cause: Option<GapReason>,
    /// The stream paused since the last packet of speech.
    paused: bool,
    /// The recording is paused, since this frame.
    pausing: Option<u64>,
    /// The next packet of speech is the first one after a pause of the recording.
    resumed: bool,
    /// Since when the tap ring is known to have lost records.
    ring_lost: Option<Tick>,
    gaps: Gaps,
    counts: SideCounts,
    hash: Sha256,
    /// From the codec of the packets to that of the file.
    turn: Option<Turn>,
    /// What the RTP time of the last packet of speech was counted in: so many units a frame.
    ticks: u32,
    rest: Vec<Released>,
}

/// What a payload is.
enum Content {
    /// In this codec, so many frames long.
    Speech(CodecKind, usize),
    Event,
    Noise,
    Unknown,
}

impl SideTrack {
    pub fn new(side: Side, codec: CodecKind, started: Tick) -> Self {
        Self {
            side,
            codec,
            started,
            sequencer: Sequencer::default(),
            drift: Drift::default(),
            expected: None,
            next_frame: 0,
            cause: None,
            paused: false,
            pausing: None,
            resumed: false,
            ring_lost: None,
            gaps: Gaps::default(),
            counts: SideCounts::default(),
            hash: Sha256::new(),
            turn: None,
            ticks: 1,
            rest: Vec::new(),
        }
    }

    /// Takes a packet in and places what its arrival releases.
    pub fn receive(&mut self, header: &TapHeader, payload: &[u8], canvas: &mut Canvas) {
        let mut rest = std::mem::take(&mut self.rest);
        let packet = Packet::new(header, payload);
        if self.sequencer.push(packet, &mut rest) {
            self.take(packet, 0, Before::Running, canvas);
        }
        for Released { packet, lost, before } in rest.drain(..) {
            self.take(packet.lent(), lost, before, canvas);
        }
        self.rest = rest;
        self.release(header.at, false, canvas);
    }

    /// Places what has waited long enough at `now`; at the `end`, everything.
    pub fn release(&mut self, now: Tick, end: bool, canvas: &mut Canvas) {
        while let Some(Released { packet, lost, before }) = self.sequencer.pop(now, end) {
            self.take(packet.lent(), lost, before, canvas);
        }
    }

    /// The tap ring lost records before `at`.
    pub fn ring_dropped(&mut self, at: Tick) {
        self.ring_lost.get_or_insert(at);
    }

    /// The recording is paused from `at` on: what came before is placed, and what follows is no packet's.
    pub fn pause(&mut self, at: Tick, canvas: &mut Canvas) {
        self.release(at, true, canvas);
        let frame = frame_at(self.started, at.as_us() as i64);
        if frame > self.next_frame + SNAP_FRAMES {
            let why = self.cause.take().unwrap_or_else(|| self.unspoken());
            self.gaps.push(Gap { side: self.side, from: self.next_frame, to: frame, why });
            self.next_frame = frame;
        }
        self.pausing = Some(self.next_frame);
    }

    /// Since which frame the recording is paused, where it is.
    pub const fn pausing(&self) -> Option<u64> {
        self.pausing
    }

    /// The recording goes on at `at`; the next packet begins a stream.
    pub fn resume(&mut self, at: Tick) {
        let Some(from) = self.pausing.take() else { return };
        let to = frame_at(self.started, at.as_us() as i64).max(from);
        self.gaps.push(Gap { side: self.side, from, to, why: GapReason::Pause });
        self.next_frame = to;
        self.sequencer.restart();
        (self.expected, self.cause, self.paused, self.ring_lost) = (None, None, false, None);
        self.resumed = true;
    }

    /// Why there is a gap that nothing else explains.
    const fn unspoken(&self) -> GapReason {
        if self.counts.packets == 0 { GapReason::BeforeFirstPacket } else { GapReason::Silent }
    }

    /// Lists what follows the last packet as a gap up to `frames`, the end of the recording.
    pub fn end(&mut self, frames: u64) {
        let why = match self.cause {
            _ if self.pausing.is_some() => GapReason::Pause,
            Some(cause) => cause,
            None if self.counts.packets == 0 => GapReason::BeforeFirstPacket,
            None => GapReason::AfterLastPacket,
        };
        self.gaps.push(Gap { side: self.side, from: self.next_frame, to: frames, why });
        self.next_frame = self.next_frame.max(frames);
    }

    /// Which side this is.
    pub const fn side(&self) -> Side {
        self.side
    }

    /// Frames that are either speech or a listed gap.
    pub const fn decided(&self) -> u64 {
        self.next_frame
    }

    /// The gaps so far.
    pub const fn gaps(&self) -> &Gaps {
        &self.gaps
    }

    /// The figures so far.
    pub fn counts(&self) -> SideCounts {
        let Sequencer { duplicates, late, strays, .. } = self.sequencer;
        SideCounts { duplicates, late, discarded: self.counts.discarded + strays, ..self.counts }
    }

    /// SHA-256 of the payloads of speech so far.
    pub fn payload_hash(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// A packet in its turn, after `lost` that never came.
    fn take(&mut self, packet: Packet<&[u8]>, lost: u64, before: Before, canvas: &mut Canvas) {
        if lost > 0 {
            self.counts.lost += lost;
            let ring = self.ring_lost.take_if(|since| packet.at >= *since).is_some();
            self.raise(if ring { GapReason::RingFull } else { GapReason::NetworkLoss });
        }
        if before == Before::Start && self.counts.packets > 0 && !self.resumed {
            let ring = self.ring_lost.take_if(|since| packet.at >= *since).is_some();
            self.raise(if ring { GapReason::RingFull } else { GapReason::SourceChange });
        }
        if before == Before::Start {
            self.expected = None;
            if let Some(turn) = &mut self.turn {
                turn.source_began();
            }
        }
        self.paused |= before == Before::Pause;
        let (codec, frames) = match Self::content(packet) {
            Content::Speech(codec, frames) => (codec, frames),
            Content::Event => return self.raise(GapReason::TelephoneEvent),
            Content::Noise => return self.raise(GapReason::ComfortNoise),
            Content::Unknown => {
                self.counts.discarded += 1;
                return self.raise(GapReason::UnknownCodec);
            }
        };
        let held = coding_of(self.codec);
        let mut turn =
            self.turn.take().filter(|turn| turn.leads(codec, held)).unwrap_or_else(|| Turn::new(codec, held));
        if let Some(bytes) = turn.payload(packet.payload, frames) {
            self.put(packet, codec, bytes, lost, canvas);
        } else {
            self.counts.discarded += 1;
            self.raise(GapReason::UnknownCodec);
        }
        self.turn = Some(turn);
    }

    /// Puts a packet of speech, as the file holds it, in its place.
    fn put(&mut self, packet: Packet<&[u8]>, codec: CodecKind, bytes: &[u8], lost: u64, canvas: &mut Canvas) {
        let ticks = ticks_a_frame(codec);
        if ticks != self.ticks {
            // Its numbers are of another time line.
            (self.ticks, self.expected) = (ticks, None);
        }
        let (frame, samples) = self.find_place(packet, lost, canvas.base());
        let length = bytes.len() as u64;
        let lead = frame_at(self.started, packet.at.as_us() as i64) + LEAD_MAX.as_us() / US_PER_FRAME as u64;
        if frame + length > lead.min(FRAMES_MAX) {
            self.counts.discarded += 1;
            self.expected = None;
            return self.raise(if frame + length > FRAMES_MAX { GapReason::SizeLimit } else { GapReason::Overrun });
        }
        let cause = self.cause.take();
        // The way of a packet or two still belongs to the pause.
        let at_once = std::mem::take(&mut self.resumed) && frame <= self.next_frame + SNAP_FRAMES;
        let why = match cause {
            _ if at_once => GapReason::Pause,
            Some(cause) => cause,
            None => self.unspoken(),
        };
        self.gaps.push(Gap { side: self.side, from: self.next_frame, to: frame, why });
        canvas.place(self.side, frame, bytes.iter().copied());
        self.next_frame = frame + length;
        self.expected = Some((RtpTime(packet.timestamp).wrapping_add(length as u32 * ticks), samples + length as i64));
        self.hash.update(packet.payload);
        self.counts.packets += 1;
        self.counts.payload_bytes += packet.payload.len() as u64;
    }

    /// The frame of a packet of speech, and its unwrapped RTP time.
    fn find_place(&mut self, packet: Packet<&[u8]>, lost: u64, base: u64) -> (u64, i64) {
        let paused = std::mem::take(&mut self.paused);
        let Some((expected, expected_samples)) = self.expected else {
            return self.place_by_arrival(packet, lost, base);
        };
        let step = i64::from(RtpTime(packet.timestamp).distance(expected) / self.ticks as i32);
        let samples = expected_samples + step;
        let delay = self.drift.delay(packet.at, samples);
        // A sender that paused goes on with an even delay; after a stall of the network the delay shrinks from packet to packet.
        let even = || {
            let delays = self.waiting(packet, samples).map(|(p, its_samples)| self.drift.delay(p.at, its_samples));
            delays.min().is_none_or(|least| least > JUMP_US && delay - least < EVEN_US)
        };
        let late = paused && delay > JUMP_US && even();
        let early = step > 0 && delay < -JUMP_US;
        let jumped = step < 0 || late || early || self.next_frame < base;
        if jumped {
            self.raise(if late { GapReason::Silent } else { GapReason::SourceChange });
            return self.place_by_arrival(packet, lost, base);
        }
        self.drift.observe(packet.at, samples);
        let gap = step as u64;
        if gap == 0 {
            return (self.next_frame, samples);
        }
        let natural = self.next_frame + gap;
        let clock = frame_at(self.started, self.drift.place(samples));
        let frame = if clock.abs_diff(natural) <= CORRECTION_FRAMES {
            natural
        } else {
            clock.clamp(self.next_frame + gap.div_ceil(2), natural + gap / 2)
        };
        (frame.max(base), samples)
    }

    /// Begins the mapping of RTP time anew with the packets at hand.
    fn place_by_arrival(&mut self, packet: Packet<&[u8]>, lost: u64, base: u64) -> (u64, i64) {
        let samples = i64::from(packet.timestamp);
        let mut drift = Drift::default();
        drift.observe(packet.at, samples);
        for (waiting, its_samples) in self.waiting(packet, samples) {
            drift.observe(waiting.at, its_samples);
        }
        self.drift = drift;
        let frame = frame_at(self.started, self.drift.place(samples)).max(self.next_frame);
        let near = frame - self.next_frame <= SNAP_FRAMES;
        let continues = self.counts.packets > 0 && lost == 0 && near && !self.resumed;
        let frame = if continues { self.next_frame } else { frame };
        (frame.max(base), samples)
    }

    /// The packets of speech that wait behind `packet`, with their RTP times unwrapped by its own, `samples`.
    fn waiting(&self, packet: Packet<&[u8]>, samples: i64) -> impl Iterator<Item = (&Held, i64)> {
        let origin = RtpTime(packet.timestamp);
        let ticks = self.ticks;
        let alike = move |codec: CodecKind| ticks_a_frame(codec) == ticks;
        let speech = self.sequencer.waiting().filter(move |p| p.codec.is_some_and(alike) && !p.payload.is_empty());
        speech.map(move |p| (p, samples + i64::from(RtpTime(p.timestamp).distance(origin) / ticks as i32)))
    }

    /// Speech says what it is in; comfort noise has a payload type of its own (RFC 3551 table 4), and an event a dynamic one and a
    /// length of its own.
    fn content(packet: Packet<&[u8]>) -> Content {
        match (packet.codec, packet.payload_type) {
            _ if packet.payload.is_empty() => Content::Noise,
            (Some(codec), _) => {
                frames_in(codec, packet.payload).map_or(Content::Unknown, |frames| Content::Speech(codec, frames))
            }
            (None, 13 | 19) => Content::Noise,
            (None, 96..=127) if packet.payload.len() == EVENT_BYTES => Content::Event,
            (None, _) => Content::Unknown,
        }
    }

    /// Remembers why a gap follows: the reason that says most wins.
    fn raise(&mut self, why: GapReason) {
        let rank = |reason| match reason {
            GapReason::RingFull => 9,
            GapReason::NetworkLoss => 8,
            GapReason::SizeLimit => 7,
            GapReason::Overrun => 6,
            GapReason::UnknownCodec => 5,
            GapReason::TelephoneEvent => 4,
            GapReason::ComfortNoise => 3,
            GapReason::SourceChange => 2,
            GapReason::Silent | GapReason::BeforeFirstPacket | GapReason::AfterLastPacket => 1,
            GapReason::Disk | GapReason::Crash | GapReason::Pause => 0,
        };
        if self.cause.is_none_or(|cause| rank(why) > rank(cause)) {
            self.cause = Some(why);
        }
    }
}

/// The frame of an exchange-clock instant in microseconds, not before the first and not after the last.
pub fn frame_at(started: Tick, us: i64) -> u64 {
    (us.saturating_sub(started.as_us() as i64).max(0) / US_PER_FRAME).min(FRAMES_MAX as i64) as u64
}
