//! Sessions of the HTTP server, which outlive its end: what a cookie hashes to, and whose it is.

use offhook_units::Tick;
use sqlx::{Row, SqliteConnection, SqlitePool};

use crate::StoreError;
use crate::rows::SessionRow;

/// What changes about them.
pub enum Change {
    /// This one goes on, in the place of what was kept of it.
    Put(SessionRow),
    /// These are over.
    Remove(Vec<[u8; 32]>),
}

/// Does it.
pub async fn change(writer: &mut SqliteConnection, change: Change) -> Result<(), StoreError> {
    match change {
        Change::Put(row) => put(writer, row).await,
        Change::Remove(keys) => {
            for key in keys {
                sqlx::query("DELETE FROM session WHERE key = ?")
                    .bind(&key[..])
                    .execute(&mut *writer)
                    .await
                    .map_err(StoreError::database("forget a session"))?;
            }
            Ok(())
        }
    }
}

async fn put(writer: &mut SqliteConnection, row: SessionRow) -> Result<(), StoreError> {
    let SessionRow { key, user, stamp, openid, made, began, used } = row;
    sqlx::query(
        "INSERT OR REPLACE INTO session (key, user, stamp, openid, made, began, used) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&key[..])
    .bind(user)
    .bind(&stamp[..])
    .bind(openid)
    .bind(made)
    .bind(began.as_us() as i64)
    .bind(used.as_us() as i64)
    .execute(writer)
    .await
    .map_err(StoreError::database("keep a session"))?;
    Ok(())
}

/// All of them.
pub async fn all(readers: &SqlitePool) -> Result<Vec<SessionRow>, StoreError> {
    let rows = sqlx::query("SELECT key, user, stamp, openid, made, began, used FROM session")
        .fetch_all(readers)
        .await
        .map_err(StoreError::database("read the sessions"))?;
    let hash = |bytes: Vec<u8>| {
        let damaged = || StoreError::Damaged { place: "a session".into(), cause: "not 32 bytes".into() };
        bytes.try_into().map_err(|_| damaged())
    };
    let tick = |us: i64| Tick::from_us(us as u64);
    let session = |row: &sqlx::sqlite::SqliteRow| {
        Ok(SessionRow {
            key: hash(row.get(0))?,
            user: row.get(1),
            stamp: hash(row.get(2))?,
            openid: row.get(3),
            made: row.get(4),
            began: tick(row.get(5)),
            used: tick(row.get(6)),
        })
    };
    rows.iter().map(session).collect()
}
