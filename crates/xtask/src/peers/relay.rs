//! A page whose browser may use nothing but a relay: Debian's coturn, with the credentials that the exchange gave it at its
//! registration.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::browser::{Page, hears, options};
use super::chromium::Browser;
use super::exchange::Exchange;
use super::quality::upsample;
use crate::children::{Running, wait_for};
use crate::speech::{self, Speech};

const SOON: Duration = Duration::from_secs(20);

/// coturn at the address of fixtures/peers/relay.toml, with the secret there; `more` are further options of it.
fn coturn(bench: &Bench, name: &str, more: &[&str]) -> Result<Running> {
    let mut command = Command::new("turnserver");
    command.args(["-n", "--listening-ip", "127.0.1.5", "--listening-port", "23478", "--relay-ip", "127.0.1.5"]);
    command.args(["--min-port", "23500", "--max-port", "23599", "--use-auth-secret", "--realm", "peers.test"]);
    command.args(["--static-auth-secret", "a-secret-of-the-peer-test", "--no-tls", "--no-dtls", "--no-cli"]);
    command.args(["--allow-loopback-peers", "--verbose", "--log-file", "stdout", "--simple-log"]).args(more);
    command.arg("--pidfile").arg(bench.folder.join("turnserver.pid"));
    command.arg("--userdb").arg(bench.folder.join("turnserver.db"));
    Running::start("coturn", &mut command, &bench.folder.join(name))
}

/// The one page calls the other by the relay alone, whose log has this name, and both hear each other; who was let in.
fn talk(browser: &mut Browser, bench: &Bench, [paula, otto]: [&Page; 2], log: &str) -> Result<String> {
    let dial = "document.getElementById('number').value = 'otto'; document.getElementById('dial').requestSubmit()";
    browser.evaluate(&paula.session, dial)?;
    otto.answer(browser)?;
    paula.wait_for_text(browser, "call-state", "Talking")?;
    for page in [paula, otto] {
        hears(browser, page)?;
    }
    let told = wait_for("the relay's word", SOON, || {
        let log = std::fs::read_to_string(bench.folder.join(log))?;
        Ok(log.contains("ALLOCATE processed, success").then_some(log))
    })?;
    let users = told.lines().filter_map(|line| line.split("user <").nth(1)?.split('>').next());
    let user = users.map(str::to_owned).find(|user| !user.is_empty()).context("whom the relay let in")?;
    ensure!(user.ends_with(":paula"), "the relay let '{user}' in");
    ensure!(!told.contains(":otto>"), "who may do without the relay used it");
    paula.click(browser, "hang-up")?;
    otto.wait_for_text(browser, "call-state", "Ended")?;
    Ok(user)
}

pub fn run(bench: &Bench) -> Result<String> {
    for program in ["chromium", "turnserver"] {
        crate::apt::must_have(program)?;
    }
    let speech = Speech::open()?.first(9);
    let microphone = bench.folder.join("microphone.wav");
    speech::write_wav(&microphone, 48_000, &upsample(&speech.samples))?;
    let mut relay = coturn(bench, "turnserver.log", &[])?;
    let (data, log) = (bench.folder.join("data"), bench.folder.join("exchange.log"));
    let mut exchange = Exchange::start(&bench.offhook, "fixtures/peers/relay.toml", &data, &log)?;
    let mut browser = Browser::start(&bench.folder, &options(&microphone))?;
    let paula = Page::open_at("phone?relay", &mut browser, &exchange, "paula")?;
    let otto = Page::open(&mut browser, &exchange, "otto")?;
    let user = talk(&mut browser, bench, [&paula, &otto], "turnserver.log")?;
    relay.must_run()?;
    relay.stop()?;
    // A network that lets no UDP out: the relay is there by TCP alone.
    let mut relay = coturn(bench, "turnserver-tcp.log", &["--no-udp"])?;
    talk(&mut browser, bench, [&paula, &otto], "turnserver-tcp.log").context("over TCP")?;
    relay.must_run()?;
    exchange.stop()?;
    relay.stop()?;
    Ok(format!("speech went by coturn alone both ways, over UDP and over TCP, as {user}"))
}
