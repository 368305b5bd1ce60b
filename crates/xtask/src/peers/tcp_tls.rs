//! Queue calls over every transport but the usual one: TCP, and both families of IPv6, with sipp; TLS with baresip, whose
//! call outlives a change of certificates; and UDP past a phone whose port is closed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::agents::{Account, Agent, Payloads, Place};
use super::crash::Echo;
use super::exchange::Exchange;
use super::line::{FRAME, Heard, joined, longest_run};
use super::sipp::{Lines, Over, Sipp};
use crate::children::wait_for;
use crate::g711;
use crate::speech::{Speech, instant_us};

/// Calls of each leg, one for each agent.
const CALLS: usize = 5;
/// How long a caller of sipp holds: 150 frames.
const HOLD: Duration = Duration::from_secs(3);
/// The least of them that have to come back unbroken.
const FRAMES_MIN: usize = 120;
/// The same for a call of baresip.
const TLS_FRAMES_MIN: usize = 150;

/// Where TLS is taken: the certificate of fixtures/tls names this address.
const SECURE: &str = "127.0.0.1:25461";

struct Leg {
    name: &'static str,
    over: Over,
    caller: &'static str,
    exchange: &'static str,
    agents: &'static str,
    number: &'static str,
    media: u16,
    calls: usize,
}

const LEGS: [Leg; 3] = [
    Leg {
        name: "tcp",
        over: Over::Tcp,
        caller: "127.0.4.2:25061",
        exchange: "127.0.4.1:25060",
        agents: "127.0.4.3:25066",
        number: "301",
        media: 46_000,
        calls: CALLS,
    },
    Leg {
        name: "udp6",
        over: Over::Udp,
        caller: "[::1]:25061",
        exchange: "[::1]:25060",
        agents: "[::1]:25066",
        number: "302",
        media: 46_200,
        calls: CALLS,
    },
    Leg {
        name: "tcp6",
        over: Over::Tcp,
        caller: "[::1]:25062",
        exchange: "[::1]:25060",
        agents: "[::1]:25067",
        number: "303",
        media: 46_400,
        calls: CALLS,
    },
];

pub fn run(bench: &Bench) -> Result<String> {
    let speech = Speech::open()?;
    let certificates = bench.folder.join("certificates");
    let config = configuration(bench, &certificates)?;
    let mut exchange = Exchange::start(
        &bench.offhook,
        &config.display().to_string(),
        &bench.folder.join("data"),
        &bench.folder.join("exchange.log"),
    )?;
    let codes = g711::encode_all(&speech.samples[..speech.samples.len() / FRAME * FRAME]);
    let mut said = Vec::new();
    for leg in &LEGS {
        let echoed = leg.call(bench, &mut exchange, &codes).with_context(|| format!("over {}", leg.name))?;
        said.push(format!("{CALLS} calls over {} with {echoed} frames echoed", leg.name));
    }
    said.push(closed_port(bench, &mut exchange, &codes).context("past a closed port")?);
    said.push(over_tls(bench, &mut exchange, &speech, &certificates).context("over TLS")?);
    exchange.stop()?;
    Ok(said.join("; "))
}

/// The configuration with a folder of certificates of its own, so that they can be changed.
fn configuration(bench: &Bench, certificates: &std::path::Path) -> Result<PathBuf> {
    let fixtures = crate::root().join("fixtures");
    std::fs::create_dir_all(certificates)?;
    for name in ["exchange.pem", "exchange.key", "authority.pem"] {
        std::fs::copy(fixtures.join("tls").join(name), certificates.join(name))?;
    }
    let text = std::fs::read_to_string(fixtures.join("peers/transports.toml"))?
        .replace("../tls/", &format!("{}/", certificates.display()))
        .replace("../../config/prompts", &crate::root().join("config/prompts").display().to_string());
    let file = bench.folder.join("exchange.toml");
    std::fs::write(&file, text)?;
    Ok(file)
}

/// To a queue whose first agent's port is closed.
const GONE: Leg = Leg {
    name: "gone",
    over: Over::Udp,
    caller: "127.0.4.2:25063",
    exchange: "127.0.4.1:25060",
    agents: "127.0.4.3:25068",
    number: "305",
    media: 46_600,
    calls: 1,
};
/// How soon the second agent's answer follows the call: far below any timer of SIP.
const PASSED_ON_WITHIN_MS: u64 = 400;

/// A phone that was switched off does not keep the caller waiting.
fn closed_port(bench: &Bench, exchange: &mut Exchange, codes: &[u8]) -> Result<String> {
    GONE.call(bench, exchange, codes)?;
    let records = exchange.wait_records(LEGS.len() * CALLS + 1, Duration::from_secs(10))?;
    let record = records.iter().find(|record| record["number"] == GONE.number).context("no record of the call")?;
    ensure!(record["agent"]["name"] == "Here", "it was answered by {}", record["agent"]["name"]);
    let at = |what: &str| record[what].as_str().and_then(instant_us).with_context(|| format!("no {what}"));
    let took = (at("connected")? - at("started")?) / 1_000;
    ensure!(took <= PASSED_ON_WITHIN_MS, "the second agent was connected after {took} ms");
    Ok(format!("a call past a closed port in {took} ms"))
}

