//! Holds three witnesses against each other: the event log and records in the store, the manifest, the files.

use core::fmt::Write;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use offhook_call::event::{CallEvent, LogEvent, Party};
use offhook_call::record::{CallEnd, CallRecord};
use offhook_plan::tap::Side;
use offhook_recorder::{
    FileFault, GapReason, Line, Manifest, ManifestGap, coverage_fault, examine, files_in, is_sealed, key_path,
    length_fault, manifest_lines,
};
use offhook_server::rfc3339;
use offhook_store::{Archive, RecordingRow};
use offhook_units::{CallId, RecordingId, Tick};
use serde::Serialize;

use super::Shelf;
use super::copies::copies_of;
use super::objects::{STORED, Stored, ledger};

/// How far the end of a recording may be from the end of its call's media, in milliseconds: the last packets linger on both
/// sides.
const END_SLACK_MS: u64 = 1_000;

/// How far a pause in the manifest may be from the pause in the event log, in milliseconds: a packet's way, and the waits of both.
const PAUSE_SLACK_MS: u64 = 500;

/// What was found.
#[derive(Debug, Default)]
pub struct Audit {
    /// Recordings that were closed.
    pub recordings: u64,
    /// Recordings of calls that are up.
    pub open: u64,
    /// Recordings that were erased.
    pub erased: u64,
    /// Recordings whose file is in the folder.
    pub local: u64,
    /// Recordings that are in the object store, by its ledger; some may be in the folder as well.
    pub stored: u64,
    /// Milliseconds that both sides of all closed recordings should last by the event log.
    pub expected_ms: u64,
    /// Milliseconds of both sides that are covered by speech.
    pub covered_ms: u64,
    /// Milliseconds of both sides in gaps, by reason.
    pub gaps_ms: BTreeMap<&'static str, u64>,
    /// What does not agree, by recording.
    pub faults: Vec<Fault>,
}

/// One disagreement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// Which recording, where the witnesses tell.
    pub recording: Option<String>,
    /// What kind.
    pub kind: Kind,
    /// What was found, for people.
    pub detail: String,
}

/// Kinds of disagreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The event log says that it began, the manifest has no line.
    MissingLine,
    /// The manifest has two lines.
    DoubleLine,
    /// A manifest line does not name the line before it: one was changed, put in or taken out there.
    ChainBroken,
    /// The manifest line is not the one that the store knows.
    LineChanged,
    /// The manifest has a line, the event log does not know it.
    UnknownRecording,
    /// A file lies there that neither knows.
    StrayFile,
    /// The file is gone.
    MissingFile,
    /// The file's bytes are not those that were closed.
    ChangedFile,
    /// The file is shorter or longer than its manifest line says.
    WrongLength,
    /// The file is sealed and its key is gone.
    MissingKey,
    /// The disk refused to read the file.
    UnreadableFile,
    /// It lies in the object store alone, which cannot be asked.
    UnreachableFile,
    /// It was erased, and its file or its key is there.
    NotErased,
    /// Speech and gaps do not add up to the time line.
    Uncovered,
    /// The recording does not last as long as its call.
    WrongSpan,
    /// The manifest has a pause that the event log knows nothing of.
    UnexplainedPause,
    /// The event log says that the recording was paused, the manifest has speech of then.
    SpeechInPause,
    /// The manifest line names another call than the event log, or the call's record another recording.
    WrongCall,
}

/// Where recordings lie.
struct Places<'a> {
    shelf: &'a Shelf,
    ledger: BTreeMap<RecordingId, Stored>,
    /// What lies in the store alone is read whole.
    fetch: bool,
}

impl Places<'_> {
    fn length(&self, manifest: &Manifest) -> Result<Option<u64>, FileFault> {
        let unreachable = |error: &dyn core::fmt::Display| FileFault::Unreachable(error.to_string());
        let objects =
            self.shelf.objects.as_ref().ok_or_else(|| unreachable(&"name the configuration with --config"))?;
        objects.length(&manifest.path).map_err(|error| unreachable(&error))
    }

    /// What is wrong with the object of a recording that was stored.
    fn object_fault(&self, manifest: &Manifest, stored: bool, fetch: bool) -> Option<FileFault> {
        if !stored || self.shelf.objects.is_none() && self.shelf.has(Path::new(&manifest.path)) {
            return None;
        }
        let length = match self.length(manifest) {
            Ok(Some(length)) => length,
            Ok(None) => return Some(FileFault::Missing(format!("{} of the store", manifest.path))),
            Err(fault) => return Some(fault),
        };
        if let Some(fault) = length_fault(manifest, length) {
            return Some(fault);
        }
        let objects = self.shelf.objects.as_ref().filter(|_| fetch)?;
        match objects.sha256(&manifest.path, length) {
            Err(error) => Some(FileFault::Unreachable(error.to_string())),
            Ok(sha256) if sha256 != manifest.sha256 => Some(FileFault::Changed),
            Ok(_) => None,
        }
    }
}

