//! cpal devices to rings and back.
