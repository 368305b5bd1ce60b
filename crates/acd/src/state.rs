//! What the distributor remembers: a fold of its events, without anything that can be derived (see `index`).

use std::collections::{BTreeMap, BTreeSet};

use offhook_units::{AgentId, ContactId, OfferId, QueueId, Span, Tick, VisitId};

use crate::config::{AgentConfig, Channel, Lending, Membership, Need, Order, QueueConfig, Strategy};
use crate::forecast::{Apart, Notes, Pace};
use crate::lending::Loan;
use crate::table::Table;

/// Away for at least this long, an agent begins a new shift with the next log-in; a shorter absence continues the old one.
pub const SHIFT_GAP: Span = Span::from_s(4 * 3_600);
/// How often the occupancy of a free agent is taken anew in queues that choose by it.
pub const MEASURE_EVERY: Span = Span::from_s(60);

/// What an agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AgentKind {
    /// Not at work.
    LoggedOut,
    /// Free, or resting for a moment after an offer not taken.
    Available,
    /// A contact is held out to the agent.
    Offered,
    /// Serves at least one contact.
    Busy,
    /// Completes what a contact left to do.
    WrapUp,
    /// On break, in a meeting: see the reason.
    NotReady,
}

impl AgentKind {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::LoggedOut, Self::Available, Self::Offered, Self::Busy, Self::WrapUp, Self::NotReady];

    /// Its name in pages and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LoggedOut => "logged-out",
            Self::Available => "available",
            Self::Offered => "offered",
            Self::Busy => "busy",
            Self::WrapUp => "wrap-up",
            Self::NotReady => "not-ready",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct State {
    pub seed: u64,
    /// Offers ever made; the last one has this id.
    pub offers_made: u64,
    /// When the last event happened.
    pub at: Tick,
    pub queues: Queues,
    /// Each in a place of its own: a table has more places than entries.
    pub agents: Table<AgentId, Box<Agent>>,
    /// As agents.
    pub contacts: Table<ContactId, Box<Contact>>,
    pub offers: BTreeMap<OfferId, Offer>,
    /// Profiles ever made; the last one has this id.
    pub profiles_made: u32,
    pub profiles: BTreeMap<ProfileId, Profile>,
}

/// The queues, by id.
pub(crate) type Queues = Table<QueueId, Queue>;

/// A requirement profile; zero is the one that asks for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct ProfileId(pub u32);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Profile {
    /// By skill; not empty.
    pub needs: Vec<Need>,
    /// Stages of waiting contacts that ask for it.
    pub users: u32,
}

/// What a contact needs from some time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Stage {
    /// From entering.
    pub after: Span,
    pub profile: ProfileId,
}

impl State {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            offers_made: 0,
            at: Tick::ZERO,
            queues: Table::default(),
            agents: Table::default(),
            contacts: Table::default(),
            offers: BTreeMap::new(),
            profiles_made: 0,
            profiles: BTreeMap::new(),
        }
    }
}

