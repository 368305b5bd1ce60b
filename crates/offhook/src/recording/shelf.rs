//! Where recordings lie: in their folder, and in an object store where there is one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use offhook_recorder::{KeyRing, OpenError, Playback};
use offhook_units::RecordingId;

use super::objects::{self, Objects};

/// A recording lies in the store alone, and the store does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the object store cannot be asked: {0}")]
pub struct StoreAway(#[source] std::io::Error);

/// The recordings folder, and the store behind it.
#[derive(Debug, Clone)]
pub struct Shelf {
    /// The recordings folder.
    pub folder: PathBuf,
    /// The store of `[recording.store]`.
    pub objects: Option<Arc<Objects>>,
}

impl Shelf {
    /// A folder without a store.
    pub const fn local(folder: PathBuf) -> Self {
        Self { folder, objects: None }
    }

    /// Opens a recording where it lies, the folder first.
    ///
    /// # Errors
    /// It lies nowhere, cannot be reached, or does not open.
    pub fn open(&self, id: RecordingId, path: &Path, keys: Option<&KeyRing>) -> Result<Playback> {
        let shown = || path.display().to_string();
        let Some(objects) = &self.objects else {
            return Playback::open(&self.folder, id, path, keys).with_context(shown);
        };
        match Playback::open(&self.folder, id, path, keys) {
            Err(OpenError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            opened => return opened.with_context(shown),
        }
        let object = match objects.read(&path.to_string_lossy()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(StoreAway(error).into()),
            object => object.with_context(|| format!("{} in the store", shown()))?,
        };
        Playback::open_bytes(&self.folder, id, path, Box::new(object), keys).with_context(shown)
    }

    /// Takes a recording's file away, wherever it lies; one that is not there is gone already.
    ///
    /// # Errors
    /// The disk or the store refuses, or it is in a store that was not named.
    pub fn remove(&self, id: RecordingId, path: &Path) -> Result<()> {
        match std::fs::remove_file(self.folder.join(path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context(path.display().to_string());
            }
            _ => {}
        }
        match &self.objects {
            Some(objects) => {
                objects.delete(&path.to_string_lossy()).with_context(|| format!("{} in the store", path.display()))
            }
            None if objects::ledger(&self.folder, objects::STORED)?.contains_key(&id) => {
                bail!("{id} is in the store as well; name the exchange's configuration with --config")
            }
            None => Ok(()),
        }
    }

    /// Whether its file is in the folder.
    pub fn has(&self, path: &Path) -> bool {
        self.folder.join(path).exists()
    }
}
