//! The agent's desk in headless Chromium, with a real exchange, a softphone and callers: a call is held, ended, coded and wrapped up by
//! keys alone, the next one of the same caller shows what was noted, and axe-core finds nothing on any view, light and dark.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::admin;
use super::agents::{Account, Agent};
use super::chromium::Browser;
use super::exchange::Exchange;
use super::sipp::{Sipp, loopback};
use crate::children::wait_for;
use crate::speech::{self, Speech};
use crate::{apt, axe, http};

/// The page shows a change within this.
const SHOWN_WITHIN: Duration = Duration::from_secs(15);
const PASSWORD: &str = "staple battery horse";
const NOTE: &str = "The parcel was open.";

struct Desk<'a> {
    browser: &'a mut Browser,
    session: String,
}

impl Desk<'_> {
    /// Waits until an expression is true in the page.
    fn until(&mut self, what: &str, expression: &str) -> Result<()> {
        wait_for(what, SHOWN_WITHIN, || {
            Ok((self.browser.evaluate(&self.session, &format!("Boolean({expression})"))? == true).then_some(()))
        })
        .with_context(|| self.text().unwrap_or_default())
    }

    fn text(&mut self) -> Result<String> {
        let text = self.browser.evaluate(&self.session, "document.body.innerText")?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Presses a key where no field has the focus.
    fn key(&mut self, key: &str) -> Result<()> {
        let press = format!(
            "document.activeElement.blur(); document.body.dispatchEvent(new KeyboardEvent('keydown', {{ key: '{key}', bubbles: true }})); true"
        );
        self.browser.evaluate(&self.session, &press).map(drop)
    }

    fn says(&mut self, id: &str, words: &str) -> Result<()> {
        self.until(
            &format!("{id} to say '{words}'"),
            &format!("document.getElementById('{id}').innerText.includes('{words}')"),
        )
    }

    fn shows(&mut self, id: &str) -> Result<()> {
        self.until(&format!("{id} to be shown"), &format!("document.getElementById('{id}')?.hidden === false"))
    }
}

