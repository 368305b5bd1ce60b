//! The floor that is simulated, before it is varied: the usual one or one from a configuration, with contacts from a file or drawn.

use core::fmt;
use core::ops::Range;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use offhook_call::event::LogEvent;
use offhook_sim::floor::LogReader as LogContacts;
use offhook_sim::floor::{Fault, FloorPlan, Handling, Humans, Listed, Names, Trade, Variant, read_csv};
use offhook_units::{Span, Tick};

use super::SimulateArgs;
use super::log::{LOG_WORD, LogReader};
use crate::check::{count, errors};
use crate::config::{self, Kind};

/// Largest table of contacts that is read.
const TABLE_BYTES_MAX: u64 = 1 << 30;
/// How long conversations last, and how patient customers are, on the mean, where nobody says so.
const TALK: Span = Span::from_s(180);
const PATIENCE: Span = Span::from_s(300);
/// A day of contacts that are known goes on for so long after the last one, so that conversations end.
const AFTERWARDS: Span = Span::from_s(3_600);
const HOURS: u64 = 24;
const HOURS_MAX: u64 = 8_784;
const CONTACTS: u64 = 10_000;

/// How agents behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum People {
    /// They need a while to answer, decline or overlook some calls, put some on hold, and take breaks.
    Usual,
    /// They answer at once and always, as formulas assume.
    Perfect,
}

/// A length of time for a queue, or for all: `240s`, `sales=4m`; none for `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerQueue {
    queue: Option<String>,
    span: Option<Span>,
}

/// Reads one.
pub fn per_queue(text: &str) -> Result<PerQueue, String> {
    let (queue, span) = text.rsplit_once('=').map_or((None, text), |(queue, span)| (Some(queue.to_owned()), span));
    let span = if span == "none" { None } else { Some(offhook_loadgen::arrivals::span(span)?) };
    Ok(PerQueue { queue, span })
}

/// The floor, before it is varied.
pub struct Base {
    plan: FloorPlan,
    /// Where agents come from: the usual floor has as many of its own kind as one likes.
    usual: bool,
}

impl Base {
    /// What the command line asks for.
    pub fn new(args: &SimulateArgs) -> anyhow::Result<Self> {
        let mut plan = match &args.config {
            Some(file) => own_floor(file)?,
            None => FloorPlan::usual(args.seed, HOURS, 0, Some(1)),
        };
        apply_spans(&mut plan, &args.talk, &args.patience)?;
        if args.people == People::Perfect {
            plan.humans = Humans { shift: plan.humans.shift, ..Humans::PERFECT };
        }
        if let Some(shift) = args.shift {
            plan.humans.shift = (shift > Span::ZERO).then_some(shift);
        }
        plan.lasts = Span::from_s(args.hours.unwrap_or(HOURS) * 3_600);
        plan.contacts = args.contacts.unwrap_or(CONTACTS);
        if let Some(file) = &args.arrivals {
            let listed = read_arrivals(file, &Names::of(&plan), args.within())?;
            ensure!(listed.known.contacts() > 0, "{} has no contacts, or none in that time", file.display());
            // Nobody sits there before the hour of the first contact.
            let idle = Span::from_s(listed.known.first().as_s() / 3_600 * 3_600);
            let listed = Listed {
                known: listed.known.begun_later(idle),
                begins: Some(listed.begins.unwrap_or(plan.begins) + idle),
                until: listed.until.saturating_sub(idle),
            };
            if args.hours.is_none() {
                let hours = (listed.until + AFTERWARDS).as_us().div_ceil(3_600_000_000);
                ensure!(
                    hours <= HOURS_MAX,
                    "{} goes on for {hours} hours; at most {HOURS_MAX} are simulated",
                    file.display()
                );
                plan.lasts = Span::from_s(hours * 3_600);
            } else if listed.until > plan.lasts {
                eprintln!("offhook: contacts of {} after --hours are left out", file.display());
            }
            plan.begins = listed.begins.unwrap_or(plan.begins);
            plan.contacts = listed.known.contacts();
            plan.known = Some(listed.known);
        }
        let base = Self { plan, usual: args.config.is_none() };
        let agents = if base.usual { base.usual_agents(args.agents) } else { base.plan.clone() };
        let plan = match args.agents.filter(|_| !base.usual) {
            Some(agents) => base.plan.clone().staffed(agents),
            None => FloorPlan { agents: agents.agents, ..base.plan.clone() },
        };
        ensure!(!plan.agents.is_empty(), "nobody works on this floor: give it [[agent]] sections");
        Ok(Self { plan, ..base })
    }

    fn usual_agents(&self, agents: Option<u64>) -> FloorPlan {
        let hours = self.plan.lasts.as_us().div_ceil(3_600_000_000);
        FloorPlan::usual(self.plan.seed, hours, self.plan.contacts, agents)
    }

    /// The plan as it is.
    pub fn plan(&self) -> &FloorPlan {
        &self.plan
    }

    /// The plan of a variant by a seed.
    pub fn varied(&self, seed: u64, variant: &Variant) -> FloorPlan {
        let mut plan = match variant.agents() {
            Some(agents) if self.usual => {
                FloorPlan { agents: self.usual_agents(Some(agents)).agents, ..self.plan.clone() }
            }
            Some(agents) => self.plan.clone().staffed(agents),
            None => self.plan.clone(),
        };
        plan.seed = seed;
        variant.apply(&mut plan);
        plan
    }
}

