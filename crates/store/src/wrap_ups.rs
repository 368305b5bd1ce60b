//! What agents note after calls: a code in clear, and a note sealed with the key of the person whom the call was with.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use offhook_units::{AgentId, CallId, PersonRef, QueueId, Tick};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, SqlitePool};

use crate::StoreError;
use crate::people::random;
use crate::reads::call_row;
use crate::rows::{CallRow, CodeCount, WrapUpRow, WrapUpSeen};

/// Most counts given at once.
const COUNTS_MAX: i64 = 10_000;
/// References of one person that are looked at for earlier calls, newest first: about as many calls.
const REFS_MAX: i64 = 500;

/// What binds a note to its place.
fn place(call: CallId, agent: AgentId) -> [u8; 16] {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&call.0.to_le_bytes());
    place[8..].copy_from_slice(&agent.0.to_le_bytes());
    place
}

/// Keeps what an agent noted of a call, in the place of what the same agent noted of it before. Says whether the note was kept: not
/// where its person is forgotten, or unknown.
pub async fn put(writer: &mut SqliteConnection, row: &WrapUpRow) -> Result<bool, StoreError> {
    let refused = StoreError::database("keep what was noted of a call");
    let WrapUpRow { call, agent, at, queue, code, person, note } = row;
    let note = note.as_ref().zip(*person);
    let mut sealed: Option<(Vec<u8>, [u8; 24], Vec<u8>)> = None;
    if let Some((text, person)) = note {
        let known = sqlx::query("SELECT who, key FROM person JOIN person_key USING (who) WHERE ref = ?")
            .bind(person.0 as i64)
            .fetch_optional(&mut *writer)
            .await
            .map_err(&refused)?;
        if let Some(known) = known {
            let (who, key): (Vec<u8>, Vec<u8>) = (known.get(0), known.get(1));
            let damaged = || StoreError::Damaged { place: "a person's key".into(), cause: "it is not 32 bytes".into() };
            let cipher = XChaCha20Poly1305::new_from_slice(&key).map_err(|_| damaged())?;
            let nonce = random().map_err(&refused)?;
            let payload = Payload { msg: text.as_bytes(), aad: &place(*call, *agent) };
            let text = cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| damaged())?;
            sealed = Some((who, nonce, text));
        }
    }
    let kept = note.is_none() || sealed.is_some();
    let (who, nonce, text) =
        sealed.map_or((None, None, None), |(who, nonce, text)| (Some(who), Some(nonce), Some(text)));
    sqlx::query("INSERT OR REPLACE INTO wrap_up (call, agent, at, queue, code, who, nonce, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(call.0 as i64)
        .bind(agent.0 as i64)
        .bind(at.as_us() as i64)
        .bind(queue.map(|queue| queue.0 as i64))
        .bind(code)
        .bind(who)
        .bind(nonce.map(|nonce| nonce.to_vec()))
        .bind(text)
        .execute(writer)
        .await
        .map_err(&refused)?;
    Ok(kept)
}

/// What was noted of a call, oldest first.
pub async fn of_call(readers: &SqlitePool, call: CallId) -> Result<Vec<WrapUpSeen>, StoreError> {
    let rows = sqlx::query(
        "SELECT agent, at, code, nonce, sealed, key FROM wrap_up LEFT JOIN person_key USING (who) WHERE call = ? ORDER BY at",
    )
    .bind(call.0 as i64)
    .fetch_all(readers)
    .await
    .map_err(StoreError::database("read what was noted of a call"))?;
    let seen = rows.iter().map(|row| {
        let agent = AgentId(row.get::<i64, _>(0) as u64);
        let bytes = |n: usize| row.get::<Option<Vec<u8>>, _>(n);
        let (nonce, sealed, key) = (bytes(3), bytes(4), bytes(5));
        let note = match (nonce, sealed, key) {
            (Some(nonce), Some(sealed), Some(key)) => Some(open(call, agent, &nonce, &sealed, &key)?),
            // Nothing was noted, or it is forgotten.
            _ => None,
        };
        Ok(WrapUpSeen { agent, at: Tick::from_us(row.get::<i64, _>(1) as u64), code: row.get(2), note })
    });
    seen.collect()
}

fn open(call: CallId, agent: AgentId, nonce: &[u8], sealed: &[u8], key: &[u8]) -> Result<String, StoreError> {
    let damaged =
        || StoreError::Damaged { place: format!("the note of {call}"), cause: "the seal does not open".into() };
    if nonce.len() != 24 {
        return Err(damaged());
    }
    let cipher = XChaCha20Poly1305::new_from_slice(key).map_err(|_| damaged())?;
    let payload = Payload { msg: sealed, aad: &place(call, agent) };
    let text = cipher.decrypt(XNonce::from_slice(nonce), payload).map_err(|_| damaged())?;
    String::from_utf8(text).map_err(|_| damaged())
}

/// Ended calls that the person behind `person` made, newest first: found by the keyed hash under which the person is known.
pub async fn calls_of(readers: &SqlitePool, person: PersonRef, limit: u32) -> Result<Vec<CallRow>, StoreError> {
    let refused = StoreError::database("look for earlier calls");
    let refs: Vec<i64> = sqlx::query_scalar(
        "SELECT ref FROM person WHERE who = (SELECT who FROM person WHERE ref = ?) ORDER BY ref DESC LIMIT ?",
    )
    .bind(person.0 as i64)
    .bind(REFS_MAX)
    .fetch_all(readers)
    .await
    .map_err(&refused)?;
    if refs.is_empty() {
        return Ok(Vec::new());
    }
    // As the record writes it, which the index holds.
    let mut select = QueryBuilder::<Sqlite>::new(
        "SELECT id, started, ended, number, queue, agent, end, json FROM call WHERE json -> '$.caller' IN (",
    );
    let mut list = select.separated(", ");
    for person in refs {
        list.push_bind((person as u64).to_string());
    }
    select.push(") ORDER BY started DESC, id DESC LIMIT ").push_bind(i64::from(limit));
    let rows = select.build().fetch_all(readers).await.map_err(&refused)?;
    Ok(rows.iter().map(call_row).collect())
}

/// How often each code was given between two instants, by queue; at most 10,000 counts.
pub async fn counts(readers: &SqlitePool, from: Tick, until: Tick) -> Result<Vec<CodeCount>, StoreError> {
    let number = |at: Tick| i64::try_from(at.as_us()).unwrap_or(i64::MAX);
    let rows = sqlx::query(
        "SELECT queue, code, count(*) FROM wrap_up WHERE at >= ? AND at < ? AND code IS NOT NULL
         GROUP BY queue, code ORDER BY queue, code LIMIT ?",
    )
    .bind(number(from))
    .bind(number(until))
    .bind(COUNTS_MAX)
    .fetch_all(readers)
    .await
    .map_err(StoreError::database("count codes"))?;
    let count = |row: &sqlx::sqlite::SqliteRow| CodeCount {
        queue: row.get::<Option<i64>, _>(0).map(|id| QueueId(id as u64)),
        code: row.get(1),
        times: row.get::<i64, _>(2) as u64,
    };
    Ok(rows.iter().map(count).collect())
}
