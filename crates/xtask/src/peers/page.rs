//! The page in headless Chromium: what it shows while one caller talks and one waits, and how the sealed recording of the one who
//! talked is found, drawn and heard; at the widths of a phone and a desk.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::agents::{Account, Agent};
use super::chromium::Browser;
use super::exchange::Exchange;
use super::openid::{self, Provider};
use super::sipp::{Lines, Sipp, loopback};
use crate::children::wait_for;
use crate::speech::{self, Speech};
use crate::{apt, g711, http};

/// The page shows a change within this.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);

pub fn run(bench: &Bench) -> Result<String> {
    apt::must_have("chromium")?;
    let data = bench.folder.join("data");
    let config = sealing(bench)?;
    let mut exchange = Exchange::start(&bench.offhook, &config, &data, &bench.folder.join("exchange.log"))?;
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
    // The certificate of fixtures/tls is signed by nobody whom Chromium knows.
    let options = ["--autoplay-policy=no-user-gesture-required", "--ignore-certificate-errors"].map(str::to_owned);
    let options = [&options[..], &[openid::browser_option()]].concat();
    let mut browser = Browser::start(&bench.folder, &options)?;
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
    for (button, state) in [("Pause recording", "paused"), ("Resume recording", "recording")] {
        press(&mut browser, &session, button, state, || lines.keep_up(&callers))?;
    }
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
    let heard = listen(&mut browser, &session, &exchange, &bench.folder)?;
    exchange.stop()?;
    let signed = sign_in(&mut browser, bench, &config)?;
    let pictures = bench.folder.display();
    Ok(format!(
        "shown at widths of {widest:?}, {rungs} messages as a ladder, {heard}; {signed}; pictures in {pictures}"
    ))
}

const PASSWORD: &str = "staple battery horse";

