//! A call's SIP messages as they can be seen: the API's ladder with an attempt that failed, its capture file in tshark, and
//! what sngrep makes of the messages that go to Homer.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::crash::Echo;
use super::exchange::Exchange;
use super::sipp::{Over, Sipp};
use crate::children::{Running, wait_for};
use crate::{apt, http};

/// Where sngrep stands in for Homer, as fixtures/peers/seeing.toml says.
const HOMER: &str = "127.0.5.9:29060";
const LISTENING_WITHIN: Duration = Duration::from_secs(5);
const SEEN_WITHIN: Duration = Duration::from_secs(10);

pub fn run(bench: &Bench) -> Result<String> {
    apt::must_have("tshark")?;
    let homer = Homer::start(&bench.folder)?;
    let mut exchange = Exchange::start(
        &bench.offhook,
        "fixtures/peers/seeing.toml",
        &bench.folder.join("data"),
        &bench.folder.join("exchange.log"),
    )?;
    let id = call(bench, &mut exchange)?;
    let ladder = http::get(exchange.http, &format!("/api/v1/calls/{id}/ladder"))?;
    std::fs::write(bench.folder.join("ladder.json"), ladder.to_string())?;
    let drawn = check_ladder(&ladder)?;
    let file = bench.folder.join("call.pcap");
    std::fs::write(&file, http::file(exchange.http, &format!("/api/v1/calls/{id}/pcap"))?)?;
    let dissected = dissect(&file)?;
    ensure!(dissected == drawn, "tshark reads {dissected:#?}\nthe ladder says {drawn:#?}");
    let dialogs = drawn.iter().map(|(_, _, call_id)| call_id).collect::<BTreeSet<_>>().len();
    homer.wait_dialogs(dialogs)?;
    let metrics = http::ask(exchange.http, "GET", "/metrics", None)?.1;
    let sent = metric(&metrics, "offhook_hep_sent_total")?;
    ensure!(metric(&metrics, "offhook_hep_dropped_total")? == 0, "messages for Homer were dropped");
    ensure!(sent >= drawn.len() as u64, "{sent} messages went to Homer");
    exchange.stop()?;
    Ok(format!(
        "{} messages of {dialogs} dialogs in ladder and tshark, UDP and TCP; {sent} sent by HEP, {dialogs} dialogs in sngrep",
        drawn.len()
    ))
}

/// One call: the first agent's phone is not there, the second one takes it over TCP. Gives its id.
fn call(bench: &Bench, exchange: &mut Exchange) -> Result<String> {
    let agent = Sipp {
        scenario: "agent",
        local: "127.0.5.3:25066".parse()?,
        remote: None,
        media: 48_400,
        service: "",
        calls: 1,
        rate: 1,
        hold: Duration::ZERO,
    };
    let caller = Sipp {
        scenario: "caller",
        local: "127.0.5.2:25061".parse()?,
        remote: Some(exchange.sip),
        media: 48_600,
        service: "500",
        hold: Duration::from_secs(1),
        ..agent.clone()
    };
    let _echo = Echo::start(agent.media_of(1))?;
    let mut answering = agent.start_over(Over::Tcp, &bench.folder)?;
    let mut calling = caller.start(&bench.folder)?;
    for (who, running) in [("caller", &mut calling), ("agent", &mut answering)] {
        let status = running.wait(Duration::from_secs(20))?;
        ensure!(status.success(), "the {who}'s sipp ended with {status}");
    }
    let records = exchange.wait_records(1, SEEN_WITHIN)?;
    Ok(records[0]["id"].as_str().context("a record's id")?.to_owned())
}

/// Transport, first word or status, and Call-ID of each message.
type Said = (String, String, String);

