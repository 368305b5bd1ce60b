//! `[recording]`: where recordings lie, and the keys that seal them.

use std::path::PathBuf;

use offhook_recorder::{KeyFileError, KeyRing};

use super::Reader;
use super::read::Section;

/// `[recording]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The recordings folder; relative to the data folder, or absolute.
    pub folder: PathBuf,
    /// The file of master keys; without one recordings are not sealed.
    pub key_file: Option<PathBuf>,
}

impl Reader {
    /// `[recording]`.
    pub fn recording(&mut self, root: &mut Section<'_>) -> Recording {
        let mut recording = Recording { folder: PathBuf::from("recordings"), key_file: None };
        let Some(mut section) = root.table(&mut self.sink, "recording") else { return recording };
        if let Some(folder) = section.text(&mut self.sink, "folder", "\"recordings\"") {
            recording.folder = PathBuf::from(folder.value);
        }
        if let Some(file) = section.text(&mut self.sink, "key_file", "\"recording.key\"") {
            let path = self.path(&file.value);
            if let Err(error) = KeyRing::read(&path) {
                let advice = match error {
                    KeyFileError::Open => format!("chmod 600 {}", path.display()),
                    _ => format!("'offhook recording new-key {}' makes one", path.display()),
                };
                self.sink.fault(file.span, format!("{}: {error}", path.display()), advice);
            }
            recording.key_file = Some(path);
        }
        section.finish(&mut self.sink);
        recording
    }
}
