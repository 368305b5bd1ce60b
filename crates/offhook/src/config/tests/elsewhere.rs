//! Calendars, hours, overflow and keys.

use offhook_call::calendar::Opening;
use offhook_call::config::Elsewhere;
use offhook_units::{QueueId, Span, Tick};

use super::{GOOD, check_added, check_fault, loaded};

const OFFICE: &str = r#"[[calendar]]
name = "office"
zone = "Europe/Berlin"
hours = { mon-fri = "08:00-18:00", sat = ["09:00-12:00", "13:00-14:00"] }
days = { "2026-12-24" = "08:00-12:00", "12-25" = "closed", "easter+1" = "closed" }
[[queue]]
name = "night"
[[agent]]
name = "bob"
contact = "sip:bob@127.0.0.3:5060"
queues = ["night"]
"#;

#[test]
fn an_office_in_berlin_opens_at_7_utc_in_winter_and_at_6_utc_in_2099s_summer() {
    let text = format!("{GOOD}open = \"office\"\nclosed = {{ queue = \"night\" }}\n{OFFICE}");
    let config = loaded(&text).exchange;
    let gate = config.numbers["700"].gate.as_ref().expect("hours");
    assert_eq!((gate.calendar, &gate.closed), (0, &Elsewhere::Queue(QueueId(2))));
    let office = &config.calendars[0];
    for (now, open, until) in [
        // Wednesday 2026-12-23, 20:00 in Berlin; the next day has hours of its own.
        (1_798_052_400_u64, false, 1_798_095_600_u64),
        (1_798_095_600, true, 1_798_110_000),
        // Saturday 26 December at 08:00 UTC: closed on the day before, and open from 09:00.
        (1_798_110_000, false, 1_798_272_000),
        // Monday 2099-07-06.
        (4_087_000_799, false, 4_087_000_800),
    ] {
        let at = |seconds: u64| Tick::from_us(seconds * 1_000_000);
        assert_eq!(office.opening(at(now)), Opening { open, until: Some(at(until)) }, "{now}");
    }
}

#[test]
fn overflow_and_keys_lead_to_queues_flows_numbers_and_words() {
    let text = format!(
        "{GOOD}{OFFICE}[[queue]]\nname = \"busy\"\nmax_wait = \"2m\"\n\
         overflow = {{ full = {{ queue = \"night\" }}, waited = {{ number = \"700\" }}, nobody_here = {{ say = \"vm-goodbye\" }} }}\n\
         keys = {{ 1 = {{ number = \"bob\" }}, \"*\" = {{ number = \"+4930\", account = \"ann\" }} }}\n"
    );
    let config = loaded(&text).exchange;
    let ways = &config.queues[2].ways;
    let dial = |number: &str, account: Option<&str>| Elsewhere::Dial {
        number: number.to_owned(),
        account: account.map(str::to_owned),
    };
    assert_eq!(ways.full, Some(Elsewhere::Queue(QueueId(2))));
    assert_eq!(ways.waited, Some(dial("700", None)));
    assert!(matches!(&ways.nobody, Some(Elsewhere::Message(words)) if words.len() == 1));
    assert_eq!(ways.keys, [('*', dial("+4930", Some("ann"))), ('1', dial("bob", None))].into());
}

#[test]
fn faults_of_calendars_say_what_to_write() {
    let calendar = |rest: &str| format!("[[calendar]]\nname = \"office\"\n{rest}\n");
    for (rest, place, message, advice) in [
        ("zone = \"Europe/Berlim\"\nhours = { daily = \"08:00-18:00\" }", (3, 8), "is not known", "Europe/Berlin"),
        ("zone = \"UTC\"", (1, 1), "no hours", "add hours"),
        ("zone = \"UTC\"\nhours = { monday = \"08:00-18:00\" }", (4, 11), "no day of the week", "mon to sun"),
        ("zone = \"UTC\"\nhours = { mon = \"8-18\" }", (4, 17), "cannot be read", "08:00-18:00"),
        ("zone = \"UTC\"\nhours = { mon = [\"08:00-12:00\", \"11:00-13:00\"] }", (4, 33), "overlap", "in order"),
        (
            "zone = \"UTC\"\nhours = { mon-fri = \"08:00-18:00\", fri = \"closed\" }",
            (4, 11),
            "fri has hours twice",
            "take one",
        ),
        (
            "zone = \"UTC\"\nhours = { daily = \"08:00-18:00\" }\ndays = { \"2026-02-30\" = \"closed\" }",
            (5, 10),
            "is no day",
            "12-25",
        ),
    ] {
        check_added(&calendar(rest), place, message, advice);
    }
}

