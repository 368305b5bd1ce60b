//! Sealed personal data: one key per person, so that an append-only log can be forgotten in.
//!
//! Events hold a [`PersonRef`]; the text lies here, sealed with the person's own key (XChaCha20-Poly1305, bound to the reference).
//! References of the same person share the key, found again by a keyed hash of the text. Forgetting deletes key, hash and texts.

use std::collections::BTreeMap;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use offhook_units::PersonRef;
use sha2::{Digest, Sha256};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, SqlitePool};

use crate::StoreError;

/// Length of what finds a person's key again.
const WHO_BYTES: usize = 16;

/// What finds a person's key again: a keyed hash of the text.
fn who(secret: &[u8; 32], text: &str) -> [u8; WHO_BYTES] {
    let hash = Sha256::new().chain_update(secret).chain_update(text.as_bytes()).finalize();
    core::array::from_fn(|n| hash[n])
}

pub fn random<const N: usize>() -> Result<[u8; N], sqlx::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| sqlx::Error::Io(std::io::Error::other(e.to_string())))?;
    Ok(bytes)
}

/// People about to be kept: sealed texts, and the keys that are new.
#[derive(Default)]
pub struct Sealed {
    keys: Vec<([u8; WHO_BYTES], [u8; 32])>,
    texts: Vec<SealedText>,
}

struct SealedText {
    person: PersonRef,
    who: [u8; WHO_BYTES],
    nonce: [u8; 24],
    sealed: Vec<u8>,
}

/// Seals each text under its reference. Which keys are there already is asked first; the caller is the only writer, so that those
/// made here are new.
pub async fn seal(
    writer: &mut SqliteConnection,
    secret: &[u8; 32],
    people: &[(PersonRef, &str)],
    rows_max: usize,
) -> sqlx::Result<Sealed> {
    let whos: Vec<_> = people.iter().map(|(_, text)| who(secret, text)).collect();
    let mut keys: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for whos in whos.chunks(rows_max) {
        let mut select = QueryBuilder::<Sqlite>::new("SELECT who, key FROM person_key WHERE who IN ");
        select.push_tuples(whos, |mut row, who| {
            row.push_bind(&who[..]);
        });
        let known = select.build().fetch_all(&mut *writer).await?;
        keys.extend(known.iter().map(|row| (row.get(0), row.get(1))));
    }
    let mut sealed = Sealed::default();
    for (&(person, text), who) in people.iter().zip(whos) {
        if !keys.contains_key(&who[..]) {
            let fresh = random()?;
            sealed.keys.push((who, fresh));
            keys.insert(who.to_vec(), fresh.to_vec());
        }
        let nonce = random()?;
        let payload = Payload { msg: text.as_bytes(), aad: &person.0.to_le_bytes() };
        let cipher = keys.get(&who[..]).and_then(|key| XChaCha20Poly1305::new_from_slice(key).ok());
        let text = cipher
            .and_then(|cipher| cipher.encrypt(XNonce::from_slice(&nonce), payload).ok())
            .ok_or_else(|| sqlx::Error::Protocol("a person's key is not 32 bytes".into()))?;
        sealed.texts.push(SealedText { person, who, nonce, sealed: text });
    }
    Ok(sealed)
}

/// Appends what keeps them, each statement with its end.
pub fn push(to: &mut QueryBuilder<Sqlite>, people: &Sealed, rows_max: usize) {
    for keys in people.keys.chunks(rows_max) {
        to.push("INSERT INTO person_key (who, key) ");
        to.push_values(keys, |mut row, (who, key)| {
            row.push_bind(&who[..]).push_bind(&key[..]);
        });
        to.push(";");
    }
    for texts in people.texts.chunks(rows_max) {
        to.push("INSERT OR REPLACE INTO person (ref, who, nonce, sealed) ");
        to.push_values(texts, |mut row, SealedText { person, who, nonce, sealed }| {
            row.push_bind(person.0 as i64).push_bind(&who[..]).push_bind(&nonce[..]).push_bind(&sealed[..]);
        });
        to.push(";");
    }
}

/// Opens the text of `person`; `None` where unknown or forgotten.
pub async fn get(readers: &SqlitePool, person: PersonRef) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT key, nonce, sealed FROM person JOIN person_key USING (who) WHERE ref = ?")
        .bind(person.0 as i64)
        .fetch_optional(readers)
        .await
        .map_err(StoreError::database("find a person"))?;
    let Some(row) = row else { return Ok(None) };
    let (key, nonce, sealed): (Vec<u8>, Vec<u8>, Vec<u8>) = (row.get(0), row.get(1), row.get(2));
    let damaged = || StoreError::Damaged { place: format!("person {person}"), cause: "the seal does not open".into() };
    if nonce.len() != 24 {
        return Err(damaged());
    }
    let cipher = XChaCha20Poly1305::new_from_slice(&key).map_err(|_| damaged())?;
    let payload = Payload { msg: &sealed, aad: &person.0.to_le_bytes() };
    let text = cipher.decrypt(XNonce::from_slice(&nonce), payload).map_err(|_| damaged())?;
    String::from_utf8(text).map(Some).map_err(|_| damaged())
}

/// Every reference that stands for this text, oldest first.
pub async fn refs(readers: &SqlitePool, text: &str) -> Result<Vec<PersonRef>, StoreError> {
    let refused = StoreError::database("look for a person");
    let secret: Vec<u8> =
        sqlx::query_scalar("SELECT bytes FROM meta WHERE name = 'who'").fetch_one(readers).await.map_err(&refused)?;
    let secret = <[u8; 32]>::try_from(secret);
    let damaged = |_| StoreError::Damaged { place: "meta 'who'".into(), cause: "it is not 32 bytes".into() };
    let who = who(&secret.map_err(damaged)?, text);
    let rows = sqlx::query("SELECT ref FROM person WHERE who = ? ORDER BY ref").bind(&who[..]).fetch_all(readers).await;
    Ok(rows.map_err(&refused)?.iter().map(|row| PersonRef(row.get::<i64, _>(0) as u64)).collect())
}

/// Deletes key and texts of the person behind `person`; gives how many references became void. The write-ahead log is folded
/// into the database and emptied, so that the key does not live on there.
pub async fn forget(writer: &mut SqliteConnection, person: PersonRef) -> Result<u64, StoreError> {
    let refused = StoreError::database("forget a person");
    let who: Option<Vec<u8>> = sqlx::query_scalar("SELECT who FROM person WHERE ref = ?")
        .bind(person.0 as i64)
        .fetch_optional(&mut *writer)
        .await
        .map_err(&refused)?;
    let Some(who) = who else { return Ok(0) };
    sqlx::query("DELETE FROM person_key WHERE who = ?").bind(&who[..]).execute(&mut *writer).await.map_err(&refused)?;
    let void =
        sqlx::query("DELETE FROM person WHERE who = ?").bind(&who[..]).execute(&mut *writer).await.map_err(&refused)?;
    sqlx::query("UPDATE wrap_up SET who = NULL, nonce = NULL, sealed = NULL WHERE who = ?")
        .bind(&who[..])
        .execute(&mut *writer)
        .await
        .map_err(&refused)?;
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(writer).await.map_err(&refused)?;
    Ok(void.rows_affected())
}
