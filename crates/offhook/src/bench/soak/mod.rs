//! `offhook bench soak`: an exchange of its own under an even load for as long as it takes, and what that leaves behind.

mod report;
mod trend;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use crossbeam_channel::Receiver;
use offhook_loadgen::arrivals::{Lasting, Pattern, Rates, Spread};
use offhook_loadgen::capacity::{Limits, Search};
use offhook_loadgen::flows::Part;
use offhook_loadgen::load::{Agents, Callers, Carriage, Load};
use offhook_loadgen::{Report, Second};
use offhook_net::Clock;
use offhook_sip::Transport;
use offhook_units::Span;

use self::report::SoakReport;
use self::trend::{Sample, Trend};
use super::calls::{BETWEEN_TRIES, LIMIT_BROKEN, NOT_COUNTED, range};
use super::chaos::account::{Run, account};
use super::chaos::house::{House, Setting};
use crate::phone::{entropy, stop_signals};

/// How long an agent's phone rings, and the longest wait.
const RING_FOR: Span = Span::from_s(30);
const MAX_WAIT: Span = Span::from_s(300);
/// The last calls are over by then.
const QUIET_WITHIN: Duration = Duration::from_secs(35);
/// Messages that the exchange keeps for looking at fill their room over hours, which is no growth of anything else.
const SIP_MORE: &str = "trace_mib = 1\n";
/// More calls at once than the mean by so much are made: they come by chance.
const ROOM_FOR_CHANCE_PCT: u64 = 150;
/// Agents an exchange of this bench may have.
const AGENTS_MAX: u64 = 1_000;
/// How long each try of the search for the capacity talks.
const TRY_FOR: Span = Span::from_s(10);
/// What a try has to keep beside that no call fails: packets lost in percent, and the round trip of 99 % in milliseconds.
const TRY_LOST_PCT: f64 = 0.1;
const TRY_ROUND_TRIP_MS: f64 = 20.0;

/// What `offhook bench soak` is asked for.
#[derive(Debug, Args)]
#[command(after_help = "\
An exchange is started with a folder of its own; callers at 127.0.0.2 call its only queue, which records, and phones at 127.0.0.3 answer. Calls come by
chance (a Poisson process), so many as hold --calls of them up on the mean. Afterwards every call's caller is held against its record and its recording.
Memory, threads and open files of the exchange are looked at every second; what is told of their growth leaves the first third of the run out, in which
an exchange takes what it keeps.

Examples:
  offhook bench soak --calls 50 --for 10m
  offhook bench soak --find-capacity 50..800 --share 70 --for 10m --json
      the capacity of this machine first, then 70 % of it

Exit status: 0 everything held; 1 it could not begin; 2 the generator was late, and it does not count; 3 something failed, is missing, or grew.")]
pub struct SoakArgs {
    /// Calls up at once, on the mean.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=600), required_unless_present = "find_capacity")]
    calls: Option<u32>,
    /// Search first for the most calls at once of which none fails and 99.9 % of packets come back within 20 ms, by tries of 10 s.
    #[arg(long, value_name = "LEAST..MOST", value_parser = range, conflicts_with = "calls")]
    find_capacity: Option<(u64, u64)>,
    /// The share of that capacity, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 70, value_parser = clap::value_parser!(u64).range(1..=100))]
    share: u64,
    /// For how long calls are begun.
    #[arg(long = "for", value_name = "SPAN", default_value = "10m")]
    lasting: Lasting,
    /// How long a call lasts after its answer.
    #[arg(long, value_name = "SPAN[..SPAN]", default_value = "10s..50s")]
    hold: Spread,
    /// How much the exchange's memory may grow in an hour, in percent of what it has, as the line through the last two thirds of the run goes.
    #[arg(long, value_name = "PERCENT", default_value_t = 30.0)]
    max_growth: f64,
    /// Keep the exchange's folder here, which must not exist.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Say nothing while it runs.
    #[arg(long)]
    quiet: bool,
}

