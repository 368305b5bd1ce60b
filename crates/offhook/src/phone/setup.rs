//! `offhook phone --setup`: asks for the account and tries it, lets devices be chosen, listens to the microphone, plays back what it heard,
//! and keeps all that in the user's folder. At a terminal or from a file of answers, one a line.

#![expect(clippy::disallowed_methods, reason = "it waits for a server, and keeps time with sound devices")]

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use offhook_headset::{Headset, HeadsetConfig};
use offhook_phone::{Account, Clock, EngineConfig, Phone, PhoneConfig, PhoneEvent, VoiceSwitches};
use offhook_units::SampleRate;

use super::settings::{Place, Settings};
use super::{SoundArgs, entropy};

/// How long a server may take to answer.
const REGISTERED_WITHIN: Duration = Duration::from_secs(8);
/// How long the microphone is listened to.
const LISTEN_FOR: usize = 300;
/// How long a device may take to be there, in frames of 10 ms.
const OPEN_WITHIN: usize = 200;
/// Samples of 10 ms at 8 kHz.
const FRAME: usize = 80;
/// Quieter than this nobody was heard, in decibels below full scale; and quieter than that speech is hard to understand.
const SILENT_DB: f64 = -60.0;
const QUIET_DB: f64 = -35.0;
/// Louder than this it is distorted.
const LOUD_DB: f64 = -1.0;

/// Whom is asked.
struct Person {
    terminal: bool,
}

fn say(words: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{words}")?;
    Ok(out.flush()?)
}

impl Person {
    /// Asks, and gives what is typed, or `before` where that is nothing.
    fn ask(&self, question: &str, before: &str) -> Result<String> {
        let mut out = std::io::stdout().lock();
        match before {
            "" => write!(out, "{question}: ")?,
            before => write!(out, "{question} [{before}]: ")?,
        }
        out.flush()?;
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line)? == 0 {
            bail!("the answers ended before the setup did: nothing was kept");
        }
        if !self.terminal {
            writeln!(out)?;
        }
        let line = line.trim();
        Ok(if line.is_empty() { before.to_owned() } else { line.to_owned() })
    }

    fn agrees(&self, question: &str, before: bool) -> Result<bool> {
        loop {
            let answer = self.ask(&format!("{question} (y/n)"), if before { "y" } else { "n" })?;
            match answer.to_ascii_lowercase().as_str() {
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => say("y or n, please.")?,
            }
        }
    }

    /// A password is not shown while it is typed.
    fn secret(&self, question: &str) -> Result<String> {
        if self.terminal {
            return rpassword::prompt_password(format!("{question}: ")).context("the password");
        }
        self.ask(question, "")
    }
}

/// Walks through it.
pub fn run(place: Option<Place>, clock: Clock) -> Result<ExitCode> {
    let place = place.context("there is no folder for settings: HOME is not set")?;
    let person = Person { terminal: std::io::stdin().is_terminal() };
    let before = Settings::load(&place)?;
    let (mut settings, old_password) = before.unwrap_or_default();
    say("The account. An empty answer takes what stands in brackets.")?;
    let password = loop {
        settings.account = person.ask("Address, such as sip:ann@pbx.example.com", &settings.account)?;
        let servers =
            person.ask("Servers, where they are not that host; several by commas", &settings.servers.join(","))?;
        settings.servers =
            servers.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let typed =
            person.secret(if old_password.is_empty() { "Password" } else { "Password, empty for the one kept" })?;
        let password = if typed.is_empty() { old_password.clone() } else { typed };
        match registers(&settings, &password, clock) {
            Ok(()) => {
                say("The server knows the account.")?;
                break password;
            }
            Err(error) => {
                say(&format!("That does not work: {error:#}"))?;
                if person.agrees("Keep it all the same?", false)? {
                    break password;
                }
            }
        }
    };
    devices(&person, &mut settings)?;
    if person.agrees("Try the microphone and the earpiece?", true)? {
        try_sound(&person, &settings)?;
    }
    let desk = person.ask(
        "Address of the exchange's pages, for the agent's state; - for none",
        settings.desk.as_deref().unwrap_or("-"),
    )?;
    settings.desk = Some(desk).filter(|desk| desk != "-");
    if settings.desk.is_some() {
        let user = person.ask("User there (same password)", settings.desk_user.as_deref().unwrap_or_default())?;
        settings.desk_user = Some(user).filter(|user| !user.is_empty());
    }
    settings.save(&place, &password)?;
    say(&format!("Kept in {}.", place.settings.display()))?;
    let path = place.password.display();
    say(&format!(
        "Warning: the password lies in {path} as it is, readable by you alone (0600), and by whoever can be you."
    ))?;
    say("Now `offhook phone` is all there is to type.")?;
    Ok(ExitCode::SUCCESS)
}

