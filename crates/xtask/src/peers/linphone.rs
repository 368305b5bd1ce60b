//! linphone, over UDP and over TLS: registers, calls a number, presses keys as telephone-events and by INFO, is rung as an
//! agent, holds and takes back from both ends, and what each says arrives whole.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::exchange::Exchange;
use crate::children::{Running, wait_for};
use crate::g711;
use crate::speech::{self, Pesq, Recording, Speech};

/// Whatever is waited for.
const SOON: Duration = Duration::from_secs(15);
/// How long a hold lasts, as the test counts.
const HOLD: Duration = Duration::from_secs(2);
/// What linphone says when sound goes both ways.
pub const RUNNING: &str = "LinphoneCallStreamsRunning";
/// PESQ of a sentence that went through linphone's own codec and through ours nowhere: mu-law alone scores 4.1 to 4.4.
const PESQ_MIN: f64 = 4.0;

/// How one linphone is set up.
pub struct Setup<'a> {
    /// Its account.
    pub user: &'a str,
    /// Where it binds.
    pub address: IpAddr,
    /// Its port of media.
    pub media: u16,
    /// Of the exchange, with `;transport=tls` where that is meant.
    pub proxy: &'a str,
    /// Keys go out by INFO instead of as telephone-events.
    pub info: bool,
    /// The suite by which its speech is encrypted, always.
    pub suite: Option<&'a str>,
    /// Whom it watches.
    pub friend: Option<&'a str>,
}

/// A running linphone, which is told what to do line by line.
pub struct Linphone {
    /// Its process.
    pub running: Running,
    input: ChildStdin,
    log: PathBuf,
}

impl Linphone {
    /// Starts it in `folder` and lets it register.
    pub fn start(setup: &Setup<'_>, folder: &Path) -> Result<Self> {
        // It keeps state below its home.
        for place in [".local/share/linphone", ".config/linphone"] {
            std::fs::create_dir_all(folder.join(place))?;
        }
        let Setup { user, address, media, proxy, info, suite, friend } = setup;
        let authority = crate::root().join("fixtures/tls/authority.pem");
        let (host, keys) = (proxy.split([';']).next().unwrap_or(proxy), u8::from(*info));
        let encryption = suite.map_or_else(
            || "media_encryption=none".to_owned(),
            |suite| format!("media_encryption=srtp\nmedia_encryption_mandatory=1\nsrtp_crypto_suites={suite}"),
        );
        let watched =
            friend.map_or_else(String::new, |friend| format!("[friend_0]\nurl=<{friend}>\npol=accept\nsubscribe=1\n"));
        let text = format!(
            "[sip]\nbind_address={address}\nsip_port=-1\nsip_tcp_port=0\nsip_tls_port=-1\nguess_hostname=0\nuse_info={keys}\n\
             use_rfc2833={}\nverify_server_certs=1\nverify_server_cn=1\nroot_ca={}\n{encryption}\n\
             default_proxy=0\n[rtp]\naudio_rtp_port={media}\n[video]\nenabled=0\ncapture=0\ndisplay=0\n[sound]\nagc=0\n\
             [auth_info_0]\nusername={user}\npasswd={user}-secret\nrealm=peers.test\n[proxy_0]\nreg_proxy=<sip:{proxy}>\n\
             reg_identity=<sip:{user}@{host}>\nreg_expires=120\nreg_sendregister=1\npublish=0\n{watched}",
            1 - keys,
            authority.display(),
        );
        let (config, log) = (folder.join("linphonerc"), folder.join("log"));
        std::fs::write(&config, text)?;
        let mut command = Command::new("linphone-daemon");
        command.env("HOME", folder).arg("--auto-answer").arg("--config").arg(&config);
        command.arg("--disable-stats-events").arg("--log").arg(folder.join("library.log"));
        let (running, input) = Running::start_told(&format!("linphone {user}"), &mut command, &log)?;
        let mut phone = Self { running, input, log };
        // It begins to work when it has been told something.
        phone.tell("version")?;
        Ok(phone)
    }

