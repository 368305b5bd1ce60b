//! One step after another: a line when it begins, its time when it ends; when it fails what its failed tests said, or its log's tail.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::children::{self, Running};

/// Lines of a failed step's log that are shown.
const TAIL_LINES: usize = 60;
/// Lines shown of what each failed test said, from its end.
const SAID_LINES: usize = 20;

/// How a line begins that tells of a test that failed at first: it is shown where its step passed.
pub const UNSTEADY: &str = "unsteady: ";

/// A program to run as one step.
pub struct Step {
    /// What it does, in a few words.
    pub name: &'static str,
    /// What is run.
    pub command: Command,
    /// When it is ended by force.
    pub within: Duration,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed; at least one where the step itself failed.
    pub failed: usize,
}

/// The line that ends every report.
pub fn summary(passed: usize, failed: usize) -> String {
    format!("{passed} passed, {failed} failed")
}

/// A step that has begun.
pub struct Begun {
    name: &'static str,
    running: Running,
    since: Instant,
    within: Duration,
    log: PathBuf,
}

/// Starts a step with its output in `folder/NAME.log`; it goes on until [`end`] is asked, or until this is dropped.
pub fn begin(mut step: Step, folder: &Path) -> Result<Begun> {
    let log = folder.join(format!("{}.log", step.name.replace([' ', '/'], "-")));
    let running = Running::start(step.name, &mut step.command, &log)?;
    Ok(Begun { name: step.name, running, since: Instant::now(), within: step.within, log })
}

/// Runs one step with its output in `folder/NAME.log`.
pub fn run(number: usize, of: usize, step: Step, folder: &Path) -> Result<Outcome> {
    end(number, of, begin(step, folder)?)
}

/// Waits for the end of a step and tells how it went; its time is counted from its beginning.
pub fn end(number: usize, of: usize, begun: Begun) -> Result<Outcome> {
    let Begun { name, mut running, since, within, log } = begun;
    print!("[{number}/{of}] {name:<34}");
    std::io::stdout().flush()?;
    let ended = running.wait(within);
    let took = since.elapsed().as_secs_f64();
    let outcome = count(&std::fs::read_to_string(&log).unwrap_or_default());
    match ended {
        Ok(status) if status.success() && outcome.failed == 0 => {
            let tests = if outcome.passed == 0 { String::new() } else { format!(", {} tests", outcome.passed) };
            println!("ok, {took:.1} s{tests}");
            let told = std::fs::read_to_string(&log).unwrap_or_default();
            told.lines().filter(|line| line.starts_with(UNSTEADY)).for_each(|line| println!("      {line}"));
            Ok(outcome)
        }
        ended => {
            let why = match ended {
                Ok(status) => status.to_string(),
                Err(error) => format!("{error:#}"),
            };
            running.kill()?;
            println!("FAILED, {took:.1} s: {why}");
            let said = failures(&std::fs::read_to_string(&log).unwrap_or_default());
            let shown = if said.is_empty() { children::tail(&log, TAIL_LINES) } else { said.join("\n") };
            println!("{shown}\n(whole log: {})", log.display());
            Ok(Outcome { passed: outcome.passed, failed: outcome.failed.max(1) })
        }
    }
}

/// What each failed test of a `cargo test` log said, under its name.
fn failures(log: &str) -> Vec<String> {
    let mut said: Vec<Vec<&str>> = Vec::new();
    let mut inside = false;
    for line in log.lines() {
        if line.starts_with("---- ") && line.ends_with(" ----") {
            said.push(vec![]);
            inside = true;
        } else if line == "failures:" || line.starts_with("test result: ") {
            inside = false;
        }
        if inside && let Some(last) = said.last_mut() {
            last.push(line);
        }
    }
    let shown = |lines: &Vec<&str>| {
        let end = &lines[lines.len().saturating_sub(SAID_LINES).max(1)..];
        [&lines[..1], end].concat().join("\n")
    };
    said.iter().map(shown).collect()
}

/// The words that choose the failed targets of a `cargo test` log in another, as `--test media`; none where cargo named none, and
/// where documentation failed, which cannot be chosen beside others.
pub fn failed_targets(log: &str) -> Vec<String> {
    let Some((_, named)) = log.rsplit_once(" failed:\n") else { return vec![] };
    let targets = named.lines().map_while(|line| line.strip_prefix("    `-p ")?.strip_suffix('`')?.split_once(' '));
    let chosen: BTreeSet<&str> = targets.map(|(_, target)| target).collect();
    if chosen.contains("--doc") {
        return vec![];
    }
    chosen.iter().flat_map(|target| target.split(' ')).map(String::from).collect()
}

/// Adds up the results that `cargo test` and this program print.
pub fn count(log: &str) -> Outcome {
    let mut sum = Outcome::default();
    for line in log.lines() {
        let counted =
            line.strip_prefix("test result: ").map_or(line, |rest| rest.split_once(". ").map_or("", |(_, c)| c));
        let mut words = counted.split([' ', ',', ';']).filter(|w| !w.is_empty());
        let (a, b, c, d) = (words.next(), words.next(), words.next(), words.next());
        if let (Some(passed), Some("passed"), Some(failed), Some("failed")) = (a, b, c, d)
            && let (Ok(passed), Ok(failed)) = (passed.parse::<usize>(), failed.parse::<usize>())
        {
            sum.passed += passed;
            sum.failed += failed;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_cargo_test_and_of_our_own_add_up() {
        let log = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured\n\
                   test result: FAILED. 1 passed; 2 failed; 0 ignored\n5 passed, 1 failed\n7 passed the gate\n";
        assert_eq!(count(log), Outcome { passed: 9, failed: 3 });
    }

    #[test]
    fn a_failed_log_tells_what_the_tests_said_and_which_targets_they_are_of() {
        let log = "running 2 tests\ntest a ... ok\n\nfailures:\n\n---- b::c stdout ----\nthread panicked:\nno answer\n\n\n\
                   failures:\n    b::c\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored\n\nerror: 3 targets failed:\n    \
                   `-p offhook-net --test media`\n    `-p offhook-sip --lib`\n    `-p offhook-net --lib`\n";
        assert_eq!(failures(log), ["---- b::c stdout ----\nthread panicked:\nno answer\n\n"]);
        assert_eq!(failed_targets(log), ["--lib", "--test", "media"]);
        assert!(failures("error: could not compile\n").is_empty());
        assert!(failed_targets("error: 1 target failed:\n    `-p offhook-acd --doc`\n").is_empty());
        assert!(failed_targets("error: could not compile\n").is_empty());
    }

    #[test]
    fn a_step_beyond_its_time_fails_and_is_ended() {
        let folder = std::env::temp_dir().join(format!("offhook-steps-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let mut command = Command::new("sleep");
        command.arg("60");
        let step = Step { name: "a sleep", command, within: Duration::from_millis(100) };
        assert_eq!(run(1, 1, step, &folder).expect("the step is run"), Outcome { passed: 0, failed: 1 });
        std::fs::remove_dir_all(&folder).expect("the folder can be removed");
    }
}
