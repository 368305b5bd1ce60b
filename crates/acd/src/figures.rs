//! Figures: folds of events. Every visit belongs to the interval in which it entered.

use core::hash::{Hash, Hasher};
use std::collections::BTreeMap;

use offhook_units::{AgentId, QueueId, Span, Tick};

use crate::config::{Formula, ServiceLevel};
use crate::counting::Sheet;
use crate::forecast::{Expected, pinball};
use crate::state::AgentKind;
use crate::table::Table;

/// How long an interval is; intervals begin at midnight UTC.
pub const INTERVAL: Span = Span::from_s(15 * 60);
/// Most intervals kept of each queue: two days. Older ones are added up.
pub const INTERVALS_MAX: usize = 192;
/// Upper bounds of the wait histogram's buckets in seconds, inclusive; one more bucket takes what is longer.
pub const WAIT_BOUNDS_S: [u64; 23] =
    [1, 2, 3, 5, 8, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 420, 600, 900, 1_200, 1_800, 3_600, 7_200];

const DAY: Span = Span::from_s(24 * 3_600);
const _: () = assert!(DAY.as_us().is_multiple_of(INTERVAL.as_us()), "a day is a whole number of intervals");
const _: () = assert!(INTERVALS_MAX as u64 >= DAY.as_us() / INTERVAL.as_us(), "today's intervals are all kept");

/// How many waits ended in each bucket of [`WAIT_BOUNDS_S`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Histogram([u32; WAIT_BOUNDS_S.len() + 1]);

impl Histogram {
    /// Counts per bucket; the last one is of waits longer than every bound.
    pub fn counts(&self) -> &[u32] {
        &self.0
    }

    pub(crate) fn add(&mut self, wait: Span) {
        let bucket = WAIT_BOUNDS_S.partition_point(|bound| Span::from_s(*bound) < wait);
        self.0[bucket] = self.0[bucket].saturating_add(1);
    }
}

impl Hash for Histogram {
    /// Number by number: the bytes of a whole array differ between machines.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|count| state.write_u32(*count));
    }
}

/// Figures of a queue: of the visits that began in some span of time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct QueueFigures {
    /// O: visits that began.
    pub offered: u64,
    /// A: visits that ended answered.
    pub answered: u64,
    /// B: visits that ended abandoned.
    pub abandoned: u64,
    /// F: visits that ended flowed out.
    pub flowed_out: u64,
    /// A with a wait of at most T.
    pub answered_in_time: u64,
    /// B with a wait of at most T.
    pub abandoned_in_time: u64,
    /// B with a wait of at most S.
    pub abandoned_short: u64,
    /// Sum of the waits of A.
    pub answered_wait: Span,
    /// Sum of the waits of B.
    pub abandoned_wait: Span,
    /// Waits of A by length.
    pub answered_waits: Histogram,
    /// Waits of B by length.
    pub abandoned_waits: Histogram,
    /// The longest wait of A, B and F.
    pub longest_wait: Span,
    /// Offers made to agents.
    pub offers: u64,
    /// Offers declined.
    pub declined: u64,
    /// Offers that nobody answered.
    pub missed: u64,
    /// Contacts served to the end.
    pub handled: u64,
    /// Time in conversation.
    pub talk: Span,
    /// Time on hold.
    pub hold: Span,
    /// Time in wrap-up.
    pub wrap_up: Span,
    /// How good the forecasts were of the waits of these visits.
    pub forecasts: ForecastFigures,
}

/// Forecasts of waits, held against what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ForecastFigures {
    /// Forecasts made.
    pub made: u64,
    /// Of the median.
    pub p50: QuantileFigures,
    /// Of the 80th percentile.
    pub p80: QuantileFigures,
}

/// One quantile of the forecasts. It is within where the wait that was left ended answered by then, and beyond where it went on for longer. Of a contact
/// that left before then nobody knows, and it is in neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct QuantileFigures {
    /// Waits that ended answered within the quantile.
    pub within: u64,
    /// Waits that went beyond it.
    pub beyond: u64,
    /// Waits that ended answered: those that the loss is of.
    pub answered: u64,
    /// Sum of the pinball loss: q x (wait - quantile) where the wait was longer, (1 - q) x (quantile - wait) where it was shorter.
    pub loss: Span,
}

