//! What a floor is to be: trades, agents, how people behave, and when contacts arrive.

use std::collections::BTreeMap;

use offhook_acd::{AgentConfig, Lending, Need, QueueConfig, Ring, Strategy, WrapUp};
use offhook_units::{AgentId, QueueId, SkillId, Span, Tick};

use super::Stream;
use super::arrivals::{Arrival, Known, Patience, Talk};
use super::chance::{below, draw, exponential, log_normal};

/// How long an interval of the day is; within one the arrivals are Poisson.
const INTERVAL: Span = Span::from_s(1_800);
/// How busy each half hour of a day is, against the mean of 100: a quiet night, a peak before noon, another in the afternoon.
const CURVE: [u64; 48] = [
    92, 92, 91, 91, 90, 90, 90, 90, 91, 91, 92, 93, 94, 96, 98, 100, 103, 106, 109, 111, 112, 112, 111, 110, 108, 106,
    105, 105, 106, 107, 108, 108, 108, 107, 106, 105, 103, 102, 100, 99, 98, 97, 96, 95, 94, 93, 93, 92,
];
/// A working day.
const SHIFT: Span = Span::from_s(8 * 3_600);
/// Skills that some contacts need, and most agents have in part: the first one has the number 1.
const LANGUAGES: [&str; 4] = ["english", "french", "german", "spanish"];

/// How long a conversation lasts.
#[derive(Debug, Clone, Copy)]
pub enum Handling {
    /// Exponential, with this mean.
    Exponential(Span),
    /// Log-normal, with this median and this deviation of its logarithm (base 2) in parts of 1,000.
    LogNormal {
        /// Half of all last longer.
        median: Span,
        /// 500 is half an octave.
        sigma_per_mille: u64,
    },
}

impl Handling {
    fn length(self, draw: u64) -> Span {
        match self {
            Self::Exponential(mean) => exponential(draw, mean),
            Self::LogNormal { median, sigma_per_mille } => log_normal(draw, median, sigma_per_mille),
        }
    }
}

/// One queue, and the people who call it.
#[derive(Debug, Clone)]
pub struct Trade {
    /// The queue.
    pub config: QueueConfig,
    /// Its part of all contacts, against the sum of the parts.
    pub share: u64,
    /// How long its conversations last.
    pub talk: Handling,
    /// How long customers wait on the mean, exponential; none waits for ever.
    pub patience: Option<Span>,
    /// A third of its customers asks for a language.
    pub speaks: bool,
    /// In parts of 1,000: customers who go before the others.
    pub urgent_per_mille: u64,
}

impl Trade {
    fn needs_of(&self, draw: u64) -> Vec<Need> {
        if !self.speaks || !draw.is_multiple_of(3) {
            return Vec::new();
        }
        let skill = SkillId(1 + (draw / 3) % LANGUAGES.len() as u64);
        vec![Need { skill, level: 1 + (draw / 30 % 2) as u8, weight: 1 }]
    }
}

/// How agents behave. Parts of 1,000 are of the offers that they receive.
#[derive(Debug, Clone, Copy)]
pub struct Humans {
    /// An offer is answered after a time between these two; at once where both are zero.
    pub answers: (Span, Span),
    /// Says no.
    pub declines_per_mille: u64,
    /// Lets it ring out.
    pub overlooks_per_mille: u64,
    /// The phone has crashed.
    pub phone_fails_per_mille: u64,
    /// One conversation in four is put on hold for a while.
    pub holds: bool,
    /// Mean time between breaks, exponential.
    pub break_every: Option<Span>,
    /// How long a break is.
    pub break_lasts: Span,
    /// How long a shift is; none stays all day.
    pub shift: Option<Span>,
    /// Mean time until an agent says that wrap-up is done, exponential, in queues that wait for that.
    pub wrap_up: Span,
}

