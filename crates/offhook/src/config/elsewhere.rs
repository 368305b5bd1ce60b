//! Where callers are sent who cannot stay: hours of numbers and queues, overflow, keys; by name, and what only shows when all
//! names are known.

use std::collections::BTreeMap;

use offhook_call::calendar::Calendar;
use offhook_call::config::{Elsewhere, Gate, Ways};
use offhook_plan::AssetId;
use offhook_units::QueueId;

use super::people::Accounts;
use super::read::{At, Section, nearest};
use super::routing::{Flows, Numbers, Queues};
use super::{Agent, Reader, Target};

const EXAMPLE: &str = "{ queue = \"sales\" }, { flow = \"..\" }, { number = \"..\" } or { say = [\"..\"] }";

/// A place to be sent to, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A queue.
    Queue(String),
    /// A menu.
    Flow(String),
    /// A colleague or a number.
    Dial {
        /// What is dialled.
        number: String,
        /// Who answers for it outside.
        account: Option<String>,
    },
    /// Last words.
    Message(Vec<AssetId>),
}

/// Hours, by name.
#[derive(Debug, Clone)]
pub struct GateNamed {
    /// The calendar's place.
    pub calendar: usize,
    /// Where callers are sent who come while it is closed.
    pub closed: At<Named>,
}

/// The ways out of a queue, by name.
#[derive(Debug, Clone, Default)]
pub struct WaysNamed {
    pub gate: Option<GateNamed>,
    pub full: Option<At<Named>>,
    pub nobody: Option<At<Named>>,
    pub waited: Option<At<Named>>,
    pub keys: BTreeMap<char, At<Named>>,
}

impl Named {
    /// With the ids of queues, which are all known.
    pub fn resolve(self, queue_id: &impl Fn(&String) -> QueueId) -> Elsewhere {
        match self {
            Self::Queue(name) => Elsewhere::Queue(queue_id(&name)),
            Self::Flow(name) => Elsewhere::Flow(name),
            Self::Dial { number, account } => Elsewhere::Dial { number, account },
            Self::Message(words) => Elsewhere::Message(words),
        }
    }
}

impl GateNamed {
    /// As [`Named::resolve`].
    pub fn resolve(self, queue_id: &impl Fn(&String) -> QueueId) -> Gate {
        Gate { calendar: self.calendar, closed: self.closed.value.resolve(queue_id) }
    }
}

impl WaysNamed {
    /// As [`Named::resolve`].
    pub fn resolve(self, queue_id: &impl Fn(&String) -> QueueId) -> Ways {
        let Self { gate, full, nobody, waited, keys } = self;
        let resolve = |named: At<Named>| named.value.resolve(queue_id);
        Ways {
            gate: gate.map(|gate| gate.resolve(queue_id)),
            full: full.map(resolve),
            nobody: nobody.map(resolve),
            waited: waited.map(resolve),
            keys: keys.into_iter().map(|(key, named)| (key, resolve(named))).collect(),
        }
    }

    /// Where callers go without a key of theirs.
    fn by_itself(&self) -> impl Iterator<Item = &At<Named>> {
        let closed = self.gate.as_ref().map(|gate| &gate.closed);
        [closed, self.full.as_ref(), self.nobody.as_ref(), self.waited.as_ref()].into_iter().flatten()
    }

    fn all(&self) -> impl Iterator<Item = &At<Named>> {
        self.by_itself().chain(self.keys.values())
    }
}

impl Reader {
    /// `open = "office"` and `closed = { say = ["office-closed"] }` of a number or a queue.
    pub fn gate(&mut self, section: &mut Section<'_>, calendars: &[Calendar]) -> Option<GateNamed> {
        let open = section.text(&mut self.sink, "open", "\"office\"");
        let closed = self.elsewhere(section, "closed");
        let Some(open) = open else {
            if let Some(closed) = closed {
                self.sink.fault(closed.span, "closed without hours", "add open = \"..\" with a calendar's name");
            }
            return None;
        };
        let calendar = calendars.iter().position(|calendar| calendar.name == open.value);
        if calendar.is_none() {
            let advice = match nearest(&open.value, calendars.iter().map(|calendar| calendar.name.as_str())) {
                Some(known) => format!("did you mean '{known}'?"),
                None => format!("add [[calendar]] with name = \"{}\"", open.value),
            };
            self.sink.missing(open.span.clone(), format!("there is no calendar '{}'", open.value), advice);
        }
        if closed.is_none() && !section.has("closed") {
            let advice = format!("add closed = {EXAMPLE}");
            self.sink.missing(open.span, "nothing is said of callers who come out of hours", advice);
        }
        Some(GateNamed { calendar: calendar?, closed: closed? })
    }

    /// Hours, `overflow` and `keys` of a queue.
    pub fn ways(&mut self, section: &mut Section<'_>, calendars: &[Calendar]) -> WaysNamed {
        let mut ways = WaysNamed { gate: self.gate(section, calendars), ..WaysNamed::default() };
        if let Some(mut overflow) = section.table(&mut self.sink, "overflow") {
            ways.full = self.elsewhere(&mut overflow, "full");
            ways.nobody = self.elsewhere(&mut overflow, "nobody_here");
            ways.waited = self.elsewhere(&mut overflow, "waited");
            overflow.finish(&mut self.sink);
        }
        let Some(keys) = section.table(&mut self.sink, "keys") else { return ways };
        for (key, value) in keys.entries() {
            let Some(digit) = self.phone_key(&key) else { continue };
            let Some(table) = value.get_ref().as_table() else {
                let message = format!("key {digit} leads somewhere, written as a table");
                self.sink.fault(value.span(), message, format!("write {digit} = {EXAMPLE}"));
                continue;
            };
            let mut section = Section::of(table, format!("key {digit}"), value.span());
            let named = self.place(&mut section);
            section.finish(&mut self.sink);
            ways.keys.extend(named.map(|named| (digit, At { value: named, span: value.span() })));
        }
        ways
    }

