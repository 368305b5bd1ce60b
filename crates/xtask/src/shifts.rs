//! Seeded shifts by the thousand: the distributor's against its reference model, and the whole exchange's on a virtual clock. `cargo verify` runs a few
//! hundred of each; this is for the night.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::{children, steps};

/// Lines that are shown of what a failed seed said, from its end.
const SAID_LINES: usize = 30;
/// How many failed seeds end a run.
const FAILED_MAX: usize = 10;
/// How often it is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// Which shifts, and how many.
#[derive(Debug, Args)]
pub struct Options {
    /// So many seeds of each.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Of these alone.
    #[arg(long, value_enum)]
    of: Option<Of>,
    /// At once; one for each core where nothing is said.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=256))]
    jobs: Option<u64>,
}

/// Whose shifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Of {
    /// The distributor alone.
    Distributor,
    /// The whole exchange.
    Exchange,
}

impl Of {
    /// The words that choose its test program, and those that choose its tests.
    fn tests(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Distributor => (&["-p", "offhook-acd", "--lib"], &["no_shift"]),
            Self::Exchange => (&["-p", "offhook-sim", "--test", "shifts"], &[]),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Distributor => "distributor",
            Self::Exchange => "exchange",
        }
    }
}

/// Runs them; the last line printed says how many shifts passed and failed.
pub fn run(options: &Options) -> Result<bool> {
    children::catch_interrupts()?;
    let (mut passed, mut failed) = (0, 0);
    for of in [Of::Distributor, Of::Exchange].into_iter().filter(|of| options.of.is_none_or(|only| only == *of)) {
        let program = build(of)?;
        let begin = Instant::now();
        let sum = shifts(options, of, &program)?;
        println!("{}: {} seeds in {:.0} s", of.name(), sum.passed + sum.failed, begin.elapsed().as_secs_f64());
        passed += sum.passed;
        failed += sum.failed;
    }
    println!("{}", steps::summary(passed, failed));
    if children::interrupted() {
        bail!("interrupted");
    }
    Ok(failed == 0)
}

/// The test program, built.
fn build(of: Of) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(crate::root())
        .args(["test", "--locked", "--no-run", "--message-format", "json"])
        .args(of.tests().0);
    let output = command.stderr(Stdio::inherit()).output().context("cargo test --no-run")?;
    if !output.status.success() {
        bail!("the tests of the {} do not build", of.name());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    program_in(&messages).with_context(|| format!("cargo names no test program of the {}", of.name()))
}

/// The test program that cargo's messages name.
fn program_in(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut programs = messages.filter(|message| message["profile"]["test"] == true);
    programs.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Each seed in a process of its own, so that a failed one is known by its number.
fn shifts(options: &Options, of: Of, program: &std::path::Path) -> Result<steps::Outcome> {
    let jobs =
        options.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), |jobs| jobs as usize);
    let next = AtomicU64::new(0);
    let sum: Mutex<(steps::Outcome, Instant)> = Mutex::new((steps::Outcome::default(), Instant::now()));
    let one = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= options.seeds || children::interrupted() {
                return Ok(());
            }
            let seed = options.from + number;
            let mut command = Command::new("nice");
            command.args(["-n", "19"]).arg(program).args(of.tests().1).args(["--test-threads", "1"]);
            let output = command.env("SEED", seed.to_string()).output().context("starting a test program")?;
            let said = String::from_utf8_lossy(&output.stdout);
            let counted = steps::count(&said);
            let mut sum = sum.lock().map_err(|_| anyhow::anyhow!("another thread panicked"))?;
            let (outcome, told) = &mut *sum;
            if output.status.success() && counted.passed > 0 {
                outcome.passed += 1;
            } else if !children::interrupted() {
                outcome.failed += 1;
                let lines: Vec<&str> = said.lines().collect();
                let tail = &lines[lines.len().saturating_sub(SAID_LINES)..];
                println!("SEED={seed} {} FAILED ({}):\n{}", of.name(), output.status, tail.join("\n"));
            }
            if outcome.failed >= FAILED_MAX {
                return Ok(());
            }
            if told.elapsed() >= TELL_EVERY {
                *told = Instant::now();
                println!(
                    "{}: {} of {} seeds, {} failed",
                    of.name(),
                    outcome.passed + outcome.failed,
                    options.seeds,
                    outcome.failed
                );
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(one)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    Ok(sum.into_inner().map_err(|_| anyhow::anyhow!("a thread panicked"))?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_program_is_found_among_cargos_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"profile\":{\"test\":false},\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"profile\":{\"test\":true},\"executable\":\"target/debug/deps/acd-1\"}\n\
                        {\"reason\":\"build-finished\",\"success\":true}\nno JSON\n";
        assert_eq!(program_in(messages), Some(PathBuf::from("target/debug/deps/acd-1")));
        assert_eq!(program_in(""), None);
    }
}
