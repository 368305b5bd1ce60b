//! The jitter buffer: pulled by the listener's clock, of fixed capacity, telling what it did.

use offhook_codec::Decoder;
use offhook_rtp::Packet;
use offhook_units::{RtpSeq, RtpTime, SampleRate, Span, Tick};

use crate::DelayEstimator;

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
/// The buffer must be too full for this many pulls before speech is shortened: 200 ms.
const FULL_PULLS: u32 = 20;

/// How a buffer behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JitterConfig {
    /// The decoder's sampling rate; also the RTP clock.
    pub rate: SampleRate,
    /// Never waits for less. Default 20 ms.
    pub wait_min: Span,
    /// Never waits for more. Default 200 ms.
    pub wait_max: Span,
}

impl Default for JitterConfig {
    fn default() -> Self {
        Self { rate: SampleRate::NARROW, wait_min: Span::from_ms(20), wait_max: Span::from_ms(200) }
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
    /// Speech, shortened by a pitch period so that the delay comes down.
    Stretched,
    /// Invented: a packet is lost or late.
    Concealed,
    /// Silence: no stream, or waiting for enough of it.
    Buffering,
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
    /// Pulls that were invented.
    pub concealed_pulls: u64,
    /// Pulls that were shortened.
    pub stretched_pulls: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    seq: RtpSeq,
    timestamp: RtpTime,
    length: usize,
    full: bool,
}

/// Owned by one thread; holds encoded payloads. Neither `push` nor `pull` allocates, locks, blocks or reads a clock.
pub struct JitterBuffer {
    config: JitterConfig,
    slots: [Slot; PACKETS_MAX],
    payloads: Box<[u8]>,
    held: usize,
    estimator: DelayEstimator,
    stats: JitterStats,
    ssrc: Option<u32>,
    playing: bool,
    first_at: Tick,
    /// Timestamp of the next sample to be decoded.
    decode_at: RtpTime,
    /// Samples invented while nothing was there, not yet set against a gap.
    expanded: usize,
    too_full_for: u32,
    decoded: Box<[i16]>,
    decoded_from: usize,
    decoded_to: usize,
}

impl JitterBuffer {
    /// An empty buffer.
    pub fn new(config: JitterConfig) -> Self {
        let slot = Slot { seq: RtpSeq(0), timestamp: RtpTime(0), length: 0, full: false };
        Self {
            slots: [slot; PACKETS_MAX],
            payloads: vec![0; PACKETS_MAX * PAYLOAD_BYTES_MAX].into(),
            held: 0,
            estimator: DelayEstimator::new(config.rate.0),
            config,
            stats: JitterStats::default(),
            ssrc: None,
            playing: false,
            first_at: Tick::ZERO,
            decode_at: RtpTime(0),
            expanded: 0,
            too_full_for: 0,
            decoded: vec![0; DECODED_MAX].into(),
            decoded_from: 0,
            decoded_to: 0,
        }
    }

    /// Its figures so far.
    pub const fn stats(&self) -> JitterStats {
        self.stats
    }

    /// How long packets are waited for at present.
    pub fn wait(&self) -> Span {
        self.estimator.wait().clamp(self.config.wait_min, self.config.wait_max)
    }

    /// Speech waiting, encoded and decoded, from what plays next to the newest packet's begin.
    pub fn depth(&self) -> Span {
        self.config.rate.span_of(self.depth_samples() as u64)
    }

