//! The handle: cheap to clone, never blocks a writer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use crossbeam_channel::bounded;
use offhook_units::{CallId, PersonRef, RecordingId, Span, Tick};
use tokio::sync::{mpsc, oneshot};

use crate::journal::Journal;
use crate::packing::{self, Record};
use crate::reads::{self, LogPage, Read, Reply, Sees};
use crate::recordings::Change;
use crate::rows::{
    AuditRow, BindingRow, CallFilter, CallRow, CodeCount, RecordingFilter, RecordingRow, SessionRow, WrapUpRow,
    WrapUpSeen,
};
use crate::schema;
use crate::sessions;
use crate::worker::{Ask, Keeper, Op, Worker, Write};
use crate::{AppendError, StoreError};

/// Limits of the store's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Records and writes that are not in the database at which [`Store::is_full`] turns true: refuse new calls.
    pub queue_full: u64,
    /// Records and writes that are not in the database at which [`Store::append`] gives records back and registrations are not kept any more.
    pub queue_max: u64,
    /// How long records are gathered before they are committed together.
    pub gather: Span,
    /// How long the journal holds what is committed before it is brought into the database, unless somebody reads there.
    pub settle: Span,
}

impl Default for Limits {
    /// Full at 20,000, refusing at 100,000, gathering for 8 ms so that a commit ends within about 10 ms; in the database after
    /// 250 ms.
    fn default() -> Self {
        Self { queue_full: 20_000, queue_max: 100_000, gather: Span::from_ms(8), settle: Span::from_ms(250) }
    }
}

/// Figures of the store since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Log records and other writes waiting for a commit.
    pub queued: u64,
    /// Log records appended.
    pub records: u64,
    /// Groups committed: written to the journal.
    pub commits: u64,
    /// Time spent on that, in microseconds.
    pub commit_us: u64,
    /// The longest of it, in microseconds.
    pub commit_us_max: u64,
    /// Records and writes that are committed and not yet in the database.
    pub unsettled: u64,
    /// Transactions that brought groups into the database.
    pub settlings: u64,
    /// Time spent in them, in microseconds.
    pub settle_us: u64,
    /// Groups and transactions that failed and were tried again.
    pub failures: u64,
    /// Appends and registrations refused at the hard limit.
    pub refused: u64,
    /// Position of the last committed log record.
    pub committed: u64,
}

/// The same figures, shared between handles and the store's thread.
#[derive(Debug, Default)]
pub struct Counters {
    pub queued: AtomicU64,
    pub records: AtomicU64,
    pub commits: AtomicU64,
    pub commit_us: AtomicU64,
    pub commit_us_max: AtomicU64,
    pub unsettled: AtomicU64,
    pub settlings: AtomicU64,
    pub settle_us: AtomicU64,
    pub failures: AtomicU64,
    pub refused: AtomicU64,
    pub committed: AtomicU64,
}

impl Counters {
    /// Records and writes that are not in the database.
    fn outside(&self) -> u64 {
        self.queued.load(Relaxed) + self.unsettled.load(Relaxed)
    }
}

/// A handle to the open store. When the last one is dropped, what was handed over is still committed.
#[derive(Debug, Clone)]
pub struct Store {
    ops: mpsc::UnboundedSender<Op>,
    reads: mpsc::UnboundedSender<(Sees, Read)>,
    sees: Sees,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    counters: Arc<Counters>,
    boot: u32,
    first_seq: u64,
    last_tick: Option<Tick>,
    last_appended: AtomicU64,
}

