//! The configuration as the HTTP server sees it: read from the versions that are kept, changed by whoever takes configurations in.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use offhook_call::calendar::Calendar;
use offhook_server::{
    Answer, CalendarWeek, ConfigFault, ConfigLine, ConfigNote, ConfigTaken, ConfigVersion, Configuration, Configured,
    Drafted, Edit, OpenHours, Unavailable, View,
};
use offhook_units::{Span, Tick};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::port::Port;
use super::reload::{ConfigFigures, told};
use crate::config::{self, Fixed, edited, hidden, hidden_beside, revealed};
use crate::versions::{Line, Told, Versions, diff, near, sha256};

/// Wishes that may wait; more are answered 503.
pub const WISHES_MAX: usize = 16;

const DAY_S: i64 = 86_400;
/// Lines that stand around a difference.
const AROUND: usize = 3;

/// What somebody wants taken in.
pub struct Wish {
    /// In whose name.
    pub who: String,
    /// Which text, in place of which version; without one the file as it is.
    pub text: Option<(u64, String)>,
    /// Who waits for the answer.
    pub reply: oneshot::Sender<Result<ConfigTaken, ConfigFault>>,
}

/// What is needed to look at configurations.
#[derive(Clone)]
pub struct Desk {
    pub versions: Versions,
    pub file: PathBuf,
    pub data: Option<PathBuf>,
    pub fixed: Arc<Fixed>,
    pub figures: Arc<ConfigFigures>,
    pub wishes: mpsc::Sender<Wish>,
}

impl Desk {
    /// The text in force, with its number.
    pub fn in_force(&self) -> Result<(u64, String), Unavailable> {
        let version = self.figures.version.load(Ordering::Relaxed);
        let text = self.versions.text(version).map_err(|error| {
            tracing::error!(%error, version, "the configuration in force cannot be read");
            Unavailable
        })?;
        Ok((version, text))
    }

    fn now(&self) -> Result<Configuration, Unavailable> {
        let (version, text) = self.in_force()?;
        let edited = std::fs::read_to_string(&self.file).is_ok_and(|file| sha256(&file) != sha256(&text));
        let text = hidden(&text, version);
        let tables = tables(&text);
        Ok(Configuration { version, text, edited, tables })
    }

    fn draft(&self, text: String, edit: Option<&Edit>, now: Tick) -> Result<Drafted, ConfigFault> {
        let (version, in_force) = self.in_force()?;
        let text = match edit {
            Some(edit) => edited(&text, edit).map_err(ConfigFault::NoSuch)?,
            None => text,
        };
        let real = revealed(&text, |version| self.versions.text(version).ok());
        let (faults, waits, weeks) = match config::check_text(&self.file, &real) {
            Ok(mut checked) => {
                if let Some(data) = &self.data {
                    checked.data.clone_from(data);
                }
                let weeks = checked.calendars.iter().map(|calendar| week(calendar, now)).collect();
                (told(&checked.warnings), self.fixed.waits_in(&checked), weeks)
            }
            Err(faults) => (told(&faults), Vec::new(), Vec::new()),
        };
        let tables = tables(&text);
        // What is no TOML is shown as it was sent: nothing of ours was put into it.
        let shown = if tables.is_null() { text.clone() } else { hidden_beside(&real, version, &in_force) };
        let changes = changes(&hidden(&in_force, version), &shown);
        let waits = waits.into_iter().map(str::to_owned).collect();
        Ok(Drafted { text, tables, faults: notes(faults), waits, changes, weeks })
    }
}

/// When a calendar is open in the seven days from today's midnight on, by its own clocks.
fn week(calendar: &Calendar, now: Tick) -> CalendarWeek {
    let ahead = |at: Tick| i64::from(calendar.zone.ahead(at));
    let local = |at: Tick| seconds(at) + ahead(at);
    let clock = |at: Tick| {
        let shown = jiff::Timestamp::from_second(local(at)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        shown.strftime("%Y-%m-%dT%H:%M").to_string()
    };
    let today = local(now) / DAY_S * DAY_S;
    let from = Tick::from_us(u64::try_from(today - ahead(now)).unwrap_or(0) * 1_000_000);
    let (mut hours, mut at) = (Vec::new(), from);
    while local(at) < today + 7 * DAY_S {
        let opening = calendar.opening(at);
        let until = opening.until.filter(|until| *until > at);
        if opening.open {
            let end = until.unwrap_or(from + Span::from_s(7 * DAY_S as u64));
            hours.push(OpenHours { from: clock(at), until: clock(end) });
        }
        let Some(until) = until else { break };
        at = until;
    }
    let (name, zone) = (calendar.name.clone(), calendar.zone.name.clone());
    CalendarWeek { calendar: name, zone, now: clock(now), open: calendar.is_open(now), hours }
}

fn seconds(at: Tick) -> i64 {
    i64::try_from((at - Tick::ZERO).as_s()).unwrap_or(i64::MAX)
}

/// As places on a page.
pub fn notes(told: Vec<Told>) -> Vec<ConfigNote> {
    let note = |Told { file: _, line, column, severity, message, advice }| ConfigNote {
        line,
        column,
        severity,
        message,
        advice,
    };
    told.into_iter().map(note).collect()
}

/// A text as data; null where it is no TOML.
fn tables(text: &str) -> Value {
    let table: Result<toml::Table, _> = text.parse();
    table.ok().and_then(|table| serde_json::to_value(table).ok()).unwrap_or_default()
}

fn changes(old: &str, new: &str) -> Vec<ConfigLine> {
    let lines = diff(old, new);
    let is_near = near(&lines, AROUND);
    let line = |line: Line<'_>| match line {
        Line::Same(text) => ConfigLine { kind: "same", text: text.to_owned() },
        Line::Added(text) => ConfigLine { kind: "added", text: text.to_owned() },
        Line::Removed(text) => ConfigLine { kind: "removed", text: text.to_owned() },
    };
    let mut changes = Vec::new();
    let mut was_near = true;
    for (it, is_near) in lines.into_iter().zip(is_near) {
        if is_near && !was_near && !changes.is_empty() {
            changes.push(ConfigLine { kind: "gap", text: String::new() });
        }
        was_near = is_near;
        if is_near {
            changes.push(line(it));
        }
    }
    changes
}

