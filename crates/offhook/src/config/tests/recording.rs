//! What becomes of calls' speech: whether it is recorded, and pauses.

use offhook_call::config::{Percent, Rule};
use offhook_recorder::Format;
use offhook_units::Span;

use super::{GOOD, check_added, check_fault, faults_of, loaded};
use crate::recording::Kept;

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
    let never = "record = false\npause_recording_on_keys = \"8s\"";
    check_fault(&with(never), (6, 1), "are never recorded", "record = true");
    check_fault(&with("record = true\npause_recording_on_keys = \"1s\""), (9, 27), "pause_recording_on_keys", "2 s");
}

#[test]
fn a_queue_asks_for_consent_where_it_records_with_it_and_a_number_cannot() {
    let with = |lines: &str| GOOD.replace("name = \"sales\"\n", &format!("name = \"sales\"\n{lines}\n"));
    let ask = "record = \"with-consent\"\nconsent = { ask = \"vm-goodbye\", key = \"1\" }";
    let queue = loaded(&with(ask)).exchange.queues.remove(0);
    let consent = queue.consent.expect("it asks");
    assert_eq!((queue.record, consent.key, consent.ask.len()), (Some(Rule::WithConsent), '1', 1));
    for (lines, message, advice) in [
        ("record = \"with-consent\"", "go together", "consent = {"),
        ("record = true\nconsent = { ask = \"vm-goodbye\", key = \"1\" }", "go together", "write both"),
        (&ask.replace("\"1\"", "\"12\""), "is not one key", "0-9, * and #"),
        (&ask.replace("ask = \"vm-goodbye\", ", ""), "does not say what callers are asked", "ask = ["),
    ] {
        let faults = faults_of(&with(lines));
        let fault = faults.list.first().expect("a fault");
        assert!(fault.message.contains(message) && fault.advice.contains(advice), "{lines}: {faults}");
    }
    let twice = with(&format!("{ask}\nkeys = {{ 1 = {{ number = \"700\" }} }}"));
    assert!(faults_of(&twice).list[0].message.contains("agrees to being recorded, too"));
    let number = GOOD.replace("number = \"700\"\n", "number = \"700\"\nrecord = \"with-consent\"\n");
    assert!(faults_of(&number).list[0].message.contains("is not known"));
}

#[test]
fn calls_are_recorded_by_queue_number_agent_and_direction_always_never_on_demand_or_by_share() {
    let share = |of_hundred| Rule::Share(Percent::new(of_hundred).expect("a share"));
    for (written, rule) in [
        ("true", Rule::Always),
        ("\"always\"", Rule::Always),
        ("false", Rule::Never),
        ("\"never\"", Rule::Never),
        ("\"on-demand\"", Rule::OnDemand),
        ("\"25%\"", share(25)),
        ("\"1%\"", share(1)),
    ] {
        let text = GOOD
            .replace("name = \"sales\"\n", &format!("name = \"sales\"\nrecord = {written}\n"))
            .replace("account = \"ann\"\n", &format!("account = \"ann\"\nrecord = {written}\n"))
            .replace("number = \"700\"\n", &format!("number = \"700\"\nrecord = {written}\n"));
        let config = loaded(&format!("{text}[recording]\noutgoing = {written}\n")).exchange;
        let rules =
            [config.queues[0].record, config.agents[0].record, config.numbers["700"].record, config.recording.outgoing];
        assert_eq!(rules, [Some(rule); 4], "{written}");
    }
    let config = loaded(GOOD).exchange;
    let silent = [config.queues[0].record, config.agents[0].record, config.numbers["700"].record];
    assert_eq!((silent, config.recording.outgoing), ([None; 3], None));
    for (written, message) in [
        ("\"0%\"", "is not known"),
        ("\"100%\"", "is not known"),
        ("\"25\"", "is not known"),
        ("\"2.5%\"", "is not known"),
        ("25", "true, false or a word"),
    ] {
        check_added(&format!("[recording]\noutgoing = {written}\n"), (2, 12), message, "\"on-demand\"");
    }
}

#[test]
fn recordings_are_kept_for_ever_or_for_the_days_of_their_queue_or_of_all_and_erased_at_a_quiet_hour() {
    let recording = |text: &str| loaded(text).recording;
    let silent = recording(GOOD);
    assert!(!silent.keep.ends());
    assert_eq!((silent.hour.at.as_s(), silent.hour.zone.name.as_str()), (10_800, "UTC"));
    let section = "[recording]\nkeep = \"90d\"\nerase_at = \"02:30\"\nzone = \"Asia/Shanghai\"\n";
    let queues = "[[queue]]\nname = \"trade\"\nkeep_recordings = \"3650d\"\n[[queue]]\nname = \"law\"\nkeep_recordings = \"forever\"\n\
                  [[agent]]\nname = \"bob\"\ncontact = \"sip:bob@127.0.0.3:5060\"\nqueues = [\"trade\", \"law\"]\n";
    let said = recording(&format!("{GOOD}{queues}{section}"));
    let days = |days: u64| Kept::For(Span::from_s(days * 86_400));
    assert_eq!(said.keep.all, days(90));
    let by_queue: Vec<_> = said.keep.queues.iter().map(|(name, keep)| (name.as_str(), *keep)).collect();
    assert_eq!(by_queue, [("law", Kept::Forever), ("trade", days(3_650))]);
    assert_eq!((said.hour.at.as_s(), said.hour.zone.name.as_str()), (9_000, "Asia/Shanghai"));
    for (line, place, message, advice) in [
        ("keep = \"0d\"", (2, 8), "no number of days", "\"forever\""),
        ("keep = \"12h\"", (2, 8), "no number of days", "\"1d\""),
        ("keep = 90", (2, 8), "a text in quotes", "\"90d\""),
        ("keep = \"1d\"\nerase_at = \"24:00\"", (3, 12), "no time of day", "\"03:00\""),
        ("keep = \"1d\"\nerase_at = \"3\"", (3, 12), "no time of day", "\"03:00\""),
        ("keep = \"1d\"\nzone = \"Asia/Shangai\"", (3, 8), "is not known", "Asia/Shanghai"),
        ("zone = \"Asia/Shanghai\"", (1, 1), "nothing is ever erased", "keep = "),
    ] {
        check_added(&format!("[recording]\n{line}\n"), place, message, advice);
    }
}

