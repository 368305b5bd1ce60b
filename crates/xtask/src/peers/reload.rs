//! The configuration is taken in again five times while sipp calls: agents and queues come, change their names and go, and no call is lost. Their
//! recordings, sealed, leave for an S3 server by others, and each has a copy.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::exchange::Exchange;
use super::sipp::{Sipp, loopback};
use crate::children::{self, Running, wait_for};
use crate::{http, python};

/// Calls: five a second, for twelve seconds at least with eight agents.
const CALLS: usize = 40;
const RATE: usize = 5;
/// How long each talk lasts.
const HOLD: Duration = Duration::from_secs(3);
/// So many calls are over, or in a talk, before the configuration is changed again.
const BETWEEN: usize = 6;

/// Where the S3 server listens.
const S3: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 28_381);

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

/// Where recordings go: with their keys in the data folder, and copies made as they are closed.
fn keeping(bench: &Bench) -> Result<String> {
    let (keys, credentials) = (bench.folder.join("recording.key"), bench.folder.join("s3.credentials"));
    let made = Command::new(&bench.offhook).args(["recording", "new-key"]).arg(&keys).output().context("offhook")?;
    ensure!(made.status.success(), "new-key: {}", String::from_utf8_lossy(&made.stderr));
    std::fs::write(&credentials, "aws_access_key_id = ours\naws_secret_access_key = geheim\n")?;
    std::fs::set_permissions(&credentials, PermissionsExt::from_mode(0o600))?;
    let (keys, credentials) = (keys.display(), credentials.display());
    Ok(format!(
        "\n[recording]\nkey_file = \"{keys}\"\n\n[recording.store]\nurl = \"http://{S3}\"\nbucket = \"recordings\"\n\
         credentials_file = \"{credentials}\"\nkeep_local = \"0d\"\n\n[recording.copies]\nwhen = \"at-once\"\nformat = \"flac\"\n\
         cpu = \"50%\"\nin_clear = true\n"
    ))
}

/// An S3 server by others, with the bucket of these recordings.
fn store(bench: &Bench) -> Result<Running> {
    children::tcp_must_be_free(S3, "the S3 server")?;
    let mut command = Command::new(python::environment("s3", "moto.server", &python::S3)?);
    command.args(["-m", "moto.server", "-H", &S3.ip().to_string(), "-p", &S3.port().to_string()]);
    let mut running = Running::start("the S3 server", &mut command, &bench.folder.join("s3.log"))?;
    wait_for("the S3 server", Duration::from_mins(1), || {
        running.must_run()?;
        Ok(http::ask(S3, "PUT", "/recordings", None).is_ok_and(|(status, _)| status == 200).then_some(()))
    })?;
    Ok(running)
}

/// Each recording is in the store and nowhere else, agrees with the event log, and has a copy that is its export. Gives their bytes.
fn kept(desk: &Desk<'_>, exchange: &mut Exchange, records: &[Value]) -> Result<u64> {
    let folder = desk.data.join("recordings");
    let figure = |metrics: &str, name: &str| {
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
        value.with_context(|| format!("no {name} in /metrics"))
    };
    wait_for("every recording in the store and copied", Duration::from_mins(1), || {
        exchange.running.must_run()?;
        let (_, metrics) = http::ask(exchange.http, "GET", "/metrics", None)?;
        let names = ["recordings_stored", "recordings_unspooled", "recording_copies"];
        let all = names.map(|name| figure(&metrics, &format!("offhook_{name}_total")));
        let all = all.into_iter().collect::<Result<Vec<f64>>>()?;
        Ok(all.iter().all(|count| (*count - CALLS as f64).abs() < 0.5).then_some(()))
    })?;
    let audit: Value = serde_json::from_slice(&desk.offhook(&["recording", "verify", "--json", "--fetch"])?.stdout)?;
    ensure!(audit["faults"] == serde_json::json!([]) && audit["recordings"] == CALLS, "{audit}");
    let mut bytes = 0;
    for (at, record) in records.iter().enumerate() {
        let (path, id) = (exchange.recording_of(record)?, record["recording"]["id"].as_str().context("an id")?);
        ensure!(!path.exists() && path.extension().is_some_and(|end| end == "sealed"), "{} is there", path.display());
        let copy = folder.join("copies").join(path.strip_prefix(&folder)?).with_extension("flac");
        let copy = std::fs::read(&copy).with_context(|| copy.display().to_string())?;
        bytes += copy.len() as u64;
        // One is fetched from the store and opened to be held against its copy.
        if at == 0 {
            let (out, keys) = (desk.bench.folder.join("out.flac"), desk.bench.folder.join("recording.key"));
            let words = ["recording", "export", id, "--out", &out.display().to_string(), "--key-file"];
            let said = desk.offhook(&[&words[..], &[&keys.display().to_string()]].concat())?;
            ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
            ensure!(std::fs::read(&out)? == copy, "the copy of {id} is not its export");
        }
    }
    Ok(bytes)
}

fn desk<'a>(bench: &'a Bench, data: &Path) -> Result<Desk<'a>> {
    let source = crate::root().join("fixtures/peers/reload.toml");
    let first = std::fs::read_to_string(&source).with_context(|| source.display().to_string())?;
    let first = first.replace("../../config/prompts", &crate::root().join("config/prompts").display().to_string());
    let first = first + &keeping(bench)?;
    let file = bench.folder.join("exchange.toml");
    std::fs::write(&file, &first)?;
    Ok(Desk { bench, file, data: data.into(), first })
}

/// See the module.
pub fn run(bench: &Bench) -> Result<String> {
    let data = bench.folder.join("data");
    let (desk, mut store) = (desk(bench, &data)?, store(bench)?);
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
    let bytes = kept(&desk, &mut exchange, &records)?;
    exchange.stop()?;
    store.kill()?;
    Ok(format!(
        "{CALLS} calls over four other configurations and one that was refused, none lost; {most} agents at most; their recordings in an S3 server, with copies of {} kB",
        bytes / 1_000
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
