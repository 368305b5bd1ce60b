//! Agents of the tests: our own softphone without a head, and baresip.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::sipp::loopback;
use crate::children::{Running, wait_for};
use crate::{g711, speech};

/// What an agent's phone sent and received in its calls, as mu-law bytes.
#[derive(Debug, Default)]
pub struct Payloads {
    /// Sent.
    pub sent: Vec<u8>,
    /// Received.
    pub received: Vec<u8>,
    /// The same, call by call; of our softphone those of the first one alone.
    pub received_by_call: Vec<Vec<u8>>,
}

/// An agent's phone.
#[derive(Debug)]
pub struct Agent {
    /// `softphone` or `baresip`.
    pub kind: &'static str,
    running: Running,
    folder: PathBuf,
}

/// Which account an agent has.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// The exchange.
    pub server: SocketAddr,
    /// The account's name.
    pub user: &'a str,
    /// Its password.
    pub password: &'a str,
}

/// Where a baresip is.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Of SIP; TLS at the next port.
    pub address: SocketAddr,
    /// The first of its twenty ports of media.
    pub media: u16,
}

/// What is special about a baresip.
#[derive(Debug, Default)]
struct Way<'a> {
    /// Over TLS.
    secure: bool,
    /// With encrypted speech alone.
    encrypted: bool,
    /// A file with the certificate that it shows, and its key.
    certificate: Option<&'a Path>,
    /// Called at once.
    dial: Option<&'a str>,
    /// Lines for its configuration.
    more: &'a str,
    /// The life of its registration, in seconds, where that is not 120.
    renewed_s: Option<u16>,
    /// Lines of its list of contacts.
    contacts: &'a str,
    /// With Opus, and a microphone at its rate.
    opus: bool,
}

/// The command of a softphone without a screen that registers and answers by itself `after` a while. Its password goes into a file of
/// `folder`, where no list of processes shows it.
pub fn softphone(offhook: &Path, account: Account<'_>, folder: &Path, after: &str) -> Result<Command> {
    let secret = folder.join(format!("{}.password", account.user));
    std::fs::write(&secret, account.password)?;
    let mut command = Command::new(offhook);
    command.args(["phone", "--headless", "--auto-answer", after, "--events"]);
    command.args(["--account", &format!("sip:{}@{}", account.user, account.server)]);
    command.arg("--password-file").arg(secret);
    Ok(command)
}

/// Adds a user who is an agent and a supervisor's token to a configuration; gives the token.
pub fn user_into(offhook: &Path, name: &str, agent: &str, password: &str, config: &Path) -> Result<String> {
    let mut new = Command::new(offhook);
    new.args(["user", "new", name, "--role", "agent", "--agent", agent, "--into"]).arg(config);
    let mut new = new.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let mut input = new.stdin.take().context("standard input")?;
    input.write_all(format!("{password}\n").as_bytes())?;
    drop(input);
    ensure!(new.wait()?.success(), "offhook user new ended badly");
    let mut token = Command::new(offhook);
    let output = token.args(["user", "token", "test", "--role", "supervisor", "--into"]).arg(config).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let token = said.lines().find_map(|line| line.split_once("not shown again: ")).map(|(_, token)| token.trim());
    token.map(str::to_owned).with_context(|| format!("offhook user token: {said}"))
}

impl Agent {
    /// Our softphone, keeping its payloads in `folder`.
    pub fn softphone(offhook: &Path, account: Account<'_>, play: &Path, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut command = softphone(offhook, account, folder, "0s")?;
        command.arg("--play").arg(play);
        command.arg("--payloads-in").arg(folder.join("in")).arg("--payloads-out").arg(folder.join("out"));
        let running = Running::start(&format!("the softphone {}", account.user), &mut command, &folder.join("log"))?;
        Ok(Self { kind: "softphone", running, folder: folder.into() })
    }

    /// baresip number `index`, registered, with `samples` as its microphone.
    pub fn baresip(account: Account<'_>, samples: &[i16], folder: &Path, index: u16) -> Result<Self> {
        let place = Place { address: loopback(5, 25_100 + 10 * index), media: 42_000 + 20 * index };
        Self::start_baresip(account, place, samples, folder, &Way::default())
    }

