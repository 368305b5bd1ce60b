//! A supervisor with a real phone: listens to a call of two softphones, whispers, joins in, leaves; takes the next one over. Then a
//! conference of three, and a call whose recording is paused: by the real phone's keys, then by the customer's. Everybody says a tone of its own, so that it can be told who heard whom, and when.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::agents::{Account, Agent, Place, softphone};
use super::exchange::Exchange;
use super::sipp::loopback;
use super::transfer::Phone;
use super::{Bench, pausing};
use crate::children::wait_for;
use crate::speech::{self, Recording};
use crate::{g711, http};

/// Whatever is waited for.
const SOON: Duration = Duration::from_secs(15);
/// How long each part lasts.
pub const PART: Duration = Duration::from_secs(2);
/// The tones of customer, agent, supervisor and third party, in Hz, chosen so that none is near a multiple of another.
pub const TONES: [f64; 4] = [410.0, 690.0, 1_130.0, 1_570.0];
const CUSTOMER: usize = 0;
const ANN: usize = 1;
const CARL: usize = 2;
const BOB: usize = 3;
/// A tone that is heard has at least this share of the power of a tenth of a second.
const SHARE_MIN: f64 = 0.12;
/// The steepest step of two of the first three tones, each with a peak of 10,000, is 14,300; mu-law adds some.
const STEP_MAX: i32 = 17_000;

/// In how many tenths of a second a tone is heard.
pub fn tenths(codes: &[u8], tone: usize) -> usize {
    let pcm = g711::decode_all(codes);
    pcm.chunks_exact(800).filter(|part| speech::share_at(part, 8_000, TONES[tone]) >= SHARE_MIN).count()
}

/// The largest step from one sample to the next.
pub fn steepest(codes: &[u8]) -> i32 {
    let pcm: Vec<i32> = codes.iter().map(|code| i32::from(g711::decode(*code))).collect();
    pcm.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max().unwrap_or(0)
}

/// So long a tone was heard: not much more and not much less.
fn lasted(what: &str, codes: &[u8], tone: usize, parts: u64) -> Result<f64> {
    let (heard, told) = (tenths(codes, tone) as f64 / 10.0, (PART * parts as u32).as_secs_f64());
    ensure!(
        heard > told - 0.6 && heard < told + 1.2 && (parts > 0 || heard == 0.0),
        "{what}: {heard:.1} s instead of {told:.1} s"
    );
    Ok(heard)
}

pub fn ask(exchange: &Exchange, path: &str, body: &Value) -> Result<Value> {
    let (status, text) = http::ask(exchange.http, "POST", path, Some(body))?;
    ensure!(status == 200, "{path} says {status}: {text}");
    Ok(serde_json::from_str(&text)?)
}

pub fn agent_id(exchange: &Exchange, name: &str) -> Result<String> {
    let agents = exchange.agents()?;
    let agent = agents.iter().find(|agent| agent["name"] == name).with_context(|| format!("no agent {name}"))?;
    Ok(agent["id"].as_str().context("an id")?.to_owned())
}

/// The only call: its id and its guests.
pub fn the_call(exchange: &Exchange) -> Result<(String, Vec<Value>)> {
    let calls = exchange.calls()?;
    let call = calls.first().context("no call is up")?;
    let guests = call["guests"].as_array().cloned().unwrap_or_default();
    Ok((call["id"].as_str().context("an id")?.to_owned(), guests))
}

/// Waits until so many guests have joined.
pub fn wait_joined(exchange: &mut Exchange, guests: usize) -> Result<()> {
    wait_for(&format!("{guests} guests"), SOON, || {
        exchange.running.must_run()?;
        let (_, there) = the_call(exchange)?;
        Ok((there.len() == guests && there.iter().all(|guest| guest["joined"].is_string())).then_some(()))
    })
}

