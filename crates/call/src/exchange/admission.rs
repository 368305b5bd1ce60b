//! How many new calls a second are taken on: as many as the configuration says, and fewer while the program falls behind.

use offhook_units::{Span, Tick};

/// How often the pace is looked at.
const STEP: Span = Span::from_ms(100);

/// What was admitted longer ago than this says nothing about what can be carried now.
const MEASURED_MAX: Span = Span::from_s(1);

const MILLION: u64 = 1_000_000;

/// A token bucket for new calls: as deep as its rate, or as `depth` says.
#[derive(Debug)]
pub(super) struct Admission {
    per_s: u64,
    depth: u64,
    /// Millionths of a token.
    tokens: u64,
    filled: Tick,
}

impl Admission {
    pub const fn new(per_s: u32) -> Self {
        let per_s = per_s as u64;
        Self { per_s, depth: per_s, tokens: per_s * MILLION, filled: Tick::ZERO }
    }

    pub fn admit(&mut self, now: Tick) -> bool {
        let admitted = self.has_token(now);
        if admitted {
            self.spend(now);
        }
        admitted
    }

    /// Takes a token, where one is there.
    pub fn spend(&mut self, now: Tick) {
        if self.has_token(now) {
            self.tokens -= MILLION;
        }
    }

    /// Whether a token is there.
    pub fn has_token(&mut self, now: Tick) -> bool {
        let gained = now.since(self.filled).as_us().saturating_mul(self.per_s);
        self.tokens = self.tokens.saturating_add(gained).min(self.depth * MILLION);
        self.filled = now;
        self.tokens >= MILLION
    }
}

/// A bucket whose rate falls by three tenths each [`STEP`] while the program is late, from what it has just been admitting, and
/// rises by a tenth each step when it is not: it settles a little below what can be carried.
#[derive(Debug)]
pub(super) struct Pace {
    bucket: Admission,
    /// The rate of a program that keeps up.
    most: u64,
    late: Span,
    behind: Span,
    stepped: Tick,
    admitted: u64,
}

impl Pace {
    /// At most `per_s`; fewer while the program has not caught up for `late`.
    pub const fn new(per_s: u32, late: Span) -> Self {
        let (bucket, most) = (Admission::new(per_s), per_s as u64);
        Self { bucket, most, late, behind: Span::ZERO, stepped: Tick::ZERO, admitted: 0 }
    }

    /// For how long the program has not caught up with what comes in.
    pub fn report(&mut self, now: Tick, behind: Span) {
        self.behind = behind;
        self.step(now);
    }

    pub fn admit(&mut self, now: Tick) -> bool {
        self.step(now);
        let admitted = self.bucket.admit(now);
        self.admitted += u64::from(admitted);
        admitted
    }

    /// Whether a call that came now would be refused for the program's lateness.
    pub fn sheds(&mut self, now: Tick) -> bool {
        self.step(now);
        self.per_s() < self.most && !self.bucket.has_token(now)
    }

    /// New calls a second that are taken on now.
    pub const fn per_s(&self) -> u64 {
        self.bucket.per_s
    }

    fn step(&mut self, now: Tick) {
        let passed = now.since(self.stepped);
        let is_late = self.behind >= self.late;
        if passed < STEP || (!is_late && self.per_s() == self.most && passed < MEASURED_MAX) {
            return;
        }
        if is_late && passed <= MEASURED_MAX {
            let measured = self.admitted * MILLION / passed.as_us();
            self.run_at((self.per_s().min(measured) * 7 / 10).max(1));
        } else if !is_late {
            let steps = (passed.as_us() / STEP.as_us()).min(1_000);
            let risen = (0..steps).fold(self.per_s(), |rate, _| (rate + (rate / 10).max(1)).min(self.most));
            self.run_at(risen);
        }
        (self.stepped, self.admitted) = (now, 0);
    }

    fn run_at(&mut self, per_s: u64) {
        self.bucket.per_s = per_s;
        // A late program must not be met by all the calls of a second at once.
        self.bucket.depth = if per_s < self.most { (per_s / 10).max(1) } else { self.most };
        self.bucket.tokens = self.bucket.tokens.min(self.bucket.depth * MILLION);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Tick = Tick::from_us(5_000_000);

    #[test]
    fn a_bucket_of_ten_a_second_admits_ten_at_once_and_one_each_100_ms() {
        let mut admission = Admission::new(10);
        assert_eq!((0..20).filter(|_| admission.admit(START)).count(), 10);
        assert!(!admission.admit(START + Span::from_ms(99)));
        assert!(admission.admit(START + Span::from_ms(100)));
    }

    /// A program that carries `capacity` calls a second, offered `offered` for some seconds: how many it admits in the last one,
    /// and the longest that it was behind in it.
    fn settle(capacity: u64, offered: u64, seconds: u64) -> (u64, Span) {
        let mut pace = Pace::new(2_000, Span::from_ms(100));
        let (mut now, mut work, mut busy_since) = (START, 0_u64, None);
        let (mut admitted, mut longest) = (0, Span::ZERO);
        for n in 0..offered * seconds {
            let next = START + Span::from_us(n * MILLION / offered);
            work = work.saturating_sub(next.since(now).as_us());
            now = next;
            busy_since = if work == 0 { None } else { busy_since.or(Some(now)) };
            let behind = busy_since.map_or(Span::ZERO, |since| now.since(since));
            pace.report(now, behind);
            let is_last = n >= offered * (seconds - 1);
            if pace.admit(now) {
                work += MILLION / capacity;
                admitted += u64::from(is_last);
            }
            longest = if is_last { longest.max(Span::from_us(work)) } else { longest };
        }
        (admitted, longest)
    }

    #[test]
    fn at_twice_what_can_be_carried_most_of_that_is_admitted_and_nothing_waits_for_long() {
        for (capacity, offered) in [(100, 200), (500, 1_000), (100, 1_900), (1_000, 2_000)] {
            let (admitted, waited) = settle(capacity, offered, 20);
            assert!(
                admitted >= capacity * 6 / 10 && admitted <= capacity * 11 / 10,
                "{capacity}/{offered}: {admitted}"
            );
            assert!(waited <= Span::from_ms(300), "{capacity}/{offered}: {waited}");
        }
    }

    #[test]
    fn within_what_can_be_carried_everything_is_admitted() {
        assert_eq!(settle(1_000, 500, 5).0, 500);
    }

    #[test]
    fn the_full_rate_comes_back_when_the_load_has_gone() {
        let mut pace = Pace::new(1_000, Span::from_ms(100));
        assert!(pace.admit(START));
        for step in 1..=20 {
            pace.report(START + Span::from_ms(100 * step), Span::from_ms(100 * step));
        }
        let late = START + Span::from_s(2);
        assert_eq!(pace.per_s(), 1);
        assert!(pace.sheds(late + Span::from_us(1)) || pace.admit(late + Span::from_us(1)));
        pace.report(late, Span::ZERO);
        assert!(!pace.sheds(late + Span::from_s(10)));
        assert_eq!(pace.per_s(), 1_000);
    }
}