    /// As [`Self::baresip`], from `place`.
    pub fn baresip_at(account: Account<'_>, place: Place, samples: &[i16], folder: &Path) -> Result<Self> {
        Self::start_baresip(account, place, samples, folder, &Way::default())
    }

    /// As [`Self::baresip`], from `place`, taking commands at `control`.
    pub fn baresip_with_control(
        account: Account<'_>,
        place: Place,
        control: SocketAddr,
        samples: &[i16],
        folder: &Path,
    ) -> Result<Self> {
        let more = format!("\nmodule_app\t\tctrl_tcp.so\nctrl_tcp_listen\t\t{control}\n");
        Self::start_baresip(account, place, samples, folder, &Way { more: &more, ..Way::default() })
    }

    /// As [`Self::baresip`], over TLS from `place`: it believes the authority of fixtures/tls alone. `dial` is called at once.
    pub fn baresip_over_tls(
        account: Account<'_>,
        place: Place,
        samples: &[i16],
        folder: &Path,
        dial: Option<&str>,
    ) -> Result<Self> {
        Self::start_baresip(account, place, samples, folder, &Way { secure: true, dial, ..Way::default() })
    }

    /// As [`Self::baresip_over_tls`]; it sends and takes encrypted speech alone.
    pub fn baresip_encrypted(
        account: Account<'_>,
        place: Place,
        samples: &[i16],
        folder: &Path,
        dial: Option<&str>,
    ) -> Result<Self> {
        let way = Way { secure: true, encrypted: true, dial, ..Way::default() };
        Self::start_baresip(account, place, samples, folder, &way)
    }

    /// As [`Self::baresip_encrypted`]; it shows a certificate.
    pub fn baresip_with_certificate(
        account: Account<'_>,
        place: Place,
        certificate: &Path,
        samples: &[i16],
        folder: &Path,
        dial: Option<&str>,
    ) -> Result<Self> {
        let way = Way { secure: true, encrypted: true, certificate: Some(certificate), dial, ..Way::default() };
        Self::start_baresip(account, place, samples, folder, &way)
    }

    /// As [`Self::baresip`], from `place`, with Opus before G.711, and `samples` at 48 kHz.
    pub fn baresip_with_opus(account: Account<'_>, place: Place, samples: &[i16], folder: &Path) -> Result<Self> {
        let more = "\nmodule\t\topus.so\nopus_stereo\tno\nopus_sprop_stereo\tno\nopus_inbandfec\tyes\n";
        Self::start_baresip(account, place, samples, folder, &Way { more, opus: true, ..Way::default() })
    }

    /// As [`Self::baresip`], from `place`, without a microphone: it watches its contacts.
    pub fn baresip_watching(account: Account<'_>, place: Place, contacts: &str, folder: &Path) -> Result<Self> {
        let more = "\nmodule_app\t\tcontact.so\nmodule_app\t\tpresence.so\n";
        Self::start_baresip(account, place, &[0; 8_000], folder, &Way { more, contacts, ..Way::default() })
    }

    /// As [`Self::baresip`], from `place`, started by `command`, which begins elsewhere; its registrations live for so long.
    pub fn baresip_behind(
        command: Command,
        account: Account<'_>,
        place: Place,
        renewed_s: u16,
        samples: &[i16],
        folder: &Path,
    ) -> Result<Self> {
        let way = Way { renewed_s: Some(renewed_s), ..Way::default() };
        Self::start_baresip_by(command, account, place, samples, folder, &way)
    }

    fn start_baresip(
        account: Account<'_>,
        place: Place,
        samples: &[i16],
        folder: &Path,
        way: &Way<'_>,
    ) -> Result<Self> {
        Self::start_baresip_by(Command::new("baresip"), account, place, samples, folder, way)
    }

