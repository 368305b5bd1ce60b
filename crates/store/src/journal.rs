//! The journal: what is handed over is appended to a file in groups, and brought into the database at leisure.
//!
//! A group costs one system call; a transaction costs some twenty and three thread switches. Two files take turns: while the
//! database is given what stands in one, the other is written. A file is emptied when the database has all of it. At the next start
//! whatever stands in them is brought in once more, which changes nothing that is there already.
//!
//! A file is frames one behind the other: length of the payload (32 bits), serial number (64 bits), the first 8 bytes of the
//! SHA-256 of number and payload, the payload: [`Entry`]s one behind the other. Numbers are little-endian. What follows a frame that
//! is cut or broken was never told to be committed.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use offhook_units::PersonRef;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::packing::{self, Record};
use crate::rows::{BindingRow, CallRow};
use crate::worker::Write;

/// The two files in the data folder.
const FILES: [&str; 2] = ["exchange.journal-0", "exchange.journal-1"];

/// Length, number and hash of a frame.
const HEAD_BYTES: usize = 4 + 8 + 8;

/// One thing handed over.
#[derive(Debug, Serialize, Deserialize)]
enum Entry<'a> {
    /// Records of the log, packed.
    Segment(Cow<'a, [u8]>),
    Call(Cow<'a, CallRow>),
    Binding(Cow<'a, BindingRow>),
    Unbind(Cow<'a, str>),
    /// Personal data is sealed here too.
    Person {
        person: PersonRef,
        nonce: [u8; 24],
        sealed: Vec<u8>,
    },
}

/// What was found in the files, in the order in which it was handed over.
#[derive(Default)]
pub struct Found {
    pub records: Vec<Record>,
    pub writes: Vec<Write>,
}

/// The files, and who may read the people in them.
pub struct Journal {
    files: [File; 2],
    lengths: [u64; 2],
    active: usize,
    serial: u64,
    cipher: XChaCha20Poly1305,
    frame: Vec<u8>,
}

impl Journal {
    /// Opens the files in `dir` and reads what stands in them. `secret` is the database's own.
    pub fn open(dir: &Path, secret: &[u8; 32]) -> io::Result<(Self, Found)> {
        let open = |name| File::options().read(true).append(true).create(true).open(dir.join(name));
        let mut files = [open(FILES[0])?, open(FILES[1])?];
        let key = Sha256::new().chain_update(b"journal").chain_update(secret).finalize();
        let cipher = XChaCha20Poly1305::new(&key);
        let mut contents = [Vec::new(), Vec::new()];
        for (file, bytes) in files.iter_mut().zip(&mut contents) {
            file.read_to_end(bytes)?;
        }
        let mut frames: Vec<(u64, &[u8])> = contents.iter().flat_map(|bytes| read_frames(bytes)).collect();
        frames.sort_by_key(|(serial, _)| *serial);
        let mut found = Found::default();
        for (_, payload) in &frames {
            read_entries(payload, &cipher, &mut found)?;
        }
        let serial = frames.last().map_or(0, |(serial, _)| *serial);
        let lengths = contents.map(|bytes| bytes.len() as u64);
        Ok((Self { files, lengths, active: 0, serial, cipher, frame: Vec::new() }, found))
    }

    /// Appends a group. Those writes that [`is_kept`] does not take are left out.
    pub fn append<'a>(&mut self, records: &[Record], writes: impl Iterator<Item = &'a Write>) -> io::Result<()> {
        let mut frame = core::mem::take(&mut self.frame);
        frame.clear();
        frame.resize(HEAD_BYTES, 0);
        for segment in packing::pack(records) {
            frame = put(frame, &Entry::Segment(Cow::Borrowed(&segment.packed)))?;
        }
        for write in writes {
            let entry = match write {
                Write::Call(row) => Entry::Call(Cow::Borrowed(row)),
                Write::Binding(row) => Entry::Binding(Cow::Borrowed(row)),
                Write::Unbind(key) => Entry::Unbind(Cow::Borrowed(key)),
                Write::Person(person, text) => self.seal(*person, text)?,
                Write::Recording(_) => continue,
            };
            frame = put(frame, &entry)?;
        }
        self.frame = frame;
        if self.frame.len() == HEAD_BYTES {
            return Ok(());
        }
        self.serial += 1;
        let (head, payload) = self.frame.split_at_mut(HEAD_BYTES);
        head[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        head[4..12].copy_from_slice(&self.serial.to_le_bytes());
        head[12..].copy_from_slice(&sum(self.serial, payload));
        let (file, length) = (&self.files[self.active], &mut self.lengths[self.active]);
        if let Err(error) = (&*file).write_all(&self.frame) {
            // What stands behind a frame that was written in part would be lost with it.
            file.set_len(*length)?;
            return Err(error);
        }
        *length += self.frame.len() as u64;
        Ok(())
    }

    /// From now on the other file is written, which must be empty. Gives which one holds all before.
    pub const fn switch(&mut self) -> usize {
        let full = self.active;
        self.active = 1 - full;
        full
    }

    /// Empties a file: the database has what stood in it.
    pub fn empty(&mut self, file: usize) -> io::Result<()> {
        if self.lengths[file] > 0 {
            self.files[file].set_len(0)?;
            self.lengths[file] = 0;
        }
        Ok(())
    }

    fn seal(&self, person: PersonRef, text: &str) -> io::Result<Entry<'static>> {
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).map_err(|error| io::Error::other(error.to_string()))?;
        let payload = Payload { msg: text.as_bytes(), aad: &person.0.to_le_bytes() };
        let sealed = self.cipher.encrypt(XNonce::from_slice(&nonce), payload);
        let sealed = sealed.map_err(|_| io::Error::other("a text could not be sealed"))?;
        Ok(Entry::Person { person, nonce, sealed })
    }
}

/// Whether the journal keeps it. What does not come often goes straight to the database.
pub const fn is_kept(write: &Write) -> bool {
    !matches!(write, Write::Recording(_))
}

fn put(frame: Vec<u8>, entry: &Entry<'_>) -> io::Result<Vec<u8>> {
    postcard::to_extend(entry, frame).map_err(io::Error::other)
}

fn sum(serial: u64, payload: &[u8]) -> [u8; 8] {
    let hash = Sha256::new().chain_update(serial.to_le_bytes()).chain_update(payload).finalize();
    core::array::from_fn(|n| hash[n])
}

/// The whole frames at the start of a file.
fn read_frames(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut frames = Vec::new();
    loop {
        let Some((length, rest)) = bytes.split_first_chunk() else { return frames };
        let Some((serial, rest)) = rest.split_first_chunk() else { return frames };
        let Some((hash, rest)) = rest.split_first_chunk::<8>() else { return frames };
        let (length, serial) = (u32::from_le_bytes(*length) as usize, u64::from_le_bytes(*serial));
        let Some((payload, rest)) = rest.split_at_checked(length) else { return frames };
        if sum(serial, payload) != *hash {
            return frames;
        }
        frames.push((serial, payload));
        bytes = rest;
    }
}

fn read_entries(mut payload: &[u8], cipher: &XChaCha20Poly1305, found: &mut Found) -> io::Result<()> {
    while !payload.is_empty() {
        let (entry, rest) = postcard::take_from_bytes::<Entry<'_>>(payload).map_err(io::Error::other)?;
        payload = rest;
        match entry {
            Entry::Segment(packed) => {
                packing::unpack(&packed, |record| found.records.push(record)).map_err(io::Error::other)?;
            }
            Entry::Call(row) => found.writes.push(Write::Call(row.into_owned())),
            Entry::Binding(row) => found.writes.push(Write::Binding(row.into_owned())),
            Entry::Unbind(key) => found.writes.push(Write::Unbind(key.into_owned())),
            Entry::Person { person, nonce, sealed } => {
                let payload = Payload { msg: &sealed, aad: &person.0.to_le_bytes() };
                let text = cipher.decrypt(XNonce::from_slice(&nonce), payload).ok();
                let text = text.and_then(|text| String::from_utf8(text).ok());
                let text = text.ok_or_else(|| io::Error::other("a seal does not open"))?;
                found.writes.push(Write::Person(person, text));
            }
        }
    }
    Ok(())
}
