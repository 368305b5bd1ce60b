//! Reading: requests from any thread, answered by tasks on the store's runtime with connections of their own.

use std::collections::BTreeMap;
use std::time::Duration;

use offhook_units::{AgentId, CallId, PersonRef, QueueId, RecordingId, Tick};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlitePool};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::StoreError;
use crate::rows::{
    AuditRow, BindingRow, CallFilter, CallRow, CodeCount, RecordingFilter, RecordingRow, SessionRow, WrapUpSeen,
};

use crate::worker::Op;
use crate::{people, recordings, sessions, wrap_ups};

/// Takes the answer to a request; called on the store's thread.
pub type Reply<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// One page of the log: packed segments with their first positions.
pub type LogPage = Vec<(u64, Vec<u8>)>;

/// Segments in one page of the log.
pub const PAGE_SEGMENTS: usize = 64;

/// How long a reader waits for what is committed to be in the database. A disk that refuses to write may still be read.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);

/// What a request sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sees {
    /// All that was committed before: the database is given it first.
    All,
    /// What the database has.
    Database,
}

/// One request.
pub enum Read {
    Calls(CallFilter, Reply<Vec<CallRow>>),
    Call(CallId, Reply<Option<CallRow>>),
    Recordings(RecordingFilter, Reply<Vec<(RecordingRow, Option<CallRow>)>>),
    Recording(RecordingId, Reply<Option<RecordingRow>>),
    /// At most so many, before this one.
    Audit(u32, Option<u64>, Reply<Vec<(u64, AuditRow)>>),
    WrapUps(CallId, Reply<Vec<WrapUpSeen>>),
    /// Calls of this person, at most so many.
    CallsOf(PersonRef, u32, Reply<Vec<CallRow>>),
    Codes(Tick, Tick, Reply<Vec<CodeCount>>),
    Bindings(Reply<Vec<BindingRow>>),
    Sessions(Reply<Vec<SessionRow>>),
    ConfigIds(Reply<BTreeMap<(String, String), u64>>),
    Person(PersonRef, Reply<Option<String>>),
    /// Segments that end at or after this position.
    Log(u64, Reply<LogPage>),
    /// Segments that begin at or after this position, of those that hold something between these instants.
    LogBetween(u64, Tick, Tick, Reply<LogPage>),
}

/// Answers requests until every handle is gone or the store is shut down.
pub async fn serve(mut requests: UnboundedReceiver<(Sees, Read)>, readers: SqlitePool, worker: UnboundedSender<Op>) {
    while let Some((sees, request)) = requests.recv().await {
        let readers = readers.clone();
        let (settled, waits) = oneshot::channel();
        if sees == Sees::All {
            // The worker is gone only after a shutdown: then nothing is left to wait for.
            let _ = worker.send(Op::Settle(Box::new(move || _ = settled.send(()))));
        }
        tokio::spawn(async move {
            let _ = timeout(SETTLED_WITHIN, waits).await;
            match request {
                Read::Calls(filter, reply) => reply(calls(&readers, filter).await),
                Read::Call(id, reply) => reply(call(&readers, id).await),
                Read::Recordings(filter, reply) => reply(recordings::search(&readers, filter).await),
                Read::Recording(id, reply) => reply(recordings::get(&readers, id).await),
                Read::Audit(limit, before, reply) => reply(recordings::audit(&readers, limit, before).await),
                Read::WrapUps(call, reply) => reply(wrap_ups::of_call(&readers, call).await),
                Read::CallsOf(person, limit, reply) => reply(wrap_ups::calls_of(&readers, person, limit).await),
                Read::Codes(from, until, reply) => reply(wrap_ups::counts(&readers, from, until).await),
                Read::Sessions(reply) => reply(sessions::all(&readers).await),
                Read::Bindings(reply) => reply(bindings(&readers).await),
                Read::ConfigIds(reply) => reply(config_ids(&readers).await),
                Read::Person(person, reply) => reply(people::get(&readers, person).await),
                Read::Log(from, reply) => reply(log(&readers, from).await),
                Read::LogBetween(seq, from, until, reply) => reply(log_between(&readers, seq, from, until).await),
            }
        });
    }
}

async fn config_ids(readers: &SqlitePool) -> Result<BTreeMap<(String, String), u64>, StoreError> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as("SELECT kind, key, id FROM config_id")
        .fetch_all(readers)
        .await
        .map_err(StoreError::database("read the ids of configured things"))?;
    Ok(rows.into_iter().map(|(kind, key, id)| ((kind, key), id as u64)).collect())
}

