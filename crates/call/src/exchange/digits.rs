//! Keys have one owner: of the ways that a leg's keys come by, the best one counts, and each press once.

use offhook_plan::DigitSource as InMedia;
use offhook_units::{Span, Tick};

/// A key that comes another way as well is the same press this long: an INFO may be sent when the key is let go.
const SAME_PRESS_WITHIN: Span = Span::from_ms(500);

/// How long after the one before the next key of a code may come.
const CODE_KEY_WITHIN: Span = Span::from_s(3);

/// A way that keys come by, the least trusted first: tones may be a voice, INFO comes with signalling's delays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// As tones in the speech.
    Inband,
    /// By INFO.
    Info,
    /// As telephone-events, RFC 4733.
    Event,
}

impl From<InMedia> for Way {
    fn from(source: InMedia) -> Self {
        match source {
            InMedia::Event => Self::Event,
            InMedia::Inband => Self::Inband,
        }
    }
}

/// What was heard of a leg's keys so far.
#[derive(Debug, Default)]
pub(super) struct Digits {
    way: Option<Way>,
    last: Option<(Tick, char)>,
    /// The first keys of a code, and when the last one of them came.
    begun: String,
    begun_at: Tick,
}

impl Digits {
    /// Whether a key that comes this way is a press of its own. A better way takes over for good: a phone that sends its keys
    /// twice is heard on that one.
    pub fn counts(&mut self, now: Tick, way: Way, digit: char) -> bool {
        if self.way.is_some_and(|best| way < best) {
            return false;
        }
        let takes_over = self.way.replace(way).is_some_and(|before| before != way);
        let last = self.last.replace((now, digit));
        let is_same = |(at, before)| before == digit && now.since(at) < SAME_PRESS_WITHIN;
        !(takes_over && last.is_some_and(is_same))
    }

    /// Whether a key that counts is the last one of `code`: its keys come one after the other, none later than
    /// [`CODE_KEY_WITHIN`] after the one before.
    pub fn completes(&mut self, now: Tick, digit: char, code: &str) -> bool {
        if now.since(self.begun_at) > CODE_KEY_WITHIN {
            self.begun.clear();
        }
        self.begun.push(digit);
        self.begun_at = now;
        // What cannot become the code any more is forgotten, key by key.
        while !code.starts_with(self.begun.as_str()) {
            self.begun.remove(0);
        }
        let is_whole = self.begun == code;
        if is_whole {
            self.begun.clear();
        }
        is_whole
    }
}

#[cfg(test)]
mod tests {
    use super::Way::{Event, Inband, Info};
    use super::*;

    fn counted(presses: &[(u64, Way, char)]) -> String {
        let mut digits = Digits::default();
        let at = |ms| Tick::ZERO + Span::from_ms(ms);
        presses
            .iter()
            .filter(|(ms, way, digit)| digits.counts(at(*ms), *way, *digit))
            .map(|(.., digit)| digit)
            .collect()
    }

    #[test]
    fn each_way_alone_counts_every_press_also_80_ms_apart() {
        for way in [Event, Info, Inband] {
            assert_eq!(counted(&[(0, way, '1'), (80, way, '1'), (160, way, '2')]), "112", "{way:?}");
        }
    }

    #[test]
    fn events_go_before_info_and_info_before_tones_whichever_comes_first() {
        for (better, worse) in [(Event, Info), (Event, Inband), (Info, Inband)] {
            let sent =
                [(0, better, '1'), (40, worse, '1'), (1_000, better, '2'), (1_300, worse, '2'), (9_000, worse, '3')];
            assert_eq!(counted(&sent), "12", "{better:?} {worse:?}");
            let sent = [(0, worse, '1'), (99, better, '1'), (1_000, worse, '2'), (1_040, better, '2')];
            assert_eq!(counted(&sent), "12", "{worse:?} {better:?}");
        }
    }

    #[test]
    fn a_code_is_its_keys_in_a_row_none_3_s_after_the_one_before() {
        let codes = |presses: &[(u64, char)]| {
            let mut digits = Digits::default();
            let at = |ms| Tick::ZERO + Span::from_ms(ms);
            presses.iter().filter(|(ms, digit)| digits.completes(at(*ms), *digit, "**3")).count()
        };
        assert_eq!(codes(&[(0, '*'), (2_900, '*'), (5_800, '3')]), 1);
        assert_eq!(codes(&[(0, '*'), (100, '*'), (200, '*'), (300, '3')]), 1, "one star too many before it");
        assert_eq!(codes(&[(0, '*'), (100, '*'), (3_101, '3')]), 0, "too late");
        assert_eq!(codes(&[(0, '*'), (100, '3'), (200, '*'), (300, '*'), (400, '4')]), 0);
        assert_eq!(codes(&[(0, '*'), (1, '*'), (2, '3'), (3, '3'), (4, '*'), (5, '*'), (6, '3')]), 2);
    }

    #[test]
    fn a_better_way_that_takes_over_brings_its_own_presses_after_500_ms_or_of_another_key() {
        assert_eq!(counted(&[(0, Inband, '1'), (600, Event, '1')]), "11");
        assert_eq!(counted(&[(0, Inband, '1'), (100, Event, '2')]), "12");
        assert_eq!(counted(&[(0, Info, '1'), (300, Event, '1'), (400, Event, '1')]), "11");
    }
}
