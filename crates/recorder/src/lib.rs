//! Taps to crash-safe recordings with manifests.
//!
//! A contact is recorded at the customer's leg: left what the customer said, right what the customer was sent, on one time
//! line that starts when the recording was asked for. G.711 and G.722 are stored as they arrived, Opus and L16 as G.722, in a stereo WAV file
//! (`DIR/YYYY/MM/DD/<recording id>.wav`); each closed recording leaves one JSON line ([`Manifest`]) in `DIR/manifest.jsonl`.
//!
//! The machine ([`Recording`], with [`Side`](offhook_plan::tap::Side) tracks, a placement clock and the WAV header) is
//! handed tap records and the time, and gives out writes at offsets and a gap list. The writer ([`Writer`]) is the edge:
//! one thread that drains the workers' tap rings and writes, and one that closes, hashes and mends files.
//!
//! # How packets find their place
//! - Packets of one side are put in sequence order first: a missing one is waited for [`REORDER_WAIT`], duplicates and
//!   packets that come too late are counted and left out.
//! - A packet whose RTP timestamp continues the one before it lies directly behind it in the file, always.
//! - Only the first packet, and what follows a gap, a new SSRC or a timestamp jump, is placed by the clock: the RTP time is
//!   mapped to the exchange clock by the smallest transit seen lately, with the slope between the two clocks taken out.
//! - What no packet covers is silence and stands in the gap list with its reason ([`GapReason`]): each frame of each side
//!   is either speech as it arrived or part of a listed gap.
//!
//! # What a crash leaves
//! Data is written every [`FLUSH_EVERY`], then new gaps go to `<recording id>.journal`, then the WAV header is brought up to
//! date. A recording without a manifest line is mended at the next start: sizes from the file's length, whole frames only, what
//! cannot be proved to be speech listed as [`GapReason::Crash`].

mod archive;
mod body;
mod canvas;
mod drift;
mod encode;
mod files;
mod finish;
mod gaps;
mod keys;
mod manifest;
mod open;
mod recording;
mod sequence;
mod side;
mod turn;
mod wav;
mod writer;

pub use archive::{
    FileFault, Line, OpenError, Playback, coverage_fault, examine, files_in, frames_in, is_sealed, length_fault,
    manifest_lines,
};
pub use body::{CHUNK_BYTES, CHUNK_FRAMES, ReadAt};
pub use canvas::Dirty;
pub use drift::Drift;
pub use encode::{EncodeError, Encoder, Format, OPUS_BITRATE, Patch};
pub use files::{MANIFEST, recording_path};
pub use finish::{hash_file, hex};
pub use gaps::{GAPS_MAX, Gap, GapReason};
pub use keys::{
    DataKey, KeyError, KeyFileError, KeyRing, MASTER_KEYS_MAX, destroy as destroy_key, key_path, rewrap as rewrap_key,
};
pub use manifest::{CHAIN_START, MANIFEST_VERSION, Manifest, ManifestGap, RecordingSpec, SideSummary};
pub use recording::{FLUSH_EVERY, FRAMES_MAX, HOLD_MAX, KEEP, LEAD_MAX, Recording, Summary};
pub use sequence::{PAUSE, REORDER_PACKETS_MAX, REORDER_WAIT, SETTLE_PACKETS, SETTLE_WAIT};
pub use side::SideCounts;
pub use wav::{FRAME_BYTES, HEADER_BYTES, WavError, WavHeader};
pub use writer::{OWED_MAX, Protection, RecorderEvent, RecorderStats, Writer, WriterHandle};
