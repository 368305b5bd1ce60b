//! What became of each call: what its caller saw against what the exchange remembers, and whether the figures come to the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use offhook_acd::{Event as AcdEvent, Left};
use offhook_call::event::{CallEvent, LogEvent};
use offhook_call::record::CallRecord;
use offhook_loadgen::Outcome;
use offhook_store::Archive;
use offhook_units::{CallId, Span, Tick, VisitId};
use serde::Serialize;

use crate::recording::{self, Shelf};

/// Disagreements that are told one by one.
const TOLD_MAX: usize = 20;

/// What came so many milliseconds or less before the exchange was killed may be lost: its log is committed in groups of 10 ms, and a machine that is
/// busy adds to it.
pub const LAST_WORDS_MS: u64 = 50;

/// How much longer than the run a call may last by its record: the clock is slewed.
const SLEW_MAX: Span = Span::from_s(1);

/// What happened outside of the exchange.
#[derive(Debug)]
pub struct Run<'a> {
    /// What became of each call, whose callers' names were `cx` and their number.
    pub outcomes: &'a [Outcome],
    /// When the exchange was killed.
    pub kills: Vec<Tick>,
    /// How long it all lasted.
    pub lasted: Span,
}

impl Run<'_> {
    /// Whether what happened at `at` may have gone with the exchange.
    fn may_be_lost(&self, at: Tick) -> bool {
        self.kills.iter().any(|kill| at <= *kill && kill.since(at) <= Span::from_ms(LAST_WORDS_MS))
    }
}

/// Visits to the queue and what became of them: O = A + B + F + waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Visits {
    /// O: visits that began.
    pub offered: u64,
    /// A: visits that an agent answered.
    pub answered: u64,
    /// B: visits that the caller gave up.
    pub abandoned: u64,
    /// F: visits that ended otherwise: waited too long, lost with the exchange.
    pub flowed_out: u64,
    /// Visits that did not end.
    pub waiting: u64,
}

impl Visits {
    /// Whether nobody is missing and nobody counts twice.
    pub const fn add_up(&self) -> bool {
        self.offered == self.answered + self.abandoned + self.flowed_out + self.waiting
    }
}

/// Recordings, held against log and files.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Recordings {
    /// How many there are.
    pub count: u64,
    /// Seconds that both sides should last.
    pub seconds_expected: f64,
    /// Of these: with speech.
    pub seconds_covered: f64,
    /// The others, by why.
    pub gaps_s: BTreeMap<&'static str, f64>,
    /// What does not agree.
    pub faults: Vec<String>,
}

/// The account of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Account {
    /// Calls that the exchange took on, by its log.
    pub calls_begun: u64,
    /// Call records.
    pub records: u64,
    /// How many calls ended how: what the caller saw, and the record.
    pub ends: Vec<Ends>,
    /// Visits, counted from the log.
    pub visits: Visits,
    /// Recordings.
    pub recordings: Recordings,
    /// Calls that a caller saw answered, or an agent, right before the exchange was killed, and that are not remembered so.
    pub last_words: u64,
    /// Calls of which the two do not tell the same, and what else is wrong.
    pub unaccounted: Vec<String>,
    /// How many those are.
    pub unaccounted_count: u64,
}

/// Calls that ended alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ends {
    /// What the caller saw.
    pub caller: String,
    /// What the record says; none where there is none.
    pub record: Option<String>,
    /// How many.
    pub calls: u64,
}

impl Account {
    /// Whether each call, visit and recording is accounted for.
    pub fn holds(&self) -> bool {
        self.unaccounted_count == 0
            && self.visits.add_up()
            && self.visits.waiting == 0
            && self.recordings.faults.is_empty()
    }

    fn miss(&mut self, what: String) {
        self.unaccounted_count += 1;
        if self.unaccounted.len() < TOLD_MAX {
            self.unaccounted.push(what);
        }
    }
}

/// Holds the exchange's memory in `data` against what callers saw.
pub fn account(data: &Path, run: &Run<'_>) -> Result<Account> {
    let archive = Archive::open(data).context("the exchange's memory")?;
    let mut account = Account::default();
    let (begun, ended) = account.read_log(&archive)?;
    let records = records(&archive)?;
    account.records = records.len() as u64;
    for call in begun.difference(&ended) {
        account.miss(format!("{call} began and has no end in the log"));
    }
    for call in ended.iter().filter(|call| !records.contains_key(call)) {
        account.miss(format!("{call} ended and has no record"));
    }
    account.match_calls(&archive, &records, run)?;
    for record in records.values() {
        let lasted = record.ended.since(record.started);
        if lasted > run.lasted + SLEW_MAX {
            account.miss(format!("{} lasted {lasted} by its record, the whole run {}", record.id, run.lasted));
        }
    }
    account.recordings = recordings(&archive, data)?;
    Ok(account)
}

fn records(archive: &Archive) -> Result<BTreeMap<CallId, CallRecord>> {
    let (mut records, mut unread) = (BTreeMap::new(), 0);
    archive.calls(|row| match serde_json::from_str::<CallRecord>(&row.json) {
        Ok(record) => drop(records.insert(row.id, record)),
        Err(_) => unread += 1,
    })?;
    anyhow::ensure!(unread == 0, "{unread} call records cannot be read");
    Ok(records)
}

