//! What a receiver knows about a stream: RFC 3550 appendix A.1 (validity), A.3 (loss), A.8 (jitter).

use offhook_units::{RtpSeq, RtpTime};

/// A jump forward of at least this many packets is a restarted source, RFC 3550 A.1 (`MAX_DROPOUT`).
const DROPOUT_MAX: u16 = 3_000;
/// A step back of more than this many packets is a restarted source, RFC 3550 A.1 (`MAX_MISORDER`).
const MISORDER_MAX: u16 = 100;
/// How far back a packet is known as a duplicate: the bits of the window.
const WINDOW: u32 = u64::BITS;

/// What a packet was to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The first packet of a source, or of a source that began anew: numbers before it mean nothing.
    Began,
    /// Newer than all before it; `skipped` numbers in between did not come (yet).
    Newest {
        /// Numbers jumped over: lost or late.
        skipped: u16,
    },
    /// Older than the newest, and not seen before.
    Late,
    /// Seen before, or too old to tell.
    Duplicate,
    /// A single packet far away from the stream, RFC 3550 A.1: to be dropped; the stream restarts if the next one follows it.
    Stray,
}

impl Heard {
    /// Whether the packet is part of the stream, for the first time.
    pub const fn is_new(self) -> bool {
        matches!(self, Self::Began | Self::Newest { .. } | Self::Late)
    }
}

/// The figures of a report block, RFC 3550 section 6.4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// The source that it is about.
    pub ssrc: u32,
    /// Lost since the last report, of 256.
    pub fraction_lost: u8,
    /// Lost in all, clamped to 24 bits signed.
    pub cumulative_lost: i32,
    /// Highest sequence number, with the count of wraps above it.
    pub highest_seq: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
}

/// The statistics of what is heard from one peer, over changes of its source.
#[derive(Debug, Clone, Default)]
pub struct ReceiverStats {
    source: Option<Source>,
    /// Expected of sources that ended, and lost of these.
    past_expected: u64,
    past_lost: i64,
    duplicates: u64,
}

#[derive(Debug, Clone)]
struct Source {
    ssrc: u32,
    /// Extended sequence number of the first packet.
    base: u32,
    /// Extended sequence number of the newest packet.
    highest: u32,
    /// Bit n: `highest - n` was seen.
    window: u64,
    received: u32,
    expected_prior: u32,
    received_prior: u32,
    /// The number that would prove a restart, A.1's `bad_seq`.
    restart_at: Option<RtpSeq>,
    transit: Option<u32>,
    /// Jitter times 16, as A.8 keeps it.
    jitter_x16: u32,
}

impl Source {
    const fn new(ssrc: u32, seq: RtpSeq) -> Self {
        // Starting one cycle up keeps early late packets from underflowing.
        let base = 0x1_0000 + seq.0 as u32;
        Self {
            ssrc,
            base,
            highest: base,
            window: 1,
            received: 1,
            expected_prior: 0,
            received_prior: 0,
            restart_at: None,
            transit: None,
            jitter_x16: 0,
        }
    }

    const fn expected(&self) -> u32 {
        self.highest - self.base + 1
    }

    fn place(&mut self, seq: RtpSeq) -> Heard {
        let step = seq.distance(RtpSeq(self.highest as u16));
        match step {
            1.. if step.unsigned_abs() < DROPOUT_MAX => {
                let Some(highest) = self.highest.checked_add(u32::from(step.unsigned_abs())) else {
                    return Heard::Began;
                };
                self.highest = highest;
                self.window = self.window.checked_shl(u32::from(step.unsigned_abs())).unwrap_or(0) | 1;
                self.restart_at = None;
                self.received += 1;
                Heard::Newest { skipped: step.unsigned_abs() - 1 }
            }
            ..=0 if step.unsigned_abs() <= MISORDER_MAX => {
                let back = u32::from(step.unsigned_abs());
                let extended = self.highest - back;
                if back >= WINDOW || self.window & (1 << back) != 0 {
                    return Heard::Duplicate;
                }
                self.window |= 1 << back;
                self.base = self.base.min(extended);
                self.received += 1;
                Heard::Late
            }
            _ if self.restart_at == Some(seq) => Heard::Began,
            _ => {
                self.restart_at = Some(seq.next());
                Heard::Stray
            }
        }
    }
}

impl ReceiverStats {
    /// Notes a packet that arrived at `arrival` (in timestamp units of the stream's clock, any origin). A packet whose
    /// timestamp says nothing of its sending time (telephone-events) passes `None` and leaves the jitter alone.
    pub fn heard(&mut self, ssrc: u32, seq: RtpSeq, timestamp: RtpTime, arrival: Option<u32>) -> Heard {
        let heard = match &mut self.source {
            Some(source) if source.ssrc == ssrc => source.place(seq),
            Some(_) | None => Heard::Began,
        };
        match heard {
            Heard::Began => {
                (self.past_expected, self.past_lost) = (self.expected(), self.lost_signed());
                self.source = Some(Source::new(ssrc, seq));
            }
            Heard::Duplicate => {
                self.duplicates += 1;
                return heard;
            }
            Heard::Stray => return heard,
            Heard::Newest { .. } | Heard::Late => {}
        }
        if let (Some(source), Some(arrival)) = (&mut self.source, arrival) {
            let transit = arrival.wrapping_sub(timestamp.0);
            if let Some(before) = source.transit {
                let d = (transit.wrapping_sub(before) as i32).unsigned_abs().min(1 << 24);
                source.jitter_x16 = source.jitter_x16 + d - ((source.jitter_x16 + 8) >> 4);
            }
            source.transit = Some(transit);
        }
        heard
    }

