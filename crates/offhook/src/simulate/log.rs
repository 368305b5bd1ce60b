//! Event logs of simulated days: a line that says what this is and the seed, then each event's length (4 bytes, little-endian) and the event in
//! postcard.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use offhook_acd::Event;
use offhook_units::Tick;

/// The first line of a log begins with this word and its version.
pub const LOG_WORD: &str = "offhook-acd-log 1";
/// Longest event in a log.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Events as they happen.
pub struct LogWriter {
    file: BufWriter<File>,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl LogWriter {
    /// A new log in place of what is there.
    pub fn create(path: &Path, seed: u64) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
        let mut log = Self { file: BufWriter::with_capacity(1 << 18, file), path: path.to_owned(), bytes: Vec::new() };
        writeln!(log.file, "{LOG_WORD} seed {seed}").with_context(|| log.failed())?;
        Ok(log)
    }

    fn failed(&self) -> String {
        format!("{} cannot be written", self.path.display())
    }

    /// The next event.
    pub fn append(&mut self, at: Tick, event: &Event) -> anyhow::Result<()> {
        self.bytes.clear();
        self.bytes = postcard::to_extend(&(at, event), core::mem::take(&mut self.bytes)).context("an event")?;
        let length = u32::try_from(self.bytes.len()).context("an event is too long")?;
        let written = self.file.write_all(&length.to_le_bytes()).and_then(|()| self.file.write_all(&self.bytes));
        written.with_context(|| self.failed())
    }

    /// Everything is written.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.file.flush().with_context(|| format!("{} cannot be written", self.path.display()))
    }
}

/// A log, event by event.
pub struct LogReader {
    file: BufReader<File>,
    path: PathBuf,
    /// The seed that it was written with.
    pub seed: u64,
    length: u64,
    read: u64,
    bytes: Vec<u8>,
}

impl LogReader {
    /// Opens it and reads its first line.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let mut file = BufReader::with_capacity(1 << 18, file);
        let mut line = String::new();
        file.by_ref().take(200).read_line(&mut line).with_context(|| format!("{} is no log", path.display()))?;
        let seed = line.trim_end().strip_prefix(LOG_WORD).and_then(|rest| rest.strip_prefix(" seed "));
        let seed = seed.and_then(|seed| seed.parse().ok());
        let seed = seed.with_context(|| format!("{} does not begin with \"{LOG_WORD} seed\"", path.display()))?;
        Ok(Self { file, path: path.to_owned(), seed, length, read: line.len() as u64, bytes: Vec::new() })
    }

    /// The next event; none at the end.
    pub fn next(&mut self) -> anyhow::Result<Option<(Tick, Event)>> {
        let mut length = [0; 4];
        match self.file.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => bail!("{} cannot be read: {error}", self.path.display()),
        }
        let length = u32::from_le_bytes(length) as usize;
        ensure!(length <= EVENT_BYTES_MAX, "{}: an event of {length} bytes at byte {}", self.path.display(), self.read);
        self.bytes.resize(length, 0);
        let place = || format!("{}: no whole event at byte {}", self.path.display(), self.read);
        self.file.read_exact(&mut self.bytes).with_context(place)?;
        let event = postcard::from_bytes(&self.bytes).with_context(place)?;
        self.read += length as u64 + 4;
        Ok(Some(event))
    }

    /// How much of it is read, in parts of 1,000.
    pub fn per_mille(&self) -> u64 {
        self.read.saturating_mul(1_000).checked_div(self.length).unwrap_or(1_000)
    }
}
