//! Which counts of which nonces were used: an answer that was seen on the wire is not good a second time (RFC 7616 section 5.5).

use std::collections::BTreeMap;

/// Counts below the highest that are still told apart: requests of one phone may overtake each other on UDP.
const WINDOW: u32 = 64;

/// The nonces that came back with right credentials. Strangers cannot make it grow, and it never holds more than it may.
#[derive(Debug)]
pub(super) struct Used {
    max: usize,
    /// By the instant of their issue, which no two of them share.
    nonces: BTreeMap<u64, Counts>,
    /// Nonces issued until here are forgotten, and so no longer good.
    floor: u64,
    forgotten: u64,
}

/// The counts seen of one nonce: bit `i` of `seen` stands for `highest - i`.
#[derive(Debug, Clone, Copy)]
struct Counts {
    highest: u32,
    seen: u64,
}

impl Counts {
    /// Whether `count` is new; it is not from now on.
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let ahead = count - self.highest;
            self.seen = if ahead >= WINDOW { 0 } else { self.seen << ahead };
            (self.highest, self.seen) = (count, self.seen | 1);
            return true;
        }
        let behind = self.highest - count;
        let bit = 1_u64.checked_shl(behind).unwrap_or(0);
        let is_new = behind < WINDOW && self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}

impl Used {
    /// Holds at most `max` nonces.
    pub fn new(max: usize) -> Self {
        Self { max: max.max(1), nonces: BTreeMap::new(), floor: 0, forgotten: 0 }
    }

    /// Whether the nonce issued at `issued` was never used with `count`; it is from now on. Nonces issued before `oldest` are
    /// too old whatever they say, and need no memory. Over the limit the nonces issued first are forgotten and refused.
    pub fn take(&mut self, oldest: u64, issued: u64, count: u32) -> bool {
        while self.nonces.first_key_value().is_some_and(|(first, _)| *first < oldest) {
            self.nonces.pop_first();
        }
        if issued <= self.floor {
            return false;
        }
        if let Some(counts) = self.nonces.get_mut(&issued) {
            return counts.take(count);
        }
        self.nonces.insert(issued, Counts { highest: count, seen: 1 });
        if self.nonces.len() > self.max
            && let Some((first, _)) = self.nonces.pop_first()
        {
            (self.floor, self.forgotten) = (first, self.forgotten + 1);
        }
        true
    }

    /// Nonces that were given up for the limit's sake since the start.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_is_taken_once_in_any_order_within_64() {
        let mut used = Used::new(10);
        for (count, taken) in [
            (1, true),
            (1, false),
            (3, true),
            (2, true),
            (2, false),
            (3, false),
            (70, true),
            (7, true),
            (7, false),
            (6, false),
            (0, false),
            (u32::MAX, true),
            (u32::MAX, false),
            (u32::MAX - 63, true),
            (u32::MAX - 64, false),
        ] {
            assert_eq!(used.take(0, 100, count), taken, "{count}");
        }
    }

    #[test]
    fn over_the_limit_the_nonces_issued_first_are_forgotten_and_refused() {
        let mut used = Used::new(2);
        assert!(used.take(0, 10, 1) && used.take(0, 20, 1) && used.take(0, 30, 1));
        assert_eq!((used.nonces.len(), used.forgotten()), (2, 1));
        assert!(!used.take(0, 10, 2) && !used.take(0, 5, 1), "what is forgotten is not good again");
        assert!(used.take(0, 20, 2) && !used.take(0, 20, 2));
    }

    #[test]
    fn nonces_that_are_too_old_need_no_memory() {
        let mut used = Used::new(1_000);
        for issued in 1..=500 {
            assert!(used.take(issued, issued, 1));
        }
        assert_eq!((used.nonces.len(), used.forgotten()), (1, 0));
    }
}
