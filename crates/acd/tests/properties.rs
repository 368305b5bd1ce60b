//! Sequences of commands and passing time that nobody thought of, with shrinking: whatever happens, the state is sound, the log leads to it, and so does
//! a snapshot. `SEEDS=5000` tries more of them, `SEED=17` others.

use std::collections::BTreeMap;

use offhook_acd::{
    Acd, AgentConfig, Capacity, Channel, Command, Effect, Event, FlowOut, Left, Lending, Need, NoAgents, OfferEnd,
    Order, Output, Preferred, QueueConfig, Refusal, Ring, Strategy as Routing, WrapUp,
};
use offhook_units::{AgentId, ContactId, OfferId, QueueId, SkillId, Span, Tick, VisitId};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{RngSeed, TestCaseError};

const QUEUES: u64 = 3;
const AGENTS: u64 = 4;
const SKILLS: u64 = 2;
/// Sequences tried where nothing is said: about 4 s.
const CASES: u32 = 300;
const STEPS: usize = 80;

/// One thing that happens. An [`Index`] is of what there is then: an offer, a contact.
#[derive(Debug, Clone)]
enum Step {
    Pass(u32),
    UntilDue,
    Enter {
        queue: u64,
        priority: i32,
        skill: Option<(u64, u8)>,
        chat: bool,
        prefers: Option<(u64, u64)>,
        older_by: u64,
    },
    Accept(Index),
    Decline(Index),
    NoAnswer(Index),
    Leave(Index, bool),
    Finish(Index),
    Hold(Index, bool),
    Requeue(Index, u64),
    Give(Index, u64),
    Direct(Index, Option<u64>),
    MustReach(Index),
    Reached(Index),
    Forecast(Index),
    LogIn(u64),
    LogOut(u64),
    Break(u64),
    Ready(u64),
    WrapUpDone(u64),
    Queue(QueueSettings),
    External(u64, Option<u64>),
    Lending(u64, Option<u32>),
    Lend(u64, u64, Option<u64>),
    Snapshot,
}

#[derive(Debug, Clone)]
struct QueueSettings {
    queue: u64,
    strategy: Routing,
    wrap_up: Option<u64>,
    max_waiting: Option<u32>,
    max_wait: Option<u64>,
    join: bool,
    leave_after: Option<u64>,
    tier_wait: Option<u64>,
    points_per_s: Option<u16>,
    ring: Option<u64>,
}

#[derive(Debug, Clone)]
struct AgentSettings {
    queues: Vec<(u64, u8)>,
    skills: Vec<u8>,
    chats: u32,
    max_missed: u32,
}

fn queue_settings() -> impl Strategy<Value = QueueSettings> {
    let seconds = |most| prop::option::of(0..=most);
    let limits = (prop::option::of(1..4_u32), prop::option::of(1..60_u64), any::<bool>(), seconds(15_u64));
    let opens = (seconds(20_u64), prop::option::of(1..5_u16), seconds(20_u64));
    (1..=QUEUES, select(&Routing::ALL[..]), seconds(15_u64), limits, opens).prop_map(
        |(queue, strategy, wrap_up, (max_waiting, max_wait, join, leave_after), (tier_wait, points_per_s, ring))| {
            QueueSettings {
                queue,
                strategy,
                wrap_up,
                max_waiting,
                max_wait,
                join,
                leave_after,
                tier_wait,
                points_per_s,
                ring,
            }
        },
    )
}

