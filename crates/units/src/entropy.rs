//! Chance for identifiers and keys, seeded by an edge; routing draws have their own seed in the ACD's state.

use core::fmt;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A ChaCha20 generator for tags, branches, nonces, SSRCs and keys. The edge seeds it with operating-system bytes,
/// simulation with a fixed seed. Never in replayed state, hash or log.
pub struct Entropy(ChaCha20Rng);

impl Entropy {
    /// Seeded by 32 bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// Seeded by a number: for simulation and tests.
    pub fn from_number(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed))
    }

    /// An independent generator seeded from this one.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        Self::from_seed(seed)
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound` (at least 1), without modulo bias that anyone could measure.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(bound.max(1))) >> 64) as u64
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// A token of 16 lower-case hexadecimal digits (64 bits): SIP tags, branches, Call-IDs.
    pub fn token(&mut self) -> String {
        let mut token = String::with_capacity(16);
        push_hex(&mut token, self.next_u64(), 16);
        token
    }
}

/// Appends the lowest `digits` hexadecimal digits of a number, in small letters.
pub fn push_hex(out: &mut String, number: u64, digits: u32) {
    for place in (0..digits.min(16)).rev() {
        let digit = (number >> (4 * place)) as u8 & 15;
        out.push(char::from(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }));
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_are_those_of_the_formatter() {
        for number in [0, 9, 10, 0xfedc_ba98_7654_3210, u64::MAX] {
            let mut text = String::new();
            push_hex(&mut text, number, 16);
            push_hex(&mut text, number, 4);
            assert_eq!(text, format!("{number:016x}{:04x}", number & 0xffff));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_tokens() {
        let (mut a, mut b) = (Entropy::from_number(7), Entropy::from_number(7));
        assert_eq!(a.token(), b.token());
        assert_ne!(a.token(), a.token());
        assert!((0..1_000).all(|_| a.below(3) < 3));
    }
}
