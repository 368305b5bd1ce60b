//! What a day looked like: how many waited, how well and how busily, by stretches of time; folds of the events by the distributor's own counting.

use std::collections::BTreeMap;

use offhook_acd::{Acd, AgentFigures, AgentKind, Event, Formula, QueueFigures, Report};
use offhook_units::{AgentId, Span, Tick};

use super::Outcome;

/// Most stretches that a day is looked at by.
const STRETCHES_MAX: u64 = 96;
/// How long a stretch may be; the shortest is taken that divides the day into few enough.
const STEPS_S: [u64; 9] = [300, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400, 604_800];
/// Waits are kept by whole seconds up to this; longer ones together.
const WAIT_SECONDS_MAX: usize = 7_200;

/// A stretch of the day.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    /// When it begins, from the beginning of the day.
    pub begins: Span,
    /// Contacts that entered in it.
    pub offered: u64,
    /// Contacts waiting, on the mean over its time.
    pub waiting_mean: f64,
    /// The most that waited at once.
    pub waiting_most: u64,
    /// Service level of those that entered in it, in percent.
    pub service_level: Option<f64>,
    /// Busy and wrap-up against that and available, of all agents, in percent.
    pub occupancy: Option<f64>,
}

/// A day, looked back at.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    /// Counts.
    pub outcome: Outcome,
    /// How the service levels of all queues together are computed: as the queues say where they agree, otherwise as usual.
    pub formula: Formula,
    /// Of all queues together.
    pub total: QueueFigures,
    /// By queue: its name, its own formula, its figures.
    pub queues: Vec<(String, Formula, QueueFigures)>,
    /// The shortest whole number of seconds within which 80 % of the answered were answered; none without any, or beyond two hours.
    pub wait_p80: Option<Span>,
    /// Busy and wrap-up against that and available, of all agents, in percent.
    pub occupancy: Option<f64>,
    /// Standard deviation of that over the agents who worked, in percentage points.
    pub occupancy_spread: Option<f64>,
    /// How long a stretch is.
    pub step: Span,
    /// By time.
    pub stretches: Vec<Stretch>,
}

/// Follows a day.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    begins: Tick,
    step: Span,
    report: Report,
    waiting: Vec<Waiting>,
    waits: u64,
    since: Tick,
    /// Answered after so many seconds, rounded up; the last one takes longer waits.
    answered: Vec<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    /// Contacts x microseconds.
    sum: u128,
    most: u64,
}

impl Watch {
    pub fn new(begins: Tick, lasts: Span) -> Self {
        let fits = |step: &&u64| lasts.as_us().div_ceil(**step * 1_000_000) <= STRETCHES_MAX;
        let step = Span::from_s(*STEPS_S.iter().find(fits).unwrap_or(&STEPS_S[STEPS_S.len() - 1]));
        let stretches = lasts.as_us().div_ceil(step.as_us()).max(1);
        // What happens at the last instant counts too.
        let ends = begins + lasts + Span::from_us(1);
        let bounds = (0..stretches).map(|number| begins + step * number).chain([ends]).collect();
        Self {
            begins,
            step,
            report: Report::new(bounds, []),
            waiting: vec![Waiting::default(); stretches as usize],
            waits: 0,
            since: begins,
            answered: vec![0; WAIT_SECONDS_MAX + 2],
        }
    }

    pub fn follow(&mut self, at: Tick, event: &Event) {
        match event {
            Event::Entered { .. } => {
                self.wait_until(at);
                self.waits += 1;
                let stretch = self.stretch(at);
                self.waiting[stretch].most = self.waiting[stretch].most.max(self.waits);
            }
            Event::Left { .. } => {
                self.wait_until(at);
                self.waits = self.waits.saturating_sub(1);
            }
            Event::Accepted { entered_at, .. } => {
                self.wait_until(at);
                self.waits = self.waits.saturating_sub(1);
                let seconds = (at - *entered_at).as_us().div_ceil(1_000_000) as usize;
                self.answered[seconds.min(WAIT_SECONDS_MAX + 1)] += 1;
            }
            _ => {}
        }
        self.report.fold(at, event);
    }

