//! "What if": variants of a floor with other strategies, staffing and limits, all combinations of what is asked for.

use offhook_acd::{Strategy, WrapUp};
use offhook_units::{QueueId, Span};

use super::FloorPlan;

/// Most variants compared at once.
pub const VARIANTS_MAX: usize = 64;
/// Longest time that may be written.
const LONGEST: Span = Span::from_s(24 * 3_600);
/// Leaves a thing as the floor has it.
const AS_IS: &str = "as-is";
/// What can be varied, for people who wrote something else.
const KEYS: &str =
    "strategy, agents, wrap_up, max_wait, ring_for or max_waiting, or one of a queue such as sales.strategy";

/// What a variant changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Strategy(Strategy),
    Agents(u64),
    WrapUp(Span),
    MaxWait(Option<Span>),
    RingFor(Span),
    MaxWaiting(Option<u32>),
}

/// One thing that is varied, and its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// `agents`, or `sales.strategy`.
    name: String,
    /// All queues where none is named.
    queue: Option<QueueId>,
    choices: Vec<(String, Option<Change>)>,
}

impl Axis {
    /// `strategy=longest-idle,skills-best`, `sales.max_wait=60s,none`, `agents=as-is,45,50`.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub fn read(text: &str, plan: &FloorPlan) -> Result<Self, String> {
        let Some((name, values)) = text.split_once('=') else {
            return Err(format!("'{text}' has no '=': write such as agents=40,45,50"));
        };
        let name = name.trim();
        // Names of queues may have dots in them.
        let (queue, key) = name.rsplit_once('.').map_or((None, name), |(queue, key)| (Some(queue), key));
        let found = queue.map(|queue| plan.trades.iter().find(|trade| trade.config.name == queue).ok_or(queue));
        let queue = found.transpose().map_err(|queue| {
            let known: Vec<_> = plan.trades.iter().map(|trade| trade.config.name.as_str()).collect();
            format!("there is no queue '{queue}'; there are {}", known.join(", "))
        })?;
        if key == "agents" && queue.is_some() {
            return Err("agents are of the whole floor: write agents=40,45".to_owned());
        }
        let mut choices: Vec<(String, Option<Change>)> = Vec::new();
        for value in values.split(',').map(str::trim) {
            let change = if value == AS_IS { None } else { Some(change_of(key, value)?) };
            if choices.iter().any(|(_, other)| *other == change) {
                return Err(format!("{name} has the value '{value}' twice"));
            }
            choices.push((format!("{name}={value}"), change));
        }
        Ok(Self { name: name.to_owned(), queue: queue.map(|trade| trade.config.id), choices })
    }
}

fn change_of(key: &str, value: &str) -> Result<Change, String> {
    let time = || {
        let span = span_of(value).filter(|span| *span <= LONGEST);
        span.ok_or_else(|| format!("{key}={value} is no time: write such as 20s, 5m or 1h, a day at most"))
    };
    let number = |most: u64| {
        let number = value.parse::<u64>().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| format!("{key}={value} is no number from 1 to {most}"))
    };
    let none = value == "none";
    Ok(match key {
        "strategy" => Change::Strategy(Strategy::named(value).ok_or_else(|| {
            let known: Vec<_> = Strategy::ALL.iter().map(|strategy| strategy.name()).collect();
            format!("there is no strategy '{value}'; there are {}", known.join(", "))
        })?),
        "agents" => Change::Agents(number(100_000)?),
        "wrap_up" => Change::WrapUp(time()?),
        "max_wait" => Change::MaxWait(if none { None } else { Some(time()?) }),
        "ring_for" => match time()? {
            Span::ZERO => return Err("ring_for=0s: a phone has to ring for some time".to_owned()),
            ring_for => Change::RingFor(ring_for),
        },
        "max_waiting" => Change::MaxWaiting(if none { None } else { Some(number(100_000)? as u32) }),
        _ => return Err(format!("'{key}' cannot be compared: write {KEYS}")),
    })
}

/// `500ms`, `20s`, `5m` or `1h`.
pub(super) fn span_of(text: &str) -> Option<Span> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let us = match unit {
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(us).map(Span::from_us)
}

/// One combination.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variant {
    /// `strategy=longest-idle, agents=45`.
    pub name: String,
    changes: Vec<(Option<QueueId>, Change)>,
}

impl Variant {
    /// How many agents it has, where it says so.
    pub fn agents(&self) -> Option<u64> {
        self.changes.iter().find_map(|(_, change)| match change {
            Change::Agents(agents) => Some(*agents),
            _ => None,
        })
    }

