//! What a run came to: one shape for tables, JSON and plots.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::driver::Outcome;
use crate::sample::Sample;
use crate::statistics::Quantiles;

/// A packet or a call may begin so late, in milliseconds, for 99 of 100: more, and the run does not count.
pub const PACKETS_LATE_MS_MAX: f64 = 5.0;
/// As [`PACKETS_LATE_MS_MAX`], of calls.
pub const CALLS_LATE_MS_MAX: f64 = 10.0;
/// Less of the machine idle than this, in percent, and delays are those of a machine that is contended.
pub const MACHINE_IDLE_MIN: f64 = 20.0;

/// What a run came to. Times are in milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Whether the generator kept its own time, so that the figures are those of the server.
    pub counts: bool,
    /// Why it does not count.
    pub why_not: Vec<String>,
    /// What else to know when reading the figures.
    pub remarks: Vec<String>,
    /// Length of the run from the first call that was due, in seconds.
    pub lasted_s: f64,
    /// The callers' calls.
    pub calls: Option<Calls>,
    /// The agents.
    pub agents: Option<AgentsReport>,
    /// Speech.
    pub media: Media,
    /// The generator itself.
    pub generator: Generator,
    /// The server under test, where its process was named.
    pub server: Option<ServerReport>,
    /// Share of the machine that was idle, in percent.
    pub machine_idle_pct: f64,
    /// Second by second.
    pub seconds: Vec<Second>,
    /// What whoever judges speech says of a caller's, where somebody was asked.
    pub speech_quality: Option<f64>,
    /// Of each call that is over, where the load keeps it.
    #[serde(skip)]
    pub outcomes: Vec<Outcome>,
    /// What a sampled caller heard.
    #[serde(skip)]
    pub sample: Option<Sample>,
}

/// The callers' calls. Times are counted from the instant at which a call was due.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Calls {
    /// Calls that came due.
    pub due: u64,
    /// Not made, because as many as were wanted at once were up.
    pub over_limit: u64,
    /// INVITEs sent.
    pub started: u64,
    /// Answered.
    pub answered: u64,
    /// Answered, and ended as was planned.
    pub completed: u64,
    /// Answered by an agent of ours.
    pub reached_agent: u64,
    /// Given up by a caller whose patience was over.
    pub gave_up: u64,
    /// Neither.
    pub failed: u64,
    /// Why.
    pub failed_by_cause: BTreeMap<String, u64>,
    /// Most calls that were up at once.
    pub most_at_once: u64,
    /// Calls begun in a second, over the time in which calls began.
    pub per_s: f64,
    /// Until 200.
    pub setup_ms: Quantiles,
    /// Until 180 or 183.
    pub post_dial_ms: Quantiles,
    /// Until the INVITE was at an agent of ours.
    pub to_agent_ms: Quantiles,
    /// Until an agent of ours answered.
    pub agent_answer_ms: Quantiles,
    /// From the server's description until ICE and DTLS were through, where speech goes as a browser's.
    pub connected_ms: Quantiles,
    /// From the agent's answer until the caller's own speech came back.
    pub first_words_ms: Quantiles,
}

/// The agents.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AgentsReport {
    /// Most that were registered at once.
    pub registered: u64,
    /// From a REGISTER to its 200, the challenge in between.
    pub register_ms: Quantiles,
    /// Registrations that failed, by why.
    pub register_failures: BTreeMap<String, u64>,
    /// Calls that came.
    pub offered: u64,
    /// Calls answered.
    pub answered: u64,
    /// Calls declined as was planned.
    pub declined: u64,
    /// Calls that came to somebody who talked or wrapped up.
    pub while_busy: u64,
    /// Calls that were not answered, by why.
    pub failures: BTreeMap<String, u64>,
}

