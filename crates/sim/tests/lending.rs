//! What conditional lending does to two queues of a floor, of which one has agents to spare and the other too few.

use offhook_acd::{Acd, AgentConfig, Event, Formula, Lending, QueueConfig, WrapUp};
use offhook_sim::floor::{Floor, FloorPlan, Handling, Trade};
use offhook_units::{AgentId, QueueId, Span, Tick};

const HOME: QueueId = QueueId(1);
const AWAY: QueueId = QueueId(2);
/// At home 18 agents for a load of 13.5, away 7 agents for a load of 9.
const AGENTS: (u64, u64) = (18, 7);
const CONTACTS: u64 = 24 * 450;

enum Help {
    None,
    Lent { target: u32 },
    Always,
}

fn floor(seed: u64, help: &Help) -> (Floor, Vec<(Tick, Event)>) {
    let mut plan = FloorPlan::erlang(seed, 24, 0, Span::from_s(180), 0, None);
    let trade = |id: QueueId, share| {
        let mut config = QueueConfig::new(id, format!("queue {id}"));
        config.wrap_up = WrapUp::For(Span::ZERO);
        let (talk, patience) = (Handling::Exponential(Span::from_s(180)), Some(Span::from_s(300)));
        Trade { config, share, talk, patience, speaks: false, urgent_per_mille: 0 }
    };
    plan.trades = vec![trade(HOME, 60), trade(AWAY, 40)];
    plan.contacts = CONTACTS;
    let (home, away) = AGENTS;
    for n in 1..=home + away {
        let agent = AgentConfig::new(AgentId(n), format!("agent {n}"));
        let agent = if n > home { agent.in_queue(AWAY, 1, 1) } else { agent.in_queue(HOME, 1, 1) };
        let helps = n <= home && !matches!(help, Help::None);
        plan.agents.push(if helps { agent.in_queue(AWAY, 2, 1) } else { agent });
    }
    if let Help::Lent { target } = *help {
        plan.lending = vec![(HOME, Lending { target })];
        plan.loans = (1..=home).map(|n| (AgentId(n), AWAY, HOME)).collect();
    }
    let mut floor = Floor::new(plan).expect("a valid plan");
    let mut log = Vec::new();
    let outcome = floor.run(&mut |at, event| log.push((at, event.clone())));
    assert_eq!(outcome.invariants_broken, 0, "{:?}", floor.told());
    assert_eq!(Acd::replay(seed, log.iter().cloned()).state_hash(), outcome.state_hash);
    (floor, log)
}

/// Service levels of both queues in percent, over some days.
fn levels(help: &Help) -> (f64, f64) {
    const DAYS: u64 = 4;
    let mut sum = (0.0, 0.0);
    for seed in 0..DAYS {
        let (floor, _) = floor(seed, help);
        let level = |queue| {
            let level = floor.acd().figures_of_all_time(queue).service_level(Formula::ShortExcluded);
            f64::from(level.expect("contacts")) / 100.0 / DAYS as f64
        };
        sum = (sum.0 + level(HOME), sum.1 + level(AWAY));
    }
    sum
}

#[test]
fn lending_above_85_percent_keeps_the_lender_above_80_and_gives_the_borrower_half_of_what_sharing_gives() {
    let (none, lent, always) = (levels(&Help::None), levels(&Help::Lent { target: 8_500 }), levels(&Help::Always));
    println!("home and away: alone {none:.1?}, lent {lent:.1?}, shared {always:.1?}");
    assert!(always.0 < 80.0, "sharing without conditions costs the home queue its promise: {always:?}");
    assert!(lent.0 >= 80.0, "{lent:?}");
    let (gain, most) = (lent.1 - none.1, always.1 - none.1);
    assert!(gain * 2.0 > most, "lent {lent:?}, alone {none:?}, shared {always:?}");
}

#[test]
fn the_lender_lends_and_stops_many_times_a_day_and_agents_are_offered_nothing_away_meanwhile() {
    let (floor, log) = floor(9, &Help::Lent { target: 8_500 });
    let (mut lends, mut turns, mut away) = (true, 0, 0);
    for (_, event) in &log {
        match event {
            Event::LendingReviewed { lends: now, .. } => {
                turns += u32::from(lends != *now);
                lends = *now;
            }
            Event::Offered { queue: AWAY, agent, .. } if agent.0 <= AGENTS.0 => {
                assert!(lends, "{agent} is offered a contact away");
                away += 1;
            }
            _ => {}
        }
    }
    assert!(turns > 10 && away > 100, "{turns} turns, {away} offers away");
    assert_eq!(floor.acd().lends(HOME), Some(lends));
}
