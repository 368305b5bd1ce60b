//! Benches of Offhook's hot parts: see `benches/`.

pub mod plain;
