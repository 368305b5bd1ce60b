//! The tooling door.
fn main() {}
