//! Closed recordings and the audit log.

use offhook_units::{CallId, RecordingId, Span, Tick};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, SqlitePool};

use crate::StoreError;
use crate::reads::call_row;
use crate::rows::{AuditRow, CallRow, RecordingFilter, RecordingRow};

/// Most rows given at once.
const ROWS_MAX: u32 = 10_000;

/// A write about recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is closed; one that is known already stays as it is.
    Closed(RecordingRow),
    /// Why it may not be erased; `None` lets it go.
    Hold(RecordingId, Option<String>),
    /// It was erased, and why.
    Erased(RecordingId, Tick, String),
    /// Somebody did something with one.
    Audit(AuditRow),
}

/// Carries a change out, within the caller's transaction if there is one.
pub async fn apply(writer: &mut SqliteConnection, change: &Change) -> sqlx::Result<()> {
    let mut statement = QueryBuilder::new("");
    push(&mut statement, change);
    statement.build().execute(writer).await.map(|_| ())
}

/// Appends a change as one statement, without its end.
pub fn push(to: &mut QueryBuilder<Sqlite>, change: &Change) {
    match change {
        Change::Closed(RecordingRow { id, call, started, duration, path, line, hold, erased }) => {
            to.push(
                "INSERT OR IGNORE INTO recording (id, call, started, duration_ms, path, line, hold, erased, erased_why) VALUES (",
            );
            to.separated(", ")
                .push_bind(id.0 as i64)
                .push_bind(call.map(|call| call.0 as i64))
                .push_bind(started.as_us() as i64)
                .push_bind(duration.as_ms() as i64)
                .push_bind(path)
                .push_bind(&line[..])
                .push_bind(hold)
                .push_bind(erased.as_ref().map(|(at, _)| at.as_us() as i64))
                .push_bind(erased.as_ref().map(|(_, why)| why));
            to.push(")");
        }
        Change::Hold(id, why) => {
            to.push("UPDATE recording SET hold = ").push_bind(why);
            to.push(" WHERE id = ").push_bind(id.0 as i64);
        }
        Change::Erased(id, at, why) => {
            to.push("UPDATE recording SET erased = ").push_bind(at.as_us() as i64);
            to.push(", erased_why = ").push_bind(why);
            to.push(" WHERE erased IS NULL AND id = ").push_bind(id.0 as i64);
        }
        Change::Audit(AuditRow { at, who, action, subject, detail }) => {
            to.push("INSERT INTO audit (at, who, action, subject, detail) VALUES (");
            to.separated(", ")
                .push_bind(at.as_us() as i64)
                .push_bind(who)
                .push_bind(action)
                .push_bind(subject)
                .push_bind(detail);
            to.push(")");
        }
    }
}

pub async fn get(readers: &SqlitePool, id: RecordingId) -> Result<Option<RecordingRow>, StoreError> {
    let row = sqlx::query(
        "SELECT id, call, started, duration_ms, path, line, hold, erased, erased_why FROM recording WHERE id = ?",
    )
    .bind(id.0 as i64)
    .fetch_optional(readers)
    .await
    .map_err(StoreError::database("find a recording"))?;
    row.as_ref().map(recording_row).transpose()
}

/// All recordings after `after`, by id; at most [`ROWS_MAX`].
pub async fn page(readers: &SqlitePool, after: Option<RecordingId>) -> Result<Vec<RecordingRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, call, started, duration_ms, path, line, hold, erased, erased_why FROM recording
         WHERE ?1 IS NULL OR id > ?1 ORDER BY id LIMIT ?2",
    )
    .bind(after.map(|id| id.0 as i64))
    .bind(i64::from(ROWS_MAX))
    .fetch_all(readers)
    .await
    .map_err(StoreError::database("list recordings"))?;
    rows.iter().map(recording_row).collect()
}

