//! How long a listener should wait for packets: a histogram of when they come, apart from the policy of playing them.
//!
//! A packet's transit is its arrival less its timestamp, against the stream's first packet. The histogram forgets slowly; from it
//! follows the transit to wait for, by what a late packet is worth in waiting. Nothing here knows what is being played.

use offhook_units::{RtpTime, Span, Tick};

/// Width of a bucket.
const BUCKET_US: i64 = 1_000;
/// Buckets: transits that lie within 768 ms.
const BUCKETS: usize = 768;
/// Where a stream's first packet falls, so that faster ones have room below it.
const FIRST_BUCKET: usize = 96;
/// The histogram follows the stream when this bucket would be passed.
const _: () = assert!(FIRST_BUCKET * 4 < BUCKETS, "most packets come later than the fastest");
/// The fastest packets are those below this share.
const FASTEST_SHARE: f32 = 0.01;
/// The scale of a tail of late packets in standard deviations.
const TAIL: f32 = 0.5;
/// A bucket with less than this part of one packet's first weight is empty.
const FADED: f32 = 0.25;

/// Packets of a stretch, and stretches in which the latest packet is remembered: 14 s of 20 ms.
const STRETCH_PACKETS: u32 = 50;
const STRETCHES: usize = 14;
/// Stretches in which the fastest packet is remembered: 4 s.
const FASTEST_STRETCHES: usize = 4;
/// The time constants of the smoothed transits, in packets.
const FAST_PACKETS: u32 = 25;
const SLOW_PACKETS: u32 = 100;
/// How far these must part until the path is held to become slower.
const RISE_IGNORED_US: f32 = 6_000.0;
/// Jitter that wanders is at least this large, and this part of it is slow.
const WANDER_IGNORED_US: f32 = 15_000.0;
const WANDER_SHARE: f32 = 0.4;
/// What is added of how far they are apart.
const RISE_SHARE: f32 = 0.8;

/// What waiting is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patience {
    /// Waiting for one packet in a hundred may take this long on the average.
    pub late_percent_costs: Span,
    /// Standard deviations above the mean that are waited for, where any packet of late has come so late.
    pub deviations: f32,
    /// Packets that the histogram remembers.
    pub memory_packets: u32,
}

impl Patience {
    /// Speech first: about one packet in a thousand may be late.
    pub const ROBUST: Self = Self { late_percent_costs: Span::from_ms(75), deviations: 4.8, memory_packets: 1_000 };
    /// Conversation first: about one packet in a hundred may be late.
    pub const LOW_LATENCY: Self = Self { late_percent_costs: Span::from_ms(20), deviations: 2.0, memory_packets: 500 };
}

/// Learns from arrivals what transit to wait for.
#[derive(Debug, Clone)]
pub struct DelayEstimator {
    clock_hz: u32,
    patience: Patience,
    weights: Box<[f32; BUCKETS]>,
    packets: u32,
    /// The latest transit of each of the last stretches, the newest first, and the packets of the newest.
    latest_us: [i64; STRETCHES],
    stretch: u32,
    /// The earliest transit of each of the last stretches.
    earliest_us: [i64; FASTEST_STRETCHES],
    /// Smoothed transits, fast and slow: apart where the path becomes slower.
    fast_us: f32,
    slow_us: f32,
    /// How far the fast one goes from the mean, squared, and whether that is most of what there is of jitter.
    wander: f32,
    wanders: bool,
    /// Arrival and timestamp of the first packet: the origin of transits.
    origin: Option<(Tick, RtpTime)>,
    /// The transit at which bucket 0 begins.
    lowest_us: i64,
    fastest_us: i64,
    wanted_us: i64,
}

impl DelayEstimator {
    /// For a stream of this clock rate in Hz.
    pub fn new(clock_hz: u32, patience: Patience) -> Self {
        Self {
            clock_hz: clock_hz.max(1),
            patience,
            weights: Box::new([0.0; BUCKETS]),
            packets: 0,
            latest_us: [i64::MIN; STRETCHES],
            stretch: 0,
            earliest_us: [i64::MAX; FASTEST_STRETCHES],
            fast_us: 0.0,
            slow_us: 0.0,
            wander: 0.0,
            wanders: false,
            origin: None,
            lowest_us: 0,
            fastest_us: 0,
            wanted_us: 0,
        }
    }

