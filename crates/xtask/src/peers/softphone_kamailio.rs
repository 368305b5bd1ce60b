//! Two softphones of ours at a proxy by others, kamailio, which is in the path of signalling alone: they call each other, speech is judged by
//! PESQ, the proxy is killed in mid-call, both go to the second one, and the call goes on without a lost packet.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::transfer::Phone;
use crate::apt;
use crate::children::{Running, must_be_free};
use crate::speech::{self, Pesq, Speech};

const FIRST: &str = "127.0.9.2:25060";
const SECOND: &str = "127.0.9.3:25060";
/// PESQ of a sentence from one phone's file to the other one's ear.
const PESQ_MIN: f64 = 4.0;
/// Samples of what each says, again and again.
const WORDS: usize = 20_000;
/// How long the two talk before the proxy is gone, and after they are registered at the second one.
const BEFORE: Duration = Duration::from_secs(6);
const AFTER: Duration = Duration::from_secs(1);
/// A gap between two packets that nobody hears, in milliseconds.
const GAP_MS_MAX: f64 = 150.0;

fn kamailio(bench: &Bench, address: &str, define: Option<&str>) -> Result<Running> {
    must_be_free(address.parse()?, "kamailio")?;
    let mut command = Command::new("kamailio");
    command.arg("-f").arg(crate::root().join("fixtures/peers/phones.cfg"));
    command.args(["-DD", "-E", "-m", "32", "-M", "4"]).args(define.map(|define| format!("-A{define}")));
    command.arg("-w").arg(&bench.folder).arg("-Y").arg(&bench.folder);
    Running::start("kamailio", &mut command, &bench.folder.join(format!("kamailio-{}.log", define.unwrap_or("first"))))
}

fn phone(bench: &Bench, name: &str, host: u8, samples: &[i16]) -> Result<Phone> {
    let secret = bench.folder.join("password");
    std::fs::write(&secret, "pigeon")?;
    let mut command = Command::new(&bench.offhook);
    command.args(["phone", "--headless", "--events", "--auto-answer", "0s", "--listen"]);
    command.arg(SocketAddr::from(([127, 0, 9, host], 0)).to_string());
    command.args(["--account", &format!("sip:{name}@phones.test"), "--server", FIRST, "--server", SECOND]);
    command.arg("--password-file").arg(secret).arg("--record").arg(heard(bench, name));
    let mut phone = Phone::start(name, command, &bench.folder, samples)?;
    phone.until("the registration", |event| (event["event"] == "registered").then_some(()))?;
    Ok(phone)
}

fn heard(bench: &Bench, name: &str) -> std::path::PathBuf {
    bench.folder.join(format!("{name}.wav"))
}

fn ended(phone: &mut Phone) -> Result<Value> {
    phone.until("the call's end", |event| (event["event"] == "ended").then(|| event.clone()))
}

pub fn run(bench: &Bench) -> Result<String> {
    apt::must_have("kamailio")?;
    let pesq = Pesq::install()?;
    let mut first = kamailio(bench, FIRST, None)?;
    let mut second = kamailio(bench, SECOND, Some("WITH_SECOND"))?;
    let speech = Speech::open()?;
    let [said, replied] = [0, 1].map(|n| speech.samples[speech.utterances[n].clone()][..WORDS].to_vec());
    let repeated = |samples: &[i16]| [samples, &[0; 4_000]].concat().repeat(6);
    let mut ann = phone(bench, "ann", 4, &repeated(&said))?;
    let mut ben = phone(bench, "ben", 5, &repeated(&replied))?;
    ann.tell(&json!({ "do": "dial", "to": "ben" }))?;
    let call = ann.event("answered")?;
    std::thread::sleep(BEFORE);
    first.kill()?;
    for phone in [&mut ann, &mut ben] {
        phone.until("the second server", |event| (event["event"] == "server").then_some(()))?;
        phone.until("the registration there", |event| (event["event"] == "registered").then_some(()))?;
    }
    second.must_run()?;
    std::thread::sleep(AFTER);
    // BYE finds no way by the proxy that is gone: each hangs up for itself, as people do.
    ann.tell(&json!({ "do": "hang_up", "call": call }))?;
    let by_ann = ended(&mut ann)?;
    ben.tell(&json!({ "do": "off" }))?;
    let by_ben = ended(&mut ben)?;
    let figure = |call: &Value, key: &str| call[key].as_f64().with_context(|| format!("no {key} in {call}"));
    for call in [&by_ann, &by_ben] {
        ensure!(figure(call, "duration_ms")? > BEFORE.as_secs_f64() * 1_000.0, "the call was over early: {call}");
        ensure!(figure(call, "lost")? == 0.0, "packets were lost: {call}");
    }
    let gap = figure(&by_ann, "longest_gap_ms")?.max(figure(&by_ben, "longest_gap_ms")?);
    ensure!(gap < GAP_MS_MAX, "a gap of {gap:.0} ms");
    let score = |name: &str, sentence: &[i16]| judge(&pesq, &heard(bench, name), sentence);
    let scores = [score("ben", &said)?, score("ann", &replied)?];
    ensure!(scores.iter().all(|score| *score >= PESQ_MIN), "PESQ {scores:?}");
    Ok(format!(
        "a call from phone to phone by kamailio with a PESQ of {:.2} and {:.2}; kamailio killed, both at the second one, nothing lost, the \
         longest gap {gap:.0} ms",
        scores[0], scores[1]
    ))
}

fn judge(pesq: &Pesq, file: &Path, sentence: &[i16]) -> Result<f64> {
    let (_, heard) = speech::read_wav(file)?;
    let (at, _) = speech::find(&heard, sentence).context("too little was heard")?;
    Ok(pesq.scores(&[(sentence, &heard[at..at + sentence.len()])])?[0])
}
