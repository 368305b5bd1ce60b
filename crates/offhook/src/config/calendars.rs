//! `[[calendar]]`: opening hours by the clocks of a place, with holidays and exceptions.

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use offhook_call::calendar::{CALENDAR_DAYS_MAX, Calendar, Date, Days, HOURS_PER_DAY_MAX, Hours, Zone};
use offhook_units::Tick;
use toml::Spanned;
use toml::de::DeValue;

use super::Reader;
use super::read::{At, Section, nearest};

/// What clocks show is laid down from 1970 up to here, 2101-01-01; the last change holds beyond.
const ZONES_UNTIL_S: i64 = 4_133_980_800;
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const HOURS_EXAMPLE: &str = "{ mon-fri = \"08:00-18:00\", sat = [\"09:00-12:00\", \"13:00-15:00\"] }";
const DAYS_ADVICE: &str =
    "write \"2026-12-24\", \"12-25\" for each year, \"2026-07-01..2026-07-14\", \"easter\" or \"easter+1\"";

impl Reader {
    /// `[[calendar]]`.
    pub fn calendars(&mut self, root: &mut Section<'_>) -> Vec<Calendar> {
        let mut calendars: Vec<Calendar> = Vec::new();
        for mut section in root.tables(&mut self.sink, "calendar") {
            let name = section.need_text(&mut self.sink, "name", "\"office\"");
            let zone = section.need_text(&mut self.sink, "zone", "\"Europe/Berlin\"");
            let zone = zone.and_then(|zone| self.zone(&zone));
            let week = self.week(&mut section);
            let days = self.days(&mut section);
            section.finish(&mut self.sink);
            let Some(name) = name else { continue };
            if calendars.iter().any(|other| other.name == name.value) {
                let message = format!("there are two calendars '{}'", name.value);
                self.sink.fault(name.span, message, "give each calendar a name of its own");
                continue;
            }
            // One with a fault is there all the same: whoever names it is right.
            let zone = zone.unwrap_or_else(Zone::utc);
            calendars.push(Calendar { name: name.value, zone, week, days });
        }
        calendars
    }

    /// The clocks of a place, by its name.
    pub fn zone(&mut self, name: &At<String>) -> Option<Zone> {
        let known = TimeZoneDatabase::bundled();
        let Ok(zone) = known.get(&name.value) else {
            let names: Vec<String> = known.available().map(|name| name.to_string()).collect();
            let advice = match nearest(&name.value, names.iter().map(String::as_str)) {
                Some(known) => format!("did you mean \"{known}\"?"),
                None => {
                    "write a name of the IANA database, such as \"Europe/Berlin\" or \"America/New_York\"".to_owned()
                }
            };
            self.sink.fault(name.span.clone(), format!("time zone \"{}\" is not known", name.value), advice);
            return None;
        };
        let first = zone.to_offset(Timestamp::UNIX_EPOCH).seconds();
        let mut changes: Vec<(Tick, i32)> = Vec::new();
        let mut ahead = first;
        for change in zone.following(Timestamp::UNIX_EPOCH) {
            let (at, offset) = (change.timestamp().as_second(), change.offset().seconds());
            if at >= ZONES_UNTIL_S {
                break;
            }
            if offset != ahead {
                changes.push((Tick::from_us(u64::try_from(at).unwrap_or(0) * 1_000_000), offset));
                ahead = offset;
            }
        }
        Some(Zone { name: name.value.clone(), first, changes })
    }

    /// `hours = { mon-fri = "08:00-18:00", sat = ["09:00-12:00", "13:00-15:00"] }`.
    fn week(&mut self, section: &mut Section<'_>) -> [Vec<Hours>; 7] {
        let mut week: [Vec<Hours>; 7] = Default::default();
        let mut written = [false; 7];
        let Some(table) = section.table(&mut self.sink, "hours") else {
            if !section.has("hours") {
                let advice = format!("add hours = {HOURS_EXAMPLE}");
                self.sink.missing(section.span.clone(), "[[calendar]] has no hours", advice);
            }
            return week;
        };
        for (key, value) in table.entries() {
            let hours = self.hours(value, key.value);
            let Some(days) = weekdays(key.value) else {
                let message = format!("'{}' is no day of the week", key.value);
                self.sink.fault(key.span, message, "write mon to sun, mon-fri, or daily");
                continue;
            };
            for day in days {
                if core::mem::replace(&mut written[day], true) {
                    let message = format!("{} has hours twice", WEEKDAYS[day]);
                    self.sink.fault(key.span.clone(), message, "take one of the two out");
                }
                week[day].clone_from(&hours);
            }
        }
        week
    }

    /// `days = { "2026-12-24" = "08:00-12:00", "12-25" = "closed" }`; the most exact rule comes first.
    fn days(&mut self, section: &mut Section<'_>) -> Vec<(Days, Vec<Hours>)> {
        let mut days: Vec<(Days, Vec<Hours>)> = Vec::new();
        let Some(table) = section.table(&mut self.sink, "days") else { return days };
        for (key, value) in table.entries() {
            let hours = self.hours(value, key.value);
            let Some(rule) = days_of(key.value) else {
                self.sink.fault(key.span, format!("'{}' is no day", key.value), DAYS_ADVICE);
                continue;
            };
            if days.len() == CALENDAR_DAYS_MAX {
                let advice = format!("a calendar has at most {CALENDAR_DAYS_MAX} of them");
                self.sink.fault(key.span, "too many days", advice);
                break;
            }
            days.push((rule, hours));
        }
        days.sort_by_key(|(rule, _)| *rule);
        days
    }

