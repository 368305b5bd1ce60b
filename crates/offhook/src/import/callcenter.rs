//! `callcenter.conf.xml` of FreeSWITCH.

use anyhow::Result;

use super::xml::{Tag, tags};
use super::{Agent, Found, Place, Queue, phone};

/// What stands in the tiers' rules of a queue.
#[derive(Debug, Default)]
struct Rules {
    apply: bool,
    wait_s: u64,
    multiply: bool,
    no_wait: Option<(usize, bool)>,
    no_agent: Option<(usize, u64)>,
    resumes: bool,
    discard_s: u64,
}

/// Where a parameter belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    Queue,
}

/// Reads queues, agents and tiers.
pub fn read(source: &str) -> Result<Found> {
    let mut found = Found::default();
    let mut rules: Vec<Rules> = Vec::new();
    let mut wrap_ups: Vec<(String, u64)> = Vec::new();
    let mut within = Within::Nothing;
    for tag in tags(source)? {
        match tag.name.as_str() {
            "queue" if tag.opens => {
                let name = tag.get("name").unwrap_or_default().to_owned();
                found.queues.push(Queue { name, ..Queue::default() });
                rules.push(Rules { wait_s: 300, multiply: true, discard_s: 60, ..Rules::default() });
                within = Within::Queue;
            }
            "queue" => within = Within::Nothing,
            "param" if within == Within::Queue => queue_param(&mut found, &mut rules, &tag),
            "param" => {
                let name = tag.get("name").unwrap_or_default();
                found.note(tag.line, name, "has no equal: state lives in the exchange's own log");
            }
            "agent" if tag.opens => agent(&mut found, &mut wrap_ups, &tag),
            "tier" if tag.opens => tier(&mut found, &tag),
            "X-PRE-PROCESS" => {
                found.note(tag.line, "X-PRE-PROCESS", "is not followed: import the file that it names too");
            }
            _ => {}
        }
    }
    finish(&mut found, &rules, &wrap_ups);
    Ok(found)
}

fn queue_param(found: &mut Found, rules: &mut [Rules], tag: &Tag) {
    let (Some(name), Some(value)) = (tag.get("name"), tag.get("value")) else {
        return found.note(tag.line, "param", "has no name or no value, and was left out");
    };
    let (Some(mut queue), Some(rules)) = (found.queues.pop(), rules.last_mut()) else { return };
    let (line, is_true) = (tag.line, value == "true");
    let number = value.trim().parse::<u64>().unwrap_or(0);
    match name {
        "strategy" => {
            if let Some(strategy) = found.strategy(line, value) {
                queue.set("strategy", format!("\"{strategy}\""));
            }
        }
        "max-wait-time" if number == 0 => {}
        "max-wait-time" => {
            if let Some(span) = found.span(line, name, value, 1..=86_400) {
                queue.set("max_wait", span);
            }
        }
        "max-wait-time-with-no-agent" => rules.no_agent = Some((line, number)),
        "max-wait-time-with-no-agent-time-reached" => {
            found.note(
                line,
                name,
                "has no equal: whoever comes while nobody serves is let in, or not (join_when_nobody_serves)",
            );
        }
        "tier-rules-apply" => rules.apply = is_true,
        "tier-rule-wait-second" => rules.wait_s = number,
        "tier-rule-wait-multiply-level" => rules.multiply = is_true,
        "tier-rule-no-agent-no-wait" => rules.no_wait = Some((line, is_true)),
        "ring-progressively-delay" => {
            if let Some(span) = found.span(line, name, value, 1..=3_600) {
                queue.set("widen_every", span);
            }
        }
        "record-template" => {
            queue.set("record", "true");
            found.note(line, name, "calls are recorded; where is said by [recording], not by the queue");
        }
        "moh-sound" => found.note(line, format!("{name} = {value}"), "name a prompt of yours: music = [\"..\"]"),
        "announce-sound" => {
            found.note(line, format!("{name} = {value}"), "the position is announced by position = { .. }");
        }
        "announce-frequency" => found.note(line, name, "write announce_position_every, with the words in position"),
        "time-base-score" => {
            let why = "places count from entering the queue; with points_per_second_waited waiting adds to priority";
            found.note(line, format!("{name} = {value}"), why);
        }
        "abandoned-resume-allowed" => rules.resumes = is_true,
        "discard-abandoned-after" => rules.discard_s = number,
        "skip-agents-with-external-calls" if is_true => {}
        "skip-agents-with-external-calls" => {
            found.note(line, name, "has no equal: nobody is offered a contact while on the phone");
        }
        other => found.note(line, format!("{other} = {value}"), "has no equal"),
    }
    found.queues.push(queue);
}

fn agent(found: &mut Found, wrap_ups: &mut Vec<(String, u64)>, tag: &Tag) {
    let line = tag.line;
    let mut agent = Agent { name: tag.get("name").unwrap_or_default().to_owned(), line, ..Agent::default() };
    for (key, value) in &tag.attributes {
        let what = format!("{key} of {}", agent.name);
        match key.as_str() {
            "name" => {}
            "type" if value == "callback" => {}
            "type" => found.note(line, what, "phones are rung for each call; a standing call to an agent has no equal"),
            "contact" => contact(found, &mut agent, line, value),
            "status" => status(found, &mut agent, line, value),
            "max-no-answer" => {
                agent.keys.push(("max_missed", value.parse::<u64>().unwrap_or(0).min(1_000).to_string()));
            }
            "wrap-up-time" => match value.parse() {
                Ok(seconds) => wrap_ups.push((agent.name.clone(), seconds)),
                Err(_) => found.note(line, what, "is no whole number of seconds, and was left out"),
            },
            "reject-delay-time" => {
                agent.keys.extend(found.span(line, &what, value, 0..=3_600).map(|span| ("decline_delay", span)));
            }
            "no-answer-delay-time" => {
                agent.keys.extend(found.span(line, &what, value, 0..=3_600).map(|span| ("no_answer_delay", span)));
            }
            "busy-delay-time" => {
                agent.keys.extend(found.span(line, &what, value, 0..=3_600).map(|span| ("busy_delay", span)));
            }
            _ => found.note(line, what, "has no equal"),
        }
    }
    found.agents.push(agent);
}

