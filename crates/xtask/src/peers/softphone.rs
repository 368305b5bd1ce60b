//! The softphone as an agent has it: set up, on a terminal (tmux), over TLS with encrypted speech, signed in at the exchange's desk. A customer from the
//! queue and a colleague on baresip are brought into a conference and hear each other; wrap-up and pauses are followed both ways; the exchange
//! is killed, and the phone goes to the second one. sipp tells another phone of messages that wait.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Bench;
use super::agents::{Account, Agent, Place, user_into};
use super::devices::Sound;
use super::exchange::Exchange;
use super::sipp::Sipp;
use crate::children::{Running, wait_for};
use crate::speech::{self, Speech};
use crate::{apt, g711, http};

const SOON: Duration = Duration::from_secs(20);
/// The exchange over TLS, and a second one for when that is gone: the certificate of fixtures/tls names this address.
const FIRST: &str = "127.0.0.1:25761";
const SECOND: &str = "127.0.0.1:25762";
const PASSWORD: &str = "staple battery horse";
/// How long the three talk.
const TALK: Duration = Duration::from_secs(5);
/// What is hummed into the microphone for the setup.
const HUM_HERTZ: f64 = 500.0;
/// Samples of what each of the two says, again and again.
const WORDS: usize = 14_000;
/// How alike speech is after another phone, a mixer and a jitter buffer on the way.
const ALIKE_MIN: f64 = 0.9;

/// A terminal of tmux with one program in it.
struct Terminal {
    socket: PathBuf,
    folder: PathBuf,
}

impl Terminal {
    /// Starts `command` on a screen of 120 by 40, under a name of its own.
    fn start(folder: &Path, name: &str, command: &str, sound: &str) -> Result<Self> {
        let terminal = Self { socket: folder.join(name), folder: folder.to_owned() };
        let mut tmux = terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40"]);
        tmux.arg(command).env("PULSE_SERVER", sound).env("TERM", "screen-256color").env("LANG", "C.UTF-8");
        ensure!(tmux.status().context("tmux")?.success(), "tmux does not start");
        Ok(terminal)
    }

    fn tmux(&self, words: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(&self.socket).args(words);
        command
    }

    fn screen(&self) -> Result<String> {
        let output = self.tmux(&["capture-pane", "-p"]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until all these words stand on the screen.
    fn shows(&self, words: &[&str]) -> Result<String> {
        let shown = wait_for(&format!("the screen to show {words:?}"), SOON, || {
            let screen = self.screen()?;
            Ok(words.iter().all(|word| screen.contains(word)).then_some(screen))
        });
        shown.with_context(|| self.screen().unwrap_or_default())
    }

    /// Keeps the screen as a file, for whoever wants to look at it.
    fn keep(&self, name: &str) -> Result<()> {
        Ok(std::fs::write(self.folder.join(format!("screen-{name}.txt")), self.screen()?)?)
    }

    fn press(&self, keys: &[&str]) -> Result<()> {
        let status = self.tmux(&["send-keys"]).args(keys).status()?;
        ensure!(status.success(), "tmux takes no keys");
        Ok(())
    }

    /// Clicks on the first place where these words stand, as a terminal tells it (SGR).
    fn click(&self, words: &str) -> Result<()> {
        let screen = self.screen()?;
        let (row, line) =
            screen.lines().enumerate().find(|(_, line)| line.contains(words)).context("nothing to click")?;
        let column = line.split(words).next().unwrap_or_default().chars().count();
        let at = |end: char| format!("\u{1b}[<0;{};{}{end}", column + 1, row + 1);
        self.press(&["-l", &(at('M') + &at('m'))])
    }

    fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        let size = [columns.to_string(), rows.to_string()];
        let status = self.tmux(&["resize-window", "-x", &size[0], "-y", &size[1]]).status()?;
        ensure!(status.success(), "tmux does not resize");
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.tmux(&["kill-server"]).status());
    }
}

/// A second exchange of the same house: other ports.
fn second(first: &str) -> String {
    let mut text = first.to_owned();
    for (from, to) in [(FIRST, SECOND), ("127.0.8.1:", "127.0.8.3:"), ("24600-24799", "24800-24899")] {
        text = text.replace(from, to);
    }
    text
}

