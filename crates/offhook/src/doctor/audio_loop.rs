//! How long a word is under way from a mouth to an ear: two softphones of this machine call each other through an exchange of this machine,
//! one click after the other goes in, and is waited for at the other end.
//!
//! The devices are those of a sound server of its own: one null sink, whose left channel is the mouth and whose right channel is the ear, so
//! that both are recorded by one clock. The phones are as agents have them, with all that is done to a microphone's sound.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it starts programs, waits for them and asks for free ports"
)]

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use crossbeam_channel::Receiver;
use offhook_phone::{
    Account, Clock, DeviceConfig, Dial, EngineConfig, Meters, Phone, PhoneConfig, PhoneEvent, Told, VoiceSwitches,
};
use offhook_units::Span;

use super::Finding;
use crate::phone::entropy;

/// What is allowed from mouth to ear, in milliseconds.
const ALLOWED_MS: f64 = 120.0;
/// What ITU-T G.114 holds to be the end of undisturbed conversation, one way.
const DISTURBS_MS: f64 = 150.0;
const RATE: usize = 48_000;
/// One click after the other, in samples: 520 ms and a little, so that each meets another place of a packet's 20 ms.
const EVERY: usize = 25_153;
const CLICKS: usize = 24;
/// Clicks at the begin that are not counted: rings and buffers settle.
const SETTLE: usize = 4;
/// Longest that a click is waited for.
const HEARD_WITHIN: usize = RATE / 2;
/// A click's length in samples, and how loud it is.
const CLICK: usize = 48;
const LOUD: i16 = 20_000;
/// Ports of the exchange's speech: not those of one that runs here already.
const MEDIA: &str = "28600-28639";
/// How long programs and phones may take to come up.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// Programs of this measurement, which end with it.
struct Programs(Vec<Child>);

