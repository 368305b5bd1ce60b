//! Retention: once a day, at a quiet hour, recordings are erased that are older than they are kept and not held. A thread of its own
//! beside the exchange, on a connection of its own to the database, as `offhook recording expire` has one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use offhook_call::calendar::Zone;
use offhook_net::Clock;
use offhook_store::Archive;
use offhook_units::{Span, Tick};

use crate::recording::{Due, Keep, Shelf, due, erase, manifests, retention};

/// How often the hour is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Between two recordings that are erased, so that the exchange's own commits go first.
const PAUSE: Duration = Duration::from_millis(10);

/// Who erases, in the audit log.
const WHO: &str = "the exchange";

/// When the hour of erasing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hour {
    /// Since midnight.
    pub at: Span,
    /// By the clocks of this place.
    pub zone: Zone,
}

impl Hour {
    /// The day that an instant belongs to, where days begin at this hour: it is another one than before once the hour has come,
    /// whatever clocks were turned by meanwhile.
    fn day(&self, now: Tick) -> i64 {
        let local = (now.as_us() / 1_000_000) as i64 + i64::from(self.zone.ahead(now));
        (local - self.at.as_s() as i64).div_euclid(86_400)
    }
}

/// What retention did since the start.
#[derive(Debug, Default)]
pub struct Erasing {
    /// Recordings erased.
    pub erased: AtomicU64,
    /// Recordings, or whole runs, that could not be erased or made.
    pub failed: AtomicU64,
    /// Recordings that were due and held, at the last run.
    pub held: AtomicU64,
    /// Runs.
    pub runs: AtomicU64,
}

/// The thread; it ends, between two recordings, when this is dropped.
#[derive(Debug)]
pub struct Retention {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Retention {
    /// Looks after the recordings of `folder`, whose database lies in `data`.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn start(job: Job, clock: Clock, hour: Hour) -> Result<Self> {
        let (stop, stopped) = bounded(0);
        let body = move || run(&job, &clock, &hour, &stopped);
        let thread =
            std::thread::Builder::new().name("retention".into()).spawn(body).context("the retention thread")?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Retention {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// What is erased.
#[derive(Debug)]
pub struct Job {
    /// The data folder.
    pub data: PathBuf,
    /// Where recordings lie.
    pub shelf: Shelf,
    /// How long recordings are kept.
    pub keep: Keep,
    /// What is counted.
    pub figures: Arc<Erasing>,
}

fn run(job: &Job, clock: &Clock, hour: &Hour, stop: &Receiver<()>) {
    let mut day = hour.day(clock.now());
    while stop.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let now = clock.now();
        if hour.day(now) > day {
            day = hour.day(now);
            job.once(now, stop);
        }
    }
}

impl Job {
    /// One run: everything that is due at `now`, until told to stop.
    pub fn once(&self, now: Tick, stop: &Receiver<()>) {
        self.figures.runs.fetch_add(1, Ordering::Relaxed);
        match self.erase_due(now, stop) {
            Ok(0) => {}
            Ok(erased) => tracing::info!(erased, "recordings were erased that were older than they are kept"),
            Err(error) => self.failed(&format!("{error:#}")),
        }
    }

