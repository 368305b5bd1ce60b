//! `offhook bench chaos`: calls to an exchange while things fail, and an account of every one of them.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

pub mod account;
mod faults;
pub mod house;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use offhook_loadgen::Report;
use offhook_loadgen::arrivals::{Lasting, Pattern, Rates, Spread};
use offhook_loadgen::faults::Wire;
use offhook_loadgen::flows::Part;
use offhook_loadgen::load::{Agents, Callers, Carriage, Load};
use offhook_net::Clock;
use offhook_sip::Transport;
use offhook_units::{Span, Tick};
use serde::Serialize;

use self::account::{Account, LAST_WORDS_MS, Run, account};
use self::faults::{Disk, Fault, InForce, Watch, begin};
use self::house::{House, Setting};
use crate::phone::{entropy, stop_signals};

/// Exit status of a run in which something is not accounted for.
const UNACCOUNTED: u8 = 3;
/// How long an agent's phone rings, and the longest wait.
const RING_FOR: Span = Span::from_s(5);
const MAX_WAIT: Span = Span::from_s(60);
/// A call that lost its caller in a cut ends when its BYE comes again (RFC 3261: 64 T1), or with the exchange.
const QUIET_WITHIN: Duration = Duration::from_secs(35);
/// Of the time that a fault has, so much it lasts at most; the rest is for coming back.
const FAULT_SHARE: u32 = 2;

/// What `offhook bench chaos` is asked for.
#[derive(Debug, Args)]
#[command(after_help = "\
An exchange is started with a folder of its own; callers at 127.0.0.2 call its only queue, which records, and phones at 127.0.0.3 answer. The faults
come one after the other, evenly over the time in which calls are begun. Afterwards each call's caller is held against its record, each visit of the
queue against its end (O = A + B + F + waiting, counted from the event log), and recordings against log and files. Exits with 3 where anything is missing.

A full disk needs root, for a small file system of its own, and another clock needs libfaketime; without, they are left out and said so. What an exchange may lose by
kill -9 are the last milliseconds of its log: calls that were answered then are told apart from missing ones.

Examples:
  offhook bench chaos
  offhook bench chaos --for 5m --rate 10/s --json
  offhook bench chaos --faults kill,store --for 40s --keep /tmp/chaos")]
