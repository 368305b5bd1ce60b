//! `offhook phone`: the softphone on a terminal, or without one for programs.

mod desk;
mod orders;
mod remote;
mod settings;
mod setup;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use crossbeam_channel::{Receiver, Sender, bounded, never};
use desk::{Desk, DeskAccess};
use offhook_headset::Buttons;
use offhook_loadgen::arrivals::span;
use offhook_phone::{
    Account, AgentWish, CallStatistics, Clock, DeviceConfig, EngineConfig, Phone, PhoneConfig, PhoneEvent, Sound, Told,
    VoiceSwitches,
};
use offhook_sip::sdp::SrtpPolicy;
use offhook_units::{Entropy, Span};
use orders::Order;
use remote::Remote;
use serde_json::json;
use settings::{Place, Settings};

/// Arguments of `offhook phone`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  offhook phone --setup
      asks for the account and the devices, tries them, and keeps them: then `offhook phone` is enough
  offhook phone --account sip:alice@192.168.1.10 --password-file ~/.alice
      an agent's phone on this terminal, with the default headset
  offhook phone --account 'sip:alice@pbx.example.com;transport=tls' --server 10.0.0.1 --server 10.0.0.2 \
      --password-file ~/.alice --desk https://pbx.example.com --desk-user ann --desk-password-file ~/.ann
      over TLS with encrypted speech, to the second server when the first is gone; with the agent's state
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
      {\"do\":\"conference\",\"call\":1,\"with\":2}, split, {\"do\":\"voice\",\"noise\":false}, off;
      with --desk {\"do\":\"agent\",\"state\":\"not-ready\",\"reason\":\"lunch\"}, wrap_up_done, extend_wrap_up")]
