//! The jitter buffer: pulled by the listener's clock, of fixed capacity, telling what it did.
//!
//! Time is kept by the stream's timestamps: a lost or late packet's time passes as it would have with it, so that the delay stays
//! until the playout policy changes it: in silence at once, in speech by whole pitch periods and only when it is far off.

use offhook_codec::{Concealer, Decoder};
use offhook_rtp::Packet;
use offhook_units::{RtpSeq, RtpTime, SampleRate, Span, Tick};

use crate::stretch::Quiet;
use crate::{DelayEstimator, Patience};

mod pause;
mod policy;
#[cfg(test)]
mod tests;

use pause::Pause;

/// Most packets held at once: 64 x 20 ms = 1.28 s.
pub const PACKETS_MAX: usize = 64;
/// Largest payload held: the largest Opus frame is 1,275 bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1_280;
const _: () = assert!(PACKETS_MAX.is_power_of_two(), "slots are indexed by `seq & (PACKETS_MAX - 1)`");

/// Decoded samples waiting: two packets of 60 ms at 48 kHz.
const DECODED_MAX: usize = 5_760;
/// A timestamp further away than this from what is being played is another stream: 2 s.
const JUMP_MS: u64 = 2_000;
/// Invented speech ends, and the stream is waited for anew, after this long without a packet.
const EXPAND_MAX_MS: u64 = 400;
/// Without any packet for this long past its time, the stream is held to be stalled, and is waited for.
const STALL_MS: u64 = 20;
/// Packets of which the begin of their playing is still to be told.
const MARKS_MAX: usize = 16;
/// Packets that can begin within one pull and be told.
pub const BEGUN_MAX: usize = 8;

/// How a buffer behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JitterConfig {
    /// The decoder's sampling rate; also the RTP clock.
    pub rate: SampleRate,
    /// Never waits for less. By default 24 ms, so that of 20 ms packets the one after a lost one is there when the gap begins.
    pub wait_min: Span,
    /// Never waits for more. Default 400 ms.
    pub wait_max: Span,
    /// What waiting is worth. Default [`Patience::ROBUST`].
    pub patience: Patience,
}

impl Default for JitterConfig {
    fn default() -> Self {
        Self {
            rate: SampleRate::NARROW,
            wait_min: Span::from_ms(24),
            wait_max: Span::from_ms(400),
            patience: Patience::ROBUST,
        }
    }
}

impl JitterConfig {
    /// Conversation first: waits for fewer of the late packets, and never longer than 120 ms.
    pub fn low_latency() -> Self {
        Self { wait_max: Span::from_ms(120), patience: Patience::LOW_LATENCY, ..Self::default() }
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits to be played.
    Queued,
    /// Its time had passed.
    Late {
        /// By how much.
        by: Span,
    },
    /// It was here already.
    Duplicate,
    /// No room: it lies further ahead than the buffer reaches, or its payload is longer than [`PAYLOAD_BYTES_MAX`].
    TooEarly,
}

/// What the 10 ms that were pulled consist of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulled {
    /// Speech as it was sent.
    Voice,
    /// Speech as it was sent, shortened or lengthened.
    Stretched,
    /// Invented in part or whole: a packet is lost or late.
    Concealed,
    /// In part or whole a pause that the far end announced: its comfort noise.
    Noise,
    /// Silence: no stream, or waiting for enough of it.
    Buffering,
}

/// The last pull in detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Played {
    /// Samples invented.
    pub concealed: usize,
    /// Samples of comfort noise.
    pub noise: usize,
    /// Samples added to raise the delay.
    pub inserted: usize,
    /// Samples taken out to lower the delay.
    pub removed: usize,
    /// Packets whose first sample is in it, and where it is.
    pub begun: [Option<(RtpSeq, usize)>; BEGUN_MAX],
}

/// Figures over the buffer's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JitterStats {
    /// Packets queued.
    pub queued: u64,
    /// Packets that came too late.
    pub late: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets without room.
    pub too_early: u64,
    /// Pulls of true speech.
    pub voice_pulls: u64,
    /// Pulls that were invented in part or whole.
    pub concealed_pulls: u64,
    /// Pulls of comfort noise in part or whole.
    pub noise_pulls: u64,
    /// Pulls that were shortened or lengthened.
    pub stretched_pulls: u64,
    /// Samples invented.
    pub concealed_samples: u64,
    /// Samples added to raise the delay.
    pub inserted_samples: u64,
    /// Samples taken out to lower the delay.
    pub removed_samples: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    seq: RtpSeq,
    timestamp: RtpTime,
    length: usize,
    full: bool,
    /// It holds comfort noise.
    noise: bool,
}

