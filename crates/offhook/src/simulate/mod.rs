//! `offhook simulate`: days on the floor on a virtual clock, with the distributor that the exchange runs; one, or variants beside each other.

#![expect(clippy::disallowed_methods, reason = "the command line measures how long the day took")]

mod base;
mod log;
mod print;
#[cfg(test)]
mod tests;

use core::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Args;
use offhook_acd::Event;
use offhook_sim::floor::{Axis, Day, Floor, FloorPlan, Heading, Overlay, page, product};
use offhook_units::{Span, Tick};

pub use log::LogReader;
pub use print::{Progress, print};

use crate::check::count;
use base::{Base, People, PerQueue, moment, per_queue};
use log::LogWriter;
use print::Comparison;

/// What `offhook simulate` is asked for.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  offhook simulate --seed 1 --hours 24 --contacts 100000
      a day of four queues with people who decline, overlook calls and take breaks
  offhook simulate --config config/offhook.toml --arrivals forecast.csv --talk 4m --patience 2m
      your own queues and agents, and the contacts that your forecast expects
  offhook simulate --config config/offhook.toml --arrivals monday.csv --compare agents=40,45,50 --seeds 20
      the same customers with 40, 45 and 50 agents, and how much of the difference is chance
  offhook simulate --compare strategy=longest-idle,skills-best --compare sales.max_wait=60s,none --report days.html
      each strategy with each limit, as a page with plots

--arrivals takes a table with a header:
  time,queue[,talk_s][,patience_s][,skills][,priority]   one line a contact; skills such as french|claims:3
  interval,queue,contacts[,aht_s]                        one line a queue and interval, as planning tools export
time and interval are seconds or 08:30 from the beginning of the day, or RFC 3339 such as 2026-11-30T08:00:00Z. aht_s has the
wrap-up in it; the number of contacts is a mean, so that each seed has others. It takes a log of --log and the data folder of an
exchange too: the same contacts, talked to for as long as then; who had given up does so as soon, who had not waits at least as
long. --from and --until choose a day of it.

Exit status: 0 where no invariant was found broken.")]
pub struct SimulateArgs {
    /// Decides about all chance: the same seed is the same day, on every machine.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long the day is: 24, or an hour more than the contacts of --arrivals take.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=8_784))]
    hours: Option<u64>,
    /// So many contacts arrive: 10,000 where nothing is said, in the same number to each queue of --config.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=100_000_000), conflicts_with = "arrivals")]
    contacts: Option<u64>,
    /// Contacts from a table (CSV), from a log, or from the data folder of an exchange, which may be running.
    #[arg(long, value_name = "FILE")]
    arrivals: Option<PathBuf>,
    /// Only contacts of a log that entered at this time or later.
    #[arg(long, value_name = "RFC3339", value_parser = moment, requires = "arrivals")]
    from: Option<Tick>,
    /// Only contacts of a log that entered before this time.
    #[arg(long, value_name = "RFC3339", value_parser = moment, requires = "arrivals")]
    until: Option<Tick>,
    /// The floor of this configuration: its queues with strategies, skills, rings, tiers, wrap-up and limits, its agents and loans.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Agents in all shifts together; enough for most contacts where none is given, or those of --config.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    agents: Option<u64>,
    /// Mean length of conversations, of all queues or of some: 4m,sales=150s. With --config 180s where nothing is said.
    #[arg(long, value_name = "[QUEUE=]SPAN", value_delimiter = ',', value_parser = per_queue)]
    talk: Vec<PerQueue>,
    /// How long customers wait on the mean before they give up: 2m,sales=none. With --config 300s where nothing is said.
    #[arg(long, value_name = "[QUEUE=]SPAN", value_delimiter = ',', value_parser = per_queue)]
    patience: Vec<PerQueue>,
    /// How long a shift is; agents take turns in as many as the day needs. 0s: everybody stays all day, as with --config; otherwise 8h.
    #[arg(long, value_name = "SPAN", value_parser = offhook_loadgen::arrivals::span)]
    shift: Option<Span>,
    /// How agents behave.
    #[arg(long, value_enum, default_value_t = People::Usual)]
    people: People,
    /// Runs each value, with the same customers: strategy, agents, wrap_up, max_wait, ring_for, max_waiting, or one of a queue such as
    /// sales.strategy; as-is leaves it. Given again, each combination is run.
    #[arg(long, value_name = "KEY=VALUE,...")]
    compare: Vec<String>,
    /// Runs so many seeds, from --seed on, and tells means with 95 % intervals.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Write the distributor's events here, for `offhook replay`.
    #[arg(long, conflicts_with_all = ["compare", "seeds"])]
    log: Option<PathBuf>,
    /// Write a page with plots here: waiting contacts, service level and occupancy by time, waits, forecasts; the variants over each other.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

impl SimulateArgs {
    /// When contacts of a log have to have entered.
    fn within(&self) -> Range<Tick> {
        self.from.unwrap_or(Tick::ZERO)..self.until.unwrap_or(Tick::from_us(u64::MAX))
    }
}

/// Runs the days.
pub fn run(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let base = Base::new(args)?;
    let axes: Result<Vec<Axis>, String> = args.compare.iter().map(|text| Axis::read(text, base.plan())).collect();
    let axes = axes.map_err(|what| anyhow::anyhow!("--compare {what}"))?;
    if axes.is_empty() && args.seeds == 1 { one(args, &base) } else { several(args, &base, &axes) }
}

/// One day.
fn one(args: &SimulateArgs, base: &Base) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let mut log = args.log.as_deref().map(|path| LogWriter::create(path, args.seed)).transpose()?;
    let mut progress = Progress::new();
    let (day, told) = pass(base.plan().clone(), &mut |per_mille| progress.show(per_mille, ""), &mut |at, event| {
        log.as_mut().map_or(Ok(()), |log| log.append(at, event))
    })?;
    progress.clear();
    log.map_or(Ok(()), LogWriter::finish)?;
    report(args, base, &[Overlay { name: "", days: core::slice::from_ref(&day) }])?;
    print(&day.outcome, Some(&day), began.elapsed(), args.json);
    Ok(verdict(day.outcome.invariants_broken, &told))
}

