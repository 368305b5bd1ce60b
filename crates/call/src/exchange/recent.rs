//! What is remembered of callers for a while.
//!
//! It is kept in memory alone: numbers stand nowhere but in the sealed table, so a start begins with nobody.

use std::collections::{BTreeMap, BTreeSet};

use offhook_units::{Span, Tick};

/// One thing each, by who they are; what is older than anybody asks for is forgotten, and the oldest makes room.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    most: usize,
    by_key: BTreeMap<K, (Tick, V)>,
    by_age: BTreeSet<(Tick, K)>,
}

impl<K: Ord + Clone, V: Copy> Recent<K, V> {
    /// Room for so many.
    pub const fn new(most: usize) -> Self {
        Self { most, by_key: BTreeMap::new(), by_age: BTreeSet::new() }
    }

    /// Notes something, instead of what was noted before; nobody asks for longer than `within`.
    pub fn remember(&mut self, now: Tick, key: K, value: V, within: Span) {
        if let Some((before, _)) = self.by_key.insert(key.clone(), (now, value)) {
            self.by_age.remove(&(before, key.clone()));
        }
        self.by_age.insert((now, key));
        let is_over = |(at, _): &(Tick, K)| now - *at > within;
        while self.by_age.len() > self.most || self.by_age.first().is_some_and(is_over) {
            let Some((_, oldest)) = self.by_age.pop_first() else { return };
            self.by_key.remove(&oldest);
        }
    }

    /// What was noted, where that is not longer ago than `within`.
    pub fn get(&self, now: Tick, key: &K, within: Span) -> Option<V> {
        let (at, value) = *self.by_key.get(key)?;
        (now - at <= within).then_some(value)
    }

    /// Forgets what was noted.
    pub fn forget(&mut self, key: &K) {
        if let Some((at, _)) = self.by_key.remove(key) {
            self.by_age.remove(&(at, key.clone()));
        }
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_counts_and_the_oldest_makes_room() {
        const MOST: usize = 1_000;
        let at = |s| Tick::ZERO + Span::from_s(s);
        let within = Span::from_s(60);
        let mut recent: Recent<String, u8> = Recent::new(MOST);
        let who = |recent: &Recent<String, u8>, now, key: &str| recent.get(at(now), &key.to_owned(), within);
        recent.remember(at(1), "ada".to_owned(), 1, within);
        recent.remember(at(2), "bob".to_owned(), 1, within);
        recent.remember(at(3), "ada".to_owned(), 2, within);
        assert_eq!((who(&recent, 4, "ada"), who(&recent, 4, "bob"), who(&recent, 4, "cid")), (Some(2), Some(1), None));
        for number in 0..MOST - 1 {
            recent.remember(at(10), number.to_string(), 3, within);
        }
        assert_eq!((who(&recent, 11, "bob"), recent.len()), (None, MOST), "who was noted longest ago made room");
        assert_eq!((who(&recent, 63, "ada"), who(&recent, 64, "ada")), (Some(2), None), "a minute, and no longer");
        recent.forget(&"ada".to_owned());
        assert_eq!((who(&recent, 20, "ada"), recent.len()), (None, MOST - 1));
        recent.remember(at(71), "bob".to_owned(), 1, within);
        assert_eq!(recent.len(), 1, "nobody asks for the others any more");
    }
}