#[test]
fn recordings_go_to_an_object_store_by_an_address_a_bucket_and_credentials_that_only_the_owner_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::TempDir::new().expect("a folder");
    let file = dir.path().join("s3.credentials");
    std::fs::write(&file, "aws_access_key_id = ours\naws_secret_access_key = geheim\n").expect("written");
    let mode = |mode: u32| std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("set");
    mode(0o600);
    let shown = file.display();
    let section = format!(
        "[recording.store]\nurl = \"http://127.0.0.1:9000\"\nbucket = \"calls\"\ncredentials_file = \"{shown}\"\n"
    );
    let said = |more: &str| loaded(&format!("{GOOD}{section}{more}")).recording.store.expect("a store");
    let silent = said("");
    assert_eq!((silent.url.as_str(), silent.bucket.as_str()), ("http://127.0.0.1:9000", "calls"));
    assert_eq!((silent.region.as_str(), silent.prefix.as_str()), ("us-east-1", ""));
    assert_eq!((silent.keep_local.as_s(), silent.spool_max, silent.upload_max), (604_800, 100_000_000_000, 12_500_000));
    let more = "region = \"eu\"\nprefix = \"a/b\"\nkeep_local = \"0d\"\nspool_max_gb = 5\nupload_max_mbit = 8\n";
    let full = said(more);
    assert_eq!((full.region.as_str(), full.prefix.as_str()), ("eu", "a/b"));
    assert_eq!((full.keep_local, full.spool_max, full.upload_max), (Span::ZERO, 5_000_000_000, 1_000_000));
    assert!(loaded(GOOD).recording.store.is_none());
    for (line, place, message, advice) in [
        ("bucket = \"b\"", (1, 1), "has no url", "https://"),
        ("url = \"s3.example.com\"\nbucket = \"b\"", (2, 7), "begins neither", "https://"),
        ("url = \"https://a:b@s3.example.com\"\nbucket = \"b\"", (2, 7), "a password", "https://"),
        ("url = \"http://127.0.0.1:9\"\nbucket = \"b\"\nkeep_local = \"1w\"", (4, 14), "no number of days", "\"0d\""),
        ("url = \"http://127.0.0.1:9\"\nbucket = \"b\"\nspool_max_gb = 0", (4, 16), "out of range", "1 to"),
        (
            "url = \"http://127.0.0.1:9\"\nbucket = \"b\"\ncredentials_file = \"nowhere\"",
            (4, 20),
            "nowhere",
            "chmod 600",
        ),
    ] {
        check_added(&format!("[recording.store]\n{line}\n"), place, message, advice);
    }
    mode(0o644);
    check_added(&section, (4, 20), "others than its owner", "chmod 600");
}

#[test]
fn copies_of_recordings_have_a_format_hours_and_a_share_of_a_core_and_say_so_where_they_break_a_seal() {
    let said = |more: &str| loaded(&format!("{GOOD}[recording.copies]\n{more}")).recording.copies.expect("copies");
    let silent = said("");
    let hours = silent.hours.clone().expect("hours");
    assert_eq!((silent.format, silent.cpu_percent), (Format::Opus, 25));
    assert_eq!((hours.from.as_s(), hours.until.as_s(), hours.zone.name.as_str()), (79_200, 18_000, "UTC"));
    let full = said("format = \"flac\"\nfrom = \"01:30\"\nuntil = \"02:00\"\ncpu = \"100%\"\n");
    let hours = full.hours.expect("hours");
    assert_eq!((full.format, full.cpu_percent, hours.last().as_s()), (Format::Flac, 100, 1_800));
    assert_eq!(said("when = \"at-once\"\n").hours, None);
    assert!(loaded(GOOD).recording.copies.is_none());
    for (line, place, message, advice) in [
        ("format = \"mp3\"", (2, 10), "mp3", "opus"),
        ("cpu = \"0%\"", (2, 7), "no share of a core", "\"100%\""),
        ("from = \"25:00\"", (2, 8), "no time of day", "\"03:00\""),
        ("from = \"05:00\"", (1, 1), "end when they begin", "at-once"),
        ("when = \"at-once\"\nuntil = \"04:00\"", (1, 1), "at certain hours", "off-peak"),
    ] {
        check_added(&format!("[recording.copies]\n{line}\n"), place, message, advice);
    }
    let dir = tempfile::TempDir::new().expect("a folder");
    let file = dir.path().join("recording.key");
    std::fs::write(&file, "5a".repeat(32)).expect("written");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    let sealed = format!("[recording]\nkey_file = \"{}\"\n[recording.copies]\n", file.display());
    check_added(&sealed, (3, 1), "copies of them would not be", "in_clear = true");
    assert!(loaded(&format!("{GOOD}{sealed}in_clear = true\n")).recording.copies.is_some());
}
