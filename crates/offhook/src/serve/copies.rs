//! Copies of closed recordings, made at quiet hours within a share of one core, or at once. A thread of its own at nice 19: calls and
//! recording never wait for it.
//!
//! What is to be copied is what the manifest has and the ledger has not, oldest first, so that a restart goes on where the last run stopped.

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use offhook_net::Clock;
use offhook_recorder::{KeyRing, Manifest};
use offhook_store::{Archive, AuditRow, Change};
use offhook_units::{Span, Tick};

use super::tail::Tail;
use crate::recording::{COPIED, CopySettings, Ledger, NoCopy, Shelf, Stored, copy, cpu_time, remove_copies};

/// How often the manifest is looked at, and the hour.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long nothing is tried after a copy could not be written.
const REST: Span = Span::from_s(60);

/// How much it gives way to everything else, nice(2).
const NICE: i32 = 19;

/// The shortest wait that is worth a sleep.
const WAIT_MIN: Duration = Duration::from_millis(5);

/// Who copies, in the audit log.
const WHO: &str = "the exchange";

/// What was done since the start.
#[derive(Debug, Default)]
pub struct Copying {
    /// Copies made.
    pub made: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
    /// Recordings that could not be read, and have no copy.
    pub unreadable: AtomicU64,
    /// Copies that could not be written, and are tried again.
    pub failed: AtomicU64,
    /// CPU time that it took, in milliseconds.
    pub cpu_ms: AtomicU64,
    /// How old the oldest recording without a copy is, in seconds; zero where there is none.
    pub behind_s: AtomicU64,
}

/// Copies recordings as the configuration says.
#[derive(Debug)]
pub struct Copier {
    place: Place,
    clock: Clock,
    /// What is counted, whoever copies.
    pub figures: Arc<Copying>,
    /// What is said now, and the thread that does it; none where there are to be no copies.
    said: Option<CopySettings>,
    at_work: Option<Copies>,
}

/// What copies are made of.
#[derive(Debug, Clone)]
struct Place {
    /// The data folder.
    data: PathBuf,
    shelf: Shelf,
    keys: Option<KeyRing>,
}

impl Copier {
    /// Nothing is copied yet.
    pub fn new(data: &Path, shelf: &Shelf, keys: Option<&KeyRing>, clock: &Clock) -> Self {
        let place = Place { data: data.to_owned(), shelf: shelf.clone(), keys: keys.cloned() };
        Self { place, clock: clock.clone(), figures: Arc::default(), said: None, at_work: None }
    }

    /// Recordings are copied like that from now on. Ends what is being made, which begins again.
    ///
    /// # Errors
    /// The ledger cannot be read, or no thread is to be had.
    pub fn follow(&mut self, said: Option<CopySettings>) -> Result<()> {
        if said == self.said {
            return Ok(());
        }
        drop(self.at_work.take());
        // Where what is said now cannot be begun, another word begins anew, also that of before.
        self.said = None;
        self.figures.behind_s.store(0, Ordering::Relaxed);
        if let Some(settings) = said.clone() {
            let job = Job::new(self.place.clone(), settings, Arc::clone(&self.figures))?;
            self.at_work = Some(Copies::start(job, self.clock.clone())?);
        }
        self.said = said;
        Ok(())
    }
}

/// The thread; it ends, between two pieces of a recording, when this is dropped.
#[derive(Debug)]
struct Copies {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Copies {
    fn start(mut job: Job, clock: Clock) -> Result<Self> {
        let (stop, stopped) = bounded(0);
        let body = move || {
            // Where the system does not allow it, it is done at the same pace as everything else.
            let _refused = rustix::process::nice(NICE);
            while job.turn(clock.now(), &stopped) {}
        };
        let thread = std::thread::Builder::new().name("copies".into()).spawn(body).context("the copies thread")?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Holds a thread to its share of one core.
struct Pace<'a> {
    percent: u32,
    began: Instant,
    cpu_before: Duration,
    stop: &'a Receiver<()>,
}

impl<'a> Pace<'a> {
    fn new(percent: u32, stop: &'a Receiver<()>) -> Self {
        Self { percent, began: Instant::now(), cpu_before: cpu_time(), stop }
    }

    fn used(&self) -> Duration {
        cpu_time().saturating_sub(self.cpu_before)
    }

    /// Waits until what was used since the beginning is the share of the time since; an error where all is to end.
    fn keep(&self) -> io::Result<()> {
        let due = self.used() * 100 / self.percent.max(1);
        let wait = due.saturating_sub(self.began.elapsed());
        let wait = if wait < WAIT_MIN { Duration::ZERO } else { wait };
        match self.stop.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::Interrupted, "the exchange goes down")),
        }
    }
}

/// What became of one that was to be copied.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Made,
    /// It has one, or is to have none.
    Passed,
    /// Later.
    Failed,
}

#[derive(Debug)]
struct Job {
    place: Place,
    settings: CopySettings,
    figures: Arc<Copying>,
    ledger: Ledger,
    tail: Tail,
    /// Nothing is tried until then.
    rest_until: Tick,
}

impl Job {
    fn new(place: Place, settings: CopySettings, figures: Arc<Copying>) -> Result<Self> {
        let folder = place.shelf.folder.clone();
        let ledger = Ledger::open(&folder, COPIED).context("the ledger of [recording.copies]")?;
        Ok(Self { place, settings, figures, ledger, tail: Tail::new(folder), rest_until: Tick::ZERO })
    }

