//! The exchange under test: the release build, started with a configuration and asked over its API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::children::{self, Running, wait_for};
use crate::http;

/// From start to the first healthy answer.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// A running exchange.
#[derive(Debug)]
pub struct Exchange {
    /// Its process.
    pub running: Running,
    /// Where it takes SIP.
    pub sip: SocketAddr,
    /// Where it takes HTTP.
    pub http: SocketAddr,
    /// Its data folder.
    pub data: PathBuf,
    /// From start to health.
    pub up_in: Duration,
}

impl Exchange {
    /// Starts it with `config` (below the workspace) and waits until it is well. Logs to `log`.
    pub fn start(offhook: &Path, config: &str, data: &Path, log: &Path) -> Result<Self> {
        Self::start_where(offhook, config, data, log, |http| {
            http::ask(http, "GET", "/healthz", None).is_ok_and(|(status, _)| status == 200)
        })
    }

    /// As [`Self::start`], where its page is asked by `healthy` whether it is well.
    pub fn start_where(
        offhook: &Path,
        config: &str,
        data: &Path,
        log: &Path,
        healthy: impl Fn(SocketAddr) -> bool,
    ) -> Result<Self> {
        let config = crate::root().join(config);
        let (sip, http) = addresses(&config)?;
        children::must_be_free(sip, "the exchange")?;
        children::tcp_must_be_free(http, "the exchange's page")?;
        let begin = Instant::now();
        let mut command = Command::new(offhook);
        command.arg("serve").arg("--config").arg(&config).arg("--data").arg(data);
        let mut running = Running::start("the exchange", &mut command, log)?;
        wait_for("the exchange's health", UP_WITHIN, || {
            running.must_run()?;
            Ok(healthy(http).then_some(()))
        })
        .with_context(|| format!("the exchange's log ends:\n{}", children::tail(log, 15)))?;
        Ok(Self { running, sip, http, data: data.into(), up_in: begin.elapsed() })
    }

    /// Its agents now.
    pub fn agents(&self) -> Result<Vec<Value>> {
        http::rows(self.http, "/api/v1/agents")
    }

    /// Agents in a state.
    pub fn agents_in(&self, state: &str) -> Result<usize> {
        Ok(self.agents()?.iter().filter(|a| a["state"] == state).count())
    }

    /// Its calls now.
    pub fn calls(&self) -> Result<Vec<Value>> {
        http::rows(self.http, "/api/v1/calls")
    }

    /// Calls in a state.
    pub fn calls_in(&self, state: &str) -> Result<usize> {
        Ok(self.calls()?.iter().filter(|c| c["state"] == state).count())
    }

    /// Its newest call records.
    pub fn records(&self) -> Result<Vec<Value>> {
        http::rows(self.http, "/api/v1/records?limit=500")
    }

    /// Waits until so many agents are available.
    pub fn wait_available(&mut self, agents: usize, within: Duration) -> Result<()> {
        wait_for(&format!("{agents} available agents"), within, || {
            self.running.must_run()?;
            Ok((self.agents_in("available")? >= agents).then_some(()))
        })
    }

    /// Waits until so many calls are in a state.
    pub fn wait_calls(&mut self, state: &str, calls: usize, within: Duration) -> Result<()> {
        wait_for(&format!("{calls} calls {state}"), within, || {
            self.running.must_run()?;
            Ok((self.calls_in(state)? >= calls).then_some(()))
        })
    }

    /// Waits until no call is up, and then for the records of `calls` calls.
    pub fn wait_records(&mut self, calls: usize, within: Duration) -> Result<Vec<Value>> {
        wait_for(&format!("{calls} call records"), within, || {
            self.running.must_run()?;
            if !self.calls()?.is_empty() {
                return Ok(None);
            }
            let records = self.records()?;
            let closed = records.iter().all(|r| r["recording"].is_null() || r["recording"]["sha256"].is_string());
            Ok((records.len() >= calls && closed).then_some(records))
        })
    }

    /// The file of a record's recording.
    pub fn recording_of(&self, record: &Value) -> Result<PathBuf> {
        let path = record["recording"]["path"].as_str().with_context(|| format!("no recording in {record}"))?;
        Ok(self.data.join("recordings").join(path))
    }

    /// The manifest's line of a record's recording.
    pub fn manifest_of(&self, record: &Value) -> Result<Value> {
        let wanted = &record["recording"]["id"];
        let file = self.data.join("recordings/manifest.jsonl");
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| same_id(&line["id"], wanted)).with_context(|| format!("no manifest line for {wanted}"))
    }

    /// Ends it in good order.
    pub fn stop(&mut self) -> Result<()> {
        ensure!(self.running.stop()?, "the exchange did not end on SIGTERM within its time");
        Ok(())
    }
}

/// The API writes ids as `r-1f`, the manifest may write them as numbers.
fn same_id(manifest: &Value, api: &Value) -> bool {
    let number = api.as_str().and_then(|id| u64::from_str_radix(id.trim_start_matches("r-"), 16).ok());
    manifest == api || (number.is_some() && manifest.as_u64() == number)
}

/// The first SIP and the HTTP listener of a configuration.
pub fn addresses(config: &Path) -> Result<(SocketAddr, SocketAddr)> {
    let text = std::fs::read_to_string(config).with_context(|| config.display().to_string())?;
    let table: toml::Table = text.parse().with_context(|| config.display().to_string())?;
    let sip = table.get("sip").and_then(|s| s.get("listen")).and_then(|l| l.as_str().or_else(|| l.get(0)?.as_str()));
    let http = table.get("http").and_then(|h| h.get("listen")).and_then(toml::Value::as_str);
    let sip = sip.and_then(|s| s.split_once(':')).context("[sip] listen")?.1;
    Ok((sip.parse().context("[sip] listen")?, http.context("[http] listen")?.parse().context("[http] listen")?))
}
