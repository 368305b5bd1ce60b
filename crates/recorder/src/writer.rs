//! The writer: the edge that drains tap rings and touches the disk.
//!
//! It sleeps until it is told something; only while recordings are open it wakes every [`TURN`] to drain the rings.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use offhook_plan::tap::{HAND_OVER_EVERY, TapHeader, TapReader};
use offhook_units::{Entropy, RecordingId, Span, Tick};

use crate::files::{self, ManifestFile};
use crate::finish::{Closer, Job};
use crate::keys::KeyRing;
use crate::manifest::{Manifest, RecordingSpec};
use crate::open::Open;
use crate::recording::{FLUSH_EVERY, HOLD_MAX, KEEP};
use crate::wav::FRAME_BYTES;

/// How often the rings are drained while recordings are open.
pub const TURN: Duration = Duration::from_millis(40);

/// All records that are older than this lie in the rings, or were drained: a worker hands them over, and may be late.
const IN_AFTER: Span = Span::from_us(2 * HAND_OVER_EVERY.as_us());

/// How long after its close a recording still takes records out of the rings.
pub const CLOSE_LINGER: Span = Span::from_ms(100);

/// Most recordings open at once; a further one fails to open.
pub const RECORDINGS_MAX: usize = 5_000;

/// Most recordings that are over and wait, with their speech, for a disk that refuses: of further ones, the oldest become a gap.
pub const OWED_MAX: usize = 500;

const _: () = assert!(CLOSE_LINGER.as_us() > IN_AFTER.as_us(), "a recording's last records are in when it is closed");

/// Unwritten bytes of one recording at which it is written before its time.
const UNWRITTEN_MAX: usize = 256 * 1_024;

const _: () = assert!(
    UNWRITTEN_MAX as u64 > (KEEP.as_us() + HOLD_MAX.as_us()) / 125 * FRAME_BYTES,
    "a refusing disk is not asked again for each packet"
);

/// How much longer it does so at most while a ring is found half full or more, since a worker then holds records back.
const CATCH_UP: Span = Span::from_s(1);

/// At most one [`RecorderEvent::Dropped`] in this time.
const DROPPED_EVERY: Span = Span::from_s(1);

/// What seals recordings.
#[derive(Debug)]
pub struct Protection {
    /// Master keys: the first one wraps the data keys of new recordings.
    pub keys: KeyRing,
    /// Where data keys and nonces come from.
    pub entropy: Entropy,
}

impl Protection {
    /// The same keys with chance of its own.
    fn fork(&mut self) -> Self {
        Self { keys: self.keys.clone(), entropy: self.entropy.fork() }
    }
}

/// What the recorder tells the control plane. Never dropped: a full channel holds the closing thread up, not the writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecorderEvent {
    /// A recording is closed, hashed and in the manifest: wait for this before calling it durable.
    Closed(Box<Manifest>),
    /// A recording that a crash had left open was closed.
    Mended(Box<Manifest>),
    /// A recording could not be opened since there is one of its name or too many are, or the disk refused it to the end.
    Failed {
        /// Which; absent where a file's name does not say.
        id: Option<RecordingId>,
        /// What happened and where.
        error: String,
    },
    /// Records were lost in full tap rings since the last event of this kind.
    Dropped {
        /// How many.
        count: u64,
    },
    /// Writing fails since now; it is tried again until it succeeds, calls go on.
    DiskTrouble {
        /// The operating system's words.
        error: String,
    },
    /// Writing works again.
    DiskRecovered,
}

/// Figures of the writer since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecorderStats {
    /// Recordings open now, and those that are over and wait for a disk that refuses.
    pub open: u64,
    /// Recordings closed.
    pub closed: u64,
    /// Recordings mended at start.
    pub mended: u64,
    /// Recordings that were given up: not opened, closed or mended.
    pub failed: u64,
    /// Tap records taken from the rings.
    pub records: u64,
    /// Tap records lost in full rings.
    pub dropped: u64,
    /// Tap records of recordings that are not open.
    pub orphans: u64,
    /// Bytes written to recordings.
    pub bytes_written: u64,
    /// Writes that failed.
    pub disk_errors: u64,
    /// The longest a turn of draining and writing took, in microseconds of the given clock.
    pub turn_us_max: u64,
    /// Recordings that are over and wait for a disk that refuses.
    pub owed: u64,
    /// Those of them that lost the speech that memory held, since more than [`OWED_MAX`] waited.
    pub forgotten: u64,
}

