//! How memory, threads and open files of a process go over time: a line through what was seen.

use offhook_loadgen::{Second, process};
use serde::Serialize;

/// A process at one instant.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Seconds from the begin of the run.
    pub at_s: f64,
    /// Resident memory in MiB.
    pub mib: f64,
    /// Threads.
    pub threads: f64,
    /// Open files, sockets among them.
    pub files: f64,
    /// Its CPU in this second, in percent of a core.
    pub cpu_pct: f64,
    /// Calls that were up.
    pub calls: f64,
    /// The round trip that 99 % of this second's packets did not exceed, in milliseconds.
    pub round_trip_p99_ms: f64,
}

impl Sample {
    /// What a second of a run and the system tell of the process.
    pub fn of(second: &Second, pid: Option<u32>) -> Self {
        let usage = pid.and_then(process::usage).unwrap_or_default();
        Self {
            at_s: second.at_s,
            mib: second.server_mib,
            threads: usage.threads as f64,
            files: pid.map_or(0, super::open_files) as f64,
            cpu_pct: second.server_cpu_pct,
            calls: second.active as f64,
            round_trip_p99_ms: second.round_trip_p99_ms,
        }
    }
}

/// All that was seen, in order.
#[derive(Debug, Default)]
pub struct Trend(Vec<Sample>);

/// A figure over a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Course {
    /// Its mean in the first third, in which a process takes what it keeps.
    pub first_third: f64,
    /// In the second.
    pub second_third: f64,
    /// In the last.
    pub last_third: f64,
    /// At most.
    pub most: f64,
    /// How much it grows in an hour, as the line goes that is closest to what was seen in the last two thirds.
    pub per_hour: f64,
}

impl Course {
    /// The growth in an hour, in percent of what it was in the second third.
    pub fn growth_pct_per_hour(&self) -> f64 {
        if self.second_third > 0.0 { 100.0 * self.per_hour / self.second_third } else { 0.0 }
    }
}

impl Trend {
    /// One more.
    pub fn note(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The course of one of its figures. Only seconds in which calls come count: at its end a run gets quiet.
    pub fn course(&self, until_s: f64, figure: impl Fn(&Sample) -> f64) -> Course {
        let points: Vec<(f64, f64)> =
            self.0.iter().filter(|sample| sample.at_s <= until_s).map(|sample| (sample.at_s, figure(sample))).collect();
        let third = points.len() / 3;
        let mean = |points: &[(f64, f64)]| points.iter().map(|(_, y)| y).sum::<f64>() / points.len().max(1) as f64;
        Course {
            first_third: mean(&points[..third]),
            second_third: mean(&points[third..2 * third]),
            last_third: mean(&points[2 * third..]),
            most: points.iter().map(|(_, y)| *y).fold(0.0, f64::max),
            per_hour: slope(&points[third..]) * 3_600.0,
        }
    }
}

/// The slope of the line of least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len().max(1) as f64;
    let (mean_x, mean_y) =
        (points.iter().map(|(x, _)| x).sum::<f64>() / n, points.iter().map(|(_, y)| y).sum::<f64>() / n);
    let over: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let under: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if under > 0.0 { over / under } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(mib: impl Fn(f64) -> f64) -> Trend {
        let mut trend = Trend::default();
        for at in 1..=600 {
            trend.note(Sample { at_s: f64::from(at), mib: mib(f64::from(at)), ..Sample::default() });
        }
        trend
    }

    #[test]
    fn memory_that_is_taken_in_the_first_minutes_is_no_growth_and_one_mib_a_minute_is_60_an_hour() {
        let warms_up = trend(|at| 100.0_f64.min(40.0 + at)).course(600.0, |sample| sample.mib);
        assert!(warms_up.per_hour.abs() < 1e-9 && (warms_up.last_third - 100.0).abs() < 1e-9, "{warms_up:?}");
        let leaks = trend(|at| 100.0 + at / 60.0).course(600.0, |sample| sample.mib);
        assert!((leaks.per_hour - 60.0).abs() < 1e-6 && (leaks.most - 110.0).abs() < 1e-9, "{leaks:?}");
        assert!((leaks.growth_pct_per_hour() - 57.1).abs() < 0.3, "{leaks:?}");
        assert!(leaks.first_third < leaks.second_third && leaks.second_third < leaks.last_third);
    }

    #[test]
    fn what_comes_after_the_last_call_has_no_part_in_it() {
        let quiet = trend(|at| if at > 300.0 { 0.0 } else { 50.0 });
        let course = quiet.course(300.0, |sample| sample.mib);
        assert!(course.per_hour.abs() < 1e-9 && (course.last_third - 50.0).abs() < 1e-9, "{course:?}");
        assert_eq!(Trend::default().course(1.0, |sample| sample.mib), Course::default());
        assert_eq!(quiet.len(), 600);
    }
}
