//! Closing and mending: hashes, manifest lines, events. An edge on its own thread, so that the writer never waits for it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use offhook_plan::CodecKind;
use offhook_plan::tap::Side;
use offhook_units::{RecordingId, Tick};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::body::{Body, CHUNK_BYTES, CHUNK_FRAMES, Sealer, damaged, sealed_length};
use crate::files::{ManifestFile, SEALED};
use crate::gaps::{Gap, GapReason, uncovered};
use crate::keys;
use crate::manifest::{MANIFEST_VERSION, Manifest, ManifestGap, RecordingSpec, SideSummary};
use crate::recording::Summary;
use crate::turn::coding_of;
use crate::wav::{FRAME_BYTES, HEADER_BYTES, WavError, WavHeader};
use crate::writer::{Counters, Protection, RecorderEvent};

/// Most frames that a recording is lengthened by for what a refusing disk owes: an hour.
const BEHIND_MAX: u64 = 3_600 * 8_000;

/// How soon after a refusal a recording is closed or mended again.
const RETRY: Duration = Duration::from_millis(500);

/// Bytes read at once while hashing.
const READ_BYTES: usize = 128 * 1_024;

/// One line of a recording's journal: the specification first, then each gap, and each pause as soon as it begins.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JournalLine {
    Spec(RecordingSpec),
    Gap(Gap),
    /// Paused since these frames of the left and of the right side; over where a gap of that reason follows.
    Paused([u64; 2]),
}

/// A recording whose data and header are written.
#[derive(Debug)]
pub struct Finished {
    pub spec: RecordingSpec,
    pub path: PathBuf,
    pub body: Body,
    pub summary: Summary,
}

/// What the closing thread is given.
#[derive(Debug)]
pub enum Job {
    Close(Box<Finished>),
    Mend(RecordingId, PathBuf),
    Tell(RecorderEvent),
}

/// Where a recording's journal lies.
pub fn journal_of(path: &Path) -> PathBuf {
    path.with_extension("journal")
}

/// The closing thread.
pub struct Closer<E> {
    pub dir: PathBuf,
    pub manifest: ManifestFile,
    /// Told of each event.
    pub events: E,
    pub counters: Arc<Counters>,
    pub protection: Option<Protection>,
    /// Why the writer cannot write, while that is so.
    pub writers: Option<String>,
    /// Why a job was refused last.
    pub refusal: Option<String>,
    /// Trouble was told and is not over.
    pub is_told: bool,
}

impl<E: Fn(RecorderEvent)> Closer<E> {
    /// Works until the writer is gone. What a full disk refuses is tried again until then.
    pub fn run(mut self, jobs: &Receiver<Job>) {
        let mut owed = VecDeque::new();
        loop {
            let next = if owed.is_empty() {
                jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                jobs.recv_timeout(RETRY)
            };
            let ends = matches!(next, Err(RecvTimeoutError::Disconnected));
            // There may be room again where a recording was closed, and after a while.
            let mut goes_on = match next {
                Ok(job) => {
                    let closes = !matches!(job, Job::Tell(_));
                    let refused = self.work(job, false);
                    let closed = closes && refused.is_none();
                    owed.extend(refused);
                    closed
                }
                Err(_) => true,
            };
            for _ in 0..owed.len() {
                if goes_on {
                    let refused = owed.pop_front().and_then(|job| self.work(job, ends));
                    goes_on = refused.is_none();
                    owed.extend(refused);
                }
            }
            self.tell_trouble(self.refusal.clone().filter(|_| !owed.is_empty()));
            if ends {
                return;
            }
        }
    }