pub struct ChaosArgs {
    /// Calls begun: 5/s, 300/min.
    #[arg(long, value_name = "RATE", default_value = "4/s")]
    rate: Rates,
    /// For how long calls are begun.
    #[arg(long = "for", value_name = "SPAN", default_value = "2m")]
    lasting: Lasting,
    /// How long a call lasts after its answer.
    #[arg(long, value_name = "SPAN[..SPAN]", default_value = "5s..15s")]
    hold: Spread,
    /// Agents.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    agents: u32,
    /// What goes wrong, in this order. Default: everything.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FAULT,..")]
    faults: Vec<Fault>,
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

/// A fault as it was.
#[derive(Debug, Serialize)]
struct Happened {
    #[serde(skip)]
    at: Tick,
    fault: &'static str,
    /// Seconds after the begin of the run.
    at_s: f64,
    /// How long, in seconds.
    lasted_s: f64,
    /// Calls that were up when it began, as the exchange counts.
    calls_up: u64,
}

/// What a run came to.
#[derive(Debug, Serialize)]
struct Chaos {
    /// Whether everything is accounted for.
    holds: bool,
    faults: Vec<Happened>,
    /// Faults that could not be made, and why.
    left_out: Vec<String>,
    calls_started: u64,
    calls_answered: u64,
    calls_completed: u64,
    /// Calls that the exchange ended itself after waiting for their callers.
    calls_left_over: u64,
    account: Account,
}

/// Runs the bench.
pub fn run(args: &ChaosArgs) -> Result<ExitCode> {
    if let Some(keep) = &args.keep {
        ensure!(!keep.exists(), "{} exists: give --keep a new folder", keep.display());
    }
    let folder = tempfile::Builder::new().prefix("offhook-chaos-").tempdir().context("a folder for the exchange")?;
    let mut wanted = if args.faults.is_empty() { Fault::ALL.to_vec() } else { args.faults.clone() };
    let (disk, mut left_out) =
        (wanted.contains(&Fault::Disk).then(|| Disk::mount(&folder.path().join("data"))), Vec::new());
    if let Some(Err(why)) = &disk {
        left_out.push(format!("{}: {why:#}", Fault::Disk.words()));
        wanted.retain(|fault| *fault != Fault::Disk);
    }
    let watch = wanted.contains(&Fault::Clock).then(|| Watch::new(folder.path().join("clock")));
    let watch = match watch.transpose() {
        Ok(watch) => watch,
        Err(why) => {
            left_out.push(format!("{}: {why:#}", Fault::Clock.words()));
            wanted.retain(|fault| *fault != Fault::Clock);
            None
        }
    };
    let setting = Setting { agents: args.agents, ring_for: RING_FOR, max_wait: MAX_WAIT, sip_more: "", watch };
    let mut house = House::start(folder.path(), setting, entropy()?)?;
    let stop = stop_signals()?;
    let clock = Clock::start(None);
    let began = clock.now();
    let (report, faults) = under_load(args, &wanted, &mut house, &stop, &clock)?;
    say(args, "waiting for the last calls to end");
    let calls_left_over = house.quiet_within(QUIET_WITHIN)?;
    house.stop()?;
    let kills = faults.iter().filter(|fault| fault.fault == Fault::Kill.words()).map(|fault| fault.at).collect();
    let run = Run { outcomes: &report.outcomes, kills, lasted: clock.now().since(began) };
    let account = account(&house.data(), &run)?;
    if let Some(keep) = &args.keep {
        copy(folder.path(), keep)?;
    }
    let calls = report.calls.unwrap_or_default();
    let chaos = Chaos {
        holds: account.holds(),
        faults,
        left_out,
        calls_started: calls.started,
        calls_answered: calls.answered,
        calls_completed: calls.completed,
        calls_left_over,
        account,
    };
    if args.json {
        crate::phone::print_line(&chaos);
    } else {
        print!("{}", table(&chaos));
    }
    drop(disk);
    Ok(if chaos.holds { ExitCode::SUCCESS } else { ExitCode::from(UNACCOUNTED) })
}

fn say(args: &ChaosArgs, what: &str) {
    if !args.quiet {
        eprintln!("offhook: {what}");
    }
}

/// Calls on one thread, faults on this one.
fn under_load(
    args: &ChaosArgs,
    wanted: &[Fault],
    house: &mut House,
    stop: &Receiver<()>,
    clock: &Clock,
) -> Result<(Report, Vec<Happened>)> {
    let wire = Arc::new(Wire::default());
    let load = load(args, house, Arc::clone(&wire))?;
    let (end, ended) = bounded(1);
    let chance = entropy()?;
    let calling = std::thread::Builder::new().name("chaos-load".into());
    let calling = calling.spawn(move || offhook_loadgen::run(&load, &ended, chance, |_| {})).context("a thread")?;
    let begin = Instant::now();
    let slot = args.lasting.0.as_std() / u32::try_from(wanted.len().max(1)).unwrap_or(1);
    let mut happened = Vec::new();
    for fault in wanted {
        // A fault has the second half of its time; the exchange came back from the one before in the first.
        if stop.recv_timeout(slot / 4) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        house.must_run()?;
        let (since, calls_up) = (Instant::now(), house.calls()?);
        say(args, &format!("{:>4} s: {} ({calls_up} calls up)", begin.elapsed().as_secs(), fault.words()));
        let at = clock.now();
        let force = begin_and_wait(*fault, &wire, house, stop, slot)?;
        drop(force);
        let at_s = since.duration_since(begin).as_secs_f64();
        happened.push(Happened { fault: fault.words(), at_s, lasted_s: since.elapsed().as_secs_f64(), calls_up, at });
        let rest = slot.saturating_sub(slot / 4).saturating_sub(since.elapsed());
        if stop.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
    // Calls that are up end by themselves; whoever stopped this is not kept waiting for them.
    if stop.try_recv().is_ok() {
        // Where it has ended by itself there is nobody to be told.
        let _over = end.send(());
    }
    let report = calling.join().map_err(|_| anyhow::anyhow!("the load generator panicked"))??;
    Ok((report, happened))
}

fn begin_and_wait<'a>(
    fault: Fault,
    wire: &'a Wire,
    house: &mut House,
    stop: &Receiver<()>,
    slot: Duration,
) -> Result<InForce<'a>> {
    let force = begin(fault, wire, house)?;
    let lasts = fault.lasts().min(slot / FAULT_SHARE);
    // Whoever stops the bench also ends the fault.
    let _stopped = stop.recv_timeout(lasts);
    Ok(force)
}

