//! What may be asked of a call's recording, and by whom.

use offhook_units::{AgentId, Span};
use serde::{Deserialize, Serialize};

/// [`Recording::pause_code`] where nothing is said.
pub const PAUSE_CODE: &str = "*3";
/// [`Recording::pause_max`] where nothing is said.
pub const PAUSE_MAX: Span = Span::from_s(300);
/// Most keys of [`Recording::pause_code`].
pub const PAUSE_CODE_KEYS_MAX: usize = 8;

/// What an exchange is told of recordings, beside what its queues say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The keys by which an agent pauses a recording in a talk, and goes on with it; none where keys do not.
    pub pause_code: Option<String>,
    /// The longest pause. A pause that nobody ends is over then.
    pub pause_max: Span,
}

impl Default for Recording {
    fn default() -> Self {
        Self { pause_code: Some(PAUSE_CODE.to_owned()), pause_max: PAUSE_MAX }
    }
}

/// What is wanted of a call's recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingWish {
    /// To take nothing in.
    Pause,
    /// To go on.
    Record,
}

/// Who paused a recording, or went on with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PausedBy {
    /// An agent: by keys of the phone, or a program in the agent's name.
    Agent(AgentId),
    /// A program that named nobody.
    Program,
    /// The caller's keys: the first one, or that none came for a while.
    Keys,
    /// The longest pause was over.
    Limit,
}

impl PausedBy {
    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::Program => "program",
            Self::Keys => "keys",
            Self::Limit => "limit",
        }
    }
}