impl Leg {
    /// Makes the calls; gives the frames that came back.
    fn call(&self, bench: &Bench, exchange: &mut Exchange, codes: &[u8]) -> Result<usize> {
        let folder = bench.folder.join(self.name);
        std::fs::create_dir_all(&folder)?;
        let agents = Sipp {
            scenario: "agent",
            local: self.agents.parse()?,
            remote: None,
            media: self.media + 1_000,
            service: "",
            calls: self.calls,
            rate: 1,
            hold: Duration::ZERO,
        };
        let callers = Sipp {
            scenario: "caller",
            local: self.caller.parse()?,
            remote: Some(self.exchange.parse()?),
            media: self.media,
            service: self.number,
            calls: self.calls,
            rate: 5,
            hold: HOLD,
        };
        let _echo = Echo::start(agents.media_of(1))?;
        let mut answering = agents.start_over(self.over, &folder)?;
        let mut calling = callers.start_over(self.over, &folder)?;
        let mut lines = Lines::follow(&callers.log(&folder), codes.into(), None)?;
        let status = wait_for("the end of the calls", Duration::from_secs(20), || {
            exchange.running.must_run()?;
            lines.keep_up(&callers)?;
            calling.ended()
        })?;
        lines.keep_up(&callers)?;
        ensure!(status.success(), "the callers' sipp ended with {status}");
        let status = answering.wait(Duration::from_secs(10))?;
        ensure!(status.success(), "the agents' sipp ended with {status}");
        ensure!(lines.ended.len() == self.calls, "{} of {} calls were answered", lines.ended.len(), self.calls);
        let mut echoed = 0;
        for (number, heard) in &lines.ended {
            echoed += came_back(heard).with_context(|| format!("call {number}"))?;
        }
        Ok(echoed)
    }
}

/// Frames that a caller heard of its own, up to the last that came.
fn came_back(heard: &Heard) -> Result<usize> {
    let (sent, received) = (joined(&heard.sent), joined(&heard.received));
    let (first, run, _) = longest_run(&received, &sent).context("no echo was heard")?;
    let whole = received.len() / FRAME;
    ensure!(run >= FRAMES_MIN && first + run == whole, "of {whole} frames {run} were an echo, from {first} on");
    Ok(run)
}

fn over_tls(bench: &Bench, exchange: &mut Exchange, speech: &Speech, certificates: &std::path::Path) -> Result<String> {
    let server: SocketAddr = SECURE.parse()?;
    let account = |user, password| Account { server, user, password };
    let (first, second) = speech.samples.split_at(speech.samples.len() / 2);
    let place = |port, media| Place { address: SocketAddr::from(([127, 0, 0, 1], port)), media };
    let agent = account("phone02", "phone02-secret");
    let mut agent =
        Agent::baresip_over_tls(agent, place(25_302, 45_200), first, &bench.folder.join("tls-agent"), None)?;
    wait_for("the agent's registration over TLS", Duration::from_secs(10), || {
        agent.must_run()?;
        let agents = exchange.agents()?;
        Ok(agents.iter().any(|a| a["name"] == "Second" && a["state"] == "available").then_some(()))
    })?;
    let caller = account("phone04", "phone04-secret");
    let dial = format!("sip:304@{SECURE}");
    let mut caller =
        Agent::baresip_over_tls(caller, place(25_304, 45_220), second, &bench.folder.join("tls-caller"), Some(&dial))?;
    exchange.wait_calls("talking", 1, Duration::from_secs(10))?;

    // Renewed certificates are for those who come; those who are there talk on.
    let before = shown(server)?;
    for (from, to) in [("trunk.pem", "exchange.pem"), ("trunk.key", "exchange.key")] {
        std::fs::copy(crate::root().join("fixtures/tls").join(from), certificates.join(to))?;
    }
    exchange.running.read_again()?;
    let after = wait_for("the renewed certificate", Duration::from_secs(10), || {
        exchange.running.must_run()?;
        Ok(Some(shown(server)?).filter(|subject| *subject != before))
    })?;
    let begin = std::time::Instant::now();
    wait_for("four seconds of talk", Duration::from_secs(8), || {
        agent.must_run()?;
        caller.must_run()?;
        Ok((begin.elapsed() >= Duration::from_secs(4)).then_some(()))
    })?;
    ensure!(exchange.calls_in("talking")? == 1, "the call did not outlive the change of certificates");
    // BYE crosses the exchange over both connections.
    let caller = caller.finish()?;
    exchange.wait_records(LEGS.len() * CALLS + 2, Duration::from_secs(10))?;
    let agent = agent.finish()?;
    let to_agent = unbroken(&agent, &caller).context("from the caller to the agent")?;
    let to_caller = unbroken(&caller, &agent).context("from the agent to the caller")?;
    Ok(format!(
        "a call between two baresips over TLS with {to_agent} and {to_caller} frames, during which '{}' gave way to '{}'",
        before.trim(),
        after.trim()
    ))
}

/// Frames that `ear` heard of `mouth` without a break.
pub fn unbroken(ear: &Payloads, mouth: &Payloads) -> Result<usize> {
    let (_, run, _) = longest_run(&ear.received, &mouth.sent).context("nothing was heard")?;
    ensure!(run >= TLS_FRAMES_MIN, "only {run} frames in a row of {}", ear.received.len() / FRAME);
    Ok(run)
}

/// Whose certificate is shown to somebody who comes now.
fn shown(server: SocketAddr) -> Result<String> {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", &server.to_string()]).stdin(Stdio::null());
    let shaken = client.output().context("openssl s_client")?;
    let text = String::from_utf8_lossy(&shaken.stdout);
    let subject = text.lines().find(|line| line.starts_with("subject=")).context("no certificate was shown")?;
    Ok(subject.trim_start_matches("subject=").to_owned())
}