fn load(args: &ChaosArgs, house: &House, wire: Arc<Wire>) -> Result<Load> {
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
        pattern: Pattern::Poisson(args.rate.clone()),
        concurrent: 10_000,
        hold: Some(args.hold),
        patience: Some("20s..90s".parse().map_err(anyhow::Error::msg)?),
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
        answer_after: "500ms..2s".parse().map_err(anyhow::Error::msg)?,
        decline_per_mille: 20,
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
        lasting: Some(args.lasting.0),
        server_pid: house.pid(),
        wire,
        keeps_outcomes: true,
    })
}

/// A folder with all that is in it.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target).with_context(|| target.display().to_string())?;
        }
    }
    Ok(())
}

fn table(chaos: &Chaos) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail, here and below.
    let Chaos { account, .. } = chaos;
    let _ = writeln!(
        out,
        "calls    {} begun by callers, {} answered, {} ended as planned; the exchange took {} on, and has {} records",
        chaos.calls_started, chaos.calls_answered, chaos.calls_completed, account.calls_begun, account.records
    );
    for Happened { fault, at_s, lasted_s, calls_up, .. } in &chaos.faults {
        let _ = writeln!(out, "fault    {at_s:>6.1} s, for {lasted_s:.1} s: {fault}; {calls_up} calls were up");
    }
    for why in &chaos.left_out {
        let _ = writeln!(out, "left out {why}");
    }
    for account::Ends { caller, record, calls } in &account.ends {
        let record = record.as_deref().unwrap_or("no record");
        let _ = writeln!(out, "         {calls:>6} x {caller} / {record}");
    }
    let visits = &account.visits;
    let _ = writeln!(
        out,
        "visits   O = A + B + F + waiting: {} = {} + {} + {} + {}{}",
        visits.offered,
        visits.answered,
        visits.abandoned,
        visits.flowed_out,
        visits.waiting,
        if visits.add_up() { "" } else { " DOES NOT ADD UP" }
    );
    let recordings = &account.recordings;
    let gaps: Vec<String> = recordings.gaps_s.iter().map(|(why, s)| format!("{why} {s:.1} s")).collect();
    let _ = writeln!(
        out,
        "speech   {} recordings: {:.1} of {:.1} s recorded, gaps: {}; {} faults",
        recordings.count,
        recordings.seconds_covered,
        recordings.seconds_expected,
        if gaps.is_empty() { "none".to_owned() } else { gaps.join(", ") },
        recordings.faults.len()
    );
    if account.last_words > 0 {
        let _ = writeln!(
            out,
            "         of {} calls it is not remembered what came {LAST_WORDS_MS} ms or less before it was killed",
            account.last_words
        );
    }
    if chaos.calls_left_over > 0 {
        let _ = writeln!(out, "         {} calls were ended with the exchange", chaos.calls_left_over);
    }
    for what in account.unaccounted.iter().chain(&recordings.faults) {
        let _ = writeln!(out, "MISSING  {what}");
    }
    let verdict = if chaos.holds {
        "every call, visit and recording is accounted for"
    } else {
        "NOT EVERYTHING IS ACCOUNTED FOR"
    };
    let _ = writeln!(out, "{verdict}");
    out
}
