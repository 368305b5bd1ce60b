//! The configuration is taken in again five times while sipp calls: agents and queues come, change their names and go, and no call is lost.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::exchange::Exchange;
use super::sipp::{Sipp, loopback};
use crate::children::wait_for;

/// Calls: five a second, for twelve seconds at least with eight agents.
const CALLS: usize = 40;
const RATE: usize = 5;
/// How long each talk lasts.
const HOLD: Duration = Duration::from_secs(3);
/// So many calls are over, or in a talk, before the configuration is changed again.
const BETWEEN: usize = 6;

/// The exchange's file, and the program that has it taken in.
struct Desk<'a> {
    bench: &'a Bench,
    file: PathBuf,
    data: PathBuf,
    first: String,
}

impl Desk<'_> {
    fn offhook(&self, words: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.bench.offhook);
        command.args(words).arg("--config").arg(&self.file).arg("--data").arg(&self.data);
        command.output().context("offhook")
    }

    /// Writes the first file with these changes, and has it taken in. Gives what the program says.
    fn change(&self, changes: &[(&str, &str)]) -> Result<Value> {
        let mut text = self.first.clone();
        for (old, new) in changes {
            ensure!(text.contains(old), "{old:?} is not in the configuration");
            text = text.replace(old, new);
        }
        std::fs::write(&self.file, text)?;
        let output = self.offhook(&["reload", "--json"])?;
        let said = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&said).with_context(|| format!("{said}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

fn desk<'a>(bench: &'a Bench, data: &Path) -> Result<Desk<'a>> {
    let source = crate::root().join("fixtures/peers/reload.toml");
    let first = std::fs::read_to_string(&source).with_context(|| source.display().to_string())?;
    let first = first.replace("../../config/prompts", &crate::root().join("config/prompts").display().to_string());
    let file = bench.folder.join("exchange.toml");
    std::fs::write(&file, &first)?;
    Ok(Desk { bench, file, data: data.into(), first })
}

/// See the module.
pub fn run(bench: &Bench) -> Result<String> {
    let data = bench.folder.join("data");
    let desk = desk(bench, &data)?;
    let file = desk.file.display().to_string();
    let mut exchange = Exchange::start(&bench.offhook, &file, &data, &bench.folder.join("exchange.log"))?;
    let (agents, callers) = sipps(&exchange);
    let mut phones = agents.start(&bench.folder)?;
    exchange.wait_available(8, Duration::from_secs(10))?;
    let mut calling = callers.start(&bench.folder)?;

    // Each step follows calls that were taken since the one before, so that there are talks and waiting callers in each.
    let mut taken = 0;
    let mut next = |exchange: &mut Exchange| {
        taken += BETWEEN;
        wait_for(&format!("{taken} calls that were taken"), Duration::from_secs(30), || {
            exchange.running.must_run()?;
            let talking = exchange.calls_in("talking")?;
            Ok((talking > 0 && exchange.records()?.len() + talking >= taken).then_some(()))
        })
    };
    let another = (
        "[[agent]]",
        "[[queue]]\nname = \"sales\"\n\n[[agent]]\nname = \"ann\"\nqueues = [\"sales\"]\ncontact = \"sip:ann@127.0.0.3:25361\"\n\n[[agent]]",
    );
    let fewer = ("to = 8", "to = 4");
    let renamed = ("\"support\"", "\"service\"");
    let wrong = ("queue = \"support\"", "queue = \"suport\"");
    let steps: [(&[(&str, &str)], bool); 5] =
        [(&[another], true), (&[fewer], true), (&[renamed], true), (&[wrong], false), (&[], true)];
    let mut most = 0;
    for (changes, good) in steps {
        next(&mut exchange)?;
        let before = exchange.calls()?.len();
        let said = desk.change(changes)?;
        ensure!(said["taken"] == good, "{changes:?}: {said}");
        most = most.max(exchange.agents()?.len());
        ensure!(before > 0, "no call was up at {changes:?}");
    }
    let status = wait_for("the end of the calls", Duration::from_mins(1), || {
        exchange.running.must_run()?;
        phones.must_run()?;
        calling.ended()
    })?;
    ensure!(status.success(), "sipp ended with {status}: not every call went as it should");
    let records = exchange.wait_records(CALLS, Duration::from_secs(10))?;
    let ended = |how: &str| records.iter().filter(|record| record["end"] == how).count();
    ensure!(
        ended("caller-hung-up") == CALLS,
        "{} of {CALLS} calls ended by their callers: {records:?}",
        ended("caller-hung-up")
    );
    exchange.wait_available(8, Duration::from_secs(10))?;
    ensure!(exchange.agents()?.len() == 8, "{:?}", exchange.agents()?);
    let versions: Value = serde_json::from_slice(&desk.offhook(&["config", "versions", "--json"])?.stdout)?;
    let versions = versions.as_array().map_or(0, Vec::len);
    ensure!(versions == 5, "{versions} versions of the five that were in force");
    exchange.stop()?;
    Ok(format!(
        "{CALLS} calls over four other configurations and one that was refused, none lost; {most} agents at most"
    ))
}

fn sipps(exchange: &Exchange) -> (Sipp<'static>, Sipp<'static>) {
    let agents = Sipp {
        scenario: "agent",
        local: loopback(3, 25_361),
        remote: None,
        media: 36_000,
        service: "",
        calls: CALLS * 2,
        rate: 0,
        hold: Duration::ZERO,
    };
    let callers = Sipp {
        scenario: "caller",
        local: loopback(2, 25_362),
        remote: Some(exchange.sip),
        media: 37_000,
        service: "700",
        calls: CALLS,
        rate: RATE,
        hold: HOLD,
    };
    (agents, callers)
}
