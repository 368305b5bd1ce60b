//! Twice as many callers as the exchange takes on: the surplus is told when to come again, everybody else is served as ever. Then
//! more than this machine carries, with no limit but what the exchange finds out by itself.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Bench;
use super::agents::{Account, softphone};
use super::exchange::Exchange;
use super::seeing::metric;
use super::sipp::Sipp;
use super::transfer::Phone;
use crate::children::wait_for;
use crate::http;
use crate::speech::Speech;

/// What the configuration takes on in a second.
const CAPACITY: usize = 20;
/// Offered in a second: twice as much.
const RATE: usize = 2 * CAPACITY;
const CALLS: usize = 600;
const HOLD: Duration = Duration::from_secs(3);
/// How many waves there are: what the first one leaves behind would be twice as much after the second.
const WAVES: usize = 2;
/// What the resident memory may grow by from the end of the first wave to that of the last, in KiB.
const GROWTH_KIB_MAX: u64 = 12 * 1_024;
/// What sipp may send again of its messages: a busy machine delays one now and then.
const REPEATED_MAX: u64 = CALLS as u64 / 50;

/// Calls a second, and in all, of a flood: this machine carries fewer beside the one that makes them.
const FLOOD_RATE: usize = 2_000;
const FLOOD_CALLS: usize = 8_000;
const FLOOD_HOLD: Duration = Duration::from_millis(500);
/// Whatever is waited for when a flood is over, its echo of repeated messages included.
const EBB: Duration = Duration::from_mins(1);

fn at(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 2, last], port))
}

/// How many calls a log of the scenario admitted and refused.
fn ends(log: &str) -> (usize, usize) {
    let count = |word: &str| log.lines().filter(|line| line.split_whitespace().any(|each| each == word)).count();
    (count("ADMITTED"), count("REFUSED"))
}

/// Calls that come whatever happens: gives how many were admitted, and how many messages sipp sent again.
fn offer(folder: &Path, exchange: &mut Exchange, rate: usize, calls: usize, hold: Duration) -> Result<(usize, u64)> {
    std::fs::create_dir_all(folder)?;
    let callers = Sipp {
        scenario: "overload",
        local: at(2, 25_061),
        remote: Some(exchange.sip),
        media: 26_000,
        service: "700",
        calls,
        rate,
        hold,
    };
    let mut sipp = callers.start(folder)?;
    let within = Duration::from_secs((calls / rate) as u64) + hold + EBB;
    let status = wait_for("the end of the callers", within, || {
        exchange.running.must_run()?;
        sipp.ended()
    })?;
    ensure!(status.success(), "sipp ended with {status}: a call had neither an answer nor a 503 with Retry-After");
    let (admitted, refused) = ends(&std::fs::read_to_string(callers.log(folder))?);
    ensure!(admitted + refused == calls, "{admitted} admitted and {refused} refused are not {calls}");
    Ok((admitted, callers.repeated(folder)?))
}

/// One wave of twice what is taken on.
fn wave(bench: &Bench, exchange: &mut Exchange, number: usize) -> Result<(usize, u64)> {
    let folder = bench.folder.join(format!("wave{number}"));
    let (admitted, repeated) = offer(&folder, exchange, RATE, CALLS, HOLD)?;
    // The bucket is full at first: one second's calls more than the rate.
    let seconds = CALLS / RATE;
    let expected = CAPACITY * (seconds + 1);
    ensure!(
        admitted >= expected * 9 / 10 && admitted <= expected + CAPACITY,
        "{admitted} of {CALLS} calls were admitted in {seconds} s at {CAPACITY} a second"
    );
    Ok((admitted, repeated))
}

