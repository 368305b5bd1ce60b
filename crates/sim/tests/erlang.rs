//! The distributor against the formulas of queueing theory, where their assumptions hold.

use offhook_acd::Event;
use offhook_sim::floor::{Floor, FloorPlan};
use offhook_units::{Span, Tick};

const REPLICATIONS: u64 = 24;
const HOURS: u64 = 24;

/// What one replication says of the contacts that entered after the first hour.
#[derive(Default)]
struct Seen {
    ended: f64,
    delayed: f64,
    lost: f64,
    in_time: f64,
    wait_s: f64,
}

fn replicate(seed: u64, agents: u64, patience: Option<Span>) -> Seen {
    let plan = FloorPlan::erlang(seed, HOURS, 200, Span::from_s(180), agents, patience);
    let warm = plan.begins + Span::from_s(3_600);
    let mut floor = Floor::new(plan).expect("a valid plan");
    let mut seen = Seen::default();
    let mut count = |at: Tick, entered_at: Tick, answered: bool| {
        if entered_at < warm {
            return;
        }
        let wait = at - entered_at;
        seen.ended += 1.0;
        seen.wait_s += wait.as_us() as f64 / 1e6;
        seen.delayed += f64::from(u8::from(wait > Span::ZERO));
        seen.lost += f64::from(u8::from(!answered));
        seen.in_time += f64::from(u8::from(answered && wait <= Span::from_s(20)));
    };
    let outcome = floor.run(&mut |at, event| match event {
        Event::Accepted { entered_at, .. } => count(at, *entered_at, true),
        Event::Left { entered_at, .. } => count(at, *entered_at, false),
        _ => {}
    });
    assert_eq!(outcome.invariants_broken, 0, "{:?}", floor.told());
    seen
}

/// Mean over the replications, within three standard errors of `expected`.
fn check(name: &str, values: &[f64], expected: f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let error = (variance / n).sqrt();
    println!("{name}: {mean:.5} +- {error:.5}, expected {expected:.5}");
    assert!((mean - expected).abs() <= 3.0 * error, "{name}: {mean:.5} +- {error:.5}, expected {expected:.5}");
    assert!(error < expected * 0.2, "{name}: the error is too large to prove anything");
}

fn rates(seen: &[Seen], of: impl Fn(&Seen) -> f64) -> Vec<f64> {
    seen.iter().map(|seen| of(seen) / seen.ended).collect()
}

#[test]
fn without_impatience_14_agents_agree_with_erlang_c_within_3_standard_errors() {
    let seen: Vec<Seen> = (0..REPLICATIONS).map(|seed| replicate(1_000 + seed, 14, None)).collect();
    check("delayed", &rates(&seen, |seen| seen.delayed), 0.174_132);
    check("service level", &rates(&seen, |seen| seen.in_time), 0.888_350);
    check("mean wait, s", &rates(&seen, |seen| seen.wait_s), 7.836);
}

#[test]
fn with_patience_of_300_s_13_agents_agree_with_erlang_a_within_3_standard_errors() {
    let patience = Some(Span::from_s(300));
    let seen: Vec<Seen> = (0..REPLICATIONS).map(|seed| replicate(2_000 + seed, 13, patience)).collect();
    check("delayed", &rates(&seen, |seen| seen.delayed), 0.225_797);
    check("abandoned", &rates(&seen, |seen| seen.lost), 0.024_963);
    check("service level", &rates(&seen, |seen| seen.in_time), 0.858_178);
    check("mean wait of all, s", &rates(&seen, |seen| seen.wait_s), 7.489);
}
