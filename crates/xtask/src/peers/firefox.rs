//! Firefox without a screen, driven by Marionette, its own protocol over a TCP port: an agent's phone in its page takes a call of a queue.
//!
//! Firefox sends no speech over the loopback, so that the test takes itself into a network with an address of its own first.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::browser::look_anew;
use super::devices::Sound;
use super::exchange::Exchange;
use super::transfer::Phone;
use super::{Bench, nat};
use crate::children::{Running, wait_for};
use crate::{apt, g711, speech};

/// Whatever is waited for; a first start writes a profile.
const SOON: Duration = Duration::from_secs(30);
/// What Firefox has for a microphone where it has none: a tone.
const FAKE_HZ: f64 = 440.0;
/// What the caller says.
const CALLER_HZ: f64 = 1_000.0;

/// Where the exchange listens for the page, in fixtures/peers/firefox.toml.
const WEBSOCKET: &str = "10.77.1.1:25066";
/// 200 ms.
const WINDOW: usize = 1_600;
/// What the page says then.
const SIGNED_IN: &str = "document.getElementById('link-text').textContent === 'Signed in as dora'";

/// What asks, and what reaches out: the test's network leads nowhere.
const PREFERENCES: &str = r#"
user_pref("marionette.port", 0);
user_pref("media.navigator.streams.fake", true);
user_pref("media.navigator.audio.fake_frequency", 440);
user_pref("media.navigator.permission.disabled", true);
user_pref("media.autoplay.default", 0);
user_pref("media.autoplay.blocking_policy", 0);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("app.update.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.safebrowsing.update.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.update.enabled", false);
user_pref("toolkit.telemetry.server", "");
"#;

/// What a page hears within a second: the frequency that is loudest, and how loud it is, in dB below full scale.
const HEARD: &str = "
    const source = new AudioContext();
    await source.resume();
    const analyser = source.createAnalyser();
    analyser.fftSize = 4096;
    source.createMediaStreamSource(document.getElementById('ear').srcObject).connect(analyser);
    await new Promise((done) => setTimeout(done, 1000));
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    const loudest = bins.indexOf(Math.max(...bins));
    const told = [loudest * source.sampleRate / analyser.fftSize, bins[loudest]];
    await source.close();
    return told;";

/// The browser with one page.
struct Firefox {
    _running: Running,
    to: TcpStream,
    from: BufReader<TcpStream>,
    next: u64,
}

impl Firefox {
    fn start(folder: &Path, sound: &Sound) -> Result<Self> {
        let profile = folder.join("firefox");
        std::fs::create_dir_all(&profile)?;
        std::fs::write(profile.join("user.js"), PREFERENCES)?;
        let mut command = sound.command("firefox-esr");
        command.args(["--headless", "--no-remote", "--marionette", "--profile"]).arg(&profile).arg("about:blank");
        command.env("HOME", folder).env("MOZ_CRASHREPORTER_DISABLE", "1");
        let mut running = Running::start("Firefox", &mut command, &folder.join("firefox.log"))?;
        let port = wait_for("Firefox's port", SOON, || {
            running.must_run()?;
            let text = std::fs::read_to_string(profile.join("MarionetteActivePort")).unwrap_or_default();
            Ok(text.trim().parse::<u16>().ok())
        })?;
        let to = TcpStream::connect(("127.0.0.1", port)).context("Firefox's port")?;
        to.set_read_timeout(Some(SOON))?;
        let mut firefox = Self { _running: running, from: BufReader::new(to.try_clone()?), to, next: 0 };
        let hello = firefox.read()?;
        ensure!(hello["marionetteProtocol"] == 3, "Firefox says {hello}");
        firefox.ask("WebDriver:NewSession", &json!({}))?;
        firefox.ask("WebDriver:SetTimeouts", &json!({ "script": SOON.as_millis() as u64 }))?;
        Ok(firefox)
    }

    /// One message: its length, a colon, and so many bytes of JSON.
    fn read(&mut self) -> Result<Value> {
        let mut length = Vec::new();
        self.from.by_ref().take(20).read_until(b':', &mut length).context("Firefox's answer")?;
        let length = std::str::from_utf8(&length)?.trim_end_matches(':').parse().context("the length of a message")?;
        let mut message = vec![0; length];
        self.from.read_exact(&mut message)?;
        Ok(serde_json::from_slice(&message)?)
    }

