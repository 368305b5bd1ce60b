//! sipp, with a scenario of fixtures/sipp, and the sound of its callers beside it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::line::{Heard, Line, Said, said};
use crate::children::{Running, wait_for};

/// The media port of the first call lies so far above sipp's own.
const MEDIA_OFFSET: u16 = 2_000;

/// What sipp speaks over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Datagrams.
    Udp,
    /// One connection for all calls.
    Tcp,
}

impl Over {
    const fn option(self) -> &'static str {
        match self {
            Self::Udp => "u1",
            Self::Tcp => "t1",
        }
    }

    /// As in `/proc/net`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// How sipp is run.
#[derive(Debug, Clone)]
pub struct Sipp<'a> {
    /// The scenario's name in fixtures/sipp.
    pub scenario: &'a str,
    /// Where it binds.
    pub local: SocketAddr,
    /// The exchange, for a caller.
    pub remote: Option<SocketAddr>,
    /// sipp's own media port; calls begin 2,000 above.
    pub media: u16,
    /// The number dialled.
    pub service: &'a str,
    /// Calls in all.
    pub calls: usize,
    /// Calls a second.
    pub rate: usize,
    /// How long each call is held.
    pub hold: Duration,
}

impl Sipp<'_> {
    /// Starts it over UDP in `folder`; its log lines are in the file of [`Sipp::log`].
    pub fn start(&self, folder: &Path) -> Result<Running> {
        self.start_over(Over::Udp, folder)
    }

    /// As [`Self::start`]; where it is asked for a password, it answers for this URI, which has to be that of its request.
    pub fn start_showing(&self, uri: &str, folder: &Path) -> Result<Running> {
        self.start_with(Over::Udp, &["-auth_uri", uri.trim_start_matches("sip:")], folder)
    }

    /// As [`Self::start`], over one socket of a transport.
    pub fn start_over(&self, over: Over, folder: &Path) -> Result<Running> {
        self.start_with(over, &[], folder)
    }

    fn start_with(&self, over: Over, more: &[&str], folder: &Path) -> Result<Running> {
        let text = |duration: Duration| duration.as_millis().to_string();
        let file = crate::root().join(format!("fixtures/sipp/{}.xml", self.scenario));
        let mut command = Command::new("sipp");
        command.current_dir(folder).env("TERM", "dumb");
        if let Some(remote) = self.remote {
            command.arg(remote.to_string()).args(["-s", self.service]);
            command.args(["-r", &self.rate.to_string(), "-d", &text(self.hold)]);
        }
        command.arg("-sf").arg(file).args(["-m", &self.calls.to_string(), "-l", &self.calls.max(1).to_string()]);
        let ip = self.local.ip().to_string();
        command.args(["-i", &ip, "-p", &self.local.port().to_string(), "-mi", &ip, "-mp", &self.media.to_string()]);
        command
            .args(more)
            .args(["-t", over.option()])
            .args(["-nostdin", "-trace_logs", "-log_file"])
            .arg(self.log(folder));
        command.args(["-trace_stat", "-fd", "1", "-stf"]).arg(self.statistics(folder));
        command.args(["-trace_err", "-error_file"]).arg(folder.join(format!("{}.errors", self.scenario)));
        std::fs::write(self.log(folder), "")?;
        let name = format!("sipp ({})", self.scenario);
        let mut running = Running::start(&name, &mut command, &folder.join(format!("{}.out", self.scenario)))?;
        if self.remote.is_none() {
            wait_for(&format!("{name} to listen"), Duration::from_secs(5), || {
                running.must_run()?;
                Ok(is_bound(over, self.local)?.then_some(()))
            })?;
        }
        Ok(running)
    }

    /// How many messages it sent again, after its end.
    pub fn repeated(&self, folder: &Path) -> Result<u64> {
        let file = self.statistics(folder);
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        repeated(&text).with_context(|| format!("{} counts no retransmissions", file.display()))
    }

    fn statistics(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.csv", self.scenario))
    }

    /// The file that the scenario logs to.
    pub fn log(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.log", self.scenario))
    }

    /// Where the sound of call `number` (from 1) comes and goes.
    pub fn media_of(&self, number: usize) -> SocketAddr {
        SocketAddr::new(self.local.ip(), self.media + MEDIA_OFFSET + 4 * (number as u16 - 1))
    }
}

