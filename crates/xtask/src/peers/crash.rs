//! `kill -9` during ten calls: what the next start finds and mends.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::exchange::Exchange;
use super::sipp::{Lines, Sipp, loopback};
use crate::speech::{Recording, Speech};
use crate::{children::wait_for, g711};

const CALLS: usize = 10;
/// How long the calls talk before the end.
const TALK: Duration = Duration::from_secs(6);

/// Sends every datagram back to where it came from, until dropped.
#[derive(Debug)]
pub struct Echo {
    stop: Arc<AtomicBool>,
}

impl Echo {
    /// Listens on `address`.
    pub fn start(address: std::net::SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(address).with_context(|| format!("the agents' media port {address}"))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while !told.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..length], from);
                }
            }
        });
        Ok(Self { stop })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The agents of config/loadtest.toml, played by sipp at 127.0.0.3:5070.
pub fn agents(calls: usize) -> Sipp<'static> {
    Sipp {
        scenario: "agent",
        local: loopback(3, 5_070),
        remote: None,
        media: 38_000,
        service: "",
        calls,
        rate: 1,
        hold: Duration::ZERO,
    }
}

pub fn run(bench: &Bench) -> Result<String> {
    let data = bench.folder.join("data");
    let mut exchange = Exchange::start(&bench.offhook, "config/loadtest.toml", &data, &bench.folder.join("first.log"))?;
    let callers = Sipp {
        scenario: "caller_stays",
        local: loopback(2, 5_061),
        remote: Some(exchange.sip),
        media: 18_000,
        service: "701",
        calls: CALLS,
        rate: 10,
        hold: Duration::ZERO,
    };
    let agents = agents(CALLS);
    let _echo = Echo::start(loopback(3, 40_000))?;
    let mut answering = agents.start(&bench.folder)?;
    let mut calling = callers.start(&bench.folder)?;
    let codes = g711::encode_all(&Speech::open()?.samples);
    let mut lines = Lines::follow(&callers.log(&bench.folder), codes.into(), None)?;
    wait_for("ten calls that talk", Duration::from_secs(15), || {
        lines.keep_up(&callers)?;
        calling.must_run()?;
        Ok((exchange.calls_in("talking")? == CALLS).then_some(()))
    })?;
    let begin = Instant::now();
    wait_for("the time of the talk", TALK * 2, || {
        lines.keep_up(&callers)?;
        Ok((begin.elapsed() >= TALK).then_some(()))
    })?;
    let talked = begin.elapsed();
    exchange.running.kill()?;
    drop(exchange);

    let mut exchange =
        Exchange::start(&bench.offhook, "config/loadtest.toml", &data, &bench.folder.join("second.log"))?;
    // sipp ends well only where each of its calls got a BYE.
    for (name, peer) in [("callers", &mut calling), ("agents", &mut answering)] {
        let status = peer.wait(Duration::from_secs(20)).with_context(|| format!("a BYE for each of the {name}"))?;
        ensure!(status.success(), "the {name}' sipp ended with {status}: not each call got its BYE");
    }
    lines.keep_up(&callers)?;
    lines.hang_up()?;
    for state in ["busy", "offered", "wrap-up"] {
        ensure!(exchange.agents_in(state)? == 0, "after the restart an agent is {state}");
    }
    let records = exchange.wait_records(CALLS, Duration::from_secs(10))?;
    let lost = records.iter().filter(|r| r["end"] == "lost").count();
    ensure!(lost == CALLS && records.len() == CALLS, "{lost} of {} records end as lost", records.len());
    let mut shortest = Duration::MAX;
    for record in &records {
        let recording = Recording::open(&exchange.recording_of(record)?)?;
        let length = Duration::from_millis(recording.left.len() as u64 / 8);
        ensure!(length + Duration::from_secs(1) >= talked, "a recording has {length:?} of {talked:?} at least");
        shortest = shortest.min(length);
    }
    let up = exchange.up_in;
    exchange.stop()?;
    Ok(format!(
        "{CALLS} calls killed after {:.1} s: 20 legs got a BYE, {lost} records marked lost, shortest recording {:.1} s, up again in {} ms",
        talked.as_secs_f64(),
        shortest.as_secs_f64(),
        up.as_millis()
    ))
}
