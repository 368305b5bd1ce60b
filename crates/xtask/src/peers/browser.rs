//! Phones in pages: Chromium signs in by `/phone`, takes calls of a queue over PCMU and over Opus, and both sides hear each other.
//! One customer is a browser, too: an independent one, the `webrtc` crate.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::chromium::{Browser, base64};
use super::exchange::Exchange;
use super::quality::{downsample, upsample};
use super::transfer::Phone;
use crate::children::{Running, wait_for};
use crate::speech::{self, Pesq, Recording, Speech};
use crate::{g711, http};

/// Whatever is waited for.
const SOON: Duration = Duration::from_secs(20);
/// What everybody says over and over, in seconds: one utterance.
const SECONDS: usize = 9;
/// How long they talk: the utterance is whole in it, wherever listening begins.
const TALK: Duration = Duration::from_secs(18);
/// What the file of the microphone is at.
const RATE: u32 = 48_000;
/// PESQ over PCMU and over Opus of what the exchange has got from a page; measured are 4.11 and 4.06. Chromium's own thread of
/// sound stalls where the machine does.
const PESQ_RECORDED: [f64; 2] = [3.8, 3.6];
/// The same of what somebody hears through a jitter buffer, which stretches speech then; measured are 4.1 to 4.2.
const PESQ_HEARD: [f64; 2] = [3.3, 3.0];

/// Takes down what a page plays, as samples of 16 bits. The rate is that of the codec, once it has begun to speak.
const TAKE_DOWN: &str = "(async () => {
    const [track] = document.getElementById('ear').srcObject.getAudioTracks();
    const frames = new MediaStreamTrackProcessor({ track, maxBufferSize: 1000 }).readable.getReader();
    [window.takenDown, window.takenAt] = [[], 0];
    const next = async () => {
        const { value } = await frames.read();
        const samples = new Float32Array(value.numberOfFrames);
        value.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
        if (value.sampleRate !== window.takenAt) [window.takenDown, window.takenAt] = [[], value.sampleRate];
        window.takenDown.push(Int16Array.from(samples, (s) => Math.max(-1, Math.min(1, s)) * 32767));
        value.close();
    };
    (async () => { for (;;) await next(); })();
})()";
/// Gives what was taken down, in base64.
const GIVE: &str = "(() => {
    const blob = new Blob(window.takenDown);
    return new Promise((give) => {
        const reader = new FileReader();
        reader.onload = () => give(reader.result.split(',')[1]);
        reader.readAsDataURL(blob);
    });
})()";

/// A signed-in page.
pub(super) struct Page {
    pub session: String,
    account: &'static str,
}

impl Page {
    pub fn open(browser: &mut Browser, exchange: &Exchange, account: &'static str) -> Result<Self> {
        Self::open_at("phone", browser, exchange, account)
    }

