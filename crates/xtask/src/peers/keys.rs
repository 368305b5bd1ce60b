//! Keys as tones: a caller without telephone-events presses one in its sound, and hears what the agent's baresip presses as an
//! event. Another one waits meanwhile in a queue that asks for consent, and agrees to being recorded by such a key.

use std::f64::consts::TAU;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::agents::{Account, Agent, Place};
use super::exchange::Exchange;
use super::line::{FRAME, joined};
use super::sipp::{Lines, Sipp, loopback};
use super::transfer::order_baresip;
use crate::children::wait_for;
use crate::g711;
use crate::speech::{Recording, Speech, instant_us};

/// What the caller presses, and when: after so much speech that presses nothing.
const PRESSED: [f64; 2] = [697.0, 1_209.0];
const PRESSED_FOR: usize = 800;
const SPEECH_BEFORE: usize = 32_000;
/// What the agent presses: 9.
const ANSWERED: [f64; 2] = [852.0, 1_477.0];
/// Frames of 20 ms that have to sound of it: 40 ms are a key.
const FRAMES_MIN: usize = 2;
/// Shorter than the greeting: without its key the call reaches nobody.
const HOLD: Duration = Duration::from_secs(12);
const SOON: Duration = Duration::from_secs(15);

pub fn run(bench: &Bench) -> Result<String> {
    let speech = Speech::open()?;
    let samples = &speech.samples[..speech.samples.len() / FRAME * FRAME];
    let mut said = samples[..SPEECH_BEFORE].to_vec();
    said.extend(tones(PRESSED, PRESSED_FOR));
    said.extend(&samples[SPEECH_BEFORE..]);
    let file = |name: &str| bench.folder.join(name);
    let mut exchange = Exchange::start(&bench.offhook, &asking(bench)?, &file("data"), &file("exchange.log"))?;
    let account = Account { server: exchange.sip, user: "phone01", password: "phone01-secret" };
    let (place, control) = (Place { address: loopback(5, 25_170), media: 42_300 }, loopback(5, 25_190));
    let mut agent = Agent::baresip_with_control(account, place, control, samples, &file("agent"))?;
    exchange.wait_available(1, SOON)?;

    let caller = Sipp {
        scenario: "caller_tones",
        local: loopback(2, 25_061),
        remote: Some(exchange.sip),
        media: 30_000,
        service: "100",
        calls: 1,
        rate: 1,
        hold: HOLD,
    };
    let mut sipp = caller.start(&bench.folder)?;
    let mut lines = Lines::follow(&caller.log(&bench.folder), g711::encode_all(&said).into(), None)?;
    let asked = Sipp { local: loopback(2, 25_062), media: 36_000, service: "300", ..caller };
    std::fs::create_dir_all(file("asked"))?;
    let mut waiting = None;
    let mut pressed = false;
    let status = wait_for("the end of the call", HOLD + SOON, || {
        exchange.running.must_run()?;
        agent.must_run()?;
        lines.keep_up(&caller)?;
        if !pressed && exchange.calls_in("talking")? == 1 {
            order_baresip(control, "sndcode", "9")?;
            pressed = true;
            // The agent is taken: this one waits.
            let sipp = asked.start(&file("asked"))?;
            waiting = Some((sipp, Lines::follow(&asked.log(&file("asked")), g711::encode_all(&said).into(), None)?));
        }
        if let Some((_, lines)) = &mut waiting {
            lines.keep_up(&asked)?;
        }
        sipp.ended()
    })?;
    ensure!(status.success(), "sipp ended with {status}");
    lines.keep_up(&caller)?;
    lines.hang_up()?;
    let (mut sipp, mut its_lines) = waiting.context("the caller who waits")?;
    let status = wait_for("the end of the other call", HOLD + SOON, || {
        its_lines.keep_up(&asked)?;
        sipp.ended()
    })?;
    ensure!(status.success(), "the other sipp ended with {status}");
    its_lines.keep_up(&asked)?;
    its_lines.hang_up()?;
    let records = exchange.wait_records(2, SOON)?;
    let of = |number: &str| records.iter().find(|record| record["number"] == number).context("its record");
    let agreed = of("300")?;
    let at = |what: &str| agreed["consent"][what].as_str().and_then(instant_us).with_context(|| format!("{agreed}"));
    let after_s = (at("given")? - at("asked")?) / 1_000_000;
    let recording = Recording::open(&exchange.recording_of(agreed)?)?;
    let recorded_s = recording.left.len() / 8_000;
    ensure!((3..=6).contains(&after_s) && recorded_s >= 5, "agreed after {after_s} s, recorded {recorded_s} s");
    let (record, digits) = (of("100")?, &of("100")?["digits"]);
    ensure!(*digits == 1, "{digits} keys were heard of the caller");
    ensure!(record["agent"]["name"].is_string(), "no agent had the call: {record}");
    let heard = g711::decode_all(&joined(&lines.ended[&1].received));
    let frames = heard.chunks_exact(FRAME).filter(|frame| share(frame, ANSWERED) > 0.8).count();
    ensure!(frames >= FRAMES_MIN, "the caller heard {frames} frames of the agent's key");
    agent.finish()?;
    exchange.stop()?;
    Ok(format!(
        "a key of {} ms after {} s of speech led to the queue; the agent's key sounded for {} ms; who agreed by a key after \
         {after_s} s was recorded for {recorded_s} s",
        PRESSED_FOR / 8,
        SPEECH_BEFORE / 8_000,
        frames * 20
    ))
}

/// The configuration of the peers with a queue that asks for consent; gives its path.
fn asking(bench: &Bench) -> Result<String> {
    let plain = std::fs::read_to_string(crate::root().join("fixtures/peers/exchange.toml"))?;
    let prompts = crate::root().join("config/prompts");
    let text = plain
        .replace("../../config/prompts", &prompts.display().to_string())
        .replace("queues = [\"sales\"]", "queues = [\"sales\", \"asked\"]");
    let queue = "[[queue]]\nname = \"asked\"\nring_for = \"10s\"\nmusic = \"music\"\nnobody_here = \"vm-nobodyavail\"\n\
                 record = \"with-consent\"\nconsent = { ask = \"vm-goodbye\", key = \"1\" }\n\
                 [[number]]\nnumber = \"300\"\nqueue = \"asked\"\n";
    let path = bench.folder.join("exchange.toml");
    std::fs::write(&path, format!("{text}\n{queue}"))?;
    Ok(path.display().to_string())
}

fn tones(hertz: [f64; 2], count: usize) -> Vec<i16> {
    let wave = |n: usize| hertz.iter().map(|hertz| 6_000.0 * (TAU * hertz * n as f64 / 8_000.0).sin()).sum::<f64>();
    (0..count).map(|n| wave(n) as i16).collect()
}

/// The part of a frame's energy that two frequencies have.
fn share(frame: &[i16], hertz: [f64; 2]) -> f64 {
    let energy: f64 = frame.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    let of = |hertz: f64| {
        let (mut real, mut imaginary) = (0.0, 0.0);
        for (n, sample) in frame.iter().enumerate() {
            let angle = TAU * hertz * n as f64 / 8_000.0;
            real += f64::from(*sample) * angle.cos();
            imaginary += f64::from(*sample) * angle.sin();
        }
        2.0 * (real * real + imaginary * imaginary) / frame.len() as f64
    };
    if energy == 0.0 { 0.0 } else { hertz.into_iter().map(of).sum::<f64>() / energy }
}
