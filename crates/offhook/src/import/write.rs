//! What was read, as tables of our file.

use core::fmt::Write;
use std::collections::{BTreeMap, BTreeSet};

use offhook_acd::{LEVELS_MAX, MEMBERSHIPS_MAX};

use super::{Agent, Found, Note};

/// The tables, and what was not taken over as it was, in the order of the file.
pub fn tables(mut found: Found) -> (String, Vec<Note>) {
    let mut text = String::new();
    merge_levels(&mut found);
    for queue in &found.queues {
        let _ = writeln!(text, "[[queue]]\nname = {}", quoted(&queue.name));
        for (key, value) in &queue.keys {
            let _ = writeln!(text, "{key} = {value}");
        }
        text.push('\n');
    }
    for agent in in_order(&mut found) {
        if agent.account.is_none() && agent.contact.is_none() {
            // Its note says why; without a phone nobody is rung.
            let _ = writeln!(text, "# {} has no phone here:", agent.name.escape_default());
            for line in agent_table(&agent).lines() {
                let _ = writeln!(text, "# {line}");
            }
        } else {
            text.push_str(&agent_table(&agent));
        }
        text.push('\n');
    }
    let accounts: BTreeSet<&String> = found.agents.iter().filter_map(|agent| agent.account.as_ref()).collect();
    for account in accounts {
        let _ = writeln!(text, "# [[account]]\n# name = {}\n# password = \"..\"\n", quoted(account));
    }
    let mut notes = found.notes;
    notes.sort();
    notes.dedup();
    (text, notes)
}

fn agent_table(agent: &Agent) -> String {
    let mut text = format!("[[agent]]\nname = {}\n", quoted(&agent.name));
    if let Some(account) = &agent.account {
        let _ = writeln!(text, "account = {}", quoted(account));
    }
    if let Some(contact) = &agent.contact {
        let _ = writeln!(text, "contact = {}", quoted(contact));
    }
    let places = agent.places.iter().map(|place| match place.level {
        1 => quoted(&place.queue),
        level => format!("{{ queue = {}, level = {level} }}", quoted(&place.queue)),
    });
    let _ = writeln!(text, "queues = [{}]", places.collect::<Vec<_>>().join(", "));
    for (key, value) in &agent.keys {
        // Who has no registration is there from the start.
        let never_registers = *key == "login" && agent.contact.is_some();
        let value = if never_registers { value.replace("when-registered", "at-start") } else { value.clone() };
        let _ = writeln!(text, "{key} = {value}");
    }
    text
}

/// Levels from 1 without gaps, so that any penalty finds one: their order is all that counts.
fn merge_levels(found: &mut Found) {
    let mut levels: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for place in found.agents.iter().flat_map(|agent| &agent.places) {
        levels.entry(place.queue.clone()).or_default().insert(place.level);
    }
    let most = u64::from(LEVELS_MAX);
    for (queue, known) in &levels {
        if known.len() as u64 > most {
            let why = format!("there are {LEVELS_MAX} levels here: the rest share the last one");
            found.notes.push(Note { line: 0, what: format!("{} penalties in {queue}", known.len()), why });
        }
    }
    let has_waits = |found: &Found, queue: &str| {
        let known = found.queues.iter().find(|known| known.name == queue);
        known.is_some_and(|queue| queue.keys.iter().any(|(key, _)| *key == "tier_waits"))
    };
    let waits: BTreeSet<String> = levels.keys().filter(|queue| has_waits(found, queue)).cloned().collect();
    for place in found.agents.iter_mut().flat_map(|agent| &mut agent.places) {
        let ranks = &levels[&place.queue];
        let fits = ranks.iter().all(|level| (1..=most).contains(level));
        // Where waits belong to levels, the numbers stay what they are.
        if !(fits && (waits.contains(&place.queue) || ranks.last().is_some_and(|last| *last <= most))) {
            let rank = ranks.range(..place.level).count() as u64 + 1;
            place.level = rank.min(most);
        }
        place.level = place.level.clamp(1, most);
    }
}

/// Agents in an order in which each queue has its members by position, where there is one: positions here are the order of the file.
fn in_order(found: &mut Found) -> Vec<Agent> {
    for agent in &mut found.agents {
        if agent.places.len() > MEMBERSHIPS_MAX {
            agent.places.truncate(MEMBERSHIPS_MAX);
            let why = format!("an agent serves at most {MEMBERSHIPS_MAX} queues: the rest was left out");
            found.notes.push(Note { line: agent.line, what: agent.name.clone(), why });
        }
    }
    let mut agents = found.agents.clone();
    let key = |agent: &Agent| agent.places.first().map(|place| (place.level, place.position));
    agents.sort_by_key(|agent| key(agent).unwrap_or_default());
    for queue in &found.queues {
        let members = agents.iter().flat_map(|agent| &agent.places).filter(|place| place.queue == queue.name);
        let order: Vec<(u64, u64)> = members.map(|place| (place.level, place.position)).collect();
        let of_level = |level: u64| order.iter().filter(move |(own, _)| *own == level).map(|(_, position)| *position);
        let by_position = ["linear", "top-down", "round-robin", "ring-progressively"];
        let counts =
            queue.keys.iter().any(|(key, value)| *key == "strategy" && by_position.contains(&value.trim_matches('"')));
        if counts && order.iter().any(|(level, _)| !of_level(*level).is_sorted()) {
            let why = "the order of [[agent]] tables is that of every queue, and this one has another: see to it";
            found.notes.push(Note { line: 0, what: format!("order of agents in {}", queue.name), why: why.to_owned() });
        }
    }
    agents
}

pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}