impl ForecastFigures {
    /// Takes the forecasts of other visits in.
    pub fn merge(&mut self, other: &Self) {
        let Self { made, p50, p80 } = other;
        self.made += made;
        self.p50.merge(p50);
        self.p80.merge(p80);
    }
}

impl QuantileFigures {
    /// within / (within + beyond) in hundredths of a percent: 80 % is right for the 80th percentile.
    pub fn coverage(&self) -> Option<u32> {
        ratio(self.within, self.within + self.beyond)
    }

    /// Mean pinball loss: what the forecast was off by, weighed by how likely it was to be off that way. Less is better.
    pub fn mean_loss(&self) -> Option<Span> {
        (self.answered > 0).then(|| self.loss / self.answered)
    }

    fn score(&mut self, percent: u64, quantile: Span, wait: Span, answered: bool) {
        self.within += u64::from(answered && wait <= quantile);
        self.beyond += u64::from(wait > quantile);
        if answered {
            self.answered += 1;
            self.loss += pinball(percent, quantile, wait);
        }
    }

    fn merge(&mut self, other: &Self) {
        let Self { within, beyond, answered, loss } = other;
        self.within += within;
        self.beyond += beyond;
        self.answered += answered;
        self.loss += *loss;
    }
}

impl QueueFigures {
    /// Visits still open: O - A - B - F. Those are included that an agent has taken and whose customer is not reached yet.
    pub fn waiting(&self) -> u64 {
        self.offered.saturating_sub(self.answered + self.abandoned + self.flowed_out)
    }

    /// The service level in hundredths of a percent, rounded half up; none where its denominator is zero.
    pub fn service_level(&self, formula: Formula) -> Option<u32> {
        let (a, b) = (self.answered, self.abandoned);
        let (a_t, b_t, b_s) = (self.answered_in_time, self.abandoned_in_time, self.abandoned_short);
        service_level_per_myriad(formula, a, b, a_t, b_t, b_s)
    }

    /// Average speed of answer: mean wait of A, rounded down to a microsecond.
    pub fn asa(&self) -> Option<Span> {
        (self.answered > 0).then(|| self.answered_wait / self.answered)
    }

    /// Mean wait of B.
    pub fn mean_abandon_wait(&self) -> Option<Span> {
        (self.abandoned > 0).then(|| self.abandoned_wait / self.abandoned)
    }

    /// B / O in hundredths of a percent.
    pub fn abandonment(&self) -> Option<u32> {
        ratio(self.abandoned, self.offered)
    }

    /// Average handling time: (talk + hold + wrap-up) / handled.
    pub fn aht(&self) -> Option<Span> {
        (self.handled > 0).then(|| (self.talk + self.hold + self.wrap_up) / self.handled)
    }

    /// Takes the figures of other intervals, or of another queue, in.
    pub fn merge(&mut self, other: &Self) {
        let Self { offered, answered, abandoned, flowed_out, answered_in_time, abandoned_in_time, .. } = other;
        let Self { abandoned_short, answered_wait, abandoned_wait, answered_waits, abandoned_waits, .. } = other;
        let Self { longest_wait, offers, declined, missed, handled, talk, hold, wrap_up, forecasts, .. } = other;
        self.offered += offered;
        self.answered += answered;
        self.abandoned += abandoned;
        self.flowed_out += flowed_out;
        self.answered_in_time += answered_in_time;
        self.abandoned_in_time += abandoned_in_time;
        self.abandoned_short += abandoned_short;
        self.answered_wait += *answered_wait;
        self.abandoned_wait += *abandoned_wait;
        for (mine, theirs) in [(&mut self.answered_waits, answered_waits), (&mut self.abandoned_waits, abandoned_waits)]
        {
            mine.0.iter_mut().zip(theirs.0).for_each(|(mine, theirs)| *mine = mine.saturating_add(theirs));
        }
        self.longest_wait = self.longest_wait.max(*longest_wait);
        self.offers += offers;
        self.declined += declined;
        self.missed += missed;
        self.handled += handled;
        self.talk += *talk;
        self.hold += *hold;
        self.wrap_up += *wrap_up;
        self.forecasts.merge(forecasts);
    }
}