    fn erase_due(&self, now: Tick, stop: &Receiver<()>) -> Result<u64> {
        let archive = Archive::open(&self.data).context("the database")?;
        let Due { free, held } = due(&archive, manifests(&self.shelf.folder)?, &self.keep, now)?;
        self.figures.held.store(held, Ordering::Relaxed);
        let mut erased = 0;
        for (manifest, kept) in free {
            match erase(&archive, &self.shelf, WHO, now, &manifest, &retention(kept)) {
                Ok(_certificate) => {
                    erased += 1;
                    self.figures.erased.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => self.failed(&format!("{}: {error:#}", manifest.id)),
            }
            if stop.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
        Ok(erased)
    }

    fn failed(&self, error: &str) {
        self.figures.failed.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            error,
            "a recording that is older than it is kept could not be erased; the next run tries again"
        );
    }
}

/// Looks after recordings as the configuration says.
#[derive(Debug)]
pub struct Keeper {
    /// The data folder.
    pub data: PathBuf,
    /// Where recordings lie.
    pub shelf: Shelf,
    /// By which time it is erased.
    pub clock: Clock,
    /// What is counted, whoever erases.
    pub figures: Arc<Erasing>,
    /// What is said now, and the thread that does it; none where all recordings are kept for ever.
    said: Option<(Keep, Hour)>,
    at_work: Option<Retention>,
}

impl Keeper {
    /// Nothing is erased yet.
    pub fn new(data: &Path, shelf: &Shelf, clock: &Clock) -> Self {
        let (data, shelf, clock) = (data.to_owned(), shelf.clone(), clock.clone());
        Self { data, shelf, clock, figures: Arc::default(), said: None, at_work: None }
    }

