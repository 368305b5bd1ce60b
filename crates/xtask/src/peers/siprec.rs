//! Recording sessions (RFC 7866): an exchange sends its calls to another one, which records them byte for byte as the first does; sipp
//! is a border controller whose call is recorded, and a recorder that is tried when the other one is gone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::agents::{Account, Agent};
use super::exchange::Exchange;
use super::line::{FRAME, Heard, joined, position};
use super::sipp::{Lines, Over, Sipp, loopback};
use crate::children::wait_for;
use crate::g711;
use crate::http;
use crate::speech::{self, Recording, Speech};

/// How long a call lasts.
const HOLD: Duration = Duration::from_secs(8);
/// How long sipp holds between what it does.
const PART: Duration = Duration::from_secs(3);
/// Whatever is waited for.
const SOON: Duration = Duration::from_secs(30);
/// Frames of 20 ms after which a recorder outside has surely answered.
const HEAD: usize = 50;
/// Frames that may be on their way when somebody hangs up.
const TAIL: usize = 25;

pub fn run(bench: &Bench) -> Result<String> {
    let speech = Speech::open()?;
    let frames = speech.samples.len() / FRAME;
    let samples = &speech.samples[..frames * FRAME];
    let codes = g711::encode_all(samples);
    let start = |name: &str| {
        let config = format!("fixtures/peers/siprec_{name}.toml");
        let (data, log) = (bench.folder.join(name), bench.folder.join(format!("{name}.log")));
        Exchange::start(&bench.offhook, &config, &data, &log)
    };
    let (mut source, mut recorder) = (start("source")?, start("recorder")?);
    let play = bench.folder.join("speech.wav");
    speech::write_wav(&play, 8_000, samples)?;
    let account = Account { server: source.sip, user: "ann", password: "ann-secret" };
    let mut agent = Agent::softphone(&bench.offhook, account, &play, &bench.folder.join("ann"))?;
    source.wait_available(1, SOON)?;

    let heard = call(bench, &mut source, &mut agent, &codes)?;
    let ours = last(&mut source, 1)?;
    let theirs = last(&mut recorder, 1)?;
    let frames = check_copy(&source, &ours, &recorder, &theirs, &heard)?;

    let sides = border_controller(bench, &mut recorder, &codes)?;
    // The recorder is gone: sipp is next.
    recorder.stop()?;
    let attempts = other_recorder(bench, &mut source, &mut agent, &codes)?;
    source.stop()?;
    Ok(format!(
        "{frames} frames recorded outside as here, both sides; {sides} frames of a border controller's two streams; a second recorder took over after {attempts} attempt in vain"
    ))
}

/// One call from sipp to the agent, and what its caller said and heard.
fn call(bench: &Bench, source: &mut Exchange, agent: &mut Agent, codes: &[u8]) -> Result<Heard> {
    let callers = Sipp {
        scenario: "caller",
        local: loopback(2, 25_061),
        remote: Some(source.sip),
        media: 30_000,
        service: "100",
        calls: 1,
        rate: 1,
        hold: HOLD,
    };
    let mut sipp = callers.start(&bench.folder)?;
    let mut lines = Lines::follow(&callers.log(&bench.folder), codes.into(), None)?;
    let status = wait_for("the end of a call", SOON, || {
        source.running.must_run()?;
        agent.must_run()?;
        lines.keep_up(&callers)?;
        sipp.ended()
    })?;
    lines.keep_up(&callers)?;
    lines.hang_up()?;
    ensure!(status.success(), "sipp ended with {status}");
    lines.ended.remove(&1).context("the call was not answered")
}

/// The newest of so many records.
fn last(exchange: &mut Exchange, records: usize) -> Result<Value> {
    Ok(exchange.wait_records(records, SOON)?.swap_remove(0))
}

/// What was recorded outside is what was said and heard, and is in the recording here, unbroken. Gives its frames.
fn check_copy(source: &Exchange, ours: &Value, recorder: &Exchange, theirs: &Value, heard: &Heard) -> Result<usize> {
    let (here, outside) =
        (Recording::open(&source.recording_of(ours)?)?, Recording::open(&recorder.recording_of(theirs)?)?);
    ensure!(outside.format == here.format, "formats {} and {}", here.format, outside.format);
    let mut frames = 0;
    for (side, bytes, here, outside) in [
        ("left", joined(&heard.sent), &here.left, &outside.left),
        ("right", joined(&heard.received), &here.right, &outside.right),
    ] {
        let part = bytes.get(HEAD * FRAME..bytes.len().saturating_sub(TAIL * FRAME)).unwrap_or_default();
        ensure!(part.len() > 100 * FRAME, "only {} bytes of the {side} side", bytes.len());
        for (where_, channel) in [("here", here), ("outside", outside)] {
            ensure!(position(channel, part).is_some(), "the {side} side is not unbroken {where_}");
        }
        frames += part.len() / FRAME;
    }
    let manifest = recorder.manifest_of(theirs)?;
    ensure!(manifest["dropped"] == 0 && manifest["left"]["lost"] == 0, "the recorder lost packets: {manifest}");
    ensure!(theirs["trunk"] == "exchange" && theirs["end"] == "caller-hung-up", "the recorder's record: {theirs}");
    ensure!(theirs["caller"]["text"] == "+493010001", "the recorder takes {} for the caller", theirs["caller"]);
    ensure!(theirs["number"] == "100", "the recorder takes {} for the number dialled", theirs["number"]);
    check_parts(theirs, &[("+493010001", "left"), ("sales (100)", "right"), ("Ann (Ann)", "right")])?;
    Ok(frames)
}

