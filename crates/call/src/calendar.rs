//! Opening hours: which instants belong to a calendar. A function of the instant alone; what a time zone's clocks show is data,
//! laid down when the configuration is read (docs/decisions/0082).

mod date;

use offhook_units::{Span, Tick};

pub use date::Date;

/// Most rules for single days that a calendar may have.
pub const CALENDAR_DAYS_MAX: usize = 1_000;
/// Most stretches of hours in one day.
pub const HOURS_PER_DAY_MAX: usize = 8;
/// How far ahead the next change is looked for. A calendar that stays as it is for longer has no next change.
const DAYS_AHEAD: i64 = 400;
/// Local clocks differ from UTC by less than this.
const OFFSET_S_MAX: i64 = 26 * 3_600;
const DAY_S: i64 = 86_400;

/// Named opening hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Its name.
    pub name: String,
    /// What clocks show there.
    pub zone: Zone,
    /// Hours of an ordinary week, Monday first; sorted, none within another.
    pub week: [Vec<Hours>; 7],
    /// Days with hours of their own: holidays, and exceptions. The first rule that a day fits counts.
    pub days: Vec<(Days, Vec<Hours>)>,
}

/// A stretch of one day by the local clock, in minutes from its midnight. It may end on the day after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hours {
    /// From here, below 1,440.
    pub from: u16,
    /// Up to here, not included; after `from`, at most a day later.
    pub until: u16,
}

/// Which days have hours of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Days {
    /// This one.
    On(Date),
    /// From one to another, both included.
    Between(Date, Date),
    /// This day of each year.
    Yearly {
        /// 1 to 12.
        month: u8,
        /// 1 to 31.
        day: u8,
    },
    /// So many days after Easter Sunday (Gregorian) of each year, or before it.
    Easter(i16),
}

/// What the clocks of a place show: by how much they are ahead of UTC, and from when on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its name, such as `Europe/Berlin`.
    pub name: String,
    /// Seconds ahead of UTC before the first change.
    pub first: i32,
    /// Changes in order of time: when, and seconds ahead of UTC from then on.
    pub changes: Vec<(Tick, i32)>,
}

/// Whether a calendar is open, and until when that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Open now.
    pub open: bool,
    /// When it changes; none where it stays so for a year and more.
    pub until: Option<Tick>,
}

impl Calendar {
    /// Whether the calendar is open at `now`.
    pub fn is_open(&self, now: Tick) -> bool {
        let now = seconds(now);
        let today = self.zone.date(now);
        (-2..=1).flat_map(|days| self.stretches(today.plus(days))).any(|(from, until)| (from..until).contains(&now))
    }

    /// The same, with the next change.
    pub fn opening(&self, at: Tick) -> Opening {
        let (now, today) = (seconds(at), self.zone.date(seconds(at)));
        let open = self.is_open(at);
        let mut edge = now;
        for (from, until) in (-2..=DAYS_AHEAD).flat_map(|days| self.stretches(today.plus(days))) {
            match open {
                // What begins where the last one ends goes on.
                true if from <= edge => edge = edge.max(until),
                true => return Opening { open, until: Some(tick(edge)) },
                false if from > now => return Opening { open, until: Some(tick(from)) },
                false => {}
            }
        }
        let ends = open && edge - now < (DAYS_AHEAD - 2) * DAY_S;
        Opening { open, until: ends.then(|| tick(edge)) }
    }

    /// What of the time line belongs to the hours of `date`, in seconds. A stretch that no clock shows is left out.
    fn stretches(&self, date: Date) -> impl Iterator<Item = (i64, i64)> {
        let midnight = date.days() * DAY_S;
        let at = move |minute: u16| self.zone.first_at(midnight + i64::from(minute) * 60);
        let stretches = self.hours(date).iter().map(move |hours| (at(hours.from), at(hours.until)));
        stretches.filter(|(from, until)| from < until)
    }

    fn hours(&self, date: Date) -> &[Hours] {
        let own = self.days.iter().find(|(days, _)| days.fits(date)).map(|(_, hours)| hours);
        own.unwrap_or(&self.week[date.weekday()])
    }
}

impl Days {
    fn fits(self, date: Date) -> bool {
        match self {
            Self::On(day) => day == date,
            Self::Between(first, last) => (first..=last).contains(&date),
            Self::Yearly { month, day } => (date.month, date.day) == (month, day),
            Self::Easter(after) => Date::easter(date.year).plus(i64::from(after)) == date,
        }
    }
}

impl Zone {
    /// UTC.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), first: 0, changes: Vec::new() }
    }

    /// How many seconds the local clock is ahead of UTC at `at`.
    pub fn ahead(&self, at: Tick) -> i32 {
        let before = self.changes.partition_point(|(from, _)| *from <= at);
        before.checked_sub(1).map_or(self.first, |last| self.changes[last].1)
    }

    fn date(&self, now: i64) -> Date {
        Date::from_days((now + i64::from(self.ahead(tick(now)))).div_euclid(DAY_S))
    }

    /// When the local clock shows `wall`, or more, for the first time: of an hour that it shows twice the first one, and the end of
    /// an hour that it leaves out.
    fn first_at(&self, wall: i64) -> i64 {
        let earliest = tick(wall - OFFSET_S_MAX);
        let mut next = self.changes.partition_point(|(from, _)| *from <= earliest);
        let (mut since, mut ahead) = (i64::MIN, self.ahead(earliest));
        loop {
            let shown = since.max(wall - i64::from(ahead));
            match self.changes.get(next) {
                Some((change, after)) if shown >= seconds(*change) => (since, ahead) = (seconds(*change), *after),
                Some(_) | None => return shown,
            }
            next += 1;
        }
    }
}

impl Opening {
    /// How long it stays so from `now`.
    pub fn lasts(self, now: Tick) -> Option<Span> {
        self.until.map(|until| until - now)
    }
}

fn seconds(at: Tick) -> i64 {
    i64::try_from(at.as_us() / 1_000_000).unwrap_or(i64::MAX)
}

fn tick(seconds: i64) -> Tick {
    Tick::from_us(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests;
