//! Keys of sealed recordings: one data key for each, wrapped by a master key, in a small file of its own.
//!
//! `DIR/keys/YYYY/MM/DD/<id>.key` holds the wrapped data key of `DIR/YYYY/MM/DD/<id>.sealed`. Changing the master key rewrites
//! these files only; destroying one makes its recording unreadable for good, also in backups of the recording.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use offhook_units::{Entropy, RecordingId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::finish::hex;

/// Master keys that one key file may hold.
pub const MASTER_KEYS_MAX: usize = 64;

/// Length of every key in bytes.
const KEY_BYTES: usize = 32;

const NONCE_BYTES: usize = 24;

/// Why a key file cannot be used. The operator's move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A line is no key.
    #[error("line {0} is not a key: 64 hexadecimal digits")]
    NoKey(usize),
    /// It holds no key.
    #[error("holds no key")]
    Empty,
    /// It holds too many.
    #[error("holds more than {MASTER_KEYS_MAX} keys")]
    TooMany,
    /// Others than its owner may read it.
    #[error("may be read by others than its owner")]
    Open,
}

/// Why a data key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The recording was erased, or its key file was lost.
    #[error("its key {} is gone: it was erased", .0.display())]
    Gone(PathBuf),
    /// The operator has not given the master key that wraps it.
    #[error("its key is wrapped by the master key {0}, which the key file does not hold")]
    NoMaster(String),
    /// The key file is not what was written.
    #[error("its key file is damaged")]
    Damaged,
    /// The disk refused.
    #[error("its key cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// The master keys of an exchange: the first wraps new data keys, all open old ones.
#[derive(Clone)]
pub struct KeyRing(Vec<MasterKey>);

#[derive(Clone)]
struct MasterKey {
    id: String,
    cipher: XChaCha20Poly1305,
}

impl core::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// The key of one recording.
pub type DataKey = [u8; KEY_BYTES];

impl KeyRing {
    /// Reads a key file: one key a line, the current one first; empty lines and lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        use std::os::unix::fs::PermissionsExt;
        let unreadable = |error: io::Error| KeyFileError::Unreadable(error.to_string());
        let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Open);
        }
        Self::parse(&std::fs::read_to_string(path).map_err(unreadable)?)
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let mut keys = Vec::new();
        for (at, line) in text.lines().enumerate().map(|(at, line)| (at, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key: DataKey = unhex(line).and_then(|key| key.try_into().ok()).ok_or(KeyFileError::NoKey(at + 1))?;
            let id = Sha256::new().chain_update(b"offhook master key").chain_update(key).finalize();
            keys.push(MasterKey { id: hex(&id[..8]), cipher: XChaCha20Poly1305::new(&key.into()) });
        }
        match keys.len() {
            0 => Err(KeyFileError::Empty),
            1..=MASTER_KEYS_MAX => Ok(Self(keys)),
            _ => Err(KeyFileError::TooMany),
        }
    }

    /// A fresh master key as a line of a key file.
    pub fn fresh_line(entropy: &mut Entropy) -> String {
        let mut key = [0; KEY_BYTES];
        entropy.fill(&mut key);
        hex(&key)
    }
}

/// A key file's content.
#[derive(Debug, Serialize, Deserialize)]
struct Wrapped {
    version: u16,
    recording: RecordingId,
    /// Which master key.
    master: String,
    nonce: String,
    key: String,
}

/// Where the data key of the recording at `path` (relative) lies, relative to the recordings' folder.
pub fn key_path(path: &Path) -> PathBuf {
    Path::new("keys").join(path.with_extension("key"))
}

/// Makes the data key of a new recording; it is on disk when this returns.
pub fn make(dir: &Path, ring: &KeyRing, entropy: &mut Entropy, id: RecordingId, path: &Path) -> io::Result<DataKey> {
    let mut key = [0; KEY_BYTES];
    entropy.fill(&mut key);
    let full = dir.join(key_path(path));
    if let Some(folder) = full.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = File::options().write(true).create_new(true).open(&full)?;
    file.write_all(&wrap(ring, entropy, id, &key)?)?;
    file.sync_data()?;
    Ok(key)
}

/// The data key of a recording.
///
/// # Errors
/// It is gone, wrapped by an unknown master key, or damaged.
pub fn open(dir: &Path, ring: &KeyRing, id: RecordingId, path: &Path) -> Result<DataKey, KeyError> {
    Ok(unwrap(dir, ring, id, path)?.1)
}