impl Store {
    /// Opens the store in `data_dir`, creating and migrating as needed, and counts one start ([`Store::boot`]). Blocks.
    ///
    /// # Errors
    /// The folder cannot be used or is in use; the database is newer, damaged or refused. The message says what to do.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(data_dir, Limits::default())
    }

    /// As [`Store::open`], with other limits.
    pub fn open_with(data_dir: &Path, limits: Limits) -> Result<Self, StoreError> {
        let lock = schema::lock_folder(data_dir)?;
        let (ops, ops_out) = mpsc::unbounded_channel();
        let (reads, reads_out) = mpsc::unbounded_channel();
        let counters = Arc::new(Counters::default());
        let (opened, outcome) = bounded(1);
        let folder = data_dir.to_path_buf();
        let thread_failed =
            |cause: std::io::Error| StoreError::Folder { path: data_dir.into(), cause: cause.to_string() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(thread_failed)?;
        let thread_counters = counters.clone();
        let body = move || {
            runtime.block_on(async move {
                let open = match schema::open(&folder, lock).await {
                    Ok(open) => open,
                    Err(error) => return opened.send(Err(error)).unwrap_or_default(),
                };
                let schema::Opened { writer, readers, boot, last_seq, last_tick, who_secret, lock } = open;
                let (journal, mut found) = match Journal::open(&folder, &who_secret) {
                    Ok(opened) => opened,
                    Err(cause) => {
                        let error = StoreError::Damaged { place: "the journal".into(), cause: cause.to_string() };
                        return opened.send(Err(error)).unwrap_or_default();
                    }
                };
                // The database takes records in order: what is there is not told twice.
                found.records.retain(|record| record.seq > last_seq);
                let last_seq = found.records.last().map_or(last_seq, |record| record.seq);
                let last_tick = found.records.iter().map(|record| record.at).max().max(last_tick);
                let journal = Rc::new(RefCell::new(journal));
                let counters = Arc::clone(&thread_counters);
                let mut worker = Worker { journal: Rc::clone(&journal), writer, who_secret, limits, counters };
                if let Err(error) = worker.replay(found).await {
                    return opened.send(Err(error)).unwrap_or_default();
                }
                thread_counters.committed.store(last_seq, Relaxed);
                let (settled, to_settle) = mpsc::unbounded_channel();
                let reading = tokio::spawn(reads::serve(reads_out, readers.clone(), settled.clone()));
                let _ = opened.send(Ok((boot, last_seq, last_tick)));
                let keeper = Keeper { journal, worker: settled, limits, counters: thread_counters };
                let keeping = async {
                    keeper.run(ops_out).await;
                    std::future::pending::<()>().await;
                };
                let (waiting, closed) = tokio::select! {
                    ended = worker.run(to_settle) => ended,
                    () = keeping => return,
                };
                reading.abort();
                readers.close().await;
                drop(lock);
                if let Some(reply) = waiting {
                    reply(closed);
                }
            });
        };
        thread::Builder::new().name("store".into()).spawn(body).map_err(thread_failed)?;
        let (boot, last_seq, last_tick) = outcome.recv().map_err(|_| StoreError::Closed)??;
        let shared = Shared {
            limits,
            counters,
            boot,
            first_seq: last_seq + 1,
            last_tick,
            last_appended: AtomicU64::new(last_seq),
        };
        Ok(Self { ops, reads, sees: Sees::All, shared: Arc::new(shared) })
    }

    /// Hands records to the log, which commits them within about 10 ms. Positions must rise strictly, from
    /// [`Store::next_seq`] on, over all appends; one thread appends. Never blocks.
    ///
    /// # Errors
    /// [`AppendError::Full`] gives the records back; [`AppendError::OutOfOrder`] is the caller's fault.
    pub fn append(&self, records: Vec<Record>) -> Result<(), AppendError> {
        let counters = &self.shared.counters;
        if counters.outside() >= self.shared.limits.queue_max {
            counters.refused.fetch_add(records.len() as u64, Relaxed);
            return Err(AppendError::Full(records));
        }
        let mut after = self.shared.last_appended.load(Relaxed);
        for &Record { seq, .. } in &records {
            if seq <= after || i64::try_from(seq).is_err() {
                return Err(AppendError::OutOfOrder { seq, after });
            }
            after = seq;
        }
        self.shared.last_appended.store(after, Relaxed);
        counters.queued.fetch_add(records.len() as u64, Relaxed);
        counters.records.fetch_add(records.len() as u64, Relaxed);
        let _ = self.ops.send(Op::Append(records));
        Ok(())
    }

    /// Calls `notice` on the store's thread once everything this thread handed over before is committed. It must not block:
    /// typically it sends an input to the control loop.
    pub fn commit_notice(&self, notice: impl FnOnce() + Send + 'static) {
        let _ = self.ops.send(Op::Notice(Box::new(notice)));
    }

    /// Whether too much waits for the database: refuse new calls (503).
    pub fn is_full(&self) -> bool {
        self.shared.counters.outside() >= self.shared.limits.queue_full
    }

    /// The position for the next record.
    pub fn next_seq(&self) -> u64 {
        self.shared.last_appended.load(Relaxed) + 1
    }

    /// The latest instant in the log as it was found at the opening, for the exchange clock.
    pub fn last_tick(&self) -> Option<Tick> {
        self.shared.last_tick
    }

    /// The position of the first record of this life; what is before it was found at the opening.
    pub fn first_seq(&self) -> u64 {
        self.shared.first_seq
    }

    /// Gives each committed record from position `from_seq` on to `each`, oldest first. Blocks: at start only.
    pub fn read_log(&self, from_seq: u64, mut each: impl FnMut(Record)) -> Result<(), StoreError> {
        let wanted = |record: &Record| record.seq >= from_seq;
        self.read_pages(from_seq, Read::Log, |record| {
            if wanted(&record) {
                each(record);
            }
        })
    }

    /// Gives each committed record of the time from `from` to before `until` to `each`, in the order of the log. Blocks: never from
    /// a thread that others wait for.
    pub fn read_log_between(&self, from: Tick, until: Tick, mut each: impl FnMut(Record)) -> Result<(), StoreError> {
        let page = |seq, reply| Read::LogBetween(seq, from, until, reply);
        self.read_pages(0, page, |record| {
            if (from..until).contains(&record.at) {
                each(record);
            }
        })
    }

    fn read_pages(
        &self,
        from_seq: u64,
        ask: impl Fn(u64, Reply<LogPage>) -> Read,
        mut each: impl FnMut(Record),
    ) -> Result<(), StoreError> {
        let mut next = from_seq;
        loop {
            let page = self.read_blocking(|reply| ask(next, reply))?;
            let mut last = None;
            for (first_seq, packed) in &page {
                let unpacked = packing::unpack(packed, |record| {
                    last = Some(record.seq);
                    each(record);
                });
                unpacked.map_err(|cause| StoreError::Damaged {
                    place: format!("log segment {first_seq}"),
                    cause: cause.into(),
                })?;
            }
            match last {
                Some(last) if page.len() == reads::PAGE_SEGMENTS => next = last + 1,
                _ => return Ok(()),
            }
        }
    }

    /// Committed records from position `from_seq` on, oldest first: some of them, where there are many.
    pub async fn log_page(&self, from_seq: u64) -> Result<Vec<Record>, StoreError> {
        let page = self.read(|reply| Read::Log(from_seq, reply)).await?;
        let mut records = Vec::new();
        for (first_seq, packed) in &page {
            let unpacked = packing::unpack(packed, |record| {
                if record.seq >= from_seq {
                    records.push(record);
                }
            });
            unpacked.map_err(|cause| StoreError::Damaged {
                place: format!("log segment {first_seq}"),
                cause: cause.into(),
            })?;
        }
        Ok(records)
    }

    /// The same store, whose reads see what is in the database and hurry nothing there: what was committed within
    /// [`Limits::settle`] may be missing, and the writer is not interrupted for it.
    #[must_use]
    pub fn unhurried(&self) -> Self {
        Self { sees: Sees::Database, ..self.clone() }
    }

    /// Keeps the record of an ended call. Committed with the log, in order. Never blocks.
    pub fn put_call(&self, row: CallRow) {
        self.write(Write::Call(row));
    }

    /// Calls, newest first.
    pub async fn calls(&self, filter: CallFilter) -> Result<Vec<CallRow>, StoreError> {
        self.read(|reply| Read::Calls(filter, reply)).await
    }

    /// One call.
    pub async fn call(&self, id: CallId) -> Result<Option<CallRow>, StoreError> {
        self.read(|reply| Read::Call(id, reply)).await
    }

    /// Keeps a registration. Never blocks; at the queue's hard limit it is not kept, which costs the phone one refresh
    /// after a restart.
    pub fn put_binding(&self, row: BindingRow) {
        self.write_unless_full(Write::Binding(row));
    }

    /// Removes a registration; as [`Store::put_binding`].
    pub fn remove_binding(&self, key: &str) {
        self.write_unless_full(Write::Unbind(key.into()));
    }

    /// All registrations. Blocks: at start only.
    pub fn bindings(&self) -> Result<Vec<BindingRow>, StoreError> {
        self.read_blocking(Read::Bindings)
    }

    /// All ids that [`Store::config_id`] has made, by kind and key: one question for what may be thousands. Blocks: at start and
    /// reload only.
    pub fn config_ids(&self) -> Result<BTreeMap<(String, String), u64>, StoreError> {
        self.read_blocking(Read::ConfigIds)
    }

    /// The id of `key` among things of `kind`: made at first sight from 1 on, the same ever after. Blocks: at start and
    /// reload only.
    pub fn config_id(&self, kind: &str, key: &str) -> Result<u64, StoreError> {
        self.ask_blocking(|reply| Op::Ask(Ask::ConfigId(kind.into(), key.into(), reply)))
    }

    /// Which life of this data folder this is, from 1.
    pub fn boot(&self) -> u32 {
        self.shared.boot
    }

    /// Seals `text` (a number, a name) under `person`, a reference of the caller's making that is never used again;
    /// references to the same text share one key and are forgotten together. Never blocks.
    pub fn put_person(&self, person: PersonRef, text: &str) {
        self.write(Write::Person(person, text.into()));
    }

    /// What `person` stands for; `None` where unknown, forgotten or not yet committed.
    pub async fn person_text(&self, person: PersonRef) -> Result<Option<String>, StoreError> {
        self.read(|reply| Read::Person(person, reply)).await
    }

    /// As [`Store::person_text`], for a program that starts: blocks until the database has answered.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn person_text_now(&self, person: PersonRef) -> Result<Option<String>, StoreError> {
        self.read_blocking(|reply| Read::Person(person, reply))
    }

    /// Forgets the person that `person` stands for; gives how many references became void.
    pub async fn forget(&self, person: PersonRef) -> Result<u64, StoreError> {
        let (reply, answer) = waiting();
        let _ = self.ops.send(Op::Ask(Ask::Forget(person, reply)));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Keeps what an agent noted of a call, in the place of what the same agent noted of it before. Says whether the note was kept: not
    /// where its person is forgotten, or unknown.
    ///
    /// # Errors
    /// The database cannot be written now, or the store is closed.
    pub async fn put_wrap_up(&self, row: WrapUpRow) -> Result<bool, StoreError> {
        let (reply, answer) = waiting();
        let _ = self.ops.send(Op::Ask(Ask::WrapUp(Box::new(row), reply)));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// What agents noted of a call, oldest first.
    pub async fn wrap_ups(&self, call: CallId) -> Result<Vec<WrapUpSeen>, StoreError> {
        self.read(|reply| Read::WrapUps(call, reply)).await
    }

    /// Keeps a session of the HTTP server, in the place of what was kept of it; returns when it is in the database.
    ///
    /// # Errors
    /// The database cannot be written now, or the store is closed.
    pub async fn put_session(&self, row: SessionRow) -> Result<(), StoreError> {
        self.change_sessions(sessions::Change::Put(row)).await
    }

    /// Forgets sessions, by what their cookies hash to; as [`Store::put_session`].
    ///
    /// # Errors
    /// As there.
    pub async fn remove_sessions(&self, keys: Vec<[u8; 32]>) -> Result<(), StoreError> {
        self.change_sessions(sessions::Change::Remove(keys)).await
    }

    async fn change_sessions(&self, change: sessions::Change) -> Result<(), StoreError> {
        let (reply, answer) = waiting();
        let _ = self.ops.send(Op::Ask(Ask::Session(change, reply)));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// All sessions that are kept.
    pub async fn sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        self.read(Read::Sessions).await
    }

    /// Ended calls made by the person that `person` stands for, newest first; none where that is forgotten.
    pub async fn calls_of(&self, person: PersonRef, limit: u32) -> Result<Vec<CallRow>, StoreError> {
        self.read(|reply| Read::CallsOf(person, limit, reply)).await
    }

    /// How often each code was given between two instants, by queue.
    pub async fn codes(&self, from: Tick, until: Tick) -> Result<Vec<CodeCount>, StoreError> {
        self.read(|reply| Read::Codes(from, until, reply)).await
    }

    /// Keeps a closed recording; one that is known already stays as it is. Never blocks.
    pub fn put_recording(&self, row: RecordingRow) {
        self.write(Write::Recording(Change::Closed(row)));
    }

    /// Recordings with their calls, where these are known and have ended, newest first.
    pub async fn recordings(
        &self,
        filter: RecordingFilter,
    ) -> Result<Vec<(RecordingRow, Option<CallRow>)>, StoreError> {
        self.read(|reply| Read::Recordings(filter, reply)).await
    }

    /// One recording.
    pub async fn recording(&self, id: RecordingId) -> Result<Option<RecordingRow>, StoreError> {
        self.read(|reply| Read::Recording(id, reply)).await
    }

    /// Writes an entry of the audit log; returns when it is committed, so that what it tells of may be done.
    ///
    /// # Errors
    /// The store is closed. While the disk refuses, this waits.
    pub async fn audit(&self, row: AuditRow) -> Result<(), StoreError> {
        let (committed, wait) = oneshot::channel();
        self.write(Write::Recording(Change::Audit(row)));
        self.commit_notice(move || _ = committed.send(()));
        wait.await.map_err(|_| StoreError::Closed)
    }

    /// The newest entries of the audit log, or of those before one of them, oldest first, with their numbers; at most 10,000.
    pub async fn audited(&self, limit: u32, before: Option<u64>) -> Result<Vec<(u64, AuditRow)>, StoreError> {
        self.read(|reply| Read::Audit(limit, before, reply)).await
    }

    /// The figures now.
    pub fn stats(&self) -> StoreStats {
        let Counters {
            queued,
            records,
            commits,
            commit_us,
            commit_us_max,
            unsettled,
            settlings,
            settle_us,
            failures,
            refused,
            committed,
        } = &*self.shared.counters;
        StoreStats {
            queued: queued.load(Relaxed),
            records: records.load(Relaxed),
            commits: commits.load(Relaxed),
            commit_us: commit_us.load(Relaxed),
            commit_us_max: commit_us_max.load(Relaxed),
            unsettled: unsettled.load(Relaxed),
            settlings: settlings.load(Relaxed),
            settle_us: settle_us.load(Relaxed),
            failures: failures.load(Relaxed),
            refused: refused.load(Relaxed),
            committed: committed.load(Relaxed),
        }
    }

    /// Brings everything handed over into the database, closes it and waits for that. Other handles then get [`StoreError::Closed`].
    pub fn shutdown(&self) -> Result<(), StoreError> {
        self.ask_blocking(Op::Shutdown)
    }

    fn write(&self, write: Write) {
        self.shared.counters.queued.fetch_add(1, Relaxed);
        let _ = self.ops.send(Op::Write(write));
    }

    fn write_unless_full(&self, write: Write) {
        if self.shared.counters.outside() >= self.shared.limits.queue_max {
            self.shared.counters.refused.fetch_add(1, Relaxed);
        } else {
            self.write(write);
        }
    }

    async fn read<T: Send + 'static>(&self, request: impl FnOnce(Reply<T>) -> Read) -> Result<T, StoreError> {
        let (reply, answer) = waiting();
        let _ = self.reads.send((self.sees, request(reply)));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    fn read_blocking<T: Send + 'static>(&self, request: impl FnOnce(Reply<T>) -> Read) -> Result<T, StoreError> {
        let (reply, answer) = blocking();
        let _ = self.reads.send((self.sees, request(reply)));
        answer.recv().unwrap_or(Err(StoreError::Closed))
    }

    fn ask_blocking<T: Send + 'static>(&self, request: impl FnOnce(Reply<T>) -> Op) -> Result<T, StoreError> {
        let (reply, answer) = blocking();
        let _ = self.ops.send(request(reply));
        answer.recv().unwrap_or(Err(StoreError::Closed))
    }
}

/// A reply that an async caller waits for.
fn waiting<T: Send + 'static>() -> (Reply<T>, oneshot::Receiver<Result<T, StoreError>>) {
    let (answer, waiting) = oneshot::channel();
    (Box::new(move |result| _ = answer.send(result)), waiting)
}

/// A reply that a blocking caller waits for.
fn blocking<T: Send + 'static>() -> (Reply<T>, crossbeam_channel::Receiver<Result<T, StoreError>>) {
    let (answer, waiting) = bounded(1);
    (Box::new(move |result| _ = answer.send(result)), waiting)
}
