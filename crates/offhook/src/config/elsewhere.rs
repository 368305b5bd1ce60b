//! Where callers are sent who cannot stay: hours of numbers and queues, overflow, keys; by name, and what only shows when all
//! names are known.

use std::collections::BTreeMap;

use offhook_call::calendar::Calendar;
use offhook_call::config::{CallbackRules, Choice, Elsewhere, Gate, Ways};
use offhook_plan::AssetId;
use offhook_units::{QueueId, Span};

use super::people::Accounts;
use super::read::{At, Section, nearest};
use super::routing::{DAY, Flows, Numbers, Queues};
use super::{Agent, Menu, Reader, Target};

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
    /// Out, to be called back.
    Callback,
}

/// Where a key of a menu leads, by name.
#[derive(Debug, Clone)]
pub enum ChoiceNamed {
    /// There.
    To(At<Named>),
    /// To the greeting again.
    Again,
}

impl ChoiceNamed {
    /// As [`Named::resolve`].
    pub fn resolve(self, queue_id: &impl Fn(&String) -> QueueId) -> Choice {
        match self {
            Self::To(place) => Choice::To(place.value.resolve(queue_id)),
            Self::Again => Choice::Again,
        }
    }
}

impl Menu {
    /// All places that it leads to.
    fn places(&self) -> impl Iterator<Item = &At<Named>> {
        let chosen = self.choices.values().filter_map(|choice| match choice {
            ChoiceNamed::To(place) => Some(place),
            ChoiceNamed::Again => None,
        });
        chosen.chain([&self.default])
    }

    /// The menus among them.
    pub fn flows(&self) -> impl Iterator<Item = &String> {
        self.places().filter_map(|place| place.value.flow())
    }
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
    pub callback: Option<At<CallbackRules>>,
}

impl Named {
    /// The menu, where it is one.
    fn flow(&self) -> Option<&String> {
        match self {
            Self::Flow(name) => Some(name),
            Self::Queue(_) | Self::Dial { .. } | Self::Message(_) | Self::Callback => None,
        }
    }

