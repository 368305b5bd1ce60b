//! What the distributor is told to be: queues, tiers, agents and their capacity. Plain data, checked when it is added.

use offhook_units::{AgentId, QueueId, SkillId, Span};

/// Most bytes of a name or a not-ready reason; longer ones are refused.
pub const TEXT_BYTES_MAX: usize = 256;
/// Highest tier level; the first one is 1.
pub const LEVELS_MAX: u8 = 16;
/// Most queues that one agent may be a member of.
pub const MEMBERSHIPS_MAX: usize = 256;
/// Most skills that one agent may have.
pub const SKILLS_MAX: usize = 256;
/// Most skills that one contact or queue may ask for.
pub const NEEDS_MAX: usize = 16;
/// Most rings of a queue.
pub const RINGS_MAX: usize = 16;
/// Most different requirement profiles remembered at once: sets of skills with levels and weights. One that no waiting contact has makes room for a
/// new one; when all are in use, a contact with yet another one is refused.
pub const PROFILES_MAX: usize = 4_096;
/// Largest weight of a member, or of a skill.
pub const WEIGHT_MAX: u8 = 100;

/// What a contact comes on. Routing is one code for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Channel {
    /// A call.
    Voice,
    /// A conversation in writing.
    Chat,
    /// A call that we make to somebody who asked for it.
    Callback,
    /// Work without a person at the other end.
    Ticket,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 4] = [Self::Voice, Self::Chat, Self::Callback, Self::Ticket];
}

/// Which of the eligible agents is offered a contact. The tier level always comes before the strategy's own key, the agent's id after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Strategy {
    /// Every eligible agent of the lowest open tier at once; the first to accept wins (`ring-all`, `ringall`).
    RingAll,
    /// By position, always from the first (`sequentially-by-agent-order`, `linear`).
    Linear,
    /// By position, going on after the one that this queue offered to last (`round-robin`, `rrmemory`). Equal positions are ordered by agent id.
    RoundRobin,
    /// Who became idle first (`longest-idle-agent`, `leastrecent`).
    #[default]
    LongestIdle,
    /// Who took the fewest contacts since the shift began, then who became idle first (`agent-with-fewest-calls`, `fewestcalls`).
    FewestCalls,
    /// A draw from the seed in the state (`random`).
    Random,
    /// By position, going on after the one that *this contact* was offered to last (`top-down`).
    TopDown,
    /// By position, and one more agent rings every [`QueueConfig::widen_every`] until one accepts (`ring-progressively`).
    RingProgressively,
    /// Who talked least since the shift began, then who became idle first (`agent-with-least-talk-time`).
    LeastTalk,
    /// Who was busy (in conversation, on hold, in wrap-up) for the smallest part of the shift, measured when the agent came to be free and every
    /// [`MEASURE_EVERY`](crate::MEASURE_EVERY) after, then who became idle first.
    LeastOccupied,
    /// A draw from the seed in the state, in proportion to [`Membership::weight`] (`wrandom`).
    WeightedRandom,
    /// The largest sum of weight x level over the skills that the contact needs, then who became idle first.
    SkillsBest,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 12] = [
        Self::RingAll,
        Self::Linear,
        Self::RoundRobin,
        Self::LongestIdle,
        Self::FewestCalls,
        Self::Random,
        Self::TopDown,
        Self::RingProgressively,
        Self::LeastTalk,
        Self::LeastOccupied,
        Self::WeightedRandom,
        Self::SkillsBest,
    ];

    /// Its name, as configuration and reports print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingAll => "ring-all",
            Self::Linear => "linear",
            Self::RoundRobin => "round-robin",
            Self::LongestIdle => "longest-idle",
            Self::FewestCalls => "fewest-calls",
            Self::Random => "random",
            Self::TopDown => "top-down",
            Self::RingProgressively => "ring-progressively",
            Self::LeastTalk => "least-talk",
            Self::LeastOccupied => "least-occupied",
            Self::WeightedRandom => "weighted-random",
            Self::SkillsBest => "skills-best",
        }
    }

    /// What the strategy is called in FreeSWITCH's mod_callcenter and in Asterisk's app_queue, where they have it.
    pub const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::RingAll => &["ringall"],
            Self::Linear => &["sequentially-by-agent-order"],
            Self::RoundRobin => &["rrmemory", "rrordered"],
            Self::LongestIdle => &["longest-idle-agent", "leastrecent"],
            Self::FewestCalls => &["agent-with-fewest-calls", "fewestcalls"],
            Self::LeastTalk => &["agent-with-least-talk-time"],
            Self::WeightedRandom => &["wrandom"],
            Self::Random | Self::TopDown | Self::RingProgressively | Self::LeastOccupied | Self::SkillsBest => &[],
        }
    }

    /// The strategy of that name, or of that name elsewhere.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.name() == name || strategy.aliases().contains(&name))
    }
}

