//! L16, RFC 3551 section 4.5.11, at 8 kHz: samples as they are, two bytes each, the higher one first.

use crate::level::STRIDE;
use crate::{Decoder, Encoder};

/// L16 both ways. It remembers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Linear;

impl Linear {
    /// The mean of the squares of a payload's samples, by every third of them.
    pub fn power(payload: &[u8]) -> u64 {
        let (pairs, _half_a_sample) = payload.as_chunks::<2>();
        let square = |pair: &[u8; 2]| u64::from(i16::from_be_bytes(*pair).unsigned_abs()).pow(2);
        let sum: u64 = pairs.iter().step_by(STRIDE).map(square).sum();
        sum / pairs.len().div_ceil(STRIDE).max(1) as u64
    }
}

impl Encoder for Linear {
    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        for (bytes, sample) in out.chunks_exact_mut(2).zip(pcm) {
            bytes.copy_from_slice(&sample.to_be_bytes());
        }
        2 * pcm.len().min(out.len() / 2)
    }
}

impl Decoder for Linear {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        self.peek(payload, out)
    }

    fn peek(&self, payload: &[u8], out: &mut [i16]) -> usize {
        let (pairs, _half_a_sample) = payload.as_chunks::<2>();
        for (sample, pair) in out.iter_mut().zip(pairs) {
            *sample = i16::from_be_bytes(*pair);
        }
        pairs.len().min(out.len())
    }

    fn samples_in(&self, payload: &[u8]) -> usize {
        payload.len() / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_65536_samples_is_two_bytes_the_higher_first_and_comes_back() {
        let pcm: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let mut payload = vec![0; 2 * pcm.len()];
        assert_eq!(Linear.encode(&pcm, &mut payload), payload.len());
        assert_eq!(payload[2 * (0x8000 + 0x1234)..][..2], [0x12, 0x34]);
        let mut again = vec![0; pcm.len()];
        assert_eq!((Linear.decode(&payload, &mut again), Linear.samples_in(&payload)), (pcm.len(), pcm.len()));
        assert_eq!(again, pcm);
    }

    #[test]
    fn half_a_sample_and_what_finds_no_room_are_left_out() {
        let (mut pcm, mut payload) = ([7; 2], [9; 3]);
        assert_eq!((Linear.decode(&[0, 1, 2], &mut pcm), pcm), (1, [1, 7]));
        assert_eq!((Linear.encode(&[1, 2], &mut payload), payload), (2, [0, 1, 9]));
        assert_eq!((Linear.decode(&[], &mut pcm), Linear.decode(&[0; 9], &mut pcm)), (0, 2));
    }
}