/// The account of these settings.
pub fn account(settings: &Settings, password: &str) -> Result<Account> {
    let mut servers = settings.servers.iter();
    let account = Account::new(&settings.account, servers.next().map(String::as_str), Some(password.to_owned()))?;
    servers.try_fold(account, |account, server| Ok(account.or(server)?))
}

/// Whether the server takes the account.
fn registers(settings: &Settings, password: &str, clock: Clock) -> Result<()> {
    let engine = EngineConfig { voice: VoiceSwitches::OFF, ..SoundArgs::none().engine(clock)? };
    let config = PhoneConfig {
        account: Some(account(settings, password)?),
        register: true,
        mailbox: false,
        ..PhoneConfig::new(([0, 0, 0, 0], 0).into(), engine)
    };
    let (phone, told) = Phone::start(config, entropy()?)?;
    let deadline = Instant::now() + REGISTERED_WITHIN;
    let mut last = String::from("the server does not answer");
    let outcome = loop {
        match told.recv_deadline(deadline).map(|told| told.event) {
            Ok(PhoneEvent::Registered { .. }) => break Ok(()),
            Ok(PhoneEvent::RegistrationFailed { why, status, .. }) => {
                last = why;
                if status.is_some_and(|status| status < 500) {
                    break Err(last);
                }
            }
            Ok(_) => {}
            Err(_) => break Err(last),
        }
    };
    drop(phone);
    outcome.map_err(|why| anyhow::anyhow!(why))
}

/// Lets devices be chosen by number.
fn devices(person: &Person, settings: &mut Settings) -> Result<()> {
    let all = match offhook_headset::devices() {
        Ok(all) if !all.is_empty() => all,
        Ok(_) => return say("There are no sound devices: plug one in and come back."),
        Err(error) => return say(&format!("There are no sound devices: {error}")),
    };
    let inputs: Vec<_> = all.iter().filter(|device| device.input).collect();
    let outputs: Vec<_> = all.iter().filter(|device| device.output).collect();
    let kept = [settings.input_device.take(), settings.output_device.take(), settings.ring_device.take()];
    let [input, output, ring] = kept;
    for (what, list, before, chosen) in [
        ("Microphone", &inputs, input, &mut settings.input_device),
        ("Earpiece", &outputs, output, &mut settings.output_device),
        ("Ringer", &outputs, ring, &mut settings.ring_device),
    ] {
        say(&format!("{what}:"))?;
        say(match what {
            "Ringer" => "  0  the earpiece",
            _ => "  0  the system's choice",
        })?;
        for (n, device) in list.iter().enumerate() {
            let mark = if device.default { "  (the system's choice)" } else { "" };
            say(&format!("  {}  {}{mark}", n + 1, device.name))?;
        }
        let before = before.and_then(|id| list.iter().position(|device| device.id == id)).map_or(0, |at| at + 1);
        *chosen = loop {
            let answer = person.ask("Number", &before.to_string())?;
            match answer.parse::<usize>() {
                Ok(0) => break None,
                Ok(n) if n <= list.len() => break Some(list[n - 1].id.clone()),
                Ok(_) | Err(_) => say("One of the numbers above, please.")?,
            }
        };
    }
    Ok(())
}