fn check_parts(record: &Value, expected: &[(&str, &str)]) -> Result<()> {
    let told = record["taken_parts"].as_array().context("taken_parts")?;
    let text = |part: &Value| part["who"]["text"].as_str().unwrap_or_default().to_owned();
    let told: Vec<(String, &str)> =
        told.iter().map(|part| (text(part), part["part"].as_str().unwrap_or_default())).collect();
    let same = told.len() == expected.len()
        && expected.iter().all(|(who, part)| told.iter().any(|(known, at)| known.contains(who) && at == part));
    ensure!(same, "the record tells of {told:?} instead of {expected:?}");
    Ok(())
}

/// sipp sends a recording session with two streams; gives the frames that were recorded of both.
fn border_controller(bench: &Bench, recorder: &mut Exchange, codes: &[u8]) -> Result<usize> {
    let sbc = Sipp {
        scenario: "siprec_client",
        local: std::net::SocketAddr::from(([127, 0, 1, 44], 25_065)),
        remote: Some(recorder.sip),
        media: 31_000,
        service: "srs",
        calls: 1,
        rate: 1,
        hold: PART,
    };
    let mut sipp = sbc.start_over(Over::Tcp, &bench.folder)?;
    let mut lines = Lines::follow(&sbc.log(&bench.folder), codes.into(), None)?;
    let status = wait_for("the border controller's end", SOON, || {
        recorder.running.must_run()?;
        lines.keep_up(&sbc)?;
        sipp.ended()
    })?;
    lines.keep_up(&sbc)?;
    lines.hang_up()?;
    ensure!(status.success(), "sipp as a border controller ended with {status}");
    let record = last(recorder, 2)?;
    let recording = Recording::open(&recorder.recording_of(&record)?)?;
    let mut frames = 0;
    for (stream, channel) in [(1, &recording.left), (2, &recording.right)] {
        let said = joined(&lines.ended.get(&stream).with_context(|| format!("stream {stream}"))?.sent);
        ensure!(said.len() > 200 * FRAME, "stream {stream} has only {} bytes", said.len());
        ensure!(position(channel, &said).is_some(), "stream {stream} is not unbroken in its recording");
        frames += said.len() / FRAME;
    }
    ensure!(record["trunk"] == "sbc" && record["number"] == "7001", "the record: {record}");
    check_parts(&record, &[("Kunde", "left"), ("Agentin", "right"), ("+4930999", "right")])?;
    Ok(frames)
}

/// With the first recorder gone, sipp as the second takes the recording session; gives the attempts that were in vain.
fn other_recorder(bench: &Bench, source: &mut Exchange, agent: &mut Agent, codes: &[u8]) -> Result<u64> {
    let second = Sipp {
        scenario: "siprec_server",
        local: std::net::SocketAddr::from(([127, 0, 1, 43], 25_064)),
        remote: None,
        media: 32_000,
        service: "srs",
        calls: 1,
        rate: 1,
        hold: HOLD,
    };
    let mut sipp = second.start_over(Over::Tcp, &bench.folder)?;
    source.wait_available(1, SOON)?;
    call(bench, source, agent, codes)?;
    let status = wait_for("the second recorder's end", SOON, || sipp.ended())?;
    ensure!(status.success(), "sipp as a recorder ended with {status}");
    let (_, metrics) = http::ask(source.http, "GET", "/metrics", None)?;
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse::<f64>().ok()).with_context(|| format!("{name} is not in /metrics"))
    };
    let taken = value("offhook_siprec_sent_total{outcome=\"taken\"}")?;
    let failed = value("offhook_siprec_sent_total{outcome=\"failed\"}")?;
    ensure!((taken, failed) == (2.0, 1.0), "{taken} sessions taken and {failed} attempts in vain");
    ensure!(value("offhook_siprec_sessions")? == 0.0, "a recording session is left");
    Ok(failed as u64)
}
