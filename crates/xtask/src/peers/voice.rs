//! An agent's softphone in a noisy room: what the customer hears of it with the processing of the microphone, and without. And how long a
//! word is under way from mouth to ear.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::agents::{Account, call, softphone};
use super::devices::Sound;
use super::exchange::Exchange;
use crate::children::{Running, wait_for};
use crate::speech::{self, Pesq, Speech};

/// The noise of the room, in decibels below full scale; the speech is at -26.
const NOISE_DB: f64 = -42.0;
/// Noise alone before the sentence, in samples: what the processing needs to know it.
const BEFORE: usize = 3 * 8_000;
/// How much quieter the noise is to be between words.
const CUT_DB: f64 = 10.0;
/// What is meant from mouth to ear.
const MOUTH_TO_EAR_MS: f64 = 120.0;
const HOLD: Duration = Duration::from_secs(20);

/// A fan: noise with a slope of 6 dB an octave from 300 Hz on.
fn fan(samples: usize) -> Vec<f64> {
    let (mut state, mut low) = (1_u32, 0.0);
    let noise: Vec<f64> = (0..samples)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            low += (f64::from(state >> 8) / 8_388_608.0 - 1.0 - low) * 0.2;
            low
        })
        .collect();
    let mean = noise.iter().map(|sample| sample * sample).sum::<f64>() / samples as f64;
    let factor = 32_768.0 * 10.0_f64.powf(NOISE_DB / 20.0) / mean.sqrt();
    noise.iter().map(|sample| sample * factor).collect()
}

fn level_db(samples: &[i16]) -> f64 {
    let power = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
    10.0 * (power / 32_768.0_f64.powi(2) + 1e-12).log10()
}

/// What the customer hears of an agent whose softphone has these `options`.
fn hear(bench: &Bench, sound: &Sound, says: &Path, name: &str, options: &[&str]) -> Result<Vec<i16>> {
    let folder = bench.folder.join(name);
    std::fs::create_dir_all(&folder)?;
    let file = |name: &str| folder.join(name);
    let (config, data) = ("fixtures/peers/exchange.toml", file("data"));
    let mut exchange = Exchange::start(&bench.offhook, config, &data, &file("exchange.log"))?;
    let account = Account { server: exchange.sip, user: "phone11", password: "phone11-secret" };
    let mut command = softphone(&bench.offhook, account, &folder, "0s")?;
    command
        .env("PULSE_SERVER", &sound.server)
        .args(["--input-device", "mouth", "--output-device", "ear"])
        .args(options);
    let mut agent = Running::start("the agent's softphone", &mut command, &file("agent.log"))?;
    exchange.wait_available(1, Duration::from_secs(10))?;
    let mut command = call(&bench.offhook, &format!("sip:200@{}", exchange.sip), HOLD);
    command.arg("--record").arg(file("caller.wav"));
    let mut caller = Running::start("the caller", &mut command, &file("caller.log"))?;
    exchange.wait_calls("talking", 1, Duration::from_secs(15))?;
    let mut mouth = sound.command("paplay");
    let mut mouth = Running::start("paplay", mouth.args(["-d", "voice"]).arg(says), &file("paplay.log"))?;
    let status = wait_for("the end of the call", HOLD * 2, || {
        exchange.running.must_run()?;
        agent.must_run()?;
        caller.ended()
    })?;
    ensure!(status.success(), "offhook call ended with {status}:\n{}", caller.tail(10));
    ensure!(mouth.wait(Duration::from_secs(5))?.success(), "paplay: {}", mouth.tail(5));
    ensure!(agent.stop()?, "the softphone did not end on SIGTERM");
    exchange.stop()?;
    let (rate, heard) = speech::read_wav(&file("caller.wav"))?;
    ensure!(rate == 8_000, "a recording at {rate} Hz");
    Ok(heard)
}

pub fn run(bench: &Bench) -> Result<String> {
    let pesq = Pesq::install()?;
    let sound = Sound::start(&bench.folder)?;
    let speech = Speech::open()?;
    let sentence = &speech.samples[speech.utterances[0].clone()];
    let noise = fan(BEFORE + sentence.len() + 8_000);
    let said: Vec<i16> = noise
        .iter()
        .enumerate()
        .map(|(n, noise)| {
            let word = n.checked_sub(BEFORE).and_then(|at| sentence.get(at)).copied().unwrap_or(0);
            (f64::from(word) + noise).clamp(-32_768.0, 32_767.0) as i16
        })
        .collect();
    let says = bench.folder.join("agent-says.wav");
    speech::write_wav(&says, 8_000, &said)?;
    let off = ["--no-echo-cancellation", "--no-noise-suppression", "--no-gain-control"];
    let mut found = Vec::new();
    for (name, options) in [("as-it-is", &off[..]), ("processed", &[])] {
        let heard = hear(bench, &sound, &says, name, options)?;
        let (at, _) = speech::find(&heard, sentence).with_context(|| format!("{name}: too little was heard"))?;
        let score = pesq.scores(&[(sentence, &heard[at..at + sentence.len()])])?[0];
        let before = at.checked_sub(8_000).context("the noise before the sentence was not heard")?;
        found.push((score, level_db(&heard[before..before + 6_400])));
    }
    let [(plain, loud), (better, quiet)] = found[..] else { anyhow::bail!("two runs") };
    ensure!(loud - quiet >= CUT_DB, "noise at {loud:.1} dB, processed {quiet:.1} dB");
    ensure!(better >= plain, "PESQ {plain:.2} as it is, {better:.2} processed");
    Ok(format!("noise {:.1} dB lower between words; PESQ {plain:.2} as it is, {better:.2} processed", loud - quiet))
}

/// `offhook doctor --audio-loop` finds what is meant.
pub fn audio_loop(bench: &Bench) -> Result<String> {
    let output = Command::new(&bench.offhook).args(["doctor", "--audio-loop", "--json"]).output()?;
    let report: Value = serde_json::from_slice(&output.stdout).context("the doctor's report")?;
    let findings = report["findings"].as_array().context("the doctor's findings")?;
    let finding = findings.iter().find(|finding| finding["what"] == "audio loop").context("no audio loop")?;
    let found = finding["found"].as_str().unwrap_or_default().to_owned();
    // The doctor wants every click within it; here the machine may be busy with other tests' ends.
    let median = found.split(" ms (median)").next().and_then(|text| text.rsplit(' ').next());
    let median: f64 = median.and_then(|text| text.parse().ok()).with_context(|| found.clone())?;
    ensure!(median <= MOUTH_TO_EAR_MS, "{found}");
    Ok(found)
}
