//! Contacts from a table (CSV) or from the event log of a day, checked line by line.

use core::fmt;
use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::Arc;

use offhook_acd::{Event, Left, NEEDS_MAX, Need, WrapUp};
use offhook_units::{ContactId, QueueId, SkillId, Span, Tick};

use super::FloorPlan;
use super::arrivals::{Arrival, CONTACTS_KNOWN_MAX, Expected, Known, Patience, Talk};

/// Most faults of a table that are told.
pub const FAULTS_MAX: usize = 20;
/// How long a forecast's interval is where the table has only one.
const INTERVAL: Span = Span::from_s(1_800);
const HOUR: Span = Span::from_s(3_600);
/// Nothing lasts longer: a day and a week's queue.
const LONGEST: Span = Span::from_s(366 * 24 * 3_600);

/// What is wrong with a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1; none of the whole.
    pub line: Option<u64>,
    /// What, and what to write instead.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Contacts that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The contacts.
    pub known: Known,
    /// When the day begins: the hour of the first contact; none where the table counts from the beginning of the day.
    pub begins: Option<Tick>,
    /// When the last contact arrives, or the last interval ends.
    pub until: Span,
}

/// What names mean on a floor.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Queues, and how long their wrap-up is.
    queues: BTreeMap<String, (QueueId, Span)>,
    /// Skills.
    pub skills: BTreeMap<String, SkillId>,
}

impl Names {
    /// Those of a plan.
    pub fn of(plan: &FloorPlan) -> Self {
        let wrap_up = |wrap_up| match wrap_up {
            WrapUp::For(span) => span,
            WrapUp::UntilDone => plan.humans.wrap_up,
        };
        let queues = plan.trades.iter().map(|trade| &trade.config);
        let queues = queues.map(|config| (config.name.clone(), (config.id, wrap_up(config.wrap_up)))).collect();
        Self { queues, skills: plan.skills.clone() }
    }

    fn queue(&self, name: &str) -> Result<(QueueId, Span), String> {
        let known = || self.queues.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        self.queues.get(name).copied().ok_or_else(|| format!("there is no queue '{name}'; there are {}", known()))
    }

    /// `french|claims:3`.
    fn needs(&self, text: &str) -> Result<Vec<Need>, String> {
        let mut needs: Vec<Need> = Vec::new();
        for word in text.split('|').map(str::trim).filter(|word| !word.is_empty()) {
            let (name, level) = word.split_once(':').unwrap_or((word, "1"));
            let level = level.trim().parse().map_err(|_| format!("'{word}' has no level from 0 to 255"))?;
            let Some(skill) = self.skills.get(name.trim()).copied() else {
                let known = self.skills.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                return Err(format!("there is no skill '{}'; there are {known}", name.trim()));
            };
            if needs.iter().any(|need| need.skill == skill) {
                return Err(format!("the skill '{}' is named twice", name.trim()));
            }
            needs.push(Need { skill, level, weight: 1 });
        }
        if needs.len() > NEEDS_MAX {
            return Err(format!("a contact needs at most {NEEDS_MAX} skills"));
        }
        Ok(needs)
    }
}

/// A moment as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// From the beginning of the day.
    From(Span),
    /// RFC 3339.
    At(Tick),
}

impl Moment {
    /// `5400`, `5400.25`, `01:30`, `01:30:00` or `2026-11-30T08:00:00+01:00`.
    fn read(text: &str) -> Option<Self> {
        if let Some(span) = span_of(text) {
            return Some(Self::From(span));
        }
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return u64::try_from(at.as_microsecond()).ok().map(|us| Self::At(Tick::from_us(us)));
        }
        let mut parts = text.split(':');
        let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next().unwrap_or("0"));
        let part = |text: &str, most: u64| text.parse::<u64>().ok().filter(|part| *part <= most);
        let (hours, minutes, seconds) = (part(hours, 24)?, part(minutes, 59)?, part(seconds, 59)?);
        let whole = parts.next().is_none();
        whole.then(|| Self::From(Span::from_s(hours * 3_600 + minutes * 60 + seconds)))
    }
}

