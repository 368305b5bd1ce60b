//! Faults as rows.
