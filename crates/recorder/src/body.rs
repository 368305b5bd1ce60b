//! The file of a recording, plain or sealed: a header and frames, at places of the plain WAV file.
//!
//! A sealed file (`.sealed`) is a preamble, the sealed WAV header, and chunks of [`CHUNK_BYTES`] of speech, each sealed by
//! itself (XChaCha20-Poly1305: nonce, text, tag; bound to the recording and to its place), so that reading can begin anywhere
//! and a chunk cannot be moved. A chunk that grows is sealed anew under a fresh nonce: a random part for each opening of the
//! file, and a counter.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use offhook_units::{Entropy, RecordingId};

use crate::keys::DataKey;
use crate::wav::{FRAME_BYTES, HEADER_BYTES, WavError, WavHeader};

/// Bytes of speech in one sealed chunk: 256 ms.
pub const CHUNK_BYTES: usize = 4_096;

/// Frames of one sealed chunk.
pub const CHUNK_FRAMES: u64 = CHUNK_BYTES as u64 / FRAME_BYTES;

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const SEAL_BYTES: usize = NONCE_BYTES + TAG_BYTES;
const MAGIC: &[u8; 16] = b"OFFHOOK SEALED 1";
const HEADER_AT: u64 = 64;
const DATA_AT: u64 = 256;
/// The place of the header, beyond all chunks.
const HEADER_PLACE: u64 = u64::MAX;
const STEP: u64 = (CHUNK_BYTES + SEAL_BYTES) as u64;

const _: () =
    assert!(HEADER_AT as usize + HEADER_BYTES + SEAL_BYTES <= DATA_AT as usize, "the header ends before the chunks");

/// Bytes that lie somewhere and can be read from any place: a file, or an object in a store.
pub trait ReadAt: core::fmt::Debug + Send {
    /// How many there are.
    ///
    /// # Errors
    /// Wherever they lie refuses.
    fn length(&self) -> io::Result<u64>;
    /// Fills `bytes` from `at` on.
    ///
    /// # Errors
    /// As [`ReadAt::length`], and [`io::ErrorKind::UnexpectedEof`] beyond the end.
    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, at)
    }
}

/// What is read of a recording: where it lies, and what opens it where it is sealed.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    pub bytes: &'a dyn ReadAt,
    pub sealer: Option<&'a Sealer>,
}

impl Reading<'_> {
    /// Frames by the length.
    pub fn frames(&self) -> io::Result<u64> {
        let length = self.bytes.length()?;
        Ok(match self.sealer {
            None => length.saturating_sub(HEADER_BYTES as u64) / FRAME_BYTES,
            Some(_) => sealed_frames(length),
        })
    }

    /// Reads the header; the inner result says whether it is one of ours.
    pub fn read_header(&self) -> io::Result<Result<WavHeader, WavError>> {
        let mut bytes = [0; HEADER_BYTES + SEAL_BYTES];
        let (at, wanted) = match self.sealer {
            None => (0, HEADER_BYTES),
            Some(_) => (HEADER_AT, HEADER_BYTES + SEAL_BYTES),
        };
        let length = self.bytes.length()?.saturating_sub(at).min(wanted as u64) as usize;
        let bytes = &mut bytes[..length];
        self.bytes.read_exact_at(bytes, at)?;
        Ok(match self.sealer {
            _ if length < wanted => Err(WavError::Short),
            None => WavHeader::decode(bytes),
            Some(sealer) => match sealer.open(HEADER_PLACE, bytes) {
                Some(text) => WavHeader::decode(text),
                None => Err(WavError::Foreign),
            },
        })
    }

    /// A chunk of frames, [`CHUNK_BYTES`] long or shorter at the end; `None` where a seal does not open.
    pub fn read_chunk(&self, place: u64) -> io::Result<Option<Vec<u8>>> {
        let left = self.frames()?.saturating_sub(place * CHUNK_FRAMES).min(CHUNK_FRAMES);
        let mut bytes = vec![0; (left * FRAME_BYTES) as usize];
        if let Some(sealer) = self.sealer {
            bytes.resize(bytes.len() + SEAL_BYTES, 0);
            self.bytes.read_exact_at(&mut bytes, DATA_AT + place * STEP)?;
            return Ok(sealer.open(place, &mut bytes).map(|text| text.to_vec()));
        }
        self.bytes.read_exact_at(&mut bytes, HEADER_BYTES as u64 + place * CHUNK_BYTES as u64)?;
        Ok(Some(bytes))
    }
}

/// The file of a recording.
#[derive(Debug)]
pub enum Body {
    /// A WAV file as it is.
    Plain(File),
    /// Sealed chunks.
    Sealed(File, Box<Sealer>),
}

/// Seals and opens the parts of one recording.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    id: RecordingId,
    salt: [u8; 16],
    count: u64,
}

/// Room to seal a chunk in.
type Room = [u8; CHUNK_BYTES + SEAL_BYTES];

impl core::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sealer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Sealer {
    /// For recording `id`; `entropy` gives the random part of this opening's nonces.
    pub fn new(key: &DataKey, id: RecordingId, entropy: &mut Entropy) -> Self {
        let mut salt = [0; 16];
        entropy.fill(&mut salt);
        Self::with_salt(key, id, salt)
    }

    /// To read with: nothing is sealed.
    pub fn reader(key: &DataKey, id: RecordingId) -> Self {
        Self::with_salt(key, id, [0; 16])
    }

