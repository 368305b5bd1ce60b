//! Erasing a person: the recordings of all calls with that number, then the number itself.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use offhook_call::record::CallRecord;
use offhook_recorder::Manifest;
use offhook_server::rfc3339;
use offhook_store::Archive;
use offhook_units::{CallId, PersonRef, RecordingId, Tick};
use serde_json::{Value, json};

use super::erase::{entry_of, erase};
use super::{Shelf, manifests};

/// Erases every recording of ended calls that `number` made, sent on to us, or was called in, but for those that are held. Where
/// none is held the number is forgotten as well: nothing that is kept leads from its calls to it, but for calls that phones of ours
/// made to it, whose records have the number that was dialled. Gives the certificate, which does not name it.
pub fn forget(archive: &Archive, shelf: &Shelf, who: &str, at: Tick, number: &str, why: &str) -> Result<Value> {
    let persons = archive.persons(number)?;
    let (calls, dialled) = calls_with(archive, number, &persons)?;
    let Some(person) = persons.first().copied().or_else(|| (!calls.is_empty()).then_some(PersonRef(0))) else {
        bail!("nobody is known by this number; write it as the page shows it");
    };
    let mut lines: BTreeMap<RecordingId, Manifest> =
        manifests(&shelf.folder)?.into_iter().map(|line| (line.id, line)).collect();
    let (mut erased, mut held) = (Vec::new(), Vec::new());
    for row in archive.recordings()?.into_iter().filter(|row| row.erased.is_none()) {
        if row.call.is_none_or(|call| !calls.contains(&call)) {
            continue;
        }
        let Some(manifest) = lines.remove(&row.id) else { bail!("{} has no line in the manifest", row.id) };
        match row.hold {
            Some(hold) => held.push(json!({ "recording": row.id.to_string(), "held": hold })),
            None => erased.push(erase(archive, shelf, who, at, &manifest, why)?),
        }
    }
    let void = if held.is_empty() && !persons.is_empty() { archive.forget(person)? } else { 0 };
    let subject = person.to_string();
    archive.write(&[entry_of(who, at, "forget", &subject, why)])?;
    Ok(json!({
        "complete": held.is_empty() && dialled.is_empty(),
        "person": subject,
        "calls": calls.len(),
        "erased": erased,
        "held": held,
        "number_stays_in": dialled.iter().map(CallId::to_string).collect::<Vec<_>>(),
        "references_void": void,
        "at": rfc3339(at),
        "why": why,
    }))
}

/// Ended calls in which the person called, sent the call on, or was called by us; and the last of these by themselves.
fn calls_with(archive: &Archive, number: &str, persons: &[PersonRef]) -> Result<(BTreeSet<CallId>, BTreeSet<CallId>)> {
    let persons: BTreeSet<PersonRef> = persons.iter().copied().collect();
    let (mut calls, mut dialled) = (BTreeSet::new(), BTreeSet::new());
    archive.calls(|row| {
        let Ok(record) = serde_json::from_str::<CallRecord>(&row.json) else { return };
        let sent_on = record.diverted.as_ref().and_then(|diverted| diverted.from);
        let is_of = persons.contains(&record.caller) || sent_on.is_some_and(|from| persons.contains(&from));
        let is_dialled = record.placed_by.is_some() && record.number == number;
        calls.extend((is_of || is_dialled).then_some(row.id));
        dialled.extend(is_dialled.then_some(row.id));
    })?;
    Ok((calls, dialled))
}