fn state_of(exchange: &Exchange, token: &str) -> Result<(String, String)> {
    let agents = http::get_as(exchange.http, token, "/api/v1/agents")?;
    let agents = agents["agents"].as_array().or_else(|| agents.as_array()).context("agents")?.clone();
    let desk = agents.into_iter().find(|agent| agent["name"] == "Desk").context("no agent Desk")?;
    let text = |key: &str| desk[key].as_str().unwrap_or_default().to_owned();
    Ok((text("state"), text("reason")))
}

pub fn run(bench: &Bench) -> Result<String> {
    apt::must_have("tmux")?;
    let file = |name: &str| bench.folder.join(name);
    let plain = std::fs::read_to_string(crate::root().join("fixtures/peers/softphone.toml"))?;
    let fixtures = crate::root().join("fixtures");
    let plain = plain
        .replace("../../config/prompts", &crate::root().join("config/prompts").display().to_string())
        .replace("../tls", &fixtures.join("tls").display().to_string());
    let config = file("exchange.toml");
    std::fs::write(&config, plain)?;
    let token = user_into(&bench.offhook, "sue", "Desk", PASSWORD, &config)?;
    std::fs::write(file("second.toml"), second(&std::fs::read_to_string(&config)?))?;
    let healthy = |server| http::ask(server, "GET", "/healthz", None).is_ok_and(|(status, _)| status == 200);
    let start = |config: &Path, data: &str| {
        let log = file(&format!("{data}.log"));
        Exchange::start_where(&bench.offhook, &config.display().to_string(), &file(data), &log, healthy)
    };
    let mut exchange = start(&config, "exchange")?;
    let mut other = start(&file("second.toml"), "second")?;

    let speech = Speech::open()?;
    let [said, replied] = [0, 1].map(|n| speech.samples[speech.utterances[n].clone()][..WORDS].to_vec());
    let colleague = Account { server: exchange.sip, user: "colleague", password: "colleague-secret" };
    let place = Place { address: SocketAddr::from(([127, 0, 8, 5], 25_300)), media: 24_900 };
    let repeated = |samples: &[i16]| [samples, &[0; 4_000]].concat().repeat(12);
    let mut colleague = Agent::baresip_at(colleague, place, &repeated(&replied), &file("colleague"))?;
    colleague.wait_until_it_listens()?;

    let sound = Sound::start(&bench.folder)?;
    set_up(bench, &exchange, &sound).context("the setup")?;
    for (name, secret) in [("phone.password", "desk-secret"), ("user.password", PASSWORD)] {
        std::fs::write(file(name), secret)?;
    }
    let command = format!(
        "{} phone --account 'sip:desk@{FIRST};transport=tls' --server {FIRST} --server {SECOND} --trust {} --lines 3 --srtp required \
         --password-file {} --desk http://{} --desk-user sue --desk-password-file {} 2>{}",
        bench.offhook.display(),
        fixtures.join("tls/authority.pem").display(),
        file("phone.password").display(),
        exchange.http,
        file("user.password").display(),
        file("phone.err").display(),
    );
    let terminal = Terminal::start(&bench.folder, "tmux", &command, &sound.server)?;
    terminal.shows(&["R E A D Y", "Desk · sales", "● registered"])?;

    // Not ready by the phone, ready again by a supervisor.
    terminal.press(&["o"])?;
    terminal.shows(&["1 break, 2 lunch"])?;
    terminal.press(&["2", "Enter"])?;
    terminal.shows(&["N O T   R E A D Y :   L U N C H"])?;
    let state = state_of(&exchange, &token)?;
    ensure!(state == ("not-ready".into(), "lunch".into()), "the exchange says {state:?}");
    let agents = http::get_as(exchange.http, &token, "/api/v1/desk").err();
    ensure!(agents.is_some(), "a token has a desk");
    let id = agent_id(&exchange, &token)?;
    let ready = json!({ "state": "available" });
    http::post_as(exchange.http, &token, &format!("/api/v1/agents/{id}/state"), &ready)?;
    terminal.shows(&["R E A D Y"])?;
    terminal.keep("ready")?;

    // A customer from the queue; then a colleague, and all three.
    speech::write_wav(&file("customer-says.wav"), 8_000, &repeated(&said))?;
    let mut command = Command::new(&bench.offhook);
    command.args(["call", &format!("sip:200@{}", exchange.sip), "--json", "--listen", "127.0.8.2:0", "--for", "60s"]);
    command.args(["--from", "\"Anna Schmidt\" <sip:+4930123456@127.0.8.2>", "--play"]).arg(file("customer-says.wav"));
    command.arg("--record").arg(file("customer.wav"));
    let mut customer = Running::start("the customer", &mut command, &file("customer.log"))?;
    terminal.shows(&["R I N G S", "Anna Schmidt", "queue sales", "waits 0:", "◆ offered"])?;
    terminal.keep("rings")?;
    terminal.press(&["a"])?;
    terminal.shows(&["T A L K I N G", "▶ busy"])?;
    terminal.press(&["c"])?;
    terminal.press(&["-l", "colleague"])?;
    terminal.press(&["Enter"])?;
    terminal.shows(&["T A L K I N G", "ON HOLD", "colleague"])?;
    terminal.press(&["f"])?;
    terminal.shows(&["C O N F E R E N C E", " and Anna Schmidt (sales)  +4930123456", "> ∴ CONFERENCE"])?;
    std::thread::sleep(TALK);
    terminal.keep("conference")?;
    terminal.resize(80, 24)?;
    terminal.shows(&["C O N F E R E N C E", "f conference", "w wrap-up done"])?;
    terminal.keep("conference-80x24")?;
    // The mouse takes the colleague's line, and hangs it up.
    terminal.click("sip:colleague@")?;
    terminal.press(&["d"])?;
    terminal.shows(&["T A L K I N G", "Anna Schmidt", "colleague"])?;
    wait_for("the colleague's end", SOON, || {
        let screen = terminal.screen()?;
        Ok((!screen.contains("CONFERENCE") && screen.matches("▶ TALKING").count() == 1).then_some(()))
    })?;
    terminal.click("d hang up")?;
    wait_for("the customer's end", SOON, || customer.ended())?;
    terminal.shows(&["W R A P - U P", "L E F T"])?;
    terminal.keep("wrap-up")?;
    terminal.press(&["w"])?;
    terminal.shows(&["R E A D Y"])?;

    let records = http::get_as(exchange.http, &token, "/api/v1/records?limit=10")?;
    let suite = records.to_string();
    ensure!(suite.contains("AEAD_AES_128_GCM") || suite.contains("AES_CM_128"), "no call was encrypted: {suite}");

    // The exchange is gone without a word.
    exchange.running.kill()?;
    terminal.shows(&[&format!("{SECOND} is asked"), "● registered"])?;
    wait_for("the phone at the second exchange", SOON, || {
        other.running.must_run()?;
        Ok((state_of(&other, &token)?.0 == "available").then_some(()))
    })?;
    terminal.keep("second-server")?;
    terminal.press(&["q"])?;
    other.stop()?;

    let (_, heard) = speech::read_wav(&file("customer.wav"))?;
    let (_, by_customer) = speech::find(&heard, &replied).context("the customer heard too little")?;
    let received = g711::decode_all(&colleague.finish()?.received);
    let (_, by_colleague) = speech::find(&received, &said).context("the colleague heard too little")?;
    ensure!(
        by_customer >= ALIKE_MIN && by_colleague >= ALIKE_MIN,
        "in conference the customer heard the colleague by {by_customer:.3}, the other way {by_colleague:.3}"
    );
    let messages = told_of_messages(bench)?;
    Ok(format!(
        "a conference in which the two far ends hear each other (correlation {by_customer:.3} and {by_colleague:.3}), encrypted over TLS; states \
         followed both ways; set up at a terminal; registered at the second exchange after kill -9; {messages}"
    ))
}