    fn start_baresip_by(
        mut command: Command,
        account: Account<'_>,
        place: Place,
        samples: &[i16],
        folder: &Path,
        way: &Way<'_>,
    ) -> Result<Self> {
        let &Way { secure, encrypted, certificate, dial, more, renewed_s, contacts, opus } = way;
        let renewed_s = renewed_s.unwrap_or(120);
        std::fs::create_dir_all(folder)?;
        let (rate, codecs) = if opus { (48_000, "opus,pcmu") } else { (8_000, "pcmu") };
        speech::write_wav(&folder.join("speech.wav"), rate, samples)?;
        let Place { address, media } = place;
        let text = std::fs::read_to_string(crate::root().join("fixtures/peers/baresip.conf"))?;
        let authority = crate::root().join("fixtures/tls/authority.pem");
        let trust = format!("\nsip_cafile\t\t{}\nsip_verify_server\tyes\n", authority.display());
        let text = text
            .replace("FOLDER", &folder.display().to_string())
            .replace("ADDRESS", &address.ip().to_string())
            .replace("PORT", &address.port().to_string())
            .replace("MEDIA", &format!("{media}-{}", media + 19))
            .replace("RATE", &rate.to_string())
            + if secure { &trust } else { "" }
            + &certificate.map_or_else(String::new, |file| format!("sip_certificate\t\t{}\n", file.display()))
            + more;
        std::fs::write(folder.join("config"), text)?;
        let Account { server, user, password } = account;
        let (transport, answers) =
            (if secure { ";transport=tls" } else { "" }, if dial.is_none() { "answermode=auto;" } else { "" });
        let speech = if encrypted { ";mediaenc=srtp-mand" } else { "" };
        let line = format!(
            "<sip:{user}@{server}{transport}>;auth_pass={password};{answers}audio_codecs={codecs};regint={renewed_s}{speech}\n"
        );
        std::fs::write(folder.join("accounts"), line)?;
        std::fs::write(folder.join("contacts"), contacts)?;
        command.args(["-4", "-v", "-f"]).arg(folder);
        if let Some(uri) = dial {
            command.args(["-e", &format!("/dial {uri}")]);
        }
        let running = Running::start(&format!("baresip {user}"), &mut command, &folder.join("log"))?;
        Ok(Self { kind: "baresip", running, folder: folder.into() })
    }

    /// Waits for baresip's word that it is ready.
    pub fn wait_until_it_listens(&mut self) -> Result<()> {
        wait_for("baresip", Duration::from_secs(5), || {
            self.running.must_run()?;
            Ok(self.says("baresip is ready").then_some(()))
        })
    }

    /// Whether it has written `words` into its log.
    pub fn says(&self, words: &str) -> bool {
        self.running.tail(200).contains(words)
    }

    /// The last line of its log with `words` in it.
    pub fn last_line_with(&self, words: &str) -> Option<String> {
        self.running.tail(200).lines().rfind(|line| line.contains(words)).map(str::to_owned)
    }

    /// Fails where it has ended by itself.
    pub fn must_run(&mut self) -> Result<()> {
        self.running.must_run()
    }

    /// Ends the phone and reads what it kept.
    pub fn finish(mut self) -> Result<Payloads> {
        ensure!(self.running.stop()?, "{} did not end on SIGTERM:\n{}", self.kind, self.running.tail(10));
        if self.kind == "softphone" {
            let read =
                |name: &str| std::fs::read(self.folder.join(name)).with_context(|| format!("{name} of the softphone"));
            let received = read("in")?;
            return Ok(Payloads { sent: read("out")?, received_by_call: vec![received.clone()], received });
        }
        let dump = |end: &str| -> Result<Vec<Vec<u8>>> {
            let mut files: Vec<PathBuf> =
                std::fs::read_dir(&self.folder)?.filter_map(|e| Some(e.ok()?.path())).collect();
            files.retain(|f| f.to_string_lossy().ends_with(end));
            files.sort();
            let read = |file: PathBuf| {
                let (rate, samples) = speech::read_wav(&file)?;
                let samples = if rate == 8_000 { samples } else { super::quality::downsample(&samples, rate)? };
                Ok(g711::encode_all(&samples))
            };
            files.into_iter().map(read).collect()
        };
        let received_by_call = dump("-dec.wav")?;
        Ok(Payloads { sent: dump("-enc.wav")?.concat(), received: received_by_call.concat(), received_by_call })
    }
}

/// The command of one scripted call from a trunk's address that is held for `hold`; prints JSON at its end.
pub fn call(offhook: &Path, uri: &str, hold: Duration) -> Command {
    let mut command = Command::new(offhook);
    command.args(["call", uri, "--json", "--listen", "127.0.0.2:0", "--for", &format!("{}s", hold.as_secs())]);
    command.args(["--from", "\"Anna Schmidt\" <sip:+4930123456@127.0.0.2>"]);
    command
}
