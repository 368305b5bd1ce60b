//! What is known of recordings' files: read from the manifest at start, kept up to date by the recorder's reports.
#![expect(clippy::disallowed_types, reason = "an edge shared by the control loop and HTTP")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use offhook_recorder::Manifest;
use offhook_server::RecordingEntry;
use offhook_units::{RecordingId, Span};

/// Recordings kept in memory; beyond it the oldest are left to the manifest file.
pub const KEPT_MAX: usize = 100_000;

/// A shared table of recordings; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Recordings(Arc<Mutex<BTreeMap<RecordingId, RecordingEntry>>>);

impl Recordings {
    /// What the manifest of `dir` tells; an unreadable line is passed over, a missing file is an empty one.
    pub fn load(dir: &Path) -> Self {
        let recordings = Self::default();
        let text = std::fs::read_to_string(dir.join("manifest.jsonl")).unwrap_or_default();
        for manifest in text.lines().filter_map(|line| serde_json::from_str::<Manifest>(line).ok()) {
            recordings.add(&manifest);
        }
        recordings
    }

    /// Adds one that was closed.
    pub fn add(&self, manifest: &Manifest) {
        let entry = RecordingEntry {
            path: manifest.path.clone(),
            sha256: Some(manifest.sha256.clone()),
            duration: Span::from_ms(manifest.duration_ms),
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(manifest.id, entry);
        if kept.len() > KEPT_MAX {
            kept.pop_first();
        }
    }

    /// One recording.
    pub fn get(&self, id: RecordingId) -> Option<RecordingEntry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}
