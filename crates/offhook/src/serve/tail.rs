//! The manifest of recordings, read on from where it was last left.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use offhook_recorder::{MANIFEST, Manifest};

/// A place in the manifest of a folder.
#[derive(Debug)]
pub struct Tail {
    folder: PathBuf,
    /// How much of it is behind.
    read: u64,
}

/// The lines from a place on.
pub struct Lines<'a> {
    tail: &'a mut Tail,
    reader: BufReader<File>,
    line: Vec<u8>,
}

impl Tail {
    /// From the beginning on.
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder, read: 0 }
    }

    /// What stands there from here on; none where there is no manifest yet.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn lines(&mut self) -> io::Result<Option<Lines<'_>>> {
        let mut file = match File::open(self.folder.join(MANIFEST)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        file.seek(SeekFrom::Start(self.read))?;
        Ok(Some(Lines { tail: self, reader: BufReader::new(file), line: Vec::new() }))
    }
}

impl Lines<'_> {
    /// The next whole line that can be read, which is behind once the one after it is asked for, or [`Lines::done`] was said. The
    /// rest of a line that is being written comes later.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn next(&mut self) -> io::Result<Option<Manifest>> {
        loop {
            self.done();
            if self.reader.read_until(b'\n', &mut self.line)? == 0 || !self.line.ends_with(b"\n") {
                self.line.clear();
                return Ok(None);
            }
            if let Ok(manifest) = serde_json::from_slice(&self.line) {
                return Ok(Some(manifest));
            }
        }
    }

    /// What [`Lines::next`] gave is behind.
    pub fn done(&mut self) {
        self.tail.read += self.line.len() as u64;
        self.line.clear();
    }
}
