//! `cargo demo`: a real call on this machine, from the caller's INVITE to the call record, shown as it happens.

mod quality;
mod story;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::children::{self, Running, wait_for};
use crate::peers::exchange::Exchange;
use crate::speech::{self, Speech};
use crate::{apt, http};
use story::Story;

/// How the demonstration is run.
#[derive(Debug, Args)]
pub struct Options {
    /// One call, then everything is stopped.
    #[arg(long)]
    once: bool,
    /// The data folder; a new one below the build folder where none is given.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print one JSON object at the end.
    #[arg(long)]
    json: bool,
    /// Listen on the local network, for a real desk phone (config/lan.toml).
    #[arg(long, conflicts_with = "once")]
    lan: bool,
    /// Use what is installed; install nothing.
    #[arg(long)]
    no_install: bool,
}

/// The number that the demo caller dials, and the digit that leads to the queue.
const NUMBER: &str = "4930555700";
const DIGIT: &str = "1";
/// When the digit is pressed: the greeting has begun.
const DIGIT_AFTER: &str = "1500ms";
/// How long an agent lets the phone ring.
const PICK_UP_AFTER: &str = "2s";
/// How long the caller stays after the answer of the exchange.
const HOLD: Duration = Duration::from_secs(20);
/// The demo agents and their accounts' passwords, as in the configuration.
const AGENTS: [(&str, &str); 2] = [("alice", "alice-headset-7f3c"), ("bob", "bob-headset-91ad")];

/// Runs it; true where everything that the call should do was so.
pub fn run(options: &Options) -> Result<bool> {
    if !options.no_install {
        apt::install(&[&apt::BUILD[..], &apt::DEMO].concat())?;
    }
    say(options, "building the exchange in release mode (the first time takes a few minutes)");
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--locked", "--package", "offhook"])
        .current_dir(crate::root())
        .status()?;
    ensure!(built.success(), "cargo build ended with {built}");
    children::catch_interrupts()?;
    let data = options.data.clone().unwrap_or_else(|| crate::target().join("demo"));
    std::fs::create_dir_all(&data).with_context(|| data.display().to_string())?;
    let data = data.canonicalize()?;
    let offhook = crate::target().join("release/offhook");
    let mut demo = if options.lan {
        Demo::start_for_phones(&offhook, &data, options.json)?
    } else {
        Demo::start(&offhook, &data, options.json)?
    };
    let outcome = (!options.lan).then(|| demo.one_call());
    let good = match outcome {
        Some(Ok(report)) => {
            if options.json {
                println!("{}", report.value);
            } else {
                report.print();
            }
            report.ok
        }
        Some(Err(error)) if children::interrupted() => {
            eprintln!("{error:#}");
            false
        }
        Some(Err(error)) => {
            let _ = demo.stop();
            if options.json {
                println!("{}", json!({ "ok": false, "error": format!("{error:#}") }));
            }
            return Err(error);
        }
        None => true,
    };
    if !options.once && !children::interrupted() {
        demo.stay(options)?;
    }
    say(options, "stopping");
    demo.stop()?;
    Ok(good)
}

/// The demonstration as a test: one call, everything about it as it should be.
pub fn once(offhook: &Path, folder: &Path) -> Result<String> {
    let mut demo = Demo::start(offhook, folder, true)?;
    let report = demo.one_call()?;
    demo.stop()?;
    ensure!(report.ok, "{}", report.value);
    Ok(format!("answered by {}; payloads {}", report.value["answered_by"], report.value["payload_match"]))
}

fn say(options: &Options, words: &str) {
    if !options.json {
        println!("{words}");
    }
}