    /// Takes a packet of speech; telephone-events and other payload types are not for this buffer.
    pub fn push(&mut self, now: Tick, packet: &Packet<'_>) -> Pushed {
        let header = packet.header;
        if packet.payload.len() > PAYLOAD_BYTES_MAX {
            self.stats.too_early += 1;
            return Pushed::TooEarly;
        }
        let jump = self.config.rate.samples(Span::from_ms(JUMP_MS));
        let ahead = header.timestamp.distance(self.decode_at);
        if self.ssrc != Some(header.ssrc) || (self.playing && u64::from(ahead.unsigned_abs()) > jump) {
            self.restart(header.ssrc);
        }
        self.estimator.arrived(now, header.timestamp);
        if self.playing && ahead < 0 {
            self.stats.late += 1;
            return Pushed::Late { by: self.config.rate.span_of(u64::from(ahead.unsigned_abs())) };
        }
        let at = usize::from(header.seq.0) & (PACKETS_MAX - 1);
        let slot = &mut self.slots[at];
        if slot.full {
            return if slot.seq == header.seq {
                self.stats.duplicates += 1;
                Pushed::Duplicate
            } else {
                self.stats.too_early += 1;
                Pushed::TooEarly
            };
        }
        *slot = Slot { seq: header.seq, timestamp: header.timestamp, length: packet.payload.len(), full: true };
        self.payloads[at * PAYLOAD_BYTES_MAX..][..packet.payload.len()].copy_from_slice(packet.payload);
        if self.held == 0 && !self.playing {
            self.first_at = now;
        }
        self.held += 1;
        self.stats.queued += 1;
        Pushed::Queued
    }

    /// Fills `out` with the next 10 ms (`out` has that size; other sizes up to 60 ms work). Call once per playout tick,
    /// whatever arrives.
    pub fn pull(&mut self, now: Tick, decoder: &mut dyn Decoder, out: &mut [i16]) -> Pulled {
        if !self.playing {
            if self.held == 0 || now.since(self.first_at) < self.wait() {
                out.fill(0);
                return Pulled::Buffering;
            }
            self.playing = true;
            self.decode_at = self.earliest().map_or(self.decode_at, |slot| self.slots[slot].timestamp);
        }
        let mut invented = false;
        while self.decoded_to - self.decoded_from < out.len() {
            let missing = out.len() - (self.decoded_to - self.decoded_from);
            let gap = self.earliest().map(|slot| (slot, self.slots[slot].timestamp.distance(self.decode_at)));
            match gap {
                Some((slot, ..=0)) => self.decode(slot, decoder),
                Some((_, gap)) => {
                    // Lost: what was invented while waiting stands for the first part of the gap.
                    let covered = self.expanded.min(gap as usize);
                    self.expanded = 0;
                    let conceal = missing.min(gap as usize - covered);
                    self.decode_at = self.decode_at.wrapping_add((covered + conceal) as u32);
                    self.conceal(conceal, decoder);
                    invented |= conceal > 0;
                }
                None => {
                    self.expanded += missing;
                    self.conceal(missing, decoder);
                    invented = true;
                }
            }
        }
        let stretched = !invented && self.shorten(out.len(), decoder);
        out.copy_from_slice(&self.decoded[self.decoded_from..self.decoded_from + out.len()]);
        self.decoded_from += out.len();
        if self.expanded as u64 > self.config.rate.samples(Span::from_ms(EXPAND_MAX_MS)) {
            self.playing = false;
            self.expanded = 0;
            self.estimator.restart();
        }
        match (invented, stretched) {
            (true, _) => {
                self.stats.concealed_pulls += 1;
                Pulled::Concealed
            }
            (false, true) => {
                self.stats.stretched_pulls += 1;
                Pulled::Stretched
            }
            (false, false) => {
                self.stats.voice_pulls += 1;
                Pulled::Voice
            }
        }
    }

    fn restart(&mut self, ssrc: u32) {
        self.ssrc = Some(ssrc);
        self.playing = false;
        self.held = 0;
        self.expanded = 0;
        self.decoded_from = 0;
        self.decoded_to = 0;
        self.slots.iter_mut().for_each(|slot| slot.full = false);
        self.estimator.restart();
    }

    fn earliest(&self) -> Option<usize> {
        if self.held == 0 {
            return None;
        }
        // Against any held packet as origin: timestamps wrap.
        let origin = self.slots.iter().find(|slot| slot.full)?.timestamp;
        let full = self.slots.iter().enumerate().filter(|(_, slot)| slot.full);
        full.min_by_key(|(_, slot)| slot.timestamp.distance(origin)).map(|(at, _)| at)
    }