    /// The present source, once heard.
    pub fn ssrc(&self) -> Option<u32> {
        self.source.as_ref().map(|source| source.ssrc)
    }

    /// Interarrival jitter in timestamp units, RFC 3550 A.8.
    pub fn jitter(&self) -> u32 {
        self.source.as_ref().map_or(0, |source| source.jitter_x16 >> 4)
    }

    /// Sequence numbers that never came, over all sources.
    pub fn lost(&self) -> u64 {
        u64::try_from(self.lost_signed()).unwrap_or(0)
    }

    /// Sequence numbers that should have come, over all sources.
    pub fn expected(&self) -> u64 {
        self.past_expected + self.source.as_ref().map_or(0, |source| u64::from(source.expected()))
    }

    /// Packets that came twice.
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    fn lost_signed(&self) -> i64 {
        self.past_lost + self.source.as_ref().map_or(0, |s| i64::from(s.expected()) - i64::from(s.received))
    }

    /// The next report block, RFC 3550 A.3; `None` before the first packet. Fraction lost counts from the last call.
    pub fn report(&mut self) -> Option<Report> {
        let source = self.source.as_mut()?;
        let (expected, received) = (source.expected(), source.received);
        let expected_interval = expected.wrapping_sub(source.expected_prior) as i32;
        let received_interval = received.wrapping_sub(source.received_prior) as i32;
        source.expected_prior = expected;
        source.received_prior = received;
        let lost_interval = i64::from(expected_interval) - i64::from(received_interval);
        let fraction = if expected_interval <= 0 || lost_interval <= 0 {
            0
        } else {
            (lost_interval << 8) / i64::from(expected_interval)
        };
        let cumulative = i64::from(expected) - i64::from(received);
        Some(Report {
            ssrc: source.ssrc,
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: cumulative.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_seq: source.highest.wrapping_sub(0x1_0000),
            jitter: source.jitter_x16 >> 4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Heard::{Began, Duplicate, Late, Newest};
    use super::*;

    fn feed(stats: &mut ReceiverStats, seqs: &[u16]) -> Vec<Heard> {
        let at = |seq: u16| RtpTime(u32::from(seq) * 160);
        seqs.iter().map(|seq| stats.heard(7, RtpSeq(*seq), at(*seq), Some(u32::from(*seq) * 160))).collect()
    }

    #[test]
    fn loss_lateness_and_doubles_are_told_apart_across_the_wrap() {
        let mut stats = ReceiverStats::default();
        let heard = feed(&mut stats, &[65_534, 65_535, 1, 0, 1, 4]);
        let (next, gap, gap2) = (Newest { skipped: 0 }, Newest { skipped: 1 }, Newest { skipped: 2 });
        assert_eq!(heard, [Began, next, gap, Late, Duplicate, gap2]);
        assert_eq!((stats.lost(), stats.duplicates()), (2, 1));
        let report = stats.report().unwrap();
        assert_eq!(
            (report.fraction_lost, report.cumulative_lost, report.highest_seq),
            ((2 * 256 / 7) as u8, 2, 0x1_0004)
        );
    }

    #[test]
    fn a_far_jump_restarts_the_source_at_its_second_packet() {
        let mut stats = ReceiverStats::default();
        let heard = feed(&mut stats, &[10, 11, 30_000, 30_001, 30_002]);
        let next = Heard::Newest { skipped: 0 };
        assert_eq!(heard, [Heard::Began, next, Heard::Stray, Heard::Began, next]);
        assert_eq!(stats.lost(), 0);
    }

    #[test]
    fn another_ssrc_begins_anew_and_keeps_the_loss_of_the_first() {
        let mut stats = ReceiverStats::default();
        feed(&mut stats, &[1, 3]);
        assert_eq!(stats.heard(8, RtpSeq(9_000), RtpTime(5), Some(0)), Heard::Began);
        assert_eq!((stats.expected(), stats.lost(), stats.ssrc()), (4, 1, Some(8)));
    }

    #[test]
    fn jitter_of_even_arrivals_is_zero_and_of_alternating_ones_settles() {
        let mut stats = ReceiverStats::default();
        feed(&mut stats, &(0..100).collect::<Vec<_>>());
        assert_eq!(stats.jitter(), 0);
        let mut stats = ReceiverStats::default();
        for n in 0..1_000_u32 {
            stats.heard(7, RtpSeq(n as u16), RtpTime(n * 160), Some(n * 160 + (n % 2) * 16));
        }
        assert!((14..=16).contains(&stats.jitter()), "{}", stats.jitter());
    }
}
