//! What becomes of calls' speech: pauses.

use offhook_units::Span;

use super::{GOOD, check_added, check_fault, loaded};

#[test]
fn recordings_are_paused_by_star_3_for_5_minutes_at_most_or_as_the_file_says() {
    let config = |section: &str| loaded(&format!("{GOOD}{section}")).exchange.recording;
    let pauses = |section: &str| {
        let recording = config(section);
        (recording.pause_code, recording.pause_max.as_s())
    };
    assert_eq!(pauses(""), (Some("*3".to_owned()), 300));
    assert_eq!(pauses("[recording]\npause_code = \"#72\"\npause_max = \"90s\"\n"), (Some("#72".to_owned()), 90));
    assert_eq!(pauses("[recording]\npause_code = \"none\"\n").0, None);
    for (line, place, message, advice) in [
        ("pause_code = \"*x\"", (2, 14), "cannot be pressed", "0-9, * and #"),
        ("pause_code = \"123456789\"", (2, 14), "cannot be pressed", "at most 8"),
        ("pause_code = \"*\"", (2, 14), "one key", "two keys or more"),
        ("pause_code = 3", (2, 14), "a text in quotes", "\"*3\""),
        ("pause_max = \"2h\"", (2, 13), "pause_max", "10 s"),
        ("pause_max = \"5s\"", (2, 13), "pause_max", "10 s"),
    ] {
        check_added(&format!("[recording]\n{line}\n"), place, message, advice);
    }
}

#[test]
fn the_callers_keys_pause_where_the_queue_is_recorded_and_says_for_how_long() {
    let with = |lines: &str| GOOD.replace("name = \"sales\"\n", &format!("name = \"sales\"\n{lines}\n"));
    let queue = |lines: &str| loaded(&with(lines)).exchange.queues.remove(0);
    assert_eq!(queue("record = true").pause_on_keys, None);
    assert_eq!(queue("record = true\npause_recording_on_keys = \"8s\"").pause_on_keys, Some(Span::from_s(8)));
    check_fault(&with("pause_recording_on_keys = \"8s\""), (6, 1), "are not recorded", "record = true");
    check_fault(&with("record = true\npause_recording_on_keys = \"1s\""), (9, 27), "pause_recording_on_keys", "2 s");
}
