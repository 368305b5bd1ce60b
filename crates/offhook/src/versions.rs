//! Configurations that were in force, kept in the data folder: numbered, with when and by whom; and what became of the last attempt to take one in.
//!
//! `DATA/config/` holds `N.toml` and `N.json` of each version, `last.json`, and `running.json`, which the exchange keeps locked while it runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use offhook_units::Tick;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// Versions that are kept; with one more the oldest goes.
pub const VERSIONS_MAX: usize = 200;

/// One configuration that was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// From 1.
    #[serde(rename = "version")]
    pub number: u64,
    /// Since when, RFC 3339.
    pub at: String,
    /// Who brought it in: a user, a token, or the file's own writer.
    pub who: String,
    /// Lines that the version before had not.
    pub added: usize,
    /// Lines of the version before that are gone.
    pub removed: usize,
    /// SHA-256 of the text, in hexadecimal digits.
    pub sha256: String,
}

/// What is wrong with a configuration, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Which file.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// `error` or `warning`.
    pub severity: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub advice: String,
}

/// What became of an attempt to take a configuration in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The how manieth since the data folder was made.
    #[serde(rename = "attempt")]
    pub number: u64,
    /// When, RFC 3339.
    pub at: String,
    /// It is in force.
    pub taken: bool,
    /// The version that is in force now.
    pub version: u64,
    /// What is wrong; warnings where it was taken.
    pub faults: Vec<Told>,
    /// What the file says and is in force after a restart.
    pub waits: Vec<String>,
}

/// The exchange that runs on a data folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    /// Its process.
    pub pid: i32,
    /// The configuration that it reads.
    pub file: PathBuf,
}

/// Held for as long as the exchange runs.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "its lock ends with it")] File);

/// All versions of a data folder.
#[derive(Debug, Clone)]
pub struct Versions {
    folder: PathBuf,
}

impl Versions {
    /// Of this data folder; nothing is made yet.
    pub fn of(data: &Path) -> Self {
        Self { folder: data.join("config") }
    }

    /// Those that are kept, the newest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<Version>> {
        let mut versions: Vec<Version> = Vec::new();
        for number in self.numbers()?.into_iter().rev() {
            // One whose line was not written to its end has no text that could be relied on either.
            versions.extend(read(&self.folder.join(format!("{number}.json")))?);
        }
        Ok(versions)
    }

    /// The one in force, or that was in force last.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn newest(&self) -> io::Result<Option<Version>> {
        for number in self.numbers()?.into_iter().rev() {
            if let Some(version) = read(&self.folder.join(format!("{number}.json")))? {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    /// The text of a version.
    ///
    /// # Errors
    /// There is none of that number.
    pub fn text(&self, version: u64) -> io::Result<String> {
        fs::read_to_string(self.folder.join(format!("{version}.toml")))
    }

    /// Keeps a text that is in force from now on; where it is the newest one already, that stays.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, text: &str, who: &str, at: Tick) -> io::Result<Version> {
        let sha256 = sha256(text);
        let newest = self.newest()?;
        if let Some(newest) = newest.as_ref().filter(|newest| newest.sha256 == sha256) {
            return Ok(newest.clone());
        }
        self.make()?;
        let before = newest.as_ref().map(|newest| self.text(newest.number)).transpose()?.unwrap_or_default();
        let (added, removed) = changed(&before, text);
        let number = newest.map_or(1, |newest| newest.number + 1);
        let version = Version { number, at: offhook_server::rfc3339(at), who: who.to_owned(), added, removed, sha256 };
        write(&self.folder.join(format!("{number}.toml")), text.as_bytes())?;
        write(&self.folder.join(format!("{number}.json")), &json(&version))?;
        let numbers = self.numbers()?;
        for old in numbers.iter().rev().skip(VERSIONS_MAX) {
            fs::remove_file(self.folder.join(format!("{old}.json")))?;
            fs::remove_file(self.folder.join(format!("{old}.toml")))?;
        }
        Ok(version)
    }

    /// What became of the last attempt.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn last(&self) -> io::Result<Option<Attempt>> {
        read(&self.folder.join("last.json"))
    }

    /// Notes what became of an attempt, which is numbered here.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note(&self, mut attempt: Attempt) -> io::Result<Attempt> {
        self.make()?;
        attempt.number = self.last()?.map_or(0, |last| last.number) + 1;
        write(&self.folder.join("last.json"), &json(&attempt))?;
        Ok(attempt)
    }

    /// Says that this process runs on the data folder, for as long as the answer lives.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn run(&self, file: &Path) -> io::Result<Lock> {
        self.make()?;
        let running = Running { pid: std::process::id() as i32, file: std::path::absolute(file)? };
        let path = self.folder.join("running.json");
        let mut written = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        flock(&written, FlockOperation::NonBlockingLockExclusive)?;
        written.set_len(0)?;
        written.write_all(&json(&running))?;
        written.sync_all()?;
        Ok(Lock(written))
    }

    /// The exchange that runs on the data folder now.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn running(&self) -> io::Result<Option<Running>> {
        let path = self.folder.join("running.json");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // Whoever gets the lock has found nobody at home.
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(_) => read(&path),
        }
    }

    fn make(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)
    }

    fn numbers(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".json")?.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// SHA-256 of a text, in hexadecimal digits.
