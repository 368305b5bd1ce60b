//! Recordings in an S3-compatible object store: put there, held against what was closed, read from any place on, taken away.
//!
//! An object bears the bytes of the recording's file as they are, sealed or not, under the file's path behind a prefix. Keys of sealed
//! ones never leave the data folder.

mod credentials;
mod http;
mod ledger;

use core::time::Duration;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::path::Path as Key;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig};
use offhook_recorder::ReadAt;
use offhook_units::Span;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

pub use self::credentials::Credentials;
pub use self::ledger::{COPIED, Ledger, STORED, Stored, read as ledger};

/// What is sent or asked for at once; longer recordings are sent in parts of it (S3 takes 10,000, which are 80 GB).
const PART_BYTES: u64 = 8 << 20;
/// What a reader asks for at once: 16 s of speech.
const BLOCK_BYTES: u64 = 256 << 10;
/// How long the store may take for one part, however often it is tried.
const PART_WITHIN: Duration = Duration::from_mins(1);
/// How long a listener waits for the store.
const BLOCK_WITHIN: Duration = Duration::from_secs(10);

/// `[recording.store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Where the store is, such as `https://s3.example.com`.
    pub url: String,
    /// Its bucket.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// What the paths of objects begin with.
    pub prefix: String,
    /// The file of credentials; without one they come from the environment.
    pub credentials: Option<PathBuf>,
    /// Whose certificates are trusted instead of those that the system trusts.
    pub authorities: Option<PathBuf>,
    /// How long a recording stays in the recordings folder as well once it is stored.
    pub keep_local: Span,
    /// Bytes in the recordings folder beyond which stored ones leave it early, and then an alarm is raised.
    pub spool_max: u64,
    /// Bytes a second that are sent at most, on average.
    pub upload_max: u64,
}

/// The store, and the threads that talk to it.
#[derive(Debug)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    /// Taken when it is dropped.
    runtime: Option<Runtime>,
}

impl Objects {
    /// Talks to nobody yet.
    ///
    /// # Errors
    /// There are no credentials, or the settings cannot be used.
    pub fn open(settings: &StoreSettings) -> Result<Self> {
        let StoreSettings { url, bucket, region, prefix, credentials, authorities, .. } = settings;
        let credentials = Credentials::find(credentials.as_deref()).context("credentials of [recording.store]")?;
        let connector = http::Connector::new(url, authorities.as_deref()).context("[recording.store]")?;
        // What is tried for longer is tried by whoever asks, with what has come meanwhile.
        let retry = RetryConfig { max_retries: 2, retry_timeout: BLOCK_WITHIN, ..RetryConfig::default() };
        let store = credentials
            .give(AmazonS3Builder::new())
            .with_endpoint(url)
            .with_bucket_name(bucket)
            .with_region(region)
            .with_allow_http(url.starts_with("http://"))
            // The store refuses what was changed on the way.
            .with_checksum_algorithm(Checksum::SHA256)
            .with_retry(retry)
            .with_http_connector(connector)
            .build()
            .context("[recording.store]")?;
        Self::of(Arc::new(store), prefix)
    }

    /// Whether there can be a store at `url`, without asking.
    ///
    /// # Errors
    /// It is no address, or nobody vouches for it.
    pub fn check(url: &str, authorities: Option<&std::path::Path>) -> Result<()> {
        http::Connector::new(url, authorities).map(|_| ())
    }

    /// Any store.
    pub fn of(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("object-store")
            .enable_all()
            .build()
            .context("the object store's thread")?;
        Ok(Self { store, prefix: prefix.trim_matches('/').to_owned(), runtime: Some(runtime) })
    }

    fn key(&self, path: &str) -> Key {
        Key::from(format!("{}/{path}", self.prefix))
    }

    /// Waits for the store. Not to be called by tasks, which may not wait.
    fn wait<T>(&self, within: Duration, asked: impl Future<Output = object_store::Result<T>>) -> io::Result<T> {
        let runtime = self.runtime.as_ref().expect("it is there until it is dropped");
        let answer = runtime.block_on(async { tokio::time::timeout(within, asked).await });
        match answer {
            Ok(answer) => answer.map_err(into_io),
            Err(_late) => Err(io::Error::new(io::ErrorKind::TimedOut, "the store did not answer in time")),
        }
    }

