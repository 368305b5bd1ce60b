//! Sheds a source that sends more than any exchange would, before its messages are parsed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bans::Bans;

/// Datagrams a second that one source may send: a load bench of 1,000 calls a second stays below it.
pub const DATAGRAMS_PER_S_MAX: u32 = 20_000;

/// Sources that are told apart; beyond it the oldest window is forgotten.
pub const SOURCES_MAX: usize = 65_536;

/// What a message passes before it is parsed.
#[derive(Debug, Default)]
pub struct Gate {
    /// Too many of them.
    pub flood: Flood,
    /// From somebody who is not listened to.
    pub bans: Arc<Bans>,
}

/// Counts datagrams per source and second.
#[derive(Debug, Default)]
pub struct Flood {
    sources: BTreeMap<IpAddr, (Instant, u32)>,
}

impl Flood {
    /// Whether a datagram from `source` is read.
    pub fn admits(&mut self, source: IpAddr, now: Instant) -> bool {
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&source) {
            self.sources.retain(|_, (since, _)| now.duration_since(*since) < Duration::from_secs(1));
            if self.sources.len() >= SOURCES_MAX {
                return false;
            }
        }
        let (since, count) = self.sources.entry(source).or_insert((now, 0));
        if now.duration_since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= DATAGRAMS_PER_S_MAX
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;

    #[test]
    fn a_source_over_its_rate_is_shed_until_the_next_second() {
        let (mut flood, now) = (Flood::default(), Instant::now());
        let (loud, quiet) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let admitted = (0..DATAGRAMS_PER_S_MAX * 2).filter(|_| flood.admits(loud, now)).count();
        assert_eq!(admitted, DATAGRAMS_PER_S_MAX as usize);
        assert!(flood.admits(quiet, now));
        assert!(flood.admits(loud, now + Duration::from_secs(1)));
    }
}
