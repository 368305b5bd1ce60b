//! Agents on loan.

use offhook_acd::Lending;

use super::{GOOD, check_fault, faults_of, loaded};

/// Three queues, of which the last lends as `home` says, and an agent with these places.
fn text(home: &str, places: &str) -> String {
    let good = GOOD.replacen("queues = [\"sales\"]", &format!("queues = {places}"), 1);
    format!("{good}[[queue]]\nname = \"away\"\n[[queue]]\nname = \"home\"\n{home}\n")
}

#[test]
fn an_agent_of_two_queues_is_lent_by_the_one_to_the_other() {
    let places = "[\"sales\", \"home\", { queue = \"away\", level = 2, lent_by = \"home\" }]";
    let config = loaded(&text("lends_above = 85", places)).exchange;
    let id = |name: &str| config.queues.iter().find(|queue| queue.acd.name == name).expect("a queue").acd.id;
    assert_eq!(config.lending.terms, [(id("home"), Lending { target: 8_500 })]);
    assert_eq!(config.lending.loans, [(config.agents[0].acd.id, id("away"), id("home"))]);
    assert_eq!(config.agents[0].acd.queues[2].level, 2);
}

#[test]
fn loans_that_make_no_sense_are_faults_where_they_stand() {
    let rows = [
        ("[\"sales\", { queue = \"away\", lent_by = \"home\" }]", "lends an agent of other queues", "add \"home\""),
        ("[\"home\", { queue = \"away\", lent_by = \"hoem\" }]", "no queue 'hoem'", "did you mean 'home'?"),
        ("[\"home\", { queue = \"away\", lent_by = \"away\" }]", "does not lend to itself", "at home in"),
        ("[\"sales\", { queue = \"away\", lent_by = \"sales\" }]", "does not say when it lends", "lends_above = 85"),
    ];
    for (places, message, advice) in rows {
        let column = places.find("lent_by = ").expect("a loan") + "queues = lent_by = ".len() + 1;
        check_fault(&text("lends_above = 85", places), (14, column), message, advice);
    }
    let twice = "[\"sales\", { queue = \"home\", lent_by = \"sales\" }, { queue = \"away\", lent_by = \"home\" }]";
    let column = twice.rfind("lent_by = ").expect("a loan") + "queues = lent_by = ".len() + 1;
    let both = text("lends_above = 85", twice).replacen("name = \"sales\"", "name = \"sales\"\nlends_above = 90", 1);
    check_fault(&both, (15, column), "on loan in 'home' too", "take lent_by of 'home' out");
    check_fault(&text("lends_above = 0", "[\"sales\"]"), (22, 15), "out of range", "1 to 100");
}

#[test]
fn a_queue_that_lends_nobody_is_warned_of() {
    let warned = faults_of(&text("lends_above = 85", "[\"sales\", \"home\", \"away\"]")).to_string();
    assert!(warned.contains("nobody is lent by 'home'"), "{warned}");
}
