//! Identifiers: 64 bits, never reused, never names.

use core::fmt;
use core::str::FromStr;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = core::num::ParseIntError;
            /// Reads what `Display` prints; the prefix may be left out.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                u64::from_str_radix(text.strip_prefix($prefix).unwrap_or(text), 16).map(Self)
            }
        }
    )*};
}

ids! {
    /// One customer's request on one channel.
    ContactId "c-",
    /// One stay of a contact in one queue: the unit of counting.
    VisitId "v-",
    /// One contact held out to one agent.
    OfferId "o-",
    /// A person who takes contacts.
    AgentId "a-",
    /// A queue.
    QueueId "q-",
    /// Something that agents can do and contacts can need.
    SkillId "s-",
    /// One call: its legs, bridge and media.
    CallId "call-",
    /// One SIP or WebRTC leg of a call.
    LegId "l-",
    /// One playing of a prompt or of music.
    PlayerId "p-",
    /// One recording.
    RecordingId "r-",
    /// Stands for a person in the event log; numbers and names lie in a sealed table.
    PersonRef "person-",
}

/// Makes ids: node 10 bits, boot epoch 18 bits, counter 36 bits.
#[derive(Debug, Clone)]
pub struct IdSource {
    base: u64,
    counter: u64,
}

impl IdSource {
    const COUNTER_BITS: u32 = 36;

    /// For `node` (below 1,024) in its `boot`th life (below 262,144); higher bits are dropped.
    pub const fn new(node: u16, boot: u32) -> Self {
        let node = (node & 0x3ff) as u64;
        let boot = (boot & 0x3_ffff) as u64;
        Self { base: (node << 54) | (boot << Self::COUNTER_BITS), counter: 0 }
    }

    /// The next id, to be wrapped in its type: `CallId(ids.next())`.
    pub const fn next(&mut self) -> u64 {
        self.counter += 1;
        self.base | (self.counter & ((1 << Self::COUNTER_BITS) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_two_lives_never_meet() {
        let (mut first, mut second) = (IdSource::new(1, 7), IdSource::new(1, 8));
        assert_ne!(first.next(), second.next());
        assert_ne!(first.next(), first.next());
    }

    #[test]
    fn an_id_reads_back_what_it_prints() {
        let id = CallId(IdSource::new(3, 2).next());
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}
