//! Queues, flows and numbers, and what only shows when everything is known.

use std::collections::{BTreeMap, BTreeSet};

use offhook_acd::{Formula, Lending, Order, QueueConfig, Strategy, WrapUp};
use offhook_call::calendar::Calendar;
use offhook_call::config::{Announcement, Answer, Queue, Rule, Sticky, Ways};
use offhook_plan::AssetId;
use offhook_units::{QueueId, Span};

use super::elsewhere::WaysNamed;
use super::fault::Sink;
use super::people::dialled_address;
use super::read::{At, Section, nearest};
use super::{Agent, Menu, NeedsNamed, Number, Reader, Target, Trunk};
use crate::recording::Kept;

/// The key of a queue that says how long its recordings are kept.
const KEEP: &str = "keep_recordings";
/// Keys of a phone.
const DIGITS: &str = "0123456789*#ABCD";
/// How long a dialled phone rings where nothing is written.
const DIAL_RING_DEFAULT: Span = Span::from_s(60);
/// The longest length of time that is taken.
pub const DAY: Span = Span::from_s(86_400);

/// The queues of the file.
#[derive(Default)]
pub struct Queues {
    pub list: Vec<At<Queue>>,
    /// What the contacts of each need, in the same order.
    pub needs: Vec<NeedsNamed>,
    /// The ways out of each, in the same order.
    pub ways: Vec<WaysNamed>,
    /// How long the recordings of each are kept, by its name, where it says so.
    pub keep: BTreeMap<String, Kept>,
    /// On which terms each lends its agents, in the same order.
    pub lending: Vec<Option<At<Lending>>>,
}

impl Queues {
    /// Whether there is a queue of that name; a fault otherwise.
    pub fn must_have(&self, sink: &mut Sink, name: &At<String>) -> bool {
        let mut names = self.list.iter().map(|queue| queue.value.acd.name.as_str());
        if names.clone().any(|known| known == name.value) {
            return true;
        }
        let advice = match nearest(&name.value, names.by_ref()) {
            Some(known) => format!("did you mean '{known}'?"),
            None => format!("add [[queue]] with name = \"{}\"", name.value),
        };
        sink.missing(name.span.clone(), format!("there is no queue '{}'", name.value), advice);
        false
    }
}

/// Menus by name, each with where it is written.
pub type Flows = BTreeMap<String, At<Menu>>;
/// Numbers, each with where it is written.
pub type Numbers = BTreeMap<String, At<Number>>;

impl Reader {
    /// `[[queue]]`, with what `[queue_defaults]` says for all of them.
    pub fn queues(&mut self, root: &mut Section<'_>, calendars: &[Calendar]) -> Queues {
        let mut defaults = root.table(&mut self.sink, "queue_defaults");
        if let Some(section) = &mut defaults {
            self.queue(section, false);
            self.needs(section);
            self.ways(section, calendars);
            self.keep(section, KEEP);
            self.lending(section);
        }
        let defaults = defaults.map(|section| {
            let table = section.raw();
            section.finish(&mut self.sink);
            table
        });
        let mut queues = Queues::default();
        for section in root.tables(&mut self.sink, "queue") {
            let mut section = section.with_defaults(defaults);
            let name = section.need_text(&mut self.sink, "name", "\"sales\"");
            let mut queue = self.queue(&mut section, true);
            let needs = self.needs(&mut section);
            let ways = self.ways(&mut section, calendars);
            let keep = self.keep(&mut section, KEEP);
            let lending = self.lending(&mut section);
            section.finish(&mut self.sink);
            if let Some(other) = queue.consent.as_ref().and_then(|consent| ways.keys.get(&consent.key)) {
                let message = "this key agrees to being recorded, too";
                self.sink.fault(other.span.clone(), message, "give one of the two another key");
            }
            if let Some(waited) = ways.waited.as_ref().filter(|_| queue.acd.max_wait.is_none()) {
                let advice = "add max_wait = \"2m\": after so long callers are sent there";
                self.sink.missing(waited.span.clone(), "callers wait for as long as they like", advice);
            }
            let Some(name) = name else { continue };
            if name.value.len() > offhook_acd::TEXT_BYTES_MAX {
                let advice = format!("write at most {} bytes", offhook_acd::TEXT_BYTES_MAX);
                self.sink.fault(name.span.clone(), "the name is too long", advice);
            }
            if queues.list.iter().any(|other| other.value.acd.name == name.value) {
                let message = format!("there are two queues '{}'", name.value);
                self.sink.fault(name.span.clone(), message, "give each queue a name of its own");
                continue;
            }
            queues.keep.extend(keep.map(|keep| (name.value.clone(), keep)));
            queue.acd.name.clone_from(&name.value);
            queues.list.push(name.map(|_| queue));
            queues.needs.push(needs);
            queues.ways.push(ways);
            queues.lending.push(lending);
        }
        queues
    }