    fn ask(&mut self, command: &str, parameters: &Value) -> Result<Value> {
        self.next += 1;
        let message = json!([0, self.next, command, parameters]).to_string();
        self.to.write_all(format!("{}:{message}", message.len()).as_bytes())?;
        loop {
            let answer = self.read()?;
            if answer[1] == self.next {
                ensure!(answer[2].is_null(), "{command}: {}", answer[2]);
                return Ok(answer[3].clone());
            }
        }
    }

    /// What the body of an asynchronous function returns in the page.
    fn run(&mut self, body: &str) -> Result<Value> {
        let script = format!("return (async () => {{ {body} }})()");
        let answer = self.ask("WebDriver:ExecuteScript", &json!({ "script": script, "args": [] }))?;
        Ok(answer["value"].clone())
    }

    fn click(&mut self, id: &str) -> Result<()> {
        self.run(&format!("document.getElementById('{id}').click();")).map(drop)
    }

    fn wait(&mut self, what: &str, expression: &str) -> Result<()> {
        let waited = wait_for(&format!("{what} (Firefox)"), SOON, || {
            Ok((self.run(&format!("return {expression};"))? == true).then_some(()))
        });
        let Err(error) = waited else { return Ok(()) };
        let shown = self.run("return document.body.innerText;").unwrap_or_default();
        bail!("{error:#}; it shows: {}", shown.as_str().unwrap_or_default().replace('\n', " | "))
    }
}

/// Takes itself into a network of its own and runs [`inside`] there.
pub fn run(bench: &Bench) -> Result<String> {
    for program in ["unshare", "ip", "pulseaudio"] {
        apt::must_have(program)?;
    }
    // Of Debian's own packages: who has another Firefox may go without.
    if apt::must_have("firefox-esr").is_err() {
        return Ok("NOT TESTED: firefox-esr is not installed".to_owned());
    }
    nat::run_inside(bench, "firefox")
}

/// Gives its network an address and runs the test.
pub fn inside(bench: &Bench) -> Result<String> {
    for line in [
        "link set lo up",
        "link add out type veth peer name there",
        "addr add 10.77.1.1/24 dev out",
        "link set out up",
        "link set there up",
        // Firefox sends from the address that leads to the world.
        "route add default via 10.77.1.2",
    ] {
        nat::done(Command::new("ip").args(line.split(' ')), line)?;
    }
    takes_a_call(bench)
}

