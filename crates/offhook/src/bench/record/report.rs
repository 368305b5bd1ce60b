//! What a run of the recorder came to: one shape for tables and JSON.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use offhook_loadgen::report::{MACHINE_IDLE_MIN, PACKETS_LATE_MS_MAX};
use offhook_loadgen::statistics::Quantiles;
use offhook_units::Span;
use serde::Serialize;

/// What a run of the recorder came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RecordReport {
    /// Whether packets came at their time, so that the figures are those of the recorder.
    pub counts: bool,
    /// Why it does not count.
    pub why_not: Vec<String>,
    /// What else to know when reading the figures.
    pub remarks: Vec<String>,
    /// Where the recordings lay.
    pub folder: String,
    /// What the packets held.
    pub codec: String,
    /// Whether recordings were sealed.
    pub sealed: bool,
    /// Calls recorded at once.
    pub streams: u32,
    /// How long they talked, in seconds.
    pub lasted_s: f64,
    /// Packets that went into the ring, both sides.
    pub packets: u64,
    /// Packets that found no room there, or whose recording was not open.
    pub dropped: u64,
    /// Bytes written to recordings.
    pub bytes: u64,
    /// The same in a second.
    pub mib_per_s: f64,
    /// Writes that failed.
    pub disk_errors: u64,
    /// Recordings that were closed, hashed and in the manifest.
    pub closed: u64,
    /// Of these with a gap of more than 40 ms, whatever the reason.
    pub with_gaps: u64,
    /// What failed, by why.
    pub failures: BTreeMap<String, u64>,
    /// How much of what had been said was in no file, looked at ten times a second, in milliseconds.
    pub behind_ms: Quantiles,
    /// From the end of all calls to each one's line in the manifest, in milliseconds.
    pub closed_ms: Quantiles,
    /// How long the disk took afterwards to have everything, in seconds.
    pub synced_s: f64,
    /// The recorder's threads.
    pub recorder: Recorder,
    /// How late packets came.
    pub late_ms: Quantiles,
    /// CPU of the bench itself, in percent of a core.
    pub own_cpu_pct: f64,
    /// Share of the machine that was idle, in percent.
    pub machine_idle_pct: f64,
}

/// The recorder's threads.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Recorder {
    /// CPU of a core while calls talked, in percent.
    pub cpu_pct: f64,
    /// CPU seconds of a minute of a recorded call.
    pub cpu_s_per_call_minute: f64,
    /// CPU milliseconds to close a recording: its header, its hash, its line in the manifest.
    pub closing_cpu_ms_per_call: f64,
    /// The longest that draining the ring and writing took at once, in milliseconds.
    pub turn_ms_max: f64,
}

impl RecordReport {
    /// Judges whether packets came at their time, and notes what else a reader should know.
    pub fn judge(&mut self) {
        if self.late_ms.p99 > PACKETS_LATE_MS_MAX {
            self.why_not.push(format!(
                "the bench was late: 1 % of its packets came {:.1} ms or more after their time (limit {PACKETS_LATE_MS_MAX} ms); give it a core of its own, or fewer calls",
                self.late_ms.p99
            ));
        }
        if self.machine_idle_pct < MACHINE_IDLE_MIN {
            self.remarks.push(format!(
                "only {:.0} % of the machine was idle: the recorder's share is that of a contended machine",
                self.machine_idle_pct
            ));
        }
        self.counts = self.why_not.is_empty();
    }

    /// The limits that the run broke, each in words.
    pub fn broken(&self, behind_max: Span) -> Vec<String> {
        let mut broken = Vec::new();
        if self.dropped > 0 {
            broken.push(format!("{} packets were lost on the way to the recorder", self.dropped));
        }
        if self.disk_errors > 0 {
            broken.push(format!("the disk refused {} writes", self.disk_errors));
        }
        if self.closed < u64::from(self.streams) {
            broken.push(format!("{} of {} recordings were closed", self.closed, self.streams));
        }
        if self.with_gaps > 0 {
            broken.push(format!("{} recordings have gaps", self.with_gaps));
        }
        let behind_max = behind_max.as_us() as f64 / 1_000.0;
        if self.behind_ms.p99 > behind_max {
            broken.push(format!("files were {:.0} ms behind, and the limit is {behind_max} ms", self.behind_ms.p99));
        }
        broken
    }

    /// The table at the end of a run.
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            out,
            "recorded {} calls of {}{} for {:.1} s: {} packets, {} lost; {} closed, {} with gaps; {:.1} MiB, {:.2} MiB/s, {} errors of the disk",
            self.streams,
            self.codec,
            if self.sealed { ", sealed," } else { "" },
            self.lasted_s,
            self.packets,
            self.dropped,
            self.closed,
            self.with_gaps,
            self.bytes as f64 / (1 << 20) as f64,
            self.mib_per_s,
            self.disk_errors,
        );
        for (why, count) in &self.failures {
            let _ = writeln!(out, "         {count:>6} x {why}");
        }
        let _ = writeln!(
            out,
            "{:<34} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "ms", "n", "p50", "p90", "p99", "p99.9", "most"
        );
        let rows = [
            ("files behind what was said", &self.behind_ms),
            ("end of call to line in manifest", &self.closed_ms),
            ("bench: packets late", &self.late_ms),
        ];
        for (name, times) in rows {
            let _ = writeln!(
                out,
                "{name:<34} {:>8} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
                times.n, times.p50, times.p90, times.p99, times.p999, times.max
            );
        }
        let recorder = &self.recorder;
        let _ = writeln!(
            out,
            "recorder {:.1} % of a core: {:.5} CPU-s a call-minute, and {:.2} CPU-ms to close a call; longest turn {:.1} ms",
            recorder.cpu_pct, recorder.cpu_s_per_call_minute, recorder.closing_cpu_ms_per_call, recorder.turn_ms_max
        );
        let _ = writeln!(out, "disk     had everything {:.2} s after the last call was closed", self.synced_s);
        let _ = writeln!(
            out,
            "machine  {:.0} % idle; the bench itself took {:.1} % of a core",
            self.machine_idle_pct, self.own_cpu_pct
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
    fn each_thing_lost_is_a_limit_broken_and_half_a_second_behind_is_none() {
        let times = |p99| Quantiles { n: 1, p99, ..Quantiles::default() };
        let good = RecordReport { streams: 10, closed: 10, behind_ms: times(560.0), ..RecordReport::default() };
        assert_eq!(good.broken(Span::from_s(2)), Vec::<String>::new());
        let bad = RecordReport {
            dropped: 1,
            disk_errors: 1,
            closed: 9,
            with_gaps: 1,
            behind_ms: times(2_001.0),
            ..good.clone()
        };
        assert_eq!(bad.broken(Span::from_s(2)).len(), 5, "{:?}", bad.broken(Span::from_s(2)));
        let judged = |change: fn(&mut RecordReport)| {
            let mut report = RecordReport { machine_idle_pct: 90.0, ..RecordReport::default() };
            change(&mut report);
            report.judge();
            (report.counts, report.remarks.len())
        };
        assert_eq!(judged(|_| {}), (true, 0));
        assert_eq!(judged(|report| report.late_ms.p99 = 5.1), (false, 0));
        assert_eq!(judged(|report| report.machine_idle_pct = 10.0), (true, 1));
    }
}