pub fn sha256(text: &str) -> String {
    let hash = offhook_server::token_hash(text);
    let (high, low) = hash.split_at(16);
    let half = |bytes: &[u8]| u128::from_be_bytes(core::array::from_fn(|at| bytes[at]));
    format!("{:032x}{:032x}", half(high), half(low))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data")
}

/// None where there is nothing, or it was not written to its end.
fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// All of it or nothing; nobody else may read it, for configurations hold passwords. A file that is there keeps its rights and its owner, and stays
/// where a link to it leads.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let real = fs::canonicalize(path);
    let path = real.as_deref().unwrap_or(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    if let Ok(there) = fs::metadata(path) {
        file.as_file().set_permissions(there.permissions())?;
        // Only root gives files away; whoever else wrote it owned it, or shares it by its group.
        let _kept = fchown(file.as_file(), Some(there.uid()), Some(there.gid()));
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// A line of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'t> {
    /// In both.
    Same(&'t str),
    /// Only in the newer one.
    Added(&'t str),
    /// Only in the older one.
    Removed(&'t str),
}

/// Which lines stand near a change, with so many around each.
pub fn near(lines: &[Line<'_>], around: usize) -> Vec<bool> {
    let is_change = |line: &Line<'_>| !matches!(line, Line::Same(_));
    let changes: Vec<usize> = (0..lines.len()).filter(|at| is_change(&lines[*at])).collect();
    let is_near = |at: usize| {
        let next = changes.partition_point(|change| *change + around < at);
        changes.get(next).is_some_and(|change| *change <= at + around)
    };
    (0..lines.len()).map(is_near).collect()
}

/// Rows of the table that the longest common lines are found with; beyond them what differs is told as a whole.
const TABLE_MAX: usize = 16_000_000;

/// How one text becomes another, line by line.
pub fn diff<'t>(old: &'t str, new: &'t str) -> Vec<Line<'t>> {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old_rest[..old_rest.len() - tail], &new_rest[..new_rest.len() - tail]);
    let mut lines: Vec<_> = old[..head].iter().map(|line| Line::Same(line)).collect();
    if a.len().saturating_mul(b.len()) > TABLE_MAX {
        lines.extend(a.iter().map(|line| Line::Removed(line)));
        lines.extend(b.iter().map(|line| Line::Added(line)));
    } else {
        lines.extend(middle(a, b));
    }
    lines.extend(old_rest[old_rest.len() - tail..].iter().map(|line| Line::Same(line)));
    lines
}

/// By the longest row of common lines.
fn middle<'t>(a: &[&'t str], b: &[&'t str]) -> Vec<Line<'t>> {
    let width = b.len() + 1;
    let mut longest = vec![0_u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i * width + j] = if a[i] == b[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push(Line::Same(a[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < a.len() && (j == b.len() || longest[(i + 1) * width + j] >= longest[i * width + j + 1]) {
            lines.push(Line::Removed(a[i]));
            i += 1;
        } else {
            lines.push(Line::Added(b[j]));
            j += 1;
        }
    }
    lines
}

/// Lines added, and lines removed.
fn changed(old: &str, new: &str) -> (usize, usize) {
    let lines = diff(old, new);
    let added = lines.iter().filter(|line| matches!(line, Line::Added(_))).count();
    (added, lines.iter().filter(|line| matches!(line, Line::Removed(_))).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick::from_us(1_800_000_000_000_000);

    #[test]
    fn each_text_is_a_version_once_and_the_oldest_goes_at_the_limit() {
        let data = tempfile::tempdir().expect("a folder");
        let versions = Versions::of(data.path());
        assert_eq!(versions.newest().expect("readable"), None);
        let first = versions.keep("a = 1\nb = 2\n", "ann", NOW).expect("kept");
        assert_eq!((first.number, first.added, first.removed), (1, 2, 0));
        assert_eq!(versions.keep("a = 1\nb = 2\n", "bob", NOW).expect("kept"), first, "nothing is new");
        let second = versions.keep("a = 1\nb = 3\nc = 4\n", "bob", NOW).expect("kept");
        assert_eq!((second.number, second.added, second.removed, &*second.who), (2, 2, 1, "bob"));
        assert_eq!(versions.list().expect("readable"), [second, first]);
        assert_eq!(versions.text(1).expect("its text"), "a = 1\nb = 2\n");
        for n in 0..VERSIONS_MAX {
            versions.keep(&format!("n = {n}\n"), "ann", NOW).expect("kept");
        }
        let list = versions.list().expect("readable");
        assert_eq!((list.len(), list[0].number), (VERSIONS_MAX, VERSIONS_MAX as u64 + 2));
        assert!(versions.text(2).is_err() && versions.text(3).is_ok());
    }

    #[test]
    fn attempts_are_counted_and_who_runs_is_known_while_it_runs() {
        let data = tempfile::tempdir().expect("a folder");
        let versions = Versions::of(data.path());
        let attempt = Attempt {
            number: 0,
            at: String::new(),
            taken: true,
            version: 1,
            faults: Vec::new(),
            waits: vec!["[http]".to_owned()],
        };
        assert_eq!(versions.note(attempt.clone()).expect("noted").number, 1);
        assert_eq!(versions.note(attempt).expect("noted").number, 2);
        assert_eq!(versions.last().expect("readable").expect("an attempt").waits, ["[http]"]);
        assert!(versions.running().expect("readable").is_none());
        let lock = versions.run(Path::new("offhook.toml")).expect("nobody else");
        assert_eq!(versions.running().expect("readable").expect("we").pid, std::process::id() as i32);
        drop(lock);
        assert!(versions.running().expect("readable").is_none(), "the file is there, and nobody holds it");
    }

    #[test]
    fn a_file_that_is_written_keeps_its_rights_and_its_link() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("real.toml"), folder.path().join("offhook.toml"));
        fs::write(&file, "a = 1\n").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("set");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        write(&link, b"a = 2\n").expect("written");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read_to_string(&file).expect("read"), "a = 2\n");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o640);
        let new = folder.path().join("new.toml");
        write(&new, b"b").expect("written");
        assert_eq!(fs::metadata(&new).expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_difference_turns_the_one_text_into_the_other() {
        let texts = ["", "a\n", "a\nb\nc\n", "b\nc\na\n", "a\nx\nc\nd\n", "x\ny\nz\n", "a\nb\nb\nc\n"];
        for old in texts {
            for new in texts {
                let lines = diff(old, new);
                let side = |other: fn(&Line<'_>) -> bool| -> Vec<String> {
                    let kept = lines.iter().filter(|line| !other(line));
                    kept.map(|(Line::Same(text) | Line::Added(text) | Line::Removed(text))| (*text).to_owned())
                        .collect()
                };
                assert_eq!(side(|line| matches!(line, Line::Added(_))), old.lines().collect::<Vec<_>>());
                assert_eq!(side(|line| matches!(line, Line::Removed(_))), new.lines().collect::<Vec<_>>());
            }
        }
        let lines = diff("a\nb\nc\n", "a\nx\nc\n");
        assert_eq!(lines, [Line::Same("a"), Line::Removed("b"), Line::Added("x"), Line::Same("c")]);
    }
}
