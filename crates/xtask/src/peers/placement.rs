//! Waiting calls that are moved: given to another agent while a phone rings, moved to another queue, and sent by a program that the queue
//! asks. Softphones on all sides; who got the call is who hears the customer.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::agents::{Account, softphone};
use super::exchange::Exchange;
use super::supervise::{PART, agent_id, ask, tenths, the_call};
use super::transfer::Phone;
use crate::children::wait_for;
use crate::{http, speech};

/// Whatever is waited for.
const SOON: Duration = Duration::from_secs(15);
/// The tones of the customer and the two agents, of those that `supervise` knows.
const CUSTOMER: usize = 0;
const EVE: usize = 1;
const FAY: usize = 2;

pub fn run(bench: &Bench) -> Result<String> {
    let (data, log) = (bench.folder.join("data"), bench.folder.join("exchange.log"));
    let mut exchange = Exchange::start(&bench.offhook, "fixtures/peers/transfer.toml", &data, &log)?;
    let tone = |who: usize| speech::tone(8_000, super::supervise::TONES[who], 40.0);
    let agent = |name: &str, who| {
        let password = format!("{name}-secret");
        let account = Account { server: exchange.sip, user: name, password: &password };
        // Rings until it is told to answer.
        let command = softphone(&bench.offhook, account, &bench.folder, "30s")?;
        Phone::start(name, command, &bench.folder, &tone(who))
    };
    let (mut eve, mut fay) = (agent("eve", EVE)?, agent("fay", FAY)?);
    let mut command = Command::new(&bench.offhook);
    command.args(["phone", "--headless", "--events", "--listen", "127.0.1.2:0"]);
    let mut customer = Phone::start("customer", command, &bench.folder, &tone(CUSTOMER))?;
    exchange.wait_available(2, SOON)?;
    let (eves, fays) = (agent_id(&exchange, "Eve")?, agent_id(&exchange, "Fay")?);

    // Eve's phone rings first; the call is given to Fay.
    let first = dial(&mut customer, &exchange, "500")?;
    eve.event("incoming")?;
    place(&mut exchange, &json!({ "agent": fays }))?;
    eve.event("ended").context("eve's phone is left alone")?;
    talk(&mut fay, &mut customer, first)?;

    // Eve's phone rings; the call is moved to the queue that only Fay serves.
    exchange.wait_available(2, SOON)?;
    let second = dial(&mut customer, &exchange, "500")?;
    eve.event("incoming")?;
    let back = queue_id(&exchange, "fays")?;
    place(&mut exchange, &json!({ "queue": back }))?;
    eve.event("ended")?;
    talk(&mut fay, &mut customer, second)?;

    // A queue that asks: the program waits until it is asked, and says Eve, though Fay has been free for longer.
    exchange.wait_available(2, SOON)?;
    let third = dial(&mut customer, &exchange, "600")?;
    let id = wait_for("a call about which is asked", SOON, || {
        exchange.running.must_run()?;
        let calls = exchange.calls()?;
        Ok(calls.iter().find(|call| call["asked_until"].is_string()).map(|call| call["id"].clone()))
    })?;
    let id = id.as_str().context("an id")?;
    ask(&exchange, &format!("/api/v1/calls/{id}/decision"), &json!({ "agent": eves, "wait_s": 20 }))?;
    talk(&mut eve, &mut customer, third)?;

    let records = exchange.wait_records(3, SOON)?;
    let who: Vec<&Value> = records.iter().map(|record| &record["agent"]["name"]).collect();
    ensure!(who == ["Eve", "Fay", "Fay"], "the records tell of {who:?}");
    for phone in [&mut customer, &mut eve, &mut fay] {
        phone.tell(&json!({ "do": "off" }))?;
        ensure!(phone.running.wait(SOON)?.success(), "a phone did not end well:\n{}", phone.running.tail(5));
    }
    let heard: Vec<[usize; 2]> = (1..=3)
        .map(|call| customer.payloads("in", call).map(|codes| [tenths(&codes, EVE), tenths(&codes, FAY)]))
        .collect::<Result<_>>()?;
    let part = PART.as_millis() as usize / 100;
    let right = [[0, part], [0, part], [part, 0]];
    let near = |heard: &[usize; 2], told: &[usize; 2]| {
        heard.iter().zip(told).all(|(heard, told)| *heard + 6 >= *told && *heard <= told * 2)
    };
    ensure!(
        heard.iter().zip(&right).all(|(heard, told)| near(heard, told)),
        "the customer heard {heard:?} tenths of a second of Eve and Fay"
    );
    reported(&exchange, &records[2])?;
    exchange.stop()?;
    Ok(format!("given, moved and decided; the customer heard {heard:?} tenths of a second of the two agents"))
}

