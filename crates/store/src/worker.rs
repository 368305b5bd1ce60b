//! The store's thread: gathers what is handed over, writes it to the journal in groups, and brings it into the database in larger
//! ones.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use offhook_units::PersonRef;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant as Deadline, timeout_at};

use crate::StoreError;
use crate::journal::{self, Found, Journal};
use crate::packing::{self, Record, Segment};
use crate::people;
use crate::reads::Reply;
use crate::recordings::{self, Change};
use crate::rows::{BindingRow, CallRow, WrapUpRow};
use crate::sessions;
use crate::store::{Counters, Limits};
use crate::wrap_ups;

/// Most operations of one transaction, so that it stays short.
const BATCH_MAX: usize = 4_096;

/// Rows of one statement at most, well below SQLite's limit of 32,766 bound values.
const ROWS_MAX: usize = 256;

/// Operations up to which a transaction's text is worth keeping prepared.
const REPEATING_MAX: usize = 64;

/// How long a refused transaction rests before it is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// What can be handed over.
pub enum Op {
    Append(Vec<Record>),
    Write(Write),
    /// Called after the commit of everything before it.
    Notice(Box<dyn FnOnce() + Send>),
    /// Called when the database has everything that is committed.
    Settle(Box<dyn FnOnce() + Send>),
    /// A write with an answer; the database gets everything before it first.
    Ask(Ask),
    /// Bring everything before it into the database, close, answer.
    Shutdown(Reply<()>),
}

/// Writes beside the log.
pub enum Write {
    Call(CallRow),
    Binding(BindingRow),
    Unbind(String),
    Person(PersonRef, String),
    Recording(Change),
}

/// Writes that are waited for.
pub enum Ask {
    ConfigId(String, String, Reply<u64>),
    Forget(PersonRef, Reply<u64>),
    WrapUp(Box<WrapUpRow>, Reply<bool>),
    Session(sessions::Change, Reply<()>),
}

/// One transaction in the making.
#[derive(Default)]
struct Batch {
    records: Vec<Record>,
    writes: Vec<Write>,
    notices: Vec<Box<dyn FnOnce() + Send>>,
    operations: usize,
}

/// Writes what comes to the journal, which commits it, and passes it on to the [`Worker`].
pub struct Keeper {
    pub journal: Rc<RefCell<Journal>>,
    pub worker: UnboundedSender<Op>,
    pub limits: Limits,
    pub counters: Arc<Counters>,
}

impl Keeper {
    /// Runs until every handle is gone.
    pub async fn run(self, mut ops: UnboundedReceiver<Op>) {
        let mut group = Vec::new();
        while let Some(first) = ops.recv().await {
            if let Op::Append(_) | Op::Write(_) | Op::Notice(_) = &first {
                tokio::time::sleep(self.limits.gather.as_std()).await;
            }
            let mut next = Some(first);
            while let Some(op) = next {
                group.push(op);
                next = if group.len() < BATCH_MAX { ops.try_recv().ok() } else { None };
            }
            self.keep(&group).await;
            self.pass_on(&mut group);
        }
    }

    /// Commits a group, however often it takes.
    async fn keep(&self, group: &[Op]) {
        let (mut records, mut writes) = (Vec::new(), 0);
        for op in group {
            match op {
                Op::Append(more) => records.extend_from_slice(more),
                Op::Write(_) => writes += 1,
                Op::Notice(_) | Op::Settle(_) | Op::Ask(_) | Op::Shutdown(_) => {}
            }
        }
        let operations = records.len() as u64 + writes;
        if operations == 0 {
            return;
        }
        let mut refusals = 0_u32;
        let begun = loop {
            let begun = Instant::now();
            let writes = group.iter().filter_map(|op| if let Op::Write(write) = op { Some(write) } else { None });
            let kept = self.journal.borrow_mut().append(&records, writes);
            let Err(error) = kept else { break begun };
            self.counters.failures.fetch_add(1, Relaxed);
            if refusals == 0 {
                tracing::error!(%error, "the store cannot write its journal; it is tried again until it can");
            }
            refusals += 1;
            tokio::time::sleep(RETRY).await;
        };
        if refusals > 0 {
            tracing::warn!(refusals, "the store writes its journal again");
        }
        let (counters, us) = (&self.counters, begun.elapsed().as_micros() as u64);
        counters.unsettled.fetch_add(operations, Relaxed);
        counters.queued.fetch_sub(operations, Relaxed);
        counters.commits.fetch_add(1, Relaxed);
        counters.commit_us.fetch_add(us, Relaxed);
        counters.commit_us_max.fetch_max(us, Relaxed);
        if let Some(last) = records.last() {
            counters.committed.fetch_max(last.seq, Relaxed);
        }
    }

