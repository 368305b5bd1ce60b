//! A recording that is paused in a real call: by the agent's keys on baresip, then by the customer's. Both channels are silence for
//! as long as the pause lasts, and for no longer. A part of the test `supervise`, whose phones and tones it has.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::exchange::Exchange;
use super::supervise::{PART, TONES, tenths};
use super::transfer::{Phone, SOON, order_baresip};
use crate::children::wait_for;
use crate::speech::Recording;

/// The keys that the configuration has for it.
const CODE: &str = "*3";
/// What the customer presses; `pause_recording_on_keys` of fixtures/peers/transfer.toml is [`REST`].
const DIGITS: &str = "4929";
const REST: Duration = Duration::from_secs(2);
/// Between two keys: pressed as by a person.
const KEY: Duration = Duration::from_millis(400);
/// Silence in mu-law.
const SILENCE: u8 = 0xff;
/// How much longer or shorter a pause may be than it was meant: keys take their time.
const SLACK: Duration = Duration::from_millis(700);

/// Waits until the only call's recording is in a state.
fn wait_recorded(exchange: &mut Exchange, state: &str) -> Result<()> {
    wait_for(&format!("a recording {state}"), SOON, || {
        exchange.running.must_run()?;
        let calls = exchange.calls()?;
        Ok(calls.first().is_some_and(|call| call["recorded"]["state"] == state).then_some(()))
    })
}

/// The customer calls baresip; parts of [`PART`]: both talk, baresip pauses, both talk, the customer presses keys, both talk.
pub fn call(exchange: &mut Exchange, customer: &mut Phone, control: SocketAddr) -> Result<()> {
    customer.tell(&json!({ "do": "dial", "to": format!("sip:300@{}", exchange.sip) }))?;
    let call = customer.event("answered")?;
    customer.event("first_packet")?;
    exchange.wait_calls("talking", 1, SOON)?;
    std::thread::sleep(PART);
    for state in ["paused", "recording"] {
        order_baresip(control, "sndcode", CODE).context("baresip presses keys")?;
        wait_recorded(exchange, state)?;
        std::thread::sleep(PART);
    }
    for digit in DIGITS.chars() {
        customer.tell(&json!({ "do": "keys", "call": call, "keys": digit.to_string() }))?;
        std::thread::sleep(KEY);
    }
    wait_recorded(exchange, "paused")?;
    wait_recorded(exchange, "recording")?;
    std::thread::sleep(PART);
    customer.tell(&json!({ "do": "hang_up", "call": call }))?;
    customer.event("ended").map(drop)
}

/// Pauses of one side as the manifest has them, in milliseconds; those that touch are one.
fn pauses(manifest: &Value, side: &str) -> Vec<(usize, usize)> {
    let mut pauses: Vec<(usize, usize)> = Vec::new();
    for gap in manifest["gaps"].as_array().into_iter().flatten() {
        if gap["side"] != side || gap["why"] != "pause" {
            continue;
        }
        let of = |what: &str| gap[what].as_u64().unwrap_or_default() as usize;
        let (from, to) = (of("from_ms"), of("to_ms"));
        match pauses.last_mut() {
            Some((_, end)) if *end + 1 >= from => *end = to,
            _ => pauses.push((from, to)),
        }
    }
    pauses
}

/// What was recorded of the call: tones between the pauses, and nothing at all in them.
pub fn check(exchange: &Exchange, record: &Value) -> Result<String> {
    let recording = Recording::open(&exchange.recording_of(record)?)?;
    let manifest = exchange.manifest_of(record)?;
    let who: Vec<&Value> = record["pauses"].as_array().into_iter().flatten().map(|p| &p["by"]["who"]).collect();
    ensure!(who == ["agent", "keys"], "the record tells of pauses {}", record["pauses"]);
    ensure!(record["digits"] == 0, "the record tells of {} keys", record["digits"]);
    let expected = [PART, KEY * (DIGITS.len() as u32 - 1) + REST];
    let mut told = Vec::new();
    for (side, codes, tone) in [("left", &recording.left, 0), ("right", &recording.right, 2)] {
        let pauses = pauses(&manifest, side);
        ensure!(pauses.len() == 2, "{side}: {} pauses: {}", pauses.len(), manifest["gaps"]);
        for ((from, to), expected) in pauses.iter().zip(expected) {
            let lasts = Duration::from_millis((to - from) as u64);
            ensure!(lasts.abs_diff(expected) < SLACK, "{side}: a pause of {lasts:?} instead of {expected:?}");
            // Milliseconds are rounded outwards.
            let silent = codes.get(from * 8 + 8..to * 8 - 8).with_context(|| format!("{side} ends in a pause"))?;
            let spoken = silent.iter().filter(|code| **code != SILENCE).count();
            ensure!(spoken == 0, "{side}: {spoken} samples of a pause are no silence");
            told.push(format!("{side} {} ms", to - from));
        }
        let parts = [&codes[..pauses[0].0 * 8], &codes[pauses[0].1 * 8..pauses[1].0 * 8], &codes[pauses[1].1 * 8..]];
        for (place, part) in parts.into_iter().enumerate() {
            let heard = tenths(part, tone);
            ensure!(heard >= 14, "{side}: {heard} tenths of a second of {} Hz in part {place}", TONES[tone]);
        }
    }
    Ok(format!("of a paused recording nothing in {}, all around", told.join(", ")))
}

/// The log, the manifest and the files agree.
pub fn verify(offhook: &Path, data: &Path) -> Result<()> {
    let verified = Command::new(offhook).args(["recording", "verify", "--data"]).arg(data).output()?;
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    ensure!(
        verified.status.success() && said.contains("without speech: pause"),
        "offhook recording verify says:\n{said}"
    );
    Ok(())
}
