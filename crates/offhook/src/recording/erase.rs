//! Holding, erasing, and the audit log of both.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use offhook_recorder::{Manifest, destroy_key, is_sealed};
use offhook_server::rfc3339;
use offhook_store::{Archive, AuditRow, Change, RecordingRow};
use offhook_units::{RecordingId, Span, Tick};
use serde_json::{Value, json};

use super::{Shelf, remove_copies};

/// Now, by the system's clock.
pub fn now() -> Tick {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Tick::from_us(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// An entry of the audit log, of whoever runs this program.
pub fn entry(at: Tick, action: &str, id: RecordingId, detail: &str) -> Change {
    entry_of(&at_the_command_line(), at, action, &id.to_string(), detail)
}

/// The same, of whoever it is.
pub fn entry_of(who: &str, at: Tick, action: &str, subject: &str, detail: &str) -> Change {
    let [who, action, subject, detail] = [who, action, subject, detail].map(str::to_owned);
    Change::Audit(AuditRow { at, who, action, subject, detail })
}

/// Who runs this program, as the audit log has it.
pub fn at_the_command_line() -> String {
    format!("{} at the command line", user())
}

/// Who runs this program, by the system's word and not the environment's; of a root who was somebody else before, that too.
fn user() -> String {
    let id = rustix::process::getuid().as_raw();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = name_of(&accounts, id).map_or_else(|| format!("uid {id}"), str::to_owned);
    match std::env::var("SUDO_USER") {
        Ok(before) if id == 0 => format!("{name} (by sudo: {before})"),
        _ => name,
    }
}

/// The name of a user, by the text of passwd(5).
fn name_of(accounts: &str, id: u32) -> Option<&str> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then_some(name)
    })
}

/// Says why a recording may not be erased; `None` lets it go.
pub fn hold(archive: &Archive, at: Tick, id: RecordingId, why: Option<&str>) -> Result<()> {
    known(archive, id)?;
    let action = if why.is_some() { "hold" } else { "release" };
    let held = Change::Hold(id, why.map(str::to_owned));
    archive.write(&[held, entry(at, action, id, why.unwrap_or_default())])?;
    Ok(())
}

/// Erases one recording in somebody's name: its key, its file; what remains is its manifest line, which holds no speech. Gives the
/// certificate.
pub fn erase(archive: &Archive, shelf: &Shelf, who: &str, at: Tick, manifest: &Manifest, why: &str) -> Result<Value> {
    let id = manifest.id;
    let row = known(archive, id)?;
    if let Some(hold) = row.hold {
        bail!("{id} is held: {hold}; 'offhook recording release {id}' lets it go");
    }
    if let Some((at, why)) = row.erased {
        bail!("{id} was erased at {}: {why}", rfc3339(at));
    }
    let path = Path::new(&manifest.path);
    // The store last: where the disk refuses half-way, another run goes on.
    if is_sealed(path) {
        destroy_key(&shelf.folder, path).with_context(|| format!("the key of {id}"))?;
    }
    shelf.remove(id, path)?;
    remove_copies(&shelf.folder, id, path)?;
    archive.write(&[Change::Erased(id, at, why.to_owned()), entry_of(who, at, "erase", &id.to_string(), why)])?;
    // One that was being made meanwhile: whoever makes it looks at the store afterwards.
    remove_copies(&shelf.folder, id, path)?;
    Ok(json!({
        "erased": id.to_string(),
        "call": manifest.call.map(|call| call.to_string()),
        "started": rfc3339(manifest.started),
        "duration_ms": manifest.duration_ms,
        "file_sha256": manifest.sha256,
        "key_destroyed": is_sealed(path),
        "at": rfc3339(at),
        "why": why,
    }))
}

/// How long a recording is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kept {
    /// Until somebody erases it.
    #[default]
    Forever,
    /// For so long from its beginning.
    For(Span),
}

/// How long recordings are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// All of them.
    pub all: Kept,
    /// Those of these queues instead, by the queue that a recording began in.
    pub queues: BTreeMap<String, Kept>,
}

impl Keep {
    /// Whether anything is ever erased by it.
    pub fn ends(&self) -> bool {
        self.all != Kept::Forever || self.queues.values().any(|kept| *kept != Kept::Forever)
    }

    /// How long this one is kept; none for ever.
    fn of(&self, manifest: &Manifest) -> Option<Span> {
        let queue = manifest.meta.get("queue").and_then(|queue| self.queues.get(queue));
        match queue.copied().unwrap_or(self.all) {
            Kept::Forever => None,
            Kept::For(span) => Some(span),
        }
    }
}

/// Recordings whose time is over.
#[derive(Debug, Default)]
pub struct Due {
    /// Those that can be erased, oldest first, each with how long it was to be kept.
    pub free: Vec<(Manifest, Span)>,
    /// How many more are held.
    pub held: u64,
}

/// Which recordings are older than they are kept, and not erased.
pub fn due(archive: &Archive, manifests: Vec<Manifest>, keep: &Keep, at: Tick) -> Result<Due> {
    let mut lines: BTreeMap<RecordingId, Manifest> = manifests.into_iter().map(|line| (line.id, line)).collect();
    let mut due = Due::default();
    for row in archive.recordings()?.into_iter().filter(|row| row.erased.is_none()) {
        let Some(manifest) = lines.remove(&row.id) else { continue };
        let Some(kept) = keep.of(&manifest).filter(|kept| at.since(row.started) > *kept) else { continue };
        if row.hold.is_some() {
            due.held += 1;
        } else {
            due.free.push((manifest, kept));
        }
    }
    due.free.sort_by_key(|(manifest, _)| manifest.started);
    Ok(due)
}

/// Why a recording is erased that was to be kept for so long.
pub fn retention(kept: Span) -> String {
    format!("retention of {} days", kept.as_s() / 86_400)
}

fn known(archive: &Archive, id: RecordingId) -> Result<RecordingRow> {
    archive.recording(id)?.with_context(|| format!("the store does not know {id}: it is open, or not of this folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_as_the_system_does() {
        let accounts = "root:x:0:0:root:/root:/bin/bash\nbroken\nalice:x:1000:1000::/srv/alice:/bin/sh\n";
        assert_eq!(name_of(accounts, 1_000), Some("alice"));
        assert_eq!(name_of(accounts, 0), Some("root"));
        assert_eq!(name_of(accounts, 7), None);
        assert!(!user().is_empty());
    }
}
