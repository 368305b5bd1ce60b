//! The exchange clock: UTC at start, then the monotonic clock, slewed towards UTC; never backwards, whatever UTC does.
#![expect(clippy::disallowed_methods, reason = "the edge that reads the clocks")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use offhook_units::{Span, Tick};

/// Fastest slew towards UTC: 500 microseconds a second.
pub const SLEW_PPM: u64 = 500;
/// UTC is looked at this often.
const DISCIPLINE_EVERY: Span = Span::from_ms(100);

/// One exchange's clock, shared by its threads; reading it takes no lock.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    origin: Instant,
    slewed: Slewed,
}

/// The arithmetic, apart from the clocks it is fed with.
#[derive(Debug)]
struct Slewed {
    /// What is added to monotonic time, in microseconds.
    offset: AtomicI64,
    /// Latest instant given out.
    latest: AtomicU64,
    /// Monotonic time at which UTC was last looked at.
    disciplined: AtomicU64,
}

impl Slewed {
    const fn new(start_us: u64) -> Self {
        Self {
            offset: AtomicI64::new(start_us as i64),
            latest: AtomicU64::new(start_us),
            disciplined: AtomicU64::new(0),
        }
    }

    fn now(&self, monotonic_us: u64, utc_us: impl FnOnce() -> u64) -> u64 {
        let before = self.disciplined.load(Ordering::Relaxed);
        let gone = monotonic_us.saturating_sub(before);
        let due = gone >= DISCIPLINE_EVERY.as_us();
        // One thread wins the turn; the others read on.
        if due && self.disciplined.compare_exchange(before, monotonic_us, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let shown = self.offset.load(Ordering::Relaxed).wrapping_add(monotonic_us as i64);
            let most = (gone * SLEW_PPM / 1_000_000) as i64;
            let error = (utc_us() as i64).wrapping_sub(shown);
            self.offset.fetch_add(error.clamp(-most, most), Ordering::Relaxed);
        }
        let now = self.offset.load(Ordering::Relaxed).wrapping_add(monotonic_us as i64).max(0) as u64;
        self.latest.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

fn utc_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| Span::from(since).as_us())
}

impl Clock {
    /// Starts at UTC, or right after `last_tick_in_log` where UTC is behind it.
    pub fn start(last_tick_in_log: Option<Tick>) -> Self {
        let after_log = last_tick_in_log.map_or(0, |last| last.as_us() + 1);
        Self(Arc::new(Inner { origin: Instant::now(), slewed: Slewed::new(utc_us().max(after_log)) }))
    }

    /// The present instant; never before one that was given out earlier, to any thread.
    pub fn now(&self) -> Tick {
        let monotonic = Span::from(self.0.origin.elapsed()).as_us();
        Tick::from_us(self.0.slewed.now(monotonic, utc_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000;

    #[test]
    fn a_step_of_utc_by_an_hour_changes_no_wait_by_more_than_500_ppm() {
        for (utc_step, low, high) in [(HOUR, 10_000_000, 10_005_000), (0, 9_995_000, 10_000_000)] {
            let start = 50 * HOUR;
            let clock = Slewed::new(start);
            let mut before = start;
            for step in 0..=1_000 {
                let monotonic = step * 10_000;
                let utc = start - HOUR / 2 + utc_step + monotonic;
                let now = clock.now(monotonic, || utc);
                assert!(now >= before, "{now} after {before}");
                before = now;
            }
            assert!((low..=high).contains(&(before - start)), "{}", before - start);
        }
    }

    #[test]
    fn a_small_error_is_gone_after_a_while_and_stays_gone() {
        let clock = Slewed::new(10 * HOUR);
        let mut last = 0;
        for step in 0..600 {
            last = clock.now(step * 100_000, || 10 * HOUR + 20_000 + step * 100_000);
        }
        assert_eq!(last, 10 * HOUR + 20_000 + 599 * 100_000);
    }

    #[test]
    fn it_starts_after_the_last_tick_of_the_log() {
        let ahead = Tick::from_us(utc_us()) + Span::from_s(3_600);
        let clock = Clock::start(Some(ahead));
        assert!(clock.now() > ahead);
        let (first, second) = (clock.now(), clock.clone().now());
        assert!(second >= first);
    }
}