impl State {
    /// What a contact must find in its queue now.
    pub fn needs_of(&self, contact: &Contact) -> &[Need] {
        self.profiles.get(&contact.profile()).map_or(&[], |profile| &profile.needs)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Queue {
    pub config: QueueConfig,
    /// The different tier waits, ascending, beginning with zero.
    pub steps: Vec<Span>,
    /// Position and id of the agent offered to last.
    pub last: Option<(u32, AgentId)>,
    /// Since when nobody serves it.
    pub nobody_since: Option<Tick>,
    /// Those who wait were told so.
    pub nobody_told: bool,
    /// Where contacts wait, or have waited.
    pub lanes: BTreeSet<(Channel, ProfileId)>,
    /// How fast those who have to wait are answered, by channel.
    pub paces: [Pace; Channel::ALL.len()],
    /// The same of those who come with the same needs.
    pub apart: [BTreeMap<ProfileId, Apart>; Channel::ALL.len()],
    /// On which terms it lends its agents.
    pub lending: Option<Lending>,
    /// It lends them now, as of the last review.
    pub lends: bool,
    pub reviewed_at: Tick,
    /// For how long an integrator is asked about each contact, at most.
    pub external: Option<Span>,
}

impl Queue {
    pub fn new(config: QueueConfig) -> Self {
        let mut steps = vec![Span::ZERO];
        for level in 1..=config.tier_waits.len() {
            let wait = config.tier_wait(u8::try_from(level).unwrap_or(u8::MAX));
            if steps.last().is_some_and(|last| *last < wait) {
                steps.push(wait);
            }
        }
        let lanes = Channel::ALL.into_iter().map(|channel| (channel, ProfileId::default())).collect();
        Self {
            config,
            steps,
            last: None,
            nobody_since: None,
            nobody_told: false,
            lanes,
            paces: Default::default(),
            apart: Default::default(),
            lending: None,
            lends: false,
            reviewed_at: Tick::ZERO,
            external: None,
        }
    }

    /// What a contact with these needs must find here, stage by stage: when each begins, and the skills. Stages that ask for the same as the one before
    /// are left out.
    pub fn stages(&self, own: &[Need]) -> Vec<(Span, Vec<Need>)> {
        let mut needs: BTreeMap<_, Need> = BTreeMap::new();
        for need in self.config.needs.iter().chain(own) {
            let kept = needs.entry(need.skill).or_insert(*need);
            (kept.level, kept.weight) = (kept.level.max(need.level), kept.weight.max(need.weight));
        }
        let mut stages = vec![(Span::ZERO, needs.values().copied().collect::<Vec<_>>())];
        let mut rings: Vec<_> = self.config.rings.iter().collect();
        rings.sort_by_key(|ring| ring.after);
        for ring in rings {
            needs.retain(|skill, _| !ring.drops.contains(skill));
            let now: Vec<Need> = needs.values().copied().collect();
            match stages.last_mut() {
                Some((after, last)) if *after == ring.after => *last = now,
                Some((_, last)) if last.len() > now.len() => stages.push((ring.after, now)),
                Some(_) | None => {}
            }
        }
        stages
    }

    /// Whether the strategy draws in proportion to weights.
    pub fn is_weighted(&self) -> bool {
        self.config.strategy == Strategy::WeightedRandom
    }

    /// The step that a contact has reached after waiting so long.
    pub fn step_after(&self, waited: Span) -> u8 {
        u8::try_from(self.steps.partition_point(|wait| *wait <= waited).saturating_sub(1)).unwrap_or(u8::MAX)
    }

    /// After whom a circular strategy looks for the next one; none where the smallest key is meant, or where weights are drawn.
    pub fn turn_after(&self, state: &State, contact: &Contact) -> Option<(u64, AgentId)> {
        let after = |(position, agent)| (u64::from(position), agent);
        match self.config.strategy {
            Strategy::RingAll
            | Strategy::Linear
            | Strategy::RingProgressively
            | Strategy::LongestIdle
            | Strategy::FewestCalls
            | Strategy::LeastTalk
            | Strategy::LeastOccupied
            | Strategy::SkillsBest
            | Strategy::WeightedRandom => None,
            Strategy::RoundRobin => self.last.map(after),
            Strategy::TopDown => contact.last_tried().map(after),
            Strategy::Random => Some((draw(state.seed, 0, state.offers_made) & MAJOR_MAX, AgentId(0))),
        }
    }

    /// Whether a key must wait for the next round of a circular strategy: smaller comes first.
    pub fn turn(&self, state: &State, contact: &Contact, key: IdleKey) -> bool {
        self.turn_after(state, contact).is_some_and(|after| (key.major, key.agent) <= after)
    }

    /// The first step at which `level` is open by time.
    pub fn step_of(&self, level: u8) -> usize {
        let wait = self.config.tier_wait(level);
        self.steps.partition_point(|step| *step < wait)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Agent {
    pub config: AgentConfig,
    /// Memberships that hold only while another queue lends; each once.
    pub loans: Box<[Loan]>,
    /// Has been at work before; who is logged out went home at `since`.
    pub came: bool,
    pub logged_in: bool,
    /// Goes home when the conversations are over.
    pub leaving: bool,
    pub not_ready: Option<Box<str>>,
    pub rest_until: Option<Tick>,
    pub offer: Option<OfferId>,
    /// Mostly none or one: without room for more.
    pub work: Box<[Work]>,
    /// When the last contact, its wrap-up included, was over, or the log-in.
    pub worked_at: Tick,
    /// When the agent last came to be ready.
    pub ready_at: Tick,
    /// Contacts taken since the shift began.
    pub taken: u32,
    /// Time in conversation since the shift began, of contacts that are over.
    pub talked: Span,
    /// Time busy or in wrap-up since the shift began, up to the state that lasts.
    pub worked: Span,
    /// Time logged in since the shift began, up to the state that lasts.
    pub present: Span,
    /// When the occupancy was last taken without a change of state.
    pub measured_at: Tick,
    /// Offers missed in a row.
    pub missed: u32,
    /// Offers ever received, of which 2^32 are as many as none: the draw of the random strategy is made from it.
    pub offered: u32,
    pub kind: AgentKind,
    pub since: Tick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Work {
    pub contact: ContactId,
    pub channel: Channel,
    pub queue: QueueId,
    pub phase: Phase,
    /// When the phase began.
    pub since: Tick,
    /// Earlier conversation and hold of the same contact.
    pub talk: Span,
    pub hold: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum Phase {
    Talking,
    Held,
    WrapUp { until: Option<Tick> },
}

impl Work {
    pub fn is_served(&self) -> bool {
        match self.phase {
            Phase::Talking | Phase::Held => true,
            Phase::WrapUp { .. } => false,
        }
    }

    /// Talk and hold up to `now`.
    pub fn times(&self, now: Tick) -> (Span, Span) {
        match self.phase {
            Phase::Talking => (self.talk + (now - self.since), self.hold),
            Phase::Held => (self.talk, self.hold + (now - self.since)),
            Phase::WrapUp { .. } => (self.talk, self.hold),
        }
    }
}

impl Agent {
    pub fn new(config: AgentConfig, at: Tick) -> Self {
        Self {
            config,
            loans: Box::default(),
            came: false,
            logged_in: false,
            leaving: false,
            not_ready: None,
            rest_until: None,
            offer: None,
            work: Box::default(),
            worked_at: at,
            ready_at: at,
            taken: 0,
            talked: Span::ZERO,
            worked: Span::ZERO,
            present: Span::ZERO,
            measured_at: at,
            missed: 0,
            offered: 0,
            kind: AgentKind::LoggedOut,
            since: at,
        }
    }

    /// At work and not on break: somebody who serves the queues, now or after the work in hand.
    pub fn serves(&self) -> bool {
        self.logged_in && !self.leaving && self.not_ready.is_none()
    }

    /// The same, and a member of that queue whom no other one keeps from it.
    pub fn serves_in(&self, queue: QueueId) -> bool {
        self.serves() && self.membership(queue).is_some() && self.kept_by(queue).is_none()
    }

    /// Memberships that hold now.
    pub fn memberships(&self) -> impl Iterator<Item = &Membership> {
        self.config.queues.iter().filter(|membership| self.kept_by(membership.queue).is_none())
    }

    /// Whether a contact of `channel` may be offered now. One offer rings at a time, from whichever queue.
    pub fn can_take(&self, channel: Channel) -> bool {
        self.serves() && self.rest_until.is_none() && self.offer.is_none() && self.has_room(channel)
    }

    /// Whether the work in hand leaves capacity for `channel`.
    pub fn has_room(&self, channel: Channel) -> bool {
        let capacity = |channel| self.config.capacity.iter().find(|capacity| capacity.channel == channel);
        let Some(wanted) = capacity(channel) else { return false };
        let load = self.work.iter().filter(|work| work.channel == channel).count();
        let blocked = || {
            let others = self.work.iter().filter(|work| work.channel != channel);
            others.into_iter().any(|work| capacity(work.channel).is_some_and(|capacity| capacity.alone))
        };
        load < wanted.at_once as usize && !blocked()
    }

    pub fn membership(&self, queue: QueueId) -> Option<&Membership> {
        self.config.queues.iter().find(|membership| membership.queue == queue)
    }

    /// Lets go of other work.
    pub fn keep_work(&mut self, keep: impl Fn(&Work) -> bool) {
        self.work = self.work.iter().copied().filter(keep).collect();
    }

    pub fn work_on(&mut self, contact: ContactId) -> Option<&mut Work> {
        self.work.iter_mut().find(|work| work.contact == contact && work.is_served())
    }

    /// The state that all of this amounts to.
    pub fn kind_now(&self) -> AgentKind {
        if !self.logged_in {
            AgentKind::LoggedOut
        } else if self.work.iter().any(Work::is_served) {
            AgentKind::Busy
        } else if self.offer.is_some() {
            AgentKind::Offered
        } else if !self.work.is_empty() {
            AgentKind::WrapUp
        } else if self.not_ready.is_some() {
            AgentKind::NotReady
        } else {
            AgentKind::Available
        }
    }

    /// When the occupancy that counts was taken.
    pub fn measured(&self) -> Tick {
        self.measured_at.max(self.since)
    }

    /// Counts the state that ends now; comes before `kind` and `since` change.
    pub fn count_state(&mut self, at: Tick) {
        let lasted = at - self.since;
        match self.kind {
            AgentKind::LoggedOut => {}
            AgentKind::Busy | AgentKind::WrapUp => {
                self.present += lasted;
                self.worked += lasted;
            }
            AgentKind::Available | AgentKind::Offered | AgentKind::NotReady => self.present += lasted,
        }
    }

    /// The part of the shift that the agent was busy, in millionths, as last measured.
    fn occupancy(&self) -> u64 {
        let lasts = self.measured() - self.since;
        let working = matches!(self.kind, AgentKind::Busy | AgentKind::WrapUp);
        let worked = u128::from((self.worked + if working { lasts } else { Span::ZERO }).as_us());
        let present = u128::from((self.present + lasts).as_us());
        (worked * 1_000_000).checked_div(present).map_or(0, |part| part as u64)
    }

    /// The strategy's key among the idle of a lane: smaller first. The circular strategies look for the next one after a point.
    pub fn idle_key(&self, seed: u64, queue: &Queue, membership: &Membership, needs: &[Need]) -> IdleKey {
        let idle_since =
            if queue.config.break_resets_idle { self.worked_at.max(self.ready_at) } else { self.worked_at };
        let (major, minor) = match queue.config.strategy {
            Strategy::RingAll
            | Strategy::Linear
            | Strategy::RoundRobin
            | Strategy::TopDown
            | Strategy::RingProgressively => (u64::from(membership.position), 0),
            Strategy::LongestIdle => (idle_since.as_us(), 0),
            Strategy::FewestCalls => (u64::from(self.taken), idle_since.as_us()),
            Strategy::LeastTalk => (self.talked.as_us(), idle_since.as_us()),
            Strategy::LeastOccupied => (self.occupancy(), idle_since.as_us()),
            Strategy::SkillsBest => (MAJOR_MAX - self.config.fitness(needs), idle_since.as_us()),
            Strategy::Random => (draw(seed, self.config.id.0, self.offered.into()) & MAJOR_MAX, 0),
            Strategy::WeightedRandom => {
                (u64::from(membership.weight), draw(seed, self.config.id.0, self.offered.into()))
            }
        };
        IdleKey { level: membership.level, major, minor, agent: self.config.id }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Contact {
    pub id: ContactId,
    pub visit: VisitId,
    pub queue: QueueId,
    pub channel: Channel,
    pub priority: i32,
    pub entered_at: Tick,
    pub place_at: Tick,
    /// What it asks for itself.
    pub needs: Vec<Need>,
    /// What it must find in its queue, by time; empty when that is nothing from the beginning.
    pub stages: Vec<Stage>,
    /// Whether its customer is there.
    pub reach: Reach,
    /// Nobody was free for it when it could be offered.
    pub delayed: bool,
    /// When it could be offered first.
    pub ready_at: Tick,
    /// Forecasts of its wait that are not scored yet.
    pub told: Notes,
    pub place: Place,
}

/// Whether a contact's customer is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum Reach {
    /// Yes.
    There,
    /// Whoever takes the contact has to reach the customer.
    Away,
    /// An agent took it then, and is about it.
    TakenAt(Tick),
}

/// The one place where a contact is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum Place {
    Waiting {
        /// Tier waits that are over.
        step: u8,
        /// Rings that are open beyond the first one.
        ring: u8,
        /// Handed back because it waited too long.
        too_long: bool,
        /// Open offers.
        offers: Vec<OfferId>,
        /// The tier that rings.
        ring_level: u8,
        /// Position and id of the agent whom it was offered to last.
        last_tried: Option<(u32, AgentId)>,
        /// When one more agent may ring.
        widens_at: Option<Tick>,
        /// One more agent may ring, although some do.
        wants_more: bool,
        /// Nobody is offered it until then, unless it is said sooner to whom.
        asks: Option<Box<Tick>>,
        /// The only agent who may take it, until then.
        prefers: Option<Box<(AgentId, Tick)>>,
    },
    Served {
        agent: AgentId,
    },
}

impl Contact {
    pub fn line_key(&self, queue: &Queue) -> LineKey {
        let (place_at, priority) = (self.place_at, i64::from(self.priority));
        let rank = match queue.config.order {
            Order::Strict => priority,
            // Between two contacts the wait counts by the difference of their places alone, which never changes.
            Order::Score { points_per_s } => {
                let place = i64::try_from(place_at.as_us()).unwrap_or(i64::MAX);
                (priority * 1_000_000).saturating_sub(place.saturating_mul(i64::from(points_per_s)))
            }
        };
        LineKey { rank: core::cmp::Reverse(rank), place_at, entered_at: self.entered_at, contact: self.id }
    }

    /// What it must find in its queue now.
    pub fn profile(&self) -> ProfileId {
        let Place::Waiting { ring, .. } = &self.place else { return ProfileId::default() };
        self.stages.get(usize::from(*ring)).map(|stage| stage.profile).unwrap_or_default()
    }

    /// What it had to find when it came.
    pub fn first_profile(&self) -> ProfileId {
        self.stages.first().map(|stage| stage.profile).unwrap_or_default()
    }

    /// Waits for an offer: none is open, or one more is due.
    pub fn wants_offer(&self) -> bool {
        match &self.place {
            Place::Waiting { offers, wants_more, .. } => offers.is_empty() || *wants_more,
            Place::Served { .. } => false,
        }
    }

    /// Position and id of the agent whom it was offered to last.
    pub fn last_tried(&self) -> Option<(u32, AgentId)> {
        match self.place {
            Place::Waiting { last_tried, .. } => last_tried,
            Place::Served { .. } => None,
        }
    }

    /// Until when an integrator is asked about it.
    pub fn asks(&self) -> Option<Tick> {
        match self.place {
            Place::Waiting { ref asks, .. } => asks.as_deref().copied(),
            Place::Served { .. } => None,
        }
    }

    /// The only agent who may take it now, and until when.
    pub fn prefers(&self) -> Option<(AgentId, Tick)> {
        match &self.place {
            Place::Waiting { prefers, .. } => prefers.as_deref().copied(),
            Place::Served { .. } => None,
        }
    }

    /// The visit goes on: it waits, or an agent has taken it and its customer is not there yet.
    pub fn is_open(&self) -> bool {
        self.is_waiting() || matches!(self.reach, Reach::TakenAt(_))
    }

    pub fn is_waiting(&self) -> bool {
        matches!(self.place, Place::Waiting { .. })
    }

    pub fn open_offers(&self) -> &[OfferId] {
        match &self.place {
            Place::Waiting { offers, .. } => offers,
            Place::Served { .. } => &[],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Offer {
    pub contact: ContactId,
    pub agent: AgentId,
    pub queue: QueueId,
    pub deadline: Tick,
}

/// The order of contacts within a queue: rank (priority, or score), place, enter time, contact id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LineKey {
    pub rank: core::cmp::Reverse<i64>,
    pub place_at: Tick,
    pub entered_at: Tick,
    pub contact: ContactId,
}

/// The largest key of a strategy: in microseconds more than two thousand years.
pub(crate) const MAJOR_MAX: u64 = (1 << 56) - 1;

/// The order of idle agents within a queue: tier level, the strategy's key, agent id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdleKey {
    /// The tier level.
    pub level: u8,
    /// The strategy's own key, at most [`MAJOR_MAX`].
    pub major: u64,
    /// What decides between equal keys of the strategy.
    pub minor: u64,
    /// What decides last.
    pub agent: AgentId,
}

/// A draw that is the same on every machine: 64 bits from three numbers (the finaliser of SplitMix64, twice).
pub(crate) const fn draw(seed: u64, subject: u64, count: u64) -> u64 {
    const fn mix(mut z: u64) -> u64 {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    mix(mix(mix(seed) ^ subject) ^ count)
}
