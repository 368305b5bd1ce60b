//! Benches of Offhook's hot parts (see `benches/`), and the fuzz targets of its parsers.

pub mod house;
pub mod targets;
