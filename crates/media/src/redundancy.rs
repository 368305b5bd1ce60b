//! How a voice is encoded by Opus for a listener whose line loses packets: how much of each packet the next one repeats, and how many
//! bits the voice has. Both follow the loss that the listener reports (docs/decisions/0078).

use offhook_codec::SpeechEncoder;
use offhook_units::{Span, Tick};

/// Bit rates of a voice, from a line that is too narrow to one that carries all. Below the first one libopus leaves redundancy out,
/// which is what a line that loses packets needs most.
const BITRATES: [u32; 3] = [16_000, 20_000, 24_000];
/// So much lost, of 256, is taken for a line that is too narrow: 5 %. Fewer bits, by a step a report (RFC 8085 section 3.1: who
/// sends yields to loss).
const HEAVY: u8 = 13;
/// Up to so much lost, of 256, is not: 2 %.
const LIGHT: u8 = 5;
/// So many light reports in a row, of 5 s each where the peer has our habits, and a step more is tried.
const LIGHT_REPORTS: u8 = 4;
/// After a try that failed, twice as many, and at most so many: a line that stays narrow loses 5 s of 160.
const LIGHT_REPORTS_MAX: u8 = 32;
/// Loss that is not reported again is expected to this part less, a report: bursts come back.
const FORGOTTEN: u16 = 4;
/// Who reports more often than this is heard as often.
const REPORT_EVERY_MIN: Span = Span::from_s(1);

/// What is known of the way to one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redundancy {
    /// Loss to be expected, of 256.
    expected: u16,
    /// Its place in [`BITRATES`].
    step: usize,
    light_reports: u8,
    /// So many in a row are asked for.
    wanted: u8,
    /// The last change was a step up, and it is not known yet whether the line carries it.
    tries: bool,
    reported: Option<Tick>,
}

impl Default for Redundancy {
    fn default() -> Self {
        Self {
            expected: 0,
            step: BITRATES.len() - 1,
            light_reports: 0,
            wanted: LIGHT_REPORTS,
            tries: false,
            reported: None,
        }
    }
}

impl Redundancy {
    /// The listener reports that so much was lost of late, of 256.
    pub fn reported(&mut self, now: Tick, fraction_lost: u8) {
        if self.reported.is_some_and(|before| now.since(before) < REPORT_EVERY_MIN) {
            return;
        }
        self.reported = Some(now);
        let lost = u16::from(fraction_lost);
        // Up at once, down slowly: redundancy that was not needed costs little, and a word that is lost is lost.
        let forgotten = self.expected.saturating_sub(lost).div_ceil(FORGOTTEN);
        self.expected = self.expected.saturating_sub(forgotten).max(lost);
        self.light_reports = if fraction_lost <= LIGHT { self.light_reports.saturating_add(1) } else { 0 };
        if fraction_lost >= HEAVY {
            if self.tries {
                self.wanted = (self.wanted * 2).min(LIGHT_REPORTS_MAX);
            }
            (self.step, self.tries) = (self.step.saturating_sub(1), false);
            return;
        }
        if self.tries && self.light_reports >= LIGHT_REPORTS {
            (self.wanted, self.tries) = (LIGHT_REPORTS, false);
        }
        if self.light_reports >= self.wanted && self.step + 1 < BITRATES.len() {
            (self.step, self.light_reports, self.tries) = (self.step + 1, 0, true);
        }
    }

    /// Loss to be expected, in whole percent; more than nothing is not rounded to nothing.
    fn percent(self) -> u8 {
        (u32::from(self.expected) * 100).div_ceil(256).min(100) as u8
    }

    /// Tells it to who encodes; of use to Opus alone.
    pub fn tell(self, encoder: &mut SpeechEncoder) {
        encoder.expect_loss(self.percent());
        encoder.set_bitrate(BITRATES[self.step]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is expected, in percent, and the bit rate after each report, 5 s apart.
    fn check(reports: &[u8], expected: &[(u8, u32)]) {
        let mut redundancy = Redundancy::default();
        let mut now = Tick::from_us(1_000_000);
        let after = reports.iter().map(|lost| {
            now += Span::from_s(5);
            redundancy.reported(now, *lost);
            (redundancy.percent(), BITRATES[redundancy.step])
        });
        assert_eq!(after.collect::<Vec<_>>(), expected, "{reports:?}");
    }

    #[test]
    fn expected_loss_rises_at_once_and_falls_by_a_quarter_a_report_and_one_packet_in_256_is_one_percent() {
        check(&[0, 1, 0], &[(0, 24_000), (1, 24_000), (0, 24_000)]);
        check(&[12, 0, 0, 12], &[(5, 24_000), (4, 24_000), (3, 24_000), (5, 24_000)]);
        check(&[12, 8, 8], &[(5, 24_000), (5, 24_000), (4, 24_000)]);
    }

    /// The bit rate in kbit/s after each report.
    fn check_bitrates(reports: &[(u8, usize)], expected: &[(u32, usize)]) {
        let mut redundancy = Redundancy::default();
        let repeated = |(what, times): &(u8, usize)| core::iter::repeat_n(*what, *times);
        let reports = reports.iter().flat_map(repeated);
        let after: Vec<u32> = (1..)
            .zip(reports)
            .map(|(n, lost)| {
                redundancy.reported(Tick::from_us(n * 5_000_000), lost);
                BITRATES[redundancy.step] / 1_000
            })
            .collect();
        let expected: Vec<u32> =
            expected.iter().flat_map(|(kbit, times)| core::iter::repeat_n(*kbit, *times)).collect();
        assert_eq!(after, expected);
    }

    #[test]
    fn five_percent_lost_takes_a_step_a_report_down_to_16_kbit_and_four_light_reports_one_up() {
        check_bitrates(&[(12, 1), (13, 2), (255, 1)], &[(24, 1), (20, 1), (16, 2)]);
        check_bitrates(&[(13, 2), (5, 12)], &[(20, 1), (16, 4), (20, 4), (24, 5)]);
    }

    #[test]
    fn loss_of_2_to_5_percent_changes_no_bitrate_and_begins_the_count_of_light_reports_anew() {
        check_bitrates(&[(13, 1), (0, 3), (6, 1), (0, 3), (12, 1)], &[(20, 9)]);
    }

    #[test]
    fn a_try_that_fails_is_made_again_after_8_then_16_then_32_light_reports_and_one_that_holds_begins_with_4() {
        let tries = [(13, 1), (0, 4), (13, 1), (0, 8), (13, 1), (0, 16), (13, 1), (0, 32), (13, 1), (0, 32)];
        let rates = [(20, 4), (24, 1), (20, 8), (24, 1), (20, 16), (24, 1), (20, 32), (24, 1), (20, 32), (24, 1)];
        check_bitrates(&tries, &rates);
        let holds = [(13, 1), (0, 4), (13, 1), (0, 12), (13, 1), (0, 4)];
        check_bitrates(&holds, &[(20, 4), (24, 1), (20, 8), (24, 5), (20, 4), (24, 1)]);
    }

    #[test]
    fn a_thousand_reports_within_a_second_count_as_one() {
        let mut redundancy = Redundancy::default();
        (0..1_000).for_each(|n| redundancy.reported(Tick::from_us(5_000_000 + n * 900), 255));
        assert_eq!(BITRATES[redundancy.step], 20_000);
    }
}
