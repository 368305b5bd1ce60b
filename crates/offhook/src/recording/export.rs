//! A recording as a file that every program opens: samples as they are, FLAC or Opus.

use std::fs::File;
use std::io::{self, IsTerminal, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender, bounded};
use offhook_recorder::{Encoder, Format, KeyRing, Manifest};
use offhook_server::{Encoding, SAMPLE_HEADER_BYTES, Speech};
use offhook_units::{RecordingId, SampleRate};

use super::{Samples, Shelf};

/// Bytes of samples between two looks at how far it is.
const PROGRESS_BYTES: u64 = 1 << 20;
/// Pieces of a file that wait to be taken.
const PIECES_MAX: usize = 2;
/// Bytes of a piece, about.
const PIECE_BYTES: usize = 32 * 1_024;
/// How much encoding for the page gives way to everything else, nice(2).
const NICE: i32 = 10;

/// What makes the file.
enum Maker {
    Wav,
    Encoder(Encoder),
}

/// Makes a file of a recording, piece by piece; nothing of it lies anywhere but in the hands of whoever asks.
pub struct Conversion {
    samples: Samples,
    maker: Maker,
    /// How far the WAV file of samples has been read.
    at: u64,
}

impl Conversion {
    /// Of `samples`, which are those of recording `id`.
    ///
    /// # Errors
    /// The format has no room for it.
    pub fn new(samples: Samples, id: RecordingId, format: Format) -> Result<Self> {
        let rate = SampleRate(samples.rate());
        let count = (samples.length() - SAMPLE_HEADER_BYTES) / 4;
        let (maker, at) = match format {
            Format::Wav => (Maker::Wav, 0),
            Format::Flac => (Maker::Encoder(Encoder::flac(rate, count)?), SAMPLE_HEADER_BYTES),
            Format::Opus => (Maker::Encoder(Encoder::opus(rate, id)?), SAMPLE_HEADER_BYTES),
        };
        Ok(Self { samples, maker, at })
    }

    /// Appends more of the file to `out`; false at the end of the samples.
    fn more(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        if self.at >= self.samples.length() {
            return Ok(false);
        }
        let bytes = self.samples.read(self.at)?;
        self.at += bytes.len() as u64;
        match &mut self.maker {
            Maker::Wav => out.extend(bytes),
            Maker::Encoder(encoder) => {
                let samples = bytes.chunks_exact(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]]));
                encoder.push(&samples.collect::<Vec<_>>(), out)?;
            }
        }
        Ok(true)
    }
}