/// Owned by one thread; holds encoded payloads. A copy plays on as it would have. Neither `push` nor `pull` allocates, locks,
/// blocks or reads a clock.
#[derive(Clone)]
pub struct JitterBuffer {
    config: JitterConfig,
    slots: [Slot; PACKETS_MAX],
    payloads: Box<[u8]>,
    held: usize,
    estimator: DelayEstimator,
    concealer: Concealer,
    /// The far end pauses.
    pause: Option<Pause>,
    quiet: Quiet,
    stats: JitterStats,
    last: Played,
    ssrc: Option<u32>,
    playing: bool,
    /// Timestamp after the last decoded or invented sample.
    decode_at: RtpTime,
    /// Samples of the last packet decoded.
    frame: usize,
    /// Samples invented since the last true one.
    expanded: usize,
    /// Of these, those for which the stream's time stood still.
    stood: usize,
    /// Pulls for which speech is not stretched again.
    rest: u32,
    decoded: Box<[i16]>,
    decoded_to: usize,
    /// The upper band of what is decoded, sample by sample, where it is heard; silence where sound is invented.
    upper: Box<[i16]>,
    hears_upper: bool,
    /// The packet after a gap, decoded beforehand.
    ahead: Box<[i16]>,
    marks: [(RtpSeq, RtpTime); MARKS_MAX],
    marked: usize,
}

impl JitterBuffer {
    /// An empty buffer.
    pub fn new(config: JitterConfig) -> Self {
        let slot = Slot { seq: RtpSeq(0), timestamp: RtpTime(0), length: 0, full: false, noise: false };
        Self {
            slots: [slot; PACKETS_MAX],
            payloads: vec![0; PACKETS_MAX * PAYLOAD_BYTES_MAX].into(),
            held: 0,
            estimator: DelayEstimator::new(config.rate.0, config.patience),
            concealer: Concealer::new(),
            pause: None,
            quiet: Quiet::default(),
            config,
            stats: JitterStats::default(),
            last: Played::default(),
            ssrc: None,
            playing: false,
            decode_at: RtpTime(0),
            frame: 1,
            expanded: 0,
            stood: 0,
            rest: 0,
            decoded: vec![0; DECODED_MAX].into(),
            decoded_to: 0,
            upper: Box::default(),
            hears_upper: false,
            ahead: vec![0; DECODED_MAX / 2].into(),
            marks: [(RtpSeq(0), RtpTime(0)); MARKS_MAX],
            marked: 0,
        }
    }

    /// Its figures so far.
    pub const fn stats(&self) -> JitterStats {
        self.stats
    }

    /// The last pull in detail.
    pub const fn last(&self) -> Played {
        self.last
    }

    /// How long packets are waited for at present, against the fastest.
    pub fn wait(&self) -> Span {
        self.estimator.wait().clamp(self.config.wait_min, self.config.wait_max)
    }

    /// Speech waiting, encoded and decoded, from what plays next to the newest packet's begin.
    pub fn depth(&self) -> Span {
        let newest = self.held_slots().map(|slot| slot.timestamp.distance(self.decode_at)).max();
        self.config.rate.span_of((self.decoded_to + newest.map_or(0, |ahead| ahead.max(0) as usize)) as u64)
    }

    /// Takes a packet of speech; telephone-events and other payload types are not for this buffer.
    pub fn push(&mut self, now: Tick, packet: &Packet<'_>) -> Pushed {
        self.take(now, packet, false)
    }