    fn stretch(&self, at: Tick) -> usize {
        (((at - self.begins).as_us() / self.step.as_us()) as usize).min(self.waiting.len() - 1)
    }

    /// So many have waited from the last change until now.
    fn wait_until(&mut self, at: Tick) {
        let last = self.stretch(at);
        while self.since < at {
            let stretch = self.stretch(self.since);
            let next = self.begins + self.step * (stretch as u64 + 1);
            let until = if stretch == last { at } else { next.min(at) };
            self.waiting[stretch].sum += u128::from(self.waits) * u128::from((until - self.since).as_us());
            self.waiting[stretch].most = self.waiting[stretch].most.max(self.waits);
            self.since = until;
        }
    }

    /// Everything up to now.
    pub fn day(&self, acd: &Acd, now: Tick, outcome: Outcome) -> Day {
        let mut watch = self.clone();
        watch.wait_until(now);
        watch.report.close(now);
        let formula = common_formula(acd);
        let count = watch.waiting.len();
        let mut by_queue = BTreeMap::new();
        let mut by_stretch = vec![QueueFigures::default(); count];
        let mut total = QueueFigures::default();
        for (begins, queue, figures) in watch.report.queues() {
            by_queue.entry(queue).or_insert_with(QueueFigures::default).merge(figures);
            by_stretch[watch.stretch(begins)].merge(figures);
            total.merge(figures);
        }
        let mut by_agent: BTreeMap<AgentId, AgentFigures> = BTreeMap::new();
        let mut worked = vec![AgentFigures::default(); count];
        for (begins, agent, figures) in watch.report.agents() {
            by_agent.entry(agent).or_default().merge(figures);
            worked[watch.stretch(begins)].merge(figures);
        }
        let mut everybody = AgentFigures::default();
        for figures in by_agent.values() {
            everybody.merge(figures);
        }
        let each: Vec<f64> = by_agent.values().filter_map(occupancy).collect();
        let stretches = (0..count).map(|at| {
            let begins = watch.step * at as u64;
            let lasts = (now - (watch.begins + begins)).min(watch.step);
            let Waiting { sum, most } = watch.waiting[at];
            Stretch {
                begins,
                offered: by_stretch[at].offered,
                waiting_mean: sum as f64 / (lasts.as_us() as f64).max(1.0),
                waiting_most: most,
                service_level: percent(by_stretch[at].service_level(formula)),
                occupancy: occupancy(&worked[at]),
            }
        });
        let queues = acd.queues().map(|queue| {
            let figures = by_queue.remove(&queue.id).unwrap_or_default();
            (queue.name.clone(), queue.service_level.formula, figures)
        });
        Day {
            outcome,
            formula,
            stretches: stretches.collect(),
            queues: queues.collect(),
            total,
            wait_p80: watch.quantile(80),
            occupancy: occupancy(&everybody),
            occupancy_spread: deviation(&each),
            step: watch.step,
        }
    }

    /// The least whole number of seconds within which so many percent of the answered were answered.
    fn quantile(&self, percent: u64) -> Option<Span> {
        let all: u64 = self.answered.iter().sum();
        let wanted = (all * percent).div_ceil(100);
        let mut sum = 0;
        let found = self.answered.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        found.filter(|seconds| all > 0 && *seconds <= WAIT_SECONDS_MAX).map(|seconds| Span::from_s(seconds as u64))
    }
}

/// The formula of all queues where they agree.
fn common_formula(acd: &Acd) -> Formula {
    let mut formulas = acd.queues().map(|queue| queue.service_level.formula);
    let first = formulas.next().unwrap_or_default();
    if formulas.all(|formula| formula == first) { first } else { Formula::default() }
}

fn percent(hundredths: Option<u32>) -> Option<f64> {
    hundredths.map(|hundredths| f64::from(hundredths) / 100.0)
}

/// In percent.
fn occupancy(figures: &AgentFigures) -> Option<f64> {
    let work = (figures.time_in(AgentKind::Busy) + figures.time_in(AgentKind::WrapUp)).as_us() as f64;
    let all = work + figures.time_in(AgentKind::Available).as_us() as f64;
    (all > 0.0).then(|| work * 100.0 / all)
}

fn deviation(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (!values.is_empty()).then(|| variance.sqrt())
}
