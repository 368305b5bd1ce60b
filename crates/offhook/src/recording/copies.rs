//! Copies of recordings for programs of others: a file that every program opens and, once that is whole, a JSON text that says what it
//! is. They lie under the recordings' folder by the same day and name, so that whoever erases a recording finds its copies without being told of
//! them, and with them what other programs laid beside them under its name.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use offhook_call::calendar::Zone;
use offhook_codec::opus::FRAME;
use offhook_recorder::{Encoder, Format, KeyRing, Manifest, hash_file};
use offhook_server::rfc3339;
use offhook_units::{RecordingId, SampleRate, Span, Tick};
use serde_json::{Value, json};

use super::export::{Conversion, Unmade, write};
use super::{Samples, Shelf, StoreAway};

/// The folder of copies in that of recordings.
const COPIES: &str = "copies";

/// What is written to and not whole.
const PART: &str = "part";

/// How much speech the price of a format is measured with.
const PRICE_OF: Span = Span::from_s(2);

/// `[recording.copies]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySettings {
    /// What the copies are.
    pub format: Format,
    /// The hours in which they are made; none at all times, as soon as a recording is closed.
    pub hours: Option<Hours>,
    /// How much of one core it may take, in hundredths.
    pub cpu_percent: u32,
}

/// Hours of each day; over midnight where the end is before the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// Since midnight.
    pub from: Span,
    /// Since midnight.
    pub until: Span,
    /// By the clocks of this place.
    pub zone: Zone,
}

impl Hours {
    /// Whether they are now.
    pub fn are(&self, now: Tick) -> bool {
        let local = (now.as_us() / 1_000_000) as i64 + i64::from(self.zone.ahead(now));
        let at = Span::from_s(local.rem_euclid(86_400) as u64);
        if self.from < self.until { self.from <= at && at < self.until } else { self.from <= at || at < self.until }
    }

    /// How long they last; a whole day where they end when they begin.
    pub fn last(&self) -> Span {
        let day = if self.from < self.until { 0 } else { 86_400 };
        Span::from_s(day + self.until.as_s() - self.from.as_s())
    }
}

/// Why there is no copy.
#[derive(Debug)]
pub enum NoCopy {
    /// The recording cannot be read: another try would end alike.
    Unreadable(anyhow::Error),
    /// The copy cannot be written now.
    Unwritten(anyhow::Error),
}

/// What was made.
#[derive(Debug)]
pub struct Copied {
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256 of them, in lower-case hexadecimal.
    pub sha256: String,
}

/// Where something of a recording lies in the folder of copies, relative to that of recordings.
pub fn copy_path(recording: &Path, end: &str) -> PathBuf {
    Path::new(COPIES).join(recording).with_extension(end)
}

/// Makes the copy of a recording, and then its text. `pace` is called with each piece and may wait, or end it by an error.
pub fn copy(
    shelf: &Shelf,
    manifest: &Manifest,
    keys: Option<&KeyRing>,
    format: Format,
    mut pace: impl FnMut() -> io::Result<()>,
) -> Result<Copied, NoCopy> {
    let path = Path::new(&manifest.path);
    let samples = Samples::open(shelf, manifest.id, path, keys).map_err(unread)?;
    let conversion = Conversion::new(samples, manifest.id, format).map_err(unread)?;
    let place = shelf.folder.join(copy_path(path, format.name()));
    let part = shelf.folder.join(copy_path(path, PART));
    let unwritten =
        |error: io::Error| NoCopy::Unwritten(anyhow::Error::new(error).context(place.display().to_string()));
    let mut file = create(&part).map_err(unwritten)?;
    write(conversion, &mut file, |_, _| pace()).map_err(|fault| match fault {
        Unmade::Read(error) => unread(error),
        Unmade::Write(error) => unwritten(error),
    })?;
    let told = || -> io::Result<Copied> {
        file.sync_all()?;
        let copied = Copied { bytes: file.metadata()?.len(), sha256: hash_file(&File::open(&part)?)? };
        std::fs::rename(&part, &place)?;
        let text = serde_json::to_vec_pretty(&description(manifest, format, &copied))?;
        io::Write::write_all(&mut create(&part)?, &text)?;
        std::fs::rename(&part, place.with_extension("json"))?;
        Ok(copied)
    };
    told().map_err(unwritten)
}

