//! Contacts that are known beforehand, floors of one's own, and variants beside each other: the same customers whatever is varied.

use offhook_acd::{AgentConfig, Event, QueueConfig};
use offhook_sim::floor::{
    Axis, Day, Floor, FloorPlan, Handling, Humans, Known, LogReader, Names, Patience, Talk, Trade, Variant, product,
    read_csv,
};
use offhook_units::{AgentId, QueueId, Span, Tick};

const ALWAYS: core::ops::Range<Tick> = Tick::ZERO..Tick::from_us(u64::MAX);

fn run(plan: FloorPlan) -> (Day, Vec<(Tick, Event)>) {
    let mut floor = Floor::new(plan).expect("a valid plan");
    let mut log = Vec::new();
    let outcome = floor.run(&mut |at, event| log.push((at, event.clone())));
    assert_eq!(outcome.invariants_broken, 0, "{:?}", floor.told());
    (floor.day(), log)
}

/// One queue, three machines who answer at once, no patience that ends by itself.
fn plain() -> FloorPlan {
    let mut plan = FloorPlan::erlang(1, 2, 0, Span::from_s(100), 3, None);
    "sales".clone_into(&mut plan.trades[0].config.name);
    plan
}

#[test]
fn contacts_of_a_table_come_when_it_says_talk_as_long_and_give_up_as_soon() {
    let mut plan = plain();
    plan.agents.truncate(1);
    let table = "time,queue,talk_s,patience_s\n60,sales,600,\n120,sales,30,20.5\n00:03,sales,45.25,\n";
    plan.known = Some(read_csv(table, &Names::of(&plan)).expect("a good table").known);
    let begins = plan.begins;
    let (day, log) = run(plan);
    let at = |wanted: &dyn Fn(&Event) -> bool| {
        let found = log.iter().find(|(_, event)| wanted(event)).expect("it happens");
        found.0 - begins
    };
    assert_eq!(at(&|event| matches!(event, Event::Entered { .. })), Span::from_s(60));
    assert_eq!(at(&|event| matches!(event, Event::Left { .. })), Span::from_ms(140_500));
    let talks: Vec<Span> = log
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Finished { talk, .. } => Some(*talk),
            _ => None,
        })
        .collect();
    assert_eq!(talks, [Span::from_s(600), Span::from_ms(45_250)]);
    // Answered after 0 s and after 480 s.
    assert_eq!((day.total.asa(), day.wait_p80), (Some(Span::from_s(240)), Some(Span::from_s(480))));
    // 645.25 s of work in two hours.
    let occupancy = day.occupancy.expect("somebody worked");
    assert!((occupancy - 64_525.0 / 7_200.0).abs() < 1e-6, "{occupancy}");
    let waited: f64 = day.stretches.iter().map(|stretch| stretch.waiting_mean * day.step.as_us() as f64 / 1e6).sum();
    assert!((waited - 500.5).abs() < 1e-6, "480 s and 20.5 s were waited, not {waited}");
}

#[test]
fn contacts_of_a_log_come_again_and_who_gave_up_then_gives_up_as_soon_on_the_same_floor() {
    let plan = FloorPlan::usual(4, 2, 300, Some(10));
    let (then, log) = run(plan.clone());
    let names = Names::of(&plan);
    let mut reader = LogReader::new(&names, ALWAYS);
    for (at, event) in &log {
        reader.fold(*at, event);
    }
    let listed = reader.finish().expect("the same queues");
    let Known::Contacts(contacts) = &listed.known else { panic!("one by one") };
    assert_eq!((contacts.len(), listed.begins), (300, Some(plan.begins)));
    let gave_up = contacts.iter().filter(|contact| matches!(contact.patience, Patience::Exactly(_))).count();
    assert_eq!(gave_up as u64, then.outcome.abandoned);
    let talked = contacts.iter().filter(|contact| matches!(contact.talk, Talk::Exactly(_))).count();
    assert!(talked as u64 <= then.outcome.answered && talked > 50, "{talked}");
    let (again, _) = run(FloorPlan { known: Some(listed.known), ..plan.clone() });
    assert_eq!(again.outcome.offered, 300);
    let hour = plan.begins + Span::from_s(3_600);
    let mut reader = LogReader::new(&names, hour..Tick::from_us(u64::MAX));
    for (at, event) in &log {
        reader.fold(*at, event);
    }
    let late = reader.finish().expect("the same queues");
    assert!((100..200).contains(&late.known.contacts()) && late.begins == Some(hour), "{late:?}");
    // Agents have moods of their own on another day; customers have not.
    assert!(again.outcome.abandoned.abs_diff(then.outcome.abandoned) < 30, "{again:?} {then:?}");

    let mut other = plan;
    other.trades.truncate(1);
    let names = Names::of(&other);
    let mut reader = LogReader::new(&names, ALWAYS);
    for (at, event) in &log {
        reader.fold(*at, event);
    }
    let faults = reader.finish().expect_err("three queues are not here");
    let said = faults[0].to_string();
    assert!(["support", "billing", "claims"].iter().all(|queue| said.contains(queue)), "{said}");
}