    /// With the ids of queues, which are all known.
    pub fn resolve(self, queue_id: &impl Fn(&String) -> QueueId) -> Elsewhere {
        match self {
            Self::Queue(name) => Elsewhere::Queue(queue_id(&name)),
            Self::Flow(name) => Elsewhere::Flow(name),
            Self::Dial { number, account } => Elsewhere::Dial { number, account },
            Self::Message(words) => Elsewhere::Message(words),
            Self::Callback => Elsewhere::Callback,
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
        let Self { gate, full, nobody, waited, keys, callback } = self;
        let resolve = |named: At<Named>| named.value.resolve(queue_id);
        Ways {
            gate: gate.map(|gate| gate.resolve(queue_id)),
            full: full.map(resolve),
            nobody: nobody.map(resolve),
            waited: waited.map(resolve),
            keys: keys.into_iter().map(|(key, named)| (key, resolve(named))).collect(),
            callback: callback.map(|callback| callback.value),
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

    /// The menus that callers of the queue are sent to.
    pub fn flows(&self) -> impl Iterator<Item = &String> {
        self.all().filter_map(|place| place.value.flow())
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
        let calendar = self.calendar_known(&open, calendars);
        if closed.is_none() && !section.has("closed") {
            let advice = format!("add closed = {EXAMPLE}");
            self.sink.missing(open.span, "nothing is said of callers who come out of hours", advice);
        }
        Some(GateNamed { calendar: calendar?, closed: closed? })
    }

    /// `default` of a menu: a queue's name, or a place.
    pub fn menu_default(&mut self, section: &mut Section<'_>, queues: &Queues) -> Option<At<Named>> {
        if section.raw().get("default").is_some_and(|value| value.get_ref().is_table()) {
            return self.elsewhere(section, "default").and_then(|place| self.of_menu(place));
        }
        let queue = section.need_text(&mut self.sink, "default", "\"sales\"")?;
        queues.must_have(&mut self.sink, &queue).then(|| queue.map(Named::Queue))
    }

    /// `choices = { 1 = "sales", 2 = { flow = "orders" }, 9 = { repeat = true } }`.
    pub fn choices(&mut self, section: &mut Section<'_>, queues: &Queues) -> BTreeMap<char, ChoiceNamed> {
        let mut choices = BTreeMap::new();
        let Some(table) = section.table(&mut self.sink, "choices") else { return choices };
        for (key, value) in table.entries() {
            let Some(digit) = self.phone_key(&key) else { continue };
            let choice = match (value.get_ref().as_str(), value.get_ref().as_table()) {
                (Some(queue), _) => {
                    let queue = At { value: queue.to_owned(), span: value.span() };
                    queues.must_have(&mut self.sink, &queue).then(|| ChoiceNamed::To(queue.map(Named::Queue)))
                }
                (None, Some(table)) => {
                    let mut section = Section::of(table, format!("choice {digit}"), value.span());
                    let choice = if section.has("repeat") {
                        let again = section.flag(&mut self.sink, "repeat");
                        (again == Some(true)).then_some(ChoiceNamed::Again)
                    } else {
                        let place = self.place(&mut section).map(|place| At { value: place, span: value.span() });
                        place.and_then(|place| self.of_menu(place)).map(ChoiceNamed::To)
                    };
                    section.finish(&mut self.sink);
                    choice
                }
                (None, None) => {
                    let message = format!("choice {digit} leads to a queue, written as a text, or elsewhere");
                    let advice = format!("write {digit} = \"sales\", {{ repeat = true }} or one of {EXAMPLE}");
                    self.sink.fault(value.span(), message, advice);
                    None
                }
            };
            choices.extend(choice.map(|choice| (digit, choice)));
        }
        choices
    }

    /// A place that a menu may lead to.
    fn of_menu(&mut self, place: At<Named>) -> Option<At<Named>> {
        if place.value == Named::Callback {
            let advice = "lead to a queue, whose keys = { 1 = { callback = true } } ask for one";
            self.sink.fault(place.span, "nobody waits in a menu who could be called back", advice);
            return None;
        }
        Some(place)
    }

    /// No menu comes back to itself where nobody presses anything.
    fn check_menus(&mut self, flows: &Flows) {
        for (first, menu) in flows {
            let mut trail = vec![first];
            let mut next = menu.value.default.value.flow();
            while let Some((name, at)) = next.and_then(|name| flows.get_key_value(name)) {
                if name == first {
                    let names: Vec<&str> = trail.iter().map(|name| name.as_str()).collect();
                    let message = format!("who presses nothing never leaves flow '{first}': {}", names.join(", "));
                    let advice = "let the default of one of them be a queue, a number or a message";
                    self.sink.fault(menu.value.default.span.clone(), message, advice);
                    break;
                }
                if trail.contains(&name) {
                    break;
                }
                trail.push(name);
                next = at.value.default.value.flow();
            }
        }
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
        ways.callback = self.callback(section, calendars, ways.gate.as_ref());
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

    /// `callback = { account = "reception", say = ["..."], attempts = 3, retry_after = "10m", valid_for = "24h" }`.
    fn callback(
        &mut self,
        section: &mut Section<'_>,
        calendars: &[Calendar],
        gate: Option<&GateNamed>,
    ) -> Option<At<CallbackRules>> {
        let mut table = section.table(&mut self.sink, "callback")?;
        let account = table.need_text(&mut self.sink, "account", "\"reception\"");
        let say = table.texts(&mut self.sink, "say", "[\"vm-goodbye\"]").map(|say| say.value).unwrap_or_default();
        let confirm = self.prompts.find_all(&mut self.sink, &say);
        let attempts = table.number(&mut self.sink, "attempts", 1..=20).map_or(3, |attempts| attempts.value as u32);
        let waits = Span::from_s(30)..=DAY;
        let retry_after = table.span(&mut self.sink, "retry_after", waits).unwrap_or(Span::from_s(600));
        let lives = Span::from_s(600)..=Span::from_s(14 * 86_400);
        let valid_for = table.span(&mut self.sink, "valid_for", lives).unwrap_or(DAY);
        let rings = Span::from_s(5)..=Span::from_s(180);
        let ring_for = table.span(&mut self.sink, "ring_for", rings).unwrap_or(Span::from_s(30));
        let open = table.text(&mut self.sink, "open", "\"office\"");
        let window = match &open {
            Some(open) => self.calendar_known(open, calendars),
            None => gate.map(|gate| gate.calendar),
        };
        let span = table.span.clone();
        table.finish(&mut self.sink);
        // One without an account has its fault already.
        let account = account.map(|account| account.value).unwrap_or_default();
        Some(At { value: CallbackRules { account, confirm, attempts, retry_after, valid_for, ring_for, window }, span })
    }

    /// The place of a calendar; a fault where there is none of that name.
    fn calendar_known(&mut self, name: &At<String>, calendars: &[Calendar]) -> Option<usize> {
        let found = calendars.iter().position(|calendar| calendar.name == name.value);
        if found.is_none() {
            let advice = match nearest(&name.value, calendars.iter().map(|calendar| calendar.name.as_str())) {
                Some(known) => format!("did you mean '{known}'?"),
                None => format!("add [[calendar]] with name = \"{}\"", name.value),
            };
            self.sink.missing(name.span.clone(), format!("there is no calendar '{}'", name.value), advice);
        }
        found
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
        let callback = table.flag(&mut self.sink, "callback").unwrap_or(false);
        let named = ["queue", "flow", "number", "say"].into_iter().filter(|key| table.has(key)).count();
        let written = named + usize::from(callback);
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
        named.or(dial).or(words.map(Named::Message)).or(callback.then_some(Named::Callback))
    }

    /// Every place that callers are sent to is there, and no chain of queues comes back to where it began.
    pub fn check_elsewhere(&mut self, known: &Known<'_>) {
        let Known { queues, numbers, .. } = known;
        let of_queues = queues.ways.iter().flat_map(WaysNamed::all);
        let of_numbers = numbers.values().filter_map(|number| number.value.gate.as_ref()).map(|gate| &gate.closed);
        let of_menus = known.flows.values().flat_map(|flow| flow.value.places());
        for place in of_queues.chain(of_numbers).chain(of_menus) {
            self.check_place(place, known);
        }
        self.check_menus(known.flows);
        let by_itself = queues.ways.iter().flat_map(WaysNamed::by_itself);
        let of_numbers = numbers.values().filter_map(|number| number.value.gate.as_ref()).map(|gate| &gate.closed);
        for place in by_itself.chain(of_numbers).filter(|place| place.value == Named::Callback) {
            let advice = "write keys = { 1 = { callback = true } }: a caller asks for it";
            self.sink.fault(place.span.clone(), "nobody is called back unasked", advice);
        }
        for ways in &queues.ways {
            self.check_callback(ways, known);
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

    fn check_callback(&mut self, ways: &WaysNamed, known: &Known<'_>) {
        let key = ways.keys.values().find(|place| place.value == Named::Callback);
        match (&ways.callback, key) {
            (None, Some(key)) => {
                let advice = "add callback = { account = \"..\" }: whose rights and limits count for the calls";
                self.sink.missing(key.span.clone(), "nothing is said of how callers are called back", advice);
            }
            (Some(rules), None) => {
                let advice = "add keys = { 1 = { callback = true } }";
                self.sink.warn(rules.span.clone(), "no key asks for a callback", advice);
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        if let Some(rules) = ways.callback.as_ref().filter(|rules| !rules.value.account.is_empty()) {
            match known.accounts.get(&rules.value.account) {
                None => {
                    let message = format!("there is no account '{}'", rules.value.account);
                    self.sink.missing(
                        rules.span.clone(),
                        message,
                        "write the name of an [[account]] that may call outside",
                    );
                }
                Some(account) if account.value.outside.is_empty() => {
                    let message = format!("account '{}' may call nobody outside", rules.value.account);
                    self.sink.warn(rules.span.clone(), message, "give it outside = [\"+49\", \"0\"]");
                }
                Some(_) => {}
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
            Named::Message(_) | Named::Callback => {}
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
        Named::Flow(_) | Named::Message(_) | Named::Callback => false,
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
