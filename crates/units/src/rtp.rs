//! RTP numbers that wrap, and sample rates.

/// An RTP sequence number, RFC 3550 section 5.1: wraps at 2^16 and is compared by serial-number arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RtpSeq(pub u16);

impl RtpSeq {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// `steps` further on.
    #[must_use]
    pub const fn wrapping_add(self, steps: u16) -> Self {
        Self(self.0.wrapping_add(steps))
    }

    /// Signed distance from `other` to this, in -32768..=32767: positive where this is newer.
    pub const fn distance(self, other: Self) -> i16 {
        self.0.wrapping_sub(other.0) as i16
    }
}

/// An RTP timestamp: a sample count at the stream's clock rate, RFC 3550 section 5.1; wraps at 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RtpTime(pub u32);

impl RtpTime {
    /// `samples` later.
    #[must_use]
    pub const fn wrapping_add(self, samples: u32) -> Self {
        Self(self.0.wrapping_add(samples))
    }

    /// Signed distance in samples from `other` to this: positive where this is later.
    pub const fn distance(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }
}

/// Samples per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SampleRate(pub u32);

impl SampleRate {
    /// 8 kHz, narrowband telephony.
    pub const NARROW: Self = Self(8_000);
    /// 16 kHz, wideband.
    pub const WIDE: Self = Self(16_000);
    /// 48 kHz, fullband and sound cards.
    pub const FULL: Self = Self(48_000);

    /// How many samples `span` holds, rounded down.
    pub const fn samples(self, span: crate::Span) -> u64 {
        // In two parts: 48,000 times the microseconds since 1970 are more than 64 bits hold.
        let (seconds, rest) = (span.as_us() / 1_000_000, span.as_us() % 1_000_000);
        self.0 as u64 * seconds + self.0 as u64 * rest / 1_000_000
    }

    /// How long `samples` last, rounded down to a microsecond.
    pub const fn span_of(self, samples: u64) -> crate::Span {
        crate::Span::from_us(samples * 1_000_000 / self.0 as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_at_48_khz_are_counted_up_to_the_longest_span_and_rounded_down() {
        let span = crate::Span::from_us(1_700_000_000_000_021);
        assert_eq!(SampleRate::FULL.samples(span), 81_600_000_000_001);
        assert_eq!(SampleRate::NARROW.samples(crate::Span::from_us(u64::MAX)), 147_573_952_589_676_412);
    }

    #[test]
    fn sequence_numbers_are_compared_across_the_wrap() {
        assert_eq!(RtpSeq(2).distance(RtpSeq(65_534)), 4);
        assert_eq!(RtpSeq(65_534).distance(RtpSeq(2)), -4);
        assert_eq!(RtpSeq(65_535).next(), RtpSeq(0));
    }

    #[test]
    fn twenty_ms_at_8_khz_are_160_samples() {
        assert_eq!(SampleRate::NARROW.samples(crate::Span::from_ms(20)), 160);
        assert_eq!(SampleRate::NARROW.span_of(160), crate::Span::from_ms(20));
    }
}