    fn take(&mut self, now: Tick, packet: &Packet<'_>, noise: bool) -> Pushed {
        let header = packet.header;
        if packet.payload.len() > PAYLOAD_BYTES_MAX {
            self.stats.too_early += 1;
            return Pushed::TooEarly;
        }
        let jump = self.config.rate.samples(Span::from_ms(JUMP_MS));
        let ahead = header.timestamp.distance(self.decode_at);
        let jumped = self.playing && u64::from(ahead.unsigned_abs()) > jump;
        let stood_still = self.playing && !noise && ahead + self.frame as i32 <= 0 && self.stood_still(header.seq);
        if self.ssrc != Some(header.ssrc) || jumped || stood_still {
            self.restart(header.ssrc);
        }
        let at = usize::from(header.seq.0) & (PACKETS_MAX - 1);
        let slot = &mut self.slots[at];
        if slot.full && slot.seq == header.seq {
            self.stats.duplicates += 1;
            return Pushed::Duplicate;
        }
        self.estimator.arrived(now, header.timestamp);
        if self.playing && ahead + self.frame as i32 <= 0 {
            self.stats.late += 1;
            return Pushed::Late { by: self.config.rate.span_of(u64::from(ahead.unsigned_abs())) };
        }
        if slot.full {
            self.stats.too_early += 1;
            return Pushed::TooEarly;
        }
        *slot = Slot { seq: header.seq, timestamp: header.timestamp, length: packet.payload.len(), full: true, noise };
        self.payloads[at * PAYLOAD_BYTES_MAX..][..packet.payload.len()].copy_from_slice(packet.payload);
        self.held += 1;
        self.stats.queued += 1;
        Pushed::Queued
    }

    /// Keeps the upper band of what it decodes from now on, or no longer. To begin with it allocates, once.
    pub(crate) fn hear_upper(&mut self, hears: bool) {
        if hears && self.upper.is_empty() {
            self.upper = vec![0; DECODED_MAX].into();
        }
        if hears && !self.hears_upper {
            self.upper.fill(0);
        }
        self.hears_upper = hears;
    }

    /// Fills `out` with the next 10 ms (`out` has that size; other sizes up to 60 ms work). Call once per playout tick,
    /// whatever arrives.
    pub fn pull(&mut self, now: Tick, decoder: &mut dyn Decoder, out: &mut [i16]) -> Pulled {
        self.pull_bands(now, decoder, out, &mut [])
    }

    /// The same with the upper band in `upper`, as long as `out` or empty.
    pub(crate) fn pull_bands(
        &mut self,
        now: Tick,
        decoder: &mut dyn Decoder,
        out: &mut [i16],
        upper: &mut [i16],
    ) -> Pulled {
        self.last = Played::default();
        upper.fill(0);
        if !self.playing && !self.begin(now, out.len()) {
            out.fill(0);
            return Pulled::Buffering;
        }
        self.fill(now, out.len(), decoder);
        self.adapt(now, out.len(), decoder);
        self.tell_begun(out.len());
        out.copy_from_slice(&self.decoded[..out.len()]);
        self.decoded.copy_within(out.len()..self.decoded_to, 0);
        if self.hears_upper {
            let count = upper.len().min(out.len());
            upper[..count].copy_from_slice(&self.upper[..count]);
            self.upper.copy_within(out.len()..self.decoded_to, 0);
        }
        self.decoded_to -= out.len();
        self.quiet.played(out);
        if self.expanded as u64 > self.config.rate.samples(Span::from_ms(EXPAND_MAX_MS)) {
            self.stop();
        }
        self.count()
    }

    /// Timestamp of the sample that is played next.
    pub fn front(&self) -> RtpTime {
        self.decode_at.wrapping_add((self.decoded_to as u32).wrapping_neg())
    }

    /// Gives everything that waits, at once, with holes filled up as in a pull, and is empty then. Says how many samples that
    /// was; what finds no room in `out` is lost.
    pub fn drain(&mut self, decoder: &mut dyn Decoder, out: &mut [i16]) -> usize {
        self.drain_bands(decoder, out, &mut [])
    }

    /// The same with the upper band in `upper`, as long as `out` or empty.
    pub(crate) fn drain_bands(&mut self, decoder: &mut dyn Decoder, out: &mut [i16], upper: &mut [i16]) -> usize {
        upper.fill(0);
        if !self.playing
            && let Some(first) = self.earliest()
        {
            self.decode_at = self.slots[first].timestamp;
        }
        let mut given = 0;
        loop {
            let count = self.decoded_to.min(out.len() - given);
            out[given..given + count].copy_from_slice(&self.decoded[..count]);
            if let (true, Some(upper)) = (self.hears_upper, upper.get_mut(given..given + count)) {
                upper.copy_from_slice(&self.upper[..count]);
            }
            given += count;
            self.decoded_to = 0;
            match self.earliest() {
                Some(slot) if given < out.len() => {
                    let gap = usize::try_from(self.slots[slot].timestamp.distance(self.decode_at)).unwrap_or(0);
                    if gap == 0 {
                        self.decode(slot, decoder);
                    } else {
                        self.fill_hole(gap.min(self.decoded.len()));
                    }
                }
                Some(_) | None => break,
            }
        }
        self.held = 0;
        self.slots.iter_mut().for_each(|slot| slot.full = false);
        self.stop();
        given
    }

