//! `cargo xtask flame`: where the exchange's time goes under recorded queue calls, as a flame graph, and by whose instructions: the
//! kernel's, those that copy memory, the allocator's, ours.
//!
//! A sample that falls where the kernel lets nobody interrupt it is told of the place where it lets somebody again.
//! `perf` takes the samples, by the clock and not by the processor's counters, which virtual machines seldom have. It needs the release
//! build of `offhook`, and root or a `kernel.perf_event_paranoid` that lets it look into the kernel.

mod fold;
mod svg;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;

use self::fold::{Kind, Profile};
use crate::apt;
use crate::children::{self, Running, wait_for};
use crate::peers::exchange::Exchange;
use crate::performance::{Place, figure, write};

/// What takes the samples.
const PERF: [apt::Package; 1] = [apt::package("linux-perf", "samples what a program does")];
/// Samples a second; no multiple of what turns every 10 ms.
const SAMPLES_PER_S: u32 = 997;
/// How much of a stack is kept to be unwound, in bytes.
const STACK_BYTES: u32 = 16_384;
/// Where the table and the picture stand.
const PROFILE: Place = Place {
    begin: "<!-- profile: written by cargo xtask flame -->",
    end: "<!-- end of profile -->",
    title: "Where the time goes",
};
const PICTURE: &str = "docs/performance/flame.svg";
/// Functions of ours that are named.
const OWN_NAMED: usize = 8;
/// Within so long all calls have to be up, and everything else has to end.
const WITHIN: Duration = Duration::from_mins(2);

/// What is looked at.
#[derive(Debug, Args)]
pub struct Options {
    /// Calls at once.
    #[arg(long, default_value_t = 200)]
    calls: u16,
    /// How long samples are taken, in seconds.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Relayed calls instead of recorded ones.
    #[arg(long)]
    relayed: bool,
    /// Where the flame graph is written. Default: beside the logs, or docs/performance with --write.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the table into docs/PERFORMANCE.md instead of showing it, and the flame graph beside it.
    #[arg(long)]
    write: bool,
}

impl Options {
    /// The profile that goes with the table of `cargo xtask performance --write`.
    pub const fn beside_the_table(calls: u16, seconds: u64) -> Self {
        Self { calls, seconds, relayed: false, out: None, write: true }
    }
}

/// Samples, folds, draws and tells.
pub fn run(options: &Options) -> Result<bool> {
    children::catch_interrupts()?;
    apt::install(&PERF)?;
    let offhook = crate::target().join("release/offhook");
    ensure!(offhook.is_file(), "{} is missing: cargo build --release --package offhook", offhook.display());
    let folder = crate::target().join("flame");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let (samples, report) = sample(options, &offhook, &folder)?;
    let script = folder.join("script.txt");
    let told = std::fs::File::create(&script)?;
    let status = Command::new("perf")
        .args(["script", "--no-inline", "--fields", "comm,ip,sym,dso", "--input"])
        .arg(&samples)
        .stdout(told)
        .stderr(Stdio::null())
        .status()
        .context("running perf script")?;
    ensure!(status.success(), "perf script ended with {status}");
    let profile = Profile::read(&std::fs::read_to_string(&script)?);
    ensure!(profile.samples() > 0, "no sample was taken: is the exchange idle?");
    let picture = match &options.out {
        Some(path) => path.clone(),
        None if options.write => crate::root().join(PICTURE),
        None => folder.join("flame.svg"),
    };
    if let Some(parent) = picture.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let title = format!("{}, {} s, {} samples", what(options), options.seconds, profile.samples());
    std::fs::write(&picture, svg::draw(&profile, &title)).with_context(|| picture.display().to_string())?;
    let text = table(options, &profile, &report);
    if options.write {
        write(&PROFILE, &text)?;
    } else {
        println!("{text}");
    }
    println!("flame graph: {}", picture.display());
    Ok(true)
}

fn what(options: &Options) -> String {
    format!("{} {} queue calls", options.calls, if options.relayed { "relayed" } else { "recorded" })
}

