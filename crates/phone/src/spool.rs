//! Files written beside a call: the media thread fills a ring, a thread of its own brings it to the disk.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use offhook_units::Span;
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

/// What a ring holds: over a minute of G.711, half a minute of samples; a disk that stalls for longer costs counted bytes.
pub const RING_BYTES: usize = 512 * 1024;
/// How often the ring is emptied.
const WRITE_EVERY: Span = Span::from_ms(200);

/// What the bytes are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As they come.
    Raw,
    /// Little-endian 16-bit samples into a WAV file of 8 kHz, one channel.
    Wav,
}

/// The media thread's end.
pub struct Spool {
    ring: HeapProd<u8>,
    dropped: u64,
    close: Sender<()>,
    writer: Option<JoinHandle<io::Result<()>>>,
}

impl Spool {
    /// Creates `path` and the thread that writes it.
    ///
    /// # Errors
    /// The operating system's, where the file cannot be created or the thread not started.
    pub fn create(path: &Path, kind: Kind) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        let (ring, taken) = HeapRb::new(RING_BYTES).split();
        let (close, closed) = bounded(1);
        let writer = std::thread::Builder::new().name("phone-spool".into()).spawn(move || match kind {
            Kind::Raw => write_raw(file, taken, &closed),
            Kind::Wav => write_wav(file, taken, &closed),
        })?;
        Ok(Self { ring, dropped: 0, close, writer: Some(writer) })
    }

    /// Takes all of `bytes`, or none: then they are counted. Never waits.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.ring.vacant_len() < bytes.len() {
            self.dropped += bytes.len() as u64;
        } else {
            self.ring.push_slice(bytes);
        }
    }

    /// Takes samples as [`Kind::Wav`] wants them.
    pub fn push_samples(&mut self, samples: &[i16]) {
        if self.ring.vacant_len() < samples.len() * 2 {
            self.dropped += samples.len() as u64 * 2;
        } else {
            self.ring.push_iter(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        }
    }

    /// Brings everything to the file, closes it, and says how many bytes had found no room.
    ///
    /// # Errors
    /// The operating system's: the file is not whole.
    pub fn finish(mut self) -> io::Result<u64> {
        // A writer that has failed listens no more; joining it says so.
        let _ = self.close.send(());
        let Some(writer) = self.writer.take() else { return Ok(self.dropped) };
        writer.join().map_err(|_| io::Error::other("the writing thread panicked"))??;
        Ok(self.dropped)
    }
}

/// Empties the ring until told to close, giving whole blocks to `take`.
fn drain(
    mut ring: HeapCons<u8>,
    closed: &Receiver<()>,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut block = [0; 8_192];
    let mut closing = false;
    loop {
        while ring.occupied_len() >= 2 || (closing && !ring.is_empty()) {
            // Samples are two bytes and never torn: an odd byte waits for its other half.
            let whole = if closing { block.len() } else { (ring.occupied_len() & !1).min(block.len()) };
            let got = ring.pop_slice(&mut block[..whole]);
            take(&block[..got])?;
        }
        if closing {
            return Ok(());
        }
        closing = !matches!(closed.recv_timeout(WRITE_EVERY.as_std()), Err(RecvTimeoutError::Timeout));
    }
}

fn write_raw(mut file: BufWriter<File>, ring: HeapCons<u8>, closed: &Receiver<()>) -> io::Result<()> {
    drain(ring, closed, |bytes| file.write_all(bytes))?;
    file.flush()
}

fn write_wav(file: BufWriter<File>, ring: HeapCons<u8>, closed: &Receiver<()>) -> io::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(file, spec).map_err(io::Error::other)?;
    drain(ring, closed, |bytes| {
        for pair in bytes.chunks_exact(2) {
            writer.write_sample(i16::from_le_bytes([pair[0], pair[1]])).map_err(io::Error::other)?;
        }
        Ok(())
    })?;
    writer.finalize().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_is_in_the_file_when_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let (raw, wav) = (folder.path().join("a.raw"), folder.path().join("a.wav"));
        let mut spool = Spool::create(&raw, Kind::Raw).unwrap();
        spool.push(b"abc");
        spool.push(b"defg");
        assert_eq!(spool.finish().unwrap(), 0);
        assert_eq!(std::fs::read(raw).unwrap(), b"abcdefg");
        let mut spool = Spool::create(&wav, Kind::Wav).unwrap();
        spool.push_samples(&[1, -2, 3]);
        assert_eq!(spool.finish().unwrap(), 0);
        let samples: Vec<i16> = hound::WavReader::open(wav).unwrap().samples().map(Result::unwrap).collect();
        assert_eq!(samples, [1, -2, 3]);
    }

    #[test]
    fn what_finds_no_room_is_dropped_whole_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.raw");
        let mut spool = Spool::create(&path, Kind::Raw).unwrap();
        spool.push(&vec![1; RING_BYTES + 1]);
        spool.push(b"kept");
        assert_eq!(spool.finish().unwrap(), RING_BYTES as u64 + 1);
        assert_eq!(std::fs::read(path).unwrap(), b"kept");
    }
}