/// How the contacts of a queue are ordered; ties go by enter time, then by contact id. Queues that share agents should use the same order: where they
/// do not, the ranks of the one mean nothing to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Order {
    /// Larger priority first, then the older place.
    #[default]
    Strict,
    /// By score: priority + seconds waited x `points_per_s`, so that no priority starves anybody for ever.
    Score {
        /// What a second of waiting is worth, 1..=1,000.
        points_per_s: u16,
    },
}

/// A skill that a contact needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Need {
    /// Which.
    pub skill: SkillId,
    /// At least this level.
    pub level: u8,
    /// What each level counts for [`Strategy::SkillsBest`]; 1 where it does not matter.
    pub weight: u8,
}

/// A skill that an agent has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Skill {
    /// Which.
    pub skill: SkillId,
    /// How well.
    pub level: u8,
}

/// A wider circle of agents that opens to a contact (bullseye). Rings add up: what an inner one dropped stays dropped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ring {
    /// When it opens, from entering.
    pub after: Span,
    /// Skills no longer needed then.
    pub drops: Vec<SkillId>,
}

/// How long an agent is left alone after a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum WrapUp {
    /// This long, or until the agent says done; zero for none.
    For(Span),
    /// Until the agent says done.
    UntilDone,
}

/// What happens to contacts of a queue that nobody serves. An agent on break serves nobody: only agents who are logged in and
/// not not-ready count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NoAgents {
    /// Whether a contact may enter while nobody serves the queue; otherwise it is refused.
    pub join: bool,
    /// After this long without anybody, those who wait are handed back with [`Effect::NobodyHere`](crate::Effect::NobodyHere).
    pub leave_after: Option<Span>,
}

impl Default for NoAgents {
    /// Nobody may enter; those who wait already may stay.
    fn default() -> Self {
        Self { join: false, leave_after: None }
    }
}

/// How the service level is computed; A answered, B abandoned, T the threshold, S the short-abandon threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Formula {
    /// (A within T + B within T) / (A + B)
    Credit,
    /// A within T / A
    AnsweredOnly,
    /// A within T / (A + B)
    Strict,
    /// A within T / (A + B over T)
    LateAbandon,
    /// (A within T + B within S) / (A + B)
    ShortCredit,
    /// A within T / (A + B - B within S)
    #[default]
    ShortExcluded,
}

impl Formula {
    /// Every formula.
    pub const ALL: [Self; 6] =
        [Self::Credit, Self::AnsweredOnly, Self::Strict, Self::LateAbandon, Self::ShortCredit, Self::ShortExcluded];

    /// Its name, as configuration and reports print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::AnsweredOnly => "answered-only",
            Self::Strict => "strict",
            Self::LateAbandon => "late-abandon",
            Self::ShortCredit => "short-credit",
            Self::ShortExcluded => "short-excluded",
        }
    }
}

/// What a queue promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ServiceLevel {
    /// How it is computed.
    pub formula: Formula,
    /// T: a contact answered within it was answered in time.
    pub threshold: Span,
    /// S: a contact abandoned within it was a short abandon.
    pub short_abandon: Span,
}

impl Default for ServiceLevel {
    fn default() -> Self {
        Self { formula: Formula::default(), threshold: Span::from_s(20), short_abandon: Span::from_s(5) }
    }
}

/// On which terms a queue lends its agents to other queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Lending {
    /// Its own service level is at least this, in hundredths of a percent, 1..=10,000.
    pub target: u32,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct QueueConfig {
    /// Its id.
    pub id: QueueId,
    /// Its name, for people.
    pub name: String,
    /// Which agent is offered a contact.
    pub strategy: Strategy,
    /// How long an agent may think about an offer (the ringing time); not zero.
    pub ring_for: Span,
    /// After a contact of this queue.
    pub wrap_up: WrapUp,
    /// Most contacts that may wait; more are refused.
    pub max_waiting: Option<u32>,
    /// After this long a waiting contact is handed back with [`Effect::WaitedTooLong`](crate::Effect::WaitedTooLong).
    pub max_wait: Option<Span>,
    /// What the queue promises.
    pub service_level: ServiceLevel,
    /// When nobody serves it.
    pub no_agents: NoAgents,
    /// Between queues of one agent the heavier one goes first, whatever the priorities.
    pub weight: u32,
    /// How long a contact waits, from entering, before level 1, 2, ... is open to it; levels beyond the list open with the last one, an
    /// empty list opens all. A level never opens before a lower one.
    pub tier_waits: Vec<Span>,
    /// Whether coming back from a break starts the idle time anew.
    pub break_resets_idle: bool,
    /// How contacts are ordered.
    pub order: Order,
    /// Skills that every contact needs here, beside its own; of the same skill the higher level and weight count. A contact keeps what held when it
    /// entered.
    pub needs: Vec<Need>,
    /// Circles that open while a contact waits, by time. A contact keeps what held when it entered.
    pub rings: Vec<Ring>,
    /// [`Strategy::RingProgressively`]: after this long one more agent rings; not zero.
    pub widen_every: Span,
}

