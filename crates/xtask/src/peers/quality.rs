//! Speech through the whole softphone: file, resampler, G.711, the exchange, jitter buffer, resampler, file.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::agents::{Account, softphone};
use super::exchange::Exchange;
use crate::children::{Running, wait_for};
use crate::speech::{self, Pesq, Speech};

/// PESQ through the softphone's resampler: mean.
const PESQ_MEAN: f64 = 4.0;
/// The sound cards' rate that the files of this test stand for.
const RATE: u32 = 48_000;
/// What the caller says, in seconds.
const SECONDS: usize = 32;

/// 8 kHz to 48 kHz by a windowed sinc, so that the speech is the same below 4 kHz.
pub fn upsample(samples: &[i16]) -> Vec<i16> {
    const TIMES: usize = (RATE / 8_000) as usize;
    const REACH: isize = 24;
    let mut out = Vec::with_capacity(samples.len() * TIMES);
    for at in 0..samples.len() * TIMES {
        let (whole, phase) = ((at / TIMES) as isize, (at % TIMES) as f64 / TIMES as f64);
        let mut sum = 0.0;
        for tap in 1 - REACH..=REACH {
            let Some(sample) = usize::try_from(whole + tap).ok().and_then(|i| samples.get(i)) else { continue };
            let x = phase - tap as f64;
            let sinc = if x.abs() < 1e-9 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
            let window = 0.5 + 0.5 * (std::f64::consts::PI * x / REACH as f64).cos();
            sum += f64::from(*sample) * sinc * if x.abs() < REACH as f64 { window } else { 0.0 };
        }
        out.push(sum.clamp(-32_768.0, 32_767.0) as i16);
    }
    out
}

pub fn run(bench: &Bench) -> Result<String> {
    let pesq = Pesq::install()?;
    let speech = Speech::open()?.first(SECONDS);
    let file = |name: &str| bench.folder.join(name);
    speech::write_wav(&file("said.wav"), RATE, &upsample(&speech.samples))?;
    let data = file("data");
    let mut exchange = Exchange::start(&bench.offhook, "fixtures/peers/exchange.toml", &data, &file("exchange.log"))?;
    let account = Account { server: exchange.sip, user: "phone11", password: "phone11-secret" };
    let mut command = softphone(&bench.offhook, account, &bench.folder, "0s")?;
    command.arg("--play").arg(file("said.wav")).arg("--record").arg(file("agent.wav"));
    let mut agent = Running::start("the agent's softphone", &mut command, &file("agent.log"))?;
    exchange.wait_available(1, Duration::from_secs(10))?;

    let mut command = super::agents::call(
        &bench.offhook,
        &format!("sip:200@{}", exchange.sip),
        Duration::from_secs(SECONDS as u64 + 4),
    );
    command.arg("--play").arg(file("said.wav")).arg("--record").arg(file("caller.wav"));
    let mut caller = Running::start("the caller", &mut command, &file("caller.log"))?;
    let status = wait_for("the end of the call", Duration::from_secs(SECONDS as u64 + 20), || {
        exchange.running.must_run()?;
        agent.must_run()?;
        caller.ended()
    })?;
    ensure!(status.success(), "offhook call ended with {status}:\n{}", caller.tail(10));
    ensure!(agent.stop()?, "the softphone did not end on SIGTERM");
    exchange.stop()?;

    let mut scores = Vec::new();
    for name in ["agent.wav", "caller.wav"] {
        let (rate, heard) = speech::read_wav(&file(name))?;
        let heard = if rate == 8_000 { heard } else { downsample(&heard, rate)? };
        let pairs = speech.found_in(&heard);
        ensure!(pairs.len() >= 2, "{name} holds {} of {} utterances", pairs.len(), speech.utterances.len());
        scores.extend(pesq.scores(&pairs).with_context(|| name.to_owned())?);
    }
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let worst = scores.iter().copied().fold(f64::INFINITY, f64::min);
    ensure!(mean >= PESQ_MEAN, "PESQ through the softphone: mean {mean:.3}, worst {worst:.3}");
    Ok(format!("PESQ mean {mean:.2}, worst {worst:.2} of {} utterances, both ways", scores.len()))
}

/// To 8 kHz, by a windowed-sinc low pass.
pub fn downsample(samples: &[i16], rate: u32) -> Result<Vec<i16>> {
    ensure!(rate.is_multiple_of(8_000), "a file at {rate} Hz");
    let by = (rate / 8_000) as usize;
    let reach = (24 * by) as isize;
    let cut = 1.0 / by as f64;
    let taps: Vec<f64> = (-reach..=reach)
        .map(|tap| {
            let x = tap as f64;
            let sinc = if tap == 0 { cut } else { (std::f64::consts::PI * x * cut).sin() / (std::f64::consts::PI * x) };
            sinc * (0.5 + 0.5 * (std::f64::consts::PI * x / reach as f64).cos())
        })
        .collect();
    let out = (0..samples.len() / by).map(|at| {
        let centre = (at * by) as isize;
        let sum: f64 = taps
            .iter()
            .enumerate()
            .filter_map(|(i, tap)| {
                let sample = usize::try_from(centre + i as isize - reach).ok().and_then(|n| samples.get(n))?;
                Some(tap * f64::from(*sample))
            })
            .sum();
        sum.clamp(-32_768.0, 32_767.0) as i16
    });
    Ok(out.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_and_down_again_is_the_same_tone() {
        let tone = speech::tone(8_000, 1_000.0, 0.1);
        let again = downsample(&upsample(&tone), RATE).expect("a rate that divides");
        let worst = tone[100..700].iter().zip(&again[100..700]).map(|(a, b)| (a - b).abs()).max();
        assert!(worst < Some(300), "{worst:?}");
    }
}
