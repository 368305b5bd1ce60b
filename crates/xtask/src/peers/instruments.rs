//! The instruments against each other, without the exchange: what judges must itself be right.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Bench;
use super::agents::{Account, Agent};
use super::crash::Echo;
use super::line::{FRAME, Heard, joined, longest_run};
use super::sipp::{Lines, Sipp, loopback};
use crate::children::{Running, wait_for};
use crate::g711;
use crate::speech::{Pesq, Speech};

/// baresip may speak before the line's port is open, which opens when sipp has logged the answer.
const EARLY: usize = 3 * FRAME;

fn caller(remote: std::net::SocketAddr, service: &'static str) -> Sipp<'static> {
    Sipp {
        scenario: "caller",
        local: loopback(2, 25_065),
        remote: Some(remote),
        media: 33_000,
        service,
        calls: 1,
        rate: 1,
        hold: Duration::from_secs(4),
    }
}

/// One call from sipp straight to `remote`.
fn call(
    bench: &Bench,
    remote: std::net::SocketAddr,
    service: &'static str,
    codes: &[u8],
    press: Option<(u8, usize)>,
) -> Result<Heard> {
    let caller = caller(remote, service);
    let mut sipp = caller.start(&bench.folder)?;
    let mut lines = Lines::follow(&caller.log(&bench.folder), codes.into(), press)?;
    let status = wait_for("the end of a call between instruments", Duration::from_secs(15), || {
        lines.keep_up(&caller)?;
        sipp.ended()
    })?;
    ensure!(status.success(), "sipp ended with {status}");
    lines.keep_up(&caller)?;
    lines.ended.remove(&1).ok_or_else(|| anyhow::anyhow!("the call was never answered"))
}

pub fn run(bench: &Bench) -> Result<String> {
    let speech = Speech::open()?;
    let codes = g711::encode_all(&speech.samples[..speech.samples.len() / FRAME * FRAME]);

    // sipp as caller and as agent, an echo between: the line hears exactly what it said.
    let agent = Sipp {
        scenario: "agent",
        local: loopback(3, 25_066),
        remote: None,
        media: 38_000,
        service: "",
        calls: 1,
        rate: 1,
        hold: Duration::ZERO,
    };
    let echo = Echo::start(loopback(3, 40_000))?;
    let answering: Running = agent.start(&bench.folder)?;
    let heard = call(bench, agent.local, "echo", &codes, None)?;
    drop((answering, echo));
    let (sent, received) = (joined(&heard.sent), joined(&heard.received));
    let (first, echoed, from) = longest_run(&received, &sent).ok_or_else(|| anyhow::anyhow!("no echo was heard"))?;
    ensure!(
        first == 0 && from == 0 && echoed + 10 >= heard.sent.len(),
        "of {} frames {echoed} came back",
        heard.sent.len()
    );

    // baresip: what it says it sent is what the line heard, and the other way round.
    let account = Account { server: loopback(5, 25_100), user: "instrument", password: "none" };
    let mut baresip = Agent::baresip(account, &speech.samples, &bench.folder.join("baresip"), 0)?;
    baresip.wait_until_it_listens()?;
    let heard = call(bench, account.server, "instrument", &codes, None)?;
    let payloads = baresip.finish()?;
    let (sent, received) = (joined(&heard.sent), joined(&heard.received));
    let there = longest_run(&payloads.received, &sent);
    let back = longest_run(&received, &payloads.sent);
    ensure!(
        there.is_some_and(|(first, frames, _)| first == 0 && frames == payloads.received.len() / FRAME && frames > 150),
        "baresip heard {} frames; runs: {there:?}",
        payloads.received.len() / FRAME
    );
    ensure!(
        back.is_some_and(|(first, frames, from)| first == 0
            && from <= EARLY
            && frames == received.len() / FRAME
            && frames > 150),
        "baresip sent {} frames, {} came; runs: {back:?}",
        payloads.sent.len() / FRAME,
        received.len() / FRAME
    );

    // PESQ of mu-law itself, on every utterance that the tests use.
    let coded: Vec<Vec<i16>> =
        speech.utterances.iter().map(|u| g711::decode_all(&g711::encode_all(&speech.samples[u.clone()]))).collect();
    let pairs: Vec<(&[i16], &[i16])> =
        speech.utterances.iter().zip(&coded).map(|(u, c)| (&speech.samples[u.clone()], c.as_slice())).collect();
    let scores = Pesq::install()?.scores(&pairs)?;
    let worst = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    ensure!(worst >= 4.1 && mean >= 4.2, "mu-law itself scores {scores:?}");
    let late = there.map_or(0, |(_, _, from)| from / FRAME);
    Ok(format!(
        "{echoed} frames echoed, {} from baresip, which heard the caller from frame {late} on; mu-law itself: PESQ mean {mean:.2}, worst {worst:.2}",
        back.map_or(0, |b| b.1)
    ))
}