    /// Changes the queues of a plan; the agents are the caller's, who knows where more come from.
    pub fn apply(&self, plan: &mut FloorPlan) {
        for (queue, change) in &self.changes {
            let here = |id: QueueId| queue.is_none_or(|queue| queue == id);
            for config in plan.trades.iter_mut().map(|trade| &mut trade.config).filter(|config| here(config.id)) {
                match *change {
                    Change::Strategy(strategy) => config.strategy = strategy,
                    Change::WrapUp(wrap_up) => config.wrap_up = WrapUp::For(wrap_up),
                    Change::MaxWait(max_wait) => config.max_wait = max_wait,
                    Change::RingFor(ring_for) => config.ring_for = ring_for,
                    Change::MaxWaiting(max_waiting) => config.max_waiting = max_waiting,
                    Change::Agents(_) => {}
                }
            }
        }
    }
}

/// Every combination, the last axis fastest; one variant without a change where there is no axis.
///
/// # Errors
/// Something is varied twice, or there are more than [`VARIANTS_MAX`].
pub fn product(axes: &[Axis]) -> Result<Vec<Variant>, String> {
    let mut variants = vec![Variant::default()];
    for (at, axis) in axes.iter().enumerate() {
        if axes[..at].iter().any(|other| other.name == axis.name) {
            return Err(format!("{} is compared twice: write its values behind one '='", axis.name));
        }
        let of = variants.len() * axis.choices.len();
        if of > VARIANTS_MAX {
            return Err(format!("{of} variants, and at most {VARIANTS_MAX} are compared"));
        }
        let with = |variant: &Variant, (text, change): &(String, Option<Change>)| {
            let mut variant = variant.clone();
            variant.name = if variant.name.is_empty() { text.clone() } else { format!("{}, {text}", variant.name) };
            variant.changes.extend(change.map(|change| (axis.queue, change)));
            variant
        };
        variants =
            variants.iter().flat_map(|variant| axis.choices.iter().map(move |choice| with(variant, choice))).collect();
    }
    Ok(variants)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> FloorPlan {
        FloorPlan::usual(1, 1, 100, Some(20))
    }

    fn axis(text: &str) -> Axis {
        Axis::read(text, &plan()).expect(text)
    }

    #[test]
    fn several_axes_give_every_combination_and_a_queue_is_changed_alone_where_it_is_named() {
        let axes = [axis("sales.strategy=as-is,ringall"), axis("agents=10,30"), axis("max_wait=none,90s")];
        let variants = product(&axes).expect("eight");
        assert_eq!(variants.len(), 8);
        assert_eq!(variants[1].name, "sales.strategy=as-is, agents=10, max_wait=90s");
        assert_eq!(variants[7].agents(), Some(30));
        let mut changed = plan();
        variants[7].apply(&mut changed);
        let strategies: Vec<_> = changed.trades.iter().map(|trade| trade.config.strategy).collect();
        assert_eq!(strategies[..2], [Strategy::RingAll, Strategy::SkillsBest]);
        assert!(changed.trades.iter().all(|trade| trade.config.max_wait == Some(Span::from_s(90))));
        assert_eq!(product(&[]).expect("one"), [Variant::default()]);
    }

    #[test]
    fn what_cannot_be_compared_is_refused_with_what_to_write() {
        for (text, expected) in [
            ("agents", "has no '='"),
            ("agents=0", "no number from 1 to 100000"),
            ("agents=40,40", "twice"),
            ("sales.agents=4", "of the whole floor"),
            ("strategy=best", "there is no strategy 'best'; there are ring-all"),
            ("shop.strategy=linear", "there is no queue 'shop'; there are sales"),
            ("wrap_up=20", "is no time"),
            ("ring_for=0s", "has to ring"),
            ("colour=red", "cannot be compared: write strategy, agents"),
        ] {
            let said = Axis::read(text, &plan()).expect_err(text);
            assert!(said.contains(expected), "{text}: {said}");
        }
        let many: Vec<String> = (1..=65).map(|n| n.to_string()).collect();
        let many = axis(&format!("agents={}", many.join(",")));
        assert!(product(&[many]).expect_err("too many").contains("at most 64"));
        assert!(product(&[axis("agents=1"), axis("agents=2")]).expect_err("twice").contains("compared twice"));
    }

    #[test]
    fn fewer_agents_are_some_of_those_there_are_and_more_are_the_same_people_again() {
        let of = |agents| plan().staffed(agents).agents;
        let (eight, twelve, fifty) = (of(8), of(12), of(50));
        assert!(eight.iter().all(|agent| twelve.contains(agent)), "eight are among twelve");
        assert_eq!((eight.len(), twelve.len(), fifty.len()), (8, 12, 50));
        let mut ids: Vec<_> = fifty.iter().map(|agent| agent.id).collect();
        ids.dedup();
        assert_eq!(ids.len(), 50);
        assert!(fifty.iter().any(|agent| agent.name.ends_with("(3)")));
    }
}