    fn depth_samples(&self) -> usize {
        let newest =
            self.slots.iter().filter(|slot| slot.full).map(|slot| slot.timestamp.distance(self.decode_at)).max();
        self.decoded_to - self.decoded_from + newest.map_or(0, |ahead| ahead.max(0) as usize)
    }

    fn room(&mut self) -> &mut [i16] {
        if self.decoded_from > 0 {
            self.decoded.copy_within(self.decoded_from..self.decoded_to, 0);
            self.decoded_to -= self.decoded_from;
            self.decoded_from = 0;
        }
        &mut self.decoded[self.decoded_to..]
    }

    fn decode(&mut self, slot: usize, decoder: &mut dyn Decoder) {
        let Slot { timestamp, length, .. } = self.slots[slot];
        self.slots[slot].full = false;
        self.held -= 1;
        self.expanded = 0;
        if timestamp.distance(self.decode_at) < 0 {
            return;
        }
        self.room();
        let (from, payload) = (self.decoded_to, &self.payloads[slot * PAYLOAD_BYTES_MAX..][..length]);
        let samples = decoder.decode(payload, &mut self.decoded[from..]);
        self.decoded_to += samples;
        self.decode_at = timestamp.wrapping_add(samples as u32);
    }

    fn conceal(&mut self, samples: usize, decoder: &mut dyn Decoder) {
        let room = self.room();
        let samples = samples.min(room.len());
        decoder.conceal(&mut room[..samples]);
        self.decoded_to += samples;
    }