/// Seconds with up to six decimals.
fn span_of(text: &str) -> Option<Span> {
    decimal(text, 6).map(Span::from_us).filter(|span| *span <= LONGEST)
}

/// A number that is not negative, in units of its last of `digits` decimals.
fn decimal(text: &str, digits: usize) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let numeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !numeric(whole) || !numeric(part) || part.len() > 18 {
        return None;
    }
    let part: String = part.chars().chain(core::iter::repeat('0')).take(digits).collect();
    format!("{whole}{part}").parse().ok()
}

/// The columns of a table: which there are, and of a row what stands in them.
struct Columns {
    places: BTreeMap<&'static str, usize>,
}

impl Columns {
    /// `needed` and `optional` are the names that there may be.
    fn of(header: &[String], needed: &[&'static str], optional: &[&'static str]) -> Result<Self, Vec<Fault>> {
        let (mut places, mut faults) = (BTreeMap::new(), Vec::new());
        let mut fault = |what| faults.push(Fault { line: Some(1), what });
        for (place, written) in header.iter().enumerate() {
            let known = needed.iter().chain(optional).find(|name| *name == written);
            match known {
                Some(name) if places.insert(*name, place).is_some() => fault(format!("there are two columns '{name}'")),
                Some(_) => {}
                None => {
                    let all = [needed, optional].concat().join(", ");
                    fault(format!("column '{written}' means nothing here; there may be {all}"));
                }
            }
        }
        for name in needed.iter().filter(|name| !places.contains_key(*name)) {
            fault(format!("there is no column '{name}'"));
        }
        if faults.is_empty() { Ok(Self { places }) } else { Err(faults) }
    }

    /// What stands in a column; none where it is empty or there is no such column.
    fn get<'r>(&self, row: &'r csv::StringRecord, name: &str) -> Option<&'r str> {
        self.places.get(name).and_then(|place| row.get(*place)).map(str::trim).filter(|text| !text.is_empty())
    }

    fn need<'r>(&self, row: &'r csv::StringRecord, name: &str) -> Result<&'r str, String> {
        self.get(row, name).ok_or_else(|| format!("{name} is empty"))
    }

    fn seconds(&self, row: &csv::StringRecord, name: &str) -> Result<Option<Span>, String> {
        let Some(text) = self.get(row, name) else { return Ok(None) };
        let span = span_of(text).ok_or_else(|| format!("{name} '{text}' is no number of seconds, such as 180"))?;
        Ok(Some(span))
    }
}

/// Reads a table of contacts or of intervals; the header tells which.
///
/// Contacts: `time,queue` and, where there are, `talk_s,patience_s,skills,priority`. Intervals: `interval,queue,contacts` and `aht_s`. Commas or
/// semicolons stand between; `time` and `interval` are seconds or hours and minutes (`08:30`) from the beginning of the day, or RFC 3339.
///
/// # Errors
/// What is wrong, at most [`FAULTS_MAX`] of it, by line.
pub fn read_csv(text: &str, names: &Names) -> Result<Listed, Vec<Fault>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.lines().next().unwrap_or_default();
    let delimiter = if first.contains(';') && !first.contains(',') { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new();
    let mut reader = reader.delimiter(delimiter).has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut rows = reader.records();
    let header = match rows.next() {
        Some(Ok(row)) => row.iter().map(|name| name.trim().to_lowercase()).collect::<Vec<_>>(),
        Some(Err(error)) => return Err(vec![Fault { line: Some(1), what: error.to_string() }]),
        None => return Err(vec![Fault { line: None, what: "the table is empty".to_owned() }]),
    };
    let by_interval = header.iter().any(|name| name == "interval");
    if !by_interval && !header.iter().any(|name| name == "time") {
        let what = "the first line names the columns: time,queue,.. for contacts, or interval,queue,contacts,aht_s";
        return Err(vec![Fault { line: Some(1), what: what.to_owned() }]);
    }
    if by_interval { intervals_of(&header, rows, names) } else { contacts_of(&header, rows, names) }
}

