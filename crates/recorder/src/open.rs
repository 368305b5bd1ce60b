//! One open recording and where it lies: made on disk as soon as the disk takes it, then written as it grows.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use offhook_codec::{Law, g722};
use offhook_plan::CodecKind;
use offhook_units::Tick;

use crate::body::{Body, Sealer};
use crate::files::{SEALED, recording_path};
use crate::finish::{Finished, JournalLine, header_of, journal_of};
use crate::keys::{self, key_path};
use crate::manifest::RecordingSpec;
use crate::recording::Recording;
use crate::wav::WavHeader;
use crate::writer::{Counters, Protection};

/// Runs of silence to write from.
static SILENCE_MU: [u8; 32_768] = [Law::Mu.silence(); 32_768];
static SILENCE_A: [u8; 32_768] = [Law::A.silence(); 32_768];
static SILENCE_G722: [u8; 32_768] = [g722::SILENCE; 32_768];

/// One open recording.
pub struct Open {
    pub recording: Recording,
    /// Where it lies; none until the disk has taken it.
    place: Option<Place>,
    pub flushed: Tick,
    /// The ring that its records come from, once known.
    pub ring: Option<usize>,
    pub closing: Option<Tick>,
    /// Its time line has ended.
    is_ended: bool,
}

/// A recording's files.
struct Place {
    path: PathBuf,
    body: Body,
    journal: PathBuf,
    /// The pause that the journal has last, where it is not over.
    paused: Option<[u64; 2]>,
    /// The header that was written last.
    header: WavHeader,
}

/// Files that are taken away again unless all of them could be made.
struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        for path in &self.0 {
            // It is made anew the next time, or lies there empty.
            let _removed = std::fs::remove_file(path);
        }
    }
}

impl Place {
    /// Makes a recording's journal and file.
    fn make(dir: &Path, spec: &RecordingSpec, protection: &mut Option<Protection>) -> io::Result<Self> {
        let plain = recording_path(spec.id, spec.started);
        let path = if protection.is_some() { plain.with_extension(SEALED) } else { plain };
        let full = dir.join(&path);
        if let Some(folder) = full.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let journal = journal_of(&full);
        let mut line = serde_json::to_vec(&JournalLine::Spec(spec.clone()))?;
        line.push(b'\n');
        let mut file = File::options().write(true).create_new(true).open(&journal)?;
        let mut made = Made(vec![journal.clone()]);
        file.write_all(&line)?;
        let key = match protection {
            None => None,
            Some(Protection { keys, entropy }) => {
                made.0.push(dir.join(key_path(&path)));
                let key = keys::make(dir, keys, entropy, spec.id, &path)?;
                Some(Box::new(Sealer::new(&key, spec.id, entropy)))
            }
        };
        let file = File::options().read(true).write(true).create_new(true).open(&full)?;
        made.0.push(full);
        let mut body = match key {
            None => Body::Plain(file),
            Some(sealer) => Body::Sealed(file, sealer),
        };
        let header = header_of(spec);
        body.write_header(&header)?;
        made.0.clear();
        Ok(Self { path, body, journal, paused: None, header })
    }
}

impl Open {
    /// One that the disk has not been asked to take.
    pub fn new(spec: RecordingSpec, now: Tick, is_sealed: bool) -> Self {
        let recording = Recording::with_grain(spec, Body::grain(is_sealed));
        Self { recording, place: None, flushed: now, ring: None, closing: None, is_ended: false }
    }

    /// Makes its files where they are missing, then writes data, then new gaps, then the header: a crash in between leaves what
    /// the header says true. Where the disk refuses, what memory holds is written the next time.
    pub fn flush(&mut self, dir: &Path, protection: &mut Option<Protection>, counters: &Counters) -> io::Result<()> {
        let outcome = self.try_flush(dir, protection, counters);
        if outcome.is_err() {
            counters.disk_errors.fetch_add(1, Relaxed);
            self.recording.refused();
            if let Some(Place { body, header, .. }) = &mut self.place {
                // In place of the last one, which a full disk takes: should the process be killed now, it says what the disk owes.
                let _told = body.write_header(&WavHeader { behind: self.recording.frames(), ..*header });
            }
        }
        outcome
    }

    fn try_flush(&mut self, dir: &Path, protection: &mut Option<Protection>, counters: &Counters) -> io::Result<()> {
        let place = match &mut self.place {
            Some(place) => place,
            none => none.insert(Place::make(dir, self.recording.spec(), protection)?),
        };
        let silence = match self.recording.spec().codec {
            CodecKind::Pcmu => &SILENCE_MU,
            CodecKind::Pcma => &SILENCE_A,
            CodecKind::G722 | CodecKind::Opus | CodecKind::L16 => &SILENCE_G722,
        };
        while let Some(dirty) = self.recording.dirty(silence) {
            let length = dirty.bytes.len();
            place.body.write(dirty.offset, dirty.bytes)?;
            counters.bytes_written.fetch_add(length as u64, Relaxed);
            self.recording.written(length);
        }
        let news = self.recording.news();
        let pause = self.recording.pausing();
        let begun = pause.filter(|_| pause != place.paused);
        if !news.is_empty() || begun.is_some() {
            let mut lines = Vec::new();
            let news = news.into_iter().map(JournalLine::Gap).chain(begun.map(JournalLine::Paused));
            for line in news {
                serde_json::to_writer(&mut lines, &line)?;
                lines.push(b'\n');
            }
            File::options().append(true).open(&place.journal)?.write_all(&lines)?;
            self.recording.told();
        }
        place.paused = pause;
        let header = self.recording.header();
        place.body.write_header(&header)?;
        place.header = header;
        Ok(())
    }

    /// Ends its time line, once, and writes the rest.
    pub fn end(
        &mut self,
        now: Tick,
        dir: &Path,
        protection: &mut Option<Protection>,
        counters: &Counters,
    ) -> io::Result<()> {
        if !self.is_ended {
            self.recording.end(self.closing.unwrap_or(now));
            self.is_ended = true;
        }
        self.flush(dir, protection, counters)?;
        match &mut self.place {
            Some(place) => place.body.cut(self.recording.frames()),
            None => Ok(()),
        }
    }

    /// What the closing thread is given after [`Open::end`]; none where the disk never took it.
    pub fn finished(self) -> Option<Finished> {
        let Place { path, body, .. } = self.place?;
        Some(Finished { spec: self.recording.spec().clone(), path, body, summary: self.recording.summary() })
    }
}
