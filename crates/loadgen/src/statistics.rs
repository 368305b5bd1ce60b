//! Times in histograms of high dynamic range, and what they come to.
//!
//! Nothing here corrects for coordinated omission afterwards: calls begin when they are due and not when the last one is done, and
//! a time is counted from the instant at which its call was due, so that a generator or a server that stalls is seen in every
//! call that it kept waiting.

use hdrhistogram::Histogram;
use offhook_units::{Span, Tick};
use serde::Serialize;

/// Longest time that is told apart: an hour, in microseconds.
const LONGEST_US: u64 = 3_600_000_000;
/// Significant digits of what is kept.
const DIGITS: u8 = 3;

/// Times of one kind.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("bounds that are right by themselves"))
    }
}

impl Times {
    /// One more; what is longer than an hour counts as an hour.
    pub fn note(&mut self, span: Span) {
        self.0.saturating_record(span.as_us());
    }

    /// The time from when something was due until it was there. That it began late is part of it.
    pub fn note_since(&mut self, due: Tick, now: Tick) {
        self.note(now.since(due));
    }

    /// All of another's.
    pub fn join(&mut self, other: &Self) {
        // Both have the same bounds.
        let _added = self.0.add(&other.0);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that `share` (0 to 1) of them do not exceed, in milliseconds; zero where there is none.
    pub fn ms_at(&self, share: f64) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.value_at_quantile(share) as f64 / 1_000.0 }
    }

    /// Its figures.
    pub fn quantiles(&self) -> Quantiles {
        let max = if self.0.is_empty() { 0.0 } else { self.0.max() as f64 / 1_000.0 };
        Quantiles {
            n: self.0.len(),
            mean: self.0.mean() / 1_000.0,
            p50: self.ms_at(0.5),
            p90: self.ms_at(0.9),
            p99: self.ms_at(0.99),
            p999: self.ms_at(0.999),
            max,
        }
    }

    /// A histogram that is coarse enough to be read: how many took longer than the bucket before and no longer than so many milliseconds,
    /// of which there are 1, 2 and 5 in each power of ten. Empty ones at either end are left out.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = (2..8_u32).flat_map(|power| [1, 2, 5].map(|each| each * 10_u64.pow(power)));
        let mut below = 0;
        let mut buckets: Vec<(f64, u64)> = bounds
            .map(|us| {
                let upto = if us >= self.0.max() { self.0.len() } else { self.0.count_between(0, us) };
                let count = upto.saturating_sub(below);
                below = below.max(upto);
                (us as f64 / 1_000.0, count)
            })
            .collect();
        if below < self.0.len() {
            buckets.push((self.0.max() as f64 / 1_000.0, self.0.len() - below));
        }
        let used = |bucket: &(f64, u64)| bucket.1 > 0;
        let (first, last) = (buckets.iter().position(used), buckets.iter().rposition(used));
        first.zip(last).map_or_else(Vec::new, |(first, last)| buckets[first..=last].to_vec())
    }

    /// Points of the curve of its percentiles, for a plot: share and milliseconds, closer to each other towards the end.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        self.0
            .iter_quantiles(4)
            .map(|value| (value.quantile_iterated_to(), value.value_iterated_to() as f64 / 1_000.0))
            .collect()
    }
}

/// The figures of a kind of time, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// How many there were.
    pub n: u64,
    /// Their mean.
    pub mean: f64,
    /// Half of them were no longer.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_of_1_s_is_in_every_call_that_was_due_meanwhile() {
        // 100 calls a second, answered in 1 ms each, but for the second from 5 s to 6 s in which nothing moves.
        let (mut from_due, mut from_sent) = (Times::default(), Times::default());
        let (from, to) = (Tick::from_us(5_000_000), Tick::from_us(6_000_000));
        for n in 0..1_000 {
            let due = Tick::from_us(n * 10_000);
            let sent = if due >= from && due < to { to } else { due };
            let answered = sent + Span::from_ms(1);
            from_due.note_since(due, answered);
            from_sent.note_since(sent, answered);
        }
        assert!(from_due.ms_at(0.95) > 490.0 && from_due.quantiles().max > 999.0, "{:?}", from_due.quantiles());
        assert!(from_sent.quantiles().max < 1.1, "counted from the sending nothing would be seen");
    }

    #[test]
    fn a_coarse_histogram_counts_each_time_once_and_ends_with_the_longest() {
        let mut times = Times::default();
        assert_eq!(times.buckets(), []);
        for ms in [1, 1, 2, 3, 4, 40] {
            times.note(Span::from_ms(ms));
        }
        let found = times.buckets();
        assert_eq!(found, [(1.0, 2), (2.0, 1), (5.0, 2), (10.0, 0), (20.0, 0), (50.0, 1)]);
        times.note(Span::from_s(100));
        let found = times.buckets();
        assert!(
            found.iter().map(|(_, count)| count).sum::<u64>() == 7 && found.last().unwrap().0 > 99_000.0,
            "{found:?}"
        );
    }

    #[test]
    fn quantiles_are_right_to_three_digits_and_nothing_is_zero() {
        let mut times = Times::default();
        (1..=1_000).for_each(|ms| times.note(Span::from_ms(ms)));
        let found = times.quantiles();
        assert_eq!(found.n, 1_000);
        for (found, expected) in [(found.p50, 500.0), (found.p99, 990.0), (found.p999, 999.0), (found.max, 1_000.0)] {
            assert!((found - expected).abs() / expected < 0.002, "{found} instead of {expected}");
        }
        assert_eq!(Times::default().quantiles(), Quantiles::default());
        times.note(Span::from_s(100_000));
        assert!(times.quantiles().max <= 3_601_000.0);
        let mut both = Times::default();
        both.join(&times);
        assert_eq!(both.count(), 1_001);
        assert!(times.curve().is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
    }
}
