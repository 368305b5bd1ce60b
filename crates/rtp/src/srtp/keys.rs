//! Session keys and what they do to one packet: AES counter mode with HMAC-SHA1 (RFC 3711 section 4), AES-GCM (RFC 7714).

use aes::cipher::array::Array;
use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncrypt, KeyInit as _};
use aes::{Aes128, Aes256};
use hmac::{Hmac, Mac};
use offhook_units::{CryptoSuite, MasterKey};
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use sha1::Sha1;

use super::SrtpError;

/// Where a packet stands: its source, and its 48-bit index (RTP: roll-over counter and number; RTCP: its own counter).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub ssrc: u32,
    pub index: u64,
}

/// Bytes of an RTCP packet that stay readable: its header and the sender's SSRC, RFC 3711 section 3.4.
pub(super) const RTCP_CLEAR: usize = 8;
/// The word behind an RTCP packet: the E bit and the index.
const RTCP_WORD: usize = 4;
/// The E bit: encrypted.
const ENCRYPTED: u32 = 1 << 31;
/// Tag of every AES-GCM suite, RFC 7714 section 14.2.
const GCM_TAG: usize = 16;
/// Tag of RTCP with HMAC-SHA1, whatever RTP has (RFC 4568 section 6.2.2).
const RTCP_TAG: usize = 10;
/// Blocks of key stream made at a time: a packet of 20 ms of G.711 and more, so that it is one turn.
const BLOCKS: usize = 16;

/// Labels of the key derivation, RFC 3711 section 4.3.2: cipher key, authentication key, salt; RTP's, then RTCP's.
const RTP_LABELS: [u8; 3] = [0, 1, 2];
const RTCP_LABELS: [u8; 3] = [3, 4, 5];

/// The session keys of one direction.
pub(super) struct Session {
    pub rtp: Keys,
    pub rtcp: Keys,
}

impl Session {
    /// Derives them, RFC 3711 section 4.3 with a key derivation rate of zero.
    pub fn derive(master: &MasterKey) -> Self {
        Self { rtp: Keys::derive(master, RTP_LABELS, false), rtcp: Keys::derive(master, RTCP_LABELS, true) }
    }
}

/// The session keys of RTP or of RTCP.
pub(super) enum Keys {
    Cm { aes: Aes128, mac: Hmac<Sha1>, salt: [u8; 16], tag: usize },
    Gcm { key: LessSafeKey, salt: [u8; 12] },
}

impl Keys {
    fn derive(master: &MasterKey, labels: [u8; 3], rtcp: bool) -> Self {
        let suite = master.suite();
        let mut key = [0; 32];
        let mut salt = [0; 14];
        let (key, salt) = (&mut key[..suite.key_bytes()], &mut salt[..suite.salt_bytes()]);
        let mut auth = [0; 20];
        key_stream(master, labels[0], key);
        key_stream(master, labels[1], &mut auth);
        key_stream(master, labels[2], salt);
        let tag = match suite {
            CryptoSuite::AesCm128HmacSha1_32 if !rtcp => 4,
            CryptoSuite::AesCm128HmacSha1_80 | CryptoSuite::AesCm128HmacSha1_32 => RTCP_TAG,
            CryptoSuite::AeadAes128Gcm => return Self::gcm(&aead::AES_128_GCM, key, salt),
            CryptoSuite::AeadAes256Gcm => return Self::gcm(&aead::AES_256_GCM, key, salt),
        };
        Self::cm(key, &auth, salt, tag)
    }

    pub(super) fn cm(key: &[u8], auth: &[u8], salt: &[u8], tag: usize) -> Self {
        let mut padded = [0; 16];
        padded[..salt.len()].copy_from_slice(salt);
        let aes = Aes128::new_from_slice(key).expect("the suite's keys have 16 bytes");
        let mac = Hmac::new_from_slice(auth).expect("HMAC takes keys of any length");
        Self::Cm { aes, mac, salt: padded, tag }
    }

    pub(super) fn gcm(algorithm: &'static aead::Algorithm, key: &[u8], salt: &[u8]) -> Self {
        let key = UnboundKey::new(algorithm, key).expect("the suite's keys have the algorithm's length");
        Self::Gcm { key: LessSafeKey::new(key), salt: salt.try_into().expect("the suite's salt has 12 bytes") }
    }

    /// How much longer an RTP packet becomes.
    pub const fn tag_bytes(&self) -> usize {
        match self {
            Self::Cm { tag, .. } => *tag,
            Self::Gcm { .. } => GCM_TAG,
        }
    }

    /// How much longer an RTCP packet becomes.
    pub const fn rtcp_tail(&self) -> usize {
        self.tag_bytes() + RTCP_WORD
    }