    /// `"08:00-18:00"`, a list of such, or `"closed"`.
    fn hours(&mut self, value: &Spanned<DeValue<'_>>, day: &str) -> Vec<Hours> {
        let advice = "write \"08:00-18:00\", [\"08:00-12:00\", \"13:00-17:00\"] or \"closed\"";
        if value.get_ref().as_str() == Some("closed") {
            return Vec::new();
        }
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        let mut hours: Vec<Hours> = Vec::new();
        for item in items {
            let Some(stretch) = item.get_ref().as_str().and_then(stretch_of) else {
                self.sink.fault(item.span(), format!("the hours of {day} cannot be read"), advice);
                continue;
            };
            if hours.last().is_some_and(|last| last.until > stretch.from) {
                let message = format!("the hours of {day} overlap, or stand in another order");
                self.sink.fault(item.span(), message, "write them in order, each after the one before");
            }
            hours.push(stretch);
        }
        if hours.len() > HOURS_PER_DAY_MAX {
            let advice = format!("a day has at most {HOURS_PER_DAY_MAX} of them");
            self.sink.fault(value.span(), format!("{day} has too many hours"), advice);
        }
        hours
    }
}

/// `mon`, `mon-fri`, `sat-mon` or `daily`.
fn weekdays(text: &str) -> Option<Vec<usize>> {
    let day = |name: &str| WEEKDAYS.iter().position(|day| *day == name);
    if text == "daily" {
        return Some((0..7).collect());
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day(first)?, day(last)?);
    Some((0..=(last + 7 - first) % 7).map(|after| (first + after) % 7).collect())
}

fn days_of(text: &str) -> Option<Days> {
    if let Some((first, last)) = text.split_once("..") {
        let (first, last) = (date_of(first)?, date_of(last)?);
        return (first <= last).then_some(Days::Between(first, last));
    }
    if let Some(after) = text.strip_prefix("easter") {
        let days: i16 = if after.is_empty() { 0 } else { after.strip_prefix('+').unwrap_or(after).parse().ok()? };
        return (-90..=90).contains(&days).then_some(Days::Easter(days));
    }
    if let Some(date) = date_of(text) {
        return Some(Days::On(date));
    }
    let (month, day) = (two_digits(text.get(..2)?)?, two_digits(text.get(2..)?.strip_prefix('-')?)?);
    // A leap year has every day that there is.
    Date::new(2_028, month, day).map(|_| Days::Yearly { month, day })
}

/// `2026-12-24`.
fn date_of(text: &str) -> Option<Date> {
    let (year, rest) = (text.get(..4)?, text.get(4..)?.strip_prefix('-')?);
    let year = year.bytes().all(|b| b.is_ascii_digit()).then(|| year.parse().ok())??;
    Date::new(year, two_digits(rest.get(..2)?)?, two_digits(rest.get(2..)?.strip_prefix('-')?)?)
}

/// `08:00-18:00`; what ends before it begins ends on the day after.
fn stretch_of(text: &str) -> Option<Hours> {
    let (from, until) = text.split_once('-')?;
    let (from, until) = (minute_of(from.trim())?, minute_of(until.trim())?);
    let until = if until <= from { until + 1_440 } else { until };
    (from < 1_440).then_some(Hours { from, until })
}

fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (u16::from(two_digits(hour)?), u16::from(two_digits(minute)?));
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= 1_440).then_some(minutes)
}

fn two_digits(text: &str) -> Option<u8> {
    let is_plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    is_plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_days_and_weekdays_are_read_from_their_texts() {
        let hours = |from, until| Some(Hours { from, until });
        for (text, expected) in [
            ("08:00-18:00", hours(480, 1_080)),
            ("00:00-24:00", hours(0, 1_440)),
            ("22:00-06:30", hours(1_320, 1_830)),
            ("24:00-08:00", None),
            ("8:00-18:00", None),
            ("08:00-18:60", None),
            ("08:00", None),
        ] {
            assert_eq!(stretch_of(text), expected, "{text}");
        }
        let date = |year, month, day| Date { year, month, day };
        for (text, expected) in [
            ("2026-12-24", Some(Days::On(date(2026, 12, 24)))),
            ("12-25", Some(Days::Yearly { month: 12, day: 25 })),
            ("02-29", Some(Days::Yearly { month: 2, day: 29 })),
            ("2026-07-01..2026-07-14", Some(Days::Between(date(2026, 7, 1), date(2026, 7, 14)))),
            ("easter", Some(Days::Easter(0))),
            ("easter-2", Some(Days::Easter(-2))),
            ("easter+39", Some(Days::Easter(39))),
            ("2026-07-14..2026-07-01", None),
            ("2026-02-29", None),
            ("13-01", None),
            ("easter+x", None),
            ("ünfug", None),
        ] {
            assert_eq!(days_of(text), expected, "{text}");
        }
        assert_eq!(weekdays("sat-mon"), Some(vec![5, 6, 0]));
        assert_eq!(weekdays("mon-fri"), Some(vec![0, 1, 2, 3, 4]));
        assert_eq!(weekdays("someday"), None);
    }
}