    /// The same; the page is asked for by `path`.
    pub fn open_at(path: &str, browser: &mut Browser, exchange: &Exchange, account: &'static str) -> Result<Self> {
        let session = browser.open(&format!("http://{}/{path}", exchange.http))?;
        let page = Self { session, account };
        page.wait(browser, "the page's settings", "document.getElementById('server')?.value.startsWith('ws://')")?;
        let fill = format!(
            "(() => {{ const of = (id) => document.getElementById(id);
               of('account').value = '{account}'; of('password').value = '{account}-secret'; of('process').checked = false;
               of('sign-in').requestSubmit(); }})()"
        );
        browser.evaluate(&page.session, &fill)?;
        if let Err(error) = page.wait_for_text(browser, "link-text", &format!("Signed in as {account}")) {
            let said = ["check-text", "check-level", "check-lost", "check-delay"].map(|id| page.text(browser, id));
            let said = said.map(Result::unwrap_or_default).join(", ");
            return Err(error.context(format!("its sound check says: {said}")));
        }
        Ok(page)
    }

    pub fn wait(&self, browser: &mut Browser, what: &str, expression: &str) -> Result<()> {
        wait_for(&format!("{what} ({})", self.account), SOON, || {
            Ok((browser.evaluate(&self.session, expression)? == true).then_some(()))
        })
    }

    pub fn text(&self, browser: &mut Browser, id: &str) -> Result<String> {
        let text = browser.evaluate(&self.session, &format!("document.getElementById('{id}').textContent"))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    pub fn wait_for_text(&self, browser: &mut Browser, id: &str, wanted: &str) -> Result<()> {
        let mut last = String::new();
        let waited = wait_for(&format!("'{wanted}' in the page"), SOON, || {
            last = self.text(browser, id)?;
            Ok((last == wanted).then_some(()))
        });
        waited.with_context(|| format!("#{id} of {} says '{last}'", self.account))
    }

    pub fn click(&self, browser: &mut Browser, id: &str) -> Result<()> {
        browser.evaluate(&self.session, &format!("document.getElementById('{id}').click()")).map(drop)
    }

    pub fn answer(&self, browser: &mut Browser) -> Result<()> {
        self.wait_for_text(browser, "call-state", "Incoming call")?;
        self.click(browser, "answer")?;
        self.wait_for_text(browser, "call-state", "Talking")?;
        self.wait(browser, "sound from the exchange", "document.getElementById('ear').srcObject !== null")?;
        browser.evaluate(&self.session, TAKE_DOWN).map(drop)
    }

    pub fn heard(&self, browser: &mut Browser) -> Result<Vec<i16>> {
        let given = browser.evaluate(&self.session, GIVE)?;
        let bytes = base64(given.as_str().context("what the page heard")?)?;
        let samples: Vec<i16> = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        let rate = browser.evaluate(&self.session, "window.takenAt")?.as_u64().context("what it is played at")?;
        if rate == 8_000 { Ok(samples) } else { downsample(&samples, rate as u32) }
    }
}

/// A customer whose speech goes by the `webrtc` crate: what it says is in `said.wav`, what it hears in `heard.wav`.
fn by_webrtc(bench: &Bench, exchange: &Exchange, speech: &Speech) -> Result<Running> {
    let file = |name: &str| bench.folder.join(name);
    speech::write_wav(&file("said.wav"), 8_000, &speech.samples)?;
    let mut command = Command::new(&bench.offhook);
    command.args(["call", &format!("sip:200@{}", exchange.sip), "--webrtc", "--expect-hang-up", "--json"]);
    command.args(["--listen", "127.0.1.2:0", "--play"]).arg(file("said.wav")).arg("--record").arg(file("heard.wav"));
    Running::start("the customer by WebRTC", &mut command, &file("webrtc.log"))
}

fn by_telephone(bench: &Bench, speech: &Speech) -> Result<Phone> {
    let mut command = Command::new(&bench.offhook);
    command.args(["phone", "--headless", "--events", "--listen", "127.0.1.2:0"]);
    Phone::start("telephone", command, &bench.folder, &speech.samples)
}

/// Of a Chromium whose microphone hears this file.
pub(super) fn options(microphone: &Path) -> [String; 9] {
    [
        "--use-fake-ui-for-media-stream".to_owned(),
        "--use-fake-device-for-media-stream".to_owned(),
        format!("--use-file-for-fake-audio-capture={}", microphone.display()),
        "--autoplay-policy=no-user-gesture-required".to_owned(),
        "--enable-logging=stderr".to_owned(),
        // The way between the two is the loopback, where nothing else may be.
        "--allow-loopback-in-peer-connection".to_owned(),
        // Of two pages one is behind the other, and works on all the same.
        "--disable-renderer-backgrounding".to_owned(),
        "--disable-background-timer-throttling".to_owned(),
        "--disable-backgrounding-occluded-windows".to_owned(),
    ]
}

