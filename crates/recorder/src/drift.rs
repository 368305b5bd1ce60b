//! From RTP time to the exchange clock: the smallest transit seen lately, with the slope between the two clocks taken out.
//!
//! A packet's transit (arrival less RTP time) is the network's delay plus an unknown constant plus the drift of the sender's clock. Delay only
//! adds, so the smallest transits of the last minutes lie on a line whose slope is the drift. Whole numbers only.

use std::collections::VecDeque;

use offhook_units::Tick;

/// Microseconds of one sample at 8 kHz.
pub const US_PER_FRAME: i64 = 125;

/// RTP time of which one smallest transit is kept, in microseconds.
const BUCKET_US: i64 = 5_000_000;

/// Smallest transits kept: 64 x 5 s.
const BUCKETS_MAX: usize = 64;

/// Smallest transits that make a line; fewer are taken as level.
const BUCKETS_FOR_SLOPE: usize = 6;

/// The steepest drift believed, in parts per billion: crystals are within 100 ppm, virtual machines within 500.
const SLOPE_MAX_PPB: i128 = 500_000;

/// One smallest transit: at which RTP time, how much. Microseconds relative to the first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Point {
    rtp: i64,
    transit: i64,
}

/// The mapping of one RTP stream.
#[derive(Debug, Clone, Default)]
pub struct Drift {
    /// Arrival and RTP time of the first packet, in microseconds.
    origin: Option<(i64, i64)>,
    closed: VecDeque<Point>,
    current: Option<(i64, Point)>,
    slope_ppb: i64,
    /// Smallest transit less slope.
    floor: i64,
}

impl Drift {
    /// Takes in one packet: its arrival, and its unwrapped RTP time in samples at 8 kHz.
    pub fn observe(&mut self, at: Tick, samples: i64) {
        let (arrival, rtp) = (at.as_us() as i64, samples.saturating_mul(US_PER_FRAME));
        let (first_arrival, first_rtp) = *self.origin.get_or_insert((arrival, rtp));
        let rtp = rtp - first_rtp;
        let point = Point { rtp, transit: arrival - first_arrival - rtp };
        let bucket = rtp.div_euclid(BUCKET_US);
        self.current = match self.current {
            Some((open, least)) if open == bucket => Some((open, self.lower(least, point))),
            Some((_, least)) => {
                self.close(least);
                Some((bucket, point))
            }
            None => Some((bucket, point)),
        };
        self.floor = self.floor.min(self.above_slope(point));
    }

    /// The exchange-clock instant, in microseconds, at which a packet with this RTP time arrives when nothing delays it.
    pub fn place(&self, samples: i64) -> i64 {
        let Some((first_arrival, first_rtp)) = self.origin else { return 0 };
        let rtp = samples.saturating_mul(US_PER_FRAME) - first_rtp;
        first_arrival + rtp + self.floor + self.slope_at(rtp)
    }

    /// How much later than undelayed a packet arrived, in microseconds; negative where it is the fastest yet.
    pub fn delay(&self, at: Tick, samples: i64) -> i64 {
        at.as_us() as i64 - self.place(samples)
    }

    /// How much slower than the exchange clock the sender's clock runs, in parts per billion.
    pub const fn slope_ppb(&self) -> i64 {
        self.slope_ppb
    }

    fn slope_at(&self, rtp: i64) -> i64 {
        match rtp.checked_mul(self.slope_ppb) {
            Some(product) => product / 1_000_000_000,
            None => (i128::from(rtp) * i128::from(self.slope_ppb) / 1_000_000_000) as i64,
        }
    }

    fn above_slope(&self, point: Point) -> i64 {
        point.transit - self.slope_at(point.rtp)
    }

    fn lower(&self, a: Point, b: Point) -> Point {
        if self.above_slope(b) < self.above_slope(a) { b } else { a }
    }

    /// Keeps the smallest transit of a bucket that is over, and fits the line anew.
    fn close(&mut self, least: Point) {
        if self.closed.len() == BUCKETS_MAX {
            self.closed.pop_front();
        }
        self.closed.push_back(least);
        if self.closed.len() >= BUCKETS_FOR_SLOPE {
            self.slope_ppb = slope_ppb(&self.closed);
        }
        self.floor = self.closed.iter().map(|&point| self.above_slope(point)).min().unwrap_or(0);
    }
}

/// Least squares, in parts per billion.
fn slope_ppb(points: &VecDeque<Point>) -> i64 {
    let n = points.len() as i128;
    let origin = points.front().copied().unwrap_or(Point { rtp: 0, transit: 0 });
    let (mut x_sum, mut y_sum, mut xx_sum, mut xy_sum) = (0_i128, 0_i128, 0_i128, 0_i128);
    for point in points {
        let (x, y) = (i128::from(point.rtp - origin.rtp), i128::from(point.transit - origin.transit));
        (x_sum, y_sum, xx_sum, xy_sum) = (x_sum + x, y_sum + y, xx_sum + x * x, xy_sum + x * y);
    }
    let spread = n * xx_sum - x_sum * x_sum;
    if spread <= 0 {
        return 0;
    }
    let slope = (n * xy_sum - x_sum * y_sum).saturating_mul(1_000_000_000) / spread;
    slope.clamp(-SLOPE_MAX_PPB, SLOPE_MAX_PPB) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use offhook_units::Entropy;

    /// Plays `minutes` of 20 ms packets from a clock `ppm` slower than ours through 0..`jitter_us` of delay; gives the drift
    /// and the largest error of `place` after the first minute, in microseconds.
    fn run(ppm: i64, jitter_us: u64, minutes: i64) -> (Drift, i64) {
        let mut entropy = Entropy::from_number(ppm as u64);
        let mut drift = Drift::default();
        let mut worst = 0;
        for n in 0..minutes * 3_000 {
            let sent = 1_000_000_000 + n * 20_000 + n * 20_000 * ppm / 1_000_000;
            let at = Tick::from_us(sent as u64 + entropy.below(jitter_us + 1));
            drift.observe(at, n * 160);
            if n > 3_000 {
                worst = worst.max((drift.place(n * 160) - sent).abs());
            }
        }
        (drift, worst)
    }

    #[test]
    fn over_an_hour_placement_stays_within_2_ms_for_clocks_200_ppm_apart_and_20_ms_of_jitter() {
        for ppm in [-200, -100, 0, 100, 200] {
            let (drift, worst) = run(ppm, 20_000, 60);
            assert!(worst <= 2_000, "{ppm} ppm: {worst} us off");
            assert!((drift.slope_ppb() - ppm * 1_000).abs() < 5_000, "{ppm} ppm: measured {} ppb", drift.slope_ppb());
        }
    }

    #[test]
    fn absurd_times_neither_panic_nor_overflow() {
        let mut drift = Drift::default();
        for (at, samples) in [(0, 0), (u64::MAX / 4, 1 << 40), (5, -(1 << 40)), (6, 160), (u64::MAX / 4, 320)] {
            drift.observe(Tick::from_us(at), samples);
            let _ = (drift.place(samples), drift.delay(Tick::from_us(at), samples));
        }
    }
}