/// Runs the bench.
pub fn run(args: &SoakArgs) -> Result<ExitCode> {
    if let Some(keep) = &args.keep {
        ensure!(!keep.exists(), "{} exists: give --keep a new folder", keep.display());
    }
    let stop = stop_signals()?;
    let (capacity, calls) = match (args.find_capacity, args.calls) {
        (Some((least, most)), _) => {
            let most = most.min(AGENTS_MAX * 100 / ROOM_FOR_CHANCE_PCT);
            let found = capacity(args, Search::new(least.min(most), most), &stop)?;
            (Some(found), (found * args.share / 100).max(1) as u32)
        }
        (None, Some(calls)) => (None, calls),
        (None, None) => unreachable!("clap asks for one of them"),
    };
    let folder = tempfile::Builder::new().prefix("offhook-soak-").tempdir().context("a folder for the exchange")?;
    let clock = Clock::start(None);
    let began = clock.now();
    let mut house = House::start(folder.path(), setting(calls), entropy()?)?;
    let mean = f64::midpoint(args.hold.least().as_us() as f64, args.hold.most().as_us() as f64) / 1e6;
    let rate = f64::from(calls) / mean.max(0.1);
    let mut load = load(&house, calls, Pattern::Poisson(Rates::constant(rate)))?;
    if let Some(callers) = &mut load.callers {
        callers.hold = Some(args.hold);
    }
    load.lasting = Some(args.lasting.0);
    say(args, &format!("{calls} calls at once, {rate:.2} new ones a second"));
    let mut trend = Trend::default();
    let pid = load.server_pid;
    let report = watched(args, &load, &stop, |second| {
        trend.note(Sample::of(second, pid));
    })?;
    say(args, "waiting for the last calls to end");
    let left_over = house.quiet_within(QUIET_WITHIN)?;
    house.stop()?;
    let run = Run { outcomes: &report.outcomes, kills: Vec::new(), lasted: clock.now().since(began) };
    let account = account(&house.data(), &run)?;
    if let Some(keep) = &args.keep {
        super::chaos::copy(folder.path(), keep)?;
    }
    let report = SoakReport::new(capacity, calls, &report, &trend, account, left_over);
    if args.json {
        crate::phone::print_line(&report);
    } else {
        print!("{}", report.table());
    }
    let broken = report.broken(args.max_growth);
    for each in &broken {
        eprintln!("offhook: {each}");
    }
    Ok(match (broken.is_empty(), report.counts) {
        (false, _) => ExitCode::from(LIMIT_BROKEN),
        (true, false) => ExitCode::from(NOT_COUNTED),
        (true, true) => ExitCode::SUCCESS,
    })
}

/// Agents for so many calls that come by chance.
fn room(calls: u32) -> u32 {
    (u64::from(calls) * ROOM_FOR_CHANCE_PCT / 100 + 20).min(AGENTS_MAX) as u32
}

fn say(args: &SoakArgs, what: &str) {
    if !args.quiet {
        eprintln!("offhook: {what}");
    }
}

/// One run, with live figures on standard error.
fn watched(args: &SoakArgs, load: &Load, stop: &Receiver<()>, mut each: impl FnMut(&Second)) -> Result<Report> {
    let on_terminal = std::io::stderr().is_terminal();
    let live = |second: &Second| {
        each(second);
        let mut err = std::io::stderr().lock();
        // A reader that has gone ends nothing. Without a terminal, a line each half minute is enough.
        let _ = match (args.quiet, on_terminal) {
            (false, true) => write!(err, "\r\x1b[K{}", second.line()).and_then(|()| err.flush()),
            (false, false) if (second.at_s as u64).is_multiple_of(30) => writeln!(err, "{}", second.line()),
            (true, _) | (false, false) => Ok(()),
        };
    };
    let report = offhook_loadgen::run(load, stop, entropy()?, live)?;
    if on_terminal && !args.quiet {
        eprintln!();
    }
    Ok(report)
}