    /// The database gets all of it; who waits for the commit is told now, unless the journal does not keep what came before.
    fn pass_on(&self, group: &mut Vec<Op>) {
        let mut all_kept = true;
        for op in group.drain(..) {
            match op {
                Op::Notice(notice) if all_kept => notice(),
                op => {
                    all_kept &= !matches!(&op, Op::Write(write) if !journal::is_kept(write));
                    // The worker ends after a shutdown: whoever still asks is told so by the dropped reply.
                    let _ = self.worker.send(op);
                }
            }
        }
    }
}

/// The connection that writes, and what it needs.
pub struct Worker {
    pub journal: Rc<RefCell<Journal>>,
    pub writer: SqliteConnection,
    pub who_secret: [u8; 32],
    pub limits: Limits,
    pub counters: Arc<Counters>,
}

impl Worker {
    /// Brings into the database what stood in the journal at the opening.
    pub async fn replay(&mut self, found: Found) -> Result<(), StoreError> {
        let refused = StoreError::database("take over what the journal held");
        let Found { mut records, mut writes } = found;
        while !records.is_empty() || !writes.is_empty() {
            let (now, later) = (records.len().min(BATCH_MAX), writes.len().min(BATCH_MAX));
            let batch = Batch {
                operations: now + later,
                records: records.drain(..now).collect(),
                writes: writes.drain(..later).collect(),
                notices: Vec::new(),
            };
            self.transaction(&batch).await.map_err(&refused)?;
        }
        for file in 0..2 {
            self.empty(file).await;
        }
        Ok(())
    }

    /// Runs until shut down or until every handle is gone; everything handed over is in the database then. Gives who waits for
    /// the shutdown.
    pub async fn run(mut self, mut ops: UnboundedReceiver<Op>) -> (Option<Reply<()>>, Result<(), StoreError>) {
        let mut waiting = Vec::new();
        let mut closed = None;
        while closed.is_none() {
            let Some(first) = ops.recv().await else { break };
            let due = Deadline::now() + self.limits.settle.as_std();
            let mut presses = first.presses();
            waiting.push(first);
            while !presses && waiting.len() < BATCH_MAX {
                let Ok(Some(op)) = timeout_at(due, ops.recv()).await else { break };
                presses = op.presses();
                waiting.push(op);
            }
            // All that the journal holds has been passed on: from here on it writes to its other file.
            while let Ok(op) = ops.try_recv() {
                waiting.push(op);
            }
            let full = self.journal.borrow_mut().switch();
            let (asks, shutdown) = self.settle(&mut waiting).await;
            self.empty(full).await;
            for ask in asks {
                self.answer(ask).await;
            }
            closed = shutdown;
        }
        (closed, sqlx::Connection::close(self.writer).await.map_err(StoreError::database("close")))
    }

