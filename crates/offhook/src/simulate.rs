//! `offhook simulate`: a day on the floor on a virtual clock, with the distributor that the exchange runs.

#![expect(clippy::disallowed_methods, reason = "the command line measures how long the day took")]

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use offhook_acd::{Event, QuantileFigures};
use offhook_sim::floor::{Floor, FloorPlan, Outcome};
use offhook_units::Tick;

/// The first line of a log begins with this word and its version.
pub const LOG_WORD: &str = "offhook-acd-log 1";
/// Longest event in a log.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// What `offhook simulate` is asked for.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Decides about all chance: the same seed is the same day, on every machine.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long the day is.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=8_784))]
    hours: u64,
    /// So many contacts arrive.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(0..=100_000_000))]
    contacts: u64,
    /// Agents in all shifts together; enough for most contacts where none is given.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    agents: Option<u64>,
    /// Write the distributor's events here, for `offhook replay`.
    #[arg(long)]
    log: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Runs the day.
pub fn run(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let plan = FloorPlan::usual(args.seed, args.hours, args.contacts, args.agents);
    let mut floor = Floor::new(plan).context("the plan of the floor")?;
    let mut log = args.log.as_deref().map(|path| LogWriter::create(path, args.seed)).transpose()?;
    let mut failed = None;
    let mut progress = Progress::new();
    loop {
        let more = floor.minute(&mut |at, event| {
            if let Some(log) = log.as_mut().filter(|_| failed.is_none()) {
                failed = log.append(at, event).err();
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        progress.show(floor.per_mille());
        if !more {
            break;
        }
    }
    progress.clear();
    if let Some(log) = log {
        log.finish()?;
    }
    let outcome = floor.outcome();
    print(&outcome, began.elapsed(), args.json);
    for broken in floor.told() {
        eprintln!("offhook: broken: {broken}");
    }
    Ok(if outcome.invariants_broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints what a day came to.
pub fn print(outcome: &Outcome, took: Duration, json: bool) {
    let Outcome { offered, answered, abandoned, flowed_out, waiting, forecasts, invariants_broken, state_hash } =
        *outcome;
    let wall_s = (took.as_secs_f64() * 1_000.0).round() / 1_000.0;
    // A number of 64 bits does not survive every JSON reader; sixteen hexadecimal digits do.
    let state_hash = format!("{state_hash:016x}");
    if json {
        let object = serde_json::json!({
            "wall_s": wall_s, "offered": offered, "answered": answered, "abandoned": abandoned, "flowed_out": flowed_out,
            "waiting": waiting, "forecasts": forecasts.made, "forecast_p50": scored(&forecasts.p50),
            "forecast_p80": scored(&forecasts.p80), "invariants_broken": invariants_broken, "state_hash": state_hash,
        });
        println!("{object}");
        return;
    }
    let part = |count: u64| if offered == 0 { 0.0 } else { count as f64 * 100.0 / offered as f64 };
    println!("offered            {offered:>12}");
    println!("answered           {answered:>12}  {:>6.2} %", part(answered));
    println!("abandoned          {abandoned:>12}  {:>6.2} %", part(abandoned));
    println!("flowed out         {flowed_out:>12}  {:>6.2} %", part(flowed_out));
    println!("waiting            {waiting:>12}");
    println!("forecasts          {:>12}", forecasts.made);
    for (name, quantile) in [("p50", forecasts.p50), ("p80", forecasts.p80)] {
        if let (Some(coverage), Some(loss)) = (quantile.coverage(), quantile.mean_loss()) {
            let (coverage, loss_s) = (f64::from(coverage) / 100.0, loss.as_us() as f64 / 1e6);
            println!("  within {name}                    {coverage:>6.2} %  loss {loss_s:.1} s");
        }
    }
    println!("invariants broken  {invariants_broken:>12}");
    println!("state hash         {state_hash}");
    println!("took               {wall_s:>12.3} s");
}

/// One quantile of the forecasts for programs.
fn scored(quantile: &QuantileFigures) -> serde_json::Value {
    serde_json::json!({
        "within": quantile.within, "beyond": quantile.beyond,
        "coverage_percent": quantile.coverage().map(|hundredths| f64::from(hundredths) / 100.0),
        "mean_loss_s": quantile.mean_loss().map(|loss| loss.as_us() as f64 / 1e6),
    })
}

/// Events as they happen: a line that says what this is and the seed, then each event's length (4 bytes, little-endian) and the event in postcard.
struct LogWriter {
    file: BufWriter<File>,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl LogWriter {
    fn create(path: &Path, seed: u64) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
        let mut log = Self { file: BufWriter::with_capacity(1 << 18, file), path: path.to_owned(), bytes: Vec::new() };
        writeln!(log.file, "{LOG_WORD} seed {seed}").with_context(|| log.failed())?;
        Ok(log)
    }

    fn failed(&self) -> String {
        format!("{} cannot be written", self.path.display())
    }

    fn append(&mut self, at: Tick, event: &Event) -> anyhow::Result<()> {
        self.bytes.clear();
        self.bytes = postcard::to_extend(&(at, event), core::mem::take(&mut self.bytes)).context("an event")?;
        let length = u32::try_from(self.bytes.len()).context("an event is too long")?;
        let written = self.file.write_all(&length.to_le_bytes()).and_then(|()| self.file.write_all(&self.bytes));
        written.with_context(|| self.failed())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.file.flush().with_context(|| format!("{} cannot be written", self.path.display()))
    }
}

/// A bar on a terminal; nothing elsewhere.
pub struct Progress {
    shown: Option<u64>,
    on: bool,
}

impl Progress {
    /// Not shown yet.
    pub fn new() -> Self {
        Self { shown: None, on: std::io::stderr().is_terminal() }
    }

    /// Draws the bar where it has grown.
    pub fn show(&mut self, per_mille: u64) {
        let full = per_mille.min(1_000) / 20;
        if !self.on || self.shown == Some(per_mille / 10) {
            return;
        }
        self.shown = Some(per_mille / 10);
        let bar: String = (0..50).map(|at| if at < full { '#' } else { '.' }).collect();
        eprint!("\r[{bar}] {:>3} %", per_mille / 10);
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if self.shown.is_some() {
            eprint!("\r{:60}\r", "");
        }
    }
}
