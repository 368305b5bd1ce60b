//! The call in words: one line for each step that the exchange reports.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Instant;

use serde_json::{Value, json};

/// Tells each change once.
pub struct Story {
    begun: Instant,
    quiet: bool,
    seen: BTreeMap<String, String>,
}

impl Story {
    /// Begins now; a quiet one keeps count and says nothing.
    pub fn begin(quiet: bool) -> Self {
        Self { begun: super::begin(), quiet, seen: BTreeMap::new() }
    }

    /// One line with the time since the beginning.
    pub fn tell(&mut self, words: &str) {
        if !self.quiet {
            println!("{:>7.2} s  {words}", self.begun.elapsed().as_secs_f64());
            let _ = std::io::stdout().flush();
        }
    }

    /// Tells what an event of `/api/v1/events` says, where it is new.
    pub fn event(&mut self, name: &str, event: &Value) {
        if let Some((whose, words)) = sentence(name, event)
            && self.seen.get(&whose) != Some(&words)
        {
            self.tell(&words);
            self.seen.insert(whose, words);
        }
    }
}

/// Whose state an event tells, and in which words.
fn sentence(name: &str, event: &Value) -> Option<(String, String)> {
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    let id = text("id").to_owned();
    let words = match name {
        "agent" => match text("state") {
            "offered" => format!("{}'s phone rings", text("name")),
            "logged-out" => return None,
            state => format!("{} is {state}", text("name")),
        },
        "call" => {
            let caller = text("caller");
            match text("state") {
                "greeting" => format!("a call from {caller} to {}: the caller hears the greeting", text("number")),
                "waiting" => format!("the caller waits in the queue {}, at place {}", text("queue"), event["position"]),
                "ringing" => format!("the call is offered to {}", text("agent")),
                "talking" => format!("the caller and {} hear each other", text("agent")),
                "held" => "the caller is on hold".to_owned(),
                state => format!("the call is {state}"),
            }
        }
        "call-ended" => format!("the call is over: {}", text("end")),
        "record" => format!("the call record {id} is written"),
        _ => return None,
    };
    Some((format!("{} {id}", name.trim_end_matches("-ended")), words))
}

/// The delays that a record shows, in milliseconds.
pub fn delays(record: &Value) -> Value {
    let at = |key: &str| record[key].as_str().and_then(crate::speech::instant_us);
    let between = |from: &str, to: &str| Some((at(to)?.checked_sub(at(from)?)? as f64) / 1_000.0);
    json!({
        "invite_to_answer_ms": between("started", "answered"),
        "queue_to_offer_ms": between("queued", "first_offer"),
        "offer_to_connected_ms": between("first_offer", "connected"),
        "talk_ms": between("connected", "ended"),
    })
}

/// What a leg's figures say of its quality.
pub fn quality(media: &Value, speech: &Value) -> String {
    let number = |key: &str| media[key].as_u64().unwrap_or_default();
    let score = speech["heard"]["mos"].as_f64().map_or_else(String::new, |mos| format!(", score {mos:.2}"));
    format!(
        "{} packets received, {} sent, {} lost, {} discarded, jitter {:.1} ms{score}",
        number("received_packets"),
        number("sent_packets"),
        number("lost_packets"),
        number("discarded_packets"),
        number("jitter_clock_units") as f64 / 8.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once() {
        let mut story = Story::begin(true);
        let event = json!({ "id": "call-1", "state": "talking", "agent": "alice" });
        story.event("call", &event);
        story.event("call", &event);
        assert_eq!(story.seen["call call-1"], "the caller and alice hear each other");
        assert_eq!(sentence("reset", &event), None);
    }
}
