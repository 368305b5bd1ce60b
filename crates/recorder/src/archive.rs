//! Recordings as they lie in their folder: the manifest with its chain, the files, and whether they agree.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use offhook_plan::tap::Side;
use offhook_units::RecordingId;
use sha2::{Digest, Sha256};

use crate::body::{Body, CHUNK_BYTES, ReadAt, Reading, Sealer, damaged, sealed_frames};
use crate::files::{self, MANIFEST, SEALED};
use crate::finish::{hash_file, hex};
use crate::keys::{self, KeyError, KeyRing};
use crate::manifest::{CHAIN_START, Manifest};
use crate::wav::{FRAME_BYTES, HEADER_BYTES, WavError, WavHeader};

/// One line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which line, from 1.
    pub number: usize,
    /// What it says; `None` where it cannot be read, as one that a crash cut.
    pub manifest: Option<Manifest>,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Whether it names the line before it; lines of version 1 need not before the first one that does.
    pub chained: bool,
}

/// The manifest of `dir`, line by line; a missing file has none.
///
/// # Errors
/// The file cannot be read.
pub fn manifest_lines(dir: &Path) -> io::Result<Vec<Line>> {
    let file = match File::open(dir.join(MANIFEST)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let mut lines = Vec::new();
    let (mut before, mut begun) = (CHAIN_START.to_owned(), false);
    for (at, text) in BufReader::new(file).split(b'\n').enumerate() {
        let text = text?;
        let manifest: Option<Manifest> = serde_json::from_slice(&text).ok();
        let named = manifest.as_ref().and_then(|manifest| manifest.prev.as_ref());
        let chained = match (&manifest, named) {
            (None, _) => true,
            (Some(_), Some(named)) => *named == before,
            (Some(_), None) => !begun,
        };
        begun |= named.is_some();
        let sha256: [u8; 32] = Sha256::digest(&text).into();
        before = hex(&sha256);
        lines.push(Line { number: at + 1, manifest, sha256, chained });
    }
    Ok(lines)
}

/// Files of recordings in `dir`, relative to it, whether the manifest knows them or not.
///
/// # Errors
/// A folder cannot be read.
pub fn files_in(dir: &Path) -> io::Result<BTreeMap<RecordingId, PathBuf>> {
    Ok(files::scan(dir)?.into_iter().filter(|found| found.extension != "journal").map(|f| (f.id, f.path)).collect())
}

/// Where a recording's file and its manifest line do not agree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// There is no file.
    #[error("its file {0} is missing")]
    Missing(String),
    /// The disk refused to read it.
    #[error("its file cannot be read: {0}")]
    Unreadable(String),
    /// It lies elsewhere, where it cannot be asked for.
    #[error("its object in the store cannot be read: {0}")]
    Unreachable(String),
    /// Its length is not what the manifest says.
    #[error("its file lasts {found_ms} ms, its manifest line says {expected_ms} ms")]
    Length {
        /// By the file's size.
        found_ms: u64,
        /// By the manifest.
        expected_ms: u64,
    },
    /// Its bytes are not those that were closed.
    #[error("its file was changed: its SHA-256 is not that of the manifest line")]
    Changed,
    /// It is sealed and its key is gone.
    #[error("its key file is missing")]
    NoKey,
    /// It begins with the header of another recording, or none.
    #[error("its file does not begin with the header of this recording")]
    Header,
}

/// Holds the file of a recording against its manifest line. The header of a sealed one is left to its hash.
pub fn examine(dir: &Path, manifest: &Manifest) -> Option<FileFault> {
    let unreadable = |error: io::Error| FileFault::Unreadable(error.to_string());
    let path = Path::new(&manifest.path);
    let file = match File::open(dir.join(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some(FileFault::Missing(manifest.path.clone()));
        }
        Err(error) => return Some(unreadable(error)),
        Ok(file) => file,
    };
    let sealed = is_sealed(path);
    if sealed && !keys::exists(dir, path) {
        return Some(FileFault::NoKey);
    }
    let length = match file.metadata() {
        Err(error) => return Some(unreadable(error)),
        Ok(metadata) => metadata.len(),
    };
    if let Some(fault) = length_fault(manifest, length) {
        return Some(fault);
    }
    match hash_file(&file) {
        Err(error) => return Some(unreadable(error)),
        Ok(sha256) if sha256 != manifest.sha256 => return Some(FileFault::Changed),
        Ok(_) => {}
    }
    if sealed {
        return None;
    }
    let own = Body::Plain(file).read_header().is_ok_and(|header| header.is_ok_and(|header| header.id == manifest.id));
    (!own).then_some(FileFault::Header)
}

/// Whether so many bytes are what the manifest line says that the recording lasts.
pub fn length_fault(manifest: &Manifest, length: u64) -> Option<FileFault> {
    let frames = frames_in(Path::new(&manifest.path), length);
    let agrees = frames / 8 == manifest.duration_ms && length >= HEADER_BYTES as u64;
    (!agrees).then_some(FileFault::Length { found_ms: frames / 8, expected_ms: manifest.duration_ms })
}

