//! The event log, call records and tables of one exchange: SQLite embedded, in `DATA/exchange.db`, behind a journal.
//!
//! One thread writes. Everything handed to the store between two commits becomes one frame of the journal (`DATA/exchange.journal-0` and
//! `-1`); what gathered there becomes one transaction of the database, and all log records of a transaction are packed into few rows
//! ("segments"). A [`Store`] is a cheap handle: writing never blocks and never waits,
//! reading for the HTTP edge is `async` and works under any executor, reading at start blocks.
//!
//! # What is promised
//! - Log records are committed within about 10 ms, in the order they were appended. [`Store::commit_notice`] tells when.
//! - What was told to be committed survives `kill -9`: it is in the journal, or in the database (WAL, `synchronous = NORMAL`). Who reads
//!   sees all of it; another program that reads the database sees it 250 ms later. After a power cut the last commits may be missing, the
//!   database is whole.
//! - A failing disk loses nothing that was handed over: the frame or the transaction is held and tried again, the queue grows, [`Store::is_full`] turns true
//!   (refuse new calls), and only at the hard limit [`Store::append`] gives records back.
//!
//! # The schema (version 5, `PRAGMA user_version`)
//! | table | what | columns |
//! |---|---|---|
//! | `meta` | counters and secrets of this database | `name` key, `number`, `bytes` |
//! | `log` | segments of packed records | `first_seq` key, `last_seq`, `first_at`, `last_at` (microseconds), `records`, `packed` (see [`Record`]) |
//! | `call` | one row per ended call | `id` key, `started`, `ended` (microseconds), `number`, `queue`, `agent`, `end`, `json` (the whole record) |
//! | `binding` | registrations | `key` key, `json`, `expires` (microseconds) |
//! | `config_id` | ids of configured things by name, never reused | `kind` + `key` key, `id` (rising per kind) |
//! | `person` | sealed personal data | `ref` key, `who` (keyed hash), `nonce`, `sealed` |
//! | `recording` | one row per closed recording | `id` key, `call`, `started`, `duration_ms`, `path`, `line` (SHA-256 of its manifest line), `hold` (why it is kept), `erased`, `erased_why` |
//! | `audit` | who played, exported, held or erased what | `seq` key, `at`, `who`, `action`, `subject`, `detail` |
//! | `wrap_up` | what agents noted of calls | `call` + `agent` key, `at`, `queue`, `code`, `who`, `nonce`, `sealed` (the note, by the key of `who`) |
//! | `session` | who is signed in | `key` (SHA-256 of the cookie) key, `user`, `stamp` (SHA-256 of who they are), `openid` (0 or 1), `made` (JSON, where no user of the configuration), `began`, `used` (microseconds) |
//! | `person_key` | one key per person | `who` key, `key`; deleting the row forgets the person |
//!
//! Ids are unsigned 64-bit numbers stored bit for bit in SQLite's signed integers.

#![expect(clippy::disallowed_methods, reason = "the edge that touches the disk: commit times, random keys")]

mod archive;
mod error;
mod journal;
mod packing;
mod people;
mod reads;
mod recordings;
mod rows;
mod schema;
mod sessions;
mod store;
mod worker;
mod wrap_ups;

pub use archive::{Archive, Stall};
pub use error::{AppendError, StoreError};
pub use packing::Record;
pub use recordings::Change;
pub use rows::{
    AuditRow, BindingRow, CallFilter, CallRow, CodeCount, RecordingFilter, RecordingRow, SessionRow, WrapUpRow,
    WrapUpSeen,
};
pub use store::{Limits, Store, StoreStats};
