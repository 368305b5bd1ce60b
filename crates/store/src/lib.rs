//! The event log, call records and tables: SQLite embedded.
