//! Two tests at a time, where each can have a network of its own: most of their time is real calls that take as long as they take.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use super::{Test, nat, run_twice};
use crate::{apt, children};

/// They load the machine, or measure how it keeps up: nothing else runs beside them.
const ALONE: [&str; 10] =
    ["readme", "instruments", "audio-loop", "browser", "rebinding", "relay", "trunk", "overload", "moving", "bench"];
/// Their programs want an interface that is more than the loopback, which a network of one's own has not; or are fetched by it.
const HERE: [&str; 8] = ["linphone", "linphone-transfer", "srtp", "watching", "nat", "api", "desk", "page"];

/// Runs tests, two at a time where that can be; how many passed and failed.
pub fn run(chosen: &[&Test], offhook: &Path) -> Result<(usize, usize)> {
    let together = chosen.len() > 1 && may_be_apart()?;
    let goes = |test: &&Test, names: &[&str]| names.contains(&test.name);
    let (alone, rest): (Vec<&Test>, Vec<&Test>) =
        chosen.iter().copied().partition(|test| !together || goes(test, &ALONE));
    let mut passed = 0;
    for test in alone {
        passed += usize::from(run_twice(test, offhook)?);
    }
    let (here, apart): (Vec<&Test>, Vec<&Test>) = rest.into_iter().partition(|test| goes(test, &HERE));
    let waiting = Mutex::new(VecDeque::from(apart));
    passed += std::thread::scope(|scope| {
        let beside = scope.spawn(|| empty(&waiting));
        let mut passed = 0;
        for test in here {
            passed += usize::from(run_twice(test, offhook)?);
        }
        passed += empty(&waiting)?;
        let beside = beside.join().map_err(|_| anyhow::anyhow!("the other lane panicked"))?;
        Ok::<_, anyhow::Error>(passed + beside?)
    })?;
    Ok((passed, chosen.len() - passed))
}

/// Runs what waits, each test by this program in a network of its own; how many passed.
fn empty(waiting: &Mutex<VecDeque<&Test>>) -> Result<usize> {
    let mut passed = 0;
    while !children::interrupted() {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(test) = next else { break };
        passed += usize::from(run_apart(test)?);
    }
    Ok(passed)
}

fn run_apart(test: &Test) -> Result<bool> {
    let mut command = nat::apart(true);
    command.args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]);
    let output = command.arg(std::env::current_exe()?).args(["peers", test.name]).output().context("unshare")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // Its last line counts this one test.
    let lines: Vec<&str> = text.lines().collect();
    println!("{}", lines[..lines.len().saturating_sub(1)].join("\n"));
    if !output.stderr.is_empty() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.status.success())
}

/// Whether a network of one's own is to be had: for root, where the machine lets it.
fn may_be_apart() -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    for program in ["unshare", "ip"] {
        apt::must_have(program)?;
    }
    let tried = nat::apart(true).arg("true").output().context("unshare")?;
    Ok(tried.status.success())
}
