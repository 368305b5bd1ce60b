//! The command line of `offhook simulate`, with the samples that stand in `fixtures/simulate`.

use std::path::{Path, PathBuf};

use clap::Parser;
use offhook_sim::floor::Axis;

use super::*;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: SimulateArgs,
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/simulate").join(name)
}

/// The words of a command line; `@name` is a sample.
fn args(line: &str) -> SimulateArgs {
    let words = line.split_whitespace().map(|word| match word.strip_prefix('@') {
        Some(name) => sample(name).into_os_string(),
        None => word.into(),
    });
    Cli::try_parse_from(std::iter::once("simulate".into()).chain(words)).expect(line).args
}

fn base(line: &str) -> Base {
    Base::new(&args(line)).unwrap_or_else(|error| panic!("{line}: {error:#}"))
}

fn refused(line: &str) -> String {
    match Base::new(&args(line)) {
        Ok(_) => panic!("{line} is taken"),
        Err(error) => format!("{error:#}"),
    }
}

fn day_of(plan: FloorPlan) -> Day {
    let (day, told) = pass(plan, &mut |_| {}, &mut |_, _| Ok(())).expect("a day");
    assert!(told.is_empty(), "{told:?}");
    day
}

#[test]
fn a_floor_of_ones_own_has_the_files_queues_agents_skills_and_the_forecasts_contacts() {
    let base = base("--config @floor.toml --arrivals @forecast.csv --talk 4m,sales=150s --patience none,sales=90s");
    let plan = base.plan();
    let names: Vec<&str> = plan.trades.iter().map(|trade| trade.config.name.as_str()).collect();
    assert_eq!(names, ["sales", "support"]);
    assert_eq!((plan.agents.len(), plan.skills.len()), (12, 3));
    assert_eq!(plan.trades[0].config.wrap_up, offhook_acd::WrapUp::For(Span::from_s(20)));
    assert_eq!(plan.trades.iter().map(|trade| trade.patience).collect::<Vec<_>>(), [Some(Span::from_s(90)), None]);
    // 395 contacts from 08:00 to 10:00, and an hour for conversations to end.
    assert_eq!((plan.contacts, plan.lasts), (395, Span::from_s(3 * 3_600)));
    let day = day_of(plan.clone());
    assert!((330..460).contains(&day.outcome.offered), "{:?}", day.outcome);
    assert!(day.outcome.answered > 200, "{:?}", day.outcome);
    assert!(day.occupancy.is_some_and(|occupancy| occupancy > 40.0), "{day:?}");
}

#[test]
fn variants_have_the_same_customers_and_staffing_is_from_the_file() {
    let base = base("--config @floor.toml --arrivals @forecast.csv");
    let axes = ["agents=6,12,30", "support.strategy=as-is,longest-idle"]
        .map(|text| Axis::read(text, base.plan()).expect(text));
    let variants = product(&axes).expect("six");
    let days: Vec<Day> = variants.iter().map(|variant| day_of(base.varied(5, variant))).collect();
    assert!(days.iter().all(|day| day.outcome.callers_hash == days[0].outcome.callers_hash));
    let answered = |at: usize| days[at].outcome.answered;
    assert!(
        answered(0) < answered(2) && answered(2) <= answered(4),
        "{:?}",
        days.iter().map(|day| day.outcome.answered).collect::<Vec<_>>()
    );
    let mut compared = Comparison { seed: 5, variants: Vec::new() };
    for (variant, day) in variants.iter().zip(days) {
        compared.variants.push((variant.name.clone(), vec![day]));
    }
    let table = compared.table(std::time::Duration::ZERO);
    assert!(
        table.contains("6  agents=30, support.strategy=longest-idle") && table.contains("--seeds 20 tells"),
        "{table}"
    );
    let json = compared.json(std::time::Duration::ZERO);
    assert_eq!(json["variants"].as_array().map(Vec::len), Some(6));
    assert_eq!(json["variants"][0]["figures"]["offered"]["half_95"], serde_json::Value::Null);
    assert!(
        json["variants"][0].get("less_first").is_none()
            && json["variants"][5]["less_first"]["answered"]["mean"].is_number()
    );
}