    /// Brings all that waits into the database, in order. Gives what is asked for then - who is forgotten must be gone from the
    /// journal too - and who asked to shut down; nothing behind that counts.
    async fn settle(&mut self, waiting: &mut Vec<Op>) -> (Vec<Ask>, Option<Reply<()>>) {
        let (mut batch, mut asks, mut shutdown) = (Batch::default(), Vec::new(), None);
        for op in waiting.drain(..) {
            match op {
                Op::Append(records) => {
                    batch.operations += records.len();
                    batch.records.extend(records);
                }
                Op::Write(write) => {
                    batch.operations += 1;
                    batch.writes.push(write);
                }
                Op::Notice(notice) | Op::Settle(notice) => batch.notices.push(notice),
                Op::Ask(ask) => asks.push(ask),
                Op::Shutdown(reply) => {
                    shutdown = Some(reply);
                    break;
                }
            }
            if batch.operations >= BATCH_MAX {
                self.commit(&mut batch).await;
            }
        }
        self.commit(&mut batch).await;
        (asks, shutdown)
    }

    /// The database has what stood in this file of the journal.
    async fn empty(&self, file: usize) {
        loop {
            let emptied = self.journal.borrow_mut().empty(file);
            let Err(error) = emptied else { return };
            self.counters.failures.fetch_add(1, Relaxed);
            tracing::error!(%error, "the store cannot empty its journal; it is tried again until it can");
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Commits the batch, however often it takes, then gives its notices.
    async fn commit(&mut self, batch: &mut Batch) {
        if batch.operations > 0 {
            let mut refusals = 0_u32;
            loop {
                let begun = Instant::now();
                match self.transaction(batch).await {
                    Ok(()) => {
                        self.count(batch, begun.elapsed());
                        break;
                    }
                    Err(error) => {
                        self.counters.failures.fetch_add(1, Relaxed);
                        if refusals == 0 {
                            tracing::error!(%error, "the store cannot commit; it is tried again until it can");
                        }
                        refusals += 1;
                        let _ = sqlx::raw_sql("ROLLBACK").execute(&mut self.writer).await;
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
            if refusals > 0 {
                tracing::warn!(refusals, "the store commits again");
            }
        }
        for notice in batch.notices.drain(..) {
            notice();
        }
        batch.records.clear();
        batch.writes.clear();
        batch.operations = 0;
    }

    /// The whole batch as one text of several statements: each trip to the connection's thread costs more than a row.
    async fn transaction(&mut self, batch: &Batch) -> sqlx::Result<()> {
        let people: Vec<_> = batch.writes.iter().filter_map(Write::person).collect();
        let sealed = people::seal(&mut self.writer, &self.who_secret, &people, ROWS_MAX).await?;
        let segments = packing::pack(&batch.records);
        // A single statement is its own transaction.
        let single = segments.len() == 1 && batch.writes.is_empty();
        let mut all = QueryBuilder::new(if single { "" } else { "BEGIN IMMEDIATE;" });
        for segment in segments {
            push_segment(&mut all, segment);
        }
        people::push(&mut all, &sealed, ROWS_MAX);
        push_writes(&mut all, &batch.writes);
        if !single {
            all.push("COMMIT");
        }
        // A quiet exchange repeats the same few texts; those of a busy one differ, and are not worth keeping prepared.
        let repeats = batch.operations <= REPEATING_MAX;
        all.build().persistent(repeats).execute(&mut self.writer).await.map(|_| ())
    }

    async fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::ConfigId(kind, key, reply) => reply(self.config_id(&kind, &key).await),
            Ask::WrapUp(row, reply) => reply(wrap_ups::put(&mut self.writer, &row).await),
            Ask::Session(change, reply) => reply(sessions::change(&mut self.writer, change).await),
            Ask::Forget(person, reply) => reply(people::forget(&mut self.writer, person).await),
        }
    }

    async fn config_id(&mut self, kind: &str, key: &str) -> Result<u64, StoreError> {
        let refused = StoreError::database("give a configured thing its id");
        sqlx::query(
            "INSERT OR IGNORE INTO config_id (kind, key, id)
             VALUES (?1, ?2, (SELECT coalesce(max(id), 0) + 1 FROM config_id WHERE kind = ?1))",
        )
        .bind(kind)
        .bind(key)
        .execute(&mut self.writer)
        .await
        .map_err(&refused)?;
        let id: i64 = sqlx::query_scalar("SELECT id FROM config_id WHERE kind = ? AND key = ?")
            .bind(kind)
            .bind(key)
            .fetch_one(&mut self.writer)
            .await
            .map_err(&refused)?;
        Ok(id as u64)
    }

    fn count(&self, batch: &Batch, took: Duration) {
        let (counters, us) = (&self.counters, took.as_micros() as u64);
        counters.unsettled.fetch_sub(batch.operations as u64, Relaxed);
        counters.settlings.fetch_add(1, Relaxed);
        counters.settle_us.fetch_add(us, Relaxed);
    }
}

impl Op {
    /// Whether somebody waits for the database, or for what only the database keeps.
    const fn presses(&self) -> bool {
        match self {
            Self::Append(_) => false,
            Self::Write(write) => !journal::is_kept(write),
            Self::Notice(_) | Self::Settle(_) | Self::Ask(_) | Self::Shutdown(_) => true,
        }
    }
}

impl Write {
    fn person(&self) -> Option<(PersonRef, &str)> {
        match self {
            Self::Person(person, text) => Some((*person, text)),
            Self::Call(_) | Self::Binding(_) | Self::Unbind(_) | Self::Recording(_) => None,
        }
    }
}

/// Replacing makes a second try of the same segment harmless.
fn push_segment(to: &mut QueryBuilder<Sqlite>, segment: Segment) {
    let Segment { first_seq, last_seq, first_at, last_at, records, packed } = segment;
    to.push("INSERT OR REPLACE INTO log (first_seq, last_seq, first_at, last_at, records, packed) VALUES (");
    to.separated(", ")
        .push_bind(first_seq as i64)
        .push_bind(last_seq as i64)
        .push_bind(first_at.as_us() as i64)
        .push_bind(last_at.as_us() as i64)
        .push_bind(records as i64)
        .push_bind(packed);
    to.push(");");
}

/// All but people, who have to be sealed before; many rows to a statement.
fn push_writes(to: &mut QueryBuilder<Sqlite>, writes: &[Write]) {
    let mut calls = Vec::new();
    // Of several writes of one registration only the last one counts.
    let mut bindings: BTreeMap<&str, Option<&BindingRow>> = BTreeMap::new();
    for write in writes {
        match write {
            Write::Call(row) => calls.push(row),
            Write::Person(..) => {}
            Write::Recording(change) => {
                recordings::push(to, change);
                to.push(";");
            }
            Write::Binding(row) => _ = bindings.insert(&*row.key, Some(row)),
            Write::Unbind(key) => _ = bindings.insert(key, None),
        }
    }
    for key in bindings.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| *key) {
        to.push("DELETE FROM binding WHERE key = ").push_bind(key);
        to.push(";");
    }
    let bound: Vec<_> = bindings.into_values().flatten().collect();
    for rows in bound.chunks(ROWS_MAX) {
        to.push("INSERT OR REPLACE INTO binding (key, json, expires) ");
        to.push_values(rows, |mut row, BindingRow { key, json, expires }| {
            row.push_bind(key).push_bind(json).push_bind(expires.as_us() as i64);
        });
        to.push(";");
    }
    for rows in calls.chunks(ROWS_MAX) {
        to.push("INSERT OR REPLACE INTO call (id, started, ended, number, queue, agent, end, json) ");
        to.push_values(rows, |mut row, call| {
            let CallRow { id, started, ended, number, queue, agent, end, json } = call;
            row.push_bind(id.0 as i64)
                .push_bind(started.as_us() as i64)
                .push_bind(ended.as_us() as i64)
                .push_bind(number)
                .push_bind(queue.map(|id| id.0 as i64))
                .push_bind(agent.map(|id| id.0 as i64))
                .push_bind(end)
                .push_bind(json);
        });
        to.push(";");
    }
}
