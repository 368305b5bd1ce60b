//! What a wallboard costs: 1,000 agents, 20 changes of state a second, and the page in headless Chromium. It prints figures, and fails
//! where the page does not show what changed: how fast a machine is, is no fault of the exchange.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Bench;
use super::chromium::Browser;
use super::exchange::Exchange;
use crate::children::{Running, wait_for};
use crate::{apt, http};

const AGENTS: usize = 1_000;
const CHANGES_PER_S: u32 = 20;
/// How long each of the two measurements takes.
const MEASURED: Duration = Duration::from_secs(20);
/// The page shows a change within this, on whatever machine.
const SHOWN_WITHIN: Duration = Duration::from_mins(1);
/// Clock ticks of `/proc/PID/stat` in a second; Linux has had no other for user space.
const TICKS_PER_S: f64 = 100.0;

pub fn run(bench: &Bench) -> Result<String> {
    apt::must_have("chromium")?;
    let config = bench.folder.join("exchange.toml");
    std::fs::write(&config, crowded()?)?;
    let data = bench.folder.join("data");
    let config = config.display().to_string();
    let mut exchange = Exchange::start(&bench.offhook, &config, &data, &bench.folder.join("exchange.log"))?;
    let agents: Vec<String> =
        exchange.agents()?.iter().filter_map(|agent| Some(agent["id"].as_str()?.to_owned())).collect();
    ensure!(agents.len() == AGENTS, "{} agents", agents.len());
    let unwatched = changing(&exchange, &agents)?;
    let mut browser = Browser::start(&bench.folder, &[])?;
    let session = browser.open(&format!("http://{}/", exchange.http))?;
    browser.resize(&session, 1_920)?;
    let rows = "document.querySelectorAll('#agents tr').length";
    wait_for("the agents in the page", SHOWN_WITHIN, || {
        Ok(browser.evaluate(&session, rows)?.as_u64().filter(|rows| *rows > 0))
    })?;
    let loaded = loaded_kib(&mut browser, &session)?;
    browser.evaluate(
        &session,
        "window.drawn = 0; (function next() { window.drawn += 1; requestAnimationFrame(next); })(); true",
    )?;
    let watched = changing(&exchange, &agents)?;
    let drawn = browser.evaluate(&session, "window.drawn")?.as_f64().context("frames")?;
    let frames = drawn / watched.lasted.as_secs_f64();
    // The page follows: what changes last is counted.
    let counted =
        || -> Result<usize> { Ok(exchange.agents()?.iter().filter(|agent| agent["state"] == "available").count()) };
    let (first, before) = (&agents[0], counted()?);
    let is_available = exchange.agents()?.iter().any(|agent| agent["id"] == **first && agent["state"] == "available");
    let wanted = if is_available { json!({ "state": "not-ready" }) } else { json!({ "state": "available" }) };
    set(&exchange, first, &wanted)?;
    let (after, changed) = (counted()?, Instant::now());
    ensure!(after != before, "{after} agents are available as before");
    let shown = format!("document.querySelectorAll('#totals b')[3]?.textContent === '{after}'");
    wait_for("the last change in the page", SHOWN_WITHIN, || {
        Ok((browser.evaluate(&session, &shown)? == true).then_some(()))
    })?;
    let shown_ms = changed.elapsed().as_millis();
    // Another browser has nothing of it yet.
    let folder = bench.folder.join("phone");
    std::fs::create_dir_all(&folder)?;
    let mut other = Browser::start(&folder, &[])?;
    let session = other.open(&format!("http://{}/phone", exchange.http))?;
    wait_for("the phone page", SHOWN_WITHIN, || {
        let shown = "Boolean(document.getElementById('link-text')?.textContent) && document.readyState === 'complete'";
        Ok((other.evaluate(&session, shown)? == true).then_some(()))
    })?;
    let phone = loaded_kib(&mut other, &session)?;
    exchange.stop()?;
    Ok(format!(
        "{AGENTS} agents, {:.1} changes a second: the exchange takes {:.1} % of a core with one page watching, {:.1} % without; \
         the page draws {frames:.0} frames a second and shows a change after {shown_ms} ms; its first load is {loaded:.0} KiB, that of the phone page {phone:.0}",
        watched.rate, watched.cpu_percent, unwatched.cpu_percent,
    ))
}

