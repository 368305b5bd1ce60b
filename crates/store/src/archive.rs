//! A data folder beside the exchange that may be running on it: nothing is locked or counted, and nothing is changed but what
//! is told of recordings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use offhook_units::{CallId, PersonRef, RecordingId};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool};

use crate::packing::{self, Record};
use crate::recordings::Change;
use crate::rows::{AuditRow, CallFilter, CallRow, RecordingRow};
use crate::{StoreError, people, reads, recordings};

/// How long another writer is waited for.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// A data folder. Every method blocks.
#[derive(Debug)]
pub struct Archive {
    runtime: tokio::runtime::Runtime,
    readers: SqlitePool,
    file: PathBuf,
}

/// Keeps a running exchange from writing to its database until it is dropped: what a stalled disk does to it.
#[derive(Debug)]
pub struct Stall {
    runtime: tokio::runtime::Runtime,
    writer: Option<SqliteConnection>,
}

impl Archive {
    /// Keeps everybody else from writing, as [`Stall`] says.
    pub fn stall(self) -> Result<Stall, StoreError> {
        let refused = StoreError::database("keep others from writing");
        let writer = self.runtime.block_on(async {
            let mut writer = self.writer().await?;
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut writer).await.map_err(&refused)?;
            Ok::<_, StoreError>(writer)
        })?;
        Ok(Stall { writer: Some(writer), runtime: self.runtime })
    }

    /// Opens the database in `data_dir`, which must be of this program's schema version.
    ///
    /// # Errors
    /// There is none, or it is of another version: start the exchange once, which makes or migrates it.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let folder = |cause: std::io::Error| StoreError::Folder { path: data_dir.into(), cause: cause.to_string() };
        let file = data_dir.join("exchange.db");
        std::fs::metadata(&file).map_err(folder)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(folder)?;
        let options = SqliteConnectOptions::new().filename(&file).read_only(true);
        let refused =
            StoreError::database("open the database; its folder must be readable, and writable where -wal is");
        let (readers, found) = runtime.block_on(async {
            let readers = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(&refused)?;
            let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&readers).await.map_err(&refused)?;
            Ok::<_, StoreError>((readers, found))
        })?;
        let known = crate::schema::VERSION;
        match found.cmp(&known) {
            core::cmp::Ordering::Equal => Ok(Self { runtime, readers, file }),
            core::cmp::Ordering::Greater => Err(StoreError::Newer { found, known }),
            core::cmp::Ordering::Less => Err(StoreError::Older { found, known }),
        }
    }

    /// Gives each record of the log to `each`, oldest first.
    pub fn read_log(&self, mut each: impl FnMut(Record)) -> Result<(), StoreError> {
        let mut next = 0;
        loop {
            let page = self.runtime.block_on(reads::log(&self.readers, next))?;
            let mut last = None;
            for (first_seq, packed) in &page {
                let unpacked = packing::unpack(packed, |record| {
                    last = Some(record.seq);
                    if record.seq >= next {
                        each(record);
                    }
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

    /// Gives each record of an ended call to `each`, newest first.
    pub fn calls(&self, mut each: impl FnMut(CallRow)) -> Result<(), StoreError> {
        let mut before: Option<CallId> = None;
        loop {
            let filter = CallFilter { limit: CallFilter::LIMIT_MAX, before, ..CallFilter::default() };
            let rows = self.runtime.block_on(reads::calls(&self.readers, filter))?;
            let Some(last) = rows.last() else { return Ok(()) };
            before = Some(last.id);
            rows.into_iter().for_each(&mut each);
        }
    }

    /// Every recording, by id.
    pub fn recordings(&self) -> Result<Vec<RecordingRow>, StoreError> {
        let mut all: Vec<RecordingRow> = Vec::new();
        loop {
            let after = all.last().map(|row| row.id);
            let rows = self.runtime.block_on(recordings::page(&self.readers, after))?;
            if rows.is_empty() {
                return Ok(all);
            }
            all.extend(rows);
        }
    }

    /// One recording.
    pub fn recording(&self, id: RecordingId) -> Result<Option<RecordingRow>, StoreError> {
        self.runtime.block_on(recordings::get(&self.readers, id))
    }

    /// Keeps changes of recordings and entries of the audit log, all or none. SQLite lets one writer in at a time: a running
    /// exchange waits for these few milliseconds, and this for the exchange's.
    pub fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        let refused = StoreError::database("keep what was done to a recording");
        self.runtime.block_on(async {
            let mut writer = self.writer().await?;
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut writer).await.map_err(&refused)?;
            for change in changes {
                recordings::apply(&mut writer, change).await.map_err(&refused)?;
            }
            sqlx::raw_sql("COMMIT").execute(&mut writer).await.map_err(&refused)?;
            writer.close().await.map_err(&refused)
        })
    }

    /// Every reference that stands for a number or name, as it was presented; none where it is not known, or forgotten.
    pub fn persons(&self, text: &str) -> Result<Vec<PersonRef>, StoreError> {
        self.runtime.block_on(people::refs(&self.readers, text))
    }

    /// Forgets the person that a reference stands for; gives how many references became void.
    pub fn forget(&self, person: PersonRef) -> Result<u64, StoreError> {
        self.runtime.block_on(async {
            let mut writer = self.writer().await?;
            people::forget(&mut writer, person).await
        })
    }

    async fn writer(&self) -> Result<SqliteConnection, StoreError> {
        let options =
            SqliteConnectOptions::new().filename(&self.file).pragma("secure_delete", "ON").busy_timeout(BUSY_MAX);
        options.connect().await.map_err(StoreError::database("open the database to write"))
    }

    /// The newest entries of the audit log, oldest first; at most 10,000.
    pub fn audit(&self, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let rows = self.runtime.block_on(recordings::audit(&self.readers, limit, None))?;
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            // Closing gives the lock back, whatever it says.
            let _closed = self.runtime.block_on(writer.close());
        }
    }
}
