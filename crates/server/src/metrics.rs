//! Metrics in the OpenMetrics text format: filled by their owners through atomics and closures, read when somebody asks.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use offhook_call::alarm::AlarmView;
use offhook_call::record::CallEnd;
use offhook_call::view::{AgentView, QueueView, TargetView, TrunkCounts, TrunkView};
use offhook_plan::{LevelReport, Quality, SpeechReport};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::dto::{ENDS, end_name};

/// A number that only rises, counted without a lock.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

type Labels = Vec<(String, String)>;

enum Read {
    Counter(Box<dyn Fn() -> u64 + Send + Sync>),
    Gauge(Box<dyn Fn() -> f64 + Send + Sync>),
}

impl Read {
    fn encode(&self, metric: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Self::Counter(read) => metric.encode_counter::<NoLabelSet, u64, u64>(&read(), None),
            Self::Gauge(read) => metric.encode_gauge(&read()),
        }
    }
}

struct Family {
    help: String,
    series: Vec<(Labels, Read)>,
}

/// The registry: each owner puts its figures in before the server starts.
///
/// Counters are named without `_total`; the format adds it. Series of one name must be of one kind.
#[derive(Default)]
pub struct Metrics {
    families: BTreeMap<String, Family>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.families.keys()).finish()
    }
}

impl Metrics {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter that its owner holds and raises.
    pub fn counter(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) -> Counter {
        let counter = Counter::default();
        let read = counter.clone();
        self.counter_fn(name, help, labels, move || read.get());
        counter
    }

    /// A counter that is read by `read` when somebody asks.
    pub fn counter_fn(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.put(name, help, labels, Read::Counter(Box::new(read)));
    }

    /// A gauge that is read by `read` when somebody asks.
    pub fn gauge_fn(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.put(name, help, labels, Read::Gauge(Box::new(read)));
    }

    /// `offhook_calls_total{end}`: raise the one that [`CallsEnded::of`] gives for each ended call.
    pub fn calls_ended(&mut self) -> CallsEnded {
        let help = "Calls that ended, by how they ended";
        CallsEnded(ENDS.map(|end| (end, self.counter("offhook_calls", help, &[("end", end_name(end))]))))
    }

    fn put(&mut self, name: &str, help: &str, labels: &[(&str, &str)], read: Read) {
        let family =
            self.families.entry(name.to_owned()).or_insert_with(|| Family { help: help.to_owned(), series: vec![] });
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        family.series.push((labels, read));
    }

    /// Everything as text, with the figures of queues, agents and trunks as they are now.
    pub(crate) fn encode(
        self: &Arc<Self>,
        queues: &[QueueView],
        agents: &[AgentView],
        trunks: &[TrunkView],
        alarms: &[AlarmView],
    ) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Owners(Arc::clone(self))));
        registry.register_collector(Box::new(Views(
            [views(queues, agents), trunk_views(trunks), vec![alarm_views(alarms)]].concat(),
        )));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// The counters of ended calls.
#[derive(Debug, Clone)]
pub struct CallsEnded([(CallEnd, Counter); ENDS.len()]);

impl CallsEnded {
    /// The counter of calls that ended like this.
    pub fn of(&self, end: CallEnd) -> &Counter {
        let at = self.0.iter().position(|(each, _)| *each == end).unwrap_or(0);
        &self.0[at].1
    }
}

#[derive(Debug)]
struct Owners(Arc<Metrics>);

impl Collector for Owners {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for (name, family) in &self.0.families {
            let kind = match family.series.first() {
                Some((_, Read::Counter(_))) => MetricType::Counter,
                Some((_, Read::Gauge(_))) => MetricType::Gauge,
                None => continue,
            };
            let mut metric = encoder.encode_descriptor(name, &family.help, None, kind)?;
            for (labels, read) in &family.series {
                if labels.is_empty() {
                    read.encode(&mut metric)?;
                } else {
                    read.encode(&mut metric.encode_family(labels)?)?;
                }
            }
        }
        Ok(())
    }
}

/// Figures made from the views of one moment.
#[derive(Debug)]
struct Views(Vec<ViewFamily>);

#[derive(Debug, Clone)]
struct ViewFamily {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    series: Vec<(Labels, f64)>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Gauge,
    /// Falls to zero at midnight UTC, which a reader takes for a restart.
    Counter,
}

impl Collector for Views {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for ViewFamily { name, help, kind, series } in &self.0 {
            let kind_of = match kind {
                Kind::Gauge => MetricType::Gauge,
                Kind::Counter => MetricType::Counter,
            };
            let mut metric = encoder.encode_descriptor(name, help, None, kind_of)?;
            for (labels, value) in series {
                let mut one = metric.encode_family(labels)?;
                match kind {
                    Kind::Gauge => one.encode_gauge(value)?,
                    Kind::Counter => one.encode_counter::<NoLabelSet, f64, u64>(value, None)?,
                }
            }
        }
        Ok(())
    }
}

