//! `offhook phone`: the softphone on a terminal, or without one for programs.

mod orders;
mod remote;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use crossbeam_channel::{Receiver, Sender, bounded, never};
use offhook_headset::Buttons;
use offhook_loadgen::arrivals::span;
use offhook_phone::{
    Account, CallStatistics, Clock, DeviceConfig, EngineConfig, Phone, PhoneConfig, PhoneEvent, Sound, Told,
    VoiceSwitches,
};
use offhook_units::{Entropy, Span};
use orders::Order;
use remote::Remote;
use serde_json::json;

/// Arguments of `offhook phone`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  offhook phone --account sip:alice@192.168.1.10 --password-file ~/.alice
      an agent's phone on this terminal, with the default headset
  offhook phone --list-devices
      the sound devices there are, and what to write for --input-device, --output-device and --ring-device
  offhook phone --account sip:alice@192.168.1.10 --password-file ~/.alice \\
      --input-device usb --output-device usb --ring-device speakers
      rings on the loudspeakers, talks on the headset
  offhook phone --headless --account sip:alice@127.0.0.1 --password secret \\
      --auto-answer --play answer.wav --record heard.wav --events
      an agent that answers by itself and speaks a file, one JSON line per event
  offhook phone --headless --listen 127.0.0.1:5070 --auto-answer 2s --events
      a phone without account that answers after two seconds
  offhook phone --headless --account sip:alice@127.0.0.1 --password secret --lines 2 --commands --events
      a phone for a program: {\"do\":\"dial\",\"to\":\"bob\"}, answer, hang_up, hold, mute, keys,
      {\"do\":\"transfer\",\"call\":1,\"to\":\"bob\"}, {\"do\":\"join\",\"call\":1,\"with\":2},
      {\"do\":\"voice\",\"noise\":false}, off")]
pub struct PhoneArgs {
    /// Who we are, such as sip:alice@HOST. Without it the phone is called at the address it listens on.
    #[arg(long, value_name = "URI")]
    account: Option<String>,
    /// The registrar, where it is not the host of the account.
    #[arg(long, value_name = "HOST[:PORT]", requires = "account")]
    server: Option<String>,
    /// The account's password. Seen by everybody on this machine: better --password-file.
    #[arg(long, value_name = "TEXT", conflicts_with = "password_file")]
    password: Option<String>,
    /// A file whose first line is the account's password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Do not register the account.
    #[arg(long)]
    no_register: bool,
    /// Where to listen for SIP; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:0")]
    listen: SocketAddr,
    /// The name shown to those we call.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Answer by itself, at once or after this long.
    #[arg(long, value_name = "AFTER", num_args = 0..=1, default_missing_value = "0s", value_parser = span)]
    auto_answer: Option<Span>,
    /// Answer by itself where the exchange asks for it, as it does when you supervise a call.
    #[arg(long)]
    answer_when_asked: bool,
    /// Hang up by itself, this long after the answer.
    #[arg(long, value_name = "AFTER", value_parser = span)]
    hang_up_after: Option<Span>,
    /// Calls at once that others may begin; more are refused as busy. A call to consult somebody needs none of them.
    #[arg(long, value_name = "N", default_value_t = 1)]
    lines: usize,
    #[command(flatten)]
    sound: SoundArgs,
    /// Capture device: its id, or a part of its name. The default one otherwise.
    #[arg(long, value_name = "DEVICE")]
    input_device: Option<String>,
    /// Playback device: its id, or a part of its name. The default one otherwise.
    #[arg(long, value_name = "DEVICE")]
    output_device: Option<String>,
    /// Device that rings: its id, or a part of its name. The playback device otherwise, also while it is missing.
    #[arg(long, value_name = "DEVICE")]
    ring_device: Option<String>,
    /// Leave the buttons and lamps of a USB headset alone.
    #[arg(long)]
    no_buttons: bool,
    #[command(flatten)]
    voice: VoiceArgs,
    /// List the sound devices and stop.
    #[arg(long)]
    list_devices: bool,
    /// No terminal and, unless a device is named, no sound devices: files only.
    #[arg(long)]
    headless: bool,
    /// Print one JSON line per event as it happens (with --headless).
    #[arg(long, requires = "headless")]
    events: bool,
    /// Let a page on this machine drive the phone, by a WebSocket here (127.0.0.1:PORT); it shows the pairing code that the phone shows.
    #[arg(long, value_name = "ADDR:PORT")]
    control: Option<SocketAddr>,
    /// The site of such a page, such as https://pbx.example.com. May be given again; pages of others are refused.
    #[arg(long, value_name = "ORIGIN", requires = "control")]
    control_origin: Vec<String>,
    /// Tell five times a second how each call sounds (with --events).
    #[arg(long, requires = "events")]
    meters: bool,
    /// Read commands from standard input, one JSON object a line (with --headless).
    #[arg(long, requires = "headless")]
    commands: bool,
    /// Print one JSON object with the figures of all calls at the end; with --list-devices the list as JSON.
    #[arg(long)]
    json: bool,
}

/// What is done to the microphone's sound; all of it can be switched while the phone is on, too.
#[derive(Debug, Args)]
struct VoiceArgs {
    /// Leave the echo of the loudspeaker in the microphone's sound.
    #[arg(long)]
    no_echo_cancellation: bool,
    /// Leave the room's noise in it: for whoever sends other sounds than speech.
    #[arg(long)]
    no_noise_suppression: bool,
    /// Leave it as loud as it is.
    #[arg(long)]
    no_gain_control: bool,
}

impl VoiceArgs {
    const fn switches(&self) -> VoiceSwitches {
        VoiceSwitches {
            echo: !self.no_echo_cancellation,
            noise: !self.no_noise_suppression,
            gain: !self.no_gain_control,
        }
    }
}

/// Files in the place of devices, and beside them.
#[derive(Debug, Args)]
pub struct SoundArgs {
    /// Speak this WAV file, from the answer on and again and again.
    #[arg(long, value_name = "WAV")]
    play: Option<PathBuf>,
    /// Speak the file once; silence follows.
    #[arg(long, requires = "play")]
    play_once: bool,
    /// Write what is heard into this WAV file, from the answer on. The second call's gets `-2`, and so on.
    #[arg(long, value_name = "WAV")]
    record: Option<PathBuf>,
    /// Write every payload received into this file, in sequence order.
    #[arg(long, value_name = "FILE")]
    payloads_in: Option<PathBuf>,
    /// Write every payload sent into this file.
    #[arg(long, value_name = "FILE")]
    payloads_out: Option<PathBuf>,
}

impl SoundArgs {
    /// An engine without devices.
    pub(crate) fn engine(self, clock: Clock) -> anyhow::Result<EngineConfig> {
        let play = self.play.as_deref().map(Sound::load).transpose()?;
        Ok(EngineConfig {
            clock,
            devices: None,
            voice: VoiceSwitches::OFF,
            meters: false,
            play: play.map(|sound| (Arc::new(sound), !self.play_once)),
            record: self.record,
            payloads_in: self.payloads_in,
            payloads_out: self.payloads_out,
        })
    }
}

/// An entropy seeded by the operating system.
#[expect(clippy::disallowed_methods, reason = "the edge that seeds entropy")]
pub(crate) fn entropy() -> anyhow::Result<Entropy> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no random numbers from the system: {error}"))?;
    Ok(Entropy::from_seed(seed))
}

