//! `offhook replay`: a log leads the distributor to the same state again, and can be asked why each offer went where it went.

#![expect(clippy::disallowed_methods, reason = "the command line measures how long the replay took")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use offhook_acd::{Acd, Event, Left, Standing};
use offhook_sim::floor::{Outcome, forecasts_of};
use offhook_units::{ContactId, Tick};

use crate::simulate::{LogReader, Progress, print};

/// What `offhook replay` is asked for.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The log, as `offhook simulate --log` wrote it.
    log: PathBuf,
    /// Say of each offer of this contact (`c-` and a hexadecimal number) whom it could have gone to, and why not.
    #[arg(long, value_name = "CONTACT")]
    explain: Option<ContactId>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Replays the log.
pub fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let mut log = LogReader::open(&args.log)?;
    let mut acd = Acd::new(log.seed);
    let mut outcome = Outcome::default();
    let mut progress = Progress::new();
    let mut asked = false;
    while let Some((at, event)) = log.next()? {
        if let (Event::Offered { contact, .. }, Some(wanted)) = (&event, args.explain)
            && *contact == wanted
        {
            asked = true;
            explain(&acd, at, *contact);
        }
        match event {
            Event::Entered { .. } => outcome.offered += 1,
            Event::Accepted { .. } => outcome.answered += 1,
            Event::Left { outcome: Left::Abandoned, .. } => outcome.abandoned += 1,
            Event::Left { outcome: Left::FlowedOut(_), .. } => outcome.flowed_out += 1,
            _ => {}
        }
        acd.replay_tail([(at, event)]);
        progress.show(log.per_mille(), "");
    }
    progress.clear();
    if let Some(contact) = args.explain.filter(|_| !asked) {
        eprintln!("offhook: {contact} is never offered in this log");
    }
    let queues: Vec<_> = acd.queues().map(|queue| queue.id).collect();
    outcome.waiting = queues.iter().map(|queue| u64::from(acd.waiting(*queue))).sum();
    outcome.forecasts = forecasts_of(&acd);
    outcome.state_hash = acd.state_hash();
    let broken = acd.audit();
    outcome.invariants_broken = broken.len() as u64;
    print(&outcome, None, began.elapsed(), args.json);
    for broken in broken.iter().take(20) {
        eprintln!("offhook: broken: {broken}");
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says on standard error, beside the result, why an offer goes where it goes.
fn explain(acd: &Acd, at: Tick, contact: ContactId) {
    let Some(explanation) = acd.explain(contact) else { return };
    let queue = acd.queue(explanation.queue).map_or("?", |queue| queue.name.as_str());
    let strategy = explanation.strategy.name();
    eprintln!("{} us: {contact} in '{queue}' ({strategy}), {} before it", at.as_us(), explanation.ahead);
    for candidate in &explanation.candidates {
        let name = acd.agent(candidate.agent).map_or("?", |agent| agent.name.as_str());
        let key = candidate.key;
        let key = format!("tier {}, key {} / {}", key.level, key.major, key.minor);
        match &candidate.standing {
            Standing::Chosen => eprintln!("  -> {name}: {key}"),
            Standing::Eligible => eprintln!("     {name}: {key}"),
            Standing::PassedOver(why) => eprintln!("     {name}: not now, {why:?}"),
        }
    }
}