    /// Gives it a line to do.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        writeln!(self.input, "{line}").with_context(|| format!("telling linphone '{line}'"))?;
        Ok(self.input.flush()?)
    }

    /// How often it has told of a state.
    pub fn times(&self, state: &str) -> Result<usize> {
        Ok(std::fs::read_to_string(&self.log)?.matches(state).count())
    }

    /// Tells it something and waits until it is in a state once more.
    pub fn until(&mut self, line: &str, state: &str) -> Result<()> {
        let before = self.times(state)?;
        self.tell(line)?;
        wait_for(&format!("{state} after '{line}'"), SOON, || {
            self.running.must_run()?;
            Ok((self.times(state)? > before).then_some(()))
        })
    }

    /// Ends it.
    pub fn quit(mut self) -> Result<()> {
        self.tell("quit")?;
        let status = self.running.wait(SOON)?;
        ensure!(status.success(), "linphone ended with {status}:\n{}", self.running.tail(10));
        Ok(())
    }
}

pub fn run(bench: &Bench) -> Result<String> {
    let pesq = Pesq::install()?;
    let speech = Speech::open()?;
    let sentence = |at: usize| &speech.samples[speech.utterances[at].clone()];
    let (ours, theirs) = (sentence(0), sentence(1));
    let file = |name: &str| bench.folder.join(name);
    speech::write_wav(&file("first-says.wav"), 8_000, &padded(ours))?;
    speech::write_wav(&file("second-says.wav"), 8_000, &padded(theirs))?;
    let mut exchange =
        Exchange::start(&bench.offhook, "fixtures/peers/transports.toml", &file("data"), &file("exchange.log"))?;
    // The first one is reached over UDP and presses keys in its sound, the second over TLS and presses them by INFO.
    let first = Setup {
        user: "phone01",
        address: [127, 0, 4, 4].into(),
        media: 47_000,
        proxy: "127.0.4.1:25060",
        info: false,
        suite: None,
        friend: None,
    };
    let second = Setup {
        user: "phone02",
        address: [127, 0, 0, 1].into(),
        media: 47_100,
        proxy: "localhost:25461;transport=tls",
        info: true,
        suite: None,
        friend: None,
    };
    let mut first = Linphone::start(&first, &file("first"))?;
    let mut second = Linphone::start(&second, &file("second"))?;
    wait_for("both registrations", SOON, || {
        first.running.must_run()?;
        second.running.must_run()?;
        both_are_free(&exchange)
    })?;

    let talk = Duration::from_millis(ours.len().max(theirs.len()) as u64 / 8) + Duration::from_millis(1_500);
    let (a, b) = (file("first-says.wav"), file("second-says.wav"));
    let call = Call { exchange: &mut exchange, caller: &mut first, agent: &mut second, number: 1, talk };
    call.make("sip:100@127.0.4.1:25060", '2', &a, &b).context("the call over UDP to the agent over TLS")?;
    wait_for("both agents after the first call", SOON, || both_are_free(&exchange))?;
    let call = Call { exchange: &mut exchange, caller: &mut second, agent: &mut first, number: 2, talk };
    call.make("sip:100@localhost:25461;transport=tls", '1', &b, &a)
        .context("the call over TLS to the agent over UDP")?;
    first.quit()?;
    second.quit()?;

    let records = exchange.wait_records(2, SOON)?;
    let mut scores = Vec::new();
    for (agent, left, right) in [("Second", ours, theirs), ("First", theirs, ours)] {
        let record = records.iter().find(|r| r["agent"]["name"] == agent);
        let record = record.with_context(|| format!("no call went to the agent {agent}"))?;
        check_record(record).with_context(|| format!("the record of the call to {agent}"))?;
        let recording = Recording::open(&exchange.recording_of(record)?)?;
        for (who, codes, said) in [("the caller", &recording.left, left), ("the agent", &recording.right, right)] {
            let heard = g711::decode_all(codes);
            let (at, _) = speech::find(&heard, said).with_context(|| format!("{who} of {agent} was not heard"))?;
            let score = pesq.scores(&[(said, &heard[at..at + said.len()])])?[0];
            ensure!(score >= PESQ_MIN, "{who} of {agent} was heard with a PESQ of {score:.2}");
            scores.push(score);
        }
    }
    exchange.stop()?;
    let worst = scores.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(format!(
        "registered over UDP and TLS; two calls through the menu, by telephone-event and by INFO; held by both ends; four \
         sentences with a PESQ of {worst:.2} or better"
    ))
}

