//! A SHA-256 over the payloads of a stream in sequence order, however they arrived.

use std::collections::BTreeMap;

use offhook_units::RtpSeq;
use sha2::{Digest, Sha256};

/// Most payloads that wait for one before them; when there are more, what is missing counts as lost.
pub const WAITING_MAX: usize = 64;

/// What a peer's stream said, as one number; and the payloads themselves for whoever keeps them.
#[derive(Debug, Clone, Default)]
pub struct OrderedDigest {
    hash: Sha256,
    bytes: u64,
    /// Extended number of the payload that comes next, once the first was heard.
    next: Option<i64>,
    waiting: BTreeMap<i64, Vec<u8>>,
}

impl OrderedDigest {
    /// Takes a payload heard for the first time; `keep` gets each payload whose turn has come.
    ///
    /// A number before the first one heard counts as lost: a stream has no earlier begin than its first packet.
    pub fn push(&mut self, seq: RtpSeq, payload: &[u8], mut keep: impl FnMut(&[u8])) {
        let next = *self.next.get_or_insert(i64::from(seq.0));
        let at = next + i64::from(seq.distance(RtpSeq(next as u16)));
        if at < next {
            return;
        }
        if at == next {
            self.pass(payload, &mut keep);
        } else {
            self.waiting.insert(at, payload.to_vec());
        }
        self.pass_waiting(&mut keep, WAITING_MAX);
    }

    /// The source began anew (another SSRC or a far jump): what waits is passed on, numbers start over.
    pub fn restart(&mut self, mut keep: impl FnMut(&[u8])) {
        self.pass_waiting(&mut keep, 0);
        self.next = None;
    }

    /// A number of the stream that carries no payload of ours (a telephone-event): its place is no gap.
    pub fn skip(&mut self, seq: RtpSeq, keep: impl FnMut(&[u8])) {
        self.push(seq, &[], keep);
    }

    /// The digest in hexadecimal and the bytes it covers; what still waits is included.
    pub fn finish(mut self, mut keep: impl FnMut(&[u8])) -> (String, u64) {
        self.pass_waiting(&mut keep, 0);
        (hex(&self.hash.finalize()), self.bytes)
    }

    fn pass(&mut self, payload: &[u8], keep: &mut impl FnMut(&[u8])) {
        self.hash.update(payload);
        self.bytes += payload.len() as u64;
        self.next = self.next.map(|next| next + 1);
        if !payload.is_empty() {
            keep(payload);
        }
    }

    /// Passes on what is in turn, and jumps over gaps while more than `most` wait.
    fn pass_waiting(&mut self, keep: &mut impl FnMut(&[u8]), most: usize) {
        while let Some((at, payload)) = self.waiting.pop_first() {
            if Some(at) != self.next && self.waiting.len() + 1 < most {
                self.waiting.insert(at, payload);
                break;
            }
            self.next = Some(at);
            self.pass(&payload, keep);
        }
    }
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|half| char::from_digit(half.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(order: &[u16]) -> (String, Vec<u8>) {
        let mut digest = OrderedDigest::default();
        let mut kept = Vec::new();
        for &n in order {
            digest.push(RtpSeq(n), &[n as u8; 3], |bytes| kept.extend_from_slice(bytes));
        }
        let (hex, bytes) = digest.finish(|bytes| kept.extend_from_slice(bytes));
        assert_eq!(bytes, kept.len() as u64);
        (hex, kept)
    }

    #[test]
    fn packets_out_of_order_across_the_wrap_give_the_digest_of_the_order_sent() {
        assert_eq!(digest(&[65_534, 65_535, 0, 1, 2]), digest(&[65_534, 0, 65_535, 2, 1]));
        assert_ne!(digest(&[1, 2, 3]).0, digest(&[1, 3]).0);
    }

    #[test]
    fn a_lost_packet_does_not_hold_the_rest_back_for_more_than_64() {
        let mut digest = OrderedDigest::default();
        let mut passed = 0;
        for n in (0..200).filter(|n| *n != 10) {
            digest.push(RtpSeq(n), &[1], |_| passed += 1);
            assert!(digest.waiting.len() < WAITING_MAX);
        }
        assert_eq!(passed, 199);
    }

    #[test]
    fn the_digest_of_nothing_is_that_of_nothing() {
        let (hex, _) = digest(&[]);
        assert_eq!(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
