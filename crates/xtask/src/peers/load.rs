//! The load generator: against the exchange with agents of its own that register - plain, under TLS and SRTP, and with callers as pages
//! are - and against sipp, which is somebody else's server.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::exchange::Exchange;
use super::sipp::Sipp;
use crate::children::Running;

/// Agents that register.
const AGENTS: u64 = 40;
/// Calls that are begun of the exchange: 8 a second for 4 s.
const CALLS: u64 = 32;
/// Calls of each other way: 8 a second for a second.
const FEW: u64 = 8;
/// Calls of sipp that stay up together.
const STAYING: u64 = 10;
/// Exit status of a run that the generator was too late for: the machine was busy, and the figures are no fault.
const NOT_COUNTED: i32 = 2;
/// What a run of some seconds may take.
const WITHIN: Duration = Duration::from_mins(1);

fn at(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 2, last], port))
}

/// Runs `offhook bench calls` and gives its report.
fn calls(bench: &Bench, name: &str, words: &[&str]) -> Result<Value> {
    let words: Vec<&str> = ["calls", "--codec", "pcmu"].into_iter().chain(words.iter().copied()).collect();
    run_bench(bench, name, &words)
}

/// Runs a bench and gives its report.
fn run_bench(bench: &Bench, name: &str, words: &[&str]) -> Result<Value> {
    let mut command = Command::new(&bench.offhook);
    command.arg("bench").args(words).args(["--json", "--quiet"]);
    let log = bench.folder.join(name);
    let (mut running, lines) = Running::start_reading("offhook bench", &mut command, &log)?;
    let status = running.wait(WITHIN)?;
    let report = lines.iter().last().with_context(|| format!("no report; see {}", log.display()))?;
    let report: Value = serde_json::from_str(&report)?;
    ensure!(status.success() || status.code() == Some(NOT_COUNTED), "offhook bench ended with {status}: {report}");
    let is_late = report["counts"] == false;
    ensure!(is_late == (status.code() == Some(NOT_COUNTED)), "{status}, and the report says otherwise: {report}");
    Ok(report)
}

fn number(report: &Value, path: &str) -> Result<u64> {
    report.pointer(path).and_then(Value::as_u64).with_context(|| format!("no {path} in {report}"))
}

fn must_be(report: &Value, wanted: &[(&str, u64)]) -> Result<()> {
    for (path, wanted) in wanted {
        let found = number(report, path)?;
        ensure!(found == *wanted, "{path} is {found} and should be {wanted}: {report}");
    }
    Ok(())
}

/// Sends back whatever comes, until told to stop.
fn echo(local: SocketAddr) -> Result<(Arc<AtomicBool>, std::thread::JoinHandle<()>)> {
    let socket = UdpSocket::bind(local).with_context(|| local.to_string())?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        let mut datagram = [0; 2_048];
        while !stopped.load(Ordering::Relaxed) {
            if let Ok((length, peer)) = socket.recv_from(&mut datagram) {
                // What is not sent is lost, as in any network.
                let _ = socket.send_to(&datagram[..length], peer);
            }
        }
    });
    Ok((stop, thread))
}

/// Callers over one connection, registered agents over another.
fn over_tcp(bench: &Bench, to: &str, register: &str) -> Result<String> {
    let agents = AGENTS.to_string();
    let callers = ["--transport", "tcp", "--to", to, "--listen", "127.0.2.2:0", "--rate", "8/s", "--concurrent", "40"];
    let floor = ["--agents", &agents, "--register", register, "--users", "r{n:04}", "--agents-listen", "127.0.2.3:0"];
    let words: Vec<&str> = callers.into_iter().chain(floor).chain(["--hold", "1s", "--for", "2s"]).collect();
    let report = calls(bench, "tcp.json", &words)?;
    must_be(
        &report,
        &[
            ("/calls/started", CALLS / 2),
            ("/calls/completed", CALLS / 2),
            ("/calls/reached_agent", CALLS / 2),
            ("/agents/registered", AGENTS),
            ("/media/flows_without_echo", 0),
        ],
    )?;
    Ok(format!("{} calls over TCP", CALLS / 2))
}

