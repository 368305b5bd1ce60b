//! Holding, erasing, and the audit log of both.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use offhook_recorder::{Manifest, destroy_key, is_sealed};
use offhook_server::rfc3339;
use offhook_store::{Archive, AuditRow, Change, RecordingRow};
use offhook_units::{RecordingId, Tick};
use serde_json::{Value, json};

/// Now, by the system's clock.
pub fn now() -> Tick {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Tick::from_us(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// An entry of the audit log, of whoever runs this program.
pub fn entry(at: Tick, action: &str, id: RecordingId, detail: &str) -> Change {
    let (action, subject, detail) = (action.to_owned(), id.to_string(), detail.to_owned());
    Change::Audit(AuditRow { at, who: format!("{} at the command line", user()), action, subject, detail })
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

/// Erases one recording: its key, its file; what remains is its manifest line, which holds no speech. Gives the certificate.
pub fn erase(archive: &Archive, folder: &Path, at: Tick, manifest: &Manifest, why: &str) -> Result<Value> {
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
        destroy_key(folder, path).with_context(|| format!("the key of {id}"))?;
    }
    match std::fs::remove_file(folder.join(path)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).context(manifest.path.clone()),
        _ => {}
    }
    archive.write(&[Change::Erased(id, at, why.to_owned()), entry(at, "erase", id, why)])?;
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

/// Erases every recording that began before `before` and is neither held nor erased; gives the certificates.
pub fn expire(archive: &Archive, folder: &Path, at: Tick, manifests: &[Manifest], before: Tick) -> Result<Vec<Value>> {
    let rows = archive.recordings()?;
    let due = rows.iter().filter(|row| row.started < before && row.hold.is_none() && row.erased.is_none());
    let mut certificates = Vec::new();
    for row in due {
        if let Some(manifest) = manifests.iter().find(|manifest| manifest.id == row.id) {
            certificates.push(erase(archive, folder, at, manifest, "retention")?);
        }
    }
    Ok(certificates)
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
