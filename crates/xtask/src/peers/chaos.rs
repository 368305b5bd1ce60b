//! Faults under load: the bench that starts an exchange, breaks what it stands on, and accounts for every call.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Bench;
use crate::children::Running;

/// What a run of a minute may take on a busy machine.
const WITHIN: Duration = Duration::from_mins(3);
/// The faults that it is to outlive without a loss.
const FAULTS: u64 = 7;

pub fn run(bench: &Bench) -> Result<String> {
    let mut command = Command::new(&bench.offhook);
    // A disk is filled where this is root, as it is where peers are tested.
    command.args(["bench", "chaos", "--json", "--quiet", "--for", "35s", "--rate", "4/s", "--hold", "2s..6s"]);
    command.arg("--keep").arg(bench.folder.join("exchange"));
    let log = bench.folder.join("chaos.log");
    let (mut running, lines) = Running::start_reading("offhook bench", &mut command, &log)?;
    let status = running.wait(WITHIN)?;
    let report = lines.iter().last().with_context(|| {
        let said = std::fs::read_to_string(log.with_extension("err")).unwrap_or_default();
        format!("no report: {}", said.trim_end())
    })?;
    let report: Value = serde_json::from_str(&report)?;
    ensure!(status.success() && report["holds"] == true, "offhook bench ended with {status}: {report}");
    let number = |path: &str| report.pointer(path).and_then(Value::as_u64).with_context(|| format!("no {path}"));
    let listed = |path: &str| report[path].as_array().map_or(0, Vec::len) as u64;
    let (faults, left_out) = (listed("faults"), listed("left_out"));
    ensure!(faults + left_out == FAULTS && left_out <= 1, "{faults} faults happened: {report}");
    let (calls, answered) = (number("/calls_started")?, number("/account/visits/answered")?);
    // Poisson with a mean of 140.
    ensure!(calls >= 80 && answered >= calls / 4, "{calls} calls, of which agents answered {answered}: {report}");
    let (offered, records) = (number("/account/visits/offered")?, number("/account/records")?);
    ensure!(records <= calls && offered <= records && number("/account/recordings/count")? > 0, "{report}");
    let left: Vec<&str> = report["left_out"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let left = if left.is_empty() { String::new() } else { format!("; left out: {}", left.join(", ")) };
    Ok(format!(
        "{calls} calls through {faults} faults: {records} records, {offered} visits of which {answered} answered; all accounted for{left}"
    ))
}