pub fn run(bench: &Bench) -> Result<String> {
    let config = "fixtures/peers/transfer.toml";
    let (data, log) = (bench.folder.join("data"), bench.folder.join("exchange.log"));
    let mut exchange = Exchange::start(&bench.offhook, config, &data, &log)?;
    let server = exchange.sip;
    let account = |user, password| Account { server, user, password };
    let tone = |who: usize| speech::tone(8_000, TONES[who], 40.0);
    let ours = |user, password| softphone(&bench.offhook, account(user, password), &bench.folder, "0s");
    let mut ann = Phone::start("ann", ours("ann", "ann-secret")?, &bench.folder, &tone(ANN))?;
    let mut bob = Phone::start("bob", ours("bob", "bob-secret")?, &bench.folder, &tone(BOB))?;
    let (place, control) = (Place { address: loopback(5, 25_180), media: 42_400 }, loopback(5, 25_190));
    let folder = bench.folder.join("carl");
    let mut carl = Agent::baresip_with_control(account("carl", "carl-secret"), place, control, &tone(CARL), &folder)?;
    let mut command = Command::new(&bench.offhook);
    command.args(["phone", "--headless", "--events", "--listen", "127.0.1.2:0"]);
    let mut customer = Phone::start("customer", command, &bench.folder, &tone(CUSTOMER))?;
    exchange.wait_available(3, SOON)?;
    let (anns, carls) = (agent_id(&exchange, "Ann")?, agent_id(&exchange, "Carl")?);

    // One call, five parts of two seconds: nobody, listening, whispering, joined in, nobody.
    let dial = json!({ "do": "dial", "to": format!("sip:200@{server}") });
    customer.tell(&dial)?;
    let call = customer.event("answered")?;
    ann.event("answered")?;
    std::thread::sleep(PART);
    let (id, _) = the_call(&exchange)?;
    let path = format!("/api/v1/calls/{id}/supervise");
    for how in ["listen", "whisper", "barge"] {
        ask(&exchange, &path, &json!({ "by": carls, "how": how }))?;
        wait_joined(&mut exchange, 1)?;
        std::thread::sleep(PART);
    }
    ask(&exchange, &path, &json!({ "by": carls, "how": "leave" }))?;
    std::thread::sleep(PART);
    customer.tell(&json!({ "do": "hang_up", "call": call }))?;
    customer.event("ended")?;
    ann.event("ended")?;
    exchange.wait_available(3, SOON)?;

    // The next one is taken over.
    customer.tell(&dial)?;
    let call = customer.event("answered")?;
    ann.event("answered")?;
    let (id, _) = the_call(&exchange)?;
    ask(&exchange, &format!("/api/v1/calls/{id}/supervise"), &json!({ "by": carls, "how": "take-over" }))?;
    ann.event("ended").context("ann is hung up on")?;
    std::thread::sleep(PART);
    customer.tell(&json!({ "do": "hang_up", "call": call }))?;
    customer.event("ended")?;
    exchange.wait_available(3, SOON)?;

    // The third is a conference; ann leaves it first, and the customer stays with bob.
    customer.tell(&dial)?;
    let call = customer.event("answered")?;
    let anns_call = ann.event("answered")?;
    let (id, _) = the_call(&exchange)?;
    ask(&exchange, &format!("/api/v1/calls/{id}/guests"), &json!({ "by": anns, "number": "bob" }))?;
    bob.event("answered")?;
    wait_joined(&mut exchange, 1)?;
    std::thread::sleep(PART);
    ann.tell(&json!({ "do": "hang_up", "call": anns_call }))?;
    ann.event("ended")?;
    std::thread::sleep(PART);
    customer.tell(&json!({ "do": "hang_up", "call": call }))?;
    bob.event("ended")?;
    customer.event("ended")?;

    // The fourth is the real phone's.
    exchange.wait_available(3, SOON)?;
    pausing::call(&mut exchange, &mut customer, control)?;

    let records = exchange.wait_records(4, SOON)?;
    carl.must_run()?;
    for phone in [&mut customer, &mut ann, &mut bob] {
        phone.tell(&json!({ "do": "off" }))?;
        ensure!(phone.running.wait(SOON)?.success(), "a phone did not end well:\n{}", phone.running.tail(5));
    }
    let carl = carl.finish()?;
    let supervisor = carl.received_by_call.first().context("baresip has kept its first call")?;
    let figures = [
        supervised(&exchange, &records[3], &customer.payloads("in", 1)?, &ann.payloads("in", 1)?, supervisor)?,
        taken_over(&records[2], &customer.payloads("in", 2)?)?,
        conference(&records[1], &customer.payloads("in", 3)?, &bob.payloads("in", 1)?)?,
        pausing::check(&exchange, &records[0])?,
    ];
    exchange.stop()?;
    pausing::verify(&bench.offhook, &data)?;
    Ok(figures.join("; "))
}

/// The first call: who heard whom, and what was recorded.
fn supervised(exchange: &Exchange, record: &Value, customer: &[u8], ann: &[u8], carl: &[u8]) -> Result<String> {
    lasted("ann, by the customer", customer, ANN, 5)?;
    let joined = lasted("carl, by the customer", customer, CARL, 1)?;
    lasted("the customer, by ann", ann, CUSTOMER, 5)?;
    let whispered = lasted("carl, by ann", ann, CARL, 2)?;
    ensure!(tenths(customer, CUSTOMER) + tenths(ann, ANN) == 0, "somebody hears itself");
    let (customers, anns) = (tenths(carl, CUSTOMER), tenths(carl, ANN));
    ensure!(customers > 50 && anns > 50, "carl heard {customers} and {anns} tenths of a second of the two");
    let recording = Recording::open(&exchange.recording_of(record)?)?;
    lasted("ann, in the recording", &recording.right, ANN, 5)?;
    lasted("carl, in the recording", &recording.right, CARL, 1)?;
    lasted("carl, in the customer's channel", &recording.left, CARL, 0)?;
    let steps = [customer, ann, carl].map(steepest);
    ensure!(steps.iter().all(|step| *step < STEP_MAX), "steps of {steps:?}: a click");
    let parts: Vec<&Value> = record["guests"].as_array().into_iter().flatten().map(|guest| &guest["part"]).collect();
    ensure!(parts == ["listen", "whisper", "barge"], "the record tells of {parts:?}");
    Ok(format!(
        "whispered and joined {whispered:.1} s, of which the customer heard {joined:.1} s, steepest steps {steps:?}"
    ))
}

fn taken_over(record: &Value, customer: &[u8]) -> Result<String> {
    let heard = lasted("carl, by the customer, in ann's place", customer, CARL, 1)?;
    let talks = record["talks"].as_array().map_or(0, Vec::len);
    ensure!(talks == 2, "the record tells of {talks} talks");
    Ok(format!("taken over {heard:.1} s"))
}

fn conference(record: &Value, customer: &[u8], bob: &[u8]) -> Result<String> {
    let bobs = lasted("bob, by the customer", customer, BOB, 2)?;
    lasted("ann, by the customer", customer, ANN, 1)?;
    lasted("the customer, by bob", bob, CUSTOMER, 2)?;
    let anns = lasted("ann, by bob", bob, ANN, 1)?;
    ensure!(record["guests"][0]["part"] == "party", "the record tells of {}", record["guests"]);
    Ok(format!("in conference bob heard ann {anns:.1} s and the customer bob {bobs:.1} s"))
}