#[test]
fn faults_of_ways_out_say_what_to_write() {
    let queue = |rest: &str| {
        format!(
            "{GOOD}{OFFICE}[[queue]]\nname = \"busy\"\n{rest}\n[[agent]]\nname = \"c\"\ncontact = \"sip:c@127.0.0.4:5060\"\nqueues = [\"busy\"]\n"
        )
    };
    for (rest, column, message, advice) in [
        (
            "open = \"ofice\"\nclosed = { queue = \"night\" }",
            8,
            "there is no calendar 'ofice'",
            "did you mean 'office'",
        ),
        ("open = \"office\"", 8, "out of hours", "closed = {"),
        ("closed = { queue = \"night\" }", 10, "closed without hours", "add open"),
        ("overflow = { full = { queue = \"nigth\" } }", 21, "there is no queue 'nigth'", "'night'"),
        ("overflow = { waited = { queue = \"night\" } }", 23, "as long as they like", "max_wait"),
        ("overflow = { full = { queue = \"busy\" } }", 21, "leads back to itself: busy, busy", "say"),
        ("keys = { 11 = { queue = \"night\" } }", 10, "not a key of a phone", "0-9"),
        ("keys = { 1 = { number = \"+4930\" } }", 14, "neither a colleague nor a number", "add account"),
        ("keys = { 1 = { number = \"+4930\", account = \"bob\" } }", 14, "there is no account 'bob'", "[[account]]"),
        ("keys = { 1 = { queue = \"night\", say = \"vm-goodbye\" } }", 14, "leads to two places", "write {"),
        ("keys = { 1 = {} }", 14, "leads nowhere", "write {"),
    ] {
        check_fault(&queue(rest), (31, column), message, advice);
    }
}

#[test]
fn a_chain_of_two_queues_and_a_number_that_comes_back_is_told_with_its_trail() {
    let text = format!(
        "{GOOD}{OFFICE}[[queue]]\nname = \"busy\"\noverflow = {{ full = {{ queue = \"late\" }} }}\n\
         [[queue]]\nname = \"late\"\noverflow = {{ full = {{ number = \"701\" }} }}\n\
         [[number]]\nnumber = \"701\"\nqueue = \"busy\"\n\
         [[agent]]\nname = \"c\"\ncontact = \"sip:c@127.0.0.4:5060\"\nqueues = [\"busy\", \"late\"]\n"
    );
    check_fault(&text, (31, 21), "'busy' leads back to itself: busy, late, busy", "say");
}

#[test]
fn callbacks_are_asked_for_by_a_key_and_made_within_the_hours_of_the_queue() {
    let text = format!(
        "{GOOD}{OFFICE}[[account]]\nname = \"back\"\npassword = \"correct horse\"\noutside = [\"+49\"]\n\
         [[queue]]\nname = \"busy\"\nopen = \"office\"\nclosed = {{ say = [] }}\nkeys = {{ 1 = {{ callback = true }} }}\n\
         callback = {{ account = \"back\", say = \"vm-goodbye\", attempts = 2, retry_after = \"5m\", valid_for = \"48h\" }}\n"
    );
    let config = loaded(&text).exchange;
    let ways = &config.queues[2].ways;
    assert_eq!(ways.keys, [('1', Elsewhere::Callback)].into());
    let rules = ways.callback.as_ref().expect("callbacks");
    assert_eq!((rules.account.as_str(), rules.attempts, rules.confirm.len(), rules.window), ("back", 2, 1, Some(0)));
    let (retry, lives, rings) = (rules.retry_after, rules.valid_for, rules.ring_for);
    assert_eq!((retry, lives, rings), (Span::from_s(300), Span::from_s(172_800), Span::from_s(30)));
}

#[test]
fn faults_of_callbacks_say_what_to_write() {
    let account = "[[account]]\nname = \"back\"\npassword = \"correct horse\"\noutside = [\"+49\"]\n";
    let queue = |rest: &str| {
        format!(
            "{GOOD}{OFFICE}{account}[[queue]]\nname = \"busy\"\n{rest}\n[[agent]]\nname = \"c\"\n\
             contact = \"sip:c@127.0.0.4:5060\"\nqueues = [\"busy\"]\n"
        )
    };
    let key = "keys = { 1 = { callback = true } }";
    for (rest, place, message, advice) in [
        (key.to_owned(), (35, 14), "nothing is said of how", "callback = {"),
        ("callback = { account = \"back\" }".to_owned(), (35, 12), "no key asks", "keys"),
        (format!("{key}\ncallback = {{ account = \"bakc\" }}"), (36, 12), "there is no account 'bakc'", "[[account]]"),
        (format!("{key}\ncallback = {{ account = \"ann\" }}"), (36, 12), "may call nobody outside", "outside"),
        (format!("{key}\ncallback = {{ say = \"vm-goodbye\" }}"), (36, 12), "has no account", "account ="),
        (
            format!("{key}\ncallback = {{ account = \"back\" }}\noverflow = {{ full = {{ callback = true }} }}"),
            (37, 21),
            "nobody is called back unasked",
            "keys",
        ),
    ] {
        check_fault(&queue(&rest), place, message, advice);
    }
}
