//! How many calls outside an account has made in this hour and this day: a stolen password is used at night, for as many as it gets.

use std::collections::BTreeMap;

use offhook_units::{CallId, Span, Tick};

use super::Exchange;
use crate::config::Account;

/// What accounts have spent; one entry for each account that called outside today.
#[derive(Debug, Default)]
pub(super) struct Spending {
    accounts: BTreeMap<String, Spent>,
}

/// Calls in the running hour and day, both counted from the epoch.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    hour: u64,
    in_hour: u32,
    day: u64,
    in_day: u32,
}

impl Spending {
    /// What the account has spent so far in the hour and the day of `now`.
    fn of(&self, now: Tick, account: &str) -> Spent {
        let hour = now.as_us() / Span::from_s(3_600).as_us();
        let day = hour / 24;
        let spent = self.accounts.get(account).copied().unwrap_or_default();
        let in_hour = if spent.hour == hour { spent.in_hour } else { 0 };
        let in_day = if spent.day == day { spent.in_day } else { 0 };
        Spent { hour, in_hour, day, in_day }
    }

    fn has_left(&self, now: Tick, account: &str, settings: &Account) -> bool {
        let spent = self.of(now, account);
        spent.in_hour < settings.outside_per_hour && spent.in_day < settings.outside_per_day
    }

    fn spend(&mut self, now: Tick, account: &str) {
        let spent = self.of(now, account);
        let spent = Spent { in_hour: spent.in_hour + 1, in_day: spent.in_day + 1, ..spent };
        self.accounts.insert(account.to_owned(), spent);
    }
}

impl Exchange {
    /// Whether `account` may make this call outside.
    pub(super) fn has_left(&mut self, now: Tick, id: CallId, account: &str) -> bool {
        let Some(settings) = self.config.accounts.get(account) else { return false };
        let has_left = self.is_charged(id, account) || self.spending.has_left(now, account, settings);
        self.counters.refused_by_spending += u64::from(!has_left);
        has_left
    }

    /// Whether `account` has a call outside left at this time.
    pub(super) fn could_spend(&self, now: Tick, account: &str) -> bool {
        let settings = self.config.accounts.get(account);
        settings.is_some_and(|settings| self.spending.has_left(now, account, settings))
    }

    /// A call outside was made. Other trunks that are tried for it count no more.
    pub(super) fn spend(&mut self, now: Tick, id: CallId, account: &str) {
        if !self.is_charged(id, account) {
            self.spending.spend(now, account);
        }
    }

    fn is_charged(&self, id: CallId, account: &str) -> bool {
        self.calls.get(&id).is_some_and(|call| call.charged.iter().any(|charged| charged == account))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_an_hour_and_of_a_day_are_counted_apart() {
        let settings = Account { outside_per_hour: 2, outside_per_day: 5, ..Account::new("secret") };
        let mut spending = Spending::default();
        let midnight = Tick::from_us(20_000 * 86_400 * 1_000_000);
        for (hour, allowed) in [(0, 2), (1, 2), (2, 1), (3, 0), (24, 2)] {
            let now = midnight + Span::from_s(3_600 * hour);
            let mut made = 0;
            while spending.has_left(now, "ann", &settings) {
                spending.spend(now, "ann");
                made += 1;
            }
            assert_eq!(made, allowed, "hour {hour}");
        }
        assert!(spending.has_left(midnight + Span::from_s(3_600 * 24), "bob", &settings), "each account has its own");
    }
}
