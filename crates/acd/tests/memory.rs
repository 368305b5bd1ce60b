//! What the distributor keeps in memory of each agent and of each contact that waits, on a large floor.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use offhook_acd::{Acd, AgentConfig, Channel, Command, Limits, Need, Output, QueueConfig, Strategy};
use offhook_units::{AgentId, ContactId, Entropy, QueueId, SkillId, Span, Tick, VisitId};

const QUEUES: u64 = 200;
const AGENTS: u64 = 10_000;
const CONTACTS: u64 = 50_000;

thread_local! {
    /// Bytes taken and not given back, as a usual heap keeps them: 8 bytes beside each piece, and all by the 16.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn hold(layout: Layout, sign: isize) {
    let kept = (layout.size() + 8).next_multiple_of(16).max(32).cast_signed();
    let _ = HELD.try_with(|held| held.set(held.get() + sign * kept));
}

// SAFETY: hands everything to the system's allocator unchanged; counting touches a plain thread-local cell only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        hold(layout, 1);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        hold(layout, -1);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Floor {
    acd: Acd,
    now: Tick,
    entropy: Entropy,
}

impl Floor {
    fn new() -> Self {
        let limits = Limits { contacts_max: usize::MAX, ..Limits::default() };
        let now = Tick::from_us(1_700_000_000_000_000);
        Self { acd: Acd::with_limits(1, limits), now, entropy: Entropy::from_number(1) }
    }

    fn handle(&mut self, command: Command) {
        self.now += Span::from_ms(1);
        self.acd.handle(self.now, command).expect("taken");
        while !matches!(self.acd.poll_output(), Output::Wait { .. }) {}
    }

    fn add_queue(&mut self, id: u64) {
        let mut config = QueueConfig::new(QueueId(id), format!("queue {id}"));
        config.strategy = match id % 5 {
            3 => Strategy::SkillsBest,
            4 => Strategy::LeastOccupied,
            _ => Strategy::LongestIdle,
        };
        config.no_agents.join = true;
        self.handle(Command::AddQueue(config));
    }

    fn add_agent(&mut self, id: u64) {
        let agent = AgentId(id);
        let mut config = AgentConfig::new(agent, format!("agent {id}"));
        let first = self.entropy.below(QUEUES);
        for turn in 0..5 {
            config = config.in_queue(QueueId((first + turn * 40) % QUEUES), 1, 1);
            config = config.with_skill(SkillId(turn * 20 + self.entropy.below(20)), 1 + turn as u8);
        }
        self.handle(Command::AddAgent(config));
        self.handle(Command::LogIn { agent });
    }

    fn add_contact(&mut self, id: u64) {
        let needs = (0..id % 4).map(|turn| Need { skill: SkillId(turn * 30 + id % 30), level: 1, weight: 1 }).collect();
        let queue = QueueId(self.entropy.below(QUEUES));
        self.handle(Command::Enter {
            contact: ContactId(id),
            visit: VisitId(id),
            queue,
            channel: Channel::Voice,
            priority: 0,
            place_at: None,
            needs,
            prefers: None,
        });
    }
}

#[test]
fn an_agent_takes_less_than_a_kibibyte_and_so_does_a_contact() {
    let mut floor = Floor::new();
    (0..QUEUES).for_each(|id| floor.add_queue(id));
    let before = HELD.get();
    (0..AGENTS).for_each(|id| floor.add_agent(id));
    let agents = (HELD.get() - before) / AGENTS.cast_signed() as isize;
    assert!((500..1_024).contains(&agents), "{agents} bytes an agent");
    // Nobody is free any more: who comes then waits.
    for id in 0..AGENTS {
        floor.handle(Command::SetNotReady { agent: AgentId(id), reason: "lunch".to_owned() });
    }
    let before = HELD.get();
    (0..CONTACTS).for_each(|id| floor.add_contact(id));
    let contacts = (HELD.get() - before) / CONTACTS.cast_signed() as isize;
    assert!((200..1_024).contains(&contacts), "{contacts} bytes a contact");
}