/// The same figures, shared between the threads.
#[derive(Debug, Default)]
pub struct Counters {
    pub open: AtomicU64,
    pub closed: AtomicU64,
    pub mended: AtomicU64,
    pub failed: AtomicU64,
    pub records: AtomicU64,
    pub dropped: AtomicU64,
    pub orphans: AtomicU64,
    pub bytes_written: AtomicU64,
    pub disk_errors: AtomicU64,
    pub turn_us_max: AtomicU64,
    pub owed: AtomicU64,
    pub forgotten: AtomicU64,
}

impl Counters {
    fn stats(&self) -> RecorderStats {
        let Self {
            open,
            closed,
            mended,
            failed,
            records,
            dropped,
            orphans,
            bytes_written,
            disk_errors,
            turn_us_max,
            owed,
            forgotten,
        } = self;
        RecorderStats {
            open: open.load(Relaxed),
            closed: closed.load(Relaxed),
            mended: mended.load(Relaxed),
            failed: failed.load(Relaxed),
            records: records.load(Relaxed),
            dropped: dropped.load(Relaxed),
            orphans: orphans.load(Relaxed),
            bytes_written: bytes_written.load(Relaxed),
            disk_errors: disk_errors.load(Relaxed),
            turn_us_max: turn_us_max.load(Relaxed),
            owed: owed.load(Relaxed),
            forgotten: forgotten.load(Relaxed),
        }
    }
}

/// Starts writers.
#[derive(Debug)]
pub struct Writer;

/// Speaks to the writer's threads; never blocks but in [`WriterHandle::shutdown`], which dropping it amounts to.
#[derive(Debug)]
pub struct WriterHandle {
    commands: Sender<Command>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Command {
    Open(Box<RecordingSpec>),
    Pause(RecordingId, Tick),
    Resume(RecordingId, Tick),
    Close(RecordingId, Tick),
    Shutdown,
}

impl Writer {
    /// Starts the writer on `dir`, which is created where missing, and the rings of all media workers. Recordings that a crash
    /// left open are mended on the way and reported as [`RecorderEvent::Mended`]. `events` is called on the closing thread.
    ///
    /// # Errors
    /// The folder cannot be made or read, or its manifest cannot be opened.
    pub fn start<E, C>(dir: &Path, taps: Vec<TapReader>, events: E, clock: C) -> io::Result<WriterHandle>
    where
        E: Fn(RecorderEvent) + Send + 'static,
        C: Fn() -> Tick + Send + 'static,
    {
        Self::start_sealed(dir, taps, events, clock, None)
    }