pub struct PhoneArgs {
    /// Ask for account and devices, try them, and keep them for the next time.
    #[arg(long, conflicts_with_all = ["account", "headless", "list_devices"])]
    setup: bool,
    /// Who we are, such as sip:alice@HOST, over TLS 'sip:alice@HOST;transport=tls'. Without it what --setup kept; else, or with --headless or
    /// --listen, the phone is called at the address it listens on.
    #[arg(long, value_name = "URI")]
    account: Option<String>,
    /// The registrar, where it is not the host of the account. Given again: where to go when those before are gone.
    #[arg(long, value_name = "HOST[:PORT]", requires = "account")]
    server: Vec<String>,
    /// Certificates of those whom we believe over TLS, instead of those whom the system trusts.
    #[arg(long, value_name = "PEM")]
    trust: Option<PathBuf>,
    /// Whether speech is encrypted: off, accept, optional (where the other side can) or required. Keys are told over TLS alone.
    #[arg(long, value_name = "HOW", default_value = "optional", value_parser = srtp_policy)]
    srtp: SrtpPolicy,
    /// Do not ask the server for messages that wait.
    #[arg(long)]
    no_mailbox: bool,
    #[command(flatten)]
    desk: DeskArgs,
    /// The account's password. Seen by everybody on this machine: better --password-file.
    #[arg(long, value_name = "TEXT", conflicts_with = "password_file")]
    password: Option<String>,
    /// A file whose first line is the account's password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Do not register the account.
    #[arg(long)]
    no_register: bool,
    /// Where to listen for SIP; port 0 takes a free one. Any address and a free port otherwise.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
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

/// The agent's place at the exchange.
#[derive(Debug, Args)]
struct DeskArgs {
    /// The address of the exchange's pages, such as https://pbx.example.com: shows and changes the agent's state, and tells who calls.
    #[arg(long = "desk", id = "desk", value_name = "URL")]
    url: Option<String>,
    /// The user there; the account's name otherwise.
    #[arg(long = "desk-user", id = "desk-user", value_name = "NAME", requires = "desk")]
    user: Option<String>,
    /// A file whose first line is the user's password; the account's otherwise.
    #[arg(long = "desk-password-file", id = "desk-password-file", value_name = "FILE", requires = "desk")]
    password_file: Option<PathBuf>,
}

impl DeskArgs {
    /// Signs in where an address is given.
    fn open(&self, account: Option<&Account>, trust: Option<&PathBuf>, clock: Clock) -> anyhow::Result<Option<Desk>> {
        let Some(url) = self.url.clone() else { return Ok(None) };
        let own = account.and_then(|account| account.aor.user_decoded().map(std::borrow::Cow::into_owned));
        let password = match &self.password_file {
            Some(path) => Some(first_line(path)?),
            None => account.and_then(|account| account.credentials.as_ref()).map(|own| own.password.clone()),
        };
        let user = self.user.clone().or(own).context("who signs in at the desk? write --desk-user NAME")?;
        let password = password.context("with what? write --desk-password-file FILE")?;
        Ok(Some(Desk::open(DeskAccess { url, user, password, authorities: trust.cloned() }, clock)?))
    }
}

fn srtp_policy(text: &str) -> Result<SrtpPolicy, String> {
    let known = SrtpPolicy::ALL.iter().find(|(name, _)| *name == text).map(|(_, policy)| *policy);
    known.ok_or_else(|| SrtpPolicy::ALL.map(|(name, _)| name).join(", "))
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
    /// Without any files.
    const fn none() -> Self {
        Self { play: None, play_once: false, record: None, payloads_in: None, payloads_out: None }
    }

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

/// What was kept by --setup takes the place of what is not given; gives the account.
fn complete(args: &mut PhoneArgs) -> anyhow::Result<Option<Account>> {
    let mut account = match (&args.account, Place::of_user()) {
        (None, Some(place)) if !args.headless && args.listen.is_none() => match Settings::load(&place)? {
            None => None,
            Some((settings, password)) => {
                let account = setup::account(&settings, &password)?;
                let Settings { account: _, servers: _, input_device, output_device, ring_device, desk, desk_user } =
                    settings;
                args.input_device = args.input_device.take().or(input_device);
                args.output_device = args.output_device.take().or(output_device);
                args.ring_device = args.ring_device.take().or(ring_device);
                args.desk.url = args.desk.url.take().or(desk);
                args.desk.user = args.desk.user.take().or(desk_user);
                Some(account)
            }
        },
        (uri, _) => {
            let (first, others) =
                args.server.split_first().map_or((None, &[][..]), |(first, more)| (Some(first), more));
            let found =
                account(uri.as_deref(), first.map(String::as_str), args.password.take(), args.password_file.as_ref())?;
            let or = |found: Account| others.iter().try_fold(found, |found, server| found.or(server));
            found.map(or).transpose()?
        }
    };
    if let Some(account) = &mut account {
        account.authorities.clone_from(&args.trust);
    }
    Ok(account)
}

/// Runs the command.
pub fn run(mut args: PhoneArgs) -> anyhow::Result<ExitCode> {
    if args.list_devices {
        return list_devices(args.json);
    }
    let clock = Clock::start();
    if args.setup {
        return setup::run(Place::of_user(), clock);
    }
    let account = complete(&mut args)?;
    let desk = args.desk.open(account.as_ref(), args.trust.as_ref(), clock)?;
    let mut engine = args.sound.engine(clock)?;
    let devices = [&args.input_device, &args.output_device, &args.ring_device];
    if !args.headless || devices.iter().any(|device| device.is_some()) {
        engine.devices = Some(DeviceConfig::new(args.input_device, args.output_device, args.ring_device));
        engine.voice = args.voice.switches();
    }
    let voice = engine.voice;
    let buttons = engine.devices.is_some() && !args.no_buttons;
    engine.meters = args.meters || !args.headless;
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
        srtp: args.srtp,
        mailbox: !args.no_mailbox,
        ..PhoneConfig::new(args.listen.unwrap_or_else(|| ([0, 0, 0, 0], 0).into()), engine)
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
        let desk = desk.as_ref();
        let told = if remote.is_none() && desk.is_none() {
            told
        } else {
            let (show, shown) = bounded(offhook_phone::EVENTS_MAX);
            let between = Between { phone: &phone, remote: remote.as_ref(), desk, clock };
            scope.spawn(move || between.hand_on(&told, &notices, &show));
            shown
        };
        let done = if args.headless {
            let orders = if args.commands { orders::from_stdin().context("standard input") } else { Ok(never()) };
            orders.and_then(|orders| without_screen((&phone, desk), &told, &stop, orders, args.events))
        } else {
            let wish = |wish| desk.into_iter().for_each(|desk: &Desk| desk.wish(AgentWish::clone(&wish)));
            offhook_phone::screen::run(&phone, &told, &stop, clock, &title, voice, &wish).context("the terminal")
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

/// What stands between the phone and who is told of it.
struct Between<'a> {
    phone: &'a Phone,
    remote: Option<&'a Remote>,
    desk: Option<&'a Desk>,
    clock: Clock,
}

impl Between<'_> {
    /// Hands on what the phone and the exchange tell, to pages too, and what they want to the phone; until it is off.
    fn hand_on(&self, told: &Receiver<Told>, notices: &Receiver<String>, show: &Sender<Told>) {
        let (nobody, silent) = (never(), never());
        let from_desk = self.desk.map_or(&silent, |desk| &desk.told);
        let wanted = self.remote.map_or(&nobody, |remote| &remote.orders);
        let mut notices = notices.clone();
        let mut from_desk = from_desk.clone();
        loop {
            let event = crossbeam_channel::select! {
                recv(told) -> event => {
                    let Ok(event) = event else { return };
                    event
                }
                recv(from_desk) -> event => {
                    let Ok(event) = event else {
                        from_desk = never();
                        continue;
                    };
                    event
                }
                recv(notices) -> what => {
                    let Ok(what) = what else {
                        notices = never();
                        continue;
                    };
                    Told { at: self.clock.now(), event: PhoneEvent::Remote { what } }
                }
                recv(wanted) -> order => {
                    let given = order.map_or(Ok(()), |order| order.give(self.phone, self.desk));
                    let Err(what) = given else { continue };
                    Told { at: self.clock.now(), event: PhoneEvent::Fault { call: None, what } }
                }
            };
            // The pairing code is for who sits here.
            if let Some(remote) = self.remote
                && !matches!(event.event, PhoneEvent::Remote { .. })
            {
                remote.tell(&event);
            }
            let off = matches!(event.event, PhoneEvent::Off);
            if show.send(event).is_err() || off {
                return;
            }
        }
    }
}

/// Until a signal: prints events, or a line for each thing that matters.
fn without_screen(
    (phone, desk): (&Phone, Option<&Desk>),
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
                    let given = order.and_then(|order| order.give(phone, desk));
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
        PhoneEvent::Moved { address } => eprintln!("our address is {address} now"),
        PhoneEvent::Server { address, why } => eprintln!("the server is lost ({why}): {address} is asked"),
        PhoneEvent::Mailbox { waiting: true, new, .. } => {
            eprintln!("messages wait{}", new.map_or_else(String::new, |new| format!(": {new} new")));
        }
        PhoneEvent::Mailbox { waiting: false, .. } => eprintln!("no messages wait"),
        PhoneEvent::Conference { on, .. } => {
            eprintln!("{}", if *on { "in conference" } else { "the conference is over" });
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