    /// Encrypts the RTP packet in `buffer[..length]`, whose header has `clear` bytes, and puts its tag behind it. The room was
    /// looked for before.
    pub fn seal_rtp(&self, place: Place, buffer: &mut [u8], clear: usize, length: usize) -> Result<usize, SrtpError> {
        let end = length + self.tag_bytes();
        let (packet, tail) = buffer.get_mut(..end).ok_or(SrtpError::NoRoom)?.split_at_mut(length);
        match self {
            Self::Cm { aes, mac, salt, .. } => {
                xor_stream(aes, counter(salt, place), &mut packet[clear..]);
                let tag = mac_of(mac, packet, &roll_over(place)).finalize().into_bytes();
                tail.copy_from_slice(&tag[..tail.len()]);
            }
            Self::Gcm { key, salt } => {
                let (header, payload) = packet.split_at_mut(clear);
                let tag = key.seal_in_place_separate_tag(nonce(salt, place), Aad::from(&header[..]), payload);
                tail.copy_from_slice(tag.map_err(|_| SrtpError::Malformed)?.as_ref());
            }
        }
        Ok(end)
    }

    /// Checks the tag of the RTP packet `packet` and decrypts it; says how long it is without the tag. A packet that fails is
    /// not to be used any more.
    pub fn open_rtp(&self, place: Place, packet: &mut [u8], clear: usize) -> Result<usize, SrtpError> {
        let end = packet.len().checked_sub(self.tag_bytes()).filter(|end| *end >= clear).ok_or(SrtpError::Malformed)?;
        match self {
            Self::Cm { aes, mac, salt, .. } => {
                let (packet, tag) = packet.split_at_mut(end);
                let mac = mac_of(mac, packet, &roll_over(place));
                mac.verify_truncated_left(tag).map_err(|_| SrtpError::Forged)?;
                xor_stream(aes, counter(salt, place), &mut packet[clear..]);
            }
            Self::Gcm { key, salt } => {
                let (header, sealed) = packet.split_at_mut(clear);
                let opened = key.open_in_place(nonce(salt, place), Aad::from(&header[..]), sealed);
                opened.map_err(|_| SrtpError::Forged)?;
            }
        }
        Ok(end)
    }

    /// Encrypts the RTCP compound in `buffer[..length]`, and puts tag and index behind it.
    pub fn seal_rtcp(&self, place: Place, buffer: &mut [u8], length: usize) -> Result<usize, SrtpError> {
        let end = length + self.rtcp_tail();
        let word = (ENCRYPTED | place.index as u32).to_be_bytes();
        let (packet, tail) = buffer.get_mut(..end).ok_or(SrtpError::NoRoom)?.split_at_mut(length);
        let (header, body) = packet.split_at_mut_checked(RTCP_CLEAR).ok_or(SrtpError::Malformed)?;
        match self {
            Self::Cm { aes, mac, salt, .. } => {
                xor_stream(aes, counter(salt, place), body);
                let tag = mac_of(mac, packet, &word).finalize().into_bytes();
                tail[..RTCP_WORD].copy_from_slice(&word);
                tail[RTCP_WORD..].copy_from_slice(&tag[..end - length - RTCP_WORD]);
            }
            Self::Gcm { key, salt } => {
                let aad = rtcp_aad(header, word);
                let tag = key.seal_in_place_separate_tag(nonce(salt, place), Aad::from(aad), body);
                tail[..GCM_TAG].copy_from_slice(tag.map_err(|_| SrtpError::Malformed)?.as_ref());
                tail[GCM_TAG..].copy_from_slice(&word);
            }
        }
        Ok(end)
    }

    /// The index that an RTCP packet says it has, before anything is proved.
    pub fn rtcp_index(&self, packet: &[u8]) -> Result<u64, SrtpError> {
        let behind = match self {
            Self::Cm { tag, .. } => *tag,
            Self::Gcm { .. } => 0,
        };
        let end = packet.len().checked_sub(behind).ok_or(SrtpError::Malformed)?;
        let at = end.checked_sub(RTCP_WORD).filter(|at| *at >= RTCP_CLEAR).ok_or(SrtpError::Malformed)?;
        let word = u32::from_be_bytes(packet[at..end].try_into().map_err(|_| SrtpError::Malformed)?);
        // Without the E bit it is not encrypted: nobody agreed to that (UNENCRYPTED_SRTCP, RFC 4568 section 6.3.2).
        if word & ENCRYPTED == 0 { Err(SrtpError::Forged) } else { Ok(u64::from(word & !ENCRYPTED)) }
    }

