//! `[[alarm]]`: thresholds that somebody is told about.

use offhook_call::alarm::{ALARMS_MAX, Measure, Rule};
use offhook_units::Span;

use super::Reader;
use super::Trunk;
use super::fault::Sink;
use super::read::{At, Section, nearest};
use super::routing::{DAY, Queues};

/// How long something has to be bad where the file does not say.
const AFTER: Span = Span::from_s(10);
/// And how long it has to be well again.
const CLEAR_AFTER: Span = Span::from_s(30);
const EXAMPLE: &str = "waiting = 10, longest_wait = \"2m\", service_level_below = 80, agents_ready_below = 1, trunk_down = true, \
                       disk_free_below_mb = 5000 or recording_faults = 1";

impl Reader {
    /// `[[alarm]]`.
    pub fn alarms(&mut self, root: &mut Section<'_>, queues: &Queues, trunks: &[At<Trunk>]) -> Vec<Rule> {
        let mut rules: Vec<Rule> = Vec::new();
        for (at, mut section) in root.tables(&mut self.sink, "alarm").into_iter().enumerate() {
            let name = section.need_text(&mut self.sink, "name", "\"many wait\"");
            let queue = section.text(&mut self.sink, "queue", "\"sales\"");
            let trunk = section.text(&mut self.sink, "trunk", "\"carrier\"");
            let measure = measure(&mut self.sink, &mut section);
            let after = section.span(&mut self.sink, "after", Span::ZERO..=DAY).unwrap_or(AFTER);
            let clear_after = section.span(&mut self.sink, "clear_after", Span::ZERO..=DAY).unwrap_or(CLEAR_AFTER);
            let span = section.span.clone();
            section.finish(&mut self.sink);
            if at == ALARMS_MAX {
                self.sink.fault(
                    span.clone(),
                    format!("there are more than {ALARMS_MAX} alarms"),
                    "leave out queue: one alarm then watches every queue",
                );
            }
            let queue = queue.filter(|queue| queues.must_have(&mut self.sink, queue));
            if let Some(trunk) =
                trunk.as_ref().filter(|trunk| !trunks.iter().any(|known| known.value.name == trunk.value))
            {
                let advice = match nearest(&trunk.value, trunks.iter().map(|known| known.value.name.as_str())) {
                    Some(known) => format!("did you mean '{known}'?"),
                    None => "write the name of a [[trunk]]".to_owned(),
                };
                self.sink.fault(trunk.span.clone(), format!("there is no trunk '{}'", trunk.value), advice);
            }
            let (Some(name), Some((measure, limit))) = (name, measure) else { continue };
            if let Some(misplaced) = queue.as_ref().filter(|_| !of_queues(measure)) {
                self.sink.fault(misplaced.span.clone(), "this alarm watches no queue", "take queue out");
            }
            if let Some(misplaced) = trunk.as_ref().filter(|_| measure != Measure::TrunkDown) {
                self.sink.fault(misplaced.span.clone(), "this alarm watches no trunk", "take trunk out");
            }
            if rules.iter().any(|other| other.name == name.value) {
                let message = format!("there are two alarms '{}'", name.value);
                self.sink.fault(name.span, message, "give each alarm a name of its own");
                continue;
            }
            let of = queue.or(trunk).map(|of| of.value);
            rules.push(Rule { name: name.value, measure, of, limit, after, clear_after });
        }
        rules
    }
}

const fn of_queues(measure: Measure) -> bool {
    match measure {
        Measure::Waiting | Measure::LongestWait | Measure::ServiceLevel | Measure::AgentsReady => true,
        Measure::TrunkDown | Measure::DiskFree | Measure::RecordingFaults => false,
    }
}

/// What an alarm watches: one key of these.
fn measure(sink: &mut Sink, section: &mut Section<'_>) -> Option<(Measure, u64)> {
    let mut found: Vec<(Measure, u64)> = Vec::new();
    let mut written = 0;
    for (key, measure, most) in [
        ("waiting", Measure::Waiting, 1_000_000),
        ("service_level_below", Measure::ServiceLevel, 100),
        ("agents_ready_below", Measure::AgentsReady, 100_000),
        ("disk_free_below_mb", Measure::DiskFree, 1_000_000_000),
        ("recording_faults", Measure::RecordingFaults, 1_000_000),
    ] {
        written += usize::from(section.has(key));
        found.extend(section.number(sink, key, 1..=most).map(|limit| (measure, limit.value)));
    }
    written += usize::from(section.has("longest_wait")) + usize::from(section.has("trunk_down"));
    let wait = section.span(sink, "longest_wait", Span::from_s(1)..=DAY);
    found.extend(wait.map(|wait| (Measure::LongestWait, wait.as_s())));
    if section.flag(sink, "trunk_down") == Some(true) {
        found.push((Measure::TrunkDown, 1));
    }
    if written != 1 || (found.is_empty() && section.has("trunk_down")) {
        let message = if written > 1 { "this alarm watches two things" } else { "this alarm watches nothing" };
        sink.missing(section.span.clone(), message, format!("write one of {EXAMPLE}"));
        return None;
    }
    found.pop()
}