impl Drop for Programs {
    fn drop(&mut self) {
        for child in self.0.iter_mut().rev() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Measures, and says how it stands.
pub fn look() -> Finding {
    const WHAT: &str = "audio loop";
    match measure() {
        Ok((delays, at_ear)) => {
            let (median, worst) = (delays[delays.len() / 2], delays[delays.len() - 1]);
            let found = format!(
                "mouth to ear {median:.0} ms (median), {worst:.0} ms at most of {} clicks, through two softphones and an exchange; \
                 {:.0} ms of it in the ear's jitter buffer, {} ms between its call and its devices",
                delays.len(),
                at_ear.jitter_buffer_ms,
                at_ear.devices_ms
            );
            if worst <= ALLOWED_MS {
                Finding::good(WHAT, found)
            } else if median < DISTURBS_MS {
                Finding::improvable(WHAT, found, format!("{ALLOWED_MS} ms are meant: is the machine busy?"))
            } else {
                let advice = "people will talk into each other's words: give the machine less to do, and softphones machines of their own";
                Finding::improvable(WHAT, found, advice)
            }
        }
        Err(error) => Finding::improvable(WHAT, format!("not measured: {error:#}"), "see `offhook doctor --help`"),
    }
}

/// The delays of the clicks that were counted, in milliseconds, shortest first, and how it usually sounded at the ear.
fn measure() -> Result<(Vec<f64>, Meters)> {
    let folder = tempfile::tempdir()?;
    let mut programs = Programs(Vec::new());
    let server = start_sound(folder.path(), &mut programs)?;
    let sip = start_exchange(folder.path(), &mut programs)?;
    // SAFETY: nothing else of this program runs yet that reads its environment.
    unsafe { std::env::set_var("PULSE_SERVER", &server) };
    let clock = Clock::start();
    let (ear, told_ear) = phone("ear", "silent_mic", "ear", sip, clock)?;
    let (mouth, told_mouth) = phone("mouth", "mouth", "silent", sip, clock)?;
    for (who, told) in [("ear", &told_ear), ("mouth", &told_mouth)] {
        wait(&format!("the registration of `{who}`"), told, |event| matches!(event, PhoneEvent::Registered { .. }))?;
    }
    mouth.dial(Dial::to(&mouth.whom("ear")?.to_string())?)?;
    wait("the answer", &told_mouth, |event| matches!(event, PhoneEvent::Answered { .. }))?;
    wait("the first word at the ear", &told_ear, |event| matches!(event, PhoneEvent::FirstPacket { .. }))?;

    let clicks = folder.path().join("clicks.raw");
    std::fs::write(&clicks, clicks_of(CLICKS))?;
    let mut play = sound_program("pacat", &server);
    play.args(["--playback", "--raw", "--device=voice", "--rate=48000", "--channels=1", "--format=s16le"]).arg(clicks);
    programs.0.push(play.spawn().context("pacat")?);
    let mut record = sound_program("parec", &server);
    record.args(["--device=loop.monitor", "--rate=48000", "--channels=2", "--format=s16le"]).stdout(Stdio::piped());
    let mut record = record.spawn().context("parec")?;
    let output = record.stdout.take();
    programs.0.push(record);
    let mut bytes = vec![0; EVERY * (CLICKS + 2) * 4];
    output.context("parec")?.read_exact(&mut bytes).context("parec")?;
    let told = told_ear.try_iter().filter_map(|told| match told.event {
        PhoneEvent::Meters { meters, .. } => Some(*meters),
        _ => None,
    });
    let mut at_ear: Vec<Meters> = told.collect();
    at_ear.sort_by(|a, b| a.jitter_buffer_ms.total_cmp(&b.jitter_buffer_ms));
    let usual = at_ear.get(at_ear.len() / 2).cloned().context("the ear's phone told nothing of its sound")?;
    drop((mouth, ear));
    let heard: Vec<i16> = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    Ok((delays_of(&heard)?, usual))
}

/// A sound server of our own; gives its address.
fn start_sound(folder: &Path, programs: &mut Programs) -> Result<String> {
    for name in ["run", "home"] {
        std::fs::create_dir(folder.join(name))?;
    }
    std::fs::set_permissions(folder.join("run"), std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    let socket = folder.join("native");
    let script = folder.join("default.pa");
    std::fs::write(
        &script,
        format!(
            "load-module module-native-protocol-unix auth-anonymous=1 socket={}\n\
             load-module module-null-sink sink_name=loop rate={RATE} channels=2 channel_map=front-left,front-right\n\
             load-module module-remap-sink sink_name=voice master=loop channels=1 channel_map=front-left master_channel_map=front-left remix=no\n\
             load-module module-remap-sink sink_name=ear master=loop channels=1 channel_map=front-right master_channel_map=front-right remix=no\n\
             load-module module-remap-source source_name=mouth master=loop.monitor channels=1 channel_map=front-left master_channel_map=front-left remix=no\n\
             load-module module-null-sink sink_name=silent rate={RATE} channels=2\n\
             load-module module-remap-source source_name=silent_mic master=silent.monitor\n\
             set-default-sink silent\nset-default-source silent_mic\n",
            socket.display()
        ),
    )?;
    let mut pulse = Command::new("pulseaudio");
    pulse.args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes", "-F"]);
    pulse.arg(&script).env("HOME", folder.join("home")).env("XDG_RUNTIME_DIR", folder.join("run"));
    let missing = "PulseAudio is not installed: apt-get install pulseaudio pulseaudio-utils";
    programs.0.push(quietly(&mut pulse).spawn().context(missing)?);
    let server = format!("unix:{}", socket.display());
    let deadline = Instant::now() + UP_WITHIN;
    loop {
        let up = quietly(&mut sound_program("pactl", &server)).arg("info").status().context(missing)?;
        if up.success() {
            return Ok(server);
        }
        ensure!(Instant::now() < deadline, "the sound server does not come up");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn sound_program(name: &str, server: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PULSE_SERVER", server).stdin(Stdio::null()).stderr(Stdio::null());
    command
}

fn quietly(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// An exchange with two accounts on a free port of loopback; gives where it takes SIP. Phones that register before it is up try again.
fn start_exchange(folder: &Path, programs: &mut Programs) -> Result<SocketAddr> {
    let sip = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let (config, data) = (folder.join("offhook.toml"), folder.join("data"));
    std::fs::write(
        &config,
        format!(
            "[exchange]\nrealm = \"audio-loop\"\n\n[sip]\nlisten = [\"udp:{sip}\"]\n\n[media]\nports = \"{MEDIA}\"\n\n\
             [[account]]\nname = \"mouth\"\npassword = \"mouth-of-the-loop\"\n\n\
             [[account]]\nname = \"ear\"\npassword = \"ear-of-the-loop\"\n\n\
             [[agent]]\nname = \"Ear\"\naccount = \"ear\"\nqueues = []\n"
        ),
    )?;
    let mut serve = Command::new(std::env::current_exe()?);
    serve.arg("serve").arg("--config").arg(config).arg("--data").arg(data);
    let mut child = quietly(&mut serve).spawn().context("the exchange")?;
    // Its port is its own as soon as we cannot have it any more.
    let deadline = Instant::now() + UP_WITHIN;
    while UdpSocket::bind(sip).is_ok() {
        if let Some(status) = child.try_wait()? {
            bail!("the exchange ended with {status}");
        }
        ensure!(Instant::now() < deadline, "the exchange does not come up");
        std::thread::sleep(Duration::from_millis(50));
    }
    programs.0.push(child);
    Ok(sip)
}

fn phone(name: &str, input: &str, output: &str, sip: SocketAddr, clock: Clock) -> Result<(Phone, Receiver<Told>)> {
    let engine = EngineConfig {
        clock,
        devices: Some(DeviceConfig::new(Some(input.to_owned()), Some(output.to_owned()), None)),
        voice: VoiceSwitches::ON,
        meters: true,
        play: None,
        record: None,
        payloads_in: None,
        payloads_out: None,
    };
    let account = Account::new(&format!("sip:{name}@{sip}"), None, Some(format!("{name}-of-the-loop")))?;
    let config = PhoneConfig {
        account: Some(account),
        register: true,
        auto_answer: Some(Span::ZERO),
        ..PhoneConfig::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), engine)
    };
    Ok(Phone::start(config, entropy()?)?)
}

fn wait(what: &str, told: &Receiver<Told>, is: impl Fn(&PhoneEvent) -> bool) -> Result<()> {
    let deadline = Instant::now() + UP_WITHIN;
    loop {
        let event = told.recv_deadline(deadline).with_context(|| format!("waiting for {what}"))?.event;
        if is(&event) {
            return Ok(());
        }
        if let PhoneEvent::Ended { statistics } = event {
            bail!("waiting for {what}: {}", statistics.line());
        }
    }
}

/// So many clicks, each a sine of 1 kHz for one period, as bytes.
fn clicks_of(clicks: usize) -> Vec<u8> {
    let mut samples = vec![0_i16; EVERY * clicks];
    for click in samples.chunks_exact_mut(EVERY) {
        for (n, sample) in click[..CLICK].iter_mut().enumerate() {
            *sample = (f32::from(LOUD) * (n as f32 * core::f32::consts::TAU / CLICK as f32).sin()) as i16;
        }
    }
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// From each click on the left to what is loudest soon after it on the right, in milliseconds, shortest first.
fn delays_of(heard: &[i16]) -> Result<Vec<f64>> {
    let side = |n: usize| heard.iter().skip(n).step_by(2).map(|sample| i32::from(*sample).abs()).collect::<Vec<_>>();
    let (left, right) = (side(0), side(1));
    let loudest = |part: &[i32]| {
        part.iter().enumerate().max_by_key(|(n, loud)| (**loud, usize::MAX - n)).map(|(n, loud)| (n, *loud))
    };
    let (mut delays, mut at, mut seen) = (Vec::new(), 0, 0);
    while let Some(next) = left[at..].iter().position(|loud| *loud > i32::from(LOUD) / 4) {
        let click = at + next;
        let Some(window) = right.get(click..click + HEARD_WITHIN) else { break };
        let said = click + loudest(&left[click..click + CLICK]).map_or(0, |(n, _)| n);
        let (behind, loud) = loudest(window).context("nothing recorded")?;
        seen += 1;
        // One that a busy machine swallowed says nothing of the way; many are a fault.
        if seen > SETTLE && loud > i32::from(LOUD) / 100 {
            delays.push((click + behind).saturating_sub(said) as f64 * 1_000.0 / RATE as f64);
        }
        at = click + HEARD_WITHIN;
    }
    ensure!(delays.len() >= CLICKS / 2, "{} of {seen} clicks were heard at the other end", delays.len());
    delays.sort_by(f64::total_cmp);
    Ok(delays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clicks_that_come_back_quieter_after_100_ms_are_100_ms_and_lost_ones_are_told() {
        let said: Vec<i16> =
            clicks_of(CLICKS).chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        let record = |factor: i16| -> Vec<i16> {
            let late = |n: usize| n.checked_sub(4_800).and_then(|at| said.get(at)).map_or(0, |sample| sample / factor);
            (0..said.len() + RATE).flat_map(|n| [said.get(n).copied().unwrap_or(0), late(n)]).collect()
        };
        let delays = delays_of(&record(10)).unwrap();
        assert_eq!(delays.len(), CLICKS - SETTLE);
        assert!(delays.iter().all(|ms| (ms - 100.0).abs() < 0.5), "{delays:?}");
        assert!(delays_of(&record(1_000)).is_err());
    }
}