/// How many frames, of 125 us each, lie in a recording at `path` that is so many bytes long.
pub fn frames_in(path: &Path, length: u64) -> u64 {
    let plain = length.saturating_sub(HEADER_BYTES as u64) / FRAME_BYTES;
    if is_sealed(path) { sealed_frames(length) } else { plain }
}

/// Whether the recording at `path` is sealed.
pub fn is_sealed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == SEALED)
}

/// Why a recording cannot be heard.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is sealed and no key file is given.
    #[error("it is sealed; give the key file")]
    NoKeys,
    /// Its key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The disk refused, or a seal does not open.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is not that of a recording.
    #[error(transparent)]
    Foreign(#[from] WavError),
    /// It is the file of another recording.
    #[error("it is the file of another recording, {0}")]
    Other(RecordingId),
}

/// A closed recording as the plain WAV file that it is or would be: a header, then frames. Reading may begin anywhere.
#[derive(Debug)]
pub struct Playback {
    bytes: Box<dyn ReadAt>,
    sealer: Option<Box<Sealer>>,
    head: [u8; HEADER_BYTES],
    header: WavHeader,
}

impl Playback {
    /// Opens the recording `id` at `path`, relative to `dir`.
    ///
    /// # Errors
    /// It is sealed and cannot be opened, or its file is not what it should be.
    pub fn open(dir: &Path, id: RecordingId, path: &Path, keys: Option<&KeyRing>) -> Result<Self, OpenError> {
        let file = File::open(dir.join(path))?;
        Self::open_bytes(dir, id, path, Box::new(file), keys)
    }

    /// The same of `bytes` that lie elsewhere, with its key in `dir` where it is sealed.
    ///
    /// # Errors
    /// As [`Playback::open`].
    pub fn open_bytes(
        dir: &Path,
        id: RecordingId,
        path: &Path,
        bytes: Box<dyn ReadAt>,
        keys: Option<&KeyRing>,
    ) -> Result<Self, OpenError> {
        let sealer = if is_sealed(path) {
            let key = keys::open(dir, keys.ok_or(OpenError::NoKeys)?, id, path)?;
            Some(Box::new(Sealer::reader(&key, id)))
        } else {
            None
        };
        let reading = Reading { bytes: &*bytes, sealer: sealer.as_deref() };
        let header = reading.read_header()??;
        if header.id != id {
            return Err(OpenError::Other(header.id));
        }
        let header = WavHeader { frames: reading.frames()?, ..header };
        Ok(Self { bytes, sealer, head: header.encode(), header })
    }

    /// What its header says.
    pub const fn header(&self) -> &WavHeader {
        &self.header
    }

    /// Length of the plain file in bytes.
    pub const fn length(&self) -> u64 {
        HEADER_BYTES as u64 + self.header.frames * FRAME_BYTES
    }

    /// Some bytes of the plain file from `at` on: at least one before its end, as many as come easily.
    ///
    /// # Errors
    /// The disk refused, or a seal does not open: the file was changed.
    pub fn read(&self, at: u64) -> io::Result<Vec<u8>> {
        if at < HEADER_BYTES as u64 {
            return Ok(self.head[at as usize..].to_vec());
        }
        if at >= self.length() {
            return Ok(Vec::new());
        }
        let (place, skip) =
            ((at - HEADER_BYTES as u64) / CHUNK_BYTES as u64, (at - HEADER_BYTES as u64) % CHUNK_BYTES as u64);
        let reading = Reading { bytes: &*self.bytes, sealer: self.sealer.as_deref() };
        let mut bytes = reading.read_chunk(place)?.ok_or_else(|| damaged(place))?;
        // A file that somebody cut ends before its header says.
        if bytes.len() as u64 <= skip {
            return Err(damaged(place));
        }
        bytes.drain(..skip as usize);
        Ok(bytes)
    }
}

/// What is wrong with the account a manifest line gives of its time line: each millisecond of each side is either covered or
/// in a gap, and gaps do not overlap. Milliseconds are rounded outwards at both ends of a gap.
pub fn coverage_fault(manifest: &Manifest) -> Option<String> {
    for (side, summary) in [(Side::Heard, &manifest.left), (Side::Sent, &manifest.right)] {
        let name = if side == Side::Heard { "left" } else { "right" };
        let gaps: Vec<_> = manifest.gaps.iter().filter(|gap| gap.side == side).collect();
        if gaps.windows(2).any(|pair| pair[1].from_ms + 2 < pair[0].to_ms) {
            return Some(format!("{name}: gaps overlap"));
        }
        let in_gaps: u64 = gaps.iter().map(|gap| gap.to_ms.saturating_sub(gap.from_ms)).sum();
        let accounted = summary.covered_ms + in_gaps;
        let most = manifest.duration_ms + 2 * gaps.len() as u64 + 1;
        let least = if manifest.gaps_unlisted == 0 { manifest.duration_ms.saturating_sub(1) } else { 0 };
        if accounted < least || accounted > most {
            let duration = manifest.duration_ms;
            return Some(format!("{name}: speech and gaps are {accounted} ms of a time line of {duration} ms"));
        }
    }
    None
}