    /// Stores a file; `sent` is called after each part with its bytes, and ends the work by an error.
    ///
    /// # Errors
    /// The disk or the store refuses; nothing is stored then, as far as the store allows.
    pub fn put(&self, path: &str, file: &File, mut sent: impl FnMut(u64) -> io::Result<()>) -> io::Result<()> {
        let (key, length) = (self.key(path), file.metadata()?.len());
        let part = |at: u64| -> io::Result<PutPayload> {
            let mut bytes = vec![0; PART_BYTES.min(length - at) as usize];
            FileExt::read_exact_at(file, &mut bytes, at)?;
            Ok(bytes.into())
        };
        if length <= PART_BYTES {
            self.wait(PART_WITHIN, self.store.put(&key, part(0)?))?;
            return sent(length);
        }
        let mut upload = self.wait(PART_WITHIN, self.store.put_multipart(&key))?;
        let mut parts = || {
            for at in (0..length).step_by(PART_BYTES as usize) {
                let part = part(at)?;
                let bytes = part.content_length() as u64;
                self.wait(PART_WITHIN, upload.put_part(part))?;
                sent(bytes)?;
            }
            Ok(())
        };
        match parts() {
            Ok(()) => self.wait(PART_WITHIN, upload.complete()).map(|_| ()),
            Err(error) => {
                // A store that is gone keeps the parts until its own rules take them away.
                let _gone = self.wait(BLOCK_WITHIN, upload.abort());
                Err(error)
            }
        }
    }

    /// How long an object is, where there is one.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub fn length(&self, path: &str) -> io::Result<Option<u64>> {
        match self.wait(BLOCK_WITHIN, self.store.head(&self.key(path))) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// SHA-256 of an object, read back in parts, in lower-case hexadecimal.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub fn sha256(&self, path: &str, length: u64) -> io::Result<String> {
        let (key, mut sum) = (self.key(path), Sha256::new());
        for at in (0..length).step_by(PART_BYTES as usize) {
            let range = at..length.min(at + PART_BYTES);
            sum.update(self.wait(PART_WITHIN, self.store.get_range(&key, range))?);
        }
        Ok(offhook_recorder::hex(&sum.finalize()))
    }

    /// Takes an object away; one that is not there is gone already.
    ///
    /// # Errors
    /// The store cannot be asked, or refuses.
    pub fn delete(&self, path: &str) -> io::Result<()> {
        match self.wait(BLOCK_WITHIN, self.store.delete(&self.key(path))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// An object to be read in blocks, as they are asked for.
    ///
    /// # Errors
    /// There is none, or the store cannot be asked.
    pub fn read(self: &Arc<Self>, path: &str) -> io::Result<Object> {
        let length = self.length(path)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(Object { objects: Arc::clone(self), key: self.key(path), length, block: Block::default() })
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn into_io(error: Error) -> io::Error {
    let kind = match &error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// The block that was read last, and where it begins.
type Block = core::cell::RefCell<(u64, bytes::Bytes)>;

/// An object that is read as if it were a file.
#[derive(Debug)]
pub struct Object {
    objects: Arc<Objects>,
    key: Key,
    length: u64,
    block: Block,
}

impl ReadAt for Object {
    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        if at + bytes.len() as u64 > self.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut block = self.block.borrow_mut();
        let mut filled = 0;
        while filled < bytes.len() {
            let here = at + filled as u64;
            let from = here / BLOCK_BYTES * BLOCK_BYTES;
            if block.0 != from || block.1.is_empty() {
                let range = from..self.length.min(from + BLOCK_BYTES);
                let asked = self.objects.store.get_range(&self.key, range.clone());
                let read = self.objects.wait(BLOCK_WITHIN, asked)?;
                if read.len() as u64 != range.end - range.start {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *block = (from, read);
            }
            let rest = &block.1[(here - from) as usize..];
            let count = rest.len().min(bytes.len() - filled);
            bytes[filled..filled + count].copy_from_slice(&rest[..count]);
            filled += count;
        }
        Ok(())
    }
}

/// Whether what the store has is what was closed.
///
/// # Errors
/// It is not, or the store cannot be asked.
pub fn confirm(objects: &Objects, path: &str, length: u64, sha256: &str) -> Result<()> {
    let found = objects.length(path)?.context("the store does not have it")?;
    ensure!(found == length, "the store has {found} bytes of {length}");
    ensure!(objects.sha256(path, length)? == sha256, "the store has other bytes");
    Ok(())
}