pub fn run(bench: &Bench) -> Result<String> {
    crate::apt::must_have("chromium")?;
    let pesq = Pesq::install()?;
    let speech = Speech::open()?.first(SECONDS);
    let microphone = bench.folder.join("microphone.wav");
    speech::write_wav(&microphone, RATE, &upsample(&speech.samples))?;
    let (data, log) = (bench.folder.join("data"), bench.folder.join("exchange.log"));
    let mut exchange = Exchange::start(&bench.offhook, "fixtures/peers/browser.toml", &data, &log)?;
    let mut browser = Browser::start(&bench.folder, &options(&microphone))?;
    let pages = [Page::open(&mut browser, &exchange, "paula")?, Page::open(&mut browser, &exchange, "otto")?];
    exchange.wait_available(2, SOON)?;
    let checked = sound_checks(&mut browser, &pages, &exchange)?;
    let echoed = over_ipv6(bench, &exchange, &speech)?;

    let mut one = by_webrtc(bench, &exchange, &speech)?;
    pages[0].answer(&mut browser)?;
    let mut other = by_telephone(bench, &speech)?;
    other.tell(&json!({ "do": "dial", "to": format!("sip:300@{}", exchange.sip) }))?;
    let call = other.event("answered")?;
    pages[1].answer(&mut browser)?;
    exchange.wait_calls("talking", 2, SOON)?;
    std::thread::sleep(TALK);
    let line = pages[0].text(&mut browser, "quality")?;
    ensure!(line == "Good", "the page says of its line: {line}");
    picture(&mut browser, &pages[0], &bench.folder)?;
    let heard = [pages[0].heard(&mut browser)?, pages[1].heard(&mut browser)?];

    another_network(&mut browser, &pages[0], &exchange)?;
    hold(&mut browser, &pages[0], &mut exchange)?;
    pages[0].click(&mut browser, "hang-up")?;
    ensure!(one.wait(SOON)?.success(), "the customer by WebRTC did not end well:\n{}", one.tail(5));
    other.tell(&json!({ "do": "hang_up", "call": call }))?;
    other.event("ended")?;
    pages[1].wait_for_text(&mut browser, "call-state", "Ended")?;
    let records = exchange.wait_records(2, SOON)?;
    let (rate, of_one) = speech::read_wav(&bench.folder.join("heard.wav"))?;
    let of_one = if rate == 8_000 { of_one } else { downsample(&of_one, rate)? };
    let customers = [of_one, g711::decode_all(&other.payloads("in", call)?)];
    let mut figures = vec![checked, echoed];
    for (n, what) in ["PCMU", "Opus"].into_iter().enumerate() {
        let queue = ["sales", "support"][n];
        let record = records.iter().find(|record| record["queue"]["name"] == queue).context("its record")?;
        let suite = record["agent_srtp"]["suite"].as_str().context("the page's speech was not encrypted")?.to_owned();
        let recording = Recording::open(&exchange.recording_of(record)?)?;
        ensure!(record["caller_srtp"].is_null() == (n == 1), "the customers' speech: {record}");
        for (who, samples) in [
            ("the page heard", &heard[n]),
            ("the customer heard", &customers[n]),
            ("the recording has of the page", &g711::decode_all(&recording.right)),
        ] {
            speech::write_wav(&bench.folder.join(format!("{what}: {who}.wav")), 8_000, samples)?;
            let pairs = speech.found_by_envelope(samples);
            ensure!(!pairs.is_empty(), "{what}: {who} none of {} utterances", speech.utterances.len());
            let scores = pesq.scores(&pairs)?;
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            let least = if who.ends_with(" heard") { PESQ_HEARD[n] } else { PESQ_RECORDED[n] };
            ensure!(mean >= least, "{what}: {who} {} utterances at a PESQ of {mean:.2}", scores.len());
            figures.push(format!("{who} {} at {mean:.2} over {what}", scores.len()));
        }
        figures.push(suite);
    }
    figures.push(visitor(&mut browser, &pages, &mut exchange, &bench.folder)?);
    other.tell(&json!({ "do": "off" }))?;
    ensure!(other.running.wait(SOON)?.success(), "the telephone did not end well:\n{}", other.running.tail(5));
    exchange.stop()?;
    Ok(figures.join(", "))
}