    fn elsewhere(&mut self, section: &mut Section<'_>, key: &'static str) -> Option<At<Named>> {
        let mut table = section.table(&mut self.sink, key)?;
        let named = self.place(&mut table);
        let span = table.span.clone();
        table.finish(&mut self.sink);
        named.map(|value| At { value, span })
    }

    fn place(&mut self, table: &mut Section<'_>) -> Option<Named> {
        let queue = table.text(&mut self.sink, "queue", "\"sales\"");
        let flow = table.text(&mut self.sink, "flow", "\"reception\"");
        let number = table.text_or_number_if(&mut self.sink, "number", "\"4930555700\"");
        let account = table.text(&mut self.sink, "account", "\"alice\"");
        let say = table.texts(&mut self.sink, "say", "[\"vm-goodbye\"]");
        let written = ["queue", "flow", "number", "say"].into_iter().filter(|key| table.has(key)).count();
        if written != 1 {
            let message = if written == 0 { "this leads nowhere" } else { "this leads to two places" };
            self.sink.fault(table.span.clone(), message, format!("write {EXAMPLE}"));
            return None;
        }
        if let Some(account) = account.as_ref().filter(|_| number.is_none()) {
            self.sink.fault(account.span.clone(), "an account answers for a number", "take it out");
        }
        let words = say.map(|say| self.prompts.find_all(&mut self.sink, &say.value));
        let dial = number.map(|number| Named::Dial { number: number.value, account: account.map(|a| a.value) });
        let named = queue.map(|queue| Named::Queue(queue.value)).or(flow.map(|flow| Named::Flow(flow.value)));
        named.or(dial).or(words.map(Named::Message))
    }

    /// Every place that callers are sent to is there, and no chain of queues comes back to where it began.
    pub fn check_elsewhere(&mut self, known: &Known<'_>) {
        let Known { queues, numbers, .. } = known;
        let of_queues = queues.ways.iter().flat_map(WaysNamed::all);
        let of_numbers = numbers.values().filter_map(|number| number.value.gate.as_ref()).map(|gate| &gate.closed);
        for place in of_queues.chain(of_numbers) {
            self.check_place(place, known);
        }
        for (queue, ways) in queues.list.iter().zip(&queues.ways) {
            let name = &queue.value.acd.name;
            for first in ways.by_itself() {
                let mut trail = vec![name.as_str()];
                if self.sink.is_good() && comes_back(known, &first.value, &mut trail) {
                    let message = format!("queue '{name}' leads back to itself: {}", trail.join(", "));
                    let advice = "let the last one of a chain end it: say = [\"..\"]";
                    self.sink.fault(first.span.clone(), message, advice);
                }
            }
        }
    }

    fn check_place(&mut self, place: &At<Named>, known: &Known<'_>) {
        let span = || place.span.clone();
        match &place.value {
            Named::Queue(name) => {
                known.queues.must_have(&mut self.sink, &At { value: name.clone(), span: span() });
            }
            Named::Flow(name) => {
                self.flow_known(&At { value: name.clone(), span: span() }, known.flows);
            }
            Named::Dial { number, account } => {
                if let Some(account) = account.as_ref().filter(|account| !known.accounts.contains_key(*account)) {
                    let message = format!("there is no account '{account}'");
                    self.sink.missing(span(), message, "write the name of an [[account]] that may call there");
                }
                let own = known.numbers.contains_key(number);
                let colleague = known.agents.iter().any(|agent| agent.value.acd.name == *number);
                if account.is_none() && !own && !colleague && !known.accounts.contains_key(number) {
                    let message = format!("{number} is neither a colleague nor a number of this file");
                    let advice = "add account = \"..\": whose rights and limits count for a call outside";
                    self.sink.missing(span(), message, advice);
                }
            }
            Named::Message(_) => {}
        }
    }
}

/// What stands in the rest of the file.
pub struct Known<'a> {
    pub queues: &'a Queues,
    pub flows: &'a Flows,
    pub numbers: &'a Numbers,
    pub agents: &'a [At<Agent>],
    pub accounts: &'a Accounts,
}

/// Follows a place through queues and numbers, without what only a caller can choose. The trail begins with the queue that must
/// not be come back to, and has each queue once.
fn comes_back<'a>(known: &Known<'a>, place: &'a Named, trail: &mut Vec<&'a str>) -> bool {
    match place {
        Named::Queue(name) => queue_comes_back(known, name, trail),
        Named::Dial { number, .. } => {
            let Some(number) = known.numbers.get(number) else { return false };
            let closed = number.value.gate.as_ref().is_some_and(|gate| comes_back(known, &gate.closed.value, trail));
            closed || matches!(&number.value.to, Target::Queue(queue) if queue_comes_back(known, queue, trail))
        }
        Named::Flow(_) | Named::Message(_) => false,
    }
}

fn queue_comes_back<'a>(known: &Known<'a>, name: &'a str, trail: &mut Vec<&'a str>) -> bool {
    if trail.first() == Some(&name) {
        trail.push(name);
        return true;
    }
    let at = known.queues.list.iter().position(|queue| queue.value.acd.name == name);
    // A loop that does not come by the first queue is told of its own.
    let Some(ways) = at.and_then(|at| known.queues.ways.get(at)).filter(|_| !trail.contains(&name)) else {
        return false;
    };
    trail.push(name);
    let comes = ways.by_itself().any(|place| comes_back(known, &place.value, trail));
    if !comes {
        trail.pop();
    }
    comes
}
