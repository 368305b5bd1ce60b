//! What messages name their transactions by, as a hash under a secret key. The names are texts of strangers, long and alike at their
//! beginnings: a hash is made in one go and compared in one step, holds nothing of them in memory for the 32 s that a transaction is
//! remembered, and nobody without the key can choose two names that fall together.

use core::fmt;
use core::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;
use offhook_units::Entropy;
use siphasher::sip128::{Hasher128, SipHasher13};

/// The hash of a name: 128 bits, so that two names with one hash are not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(u128);

/// By key.
pub(super) type Keyed<V> = HashMap<Key, V, BuildHasherDefault<Low>>;

/// Makes keys.
#[derive(Clone)]
pub(super) struct Keys(SipHasher13);

impl Keys {
    pub fn new(entropy: &mut Entropy) -> Self {
        Self(SipHasher13::new_with_keys(entropy.next_u64(), entropy.next_u64()))
    }

    /// The key of a name in parts: other parts that would make the same text have another one.
    pub fn of(&self, parts: &[&str]) -> Key {
        let mut hasher = self.0;
        for part in parts {
            hasher.write(part.as_bytes());
            // In no text of UTF-8.
            hasher.write_u8(0xff);
        }
        Key(hasher.finish128().as_u128())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

/// A key is a hash already.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Low(u64);

impl Hasher for Low {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = number as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_key_and_its_parts_another_one_where_they_are_cut_otherwise_or_the_secret_is_another() {
        let keys = Keys::new(&mut Entropy::from_number(1));
        assert_eq!(keys.of(&["z9hG4bK1", "host"]), keys.of(&["z9hG4bK1", "host"]));
        let others = [&["z9hG4bK1h", "ost"][..], &["z9hG4bK1host"], &["z9hG4bK1", "host", ""], &["z9hG4bK2", "host"]];
        for other in others {
            assert_ne!(keys.of(&["z9hG4bK1", "host"]), keys.of(other), "{other:?}");
        }
        assert_ne!(keys.of(&["a"]), Keys::new(&mut Entropy::from_number(2)).of(&["a"]));
    }
}