impl Account {
    /// Counts visits, and gives the calls that began, and those that ended.
    fn read_log(&mut self, archive: &Archive) -> Result<(BTreeSet<CallId>, BTreeSet<CallId>)> {
        let (mut begun, mut ended, mut unread) = (BTreeSet::new(), BTreeSet::new(), 0);
        let mut open: BTreeSet<VisitId> = BTreeSet::new();
        let visits = &mut self.visits;
        let mut twice = Vec::new();
        archive.read_log(|record| match LogEvent::decode(&record.bytes) {
            Ok(LogEvent::Call(CallEvent::Began { call, .. })) => drop(begun.insert(call)),
            Ok(LogEvent::Call(CallEvent::Ended { call, .. })) => {
                if !ended.insert(call) {
                    twice.push(format!("{call} ended twice"));
                }
            }
            Ok(LogEvent::Acd(event)) => {
                let over = match &event {
                    AcdEvent::Entered { visit, .. } => {
                        visits.offered += 1;
                        open.insert(*visit);
                        None
                    }
                    AcdEvent::Accepted { visit, .. } => Some((visit, &mut visits.answered)),
                    AcdEvent::Left { visit, outcome: Left::Abandoned, .. } => Some((visit, &mut visits.abandoned)),
                    AcdEvent::Left { visit, outcome: Left::FlowedOut(_), .. } => Some((visit, &mut visits.flowed_out)),
                    _ => None,
                };
                if let Some((visit, count)) = over {
                    *count += 1;
                    if !open.remove(visit) {
                        twice.push(format!("{visit} ended and was not open"));
                    }
                }
            }
            Ok(LogEvent::Call(_) | LogEvent::Callback(_) | LogEvent::Alarm(_)) => {}
            Err(_) => unread += 1,
        })?;
        self.visits.waiting = open.len() as u64;
        self.calls_begun = begun.len() as u64;
        for what in twice {
            self.miss(what);
        }
        anyhow::ensure!(unread == 0, "{unread} events cannot be read");
        Ok((begun, ended))
    }

    /// Finds the record of each call by its caller's name.
    fn match_calls(&mut self, archive: &Archive, records: &BTreeMap<CallId, CallRecord>, run: &Run<'_>) -> Result<()> {
        let by_person: BTreeMap<_, _> = records.values().map(|record| (record.caller, record)).collect();
        let (mut ends, mut seen): (BTreeMap<(String, Option<String>), u64>, _) = (BTreeMap::new(), BTreeSet::new());
        for outcome in run.outcomes {
            let name = format!("cx{}", outcome.number);
            let record = archive.persons(&name)?.iter().find_map(|person| by_person.get(person).copied());
            seen.extend(record.map(|record| record.id));
            let end = record.map(|record| record.end.name().to_owned());
            let name_it = |account: &mut Self, at: Tick, what: String| {
                if run.may_be_lost(at) {
                    account.last_words += 1;
                } else {
                    account.miss(what);
                }
            };
            match (record, outcome.answered, outcome.served) {
                (None, Some(at), _) => name_it(self, at, format!("{name} was answered and has no record")),
                (Some(record), _, Some(at)) if record.talks.is_empty() => {
                    let what = format!("{name} talked to an agent, of which its record ({}) tells nothing", record.id);
                    name_it(self, at, what);
                }
                (Some(_) | None, _, _) => {}
            }
            *ends.entry((outcome.end.clone(), end)).or_default() += 1;
        }
        for id in records.keys().filter(|id| !seen.contains(*id)) {
            self.miss(format!("the record of {id} is of nobody who called"));
        }
        self.ends = ends.into_iter().map(|((caller, record), calls)| Ends { caller, record, calls }).collect();
        Ok(())
    }
}

fn recordings(archive: &Archive, data: &Path) -> Result<Recordings> {
    let audit = recording::verify(archive, &Shelf::local(data.join("recordings")), false)?;
    let seconds = |ms: u64| ms as f64 / 1_000.0;
    let told = |fault: &recording::Fault| {
        let which = fault.recording.as_deref().unwrap_or("?");
        format!("{which}: {}", fault.detail)
    };
    Ok(Recordings {
        count: audit.recordings,
        seconds_expected: seconds(audit.expected_ms),
        seconds_covered: seconds(audit.covered_ms),
        gaps_s: audit.gaps_ms.iter().map(|(why, ms)| (*why, seconds(*ms))).collect(),
        faults: audit.faults.iter().map(told).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_add_up_where_each_has_one_end_or_none() {
        let visits = Visits { offered: 10, answered: 6, abandoned: 2, flowed_out: 1, waiting: 1 };
        assert!(visits.add_up());
        assert!(!Visits { answered: 7, ..visits }.add_up() && !Visits { waiting: 0, ..visits }.add_up());
        let mut account = Account { visits: Visits { waiting: 0, offered: 9, ..visits }, ..Account::default() };
        assert!(account.holds());
        account.miss("cx1 was answered and has no record".to_owned());
        assert!(!account.holds());
        assert!(!Account { visits, ..Account::default() }.holds(), "somebody still waits after the end");
    }
}
