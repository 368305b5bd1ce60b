//! Twice as many callers as the exchange takes on: the surplus is told when to come again, everybody else is served as ever.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::exchange::Exchange;
use super::sipp::Sipp;
use crate::children::wait_for;

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

fn at(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 2, last], port))
}

/// How many calls a log of the scenario admitted and refused.
fn ends(log: &str) -> (usize, usize) {
    let count = |word: &str| log.lines().filter(|line| line.split_whitespace().any(|each| each == word)).count();
    (count("ADMITTED"), count("REFUSED"))
}

/// One wave: gives how many were admitted, and how many messages sipp sent again.
fn wave(bench: &Bench, exchange: &mut Exchange, number: usize) -> Result<(usize, u64)> {
    let folder = bench.folder.join(format!("wave{number}"));
    std::fs::create_dir_all(&folder)?;
    let callers = Sipp {
        scenario: "overload",
        local: at(2, 25_061),
        remote: Some(exchange.sip),
        media: 26_000,
        service: "700",
        calls: CALLS,
        rate: RATE,
        hold: HOLD,
    };
    let mut sipp = callers.start(&folder)?;
    let within = Duration::from_secs((CALLS / RATE) as u64) + HOLD + Duration::from_secs(30);
    let status = wait_for("the end of the callers", within, || {
        exchange.running.must_run()?;
        sipp.ended()
    })?;
    ensure!(status.success(), "sipp ended with {status}: a call had neither an answer nor a 503 with Retry-After");
    let (admitted, refused) = ends(&std::fs::read_to_string(callers.log(&folder))?);
    ensure!(admitted + refused == CALLS, "{admitted} admitted and {refused} refused are not {CALLS}");
    // The bucket is full at first: one second's calls more than the rate.
    let seconds = CALLS / RATE;
    let expected = CAPACITY * (seconds + 1);
    ensure!(
        admitted >= expected * 9 / 10 && admitted <= expected + CAPACITY,
        "{admitted} of {CALLS} calls were admitted in {seconds} s at {CAPACITY} a second"
    );
    Ok((admitted, callers.repeated(&folder)?))
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
    Ok(format!(
        "{WAVES} x {CALLS} calls at {RATE}/s, {CAPACITY}/s taken on: {admitted} served, {} told 503; {repeated} messages repeated; \
         {agents} agents free; memory {:?} MiB",
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
