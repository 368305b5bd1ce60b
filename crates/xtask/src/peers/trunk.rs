//! 50 calls from sipp to agents on baresip and on our softphone: every payload byte, both ways and in the recording.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Bench;
use super::agents::{Account, Agent, Payloads};
use super::exchange::Exchange;
use super::line::{FRAME, Heard, joined, longest_run, position};
use super::sipp::{Lines, Sipp, loopback};
use crate::children::wait_for;
use crate::g711;
use crate::speech::{self, Pesq, Recording, Speech, instant_us};

const CALLS: usize = 50;
const RATE: usize = 10;
/// How many of the 50 agents are baresip.
const BARESIP: usize = 10;
/// How long a caller holds.
const HOLD: Duration = Duration::from_secs(16);
/// The shortest talk that is taken for a whole one, in frames of 20 ms.
const FRAMES_MIN: usize = 400;
/// Frames that an agent may still have sent when the caller had left.
const TAIL_FRAMES: usize = 25;
/// How long after the answer a packet was sent at least that must be heard, in milliseconds: both clocks follow UTC.
const AFTER_ANSWER_MS: f64 = 2.0;
/// Calls in which a phone of this busy machine may pause, leaving out time: those recordings have a gap that says so.
const DISTURBED_MAX: usize = 5;
/// Frames that baresip's jitter buffer keeps of the first that reach it, and that its filter chain never sees. That the
/// exchange sent them shows in the agent's leg report.
const BARESIP_SWALLOWS: usize = 5;
/// PESQ at the relay: mean and worst.
const PESQ_MEAN: f64 = 4.2;
const PESQ_WORST: f64 = 4.1;

/// The agents' speech begins so many frames apart, so that each can be told from the others.
const AGENT_APART: usize = 37;

pub fn run(bench: &Bench) -> Result<String> {
    let pesq = Pesq::install()?;
    let speech = Speech::open()?;
    let frames = speech.samples.len() / FRAME;
    let samples = &speech.samples[..frames * FRAME];
    let codes = g711::encode_all(samples);
    let mut exchange = Exchange::start(
        &bench.offhook,
        "fixtures/peers/exchange.toml",
        &bench.folder.join("data"),
        &bench.folder.join("exchange.log"),
    )?;
    let mut agents = start_agents(bench, &exchange, samples)?;
    exchange.wait_available(agents.len(), Duration::from_secs(30))?;

    let callers = Sipp {
        scenario: "caller",
        local: loopback(2, 25_061),
        remote: Some(exchange.sip),
        media: 30_000,
        service: "100",
        calls: CALLS,
        rate: RATE,
        hold: HOLD,
    };
    let mut sipp = callers.start(&bench.folder)?;
    let mut lines = Lines::follow(&callers.log(&bench.folder), codes.clone().into(), Some((1, 10)))?;
    let status = wait_for("the end of 50 calls", Duration::from_mins(1), || {
        exchange.running.must_run()?;
        lines.keep_up(&callers)?;
        agents.iter_mut().try_for_each(Agent::must_run)?;
        sipp.ended()
    })?;
    lines.keep_up(&callers)?;
    lines.hang_up()?;
    ensure!(status.success(), "sipp ended with {status}: not every call went as it should");
    let records = exchange.wait_records(CALLS, Duration::from_secs(10))?;
    ensure!(records.len() == CALLS, "{} records of {CALLS} calls", records.len());

    let mut payloads = Vec::new();
    for agent in agents {
        payloads.push((agent.kind, agent.finish()?));
    }
    let mut sum = Sum::default();
    for (number, heard) in &lines.ended {
        let call = Call { number: *number, heard, record: record_of(&records, *number)?, exchange: &exchange };
        call.check(&payloads, &mut sum).with_context(|| format!("call {number}"))?;
    }
    ensure!(lines.ended.len() == CALLS, "{} of {CALLS} calls were answered", lines.ended.len());
    ensure!(sum.disturbed <= DISTURBED_MAX, "{} calls were disturbed by pauses of a phone", sum.disturbed);
    let scores = relay_scores(&pesq, &speech, &codes, &sum.heard_by_agents)?;
    exchange.stop()?;
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let worst = scores.iter().copied().fold(f64::INFINITY, f64::min);
    ensure!(mean >= PESQ_MEAN && worst >= PESQ_WORST, "PESQ at the relay: mean {mean:.3}, worst {worst:.3}");
    Ok(format!(
        "{} calls with softphones, {} with baresip; {} packets to agents and {} to callers, each as sent, from the first after the answer; {} calls with a phone's pause; PESQ mean {mean:.2}, worst {worst:.2} of {} utterances",
        sum.softphone,
        sum.baresip,
        sum.to_agents,
        sum.to_callers,
        sum.disturbed,
        scores.len()
    ))
}

