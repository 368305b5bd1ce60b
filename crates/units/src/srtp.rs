//! Names and keys of SRTP: what signalling agrees on and media works with.

use core::fmt;

use crate::Entropy;

/// How a stream is encrypted and authenticated: the SRTP crypto suites of RFC 4568 section 6.2 and RFC 7714 section 14.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum CryptoSuite {
    /// AES-128 in counter mode, HMAC-SHA1 cut to 80 bits. Mandatory for everybody.
    #[cfg_attr(feature = "serde", serde(rename = "AES_CM_128_HMAC_SHA1_80"))]
    AesCm128HmacSha1_80,
    /// The same with RTP tags of 32 bits; RTCP keeps 80.
    #[cfg_attr(feature = "serde", serde(rename = "AES_CM_128_HMAC_SHA1_32"))]
    AesCm128HmacSha1_32,
    /// AES-128 in Galois counter mode, tags of 128 bits.
    #[cfg_attr(feature = "serde", serde(rename = "AEAD_AES_128_GCM"))]
    AeadAes128Gcm,
    /// AES-256 in Galois counter mode, tags of 128 bits.
    #[cfg_attr(feature = "serde", serde(rename = "AEAD_AES_256_GCM"))]
    AeadAes256Gcm,
}

impl CryptoSuite {
    /// Every suite, in the order in which they are offered: what everybody has and what is strong before what is short.
    pub const ALL: [Self; 4] =
        [Self::AeadAes128Gcm, Self::AesCm128HmacSha1_80, Self::AeadAes256Gcm, Self::AesCm128HmacSha1_32];

    /// Its registered name, as in `a=crypto`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of a registered name, whose case counts not.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Length of the master key.
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Length of the master salt.
    pub const fn salt_bytes(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }
}

/// Longest master key with its salt.
const MASTER_BYTES_MAX: usize = 44;

/// A master key with its salt, for one direction of one stream. Never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MasterKey {
    suite: CryptoSuite,
    bytes: [u8; MASTER_BYTES_MAX],
}

impl MasterKey {
    /// Key and salt, one after the other as in `a=crypto`; `None` where the suite wants another length.
    pub fn new(suite: CryptoSuite, key_and_salt: &[u8]) -> Option<Self> {
        if key_and_salt.len() != suite.key_bytes() + suite.salt_bytes() {
            return None;
        }
        let mut bytes = [0; MASTER_BYTES_MAX];
        bytes.get_mut(..key_and_salt.len())?.copy_from_slice(key_and_salt);
        Some(Self { suite, bytes })
    }

    /// A fresh one.
    pub fn generate(suite: CryptoSuite, entropy: &mut Entropy) -> Self {
        let mut bytes = [0; MASTER_BYTES_MAX];
        entropy.fill(&mut bytes[..suite.key_bytes() + suite.salt_bytes()]);
        Self { suite, bytes }
    }

    /// What it is for.
    pub const fn suite(&self) -> CryptoSuite {
        self.suite
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.bytes[..self.suite.key_bytes()]
    }

    /// The salt.
    pub fn salt(&self) -> &[u8] {
        &self.bytes[self.suite.key_bytes()..][..self.suite.salt_bytes()]
    }

    /// Key and salt, one after the other.
    pub fn key_and_salt(&self) -> &[u8] {
        &self.bytes[..self.suite.key_bytes() + self.suite.salt_bytes()]
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}, ..)", self.suite.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_has_a_name_of_its_own_and_keys_of_its_length() {
        let mut entropy = Entropy::from_number(1);
        for suite in CryptoSuite::ALL {
            assert_eq!(CryptoSuite::by_name(&suite.name().to_lowercase()), Some(suite));
            let key = MasterKey::generate(suite, &mut entropy);
            assert_eq!(MasterKey::new(suite, key.key_and_salt()), Some(key));
            assert_eq!(key.key().len() + key.salt().len(), key.key_and_salt().len());
            assert_eq!(MasterKey::new(suite, &key.key_and_salt()[1..]), None);
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = MasterKey::new(CryptoSuite::AeadAes128Gcm, &[0xa7; 28]).unwrap();
        assert_eq!(format!("{key:?}"), "MasterKey(AEAD_AES_128_GCM, ..)");
    }
}
