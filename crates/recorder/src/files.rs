//! Where recordings lie, and which of them were left open.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use offhook_units::{RecordingId, Tick};
use serde::Deserialize;

/// The manifest's name in the recordings' folder.
pub const MANIFEST: &str = "manifest.jsonl";

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

/// Opens the manifest for appending, ends a line that a crash cut, and gives the ids it knows.
pub fn open_manifest(dir: &Path) -> io::Result<(File, BTreeSet<RecordingId>)> {
    #[derive(Deserialize)]
    struct Line {
        id: RecordingId,
    }
    let mut file = File::options().read(true).append(true).create(true).open(dir.join(MANIFEST))?;
    let mut known = BTreeSet::new();
    let mut reader = BufReader::new(&file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Ok(Line { id }) = serde_json::from_slice(&line) {
            known.insert(id);
        }
        line.clear();
    }
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok((file, known))
}

/// Recordings (or their journals alone) that are not in `known`, as relative paths of the `.wav` in order of day; journals
/// of known ones are removed on the way.
pub fn unfinished(dir: &Path, known: &BTreeSet<RecordingId>) -> io::Result<Vec<(RecordingId, PathBuf)>> {
    let mut found = BTreeSet::new();
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
            let extension = path.extension().and_then(|e| e.to_str());
            let id =
                path.file_stem().and_then(|s| s.to_str()).filter(|s| s.starts_with("r-")).and_then(|s| s.parse().ok());
            let (Some(id), Some(extension @ ("wav" | "journal"))) = (id, extension) else { continue };
            if !known.contains(&id) {
                found.insert((path.with_extension("wav"), id));
            } else if extension == "journal" {
                std::fs::remove_file(dir.join(&path))?;
            }
        }
    }
    Ok(found.into_iter().map(|(path, id)| (id, path)).collect())
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