/// What a page and its files took on the way to the browser, in KiB, heads included. It may be 300.
fn loaded_kib(browser: &mut Browser, session: &str) -> Result<f64> {
    let bytes = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource').filter((entry) => entry.name.includes('/web/'))].reduce((sum, entry) => sum + entry.transferSize, 0)";
    let loaded = browser.evaluate(session, bytes)?.as_f64().context("what was loaded")? / 1_024.0;
    ensure!((1.0..=300.0).contains(&loaded), "the first load is {loaded:.0} KiB");
    Ok(loaded)
}

/// What a stretch of changes took.
struct Taken {
    cpu_percent: f64,
    rate: f64,
    lasted: Duration,
}

/// Changes states of agents, one after the other, evenly; says what the exchange took for it.
fn changing(exchange: &Exchange, agents: &[String]) -> Result<Taken> {
    let (began, before) = (Instant::now(), cpu(&exchange.running)?);
    let mut changes = 0_u32;
    while began.elapsed() < MEASURED {
        let agent = &agents[changes as usize % agents.len()];
        let body = if changes.is_multiple_of(2) {
            json!({ "state": "not-ready", "reason": "break" })
        } else {
            json!({ "state": "available" })
        };
        set(exchange, agent, &body)?;
        changes += 1;
        std::thread::sleep(
            (began + Duration::from_secs(1) * changes / CHANGES_PER_S).saturating_duration_since(Instant::now()),
        );
    }
    let lasted = began.elapsed();
    let cpu_percent = (cpu(&exchange.running)? - before) / lasted.as_secs_f64() * 100.0;
    Ok(Taken { cpu_percent, rate: f64::from(changes) / lasted.as_secs_f64(), lasted })
}

fn set(exchange: &Exchange, agent: &str, body: &serde_json::Value) -> Result<()> {
    let (status, answer) = http::ask(exchange.http, "POST", &format!("/api/v1/agents/{agent}/state"), Some(body))?;
    ensure!(status == 200, "{agent}: {status} {answer}");
    Ok(())
}

/// What a process and its threads have taken so far, in seconds of one core (`utime` and `stime`, proc(5)).
fn cpu(running: &Running) -> Result<f64> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(running.pid().to_string()).join("stat"))?;
    // The name before may have blanks; it ends with the last bracket.
    let fields: Vec<&str> = stat.rsplit_once(')').context("a name")?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("clock ticks");
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_S)
}

/// The exchange of the other tests with a crowd in the place of its agents.
fn crowded() -> Result<String> {
    let plain = std::fs::read_to_string(crate::root().join("fixtures/peers/exchange.toml"))?;
    let prompts = crate::root().join("config/prompts");
    let text = plain.replace("../../config/prompts", &prompts.display().to_string());
    // The page and the changes come from one address.
    let text = text.replacen("[http]\n", "[http]\nrequests_per_second = 1000\n", 1);
    let mut tables: Vec<&str> = text.split("\n[[agent]]").collect();
    let crowd = format!(
        "\nname = \"Agent {{n}}\"\nfrom = 1\nto = {AGENTS}\ncontact = \"sip:agent{{n}}@127.0.0.9:5070\"\nqueues = [\"sales\"]\nlogin = \"at-start\"\n"
    );
    ensure!(tables.len() > 1, "the exchange of the tests has no agents");
    // What follows the last agent stays: it begins with the next table.
    let rest = tables.pop().and_then(|last| last.find("\n[").map(|at| last[at..].to_owned())).unwrap_or_default();
    Ok(format!("{}\n[[agent]]{crowd}{rest}", tables.remove(0)))
}
