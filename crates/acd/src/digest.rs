//! A hash of the state that is the same on every machine: words are taken as 64-bit little-endian numbers, whatever the platform's own.

use core::hash::{Hash, Hasher};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Digest(u64);

impl Digest {
    pub fn of(value: &impl Hash) -> u64 {
        let mut digest = Self(0x6f66_6668_6f6f_6b01);
        value.hash(&mut digest);
        digest.finish()
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        let z = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        z ^ (z >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
        self.word(bytes.len() as u64);
    }

    fn write_u8(&mut self, number: u8) {
        self.word(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.word(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.word(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.word(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.word(number as u64);
    }

    fn write_i32(&mut self, number: i32) {
        self.word(i64::from(number) as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.word(number as i64 as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_value_never_changes() {
        assert_eq!(Digest::of(&(1_u64, "sales", Some(-3_i32))), 5_818_229_743_764_540_918);
        assert_ne!(Digest::of(&(1_u64, "sales", Some(-3_i32))), Digest::of(&(1_u64, "sales", Some(3_i32))));
    }
}