/// Queues, agents, skills, tiers and loans of a configuration.
fn own_floor(file: &Path) -> anyhow::Result<FloorPlan> {
    let checked = match config::check(file) {
        Ok(checked) => checked,
        Err(faults) => {
            eprint!("{}", faults.graphical(std::io::stderr().is_terminal()));
            bail!("{}: {}", file.display(), count(errors(&faults), "fault"));
        }
    };
    let mut given: BTreeMap<Kind, u64> = BTreeMap::new();
    let id_of = |kind: Kind, _: &str| {
        let last = given.entry(kind).or_default();
        *last += 1;
        *last
    };
    // Nothing is sent: any route will do.
    let loaded = checked.resolve(id_of, |_, peer| peer);
    let exchange = loaded.exchange;
    ensure!(!exchange.queues.is_empty(), "{} has no queues", file.display());
    let trade = |config| Trade {
        config,
        share: 1,
        talk: Handling::Exponential(TALK),
        patience: Some(PATIENCE),
        speaks: false,
        urgent_per_mille: 0,
    };
    let mut plan = FloorPlan::usual(1, HOURS, 0, Some(1));
    plan.trades = exchange.queues.into_iter().map(|queue| trade(queue.acd)).collect();
    plan.agents = exchange.agents.into_iter().map(|agent| agent.acd).collect();
    plan.skills = loaded.skills.into_iter().map(|(id, name)| (name, id)).collect();
    plan.lending = exchange.lending.terms;
    plan.loans = exchange.lending.loans;
    plan.humans.shift = None;
    Ok(plan)
}

/// `--talk` and `--patience`: what is said of all queues first, then what is said of one.
fn apply_spans(plan: &mut FloorPlan, talk: &[PerQueue], patience: &[PerQueue]) -> anyhow::Result<()> {
    let known = plan.trades.iter().map(|trade| trade.config.name.clone()).collect::<Vec<_>>();
    for named in talk.iter().chain(patience).filter_map(|given| given.queue.as_ref()) {
        ensure!(known.contains(named), "there is no queue '{named}'; there are {}", known.join(", "));
    }
    let of = |given: &[PerQueue], name: &str| {
        let one = given.iter().rfind(|given| given.queue.as_deref() == Some(name));
        one.or_else(|| given.iter().rfind(|given| given.queue.is_none())).cloned()
    };
    for trade in &mut plan.trades {
        if let Some(given) = of(talk, &trade.config.name) {
            trade.talk = Handling::Exponential(given.span.context("--talk none: a conversation lasts some time")?);
        }
        if let Some(given) = of(patience, &trade.config.name) {
            trade.patience = given.span;
        }
    }
    Ok(())
}

/// A moment in RFC 3339.
pub fn moment(text: &str) -> Result<Tick, String> {
    let at = text.parse::<jiff::Timestamp>().map_err(|_| "write RFC 3339, such as 2026-11-30T00:00:00+01:00")?;
    u64::try_from(at.as_microsecond()).map(Tick::from_us).map_err(|_| "before 1970".to_owned())
}

/// What the log in the data folder of an exchange, which may be running, says of contacts.
fn read_folder(path: &Path, mut contacts: LogContacts<'_>) -> anyhow::Result<Result<Listed, Vec<Fault>>> {
    let refused = || format!("{} is no data folder of an exchange", path.display());
    let archive = offhook_store::Archive::open(path).with_context(refused)?;
    let mut unread = 0_u64;
    archive.read_log(|record| match LogEvent::decode(&record.bytes) {
        Ok(LogEvent::Acd(event)) => contacts.fold(record.at, &event),
        Ok(LogEvent::Call(_) | LogEvent::Callback(_) | LogEvent::Alarm(_)) => {}
        Err(_) => unread += 1,
    })?;
    ensure!(unread == 0, "{unread} events in {} are of another version of this program", path.display());
    Ok(contacts.finish())
}

/// A table, an event log, or the data folder of an exchange.
fn read_arrivals(path: &Path, names: &Names, within: Range<Tick>) -> anyhow::Result<Listed> {
    let mut contacts = LogContacts::new(names, within);
    let told = |faults: Vec<Fault>| anyhow::anyhow!("{}", Faults { path, faults: &faults });
    if path.is_dir() {
        return read_folder(path, contacts)?.map_err(told);
    }
    let unreadable = || format!("{} cannot be read", path.display());
    let mut file = File::open(path).with_context(unreadable)?;
    let bytes = file.metadata().with_context(unreadable)?.len();
    let mut start = [0; LOG_WORD.len()];
    let is_log = file.read(&mut start).with_context(unreadable)? == start.len() && start == *LOG_WORD.as_bytes();
    let listed = if is_log {
        let mut log = LogReader::open(path)?;
        while let Some((at, event)) = log.next()? {
            contacts.fold(at, &event);
        }
        contacts.finish()
    } else {
        ensure!(bytes <= TABLE_BYTES_MAX, "{} has {bytes} bytes; at most {TABLE_BYTES_MAX} are read", path.display());
        read_csv(&std::fs::read_to_string(path).with_context(unreadable)?, names)
    };
    listed.map_err(told)
}

struct Faults<'a> {
    path: &'a Path,
    faults: &'a [Fault],
}

impl fmt::Display for Faults<'_> {
    /// One line a fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.faults.iter().enumerate() {
            let between = if number == 0 { "" } else { "\n         " };
            write!(f, "{between}{}: {fault}", self.path.display())?;
        }
        Ok(())
    }
}
