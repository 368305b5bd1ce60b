//! One call through everybody's pages: an agent in one Chromium passes the sound check and goes available for a caller who waits, a supervisor
//! in another one whispers, the call is transferred, wrapped up, and found again with its recording. Everybody says a tone of its own.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::browser::{Page, options};
use super::chromium::Browser;
use super::exchange::Exchange;
use super::line::joined;
use super::sipp::{Lines, Sipp, loopback};
use super::supervise::{TONES, tenths};
use crate::children::wait_for;
use crate::{apt, g711, http, speech};

/// Whatever is waited for.
const SOON: Duration = Duration::from_secs(20);
/// How long each part of the talk lasts.
const PART: Duration = Duration::from_millis(2_500);
/// What the files of the microphones are at.
const RATE: u32 = 48_000;
const CALLER: usize = 0;
const PAULA: usize = 1;
const SAM: usize = 2;
const PASSWORD: &str = "staple battery horse";

/// Somebody at work: a page to work with, and a phone.
struct Worker {
    browser: Browser,
    desk: String,
    phone: Page,
}

impl Worker {
    /// Signs in to both, in a browser whose microphone hears this tone.
    fn start(bench: &Bench, exchange: &Exchange, (name, page): (&'static str, &str), tone: usize) -> Result<Self> {
        let folder = bench.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let microphone = folder.join("microphone.wav");
        // Softer than the clicks of the sound check.
        let samples: Vec<i16> = speech::tone(RATE, TONES[tone], 30.0).into_iter().map(|sample| sample / 4).collect();
        speech::write_wav(&microphone, RATE, &samples)?;
        let mut options = options(&microphone).to_vec();
        options.push("--lang=en".to_owned());
        let mut browser = Browser::start(&folder, &options)?;
        let desk = browser.open(&format!("http://{}/{page}", exchange.http))?;
        until(&mut browser, &desk, "the form to sign in", "document.getElementById('door')?.hidden === false")?;
        let fields = "document.getElementById('sign-in').elements";
        let enter = format!(
            "{fields}.name.value = '{name}'; {fields}.password.value = '{PASSWORD}'; document.getElementById('sign-in').requestSubmit()"
        );
        browser.evaluate(&desk, &enter)?;
        let phone = Page::open(&mut browser, exchange, name)?;
        Ok(Self { browser, desk, phone })
    }

    fn until(&mut self, what: &str, expression: &str) -> Result<()> {
        until(&mut self.browser, &self.desk, what, expression)
    }

    fn says(&mut self, id: &str, words: &str) -> Result<()> {
        let what = format!("{id} to say '{words}'");
        self.until(&what, &format!("document.getElementById('{id}')?.innerText.includes('{words}')"))
    }

    /// Presses the button with these words.
    fn press(&mut self, within: &str, words: &str) -> Result<()> {
        let found = format!(
            "[...document.querySelectorAll('{within} button')].find((b) => b.textContent.trim() === '{words}')"
        );
        self.until(&format!("the button '{words}'"), &format!("{found} && !{found}.disabled"))?;
        self.browser.evaluate(&self.desk, &format!("{found}.click(); true")).map(drop)
    }

    fn do_there(&mut self, script: &str) -> Result<()> {
        self.browser.evaluate(&self.desk, &format!("{script}; true")).map(drop)
    }

    /// Nothing is wider than the window, light and dark, at both sizes; pictures are kept.
    fn picture(&mut self, folder: &Path, what: &str) -> Result<()> {
        for (width, scheme) in [(360, "dark"), (1_920, "light")] {
            self.browser.resize(&self.desk, width)?;
            self.browser.prefer(&self.desk, scheme)?;
            let scroll = self.browser.evaluate(&self.desk, "document.documentElement.scrollWidth")?;
            ensure!(scroll.as_u64().is_some_and(|scroll| scroll <= u64::from(width)), "{what}: {scroll} of {width}");
            self.browser.screenshot(&self.desk, &folder.join(format!("story-{what}-{width}.png")))?;
        }
        Ok(())
    }

    /// In how many tenths of a second each tone was heard since the page began to take down.
    fn heard(&mut self) -> Result<[usize; 3]> {
        let codes = g711::encode_all(&self.phone.heard(&mut self.browser)?);
        Ok([CALLER, PAULA, SAM].map(|tone| tenths(&codes, tone)))
    }
}

fn until(browser: &mut Browser, session: &str, what: &str, expression: &str) -> Result<()> {
    wait_for(what, SOON, || Ok((browser.evaluate(session, &format!("Boolean({expression})"))? == true).then_some(())))
        .with_context(|| {
            let text = browser.evaluate(session, "document.body.innerText").unwrap_or_default();
            text.as_str().unwrap_or_default().to_owned()
        })
}

pub fn run(bench: &Bench) -> Result<String> {
    apt::must_have("chromium")?;
    apt::must_have("sipp")?;
    let config = staffed(bench)?;
    let (data, log) = (bench.folder.join("data"), bench.folder.join("exchange.log"));
    let healthy = |server| http::ask(server, "GET", "/healthz", None).is_ok_and(|(status, _)| status == 200);
    let mut exchange = Exchange::start_where(&bench.offhook, &config, &data, &log, healthy)?;
    let (paula, sam) = std::thread::scope(|both| {
        let exchange = &exchange;
        let paula = both.spawn(move || Worker::start(bench, exchange, ("paula", "desk"), PAULA));
        let sam = Worker::start(bench, exchange, ("sam", ""), SAM);
        (paula.join().map_err(|_| anyhow::anyhow!("a browser panicked")), sam)
    });
    let (mut paula, mut sam) = (paula??, sam?);
    let checked = ["check-level", "check-lost", "check-delay"].map(|id| paula.phone.text(&mut paula.browser, id));
    let [level, lost, delay] = checked;
    let checked = format!("{}, {} lost, {} there and back", level?, lost?, delay?);

    // Nobody is there for the caller yet.
    paula.says("state-big", "Available")?;
    paula.press("#states", "Not ready")?;
    paula.says("state-big", "Not ready")?;
    let callers = Sipp {
        scenario: "caller",
        local: loopback(2, 25_061),
        remote: Some(exchange.sip),
        media: 30_000,
        service: "200",
        calls: 1,
        rate: 1,
        hold: Duration::from_mins(2),
    };
    let mut sipp = callers.start(&bench.folder)?;
    let said: Vec<i16> = speech::tone(8_000, TONES[CALLER], 30.0).into_iter().map(|sample| sample / 3).collect();
    let mut lines = Lines::follow(&callers.log(&bench.folder), g711::encode_all(&said).into(), None)?;
    let waits = wait_for("a caller who waits", SOON, || {
        lines.keep_up(&callers)?;
        exchange.running.must_run()?;
        let text = sam.browser.evaluate(&sam.desk, "document.getElementById('calls').innerText")?;
        Ok(text.as_str().filter(|text| text.to_lowercase().contains("waiting")).map(|_| Instant::now()))
    })?;
    paula.press("#states", "Available")?;
    paula.until("the offer", "document.getElementById('offer')?.hidden === false")?;
    paula.picture(&bench.folder, "offer")?;
    paula.until("its countdown", "Number(document.getElementById('offer-bar').value) > 0")?;
    paula.phone.wait_for_text(&mut paula.browser, "call-state", "Incoming call")?;
    let rang = waits.elapsed();
    paula.do_there("document.getElementById('offer-answer').click()")?;
    paula.says("talk-title", "Talking")?;
    super::browser::hears(&mut paula.browser, &paula.phone)?;
    follow(&mut lines, &callers, PART)?;
    let both = paula.heard()?;

    // The supervisor whispers.
    sam.press("#calls", "Whisper")?;
    sam.phone.answer(&mut sam.browser)?;
    paula.browser.evaluate(&paula.phone.session, "window.takenDown = []; true")?;
    let began = Instant::now();
    follow(&mut lines, &callers, PART)?;
    let (whispered, overheard) = (paula.heard()?, sam.heard()?);
    sam.picture(&bench.folder, "floor")?;
    let ended = Instant::now();
    sam.press("#calls", "Leave")?;
    sam.phone.wait_for_text(&mut sam.browser, "call-state", "Ended")?;

    // Then the call is transferred to whom it was whispered by.
    paula.do_there(
        "document.getElementById('target').value = 'sam'; document.getElementById('transfer').requestSubmit()",
    )?;
    sam.phone.answer(&mut sam.browser)?;
    let transferred = Instant::now();
    follow(&mut lines, &callers, PART)?;
    paula.until("wrap-up", "document.getElementById('wrap')?.hidden === false")?;
    paula.picture(&bench.folder, "wrap-up")?;
    paula.do_there("document.getElementById('wrap-done').click()")?;
    paula.says("note", "choose a code")?;
    paula.do_there("document.querySelector('#codes [role=radio]').click()")?;
    paula.until("the code to be kept", "document.querySelector('#codes [aria-checked=\"true\"]')")?;
    paula.do_there("document.getElementById('wrap-done').click()")?;
    paula.says("state-big", "Available")?;
    sam.phone.click(&mut sam.browser, "hang-up")?;
    sam.phone.wait_for_text(&mut sam.browser, "call-state", "Ended")?;
    // The sound checks were calls, too.
    sam.says("records", "sales")?;
    sam.says("recordings", "sales")?;
    sam.picture(&bench.folder, "past")?;
    sipp.stop()?;
    lines.hang_up()?;
    let heard = lines.ended.get(&1).context("what the caller heard")?;
    let between = |from: Instant, until: Instant| {
        let packets: Vec<_> =
            heard.received.iter().filter(|packet| (from..until).contains(&packet.at)).cloned().collect();
        let codes = joined(&packets);
        [PAULA, SAM].map(|tone| tenths(&codes, tone))
    };
    let [paula_then, sam_then] = between(began, ended);
    let [_, sam_after] = between(transferred, Instant::now());
    exchange.stop()?;
    ensure!(both[CALLER] > 10 && both[SAM] == 0, "before anybody whispers the agent hears {both:?} tenths of a second");
    ensure!(whispered[SAM] > 10, "the agent hears of the whisper {whispered:?}");
    ensure!(overheard[CALLER] > 10 && overheard[PAULA] > 10, "the supervisor hears of the two {overheard:?}");
    ensure!(
        paula_then > 10 && sam_then == 0,
        "the caller hears {paula_then} of the agent and {sam_then} of the whisper"
    );
    ensure!(sam_after > 10, "after the transfer the caller hears {sam_after} of whom the call was transferred to");
    Ok(format!(
        "sound check {checked}; the page rang {} ms after the caller waited and the agent came; of the whisper the agent heard {:.1} s and the \
         caller nothing; transferred, wrapped up with a code, recorded",
        rang.as_millis(),
        whispered[SAM] as f64 / 10.0
    ))
}

/// Time passes, and the caller's line is kept up.
fn follow(lines: &mut Lines, callers: &Sipp<'_>, lasts: Duration) -> Result<()> {
    let until = Instant::now() + lasts;
    while Instant::now() < until {
        lines.keep_up(callers)?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The configuration with its users; gives its path.
fn staffed(bench: &Bench) -> Result<String> {
    let plain = std::fs::read_to_string(crate::root().join("fixtures/peers/story.toml"))?;
    let prompts = crate::root().join("config/prompts");
    let path = bench.folder.join("exchange.toml");
    std::fs::write(&path, plain.replace("../../config/prompts", &prompts.display().to_string()))?;
    let path = path.display().to_string();
    for who in [["paula", "--role", "agent", "--agent", "Paula"], ["sam", "--role", "supervisor", "--agent", "Sam"]] {
        let mut new = Command::new(&bench.offhook);
        new.args(["user", "new"]).args(who).args(["--into", &path]);
        let mut new = new.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let mut input = new.stdin.take().context("standard input")?;
        input.write_all(format!("{PASSWORD}\n").as_bytes())?;
        drop(input);
        ensure!(new.wait()?.success(), "offhook user new ended badly");
    }
    Ok(path)
}
