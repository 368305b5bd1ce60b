//! Days of the Gregorian calendar.

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// The year.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl Date {
    /// The day of that name, where there is one.
    pub fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        let date = Self { year, month, day };
        let exists =
            (1..=12).contains(&month) && (1_970..=2_200).contains(&year) && Self::from_days(date.days()) == date;
        exists.then_some(date)
    }

    /// Days since 1970-01-01. Years are counted from 1 March, so that the leap day is the last one.
    pub fn days(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// The day so many days after 1970-01-01.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "months and days are small, years within i32"
    )]
    pub fn from_days(days: i64) -> Self {
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * march_month + 2) / 5 + 1) as u8;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 } as u8;
        Self { year: (era * 400 + year_of_era) as i32 + i32::from(month <= 2), month, day }
    }

    /// The day so many days later.
    #[must_use]
    pub fn plus(self, days: i64) -> Self {
        Self::from_days(self.days() + days)
    }

    /// 0 for Monday to 6 for Sunday. 1970-01-01 was a Thursday.
    pub fn weekday(self) -> usize {
        usize::try_from((self.days() + 3).rem_euclid(7)).unwrap_or(0)
    }

    /// Easter Sunday of a year, Gregorian (after Gauss, in the form that needs no exceptions).
    pub fn easter(year: i32) -> Self {
        let y = i64::from(year);
        let (golden, century, of_century) = (y % 19, y / 100, y % 100);
        let epact = (19 * golden + century - century / 4 - (century - (century + 8) / 25 + 1) / 3 + 15) % 30;
        let weekday = (32 + 2 * (century % 4) + 2 * (of_century / 4) - epact - of_century % 4) % 7;
        let correction = (golden + 11 * epact + 22 * weekday) / 451;
        let days_after_22_march = epact + weekday - 7 * correction;
        Self { year, month: 3, day: 22 }.plus(days_after_22_march)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_there_and_back_for_230_years_and_weeks_have_seven() {
        let mut expected = Date { year: 1_970, month: 1, day: 1 };
        for days in 0..84_000 {
            let date = Date::from_days(days);
            assert_eq!((date.days(), date.weekday() as i64), (days, (days + 3) % 7));
            assert!(date >= expected, "{date:?}");
            expected = date;
        }
        assert_eq!(Date::from_days(20_513), Date { year: 2_026, month: 3, day: 1 });
        assert_eq!(Date::new(2_026, 2, 29), None);
        assert!(Date::new(2_028, 2, 29).is_some());
    }

    #[test]
    fn easter_falls_where_tables_have_it() {
        for (year, month, day) in [
            (1_981, 4, 19),
            (2_000, 4, 23),
            (2_008, 3, 23),
            (2_024, 3, 31),
            (2_026, 4, 5),
            (2_038, 4, 25),
            (2_100, 3, 28),
        ] {
            assert_eq!(Date::easter(year), Date { year, month, day });
        }
    }
}