/// A service level by name in hundredths of a percent, rounded half up: of A answered and B abandoned, of which `a_t` and `b_t` within T, `b_s`
/// within S. None where the denominator is zero.
pub fn service_level_per_myriad(formula: Formula, a: u64, b: u64, a_t: u64, b_t: u64, b_s: u64) -> Option<u32> {
    match formula {
        Formula::Credit => ratio(a_t + b_t, a + b),
        Formula::AnsweredOnly => ratio(a_t, a),
        Formula::Strict => ratio(a_t, a + b),
        Formula::LateAbandon => ratio(a_t, a + b.saturating_sub(b_t)),
        Formula::ShortCredit => ratio(a_t + b_s, a + b),
        Formula::ShortExcluded => ratio(a_t, a + b.saturating_sub(b_s)),
    }
}

fn ratio(part: u64, whole: u64) -> Option<u32> {
    let (part, whole) = (u128::from(part), u128::from(whole));
    (whole > 0).then(|| u32::try_from((part * 10_000 + whole / 2) / whole).unwrap_or(u32::MAX))
}

/// Figures of an agent since the shift began.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AgentFigures {
    /// When the shift began; none before the first one.
    pub shift_began: Option<Tick>,
    /// Time in each state, the one that lasts included, in the order of [`AgentKind::ALL`]; they sum to the shift.
    pub in_state: [Span; AgentKind::ALL.len()],
    /// Offers received.
    pub offers: u32,
    /// Offers accepted.
    pub accepted: u32,
    /// Offers declined.
    pub declined: u32,
    /// Offers not answered.
    pub missed: u32,
    /// Contacts served to the end.
    pub handled: u32,
    /// Time in conversation.
    pub talk: Span,
    /// Time on hold.
    pub hold: Span,
    /// Time in wrap-up.
    pub wrap_up: Span,
}

impl AgentFigures {
    /// Takes the figures of other intervals in; the shift began when it did.
    pub fn merge(&mut self, other: &Self) {
        let Self { shift_began: _, in_state, offers, accepted, declined, missed, handled, talk, hold, wrap_up } = other;
        self.in_state.iter_mut().zip(in_state).for_each(|(mine, theirs)| *mine += *theirs);
        self.offers += offers;
        self.accepted += accepted;
        self.declined += declined;
        self.missed += missed;
        self.handled += handled;
        self.talk += *talk;
        self.hold += *hold;
        self.wrap_up += *wrap_up;
    }

    /// Time in one state.
    pub fn time_in(&self, kind: AgentKind) -> Span {
        self.in_state[kind as usize]
    }

