//! RTP ports of ours: pairs of an even port and the next odd one. Those that were used before and have rested come first, oldest
//! first, because their sockets may still be there; those that were never used come next.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use offhook_units::{Span, Tick};

/// A port is not handed out again before this long after its leg closed, so that a late packet of the old call does not
/// reach a new one.
pub const REUSE_GUARD: Span = Span::from_ms(500);

/// Within this time a pair that was never used comes first.
pub const REUSE_RATHER_AFTER: Span = Span::from_s(2);

/// How long a pair rests that another program was found on.
pub const FAILED_REST: Span = Span::from_s(60);

/// The free pairs of a range.
#[derive(Debug)]
pub struct PortPool {
    /// By the instant from which a pair may be used again.
    free: BTreeSet<(Tick, u16)>,
    /// Never used.
    unused: BTreeSet<u16>,
    pairs: usize,
    range: RangeInclusive<u16>,
}

impl PortPool {
    /// All even ports of `range` whose next port is in it too.
    pub fn new(range: RangeInclusive<u16>) -> Self {
        let last = *range.end();
        let unused: BTreeSet<u16> = range.clone().filter(|port| port % 2 == 0 && *port < last).collect();
        Self { pairs: unused.len(), free: BTreeSet::new(), unused, range }
    }

    /// The RTP port of a pair, or nothing while all are taken or too fresh.
    pub fn take(&mut self, now: Tick) -> Option<u16> {
        let oldest = self.free.first().map(|(usable_at, _)| *usable_at);
        if oldest.is_none_or(|usable_at| now + REUSE_GUARD < usable_at + REUSE_RATHER_AFTER)
            && let Some(port) = self.unused.pop_first()
        {
            return Some(port);
        }
        oldest.filter(|usable_at| *usable_at <= now)?;
        self.free.pop_first().map(|(_, port)| port)
    }

    /// Gives a pair back that was not opened.
    pub fn put_back(&mut self, port: u16) {
        self.rest(Tick::ZERO, port);
    }

    /// Gives a pair back; it rests for [`REUSE_GUARD`].
    pub fn give_back(&mut self, now: Tick, port: u16) {
        self.rest(now + REUSE_GUARD, port);
    }

    /// A port of no pair here, which legs share, is nobody's to give back.
    fn rest(&mut self, until: Tick, port: u16) {
        if self.range.contains(&port) {
            self.free.insert((until, port));
        }
    }

    /// Gives a pair back that could not be opened; it rests for [`FAILED_REST`].
    pub fn give_back_failed(&mut self, now: Tick, port: u16) {
        self.rest(now + FAILED_REST, port);
    }

    /// Pairs in use.
    pub fn in_use(&self) -> usize {
        self.pairs - self.free.len() - self.unused.len()
    }

    /// Pairs in all.
    pub fn pairs(&self) -> usize {
        self.pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_rests_before_it_is_used_again() {
        let mut pool = PortPool::new(10_000..=10_003);
        let now = Tick::from_us(1_000_000);
        assert_eq!((pool.take(now), pool.take(now), pool.take(now)), (Some(10_000), Some(10_002), None));
        pool.give_back(now, 10_000);
        assert_eq!(pool.take(now), None);
        assert_eq!(pool.take(now + REUSE_GUARD), Some(10_000));
        assert_eq!(pool.in_use(), 2);
    }

    #[test]
    fn a_pair_that_has_rested_for_2_s_comes_before_one_that_was_never_used() {
        let mut pool = PortPool::new(10_000..=10_007);
        let now = Tick::from_us(1_000_000);
        assert_eq!(pool.take(now), Some(10_000));
        pool.give_back(now, 10_000);
        assert_eq!(pool.take(now + REUSE_GUARD), Some(10_002));
        assert_eq!(pool.take(now + REUSE_RATHER_AFTER), Some(10_000));
        assert_eq!((pool.take(now), pool.take(now), pool.take(now)), (Some(10_004), Some(10_006), None));
        assert_eq!(pool.in_use(), 4);
    }

    #[test]
    fn a_pair_that_was_not_opened_is_the_next_one_and_a_port_of_none_is_not_taken_back() {
        let mut pool = PortPool::new(10_000..=10_007);
        let now = Tick::from_us(10_000_000);
        assert_eq!((pool.take(now), pool.take(now)), (Some(10_000), Some(10_002)));
        pool.put_back(10_000);
        pool.give_back(now, 3_478);
        assert_eq!((pool.in_use(), pool.take(now), pool.take(now)), (1, Some(10_000), Some(10_004)));
    }

    #[test]
    fn an_odd_end_keeps_every_rtcp_port_inside_the_range() {
        assert_eq!(PortPool::new(10_001..=10_004).pairs(), 1);
    }
}