/// Speech.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Media {
    /// Streams.
    pub flows: u64,
    /// Of these under SRTP.
    pub flows_encrypted: u64,
    /// Packets sent by callers, and by agents who speak.
    pub sent: u64,
    /// Packets received.
    pub received: u64,
    /// Numbers missing in the streams that were received.
    pub lost: u64,
    /// Packets of callers that came back.
    pub echoed: u64,
    /// Of these missing between the first and the last.
    pub echoes_lost: u64,
    /// Callers of whose packets none came back; where nobody echoes, all.
    pub flows_without_echo: u64,
    /// Streams on which nothing came.
    pub flows_unheard: u64,
    /// Gaps of more than 60 ms.
    pub gaps: u64,
    /// Packets of one call that another caller heard.
    pub crosstalk: u64,
    /// Packets under SRTP that the agreed keys do not open.
    pub unproved: u64,
    /// Packets before an answer, after an end, or from an address that no description named.
    pub strays: u64,
    /// From sending a packet to its return.
    pub round_trip_ms: Quantiles,
    /// From an end of ours to the other, each way.
    pub one_way_ms: Quantiles,
    /// Jitter of each stream (RFC 3550).
    pub jitter_ms: Quantiles,
    /// The longest gap of each stream.
    pub longest_gap_ms: Quantiles,
    /// The curve of the round trips' percentiles.
    pub round_trip_curve: Vec<(f64, f64)>,
}

/// The generator itself.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Generator {
    /// CPU of a core, in percent.
    pub cpu_pct: f64,
    /// How late packets left.
    pub packets_late_ms: Quantiles,
    /// How late calls began.
    pub calls_late_ms: Quantiles,
    /// Packets that the kernel dropped before we took them, speech and SIP.
    pub dropped: u64,
    /// Packets that were left out because it stood still.
    pub left_out: u64,
}

/// The server under test.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ServerReport {
    /// Its process.
    pub pid: u32,
    /// CPU of a core while idle, in percent.
    pub idle_cpu_pct: f64,
    /// CPU of a core in the window, in percent.
    pub cpu_pct: f64,
    /// Length of the window: all calls up where they stay, the whole run otherwise.
    pub window_s: f64,
    /// CPU seconds of a minute of a call, idle time taken off.
    pub cpu_s_per_call_minute: Option<f64>,
    /// CPU milliseconds of a call over the whole run, idle time taken off.
    pub cpu_ms_per_call: Option<f64>,
    /// Resident memory at the begin, in MiB.
    pub resident_begin_mib: f64,
    /// At most.
    pub resident_most_mib: f64,
    /// What a call that is up adds to it, in KiB.
    pub resident_kib_per_call: Option<f64>,
    /// Threads at most.
    pub threads: u64,
}

/// One second of a run.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Second {
    /// Since the begin.
    pub at_s: f64,
    /// Calls that are up.
    pub active: u64,
    /// Of these answered.
    pub talking: u64,
    /// Calls begun so far.
    pub started: u64,
    /// Answered so far.
    pub answered: u64,
    /// Failed so far, those given up included.
    pub failed: u64,
    /// Agents registered.
    pub registered: u64,
    /// Packets received in this second.
    pub received: u64,
    /// Packets lost so far, of streams that are over.
    pub lost: u64,
    /// The round trip that 99 % of this second's packets did not exceed.
    pub round_trip_p99_ms: f64,
    /// The setup that 99 % of all calls so far did not exceed.
    pub setup_p99_ms: f64,
    /// CPU of the server, in percent of a core.
    pub server_cpu_pct: f64,
    /// Its memory.
    pub server_mib: f64,
    /// CPU of the generator.
    pub generator_cpu_pct: f64,
}

impl Second {
    /// One line for a terminal or a log.
    pub fn line(&self) -> String {
        let mut line = format!(
            "{:7.1} s  {:>5} up ({} talk)  {} begun, {} answered, {} failed",
            self.at_s, self.active, self.talking, self.started, self.answered, self.failed
        );
        // Writing to a String cannot fail.
        if self.registered > 0 {
            let _ = write!(line, "  {} registered", self.registered);
        }
        let _ = write!(line, "  {} packets/s", self.received);
        if self.round_trip_p99_ms > 0.0 {
            let _ = write!(line, ", round trip p99 {:.2} ms", self.round_trip_p99_ms);
        }
        if self.server_mib > 0.0 {
            let _ = write!(line, "  server {:.0} % {:.0} MiB", self.server_cpu_pct, self.server_mib);
        }
        let _ = write!(line, "  own {:.0} %", self.generator_cpu_pct);
        line
    }
}