    fn count(&mut self) -> Pulled {
        let Played { concealed, noise, inserted, removed, begun: _ } = self.last;
        self.stats.concealed_samples += concealed as u64;
        self.stats.inserted_samples += inserted as u64;
        self.stats.removed_samples += removed as u64;
        if concealed > 0 {
            self.stats.concealed_pulls += 1;
            Pulled::Concealed
        } else if noise > 0 {
            self.stats.noise_pulls += 1;
            Pulled::Noise
        } else if inserted + removed > 0 {
            self.stats.stretched_pulls += 1;
            Pulled::Stretched
        } else {
            self.stats.voice_pulls += 1;
            Pulled::Voice
        }
    }

    fn restart(&mut self, ssrc: u32) {
        self.ssrc = Some(ssrc);
        self.held = 0;
        self.slots.iter_mut().for_each(|slot| slot.full = false);
        self.stop();
        self.estimator.restart();
    }

    fn stop(&mut self) {
        self.playing = false;
        self.expanded = 0;
        self.stood = 0;
        self.decoded_to = 0;
        self.marked = 0;
        self.frame = 1;
        self.pause = None;
    }

    /// Begins to play where the first packet has waited long enough, to the sample.
    fn begin(&mut self, now: Tick, samples: usize) -> bool {
        let Some(first) = self.earliest() else {
            return false;
        };
        self.decode_at = self.slots[first].timestamp;
        let lead = self.samples_of(self.missing_us(now));
        if lead >= samples as i64 {
            return false;
        }
        self.playing = true;
        let lead = lead.max(0) as usize;
        self.decoded[..lead].fill(0);
        self.no_upper(0, lead);
        self.decoded_to = lead;
        true
    }

    /// How much later than now the next sample should be played, in microseconds; negative where the delay is longer than wanted.
    fn missing_us(&self, now: Tick) -> i64 {
        let next = self.front();
        let wanted = self.estimator.fastest_us() + self.wait().as_us() as i64;
        wanted - self.estimator.transit_us(now, next)
    }

    fn samples_of(&self, us: i64) -> i64 {
        us * i64::from(self.config.rate.0) / 1_000_000
    }