    /// Forgets the stream's origin, as after a jump of its timestamps; what was learnt of the network is kept, as seen from the
    /// fastest packets.
    pub fn restart(&mut self) {
        self.origin = None;
        let faster = (self.fastest_us - self.lowest_us) / BUCKET_US;
        self.lowest_us = -(faster * BUCKET_US);
        self.wanted_us -= self.fastest_us;
        self.fast_us -= self.fastest_us as f32;
        self.slow_us -= self.fastest_us as f32;
        for latest in &mut self.latest_us {
            *latest = latest.saturating_sub(self.fastest_us);
        }
        self.earliest_us = [i64::MAX; FASTEST_STRETCHES];
        self.fastest_us = 0;
    }

    /// The transit of `timestamp` at `now` against the first packet's, in microseconds; 0 before it.
    pub fn transit_us(&self, now: Tick, timestamp: RtpTime) -> i64 {
        self.origin.map_or(0, |(at, first)| {
            let sent_us = i64::from(timestamp.distance(first)) * 1_000_000 / i64::from(self.clock_hz);
            now.as_us() as i64 - at.as_us() as i64 - sent_us
        })
    }

    /// Notes a packet.
    pub fn arrived(&mut self, now: Tick, timestamp: RtpTime) {
        if self.origin.is_none() {
            self.origin = Some((now, timestamp));
            if self.packets == 0 {
                self.lowest_us = -(FIRST_BUCKET as i64 * BUCKET_US);
            }
        }
        let transit = self.transit_us(now, timestamp);
        self.make_room(transit);
        let bucket = ((transit - self.lowest_us) / BUCKET_US).clamp(0, BUCKETS as i64 - 1) as usize;
        self.packets = (self.packets + 1).min(self.patience.memory_packets);
        let share = 1.0 / self.packets as f32;
        for weight in self.weights.iter_mut() {
            *weight -= *weight * share;
        }
        self.weights[bucket] += share;
        self.follow(transit);
        self.learn();
    }

    fn follow(&mut self, transit: i64) {
        self.stretch += 1;
        if self.stretch > STRETCH_PACKETS {
            self.stretch = 1;
            self.latest_us.copy_within(..STRETCHES - 1, 1);
            self.latest_us[0] = i64::MIN;
            self.earliest_us.copy_within(..FASTEST_STRETCHES - 1, 1);
            self.earliest_us[0] = i64::MAX;
        }
        self.earliest_us[0] = self.earliest_us[0].min(transit);
        self.latest_us[0] = self.latest_us[0].max(transit);
        let transit = transit as f32;
        self.fast_us += (transit - self.fast_us) / (FAST_PACKETS.min(self.packets) as f32);
        self.slow_us += (transit - self.slow_us) / (SLOW_PACKETS.min(self.packets) as f32);
    }

    /// What the path is about to become slower by, in microseconds.
    fn rising_us(&self) -> i64 {
        ((self.fast_us - self.slow_us - RISE_IGNORED_US) * RISE_SHARE).max(0.0) as i64
    }

    /// Shifts the histogram so that `transit` falls into it, where most of what it remembers stays in it.
    fn make_room(&mut self, transit: i64) {
        let bucket = (transit - self.lowest_us).div_euclid(BUCKET_US);
        if bucket < 0 {
            let shift = usize::try_from(-bucket).unwrap_or(BUCKETS).saturating_add(FIRST_BUCKET / 2).min(BUCKETS);
            self.weights.copy_within(..BUCKETS - shift, shift);
            self.weights[..shift].fill(0.0);
            self.lowest_us -= shift as i64 * BUCKET_US;
            if shift == BUCKETS {
                self.lowest_us = transit - FIRST_BUCKET as i64 * BUCKET_US;
            }
        } else if bucket >= BUCKETS as i64 {
            // The path has become slower, or the sender's clock is: the empty begin is given up.
            let empty = self.weights.iter().position(|weight| *weight > self.faded()).unwrap_or(BUCKETS - 1);
            self.weights.copy_within(empty.., 0);
            self.weights[BUCKETS - empty..].fill(0.0);
            self.lowest_us += empty as i64 * BUCKET_US;
        }
    }

    fn faded(&self) -> f32 {
        FADED / self.packets.max(1) as f32
    }

