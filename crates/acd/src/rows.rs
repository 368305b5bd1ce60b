//! A sorted set in rows. A tree of the standard library keeps its nodes half empty where what is inserted grows, as those do who become idle one after the
//! other; rows are then full.

/// Most elements of a row: what is moved at most by an insertion.
const ROW: usize = 64;
/// By how much a row grows at most.
const STEP: usize = 8;
/// Two neighbours that have no more than this between them become one row.
const JOINED: usize = ROW / 2;

/// A set that is gone through in order; an insertion or removal moves one row at most, and the list of rows where one is split or gone.
#[derive(Debug, Clone)]
pub(crate) struct Rows<T>(Vec<Row<T>>);

#[derive(Debug, Clone)]
struct Row<T> {
    /// The first of `items`, at hand for whoever looks for a row.
    first: T,
    /// Sorted, never empty.
    items: Vec<T>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord + Copy> Rows<T> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The only one, where there is one alone; without counting the others.
    pub fn only(&self) -> Option<T> {
        match self.0.as_slice() {
            [row] if row.items.len() == 1 => Some(row.first),
            _ => None,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|row| &row.items)
    }

    pub fn first(&self) -> Option<T> {
        self.0.first().map(|row| row.first)
    }

    /// The first one greater than `item`.
    pub fn after(&self, item: T) -> Option<T> {
        self.first_not(|other| *other <= item)
    }

    /// The first one not smaller than `item`.
    pub fn from(&self, item: T) -> Option<T> {
        self.first_not(|other| *other < item)
    }

    /// The first one that is not `before`, which holds for all up to some place.
    fn first_not(&self, before: impl Fn(&T) -> bool) -> Option<T> {
        let next = self.0.partition_point(|row| before(&row.first));
        let within = next.checked_sub(1).and_then(|at| {
            let items = &self.0[at].items;
            items.get(items.partition_point(&before)).copied()
        });
        within.or_else(|| self.0.get(next).map(|row| row.first))
    }

    /// The row where an item belongs, and its place there.
    fn find(&self, item: &T) -> Option<(usize, Result<usize, usize>)> {
        let at = self.0.partition_point(|row| row.first <= *item).saturating_sub(1);
        self.0.get(at).map(|row| (at, row.items.binary_search(item)))
    }

    /// Whether it was not there before.
    pub fn insert(&mut self, item: T) -> bool {
        let (at, place) = match self.find(&item) {
            None => {
                self.push(item);
                return true;
            }
            Some((_, Ok(_))) => return false,
            Some((at, Err(place))) => (at, place),
        };
        let is_last = at + 1 == self.0.len();
        let items = &mut self.0[at].items;
        if items.len() < ROW {
            put(items, place, item);
            self.0[at].first = self.0[at].items[0];
        } else if is_last && place == ROW {
            self.push(item);
        } else {
            let mut upper = items.split_off(ROW / 2);
            match place.checked_sub(ROW / 2) {
                Some(place) => put(&mut upper, place, item),
                None => put(items, place, item),
            }
            self.0[at].first = self.0[at].items[0];
            put(&mut self.0, at + 1, Row { first: upper[0], items: upper });
        }
        true
    }

    /// A row more, behind all.
    fn push(&mut self, item: T) {
        let last = self.0.len();
        put(&mut self.0, last, Row { first: item, items: vec![item] });
    }

    /// Whether it was there.
    pub fn remove(&mut self, item: &T) -> bool {
        let Some((at, Ok(place))) = self.find(item) else { return false };
        let row = &mut self.0[at];
        row.items.remove(place);
        match row.items.first() {
            Some(first) => row.first = *first,
            None => drop(self.0.remove(at)),
        }
        self.join(at);
        self.join(at.saturating_sub(1));
        true
    }

    /// The first one, which is then gone.
    pub fn pop_first(&mut self) -> Option<T> {
        let first = self.first()?;
        self.remove(&first);
        Some(first)
    }

    /// Makes one row of this one and the next, where both have little.
    fn join(&mut self, at: usize) {
        let together = |rows: &[Row<T>]| rows.iter().map(|row| row.items.len()).sum::<usize>();
        if self.0.get(at..at + 2).is_some_and(|two| together(two) <= JOINED) {
            let next = self.0.remove(at + 1);
            self.0[at].items.extend(next.items);
        }
    }
}

impl<T: Ord + Copy> FromIterator<T> for Rows<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut rows = Self::default();
        for item in items {
            rows.insert(item);
        }
        rows
    }
}

impl<T: Ord + Copy> PartialEq for Rows<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Ord + Copy> Eq for Rows<T> {}

/// Inserts where there may be no room, and makes little.
fn put<T>(items: &mut Vec<T>, place: usize, item: T) {
    if items.len() == items.capacity() {
        items.reserve_exact(items.len().clamp(1, STEP));
    }
    items.insert(place, item);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use offhook_units::Entropy;

    use super::*;

    #[test]
    fn rows_are_a_set_in_every_respect() {
        for span in [4, 100, 1_000, 5_000] {
            let mut entropy = Entropy::from_number(span);
            let (mut rows, mut set) = (Rows::default(), BTreeSet::new());
            for turn in 0..30_000 {
                let item = entropy.below(span);
                // Fuller and fuller, then emptier and emptier.
                if entropy.below(100) < if turn < 15_000 { 70 } else { 30 } {
                    assert_eq!(rows.insert(item), set.insert(item));
                } else {
                    assert_eq!(rows.remove(&item), set.remove(&item));
                }
                let item = entropy.below(span);
                assert_eq!(rows.first(), set.first().copied());
                assert_eq!(rows.from(item), set.range(item..).next().copied());
                assert_eq!(rows.after(item), set.range(item + 1..).next().copied());
                if turn % 100 == 0 {
                    assert!(rows.iter().eq(&set));
                    assert_eq!((rows.iter().count(), rows.is_empty()), (set.len(), set.is_empty()));
                    assert_eq!(rows.only(), set.first().copied().filter(|_| set.len() == 1));
                    let joined = rows.0.windows(2).all(|two| two[0].items.len() + two[1].items.len() > JOINED);
                    assert!(joined, "little rows are joined");
                }
            }
            while let Some(first) = rows.pop_first() {
                assert_eq!(Some(first), set.pop_first());
            }
            assert!(set.is_empty());
        }
    }

    #[test]
    fn rows_of_what_grows_are_full() {
        let rows: Rows<u64> = (0..1_000).collect();
        let room: usize = rows.0.iter().map(|row| row.items.capacity()).sum();
        assert!(room <= 1_000 + STEP, "{room}");
    }
}