/// Runs the calls against a fresh exchange, and samples it while all of them are up.
fn sample(options: &Options, offhook: &Path, folder: &Path) -> Result<(PathBuf, Value)> {
    let mut exchange =
        Exchange::start(offhook, "config/loadtest.toml", &folder.join("data"), &folder.join("exchange.log"))?;
    let number = if options.relayed { "700" } else { "701" };
    let rate = (u32::from(options.calls) / 8).clamp(5, 40);
    // They stay for longer than is sampled: perf begins when all are up, and takes a while to begin.
    let (staying, pid) = (options.seconds + 8, exchange.running.pid().to_string());
    let mut command = Command::new(offhook);
    command.args(["bench", "calls", "--json", "--quiet", "--listen", "127.0.0.2:0"]);
    command.args(["--agents-listen", "127.0.0.3:5070", "--to", &format!("sip:{number}@{}", exchange.sip)]);
    command.args(["--rate", &format!("{rate}/s"), "--concurrent", &options.calls.to_string()]);
    command.args(["--for", &format!("{staying}s"), "--server-pid", &pid]);
    let (mut calls, lines) = Running::start_reading("offhook bench", &mut command, &folder.join("report.json"))?;
    let (state, wanted) = ("talking", usize::from(options.calls));
    wait_for("all calls to be up", WITHIN, || {
        exchange.running.must_run()?;
        calls.must_run()?;
        Ok((exchange.calls_in(state)? >= wanted).then_some(()))
    })?;
    let samples = folder.join("perf.data");
    let mut command = Command::new("perf");
    command.args(["record", "--event", "cpu-clock", "--freq", &SAMPLES_PER_S.to_string()]);
    command.args(["--call-graph", &format!("dwarf,{STACK_BYTES}"), "--pid", &pid, "--output"]).arg(&samples);
    command.args(["--", "sleep", &options.seconds.to_string()]);
    let mut perf = Running::start("perf", &mut command, &folder.join("perf.log"))?;
    let status = perf.wait(Duration::from_secs(options.seconds) + WITHIN)?;
    ensure!(status.success(), "perf ended with {status}:\n{}", children::tail(&folder.join("perf.log"), 10));
    calls.wait(Duration::from_secs(staying) + WITHIN)?;
    let report = lines.iter().last().context("no report of the calls")?;
    exchange.stop()?;
    Ok((samples, serde_json::from_str(&report)?))
}

/// Which limit binds, in words and figures.
fn table(options: &Options, profile: &Profile, report: &Value) -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut out = format!(
        "`cargo xtask flame --calls {} --seconds {}{} --write` on {} cores, Linux {}: {}, all up; {} samples of the clock, and what each was doing. [Flame graph](performance/flame.svg).\n\n",
        options.calls,
        options.seconds,
        if options.relayed { " --relayed" } else { "" },
        std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        release.trim(),
        what(options),
        profile.samples(),
    );
    // Writing to a String cannot fail, here and below.
    let heads: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let _ = writeln!(out, "| thread | share % | {} |", heads.join(" | "));
    let _ = writeln!(out, "|---|---|{}", "---|".repeat(heads.len()));
    let all = profile.samples() as f64;
    let mut row = |name: &str, of: &dyn Fn(Kind) -> u64| {
        let sum: u64 = Kind::ALL.iter().map(|kind| of(*kind)).sum();
        let shares: Vec<String> =
            Kind::ALL.iter().map(|kind| format!("{:.0}", 100.0 * of(*kind) as f64 / sum.max(1) as f64)).collect();
        let _ = writeln!(out, "| {name} | {:.0} | {} |", 100.0 * sum as f64 / all, shares.join(" | "));
    };
    row("all", &|kind| profile.of_kind(None, kind));
    for thread in profile.threads() {
        row(&thread, &|kind| profile.of_kind(Some(&thread), kind));
    }
    let share = |count: u64| 100.0 * count as f64 / all;
    let list = |named: Vec<(String, u64)>, mark: &str| {
        let each = named.iter().map(|(name, count)| format!("{mark}{name}{mark} {:.1} %", share(*count)));
        each.collect::<Vec<_>>().join(", ")
    };
    let most = Kind::ALL.iter().copied().max_by_key(|kind| profile.of_kind(None, *kind)).unwrap_or(Kind::Ours);
    let cpu = figure(report, "/server/cpu_s_per_call_minute");
    let _ = writeln!(
        out,
        "\nWhat binds is {}: {:.0} % of {cpu:.4} CPU-s a call-minute (perf looking on). The kernel's part is {}. Of ours the most have {}.",
        most.words(),
        share(profile.of_kind(None, most)),
        list(profile.kernel_work(), ""),
        list(profile.own_functions(OWN_NAMED), "`"),
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_binds_is_said_in_words_with_shares_that_add_up() {
        let kernel = "media-0 \n\tffffffff81 udp_sendmsg ([kernel.kallsyms])\n\tffffffff82 __x64_sys_sendmmsg ([kernel.kallsyms])\n\t\
                      7f00 sendmmsg (/usr/lib/libc.so.6)\n\t5500 offhook_net::media::run (/bin/offhook)\n\n";
        let own = "offhook \n\t5501 offhook_call::exchange::turn::h0123456789abcdef (/bin/offhook)\n\n";
        let profile = Profile::read(&format!("{kernel}{kernel}{kernel}{own}"));
        let options = Options::beside_the_table(100, 5);
        let report = serde_json::json!({ "server": { "cpu_s_per_call_minute": 0.0301 } });
        let text = table(&options, &profile, &report);
        assert!(text.contains("| all | 100 | 75 | 0 | 0 | 25 | 0 |"), "{text}");
        assert!(text.contains("| media-0 | 75 | 100 | 0 | 0 | 0 | 0 |"), "{text}");
        assert!(text.contains("What binds is the kernel: 75 % of 0.0301 CPU-s"), "{text}");
        assert!(
            text.contains("sending packets 75.0 %") && text.contains("`offhook_call::exchange::turn` 25.0 %"),
            "{text}"
        );
    }
}