    fn learn(&mut self) {
        let (mut below, mut mean, mut square) = (0.0_f32, 0.0_f32, 0.0_f32);
        let (mut fastest, mut slowest) = (None, 0);
        let faded = self.faded();
        for (at, weight) in self.weights.iter().enumerate() {
            if *weight == 0.0 {
                continue;
            }
            below += weight;
            if fastest.is_none() && below > FASTEST_SHARE {
                fastest = Some(at);
            }
            if *weight > faded {
                slowest = at;
            }
            mean += weight * at as f32;
            square += weight * (at * at) as f32;
        }
        let fastest = fastest.unwrap_or(slowest).min(slowest);
        let deviation = (square - mean * mean).max(0.0).sqrt();
        let cost = self.patience.late_percent_costs.as_us() as f32 / BUCKET_US as f32 * 100.0;
        let (mut best, mut late) = ((slowest, slowest as f32), 0.0);
        for at in (fastest..slowest).rev() {
            late += self.weights[at + 1];
            let costs = at as f32 + cost * late;
            if costs < best.1 {
                best = (at, costs);
            }
        }
        // Few packets have not shown the slowest yet; of an exponential tail they would, by and by.
        let unseen = (self.patience.memory_packets as f32 / self.packets as f32).ln() * deviation * TAIL;
        let likely = (mean + self.patience.deviations * deviation).min(slowest as f32 + unseen) as usize;
        let place = |bucket: usize| self.lowest_us + bucket as i64 * BUCKET_US;
        // What the path was is no measure of what it is.
        self.fastest_us = self.earliest_us.iter().min().copied().unwrap_or(0).max(place(fastest));
        let apart_us = self.fast_us - (self.lowest_us as f32 + mean * BUCKET_US as f32);
        self.wander += (apart_us * apart_us - self.wander) / self.packets as f32;
        let deviation_us = deviation * BUCKET_US as f32;
        self.wanders = self.packets >= SLOW_PACKETS
            && deviation_us > WANDER_IGNORED_US
            && self.wander > deviation_us * deviation_us * WANDER_SHARE;
        self.wanted_us = if self.wanders {
            let latest = self.latest_us.iter().max().copied().unwrap_or(0);
            latest.max(self.latest_us[0].max(self.latest_us[1]) + self.rising_us()) + BUCKET_US
        } else {
            place(best.0.max(likely) + 1)
        };
    }

    /// The transit of the fastest packets of late, in microseconds.
    pub const fn fastest_us(&self) -> i64 {
        self.fastest_us
    }

    /// Whether the path becomes slower and faster over seconds, rather than from packet to packet: what was seen long ago says little
    /// then, and what comes can be foreseen.
    pub const fn wanders(&self) -> bool {
        self.wanders
    }

    /// How much longer than for the fastest packets to wait.
    pub fn wait(&self) -> Span {
        Span::from_us((self.wanted_us - self.fastest_us).max(0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn_from(patience: Patience, late_ms: impl Fn(u64) -> u64) -> DelayEstimator {
        let mut estimator = DelayEstimator::new(8_000, patience);
        for n in 0..2_000_u64 {
            estimator.arrived(Tick::from_us((n * 20 + late_ms(n)) * 1_000), RtpTime(n as u32 * 160));
        }
        estimator
    }

    fn learn(late_ms: impl Fn(u64) -> u64) -> u64 {
        learn_from(Patience::ROBUST, late_ms).wait().as_ms()
    }

    #[test]
    fn even_arrivals_need_1_ms_and_every_fiftieth_60_ms_late_needs_61() {
        assert_eq!(learn(|_| 0), 1);
        assert_eq!(learn(|n| if n % 50 == 0 { 60 } else { 0 }), 61);
    }

    #[test]
    fn one_packet_300_ms_late_in_40_s_is_not_waited_for() {
        assert!(learn(|n| if n == 1_900 { 300 } else { 0 }) < 60);
    }

    #[test]
    fn low_latency_does_not_wait_for_every_hundredth_packet() {
        let late = |n: u64| if n.is_multiple_of(100) { 200 } else { n % 10 };
        assert!(learn_from(Patience::LOW_LATENCY, late).wait() < Span::from_ms(70));
        assert!(learn_from(Patience::ROBUST, late).wait() > Span::from_ms(80));
    }

    #[test]
    fn a_slow_or_fast_sender_clock_is_not_taken_for_delay() {
        // 200 ppm over 40 s are 8 ms.
        assert!(learn(|n| n / 250) <= 6);
        assert!(learn(|n| 10 - n / 250) <= 9);
    }

    #[test]
    fn a_path_that_becomes_2_s_slower_or_faster_is_followed() {
        for ms in [0, 2_000] {
            let estimator = learn_from(Patience::ROBUST, |n| if n < 200 { 1_000 } else { ms });
            assert!(estimator.wait() < Span::from_ms(5), "{ms}: {:?}", estimator.wait());
        }
    }
}
