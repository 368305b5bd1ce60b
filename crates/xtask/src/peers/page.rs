//! The page in headless Chromium: what it shows while one caller talks and one waits, at the widths of a phone and a desk.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::agents::{Account, Agent};
use super::chromium::Browser;
use super::exchange::Exchange;
use super::sipp::{Lines, Sipp, loopback};
use crate::children::wait_for;
use crate::speech::{self, Speech};
use crate::{apt, g711};

/// The page shows a change within this.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);

pub fn run(bench: &Bench) -> Result<String> {
    apt::must_have("chromium")?;
    let data = bench.folder.join("data");
    let mut exchange =
        Exchange::start(&bench.offhook, "fixtures/peers/exchange.toml", &data, &bench.folder.join("exchange.log"))?;
    let speech = Speech::open()?.first(30);
    let play = bench.folder.join("agent.wav");
    speech::write_wav(&play, 8_000, &speech.samples)?;
    let account = Account { server: exchange.sip, user: "phone11", password: "phone11-secret" };
    let agent = Agent::softphone(&bench.offhook, account, &play, &bench.folder.join("phone11"))?;
    exchange.wait_available(1, Duration::from_secs(10))?;
    let callers = Sipp {
        scenario: "caller",
        local: loopback(2, 25_061),
        remote: Some(exchange.sip),
        media: 30_000,
        service: "200",
        calls: 2,
        rate: 2,
        hold: Duration::from_secs(25),
    };
    let mut browser = Browser::start(&bench.folder, &[])?;
    let session = browser.open(&format!("http://{}/", exchange.http))?;
    let mut sipp = callers.start(&bench.folder)?;
    let mut lines = Lines::follow(&callers.log(&bench.folder), g711::encode_all(&speech.samples).into(), None)?;
    wait_for("a talking and a waiting caller", SHOWN_WITHIN, || {
        lines.keep_up(&callers)?;
        exchange.running.must_run()?;
        Ok((exchange.calls_in("talking")? == 1 && exchange.calls_in("waiting")? == 1).then_some(()))
    })?;
    let calls = exchange.calls()?;
    let number_in =
        |state: &str| calls.iter().find(|c| c["state"] == state).and_then(|c| c["caller"].as_str()).map(digits);
    let wanted = [
        "sales".to_owned(),
        "Agent 11".to_owned(),
        number_in("talking").unwrap_or_default(),
        number_in("waiting").unwrap_or_default(),
    ];
    wait_for("the page to show both callers, queue and agent", SHOWN_WITHIN, || {
        lines.keep_up(&callers)?;
        let text = browser.evaluate(&session, "document.body.innerText")?;
        let text = text.as_str().unwrap_or_default().to_owned();
        std::fs::write(bench.folder.join("page.txt"), &text)?;
        let squeezed = digits(&text);
        let shown = wanted.iter().all(|w| {
            text.contains(w.as_str()) || (!w.is_empty() && squeezed.contains(&digits(w)) && !digits(w).is_empty())
        });
        Ok((shown
            && text.to_lowercase().contains("busy") | text.to_lowercase().contains("talking")
            && text.to_lowercase().contains("waiting"))
        .then_some(()))
    })
    .with_context(|| format!("the page shows (page.txt) without all of {wanted:?}"))?;
    let rungs = show_ladder(&mut browser, &session, &bench.folder)?;
    let mut widest = Vec::new();
    for width in [360, 1_280, 1_920] {
        browser.resize(&session, width)?;
        let scroll = browser.evaluate(&session, "document.documentElement.scrollWidth")?.as_u64().unwrap_or(u64::MAX);
        ensure!(scroll <= u64::from(width), "at a width of {width} the page is {scroll} wide");
        browser.screenshot(&session, &bench.folder.join(format!("page-{width}.png")))?;
        widest.push(width);
    }
    sipp.stop()?;
    lines.hang_up()?;
    drop(agent);
    exchange.stop()?;
    Ok(format!("shown at widths of {widest:?}, {rungs} messages as a ladder; pictures in {}", bench.folder.display()))
}

/// Opens the ladder of the call that talks; gives how many messages are drawn.
fn show_ladder(browser: &mut Browser, session: &str, folder: &Path) -> Result<u64> {
    let open = "[...document.querySelectorAll('#calls tr')].find(row => row.innerText.includes('talking')).querySelector('button').click()";
    browser.evaluate(session, open)?;
    let drawn = "document.querySelectorAll('#ladder .rung').length";
    let rungs = wait_for("the ladder of a call", SHOWN_WITHIN, || {
        // INVITE, 100, 200 and ACK with the caller, and the same with the agent's phone.
        Ok(browser.evaluate(session, drawn)?.as_u64().filter(|rungs| *rungs >= 8))
    })?;
    let text = browser.evaluate(session, "document.getElementById('ladder').textContent")?;
    let text = text.as_str().unwrap_or_default();
    for wanted in ["trunk sipp", "Offhook", "agent Agent 11", "INVITE", "200 OK", "ACK", "m=audio"] {
        ensure!(text.contains(wanted), "the ladder shows no '{wanted}': {text}");
    }
    browser.resize(session, 1_280)?;
    browser.screenshot(session, &folder.join("ladder.png"))?;
    browser.evaluate(session, "document.getElementById('ladder-close').click()")?;
    Ok(rungs)
}

/// The digits of a text, one after the other.
fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}
