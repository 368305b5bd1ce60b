//! TLS where both sides show a certificate, with encrypted speech: two baresips that have one call each other through the queue; one
//! that has none does not even get to show its password.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::agents::{Account, Agent, Place};
use super::exchange::Exchange;
use super::linphone::pause;
use super::tcp_tls::unbroken;
use crate::children::wait_for;
use crate::http;
use crate::speech::Speech;

/// Where TLS is taken: the certificate of fixtures/tls names this address.
const SECURE: &str = "127.0.0.1:25761";
/// How long the two talk.
const TALK: Duration = Duration::from_secs(4);
const SOON: Duration = Duration::from_secs(20);

pub fn run(bench: &Bench) -> Result<String> {
    let speech = Speech::open()?;
    let (first, second) = speech.samples.split_at(speech.samples.len() / 2);
    let file = |name: &str| bench.folder.join(name);
    let mut exchange =
        Exchange::start(&bench.offhook, "fixtures/peers/mutual.toml", &file("data"), &file("exchange.log"))?;
    let certificate = file("phone.pem");
    write_certificate(&certificate)?;
    let server: SocketAddr = SECURE.parse()?;
    let account = |user, password| Account { server, user, password };
    let place = |port, media| Place { address: SocketAddr::from(([127, 0, 0, 1], port)), media };
    let (ann, eve) = (account("ann", "ann-secret"), account("eve", "eve-secret"));

    // Whoever has the password and no certificate is turned away, again and again.
    let mut eve = Agent::baresip_encrypted(eve, place(25_320, 48_440), first, &file("eve"), None)?;
    let refused = wait_for("a phone without a certificate to be turned away", SOON, || {
        exchange.running.must_run()?;
        eve.must_run()?;
        Ok(Some(handshakes_failed(&exchange)?).filter(|failed| *failed > 0.0))
    })?;
    let mut ann = Agent::baresip_with_certificate(ann, place(25_300, 48_400), &certificate, first, &file("ann"), None)?;
    exchange.wait_available(1, SOON)?;
    ann.must_run()?;
    let dial = format!("sip:200@{SECURE}");
    let bob = account("bob", "bob-secret");
    let bob =
        Agent::baresip_with_certificate(bob, place(25_310, 48_420), &certificate, second, &file("bob"), Some(&dial))?;
    exchange.wait_calls("talking", 1, SOON)?;
    pause(TALK)?;
    let bob = bob.finish()?;
    let records = exchange.wait_records(1, SOON)?;
    let ann = ann.finish()?;
    let agents = exchange.agents()?;
    let eve_there = agents.iter().any(|agent| agent["name"] == "Eve" && agent["state"] != "logged-out");
    ensure!(!eve_there, "the phone without a certificate has registered");
    drop(eve);
    let suites = [&records[0]["caller_srtp"]["suite"], &records[0]["agent_srtp"]["suite"]];
    ensure!(suites.iter().all(|suite| suite.is_string()), "not encrypted: {suites:?}");
    let (to_ann, to_bob) = (unbroken(&ann, &bob).context("by Ann")?, unbroken(&bob, &ann).context("by Bob")?);
    exchange.stop()?;
    Ok(format!(
        "{to_ann} and {to_bob} frames by {} and {}; without a certificate {refused} handshakes failed",
        suites[0], suites[1]
    ))
}

/// The trunk's certificate and key in one file, as baresip wants them.
fn write_certificate(to: &Path) -> Result<()> {
    let read = |name: &str| {
        let file = crate::root().join("fixtures/tls").join(name);
        std::fs::read_to_string(&file).with_context(|| file.display().to_string())
    };
    Ok(std::fs::write(to, format!("{}{}", read("trunk.pem")?, read("trunk.key")?))?)
}

fn handshakes_failed(exchange: &Exchange) -> Result<f64> {
    let (_, text) = http::ask(exchange.http, "GET", "/metrics", None)?;
    let wanted = |line: &&str| {
        line.starts_with("offhook_sip_connections_closed_total{") && line.contains("tls") && line.contains("handshake")
    };
    let line = text.lines().find(wanted).context("/metrics has no connections closed at the handshake")?;
    Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
}
