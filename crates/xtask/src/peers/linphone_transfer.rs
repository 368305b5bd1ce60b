//! linphone transfers its calls, blind and after a consultation: each time the customer and Bob then hear each other, and linphone
//! is rid of all its calls.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Bench;
use super::agents::{Account, softphone};
use super::exchange::Exchange;
use super::linphone::{Linphone, RUNNING, Setup, pause};
use super::transfer::{Phone, TALK, heard};
use crate::children::wait_for;
use crate::speech::Speech;

/// Whatever is waited for.
const SOON: Duration = Duration::from_secs(20);
/// What linphone says when a call is over for good.
const OVER: &str = "LinphoneCallReleased";

pub fn run(bench: &Bench) -> Result<String> {
    let speech = Speech::open()?;
    let (first, second) = speech.samples.split_at(speech.samples.len() / 2);
    let file = |name: &str| bench.folder.join(name);
    let mut exchange =
        Exchange::start(&bench.offhook, "fixtures/peers/transfer.toml", &file("data"), &file("exchange.log"))?;
    let server = exchange.sip;
    let account = Account { server, user: "bob", password: "bob-secret" };
    let mut bob = Phone::start("bob", softphone(&bench.offhook, account, &bench.folder, "0s")?, &bench.folder, first)?;
    let setup = Setup {
        user: "dora",
        address: [127, 0, 1, 6].into(),
        media: 48_300,
        proxy: &server.to_string(),
        info: false,
        suite: None,
        friend: None,
    };
    let mut dora = Linphone::start(&setup, &file("dora"))?;
    let mut command = std::process::Command::new(&bench.offhook);
    command.args(["phone", "--headless", "--events", "--listen", "127.0.1.2:0"]);
    let mut customer = Phone::start("customer", command, &bench.folder, second)?;
    exchange.wait_available(2, SOON)?;

    // linphone numbers its calls from 1.
    let call = taken(&mut customer, &mut dora, server).context("the first call")?;
    dora.until(&format!("call-transfer 1 sip:bob@{server}"), OVER).context("blind")?;
    bob.event("answered")?;
    end(&mut exchange, &mut customer, &mut bob, call).context("blind")?;
    let call = taken(&mut customer, &mut dora, server).context("the second call")?;
    dora.until("call-pause 2", "LinphoneCallPaused")?;
    dora.until(&format!("call sip:bob@{server}"), RUNNING).context("the consultation")?;
    bob.event("answered")?;
    let before = dora.times(OVER)?;
    dora.tell("call-transfer 2 3")?;
    wait_for("the end of both of linphone's calls", SOON, || {
        dora.running.must_run()?;
        Ok((dora.times(OVER)? >= before + 2).then_some(()))
    })?;
    end(&mut exchange, &mut customer, &mut bob, call).context("after a consultation")?;

    let records = exchange.wait_records(3, SOON)?;
    let transfers: Vec<_> = records.iter().filter_map(|r| r["transfers"].as_array()).flatten().collect();
    let good = transfers.iter().filter(|transfer| transfer["status"] == 200).count();
    ensure!((transfers.len(), good) == (2, 2), "the records tell of {transfers:?}");
    dora.quit()?;
    for phone in [&mut customer, &mut bob] {
        phone.tell(&json!({ "do": "off" }))?;
        ensure!(phone.running.wait(SOON)?.success(), "a phone did not end well:\n{}", phone.running.tail(5));
    }
    let mut frames = Vec::new();
    for call in [1, 2] {
        let what = if call == 1 { "blind" } else { "after a consultation" };
        for (ear, mouth) in [(&bob, &customer), (&customer, &bob)] {
            frames.push(heard(what, &ear.payloads("in", call)?, &mouth.payloads("out", call)?)?);
        }
    }
    exchange.stop()?;
    let frames: Vec<String> = frames.iter().map(usize::to_string).collect();
    Ok(format!("unbroken frames of 20 ms after the transfers, of Bob and of the customer: {}", frames.join(", ")))
}

/// The customer calls and linphone answers; gives the customer's call.
fn taken(customer: &mut Phone, dora: &mut Linphone, server: SocketAddr) -> Result<u64> {
    let before = dora.times(RUNNING)?;
    customer.tell(&json!({ "do": "dial", "to": format!("sip:400@{server}") }))?;
    let call = customer.event("answered")?;
    wait_for("linphone in the call", SOON, || {
        dora.running.must_run()?;
        Ok((dora.times(RUNNING)? > before).then_some(()))
    })?;
    Ok(call)
}

/// The customer and Bob talk, and the customer hangs up.
fn end(exchange: &mut Exchange, customer: &mut Phone, bob: &mut Phone, call: u64) -> Result<()> {
    pause(TALK)?;
    customer.tell(&json!({ "do": "hang_up", "call": call }))?;
    bob.event("ended")?;
    customer.event("ended")?;
    exchange.wait_available(2, SOON)
}