    /// One step, and the wait after it; false when all is to end.
    fn turn(&mut self, now: Tick, stop: &Receiver<()>) -> bool {
        let open = self.settings.hours.as_ref().is_none_or(|hours| hours.are(now));
        let wait = if self.step(now, open && now >= self.rest_until, stop) { Duration::ZERO } else { LOOK_EVERY };
        stop.recv_timeout(wait) == Err(RecvTimeoutError::Timeout)
    }

    /// Looks for the oldest without a copy, and makes it where that may be done now; whether there may be more to do at once.
    fn step(&mut self, now: Tick, may: bool, stop: &Receiver<()>) -> bool {
        match self.next(now, may, stop) {
            Ok(more) => more,
            Err(error) => {
                tracing::error!(%error, "the manifest of recordings cannot be read; none is copied meanwhile");
                false
            }
        }
    }

    fn next(&mut self, now: Tick, may: bool, stop: &Receiver<()>) -> io::Result<bool> {
        let Self { place, settings, figures, ledger, tail, rest_until } = self;
        let Some(mut lines) = tail.lines()? else { return Ok(false) };
        while let Some(manifest) = lines.next()? {
            if stop.try_recv() == Err(TryRecvError::Disconnected) {
                return Ok(false);
            }
            if ledger.get(manifest.id).is_some() {
                continue;
            }
            figures.behind_s.store(now.since(manifest.started).as_s(), Ordering::Relaxed);
            if !may {
                return Ok(false);
            }
            let pace = Pace::new(settings.cpu_percent, stop);
            let outcome = place.one(settings, figures, ledger, now, &manifest, &pace);
            figures.cpu_ms.fetch_add(pace.used().as_millis() as u64, Ordering::Relaxed);
            match outcome {
                Outcome::Passed => {}
                Outcome::Made => {
                    lines.done();
                    return Ok(true);
                }
                Outcome::Failed => {
                    *rest_until = now + REST;
                    return Ok(false);
                }
            }
        }
        figures.behind_s.store(0, Ordering::Relaxed);
        Ok(false)
    }
}

impl Place {
    fn one(
        &self,
        settings: &CopySettings,
        figures: &Copying,
        ledger: &mut Ledger,
        now: Tick,
        manifest: &Manifest,
        pace: &Pace<'_>,
    ) -> Outcome {
        let id = manifest.id;
        let failed = |error: anyhow::Error| {
            if !stopped(&error) {
                figures.failed.fetch_add(1, Ordering::Relaxed);
                let error = format!("{error:#}");
                tracing::warn!(recording = %id, error, "a copy of a recording could not be written; it is tried again");
            }
            Outcome::Failed
        };
        match self.make(settings, now, manifest, || pace.keep()) {
            Ok(None) => Outcome::Passed,
            Ok(Some((bytes, sha256))) => {
                if let Err(error) = ledger.add(Stored { id, at: now, bytes, sha256 }) {
                    return failed(error.into());
                }
                figures.made.fetch_add(1, Ordering::Relaxed);
                figures.bytes.fetch_add(bytes, Ordering::Relaxed);
                Outcome::Made
            }
            Err(NoCopy::Unreadable(error)) => {
                figures.unreadable.fetch_add(1, Ordering::Relaxed);
                let error = format!("{error:#}");
                tracing::error!(recording = %id, error, "a recording cannot be read and has no copy; 'offhook recording verify' tells more");
                self.clear(manifest);
                Outcome::Passed
            }
            Err(NoCopy::Unwritten(error)) => failed(error),
        }
    }

    /// Makes one, unless the recording was erased, with an entry in the audit log before; its bytes and their hash.
    fn make(
        &self,
        settings: &CopySettings,
        now: Tick,
        manifest: &Manifest,
        pace: impl FnMut() -> io::Result<()>,
    ) -> Result<Option<(u64, String)>, NoCopy> {
        let id = manifest.id;
        let archive = Archive::open(&self.data).context("the database").map_err(NoCopy::Unwritten)?;
        let erased = || -> Result<bool, NoCopy> {
            let row = archive.recording(id).context("the database").map_err(NoCopy::Unwritten)?;
            Ok(row.is_some_and(|row| row.erased.is_some()))
        };
        if erased()? {
            return Ok(None);
        }
        let (subject, detail) = (id.to_string(), settings.format.name().to_owned());
        let row = AuditRow { at: now, who: WHO.to_owned(), action: "copy".to_owned(), subject, detail };
        archive.write(&[Change::Audit(row)]).context("the audit log").map_err(NoCopy::Unwritten)?;
        let copied = copy(&self.shelf, manifest, self.keys.as_ref(), settings.format, pace)?;
        if erased()? {
            remove_copies(&self.shelf.folder, id, Path::new(&manifest.path)).map_err(NoCopy::Unwritten)?;
            return Ok(None);
        }
        Ok(Some((copied.bytes, copied.sha256)))
    }

    /// Takes away what was begun of a copy.
    fn clear(&self, manifest: &Manifest) {
        if let Err(error) = remove_copies(&self.shelf.folder, manifest.id, Path::new(&manifest.path)) {
            tracing::warn!(recording = %manifest.id, error = format!("{error:#}"), "what was begun of a copy stays");
        }
    }
}

/// Whether it ended since the exchange goes down.
fn stopped(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::Interrupted)
}