/// Callers and agents under TLS, with the callers' speech under SRTP in G.722; and callers as pages are, over WebSocket, by ICE and DTLS.
fn encrypted(bench: &Bench, exchange: &Exchange) -> Result<String> {
    let secure = address_in("fixtures/peers/bench.toml", "tls:")?;
    let pages = address_in("fixtures/peers/bench.toml", "ws:")?;
    let trust = crate::root().join("fixtures/tls/authority.pem");
    let trust = trust.to_str().context("a path in UTF-8")?;
    let sdes = ["--transport", "tls", "--trust", trust, "--srtp", "--codec", "g722"];
    let page = |codec| ["--transport", "ws", "--connections", "4", "--webrtc", "--codec", codec];
    let mut told = Vec::new();
    for (what, at, options) in [
        ("TLS, SRTP and G.722", secure, &sdes[..]),
        ("WebSocket, DTLS and PCMU", pages, &page("pcmu")),
        ("WebSocket, DTLS and Opus", pages, &page("opus")),
    ] {
        let is_page = at == pages;
        let (to, register) = (format!("sip:701@{at}"), format!("sip:{}", if is_page { exchange.sip } else { at }));
        let few = (2 * FEW).to_string();
        let callers = ["calls", "--to", &to, "--listen", "127.0.2.2:0", "--rate", "8/s", "--concurrent", "40"];
        let floor = ["--agents", &few, "--register", &register, "--users", "r{n:04}", "--agents-listen", "127.0.2.3:0"];
        let words: Vec<&str> = callers
            .into_iter()
            .chain(floor)
            .chain(["--hold", "1s", "--for", "1s"])
            .chain(options.iter().copied())
            .collect();
        let report = run_bench(bench, "encrypted.json", &words)?;
        must_be(
            &report,
            &[
                ("/calls/started", FEW),
                ("/calls/completed", FEW),
                ("/calls/reached_agent", FEW),
                ("/calls/connected_ms/n", if is_page { FEW } else { 0 }),
                ("/media/flows", 2 * FEW),
                ("/media/flows_encrypted", FEW),
                ("/media/unproved", 0),
                ("/media/flows_without_echo", 0),
                ("/media/crosstalk", 0),
            ],
        )
        .context(what)?;
        // A second of 50 packets each, of which pages spend the half on finding their way.
        ensure!(number(&report, "/media/echoed")? >= FEW * 20, "{what}: {}", report["media"]);
        let round_trip = report["media"]["round_trip_ms"]["p50"].as_f64().unwrap_or(0.0);
        told.push(format!("{FEW} calls by {what} (round trip {round_trip:.2} ms)"));
    }
    Ok(told.join(", "))
}

/// Where an exchange listens that has this in its configuration: the first address behind `transport`.
fn address_in(config: &str, transport: &str) -> Result<SocketAddr> {
    let text = std::fs::read_to_string(crate::root().join(config))?;
    let at = text.split('"').find_map(|word| word.strip_prefix(transport));
    Ok(at.with_context(|| format!("no {transport} in {config}"))?.parse()?)
}

/// Accounts of the exchange that register, are refreshed and leave.
fn registrations(bench: &Bench, to: &str, pid: &str) -> Result<String> {
    let accounts = AGENTS.to_string();
    let words = ["register", "--to", to, "--listen", "127.0.2.3:0", "--accounts", &accounts, "--rate", "80/s"];
    let words: Vec<&str> = words.into_iter().chain(["--for", "2s", "--server-pid", pid]).collect();
    let report = run_bench(bench, "register.json", &words)?;
    // 160 turns: each account registers once and is refreshed three times.
    must_be(
        &report,
        &[
            ("/due", 4 * AGENTS),
            ("/registered", AGENTS),
            ("/refreshed", 3 * AGENTS),
            ("/left", AGENTS),
            ("/failed", 0),
            ("/register_ms/n", AGENTS),
        ],
    )?;
    ensure!(report["server"]["cpu_ms_per_registration"].as_f64().is_some(), "{}", report["server"]);
    Ok(format!("{AGENTS} accounts registered, refreshed and gone: p99 {} ms", report["refresh_ms"]["p99"]))
}