/// A customer by the `webrtc` crate hears itself over IPv6.
fn over_ipv6(bench: &Bench, exchange: &Exchange, speech: &Speech) -> Result<String> {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        return Ok("no IPv6 here".to_owned());
    }
    let said = bench.folder.join("said.wav");
    speech::write_wav(&said, 8_000, &speech.samples)?;
    let mut command = Command::new(&bench.offhook);
    command.args(["call", &format!("sip:*43@[::1]:{}", exchange.sip.port()), "--webrtc", "--listen", "[::1]:0"]);
    command.args(["--for", "4s", "--json", "--play"]).arg(said).arg("--record").arg(bench.folder.join("echo.wav"));
    let output = command.output().context("offhook call")?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).context("its report")?;
    let of = |name: &str| report[name].as_u64().unwrap_or_default();
    let (sent, back, lost) = (of("sent_packets"), of("received_packets"), of("lost"));
    // What is said before the handshake is over does not come back.
    ensure!(sent >= 190 && back + 60 >= sent && lost == 0, "over IPv6: {report}");
    Ok(format!("{back} of {sent} packets came back over IPv6"))
}

/// What the pages found of their sound before they were ready; and a page whose microphone is dead, which does not get so far.
fn sound_checks(browser: &mut Browser, pages: &[Page; 2], exchange: &Exchange) -> Result<String> {
    let mut told = Vec::new();
    for page in pages {
        let figures = ["check-level", "check-lost", "check-delay"].map(|id| page.text(browser, id));
        let [level, lost, delay] = figures;
        let (level, lost, delay) = (level?, lost?, delay?);
        let of = |text: &str| text.split(' ').next().and_then(|n| n.replace('−', "-").parse::<f64>().ok());
        let all = of(&level).zip(of(&lost)).zip(of(&delay)).context("the sound check's figures")?;
        ensure!(all.0.0 > -50.0 && all.0.1 <= 5.0 && all.1 > 0.0 && all.1 <= 800.0, "{level}, {lost}, {delay}");
        told.push(format!("{} passed its sound check at {level}, {lost} lost, {delay} there and back", page.account));
    }
    let session = browser.open(&format!("http://{}/phone", exchange.http))?;
    let page = Page { session, account: "dora" };
    page.wait(browser, "the page's settings", "document.getElementById('server')?.value.startsWith('ws://')")?;
    let dead = "(() => { const of = (id) => document.getElementById(id);
        navigator.mediaDevices.getUserMedia = async () => new AudioContext().createMediaStreamDestination().stream;
        of('account').value = 'dora'; of('password').value = 'dora-secret'; of('sign-in').requestSubmit(); })()";
    browser.evaluate(&page.session, dead)?;
    page.wait_for_text(browser, "link-text", "Not ready: the sound check has to pass first")?;
    let why = page.text(browser, "check-text")?;
    ensure!(why.starts_with("Nothing is heard from your microphone"), "the page says '{why}'");
    ensure!(exchange.agents_in("available")? == 2, "who is not heard is ready: {:?}", exchange.agents()?);
    browser.evaluate(&page.session, "window.dispatchEvent(new Event('beforeunload')); location = 'about:blank'")?;
    Ok(told.join(", "))
}

/// Hears speech from here on.
pub(super) fn hears(browser: &mut Browser, page: &Page) -> Result<()> {
    browser.evaluate(&page.session, TAKE_DOWN)?;
    let loud = "window.takenDown.some((samples) => samples.some((s) => Math.abs(s) > 3000))";
    page.wait(browser, "speech", loud)
}

