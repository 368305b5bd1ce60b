//! Benches of Offhook's hot parts (see `benches/`), what they stand on, and the fuzz targets of its parsers.

pub mod floor;
pub mod house;
pub mod messages;
pub mod parts;
pub mod talk;
pub mod targets;