/// Each variant by each seed.
fn several(args: &SimulateArgs, base: &Base, axes: &[Axis]) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let variants = product(axes).map_err(|what| anyhow::anyhow!("--compare: {what}"))?;
    let of = variants.len() as u64 * args.seeds;
    let mut progress = Progress::new();
    let (mut compared, mut told) = (Comparison { seed: args.seed, variants: Vec::new() }, Vec::new());
    for variant in &variants {
        let mut days = Vec::new();
        for seed in 0..args.seeds {
            let run = compared.variants.len() as u64 * args.seeds + seed;
            let what = format!("day {} of {of}", run + 1);
            let plan = base.varied(args.seed.wrapping_add(seed), variant);
            let mut show = |per_mille: u64| progress.show((run * 1_000 + per_mille) / of, &what);
            let (day, broken) = pass(plan, &mut show, &mut |_, _| Ok(()))?;
            told.extend(broken);
            if let Some((_, first)) = compared.variants.first() {
                let same = first
                    .get(days.len())
                    .is_some_and(|first: &Day| first.outcome.callers_hash == day.outcome.callers_hash);
                ensure!(
                    same,
                    "{} had other customers than the first variant: this is a fault of the program",
                    variant.name
                );
            }
            days.push(day);
        }
        compared.variants.push((variant.name.clone(), days));
    }
    progress.clear();
    let overlays = compared.variants.iter().map(|(name, days)| Overlay { name, days }).collect::<Vec<_>>();
    report(args, base, &overlays)?;
    if args.json {
        println!("{}", compared.json(began.elapsed()));
    } else {
        println!("{}", compared.table(began.elapsed()));
    }
    Ok(verdict(told.len() as u64, &told))
}

/// Lets a day pass; what is left is what it was like, and which invariants broke.
fn pass(
    plan: FloorPlan,
    show: &mut dyn FnMut(u64),
    log: &mut dyn FnMut(Tick, &Event) -> anyhow::Result<()>,
) -> anyhow::Result<(Day, Vec<String>)> {
    let mut floor = Floor::new(plan).context("the plan of the floor")?;
    let mut failed = Ok(());
    loop {
        let more = floor.minute(&mut |at, event| {
            if failed.is_ok() {
                failed = log(at, event);
            }
        });
        core::mem::replace(&mut failed, Ok(()))?;
        show(floor.per_mille());
        if !more {
            return Ok((floor.day(), floor.told().to_vec()));
        }
    }
}

/// The page, where one is asked for.
fn report(args: &SimulateArgs, base: &Base, variants: &[Overlay<'_>]) -> anyhow::Result<()> {
    let Some(file) = &args.report else { return Ok(()) };
    let plan = base.plan();
    let hours = plan.lasts.as_us() / 3_600_000_000;
    let contacts = args.arrivals.as_ref().map_or_else(
        || format!("{} contacts", plan.contacts),
        |arrivals| format!("{} contacts expected by {}", plan.contacts, arrivals.display()),
    );
    let of = args.config.as_ref().map_or_else(|| "the usual floor".to_owned(), |config| config.display().to_string());
    let what = format!("{hours} h, {contacts}, on {of} with {}", count(plan.agents.len(), "agent"));
    let heading = Heading { what: &what, seed: args.seed, begins: plan.begins };
    std::fs::write(file, page(&heading, variants)).with_context(|| format!("{} cannot be written", file.display()))
}

fn verdict(invariants_broken: u64, told: &[String]) -> ExitCode {
    for broken in told {
        eprintln!("offhook: broken: {broken}");
    }
    if invariants_broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