/// Listens to the microphone, says how loud it was, and plays it back.
fn try_sound(person: &Person, settings: &Settings) -> Result<()> {
    let config = HeadsetConfig {
        input: settings.input_device.clone(),
        output: settings.output_device.clone(),
        instead: None,
        call_rate: SampleRate::NARROW,
    };
    loop {
        say("Please say something for three seconds, now.")?;
        let (heard, again) = listen_and_play(config.clone(), person)?;
        let db = loudest_db(&heard);
        say(match db {
            ..SILENT_DB => "Nothing was heard: is it muted, or another device?",
            ..QUIET_DB => "That was very quiet: move the microphone to your mouth, or turn it up.",
            LOUD_DB.. => "That was too loud, and is distorted: turn the microphone down.",
            _ => "That was well heard.",
        })?;
        say(&format!("Loudest: {db:.0} dB. {again} frames of sound were played back."))?;
        if person.agrees("Did you hear yourself?", true)? {
            return Ok(());
        }
        if !person.agrees("Try once more?", false)? {
            return Ok(());
        }
    }
}

/// What was heard in three seconds, and how many frames of it were played.
fn listen_and_play(config: HeadsetConfig, person: &Person) -> Result<(Vec<i16>, usize)> {
    let (_headset, mut microphone, mut speaker) = Headset::open(config)?;
    let mut next = Instant::now();
    let mut turn = |ear: &[i16; FRAME], mouth: &mut [i16; FRAME]| {
        speaker.play(ear);
        microphone.read(mouth);
        next += Duration::from_millis(10);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        microphone.reading().frames > 0
    };
    let mut mouth = [0; FRAME];
    let opened = (0..OPEN_WITHIN).any(|_| turn(&[0; FRAME], &mut mouth));
    if !opened {
        say("The microphone brings no sound.")?;
    }
    let mut heard = Vec::with_capacity(LISTEN_FOR * FRAME);
    for n in 0..LISTEN_FOR {
        turn(&[0; FRAME], &mut mouth);
        heard.extend_from_slice(&mouth);
        if person.terminal && n % 10 == 9 {
            let bar = ((1.0 + loudest_db(&heard[heard.len() - 10 * FRAME..]) / 60.0).clamp(0.0, 1.0) * 40.0) as usize;
            print!("\r  {}{}", "█".repeat(bar), "░".repeat(40 - bar));
            std::io::stdout().flush()?;
        }
    }
    if person.terminal {
        say("")?;
    }
    say("And this is how you sounded.")?;
    let frames: Vec<[i16; FRAME]> = heard.as_chunks().0.to_vec();
    for frame in &frames {
        turn(frame, &mut mouth);
    }
    // What is on its way to the device is heard out.
    for _ in 0..30 {
        turn(&[0; FRAME], &mut mouth);
    }
    Ok((heard, frames.len()))
}

/// The loudest tenth of a second, in decibels below full scale.
fn loudest_db(samples: &[i16]) -> f64 {
    let power = |part: &[i16]| part.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / part.len() as f64;
    let loudest = samples.chunks(10 * FRAME).map(power).fold(0.0, f64::max);
    if loudest > 0.0 { 10.0 * (loudest / f64::from(i16::MIN).powi(2)).log10() } else { -90.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_sine_is_3_db_below_full_scale_and_silence_is_90() {
        let sine: Vec<i16> = (0..8_000).map(|n| ((n as f64 * 0.5).sin() * 32_767.0) as i16).collect();
        assert!((loudest_db(&sine) + 3.0).abs() < 0.1, "{}", loudest_db(&sine));
        assert!((loudest_db(&[0; 800]) + 90.0).abs() < f64::EPSILON);
    }
}