    /// Gives a job back that the disk had no room for.
    fn work(&mut self, job: Job, is_last: bool) -> Option<Job> {
        let (id, what, kept) = match &job {
            Job::Tell(RecorderEvent::DiskTrouble { error }) => {
                self.writers = Some(error.clone());
                return None;
            }
            Job::Tell(RecorderEvent::DiskRecovered) => {
                self.writers = None;
                return None;
            }
            Job::Tell(event) => {
                (self.events)(event.clone());
                return None;
            }
            Job::Close(finished) => (finished.spec.id, "closed", self.close(finished)),
            Job::Mend(id, path) => {
                let mended = mend(&self.dir, *id, path, &mut self.protection);
                (*id, "mended", mended.and_then(|manifest| self.keep(manifest, path)))
            }
        };
        let event = match kept {
            Ok(manifest) if manifest.mended => {
                self.counters.mended.fetch_add(1, Relaxed);
                RecorderEvent::Mended(Box::new(manifest))
            }
            Ok(manifest) => {
                self.counters.closed.fetch_add(1, Relaxed);
                RecorderEvent::Closed(Box::new(manifest))
            }
            Err(error) if has_no_room(&error) && !is_last => {
                self.counters.disk_errors.fetch_add(1, Relaxed);
                self.refusal = Some(error.to_string());
                return Some(job);
            }
            Err(error) => {
                self.counters.failed.fetch_add(1, Relaxed);
                let error = format!("the recording {id} could not be {what}: {error}");
                RecorderEvent::Failed { id: Some(id), error }
            }
        };
        (self.events)(event);
        None
    }

    /// Tells when writing begins to fail, here or at the writer, and when it works again.
    fn tell_trouble(&mut self, own: Option<String>) {
        let trouble = self.writers.clone().or(own);
        let is_told = std::mem::replace(&mut self.is_told, trouble.is_some());
        match trouble {
            Some(error) if !is_told => (self.events)(RecorderEvent::DiskTrouble { error }),
            None if is_told => (self.events)(RecorderEvent::DiskRecovered),
            Some(_) | None => {}
        }
    }

    fn close(&mut self, finished: &Finished) -> io::Result<Manifest> {
        let Finished { spec, path, body, summary } = finished;
        body.file().sync_data()?;
        let sha256 = hash_file(body.file())?;
        let side = |n: usize| {
            let counts = summary.counts[n];
            SideSummary {
                covered_ms: summary.covered[n] / 8,
                packets: counts.packets,
                payload_bytes: counts.payload_bytes,
                payload_sha256: hex(&summary.payload_sha256[n]),
                lost: counts.lost,
                duplicates: counts.duplicates,
                late: counts.late,
                discarded: counts.discarded,
            }
        };
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            id: spec.id,
            call: Some(spec.call),
            path: path.to_string_lossy().into_owned(),
            sha256,
            started: spec.started,
            duration_ms: summary.frames / 8,
            codec: spec.codec,
            left: side(0),
            right: side(1),
            gaps: summary.gaps.iter().map(ManifestGap::from).collect(),
            gaps_unlisted: summary.gaps_unlisted,
            dropped: summary.ring_dropped,
            mended: false,
            meta: spec.meta.clone(),
            prev: None,
        };
        self.keep(manifest, path)
    }

    /// Appends the manifest line, then lets go of the journal.
    fn keep(&mut self, manifest: Manifest, path: &Path) -> io::Result<Manifest> {
        let manifest = self.manifest.append(manifest)?;
        // One that stays is taken away at the next start.
        let _removed = std::fs::remove_file(journal_of(&self.dir.join(path)));
        Ok(manifest)
    }
}

/// Whether the disk may take later what it refuses now.
fn has_no_room(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
}

/// What the journal of a recording says, as far as lines are whole.
#[derive(Default)]
struct Journal {
    spec: Option<RecordingSpec>,
    gaps: Vec<Gap>,
    /// The last pause, where it was not over.
    paused: Option<[u64; 2]>,
}

fn read_journal(path: &Path) -> io::Result<Journal> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Journal::default()),
        text => text?,
    };
    let mut journal = Journal::default();
    for line in text.split(|&byte| byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(JournalLine::Spec(found)) => journal.spec = Some(found),
            Ok(JournalLine::Gap(gap)) => {
                journal.paused = journal.paused.filter(|_| gap.why != GapReason::Pause);
                journal.gaps.push(gap);
            }
            Ok(JournalLine::Paused(since)) => journal.paused = Some(since),
            Err(_) => {}
        }
    }
    Ok(journal)
}