impl Humans {
    /// Machines: they answer at once, always.
    pub const PERFECT: Self = Self {
        answers: (Span::ZERO, Span::ZERO),
        declines_per_mille: 0,
        overlooks_per_mille: 0,
        phone_fails_per_mille: 0,
        holds: false,
        break_every: None,
        break_lasts: Span::ZERO,
        shift: None,
        wrap_up: Span::ZERO,
    };

    /// People.
    pub const USUAL: Self = Self {
        answers: (Span::from_s(1), Span::from_s(5)),
        declines_per_mille: 10,
        overlooks_per_mille: 10,
        phone_fails_per_mille: 5,
        holds: true,
        break_every: Some(Span::from_s(2 * 3_600)),
        break_lasts: Span::from_s(600),
        shift: Some(SHIFT),
        wrap_up: Span::from_s(20),
    };
}

/// A contact as it comes, before anybody has seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub queue: QueueId,
    pub needs: Vec<Need>,
    pub priority: i32,
    pub patience: Option<Span>,
    pub talk: Span,
}

/// A day to be simulated.
#[derive(Debug, Clone)]
pub struct FloorPlan {
    /// Decides about all chance, the distributor's included.
    pub seed: u64,
    /// When it begins.
    pub begins: Tick,
    /// How long it lasts.
    pub lasts: Span,
    /// So many contacts arrive.
    pub contacts: u64,
    /// Whether arrivals follow the curve of a day; otherwise they are spread evenly.
    pub waves: bool,
    /// Contacts that are known beforehand, instead of those two.
    pub known: Option<Known>,
    /// Queues.
    pub trades: Vec<Trade>,
    /// What skills are called.
    pub skills: BTreeMap<String, SkillId>,
    /// Agents.
    pub agents: Vec<AgentConfig>,
    /// On which terms queues lend their agents.
    pub lending: Vec<(QueueId, Lending)>,
    /// Agents on loan: who, to which queue, by which.
    pub loans: Vec<(AgentId, QueueId, QueueId)>,
    /// How they behave.
    pub humans: Humans,
}

impl FloorPlan {
    /// A centre of four queues with different strategies, staffed so that most contacts are answered unless the number of `agents` is given.
    pub fn usual(seed: u64, hours: u64, contacts: u64, agents: Option<u64>) -> Self {
        let lasts = Span::from_s(hours.clamp(1, 24 * 366) * 3_600);
        let trades = vec![
            trade(1, "sales", Strategy::LongestIdle, 40, 150),
            trade(2, "support", Strategy::SkillsBest, 30, 200),
            trade(3, "billing", Strategy::LeastOccupied, 20, 160),
            trade(4, "claims", Strategy::RoundRobin, 10, 240),
        ];
        let humans = Humans::USUAL;
        let agents = agents.unwrap_or_else(|| staffing(contacts, lasts, humans));
        let agents = (0..agents).map(agent).collect();
        let begins = Tick::from_us(1_700_006_400_000_000);
        let skills = LANGUAGES.iter().zip(1..).map(|(name, id)| ((*name).to_owned(), SkillId(id))).collect();
        let (known, lending, loans) = Default::default();
        Self { seed, begins, lasts, contacts, waves: true, known, trades, skills, agents, lending, loans, humans }
    }

    /// The same plan with other agents: fewer are drawn from those there are, the same ones for each seed and each smaller number among them; more
    /// are the same people over again. Agents on loan are so again.
    #[must_use]
    pub fn staffed(mut self, agents: u64) -> Self {
        let there = core::mem::take(&mut self.agents);
        if there.is_empty() {
            return self;
        }
        let mut order: Vec<&AgentConfig> = there.iter().collect();
        order.sort_by_key(|agent| draw(0, Stream::Staff as u64, agent.id.0));
        let next_id = there.iter().map(|agent| agent.id.0).max().unwrap_or(0) + 1;
        let loans = core::mem::take(&mut self.loans);
        for n in 0..agents {
            let (turn, original) = (n / there.len() as u64, order[n as usize % there.len()]);
            let mut agent = original.clone();
            if turn > 0 {
                agent.id = AgentId(next_id + n);
                agent.name = format!("{} ({})", agent.name, turn + 1);
            }
            let lent = loans.iter().filter(|(lent, ..)| *lent == original.id);
            self.loans.extend(lent.map(|(_, queue, by)| (agent.id, *queue, *by)));
            self.agents.push(agent);
        }
        self.agents.sort_by_key(|agent| agent.id);
        self
    }

