//! `offhook bench acd`: how long a routing decision takes on a large floor where everybody is busy and many wait.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

mod growth;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Args;
use offhook_acd::{
    Acd, AgentConfig, AgentKind, Channel, Command, Effect, Limits, NEEDS_MAX, Need, Output, QueueConfig, Strategy,
    WrapUp,
};
use offhook_units::{AgentId, ContactId, QueueId, SkillId, Span, Tick, VisitId};

/// Queues of each agent, skills of each agent, most skills that a contact needs.
const MEMBERSHIPS: u64 = 5;
const SKILLS: u64 = 5;
const NEEDS: u64 = 3;
/// Different sets of needs.
const PROFILES: usize = 500;
/// A page of memory, as the kernel counts it.
const PAGE_BYTES: u64 = 4_096;

/// What `offhook bench acd` is asked for.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  offhook bench acd
  offhook bench acd --agents 500 --queues 20 --waiting 2000 --json
  offhook bench acd --growth growth.svg --decisions 20000")]
pub struct AcdArgs {
    /// Agents, each in 5 queues with 5 skills, all busy with a contact.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    agents: u64,
    /// Queues: 60 % longest-idle, 20 % skills-best, 20 % least-occupied.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=4_096))]
    queues: u64,
    /// Skills that there are.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    skills: u64,
    /// Contacts that wait beside these, each needing 0 to 3 skills, in 500 combinations.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    waiting: u64,
    /// Decisions to measure: an agent becomes free, and the next contact is found.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    decisions: u64,
    /// Measure floors of 100 to 100,000 agents with 5 waiting contacts each, and draw here how a decision grows.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["agents", "waiting"])]
    growth: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// What one floor took.
struct Measured {
    /// By strategy: decisions, median and 99.9th percentile in microseconds.
    rows: Vec<(&'static str, usize, f64, f64)>,
    decisions: usize,
    p50: f64,
    p999: f64,
    bytes_per_agent: u64,
    bytes_per_contact: u64,
    profiles: u32,
}

/// Runs the bench.
pub fn run(args: &AcdArgs) -> anyhow::Result<ExitCode> {
    if let Some(file) = &args.growth {
        return grow(args, file);
    }
    let Measured { rows, decisions, p50, p999, bytes_per_agent, bytes_per_contact, profiles } = measure(args)?;
    if args.json {
        let worst = rows.iter().max_by(|a, b| a.3.total_cmp(&b.3)).context("no strategy decided anything")?;
        let object = serde_json::json!({
            "decision_us_p50": p50, "decision_us_p999": p999,
            "worst_strategy": worst.0, "worst_decision_us_p50": worst.2, "worst_decision_us_p999": worst.3,
            "bytes_per_agent": bytes_per_agent, "bytes_per_contact": bytes_per_contact,
            "decisions": decisions, "profiles": profiles,
        });
        println!("{object}");
    } else {
        println!("{:<16} {:>9} {:>9} {:>9}", "strategy", "decisions", "p50 us", "p99.9 us");
        for (name, count, p50, p999) in &rows {
            println!("{name:<16} {count:>9} {p50:>9.2} {p999:>9.2}");
        }
        println!("{:<16} {decisions:>9} {p50:>9.2} {p999:>9.2}", "all");
        println!("{bytes_per_agent} bytes per agent, {bytes_per_contact} per contact");
        println!("{profiles} requirement profiles");
    }
    Ok(ExitCode::SUCCESS)
}

fn grow(args: &AcdArgs, file: &Path) -> anyhow::Result<ExitCode> {
    let mut sizes = Vec::new();
    for agents in growth::AGENTS {
        let waiting = agents * growth::WAITING_EACH;
        eprintln!("offhook: {agents} agents, {waiting} contacts");
        let measured = measure(&AcdArgs { agents, waiting, ..args.clone() })?;
        sizes.push(growth::Size { agents, waiting, decision_us_p50: measured.p50, decision_us_p999: measured.p999 });
    }
    std::fs::write(file, growth::drawing(&sizes)).with_context(|| format!("writing {}", file.display()))?;
    if args.json {
        println!("{}", serde_json::json!({ "sizes": sizes }));
    } else {
        print!("{}", growth::table(&sizes));
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(args: &AcdArgs) -> anyhow::Result<Measured> {
    let mut floor = Floor::new(args.queues)?;
    let before = resident_bytes();
    floor.agents(args)?;
    let with_agents = resident_bytes();
    floor.busy(args)?;
    floor.contacts(args)?;
    let with_contacts = resident_bytes();
    let mut took: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
    for _ in 0..args.decisions {
        if let Some((strategy, ns)) = floor.decide(args)? {
            took.entry(strategy.name()).or_default().push(ns);
        }
    }
    let mut all: Vec<u64> = took.values().flatten().copied().collect();
    ensure!(!all.is_empty(), "no agent found a contact");
    let us = |ns: &mut Vec<u64>, per_mille: usize| {
        ns.sort_unstable();
        ns[(ns.len() * per_mille / 1_000).min(ns.len() - 1)] as f64 / 1_000.0
    };
    let rows = took.iter_mut().map(|(name, ns)| (*name, ns.len(), us(ns, 500), us(ns, 999))).collect();
    Ok(Measured {
        rows,
        decisions: all.len(),
        p50: us(&mut all, 500),
        p999: us(&mut all, 999),
        bytes_per_agent: with_agents.saturating_sub(before) / args.agents,
        bytes_per_contact: with_contacts.saturating_sub(with_agents) / (args.agents + args.waiting),
        profiles: floor.acd.profiles(),
    })
}

struct Floor {
    acd: Acd,
    now: Tick,
    draws: u64,
    contacts: u64,
    profiles: Vec<Vec<Need>>,
}

impl Floor {
    fn new(queues: u64) -> anyhow::Result<Self> {
        let limits = Limits { contacts_max: usize::MAX, agents_max: usize::MAX, ..Limits::default() };
        let now = Tick::from_us(1_700_000_000_000_000);
        let mut floor = Self { acd: Acd::with_limits(1, limits), now, draws: 1, contacts: 0, profiles: Vec::new() };
        for id in 0..queues {
            let mut config = QueueConfig::new(QueueId(id), format!("queue {id}"));
            config.strategy = match id % 5 {
                3 => Strategy::SkillsBest,
                4 => Strategy::LeastOccupied,
                _ => Strategy::LongestIdle,
            };
            config.wrap_up = WrapUp::For(Span::ZERO);
            config.no_agents.join = true;
            floor.handle(Command::AddQueue(config))?;
        }
        Ok(floor)
    }

    /// Agents come one by one, and nobody calls yet.
    fn agents(&mut self, args: &AcdArgs) -> anyhow::Result<()> {
        for id in 0..args.agents {
            let agent = AgentId(id);
            let mut config = AgentConfig::new(agent, format!("agent {id}"));
            let first = self.draw(args.queues);
            for turn in 0..MEMBERSHIPS.min(args.queues) {
                // Apart from each other, wherever the first one is.
                let apart = (args.queues / MEMBERSHIPS).max(1);
                config = config.in_queue(QueueId((first + turn * apart) % args.queues), 1, id as u32);
            }
            while (config.skills.len() as u64) < SKILLS.min(args.skills) {
                let skill = SkillId(self.draw(args.skills));
                if config.skills.iter().all(|had| had.skill != skill) {
                    config = config.with_skill(skill, 1 + self.draw(5) as u8);
                }
            }
            self.handle(Command::AddAgent(config))?;
            self.handle(Command::LogIn { agent })?;
        }
        Ok(())
    }

    /// Every agent is given a contact: calls come to the agent's first queue until it is the agent's turn.
    fn busy(&mut self, args: &AcdArgs) -> anyhow::Result<()> {
        for agent in (0..args.agents).map(AgentId) {
            let first =
                self.acd.agent(agent).and_then(|agent| agent.queues.first()).context("an agent has a queue")?.queue;
            while self.acd.agent_state(agent).is_some_and(|state| state.kind == AgentKind::Available) {
                self.enter(first.0, Vec::new())?;
            }
        }
        Ok(())
    }

    fn contacts(&mut self, args: &AcdArgs) -> anyhow::Result<()> {
        for at in 0..PROFILES {
            let mut needs: Vec<Need> = Vec::new();
            let wanted = (at as u64 % (NEEDS + 1)).min(args.skills).min(NEEDS_MAX as u64) as usize;
            while needs.len() < wanted {
                let (skill, level) = (SkillId(self.draw(args.skills)), 1 + self.draw(3) as u8);
                if needs.iter().all(|need| need.skill != skill) {
                    needs.push(Need { skill, level, weight: 1 });
                }
            }
            self.profiles.push(needs);
        }
        for _ in 0..args.waiting {
            self.enter_some(args.queues)?;
        }
        Ok(())
    }

    fn enter_some(&mut self, queues: u64) -> anyhow::Result<()> {
        let queue = self.draw(queues);
        let profile = self.draw(PROFILES as u64) as usize;
        let needs = self.profiles[profile].clone();
        self.enter(queue, needs)
    }

    /// Frees some agent, and measures the input that finds the next contact; another contact takes its place in line.
    fn decide(&mut self, args: &AcdArgs) -> anyhow::Result<Option<(Strategy, u64)>> {
        let agent = AgentId(self.draw(args.agents));
        let Some(contact) = self.acd.agent_state(agent).and_then(|state| state.contact) else { return Ok(None) };
        self.now += Span::from_us(20_000);
        // What time brings about by itself is not part of the decision.
        self.acd.timeout(self.now);
        self.drain();
        let began = Instant::now();
        let done = self.acd.handle(self.now, Command::Finish { contact });
        let ns = began.elapsed().as_nanos() as u64;
        done.context("a contact that is served ends")?;
        let queue = self.drain();
        self.enter_some(args.queues)?;
        let strategy = queue.and_then(|queue| self.acd.queue(queue)).map(|queue| queue.strategy);
        Ok(strategy.map(|strategy| (strategy, ns)))
    }

    fn enter(&mut self, queue: u64, needs: Vec<Need>) -> anyhow::Result<()> {
        self.contacts += 1;
        self.now += Span::from_us(10);
        let (contact, visit) = (ContactId(self.contacts), VisitId(self.contacts));
        let (queue, channel) = (QueueId(queue), Channel::Voice);
        self.handle(Command::Enter {
            contact,
            visit,
            queue,
            channel,
            priority: 0,
            place_at: None,
            needs,
            prefers: None,
        })
    }

    fn handle(&mut self, command: Command) -> anyhow::Result<()> {
        self.acd.handle(self.now, command).context("the floor is set up")?;
        self.drain();
        Ok(())
    }

    /// Takes every offer; says from which queue the first one came.
    fn drain(&mut self) -> Option<QueueId> {
        let mut first = None;
        loop {
            match self.acd.poll_output() {
                Output::Effect(Effect::Offer { offer, queue, .. }) => {
                    first.get_or_insert(queue);
                    // An offer just made is open.
                    let _accepted = self.acd.handle(self.now, Command::Accept { offer });
                }
                Output::Event { .. } | Output::Effect(_) => {}
                Output::Wait { .. } => return first,
            }
        }
    }

    /// 0 to `bound` - 1.
    fn draw(&mut self, bound: u64) -> u64 {
        self.draws += 1;
        offhook_sim::floor::chance::below(offhook_sim::floor::chance::draw(1, 1, self.draws), bound)
    }
}

/// Memory of this process; zero where the kernel does not say.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * PAGE_BYTES
}