/// Opens the file of a recording that a crash left; `make` it where it is missing and plain.
fn reopen(
    dir: &Path,
    id: RecordingId,
    path: &Path,
    make: bool,
    protection: &mut Option<Protection>,
) -> io::Result<Body> {
    let sealed = path.extension().is_some_and(|extension| extension == SEALED);
    let file = File::options().read(true).write(true).create(make && !sealed).truncate(false).open(dir.join(path))?;
    if !sealed {
        return Ok(Body::Plain(file));
    }
    let Some(Protection { keys, entropy }) = protection else {
        return Err(io::Error::other("it is sealed; give the key file in [recording]"));
    };
    let key = keys::open(dir, keys, id, path).map_err(io::Error::other)?;
    Ok(Body::Sealed(file, Box::new(Sealer::new(&key, id, entropy))))
}

/// Chunks whose seal does not open, as ranges of frames. One at the end is cut off, others become silence.
fn drop_damaged(body: &mut Body, silence: u8) -> io::Result<Vec<(u64, u64)>> {
    let mut damaged = Vec::new();
    if let Body::Plain(_) = body {
        return Ok(damaged);
    }
    let mut frames = body.frames()?;
    for place in (0..frames.div_ceil(CHUNK_FRAMES)).rev() {
        if body.read_chunk(place)?.is_some() {
            continue;
        }
        let from = place * CHUNK_FRAMES;
        let to = frames.min(from + CHUNK_FRAMES);
        if to == frames {
            frames = from;
            body.file().set_len(sealed_length(frames))?;
        } else {
            body.write(HEADER_BYTES as u64 + from * FRAME_BYTES, &[silence; CHUNK_BYTES])?;
            damaged.push((from, to));
        }
    }
    Ok(damaged)
}

/// Lengthens a file with silence.
fn fill(body: &mut Body, from: u64, to: u64, silence: u8) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let place = at / CHUNK_FRAMES;
        let begin = place * CHUNK_FRAMES;
        let mut bytes = if at == begin { Vec::new() } else { body.read_chunk(place)?.ok_or_else(|| damaged(place))? };
        at = to.min(begin + CHUNK_FRAMES);
        bytes.resize(((at - begin) * FRAME_BYTES) as usize, silence);
        body.write(HEADER_BYTES as u64 + begin * FRAME_BYTES, &bytes)?;
    }
    Ok(())
}