/// Carries the page's connection for SIP, until it is cut.
struct Wire {
    at: SocketAddr,
    ends: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    /// To where the exchange listens for WebSocket.
    fn lay(inside: SocketAddr) -> Result<Self> {
        let front = TcpListener::bind(SocketAddr::new(inside.ip(), 0))?;
        let (at, ends) = (front.local_addr()?, Arc::<Mutex<Vec<TcpStream>>>::default());
        let kept = Arc::clone(&ends);
        std::thread::spawn(move || {
            for outer in front.incoming().map_while(Result::ok) {
                let Ok(inner) = TcpStream::connect(inside) else { continue };
                for (from, to) in [(&outer, &inner), (&inner, &outer)] {
                    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { continue };
                    std::thread::spawn(move || {
                        // Whichever end goes first takes the other one along.
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend([outer, inner]);
            }
        });
        Ok(Self { at, ends })
    }

    /// Cuts what is up; a new connection is carried again.
    fn cut(&self) {
        for end in self.ends.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // One that has ended by itself is no longer there.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

/// Signs the page in, by this wire.
fn sign_in(firefox: &mut Firefox, exchange: &mut Exchange, wire: &Wire) -> Result<()> {
    firefox.ask("WebDriver:Navigate", &json!({ "url": format!("http://{}/phone", exchange.http) }))?;
    firefox.wait("the page's settings", "document.getElementById('server')?.value.startsWith('ws://')")?;
    firefox.run(&format!(
        "const of = (id) => document.getElementById(id);
         of('account').value = 'dora'; of('password').value = 'dora-secret'; of('process').checked = false;
         of('server').value = 'ws://{}'; of('sign-in').requestSubmit();",
        wire.at
    ))?;
    firefox.wait("to be signed in", SIGNED_IN)?;
    exchange.wait_available(1, SOON)
}

/// An agent whose phone is a page in Firefox takes a call of a queue: both are heard, keys are pressed, it is muted, holds, finds another
/// way, and outlives a connection for SIP that is cut.
fn takes_a_call(bench: &Bench) -> Result<String> {
    let (data, log) = (bench.folder.join("data"), bench.folder.join("exchange.log"));
    let mut exchange = Exchange::start(&bench.offhook, "fixtures/peers/firefox.toml", &data, &log)?;
    let wire = Wire::lay(WEBSOCKET.parse()?)?;
    // Without a sound card Firefox plays nothing, and a page hears nothing either.
    let sound = Sound::start(&bench.folder)?;
    let mut firefox = Firefox::start(&bench.folder, &sound)?;
    sign_in(&mut firefox, &mut exchange, &wire)?;
    let mut command = Command::new(&bench.offhook);
    command.args(["phone", "--headless", "--events", "--listen", "127.0.1.2:0"]);
    let mut caller = Phone::start("caller", command, &bench.folder, &speech::tone(8_000, CALLER_HZ, 60.0))?;
    caller.tell(&json!({ "do": "dial", "to": format!("sip:300@{}", exchange.sip) }))?;
    let state = |wanted: &str| format!("document.getElementById('call-state').textContent === '{wanted}'");
    firefox.wait("a call", &state("Incoming call"))?;
    firefox.click("answer")?;
    firefox.wait("to talk", &state("Talking"))?;
    let call = caller.event("answered")?;
    firefox.wait("sound from the exchange", "document.getElementById('ear').srcObject !== null")?;
    let first = hears(&mut firefox, "the call")?;
    firefox.run("[...document.querySelectorAll('#keypad button')].find((key) => key.textContent === '5').click();")?;
    let key = caller.until("a key of the page", |event| (event["event"] == "key").then(|| event["digit"].clone()))?;
    ensure!(key == "5", "the page pressed 5, and the caller heard {key}");
    firefox.click("mute")?;
    hears(&mut firefox, "being muted")?;
    firefox.click("mute")?;
    look_anew(&exchange, "Dora", || firefox.run("window.dispatchEvent(new Event('online'));"))?;
    hears(&mut firefox, "another network")?;
    firefox.click("hold")?;
    firefox.wait("to hold", &state("On hold"))?;
    exchange.wait_calls("held", 1, SOON)?;
    firefox.click("hold")?;
    firefox.wait("to talk again", &state("Talking"))?;
    exchange.wait_calls("talking", 1, SOON)?;
    wire.cut();
    firefox.wait("to be cut off", &format!("!({SIGNED_IN})"))?;
    firefox.wait("to be signed in again", SIGNED_IN)?;
    firefox.wait("to talk on", &state("Talking"))?;
    hears(&mut firefox, "its connection was cut")?;
    // What the exchange says in the call finds the page by its new connection.
    caller.tell(&json!({ "do": "hang_up", "call": call }))?;
    caller.event("ended")?;
    firefox.wait("the end of the call", &state("Ended"))?;
    let heard = g711::decode_all(&caller.payloads("in", call)?);
    caller.tell(&json!({ "do": "off" }))?;
    ensure!(caller.running.wait(SOON)?.success(), "the caller did not end well:\n{}", caller.running.tail(5));
    exchange.stop()?;
    let tones = heard.chunks_exact(WINDOW).filter(|window| speech::share_at(window, 8_000, FAKE_HZ) > 0.8).count();
    ensure!(
        tones >= 15,
        "the caller heard the tone of Firefox in {tones} fifths of a second of {}",
        heard.len() / WINDOW
    );
    let silent = |window: &[i16]| window.iter().all(|sample| sample.unsigned_abs() < 50);
    ensure!(heard.chunks_exact(WINDOW).skip(2).any(silent), "the muted page was heard all the while");
    Ok(format!(
        "Firefox heard {:.0} Hz at {:.0} dB, its caller the tone in {tones} of {} fifths of a second; key, mute, hold, another network, and a \
         connection cut in mid-call",
        first[0],
        first[1],
        heard.len() / WINDOW
    ))
}

/// What the caller says is what the page hears most.
fn hears(firefox: &mut Firefox, after: &str) -> Result<[f64; 2]> {
    let heard = firefox.run(HEARD)?;
    let figures = [&heard[0], &heard[1]].map(|figure| figure.as_f64().unwrap_or(f64::NAN));
    ensure!((figures[0] - CALLER_HZ).abs() < 30.0 && figures[1] > -60.0, "after {after} Firefox hears {heard}");
    Ok(figures)
}
