//! The harness below the tests: a desk with a clock, on which agents and contacts are told apart by number.
#![allow(dead_code, reason = "each test program uses its own part of the harness")]

use offhook_acd::{
    Acd, AgentConfig, AgentKind, Channel, Command, Effect, Event, Left, OfferEnd, Output, QueueConfig, QueueFigures,
    Refusal, WrapUp,
};
use offhook_units::{AgentId, ContactId, OfferId, QueueId, Span, Tick, VisitId};

/// 2023-11-14 22:13:20 UTC.
pub const START: Tick = Tick::from_us(1_700_000_000_000_000);

pub struct Desk {
    pub acd: Acd,
    pub now: Tick,
    pub log: Vec<(Tick, Event)>,
    pub effects: Vec<Effect>,
    visits: u64,
}

impl Desk {
    pub fn new() -> Self {
        Self { acd: Acd::new(7), now: START, log: Vec::new(), effects: Vec::new(), visits: 0 }
    }

    /// One queue, number 1, without wrap-up unless changed.
    pub fn with_queue(change: impl FnOnce(&mut QueueConfig)) -> Self {
        let mut desk = Self::new();
        desk.queue(1, change);
        desk
    }

    pub fn queue(&mut self, id: u64, change: impl FnOnce(&mut QueueConfig)) {
        let mut config = QueueConfig::new(QueueId(id), format!("queue {id}"));
        config.wrap_up = WrapUp::For(Span::ZERO);
        change(&mut config);
        self.run(Command::AddQueue(config));
    }

    /// An agent who is logged in, in queue 1 at this level and position.
    pub fn agent(&mut self, id: u64, level: u8, position: u32) {
        self.agent_with(id, |config| *config = config.clone().in_queue(QueueId(1), level, position));
    }

    pub fn agent_with(&mut self, id: u64, change: impl FnOnce(&mut AgentConfig)) {
        let mut config = AgentConfig::new(AgentId(id), format!("agent {id}"));
        change(&mut config);
        self.run(Command::AddAgent(config));
        self.run(Command::LogIn { agent: AgentId(id) });
    }

    pub fn try_run(&mut self, command: Command) -> Result<(), Refusal> {
        let result = self.acd.handle(self.now, command);
        self.drain();
        result
    }

    #[track_caller]
    pub fn run(&mut self, command: Command) {
        self.try_run(command).expect("a command that is carried out");
    }

    fn drain(&mut self) {
        loop {
            match self.acd.poll_output() {
                Output::Event { at, event } => self.log.push((at, event)),
                Output::Effect(effect) => self.effects.push(effect),
                Output::Wait { .. } => break,
            }
        }
    }

    /// Lets time pass, timer by timer.
    pub fn pass(&mut self, span: Span) {
        let end = self.now + span;
        while let Output::Wait { until: Some(until) } = self.acd.poll_output()
            && until <= end
        {
            self.now = until;
            self.acd.timeout(until);
            self.drain();
        }
        self.now = end;
    }

    pub fn pass_s(&mut self, seconds: u64) {
        self.pass(Span::from_s(seconds));
    }

    pub fn try_enter(&mut self, contact: u64, queue: u64, priority: i32) -> Result<(), Refusal> {
        self.enter_as(contact, queue, Channel::Voice, priority, None)
    }

    pub fn enter_as(
        &mut self,
        contact: u64,
        queue: u64,
        channel: Channel,
        priority: i32,
        place_at: Option<Tick>,
    ) -> Result<(), Refusal> {
        self.visits += 1;
        let (contact, visit, queue) = (ContactId(contact), VisitId(self.visits), QueueId(queue));
        self.try_run(Command::Enter {
            contact,
            visit,
            queue,
            channel,
            priority,
            place_at,
            needs: Vec::new(),
            prefers: None,
        })
    }

    #[track_caller]
    pub fn enter(&mut self, contact: u64) {
        self.try_enter(contact, 1, 0).expect("a contact that may enter");
    }

    /// Who is being offered this contact now.
    pub fn ringing(&self, contact: u64) -> Vec<u64> {
        let rings = |agent: &AgentConfig| {
            let state = self.acd.agent_state(agent.id)?;
            (state.offered == Some(ContactId(contact))).then_some(agent.id.0)
        };
        self.acd.agents().filter_map(rings).collect()
    }

    #[track_caller]
    pub fn offer_to(&self, agent: u64) -> OfferId {
        self.acd.agent_state(AgentId(agent)).and_then(|state| state.offer).expect("an open offer")
    }

    #[track_caller]
    pub fn accept(&mut self, agent: u64) {
        let offer = self.offer_to(agent);
        self.run(Command::Accept { offer });
    }

    #[track_caller]
    pub fn decline(&mut self, agent: u64) {
        let offer = self.offer_to(agent);
        self.run(Command::Decline { offer });
    }

    #[track_caller]
    pub fn finish(&mut self, contact: u64) {
        self.run(Command::Finish { contact: ContactId(contact) });
    }

    pub fn hang_up(&mut self, contact: u64) {
        self.run(Command::Leave { contact: ContactId(contact), outcome: Left::Abandoned });
    }

    pub fn not_ready(&mut self, agent: u64) {
        self.run(Command::SetNotReady { agent: AgentId(agent), reason: "lunch".to_owned() });
    }

    pub fn ready(&mut self, agent: u64) {
        self.run(Command::SetReady { agent: AgentId(agent) });
    }

    pub fn kind(&self, agent: u64) -> AgentKind {
        self.acd.agent_state(AgentId(agent)).expect("an agent who is known").kind
    }

    pub fn figures(&self) -> QueueFigures {
        self.acd.figures(QueueId(1), self.now).expect("a queue that is known")
    }

    pub fn last_withdrawal(&self) -> Option<OfferEnd> {
        self.effects.iter().rev().find_map(|effect| match effect {
            Effect::Withdraw { why, .. } => Some(*why),
            _ => None,
        })
    }

    /// Serves a contact from entering to the end within one instant, and says by whom.
    #[track_caller]
    pub fn served_by(&mut self, contact: u64) -> u64 {
        self.enter(contact);
        let agent = self.ringing(contact)[0];
        self.accept(agent);
        self.finish(contact);
        agent
    }
}