/// The parts that run.
struct Demo {
    offhook: PathBuf,
    folder: PathBuf,
    exchange: Exchange,
    agents: Vec<(&'static str, Running)>,
    events: Receiver<(String, Value)>,
    story: Story,
}

/// What one call was like.
struct CallReport {
    ok: bool,
    value: Value,
}

impl Demo {
    fn start_exchange(offhook: &Path, data: &Path, config: &str, quiet: bool) -> Result<Self> {
        let folder = data.join("demo");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let mut story = Story::begin(quiet);
        let exchange = Exchange::start(offhook, config, data, &folder.join("exchange.log"))?;
        story.tell(&format!("the exchange is up after {} ms: SIP on {}", exchange.up_in.as_millis(), exchange.sip));
        story.tell(&format!("the page: http://{}/", exchange.http));
        let events = http::events(exchange.http, "/api/v1/events")?;
        Ok(Self { offhook: offhook.into(), folder, exchange, agents: Vec::new(), events, story })
    }

    /// The exchange with both demo agents.
    fn start(offhook: &Path, data: &Path, quiet: bool) -> Result<Self> {
        let mut demo = Self::start_exchange(offhook, data, "config/offhook.toml", quiet)?;
        let speech = Speech::open()?;
        for (index, (name, password)) in AGENTS.into_iter().enumerate() {
            let at = speech.utterances[1 + index].start;
            let own = [&speech.samples[at..], &speech.samples[..at]].concat();
            demo.start_agent(name, password, &own)?;
        }
        demo.exchange.wait_available(AGENTS.len(), Duration::from_secs(10))?;
        demo.follow();
        Ok(demo)
    }

