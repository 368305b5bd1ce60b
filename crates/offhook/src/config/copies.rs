//! `[recording.copies]`: copies of recordings for programs of others.

use offhook_call::calendar::Zone;
use offhook_recorder::Format;
use offhook_units::Span;

use super::Reader;
use super::read::{At, Section};
use crate::recording::{CopySettings, Hours};

/// The hours in which copies are made where nothing is said.
const FROM: Span = Span::from_s(22 * 3_600);
const UNTIL: Span = Span::from_s(5 * 3_600);

/// How much of one core making them may take where nothing is said, in hundredths.
const CPU_PERCENT: u32 = 25;

impl Reader {
    /// `[recording.copies]`, by the clocks of `zone`.
    pub fn copies(&mut self, mut section: Section<'_>, zone: &Zone, sealed: bool) -> CopySettings {
        let formats = Format::ALL.map(|format| (format.name(), format));
        let format = section.choice(&mut self.sink, "format", &formats).unwrap_or(Format::Opus);
        let when = [("off-peak", false), ("at-once", true)];
        let at_once = section.choice(&mut self.sink, "when", &when).unwrap_or(false);
        let timed = section.has("from") || section.has("until");
        let from = self.time_of_day(&mut section, "from").unwrap_or(FROM);
        let until = self.time_of_day(&mut section, "until").unwrap_or(UNTIL);
        let cpu_percent = self.percent_of_a_core(&mut section).unwrap_or(CPU_PERCENT);
        let in_clear = section.flag(&mut self.sink, "in_clear").unwrap_or(false);
        let span = section.span.clone();
        section.finish(&mut self.sink);
        if at_once && timed {
            let advice = "leave out from and until, or write when = \"off-peak\"";
            self.sink.fault(span.clone(), "copies are made at once, and at certain hours", advice);
        } else if from == until {
            let advice = "write two different times, or when = \"at-once\" instead of them";
            self.sink.fault(span.clone(), "the hours of copies end when they begin", advice);
        }
        if sealed && !in_clear {
            let advice = "write in_clear = true in [recording.copies] where whoever may read that folder may hear them";
            self.sink.fault(span, "recordings are sealed, and copies of them would not be", advice);
        }
        let hours = (!at_once).then(|| Hours { from, until, zone: zone.clone() });
        CopySettings { format, hours, cpu_percent }
    }

    /// Such as `"25%"`.
    fn percent_of_a_core(&mut self, section: &mut Section<'_>) -> Option<u32> {
        let At { value, span } = section.text(&mut self.sink, "cpu", "\"25%\"")?;
        let percent = value.strip_suffix('%').and_then(|n| n.parse().ok()).filter(|n| (1..=100).contains(n));
        if percent.is_none() {
            let advice = "write how much of one core it may take, \"1%\" to \"100%\"";
            self.sink.fault(span, format!("cpu = \"{value}\" is no share of a core"), advice);
        }
        percent
    }
}