/// The retransmissions in all of the last line of sipp's statistics.
fn repeated(csv: &str) -> Option<u64> {
    let mut lines = csv.lines().filter(|line| !line.trim().is_empty());
    let at = lines.next()?.split(';').position(|name| name == "Retransmissions(C)")?;
    lines.next_back()?.split(';').nth(at)?.trim().parse().ok()
}

/// The lines of all callers of one sipp, opened and closed as its log says.
#[derive(Debug)]
pub struct Lines {
    log: BufReader<std::fs::File>,
    partial: String,
    talking: BTreeMap<usize, Line>,
    /// What the ended ones heard and said.
    pub ended: BTreeMap<usize, Heard>,
    codes: Arc<[u8]>,
    press: Option<(u8, usize)>,
}

/// How many frames further on in the speech each caller begins than the one before.
pub const APART: usize = 43;

impl Lines {
    /// Follows a log that sipp writes; each caller says `codes` from a place of its own.
    pub fn follow(log: &Path, codes: Arc<[u8]>, press: Option<(u8, usize)>) -> Result<Self> {
        let log = BufReader::new(std::fs::File::open(log).with_context(|| log.display().to_string())?);
        Ok(Self { log, partial: String::new(), talking: BTreeMap::new(), ended: BTreeMap::new(), codes, press })
    }

    /// Reads what is new in the log and does what it says.
    pub fn keep_up(&mut self, sipp: &Sipp<'_>) -> Result<()> {
        while self.log.read_line(&mut self.partial)? > 0 && self.partial.ends_with('\n') {
            let line = std::mem::take(&mut self.partial);
            match said(line.trim())? {
                Said::Start(number, remote) => {
                    ensure!(!self.talking.contains_key(&number), "call {number} was answered twice");
                    let begin = number * APART;
                    let line = Line::talk(sipp.media_of(number), remote, Arc::clone(&self.codes), begin, self.press)?;
                    self.talking.insert(number, line);
                }
                Said::Stop(number) | Said::Bye(number) => {
                    if let Some(line) = self.talking.remove(&number) {
                        self.ended.insert(number, line.hang_up()?);
                    }
                }
            }
        }
        Ok(())
    }

    /// Calls that talk now.
    pub fn talking(&self) -> usize {
        self.talking.len()
    }

    /// Ends the lines that are left.
    pub fn hang_up(&mut self) -> Result<()> {
        while let Some((number, line)) = self.talking.pop_first() {
            self.ended.insert(number, line.hang_up()?);
        }
        Ok(())
    }
}

/// Whether a port is listened on, without touching it (proc(5), /proc/net/udp and its siblings).
fn is_bound(over: Over, address: SocketAddr) -> Result<bool> {
    use std::fmt::Write;
    let mut wanted = " ".to_owned();
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    for word in octets.chunks_exact(4) {
        let _ = write!(wanted, "{:08X}", u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    }
    let _ = write!(wanted, ":{:04X} ", address.port());
    let (family, listening) = (if address.is_ipv4() { "" } else { "6" }, if over == Over::Tcp { " 0A " } else { "" });
    let table = std::fs::read_to_string(format!("/proc/net/{}{family}", over.name()))?;
    Ok(table.lines().any(|line| line.contains(&wanted) && line.contains(listening)))
}

/// A loopback address: 127.0.0.`last`:`port`.
pub fn loopback(last: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([127, 0, 0, last]), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retransmissions_are_read_from_the_last_line_of_the_statistics() {
        let csv = "StartTime;Retransmissions(P);Retransmissions(C);Warnings(C)\nx;1;2;0\nx;1;3;0\n\n";
        assert_eq!((repeated(csv), repeated("a;b\n1;2\n"), repeated("")), (Some(3), None, None));
    }
}