/// Adds a user by the command line, starts the exchange with it and with HTTPS, signs in, is an agent, and signs out. Others sign in at a
/// provider, and stay so while the exchange is started anew.
fn sign_in(browser: &mut Browser, bench: &Bench, config: &str) -> Result<String> {
    let mut new = Command::new(&bench.offhook);
    new.args(["user", "new", "sue", "--role", "supervisor", "--agent", "Agent 11", "--into", config]);
    let mut new = new.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let mut input = new.stdin.take().context("standard input")?;
    input.write_all(format!("{PASSWORD}\n").as_bytes())?;
    drop(input);
    ensure!(new.wait()?.success(), "offhook user new ended badly");
    let (log, data) = (bench.folder.join("exchange-users.log"), bench.folder.join("data"));
    let tls = crate::root().join("fixtures/tls");
    let text = std::fs::read_to_string(config)?.replace("[http]\n", "[http]\ntls = true\n");
    let address =
        text.lines().find_map(|line| line.strip_prefix("listen = \"127.0.0.1:")).context("where [http] listens")?;
    let address: SocketAddr = format!("127.0.0.1:{}", address.trim_end_matches('"')).parse()?;
    let file = |name: &str| format!("{:?}", tls.join(name).display().to_string());
    let files = format!("[tls]\ncertificate = {}\nkey = {}\n", file("exchange.pem"), file("exchange.key"));
    let _provider = Provider::start(&bench.folder)?;
    std::fs::write(config, format!("{text}\n{files}\n{}", openid::table(address)))?;
    let healthy = |http| http::ask_over_tls(http, "/healthz").is_ok_and(|line| line.contains(" 200 "));
    let mut exchange = Exchange::start_where(&bench.offhook, config, &data, &log, healthy)?;
    let status = http::ask_over_tls(exchange.http, "/api/v1/queues")?;
    ensure!(status.contains(" 401 "), "who is not signed in gets {status}");
    let session = browser.open(&format!("https://{}/", exchange.http))?;
    let text = |browser: &mut Browser, of: &str| -> Result<String> {
        let text = browser.evaluate(&session, &format!("document.getElementById('{of}')?.innerText ?? ''"))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    };
    let enter = |browser: &mut Browser, password: &str| -> Result<()> {
        let fields = "document.getElementById('sign-in').elements";
        let script = format!(
            "{fields}.name.value = 'sue'; {fields}.password.value = '{password}'; \
             document.getElementById('sign-in').requestSubmit()"
        );
        browser.evaluate(&session, &script).map(drop)
    };
    wait_for("the form to sign in", SHOWN_WITHIN, || {
        let open = "document.getElementById('door')?.hidden === false";
        Ok((browser.evaluate(&session, open)? == true).then_some(()))
    })?;
    browser.screenshot(&session, &bench.folder.join("sign-in.png"))?;
    enter(browser, "not the password")?;
    wait_for("a wrong password to be refused", SHOWN_WITHIN, || {
        Ok(text(browser, "sign-in-note")?.contains("is wrong").then_some(()))
    })?;
    enter(browser, PASSWORD)?;
    wait_for("the page of a user", SHOWN_WITHIN, || {
        let shown = text(browser, "me-who")?.contains("sue (supervisor)") && text(browser, "queues")?.contains("sales");
        Ok((shown && text(browser, "me-agent")?.to_lowercase().contains("logged out")).then_some(()))
    })?;
    browser.screenshot(&session, &bench.folder.join("signed-in.png"))?;
    let readable = browser.evaluate(&session, "document.cookie")?;
    ensure!(readable == "", "a script reads the cookie of the session: {readable}");
    browser.evaluate(&session, "document.getElementById('sign-out').click()")?;
    wait_for("nothing to be shown any more", SHOWN_WITHIN, || {
        Ok((browser.evaluate(&session, "document.getElementById('board').hidden")? == true).then_some(()))
    })?;
    let again = "fetch('/api/v1/queues').then(answer => answer.status)";
    let status = browser.evaluate(&session, again)?;
    ensure!(status == 401, "after signing out the page still gets {status}");
    let session = openid::sign_in(browser, exchange.http)?;
    exchange.stop()?;
    let log = bench.folder.join("exchange-again.log");
    let mut exchange = Exchange::start_where(&bench.offhook, config, &data, &log, healthy)?;
    openid::still_in(browser, &session)?;
    exchange.stop()?;
    Ok("a user of the command line signs in and out over HTTPS, another at a provider, over a restart".to_owned())
}

/// Presses a button in the row of the call that is recorded, and waits until the exchange and the page say so.
fn press(
    browser: &mut Browser,
    session: &str,
    button: &str,
    state: &str,
    mut keep_up: impl FnMut() -> Result<()>,
) -> Result<()> {
    let click = format!(
        "(() => {{ const found = [...document.querySelectorAll('#calls button')].find((b) => b.textContent === '{button}');
                  found?.click(); return !!found; }})()"
    );
    wait_for(&format!("the button '{button}'"), SHOWN_WITHIN, || {
        keep_up()?;
        Ok((browser.evaluate(session, &click)? == true).then_some(()))
    })?;
    let shown = if state == "paused" { "recording paused" } else { "Pause recording" };
    wait_for(&format!("the page to show '{shown}'"), SHOWN_WITHIN, || {
        keep_up()?;
        let text = browser.evaluate(session, "document.getElementById('calls').innerText")?;
        Ok(text.as_str().is_some_and(|text| text.contains(shown)).then_some(()))
    })
}

/// The configuration of the peers with sealed recordings; gives its path.
fn sealing(bench: &Bench) -> Result<String> {
    let key = bench.folder.join("recording.key");
    let made = Command::new(&bench.offhook).args(["recording", "new-key"]).arg(&key).output()?;
    ensure!(made.status.success(), "no key: {}", String::from_utf8_lossy(&made.stderr));
    let plain = std::fs::read_to_string(crate::root().join("fixtures/peers/exchange.toml"))?;
    let prompts = crate::root().join("config/prompts");
    let text = plain.replace("../../config/prompts", &prompts.display().to_string());
    let path = bench.folder.join("exchange.toml");
    std::fs::write(&path, format!("{text}\n[recording]\nkey_file = {:?}\n", key.display().to_string()))?;
    Ok(path.display().to_string())
}