fn agent_settings() -> impl Strategy<Value = AgentSettings> {
    let queues = prop::collection::btree_map(1..=QUEUES, 1..=3_u8, 1..=QUEUES as usize);
    let skills = prop::collection::vec(0..3_u8, SKILLS as usize);
    (queues, skills, 0..3_u32, 0..3_u32).prop_map(|(queues, skills, chats, max_missed)| AgentSettings {
        queues: queues.into_iter().collect(),
        skills,
        chats,
        max_missed,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let (index, agent, queue) = (any::<Index>, 1..=AGENTS, 1..=QUEUES);
    let skill = prop::option::weighted(0.3, (1..=SKILLS, 0..3_u8));
    let prefers = prop::option::of((1..=AGENTS, 0..20_u64));
    let enter = (queue.clone(), -1..2_i32, skill, any::<bool>(), prefers, 0..60_u64).prop_map(
        |(queue, priority, skill, chat, prefers, older_by)| Step::Enter {
            queue,
            priority,
            skill,
            chat,
            prefers,
            older_by,
        },
    );
    prop_oneof![
        10 => (0..8_000_u32).prop_map(Step::Pass),
        10 => Just(Step::UntilDue),
        20 => enter,
        26 => index().prop_map(Step::Accept),
        3 => index().prop_map(Step::Decline),
        3 => index().prop_map(Step::NoAnswer),
        5 => (index(), any::<bool>()).prop_map(|(contact, abandons)| Step::Leave(contact, abandons)),
        10 => index().prop_map(Step::Finish),
        5 => (index(), any::<bool>()).prop_map(|(contact, on)| Step::Hold(contact, on)),
        3 => (index(), queue.clone()).prop_map(|(contact, queue)| Step::Requeue(contact, queue)),
        2 => (index(), agent.clone()).prop_map(|(contact, agent)| Step::Give(contact, agent)),
        2 => (index(), prop::option::of(agent.clone())).prop_map(|(contact, agent)| Step::Direct(contact, agent)),
        2 => index().prop_map(Step::MustReach),
        2 => index().prop_map(Step::Reached),
        2 => index().prop_map(Step::Forecast),
        5 => agent.clone().prop_map(Step::LogIn),
        2 => agent.clone().prop_map(Step::LogOut),
        3 => agent.clone().prop_map(Step::Break),
        4 => agent.clone().prop_map(Step::Ready),
        3 => agent.clone().prop_map(Step::WrapUpDone),
        2 => queue_settings().prop_map(Step::Queue),
        1 => (queue.clone(), prop::option::of(1..10_u64)).prop_map(|(queue, within)| Step::External(queue, within)),
        1 => (queue.clone(), prop::option::of(1..10_000_u32)).prop_map(|(queue, target)| Step::Lending(queue, target)),
        1 => (agent, queue.clone(), prop::option::of(queue)).prop_map(|(agent, queue, by)| Step::Lend(agent, queue, by)),
        2 => Just(Step::Snapshot),
    ]
}

fn config_of(settings: &QueueSettings) -> QueueConfig {
    let mut config = QueueConfig::new(QueueId(settings.queue), format!("queue {}", settings.queue));
    config.strategy = settings.strategy;
    config.wrap_up = settings.wrap_up.map_or(WrapUp::UntilDone, |lasts| WrapUp::For(Span::from_s(lasts)));
    config.max_waiting = settings.max_waiting;
    config.max_wait = settings.max_wait.map(Span::from_s);
    config.no_agents = NoAgents { join: settings.join, leave_after: settings.leave_after.map(Span::from_s) };
    config.tier_waits = settings.tier_wait.map(|wait| vec![Span::ZERO, Span::from_s(wait)]).unwrap_or_default();
    config.order = settings.points_per_s.map_or(Order::Strict, |points_per_s| Order::Score { points_per_s });
    let ring = settings.ring.map(|after| Ring { after: Span::from_s(after), drops: vec![SkillId(1)] });
    config.rings = ring.into_iter().collect();
    config
}

fn agent_of(id: u64, settings: &AgentSettings) -> AgentConfig {
    let mut config = AgentConfig::new(AgentId(id), format!("agent {id}"));
    for (queue, level) in &settings.queues {
        config = config.in_queue(QueueId(*queue), *level, id as u32);
    }
    for (skill, level) in (1..).zip(&settings.skills) {
        config = config.with_skill(SkillId(skill), *level);
    }
    if settings.chats > 0 {
        config.capacity.push(Capacity { channel: Channel::Chat, at_once: settings.chats, alone: false });
    }
    config.max_missed = settings.max_missed;
    config
}

/// What the outside knows: it follows events alone.
#[derive(Debug, Default)]
struct Ledger {
    offers: BTreeMap<OfferId, (ContactId, AgentId)>,
    /// Contacts alive, and the visit that is open, if one is.
    contacts: BTreeMap<ContactId, Option<VisitId>>,
    away: BTreeMap<ContactId, VisitId>,
    entered: u64,
    ended: u64,
    effects: usize,
}

impl Ledger {
    fn follow(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match *event {
            Event::Entered { contact, visit, .. } => {
                self.entered += 1;
                prop_assert!(self.contacts.insert(contact, Some(visit)).is_none_or(|open| open.is_none()));
            }
            Event::Offered { offer, contact, agent, .. } => {
                prop_assert!(self.contacts.get(&contact).is_some_and(Option::is_some), "only who waits is offered");
                prop_assert!(self.offers.values().all(|(_, other)| *other != agent), "{agent} has one offer at a time");
                prop_assert!(self.offers.insert(offer, (contact, agent)).is_none(), "{offer} is made once");
            }
            Event::OfferEnded { offer, .. } => prop_assert!(self.offers.remove(&offer).is_some(), "{offer} was open"),
            Event::MustReach { contact } => {
                let visit = self.contacts.get(&contact).copied().flatten();
                self.away.extend(visit.map(|visit| (contact, visit)));
            }
            Event::Accepted { offer, contact, visit, .. } => {
                prop_assert!(self.offers.remove(&offer).is_some(), "{offer} was open");
                if !self.away.contains_key(&contact) {
                    self.end(contact, visit)?;
                }
            }
            Event::Reached { contact, visit, .. } | Event::Unreached { contact, visit, .. } => {
                prop_assert_eq!(self.away.remove(&contact), Some(visit));
                self.end(contact, visit)?;
            }
            Event::Left { contact, visit, .. } => {
                self.away.remove(&contact);
                self.end(contact, visit)?;
                self.contacts.remove(&contact);
            }
            Event::Finished { contact, .. } => {
                prop_assert_eq!(self.contacts.remove(&contact), Some(None), "{} is over once", contact);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, contact: ContactId, visit: VisitId) -> Result<(), TestCaseError> {
        self.ended += 1;
        let open = self.contacts.insert(contact, None);
        prop_assert_eq!(open, Some(Some(visit)), "a visit has one outcome");
        Ok(())
    }
}

/// A floor, one that follows its log, and, after the first snapshot, one that went on from there and is told the same.
struct World {
    now: Tick,
    acd: Acd,
    shadow: Acd,
    twin: Option<Acd>,
    ledger: Ledger,
    log: Vec<(Tick, Event)>,
    next_id: u64,
}

impl World {
    fn new(queues: &[QueueSettings], agents: &[AgentSettings]) -> Result<Self, TestCaseError> {
        let mut world = Self {
            now: Tick::from_us(1_700_000_000_000_000),
            acd: Acd::new(9),
            shadow: Acd::new(9),
            twin: None,
            ledger: Ledger::default(),
            log: Vec::new(),
            next_id: 0,
        };
        for (id, settings) in (1..).zip(queues) {
            world.tell(Command::AddQueue(config_of(&QueueSettings { queue: id, ..settings.clone() })))?;
        }
        for (id, settings) in (1..).zip(agents) {
            world.tell(Command::AddAgent(agent_of(id, settings)))?;
            world.tell(Command::LogIn { agent: AgentId(id) })?;
        }
        Ok(world)
    }

    fn contact(&self, index: Index) -> Option<ContactId> {
        let all: Vec<_> = self.ledger.contacts.keys().copied().collect();
        (!all.is_empty()).then(|| *index.get(&all))
    }

    fn offer(&self, index: Index) -> Option<OfferId> {
        let all: Vec<_> = self.ledger.offers.keys().copied().collect();
        (!all.is_empty()).then(|| *index.get(&all))
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let command = match step {
            Step::Pass(ms) => {
                self.now += Span::from_ms(u64::from(*ms));
                return self.time_passes();
            }
            Step::UntilDue => {
                if let Output::Wait { until: Some(until) } = self.acd.poll_output() {
                    self.now = self.now.max(until);
                }
                return self.time_passes();
            }
            Step::Snapshot => {
                self.twin.get_or_insert_with(|| Acd::restore(self.acd.snapshot()));
                None
            }
            Step::Enter { queue, priority, skill, chat, prefers, older_by } => {
                self.next_id += 1;
                Some(Command::Enter {
                    contact: ContactId(self.next_id),
                    visit: VisitId(self.next_id),
                    queue: QueueId(*queue),
                    channel: if *chat { Channel::Chat } else { Channel::Voice },
                    priority: *priority,
                    place_at: (*older_by > 30).then(|| self.now.before(Span::from_s(*older_by))),
                    needs: skill
                        .iter()
                        .map(|(id, level)| Need { skill: SkillId(*id), level: *level, weight: 1 })
                        .collect(),
                    prefers: prefers.map(|(id, wait)| Preferred { agent: AgentId(id), wait: Span::from_s(wait) }),
                })
            }
            Step::Accept(offer) => self.offer(*offer).map(|offer| Command::Accept { offer }),
            Step::Decline(offer) => self.offer(*offer).map(|offer| Command::Decline { offer }),
            Step::NoAnswer(offer) => self.offer(*offer).map(|offer| Command::NoAnswer { offer }),
            Step::Leave(contact, abandons) => {
                let outcome = if *abandons { Left::Abandoned } else { Left::FlowedOut(FlowOut::Overflow) };
                self.contact(*contact).map(|contact| Command::Leave { contact, outcome })
            }
            Step::Finish(contact) => self.contact(*contact).map(|contact| Command::Finish { contact }),
            Step::Hold(contact, on) => self.contact(*contact).map(|contact| Command::Hold { contact, on: *on }),
            Step::Requeue(contact, queue) => {
                self.next_id += 1;
                let (visit, queue) = (VisitId(self.next_id), QueueId(*queue));
                self.contact(*contact).map(|contact| Command::Requeue { contact, visit, queue, priority: 0 })
            }
            Step::Give(contact, agent) => {
                let to = Preferred { agent: AgentId(*agent), wait: Span::from_s(10) };
                self.contact(*contact).map(|contact| Command::Give { contact, to })
            }
            Step::Direct(contact, agent) => {
                let to = agent.map(|agent| Preferred { agent: AgentId(agent), wait: Span::from_s(10) });
                self.contact(*contact).map(|contact| Command::Direct { contact, to })
            }
            Step::MustReach(contact) => self.contact(*contact).map(|contact| Command::MustReach { contact }),
            Step::Reached(contact) => self.contact(*contact).map(|contact| Command::Reached { contact }),
            Step::Forecast(contact) => self.contact(*contact).map(|contact| Command::Forecast { contact }),
            Step::LogIn(agent) => Some(Command::LogIn { agent: AgentId(*agent) }),
            Step::LogOut(agent) => Some(Command::LogOut { agent: AgentId(*agent) }),
            Step::Break(agent) => Some(Command::SetNotReady { agent: AgentId(*agent), reason: "break".to_owned() }),
            Step::Ready(agent) => Some(Command::SetReady { agent: AgentId(*agent) }),
            Step::WrapUpDone(agent) => Some(Command::WrapUpDone { agent: AgentId(*agent) }),
            Step::Queue(settings) => Some(Command::AddQueue(config_of(settings))),
            Step::External(queue, within) => {
                Some(Command::SetExternal { queue: QueueId(*queue), within: within.map(Span::from_s) })
            }
            Step::Lending(queue, target) => {
                let terms = target.map(|target| Lending { target });
                Some(Command::SetLending { queue: QueueId(*queue), terms })
            }
            Step::Lend(agent, queue, by) => {
                Some(Command::Lend { agent: AgentId(*agent), queue: QueueId(*queue), by: by.map(QueueId) })
            }
        };
        match command {
            Some(command) => self.tell(command),
            None => Ok(()),
        }
    }

    fn tell(&mut self, command: Command) -> Result<(), TestCaseError> {
        self.time_passes()?;
        let before = self.acd.state_hash();
        let answer = self.acd.handle(self.now, command.clone());
        if let Some(twin) = &mut self.twin {
            prop_assert_eq!(&twin.handle(self.now, command), &answer, "a restored one answers the same");
        }
        if let Err(refusal) = answer {
            prop_assert_eq!(self.acd.state_hash(), before, "a refused command changes nothing: {}", &refusal);
            prop_assert!(!matches!(refusal, Refusal::UnknownOffer(_)), "only offers that were made are answered");
        }
        self.drain()
    }

    fn time_passes(&mut self) -> Result<(), TestCaseError> {
        self.acd.timeout(self.now);
        if let Some(twin) = &mut self.twin {
            twin.timeout(self.now);
        }
        self.drain()
    }

    /// Takes everything that came out, and holds it against all that is known.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        loop {
            let output = self.acd.poll_output();
            if let Some(twin) = &mut self.twin {
                prop_assert_eq!(&twin.poll_output(), &output, "a restored one does the same");
            }
            match output {
                Output::Event { at, event } => {
                    self.ledger.follow(&event)?;
                    self.shadow.replay_tail([(at, event.clone())]);
                    self.log.push((at, event));
                }
                Output::Effect(effect) => {
                    self.ledger.effects += 1;
                    if let Effect::Withdraw { why, .. } = effect {
                        prop_assert!(
                            !matches!(why, OfferEnd::Declined | OfferEnd::NoAnswer),
                            "the phone knows already"
                        );
                    }
                }
                Output::Wait { until } => {
                    prop_assert!(until.is_none_or(|until| until > self.now), "what is due has happened");
                    break;
                }
            }
        }
        prop_assert_eq!(self.acd.audit(), Vec::<String>::new());
        prop_assert_eq!(self.shadow.state_hash(), self.acd.state_hash(), "the log leads to the same state");
        let waiting: u64 = (1..=QUEUES).map(|queue| self.acd.figures_of_all_time(QueueId(queue)).waiting()).sum();
        prop_assert_eq!(self.ledger.entered - self.ledger.ended, waiting, "offered = ended + waiting");
        Ok(())
    }

    /// Everybody goes home: nothing may be left behind.
    fn close(mut self) -> Result<(), TestCaseError> {
        let contacts: Vec<_> = self.ledger.contacts.keys().copied().collect();
        for contact in contacts {
            let outcome = Left::FlowedOut(FlowOut::Lost);
            self.tell(Command::Leave { contact, outcome })?;
            self.tell(Command::Finish { contact })?;
        }
        prop_assert!(self.ledger.contacts.is_empty() && self.ledger.offers.is_empty(), "{:?}", self.ledger);
        prop_assert_eq!(self.ledger.entered, self.ledger.ended);
        let hash = self.acd.state_hash();
        if let Some(twin) = self.twin {
            prop_assert_eq!(twin.state_hash(), hash, "a snapshot with what came after it is the same");
        }
        prop_assert_eq!(Acd::replay(9, self.log).state_hash(), hash, "and so is the whole log");
        Ok(())
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: number("SEEDS").map_or(CASES, |cases| cases as u32),
        rng_seed: RngSeed::Fixed(number("SEED").unwrap_or(1)),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_sequence_of_80_commands_breaks_an_invariant_and_log_and_snapshot_lead_to_the_same_state(
        queues in prop::collection::vec(queue_settings(), QUEUES as usize),
        agents in prop::collection::vec(agent_settings(), AGENTS as usize),
        steps in prop::collection::vec(step(), 0..STEPS),
    ) {
        let mut world = World::new(&queues, &agents)?;
        for step in &steps {
            world.step(step)?;
        }
        world.close()?;
    }
}