    /// Checks the tag of an RTCP packet with the index that it says it has, and decrypts it; says how long the compound is.
    pub fn open_rtcp(&self, place: Place, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let end = packet.len().checked_sub(self.rtcp_tail()).ok_or(SrtpError::Malformed)?;
        if end < RTCP_CLEAR {
            return Err(SrtpError::Malformed);
        }
        let word = (ENCRYPTED | place.index as u32).to_be_bytes();
        match self {
            Self::Cm { aes, mac, salt, tag } => {
                let (packet, tail) = packet.split_at_mut(end);
                let mac = mac_of(mac, packet, &word);
                mac.verify_truncated_left(&tail[RTCP_WORD..RTCP_WORD + tag]).map_err(|_| SrtpError::Forged)?;
                xor_stream(aes, counter(salt, place), &mut packet[RTCP_CLEAR..]);
            }
            Self::Gcm { key, salt } => {
                let (header, sealed) = packet.split_at_mut(RTCP_CLEAR);
                let sealed = &mut sealed[..end + GCM_TAG - RTCP_CLEAR];
                let opened = key.open_in_place(nonce(salt, place), Aad::from(rtcp_aad(header, word)), sealed);
                opened.map_err(|_| SrtpError::Forged)?;
            }
        }
        Ok(end)
    }
}

/// What GCM authenticates of an RTCP packet besides its ciphertext, RFC 7714 section 9.2.
fn rtcp_aad(header: &[u8], word: [u8; RTCP_WORD]) -> [u8; RTCP_CLEAR + RTCP_WORD] {
    let mut aad = [0; RTCP_CLEAR + RTCP_WORD];
    aad[..RTCP_CLEAR].copy_from_slice(header);
    aad[RTCP_CLEAR..].copy_from_slice(&word);
    aad
}

fn mac_of(keyed: &Hmac<Sha1>, packet: &[u8], behind: &[u8]) -> Hmac<Sha1> {
    let mut mac = keyed.clone();
    mac.update(packet);
    mac.update(behind);
    mac
}

/// The roll-over counter, authenticated behind the packet (RFC 3711 section 4.2).
const fn roll_over(place: Place) -> [u8; 4] {
    ((place.index >> 16) as u32).to_be_bytes()
}

/// The first counter block, RFC 3711 section 4.1.1; its last two bytes count blocks.
fn counter(salt: &[u8; 16], place: Place) -> [u8; 16] {
    let mut iv = *salt;
    xor(&mut iv[4..8], &place.ssrc.to_be_bytes());
    xor(&mut iv[8..14], &place.index.to_be_bytes()[2..]);
    iv
}

/// The nonce of GCM, RFC 7714 sections 8.1 and 9.1: both come to source and 48-bit index.
fn nonce(salt: &[u8; 12], place: Place) -> Nonce {
    let mut iv = *salt;
    xor(&mut iv[2..6], &place.ssrc.to_be_bytes());
    xor(&mut iv[6..12], &place.index.to_be_bytes()[2..]);
    Nonce::assume_unique_for_key(iv)
}

fn xor(into: &mut [u8], with: &[u8]) {
    into.iter_mut().zip(with).for_each(|(into, with)| *into ^= with);
}

/// The key derivation function, RFC 3711 section 4.3.3: counter mode under the master key. A salt of 96 bits is followed by
/// zeros.
pub(super) fn key_stream(master: &MasterKey, label: u8, out: &mut [u8]) {
    let mut iv = [0; 16];
    iv[..master.salt().len()].copy_from_slice(master.salt());
    iv[7] ^= label;
    out.fill(0);
    let wrong = "the suite says how long its keys are";
    match master.suite() {
        CryptoSuite::AesCm128HmacSha1_80 | CryptoSuite::AesCm128HmacSha1_32 | CryptoSuite::AeadAes128Gcm => {
            xor_stream(&Aes128::new_from_slice(master.key()).expect(wrong), iv, out);
        }
        CryptoSuite::AeadAes256Gcm => xor_stream(&Aes256::new_from_slice(master.key()).expect(wrong), iv, out),
    }
}

/// Counter mode over `data`: several blocks at a time, so that the processor works on them side by side.
fn xor_stream<C: BlockCipherEncrypt<BlockSize = U16>>(cipher: &C, first: [u8; 16], data: &mut [u8]) {
    let mut count: u16 = u16::from_be_bytes([first[14], first[15]]);
    for part in data.chunks_mut(16 * BLOCKS) {
        let mut blocks = [Array::from(first); BLOCKS];
        let blocks = &mut blocks[..part.len().div_ceil(16)];
        for block in &mut *blocks {
            block[14..].copy_from_slice(&count.to_be_bytes());
            count = count.wrapping_add(1);
        }
        cipher.encrypt_blocks(blocks);
        part.chunks_mut(16).zip(blocks).for_each(|(part, block)| xor(part, block));
    }
}
