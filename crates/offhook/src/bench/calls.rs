//! `offhook bench calls`: callers with real speech against any SIP server, and agents beside them where that is asked for.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;
use crossbeam_channel::Receiver;
use offhook_loadgen::arrivals::{Lasting, Pattern, Rates};
use offhook_loadgen::capacity::{Limits, Search, Try};
use offhook_loadgen::load::Load;
use offhook_loadgen::{Report, Second};
use serde::Deserialize;

use super::load::{AgentOptions, CallerOptions, LEGS_MAX};
use super::sample;
use crate::phone::{entropy, stop_signals};

/// Exit status of a run that does not count, because the generator was late.
pub const NOT_COUNTED: u8 = 2;
/// Exit status of a run that broke a limit.
pub const LIMIT_BROKEN: u8 = 3;
/// Between two tries of a search: the server's last messages are forgotten, its memory settles.
pub const BETWEEN_TRIES: std::time::Duration = std::time::Duration::from_secs(3);

/// Arguments of `offhook bench calls`.
#[derive(Debug, Args)]
#[command(after_help = "\
Times are counted from the instant at which a call was due, not from its sending: a server or a generator that stalls is seen in every
call that it kept waiting. A run whose generator was late says so, has \"counts\": false, and exits with 2.

Examples:
  offhook bench calls --to sip:100@pbx.example --rate 50/s --concurrent 500 --hold 10s --for 1m
      50 new calls a second for a minute, each of 10 s
  offhook bench calls --to sip:700@127.0.0.1 --rate 12/s --concurrent 100 --for 30s --server-pid $(pidof offhook)
      100 calls that stay up together for 30 s, and what a minute of a call costs the server
  offhook bench calls --to sip:700@127.0.0.1:5060 --listen 127.0.0.2:0 --agents-listen 127.0.0.3:5070 --rate 12/s --concurrent 100 --for 30s
      queue calls of an exchange with config/loadtest.toml: this command answers as the agents, too
  offhook bench calls --to sip:700@pbx --agents 200 --register sip:pbx --rate 20/s --poisson --concurrent 300 --hold 5s..20s --for 5m --patience 30s
      200 agents that register as a0001 to a0200 with pw0001.., and impatient callers by chance
  offhook bench calls --to sip:700@pbx.example --transport wss --connections 50 --webrtc --codec opus --rate 5/s --concurrent 50 --for 1m
      50 callers as pages are: WebSocket, ICE, DTLS, SRTP; each on a connection of its own
  offhook bench calls --to sip:700@pbx.example --transport tls --srtp --codec g722 --rate 20/s --concurrent 200 --hold 10s --for 1m
      the signalling under TLS, and speech under SRTP with keys in it
  offhook bench calls --scenario evening.toml --json
      a file with the same names: to, rate, concurrent, for, hold, ..; and count, register, users, .. below [agents]
  offhook bench calls --to sip:700@pbx --rate 5/s --concurrent 50 --for 30s --speech said.wav --sample /tmp/heard --judge ./pesq.sh
      what the first caller said and heard, and what a program of yours says of the second by the first
  offhook bench calls --to sip:800@pbx --rate 1/s --concurrent 5000 --hold 2s --for 20s --find-capacity 50..2000
      the highest rate that keeps the limits, by bisection

Exit status: 0 the run counts and kept the limits; 1 it could not begin; 2 it does not count; 3 a limit was broken.")]
pub struct CallsArgs {
    #[command(flatten)]
    callers: CallerOptions,
    #[command(flatten)]
    agents: AgentOptions,
    #[command(flatten)]
    limits: LimitOptions,
    /// A file with options, so that a run can be repeated: what the command line says goes before.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Search for the most that keeps the limits: calls a second where --hold is given, calls at once otherwise.
    #[arg(long, value_name = "LEAST..MOST", value_parser = range)]
    find_capacity: Option<(u64, u64)>,
    /// Write what a caller said and heard as FOLDER/said.wav and FOLDER/heard.wav: from the answer on, that of an agent of this command where there are any; a minute at most.
    /// That call's speech carries no marks.
    #[arg(long, value_name = "FOLDER", conflicts_with = "find_capacity")]
    sample: Option<PathBuf>,
    /// Which call is sampled, by its number.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "sample")]
    sample_call: u64,
    /// A program that judges speech, such as one that computes PESQ: it is run with said.wav and heard.wav, and the last number that it prints is told as the quality.
    #[arg(long, value_name = "PROGRAM", requires = "sample")]
    judge: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Write a page with plots that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Say nothing while it runs.
    #[arg(long)]
    quiet: bool,
}

/// What a run has to keep.
#[derive(Debug, Clone, Copy, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[expect(clippy::struct_field_names, reason = "they are the names of the options")]
pub struct LimitOptions {
    /// Calls that may fail, in percent; those given up count. Default 1.
    #[arg(long, value_name = "PERCENT")]
    max_failed: Option<f64>,
    /// Packets that may be lost, in percent. Default 1.
    #[arg(long, value_name = "PERCENT")]
    max_lost: Option<f64>,
    /// Setup that 99 % of calls must not exceed.
    #[arg(long, value_name = "SPAN")]
    max_setup: Option<Lasting>,
    /// Round trip of speech that 99 % of packets must not exceed.
    #[arg(long, value_name = "SPAN")]
    max_round_trip: Option<Lasting>,
}