impl Report {
    /// Judges whether the generator kept its time, and notes what else a reader should know.
    pub fn judge(&mut self) {
        let late = self.generator.packets_late_ms.p99;
        if late > PACKETS_LATE_MS_MAX {
            self.why_not.push(format!(
                "the generator was late: 1 % of its packets left {late:.1} ms or more after their time (limit {PACKETS_LATE_MS_MAX} ms); give it a core of its own, or fewer calls"
            ));
        }
        let late = self.generator.calls_late_ms.p99;
        if late > CALLS_LATE_MS_MAX {
            self.why_not.push(format!(
                "the generator was late: 1 % of its calls began {late:.1} ms or more after they were due (limit {CALLS_LATE_MS_MAX} ms); give it a core of its own, or a lower rate"
            ));
        }
        if self.generator.left_out > 0 {
            self.why_not.push(format!("the generator stood still and left out {} packets", self.generator.left_out));
        }
        if self.generator.dropped > 0 {
            self.why_not.push(format!(
                "the kernel dropped {} packets before the generator took them: they are not the server's loss; raise the receive buffers (sysctl -w net.core.rmem_max={})",
                self.generator.dropped,
                crate::speakers::BUFFER_BYTES
            ));
        }
        if self.machine_idle_pct < MACHINE_IDLE_MIN {
            self.remarks.push(format!(
                "only {:.0} % of the machine was idle: delays and rates are those of a contended machine",
                self.machine_idle_pct
            ));
        }
        if let Some(server) = self.server.as_ref().filter(|server| server.idle_cpu_pct > 2.0) {
            self.remarks.push(format!(
                "the server spends {:.1} % of a core while idle, which is taken off and flatters it",
                server.idle_cpu_pct
            ));
        }
        if let Some(calls) = self.calls.as_ref().filter(|calls| calls.over_limit > 0) {
            self.remarks.push(format!(
                "{} calls were not made, because as many as --concurrent were up: raise it, or shorten --hold",
                calls.over_limit
            ));
        }
        self.counts = self.why_not.is_empty();
    }

    /// Share of packets that were lost, by the streams' numbers and by marks, in percent.
    pub fn lost_pct(&self) -> f64 {
        let lost = self.media.lost.max(self.media.echoes_lost) as f64;
        100.0 * lost / (self.media.received as f64 + lost).max(1.0)
    }

    /// Share of the calls begun that failed, in percent; those given up count.
    pub fn failed_pct(&self) -> f64 {
        self.calls
            .as_ref()
            .map_or(0.0, |calls| 100.0 * (calls.failed + calls.gave_up) as f64 / (calls.started.max(1)) as f64)
    }

    /// The table at the end of a run.
    pub fn table(&self) -> String {
        let mut out = String::new();
        self.table_of_calls(&mut out);
        self.table_of_times(&mut out);
        self.table_of_machines(&mut out);
        for remark in &self.remarks {
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(out, "note: {remark}");
        }
        for why in &self.why_not {
            let _ = writeln!(out, "THIS RUN DOES NOT COUNT: {why}");
        }
        out
    }

    fn table_of_calls(&self, out: &mut String) {
        if let Some(calls) = &self.calls {
            let _ = writeln!(
                out,
                "calls    {} begun ({:.1}/s, {} at once at most), {} answered, {} ended as planned, {} given up, {} failed ({:.2} %)",
                calls.started,
                calls.per_s,
                calls.most_at_once,
                calls.answered,
                calls.completed,
                calls.gave_up,
                calls.failed,
                self.failed_pct(),
            );
            for (cause, count) in &calls.failed_by_cause {
                let _ = writeln!(out, "         {count:>6} x {cause}");
            }
        }
        if let Some(agents) = &self.agents {
            let _ = writeln!(
                out,
                "agents   {} registered, {} calls came: {} answered, {} declined, {} while busy",
                agents.registered, agents.offered, agents.answered, agents.declined, agents.while_busy
            );
            for (cause, count) in agents.failures.iter().chain(&agents.register_failures) {
                let _ = writeln!(out, "         {count:>6} x {cause}");
            }
        }
        let media = &self.media;
        let _ = writeln!(
            out,
            "speech   {} streams, {} packets sent, {} received, {} lost ({:.3} %), {} came back ({} missing), {} gaps over 60 ms",
            media.flows,
            media.sent,
            media.received,
            media.lost,
            self.lost_pct(),
            media.echoed,
            media.echoes_lost,
            media.gaps
        );
        if let Some(quality) = self.speech_quality {
            let _ = writeln!(out, "         judged by what one caller heard: {quality:.2}");
        }
        if media.flows_encrypted > 0 {
            let _ = writeln!(
                out,
                "         {} streams under SRTP, {} packets that its keys did not open",
                media.flows_encrypted, media.unproved
            );
        }
        if media.crosstalk > 0 {
            let _ = writeln!(out, "         {} packets of one call were heard in another", media.crosstalk);
        }
        if media.echoed > 0 && media.flows_without_echo > 0 {
            let _ = writeln!(out, "         {} callers heard nothing of their own", media.flows_without_echo);
        }
    }

