//! What a run of registrations came to: one shape for tables and JSON.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::report::{CALLS_LATE_MS_MAX, MACHINE_IDLE_MIN};
use crate::statistics::Quantiles;

/// Width of the longest bar of a histogram in characters.
const BAR: u64 = 40;

/// What a run of registrations came to. Times are in milliseconds, and counted from the instant at which a REGISTER was due.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RegisterReport {
    /// Whether the generator kept its own time, so that the figures are those of the server.
    pub counts: bool,
    /// Why it does not count.
    pub why_not: Vec<String>,
    /// What else to know when reading the figures.
    pub remarks: Vec<String>,
    /// From when the first REGISTER was due to when the last one was, in seconds.
    pub lasted_s: f64,
    /// Accounts.
    pub accounts: u32,
    /// REGISTERs that came due.
    pub due: u64,
    /// Of these: left out, because the account's one before was still unanswered.
    pub still_out: u64,
    /// Accounts that were registered for the first time.
    pub registered: u64,
    /// Registrations that were refreshed.
    pub refreshed: u64,
    /// Refreshed without a turn, because the server granted so short a time.
    pub ran_out: u64,
    /// Registrations that were ended.
    pub left: u64,
    /// REGISTERs that failed.
    pub failed: u64,
    /// Why.
    pub failed_by_cause: BTreeMap<String, u64>,
    /// Most accounts at once whose REGISTER was under way.
    pub most_out: u64,
    /// Registrations and refreshes that were answered in a second.
    pub per_s: f64,
    /// Requests sent, those after a challenge and those sent again included.
    pub requests: u64,
    /// Until the 200 of a first registration, the challenge in between.
    pub register_ms: Quantiles,
    /// Until the 200 of a refresh.
    pub refresh_ms: Quantiles,
    /// Until the 200 of an end.
    pub leave_ms: Quantiles,
    /// Of registrations and refreshes: how many took no longer than so many milliseconds, and longer than the ones before.
    pub histogram: Vec<(f64, u64)>,
    /// How late REGISTERs were begun.
    pub late_ms: Quantiles,
    /// CPU of the generator, in percent of a core.
    pub generator_cpu_pct: f64,
    /// Datagrams that the kernel dropped before we took them.
    pub dropped: u64,
    /// The server under test, where its process was named.
    pub server: Option<RegisterServer>,
    /// Share of the machine that was idle, in percent.
    pub machine_idle_pct: f64,
    /// Second by second.
    pub seconds: Vec<RegisterSecond>,
}

/// The server under test.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct RegisterServer {
    /// Its process.
    pub pid: u32,
    /// CPU of a core while idle, in percent.
    pub idle_cpu_pct: f64,
    /// CPU of a core while REGISTERs came, in percent.
    pub cpu_pct: f64,
    /// CPU milliseconds of a registration or refresh that was answered, idle time taken off.
    pub cpu_ms_per_registration: Option<f64>,
    /// Resident memory at the begin, in MiB.
    pub resident_begin_mib: f64,
    /// At most.
    pub resident_most_mib: f64,
    /// What a registered account adds to it, in KiB.
    pub resident_kib_per_account: Option<f64>,
}

/// One second of a run.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct RegisterSecond {
    /// Since the begin.
    pub at_s: f64,
    /// Accounts registered.
    pub now_in: u64,
    /// Accounts whose REGISTER is under way.
    pub now_out: u64,
    /// Registrations and refreshes so far.
    pub done: u64,
    /// Failed so far.
    pub failed: u64,
    /// The time that 99 % of all so far did not exceed.
    pub p99_ms: f64,
    /// CPU of the server, in percent of a core.
    pub server_cpu_pct: f64,
    /// Its memory.
    pub server_mib: f64,
    /// CPU of the generator.
    pub generator_cpu_pct: f64,
}

impl RegisterSecond {
    /// One line for a terminal or a log.
    pub fn line(&self) -> String {
        let mut line = format!(
            "{:7.1} s  {:>6} registered, {} under way  {} answered, {} failed, p99 {:.1} ms",
            self.at_s, self.now_in, self.now_out, self.done, self.failed, self.p99_ms
        );
        if self.server_mib > 0.0 {
            // Writing to a String cannot fail.
            let _ = write!(line, "  server {:.0} % {:.0} MiB", self.server_cpu_pct, self.server_mib);
        }
        let _ = write!(line, "  own {:.0} %", self.generator_cpu_pct);
        line
    }
}

