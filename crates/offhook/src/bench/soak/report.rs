//! What a soak came to: one shape for tables and JSON.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use offhook_loadgen::Report;
use offhook_loadgen::statistics::Quantiles;
use serde::Serialize;

use super::trend::{Course, Trend};
use crate::bench::chaos::account::Account;

/// Fewer looks than this, one a second, are too few to judge growth by: what an exchange has taken by then still follows its calls.
const LOOKS_MIN: usize = 300;

/// What a soak came to. Times are in milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SoakReport {
    /// Whether the generator kept its own time.
    pub counts: bool,
    /// Why not.
    pub why_not: Vec<String>,
    /// What else to know when reading the figures.
    pub remarks: Vec<String>,
    /// Calls at once that went well, where that was looked for.
    pub capacity: Option<u64>,
    /// Calls at once that were wanted, on the mean.
    pub calls_wanted: u32,
    /// How long calls were begun, in seconds.
    pub lasted_s: f64,
    /// Calls begun.
    pub started: u64,
    /// Answered.
    pub answered: u64,
    /// By an agent.
    pub reached_agent: u64,
    /// Ended as was planned.
    pub completed: u64,
    /// Failed or given up.
    pub failed: u64,
    /// Why.
    pub failed_by_cause: BTreeMap<String, u64>,
    /// Most calls that were up at once.
    pub most_at_once: u64,
    /// Calls not made, because more than there is room for were up.
    pub over_limit: u64,
    /// Packets lost, and callers who heard nothing of their own.
    pub packets_lost: u64,
    /// As `packets_lost`.
    pub unheard: u64,
    /// From when a call was due to its answer.
    pub setup_ms: Quantiles,
    /// Of speech, there and back.
    pub round_trip_ms: Quantiles,
    /// Calls that the exchange ended itself after waiting for them.
    pub left_over: u64,
    /// Resident memory of the exchange, MiB.
    pub memory_mib: Course,
    /// What of it grows with each call that ends, in KiB, as the line goes.
    pub memory_kib_per_call: f64,
    /// Its threads.
    pub threads: Course,
    /// Its open files.
    pub files: Course,
    /// Its CPU, in percent of a core.
    pub cpu_pct: Course,
    /// Calls up.
    pub calls_up: Course,
    /// The round trip of 99 % of each second's packets.
    pub round_trip_p99_ms: Course,
    /// CPU seconds of a minute of a recorded call.
    pub cpu_s_per_call_minute: Option<f64>,
    /// Looks at the process.
    pub looks: usize,
    /// CPU of the generator, in percent of a core, and how much of the machine was idle.
    pub generator_cpu_pct: f64,
    /// As `generator_cpu_pct`.
    pub machine_idle_pct: f64,
    /// Every call against its record and its recording.
    pub account: Account,
}

impl SoakReport {
    /// Puts together what callers, process and exchange tell.
    pub fn new(
        capacity: Option<u64>,
        calls_wanted: u32,
        report: &Report,
        trend: &Trend,
        account: Account,
        left_over: u64,
    ) -> Self {
        let calls = report.calls.clone().unwrap_or_default();
        // From the begin of the calls to the last one that was begun.
        let until_s = if calls.per_s > 0.0 { calls.started as f64 / calls.per_s } else { report.lasted_s };
        let course = |figure: fn(&super::trend::Sample) -> f64| trend.course(until_s, figure);
        let memory_mib = course(|sample| sample.mib);
        Self {
            counts: report.counts,
            why_not: report.why_not.clone(),
            remarks: report.remarks.clone(),
            capacity,
            calls_wanted,
            lasted_s: until_s,
            started: calls.started,
            answered: calls.answered,
            reached_agent: calls.reached_agent,
            completed: calls.completed,
            failed: calls.failed + calls.gave_up,
            failed_by_cause: calls.failed_by_cause,
            most_at_once: calls.most_at_once,
            over_limit: calls.over_limit,
            packets_lost: report.media.lost.max(report.media.echoes_lost),
            unheard: report.media.flows_without_echo,
            setup_ms: calls.setup_ms,
            round_trip_ms: report.media.round_trip_ms,
            left_over,
            memory_kib_per_call: memory_mib.per_hour * 1_024.0 / (calls.per_s * 3_600.0).max(1e-9),
            memory_mib,
            threads: course(|sample| sample.threads),
            files: course(|sample| sample.files),
            cpu_pct: course(|sample| sample.cpu_pct),
            calls_up: course(|sample| sample.calls),
            round_trip_p99_ms: course(|sample| sample.round_trip_p99_ms),
            cpu_s_per_call_minute: report.server.as_ref().and_then(|server| server.cpu_s_per_call_minute),
            looks: trend.len(),
            generator_cpu_pct: report.generator.cpu_pct,
            machine_idle_pct: report.machine_idle_pct,
            account,
        }
    }

