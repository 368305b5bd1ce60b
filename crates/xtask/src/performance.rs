//! `cargo xtask performance`: what a minute of a queue call costs, beside a bare forwarder that was measured in the same run.
//!
//! Needs the release builds of `offhook` and of the bench `media_floor`; everything is on loopback, with config/loadtest.toml.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;

mod browsers;

use crate::children::{self, Running};
use crate::flame;
use crate::peers::exchange::Exchange;

/// Packets that a call of two legs has the server forward in a minute.
const PACKETS_A_MINUTE: f64 = 6_000.0;
/// Where the table stands.
const QUEUE_CALLS: Place = Place {
    begin: "<!-- queue calls: written by cargo xtask performance -->",
    end: "<!-- end of queue calls -->",
    title: "Queue calls with speech",
};
/// Calls a second while they are set up, and at least.
const CALLS_A_SECOND_MAX: u32 = 40;
const CALLS_A_SECOND_MIN: u32 = 5;
/// What is profiled beside the table, and for how long in seconds.
const PROFILED_CALLS: u16 = 200;
const PROFILED_SECONDS: u64 = 15;
/// What a run may take beside its own length.
const BESIDE: Duration = Duration::from_secs(90);

/// What is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Calls at once.
    #[arg(long, value_delimiter = ',', default_value = "50,100,200,400,800")]
    calls: Vec<u16>,
    /// How long all of them stay up, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Instead: calls at once of which one leg is a browser's, beside as many of telephones, at a media worker by itself. Needs the
    /// release build of the bench `browser_calls`.
    #[arg(long, value_delimiter = ',')]
    browsers: Vec<u16>,
    /// Write the table into docs/PERFORMANCE.md instead of showing it, and where the time goes (`cargo xtask flame`) beside it. For a machine that does nothing else.
    #[arg(long)]
    write: bool,
}

/// One line of the table.
struct Row {
    calls: u16,
    what: &'static str,
    report: Value,
    /// CPU seconds of the bare forwarder for a call-minute.
    floor: f64,
}

/// Measures, and shows or writes the table.
pub fn run(options: &Options) -> Result<bool> {
    children::catch_interrupts()?;
    if !options.browsers.is_empty() {
        return browsers::run(&options.browsers, options.seconds, options.write);
    }
    let (offhook, floor) = (crate::target().join("release/offhook"), crate::target().join("release/media_floor"));
    ensure!(offhook.is_file(), "{} is missing: cargo build --release --package offhook", offhook.display());
    ensure!(
        floor.is_file(),
        "{} is missing: cargo build --release --package offhook-benches --bin media_floor",
        floor.display()
    );
    let folder = crate::target().join("performance");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let mut rows = Vec::new();
    for calls in &options.calls {
        let floor = bare(&floor, &folder, *calls, options.seconds)?;
        for (what, number) in [("relayed", "700"), ("recorded", "701")] {
            let report = measure(&offhook, &folder, number, *calls, options.seconds)?;
            let row = Row { calls: *calls, what, report, floor };
            println!("{}", line(&row));
            rows.push(row);
        }
    }
    let table = table(&rows, options);
    if options.write {
        write(&QUEUE_CALLS, &table)?;
        flame::run(&flame::Options::beside_the_table(PROFILED_CALLS, PROFILED_SECONDS))?;
    } else {
        println!("\n{table}");
    }
    Ok(rows.iter().all(|row| row.report["counts"] == true))
}

/// CPU seconds that a bare forwarder takes for a minute of a call.
fn bare(program: &Path, folder: &Path, calls: u16, seconds: u64) -> Result<f64> {
    let (flows, lasting) = ((calls * 2).to_string(), seconds.to_string());
    let mut command = Command::new(program);
    command.args(["bare", &flows, &lasting]);
    let (mut forwarder, lines) = Running::start_reading("the forwarder", &mut command, &folder.join("bare.json"))?;
    let mut command = Command::new(program);
    command.args(["peers", &flows, &(seconds + 5).to_string()]);
    let mut peers = Running::start("its peers", &mut command, &folder.join("peers.log"))?;
    let within = Duration::from_secs(seconds) + BESIDE;
    forwarder.wait(within)?;
    peers.wait(within)?;
    let report = lines.iter().last().context("the forwarder told nothing")?;
    let report: Value = serde_json::from_str(&report)?;
    let ns = report["ns_per_pkt"].as_f64().context("no ns_per_pkt")?;
    Ok(ns * PACKETS_A_MINUTE / 1e9)
}

