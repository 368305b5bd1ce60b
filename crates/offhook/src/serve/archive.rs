//! Recordings and the audit log as the HTTP server sees them: rows come from the store, speech from the files.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use offhook_call::record::CallRecord;
use offhook_recorder::{MANIFEST, Manifest, is_sealed};
use offhook_server::{
    Answer, Archive, AuditEntry, OpenFault, RecordingDetail, RecordingFound, RecordingsWanted, Speech, Unavailable,
    segments,
};
use offhook_store::{AuditRow, CallRow, RecordingFilter, RecordingRow};
use offhook_units::RecordingId;

use super::port::Port;
use crate::recording::{Samples, StoreAway};

/// How long an entry of the audit log may take to be kept; then nothing is played.
const NOTED_WITHIN: Duration = Duration::from_secs(2);

impl Archive for Port {
    fn recordings(&self, wanted: RecordingsWanted) -> Answer<'_, Result<Vec<RecordingFound>, Unavailable>> {
        Box::pin(async move {
            let RecordingsWanted { limit, before, from, until, number, queue, agent } = wanted;
            let filter = RecordingFilter { limit, before, from, until, number, queue, agent };
            let rows = self.store.recordings(filter).await.map_err(|_| Unavailable)?;
            let mut found = Vec::with_capacity(rows.len());
            for (row, call) in rows {
                found.push(self.found(row, call).await);
            }
            Ok(found)
        })
    }

    fn recording(&self, id: RecordingId) -> Answer<'_, Result<Option<RecordingDetail>, Unavailable>> {
        Box::pin(async move {
            let Some(row) = self.store.recording(id).await.map_err(|_| Unavailable)? else { return Ok(None) };
            let call = match row.call {
                Some(call) => self.store.call(call).await.map_err(|_| Unavailable)?,
                None => None,
            };
            let record = call.as_ref().and_then(|call| serde_json::from_str::<CallRecord>(&call.json).ok());
            let found = self.found(row, call).await;
            let folder = self.shelf.folder.clone();
            let line = tokio::task::spawn_blocking(move || manifest_of(&folder, id));
            let manifest = line.await.map_err(|_| Unavailable)?.map_err(|_| Unavailable)?;
            let names = self.names();
            let (agents, queues) = (names.agents.clone(), names.queues.clone());
            let name = manifest.as_ref().and_then(|manifest| manifest.meta.get("queue"));
            let began_in = name.and_then(|name| queues.iter().find(|(_, queue)| *queue == name).map(|(id, _)| *id));
            let stretches = |record: &CallRecord| segments(record, found.started, found.duration, began_in);
            let segments = record.as_ref().map(stretches).unwrap_or_default();
            let goes_on_in = record.and_then(|record| record.joined);
            Ok(Some(RecordingDetail { found, manifest, segments, agents, queues, goes_on_in }))
        })
    }

    fn open(&self, id: RecordingId) -> Answer<'_, Result<Box<dyn Speech>, OpenFault>> {
        Box::pin(async move {
            let row = self.store.recording(id).await.map_err(|_| Unavailable)?.ok_or(OpenFault::Unknown)?;
            if let Some((_, why)) = row.erased {
                return Err(OpenFault::Erased(why));
            }
            let (shelf, keys, path) = (self.shelf.clone(), self.keys.clone(), PathBuf::from(row.path));
            let opened = tokio::task::spawn_blocking(move || Samples::open(&shelf, id, &path, keys.as_ref()));
            let samples = opened.await.map_err(|_| Unavailable)?;
            let samples = samples.map_err(|error| match error.downcast_ref::<StoreAway>() {
                // Another try may find it there again.
                Some(_) => Unavailable.into(),
                None => OpenFault::Broken(format!("{error:#}")),
            })?;
            Ok(Box::new(samples) as Box<dyn Speech>)
        })
    }

    fn note(&self, entry: AuditEntry) -> Answer<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            let AuditEntry { at, who, action, subject, detail } = entry;
            let row = AuditRow { at, who, action, subject, detail };
            if self.store.is_full() {
                return Err(Unavailable);
            }
            let noted = tokio::time::timeout(NOTED_WITHIN, self.store.audit(row)).await;
            noted.map_err(|_| Unavailable)?.map_err(|_| Unavailable)
        })
    }

    fn audit(&self, limit: u32, before: Option<u64>) -> Answer<'_, Result<Vec<(u64, AuditEntry)>, Unavailable>> {
        Box::pin(async move {
            let rows = self.store.audited(limit, before).await.map_err(|_| Unavailable)?;
            let entry = |(seq, row): (u64, AuditRow)| {
                let AuditRow { at, who, action, subject, detail } = row;
                (seq, AuditEntry { at, who, action, subject, detail })
            };
            Ok(rows.into_iter().map(entry).collect())
        })
    }
}

impl Port {
    async fn found(&self, row: RecordingRow, call: Option<CallRow>) -> RecordingFound {
        let record = call.as_ref().and_then(|call| serde_json::from_str::<CallRecord>(&call.json).ok());
        let caller = match &record {
            Some(record) => self.store.person_text(record.caller).await.ok().flatten(),
            None => None,
        };
        let queue = call.as_ref().and_then(|call| call.queue);
        let agent = call.as_ref().and_then(|call| call.agent);
        let names = self.names();
        RecordingFound {
            id: row.id,
            call: row.call,
            started: row.started,
            duration: row.duration,
            sealed: is_sealed(Path::new(&row.path)),
            hold: row.hold,
            erased: row.erased,
            number: call.map(|call| call.number),
            caller,
            queue: queue.map(|queue| (queue, names.queues.get(&queue).cloned())),
            agent: agent.map(|agent| (agent, names.agents.get(&agent).cloned())),
        }
    }
}

/// The line of a recording in the manifest, the last where there are two. Only lines that name it are read in full.
fn manifest_of(folder: &Path, id: RecordingId) -> io::Result<Option<Manifest>> {
    let mut file = match File::open(folder.join(MANIFEST)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => BufReader::with_capacity(256 * 1_024, file?),
    };
    let name = format!("\"{id}\"");
    let (mut line, mut found) = (Vec::new(), None);
    while file.read_until(b'\n', &mut line)? > 0 {
        // The id is the second field of a line.
        let head = &line[..line.len().min(128)];
        if head.windows(name.len()).any(|text| text == name.as_bytes()) {
            let manifest = serde_json::from_slice::<Manifest>(&line).ok();
            found = manifest.filter(|manifest| manifest.id == id).or(found);
        }
        line.clear();
    }
    Ok(found)
}