    fn held_slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.full)
    }

    fn earliest(&self) -> Option<usize> {
        if self.held == 0 {
            return None;
        }
        // Against any held packet as origin: timestamps wrap.
        let origin = self.held_slots().next()?.timestamp;
        let full = self.slots.iter().enumerate().filter(|(_, slot)| slot.full);
        full.min_by_key(|(_, slot)| slot.timestamp.distance(origin)).map(|(at, _)| at)
    }

    /// Decodes or invents until `samples` wait.
    fn fill(&mut self, now: Tick, samples: usize, decoder: &mut dyn Decoder) {
        while self.decoded_to < samples {
            let missing = samples - self.decoded_to;
            let next = self.earliest().map(|slot| (slot, self.slots[slot].timestamp.distance(self.decode_at)));
            match next {
                Some((slot, ..=0)) => self.decode(slot, decoder),
                next if self.play_pause(now, missing, next.map(|(_, gap)| gap as usize)) => {}
                // What was waited for in vain is lost after all: its time has passed.
                Some((_, gap)) if self.stood > 0 => {
                    let passed = self.stood.min(gap as usize);
                    self.stood = 0;
                    self.decode_at = self.decode_at.wrapping_add(passed as u32);
                }
                Some((slot, gap)) if self.recover(slot, gap as usize, decoder) => {}
                Some((slot, gap)) => {
                    let payload = &self.payloads[slot * PAYLOAD_BYTES_MAX..][..self.slots[slot].length];
                    let known = if self.slots[slot].noise { 0 } else { decoder.peek(payload, &mut self.ahead) };
                    self.conceal(missing.min(gap as usize), Some((known, gap as usize)));
                }
                None => {
                    // Nothing came: where the delay is too short anyway, time stands still.
                    let stalled = self.config.rate.samples(Span::from_ms(STALL_MS)) as usize;
                    let stands = if self.expanded >= stalled {
                        missing
                    } else {
                        self.samples_of(self.missing_us(now)).clamp(0, missing as i64) as usize
                    };
                    self.conceal(missing, None);
                    self.decode_at = self.decode_at.wrapping_add((stands as u32).wrapping_neg());
                    self.stood += stands;
                }
            }
        }
    }

    fn decode(&mut self, slot: usize, decoder: &mut dyn Decoder) {
        let Slot { seq, timestamp, length, noise, .. } = self.slots[slot];
        self.slots[slot].full = false;
        self.held -= 1;
        if noise {
            return self.begin_pause(seq, slot);
        }
        self.pause = None;
        let (from, payload) = (self.decoded_to, &self.payloads[slot * PAYLOAD_BYTES_MAX..][..length]);
        let samples = if self.hears_upper {
            decoder.decode_bands(payload, &mut self.decoded[from..], &mut self.upper[from..])
        } else {
            decoder.decode(payload, &mut self.decoded[from..])
        };
        self.frame = samples.max(1);
        let passed = timestamp.distance(self.decode_at).unsigned_abs() as usize;
        if passed >= samples {
            self.stats.late += 1;
            return;
        }
        self.decoded.copy_within(from + passed..from + samples, from);
        if self.hears_upper {
            self.upper.copy_within(from + passed..from + samples, from);
        }
        self.decoded_to = from + samples - passed;
        self.concealer.heard(&mut self.decoded[from..self.decoded_to]);
        self.decode_at = timestamp.wrapping_add(samples as u32);
        self.expanded = 0;
        self.stood = 0;
        if self.marked == MARKS_MAX {
            self.marks.copy_within(1.., 0);
            self.marked -= 1;
        }
        self.marks[self.marked] = (seq, timestamp);
        self.marked += 1;
    }

    /// Takes a lost packet from the one after it, where that repeats it; says whether it did. Only a gap of one packet is looked at,
    /// of which some may have been invented before the packet after it came.
    fn recover(&mut self, slot: usize, gap: usize, decoder: &mut dyn Decoder) -> bool {
        let (from, frame) = (self.decoded_to, self.frame);
        if self.slots[slot].noise || gap + self.expanded != frame || from + frame > self.decoded.len() {
            return false;
        }
        let payload = &self.payloads[slot * PAYLOAD_BYTES_MAX..][..self.slots[slot].length];
        if decoder.recover(payload, &mut self.decoded[from..from + frame]) != frame {
            return false;
        }
        self.decoded.copy_within(from + self.expanded..from + frame, from);
        self.no_upper(from, gap);
        self.concealer.heard(&mut self.decoded[from..from + gap]);
        self.decoded_to += gap;
        self.decode_at = self.decode_at.wrapping_add(gap as u32);
        self.expanded = 0;
        true
    }

    fn conceal(&mut self, samples: usize, ahead: Option<(usize, usize)>) {
        let from = self.decoded_to;
        self.no_upper(from, samples);
        let ahead = ahead.map(|(known, distance)| (&self.ahead[..known], distance));
        self.concealer.conceal(ahead, &mut self.decoded[from..from + samples]);
        self.decoded_to += samples;
        self.decode_at = self.decode_at.wrapping_add(samples as u32);
        self.expanded += samples;
        self.last.concealed += samples;
    }

    /// So many samples have no upper band.
    pub(super) fn no_upper(&mut self, from: usize, samples: usize) {
        if self.hears_upper {
            self.upper[from..from + samples].fill(0);
        }
    }

    fn tell_begun(&mut self, samples: usize) {
        let front = self.front();
        let due = self.marks[..self.marked].iter().take_while(|(_, at)| at.distance(front) < samples as i32).count();
        for (told, (seq, at)) in self.last.begun.iter_mut().zip(&self.marks[..due]) {
            *told = Some((*seq, at.distance(front).max(0) as usize));
        }
        self.marks.copy_within(due..self.marked, 0);
        self.marked -= due;
    }
}