fn start_agents(bench: &Bench, exchange: &Exchange, samples: &[i16]) -> Result<Vec<Agent>> {
    let mut agents = Vec::new();
    for index in 0..CALLS {
        let user = format!("phone{:02}", index + 1);
        let password = format!("{user}-secret");
        let account = Account { server: exchange.sip, user: &user, password: &password };
        let folder = bench.folder.join(&user);
        std::fs::create_dir_all(&folder)?;
        let own = rotated(samples, index);
        agents.push(if index < BARESIP {
            Agent::baresip(account, &own, &folder, index as u16)?
        } else {
            let play = folder.join("speech.wav");
            speech::write_wav(&play, 8_000, &own)?;
            Agent::softphone(&bench.offhook, account, &play, &folder)?
        });
    }
    Ok(agents)
}

/// The same speech from another place on.
fn rotated(samples: &[i16], index: usize) -> Vec<i16> {
    let at = (index * AGENT_APART * FRAME + samples.len() / 2) % samples.len();
    let at = at - at % FRAME;
    [&samples[at..], &samples[..at]].concat()
}

fn record_of(records: &[Value], number: usize) -> Result<&Value> {
    let caller = format!("+49301000{number}");
    let found = records.iter().find(|r| r["caller"]["text"].as_str().is_some_and(|text| names(text, &caller)));
    found.with_context(|| format!("no record of the caller {caller}"))
}

/// Whether a presented caller is this number, alone or in an address.
fn names(text: &str, number: &str) -> bool {
    text.match_indices(number).any(|(at, _)| !text[at + number.len()..].starts_with(|c: char| c.is_ascii_digit()))
}

/// What all calls together showed.
#[derive(Default)]
struct Sum {
    softphone: usize,
    baresip: usize,
    disturbed: usize,
    to_agents: usize,
    to_callers: usize,
    heard_by_agents: Vec<(usize, Vec<u8>)>,
}

struct Call<'a> {
    number: usize,
    heard: &'a Heard,
    record: &'a Value,
    exchange: &'a Exchange,
}

