//! The sound path without hardware: PulseAudio null sinks, through which the softphone plays and captures with `cpal`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::agents::{Account, call, softphone};
use super::exchange::Exchange;
use super::quality::{downsample, upsample};
use crate::children::{Running, wait_for};
use crate::speech::{self, Pesq, Speech};

/// A tone that the caller plays and one that is spoken into the microphone.
const CALLER_HERTZ: f64 = 700.0;
const AGENT_HERTZ: f64 = 1_100.0;
/// The share of a window's power that must lie at the tone.
const TONE_SHARE: f64 = 0.8;
/// PESQ of the sentence behind sound devices and their resampling.
const PESQ_MIN: f64 = 3.6;
const HOLD: Duration = Duration::from_secs(24);

/// A sound server of our own with a loudspeaker `ear` and a microphone `mouth`.
pub(super) struct Sound {
    _running: Running,
    pub(super) server: String,
}

impl Sound {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let (run, home) = (folder.join("run"), folder.join("home"));
        std::fs::create_dir_all(&home)?;
        std::fs::create_dir_all(&run)?;
        std::fs::set_permissions(&run, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        let socket = folder.join("native");
        let script = format!(
            "load-module module-null-sink sink_name=ear rate=48000 channels=2\n\
             load-module module-null-sink sink_name=voice rate=48000 channels=2\n\
             load-module module-remap-source source_name=mouth master=voice.monitor\n\
             load-module module-native-protocol-unix auth-anonymous=1 socket={}\n\
             set-default-sink ear\nset-default-source mouth\n",
            socket.display()
        );
        let file = folder.join("default.pa");
        std::fs::write(&file, script)?;
        let mut command = Command::new("pulseaudio");
        command.env("HOME", &home).env("XDG_RUNTIME_DIR", &run).args(["-n", "-F"]).arg(&file);
        command.args(["--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"]);
        command.args(["--log-target=stderr", "--log-level=error"]);
        let mut running = Running::start("PulseAudio", &mut command, &folder.join("pulseaudio.log"))?;
        let server = format!("unix:{}", socket.display());
        wait_for("PulseAudio", Duration::from_secs(10), || {
            running.must_run()?;
            let info = Command::new("pactl").arg("info").env("PULSE_SERVER", &server).output()?;
            Ok(info.status.success().then_some(()))
        })?;
        Ok(Self { _running: running, server })
    }

    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("PULSE_SERVER", &self.server);
        command
    }
}

/// Tone, a sentence, tone: 8 kHz.
fn said(sentence: &[i16], hertz: f64) -> Vec<i16> {
    let silence = [0; 4_000];
    let tone = speech::tone(8_000, hertz, 1.5);
    [&tone, &silence[..], sentence, &silence, &tone].concat()
}

fn check(heard: &[i16], sentence: &[i16], hertz: f64, pesq: &Pesq, who: &str) -> Result<f64> {
    let windows = heard.chunks_exact(1_600);
    let tones = windows.filter(|w| speech::share_at(w, 8_000, hertz) > TONE_SHARE && loud(w)).count();
    ensure!(tones >= 5, "{who} heard the tone in {tones} windows of 200 ms");
    // The correction of clock drift moves samples by fractions: PESQ judges, not the likeness of waveforms.
    let (at, _) = speech::find(heard, sentence).with_context(|| format!("{who} heard too little"))?;
    let score = pesq.scores(&[(sentence, &heard[at..at + sentence.len()])])?[0];
    ensure!(score >= PESQ_MIN, "{who} heard the sentence with a PESQ of {score:.2}");
    Ok(score)
}

fn loud(window: &[i16]) -> bool {
    let power: f64 = window.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / window.len() as f64;
    power.sqrt() > 500.0
}

pub fn run(bench: &Bench) -> Result<String> {
    let pesq = Pesq::install()?;
    let file = |name: &str| bench.folder.join(name);
    let sound = Sound::start(&bench.folder)?;
    let speech = Speech::open()?;
    let sentence = &speech.samples[speech.utterances[0].clone()];
    let data = file("data");
    let mut exchange = Exchange::start(&bench.offhook, "fixtures/peers/exchange.toml", &data, &file("exchange.log"))?;
    let account = Account { server: exchange.sip, user: "phone11", password: "phone11-secret" };
    let mut command = softphone(&bench.offhook, account, &bench.folder, "0s")?;
    command.env("PULSE_SERVER", &sound.server).args(["--input-device", "mouth", "--output-device", "ear"]);
    // Tones are noise to what is done to a microphone's sound; the test `voice` has that.
    command.args(["--no-echo-cancellation", "--no-noise-suppression", "--no-gain-control"]);
    let mut agent = Running::start("the agent's softphone", &mut command, &file("agent.log"))?;
    exchange.wait_available(1, Duration::from_secs(10))?;

    speech::write_wav(&file("caller-says.wav"), 8_000, &said(sentence, CALLER_HERTZ))?;
    // At the sink's own rate: PulseAudio's resampler is none of ours.
    speech::write_wav(&file("agent-says.wav"), 48_000, &upsample(&said(sentence, AGENT_HERTZ)))?;
    let mut ear = sound.command("parec");
    ear.args(["-d", "ear.monitor", "--rate=48000", "--channels=1", "--format=s16le", "--file-format=wav"]);
    let mut ear = Running::start("parec", ear.arg(file("ear.wav")), &file("parec.log"))?;
    let mut command = call(&bench.offhook, &format!("sip:200@{}", exchange.sip), HOLD);
    command.arg("--play").arg(file("caller-says.wav")).arg("--record").arg(file("caller.wav"));
    let mut caller = Running::start("the caller", &mut command, &file("caller.log"))?;
    exchange.wait_calls("talking", 1, Duration::from_secs(15))?;
    let mut mouth = sound.command("paplay");
    let mut mouth =
        Running::start("paplay", mouth.args(["-d", "voice"]).arg(file("agent-says.wav")), &file("paplay.log"))?;
    let status = wait_for("the end of the call", HOLD * 2, || {
        exchange.running.must_run()?;
        agent.must_run()?;
        caller.ended()
    })?;
    ensure!(status.success(), "offhook call ended with {status}:\n{}", caller.tail(10));
    ensure!(mouth.wait(Duration::from_secs(5))?.success(), "paplay: {}", mouth.tail(5));
    ear.interrupt()?;
    ear.wait(Duration::from_secs(5))?;
    ensure!(agent.stop()?, "the softphone did not end on SIGTERM");
    exchange.stop()?;

    let mut scores = Vec::new();
    for (name, hertz, who) in [("ear.wav", CALLER_HERTZ, "the agent"), ("caller.wav", AGENT_HERTZ, "the caller")] {
        let (rate, heard) = speech::read_wav(&file(name))?;
        scores.push(check(&downsample(&heard, rate)?, sentence, hertz, &pesq, who)?);
    }
    Ok(format!(
        "tones both ways; the sentence with a PESQ of {:.2} at the loudspeaker, {:.2} from the microphone",
        scores[0], scores[1]
    ))
}
