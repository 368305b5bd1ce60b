//! A floor of agents in 200 queues, for benches of the distributor.

use offhook_acd::{Acd, AgentConfig, Channel, Command, Effect, Left, Output, QueueConfig, Strategy, WrapUp};
use offhook_units::{AgentId, ContactId, OfferId, QueueId, Span, Tick, VisitId};

/// Queues of the floor.
const QUEUES: u64 = 200;
/// Queues of each agent.
const MEMBERSHIPS: u64 = 5;

/// An exchange where contacts wait because all agents are busy, or agents idle because nobody waits.
pub struct Floor {
    acd: Acd,
    now: Tick,
    agents: u64,
    next_contact: u64,
    draws: u64,
    offers: Vec<(OfferId, AgentId, ContactId)>,
}

impl Floor {
    /// Agents who idle, each in 5 of 200 queues.
    pub fn new(agents: u64, strategy: Strategy) -> Self {
        let now = Tick::from_us(1_700_000_000_000_000);
        let mut floor = Self { acd: Acd::new(1), now, agents, next_contact: 1, draws: 1, offers: Vec::new() };
        for id in 0..QUEUES {
            let mut config = QueueConfig::new(QueueId(id), format!("queue {id}"));
            config.strategy = strategy;
            config.wrap_up = WrapUp::For(Span::ZERO);
            config.ring_for = Span::from_s(1_000_000);
            config.no_agents.join = true;
            floor.handle(Command::AddQueue(config));
        }
        for id in 0..agents {
            let mut config = AgentConfig::new(AgentId(id), format!("agent {id}"));
            for queue in 0..MEMBERSHIPS {
                let position = u32::try_from(id).unwrap_or(u32::MAX);
                config = config.in_queue(QueueId((id * 7 + queue * 41) % QUEUES), 1, position);
            }
            floor.handle(Command::AddAgent(config));
            floor.handle(Command::LogIn { agent: AgentId(id) });
        }
        floor
    }

    /// Agents busy with one contact each, and so many more waiting.
    pub fn busy(agents: u64, waiting: u64, strategy: Strategy) -> Self {
        let mut floor = Self::new(agents, strategy);
        let mut served = 0;
        while served < agents {
            let queue = floor.draw(QUEUES);
            floor.enter(queue);
            served += floor.accept_all();
            if floor.acd.waiting(QueueId(queue)) > 0 && served + floor.total_waiting() >= agents + waiting {
                break;
            }
        }
        while floor.total_waiting() < waiting {
            let queue = floor.draw(QUEUES);
            floor.enter(queue);
        }
        floor
    }

    fn total_waiting(&self) -> u64 {
        (0..QUEUES).map(|queue| u64::from(self.acd.waiting(QueueId(queue)))).sum()
    }

    /// 0 to `bound` - 1, by chance.
    pub fn draw(&mut self, bound: u64) -> u64 {
        self.draws = self.draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.draws >> 33) % bound
    }

    /// Has a command carried out.
    ///
    /// # Panics
    /// Where it is refused.
    pub fn handle(&mut self, command: Command) {
        self.acd.handle(self.now, command).expect("a command that is carried out");
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.acd.poll_output() {
                Output::Effect(Effect::Offer { offer, agent, contact, .. }) => {
                    self.offers.push((offer, agent, contact));
                }
                Output::Event { .. } | Output::Effect(_) => {}
                Output::Wait { .. } => break,
            }
        }
    }

    /// A contact comes.
    pub fn enter(&mut self, queue: u64) {
        self.now += Span::from_us(10);
        let id = self.next_contact;
        self.next_contact += 1;
        self.handle(Command::Enter {
            contact: ContactId(id),
            visit: VisitId(id),
            queue: QueueId(queue),
            channel: Channel::Voice,
            priority: 0,
            place_at: None,
            needs: Vec::new(),
            prefers: None,
        });
    }

    /// Takes every offer; says how many there were.
    pub fn accept_all(&mut self) -> u64 {
        let offers = std::mem::take(&mut self.offers);
        for (offer, _, _) in &offers {
            self.handle(Command::Accept { offer: *offer });
        }
        offers.len() as u64
    }

    /// Ends the contact of some agent: the input that frees the agent and makes the next offer goes through `timed`; then the offer is taken
    /// and somebody else comes.
    ///
    /// # Panics
    /// Never: the contact is served.
    pub fn free_one(&mut self, timed: impl FnOnce(&mut dyn FnMut())) {
        let contact = loop {
            let agent = AgentId(self.draw(self.agents));
            if let Some(contact) = self.acd.agent_state(agent).and_then(|state| state.contact) {
                break contact;
            }
        };
        self.now += Span::from_us(10);
        let mut done = Ok(());
        timed(&mut || done = self.acd.handle(self.now, Command::Finish { contact }));
        done.expect("a contact that is served");
        self.drain();
        self.accept_all();
        let queue = self.draw(QUEUES);
        self.enter(queue);
        self.accept_all();
    }

    /// A contact enters, is offered where somebody is free, and leaves again.
    pub fn enter_and_leave(&mut self) {
        let queue = self.draw(QUEUES);
        self.enter(queue);
        let contact = ContactId(self.next_contact - 1);
        let outcome = Left::Abandoned;
        self.handle(Command::Leave { contact, outcome });
        self.offers.clear();
    }
}