    /// As [`Writer::start`]; with `protection`, new recordings are sealed.
    ///
    /// # Errors
    /// As there.
    pub fn start_sealed<E, C>(
        dir: &Path,
        taps: Vec<TapReader>,
        events: E,
        clock: C,
        mut protection: Option<Protection>,
    ) -> io::Result<WriterHandle>
    where
        E: Fn(RecorderEvent) + Send + 'static,
        C: Fn() -> Tick + Send + 'static,
    {
        std::fs::create_dir_all(dir)?;
        let (manifest, known) = ManifestFile::open(dir)?;
        let (jobs, jobs_out) = unbounded();
        for (id, path) in files::unfinished(dir, &known)? {
            let _ = jobs.send(Job::Mend(id, path));
        }
        drop(known);
        let counters = Arc::new(Counters::default());
        let mending = protection.as_mut().map(Protection::fork);
        let closer = Closer {
            dir: dir.into(),
            manifest,
            events,
            counters: counters.clone(),
            protection: mending,
            writers: None,
            refusal: None,
            is_told: false,
        };
        let closing = thread::Builder::new().name("recorder-closer".into()).spawn(move || closer.run(&jobs_out))?;
        let (commands, commands_out) = unbounded();
        let desk = Desk {
            dir: dir.into(),
            open: BTreeMap::new(),
            owed: VecDeque::new(),
            owed_tried: Tick::ZERO,
            jobs,
            counters: counters.clone(),
            protection,
            trouble: false,
            untold_drops: 0,
            drops_told: Tick::ZERO,
        };
        let mut thread = Thread { taps, commands: commands_out, clock, desk, ending: false };
        let body = move || {
            thread.run();
            // The closing thread ends when its last job is done and nobody can send another.
            drop(thread);
            let _ = closing.join();
        };
        let thread = thread::Builder::new().name("recorder".into()).spawn(body)?;
        Ok(WriterHandle { commands, counters, thread: Some(thread) })
    }
}

impl WriterHandle {
    /// Opens a recording; tap records for it may follow at once. Failure is reported as [`RecorderEvent::Failed`].
    pub fn open(&self, spec: RecordingSpec) {
        let _ = self.commands.send(Command::Open(Box::new(spec)));
    }

    /// Takes nothing into a recording that comes after `at`; see [`Recording::pause`].
    pub fn pause(&self, id: RecordingId, at: Tick) {
        let _ = self.commands.send(Command::Pause(id, at));
    }

    /// Goes on with a recording that was paused. Send it before anything of `at` or later can be in a ring.
    pub fn resume(&self, id: RecordingId, at: Tick) {
        let _ = self.commands.send(Command::Resume(id, at));
    }

    /// Closes a recording at `at` or at the end of its last packet, whichever is later; [`RecorderEvent::Closed`] follows.
    pub fn close(&self, id: RecordingId, at: Tick) {
        let _ = self.commands.send(Command::Close(id, at));
    }

    /// The figures now.
    pub fn stats(&self) -> RecorderStats {
        self.counters.stats()
    }

    /// Tells the figures as they are whenever it is asked, also beside whoever has the writer.
    pub fn figures(&self) -> impl Fn() -> RecorderStats + Clone + Send + Sync + 'static {
        let counters = Arc::clone(&self.counters);
        move || counters.stats()
    }

    /// Closes every recording and waits until all are in the manifest. Events must be taken out meanwhile where their channel
    /// is bounded.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Shutdown);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The writer's thread.
struct Thread<C> {
    taps: Vec<TapReader>,
    commands: Receiver<Command>,
    clock: C,
    desk: Desk,
    ending: bool,
}

/// The open recordings.
struct Desk {
    dir: PathBuf,
    /// In boxes: the nodes of the map are half empty.
    open: BTreeMap<RecordingId, Box<Open>>,
    /// Recordings that are over and that the disk did not take, oldest first.
    owed: VecDeque<Box<Open>>,
    owed_tried: Tick,
    jobs: Sender<Job>,
    counters: Arc<Counters>,
    protection: Option<Protection>,
    /// Writing fails.
    trouble: bool,
    untold_drops: u64,
    drops_told: Tick,
}

impl<C: Fn() -> Tick> Thread<C> {
    fn run(&mut self) {
        loop {
            let command = if self.desk.open.is_empty() && self.desk.owed.is_empty() {
                self.commands.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.commands.recv_timeout(TURN)
            };
            match command {
                Ok(command) => self.ending |= self.desk.obey(command, &self.clock),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.ending = true,
            }
            self.obey_all();
            // Before the rings are drained: all records up to `IN_AFTER` before are then in.
            let now = (self.clock)();
            let behind = self.drain();
            self.desk.turn(now, behind, self.ending);
            self.desk.counters.turn_us_max.fetch_max((self.clock)().since(now).as_us(), Relaxed);
            if self.ending {
                return;
            }
        }
    }

    fn obey_all(&mut self) {
        self.ending |= self.desk.obey_all(&self.commands, &self.clock);
    }

