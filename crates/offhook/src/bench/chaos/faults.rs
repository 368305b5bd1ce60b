//! What goes wrong in a run, and how it is made to.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use offhook_loadgen::faults::{Side, Wire};
use offhook_store::{Archive, Stall};

use super::house::House;

/// How far a clock is set ahead, in seconds.
const AHEAD_S: u32 = 3_600;
/// The library that lets a process see another time than the machine's (Debian: libfaketime), where distributions have it.
const FAKETIME: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];
/// Datagrams that are lost, of a thousand.
const LOST_PER_MILLE: u32 = 50;
/// Room of the disk that becomes full, in MiB.
const DISK_MIB: u32 = 256;
/// What is written at once to fill it.
const FILL_BYTES: usize = 1 << 20;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Fault {
    /// Of all datagrams, SIP and speech, 5 % are lost each way.
    Loss,
    /// The trunk neither sends nor hears anything for 30 s.
    Trunk,
    /// No agent's phone does for 20 s.
    Phones,
    /// The database lets nobody write for 10 s.
    Store,
    /// The machine's clock is an hour ahead for 10 s, as the exchange sees it.
    Clock,
    /// The disk is full for 10 s.
    Disk,
    /// The exchange is killed with SIGKILL in the middle of everything, and started again.
    Kill,
}

impl Fault {
    /// All.
    pub const ALL: [Self; 7] =
        [Self::Loss, Self::Trunk, Self::Phones, Self::Store, Self::Clock, Self::Disk, Self::Kill];

    /// How long it lasts where the run is long enough.
    pub const fn lasts(self) -> Duration {
        Duration::from_secs(match self {
            Self::Trunk => 30,
            Self::Phones => 20,
            Self::Loss | Self::Store | Self::Clock | Self::Disk => 10,
            Self::Kill => 0,
        })
    }

    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Loss => "5 % of all datagrams lost",
            Self::Trunk => "the trunk gone",
            Self::Phones => "all agents' phones gone",
            Self::Store => "the database stalled",
            Self::Clock => "the clock an hour ahead",
            Self::Disk => "the disk full",
            Self::Kill => "the exchange killed and started again",
        }
    }
}

/// A fault that is in force; it ends when it is dropped.
#[derive(Debug)]
pub enum InForce<'a> {
    Lossy(&'a Wire),
    Cut(&'a Wire, Side),
    Stalled { _stall: Stall },
    Full(PathBuf),
    Ahead(Watch),
    Over,
}

impl Drop for InForce<'_> {
    fn drop(&mut self) {
        match self {
            Self::Lossy(wire) => wire.lose(0),
            Self::Cut(wire, side) => wire.cut(*side, false),
            // Where it cannot be taken away the whole disk goes, soon.
            Self::Full(filler) => drop(std::fs::remove_file(filler)),
            // Where it cannot be set it stays ahead, which is not worse.
            Self::Ahead(watch) => drop(watch.set(0)),
            Self::Stalled { .. } | Self::Over => {}
        }
    }
}

/// Begins a fault.
pub fn begin<'a>(fault: Fault, wire: &'a Wire, house: &mut House) -> Result<InForce<'a>> {
    Ok(match fault {
        Fault::Loss => {
            wire.lose(LOST_PER_MILLE);
            InForce::Lossy(wire)
        }
        Fault::Trunk => cut(wire, Side::Callers),
        Fault::Phones => cut(wire, Side::Agents),
        Fault::Store => InForce::Stalled { _stall: Archive::open(&house.data())?.stall()? },
        Fault::Clock => {
            let watch = house.watch().context("the exchange looks at the machine's clock")?.clone();
            watch.set(AHEAD_S)?;
            InForce::Ahead(watch)
        }
        Fault::Disk => fill(&house.data().join("filler"))?,
        Fault::Kill => {
            house.kill()?;
            house.open()?;
            InForce::Over
        }
    })
}

fn cut(wire: &Wire, side: Side) -> InForce<'_> {
    wire.cut(side, true);
    InForce::Cut(wire, side)
}

/// Writes until nothing more fits.
fn fill(path: &Path) -> Result<InForce<'static>> {
    let mut file = File::create(path).context("filling the disk")?;
    let bytes = vec![0; FILL_BYTES];
    let full = loop {
        if let Err(error) = file.write_all(&bytes) {
            break error;
        }
    };
    ensure!(full.kind() == std::io::ErrorKind::StorageFull, "filling the disk: {full}");
    // What is left of the last page.
    while file.write_all(&[0]).is_ok() {}
    Ok(InForce::Full(path.to_path_buf()))
}

/// A clock for the exchange alone, set by way of a file.
#[derive(Debug, Clone)]
pub struct Watch {
    library: &'static str,
    file: PathBuf,
}

impl Watch {
    /// One that goes right.
    ///
    /// # Errors
    /// Where its library is not installed.
    pub fn new(file: PathBuf) -> Result<Self> {
        let library = FAKETIME.into_iter().find(|library| Path::new(library).exists());
        let watch = Self { library: library.context("it needs libfaketime: apt install libfaketime")?, file };
        watch.set(0)?;
        Ok(watch)
    }

    /// Sets it so many seconds ahead.
    fn set(&self, ahead_s: u32) -> Result<()> {
        // In place of the old one at once: it is read at any time.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("+{ahead_s}\n")).and_then(|()| std::fs::rename(&new, &self.file))?;
        Ok(())
    }

    /// What the environment of a process says that is to see it. The monotonic clock goes on as it is.
    pub fn variables(&self) -> [(&'static str, OsString); 5] {
        [
            ("LD_PRELOAD", self.library.into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone().into()),
            ("FAKETIME_CACHE_DURATION", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ]
    }
}

/// A small disk for the exchange's memory, taken away when it is dropped.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts one at `folder`, which is made.
    ///
    /// # Errors
    /// Where this user may not.
    pub fn mount(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let size = format!("size={DISK_MIB}m,mode=0700");
        let made = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "offhook-chaos"]).arg(folder).output();
        let made = made.context("mount")?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr).trim());
        Ok(Self(folder.to_path_buf()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A lazy one: whatever still reads there keeps it until it has ended.
        let _unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