/// Writes the recording to `out`, which must not exist; what was begun is taken away where it fails.
pub fn export(shelf: &Shelf, manifest: &Manifest, keys: Option<&KeyRing>, format: Format, out: &Path) -> Result<()> {
    let samples = Samples::open(shelf, manifest.id, Path::new(&manifest.path), keys)?;
    let conversion = Conversion::new(samples, manifest.id, format)?;
    let mut file = File::create_new(out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut progress = Progress::new();
    let told = |at, of| {
        progress.tell(at, of);
        Ok(())
    };
    let written = write(conversion, &mut file, told).map_err(|fault| match fault {
        Unmade::Read(error) => error,
        Unmade::Write(error) => error.into(),
    });
    let written = written.with_context(|| manifest.path.clone());
    let synced = written.and_then(|()| file.sync_all().with_context(|| out.display().to_string()));
    if synced.is_err() {
        let _it_stays = std::fs::remove_file(out);
    }
    synced
}

/// Why a file was not made.
pub enum Unmade {
    /// The recording cannot be read, or not encoded.
    Read(anyhow::Error),
    /// The file cannot be written, or whoever is told ended it.
    Write(io::Error),
}

/// Writes all of it; `told` hears after each piece how far it is and of how much, and may end it.
///
/// # Errors
/// See [`Unmade`].
pub fn write(
    mut conversion: Conversion,
    file: &mut File,
    mut told: impl FnMut(u64, u64) -> io::Result<()>,
) -> Result<(), Unmade> {
    let mut out = Vec::new();
    while conversion.more(&mut out).map_err(Unmade::Read)? {
        file.write_all(&out).map_err(Unmade::Write)?;
        out.clear();
        told(conversion.at, conversion.samples.length()).map_err(Unmade::Write)?;
    }
    if let Maker::Encoder(encoder) = conversion.maker {
        let patch = encoder.finish(&mut out).map_err(|error| Unmade::Read(error.into()))?;
        file.write_all(&out).map_err(Unmade::Write)?;
        if let Some(patch) = patch {
            file.seek(SeekFrom::Start(patch.at)).map_err(Unmade::Write)?;
            file.write_all(&patch.bytes).map_err(Unmade::Write)?;
        }
    }
    Ok(())
}

/// How far it is, for a person at a terminal.
struct Progress {
    told: u64,
    on: bool,
}

impl Progress {
    fn new() -> Self {
        Self { told: 0, on: io::stderr().is_terminal() }
    }

    fn tell(&mut self, at: u64, of: u64) {
        if self.on && at >= self.told + PROGRESS_BYTES {
            self.told = at;
            eprint!("\r{} %", at * 100 / of);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.told > 0 {
            eprint!("\r     \r");
        }
    }
}

/// An encoded file on its way to somebody: made on a thread of its own, which gives way to calls.
struct Encoded(Receiver<io::Result<Vec<u8>>>);

impl Encoding for Encoded {
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.0.recv().ok().transpose()
    }
}

/// Begins to make a file of `samples`.
///
/// # Errors
/// The format has no room for it, or no thread is to be had.
pub fn encode(samples: Samples, id: RecordingId, format: Format) -> io::Result<Box<dyn Encoding>> {
    let conversion = Conversion::new(samples, id, format).map_err(io::Error::other)?;
    let (pieces, taken) = bounded(PIECES_MAX);
    let body = move || {
        // Where the system does not allow it, it is done at the same pace as everything else.
        let _refused = rustix::process::nice(NICE);
        if let Err(error) = hand_over(conversion, &pieces) {
            let _gone = pieces.send(Err(io::Error::other(format!("{error:#}"))));
        }
    };
    std::thread::Builder::new().name("export".into()).spawn(body)?;
    Ok(Box::new(Encoded(taken)))
}

/// Ends early where nobody takes the pieces any more.
fn hand_over(mut conversion: Conversion, pieces: &Sender<io::Result<Vec<u8>>>) -> Result<()> {
    let mut out = Vec::new();
    while conversion.more(&mut out)? {
        if out.len() >= PIECE_BYTES && pieces.send(Ok(core::mem::take(&mut out))).is_err() {
            return Ok(());
        }
    }
    if let Maker::Encoder(encoder) = conversion.maker {
        encoder.finish(&mut out)?;
    }
    let _gone = pieces.send(Ok(out));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use offhook_plan::CodecKind;

    use super::super::tests::{Centre, sealed_centre};
    use super::*;

    /// One sealed recording of 8 s of noise, and its key.
    fn noise(codec: CodecKind) -> (Centre, KeyRing) {
        let keys = || KeyRing::parse(&"5a".repeat(32)).expect("keys");
        let byte = |n: u16, at: usize| (u32::from(n) * 160 + at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0];
        let centre =
            sealed_centre(1, 400, codec, Some(keys()), |_, n| core::array::from_fn::<u8, 160, _>(|at| byte(n, at)));
        (centre, keys())
    }

    fn exported(centre: &Centre, keys: &KeyRing, format: Format) -> PathBuf {
        let out = centre.data.path().join(format!("out.{}", format.name()));
        export(&centre.shelf(), &centre.manifests[&1], Some(keys), format, &out).expect("exported");
        out
    }

    /// What a listener of the API is given.
    fn handed_over(centre: &Centre, keys: &KeyRing, format: Format) -> Vec<u8> {
        let path = Path::new(&centre.manifests[&1].path);
        let samples = Samples::open(&centre.shelf(), RecordingId(1), path, Some(keys)).expect("open");
        let mut encoding = Box::new(samples).encode(format).expect("begun");
        let mut file = Vec::new();
        while let Some(piece) = encoding.next().expect("made") {
            file.extend(piece);
        }
        file
    }

    #[test]
    fn a_sealed_recording_is_the_same_in_flac_as_in_wav_to_the_sample() {
        for codec in [CodecKind::Pcma, CodecKind::G722] {
            let (centre, keys) = noise(codec);
            let mut wav = hound::WavReader::open(exported(&centre, &keys, Format::Wav)).expect("WAV");
            let said: Vec<i16> = wav.samples().map(|sample| sample.expect("a sample")).collect();
            let flac = std::fs::read(exported(&centre, &keys, Format::Flac)).expect("FLAC");
            for file in [handed_over(&centre, &keys, Format::Flac), flac] {
                let mut reader = claxon::FlacReader::new(&file[..]).expect("FLAC");
                assert_eq!(reader.streaminfo().sample_rate, wav.spec().sample_rate);
                let heard: Vec<i16> = reader.samples().map(|sample| sample.expect("a sample") as i16).collect();
                assert!(heard == said, "{codec:?}");
            }
        }
    }

    #[test]
    fn a_file_that_is_handed_over_is_the_one_that_is_written_but_for_the_md5_of_flac() {
        let (centre, keys) = noise(CodecKind::Pcma);
        for format in [Format::Wav, Format::Opus] {
            let written = std::fs::read(exported(&centre, &keys, format)).expect("a file");
            assert!(written == handed_over(&centre, &keys, format), "{}", format.name());
        }
        let mut written = std::fs::read(exported(&centre, &keys, Format::Flac)).expect("a file");
        assert_ne!(written[26..42], [0; 16]);
        written[26..42].fill(0);
        assert!(written == handed_over(&centre, &keys, Format::Flac));
    }

    #[test]
    fn an_export_that_fails_half_way_leaves_no_file_and_tells_the_listener() {
        let (centre, keys) = noise(CodecKind::Pcma);
        let mut bytes = std::fs::read(centre.file(1)).expect("the file");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(centre.file(1), bytes).expect("written");
        for format in Format::ALL {
            let out = centre.data.path().join("out");
            let error = export(&centre.shelf(), &centre.manifests[&1], Some(&keys), format, &out).expect_err("no seal");
            assert!(format!("{error:#}").contains("the seal of the speech"), "{error:#}");
            assert!(!out.exists());
        }
        let path = Path::new(&centre.manifests[&1].path);
        let samples = Samples::open(&centre.shelf(), RecordingId(1), path, Some(&keys)).expect("open");
        let mut encoding = Box::new(samples).encode(Format::Opus).expect("begun");
        let error = loop {
            match encoding.next() {
                Ok(piece) => assert!(piece.is_some(), "it ended as if it were whole"),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("the seal of the speech"), "{error}");
    }
}
