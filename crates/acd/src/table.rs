//! Maps by id. Ids are looked up many times for each input, and with tens of thousands of agents and contacts nearly every step down a tree
//! is memory that the processor does not have at hand: a hash finds the place in two.

use core::fmt;
use core::hash::{BuildHasherDefault, Hash, Hasher};

use hashbrown::HashMap;

use crate::state::draw;

/// Parts of a table. A hash table that grows moves all that it holds at once; of one in parts only a part does, so that no input pays for all.
const PARTS: usize = 64;

/// A map that is gone through in the order of its keys, whatever came first.
#[derive(Clone)]
pub(crate) struct Table<K, V>(Vec<HashMap<K, V, BuildHasherDefault<Mix>>>);

/// The hash of one number: ids are given by the program that the distributor is part of, not by strangers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = draw(self.0, number, 0);
    }
}

impl<K: Hash + Ord + Copy, V> Table<K, V> {
    fn part(key: &K) -> usize {
        let mut hash = Mix::default();
        key.hash(&mut hash);
        // Not the bits by which a part itself places its keys: the lowest and the highest.
        (hash.finish() >> 40) as usize % PARTS
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(Self::part(key))?.get(key)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(Self::part(key))?.get_mut(key)
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    fn part_mut(&mut self, key: &K) -> &mut HashMap<K, V, BuildHasherDefault<Mix>> {
        if self.0.is_empty() {
            self.0.resize_with(PARTS, HashMap::default);
        }
        &mut self.0[Self::part(key)]
    }

    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.part_mut(&key).insert(key, value)
    }

    pub fn or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        self.part_mut(&key).entry(key).or_insert_with(value)
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.0.get_mut(Self::part(key))?.remove(key)
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(HashMap::len).sum()
    }

    /// By key. Costs what sorting costs.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.into_iter()
    }

    /// By key.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// By key.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// In no order: for changes that know nothing of each other.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().flat_map(HashMap::values_mut)
    }
}

impl<'a, K: Hash + Ord + Copy, V> IntoIterator for &'a Table<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = std::vec::IntoIter<(&'a K, &'a V)>;

    fn into_iter(self) -> Self::IntoIter {
        let mut all: Vec<(&K, &V)> = self.0.iter().flatten().collect();
        all.sort_unstable_by_key(|(key, _)| **key);
        all.into_iter()
    }
}

#[cfg(test)]
impl<K: Hash + Ord + Copy, V> core::ops::Index<&K> for Table<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        self.get(key).expect("the key is there")
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Hash + Ord + Copy, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.0.iter().flatten().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<K: Hash + Ord + Copy, V: Eq> Eq for Table<K, V> {}

impl<K: Hash + Ord + Copy, V: Hash> Hash for Table<K, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        for pair in self {
            pair.hash(state);
        }
    }
}

impl<K: Hash + Ord + Copy + fmt::Debug, V: fmt::Debug> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Hash + Ord + Copy, V> FromIterator<(K, V)> for Table<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut table = Self::default();
        for (key, value) in pairs {
            table.insert(key, value);
        }
        table
    }
}

#[cfg(feature = "serde")]
impl<K: Hash + Ord + Copy + serde::Serialize, V: serde::Serialize> serde::Serialize for Table<K, V> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(feature = "serde")]
impl<'de, K, V> serde::Deserialize<'de> for Table<K, V>
where
    K: Hash + Ord + Copy + serde::Deserialize<'de>,
    V: serde::Deserialize<'de>,
{
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::collections::BTreeMap::deserialize(deserializer).map(|map| map.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use offhook_units::Entropy;

    use super::*;
    use crate::digest::Digest;

    #[test]
    fn a_table_is_the_sorted_map_of_its_pairs() {
        let mut entropy = Entropy::from_number(7);
        let (mut table, mut map) = (Table::default(), BTreeMap::new());
        for at in 0..50_000_u64 {
            let key = entropy.below(3_000);
            match entropy.below(4) {
                0 | 1 => assert_eq!(table.insert(key, at), map.insert(key, at)),
                2 => assert_eq!(table.remove(&key), map.remove(&key)),
                _ => assert_eq!(table.or_insert_with(key, || at), map.entry(key).or_insert(at)),
            }
            assert_eq!(table.get(&key), map.get(&key));
            if at % 1_000 == 0 {
                assert!(table.iter().eq(&map), "in order, and the same");
                assert_eq!(table.len(), map.len());
                assert_eq!(Digest::of(&table), Digest::of(&map), "one state has one hash, whatever holds it");
                assert_eq!(table, table.iter().map(|(key, value)| (*key, *value)).collect());
            }
        }
    }

    #[test]
    fn keys_in_a_row_and_far_apart_fill_all_parts_alike() {
        for step in [1, 64, 1 << 12, 1 << 40] {
            let table: Table<u64, u64> = (0..PARTS as u64 * 100).map(|at| (at * step, at)).collect();
            let (least, most) = (table.0.iter().map(HashMap::len).min(), table.0.iter().map(HashMap::len).max());
            assert!(least >= Some(60) && most <= Some(150), "{step}: {least:?} {most:?}");
        }
    }
}