/// A store that is away may be there again later; a file that is damaged, or a disk that does not give it, stays as it is.
fn unread(error: anyhow::Error) -> NoCopy {
    let lasts = |error: &io::Error| {
        error.raw_os_error().is_some()
            || matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound
            )
    };
    let is_away = error.downcast_ref::<StoreAway>().is_some();
    let passes = error.downcast_ref::<io::Error>().is_some_and(|error| !lasts(error));
    if is_away || passes { NoCopy::Unwritten(error) } else { NoCopy::Unreadable(error) }
}

/// Makes a file that its owner alone may read, and the folders on the way to it.
fn create(file: &Path) -> io::Result<File> {
    if let Some(folder) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    File::options().write(true).create(true).truncate(true).mode(0o600).open(file)
}

/// What a program of others is told of a copy; fields may be added.
fn description(manifest: &Manifest, format: Format, copied: &Copied) -> Value {
    json!({
        "version": 1,
        "recording": manifest.id.to_string(),
        "call": manifest.call.map(|call| call.to_string()),
        "started": rfc3339(manifest.started),
        "duration_ms": manifest.duration_ms,
        "file": format!("{}.{}", manifest.id, format.name()),
        "media_type": format.media_type(),
        "bytes": copied.bytes,
        "sha256": copied.sha256,
        "channels": ["customer", "heard by the customer"],
        "gaps": manifest.gaps,
        "about": manifest.meta,
    })
}

/// What lies among the copies under the name of a recording, whoever laid it there.
///
/// # Errors
/// The folder cannot be read.
pub fn copies_of(folder: &Path, id: RecordingId, recording: &Path) -> io::Result<Vec<PathBuf>> {
    let place = folder.join(copy_path(recording, PART));
    let Some(day) = place.parent() else { return Ok(Vec::new()) };
    let entries = match std::fs::read_dir(day) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let name = format!("{id}.");
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(name.as_bytes()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Takes away what [`copies_of`] finds.
///
/// # Errors
/// The disk refuses.
pub fn remove_copies(folder: &Path, id: RecordingId, recording: &Path) -> Result<()> {
    for file in copies_of(folder, id, recording).context("the folder of copies")? {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context(file.display().to_string());
            }
            _ => {}
        }
    }
    Ok(())
}

/// The CPU time that this thread has used.
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Seconds of CPU that a second of a recording costs in this format, both sides together: measured here and now, with speech of 8 kHz.
///
/// # Errors
/// The encoder refuses.
pub fn price(format: Format) -> Result<f64> {
    let rate = SampleRate::NARROW;
    let count = PRICE_OF.as_s() * u64::from(rate.0);
    let mut encoder = match format {
        Format::Wav => return Ok(0.0),
        Format::Flac => Encoder::flac(rate, count)?,
        Format::Opus => Encoder::opus(rate, RecordingId(0))?,
    };
    // Noise that swells and fades as syllables do.
    let mut state = 1_u32;
    let noise = (0..2 * count).map(|at| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let swell = (at % 4_000).min(4_000 - at % 4_000) as i32;
        ((state >> 16) as i16 as i32 * swell / 8_000) as i16
    });
    let samples: Vec<i16> = noise.collect();
    let (piece, mut out) = ((u64::from(rate.0) * FRAME.as_us() / 1_000_000 * 2) as usize, Vec::new());
    let began = cpu_time();
    for pairs in samples.chunks(piece) {
        encoder.push(pairs, &mut out)?;
    }
    encoder.finish(&mut out)?;
    let took = cpu_time().saturating_sub(began);
    ensure!(!out.is_empty(), "nothing was encoded");
    Ok(took.as_secs_f64() / PRICE_OF.as_s() as f64)
}
