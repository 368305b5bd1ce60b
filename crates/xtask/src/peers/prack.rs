//! Reliable provisional responses (RFC 3262) with sipp on both sides: a caller that requires them and withholds its PRACK, and a
//! phone that sends one and answers without a second description.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::exchange::Exchange;
use super::sipp::Sipp;
use crate::children::wait_for;
use crate::http;

const CALLS: usize = 5;
const ENDED_WITHIN: Duration = Duration::from_secs(15);

pub fn run(bench: &Bench) -> Result<String> {
    let data = bench.folder.join("data");
    let log = bench.folder.join("exchange.log");
    let mut exchange = Exchange::start(&bench.offhook, "fixtures/peers/prack.toml", &data, &log)?;
    let callee = Sipp {
        scenario: "prack_callee",
        local: "127.0.7.3:25066".parse()?,
        remote: None,
        media: 27_400,
        service: "",
        calls: CALLS,
        rate: CALLS,
        hold: Duration::from_millis(200),
    };
    let caller = Sipp {
        scenario: "prack_caller",
        local: "127.0.7.2:25061".parse()?,
        remote: Some(exchange.sip),
        media: 27_200,
        service: "600",
        ..callee.clone()
    };
    let mut answering = callee.start(&bench.folder)?;
    let mut calling = caller.start(&bench.folder)?;
    for (who, running) in [("caller", &mut calling), ("callee", &mut answering)] {
        let status = wait_for(&format!("the end of the {who}'s calls"), ENDED_WITHIN, || {
            exchange.running.must_run()?;
            running.ended()
        })?;
        ensure!(status.success(), "the {who}'s sipp ended with {status}");
    }
    let records = exchange.wait_records(CALLS, ENDED_WITHIN)?;
    let mut repeated = 0;
    for record in &records {
        let id = record["id"].as_str().context("a record's id")?;
        let ladder = http::get(exchange.http, &format!("/api/v1/calls/{id}/ladder"))?;
        repeated += check(&ladder).with_context(|| format!("call {id}: {ladder}"))?;
    }
    ensure!(records.len() == CALLS, "{} records of {CALLS} calls", records.len());
    exchange.stop()?;
    Ok(format!(
        "{CALLS} calls with a 183 acknowledged on both legs, {repeated} sent again while the PRACK was withheld"
    ))
}

/// What one leg's messages begin with, in order: methods and statuses with the method that they answer.
fn words(ladder: &Value, leg: u64) -> Result<Vec<String>> {
    let messages = ladder["messages"].as_array().context("messages")?;
    let mut words = Vec::new();
    for message in messages.iter().filter(|message| message["leg"] == leg) {
        let text = message["text"].as_str().context("a text")?;
        let cseq = text.lines().find_map(|line| line.strip_prefix("CSeq:")).context("a CSeq")?;
        let method = cseq.split_whitespace().nth(1).unwrap_or_default();
        let status = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3));
        words.push(status.map_or_else(|| method.to_owned(), |status| format!("{status} {method}")));
    }
    Ok(words)
}

/// Gives how often our 183 was sent again.
fn check(ladder: &Value) -> Result<usize> {
    let caller = words(ladder, 0)?;
    let count = |word: &str| caller.iter().filter(|said| *said == word).count();
    let at = |word: &str| caller.iter().position(|said| said == word).with_context(|| format!("no {word}"));
    ensure!(count("183 INVITE") >= 2, "the 183 was not sent again: {caller:?}");
    ensure!(count("PRACK") == 1 && count("200 PRACK") == 1, "one PRACK: {caller:?}");
    ensure!(at("200 PRACK")? < at("200 INVITE")?, "the call was answered before its 183 was acknowledged: {caller:?}");
    let last_183 = caller.iter().rposition(|said| said == "183 INVITE").context("a 183")?;
    ensure!(last_183 < at("PRACK")?, "the 183 was sent again after its PRACK: {caller:?}");
    let callee = words(ladder, 1)?;
    let wanted = ["INVITE", "183 INVITE", "PRACK", "200 PRACK", "183 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"];
    ensure!(callee == wanted, "the callee: {callee:?}");
    Ok(count("183 INVITE") - 1)
}
