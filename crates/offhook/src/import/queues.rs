//! `queues.conf` of Asterisk.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::{Agent, Found, Place, Queue, phone};

/// `key = value` or `key => value`, with its line.
type Entry = (usize, String, String);

/// Reads queues with their members. Templates are followed.
pub fn read(source: &str) -> Result<Found> {
    let mut found = Found::default();
    let mut sections: Vec<(usize, String, bool, Vec<Entry>)> = Vec::new();
    let mut templates: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for (at, text) in source.lines().enumerate() {
        let line = at + 1;
        let text = text.split(';').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        if text.starts_with('#') {
            found.note(line, text, "is not followed: import the file that it names too");
            continue;
        }
        if let Some(rest) = text.strip_prefix('[') {
            let Some((name, how)) = rest.split_once(']') else { bail!("line {line}: '[' without ']'") };
            let how = how.trim().trim_start_matches('(').trim_end_matches(')');
            let is_template = how.split(',').any(|part| part.trim() == "!");
            let mut entries: Vec<Entry> = Vec::new();
            for template in how.split(',').map(str::trim).filter(|part| !matches!(*part, "" | "!" | "+")) {
                match templates.get(template) {
                    Some(inherited) => entries.extend(inherited.iter().cloned()),
                    None => found.note(line, format!("template {template}"), "is not in this file"),
                }
            }
            sections.push((line, name.trim().to_owned(), is_template, entries));
        } else {
            let Some((key, value)) = text.split_once('=') else {
                bail!("line {line}: neither a section nor key = value")
            };
            let value = value.trim_start_matches('>').trim().to_owned();
            let Some((_, name, _, entries)) = sections.last_mut() else { bail!("line {line}: stands in no section") };
            entries.push((line, key.trim().to_ascii_lowercase(), value));
            templates.insert(name.clone(), entries.clone());
        }
    }
    for (_, name, is_template, entries) in sections {
        match name.as_str() {
            _ if is_template => {}
            "general" => general(&mut found, entries),
            _ => queue(&mut found, name, entries),
        }
    }
    Ok(found)
}

fn general(found: &mut Found, entries: Vec<Entry>) {
    for (line, key, value) in entries {
        let why = match key.as_str() {
            "autofill" if is_yes(&value) => continue,
            "shared_lastcall" => "wrap-up always holds for all queues of an agent",
            "persistentmembers" => "agents stand in the file, and their states in the log",
            "monitor-type" => "recordings are made by the exchange itself",
            _ => "has no equal",
        };
        found.note(line, format!("{key} = {value}"), why);
    }
}

fn queue(found: &mut Found, name: String, entries: Vec<Entry>) {
    let mut queue = Queue { name, ..Queue::default() };
    // As Asterisk has it where nothing is written.
    queue.set("strategy", "\"ring-all\"");
    queue.set("ring_for", "\"15s\"");
    queue.set("wrap_up", "\"0s\"");
    queue.set("join_when_nobody_serves", "true");
    let (mut pauses, mut members) = (false, 0);
    for (line, key, value) in entries {
        let number = value.parse::<u64>().unwrap_or(0);
        match key.as_str() {
            "member" => {
                members += 1;
                member(found, &queue.name, line, &value, members);
            }
            "strategy" => {
                if let Some(strategy) = found.strategy(line, &value) {
                    queue.set("strategy", format!("\"{strategy}\""));
                }
                if value == "wrandom" {
                    found.note(
                        line,
                        "strategy = wrandom",
                        "penalties weigh there; write weight = 1 to 100 into the memberships",
                    );
                }
            }
            "timeout" => set(found, &mut queue, "ring_for", line, &key, &value, 1..=180),
            "wrapuptime" => set(found, &mut queue, "wrap_up", line, &key, &value, 0..=86_400),
            "servicelevel" => {
                if let Some(span) = found.span(line, &key, &value, 1..=86_400) {
                    queue.set("service_level", format!("{{ within = {span} }}"));
                }
            }
            "maxlen" | "announce-frequency" if number == 0 => {}
            "maxlen" => queue.set("max_waiting", number.min(1_000_000).to_string()),
            "weight" => queue.set("weight", number.min(1_000_000).to_string()),
            "announce-frequency" => found.note(
                line,
                format!("{key} = {value}"),
                "write announce_position_every, with the words in position",
            ),
            "joinempty" => {
                queue.set("join_when_nobody_serves", is_yes(&value).to_string());
                if !matches!(value.as_str(), "yes" | "no") {
                    found.note(
                        line,
                        format!("{key} = {value}"),
                        "agents who are logged in and not on break serve a queue, busy or not",
                    );
                }
            }
            "leavewhenempty" if value == "no" => {}
            "leavewhenempty" => {
                queue.set("leave_when_nobody_serves_for", "\"0s\"");
                if value != "yes" {
                    found.note(
                        line,
                        format!("{key} = {value}"),
                        "agents who are logged in and not on break serve a queue, busy or not",
                    );
                }
            }
            "monitor-format" => {
                queue.set("record", "true");
                found.note(line, format!("{key} = {value}"), "calls are recorded, as WAV");
            }
            "autopause" => pauses = value != "no",
            "musicclass" | "musiconhold" => {
                found.note(line, format!("{key} = {value}"), "name prompts of yours: music = [\"..\"]");
            }
            "context" => {
                found.note(line, format!("{key} = {value}"), "keys that lead out are written as keys = { 1 = { .. } }");
            }
            "ringinuse" if !is_yes(&value) => {}
            "autofill" if is_yes(&value) => {}
            other => found.note(line, format!("{other} = {value}"), without_equal(other)),
        }
    }
    if pauses {
        for agent in found.agents.iter_mut().filter(|agent| agent.places.iter().any(|place| place.queue == queue.name))
        {
            agent.keys.retain(|(key, _)| *key != "max_missed");
            agent.keys.push(("max_missed", "1".to_owned()));
        }
    }
    found.queues.push(queue);
}