    /// Takes what lies in the rings, of each as much as it holds; says whether one was behind.
    fn drain(&mut self) -> bool {
        let Self { taps, commands, clock, desk, ending } = self;
        let mut behind = false;
        for (index, tap) in taps.iter_mut().enumerate() {
            behind |= tap.is_behind();
            let records = tap.drain(tap.chunks(), |header, payload| {
                if header.dropped_before > 0 {
                    *ending |= desk.obey_all(commands, clock);
                    desk.dropped(index, header);
                }
                if desk.receive(index, header, payload, false) {
                    return;
                }
                // A record may overtake the command that opens its recording, or goes on with it.
                *ending |= desk.obey_all(commands, clock);
                if !desk.receive(index, header, payload, true) {
                    desk.counters.orphans.fetch_add(1, Relaxed);
                }
            });
            desk.counters.records.fetch_add(records as u64, Relaxed);
        }
        behind
    }
}

impl Desk {
    /// Carries out what was asked for; says whether the writer is to end.
    fn obey_all(&mut self, commands: &Receiver<Command>, clock: &impl Fn() -> Tick) -> bool {
        let mut ends = false;
        while let Ok(command) = commands.try_recv() {
            ends |= self.obey(command, clock);
        }
        ends
    }

    fn obey(&mut self, command: Command, clock: &impl Fn() -> Tick) -> bool {
        match command {
            Command::Open(spec) => self.open(*spec, clock()),
            Command::Pause(id, at) => {
                if let Some(open) = self.open.get_mut(&id) {
                    open.recording.pause(at);
                }
            }
            Command::Resume(id, at) => {
                if let Some(open) = self.open.get_mut(&id) {
                    open.recording.resume(at);
                }
            }
            Command::Close(id, at) => {
                if let Some(open) = self.open.get_mut(&id) {
                    open.closing = Some(at);
                }
            }
            Command::Shutdown => return true,
        }
        false
    }

    /// Where the disk refuses, the recording goes on in memory and is made as soon as it does not.
    fn open(&mut self, spec: RecordingSpec, now: Tick) {
        let id = spec.id;
        let refused = if self.open.contains_key(&id) {
            Some("it is open already".to_owned())
        } else {
            (self.open.len() >= RECORDINGS_MAX).then(|| format!("{RECORDINGS_MAX} recordings are open"))
        };
        if let Some(why) = refused {
            return self.fail(id, &format!("could not be opened: {why}"));
        }
        let open = Box::new(Open::new(spec, now, self.protection.is_some()));
        let open = self.open.entry(id).or_insert(open);
        let written = open.flush(&self.dir, &mut self.protection, &self.counters);
        judge(&mut self.trouble, &self.jobs, written);
    }

    /// Records of any recording that this ring feeds were lost.
    fn dropped(&mut self, ring: usize, header: &TapHeader) {
        let count = u64::from(header.dropped_before);
        self.counters.dropped.fetch_add(count, Relaxed);
        self.untold_drops += count;
        for open in self.open.values_mut().filter(|open| open.ring.is_none_or(|its| its == ring)) {
            open.recording.ring_dropped(header.at, header.dropped_before);
        }
    }

    /// Says whether its recording is open and, where it is not `known` that no command waits, not paused.
    fn receive(&mut self, ring: usize, header: &TapHeader, payload: &[u8], known: bool) -> bool {
        let open = self.open.get_mut(&header.recording).filter(|open| known || !open.recording.is_paused());
        let Some(open) = open else { return false };
        open.ring = Some(ring);
        open.recording.receive(header, payload);
        if open.recording.unwritten() > UNWRITTEN_MAX {
            let written = open.flush(&self.dir, &mut self.protection, &self.counters);
            judge(&mut self.trouble, &self.jobs, written);
        }
        true
    }