/// Calls that hold, through a recorded queue, to agents of the same command.
fn exchange(bench: &Bench) -> Result<String> {
    let data = bench.folder.join("data");
    let log = bench.folder.join("exchange.log");
    let mut exchange = Exchange::start(&bench.offhook, "fixtures/peers/bench.toml", &data, &log)?;
    let (to, pid) = (format!("sip:701@{}", exchange.sip), exchange.running.pid().to_string());
    let (register, agents) = (format!("sip:{}", exchange.sip), AGENTS.to_string());
    let callers = ["--to", &to, "--listen", "127.0.2.2:0", "--rate", "8/s", "--concurrent", "40", "--hold", "2s..3s"];
    let floor = ["--agents", &agents, "--register", &register, "--users", "r{n:04}", "--agents-listen", "127.0.2.3:0"];
    let page = bench.folder.join("page.html");
    let more = ["--for", "4s", "--server-pid", &pid, "--html", page.to_str().context("a path in UTF-8")?];
    let words: Vec<&str> = callers.into_iter().chain(floor).chain(more).collect();
    let report = calls(bench, "exchange.json", &words)?;
    must_be(
        &report,
        &[
            ("/calls/started", CALLS),
            ("/calls/answered", CALLS),
            ("/calls/completed", CALLS),
            ("/calls/reached_agent", CALLS),
            ("/agents/registered", AGENTS),
            ("/agents/answered", CALLS),
            ("/agents/while_busy", 0),
            ("/media/flows", 2 * CALLS),
            ("/media/flows_without_echo", 0),
            ("/media/crosstalk", 0),
            ("/calls/first_words_ms/n", CALLS),
        ],
    )?;
    // 2 to 3 s of 50 packets a second each.
    ensure!(number(&report, "/media/echoed")? >= CALLS * 90, "{}", report["media"]);
    ensure!(report["server"]["cpu_ms_per_call"].as_f64().is_some_and(|ms| ms > 0.0), "{}", report["server"]);
    let page = std::fs::read_to_string(&page)?;
    ensure!(page.contains("<polyline") && !page.contains("<script"), "the page has no plot");
    let records = exchange.wait_records(CALLS as usize, Duration::from_secs(10))?;
    ensure!(records.len() as u64 == CALLS, "{} records of {CALLS} calls", records.len());
    let over_tcp = over_tcp(bench, &to, &register)?;
    let encrypted = encrypted(bench, &exchange)?;
    let registering = registrations(bench, &register, &pid)?;
    exchange.stop()?;
    Ok(format!(
        "{over_tcp}; {encrypted}; {registering}; {CALLS} recorded queue calls to {AGENTS} registered agents: setup p99 {:.1} ms, round trip p99 {:.2} ms{}",
        report["calls"]["setup_ms"]["p99"].as_f64().unwrap_or(0.0),
        report["media"]["round_trip_ms"]["p99"].as_f64().unwrap_or(0.0),
        if report["counts"] == true { "" } else { " (the generator was late)" }
    ))
}

/// Calls that stay, to somebody else's server; all their speech goes to one port, and comes back from there.
fn sipp(bench: &Bench) -> Result<String> {
    let answering = Sipp {
        scenario: "agent",
        local: at(3, 25_070),
        remote: None,
        media: 38_000,
        service: "",
        calls: STAYING as usize * 2,
        rate: 1,
        hold: Duration::ZERO,
    };
    let mut phones = answering.start(&bench.folder)?;
    let (stop, echoing) = echo(at(3, 40_000))?;
    let to = format!("sip:somebody@{}", at(3, 25_070));
    let staying = STAYING.to_string();
    let words = ["--to", &to, "--listen", "127.0.2.2:0", "--rate", "10/s", "--concurrent", &staying, "--for", "3s"];
    let report = calls(bench, "sipp.json", &words);
    stop.store(true, Ordering::Relaxed);
    ensure!(echoing.join().is_ok(), "the echo panicked");
    let report = report?;
    phones.must_run().context("sipp")?;
    must_be(
        &report,
        &[
            ("/calls/started", STAYING),
            ("/calls/answered", STAYING),
            ("/calls/completed", STAYING),
            ("/calls/post_dial_ms/n", STAYING),
            ("/media/flows_without_echo", 0),
            ("/media/crosstalk", 0),
        ],
    )?;
    let echoed = number(&report, "/media/echoed")?;
    ensure!(echoed >= STAYING * 150, "{echoed} packets came back in 3 s of {STAYING} calls");
    Ok(format!("{STAYING} calls of sipp for 3 s: {echoed} packets back through one port"))
}

/// The recorder by itself, plain and sealed.
fn recorder(bench: &Bench) -> Result<String> {
    let mut cpu = Vec::new();
    for more in [["--codec", "pcma"].as_slice(), &["--codec", "opus", "--sealed"]] {
        let folder = bench.folder.to_str().context("a path in UTF-8")?;
        let words = ["record", "--folder", folder, "--streams", "20", "--for", "2s"];
        let words: Vec<&str> = words.into_iter().chain(more.iter().copied()).collect();
        let report = run_bench(bench, "record.json", &words)?;
        // 50 packets a second of each side.
        must_be(
            &report,
            &[("/packets", 20 * 2 * 100), ("/dropped", 0), ("/closed", 20), ("/with_gaps", 0), ("/disk_errors", 0)],
        )?;
        ensure!(number(&report, "/bytes")? >= 20 * 2 * 16_000, "{report}");
        cpu.push(report["recorder"]["cpu_s_per_call_minute"].as_f64().unwrap_or(0.0));
    }
    Ok(format!("20 recordings, plain and sealed: {:.4} and {:.4} CPU-s a call-minute", cpu[0], cpu[1]))
}

pub fn run(bench: &Bench) -> Result<String> {
    let recorded = recorder(bench).context("the recorder")?;
    let with_sipp = sipp(bench).context("against sipp")?;
    let with_exchange = exchange(bench).context("against the exchange")?;
    Ok(format!("{with_sipp}; {with_exchange}; {recorded}"))
}
