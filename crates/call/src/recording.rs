//! What may be asked of a call's recording, and by whom.

use offhook_plan::AssetId;
use offhook_units::{AgentId, CallId, Span};
use serde::{Deserialize, Serialize};

use crate::siprec::{SiprecClient, SiprecServer};

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
    /// Whether calls are recorded that phones of ours make to the world outside, where there is a word on that.
    pub outgoing: Option<Rule>,
    /// The recorder outside that gets them too.
    pub siprec: Option<SiprecClient>,
    /// Whose recording sessions are taken.
    pub siprec_server: Option<SiprecServer>,
}

/// Whether calls are recorded. Of several that have a word "never" counts, then "with consent"; without them the agents' does, then the number's, the
/// queue's, and the one on calls outside (docs/decisions/0097).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// From the queue, or the talk, on.
    Always,
    /// Not, whoever asks; and where others talked before, from now on not.
    Never,
    /// When an agent or a program asks for it.
    OnDemand,
    /// So many of a hundred calls.
    Share(Percent),
    /// When the caller has agreed to it by a key, as [`Consent`] says; before that not, whoever else asks.
    WithConsent,
}

/// How a queue asks its callers whether they may be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// What they hear as soon as they wait: that they may be recorded, and which key they press for that.
    pub ask: Vec<AssetId>,
    /// That key. It leads nowhere else.
    pub key: char,
}

/// A share of calls, 1 to 99 of a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// So many of a hundred; none where that is no share.
    pub const fn new(of_hundred: u8) -> Option<Self> {
        if of_hundred >= 1 && of_hundred <= 99 { Some(Self(of_hundred)) } else { None }
    }

    /// Whether a call is in the share: by its id alone, so that everybody who asks gets the same answer. Whatever is in a share is
    /// in every larger one.
    pub const fn draws(self, call: CallId) -> bool {
        // Ids count up; the finalizer of SplitMix64 spreads them.
        let mixed = (call.0 ^ call.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % 100 < self.0 as u64
    }
}

impl Default for Recording {
    fn default() -> Self {
        Self {
            pause_code: Some(PAUSE_CODE.to_owned()),
            pause_max: PAUSE_MAX,
            outgoing: None,
            siprec: None,
            siprec_server: None,
        }
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
    /// The rules: somebody talks, or none does any more, whose calls are not recorded.
    Rule,
}

impl PausedBy {
    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::Program => "program",
            Self::Keys => "keys",
            Self::Limit => "limit",
            Self::Rule => "rule",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_ten_thousand_calls_is_a_quarter_and_is_in_a_half_of_them() {
        let share = |percent| Percent::new(percent).expect("a share");
        // Ids as they come: a node and a boot above a counter.
        for base in [0, 1 << 36, 7 << 54 | 3 << 36] {
            let calls = || (base..base + 10_000).map(CallId);
            for percent in [1_u8, 25, 50, 99] {
                let drawn = calls().filter(|call| share(percent).draws(*call)).count();
                assert!(drawn.abs_diff(usize::from(percent) * 100) < 150, "{percent} %: {drawn} from {base}");
            }
            let in_both = calls().filter(|call| share(25).draws(*call)).all(|call| share(50).draws(call));
            assert!(in_both);
        }
        assert_eq!((Percent::new(0), Percent::new(100)), (None, None));
    }
}