pub fn run(bench: &Bench) -> Result<String> {
    apt::must_have("chromium")?;
    let script = axe::script()?;
    let config = configured(bench)?;
    let (data, log) = (bench.folder.join("data"), bench.folder.join("exchange.log"));
    let healthy = |server| http::ask(server, "GET", "/healthz", None).is_ok_and(|(status, _)| status == 200);
    let mut exchange = Exchange::start_where(&bench.offhook, &config, &data, &log, healthy)?;
    let speech = Speech::open()?.first(60);
    let play = bench.folder.join("agent.wav");
    speech::write_wav(&play, 8_000, &speech.samples)?;
    let account = Account { server: exchange.sip, user: "phone11", password: "phone11-secret" };
    let agent = Agent::softphone(&bench.offhook, account, &play, &bench.folder.join("phone11"))?;
    let mut browser = Browser::start(&bench.folder, &["--lang=en".to_owned()])?;
    let session = browser.open(&format!("http://{}/desk", exchange.http))?;
    let mut desk = Desk { browser: &mut browser, session };
    desk.shows("door")?;
    let mut passed = axe::must_be_clean(desk.browser, &desk.session, &script, "signing in")?;
    let fields = "document.getElementById('sign-in').elements";
    let enter = format!(
        "{fields}.name.value = 'sue'; {fields}.password.value = '{PASSWORD}'; document.getElementById('sign-in').requestSubmit()"
    );
    desk.browser.evaluate(&desk.session, &enter)?;
    desk.says("state-big", "Available")?;
    passed += axe::must_be_clean(desk.browser, &desk.session, &script, "the desk at rest")?;

    // The first call: held, taken back, ended, coded, wrapped up.
    let mut sipp = caller(&exchange, 25_061).start(&bench.folder)?;
    desk.says("talk-title", "Talking")?;
    for (pressed, title) in [("true", "on hold"), ("false", "Talking")] {
        desk.key("h")?;
        desk.until(
            "hold",
            &format!("document.getElementById('talk-hold').getAttribute('aria-pressed') === '{pressed}'"),
        )?;
        desk.says("talk-title", title)?;
    }
    passed += axe::must_be_clean(desk.browser, &desk.session, &script, "a talk")?;
    desk.key("?")?;
    desk.until("the list of keys", "document.getElementById('help').open")?;
    passed += axe::must_be_clean(desk.browser, &desk.session, &script, "the list of keys")?;
    desk.browser.evaluate(&desk.session, "document.getElementById('help').close()")?;
    desk.key("X")?;
    desk.shows("wrap")?;
    desk.key("w")?;
    desk.says("note", "choose a code")?;
    desk.key("1")?;
    desk.until("the code to be kept", "document.querySelector('#codes [aria-checked=\"true\"]')")?;
    let write = format!(
        "document.getElementById('noted').value = '{NOTE}'; document.getElementById('noting-form').requestSubmit(); true"
    );
    desk.browser.evaluate(&desk.session, &write)?;
    desk.says("noting-kept", "Kept")?;
    passed += axe::must_be_clean(desk.browser, &desk.session, &script, "wrap-up")?;
    desk.key("w")?;
    desk.says("state-big", "Available")?;
    sipp.stop()?;

    // The same caller again.
    let mut sipp = caller(&exchange, 25_061).start(&bench.folder)?;
    desk.says("talk-title", "Talking")?;
    desk.says("past", "Order/New")?;
    desk.says("past", NOTE)?;
    desk.says("figures", "Occupancy")?;
    for (width, scheme) in [(360, "light"), (360, "dark"), (1_920, "light"), (1_920, "dark")] {
        desk.browser.resize(&desk.session, width)?;
        desk.browser.prefer(&desk.session, scheme)?;
        let scroll = desk.browser.evaluate(&desk.session, "document.documentElement.scrollWidth")?;
        ensure!(
            scroll.as_u64().is_some_and(|scroll| scroll <= u64::from(width)),
            "the desk of {width} is {scroll} wide"
        );
        desk.browser.screenshot(&desk.session, &bench.folder.join(format!("desk-{width}-{scheme}.png")))?;
    }
    for language in ["zh-Hans", "zh-Hant"] {
        desk.browser
            .evaluate(&desk.session, &format!("localStorage.setItem('language', '{language}'); location.reload()"))?;
        desk.until(
            language,
            &format!(
                "document.documentElement?.lang === '{language}' && document.getElementById('own')?.hidden === false"
            ),
        )?;
    }
    desk.browser.evaluate(&desk.session, "localStorage.removeItem('language')")?;
    for (page, shown) in [("", "board"), ("phone", "sign-in")] {
        let session = desk.browser.open(&format!("http://{}/{page}", exchange.http))?;
        let mut other = Desk { browser: &mut *desk.browser, session };
        other.shows(shown)?;
        other.until("its words", "document.title !== '' && document.querySelector('[data-t]')?.textContent")?;
        passed += axe::must_be_clean(other.browser, &other.session, &script, &format!("the page /{page}"))?;
    }
    passed += admin::look(desk.browser, &exchange, &script, &bench.folder, ("root", PASSWORD))?;
    sipp.stop()?;
    drop(agent);
    exchange.stop()?;
    Ok(format!(
        "a call held, ended, coded and wrapped up by keys, and noted for the next one; {passed} rules of axe-core hold on 27 views"
    ))
}

fn caller(exchange: &Exchange, port: u16) -> Sipp<'static> {
    Sipp {
        scenario: "caller",
        local: loopback(2, port),
        remote: Some(exchange.sip),
        media: 30_000,
        service: "200",
        calls: 1,
        rate: 1,
        hold: Duration::from_mins(1),
    }
}

/// The configuration of the peers with codes, wrap-up and a user who is an agent; gives its path.
fn configured(bench: &Bench) -> Result<String> {
    let plain = std::fs::read_to_string(crate::root().join("fixtures/peers/exchange.toml"))?;
    let prompts = crate::root().join("config/prompts");
    let codes = "wrap_up = \"until-done\"\nwrap_up_codes = [\"Order/New\", \"Order/Change\", \"Complaint\"]\nwrap_up_code = \"required\"";
    let text =
        plain.replace("../../config/prompts", &prompts.display().to_string()).replacen("wrap_up = \"0ms\"", codes, 1);
    ensure!(text.contains("wrap_up_codes"), "fixtures/peers/exchange.toml has no wrap_up = \"0ms\" to replace");
    let path = bench.folder.join("exchange.toml");
    std::fs::write(&path, text)?;
    let path = path.display().to_string();
    for who in [&["sue", "--role", "agent", "--agent", "Agent 11"][..], &["root", "--role", "administrator"]] {
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
