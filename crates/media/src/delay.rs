//! How long a listener should wait for packets: a histogram of how late they come, apart from the policy of playing them.

use offhook_units::{RtpTime, Span, Tick};

/// Width of a bucket.
const BUCKET_MS: u64 = 5;
/// Buckets: 0-500 ms.
const BUCKETS: usize = 100;
/// Share of packets that must come in time: 31 of 32, about 97 %.
const SHARE: (u32, u32) = (31, 32);
/// Weights are kept in 1/65,536; each packet's fades by 1/128 with every packet after it.
const WHOLE: u32 = 1 << 16;
const FADE_SHIFT: u32 = 7;
/// The fastest transit is taken over the last one to two windows of this many packets.
const WINDOW_PACKETS: u32 = 500;

/// Learns from arrivals how late packets come against the fastest of the last seconds.
#[derive(Debug, Clone)]
pub struct DelayEstimator {
    clock_hz: u32,
    weights: [u32; BUCKETS],
    /// Arrival and timestamp of the first packet: the origin of transits.
    origin: Option<(Tick, RtpTime)>,
    fastest: [i64; 2],
    packets: u32,
}

impl DelayEstimator {
    /// For a stream of this clock rate in Hz.
    pub const fn new(clock_hz: u32) -> Self {
        let mut weights = [0; BUCKETS];
        weights[2] = WHOLE;
        Self { clock_hz, weights, origin: None, fastest: [i64::MAX; 2], packets: 0 }
    }

    /// Forgets the stream's origin, as after a jump of its timestamps; keeps what was learnt of the network.
    pub const fn restart(&mut self) {
        self.origin = None;
        self.fastest = [i64::MAX; 2];
        self.packets = 0;
    }

    /// Notes a packet.
    pub fn arrived(&mut self, now: Tick, timestamp: RtpTime) {
        let (at, first) = *self.origin.get_or_insert((now, timestamp));
        let sent_us = i64::from(timestamp.distance(first)) * 1_000_000 / i64::from(self.clock_hz.max(1));
        let transit = now.since(at).as_us() as i64 - sent_us;
        self.packets += 1;
        if self.packets >= WINDOW_PACKETS {
            self.packets = 0;
            self.fastest = [i64::MAX, self.fastest[0]];
        }
        self.fastest[0] = self.fastest[0].min(transit);
        let late_us = transit - self.fastest[0].min(self.fastest[1]);
        let bucket = (late_us.max(0) as u64 / (BUCKET_MS * 1_000)).min(BUCKETS as u64 - 1) as usize;
        for weight in &mut self.weights {
            *weight -= *weight >> FADE_SHIFT;
        }
        self.weights[bucket] += WHOLE >> FADE_SHIFT;
    }

    /// The wait that lets [`SHARE`] of the packets come in time.
    pub fn wait(&self) -> Span {
        let whole: u64 = self.weights.iter().map(|w| u64::from(*w)).sum();
        let wanted = whole * u64::from(SHARE.0) / u64::from(SHARE.1);
        let mut seen = 0;
        for (bucket, weight) in self.weights.iter().enumerate() {
            seen += u64::from(*weight);
            if seen >= wanted {
                return Span::from_ms((bucket as u64 + 1) * BUCKET_MS);
            }
        }
        Span::from_ms(BUCKETS as u64 * BUCKET_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(late_ms: impl Fn(u64) -> u64) -> Span {
        let mut estimator = DelayEstimator::new(8_000);
        for n in 0..2_000_u64 {
            estimator.arrived(Tick::from_us((n * 20 + late_ms(n)) * 1_000), RtpTime(n as u32 * 160));
        }
        estimator.wait()
    }

    #[test]
    fn even_arrivals_need_5_ms_and_every_tenth_60_ms_late_needs_65() {
        assert_eq!(learn(|_| 0), Span::from_ms(5));
        assert_eq!(learn(|n| if n % 10 == 0 { 60 } else { 0 }), Span::from_ms(65));
    }

    #[test]
    fn a_slow_sender_clock_is_not_taken_for_delay() {
        // 200 ppm over 40 s are 8 ms.
        let wait = learn(|n| n / 250);
        assert!(wait <= Span::from_ms(10), "{wait:?}");
    }
}
