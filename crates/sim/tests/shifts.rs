//! Shifts from seeds. `SEEDS=2000` runs more of them, `SEED=17` one; `MINUTES=480` makes the long one a working day.

use std::collections::BTreeMap;

use offhook_call::callback::CallbackEnd;
use offhook_call::guests::Part;
use offhook_sim::{Setting, Shift};
use offhook_units::Span;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok())
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(default),
    }
}

#[test]
fn no_shift_loses_a_caller_or_leaves_anything_behind() {
    let mut records = 0;
    let (mut blind, mut attended, mut came_back) = (0, 0, 0);
    let mut guests = BTreeMap::<Part, usize>::new();
    let (mut recordings, mut pauses) = (0, 0);
    let (mut callbacks, mut elsewhere) = (BTreeMap::<CallbackEnd, usize>::new(), 0);
    let (mut to_colleagues, mut outside, mut by_failover, mut from_desks_to_queues) = (0, 0, 0, 0);
    for seed in seeds(200) {
        let mut shift = Shift::new(seed);
        for _ in 0..1_500 {
            shift.step();
        }
        shift.check_log_replays();
        records += shift.records().len();
        for transfer in shift.records().iter().flat_map(|record| &record.transfers) {
            match (transfer.status, transfer.attended) {
                (200, false) => blind += 1,
                (200, true) => attended += 1,
                _ => came_back += 1,
            }
        }
        for guest in shift.records().iter().flat_map(|record| &record.guests) {
            *guests.entry(guest.part).or_default() += 1;
        }
        for how in shift.callbacks_ended() {
            *callbacks.entry(how).or_default() += 1;
        }
        elsewhere += shift.sent_elsewhere();
        let (begun, paused) = shift.recorded();
        (recordings, pauses) = (recordings + begun, pauses + paused);
        for record in shift.records().iter().filter(|record| record.placed_by.is_some() && record.connected.is_some()) {
            to_colleagues += usize::from(record.number.starts_with("agent"));
            outside += usize::from(record.out_trunk.is_some());
            by_failover += usize::from(record.number.starts_with("00"));
            from_desks_to_queues += usize::from(record.queue.is_some());
        }
        shift.close();
    }
    assert!(records > 0, "calls were made");
    // A single seed may have none of some kind.
    if seeds(200).count() >= 50 {
        let made = [to_colleagues, outside, by_failover, from_desks_to_queues];
        assert!(made.iter().all(|count| *count > 0), "agents' own calls were answered: {made:?}");
        assert_eq!(guests.len(), 4, "supervisors and third parties came: {guests:?}");
        let ends = [CallbackEnd::Reached, CallbackEnd::CalledAgain];
        assert!(ends.iter().all(|how| callbacks.contains_key(how)), "callers were called back: {callbacks:?}");
        assert!(elsewhere > 0, "callers overflowed and left by keys");
        assert!(recordings > 100 && pauses > 100, "calls were recorded and paused: {recordings}, {pauses}");
        let made = [blind, attended, came_back];
        assert!(made.iter().all(|count| *count > 0), "calls were transferred: {made:?}");
    }
}

#[test]
fn no_crash_leaves_an_agent_busy_or_a_call_without_a_record() {
    for seed in seeds(200) {
        let mut shift = Shift::new(seed);
        for _ in 0..3 {
            for _ in 0..400 {
                shift.step();
            }
            shift.crash();
        }
        shift.close();
    }
}

#[test]
fn ports_that_cannot_be_opened_end_their_calls_and_no_others() {
    for seed in seeds(50) {
        let setting = Setting { leg_fails_one_in: 10, ..Setting::default() };
        let mut shift = Shift::with(seed, &setting);
        for _ in 0..1_000 {
            shift.step();
        }
        shift.close();
    }
}

/// Each step is checked; at the end every call has its record, all ports and sessions are back, and the log tells the same again.
#[test]
fn a_long_shift_of_12_callers_loses_nobody_and_leaves_nothing_behind() {
    let lasting = Span::from_s(60 * number("MINUTES").unwrap_or(3));
    for seed in seeds(1) {
        let mut shift = Shift::new(seed);
        let (begin, mut steps) = (shift.now(), 0_u64);
        while shift.now().since(begin) < lasting {
            shift.step();
            steps += 1;
        }
        let records = shift.records();
        let answered = records.iter().filter(|record| record.connected.is_some()).count();
        let (recordings, _) = shift.recorded();
        println!(
            "{} virtual s in {steps} steps: {} records, {answered} with somebody at the other end, {recordings} recordings",
            lasting.as_s(),
            records.len()
        );
        // A caller calls again when a call is over, and waits 45 s at most in between.
        let least = lasting.as_s() * 12 / 300;
        assert!(records.len() as u64 >= least, "{} records, seed {seed}", records.len());
        assert!(answered > 0 && recordings > 0, "{answered} and {recordings}, seed {seed}");
        shift.close();
    }
}