fn without_equal(key: &str) -> &'static str {
    match key {
        "retry" => "has no equal: the next agent is rung at once",
        "ringinuse" => "has no equal: nobody is offered a contact while on the phone",
        "autofill" => "has no equal: all who can be served are",
        "memberdelay" | "announce" | "reportholdtime" => {
            "has no equal: agents hear the caller at once, and see who it is"
        }
        "periodic-announce" | "periodic-announce-frequency" => {
            "has no equal: put it into the music, or into position = { after = [..] }"
        }
        "announce-holdtime" => "write expected_wait, with its words, and announce_position_every",
        "penaltymemberslimit" | "defaultrule" => "has no equal: tiers open by tier_waits",
        "timeoutrestart" | "timeoutpriority" => {
            "has no equal: each phone has its ring_for, and the contact its max_wait"
        }
        _ => "has no equal",
    }
}

fn set(
    found: &mut Found,
    queue: &mut Queue,
    ours: &'static str,
    line: usize,
    key: &str,
    value: &str,
    range: core::ops::RangeInclusive<u64>,
) {
    if let Some(span) = found.span(line, key, value, range) {
        queue.set(ours, span);
    }
}

/// `member => PJSIP/1000,2,Alice,hint:1000@users,no,10`.
fn member(found: &mut Found, queue: &str, line: usize, value: &str, position: u64) {
    let fields: Vec<&str> = value.split(',').map(str::trim).collect();
    let interface = fields[0];
    let penalty = fields.get(1).filter(|field| !field.is_empty()).map_or(Ok(0), |field| field.parse::<u64>());
    let penalty = penalty.unwrap_or_else(|_| {
        found.note(line, format!("penalty of {interface}"), "is no whole number; 0 was taken");
        0
    });
    for (what, field) in ["state interface", "ringinuse", "wrap-up time"].iter().zip(fields.iter().skip(3)) {
        if !field.is_empty() {
            found.note(
                line,
                format!("{what} of {interface}"),
                "has no equal: a phone's state is its own, wrap-up the queue's",
            );
        }
    }
    let reached = match interface.split_once('/') {
        Some(("SIP" | "PJSIP" | "IAX2", phone_there)) => phone(phone_there.split('/').next().unwrap_or_default()),
        Some(_) | None => None,
    };
    if reached.is_none() {
        found.note(
            line,
            format!("member {interface}"),
            "is no phone that is reached by SIP here; write account or contact",
        );
    }
    let (account, contact) = reached.unwrap_or_default();
    let own = interface.rsplit('/').next().unwrap_or(interface).split('@').next().unwrap_or(interface).to_owned();
    let name = fields.get(2).filter(|name| !name.is_empty()).map_or(own, |name| (*name).to_owned());
    let place = Place { queue: queue.to_owned(), level: penalty.saturating_add(1), position };
    let same = |agent: &&mut Agent| agent.name == name && (&agent.account, &agent.contact) == (&account, &contact);
    if let Some(known) = found.agents.iter_mut().find(same) {
        known.places.push(place);
    } else {
        let places = vec![place];
        found.agents.push(Agent { name, line, account, contact, keys: Vec::new(), places });
    }
}

fn is_yes(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "yes" | "true" | "1" | "on")
}