/// Agent states, so that each stands at zero where no agent is in it.
const AGENT_STATES: [&str; 6] = ["logged-out", "available", "offered", "busy", "wrap-up", "not-ready"];

fn views(queues: &[QueueView], agents: &[AgentView]) -> Vec<ViewFamily> {
    let each = |name, help, kind, read: fn(&QueueView) -> Option<f64>| ViewFamily {
        name,
        help,
        kind,
        series: queues
            .iter()
            .filter_map(|queue| Some((vec![("queue".to_owned(), queue.name.clone())], read(queue)?)))
            .collect(),
    };
    let states = AGENT_STATES.map(|state| {
        let count = agents.iter().filter(|agent| agent.state == state).count();
        (vec![("state".to_owned(), state.to_owned())], count as f64)
    });
    let quantiles = |name, help, read: fn(&QueueView) -> Option<(f64, f64)>| {
        let of = |queue: &QueueView, quantile: &str, value| {
            let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
            (vec![label("queue", &queue.name), label("quantile", quantile)], value)
        };
        let both = queues.iter().filter_map(|queue| read(queue).map(|values| (queue, values)));
        let series = both.flat_map(|(queue, (p50, p80))| [of(queue, "0.5", p50), of(queue, "0.8", p80)]).collect();
        ViewFamily { name, help, kind: Kind::Gauge, series }
    };
    vec![
        quantiles("offhook_queue_expected_wait_seconds", "Expected wait of a caller who came now", |q| {
            let expected = q.expected_wait?;
            Some((expected.p50.as_us() as f64 / 1e6, expected.p80.as_us() as f64 / 1e6))
        }),
        each("offhook_queue_lends", "1 while the queue lends agents to other queues", Kind::Gauge, |q| {
            q.lends.map(|lends| f64::from(u8::from(lends)))
        }),
        each("offhook_queue_forecasts", "Forecasts of waits since midnight UTC", Kind::Counter, |q| {
            Some(q.forecasts.made as f64)
        }),
        quantiles("offhook_queue_forecast_coverage_ratio", "Waits within their forecast since midnight UTC", |q| {
            let (p50, p80) = (q.forecasts.p50.coverage()?, q.forecasts.p80.coverage()?);
            Some((f64::from(p50) / 10_000.0, f64::from(p80) / 10_000.0))
        }),
        quantiles("offhook_queue_forecast_loss_seconds", "Mean pinball loss of forecasts since midnight UTC", |q| {
            let (p50, p80) = (q.forecasts.p50.mean_loss()?, q.forecasts.p80.mean_loss()?);
            Some((p50.as_us() as f64 / 1e6, p80.as_us() as f64 / 1e6))
        }),
        each("offhook_queue_waiting", "Contacts waiting", Kind::Gauge, |q| Some(f64::from(q.waiting))),
        each("offhook_queue_longest_wait_seconds", "Wait of the contact at the head", Kind::Gauge, |q| {
            Some(q.longest_wait.as_us() as f64 / 1e6)
        }),
        each("offhook_queue_talking", "Contacts being served", Kind::Gauge, |q| Some(f64::from(q.talking))),
        each("offhook_queue_agents_logged_in", "Agents logged in", Kind::Gauge, |q| {
            Some(f64::from(q.agents_logged_in))
        }),
        each("offhook_queue_agents_available", "Agents available", Kind::Gauge, |q| {
            Some(f64::from(q.agents_available))
        }),
        each("offhook_queue_offered", "Visits since midnight UTC", Kind::Counter, |q| Some(q.offered as f64)),
        each("offhook_queue_answered", "Visits answered since midnight UTC", Kind::Counter, |q| {
            Some(q.answered as f64)
        }),
        each("offhook_queue_abandoned", "Visits abandoned since midnight UTC", Kind::Counter, |q| {
            Some(q.abandoned as f64)
        }),
        each("offhook_queue_flowed_out", "Visits flowed out since midnight UTC", Kind::Counter, |q| {
            Some(q.flowed_out as f64)
        }),
        each("offhook_queue_service_level_ratio", "Service level since midnight UTC", Kind::Gauge, |q| {
            q.service_level.map(|hundredths| f64::from(hundredths) / 10_000.0)
        }),
        ViewFamily { name: "offhook_agents", help: "Agents by state", kind: Kind::Gauge, series: states.into() },
        ViewFamily {
            name: "offhook_agent_speech_seconds",
            help: "Seconds of speech at agents' phones, by the E-model's rating",
            kind: Kind::Counter,
            series: agents.iter().flat_map(|agent| speech("agent", &agent.name, &agent.speech)).collect(),
        },
        ViewFamily {
            name: "offhook_agent_level_dbov",
            help: "How loud an agent speaks, in dB below full scale, over all calls since the start",
            kind: Kind::Gauge,
            series: agents.iter().filter_map(|agent| level("agent", &agent.name, &agent.level)).collect(),
        },
    ]
}