/// What the event log tells of one recording.
#[derive(Debug)]
struct Told {
    call: CallId,
    started: Tick,
    /// When the caller's media was closed, or the call's end was noted.
    ended: Option<Tick>,
    /// The exchange died during the call: its end is not known.
    lost: bool,
    /// When it was paused, and when it went on, where it did.
    pauses: Vec<(Tick, Option<Tick>)>,
}

/// Reads everything and compares.
pub fn verify(archive: &Archive, shelf: &Shelf, fetch: bool) -> Result<Audit> {
    let folder = &shelf.folder;
    let told = told(archive).context("event log")?;
    let records = recordings_of_records(archive).context("call records")?;
    let rows: BTreeMap<RecordingId, RecordingRow> =
        archive.recordings()?.into_iter().map(|row| (row.id, row)).collect();
    let lines = manifest_lines(folder).with_context(|| format!("manifest in {}", folder.display()))?;
    let files = files_in(folder).with_context(|| format!("recordings folder {}", folder.display()))?;

    let mut audit = Audit::default();
    let places = Places { shelf, fetch, ledger: ledger(folder, STORED).context("the ledger of the store")? };
    let lined = audit.lines(&lines, &rows);
    for (id, manifest) in &lined {
        let erased = rows.get(id).is_some_and(|row| row.erased.is_some());
        audit.one(&places, manifest, told.get(id), erased);
    }
    for (id, told) in &told {
        audit.expected(*id, told, lined.contains_key(id));
        if let Some(recording) = records.get(&told.call).filter(|recording| **recording != Some(*id)) {
            let named = recording.map_or_else(|| "none".to_owned(), |recording| recording.to_string());
            audit.fault(*id, Kind::WrongCall, format!("the record of {} names {named}", told.call));
        }
    }
    for (id, path) in &files {
        if !lined.contains_key(id) && !told.contains_key(id) {
            audit.fault(*id, Kind::StrayFile, format!("{} is not known", path.display()));
        }
    }
    audit.faults.sort();
    Ok(audit)
}

fn told(archive: &Archive) -> Result<BTreeMap<RecordingId, Told>> {
    let mut told: BTreeMap<RecordingId, Told> = BTreeMap::new();
    let mut of_call: BTreeMap<CallId, RecordingId> = BTreeMap::new();
    archive.read_log(|record| {
        let Ok(LogEvent::Call(event)) = LogEvent::decode(&record.bytes) else { return };
        if let CallEvent::RecordingStarted { call, recording } = event {
            of_call.insert(call, recording);
            let (ended, lost, pauses) = (None, false, Vec::new());
            told.insert(recording, Told { call, started: record.at, ended, lost, pauses });
            return;
        }
        let Some(told) = of_call.get(&event.call()).and_then(|id| told.get_mut(id)) else { return };
        match event {
            CallEvent::RecordingPaused { .. } => told.pauses.push((record.at, None)),
            CallEvent::RecordingResumed { .. } => {
                if let Some((_, until @ None)) = told.pauses.last_mut() {
                    *until = Some(record.at);
                }
            }
            CallEvent::LegClosed { party: Party::Caller, .. } => told.ended = Some(record.at),
            CallEvent::Ended { end, .. } => {
                told.lost = end == CallEnd::Lost;
                told.ended.get_or_insert(record.at);
            }
            _ => {}
        }
    })?;
    Ok(told)
}

/// Which recording each call's record names.
fn recordings_of_records(archive: &Archive) -> Result<BTreeMap<CallId, Option<RecordingId>>> {
    let mut named = BTreeMap::new();
    archive.calls(|row| {
        if let Ok(record) = serde_json::from_str::<CallRecord>(&row.json) {
            named.insert(row.id, record.recording);
        }
    })?;
    Ok(named)
}

impl Audit {
    fn fault(&mut self, recording: impl Into<Option<RecordingId>>, kind: Kind, detail: String) {
        let recording = recording.into().map(|id| id.to_string());
        self.faults.push(Fault { recording, kind, detail });
    }

