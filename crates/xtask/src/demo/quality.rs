//! What was heard against what was said, byte by byte, both ways and in the recording.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::peers::line::{FRAME, longest_run, position};
use crate::speech::Recording;

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
pub fn compare(folder: &Path, agent: &str, recording: &Path) -> Result<Matches> {
    let read = |name: String| std::fs::read(folder.join(&name)).with_context(|| name);
    let (said, heard) = (read("caller.out".into())?, read("caller.in".into())?);
    let (agent_said, agent_heard) = (read(format!("{agent}.out"))?, read(format!("{agent}.in"))?);
    let recording = Recording::open(recording)?;
    let mut matches = Matches::default();
    if let Some((first, frames, from)) = longest_run(&agent_heard, &said) {
        let left_out = (said.len() - from) / FRAME - frames;
        let whole = first == 0 && frames == agent_heard.len() / FRAME && left_out <= TAIL_FRAMES;
        matches.to_agent = Way { frames, whole };
        matches.recorded_left = position(&recording.left, &said[from..from + frames * FRAME]).is_some();
    }
    if let Some((first, frames, from)) = longest_run(&heard, &agent_said) {
        let unheard = agent_said.len() / FRAME - frames;
        let whole = from == 0 && first + frames == heard.len() / FRAME && unheard <= TAIL_FRAMES;
        matches.to_caller = Way { frames, whole };
        matches.recorded_right = position(&recording.right, &heard[first * FRAME..]).is_some();
    }
    Ok(matches)
}
