//! Programs that run beside this one: started in groups of their own, logged, awaited with deadlines, ended by their id.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock, atomic::AtomicBool, atomic::Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How often a wait looks again.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a program may take to end after it was asked to.
const STOP_WITHIN: Duration = Duration::from_secs(8);

static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From now on Ctrl-C and SIGTERM end waits instead of this program, which then ends what it started: each stop has a deadline.
pub fn catch_interrupts() -> Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&INTERRUPTED))?;
    }
    Ok(())
}

/// Whether Ctrl-C was pressed.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Looks at `ready` until it gives something, Ctrl-C is pressed or `within` has passed; `what` names the wait.
pub fn wait_for<T>(what: &str, within: Duration, mut ready: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(found) = ready()? {
            return Ok(found);
        }
        if interrupted() {
            bail!("interrupted while waiting for {what}");
        }
        if begin.elapsed() > within {
            bail!("{what}: not within {} s", within.as_secs());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A running program.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Starts `command` with both outputs in `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let errors = file.try_clone()?;
        let child = spawn(name, command.stdout(file).stderr(errors))?;
        Ok(Self { name: name.into(), child, log: log.into(), ended: None })
    }

    /// Starts `command` and hands over the lines of its standard output as they come; they are kept in `log` as well, and
    /// standard error goes to `log` with the extension `err`.
    pub fn start_reading(name: &str, command: &mut Command, log: &Path) -> Result<(Self, Receiver<String>)> {
        let mut copy = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let errors = File::create(log.with_extension("err"))?;
        let mut child = spawn(name, command.stdout(Stdio::piped()).stderr(errors))?;
        let output = child.stdout.take().context("a piped standard output")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let kept = writeln!(copy, "{line}");
                if send.send(line).is_err() || kept.is_err() {
                    break;
                }
            }
        });
        Ok((Self { name: name.into(), child, log: log.into(), ended: None }, lines))
    }

    /// As [`Self::start`], with a standard input to tell it things.
    pub fn start_told(name: &str, command: &mut Command, log: &Path) -> Result<(Self, ChildStdin)> {
        let file = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let errors = file.try_clone()?;
        let mut child = spawn_with(name, command.stdin(Stdio::piped()).stdout(file).stderr(errors))?;
        let input = child.stdin.take().context("a piped standard input")?;
        Ok((Self { name: name.into(), child, log: log.into(), ended: None }, input))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    /// Waits for its end.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let name = self.name.clone();
        wait_for(&format!("the end of {name}"), within, || self.ended())
    }

    /// An error with the tail of its log where it has ended.
    pub fn must_run(&mut self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, self.tail(15)),
        }
    }

    /// Sends it SIGINT, as Ctrl-C would.
    pub fn interrupt(&mut self) -> Result<()> {
        self.signal(Signal::INT)
    }

    /// Sends it SIGHUP: it shall read its files again.
    pub fn read_again(&mut self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    /// Asks it to end, waits, and ends it by force where it does not; says whether it ended by itself.
    pub fn stop(&mut self) -> Result<bool> {
        if self.ended()?.is_some() {
            return Ok(true);
        }
        self.signal(Signal::TERM)?;
        let begin = Instant::now();
        let mut asked_again = false;
        while begin.elapsed() < STOP_WITHIN {
            if self.ended()?.is_some() {
                return Ok(true);
            }
            // The exchange lets calls finish after the first SIGTERM and hangs up at the second.
            if !asked_again && begin.elapsed() > STOP_WITHIN / 4 {
                asked_again = true;
                self.signal(Signal::TERM)?;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        self.kill()?;
        Ok(false)
    }

    /// Ends it as `kill -9` does, and what it started.
    pub fn kill(&mut self) -> Result<()> {
        if self.ended()?.is_none() {
            if let Some(pid) = self.process() {
                kill_process_group(pid, Signal::KILL).or_else(|_| kill_process(pid, Signal::KILL))?;
            }
            self.ended = Some(self.child.wait()?);
        }
        Ok(())
    }

    /// The last lines of its log.
    pub fn tail(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }

    /// Its resident memory in KiB.
    pub fn resident_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
    }

    fn process(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.ended()?.is_none()
            && let Some(pid) = self.process()
        {
            kill_process(pid, signal)?;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn spawn(name: &str, command: &mut Command) -> Result<Child> {
    spawn_with(name, command.stdin(Stdio::null()))
}

fn spawn_with(name: &str, command: &mut Command) -> Result<Child> {
    command.process_group(0);
    command.spawn().with_context(|| format!("starting {name} ({})", command.get_program().to_string_lossy()))
}

/// The last lines of a file, at most 64 KiB of it.
pub fn tail(file: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(file)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(65_536)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Fails with a clear line where a UDP address is taken.
pub fn must_be_free(address: SocketAddr, who: &str) -> Result<()> {
    match UdpSocket::bind(address) {
        Ok(_) => Ok(()),
        Err(error) => {
            bail!("{who} needs UDP {address}, but: {error}. Is another exchange or phone running? See `ss -lunp`")
        }
    }
}

/// As [`must_be_free`], for TCP.
pub fn tcp_must_be_free(address: SocketAddr, who: &str) -> Result<()> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) => bail!("{who} needs TCP {address}, but: {error}. See `ss -ltnp`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_read_line_by_line_and_ended_by_its_id() {
        let folder = std::env::temp_dir().join(format!("offhook-children-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo one; echo two; exec sleep 60"]);
        let (mut running, lines) =
            Running::start_reading("a shell", &mut shell, &folder.join("log")).expect("sh starts");
        assert_eq!(lines.recv_timeout(Duration::from_secs(5)).as_deref(), Ok("one"));
        assert_eq!(lines.recv_timeout(Duration::from_secs(5)).as_deref(), Ok("two"));
        running.must_run().expect("it still runs");
        assert!(running.stop().expect("it can be stopped"), "SIGTERM is enough");
        assert_eq!(running.tail(1), "two");
        std::fs::remove_dir_all(&folder).expect("the folder can be removed");
    }
}