    fn with_salt(key: &DataKey, id: RecordingId, salt: [u8; 16]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.into()), id, salt, count: 0 }
    }

    fn bound_to(&self, place: u64) -> [u8; 16] {
        let mut bound = [0; 16];
        bound[..8].copy_from_slice(&self.id.0.to_le_bytes());
        bound[8..].copy_from_slice(&place.to_le_bytes());
        bound
    }

    /// Seals `text`, a chunk or less, at `place` under a nonce that was never used.
    fn seal<'a>(&mut self, place: u64, text: &[u8], room: &'a mut Room) -> io::Result<&'a [u8]> {
        self.count += 1;
        let sealed = &mut room[..text.len() + SEAL_BYTES];
        let (nonce, rest) = sealed.split_at_mut(NONCE_BYTES);
        let (body, tag) = rest.split_at_mut(text.len());
        nonce[..self.salt.len()].copy_from_slice(&self.salt);
        nonce[self.salt.len()..].copy_from_slice(&self.count.to_le_bytes());
        body.copy_from_slice(text);
        let made = self.cipher.encrypt_in_place_detached(XNonce::from_slice(nonce), &self.bound_to(place), body);
        tag.copy_from_slice(&made.map_err(|_| io::Error::other("cannot seal"))?);
        Ok(sealed)
    }

    /// Opens what [`Sealer::seal`] gave, in place; `None` where a byte of it was changed or moved.
    fn open<'a>(&self, place: u64, sealed: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let length = sealed.len().checked_sub(SEAL_BYTES)?;
        let (nonce, rest) = sealed.split_at_mut(NONCE_BYTES);
        let (text, tag) = rest.split_at_mut(length);
        let (nonce, tag) = (XNonce::from_slice(nonce), Tag::from_slice(tag));
        self.cipher.decrypt_in_place_detached(nonce, &self.bound_to(place), text, tag).ok()?;
        Some(text)
    }
}

/// Frames of a sealed file of this length.
pub const fn sealed_frames(length: u64) -> u64 {
    let chunks = length.saturating_sub(DATA_AT);
    (chunks / STEP) * CHUNK_FRAMES + (chunks % STEP).saturating_sub(SEAL_BYTES as u64) / FRAME_BYTES
}

/// Length of a sealed file of so many frames.
pub const fn sealed_length(frames: u64) -> u64 {
    let rest = frames % CHUNK_FRAMES * FRAME_BYTES;
    DATA_AT + frames / CHUNK_FRAMES * STEP + if rest > 0 { rest + SEAL_BYTES as u64 } else { 0 }
}

impl Body {
    /// Frames that are written at once: writes begin at multiples of it, and end there or at the end of the file.
    pub const fn grain(is_sealed: bool) -> u64 {
        if is_sealed { CHUNK_FRAMES } else { 1 }
    }

    /// The file itself.
    pub const fn file(&self) -> &File {
        match self {
            Self::Plain(file) | Self::Sealed(file, _) => file,
        }
    }

    /// To be read.
    pub fn reading(&self) -> Reading<'_> {
        match self {
            Self::Plain(file) => Reading { bytes: file, sealer: None },
            Self::Sealed(file, sealer) => Reading { bytes: file, sealer: Some(sealer) },
        }
    }

    /// Frames by the file's length.
    pub fn frames(&self) -> io::Result<u64> {
        self.reading().frames()
    }

    /// Writes the header; the first time also what a sealed file begins with.
    pub fn write_header(&mut self, header: &WavHeader) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all_at(&header.encode(), 0),
            Self::Sealed(file, sealer) => {
                if sealer.count == 0 {
                    file.write_all_at(&[&MAGIC[..], &sealer.id.0.to_le_bytes()].concat(), 0)?;
                }
                let mut room = [0; CHUNK_BYTES + SEAL_BYTES];
                file.write_all_at(sealer.seal(HEADER_PLACE, &header.encode(), &mut room)?, HEADER_AT)
            }
        }
    }

    /// As [`Reading::read_header`].
    pub fn read_header(&self) -> io::Result<Result<WavHeader, WavError>> {
        self.reading().read_header()
    }

    /// Writes frames from `offset` on, which counts bytes of the plain file. Begins at a multiple of [`Body::grain`].
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all_at(bytes, offset),
            Self::Sealed(file, sealer) => {
                let first = (offset - HEADER_BYTES as u64) / CHUNK_BYTES as u64;
                let mut room = [0; CHUNK_BYTES + SEAL_BYTES];
                for (place, chunk) in (first..).zip(bytes.chunks(CHUNK_BYTES)) {
                    file.write_all_at(sealer.seal(place, chunk, &mut room)?, DATA_AT + place * STEP)?;
                }
                Ok(())
            }
        }
    }

    /// Cuts the file after `frames`.
    pub fn cut(&mut self, frames: u64) -> io::Result<()> {
        if let Self::Plain(file) = self {
            return file.set_len(HEADER_BYTES as u64 + frames * FRAME_BYTES);
        }
        let (place, rest) = (frames / CHUNK_FRAMES, (frames % CHUNK_FRAMES * FRAME_BYTES) as usize);
        if rest > 0 && self.frames()? > frames {
            let mut chunk = self.read_chunk(place)?.ok_or_else(|| damaged(place))?;
            chunk.truncate(rest);
            self.file().set_len(DATA_AT + place * STEP)?;
            self.write(HEADER_BYTES as u64 + place * CHUNK_BYTES as u64, &chunk)?;
        }
        self.file().set_len(sealed_length(frames))
    }

    /// As [`Reading::read_chunk`].
    pub fn read_chunk(&self, place: u64) -> io::Result<Option<Vec<u8>>> {
        self.reading().read_chunk(place)
    }
}

/// The error of a chunk whose seal does not open.
pub fn damaged(place: u64) -> io::Error {
    let from_ms = place * CHUNK_FRAMES / 8;
    io::Error::new(io::ErrorKind::InvalidData, format!("the seal of the speech from {from_ms} ms on does not open"))
}