impl LimitOptions {
    fn or(self, file: Self) -> Self {
        Self {
            max_failed: self.max_failed.or(file.max_failed),
            max_lost: self.max_lost.or(file.max_lost),
            max_setup: self.max_setup.or(file.max_setup),
            max_round_trip: self.max_round_trip.or(file.max_round_trip),
        }
    }

    fn limits(self) -> Limits {
        let ms = |lasting: Lasting| lasting.0.as_us() as f64 / 1_000.0;
        Limits {
            failed_pct: self.max_failed.unwrap_or(1.0),
            lost_pct: self.max_lost.unwrap_or(1.0),
            setup_p99_ms: self.max_setup.map(ms),
            round_trip_p99_ms: self.max_round_trip.map(ms),
        }
    }
}

/// A scenario file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Scenario {
    #[serde(flatten)]
    rest: toml::Table,
}

/// What a scenario file says: callers at the top, agents and limits in tables of their own.
fn read_scenario(text: &str) -> anyhow::Result<(CallerOptions, AgentOptions, LimitOptions)> {
    let Scenario { mut rest } = toml::from_str(text)?;
    let mut table = |name: &str| rest.remove(name).unwrap_or_else(|| toml::Value::Table(toml::Table::new()));
    let agents = table("agents").try_into().context("in [agents]")?;
    let limits = table("limits").try_into().context("in [limits]")?;
    Ok((toml::Value::Table(rest).try_into()?, agents, limits))
}

/// Two numbers, the first one no larger than the second: `50..2000`.
pub fn range(text: &str) -> Result<(u64, u64), String> {
    let bad = || format!("`{text}` is no range: write 50..2000");
    let (least, most) = text.split_once("..").ok_or_else(bad)?;
    let (least, most) = (least.parse().map_err(|_| bad())?, most.parse().map_err(|_| bad())?);
    if least < 1 || least > most || most > u64::from(LEGS_MAX) { Err(bad()) } else { Ok((least, most)) }
}

/// Runs the bench.
pub fn run(args: &CallsArgs) -> anyhow::Result<ExitCode> {
    let (mut callers, mut agents, mut limits) = (args.callers.clone(), args.agents.clone(), args.limits);
    if let Some(path) = &args.scenario {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let file = read_scenario(&text).with_context(|| path.display().to_string())?;
        (callers, agents, limits) = (callers.or(file.0), agents.or(file.1), limits.or(file.2));
    }
    let mut load = callers.load(&agents)?;
    let codec = callers.codec();
    if let Some(folder) = &args.sample {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        load.sampled = Some(args.sample_call);
    }
    let limits = limits.limits();
    let stop = stop_signals()?;
    if let Some((least, most)) = args.find_capacity {
        return find_capacity(args, &load, &limits, Search::new(least, most), &stop);
    }
    let mut report = once(&load, &stop, args.quiet)?;
    if let (Some(folder), Some(callers)) = (&args.sample, &load.callers) {
        report.speech_quality = sample::keep(&report, &callers.speech, codec, folder, args.judge.as_deref())?;
    }
    show(&report, args.json, args.html.as_deref())?;
    let broken = limits.broken(&report);
    for each in &broken {
        eprintln!("offhook: {each}");
    }
    Ok(match (report.counts, broken.is_empty()) {
        (true, true) => ExitCode::SUCCESS,
        (false, _) => ExitCode::from(NOT_COUNTED),
        (true, false) => ExitCode::from(LIMIT_BROKEN),
    })
}

/// One run, with live figures on standard error.
pub fn once(load: &Load, stop: &Receiver<()>, quiet: bool) -> anyhow::Result<Report> {
    let on_terminal = std::io::stderr().is_terminal();
    let live = |second: &Second| {
        let mut err = std::io::stderr().lock();
        // A reader that has gone ends nothing.
        let _ = match (quiet, on_terminal) {
            (true, _) => Ok(()),
            (false, true) => write!(err, "\r\x1b[K{}", second.line()).and_then(|()| err.flush()),
            (false, false) => writeln!(err, "{}", second.line()),
        };
    };
    let report = offhook_loadgen::run(load, stop, entropy()?, live)?;
    if on_terminal && !quiet {
        eprintln!();
    }
    Ok(report)
}