/// Mends the recording at `path`: whole frames, sizes by the file's length, gaps by the journal; what is not proved is a gap.
fn mend(dir: &Path, id: RecordingId, path: &Path, protection: &mut Option<Protection>) -> io::Result<Manifest> {
    let Journal { spec, gaps: journaled, paused } = read_journal(&journal_of(&dir.join(path)))?;
    let mut body = reopen(dir, id, path, spec.is_some(), protection)?;
    let found = match (body.read_header()?, &spec) {
        (Ok(header), _) => header,
        (Err(_), Some(spec)) => header_of(spec),
        // Killed while the header was written for the first time: there is nothing to hear.
        (Err(WavError::Short), None) => header_of(&RecordingSpec {
            id,
            call: offhook_units::CallId(0),
            started: Tick::ZERO,
            meta: std::collections::BTreeMap::new(),
            codec: CodecKind::Pcmu,
        }),
        (Err(error), None) => return Err(io::Error::other(error)),
    };
    let damaged = drop_damaged(&mut body, coding_of(found.codec).silence())?;
    let there = body.frames()?;
    // The time line went on while the disk refused it.
    let frames = there.max(found.behind.min(there + BEHIND_MAX));
    fill(&mut body, there, frames, coding_of(found.codec).silence())?;
    // What was decided stays as it was: should the process be killed again now, the next one finds the same.
    let header = WavHeader { frames, id, ..found };
    body.cut(frames)?;
    body.write_header(&header)?;
    body.file().sync_data()?;

    let side_gaps = |side: Side, n: usize| {
        let mut gaps: Vec<Gap> = journaled.iter().filter(|gap| gap.side == side).copied().collect();
        gaps.extend(damaged.iter().map(|&(from, to)| Gap { side, from, to, why: GapReason::Crash }));
        let decided = if spec.is_some() { found.decided[n].min(frames) } else { 0 };
        let why = match found {
            WavHeader { behind: 1.., .. } => GapReason::Disk,
            WavHeader { packets, .. } if packets[n] == 0 => GapReason::BeforeFirstPacket,
            WavHeader { .. } => GapReason::Crash,
        };
        // In a pause nothing was taken in: the silence is whole.
        let known = paused.map_or(frames, |since| since[n].max(decided).min(frames));
        gaps.push(Gap { side, from: decided, to: known, why });
        gaps.push(Gap { side, from: known, to: frames, why: GapReason::Pause });
        disjoint(gaps, frames)
    };
    let sides = [side_gaps(Side::Heard, 0), side_gaps(Side::Sent, 1)];
    let payload_sha256 = hash_sides(&body, frames, &sides)?;
    let sha256 = hash_file(body.file())?;
    let side = |n: usize| {
        let silent: u64 = sides[n].iter().map(|gap| gap.to - gap.from).sum();
        SideSummary {
            covered_ms: (frames - silent) / 8,
            payload_bytes: frames - silent,
            payload_sha256: hex(&payload_sha256[n]),
            ..SideSummary::default()
        }
    };
    let (left, right) = (side(0), side(1));
    let mut gaps = sides.concat();
    gaps.sort_by_key(|gap| (gap.from, gap.side));
    Ok(Manifest {
        version: MANIFEST_VERSION,
        id,
        call: (header.call.0 != 0).then_some(header.call),
        path: path.to_string_lossy().into_owned(),
        sha256,
        started: header.started,
        duration_ms: frames / 8,
        codec: header.codec,
        left,
        right,
        gaps: gaps.iter().map(ManifestGap::from).collect(),
        gaps_unlisted: 0,
        dropped: 0,
        mended: true,
        meta: spec.map(|spec| spec.meta).unwrap_or_default(),
        prev: None,
    })
}

/// The header of a recording without data.
pub fn header_of(spec: &RecordingSpec) -> WavHeader {
    let RecordingSpec { id, call, started, codec, .. } = *spec;
    WavHeader { codec, frames: 0, id, call, started, decided: [0; 2], packets: [0; 2], behind: 0 }
}

/// The gaps in order, within `frames`, without overlaps; empty ones left out.
fn disjoint(mut gaps: Vec<Gap>, frames: u64) -> Vec<Gap> {
    gaps.sort_by_key(|gap| gap.from);
    let mut reached = 0;
    gaps.retain_mut(|gap| {
        gap.from = gap.from.max(reached);
        gap.to = gap.to.min(frames);
        reached = reached.max(gap.to);
        gap.from < gap.to
    });
    gaps
}

/// SHA-256 of the whole file as it lies on disk.
pub fn hash_file(file: &File) -> io::Result<String> {
    let mut whole = Sha256::new();
    let mut chunk = vec![0; READ_BYTES];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut chunk, at)?;
        if read == 0 {
            return Ok(hex(&whole.finalize()));
        }
        whole.update(&chunk[..read]);
        at += read as u64;
    }
}

/// SHA-256 of each side outside of its gaps.
fn hash_sides(body: &Body, frames: u64, gaps: &[Vec<Gap>; 2]) -> io::Result<[[u8; 32]; 2]> {
    let mut sides = [Sha256::new(), Sha256::new()];
    for place in 0..frames.div_ceil(CHUNK_FRAMES) {
        let at = place * CHUNK_FRAMES;
        let bytes = body.read_chunk(place)?.ok_or_else(|| damaged(place))?;
        let to = at + bytes.len() as u64 / FRAME_BYTES;
        for (channel, gaps) in gaps.iter().enumerate() {
            for (from, to) in uncovered((at, to), gaps) {
                let run = &bytes[((from - at) * FRAME_BYTES) as usize..((to - at) * FRAME_BYTES) as usize];
                let speech: Vec<u8> = run.iter().skip(channel).step_by(FRAME_BYTES as usize).copied().collect();
                sides[channel].update(speech);
            }
        }
    }
    Ok(sides.map(|side| side.finalize().into()))
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
