//! Opus with a real phone: baresip speaks it, the customer G.711; both hear each other, and the recording holds both.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Bench;
use super::agents::{Account, Agent, Place};
use super::exchange::Exchange;
use super::quality::upsample;
use super::sipp::loopback;
use super::transfer::Phone;
use crate::speech::{Pesq, Recording, Speech};
use crate::{g711, http};

/// Whatever is waited for.
const SOON: Duration = Duration::from_secs(15);
/// How long they talk.
const TALK: Duration = Duration::from_secs(14);
/// PESQ through an encoder of Opus at 24 kbit/s at 8 kHz, or a decoder: mean.
const PESQ_MEAN: f64 = 3.6;

pub fn run(bench: &Bench) -> Result<String> {
    let pesq = Pesq::install()?;
    let speech = Speech::open()?.first(32);
    let (data, log) = (bench.folder.join("data"), bench.folder.join("exchange.log"));
    let mut exchange = Exchange::start(&bench.offhook, "fixtures/peers/opus.toml", &data, &log)?;
    let account = Account { server: exchange.sip, user: "carl", password: "carl-secret" };
    let place = Place { address: loopback(5, 25_180), media: 42_400 };
    let carl = Agent::baresip_with_opus(account, place, &upsample(&speech.samples), &bench.folder.join("carl"))?;
    let mut command = Command::new(&bench.offhook);
    command.args(["phone", "--headless", "--events", "--listen", "127.0.1.2:0"]);
    let mut customer = Phone::start("customer", command, &bench.folder, &speech.samples)?;
    exchange.wait_available(1, SOON)?;

    customer.tell(&json!({ "do": "dial", "to": format!("sip:200@{}", exchange.sip) }))?;
    let call = customer.event("answered")?;
    customer.event("first_packet")?;
    std::thread::sleep(TALK);
    let calls = exchange.calls()?;
    let id = calls.first().and_then(|call| call["id"].as_str()).context("the call is up")?.to_owned();
    let ladder = http::ask(exchange.http, "GET", &format!("/api/v1/calls/{id}/ladder"), None)?.1;
    ensure!(ladder.contains("opus/48000/2"), "nobody speaks of Opus");
    customer.tell(&json!({ "do": "hang_up", "call": call }))?;
    customer.event("ended")?;
    let records = exchange.wait_records(1, SOON)?;
    customer.tell(&json!({ "do": "off" }))?;
    ensure!(customer.running.wait(SOON)?.success(), "the customer did not end well:\n{}", customer.running.tail(5));
    let carl = carl.finish()?;
    let recording = Recording::open(&exchange.recording_of(&records[0])?)?;
    exchange.stop()?;

    let mut figures = Vec::new();
    for (what, codes) in [
        ("the customer heard", customer.payloads("in", call)?),
        ("baresip heard", carl.received),
        ("the recording has of the customer", recording.left),
        ("and of the agent", recording.right),
    ] {
        let heard = g711::decode_all(&codes);
        let pairs = speech.found_in(&heard);
        ensure!(!pairs.is_empty(), "{what} none of {} utterances", speech.utterances.len());
        let scores = pesq.scores(&pairs)?;
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        ensure!(mean >= PESQ_MEAN, "{what} {} utterances at a PESQ of {mean:.2}", scores.len());
        figures.push(format!("{what} {} utterances at a PESQ of {mean:.2}", scores.len()));
    }
    Ok(figures.join(", "))
}
