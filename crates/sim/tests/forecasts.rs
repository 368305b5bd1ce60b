//! Forecasts of waits against what simulated days brought.

use std::collections::{BTreeMap, VecDeque};

use offhook_acd::{Acd, AgentConfig, Event, ForecastFigures, QuantileFigures};
use offhook_sim::floor::{Floor, FloorPlan};
use offhook_units::{AgentId, ContactId, QueueId, SkillId, Span, Tick};

const AHT: Span = Span::from_s(180);

/// Lets a day pass, and checks that its log leads to the same forecasts and scores.
fn day(plan: FloorPlan) -> (Floor, Vec<(Tick, Event)>) {
    let seed = plan.seed;
    let mut floor = Floor::new(plan).expect("a valid plan");
    let mut log = Vec::new();
    let outcome = floor.run(&mut |at, event| log.push((at, event.clone())));
    assert_eq!(outcome.invariants_broken, 0, "{:?}", floor.told());
    assert_eq!(Acd::replay(seed, log.iter().cloned()).state_hash(), outcome.state_hash);
    (floor, log)
}

fn percent(quantile: &QuantileFigures) -> f64 {
    f64::from(quantile.coverage().expect("forecasts that were scored")) / 100.0
}

fn check(name: &str, forecasts: &ForecastFigures) {
    let ForecastFigures { made, p50, p80 } = forecasts;
    let (half, most) = (percent(p50), percent(p80));
    println!("{name}: {made} made, p50 covers {half:.1} %, p80 covers {most:.1} %");
    assert!((40.0..=60.0).contains(&half), "{name}: p50 covers {half:.1} %");
    assert!((70.0..=90.0).contains(&most), "{name}: p80 covers {most:.1} %");
}

#[test]
fn on_steady_floors_from_1_to_105_agents_p80_covers_70_to_90_percent_and_p50_40_to_60() {
    let floors = [
        (18, 1, None),
        (60, 3, Some(600)),
        (200, 11, None),
        (200, 13, Some(300)),
        (400, 20, Some(120)),
        (2_000, 105, Some(300)),
    ];
    for (per_hour, agents, patience) in floors {
        let plan = FloorPlan::erlang(7, 24, per_hour, AHT, agents, patience.map(Span::from_s));
        let (floor, _) = day(plan);
        check(&format!("{per_hour} an hour for {agents}"), &floor.outcome().forecasts);
    }
}

#[test]
fn people_who_share_four_queues_with_skills_and_priorities_are_told_as_truly_in_each_of_them() {
    let mut plan = FloorPlan::usual(5, 24, 10_000, Some(80));
    plan.waves = false;
    let (floor, _) = day(plan);
    for queue in floor.acd().queues() {
        check(&queue.name, &floor.acd().figures_of_all_time(queue.id).forecasts);
    }
}

/// What most exchanges announce: how long others waited lately, wherever in line the caller stands.
#[derive(Default)]
struct PastWaits {
    lately: VecDeque<Span>,
    said: BTreeMap<ContactId, (Tick, Span, Span)>,
    p50: QuantileLoss,
    p80: QuantileLoss,
}

#[derive(Default)]
struct QuantileLoss(f64, f64);

impl QuantileLoss {
    fn add(&mut self, q: f64, said: Span, wait: Span) {
        let off = (wait.as_us() as f64 - said.as_us() as f64) / 1e6;
        *self = Self(self.0 + 1.0, self.1 + (q * off).max((q - 1.0) * off));
    }
}

impl PastWaits {
    fn follow(&mut self, at: Tick, event: &Event) {
        match event {
            Event::Forecast { contact, .. } => {
                let mut sorted: Vec<_> = self.lately.iter().copied().collect();
                sorted.sort_unstable();
                if let Some(last) = sorted.len().checked_sub(1) {
                    self.said.insert(*contact, (at, sorted[last / 2], sorted[last * 4 / 5]));
                }
            }
            Event::Accepted { contact, entered_at, .. } => {
                if let Some((then, half, most)) = self.said.remove(contact) {
                    self.p50.add(0.5, half, at - then);
                    self.p80.add(0.8, most, at - then);
                }
                if at > *entered_at {
                    self.lately.push_front(at - *entered_at);
                    self.lately.truncate(32);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn forecasts_by_place_lose_a_quarter_less_than_quantiles_of_past_waits() {
    let (floor, log) = day(FloorPlan::erlang(7, 24, 200, AHT, 12, Some(Span::from_s(600))));
    let mut past = PastWaits::default();
    for (at, event) in &log {
        past.follow(*at, event);
    }
    let ForecastFigures { p50, p80, .. } = floor.outcome().forecasts;
    for (name, ours, QuantileLoss(count, sum)) in [("p50", p50, past.p50), ("p80", p80, past.p80)] {
        let ours = ours.mean_loss().expect("scored").as_us() as f64 / 1e6;
        let theirs = sum / count;
        println!("{name}: {ours:.2} s by place, {theirs:.2} s by past waits");
        assert!(ours < theirs * 0.75, "{name}: {ours:.2} s by place, {theirs:.2} s by past waits");
    }
}

/// A queue in which a third of the callers needs a language that a tenth of the agents speaks, for as long as they wait.
fn few_speak(seed: u64) -> FloorPlan {
    let mut plan = FloorPlan::erlang(seed, 24, 400, AHT, 0, Some(Span::from_s(600)));
    plan.trades[0].speaks = true;
    plan.trades[0].config.no_agents.join = true;
    for id in 1..=24_u64 {
        let mut agent = AgentConfig::new(AgentId(id), format!("agent {id}")).in_queue(QueueId(1), 1, id as u32);
        // The four languages of the sim's callers, each spoken by three.
        if id <= 12 {
            agent = agent.with_skill(SkillId(1 + id % 4), 2);
        }
        plan.agents.push(agent);
    }
    plan
}

#[test]
fn callers_whose_language_few_agents_speak_are_told_as_truly_as_the_others() {
    let (floor, log) = day(few_speak(11));
    assert!(floor.outcome().forecasts.made > 1_000);
    // Of the first forecast of each contact that was answered: who asked for a language, what was left to wait, what was said.
    let (mut asks, mut said) = (BTreeMap::new(), BTreeMap::new());
    let mut outcomes: BTreeMap<bool, Vec<(Span, Span, Span)>> = BTreeMap::new();
    for (at, event) in &log {
        match event {
            Event::Entered { contact, needs, .. } => drop(asks.insert(*contact, !needs.is_empty())),
            Event::Forecast { contact, said: now, .. } => drop(said.entry(*contact).or_insert((*at, *now))),
            Event::Accepted { contact, .. } => {
                if let Some((then, now)) = said.remove(contact) {
                    outcomes.entry(asks[contact]).or_default().push((now.p50, now.p80, *at - then));
                }
            }
            _ => {}
        }
    }
    for (asks, outcomes) in outcomes {
        let share = |within: fn(&(Span, Span, Span)) -> bool| {
            100.0 * outcomes.iter().filter(|said| within(said)).count() as f64 / outcomes.len() as f64
        };
        let (half, most) = (share(|(p50, _, wait)| wait <= p50), share(|(_, p80, wait)| wait <= p80));
        println!("asks {asks}: {} waits, p50 covers {half:.1} %, p80 covers {most:.1} %", outcomes.len());
        assert!(outcomes.len() > 500, "enough of both");
        assert!((40.0..=60.0).contains(&half), "asks {asks}: p50 covers {half:.1} %");
        assert!((70.0..=90.0).contains(&most), "asks {asks}: p80 covers {most:.1} %");
    }
}
