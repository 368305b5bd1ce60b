//! Chromium without a screen, driven over a pair of named pipes (its DevTools protocol).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::children::Running;

/// An answer of the browser.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The browser.
pub struct Browser {
    _running: Running,
    input: std::fs::File,
    output: Receiver<Value>,
    next: u64,
}

impl Browser {
    /// Starts it with further `options`, its files in `folder`.
    pub fn start(folder: &Path, options: &[String]) -> Result<Self> {
        let (to, from) = (folder.join("to-browser"), folder.join("from-browser"));
        let made = Command::new("mkfifo").args([&to, &from]).status()?;
        ensure!(made.success(), "mkfifo: {made}");
        // Chromium reads file 3 and writes file 4; the shell opens both and becomes Chromium.
        let script = "to=\"$1\"; from=\"$2\"; profile=\"$3\"; shift 3; exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                      --remote-debugging-pipe --user-data-dir=\"$profile\" \"$@\" about:blank 3<\"$to\" 4>\"$from\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(&to).arg(&from).arg(folder.join("profile")).args(options);
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
    pub fn open(&mut self, url: &str) -> Result<String> {
        let target = self.ask(None, "Target.createTarget", &json!({ "url": url }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session =
            self.ask(None, "Target.attachToTarget", &attach)?["sessionId"].as_str().context("a session")?.to_owned();
        Ok(session)
    }

    /// What an expression, or its promise, comes to in a page.
    pub fn evaluate(&mut self, session: &str, expression: &str) -> Result<Value> {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.ask(Some(session), "Runtime.evaluate", &asked)?;
        if !answer["exceptionDetails"].is_null() {
            bail!("the page fails: {}", answer["exceptionDetails"]);
        }
        Ok(answer["result"]["value"].clone())
    }

    /// Makes a page's window so wide.
    pub fn resize(&mut self, session: &str, width: u32) -> Result<()> {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.ask(Some(session), "Emulation.setDeviceMetricsOverride", &size).map(|_| ())
    }

    /// Lets a page's reader prefer `light` or `dark`.
    pub fn prefer(&mut self, session: &str, scheme: &str) -> Result<()> {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.ask(Some(session), "Emulation.setEmulatedMedia", &features).map(|_| ())
    }

    /// Takes a picture of a page.
    pub fn screenshot(&mut self, session: &str, file: &Path) -> Result<()> {
        let answer = self.ask(Some(session), "Page.captureScreenshot", &json!({ "format": "png" }))?;
        let image = base64(answer["data"].as_str().context("a picture")?)?;
        ensure!(image.starts_with(b"\x89PNG") && image.len() > 2_000, "a picture of {} bytes", image.len());
        std::fs::write(file, image).with_context(|| file.display().to_string())
    }
}

/// Reads base64 (RFC 4648 section 4).
pub fn base64(text: &str) -> Result<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_read() {
        assert_eq!(super::base64("aGVsbG8gd29ybGQ=").ok().as_deref(), Some(&b"hello world"[..]));
        assert!(super::base64("a b").is_err());
    }
}