/// The setup, walked through at a terminal with a wrong password first; then the phone starts with nothing but its name.
fn set_up(bench: &Bench, exchange: &Exchange, sound: &Sound) -> Result<()> {
    let home = bench.folder.join("user");
    std::fs::create_dir_all(&home)?;
    let offhook = bench.offhook.display();
    let command = format!(
        "env HOME={} XDG_CONFIG_HOME= sh -c '{offhook} phone --setup && exec {offhook} phone 2>{}'",
        home.display(),
        bench.folder.join("set-up.err").display()
    );
    let hum = bench.folder.join("hum.wav");
    speech::write_wav(&hum, 8_000, &speech::tone(8_000, HUM_HERTZ, 20.0))?;
    let terminal = Terminal::start(&bench.folder, "tmux-setup", &command, &sound.server)?;
    let answer = |text: &str| -> Result<()> {
        if !text.is_empty() {
            terminal.press(&["-l", text])?;
        }
        terminal.press(&["Enter"])
    };
    let asked = |words: &str, times: usize| {
        let asked = wait_for(&format!("'{words}' {times} times"), SOON, || {
            Ok((terminal.screen()?.matches(words).count() >= times).then_some(()))
        });
        asked.with_context(|| terminal.screen().unwrap_or_default())
    };
    for (time, password) in [(1, "a guess"), (2, "desk-secret")] {
        asked("Address, such as", time)?;
        answer(&if time == 1 { format!("sip:desk@{}", exchange.sip) } else { String::new() })?;
        asked("Servers, where", time)?;
        answer("")?;
        asked("Password", time)?;
        answer(password)?;
        if time == 1 {
            asked("That does not work: 40", 1)?;
            answer("")?;
        }
    }
    asked("The server knows the account.", 1)?;
    for time in 1..=3 {
        asked("Number [0]", time)?;
        answer("")?;
    }
    asked("Try the microphone", 1)?;
    let mut ear = sound.command("parec");
    ear.args(["-d", "ear.monitor", "--rate=8000", "--channels=1", "--format=s16le", "--file-format=wav"]);
    let file = bench.folder.join("played-back.wav");
    let mut ear = Running::start("parec", ear.arg(&file), &bench.folder.join("parec.log"))?;
    let mut mouth = sound.command("paplay");
    let mut mouth = Running::start("paplay", mouth.args(["-d", "voice"]).arg(hum), &bench.folder.join("paplay.log"))?;
    answer("")?;
    terminal.shows(&["And this is how you sounded.", "That was well heard.", "Did you hear yourself?"])?;
    terminal.keep("setup")?;
    mouth.kill()?;
    ear.interrupt()?;
    ear.wait(SOON)?;
    let (_, played) = speech::read_wav(&file)?;
    let hums = played.chunks_exact(1_600).filter(|window| speech::share_at(window, 8_000, HUM_HERTZ) > 0.8).count();
    ensure!(hums >= 10, "what the microphone heard was played back in {hums} windows of 200 ms");
    answer("")?;
    asked("Address of the exchange", 1)?;
    answer("")?;
    terminal.shows(&["R E A D Y", "● registered"])?;
    terminal.press(&["q"])?;
    for name in ["phone.toml", "phone.password"] {
        let kept = std::fs::metadata(home.join(".config/offhook").join(name)).context(name)?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&kept.permissions()) & 0o777;
        ensure!(mode == 0o600, "{name} has the mode {mode:o}");
    }
    Ok(())
}