impl RegisterReport {
    /// Judges whether the generator kept its time, and notes what else a reader should know.
    pub fn judge(&mut self) {
        if self.late_ms.p99 > CALLS_LATE_MS_MAX {
            self.why_not.push(format!(
                "the generator was late: 1 % of its REGISTERs began {:.1} ms or more after they were due (limit {CALLS_LATE_MS_MAX} ms); give it a core of its own, or a lower rate",
                self.late_ms.p99
            ));
        }
        if self.dropped > 0 {
            self.why_not.push(format!("the kernel dropped {} datagrams before the generator took them", self.dropped));
        }
        if self.still_out > 0 {
            self.remarks.push(format!(
                "{} REGISTERs were not sent, because the account's one before was still unanswered: use more accounts, or a lower rate",
                self.still_out
            ));
        }
        if self.machine_idle_pct < MACHINE_IDLE_MIN {
            self.remarks.push(format!(
                "only {:.0} % of the machine was idle: delays and rates are those of a contended machine",
                self.machine_idle_pct
            ));
        }
        self.counts = self.why_not.is_empty();
    }

    /// Share of what was due that failed or was left out, in percent.
    pub fn failed_pct(&self) -> f64 {
        100.0 * (self.failed + self.still_out) as f64 / self.due.max(1) as f64
    }

    /// The table at the end of a run.
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            out,
            "accounts {} of {} registered, {} refreshes, {} ended; {} failed ({:.2} %), {:.1}/s answered, {} under way at most, {} requests",
            self.registered,
            self.accounts,
            self.refreshed + self.ran_out,
            self.left,
            self.failed,
            self.failed_pct(),
            self.per_s,
            self.most_out,
            self.requests,
        );
        for (cause, count) in &self.failed_by_cause {
            let _ = writeln!(out, "         {count:>6} x {cause}");
        }
        let _ = writeln!(
            out,
            "{:<34} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "ms", "n", "p50", "p90", "p99", "p99.9", "most"
        );
        let rows = [
            ("register: due to 200", &self.register_ms),
            ("refresh: due to 200", &self.refresh_ms),
            ("end: due to 200", &self.leave_ms),
            ("generator: late", &self.late_ms),
        ];
        for (name, times) in rows.iter().filter(|(_, times)| times.n > 0) {
            let _ = writeln!(
                out,
                "{name:<34} {:>8} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
                times.n, times.p50, times.p90, times.p99, times.p999, times.max
            );
        }
        let most = self.histogram.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
        for (upto, count) in &self.histogram {
            let bar = "#".repeat((count * BAR).div_ceil(most) as usize);
            let _ = writeln!(out, "  up to {upto:>8} ms {count:>8} {bar}");
        }
        if let Some(server) = &self.server {
            let each = server.cpu_ms_per_registration.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.3}"));
            let memory = server.resident_kib_per_account.map_or_else(|| "-".to_owned(), |kib| format!("{kib:.1}"));
            let _ = writeln!(
                out,
                "server   {:.1} % of a core (idle {:.1} %): {each} CPU-ms a registration; {:.0} to {:.0} MiB, {memory} KiB an account",
                server.cpu_pct, server.idle_cpu_pct, server.resident_begin_mib, server.resident_most_mib
            );
        }
        let _ = writeln!(
            out,
            "machine  {:.0} % idle; the generator took {:.1} % of a core",
            self.machine_idle_pct, self.generator_cpu_pct
        );
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
    fn a_run_that_began_its_registers_late_or_lost_answers_of_the_server_does_not_count() {
        let judged = |change: fn(&mut RegisterReport)| {
            let mut report = RegisterReport { machine_idle_pct: 90.0, ..RegisterReport::default() };
            change(&mut report);
            report.judge();
            (report.counts, report.why_not.len(), report.remarks.len())
        };
        assert_eq!(judged(|_| {}), (true, 0, 0));
        assert_eq!(judged(|report| report.late_ms.p99 = 10.1), (false, 1, 0));
        assert_eq!(judged(|report| report.dropped = 1), (false, 1, 0));
        assert_eq!(judged(|report| report.still_out = 1), (true, 0, 1));
        assert_eq!(judged(|report| report.machine_idle_pct = 19.0), (true, 0, 1));
    }

    #[test]
    fn a_table_has_a_bar_for_each_bucket_and_names_each_cause() {
        let report = RegisterReport {
            due: 100,
            failed: 2,
            failed_by_cause: BTreeMap::from([("403 Forbidden".to_owned(), 2)]),
            histogram: vec![(1.0, 80), (2.0, 1)],
            ..RegisterReport::default()
        };
        let table = report.table();
        assert!(table.contains(&format!("{} {}\n", 80, "#".repeat(40))) && table.contains("1 #\n"), "{table}");
        assert!(table.contains("2 x 403 Forbidden") && table.contains("2.00 %"), "{table}");
    }
}
