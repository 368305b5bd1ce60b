//! The idle agents of a lane, in the order of its queue's strategy.

use offhook_units::AgentId;

use crate::config::Strategy;
use crate::few::Few;
use crate::state::{IdleKey, MAJOR_MAX};

/// Kept as small as the strategy allows: every free agent sits in several lanes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Idle {
    /// Of strategies whose own key decides: tier and key, agent.
    Plain(Few<(u64, AgentId)>),
    /// Of strategies where something else decides between equal keys.
    Tied(Few<(u64, u64, AgentId)>),
}

/// Tier and key in one number: the key has 56 bits.
const fn packed(key: &IdleKey) -> u64 {
    let major = if key.major > MAJOR_MAX { MAJOR_MAX } else { key.major };
    (key.level as u64) << 56 | major
}

const fn unpacked(packed: u64, minor: u64, agent: AgentId) -> IdleKey {
    IdleKey { level: (packed >> 56) as u8, major: packed & MAJOR_MAX, minor, agent }
}

const fn of_plain((both, agent): (u64, AgentId)) -> IdleKey {
    unpacked(both, 0, agent)
}

const fn of_tied((both, minor, agent): (u64, u64, AgentId)) -> IdleKey {
    unpacked(both, minor, agent)
}

const fn plain(key: &IdleKey) -> (u64, AgentId) {
    (packed(key), key.agent)
}

const fn tied(key: &IdleKey) -> (u64, u64, AgentId) {
    (packed(key), key.minor, key.agent)
}

impl Idle {
    pub fn new(strategy: Strategy) -> Self {
        match strategy {
            Strategy::RingAll
            | Strategy::Linear
            | Strategy::RingProgressively
            | Strategy::RoundRobin
            | Strategy::TopDown
            | Strategy::LongestIdle
            | Strategy::Random => Self::Plain(Few::default()),
            Strategy::FewestCalls
            | Strategy::LeastTalk
            | Strategy::LeastOccupied
            | Strategy::SkillsBest
            | Strategy::WeightedRandom => Self::Tied(Few::default()),
        }
    }

    pub fn first(&self) -> Option<IdleKey> {
        match self {
            Self::Plain(few) => few.first().map(of_plain),
            Self::Tied(few) => few.first().map(of_tied),
        }
    }

    /// The first one greater than `key`.
    pub fn after(&self, key: IdleKey) -> Option<IdleKey> {
        match self {
            Self::Plain(few) => few.after(plain(&key)).map(of_plain),
            Self::Tied(few) => few.after(tied(&key)).map(of_tied),
        }
    }

    /// The first one not smaller than `key`.
    pub fn from(&self, key: IdleKey) -> Option<IdleKey> {
        match self {
            Self::Plain(few) => few.from(plain(&key)).map(of_plain),
            Self::Tied(few) => few.from(tied(&key)).map(of_tied),
        }
    }

    /// Whether it was not there before.
    pub fn insert(&mut self, key: IdleKey) -> bool {
        match self {
            Self::Plain(few) => few.insert(plain(&key)),
            Self::Tied(few) => few.insert(tied(&key)),
        }
    }

    /// Whether it was there.
    pub fn remove(&mut self, key: &IdleKey) -> bool {
        match self {
            Self::Plain(few) => few.remove(&plain(key)),
            Self::Tied(few) => few.remove(&tied(key)),
        }
    }
}