fn agent_id(exchange: &Exchange, token: &str) -> Result<String> {
    let agents = http::get_as(exchange.http, token, "/api/v1/agents")?;
    let agents = agents["agents"].as_array().or_else(|| agents.as_array()).context("agents")?.clone();
    let desk = agents.into_iter().find(|agent| agent["name"] == "Desk").context("no agent Desk")?;
    Ok(desk["id"].as_str().context("an id")?.to_owned())
}

/// sipp as a registrar that tells of messages unasked.
fn told_of_messages(bench: &Bench) -> Result<String> {
    let local = SocketAddr::from(([127, 0, 8, 6], 25_065));
    let sipp = Sipp {
        scenario: "notifier",
        local,
        remote: None,
        media: 24_990,
        service: "",
        calls: 1,
        rate: 1,
        hold: Duration::ZERO,
    };
    let mut notifier = sipp.start(&bench.folder)?;
    let mut command = Command::new(&bench.offhook);
    command.args(["phone", "--headless", "--events", "--no-mailbox", "--account", &format!("sip:desk@{local}")]);
    let mut phone = Running::start("the phone with a mailbox", &mut command, &bench.folder.join("mailbox.log"))?;
    let log = bench.folder.join("mailbox.log");
    wait_for("news of the mailbox", SOON, || {
        phone.must_run()?;
        let text = std::fs::read_to_string(&log)?;
        Ok(text.contains(r#""event":"mailbox","waiting":true,"new":2,"old":8"#).then_some(()))
    })?;
    ensure!(notifier.wait(SOON)?.success(), "sipp: {}", notifier.tail(10));
    phone.kill()?;
    Ok("sipp tells of two new messages".into())
}