    /// What did not hold, each in words.
    pub fn broken(&self, growth_max_pct: f64) -> Vec<String> {
        let mut broken = Vec::new();
        let account = &self.account;
        if self.started == 0 {
            broken.push("no call was begun".to_owned());
        }
        if self.failed > 0 {
            broken.push(format!("{} calls failed", self.failed));
        }
        if !account.holds() {
            broken.push("not every call, visit and recording is accounted for".to_owned());
        }
        if account.records != self.started {
            broken.push(format!("{} calls were begun, and there are {} records", self.started, account.records));
        }
        if account.recordings.count != self.answered {
            broken.push(format!(
                "{} calls were answered, and there are {} recordings",
                self.answered, account.recordings.count
            ));
        }
        if self.left_over > 0 {
            broken.push(format!("{} calls were up after their callers had gone", self.left_over));
        }
        let growth = self.memory_mib.growth_pct_per_hour();
        if self.looks >= LOOKS_MIN && growth > growth_max_pct {
            broken.push(format!("memory grows by {growth:.1} % an hour, and the limit is {growth_max_pct} %"));
        }
        broken
    }

    /// The table at the end of a soak.
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail, here and below.
        if let Some(capacity) = self.capacity {
            let _ = writeln!(out, "capacity {capacity} calls at once");
        }
        let _ = writeln!(
            out,
            "calls    {} begun in {:.0} s ({} wanted at once, {} at most), {} answered, {} by an agent, {} ended as planned, {} failed",
            self.started,
            self.lasted_s,
            self.calls_wanted,
            self.most_at_once,
            self.answered,
            self.reached_agent,
            self.completed,
            self.failed
        );
        for (cause, count) in &self.failed_by_cause {
            let _ = writeln!(out, "         {count:>6} x {cause}");
        }
        let account = &self.account;
        let gaps: Vec<String> = account.recordings.gaps_s.iter().map(|(why, s)| format!("{why} {s:.1} s")).collect();
        let _ = writeln!(
            out,
            "account  {} records, {} recordings ({:.1} of {:.1} s, gaps: {}), {} faults, {} unaccounted",
            account.records,
            account.recordings.count,
            account.recordings.seconds_covered,
            account.recordings.seconds_expected,
            if gaps.is_empty() { "none".to_owned() } else { gaps.join(", ") },
            account.recordings.faults.len(),
            account.unaccounted_count
        );
        let _ = writeln!(
            out,
            "speech   {} packets lost, {} callers heard nothing; round trip p50 {:.2}, p99 {:.2}, p99.9 {:.2} ms; setup p50 {:.1}, p99 {:.1} ms",
            self.packets_lost,
            self.unheard,
            self.round_trip_ms.p50,
            self.round_trip_ms.p99,
            self.round_trip_ms.p999,
            self.setup_ms.p50,
            self.setup_ms.p99
        );
        let _ = writeln!(
            out,
            "{:<34} {:>10} {:>10} {:>10} {:>10} {:>12}",
            "third of the run", "first", "second", "last", "most", "an hour"
        );
        let rows = [
            ("memory, MiB", &self.memory_mib),
            ("threads", &self.threads),
            ("open files", &self.files),
            ("CPU, % of a core", &self.cpu_pct),
            ("calls up", &self.calls_up),
            ("round trip p99 of a second, ms", &self.round_trip_p99_ms),
        ];
        for (name, course) in rows {
            let _ = writeln!(
                out,
                "{name:<34} {:>10.1} {:>10.1} {:>10.1} {:>10.1} {:>+12.1}",
                course.first_third, course.second_third, course.last_third, course.most, course.per_hour
            );
        }
        if self.looks < LOOKS_MIN {
            let _ = writeln!(out, "note: less than {LOOKS_MIN} s are too short to judge whether memory grows");
        }
        let cpu = self.cpu_s_per_call_minute.map_or_else(|| "-".to_owned(), |s| format!("{s:.4}"));
        let _ = writeln!(
            out,
            "memory   {:+.1} % an hour, {:+.2} KiB a call that ends; {cpu} CPU-s a call-minute",
            self.memory_mib.growth_pct_per_hour(),
            self.memory_kib_per_call
        );
        let _ = writeln!(
            out,
            "machine  {:.0} % idle; the generator took {:.1} % of a core",
            self.machine_idle_pct, self.generator_cpu_pct
        );
        for what in account.unaccounted.iter().chain(&account.recordings.faults) {
            let _ = writeln!(out, "MISSING  {what}");
        }
        for remark in &self.remarks {
            let _ = writeln!(out, "note: {remark}");
        }
        for why in &self.why_not {
            let _ = writeln!(out, "THIS RUN DOES NOT COUNT: {why}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_failed_a_record_that_is_missing_and_memory_that_grows_are_each_told() {
        let mut good = SoakReport { started: 100, answered: 100, looks: 600, ..SoakReport::default() };
        good.account.records = 100;
        good.account.recordings.count = 100;
        good.memory_mib = Course { second_third: 100.0, per_hour: 5.0, ..Course::default() };
        assert_eq!(good.broken(10.0), Vec::<String>::new());
        assert_eq!(good.broken(4.0).len(), 1);
        let mut bad = good.clone();
        (bad.failed, bad.left_over) = (1, 1);
        bad.account.records = 99;
        bad.account.recordings.count = 98;
        bad.account.unaccounted_count = 1;
        assert_eq!(bad.broken(10.0).len(), 5, "{:?}", bad.broken(10.0));
        let none = SoakReport::default();
        assert_eq!(none.broken(10.0), ["no call was begun"]);
    }
}