    /// All keys of a queue but its name. Only a `whole` queue must have what its other keys need.
    fn queue(&mut self, section: &mut Section<'_>, whole: bool) -> Queue {
        let acd = self.distribution(section);
        let mut prompts = |reader: &mut Self, key: &'static str, example: &str| -> Vec<AssetId> {
            let names = section.texts(&mut reader.sink, key, example).map(|names| names.value).unwrap_or_default();
            reader.prompts.find_all(&mut reader.sink, &names)
        };
        let music = prompts(self, "music", "\"music\"");
        let nobody_here = prompts(self, "nobody_here", "\"vm-nobodyavail\"");
        let full = prompts(self, "full", "\"tt-allbusy\"");
        let seconds = Span::from_s(5)..=Span::from_s(3_600);
        let announce_every = section.span(&mut self.sink, "announce_position_every", seconds).unwrap_or(Span::ZERO);
        let expected_wait = self.announcement(section, "expected_wait", "\"queue-minutes\"");
        let announcement = self.announcement(section, "position", "\"queue-callswaiting\"");
        if whole {
            self.announced_whole(section, announce_every, announcement.is_some(), expected_wait.as_ref());
        }
        let (announcement, expected_wait) = (words_of(announcement), words_of(expected_wait));
        let record = self.record(section, "record");
        let rests = Span::from_s(2)..=Span::from_s(120);
        let pause_on_keys = section.span(&mut self.sink, "pause_recording_on_keys", rests);
        let consent = self.consent(section);
        // What the defaults ask is for those queues that record with consent.
        let (wants, own) = (record == Some(Rule::WithConsent), section.has("consent"));
        if whole && (wants && consent.is_none() && !own || !wants && own) {
            let message = "record = \"with-consent\" and consent = { .. } go together";
            let advice = "write both: consent = { ask = [\"may-we-record\"], key = \"1\" }";
            self.sink.missing(section.span.clone(), message, advice);
        }
        if whole && pause_on_keys.is_some() && record == Some(Rule::Never) {
            let message = "the caller's keys pause a recording, and calls of this queue are never recorded";
            let advice = "write record = true, or take pause_recording_on_keys out";
            self.sink.missing(section.span.clone(), message, advice);
        }
        let sticky = self.sticky(section);
        let resume_within = section.span(&mut self.sink, "resume_within", Span::from_s(1)..=Span::from_s(3_600));
        let codes = self.codes(section, whole);
        let external = section.span(&mut self.sink, "external_decision", Span::from_ms(100)..=Span::from_s(60));
        Queue {
            acd,
            music,
            announce_every,
            announcement,
            expected_wait,
            nobody_here,
            full,
            record,
            consent,
            pause_on_keys,
            sticky,
            resume_within,
            codes,
            external,
            ways: Ways::default(),
        }
    }

    fn sticky(&mut self, section: &mut Section<'_>) -> Option<Sticky> {
        let within = section.span(&mut self.sink, "sticky_within", Span::from_s(60)..=Span::from_s(30 * 86_400));
        let wait = section.span(&mut self.sink, "sticky_for", Span::from_s(1)..=Span::from_s(3_600));
        wait.map(|wait| Sticky { wait, within: within.unwrap_or(DAY) })
    }

    fn distribution(&mut self, section: &mut Section<'_>) -> QueueConfig {
        let sink = &mut self.sink;
        let mut acd = QueueConfig::new(QueueId(0), "");
        let names = Strategy::ALL.map(|strategy| (strategy.name(), strategy));
        let elsewhere =
            Strategy::ALL.into_iter().flat_map(|strategy| strategy.aliases().iter().map(move |name| (*name, strategy)));
        let strategies: Vec<_> = names.into_iter().chain(elsewhere).collect();
        if let Some(strategy) = section.choice(sink, "strategy", &strategies) {
            acd.strategy = strategy;
        }
        if let Some(every) = section.span(sink, "widen_every", Span::from_s(1)..=Span::from_s(3_600)) {
            acd.widen_every = every;
        }
        if let Some(points) = section.number(sink, "points_per_second_waited", 1..=1_000) {
            acd.order = Order::Score { points_per_s: points.value as u16 };
        }
        if let Some(ring) = section.span(sink, "ring_for", Span::from_s(1)..=Span::from_s(180)) {
            acd.ring_for = ring;
        }
        if section.is_text("wrap_up", "until-done") {
            acd.wrap_up = WrapUp::UntilDone;
        } else if let Some(wrap_up) = section.span(sink, "wrap_up", Span::ZERO..=DAY) {
            acd.wrap_up = WrapUp::For(wrap_up);
        }
        acd.max_waiting = section.number(sink, "max_waiting", 0..=1_000_000).map(|most| most.value as u32);
        acd.max_wait = section.span(sink, "max_wait", Span::from_s(1)..=DAY);
        acd.weight = section.number(sink, "weight", 0..=1_000_000).map_or(0, |weight| weight.value as u32);
        if let Some(join) = section.flag(sink, "join_when_nobody_serves") {
            acd.no_agents.join = join;
        }
        acd.no_agents.leave_after = section.span(sink, "leave_when_nobody_serves_for", Span::ZERO..=DAY);
        if let Some(resets) = section.flag(sink, "break_resets_idle") {
            acd.break_resets_idle = resets;
        }
        if let Some(waits) = section.spans(sink, "tier_waits", &(Span::ZERO..=DAY)) {
            acd.tier_waits = waits;
        }
        if let Some(mut level) = section.table(sink, "service_level") {
            let formulas = Formula::ALL.map(|formula| (formula.name(), formula));
            if let Some(within) = level.span(sink, "within", Span::from_ms(1)..=DAY) {
                acd.service_level.threshold = within;
            }
            if let Some(short) = level.span(sink, "short_abandon", Span::ZERO..=DAY) {
                acd.service_level.short_abandon = short;
            }
            if let Some(formula) = level.choice(sink, "formula", &formulas) {
                acd.service_level.formula = formula;
            }
            level.finish(sink);
        }
        acd
    }

    /// Whether announcements are made that have words, and words are there for those that are made.
    fn announced_whole(&mut self, section: &Section<'_>, every: Span, place: bool, wait: Option<&At<Announcement>>) {
        if let Some(wait) = wait.filter(|_| every == Span::ZERO) {
            let advice = "add announce_position_every = \"30s\": the wait is told together with the position";
            self.sink.missing(wait.span.clone(), "the expected wait is never announced", advice);
        }
        if every != Span::ZERO && !place && wait.is_none() {
            let message = "the position is announced, and its words are missing";
            let advice = "add position = { before = \"queue-thereare\", digits = \"digits/{n}\", after = \
                          \"queue-callswaiting\" }";
            self.sink.missing(section.span.clone(), message, advice);
        }
    }

    /// `position = { before = .., digits = "digits/{n}", after = .., one = .. }`, and `expected_wait` likewise.
    fn announcement(&mut self, section: &mut Section<'_>, key: &'static str, after: &str) -> Option<At<Announcement>> {
        let mut words = section.table(&mut self.sink, key)?;
        let mut said = Announcement::default();
        if let Some(before) = words.texts(&mut self.sink, "before", "\"queue-thereare\"") {
            said.before = self.prompts.find_all(&mut self.sink, &before.value);
        }
        if let Some(digits) = words.need_text(&mut self.sink, "digits", "\"digits/{n}\"") {
            if digits.value.contains("{n}") {
                let named =
                    |n: u32| At { value: digits.value.replace("{n}", &n.to_string()), span: digits.span.clone() };
                let names: Vec<_> = (0..10).map(named).collect();
                said.digits = self.prompts.find_all(&mut self.sink, &names);
            } else {
                let advice = "write digits = \"digits/{n}\": {n} stands for 0 to 9";
                self.sink.fault(digits.span, "digits needs a place for the number", advice);
            }
        }
        if let Some(after) = words.texts(&mut self.sink, "after", after) {
            said.after = self.prompts.find_all(&mut self.sink, &after.value);
        }
        if let Some(one) = words.texts(&mut self.sink, "one", "\"queue-youarenext\"") {
            said.one = self.prompts.find_all(&mut self.sink, &one.value);
        }
        let span = words.span.clone();
        words.finish(&mut self.sink);
        Some(At { value: said, span })
    }

    /// `[[flow]]`.
    pub fn flows(&mut self, root: &mut Section<'_>, queues: &Queues) -> Flows {
        let mut flows = Flows::new();
        for mut section in root.tables(&mut self.sink, "flow") {
            let name = section.need_text(&mut self.sink, "name", "\"reception\"");
            let greeting = self.menu_prompts(&mut section, "greeting", "\"reception-menu\"");
            let invalid = self.menu_prompts(&mut section, "invalid", "\"invalid\"");
            let waits = Span::from_ms(500)..=Span::from_s(120);
            let wait_for_digit = section.span(&mut self.sink, "wait_for_digit", waits).unwrap_or(Span::from_s(5));
            let rounds = section.number(&mut self.sink, "rounds", 1..=10).map_or(3, |rounds| rounds.value as u8);
            let default = self.menu_default(&mut section, queues);
            let choices = self.choices(&mut section, queues);
            section.finish(&mut self.sink);
            let (Some(name), Some(default)) = (name, default) else { continue };
            let menu = Menu { greeting, choices, invalid, wait_for_digit, rounds, default };
            if flows.insert(name.value.clone(), At { value: menu, span: name.span.clone() }).is_some() {
                let message = format!("there are two flows '{}'", name.value);
                self.sink.fault(name.span, message, "give each flow a name of its own");
            }
        }
        flows
    }

    fn menu_prompts(&mut self, section: &mut Section<'_>, key: &'static str, example: &str) -> Vec<AssetId> {
        let names = section.texts(&mut self.sink, key, example).map(|names| names.value).unwrap_or_default();
        self.prompts.find_all(&mut self.sink, &names)
    }

    /// A key of a phone that stands as a key of a table.
    pub fn phone_key(&mut self, key: &At<&str>) -> Option<char> {
        let mut digits = key.value.chars();
        let digit = digits.next().filter(|digit| digits.next().is_none() && DIGITS.contains(*digit));
        if digit.is_none() {
            let message = format!("'{}' is not a key of a phone", key.value);
            self.sink.fault(key.span.clone(), message, "write one of 0-9, \"*\" or \"#\"");
        }
        digit
    }

    /// `[[number]]`.
    pub fn numbers(
        &mut self,
        root: &mut Section<'_>,
        queues: &Queues,
        flows: &Flows,
        calendars: &[Calendar],
    ) -> Numbers {
        const ANSWERS: [(&str, Answer); 3] =
            [("at-start", Answer::AtStart), ("at-queue", Answer::AtQueue), ("at-agent", Answer::AtAgent)];
        let mut numbers = Numbers::new();
        for mut section in root.tables(&mut self.sink, "number") {
            let number = section.text_or_number(&mut self.sink, "number", "\"4930555700\"");
            let answer = section.choice(&mut self.sink, "answer", &ANSWERS);
            let to = self.target(&mut section, queues, flows);
            let tones = self.tones(&mut section);
            let gate = self.gate(&mut section, calendars);
            let record = self.record(&mut section, "record");
            if answer.is_some_and(|answer| answer != Answer::AtAgent) && matches!(to, Some(Target::Dial { .. })) {
                let message = "a number that dials a phone is answered when the phone answers";
                self.sink.fault(section.span.clone(), message, "take answer out");
            }
            section.finish(&mut self.sink);
            let (Some(number), Some(to)) = (number, to) else { continue };
            let usual = if matches!(to, Target::Dial { .. }) { Answer::AtAgent } else { Answer::AtStart };
            if !number.value.chars().all(|c| c.is_ascii_alphanumeric() || "+*#-_.".contains(c)) {
                let message = format!("\"{}\" cannot be dialled", number.value);
                self.sink.fault(number.span, message, "write digits, with '+' before them where the trunk sends it");
                continue;
            }
            let value = Number { answer: answer.unwrap_or(usual), to, tones, gate, record };
            if numbers.insert(number.value.clone(), At { value, span: number.span.clone() }).is_some() {
                let message = format!("number {} is there twice", number.value);
                self.sink.fault(number.span, message, "a number leads to one place: take one of the two out");
            }
        }
        numbers
    }

    fn target(&mut self, section: &mut Section<'_>, queues: &Queues, flows: &Flows) -> Option<Target> {
        let queue = section.text(&mut self.sink, "queue", "\"sales\"");
        let flow = section.text(&mut self.sink, "flow", "\"reception\"");
        let dial = section.text(&mut self.sink, "dial", "\"192.0.2.20:5060\"");
        let ring_for = section.span(&mut self.sink, "ring_for", Span::from_s(1)..=Span::from_s(300));
        let echo = section.flag(&mut self.sink, "echo") == Some(true);
        let written = ["queue", "flow", "dial"].into_iter().filter(|key| section.has(key)).count() + usize::from(echo);
        if written != 1 {
            let message = if written == 0 { "this number leads nowhere" } else { "this number leads to two places" };
            self.sink.missing(
                section.span.clone(),
                message,
                "write one of queue = \"..\", flow = \"..\", dial = \"..\" and echo = true",
            );
            return None;
        }
        if ring_for.is_some() && dial.is_none() {
            let advice = "take it out: the queue's own ring_for says how long agents ring";
            self.sink.fault(section.span.clone(), "ring_for belongs to a number that dials a phone", advice);
        }
        if echo {
            return Some(Target::Echo);
        }
        if let Some(queue) = queue {
            return queues.must_have(&mut self.sink, &queue).then_some(Target::Queue(queue.value));
        }
        if let Some(flow) = flow {
            return self.flow_known(&flow, flows).then_some(Target::Flow(flow.value));
        }
        let dial = dial?;
        let Some((transport, peer)) = dialled_address(&dial.value) else {
            let message = format!("\"{}\" is not a phone's address", dial.value);
            self.sink.fault(dial.span, message, "write ADDRESS:PORT with an IP address, such as \"192.0.2.20:5060\"");
            return None;
        };
        self.must_speak(transport, &dial.span);
        Some(Target::Dial { transport, peer, ring_for: ring_for.unwrap_or(DIAL_RING_DEFAULT) })
    }

    /// Whether there is a flow of that name; a fault otherwise.
    pub fn flow_known(&mut self, flow: &At<String>, flows: &Flows) -> bool {
        if flows.contains_key(&flow.value) {
            return true;
        }
        let advice = match nearest(&flow.value, flows.keys().map(String::as_str)) {
            Some(known) => format!("did you mean '{known}'?"),
            None => format!("add [[flow]] with name = \"{}\"", flow.value),
        };
        self.sink.missing(flow.span.clone(), format!("there is no flow '{}'", flow.value), advice);
        false
    }

    /// What is right in itself and yet looks like a slip.
    pub fn look_around(
        &mut self,
        queues: &Queues,
        flows: &Flows,
        agents: &[At<Agent>],
        numbers: &Numbers,
        trunks: &[At<Trunk>],
    ) {
        let served: BTreeSet<&str> =
            agents.iter().flat_map(|agent| agent.value.queues.iter().map(|(queue, ..)| queue.as_str())).collect();
        for queue in queues.list.iter().filter(|queue| !served.contains(queue.value.acd.name.as_str())) {
            let message = format!("nobody serves queue '{}'", queue.value.acd.name);
            self.sink.warn(queue.span.clone(), message, "name it in queues of an [[agent]]");
        }
        for agent in agents.iter().filter(|agent| agent.value.queues.is_empty()) {
            let message = format!("agent '{}' serves no queue", agent.value.acd.name);
            self.sink.warn(agent.span.clone(), message, "add queues = [\"..\"]");
        }
        self.look_at_lenders(queues, agents);
        let by_numbers = numbers.values().filter_map(|number| match &number.value.to {
            Target::Flow(name) => Some(name),
            Target::Queue(_) | Target::Echo | Target::Dial { .. } => None,
        });
        let by_queues = queues.ways.iter().flat_map(WaysNamed::flows);
        let led_to: BTreeSet<&String> =
            by_numbers.chain(by_queues).chain(flows.values().flat_map(|flow| flow.value.flows())).collect();
        for (name, flow) in flows.iter().filter(|(name, _)| !led_to.contains(name)) {
            let message = format!("nothing leads to flow '{name}'");
            self.sink.warn(flow.span.clone(), message, format!("add flow = \"{name}\" to a [[number]]"));
        }
        match (numbers.is_empty(), trunks.is_empty()) {
            (true, _) => self.sink.warn(0..0, "there is no number that could be called", "add a [[number]]"),
            (false, true) => {
                self.sink.warn(0..0, "calls come from a trunk, and there is none", "add a [[trunk]] with its peers");
            }
            (false, false) => {}
        }
    }
}

fn words_of(announcement: Option<At<Announcement>>) -> Announcement {
    announcement.map(|announcement| announcement.value).unwrap_or_default()
}