#[test]
fn every_variant_has_the_same_customers_by_the_same_seed_and_others_by_another() {
    let base = |seed| FloorPlan::usual(seed, 2, 400, Some(20));
    let axes = ["strategy=longest-idle,ring-all", "agents=10,20", "wrap_up=as-is,60s", "max_wait=30s,none"];
    let axes: Vec<Axis> = axes.iter().map(|text| Axis::read(text, &base(1)).expect(text)).collect();
    let variants = product(&axes).expect("sixteen");
    let day = |seed, variant: &Variant| {
        let mut plan = base(seed).staffed(variant.agents().expect("agents"));
        variant.apply(&mut plan);
        run(plan).0
    };
    let days: Vec<Day> = variants.iter().map(|variant| day(3, variant)).collect();
    assert_eq!(days.len(), 16);
    assert!(days.iter().all(|day| day.outcome.callers_hash == days[0].outcome.callers_hash));
    let mut hashes: Vec<u64> = days.iter().map(|day| day.outcome.state_hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 16, "each variant is a day of its own");
    assert_ne!(day(4, &variants[0]).outcome.callers_hash, days[0].outcome.callers_hash);
}

#[test]
fn a_forecast_by_interval_brings_as_many_and_as_long_conversations_as_it_says() {
    let mut plan = plain();
    plan.agents =
        (1..=40).map(|n| AgentConfig::new(AgentId(n), format!("agent {n}")).in_queue(QueueId(1), 1, 1)).collect();
    plan.lasts = Span::from_s(6 * 3_600);
    let mut table = "interval,queue,contacts,aht_s\n".to_owned();
    table.extend((0..8).map(|half| format!("{},sales,200,150\n", half * 1_800)));
    plan.known = Some(read_csv(&table, &Names::of(&plan)).expect("a good table").known);
    let (mut offered, mut talk, mut handled) = (Vec::new(), 0.0, 0.0);
    for seed in 0..8 {
        let (day, _) = run(FloorPlan { seed, ..plan.clone() });
        offered.push(day.outcome.offered);
        talk += day.total.talk.as_us() as f64 / 1e6;
        handled += day.total.handled as f64;
    }
    let mean = offered.iter().sum::<u64>() as f64 / 8.0;
    // Of 12,800: the standard error of the mean is 14.
    assert!((mean - 1_600.0).abs() < 50.0, "{offered:?}");
    assert!(offered.iter().any(|count| *count != offered[0]), "the number varies with the seed");
    assert!((talk / handled - 150.0).abs() < 5.0, "{}", talk / handled);
}

#[test]
fn queues_whose_wrap_up_ends_by_the_agents_word_are_wrapped_up() {
    let mut config = QueueConfig::new(QueueId(1), "sales");
    config.wrap_up = offhook_acd::WrapUp::UntilDone;
    let (talk, patience) = (Handling::Exponential(Span::from_s(60)), Some(Span::from_s(300)));
    let mut plan = plain();
    plan.trades = vec![Trade { config, share: 1, talk, patience, speaks: false, urgent_per_mille: 0 }];
    plan.contacts = 100;
    plan.humans = Humans { wrap_up: Span::from_s(20), ..Humans::PERFECT };
    let (day, _) = run(plan);
    assert!(day.outcome.answered > 80, "{day:?}");
    let mean = day.total.wrap_up.as_us() as f64 / 1e6 / day.total.handled as f64;
    assert!((10.0..30.0).contains(&mean), "{mean}");
}
