//! The exchange under test: a process of its own, with a configuration and a folder of its own.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the edge that watches another process, whose end and health tell nobody by themselves"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use offhook_units::{Entropy, Span};

use super::faults::Watch;

/// From its start to its first healthy answer.
const UP_WITHIN: Duration = Duration::from_secs(20);
/// For how long calls in progress may finish at its end, in seconds, and for how long it may take after that.
const GRACE_S: u64 = 5;
const STOPS_WITHIN: Duration = Duration::from_secs(20);
/// How long an answer of its page may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Lines of its log that are told where it fails.
const LOG_LINES: usize = 5;
/// Where ports are looked for, and how often. Those of speech come after them.
const PORTS: Range<u16> = 12_000..20_000;
const MEDIA_PORTS: &str = "20000-29999";
const PORT_TRIES: usize = 100;
/// Between two looks at a process or page that is to change.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// An exchange, and where it is.
#[derive(Debug)]
pub struct House {
    folder: PathBuf,
    /// Where it takes calls.
    pub sip: SocketAddr,
    /// Where its agents' phones are.
    pub phones: SocketAddr,
    http: SocketAddr,
    /// The clock that it looks at, where that is not the machine's.
    watch: Option<Watch>,
    process: Option<Child>,
}

/// What an exchange is to be like.
#[derive(Debug)]
pub struct Setting<'a> {
    pub agents: u32,
    /// How long an agent's phone rings, and the longest wait.
    pub ring_for: Span,
    pub max_wait: Span,
    /// More lines in the table `[sip]` of its configuration.
    pub sip_more: &'a str,
    /// The clock that it is to look at, where that is not the machine's.
    pub watch: Option<Watch>,
}

impl House {
    /// Writes a configuration for so many agents into `folder`, and starts an exchange with it.
    pub fn start(folder: &Path, setting: Setting<'_>, mut entropy: Entropy) -> Result<Self> {
        let Setting { agents, ring_for, max_wait, sip_more, watch } = setting;
        let mut port = |host| free_port(host, &mut entropy);
        let (sip, phones, http) = (port("127.0.0.1")?, port("127.0.0.3")?, port("127.0.0.1")?);
        let text = format!(
            "[exchange]\nname = \"Offhook under test\"\nrealm = \"offhook\"\n\n[sip]\nlisten = [\"udp:{sip}\"]\n\
             trusted = [\"127.0.0.2\", \"127.0.0.3\"]\n{sip_more}\n[media]\nports = \"{MEDIA_PORTS}\"\n\n[http]\nlisten = \"{http}\"\n\n\
             [store]\nfolder = \"data\"\n\n[[trunk]]\nname = \"chaos\"\npeers = [\"127.0.0.2\"]\n\n\
             [[number]]\nnumber = \"700\"\nanswer = \"at-start\"\nqueue = \"chaos\"\n\n\
             [[queue]]\nname = \"chaos\"\nring_for = \"{}s\"\nmax_wait = \"{}s\"\nwrap_up = \"0s\"\nrecord = true\n\n\
             [[agent]]\nfrom = 1\nto = {agents}\nname = \"a{{n:04}}\"\ncontact = \"sip:a{{n:04}}@{phones}\"\nqueues = [\"chaos\"]\n\
             login = \"at-start\"\ndecline_delay = \"1s\"\nno_answer_delay = \"1s\"\nmax_missed = 0\n",
            ring_for.as_s(),
            max_wait.as_s(),
        );
        std::fs::write(folder.join("offhook.toml"), text).context("writing the configuration")?;
        let mut house = Self { folder: folder.to_path_buf(), sip, phones, http, watch, process: None };
        house.open()?;
        Ok(house)
    }

    /// Where its memory lies.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts it, and waits until it is well.
    pub fn open(&mut self) -> Result<Duration> {
        let program = std::env::current_exe().context("where this program is")?;
        let log =
            File::options().create(true).append(true).open(self.folder.join("exchange.log")).context("its log")?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(self.folder.join("offhook.toml"));
        command.args(["--grace", &GRACE_S.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.envs(self.watch.iter().flat_map(Watch::variables));
        let begin = Instant::now();
        self.process = Some(command.spawn().context("starting an exchange")?);
        while !self.is_well() {
            ensure!(
                begin.elapsed() < UP_WITHIN,
                "the exchange was not well within {UP_WITHIN:?}; its log ends:\n{}",
                self.log()
            );
            self.must_run()?;
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(begin.elapsed())
    }

    /// How its log ends: the folder goes away with a run that fails.
    fn log(&self) -> String {
        let log = std::fs::read(self.folder.join("exchange.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// The clock that it looks at, where that can be set.
    pub const fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Fails where it has ended by itself.
    pub fn must_run(&mut self) -> Result<()> {
        if let Some(status) = self.process.as_mut().and_then(|process| process.try_wait().transpose()) {
            bail!("the exchange ended by itself with {}; its log ends:\n{}", status?, self.log());
        }
        Ok(())
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.kill().context("killing the exchange")?;
        process.wait().context("the killed exchange")?;
        Ok(())
    }

    /// Lets calls finish for a while, then ends it.
    pub fn stop(&mut self) -> Result<()> {
        self.must_run()?;
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let pid = rustix::process::Pid::from_child(&process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).context("ending the exchange")?;
        let begin = Instant::now();
        while process.try_wait().context("the exchange's end")?.is_none() {
            if begin.elapsed() > STOPS_WITHIN {
                process.kill().context("killing the exchange")?;
                bail!("the exchange did not end on SIGTERM within {STOPS_WITHIN:?}; its log ends:\n{}", self.log());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn is_well(&self) -> bool {
        self.ask("/healthz").is_ok_and(|(status, _)| status == 200)
    }

    /// Calls that have not ended.
    pub fn calls(&self) -> Result<u64> {
        let (_, text) = self.ask("/metrics")?;
        let value = text.lines().find_map(|line| line.strip_prefix("offhook_calls_active "));
        value
            .and_then(|value| value.trim().parse::<f64>().ok())
            .map(|value| value as u64)
            .context("its metrics tell no calls")
    }

    /// Waits until no call is up, for a while; gives how many still are.
    pub fn quiet_within(&mut self, within: Duration) -> Result<u64> {
        let begin = Instant::now();
        loop {
            self.must_run()?;
            let calls = self.calls()?;
            if calls == 0 || begin.elapsed() > within {
                return Ok(calls);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn ask(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.http, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        // HTTP/1.0: the body ends with the connection and is never chunked.
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.http).as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let status = text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).context("no HTTP answer")?;
        Ok((status, text))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Nothing is left behind where a run fails.
        let _killed = self.kill();
    }
}

/// A port of `host` that is free for UDP and TCP, below those that the system gives to whoever asks for any: the exchange's stays its own
/// while it is down.
fn free_port(host: &str, entropy: &mut Entropy) -> Result<SocketAddr> {
    for _ in 0..PORT_TRIES {
        let at = u64::from(PORTS.end - PORTS.start);
        let port = PORTS.start + (entropy.next_u64() % at) as u16;
        match UdpSocket::bind((host, port)).and_then(|_udp| TcpListener::bind((host, port))) {
            Ok(listener) => return listener.local_addr().context("its own address"),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("no address {host}: this bench needs the loopback network of Linux"));
            }
        }
    }
    bail!("no free port of {PORTS:?} at {host} in {PORT_TRIES} tries")
}
