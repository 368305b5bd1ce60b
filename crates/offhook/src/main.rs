//! The exchange on the command line.
fn main() {}
