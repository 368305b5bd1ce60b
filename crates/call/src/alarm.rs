//! Alarms: figures held against thresholds, raised and cleared with hysteresis. A machine of its own, given the time and readings.

use std::collections::BTreeMap;

use offhook_units::{Span, Tick};
use serde::{Deserialize, Serialize};

/// Most rules of a configuration.
pub const ALARMS_MAX: usize = 100;
/// How far back beyond its threshold a figure has to be before its alarm may end, in hundredths of the threshold, rounded down.
pub const HYSTERESIS_PERCENT: u64 = 10;

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Contacts waiting in a queue, at least so many.
    Waiting,
    /// How long the one at the head of a queue has waited, in seconds, at least so long.
    LongestWait,
    /// A queue's service level in percent, by its formula, below this.
    ServiceLevel,
    /// Agents available in a queue, fewer than this.
    AgentsReady,
    /// Places of a trunk that do not answer, or its registration where it is not held: 1 where no call could go there.
    TrunkDown,
    /// Free room of a disk in MB, less than this.
    DiskFree,
    /// Recordings that failed within five minutes, at least so many.
    RecordingFaults,
}

impl Measure {
    /// Each with its name.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Waiting, "waiting"),
        (Self::LongestWait, "longest-wait"),
        (Self::ServiceLevel, "service-level"),
        (Self::AgentsReady, "agents-ready"),
        (Self::TrunkDown, "trunk-down"),
        (Self::DiskFree, "disk-free"),
        (Self::RecordingFaults, "recording-faults"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(measure, _)| *measure == self).map_or("", |(_, name)| name)
    }

    /// Whether small figures are the bad ones.
    const fn is_floor(self) -> bool {
        match self {
            Self::ServiceLevel | Self::AgentsReady | Self::DiskFree => true,
            Self::Waiting | Self::LongestWait | Self::TrunkDown | Self::RecordingFaults => false,
        }
    }

    fn is_bad(self, value: u64, limit: u64) -> bool {
        if self.is_floor() { value < limit } else { value >= limit }
    }

    /// Whether it is good by so much that the alarm may end.
    fn is_well(self, value: u64, limit: u64) -> bool {
        let margin = limit.saturating_mul(HYSTERESIS_PERCENT) / 100;
        if self.is_floor() { value >= limit.saturating_add(margin) } else { value < limit - margin.min(limit) }
    }
}

/// When an alarm is raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it is called.
    pub name: String,
    /// What is watched.
    pub measure: Measure,
    /// Of this queue or trunk; of every one where it is not said.
    pub of: Option<String>,
    /// The threshold, in the measure's unit.
    pub limit: u64,
    /// Raised once it has been bad for so long.
    pub after: Span,
    /// Cleared once it has been well for so long.
    pub clear_after: Span,
}

/// A figure as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What it is.
    pub measure: Measure,
    /// Of which queue, trunk or disk.
    pub subject: String,
    /// The figure; none where there is none, which is never bad.
    pub value: Option<u64>,
}

/// What happened to an alarm, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlarmEvent {
    /// It was raised.
    Raised {
        /// Which.
        alarm: String,
        /// Of which queue, trunk or disk.
        subject: String,
        /// What is watched.
        measure: String,
        /// The figure.
        value: u64,
        /// Its threshold.
        limit: u64,
    },
    /// It is over.
    Cleared {
        /// Which.
        alarm: String,
        /// Of which queue, trunk or disk.
        subject: String,
    },
}

/// An alarm that is raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmView {
    /// What it is called.
    pub alarm: String,
    /// Of which queue, trunk or disk.
    pub subject: String,
    /// What is watched.
    pub measure: &'static str,
    /// The figure as it was last.
    pub value: u64,
    /// Its threshold.
    pub limit: u64,
    /// Since when.
    pub since: Tick,
}

/// Alarms of a log, as far as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logged(BTreeMap<(String, String), Standing>);