    /// (talk + hold + wrap-up) / (that + available) in hundredths of a percent.
    pub fn occupancy(&self) -> Option<u32> {
        let work = self.time_in(AgentKind::Busy) + self.time_in(AgentKind::WrapUp);
        ratio(work.as_us(), (work + self.time_in(AgentKind::Available)).as_us())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Figures {
    queues: Table<QueueId, QueueRecord>,
    /// Each in a place of its own: a table has more places than entries.
    agents: Table<AgentId, Box<AgentFigures>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct QueueRecord {
    promise: ServiceLevel,
    /// By number of the interval since the epoch.
    intervals: BTreeMap<u64, QueueFigures>,
    /// Intervals no longer kept.
    older: QueueFigures,
}

const fn interval_of(at: Tick) -> u64 {
    at.as_us() / INTERVAL.as_us()
}

impl QueueRecord {
    fn at(&mut self, at: Tick) -> &mut QueueFigures {
        let interval = interval_of(at);
        let is_old = self.intervals.len() >= INTERVALS_MAX
            && self.intervals.first_key_value().is_some_and(|(first, _)| interval < *first);
        if is_old {
            return &mut self.older;
        }
        if self.intervals.len() >= INTERVALS_MAX
            && !self.intervals.contains_key(&interval)
            && let Some((_, oldest)) = self.intervals.pop_first()
        {
            self.older.merge(&oldest);
        }
        self.intervals.entry(interval).or_default()
    }
}

impl Sheet for Figures {
    fn promise(&mut self, queue: QueueId, promise: ServiceLevel) {
        self.queues.or_insert_with(queue, QueueRecord::default).promise = promise;
    }

    fn drop_queue(&mut self, queue: QueueId) {
        self.queues.remove(&queue);
    }

    fn drop_agent(&mut self, agent: AgentId) {
        self.agents.remove(&agent);
    }

    fn begin_shift(&mut self, agent: AgentId, at: Tick) {
        let fresh = AgentFigures { shift_began: Some(at), ..AgentFigures::default() };
        self.agents.insert(agent, Box::new(fresh));
    }

    fn queue(&mut self, id: QueueId, at: Tick, change: impl FnOnce(&mut QueueFigures, ServiceLevel)) {
        if let Some(record) = self.queues.get_mut(&id) {
            let promise = record.promise;
            change(record.at(at), promise);
        }
    }

    /// An agent counts from the first shift on.
    fn agent(&mut self, id: AgentId, _at: Tick, change: impl FnOnce(&mut AgentFigures)) {
        if let Some(figures) = self.agents.get_mut(&id) {
            change(figures);
        }
    }
}

impl Figures {
    /// Holds a forecast against what was left of the wait; comes before the end of the visit itself is counted.
    pub fn score(&mut self, queue: QueueId, entered_at: Tick, said: Expected, wait: Span, answered: bool) {
        self.queue(queue, entered_at, |figures, _| {
            figures.forecasts.p50.score(50, said.p50, wait, answered);
            figures.forecasts.p80.score(80, said.p80, wait, answered);
        });
    }

    /// An agent leaves a state that lasted so long; comes before the event itself is counted.
    pub fn leave_state(&mut self, agent: AgentId, kind: AgentKind, lasted: Span) {
        if let Some(figures) = self.agents.get_mut(&agent) {
            figures.in_state[kind as usize] += lasted;
        }
    }

    pub fn since_midnight(&self, id: QueueId, now: Tick) -> QueueFigures {
        self.since_interval(id, now.as_us() / DAY.as_us() * (DAY.as_us() / INTERVAL.as_us()))
    }

    /// Of the visits that entered in the latest intervals, the one that lasts included.
    pub fn lately(&self, id: QueueId, now: Tick, intervals: u64) -> QueueFigures {
        self.since_interval(id, (interval_of(now) + 1).saturating_sub(intervals))
    }

    fn since_interval(&self, id: QueueId, first: u64) -> QueueFigures {
        let mut sum = QueueFigures::default();
        let record = self.queues.get(&id).into_iter();
        for (_, figures) in record.flat_map(|record| record.intervals.range(first..)) {
            sum.merge(figures);
        }
        sum
    }

    pub fn intervals(&self, id: QueueId) -> impl Iterator<Item = (Tick, &QueueFigures)> {
        let record = self.queues.get(&id).into_iter();
        record.flat_map(|record| {
            record.intervals.iter().map(|(number, figures)| (Tick::ZERO + INTERVAL * *number, figures))
        })
    }

    pub fn all_time(&self, id: QueueId) -> QueueFigures {
        let Some(record) = self.queues.get(&id) else { return QueueFigures::default() };
        let mut sum = record.older.clone();
        record.intervals.values().for_each(|figures| sum.merge(figures));
        sum
    }

    /// Visits still open, of all time.
    pub fn open_visits(&self, id: QueueId) -> u64 {
        let Some(record) = self.queues.get(&id) else { return 0 };
        record.older.waiting() + record.intervals.values().map(QueueFigures::waiting).sum::<u64>()
    }

    /// An agent's figures with the state that lasts.
    pub fn agent(&self, id: AgentId, kind: AgentKind, lasts: Span) -> Option<AgentFigures> {
        let mut figures = AgentFigures::clone(self.agents.get(&id)?);
        figures.in_state[kind as usize] += lasts;
        Some(figures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_level_of_the_test_vector_comes_out_to_the_hundredth_of_a_percent() {
        let figures = QueueFigures {
            answered: 1_000,
            abandoned: 60,
            answered_in_time: 860,
            abandoned_in_time: 20,
            abandoned_short: 10,
            ..QueueFigures::default()
        };
        let rows = Formula::ALL.map(|formula| (formula.name(), figures.service_level(formula)));
        let expected = [
            ("credit", 8_302),
            ("answered-only", 8_600),
            ("strict", 8_113),
            ("late-abandon", 8_269),
            ("short-credit", 8_208),
            ("short-excluded", 8_190),
        ];
        assert_eq!(rows, expected.map(|(name, level)| (name, Some(level))));
        assert_eq!(QueueFigures::default().service_level(Formula::Strict), None);
    }
}