/// Finds the recording of the call that has ended, opens the player, goes to the middle by key and plays; the audit log has it all.
fn listen(browser: &mut Browser, session: &str, exchange: &Exchange, folder: &Path) -> Result<String> {
    let open = "document.getElementById('recordings-search').requestSubmit();
                const listen = document.querySelector('#recordings button'); listen?.click(); !!listen";
    wait_for("a recording in the page", SHOWN_WITHIN, || {
        Ok((browser.evaluate(session, &format!("{{ {open} }}"))? == true).then_some(()))
    })?;
    let drawn = "[document.querySelectorAll('#wave path').length, document.getElementById('player-audio').duration]";
    let lasts = wait_for("the drawing and the sound", SHOWN_WITHIN, || {
        let state = browser.evaluate(session, drawn)?;
        Ok(state[1].as_f64().filter(|lasts| state[0] == 2 && *lasts > 1.0))
    })?;
    let key = "document.getElementById('wave').dispatchEvent(new KeyboardEvent('keydown', { key: 'PageUp', bubbles: true })); \
               document.getElementById('player-audio').currentTime = document.getElementById('player-audio').duration / 2; \
               document.getElementById('wave').dispatchEvent(new KeyboardEvent('keydown', { key: ' ' }))";
    browser.evaluate(session, key)?;
    let at = wait_for("the sound to go on from the middle", SHOWN_WITHIN, || {
        let at = browser.evaluate(session, "document.getElementById('player-audio').currentTime")?;
        Ok(at.as_f64().filter(|at| *at > lasts / 2.0 + 0.3))
    })?;
    for (width, scheme) in [(360, "light"), (360, "dark"), (1_920, "light"), (1_920, "dark")] {
        browser.resize(session, width)?;
        browser.prefer(session, scheme)?;
        let scroll = browser.evaluate(session, "document.documentElement.scrollWidth")?.as_u64().unwrap_or(u64::MAX);
        ensure!(scroll <= u64::from(width), "with a player the page of {width} is {scroll} wide");
        browser.screenshot(session, &folder.join(format!("player-{width}-{scheme}.png")))?;
    }
    browser.evaluate(session, "document.getElementById('player-close').click()")?;
    browser.evaluate(session, "document.getElementById('recordings-title').scrollIntoView()")?;
    browser.screenshot(session, &folder.join("recordings-1920.png"))?;
    browser.resize(session, 360)?;
    browser.evaluate(session, "document.getElementById('recordings-title').scrollIntoView()")?;
    browser.screenshot(session, &folder.join("recordings-360.png"))?;
    let (_, audit) = http::ask(exchange.http, "GET", "/api/v1/audit", None)?;
    ensure!(audit.contains("\"play\""), "no playback in the audit log: {audit}");
    for file in ["wav", "sealed"] {
        let found = find(&exchange.data.join("recordings"), file)?;
        ensure!((found > 0) == (file == "sealed"), "{found} files end in .{file}");
    }
    Ok(format!("a sealed recording of {lasts:.1} s played from its middle to {at:.1} s"))
}

/// How many files below a folder end so.
fn find(folder: &Path, extension: &str) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        count += if path.is_dir() {
            find(&path, extension)?
        } else {
            usize::from(path.extension() == Some(extension.as_ref()))
        };
    }
    Ok(count)
}

/// Opens the ladder of the call that talks; gives how many messages are drawn.
fn show_ladder(browser: &mut Browser, session: &str, folder: &Path) -> Result<u64> {
    let open =
        "const talking = [...document.querySelectorAll('#calls tr')].find(row => row.innerText.toLowerCase().includes('talking'));
                [...talking.querySelectorAll('button')].find(button => button.textContent === 'Ladder').click()";
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
