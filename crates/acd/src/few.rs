//! Sets as lanes need them: small ones without memory of their own, and the first contact of each tier at hand.

use core::cmp::Ordering;

use crate::rows::Rows;
use crate::state::LineKey;

/// A set that needs no memory of its own while it holds one element at most: where contacts wait, an agent who becomes free
/// sits down in every lane for one step, mostly alone.
#[derive(Debug, Clone, Default)]
pub(crate) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Rows<T>),
}

impl<T: Ord + Copy> Few<T> {
    pub fn first(&self) -> Option<T> {
        match self {
            Self::None => None,
            Self::One(item) => Some(*item),
            Self::Many(items) => items.first(),
        }
    }

    /// The first one greater than `item`.
    pub fn after(&self, item: T) -> Option<T> {
        match self {
            Self::None => None,
            Self::One(one) => Some(*one).filter(|one| *one > item),
            Self::Many(items) => items.after(item),
        }
    }

    /// The first one not smaller than `item`.
    pub fn from(&self, item: T) -> Option<T> {
        match self {
            Self::None => None,
            Self::One(one) => Some(*one).filter(|one| *one >= item),
            Self::Many(items) => items.from(item),
        }
    }

    /// Whether it was not there before.
    pub fn insert(&mut self, item: T) -> bool {
        match self {
            Self::None => {
                *self = Self::One(item);
                true
            }
            Self::One(one) if *one == item => false,
            Self::One(one) => {
                *self = Self::Many([*one, item].into_iter().collect());
                true
            }
            Self::Many(items) => items.insert(item),
        }
    }

    /// Whether it was there.
    pub fn remove(&mut self, item: &T) -> bool {
        match self {
            Self::None => false,
            Self::One(one) => {
                let found = one == item;
                if found {
                    *self = Self::None;
                }
                found
            }
            Self::Many(items) => {
                let found = items.remove(item);
                if let Some(last) = items.only() {
                    *self = Self::One(last);
                }
                found
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(one) => (Some(one), None),
            Self::Many(items) => (None, Some(items)),
        };
        one.into_iter().chain(many.into_iter().flat_map(Rows::iter))
    }
}

impl<T: Ord + Copy> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Ord + Copy> Eq for Few<T> {}

/// Contacts of a lane by tier. The first of each stands beside the others, so that who looks for it touches nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tiers(Vec<Tier>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tier {
    at: u8,
    first: LineKey,
    /// All others; mostly none, and then without memory.
    rest: Rows<LineKey>,
}

impl Tiers {
    /// The first contact of the tiers from `at` on.
    pub fn first_from(&self, at: u8) -> Option<LineKey> {
        self.0.iter().filter(|tier| tier.at >= at).map(|tier| tier.first).min()
    }

    pub fn put(&mut self, at: u8, key: LineKey, add: bool) {
        match (self.0.binary_search_by_key(&at, |tier| tier.at), add) {
            (Err(place), true) => {
                self.0.reserve_exact(1);
                self.0.insert(place, Tier { at, first: key, rest: Rows::default() });
            }
            (Err(_), false) => {}
            (Ok(place), true) => {
                let tier = &mut self.0[place];
                match key.cmp(&tier.first) {
                    Ordering::Less => drop(tier.rest.insert(core::mem::replace(&mut tier.first, key))),
                    Ordering::Equal => {}
                    Ordering::Greater => drop(tier.rest.insert(key)),
                }
            }
            (Ok(place), false) => {
                let tier = &mut self.0[place];
                if key != tier.first {
                    tier.rest.remove(&key);
                } else if let Some(next) = tier.rest.pop_first() {
                    tier.first = next;
                } else {
                    self.0.remove(place);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::cmp::Reverse;
    use std::collections::BTreeSet;

    use offhook_units::{ContactId, Entropy, Tick};

    use super::*;

    #[test]
    fn few_is_a_set_in_every_respect() {
        let mut entropy = Entropy::from_number(5);
        let (mut few, mut set) = (Few::default(), BTreeSet::new());
        for _ in 0..20_000 {
            let item = entropy.below(4);
            if entropy.below(2) == 0 {
                assert_eq!(few.insert(item), set.insert(item));
            } else {
                assert_eq!(few.remove(&item), set.remove(&item));
            }
            assert!(few.iter().eq(&set));
            assert_eq!(few.first(), set.first().copied());
            for item in 0..5 {
                assert_eq!(few.from(item), set.range(item..).next().copied());
                assert_eq!(few.after(item), set.range(item + 1..).next().copied());
            }
        }
    }

    #[test]
    fn the_first_of_the_open_tiers_is_always_at_hand() {
        let mut entropy = Entropy::from_number(6);
        let (mut tiers, mut all) = (Tiers::default(), BTreeSet::new());
        for _ in 0..20_000 {
            let (at, number) = (entropy.below(3) as u8, entropy.below(6));
            let tick = Tick::from_us(number);
            let key = LineKey { rank: Reverse(0), place_at: tick, entered_at: tick, contact: ContactId(number) };
            let add = entropy.below(2) == 0;
            tiers.put(at, key, add);
            if add {
                all.insert((key, at));
            } else {
                all.remove(&(key, at));
            }
            for from in 0..4 {
                let first = all.iter().find(|(_, at)| *at >= from).map(|(key, _)| *key);
                assert_eq!(tiers.first_from(from), first);
            }
        }
    }
}