/// The report, as it was asked for.
pub fn show(report: &Report, json: bool, html: Option<&Path>) -> anyhow::Result<()> {
    if let Some(path) = html {
        std::fs::write(path, offhook_loadgen::page::page(report))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    if json {
        crate::phone::print_line(report);
    } else {
        print!("{}", report.table());
    }
    Ok(())
}

/// The same load with another number: of calls a second where calls hold, of calls at once otherwise.
fn with_value(load: &Load, value: u64) -> Load {
    let mut load = load.clone();
    if let Some(callers) = &mut load.callers {
        if callers.hold.is_some() {
            let rates = Rates::constant(value as f64);
            callers.pattern = match callers.pattern {
                Pattern::Poisson(_) => Pattern::Poisson(rates),
                Pattern::Even(_) | Pattern::At(_) => Pattern::Even(rates),
            };
        } else {
            callers.concurrent = value as usize;
        }
    }
    load
}

fn find_capacity(
    args: &CallsArgs,
    load: &Load,
    limits: &Limits,
    mut search: Search,
    stop: &Receiver<()>,
) -> anyhow::Result<ExitCode> {
    let is_rate = load.callers.as_ref().is_some_and(|callers| callers.hold.is_some());
    let unit = if is_rate { "calls a second" } else { "calls at once" };
    let mut tries: Vec<Try> = Vec::new();
    while let Some(value) = search.next() {
        if !tries.is_empty() && stop.recv_timeout(BETWEEN_TRIES).is_ok() {
            break;
        }
        let report = once(&with_value(load, value), stop, args.quiet)?;
        ensure!(report.calls.is_some(), "stopped before the first call");
        let why: Vec<String> = limits.broken(&report).into_iter().chain(report.why_not.clone()).collect();
        let good = why.is_empty();
        eprintln!("{value} {unit}: {}", if good { "good".to_owned() } else { why.join("; ") });
        search.tell(good);
        tries.push(Try { value, good, why, report });
    }
    // Where the smallest try that failed did so for the generator's own lateness, it and not the server is the bound.
    let worst = tries.iter().filter(|each| !each.good).min_by_key(|each| each.value);
    let by_generator = worst.is_some_and(|each| !each.report.counts);
    let best = tries.iter().filter(|each| each.good).max_by_key(|each| each.value);
    if let (Some(path), Some(best)) = (&args.html, best) {
        show_page(path, &best.report)?;
    }
    if args.json {
        let object = serde_json::json!({
            "capacity": search.found(), "unit": unit, "bound_by_generator": by_generator, "tries": tries,
        });
        println!("{object}");
    } else if let Some(best) = best {
        print!("{}", best.report.table());
        println!("capacity {} {unit}", best.value);
    }
    if by_generator {
        eprintln!(
            "offhook: above that the generator was late: the server may carry more than this machine can ask of it"
        );
    }
    Ok(match search.found() {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::from(LIMIT_BROKEN),
    })
}

fn show_page(path: &Path, report: &Report) -> anyhow::Result<()> {
    std::fs::write(path, offhook_loadgen::page::page(report)).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_has_the_names_of_the_options_and_the_command_line_goes_before() {
        let text = "to = \"sip:700@127.0.0.1\"\nrate = \"10/s:30s,50/s\"\nconcurrent = 100\nfor = \"30s\"\nhold = \"5s..20s\"\n\
                    dtmf = [\"1@2s\"]\n[agents]\nlisten = \"127.0.0.3:5070\"\nanswer-after = \"1s\"\n[limits]\nmax-setup = \"200ms\"\n";
        let (callers, agents, limits) = read_scenario(text).unwrap();
        let over = CallerOptions { concurrent: Some(7), ..CallerOptions::default() };
        let load = over.or(callers).load(&agents).unwrap();
        let calling = load.callers.as_ref().unwrap();
        assert_eq!((calling.concurrent, calling.keys.len()), (7, 1));
        assert_eq!(calling.server.to_string(), "127.0.0.1:5060");
        assert_eq!(load.agents.as_ref().map(|agents| agents.local.to_string()), Some("127.0.0.3:5070".into()));
        assert_eq!(limits.limits().setup_p99_ms, Some(200.0));
        for wrong in ["rat = \"1/s\"\n", "rate = \"quick\"\n", "[agents]\nto = \"x\"\n", "[limits]\nmax = 1\n"] {
            assert!(read_scenario(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_the_option_that_says_it() {
        let missing = |callers: CallerOptions, agents: AgentOptions| callers.load(&agents).unwrap_err().to_string();
        let mut callers = CallerOptions::default();
        assert!(missing(callers.clone(), AgentOptions::default()).contains("--to"));
        callers.to = Some("sip:1@127.0.0.1".into());
        assert!(missing(callers.clone(), AgentOptions::default()).contains("--concurrent"));
        callers.concurrent = Some(1);
        assert!(missing(callers.clone(), AgentOptions::default()).contains("--rate"));
        callers.rate = Some(Rates::constant(1.0));
        assert!(missing(callers.clone(), AgentOptions::default()).contains("--for"));
        callers.lasting = Some(Lasting(offhook_units::Span::from_s(1)));
        let agents = AgentOptions { agents: Some(3), ..AgentOptions::default() };
        assert!(missing(callers, agents).contains("--register"));
    }

    #[test]
    fn a_range_has_two_ends_in_order() {
        assert_eq!(range("50..2000"), Ok((50, 2_000)));
        for wrong in ["50", "..", "0..5", "9..5", "1..9999999"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }
}