/// Callers and agents of an exchange of this bench.
fn load(house: &House, calls: u32, pattern: Pattern) -> Result<Load> {
    let uri = format!("sip:700@{}", house.sip);
    let speech = super::words::speech(None, super::words::Codec::Pcmu, None)?;
    let callers = Callers {
        transport: Transport::Udp,
        connections: 1,
        carriage: Carriage::Plain,
        speech: speech.clone(),
        server: house.sip,
        uri: uri.parse().map_err(|_| anyhow::anyhow!("{uri} is no SIP URI"))?,
        local: "127.0.0.2:0".parse().context("an address")?,
        from: "cx{n}".to_owned(),
        pattern,
        concurrent: room(calls) as usize,
        hold: None,
        patience: None,
        keys: Vec::new(),
        credentials: None,
    };
    let agents = Agents {
        transport: Transport::Udp,
        takes_srtp: false,
        speech,
        local: house.phones,
        count: 0,
        first: 1,
        user: "a{n:04}".to_owned(),
        password: String::new(),
        registrar: None,
        registers_per_s: 1,
        answer_after: "0s..1s".parse().map_err(anyhow::Error::msg)?,
        decline_per_mille: 0,
        hang_up_after: None,
        wrap_up: Span::ZERO,
        part: Part::Echo,
    };
    Ok(Load {
        callers: Some(callers),
        agents: Some(agents),
        tls: None,
        leads: Vec::new(),
        sampled: None,
        lasting: None,
        server_pid: house.pid(),
        wire: Arc::default(),
        keeps_outcomes: true,
    })
}

/// The most calls at once that this machine carries well, each number with an exchange of its own.
fn capacity(args: &SoakArgs, mut search: Search, stop: &Receiver<()>) -> Result<u64> {
    let limits = Limits {
        failed_pct: 0.0,
        lost_pct: TRY_LOST_PCT,
        setup_p99_ms: None,
        round_trip_p99_ms: Some(TRY_ROUND_TRIP_MS),
    };
    let mut tried = false;
    while let Some(value) = search.next() {
        if core::mem::replace(&mut tried, true) && stop.recv_timeout(BETWEEN_TRIES).is_ok() {
            break;
        }
        let calls = value as u32;
        let report = one_try(args, calls, stop)?;
        ensure!(report.calls.is_some(), "stopped before the first call");
        let why: Vec<String> = limits.broken(&report).into_iter().chain(report.why_not.clone()).collect();
        say(
            args,
            &format!("{calls} calls at once: {}", if why.is_empty() { "good".to_owned() } else { why.join("; ") }),
        );
        search.tell(why.is_empty());
    }
    search.found().context("not even the least number of calls went well: lower --find-capacity")
}

fn one_try(args: &SoakArgs, calls: u32, stop: &Receiver<()>) -> Result<Report> {
    let folder = tempfile::Builder::new().prefix("offhook-soak-").tempdir().context("a folder for the exchange")?;
    let mut house = House::start(folder.path(), setting(calls), entropy()?)?;
    let rate = (f64::from(calls) / 8.0).clamp(5.0, 40.0);
    let mut load = load(&house, calls, Pattern::Even(Rates::constant(rate)))?;
    if let Some(callers) = &mut load.callers {
        callers.concurrent = calls as usize;
    }
    load.lasting = Some(TRY_FOR);
    let report = watched(args, &load, stop, |_| {})?;
    house.stop()?;
    Ok(report)
}

/// An exchange with agents for so many calls.
fn setting(calls: u32) -> Setting<'static> {
    Setting { agents: room(calls), ring_for: RING_FOR, max_wait: MAX_WAIT, sip_more: SIP_MORE, watch: None }
}

/// The folder that is looked into for open files of a process.
fn open_files(pid: u32) -> u64 {
    std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).map_or(0, |files| files.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_agents_for_half_as_many_calls_again_and_no_more_than_a_thousand() {
        assert_eq!([1, 100, 600, 5_000].map(room), [21, 170, 920, 1_000]);
        assert!(open_files(std::process::id()) > 2 && open_files(u32::MAX) == 0);
    }
}