    fn table_of_times(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "{:<34} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "ms", "n", "p50", "p90", "p99", "p99.9", "most"
        );
        let mut row = |name: &str, times: &Quantiles| {
            if times.n > 0 {
                let _ = writeln!(
                    out,
                    "{name:<34} {:>8} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
                    times.n, times.p50, times.p90, times.p99, times.p999, times.max
                );
            }
        };
        if let Some(calls) = &self.calls {
            row("setup: due to 200", &calls.setup_ms);
            row("post-dial: due to 180 or 183", &calls.post_dial_ms);
            row("due to the agent's INVITE", &calls.to_agent_ms);
            row("due to the agent's answer", &calls.agent_answer_ms);
            row("answer to ICE and DTLS through", &calls.connected_ms);
            row("agent's answer to own speech back", &calls.first_words_ms);
        }
        if let Some(agents) = &self.agents {
            row("register, with its challenge", &agents.register_ms);
        }
        row("speech there and back", &self.media.round_trip_ms);
        row("speech one way", &self.media.one_way_ms);
        row("jitter of a stream", &self.media.jitter_ms);
        row("longest gap of a stream", &self.media.longest_gap_ms);
        row("generator: packets late", &self.generator.packets_late_ms);
        row("generator: calls late", &self.generator.calls_late_ms);
    }

    fn table_of_machines(&self, out: &mut String) {
        if let Some(server) = &self.server {
            let each = server.cpu_s_per_call_minute.map_or_else(|| "-".to_owned(), |s| format!("{s:.4}"));
            let call = server.cpu_ms_per_call.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}"));
            let memory = server.resident_kib_per_call.map_or_else(|| "-".to_owned(), |kib| format!("{kib:.0}"));
            let _ = writeln!(
                out,
                "server   {:.1} % of a core over {:.1} s (idle {:.1} %): {each} CPU-s a call-minute, {call} CPU-ms a call; {:.0} to {:.0} MiB, {memory} KiB a call, {} threads",
                server.cpu_pct,
                server.window_s,
                server.idle_cpu_pct,
                server.resident_begin_mib,
                server.resident_most_mib,
                server.threads
            );
        }
        let _ = writeln!(
            out,
            "machine  {:.0} % idle; the generator took {:.1} % of a core",
            self.machine_idle_pct, self.generator.cpu_pct
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_whose_generator_was_5_ms_late_or_dropped_packets_does_not_count() {
        let good = Report { machine_idle_pct: 90.0, ..Report::default() };
        let judged = |change: fn(&mut Report)| {
            let mut report = good.clone();
            change(&mut report);
            report.judge();
            (report.counts, report.why_not.len(), report.remarks.len())
        };
        assert_eq!(judged(|_| {}), (true, 0, 0));
        assert_eq!(judged(|report| report.generator.packets_late_ms.p99 = 5.1), (false, 1, 0));
        assert_eq!(judged(|report| report.generator.calls_late_ms.p99 = 10.1), (false, 1, 0));
        assert_eq!(judged(|report| report.generator.dropped = 1), (false, 1, 0));
        assert_eq!(judged(|report| report.generator.left_out = 1), (false, 1, 0));
        assert_eq!(judged(|report| report.machine_idle_pct = 19.0), (true, 0, 1));
    }

    #[test]
    fn shares_are_of_what_was_begun_and_sent_and_a_run_of_nothing_has_none() {
        let mut report = Report::default();
        assert!(report.failed_pct() == 0.0 && report.lost_pct() == 0.0);
        report.calls = Some(Calls { started: 200, failed: 3, gave_up: 1, ..Calls::default() });
        report.media = Media { received: 990, lost: 4, echoes_lost: 10, ..Media::default() };
        assert!((report.failed_pct() - 2.0).abs() < 1e-9 && (report.lost_pct() - 1.0).abs() < 1e-9);
        assert!(report.table().contains("2.00 %"));
    }
}
