//! What a browser's call costs a media worker, beside a telephone's and beside one whose Opus is turned into G.711: all in one run of
//! the bench `browser_calls`, for each number of calls.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{BESIDE, Place, figure, write};
use crate::children::Running;

const PLACE: Place = Place {
    begin: "<!-- browsers: written by cargo xtask performance --browsers -->",
    end: "<!-- end of browsers -->",
    title: "Browsers",
};
/// What is measured, for each number of calls: Opus last, and not where the number before says that it would be too much.
const MODES: [&str; 3] = ["plain", "pcmu", "opus"];
/// What a worker may be expected to need of a core for its Opus, in percent, for it to be tried.
const TRIED_UP_TO: f64 = 120.0;

/// Measures, and shows or writes the table. Good where nothing was lost.
pub fn run(calls: &[u16], seconds: u64, keep: bool) -> Result<bool> {
    let program = crate::target().join("release/browser_calls");
    ensure!(
        program.is_file(),
        "{} is missing: cargo build --release --package offhook-benches --bin browser_calls",
        program.display()
    );
    let folder = crate::target().join("performance");
    std::fs::create_dir_all(&folder)?;
    let (mut rows, mut busy) = (Vec::new(), 0.0);
    for calls in calls {
        let modes = if busy * f64::from(*calls) > TRIED_UP_TO { &MODES[..2] } else { &MODES[..] };
        let mut command = Command::new(&program);
        command.args([calls.to_string(), seconds.to_string()]).args(modes);
        let log = folder.join(format!("browsers-{calls}.json"));
        let (mut running, lines) = Running::start_reading("browser_calls", &mut command, &log)?;
        ensure!(running.wait((Duration::from_secs(seconds) + BESIDE) * 3)?.success(), "{}", running.tail(5));
        let reports = lines.iter().map(|line| Ok(serde_json::from_str(&line)?)).collect::<Result<Vec<Value>>>()?;
        ensure!(reports.len() == modes.len(), "{} of {modes:?} told their figures", reports.len());
        if let Some(opus) = reports.iter().find(|report| report["mode"] == MODES[2]) {
            busy = figure(opus, "/worker_cpu_pct") / f64::from(*calls);
        }
        let plain = figure(&reports[0], "/cpu_s_per_call_minute");
        for report in reports {
            println!("{}", line(&report, plain));
            rows.push((report, plain));
        }
    }
    let list = calls.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    let mut table = format!(
        "`cargo xtask performance --browsers {list} --seconds {seconds} --write` on {} cores, Linux {}: one media worker with its driver and its \
         transports, its peers beside it; CPU time of the worker's thread alone. One leg of each call is a telephone's (G.711, RTP). All browsers share one port.\n\n\
         | calls, the other leg | CPU-s a call-minute | of a telephone's | worker % | packets lost | not opened | on the way ms p50 / p99 | CPU-ms to set up |\n\
         |---|---|---|---|---|---|---|---|\n",
        std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
    );
    for (report, plain) in &rows {
        // Writing to a String cannot fail.
        let _ = writeln!(table, "{}", line(report, *plain));
    }
    if keep {
        write(&PLACE, &table)?;
    } else {
        println!("\n{table}");
    }
    Ok(rows.iter().all(|(report, _)| figure(report, "/lost") + figure(report, "/unopened") < 0.5))
}

fn line(report: &Value, plain: f64) -> String {
    let of = |path: &str| figure(report, path);
    let mode = report["mode"].as_str().unwrap_or_default();
    let what = match mode {
        "plain" => "a telephone's, relayed",
        "pcmu" => "a browser's, PCMU relayed",
        _ => "a browser's, Opus turned into G.711",
    };
    let way = match mode {
        // What a mix sends does not say when it was said.
        "opus" => "-".to_owned(),
        _ => format!("{:.2} / {:.2}", of("/transit_us_p50") / 1e3, of("/transit_us_p99") / 1e3),
    };
    let cpu = of("/cpu_s_per_call_minute");
    format!(
        "| {:.0}, {what} | {cpu:.4} | {:.2} | {:.0} | {:.0} | {:.0} | {way} | {:.2} |",
        of("/calls"),
        cpu / plain.max(1e-9),
        of("/worker_cpu_pct"),
        of("/lost"),
        of("/unopened"),
        of("/handshake_cpu_ms"),
    )
}
