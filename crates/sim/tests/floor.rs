//! A day on the floor: the same seed is the same day, its log leads to the same state, and nobody is lost.

use offhook_acd::{Acd, Event};
use offhook_sim::floor::{Floor, FloorPlan, Outcome};
use offhook_units::Tick;

fn day(seed: u64, contacts: u64, agents: Option<u64>) -> (Outcome, Vec<(Tick, Event)>) {
    let mut floor = Floor::new(FloorPlan::usual(seed, 2, contacts, agents)).expect("a valid plan");
    let mut log = Vec::new();
    let outcome = floor.run(&mut |at, event| log.push((at, event.clone())));
    assert_eq!(outcome.invariants_broken, 0, "{:?}", floor.told());
    let Outcome { offered, answered, abandoned, flowed_out, waiting, .. } = outcome;
    assert_eq!(offered, answered + abandoned + flowed_out + waiting);
    (outcome, log)
}

#[test]
fn a_day_with_human_faults_loses_nobody_and_its_log_leads_to_the_same_hash() {
    let (outcome, log) = day(17, 400, None);
    assert_eq!(outcome.offered, 400);
    assert!(outcome.answered * 10 >= outcome.offered * 9, "the usual staffing answers most: {outcome:?}");
    assert_eq!(Acd::replay(17, log.clone()).state_hash(), outcome.state_hash);
    let seen = |wanted: fn(&Event) -> bool| log.iter().any(|(_, event)| wanted(event));
    assert!(seen(|event| matches!(event, Event::OfferEnded { .. })), "somebody declined or overlooked a call");
    assert!(seen(|event| matches!(event, Event::NotReady { .. })), "somebody took a break");
    assert!(seen(|event| matches!(event, Event::Measured { .. })), "occupancy was measured");
}

#[test]
fn the_same_seed_is_the_same_day_and_another_seed_another_one() {
    let hash = |seed| day(seed, 200, None).0.state_hash;
    assert_eq!(hash(5), hash(5));
    assert_ne!(hash(5), hash(6));
}

#[test]
fn six_agents_for_900_contacts_leave_many_waiting_in_vain_and_all_accounted_for() {
    let (outcome, _) = day(3, 900, Some(6));
    assert!(outcome.abandoned > outcome.answered, "{outcome:?}");
}