/// Wraps the data key of a recording with the current master key; whether it was wrapped by another one before.
///
/// # Errors
/// As [`open`]; the disk may refuse, then the old wrapping stays.
pub fn rewrap(
    dir: &Path,
    ring: &KeyRing,
    entropy: &mut Entropy,
    id: RecordingId,
    path: &Path,
) -> Result<bool, KeyError> {
    let (master, key) = unwrap(dir, ring, id, path)?;
    if master == ring.0[0].id {
        return Ok(false);
    }
    let full = dir.join(key_path(path));
    let fresh = full.with_extension("key-new");
    let mut file = File::create(&fresh)?;
    file.write_all(&wrap(ring, entropy, id, &key)?)?;
    file.sync_data()?;
    std::fs::rename(fresh, full)?;
    Ok(true)
}

/// Whether the recording at `path` has a key file.
pub fn exists(dir: &Path, path: &Path) -> bool {
    dir.join(key_path(path)).exists()
}

/// Destroys the data key of a recording: overwritten, then removed. One that is gone already is fine.
pub fn destroy(dir: &Path, path: &Path) -> io::Result<()> {
    let full = dir.join(key_path(path));
    let mut file = match File::options().write(true).open(&full) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let length = file.metadata()?.len();
    file.write_all(&vec![0; length as usize])?;
    file.sync_data()?;
    std::fs::remove_file(full)
}

fn wrap(ring: &KeyRing, entropy: &mut Entropy, id: RecordingId, key: &DataKey) -> io::Result<Vec<u8>> {
    let MasterKey { id: master, cipher } = &ring.0[0];
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill(&mut nonce);
    let payload = Payload { msg: key, aad: &id.0.to_le_bytes() };
    let sealed = cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| io::Error::other("cannot seal"))?;
    let wrapped = Wrapped { version: 1, recording: id, master: master.clone(), nonce: hex(&nonce), key: hex(&sealed) };
    Ok(serde_json::to_vec(&wrapped)?)
}

fn unwrap(dir: &Path, ring: &KeyRing, id: RecordingId, path: &Path) -> Result<(String, DataKey), KeyError> {
    let relative = key_path(path);
    let text = match std::fs::read(dir.join(&relative)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(KeyError::Gone(relative)),
        text => text?,
    };
    let wrapped: Wrapped = serde_json::from_slice(&text).map_err(|_| KeyError::Damaged)?;
    let known = ring.0.iter().find(|key| key.id == wrapped.master);
    let Some(MasterKey { cipher, .. }) = known else { return Err(KeyError::NoMaster(wrapped.master)) };
    let nonce = unhex(&wrapped.nonce).filter(|nonce| nonce.len() == NONCE_BYTES).ok_or(KeyError::Damaged)?;
    let sealed = unhex(&wrapped.key).ok_or(KeyError::Damaged)?;
    let payload = Payload { msg: &sealed, aad: &id.0.to_le_bytes() };
    let key = cipher.decrypt(XNonce::from_slice(&nonce), payload).map_err(|_| KeyError::Damaged)?;
    Ok((wrapped.master, key.try_into().map_err(|_| KeyError::Damaged)?))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const B: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn a_key_file_is_read_line_by_line() {
        let check = |text: &str, keys: Result<usize, KeyFileError>| {
            assert_eq!(KeyRing::parse(text).map(|ring| ring.0.len()), keys, "{text}");
        };
        check(A, Ok(1));
        check(&format!("# this year\n{B}\n\n{A}\n"), Ok(2));
        check("", Err(KeyFileError::Empty));
        check(&A[1..], Err(KeyFileError::NoKey(1)));
        check(&format!("{A}\nzz{}", &A[2..]), Err(KeyFileError::NoKey(2)));
        check(&format!("{A}\n").repeat(65), Err(KeyFileError::TooMany));
    }

    #[test]
    fn a_data_key_opens_after_rotation_and_never_after_destruction() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let (mut entropy, id, path) = (Entropy::from_number(1), RecordingId(7), Path::new("2024/02/29/r-7.sealed"));
        let old = KeyRing::parse(A).expect("a ring");
        let key = make(dir.path(), &old, &mut entropy, id, path).expect("made");
        assert_eq!(open(dir.path(), &old, id, path).expect("opens"), key);
        assert!(matches!(open(dir.path(), &old, RecordingId(8), path), Err(KeyError::Damaged)));
        let both = KeyRing::parse(&format!("{B}\n{A}")).expect("a ring");
        assert!(rewrap(dir.path(), &both, &mut entropy, id, path).expect("rewrapped"));
        assert!(!rewrap(dir.path(), &both, &mut entropy, id, path).expect("nothing to do"));
        assert!(matches!(open(dir.path(), &old, id, path), Err(KeyError::NoMaster(_))));
        assert_eq!(open(dir.path(), &KeyRing::parse(B).expect("a ring"), id, path).expect("opens"), key);
        destroy(dir.path(), path).expect("destroyed");
        destroy(dir.path(), path).expect("twice is fine");
        assert!(matches!(open(dir.path(), &both, id, path), Err(KeyError::Gone(_))));
    }
}