/// Somebody without an account calls from the page of an entrance; the agent sees a name, asks a colleague, and puts the call
/// through. All hear speech.
fn visitor(browser: &mut Browser, pages: &[Page; 2], exchange: &mut Exchange, folder: &Path) -> Result<String> {
    exchange.wait_available(2, SOON)?;
    let [agent, colleague] = pages;
    let session = browser.open(&format!("http://{}/call/shop", exchange.http))?;
    let page = Page { session, account: "visitor" };
    page.wait(browser, "the page", "document.getElementById('title')?.textContent === 'Call the shop'")?;
    let call = "document.getElementById('name').value = 'Jane Doe'; document.getElementById('enter').requestSubmit()";
    browser.evaluate(&page.session, call)?;
    agent.answer(browser)?;
    let who = agent.text(browser, "call-who")?;
    ensure!(who.contains("Jane Doe"), "the agent sees '{who}'");
    let connected = "document.getElementById('state').textContent.startsWith('Connected')";
    page.wait(browser, "the visitor's call", connected)?;
    hears(browser, agent)?;
    hears(browser, &page)?;
    browser.evaluate(&agent.session, "document.getElementById('target').value = 'otto'")?;
    agent.click(browser, "consult")?;
    colleague.answer(browser)?;
    agent.wait(browser, "the colleague", "!document.getElementById('put-through').disabled")?;
    hears(browser, agent)?;
    browser.resize(&agent.session, 360)?;
    browser.screenshot(&agent.session, &folder.join("consulting-360.png"))?;
    agent.click(browser, "put-through")?;
    agent.wait_for_text(browser, "call-state", "Ended")?;
    hears(browser, colleague)?;
    hears(browser, &page)?;
    browser.resize(&page.session, 360)?;
    let scroll = browser.evaluate(&page.session, "document.documentElement.scrollWidth")?.as_u64().unwrap_or(u64::MAX);
    ensure!(scroll <= 360, "the visitor's page of 360 is {scroll} wide");
    browser.screenshot(&page.session, &folder.join("visitor-360.png"))?;
    page.click(browser, "hang-up")?;
    page.wait_for_text(browser, "state", "The call is over")?;
    let record = wait_for("the record of the visitor", SOON, || {
        let of_her = |record: &serde_json::Value| record["caller"]["text"] == "Jane Doe (shop)";
        Ok(exchange.records()?.into_iter().find(of_her))
    })?;
    ensure!(record["caller_srtp"].is_object(), "the visitor's record: {record}");
    let talked = record["talks"].as_array().map_or(0, Vec::len);
    ensure!(talked == 2, "{talked} talked with the visitor: {record}");
    Ok("a visitor without an account called from a page, and was put through from page to page".to_owned())
}

/// An agent's page does as if it were on another network: the way is looked for anew, with new credentials of ICE.
pub(super) fn look_anew(exchange: &Exchange, agent: &str, tell: impl FnOnce() -> Result<Value>) -> Result<()> {
    let calls = exchange.calls()?;
    let call = calls.iter().find(|call| call["agent"] == agent).context("the agent's call")?;
    let path = format!("/api/v1/calls/{}/ladder", call["id"].as_str().context("its id")?);
    let credentials =
        || Ok::<_, anyhow::Error>(http::ask(exchange.http, "GET", &path, None)?.1.matches("a=ice-pwd:").count());
    let before = credentials()?;
    tell()?;
    wait_for("another offer and answer", SOON, || Ok((credentials()? >= before + 2).then_some(())))
}

/// The page is told that it is on another network, and speech goes on.
fn another_network(browser: &mut Browser, page: &Page, exchange: &Exchange) -> Result<()> {
    look_anew(exchange, "Paula", || browser.evaluate(&page.session, "window.dispatchEvent(new Event('online'))"))?;
    browser.evaluate(&page.session, "window.takenDown.length = 0")?;
    page.wait(browser, "speech on the new way", "window.takenDown.length > 200")?;
    ensure!(page.text(browser, "call-state")? == "Talking", "the page does not talk any more");
    Ok(())
}

/// The page holds, and takes the call up again.
fn hold(browser: &mut Browser, page: &Page, exchange: &mut Exchange) -> Result<()> {
    page.click(browser, "hold")?;
    page.wait_for_text(browser, "call-state", "On hold")?;
    exchange.wait_calls("held", 1, SOON)?;
    page.click(browser, "hold")?;
    page.wait_for_text(browser, "call-state", "Talking")?;
    exchange.wait_calls("talking", 2, SOON)
}

fn picture(browser: &mut Browser, page: &Page, folder: &Path) -> Result<()> {
    for width in [360, 1_280] {
        browser.resize(&page.session, width)?;
        let scroll =
            browser.evaluate(&page.session, "document.documentElement.scrollWidth")?.as_u64().unwrap_or(u64::MAX);
        ensure!(scroll <= u64::from(width), "at a width of {width} the page is {scroll} wide");
        browser.screenshot(&page.session, &folder.join(format!("phone-{width}.png")))?;
    }
    Ok(())
}
