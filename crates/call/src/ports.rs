//! RTP ports of ours: pairs of an even port and the next odd one, reused oldest first.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use offhook_units::{Span, Tick};

/// A port is not handed out again before this long after its leg closed, so that a late packet of the old call does not
/// reach a new one.
pub const REUSE_GUARD: Span = Span::from_ms(500);

/// How long a pair rests that another program was found on.
pub const FAILED_REST: Span = Span::from_s(60);

/// The free pairs of a range.
#[derive(Debug)]
pub struct PortPool {
    /// By the instant from which a pair may be used.
    free: BTreeSet<(Tick, u16)>,
    pairs: usize,
}

impl PortPool {
    /// All even ports of `range` whose next port is in it too.
    pub fn new(range: RangeInclusive<u16>) -> Self {
        let last = *range.end();
        let free: BTreeSet<_> =
            range.filter(|port| port % 2 == 0 && *port < last).map(|port| (Tick::ZERO, port)).collect();
        Self { pairs: free.len(), free }
    }

    /// The RTP port of the pair that was free longest, or nothing while all are taken or too fresh.
    pub fn take(&mut self, now: Tick) -> Option<u16> {
        let first = *self.free.first().filter(|(usable_at, _)| *usable_at <= now)?;
        self.free.remove(&first);
        Some(first.1)
    }

    /// Gives a pair back; it rests for [`REUSE_GUARD`].
    pub fn give_back(&mut self, now: Tick, port: u16) {
        self.free.insert((now + REUSE_GUARD, port));
    }

    /// Gives a pair back that could not be opened; it rests for [`FAILED_REST`].
    pub fn give_back_failed(&mut self, now: Tick, port: u16) {
        self.free.insert((now + FAILED_REST, port));
    }

    /// Pairs in use.
    pub fn in_use(&self) -> usize {
        self.pairs - self.free.len()
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
    fn an_odd_end_keeps_every_rtcp_port_inside_the_range() {
        assert_eq!(PortPool::new(10_001..=10_004).pairs(), 1);
    }
}
