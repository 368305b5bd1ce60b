//! What is asked of a recording, and what is known of it when it is closed.

use std::collections::BTreeMap;

use offhook_plan::CodecKind;
use offhook_units::{CallId, RecordingId, Tick};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::gaps::Gap;

/// Version of the manifest line.
pub const MANIFEST_VERSION: u16 = 2;

/// What the first line of a manifest names as the one before it.
pub const CHAIN_START: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What a recording is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingSpec {
    /// Which recording; its file is named after it.
    pub id: RecordingId,
    /// Of which call.
    pub call: CallId,
    /// Where its time line starts: frame 0 of the file.
    pub started: Tick,
    /// What else is to stand in the manifest; no personal data.
    pub meta: BTreeMap<String, String>,
    /// The codec of the tapped leg: what the file holds. Packets of another one are converted to it.
    pub codec: CodecKind,
}

/// One recording as it lies on disk: one JSON line in `manifest.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this line, [`MANIFEST_VERSION`].
    pub version: u16,
    /// Which recording.
    pub id: RecordingId,
    /// Of which call; absent where a crash left nothing that names it.
    pub call: Option<CallId>,
    /// The file, relative to the recordings' folder.
    pub path: String,
    /// SHA-256 of the whole file, in lower-case hexadecimal.
    pub sha256: String,
    /// Where the time line starts, in microseconds of the exchange clock.
    pub started: Tick,
    /// Length of the time line in milliseconds, rounded down.
    pub duration_ms: u64,
    /// What the file holds.
    pub codec: CodecKind,
    /// The caller's side.
    pub left: SideSummary,
    /// What the caller was sent.
    pub right: SideSummary,
    /// What no packet covers, in order of time, `left` before `right`.
    pub gaps: Vec<ManifestGap>,
    /// Gaps that found no room in the list.
    pub gaps_unlisted: u64,
    /// Records lost in full tap rings while this recording was open.
    pub dropped: u64,
    /// The exchange died during the recording; the file was mended at the next start.
    pub mended: bool,
    /// What was asked to stand here.
    pub meta: BTreeMap<String, String>,
    /// SHA-256 of the manifest's line before this one, in lower-case hexadecimal, [`CHAIN_START`] for the first: a line that was
    /// changed or taken out shows. Absent in lines of version 1.
    #[serde(default)]
    pub prev: Option<String>,
}

impl Manifest {
    /// The line as it stands in the file, without its end.
    ///
    /// # Panics
    /// Never: a manifest is plain data.
    pub fn line(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest is plain data")
    }

    /// SHA-256 of [`Manifest::line`].
    pub fn line_sha256(&self) -> [u8; 32] {
        Sha256::digest(self.line()).into()
    }
}

/// A gap as a manifest shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestGap {
    /// `left` or `right`.
    #[serde(with = "crate::gaps::side_name")]
    pub side: offhook_plan::tap::Side,
    /// Milliseconds from the start, rounded down.
    pub from_ms: u64,
    /// Milliseconds from the start, rounded up.
    pub to_ms: u64,
    /// Why.
    pub why: crate::GapReason,
}

impl From<&Gap> for ManifestGap {
    fn from(gap: &Gap) -> Self {
        Self { side: gap.side, from_ms: gap.from_ms(), to_ms: gap.to_ms(), why: gap.why }
    }
}

/// One side of a recording.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideSummary {
    /// Milliseconds covered by packets, rounded down; the rest is in the gaps.
    pub covered_ms: u64,
    /// Packets of speech in the file; zero in a mended one, where it is not known.
    pub packets: u64,
    /// Their payload bytes.
    pub payload_bytes: u64,
    /// SHA-256 of their payloads as they arrived, one after the other in sequence order, in lower-case hexadecimal. In a
    /// mended recording: of what the file holds outside of the gaps.
    pub payload_sha256: String,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came after they were given up; they are counted as lost too.
    pub late: u64,
    /// Packets left out for another reason: a stray source, an unknown codec, faster than time.
    pub discarded: u64,
}