/// Recordings with their calls, newest first.
pub async fn search(
    readers: &SqlitePool,
    filter: RecordingFilter,
) -> Result<Vec<(RecordingRow, Option<CallRow>)>, StoreError> {
    let RecordingFilter { limit, before, from, until, number, queue, agent } = filter;
    let rows = sqlx::query(
        "SELECT c.id, c.started, c.ended, c.number, c.queue, c.agent, c.end, c.json,
                r.id, r.call, r.started, r.duration_ms, r.path, r.line, r.hold, r.erased, r.erased_why
         FROM recording r LEFT JOIN call c ON c.id = r.call
         WHERE (?1 IS NULL OR (r.started, r.id) < (SELECT started, id FROM recording WHERE id = ?1))
           AND r.started >= ?2 AND r.started < ?3
           AND (?4 IS NULL OR c.number = ?4) AND (?5 IS NULL OR c.queue = ?5) AND (?6 IS NULL OR c.agent = ?6)
         ORDER BY r.started DESC, r.id DESC LIMIT ?7",
    )
    .bind(before.map(|id| id.0 as i64))
    .bind(from.map_or(0, |at| i64::try_from(at.as_us()).unwrap_or(i64::MAX)))
    .bind(until.map_or(i64::MAX, |at| i64::try_from(at.as_us()).unwrap_or(i64::MAX)))
    .bind(number)
    .bind(queue.map(|id| id.0 as i64))
    .bind(agent.map(|id| id.0 as i64))
    .bind(i64::from(limit.min(RecordingFilter::LIMIT_MAX)))
    .fetch_all(readers)
    .await
    .map_err(StoreError::database("search recordings"))?;
    let pair = |row: &SqliteRow| {
        let call = row.get::<Option<i64>, _>(0).map(|_| call_row(row));
        Ok((recording_row_at(row, CALL_COLUMNS)?, call))
    };
    rows.iter().map(pair).collect()
}

/// The newest entries of the audit log, or of those before one of them, oldest first, with their numbers; at most [`ROWS_MAX`].
pub async fn audit(readers: &SqlitePool, limit: u32, before: Option<u64>) -> Result<Vec<(u64, AuditRow)>, StoreError> {
    let text = "SELECT at, who, action, subject, detail, seq FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?";
    let rows = sqlx::query(text)
        .bind(before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX))
        .bind(i64::from(limit.min(ROWS_MAX)))
        .fetch_all(readers)
        .await
        .map_err(StoreError::database("read the audit log"))?;
    let row = |row: &SqliteRow| {
        let entry = AuditRow {
            at: Tick::from_us(row.get::<i64, _>(0) as u64),
            who: row.get(1),
            action: row.get(2),
            subject: row.get(3),
            detail: row.get(4),
        };
        (row.get::<i64, _>(5) as u64, entry)
    };
    Ok(rows.iter().rev().map(row).collect())
}

/// Columns of a call, which come first where both are read.
const CALL_COLUMNS: usize = 8;

fn recording_row(row: &SqliteRow) -> Result<RecordingRow, StoreError> {
    recording_row_at(row, 0)
}

fn recording_row_at(row: &SqliteRow, first: usize) -> Result<RecordingRow, StoreError> {
    let id = RecordingId(row.get::<i64, _>(first) as u64);
    let line: Vec<u8> = row.get(first + 5);
    let damaged =
        |_| StoreError::Damaged { place: format!("recording {id}"), cause: "its hash is not 32 bytes".into() };
    let erased = row.get::<Option<i64>, _>(first + 7).map(|at| Tick::from_us(at as u64));
    Ok(RecordingRow {
        id,
        call: row.get::<Option<i64>, _>(first + 1).map(|id| CallId(id as u64)),
        started: Tick::from_us(row.get::<i64, _>(first + 2) as u64),
        duration: Span::from_ms(row.get::<i64, _>(first + 3) as u64),
        path: row.get(first + 4),
        line: line.try_into().map_err(damaged)?,
        hold: row.get(first + 6),
        erased: erased.map(|at| (at, row.get::<Option<String>, _>(first + 8).unwrap_or_default())),
    })
}
