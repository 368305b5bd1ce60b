//! Who tries passwords has to wait, longer after each failure.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

/// What failures are counted for at once; one more, and the half that failed longest ago is forgotten.
pub const ATTEMPTS_MAX: usize = 10_000;
/// Failures of one name from one address that cost no time.
const FREE_OF_BOTH: u32 = 5;
/// Failures of one address, or of one name, that cost no time: an office may stand behind one address, and nobody should be able to
/// keep somebody else out for long.
const FREE_OF_ONE: u32 = 50;
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_mins(15);
/// Failures are forgotten so long after the last one.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(1);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Both(String, IpAddr),
    Address(IpAddr),
    Name(String),
}

impl Whose {
    const fn free(&self) -> u32 {
        match self {
            Self::Both(..) => FREE_OF_BOTH,
            Self::Address(_) | Self::Name(_) => FREE_OF_ONE,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    times: u32,
    last: Instant,
}

/// Failed attempts of late.
#[derive(Debug, Default)]
pub struct Attempts(BTreeMap<Whose, Failures>);

fn keys(name: &str, from: IpAddr) -> impl Iterator<Item = Whose> {
    // Behind a proxy on this machine everybody comes from loopback.
    let address = (!from.is_loopback()).then_some(Whose::Address(from));
    [Whose::Both(name.to_owned(), from), Whose::Name(name.to_owned())].into_iter().chain(address)
}

impl Attempts {
    /// How long `name` has to wait at that address before the next attempt is looked at; zero for not at all.
    pub fn wait(&self, name: &str, from: IpAddr, now: Instant) -> Duration {
        let wait = |whose: Whose| {
            let failures = self.0.get(&whose).filter(|failures| now - failures.last < FORGOTTEN_AFTER)?;
            let beyond = failures.times.checked_sub(whose.free())?;
            let pause = Duration::from_secs(1 << beyond.min(20)).min(WAIT_MAX);
            (failures.last + pause).checked_duration_since(now)
        };
        keys(name, from).filter_map(wait).max().unwrap_or_default()
    }

    /// An attempt failed.
    pub fn failed(&mut self, name: &str, from: IpAddr, now: Instant) {
        for whose in keys(name, from) {
            if self.0.len() >= ATTEMPTS_MAX && !self.0.contains_key(&whose) {
                self.forget_half();
            }
            let failures = self.0.entry(whose).or_insert(Failures { times: 0, last: now });
            let forgotten = now - failures.last >= FORGOTTEN_AFTER;
            failures.times = if forgotten { 1 } else { failures.times.saturating_add(1) };
            failures.last = now;
        }
    }

    /// Forgets the half that failed longest ago.
    fn forget_half(&mut self) {
        let mut lasts: Vec<Instant> = self.0.values().map(|failures| failures.last).collect();
        let middle = lasts.len() / 2;
        let (_, &mut median, _) = lasts.select_nth_unstable(middle);
        self.0.retain(|_, failures| failures.last > median);
    }

    /// An attempt succeeded: that name owes nothing at that address.
    pub fn succeeded(&mut self, name: &str, from: IpAddr) {
        self.0.remove(&Whose::Both(name.to_owned(), from));
    }

    /// How many failures are remembered.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn waits_double_and_keep_nobody_out_elsewhere() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..FREE_OF_BOTH - 1 {
            attempts.failed("ann", HERE, now);
        }
        assert_eq!(attempts.wait("ann", HERE, now), Duration::ZERO);
        for wait in [1, 2, 4, 8] {
            attempts.failed("ann", HERE, now);
            assert_eq!(attempts.wait("ann", HERE, now), Duration::from_secs(wait));
        }
        assert_eq!(attempts.wait("ann", THERE, now), Duration::ZERO);
        assert_eq!(attempts.wait("bob", HERE, now), Duration::ZERO);
        assert_eq!(attempts.wait("ann", HERE, now + Duration::from_secs(8)), Duration::ZERO);
        attempts.succeeded("ann", HERE);
        assert_eq!(attempts.wait("ann", HERE, now), Duration::ZERO);
    }

    #[test]
    fn an_address_that_tries_many_names_waits_with_each_and_loopback_does_not() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for n in 0..FREE_OF_ONE + 3 {
            attempts.failed(&format!("user{n}"), HERE, now);
            attempts.failed(&format!("user{n}"), IpAddr::from([127, 0, 0, 1]), now);
        }
        assert_eq!(attempts.wait("ann", HERE, now), Duration::from_secs(8));
        assert_eq!(attempts.wait("ann", IpAddr::from([127, 0, 0, 1]), now), Duration::ZERO);
        assert_eq!(attempts.wait("ann", HERE, now + FORGOTTEN_AFTER), Duration::ZERO);
    }

    #[test]
    fn no_more_is_remembered_than_the_limit() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for n in 0..ATTEMPTS_MAX as u64 {
            attempts.failed(&format!("user{n}"), HERE, now + Duration::from_millis(n));
        }
        assert!(attempts.len() <= ATTEMPTS_MAX);
    }
}