fn both_are_free(exchange: &Exchange) -> Result<Option<()>> {
    let agents = exchange.agents()?;
    let free = |name: &str| agents.iter().any(|agent| agent["name"] == name && agent["state"] == "available");
    Ok((free("First") && free("Second")).then_some(()))
}

/// With silence before, so that nothing of the sentence falls into the moment of the answer, and behind for longer than any
/// call: linphone's player does not survive the end of its file.
pub fn padded(sentence: &[i16]) -> Vec<i16> {
    [&vec![0; 4_000], sentence, &vec![0; 8_000 * 120]].concat()
}

struct Call<'a> {
    exchange: &'a mut Exchange,
    caller: &'a mut Linphone,
    agent: &'a mut Linphone,
    /// Which one it is, from 1: so both name it.
    number: usize,
    /// How long both sentences last.
    talk: Duration,
}

impl Call<'_> {
    /// Calls the menu, presses a key, talks, is held by the agent and holds, hangs up.
    fn make(self, uri: &str, key: char, caller_says: &Path, agent_says: &Path) -> Result<()> {
        let Self { exchange, caller, agent, number, talk } = self;
        let answered = agent.times(RUNNING)?;
        caller.until(&format!("call {uri}"), RUNNING)?;
        exchange.wait_calls("greeting", 1, SOON)?;
        caller.tell(&format!("dtmf {key}"))?;
        exchange.wait_calls("talking", 1, SOON)?;
        wait_for("the agent's linphone", SOON, || Ok((agent.times(RUNNING)? > answered).then_some(())))?;
        caller.tell(&format!("incall-player-start {}", caller_says.display()))?;
        agent.tell(&format!("incall-player-start {}", agent_says.display()))?;
        pause(talk)?;
        agent.until("call-pause", "LinphoneCallPaused")?;
        exchange.wait_calls("held", 1, SOON)?;
        pause(HOLD)?;
        agent.until(&format!("call-resume {number}"), RUNNING)?;
        exchange.wait_calls("talking", 1, SOON)?;
        caller.until("call-pause", "LinphoneCallPaused")?;
        exchange.wait_calls("held", 1, SOON)?;
        pause(HOLD)?;
        caller.until(&format!("call-resume {number}"), RUNNING)?;
        exchange.wait_calls("talking", 1, SOON)?;
        caller.until("terminate", "LinphoneCallEnd")?;
        wait_for("the end of the call", SOON, || {
            exchange.running.must_run()?;
            Ok(exchange.calls()?.is_empty().then_some(()))
        })
    }
}

/// Lets real time pass: the phones talk meanwhile.
pub fn pause(length: Duration) -> Result<()> {
    let begin = Instant::now();
    wait_for("time to pass", length * 2, || Ok((begin.elapsed() >= length).then_some(())))
}

fn check_record(record: &Value) -> Result<()> {
    ensure!(record["end"] == "caller-hung-up", "it ends with {}", record["end"]);
    ensure!(record["digits"] == 1, "{} keys were heard", record["digits"]);
    let held = record["held_ms"].as_u64().context("held_ms")?;
    let least = 2 * HOLD.as_millis() as u64;
    ensure!((least..least + 4_000).contains(&held), "it was held for {held} ms");
    Ok(())
}
