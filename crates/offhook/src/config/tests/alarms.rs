//! Alarms.

use offhook_call::alarm::{Measure, Rule};
use offhook_units::Span;

use super::{GOOD, check_added, loaded};

#[test]
fn an_alarm_watches_one_figure_of_one_queue_or_of_all() {
    let text = "[[alarm]]\nname = \"many\"\nqueue = \"sales\"\nwaiting = 10\nafter = \"5s\"\nclear_after = \"1m\"\n\
                [[alarm]]\nname = \"long\"\nlongest_wait = \"2m\"\n[[alarm]]\nname = \"line\"\ntrunk_down = true\n";
    let rules = loaded(&format!("{GOOD}{text}")).alarms;
    let (after, clear_after) = (Span::from_s(10), Span::from_s(30));
    let rule =
        |name: &str, measure, limit| Rule { name: name.to_owned(), measure, of: None, limit, after, clear_after };
    let many = Rule {
        of: Some("sales".to_owned()),
        after: Span::from_s(5),
        clear_after: Span::from_s(60),
        ..rule("many", Measure::Waiting, 10)
    };
    assert_eq!(rules, [many, rule("long", Measure::LongestWait, 120), rule("line", Measure::TrunkDown, 1)]);
}

#[test]
fn alarms_with_faults_are_told_what_to_write() {
    let alarm = |more: &str| format!("[[alarm]]\nname = \"a\"\n{more}");
    for (more, place, message, advice) in [
        ("", (1, 1), "watches nothing", "waiting = 10"),
        ("waiting = 1\nagents_ready_below = 1\n", (1, 1), "watches two things", "write one of"),
        ("trunk_down = false\n", (1, 1), "watches nothing", "trunk_down = true"),
        ("waiting = 0\n", (3, 11), "out of range", "1 to"),
        ("service_level_below = 101\n", (3, 23), "out of range", "100"),
        ("queue = \"sails\"\nwaiting = 1\n", (3, 9), "no queue 'sails'", "add [[queue]]"),
        ("trunk = \"nobody\"\ntrunk_down = true\n", (3, 9), "no trunk 'nobody'", ""),
        ("queue = \"sales\"\ndisk_free_below_mb = 5\n", (3, 9), "watches no queue", "take queue out"),
    ] {
        check_added(&alarm(more), place, message, advice);
    }
    let twice = format!("{}{}", alarm("waiting = 1\n"), alarm("waiting = 2\n"));
    check_added(&twice, (5, 8), "two alarms 'a'", "a name of its own");
}
