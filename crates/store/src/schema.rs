//! Opening the database: the lock, the migrations, this life's counters.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use offhook_units::Tick;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, SqliteConnection, SqlitePool};

use crate::StoreError;

/// Each brings the schema from its index to the next version. A published one is never changed.
const MIGRATIONS: [&str; 5] = [
    "
    CREATE TABLE meta (name TEXT PRIMARY KEY, number INTEGER, bytes BLOB) WITHOUT ROWID;
    INSERT INTO meta (name, number) VALUES ('boot', 0);
    CREATE TABLE log (
        first_seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL,
        records INTEGER NOT NULL, packed BLOB NOT NULL);
    CREATE TABLE call (
        id INTEGER PRIMARY KEY, started INTEGER NOT NULL, ended INTEGER NOT NULL, number TEXT NOT NULL,
        queue INTEGER, agent INTEGER, end TEXT NOT NULL, json TEXT NOT NULL);
    CREATE INDEX call_started ON call (started, id);
    CREATE TABLE binding (key TEXT PRIMARY KEY, json TEXT NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE config_id (kind TEXT NOT NULL, key TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
    CREATE TABLE person (ref INTEGER PRIMARY KEY, who BLOB NOT NULL, nonce BLOB NOT NULL, sealed BLOB NOT NULL);
    CREATE INDEX person_who ON person (who);
    CREATE TABLE person_key (who BLOB PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID;
    PRAGMA user_version = 1;
",
    "
    CREATE TABLE recording (
        id INTEGER PRIMARY KEY, call INTEGER, started INTEGER NOT NULL, duration_ms INTEGER NOT NULL, path TEXT NOT NULL,
        line BLOB NOT NULL, hold TEXT, erased INTEGER, erased_why TEXT);
    CREATE INDEX recording_started ON recording (started) WHERE erased IS NULL;
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL,
        subject TEXT NOT NULL, detail TEXT NOT NULL);
    PRAGMA user_version = 2;
",
    "
    CREATE INDEX recording_by_time ON recording (started, id);
    PRAGMA user_version = 3;
",
    "
    CREATE TABLE wrap_up (
        call INTEGER NOT NULL, agent INTEGER NOT NULL, at INTEGER NOT NULL, queue INTEGER, code TEXT, who BLOB, nonce BLOB,
        sealed BLOB, PRIMARY KEY (call, agent)) WITHOUT ROWID;
    CREATE INDEX wrap_up_at ON wrap_up (at);
    CREATE INDEX wrap_up_code ON wrap_up (code) WHERE code IS NOT NULL;
    CREATE INDEX wrap_up_who ON wrap_up (who) WHERE who IS NOT NULL;
    CREATE INDEX call_caller ON call (json -> '$.caller');
    PRAGMA user_version = 4;
",
    "
    CREATE TABLE session (
        key BLOB PRIMARY KEY, user TEXT NOT NULL, stamp BLOB NOT NULL, openid INTEGER NOT NULL, made TEXT,
        began INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
    PRAGMA user_version = 5;
",
];

/// The version that they lead to.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// Connections for reading; writing has its own.
const READERS: u32 = 3;

/// What opening found.
#[derive(Debug)]
pub struct Opened {
    pub writer: SqliteConnection,
    pub readers: SqlitePool,
    pub boot: u32,
    pub last_seq: u64,
    pub last_tick: Option<Tick>,
    /// Turns a text into the key of its person.
    pub who_secret: [u8; 32],
    /// Held as long as the store is open.
    pub lock: File,
}

/// Makes the folder and takes its lock, so that two exchanges never share it.
pub fn lock_folder(dir: &Path) -> Result<File, StoreError> {
    let folder = |cause: std::io::Error| StoreError::Folder { path: dir.into(), cause: cause.to_string() };
    std::fs::create_dir_all(dir).map_err(folder)?;
    let file = File::options().create(true).append(true).open(dir.join("exchange.lock")).map_err(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: dir.into() }),
        Err(TryLockError::Error(cause)) => Err(folder(cause)),
    }
}

/// Opens, migrates, counts the start.
pub async fn open(dir: &Path, lock: File) -> Result<Opened, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(dir.join("exchange.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        // Forgotten people leave no bytes behind in free pages.
        .pragma("secure_delete", "ON")
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging();
    let refused =
        StoreError::database("open the database; look at its file and folder permissions and at free disk space");
    let mut writer = options.clone().connect().await.map_err(refused)?;
    migrate(&mut writer).await?;

    let refused = StoreError::database("count this start");
    let boot: i64 = sqlx::query_scalar("UPDATE meta SET number = number + 1 WHERE name = 'boot' RETURNING number")
        .fetch_one(&mut writer)
        .await
        .map_err(&refused)?;
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh).map_err(|e| StoreError::Database { what: "make a secret", cause: e.to_string() })?;
    sqlx::query("INSERT OR IGNORE INTO meta (name, bytes) VALUES ('who', ?)")
        .bind(&fresh[..])
        .execute(&mut writer)
        .await
        .map_err(&refused)?;
    let secret: Vec<u8> = sqlx::query_scalar("SELECT bytes FROM meta WHERE name = 'who'")
        .fetch_one(&mut writer)
        .await
        .map_err(&refused)?;
    let who_secret = secret
        .try_into()
        .map_err(|_| StoreError::Damaged { place: "meta.who".into(), cause: "not 32 bytes".into() })?;
    let last = sqlx::query("SELECT last_seq, last_at FROM log ORDER BY first_seq DESC LIMIT 1")
        .fetch_optional(&mut writer)
        .await
        .map_err(StoreError::database("read the end of the log"))?;
    let (last_seq, last_tick) = match last {
        Some(row) => (row.get::<i64, _>(0) as u64, Some(Tick::from_us(row.get::<i64, _>(1) as u64))),
        None => (0, None),
    };
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(options.create_if_missing(false).read_only(true));
    Ok(Opened { writer, readers, boot: boot as u32, last_seq, last_tick, who_secret, lock })
}

async fn migrate(writer: &mut SqliteConnection) -> Result<(), StoreError> {
    let known = VERSION;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *writer)
        .await
        .map_err(StoreError::database("say its schema version"))?;
    if !(0..=known).contains(&found) {
        return Err(StoreError::Newer { found, known });
    }
    let refused = StoreError::database("bring its schema up to date");
    for migration in &MIGRATIONS[found as usize..] {
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *writer).await.map_err(&refused)?;
        sqlx::raw_sql(*migration).execute(&mut *writer).await.map_err(&refused)?;
        sqlx::raw_sql("COMMIT").execute(&mut *writer).await.map_err(&refused)?;
    }
    Ok(())
}
