//! The automatic call distributor, embeddable on its own.
