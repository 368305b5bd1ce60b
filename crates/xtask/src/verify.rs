//! `cargo verify`: everything that checks the project, one step after the other.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use crate::steps::{self, Begun, Outcome, Step, UNSTEADY};
use crate::{apt, children, python};

/// The step whose failed targets are run once more; its log is named so too.
const TESTS: &str = "tests";

/// The step that begins together with the tests: most of their time they wait for a network or a deadline, and leave the machine to it.
const RELEASE: &str = "release build";

/// What to check.
#[derive(Debug, Args)]
pub struct Options {
    /// Use what is installed; install nothing.
    #[arg(long)]
    no_install: bool,
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(crate::root()).env("CARGO_TERM_COLOR", "never");
    command
}

/// What tests are told of programs by others that were installed for them: they must be there then.
type Others = Vec<(&'static str, OsString)>;

/// Decoders of exported recordings, and an S3 server from PyPI for the object store.
fn others() -> Result<Others> {
    let python = python::environment("s3", "moto.server", &python::S3)?;
    Ok(vec![("OFFHOOK_NEED_DECODERS", "1".into()), ("OFFHOOK_S3_PYTHON", python.into())])
}

/// The build that the real peers are tried with, behind everything else that wants the machine.
fn release() -> Step {
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(program()).args(["build", "--release", "--locked", "--package", "offhook"]);
    command.current_dir(crate::root()).env("CARGO_TERM_COLOR", "never");
    Step { name: RELEASE, command, within: Duration::from_mins(30) }
}

fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// All steps, in the order in which a fault is cheapest to find.
fn all(others: &Others) -> Vec<Step> {
    let step = |name, minutes: u64, arguments: &[&str]| Step {
        name,
        command: cargo(arguments),
        within: Duration::from_mins(minutes),
    };
    let tests = |mut step: Step| {
        step.command.envs(others.iter().cloned());
        step
    };
    let xtask = ["run", "--quiet", "--locked", "--package", "offhook-xtask", "--"];
    vec![
        step("format", 2, &["fmt", "--all", "--check", "--", "--color", "never"]),
        step("lints", 20, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
        step("build of the tests", 30, &["test", "--workspace", "--locked", "--no-run"]),
        tests(step(TESTS, 20, &["test", "--workspace", "--locked", "--no-fail-fast"])),
        step("law", 3, &[&xtask[..], &["law"]].concat()),
        release(),
        step("real peers", 25, &[&xtask[..], &["peers", "--except", "page"]].concat()),
        step("the page in a browser", 5, &[&xtask[..], &["peers", "page"]].concat()),
    ]
}

/// Runs all steps up to the first that fails; the last line printed says how many tests passed and failed.
pub fn run(options: &Options) -> Result<bool> {
    let begin = Instant::now();
    let mut others = Others::new();
    if !options.no_install {
        apt::install(&[&apt::BUILD[..], &apt::VERIFY].concat())?;
        others = self::others()?;
    }
    children::catch_interrupts()?;
    let folder = crate::target().join("verify");
    std::fs::create_dir_all(&folder)?;
    let sum = steps_in(&folder, &others)?;
    println!("{:.1} minutes; logs in {}", begin.elapsed().as_secs_f64() / 60.0, folder.display());
    println!("{}", steps::summary(sum.passed, sum.failed));
    Ok(sum.failed == 0)
}

fn steps_in(folder: &Path, others: &Others) -> Result<Outcome> {
    let steps = all(others);
    let of = steps.len();
    let mut sum = Outcome::default();
    let mut beside: Option<Begun> = None;
    for (at, step) in steps.into_iter().enumerate() {
        let number = at + 1;
        let is_tests = step.name == TESTS;
        if is_tests {
            beside = Some(steps::begin(release(), folder)?);
        }
        let outcome = match beside.take_if(|_| step.name == RELEASE) {
            Some(begun) => steps::end(number, of, begun)?,
            None => steps::run(number, of, step, folder)?,
        };
        // No other step is excused by what an earlier one left in its log.
        let again = is_tests && outcome.failed > 0 && !children::interrupted();
        let outcome = if again { once_more(number, of, outcome, folder, others)? } else { outcome };
        sum.passed += outcome.passed;
        sum.failed += outcome.failed;
        if outcome.failed > 0 {
            break;
        }
    }
    Ok(sum)
}

/// Runs test targets that failed a second time, by themselves: what passes then is reported as unsteady, above, with what it said.
/// A fault of the code fails both times; a machine that others made stand still for seconds does not fail the project.
fn once_more(number: usize, of: usize, first: Outcome, folder: &Path, others: &Others) -> Result<Outcome> {
    let log = folder.join(TESTS).with_extension("log");
    let targets = steps::failed_targets(&std::fs::read_to_string(log).unwrap_or_default());
    if targets.is_empty() {
        return Ok(first);
    }
    let mut command = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    command.args(&targets).envs(others.iter().cloned());
    let step = Step { name: "failed tests, once more", command, within: Duration::from_mins(10) };
    let second = steps::run(number, of, step, folder)?;
    if second.failed > 0 || second.passed == 0 {
        return Ok(first);
    }
    println!("      {UNSTEADY}{} failed above and passed by themselves ({})", first.failed, targets.join(" "));
    Ok(Outcome { passed: first.passed + first.failed, failed: 0 })
}
