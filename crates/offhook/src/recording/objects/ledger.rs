//! Which recordings were brought somewhere: one line each, written once they are there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use offhook_units::{RecordingId, Tick};
use serde::{Deserialize, Serialize};

/// The ledger of what the object store has, by its name in the recordings folder.
pub const STORED: &str = "stored.jsonl";

/// The ledger of what there are copies of.
pub const COPIED: &str = "copied.jsonl";

/// One that was brought there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Which.
    pub id: RecordingId,
    /// When.
    pub at: Tick,
    /// How long it is there.
    pub bytes: u64,
    /// SHA-256 of it there; in the store that of the manifest.
    pub sha256: String,
}

/// The file, and what it says.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    stored: BTreeMap<RecordingId, Stored>,
}

/// What the ledger `name` of `folder` says; lines that a crash cut are passed over.
///
/// # Errors
/// It cannot be read.
pub fn read(folder: &Path, name: &str) -> io::Result<BTreeMap<RecordingId, Stored>> {
    let text = match std::fs::read(folder.join(name)) {
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
    pub fn open(folder: &Path, name: &str) -> io::Result<Self> {
        let stored = read(folder, name)?;
        let mut file = File::options().append(true).create(true).open(folder.join(name))?;
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
