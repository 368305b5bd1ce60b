//! The page in headless Chromium: what it shows while one caller talks and one waits, at the widths of a phone and a desk.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::agents::{Account, Agent};
use super::exchange::Exchange;
use super::sipp::{Lines, Sipp, loopback};
use crate::children::{Running, wait_for};
use crate::speech::{self, Speech};
use crate::{apt, g711};

/// An answer of the browser.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// The page shows a change within this.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);

/// Chromium, driven over a pair of named pipes (its DevTools protocol).
struct Browser {
    _running: Running,
    input: std::fs::File,
    output: Receiver<Value>,
    next: u64,
}

impl Browser {
    fn start(folder: &Path) -> Result<Self> {
        let (to, from) = (folder.join("to-browser"), folder.join("from-browser"));
        let made = Command::new("mkfifo").args([&to, &from]).status()?;
        ensure!(made.success(), "mkfifo: {made}");
        // Chromium reads file 3 and writes file 4; the shell opens both and becomes Chromium.
        let script = "exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                      --remote-debugging-pipe --user-data-dir=\"$3\" about:blank 3<\"$1\" 4>\"$2\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(&to).arg(&from).arg(folder.join("profile"));
        let running = Running::start("Chromium", &mut command, &folder.join("chromium.log"))?;
        let input = std::fs::File::options().write(true).open(&to)?;
        let reader = BufReader::new(std::fs::File::open(&from)?);
        let (send, output) = channel();
        std::thread::spawn(move || {
            for message in reader.split(0).map_while(Result::ok) {
                if let Ok(value) = serde_json::from_slice(&message)
                    && send.send(value).is_err()
                {
                    break;
                }
            }
        });
        Ok(Self { _running: running, input, output, next: 0 })
    }

    fn ask(&mut self, session: Option<&str>, method: &str, parameters: &Value) -> Result<Value> {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": parameters });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        self.input.write_all(format!("{message}\0").as_bytes())?;
        loop {
            let answer =
                self.output.recv_timeout(ANSWER_WITHIN).with_context(|| format!("the browser's answer to {method}"))?;
            if answer["id"] == self.next {
                ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return Ok(answer["result"].clone());
            }
        }
    }

    /// Opens a page and gives its session.
    fn open(&mut self, url: &str) -> Result<String> {
        let target = self.ask(None, "Target.createTarget", &json!({ "url": url }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session =
            self.ask(None, "Target.attachToTarget", &attach)?["sessionId"].as_str().context("a session")?.to_owned();
        Ok(session)
    }

    fn evaluate(&mut self, session: &str, expression: &str) -> Result<Value> {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.ask(Some(session), "Runtime.evaluate", &asked)?;
        if !answer["exceptionDetails"].is_null() {
            bail!("the page fails: {}", answer["exceptionDetails"]);
        }
        Ok(answer["result"]["value"].clone())
    }

    fn resize(&mut self, session: &str, width: u32) -> Result<()> {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.ask(Some(session), "Emulation.setDeviceMetricsOverride", &size).map(|_| ())
    }

    fn screenshot(&mut self, session: &str, file: &Path) -> Result<()> {
        let answer = self.ask(Some(session), "Page.captureScreenshot", &json!({ "format": "png" }))?;
        let image = base64(answer["data"].as_str().context("a picture")?)?;
        ensure!(image.starts_with(b"\x89PNG") && image.len() > 2_000, "a picture of {} bytes", image.len());
        std::fs::write(file, image).with_context(|| file.display().to_string())
    }
}

/// Reads base64 (RFC 4648 section 4).
fn base64(text: &str) -> Result<Vec<u8>> {
    let (mut bytes, mut held, mut bits) = (Vec::with_capacity(text.len() * 3 / 4), 0_u32, 0);
    for character in text.bytes().take_while(|c| *c != b'=') {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            other => bail!("{other:#x} in base64"),
        };
        held = (held << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    Ok(bytes)
}

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
    let mut browser = Browser::start(&bench.folder)?;
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

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_read() {
        assert_eq!(super::base64("aGVsbG8gd29ybGQ=").ok().as_deref(), Some(&b"hello world"[..]));
        assert!(super::base64("a b").is_err());
    }
}