    /// One queue as Erlang drew it up: Poisson arrivals, exponential conversations, agents who are machines; patience for Erlang A.
    pub fn erlang(seed: u64, hours: u64, per_hour: u64, aht: Span, agents: u64, patience: Option<Span>) -> Self {
        let mut config = QueueConfig::new(QueueId(1), "erlang");
        config.wrap_up = WrapUp::For(Span::ZERO);
        let talk = Handling::Exponential(aht);
        let trades = vec![Trade { config, share: 1, talk, patience, speaks: false, urgent_per_mille: 0 }];
        let agent = |n| AgentConfig::new(AgentId(n), format!("agent {n}")).in_queue(QueueId(1), 1, n as u32);
        Self {
            seed,
            begins: Tick::from_us(1_700_006_400_000_000),
            lasts: Span::from_s(hours * 3_600),
            contacts: hours * per_hour,
            waves: false,
            known: None,
            trades,
            skills: BTreeMap::new(),
            agents: (1..=agents).map(agent).collect(),
            lending: Vec::new(),
            loans: Vec::new(),
            humans: Humans::PERFECT,
        }
    }

    /// The contact of that number, from 1: `arrival` says what is known of it beforehand. All of it comes from the seed and the number, whatever
    /// became of the contacts before. None without queues.
    pub(super) fn caller(&self, number: u64, arrival: Option<&Arrival>) -> Option<Caller> {
        let chance = |stream: Stream, number: u64| draw(self.seed, stream as u64, number);
        let trade = match arrival {
            Some(arrival) => self.trades.iter().find(|trade| trade.config.id == arrival.queue)?,
            None => self.trade_of(chance(Stream::Trade, number))?,
        };
        let usual = |mean: Option<Span>| mean.map(|mean| exponential(chance(Stream::Patience, number), mean));
        let patience = match arrival.map_or(Patience::Usual, |arrival| arrival.patience) {
            Patience::Usual => usual(trade.patience),
            Patience::Exactly(patience) => Some(patience),
            // An exponential patience forgets how long it has lasted.
            Patience::Beyond(waited) => usual(trade.patience).map(|more| waited + more),
        };
        let talk = match arrival.map_or(Talk::Usual, |arrival| arrival.talk) {
            Talk::Usual => trade.talk.length(chance(Stream::Talk, number)),
            Talk::Exactly(talk) => talk,
            Talk::Mean(mean) => exponential(chance(Stream::Talk, number), mean),
        };
        let needs = arrival.and_then(|arrival| arrival.needs.clone());
        let needs = needs.unwrap_or_else(|| trade.needs_of(chance(Stream::Need, number)));
        let urgent = || i32::from(below(chance(Stream::Need, !number), 1_000) < trade.urgent_per_mille);
        let priority = arrival.and_then(|arrival| arrival.priority).unwrap_or_else(urgent);
        Some(Caller { queue: trade.config.id, needs, priority, patience, talk })
    }

    fn trade_of(&self, draw: u64) -> Option<&Trade> {
        let mut left = below(draw, self.trades.iter().map(|trade| trade.share).sum());
        self.trades.iter().find(|trade| {
            let here = left < trade.share;
            left = left.saturating_sub(trade.share);
            here
        })
    }

    /// When the shift of the agent of that number begins: the floor is manned by as many shifts in turn as the day needs.
    pub(super) fn shift_begins(&self, at: usize) -> Span {
        self.humans.shift.map_or(Span::ZERO, |shift| shift * (at as u64 % shifts(self.lasts, shift)))
    }