    /// On the local network the agents are real phones.
    fn start_for_phones(offhook: &Path, data: &Path, quiet: bool) -> Result<Self> {
        let mut demo = Self::start_exchange(offhook, data, "config/lan.toml", quiet)?;
        demo.explain_lan()?;
        Ok(demo)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A loopback address of the exchange, also where it listens on all.
    fn server(&self) -> SocketAddr {
        let sip = self.exchange.sip;
        if sip.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], sip.port())) } else { sip }
    }

    fn start_agent(&mut self, name: &'static str, password: &str, own: &[i16]) -> Result<()> {
        let play = self.file(&format!("{name}-says.wav"));
        speech::write_wav(&play, 8_000, own)?;
        let account = crate::peers::agents::Account { server: self.server(), user: name, password };
        let mut command = crate::peers::agents::softphone(&self.offhook, account, &self.folder, PICK_UP_AFTER)?;
        command.arg("--play").arg(&play).arg("--record").arg(self.file(&format!("{name}-hears.wav")));
        command.arg("--payloads-in").arg(self.file(&format!("{name}.in")));
        command.arg("--payloads-out").arg(self.file(&format!("{name}.out")));
        let running = Running::start(&format!("{name}'s softphone"), &mut command, &self.file(&format!("{name}.log")))?;
        self.agents.push((name, running));
        Ok(())
    }

    /// Tells what the exchange reported since the last time.
    fn follow(&mut self) {
        while let Ok((name, event)) = self.events.try_recv() {
            self.story.event(&name, &event);
        }
    }

    fn one_call(&mut self) -> Result<CallReport> {
        let before = self.exchange.records()?.len();
        let speech = Speech::open()?;
        let says = self.file("caller-says.wav");
        speech::write_wav(&says, 8_000, &speech.samples)?;
        let uri = format!("sip:{NUMBER}@{}", self.server());
        let mut command = crate::peers::agents::call(&self.offhook, &uri, HOLD);
        command.arg("--play").arg(&says).arg("--record").arg(self.file("caller-hears.wav"));
        command.args(["--dtmf", &format!("{DIGIT}@{DIGIT_AFTER}")]);
        command.arg("--payloads-in").arg(self.file("caller.in")).arg("--payloads-out").arg(self.file("caller.out"));
        self.story.tell(&format!("a caller dials {NUMBER}"));
        let (mut caller, said) = Running::start_reading("the caller", &mut command, &self.file("caller.log"))?;
        let status = wait_for("the end of the call", HOLD + Duration::from_secs(30), || {
            while let Ok((name, event)) = self.events.try_recv() {
                self.story.event(&name, &event);
            }
            self.exchange.running.must_run()?;
            for (_, agent) in &mut self.agents {
                agent.must_run()?;
            }
            caller.ended()
        })?;
        ensure!(status.success(), "the caller's call did not go as it should ({status}):\n{}", self.tails());
        let statistics =
            said.iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok()).last().unwrap_or_default();
        let records = self.exchange.wait_records(before + 1, Duration::from_secs(10))?;
        self.follow();
        let record = records.first().context("a call record")?.clone();
        let answered_by = record["agent"]["name"].as_str().unwrap_or_default().to_owned();
        let agent = AGENTS.iter().find(|(name, _)| *name == answered_by).map(|(name, _)| *name);
        self.stop_agents()?;
        let matches = match agent {
            Some(name) => {
                let (file, manifest) = (self.exchange.recording_of(&record)?, self.exchange.manifest_of(&record)?);
                quality::compare(&self.folder, name, &file, &manifest)?
            }
            None => quality::Matches::default(),
        };
        let ok = matches.all() && record["end"] == "caller-hung-up" && !answered_by.is_empty();
        let value = json!({
            "ok": ok,
            "record": record["id"],
            "answered_by": answered_by,
            "recording": self.exchange.recording_of(&record)?,
            "payload_match": matches.json(),
            "delays": story::delays(&record),
            "caller": statistics,
            "call_record": record,
        });
        Ok(CallReport { ok, value })
    }

    fn tails(&self) -> String {
        let logs = ["caller.err", "caller.log", "exchange.log", "alice.log", "bob.log"];
        logs.map(|log| format!("--- {log}\n{}", children::tail(&self.file(log), 8))).join("\n")
    }

    /// The agents' payload files are whole when the phones are off.
    fn stop_agents(&mut self) -> Result<()> {
        for (name, mut agent) in self.agents.drain(..) {
            ensure!(agent.stop()?, "{name}'s softphone did not end on SIGTERM");
        }
        Ok(())
    }

    /// Goes on telling what happens until Ctrl-C.
    fn stay(&mut self, options: &Options) -> Result<()> {
        if self.agents.is_empty() && !options.lan {
            let speech = Speech::open()?;
            for (name, password) in AGENTS {
                self.start_agent(name, password, &speech.samples)?;
            }
        }
        say(options, &format!("the exchange goes on: http://{}/ shows it; Ctrl-C ends it", self.exchange.http));
        while !children::interrupted() {
            self.follow();
            self.exchange.running.must_run()?;
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn explain_lan(&mut self) -> Result<()> {
        let address = local_address()?;
        let port = self.exchange.sip.port();
        for line in [
            "a desk phone on this network becomes bob's phone with these settings:".to_owned(),
            format!("  registrar (SIP server)  {address}:{port}, transport UDP"),
            "  user                    bob".to_owned(),
            format!("  password                {} (change it in config/lan.toml)", AGENTS[1].1),
            "when the page shows bob as available, let somebody call him:".to_owned(),
            format!(
                "  ./target/release/offhook call sip:{NUMBER}@127.0.0.1:{port} --play config/prompts/music.wav --dtmf 1@2s --for 60s"
            ),
        ] {
            self.story.tell(&line);
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        self.stop_agents()?;
        self.follow();
        self.exchange.stop()
    }
}

impl CallReport {
    fn print(&self) {
        let value = &self.value;
        println!();
        println!("call record    {}", value["record"].as_str().unwrap_or("?"));
        println!("answered by    {}", value["answered_by"].as_str().unwrap_or("?"));
        println!("recording      {}", value["recording"].as_str().unwrap_or("?"));
        println!("delays         {}", value["delays"]);
        println!("payload match  {}", value["payload_match"]);
        for (leg, side) in [("caller's leg", "caller"), ("agent's leg", "agent")] {
            let of = |what: &str| &value["call_record"][format!("{side}_{what}")];
            println!("{leg:<14} {}", story::quality(of("media"), of("speech")));
        }
        println!("{}", if self.ok { "everything was as it should be" } else { "NOT everything was as it should be" });
    }
}

/// The address of this machine on the way to the network; nothing is sent.
fn local_address() -> Result<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("192.0.2.1:9").context("this machine has no network")?;
    Ok(socket.local_addr()?.ip())
}

/// When the telling began.
fn begin() -> Instant {
    Instant::now()
}
