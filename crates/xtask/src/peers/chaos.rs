//! Faults under load: the bench that starts an exchange, breaks what it stands on, and accounts for every call.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Bench;
use crate::children::Running;

/// What a run of half a minute may take on a busy machine.
const WITHIN: Duration = Duration::from_mins(3);
/// The faults that it is to outlive without a loss.
const FAULTS: usize = 4;

pub fn run(bench: &Bench) -> Result<String> {
    let mut command = Command::new(&bench.offhook);
    command.args(["bench", "chaos", "--json", "--quiet", "--for", "20s", "--rate", "4/s", "--hold", "2s..6s"]);
    // A full disk takes recordings, and SIGKILL may take a call that was answered some milliseconds before: both are told, and no loss to be expected here.
    command.args(["--faults", "loss,trunk,phones,store"]);
    command.arg("--keep").arg(bench.folder.join("exchange"));
    let log = bench.folder.join("chaos.log");
    let (mut running, lines) = Running::start_reading("offhook bench", &mut command, &log)?;
    let status = running.wait(WITHIN)?;
    let report = lines.iter().last().with_context(|| format!("no report; see {}", log.display()))?;
    let report: Value = serde_json::from_str(&report)?;
    ensure!(status.success() && report["holds"] == true, "offhook bench ended with {status}: {report}");
    let number = |path: &str| report.pointer(path).and_then(Value::as_u64).with_context(|| format!("no {path}"));
    let faults = report["faults"].as_array().map_or(0, Vec::len);
    ensure!(faults == FAULTS, "{faults} faults happened: {report}");
    let (calls, answered) = (number("/calls_started")?, number("/account/visits/answered")?);
    // Poisson with a mean of 80.
    ensure!(calls >= 40 && answered >= calls / 4, "{calls} calls, of which agents answered {answered}: {report}");
    let (offered, records) = (number("/account/visits/offered")?, number("/account/records")?);
    ensure!(records <= calls && offered <= records && number("/account/recordings/count")? > 0, "{report}");
    Ok(format!(
        "{calls} calls through {faults} faults: {records} records, {offered} visits of which {answered} answered; all accounted for"
    ))
}