    /// Recordings that are older than they are kept are erased from now on, where there are such. Waits for the recording that is being erased.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn follow(&mut self, keep: Keep, hour: Hour) -> Result<()> {
        let said = Some((keep, hour)).filter(|(keep, _)| keep.ends());
        if said == self.said {
            return Ok(());
        }
        drop(self.at_work.take());
        self.said.clone_from(&said);
        if let Some((keep, hour)) = said {
            let (data, shelf, figures) = (self.data.clone(), self.shelf.clone(), Arc::clone(&self.figures));
            self.at_work = Some(Retention::start(Job { data, shelf, keep, figures }, self.clock.clone(), hour)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use offhook_plan::CodecKind;
    use offhook_recorder::{KeyRing, key_path};
    use offhook_units::RecordingId;

    use super::*;
    use crate::recording::tests::{BEGAN, Centre, sealed_centre};
    use crate::recording::{Kept, hold};

    const DAY: Span = Span::from_s(86_400);

    /// Six recordings; those of sales, the odd ones, are kept for 30 days, those of support for ever, others for 60 days.
    fn job(centre: &Centre) -> Job {
        let queues = [("sales".to_owned(), Kept::For(DAY * 30)), ("support".to_owned(), Kept::Forever)];
        let keep = Keep { all: Kept::For(DAY * 60), queues: BTreeMap::from(queues) };
        let (data, shelf) = (centre.data.path().to_owned(), centre.shelf());
        Job { data, shelf, keep, figures: Arc::new(Erasing::default()) }
    }

    fn figures(job: &Job) -> [u64; 4] {
        let Erasing { erased, failed, held, runs } = &*job.figures;
        [erased, failed, held, runs].map(|figure| figure.load(Ordering::Relaxed))
    }

    #[test]
    fn what_is_older_than_its_queue_keeps_is_erased_with_its_key_and_what_is_held_is_not() {
        let keys = KeyRing::parse(&"7b".repeat(32)).expect("a master key");
        let centre = sealed_centre(6, 30, CodecKind::Pcma, Some(keys), |id, _| [id as u8; 160]);
        let archive = Archive::open(centre.data.path()).expect("an archive");
        hold(&archive, BEGAN, RecordingId(1), Some("case 7")).expect("held");
        let job = job(&centre);
        let (_stop, stopped) = bounded(0);
        job.once(BEGAN + DAY * 30, &stopped);
        assert_eq!(figures(&job), [0, 0, 0, 1], "none is older than 30 days");
        job.once(BEGAN + DAY * 31, &stopped);
        assert_eq!(figures(&job), [2, 0, 1, 2]);
        let there = |id: u64| {
            let key = centre.folder().join(key_path(Path::new(&centre.manifests[&id].path)));
            (centre.file(id).exists(), key.exists())
        };
        assert_eq!([1, 2, 3, 4, 5, 6].map(there).map(|(file, _)| file), [true, true, false, true, false, true]);
        assert_eq!((there(1), there(3)), ((true, true), (false, false)));
        job.once(BEGAN + DAY * 400, &stopped);
        assert_eq!(figures(&job), [2, 0, 1, 3], "what was erased is not erased again");
        hold(&archive, BEGAN, RecordingId(1), None).expect("released");
        job.once(BEGAN + DAY * 401, &stopped);
        assert_eq!(figures(&job), [3, 0, 0, 4]);
        let audit = centre.verify();
        assert_eq!((audit.faults, audit.erased), (Vec::new(), 3));
        let entries = archive.audit(100).expect("entries").into_iter().filter(|entry| entry.action == "erase");
        let entries: Vec<_> = entries.map(|entry| (entry.who, entry.subject, entry.detail)).collect();
        let entry = |id: &str| (WHO.to_owned(), id.to_owned(), "retention of 30 days".to_owned());
        assert_eq!(entries, [entry("r-3"), entry("r-5"), entry("r-1")]);
    }

    #[test]
    fn one_that_cannot_be_erased_is_counted_and_the_others_are_and_a_stop_ends_the_run() {
        let centre = sealed_centre(5, 30, CodecKind::Pcma, None, |id, _| [id as u8; 160]);
        let job = job(&centre);
        std::fs::remove_file(centre.file(1)).expect("removed");
        std::fs::create_dir_all(centre.file(1).join("in the way")).expect("a folder in its place");
        let (stop, stopped) = bounded(0);
        job.once(BEGAN + DAY * 31, &stopped);
        assert_eq!(figures(&job), [2, 1, 0, 1]);
        let centre = sealed_centre(5, 30, CodecKind::Pcma, None, |id, _| [id as u8; 160]);
        let job = self::job(&centre);
        drop(stop);
        job.once(BEGAN + DAY * 31, &stopped);
        assert_eq!(figures(&job), [1, 0, 0, 1], "the exchange ends");
    }

    /// Berlin in 2026: an hour ahead, two from 29 March 01:00 to 25 October 01:00 UTC.
    fn berlin() -> Zone {
        let at = |s: u64| Tick::from_us(s * 1_000_000);
        Zone {
            name: "Berlin".into(),
            first: 3_600,
            changes: vec![(at(1_774_746_000), 7_200), (at(1_792_890_000), 3_600)],
        }
    }

    /// The instants, in seconds, at which a thread that looks every 30 s from one to another begins to erase.
    fn runs(hour: &Hour, from: u64, to: u64) -> Vec<u64> {
        let at = |s: u64| Tick::from_us(s * 1_000_000);
        let mut day = hour.day(at(from));
        let looks = (from..to).step_by(30);
        looks
            .filter(|s| {
                let begins = hour.day(at(*s)) > day;
                day = day.max(hour.day(at(*s)));
                begins
            })
            .collect()
    }

    #[test]
    fn it_runs_once_a_day_at_its_hour_also_when_clocks_are_turned_and_not_at_the_start() {
        let hour = |h: u64| Hour { at: Span::from_s(h * 3_600), zone: berlin() };
        // 2026-07-01 00:00 UTC is 02:00 in Berlin.
        assert_eq!(runs(&hour(3), 1_782_864_000, 1_783_036_800), [1_782_867_600, 1_782_954_000]);
        // From 28 March 12:00 UTC on: 02:30 does not exist on the 29th.
        let spring = Hour { at: Span::from_s(9_000), zone: berlin() };
        assert_eq!(runs(&spring, 1_774_699_200, 1_774_872_000), [1_774_746_000, 1_774_830_600]);
        // From 24 October 12:00 UTC on: 02:30 is there twice on the 25th.
        let autumn = runs(&spring, 1_792_843_200, 1_793_016_000);
        assert_eq!(autumn, [1_792_888_200, 1_792_978_200]);
    }
}