#[test]
fn contacts_of_a_table_and_of_a_log_are_told_apart_by_how_they_begin() {
    let listed = base("--config @floor.toml --arrivals @contacts.csv");
    assert_eq!(listed.plan().contacts, 6);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("day.log");
    let day = format!("--hours 1 --contacts 80 --agents 9 --seed 3 --log {}", file.display());
    one(&args(&day), &base(&day)).expect("a day with a log");
    let again = base(&format!("--arrivals {} --agents 9", file.display()));
    assert_eq!(again.plan().contacts, 80);
    assert_eq!(day_of(again.plan().clone()).outcome.offered, 80);
}

#[test]
fn what_cannot_be_simulated_is_refused_with_where_and_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("it can be written");
        file.display().to_string()
    };
    let table = written("a.csv", "time,queue\n1,sales\nsoon,sales\n2,nowhere\n");
    let said = refused(&format!("--arrivals {table}"));
    assert!(
        said.contains("a.csv: line 3: 'soon' is no time") && said.contains("line 4: there is no queue 'nowhere'"),
        "{said}"
    );
    let broken = written("b.toml", "[sip]\nlisten = 7\n");
    assert!(refused(&format!("--config {broken}")).contains("b.toml: "));
    assert!(refused("--arrivals /nowhere/x.csv").contains("cannot be read"));
    assert!(refused("--talk shop=3m").contains("there is no queue 'shop'; there are sales, support"));
    assert!(refused("--talk none").contains("some time"));
    let log = written("c.log", "offhook-acd-log 1 seed 4\n\u{ff}\u{ff}\u{ff}");
    assert!(refused(&format!("--arrivals {log}")).contains("event"));
    let year = written("d.csv", "time,queue\n1,sales\n31620000,sales\n");
    assert!(refused(&format!("--arrivals {year}")).contains("at most 8784"));
    assert!(Cli::try_parse_from(["simulate", "--contacts", "4", "--arrivals", "x"]).is_err());
    assert!(Cli::try_parse_from(["simulate", "--log", "x", "--seeds", "2"]).is_err());
}

#[test]
fn the_page_is_written_where_it_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("days.html");
    let line = format!("--hours 1 --contacts 60 --compare agents=6,12 --seeds 2 --report {}", file.display());
    let (args, base) = (args(&line), base(&line));
    let axes = [Axis::read("agents=6,12", base.plan()).expect("an axis")];
    several(&args, &base, &axes).expect("four days");
    let page = std::fs::read_to_string(&file).expect("a page");
    assert!(page.starts_with("<!doctype html>") && page.contains("agents=12") && page.contains("the usual floor"));
}

#[test]
fn contacts_come_from_the_data_folder_of_an_exchange_and_a_part_of_it_by_time() {
    use offhook_call::event::LogEvent;
    use offhook_store::{Record, Store};

    let folder = tempfile::tempdir().expect("a folder");
    let day = base("--hours 2 --contacts 120 --agents 9 --seed 3");
    let mut records = Vec::new();
    let store = Store::open(folder.path()).expect("a store");
    let mut seq = store.next_seq();
    pass(day.plan().clone(), &mut |_| {}, &mut |at, event| {
        let event = LogEvent::Acd(event.clone());
        records.push(Record { stream: event.stream(), seq, at, kind: 0, version: 1, bytes: event.encode() });
        seq += 1;
        Ok(())
    })
    .expect("a day");
    store.append(records).expect("there is room");
    store.shutdown().expect("it is written");
    let line = format!("--agents 9 --arrivals {}", folder.path().display());
    let all = base(&line);
    assert_eq!((all.plan().contacts, all.plan().begins), (120, day.plan().begins));
    // The day begins at midnight UTC.
    let late = base(&format!("{line} --from 2023-11-15T01:00:00Z --until 2023-11-15T02:00:00+00:00"));
    assert!((30..90).contains(&late.plan().contacts), "{}", late.plan().contacts);
    assert!(refused(&format!("{line} --from 2024-01-01T00:00:00Z")).contains("no contacts"));
    assert!(refused("--arrivals /").contains("no data folder of an exchange"));
}
