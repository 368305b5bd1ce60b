//! Calls: legs, IVR, queues, agents. Given time and parsed messages; asks for media through plans.

pub mod config;
pub mod record;
pub mod view;