impl Call<'_> {
    fn check(&self, agents: &[(&'static str, Payloads)], sum: &mut Sum) -> Result<()> {
        ensure!(self.record["end"] == "caller-hung-up", "its record ends with {}", self.record["end"]);
        ensure!(self.heard.received.iter().all(|p| p.payload.len() == FRAME), "a packet is not of 20 ms");
        let name = self.record["agent"]["name"].as_str().context("its record has no agent")?;
        let index: usize = name.trim_start_matches("Agent ").parse().context("the agent's number")?;
        let (kind, agent) = &agents[index - 1];
        let (sent, received) = (joined(&self.heard.sent), joined(&self.heard.received));

        // Caller to agent: the agent heard nothing but the caller, unbroken, from the answer on.
        let (first, run, from) = longest_run(&agent.received, &sent).context("the agent never heard the caller")?;
        let whole = agent.received.len() / FRAME;
        ensure!(
            first == 0 && run == whole,
            "the {kind} heard {whole} frames; of the caller's only {run} unbroken, from {first}"
        );
        ensure!(run >= FRAMES_MIN, "the {kind} heard only {run} frames");
        let expected = self.first_after_answer()? + if *kind == "baresip" { BARESIP_SWALLOWS } else { 0 };
        ensure!(from / FRAME <= expected, "the {kind} missed {} of the caller's first frames", from / FRAME - expected);
        self.check_forwarded(from / FRAME + run)?;
        let left_out = self.heard.sent.len() - from / FRAME - run;
        ensure!(left_out <= TAIL_FRAMES, "the caller's last {left_out} frames never came");

        // Agent to caller: from the agent's first packet to the caller's hang-up.
        let (place, heard, begin) = longest_run(&received, &agent.sent).context("the caller never heard the agent")?;
        ensure!(begin == 0, "the caller missed the agent's first {} frames", begin / FRAME);
        ensure!(
            place + heard == received.len() / FRAME,
            "the agent broke off {} frames early",
            received.len() / FRAME - place - heard
        );
        let mut disturbed = self.heard.received[place..]
            .windows(2)
            .any(|w| w[1].timestamp.wrapping_sub(w[0].timestamp) != FRAME as u32);
        let unheard = agent.sent.len() / FRAME - heard;
        ensure!(unheard <= TAIL_FRAMES, "the agent's last {unheard} frames never came");

        disturbed |= self.check_recording(&sent[from..from + run * FRAME], &received[place * FRAME..])?;
        sum.disturbed += usize::from(disturbed);
        sum.to_agents += run;
        sum.to_callers += heard;
        *(if *kind == "baresip" { &mut sum.baresip } else { &mut sum.softphone }) += 1;
        sum.heard_by_agents.push((self.number, agent.received.clone()));
        Ok(())
    }

    /// The first frame that the caller said after the answer.
    fn first_after_answer(&self) -> Result<usize> {
        for index in 0..self.heard.sent.len() {
            if self.sent_after_answer(index)? >= AFTER_ANSWER_MS {
                return Ok(index);
            }
        }
        bail!("the caller said nothing after the answer")
    }

    /// The agent's leg was sent every packet that the caller sent from the answer up to `end`, the first that the agent did
    /// not hear any more: what the caller said while its hang-up was on its way is nobody's loss.
    fn check_forwarded(&self, end: usize) -> Result<()> {
        let said = end.saturating_sub(self.first_after_answer()?);
        let forwarded = self.record["agent_media"]["sent_packets"].as_u64().context("the agent's leg report")? as usize;
        ensure!(forwarded >= said, "{forwarded} of {said} packets since the answer were sent to the agent");
        Ok(())
    }

    /// How long after the exchange's `connected` the caller sent its frame `index`, in milliseconds.
    fn sent_after_answer(&self, index: usize) -> Result<f64> {
        let text = self.record["connected"].as_str().context("connected")?;
        let connected = instant_us(text).with_context(|| format!("connected = {text}"))?;
        let packet = self.heard.sent.get(index).context("a frame that was sent")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as f64;
        let sent = now - packet.at.elapsed().as_micros() as f64;
        Ok((sent - connected as f64) / 1_000.0)
    }

    /// Both channels hold what was said and sent, unbroken; the manifest's hashes are those of the payloads. True where a
    /// phone paused, so that the recording has a gap which says so.
    fn check_recording(&self, said: &[u8], sent: &[u8]) -> Result<bool> {
        let file = self.exchange.recording_of(self.record)?;
        let recording = Recording::open(&file)?;
        ensure!(recording.format == 7, "the recording's format is {}", recording.format);
        let manifest = self.exchange.manifest_of(self.record)?;
        let mut paused = false;
        for (side, bytes, channel) in [("left", said, &recording.left), ("right", sent, &recording.right)] {
            if position(channel, bytes).is_none() {
                ensure!(speech::sender_paused(&manifest, side), "what was said is not unbroken in the {side} channel");
                paused = true;
            }
        }
        let whole = hex(&Sha256::digest(std::fs::read(&file)?));
        ensure!(self.record["recording"]["sha256"].as_str() == Some(&whole), "the record's SHA-256 is not the file's");
        check_payload_hashes(&manifest, self.heard, &file)?;
        Ok(paused)
    }
}

/// The manifest hashes the payloads of each side as they came: some unbroken part of what the caller sent and was sent.
fn check_payload_hashes(manifest: &Value, heard: &Heard, file: &Path) -> Result<()> {
    for (side, packets) in [("left", &heard.sent), ("right", &heard.received)] {
        let told = &manifest[side];
        let hash =
            told["payload_sha256"].as_str().with_context(|| format!("payload_sha256 of {side} in {manifest}"))?;
        let count = told["packets"].as_u64().with_context(|| format!("packets of {side} in {manifest}"))? as usize;
        let found = (0..=packets.len().saturating_sub(count)).rev().take(TAIL_FRAMES + 1).any(|from| {
            packets.len() >= from + count && hex(&Sha256::digest(joined(&packets[from..from + count]))) == hash
        });
        ensure!(found, "{}: the {side} side's hash is not that of {count} payloads in a row", file.display());
    }
    Ok(())
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// PESQ of whole utterances as agents heard them, against the speech before any codec.
fn relay_scores(pesq: &Pesq, speech: &Speech, codes: &[u8], heard: &[(usize, Vec<u8>)]) -> Result<Vec<f64>> {
    const UTTERANCES_MAX: usize = 24;
    let mut pairs = Vec::new();
    for (_, received) in heard {
        let decoded = g711::decode_all(received);
        let Some(place) = position(codes, &received[..FRAMES_MIN * FRAME]) else { continue };
        for utterance in &speech.utterances {
            if utterance.start >= place && utterance.end <= place + decoded.len() && pairs.len() < UTTERANCES_MAX {
                let part = decoded[utterance.start - place..utterance.end - place].to_vec();
                pairs.push((speech.samples[utterance.clone()].to_vec(), part));
            }
        }
    }
    ensure!(pairs.len() >= 6, "only {} whole utterances were heard", pairs.len());
    let pairs: Vec<(&[i16], &[i16])> = pairs.iter().map(|(a, b)| (a.as_slice(), b.as_slice())).collect();
    pesq.scores(&pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caller_1_is_not_caller_10() {
        assert!(names("\"x\" <sip:+493010001@h>", "+493010001"));
        assert!(!names("+4930100010", "+493010001"));
    }
}