/// The report from the day of the first call on says the same, recomputed from the log.
fn reported(exchange: &Exchange, first: &Value) -> Result<()> {
    let now: Value = serde_json::from_str(&http::ask(exchange.http, "GET", "/api/v1/queues", None)?.1)?;
    let day = |at: &Value| at.as_str().and_then(|at| at.get(..10)).map(str::to_owned).context("a time");
    let (from, until) = (day(&first["started"])?, day(&now["at"])?);
    let rows = |what: &str| -> Result<Vec<Value>> {
        let path = format!("/api/v1/reports/{what}?from={from}&until={until}&per=total");
        let (status, text) = http::ask(exchange.http, "GET", &path, None)?;
        ensure!(status == 200, "{path} says {status}: {text}");
        let report: Value = serde_json::from_str(&text)?;
        Ok(report["rows"].as_array().context("rows")?.clone())
    };
    let picked = |rows: &[Value], figures: &[&str]| -> Vec<Vec<String>> {
        let row = |row: &Value| figures.iter().map(|figure| row[*figure].to_string()).collect();
        let mut picked: Vec<Vec<String>> = rows.iter().map(row).collect();
        picked.sort();
        picked
    };
    let queues = picked(&rows("queues")?, &["queue", "offered", "answered", "flowed_out", "handled"]);
    let told = [["\"asking\"", "1", "1", "0", "1"], ["\"both\"", "2", "1", "1", "1"], ["\"fays\"", "1", "1", "0", "1"]];
    ensure!(queues == told, "the report tells of {queues:?}");
    let agents = picked(&rows("agents")?, &["agent", "offers", "accepted", "missed", "handled"]);
    let told = [["\"Eve\"", "3", "1", "0", "1"], ["\"Fay\"", "2", "2", "0", "2"]];
    ensure!(agents == told, "the report tells of {agents:?}");
    Ok(())
}

fn dial(customer: &mut Phone, exchange: &Exchange, number: &str) -> Result<u64> {
    customer.tell(&json!({ "do": "dial", "to": format!("sip:{number}@{}", exchange.sip) }))?;
    customer.event("answered")
}

fn place(exchange: &mut Exchange, to: &Value) -> Result<()> {
    let (id, _) = the_call(exchange)?;
    ask(exchange, &format!("/api/v1/calls/{id}/placement"), to).map(drop)
}

fn queue_id(exchange: &Exchange, name: &str) -> Result<Value> {
    let answer: Value = serde_json::from_str(&http::ask(exchange.http, "GET", "/api/v1/queues", None)?.1)?;
    let queues = answer["queues"].as_array().context("queues")?;
    let queue = queues.iter().find(|queue| queue["name"] == name).with_context(|| format!("no queue {name}"))?;
    Ok(queue["id"].clone())
}

/// The agent whose phone rings takes the call; both talk for a while, and the customer hangs up.
fn talk(agent: &mut Phone, customer: &mut Phone, call: u64) -> Result<()> {
    let rings = agent.event("incoming")?;
    agent.tell(&json!({ "do": "answer", "call": rings }))?;
    agent.event("answered")?;
    std::thread::sleep(PART);
    customer.tell(&json!({ "do": "hang_up", "call": call }))?;
    customer.event("ended")?;
    agent.event("ended").map(drop)
}