    /// The manifest by itself, and against what the store knows of its lines.
    fn lines(&mut self, lines: &[Line], rows: &BTreeMap<RecordingId, RecordingRow>) -> BTreeMap<RecordingId, Manifest> {
        let mut lined = BTreeMap::new();
        let mut doubled = BTreeSet::new();
        for line in lines {
            let Some(manifest) = &line.manifest else { continue };
            let id = manifest.id;
            if !line.chained {
                let detail = format!("line {} does not name the line before it", line.number);
                self.fault(id, Kind::ChainBroken, detail);
            }
            if rows.get(&id).is_some_and(|row| row.line != line.sha256) {
                self.fault(id, Kind::LineChanged, format!("line {} is not the one that was closed", line.number));
            }
            if lined.insert(id, manifest.clone()).is_some() && doubled.insert(id) {
                self.fault(id, Kind::DoubleLine, format!("line {} is its second", line.number));
            }
        }
        lined
    }

    /// One manifest line, against the file and the event log.
    fn one(&mut self, places: &Places<'_>, manifest: &Manifest, told: Option<&Told>, erased: bool) {
        let id = manifest.id;
        self.recordings += 1;
        self.erased += u64::from(erased);
        self.covered_ms += manifest.left.covered_ms + manifest.right.covered_ms;
        for gap in &manifest.gaps {
            *self.gaps_ms.entry(gap.why.name()).or_default() += gap.to_ms.saturating_sub(gap.from_ms);
        }
        if let Some(fault) = coverage_fault(manifest) {
            self.fault(id, Kind::Uncovered, fault);
        }
        let folder = &places.shelf.folder;
        if let Some(fault) = if erased { None } else { self.lies(places, manifest) } {
            let kind = match fault {
                FileFault::Missing(_) => Kind::MissingFile,
                FileFault::Unreachable(_) => Kind::UnreachableFile,
                FileFault::Unreadable(_) => Kind::UnreadableFile,
                FileFault::NoKey => Kind::MissingKey,
                FileFault::Length { .. } => Kind::WrongLength,
                FileFault::Changed | FileFault::Header => Kind::ChangedFile,
            };
            self.fault(id, kind, fault.to_string());
        }
        let path = Path::new(&manifest.path);
        let left = [("file", folder.join(path)), ("key", folder.join(key_path(path)))];
        if let Some((what, _)) = left.iter().find(|(_, path)| erased && path.exists()) {
            self.fault(id, Kind::NotErased, format!("it was erased, and its {what} is there"));
        }
        if erased && copies_of(folder, id, path).is_ok_and(|copies| !copies.is_empty()) {
            self.fault(id, Kind::NotErased, "it was erased, and a copy of it is there".to_owned());
        }
        if erased && places.ledger.contains_key(&id) && places.length(manifest).is_ok_and(|length| length.is_some()) {
            self.fault(id, Kind::NotErased, "it was erased, and its object is in the store".to_owned());
        }
        let Some(told) = told else {
            self.fault(id, Kind::UnknownRecording, "the event log does not know it".to_owned());
            return;
        };
        if manifest.call.is_some_and(|call| call != told.call) {
            self.fault(id, Kind::WrongCall, format!("the event log has it of {}", told.call));
        }
        self.pauses(manifest, told);
        let Some(ended) = told.ended.filter(|_| !told.lost) else {
            self.expected_ms += 2 * manifest.duration_ms;
            return;
        };
        let expected = ended.since(told.started).as_ms();
        self.expected_ms += 2 * expected;
        let late = manifest.started.since(told.started).max(told.started.since(manifest.started)).as_ms();
        if manifest.duration_ms.abs_diff(expected) > END_SLACK_MS || late > END_SLACK_MS {
            let (began, lasts) = (rfc3339(manifest.started), manifest.duration_ms);
            let detail = format!(
                "it lasts {lasts} ms from {began}; its call's media {expected} ms from {}",
                rfc3339(told.started)
            );
            self.fault(id, Kind::WrongSpan, detail);
        }
    }

