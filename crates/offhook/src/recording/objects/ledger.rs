//! Which recordings were stored: one line each, written once the store's bytes were held against the manifest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use offhook_units::{RecordingId, Tick};
use serde::{Deserialize, Serialize};

/// Its name in the recordings folder.
const LEDGER: &str = "stored.jsonl";

/// One that was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Which.
    pub id: RecordingId,
    /// When.
    pub at: Tick,
    /// How long its object is.
    pub bytes: u64,
    /// SHA-256 of it, as in the manifest.
    pub sha256: String,
}

/// The file, and what it says.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    stored: BTreeMap<RecordingId, Stored>,
}

/// What the ledger of `folder` says; lines that a crash cut are passed over.
///
/// # Errors
/// It cannot be read.
pub fn read(folder: &Path) -> io::Result<BTreeMap<RecordingId, Stored>> {
    let text = match std::fs::read(folder.join(LEDGER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text?,
    };
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Stored>(line).ok());
    Ok(lines.map(|stored| (stored.id, stored)).collect())
}

impl Ledger {
    /// Opens it, and makes it where it is missing.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let stored = read(folder)?;
        let mut file = File::options().append(true).create(true).open(folder.join(LEDGER))?;
        // Ends a line that a crash cut.
        file.write_all(b"\n")?;
        Ok(Self { file, stored })
    }

    /// What it says of one.
    pub fn get(&self, id: RecordingId) -> Option<&Stored> {
        self.stored.get(&id)
    }

    /// Writes one down, durably.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn add(&mut self, stored: Stored) -> io::Result<()> {
        let mut line = serde_json::to_vec(&stored)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.stored.insert(stored.id, stored);
        Ok(())
    }
}