/// `[leg_timeout=10]user/1000@default`, `sofia/internal/1000@192.0.2.7`.
fn contact(found: &mut Found, agent: &mut Agent, line: usize, text: &str) {
    let mut rest = text.trim();
    while let Some((inner, after)) = rest.strip_prefix(['[', '{']).and_then(|rest| rest.split_once([']', '}'])) {
        for variable in inner.split(',') {
            let why = if variable.trim().starts_with("leg_timeout=") || variable.trim().starts_with("call_timeout=") {
                "how long a phone rings belongs to the queue: write ring_for"
            } else {
                "has no equal"
            };
            found.note(line, format!("{} in the contact of {}", variable.trim(), agent.name), why);
        }
        rest = after.trim();
    }
    let reached = match rest.split_once('/') {
        // A user of a domain registers, whatever the domain is.
        Some(("user", user)) => phone(user.split('@').next().unwrap_or(user)),
        Some(("sofia", way)) => {
            way.split_once('/').filter(|(profile, _)| *profile != "gateway").and_then(|(_, user)| phone(user))
        }
        Some(_) | None => None,
    };
    match reached {
        Some((account, contact)) => (agent.account, agent.contact) = (account, contact),
        None => found.note(
            line,
            format!("contact of {}: {rest}", agent.name),
            "is no phone that is reached by SIP here; write account or contact",
        ),
    }
}

fn status(found: &mut Found, agent: &mut Agent, line: usize, status: &str) {
    match status {
        "Logged Out" => agent.keys.push(("login", "\"by-command\"".to_owned())),
        "Available" => agent.keys.push(("login", "\"when-registered\"".to_owned())),
        other => {
            agent.keys.push(("login", "\"when-registered\"".to_owned()));
            found.note(line, format!("status of {} = {other}", agent.name), "a day begins logged out or available");
        }
    }
}

fn tier(found: &mut Found, tag: &Tag) {
    let (agent, queue) = (tag.get("agent").unwrap_or_default(), tag.get("queue").unwrap_or_default());
    let number = |name| tag.get(name).and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(1);
    let place = Place { queue: queue.to_owned(), level: number("level"), position: number("position") };
    if !found.queues.iter().any(|known| known.name == queue) {
        return found.note(tag.line, format!("tier of {agent} in {queue}"), "there is no such queue; it was left out");
    }
    match found.agents.iter_mut().find(|known| known.name == agent) {
        Some(known) => known.places.push(place),
        None => found.note(tag.line, format!("tier of {agent} in {queue}"), "there is no such agent; it was left out"),
    }
}

/// What only shows when everything is read.
fn finish(found: &mut Found, rules: &[Rules], wrap_ups: &[(String, u64)]) {
    let mut queues = core::mem::take(&mut found.queues);
    for (queue, rules) in queues.iter_mut().zip(rules) {
        let members = || found.agents.iter().filter(|agent| agent.places.iter().any(|place| place.queue == queue.name));
        let levels = members().flat_map(|agent| &agent.places).filter(|place| place.queue == queue.name);
        let highest = levels.map(|place| place.level).max().unwrap_or(1).min(u64::from(offhook_acd::LEVELS_MAX));
        let mut lasts: Vec<u64> =
            wrap_ups.iter().filter(|(name, _)| members().any(|agent| agent.name == *name)).map(|(_, s)| *s).collect();
        lasts.sort_unstable();
        if let Some(longest) = lasts.last() {
            queue.set("wrap_up", format!("\"{longest}s\""));
            if lasts.first() != lasts.last() {
                let why =
                    format!("wrap-up belongs to the queue here: the longest of its agents, {longest} s, was taken");
                found.notes.push(super::Note { line: 0, what: format!("wrap-up-time in {}", queue.name), why });
            }
        }
        if rules.apply && highest > 1 {
            let wait = |level: u64| if level == 1 { 0 } else { rules.wait_s * if rules.multiply { level } else { 1 } };
            let waits: Vec<String> = (1..=highest).map(|level| format!("\"{}s\"", wait(level).min(86_400))).collect();
            queue.set("tier_waits", format!("[{}]", waits.join(", ")));
            if let Some((line, false)) = rules.no_wait {
                let why = "a higher tier opens at once here where nobody of a lower one is logged in";
                found.notes.push(super::Note {
                    line,
                    what: "tier-rule-no-agent-no-wait = false".to_owned(),
                    why: why.to_owned(),
                });
            }
        }
        if rules.resumes && rules.discard_s > 0 {
            queue.set("resume_within", format!("\"{}s\"", rules.discard_s.min(3_600)));
        }
        // Whoever finds nobody waits there, for as long as this says.
        queue.set("join_when_nobody_serves", "true");
        if let Some((line, seconds)) = rules.no_agent.filter(|(_, seconds)| *seconds > 0) {
            let text = seconds.to_string();
            if let Some(span) = found.span(line, "max-wait-time-with-no-agent", &text, 0..=86_400) {
                queue.set("leave_when_nobody_serves_for", span);
            }
        }
    }
    found.queues = queues;
}