impl QueueConfig {
    /// A queue with the usual settings: longest-idle, 20 s of ringing, 10 s of wrap-up, 80/20 thinking.
    pub fn new(id: QueueId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            strategy: Strategy::default(),
            ring_for: Span::from_s(20),
            wrap_up: WrapUp::For(Span::from_s(10)),
            max_waiting: None,
            max_wait: None,
            service_level: ServiceLevel::default(),
            no_agents: NoAgents::default(),
            weight: 0,
            tier_waits: Vec::new(),
            break_resets_idle: true,
            order: Order::default(),
            needs: Vec::new(),
            rings: Vec::new(),
            widen_every: Span::from_s(5),
        }
    }

    /// How long a contact waits before `level` is open to it by time.
    pub fn tier_wait(&self, level: u8) -> Span {
        let listed = self.tier_waits.len().min(usize::from(level.max(1)));
        self.tier_waits[..listed].iter().copied().max().unwrap_or(Span::ZERO)
    }
}

/// An agent's place in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Membership {
    /// Which queue.
    pub queue: QueueId,
    /// Tier level, 1..=[`LEVELS_MAX`]; lower levels are asked first.
    pub level: u8,
    /// Position within the queue, for the strategies that go by order.
    pub position: u32,
    /// The share of [`Strategy::WeightedRandom`], 1..=[`WEIGHT_MAX`].
    pub weight: u8,
}

/// How many contacts of a channel an agent may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Capacity {
    /// Which channel.
    pub channel: Channel,
    /// Offers and contacts together, wrap-up included.
    pub at_once: u32,
    /// While the agent has one of this channel, nothing of another channel is offered.
    pub alone: bool,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AgentConfig {
    /// The id.
    pub id: AgentId,
    /// The name, for people.
    pub name: String,
    /// Which queues; each at most once.
    pub queues: Vec<Membership>,
    /// What the agent can do; each skill at most once.
    pub skills: Vec<Skill>,
    /// Per channel; a channel not named cannot be offered.
    pub capacity: Vec<Capacity>,
    /// Nothing is offered for this long after a declined offer.
    pub decline_delay: Span,
    /// Nothing is offered for this long after an offer that nobody answered.
    pub no_answer_delay: Span,
    /// After so many unanswered offers in a row the agent becomes not ready; zero for never.
    pub max_missed: u32,
}

impl AgentConfig {
    /// An agent with the usual settings: one call at a time, 5 s of rest after an offer not taken, not ready after three missed ones.
    pub fn new(id: AgentId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            queues: Vec::new(),
            skills: Vec::new(),
            capacity: vec![Capacity { channel: Channel::Voice, at_once: 1, alone: true }],
            decline_delay: Span::from_s(5),
            no_answer_delay: Span::from_s(5),
            max_missed: 3,
        }
    }

    /// The same with one more queue.
    #[must_use]
    pub fn in_queue(mut self, queue: QueueId, level: u8, position: u32) -> Self {
        self.queues.push(Membership { queue, level, position, weight: 1 });
        self
    }

    /// The same with one more skill.
    #[must_use]
    pub fn with_skill(mut self, skill: SkillId, level: u8) -> Self {
        self.skills.push(Skill { skill, level });
        self
    }

    /// Whether the agent has every skill of a list, well enough.
    pub fn meets(&self, needs: &[Need]) -> bool {
        let has = |need: &Need| self.skills.iter().any(|skill| skill.skill == need.skill && skill.level >= need.level);
        needs.iter().all(has)
    }

    /// The sum of weight x level over the skills of a list.
    pub fn fitness(&self, needs: &[Need]) -> u64 {
        let skill = |need: &Need| self.skills.iter().find(|skill| skill.skill == need.skill);
        needs.iter().filter_map(|need| Some(u64::from(need.weight) * u64::from(skill(need)?.level))).sum()
    }
}

/// Bounds of what grows; each is answered with [`Refusal::LimitReached`](crate::Refusal::LimitReached).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Limits {
    /// Contacts alive at once, waiting or served.
    pub contacts_max: usize,
    /// Agents known.
    pub agents_max: usize,
    /// Queues known.
    pub queues_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { contacts_max: 200_000, agents_max: 100_000, queues_max: 4_096 }
    }
}