type Rows<'r> = csv::StringRecordsIter<'r, &'r [u8]>;

/// Goes through the rows, with the line of each.
fn each_row(
    rows: Rows<'_>,
    columns: usize,
    mut take: impl FnMut(&csv::StringRecord) -> Result<(), String>,
) -> Result<(), Vec<Fault>> {
    let mut faults = Vec::new();
    for (number, row) in rows.enumerate() {
        let (line, done) = match &row {
            Ok(row) => {
                let line = row.position().map(csv::Position::line);
                let long = row.len() > columns;
                let fits = if long { Err(format!("{} fields, and {columns} columns", row.len())) } else { Ok(()) };
                let full = if number < CONTACTS_KNOWN_MAX { Ok(()) } else { Err("the table is too long".to_owned()) };
                (line, fits.and(full).and_then(|()| take(row)))
            }
            Err(error) => (error.position().map(csv::Position::line), Err(error.to_string())),
        };
        if let Err(what) = done {
            faults.push(Fault { line, what });
            if faults.len() >= FAULTS_MAX {
                break;
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Moments of one kind, as spans from the beginning of the day.
#[derive(Default)]
struct Moments {
    written: Vec<Moment>,
}

impl Moments {
    fn take(&mut self, text: &str) -> Result<(), String> {
        let moment = Moment::read(text).ok_or_else(|| {
            format!("'{text}' is no time: write seconds, 08:30, or RFC 3339 such as 2026-11-30T08:00:00Z")
        })?;
        let same = self
            .written
            .first()
            .is_none_or(|first| matches!(first, Moment::From(_)) == matches!(moment, Moment::From(_)));
        if !same {
            return Err(format!("'{text}' is not written as the times before it: either all are RFC 3339, or none"));
        }
        self.written.push(moment);
        Ok(())
    }

    /// When the day begins, and each moment from there.
    fn finish(self) -> Result<(Option<Tick>, Vec<Span>), Vec<Fault>> {
        let ticks = self.written.iter().filter_map(|moment| match moment {
            Moment::At(at) => Some(*at),
            Moment::From(_) => None,
        });
        let begins = ticks.min().map(|first| Tick::from_us(first.as_us() / HOUR.as_us() * HOUR.as_us()));
        let spans: Vec<Span> = self
            .written
            .iter()
            .map(|moment| match moment {
                Moment::At(at) => *at - begins.unwrap_or(*at),
                Moment::From(span) => *span,
            })
            .collect();
        if spans.iter().any(|span| *span > LONGEST) {
            let what = "the first and the last line are more than a year apart".to_owned();
            return Err(vec![Fault { line: None, what }]);
        }
        Ok((begins, spans))
    }
}

fn contacts_of(header: &[String], rows: Rows<'_>, names: &Names) -> Result<Listed, Vec<Fault>> {
    let columns = Columns::of(header, &["time", "queue"], &["talk_s", "patience_s", "skills", "priority"])?;
    let (mut moments, mut contacts) = (Moments::default(), Vec::new());
    let has_skills = columns.places.contains_key("skills");
    each_row(rows, header.len(), |row| {
        let (queue, _) = names.queue(columns.need(row, "queue")?)?;
        let talk = columns.seconds(row, "talk_s")?.map_or(Talk::Usual, Talk::Exactly);
        let patience = columns.seconds(row, "patience_s")?.map_or(Patience::Usual, Patience::Exactly);
        let needs = names.needs(columns.get(row, "skills").unwrap_or_default())?;
        let priority = columns.get(row, "priority");
        let priority = priority
            .map(|text| text.parse::<i32>().map_err(|_| format!("priority '{text}' is no whole number")))
            .transpose()?;
        moments.take(columns.need(row, "time")?)?;
        let needs = has_skills.then_some(needs);
        contacts.push(Arrival { at: Span::ZERO, queue, needs, priority, talk, patience });
        Ok(())
    })?;
    let (begins, spans) = moments.finish()?;
    contacts.iter_mut().zip(&spans).for_each(|(contact, at)| contact.at = *at);
    let until = spans.into_iter().max().unwrap_or(Span::ZERO);
    contacts.sort_by_key(|contact| contact.at);
    Ok(Listed { known: Known::Contacts(Arc::from(contacts)), begins, until })
}

fn intervals_of(header: &[String], rows: Rows<'_>, names: &Names) -> Result<Listed, Vec<Fault>> {
    let columns = Columns::of(header, &["interval", "queue", "contacts"], &["aht_s"])?;
    let (mut moments, mut intervals, mut sum) = (Moments::default(), Vec::new(), 0_u64);
    each_row(rows, header.len(), |row| {
        let (queue, wrap_up) = names.queue(columns.need(row, "queue")?)?;
        let text = columns.need(row, "contacts")?;
        let contacts_milli =
            decimal(text, 3).ok_or_else(|| format!("contacts '{text}' is no number, such as 42 or 41.5"))?;
        sum = sum.saturating_add(contacts_milli);
        if sum > CONTACTS_KNOWN_MAX as u64 * 1_000 {
            return Err(format!("more than {CONTACTS_KNOWN_MAX} contacts"));
        }
        let talk = match columns.seconds(row, "aht_s")? {
            Some(aht) if aht <= wrap_up => {
                return Err(format!("an aht_s of {aht} leaves nothing beside the queue's wrap-up of {wrap_up}"));
            }
            Some(aht) => Talk::Mean(aht.saturating_sub(wrap_up)),
            None => Talk::Usual,
        };
        moments.take(columns.need(row, "interval")?)?;
        intervals.push(Expected { begins: Span::ZERO, lasts: INTERVAL, queue, contacts_milli, talk });
        Ok(())
    })?;
    let (begins, spans) = moments.finish()?;
    let mut starts = spans.clone();
    starts.sort_unstable();
    starts.dedup();
    let lasts = starts.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).min().unwrap_or(INTERVAL);
    for (interval, begins) in intervals.iter_mut().zip(&spans) {
        (interval.begins, interval.lasts) = (*begins, lasts);
    }
    let until = starts.last().map_or(Span::ZERO, |last| *last + lasts);
    Ok(Listed { known: Known::Intervals(Arc::from(intervals)), begins, until })
}

/// Contacts of an event log: those that entered, when, with what needs; their conversations as long as they were; who gave up is as patient
/// again, and who did not waits at least as long as then.
#[derive(Debug)]
pub struct LogReader<'n> {
    names: &'n Names,
    /// Queues of the log, and what they are here.
    queues: BTreeMap<QueueId, Option<QueueId>>,
    strange: BTreeMap<QueueId, String>,
    /// Strange queues that contacts entered.
    unknown: Vec<String>,
    /// Contacts that have entered, by their place in `contacts`; none of those that came too early or too late.
    places: BTreeMap<ContactId, Option<usize>>,
    contacts: Vec<(Tick, Arrival)>,
    within: Range<Tick>,
}

impl<'n> LogReader<'n> {
    /// Nothing is read yet. Contacts are taken that enter `within` these.
    pub fn new(names: &'n Names, within: Range<Tick>) -> Self {
        let (queues, strange, unknown, places, contacts) = Default::default();
        Self { names, queues, strange, unknown, places, contacts, within }
    }

    /// The next event of the log.
    pub fn fold(&mut self, at: Tick, event: &Event) {
        match event {
            Event::QueueSet(config) => {
                let here = self.names.queues.get(&config.name).map(|(id, _)| *id);
                if here.is_none() {
                    self.strange.insert(config.id, config.name.clone());
                }
                self.queues.insert(config.id, here);
            }
            Event::Entered { contact, queue, priority, needs, .. } => {
                // Later stays come of what the floor did with the first one.
                if self.places.contains_key(contact) || self.contacts.len() >= CONTACTS_KNOWN_MAX {
                    return;
                }
                let here = self.queues.get(queue).copied().flatten().filter(|_| self.within.contains(&at));
                self.places.insert(*contact, here.map(|_| self.contacts.len()));
                let Some(here) = here else {
                    let strange = self.strange.get(queue).filter(|_| self.within.contains(&at));
                    if let Some(name) = strange.filter(|name| !self.unknown.contains(name)) {
                        self.unknown.push(name.clone());
                    }
                    return;
                };
                let (needs, priority) = (Some(needs.clone()), Some(*priority));
                let (talk, patience) = (Talk::Usual, Patience::Usual);
                self.contacts.push((at, Arrival { at: Span::ZERO, queue: here, needs, priority, talk, patience }));
            }
            Event::Accepted { contact, entered_at, .. }
            | Event::Left { contact, entered_at, outcome: Left::FlowedOut(_), .. } => {
                self.waited(*contact, Patience::Beyond(at - *entered_at));
            }
            Event::Left { contact, entered_at, outcome: Left::Abandoned, .. } => {
                self.waited(*contact, Patience::Exactly(at - *entered_at));
            }
            Event::Finished { contact, talk, hold, .. } => {
                if let Some(arrival) = self.arrival(*contact).filter(|arrival| arrival.talk == Talk::Usual) {
                    arrival.talk = Talk::Exactly(*talk + *hold);
                }
            }
            _ => {}
        }
    }

    /// The first stay of a contact ended.
    fn waited(&mut self, contact: ContactId, patience: Patience) {
        if let Some(arrival) = self.arrival(contact).filter(|arrival| arrival.patience == Patience::Usual) {
            arrival.patience = patience;
        }
    }

    fn arrival(&mut self, contact: ContactId) -> Option<&mut Arrival> {
        let place = self.places.get(&contact).copied().flatten()?;
        self.contacts.get_mut(place).map(|(_, arrival)| arrival)
    }

    /// The contacts.
    ///
    /// # Errors
    /// Contacts entered queues that this floor has not.
    pub fn finish(self) -> Result<Listed, Vec<Fault>> {
        if !self.unknown.is_empty() {
            let known = self.names.queues.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let what = format!("the log has queues that are not here: {}; there are {known}", self.unknown.join(", "));
            return Err(vec![Fault { line: None, what }]);
        }
        let first = self.contacts.first().map(|(at, _)| *at);
        let begins = first.map(|first| Tick::from_us(first.as_us() / HOUR.as_us() * HOUR.as_us()));
        let contacts: Vec<Arrival> = self
            .contacts
            .into_iter()
            .map(|(at, arrival)| Arrival { at: at - begins.unwrap_or(at), ..arrival })
            .collect();
        let until = contacts.last().map_or(Span::ZERO, |last| last.at);
        Ok(Listed { known: Known::Contacts(Arc::from(contacts)), begins, until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::of(&FloorPlan::usual(1, 1, 0, Some(1)))
    }

    fn faults(text: &str) -> Vec<String> {
        read_csv(text, &names()).expect_err("faults").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn contacts_are_read_with_what_is_said_of_them_and_sorted_by_time() {
        let text = "time,queue,talk_s,patience_s,skills,priority\n\
                    2026-11-30T09:20:00+01:00,sales,180,,,\n\
                    2026-11-30T08:00:01.5Z,support,,12.25,french:2 | german,7\n";
        let listed = read_csv(text, &names()).expect("a good table");
        let Known::Contacts(contacts) = &listed.known else { panic!("{listed:?}") };
        let [first, second] = &contacts[..] else { panic!("{contacts:?}") };
        assert_eq!(listed.begins, Some(Tick::from_us(1_796_025_600_000_000)), "08:00 UTC");
        assert_eq!(
            (first.at, second.at, listed.until),
            (Span::from_ms(1_500), Span::from_s(1_200), Span::from_s(1_200))
        );
        assert_eq!(
            (first.queue, first.priority, first.patience),
            (QueueId(2), Some(7), Patience::Exactly(Span::from_ms(12_250)))
        );
        let needs = first.needs.as_ref().expect("skills");
        assert_eq!(needs.iter().map(|need| need.level).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(
            (second.talk, second.patience, second.needs.as_deref()),
            (Talk::Exactly(Span::from_s(180)), Patience::Usual, Some(&[][..]))
        );
    }

    #[test]
    fn intervals_are_told_apart_by_the_header_and_their_handling_time_has_the_wrap_up_in_it() {
        let text = "\u{feff}interval;queue;contacts;aht_s\n08:00;sales;41.5;200\n08:30;sales;50;\n17:00;billing;3;80\n";
        let listed = read_csv(text, &names()).expect("a good table");
        let Known::Intervals(rows) = &listed.known else { panic!("{listed:?}") };
        assert_eq!(
            (rows[0].contacts_milli, rows[0].talk, rows[1].talk),
            (41_500, Talk::Mean(Span::from_s(180)), Talk::Usual)
        );
        assert!(rows.iter().all(|row| row.lasts == Span::from_s(1_800)), "the shortest step between two: half an hour");
        assert_eq!((listed.begins, listed.until), (None, Span::from_s(17 * 3_600 + 1_800)));
    }

    #[test]
    fn each_fault_of_a_table_is_told_with_its_line() {
        for (text, expected) in [
            ("", "the table is empty"),
            ("when,queue\n1,sales\n", "line 1: the first line names the columns"),
            ("time,queue,colour\n", "line 1: column 'colour' means nothing here"),
            ("interval,queue\n", "line 1: there is no column 'contacts'"),
            ("time,queue\n1,sales\n2,nobody\n", "line 3: there is no queue 'nobody'; there are billing, claims"),
            ("time,queue\n-1,sales\n", "line 2: '-1' is no time"),
            ("time,queue\n25:00,sales\n", "line 2: '25:00' is no time"),
            ("time,queue\n1,sales\n2026-11-30T08:00:00Z,sales\n", "line 3: '2026-11-30T08:00:00Z' is not written as"),
            ("time,queue,talk_s\n1,sales,long\n", "line 2: talk_s 'long' is no number of seconds"),
            ("time,queue,skills\n1,sales,klingon\n", "line 2: there is no skill 'klingon'"),
            ("time,queue,skills\n1,sales,french|french\n", "line 2: the skill 'french' is named twice"),
            ("time,queue,priority\n1,sales,high\n", "line 2: priority 'high' is no whole number"),
            ("time,queue\n1,sales,2\n", "line 2: 3 fields, and 2 columns"),
            ("time,queue\n1,\n", "line 2: queue is empty"),
            ("interval,queue,contacts,aht_s\n08:00,sales,10,20\n", "line 2: an aht_s of 20 s leaves nothing"),
            ("interval,queue,contacts\n08:00,sales,1e9\n", "line 2: contacts '1e9' is no number"),
            ("interval,queue,contacts\n08:00,sales,99999999\n", "line 2: more than 10000000 contacts"),
            ("time,queue\n1970-01-01T00:00:00Z,sales\n2026-11-30T08:00:00Z,sales\n", "more than a year apart"),
        ] {
            let said = faults(text);
            assert!(said.iter().any(|fault| fault.contains(expected)), "{text:?}: {said:?}, not {expected:?}");
        }
        let many = format!("time,queue\n{}", "x,sales\n".repeat(500));
        assert_eq!(faults(&many).len(), FAULTS_MAX);
    }
}
