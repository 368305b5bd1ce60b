//! Closed recordings on their way to the object store. A thread of its own beside the exchange, at nice 10: calls and recording never
//! wait for it, and while the store is away recordings stay in their folder, the spool.
//!
//! What is to be stored is what the manifest has and the ledger has not, so that a restart goes on where the last run stopped. A file
//! leaves the folder once its object was read back and held against the manifest, and `keep_local` is over.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use offhook_net::Clock;
use offhook_recorder::{Manifest, hash_file};
use offhook_units::{RecordingId, Span, Tick};

use super::tail::Tail;
use crate::config;
use crate::recording::{Ledger, Objects, STORED, Shelf, StoreSettings, Stored, confirm};

/// How often the manifest is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long the store is left alone after a try that failed: twice as long each time, up to the second.
const BACK_OFF: Span = Span::from_s(1);
const BACK_OFF_MAX: Span = Span::from_s(300);

/// How much it gives way to everything else, nice(2).
const NICE: i32 = 10;

/// What was done since the start, and what is to be done.
#[derive(Debug, Default)]
pub struct Uploading {
    /// Recordings stored.
    pub stored: AtomicU64,
    /// Their bytes.
    pub stored_bytes: AtomicU64,
    /// Tries that failed.
    pub failed: AtomicU64,
    /// Recordings that are not what was closed, and are not stored.
    pub changed: AtomicU64,
    /// Stored recordings that left the folder.
    pub removed: AtomicU64,
    /// Recordings that wait.
    pub waiting: AtomicU64,
    /// Bytes of closed recordings in the folder.
    pub spool_bytes: AtomicU64,
    /// Bytes beyond which it is too much.
    pub spool_max: AtomicU64,
    /// 1 while it is too much.
    pub full: AtomicU64,
    /// 1 while the last try failed.
    pub down: AtomicU64,
}

/// The thread; it ends when this is dropped, between two parts of a recording.
#[derive(Debug)]
pub struct Uploads {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Uploads {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Where recordings lie, and who brings them to the store where there is one.
///
/// # Errors
/// The store's settings cannot be used, or no thread is to be had.
#[expect(clippy::type_complexity, reason = "the thread and its figures, or neither")]
pub fn start(
    recording: &config::Recording,
    folder: PathBuf,
    clock: &Clock,
) -> Result<(Shelf, Option<(Uploads, Arc<Uploading>)>)> {
    let Some(settings) = recording.store.clone() else { return Ok((Shelf::local(folder), None)) };
    let objects = Arc::new(Objects::open(&settings)?);
    let shelf = Shelf { folder: folder.clone(), objects: Some(Arc::clone(&objects)) };
    let figures = Arc::new(Uploading::default());
    let mut spool = Spool::open(folder, objects, settings, Arc::clone(&figures))?;
    let (stop, stopped) = bounded(0);
    let clock = clock.clone();
    let body = move || {
        // Where the system does not allow it, it is done at the same pace as everything else.
        let _refused = rustix::process::nice(NICE);
        while spool.turn(clock.now(), &stopped) {}
    };
    let thread = std::thread::Builder::new().name("uploads".into()).spawn(body).context("the uploads thread")?;
    Ok((shelf, Some((Uploads { stop: Some(stop), thread: Some(thread) }, figures))))
}

/// A recording in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Local {
    path: String,
    sha256: String,
    bytes: u64,
}

/// The recordings folder, as far as the store is concerned.
#[derive(Debug)]
struct Spool {
    folder: PathBuf,
    objects: Arc<Objects>,
    settings: StoreSettings,
    figures: Arc<Uploading>,
    ledger: Ledger,
    tail: Tail,
    /// Oldest first.
    waiting: BTreeMap<RecordingId, Local>,
    /// Stored, and in the folder all the same: by when they were stored.
    kept: BTreeMap<(Tick, RecordingId), Local>,
    /// The store is left alone until then, and for how long after the next try that fails.
    rest: (Tick, Span),
}

/// How fast parts may follow each other.
struct Pace<'a> {
    bytes_per_s: u64,
    stop: &'a Receiver<()>,
}