/// Gives a word when the program is asked to stop, by Ctrl-C or SIGTERM; once per signal.
pub(crate) fn stop_signals() -> anyhow::Result<Receiver<()>> {
    let (tell, told) = bounded(4);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("no thread for signals")?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if tell.send(()).is_err() {
                    return;
                }
            }
        });
    })?;
    Ok(told)
}

/// The account of these arguments.
pub(crate) fn account(
    uri: Option<&str>,
    server: Option<&str>,
    password: Option<String>,
    password_file: Option<&PathBuf>,
) -> anyhow::Result<Option<Account>> {
    let Some(uri) = uri else { return Ok(None) };
    let password = match password_file {
        Some(path) => Some(first_line(path)?),
        None => password,
    };
    Ok(Some(Account::new(uri, server, password)?))
}

/// The first line of a file: a password.
pub(crate) fn first_line(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().trim_end().to_owned())
}

/// One JSON line on standard output; a reader that has gone ends nothing.
pub(crate) fn print_line(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        drop(writeln!(std::io::stdout().lock(), "{text}"));
    }
}

/// Runs the command.
pub fn run(args: PhoneArgs) -> anyhow::Result<ExitCode> {
    if args.list_devices {
        return list_devices(args.json);
    }
    let clock = Clock::start();
    let mut engine = args.sound.engine(clock)?;
    let devices = [&args.input_device, &args.output_device, &args.ring_device];
    if !args.headless || devices.iter().any(|device| device.is_some()) {
        engine.devices = Some(DeviceConfig::new(args.input_device, args.output_device, args.ring_device));
        engine.voice = args.voice.switches();
    }
    let voice = engine.voice;
    let buttons = engine.devices.is_some() && !args.no_buttons;
    engine.meters = args.meters || !args.headless;
    let account = account(args.account.as_deref(), args.server.as_deref(), args.password, args.password_file.as_ref())?;
    let title = account.as_ref().map_or_else(|| "offhook phone".to_owned(), |account| account.aor.to_string());
    let config = PhoneConfig {
        register: account.is_some() && !args.no_register,
        account,
        name: args.name,
        buttons: buttons.then(Buttons::open).transpose().context("the headset's buttons")?,
        auto_answer: args.auto_answer,
        answer_when_asked: args.answer_when_asked,
        hang_up_after: args.hang_up_after,
        lines_max: args.lines.max(1),
        ..PhoneConfig::new(args.listen, engine)
    };
    let stop = stop_signals()?;
    let (tell_notice, notices) = bounded(NOTICES_MAX);
    let remote = match args.control {
        Some(address) => {
            let notice = tell_notice.clone();
            let remote =
                Remote::open(address, args.control_origin, entropy()?, move |what| drop(notice.try_send(what)))?;
            drop(tell_notice.try_send(format!(
                "a page drives this phone at ws://{} with the code {}",
                remote.address, remote.code
            )));
            Some(remote)
        }
        None => None,
    };
    let (phone, told) = Phone::start(config, entropy()?)?;
    let calls = std::thread::scope(|scope| {
        let told = match &remote {
            None => told,
            Some(remote) => {
                let (show, shown) = bounded(offhook_phone::EVENTS_MAX);
                let phone = &phone;
                scope.spawn(move || between(phone, remote, clock, &told, &notices, &show));
                shown
            }
        };
        let done = if args.headless {
            let orders = if args.commands { orders::from_stdin().context("standard input") } else { Ok(never()) };
            orders.and_then(|orders| without_screen(&phone, &told, &stop, orders, args.events))
        } else {
            offhook_phone::screen::run(&phone, &told, &stop, clock, &title, voice).context("the terminal")
        };
        if done.is_err() {
            // Whoever hands on what the phone tells waits for its end.
            phone.off();
        }
        done
    })?;
    if args.json {
        print_line(&json!({ "calls": calls }));
    }
    Ok(ExitCode::SUCCESS)
}

