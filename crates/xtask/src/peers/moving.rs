//! Legs that change media workers in the midst of a talk: an attended transfer, and one into a conference. Everybody says a tone of
//! its own; numbers of packets and steps between samples tell what was lost, and whether it clicked.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::agents::{Account, softphone};
use super::exchange::Exchange;
use super::registrar::figure;
use super::supervise::{PART, TONES, agent_id, ask, steepest, tenths, the_call, wait_joined};
use super::transfer::{Phone, SOON};
use crate::speech;

const CUSTOMER: usize = 0;
const ANN: usize = 1;
const CARL: usize = 2;
const BOB: usize = 3;
/// The peak of everybody's tone, and what mu-law adds to a step of two.
const PEAK: f64 = 10_000.0;
const CODEC_STEP: f64 = 1_100.0;
/// Tenths of a second that everybody must hear everybody else after the move, of twenty.
const HEARD_MIN: usize = 15;

/// The end of a phone's next call, with its statistics.
fn statistics(phone: &mut Phone) -> Result<Value> {
    phone.until("the end of a call", |event| (event["event"] == "ended").then(|| event.clone()))
}

/// No packet on the way to this phone was lost, doubled or thrown away.
fn nothing_lost(who: &str, statistics: &Value) -> Result<u64> {
    let number = |name: &str| statistics[name].as_u64().with_context(|| format!("{who}: no {name} in {statistics}"));
    let lost = (number("lost")?, number("duplicates")?, number("discarded")?);
    ensure!(lost == (0, 0, 0), "{who}: lost, doubled, thrown away: {lost:?}");
    number("received_packets")
}

/// Legs that came from other workers, and how many of them took longer than 10 ms.
fn moved(exchange: &Exchange) -> Result<(f64, f64)> {
    let sum = |name: &str| {
        (0..7).map(|worker| figure(exchange, &format!("{name}{{worker=\"{worker}\"}}"))).sum::<Result<f64>>()
    };
    Ok((sum("offhook_media_legs_moved_total")?, sum("offhook_media_legs_moved_late_total")?))
}

pub fn run(bench: &Bench) -> Result<String> {
    let (data, log) = (bench.folder.join("data"), bench.folder.join("exchange.log"));
    let mut exchange = Exchange::start(&bench.offhook, "fixtures/peers/transfer.toml", &data, &log)?;
    let server = exchange.sip;
    let phone = |name: &'static str, password, who: usize| {
        let command = softphone(&bench.offhook, Account { server, user: name, password }, &bench.folder, "0s")?;
        Phone::start(name, command, &bench.folder, &speech::tone(8_000, TONES[who], 40.0))
    };
    let mut ann = phone("ann", "ann-secret", ANN)?;
    let mut bob = phone("bob", "bob-secret", BOB)?;
    let mut carl = phone("carl", "carl-secret", CARL)?;
    let mut command = Command::new(&bench.offhook);
    command.args(["phone", "--headless", "--events", "--listen", "127.0.1.2:0"]);
    let mut customer = Phone::start("customer", command, &bench.folder, &speech::tone(8_000, TONES[CUSTOMER], 40.0))?;
    exchange.wait_available(3, SOON)?;
    let mut told = Vec::new();
    for in_conference in [false, true] {
        customer.tell(&json!({ "do": "dial", "to": format!("sip:200@{server}") }))?;
        let call = customer.event("answered")?;
        let taken = ann.event("answered")?;
        if in_conference {
            let (id, _) = the_call(&exchange)?;
            let anns = agent_id(&exchange, "Ann")?;
            ask(&exchange, &format!("/api/v1/calls/{id}/guests"), &json!({ "by": anns, "number": "bob" }))?;
            bob.event("answered")?;
            wait_joined(&mut exchange, 1)?;
        }
        ann.tell(&json!({ "do": "hold", "call": taken, "on": true }))?;
        ann.event("held")?;
        ann.tell(&json!({ "do": "dial", "to": "carl" }))?;
        let consultation = ann.event("answered")?;
        carl.event("answered")?;
        std::thread::sleep(PART);
        ann.transfers(&json!({ "do": "join", "call": taken, "with": consultation }))?;
        ann.event("ended")?;
        ann.event("ended")?;
        std::thread::sleep(PART);
        customer.tell(&json!({ "do": "hang_up", "call": call }))?;
        let mut ends = vec![("the customer", statistics(&mut customer)?), ("carl", statistics(&mut carl)?)];
        if in_conference {
            ends.push(("bob", statistics(&mut bob)?));
        }
        let packets = ends.iter().map(|(who, end)| nothing_lost(who, end)).collect::<Result<Vec<_>>>()?;
        exchange.wait_available(3, SOON)?;
        told.push(format!("received {packets:?} packets and lost none"));
    }
    let (legs, late) = moved(&exchange)?;
    ensure!((legs - 2.0).abs() < 0.5, "{legs} legs changed workers, of two transfers");
    let records = exchange.wait_records(4, SOON)?;
    for record in records.iter().filter(|record| record["end"] != "transferred") {
        for side in ["caller_media", "agent_media"] {
            ensure!(record[side]["lost_packets"] == 0, "{side} of the record: {}", record[side]);
        }
    }
    for phone in [&mut customer, &mut ann, &mut bob, &mut carl] {
        phone.tell(&json!({ "do": "off" }))?;
        ensure!(phone.running.wait(SOON)?.success(), "a phone did not end well:\n{}", phone.running.tail(5));
    }
    for (what, ear, call, tones) in [
        ("the customer, by carl", &carl, 1, &[CUSTOMER][..]),
        ("carl, by the customer", &customer, 1, &[CARL]),
        ("the customer and bob, by carl", &carl, 2, &[CUSTOMER, BOB]),
        ("carl and bob, by the customer", &customer, 2, &[CARL, BOB]),
        ("carl and the customer, by bob", &bob, 1, &[CARL, CUSTOMER]),
    ] {
        let codes = ear.payloads("in", call)?;
        for tone in tones {
            let heard = tenths(&codes, *tone);
            ensure!(heard >= HEARD_MIN, "{what}: {heard} tenths of a second of {} Hz", TONES[*tone]);
        }
        let step = steepest(&codes);
        // Where one is relayed after the other, their seam is as it falls; a mix has none.
        let own: f64 = tones.iter().map(|tone| PEAK * std::f64::consts::TAU * TONES[*tone] / 8_000.0).sum();
        ensure!(tones.len() < 2 || f64::from(step) < own + CODEC_STEP, "{what}: a step of {step}, a click");
        told.push(format!("{what}: steepest step {step}"));
    }
    exchange.stop()?;
    Ok(format!("{legs} legs moved, {late} of them in more than 10 ms; {}", told.join("; ")))
}