    /// Where a recording lies, and what is wrong with it there.
    fn lies(&mut self, places: &Places<'_>, manifest: &Manifest) -> Option<FileFault> {
        let stored = places.ledger.contains_key(&manifest.id);
        if places.shelf.has(Path::new(&manifest.path)) {
            self.local += 1;
            self.stored += u64::from(stored);
            // What is here as well is held against the manifest here.
            return examine(&places.shelf.folder, manifest).or_else(|| places.object_fault(manifest, stored, false));
        }
        self.stored += u64::from(stored);
        if !stored {
            return examine(&places.shelf.folder, manifest);
        }
        let path = Path::new(&manifest.path);
        if is_sealed(path) && !places.shelf.folder.join(key_path(path)).exists() {
            return Some(FileFault::NoKey);
        }
        places.object_fault(manifest, true, places.fetch)
    }

    /// The pauses of a manifest line, against those of the event log: each is explained by one of them, and none of those has
    /// speech.
    fn pauses(&mut self, manifest: &Manifest, told: &Told) {
        let ms = |at: Tick| at.since(manifest.started).as_ms();
        let end = manifest.duration_ms;
        let pauses: Vec<(u64, u64)> =
            told.pauses.iter().map(|(from, until)| (ms(*from), until.map_or(end, ms).min(end))).collect();
        let explained = |gap: &ManifestGap| {
            let is_of =
                |(from, to): &(u64, u64)| gap.from_ms + PAUSE_SLACK_MS >= *from && gap.to_ms <= *to + PAUSE_SLACK_MS;
            pauses.iter().any(is_of)
        };
        let unexplained = manifest.gaps.iter().find(|gap| gap.why == GapReason::Pause && !explained(gap));
        if let Some(gap) = unexplained {
            let detail =
                format!("a pause from {} to {} ms, of which the event log has nothing", gap.from_ms, gap.to_ms);
            self.fault(manifest.id, Kind::UnexplainedPause, detail);
        }
        if manifest.gaps_unlisted > 0 {
            return;
        }
        for (from, to) in pauses {
            let (from, to) = (from + PAUSE_SLACK_MS, to.saturating_sub(PAUSE_SLACK_MS));
            let spoken = [Side::Heard, Side::Sent].map(|side| {
                let gaps = manifest.gaps.iter().filter(|gap| gap.side == side);
                let within = gaps.map(|gap| gap.to_ms.min(to).saturating_sub(gap.from_ms.max(from)));
                to.saturating_sub(from).saturating_sub(within.sum())
            });
            if spoken.iter().any(|ms| *ms > 0) {
                let detail = format!("{} and {} ms of speech from {from} to {to} ms, a pause", spoken[0], spoken[1]);
                self.fault(manifest.id, Kind::SpeechInPause, detail);
            }
        }
    }

    /// One recording that the event log tells of.
    fn expected(&mut self, id: RecordingId, told: &Told, lined: bool) {
        if lined {
            return;
        }
        match told.ended {
            None => self.open += 1,
            Some(ended) => {
                self.expected_ms += if told.lost { 0 } else { 2 * ended.since(told.started).as_ms() };
                self.fault(
                    id,
                    Kind::MissingLine,
                    format!("the event log has it of {}, the manifest has not", told.call),
                );
            }
        }
    }

    /// For programs. Times are in seconds, of both sides together.
    pub fn json(&self) -> serde_json::Value {
        let seconds = |ms: u64| ms as f64 / 1_000.0;
        let gaps: BTreeMap<_, _> = self.gaps_ms.iter().map(|(why, ms)| (*why, seconds(*ms))).collect();
        serde_json::json!({
            "recordings": self.recordings,
            "open": self.open,
            "erased": self.erased,
            "local": self.local,
            "stored": self.stored,
            "seconds_expected": seconds(self.expected_ms),
            "seconds_covered": seconds(self.covered_ms),
            "gaps": gaps,
            "faults": self.faults,
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        // Writing to a text cannot fail.
        let mut text = format!(
            "{} recordings, {} open, {} erased; {} in the folder, {} in the store\n{} s expected on both sides, {} s of speech\n",
            self.recordings,
            self.open,
            self.erased,
            self.local,
            self.stored,
            super::seconds(self.expected_ms),
            super::seconds(self.covered_ms),
        );
        for (why, ms) in &self.gaps_ms {
            let _ = writeln!(text, "{} s without speech: {why}", super::seconds(*ms));
        }
        for Fault { recording, kind, detail } in &self.faults {
            let kind = serde_json::to_value(kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
            let _ = writeln!(text, "{}: {kind}: {detail}", recording.as_deref().unwrap_or("manifest"));
        }
        text += if self.faults.is_empty() { "Everything agrees.\n" } else { "" };
        text
    }
}