/// The rated seconds of an agent's or a trunk's calls, by direction and grade.
fn speech(kind: &str, name: &str, speech: &SpeechReport) -> Vec<(Labels, f64)> {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let of = |direction: &str, quality: &Quality| {
        [("good", quality.good_s), ("fair", quality.fair_s), ("poor", quality.poor_s)].map(|(grade, seconds)| {
            let labels = vec![label(kind, name), label("direction", direction), label("grade", grade)];
            (labels, f64::from(seconds))
        })
    };
    // Where nothing was rated there is no series: agents are many.
    let rated = [("heard", &speech.heard), ("sent", &speech.sent)].into_iter().filter(|(_, rated)| !rated.is_empty());
    rated.flat_map(|(direction, quality)| of(direction, quality)).collect()
}

/// How loud an agent, or those at the far ends of a trunk, spoke; no series where nobody did.
fn level(kind: &str, name: &str, level: &LevelReport) -> Option<(Labels, f64)> {
    let tenths = level.speech_dbov_x10?;
    Some((vec![(kind.to_owned(), name.to_owned())], f64::from(tenths) / 10.0))
}

/// Which of a trunk's calls, and how the count is read.
type Count = (&'static str, &'static str, fn(&TrunkCounts) -> u64);

const TRUNK_COUNTS: [Count; 6] = [
    ("in", "taken", |counts| counts.incoming),
    ("in", "refused", |counts| counts.incoming_refused),
    ("out", "sent", |counts| counts.outgoing),
    ("out", "answered", |counts| counts.outgoing_answered),
    ("out", "failed", |counts| counts.outgoing_failed),
    ("out", "refused", |counts| counts.outgoing_refused),
];

fn alarm_views(alarms: &[AlarmView]) -> ViewFamily {
    let of = |alarm: &AlarmView| {
        let labels = [("alarm", &alarm.alarm), ("subject", &alarm.subject)];
        (labels.map(|(name, value)| (name.to_owned(), value.clone())).to_vec(), 1.0)
    };
    let (name, help) = ("offhook_alarm", "1 while an alarm is raised");
    ViewFamily { name, help, kind: Kind::Gauge, series: alarms.iter().map(of).collect() }
}

fn trunk_views(trunks: &[TrunkView]) -> Vec<ViewFamily> {
    let of = |trunk: &TrunkView| ("trunk".to_owned(), trunk.name.clone());
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let calls = trunks.iter().map(|trunk| (vec![of(trunk)], f64::from(trunk.calls)));
    let registered = trunks.iter().filter_map(|trunk| {
        let state = trunk.registration.as_ref()?.state;
        Some((vec![of(trunk)], f64::from(u8::from(state == "registered"))))
    });
    let targets = trunks.iter().flat_map(|trunk| {
        let up = |target: &TargetView| f64::from(u8::from(target.up));
        trunk.targets.iter().map(move |target| (vec![of(trunk), label("target", &target.address)], up(target)))
    });
    let counts = trunks.iter().flat_map(|trunk| {
        TRUNK_COUNTS.iter().map(move |(direction, end, read)| {
            (vec![of(trunk), label("direction", direction), label("end", end)], read(&trunk.counts) as f64)
        })
    });
    let rated = trunks.iter().flat_map(|trunk| speech("trunk", &trunk.name, &trunk.speech));
    let levels = trunks.iter().filter_map(|trunk| level("trunk", &trunk.name, &trunk.level));
    let family = |name, help, kind, series: Vec<(Labels, f64)>| ViewFamily { name, help, kind, series };
    vec![
        family("offhook_trunk_calls_active", "Calls of a trunk now", Kind::Gauge, calls.collect()),
        family("offhook_trunk_registered", "1 while we are registered", Kind::Gauge, registered.collect()),
        family("offhook_trunk_target_up", "1 while a target answers", Kind::Gauge, targets.collect()),
        family("offhook_trunk_calls", "Calls of a trunk, by what became of them", Kind::Counter, counts.collect()),
        family(
            "offhook_trunk_speech_seconds",
            "Seconds of speech over a trunk, by the E-model's rating",
            Kind::Counter,
            rated.collect(),
        ),
        family(
            "offhook_trunk_level_dbov",
            "How loud those at a trunk's far ends speak, in dB below full scale, over all calls since the start",
            Kind::Gauge,
            levels.collect(),
        ),
    ]
}
