//! Hours by the clock, on days when the clock jumps too. Berlin goes ahead by an hour at 2026-03-29 01:00 UTC and back at
//! 2026-10-25 01:00 UTC.

use super::*;

const CLOSED: &[(u16, u16)] = &[];

fn utc(year: i32, month: u8, day: u8, hour: i64, minute: i64) -> Tick {
    tick(Date { year, month, day }.days() * DAY_S + hour * 3_600 + minute * 60)
}

fn berlin() -> Zone {
    let changes = vec![(utc(2026, 3, 29, 1, 0), 7_200), (utc(2026, 10, 25, 1, 0), 3_600)];
    Zone { name: "Europe/Berlin".to_owned(), first: 3_600, changes }
}

fn hours(stretches: &[(u16, u16)]) -> Vec<Hours> {
    stretches.iter().map(|(from, until)| Hours { from: from * 60, until: until * 60 }).collect()
}

/// Every day the same, in hours.
fn daily(stretches: &[(u16, u16)]) -> Calendar {
    let week = core::array::from_fn(|_| hours(stretches));
    Calendar { name: "daily".to_owned(), zone: berlin(), week, days: Vec::new() }
}

fn until(calendar: &Calendar, at: Tick) -> (bool, Option<Tick>) {
    let Opening { open, until } = calendar.opening(at);
    assert_eq!(open, calendar.is_open(at));
    (open, until)
}

#[test]
fn an_office_opens_at_8_by_its_own_clock_in_winter_and_in_summer() {
    let mut office = daily(&[(8, 18)]);
    (office.week[5], office.week[6]) = (hours(CLOSED), hours(CLOSED));
    // Friday 27 March is winter still: 07:00 UTC. Monday 30 March is summer: 06:00 UTC.
    assert_eq!(until(&office, utc(2026, 3, 27, 6, 59)), (false, Some(utc(2026, 3, 27, 7, 0))));
    assert_eq!(until(&office, utc(2026, 3, 27, 7, 0)), (true, Some(utc(2026, 3, 27, 17, 0))));
    assert_eq!(until(&office, utc(2026, 3, 27, 17, 0)), (false, Some(utc(2026, 3, 30, 6, 0))));
    assert_eq!(until(&office, utc(2026, 3, 30, 15, 59)), (true, Some(utc(2026, 3, 30, 16, 0))));
}

#[test]
fn hours_that_begin_in_the_hour_that_is_left_out_begin_at_its_end() {
    let mut calendar = daily(&[(2, 4)]);
    calendar.week[6][0].from += 30;
    // 02:30 is not shown on 29 March: the clock goes from 02:00 to 03:00, which is 01:00 UTC.
    assert_eq!(until(&calendar, utc(2026, 3, 29, 0, 59)), (false, Some(utc(2026, 3, 29, 1, 0))));
    assert_eq!(until(&calendar, utc(2026, 3, 29, 1, 0)), (true, Some(utc(2026, 3, 29, 2, 0))));
    // Hours that lie within it are none.
    assert_eq!(until(&daily(&[(2, 3)]), utc(2026, 3, 29, 0, 30)), (false, Some(utc(2026, 3, 30, 0, 0))));
}

#[test]
fn an_hour_that_is_shown_twice_counts_twice_within_hours_and_ends_them_once() {
    // From 01:00 to 04:00 by the clock are four hours on 25 October.
    assert_eq!(until(&daily(&[(1, 4)]), utc(2026, 10, 24, 23, 0)), (true, Some(utc(2026, 10, 25, 3, 0))));
    // Hours that end at 02:30 end when the clock shows that first, and do not begin again.
    let mut calendar = daily(&[(1, 2)]);
    calendar.week[6][0].until += 30;
    assert_eq!(until(&calendar, utc(2026, 10, 25, 0, 29)), (true, Some(utc(2026, 10, 25, 0, 30))));
    assert_eq!(until(&calendar, utc(2026, 10, 25, 1, 10)), (false, Some(utc(2026, 10, 26, 0, 0))));
}

#[test]
fn night_hours_end_on_the_next_morning_and_are_nine_hours_long_in_the_night_that_is_longer() {
    let calendar = daily(&[(22, 30)]);
    assert_eq!(until(&calendar, utc(2026, 1, 9, 20, 59)), (false, Some(utc(2026, 1, 9, 21, 0))));
    assert_eq!(until(&calendar, utc(2026, 1, 10, 4, 59)), (true, Some(utc(2026, 1, 10, 5, 0))));
    assert_eq!(until(&calendar, utc(2026, 10, 24, 20, 0)), (true, Some(utc(2026, 10, 25, 5, 0))));
}

#[test]
fn hours_that_touch_are_one_and_a_calendar_that_is_always_open_never_changes() {
    let calendar = daily(&[(0, 24)]);
    assert_eq!(until(&calendar, utc(2026, 5, 1, 12, 0)), (true, None));
    let mut weekend = daily(&[(0, 24)]);
    weekend.week[2] = hours(&[(6, 24)]);
    // 4 January 2026 is a Sunday; Wednesday begins at 06:00.
    assert_eq!(until(&weekend, utc(2026, 1, 4, 12, 0)), (true, Some(utc(2026, 1, 6, 23, 0))));
    assert_eq!(until(&daily(CLOSED), utc(2026, 5, 1, 12, 0)), (false, None));
}

#[test]
fn the_first_rule_that_a_day_fits_goes_before_its_weekday() {
    let mut calendar = daily(&[(8, 18)]);
    let on = |month, day| Date { year: 2026, month, day };
    calendar.days = vec![
        (Days::On(on(12, 24)), hours(&[(8, 12)])),
        (Days::Between(on(7, 1), on(7, 14)), hours(CLOSED)),
        (Days::Yearly { month: 12, day: 25 }, hours(CLOSED)),
        (Days::Yearly { month: 12, day: 24 }, hours(CLOSED)),
        (Days::Easter(1), hours(CLOSED)),
    ];
    assert_eq!(until(&calendar, utc(2026, 12, 24, 10, 0)), (true, Some(utc(2026, 12, 24, 11, 0))));
    assert_eq!(until(&calendar, utc(2026, 12, 24, 11, 0)), (false, Some(utc(2026, 12, 26, 7, 0))));
    assert!(!calendar.is_open(utc(2027, 12, 24, 10, 0)));
    assert_eq!(until(&calendar, utc(2026, 6, 30, 16, 0)), (false, Some(utc(2026, 7, 15, 6, 0))));
    assert!(!calendar.is_open(utc(2026, 4, 6, 10, 0)), "Easter Monday");
    assert!(calendar.is_open(utc(2026, 4, 7, 10, 0)));
}

#[test]
fn what_opening_says_holds_in_every_quarter_of_an_hour_of_two_years() {
    let mut calendar = daily(&[(2, 3), (9, 12), (13, 26)]);
    calendar.days = vec![(Days::Easter(0), hours(&[(0, 24)])), (Days::Yearly { month: 10, day: 25 }, hours(&[(1, 3)]))];
    let (mut at, end) = (utc(2026, 1, 1, 0, 0), utc(2027, 12, 31, 0, 0));
    let mut told = calendar.opening(at);
    while at < end {
        if told.until == Some(at) {
            let before = core::mem::replace(&mut told, calendar.opening(at));
            assert_ne!(before.open, told.open, "{at:?}");
        }
        assert_eq!(calendar.is_open(at), told.open, "{at:?}");
        at += Span::from_s(900);
    }
}