    /// Lets time pass: writes what is due, closes what is over (everything at the `end`).
    fn turn(&mut self, now: Tick, behind: bool, end: bool) {
        let linger = if behind { CLOSE_LINGER + CATCH_UP } else { CLOSE_LINGER };
        let is_over = |open: &Open| end || open.closing.is_some_and(|at| now >= at + linger);
        let over: Vec<RecordingId> = self.open.iter().filter(|(_, open)| is_over(open)).map(|(id, _)| *id).collect();
        self.pay(now, end);
        for id in over {
            if let Some(open) = self.open.remove(&id) {
                self.finish(open, now, end);
            }
        }
        let all_in = Tick::from_us(now.as_us().saturating_sub(IN_AFTER.as_us()));
        for open in self.open.values_mut().filter(|open| now.since(open.flushed) >= FLUSH_EVERY) {
            open.flushed = now;
            open.recording.advance(open.closing.unwrap_or(all_in).min(all_in));
            let written = open.flush(&self.dir, &mut self.protection, &self.counters);
            judge(&mut self.trouble, &self.jobs, written);
        }
        if self.untold_drops > 0 && now.since(self.drops_told) >= DROPPED_EVERY {
            self.drops_told = now;
            let count = std::mem::take(&mut self.untold_drops);
            self.tell(RecorderEvent::Dropped { count });
        }
        self.counters.open.store((self.open.len() + self.owed.len()) as u64, Relaxed);
        self.counters.owed.store(self.owed.len() as u64, Relaxed);
    }

    /// Gives the disk what it owes, until it refuses; all of it is tried at the `end`.
    fn pay(&mut self, now: Tick, end: bool) {
        if !end && now.since(self.owed_tried) < FLUSH_EVERY {
            return;
        }
        self.owed_tried = now;
        while let Some(open) = self.owed.pop_front() {
            if let Some(open) = self.close(open, now, end) {
                return self.owed.push_front(open);
            }
        }
    }

    /// Closes a recording, or keeps it until the disk takes it. Where too many wait, the oldest that still has speech loses it.
    fn finish(&mut self, open: Box<Open>, now: Tick, end: bool) {
        let Some(open) = self.close(open, now, end) else { return };
        self.owed.push_back(open);
        if let Some(open) = self.owed.len().checked_sub(OWED_MAX + 1).and_then(|at| self.owed.get_mut(at)) {
            open.recording.forget();
            self.counters.forgotten.fetch_add(1, Relaxed);
        }
    }

    /// Gives a recording back that the disk refuses; at the `end` that is given up.
    fn close(&mut self, mut open: Box<Open>, now: Tick, end: bool) -> Option<Box<Open>> {
        let written = open.end(now, &self.dir, &mut self.protection, &self.counters);
        let refused = written.as_ref().err().map(ToString::to_string);
        judge(&mut self.trouble, &self.jobs, written);
        match refused {
            None => {
                let _ = open.finished().map(|finished| self.jobs.send(Job::Close(Box::new(finished))));
                None
            }
            // The journal stays, so that the next start mends what there is.
            Some(error) if end => {
                let what = format!(
                    "could not be written to its end; what there is of it is mended at the next start: {error}"
                );
                self.fail(open.recording.spec().id, &what);
                None
            }
            Some(_) => Some(open),
        }
    }

    fn fail(&self, id: RecordingId, what: &str) {
        self.counters.failed.fetch_add(1, Relaxed);
        self.tell(RecorderEvent::Failed { id: Some(id), error: format!("the recording {id} {what}") });
    }

    /// By way of the closing thread, which may wait for the listener.
    fn tell(&self, event: RecorderEvent) {
        let _ = self.jobs.send(Job::Tell(event));
    }
}

/// Reports when the disk begins to refuse and when it takes data again.
fn judge(trouble: &mut bool, jobs: &Sender<Job>, outcome: io::Result<()>) {
    let event = match outcome {
        Ok(()) if *trouble => RecorderEvent::DiskRecovered,
        Err(error) if !*trouble => RecorderEvent::DiskTrouble { error: error.to_string() },
        Ok(()) | Err(_) => return,
    };
    *trouble = !*trouble;
    let _ = jobs.send(Job::Tell(event));
}