pub async fn calls(readers: &SqlitePool, filter: CallFilter) -> Result<Vec<CallRow>, StoreError> {
    let CallFilter { limit, before, queue, agent, code } = filter;
    let rows = sqlx::query(
        "SELECT id, started, ended, number, queue, agent, end, json FROM call
         WHERE (?1 IS NULL OR (started, id) < (SELECT started, id FROM call WHERE id = ?1))
           AND (?2 IS NULL OR queue = ?2) AND (?3 IS NULL OR agent = ?3)
           AND (?4 IS NULL OR id IN (SELECT call FROM wrap_up WHERE code = ?4 OR (code > ?4 || '/' AND code < ?4 || '0')))
         ORDER BY started DESC, id DESC LIMIT ?5",
    )
    .bind(before.map(|id| id.0 as i64))
    .bind(queue.map(|id| id.0 as i64))
    .bind(agent.map(|id| id.0 as i64))
    .bind(code)
    .bind(i64::from(limit.min(CallFilter::LIMIT_MAX)))
    .fetch_all(readers)
    .await
    .map_err(StoreError::database("list calls"))?;
    Ok(rows.iter().map(call_row).collect())
}

async fn call(readers: &SqlitePool, id: CallId) -> Result<Option<CallRow>, StoreError> {
    let row = sqlx::query("SELECT id, started, ended, number, queue, agent, end, json FROM call WHERE id = ?")
        .bind(id.0 as i64)
        .fetch_optional(readers)
        .await
        .map_err(StoreError::database("find a call"))?;
    Ok(row.as_ref().map(call_row))
}

pub fn call_row(row: &SqliteRow) -> CallRow {
    CallRow {
        id: CallId(row.get::<i64, _>(0) as u64),
        started: Tick::from_us(row.get::<i64, _>(1) as u64),
        ended: Tick::from_us(row.get::<i64, _>(2) as u64),
        number: row.get(3),
        queue: row.get::<Option<i64>, _>(4).map(|id| QueueId(id as u64)),
        agent: row.get::<Option<i64>, _>(5).map(|id| AgentId(id as u64)),
        end: row.get(6),
        json: row.get(7),
    }
}

async fn bindings(readers: &SqlitePool) -> Result<Vec<BindingRow>, StoreError> {
    let rows = sqlx::query("SELECT key, json, expires FROM binding ORDER BY key")
        .fetch_all(readers)
        .await
        .map_err(StoreError::database("list registrations"))?;
    let binding = |row: &SqliteRow| BindingRow {
        key: row.get(0),
        json: row.get(1),
        expires: Tick::from_us(row.get::<i64, _>(2) as u64),
    };
    Ok(rows.iter().map(binding).collect())
}

pub async fn log(readers: &SqlitePool, from: u64) -> Result<LogPage, StoreError> {
    // The segment that holds `from` may start before it.
    let rows = sqlx::query(
        "SELECT first_seq, packed FROM log
         WHERE first_seq >= coalesce((SELECT max(first_seq) FROM log WHERE first_seq <= ?1), ?1)
         ORDER BY first_seq LIMIT ?2",
    )
    .bind(i64::try_from(from).unwrap_or(i64::MAX))
    .bind(PAGE_SEGMENTS as i64)
    .fetch_all(readers)
    .await
    .map_err(StoreError::database("read the log"))?;
    Ok(rows.iter().map(|row| (row.get::<i64, _>(0) as u64, row.get(1))).collect())
}

async fn log_between(readers: &SqlitePool, seq: u64, from: Tick, until: Tick) -> Result<LogPage, StoreError> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let rows = sqlx::query(
        "SELECT first_seq, packed FROM log WHERE first_seq >= ?1 AND last_at >= ?2 AND first_at < ?3 ORDER BY first_seq LIMIT ?4",
    )
    .bind(number(seq))
    .bind(number(from.as_us()))
    .bind(number(until.as_us()))
    .bind(PAGE_SEGMENTS as i64)
    .fetch_all(readers)
    .await
    .map_err(StoreError::database("read the log"))?;
    Ok(rows.iter().map(|row| (row.get::<i64, _>(0) as u64, row.get(1))).collect())
}
