//! Two or more user agents wired back to back on a virtual clock.

mod auth;
mod calls;
mod changes;
mod expiry;
mod flood;
mod hand;
mod large;
mod probe;
mod reliable;
mod stubborn;
mod subscriptions;
mod transfers;
mod watch;
mod weather;
mod world;