    /// Takes one pitch period out of what is decoded, where too much has been waiting for long enough.
    fn shorten(&mut self, keep: usize, decoder: &mut dyn Decoder) -> bool {
        let rate = self.config.rate;
        let wanted = rate.samples(self.wait() + Span::from_ms(20)) as usize;
        if self.depth_samples() <= wanted {
            self.too_full_for = 0;
            return false;
        }
        self.too_full_for += 1;
        let (lag_min, lag_max) = (rate.0 as usize / 200, rate.0 as usize / 66);
        if self.too_full_for < FULL_PULLS {
            return false;
        }
        while self.decoded_to - self.decoded_from < keep + 2 * lag_max {
            match self.earliest() {
                Some(slot) if self.slots[slot].timestamp == self.decode_at => self.decode(slot, decoder),
                Some(_) | None => return false,
            }
        }
        let speech = &mut self.decoded[self.decoded_from..self.decoded_to];
        let lag = best_lag(speech, lag_min, lag_max);
        for at in 0..lag {
            let (old, new) = (i32::from(speech[at]), i32::from(speech[at + lag]));
            speech[at + lag] = ((old * (lag - at) as i32 + new * at as i32) / lag as i32) as i16;
        }
        self.decoded_from += lag;
        self.too_full_for = FULL_PULLS / 2;
        true
    }
}

/// The shift at which speech looks most like itself.
fn best_lag(speech: &[i16], lag_min: usize, lag_max: usize) -> usize {
    let difference = |lag: usize| -> u64 {
        let pairs = speech[..lag_max].iter().zip(&speech[lag..]);
        pairs.step_by(2).map(|(a, b)| u64::from((i32::from(*a) - i32::from(*b)).unsigned_abs())).sum()
    };
    (lag_min..=lag_max).min_by_key(|lag| difference(*lag)).unwrap_or(lag_max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use offhook_codec::{G711, Law};
    use offhook_rtp::Header;

    struct Line {
        buffer: JitterBuffer,
        decoder: G711,
    }

    impl Line {
        fn new() -> Self {
            Self { buffer: JitterBuffer::new(JitterConfig::default()), decoder: G711::new(Law::Mu) }
        }

        fn push(&mut self, ms: u64, seq: u16, timestamp: u32) -> Pushed {
            let header =
                Header { payload_type: 0, marker: false, seq: RtpSeq(seq), timestamp: RtpTime(timestamp), ssrc: 1 };
            let payload: Vec<u8> = (0..160).map(|n| ((n * 3 + u32::from(seq)) % 120) as u8).collect();
            let packet = Packet { header, payload: &payload, payload_at: 12 };
            self.buffer.push(Tick::from_us(ms * 1_000), &packet)
        }

        fn pull(&mut self, ms: u64) -> Pulled {
            self.buffer.pull(Tick::from_us(ms * 1_000), &mut self.decoder, &mut [0; 80])
        }
    }

    #[test]
    fn an_even_stream_is_played_whole_across_both_wraps() {
        let mut line = Line::new();
        let mut pulled = Vec::new();
        for n in 0..500_u64 {
            assert_eq!(
                line.push(n * 20, (65_300 + n) as u16, (u64::from(u32::MAX) - 20_000 + n * 160) as u32),
                Pushed::Queued
            );
            pulled.push(line.pull(n * 20 + 5));
            pulled.push(line.pull(n * 20 + 15));
        }
        let begin = pulled.iter().position(|p| *p != Pulled::Buffering).unwrap();
        assert!(begin <= 4 && pulled[begin..].iter().all(|p| *p == Pulled::Voice), "{begin}");
    }

    #[test]
    fn one_lost_packet_is_20_ms_of_concealment_and_no_more() {
        let mut line = Line::new();
        let mut concealed = 0;
        for n in 0..200_u64 {
            if n != 100 {
                line.push(n * 20, n as u16, n as u32 * 160);
            }
            for ms in [5, 15] {
                concealed += u64::from(line.pull(n * 20 + ms) == Pulled::Concealed);
            }
        }
        assert_eq!(concealed, 2);
    }

    #[test]
    fn doubles_late_ones_and_far_ones_are_told_apart() {
        let mut line = Line::new();
        for n in 0..10_u64 {
            line.push(n * 20, n as u16, n as u32 * 160);
            line.pull(n * 20 + 5);
            line.pull(n * 20 + 15);
        }
        assert_eq!(line.push(200, 10, 1_600), Pushed::Queued);
        assert_eq!(line.push(200, 10, 1_600), Pushed::Duplicate);
        assert!(matches!(line.push(200, 2, 320), Pushed::Late { .. }));
        assert_eq!(line.push(200, 10 + 64, 1_600 + 160 * 64), Pushed::TooEarly);
    }

    #[test]
    fn a_burst_after_a_stall_is_played_and_the_delay_comes_down_again() {
        let mut line = Line::new();
        let mut stretched = 0;
        for n in 0..1_500_u64 {
            // Packets of the second 4 come all at once at its end.
            if !(200..220).contains(&n) {
                line.push(n * 20, n as u16, n as u32 * 160);
            }
            if n == 219 {
                for late in 200..220_u64 {
                    line.push(n * 20, late as u16, late as u32 * 160);
                }
            }
            for ms in [5, 15] {
                stretched += u64::from(line.pull(n * 20 + ms) == Pulled::Stretched);
            }
        }
        assert!(stretched > 0 && line.buffer.depth() <= Span::from_ms(260), "{stretched} {:?}", line.buffer.depth());
    }

    #[test]
    fn another_source_is_played_from_its_first_packet_and_silence_is_waited_out() {
        let mut line = Line::new();
        for n in 0..20_u64 {
            line.push(n * 20, n as u16, n as u32 * 160);
            line.pull(n * 20 + 5);
            line.pull(n * 20 + 15);
        }
        let pulls: Vec<_> = (0..100).map(|n| line.pull(400 + n * 10)).collect();
        assert_eq!(pulls.last(), Some(&Pulled::Buffering));
        for n in 0..10_u64 {
            assert_eq!(line.push(2_000 + n * 20, 40_000 + n as u16, 3_000_000 + n as u32 * 160), Pushed::Queued);
            line.pull(2_005 + n * 20);
            line.pull(2_015 + n * 20);
        }
        assert_eq!(line.pull(2_200), Pulled::Voice);
    }
}