    /// Latest first. Given their number, Poisson arrivals fall independently of each other.
    pub(super) fn arrivals(&self) -> Vec<Tick> {
        let intervals = self.lasts.as_us().div_ceil(INTERVAL.as_us()).max(1);
        let weight = |interval: u64| if self.waves { CURVE[interval as usize % CURVE.len()] } else { 1 };
        // An interval is drawn by its weight, the last one by the part of it that lies within the day.
        let mut bounds = Vec::with_capacity(intervals as usize);
        let mut total = 0;
        for interval in 0..intervals {
            let lasts = INTERVAL.min(self.lasts.saturating_sub(INTERVAL * interval));
            total += weight(interval) * lasts.as_ms();
            bounds.push(total);
        }
        let mut times: Vec<Tick> = (0..self.contacts)
            .map(|number| {
                let point = below(draw(self.seed, Stream::Interval as u64, number), total.max(1));
                let interval = bounds.partition_point(|bound| *bound <= point) as u64;
                let lasts = INTERVAL.min(self.lasts.saturating_sub(INTERVAL * interval));
                let within = below(draw(self.seed, Stream::Arrival as u64, number), lasts.as_us());
                self.begins + INTERVAL * interval + Span::from_us(within)
            })
            .collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        times
    }
}

fn shifts(lasts: Span, shift: Span) -> u64 {
    lasts.as_us().div_ceil(shift.as_us().max(1)).max(1)
}

fn trade(id: u64, name: &str, strategy: Strategy, share: u64, talk_s: u64) -> Trade {
    let mut config = QueueConfig::new(QueueId(id), name);
    config.strategy = strategy;
    config.wrap_up = WrapUp::For(Span::from_s(20));
    config.no_agents.join = true;
    config.max_wait = Some(Span::from_s(1_200));
    // Whoever needs a language waits for it for 30 s, then speaks with anybody.
    let drops = (1..=LANGUAGES.len() as u64).map(SkillId).collect();
    config.rings = vec![Ring { after: Span::from_s(30), drops }];
    config.tier_waits = vec![Span::ZERO, Span::from_s(15)];
    let talk = if id.is_multiple_of(2) {
        Handling::LogNormal { median: Span::from_s(talk_s), sigma_per_mille: 800 }
    } else {
        Handling::Exponential(Span::from_s(talk_s))
    };
    let (patience, speaks) = (Some(Span::from_s(300)), strategy == Strategy::SkillsBest);
    Trade { config, share, talk, patience, speaks, urgent_per_mille: 100 }
}

/// Two queues at home, a third as a reserve; two languages in different degrees.
fn agent(n: u64) -> AgentConfig {
    let home = 1 + [0, 0, 1, 0, 1, 2, 0, 1, 2, 3][n as usize % 10];
    let mut config = AgentConfig::new(AgentId(n + 1), format!("agent {}", n + 1));
    config.max_missed = 3;
    for (turn, level) in [(0, 1), (1, 1), (2, 2)] {
        config = config.in_queue(QueueId(1 + (home - 1 + turn) % 4), level, n as u32);
    }
    let language = |n: u64| SkillId(1 + n % LANGUAGES.len() as u64);
    config.with_skill(language(n), 1 + (n / 4 % 3) as u8).with_skill(language(n + 1), 1)
}

/// Agents on the floor for the load with a tenth to spare, a peak of 112 % and their breaks, times the shifts that take turns.
fn staffing(contacts: u64, lasts: Span, humans: Humans) -> u64 {
    // Conversation, wrap-up and ringing of the trades above, on the mean.
    const HANDLING_S: u64 = 225;
    let load = (contacts * HANDLING_S).div_ceil(lasts.as_us() / 1_000_000);
    let at_once = load * 130 / 100 + 2 * load.isqrt() + 6;
    at_once * humans.shift.map_or(1, |shift| shifts(lasts, shift))
}