/// Words about pages that wait to be shown.
const NOTICES_MAX: usize = 64;

/// Hands on what the phone tells, to pages too, and what they want to the phone; until it is off.
fn between(
    phone: &Phone,
    remote: &Remote,
    clock: Clock,
    told: &Receiver<Told>,
    notices: &Receiver<String>,
    show: &Sender<Told>,
) {
    loop {
        let event = crossbeam_channel::select! {
            recv(told) -> event => {
                let Ok(event) = event else { return };
                event
            }
            recv(notices) -> what => {
                let Ok(what) = what else { return };
                Told { at: clock.now(), event: PhoneEvent::Remote { what } }
            }
            recv(remote.orders) -> order => {
                let given = order.map_or(Ok(()), |order| order.give(phone));
                let Err(error) = given else { continue };
                Told { at: clock.now(), event: PhoneEvent::Fault { call: None, what: error.to_string() } }
            }
        };
        // The pairing code is for who sits here.
        if !matches!(event.event, PhoneEvent::Remote { .. }) {
            remote.tell(&event);
        }
        let off = matches!(event.event, PhoneEvent::Off);
        if show.send(event).is_err() || off {
            return;
        }
    }
}

/// Until a signal: prints events, or a line for each thing that matters.
fn without_screen(
    phone: &Phone,
    told: &Receiver<Told>,
    stop: &Receiver<()>,
    mut orders: Receiver<Result<Order, String>>,
    events: bool,
) -> anyhow::Result<Vec<CallStatistics>> {
    let mut calls = Vec::new();
    let mut stopping = None;
    loop {
        crossbeam_channel::select! {
            recv(told) -> event => {
                let Ok(event) = event else { return Ok(calls) };
                if events {
                    print_line(&event);
                } else {
                    say(&event.event);
                }
                match event.event {
                    PhoneEvent::Ended { statistics } => calls.push(*statistics),
                    PhoneEvent::Off => return Ok(calls),
                    _ => {}
                }
            }
            recv(orders) -> order => match order {
                Ok(order) => {
                    let given = order.and_then(|order| order.give(phone).map_err(|error| error.to_string()));
                    if let (Err(what), true) = (&given, events) {
                        print_line(&json!({ "event": "fault", "call": null, "what": what }));
                    } else if let Err(what) = given {
                        eprintln!("{what}");
                    }
                }
                // The program has closed its end; the phone goes on until a signal.
                Err(_) => orders = never(),
            },
            recv(stop) -> _ => {
                if stopping.is_some() {
                    bail!("stopped before the calls were ended");
                }
                phone.off();
                stopping = Some(());
            }
        }
    }
}