impl Pace<'_> {
    /// Waits as long as so many bytes should take; an error where all is to end.
    fn sent(&self, bytes: u64) -> io::Result<()> {
        let wait = Duration::from_micros(bytes.saturating_mul(1_000_000) / self.bytes_per_s.max(1));
        match self.stop.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::Interrupted, "the exchange goes down")),
        }
    }
}

impl Spool {
    fn open(folder: PathBuf, objects: Arc<Objects>, settings: StoreSettings, figures: Arc<Uploading>) -> Result<Self> {
        figures.spool_max.store(settings.spool_max, Ordering::Relaxed);
        let ledger = Ledger::open(&folder, STORED).context("the ledger of [recording.store]")?;
        let (waiting, kept, rest) = (BTreeMap::new(), BTreeMap::new(), (Tick::ZERO, BACK_OFF));
        let tail = Tail::new(folder.clone());
        Ok(Self { folder, objects, settings, figures, ledger, tail, waiting, kept, rest })
    }

    /// One step, and the wait after it; false when all is to end.
    fn turn(&mut self, now: Tick, stop: &Receiver<()>) -> bool {
        let wait = if self.step(now, stop) { Duration::ZERO } else { LOOK_EVERY };
        stop.recv_timeout(wait) == Err(RecvTimeoutError::Timeout)
    }

    /// Stores one recording at most, and takes others out of the folder; whether there may be more to store at once.
    fn step(&mut self, now: Tick, stop: &Receiver<()>) -> bool {
        if let Err(error) = self.look() {
            tracing::error!(%error, "the manifest of recordings cannot be read; none is stored meanwhile");
        }
        let stored = now >= self.rest.0 && self.store_next(now, stop);
        self.tidy(now);
        self.tell();
        stored
    }

    /// Reads on in the manifest.
    fn look(&mut self) -> io::Result<()> {
        let mut found = Vec::new();
        if let Some(mut lines) = self.tail.lines()? {
            while let Some(manifest) = lines.next()? {
                found.push(manifest);
            }
        }
        for manifest in found {
            self.closed(manifest);
        }
        Ok(())
    }

    /// One more that is closed; one that is not in the folder was erased, or left it.
    fn closed(&mut self, manifest: Manifest) {
        let Manifest { id, path, sha256, .. } = manifest;
        let Ok(about) = std::fs::metadata(self.folder.join(&path)) else { return };
        let local = Local { path, sha256, bytes: about.len() };
        match self.ledger.get(id).filter(|stored| stored.sha256 == local.sha256) {
            Some(stored) => self.kept.insert((stored.at, id), local),
            None => self.waiting.insert(id, local),
        };
    }

    /// Stores the oldest that waits; whether that was done, or it need not be done any more.
    fn store_next(&mut self, now: Tick, stop: &Receiver<()>) -> bool {
        let Some((id, local)) = self.waiting.first_key_value().map(|(id, local)| (*id, local.clone())) else {
            return false;
        };
        match self.store(&local, stop) {
            Ok(Outcome::Stored) => {}
            Ok(Outcome::Gone) => {
                self.waiting.remove(&id);
                return true;
            }
            Ok(Outcome::Changed) => {
                self.waiting.remove(&id);
                self.figures.changed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(recording = %id, "a recording is not what was closed and is not stored; 'offhook recording verify' tells more");
                return true;
            }
            Err(error) => {
                self.failed(now, &format!("{id}: {error:#}"));
                return false;
            }
        }
        let stored = Stored { id, at: now, bytes: local.bytes, sha256: local.sha256.clone() };
        if let Err(error) = self.ledger.add(stored) {
            self.failed(now, &format!("{id}: it is stored and cannot be written down: {error}"));
            return false;
        }
        if self.figures.down.swap(0, Ordering::Relaxed) == 1 {
            tracing::info!("the object store takes recordings again");
        }
        self.rest = (now, BACK_OFF);
        self.figures.stored.fetch_add(1, Ordering::Relaxed);
        self.figures.stored_bytes.fetch_add(local.bytes, Ordering::Relaxed);
        self.waiting.remove(&id);
        self.kept.insert((now, id), local);
        true
    }

