//! Instants and spans of the exchange clock, in whole microseconds.

use core::fmt;
use core::ops::{Add, AddAssign, Div, Mul, Sub};

/// An instant of the exchange clock: microseconds since the Unix epoch, never going backwards within one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Tick(u64);

impl Tick {
    /// The Unix epoch; also the start of a virtual clock.
    pub const ZERO: Self = Self(0);
    /// Later than every instant that can be reached.
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `us` microseconds after the Unix epoch.
    pub const fn from_us(us: u64) -> Self {
        Self(us)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_us(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000
    }

    /// How long after `earlier` this instant is; zero where it is not after it.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// `span` before this instant, not before the epoch.
    #[must_use]
    pub const fn before(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Add<Span> for Tick {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl AddAssign<Span> for Tick {
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}

impl Sub for Tick {
    type Output = Span;
    /// As [`Tick::since`]: never negative.
    fn sub(self, earlier: Self) -> Span {
        self.since(earlier)
    }
}

/// A length of time in microseconds; never negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Span(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// Longer than anything that is waited for.
    pub const MAX: Self = Self(u64::MAX);

    /// `us` microseconds.
    pub const fn from_us(us: u64) -> Self {
        Self(us)
    }

    /// `ms` milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000))
    }

    /// `s` seconds.
    pub const fn from_s(s: u64) -> Self {
        Self(s.saturating_mul(1_000_000))
    }

    /// Microseconds.
    pub const fn as_us(self) -> u64 {
        self.0
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole seconds, rounded down.
    pub const fn as_s(self) -> u64 {
        self.0 / 1_000_000
    }

    /// As a standard duration, for edges.
    pub const fn as_std(self) -> core::time::Duration {
        core::time::Duration::from_micros(self.0)
    }

    /// This less `other`, not below zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl From<core::time::Duration> for Span {
    fn from(duration: core::time::Duration) -> Self {
        Self(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<u64> for Span {
    type Output = Self;
    fn mul(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Div<u64> for Span {
    type Output = Self;
    fn div(self, parts: u64) -> Self {
        Self(self.0 / parts)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            us if us % 1_000_000 == 0 => write!(f, "{} s", us / 1_000_000),
            us if us % 1_000 == 0 => write!(f, "{} ms", us / 1_000),
            us => write!(f, "{us} us"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_before_the_epoch_saturates_at_zero() {
        assert_eq!(Tick::from_us(5) - Tick::from_us(9), Span::ZERO);
        assert_eq!(Tick::from_us(5).before(Span::from_ms(1)), Tick::ZERO);
        assert_eq!(Tick::MAX + Span::from_s(1), Tick::MAX);
    }

    #[test]
    fn spans_print_in_their_largest_whole_unit() {
        assert_eq!(Span::from_ms(1_500).to_string(), "1500 ms");
        assert_eq!(Span::from_s(32).to_string(), "32 s");
        assert_eq!(Span::from_us(7).to_string(), "7 us");
    }
}