/// Queue calls against a fresh exchange.
fn measure(offhook: &Path, folder: &Path, number: &str, calls: u16, seconds: u64) -> Result<Value> {
    let folder = folder.join(format!("{number}-{calls}"));
    std::fs::create_dir_all(&folder)?;
    let mut exchange =
        Exchange::start(offhook, "config/loadtest.toml", &folder.join("data"), &folder.join("exchange.log"))?;
    let rate = (u32::from(calls) / 8).clamp(CALLS_A_SECOND_MIN, CALLS_A_SECOND_MAX);
    let mut command = Command::new(offhook);
    command.args(["bench", "calls", "--json", "--quiet", "--listen", "127.0.0.2:0"]);
    command.args(["--agents-listen", "127.0.0.3:5070", "--to", &format!("sip:{number}@{}", exchange.sip)]);
    command.args(["--rate", &format!("{rate}/s"), "--concurrent", &calls.to_string(), "--for", &format!("{seconds}s")]);
    command.args(["--server-pid", &exchange.running.pid().to_string()]);
    let (mut running, lines) = Running::start_reading("offhook bench", &mut command, &folder.join("report.json"))?;
    running.wait(Duration::from_secs(seconds) + BESIDE)?;
    let report = lines.iter().last().context("no report")?;
    exchange.stop()?;
    Ok(serde_json::from_str(&report)?)
}

/// A number of a report; zero where it has none there.
pub fn figure(report: &Value, path: &str) -> f64 {
    report.pointer(path).and_then(Value::as_f64).unwrap_or(0.0)
}

fn line(row: &Row) -> String {
    let of = |path: &str| figure(&row.report, path);
    let cpu = of("/server/cpu_s_per_call_minute");
    let note = if row.report["counts"] == true { "" } else { " (does not count)" };
    format!(
        "| {}, {}{note} | {cpu:.4} | {:.4} | {:.2} | {:.0} | {:.0} | {:.2} / {:.2} / {:.2} | {:.1} / {:.1} | {:.0} | {:.0} |",
        row.calls,
        row.what,
        row.floor,
        cpu / row.floor.max(1e-9),
        of("/media/lost"),
        of("/calls/failed") + of("/media/flows_without_echo"),
        of("/media/round_trip_ms/p50"),
        of("/media/round_trip_ms/p99"),
        of("/media/round_trip_ms/p999"),
        of("/calls/to_agent_ms/p50"),
        of("/calls/to_agent_ms/p99"),
        of("/server/resident_kib_per_call"),
        of("/machine_idle_pct"),
    )
}

fn table(rows: &[Row], options: &Options) -> String {
    let calls = options.calls.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    let mut out = format!(
        "`cargo xtask performance --calls {calls} --seconds {} --write` on {} cores, Linux {}, load generator beside it. The forwarder has one socket a leg, and one `recvfrom` and one `sendto` a packet.\n\n\
         | queue calls | CPU-s a call-minute | bare forwarder | ratio | packets lost | failed or unheard | round trip ms p50 / p99 / p99.9 | to the agent ms p50 / p99 | KiB a call | machine idle % |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
        options.seconds,
        std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
    );
    for row in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", line(row));
    }
    out
}

/// Where a table stands in docs/PERFORMANCE.md: between two lines, or at the end under a title of its own.
pub struct Place {
    pub begin: &'static str,
    pub end: &'static str,
    pub title: &'static str,
}

/// Puts a table into docs/PERFORMANCE.md.
pub fn write(place: &Place, table: &str) -> Result<()> {
    let path = crate::root().join("docs/PERFORMANCE.md");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    std::fs::write(&path, put(place, &text, table))?;
    println!("written to {}", path.display());
    Ok(())
}

/// `text` with the table in the place of the one before, or at its end.
fn put(place: &Place, text: &str, table: &str) -> String {
    let Place { begin, end, title } = place;
    let table = format!("{begin}\n{table}{end}");
    match (text.find(begin), text.find(end)) {
        (Some(from), Some(to)) if from < to => format!("{}{table}{}", &text[..from], &text[to + end.len()..]),
        _ => format!("{}\n\n## {title}\n\n{table}\n", text.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        let place = Place { begin: "<!-- a -->", end: "<!-- z -->", title: "Calls" };
        let first = put(&place, "# Performance\n", "old\n");
        assert_eq!(first, "# Performance\n\n## Calls\n\n<!-- a -->\nold\n<!-- z -->\n");
        let second = put(&place, &format!("{first}\nmore\n"), "new\n");
        assert!(second.contains("new") && !second.contains("old") && second.ends_with("more\n"), "{second}");
    }
}
