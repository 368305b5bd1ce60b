//! How much a server carries: limits that a run has to keep, and a search for the most that keeps them.

use serde::Serialize;

use crate::report::Report;

/// What a run has to keep. Percentages and milliseconds; none: not looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Calls that may fail, those given up included.
    pub failed_pct: f64,
    /// Packets that may be lost.
    pub lost_pct: f64,
    /// Setup that 99 % must not exceed.
    pub setup_p99_ms: Option<f64>,
    /// Round trip of speech that 99 % must not exceed.
    pub round_trip_p99_ms: Option<f64>,
}

impl Limits {
    /// The limits that a run broke, each in words.
    pub fn broken(&self, report: &Report) -> Vec<String> {
        let mut broken = Vec::new();
        let mut hold = |what: &str, found: f64, limit: f64, unit: &str| {
            if found > limit {
                broken.push(format!("{what}: {found:.3} {unit}, and the limit is {limit} {unit}"));
            }
        };
        hold("calls that failed", report.failed_pct(), self.failed_pct, "%");
        hold("packets lost", report.lost_pct(), self.lost_pct, "%");
        if let (Some(limit), Some(calls)) = (self.setup_p99_ms, &report.calls) {
            hold("setup of 99 % of calls", calls.setup_ms.p99, limit, "ms");
        }
        if let Some(limit) = self.round_trip_p99_ms {
            hold("round trip of 99 % of packets", report.media.round_trip_ms.p99, limit, "ms");
        }
        if report.calls.as_ref().is_some_and(|calls| calls.started > 0 && calls.answered == 0) {
            broken.push("no call was answered".to_owned());
        }
        broken
    }
}

/// The search ends where what is good and what is not are so close, in percent.
const CLOSE_PCT: u64 = 5;

/// A search for the largest number that is good: doubling at first, then halving what lies between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    most: u64,
    good: Option<u64>,
    bad: Option<u64>,
    next: u64,
}

impl Search {
    /// From `least` on, up to `most`.
    pub fn new(least: u64, most: u64) -> Self {
        Self { most: most.max(1), good: None, bad: None, next: least.clamp(1, most.max(1)) }
    }

    /// What is to be tried next; none where the answer is known.
    pub fn next(&self) -> Option<u64> {
        match (self.good, self.bad) {
            (Some(good), _) if good >= self.most => None,
            (Some(good), Some(bad)) if (bad - good) * 100 <= good * CLOSE_PCT || bad - good <= 1 => None,
            (None, Some(1)) => None,
            (_, _) => Some(self.next),
        }
    }

    /// What became of the last try.
    pub fn tell(&mut self, is_good: bool) {
        let tried = self.next;
        if is_good {
            self.good = Some(self.good.map_or(tried, |good| good.max(tried)));
        } else {
            self.bad = Some(self.bad.map_or(tried, |bad| bad.min(tried)));
        }
        self.next = match (self.good, self.bad) {
            (Some(good), None) => (good * 2).min(self.most),
            (Some(good), Some(bad)) => u64::midpoint(good, bad),
            (None, Some(bad)) => (bad / 2).max(1),
            (None, None) => tried,
        };
    }

    /// The largest that was good.
    pub const fn found(&self) -> Option<u64> {
        self.good
    }
}

/// One try of a search.
#[derive(Debug, Clone, Serialize)]
pub struct Try {
    /// Calls a second, or calls at once.
    pub value: u64,
    /// Whether it kept the limits.
    pub good: bool,
    /// Why not.
    pub why: Vec<String>,
    /// What it came to.
    pub report: Report,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Calls, Media};
    use crate::statistics::Quantiles;

    fn find(least: u64, most: u64, carries: u64) -> (Option<u64>, Vec<u64>) {
        let mut search = Search::new(least, most);
        let mut tried = Vec::new();
        while let Some(next) = search.next() {
            tried.push(next);
            search.tell(next <= carries);
            assert!(tried.len() < 40, "{tried:?}");
        }
        (search.found(), tried)
    }

    #[test]
    fn a_server_that_carries_730_is_found_within_5_percent_in_ten_tries() {
        let (found, tried) = find(50, 10_000, 730);
        let found = found.unwrap();
        assert!((695..=730).contains(&found), "{found}");
        assert!(tried.len() <= 10, "{tried:?}");
    }

    #[test]
    fn a_search_ends_at_its_ends_and_below_its_begin() {
        assert_eq!(find(50, 400, 100_000), (Some(400), vec![50, 100, 200, 400]));
        assert_eq!(find(50, 400, 0).0, None);
        let (found, _) = find(64, 400, 10);
        assert_eq!(found, Some(10));
        assert_eq!(find(1, 1, 1), (Some(1), vec![1]));
        assert_eq!(find(1, 1, 0), (None, vec![1]));
    }

    #[test]
    fn each_limit_that_is_broken_is_named_and_a_silent_server_is_no_good_one() {
        let limits =
            Limits { failed_pct: 1.0, lost_pct: 0.5, setup_p99_ms: Some(100.0), round_trip_p99_ms: Some(20.0) };
        let times = |p99| Quantiles { n: 1, p99, ..Quantiles::default() };
        let mut report = Report {
            calls: Some(Calls { started: 100, answered: 99, failed: 1, setup_ms: times(100.0), ..Calls::default() }),
            media: Media { received: 995, lost: 5, round_trip_ms: times(20.0), ..Media::default() },
            ..Report::default()
        };
        assert_eq!(limits.broken(&report), Vec::<String>::new());
        report.media.lost = 50;
        report.media.round_trip_ms = times(21.0);
        report.calls = Some(Calls { started: 100, gave_up: 100, setup_ms: times(101.0), ..Calls::default() });
        assert_eq!(limits.broken(&report).len(), 5, "{:?}", limits.broken(&report));
    }
}