impl Port {
    /// Looks at files beside the requests of others.
    pub async fn at_desk<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Desk) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let desk = self.desk.clone();
        tokio::task::spawn_blocking(move || look(&desk)).await.map_err(|_| Unavailable)
    }
}

impl Configured for Port {
    fn configuration(&self) -> Answer<'_, Result<Configuration, Unavailable>> {
        Box::pin(async move { self.at_desk(Desk::now).await? })
    }

    fn config_versions(&self) -> Answer<'_, Result<Vec<ConfigVersion>, Unavailable>> {
        Box::pin(async move {
            let list = self.at_desk(|desk| desk.versions.list()).await?.map_err(|_| Unavailable)?;
            let version = |kept: crate::versions::Version| {
                let crate::versions::Version { number: version, at, who, added, removed, sha256: _ } = kept;
                ConfigVersion { version, at, who, added, removed }
            };
            Ok(list.into_iter().map(version).collect())
        })
    }

    fn config_text(&self, version: u64) -> Answer<'_, Result<Option<String>, Unavailable>> {
        Box::pin(
            async move { self.at_desk(move |desk| Some(hidden(&desk.versions.text(version).ok()?, version))).await },
        )
    }

    fn draft_config(&self, text: String, edit: Option<Edit>) -> Answer<'_, Result<Drafted, ConfigFault>> {
        let now = self.now();
        Box::pin(async move { self.at_desk(move |desk| desk.draft(text, edit.as_ref(), now)).await? })
    }

    fn take_config(&self, who: String, text: Option<(u64, String)>) -> Answer<'_, Result<ConfigTaken, ConfigFault>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            self.desk.wishes.try_send(Wish { who, text, reply }).map_err(|_| Unavailable)?;
            answer.await.map_err(|_| Unavailable)?
        })
    }
}

#[cfg(test)]
mod tests {
    use offhook_call::calendar::{Date, Days, Hours, Zone};

    use super::*;

    #[test]
    fn the_coming_week_is_told_by_the_clocks_of_the_place_with_its_holidays() {
        let day = || vec![Hours { from: 480, until: 1_080 }];
        let mut week_days: [Vec<Hours>; 7] = core::array::from_fn(|_| day());
        week_days[6] = Vec::new();
        // Eight hours ahead of UTC, as in Shanghai.
        let zone = Zone { name: "Asia/Shanghai".to_owned(), first: 8 * 3_600, changes: Vec::new() };
        let holiday = Date::new(2026, 12, 1).expect("a day");
        let days = vec![(Days::On(holiday), Vec::new())];
        let calendar = Calendar { name: "office".to_owned(), zone, week: week_days, days };
        // Saturday, 2026-11-28, 09:00 there, which is 01:00 UTC.
        let now = Tick::from_us(1_795_827_600 * 1_000_000);
        let told = week(&calendar, now);
        assert_eq!((told.now.as_str(), told.open), ("2026-11-28T09:00", true));
        let days: Vec<&str> = told.hours.iter().map(|hours| &hours.from[8..10]).collect();
        assert_eq!(days, ["28", "30", "02", "03", "04"], "no Sunday, and no first of December");
        assert_eq!(
            (told.hours[0].from.as_str(), told.hours[0].until.as_str()),
            ("2026-11-28T08:00", "2026-11-28T18:00")
        );
        let always = Calendar {
            week: core::array::from_fn(|_| vec![Hours { from: 0, until: 1_440 }]),
            days: Vec::new(),
            ..calendar
        };
        assert_eq!(week(&always, now).hours.len(), 1, "one stretch");
    }
}
