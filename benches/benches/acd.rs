//! Routing decisions with 10,000 agents in 200 queues and 50,000 waiting contacts: target 5 us in the middle, 50 us at p99.9.
//!
//! `cargo bench -p offhook-benches --bench acd`. The first bench prints its own percentiles, of each strategy, over 20,000 decisions.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::time::{Duration, Instant};

use divan::{Bencher, black_box};
use offhook_acd::{Acd, AgentConfig, Channel, Command, Effect, Output, QueueConfig, Strategy, WrapUp};
use offhook_units::{AgentId, ContactId, OfferId, QueueId, Span, Tick, VisitId};

const QUEUES: u64 = 200;
const MEMBERSHIPS: u64 = 5;
const STRATEGIES: [Strategy; 5] =
    [Strategy::LongestIdle, Strategy::RoundRobin, Strategy::FewestCalls, Strategy::Linear, Strategy::Random];

fn main() {
    percentiles();
    divan::main();
}

/// An exchange where contacts wait because all agents are busy, or agents idle because nobody waits.
struct Floor {
    acd: Acd,
    now: Tick,
    agents: u64,
    next_contact: u64,
    draws: u64,
    offers: Vec<(OfferId, AgentId, ContactId)>,
}

impl Floor {
    fn new(agents: u64, strategy: Strategy) -> Self {
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
    fn busy(agents: u64, waiting: u64, strategy: Strategy) -> Self {
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

    fn draw(&mut self, bound: u64) -> u64 {
        self.draws = self.draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.draws >> 33) % bound
    }

    fn handle(&mut self, command: Command) {
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

    fn enter(&mut self, queue: u64) {
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

    fn accept_all(&mut self) -> u64 {
        let offers = std::mem::take(&mut self.offers);
        for (offer, _, _) in &offers {
            self.handle(Command::Accept { offer: *offer });
        }
        offers.len() as u64
    }

    /// Ends the contact of some agent; what is timed is the input that frees the agent and makes the next offer.
    fn free_one(&mut self) -> Duration {
        let contact = loop {
            let agent = AgentId(self.draw(self.agents));
            if let Some(contact) = self.acd.agent_state(agent).and_then(|state| state.contact) {
                break contact;
            }
        };
        self.now += Span::from_us(10);
        let began = Instant::now();
        let result = self.acd.handle(self.now, Command::Finish { contact });
        let took = began.elapsed();
        black_box(&result).as_ref().expect("a contact that is served");
        self.drain();
        self.accept_all();
        let queue = self.draw(QUEUES);
        self.enter(queue);
        self.accept_all();
        took
    }
}

fn percentiles() {
    println!("input that frees an agent and makes an offer; 10,000 agents, 5 of 200 queues each, 50,000 waiting");
    for strategy in STRATEGIES {
        let mut floor = Floor::busy(10_000, 50_000, strategy);
        let mut took: Vec<Duration> = (0..20_000).map(|_| floor.free_one()).collect();
        took.sort_unstable();
        let at = |per_myriad: usize| took[took.len() * per_myriad / 10_000].as_nanos() as f64 / 1_000.0;
        println!("{strategy:?}: p50 {:.2} us, p99 {:.2} us, p99.9 {:.2} us", at(5_000), at(9_900), at(9_990));
    }
}

/// Frees an agent while 50,000 wait: state change, routing and offer together.
#[divan::bench(args = [100, 1_000, 10_000, 100_000], sample_count = 200, sample_size = 1)]
fn an_agent_frees(bencher: Bencher, agents: u64) {
    let mut floor = Floor::busy(agents, 50_000, Strategy::LongestIdle);
    bencher.bench_local(|| floor.free_one());
}

/// A contact enters while nobody waits and all agents idle; it is offered, and leaves again.
#[divan::bench(args = [100, 1_000, 10_000, 100_000], sample_count = 200, sample_size = 10)]
fn a_contact_enters_and_leaves(bencher: Bencher, agents: u64) {
    let mut floor = Floor::new(agents, Strategy::LongestIdle);
    bencher.bench_local(|| {
        let queue = floor.draw(QUEUES);
        floor.enter(queue);
        let contact = ContactId(floor.next_contact - 1);
        let outcome = offhook_acd::Left::Abandoned;
        floor.handle(Command::Leave { contact, outcome });
        floor.offers.clear();
    });
}