/// The ladder holds the caller, the attempt that failed and the agent, each message whole. Gives what it says.
fn check_ladder(ladder: &Value) -> Result<Vec<Said>> {
    let legs = ladder["legs"].as_array().context("legs")?;
    let names: Vec<&str> = legs.iter().filter_map(Value::as_str).collect();
    ensure!(names == ["trunk sipp", "agent Gone", "agent Here"], "the legs are {names:?}");
    ensure!(ladder["cut"] == false, "nothing is missing");
    let messages = ladder["messages"].as_array().context("messages")?;
    let mut said = Vec::new();
    for message in messages {
        let field = |name: &str| message[name].as_str().with_context(|| format!("{name} in {message}"));
        let first_line = field("first_line")?;
        let mut words = first_line.split(' ');
        let word = if first_line.starts_with("SIP/2.0 ") { words.nth(1) } else { words.next() };
        let call_id = field("text")?.lines().find_map(|line| line.strip_prefix("Call-ID:")).context("a Call-ID")?;
        said.push((field("transport")?.to_owned(), word.unwrap_or_default().to_owned(), call_id.trim().to_owned()));
    }
    let of = |leg: u64, transport: &str, word: &str| {
        let places = messages.iter().zip(&said);
        places.filter(|(m, s)| m["leg"] == leg && s.0 == transport && s.1 == word).count()
    };
    ensure!(
        of(0, "UDP", "INVITE") == 1 && of(0, "UDP", "200") == 2 && of(0, "UDP", "BYE") == 1,
        "the caller: {said:?}"
    );
    ensure!(of(1, "UDP", "INVITE") >= 1 && of(1, "UDP", "200") == 0, "the attempt that failed: {said:?}");
    ensure!(of(2, "TCP", "INVITE") == 1 && of(2, "TCP", "200") == 2 && of(2, "TCP", "ACK") == 1, "the agent: {said:?}");
    Ok(said)
}

/// What tshark reads in a capture file.
fn dissect(file: &Path) -> Result<Vec<Said>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(["-Y", "sip", "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]);
    command.args(["-T", "fields", "-E", "separator=|"]);
    for field in ["ip.proto", "sip.Method", "sip.Status-Code", "sip.Call-ID"] {
        command.args(["-e", field]);
    }
    let output = command.output().context("tshark")?;
    ensure!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .map(|line| {
            let fields: Vec<&str> = line.split('|').collect();
            let &[protocol, method, status, call_id] = &fields[..] else { anyhow::bail!("tshark says {line:?}") };
            let transport = if protocol == "6" { "TCP" } else { "UDP" };
            Ok((transport.to_owned(), format!("{method}{status}"), call_id.to_owned()))
        })
        .collect()
}

/// The value of a metric without labels, or with those of its line.
pub fn metric(metrics: &str, name: &str) -> Result<u64> {
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    Ok(value.with_context(|| format!("the metric {name}"))? as u64)
}

/// sngrep without a screen, listening for HEP alone: the file that it is given to read is empty.
struct Homer {
    running: Running,
}

impl Homer {
    fn start(folder: &Path) -> Result<Self> {
        apt::must_have("sngrep")?;
        let empty = folder.join("empty.pcap");
        let words = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101];
        std::fs::write(&empty, words.map(u32::to_le_bytes).concat())?;
        let mut command = Command::new("sngrep");
        command.env("TERM", "dumb").args(["-N", "-F", "-I"]).arg(&empty).args(["-L", &format!("udp:{HOMER}")]);
        let mut running = Running::start("sngrep", &mut command, &folder.join("sngrep.log"))?;
        wait_for("sngrep to listen", LISTENING_WITHIN, || {
            running.must_run()?;
            Ok(std::net::UdpSocket::bind(HOMER).is_err().then_some(()))
        })?;
        Ok(Self { running })
    }

    /// Waits until it has understood so many dialogs.
    fn wait_dialogs(&self, dialogs: usize) -> Result<()> {
        let counted = || {
            let log = self.running.tail(1);
            log.rsplit("Dialog count:").next().and_then(|count| count.trim().parse::<usize>().ok())
        };
        wait_for("sngrep to understand all dialogs", SEEN_WITHIN, || Ok((counted() == Some(dialogs)).then_some(())))
            .with_context(|| format!("sngrep counts {:?} dialogs, not {dialogs}", counted()))
    }
}
