//! What was heard against what was said, byte by byte, both ways and in the recording.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::peers::line::{FRAME, longest_run, position};
use crate::peers::trunk::hex;
use crate::speech::{Recording, sender_paused};

/// Frames of 20 ms that the sender may have sent after the other side had left.
const TAIL_FRAMES: usize = 25;

/// One direction.
#[derive(Debug, Default, Clone, Copy)]
pub struct Way {
    /// Frames that arrived unbroken and as they were sent.
    frames: usize,
    /// Whether they were all that was heard, from the first after the answer.
    whole: bool,
}

/// Both directions, and the recording of each.
#[derive(Debug, Default, Clone, Copy)]
pub struct Matches {
    to_agent: Way,
    to_caller: Way,
    recorded_left: bool,
    recorded_right: bool,
}

impl Matches {
    /// Whether everything was heard and recorded as it was said.
    pub fn all(&self) -> bool {
        self.to_agent.whole && self.to_caller.whole && self.recorded_left && self.recorded_right
    }

    /// For the report.
    pub fn json(&self) -> Value {
        json!({
            "caller_to_agent": { "whole": self.to_agent.whole, "packets": self.to_agent.frames },
            "agent_to_caller": { "whole": self.to_caller.whole, "packets": self.to_caller.frames },
            "recording_left_is_what_the_caller_said": self.recorded_left,
            "recording_right_is_what_the_caller_was_sent": self.recorded_right,
        })
    }
}

/// Compares the payload files of the demo's folder with each other and with the recording.
///
/// Where a phone paused on a busy machine, its side of the recording has a gap that says so, and the manifest's hash of the
/// payloads decides.
pub fn compare(folder: &Path, agent: &str, recording: &Path, manifest: &Value) -> Result<Matches> {
    let read = |name: String| std::fs::read(folder.join(&name)).with_context(|| name);
    let (said, heard) = (read("caller.out".into())?, read("caller.in".into())?);
    let (agent_said, agent_heard) = (read(format!("{agent}.out"))?, read(format!("{agent}.in"))?);
    let recording = Recording::open(recording)?;
    let mut matches = Matches::default();
    if let Some((first, frames, from)) = longest_run(&agent_heard, &said) {
        let left_out = (said.len() - from) / FRAME - frames;
        let whole = first == 0 && frames == agent_heard.len() / FRAME && left_out <= TAIL_FRAMES;
        matches.to_agent = Way { frames, whole };
        matches.recorded_left = position(&recording.left, &said[from..from + frames * FRAME]).is_some()
            || (sender_paused(manifest, "left") && hashed(&manifest["left"], &said));
    }
    if let Some((first, frames, from)) = longest_run(&heard, &agent_said) {
        let unheard = agent_said.len() / FRAME - frames;
        let whole = from == 0 && first + frames == heard.len() / FRAME && unheard <= TAIL_FRAMES;
        matches.to_caller = Way { frames, whole };
        matches.recorded_right = position(&recording.right, &heard[first * FRAME..]).is_some()
            || (sender_paused(manifest, "right") && hashed(&manifest["right"], &heard));
    }
    Ok(matches)
}

/// Whether a side's hash in the manifest is that of so many payloads in a row.
fn hashed(side: &Value, payloads: &[u8]) -> bool {
    let length = side["payload_bytes"].as_u64().unwrap_or(u64::MAX) as usize;
    let last = payloads.len().checked_sub(length).map_or(0, |spare| spare / FRAME + 1);
    let told = side["payload_sha256"].as_str().unwrap_or_default();
    (0..last).any(|frame| hex(&Sha256::digest(&payloads[frame * FRAME..frame * FRAME + length])) == told)
}