/// One line for people, on standard error.
fn say(event: &PhoneEvent) {
    match event {
        PhoneEvent::Listening { address } => eprintln!("listens on {address}"),
        PhoneEvent::Registered { account, expires_s } => eprintln!("{account} is registered for {expires_s} s"),
        PhoneEvent::RegistrationFailed { account, why, retry_in_ms, .. } => {
            eprintln!("{account} is not registered: {why}; again in {} s", retry_in_ms / 1_000);
        }
        PhoneEvent::Incoming { number, name, queue, .. } => {
            let from = queue.as_ref().map_or_else(String::new, |queue| format!(" from the queue {queue}"));
            eprintln!("{} {number} calls{from}", name.as_deref().unwrap_or_default());
        }
        PhoneEvent::Answered { setup_ms, .. } => eprintln!("answered after {setup_ms:.0} ms"),
        PhoneEvent::Device { what, .. } | PhoneEvent::Fault { what, .. } | PhoneEvent::Remote { what } => {
            eprintln!("{what}");
        }
        PhoneEvent::Ended { statistics } => eprintln!("{}", statistics.line()),
        _ => {}
    }
}

fn list_devices(as_json: bool) -> anyhow::Result<ExitCode> {
    let devices = offhook_headset::devices()?;
    if as_json {
        let list: Vec<_> = devices
            .iter()
            .map(|d| json!({ "id": d.id, "name": d.name, "input": d.input, "output": d.output, "default": d.default }))
            .collect();
        print_line(&list);
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = std::io::stdout().lock();
    for device in &devices {
        let ways = match (device.input, device.output) {
            (true, true) => "in/out",
            (true, false) => "input",
            (false, _) => "output",
        };
        let mark = if device.default { "*" } else { " " };
        drop(writeln!(out, "{mark} {ways:6}  {}  ({})", device.id, device.name));
    }
    if devices.is_empty() {
        bail!("there are no sound devices: plug one in, or start the sound server");
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, ms) in [("10s", 10_000), ("1.5s", 1_500), ("200ms", 200), ("2m", 120_000), ("3", 3_000)] {
            assert_eq!(span(text), Ok(Span::from_ms(ms)), "{text}");
        }
        assert!(span("soon").is_err() && span("5 parsecs").is_err());
    }
}
