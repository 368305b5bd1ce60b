//! Where recordings lie, and which of them were left open.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use offhook_units::{RecordingId, Tick};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::finish::hex;
use crate::manifest::{CHAIN_START, Manifest};

/// The manifest's name in the recordings' folder.
pub const MANIFEST: &str = "manifest.jsonl";

/// How the files of recordings end.
pub const EXTENSIONS: [&str; 2] = ["wav", SEALED];

/// How a sealed file ends.
pub const SEALED: &str = "sealed";

/// Where a recording lies, relative to the recordings' folder: `YYYY/MM/DD/<id>.wav`, by the UTC day it started on.
pub fn recording_path(id: RecordingId, started: Tick) -> PathBuf {
    let (year, month, day) = civil(started.as_us() / 86_400_000_000);
    format!("{year:04}/{month:02}/{day:02}/{id}.wav").into()
}

/// Gregorian year, month and day of a day counted from 1970-01-01.
const fn civil(day: u64) -> (u64, u64, u64) {
    // Years begin in March here, so that the leap day is a year's last; 146,097 days are 400 years.
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + (month <= 2) as u64, month, date)
}

/// The manifest, to which lines are appended.
pub struct ManifestFile {
    file: File,
    /// Its whole lines end here.
    length: u64,
    /// SHA-256 of its last line.
    last: String,
}

impl ManifestFile {
    /// Opens the manifest of `dir`, ends a line that a crash cut, and gives the ids it knows.
    pub fn open(dir: &Path) -> io::Result<(Self, BTreeSet<RecordingId>)> {
        #[derive(Deserialize)]
        struct Line {
            id: RecordingId,
        }
        let mut file = File::options().read(true).append(true).create(true).open(dir.join(MANIFEST))?;
        let (mut known, mut last) = (BTreeSet::new(), CHAIN_START.to_owned());
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            last = hex(&Sha256::digest(text));
            if let Ok(Line { id }) = serde_json::from_slice(text) {
                known.insert(id);
            }
            line.clear();
        }
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut end = [0];
            file.read_exact(&mut end)?;
            if end != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        let length = file.metadata()?.len();
        Ok((Self { file, length, last }, known))
    }

    /// Chains `manifest` to the line before and appends it, durably; gives it as it stands there. A line that the disk took
    /// in part is taken back.
    pub fn append(&mut self, mut manifest: Manifest) -> io::Result<Manifest> {
        manifest.prev = Some(self.last.clone());
        let mut line = manifest.line();
        let sha256 = hex(&Sha256::digest(&line));
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line).and_then(|()| self.file.sync_data()) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += line.len() as u64;
        self.last = sha256;
        Ok(manifest)
    }
}

/// A recording's file, or its journal.
pub struct Found {
    pub id: RecordingId,
    /// Relative to the recordings' folder.
    pub path: PathBuf,
    pub extension: String,
}

/// Every recording's file and journal under `dir`.
pub fn scan(dir: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(dir.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                if depth < 3 {
                    folders.push((path, depth + 1));
                }
                continue;
            }
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_owned();
            let id =
                path.file_stem().and_then(|s| s.to_str()).filter(|s| s.starts_with("r-")).and_then(|s| s.parse().ok());
            if let Some(id) = id.filter(|_| extension == "journal" || EXTENSIONS.contains(&&*extension)) {
                found.push(Found { id, path, extension });
            }
        }
    }
    Ok(found)
}

/// Recordings (or their journals alone) that are not in `known`, as relative paths of the file in order of day; journals
/// of known ones are removed on the way.
pub fn unfinished(dir: &Path, known: &BTreeSet<RecordingId>) -> io::Result<Vec<(RecordingId, PathBuf)>> {
    let mut open = BTreeSet::new();
    for Found { id, path, extension } in scan(dir)? {
        if !known.contains(&id) {
            let sealed = path.with_extension(SEALED);
            let is_sealed = extension == SEALED || dir.join(&sealed).exists();
            open.insert((if is_sealed { sealed } else { path.with_extension("wav") }, id));
        } else if extension == "journal" {
            std::fs::remove_file(dir.join(&path))?;
        }
    }
    Ok(open.into_iter().map(|(path, id)| (id, path)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_lie_under_the_utc_day_they_started_on() {
        let check = |seconds: u64, expected: &str| {
            let path = recording_path(RecordingId(0x2a), Tick::from_us(seconds * 1_000_000));
            assert_eq!(path.to_str(), Some(expected));
        };
        check(0, "1970/01/01/r-2a.wav");
        check(951_782_399, "2000/02/28/r-2a.wav");
        check(951_782_400, "2000/02/29/r-2a.wav");
        check(1_709_251_199, "2024/02/29/r-2a.wav");
        check(1_735_689_599, "2024/12/31/r-2a.wav");
        check(4_107_542_400, "2100/03/01/r-2a.wav");
    }
}