/// Floods an exchange without a limit of its own while a customer talks: the call goes on, nothing stays behind, and whoever calls
/// afterwards is answered. How much it takes on is the machine's business.
fn flood(bench: &Bench) -> Result<String> {
    let folder = bench.folder.join("flood");
    std::fs::create_dir_all(&folder)?;
    let (data, log) = (folder.join("data"), folder.join("exchange.log"));
    let mut exchange = Exchange::start(&bench.offhook, "fixtures/peers/flood.toml", &data, &log)?;
    let server = exchange.sip;
    let speech = Speech::open()?;
    let account = Account { server, user: "ann", password: "ann-secret" };
    let mut ann = Phone::start("ann", softphone(&bench.offhook, account, &folder, "0s")?, &folder, &speech.samples)?;
    let mut command = Command::new(&bench.offhook);
    command.args(["phone", "--headless", "--events", "--listen", "127.0.2.4:0"]);
    let mut customer = Phone::start("customer", command, &folder, &speech.samples)?;
    exchange.wait_available(1, Duration::from_secs(15))?;
    let dial = json!({ "do": "dial", "to": format!("sip:200@{server}") });
    customer.tell(&dial)?;
    let call = customer.event("answered")?;
    ann.event("answered")?;

    let (mut admitted, mut memory) = (0, Vec::new());
    for number in 1..=WAVES {
        let wave = folder.join(format!("wave{number}"));
        admitted += offer(&wave, &mut exchange, FLOOD_RATE, FLOOD_CALLS, FLOOD_HOLD)?.0;
        wait_for("the flood's calls to be over", EBB, || {
            exchange.running.must_run()?;
            let calls = exchange.calls()?;
            ensure!(calls.iter().any(|call| call["state"] == "talking"), "the customer's call is gone: {calls:?}");
            // What was said last is kept for 64 T1, in case it is asked for again (RFC 3261 section 17.2).
            let (_, metrics) = http::ask(exchange.http, "GET", "/metrics", None)?;
            Ok((calls.len() == 1 && metric(&metrics, "offhook_sip_transactions ")? == 0).then_some(()))
        })?;
        memory.push(exchange.running.resident_kib()?);
    }
    customer.tell(&json!({ "do": "hang_up", "call": call }))?;
    ann.event("ended")?;
    customer.event("ended")?;
    exchange.wait_available(1, Duration::from_secs(15))?;
    customer.tell(&dial)?;
    customer.event("answered").context("a call after the floods")?;
    let growth = memory[WAVES - 1].saturating_sub(memory[0]);
    ensure!(growth <= GROWTH_KIB_MAX, "memory grew by {growth} KiB from the first flood to the last: {memory:?}");
    exchange.stop()?;
    Ok(format!(
        "{WAVES} x {FLOOD_CALLS} calls at {FLOOD_RATE}/s without a limit: {admitted} served, {} told 503, a talk went on; memory {:?} MiB",
        FLOOD_CALLS * WAVES - admitted,
        memory.iter().map(|kib| kib / 1_024).collect::<Vec<_>>()
    ))
}

pub fn run(bench: &Bench) -> Result<String> {
    let data = bench.folder.join("data");
    let log = bench.folder.join("exchange.log");
    let mut exchange = Exchange::start(&bench.offhook, "fixtures/peers/overload.toml", &data, &log)?;
    let agents = exchange.agents()?.len();
    let answering = Sipp {
        scenario: "agent",
        local: at(3, 25_070),
        remote: None,
        media: 38_000,
        service: "",
        calls: CALLS * WAVES * 2,
        rate: 1,
        hold: Duration::ZERO,
    };
    let mut phones = answering.start(&bench.folder)?;
    let (mut admitted, mut repeated, mut memory) = (0, 0, Vec::new());
    for number in 1..=WAVES {
        let (taken, again) = wave(bench, &mut exchange, number)?;
        (admitted, repeated) = (admitted + taken, repeated + again);
        wait_for("all calls to be over and all agents free", Duration::from_secs(10), || {
            exchange.running.must_run()?;
            let over = exchange.calls()?.is_empty() && exchange.agents_in("available")? == agents;
            Ok(over.then_some(()))
        })?;
        memory.push(exchange.running.resident_kib()?);
    }
    ensure!(repeated <= REPEATED_MAX, "sipp sent {repeated} messages again");
    phones.must_run().context("the agents' phones")?;
    let growth = memory[WAVES - 1].saturating_sub(memory[0]);
    ensure!(growth <= GROWTH_KIB_MAX, "memory grew by {growth} KiB from the first wave to the last");
    exchange.stop()?;
    let flooded = flood(bench).context("flood")?;
    Ok(format!(
        "{WAVES} x {CALLS} calls at {RATE}/s, {CAPACITY}/s taken on: {admitted} served, {} told 503; {repeated} messages repeated; \
         {agents} agents free; memory {:?} MiB; {flooded}",
        CALLS * WAVES - admitted,
        memory.iter().map(|kib| kib / 1_024).collect::<Vec<_>>()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_how_they_ended() {
        assert_eq!(ends("ADMITTED 1\nREFUSED 2 5\nx\nREFUSED 30 5\n"), (1, 2));
    }
}