    fn failed(&mut self, now: Tick, error: &str) {
        self.figures.failed.fetch_add(1, Ordering::Relaxed);
        if self.figures.down.swap(1, Ordering::Relaxed) == 0 {
            tracing::warn!(error, "a recording could not be stored; it stays in its folder and is tried again");
        }
        self.rest = (now + self.rest.1, (self.rest.1 * 2).min(BACK_OFF_MAX));
    }

    fn store(&self, local: &Local, stop: &Receiver<()>) -> Result<Outcome> {
        let full = self.folder.join(&local.path);
        let file = match File::open(&full) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outcome::Gone),
            file => file?,
        };
        if hash_file(&file)? != local.sha256 {
            return Ok(if full.exists() { Outcome::Changed } else { Outcome::Gone });
        }
        // A run before this one may have got so far.
        if self.objects.length(&local.path)? != Some(local.bytes) || self.confirm(local).is_err() {
            let pace = Pace { bytes_per_s: self.settings.upload_max, stop };
            self.objects.put(&local.path, &file, |bytes| pace.sent(bytes))?;
            self.confirm(local)?;
        }
        // Erased meanwhile: nobody else knows of the object.
        if !full.exists() {
            self.objects.delete(&local.path)?;
            return Ok(Outcome::Gone);
        }
        Ok(Outcome::Stored)
    }

    fn confirm(&self, local: &Local) -> Result<()> {
        confirm(&self.objects, &local.path, local.bytes, &local.sha256)
    }

    fn spool_bytes(&self) -> u64 {
        self.waiting.values().chain(self.kept.values()).map(|local| local.bytes).sum()
    }

    /// Takes stored ones out of the folder whose time there is over, or the oldest where there is too much in it.
    fn tidy(&mut self, now: Tick) {
        let mut spool = self.spool_bytes();
        while let Some((at, id)) = self.kept.keys().next().copied() {
            if at + self.settings.keep_local > now && spool <= self.settings.spool_max {
                break;
            }
            let local = &self.kept[&(at, id)];
            if let Err(error) = self.leave(local) {
                self.figures.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(recording = %id, error = format!("{error:#}"), "a stored recording stays in its folder");
                break;
            }
            spool -= local.bytes.min(spool);
            self.kept.remove(&(at, id));
            self.figures.removed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The last look before the file goes: the object is there, and as long.
    fn leave(&self, local: &Local) -> Result<()> {
        let full = self.folder.join(&local.path);
        if !full.exists() {
            return Ok(());
        }
        let length = self.objects.length(&local.path)?.context("its object is gone from the store")?;
        ensure!(length == local.bytes, "its object has {length} bytes of {}", local.bytes);
        remove(&full)
    }

    fn tell(&self) {
        let spool = self.spool_bytes();
        let full = spool > self.settings.spool_max;
        self.figures.waiting.store(self.waiting.len() as u64, Ordering::Relaxed);
        self.figures.spool_bytes.store(spool, Ordering::Relaxed);
        let was_full = self.figures.full.swap(u64::from(full), Ordering::Relaxed) == 1;
        if full && !was_full {
            let max = self.settings.spool_max;
            tracing::error!(
                spool,
                max,
                "recordings wait for the object store and fill their folder; recording goes on"
            );
        }
    }
}

/// What became of one that was to be stored.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The store has it.
    Stored,
    /// It was erased.
    Gone,
    /// It is not what was closed.
    Changed,
}

fn remove(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