impl Logged {
    /// What happened next.
    pub fn fold(&mut self, at: Tick, event: &AlarmEvent) {
        match event {
            AlarmEvent::Raised { alarm, subject, value, .. } => {
                let standing = Standing { state: State::Raised { at }, value: *value };
                self.0.insert((alarm.clone(), subject.clone()), standing);
            }
            AlarmEvent::Cleared { alarm, subject } => _ = self.0.remove(&(alarm.clone(), subject.clone())),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Bad, and not for long enough.
    Rising {
        since: Tick,
    },
    Raised {
        at: Tick,
    },
    /// Well, and not for long enough.
    Falling {
        at: Tick,
        since: Tick,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    state: State,
    /// The last figure.
    value: u64,
}

/// All alarms.
#[derive(Debug, Default)]
pub struct Alarms {
    rules: Vec<Rule>,
    /// What is not calm, by rule and subject.
    standing: BTreeMap<(String, String), Standing>,
}

impl Alarms {
    /// None is raised yet.
    pub const fn new(rules: Vec<Rule>) -> Self {
        Self { rules, standing: BTreeMap::new() }
    }

    /// Those that the log says were raised when the exchange last ended stay raised, without being raised anew: with the next readings they are
    /// judged like all others, and those of rules that are gone are over.
    pub fn go_on(&mut self, before: Logged) {
        self.standing.extend(before.0);
    }

    /// Whether there is anything to watch.
    pub fn is_idle(&self) -> bool {
        self.rules.is_empty() && self.standing.is_empty()
    }

    /// Goes over to other rules. Alarms of rules that are gone, or others now, are over with the next readings.
    pub fn follow(&mut self, rules: Vec<Rule>) {
        for old in &self.rules {
            if !rules.contains(old) {
                for (_, standing) in self.standing.iter_mut().filter(|((rule, _), _)| *rule == old.name) {
                    // What is raised is looked at anew; what is not raised yet begins anew.
                    if let State::Falling { at, .. } = standing.state {
                        standing.state = State::Raised { at };
                    }
                }
            }
        }
        self.rules = rules;
    }

    /// Takes all figures as they are now; gives what was raised and cleared.
    pub fn handle(&mut self, now: Tick, readings: &[Reading]) -> Vec<AlarmEvent> {
        let mut events = Vec::new();
        let mut seen: BTreeMap<(String, String), Standing> = BTreeMap::new();
        for rule in &self.rules {
            let of = readings.iter().filter(|reading| reading.measure == rule.measure);
            for reading in of.filter(|reading| rule.of.as_ref().is_none_or(|of| *of == reading.subject)) {
                let key = (rule.name.clone(), reading.subject.clone());
                let before = self.standing.remove(&key);
                if let Some(standing) = turn(rule, now, reading, before, &mut events) {
                    seen.insert(key, standing);
                }
            }
        }
        // What is left has no reading any more: its rule, queue or trunk is gone.
        for ((alarm, subject), standing) in core::mem::replace(&mut self.standing, seen) {
            if standing.raised().is_some() {
                events.push(AlarmEvent::Cleared { alarm, subject });
            }
        }
        events
    }

    /// Those that are raised, by name and subject.
    pub fn raised(&self) -> Vec<AlarmView> {
        let view = |((alarm, subject), standing): (&(String, String), &Standing)| {
            let rule = self.rules.iter().find(|rule| rule.name == *alarm)?;
            let (measure, limit, since) = (rule.measure.name(), rule.limit, standing.raised()?);
            Some(AlarmView {
                alarm: alarm.clone(),
                subject: subject.clone(),
                measure,
                value: standing.value,
                limit,
                since,
            })
        };
        self.standing.iter().filter_map(view).collect()
    }
}

impl Standing {
    const fn raised(&self) -> Option<Tick> {
        match self.state {
            State::Rising { .. } => None,
            State::Raised { at } | State::Falling { at, .. } => Some(at),
        }
    }
}

/// One alarm's next state; none where it is calm.
fn turn(
    rule: &Rule,
    now: Tick,
    reading: &Reading,
    before: Option<Standing>,
    events: &mut Vec<AlarmEvent>,
) -> Option<Standing> {
    let is_bad = reading.value.is_some_and(|value| rule.measure.is_bad(value, rule.limit));
    let is_well = reading.value.is_none_or(|value| rule.measure.is_well(value, rule.limit));
    let value = reading.value.unwrap_or_default();
    let (alarm, subject) = (&rule.name, &reading.subject);
    let state = match before.map(|before| before.state) {
        None if is_bad => State::Rising { since: now },
        None => return None,
        Some(State::Rising { .. }) if !is_bad => return None,
        Some(rising @ State::Rising { .. }) => rising,
        Some(State::Raised { at }) if is_well => State::Falling { at, since: now },
        Some(raised @ State::Raised { .. }) => raised,
        Some(State::Falling { at, .. }) if !is_well => State::Raised { at },
        Some(falling @ State::Falling { .. }) => falling,
    };
    let state = match state {
        State::Rising { since } if now - since >= rule.after => {
            events.push(AlarmEvent::Raised {
                alarm: alarm.clone(),
                subject: subject.clone(),
                measure: rule.measure.name().to_owned(),
                value,
                limit: rule.limit,
            });
            State::Raised { at: now }
        }
        State::Falling { since, .. } if now - since >= rule.clear_after => {
            events.push(AlarmEvent::Cleared { alarm: alarm.clone(), subject: subject.clone() });
            return None;
        }
        state => state,
    };
    Some(Standing { state, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(measure: Measure, limit: u64) -> Rule {
        let (after, clear_after) = (Span::from_s(10), Span::from_s(30));
        Rule { name: "busy".to_owned(), measure, of: None, limit, after, clear_after }
    }

    /// Feeds `(second, figure)` of the queue sales, and tells what happened when.
    fn told(rule: &Rule, figures: &[(u64, u64)]) -> Vec<(u64, &'static str)> {
        let mut alarms = Alarms::new(vec![rule.clone()]);
        let mut told = Vec::new();
        for (second, value) in figures {
            let reading = Reading { measure: rule.measure, subject: "sales".to_owned(), value: Some(*value) };
            for event in alarms.handle(Tick::ZERO + Span::from_s(*second), &[reading]) {
                told.push((*second, if matches!(event, AlarmEvent::Raised { .. }) { "raised" } else { "cleared" }));
            }
        }
        told
    }

    #[test]
    fn an_alarm_is_raised_after_a_while_and_a_peak_raises_none() {
        let figures: Vec<_> = (0..60).map(|s| (s, if (5..12).contains(&s) || s >= 20 { 10 } else { 3 })).collect();
        assert_eq!(told(&rule(Measure::Waiting, 10), &figures), [(30, "raised")]);
    }

    #[test]
    fn a_figure_at_its_threshold_neither_clears_nor_flaps() {
        // From second 20 on it swings between 9, which is within a tenth of the threshold, and 10.
        let figures: Vec<_> = (0..100).map(|s| (s, if s < 20 || s % 2 == 0 { 10 } else { 9 })).collect();
        assert_eq!(told(&rule(Measure::Waiting, 10), &figures), [(10, "raised")]);
        let figures: Vec<_> = (0..100).map(|s| (s, if s < 20 || s == 40 { 10 } else { 8 })).collect();
        assert_eq!(told(&rule(Measure::Waiting, 10), &figures), [(10, "raised"), (71, "cleared")]);
    }

    #[test]
    fn floors_are_bad_below_and_well_a_tenth_above() {
        let figures: Vec<_> = (0..120)
            .map(|s| {
                (
                    s,
                    if s < 40 {
                        79
                    } else if s < 60 {
                        85
                    } else {
                        88
                    },
                )
            })
            .collect();
        assert_eq!(told(&rule(Measure::ServiceLevel, 80), &figures), [(10, "raised"), (90, "cleared")]);
        let figures: Vec<_> = (0..60).map(|s| (s, u64::from(s >= 20))).collect();
        assert_eq!(told(&rule(Measure::AgentsReady, 1), &figures), [(10, "raised"), (50, "cleared")]);
        let figures: Vec<_> = (0..60).map(|s| (s, u64::from(s < 20))).collect();
        assert_eq!(told(&rule(Measure::TrunkDown, 1), &figures), [(10, "raised"), (50, "cleared")]);
    }

    #[test]
    fn each_queue_has_an_alarm_of_its_own_and_one_that_is_gone_has_none() {
        let reading =
            |subject: &str| Reading { measure: Measure::Waiting, subject: subject.to_owned(), value: Some(20) };
        let mut alarms = Alarms::new(vec![rule(Measure::Waiting, 10)]);
        let both = [reading("sales"), reading("support")];
        assert!(alarms.handle(Tick::ZERO, &both).is_empty() && alarms.raised().is_empty());
        let at = Tick::ZERO + Span::from_s(10);
        assert_eq!(alarms.handle(at, &both).len(), 2);
        let raised = alarms.raised();
        assert_eq!((raised.len(), raised[0].subject.as_str(), raised[0].since, raised[0].value), (2, "sales", at, 20));
        let gone = alarms.handle(at, &both[1..]);
        assert_eq!(gone, [AlarmEvent::Cleared { alarm: "busy".to_owned(), subject: "sales".to_owned() }]);
        alarms.follow(vec![Rule { of: Some("sales".to_owned()), ..rule(Measure::Waiting, 10) }]);
        let gone = alarms.handle(at, &both[1..]);
        assert_eq!(gone, [AlarmEvent::Cleared { alarm: "busy".to_owned(), subject: "support".to_owned() }]);
        alarms.follow(Vec::new());
        assert!(alarms.handle(at, &both).is_empty() && alarms.is_idle());
    }

    #[test]
    fn an_alarm_that_stands_over_a_restart_is_not_raised_anew_and_ends_as_all_do() {
        let reading = |value| [Reading { measure: Measure::Waiting, subject: "sales".to_owned(), value: Some(value) }];
        let at = |s| Tick::ZERO + Span::from_s(s);
        let mut first = Alarms::new(vec![rule(Measure::Waiting, 10)]);
        let mut logged = Logged::default();
        for s in 0..20 {
            first.handle(at(s), &reading(12)).iter().for_each(|event| logged.fold(at(s), event));
        }
        let mut second = Alarms::new(vec![rule(Measure::Waiting, 10)]);
        second.go_on(logged.clone());
        assert_eq!(second.raised(), first.raised());
        assert!((100..130).all(|s| second.handle(at(s), &reading(12)).is_empty()), "it stands");
        assert_eq!(second.raised()[0].since, at(10));
        let cleared: Vec<u64> = (130..200).filter(|s| !second.handle(at(*s), &reading(0)).is_empty()).collect();
        assert_eq!(cleared, [160]);
        // Its rule is gone.
        let mut third = Alarms::new(Vec::new());
        third.go_on(logged.clone());
        assert!(!third.is_idle());
        let gone = third.handle(at(100), &reading(12));
        assert_eq!(gone, [AlarmEvent::Cleared { alarm: "busy".to_owned(), subject: "sales".to_owned() }]);
        logged.fold(at(160), &gone[0]);
        assert_eq!(logged, Logged::default());
    }

    #[test]
    fn a_figure_that_is_not_there_is_well() {
        let mut alarms = Alarms::new(vec![rule(Measure::ServiceLevel, 80)]);
        let reading = |value| [Reading { measure: Measure::ServiceLevel, subject: "sales".to_owned(), value }];
        let at = |s| Tick::ZERO + Span::from_s(s);
        alarms.handle(at(0), &reading(Some(10)));
        assert_eq!(alarms.handle(at(10), &reading(Some(10))).len(), 1);
        assert!(alarms.handle(at(11), &reading(None)).is_empty());
        assert_eq!(alarms.handle(at(41), &reading(None)).len(), 1, "cleared");
    }
}
