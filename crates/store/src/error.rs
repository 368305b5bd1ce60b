//! What can go wrong with the store, and what to do about it.

use std::path::PathBuf;

use crate::packing::Record;

/// A failure of the store. The doc line says whose move it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operator: the data folder cannot be made or written.
    #[error("the data folder {} cannot be used: {cause}; make it writable for the user that runs Offhook, or name another with --data", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The operating system's words.
        cause: String,
    },
    /// The operator: another exchange runs on this data folder.
    #[error("the data folder {} is in use by another exchange; stop it, or name another folder with --data", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The operator: the database was written by a newer Offhook.
    #[error(
        "the database has schema version {found}, this program knows up to {known}; start the newer Offhook that wrote it, or restore a backup"
    )]
    Newer {
        /// Version in the database.
        found: i64,
        /// Newest version known here.
        known: i64,
    },
    /// The operator: the database was written by an older Offhook and is only read here.
    #[error(
        "the database has schema version {found}, this program reads {known}; start this version's exchange on it once, which brings it up to date"
    )]
    Older {
        /// Version in the database.
        found: i64,
        /// The version known here.
        known: i64,
    },
    /// The disk or the database: what was found cannot be what was written. Restore a backup.
    #[error("the database is damaged at {place}: {cause}; restore a backup of the data folder")]
    Damaged {
        /// Which table and row.
        place: String,
        /// What is wrong there.
        cause: String,
    },
    /// The database refused a statement; the words are SQLite's. Look at disk space and permissions.
    #[error("the database refused to {what}: {cause}")]
    Database {
        /// What was tried.
        what: &'static str,
        /// SQLite's words.
        cause: String,
    },
    /// The embedding program: the store was shut down. Do not use handles after `shutdown`.
    #[error("the store is shut down")]
    Closed,
}

impl StoreError {
    /// For `map_err`: SQLite refused to do `what`.
    pub(crate) fn database(what: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |cause| Self::Database { what, cause: cause.to_string() }
    }
}

/// Why records were not taken into the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The queue is at its hard limit because the disk is too slow or refuses. Keep the records and hand them in again.
    #[error("the store's queue is full: {} records were given back", .0.len())]
    Full(Vec<Record>),
    /// The embedding program: positions must rise strictly over all appends. Fix the caller; nothing was taken.
    #[error("a record at position {seq} cannot follow position {after}")]
    OutOfOrder {
        /// The offending position.
        seq: u64,
        /// The position before it.
        after: u64,
    },
}
